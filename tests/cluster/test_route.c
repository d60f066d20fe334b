/* tests/cluster/test_route.c - which member a transaction goes to. */
#include "cluster/route.h"

#include <string.h>

#include "../suite.h"

/* A leader (id 0) and three replicas (ids 1, 2, 3) at indexes 0..3. */
static struct topology *
a_cluster(void)
{
	struct topology *t = topology_new(4);
	for (uint16_t i = 0; i < 4; i++)
		t->member[i] = (struct member){ .id = i, .weight = WEIGHT_DEFAULT, .why_not_write = "it does not hold the lock" };
	t->leader = 0;
	t->member[0].why_not_write = NULL;
	t->member[0].why_not_read = "it is the leader";
	return t;
}

static void
lose_replicas(struct topology *t)
{
	for (int i = 1; i < 4; i++)
		t->member[i].why_not_read = "its PostgreSQL is not running";
}

START_TEST(writes_go_to_the_leader_or_wait)
{
	struct topology *t = a_cluster();
	struct route_request r = { .lane = LANE_WRITE };
	struct route to = route_choose(t, &r);
	ck_assert_int_eq(to.result, ROUTE_MEMBER);
	ck_assert_uint_eq(to.index, 0);
	ck_assert_ptr_null(to.why);

	t->leader = -1;
	t->why_no_leader = "nobody holds the leader lock";
	to = route_choose(t, &r);
	ck_assert_int_eq(to.result, ROUTE_WAIT);
	ck_assert_str_eq(to.why, "nobody holds the leader lock");
	topology_unref(t);
}
END_TEST

START_TEST(a_leader_that_was_tried_is_waited_for)
{
	struct topology *t = a_cluster();
	ck_assert_int_eq(route_choose(t, &(struct route_request){ .lane = LANE_WRITE, .excluded = 1 }).result, ROUTE_WAIT);
	topology_unref(t);
}
END_TEST

START_TEST(reads_go_to_the_replica_that_is_least_busy)
{
	struct topology *t = a_cluster();
	uint32_t busy[CLUSTER_MEMBERS_MAX] = { 0, 5, 2, 3 };
	struct route_request r = { .lane = LANE_READ, .busy = busy };
	ck_assert_uint_eq(route_choose(t, &r).index, 2);
	busy[2] = 9;
	ck_assert_uint_eq(route_choose(t, &r).index, 3);
	r.excluded = 1u << 3;
	ck_assert_uint_eq(route_choose(t, &r).index, 1);
	topology_unref(t);
}
END_TEST

START_TEST(replicas_without_room_are_waited_for_and_do_not_send_reads_to_the_leader)
{
	struct topology *t = a_cluster();
	for (int fallback = READ_FALLBACK_LEADER; fallback <= READ_FALLBACK_REFUSE; fallback++) {
		struct route_request r = { .lane = LANE_READ, .excluded = 1u << 1 | 1u << 2 | 1u << 3,
		                           .fallback = (enum read_fallback)fallback };
		ck_assert_int_eq(route_choose(t, &r).result, ROUTE_WAIT);
	}
	topology_unref(t);
}
END_TEST

START_TEST(weight_counts_like_room)
{
	struct topology *t = a_cluster();
	t->member[1].weight = 300;
	t->member[2].weight = 0; /* never */
	uint32_t busy[CLUSTER_MEMBERS_MAX] = { 0, 5, 0, 2 };
	struct route_request r = { .lane = LANE_READ, .busy = busy };
	ck_assert_uint_eq(route_choose(t, &r).index, 1);
	busy[1] = 7;
	ck_assert_uint_eq(route_choose(t, &r).index, 3);
	topology_unref(t);
}
END_TEST

START_TEST(equals_take_turns_in_proportion_to_their_weight)
{
	struct topology *t = a_cluster();
	t->member[2].weight = 200;
	struct route_recent recent = { 0 };
	uint32_t chosen[4] = { 0 };
	for (int i = 0; i < 4000; i++) {
		struct route to = route_choose(t, &(struct route_request){ .lane = LANE_READ, .recent = &recent });
		ck_assert_int_eq(to.result, ROUTE_MEMBER);
		chosen[to.index]++;
		route_note(&recent, t->member[to.index].id);
	}
	ck_assert_uint_eq(chosen[0], 0);
	ck_assert(chosen[1] > 900 && chosen[1] < 1100);
	ck_assert(chosen[2] > 1900 && chosen[2] < 2100);
	ck_assert(chosen[3] > 900 && chosen[3] < 1100);
	topology_unref(t);
}
END_TEST

START_TEST(one_that_comes_back_is_not_flooded)
{
	struct topology *t = a_cluster();
	struct route_recent recent = { 0 };
	struct route_request r = { .lane = LANE_READ, .recent = &recent };
	t->member[3].why_not_read = "its PostgreSQL is not running";
	for (int i = 0; i < 100000; i++)
		route_note(&recent, t->member[route_choose(t, &r).index].id);
	t->member[3].why_not_read = NULL;
	int in_a_row = 0;
	while (route_choose(t, &r).index == 3) {
		route_note(&recent, 3);
		in_a_row++;
	}
	ck_assert_int_gt(in_a_row, 0);
	ck_assert_int_le(in_a_row, 64);
	topology_unref(t);
}
END_TEST

START_TEST(without_a_replica_the_fallback_decides)
{
	struct topology *t = a_cluster();
	lose_replicas(t);
	struct route_request r = { .lane = LANE_READ, .fallback = READ_FALLBACK_LEADER };
	ck_assert_int_eq(route_choose(t, &r).result, ROUTE_MEMBER);
	ck_assert_uint_eq(route_choose(t, &r).index, 0);
	r.fallback = READ_FALLBACK_HOLD;
	ck_assert_int_eq(route_choose(t, &r).result, ROUTE_WAIT);
	r.fallback = READ_FALLBACK_REFUSE;
	ck_assert_int_eq(route_choose(t, &r).result, ROUTE_REFUSE);
	ck_assert_str_eq(route_choose(t, &r).why, "no replica is fit to read from");
	t->leader = -1;
	t->why_no_leader = "nobody";
	r.fallback = READ_FALLBACK_LEADER;
	ck_assert_int_eq(route_choose(t, &r).result, ROUTE_WAIT);
	topology_unref(t);
}
END_TEST

START_TEST(one_living_replica_keeps_reads_off_the_leader)
{
	struct topology *t = a_cluster();
	lose_replicas(t);
	t->member[2].why_not_read = NULL;
	uint32_t busy[CLUSTER_MEMBERS_MAX] = { 0, 0, 1000000, 0 };
	struct route to = route_choose(t, &(struct route_request){ .lane = LANE_READ, .busy = busy, .fallback = READ_FALLBACK_LEADER });
	ck_assert_uint_eq(to.index, 2);
	topology_unref(t);
}
END_TEST

START_TEST(doubtful_replicas_are_the_second_choice)
{
	struct topology *t = a_cluster();
	uint32_t busy[CLUSTER_MEMBERS_MAX] = { 0, 0, 900, 900 };
	struct route_request r = { .lane = LANE_READ, .busy = busy, .fallback = READ_FALLBACK_REFUSE };
	ck_assert_uint_eq(route_choose(t, &r).index, 1);
	t->member[1].why_doubted = "a session on it broke off";
	ck_assert_uint_eq(route_choose(t, &r).index, 2);
	r.excluded = 1u << 2 | 1u << 3; /* the good ones are full: they are waited for */
	ck_assert_int_eq(route_choose(t, &r).result, ROUTE_WAIT);
	r.excluded = 0;
	t->member[2].why_doubted = t->member[3].why_doubted = t->member[1].why_doubted;
	ck_assert_uint_eq(route_choose(t, &r).index, 1); /* better than none, and than the leader */
	t->member[2].why_doubted = NULL;
	t->member[2].why_not_read = "its replay is paused";
	ck_assert_uint_eq(route_choose(t, &r).index, 1);
	t->member[0].why_doubted = "a session on it broke off"; /* nobody else can take writes */
	r.lane = LANE_WRITE;
	ck_assert_uint_eq(route_choose(t, &r).index, 0);
	topology_unref(t);
}
END_TEST

START_TEST(plain_members_serve_both_lanes)
{
	struct topology *t = a_cluster();
	t->is_plain = true;
	t->leader = -1;
	for (int i = 0; i < 4; i++)
		t->member[i].why_not_read = t->member[i].why_not_write = NULL;
	uint32_t busy[CLUSTER_MEMBERS_MAX] = { 4, 3, 2, 1 };
	for (int lane = 0; lane < LANES; lane++) {
		struct route_request r = { .lane = (enum lane)lane, .busy = busy, .fallback = READ_FALLBACK_REFUSE };
		ck_assert_uint_eq(route_choose(t, &r).index, 3);
		r.in_order = true;
		ck_assert_uint_eq(route_choose(t, &r).index, 0);
		r.excluded = 1;
		ck_assert_uint_eq(route_choose(t, &r).index, 1);
		r.excluded = 15;
		ck_assert_int_eq(route_choose(t, &r).result, ROUTE_WAIT);
	}
	topology_unref(t);
}
END_TEST

START_TEST(lanes_have_names)
{
	ck_assert_str_eq(lane_name(LANE_WRITE), "write");
	ck_assert_str_eq(lane_name(LANE_READ), "read");
}
END_TEST

int
main(void)
{
	const TTest *const rules[] = {
		writes_go_to_the_leader_or_wait,
		a_leader_that_was_tried_is_waited_for,
		reads_go_to_the_replica_that_is_least_busy,
		weight_counts_like_room,
		equals_take_turns_in_proportion_to_their_weight,
		one_that_comes_back_is_not_flooded,
		without_a_replica_the_fallback_decides,
		one_living_replica_keeps_reads_off_the_leader,
		replicas_without_room_are_waited_for_and_do_not_send_reads_to_the_leader,
		doubtful_replicas_are_the_second_choice,
		plain_members_serve_both_lanes,
		lanes_have_names,
	};
	return suite_run("cluster/route", rules, sizeof(rules) / sizeof(rules[0]));
}
