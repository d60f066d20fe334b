/*
 * cluster/topology.h - what a cluster looked like at one moment. Immutable once published, counted by references.
 *
 * cluster/judge makes it from what is known, cluster/watch publishes it, everybody else only reads. All strings in it
 * are either inside the snapshot or static, so it stays whole after its cluster was closed.
 */
#ifndef CLUSTER_TOPOLOGY_H
#define CLUSTER_TOPOLOGY_H

#include <stdbool.h>
#include <stdint.h>

#define CLUSTER_MEMBERS_MAX 64
#define CLUSTER_NAME_MAX    64 /* bytes with the NUL, as all of these */
#define MEMBER_NAME_MAX     264 /* room for "host:port" */
#define MEMBER_HOST_MAX     256
#define LAG_UNKNOWN         UINT64_MAX
#define WEIGHT_DEFAULT      100

enum member_role {
	MEMBER_OTHER,   /* not known, or neither of the two: uninitialized, demoted */
	MEMBER_LEADER,  /* its PostgreSQL takes writes, as far as it says itself */
	MEMBER_REPLICA, /* its PostgreSQL is in recovery; also the leader of a standby cluster */
	MEMBER_ROLES
};

/* What its PostgreSQL is doing, in Patroni's words (status body, "state"). */
enum member_state {
	MEMBER_STATE_UNKNOWN, /* never told, a word we do not know, or Patroni's own "unknown": SQL did not answer */
	MEMBER_RUNNING,
	MEMBER_STREAMING,     /* a running replica fed by streaming */
	MEMBER_IN_ARCHIVE_RECOVERY, /* a running replica fed from the archive */
	MEMBER_STARTING,      /* also restarting, and starting after custom bootstrap */
	MEMBER_STOPPING,
	MEMBER_STOPPED,
	MEMBER_CRASHED,
	MEMBER_FAILED,        /* start, stop, restart, initdb or bootstrap failed */
	MEMBER_CREATING,      /* being made: creating replica, initializing, bootstrap */
	MEMBER_STATES
};

struct member {
	uint16_t          id; /* 0..CLUSTER_MEMBERS_MAX-1: its own while the cluster is open, also when it vanishes and
	                         comes back; given to another only after all 64 were given away */
	char              name[MEMBER_NAME_MAX]; /* as Patroni names it; "host:port" where there is no Patroni */
	char              host[MEMBER_HOST_MAX]; /* a name, an address, or the directory of a Unix socket ('/' first) */
	uint16_t          port;
	enum member_role  role;
	enum member_state state;
	uint32_t          timeline;     /* 0: not known */
	uint64_t          lsn;          /* bytes: location of a leader, replayed location of a replica. 0: not known */
	uint64_t          received_lsn; /* bytes: of a replica. 0: not known */
	uint64_t          lag_bytes;    /* what a replica has not yet replayed of the leader's WAL; LAG_UNKNOWN */
	uint64_t          delay_us;     /* for how long, at least, the leader has had what a replica has not replayed yet; 0: it has
	                                   it all, as far as is known */
	uint32_t          weight;       /* share of reads against others: tag "weight", WEIGHT_DEFAULT if there is none */
	bool              is_silent;    /* it did not answer when it was asked last: it may be gone soon */
	bool              is_reachable; /* its Patroni answers; without Patroni: did not refuse its last connection */
	bool              no_loadbalance;        /* tag of this name */
	bool              no_failover;           /* tag of this name */
	bool              is_sync;               /* its Patroni: a synchronous or quorum standby */
	bool              patroni_says_leader;   /* status 200 to /primary: holds the leader lock */
	bool              is_unlocked;           /* its Patroni: nobody holds the lock, or there is no knowing */
	bool              server_says_writable;  /* the last of our sessions that knew, said so */
	bool              server_says_recovery;  /* the same; neither: no session said anything yet */
	bool              wants_session; /* a session is wanted to learn what it is: the pool opens one (at its own pace) */
	bool              is_lagging;    /* not used for reads because of its lag, until that is small again */
	bool              is_delayed;    /* the same because of its delay */
	bool              is_astray;     /* the same: on an older timeline, ahead of the leader, and standing still */
	bool              is_replay_paused; /* by pg_wal_replay_pause(), or by PostgreSQL itself */
	const char       *why_not_read;  /* NULL: may serve reads. Static, one clause: "its replay lags too far behind" */
	const char       *why_doubted;   /* of one that may serve reads: they go to others while there are any. Or NULL. Static */
	const char       *why_not_write; /* NULL: may be written to. Static */
	uint64_t          since_us;      /* when role, state or usability last changed; clock_now_us() */
	uint64_t          asked_us;      /* when it was asked what is told here of its WAL; 0: never */
	uint64_t          told_us;       /* when a session last said what it is; 0: never */
	uint64_t          answered_us;   /* when its Patroni last gave a good answer; 0: never */
	uint64_t          seen_us;       /* when it, or its Patroni, last said anything; 0: never */
};

struct topology {
	uint32_t    refs;
	uint64_t    generation;  /* 1 for the first of a cluster; grows with each that is published */
	uint64_t    made_us;
	char        cluster[CLUSTER_NAME_MAX];
	bool        is_plain;    /* `host=`: roles are not asked; each member serves both lanes; leader is -1 */
	bool        has_patroni; /* or `hosts`: roles are learnt from the servers' sessions */
	int         leader;      /* index in member[] of the one that may be written to, or -1 */
	const char *why_no_leader; /* NULL when there is one (or is_plain). Static, one clause */
	uint64_t    leader_since_us; /* since when it is this leader, or that there is none */
	uint32_t    timeline;    /* the leader's, or the last leader's; 0: not known */
	bool        is_stale;    /* the leader's Patroni does not answer and nobody contradicts: it is kept */
	bool        is_paused;   /* Patroni's maintenance mode */
	/* Memory from one judgement to the next; of no use to others. */
	uint32_t    timeline_highest;    /* the highest any reachable member has told within the last seconds */
	uint64_t    timeline_highest_us; /* when that was last told */
	char        timeline_identifier[24]; /* of which system (database_system_identifier) */
	uint16_t    count;
	struct member member[];
};

struct topology *topology_new(uint16_t count); /* zeroed, one reference, leader -1, room for count members */
const struct topology *topology_ref(const struct topology *t); /* t itself */
void topology_unref(const struct topology *t); /* frees with the last reference; NULL is fine */

/* NULL where there is no such member. Good as long as t is. */
const struct member *topology_leader(const struct topology *t);
const struct member *topology_member(const struct topology *t, uint16_t id);
const struct member *topology_member_named(const struct topology *t, const char *name);

/* Would anybody decide otherwise with b than with a? Numbers that move all the time (lag, lsn, seen) do not count. */
bool topology_differs(const struct topology *a, const struct topology *b);

const char *member_role_name(enum member_role role);    /* "leader", "replica", "other" */
const char *member_state_name(enum member_state state); /* "running", "streaming", "in archive recovery", ... */

#endif
