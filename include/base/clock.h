/*
 * base/clock.h - one coarse clock for the whole process: read once per turn of the loop, the same for all in that turn.
 *
 * Monotonic microseconds; not related to the date. Tests set it.
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

#define MILLISECOND_US ((uint64_t)1000)
#define SECOND_US      ((uint64_t)1000000)

void     clock_update(void);     /* the loop calls it after each sleep */
uint64_t clock_timers_us(void);  /* the same, whatever a test has set: what timers of the loop go by */
uint64_t clock_exact_us(void);   /* a system call's worth of now, for measurements */
uint64_t clock_wall_us(void);    /* the date: microseconds since 1970, exact */
uint64_t clock_wall_of(uint64_t monotonic_us); /* the date at which the coarse clock showed this */
void     clock_set(uint64_t now_us); /* tests only: from here on the clock stands until set again */

extern uint64_t clock_coarse_us; /* read only: so that looking at the clock is no call. 0: it was never read */

/* As of the last clock_update(). */
static inline uint64_t
clock_now_us(void)
{
	if (__builtin_expect(clock_coarse_us == 0, 0))
		clock_update();
	return clock_coarse_us;
}

#endif
