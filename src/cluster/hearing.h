/*
 * src/cluster/hearing.h - one judgement, between its two parts: judge.c (who leads, the snapshot) and reads.c (who serves
 * reads). Nobody else includes it.
 */
#ifndef SRC_CLUSTER_HEARING_H
#define SRC_CLUSTER_HEARING_H

#include "cluster/judge.h"

/* One judgement: what it rests on, and what it found so far. Indexed by member id. */
struct hearing {
	const struct known    *known;
	const struct topology *before; /* may be NULL */
	uint64_t               now_us;
	int                    leader; /* id, or -1 */
	const char            *why_no_leader;
	bool                   is_stale;
	uint32_t               timeline_highest;
	uint64_t               timeline_highest_us;
	const char            *identifier; /* of the system that timelines are compared in; "" when not known */
	const char            *why_not_write[CLUSTER_MEMBERS_MAX];
	/* For reads, once it is known who leads: */
	bool                   any_answers;  /* does any Patroni? */
	uint64_t               wal_end;      /* what replicas are measured against; 0: not known */
	uint64_t               wal_asked_us; /* when that was asked for; 0: whenever, it is the least that there is */
};

/* judge.c */
bool member_is_silent(const struct hearing *h, const struct known_member *m); /* its last answer is not the last word any more */
bool member_is_gone(const struct hearing *h, const struct known_member *m);
bool member_is_refused(const struct known_member *m);
bool member_is_up(enum member_state state);
bool system_differs(const char *a, const char *b);

/* reads.c: `out` has all that does not concern reads. `before` is the same member in the last snapshot, or NULL. */
void reads_prepare(struct hearing *h);
void reads_describe(const struct hearing *h, const struct known_member *m, const struct member *before, struct member *out);

#endif
