/*
 * session/client_messages.c - what each message of a client that is logged in does.
 *
 *   client_on_data ─► client_handle ─► client_rules[letter] ─► forward to the linked server (session/link.c)
 *
 * A message is either streamed (its head is looked at, its body passes as it arrives, however large) or waited for until
 * it is whole, because something in it has to be read or rewritten. No handler runs twice on one message.
 * Source: PostgreSQL 16, 55.2 Message Flow.
 */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/heap.h"
#include "client_parts.h"
#include "session/ending.h"
#include "session/link.h"
#include "session/listen.h"
#include "session/pids.h"
#include "session/pins.h"
#include "session/repeat.h"
#include "wire/reply.h"
#include "wire/request.h"

/* ---- getting a server ---- */

enum flow
client_protocol_error(struct client *c, const char *text)
{
	client_fail(c, &(struct fault){ .by = FAULT_BY_CLIENT, .sqlstate = SQLSTATE_PROTOCOL_VIOLATION, .text = text });
	return FLOW_GONE;
}

enum flow
client_need_server(struct client *c)
{
	if (c->state == CLIENT_LINKED)
		return FLOW_MORE;
	struct proxy *x = c->proxy;
	struct pool *p = c->pool;
	const struct settings *set = &x->config->settings;
	c->request_us = clock_now_us();
	c->query_us = c->request_us;
	if (list_is_empty(&p->waiting[c->lane]) && !proxy_is_paused(x) && !p->database->is_paused) {
		uint64_t check_us = set->server_check_query[0] ? set->server_check_delay_us : UINT64_MAX;
		struct slot *slot = pool_take(p, c->lane, &(struct pool_wish){
			.now_us = c->request_us, .check_delay_us = check_us, .round_robin = set->server_round_robin, .wears = c->params });
		if (slot) {
			link_join(c, server_of_slot(slot));
			client_enter(c, CLIENT_LINKED, "server is free");
			return FLOW_MORE;
		}
	}
	c->waiter.wears = c->params;
	pool_wait(p, &c->waiter, c->lane, clock_now_us());
	proxy_dirty(x, p);
	client_enter(c, CLIENT_WAITING, "no server is free");
	stream_pause_watching(&c->stream);
	return FLOW_WAIT;
}

/* ---- messages ---- */

void
client_owe_nothing(struct client *c, struct owed_item item)
{
	if (owed_ends_with_ready(item.what))
		c->link->keeps_all = false; /* no ReadyForQuery for it: they could not be counted */
	if (item.named && item.what == OWED_CLOSE)
		named_list(&c->statements, item.named);
	else if (item.named && item.what == OWED_PARSE)
		named_unlist(&c->statements, item.named);
	owed_item_fini(&item);
}

bool
client_may_go(struct client *c, uint32_t bits, struct view text, bool runs)
{
	unsigned needs = bits & TOUCH_READS_LISTEN ? LISTEN_NEEDS_CHANNELS : 0;
	if (bits & (TOUCH_LISTEN | TOUCH_UNKNOWN))
		needs |= runs ? LISTEN_CHANGES : LISTEN_NEEDS_CHANNELS;
	if (bits & (TOUCH_NOTIFY | TOUCH_UNKNOWN))
		needs |= LISTEN_NEEDS_LEVEL;
	if (c->listen && !c->link->listens && ending_read(text).is == ENDING_BEGIN)
		needs |= LISTEN_NEEDS_CHANNELS;
	return needs == 0 || listen_before(c, needs);
}

uint32_t
client_refused(const struct client *c, const struct sql_facts *facts)
{
	return facts && c->pool->rules.pinning == PINNING_REFUSE ? pins_named(facts) : 0;
}

void
client_send_refused(struct client *c, const struct frame *f, struct view all, struct owed_item item, const char *name)
{
	struct buf b = { 0 };
	if (item.what == OWED_PARSE)
		request_parse(&b, name, VIEW(PINS_REFUSED_TEXT), (struct view){ 0 });
	else
		request_query(&b, PINS_REFUSED_TEXT);
	owe(c, item);
	stream_put(&c->link->stream, buf_view(&b));
	drop(c, f, all);
	buf_free(&b);
}

/* The string at the front of a message's body, as far as it has arrived. */
static struct view
text_of(struct view body, bool is_whole)
{
	return view_part(body, 0, is_whole && body.n > 0 ? strnlen((const char *)body.p, body.n - 1) : body.n);
}

enum flow
client_before_text(struct client *c, uint32_t bits, const struct sql_facts *facts)
{
	if (prepared_is_reserved(facts))
		return client_protocol_error(c, "statement names that begin with pgsluice_ are reserved");
	return prepared_before_text(c, bits, facts) ? FLOW_MORE : FLOW_WAIT;
}

void
client_note_text(struct client *c, struct touch t, const struct sql_facts *facts)
{
	touch_note(c, t, facts);
	if (t.bits & TOUCH_PREPARED)
		prepared_note_loose(c, facts);
	if (t.bits & TOUCH_NAMES_PREPARED)
		prepared_note(c, facts); /* the last: of facts there may be nothing left */
}

static enum flow
client_run_query(struct client *c, const struct frame *f, struct view all)
{
	if (c->proxy->config->settings.disable_pqexec)
		return client_protocol_error(c, "PQexec disallowed (disable_pqexec)");
	if (f->size <= TEXT_WHOLE_MAX && !frame_is_whole(f) && client_is_watched(c))
		return FLOW_WAIT;
	enum flow flow = client_need_server(c);
	if (flow != FLOW_MORE)
		return flow;
	if (is_in_copy(c))
		return client_protocol_error(c, "Query message during COPY from the client");
	uint32_t refused = 0;
	struct buf real = { 0 };
	struct named *outcome = NULL;
	if (client_is_watched(c)) {
		const struct sql_facts *facts;
		struct view text = text_of(f->body, frame_is_whole(f));
		struct touch t = touch_judge(c, text, frame_is_whole(f), &facts);
		t.is_simple = true;
		refused = client_refused(c, facts);
		if (!refused && !client_may_go(c, t.bits, text, true))
			return FLOW_WAIT;
		flow = !refused && (t.bits & TOUCH_NEEDS_NAMES) ? client_before_text(c, t.bits, facts) : FLOW_MORE;
		if (flow != FLOW_MORE)
			return flow;
		if (!refused && (t.bits & TOUCH_SIGNALS) && pids_replace_in_text(c, text, &real) == PIDS_WAIT)
			return FLOW_WAIT;
		if (!refused)
			outcome = prepared_outcome(c, text, facts, &t);
		if (!refused) {
			touch_before(c, t);
			client_note_text(c, t, facts);
		}
	}
	struct owed_item item = { .what = OWED_QUERY, .refused = (uint16_t)refused, .named = outcome };
	if (!c->link->owed.is_skipping) { /* a simple query drops the unnamed statement */
		buf_free(&c->unnamed);
		c->unnamed_on = 0;
	}
	c->link->unnamed_of = 0;
	if (refused) {
		client_send_refused(c, f, all, item, NULL);
		return FLOW_MORE;
	}
	owe(c, item);
	if (real.n == 0) {
		forward(c, f, all);
		return FLOW_MORE;
	}
	struct buf b = { 0 };
	buf_add_u8(&real, '\0');
	request_query(&b, (const char *)real.p);
	stream_put(&c->link->stream, buf_view(&b));
	buf_free(&b);
	buf_free(&real);
	return FLOW_MORE;
}

static enum flow
client_run_function(struct client *c, const struct frame *f, struct view all)
{
	enum flow flow = client_need_server(c);
	if (flow != FLOW_MORE)
		return flow;
	if (is_in_copy(c))
		return client_protocol_error(c, "FunctionCall message during COPY from the client");
	if (client_is_watched(c))
		touch_note_function(c, f->body.n >= 4 ? load_be32(f->body.p) : 0);
	owe(c, (struct owed_item){ .what = OWED_FUNCTION });
	forward(c, f, all);
	return FLOW_MORE;
}

static enum flow
client_run_execute(struct client *c, const struct frame *f, struct view all)
{
	enum flow flow = client_need_server(c);
	if (flow != FLOW_MORE)
		return flow;
	if (is_in_copy(c))
		return client_protocol_error(c, "Execute message during COPY from the client");
	owe(c, (struct owed_item){ .what = OWED_EXECUTE });
	forward(c, f, all);
	return FLOW_MORE;
}

static enum flow
client_run_sync(struct client *c, const struct frame *f, struct view all)
{
	if (frame_body_size(f) > 0)
		return client_protocol_error(c, "malformed Sync message");
	if (c->state == CLIENT_IDLE) { /* nothing is open, so nothing has to be asked */
		struct buf b = { 0 };
		reply_ready(&b, 'I');
		client_send(c, buf_view(&b));
		buf_free(&b);
		drop(c, f, all);
		return FLOW_MORE;
	}
	if (is_in_copy(c)) { /* the server would ignore it */
		drop(c, f, all);
		return FLOW_MORE;
	}
	/* Answers that we give ourselves are due now at the latest: before the Sync's own, which the order of the queue sees to. */
	owe(c, (struct owed_item){ .what = OWED_SYNC });
	forward(c, f, all);
	return FLOW_MORE;
}

enum { COPY_FAIL_MAX = 10000 }; /* PQ_SMALL_MESSAGE_LIMIT of release 14: the server closes the connection beyond it */

/* Flush, and data of a COPY: to the server if there is one; else ignored, as PostgreSQL does outside of a COPY. */
static enum flow
client_run_copy(struct client *c, const struct frame *f, struct view all)
{
	/* Nothing is owed for these. PostgreSQL answers malformed ones all the same: when the server may be another's by then. */
	uint32_t body_max = f->type == FE_COPY_DATA ? UINT32_MAX : f->type == FE_COPY_FAIL ? COPY_FAIL_MAX : 0;
	if (frame_body_size(f) > body_max)
		return client_protocol_error(c, "malformed Flush, CopyDone or CopyFail message");
	if (c->state != CLIENT_LINKED) {
		drop(c, f, all);
		return FLOW_MORE;
	}
	if (f->type == FE_FLUSH && owed_is_ours(&c->link->owed))
		link_pop_ours(c->link);
	if (f->type == FE_COPY_DONE || f->type == FE_COPY_FAIL) {
		if (!c->link->is_copy_in && !owed_is_empty(&c->link->owed))
			owe(c, (struct owed_item){ .what = OWED_COPY_END });
		c->link->is_copy_in = c->link->keeps_no_more = false;
	}
	forward(c, f, all);
	c->in_is_data = c->in_left > 0;
	return FLOW_MORE;
}

static enum flow
client_run_terminate(struct client *c, const struct frame *f, struct view all)
{
	client_close(c, FAULT_BY_CLIENT, "client closed the connection");
	return FLOW_GONE;
}

enum intake { INTAKE_STREAM, INTAKE_WHOLE };

static const struct client_rule {
	enum intake intake;
	enum flow (*run)(struct client *c, const struct frame *f, struct view all);
} client_rules[128] = {
	[FE_QUERY] = { INTAKE_STREAM, client_run_query },
	[FE_PARSE] = { INTAKE_STREAM, client_run_parse }, /* waits for the whole of what it has to remember */
	[FE_BIND] = { INTAKE_STREAM, client_run_bind },   /* waits for the two names */
	[FE_DESCRIBE] = { INTAKE_WHOLE, client_run_describe },
	[FE_EXECUTE] = { INTAKE_STREAM, client_run_execute },
	[FE_CLOSE] = { INTAKE_WHOLE, client_run_close },
	[FE_SYNC] = { INTAKE_STREAM, client_run_sync },
	[FE_FLUSH] = { INTAKE_STREAM, client_run_copy },
	[FE_FUNCTION_CALL] = { INTAKE_STREAM, client_run_function },
	[FE_COPY_DATA] = { INTAKE_STREAM, client_run_copy },
	[FE_COPY_DONE] = { INTAKE_STREAM, client_run_copy },
	[FE_COPY_FAIL] = { INTAKE_STREAM, client_run_copy },
	[FE_TERMINATE] = { INTAKE_WHOLE, client_run_terminate },
};

/* ---- a request that was cancelled while it waited ---- */

void
client_cancel_waiting(struct client *c)
{
	struct buf b = { 0 };
	if (c->named_by) /* it waits for nothing of its own: session/pids.h */
		return;
	if (c->repeat) { /* it did not only wait */
		repeat_refuse(c, "canceled while it waited");
		return;
	}
	pool_leave(&c->waiter);
	proxy_dirty(c->proxy, c->pool);
	reply_error(&b, "ERROR", &(struct fault){ .sqlstate = SQLSTATE_QUERY_CANCELED,
	                                          .text = "canceling statement due to user request" });
	client_send(c, buf_view(&b));
	buf_free(&b);
	c->skips = SKIPS_FIRST;
	client_enter(c, CLIENT_IDLE, "cancelled while waiting");
	client_handle_again(c); /* skipped, if it is known already */
	stream_resume(&c->stream);
}

void
client_fail_later(struct client *c, bool is_unknown, const char *why)
{
	c->why_lost = heap_string(why);
	c->is_lost_unknown = is_unknown;
	c->skips = SKIPS_TO_SYNC;
}

/* The error that waited for its next message. Behind a Query that was dropped for it nothing is skipped. */
static void
tell_lost(struct client *c, bool is_simple)
{
	struct buf b = { 0 };
	if (c->is_lost_unknown)
		client_add_unknown(&b, c->why_lost);
	else
		client_add_aborted(c, &b, false, c->why_lost);
	heap_free(c->why_lost);
	c->why_lost = NULL;
	if (is_simple)
		c->skips = SKIPS_FIRST;
	client_send(c, buf_view(&b));
	buf_free(&b);
}

/* What belongs to the cancelled request: a Query, or everything up to the next Sync. Then the client may go on. */
void
client_skip(struct client *c, const struct frame *f, struct view all)
{
	bool is_simple = f->type == FE_QUERY || f->type == FE_FUNCTION_CALL;
	drop(c, f, all);
	if (c->why_lost)
		tell_lost(c, is_simple);
	if (f->type != FE_SYNC && !(is_simple && c->skips == SKIPS_FIRST)) {
		c->skips = SKIPS_TO_SYNC;
		return;
	}
	struct buf b = { 0 };
	reply_ready(&b, c->state == CLIENT_ABORTED ? 'E' : 'I');
	client_send(c, buf_view(&b));
	buf_free(&b);
	c->skips = SKIPS_NOTHING;
}

static void
client_pass_rest(struct client *c, struct view part)
{
	if (c->in_goes && c->link)
		stream_send(&c->link->stream, part);
	c->in_left -= (uint32_t)part.n;
	if (c->in_left == 0)
		c->in_is_data = false;
	/* Its transaction may have ended while the rest of a message was still on its way. */
	if (c->in_left == 0 && c->link)
		link_rest(c->link);
}

void
client_handle_again(struct client *c)
{
	struct buf b = c->again;
	c->again = (struct buf){ 0 };
	c->is_repeating = true;
	if (b.n > 0 && client_handle(c, buf_view(&b)) < b.n && c->state != CLIENT_CLOSED)
		client_protocol_error(c, "a request could not be sent again");
	c->is_repeating = false;
	loop_flush(c->proxy->loop); /* a server, the client's or one that it has just left, may hold views of b */
	buf_free(&b);
}

size_t
client_handle(struct client *c, struct view in)
{
	size_t at = 0;
	uint32_t max = (uint32_t)c->proxy->config->settings.max_packet_size_bytes;
	struct server *kept_by = c->link && !c->link->keeps_no_more ? c->link : NULL;
	size_t kept_from = 0;
	if (c->state == CLIENT_LINKED && c->query_us == 0)
		c->query_us = clock_now_us();
	while (at < in.n && (c->state == CLIENT_IDLE || c->state == CLIENT_LINKED)) {
		if (c->in_left > 0) {
			struct view part = view_part(in, at, c->in_left);
			at += part.n;
			client_pass_rest(c, part);
			if (c->link == NULL)
				kept_by = NULL;
			continue;
		}
		struct frame f;
		enum frame_result r = frame_peek((struct view){ in.p + at, in.n - at }, max, &f);
		if (r == FRAME_SHORT)
			break;
		const struct client_rule *rule = &client_rules[(uint8_t)f.type & 127];
		if (r == FRAME_BAD || rule->run == NULL || (uint8_t)f.type > 127) {
			char text[100];
			snprintf(text, sizeof(text),
			         r == FRAME_BAD ? "invalid message length" : "invalid frontend message type %d",
			         r == FRAME_BAD ? 0 : (uint8_t)in.p[at]);
			client_protocol_error(c, text);
			break;
		}
		if (rule->intake == INTAKE_WHOLE && !frame_is_whole(&f)) {
			if (f.size > LOOP_IN_BYTES / 2)
				client_protocol_error(c, "message is too long for its kind");
			break;
		}
		if (c->link && c->link->asked && f.type != FE_TERMINATE && state_is_awaited(c->link)) {
			c->is_stalled = true;
			stream_pause(&c->stream);
			break;
		}
		struct view all = view_part(in, at, f.size);
		if (c->skips != SKIPS_NOTHING && f.type != FE_TERMINATE) {
			client_skip(c, &f, all);
			at += all.n;
			continue;
		}
		enum flow flow = rule->run(c, &f, all);
		if (flow != FLOW_MORE)
			break;
		if (c->link != kept_by) { /* its first message, or the first after data of a COPY */
			kept_by = c->link;
			kept_from = at;
		}
		at += all.n;
	}
	if (c->link && c->link == kept_by)
		server_keep(kept_by, view_part(in, kept_from, at - kept_from));
	if (c->database)
		c->database->stats.bytes_received += at;
	return at;
}
