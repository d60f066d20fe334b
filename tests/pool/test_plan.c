/* tests/pool/test_plan.c - pool/plan: what should happen next. */
#include "../suite.h"
#include "world.h"

static void
wait_for(struct waiter *waiter, enum lane lane)
{
	memset(waiter, 0, sizeof(*waiter));
	pool_wait(&w.pool, waiter, lane, w.view.now_us);
}

/* As settle does with PLAN_OPEN. */
static struct slot *
open_planned(const struct plan *plan)
{
	ck_assert_int_eq(plan->act, PLAN_OPEN);
	return world_slot(&w.pool, plan->member, SLOT_LOGIN);
}

START_TEST(a_free_server_goes_to_the_client_that_waited_longest)
{
	struct waiter early, late;
	world_begin();
	wait_for(&early, LANE_WRITE);
	w.view.now_us += SECOND_US;
	wait_for(&late, LANE_WRITE);
	struct slot *s = world_slot(&w.pool, 0, SLOT_IDLE);
	struct plan plan = plan_now();
	ck_assert_int_eq(plan.act, PLAN_LINK);
	ck_assert_ptr_eq(plan.waiter, &early);
	ck_assert_ptr_eq(plan.slot, s);
	pool_leave(&early);
	pool_leave(&late);
	ck_assert_int_eq(plan_now().act, PLAN_NOTHING);
	world_end();
}
END_TEST

START_TEST(one_connection_is_opened_for_each_that_waits_up_to_the_size)
{
	struct waiter waiters[4];
	world_begin();
	for (int i = 0; i < 4; i++)
		wait_for(&waiters[i], LANE_WRITE);
	for (int i = 0; i < 2; i++) {
		struct plan plan = plan_now();
		ck_assert_uint_eq(plan.member, 0);
		open_planned(&plan);
	}
	struct plan plan = plan_now();
	ck_assert_int_eq(plan.act, PLAN_NOTHING); /* pool_size 2 */
	ck_assert_uint_eq(plan.again_us, 0);
	for (int i = 1; i < 4; i++)
		pool_leave(&waiters[i]);
	w.pool.rules.pool_size = 0; /* no limit, but what is on its way is enough */
	ck_assert_int_eq(plan_now().act, PLAN_NOTHING);
	pool_leave(&waiters[0]);
	world_end();
}
END_TEST

START_TEST(what_is_being_tested_counts_as_on_its_way)
{
	struct waiter waiter;
	world_begin();
	world_slot(&w.pool, 0, SLOT_TESTED);
	wait_for(&waiter, LANE_WRITE);
	ck_assert_int_eq(plan_now().act, PLAN_NOTHING);
	pool_leave(&waiter);
	world_end();
}
END_TEST

START_TEST(what_is_on_its_way_to_a_replica_does_not_serve_a_writer)
{
	struct waiter reader, writer;
	world_begin();
	world_slot(&w.pool, 1, SLOT_LOGIN);
	wait_for(&reader, LANE_READ);
	ck_assert_int_eq(plan_now().act, PLAN_NOTHING);
	wait_for(&writer, LANE_WRITE);
	struct plan plan = plan_now();
	ck_assert_int_eq(plan.act, PLAN_OPEN);
	ck_assert_uint_eq(plan.member, 0);
	pool_leave(&reader);
	pool_leave(&writer);
	world_end();
}
END_TEST

START_TEST(a_login_that_is_late_is_no_reason_to_leave_another_member_alone)
{
	struct waiter reader, writer;
	world_begin();
	wait_for(&reader, LANE_READ);
	struct plan plan = plan_now();
	struct slot *first = open_planned(&plan);
	plan = plan_now();
	ck_assert_int_eq(plan.act, PLAN_NOTHING);
	ck_assert_uint_eq(plan.again_us, w.view.now_us + LOGIN_LATE_US); /* nothing else would wake us */
	w.view.now_us += LOGIN_LATE_US;
	plan = plan_now();
	struct slot *second = open_planned(&plan);
	ck_assert_uint_eq(second->at->id, 3 - first->at->id); /* of 1 and 2 the other one */
	ck_assert_int_eq(plan_now().act, PLAN_NOTHING);
	w.view.now_us += LOGIN_LATE_US; /* that one is late as well: no more than one for each that waits at the slow ones */
	ck_assert_int_eq(plan_now().act, PLAN_NOTHING);

	wait_for(&writer, LANE_WRITE); /* there is one leader: late or not, its login is waited for */
	plan = plan_now();
	ck_assert_uint_eq(plan.member, 0);
	open_planned(&plan);
	w.view.now_us += LOGIN_LATE_US;
	plan = plan_now();
	ck_assert_int_eq(plan.act, PLAN_NOTHING);
	ck_assert_uint_eq(plan.again_us, 0);
	pool_leave(&reader);
	pool_leave(&writer);
	world_end();
}
END_TEST

START_TEST(at_hosts_without_roles_a_late_login_counts_for_its_own_host_only)
{
	struct waiter waiters[2];
	world_begin();
	world_plain();
	for (int i = 0; i < 2; i++)
		wait_for(&waiters[i], LANE_WRITE);
	struct slot *late = NULL;
	for (int i = 0; i < 2; i++) {
		struct plan plan = plan_now();
		late = open_planned(&plan);
	}
	ck_assert_int_eq(plan_now().act, PLAN_NOTHING);
	w.view.now_us += LOGIN_LATE_US;
	for (int i = 0; i < 2; i++) {
		struct plan plan = plan_now();
		ck_assert_uint_ne(plan.member, late->at->id);
		open_planned(&plan);
	}
	ck_assert_int_eq(plan_now().act, PLAN_NOTHING);
	for (int i = 0; i < 2; i++)
		pool_leave(&waiters[i]);
	world_end();
}
END_TEST

START_TEST(only_so_many_logins_at_once)
{
	struct waiter waiters[40];
	world_begin();
	w.pool.rules.pool_size = 0;
	for (int i = 0; i < 40; i++)
		wait_for(&waiters[i], LANE_WRITE);
	struct plan plan;
	for (int i = 0; i < LOGINS_AT_ONCE; i++) {
		plan = plan_now();
		open_planned(&plan);
	}
	ck_assert_int_eq(plan_now().act, PLAN_NOTHING);
	for (int i = 0; i < 40; i++)
		pool_leave(&waiters[i]);
	world_end();
}
END_TEST

START_TEST(the_reserve_is_opened_for_who_waited_long)
{
	struct waiter waiter;
	world_begin();
	w.pool.rules.reserve_pool_size = 1;
	w.settings.reserve_pool_timeout_us = 5 * SECOND_US;
	world_slot(&w.pool, 0, SLOT_ACTIVE);
	world_slot(&w.pool, 0, SLOT_ACTIVE);
	wait_for(&waiter, LANE_WRITE);
	uint64_t then = w.view.now_us + 5 * SECOND_US;
	struct plan plan = plan_now();
	ck_assert_int_eq(plan.act, PLAN_NOTHING);
	ck_assert_uint_eq(plan.again_us, then);
	w.view.now_us = then - 1;
	ck_assert_int_eq(plan_now().act, PLAN_NOTHING);
	w.view.now_us = then;
	plan = plan_now();
	open_planned(&plan);
	pool_leave(&waiter);
	wait_for(&waiter, LANE_WRITE);
	w.view.now_us += 60 * SECOND_US;
	ck_assert_int_eq(plan_now().act, PLAN_NOTHING); /* it is used up */
	w.settings.reserve_pool_timeout_us = 0;
	ck_assert_int_eq(plan_now().act, PLAN_NOTHING);
	pool_leave(&waiter);
	world_end();
}
END_TEST

START_TEST(a_member_that_refused_is_left_alone_for_a_while)
{
	struct waiter waiter;
	world_begin();
	wait_for(&waiter, LANE_WRITE);
	pool_at(&w.pool, 0)->retry_us = w.view.now_us + SECOND_US;
	struct plan plan = plan_now();
	ck_assert_int_eq(plan.act, PLAN_NOTHING);
	ck_assert_uint_eq(plan.again_us, w.view.now_us + SECOND_US);
	w.view.now_us += SECOND_US;
	ck_assert_int_eq(plan_now().act, PLAN_OPEN);
	pool_leave(&waiter);
	world_end();
}
END_TEST

START_TEST(who_waits_for_a_login_that_was_refused_is_told_so)
{
	struct waiter waiter;
	world_begin();
	wait_for(&waiter, LANE_WRITE);
	w.pool.refusal = heap_string("password authentication failed");
	strcpy(w.pool.refusal_state, "28P01");
	pool_at(&w.pool, 0)->retry_us = w.view.now_us + SECOND_US;
	struct plan plan = plan_now();
	ck_assert_int_eq(plan.act, PLAN_REFUSE);
	ck_assert_ptr_eq(plan.waiter, &waiter);
	ck_assert_str_eq(plan.fault.sqlstate, "28P01");
	ck_assert_str_eq(plan.fault.text, "password authentication failed");
	world_slot(&w.pool, 0, SLOT_ACTIVE); /* one works: there is hope */
	ck_assert_int_eq(plan_now().act, PLAN_NOTHING);
	pool_leave(&waiter);
	world_end();
}
END_TEST

START_TEST(limits_of_database_and_user_make_the_idle_of_others_give_way)
{
	struct waiter waiter;
	world_begin();
	w.pool.rules.max_db_connections = 2;
	struct slot *older = world_slot(&w.other, 0, SLOT_IDLE);
	w.view.now_us++;
	struct slot *newer = world_slot(&w.other, 1, SLOT_IDLE);
	wait_for(&waiter, LANE_WRITE);
	struct plan plan = plan_now();
	ck_assert_int_eq(plan.act, PLAN_EVICT);
	ck_assert_ptr_eq(plan.slot, older);
	slot_enter(older, older->at, SLOT_ACTIVE, w.view.now_us);
	plan = plan_now();
	ck_assert_int_eq(plan.act, PLAN_EVICT);
	ck_assert_ptr_eq(plan.slot, newer);
	slot_enter(newer, newer->at, SLOT_ACTIVE, w.view.now_us);
	ck_assert_int_eq(plan_now().act, PLAN_NOTHING);

	/* of a user: another pool of the same user, not another user's */
	w.pool.rules.max_db_connections = 0;
	w.pool.rules.max_user_connections = 1;
	slot_enter(newer, newer->at, SLOT_IDLE, w.view.now_us);
	struct database two = { .config = &w.database_config, .load = &w.load };
	struct pool third;
	list_init(&two.pools);
	pool_init(&third, &two, &w.role, &w.other.rules);
	struct slot *s = world_slot(&third, 0, SLOT_IDLE);
	plan = plan_now();
	ck_assert_int_eq(plan.act, PLAN_EVICT);
	ck_assert_ptr_eq(plan.slot, s);
	slot_enter(s, s->at, SLOT_NONE, 0);
	ck_assert_int_eq(plan_now().act, PLAN_OPEN);
	pool_leave(&waiter);
	pool_fini(&third);
	world_end();
}
END_TEST

START_TEST(who_was_idle_for_long_is_asked_whether_it_lives)
{
	struct waiter waiter;
	world_begin();
	struct slot *s = world_slot(&w.pool, 0, SLOT_IDLE);
	w.view.now_us += 31 * SECOND_US;
	wait_for(&waiter, LANE_WRITE);
	struct plan plan = plan_now();
	ck_assert_int_eq(plan.act, PLAN_CHECK);
	ck_assert_ptr_eq(plan.slot, s);
	s->is_close_needed = true;
	ck_assert_int_eq(plan_now().act, PLAN_OPEN);
	s->is_close_needed = false;
	w.settings.server_check_query = "";
	ck_assert_int_eq(plan_now().act, PLAN_LINK);
	pool_leave(&waiter);
	world_end();
}
END_TEST

START_TEST(sessions_of_a_promoted_standby_are_asked_for_their_role_now_and_then)
{
	struct waiter waiter;
	world_begin();
	w.pool.rules.pool_size = 1;
	struct slot *s = world_slot(&w.pool, 0, SLOT_IDLE);
	s->is_standby = true; /* its member leads now; it does not know yet */
	wait_for(&waiter, LANE_WRITE);
	struct plan plan = plan_now();
	ck_assert_int_eq(plan.act, PLAN_ASK);
	ck_assert_ptr_eq(plan.slot, s);
	s->asked_us = w.view.now_us;
	plan = plan_now();
	ck_assert_int_eq(plan.act, PLAN_NOTHING);
	ck_assert_uint_eq(plan.again_us, w.view.now_us + ROLE_ASK_INTERVAL_US);
	pool_leave(&waiter);
	world_end();
}
END_TEST

START_TEST(while_nobody_leads_standing_sessions_are_asked)
{
	struct waiter waiter;
	world_begin();
	struct slot *one = world_slot(&w.pool, 1, SLOT_IDLE), *two = world_slot(&w.pool, 2, SLOT_IDLE);
	world_without_leader();
	wait_for(&waiter, LANE_WRITE);
	struct plan plan = plan_now();
	ck_assert_int_eq(plan.act, PLAN_ASK);
	ck_assert_ptr_eq(plan.slot, one);
	one->asked_us = w.view.now_us;
	plan = plan_now();
	ck_assert_int_eq(plan.act, PLAN_ASK);
	ck_assert_ptr_eq(plan.slot, two);
	two->asked_us = w.view.now_us + 1;
	plan = plan_now();
	ck_assert_int_eq(plan.act, PLAN_NOTHING);
	ck_assert_uint_eq(plan.again_us, w.view.now_us + ROLE_ASK_INTERVAL_US);
	pool_leave(&waiter);
	world_end();
}
END_TEST

START_TEST(where_only_sessions_tell_the_role_one_is_opened_at_each_member_that_wants_it)
{
	struct waiter waiter;
	world_begin();
	world_without_leader();
	w.topology->member[1].wants_session = w.topology->member[2].wants_session = true;
	wait_for(&waiter, LANE_WRITE);
	struct plan plan = plan_now();
	ck_assert_uint_eq(plan.member, 1);
	open_planned(&plan);
	plan = plan_now();
	ck_assert_uint_eq(plan.member, 2);
	open_planned(&plan);
	ck_assert_int_eq(plan_now().act, PLAN_NOTHING);
	pool_leave(&waiter);
	world_end();
}
END_TEST

START_TEST(reads_without_a_replica_wait_fall_back_or_are_refused_as_set)
{
	struct waiter waiter;
	world_begin();
	w.topology->member[1].why_not_read = w.topology->member[2].why_not_read = "it lags";
	wait_for(&waiter, LANE_READ);
	struct plan plan = plan_now();
	ck_assert_int_eq(plan.act, PLAN_OPEN);
	ck_assert_uint_eq(plan.member, 0);
	pool_at(&w.pool, 0)->wants_open = false;
	w.load.read_fallback = READ_FALLBACK_HOLD;
	ck_assert_int_eq(plan_now().act, PLAN_NOTHING);
	w.load.read_fallback = READ_FALLBACK_REFUSE;
	plan = plan_now();
	ck_assert_int_eq(plan.act, PLAN_REFUSE);
	ck_assert_str_eq(plan.fault.sqlstate, SQLSTATE_CANNOT_CONNECT_NOW);
	pool_leave(&waiter);
	world_end();
}
END_TEST

START_TEST(a_replica_that_was_wished_for_is_opened_or_woken)
{
	world_begin();
	struct pool_member *at = pool_at(&w.pool, 1);
	at->wants_open = true;
	struct plan plan = plan_now();
	ck_assert_int_eq(plan.act, PLAN_OPEN);
	ck_assert_uint_eq(plan.member, 1);
	ck_assert(!at->wants_open);
	struct slot *s = world_slot(&w.pool, 1, SLOT_IDLE);
	at->wants_open = true;
	ck_assert_int_eq(plan_now().act, PLAN_NOTHING); /* it has one, fresh */
	w.view.now_us += 31 * SECOND_US;
	at->wants_open = true;
	plan = pool_upkeep(&w.pool, &w.view);
	ck_assert_int_eq(plan.act, PLAN_CHECK);
	ck_assert_ptr_eq(plan.slot, s);
	slot_enter(s, s->at, SLOT_LOGIN, w.view.now_us);
	at->wants_open = true;
	ck_assert_int_eq(plan_now().act, PLAN_NOTHING);
	world_end();
}
END_TEST

START_TEST(plain_hosts_serve_both_lanes)
{
	struct waiter waiter;
	world_begin();
	world_plain();
	w.database_config.load_balance_hosts = LOAD_BALANCE_HOSTS_DISABLE;
	wait_for(&waiter, LANE_WRITE);
	struct plan plan = plan_now();
	ck_assert_uint_eq(plan.member, 0);
	open_planned(&plan);
	ck_assert_int_eq(plan_now().act, PLAN_NOTHING);
	struct slot *s = world_slot(&w.pool, 2, SLOT_IDLE);
	ck_assert_int_eq(plan_now().act, PLAN_LINK);
	s->is_standby = true; /* not asked for here */
	ck_assert_int_eq(plan_now().act, PLAN_LINK);
	ck_assert_ptr_null(slot_why_close(s, w.topology));
	pool_leave(&waiter);
	world_end();
}
END_TEST

START_TEST(paused_means_nothing_new)
{
	struct waiter waiter;
	world_begin();
	wait_for(&waiter, LANE_WRITE);
	world_slot(&w.pool, 0, SLOT_IDLE);
	w.view.is_paused = true;
	ck_assert_int_eq(plan_now().act, PLAN_NOTHING);
	w.view.is_paused = false;
	w.database.is_paused = true;
	ck_assert_int_eq(plan_now().act, PLAN_NOTHING);
	w.pool.rules.min_pool_size = 2;
	w.pool.clients = 1;
	w.pool.was_asked[LANE_WRITE] = true;
	ck_assert_int_eq(pool_upkeep(&w.pool, &w.view).act, PLAN_NOTHING);
	w.database.is_paused = false;
	ck_assert_int_eq(plan_now().act, PLAN_LINK);
	pool_leave(&waiter);
	world_end();
}
END_TEST

START_TEST(a_slot_is_closed_when_its_member_is_not_what_it_was)
{
	world_begin();
	struct slot *leader = world_slot(&w.pool, 0, SLOT_IDLE), *replica = world_slot(&w.pool, 1, SLOT_IDLE);
	ck_assert_ptr_null(slot_why_close(leader, w.topology));
	ck_assert_ptr_null(slot_why_close(replica, w.topology));
	w.topology->leader = 1; /* the lead has moved: the promoted one's sessions are kept */
	ck_assert_ptr_nonnull(slot_why_close(leader, w.topology));
	ck_assert_ptr_null(slot_why_close(replica, w.topology));
	w.topology->leader = -1; /* nobody leads: a session that was writable is kept, unless its member says otherwise */
	ck_assert_ptr_null(slot_why_close(leader, w.topology));
	w.topology->member[0].role = MEMBER_REPLICA;
	ck_assert_ptr_nonnull(slot_why_close(leader, w.topology));
	w.topology->has_patroni = false;
	ck_assert_ptr_null(slot_why_close(leader, w.topology));
	w.topology->count = 1; /* member 1 has left */
	ck_assert_ptr_nonnull(slot_why_close(replica, w.topology));
	struct plan plan = pool_upkeep(&w.pool, &w.view);
	ck_assert_int_eq(plan.act, PLAN_CLOSE);
	ck_assert_ptr_eq(plan.slot, replica);
	replica->is_close_needed = true;
	ck_assert_str_eq(slot_why_close(replica, w.topology), "close needed");
	world_end();
}
END_TEST

START_TEST(old_ones_go_one_by_one)
{
	world_begin();
	w.settings.server_idle_timeout_us = 0;
	w.pool.rules.server_lifetime_us = 100 * SECOND_US;
	for (int i = 0; i < 4; i++)
		world_slot(&w.pool, 0, SLOT_IDLE);
	ck_assert_int_eq(pool_upkeep(&w.pool, &w.view).act, PLAN_NOTHING);
	w.view.now_us += 101 * SECOND_US;
	for (int i = 0; i < 3; i++) {
		struct plan plan = pool_upkeep(&w.pool, &w.view);
		ck_assert_int_eq(plan.act, PLAN_CLOSE);
		ck_assert_str_eq(plan.why, "server lifetime over");
		slot_enter(plan.slot, plan.slot->at, SLOT_NONE, 0);
		uint64_t share = 100 * SECOND_US / pool_at(&w.pool, 0)->count;
		w.view.now_us += share;
		ck_assert_int_eq(pool_upkeep(&w.pool, &w.view).act, PLAN_NOTHING);
		w.view.now_us += 1;
	}
	w.pool.rules.server_lifetime_us = 0;
	ck_assert_int_eq(pool_upkeep(&w.pool, &w.view).act, PLAN_CLOSE);
	world_end();
}
END_TEST

START_TEST(without_patroni_a_member_that_came_back_is_looked_for_although_others_serve)
{
	world_begin();
	w.topology->has_patroni = false;
	world_slot(&w.pool, 0, SLOT_IDLE);
	world_slot(&w.pool, 1, SLOT_IDLE);
	w.topology->member[2].wants_session = true;
	ck_assert_int_eq(pool_upkeep(&w.pool, &w.view).act, PLAN_NOTHING); /* nobody is there who could use it */
	w.pool.was_asked[LANE_WRITE] = true;
	w.pool.clients = 1;
	struct plan plan = pool_upkeep(&w.pool, &w.view);
	ck_assert_int_eq(plan.act, PLAN_OPEN);
	ck_assert_uint_eq(plan.member, 2);
	pool_at(&w.pool, 2)->retry_us = w.view.now_us + SECOND_US; /* it has just refused */
	ck_assert_int_eq(pool_upkeep(&w.pool, &w.view).act, PLAN_NOTHING);
	w.view.now_us += SECOND_US;
	ck_assert_int_eq(pool_upkeep(&w.pool, &w.view).act, PLAN_OPEN);
	world_slot(&w.pool, 2, SLOT_LOGIN); /* on its way */
	ck_assert_int_eq(pool_upkeep(&w.pool, &w.view).act, PLAN_NOTHING);
	world_end();
}
END_TEST

START_TEST(idle_ones_go_down_to_the_minimum_which_is_kept_up)
{
	world_begin();
	w.pool.rules.min_pool_size = 1;
	world_slot(&w.pool, 0, SLOT_IDLE);
	world_slot(&w.pool, 0, SLOT_IDLE);
	w.view.now_us += 601 * SECOND_US;
	struct plan plan = pool_upkeep(&w.pool, &w.view);
	ck_assert_int_eq(plan.act, PLAN_CLOSE);
	ck_assert_str_eq(plan.why, "server idle timeout");
	slot_enter(plan.slot, plan.slot->at, SLOT_NONE, 0);
	ck_assert_int_eq(pool_upkeep(&w.pool, &w.view).act, PLAN_NOTHING);

	w.pool.rules.min_pool_size = 2; /* only where clients have been, and only while there are some */
	ck_assert_int_eq(pool_upkeep(&w.pool, &w.view).act, PLAN_NOTHING);
	w.pool.clients = 1;
	ck_assert_int_eq(pool_upkeep(&w.pool, &w.view).act, PLAN_NOTHING);
	w.pool.was_asked[LANE_WRITE] = true;
	plan = pool_upkeep(&w.pool, &w.view);
	ck_assert_int_eq(plan.act, PLAN_OPEN);
	ck_assert_uint_eq(plan.member, 0);
	open_planned(&plan);
	ck_assert_int_eq(pool_upkeep(&w.pool, &w.view).act, PLAN_NOTHING);
	w.pool.was_asked[LANE_READ] = true;
	ck_assert_uint_eq(pool_upkeep(&w.pool, &w.view).member, 1);
	w.pool.clients = 0;
	w.database_config.user = "forced"; /* then it is known in advance which servers there will be */
	pool_at(&w.pool, 1)->retry_us = pool_at(&w.pool, 2)->retry_us = UINT64_MAX;
	ck_assert_int_eq(pool_upkeep(&w.pool, &w.view).act, PLAN_NOTHING);
	world_end();
}
END_TEST

static void
wait_for_own(struct waiter *waiter, enum lane lane)
{
	memset(waiter, 0, sizeof(*waiter));
	waiter->needs_own = true;
	pool_wait(&w.pool, waiter, lane, w.view.now_us);
}

/* As replication_open() does. */
static struct slot *
open_own(const struct plan *plan, struct waiter *waiter)
{
	ck_assert_int_eq(plan->act, PLAN_OPEN);
	ck_assert_ptr_eq(plan->waiter, waiter);
	pool_leave(waiter);
	return world_slot(&w.pool, plan->member, SLOT_DEDICATED);
}

START_TEST(who_needs_a_connection_of_its_own_gets_a_new_one_and_nobody_else_gets_that)
{
	struct waiter own, other;
	world_begin();
	w.pool.rules.pool_size = 3;
	struct slot *idle = world_slot(&w.pool, 0, SLOT_IDLE);
	wait_for_own(&own, LANE_WRITE);
	struct plan plan = plan_now();
	open_own(&plan, &own);
	ck_assert_uint_eq(plan.member, 0);
	wait_for(&other, LANE_WRITE);
	plan = plan_now();
	ck_assert_int_eq(plan.act, PLAN_LINK);
	ck_assert_ptr_eq(plan.slot, idle);
	slot_enter(idle, idle->at, SLOT_ACTIVE, w.view.now_us);
	ck_assert_int_eq(plan_now().act, PLAN_OPEN); /* what is on its way is not for it */
	ck_assert_ptr_null(plan_now().waiter);
	pool_leave(&other);

	wait_for_own(&own, LANE_READ);
	plan = plan_now();
	ck_assert_uint_ne(plan.member, 0);
	open_own(&plan, &own);
	world_end();
}
END_TEST

START_TEST(an_idle_one_makes_room_for_one_of_its_own)
{
	struct waiter own;
	world_begin();
	struct slot *idle = world_slot(&w.pool, 0, SLOT_IDLE), *busy = world_slot(&w.pool, 0, SLOT_ACTIVE);
	wait_for_own(&own, LANE_WRITE);
	struct plan plan = plan_now(); /* pool_size 2 */
	ck_assert_int_eq(plan.act, PLAN_EVICT);
	ck_assert_ptr_eq(plan.slot, idle);
	slot_enter(idle, idle->at, SLOT_NONE, 0);
	plan = plan_now();
	open_own(&plan, &own);
	wait_for_own(&own, LANE_WRITE);
	ck_assert_int_eq(plan_now().act, PLAN_NOTHING);

	w.pool.rules.pool_size = 9;
	w.pool.rules.max_db_connections = 3;
	idle = world_slot(&w.other, 0, SLOT_IDLE);
	plan = plan_now();
	ck_assert_int_eq(plan.act, PLAN_EVICT);
	ck_assert_ptr_eq(plan.slot, idle);
	slot_enter(idle, idle->at, SLOT_ACTIVE, 0);
	ck_assert_int_eq(plan_now().act, PLAN_NOTHING);
	slot_enter(idle, idle->at, SLOT_NONE, 0);
	slot_enter(busy, busy->at, SLOT_IDLE, w.view.now_us); /* its own pool's too */
	w.pool.rules.max_db_connections = 0;
	w.pool.rules.max_user_connections = 2;
	ck_assert_ptr_eq(plan_now().slot, busy);
	slot_enter(busy, busy->at, SLOT_NONE, 0);
	plan = plan_now();
	open_own(&plan, &own);
	world_end();
}
END_TEST

START_TEST(of_both_queues_who_waits_longest_goes_first_and_holds_up_nobody)
{
	struct waiter own, other;
	world_begin();
	w.pool.rules.pool_size = 1;
	struct slot *s = world_slot(&w.pool, 0, SLOT_ACTIVE);
	wait_for(&other, LANE_WRITE);
	w.view.now_us++;
	wait_for_own(&own, LANE_WRITE);
	ck_assert_int_eq(plan_now().act, PLAN_NOTHING);
	ck_assert_uint_eq(pool_waiting(&w.pool), 2);
	slot_enter(s, s->at, SLOT_IDLE, w.view.now_us);
	ck_assert_int_eq(plan_now().act, PLAN_LINK);
	pool_leave(&other);
	w.view.now_us++;
	wait_for(&other, LANE_WRITE);
	ck_assert_int_eq(plan_now().act, PLAN_EVICT);
	s->at->retry_us = w.view.now_us + SECOND_US; /* it can't be opened now: then who can be served is */
	ck_assert_int_eq(plan_now().act, PLAN_LINK);
	pool_leave(&other);
	ck_assert_uint_eq(plan_now().again_us, s->at->retry_us);
	s->at->retry_us = 0;
	w.view.is_paused = true;
	ck_assert_int_eq(plan_now().act, PLAN_NOTHING);
	pool_leave(&own);

	struct waiter first;
	w.view.is_paused = false;
	wait_for_own(&first, LANE_WRITE);
	wait_for_own(&own, LANE_WRITE);
	pool_leave(&first);
	pool_wait_again(&w.pool, &first);
	w.pool.rules.pool_size = 0;
	ck_assert_ptr_eq(plan_now().waiter, &first);
	pool_leave(&first);
	pool_leave(&own);
	world_end();
}
END_TEST

START_TEST(where_only_replication_was_nothing_is_kept_ready)
{
	struct waiter own;
	world_begin();
	w.pool.rules.min_pool_size = 2;
	w.pool.clients = 1;
	w.database_config.user = "forced";
	wait_for_own(&own, LANE_WRITE);
	struct plan plan = plan_now();
	open_own(&plan, &own);
	ck_assert_int_eq(pool_upkeep(&w.pool, &w.view).act, PLAN_NOTHING);
	w.topology->has_patroni = false;
	w.topology->member[2].wants_session = true;
	ck_assert_int_eq(pool_upkeep(&w.pool, &w.view).act, PLAN_NOTHING);
	wait_for_own(&own, LANE_WRITE); /* but nobody leads, and it is itself who asks */
	world_without_leader();
	plan = plan_now();
	ck_assert_uint_eq(plan.member, 2);
	open_own(&plan, &own);
	wait_for_own(&own, LANE_READ);
	w.load.read_fallback = READ_FALLBACK_REFUSE;
	w.topology->member[1].why_not_read = w.topology->member[2].why_not_read = "it lags";
	ck_assert_int_eq(plan_now().act, PLAN_REFUSE);
	pool_leave(&own);
	world_end();
}
END_TEST

int
main(void)
{
	const TTest *const rules[] = {
		a_free_server_goes_to_the_client_that_waited_longest,
		one_connection_is_opened_for_each_that_waits_up_to_the_size,
		what_is_being_tested_counts_as_on_its_way,
		what_is_on_its_way_to_a_replica_does_not_serve_a_writer,
		a_login_that_is_late_is_no_reason_to_leave_another_member_alone,
		at_hosts_without_roles_a_late_login_counts_for_its_own_host_only,
		only_so_many_logins_at_once,
		the_reserve_is_opened_for_who_waited_long,
		a_member_that_refused_is_left_alone_for_a_while,
		who_waits_for_a_login_that_was_refused_is_told_so,
		limits_of_database_and_user_make_the_idle_of_others_give_way,
		who_was_idle_for_long_is_asked_whether_it_lives,
		sessions_of_a_promoted_standby_are_asked_for_their_role_now_and_then,
		while_nobody_leads_standing_sessions_are_asked,
		where_only_sessions_tell_the_role_one_is_opened_at_each_member_that_wants_it,
		reads_without_a_replica_wait_fall_back_or_are_refused_as_set,
		a_replica_that_was_wished_for_is_opened_or_woken,
		plain_hosts_serve_both_lanes,
		paused_means_nothing_new,
		a_slot_is_closed_when_its_member_is_not_what_it_was,
		old_ones_go_one_by_one,
		without_patroni_a_member_that_came_back_is_looked_for_although_others_serve,
		idle_ones_go_down_to_the_minimum_which_is_kept_up,
		who_needs_a_connection_of_its_own_gets_a_new_one_and_nobody_else_gets_that,
		an_idle_one_makes_room_for_one_of_its_own,
		of_both_queues_who_waits_longest_goes_first_and_holds_up_nobody,
		where_only_replication_was_nothing_is_kept_ready,
	};
	return suite_run("pool/plan", rules, sizeof(rules) / sizeof(rules[0]));
}
