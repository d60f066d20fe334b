/*
 * session/logins.c - how many connections may be logging in at once, and who gives way when there are too many.
 *
 * Whoever can connect can also say nothing, by the thousand, until client_login_timeout. So those that have not proven
 * who they are have a number of places of their own; when all are taken, one that has kept us waiting gives way to the
 * newcomer, and only when nobody does is the newcomer refused. A storm of honest logins is not touched by it: who
 * answers within LOGIN_PATIENCE_US, or waits for us, keeps its place.
 */
#include "base/clock.h"
#include "base/log.h"
#include "session/client_login.h"

enum {
	LOGIN_PATIENCE_US = 2 * 1000 * 1000,
	LOGINS_LEAST = 100, /* cancel requests are connections too, also where max_client_conn is small */
	LOOKS_MAX = 64,     /* at the oldest ones, for each newcomer */
};

uint32_t
logins_max(const struct settings *set)
{
	if (set->max_login_clients > 0)
		return (uint32_t)set->max_login_clients;
	return (uint32_t)(set->max_client_conn > LOGINS_LEAST ? set->max_client_conn : LOGINS_LEAST);
}

/* It is its turn to speak, for long, and nothing has come. */
static bool
keeps_us_waiting(const struct client *c)
{
	const struct stream *s = &c->stream;
	return clock_now_us() - c->since_us > LOGIN_PATIENCE_US && !s->is_paused && !s->is_suspended &&
	       stream_is_silent(s);
}

static void
cut(struct client *c)
{
	static const struct fault f = {
		.by = FAULT_BY_PROXY,
		.sqlstate = SQLSTATE_TOO_MANY_CONNECTIONS,
		.text = "too many connections are logging in (max_login_clients), and this one was silent"
	};
	c->proxy->logins_cut++;
	c->proxy->counters.logins_unfinished++;
	client_cut(c, &f);
}

bool
logins_make_room(struct proxy *x)
{
	int looks = 0;
	list_each(&x->logins, n, after)
	{
		struct client *c = node_owner(n, struct client_login, node)->client;
		bool is_young = clock_now_us() - c->connect_us <= LOGIN_PATIENCE_US; /* and the rest is younger still */
		if (is_young || ++looks > LOOKS_MAX)
			return false;
		if (keeps_us_waiting(c)) {
			cut(c);
			return true;
		}
	}
	return false;
}

bool
logins_have_room(struct proxy *x)
{
	if (x->logins.count < logins_max(&x->config->settings) || logins_make_room(x))
		return true;
	x->logins_refused++;
	return false;
}

/* One line a second at most, however many there are. */
void
logins_on_second(struct proxy *x)
{
	if (x->logins_refused + x->logins_cut == 0)
		return;
	log_warning(
	    "logins",
	    "too many connections are logging in (max_login_clients = %u): %u were refused, %u silent ones cut; %u now",
	    logins_max(&x->config->settings), x->logins_refused, x->logins_cut, x->logins.count);
	x->logins_refused = x->logins_cut = 0;
}
