/*
 * tests/pool/world.h - a cluster of three members, a database, two roles, a pool of each, and slots that need no servers.
 *
 * Member 0 leads, 1 and 2 are replicas. world_plain() makes it a plain cluster, world_without_leader() takes the lead away.
 */
#ifndef TESTS_POOL_WORLD_H
#define TESTS_POOL_WORLD_H

#include <check.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/heap.h"
#include "pool/plan.h"
#include "pool/pool.h"

enum { MEMBERS = 3, SLOTS_MAX = 64 };

static struct world {
	struct topology *topology;
	struct cluster_load load;
	struct database_config database_config;
	struct database database;
	struct role role, other_role;
	struct pool pool, other;
	struct settings settings;
	struct plan_view view;
	struct slot slots[SLOTS_MAX];
	int slot_count;
} w;

static inline void
world_begin(void)
{
	memset(&w, 0, sizeof(w));
	w.topology = topology_new(MEMBERS);
	w.topology->count = MEMBERS;
	w.topology->has_patroni = true;
	w.topology->leader = 0;
	for (uint16_t i = 0; i < MEMBERS; i++) {
		struct member *m = &w.topology->member[i];
		m->id = i;
		m->weight = WEIGHT_DEFAULT;
		m->role = i == 0 ? MEMBER_LEADER : MEMBER_REPLICA;
		m->why_not_write = i == 0 ? NULL : "it is a replica";
		m->why_not_read = i == 0 ? "it is the leader" : NULL;
		snprintf(m->name, sizeof(m->name), "m%u", i);
	}
	w.load.topology = w.topology;
	w.load.read_fallback = READ_FALLBACK_LEADER;
	w.database.config = &w.database_config;
	w.database.load = &w.load;
	list_init(&w.database.pools);
	list_init(&w.role.pools);
	list_init(&w.other_role.pools);
	struct pool_rules rules = { .pool_size = 2, .server_lifetime_us = 3600 * SECOND_US };
	pool_init(&w.pool, &w.database, &w.role, &rules);
	pool_init(&w.other, &w.database, &w.other_role, &rules);
	w.settings.server_check_query = "select 1";
	w.settings.server_check_delay_us = 30 * SECOND_US;
	w.settings.server_idle_timeout_us = 600 * SECOND_US;
	w.view = (struct plan_view){ .settings = &w.settings, .now_us = 1000 * SECOND_US };
}

static inline void
world_plain(void)
{
	w.topology->is_plain = true;
	w.topology->has_patroni = false;
	w.topology->leader = -1;
	for (int i = 0; i < MEMBERS; i++)
		w.topology->member[i].why_not_write = w.topology->member[i].why_not_read = NULL;
}

static inline void
world_without_leader(void)
{
	w.topology->leader = -1;
	w.topology->why_no_leader = "nobody holds the lock";
	w.topology->member[0].why_not_write = "nobody holds the lock";
}

static inline void
world_end(void)
{
	for (int i = 0; i < w.slot_count; i++)
		if (w.slots[i].at)
			slot_enter(&w.slots[i], w.slots[i].at, SLOT_NONE, 0);
	ck_assert_uint_eq(w.database.servers, 0);
	ck_assert_uint_eq(w.role.servers, 0);
	for (int i = 0; i < CLUSTER_MEMBERS_MAX; i++)
		ck_assert_uint_eq(w.load.busy[i], 0);
	pool_fini(&w.pool);
	pool_fini(&w.other);
	topology_unref(w.topology);
}

/* A slot of the pool at this member, in this state. At replicas it is a standby's. */
static inline struct slot *
world_slot(struct pool *p, uint16_t member, enum slot_state state)
{
	struct slot *s = &w.slots[w.slot_count++];
	s->born_us = s->free_us = w.view.now_us;
	s->is_standby = member != 0 && !w.topology->is_plain;
	slot_enter(s, pool_at(p, member), SLOT_LOGIN, w.view.now_us);
	slot_enter(s, s->at, state, w.view.now_us);
	return s;
}

static inline struct plan
plan_now(void)
{
	return pool_plan(&w.pool, &w.view);
}

#endif
