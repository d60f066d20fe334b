/* tests/cluster/test_schedule.c - a switchover that patronictl has scheduled, and when it is to be prepared for. */
#include "cluster/schedule.h"

#include <stdio.h>
#include <string.h>

#include "../suite.h"
#include "base/clock.h"

#define AT_S (1893456000 * SECOND_US) /* 2030-01-01 00:00:00 UTC */
#define LEAD (2 * SECOND_US)

START_TEST(times_are_read_as_python_writes_them)
{
	static const struct {
		const char *text;
		uint64_t us;
	} rows[] = {
		{ "2030-01-01T00:00:00+00:00", AT_S },
		{ "2030-01-01 00:00:00Z", AT_S },
		{ "2030-01-01T02:30:00+02:30", AT_S },
		{ "2029-12-31T19:00:00-05:00", AT_S },
		{ "2030-01-01T00:00:00.250000+00:00", AT_S + 250000 },
		{ "2030-01-01T00:00:00.1234567+00:00", AT_S + 123456 },
		{ "2028-02-29T00:00:00+00:00", 1835395200 * SECOND_US },
		{ "", 0 },
		{ "2030-01-01T00:00:00", 0 }, /* no time zone */
		{ "2030-01-01T00:00:00+00:00x", 0 },
		{ "2030-01-01T00:00:00.+00:00", 0 },
		{ "2030-13-01T00:00:00+00:00", 0 },
		{ "2030-01-01T24:00:00+00:00", 0 },
		{ "2030-01-01T00:60:00+00:00", 0 },
		{ "2030-1-1T00:00:00+00:00", 0 },
		{ "1930-01-01T00:00:00+00:00", 0 },
		{ "soon", 0 },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		ck_assert_msg(schedule_read_time(rows[i].text) == rows[i].us, "%s", rows[i].text);
	/* Cut off anywhere: nothing. */
	char text[] = "2030-01-01T00:00:00.250000+00:00";
	for (size_t n = sizeof(text) - 1; n-- > 0;) {
		text[n] = '\0';
		ck_assert_uint_eq(schedule_read_time(text), 0);
	}
}
END_TEST

static struct schedule
scheduled(const char *at)
{
	struct patroni_members list = { .has_switchover = true, .switchover_from = "n1" };
	snprintf(list.switchover_at, sizeof(list.switchover_at), "%s", at);
	struct schedule s = { 0 };
	ck_assert(schedule_take(&s, &list));
	return s;
}

START_TEST(a_listing_is_news_once)
{
	struct patroni_members list = { .has_switchover = true, .switchover_at = "2030-01-01T00:00:00+00:00", .switchover_from = "n1" };
	struct schedule s = { 0 };
	ck_assert(schedule_take(&s, &list));
	ck_assert(!schedule_take(&s, &list));
	ck_assert_str_eq(s.from, "n1");
	ck_assert_uint_eq(s.at_us, AT_S);
	snprintf(list.switchover_to, sizeof(list.switchover_to), "n2");
	ck_assert(schedule_take(&s, &list));
	list.has_switchover = false;
	ck_assert(schedule_take(&s, &list));
	ck_assert(!s.exists && s.at_us == 0);
	ck_assert(!schedule_take(&s, &list));
}
END_TEST

START_TEST(it_is_far_then_near_then_now_then_over)
{
	struct schedule s = scheduled("2030-01-01T00:00:00+00:00");
	ck_assert_int_eq(schedule_phase(&s, LEAD, AT_S - LEAD - SCHEDULE_NEAR_US - 1), SCHEDULE_FAR);
	ck_assert_int_eq(schedule_phase(&s, LEAD, AT_S - LEAD - SCHEDULE_NEAR_US), SCHEDULE_NEAR);
	ck_assert_int_eq(schedule_phase(&s, LEAD, AT_S - LEAD - 1), SCHEDULE_NEAR);
	ck_assert_int_eq(schedule_phase(&s, LEAD, AT_S - LEAD), SCHEDULE_NOW);
	ck_assert_int_eq(schedule_phase(&s, LEAD, AT_S + SCHEDULE_LATE_US - 1), SCHEDULE_NOW);
	ck_assert_int_eq(schedule_phase(&s, LEAD, AT_S + SCHEDULE_LATE_US), SCHEDULE_NONE);
	ck_assert_int_eq(schedule_phase(&s, 0, AT_S), SCHEDULE_FAR); /* not to be prepared for */
	struct schedule unreadable = scheduled("soon");
	ck_assert_int_eq(schedule_phase(&unreadable, LEAD, AT_S), SCHEDULE_FAR);
	struct schedule none = { 0 };
	ck_assert_int_eq(schedule_phase(&none, LEAD, AT_S), SCHEDULE_NONE);
}
END_TEST

START_TEST(the_moment_is_by_the_leaders_clock)
{
	struct schedule s = scheduled("2030-01-01T00:00:00+00:00");
	uint64_t date_s = AT_S / SECOND_US - 60;
	schedule_note_clock(&s, date_s, date_s * SECOND_US + 900000); /* no difference that the header could tell */
	ck_assert_int_eq(schedule_left_us(&s, AT_S - SECOND_US), (int64_t)SECOND_US);
	schedule_note_clock(&s, date_s, (date_s + 10) * SECOND_US + 500000); /* ours is 10 s ahead */
	ck_assert_int_eq(schedule_left_us(&s, AT_S - SECOND_US), 11 * (int64_t)SECOND_US);
	schedule_note_clock(&s, date_s, (date_s - 10) * SECOND_US + 500000);
	ck_assert_int_eq(schedule_left_us(&s, AT_S), -10 * (int64_t)SECOND_US);
	schedule_note_clock(&s, 0, AT_S); /* a Patroni that does not tell: as before */
	ck_assert_int_eq(schedule_left_us(&s, AT_S), -10 * (int64_t)SECOND_US);
	struct patroni_members list = { .has_switchover = true, .switchover_at = "2030-01-01T00:00:05+00:00" };
	ck_assert(schedule_take(&s, &list)); /* it stays so for the next one */
	ck_assert_int_eq(schedule_left_us(&s, AT_S), -5 * (int64_t)SECOND_US);
}
END_TEST

int
main(void)
{
	const TTest *const rules[] = {
		times_are_read_as_python_writes_them,
		a_listing_is_news_once,
		it_is_far_then_near_then_now_then_over,
		the_moment_is_by_the_leaders_clock,
	};
	return suite_run("cluster/schedule", rules, sizeof(rules) / sizeof(rules[0]));
}
