/*
 * session/server.c - a server connection from its birth to its end: its states, our own questions to it, and what becomes
 * of it when it is free. Whom its answers go to is in session/server_answers.c.
 *
 * Invariant: an idle server owes nothing, is in no transaction, and no cancel request is under way to it.
 */
#include "session/server.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/heap.h"
#include "base/log.h"
#include "pool/plan.h"
#include "session/cancel.h"
#include "session/client_login.h"
#include "session/custom_names.h"
#include "session/hold.h"
#include "session/link.h"
#include "session/listener.h"
#include "session/pins.h"
#include "session/state.h"
#include "session/touch.h"
#include "wire/request.h"

#define IN(state) (1u << SERVER_##state)

static const struct {
	const char *name;
	unsigned next;
} server_states[] = {
	[SERVER_CONNECT] = { "connect", IN(TLS) | IN(LOGIN) | IN(CLOSED) },
	[SERVER_TLS] = { "tls", IN(LOGIN) | IN(CLOSED) },
	[SERVER_LOGIN] = { "login", IN(SETTLING) | IN(IDLE) | IN(REPLICATING) | IN(LISTENING) | IN(CLOSED) },
	[SERVER_REPLICATING] = { "replicating", IN(CLOSED) },
	[SERVER_LISTENING] = { "listening", IN(CLOSED) },
	[SERVER_SETTLING] = { "settling", IN(SETTLING) | IN(IDLE) | IN(LISTENING) | IN(CLOSED) },
	[SERVER_IDLE] = { "idle", IN(SETTLING) | IN(LINKED) | IN(CLOSED) },
	[SERVER_LINKED] = { "linked", IN(IDLE) | IN(SETTLING) | IN(DRAINING) | IN(CLOSED) },
	[SERVER_DRAINING] = { "draining", IN(SETTLING) | IN(IDLE) | IN(CLOSED) },
	[SERVER_CLOSED] = { "closed", 0 },
};

const char *
server_state_name(const struct server *s)
{
	return server_states[s->state].name;
}

const char *
server_tag(const struct server *s)
{
	static char tag[16];
	snprintf(tag, sizeof(tag), "S%u", s->id);
	return tag;
}

void
server_enter(struct server *s, enum server_state to, const char *why)
{
	must(server_states[s->state].next & (1u << to));
	log_debug(server_tag(s), "%s -> %s: %s", server_states[s->state].name, server_states[to].name, why);
	s->state = (uint8_t)to;
	s->since_us = clock_now_us();
}

/* ---- birth and death ---- */

static void
server_on_open(void *owner)
{
	server_login_on_open(owner);
}

/* What a broken session tells about its member. */
static void
report(struct server *s, enum session_says says)
{
	hold_report(s->pool->database->load, s->slot.at->id, says);
}

static void
server_on_end(void *owner, enum stream_end why, const char *text)
{
	struct server *s = owner;
	if (s->login) {
		server_login_on_end(s, why, s->is_dying ? s->why_dying : text);
		return;
	}
	if (!s->is_dying)
		report(s, SESSION_BROKE);
	server_lost(s, FAULT_BY_SERVER, s->is_dying ? s->why_dying : text);
}

static void
server_on_blocked(void *owner)
{
	struct server *s = owner;
	if (s->link)
		stream_pause(&s->link->stream);
}

static void
server_on_drained(void *owner)
{
	struct server *s = owner;
	struct client *c = s->link;
	if (c && ((c->state == CLIENT_LINKED && !c->stream.is_blocked) || c->state == CLIENT_REPLICATING))
		stream_resume(&c->stream);
}

const struct stream_ops server_ops = {
	.on_open = server_on_open,
	.on_data = server_answers_on_data,
	.on_end = server_on_end,
	.on_blocked = server_on_blocked,
	.on_drained = server_on_drained,
};

static struct server *
server_new(struct proxy *x, struct pool *p)
{
	struct server *s = heap_alloc(sizeof(*s));
	s->proxy = x;
	s->pool = p;
	s->id = x->last_id = (x->last_id & INT32_MAX) + 1;
	s->state = SERVER_CONNECT;
	s->status = 'I';
	s->params = params_empty();
	s->connect_us = s->since_us = s->request_us = clock_now_us();
	s->stream.fd = -1;
	holdings_init(&s->holdings);
	list_append(&x->servers, &s->node);
	x->counters.servers_opened++;
	return s;
}

void
server_open(struct proxy *x, struct pool *p, uint16_t member_id, struct client *for_client)
{
	struct server *s = server_new(x, p);
	if (for_client) {
		s->replication = (uint8_t)for_client->login->replication;
		s->link = for_client;
		for_client->link = s;
	}
	slot_enter(&s->slot, pool_at(p, member_id), for_client ? SLOT_DEDICATED : SLOT_LOGIN, clock_now_us());
	server_login_begin(s);
}

/* What of its session can't be had from another server. */
static void
describe_loss(const struct client *c, const char *why, char *out, size_t room)
{
	char reasons[160];
	struct text what = TEXT_IN(reasons), text = text_in(out, room);
	if (c->pins) {
		pins_add_names(&what, c->pins);
		text_addf(&text, "%s. The session was kept on this server for what can't be rebuilt: %s.", why, reasons);
	} else if (c->pool->rules.pool_mode == POOL_MODE_SESSION) {
		text_addf(&text, "%s. With pool_mode = session the server is the session: what it held can't be rebuilt.", why);
	} else {
		text_addf(&text, "%s. It had not yet told what the last transaction has left in the session.", why);
	}
}

void
server_open_listener(struct proxy *x, struct pool *p, uint16_t member_id, struct listener *l)
{
	struct server *s = server_new(x, p);
	s->listener = l;
	l->server = s;
	slot_enter(&s->slot, pool_at(p, member_id), SLOT_LISTENER, clock_now_us());
	server_login_begin(s);
}

static void
tell_client(struct client *c, const struct server *s, enum fault_by by, const char *why)
{
	if (s->replication && by != FAULT_BY_SERVER) {
		client_fail(c, &(struct fault){ .by = by, .sqlstate = SQLSTATE_ADMIN_SHUTDOWN,
		                                .text = "terminating replication connection", .detail = why });
		return;
	}
	bool is_linked = c->state == CLIENT_LINKED;
	bool is_unknown = s->owed.count > (s->asked ? 1 : 0) && is_linked; /* what we have asked ourselves is in flight for nobody */
	bool was_session = is_linked && (client_keeps_server(c) || state_is_missed(s));
	char detail[500];
	if (was_session)
		describe_loss(c, why, detail, sizeof(detail));
	struct fault f = {
		.by = FAULT_BY_SERVER,
		.sqlstate = was_session  ? SQLSTATE_ADMIN_SHUTDOWN
		            : is_unknown ? SQLSTATE_TRANSACTION_UNKNOWN
		                         : SQLSTATE_CONNECTION_FAILURE,
		.text = "server connection was lost",
		.detail = was_session ? detail : why,
		.hint = is_unknown ? "Whether the statement in flight took effect is not known: check before you repeat it."
		                   : NULL,
	};
	if (s->is_dying && (s->is_goodbye_told || c->pins == 0)) { /* it said FATAL, and the client has read that already */
		client_close(c, FAULT_BY_SERVER, why);
		return;
	}
	client_fail(c, &f);
}

static void
drop_owed(struct server *s)
{
	while (!owed_is_empty(&s->owed)) {
		struct owed_item item = owed_pop_last(&s->owed);
		owed_item_fini(&item);
	}
	owed_free(&s->owed);
}

void
server_close(struct server *s, enum fault_by by, const char *why)
{
	if (s->state == SERVER_CLOSED)
		return;
	struct proxy *x = s->proxy;
	char reason[200];
	snprintf(reason, sizeof(reason), "%s", why); /* may live in the login that is freed here */
	if (x->config->settings.log_disconnections)
		log_info(server_tag(s), "closed pool=%s/%s by=%s reason=\"%s\" age=%.1fs", s->pool->database->name,
		         s->pool->role->name, fault_by_name(by), reason,
		         (double)(clock_now_us() - s->connect_us) / (double)SECOND_US);
	bool says_goodbye = s->state == SERVER_IDLE || s->state == SERVER_SETTLING || s->state == SERVER_LISTENING;
	server_enter(s, SERVER_CLOSED, reason);
	if (s->link)
		tell_client(s->link, s, by, reason);
	must(s->link == NULL);
	if (s->listener)
		listener_on_close(s, reason);
	cancel_forget_server(s);
	drop_owed(s);
	if (says_goodbye && stream_is_open(&s->stream)) {
		struct buf b = { 0 };
		request_terminate(&b);
		stream_put(&s->stream, buf_view(&b));
		buf_free(&b);
	}
	stream_close(&s->stream);
	if (s->login && by == FAULT_BY_SERVER && !s->replication)
		server_login_back_off(s);
	server_login_free(s);
	slot_enter(&s->slot, s->slot.at, SLOT_NONE, clock_now_us());
	x->counters.servers_closed++;
	node_remove(&s->node);
	list_append(&x->closed_servers, &s->node);
	proxy_dirty(x, s->pool);
	proxy_dirty_neighbours(x, s->pool);
}

void
server_free(struct server *s)
{
	must(s->state == SERVER_CLOSED && s->link == NULL);
	node_remove(&s->node);
	params_unref(s->params);
	params_unref(s->params_wanted);
	state_free(s);
	buf_free(&s->touch_names);
	holdings_clear(&s->holdings);
	prepared_own_free(&s->own);
	buf_free(&s->key);
	buf_free(&s->kept);
	heap_free(s);
}

/* ---- our own questions, and what becomes of a free server ---- */

void
server_ask(struct server *s, enum question q, const char *sql)
{
	struct buf b = { 0 };
	if (sql) {
		request_query(&b, sql);
		owed_push(&s->owed, (struct owed_item){ .what = OWED_QUERY, .to = OWED_TO_NOBODY });
		s->unnamed_of = 0;
	} else {
		request_sync(&b);
		owed_push(&s->owed, (struct owed_item){ .what = OWED_SYNC, .to = OWED_TO_NOBODY });
	}
	s->question = (uint8_t)q;
	s->question_failed = false;
	server_enter(s, SERVER_SETTLING, "asked a question of our own");
	if (s->slot.state != SLOT_LOGIN && s->slot.state != SLOT_LISTENER)
		slot_enter(&s->slot, s->slot.at, SLOT_TESTED, clock_now_us());
	stream_put(&s->stream, buf_view(&b));
	buf_free(&b);
}

static bool
needs_reset(const struct server *s)
{
	const struct settings *set = &s->proxy->config->settings;
	return s->is_soiled && set->server_reset_query[0] &&
	       (set->server_reset_query_always || s->pool->rules.pool_mode == POOL_MODE_SESSION);
}

/* What its last client has left on it goes, or it does. */
static void
clean(struct server *s)
{
	struct buf sql = { 0 };
	const char *why = NULL;
	if (pins_clean(s, &sql, &why))
		server_ask(s, QUESTION_DISCARD, (const char *)sql.p);
	else
		server_close(s, FAULT_BY_PROXY, why);
	buf_free(&sql);
}

void
server_release(struct server *s)
{
	struct proxy *x = s->proxy;
	struct pool *p = s->pool;
	must(owed_is_empty(&s->owed) && !s->owed.is_open && s->link == NULL);
	if (s->cancels > 0) { /* must not hit the next one's query: cancel.c comes back here */
		if (s->state != SERVER_DRAINING && s->state != SERVER_SETTLING)
			server_enter(s, SERVER_SETTLING, "a cancel request is under way");
		slot_enter(&s->slot, s->slot.at, SLOT_CANCELLING, clock_now_us());
		return;
	}
	const char *why = slot_why_close(&s->slot, p->database->load->topology);
	if (s->is_dying)
		why = s->why_dying;
	else if (p->rules.server_lifetime_us == 0 && s->linked_us > 0)
		why = "server lifetime over";
	else if (x->state == PROXY_PAUSED || x->state == PROXY_STOPPING_SERVERS || p->database->is_paused)
		why = "paused";
	if (why) {
		server_close(s, FAULT_BY_PROXY, why);
		return;
	}
	if (pins_are_left(s) && p->rules.pool_mode != POOL_MODE_SESSION) {
		clean(s);
		return;
	}
	if (needs_reset(s)) {
		server_ask(s, QUESTION_RESET, x->config->settings.server_reset_query);
		return;
	}
	if (s->owed.room > OWED_ROOM_KEPT) /* one long pipeline shall not be remembered by its memory */
		owed_free(&s->owed);
	if (s->kept.room > KEPT_ROOM_IDLE)
		buf_free(&s->kept);
	if (s->state != SERVER_IDLE)
		server_enter(s, SERVER_IDLE, "free");
	s->slot.wears = s->params;
	slot_enter(&s->slot, s->slot.at, SLOT_IDLE, clock_now_us());
	s->question = QUESTION_NONE;
	if (pool_waiting(p) > 0)
		proxy_dirty(x, p);
	if (p->rules.max_db_connections > 0 || p->rules.max_user_connections > 0)
		proxy_dirty_neighbours(x, p);
	if (custom_names_are_due(s))
		custom_names_ask(s);
}

/* The last answer to a question of ours is in. */
void
server_answered(struct server *s)
{
	switch ((enum question)s->question) {
	case QUESTION_CONNECT:
		if (s->question_failed)
			log_warning(server_tag(s), "connect_query failed: %s", s->why_dying);
		server_login_next(s);
		return;
	case QUESTION_BASE:
		if (s->question_failed)
			log_warning(server_tag(s), "what connect_query has set can't be read: %s", s->why_dying);
		server_login_next(s);
		return;
	case QUESTION_RECOVERY:
		if (s->question_failed)
			server_close(s, FAULT_BY_SERVER, "it does not tell whether it is in recovery");
		else
			server_login_next(s);
		return;
	case QUESTION_CHECK:
	case QUESTION_RESET:
	case QUESTION_DISCARD:
		if (s->question_failed || s->status != 'I') {
			server_close(s, FAULT_BY_SERVER,
			             s->question == QUESTION_CHECK   ? "server_check_query failed"
			             : s->question == QUESTION_RESET ? "server_reset_query failed"
			                                             : "what its client has left could not be taken away");
			return;
		}
		if (s->question == QUESTION_RESET) {
			s->is_soiled = s->listens = s->listens_due = false;
			s->left = 0;
			touch_forget(s);
			params_replace(&s->params, params_without_unreported(s->params));
		} else if (s->question == QUESTION_DISCARD) {
			s->is_soiled &= !s->cleans_all;
			pins_cleaned(s);
		}
		break;
	case QUESTION_ROLLBACK:
		if (s->status != 'I') {
			server_close(s, FAULT_BY_SERVER, "it could not be rolled back");
			return;
		}
		break;
	case QUESTION_ROLE:
		if (!s->slot.is_standby) /* a server that was a primary is one as long as its sessions live */
			report(s, SESSION_WRITABLE);
		break;
	case QUESTION_CUSTOM_NAMES:
		if (s->status != 'I') {
			server_close(s, FAULT_BY_SERVER, "it is in a transaction that nobody began");
			return;
		}
		custom_names_answered(s);
		break;
	case QUESTION_NAMES: /* its client has left meanwhile */
	case QUESTION_STATE:
	case QUESTION_NONE:
		break;
	}
	server_release(s);
}

/* A Sync alone would commit what its client began and did not live to end. In an explicit transaction it does no harm. */
static void
add_rollback(struct server *s, struct buf *b)
{
	static const uint8_t nothing[6] = { 0 }; /* of a Bind: no formats, no values, no result formats */
	if (s->owed.is_skipping)
		return;
	request_parse(b, "", view_of_string("ROLLBACK"), (struct view){ 0 });
	request_bind_head(b, "", "", sizeof(nothing));
	buf_add(b, view_of(nothing, sizeof(nothing)));
	request_execute(b, "", 0);
	static const uint8_t sent[] = { OWED_PARSE, OWED_BIND, OWED_EXECUTE };
	for (size_t i = 0; i < sizeof(sent); i++)
		owed_push(&s->owed, (struct owed_item){ .what = sent[i], .to = OWED_TO_NOBODY });
	s->unnamed_of = 0;
}

static void
end_pipeline(struct server *s)
{
	struct buf b = { 0 };
	add_rollback(s, &b);
	request_sync(&b);
	owed_push(&s->owed, (struct owed_item){ .what = OWED_SYNC, .to = OWED_TO_NOBODY });
	stream_put(&s->stream, buf_view(&b));
	buf_free(&b);
}

/* Draining, and nothing is owed any more. */
void
server_drained(struct server *s)
{
	if (s->owed.is_open) { /* after an error it skips everything up to a Sync, also what seemed to be the end */
		end_pipeline(s);
		return;
	}
	if (s->cancels > 0)
		return; /* a ROLLBACK could be what is cancelled; cancel.c calls server_drain() again */
	if (s->status == 'I')
		server_release(s);
	else
		server_ask(s, QUESTION_ROLLBACK, "ROLLBACK");
}

void
server_drain(struct server *s)
{
	if (s->is_dying) {
		server_close(s, FAULT_BY_SERVER, s->why_dying);
		return;
	}
	if (s->state == SERVER_DRAINING) {
		if (owed_is_empty(&s->owed))
			server_drained(s);
		return;
	}
	server_enter(s, SERVER_DRAINING, "its client is gone");
	slot_enter(&s->slot, s->slot.at, SLOT_TESTED, clock_now_us());
	struct buf b = { 0 };
	if (s->is_copy_in) {
		s->is_copy_in = false;
		request_copy_fail(&b, "the client has left");
	}
	if (b.n > 0)
		stream_put(&s->stream, buf_view(&b));
	buf_free(&b);
	if (s->owed.is_open)
		end_pipeline(s);
	if (owed_is_empty(&s->owed))
		server_drained(s);
	else if (!state_is_all(s)) /* what it has left is told at once */
		cancel_server(s);
}
