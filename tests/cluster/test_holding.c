/* tests/cluster/test_holding.c - a cluster between two leaders: each pair of a state and an event, as a table for people. */
#include "cluster/holding.h"

#include <stdio.h>
#include <string.h>

#include "../suite.h"

/*
 * A cell is the next state, and what is done: +suspect, +calm, +begin, +plan, +end. A dot: it stays as it is. The table is written
 * once more here so that a change of the other one is a change that somebody meant.
 */
#define COLUMNS 13
static const struct {
	const char *state;
	const char *next[COLUMNS];
} table[] = {
	/*                SIGN               CONFIRMED      MUTE           LOST                                                      */
	/*                SAME               OTHER          SERVER         SERVED              CLOSE  REOPEN  ASK  RELEASE  RELOAD   */
	{ "new",        { ".",               ".",           ".",           ".",
	                  "steady",          "steady",      ".",           ".",                ".", ".", ".", ".", "." } },
	{ "steady",     { "suspected+suspect", ".",         ".",           "leaderless+begin",
	                  ".",               "named+begin", ".",           ".",                "closed+plan", ".", "asked+plan", ".", "new" } },
	{ "suspected",  { ".",               "steady+calm", "probing",     "leaderless+begin",
	                  ".",               "named+begin", ".",           ".",                "closed+plan", ".", "asked+plan", ".", "new+calm" } },
	{ "probing",    { ".",               "steady+calm", ".",           "leaderless+begin",
	                  ".",               "named+begin", "steady+calm", ".",                "closed+plan", ".", "asked+plan", ".", "new+calm" } },
	{ "leaderless", { ".",               ".",           ".",           ".",
	                  "named",           "named",       ".",           ".",                ".", ".", "leaderless+plan", ".", "new+end" } },
	{ "closed",     { ".",               ".",           ".",           "leaderless",
	                  ".",               "named",       ".",           ".",                ".", "releasing", ".", ".", "new+end" } },
	{ "asked",      { ".",               ".",           ".",           "leaderless",
	                  ".",               "named",       ".",           ".",                "closed", ".", ".", "releasing", "new+end" } },
	{ "named",      { "relapsed",        ".",           ".",           "leaderless",
	                  ".",               "named",       "releasing",   "steady+end",       "closed", ".", "asked", ".", "new+end" } },
	{ "releasing",  { "relapsed",        ".",           ".",           "leaderless",
	                  ".",               "named",       ".",           "steady+end",       "closed", ".", "asked", ".", "new+end" } },
	{ "relapsed",   { ".",               "named",       "named",       "leaderless",
	                  ".",               "named",       ".",           ".",                "closed", ".", "asked", ".", "new+end" } },
};

static const char *const acts[] = { "", "+suspect", "+calm", "+begin", "+plan", "+end" };

START_TEST(every_pair_goes_where_the_table_says)
{
	ck_assert_int_eq(sizeof(table) / sizeof(table[0]), HOLD_STATES);
	ck_assert_int_eq(COLUMNS, HOLD_EVENTS);
	for (int s = 0; s < HOLD_STATES; s++)
		for (int e = 0; e < HOLD_EVENTS; e++) {
			struct hold_step step = hold_step((enum hold_state)s, (enum hold_event)e);
			char is[60];
			snprintf(is, sizeof(is), "%s%s", hold_meaning(step.next)->name, acts[step.act]);
			ck_assert_str_eq(table[s].state, hold_meaning((enum hold_state)s)->name);
			const char *should = strcmp(table[s].next[e], ".") == 0 ? table[s].state : table[s].next[e];
			ck_assert_msg(strcmp(is, should) == 0, "%s, %s: %s, not %s", table[s].state, hold_event_name((enum hold_event)e), is, should);
		}
}
END_TEST

/* A walk over all pairs, with what each step may do: what began ends, once. */
START_TEST(what_begins_ends_once)
{
	for (int s = 0; s < HOLD_STATES; s++)
		for (int e = 0; e < HOLD_EVENTS; e++) {
			struct hold_step step = hold_step((enum hold_state)s, (enum hold_event)e);
			bool is_event = hold_meaning((enum hold_state)s)->is_event, will_be = hold_meaning(step.next)->is_event;
			bool begins = step.act == HOLD_DO_BEGIN || (step.act == HOLD_DO_PLAN && !is_event);
			ck_assert_msg(begins == (!is_event && will_be), "%d %d", s, e);
			ck_assert_msg((step.act == HOLD_DO_END) == (is_event && !will_be), "%d %d", s, e);
			ck_assert_msg((step.act == HOLD_DO_CALM) == ((s == HOLD_SUSPECTED || s == HOLD_PROBING) && (step.next == HOLD_STEADY || step.next == HOLD_NEW)),
			              "%d %d", s, e);
		}
}
END_TEST

/* Where writes may go to a leader: there is one, and nothing speaks against it. */
START_TEST(writes_are_held_from_the_first_sign_on_and_in_no_other_state_than_these)
{
	for (int s = HOLD_STEADY; s < HOLD_STATES; s++) {
		struct hold_step step = hold_step((enum hold_state)s, HOLD_ON_SIGN);
		ck_assert_msg(hold_meaning(step.next)->is_closed || step.next == HOLD_LEADERLESS || step.next == HOLD_PROBING, "%d", s);
		step = hold_step((enum hold_state)s, HOLD_ON_LOST);
		ck_assert_int_eq(step.next, HOLD_LEADERLESS);
		/* The server's word alone opens nothing. */
		step = hold_step((enum hold_state)s, HOLD_ON_SERVER);
		if (hold_meaning((enum hold_state)s)->is_closed || s == HOLD_LEADERLESS)
			ck_assert_int_eq(step.next, s);
	}
	ck_assert(!hold_meaning(HOLD_STEADY)->is_holding && !hold_meaning(HOLD_RELEASING)->is_holding);
}
END_TEST

/* Whatever it is in, it comes back to steady by what happens in the end: somebody leads, confirms, says so, and all are served. */
START_TEST(every_state_can_be_left)
{
	static const enum hold_event in_the_end[] = { HOLD_ON_REOPEN, HOLD_ON_RELEASE, HOLD_ON_SAME, HOLD_ON_CONFIRMED,
		                                      HOLD_ON_SERVER, HOLD_ON_SERVED };
	for (int s = 0; s < HOLD_STATES; s++) {
		enum hold_state now = (enum hold_state)s;
		for (size_t i = 0; i < sizeof(in_the_end) / sizeof(in_the_end[0]); i++)
			now = hold_step(now, in_the_end[i]).next;
		ck_assert_msg(now == HOLD_STEADY, "%d ends in %d", s, now);
	}
}
END_TEST

START_TEST(all_of_it_has_names)
{
	for (int e = 0; e < HOLD_EVENTS; e++)
		ck_assert_ptr_nonnull(hold_event_name((enum hold_event)e));
	for (int a = HOLD_DO_NOTHING; a <= HOLD_DO_END; a++)
		ck_assert_int_eq(hold_act_name((enum hold_act)a)[0] == '\0', a == HOLD_DO_NOTHING);
}
END_TEST

int
main(void)
{
	const TTest *const rules[] = {
		every_pair_goes_where_the_table_says,
		what_begins_ends_once,
		writes_are_held_from_the_first_sign_on_and_in_no_other_state_than_these,
		every_state_can_be_left,
		all_of_it_has_names,
	};
	return suite_run("cluster/holding", rules, sizeof(rules) / sizeof(rules[0]));
}
