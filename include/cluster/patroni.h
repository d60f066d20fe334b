/*
 * cluster/patroni.h - reading what Patroni's REST API answers. Pure: bytes in, a plain struct out.
 *
 * Any missing key, any new key and any wrong type of a key that is not needed is taken calmly: Patroni 2.1 to 4.1. What
 * is needed is said at each function. Nesting, lengths and counts are bounded.
 * Source: Patroni 4.1 documentation, "Patroni REST API"; sources of 2.1 to 4.1 (api.py).
 */
#ifndef CLUSTER_PATRONI_H
#define CLUSTER_PATRONI_H

#include <stdbool.h>
#include <stdint.h>

#include "base/text.h"
#include "base/view.h"
#include "cluster/topology.h"

#define PATRONI_IDENTIFIER_MAX 24  /* bytes with the NUL: a 64-bit number in decimal */
#define PATRONI_URL_MAX        320
#define PATRONI_BODY_MAX       (256 * 1024) /* bytes: 64 members with many tags need about 40 kB */

enum patroni_result {
	PATRONI_OK,
	PATRONI_BAD_JSON,  /* not JSON, not whole, or without what makes it an answer of Patroni's */
	PATRONI_NO_MEMBERS /* a good /cluster answer that lists no member one could connect to */
};

struct patroni_tags {
	bool     no_loadbalance;
	bool     no_failover;
	bool     has_weight;
	uint32_t weight; /* tag "weight": an integer from 0 to 10000, as number or as string. 0 takes no reads */
};

/* The status body, which every health path gives. */
struct patroni_status {
	enum member_state state;
	enum member_role  role;          /* master, primary: MEMBER_LEADER; replica, standby_leader: MEMBER_REPLICA */
	bool              is_standby_leader;
	uint32_t          timeline;      /* 0: not told */
	uint64_t          location;      /* bytes of WAL; 0: not told, as all of these */
	uint64_t          received_location;
	uint64_t          replayed_location;
	bool              is_replay_paused;
	bool              is_unlocked;   /* "cluster_unlocked": nobody holds the lock, or it is not known */
	bool              is_paused;     /* maintenance mode */
	bool              is_sync;       /* "sync_standby" or "quorum_standby": one that synchronous_mode lets lead next */
	bool              is_failsafe;   /* "failsafe_mode_is_active" */
	uint32_t          server_version; /* 150020 is 15.20; 0: not told */
	uint64_t          dcs_last_seen; /* seconds since 1970; 0: not told */
	struct patroni_tags tags;
	char              identifier[PATRONI_IDENTIFIER_MAX]; /* "database_system_identifier"; "": not told */
	char              name[MEMBER_NAME_MAX];              /* 3.2 and later; "": not told */
	char              scope[CLUSTER_NAME_MAX];
	char              version[16];                        /* of Patroni */
};

struct patroni_member {
	char     name[MEMBER_NAME_MAX];
	char     host[MEMBER_HOST_MAX];
	uint16_t port;
	char     url[PATRONI_URL_MAX]; /* of its REST API without a path: "http://10.0.0.1:8008"; "": not told */
	bool     is_leader;            /* of the lock: leader or standby_leader */
	enum member_state state;
	uint32_t timeline;             /* 0: not told */
	uint64_t lag_bytes;            /* LAG_UNKNOWN on the leader and when Patroni does not know */
	struct patroni_tags tags;
};

struct patroni_members {
	uint16_t count;
	uint16_t skipped;         /* rows without a usable name, host or port, doubles, and those beyond the limit */
	bool     is_paused;
	bool     has_switchover;  /* one is scheduled */
	char     switchover_at[40]; /* ISO 8601, as Patroni wrote it */
	char     switchover_from[MEMBER_NAME_MAX];
	char     switchover_to[MEMBER_NAME_MAX];
	struct patroni_member member[CLUSTER_MEMBERS_MAX];
};

/*
 * Read the body of GET /primary (or any other health path). Needs "state" and "role" as strings: that is what tells it
 * from any other JSON. PATRONI_BAD_JSON leaves *out zeroed and one clause in *why.
 */
enum patroni_result patroni_parse_status(struct view body, struct patroni_status *out, struct text *why);

/*
 * Read the body of GET /cluster. Needs "members" as an array; a row needs "name" and "host" ("port" is 5432 if absent).
 * PATRONI_BAD_JSON and PATRONI_NO_MEMBERS leave out->count 0 and one clause in *why.
 */
enum patroni_result patroni_parse_cluster(struct view body, struct patroni_members *out, struct text *why);

enum member_state patroni_state(const char *word);
enum member_role  patroni_role(const char *word);

#endif
