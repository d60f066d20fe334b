/* tests/auth/test_lookup.c - whose answer counts for whom, and who is asked for next. */
#include "auth/lookup.h"

#include <stdio.h>

#include "../suite.h"
#include "base/clock.h"

static struct lookup all;
static struct lookup_limits limits;
static struct lookup_asker askers[20];
static uint64_t now;

static void
begin(uint64_t ttl_us, uint32_t running_max)
{
	lookup_init(&all);
	limits = (struct lookup_limits){ .ttl_us = ttl_us, .running_max = running_max, .questions_max = 10, .kept_max = 3 };
	memset(askers, 0, sizeof(askers));
	now = 1000 * SECOND_US;
}

static enum lookup_result
want(int who, const char *user)
{
	const struct secret *secret = NULL;
	enum lookup_result r = lookup_want(&all, &limits, user, &askers[who], now, &secret);
	ck_assert((r == LOOKUP_KNOWN || r == LOOKUP_UNKNOWN) == (secret != NULL));
	return r;
}

/* Sends the next question; "" when there is none. */
static struct lookup_question *
send_next(const char *user)
{
	struct lookup_question *q = lookup_first(&all, &limits);
	ck_assert_str_eq(q ? q->user : "", user);
	if (q)
		lookup_send(&all, q, now);
	return q;
}

/* text NULL: nobody. The askers that are told, as bits. */
static unsigned
answer(struct lookup_question *q, const char *text)
{
	struct secret secret;
	struct list told;
	unsigned bits = 0;
	list_init(&told);
	secret_parse(text, &secret);
	lookup_answer(&all, &limits, q, text ? &secret : NULL, now, &told);
	secret_free(&secret);
	struct node *n;
	while ((n = list_first(&told)) != NULL) {
		node_remove(n);
		struct lookup_asker *a = node_owner(n, struct lookup_asker, node);
		ck_assert_ptr_null(a->of);
		bits |= 1u << (a - askers);
	}
	return bits;
}

START_TEST(logins_that_come_before_a_question_is_sent_share_it)
{
	begin(0, 1);
	ck_assert_int_eq(want(0, "ann"), LOOKUP_WAIT);
	ck_assert_int_eq(want(1, "ann"), LOOKUP_WAIT);
	struct lookup_question *q = send_next("ann");
	ck_assert_uint_eq(answer(q, "secret"), 1u << 0 | 1u << 1);
	ck_assert_uint_eq(all.asked, 1);
	ck_assert_uint_eq(all.joined, 1);
	ck_assert(!lookup_is_waited_for(&all));
	lookup_fini(&all);
}
END_TEST

START_TEST(who_comes_after_it_was_sent_waits_for_the_next)
{
	begin(0, 2);
	want(0, "ann");
	struct lookup_question *q = send_next("ann");
	want(1, "ann");
	send_next(""); /* one at a time for each user */
	ck_assert_uint_eq(answer(q, "old"), 1u << 0);
	q = send_next("ann");
	ck_assert_uint_eq(answer(q, "new"), 1u << 1);
	lookup_fini(&all);
}
END_TEST

START_TEST(without_a_ttl_nothing_is_kept)
{
	begin(0, 1);
	want(0, "ann");
	answer(send_next("ann"), "secret");
	ck_assert_ptr_null(all.questions);
	ck_assert_int_eq(want(1, "ann"), LOOKUP_WAIT);
	lookup_leave(&all, &askers[1]);
	ck_assert_ptr_null(all.questions);
	lookup_fini(&all);
}
END_TEST

START_TEST(an_answer_counts_from_when_its_question_was_sent)
{
	begin(10 * SECOND_US, 1);
	want(0, "ann");
	struct lookup_question *q = send_next("ann");
	now += 4 * SECOND_US;
	want(1, "ann"); /* it is young enough */
	ck_assert_uint_eq(answer(q, "secret"), 1u << 0 | 1u << 1);
	now += 6 * SECOND_US - 1;
	ck_assert_int_eq(want(2, "ann"), LOOKUP_KNOWN);
	now += 1;
	ck_assert_int_eq(want(2, "ann"), LOOKUP_WAIT);
	lookup_leave(&all, &askers[2]);
	lookup_expire(&all, &limits, now);
	ck_assert_ptr_null(all.questions);
	lookup_fini(&all);
}
END_TEST

START_TEST(an_answer_that_came_too_late_is_for_those_only_who_waited)
{
	begin(1 * SECOND_US, 1);
	want(0, "ann");
	struct lookup_question *q = send_next("ann");
	now += 2 * SECOND_US;
	want(1, "ann");
	ck_assert_uint_eq(answer(q, "secret"), 1u << 0);
	q = send_next("ann");
	ck_assert_uint_eq(answer(q, "secret"), 1u << 1);
	lookup_fini(&all);
}
END_TEST

START_TEST(nobody_is_kept_as_somebody_is)
{
	begin(10 * SECOND_US, 1);
	want(0, "nobody");
	answer(send_next("nobody"), NULL);
	ck_assert_int_eq(want(1, "nobody"), LOOKUP_UNKNOWN);
	lookup_forget(&all, "nobody");
	ck_assert_int_eq(want(1, "nobody"), LOOKUP_WAIT);
	lookup_leave(&all, &askers[1]);
	lookup_fini(&all);
}
END_TEST

START_TEST(users_are_asked_for_in_order_and_so_many_at_once)
{
	begin(0, 2);
	want(0, "a"), want(1, "b"), want(2, "c"), want(3, "d");
	struct lookup_question *a = send_next("a"), *b = send_next("b");
	send_next("");
	want(4, "a");
	answer(b, "x");
	struct lookup_question *c = send_next("c");
	answer(a, "x"), answer(c, "x");
	answer(send_next("d"), "x");
	ck_assert_uint_eq(answer(send_next("a"), "x"), 1u << 4);
	lookup_fini(&all);
}
END_TEST

START_TEST(a_question_that_could_not_be_asked_is_the_first_again)
{
	begin(0, 1);
	want(0, "a"), want(1, "b");
	struct lookup_question *a = send_next("a");
	want(2, "a"), want(3, "c");
	a->tried = 5;
	lookup_again(&all, a);
	ck_assert_ptr_eq(send_next("a"), a);
	ck_assert_uint_eq(a->tried, 5);
	ck_assert_uint_eq(answer(a, "x"), 1u << 0 | 1u << 2); /* it was sent once more, after the third came */
	answer(send_next("b"), "x");
	answer(send_next("c"), "x");
	lookup_fini(&all);
}
END_TEST

START_TEST(a_question_that_nobody_waits_for_is_dropped)
{
	begin(0, 1);
	want(0, "a"), want(1, "b"), want(2, "c");
	struct lookup_question *a = send_next("a");
	lookup_leave(&all, &askers[1]);
	lookup_leave(&all, &askers[0]); /* it runs: its answer is thrown away */
	lookup_leave(&all, &askers[0]);
	ck_assert_uint_eq(answer(a, "x"), 0);
	struct lookup_question *c = send_next("c");
	lookup_leave(&all, &askers[2]);
	lookup_again(&all, c);
	send_next("");
	ck_assert_ptr_null(all.questions);
	lookup_fini(&all);
}
END_TEST

START_TEST(a_failure_is_told_to_those_only_for_whom_it_was_sent)
{
	begin(10 * SECOND_US, 1);
	limits.ttl_us = 0;
	struct list told;
	list_init(&told);
	want(0, "a");
	struct lookup_question *a = send_next("a");
	want(1, "a");
	lookup_fail(&all, a, &told);
	ck_assert_uint_eq(told.count, 1);
	node_remove(&askers[0].node);
	a = send_next("a");
	lookup_again(&all, a);
	lookup_fail(&all, a, &told); /* in the queue */
	ck_assert_uint_eq(told.count, 1);
	node_remove(&askers[1].node);
	ck_assert_ptr_null(all.questions);
	lookup_fini(&all);
}
END_TEST

START_TEST(there_is_a_limit_to_what_is_waited_for_and_to_what_is_kept)
{
	char user[8];
	begin(10 * SECOND_US, 1);
	for (int i = 0; i < 10; i++) {
		snprintf(user, sizeof(user), "u%d", i);
		ck_assert_int_eq(want(i, user), LOOKUP_WAIT);
	}
	ck_assert_int_eq(want(10, "u10"), LOOKUP_FULL);
	ck_assert(!node_is_in(&askers[10].node));
	ck_assert_int_eq(want(11, "u3"), LOOKUP_WAIT); /* one more for a question that is there anyway */
	for (int i = 0; i < 10; i++) {
		snprintf(user, sizeof(user), "u%d", i);
		answer(send_next(user), "x");
	}
	ck_assert_uint_eq(HASH_COUNT(all.questions), 3);
	ck_assert_int_eq(want(0, "u9"), LOOKUP_KNOWN);
	ck_assert_int_eq(want(0, "u6"), LOOKUP_WAIT); /* the oldest went */
	lookup_leave(&all, &askers[0]);
	lookup_fini(&all);
}
END_TEST

START_TEST(all_who_wait_can_be_taken_out)
{
	begin(10 * SECOND_US, 1);
	struct list taken;
	list_init(&taken);
	want(0, "a"), want(1, "b"), want(2, "b");
	struct lookup_question *a = send_next("a");
	want(3, "a");
	lookup_take_all(&all, &taken);
	ck_assert_uint_eq(taken.count, 4);
	struct node *n;
	while ((n = list_first(&taken)) != NULL)
		node_remove(n);
	ck_assert(a->is_running);
	lookup_fini(&all);
}
END_TEST

int
main(void)
{
	const TTest *const rules[] = {
		logins_that_come_before_a_question_is_sent_share_it,
		who_comes_after_it_was_sent_waits_for_the_next,
		without_a_ttl_nothing_is_kept,
		an_answer_counts_from_when_its_question_was_sent,
		an_answer_that_came_too_late_is_for_those_only_who_waited,
		nobody_is_kept_as_somebody_is,
		users_are_asked_for_in_order_and_so_many_at_once,
		a_question_that_could_not_be_asked_is_the_first_again,
		a_question_that_nobody_waits_for_is_dropped,
		a_failure_is_told_to_those_only_for_whom_it_was_sent,
		there_is_a_limit_to_what_is_waited_for_and_to_what_is_kept,
		all_who_wait_can_be_taken_out,
	};
	return suite_run("auth/lookup", rules, sizeof(rules) / sizeof(rules[0]));
}
