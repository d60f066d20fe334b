/* tests/cluster/test_trail.c - how old the data of a replica are, by where the leader's WAL was. */
#include "cluster/trail.h"

#include "../suite.h"
#include "base/clock.h"

START_TEST(nobody_is_behind_what_nobody_has_seen)
{
	struct trail t = { 0 };
	ck_assert_uint_eq(trail_end(&t), 0);
	ck_assert_uint_eq(trail_delay_us(&t, 0, 5), 0);
	trail_note(&t, 0, 1, 0); /* not told */
	ck_assert_uint_eq(trail_end(&t), 0);
}
END_TEST

START_TEST(the_first_position_that_is_missing_tells_for_how_long)
{
	struct trail t = { 0 };
	for (uint64_t i = 1; i <= 10; i++)
		trail_note(&t, i * 1000, i * SECOND_US, 0);
	static const struct {
		uint64_t replayed, seconds;
	} rows[] = { { 0, 11 }, { 1000 - TRAIL_SLACK_BYTES - 1, 11 }, { 1000 - TRAIL_SLACK_BYTES, 10 }, { 1000, 10 }, { 8500, 3 },
		     { 10000, 0 },                      { 99999, 0 } };
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		ck_assert_uint_eq(trail_delay_us(&t, rows[i].replayed, 12 * SECOND_US), rows[i].seconds * SECOND_US);
	ck_assert_uint_eq(trail_delay_us(&t, 0, 0), 0); /* asked before that was seen */
}
END_TEST

START_TEST(a_leader_that_writes_nothing_leaves_no_mark)
{
	struct trail t = { 0 };
	for (uint64_t i = 1; i <= 1000; i++)
		trail_note(&t, 1000, i, 0);
	ck_assert_uint_eq(t.count, 1);
	ck_assert_uint_eq(trail_delay_us(&t, 0, 1001), 1000);
}
END_TEST

START_TEST(the_ring_keeps_the_newest)
{
	struct trail t = { 0 };
	for (uint64_t i = 1; i <= 1000; i++)
		trail_note(&t, i * 1000, i * SECOND_US, 0);
	ck_assert_uint_eq(t.count, TRAIL_MARKS);
	ck_assert_uint_eq(trail_end(&t), 1000 * 1000);
	ck_assert_uint_eq(trail_delay_us(&t, 0, 1000 * SECOND_US), (TRAIL_MARKS - 1) * SECOND_US); /* or more */
	ck_assert_uint_eq(trail_delay_us(&t, 999 * 1000, 1000 * SECOND_US), 0);
}
END_TEST

START_TEST(marks_keep_their_distance)
{
	struct trail t = { 0 };
	for (uint64_t i = 1; i <= 1000; i++)
		trail_note(&t, i * 1000, i * 50 * MILLISECOND_US, SECOND_US);
	ck_assert_uint_eq(t.count, 50);
	ck_assert_uint_eq(trail_delay_us(&t, 0, 50 * SECOND_US), 50 * SECOND_US - 50 * MILLISECOND_US);
}
END_TEST

START_TEST(another_history_drops_what_was_beyond)
{
	struct trail t = { 0 };
	for (uint64_t i = 1; i <= 100; i++)
		trail_note(&t, i * 1000, i * SECOND_US, 0);
	trail_note(&t, 95500, 101 * SECOND_US, 60 * SECOND_US);
	ck_assert_uint_eq(trail_end(&t), 95000); /* too near to it to be noted itself */
	trail_note(&t, 95500, 170 * SECOND_US, 60 * SECOND_US);
	ck_assert_uint_eq(trail_end(&t), 95500);
	trail_note(&t, 1, 171 * SECOND_US, 0);
	ck_assert_uint_eq(t.count, 1);
	trail_note(&t, UINT64_MAX, 172 * SECOND_US, 0);
	ck_assert_uint_eq(trail_delay_us(&t, 1, 173 * SECOND_US), SECOND_US);
}
END_TEST

int
main(void)
{
	const TTest *const rules[] = {
		nobody_is_behind_what_nobody_has_seen,
		the_first_position_that_is_missing_tells_for_how_long,
		a_leader_that_writes_nothing_leaves_no_mark,
		the_ring_keeps_the_newest,
		marks_keep_their_distance,
		another_history_drops_what_was_beyond,
	};
	return suite_run("cluster/trail", rules, sizeof(rules) / sizeof(rules[0]));
}
