/*
 * cluster/trail.h - where the leader's WAL was, and when: what tells how old the data of a replica are. Pure.
 *
 * Lag in bytes says nothing while little is written, and the clocks of servers differ. So the leader's positions of the last
 * while are kept with the time, ours, at which each was first seen: the first one that a replica has not replayed tells for
 * how long it has been behind. A leader that writes nothing leaves no mark, and nobody is behind it.
 */
#ifndef CLUSTER_TRAIL_H
#define CLUSTER_TRAIL_H

#include <stdint.h>

enum {
	TRAIL_MARKS = 64,
	TRAIL_SLACK_BYTES = 40, /* the head of a segment: positions at its two ends are the same. No record of a transaction is so short */
};

struct trail_mark {
	uint64_t location; /* bytes of WAL */
	uint64_t seen_us;  /* first seen, or a little later */
};

struct trail {
	struct trail_mark mark[TRAIL_MARKS]; /* a ring, the oldest at `first`; locations and times grow */
	uint32_t first, count;
};

/* The leader was there. Marks are `apart_us` apart at least. One that goes back is another history: what was beyond is dropped. */
void trail_note(struct trail *t, uint64_t location, uint64_t now_us, uint64_t apart_us);

/* For how long, at least, has somebody who has replayed so much been behind? 0: it has all that was seen. */
uint64_t trail_delay_us(const struct trail *t, uint64_t replayed, uint64_t now_us);

uint64_t trail_end(const struct trail *t); /* the furthest position seen, nearly; 0: none */

#endif
