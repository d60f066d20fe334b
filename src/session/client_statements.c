/*
 * session/client_statements.c - Parse, Bind, Describe and Close of a client that is logged in.
 *
 *   the client's name ─► struct named ─► struct statement ─► on the server already (holdings), or prepared in front of the message
 *   the unnamed one   ─► client->unnamed ─► brought to each server that has another's
 *
 * Source: PostgreSQL 16, 55.2.3 Extended Query.
 */

#include "client_parts.h"
#include "session/lost.h"
#include "session/pids.h"
#include "session/pins.h"
#include "sql/cache.h"
#include "wire/request.h"

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
		enum flow flow = client_before_text(c, st->touch.bits, facts);
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
	struct statement *st = statement_get(parse, c->params, client_definitions(c));
	if (client_is_watched(c) && (!st->is_judged || c->pool->rules.pinning == PINNING_REFUSE)) {
		const struct sql_facts *facts;
		st->touch = touch_judge(c, parse->query, true, &facts);
		st->is_judged = true;
		uint32_t refused = client_refused(c, facts);
		if (refused) {
			statement_unref(st);
			client_send_refused(c, f, (struct view){ .n = f->size }, (struct owed_item){ .what = OWED_PARSE, .refused = (uint16_t)refused },
			             PINS_REFUSED_NAME);
			return FLOW_MORE;
		}
	}
	if (must_wait(c, parse->name, st) || (client_is_watched(c) && !client_may_go(c, st->touch.bits, parse->query, false))) {
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

enum flow
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
		refused = client_refused(c, facts);
		if (!refused && !client_may_go(c, t.bits, text, false))
			return FLOW_WAIT;
		flow = !refused && (t.bits & TOUCH_NEEDS_NAMES) ? client_before_text(c, t.bits, facts) : FLOW_MORE;
		if (flow != FLOW_MORE)
			return flow;
		touch_before(c, t);
		if (!c->link->owed.is_skipping) { /* else it stays what it was */
			c->unnamed_touches = refused ? 0 : t.bits;
			c->unnamed_shape = t.shape;
		}
	}
	if (client_translates(c) && !c->link->owed.is_skipping) {
		buf_clear(&c->unnamed);
		if (must_be_whole)
			buf_add(&c->unnamed, all);
		unnamed_is_here(c);
	}
	struct owed_item item = { .what = OWED_PARSE, .is_unnamed = is_unnamed, .refused = (uint16_t)refused };
	if (refused) {
		client_send_refused(c, f, all, item, "");
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
	client_note_text(c, t, facts);
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
	return client_before_text(c, c->unnamed_touches, facts);
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
		client_note_text(c, st->touch, sql_facts_of(c->proxy->sql_cache, statement_text(st)));
	}
	owe(c, (struct owed_item){ .what = OWED_BIND });
	forward(c, f, all);
	return FLOW_MORE;
}

/* client_may_go() of a statement that was prepared before. */
static bool
statement_may_go(struct client *c, const char *name, uint32_t bits)
{
	struct view text = { 0 }, types;
	if (c->listen && !client_statement(c, name, &text, &types))
		text = (struct view){ 0 };
	return client_may_go(c, bits, text, true);
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

enum flow
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
		if (client_is_watched(c) && !client_translates(c)) /* nobody has looked at its text */
			touch_note(c, (struct touch){ .bits = TOUCH_UNKNOWN }, NULL);
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

enum flow
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

enum flow
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

/* ---- what texts mean ---- */

enum { OWN_DEFINITIONS = 1 << 31 }; /* apart from those of databases */

void
client_define(struct client *c)
{
	static uint32_t last;
	c->own_definitions = ++last | (uint32_t)OWN_DEFINITIONS;
}

uint32_t
client_definitions(struct client *c)
{
	const struct server *s = c->link;
	bool has_own = c->pins & PIN_TEMPORARY || (s && (s->asked || s->touched & TOUCH_TEMPORARY));
	if (!has_own)
		c->own_definitions = 0;
	else if (c->own_definitions == 0 && c->pins & PIN_TEMPORARY) /* made by a function: nobody has seen it */
		client_define(c);
	return c->own_definitions ? c->own_definitions : c->pool->database->definitions;
}
