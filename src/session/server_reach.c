/* session/server_reach.c - reaching a host by one of its addresses; see the header. */
#include "session/server_reach.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "cluster/topology.h"
#include "session/server.h"

#define SHARE_MOST_US (2 * SECOND_US) /* an address that has not answered by then is no better than the next */

/*
 * When the network comes back, what was sent meanwhile arrives with TCP's next try, and that would be after as long again as the
 * network was gone. So many seconds, 15 times (net.ipv4.tcp_retries2), are still longer than anybody is held.
 */
#define RETRY_MAX_MS 3000

static void on_addresses(void *context, const struct resolved *answer);
static void try_next(struct reach *r, const char *why_not);

static void
ask(struct reach *r)
{
	struct server *s = r->server;
	struct resolve_request *q = resolve_name(s->proxy->resolver, r->host, r->port, on_addresses, r);
	if (s->login && q) /* the answer may have come, and even ended the login, before the return */
		r->resolving = q;
}

static void
blame_address(const struct reach *r)
{
	if (r->next > 0)
		resolve_failed(r->server->proxy->resolver, r->host, &r->server->address);
}

static void
on_share_over(void *context)
{
	struct reach *r = context;
	log_debug(server_tag(r->server), "an address of %s does not answer: the next one", r->host);
	blame_address(r);
	stream_close(&r->server->stream);
	try_next(r, "server_connect_timeout");
}

/* What is left of server_connect_timeout is divided among the addresses that are left; the last one has all of it. */
static void
set_share(struct reach *r)
{
	const struct server *s = r->server;
	uint64_t limit = s->proxy->config->settings.server_connect_timeout_us, age = clock_now_us() - s->connect_us;
	unsigned left = r->addresses.count - r->next;
	uint64_t share = SHARE_MOST_US;
	if (left == 0) {
		reach_connected(r);
		return;
	}
	if (limit > 0 && (limit > age ? limit - age : 0) / (left + 1) < share)
		share = (limit > age ? limit - age : 0) / (left + 1);
	if (r->share == NULL)
		r->share = timer_new(s->proxy->loop, on_share_over, r);
	timer_set(r->share, share);
}

static bool
try_address(struct reach *r, unsigned i)
{
	struct server *s = r->server;
	s->address = r->addresses.at[i].address;
	s->address_bytes = r->addresses.at[i].bytes;
	if (!stream_connect(&s->stream, s->proxy->loop, (struct sockaddr *)&s->address, s->address_bytes, &server_ops, s)) {
		s->stream.fd = -1;
		return false;
	}
	if (s->address.ss_family != AF_UNIX) {
		const struct settings *set = &s->proxy->config->settings;
		socket_tune(s->stream.fd, &(struct socket_options){
			.keepalive = set->tcp_keepalive, .keepidle_s = set->tcp_keepidle_s,
			.keepintvl_s = set->tcp_keepintvl_s, .keepcnt = set->tcp_keepcnt,
			.user_timeout_ms = set->tcp_user_timeout_ms, .retry_max_ms = RETRY_MAX_MS,
			.buffer_bytes = (int)set->tcp_socket_buffer_bytes });
	}
	return true;
}

static void
try_next(struct reach *r, const char *why_not)
{
	while (r->next < r->addresses.count) {
		if (try_address(r, r->next++)) {
			set_share(r);
			return;
		}
		why_not = strerror(errno);
		blame_address(r);
	}
	reach_connected(r);
	if (r->addresses.count > 0 && !r->asked_again && resolve_distrust(r->server->proxy->resolver, r->host)) {
		r->asked_again = true; /* perhaps they are others by now */
		snprintf(r->why_not, sizeof(r->why_not), "%s", why_not);
		ask(r);
		return;
	}
	server_login_unreachable(r->server, why_not);
}

/* A plain host is, as in PgBouncer, all its addresses in turn; a member is one server, and the way that worked is best. */
static void
spread(const struct reach *r, struct resolved *answer)
{
	unsigned n = answer->trusted;
	if (n < 2 || !r->server->pool->database->load->topology->is_plain)
		return;
	const struct resolved as_was = *answer;
	unsigned first = (unsigned)(r->server->proxy->counters.servers_opened % n);
	for (unsigned i = 0; i < n; i++)
		answer->at[i] = as_was.at[(first + i) % n];
}

static void
leave_out(struct resolved *answer, const struct resolved *tried)
{
	unsigned kept = 0;
	for (unsigned i = 0; i < answer->count; i++)
		if (!resolved_has(tried, &answer->at[i].address))
			answer->at[kept++] = answer->at[i];
	answer->count = kept;
}

static void
on_addresses(void *context, const struct resolved *answer)
{
	struct reach *r = context;
	struct resolved now = *answer;
	const char *why = now.error ? now.error : "name has no address";
	r->resolving = NULL;
	if (r->asked_again) {
		leave_out(&now, &r->addresses);
		why = r->why_not;
	} else {
		spread(r, &now);
	}
	r->addresses = now;
	r->next = 0;
	try_next(r, why);
}

void
reach_begin(struct reach *r, struct server *s, const char *host, uint16_t port)
{
	r->server = s;
	r->host = host;
	r->port = port;
	ask(r);
}

void
reach_refused(struct reach *r, const char *why_not)
{
	blame_address(r);
	try_next(r, why_not);
}

void
reach_connected(struct reach *r)
{
	if (r->share)
		timer_clear(r->share);
}

void
reach_done(struct reach *r)
{
	resolve_worked(r->server->proxy->resolver, r->host, &r->server->address);
}

void
reach_broke(struct reach *r)
{
	blame_address(r);
	resolve_distrust(r->server->proxy->resolver, r->host); /* the next one asks where the host is now */
}

void
reach_fini(struct reach *r)
{
	resolve_cancel(r->resolving);
	timer_free(r->share);
}
