/*
 * session/proxy.c - the process as one object: what it starts with, what names mean, how it ends.
 */
#include "session/proxy.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "auth/digest.h"
#include "auth/throttle.h"
#include "base/heap.h"
#include "base/log.h"
#include "net/fetch.h"
#include "net/tls.h"
#include "pool/plan.h"
#include "session/auth_query.h"
#include "session/cancel.h"
#include "session/client.h"
#include "session/hold.h"
#include "session/link.h"
#include "session/listener.h"
#include "session/peers.h"
#include "session/probe.h"
#include "session/proxy_parts.h"
#include "session/role_keys.h"
#include "session/server.h"
#include "session/touch.h"
#include "sql/cache.h"
#include "session/switchover.h"

/* ---- clusters ---- */

/* Sessions on a member that lost the lead are cut: a frozen leader that thaws would still execute what was sent to it. */
static void
cut_old_leader(struct proxy *x, const struct cluster_load *load)
{
	const struct topology *t = load->topology;
	const struct member *leader = topology_leader(t);
	if (leader == NULL || t->is_plain)
		return;
	list_each(&x->servers, n, after)
	{
		struct server *s = node_owner(n, struct server, node);
		if (s->pool->database->load != load || s->slot.at == NULL || s->slot.at->id == leader->id)
			continue;
		if (s->slot.is_standby || s->login)
			continue;
		char why[MEMBER_NAME_MAX + 32];
		snprintf(why, sizeof(why), "the leader is now %.*s", MEMBER_NAME_MAX - 1, leader->name);
		s->slot.is_close_needed = true;
		if (s->state != SERVER_CLOSED)
			server_lost(s, s->replication ? FAULT_BY_PROXY : FAULT_BY_SERVER, why);
	}
}

struct cluster_load *
proxy_load(struct proxy *x, const char *name)
{
	list_each(&x->loads, n, after)
	{
		struct cluster_load *load = node_owner(n, struct cluster_load, node);
		if (strcmp(cluster_name(load->cluster), name) == 0)
			return load;
	}
	return NULL;
}

static void
on_topology(struct cluster *cluster, const struct topology *old, const struct topology *now, void *context)
{
	struct proxy *x = context;
	struct cluster_load *load = proxy_load(x, cluster_name(cluster));
	if (load == NULL)
		return;
	const struct topology *before = load->topology;
	load->topology = topology_ref(now);
	topology_unref(before);
	cut_old_leader(x, load);
	hold_on_topology(load->hold, old);
	auth_query_on_topology(x, load);
	pools_upkeep(x, load);
	x->listeners_dirty = true;
	probe_look(x);
}

/* libcurl reads these files for each request: whether they are any good is said now, and once. */
static bool
can_identify(const struct cluster_config *c, struct text *why)
{
	const struct patroni_identity *i = &c->patroni_identity;
	if (i->cert_file[0] == '\0' && i->ca_file[0] == '\0')
		return true;
	struct tls_files files = { .key_file = i->key_file, .cert_file = i->cert_file, .ca_file = i->ca_file };
	char reason[400];
	struct text text = TEXT_IN(reason);
	struct tls_context *made = tls_context_new(TLS_FOR_SERVERS, &files, &text);
	if (made == NULL)
		text_addf(why, "patroni_cert_file, patroni_key_file, patroni_ca_file of cluster %s: %s", c->name, reason);
	tls_context_unref(made);
	return made != NULL;
}

/* Patroni is asked by HTTP, auth_query by libpq: is there anything to ask, and can we? */
bool
proxy_can_ask(struct proxy *x, const struct config *config, struct text *why)
{
	if (!auth_query_is_ready(config, why))
		return false;
	bool is_needed = false;
	for (int i = 0; i < config->cluster_count; i++) {
		const struct cluster_config *c = &config->clusters[i];
		if (c->patroni_count > 0 && !can_identify(c, why))
			return false;
		is_needed = is_needed || c->patroni_count > 0;
	}
	return !is_needed || fetcher_is_ready(x->fetcher, why);
}

void
proxy_open_cluster(struct proxy *x, const struct cluster_config *config)
{
	struct cluster_load *load = heap_alloc(sizeof(*load));
	struct cluster_callbacks callbacks = { .on_topology = on_topology, .context = x };
	load->cluster = cluster_open(x->loop, x->fetcher, config, &callbacks);
	load->topology = topology_ref(cluster_topology(load->cluster));
	load->read_fallback = config->read_fallback;
	load->hold = hold_new(x, load);
	list_append(&x->loads, &load->node);
}

void
proxy_close_load(struct cluster_load *load)
{
	node_remove(&load->node);
	hold_free(load->hold);
	cluster_close(load->cluster);
	topology_unref(load->topology);
	heap_free(load);
}

/* ---- all of it ---- */

struct proxy *
proxy_new(struct config *config, char **environment, struct text *why)
{
	struct proxy *x = heap_alloc(sizeof(*x));
	if (!access_load(config, &x->access, why)) {
		heap_free(x);
		return NULL;
	}
	access_in_force(&x->access);
	access_log_warnings(&x->access);
	x->config = config;
	x->environment = environment;
	x->loop = loop_new((struct loop_hooks){ .settle = proxy_settle, .reap = proxy_reap }, x);
	must(x->loop != NULL);
	struct resolver_settings names = names_settings(&config->settings);
	x->resolver = resolver_new(x->loop, &names);
	names_open(x);
	x->fetcher = fetcher_open(x->loop);
	x->failovers = heap_alloc(sizeof(*x->failovers));
	x->scram_cache = scram_cache_new(SCRAM_CACHE_ENTRIES);
	x->sql_cache = sql_cache_new(SQL_CACHE_LIMITS);
	x->throttle = throttle_new();
	x->started_us = x->stats_us = clock_now_us();
	digest_random(x->cancel_secret, sizeof(x->cancel_secret));
	struct list *lists[] = { &x->loads, &x->pools, &x->dirty_pools, &x->clients, &x->logins, &x->servers, &x->closed_clients,
		                 &x->closed_servers, &x->cancels, &x->closed_cancels, &x->peers, &x->closed_passings,
		                 &x->console_waits, &x->probes, &x->closed_probes, &x->listeners };
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		list_init(lists[i]);
	settle_open(x);
	if (!proxy_can_ask(x, config, why)) {
		x->config = NULL; /* the caller's still */
		proxy_free(x);
		return NULL;
	}
	for (int i = 0; i < config->cluster_count; i++)
		proxy_open_cluster(x, &config->clusters[i]);
	return x;
}

void
pool_forget_welcome(struct pool *p)
{
	for (int lane = 0; lane < LANES; lane++) {
		if (p->welcome[lane] == NULL)
			continue;
		buf_free(&p->welcome[lane]->facts);
		heap_free(p->welcome[lane]);
		p->welcome[lane] = NULL;
	}
}

static void
free_pool(struct proxy *x, struct pool *p)
{
	listener_forget_pool(x, p);
	client_login_forget_learned(p);
	params_unref(p->base);
	pool_forget_welcome(p);
	pool_fini(p);
	heap_free(p);
}

void
proxy_free(struct proxy *x)
{
	struct node *n;
	while ((n = list_first(&x->clients)) != NULL)
		client_close(node_owner(n, struct client, node), FAULT_BY_PROXY, "process ends");
	while ((n = list_first(&x->servers)) != NULL)
		server_close(node_owner(n, struct server, node), FAULT_BY_PROXY, "process ends");
	proxy_reap(x);
	auth_query_free(x);
	cancel_free_all(x);
	peers_free_all(x);
	probe_free_all(x);
	while ((n = list_first(&x->pools)) != NULL)
		free_pool(x, node_owner(n, struct pool, node));
	struct database *d, *next_d;
	HASH_ITER(hh, x->databases, d, next_d)
	{
		HASH_DEL(x->databases, d);
		touch_database_free(d);
		heap_free(d);
	}
	struct role *r, *next_r;
	HASH_ITER(hh, x->roles, r, next_r)
	{
		HASH_DEL(x->roles, r);
		role_forget_all(r);
		heap_free(r);
	}
	while ((n = list_first(&x->loads)) != NULL)
		proxy_close_load(node_owner(n, struct cluster_load, node));
	heap_free(x->failovers);
	buf_free(&x->compose);
	timer_free(x->every_second);
	timer_free(x->replan);
	fetcher_close(x->fetcher);
	resolver_free(x->resolver);
	scram_cache_free(x->scram_cache);
	sql_cache_free(x->sql_cache);
	throttle_free(x->throttle);
	access_free(&x->access);
	loop_free(x->loop);
	config_free(x->config);
	heap_free(x);
}

void
proxy_accept(struct proxy *x, int fd, bool is_unix, bool is_last, enum lane lane)
{
	if (is_last) {
		logins_make_room(x);
		client_refuse(x, fd, "no more connections: pgsluice is out of file descriptors",
		              "Raise the limit of open files or lower max_client_conn.");
	} else if (!logins_have_room(x)) {
		client_refuse(x, fd, "too many connections are logging in (max_login_clients)", "Try again in a moment.");
	} else {
		client_new(x, fd, is_unix, lane);
	}
}

/* ---- names ---- */

struct database *
proxy_database(struct proxy *x, const char *name)
{
	struct database *d;
	HASH_FIND_STR(x->databases, name, d);
	if (d)
		return d;
	const struct database_config *config = config_database(x->config, name);
	if (config == NULL)
		return NULL;
	d = heap_alloc(sizeof(*d));
	snprintf(d->name, sizeof(d->name), "%s", name);
	d->config = config;
	d->is_auto = config->is_default;
	d->load = proxy_load(x, config->cluster->name);
	must(d->load != NULL);
	list_init(&d->pools);
	d->used_us = d->before_us = d->before_that_us = clock_now_us();
	HASH_ADD_STR(x->databases, name, d);
	return d;
}

struct role *
proxy_role(struct proxy *x, const char *name)
{
	struct role *r;
	HASH_FIND_STR(x->roles, name, r);
	if (r)
		return r;
	r = heap_alloc(sizeof(*r));
	snprintf(r->name, sizeof(r->name), "%s", name);
	r->config = config_user(x->config, name);
	list_init(&r->pools);
	HASH_ADD_STR(x->roles, name, r);
	return r;
}

struct pool *
proxy_pool(struct proxy *x, struct database *d, struct role *r)
{
	list_each(&d->pools, n, after)
	{
		struct pool *p = node_owner(n, struct pool, of_database);
		if (p->role == r)
			return p;
	}
	struct pool *p = heap_alloc(sizeof(*p));
	struct pool_rules rules = config_pool_rules(x->config, d->config, r->config);
	pool_init(p, d, r, &rules);
	list_append(&x->pools, &p->node);
	return p;
}

static bool
is_unused(const struct pool *p)
{
	return p->clients == 0 && p->servers == 0 && pool_waiting(p) == 0;
}

void
proxy_drop_database(struct proxy *x, struct database *d)
{
	list_each(&d->pools, n, after)
		free_pool(x, node_owner(n, struct pool, of_database));
	HASH_DEL(x->databases, d);
	touch_database_free(d);
	heap_free(d);
}

static bool
database_is_unused(const struct database *d)
{
	list_each(&d->pools, n, after)
		if (!is_unused(node_owner(n, struct pool, of_database)))
			return false;
	return d->clients == 0;
}

static void
collect_pools(struct proxy *x)
{
	uint64_t limit = x->config->settings.pool_idle_timeout_us;
	list_each(&x->pools, n, after)
	{
		struct pool *p = node_owner(n, struct pool, node);
		if (!is_unused(p) || limit == 0)
			p->unused_us = 0;
		else if (p->unused_us == 0)
			p->unused_us = clock_now_us();
		else if (clock_now_us() - p->unused_us > limit)
			free_pool(x, p);
	}
}

/* Whoever logs in somewhere makes a role; with auth_type = any, whatever name he makes up. */
static void
collect_roles(struct proxy *x)
{
	struct role *r, *after;
	HASH_ITER(hh, x->roles, r, after)
	{
		if (r->holders > 0 || !list_is_empty(&r->pools))
			continue;
		HASH_DEL(x->roles, r);
		role_forget_all(r);
		heap_free(r);
	}
}

void
proxy_collect(struct proxy *x)
{
	collect_pools(x);
	collect_roles(x);
	uint64_t limit = x->config->settings.autodb_idle_timeout_us;
	struct database *d, *after;
	HASH_ITER(hh, x->databases, d, after)
		if (d->is_auto && limit > 0 && clock_now_us() - d->used_us > limit && !d->is_paused && !d->is_disabled &&
		    database_is_unused(d))
			proxy_drop_database(x, d);
}

/* ---- commands and stopping ---- */

void
proxy_cut_servers(struct proxy *x, const struct database *d, const char *why)
{
	list_each(&x->servers, n, after)
	{
		struct server *s = node_owner(n, struct server, node);
		if (d == NULL || s->pool->database == d)
			server_close(s, FAULT_BY_ADMIN, why);
	}
}

void
proxy_kill_database(struct proxy *x, struct database *d, const char *why)
{
	list_each(&x->clients, n, after)
	{
		struct client *c = node_owner(n, struct client, node);
		if (c->database && (d == NULL || c->database == d))
			client_fail(c, &(struct fault){ .by = FAULT_BY_ADMIN, .sqlstate = SQLSTATE_ADMIN_SHUTDOWN, .text = why });
	}
	proxy_cut_servers(x, d, why);
	auth_query_close_idle(x, d);
}

static bool
is_of(const struct pool *p, const struct database *d)
{
	return d == NULL || p->database == d;
}

static void
close_idle(struct proxy *x, const struct database *d, const char *why)
{
	list_each(&x->servers, n, after)
	{
		struct server *s = node_owner(n, struct server, node);
		if (is_of(s->pool, d) && (s->state == SERVER_IDLE || s->state == SERVER_LISTENING))
			server_close(s, FAULT_BY_ADMIN, why);
	}
	auth_query_close_idle(x, d);
}

void
proxy_pause(struct proxy *x, struct database *d)
{
	if (d)
		d->is_paused = true;
	else if (x->state == PROXY_RUNNING) /* who is stopping does not stop stopping */
		x->state = PROXY_PAUSED;
	close_idle(x, d, "paused");
}

void
proxy_resume(struct proxy *x, struct database *d)
{
	if (d)
		d->is_paused = false;
	else if (x->state == PROXY_PAUSED || x->state == PROXY_SUSPENDED)
		x->state = PROXY_RUNNING;
	if (d == NULL)
		proxy_wake(x);
	list_each(&x->pools, n, after)
	{
		struct pool *p = node_owner(n, struct pool, node);
		if (is_of(p, d))
			proxy_dirty(x, p);
	}
	auth_query_wake(x);
	x->listeners_dirty = true;
}

void
proxy_reconnect(struct proxy *x, struct database *d)
{
	list_each(&x->servers, n, after)
	{
		struct server *s = node_owner(n, struct server, node);
		if (is_of(s->pool, d) && s->state != SERVER_REPLICATING) /* one that is never free */
			s->slot.is_close_needed = true;
	}
	close_idle(x, d, "reconnect");
}

void
proxy_kill(struct proxy *x, struct database *d)
{
	proxy_kill_database(x, d, "database removed");
	if (d) {
		d->is_paused = true;
		return;
	}
	for (struct database *each = x->databases; each; each = each->hh.next)
		each->is_paused = true;
}

uint32_t
proxy_busy_servers(const struct proxy *x, const struct database *d)
{
	uint32_t count = auth_query_connections(x, d);
	list_each(&x->servers, n, after)
	{
		const struct server *s = node_owner(n, struct server, node);
		count += is_of(s->pool, d) && !s->replication; /* a stream has no end to wait for */
	}
	return count;
}

void
proxy_stop(struct proxy *x, enum proxy_state how)
{
	if (x->state < PROXY_STOPPING_SERVERS && x->on_stop)
		x->on_stop(x->process);
	if (x->state == PROXY_SUSPENDED)
		proxy_wake(x);
	list_each(&x->loads, each, next)
	{
		struct hold *h = node_owner(each, struct cluster_load, node)->hold;
		switchover_stop(h->switchover);
		hold_release(h);
	}
	x->state = how;
	x->stop_by_us = clock_now_us() + x->config->settings.shutdown_timeout_us;
	if (how == PROXY_STOPPING_SERVERS)
		close_idle(x, NULL, "server shutting down");
	if (how == PROXY_STOPPING || how == PROXY_STOPPING_SERVERS) {
		list_each(&x->clients, n, after)
		{
			struct client *c = node_owner(n, struct client, node);
			bool is_between = c->state == CLIENT_LINKED && owed_is_empty(&c->link->owed) && c->link->status == 'I';
			if (c->state <= CLIENT_WAITING || c->state == CLIENT_REPLICATING || c->state == CLIENT_ABORTED || is_between)
				client_fail(c, &(struct fault){ .by = FAULT_BY_ADMIN, .sqlstate = SQLSTATE_ADMIN_SHUTDOWN,
				                                .text = "server shutting down" });
		}
	}
	if (proxy_is_done(x))
		loop_stop(x->loop);
}

bool
proxy_is_done(const struct proxy *x)
{
	if (x->state < PROXY_STOPPING_SERVERS)
		return false;
	if (x->state == PROXY_STOPPING && clock_now_us() >= x->stop_by_us)
		return true;
	if (x->state == PROXY_STOPPING_SERVERS)
		return proxy_busy_servers(x, NULL) == 0;
	list_each(&x->clients, n, after)
		if (node_owner(n, struct client, node)->database)
			return false;
	return true;
}
