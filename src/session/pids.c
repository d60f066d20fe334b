/* session/pids.c - see the header. */
#include "session/pids.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "session/client.h"
#include "session/link.h"
#include "session/pins.h"
#include "session/server.h"
#include "session/touch.h"

#define SIGNALLED_US (3 * SECOND_US) /* a backend that does not get to its end sooner is taken for one that fails over */
#define WAIT_US (3 * SECOND_US) /* for a server of somebody who has none, where none is free */
enum { DIGITS_MAX = 10 };

void
pids_note(struct client *c, uint32_t touches)
{
	if (touches & TOUCH_READS_PID)
		c->told_by = c->link->id;
	if (touches & TOUCH_SIGNALS)
		c->proxy->signalled_us = clock_now_us();
}

bool
pids_were_signalled(const struct proxy *x)
{
	return x->signalled_us && clock_now_us() - x->signalled_us < SIGNALLED_US;
}

/* ---- whose id it is ---- */

/* With a peer_id several clients may have the same: then it names none. */
static struct client *
client_of_ours(const struct proxy *x, uint32_t pid)
{
	struct client *found = NULL;
	list_each(&x->clients, n, after)
	{
		struct client *t = node_owner(n, struct client, node);
		if (!t->has_key || client_cancel_pid(t) != pid)
			continue;
		if (found)
			return NULL;
		found = t;
	}
	return found;
}

static struct server *
server_of_pid(const struct proxy *x, uint32_t pid)
{
	list_each(&x->servers, n, after)
	{
		struct server *s = node_owner(n, struct server, node);
		if (s->pid == pid)
			return s;
	}
	return NULL;
}

static bool
may_lend(const struct client *t)
{
	return t->state == CLIENT_IDLE && t->pool && !proxy_is_paused(t->proxy) && !t->pool->database->is_paused;
}

/* It does not part from its server while the signal is on its way: an answer to what its session has may come before that. */
static void
keep_for_now(struct client *t)
{
	if (t->pool->rules.pool_mode == POOL_MODE_SESSION || t->state != CLIENT_LINKED)
		return;
	t->kept_until_us = clock_now_us() + SECOND_US;
	pins_found(t, t->pins | (uint32_t)PIN_UNKNOWN); /* then it is asked, and is none any more */
}

/* As if it had begun a transaction: what happens to the server happens to the client. */
static void
lend(struct client *t, struct server *s)
{
	t->request_us = clock_now_us();
	link_join(t, s);
	client_enter(t, CLIENT_LINKED, "its process id was named");
	keep_for_now(t);
}

static void
queue_for(struct client *t, const struct client *by)
{
	t->request_us = clock_now_us();
	t->named_by = by->id;
	pool_wait_in_front(t->pool, &t->waiter, t->lane, t->request_us);
	proxy_dirty(t->proxy, t->pool);
	client_enter(t, CLIENT_WAITING, "its process id was named");
	stream_pause_watching(&t->stream);
}

static void
leave_queue(struct client *t)
{
	t->named_by = 0;
	pool_leave(&t->waiter);
	proxy_dirty(t->proxy, t->pool);
	client_enter(t, CLIENT_IDLE, "no server became free in time");
	stream_resume(&t->stream);
}

void
pids_linked(struct client *t)
{
	uint32_t by = t->named_by;
	t->named_by = 0;
	keep_for_now(t);
	list_each(&t->proxy->clients, n, after)
	{
		struct client *c = node_owner(n, struct client, node);
		if (c->id == by)
			pids_go_on(c);
	}
}

void
pids_go_on(struct client *c)
{
	if (!c->is_stalled || c->names_us == 0)
		return;
	c->is_stalled = false;
	stream_resume(&c->stream);
}

struct naming {
	struct client *by;
	bool waits;      /* for the server of somebody who has none yet */
	bool is_swapped; /* for one of its own */
};

/* Who was told the id of this server, and has nothing to do. */
static struct client *
told_by(const struct server *s, const struct client *but)
{
	list_each(&s->proxy->clients, n, after)
	{
		struct client *t = node_owner(n, struct client, node);
		if (t != but && t->told_by == s->id && t->pool == s->pool && may_lend(t))
			return t;
	}
	return NULL;
}

/* It would end itself: it got, by chance, the server that somebody else means. Nothing of its transaction was sent yet. */
static void
swap(struct client *c, struct server *s, struct client *t)
{
	link_give_back(s);
	if (s->state == SERVER_IDLE)
		lend(t, s);
	c->linked_count++;
	pool_wait_in_front(c->pool, &c->waiter, c->lane, clock_now_us());
	proxy_dirty(c->proxy, c->pool);
	client_enter(c, CLIENT_WAITING, "its server is meant for another");
	stream_pause_watching(&c->stream);
}

/* The server on which a client was told the id is its own now, if it has nothing else to do. */
static void
lend_told(struct naming *m, uint32_t pid)
{
	struct client *c = m->by;
	struct server *s = server_of_pid(c->proxy, pid);
	struct client *t = s ? told_by(s, c) : NULL;
	if (s && s->link && s->link != c && s->link->told_by == s->id)
		keep_for_now(s->link);
	else if (t && s->link == NULL && s->state == SERVER_IDLE)
		lend(t, s);
	else if (t && s->link == c && c->names_us == 0 && c->told_by != s->id && c->pins == 0 && !s->asked && s->touched == 0 && link_is_at_rest(s)) {
		swap(c, s, t);
		m->waits = m->is_swapped = true;
	}
}

/* The id by which PostgreSQL knows who is meant; the same if it is none of ours. */
static uint32_t
real_pid(struct naming *m, uint32_t pid)
{
	const struct proxy *x = m->by->proxy;
	if (pid < CANCEL_PID_OURS) {
		lend_told(m, pid);
		return pid;
	}
	struct client *t = client_of_ours(x, pid);
	if (t && may_lend(t)) {
		const struct pool_wish wish = { .now_us = clock_now_us(), .check_delay_us = UINT64_MAX };
		struct slot *slot = list_is_empty(&t->pool->waiting[t->lane]) ? pool_take(t->pool, t->lane, &wish) : NULL;
		if (slot)
			lend(t, server_of_slot(slot));
		else if (m->by->names_us == 0)
			queue_for(t, m->by);
	}
	if (t && t->state == CLIENT_WAITING && t->named_by == m->by->id) {
		bool is_late = m->by->names_us && clock_now_us() - m->by->names_us >= WAIT_US;
		if (is_late)
			leave_queue(t);
		m->waits |= !is_late;
	}
	if (t == NULL || t->link == NULL || t->link->pid == 0)
		return pid;
	if (t != m->by)
		keep_for_now(t);
	return t->link->pid;
}

/* ---- where it stands ---- */

static bool
is_part_of_word(uint8_t c)
{
	return isalnum(c) || c == '_' || c == '$' || c == '.' || c >= 128;
}

static uint32_t
number_of(struct view digits)
{
	uint64_t value = 0;
	if (digits.n == 0 || digits.n > DIGITS_MAX)
		return 0;
	for (size_t i = 0; i < digits.n; i++) {
		if (digits.p[i] < '0' || digits.p[i] > '9')
			return 0;
		value = value * 10 + (digits.p[i] - '0');
	}
	return value <= INT32_MAX ? (uint32_t)value : 0;
}

static bool
replace_digits(struct naming *m, struct view digits, struct buf *out)
{
	uint32_t pid = number_of(digits), real = pid ? real_pid(m, pid) : 0;
	char text[16];
	if (real == pid) {
		buf_add(out, digits);
		return false;
	}
	snprintf(text, sizeof(text), "%u", real);
	buf_add(out, view_of_string(text));
	return true;
}

static enum pids
result(struct naming *m, bool has_changed, struct buf *out)
{
	struct client *c = m->by;
	if (m->waits) {
		buf_free(out);
		if (c->names_us == 0)
			c->names_us = clock_now_us(); /* nor is it swapped again */
		if (m->is_swapped)
			return PIDS_WAIT;
		c->is_stalled = true;
		stream_pause(&c->stream);
		return PIDS_WAIT;
	}
	c->names_us = 0;
	if (!has_changed)
		buf_free(out);
	return has_changed ? PIDS_REPLACED : PIDS_AS_THEY_ARE;
}

enum pids
pids_replace_in_text(struct client *c, struct view text, struct buf *out)
{
	struct naming m = { .by = c };
	bool has_changed = false;
	for (size_t at = 0; at < text.n;) {
		size_t n = 0;
		while (at + n < text.n && is_part_of_word(text.p[at + n]))
			n++;
		if (n == 0)
			buf_add_u8(out, text.p[at++]);
		else
			has_changed |= replace_digits(&m, view_part(text, at, n), out);
		at += n;
	}
	return result(&m, has_changed, out);
}

/* In the text format or as an integer of two, four or eight bytes; what is replaced has four at least. */
static bool
replace_value(struct naming *m, struct view value, bool is_binary, struct buf *out)
{
	if (!is_binary) {
		struct buf text = { 0 };
		bool has_changed = replace_digits(m, value, &text);
		buf_add_be32(out, (uint32_t)text.n);
		buf_add(out, buf_view(&text));
		buf_free(&text);
		return has_changed;
	}
	bool is_wide = value.n == 8 && load_be32(value.p) == 0;
	uint32_t pid = value.n == 2 ? load_be16(value.p) : value.n == 4 ? load_be32(value.p) : is_wide ? load_be32(value.p + 4) : 0;
	uint32_t real = pid && pid <= INT32_MAX ? real_pid(m, pid) : pid;
	buf_add_be32(out, (uint32_t)value.n);
	if (real == pid) {
		buf_add(out, value);
		return false;
	}
	if (is_wide)
		buf_add_be32(out, 0);
	buf_add_be32(out, real);
	return true;
}

enum pids
pids_replace_in_bind(struct client *c, struct view tail, struct buf *out)
{
	struct naming m = { .by = c };
	bool has_changed = false;
	if (tail.n < 4)
		return PIDS_AS_THEY_ARE;
	uint32_t formats = load_be16(tail.p);
	size_t at = 2 + 2 * (size_t)formats;
	if (tail.n < at + 2)
		return PIDS_AS_THEY_ARE;
	uint32_t count = load_be16(tail.p + at);
	at += 2;
	buf_add(out, view_part(tail, 0, at));
	for (uint32_t i = 0; i < count; i++) {
		if (tail.n - at < 4)
			break;
		uint32_t size = load_be32(tail.p + at);
		bool is_null = size == UINT32_MAX;
		if (!is_null && tail.n - at - 4 < size)
			break;
		uint32_t format = formats == 0 ? 0 : load_be16(tail.p + 2 + 2 * (size_t)(formats == 1 || i >= formats ? 0 : i));
		if (is_null)
			buf_add_be32(out, size);
		else
			has_changed |= replace_value(&m, view_part(tail, at + 4, size), format == 1, out);
		at += 4 + (is_null ? 0 : size);
	}
	buf_add(out, view_from(tail, at));
	return result(&m, has_changed, out);
}
