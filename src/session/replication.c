/*
 * session/replication.c - a client and a server that replicate; see the header.
 *
 *   client_on_data ─► replication_on_client_data ─► server        server_answers_on_data ─► replication_on_server_data ─► client
 *
 * Each way stops only for its own receiver (client_on_blocked, server_on_blocked): a standby that is slow to read still gets
 * its feedback through. Memory: what one read brought and the receiver did not take.
 * Invariant: a server of SLOT_DEDICATED has its client until it is closed, and the client has it until it is closed itself or
 * waits for another, to which nothing of this one was told.
 */
#include "session/replication.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/log.h"
#include "pool/plan.h"
#include "session/client_login.h"
#include "session/link.h"
#include "session/server.h"
#include "wire/request.h"

/* Before a member that turned out to be the wrong one is tried again. One that does not tell will not tell then either. */
enum { WRONG_MEMBER_PAUSE_US = 100 * 1000, UNKNOWN_MEMBER_PAUSE_US = 1000 * 1000 };

/* ---- the startup parameter ---- */

/* As PostgreSQL's parse_bool(): any beginning that is no other's. */
static bool
is_start_of(const char *value, const char *word, size_t least)
{
	size_t n = strlen(value);
	return n >= least && n <= strlen(word) && strncasecmp(value, word, n) == 0;
}

bool
replication_read(const char *value, enum replication *out)
{
	static const struct {
		const char *word;
		size_t least;
		enum replication means;
	} words[] = {
		{ "true", 1, REPLICATION_PHYSICAL }, { "yes", 1, REPLICATION_PHYSICAL }, { "on", 2, REPLICATION_PHYSICAL },
		{ "1", 1, REPLICATION_PHYSICAL },    { "false", 1, REPLICATION_NONE },   { "no", 1, REPLICATION_NONE },
		{ "off", 2, REPLICATION_NONE },      { "0", 1, REPLICATION_NONE },
	};
	if (strcmp(value, "database") == 0) {
		*out = REPLICATION_LOGICAL;
		return true;
	}
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (is_start_of(value, words[i].word, words[i].least)) {
			*out = words[i].means;
			return true;
		}
	return false;
}

const char *
replication_name(enum replication r)
{
	static const char *const names[] = { [REPLICATION_NONE] = "none", [REPLICATION_PHYSICAL] = "physical",
		                             [REPLICATION_LOGICAL] = "logical" };
	return names[r];
}

enum replication
client_replication(const struct client *c)
{
	if (c->login)
		return c->login->replication;
	return c->link ? (enum replication)c->link->replication : REPLICATION_NONE;
}

/* ---- the login of the server ---- */

void
replication_open(struct client *c, uint16_t member_id)
{
	must(c->login && c->login->replication != REPLICATION_NONE && c->link == NULL);
	pool_leave(&c->waiter);
	client_enter(c, CLIENT_LEARNING, "a server is opened for it alone");
	server_open(c->proxy, c->pool, member_id, c);
}

static void
add_pair(struct buf *pairs, const char *name, const char *value)
{
	if (value == NULL)
		return;
	buf_add(pairs, view_of(&name, sizeof(name)));
	buf_add(pairs, view_of(&value, sizeof(value)));
}

/* What the entry of the database sets, unless the client wants it otherwise. */
static void
add_preset(struct buf *pairs, const struct client_login *l, const char *name, const char *value)
{
	size_t at = 0;
	const char *asked, *unused;
	while (login_next_pair(&l->pairs, &at, &asked, &unused))
		if (strcasecmp(asked, name) == 0)
			return;
	add_pair(pairs, name, value);
}

static void
add_escaped(struct buf *options, const char *text)
{
	for (; *text; text++) {
		if (*text == '\\' || isspace((unsigned char)*text))
			buf_add_u8(options, '\\');
		buf_add_u8(options, (uint8_t)*text);
	}
}

/*
 * What the client asked for goes into `options`, where nothing but a setting can be named. As parameters of their own,
 * "-c user=postgres" or "USER" would become another login than the one that was proved.
 */
static bool
add_asked(struct buf *options, const struct client_login *l)
{
	size_t at = 0;
	const char *name, *value;
	while (login_next_pair(&l->pairs, &at, &name, &value)) {
		buf_add(options, options->n ? VIEW(" -c ") : VIEW("-c "));
		add_escaped(options, name);
		buf_add_u8(options, '=');
		add_escaped(options, value);
	}
	buf_add_u8(options, 0);
	return options->n > 1;
}

void
replication_add_startup(struct server *s, struct buf *b)
{
	const struct database *d = s->pool->database;
	const struct client_login *l = s->link->login;
	struct buf pairs = { 0 }, options = { 0 }; /* the first of pointers */
	const char *end = NULL;
	add_pair(&pairs, "user", s->pool->role->name);
	add_pair(&pairs, "database", d->config->dbname ? d->config->dbname : d->name);
	add_pair(&pairs, "replication", s->replication == REPLICATION_LOGICAL ? "database" : "true");
	add_preset(&pairs, l, "client_encoding", d->config->client_encoding);
	add_preset(&pairs, l, "DateStyle", d->config->datestyle);
	add_preset(&pairs, l, "TimeZone", d->config->timezone);
	add_pair(&pairs, "application_name", l->has_application_name ? l->application_name : d->config->application_name);
	if (add_asked(&options, l))
		add_pair(&pairs, "options", (const char *)options.p);
	buf_add(&pairs, view_of(&end, sizeof(end)));
	request_startup(b, 0, (const char *const *)(const void *)pairs.p);
	buf_free(&pairs);
	buf_free(&options);
}

/* The server goes, its client waits for another one. Nothing was said to it yet. */
static void
wait_again(struct server *s)
{
	struct client *c = s->link;
	must(c->state == CLIENT_LEARNING && c->link == s);
	c->link = NULL;
	s->link = NULL;
	client_enter(c, CLIENT_WELCOME, "waits for another server of its own");
	pool_wait_again(c->pool, &c->waiter);
	stream_pause_watching(&c->stream);
	proxy_dirty(c->proxy, c->pool);
}

/* Things change while a server logs in, and some are only learnt by it. */
static const char *
why_not(const struct server *s)
{
	const struct topology *t = s->pool->database->load->topology;
	const struct member *m = topology_member(t, s->slot.at->id), *leader = topology_leader(t);
	if (proxy_is_paused(s->proxy) || s->pool->database->is_paused)
		return "paused";
	const char *why = slot_why_close(&s->slot, t);
	if (why || t->is_plain)
		return why;
	if (s->link->lane == LANE_WRITE)
		return m != leader ? "it does not lead" : s->slot.is_standby ? "it is in recovery" : NULL;
	return m != leader ? m->why_not_read : NULL;
}

void
replication_on_ready(struct server *s, const struct welcome *w)
{
	struct client *c = s->link;
	const struct topology *t = s->pool->database->load->topology;
	const struct member *leader = topology_leader(t);
	must(c && c->link == s && c->state == CLIENT_LEARNING && s->slot.state == SLOT_DEDICATED);
	if (!s->knows_role) /* before release 14. A walsender can't be asked */
		s->slot.is_standby = !t->is_plain && !(leader && leader->id == s->slot.at->id);
	const char *why = why_not(s);
	if (why) {
		s->slot.at->retry_us = clock_now_us() + (s->knows_role || t->is_plain ? WRONG_MEMBER_PAUSE_US : UNKNOWN_MEMBER_PAUSE_US);
		wait_again(s);
		server_close(s, FAULT_BY_PROXY, why);
		return;
	}
	struct stats *stats = &s->pool->database->stats;
	stats->assignments++;
	stats->wait_us += clock_now_us() - c->waiter.since_us;
	s->linked_us = clock_now_us();
	server_enter(s, SERVER_REPLICATING, "belongs to its client");
	client_login_dedicated(c, w, s->params);
}

void
replication_on_failure(struct server *s, bool may_try_again, const char *sqlstate, const char *why)
{
	if (may_try_again)
		wait_again(s);
	else if (s->is_dying) /* the client has read why in the server's own words */
		client_close(s->link, FAULT_BY_SERVER, why);
	else
		client_fail(s->link, &(struct fault){ .by = FAULT_BY_SERVER, .sqlstate = sqlstate, .text = why,
		                                      .detail = "The server that was to be this client's own could not be reached, "
		                                                "or its login failed." });
}

void
replication_abandon(struct client *c)
{
	struct server *s = c->link;
	must(s->link == c && s->slot.state == SLOT_DEDICATED);
	c->link = NULL;
	s->link = NULL;
	if (s->state == SERVER_CLOSED)
		return;
	if (s->state == SERVER_REPLICATING && c->in_left == 0) { /* between two of its messages */
		struct buf b = { 0 };
		request_terminate(&b);
		stream_put(&s->stream, buf_view(&b));
		buf_free(&b);
	}
	server_close(s, FAULT_BY_CLIENT, "its client is gone");
}

/* ---- both ways ---- */

static bool
is_for_servers(uint8_t letter)
{
	switch (letter) {
	case FE_QUERY:
	case FE_PARSE:
	case FE_BIND:
	case FE_DESCRIBE:
	case FE_EXECUTE:
	case FE_CLOSE:
	case FE_SYNC:
	case FE_FLUSH:
	case FE_FUNCTION_CALL:
	case FE_COPY_DATA:
	case FE_COPY_DONE:
	case FE_COPY_FAIL:
		return true;
	default:
		return false;
	}
}

static bool
is_for_clients(uint8_t letter)
{
	switch (letter) {
	case BE_PARSE_COMPLETE:
	case BE_BIND_COMPLETE:
	case BE_CLOSE_COMPLETE:
	case BE_COMMAND_COMPLETE:
	case BE_EMPTY_QUERY_RESPONSE:
	case BE_PORTAL_SUSPENDED:
	case BE_COPY_IN_RESPONSE:
	case BE_COPY_OUT_RESPONSE:
	case BE_COPY_BOTH_RESPONSE:
	case BE_COPY_DATA:
	case BE_COPY_DONE:
	case BE_DATA_ROW:
	case BE_ERROR_RESPONSE:
	case BE_FUNCTION_CALL_RESPONSE:
	case BE_NO_DATA:
	case BE_NOTICE_RESPONSE:
	case BE_NOTIFICATION_RESPONSE:
	case BE_PARAMETER_DESCRIPTION:
	case BE_PARAMETER_STATUS:
	case BE_READY_FOR_QUERY:
	case BE_ROW_DESCRIPTION:
		return true;
	default: /* Authentication and what else belongs to a login among them */
		return false;
	}
}

static void
client_is_wrong(struct client *c, const char *text)
{
	client_fail(c, &(struct fault){ .by = FAULT_BY_CLIENT, .sqlstate = SQLSTATE_PROTOCOL_VIOLATION, .text = text });
}

size_t
replication_on_client_data(struct client *c, struct view in)
{
	struct server *s = c->link;
	struct database *d = c->database;
	uint32_t max = (uint32_t)c->proxy->config->settings.max_packet_size_bytes;
	size_t at = 0;
	must(s && s->link == c && s->state == SERVER_REPLICATING);
	while (at < in.n && c->state == CLIENT_REPLICATING) {
		struct frame f;
		char text[60];
		if (c->in_left > 0) {
			struct view part = view_part(in, at, c->in_left);
			stream_send(&s->stream, part);
			c->in_left -= (uint32_t)part.n;
			at += part.n;
			continue;
		}
		enum frame_result r = frame_peek(view_from(in, at), max, &f);
		if (r == FRAME_SHORT)
			break;
		if (r == FRAME_BAD) {
			client_is_wrong(c, "invalid message length");
		} else if (f.type == FE_TERMINATE) {
			client_close(c, FAULT_BY_CLIENT, "client closed the connection");
		} else if (!is_for_servers((uint8_t)f.type)) {
			snprintf(text, sizeof(text), "invalid frontend message type %d", (uint8_t)f.type);
			client_is_wrong(c, text);
		} else {
			struct view all = view_part(in, at, f.size);
			stream_send(&s->stream, all);
			c->in_left = f.size - (uint32_t)all.n;
			at += all.n;
		}
	}
	d->stats.bytes_received += at;
	return at < in.n && c->state == CLIENT_CLOSED ? in.n : at;
}

static bool
server_is_wrong(struct server *s, const char *what, char letter)
{
	char text[120];
	snprintf(text, sizeof(text), "server %s %s on a replication connection", what, be_message_name(letter));
	log_error(server_tag(s), "protocol violation by the server: %s", text);
	s->proxy->counters.server_errors++;
	server_close(s, FAULT_BY_SERVER, text);
	return false;
}

static bool
note_error(struct server *s, const struct frame *f)
{
	struct error_fields e = { 0 };
	if (frame_is_whole(f) && !error_read(f->body, &e))
		return server_is_wrong(s, "sent a malformed", f->type);
	server_note_error(s, &e);
	return true;
}

static bool
note_parameter(struct server *s, const struct frame *f)
{
	const char *name, *value;
	if (!parameter_status_read(f->body, &name, &value))
		return server_is_wrong(s, "sent a malformed", f->type);
	server_parameter(s, name, value);
	params_replace(&s->link->params, params_ref(s->params));
	return true;
}

static bool
note_ready(struct server *s, const struct frame *f)
{
	struct stats *stats = &s->pool->database->stats;
	if (!ready_read(f->body, &s->status))
		return server_is_wrong(s, "sent a malformed", f->type);
	stats->queries++;
	stats->transactions += s->status == 'I';
	return true;
}

/* False: the server is closed, and so is its client. */
static bool
note_answer(struct server *s, const struct frame *f)
{
	switch (f->type) {
	case BE_ERROR_RESPONSE:
		return note_error(s, f);
	case BE_PARAMETER_STATUS:
		return note_parameter(s, f);
	case BE_READY_FOR_QUERY:
		return note_ready(s, f);
	default:
		return is_for_clients((uint8_t)f->type) || server_is_wrong(s, "sent", f->type);
	}
}

/* What note_answer() reads has to be there first. An error may be too long for that: it passes unread. */
static bool
is_awaited(const struct frame *f)
{
	bool is_read = f->type == BE_ERROR_RESPONSE || f->type == BE_PARAMETER_STATUS || f->type == BE_READY_FOR_QUERY;
	return is_read && !frame_is_whole(f) && f->size <= LOOP_IN_BYTES / 4;
}

size_t
replication_on_server_data(struct server *s, struct view in)
{
	struct client *c = s->link;
	size_t at = 0;
	must(c && c->link == s && c->state == CLIENT_REPLICATING);
	s->request_us = clock_now_us();
	while (at < in.n && s->state == SERVER_REPLICATING) {
		struct frame f;
		if (s->in_left > 0) {
			struct view part = view_part(in, at, s->in_left);
			stream_send(&c->stream, part);
			s->in_left -= (uint32_t)part.n;
			at += part.n;
			continue;
		}
		enum frame_result r = frame_peek(view_from(in, at), UINT32_MAX, &f);
		if (r == FRAME_SHORT)
			break;
		if (r == FRAME_BAD) {
			server_is_wrong(s, "sent a malformed", (char)in.p[at]);
			break;
		}
		if (is_awaited(&f))
			break;
		if (!note_answer(s, &f))
			break;
		struct view all = view_part(in, at, f.size);
		stream_send(&c->stream, all);
		s->in_left = f.size - (uint32_t)all.n;
		s->in_goes = true;
		at += all.n;
	}
	s->pool->database->stats.bytes_sent += at;
	return at;
}
