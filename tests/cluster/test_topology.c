/* tests/cluster/test_topology.c - snapshots. */
#include "cluster/topology.h"

#include <string.h>

#include "../suite.h"

static struct topology *
two_members(void)
{
	struct topology *t = topology_new(2);
	t->member[0] = (struct member){ .id = 3, .name = "a", .host = "ha", .port = 1, .why_not_write = "no lock" };
	t->member[1] = (struct member){ .id = 1, .name = "b", .host = "hb", .port = 2, .why_not_read = "lags" };
	return t;
}

START_TEST(members_are_found_by_id_and_by_name)
{
	struct topology *t = two_members();
	ck_assert_ptr_eq(topology_member(t, 3), &t->member[0]);
	ck_assert_ptr_eq(topology_member(t, 1), &t->member[1]);
	ck_assert_ptr_null(topology_member(t, 0));
	ck_assert_ptr_eq(topology_member_named(t, "b"), &t->member[1]);
	ck_assert_ptr_null(topology_member_named(t, "c"));
	ck_assert_ptr_null(topology_leader(t));
	t->leader = 1;
	ck_assert_ptr_eq(topology_leader(t), &t->member[1]);
	topology_unref(t);
}
END_TEST

START_TEST(a_snapshot_lives_as_long_as_its_last_reference)
{
	struct topology *t = two_members();
	const struct topology *second = topology_ref(t);
	topology_unref(t);
	ck_assert_str_eq(second->member[0].name, "a");
	topology_unref(second);
	topology_unref(NULL);
}
END_TEST

#define DIFFERS(change)                                                                                                \
	do {                                                                                                            \
		struct topology *a = two_members(), *b = two_members();                                                  \
		ck_assert(!topology_differs(a, b));                                                                      \
		change;                                                                                                  \
		ck_assert_msg(topology_differs(a, b) && topology_differs(b, a), "%s", #change);                          \
		topology_unref(a);                                                                                       \
		topology_unref(b);                                                                                       \
	} while (0)

START_TEST(whatever_somebody_would_act_on_makes_a_difference)
{
	DIFFERS(b->leader = 0);
	DIFFERS(b->timeline = 2);
	DIFFERS(b->is_stale = true);
	DIFFERS(b->is_paused = true);
	DIFFERS(b->is_plain = true);
	DIFFERS(b->has_patroni = true);
	DIFFERS(b->why_no_leader = "nobody");
	DIFFERS(b->count = 1);
	DIFFERS(b->member[1].id = 7);
	DIFFERS(b->member[1].port = 7);
	DIFFERS(b->member[1].role = MEMBER_REPLICA);
	DIFFERS(b->member[1].state = MEMBER_RUNNING);
	DIFFERS(b->member[1].timeline = 7);
	DIFFERS(b->member[1].weight = 7);
	DIFFERS(b->member[1].is_reachable = true);
	DIFFERS(b->member[1].no_loadbalance = true);
	DIFFERS(b->member[1].no_failover = true);
	DIFFERS(b->member[1].patroni_says_leader = true);
	DIFFERS(b->member[1].server_says_writable = true);
	DIFFERS(b->member[1].server_says_recovery = true);
	DIFFERS(b->member[1].wants_session = true);
	DIFFERS(b->member[1].is_lagging = true);
	DIFFERS(strcpy(b->member[1].name, "c"));
	DIFFERS(strcpy(b->member[1].host, "hc"));
	DIFFERS(b->member[1].why_not_read = NULL);
	DIFFERS(b->member[1].why_not_read = "stopped");
	DIFFERS(b->member[1].why_not_write = "no lock");
}
END_TEST

START_TEST(numbers_that_always_move_make_no_difference)
{
	struct topology *a = two_members(), *b = two_members();
	b->generation = 7;
	b->made_us = 8;
	b->member[0].lag_bytes = 1;
	b->member[0].lsn = 2;
	b->member[0].received_lsn = 3;
	b->member[0].seen_us = 4;
	b->member[0].since_us = 5;
	char same_words[] = "no lock";
	b->member[0].why_not_write = same_words;
	ck_assert(!topology_differs(a, b));
	topology_unref(a);
	topology_unref(b);
}
END_TEST

START_TEST(every_role_and_state_has_a_name)
{
	for (int i = 0; i < MEMBER_ROLES; i++)
		ck_assert_ptr_nonnull(member_role_name((enum member_role)i));
	for (int i = 0; i < MEMBER_STATES; i++)
		ck_assert_ptr_nonnull(member_state_name((enum member_state)i));
}
END_TEST

int
main(void)
{
	const TTest *const rules[] = {
		members_are_found_by_id_and_by_name,
		a_snapshot_lives_as_long_as_its_last_reference,
		whatever_somebody_would_act_on_makes_a_difference,
		numbers_that_always_move_make_no_difference,
		every_role_and_state_has_a_name,
	};
	return suite_run("cluster/topology", rules, sizeof(rules) / sizeof(rules[0]));
}
