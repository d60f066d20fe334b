/* tests/fake/net.c - see the header. */
#include "fake/net.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <netinet/in.h>

#include "base/clock.h"
#include "base/heap.h"
#include "base/must.h"
#include "net/fetch.h"
#include "net/resolve.h"
#include "net/tls.h"

enum { FD_FIRST = 1000 };

static struct wire wires[WIRES_MAX];
static int wire_count;
static int connects_taken;
static bool connects_fail;
static uint64_t event; /* grows with each that is handled */

/* ---- the test's side ---- */

static struct wire *
wire_new(void)
{
	must(wire_count < WIRES_MAX);
	struct wire *w = &wires[wire_count];
	*w = (struct wire){ .fd = FD_FIRST + wire_count };
	wire_count++;
	return w;
}

static struct wire *
wire_of(const struct stream *s)
{
	must(s->fd >= FD_FIRST && s->fd < FD_FIRST + wire_count);
	return &wires[s->fd - FD_FIRST];
}

struct wire *
fake_accept_begin(void)
{
	return wire_new();
}

struct wire *
fake_next_connect(void)
{
	for (int i = connects_taken; i < wire_count; i++)
		if (wires[i].is_ours) {
			connects_taken = i + 1;
			return &wires[i];
		}
	return NULL;
}

void
fake_fail_connects(bool on)
{
	connects_fail = on;
}

static void
end(struct stream *s, enum stream_end why, const char *text)
{
	if (s->is_ended)
		return;
	s->is_ended = true;
	s->ops->on_end(s->owner, why, text);
}

void
fake_connected(struct wire *w)
{
	must(w->is_connecting);
	w->is_connecting = false;
	if (w->stream) {
		w->stream->is_connecting = false;
		w->stream->ops->on_open(w->stream->owner);
	}
}

void
fake_refused(struct wire *w)
{
	must(w->is_connecting);
	w->is_connecting = false;
	if (w->stream) {
		w->stream->is_connecting = false;
		end(w->stream, STREAM_END_REFUSED, "Connection refused");
	}
}

bool
stream_is_silent(const struct stream *s)
{
	return s->rest.n == 0;
}

/* Hand everything there is to the owner, in a copy that is gone afterwards: who keeps a view of it is caught. */
static void
handle(struct stream *s)
{
	if (s->fd < 0 || s->is_paused || s->is_suspended || s->is_ended || s->rest.n == 0)
		return;
	size_t n = s->rest.n;
	uint8_t *copy = malloc(n);
	memcpy(copy, s->rest.p, n);
	event++;
	s->is_in_handler = true;
	size_t used = s->ops->on_data(s->owner, view_of(copy, n));
	s->is_in_handler = false;
	free(copy);
	must(used <= n);
	if (s->fd < 0)
		buf_free(&s->rest);
	else
		buf_drop_front(&s->rest, used);
}

static void
notice_end(struct wire *w)
{
	struct stream *s = w->stream;
	bool is_heard = s && (s->is_paused ? s->is_watched : !s->is_suspended);
	if (is_heard && w->has_ended)
		end(s, STREAM_END_EOF, "connection closed");
}

void
fake_deliver(struct wire *w, struct view bytes)
{
	struct stream *s = w->stream;
	if (s == NULL || s->is_ended)
		return;
	buf_add(&s->rest, bytes);
	handle(s);
}

void
fake_end(struct wire *w)
{
	w->has_ended = true;
	notice_end(w);
}

void
fake_drain(struct wire *w)
{
	struct stream *s = w->stream;
	w->is_full = false;
	if (s && s->is_blocked) {
		s->is_blocked = false;
		s->ops->on_drained(s->owner);
	}
}

bool
fake_has_room(void)
{
	return wire_count < WIRES_MAX - 100;
}

void
fake_reset(void)
{
	for (int i = 0; i < wire_count; i++)
		buf_free(&wires[i].out);
	wire_count = connects_taken = 0;
	fake_on_turn = NULL;
	connects_fail = false;
}

/* ---- net/stream.h ---- */

void
stream_open(struct stream *s, struct loop *loop, int fd, const struct stream_ops *ops, void *owner)
{
	*s = (struct stream){ .loop = loop, .fd = fd, .ops = ops, .owner = owner };
	struct wire *w = wire_of(s);
	w->stream = s;
	s->ssl = w->is_tls ? (struct ssl_st *)(void *)w : NULL; /* nobody looks into it here */
}

bool
stream_connect(struct stream *s, struct loop *loop, const struct sockaddr *address, socklen_t address_bytes,
               const struct stream_ops *ops, void *owner)
{
	char host[64];
	if (connects_fail) {
		*s = (struct stream){ .fd = -1 };
		errno = ECONNREFUSED;
		return false;
	}
	struct wire *w = wire_new();
	w->is_ours = w->is_connecting = true;
	*s = (struct stream){ .loop = loop, .fd = w->fd, .ops = ops, .owner = owner, .is_connecting = true };
	w->stream = s;
	address_text(address, host, sizeof(host), &w->port);
	return true;
}

bool
stream_is_open(const struct stream *s)
{
	return s->loop != NULL && s->fd >= 0;
}

void
stream_close(struct stream *s)
{
	if (!stream_is_open(s))
		return;
	struct wire *w = wire_of(s);
	w->is_closed = true;
	w->stream = NULL;
	node_remove(&s->again_node);
	s->is_ended = true;
	s->fd = -1;
	if (!s->is_in_handler)
		buf_free(&s->rest);
}

void
stream_gather(struct stream *s, struct view v)
{
	if (v.n == 0 || s->fd < 0 || s->is_ended)
		return;
	struct wire *w = wire_of(s);
	must(!s->is_connecting);
	if (w->event != event)
		w->unsent = 0;
	w->event = event;
	w->unsent += v.n;
	buf_add(&w->out, v);
	if (w->is_full && !s->is_blocked) {
		s->is_blocked = true;
		s->ops->on_blocked(s->owner);
	}
}

void
stream_put(struct stream *s, struct view v)
{
	stream_send(s, v);
}

void
stream_flush(struct stream *s)
{
}

bool
stream_unsend(struct stream *s, uint64_t sends)
{
	struct wire *w = wire_of(s);
	if (s->fd < 0 || s->is_blocked || w->event != event || w->unsent == 0)
		return false;
	must(w->unsent <= w->out.n);
	w->out.n -= w->unsent;
	w->unsent = 0;
	return true;
}

void
stream_pause(struct stream *s)
{
	s->is_paused = true;
	s->is_watched = false;
}

void
stream_pause_watching(struct stream *s)
{
	s->is_paused = true;
	s->is_watched = true;
}

static void
handle_later(struct stream *s)
{
	if (!s->is_ended && !node_is_in(&s->again_node))
		list_append(&s->loop->again, &s->again_node);
}

void
stream_resume(struct stream *s)
{
	if (!s->is_paused || s->fd < 0)
		return;
	s->is_paused = false;
	if (!s->is_suspended)
		handle_later(s);
}

void
stream_suspend(struct stream *s)
{
	s->is_suspended = true;
}

void
stream_wake(struct stream *s)
{
	if (!s->is_suspended || s->fd < 0)
		return;
	s->is_suspended = false;
	if (!s->is_paused)
		handle_later(s);
}

void
stream_handle_again(struct stream *s)
{
	handle(s);
	if (s->fd >= 0)
		notice_end(wire_of(s));
}

bool
stream_start_tls_server(struct stream *s, struct tls_context *context, struct view taken)
{
	return false;
}

bool
stream_start_tls_client(struct stream *s, struct tls_context *context, const char *host, enum stream_checks checks,
                        bool alpn)
{
	return false;
}

size_t
stream_binding_hash(const struct stream *s, uint8_t out[TLS_HASH_MAX])
{
	return 0;
}

bool
stream_has_alpn(const struct stream *s)
{
	return false;
}

struct tls_context *
stream_tls_context(const struct stream *s)
{
	return NULL;
}

void
stream_describe_tls(const struct stream *s, char *text, size_t room)
{
	text[0] = '\0';
}

static bool
give_name(const char *name, char *out, size_t room)
{
	snprintf(out, room, "%s", name);
	return name[0] != '\0' && strlen(name) < room;
}

bool
stream_has_peer_certificate(const struct stream *s)
{
	const struct wire *w = wire_of(s);
	return w->common_name[0] || w->distinguished_name[0];
}

bool
stream_peer_common_name(const struct stream *s, char *out, size_t room)
{
	return give_name(wire_of(s)->common_name, out, room);
}

bool
stream_peer_distinguished_name(const struct stream *s, char *out, size_t room)
{
	return give_name(wire_of(s)->distinguished_name, out, room);
}

bool
stream_peer_uid(const struct stream *s, uid_t *uid)
{
	*uid = wire_of(s)->uid;
	return wire_of(s)->has_uid;
}

void
address_text(const struct sockaddr *a, char *host, size_t room, uint16_t *port)
{
	const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)a;
	snprintf(host, room, "127.0.0.1");
	*port = a->sa_family == AF_INET ? ntohs(in->sin_port) : 0;
}

void
stream_peer(const struct stream *s, struct sockaddr_storage *out)
{
	struct sockaddr_in *in = (struct sockaddr_in *)(void *)out;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)(void *)out;
	const char *address = wire_of(s)->address[0] ? wire_of(s)->address : "127.0.0.1";
	*out = (struct sockaddr_storage){ .ss_family = AF_UNSPEC };
	if (inet_pton(AF_INET, address, &in->sin_addr) == 1)
		*in = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(1), .sin_addr = in->sin_addr };
	else if (inet_pton(AF_INET6, address, &in6->sin6_addr) == 1)
		in6->sin6_family = AF_INET6;
}

void
stream_peer_address(const struct stream *s, char *host, size_t room, uint16_t *port)
{
	snprintf(host, room, "127.0.0.1");
	*port = 1;
}

void
stream_local_address(const struct stream *s, char *host, size_t room, uint16_t *port)
{
	stream_peer_address(s, host, room, port);
}

void
socket_tune(int fd, const struct socket_options *o)
{
}

/* ---- net/loop.h ---- */

struct timer {
	struct timer *next;
	struct loop *loop;
	timer_fn *fn;
	void *context;
	uint64_t period_us, due_us; /* due_us 0: asleep */
	bool is_set;
};

static struct timer *timers;

struct loop *
loop_new(struct loop_hooks hooks, void *context)
{
	struct loop *loop = heap_alloc(sizeof(*loop));
	loop->hooks = hooks;
	loop->context = context;
	list_init(&loop->again);
	return loop;
}

void
loop_free(struct loop *loop)
{
	heap_free(loop);
}

void
loop_stop(struct loop *loop)
{
	loop->is_stopping = true;
}

void
loop_flush_all(struct loop *loop)
{
}

bool (*fake_on_turn)(void);

void
fake_turn(struct loop *loop)
{
	for (int i = 0; i < 10000; i++) {
		loop->turns++;
		loop->hooks.settle(loop->context);
		struct node *n = list_first(&loop->again);
		if (n == NULL && fake_on_turn && fake_on_turn())
			continue;
		if (n == NULL) {
			loop->hooks.reap(loop->context);
			return;
		}
		node_remove(n);
		stream_handle_again(node_owner(n, struct stream, again_node));
	}
	must(!"the loop comes to rest");
}

void
fake_advance(struct loop *loop, uint64_t us)
{
	uint64_t until = clock_now_us() + us;
	for (;;) {
		struct timer *first = NULL;
		for (struct timer *t = timers; t; t = t->next)
			if (t->is_set && t->due_us <= until && (first == NULL || t->due_us < first->due_us))
				first = t;
		if (first == NULL)
			break;
		if (first->due_us > clock_now_us())
			clock_set(first->due_us);
		if (first->period_us)
			first->due_us += first->period_us;
		else
			first->is_set = false;
		first->fn(first->context);
		fake_turn(loop);
	}
	clock_set(until);
	fake_turn(loop);
}

static struct timer *
timer_make(struct loop *loop, uint64_t period_us, timer_fn *fn, void *context)
{
	struct timer *t = heap_alloc(sizeof(*t));
	*t = (struct timer){ .next = timers, .loop = loop, .fn = fn, .context = context, .period_us = period_us };
	t->due_us = clock_now_us() + period_us;
	t->is_set = period_us > 0;
	return timers = t;
}

struct timer *
timer_every(struct loop *loop, uint64_t period_us, timer_fn *fn, void *context)
{
	return timer_make(loop, period_us, fn, context);
}

struct timer *
timer_new(struct loop *loop, timer_fn *fn, void *context)
{
	return timer_make(loop, 0, fn, context);
}

void
timer_set(struct timer *t, uint64_t after_us)
{
	t->due_us = clock_now_us() + after_us;
	t->is_set = true;
}

void
timer_clear(struct timer *t)
{
	t->is_set = false;
}

bool
timer_is_set(const struct timer *t)
{
	return t->is_set;
}

void
timer_free(struct timer *t)
{
	if (t == NULL)
		return;
	struct timer **at = &timers;
	while (*at != t)
		at = &(*at)->next;
	*at = t->next;
	heap_free(t);
}

/* ---- net/resolve.h: numbers only, at once ---- */

struct resolver *
resolver_new(struct loop *loop, const struct resolver_settings *settings)
{
	return heap_alloc(1);
}

void
resolver_tune(struct resolver *r, const struct resolver_settings *settings)
{
}

void
resolver_on_change(struct resolver *r, resolver_change_fn *fn, void *context)
{
}

void
resolver_tick(struct resolver *r)
{
}

void
resolve_keep(struct resolver *r, const char *host)
{
}

void
resolve_worked(struct resolver *r, const char *host, const struct sockaddr_storage *address)
{
}

void
resolve_failed(struct resolver *r, const char *host, const struct sockaddr_storage *address)
{
}

bool
resolve_distrust(struct resolver *r, const char *host)
{
	return false;
}

bool
resolved_has(const struct resolved *in, const struct sockaddr_storage *address)
{
	return false;
}

void
resolver_free(struct resolver *r)
{
	heap_free(r);
}

struct resolve_request *
resolve_name(struct resolver *r, const char *host, uint16_t port, resolve_fn *fn, void *context)
{
	struct resolved answer = { .count = 1 };
	struct sockaddr_in *in = (struct sockaddr_in *)(void *)&answer.at[0].address;
	in->sin_family = AF_INET;
	in->sin_port = htons(port);
	answer.at[0].bytes = sizeof(*in);
	if (inet_pton(AF_INET, host, &in->sin_addr) != 1)
		answer = (struct resolved){ .error = "unknown name" };
	fn(context, &answer);
	return NULL;
}

void
resolve_cancel(struct resolve_request *q)
{
}

/* ---- net/tls.h, net/fetch.h: not here ---- */

struct tls_context *
tls_context_new(enum tls_role role, const struct tls_files *files, struct text *why)
{
	text_add(why, "no TLS in this test");
	return NULL;
}

void
tls_context_unref(struct tls_context *t)
{
}

struct tls_validity
tls_context_certificate(const struct tls_context *t)
{
	return (struct tls_validity){ 0 };
}

bool
tls_context_secret(const struct tls_context *t, const char *what_for, uint8_t out[TLS_SECRET_BYTES])
{
	return false;
}

struct tls_validity
tls_context_crl(const struct tls_context *t)
{
	return (struct tls_validity){ 0 };
}

bool
fetcher_is_ready(struct fetcher *f, struct text *why)
{
	return true;
}

struct fetcher *
fetcher_open(struct loop *loop)
{
	return heap_alloc(1);
}

void
fetcher_close(struct fetcher *f)
{
	heap_free(f);
}

/* Answered by the test, or never. */
struct fetch {
	struct fetch *next;
	char url[400];
	uint64_t late_us;
	fetch_done_fn *done;
	void *context;
};

static struct fetch *fetches;

struct fetch *
fetch_begin(struct fetcher *f, const struct fetch_request *request, fetch_done_fn *done, void *context)
{
	struct fetch *fetch = heap_alloc(sizeof(*fetch));
	uint64_t timeout_us = (request->timeout_ms ? request->timeout_ms : 1000) * MILLISECOND_US;
	*fetch = (struct fetch){ .done = done, .context = context, .late_us = clock_now_us() + timeout_us };
	snprintf(fetch->url, sizeof(fetch->url), "%s", request->url);
	struct fetch **at = &fetches;
	while (*at)
		at = &(*at)->next;
	return *at = fetch;
}

void
fetch_cancel(struct fetch *fetch)
{
	if (fetch == NULL)
		return;
	struct fetch **at = &fetches;
	while (*at != fetch)
		at = &(*at)->next;
	*at = fetch->next;
	heap_free(fetch);
}

struct fetch *
fake_fetch(struct fetch *after)
{
	return after ? after->next : fetches;
}

const char *
fake_fetch_url(const struct fetch *fetch)
{
	return fetch->url;
}

bool
fake_fetch_is_late(const struct fetch *fetch)
{
	return clock_now_us() >= fetch->late_us;
}

void
fake_fetched(struct fetch *fetch, enum fetch_outcome outcome, int status, const char *body)
{
	struct fetch_answer answer = { .outcome = outcome, .status = status, .body = view_of_string(body),
		                       .error = outcome == FETCH_OK ? "" : "no answer in this test" };
	fetch_done_fn *done = fetch->done;
	void *context = fetch->context;
	fetch_cancel(fetch);
	done(&answer, context);
}

const char *
fetch_outcome_name(enum fetch_outcome outcome)
{
	return "none";
}

/* ---- net/pq.h: asked by the test, answered by the test ---- */

struct pq {
	struct pq *next;
	uint16_t port;
	char value[200];
	pq_done_fn *done; /* NULL: idle */
	void *context;
	uint64_t asked; /* its place in the order of questions */
	bool is_connected;
};

static struct pq *pqs;
static uint64_t pq_questions;

bool
pq_is_ready(struct text *why)
{
	return true;
}

struct pq *
pq_open(struct loop *loop, struct resolver *resolver, const struct pq_target *target)
{
	struct pq *q = heap_alloc(sizeof(*q));
	*q = (struct pq){ .next = pqs, .port = target->port };
	return pqs = q;
}

void
pq_close(struct pq *q)
{
	if (q == NULL)
		return;
	struct pq **at = &pqs;
	while (*at != q)
		at = &(*at)->next;
	*at = q->next;
	heap_free(q);
}

void
pq_ask(struct pq *q, const struct pq_question *question, pq_done_fn *done, void *context)
{
	must(q->done == NULL);
	snprintf(q->value, sizeof(q->value), "%s", question->value);
	q->done = done;
	q->context = context;
	q->asked = ++pq_questions;
}

bool
pq_is_connected(const struct pq *q)
{
	return q->is_connected;
}

uint32_t
pq_backend(const struct pq *q)
{
	return q->is_connected;
}

const char *
pq_outcome_name(enum pq_outcome outcome)
{
	return "some";
}

struct pq *
fake_question(const char **value, uint16_t *port)
{
	struct pq *oldest = NULL;
	for (struct pq *q = pqs; q; q = q->next)
		if (q->done && (oldest == NULL || q->asked < oldest->asked))
			oldest = q;
	if (oldest) {
		*value = oldest->value;
		*port = oldest->port;
	}
	return oldest;
}

void
fake_answer(struct pq *q, enum pq_outcome outcome, const char *name, const char *text)
{
	struct pq_answer answer = { .outcome = outcome, .sqlstate = "", .error = "" };
	pq_done_fn *done = q->done;
	if (outcome == PQ_OK) {
		answer.columns = 2;
		answer.rows = name != NULL;
		answer.first[0].bytes = view_of_string(name ? name : "");
		answer.first[1].bytes = view_of_string(text ? text : "");
		answer.first[1].is_null = text == NULL;
	} else {
		answer.error = text ? text : "some error";
	}
	q->is_connected = outcome == PQ_OK || outcome == PQ_ERROR;
	q->done = NULL;
	done(&answer, q->context);
}
