/* cluster/schedule.c - a switchover that patronictl has scheduled; see the header. */
#include "cluster/schedule.h"

#include <string.h>
#include <time.h>

#include "base/clock.h"

/* ---- Python's datetime.isoformat(): YYYY-MM-DDTHH:MM:SS[.ffffff]+HH:MM ---- */

/* So many digits, a number from `least` to `most`. */
static bool
read_digits(const char **p, int digits, unsigned least, unsigned most, unsigned *out)
{
	*out = 0;
	for (int i = 0; i < digits; i++, (*p)++) {
		if (**p < '0' || **p > '9')
			return false;
		*out = *out * 10 + (unsigned)(**p - '0');
	}
	return *out >= least && *out <= most;
}

static bool
skip(const char **p, char c)
{
	if (**p != c)
		return false;
	(*p)++;
	return true;
}

/* Optional; of more than six digits the first six count. */
static bool
read_fraction(const char **p, uint64_t *us)
{
	*us = 0;
	if (!skip(p, '.'))
		return true;
	uint64_t unit = 100000;
	const char *first = *p;
	for (; **p >= '0' && **p <= '9'; (*p)++, unit /= 10)
		*us += (uint64_t)(**p - '0') * unit;
	return *p > first;
}

/* Seconds east of UTC. */
static bool
read_zone(const char **p, int64_t *east_s)
{
	*east_s = 0;
	if (skip(p, 'Z'))
		return true;
	int sign = **p == '-' ? -1 : 1;
	unsigned hours, minutes;
	if (!skip(p, '+') && !skip(p, '-'))
		return false;
	if (!read_digits(p, 2, 0, 23, &hours) || !skip(p, ':') || !read_digits(p, 2, 0, 59, &minutes))
		return false;
	*east_s = sign * (int64_t)(hours * 3600 + minutes * 60);
	return true;
}

uint64_t
schedule_read_time(const char *p)
{
	unsigned year, month, day, hour, minute, second;
	uint64_t us;
	int64_t east_s;
	if (!read_digits(&p, 4, 1971, 9999, &year) || !skip(&p, '-') || !read_digits(&p, 2, 1, 12, &month) || !skip(&p, '-') ||
	    !read_digits(&p, 2, 1, 31, &day) || (!skip(&p, 'T') && !skip(&p, ' ')) || !read_digits(&p, 2, 0, 23, &hour) ||
	    !skip(&p, ':') || !read_digits(&p, 2, 0, 59, &minute) || !skip(&p, ':') || !read_digits(&p, 2, 0, 59, &second) ||
	    !read_fraction(&p, &us) || !read_zone(&p, &east_s) || *p != '\0')
		return 0;
	struct tm tm = { .tm_year = (int)year - 1900, .tm_mon = (int)month - 1, .tm_mday = (int)day, .tm_hour = (int)hour,
	                 .tm_min = (int)minute, .tm_sec = (int)second };
	return (uint64_t)((int64_t)timegm(&tm) - east_s) * SECOND_US + us;
}

/* ---- what is known of it ---- */

bool
schedule_take(struct schedule *s, const struct patroni_members *list)
{
	struct schedule new = { .ahead_us = s->ahead_us };
	if (list->has_switchover) {
		new.exists = true;
		memcpy(new.at, list->switchover_at, sizeof(new.at));
		memcpy(new.from, list->switchover_from, sizeof(new.from));
		memcpy(new.to, list->switchover_to, sizeof(new.to));
		new.at_us = schedule_read_time(new.at);
	}
	bool is_same = s->exists == new.exists && strcmp(s->at, new.at) == 0 && strcmp(s->from, new.from) == 0 &&
	               strcmp(s->to, new.to) == 0;
	*s = new;
	return !is_same;
}

void
schedule_note_clock(struct schedule *s, uint64_t date_s, uint64_t wall_us)
{
	if (date_s == 0 || date_s > UINT32_MAX)
		return;
	/* It was cut off to the second: by half a second on average. */
	int64_t ahead_us = (int64_t)wall_us - (int64_t)(date_s * SECOND_US + SECOND_US / 2);
	s->ahead_us = ahead_us > SCHEDULE_SKEW_US || ahead_us < -SCHEDULE_SKEW_US ? ahead_us : 0;
}

int64_t
schedule_left_us(const struct schedule *s, uint64_t wall_us)
{
	return s->at_us ? (int64_t)s->at_us + s->ahead_us - (int64_t)wall_us : 0;
}

enum schedule_phase
schedule_phase(const struct schedule *s, uint64_t lead_us, uint64_t wall_us)
{
	if (!s->exists)
		return SCHEDULE_NONE;
	int64_t left_us = schedule_left_us(s, wall_us);
	if (s->at_us == 0 || lead_us == 0 || left_us > (int64_t)(lead_us + SCHEDULE_NEAR_US))
		return SCHEDULE_FAR;
	if (left_us > (int64_t)lead_us)
		return SCHEDULE_NEAR;
	return left_us > -(int64_t)SCHEDULE_LATE_US ? SCHEDULE_NOW : SCHEDULE_NONE;
}
