/*
 * session/link.c - joins one client connection and one server connection for one transaction.
 *
 *   client ─(1) client_on_data ─(2) client_rules[letter] ─(3) forward ─► server, and owed_push
 *   client ◄─(6) pass ─(5) server_rules[letter], owed_pop ─(4) server_answers_on_data ─ server
 *                   (7) ReadyForQuery 'I' and nothing owed: link_part, server_release, the slot is idle; settle
 *
 * Owns: the pair. Never: parses bodies, chooses servers, closes sockets.
 * Invariant: c->link == s implies s->link == c; both are NULL otherwise. Whatever is owed to a client that is gone goes to
 * nobody: the entry keeps its place, the link it would go through is no more.
 * Source: PostgreSQL 16, 55.2 Message Flow.
 */
#include "session/link.h"

#include "base/clock.h"
#include "session/cancel.h"
#include "session/listen.h"
#include "session/pins.h"
#include "session/prepared.h"
#include "session/replication.h"
#include "session/state.h"
#include "session/touch.h"
#include "wire/reply.h"
#include "wire/request.h"

void
link_say(struct server *s, const char *sql)
{
	struct buf b = { 0 };
	request_query(&b, sql);
	stream_put(&s->stream, buf_view(&b)); /* leaves with what the client sends: no round trip of its own */
	owed_push(&s->owed, (struct owed_item){ .what = OWED_QUERY, .to = OWED_TO_NOBODY });
	s->unnamed_of = 0;
	buf_free(&b);
}

void
link_set_params(struct server *s)
{
	struct client *c = s->link;
	struct buf sql = { 0 };
	if (params_difference(s->params, c->params, &sql)) {
		buf_add_u8(&sql, '\0');
		link_say(s, (const char *)sql.p);
		/* What the server does not report we have to remember ourselves. */
		params_replace(&s->params_wanted, params_ref(c->params));
		c->pool->database->stats.param_syncs++;
	}
	buf_free(&sql);
}

void
link_join(struct client *c, struct server *s)
{
	must(c->link == NULL && s->link == NULL);
	must(owed_is_empty(&s->owed) && !s->owed.is_open && s->status == 'I' && s->state == SERVER_IDLE);
	uint64_t now = clock_now_us();
	c->link = s;
	s->link = c;
	s->linked_us = now;
	if (c->query_us)
		c->query_us = now; /* waiting is not running */
	s->is_soiled = true;
	s->question_failed = false;
	server_keep_anew(s, true);
	slot_enter(&s->slot, s->slot.at, SLOT_ACTIVE, now);
	server_enter(s, SERVER_LINKED, "given to a client");
	c->pool->database->stats.assignments++;
	if (c->stream.is_blocked)
		stream_pause(&s->stream);
	if (s->stream.is_blocked) /* data of a COPY that failed may still be on their way */
		stream_pause(&c->stream);
	if (s->own.error.n > 0)
		buf_clear(&s->own.error);
	if (s->own.names.map && s->own.client != c->id && c->state != CLIENT_WELCOME)
		prepared_clean(s);
	if (c->params && s->sequences_of != c->id && touch_reads_sequences(s->pool->database))
		link_say(s, "DISCARD SEQUENCES"); /* currval() and lastval() tell nobody of another's */
	if (c->params && s->params != c->params)
		link_set_params(s);
}

bool
link_is_at_rest(const struct server *s)
{
	const struct client *c = s->link;
	return owed_is_empty(&s->owed) && !s->owed.is_open && s->status == 'I' && c->in_left == 0 && s->in_left == 0 &&
	       c->state == CLIENT_LINKED &&
	       c->pool->rules.pool_mode != POOL_MODE_SESSION;
}

bool
link_rest(struct server *s)
{
	if (!link_is_at_rest(s) || s->asked)
		return false;
	if (s->touched && !state_is_plain(s)) {
		state_ask(s);
		return false;
	}
	if ((s->listens || s->link->listen) && !listen_may_part(s))
		return s->link == NULL;
	if (s->link->pins)
		return false;
	link_part(s);
	return true;
}

static void
account(struct client *c, struct server *s)
{
	c->linked_count++;
	c->query_us = 0;
	c->again_count = 0;
}

void
link_part(struct server *s)
{
	struct client *c = s->link;
	account(c, s);
	s->sequences_of = c->id;
	listen_on_unlink(c, s, false);
	c->link = NULL;
	s->link = NULL;
	if (s->stream.is_paused)
		stream_resume(&s->stream);
	client_parted(c);
	server_release(s);
}

void
link_give_back(struct server *s)
{
	s->link->link = NULL;
	s->link = NULL;
	server_release(s);
}

void
link_break(struct server *s)
{
	struct client *c = s->link;
	while (!owed_is_empty(&s->owed)) { /* newest first */
		struct owed_item item = owed_pop_last(&s->owed);
		if (item.named && item.what == OWED_PARSE && !item.is_own)
			named_unlist(&c->statements, item.named);
		else if (item.named && item.what == OWED_CLOSE && !item.is_own)
			named_list(&c->statements, item.named);
		owed_item_fini(&item);
	}
	listen_on_unlink(c, s, true);
	c->linked_count++;
	c->query_us = 0;
	c->is_stalled = c->in_is_data = false;
	pins_drop(c);
	c->link = NULL;
	s->link = NULL;
}

void
link_abandon(struct client *c)
{
	struct server *s = c->link;
	if (s == NULL)
		return;
	if (s->replication) {
		replication_abandon(c);
		return;
	}
	bool is_torn = c->in_left > 0 && c->in_goes;
	s->left |= c->pins | (s->listens ? (uint32_t)PIN_LISTEN : 0);
	pins_drop(c);
	account(c, s);
	s->sequences_of = c->id;
	c->link = NULL;
	s->link = NULL;
	s->in_goes = false; /* the rest of a message that was begun for this client is nobody's */
	link_pop_ours(s); /* as are answers of our own that nobody has asked for yet */
	if (s->stream.is_paused)
		stream_resume(&s->stream);
	if (s->state == SERVER_CLOSED)
		return;
	if (is_torn)
		server_close(s, FAULT_BY_CLIENT, "its client left in the middle of a message");
	else if (owed_is_empty(&s->owed) && s->status == 'I' && !s->owed.is_open && !s->is_dying)
		server_release(s);
	else
		server_drain(s);
}

static void
answer_ours(struct client *c, const struct owed_item *item)
{
	struct buf b = { 0 };
	if (item->what == OWED_PARSE)
		reply_parse_complete(&b);
	else
		reply_close_complete(&b);
	client_send(c, buf_view(&b));
	buf_free(&b);
}

void
link_pop_ours(struct server *s)
{
	if (s->in_left > 0 && s->link) { /* not into the middle of a message of the server's */
		s->pops_later = true;
		return;
	}
	while (owed_is_ours(&s->owed)) {
		struct owed_item item = owed_pop(&s->owed);
		if (s->link && item.to == OWED_BY_US) {
			answer_ours(s->link, &item);
			s->has_spoken = true;
		}
		owed_item_fini(&item);
	}
}

/*
 * What the server holds of a statement whose Parse or Close it skips: what it held before. A Close that was sent since then,
 * behind the Sync, to make room, still comes: it removes the statement, or, if it is skipped too, leaves it as it is now.
 */
static void
undo_holding(struct server *s, const struct owed_item *item, uint32_t sync)
{
	struct owed_item *close = owed_find_close(&s->owed, sync, item->statement);
	if (item->what == OWED_PARSE) {
		holdings_drop(&s->holdings, item->statement);
		if (close)
			close->is_void = true;
	} else if (!item->is_void) {
		if (close)
			close->is_void = false;
		else
			holdings_add(&s->holdings, item->statement);
	}
}

/* The server will not do this: what the client's intake took for granted is taken back. Newest first. */
static void
undo(struct server *s, struct owed_item *item, uint32_t sync)
{
	if (item->statement)
		undo_holding(s, item, sync);
	if (item->is_own)
		prepared_undo(s, item);
	else if (item->named && s->link && item->what == OWED_PARSE)
		named_unlist(&s->link->statements, item->named);
	else if (item->named && s->link && item->what == OWED_CLOSE)
		named_list(&s->link->statements, item->named);
	if (item->is_unnamed)
		s->unnamed_of = 0; /* the unnamed one is still what it was: perhaps somebody else's */
	owed_item_fini(item);
}

/* The first of what is owed, a Parse of the unnamed statement, has failed: then there is none, unless another one follows. */
static void
drop_unnamed(struct server *s)
{
	for (uint32_t i = 1; i < s->owed.count; i++)
		if (owed_at(&s->owed, i)->what == OWED_PARSE && owed_at(&s->owed, i)->is_unnamed)
			return;
	buf_free(&s->link->unnamed);
	s->link->unnamed_on = 0;
}

void
link_on_error(struct server *s)
{
	struct owed *o = &s->owed;
	struct owed_item *first = owed_first(o);
	if (first == NULL || owed_ends_with_ready(first->what))
		return;
	if (s->link && first->what == OWED_PARSE && first->is_unnamed)
		drop_unnamed(s);
	/* Everything up to the next Sync is skipped by the server; a Query is too. */
	uint32_t sync = 0;
	while (sync < o->count && owed_at(o, sync)->what != OWED_SYNC)
		sync++;
	bool has_sync = sync < o->count;
	for (uint32_t i = sync; i > 0; i--) {
		struct owed_item item = *owed_at(o, i - 1); /* a copy: the queue still counts what was tentative */
		undo(s, &item, sync);
	}
	for (uint32_t i = 0; i < sync; i++)
		if (owed_ends_with_ready(owed_pop(o).what))
			s->keeps_all = false; /* a request that will have no ReadyForQuery: they could not be counted */
	o->is_skipping = !has_sync;
	if (!has_sync)
		o->is_open = true; /* a Query that seemed to close the row of messages was skipped with them */
}
