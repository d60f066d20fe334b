/*
 * admin/console.c - clients that talk to pgsluice itself: lets them in, hands what they say to their dialog.
 *
 *   client ─ console_on_message ─► dialog_on_message ─► client_send
 *   end of the turn ─ console_on_settle ─► dialog_ask for each that waits
 *
 * Owns: client->console. Source: PgBouncer 1.25.2, the admin console.
 */
#include "admin/console.h"

#include "admin/commands.h"
#include "admin/dialog.h"
#include "admin/show.h"
#include "base/clock.h"
#include "base/heap.h"
#include "session/client.h"
#include "session/proxy.h"
#include "wire/reply.h"

struct console_session {
	struct dialog dialog;
	struct node   node;    /* in proxy->console_waits, while it waits */
	bool          is_busy; /* its dialog runs: if the client is closed meanwhile it is freed afterwards */
};

/* ---- in and out ---- */

/* What PgBouncer says; drivers look at the first and psql at all of them. */
static const char *const facts[][2] = {
	{ "server_version", CONSOLE_VERSION "/bouncer" },
	{ "client_encoding", "UTF8" },
	{ "server_encoding", "UTF8" },
	{ "DateStyle", "ISO" },
	{ "TimeZone", "GMT" },
	{ "standard_conforming_strings", "on" },
	{ "is_superuser", "on" },
};

static bool
may_enter(const struct client *c)
{
	const struct settings *set = &c->proxy->config->settings;
	return c->is_admin || set->auth_type == AUTH_TYPE_ANY || config_list_has(set->stats_users, c->role->name);
}

static void
greet(struct client *c)
{
	struct buf b = { 0 };
	reply_auth(&b, AUTH_OK);
	for (size_t i = 0; i < sizeof(facts) / sizeof(facts[0]); i++)
		reply_parameter_status(&b, facts[i][0], facts[i][1]);
	const char *name = params_value(c->params, "application_name");
	if (name)
		reply_parameter_status(&b, "application_name", name);
	uint8_t key[CANCEL_KEY_BYTES];
	uint32_t pid = client_cancel_pid(c);
	size_t n = client_cancel_key(c, pid, key);
	reply_backend_key(&b, pid, view_of(key, n));
	reply_ready(&b, 'I');
	client_send(c, buf_view(&b));
	buf_free(&b);
}

static bool
console_enter(struct client *c)
{
	if (!may_enter(c))
		return false;
	c->console = heap_alloc(sizeof(*c->console));
	dialog_init(&c->console->dialog, c->proxy, c, c->is_admin);
	c->request_us = clock_now_us();
	greet(c);
	return true;
}

static void
session_free(struct console_session *s)
{
	node_remove(&s->node);
	dialog_fini(&s->dialog);
	heap_free(s);
}

static void
console_on_close(struct client *c)
{
	struct console_session *s = c->console;
	c->console = NULL;
	command_on_leave(c);
	if (s && !s->is_busy)
		session_free(s);
}

/* ---- messages ---- */

/* Answer, and stop or go on reading as the dialog waits or not. False: the client was closed. */
static bool
answer(struct client *c, struct buf *out)
{
	struct console_session *s = c->console;
	c->console_waits = s->dialog.is_waiting;
	if (s->dialog.is_waiting && !node_is_in(&s->node))
		list_append(&c->proxy->console_waits, &s->node);
	else if (!s->dialog.is_waiting)
		node_remove(&s->node);
	if (out->n > 0)
		client_send(c, buf_view(out));
	if (c->state == CLIENT_CLOSED) /* it does not even read */
		return false;
	if (c->console_waits)
		stream_pause_watching(&c->stream);
	else if (!c->stream.is_blocked)
		stream_resume(&c->stream);
	return true;
}

static bool
console_on_message(struct client *c, const struct frame *f)
{
	struct console_session *s = c->console;
	char room[120];
	struct text why = TEXT_IN(room);
	struct buf out = { 0 };
	c->request_us = clock_now_us();
	s->is_busy = true;
	bool is_good = dialog_on_message(&s->dialog, f, &out, &why);
	s->is_busy = false;
	if (c->state == CLIENT_CLOSED) { /* KILL_CLIENT of itself */
		session_free(s);
		buf_free(&out);
		return false;
	}
	bool is_open = answer(c, &out);
	buf_free(&out);
	if (is_open && !is_good)
		client_fail(c, &(struct fault){ .by = FAULT_BY_CLIENT, .sqlstate = SQLSTATE_PROTOCOL_VIOLATION, .text = room });
	return is_open && is_good;
}

static void
console_on_settle(struct proxy *x)
{
	list_each(&x->console_waits, n, after)
	{
		struct console_session *s = node_owner(n, struct console_session, node);
		struct buf out = { 0 };
		dialog_ask(&s->dialog, &out);
		if (!s->dialog.is_waiting)
			answer(s->dialog.client, &out);
		buf_free(&out);
	}
}

static void
console_on_cancel(struct client *c)
{
	if (c->console && c->console->dialog.is_waiting)
		command_wait_cancel(&c->console->dialog.wait, c->proxy);
}

static const struct console_ops ops = {
	.enter = console_enter,
	.on_message = console_on_message,
	.on_close = console_on_close,
	.on_settle = console_on_settle,
	.on_cancel = console_on_cancel,
};

void
console_install(struct proxy *x)
{
	x->console = &ops;
}
