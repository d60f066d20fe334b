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

/* Of those that are fit, others go first. */
static bool
is_second_choice(const struct member *m, enum lane lane)
{
	return lane == LANE_READ && m->why_doubted != NULL;
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
least_busy(const struct topology *t, const struct route_request *r, bool of_second_choice)
{
	const struct member *best = NULL;
	for (uint16_t i = 0; i < t->count; i++) {
		const struct member *m = &t->member[i];
		if (!is_fit(r, m) || is_second_choice(m, r->lane) != of_second_choice)
			continue;
		if (best == NULL || (!r->in_order && is_preferred(r, m, best)))
			best = m;
	}
	if (best == NULL)
		return (struct route){ .result = ROUTE_WAIT, .why = "no member is fit" };
	return (struct route){ .result = ROUTE_MEMBER, .index = (uint16_t)(best - t->member) };
}

/*
 * First those of whom nothing speaks against. One that merely has no room at the moment is there all the same: whoever comes next
 * in line, a doubtful one or the leader, is not taken for that.
 */
static struct route
route_least_busy(const struct topology *t, const struct route_request *r)
{
	struct route_request all = *r;
	all.excluded = 0;
	for (int second = 0; second < 2; second++) {
		struct route found = least_busy(t, r, second);
		if (found.result == ROUTE_MEMBER)
			return found;
		if (r->excluded && least_busy(t, &all, second).result == ROUTE_MEMBER)
			return (struct route){ .result = ROUTE_WAIT, .why = "every member that is fit was tried already" };
	}
	return (struct route){ .result = ROUTE_REFUSE, .why = "no member is fit" };
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
	if (t->is_plain) {
		struct route found = route_least_busy(t, r);
		if (found.result == ROUTE_REFUSE)
			found.result = ROUTE_WAIT;
		return found;
	}
	if (r->lane == LANE_WRITE)
		return route_to_leader(t, r);

	struct route_request in_parallel = *r;
	in_parallel.in_order = false;
	struct route replica = route_least_busy(t, &in_parallel);
	if (replica.result != ROUTE_REFUSE)
		return replica;
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
