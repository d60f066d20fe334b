/*
 * pool/pool.h - databases, roles, and the pools between them: who waits, which slots there are, where room is left.
 *
 *   struct database ──┐
 *                     ├── struct pool (database, role) ── struct pool_member (one per member) ── struct slot
 *   struct role ──────┘        └ waiting[LANE_WRITE], waiting[LANE_READ]: strict order of arrival; waiting_own[] likewise,
 *                                of those who need a connection of their own
 *
 * Owns: the lists and the counts. Never: touches a socket; the session layer's servers and clients hang themselves in by
 * the slot and the waiter that they embed. What should happen next is decided in pool/plan.h.
 * Invariants: a slot is in exactly the list of its state; the counts of databases, roles and loads are the sums of the lists.
 */
#ifndef POOL_POOL_H
#define POOL_POOL_H

#include <stdbool.h>
#include <stdint.h>

#include <uthash.h>

#include "base/list.h"
#include "cluster/route.h"
#include "cluster/topology.h"
#include "config/config.h"

struct cluster;
struct hold;
struct pool_member;
struct params;
struct touches;

enum slot_state {
	SLOT_NONE,       /* in no pool */
	SLOT_LOGIN,      /* connecting or logging in */
	SLOT_IDLE,       /* free; sv_idle, and sv_used when it has been so for long */
	SLOT_TESTED,     /* busy with a question of our own: check, reset, rollback, role */
	SLOT_ACTIVE,     /* linked to a client */
	SLOT_CANCELLING, /* free, but a cancel request that was meant for its last client is still under way */
	SLOT_DEDICATED,  /* one client's from its login to its end: a replication connection. Never idle, never handed on */
	SLOT_LISTENER,   /* hears notifications for all clients of its pool: one more than pool_size. From its opening to its end */
	SLOT_STATES
};

/* Room for one server connection; embedded in struct server. */
struct slot {
	struct node node;       /* in at->slots[state] */
	struct pool_member *at; /* NULL: in no pool */
	enum slot_state state;
	bool is_standby;        /* the session itself said in_hot_standby = on, or pg_is_in_recovery() */
	bool is_close_needed;   /* RECONNECT, RELOAD, a lost member: close when free */
	uint64_t born_us;       /* login begun; then, login done */
	uint64_t free_us;       /* since when it is idle */
	uint64_t asked_us;      /* when its role was last asked for while it was idle */
	const void *wears;      /* idle: its session's parameters, to be compared only. It may be out of date, so it is a hint */
};

/* A client in the queue; embedded in struct client. */
struct waiter {
	struct node node;  /* in pool->waiting[lane], or waiting_own[lane] */
	uint64_t since_us;
	enum lane lane;
	bool needs_own;    /* no slot that exists will do: one is opened for it alone */
	const void *wears; /* as in struct slot */
};

/* The slots of one pool on one member. */
struct pool_member {
	struct pool *pool;
	uint16_t id;                      /* of the member, in its cluster */
	struct list slots[SLOT_STATES];
	uint32_t count;                   /* all of them */
	uint64_t retry_us;                /* no new connection before this; 0: now */
	uint32_t failures;                /* logins that failed in a row */
	bool wants_open;                  /* chosen for a read while it had no slot free */
};

/* What all pools of one cluster share. */
struct cluster_load {
	struct node node; /* in the proxy's list */
	struct cluster *cluster;
	const struct topology *topology; /* a reference of our own; replaced when the cluster publishes another */
	enum read_fallback read_fallback;
	uint32_t busy[CLUSTER_MEMBERS_MAX]; /* linked slots by member id, over all pools */
	struct route_recent recent;
	bool is_closed;             /* the leader is given nothing new: a planned change, or it is suspected */
	struct {
		uint16_t id;        /* of a member that may have gone. A slot there that has been idle */
		uint64_t us;        /* since before this moment is asked whether it lives, and as what; 0: none */
	} doubt;
	struct hold *hold;          /* owned by the session layer */
};

/* Figures of one database, as SHOW STATS has them. Times are microseconds. */
struct stats {
	uint64_t assignments, transactions, queries;
	uint64_t bytes_received, bytes_sent;
	uint64_t transaction_us, query_us, wait_us;
	uint64_t client_parses, server_parses, binds;
	uint64_t client_logins;
	uint64_t pins, pin_us; /* clients that began to keep their server; for how long, those that are done */
	uint64_t state_questions, param_syncs; /* asked what a session has; given another session's settings */
};

struct database {
	UT_hash_handle hh;
	char name[DATABASE_NAME_MAX];
	const struct database_config *config; /* in the configuration in force; "*" for those made from it */
	struct cluster_load *load;
	struct list pools;     /* by pool->of_database */
	uint32_t clients, servers;
	bool is_auto;          /* made from "*" */
	bool is_paused, is_disabled;
	uint64_t used_us;      /* when a client last came or went */
	uint32_t definitions;  /* how often a client has run CREATE, ALTER or DROP, and how often a transaction with one has ended */
	struct touches *touches; /* what its texts were seen to do to their sessions; NULL: nothing yet. Owned by the session layer */
	struct {
		uint64_t again_us; /* when the functions are looked into again; 0: at once */
		uint32_t after;    /* the OID behind which to go on, as soon as may be; 0: it was done */
		uint32_t asked_after; /* the same, of the question that is under way */
		uint32_t found;    /* by the question that is under way */
		bool is_failure_told;
	} custom_names;          /* of settings: session/custom_names.h */
	struct stats stats, before, before_that; /* now, and at the last two ends of a stats_period */
	uint64_t before_us, before_that_us;
};

struct role {
	UT_hash_handle hh;
	char name[USER_NAME_MAX];
	const struct user_config *config; /* or NULL */
	struct list pools;                /* by pool->of_role */
	uint32_t clients, servers;
	uint32_t holders;                 /* clients that point here, on the console too */
	uint32_t teachings;               /* how often that has changed: */
	struct role_keys *keys;           /* what logins of clients taught about the password, by cluster; owned by the session layer */
};

struct pool {
	struct node node;        /* in the proxy's list of pools, and the next three in theirs */
	struct node dirty;       /* something changed: ask pool_plan() at the end of the turn */
	struct node of_database, of_role;
	struct database *database;
	struct role *role;       /* whose server connections these are */
	struct pool_rules rules;
	struct list waiting[LANES], waiting_own[LANES];
	struct pool_member *at[CLUSTER_MEMBERS_MAX]; /* by member id; NULL until first needed */
	uint32_t clients;        /* logged in or logging in to this pool */
	uint32_t servers;
	uint32_t pinned;         /* of its clients keep their server beyond the transaction: session/pins.h */
	uint64_t pins_told_us, pins_warned_us; /* when the log last said that something can't be kept; that all servers are */
	bool was_asked[LANES];   /* a client of this lane was here: min_pool_size counts where it went. Not one for itself */
	uint64_t lifetime_us;    /* when a slot was last closed for its age: they go one by one */
	uint64_t unused_us;      /* since when it has had neither clients nor servers; 0: it has, or nobody asks */
	char *refusal;           /* what the server said to the last login; NULL: it succeeded */
	char refusal_state[6];
	uint64_t unreachable_us; /* since when logins fail because nobody is there; 0: they do not */
	struct params *base;     /* parameters of a fresh session */
	struct welcome *welcome[LANES]; /* what a client is told at login; owned by the session layer */
	void *learned;           /* startup parameters a server has judged; owned by the session layer */
};

void pool_init(struct pool *p, struct database *d, struct role *r, const struct pool_rules *rules);
void pool_fini(struct pool *p); /* must be without slots and waiters */

struct pool_member *pool_at(struct pool *p, uint16_t member_id); /* made if need be */

/* The one door through which slots change state; SLOT_NONE takes it out of the pool. All counts follow. */
void slot_enter(struct slot *s, struct pool_member *at, enum slot_state to, uint64_t now_us);

/* What servers refused before is tried again at once: passwords or targets may be others now. */
void pool_forgive(struct pool *p);

/* The queue. */
void pool_wait(struct pool *p, struct waiter *w, enum lane lane, uint64_t now_us);
void pool_wait_again(struct pool *p, struct waiter *w); /* to the front, as long as it has waited: what it got was no good */
void pool_wait_in_front(struct pool *p, struct waiter *w, enum lane lane, uint64_t now_us); /* it was served before */
void pool_leave(struct waiter *w); /* harmless when not waiting */
static inline bool
waiter_is_waiting(const struct waiter *w)
{
	return node_is_in(&w->node);
}

/*
 * A slot that may be linked right now for this lane, or NULL. The hot path: when nobody waits ahead. The slot stays
 * idle until the caller links it. Notes where a connection would be wanted in pool_member.wants_open.
 */
struct pool_wish {
	uint64_t now_us, check_delay_us; /* one idle for longer than that has to be checked first: it is not taken */
	bool round_robin;
	const void *wears;               /* as slot.wears: rather one that has the same; NULL: any */
};
struct slot *pool_take(struct pool *p, enum lane lane, const struct pool_wish *w);

/* Slots of this member that have been idle since before this moment have to be asked first; 0: none. */
uint64_t pool_doubt_us(const struct pool_member *at);

uint32_t pool_slots(const struct pool *p, enum slot_state state); /* over all members */
uint32_t pool_waiting(const struct pool *p);
uint64_t pool_longest_wait_us(const struct pool *p, uint64_t now_us);
const char *slot_state_name(enum slot_state state); /* SHOW SERVERS' words */

/* The slots of a pool that pool_size is for. */
static inline uint32_t
pool_member_size(const struct pool_member *at)
{
	return at->count - at->slots[SLOT_LISTENER].count;
}

#endif
