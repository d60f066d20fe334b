/*
 * tests/load/marks.c - many clients at once, each of which would notice every byte that is not meant for it.
 *
 * Every client sends random pipelines of simple and extended messages, asks for cancels, and disconnects at any byte;
 * every value it gets back must carry its own mark, in order, once (script.h makes it up, model.h judges it).
 *
 *   turn: for each client: reconnect, die, make up more, send  →  epoll  →  each message to the model
 *
 * Cancels: ErrorResponse 57014 is right only for a connection that has asked for a cancel before, and for an operation that
 * was sent before that cancel's connection was closed by the other side: PostgreSQL closes it when the signal is sent.
 * One cancel may hit *twice*: the postmaster signals the backend and then its process group (signal_child(), release 15).
 * A hit without such a cancel is *late* if there is one that was over (a proxy that closed before it had delivered, or
 * somebody else's cancel: a violation but with --lenient), else the query was wrongly cancelled. As two cancels may overtake
 * each other, hits are matched with cancels when the connection has ended.
 * Some cancels are torn, have a wrong key or the key of a connection that is gone: these may hit nobody.
 *
 * Prints one line; exit status 1 after any violation. --seed makes up the same batches again (not the same timing).
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/heap.h"
#include "base/list.h"
#include "tests/load/model.h"

enum { EVENTS = 256, ASKED_MAX = 32, VIOLATIONS_MAX = 20, CANCEL_CODE = 80877102 };

enum handle_kind { HANDLE_CLIENT, HANDLE_CANCEL };

enum client_state { RESTING, LOGGING_IN, WORKING, LINGERING };

enum cancel_kind { CANCEL_REAL, CANCEL_TORN, CANCEL_WRONG_KEY, CANCEL_STALE };

/* One CancelRequest that this connection has sent in earnest. */
struct asked {
	bool     is_over; /* its connection was closed: operations from number `over_at` on are out of its reach */
	unsigned over_at;
	unsigned uses; /* while matching */
};

/* One 57014 that came. */
struct hit {
	unsigned op;      /* number of the operation */
	unsigned asked_n; /* so many cancels had been asked for by then */
};

struct client {
	enum handle_kind  handle; /* first: epoll's data.ptr leads here */
	enum client_state state;
	struct peer       peer;
	struct script     script;
	struct model      model;
	char              name[NAME_MAX_BYTES]; /* application_name at startup */
	struct buf        staged;               /* to be sent; moves to the socket at once, or a few bytes at a time */
	size_t            staged_at;
	bool              is_dribbling, is_deep; /* deep: does not wait for answers before the next batch */
	bool              has_lost_faith;        /* had a violation: to be closed at the end of the turn */
	uint64_t          next_us;     /* RESTING: reconnect; WORKING: next batch; LINGERING: close */
	uint64_t          dies_us;     /* 0: not planned */
	uint64_t          hears_us;    /* paused until then; 0: reads */
	uint64_t          cancels_us;  /* 0: none planned */
	uint64_t          progress_us; /* last sign of life while something is outstanding */
	struct asked      asked[ASKED_MAX];
	unsigned          asked_n;
	struct hit        hits[2 * ASKED_MAX];
	unsigned          hits_n;
	uint8_t           old_key[PEER_KEY_MAX + 4]; /* of the connection before */
	size_t            old_key_n;
};

struct cancel {
	enum handle_kind handle;
	struct node      node; /* in cancels */
	enum cancel_kind kind;
	int              fd;
	uint8_t          bytes[12 + PEER_KEY_MAX];
	size_t           n, sent;
	unsigned         client, connection, asked; /* whose, and which of its asked[] */
};

static struct {
	uint64_t violations, foreign, cancels, cancels_idle, hits, twice, late, stray, deaths, connects, rows, queries, errors, notices, messages;
} total;

static struct endpoint to;
static struct client *clients;
static unsigned clients_n = 200, features = WITH_ALL, patience_s = 60;
static struct list cancels; /* owns them */
static int epoll_fd;
static bool is_lenient, is_stopping;
static uint64_t begin_us;

/* ---- violations ---- */

static void
violation(struct client *c, const char *what, const char *detail)
{
	total.violations++;
	c->has_lost_faith = true;
	if (total.violations <= VIOLATIONS_MAX)
		fprintf(stderr, "%.3f s: client %u connection %u: %s: %s\n", (double)(now_us() - begin_us) / 1e6, c->script.client,
		        c->script.connection, what, detail);
}

/* ---- cancels ---- */

static void
cancel_free(struct cancel *r)
{
	node_remove(&r->node);
	if (r->fd >= 0)
		close(r->fd);
	heap_free(r);
}

static void
cancel_over(struct cancel *r)
{
	struct client *c = &clients[r->client];
	if (r->kind == CANCEL_REAL && c->state == WORKING && c->script.connection == r->connection) {
		c->asked[r->asked].is_over = true;
		c->asked[r->asked].over_at = c->model.sent;
	}
	cancel_free(r);
}

static void
cancel_turn(struct cancel *r, uint32_t events)
{
	if (events & EPOLLOUT) {
		size_t want = r->kind == CANCEL_TORN ? r->n / 2 : r->n;
		ssize_t n = send(r->fd, r->bytes + r->sent, want - r->sent, MSG_NOSIGNAL);
		if (n < 0 && errno != EAGAIN) {
			violation(&clients[r->client], "a cancel was not taken", strerror(errno));
			cancel_over(r);
			return;
		}
		r->sent += n > 0 ? (size_t)n : 0;
		if (r->sent < want)
			return;
		if (r->kind == CANCEL_TORN) {
			cancel_free(r);
			return;
		}
		struct epoll_event e = { .events = EPOLLIN, .data.ptr = r };
		epoll_ctl(epoll_fd, EPOLL_CTL_MOD, r->fd, &e);
		return;
	}
	char byte;
	ssize_t n = recv(r->fd, &byte, 1, 0);
	if (n < 0 && errno == EAGAIN)
		return;
	if (n > 0)
		violation(&clients[r->client], "a cancel was answered", "there is no answer to CancelRequest");
	cancel_over(r);
}

static void
cancel_begin(struct client *c, enum cancel_kind kind)
{
	if (kind == CANCEL_STALE && c->old_key_n == 0)
		return;
	if (kind == CANCEL_REAL && c->asked_n == ASKED_MAX)
		return;
	struct cancel *r = heap_alloc(sizeof *r);
	*r = (struct cancel){ .handle = HANDLE_CANCEL, .kind = kind, .client = c->script.client, .connection = c->script.connection };
	size_t key_n = kind == CANCEL_STALE ? c->old_key_n : 4u + c->peer.key_n;
	r->n = 8 + key_n;
	store_be32(r->bytes, (uint32_t)r->n);
	store_be32(r->bytes + 4, CANCEL_CODE);
	if (kind == CANCEL_STALE) {
		memcpy(r->bytes + 8, c->old_key, key_n);
	} else {
		store_be32(r->bytes + 8, c->peer.pid);
		memcpy(r->bytes + 12, c->peer.key, c->peer.key_n);
	}
	if (kind == CANCEL_WRONG_KEY)
		r->bytes[r->n - 1 - script_random(&c->script, c->peer.key_n)] ^= (uint8_t)(1u << script_random(&c->script, 8));
	r->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (r->fd < 0 || (connect(r->fd, (struct sockaddr *)&to.at, sizeof to.at) != 0 && errno != EINPROGRESS)) {
		violation(c, "no connection for a cancel", strerror(errno));
		cancel_free(r);
		return;
	}
	if (kind == CANCEL_REAL) {
		r->asked = c->asked_n;
		c->asked[c->asked_n++] = (struct asked){ .is_over = false };
		total.cancels++;
		total.cancels_idle += c->model.taken == c->model.sent;
	} else {
		total.stray++;
	}
	list_append(&cancels, &r->node);
	struct epoll_event e = { .events = EPOLLOUT, .data.ptr = r };
	epoll_ctl(epoll_fd, EPOLL_CTL_ADD, r->fd, &e);
}

/* Operation number `op` of this connection was cancelled. */
static void
note_hit(struct client *c, unsigned op)
{
	total.hits++;
	if (c->hits_n >= 2 * c->asked_n)
		violation(c, "wrongly cancelled", "57014, and this connection has asked for no cancel that was not used up");
	else
		c->hits[c->hits_n++] = (struct hit){ .op = op, .asked_n = c->asked_n };
}

/* The cancel with the earliest end that may have caused this hit and was used less than `most` times. */
static struct asked *
cause_of(struct client *c, const struct hit *hit, unsigned most)
{
	struct asked *best = NULL;
	for (unsigned i = 0; i < hit->asked_n; i++) {
		struct asked *a = &c->asked[i];
		bool may = a->uses < most && (!a->is_over || hit->op < a->over_at);
		if (may && (best == NULL || !best->is_over || (a->is_over && a->over_at < best->over_at)))
			best = a;
	}
	return best;
}

/* Put each hit down to a cancel: hits come in the order of operations, so the earliest end first is the best choice. */
static void
judge_cancels(struct client *c)
{
	bool is_explained[2 * ASKED_MAX] = { false };
	for (unsigned most = 1; most <= 2; most++) {
		for (unsigned i = 0; i < c->hits_n; i++) {
			struct asked *a = is_explained[i] ? NULL : cause_of(c, &c->hits[i], most);
			if (a == NULL)
				continue;
			a->uses++;
			is_explained[i] = true;
			total.twice += most == 2;
		}
	}
	for (unsigned i = 0; i < c->hits_n; i++) {
		total.late += !is_explained[i];
		if (!is_explained[i] && !is_lenient)
			violation(c, "cancelled too late", "the operation was sent after the cancel's connection had been closed");
	}
	c->hits_n = c->asked_n = 0;
}

/* ---- a client's life ---- */

static void
retire(struct client *c)
{
	judge_cancels(c);
	total.rows += c->model.rows;
	total.queries += c->model.queries;
	total.errors += c->model.errors;
	total.notices += c->model.notices;
	c->model.rows = c->model.queries = c->model.errors = c->model.notices = 0;
	c->state = RESTING;
	c->next_us = now_us() + script_random(&c->script, script_chance(&c->script, 500) ? 2000 : 100000);
	c->has_lost_faith = false;
	if (c->peer.key_n > 0) {
		store_be32(c->old_key, c->peer.pid);
		memcpy(c->old_key + 4, c->peer.key, c->peer.key_n);
		c->old_key_n = 4u + c->peer.key_n;
	}
}

static void
reconnect(struct client *c, uint64_t now)
{
	c->script.connection++;
	c->script.counter = 0;
	c->script.planned_tx = 'I';
	c->script.planned_slots = 0;
	c->name[0] = 0;
	if (c->script.features & WITH_SET)
		snprintf(c->name, sizeof c->name, "c%u.%u.0", c->script.client, c->script.connection);
	model_reset(&c->model, c->name);
	buf_free(&c->staged);
	c->staged_at = 0;
	c->cancels_us = c->hears_us = 0;
	c->is_deep = false;
	c->is_dribbling = (c->script.features & WITH_DRIBBLE) && script_chance(&c->script, 100);
	c->progress_us = now;
	c->peer.application = c->name[0] ? c->name : NULL;
	c->peer.key_n = 0;
	bool may_die = c->script.features & WITH_DIE;
	c->dies_us = 0;
	if (may_die && script_chance(&c->script, 50))
		c->dies_us = now + script_random(&c->script, 3000); /* perhaps before it has logged in */
	else if (may_die)
		c->dies_us = now + script_random(&c->script, script_chance(&c->script, 700) ? 3000000 : 20000000);
	if (!peer_open(&c->peer, &to, epoll_fd, c)) {
		violation(c, "no connection", c->peer.why);
		retire(c);
		c->next_us = now + 1000000;
		return;
	}
	total.connects++;
	c->state = LOGGING_IN;
}

/* Disconnect: what is still to be sent is cut anywhere, and the socket is closed or reset, at once or soon. */
static void
die(struct client *c, uint64_t now)
{
	c->dies_us = 0;
	total.deaths++;
	if (c->state == WORKING) {
		size_t left = c->staged.n - c->staged_at;
		if (left == 0 && script_chance(&c->script, 400)) {
			/* nothing on its way: the beginning of something, then */
			script_batch(&c->script);
			struct op *op = &c->model.ops[c->model.sent % OPS];
			buf_add(&c->staged, buf_view(&op->bytes));
			left = c->staged.n - c->staged_at;
		}
		if (left == 0 && script_chance(&c->script, 500)) {
			size_t at = message_begin(&c->staged, 'X');
			message_end(&c->staged, at);
			left = 5;
		}
		size_t cut = script_random(&c->script, (uint32_t)left + 1);
		buf_add(&c->peer.out, view_part(buf_view(&c->staged), c->staged_at, cut));
		peer_flush(&c->peer);
		if (script_chance(&c->script, 300)) {
			c->state = LINGERING;
			c->next_us = now + script_random(&c->script, 30000);
			peer_pause(&c->peer, true);
			return;
		}
	}
	if (script_chance(&c->script, 300))
		peer_reset(&c->peer);
	else
		peer_close(&c->peer);
	retire(c);
}

static struct op *
push_op(void *to_client)
{
	struct client *c = to_client;
	struct op *op = &c->model.ops[c->model.made++ % OPS];
	buf_free(&op->bytes);
	*op = (struct op){ .kind = OP_FLUSH };
	return op;
}

static void
make_up(struct client *c, uint64_t now)
{
	struct script *s = &c->script;
	struct model *m = &c->model;
	if (m->taken == m->made) {
		s->planned_tx = m->tx;
		s->planned_slots = 0;
		for (unsigned i = 1; i < SLOTS; i++)
			s->planned_slots |= (unsigned)m->slots[i].exists << i;
		c->progress_us = now;
	}
	script_batch(s);
	c->is_deep = (s->features & WITH_DEEP) && script_chance(s, 400);
	c->next_us = c->is_deep || script_chance(s, 500) ? now : now + script_random(s, 8000);
	if (script_chance(s, 20) && (s->features & WITH_CANCEL))
		c->cancels_us = now + script_random(s, 5000);
	if (script_chance(s, 10) && (s->features & WITH_DRIBBLE) && c->hears_us == 0) {
		c->hears_us = now + 20000 + script_random(s, 200000);
		peer_pause(&c->peer, true);
	}
}

static void
plan_cancel_of_sleep(struct client *c, const struct op *op, uint64_t now)
{
	for (unsigned i = 0; i < op->statements_n; i++)
		if (op->kind != OP_PARSE && op->statement[i].kind == ST_SLEEP && c->cancels_us == 0 &&
		    (c->script.features & WITH_CANCEL) && script_chance(&c->script, 600))
			c->cancels_us = now + script_random(&c->script, op->statement[i].sleep_ms * 1300);
}

/* Move operations into ->staged, as far as they may go. */
static void
stage(struct client *c, uint64_t now)
{
	struct model *m = &c->model;
	for (;;) {
		if (m->tail_held) {
			struct op *op = &m->ops[(m->sent - 1) % OPS];
			bool is_at_head = m->taken == m->sent - 1;
			if (is_at_head && m->copy_open)
				buf_add(&c->staged, view_from(buf_view(&op->bytes), op->head_n));
			else if (m->taken < m->sent && !(is_at_head && m->is_failed))
				return;
			m->tail_held = false;
			buf_free(&op->bytes);
		}
		if (m->sent == m->made)
			return;
		struct op *op = &m->ops[m->sent % OPS];
		if (op->waits && m->taken != m->sent)
			return;
		buf_add(&c->staged, view_part(buf_view(&op->bytes), 0, op->head_n));
		plan_cancel_of_sleep(c, op, now);
		m->sent++;
		m->tail_held = op->head_n < op->bytes.n;
		if (!m->tail_held)
			buf_free(&op->bytes);
		model_settle(m);
	}
}

static void
send_staged(struct client *c, uint64_t now)
{
	size_t left = c->staged.n - c->staged_at;
	if (left == 0)
		return;
	size_t n = c->is_dribbling ? 1 + script_random(&c->script, 60 + (uint32_t)left / 50) : left;
	c->progress_us = now; /* patience is for the other side */
	buf_add(&c->peer.out, view_part(buf_view(&c->staged), c->staged_at, n));
	c->staged_at += n < left ? n : left;
	if (c->staged_at == c->staged.n) {
		buf_clear(&c->staged);
		c->staged_at = 0;
	}
	peer_flush(&c->peer); /* a lost connection is seen by the next read */
}

static bool
has_all(const struct client *c)
{
	return c->model.taken == c->model.made && c->staged_at == c->staged.n;
}

static bool
is_at_rest(const struct client *c)
{
	return has_all(c) && c->model.tx == 'I';
}

static void
work(struct client *c, uint64_t now)
{
	struct model *m = &c->model;
	bool is_idle = has_all(c);
	if (c->hears_us && now >= c->hears_us) {
		c->hears_us = 0;
		c->progress_us = now;
		peer_pause(&c->peer, false);
	}
	if (c->cancels_us && now >= c->cancels_us) {
		c->cancels_us = 0;
		uint32_t dice = script_random(&c->script, 100);
		cancel_begin(c, dice < 85 ? CANCEL_REAL : dice < 90 ? CANCEL_TORN : dice < 95 ? CANCEL_WRONG_KEY : CANCEL_STALE);
	}
	if (c->dies_us && now >= c->dies_us && !is_stopping) {
		die(c, now);
		return;
	}
	if (!is_idle && c->hears_us == 0 && now - c->progress_us > patience_s * (uint64_t)1000000) {
		char text[200];
		snprintf(text, sizeof text, "answered %u, sent %u, made %u; tx %c%s", m->taken, m->sent, m->made, m->tx,
		         c->asked_n > 0 ? "; it had asked for cancels" : "");
		violation(c, "no answer", text);
		return;
	}
	bool may_make = !is_stopping && now >= c->next_us && (is_idle || c->is_deep) && m->made - m->taken < OPS - BATCH_MAX - 1;
	if (may_make)
		make_up(c, now);
	else if (is_stopping && is_idle && m->tx != 'I')
		script_rollback(&c->script); /* whoever stays in a transaction keeps a server from those who still wait */
	stage(c, now);
	send_staged(c, now);
}

/* The earliest moment at which something is to be done for this client; UINT64_MAX: an event will say. */
static uint64_t
due(const struct client *c)
{
	if (c->state == RESTING || c->state == LINGERING)
		return c->next_us;
	uint64_t at = UINT64_MAX;
	if (c->dies_us && c->dies_us < at)
		at = c->dies_us;
	if (c->state == LOGGING_IN)
		return at;
	if (c->hears_us && c->hears_us < at)
		at = c->hears_us;
	if (c->cancels_us && c->cancels_us < at)
		at = c->cancels_us;
	bool is_idle = c->model.taken == c->model.made;
	if (!is_stopping && (is_idle || (c->is_deep && c->model.made - c->model.taken < OPS - BATCH_MAX - 1)) && c->next_us < at)
		at = c->next_us;
	if (c->staged_at < c->staged.n)
		at = 0;
	return at;
}

static void
client_tick(struct client *c, uint64_t now)
{
	switch (c->state) {
	case RESTING:
		if (now >= c->next_us && !is_stopping)
			reconnect(c, now);
		break;
	case LOGGING_IN:
		if (c->dies_us && now >= c->dies_us)
			die(c, now);
		else if (now - c->progress_us > patience_s * (uint64_t)1000000)
			violation(c, "no login", "neither accepted nor refused");
		break;
	case WORKING:
		work(c, now);
		break;
	case LINGERING:
		if (now >= c->next_us) {
			peer_close(&c->peer);
			retire(c);
		}
		break;
	}
	if (c->has_lost_faith) {
		peer_close(&c->peer);
		retire(c);
	}
}

/* ---- what comes ---- */

static void
take_messages(struct client *c)
{
	struct message got;
	char why[700];
	while (!c->has_lost_faith && peer_message(&c->peer, &got)) {
		struct text text = TEXT_IN(why);
		unsigned op = c->model.taken;
		total.messages++;
		switch (model_take(&c->model, &got, &text)) {
		case TAKE_OK:
			break;
		case TAKE_CANCELLED:
			note_hit(c, op);
			break;
		case TAKE_WRONG: {
			long other = model_foreign(&c->model, got.body);
			total.foreign += other >= 0;
			if (other >= 0)
				text_addf(&text, " -- it carries the mark of client %ld", other);
			violation(c, "wrong answer", why);
			break;
		}
		}
	}
}

static void
client_turn(struct client *c, uint32_t events)
{
	enum peer_news news = peer_turn(&c->peer, events);
	uint64_t now = now_us();
	if (c->state == LINGERING)
		return;
	if (news == PEER_LOGGED_IN) {
		c->state = WORKING;
		c->next_us = now;
		c->progress_us = now;
	} else if (news != PEER_QUIET && c->state == WORKING) {
		c->progress_us = now;
		take_messages(c);
	}
	if (news == PEER_GONE && !c->has_lost_faith)
		violation(c, c->state == WORKING ? "connection lost" : "login failed", c->peer.why);
}

/* ---- the whole ---- */

static void
turn_until(uint64_t end)
{
	struct epoll_event events[EVENTS];
	for (;;) {
		uint64_t now = now_us(), next = end;
		bool is_quiet = true;
		for (unsigned i = 0; i < clients_n; i++) {
			struct client *c = &clients[i];
			client_tick(c, now);
			uint64_t at = due(c);
			next = at < next ? at : next;
			is_quiet = is_quiet && (c->state == RESTING || (c->state == WORKING && is_at_rest(c)));
		}
		if (now >= end || (is_stopping && is_quiet) || total.violations > VIOLATIONS_MAX)
			return;
		int timeout_ms = next <= now ? 0 : next - now > 100000 ? 100 : (int)((next - now + 999) / 1000);
		/* at least one millisecond: what dribbles does so at that pace, and nothing spins */
		int n = epoll_wait(epoll_fd, events, EVENTS, timeout_ms ? timeout_ms : 1);
		for (int i = 0; i < n; i++) {
			enum handle_kind *handle = events[i].data.ptr;
			if (*handle == HANDLE_CANCEL)
				cancel_turn((struct cancel *)(void *)handle, events[i].events);
			else if (((struct client *)(void *)handle)->state != RESTING)
				client_turn((struct client *)(void *)handle, events[i].events);
		}
	}
}

static void
listen_for_strays(void)
{
	struct epoll_event events[EVENTS];
	for (uint64_t end = now_us() + 300000; now_us() < end;) {
		int n = epoll_wait(epoll_fd, events, EVENTS, 50);
		for (int i = 0; i < n; i++) {
			enum handle_kind *handle = events[i].data.ptr;
			if (*handle == HANDLE_CANCEL)
				cancel_turn((struct cancel *)(void *)handle, events[i].events);
			else if (((struct client *)(void *)handle)->state == WORKING)
				client_turn((struct client *)(void *)handle, events[i].events);
		}
	}
	for (unsigned i = 0; i < clients_n; i++) {
		if (clients[i].peer.in.n > clients[i].peer.in_at && clients[i].state == WORKING)
			violation(&clients[i], "half a message", "left when all was answered");
		peer_close(&clients[i].peer);
		retire(&clients[i]);
		model_reset(&clients[i].model, "");
		buf_free(&clients[i].staged);
		buf_free(&clients[i].peer.in);
		buf_free(&clients[i].peer.out);
	}
}

static void
make_table(void)
{
	struct peer p = { 0 };
	if (!peer_open_and_wait(&p, &to, 20000)) {
		fprintf(stderr, "marks: no connection: %s\n", p.why);
		exit(2);
	}
	struct buf b = { 0 };
	message_query(&b, "drop table if exists marks_in; create unlogged table marks_in(run text, n int, filler text); "
	                  "create index on marks_in(run)");
	peer_make_blocking(&p);
	peer_write_all(&p, b.p, b.n);
	buf_clear(&b);
	for (char part[4096]; b.n < 6 || memcmp(b.p + b.n - 6, "Z\0\0\0\5I", 6) != 0;) {
		ssize_t n = peer_read_some(&p, part, sizeof part);
		if (n <= 0) {
			fprintf(stderr, "marks: the table could not be made\n");
			exit(2);
		}
		buf_add(&b, view_of(part, (size_t)n));
	}
	if (memmem(b.p, b.n, "SERROR", 6) != NULL) {
		fprintf(stderr, "marks: the table could not be made: %.*s\n", (int)b.n, (const char *)b.p);
		exit(2);
	}
	buf_free(&b);
	buf_free(&p.in);
	buf_free(&p.out);
	peer_close(&p);
}

static void
leave_out(char *list)
{
	for (char *word = strtok(list, ","); word; word = strtok(NULL, ",")) {
		if (feature_named(word) == 0) {
			fprintf(stderr, "marks: no such thing to leave out: %s\n", word);
			exit(2);
		}
		features &= ~feature_named(word);
	}
}

static _Noreturn void
usage(int status)
{
	fputs("usage: marks --port P [--host 127.0.0.1] [--user U] [--database D] [--password W] [--tls]\n"
	      "             [--clients 200] [--seconds 60] [--seed N] [--patience SECONDS] [--lenient]\n"
	      "             [--without named,cancel,die,copy,set,sleep,flush,odd,suspend,dribble,big,\n"
	      "                        deep,eager]\n", status ? stderr : stdout);
	exit(status);
}

int
main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "host", 1, NULL, 'h' },    { "port", 1, NULL, 'p' },     { "user", 1, NULL, 'U' }, { "database", 1, NULL, 'd' },
		{ "password", 1, NULL, 'w' }, { "tls", 0, NULL, 't' },     { "clients", 1, NULL, 'c' }, { "seconds", 1, NULL, 's' },
		{ "seed", 1, NULL, 'e' },    { "without", 1, NULL, 'x' },  { "lenient", 0, NULL, 'l' },
		{ "patience", 1, NULL, 'a' }, { "help", 0, NULL, '?' },    { 0 },
	};
	const char *host = "127.0.0.1", *user = "postgres", *database = "postgres", *password = NULL;
	unsigned port = 0;
	double seconds = 60;
	uint64_t seed = (uint64_t)getpid() * 1000003 + now_us();
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
		case 's': seconds = atof(optarg); break;
		case 'e': seed = strtoull(optarg, NULL, 10); break;
		case 'x': leave_out(optarg); break;
		case 'l': is_lenient = true; break;
		case 'a': patience_s = (unsigned)atoi(optarg); break;
		default: usage(2);
		}
	}
	if (!endpoint_init(&to, host, port) || clients_n == 0 || seconds <= 0)
		usage(2);
	to.user = user;
	to.database = database;
	to.password = password;
	to.tls = wants_tls ? endpoint_any_tls() : NULL;
	signal(SIGPIPE, SIG_IGN); /* OpenSSL writes without MSG_NOSIGNAL */
	raise_descriptor_limit(clients_n * 4 + 100);
	make_table();

	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	list_init(&cancels);
	clients = heap_alloc(clients_n * sizeof *clients);
	begin_us = now_us();
	for (unsigned i = 0; i < clients_n; i++) {
		struct client *c = &clients[i];
		c->handle = HANDLE_CLIENT;
		c->model.client = i;
		c->script = (struct script){ .client = i, .features = features, .to = c, .push = push_op,
			.random = (seed + i) * 0x9E3779B97F4A7C15 | 1 };
		c->next_us = begin_us + script_random(&c->script, 200000);
	}
	turn_until(begin_us + (uint64_t)(seconds * 1e6));
	is_stopping = true;
	turn_until(now_us() + (patience_s + 5) * (uint64_t)1000000);
	listen_for_strays();
	list_each(&cancels, n, after)
		cancel_free(node_owner(n, struct cancel, node));

	printf("marks: %.1f s, seed %llu, %u clients, %llu connections, %llu transactions, %llu messages, %llu rows, %llu errors as due, "
	       "%llu notices, %llu disconnects; %llu cancels (%llu with nothing running, %llu hits, %llu of them by the same, %llu late), %llu stray ones; "
	       "%llu foreign, %llu violations\n",
	       (double)(now_us() - begin_us) / 1e6, (unsigned long long)seed, clients_n, (unsigned long long)total.connects,
	       (unsigned long long)total.queries, (unsigned long long)total.messages, (unsigned long long)total.rows,
	       (unsigned long long)total.errors, (unsigned long long)total.notices, (unsigned long long)total.deaths,
	       (unsigned long long)total.cancels, (unsigned long long)total.cancels_idle, (unsigned long long)total.hits,
	       (unsigned long long)total.twice, (unsigned long long)total.late, (unsigned long long)total.stray, (unsigned long long)total.foreign,
	       (unsigned long long)total.violations);
	heap_free(clients);
	SSL_CTX_free(to.tls);
	close(epoll_fd);
	return total.violations > 0;
}
