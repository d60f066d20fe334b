/*
 * session/server_errors.c - errors and notices of a server: which are the client's, in whose words, and which are the end.
 *
 * Source: PostgreSQL 16, 55.8 Error and Notice Message Fields.
 */
#include <stdio.h>
#include <string.h>

#include "server_parts.h"
#include "session/hold.h"
#include "session/link.h"
#include "session/listen.h"
#include "session/lost.h"
#include "session/pids.h"
#include "session/pins.h"
#include "wire/reply.h"

/* A name that the client has used already: the server names the shared statement, the client must read its own name. */
static void
send_duplicate_error(struct client *c, const char *name)
{
	char text[160];
	snprintf(text, sizeof(text), "prepared statement \"%s\" already exists", name);
	struct buf b = { 0 };
	reply_error(&b, "ERROR", &(struct fault){ .sqlstate = SQLSTATE_DUPLICATE_STATEMENT, .text = text });
	client_send(c, buf_view(&b));
	buf_free(&b);
}

/* In the place of a Parse beyond its limit the server was told to fail. */
static void
send_too_many_error(struct client *c)
{
	struct buf b = { 0 };
	reply_error(&b, "ERROR", &(struct fault){ .sqlstate = SQLSTATE_CONFIGURATION_LIMIT,
	            .text = "too many prepared statements in this session",
	            .hint = "See max_client_prepared_statements and max_client_prepared_size; DEALLOCATE what is not needed." });
	client_send(c, buf_view(&b));
	buf_free(&b);
}

/*
 * The last words of a backend whose server stops at once, or where another backend has crashed: a warning, and no FATAL after it.
 * Anybody may raise a warning of that SQLSTATE; who wrote this one is told by the routine.
 * Source: PostgreSQL 9.6 to 17, quickdie() in tcop/postgres.c.
 */
static bool
is_last_warning(const struct error_fields *e)
{
	return e->sqlstate && e->routine && strncmp(e->sqlstate, "57P0", 4) == 0 && strcmp(e->routine, "quickdie") == 0;
}

bool
server_note_error(struct server *s, const struct error_fields *e)
{
	const char *severity = e->severity_nonlocal ? e->severity_nonlocal : e->severity;
	snprintf(s->why_dying, sizeof(s->why_dying), "%s", e->message ? e->message : "server error");
	snprintf(s->why_state, sizeof(s->why_state), "%s", e->sqlstate ? e->sqlstate : SQLSTATE_INTERNAL_ERROR);
	bool is_fatal = severity && (strcmp(severity, "FATAL") == 0 || strcmp(severity, "PANIC") == 0);
	if (!is_fatal && !is_last_warning(e))
		return false;
	s->is_dying = true;
	s->is_broken_off = lost_is_broken_off(e);
	if (lost_is_of_server(severity, e->sqlstate))
		hold_report(s->pool->database->load, s->slot.at->id, SESSION_SHUTTING_DOWN);
	return true;
}

enum { NAMEDATALEN = 64 }; /* PostgreSQL's */

/* "prepared statement "pgsluice_7" does not exist", or exists already. */
static bool
is_about_our_names(const struct error_fields *e)
{
	return e->sqlstate && e->message && strstr(e->message, "\"" STATEMENT_SHARED_PREFIX) &&
	       (strcmp(e->sqlstate, SQLSTATE_INVALID_STATEMENT_NAME) == 0 ||
	        strcmp(e->sqlstate, SQLSTATE_DUPLICATE_STATEMENT) == 0);
}

/* The name of ours that an error's message has in it, or "". */
static void
find_our_name(const struct error_fields *e, char name[NAMEDATALEN])
{
	const char *at = e->message ? strstr(e->message, "\"" STATEMENT_SHARED_PREFIX) : NULL;
	size_t n = at ? strcspn(at + 1, "\"") : 0;
	snprintf(name, NAMEDATALEN, "%.*s", n < NAMEDATALEN ? (int)n : 0, at ? at + 1 : "");
}

/* It names a statement as we call it; the client has to read what it calls it itself. False: nothing of the kind. */
static bool
send_reworded(struct client *c, const struct frame *f, const struct error_fields *e)
{
	char ours[NAMEDATALEN];
	find_our_name(e, ours);
	const struct named *named = ours[0] ? named_find_shared(&c->statements, ours) : NULL;
	if (named == NULL)
		return false;
	struct buf b = { 0 };
	reply_error_reworded(&b, f->body, ours, named->name);
	client_send(c, buf_view(&b));
	buf_free(&b);
	return true;
}

/* Source: PostgreSQL 9.6 to 17, utils/cache/plancache.c: the one place that says so. */
static bool
is_of_replan(const struct error_fields *e)
{
	return e->sqlstate && e->routine && strcmp(e->sqlstate, SQLSTATE_FEATURE_NOT_SUPPORTED) == 0 &&
	       strcmp(e->routine, "RevalidateCachedQuery") == 0;
}

static void
note_changed_of(struct server *s, const char *name)
{
	struct named *named = named_find(&s->link->statements, name);
	if (named == NULL)
		return;
	named->statement->generation++;
	named->generation = named->statement->generation; /* it is being told */
}

/* Its tables were changed since: what this request has named is prepared anew, on every server, before it is used again. */
static void
note_changed(struct server *s)
{
	struct frame f;
	struct bind_head head;
	struct target_message target;
	struct view kept = buf_view(&s->kept);
	for (size_t at = 0; at < kept.n; at += f.size) {
		if (frame_peek(view_from(kept, at), UINT32_MAX, &f) != FRAME_OK)
			return;
		if (f.type == FE_BIND && bind_frame_read_head(&f, &head) == FRAME_OK)
			note_changed_of(s, head.statement);
		else if (f.type == FE_DESCRIBE && frame_is_whole(&f) && target_read(f.body, &target) && target.kind == 'S')
			note_changed_of(s, target.name);
	}
	if (s->keeps_all)
		return;
	for (struct held *held = s->holdings.map; held; held = held->hh.next)
		held->statement->generation++;
}

static void
send_changed_error(struct client *c)
{
	struct buf b = { 0 };
	reply_error(&b, "ERROR", &(struct fault){ .sqlstate = SQLSTATE_FEATURE_NOT_SUPPORTED,
	                                          .text = "cached plan must not change result type" });
	client_send(c, buf_view(&b));
	buf_free(&b);
}

/* This server; who is told of its end by us, not by its own words. */
static bool
may_outlive(const struct client *c)
{
	return c->state == CLIENT_LEARNING || c->state == CLIENT_CHECKING ||
	       (c->state == CLIENT_LINKED && (c->pins || !client_keeps_server(c)));
}

/* By a pg_terminate_backend() of one of our clients: then it is meant for this session, whose client reads what PostgreSQL says. */
static bool
was_signalled(const struct server *s, const struct error_fields *e)
{
	return s->link->state == CLIENT_LINKED && pids_were_signalled(s->proxy) && e->sqlstate &&
	       strcmp(e->sqlstate, SQLSTATE_ADMIN_SHUTDOWN) == 0;
}

bool
server_run_error(struct server *s, const struct frame *f, struct view all)
{
	struct error_fields e = { 0 };
	if (frame_is_whole(f) && !error_read(f->body, &e))
		return server_is_wrong(s, "sent a malformed", f->type);
	bool is_fatal = server_note_error(s, &e);
	/* 25006 is no sign: a primary says so where a client wants to be read-only. One that is none any more says in_hot_standby = on in
	 * front of the ReadyForQuery that follows, and is a sign by that. */
	if (is_fatal && s->link && may_outlive(s->link) && !was_signalled(s, &e) &&
	    (s->link->state == CLIENT_CHECKING ||
	     lost_is_meant(e.severity_nonlocal ? e.severity_nonlocal : e.severity, e.sqlstate))) {
		server_lost(s, FAULT_BY_SERVER, s->why_dying); /* nothing but the end of the stream follows */
		return false;
	}
	s->is_goodbye_told = is_fatal;
	struct owed_item *first = owed_first(&s->owed);
	if (first == NULL) {
		if (!is_fatal)
			return server_is_wrong(s, "sent", f->type);
		if (s->link == NULL) { /* before somebody is given to it */
			server_close(s, FAULT_BY_SERVER, s->why_dying);
			return false;
		}
		server_pass(s, f, all, true); /* idle in a transaction, and cut off: the client has to know why */
		return true;           /* the end of the stream follows */
	}
	if (first->is_brought && !is_fatal) {
		prepared_on_error(s, first, all);
		server_pass(s, f, all, false);
		link_on_error(s);
		return true;
	}
	bool is_ours = first->to == OWED_TO_NOBODY && owed_ends_with_ready(first->what);
	if (is_ours) {
		s->question_failed = true;
		if (first->is_listen)
			listen_on_failure(s);
		bool is_set = s->link && !first->is_state && !first->is_brought && !first->is_listen && (s->link->state == CLIENT_LINKED || (s->link->state == CLIENT_CHECKING && s->params_wanted));
		if (is_set) {
			char text[240];
			snprintf(text, sizeof(text), "session parameters could not be restored: %s", s->why_dying);
			s->slot.is_close_needed = true;
			client_fail(s->link, &(struct fault){ .by = FAULT_BY_SERVER, .sqlstate = s->why_state, .text = text });
		}
		if (is_fatal && s->link) {
			server_pass(s, f, all, true);
			return true;
		}
		server_pass(s, f, all, false);
		return s->state != SERVER_CLOSED;
	}
	bool is_by_hand = first->what == OWED_QUERY || first->what == OWED_EXECUTE; /* there is none of that name now: session/prepared.h */
	if (is_about_our_names(&e) && !first->is_duplicate && !is_by_hand)
		s->slot.is_close_needed = true; /* somebody has meddled with them: it does not hold what we believe */
	s->is_copy_in = false;
	if (s->link && is_of_replan(&e) && !first->is_own && (first->what == OWED_BIND || first->what == OWED_DESCRIBE))
		note_changed(s);
	/* An error in what we added before the client's message (a statement that can't be prepared again) is the client's. */
	bool goes = s->link != NULL;
	if (first->is_duplicate && goes && first->named && strcmp(s->why_state, SQLSTATE_DUPLICATE_STATEMENT) == 0) {
		send_duplicate_error(s->link, first->named->name);
		goes = false;
	}
	if (first->refused == REFUSED_CHANGED && goes && strcmp(s->why_state, SQLSTATE_SYNTAX_ERROR) == 0) {
		send_changed_error(s->link);
		s->has_spoken = true;
		goes = false;
	} else if (first->refused && goes && strcmp(s->why_state, PINS_REFUSED_SQLSTATE) == 0) {
		pins_refuse(s->link, first->refused);
		s->has_spoken = true;
		goes = false;
	}
	if (first->is_duplicate && goes && first->named == NULL) {
		send_too_many_error(s->link);
		goes = false;
	}
	if (goes && s->own.error.n > 0 && strcmp(s->why_state, SQLSTATE_INVALID_STATEMENT_NAME) == 0) {
		client_send(s->link, buf_view(&s->own.error)); /* that is why it is not there */
		s->has_spoken = true;
		goes = false;
	}
	if (goes && frame_is_whole(f) && send_reworded(s->link, f, &e)) {
		s->has_spoken = true;
		goes = false;
	}
	server_pass(s, f, all, goes);
	touch_failed(s);
	s->has_failed = s->link != NULL;
	link_on_error(s);
	client_go_on(s->link); /* no ReadyForQuery comes before its next Sync */
	if (s->state == SERVER_DRAINING && owed_is_empty(&s->owed))
		server_drained(s);
	if (s->loose_syncs > 0)
		s->slot.is_close_needed = true; /* an answer too many may follow: nobody else may meet it */
	return true;
}

/* Notices and notifications belong to no message; who is linked gets them. They are no part of an answer. */
bool
server_run_asynchronous(struct server *s, const struct frame *f, struct view all)
{
	struct error_fields e;
	if (f->type == BE_NOTICE_RESPONSE && frame_is_whole(f) && error_read(f->body, &e) && is_last_warning(&e)) {
		server_note_error(s, &e);
		if (s->link == NULL)
			server_close(s, FAULT_BY_SERVER, s->why_dying);
		else if (may_outlive(s->link))
			server_lost(s, FAULT_BY_SERVER, s->why_dying);
		if (s->state == SERVER_CLOSED)
			return false;
	}
	struct owed_item *first = owed_first(&s->owed);
	bool is_ours = first && first->to == OWED_TO_NOBODY && owed_ends_with_ready(first->what);
	bool goes = s->link && !is_ours, had_spoken = s->has_spoken;
	if (f->type == BE_NOTIFICATION_RESPONSE && s->link && client_is_watched(s->link)) {
		goes = false;
		if (frame_is_whole(f) && s->link->state == CLIENT_LINKED)
			listen_pass(s, f->body);
	}
	server_pass(s, f, all, goes);
	s->has_spoken = had_spoken;
	return true;
}
