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
#include "session/client.h"
#include "session/ending.h"
#include "session/link.h"
#include "session/listen.h"
#include "session/lost.h"
#include "session/pids.h"
#include "session/pins.h"
#include "session/prepared.h"
#include "session/repeat.h"
#include "session/server.h"
#include "session/state.h"
#include "session/touch.h"
#include "sql/cache.h"
#include "wire/reply.h"
#include "wire/request.h"

/* ---- getting a server ---- */

enum flow {
	FLOW_MORE, /* this message is dealt with; what is still to come of it follows c->in_left */
	FLOW_WAIT, /* not touched: more of it has to arrive, or a server; the stream is paused in the latter case */
	FLOW_GONE, /* the client is closed */
};

static enum flow
client_protocol_error(struct client *c, const char *text)
{
	client_fail(c, &(struct fault){ .by = FAULT_BY_CLIENT, .sqlstate = SQLSTATE_PROTOCOL_VIOLATION, .text = text });
	return FLOW_GONE;
}

/* FLOW_MORE: it is linked. FLOW_WAIT: it queues, and client_linked() goes on. */
static enum flow
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

static void
forward(struct client *c, const struct frame *f, struct view all)
{
	stream_send(&c->link->stream, all);
	c->in_left = f->size - (uint32_t)all.n;
	c->in_goes = true;
}

static void
drop(struct client *c, const struct frame *f, struct view all)
{
	c->in_left = f->size - (uint32_t)all.n;
	c->in_goes = false;
}

/* The server will ignore the message, so nothing is owed for it, and what it was to change is not changed. */
static void
owe_nothing(struct client *c, struct owed_item item)
{
	if (owed_ends_with_ready(item.what))
		c->link->keeps_all = false; /* no ReadyForQuery for it: they could not be counted */
	if (item.named && item.what == OWED_CLOSE)
		named_list(&c->statements, item.named);
	else if (item.named && item.what == OWED_PARSE)
		named_unlist(&c->statements, item.named);
	owed_item_fini(&item);
}

static inline void
owe(struct client *c, struct owed_item item)
{
	struct owed *o = &c->link->owed;
	if (__builtin_expect(o->is_skipping && item.what != OWED_SYNC, 0))
		owe_nothing(c, item);
	else
		owed_push(o, item);
}

/* In the middle of a COPY the server takes data only; anything else would end in confusion about who answers what. */
static bool
is_in_copy(const struct client *c)
{
	return c->link->is_copy_in;
}

/*
 * What LISTEN has to do with a text that goes to the server: runs, or is only parsed for the time being. True: nothing is left to do
 * before it goes.
 */
static bool
may_go(struct client *c, uint32_t bits, struct view text, bool runs)
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

/* What this text names can't be had here (pinning = refuse), or 0: enum pin. */
static uint32_t
refused_of(const struct client *c, const struct sql_facts *facts)
{
	return facts && c->pool->rules.pinning == PINNING_REFUSE ? pins_named(facts) : 0;
}

/* What fails goes in the place of a message: the server's transaction fails as it must, and in its turn. */
static void
send_refused(struct client *c, const struct frame *f, struct view all, struct owed_item item, const char *name)
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

enum { TEXT_WHOLE_MAX = 32 * 1024 }; /* of a longer text the server is told while it arrives: it may do anything */

/* The string at the front of a message's body, as far as it has arrived. */
static struct view
text_of(struct view body, bool is_whole)
{
	return view_part(body, 0, is_whole && body.n > 0 ? strnlen((const char *)body.p, body.n - 1) : body.n);
}

/* What the text names by names of statements must be on the server. */
static enum flow
before_text(struct client *c, uint32_t bits, const struct sql_facts *facts)
{
	if (prepared_is_reserved(facts))
		return client_protocol_error(c, "statement names that begin with pgsluice_ are reserved");
	return prepared_before_text(c, bits, facts) ? FLOW_MORE : FLOW_WAIT;
}

static void
note_text(struct client *c, struct touch t, const struct sql_facts *facts)
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
		refused = refused_of(c, facts);
		if (!refused && !may_go(c, t.bits, text, true))
			return FLOW_WAIT;
		flow = !refused && (t.bits & TOUCH_NEEDS_NAMES) ? before_text(c, t.bits, facts) : FLOW_MORE;
		if (flow != FLOW_MORE)
			return flow;
		if (!refused && (t.bits & TOUCH_SIGNALS) && pids_replace_in_text(c, text, &real) == PIDS_WAIT)
			return FLOW_WAIT;
		if (!refused)
			outcome = prepared_outcome(c, text, facts, &t);
		if (!refused) {
			touch_before(c, t);
			note_text(c, t, facts);
		}
	}
	struct owed_item item = { .what = OWED_QUERY, .refused = (uint16_t)refused, .named = outcome };
	if (!c->link->owed.is_skipping) { /* a simple query drops the unnamed statement */
		buf_free(&c->unnamed);
		c->unnamed_on = 0;
	}
	c->link->unnamed_of = 0;
	if (refused) {
		send_refused(c, f, all, item, NULL);
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

/* Make room before a statement is prepared: the longest unused goes. */
static void
make_holding(struct client *c, struct statement *st, struct buf *out)
{
	struct server *s = c->link;
	if (holdings_have(&s->holdings, st)) /* as it was before the tables were changed */
		prepared_close_holding(s, st, out);
	while (holdings_count(&s->holdings) >= (uint32_t)c->proxy->config->settings.max_prepared_statements)
		prepared_close_holding(s, holdings_oldest(&s->holdings), out);
	holdings_add(&s->holdings, st);
	c->pool->database->stats.server_parses++;
	statement_add_parse(st, out);
}

/*
 * What a name or a statement means may hang on answers that are still to come (owed_is_uncertain): then the client's next
 * message has to wait for them, as if it had waited for them itself. Rare: prepared and used in one pipeline, a Sync between.
 */
static bool
must_wait(struct client *c, const char *name, const struct statement *st)
{
	if (!owed_is_uncertain(&c->link->owed, name, st))
		return false;
	c->is_stalled = true;
	stream_pause(&c->stream);
	return true;
}

/* Before something names a statement: the server must have it under its shared name. False: the client is closed. */
static bool
prepare_on_server(struct client *c, struct statement *st)
{
	struct server *s = c->link;
	if (s->owed.is_skipping || holdings_touch(&s->holdings, st))
		return true;
	if (!statement_is_legible(st, c->params)) { /* another text than it was: never run */
		client_fail(c, &(struct fault){ .by = FAULT_BY_CLIENT, .sqlstate = SQLSTATE_FEATURE_NOT_SUPPORTED,
		                                .text = "a statement was prepared with another client_encoding or standard_conforming_strings",
		                                .detail = "It can't be prepared again on the next server connection as it was.",
		                                .hint = "Prepare statements anew after changing either, or use session pooling." });
		return false;
	}
	struct buf b = { 0 };
	make_holding(c, st, &b);
	owe(c, (struct owed_item){ .what = OWED_PARSE, .to = OWED_TO_NOBODY, .statement = statement_ref(st) });
	stream_put(&s->stream, buf_view(&b));
	buf_free(&b);
	return true;
}

static inline bool
is_run_as_own(const struct client *c, const struct statement *st)
{
	return statement_is_own(st) && (st->is_sql || client_is_watched(c));
}

/* Before a statement is parsed, described or bound whose text names others; or under its own name, if there is one. */
static enum flow
before_statement(struct client *c, const struct statement *st, const char *own_name)
{
	if (!st->is_sql) {
		const struct sql_facts *facts = sql_facts_of(c->proxy->sql_cache, statement_text(st));
		enum flow flow = before_text(c, st->touch.bits, facts);
		if (flow != FLOW_MORE)
			return flow;
	}
	return own_name == NULL || prepared_before_name(c, own_name) ? FLOW_MORE : FLOW_WAIT;
}

static enum flow
client_parse_named(struct client *c, const struct frame *f, const struct parse_message *parse)
{
	struct server *s = c->link;
	if (s->asked) { /* what its search_path is, is part of what the text means */
		c->is_stalled = true;
		stream_pause(&c->stream);
		return FLOW_WAIT;
	}
	struct statement *st = statement_get(parse, c->params, c->pool->database->definitions);
	if (client_is_watched(c) && (!st->is_judged || c->pool->rules.pinning == PINNING_REFUSE)) {
		const struct sql_facts *facts;
		st->touch = touch_judge(c, parse->query, true, &facts);
		st->is_judged = true;
		uint32_t refused = refused_of(c, facts);
		if (refused) {
			statement_unref(st);
			send_refused(c, f, (struct view){ .n = f->size }, (struct owed_item){ .what = OWED_PARSE, .refused = (uint16_t)refused },
			             PINS_REFUSED_NAME);
			return FLOW_MORE;
		}
	}
	if (must_wait(c, parse->name, st) || (client_is_watched(c) && !may_go(c, st->touch.bits, parse->query, false))) {
		statement_unref(st);
		return FLOW_WAIT;
	}
	bool is_own = is_run_as_own(c, st);
	if (is_own) {
		enum flow flow = before_statement(c, st, NULL);
		if (flow != FLOW_MORE) {
			statement_unref(st);
			return flow;
		}
	}
	struct stats *stats = &c->pool->database->stats;
	stats->client_parses++;
	struct buf b = { 0 };
	struct named *known = named_find(&c->statements, parse->name);
	if (known && c->is_repeating && statement_has_text_of(known->statement, st)) /* it was this very message, before its server was lost */
		named_unlist(&c->statements, known);
	if (named_find(&c->statements, parse->name)) {
		/* PostgreSQL refuses the name. Let the server do it, so that its transaction fails as it must. */
		prepare_on_server(c, st);
		statement_add_parse(st, &b);
		struct named *asked = named_new(parse->name, statement_ref(st));
		owe(c, (struct owed_item){ .what = OWED_PARSE, .is_duplicate = true, .named = asked });
		stream_put(&s->stream, buf_view(&b));
	} else if (!prepared_has_room(c, st->query_bytes) && !s->owed.is_skipping) {
		/* The server is to refuse something in its place; the client reads that there are too many. */
		request_parse(&b, "", VIEW("pgsluice: too many"), (struct view){ 0 });
		owe(c, (struct owed_item){ .what = OWED_PARSE, .is_duplicate = true });
		s->unnamed_of = 0;
		stream_put(&s->stream, buf_view(&b));
	} else {
		struct named *named = named_new(parse->name, statement_ref(st));
		named_list(&c->statements, named);
		/* In a failed transaction PostgreSQL refuses to parse: only where that is ruled out we may answer for it. */
		bool may_answer = s->status != 'E' && s->owed.readies == 0;
		if (s->owed.is_skipping) {
			owe(c, (struct owed_item){ .what = OWED_PARSE, .named = named });
		} else if (is_own) {
			prepared_parse_own(c, named);
			owe(c, (struct owed_item){ .what = OWED_PARSE, .to = OWED_BY_US, .named = named });
		} else if (holdings_touch(&s->holdings, st) && may_answer) {
			owe(c, (struct owed_item){ .what = OWED_PARSE, .to = OWED_BY_US, .named = named });
		} else {
			if (holdings_touch(&s->holdings, st))
				prepared_close_holding(s, st, &b);
			make_holding(c, st, &b);
			owe(c, (struct owed_item){ .what = OWED_PARSE, .named = named, .statement = statement_ref(st) });
			stream_put(&s->stream, buf_view(&b));
		}
	}
	statement_unref(st);
	buf_free(&b);
	return FLOW_MORE;
}

/* The server has, or will have, the unnamed statement as this client has it: also when it has none. */
static void
unnamed_is_here(struct client *c)
{
	c->link->unnamed_of = c->id;
	c->unnamed_on = c->link->id;
}

enum { UNNAMED_MAX = 64 * 1024 }; /* an unnamed statement up to this size can follow its client to another server */

static enum flow
client_run_parse(struct client *c, const struct frame *f, struct view all)
{
	bool is_unnamed = f->body.n > 0 && f->body.p[0] == '\0';
	if (f->body.n == 0 && frame_body_size(f) > 0)
		return FLOW_WAIT;
	bool must_be_whole = client_translates(c) && (!is_unnamed || f->size <= UNNAMED_MAX);
	if (must_be_whole && !frame_is_whole(f))
		return FLOW_WAIT;
	struct parse_message parse;
	if (must_be_whole && !parse_read(f->body, &parse))
		return client_protocol_error(c, "malformed Parse message");

	enum flow flow = client_need_server(c);
	if (flow != FLOW_MORE)
		return flow;
	if (is_in_copy(c))
		return client_protocol_error(c, "Parse message during COPY from the client");
	if (must_be_whole && !is_unnamed)
		return client_parse_named(c, f, &parse);
	uint32_t refused = 0;
	if (client_is_watched(c) && is_unnamed) {
		const struct sql_facts *facts;
		struct view text = must_be_whole ? parse.query : (struct view){ 0 };
		struct touch t = touch_judge(c, text, must_be_whole, &facts);
		refused = refused_of(c, facts);
		if (!refused && !may_go(c, t.bits, text, false))
			return FLOW_WAIT;
		flow = !refused && (t.bits & TOUCH_NEEDS_NAMES) ? before_text(c, t.bits, facts) : FLOW_MORE;
		if (flow != FLOW_MORE)
			return flow;
		touch_before(c, t);
		c->unnamed_touches = refused ? 0 : t.bits;
		c->unnamed_shape = t.shape;
	}
	if (client_translates(c) && !c->link->owed.is_skipping) {
		buf_clear(&c->unnamed);
		if (must_be_whole)
			buf_add(&c->unnamed, all);
		unnamed_is_here(c);
	}
	struct owed_item item = { .what = OWED_PARSE, .is_unnamed = is_unnamed, .refused = (uint16_t)refused };
	if (refused) {
		send_refused(c, f, all, item, "");
		return FLOW_MORE;
	}
	owe(c, item);
	forward(c, f, all);
	return FLOW_MORE;
}

/* The unnamed statement this server holds may be somebody else's: bring ours, or make sure that there is none. */
static void
bring_unnamed(struct client *c)
{
	struct server *s = c->link;
	bool is_here = s->unnamed_of == c->id && c->unnamed_on == s->id; /* else it may be one that it had here earlier */
	if (!client_translates(c) || is_here || s->owed.is_skipping)
		return;
	if (c->unnamed.n > 0) {
		stream_put(&s->stream, buf_view(&c->unnamed));
		owe(c, (struct owed_item){ .what = OWED_PARSE, .to = OWED_TO_NOBODY, .is_unnamed = true });
	} else {
		struct buf b = { 0 };
		request_close(&b, 'S', "");
		stream_put(&s->stream, buf_view(&b));
		owe(c, (struct owed_item){ .what = OWED_CLOSE, .to = OWED_TO_NOBODY, .is_unnamed = true });
		buf_free(&b);
	}
	unnamed_is_here(c);
}

static bool
find_nothing(const void *context, const char *name, struct view *text, struct view *types)
{
	return false;
}

/*
 * Its client has read all answers to what it has sent since the last ReadyForQuery (there was a Flush). If that was to parse and
 * to describe only, the request that counts begins here: the statements are known to us, and follow their client.
 */
static void
forget_prepared(struct server *s)
{
	const struct lost_request request = { .kept = buf_view(&s->kept), .find = find_nothing };
	if (s->keeps_all && !s->keeps_no_more && !s->has_failed && s->status == 'I' && !(lost_read(&request) & LOST_EXECUTES))
		server_keep_anew(s, true);
}

/* A prepared statement is to run. What its text names is read again: the facts are in the cache. */
static void
note_statement(struct client *c, const struct frame *bind, const char *name, struct touch t)
{
	const struct sql_facts *facts = NULL;
	struct view text, types;
	touch_before(c, t);
	if ((t.bits & ~(uint32_t)TOUCH_MAY) && client_statement(c, name, &text, &types))
		facts = sql_facts_of(c->proxy->sql_cache, text);
	if (facts && frame_is_whole(bind))
		touch_note_values(c, facts, bind->body);
	note_text(c, t, facts);
}

/*
 * It returns something else than when its client prepared it: PostgreSQL says so to each session that had prepared it before,
 * and not to those that do it now. The client has been told then, and finds it as it is now.
 */
static void
refuse_changed(struct client *c, struct named *named)
{
	struct buf b = { 0 };
	if (!c->link->owed.is_skipping)
		named->generation = named->statement->generation;
	request_parse(&b, "", VIEW("pgsluice: changed"), (struct view){ 0 });
	owe(c, (struct owed_item){ .what = OWED_PARSE, .refused = REFUSED_CHANGED });
	c->link->unnamed_of = 0;
	stream_put(&c->link->stream, buf_view(&b));
	buf_free(&b);
}

static enum flow
before_unnamed(struct client *c)
{
	struct view text, types;
	const struct sql_facts *facts = NULL;
	if (client_statement(c, "", &text, &types))
		facts = sql_facts_of(c->proxy->sql_cache, text);
	return before_text(c, c->unnamed_touches, facts);
}

/* One that the server has to know by the client's name for it. */
static enum flow
client_bind_own(struct client *c, const struct frame *f, struct view all, const struct named *named)
{
	struct statement *st = named->statement;
	enum flow flow = before_statement(c, st, named->name);
	if (flow != FLOW_MORE)
		return flow;
	if (client_is_watched(c)) {
		/* facts are read again: the cache may have let go of them */
		note_text(c, st->touch, sql_facts_of(c->proxy->sql_cache, statement_text(st)));
	}
	owe(c, (struct owed_item){ .what = OWED_BIND });
	forward(c, f, all);
	return FLOW_MORE;
}

/* may_go() of a statement that was prepared before. */
static bool
statement_may_go(struct client *c, const char *name, uint32_t bits)
{
	struct view text = { 0 }, types;
	if (c->listen && !client_statement(c, name, &text, &types))
		text = (struct view){ 0 };
	return may_go(c, bits, text, true);
}

/* A Bind under this name of its statement; real: its values, if others than the client sent; freed. */
static void
forward_bind(struct client *c, const struct frame *f, const struct bind_head *head, const char *statement, struct buf *real)
{
	struct buf *b = &c->proxy->compose; /* on the way of every prepared query: no allocation */
	buf_clear(b);
	request_bind_head(b, head->portal, statement, real->n > 0 ? real->n : frame_body_size(f) - head->head_bytes);
	stream_put(&c->link->stream, buf_view(b));
	if (real->n > 0)
		stream_put(&c->link->stream, buf_view(real));
	else
		stream_send(&c->link->stream, view_from(f->body, head->head_bytes));
	buf_free(real);
	c->in_left = frame_body_size(f) - (uint32_t)f->body.n;
	c->in_goes = true;
}

/* The statement that is bound names processes: by ids that PostgreSQL knows. False: not yet. */
static bool
find_pids(struct client *c, const struct frame *f, const struct bind_head *head, uint32_t touches, struct buf *real)
{
	if (!(touches & TOUCH_SIGNALS))
		return true;
	if (!frame_is_whole(f))
		return f->size > TEXT_WHOLE_MAX; /* none that only calls such a function */
	return pids_replace_in_bind(c, view_from(f->body, head->head_bytes), real) != PIDS_WAIT;
}

static enum flow
client_run_bind(struct client *c, const struct frame *f, struct view all)
{
	struct bind_head head;
	switch (bind_frame_read_head(f, &head)) {
	case FRAME_SHORT:
		if (f->body.n > LOOP_IN_BYTES / 2)
			return client_protocol_error(c, "names in a Bind message are too long");
		return FLOW_WAIT;
	case FRAME_BAD:
		return client_protocol_error(c, "malformed Bind message");
	case FRAME_OK:
		break;
	}
	enum flow flow = client_need_server(c);
	if (flow != FLOW_MORE)
		return flow;
	if (is_in_copy(c))
		return client_protocol_error(c, "Bind message during COPY from the client");
	struct server *s = c->link;
	if (s->has_spoken && owed_is_empty(&s->owed))
		forget_prepared(s);
	struct buf real = { 0 };
	if (head.statement[0] == '\0') {
		if (client_translates(c) && must_wait(c, "", NULL))
			return FLOW_WAIT;
		if (client_is_watched(c) && !statement_may_go(c, "", c->unnamed_touches))
			return FLOW_WAIT;
		flow = c->unnamed_touches & TOUCH_NEEDS_NAMES ? before_unnamed(c) : FLOW_MORE;
		if (flow != FLOW_MORE)
			return flow;
		if (!find_pids(c, f, &head, c->unnamed_touches, &real))
			return FLOW_WAIT;
		bring_unnamed(c);
		if (client_is_watched(c))
			note_statement(c, f, "", (struct touch){ .bits = c->unnamed_touches, .shape = c->unnamed_shape });
		owe(c, (struct owed_item){ .what = OWED_BIND });
		if (real.n > 0)
			forward_bind(c, f, &head, "", &real);
		else
			forward(c, f, all);
		return FLOW_MORE;
	}
	struct named *named = client_translates(c) ? named_find(&c->statements, head.statement) : NULL;
	if (client_translates(c) && must_wait(c, head.statement, named ? named->statement : NULL))
		return FLOW_WAIT;
	if (named && client_is_watched(c) && !statement_may_go(c, head.statement, named->statement->touch.bits))
		return FLOW_WAIT;
	bool is_own = named && is_run_as_own(c, named->statement);
	if (named && !is_own && !find_pids(c, f, &head, named->statement->touch.bits, &real))
		return FLOW_WAIT;
	if (client_translates(c))
		c->pool->database->stats.binds++;
	if (named == NULL && !prepared_before_name(c, head.statement))
		return FLOW_WAIT;
	if (named == NULL) {
		/* Unknown: the server will say so, under the client's name. Unless that is one of ours: then it says so of "". */
		bool is_ours = client_translates(c) && statement_is_shared_name(head.statement);
		if (is_ours)
			return client_protocol_error(c, "statement names that begin with pgsluice_ are reserved");
		owe(c, (struct owed_item){ .what = OWED_BIND });
		forward(c, f, all);
		return FLOW_MORE;
	}
	if (__builtin_expect(is_own, 0))
		return client_bind_own(c, f, all, named);
	if (__builtin_expect(named->generation != named->statement->generation, 0)) {
		refuse_changed(c, named);
		drop(c, f, all);
		buf_free(&real);
		return FLOW_MORE;
	}
	if (!prepare_on_server(c, named->statement)) {
		buf_free(&real);
		return FLOW_GONE;
	}
	if (client_is_watched(c))
		note_statement(c, f, head.statement, named->statement->touch);
	forward_bind(c, f, &head, named->statement->name, &real);
	owe(c, (struct owed_item){ .what = OWED_BIND });
	return FLOW_MORE;
}

static enum flow
client_run_describe(struct client *c, const struct frame *f, struct view all)
{
	struct target_message target;
	if (!target_read(f->body, &target))
		return client_protocol_error(c, "malformed Describe message");
	enum flow flow = client_need_server(c);
	if (flow != FLOW_MORE)
		return flow;
	if (is_in_copy(c))
		return client_protocol_error(c, "Describe message during COPY from the client");
	struct named *named = NULL;
	if (target.kind == 'S' && target.name[0] == '\0') {
		if (client_translates(c) && must_wait(c, "", NULL))
			return FLOW_WAIT;
		if (c->unnamed_touches & TOUCH_NEEDS_NAMES) {
			flow = before_unnamed(c);
			if (flow != FLOW_MORE)
				return flow;
		}
		bring_unnamed(c);
	} else if (target.kind == 'S' && client_translates(c)) {
		named = named_find(&c->statements, target.name);
		if (must_wait(c, target.name, named ? named->statement : NULL))
			return FLOW_WAIT;
		if (named == NULL && statement_is_shared_name(target.name))
			return client_protocol_error(c, "statement names that begin with pgsluice_ are reserved");
		if (named == NULL && !prepared_before_name(c, target.name))
			return FLOW_WAIT;
	}
	bool is_own = named && is_run_as_own(c, named->statement);
	if (is_own) {
		flow = before_statement(c, named->statement, named->name);
		if (flow != FLOW_MORE)
			return flow;
	}
	if (named == NULL || is_own) {
		owe(c, (struct owed_item){ .what = OWED_DESCRIBE });
		forward(c, f, all);
		return FLOW_MORE;
	}
	if (named->generation != named->statement->generation) {
		refuse_changed(c, named);
		return FLOW_MORE;
	}
	if (!prepare_on_server(c, named->statement))
		return FLOW_GONE;
	struct buf b = { 0 };
	request_describe(&b, 'S', named->statement->name);
	stream_put(&c->link->stream, buf_view(&b));
	buf_free(&b);
	owe(c, (struct owed_item){ .what = OWED_DESCRIBE });
	return FLOW_MORE;
}

static enum flow
client_run_close(struct client *c, const struct frame *f, struct view all)
{
	struct target_message target;
	if (!target_read(f->body, &target))
		return client_protocol_error(c, "malformed Close message");
	enum flow flow = client_need_server(c);
	if (flow != FLOW_MORE)
		return flow;
	if (is_in_copy(c))
		return client_protocol_error(c, "Close message during COPY from the client");
	if (target.kind == 'S' && target.name[0] != '\0' && client_translates(c)) {
		/* The server keeps the shared statement for others; the client's name for it goes. */
		struct named *named = named_find(&c->statements, target.name);
		if (must_wait(c, target.name, NULL) || !prepared_before_close(c, target.name))
			return FLOW_WAIT;
		if (named) {
			named_ref(named);
			named_unlist(&c->statements, named);
		}
		owe(c, (struct owed_item){ .what = OWED_CLOSE, .to = OWED_BY_US, .named = named });
		return FLOW_MORE;
	}
	if (target.kind == 'S' && target.name[0] == '\0' && !c->link->owed.is_skipping) {
		buf_free(&c->unnamed);
		unnamed_is_here(c); /* whosever it was: now there is none, as this client wants it */
	}
	owe(c, (struct owed_item){ .what = OWED_CLOSE, .is_unnamed = target.kind == 'S' && target.name[0] == '\0' });
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

bool
client_statement(const struct client *c, const char *name, struct view *text, struct view *types)
{
	const struct named *named = name[0] ? named_find(&c->statements, name) : NULL;
	struct parse_message parse;
	struct frame f;
	if (named && named->statement->is_sql) /* its text is not what is run */
		return false;
	if (named) {
		*text = statement_text(named->statement);
		*types = statement_types(named->statement);
		return true;
	}
	bool has_unnamed = name[0] == '\0' && frame_peek(buf_view(&c->unnamed), UINT32_MAX, &f) == FRAME_OK;
	if (!has_unnamed || !parse_read(f.body, &parse))
		return false;
	*text = parse.query;
	*types = parse.types;
	return true;
}

/* ---- a request that was cancelled while it waited ---- */

void
client_cancel_waiting(struct client *c)
{
	struct buf b = { 0 };
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
