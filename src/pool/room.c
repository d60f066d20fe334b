/* pool/room.c - may there be one more connection, and who has to give way? See the header. */
#include "room.h"

#include "config/settings.h"
#include "pool/plan.h"

/* 0: as many as there is room for. */
static bool
is_full(uint32_t count, int limit)
{
	return limit > 0 && count >= (uint32_t)limit;
}

static struct slot *
older(struct slot *a, struct slot *b)
{
	if (a == NULL || b == NULL)
		return a ? a : b;
	return a->free_us <= b->free_us ? a : b;
}

static struct slot *
pool_oldest_idle(const struct pool *p)
{
	struct slot *oldest = NULL;
	for (int id = 0; id < CLUSTER_MEMBERS_MAX; id++) {
		struct node *n = p->at[id] ? list_last(&p->at[id]->slots[SLOT_IDLE]) : NULL;
		oldest = older(oldest, n ? node_owner(n, struct slot, node) : NULL);
	}
	return oldest;
}

/* The idle slot that was free for longest, in the pools of this database (or role) but not in `except`. Or NULL. */
static struct slot *
database_oldest_idle(const struct database *d, const struct pool *except)
{
	struct slot *oldest = NULL;
	list_each(&d->pools, n, after)
	{
		struct pool *p = node_owner(n, struct pool, of_database);
		if (p != except)
			oldest = older(oldest, pool_oldest_idle(p));
	}
	return oldest;
}

static struct slot *
role_oldest_idle(const struct role *r, const struct pool *except)
{
	struct slot *oldest = NULL;
	list_each(&r->pools, n, after)
	{
		struct pool *p = node_owner(n, struct pool, of_role);
		if (p != except)
			oldest = older(oldest, pool_oldest_idle(p));
	}
	return oldest;
}

static enum room
room_after(struct slot *evicted, struct slot **evict)
{
	*evict = evicted;
	return evicted ? ROOM_EVICT : ROOM_NO;
}

/* Has it all the connections to this member that pool_size, and the reserve for who waits for long, allow? */
static bool
is_at_size(const struct pool_member *at, const struct plan_view *v, uint64_t waited_since_us, uint64_t *again_us)
{
	const struct pool_rules *rules = &at->pool->rules;
	uint64_t patience = v->settings->reserve_pool_timeout_us;
	if (!is_full(pool_member_size(at), rules->pool_size))
		return false;
	if (rules->reserve_pool_size == 0 || patience == 0)
		return true;
	if (is_full(pool_member_size(at), rules->pool_size + rules->reserve_pool_size))
		return true;
	if (v->now_us < waited_since_us + patience) {
		*again_us = sooner(*again_us, waited_since_us + patience);
		return true;
	}
	return false;
}

enum room
room_at(const struct pool_member *at, const struct plan_view *v, uint64_t waited_since_us, uint64_t *again_us,
        struct slot **evict)
{
	const struct pool *p = at->pool;
	if (at->slots[SLOT_LOGIN].count >= LOGINS_AT_ONCE)
		return ROOM_NO;
	if (at->retry_us > v->now_us) {
		*again_us = sooner(*again_us, at->retry_us);
		return ROOM_NO;
	}
	if (is_at_size(at, v, waited_since_us, again_us))
		return ROOM_NO;
	if (is_full(p->database->servers, p->rules.max_db_connections))
		return room_after(database_oldest_idle(p->database, p), evict);
	if (is_full(p->role->servers, p->rules.max_user_connections))
		return room_after(role_oldest_idle(p->role, p), evict);
	return ROOM_YES;
}

static struct slot *
oldest_idle_at(const struct pool_member *at)
{
	struct node *n = list_last(&at->slots[SLOT_IDLE]);
	return n ? node_owner(n, struct slot, node) : NULL;
}

enum room
room_for_own(const struct pool_member *at, const struct plan_view *v, uint64_t waited_since_us, uint64_t *again_us,
             struct slot **evict)
{
	const struct pool *p = at->pool;
	if (at->retry_us > v->now_us) {
		*again_us = sooner(*again_us, at->retry_us);
		return ROOM_NO;
	}
	if (is_at_size(at, v, waited_since_us, again_us))
		return room_after(oldest_idle_at(at), evict);
	if (is_full(p->database->servers, p->rules.max_db_connections))
		return room_after(database_oldest_idle(p->database, NULL), evict);
	if (is_full(p->role->servers, p->rules.max_user_connections))
		return room_after(role_oldest_idle(p->role, NULL), evict);
	return ROOM_YES;
}

/* It hears for those who use others: where a limit allows for one only, that is theirs. */
static enum room
room_beside(uint32_t servers, int limit, struct slot *oldest, struct slot **evict)
{
	if (limit == 1)
		return ROOM_NO;
	return is_full(servers, limit) ? room_after(oldest, evict) : ROOM_YES;
}

enum room
room_for_listener(const struct pool_member *at, struct slot **evict)
{
	const struct pool *p = at->pool;
	enum room room = room_beside(p->database->servers, p->rules.max_db_connections, database_oldest_idle(p->database, NULL), evict);
	if (room == ROOM_YES)
		room = room_beside(p->role->servers, p->rules.max_user_connections, role_oldest_idle(p->role, NULL), evict);
	return room;
}
