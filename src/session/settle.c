/*
 * session/settle.c - the end of a turn: carries out what the pools' plans say, frees what was closed; and once a second
 * looks at everything that time alone can change.
 */
#include <stdio.h>

#include "auth/password.h"
#include "base/clock.h"
#include "base/heap.h"
#include "base/log.h"
#include "pool/plan.h"
#include "session/auth_query.h"
#include "session/cancel.h"
#include "session/client.h"
#include "session/hold.h"
#include "session/link.h"
#include "session/listener.h"
#include "session/peers.h"
#include "session/pids.h"
#include "session/pins.h"
#include "session/probe.h"
#include "session/replication.h"
#include "session/role_keys.h"
#include "session/server.h"
#include "session/state.h"
#include "wire/reply.h"

static struct client *
client_of_waiter(struct waiter *w)
{
	return node_owner(w, struct client, waiter);
}

static struct plan_view
view_now(const struct proxy *x)
{
	return (struct plan_view){
		.settings = &x->config->settings,
		.now_us = clock_now_us(),
		.is_paused = proxy_is_paused(x),
	};
}

void
proxy_dirty(struct proxy *x, struct pool *p)
{
	if (!node_is_in(&p->dirty))
		list_append(&x->dirty_pools, &p->dirty);
}

/* A server of p is free, or gone: those of other pools may wait for just that, where a limit is common to them. */
void
proxy_dirty_neighbours(struct proxy *x, const struct pool *p)
{
	if (p->rules.max_db_connections > 0)
		list_each(&p->database->pools, n, after)
		{
			struct pool *other = node_owner(n, struct pool, of_database);
			if (pool_waiting(other) > 0)
				proxy_dirty(x, other);
		}
	if (p->rules.max_user_connections > 0)
		list_each(&p->role->pools, n, after)
		{
			struct pool *other = node_owner(n, struct pool, of_role);
			if (pool_waiting(other) > 0)
				proxy_dirty(x, other);
		}
}

static void
give(struct waiter *w, struct slot *slot)
{
	struct client *c = client_of_waiter(w);
	c->pool->database->stats.wait_us += clock_now_us() - w->since_us;
	hold_on_link(c->pool->database->load->hold, w);
	pool_leave(w);
	link_join(c, server_of_slot(slot));
	client_linked(c);
}

static void
check(struct server *s, const struct settings *set)
{
	server_ask(s, QUESTION_CHECK, strcmp(set->server_check_query, "<empty>") == 0 ? "" : set->server_check_query);
}

static void
carry_out(struct proxy *x, struct pool *p, const struct plan *plan)
{
	switch (plan->act) {
	case PLAN_LINK:
		give(plan->waiter, plan->slot);
		break;
	case PLAN_OPEN:
		if (plan->waiter)
			replication_open(client_of_waiter(plan->waiter), plan->member);
		else
			server_open(x, p, plan->member, NULL);
		break;
	case PLAN_CHECK:
		check(server_of_slot(plan->slot), &x->config->settings);
		break;
	case PLAN_ASK:
		plan->slot->asked_us = clock_now_us();
		server_ask(server_of_slot(plan->slot), QUESTION_ROLE, NULL);
		break;
	case PLAN_CLOSE:
	case PLAN_EVICT:
		server_close(server_of_slot(plan->slot), FAULT_BY_PROXY, plan->why);
		break;
	case PLAN_REFUSE:
		client_fail(client_of_waiter(plan->waiter), &plan->fault);
		break;
	case PLAN_NOTHING:
		break;
	}
}

static void
replan_at(struct proxy *x, uint64_t at_us)
{
	uint64_t now = clock_now_us();
	if (x->replan_us > now && x->replan_us <= at_us)
		return;
	x->replan_us = at_us;
	timer_set(x->replan, at_us > now ? at_us - now : 1);
}

void
proxy_settle(void *context)
{
	struct proxy *x = context;
	struct node *n;
	if (x->is_holding)
		hold_look(x);
	while ((n = list_first(&x->dirty_pools)) != NULL) {
		struct pool *p = node_owner(n, struct pool, dirty);
		node_remove(n);
		hold_refuse_excess(p);
		struct plan_view v = view_now(x);
		struct plan plan;
		while ((plan = pool_plan(p, &v)).act != PLAN_NOTHING)
			carry_out(x, p, &plan);
		if (plan.again_us)
			replan_at(x, plan.again_us);
	}
	if (x->is_holding)
		hold_settle(x);
	if (x->state == PROXY_SUSPENDED)
		suspend_settle(x);
	if (x->auth_query_wants_run)
		auth_query_wake(x);
	if (x->listeners_dirty) {
		uint64_t again_us = listeners_settle(x);
		if (again_us)
			replan_at(x, again_us);
	}
	if (!list_is_empty(&x->console_waits))
		x->console->on_settle(x);
	if (x->state >= PROXY_STOPPING_SERVERS && proxy_is_done(x))
		loop_stop(x->loop);
}

/* A time has come that some plan waited for. */
static void
replan_on_timer(void *context)
{
	struct proxy *x = context;
	x->replan_us = 0;
	x->listeners_dirty = !list_is_empty(&x->listeners);
	list_each(&x->pools, n, after)
	{
		struct pool *p = node_owner(n, struct pool, node);
		if (pool_waiting(p) > 0)
			proxy_dirty(x, p);
	}
}

void
settle_open(struct proxy *x)
{
	x->replan = timer_new(x->loop, replan_on_timer, x);
	x->every_second = timer_every(x->loop, SECOND_US, proxy_on_second, x);
}

void
proxy_reap(void *context)
{
	struct proxy *x = context;
	struct node *n;
	if ((x->closed_clients.count | x->closed_servers.count | x->closed_cancels.count | x->closed_passings.count |
	     x->closed_probes.count) == 0)
		return;
	while ((n = list_first(&x->closed_clients)) != NULL)
		client_free(node_owner(n, struct client, node));
	while ((n = list_first(&x->closed_servers)) != NULL)
		server_free(node_owner(n, struct server, node));
	cancel_reap(x);
	peers_reap(x);
	probe_reap(x);
}

/* ---- once a second ---- */

static bool
is_over(uint64_t since_us, uint64_t limit_us)
{
	return limit_us > 0 && clock_now_us() - since_us > limit_us;
}

static void
time_out(struct client *c, const char *sqlstate, const char *text)
{
	client_fail(c, &(struct fault){ .by = FAULT_BY_PROXY, .sqlstate = sqlstate, .text = text });
}

enum { HOLDERS_ROOM = 700 };

static void
wait_is_over(struct client *c)
{
	char detail[HOLDERS_ROOM + 50], holders[HOLDERS_ROOM];
	struct text text = TEXT_IN(holders);
	bool is_pinned = pins_add_holders(&text, c->pool);
	snprintf(detail, sizeof(detail), "No server connection became free in time.%s%s", is_pinned ? " " : "",
	         is_pinned ? holders : "");
	client_fail(c, &(struct fault){ .by = FAULT_BY_PROXY, .sqlstate = SQLSTATE_CANNOT_CONNECT_NOW,
	                                .text = "query_wait_timeout", .detail = detail, .hint = is_pinned ? pins_hint : NULL });
}

static void
tell_wait(struct client *c)
{
	char holders[HOLDERS_ROOM];
	struct text text = TEXT_IN(holders);
	struct buf b = { 0 };
	bool is_pinned = pins_add_holders(&text, c->pool);
	reply_notice(&b, "NOTICE", &(struct fault){ .sqlstate = SQLSTATE_OK,
	                                            .text = "waiting for a server connection (query_wait_notify)",
	                                            .detail = is_pinned ? holders : NULL, .hint = is_pinned ? pins_hint : NULL });
	client_send(c, buf_view(&b));
	buf_free(&b);
}

static void
pin_is_idle(struct client *c)
{
	char reasons[160], detail[240];
	struct text text = TEXT_IN(reasons);
	pins_add_names(&text, c->pins);
	snprintf(detail, sizeof(detail), "The client kept its server connection for: %s.", reasons);
	client_fail(c, &(struct fault){ .by = FAULT_BY_PROXY, .sqlstate = SQLSTATE_IDLE_SESSION_TIMEOUT,
	                                .text = "pin_idle_timeout", .detail = detail });
}

static void
client_on_second(struct client *c)
{
	struct proxy *x = c->proxy;
	if (c->stream.is_suspended) /* who is not listened to is not late */
		return;
	const struct settings *set = &x->config->settings;
	switch ((enum client_state)c->state) {
	case CLIENT_STARTUP:
	case CLIENT_TLS:
	case CLIENT_ASKING:
	case CLIENT_AUTH:
		if (is_over(c->connect_us, set->client_login_timeout_us)) {
			x->counters.logins_unfinished++;
			time_out(c, SQLSTATE_CANNOT_CONNECT_NOW, "client_login_timeout");
		}
		return;
	case CLIENT_CANCEL_WAITING:
	case CLIENT_REPLICATING: /* a stream is silent for long, or never ends: no limit of time is meant for it */
	case CLIENT_CANCELLING:
	case CLIENT_CONSOLE:
	case CLIENT_CLOSED:
	case CLIENT_STATES:
		return;
	default:
		break;
	}
	struct pool_rules rules = config_pool_rules(x->config, c->database->config, c->role->config);
	switch ((enum client_state)c->state) {
	case CLIENT_IDLE:
		if (x->state >= PROXY_STOPPING_SERVERS && x->state != PROXY_STOPPING_CLIENTS)
			time_out(c, SQLSTATE_ADMIN_SHUTDOWN, "server shutting down");
		else if (is_over(c->since_us, rules.client_idle_timeout_us))
			time_out(c, SQLSTATE_IDLE_SESSION_TIMEOUT, "client_idle_timeout");
		return;
	case CLIENT_ABORTED:
		if (x->state == PROXY_STOPPING_SERVERS || x->state == PROXY_STOPPING)
			time_out(c, SQLSTATE_ADMIN_SHUTDOWN, "server shutting down");
		else if (is_over(c->since_us, rules.idle_transaction_timeout_us))
			time_out(c, SQLSTATE_IDLE_TRANSACTION_TIMEOUT, "idle transaction timeout");
		return;
	case CLIENT_WELCOME:
	case CLIENT_WAITING:
		if (hold_refuse_late(c, rules.failover_hold_timeout_us))
			return;
		if (is_over(hold_wait_since_us(c), rules.query_wait_timeout_us)) {
			wait_is_over(c);
		} else if (x->state == PROXY_STOPPING_SERVERS || x->state == PROXY_STOPPING) {
			time_out(c, SQLSTATE_ADMIN_SHUTDOWN, "server shutting down");
		} else if (!c->tells_wait && c->state == CLIENT_WAITING && is_over(c->waiter.since_us, set->query_wait_notify_us)) {
			c->tells_wait = true;
			tell_wait(c);
		}
		return;
	case CLIENT_LEARNING:
		if (is_over(c->since_us, set->client_login_timeout_us))
			time_out(c, SQLSTATE_CANNOT_CONNECT_NOW, "client_login_timeout");
		return;
	case CLIENT_CHECKING:
		if (is_over(c->since_us, set->server_connect_timeout_us))
			server_lost(c->link, FAULT_BY_SERVER, "it did not answer in time");
		return;
	case CLIENT_LINKED:
		break;
	default:
		return;
	}
	struct server *s = c->link;
	if (c->pins)
		state_on_second(c);
	if (c->names_us)
		pids_go_on(c);
	if (!owed_is_empty(&s->owed)) {
		if (c->query_us && is_over(c->query_us, rules.query_timeout_us)) {
			s->slot.is_close_needed = true;
			time_out(c, SQLSTATE_QUERY_CANCELED, "query timeout");
			return;
		}
	} else if (s->status != 'I' && is_over(s->request_us, rules.idle_transaction_timeout_us)) {
		time_out(c, SQLSTATE_IDLE_TRANSACTION_TIMEOUT, "idle transaction timeout");
		return;
	} else if (s->status == 'I') {
		if (x->state == PROXY_STOPPING_SERVERS || x->state == PROXY_STOPPING)
			time_out(c, SQLSTATE_ADMIN_SHUTDOWN, "server shutting down");
		else if (is_over(s->request_us, rules.client_idle_timeout_us))
			time_out(c, SQLSTATE_IDLE_SESSION_TIMEOUT, "client_idle_timeout");
		else if (c->pins && is_over(s->linked_us, rules.pin_idle_timeout_us)) /* since its last ReadyForQuery */
			pin_is_idle(c);
		return;
	}
	if (is_over(s->linked_us, rules.transaction_timeout_us))
		time_out(c, SQLSTATE_TRANSACTION_TIMEOUT, "transaction timeout");
}

static void
server_on_second(struct server *s)
{
	if (s->stream.is_suspended)
		return;
	const struct settings *set = &s->proxy->config->settings;
	if (s->login && is_over(s->connect_us, set->server_connect_timeout_us)) {
		server_login_on_end(s, STREAM_END_ERROR, "server_connect_timeout");
		return;
	}
	if (s->login == NULL && (s->state == SERVER_SETTLING || s->state == SERVER_DRAINING) &&
	    s->slot.state == SLOT_TESTED && is_over(s->since_us, set->server_connect_timeout_us))
		server_close(s, FAULT_BY_SERVER, "it did not answer in time");
}

/* PgBouncer's line. */
static void
add_figures(struct text *out, const struct stats *sum, uint64_t seconds)
{
	uint64_t s = seconds > 0 ? seconds : 1;
	text_addf(out, "%lu xacts/s, %lu queries/s, in %lu B/s, out %lu B/s, xact %lu us, query %lu us, wait %lu us",
	          (unsigned long)(sum->transactions / s), (unsigned long)(sum->queries / s),
	          (unsigned long)(sum->bytes_received / s), (unsigned long)(sum->bytes_sent / s),
	          (unsigned long)(sum->transaction_us / (sum->transactions ? sum->transactions : 1)),
	          (unsigned long)(sum->query_us / (sum->queries ? sum->queries : 1)),
	          (unsigned long)(sum->wait_us / (sum->assignments ? sum->assignments : 1)));
}

static void
roll_stats(struct proxy *x)
{
	uint64_t now = clock_now_us();
	uint64_t period = x->config->settings.stats_period_us;
	if (period == 0 || now - x->stats_us < period)
		return;
	struct stats sum = { 0 };
	for (struct database *d = x->databases; d; d = d->hh.next) {
		sum.transactions += d->stats.transactions - d->before.transactions;
		sum.queries += d->stats.queries - d->before.queries;
		sum.bytes_received += d->stats.bytes_received - d->before.bytes_received;
		sum.bytes_sent += d->stats.bytes_sent - d->before.bytes_sent;
		sum.transaction_us += d->stats.transaction_us - d->before.transaction_us;
		sum.query_us += d->stats.query_us - d->before.query_us;
		sum.wait_us += d->stats.wait_us - d->before.wait_us;
		sum.assignments += d->stats.assignments - d->before.assignments;
		d->before_that = d->before;
		d->before_that_us = d->before_us;
		d->before = d->stats;
		d->before_us = now;
	}
	char line[300];
	struct text text = TEXT_IN(line);
	add_figures(&text, &sum, (now - x->stats_us) / SECOND_US);
	if (x->config->settings.log_stats)
		log_info("stats", "%s", line);
	if (x->on_stats)
		x->on_stats(x->process, line);
	x->stats_us = now;
}

/* What goes on for long must not keep the loop from others: a few stretchings each second. */
static void
warm_passwords(struct proxy *x)
{
	enum { PER_SECOND = 20 };
	for (int i = 0; i < PER_SECOND; i++)
		if (!password_warm(x->access.users, (uint32_t)x->config->settings.scram_iterations, x->scram_cache, &x->users_warm_at))
			return;
}

void
pools_upkeep(struct proxy *x, const struct cluster_load *load)
{
	struct plan_view v = view_now(x);
	list_each(&x->pools, n, after)
	{
		struct pool *p = node_owner(n, struct pool, node);
		if (load && p->database->load != load)
			continue;
		struct plan plan;
		while ((plan = pool_upkeep(p, &v)).act != PLAN_NOTHING)
			carry_out(x, p, &plan);
		if (pool_waiting(p) > 0 || load)
			proxy_dirty(x, p);
	}
}

void
proxy_on_second(void *context)
{
	struct proxy *x = context;
	list_each(&x->clients, n, after)
		client_on_second(node_owner(n, struct client, node));
	list_each(&x->servers, n, after)
		server_on_second(node_owner(n, struct server, node));
	suspend_on_second(x);
	logins_on_second(x);
	cancel_on_second(x);
	peers_on_second(x);
	probe_on_second(x);
	hold_on_second(x);
	names_on_second(x);
	auth_query_on_second(x);
	listeners_on_second(x);
	pools_upkeep(x, NULL);
	pins_on_second(x);
	roll_stats(x);
	proxy_refresh_users(x);
	access_on_second(&x->access);
	warm_passwords(x);
	proxy_collect(x);
	if (proxy_is_done(x))
		loop_stop(x->loop);
}
