/*
 * net/dns.c - lookups in name servers; see the header.
 *
 *   dns_ask ─► next_candidate (search list) ─► send_round: a fresh socket to a server, one question for each family
 *     on_readable: answers ─► candidate_over ─► the next candidate, or finish
 *     on_timer, refused, SERVFAIL: the next server, `attempts` times round
 *
 * A socket of its own and random numbers for each attempt make answers hard to forge; it is connected, so that the
 * kernel drops what comes from elsewhere, and says when nobody listens there.
 * Source: RFC 1035 7, RFC 5452 9 (forgery), resolv.conf(5).
 */
#include "net/dns.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/event.h>
#include <openssl/rand.h>

#include "base/clock.h"
#include "base/heap.h"
#include "base/must.h"
#include "net/address.h"

enum {
	LOOKUPS_MAX = 64,      /* at a time; the others wait for their turn */
	ATTEMPTS_PRESET = 3,   /* times round the servers */
	TIMEOUT_PRESET_S = 1,  /* of the first round; doubled for each further one */
	DATAGRAM_MAX = 4096,
	DATAGRAMS_PER_TURN = 16,
};
#define OTHER_FAMILY_US (300 * MILLISECOND_US) /* to wait for, when one has come */

struct family {
	enum dns_type type;
	uint16_t id;
	bool is_done;        /* answer and result are good */
	bool has_failed;     /* with the server that is asked now */
	enum dns_result result;
};

struct dns_lookup {
	struct node node; /* in dns->running or dns->queued */
	struct dns *dns;
	struct dns_name name;
	unsigned dots;
	bool is_absolute;
	unsigned candidate; /* index in the order of trying; the one asked for now is the one before */
	struct dns_name asked;
	unsigned first;     /* server of the first attempt */
	unsigned sent;      /* attempts for this candidate */
	unsigned server;    /* asked now */
	bool with_edns;
	bool had_failure;   /* a candidate that nobody could tell about */
	bool is_begun;
	int fd;
	struct event *readable;
	struct timer *timer;
	struct family family[DNS_FAMILIES];
	struct dns_report report;
	dns_done_fn *done;
	void *context;
};

struct dns {
	struct loop *loop;
	struct resolv_conf conf;
	unsigned first_server; /* to ask: moves on when it fails */
	struct list running, queued;
};

/* ---- one socket ---- */

static void
close_socket(struct dns_lookup *q)
{
	if (q->readable) {
		event_free(q->readable);
		q->readable = NULL;
	}
	if (q->fd >= 0)
		close(q->fd);
	q->fd = -1;
}

static void on_readable(evutil_socket_t fd, short what, void *context);

static bool
open_socket(struct dns_lookup *q, const struct sockaddr_storage *server)
{
	close_socket(q);
	q->fd = socket(server->ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (q->fd < 0 || connect(q->fd, (const struct sockaddr *)server, address_size(server)) != 0)
		return false;
	q->readable = event_new(q->dns->loop->base, q->fd, EV_READ | EV_PERSIST, on_readable, q);
	must(q->readable != NULL);
	event_add(q->readable, NULL);
	return true;
}

static bool
send_questions(struct dns_lookup *q)
{
	uint8_t packet[DNS_QUESTION_MAX];
	uint16_t ids[DNS_FAMILIES];
	must(RAND_bytes((uint8_t *)ids, sizeof(ids)) == 1);
	bool is_sent = false;
	for (int i = 0; i < DNS_FAMILIES; i++) {
		struct family *f = &q->family[i];
		if (f->is_done)
			continue;
		f->id = ids[i];
		f->has_failed = false;
		size_t n = dns_question(packet, f->id, &q->asked, f->type, q->with_edns);
		is_sent |= send(q->fd, packet, n, 0) == (ssize_t)n;
	}
	return is_sent;
}

/* ---- the end ---- */

static void
lookup_free(struct dns_lookup *q)
{
	close_socket(q);
	timer_free(q->timer);
	node_remove(&q->node);
	heap_free(q);
}

static void
start_queued(struct dns *d)
{
	struct node *n;
	while (d->running.count < LOOKUPS_MAX && (n = list_first(&d->queued)) != NULL) {
		node_remove(n);
		list_append(&d->running, n);
		timer_set(node_owner(n, struct dns_lookup, node)->timer, 0);
	}
}

/* q is gone afterwards. */
static void
finish(struct dns_lookup *q, int how, const char *why)
{
	struct dns_report report = q->report;
	report.how = how;
	report.why = why;
	dns_done_fn *done = q->done;
	void *context = q->context;
	struct dns *d = q->dns;
	lookup_free(q);
	start_queued(d);
	done(context, &report);
}

static bool
has_found(const struct dns_lookup *q)
{
	for (int i = 0; i < DNS_FAMILIES; i++)
		if (q->family[i].is_done && q->family[i].result == DNS_FOUND)
			return true;
	return false;
}

/* ---- candidates: the name with each domain of the search list ---- */

static bool
candidate_name(const struct dns_lookup *q, unsigned i, struct dns_name *out)
{
	const struct resolv_conf *conf = &q->dns->conf;
	bool is_bare_first = q->is_absolute || q->dots >= conf->ndots;
	unsigned bare = is_bare_first ? 0 : conf->search_count;
	if (i == bare) {
		*out = q->name;
		return true;
	}
	return dns_name_join(out, &q->name, &conf->search[is_bare_first ? i - 1 : i]);
}

static void send_round(struct dns_lookup *q);

static void
next_candidate(struct dns_lookup *q)
{
	unsigned count = q->is_absolute ? 1 : q->dns->conf.search_count + 1;
	while (q->candidate < count) {
		if (!candidate_name(q, q->candidate++, &q->asked))
			continue;
		q->sent = 0;
		q->first = q->dns->first_server;
		q->with_edns = true;
		for (int i = 0; i < DNS_FAMILIES; i++)
			q->family[i] = (struct family){ .type = i == 0 ? DNS_A : DNS_AAAA };
		if (q->dns->conf.no_aaaa)
			q->family[1] = (struct family){ .type = DNS_AAAA, .is_done = true, .result = DNS_NO_DATA };
		send_round(q);
		return;
	}
	if (q->had_failure)
		finish(q, DNS_LOOKUP_FAILED, "the name server failed");
	else
		finish(q, DNS_LOOKUP_NONE, "there is no such name");
}

/* Nothing more will be learnt about this candidate; `answered`: somebody said at least that he does not know. */
static void
candidate_over(struct dns_lookup *q, bool answered)
{
	bool is_sure = true;
	for (int i = 0; i < DNS_FAMILIES; i++) {
		is_sure &= q->family[i].is_done;
		q->report.is_unknown[i] = !q->family[i].is_done;
	}
	if (has_found(q)) {
		finish(q, DNS_LOOKUP_FOUND, NULL);
		return;
	}
	if (!is_sure && !answered) {
		finish(q, DNS_LOOKUP_FAILED, "no name server answers");
		return;
	}
	q->had_failure |= !is_sure;
	next_candidate(q);
}

/* ---- rounds ---- */

static unsigned
attempts_of(const struct resolv_conf *conf)
{
	return conf->attempts ? conf->attempts : ATTEMPTS_PRESET;
}

static uint64_t
patience_us(const struct resolv_conf *conf, unsigned round)
{
	uint64_t us = (conf->timeout_s ? conf->timeout_s : TIMEOUT_PRESET_S) * SECOND_US << round;
	if (round > 0)
		us /= conf->server_count;
	return us < SECOND_US ? SECOND_US : us;
}

static bool
has_failed_all(const struct dns_lookup *q)
{
	for (int i = 0; i < DNS_FAMILIES; i++)
		if (!q->family[i].is_done && !q->family[i].has_failed)
			return false;
	return true;
}

static void
send_round(struct dns_lookup *q)
{
	const struct resolv_conf *conf = &q->dns->conf;
	while (q->sent < attempts_of(conf) * conf->server_count) {
		unsigned round = q->sent / conf->server_count;
		q->server = (q->first + q->sent) % conf->server_count;
		q->sent++;
		if (open_socket(q, &conf->server[q->server]) && send_questions(q)) {
			timer_set(q->timer, has_found(q) ? OTHER_FAMILY_US : patience_us(conf, round));
			return;
		}
	}
	candidate_over(q, has_failed_all(q));
}

/* The one asked now can't tell. */
static void
next_server(struct dns_lookup *q)
{
	struct dns *d = q->dns;
	if (q->server == d->first_server)
		d->first_server = (q->server + 1) % d->conf.server_count; /* for those that begin later */
	send_round(q);
}

/* ---- answers ---- */

/* True: it was an answer to one of the questions. */
static bool
take_datagram(struct dns_lookup *q, struct view packet)
{
	for (int i = 0; i < DNS_FAMILIES; i++) {
		struct family *f = &q->family[i];
		if (f->is_done || f->has_failed)
			continue;
		struct dns_answer *answer = &q->report.answer[i];
		enum dns_result result = dns_answer_read(packet, f->id, &q->asked, f->type, answer);
		if (result == DNS_NOT_OURS)
			continue;
		f->result = result;
		f->has_failed = result == DNS_SERVER_FAILED || result == DNS_SERVER_IS_OLD;
		f->is_done = !f->has_failed;
		return true;
	}
	return false;
}

/* True: q has gone on, or is gone. */
static bool
look_further(struct dns_lookup *q)
{
	bool is_over = true, is_old = false;
	for (int i = 0; i < DNS_FAMILIES; i++) {
		const struct family *f = &q->family[i];
		is_over &= f->is_done;
		is_old |= f->has_failed && f->result == DNS_SERVER_IS_OLD;
	}
	if (is_over) {
		candidate_over(q, true);
		return true;
	}
	if (has_failed_all(q)) {
		if (is_old && q->with_edns) { /* once more, the old way */
			q->with_edns = false;
			q->sent--;
			send_round(q);
		} else {
			next_server(q);
		}
		return true;
	}
	if (has_found(q))
		timer_set(q->timer, OTHER_FAMILY_US);
	return false;
}

static void
read_answers(struct dns_lookup *q)
{
	uint8_t packet[DATAGRAM_MAX];
	for (int i = 0; i < DATAGRAMS_PER_TURN; i++) {
		ssize_t n = recv(q->fd, packet, sizeof(packet), 0);
		if (n < 0) {
			if (errno != EAGAIN && errno != EINTR)
				next_server(q); /* nobody listens there */
			return;
		}
		if (take_datagram(q, view_of(packet, (size_t)n)) && look_further(q))
			return;
	}
}

static void
on_readable(evutil_socket_t fd, short what, void *context)
{
	struct dns_lookup *q = context;
	struct loop *loop = q->dns->loop;
	loop_enter(loop);
	read_answers(q);
	loop_flush(loop);
}

static void
on_timer(void *context)
{
	struct dns_lookup *q = context;
	if (!q->is_begun) {
		q->is_begun = true;
		next_candidate(q);
		return;
	}
	if (has_found(q))
		candidate_over(q, true);
	else
		next_server(q);
}

/* ---- the module's door ---- */

struct dns *
dns_new(struct loop *loop)
{
	struct dns *d = heap_alloc(sizeof(*d));
	d->loop = loop;
	list_init(&d->running);
	list_init(&d->queued);
	resolv_conf_read((struct view){ 0 }, "", &d->conf);
	return d;
}

void
dns_free(struct dns *d)
{
	if (d == NULL)
		return;
	struct list *lists[] = { &d->running, &d->queued };
	for (int i = 0; i < 2; i++) {
		struct node *n;
		while ((n = list_first(lists[i])) != NULL)
			lookup_free(node_owner(n, struct dns_lookup, node));
	}
	heap_free(d);
}

void
dns_configure(struct dns *d, const struct resolv_conf *conf)
{
	d->conf = *conf;
	d->first_server = conf->rotate ? (unsigned)clock_exact_us() % conf->server_count : 0;
	list_each(&d->running, n, after)
	{
		struct dns_lookup *q = node_owner(n, struct dns_lookup, node);
		close_socket(q);
		q->candidate = 0;
		q->had_failure = q->is_begun = false;
		timer_set(q->timer, 0);
	}
}

struct dns_lookup *
dns_ask(struct dns *d, const char *name, dns_done_fn *done, void *context)
{
	struct dns_name as_bytes;
	if (!dns_name_of(&as_bytes, name))
		return NULL;
	struct dns_lookup *q = heap_alloc(sizeof(*q));
	q->dns = d;
	q->name = as_bytes;
	q->fd = -1;
	q->done = done;
	q->context = context;
	q->timer = timer_new(d->loop, on_timer, q);
	for (; *name; name++) {
		q->is_absolute = name[0] == '.' && name[1] == '\0';
		q->dots += *name == '.';
	}
	list_append(&d->queued, &q->node);
	if (d->conf.rotate)
		d->first_server = (d->first_server + 1) % d->conf.server_count;
	start_queued(d);
	return q;
}

void
dns_cancel(struct dns_lookup *q)
{
	struct dns *d = q->dns;
	lookup_free(q);
	start_queued(d);
}
