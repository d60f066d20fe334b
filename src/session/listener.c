/*
 * session/listener.c - the listening connection of a pool: opened, asked, heard, lost, opened again; see the header.
 *
 * Owns: the connection (a server of SLOT_LISTENER) from its opening to its end. Never: decides what a client may read (listen.c).
 * Invariant: l->server->listener == l, or l->server is NULL.
 */
#include "session/listener.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/heap.h"
#include "base/log.h"
#include "pool/plan.h"
#include "session/listen.h"
#include "session/params.h"
#include "session/server.h"
#include "wire/request.h"

enum {
	RETRY_LEAST_US = 100 * 1000,
	RETRY_MOST_US = 5 * 1000 * 1000,
	UNUSED_US = 10 * 1000 * 1000,  /* nobody listens: closed after that */
	SILENT_US = 10 * 1000 * 1000,  /* then it is asked whether it is still there */
	OUTAGE_US = 3 * 1000 * 1000,   /* so long nobody is told that nothing is heard: it may be over in a moment */
	MESSAGE_MAX = LOOP_IN_BYTES / 2,
};

static const char *
tag_of(const struct listener *l)
{
	static char tag[16];
	if (l->server)
		return server_tag(l->server);
	snprintf(tag, sizeof(tag), "listener");
	return tag;
}

struct listener *
listener_of(struct pool *p, struct proxy *x, const char *encoding)
{
	list_each(&x->listeners, n, after)
	{
		struct listener *l = node_owner(n, struct listener, node);
		if (l->pool == p && strcasecmp(l->encoding, encoding) == 0)
			return l;
	}
	struct listener *l = heap_alloc(sizeof(*l));
	l->proxy = x;
	l->pool = p;
	l->encoding = heap_string(encoding);
	hub_init(&l->hub);
	list_init(&l->waiting);
	list_init(&l->crossing);
	list_append(&x->listeners, &l->node);
	return l;
}

static void
listener_free(struct listener *l)
{
	struct proxy_counters *gone = &l->proxy->counters;
	must(l->server == NULL);
	gone->listen_heard += l->hub.heard;
	gone->listen_told += l->hub.told;
	gone->listen_gaps += l->gaps;
	gone->listen_cut += l->cut;
	hub_fini(&l->hub);
	buf_free(&l->out);
	node_remove(&l->node);
	heap_free(l->encoding);
	heap_free(l);
}

void
listener_forget_pool(struct proxy *x, struct pool *p)
{
	list_each(&x->listeners, n, after)
	{
		struct listener *l = node_owner(n, struct listener, node);
		if (l->pool == p)
			listener_free(l);
	}
}

bool
listener_is_ready(const struct listener *l)
{
	return l->is_ready;
}

void
listener_dirty(struct listener *l)
{
	l->proxy->listeners_dirty = true;
}

/* ---- what it is asked ---- */

static void
ask(struct listener *l, struct buf *b)
{
	if (l->said++ == l->answered)
		l->asked_us = clock_now_us();
	stream_put(&l->server->stream, buf_view(b));
}

uint64_t
listener_ask_level(struct listener *l)
{
	struct buf b = { 0 };
	request_sync(&b);
	ask(l, &b);
	buf_free(&b);
	return l->said;
}

static void
add_changes(struct listener *l, struct buf *sql)
{
	bool is_listen;
	struct channel *ch;
	while ((ch = hub_next_change(&l->hub, l->said + 1, &is_listen)) != NULL)
		channel_add_sql(sql, is_listen ? "LISTEN" : "UNLISTEN", ch->name);
}

static void
ask_changes(struct listener *l, const char *first)
{
	struct buf sql = { 0 }, b = { 0 };
	buf_add(&sql, view_of_string(first));
	add_changes(l, &sql);
	if (sql.n > 0) {
		buf_add_u8(&sql, '\0');
		request_query(&b, (const char *)sql.p);
		ask(l, &b);
	}
	buf_free(&sql);
	buf_free(&b);
}

/* ---- its life ---- */

static void
back_off(struct listener *l)
{
	uint64_t pause = (uint64_t)RETRY_LEAST_US << (l->failures < 6 ? l->failures : 6);
	l->failures++;
	l->retry_us = clock_now_us() + (pause < RETRY_MOST_US ? pause : RETRY_MOST_US);
}

/* Open it, if that may be. When to try again: 0, something has to happen first. */
static uint64_t
plan_listener(struct listener *l)
{
	struct proxy *x = l->proxy;
	struct plan_view v = { .settings = &x->config->settings, .now_us = clock_now_us(), .is_paused = proxy_is_paused(x) };
	struct plan plan;
	if (l->retry_us > v.now_us)
		return l->retry_us;
	while ((plan = pool_plan_listener(l->pool, &v)).act != PLAN_NOTHING) {
		if (plan.act == PLAN_EVICT) {
			server_close(server_of_slot(plan.slot), FAULT_BY_PROXY, plan.why);
			continue;
		}
		if (plan.act == PLAN_REFUSE) {
			back_off(l);
			log_warning(tag_of(l), "no listening connection for %s/%s: %s", l->pool->database->name, l->pool->role->name,
			            plan.fault.text);
			listen_on_outage(l, plan.fault.text);
			return l->retry_us;
		}
		server_open_listener(x, l->pool, plan.member, l);
		return 0;
	}
	return plan.again_us;
}

void
listener_on_login(struct server *s)
{
	struct listener *l = s->listener;
	const struct topology *t = s->pool->database->load->topology;
	if (s->slot.is_standby && !t->is_plain) {
		server_close(s, FAULT_BY_PROXY, "it is in recovery, and can't listen");
		return;
	}
	if (proxy_is_paused(l->proxy) || s->pool->database->is_paused) {
		server_close(s, FAULT_BY_PROXY, "paused");
		return;
	}
	server_enter(s, SERVER_LISTENING, "listens for clients");
	s->slot.born_us = clock_now_us();
	struct buf sql = { 0 };
	const char *encoding = params_value(s->params, "client_encoding");
	if (l->encoding[0] && (encoding == NULL || strcasecmp(encoding, l->encoding) != 0))
		params_add_set(&sql, "client_encoding", l->encoding, true);
	channel_add_sql(&sql, "LISTEN", LISTEN_MARKS);
	buf_add_u8(&sql, '\0');
	ask_changes(l, (const char *)sql.p);
	buf_free(&sql);
}

static void
is_ready_now(struct listener *l)
{
	uint64_t lost_us = l->lost_us;
	l->is_ready = true;
	l->is_told = false;
	l->failures = 0;
	l->lost_us = 0;
	l->since_us = clock_now_us();
	log_info(tag_of(l), "listens pool=%s/%s channels=%u clients=%u%s", l->pool->database->name, l->pool->role->name,
	         HASH_COUNT(l->hub.channels), l->hub.ears.count, lost_us ? " again" : "");
	listen_on_return(l);
}

void
listener_on_close(struct server *s, const char *why)
{
	struct listener *l = s->listener;
	must(l->server == s);
	l->server = NULL;
	if (l->is_ready) {
		l->lost_us = s->request_us; /* what it heard last; what came since is not known */
		l->gaps += l->hub.ears.count > 0;
		l->retry_us = 0;
		if (l->hub.ears.count > 0)
			log_warning(server_tag(s), "%u clients of %s/%s may miss notifications: their listening connection is lost: %s",
			            l->hub.ears.count, l->pool->database->name, l->pool->role->name, why);
	} else {
		back_off(l);
	}
	bool was_ready = l->is_ready;
	l->is_ready = false;
	l->said = l->answered = 0;
	hub_lost(&l->hub);
	if (was_ready)
		listen_on_loss(l);
	listen_on_level(l); /* nobody waits for what will not come */
	listener_dirty(l);
}

/* ---- what it says ---- */

static void
is_wrong(struct server *s, const char *what, char letter)
{
	char text[120];
	snprintf(text, sizeof(text), "server %s %s on a listening connection", what, be_message_name(letter));
	log_error(server_tag(s), "protocol violation by the server: %s", text);
	s->proxy->counters.server_errors++;
	server_close(s, FAULT_BY_SERVER, text);
}

static void
on_notification(struct listener *l, const struct frame *f)
{
	struct notification n;
	if (!notification_read(f->body, &n))
		is_wrong(l->server, "sent a malformed", f->type);
	else if (strcmp(n.channel, LISTEN_MARKS) == 0)
		listen_on_mark(l, n.payload);
	else
		hub_hear(&l->hub, &n);
}

static void
on_ready(struct listener *l, const struct frame *f)
{
	char status;
	if (!ready_read(f->body, &status) || status != 'I' || l->answered == l->said) {
		is_wrong(l->server, "sent an unexpected", f->type);
		return;
	}
	l->answered++;
	l->asked_us = clock_now_us();
	hub_listens(&l->hub, l->answered);
	if (!l->is_ready)
		is_ready_now(l);
	listen_on_level(l);
}

static void
on_error(struct server *s, const struct frame *f)
{
	struct error_fields e = { 0 };
	if (!error_read(f->body, &e)) {
		is_wrong(s, "sent a malformed", f->type);
		return;
	}
	server_note_error(s, &e);
	server_close(s, FAULT_BY_SERVER, s->why_dying);
}

static void
run(struct server *s, const struct frame *f)
{
	const char *name, *value;
	switch (f->type) {
	case BE_NOTIFICATION_RESPONSE:
		on_notification(s->listener, f);
		break;
	case BE_READY_FOR_QUERY:
		on_ready(s->listener, f);
		break;
	case BE_ERROR_RESPONSE:
		on_error(s, f);
		break;
	case BE_PARAMETER_STATUS:
		if (parameter_status_read(f->body, &name, &value))
			server_parameter(s, name, value);
		else
			is_wrong(s, "sent a malformed", f->type);
		break;
	case BE_COMMAND_COMPLETE:
	case BE_EMPTY_QUERY_RESPONSE:
	case BE_NOTICE_RESPONSE:
		break;
	default:
		is_wrong(s, "sent", f->type);
	}
}

size_t
listener_on_data(struct server *s, struct view in)
{
	struct listener *l = s->listener;
	size_t at = 0;
	s->request_us = clock_now_us();
	while (at < in.n && s->state == SERVER_LISTENING) {
		struct frame f;
		enum frame_result r = frame_peek(view_from(in, at), MESSAGE_MAX, &f);
		if (r == FRAME_BAD)
			is_wrong(s, "sent a malformed", (char)in.p[at]);
		if (r != FRAME_OK || !frame_is_whole(&f))
			break;
		at += f.size;
		run(s, &f);
	}
	listen_deliver(l);
	return s->state == SERVER_CLOSED ? in.n : at;
}

/* ---- the end of a turn, and time ---- */

uint64_t
listeners_settle(struct proxy *x)
{
	uint64_t again_us = 0;
	while (x->listeners_dirty) {
		x->listeners_dirty = false;
		list_each(&x->listeners, n, after)
		{
			struct listener *l = node_owner(n, struct listener, node);
			uint64_t at_us = l->server == NULL && l->hub.ears.count > 0 ? plan_listener(l) : 0;
			if (at_us && (again_us == 0 || at_us < again_us))
				again_us = at_us;
			if (l->server && l->server->state == SERVER_LISTENING)
				ask_changes(l, "");
			listen_deliver(l);
		}
	}
	return again_us;
}

static void
close_if(struct listener *l)
{
	struct server *s = l->server;
	uint64_t now = clock_now_us(), limit = l->proxy->config->settings.server_connect_timeout_us;
	const char *why = slot_why_close(&s->slot, l->pool->database->load->topology);
	if (why) {
		server_close(s, FAULT_BY_PROXY, why);
	} else if (s->state != SERVER_LISTENING || s->stream.is_suspended) {
		return;
	} else if (l->answered < l->said && limit > 0 && now - l->asked_us > limit) {
		server_lost(s, FAULT_BY_SERVER, "it did not answer in time");
	} else if (l->answered == l->said && now - s->request_us > SILENT_US) {
		listener_ask_level(l);
	} else if (l->unused_us && now - l->unused_us > UNUSED_US) {
		server_close(s, FAULT_BY_PROXY, "nobody listens");
	}
}

void
listeners_on_second(struct proxy *x)
{
	uint64_t now = clock_now_us();
	list_each(&x->listeners, n, after)
	{
		struct listener *l = node_owner(n, struct listener, node);
		if (l->hub.ears.count > 0)
			l->unused_us = 0;
		else if (l->unused_us == 0)
			l->unused_us = now;
		if (l->server)
			close_if(l);
		if (l->hub.ears.count == 0) {
			l->lost_us = 0;
			if (l->server == NULL && now - l->unused_us > UNUSED_US)
				listener_free(l);
			continue;
		}
		if (l->server == NULL)
			listener_dirty(l);
		if (l->lost_us && !l->is_told && now - l->lost_us > OUTAGE_US)
			listen_on_outage(l, "its connection to the server was lost");
		listen_on_second(l);
	}
}

struct listener_totals
listeners_totals(const struct proxy *x)
{
	const struct proxy_counters *gone = &x->counters;
	struct listener_totals sum = { .notifications = gone->listen_heard, .told = gone->listen_told, .gaps = gone->listen_gaps,
		                       .cut = gone->listen_cut };
	list_each(&x->listeners, n, after)
	{
		const struct listener *l = node_owner(n, struct listener, node);
		sum.channels += HASH_COUNT(l->hub.channels);
		sum.clients += l->hub.ears.count;
		sum.notifications += l->hub.heard;
		sum.told += l->hub.told;
		sum.gaps += l->gaps;
		sum.cut += l->cut;
	}
	return sum;
}
