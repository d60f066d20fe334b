/* base/clock.c - the process's one coarse clock; see the header. */
#include "base/clock.h"

#include <stdbool.h>
#include <time.h>

uint64_t clock_coarse_us;
static uint64_t timers_us;
static bool is_set; /* by a test */

static uint64_t
read_us(clockid_t id)
{
	struct timespec ts;
	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * SECOND_US + (uint64_t)ts.tv_nsec / 1000;
}

void
clock_update(void)
{
	timers_us = read_us(CLOCK_MONOTONIC);
	if (!is_set)
		clock_coarse_us = timers_us;
}

uint64_t
clock_timers_us(void)
{
	return timers_us;
}

uint64_t
clock_exact_us(void)
{
	return is_set ? clock_coarse_us : read_us(CLOCK_MONOTONIC);
}

uint64_t
clock_wall_us(void)
{
	return read_us(CLOCK_REALTIME);
}

uint64_t
clock_wall_of(uint64_t monotonic_us)
{
	return clock_wall_us() - (clock_exact_us() - monotonic_us);
}

void
clock_set(uint64_t us)
{
	is_set = true;
	clock_coarse_us = us;
}
