/*
 * cluster/route.c - the choice of a member for one transaction.
 *
 * Owns: nothing. Never: looks at connections; how busy a member is, it is told.
 */
#include "cluster/route.h"

#include <stddef.h>

#include "base/must.h"

/* After this many the older choices count half: a member that comes back is not flooded to make up for its absence. */
#define RECENT_MAX 64

void
route_note(struct route_recent *recent, uint16_t id)
{
	must(id < CLUSTER_MEMBERS_MAX);
	if (++recent->given[id] < RECENT_MAX)
		return;
	for (int i = 0; i < CLUSTER_MEMBERS_MAX; i++)
		recent->given[i] /= 2;
}

/* Is a preferred to b: fewer links for its weight, then fewer recent choices for its weight? Weights are not 0. */
static bool
is_preferred(const struct route_request *r, const struct member *a, const struct member *b)
{
	uint64_t busy_a = r->busy ? (uint64_t)r->busy[a->id] * b->weight : 0;
	uint64_t busy_b = r->busy ? (uint64_t)r->busy[b->id] * a->weight : 0;
	if (busy_a != busy_b)
		return busy_a < busy_b;
	uint64_t recent_a = r->recent ? (uint64_t)r->recent->given[a->id] * b->weight : 0;
	uint64_t recent_b = r->recent ? (uint64_t)r->recent->given[b->id] * a->weight : 0;
	return recent_a < recent_b;
}

static bool
is_fit(const struct route_request *r, const struct member *m)
{
	const char *why_not = r->lane == LANE_WRITE ? m->why_not_write : m->why_not_read;
	return why_not == NULL && m->weight > 0 && !(r->excluded >> m->id & 1);
}

static struct route
route_least_busy(const struct topology *t, const struct route_request *r)
{
	const struct member *best = NULL;
	for (uint16_t i = 0; i < t->count; i++) {
		const struct member *m = &t->member[i];
		if (!is_fit(r, m))
			continue;
		if (best == NULL || (!r->in_order && is_preferred(r, m, best)))
			best = m;
	}
	if (best == NULL)
		return (struct route){ .result = ROUTE_WAIT, .why = "no member is fit" };
	return (struct route){ .result = ROUTE_MEMBER, .index = (uint16_t)(best - t->member) };
}

static struct route
route_to_leader(const struct topology *t, const struct route_request *r)
{
	const struct member *leader = topology_leader(t);
	if (leader == NULL)
		return (struct route){ .result = ROUTE_WAIT, .why = t->why_no_leader };
	if (r->is_closed)
		return (struct route){ .result = ROUTE_WAIT, .why = "the leader is about to change" };
	if (r->excluded >> leader->id & 1)
		return (struct route){ .result = ROUTE_WAIT, .why = "the leader was tried already" };
	return (struct route){ .result = ROUTE_MEMBER, .index = (uint16_t)t->leader };
}

struct route
route_choose(const struct topology *t, const struct route_request *r)
{
	if (t->is_plain)
		return route_least_busy(t, r);
	if (r->lane == LANE_WRITE)
		return route_to_leader(t, r);

	struct route_request in_parallel = *r;
	in_parallel.in_order = false;
	struct route replica = route_least_busy(t, &in_parallel);
	if (replica.result == ROUTE_MEMBER)
		return replica;
	/* One that merely has no room at the moment is there all the same: the leader is not the second choice. */
	in_parallel.excluded = 0;
	if (r->excluded && route_least_busy(t, &in_parallel).result == ROUTE_MEMBER)
		return (struct route){ .result = ROUTE_WAIT, .why = "every replica was tried already" };
	switch (r->fallback) {
	case READ_FALLBACK_LEADER:
		return route_to_leader(t, r);
	case READ_FALLBACK_HOLD:
		return (struct route){ .result = ROUTE_WAIT, .why = "no replica is fit to read from" };
	case READ_FALLBACK_REFUSE:
		break;
	}
	return (struct route){ .result = ROUTE_REFUSE, .why = "no replica is fit to read from" };
}

const char *
lane_name(enum lane lane)
{
	return lane == LANE_WRITE ? "write" : "read";
}
