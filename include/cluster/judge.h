/*
 * cluster/judge.h - from what is known of each member to who leads and who may serve reads. Pure.
 *
 * The rules, in the order in which they are asked:
 *   1. A member claims to lead when one answer of its own Patroni has status 200 (the lock), state running and role
 *      primary, and none of our sessions has been told otherwise since that was asked.
 *   2. The claim on the highest timeline wins. Equal timelines that both claim: nobody.
 *   3. A claim on a lower timeline than a reachable member has, or had some seconds ago, is not followed.
 *   4. Where nobody claims and the last leader's Patroni does not answer, the last leader is kept (is_stale) while no
 *      other Patroni that answers speaks against it (holds the lock, says that it is free, has a higher timeline) and
 *      no session was refused or told of recovery.
 * The server's own word is the second witness. It is asked for on each server connection by the session layer, which
 * lets nobody write through a connection that does not itself say in_hot_standby = off.
 *
 * Without Patroni (hosts) only sessions speak: the one writable member leads; of two, the one that was seen to be
 * promoted last; if neither was, nobody.
 * Source: Patroni 2.1 to 4.1 as observed.
 */
#ifndef CLUSTER_JUDGE_H
#define CLUSTER_JUDGE_H

#include <stdbool.h>
#include <stdint.h>

#include "cluster/patroni.h"
#include "cluster/topology.h"
#include "cluster/trail.h"

enum cluster_kind {
	CLUSTER_OF_PATRONI,
	CLUSTER_OF_HOSTS, /* roles from sessions */
	CLUSTER_PLAIN     /* no roles */
};

/* What a server session of ours was told, or met. */
enum session_says {
	SESSION_NOTHING,
	SESSION_WRITABLE,      /* in_hot_standby = off, or pg_is_in_recovery() = f */
	SESSION_IN_RECOVERY,   /* the contrary; also SQLSTATE 25006 from a statement */
	SESSION_REFUSED,       /* a new connection: refused, timed out, 57P03. Not a wrong password, not 53300 */
	SESSION_SILENT,        /* a new connection was not even refused, while an open one owes an answer for long */
	SESSION_BROKE,         /* an open one ended unexpectedly */
	SESSION_SHUTTING_DOWN  /* 57P01, 57P02 */
};

/* All that is known of one member. Times are clock_now_us(); 0: never. */
struct known_member {
	char     name[MEMBER_NAME_MAX];
	char     host[MEMBER_HOST_MAX];
	uint16_t port;
	/* Its Patroni's last good answer, and what followed. */
	uint64_t asked_us;     /* when the request of the last good answer was sent */
	uint64_t answered_us;  /* 0: it never gave one */
	int      http_status;
	struct patroni_status said;
	uint32_t failures;     /* requests without a good answer since */
	/* Our sessions. */
	enum session_says session;  /* the last of WRITABLE, IN_RECOVERY; NOTHING */
	uint64_t session_us;
	uint64_t promoted_us;       /* when IN_RECOVERY last became WRITABLE */
	uint64_t refused_us;        /* the last refusal */
	uint32_t refusals;          /* in a row, without a session that came about in between */
	uint64_t troubled_us;       /* the last broken or ended session */
	bool     is_unlisted;       /* the last good GET /cluster did not name it */
};

struct judge_limits {
	uint64_t max_lag_bytes;   /* a replica beyond it takes no reads, until it is down to 3/4. 0: no limit */
	uint64_t max_delay_us;    /* the same in time: it has not replayed for so long what the leader wrote. 0: no limit */
	uint64_t poll_interval_us;
};

struct known {
	const char         *cluster;
	enum cluster_kind   kind;
	struct judge_limits limits;
	const struct trail *trail; /* where the leader's WAL was; NULL: not known. The caller's */
	const struct known_member *member[CLUSTER_MEMBERS_MAX]; /* by id; NULL: there is none. Owned by the caller */
};

/* Note what a session said. Returns whether it is news: something to poll and to judge for at once. */
bool judge_note_session(struct known_member *m, enum session_says says, uint64_t now_us);

/* A new snapshot with one reference, generation one above `before`'s. `before` is the last one, NULL at first. */
struct topology *judge(const struct known *known, const struct topology *before, uint64_t now_us);

const char *session_says_name(enum session_says says);

#endif
