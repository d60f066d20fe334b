/*
 * session/auth_query.c - who is looked up, and in which place; what a reload, a failover and time do to all places. See the
 * header. Never: decides whether a secret is right (client_auth.c), or how long an answer counts (auth/lookup).
 */
#include "session/auth_query.h"

#include <string.h>

#include "auth/mock.h"
#include "base/clock.h"
#include "base/heap.h"
#include "base/log.h"
#include "net/pq.h"
#include "session/auth_place.h"
#include "session/client.h"
#include "session/client_login.h"

enum { PLACES_MAX = 256 }; /* a database "*" makes one of each name that somebody asks for */

static struct auth_queries *
queries(struct proxy *x)
{
	if (x->auth_queries == NULL) {
		x->auth_queries = heap_alloc(sizeof(*x->auth_queries));
		x->auth_queries->like = (struct secret){ .kind = SECRET_SCRAM,
			                                 .scram = { .iterations = SCRAM_ITERATIONS, .salt_bytes = MOCK_SALT_BYTES } };
		list_init(&x->auth_queries->places);
		list_init(&x->auth_queries->restarting);
	}
	return x->auth_queries;
}

struct where {
	const char *database, *user, *query;
};

/* False: users of this database are not looked up. */
static bool
where_to_ask(const struct config *config, const char *database, struct where *out)
{
	const struct settings *set = &config->settings;
	const struct database_config *d = NULL;
	if (!config_is_console(database)) {
		d = config_database(config, database);
		if (d == NULL)
			return false;
	} else if (set->auth_dbname[0] == '\0') {
		return false; /* the console has no database of its own to ask in */
	}
	out->user = d && d->auth_user ? d->auth_user : set->auth_user;
	out->query = d && d->auth_query ? d->auth_query : set->auth_query;
	out->database = d && d->auth_dbname ? d->auth_dbname : set->auth_dbname;
	if (out->database[0] == '\0')
		out->database = database;
	return out->user[0] != '\0';
}

static bool
is_unused(const struct auth_place *p)
{
	return !lookup_is_waited_for(&p->lookup) && list_is_empty(&p->connections) && list_is_empty(&p->lookup.kept);
}

/* Somebody tries names of databases: places where nothing was found, or that are merely idle, make room. */
static void
free_unused_place(struct auth_queries *all)
{
	struct auth_place *idle = NULL;
	list_each(&all->places, n, after)
	{
		struct auth_place *p = node_owner(n, struct auth_place, node);
		if (!lookup_is_waited_for(&p->lookup) && (idle == NULL || is_unused(p)))
			idle = p;
		if (idle && is_unused(idle))
			break;
	}
	if (idle)
		auth_place_free(idle);
}

/* NULL: there are too many. */
static struct auth_place *
place_for(struct proxy *x, const struct where *w)
{
	struct auth_queries *all = queries(x);
	list_each(&all->places, n, after)
	{
		struct auth_place *p = node_owner(n, struct auth_place, node);
		if (strcmp(p->database, w->database) == 0 && strcmp(p->user, w->user) == 0 && strcmp(p->query, w->query) == 0)
			return p;
	}
	if (all->places.count >= PLACES_MAX)
		free_unused_place(all);
	return all->places.count < PLACES_MAX ? auth_place_new(x, w->database, w->user, w->query) : NULL;
}

static enum auth_query_result
cannot_ask(const struct client *c, struct fault *fault, const char *why, const char *of)
{
	log_warning("auth_query", "user \"%s\" can't be looked up for database \"%s\": %s%s", c->login->user, c->login->database,
	            why, of);
	*fault = auth_query_fault();
	return AUTH_QUERY_FAILED;
}

enum auth_query_result
auth_query_ask(struct client *c, struct secret *secret, struct fault *why)
{
	struct client_login *l = c->login;
	struct proxy *x = c->proxy;
	struct where w;
	char reason[300] = "";
	struct text text = TEXT_IN(reason);
	if (!where_to_ask(x->config, l->database, &w))
		return AUTH_QUERY_OFF;
	if (config_database(x->config, w.database) == NULL)
		return cannot_ask(c, why, "auth_dbname is not in [databases]: ", w.database);
	const struct database *known;
	HASH_FIND_STR(x->databases, w.database, known);
	if (known && known->is_disabled)
		return cannot_ask(c, why, "disabled is the database to ask in: ", w.database);
	if (!pq_is_ready(&text))
		return cannot_ask(c, why, "", reason);
	struct auth_place *p = place_for(x, &w);
	if (p == NULL)
		return cannot_ask(c, why, "users are looked up in too many databases already", "");
	p->used_us = clock_now_us();
	if (strcmp(l->user, p->user) == 0) { /* the one who asks can't be asked for */
		mock_secret(l->user, &p->like, secret);
		return AUTH_QUERY_FOUND;
	}
	struct lookup_limits limits = auth_place_limits(x);
	const struct secret *found = NULL;
	switch (lookup_want(&p->lookup, &limits, l->user, &l->asking.asker, clock_now_us(), &found)) {
	case LOOKUP_KNOWN:
		secret_copy(found, secret);
		return AUTH_QUERY_FOUND;
	case LOOKUP_UNKNOWN:
		mock_secret(l->user, &p->like, secret);
		return AUTH_QUERY_FOUND;
	case LOOKUP_FULL:
		cannot_ask(c, why, "too many others wait for that", "");
		*why = (struct fault){ .by = FAULT_BY_PROXY, .sqlstate = SQLSTATE_TOO_MANY_CONNECTIONS,
			               .text = "too many logins wait for auth_query" };
		return AUTH_QUERY_FAILED;
	case LOOKUP_WAIT:
		break;
	}
	l->asking.client = c;
	l->asking.place = p;
	x->auth_query_wants_run = true; /* at the end of this turn: whoever else comes in it shares the question */
	return AUTH_QUERY_WAITS;
}

void
auth_query_leave(struct auth_asking *a)
{
	if (a->place)
		lookup_leave(&a->place->lookup, &a->asker);
	node_remove(&a->asker.node); /* it was to restart */
	a->place = NULL;
}

void
auth_query_forget(struct proxy *x, const char *user)
{
	if (x->auth_queries)
		list_each(&x->auth_queries->places, n, after)
			lookup_forget(&node_owner(n, struct auth_place, node)->lookup, user);
}

bool
auth_query_is_ready(const struct config *config, struct text *why)
{
	bool is_wanted = config->settings.auth_user[0] != '\0';
	for (int i = 0; i < config->database_count && !is_wanted; i++)
		is_wanted = config->databases[i].auth_user != NULL;
	return !is_wanted || pq_is_ready(why);
}

/* ---- what happens around it ---- */

void
auth_query_wake(struct proxy *x)
{
	x->auth_query_wants_run = false;
	if (x->auth_queries)
		list_each(&x->auth_queries->places, n, after)
			auth_place_run(node_owner(n, struct auth_place, node));
}

void
auth_query_halt(struct proxy *x)
{
	if (x->auth_queries == NULL)
		return;
	struct node *n;
	while ((n = list_first(&x->auth_queries->places)) != NULL) {
		struct auth_place *p = node_owner(n, struct auth_place, node);
		struct list askers;
		list_init(&askers);
		lookup_take_all(&p->lookup, &askers);
		list_each(&askers, each, after)
		{
			struct auth_asking *a = node_owner(each, struct auth_asking, asker.node);
			a->place = NULL;
			node_remove(each);
			list_append(&x->auth_queries->restarting, each);
		}
		auth_place_free(p);
	}
}

void
auth_query_restart(struct proxy *x)
{
	struct node *n;
	while (x->auth_queries && (n = list_first(&x->auth_queries->restarting)) != NULL) {
		node_remove(n);
		login_ask_again(node_owner(n, struct auth_asking, asker.node)->client);
	}
}

void
auth_query_on_topology(struct proxy *x, const struct cluster_load *load)
{
	if (x->auth_queries == NULL)
		return;
	list_each(&x->auth_queries->places, n, after)
	{
		struct auth_place *p = node_owner(n, struct auth_place, node);
		if (p->load == load)
			auth_place_cut(p);
	}
	x->auth_query_wants_run = true;
}

void
auth_query_on_second(struct proxy *x)
{
	if (x->auth_queries == NULL)
		return;
	list_each(&x->auth_queries->places, n, after)
	{
		struct auth_place *p = node_owner(n, struct auth_place, node);
		auth_place_expire(p);
		if (is_unused(p) && clock_now_us() - p->used_us > SECOND_US)
			auth_place_free(p);
	}
	auth_query_wake(x);
}

void
auth_query_close_idle(struct proxy *x, const struct database *d)
{
	if (x->auth_queries == NULL)
		return;
	list_each(&x->auth_queries->places, n, after)
	{
		struct auth_place *p = node_owner(n, struct auth_place, node);
		if (d == NULL || strcmp(p->database, d->name) == 0)
			auth_place_close_idle(p);
	}
}

uint32_t
auth_query_connections(const struct proxy *x, const struct database *d)
{
	uint32_t count = 0;
	if (x->auth_queries)
		list_each(&x->auth_queries->places, n, after)
		{
			const struct auth_place *p = node_owner(n, struct auth_place, node);
			if (d == NULL || strcmp(p->database, d->name) == 0)
				count += p->connections.count;
		}
	return count;
}

void
auth_query_free(struct proxy *x)
{
	if (x->auth_queries == NULL)
		return;
	auth_query_halt(x);
	must(list_is_empty(&x->auth_queries->restarting));
	heap_free(x->auth_queries);
	x->auth_queries = NULL;
}

struct auth_query_totals
auth_query_totals(const struct proxy *x)
{
	if (x->auth_queries == NULL)
		return (struct auth_query_totals){ 0 };
	struct auth_query_totals sum = x->auth_queries->gone;
	list_each(&x->auth_queries->places, n, after)
	{
		const struct auth_place *p = node_owner(n, struct auth_place, node);
		sum.asked += p->lookup.asked;
		sum.cached += p->lookup.cached;
		sum.joined += p->lookup.joined;
		sum.connections += p->connections.count;
	}
	list_each(&x->clients, n, after)
		sum.waiting += node_owner(n, struct client, node)->state == CLIENT_ASKING;
	return sum;
}
