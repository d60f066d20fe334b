/*
 * pool/plan.h - what should happen next in a pool, decided from its lists, the topology and the time. Pure: changes
 * nothing but marks of its own, does nothing. session/settle carries plans out, one after the other, until PLAN_NOTHING.
 */
#ifndef POOL_PLAN_H
#define POOL_PLAN_H

#include "base/fault.h"
#include "pool/pool.h"

enum plan_act {
	PLAN_NOTHING, /* until something changes, or `again_us` */
	PLAN_LINK,    /* give slot to waiter */
	PLAN_OPEN,    /* open a connection to member; waiter, if set, is who it will belong to */
	PLAN_CHECK,   /* slot was idle for long: ask whether it lives */
	PLAN_ASK,     /* slot's role is in doubt: a bare Sync */
	PLAN_CLOSE,   /* slot, for the reason in `why` */
	PLAN_EVICT,   /* close slot, the longest idle one of another pool of this database or role, then ask again */
	PLAN_REFUSE,  /* waiter, with fault */
};

struct plan {
	enum plan_act act;
	struct waiter *waiter;
	struct slot *slot;
	uint16_t member;    /* id */
	const char *why;    /* static */
	struct fault fault; /* PLAN_REFUSE; texts static or the pool's */
	uint64_t again_us;  /* PLAN_NOTHING: when to ask again though nothing happened; 0: no need */
};

/* Everything a plan depends on besides the pool. */
struct plan_view {
	const struct settings *settings;
	uint64_t now_us;
	bool is_paused;        /* PAUSE, or shutting down: nothing new */
};

enum {
	LOGINS_AT_ONCE = 16,            /* connections of one pool being opened to one member */
	LOGIN_LATE_US = 1000 * 1000,    /* a login that took so long already may never come about */
	ROLE_ASK_INTERVAL_US = 15000,   /* between two bare Syncs to one session */
};

struct plan pool_plan(struct pool *p, const struct plan_view *v);

/* Once a second for each pool: the next thing to do for idle slots' age, and min_pool_size. */
struct plan pool_upkeep(struct pool *p, const struct plan_view *v);

/*
 * The listening connection of this pool, which has none: PLAN_OPEN, PLAN_EVICT, PLAN_REFUSE where limits leave no room (the fault
 * says which), or PLAN_NOTHING.
 */
struct plan pool_plan_listener(struct pool *p, const struct plan_view *v);

/* Why this idle slot must not be used any more, or NULL. */
const char *slot_why_close(const struct slot *s, const struct topology *t);

#endif
