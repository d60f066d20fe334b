/*
 * bench/clients.c - thousands of clients in one process: held idle, at work, or logging in again and again.
 *
 * Opens --clients connections, prints what that took, and then obeys lines on its standard input, one JSON line each:
 *	run SECONDS          every client sends its next query as soon as the last is answered (closed loop)
 *	run SECONDS RATE     RATE transactions a second altogether, by the client that has rested longest
 *	logins SECONDS N     N at a time: connect, log in, Terminate; the held connections stay idle
 *	visits SECONDS N     the same with one query in between
 *	quit
 * A wait is from sending the query to its ReadyForQuery. Percentiles leave out each client's first transaction of a run:
 * all begin in the same instant, so the first waits show the start of the queue and not the queue.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/heap.h"
#include "bench/peer.h"

enum { EVENTS = 512, DRAIN_US = 60 * 1000000, OPEN_US = 120 * 1000000 };

struct client {
	struct peer peer;
	uint64_t    asked_us; /* 0: nothing outstanding */
	uint32_t    answers;  /* in this run */
	uint16_t    rows, ends; /* DataRow and CommandComplete messages of the answer so far */
	bool        is_broken;  /* ErrorResponse in this answer */
};

struct tally {
	uint64_t  done, errors, lost;
	uint32_t *waits_us;
	size_t    waits_n, waits_room;
	uint32_t  longest_us;
	char      first_error[PEER_WHY_MAX];
};

static struct endpoint to;
static const char *query = "select abalance from pgbench_accounts where aid = %u";
static unsigned keys = 100000, rows_wanted = 1;
static struct client *clients;
static unsigned clients_n;
static int epoll_fd;

static void
note_error(struct tally *t, const char *what, size_t n)
{
	t->errors++;
	if (t->first_error[0] == 0)
		snprintf(t->first_error, sizeof t->first_error, "%.*s", (int)n, what);
}

static void
note_lost(struct tally *t, const struct peer *p)
{
	t->lost++;
	if (t->first_error[0] == 0)
		snprintf(t->first_error, sizeof t->first_error, "lost: %.150s", p->why);
}

static void
note_wait(struct tally *t, uint64_t us)
{
	if (t->waits_n == t->waits_room) {
		t->waits_room = t->waits_room ? t->waits_room * 2 : 65536;
		t->waits_us = heap_resize(t->waits_us, t->waits_room * sizeof *t->waits_us);
	}
	t->waits_us[t->waits_n++] = us > UINT32_MAX ? UINT32_MAX : (uint32_t)us;
}

static int
by_size(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return x < y ? -1 : x > y;
}

static uint32_t
quantile(const struct tally *t, double q)
{
	return t->waits_n ? t->waits_us[(size_t)(q * (double)(t->waits_n - 1))] : 0;
}

static void
print_tally(const char *what, struct tally *t, uint64_t us, unsigned served)
{
	qsort(t->waits_us, t->waits_n, sizeof *t->waits_us, by_size);
	for (char *c = t->first_error; *c; c++)
		if (*c == '"' || *c == '\\' || (unsigned char)*c < ' ')
			*c = '\'';
	double seconds = (double)us / 1e6;
	printf("{\"%s\": %llu, \"seconds\": %.3f, \"per_second\": %.1f, \"errors\": %llu, \"lost\": %llu, \"clients\": %u, "
	       "\"served\": %u, \"p50_us\": %u, \"p99_us\": %u, \"longest_us\": %u, \"first_error\": \"%s\"}\n",
	       what, (unsigned long long)t->done, seconds, (double)t->done / seconds, (unsigned long long)t->errors,
	       (unsigned long long)t->lost, clients_n, served, quantile(t, 0.50), quantile(t, 0.99), t->longest_us,
	       t->first_error);
	fflush(stdout);
	heap_free(t->waits_us);
}

static bool
ask(struct client *c)
{
	char sql[1024];
	const char *hole = strstr(query, "%u");
	if (hole)
		snprintf(sql, sizeof sql, "%.*s%u%s", (int)(hole - query), query, 1 + (unsigned)random() % keys, hole + 2);
	else
		snprintf(sql, sizeof sql, "%s", query);
	c->asked_us = now_us();
	c->rows = c->ends = 0;
	c->is_broken = false;
	message_query(&c->peer.out, sql);
	return peer_flush(&c->peer);
}

/* Read the answer as far as it has come. True: it is complete. */
static bool
take_answer(struct client *c, struct tally *t)
{
	struct message m;
	while (peer_message(&c->peer, &m)) {
		switch (m.type) {
		case 'D':
			c->rows++;
			break;
		case 'C':
			c->ends++;
			break;
		case 'E': {
			struct view text = error_field(m.body, 'M');
			note_error(t, text.n ? (const char *)text.p : "", text.n);
			c->is_broken = true;
			break;
		}
		case 'Z': {
			if (c->asked_us == 0) {
				note_error(t, "an answer to nothing", 20);
				break;
			}
			bool is_whole = c->rows == rows_wanted && c->ends == 1 && m.body.n == 1 && m.body.p[0] == 'I';
			if (!c->is_broken && !is_whole)
				note_error(t, "an answer that is not whole", 27);
			uint64_t us = now_us() - c->asked_us;
			c->asked_us = 0;
			if (c->answers++ > 0)
				note_wait(t, us);
			if (us > t->longest_us)
				t->longest_us = us > UINT32_MAX ? UINT32_MAX : (uint32_t)us;
			t->done++;
			return true;
		}
		case 'T':
		case 'S':
		case 'N':
			break;
		default:
			note_error(t, "a message nobody asked for", 26);
		}
	}
	return false;
}

/* ---- opening ---- */

static void
open_all(unsigned at_a_time)
{
	struct tally t = { 0 };
	struct epoll_event events[EVENTS];
	uint64_t begin = now_us();
	unsigned begun = 0, up = 0;
	while (up + t.lost < clients_n) {
		while (begun < clients_n && begun - up - t.lost < at_a_time) {
			struct client *c = &clients[begun++];
			if (!peer_open(&c->peer, &to, epoll_fd, c))
				note_lost(&t, &c->peer);
		}
		int n = epoll_wait(epoll_fd, events, EVENTS, 1000);
		for (int i = 0; i < n; i++) {
			struct client *c = events[i].data.ptr;
			enum peer_news news = peer_turn(&c->peer, events[i].events);
			if (news == PEER_LOGGED_IN)
				up++;
			if (news == PEER_GONE) {
				note_lost(&t, &c->peer);
				peer_close(&c->peer);
			}
		}
		if (now_us() - begin > OPEN_US) {
			note_error(&t, "not all open after 120 s", 24);
			break;
		}
	}
	t.done = up;
	print_tally("opened", &t, now_us() - begin + 1, up);
}

/* ---- at work ---- */

struct rested {
	struct client **ring; /* those with nothing outstanding, longest first */
	unsigned        first, n;
};

static void
rest(struct rested *r, struct client *c)
{
	r->ring[(r->first + r->n++) % clients_n] = c;
}

static struct client *
wake(struct rested *r)
{
	struct client *c = r->ring[r->first];
	r->first = (r->first + 1) % clients_n;
	r->n--;
	return c;
}

static void
run(double seconds, double rate)
{
	struct tally t = { 0 };
	struct rested rested = { .ring = heap_alloc(clients_n * sizeof(struct client *)) };
	struct epoll_event events[EVENTS];
	unsigned outstanding = 0;
	uint64_t begin = now_us(), end = begin + (uint64_t)(seconds * 1e6), begun = 0;
	for (unsigned i = 0; i < clients_n; i++) {
		clients[i].answers = 0;
		if (clients[i].peer.state == PEER_UP)
			rest(&rested, &clients[i]);
	}
	uint64_t now = begin;
	while (now < end || (outstanding > 0 && now < end + DRAIN_US)) {
		uint64_t due = rate > 0 ? (uint64_t)((double)(now - begin) * rate / 1e6) : UINT64_MAX;
		for (; now < end && rested.n > 0 && begun < due; begun++) {
			struct client *c = wake(&rested);
			outstanding++;
			if (!ask(c)) {
				outstanding--;
				note_lost(&t, &c->peer);
				peer_close(&c->peer);
			}
		}
		int n = epoll_wait(epoll_fd, events, EVENTS, rate > 0 ? 1 : 100);
		for (int i = 0; i < n; i++) {
			struct client *c = events[i].data.ptr;
			enum peer_news news = peer_turn(&c->peer, events[i].events);
			if (news != PEER_QUIET && take_answer(c, &t)) {
				outstanding--;
				rest(&rested, c);
			}
			if (news == PEER_GONE) {
				outstanding -= c->asked_us != 0;
				note_lost(&t, &c->peer);
				peer_close(&c->peer);
			}
		}
		now = now_us();
	}
	if (outstanding > 0)
		note_error(&t, "not answered within 60 s of the end", 35);
	unsigned served = 0;
	for (unsigned i = 0; i < clients_n; i++)
		served += clients[i].answers > 0;
	print_tally("transactions", &t, now - begin, served);
	heap_free(rested.ring);
}

/* ---- logging in ---- */

static bool
begin_login(struct client *c, struct tally *t)
{
	c->asked_us = 0;
	c->answers = 0; /* a wait here is the whole visit, noted when it is over */
	if (peer_open(&c->peer, &to, epoll_fd, c))
		return true;
	note_lost(t, &c->peer);
	return false;
}

static void
leave(struct client *c)
{
	size_t at = message_begin(&c->peer.out, 'X');
	message_end(&c->peer.out, at);
	peer_flush(&c->peer);
	peer_close(&c->peer);
}

static void
run_logins(double seconds, unsigned at_a_time, bool asks)
{
	struct tally t = { 0 };
	struct client *group = heap_alloc(at_a_time * sizeof *group);
	uint64_t *begun_us = heap_alloc(at_a_time * sizeof *begun_us);
	struct epoll_event events[EVENTS];
	unsigned open = 0;
	uint64_t begin = now_us(), end = begin + (uint64_t)(seconds * 1e6), now = begin;
	for (unsigned i = 0; i < at_a_time; i++) {
		begun_us[i] = now;
		open += begin_login(&group[i], &t);
	}
	while (open > 0 && now < end + DRAIN_US) {
		int n = epoll_wait(epoll_fd, events, EVENTS, 100);
		for (int i = 0; i < n; i++) {
			struct client *c = events[i].data.ptr;
			if (c < group || c >= group + at_a_time)
				continue; /* one that is held idle */
			enum peer_news news = peer_turn(&c->peer, events[i].events);
			bool is_done = false;
			if (news == PEER_LOGGED_IN && !asks)
				is_done = true;
			else if (news == PEER_LOGGED_IN && !ask(c))
				news = PEER_GONE;
			else if (news == PEER_INPUT)
				is_done = take_answer(c, &t);
			if (news == PEER_GONE) {
				note_lost(&t, &c->peer);
				peer_close(&c->peer);
			}
			if (is_done) {
				t.done += !asks; /* else the answer was counted */
				note_wait(&t, now_us() - begun_us[c - group]);
				leave(c);
			}
			if (news != PEER_GONE && !is_done)
				continue;
			open--;
			begun_us[c - group] = now_us();
			if (begun_us[c - group] < end && t.lost < 1000)
				open += begin_login(c, &t);
		}
		now = now_us();
	}
	print_tally("logins", &t, now - begin, 0);
	for (unsigned i = 0; i < at_a_time; i++) {
		peer_close(&group[i].peer);
		buf_free(&group[i].peer.in);
		buf_free(&group[i].peer.out);
	}
	heap_free(group);
	heap_free(begun_us);
}

/* ---- obeying ---- */

/* Wait for the next line; meanwhile notice what happens to the clients that are held. */
static bool
next_line(char *line, int room)
{
	struct pollfd f[2] = { { .fd = 0, .events = POLLIN }, { .fd = epoll_fd, .events = POLLIN } };
	struct epoll_event events[EVENTS];
	for (;;) {
		if (poll(f, 2, -1) < 0 && errno != EINTR)
			return false;
		int n = f[1].revents ? epoll_wait(epoll_fd, events, EVENTS, 0) : 0;
		for (int i = 0; i < n; i++) {
			struct client *c = events[i].data.ptr;
			if (peer_turn(&c->peer, events[i].events) == PEER_GONE) {
				fprintf(stderr, "an idle client was lost: %s\n", c->peer.why);
				peer_close(&c->peer);
			}
		}
		if (f[0].revents)
			return fgets(line, room, stdin) != NULL;
	}
}

static _Noreturn void
usage(int status)
{
	fputs("usage: clients --port P [--host 127.0.0.1] [--user U] [--database D] [--password W] [--tls]\n"
	      "               [--clients N] [--opening N] [--sources N] [--query SQL] [--keys N] [--rows N]\n"
	      "then lines on standard input: run SECONDS [RATE] | logins SECONDS N | visits SECONDS N | quit\n", status ? stderr : stdout);
	exit(status);
}

int
main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "host", 1, NULL, 'h' },    { "port", 1, NULL, 'p' },    { "user", 1, NULL, 'U' },
		{ "database", 1, NULL, 'd' }, { "password", 1, NULL, 'w' }, { "tls", 0, NULL, 't' },
		{ "clients", 1, NULL, 'c' }, { "opening", 1, NULL, 'o' }, { "sources", 1, NULL, 's' },
		{ "query", 1, NULL, 'q' },   { "keys", 1, NULL, 'k' },    { "rows", 1, NULL, 'r' },
		{ "help", 0, NULL, '?' },    { 0 },
	};
	const char *host = "127.0.0.1", *user = "postgres", *database = "postgres", *password = NULL;
	unsigned port = 0, opening = 64, sources = 0;
	bool wants_tls = false;
	for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		switch (o) {
		case 'h': host = optarg; break;
		case 'p': port = (unsigned)atoi(optarg); break;
		case 'U': user = optarg; break;
		case 'd': database = optarg; break;
		case 'w': password = optarg; break;
		case 't': wants_tls = true; break;
		case 'c': clients_n = (unsigned)atoi(optarg); break;
		case 'o': opening = (unsigned)atoi(optarg); break;
		case 's': sources = (unsigned)atoi(optarg); break;
		case 'q': query = optarg; break;
		case 'k': keys = (unsigned)atoi(optarg); break;
		case 'r': rows_wanted = (unsigned)atoi(optarg); break;
		default: usage(2);
		}
	}
	if (!endpoint_init(&to, host, port) || opening == 0 || keys == 0)
		usage(2);
	to.user = user;
	to.database = database;
	to.password = password;
	to.sources = sources;
	to.tls = wants_tls ? endpoint_any_tls() : NULL;
	signal(SIGPIPE, SIG_IGN); /* OpenSSL writes without MSG_NOSIGNAL */
	raise_descriptor_limit(clients_n + 1100);
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	clients = heap_alloc((clients_n + 1) * sizeof *clients);
	open_all(opening);

	char line[200];
	while (next_line(line, sizeof line)) {
		double a = 0, b = 0;
		if (sscanf(line, "run %lf %lf", &a, &b) >= 1)
			run(a, b);
		else if (sscanf(line, "logins %lf %lf", &a, &b) == 2 && b >= 1)
			run_logins(a, (unsigned)b, false);
		else if (sscanf(line, "visits %lf %lf", &a, &b) == 2 && b >= 1)
			run_logins(a, (unsigned)b, true);
		else if (strncmp(line, "quit", 4) == 0)
			break;
		else
			fprintf(stderr, "not understood: %s", line);
	}
	for (unsigned i = 0; i < clients_n; i++) {
		peer_close(&clients[i].peer);
		buf_free(&clients[i].peer.in);
		buf_free(&clients[i].peer.out);
	}
	heap_free(clients);
	SSL_CTX_free(to.tls);
	close(epoll_fd);
	return 0;
}
