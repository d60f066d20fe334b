/* admin/health.c - can clients be served? See the header. */
#include "admin/health.h"

#include <string.h>

#include "session/hold.h"
#include "session/proxy.h"

static bool
is_needed(const struct proxy *x, const struct cluster_load *load)
{
	for (int i = 0; i < x->config->database_count; i++)
		if (strcmp(x->config->databases[i].cluster->name, cluster_name(load->cluster)) == 0)
			return true;
	return false;
}

static unsigned
readable_members(const struct topology *t)
{
	unsigned count = 0;
	for (uint16_t i = 0; i < t->count; i++)
		count += t->member[i].why_not_read == NULL;
	return count;
}

/* Roles of a cluster of hosts come from sessions, which come with clients. */
static bool
waits_for_first_client(const struct cluster_load *load)
{
	const struct topology *t = load->topology;
	return !t->is_plain && !t->has_patroni && cluster_counters(load->cluster)->session_reports == 0;
}

bool
health_of_cluster(const struct proxy *x, const struct cluster_load *load, struct buf *why)
{
	const struct topology *t = load->topology;
	const struct member *leader = topology_leader(t);
	if (!is_needed(x, load)) {
		buf_addf(why, "no database is mapped to it");
		return true;
	}
	if (t->is_plain) {
		buf_addf(why, "plain, %u host%s, not asked for roles", t->count, t->count == 1 ? "" : "s");
		return true;
	}
	if (waits_for_first_client(load)) {
		buf_addf(why, "roles will be asked for when the first client comes");
		return true;
	}
	unsigned readable = readable_members(t);
	bool is_held = hold_is_patient(load);
	if (is_held)
		buf_addf(why, "writes are held until there is a leader: ");
	if (leader)
		buf_addf(why, "leader %s%s, %u member%s for reads", leader->name,
		         t->is_stale ? " (kept although its Patroni does not answer)" : "", readable, readable == 1 ? "" : "s");
	else
		buf_addf(why, "no leader: %s; %u member%s for reads", t->why_no_leader ? t->why_no_leader : "not known", readable,
		         readable == 1 ? "" : "s");
	return leader || readable > 0 || is_held;
}

static const char *
why_stopping(const struct proxy *x)
{
	return x->state >= PROXY_STOPPING_SERVERS ? "shutting down" : x->is_hurried ? "stopping at once" : NULL;
}

bool
health_is_ready(const struct proxy *x, struct buf *out)
{
	bool is_ready = true;
	const char *why = why_stopping(x);
	if (why) {
		buf_addf(out, "not ready: %s\n", why);
		is_ready = false;
	}
	if (x->state == PROXY_PAUSED)
		buf_addf(out, "paused by an administrator: clients wait until RESUME\n");
	if (x->state == PROXY_SUSPENDED)
		buf_addf(out, "suspended by an administrator: nobody is listened to until RESUME\n");
	list_each(&x->loads, n, after)
	{
		const struct cluster_load *load = node_owner(n, struct cluster_load, node);
		struct buf sentence = { 0 };
		bool is_usable = health_of_cluster(x, load, &sentence);
		buf_addf(out, "cluster %s: %s: %.*s\n", cluster_name(load->cluster), is_usable ? "ready" : "not ready",
		         (int)sentence.n, (const char *)sentence.p);
		buf_free(&sentence);
		is_ready = is_ready && is_usable;
	}
	return is_ready;
}

/* A listing, and an answer (or none) of each member that it named: more can't be known at first. */
static bool
is_judged(const struct cluster_load *load)
{
	const struct topology *t = load->topology;
	return !t->has_patroni || topology_leader(t) || cluster_counters(load->cluster)->polls > t->count;
}

bool
health_is_started(const struct proxy *x, struct buf *out)
{
	bool all = true;
	list_each(&x->loads, n, after)
	{
		const struct cluster_load *load = node_owner(n, struct cluster_load, node);
		bool is_done = is_judged(load);
		buf_addf(out, "cluster %s: %s\n", cluster_name(load->cluster),
		         is_done ? "judged" : "its Patroni has not answered yet");
		all = all && is_done;
	}
	return all;
}
