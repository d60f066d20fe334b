/*
 * cluster/schedule.h - a switchover that `patronictl switchover --scheduled` has planned: when it is, and what it asks for now. Pure.
 *
 *   far ─► near ─► now ─► none
 *
 *   far   some time ahead, or it can't be prepared for: its time can't be read
 *   near  it is looked at every second, for it may be taken back
 *   now   from `lead` before the moment: writes are held. Patroni's loop sleeps until the moment itself, and takes it back, too, when
 *         it can't do it. What has not come about SCHEDULE_LATE_US after the moment is not waited for any longer
 *
 * The moment is by the clock of the leader, which carries it out. How far ours is ahead of it is told by the Date header of its
 * Patroni's answers, to the second; less than SCHEDULE_SKEW_US is not distinguishable from none.
 * Source: Patroni 3.0.2 and 4.0.7, ha.py, should_run_scheduled_action(); api.py, parse_schedule().
 */
#ifndef CLUSTER_SCHEDULE_H
#define CLUSTER_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>

#include "cluster/patroni.h"
#include "cluster/topology.h"

#define SCHEDULE_NEAR_US (15 * (uint64_t)1000000)
#define SCHEDULE_LATE_US (20 * (uint64_t)1000000)
#define SCHEDULE_SKEW_US (1500 * (int64_t)1000)

enum schedule_phase { SCHEDULE_NONE, SCHEDULE_FAR, SCHEDULE_NEAR, SCHEDULE_NOW };

struct schedule {
	bool     exists;
	char     at[40];  /* ISO 8601, as Patroni wrote it */
	char     from[MEMBER_NAME_MAX];
	char     to[MEMBER_NAME_MAX]; /* "": Patroni chooses */
	uint64_t at_us;   /* since 1970, by Patroni's clock; 0: it can't be read */
	int64_t  ahead_us; /* our clock, of the leader's */
};

/* What a listing says. Returns whether it is another one than before. */
bool schedule_take(struct schedule *s, const struct patroni_members *list);

/* What the leader's Date header (seconds since 1970; 0: none) says when our clock shows wall_us. */
void schedule_note_clock(struct schedule *s, uint64_t date_s, uint64_t wall_us);

/* From now (our clock) to the moment; negative after it. 0 where there is none. */
int64_t schedule_left_us(const struct schedule *s, uint64_t wall_us);

/* lead_us 0: it is not prepared for. */
enum schedule_phase schedule_phase(const struct schedule *s, uint64_t lead_us, uint64_t wall_us);

/* "2030-01-01T12:00:00.250000+02:00" to microseconds since 1970; 0 where it is nothing like that, or has no time zone. */
uint64_t schedule_read_time(const char *text);

#endif
