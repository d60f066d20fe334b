/*
 * session/listen.c - what a client listens to, the hand-over of its channels, and when it may read what was heard; see the header.
 *
 * Invariant: s->listens is true from where its session may listen to something, in the order of what was sent to it, to where
 * UNLISTEN * was. Such a server is not parted from its client, and is not free before UNLISTEN * is done.
 * Source: PostgreSQL 16, 55.2.7 Asynchronous Operations; LISTEN and NOTIFY in the reference; commands/async.c.
 */
#include "session/listen.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "auth/digest.h"
#include "base/clock.h"
#include "base/heap.h"
#include "base/log.h"
#include "session/client.h"
#include "session/link.h"
#include "session/listener.h"
#include "session/server.h"
#include "session/state.h"
#include "wire/reply.h"
#include "wire/request.h"

enum {
	PATIENCE_US = 3 * 1000 * 1000, /* so long a server is kept for a listener that can't be opened */
	TOLD_MAX = 20,                /* channels that a warning names */
	OUT_KEPT = 64 * 1024,
};

static struct listening *
listening_of_ear(struct node *n)
{
	return node_owner(node_owner(n, struct ear, node), struct listening, ear);
}

/* A mark that was sent, and that the listener has yet to hear. */
struct crossing {
	struct node node; /* in listener->crossing */
	struct listening *of;
	uint64_t number;
	char mark[MARK_TEXT_MAX];
};

static void
drop_crossings(struct listener *l, const struct listening *of) /* NULL: all */
{
	list_each(&l->crossing, n, after)
	{
		struct crossing *x = node_owner(n, struct crossing, node);
		if (of && x->of != of)
			continue;
		node_remove(&x->node);
		heap_free(x);
	}
}

/* ---- a client begins, or ends, to listen ---- */

static struct listening *
listening_of(struct client *c)
{
	if (c->listen)
		return c->listen;
	struct listening *g = heap_alloc(sizeof(*g));
	const char *encoding = params_value(c->params, "client_encoding");
	g->client = c;
	g->at = listener_of(c->pool, c->proxy, encoding ? encoding : "");
	ear_open(&g->ear, &g->at->hub, g);
	g->ear.shown_pid = client_cancel_pid(c);
	c->listen = g;
	listener_dirty(g->at);
	return g;
}

/* It waits for the listener no more: its next message goes on, or its ReadyForQuery. */
static void
wake(struct listening *g)
{
	struct client *c = g->client;
	node_remove(&g->waiting);
	bool server_goes = g->holds_server, client_goes = g->holds_client;
	g->holds_server = g->holds_client = false;
	if (c->link == NULL || c->stream.is_blocked)
		return;
	if (server_goes)
		stream_resume(&c->link->stream);
	if (client_goes && !c->link->stream.is_blocked)
		stream_resume(&c->stream);
}

void
listen_forget(struct client *c)
{
	struct listening *g = c->listen;
	if (g == NULL)
		return;
	c->listen = NULL;
	if (node_is_in(&g->waiting))
		wake(g);
	drop_crossings(g->at, g);
	ear_close(&g->ear);
	listener_dirty(g->at);
	heap_free(g);
}

static void
send_own(struct server *s, const char *sql)
{
	struct buf b = { 0 };
	request_query(&b, sql);
	stream_put(&s->stream, buf_view(&b));
	buf_free(&b);
	owed_push(&s->owed, (struct owed_item){ .what = OWED_QUERY, .to = OWED_TO_NOBODY, .is_listen = true });
	s->unnamed_of = 0;
}

/* ---- before a text ---- */

static bool
wait_for_answers(struct client *c)
{
	c->is_stalled = true;
	stream_pause(&c->stream);
	return false;
}

static bool
owes_client(const struct owed *o)
{
	for (uint32_t i = 0; i < o->count; i++)
		if (owed_at(o, i)->to == OWED_TO_CLIENT) /* our own answers go out with the next of the server's: not by waiting */
			return true;
	return false;
}

/* Its server is to listen to what it listens to. */
static bool
bring_channels(struct client *c, bool may_change)
{
	struct server *s = c->link;
	struct listening *g = c->listen;
	bool has_channels = g && g->ear.count > 0 && !s->slot.is_standby;
	if (s->listens || (!has_channels && !may_change))
		return true;
	bool is_outside = !s->owed.is_open && s->status == 'I';
	bool is_free = is_outside && !owes_client(&s->owed);
	if (has_channels && is_outside && !is_free && !c->is_repeating)
		return wait_for_answers(c); /* what it has sent may have begun a transaction */
	s->listens = true;
	if (!has_channels)
		return true;
	if (!is_free) {
		log_debug(client_tag(c), "listens to more within a transaction; the server %u listens to that only", s->id);
		g->is_partial = true; /* LISTEN would take effect with the transaction, or not at all */
		return true;
	}
	struct buf names = { 0 }, sql = { 0 };
	ear_names(&g->ear, &names);
	for (size_t at = 0; at < names.n; at += strlen((const char *)names.p + at) + 1)
		channel_add_sql(&sql, "LISTEN", (const char *)names.p + at);
	buf_add_u8(&sql, '\0');
	send_own(s, (const char *)sql.p);
	buf_free(&names);
	buf_free(&sql);
	return true;
}

static void
wait_for_level(struct listening *g)
{
	node_remove(&g->waiting); /* what it waited for before comes with this */
	g->level = listener_ask_level(g->at);
	list_append(&g->at->waiting, &g->waiting);
}

/* Has the listener told all that was committed on its server by others, so that what comes next from there is this client's? */
static bool
own_process(struct client *c)
{
	struct listening *g = c->listen;
	struct server *s = c->link;
	if (g == NULL || g->ear.count == 0 || c->is_repeating || !listener_is_ready(g->at) || g->at->server->slot.at != s->slot.at)
		return true;
	if (!g->owns_pid) {
		g->holds_client = true;
		wait_for_level(g);
		stream_pause(&c->stream);
		return false;
	}
	g->has_notified = true;
	return true;
}

/* What was heard for it goes to it now, between two messages of its server's. */
static void
take(struct listening *g)
{
	struct client *c = g->client;
	struct buf *b = &g->at->out;
	if (!ear_may_take(&g->ear))
		return;
	buf_clear(b);
	ear_take(&g->ear, b);
	c->pool->database->stats.bytes_sent += b->n;
	client_send(c, buf_view(b));
}

/* Is any of its channels the listener's? */
static bool
hears(const struct listening *g)
{
	for (const struct subscription *s = g->ear.all; s; s = s->next)
		if (s->is_done)
			return true;
	return false;
}

static bool
owes_own(const struct owed *o)
{
	for (uint32_t i = 0; i < o->count; i++)
		if (owed_at(o, i)->is_listen)
			return true;
	return false;
}

/*
 * PostgreSQL tells an idle session all that is committed before it reads its next text. Where that text may end listening, so do we;
 * within a transaction it would not be told. False: it waits.
 */
static bool
catches_up(struct client *c)
{
	struct listening *g = c->listen;
	struct server *s = c->link;
	if (g == NULL || s->status != 'I' || c->is_repeating)
		return true;
	if (g->is_marked && owes_own(&s->owed))
		return wait_for_answers(c); /* with the mark, all is the listener's to tell */
	if (!g->is_caught_up && hears(g) && listener_is_ready(g->at)) {
		g->holds_client = true;
		wait_for_level(g);
		stream_pause(&c->stream);
		return false;
	}
	g->is_caught_up = false;
	ear_owes_queued(&g->ear);
	if (s->in_left == 0)
		take(g);
	return true;
}

bool
listen_before(struct client *c, unsigned needs)
{
	if (c->link->owed.is_skipping)
		return true;
	if ((needs & LISTEN_CHANGES) && !catches_up(c))
		return false;
	if ((needs & (LISTEN_NEEDS_CHANNELS | LISTEN_CHANGES)) && !bring_channels(c, needs & LISTEN_CHANGES))
		return false;
	c->link->listens_due |= (needs & LISTEN_CHANGES) != 0;
	return !(needs & LISTEN_NEEDS_LEVEL) || own_process(c);
}

/* ---- after a transaction ---- */

bool
listen_is(struct client *c, struct view names, bool is_all)
{
	struct server *s = c->link;
	struct listening *g = c->listen;
	if (names.n > 0)
		s->listens = true;
	else if (is_all && !s->listens_due) /* nor will what was sent behind the question begin to */
		s->listens = false;
	if (names.n == 0 && g == NULL)
		return false;
	log_debug(client_tag(c), "server %u listens to %s%s", s->id, names.n ? (const char *)names.p : "nothing", is_all ? "" : ", added");
	g = listening_of(c);
	uint32_t count = g->ear.count;
	bool has_new = is_all && !g->is_partial ? ear_is(&g->ear, names) : ear_adds(&g->ear, names);
	bool has_changed = has_new || g->ear.count != count;
	g->is_partial = false;
	listener_dirty(g->at);
	if (g->ear.count == 0) {
		take(g); /* what is due */
		listen_forget(c);
	}
	return has_changed;
}

static void
no_marks(struct listening *g)
{
	g->is_marked = false;
	g->waits_us = 0;
	drop_crossings(g->at, g);
}

/* What it may have missed can't be known: from now on the listener tells all. */
static void
take_over_at_once(struct listening *g)
{
	no_marks(g);
	if (ear_is_here(&g->ear) && g->gap_us == 0)
		g->gap_us = clock_now_us();
}

static void
send_mark(struct listening *g, struct server *s)
{
	uint8_t random[16];
	char sql[200];
	digest_random(random, sizeof(random));
	for (size_t i = 0; i < sizeof(random); i++)
		snprintf(g->mark + 2 * i, 3, "%02x", random[i]);
	ear_mark(&g->ear, ++g->mark_number);
	g->is_marked = true;
	g->waits_us = 0;
	struct crossing *x = heap_alloc(sizeof(*x));
	x->of = g;
	x->number = g->mark_number;
	memcpy(x->mark, g->mark, sizeof(x->mark));
	list_append(&g->at->crossing, &x->node);
	/* It must not wait for a standby, nor for the disk. */
	snprintf(sql, sizeof(sql), "SET LOCAL synchronous_commit TO off; LISTEN %s; NOTIFY %s, '%s'", LISTEN_MARKS, LISTEN_MARKS, g->mark);
	send_own(s, sql);
}

static void
tell(struct listening *g, const char *text, const char *detail, const char *hint)
{
	struct buf b = { 0 };
	reply_notice(&b, "WARNING",
	             &(struct fault){ .sqlstate = SQLSTATE_WARNING, .text = text, .detail = detail, .hint = hint });
	ear_tell(&g->ear, buf_view(&b), false);
	buf_free(&b);
	listener_dirty(g->at);
}

/* Told at once, where the listener hears; else when it does again. */
static void
tell_of_server(struct listening *g, const char *why)
{
	if (!listener_is_ready(g->at))
		return;
	g->gap_us = 0;
	tell(g, "notifications may have been missed", why, "Read again what they are about. If it was LISTEN that failed, repeat it.");
}

bool
listen_may_part(struct server *s)
{
	struct client *c = s->link;
	struct listening *g = c->listen;
	if (!s->listens) {
		if (g && g->ear.queue_bytes > 0)
			listener_dirty(g->at); /* what waited for the end of its transaction */
		return true;
	}
	if (c->pins & PIN_UNKNOWN)
		return false; /* nor is it known what it listens to */
	if (g && g->ear.count > LISTEN_CHANNELS_MAX) {
		client_fail(c, &(struct fault){ .by = FAULT_BY_CLIENT, .sqlstate = SQLSTATE_CONFIGURATION_LIMIT,
		                                .text = "too many channels for one connection",
		                                .detail = "At most 10000 channels can be listened to with pool_mode = transaction." });
		return false;
	}
	if (g && ear_waits(&g->ear)) {
		bool is_elsewhere = g->at->server && g->at->server->slot.at != s->slot.at;
		if (is_elsewhere) /* hosts that are several servers, or a leader that has gone: its marks would not arrive */
			take_over_at_once(g);
		else if (!listener_is_ready(g->at) || !ear_may_mark(&g->ear)) {
			if (g->waits_us == 0)
				g->waits_us = clock_now_us();
			listener_dirty(g->at);
			return false;
		} else {
			send_mark(g, s);
		}
	}
	send_own(s, "UNLISTEN *");
	s->listens = false;
	return false; /* its answer is awaited */
}

void
listen_on_failure(struct server *s)
{
	struct listening *g = s->link ? s->link->listen : NULL;
	s->slot.is_close_needed = true;
	log_warning(server_tag(s), "a question about LISTEN failed: %s", s->why_dying);
	if (g == NULL)
		return;
	take_over_at_once(g);
	g->is_partial = true;
	tell_of_server(g, "A server that was to listen for this connection could not.");
}

/* What a transaction that is lost has changed is lost with it; of others the truth is known, or the client is cut. */
void
listen_on_unlink(struct client *c, struct server *s, bool is_lost)
{
	struct listening *g = c->listen;
	if (is_lost)
		s->listens = s->listens_due = false;
	if (g == NULL)
		return;
	g->owns_pid = g->has_notified = g->is_partial = g->holds_server = g->holds_client = g->is_level = g->is_caught_up = false;
	g->ear.own_pid = 0;
	node_remove(&g->waiting);
	if (g->is_marked || ear_waits(&g->ear)) {
		take_over_at_once(g);
		tell_of_server(g, "The server was lost while its session listened for this connection.");
	}
	if (g->ear.count == 0 && g->ear.queue_bytes == 0)
		listen_forget(c);
}

/* ---- what its server says ---- */

/* Is a notification on this channel its server's to tell? g NULL: it did not listen before. */
static bool
tells(const struct listening *g, const struct server *s, const char *channel)
{
	if (strcmp(channel, LISTEN_MARKS) == 0)
		return false;
	return g ? (s->listens || g->is_marked) && ear_is_told_by_server(&g->ear, channel) : s->listens;
}

void
listen_pass(struct server *s, struct view body)
{
	struct client *c = s->link;
	struct listening *g = c->listen;
	struct notification n;
	struct buf b = { 0 };
	if (!notification_read(body, &n))
		return;
	if (strcmp(n.channel, LISTEN_MARKS) == 0) {
		if (g && g->is_marked && strcmp(n.payload, g->mark) == 0) {
			g->is_marked = false;
			ear_mark_said(&g->ear, g->mark_number);
		}
		return;
	}
	if (!tells(g, s, n.channel))
		return;
	bool is_own = n.pid == s->pid, is_unsure = s->asked || s->listens_due;
	reply_notification(&b, is_own ? client_cancel_pid(c) : n.pid, n.channel, n.payload);
	if (g && is_unsure && !is_own && g->ear.queue_bytes > 0) { /* what was heard before may be of channels that it has just given up */
		ear_tell_said(&g->ear, buf_view(&b));
	} else {
		if (g && !is_unsure)
			take(g);
		client_send(c, buf_view(&b));
	}
	buf_free(&b);
}

/* ---- what the client may read, and when ---- */

static bool
may_hear(const struct listening *g)
{
	const struct client *c = g->client;
	switch ((enum client_state)c->state) {
	case CLIENT_IDLE:
	case CLIENT_WAITING:
		return true;
	case CLIENT_LINKED: {
		const struct server *s = c->link;
		return owed_is_empty(&s->owed) && !s->owed.is_open && s->status == 'I' && s->in_left == 0;
	}
	default:
		return false;
	}
}

static void
cut(struct listening *g)
{
	struct client *c = g->client;
	g->at->cut++;
	client_fail(c, &(struct fault){ .by = FAULT_BY_PROXY, .sqlstate = SQLSTATE_CONFIGURATION_LIMIT,
	                                .text = "too many notifications wait for this connection (listen_queue_limit)",
	                                .detail = "It does not read them, or its transaction lasts too long." });
}

static void
deliver(struct listening *g)
{
	struct client *c = g->client;
	uint64_t limit = c->proxy->config->settings.listen_queue_limit_bytes;
	bool may = may_hear(g);
	if (g->ear.queue_bytes + (may ? c->stream.pending.n : 0) > limit && (!may || c->stream.pending.n > 0)) {
		cut(g);
		return;
	}
	if (may)
		take(g);
}

void
listen_deliver(struct listener *l)
{
	list_each(&l->hub.ready, n, after)
		deliver(node_owner(node_owner(n, struct ear, ready), struct listening, ear));
	if (l->out.room > OUT_KEPT)
		buf_free(&l->out);
}

void
listen_on_idle(struct client *c)
{
	if (c->listen->ear.queue_bytes > 0)
		listener_dirty(c->listen->at);
}

static bool
hold(struct listening *g, struct server *s)
{
	g->holds_server = true;
	wait_for_level(g);
	stream_pause(&s->stream);
	return true;
}

/* Before its client reads that its transaction is over: what was heard meanwhile, its own notifications among it. */
static bool
holds_ready(struct listening *g, struct server *s)
{
	if (g->has_notified && !g->is_level && listener_is_ready(g->at))
		return hold(g, s);
	g->has_notified = g->is_level = false;
	if (!s->listens_due)
		take(g);
	return false;
}

/* What its server tells it: whoever notified it may have notified the listener before, on another channel. */
static bool
holds_notification(struct listening *g, struct server *s, struct view body)
{
	struct notification n;
	if (!notification_read(body, &n) || !tells(g, s, n.channel) || !hears(g) || !listener_is_ready(g->at))
		return false;
	if (!g->is_level)
		return hold(g, s);
	g->is_level = false;
	return false;
}

bool
listen_holds(struct server *s, const struct frame *f)
{
	struct listening *g = s->link->listen;
	if (f->type == BE_READY_FOR_QUERY)
		return f->body.n == 1 && f->body.p[0] == 'I' && holds_ready(g, s);
	return frame_is_whole(f) && holds_notification(g, s, f->body);
}

/* ---- from the listener ---- */

void
listen_on_level(struct listener *l)
{
	list_each(&l->waiting, n, after)
	{
		struct listening *g = node_owner(n, struct listening, waiting);
		struct client *c = g->client;
		if (l->is_ready && g->level > l->answered)
			continue;
		g->is_level = g->holds_server;
		g->is_caught_up = g->holds_client;
		if (g->holds_client && c->link && l->server && l->server->slot.at == c->link->slot.at) {
			g->owns_pid = true;
			g->ear.own_pid = c->link->pid;
		}
		wake(g);
	}
	/* Whose hand-over has waited for the listener may have become possible. */
	list_each(&l->hub.ears, n, after)
	{
		struct listening *g = listening_of_ear(n);
		if (g->waits_us && g->client->link)
			link_rest(g->client->link);
	}
}

void
listen_on_mark(struct listener *l, const char *mark)
{
	list_each(&l->crossing, n, after)
	{
		struct crossing *x = node_owner(n, struct crossing, node);
		if (strcmp(x->mark, mark) != 0)
			continue;
		node_remove(&x->node);
		ear_mark_heard(&x->of->ear, x->number);
		heap_free(x);
		return;
	}
}

void
listen_on_loss(struct listener *l)
{
	drop_crossings(l, NULL);
	list_each(&l->hub.ears, n, after)
	{
		struct listening *g = listening_of_ear(n);
		ear_crosses(&g->ear);
		if (hears(g) && g->gap_us == 0)
			g->gap_us = l->lost_us;
	}
}

static void
name_channels(const struct listening *g, struct buf *out)
{
	int left = TOLD_MAX;
	for (const struct subscription *s = g->ear.all; s && left > 0; s = s->next, left--)
		buf_addf(out, "%s\"%s\"", s == g->ear.all ? "" : ", ", s->channel->name);
	if (g->ear.count > TOLD_MAX)
		buf_addf(out, " and %u more", g->ear.count - TOLD_MAX);
}

static void
add_moment(struct buf *out, uint64_t at_us)
{
	time_t seconds = (time_t)(clock_wall_of(at_us) / SECOND_US);
	struct tm tm;
	char text[40];
	gmtime_r(&seconds, &tm);
	strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S UTC", &tm);
	buf_addf(out, "%s", text);
}

static void
tell_of_gap(struct listening *g, const char *what, const char *why)
{
	struct buf detail = { 0 };
	buf_addf(&detail, "%s since ", what);
	add_moment(&detail, g->gap_us);
	buf_addf(&detail, why ? " (%s). Channels: " : ". Channels: ", why);
	name_channels(g, &detail);
	buf_addf(&detail, ".");
	buf_add_u8(&detail, 0);
	tell(g, why ? "notifications are not heard for the time being" : "notifications may have been missed", (const char *)detail.p,
	     why ? "It will be said when they are heard again." : "All that is committed from now on is heard. Read again what they are about.");
	buf_free(&detail);
}

/* listen_gap_payload: for those who do not look at warnings. */
static void
notify_of_gap(struct listening *g)
{
	const char *payload = g->client->proxy->config->settings.listen_gap_payload;
	struct buf b = { 0 };
	for (const struct subscription *s = g->ear.all; s && payload[0]; s = s->next) {
		buf_clear(&b);
		reply_notification(&b, g->at->server->pid, s->channel->name, payload);
		ear_tell(&g->ear, buf_view(&b), true);
	}
	buf_free(&b);
}

void
listen_on_return(struct listener *l)
{
	list_each(&l->hub.ears, n, after)
	{
		struct listening *g = listening_of_ear(n);
		if (g->gap_us == 0)
			continue;
		tell_of_gap(g, "They were not heard for a while", NULL);
		notify_of_gap(g);
		g->gap_us = 0;
	}
}

/* Who keeps its server for the listener can't go on with that for ever: it is as if the listener had listened, and was lost. */
static void
stop_waiting(struct listening *g)
{
	struct server *s = g->client->link;
	take_over_at_once(g);
	if (g->at->is_told && g->gap_us)
		tell_of_gap(g, "They are not heard", "there is no listening connection");
	if (s)
		link_rest(s);
}

void
listen_on_outage(struct listener *l, const char *why)
{
	if (l->is_told)
		return;
	l->is_told = true;
	list_each(&l->hub.ears, n, after)
	{
		struct listening *g = listening_of_ear(n);
		if (g->waits_us)
			take_over_at_once(g);
		if (g->gap_us)
			tell_of_gap(g, "They have not been heard", why);
		if (g->client->link)
			link_rest(g->client->link);
	}
}

void
listen_on_second(struct listener *l)
{
	list_each(&l->hub.ears, n, after)
	{
		struct listening *g = listening_of_ear(n);
		if (g->waits_us && clock_now_us() - g->waits_us > PATIENCE_US)
			stop_waiting(g);
	}
}
