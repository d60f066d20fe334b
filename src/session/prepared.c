/*
 * session/prepared.c - prepared statements under a client's own names; see the header.
 *
 * In front of a message where no pipeline is open, what is brought is an exchange of its own (a Query for PREPARE, a Parse and a
 * Sync for a statement of the protocol), inside a block behind a savepoint: if it fails, the client's transaction is what it was.
 * In an open pipeline it becomes part of that, and so does its error.
 * Source: PostgreSQL 15, commands/prepare.c: prepared statements belong to the session, not to a transaction.
 */
#include "session/prepared.h"

#include <stdio.h>
#include <string.h>

#include "session/client.h"
#include "session/server.h"
#include "session/state.h"
#include "sql/cache.h"
#include "wire/reply.h"
#include "wire/request.h"

#define CARRIER STATEMENT_SHARED_PREFIX "0" /* in pipelines: a PREPARE is run by this; shared names begin with 1 */

/* A stand-in is dropped, or is in the way of another of its name. It is never run; if it were, it would fail. */
#define STAND_IN "SELECT pg_catalog.current_setting('pgsluice: a stand-in for a prepared statement')"

enum { NAME_ROOM = NAMED_MAX + 1, OWN_ROWS_MAX = 4 << 20 };

void
prepared_own_free(struct own *own)
{
	named_free_all(&own->names);
	buf_free(&own->rows);
	buf_free(&own->error);
}

static bool
carries(const struct client *c)
{
	return client_translates(c) && client_is_watched(c);
}

bool
prepared_has_room(const struct client *c, size_t bytes)
{
	const struct settings *set = &c->proxy->config->settings;
	return (set->max_client_prepared_statements == 0 ||
	        named_count(&c->statements) < (uint32_t)set->max_client_prepared_statements) &&
	       (set->max_client_prepared_bytes == 0 || c->statements.bytes + bytes <= set->max_client_prepared_bytes);
}

/* "pgsluice_7": as we name them on servers. */
static bool
is_shared(const char *name)
{
	const char *number = name + sizeof(STATEMENT_SHARED_PREFIX) - 1;
	return statement_is_shared_name(name) && number[0] && number[strspn(number, "0123456789")] == '\0';
}

bool
prepared_is_reserved(const struct sql_facts *facts)
{
	for (uint32_t i = 0; facts && i < facts->touch_count; i++)
		if (facts->touches[i].kind == SQL_TOUCH_PREPARE && facts->touches[i].name && is_shared(facts->touches[i].name))
			return true;
	return false;
}

/* ---- what the server needs ---- */

/* Does the name mean on the server what it means to its client? is_run: else it is enough that it is there, or not. */
static bool
is_settled(const struct client *c, const char *name, bool is_run)
{
	const struct server *s = c->link;
	if (is_shared(name))
		return holdings_find_shared(&s->holdings, name) == NULL;
	const struct named *own = named_find(&s->own.names, name), *mine = named_find(&c->statements, name);
	if (own && own->is_loose)
		return true;
	if (own == NULL || mine == NULL)
		return own == NULL && mine == NULL;
	return own->statement == mine->statement || (own->statement == NULL && !is_run);
}

static bool
is_all_settled(const struct client *c)
{
	const struct server *s = c->link;
	struct named *n, *after;
	if (holdings_count(&s->holdings) > 0)
		return false;
	HASH_ITER(hh, c->statements.map, n, after)
		if (!is_settled(c, n->name, true))
			return false;
	HASH_ITER(hh, s->own.names.map, n, after)
		if (!is_settled(c, n->name, true))
			return false;
	return true;
}

static bool
wait(struct client *c)
{
	c->is_stalled = true;
	stream_pause(&c->stream);
	return false;
}

/* It is not known in which state the server will be, or what it holds. */
static bool
is_unclear(const struct client *c)
{
	const struct owed *o = &c->link->owed;
	if (c->link->asked)
		return true;
	for (uint32_t i = 0; o->readies > 0 && i < o->count; i++)
		if (owed_ends_with_ready(owed_at(o, i)->what) && owed_at(o, i)->to != OWED_TO_NOBODY)
			return true;
	return false;
}

/* ---- bringing ---- */

struct bringing {
	struct client *c;
	struct server *s;
	struct buf out;
	bool is_apart;      /* an exchange of its own */
	bool has_savepoint;
};

static struct bringing
begin(struct client *c)
{
	return (struct bringing){ .c = c, .s = c->link, .is_apart = !c->link->owed.is_open };
}

static void
add_query(struct bringing *b, struct view text, struct named *own)
{
	struct buf sql = { 0 };
	buf_add(&sql, text);
	buf_add_u8(&sql, '\0');
	request_query(&b->out, (const char *)sql.p);
	owed_push(&b->s->owed, (struct owed_item){ .what = OWED_QUERY, .to = OWED_TO_NOBODY, .is_brought = true, .is_own = own != NULL,
	                                           .named = own ? named_ref(own) : NULL });
	b->s->unnamed_of = 0;
	buf_free(&sql);
}

static void
owe(struct server *s, enum owed_what what, struct named *own, bool is_brought)
{
	owed_push(&s->owed, (struct owed_item){ .what = (uint8_t)what, .to = OWED_TO_NOBODY, .is_brought = is_brought,
	                                        .is_own = own != NULL, .named = own ? named_ref(own) : NULL });
}

/* PREPARE, by the extended protocol: a Query would end the transaction of the pipeline. */
static void
add_carried(struct bringing *b, struct view text, struct named *own)
{
	static const uint8_t nothing[6] = { 0 }; /* of a Bind: no formats, no values, no result formats */
	request_close(&b->out, 'S', CARRIER); /* an error may have left it */
	owe(b->s, OWED_CLOSE, NULL, false);
	request_parse(&b->out, CARRIER, text, (struct view){ 0 });
	owe(b->s, OWED_PARSE, NULL, false);
	request_bind_head(&b->out, CARRIER, CARRIER, sizeof(nothing));
	buf_add(&b->out, view_of(nothing, sizeof(nothing)));
	owe(b->s, OWED_BIND, NULL, false);
	request_execute(&b->out, CARRIER, 0);
	owe(b->s, OWED_EXECUTE, own, false);
	request_close(&b->out, 'P', CARRIER);
	owe(b->s, OWED_CLOSE, NULL, false);
	request_close(&b->out, 'S', CARRIER);
	owe(b->s, OWED_CLOSE, NULL, false);
}

static void
add_parse(struct bringing *b, struct named *own, bool is_apart)
{
	const struct statement *st = own->statement;
	request_parse(&b->out, own->name, st ? statement_text(st) : view_of_string(STAND_IN),
	              st ? statement_types(st) : (struct view){ 0 });
	owe(b->s, OWED_PARSE, own, is_apart);
	if (!is_apart)
		return;
	request_sync(&b->out);
	owe(b->s, OWED_SYNC, NULL, true);
}

static void
drop(struct bringing *b, struct named *own)
{
	request_close(&b->out, 'S', own->name);
	owe(b->s, OWED_CLOSE, own, false);
	named_unlist(&b->s->own.names, own);
}

static void
note_illegible(struct server *s)
{
	if (s->own.error.n > 0)
		return;
	reply_error(&s->own.error, "ERROR", &(struct fault){ .sqlstate = SQLSTATE_FEATURE_NOT_SUPPORTED,
	            .text = "a statement was prepared with another client_encoding or standard_conforming_strings",
	            .hint = "Prepare statements anew after changing either, or use session pooling." });
}

static void
bring(struct bringing *b, const char *name, struct statement *st)
{
	struct server *s = b->s;
	if (st && !statement_is_legible(st, b->c->params)) { /* it would be another text than it was */
		note_illegible(s);
		return;
	}
	struct named *own = named_new(name, st ? statement_ref(st) : NULL);
	named_list(&s->own.names, own);
	s->own.client = b->c->id;
	bool may_fail = b->is_apart && st;
	if (may_fail && s->status == 'T' && !b->has_savepoint) {
		add_query(b, VIEW("SAVEPOINT pgsluice"), NULL);
		b->has_savepoint = true;
	}
	if (st && st->is_sql && b->is_apart)
		add_query(b, statement_text(st), own);
	else if (st && st->is_sql)
		add_carried(b, statement_text(st), own);
	else
		add_parse(b, own, b->is_apart);
	if (may_fail && b->has_savepoint)
		add_query(b, VIEW("ROLLBACK TO SAVEPOINT pgsluice"), NULL);
	named_unref(own);
}

static void
settle(struct bringing *b, const char *name, bool is_run)
{
	struct server *s = b->s;
	if (is_settled(b->c, name, is_run))
		return;
	if (is_shared(name)) { /* no client's own: there is none of that name */
		prepared_close_holding(s, holdings_find_shared(&s->holdings, name), &b->out);
		return;
	}
	struct named *own = named_find(&s->own.names, name);
	const struct named *mine = named_find(&b->c->statements, name);
	if (own)
		drop(b, own);
	if (mine)
		bring(b, mine->name, is_run ? mine->statement : NULL);
}

static void
settle_all(struct bringing *b, bool only_sql)
{
	struct server *s = b->s;
	struct named *n, *after;
	while (!only_sql && holdings_count(&s->holdings) > 0)
		prepared_close_holding(s, holdings_oldest(&s->holdings), &b->out);
	if (!only_sql)
		HASH_ITER(hh, s->own.names.map, n, after)
			settle(b, n->name, true);
	HASH_ITER(hh, b->c->statements.map, n, after)
		if (!only_sql || n->statement->is_sql)
			settle(b, n->name, true);
}

static void
end(struct bringing *b)
{
	if (b->has_savepoint)
		add_query(b, VIEW("RELEASE SAVEPOINT pgsluice"), NULL);
	if (b->out.n > 0)
		stream_put(&b->s->stream, buf_view(&b->out));
	buf_free(&b->out);
}

/* ---- before a message ---- */

/* The i-th thing that a text does by the name of a statement. */
static const char *
name_in(const struct sql_facts *facts, uint32_t i, bool *is_run)
{
	const struct sql_touch *t = &facts->touches[i];
	*is_run = t->kind == SQL_TOUCH_EXECUTE;
	return *is_run || t->kind == SQL_TOUCH_PREPARE || t->kind == SQL_TOUCH_DEALLOCATE ? t->name : NULL;
}

static bool
is_text_settled(const struct client *c, uint32_t bits, const struct sql_facts *facts)
{
	bool is_run;
	struct named *n, *after;
	if ((bits & TOUCH_READS_PREPARED) && !is_all_settled(c))
		return false;
	if ((bits & TOUCH_UNKNOWN) && c->statements.sql_count > 0)
		HASH_ITER(hh, c->statements.map, n, after)
			if (n->statement->is_sql && !is_settled(c, n->name, true))
				return false;
	for (uint32_t i = 0; facts && i < facts->touch_count; i++) {
		const char *name = name_in(facts, i, &is_run);
		if (name && (!is_settled(c, name, is_run) || owed_is_uncertain(&c->link->owed, name, NULL)))
			return false;
	}
	return true;
}

bool
prepared_before_text(struct client *c, uint32_t bits, const struct sql_facts *facts)
{
	struct server *s = c->link;
	if (!(bits & TOUCH_NEEDS_NAMES) || !carries(c) || s->owed.is_skipping || is_text_settled(c, bits, facts))
		return true;
	if (is_unclear(c))
		return wait(c);
	if (s->status == 'E') /* nothing can be prepared, and nothing that is will be run */
		return true;
	struct bringing b = begin(c);
	if (bits & TOUCH_READS_PREPARED)
		settle_all(&b, false);
	else if (bits & TOUCH_UNKNOWN)
		settle_all(&b, true);
	for (uint32_t i = 0; facts && i < facts->touch_count; i++) {
		bool is_run;
		const char *name = name_in(facts, i, &is_run);
		if (name)
			settle(&b, name, is_run);
	}
	end(&b);
	return true;
}

bool
prepared_before_name(struct client *c, const char *name)
{
	struct server *s = c->link;
	if (!carries(c) || s->owed.is_skipping || is_shared(name) || is_settled(c, name, true))
		return true;
	if (is_unclear(c))
		return wait(c);
	if (s->status == 'E')
		return true;
	struct bringing b = begin(c);
	settle(&b, name, true);
	end(&b);
	return true;
}

void
prepared_parse_own(struct client *c, const struct named *named)
{
	struct server *s = c->link;
	struct bringing b = begin(c);
	struct named *own = named_find(&s->own.names, named->name);
	if (own)
		drop(&b, own);
	own = named_new(named->name, statement_ref(named->statement));
	named_list(&s->own.names, own);
	s->own.client = c->id;
	add_parse(&b, own, false); /* its error is the client's */
	named_unref(own);
	end(&b);
}

bool
prepared_before_close(struct client *c, const char *name)
{
	struct server *s = c->link;
	struct named *own = named_find(&s->own.names, name);
	if (own == NULL || s->owed.is_skipping)
		return true;
	if (s->asked)
		return wait(c);
	struct bringing b = begin(c);
	drop(&b, own);
	end(&b);
	return true;
}

/* ---- as it runs ---- */

struct named *
prepared_outcome(struct client *c, struct view text, const struct sql_facts *facts, struct touch *t)
{
	if (!(t->bits & TOUCH_PREPARED) || facts == NULL || !carries(c) || (c->pins & PIN_PREPARED) || facts->statement_count != 1 || facts->touch_count == 0)
		return NULL;
	const struct sql_touch *first = &facts->touches[0];
	if (facts->statements[0].kind == SQL_DEALLOCATE) {
		t->bits &= ~(uint32_t)(TOUCH_PREPARED | TOUCH_MAY);
		return first->name ? named_new(first->name, NULL) : NULL; /* of all: DEALLOCATE ALL is the tag then */
	}
	if (facts->statements[0].kind != SQL_PREPARE || first->kind != SQL_TOUCH_PREPARE || first->name == NULL)
		return NULL;
	struct statement *st = statement_get_sql(text, c->params);
	st->touch = *t;
	st->touch.bits &= ~(uint32_t)(TOUCH_PREPARED | TOUCH_NAMES_PREPARED);
	st->is_judged = true;
	t->bits = 0; /* what it may do, it will do when it is executed */
	return named_new(first->name, st);
}

void
prepared_note(struct client *c, const struct sql_facts *facts)
{
	const struct sql_facts *held = facts ? sql_facts_ref(facts) : NULL;
	for (uint32_t i = 0; held && i < held->touch_count; i++) {
		bool is_run;
		const char *name = name_in(held, i, &is_run);
		const struct named *mine = name && is_run ? named_find(&c->statements, name) : NULL;
		if (mine && mine->statement->touch.bits)
			touch_note(c, mine->statement->touch, sql_facts_of(c->proxy->sql_cache, statement_text(mine->statement)));
	}
	sql_facts_unref(held);
}

void
prepared_note_loose(struct client *c, const struct sql_facts *facts)
{
	struct server *s = c->link;
	if (!carries(c))
		return;
	for (uint32_t i = 0; facts && i < facts->touch_count; i++) {
		bool is_run;
		const char *name = name_in(facts, i, &is_run);
		if (name == NULL || is_run || is_shared(name))
			continue;
		struct named *own = named_find(&s->own.names, name);
		if (own) {
			own->is_loose = true;
		} else if (named_find(&c->statements, name) == NULL) {
			own = named_new(name, NULL);
			own->is_loose = true;
			named_list(&s->own.names, own);
			s->own.client = c->id;
			named_unref(own);
		}
	}
}

/* The server has this now, under that name. */
static void
own_now(struct server *s, const char *name, struct statement *st)
{
	struct named *old = named_find(&s->own.names, name), *own = named_new(name, statement_ref(st));
	if (old)
		named_unlist(&s->own.names, old);
	named_list(&s->own.names, own);
	named_unref(own);
	if (s->link)
		s->own.client = s->link->id;
}

static void
forget(struct server *s, const char *name)
{
	struct named *own = named_find(&s->own.names, name);
	struct named *mine = s->link ? named_find(&s->link->statements, name) : NULL;
	if (own)
		named_unlist(&s->own.names, own);
	if (mine)
		named_unlist(&s->link->statements, mine);
}

void
prepared_done(struct server *s, struct owed_item *item)
{
	struct named *named = item->named;
	struct client *c = s->link;
	struct statement *st = named->statement;
	forget(s, named->name);
	if (st == NULL)
		return;
	if (c && !prepared_has_room(c, st->query_bytes)) { /* the server will be asked, and the client stays there */
		s->touched |= TOUCH_PREPARED;
		return;
	}
	own_now(s, named->name, st);
	if (c)
		named_list(&c->statements, named);
}

void
prepared_on_error(struct server *s, struct owed_item *item, struct view all)
{
	if (s->own.error.n == 0 && item->named && s->link)
		buf_add(&s->own.error, all);
	if (item->named)
		named_unlist(&s->own.names, item->named);
}

void
prepared_undo(struct server *s, struct owed_item *item)
{
	if (item->what == OWED_CLOSE)
		named_list(&s->own.names, item->named);
	else
		named_unlist(&s->own.names, item->named);
}

/* ---- the question ---- */

void
prepared_asked(struct server *s)
{
	struct named *n, *after;
	HASH_ITER(hh, s->own.names.map, n, after)
		n->is_seen = false;
	buf_clear(&s->own.rows);
	s->own.is_uncarried = false;
}

/* 't' or 'f', whether it is SQL's; then the text. */
static bool
is_text_of(const struct named *own, const struct view *value)
{
	const struct statement *st = own->statement;
	if (value == NULL) /* longer than is shown */
		return st && !own->is_loose;
	struct view text = view_from(*value, 1), is = st ? statement_text(st) : view_of_string(STAND_IN);
	return value->n > 0 && value->p[0] == (st && st->is_sql ? 't' : 'f') && text.n == is.n && memcmp(text.p, is.p, is.n) == 0;
}

void
prepared_on_row(struct server *s, struct view name, const struct view *value)
{
	struct own *own = &s->own;
	char text[NAME_ROOM];
	snprintf(text, sizeof(text), "%.*s", (int)name.n, (const char *)name.p);
	struct named *known = named_find(&own->names, text);
	if (known && is_text_of(known, value)) {
		known->is_seen = true;
	} else if (value == NULL || value->n == 0 || value->p[0] != 't' || own->rows.n + name.n + value->n > OWN_ROWS_MAX) {
		own->is_uncarried = true;
	} else {
		buf_add_string(&own->rows, text);
		buf_add(&own->rows, view_from(*value, 1));
		buf_add_u8(&own->rows, '\0');
	}
}

/* Of what was said in one string, the one statement that prepares this name. False: there is none, or more. */
static bool
find_part(const struct sql_facts *facts, const char *name, struct view text, struct view *out)
{
	const struct sql_touch *found = NULL;
	for (uint32_t i = 0; i < facts->touch_count; i++) {
		const struct sql_touch *t = &facts->touches[i];
		if (t->kind != SQL_TOUCH_PREPARE || t->name == NULL || strcmp(t->name, name) != 0)
			continue;
		if (found)
			return false;
		found = t;
	}
	if (found == NULL)
		return false;
	const struct sql_statement *st = &facts->statements[found->statement];
	*out = facts->statement_count == 1 ? text : view_part(text, st->at, st->bytes);
	return out->n > 0;
}

static struct statement *
statement_of_row(const struct client *c, const char *name, struct view text)
{
	struct sql_facts *facts = sql_facts_read(text); /* itself, not one that differs in constants: its parts have places */
	struct statement *st = NULL;
	struct view part;
	if (facts->result == SQL_PARSED && find_part(facts, name, text, &part) && prepared_has_room(c, part.n)) {
		const struct sql_facts *unused;
		st = statement_get_sql(part, c->params);
		st->touch = touch_judge((struct client *)c, part, true, &unused);
		st->touch.bits &= ~(uint32_t)(TOUCH_PREPARED | TOUCH_NAMES_PREPARED);
		st->is_judged = true;
	}
	sql_facts_unref(facts);
	return st;
}

/* What is there no more was deallocated. */
static bool
drop_unseen(struct server *s)
{
	bool has_changed = false;
	struct named *n, *after;
	HASH_ITER(hh, s->own.names.map, n, after)
	{
		n->is_loose &= !n->is_seen;
		if (n->is_seen)
			continue;
		struct named *mine = named_find(&s->link->statements, n->name);
		if (mine)
			named_unlist(&s->link->statements, mine);
		has_changed |= mine != NULL;
		named_unlist(&s->own.names, n);
	}
	return has_changed;
}

bool
prepared_apply(struct server *s, bool *has_changed)
{
	struct client *c = s->link;
	struct view rows = buf_view(&s->own.rows);
	bool is_carried = !s->own.is_uncarried;
	*has_changed |= drop_unseen(s) || rows.n > 0;
	for (size_t at = 0; at < rows.n;) {
		const char *name = (const char *)rows.p + at;
		struct view text = view_of_string(name + strlen(name) + 1);
		at += strlen(name) + 1 + text.n + 1;
		struct statement *st = carries(c) ? statement_of_row(c, name, text) : NULL;
		if (st == NULL) {
			is_carried = false;
			continue;
		}
		struct named *named = named_new(name, st);
		forget(s, name);
		named_list(&c->statements, named);
		own_now(s, name, st);
		named_unref(named);
	}
	buf_free(&s->own.rows);
	return is_carried;
}

/* ---- servers ---- */

void
prepared_clean(struct server *s)
{
	struct buf b = { 0 };
	struct named *n, *after;
	HASH_ITER(hh, s->own.names.map, n, after)
	{
		request_close(&b, 'S', n->name);
		owe(s, OWED_CLOSE, NULL, false);
		named_unlist(&s->own.names, n);
	}
	request_sync(&b);
	owe(s, OWED_SYNC, NULL, true);
	stream_put(&s->stream, buf_view(&b));
	buf_free(&b);
}

void
prepared_close_holding(struct server *s, struct statement *st, struct buf *out)
{
	request_close(out, 'S', st->name);
	owed_push(&s->owed, (struct owed_item){ .what = OWED_CLOSE, .to = OWED_TO_NOBODY, .statement = statement_ref(st) });
	holdings_drop(&s->holdings, st);
}

void
prepared_deallocated_all(struct server *s)
{
	for (uint32_t i = 0; i < s->owed.count; i++) { /* what is on its way behind it, it will have */
		struct owed_item *item = owed_at(&s->owed, i);
		if (item->is_own && item->named->is_listed)
			item->named->is_kept = true;
	}
	named_free_all(&s->own.names);
}
