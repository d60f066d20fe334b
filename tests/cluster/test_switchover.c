/* tests/cluster/test_switchover.c - the steps of a planned change of leader. */
#include "cluster/switchover.h"

#include <stdio.h>
#include <string.h>

#include "../suite.h"

#define FROM(s) ((enum switch_state)(s))
#define BY(e)   ((enum switch_event)(e))

START_TEST(every_pair_has_an_answer)
{
	for (int s = 0; s < SWITCH_OVER; s++)
		for (int e = 0; e < SWITCH_EVENTS; e++) {
			struct switch_step step = switch_step(FROM(s), BY(e));
			ck_assert_msg((step.next == SWITCH_OVER) == (step.end != SWITCH_GOES_ON), "%d %d", s, e);
			ck_assert_msg((step.next == SWITCH_OVER) == (step.act == SWITCH_DO_RELEASE), "%d %d", s, e);
			/* A step back would repeat what was done. Doubts are dispelled by what comes late. */
			ck_assert_msg(step.next >= FROM(s) || (s == SWITCH_DOUBTING && step.next == SWITCH_ACCEPTED), "%d %d", s, e);
		}
}
END_TEST

START_TEST(another_leader_ends_it_well_and_a_stop_ends_it_wherever_it_is)
{
	for (int s = 0; s < SWITCH_OVER; s++) {
		ck_assert_int_eq(switch_step(FROM(s), SWITCH_ON_OTHER).end, SWITCH_DONE);
		ck_assert_int_eq(switch_step(FROM(s), SWITCH_ON_STOP).end, SWITCH_STOPPED);
		ck_assert_int_ne(switch_step(FROM(s), SWITCH_ON_LATE).next, FROM(s)); /* nothing lasts for ever */
	}
}
END_TEST

START_TEST(it_can_be_cancelled_until_patroni_is_asked)
{
	for (int s = 0; s < SWITCH_OVER; s++)
		ck_assert_int_eq(switch_step(FROM(s), SWITCH_ON_CANCEL).end, s < SWITCH_ASKING ? SWITCH_CANCELLED : SWITCH_GOES_ON);
}
END_TEST

START_TEST(a_lost_leader_is_a_failover_before_and_a_step_after)
{
	for (int s = 0; s < SWITCH_OVER; s++) {
		struct switch_step step = switch_step(FROM(s), SWITCH_ON_LOST);
		if (s < SWITCH_ASKING)
			ck_assert_int_eq(step.end, SWITCH_LOST);
		else
			ck_assert_int_eq(step.next, SWITCH_LEADERLESS);
	}
	ck_assert_int_eq(switch_step(SWITCH_LEADERLESS, SWITCH_ON_SAME).end, SWITCH_STAYED);
}
END_TEST

START_TEST(answers_of_patroni)
{
	static const struct {
		int status;
		const char *body;
		bool is_knock;
		enum switch_event means;
	} rows[] = {
		{ 400, "Bad Request", true, SWITCH_ON_YES },
		{ 401, "not authenticated", true, SWITCH_ON_NO },
		{ 403, "Access is denied", true, SWITCH_ON_NO },
		{ 502, "", true, SWITCH_ON_SILENCE },
		{ 200, "Successfully switched over to \"n1\"", false, SWITCH_ON_YES },
		{ 412, "leader name does not match", false, SWITCH_ON_SILENCE },
		{ 412, "candidate does not exists", false, SWITCH_ON_NO },
		{ 401, "", false, SWITCH_ON_NO },
		{ 503, "Switchover failed", false, SWITCH_ON_SILENCE },
		{ 503, "Switchover status unknown", false, SWITCH_ON_SILENCE },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		ck_assert_msg(switch_answer(rows[i].status, view_of_string(rows[i].body), rows[i].is_knock) == rows[i].means, "%zu", i);
}
END_TEST

static void
has_body(const char *leader, const char *candidate, const char *text)
{
	struct buf b = { 0 };
	switch_body(&b, leader, candidate);
	ck_assert(view_is(buf_view(&b), text));
	buf_free(&b);
}

START_TEST(the_request_names_the_leader_and_perhaps_who_is_next)
{
	has_body("n1", "", "{\"leader\":\"n1\"}");
	has_body("n1", "n\"2\\", "{\"leader\":\"n1\",\"candidate\":\"n\\\"2\\\\\"}");
}
END_TEST

START_TEST(a_candidate_is_one_that_has_replayed_it_all_since_it_was_measured)
{
	struct topology *t = topology_new(3);
	for (int i = 0; i < 3; i++) {
		struct member *m = &t->member[i];
		snprintf(m->name, sizeof(m->name), "n%d", i + 1);
		m->is_reachable = true;
		m->role = i == 0 ? MEMBER_LEADER : MEMBER_REPLICA;
		m->asked_us = 100;
		m->lsn = 1000;
	}
	t->leader = 0;
	ck_assert(switch_is_caught_up(t, "n1", "", 1000, 50));
	ck_assert(!switch_is_caught_up(t, "n1", "", 1001, 50));
	ck_assert(!switch_is_caught_up(t, "n1", "", 1000, 100)); /* asked before */
	t->member[1].lsn = 900;
	ck_assert(switch_is_caught_up(t, "n1", "", 1000, 50));
	ck_assert(!switch_is_caught_up(t, "n1", "n2", 1000, 50));
	ck_assert(switch_is_caught_up(t, "n1", "n3", 1000, 50));
	t->member[2].no_failover = true;
	ck_assert(!switch_is_caught_up(t, "n1", "", 1000, 50));
	topology_unref(t);
}
END_TEST

START_TEST(states_and_ends_have_names)
{
	for (int s = 0; s < SWITCH_STATES; s++)
		ck_assert_ptr_nonnull(switch_state_name(FROM(s)));
	for (int e = 0; e < SWITCH_ENDS; e++)
		ck_assert_ptr_nonnull(switch_end_name((enum switch_end)e));
	ck_assert(switch_has_deadline(SWITCH_DRAINING) && !switch_has_deadline(SWITCH_ASKING));
}
END_TEST

int
main(void)
{
	const TTest *const rules[] = {
		every_pair_has_an_answer,
		another_leader_ends_it_well_and_a_stop_ends_it_wherever_it_is,
		it_can_be_cancelled_until_patroni_is_asked,
		a_lost_leader_is_a_failover_before_and_a_step_after,
		answers_of_patroni,
		the_request_names_the_leader_and_perhaps_who_is_next,
		a_candidate_is_one_that_has_replayed_it_all_since_it_was_measured,
		states_and_ends_have_names,
	};
	return suite_run("cluster/switchover", rules, sizeof(rules) / sizeof(rules[0]));
}
