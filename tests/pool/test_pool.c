/* tests/pool/test_pool.c - pool/pool: lists, counts, and the slot that is taken. */
#include "../suite.h"
#include "world.h"

START_TEST(counts_follow_the_slots_through_all_states)
{
	world_begin();
	struct slot *s = world_slot(&w.pool, 0, SLOT_LOGIN);
	world_slot(&w.pool, 1, SLOT_ACTIVE);
	world_slot(&w.other, 0, SLOT_IDLE);
	ck_assert_uint_eq(w.pool.servers, 2);
	ck_assert_uint_eq(w.database.servers, 3);
	ck_assert_uint_eq(w.role.servers, 2);
	ck_assert_uint_eq(w.load.busy[1], 1);
	for (enum slot_state to = SLOT_LOGIN; to < SLOT_STATES; to++) {
		slot_enter(s, s->at, to, 5);
		ck_assert_uint_eq(pool_slots(&w.pool, to), to == SLOT_ACTIVE ? 2 : 1);
		ck_assert_uint_eq(w.load.busy[0], to == SLOT_ACTIVE || to == SLOT_DEDICATED);
		ck_assert_str_ne(slot_state_name(to), "");
	}
	slot_enter(s, s->at, SLOT_NONE, 6);
	ck_assert_ptr_null(s->at);
	ck_assert_uint_eq(w.pool.servers, 1);
	ck_assert_uint_eq(w.database.servers, 2);
	ck_assert_uint_eq(pool_at(&w.pool, 0)->count, 0);
	world_end();
}
END_TEST

START_TEST(the_queue_is_in_order_of_arrival_for_each_lane)
{
	struct waiter a = { 0 }, b = { 0 }, c = { 0 };
	world_begin();
	pool_wait(&w.pool, &a, LANE_WRITE, 10);
	pool_wait(&w.pool, &b, LANE_READ, 5);
	pool_wait(&w.pool, &c, LANE_WRITE, 20);
	ck_assert_uint_eq(pool_waiting(&w.pool), 3);
	ck_assert_uint_eq(pool_longest_wait_us(&w.pool, 100), 95);
	ck_assert_ptr_eq(list_first(&w.pool.waiting[LANE_WRITE]), &a.node);
	pool_leave(&a);
	pool_leave(&a);
	ck_assert(!waiter_is_waiting(&a));
	ck_assert_ptr_eq(list_first(&w.pool.waiting[LANE_WRITE]), &c.node);
	pool_leave(&b);
	ck_assert_uint_eq(pool_longest_wait_us(&w.pool, 100), 80);
	pool_leave(&c);
	ck_assert_uint_eq(pool_longest_wait_us(&w.pool, 100), 0);
	ck_assert(w.pool.was_asked[LANE_WRITE] && w.pool.was_asked[LANE_READ]);
	world_end();
}
END_TEST

static struct slot *
take_as(enum lane lane, bool round_robin, const void *wears)
{
	return pool_take(&w.pool, lane, &(struct pool_wish){ .now_us = w.view.now_us, .round_robin = round_robin, .wears = wears,
	                                                     .check_delay_us = w.settings.server_check_delay_us });
}

static struct slot *
take(enum lane lane, bool round_robin)
{
	return take_as(lane, round_robin, NULL);
}

START_TEST(the_slot_used_last_is_taken_first_or_last_with_round_robin)
{
	world_begin();
	struct slot *old = world_slot(&w.pool, 0, SLOT_IDLE), *young = world_slot(&w.pool, 0, SLOT_IDLE);
	ck_assert_ptr_eq(take(LANE_WRITE, false), young);
	ck_assert_ptr_eq(take(LANE_WRITE, true), old);
	old->is_close_needed = true;
	ck_assert_ptr_eq(take(LANE_WRITE, true), young);
	young->is_close_needed = true;
	ck_assert_ptr_null(take(LANE_WRITE, true));
	ck_assert_ptr_null(take(LANE_WRITE, false));
	world_end();
}
END_TEST

START_TEST(of_the_slots_used_last_one_that_is_as_the_client_is_taken)
{
	static const int mine, other;
	world_begin();
	struct slot *far = world_slot(&w.pool, 0, SLOT_IDLE);
	far->wears = &mine;
	struct slot *s = NULL;
	for (int i = 0; i < 8; i++) {
		s = world_slot(&w.pool, 0, SLOT_IDLE);
		s->wears = &other;
	}
	struct slot *last = s;
	ck_assert_ptr_eq(take_as(LANE_WRITE, false, &mine), last); /* no further than eight are looked at */
	struct slot *near = node_owner(list_last(&w.pool.at[0]->slots[SLOT_IDLE])->prev, struct slot, node);
	near->wears = &mine;
	ck_assert_ptr_eq(take_as(LANE_WRITE, false, &mine), near);
	near->is_close_needed = true;
	ck_assert_ptr_eq(take_as(LANE_WRITE, false, &mine), last);
	near->is_close_needed = false;
	ck_assert_ptr_eq(take_as(LANE_WRITE, false, &other), last);
	ck_assert_ptr_eq(take(LANE_WRITE, false), last);
	ck_assert_ptr_eq(take_as(LANE_WRITE, true, &other), far); /* round robin is round robin */
	world_end();
}
END_TEST

START_TEST(a_slot_that_was_idle_for_long_is_not_taken_unasked)
{
	world_begin();
	struct slot *s = world_slot(&w.pool, 0, SLOT_IDLE);
	w.view.now_us += w.settings.server_check_delay_us;
	ck_assert_ptr_eq(take(LANE_WRITE, false), s);
	w.view.now_us++;
	ck_assert_ptr_null(take(LANE_WRITE, false));
	ck_assert_ptr_eq(pool_take(&w.pool, LANE_WRITE, &(struct pool_wish){ .now_us = w.view.now_us, .check_delay_us = UINT64_MAX }),
	                 s); /* no check query */
	world_end();
}
END_TEST

START_TEST(writes_go_to_the_leader_by_a_session_that_is_none_of_a_standby)
{
	world_begin();
	world_slot(&w.pool, 1, SLOT_IDLE);
	ck_assert_ptr_null(take(LANE_WRITE, false));
	struct slot *s = world_slot(&w.pool, 0, SLOT_IDLE);
	s->is_standby = true;
	ck_assert_ptr_null(take(LANE_WRITE, false));
	s->is_standby = false;
	ck_assert_ptr_eq(take(LANE_WRITE, false), s);
	world_without_leader();
	ck_assert_ptr_null(take(LANE_WRITE, false));
	world_end();
}
END_TEST

START_TEST(reads_are_spread_over_replicas_and_fall_back_to_what_is_there)
{
	world_begin();
	struct slot *one = world_slot(&w.pool, 1, SLOT_IDLE), *two = world_slot(&w.pool, 2, SLOT_IDLE);
	struct slot *first = take(LANE_READ, false), *second = take(LANE_READ, false);
	ck_assert(first != second);
	ck_assert((first == one && second == two) || (first == two && second == one));
	slot_enter(one, one->at, SLOT_ACTIVE, w.view.now_us); /* the busy one is spared */
	for (int i = 0; i < 5; i++)
		ck_assert_ptr_eq(take(LANE_READ, false), two);
	slot_enter(two, two->at, SLOT_ACTIVE, w.view.now_us);
	ck_assert_ptr_null(take(LANE_READ, false));
	w.topology->member[1].why_not_read = w.topology->member[2].why_not_read = "it lags";
	struct slot *leader = world_slot(&w.pool, 0, SLOT_IDLE);
	ck_assert_ptr_eq(take(LANE_READ, false), leader);
	w.load.read_fallback = READ_FALLBACK_HOLD;
	ck_assert_ptr_null(take(LANE_READ, false));
	world_end();
}
END_TEST

START_TEST(the_first_choice_of_a_read_is_remembered_when_it_has_nothing_free)
{
	world_begin();
	struct slot *two = world_slot(&w.pool, 2, SLOT_IDLE);
	w.load.recent.given[2] = 9; /* so that member 1 is preferred */
	ck_assert_ptr_eq(take(LANE_READ, false), two);
	ck_assert(pool_at(&w.pool, 1)->wants_open);
	ck_assert(!pool_at(&w.pool, 2)->wants_open);
	ck_assert_ptr_null(take(LANE_WRITE, false));
	ck_assert(!pool_at(&w.pool, 0)->wants_open); /* a write has no second choice, and waits in the queue */
	world_end();
}
END_TEST

START_TEST(what_servers_refused_is_forgiven)
{
	world_begin();
	pool_at(&w.pool, 0)->retry_us = 99;
	pool_at(&w.pool, 0)->failures = 3;
	w.pool.refusal = heap_string("no");
	pool_forgive(&w.pool);
	ck_assert_ptr_null(w.pool.refusal);
	ck_assert_uint_eq(pool_at(&w.pool, 0)->retry_us, 0);
	world_end();
}
END_TEST

int
main(void)
{
	const TTest *const rules[] = {
		counts_follow_the_slots_through_all_states,
		the_queue_is_in_order_of_arrival_for_each_lane,
		the_slot_used_last_is_taken_first_or_last_with_round_robin,
		of_the_slots_used_last_one_that_is_as_the_client_is_taken,
		a_slot_that_was_idle_for_long_is_not_taken_unasked,
		writes_go_to_the_leader_by_a_session_that_is_none_of_a_standby,
		reads_are_spread_over_replicas_and_fall_back_to_what_is_there,
		the_first_choice_of_a_read_is_remembered_when_it_has_nothing_free,
		what_servers_refused_is_forgiven,
	};
	return suite_run("pool/pool", rules, sizeof(rules) / sizeof(rules[0]));
}
