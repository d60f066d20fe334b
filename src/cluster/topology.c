/*
 * cluster/topology.c - snapshots: made, counted, searched, compared.
 *
 * Owns: the memory of a snapshot. Never: changes one that is published.
 */
#include "cluster/topology.h"

#include <string.h>

#include "base/heap.h"
#include "base/must.h"

struct topology *
topology_new(uint16_t count)
{
	must(count <= CLUSTER_MEMBERS_MAX);
	struct topology *t = heap_alloc(sizeof(*t) + count * sizeof(t->member[0]));
	t->refs = 1;
	t->leader = -1;
	t->count = count;
	return t;
}

const struct topology *
topology_ref(const struct topology *t)
{
	must(t->refs > 0);
	((struct topology *)(uintptr_t)t)->refs++; /* the count is not part of what is immutable */
	return t;
}

void
topology_unref(const struct topology *t)
{
	if (t == NULL)
		return;
	must(t->refs > 0);
	struct topology *own = (struct topology *)(uintptr_t)t;
	if (--own->refs == 0)
		heap_free(own);
}

const struct member *
topology_leader(const struct topology *t)
{
	return t->leader < 0 ? NULL : &t->member[t->leader];
}

const struct member *
topology_member(const struct topology *t, uint16_t id)
{
	for (uint16_t i = 0; i < t->count; i++)
		if (t->member[i].id == id)
			return &t->member[i];
	return NULL;
}

const struct member *
topology_member_named(const struct topology *t, const char *name)
{
	for (uint16_t i = 0; i < t->count; i++)
		if (strcmp(t->member[i].name, name) == 0)
			return &t->member[i];
	return NULL;
}

static bool
clause_differs(const char *a, const char *b)
{
	if (a == NULL || b == NULL)
		return a != b;
	return strcmp(a, b) != 0;
}

static bool
member_differs(const struct member *a, const struct member *b)
{
	return a->id != b->id || a->port != b->port || a->role != b->role || a->state != b->state ||
	       a->timeline != b->timeline || a->weight != b->weight || a->is_reachable != b->is_reachable ||
	       a->no_loadbalance != b->no_loadbalance || a->no_failover != b->no_failover ||
	       a->patroni_says_leader != b->patroni_says_leader || a->server_says_writable != b->server_says_writable ||
	       a->server_says_recovery != b->server_says_recovery || a->wants_session != b->wants_session ||
	       a->is_lagging != b->is_lagging || a->is_delayed != b->is_delayed || a->is_replay_paused != b->is_replay_paused ||
	       clause_differs(a->why_doubted, b->why_doubted) || strcmp(a->name, b->name) != 0 || strcmp(a->host, b->host) != 0 ||
	       clause_differs(a->why_not_read, b->why_not_read) || clause_differs(a->why_not_write, b->why_not_write);
}

bool
topology_differs(const struct topology *a, const struct topology *b)
{
	if (a->count != b->count || a->leader != b->leader || a->timeline != b->timeline ||
	    a->is_stale != b->is_stale || a->is_paused != b->is_paused || a->is_plain != b->is_plain ||
	    a->has_patroni != b->has_patroni || clause_differs(a->why_no_leader, b->why_no_leader))
		return true;
	for (uint16_t i = 0; i < a->count; i++)
		if (member_differs(&a->member[i], &b->member[i]))
			return true;
	return false;
}

const char *
member_role_name(enum member_role role)
{
	static const char *const names[MEMBER_ROLES] = {
		[MEMBER_OTHER] = "other",
		[MEMBER_LEADER] = "leader",
		[MEMBER_REPLICA] = "replica",
	};
	return names[role];
}

const char *
member_state_name(enum member_state state)
{
	static const char *const names[MEMBER_STATES] = {
		[MEMBER_STATE_UNKNOWN] = "unknown",
		[MEMBER_RUNNING] = "running",
		[MEMBER_STREAMING] = "streaming",
		[MEMBER_IN_ARCHIVE_RECOVERY] = "in archive recovery",
		[MEMBER_STARTING] = "starting",
		[MEMBER_STOPPING] = "stopping",
		[MEMBER_STOPPED] = "stopped",
		[MEMBER_CRASHED] = "crashed",
		[MEMBER_FAILED] = "failed",
		[MEMBER_CREATING] = "creating",
	};
	return names[state];
}
