/*
 * session/state.c - what a session has, as its server says; see the header.
 *
 * The question is one Query, a row for each thing: kind, name, value. All that it names is qualified, so that it means the same
 * whatever search_path the session has. It asks only for what may have changed: a SET of one name costs no more than
 * current_setting() of that name.
 * Source: PostgreSQL 9.6 to 17, system views pg_settings, pg_prepared_statements, pg_cursors, pg_locks; 9.27 functions.
 */
#include "session/state.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/heap.h"
#include "base/log.h"
#include "session/client.h"
#include "session/link.h"
#include "session/listen.h"
#include "session/pins.h"
#include "session/prepared.h"
#include "session/server.h"
#include "session/touch.h"
#include "sql/literal.h"
#include "wire/message.h"
#include "wire/reply.h"
#include "wire/request.h"

enum section {
	ASK_SETTINGS = 1 << 0, /* all that the session has set */
	ASK_NAMES = 1 << 1,    /* some settings, by name */
	ASK_CHANNELS = 1 << 2,
	ASK_LOCKS = 1 << 3,
	ASK_TEMPORARY = 1 << 4,
	ASK_CURSORS = 1 << 5,
	ASK_PREPARED = 1 << 6,
	ASK_ORIGIN = 1 << 7,
};
#define ASK_ALL ((uint32_t)(ASK_SETTINGS | ASK_CHANNELS | ASK_LOCKS | ASK_TEMPORARY | ASK_CURSORS | ASK_PREPARED))

enum { ROWS_MAX = 256 * 1024, SETTINGS_MAX = 256 * 1024 }; /* bytes of an answer; of all settings that follow a client */

/* The question that is under way. */
struct state_asked {
	uint32_t sections, touched;
	struct touch_shapes shapes;
	uint64_t at_us;
	uint32_t pins;    /* what the rows say so far */
	uint32_t left;    /* the same, should its client have left: what is to be cleaned */
	bool was_listening; /* its session listened to what the client listens to: the rows are all of it */
	struct buf channels; /* of LISTEN, each with its NUL */
	bool is_spoilt;   /* a row that makes no sense, or too many */
	struct buf rows;  /* of settings: kind, name, NUL, value, NUL */
};

/* ---- the question ---- */

static uint32_t
sections_of(uint32_t touched)
{
	static const struct {
		uint32_t bit, sections;
	} all[] = {
		{ TOUCH_MAY, ASK_ALL },
		{ TOUCH_UNKNOWN, ASK_ALL },
		{ TOUCH_SETTINGS, ASK_NAMES },
		{ TOUCH_LONE_SET, ASK_NAMES },
		{ TOUCH_ALL_SETTINGS, ASK_SETTINGS },
		{ TOUCH_PREPARED, ASK_PREPARED },
		{ TOUCH_LISTEN, ASK_CHANNELS },
		{ TOUCH_TEMPORARY, ASK_TEMPORARY },
		{ TOUCH_LOCKS, ASK_LOCKS },
		{ TOUCH_CURSORS, ASK_CURSORS },
		{ TOUCH_ORIGIN, ASK_ORIGIN },
	};
	uint32_t sections = 0;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		sections |= touched & all[i].bit ? all[i].sections : 0;
	return sections & ASK_SETTINGS ? sections & ~(uint32_t)ASK_NAMES : sections;
}

/* Settings that no view shows: role, and those with a dot. */
static void
add_names(struct buf *sql, struct view names, bool only_hidden)
{
	for (size_t at = 0; at < names.n; at += strlen((const char *)names.p + at) + 1) {
		if (only_hidden && strchr((const char *)names.p + at, '.') == NULL)
			continue;
		buf_add(sql, VIEW(", ("));
		sql_add_literal(sql, (const char *)names.p + at);
		buf_add(sql, VIEW(")"));
	}
}

static void
add_hidden_names(struct buf *sql, const struct client *c, const struct server *s)
{
	uint32_t at = 0;
	struct param param;
	add_names(sql, touch_custom_names(s->pool->database), true);
	add_names(sql, buf_view(&s->touch_names), true); /* of which there may be more than are kept for all */
	while (params_next(c->params, &at, &param))
		if (!param.is_reported && strchr(param.name, '.'))
			add_names(sql, view_of((const uint8_t *)param.name, strlen(param.name) + 1), true);
}

#define EQUALS " OPERATOR(pg_catalog.=) "

static const struct {
	uint32_t section;
	const char *sql;
} parts[] = {
	{ ASK_SETTINGS, "SELECT 's', name, pg_catalog.current_setting(name) FROM pg_catalog.pg_settings WHERE source" EQUALS "'session'" },
	{ ASK_CHANNELS, "SELECT 'l', c, NULL FROM pg_catalog.pg_listening_channels() AS c" },
	{ ASK_LOCKS, "SELECT 'a', NULL, NULL WHERE EXISTS (SELECT 1 FROM pg_catalog.pg_locks WHERE locktype" EQUALS
	             "'advisory' AND pid" EQUALS "pg_catalog.pg_backend_pid())" },
	{ ASK_TEMPORARY, "SELECT 't', NULL, NULL WHERE EXISTS (SELECT 1 FROM pg_catalog.pg_depend WHERE refclassid" EQUALS
	                 "2615 AND refobjid" EQUALS "pg_catalog.pg_my_temp_schema())" },
	{ ASK_CURSORS, "SELECT 'h', name, NULL FROM pg_catalog.pg_cursors WHERE is_holdable" },
	{ ASK_PREPARED, "SELECT 'p', name, CASE WHEN pg_catalog.octet_length(statement) OPERATOR(pg_catalog.<=) 30000 THEN"
	                " pg_catalog.concat(from_sql, statement) END FROM pg_catalog.pg_prepared_statements"
	                " WHERE name OPERATOR(pg_catalog.!~) '^" STATEMENT_SHARED_PREFIX "[0-9]+$'" },
	{ ASK_ORIGIN, "SELECT 'o', NULL, NULL WHERE pg_catalog.pg_replication_origin_session_is_setup()" },
};

static void
compose(const struct server *s, uint32_t sections, struct buf *sql)
{
	const struct client *c = s->link;
	buf_add(sql, VIEW("SELECT NULL::pg_catalog.text, NULL::pg_catalog.text, NULL::pg_catalog.text WHERE false"));
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		if (!(sections & parts[i].section))
			continue;
		buf_add(sql, VIEW(" UNION ALL "));
		buf_add(sql, view_of_string(parts[i].sql));
	}
	if (sections & (ASK_SETTINGS | ASK_NAMES)) {
		buf_add(sql, VIEW(" UNION ALL SELECT 'n', n, pg_catalog.current_setting(n, true) FROM (VALUES ('role'::pg_catalog.text),"
		                  " ('session_authorization')"));
		if (sections & ASK_NAMES)
			add_names(sql, buf_view(&s->touch_names), false);
		else
			add_hidden_names(sql, c, s);
		buf_add(sql, VIEW(") AS v(n)"));
	}
	buf_add_u8(sql, '\0');
}

bool
state_is_plain(struct server *s)
{
	struct client *c = s->link;
	if (s->touched != TOUCH_LONE_SET)
		return false;
	s->touched = 0;
	buf_clear(&s->touch_names);
	if (!params_is_reported(s->params, s->lone_set)) {
		params_replace(&s->params, params_with(s->params, s->lone_set, s->lone_value, false));
		params_replace(&c->params, params_with(c->params, s->lone_set, s->lone_value, false));
	}
	return true;
}

void
state_ask(struct server *s)
{
	struct buf sql = { 0 }, b = { 0 };
	must(s->asked == NULL && s->link && s->touched);
	s->asked = heap_alloc(sizeof(*s->asked));
	s->asked->touched = s->touched;
	s->asked->sections = sections_of(s->touched);
	s->asked->at_us = clock_now_us();
	s->asked->was_listening = s->listens;
	s->listens_due = false;
	compose(s, s->asked->sections, &sql);
	if (s->asked->sections & ASK_PREPARED)
		prepared_asked(s);
	request_query(&b, (const char *)sql.p);
	stream_put(&s->stream, buf_view(&b));
	owed_push(&s->owed, (struct owed_item){ .what = OWED_QUERY, .to = OWED_TO_NOBODY, .is_state = true });
	s->unnamed_of = 0;
	s->question = QUESTION_STATE;
	s->question_failed = false;
	s->asked->shapes = s->touch_shapes;
	s->touch_shapes.count = 0;
	s->touched = 0; /* what is noted from now on is asked about next */
	buf_clear(&s->touch_names);
	s->is_touched_later = false;
	s->link->pool->database->stats.state_questions++;
	buf_free(&b);
	buf_free(&sql);
}

bool
state_is_awaited(const struct server *s)
{
	return s->asked && (s->slot.is_close_needed || (s->asked->touched & ~(uint32_t)(TOUCH_MAY | TOUCH_SETTINGS | TOUCH_LONE_SET)));
}

bool
state_is_missed(const struct server *s)
{
	return s->asked && (s->asked->touched & ~(uint32_t)TOUCH_MAY);
}

bool
state_is_all(const struct server *s)
{
	return s->asked && s->owed.count == 1;
}

void
state_free(struct server *s)
{
	if (s->asked) {
		buf_free(&s->asked->rows);
		buf_free(&s->asked->channels);
	}
	heap_free(s->asked);
	s->asked = NULL;
}

/* ---- the answer ---- */

static uint32_t
pin_of_row(char kind)
{
	switch (kind) {
	case 'a': return PIN_LOCKS;
	case 't': return PIN_TEMPORARY;
	case 'h': return PIN_CURSORS;
	case 'o': return PIN_ORIGIN;
	default: return 0;
	}
}

/* What would have to be cleaned, enum pin, whether it can be carried to another server or not. */
static uint32_t
left_by_row(char kind)
{
	static const struct {
		char kind;
		uint32_t left;
	} all[] = {
		{ 'a', PIN_LOCKS }, { 't', PIN_TEMPORARY }, { 'h', PIN_CURSORS }, { 'o', PIN_ORIGIN }, { 'l', PIN_LISTEN }, { 'p', PIN_PREPARED },
	};
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (all[i].kind == kind)
			return all[i].left;
	return 0;
}

void
state_on_row(struct server *s, struct view values)
{
	struct state_asked *a = s->asked;
	struct view kind, name, value;
	bool no_kind, no_name, no_value;
	if (!row_next_value(&values, &kind, &no_kind) || !row_next_value(&values, &name, &no_name) ||
	    !row_next_value(&values, &value, &no_value) || no_kind || kind.n != 1) {
		a->is_spoilt = true;
		return;
	}
	a->pins |= pin_of_row((char)kind.p[0]);
	a->left |= left_by_row((char)kind.p[0]);
	if (kind.p[0] == 'p')
		prepared_on_row(s, name, no_value ? NULL : &value);
	if (kind.p[0] == 'l' && !no_name) {
		a->is_spoilt |= a->channels.n + name.n >= LISTEN_NAMES_MAX;
		buf_add(&a->channels, a->is_spoilt ? (struct view){ 0 } : name);
		buf_add_u8(&a->channels, '\0');
		return;
	}
	if ((kind.p[0] != 's' && kind.p[0] != 'n') || no_name || (no_value && kind.p[0] != 'n'))
		return;
	if (a->rows.n + name.n + value.n > ROWS_MAX) {
		a->is_spoilt = true;
		return;
	}
	buf_add_u8(&a->rows, no_value ? '0' : kind.p[0]); /* '0': there is no such setting */
	buf_add(&a->rows, name);
	buf_add_u8(&a->rows, '\0');
	buf_add(&a->rows, no_value ? (struct view){ 0 } : value);
	buf_add_u8(&a->rows, '\0');
}

struct row {
	char kind;
	const char *name, *value;
};

static bool
next_row(const struct buf *rows, size_t *at, struct row *out)
{
	if (*at >= rows->n)
		return false;
	const char *p = (const char *)rows->p + *at;
	out->kind = p[0];
	out->name = p + 1;
	out->value = out->name + strlen(out->name) + 1;
	*at = (size_t)(out->value + strlen(out->value) + 1 - (const char *)rows->p);
	return true;
}

/* They belong to a transaction, or are no settings that a session could be given. */
static bool
is_of_transaction(const char *name)
{
	static const char *const names[] = { "transaction_isolation", "transaction_read_only", "transaction_deferrable", "seed" };
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcasecmp(name, names[i]) == 0)
			return true;
	return false;
}

static bool
is_default_identity(const struct server *s, const struct row *r)
{
	if (strcmp(r->name, "role") == 0)
		return strcmp(r->value, "none") == 0;
	return strcmp(r->name, "session_authorization") == 0 && strcmp(r->value, s->pool->role->name) == 0;
}

/* What the server's session has now; a reference. What it reports by itself is known already. */
static struct params *
truth_of(const struct server *s)
{
	const struct state_asked *a = s->asked;
	struct params *now = a->sections & ASK_SETTINGS ? params_without_unreported(s->params) : params_ref(s->params);
	const struct params *wanted = s->link ? s->link->params : s->params; /* of a client that has left: what it had here */
	size_t at = 0;
	struct row r;
	while (next_row(&a->rows, &at, &r)) {
		bool is_identity = strcmp(r.name, "session_authorization") == 0; /* reported, but no setting like others */
		if (is_of_transaction(r.name) || params_is_reported(now, r.name) || (param_is_fact(r.name) && !is_identity))
			continue;
		/* A custom setting of others, which the server knows and nobody has set: were it carried, each client had all of them. */
		if (a->sections & ASK_SETTINGS && r.kind == 'n' && r.value[0] == '\0' && params_value(wanted, r.name) == NULL)
			continue;
		if (r.kind == '0' || is_default_identity(s, &r))
			params_replace(&now, params_without(now, r.name));
		else
			params_replace(&now, params_with(now, r.name, r.value, false));
	}
	return now;
}

static bool
is_set(const struct buf *rows, const char *name)
{
	size_t at = 0;
	struct row r;
	while (next_row(rows, &at, &r))
		if (r.kind == 's' && strcasecmp(r.name, name) == 0)
			return true;
	return false;
}

/*
 * On the server RESET goes back to the server's own value; for the client it goes back to what its startup packet asked for. What
 * it asked for and the session has not set any more was reset. The client is told where the server reported another value.
 */
static struct params *
wanted_of(struct client *c, const struct server *s, struct params *truth)
{
	const struct state_asked *a = s->asked;
	const struct params *base = c->pool->base;
	struct params *want = params_ref(truth);
	struct buf told = { 0 };
	uint32_t at = 0;
	struct param login;
	while (a->sections & ASK_SETTINGS && c->params_at_login && params_next(c->params_at_login, &at, &login)) {
		const char *fresh = base ? params_value(base, login.name) : NULL;
		const char *is = params_value(truth, login.name);
		bool is_server_own = login.is_reported && fresh && strcmp(fresh, login.value) == 0;
		if (is_server_own || (is && strcmp(is, login.value) == 0) || is_set(&a->rows, login.name))
			continue;
		params_replace(&want, params_with(want, login.name, login.value, login.is_reported));
		if (login.is_reported)
			reply_parameter_status(&told, login.name, login.value);
	}
	if (told.n > 0)
		client_send(c, buf_view(&told));
	buf_free(&told);
	return want;
}

static uint32_t
pins_of_sections(uint32_t sections)
{
	return (sections & ASK_LOCKS ? PIN_LOCKS : 0) | (sections & ASK_TEMPORARY ? PIN_TEMPORARY : 0) |
	       (sections & ASK_CURSORS ? PIN_CURSORS : 0) | (sections & ASK_ORIGIN ? PIN_ORIGIN : 0) |
	       (sections & ASK_CHANNELS ? PIN_LISTEN : 0) | (sections & ASK_PREPARED ? PIN_PREPARED : 0);
}

static uint32_t
pins_for_good(uint32_t touched)
{
	return (touched & TOUCH_LIBRARY ? PIN_LIBRARY : 0) | (touched & TOUCH_SEED ? PIN_SEED : 0) |
	       (touched & TOUCH_SEQUENCES ? PIN_SEQUENCES : 0);
}

static void
apply(struct server *s)
{
	struct client *c = s->link;
	struct state_asked *a = s->asked;
	uint32_t known = pins_of_sections(a->sections) | (clock_now_us() < c->kept_until_us ? 0 : PIN_UNKNOWN);
	uint32_t pins = (c->pins & ~known) | a->pins | pins_for_good(a->touched);
	bool has_changed = false;
	if ((a->sections & ASK_PREPARED) && !prepared_apply(s, &has_changed))
		pins |= PIN_PREPARED;
	has_changed |= pins != c->pins;
	if (a->sections & ASK_CHANNELS)
		has_changed |= listen_is(c, buf_view(&a->channels), a->was_listening);
	if (a->sections & (ASK_SETTINGS | ASK_NAMES)) {
		struct params *truth = truth_of(s);
		struct params *want = wanted_of(c, s, truth);
		has_changed |= want != c->params;
		params_replace(&s->params, truth);
		params_replace(&c->params, want);
	}
	if (has_changed) /* by what it did unseen, if it named nothing */
		touch_learn(s->pool->database, &a->shapes, !(a->touched & ~(uint32_t)TOUCH_MAY));
	pins_found(c, pins);
	if ((c->pins || s->listens) && s->params != c->params && owed_is_empty(&s->owed)) /* they do not part: nobody else sets it right */
		link_set_params(s);
}

/* Its client has left meanwhile: no more than what it has left has to be cleaned. */
static void
apply_left(struct server *s, bool is_known)
{
	const struct state_asked *a = s->asked;
	s->left |= pins_for_good(a->touched) | (is_known ? a->left : (uint32_t)PIN_UNKNOWN);
	if (is_known && (a->sections & (ASK_SETTINGS | ASK_NAMES)))
		params_replace(&s->params, truth_of(s));
}

bool
state_answered(struct server *s, const char *error)
{
	struct client *c = s->link;
	bool was_pinned = c && c->pins;
	must(s->asked);
	bool is_known = !error && !s->asked->is_spoilt && s->status == 'I';
	if (c == NULL) {
		apply_left(s, is_known);
	} else if (!is_known) {
		log_warning(client_tag(c), "what its session has could not be asked: %s; it keeps server %u",
		            error ? error : "the answer makes no sense", s->id);
		pins_found(c, c->pins | PIN_UNKNOWN | pins_for_good(s->asked->touched)); /* all is asked again a second later */
	} else {
		apply(s);
	}
	if (c == NULL || !is_known)
		touch_learn(s->pool->database, &s->asked->shapes, false);
	s->question = QUESTION_NONE;
	s->question_failed = false;
	state_free(s);
	if (c && c->params && params_bytes(c->params) > SETTINGS_MAX) {
		client_fail(c, &(struct fault){ .by = FAULT_BY_CLIENT, .sqlstate = SQLSTATE_CONFIGURATION_LIMIT,
		                                .text = "too many settings in this session",
		                                .detail = "They would have to be set on each server connection that it gets.",
		                                .hint = "RESET what is not needed, or use SET LOCAL." });
		return false;
	}
	return !c || !c->pins || was_pinned || !pins_enforce(c);
}

void
state_on_second(struct client *c)
{
	struct server *s = c->link;
	if (s->asked || !(s->is_touched_later || (c->pins & PIN_UNKNOWN)) || !link_is_at_rest(s))
		return;
	s->touched |= TOUCH_UNKNOWN;
	state_ask(s);
}
