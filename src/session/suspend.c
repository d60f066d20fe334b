/*
 * session/suspend.c - SUSPEND: nobody but the console is read from, what was read before goes out, and then all is still.
 *
 * PgBouncer does so before it hands its sockets to a successor; here it is a moment at which nothing moves. Connections
 * that are logging in may do so, and fall silent then. Source: PgBouncer 1.25.2, SUSPEND and suspend_timeout.
 */
#include "base/clock.h"
#include "session/client.h"
#include "session/server.h"

/* Whoever is logged in. */
static bool
is_concerned(const struct client *c)
{
	return c->state >= CLIENT_WELCOME && c->state <= CLIENT_REPLICATING;
}

static bool
has_to_say(const struct stream *s)
{
	return stream_is_open(s) && (stream_has_output(s) || s->is_blocked);
}

void
suspend_settle(struct proxy *x)
{
	list_each(&x->clients, n, after)
	{
		struct client *c = node_owner(n, struct client, node);
		if (is_concerned(c))
			stream_suspend(&c->stream);
	}
	list_each(&x->servers, n, after)
	{
		struct server *s = node_owner(n, struct server, node);
		if (s->login == NULL)
			stream_suspend(&s->stream);
	}
}

void
proxy_suspend(struct proxy *x, uint32_t by)
{
	x->state = PROXY_SUSPENDED;
	x->suspended_us = clock_now_us();
	x->suspended_by = by;
	suspend_settle(x);
}

void
proxy_wake(struct proxy *x)
{
	list_each(&x->clients, n, after)
		stream_wake(&node_owner(n, struct client, node)->stream);
	list_each(&x->servers, n, after)
		stream_wake(&node_owner(n, struct server, node)->stream);
}

bool
proxy_is_still(const struct proxy *x)
{
	list_each(&x->clients, n, after)
	{
		const struct client *c = node_owner(n, struct client, node);
		if (is_concerned(c) && has_to_say(&c->stream))
			return false;
	}
	list_each(&x->servers, n, after)
	{
		const struct server *s = node_owner(n, struct server, node);
		if (has_to_say(&s->stream))
			return false;
	}
	return true;
}

void
suspend_on_second(struct proxy *x)
{
	uint64_t limit = x->config->settings.suspend_timeout_us;
	if (x->state != PROXY_SUSPENDED || limit == 0 || clock_now_us() - x->suspended_us <= limit)
		return;
	list_each(&x->clients, n, after)
	{
		struct client *c = node_owner(n, struct client, node);
		if (c->stream.is_suspended && has_to_say(&c->stream))
			client_close(c, FAULT_BY_CLIENT, "suspend_timeout");
	}
	list_each(&x->servers, m, next)
	{
		struct server *s = node_owner(m, struct server, node);
		if (s->stream.is_suspended && has_to_say(&s->stream))
			server_lost(s, FAULT_BY_SERVER, "suspend_timeout");
	}
}
