/*
 * tests/cluster/test_orders.c - a failover from a to b, with its witnesses in every order in which they can speak: who leads is
 * known in the very step in which the last one that is needed has spoken, and never before.
 */
#include "cluster/judge.h"

#include <stdio.h>
#include <string.h>

#include "../suite.h"
#include "base/clock.h"

enum { A, B, C, MEMBERS };

enum step {
	A_ENDS_SESSIONS, /* 57P01 */
	A_IS_STOPPING,   /* its Patroni: status 200, stopping */
	A_HAS_LET_GO,    /* its Patroni: 503, stopped, and nobody has the lock */
	A_SPEAKS_LATE,   /* its Patroni once more as if nothing were: 200, primary, running */
	B_HAS_THE_LOCK,  /* its Patroni: 200, and still a replica in the body */
	B_IS_PRIMARY,    /* its Patroni: 200, primary, running, on the next timeline */
	B_TAKES_WRITES,  /* a session on it */
	C_FOLLOWS,       /* its Patroni: replica, on the next timeline */
	STEPS
};

static struct known_member member[MEMBERS];
static struct known known;
static struct topology *last;
static uint64_t now_us;

static void
answer(int i, int status, enum member_role role, enum member_state state, uint32_t timeline, bool is_unlocked)
{
	member[i].asked_us = now_us - MILLISECOND_US;
	member[i].answered_us = now_us;
	member[i].http_status = status;
	member[i].said = (struct patroni_status){ .role = role, .state = state, .timeline = timeline, .is_unlocked = is_unlocked,
		                                  .identifier = "77", .location = 1000 };
}

static void
judge_again(void)
{
	struct topology *t = judge(&known, last, now_us);
	topology_unref(last);
	last = t;
}

static void
begin(void)
{
	topology_unref(last);
	last = NULL;
	now_us = 1000 * SECOND_US;
	memset(member, 0, sizeof(member));
	known = (struct known){ .cluster = "main", .kind = CLUSTER_OF_PATRONI, .limits = { .poll_interval_us = SECOND_US } };
	for (int i = 0; i < MEMBERS; i++) {
		snprintf(member[i].name, sizeof(member[i].name), "%c", 'a' + i);
		known.member[i] = &member[i];
	}
	answer(A, 200, MEMBER_LEADER, MEMBER_RUNNING, 1, false);
	answer(B, 503, MEMBER_REPLICA, MEMBER_RUNNING, 1, false);
	answer(C, 503, MEMBER_REPLICA, MEMBER_RUNNING, 1, false);
	judge_note_session(&member[A], SESSION_WRITABLE, now_us);
	judge_note_session(&member[B], SESSION_IN_RECOVERY, now_us);
	judge_again();
}

static void
take(enum step step)
{
	now_us += 20 * MILLISECOND_US;
	switch (step) {
	case A_ENDS_SESSIONS: judge_note_session(&member[A], SESSION_SHUTTING_DOWN, now_us); break;
	case A_IS_STOPPING: answer(A, 200, MEMBER_LEADER, MEMBER_STOPPING, 1, false); break;
	case A_HAS_LET_GO: answer(A, 503, MEMBER_OTHER, MEMBER_STOPPED, 1, true); break;
	case A_SPEAKS_LATE: answer(A, 200, MEMBER_LEADER, MEMBER_RUNNING, 1, false); break;
	case B_HAS_THE_LOCK: answer(B, 200, MEMBER_REPLICA, MEMBER_RUNNING, 1, false); break;
	case B_IS_PRIMARY: answer(B, 200, MEMBER_LEADER, MEMBER_RUNNING, 2, false); break;
	case B_TAKES_WRITES: judge_note_session(&member[B], SESSION_WRITABLE, now_us); break;
	case C_FOLLOWS: answer(C, 503, MEMBER_REPLICA, MEMBER_RUNNING, 2, false); break;
	case STEPS: break;
	}
	judge_again();
}

static const char *
order_text(const enum step *order, int upto)
{
	static const char *const names[] = { "57P01", "stopping", "let go", "late", "lock", "primary", "writable", "timeline" };
	static char text[200];
	text[0] = '\0';
	for (int i = 0; i <= upto; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s", i ? ", " : "", names[order[i]]);
	return text;
}

/* What has to be, from the steps alone: nothing of judge.c is asked. */
static int
should_lead(const enum step *order, int upto)
{
	bool a_claims = true, b_claims = false, has_next = false;
	for (int i = 0; i <= upto; i++) {
		if (order[i] == A_IS_STOPPING || order[i] == A_HAS_LET_GO)
			a_claims = false;
		if (order[i] == A_SPEAKS_LATE)
			a_claims = true;
		if (order[i] == B_IS_PRIMARY)
			b_claims = true;
		has_next |= order[i] == B_IS_PRIMARY || order[i] == C_FOLLOWS;
	}
	return b_claims ? B : a_claims && !has_next ? A : -1; /* sessions alone make nobody a leader, nor end one */
}

static void
check(const enum step *order, int upto)
{
	const struct member *leader = topology_leader(last);
	int writable = 0;
	uint32_t highest = 0;
	for (uint16_t i = 0; i < last->count; i++) {
		writable += last->member[i].why_not_write == NULL;
		highest = last->member[i].timeline > highest ? last->member[i].timeline : highest;
	}
	ck_assert_msg(writable == (leader != NULL), "two leaders: %s", order_text(order, upto));
	ck_assert_msg(leader == NULL || leader->timeline == highest, "a lower timeline: %s", order_text(order, upto));
	ck_assert_msg((leader ? leader->id : -1) == should_lead(order, upto), "%s leads: %s", leader ? leader->name : "nobody",
	              order_text(order, upto));
}

/* What a Patroni says has an order of its own: it holds the lock before its server is a primary. */
static bool
can_be(const enum step *order)
{
	int at[STEPS];
	for (int i = 0; i < STEPS; i++)
		at[order[i]] = i;
	return at[B_HAS_THE_LOCK] < at[B_IS_PRIMARY];
}

static int
play_all(enum step *order, int from)
{
	int played = 0;
	if (from == STEPS) {
		if (!can_be(order))
			return 0;
		begin();
		for (int i = 0; i < STEPS; i++) {
			take(order[i]);
			check(order, i);
		}
		return 1;
	}
	for (int i = from; i < STEPS; i++) {
		enum step with = order[i];
		order[i] = order[from];
		order[from] = with;
		played += play_all(order, from + 1);
		order[from] = order[i];
		order[i] = with;
	}
	return played;
}

START_TEST(the_leader_is_known_by_the_last_witness_that_is_needed_in_every_order)
{
	enum step order[STEPS];
	for (int i = 0; i < STEPS; i++)
		order[i] = (enum step)i;
	ck_assert_int_eq(play_all(order, 0), 40320 / 2);
	topology_unref(last);
	last = NULL;
}
END_TEST

int
main(void)
{
	const TTest *const rules[] = { the_leader_is_known_by_the_last_witness_that_is_needed_in_every_order };
	return suite_run("cluster/orders", rules, sizeof(rules) / sizeof(rules[0]));
}
