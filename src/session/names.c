/*
 * session/names.c - server connections and the names of their hosts: names in use are kept up to date, and who is
 * connected to an address that its name no longer has is closed when free.
 *
 * For members of clusters as for plain hosts: a server that answers where the name pointed yesterday may be anybody's.
 */
#include <string.h>

#include "base/log.h"
#include "cluster/topology.h"
#include "net/address.h"
#include "session/server.h"

static const char *
host_of(const struct database *d, const struct pool_member *at)
{
	const struct member *m = at ? topology_member(d->load->topology, at->id) : NULL;
	return m ? m->host : NULL;
}

static bool
is_host_of(const struct database *d, const struct pool_member *at, const char *host)
{
	const char *its = host_of(d, at);
	return its && strcmp(its, host) == 0;
}

/* What was refused there may be welcome now. */
static void
forgive(struct proxy *x, const char *host)
{
	list_each(&x->pools, n, after)
	{
		struct pool *p = node_owner(n, struct pool, node);
		for (int id = 0; id < CLUSTER_MEMBERS_MAX; id++)
			if (is_host_of(p->database, p->at[id], host)) {
				p->at[id]->retry_us = 0;
				p->at[id]->failures = 0;
				proxy_dirty(x, p);
			}
	}
}

static void
on_change(void *context, const char *host, const struct resolved *now)
{
	struct proxy *x = context;
	unsigned count = 0;
	list_each(&x->servers, n, after)
	{
		struct server *s = node_owner(n, struct server, node);
		if (!address_is_ip(&s->address) || !is_host_of(s->pool->database, s->slot.at, host) || resolved_has(now, &s->address))
			continue;
		s->slot.is_close_needed = true;
		count++;
		if (s->state == SERVER_IDLE)
			server_close(s, FAULT_BY_PROXY, "its host has another address now");
	}
	if (count > 0)
		log_info("dns", "%u server connections to addresses that %s has no longer are closed when they are free",
		         count, host);
	forgive(x, host);
}

void
names_open(struct proxy *x)
{
	resolver_on_change(x->resolver, on_change, x);
}

void
names_on_second(struct proxy *x)
{
	list_each(&x->servers, n, after)
	{
		const struct server *s = node_owner(n, struct server, node);
		const char *host = host_of(s->pool->database, s->slot.at);
		if (host)
			resolve_keep(x->resolver, host);
	}
	resolver_tick(x->resolver);
}

struct resolver_settings
names_settings(const struct settings *set)
{
	return (struct resolver_settings){
		.resolv_conf = set->resolv_conf,
		.ttl_max_us = set->dns_max_ttl_us,
		.failure_ttl_us = set->dns_nxdomain_ttl_us,
	};
}
