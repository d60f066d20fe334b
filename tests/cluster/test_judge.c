/* tests/cluster/test_judge.c - who leads and who serves reads, whatever the order in which witnesses speak. */
#include "cluster/judge.h"

#include <stdio.h>
#include <string.h>

#include "../suite.h"
#include "base/clock.h"

#define MB          ((uint64_t)1024 * 1024)
#define POLL_US     SECOND_US
#define SYSTEM      "7710077030859882942"
#define A_MINUTE_US (60 * SECOND_US)

/* Members a, b, c (ids 0, 1, 2), the time, and the last judgement. */
static struct known_member member[3];
static struct known known;
static struct trail trail;
static struct topology *last;
static uint64_t now_us;

static void
begin(enum cluster_kind kind)
{
	topology_unref(last);
	last = NULL;
	now_us = 1000 * SECOND_US;
	memset(member, 0, sizeof(member));
	known = (struct known){
		.cluster = "main", .kind = kind,
		.limits = { .max_lag_bytes = 16 * MB, .max_delay_us = 10 * SECOND_US, .poll_interval_us = POLL_US },
		.trail = &trail,
	};
	trail = (struct trail){ 0 };
	for (int i = 0; i < 3; i++) {
		snprintf(member[i].name, sizeof(member[i].name), "%c", 'a' + i);
		snprintf(member[i].host, sizeof(member[i].host), "10.0.0.%d", i + 1);
		member[i].port = 5432;
		known.member[i] = &member[i];
	}
}

static void
end(void)
{
	topology_unref(last);
	last = NULL;
}

static void
pass(uint64_t us)
{
	now_us += us;
}

/* Its Patroni was asked 1 ms ago and answered now. */
static void
answer(int i, int status, enum member_role role, enum member_state state, uint32_t timeline)
{
	member[i].asked_us = now_us - MILLISECOND_US;
	member[i].answered_us = now_us;
	member[i].http_status = status;
	member[i].failures = 0;
	member[i].said = (struct patroni_status){ .role = role, .state = state, .timeline = timeline, .identifier = SYSTEM };
	if (state == MEMBER_RUNNING || state == MEMBER_STREAMING) {
		if (role == MEMBER_LEADER)
			member[i].said.location = 1000 * MB;
		else
			member[i].said.received_location = member[i].said.replayed_location = 1000 * MB;
	}
}

static void
leads(int i, uint32_t timeline)
{
	answer(i, 200, MEMBER_LEADER, MEMBER_RUNNING, timeline);
}

static void
follows(int i, uint32_t timeline)
{
	answer(i, 503, MEMBER_REPLICA, MEMBER_RUNNING, timeline);
}

static void
silent(int i, uint32_t failures)
{
	member[i].failures += failures;
}

static bool
session(int i, enum session_says says)
{
	return judge_note_session(&member[i], says, now_us);
}

/* The leader's id after judging again, or -1. */
static int
leader(void)
{
	struct topology *t = judge(&known, last, now_us);
	topology_unref(last);
	last = t;
	const struct member *m = topology_leader(t);
	int writable = 0;
	for (uint16_t i = 0; i < t->count; i++)
		writable += t->member[i].why_not_write == NULL;
	if (!t->is_plain) {
		ck_assert_int_eq(writable, m ? 1 : 0);
		ck_assert(m ? m->why_not_write == NULL && t->why_no_leader == NULL : t->why_no_leader != NULL);
	}
	return m ? m->id : -1;
}

static const struct member *
judged(int i)
{
	leader();
	return topology_member(last, (uint16_t)i);
}

static void
says(const char *clause, const char *expected)
{
	ck_assert_ptr_nonnull(clause);
	ck_assert_str_eq(clause, expected);
}

static void
a_healthy_cluster(void)
{
	begin(CLUSTER_OF_PATRONI);
	leads(0, 1);
	follows(1, 1);
	follows(2, 1);
	ck_assert_int_eq(leader(), 0);
}

/* The leader */

START_TEST(before_anybody_answers_nothing_is_usable)
{
	begin(CLUSTER_OF_PATRONI);
	ck_assert_int_eq(leader(), -1);
	says(last->why_no_leader, "nothing is known of its members yet");
	ck_assert_uint_eq(last->generation, 1);
	for (int i = 0; i < 3; i++) {
		says(judged(i)->why_not_write, "nothing is known of it yet");
		says(judged(i)->why_not_read, "nothing is known of it yet");
		ck_assert(!judged(i)->is_reachable);
	}
	for (int i = 0; i < 3; i++)
		silent(i, 1);
	ck_assert_int_eq(leader(), -1);
	says(last->why_no_leader, "no Patroni answers");
	end();
}
END_TEST

START_TEST(a_cluster_without_members_has_no_leader)
{
	begin(CLUSTER_OF_PATRONI);
	known.member[0] = known.member[1] = known.member[2] = NULL;
	ck_assert_int_eq(leader(), -1);
	ck_assert_uint_eq(last->count, 0);
	says(last->why_no_leader, "no Patroni has told of its members yet");
	end();
}
END_TEST

START_TEST(the_lock_and_a_running_primary_in_one_answer_make_a_leader)
{
	a_healthy_cluster();
	ck_assert_uint_eq(last->timeline, 1);
	ck_assert(last->has_patroni && !last->is_plain && !last->is_stale && !last->is_paused);
	says(judged(0)->why_not_read, "it is the leader");
	says(judged(1)->why_not_write, "it does not hold the leader lock");
	ck_assert(judged(0)->patroni_says_leader && !judged(1)->patroni_says_leader);
	ck_assert_int_eq(judged(0)->role, MEMBER_LEADER);
	ck_assert_int_eq(judged(1)->role, MEMBER_REPLICA);
	end();
}
END_TEST

START_TEST(the_lock_alone_makes_no_leader)
{
	static const struct {
		enum member_role role;
		enum member_state state;
		const char *why, *why_no_leader;
	} rows[] = {
#define RECOVERS "it holds the leader lock, but its PostgreSQL is in recovery", "the holder of the leader lock is in recovery"
#define RESTS    "it holds the leader lock, but its PostgreSQL is not running", "PostgreSQL of the holder of the leader lock is not running"
		{ MEMBER_REPLICA, MEMBER_RUNNING, RECOVERS },
		{ MEMBER_REPLICA, MEMBER_STREAMING, RECOVERS },
		{ MEMBER_LEADER, MEMBER_STOPPING, RESTS },
		{ MEMBER_LEADER, MEMBER_STATE_UNKNOWN, RESTS },
		{ MEMBER_LEADER, MEMBER_STARTING, RESTS },
		{ MEMBER_LEADER, MEMBER_CRASHED, RESTS },
		{ MEMBER_OTHER, MEMBER_RUNNING, "it holds the leader lock, but is no primary",
		  "the holder of the leader lock is no primary" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		begin(CLUSTER_OF_PATRONI);
		answer(0, 200, rows[i].role, rows[i].state, 1);
		follows(1, 1);
		ck_assert_int_eq(leader(), -1);
		says(last->why_no_leader, rows[i].why_no_leader);
		says(judged(0)->why_not_write, rows[i].why);
	}
	end();
}
END_TEST

START_TEST(a_running_primary_without_the_lock_does_not_lead)
{
	begin(CLUSTER_OF_PATRONI);
	answer(0, 503, MEMBER_LEADER, MEMBER_RUNNING, 1);
	ck_assert_int_eq(leader(), -1);
	says(last->why_no_leader, "nobody holds the leader lock");
	says(judged(0)->why_not_read, "it is a primary, but does not lead");
	end();
}
END_TEST

START_TEST(the_higher_timeline_wins_whoever_speaks_first)
{
	for (int first = 0; first < 2; first++) {
		begin(CLUSTER_OF_PATRONI);
		leads(first, 1);
		ck_assert_int_eq(leader(), first);
		pass(SECOND_US);
		leads(1 - first, 2);
		ck_assert_int_eq(leader(), 1 - first);
		ck_assert_uint_eq(last->timeline, 2);
		says(judged(first)->why_not_write, "another member leads on a higher timeline");
		/* The old one insists: nothing changes. */
		pass(SECOND_US);
		leads(first, 1);
		ck_assert_int_eq(leader(), 1 - first);
	}
	end();
}
END_TEST

START_TEST(two_claims_on_one_timeline_make_no_leader)
{
	a_healthy_cluster();
	pass(SECOND_US);
	leads(1, 1);
	ck_assert_int_eq(leader(), -1);
	says(last->why_no_leader, "two members claim to lead on the same timeline");
	says(judged(0)->why_not_write, "two members claim to lead on the same timeline");
	says(judged(1)->why_not_write, "two members claim to lead on the same timeline");
	/* A third on a higher one settles it, wherever it stands in the table. */
	leads(2, 2);
	ck_assert_int_eq(leader(), 2);
	/* And so does one that gives up. */
	begin(CLUSTER_OF_PATRONI);
	leads(0, 1);
	leads(1, 1);
	ck_assert_int_eq(leader(), -1);
	follows(1, 1);
	ck_assert_int_eq(leader(), 0);
	end();
}
END_TEST

START_TEST(an_unknown_timeline_cannot_be_compared)
{
	begin(CLUSTER_OF_PATRONI);
	leads(0, 0);
	follows(1, 7);
	ck_assert_int_eq(leader(), 0); /* alone, it is believed */
	leads(1, 7);
	ck_assert_int_eq(leader(), -1);
	leads(1, 0);
	ck_assert_int_eq(leader(), -1);
	end();
}
END_TEST

START_TEST(a_lower_timeline_is_not_followed_while_somebody_reachable_has_a_higher_one)
{
	begin(CLUSTER_OF_PATRONI);
	leads(0, 1);
	follows(1, 2);
	ck_assert_int_eq(leader(), -1);
	says(last->why_no_leader, "a member that is or was reachable has a higher timeline than the one that claims to lead");
	says(judged(0)->why_not_write, "another member is on a higher timeline");
	for (int i = 0; i < 20; i++) { /* and for as long as it has */
		pass(SECOND_US);
		leads(0, 1);
		follows(1, 2);
		ck_assert_int_eq(leader(), -1);
	}
	end();
}
END_TEST

START_TEST(a_higher_timeline_is_forgotten_some_seconds_after_nobody_has_it)
{
	a_healthy_cluster();
	leads(1, 2);
	ck_assert_int_eq(leader(), 1);
	/* It goes away, and the old leader takes its lock back (Patroni before 3.0.3). */
	silent(1, 3);
	int waited_s = 0;
	while (leader() != 0) {
		ck_assert_int_eq(last->leader, -1);
		ck_assert_int_lt(waited_s++, 10);
		pass(SECOND_US);
		leads(0, 1);
		follows(2, 1);
	}
	ck_assert_int_ge(waited_s, 4);
	ck_assert_uint_eq(last->timeline, 1);
	end();
}
END_TEST

START_TEST(a_session_in_recovery_outweighs_an_older_answer)
{
	a_healthy_cluster();
	pass(10 * MILLISECOND_US);
	ck_assert(session(0, SESSION_IN_RECOVERY));
	ck_assert_int_eq(leader(), -1);
	says(judged(0)->why_not_write, "a session on it was told that it is in recovery");
	ck_assert(judged(0)->server_says_recovery && judged(0)->wants_session);
	/* A newer answer that knows of SQL outweighs it. */
	pass(50 * MILLISECOND_US);
	leads(0, 1);
	ck_assert_int_eq(leader(), 0);
	/* So does a newer session. */
	pass(10 * MILLISECOND_US);
	session(0, SESSION_IN_RECOVERY);
	ck_assert_int_eq(leader(), -1);
	ck_assert(session(0, SESSION_WRITABLE));
	ck_assert_int_eq(leader(), 0);
	ck_assert(judged(0)->server_says_writable && !judged(0)->server_says_recovery);
	end();
}
END_TEST

START_TEST(an_answer_that_was_under_way_does_not_outweigh_a_session)
{
	a_healthy_cluster();
	pass(SECOND_US);
	session(0, SESSION_IN_RECOVERY);
	leads(0, 1); /* arrives now, but was asked for before */
	ck_assert_int_eq(leader(), -1);
	end();
}
END_TEST

START_TEST(a_refused_connection_ends_leadership_until_patroni_was_asked_again)
{
	a_healthy_cluster();
	pass(500 * MILLISECOND_US);
	ck_assert(session(0, SESSION_REFUSED));
	ck_assert_int_eq(leader(), -1);
	says(judged(0)->why_not_write, "it refused our last connection");
	pass(50 * MILLISECOND_US);
	leads(0, 1);
	ck_assert_int_eq(leader(), 0);
	end();
}
END_TEST

START_TEST(the_more_often_it_refuses_the_less_patroni_is_believed)
{
	a_healthy_cluster();
	int turns = 0;
	for (int i = 0; i < 200; i++) { /* ten seconds of an answer every 50 ms, and a refusal each time it leads */
		pass(50 * MILLISECOND_US);
		leads(0, 1);
		if (leader() == 0) {
			turns++;
			session(0, SESSION_REFUSED);
			ck_assert_int_eq(leader(), -1);
		}
	}
	ck_assert_int_ge(turns, 10); /* about one in a second, in the end */
	ck_assert_int_le(turns, 25);
	session(0, SESSION_WRITABLE);
	ck_assert_int_eq(leader(), 0);
	end();
}
END_TEST

START_TEST(broken_and_ended_sessions_are_signs_but_no_proof)
{
	a_healthy_cluster();
	ck_assert(session(0, SESSION_BROKE));
	ck_assert_int_eq(leader(), 0);
	ck_assert(!session(0, SESSION_BROKE)); /* a hundred of them are one piece of news */
	ck_assert(!session(0, SESSION_SHUTTING_DOWN));
	pass(200 * MILLISECOND_US);
	ck_assert(session(0, SESSION_SHUTTING_DOWN));
	ck_assert_int_eq(leader(), 0);
	ck_assert(!session(0, SESSION_NOTHING));
	end();
}
END_TEST

START_TEST(what_a_session_repeats_is_no_news)
{
	a_healthy_cluster();
	ck_assert(session(0, SESSION_WRITABLE));
	ck_assert(!session(0, SESSION_WRITABLE));
	ck_assert(session(1, SESSION_IN_RECOVERY));
	ck_assert(!session(1, SESSION_IN_RECOVERY));
	session(1, SESSION_REFUSED);
	ck_assert(session(1, SESSION_IN_RECOVERY)); /* it is back */
	ck_assert(session(0, SESSION_IN_RECOVERY));
	ck_assert(session(0, SESSION_IN_RECOVERY)); /* holds the lock: each time it says so is of interest */
	end();
}
END_TEST

/* Every order of: b's Patroni has the lock but is in recovery; b's session says writable; b's Patroni says primary. */
START_TEST(a_promotion_is_followed_when_patroni_says_primary_in_any_order_of_witnesses)
{
	enum { LOCK, SESSION, PRIMARY };
	static const int orders[][3] = {
		{ LOCK, SESSION, PRIMARY }, { LOCK, PRIMARY, SESSION }, { SESSION, LOCK, PRIMARY },
	};
	for (size_t o = 0; o < 3; o++) {
		a_healthy_cluster();
		session(1, SESSION_IN_RECOVERY);
		answer(0, 503, MEMBER_OTHER, MEMBER_STOPPED, 0);
		ck_assert_int_eq(leader(), -1);
		bool is_primary = false;
		for (int step = 0; step < 3; step++) {
			pass(20 * MILLISECOND_US);
			if (orders[o][step] == LOCK)
				answer(1, 200, MEMBER_REPLICA, MEMBER_RUNNING, 1);
			else if (orders[o][step] == SESSION)
				session(1, SESSION_WRITABLE);
			else
				leads(1, 2);
			is_primary |= orders[o][step] == PRIMARY;
			ck_assert_int_eq(leader(), is_primary ? 1 : -1);
			/* While it holds the lock and does not lead, a session on it is worth having. */
			ck_assert(judged(1)->wants_session == (!is_primary && judged(1)->patroni_says_leader));
		}
	}
	end();
}
END_TEST

START_TEST(a_planned_switchover_leaves_a_gap_and_never_two_leaders)
{
	a_healthy_cluster();
	pass(50 * MILLISECOND_US);
	answer(0, 200, MEMBER_LEADER, MEMBER_STOPPING, 0); /* its status is still 200 */
	ck_assert_int_eq(leader(), -1);
	says(last->why_no_leader, "PostgreSQL of the holder of the leader lock is not running");
	pass(SECOND_US);
	answer(0, 503, MEMBER_OTHER, MEMBER_STOPPING, 0);
	member[0].said.is_unlocked = true;
	follows(1, 1);
	member[1].said.is_unlocked = true;
	ck_assert_int_eq(leader(), -1);
	says(last->why_no_leader, "nobody holds the leader lock");
	pass(500 * MILLISECOND_US);
	answer(1, 200, MEMBER_REPLICA, MEMBER_RUNNING, 1);
	ck_assert_int_eq(leader(), -1);
	pass(90 * MILLISECOND_US);
	leads(1, 2);
	ck_assert_int_eq(leader(), 1);
	ck_assert_uint_eq(last->leader_since_us, now_us);
	end();
}
END_TEST

/* Silence */

START_TEST(a_leader_whose_patroni_is_silent_is_kept_while_nobody_contradicts)
{
	a_healthy_cluster();
	silent(0, 1);
	ck_assert_int_eq(leader(), 0);
	ck_assert(!last->is_stale); /* one timeout is not worth telling */
	silent(0, 2);
	follows(1, 1);
	ck_assert_int_eq(leader(), 0);
	ck_assert(last->is_stale);
	ck_assert(!judged(0)->is_reachable && !judged(0)->patroni_says_leader);
	leads(0, 1);
	ck_assert_int_eq(leader(), 0);
	ck_assert(!last->is_stale);
	end();
}
END_TEST

START_TEST(others_that_answer_can_end_a_silent_leader)
{
	for (int way = 0; way < 5; way++) {
		a_healthy_cluster();
		silent(0, 1);
		follows(1, 1);
		ck_assert_int_eq(leader(), 0);
		pass(50 * MILLISECOND_US);
		switch (way) {
		case 0:
			member[1].said.is_unlocked = true;
			break;
		case 1:
			answer(1, 200, MEMBER_REPLICA, MEMBER_RUNNING, 1);
			break;
		case 2:
			follows(1, 2);
			break;
		case 3:
			answer(1, 503, MEMBER_LEADER, MEMBER_RUNNING, 1);
			break;
		case 4:
			session(0, SESSION_REFUSED);
			break;
		}
		ck_assert_msg(leader() == -1, "way %d", way);
		/* Given up is given up: the same silence afterwards does not bring it back. */
		follows(1, 1);
		ck_assert_int_eq(leader(), -1);
	}
	end();
}
END_TEST

START_TEST(when_no_patroni_answers_the_last_leader_is_kept_until_a_session_says_otherwise)
{
	a_healthy_cluster();
	for (int i = 0; i < 3; i++)
		silent(i, 10);
	for (int i = 0; i < 100; i++) {
		pass(A_MINUTE_US);
		ck_assert_int_eq(leader(), 0);
		ck_assert(last->is_stale);
	}
	session(0, SESSION_BROKE);
	ck_assert_int_eq(leader(), 0);
	session(0, SESSION_WRITABLE);
	ck_assert_int_eq(leader(), 0);
	ck_assert_ptr_null(judged(1)->why_not_read); /* replicas serve on, too */
	session(0, SESSION_IN_RECOVERY);
	ck_assert_int_eq(leader(), -1);
	says(last->why_no_leader, "no Patroni answers");
	session(0, SESSION_WRITABLE); /* a thawed old leader could say that */
	ck_assert_int_eq(leader(), -1);
	end();
}
END_TEST

START_TEST(an_old_answer_is_no_claim)
{
	begin(CLUSTER_OF_PATRONI);
	leads(0, 1);
	pass(A_MINUTE_US);
	ck_assert_int_eq(leader(), -1);
	says(judged(0)->why_not_write, "its Patroni does not answer");
	end();
}
END_TEST

START_TEST(a_leader_that_answers_and_no_longer_claims_is_lost_at_once)
{
	a_healthy_cluster();
	answer(0, 503, MEMBER_REPLICA, MEMBER_RUNNING, 1);
	ck_assert_int_eq(leader(), -1);
	end();
}
END_TEST

START_TEST(a_leader_that_was_removed_is_not_kept)
{
	a_healthy_cluster();
	silent(0, 5);
	ck_assert_int_eq(leader(), 0);
	known.member[0] = NULL;
	ck_assert_int_eq(leader(), -1);
	ck_assert_uint_eq(last->count, 2);
	/* Nor is another member that was given its id. */
	a_healthy_cluster();
	silent(0, 5);
	strcpy(member[0].name, "z");
	ck_assert_int_eq(leader(), -1);
	end();
}
END_TEST

START_TEST(members_of_another_system_are_left_out)
{
	a_healthy_cluster();
	leads(1, 9);
	strcpy(member[1].said.identifier, "1");
	ck_assert_int_eq(leader(), 0); /* the system that was followed goes on, whatever the other's timeline */
	follows(1, 9);
	strcpy(member[1].said.identifier, "1");
	ck_assert_int_eq(leader(), 0);
	says(judged(1)->why_not_read, "it belongs to another cluster: its system identifier differs");
	/* From the start, none can be preferred. */
	begin(CLUSTER_OF_PATRONI);
	leads(0, 1);
	leads(1, 9);
	strcpy(member[1].said.identifier, "1");
	ck_assert_int_eq(leader(), -1);
	says(last->why_no_leader, "two members of different systems claim to lead");
	/* A cluster that was made anew is followed when the old one is gone. */
	a_healthy_cluster();
	for (int i = 0; i < 3; i++) {
		i == 0 ? leads(0, 1) : follows(i, 1);
		strcpy(member[i].said.identifier, "2");
	}
	ck_assert_int_eq(leader(), 0);
	ck_assert_str_eq(last->timeline_identifier, "2");
	ck_assert_ptr_null(judged(1)->why_not_read);
	end();
}
END_TEST

/* Reads */

START_TEST(healthy_replicas_serve_reads)
{
	a_healthy_cluster();
	ck_assert_ptr_null(judged(1)->why_not_read);
	ck_assert_ptr_null(judged(2)->why_not_read);
	ck_assert_uint_eq(judged(1)->lag_bytes, 0);
	ck_assert_uint_eq(judged(1)->weight, WEIGHT_DEFAULT);
	answer(1, 503, MEMBER_REPLICA, MEMBER_STREAMING, 1);
	ck_assert_ptr_null(judged(1)->why_not_read);
	answer(1, 503, MEMBER_REPLICA, MEMBER_IN_ARCHIVE_RECOVERY, 1);
	member[1].said.replayed_location = 1000 * MB;
	ck_assert_ptr_null(judged(1)->why_not_read);
	end();
}
END_TEST

START_TEST(a_replica_that_is_not_well_serves_none_and_says_why)
{
	a_healthy_cluster();
	answer(1, 503, MEMBER_REPLICA, MEMBER_STARTING, 0);
	says(judged(1)->why_not_read, "its PostgreSQL is not running");
	answer(1, 503, MEMBER_OTHER, MEMBER_RUNNING, 0);
	says(judged(1)->why_not_read, "it is no replica");
	follows(1, 1);
	member[1].said.tags.no_loadbalance = true;
	says(judged(1)->why_not_read, "it is tagged noloadbalance");
	ck_assert(judged(1)->no_loadbalance);
	follows(1, 1);
	member[1].said.tags = (struct patroni_tags){ .has_weight = true, .weight = 0 };
	says(judged(1)->why_not_read, "it has weight 0");
	member[1].said.tags.weight = 30;
	ck_assert_ptr_null(judged(1)->why_not_read);
	ck_assert_uint_eq(judged(1)->weight, 30);
	pass(MILLISECOND_US);
	session(1, SESSION_REFUSED);
	says(judged(1)->why_not_read, "it refused our last connection");
	pass(SECOND_US);
	follows(1, 1);
	leads(0, 1);
	ck_assert_ptr_null(judged(1)->why_not_read);
	silent(1, 2);
	ck_assert_ptr_null(judged(1)->why_not_read);
	silent(1, 1);
	says(judged(1)->why_not_read, "its Patroni does not answer");
	end();
}
END_TEST

START_TEST(a_replica_that_lags_is_out_until_it_has_caught_up_by_a_quarter)
{
	a_healthy_cluster();
	static const struct {
		uint64_t behind_mb;
		bool is_used;
	} rows[] = { { 16, true }, { 17, false }, { 16, false }, { 13, false }, { 12, true }, { 16, true }, { 900, false } };
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		pass(SECOND_US);
		leads(0, 1);
		follows(1, 1);
		member[1].said.replayed_location = (1000 - rows[i].behind_mb) * MB; /* all received: /cluster shows lag 0 */
		ck_assert_msg((judged(1)->why_not_read == NULL) == rows[i].is_used, "%zu", i);
		ck_assert_uint_eq(judged(1)->lag_bytes, rows[i].behind_mb * MB);
		ck_assert(judged(1)->is_lagging != rows[i].is_used);
	}
	known.limits.max_lag_bytes = 0;
	ck_assert_ptr_null(judged(1)->why_not_read);
	end();
}
END_TEST

START_TEST(positions_of_different_moments_are_not_compared)
{
	a_healthy_cluster();
	pass(SECOND_US);
	leads(0, 1);
	member[0].said.location = 2000 * MB; /* a second of heavy writing; b is asked a moment later */
	ck_assert_ptr_null(judged(1)->why_not_read);
	ck_assert_uint_eq(judged(1)->lag_bytes, 0);
	follows(1, 1);
	member[1].said.replayed_location = 1999 * MB;
	ck_assert_uint_eq(judged(1)->lag_bytes, 1 * MB);
	end();
}
END_TEST

START_TEST(an_unknown_lag_is_too_much_where_there_is_a_limit)
{
	a_healthy_cluster();
	member[1].said.replayed_location = 0;
	says(judged(1)->why_not_read, "it is not known how far its replay lags behind");
	known.limits.max_lag_bytes = 0;
	ck_assert_ptr_null(judged(1)->why_not_read);
	end();
}
END_TEST

/* A second goes by: all members are asked, and the leader has written up to `location`. */
static void
a_second_later(uint64_t location)
{
	uint64_t replayed[3] = { 0, member[1].said.replayed_location, member[2].said.replayed_location };
	pass(SECOND_US);
	leads(0, 1);
	member[0].said.location = location;
	trail_note(&trail, location, member[0].asked_us, 0);
	for (int i = 1; i < 3; i++) {
		follows(i, 1);
		member[i].said.received_location = location; /* all of it arrives */
		member[i].said.replayed_location = replayed[i];
	}
}

START_TEST(a_replica_that_does_not_replay_what_little_there_is_gets_no_reads)
{
	a_healthy_cluster();
	uint64_t location = 1000 * MB;
	a_second_later(location);
	location += 200; /* one small transaction, and nothing after it */
	for (int second = 0; second <= 10; second++) {
		a_second_later(location);
		member[2].said.replayed_location = location;
		ck_assert_ptr_null(judged(1)->why_not_read);
		ck_assert_uint_eq(judged(1)->delay_us, (uint64_t)second * SECOND_US);
	}
	a_second_later(location);
	says(judged(1)->why_not_read, "it has not replayed for too long what the leader wrote");
	ck_assert(judged(1)->is_delayed);
	ck_assert_ptr_null(judged(2)->why_not_read);
	ck_assert_uint_eq(judged(2)->delay_us, 0);
	/* it goes on, a step behind: it comes back when it is at three quarters */
	location += 200;
	a_second_later(location);
	for (int second = 0; second < 9; second++)
		a_second_later(location);
	member[1].said.replayed_location = location - 200;
	ck_assert_uint_eq(judged(1)->delay_us, 9 * SECOND_US);
	ck_assert_ptr_nonnull(judged(1)->why_not_read);
	member[1].said.replayed_location = location;
	ck_assert_ptr_null(judged(1)->why_not_read);
	known.limits.max_delay_us = 0;
	member[1].said.replayed_location = 999 * MB;
	ck_assert_ptr_null(judged(1)->why_not_read);
	end();
}
END_TEST

START_TEST(an_idle_cluster_is_no_stall)
{
	a_healthy_cluster();
	for (int second = 0; second < 3600; second++)
		a_second_later(1000 * MB);
	ck_assert_uint_eq(judged(1)->delay_us, 0);
	ck_assert_ptr_null(judged(1)->why_not_read);
	a_second_later(1000 * MB + 40); /* the head of a new segment */
	pass(60 * SECOND_US);
	a_second_later(1000 * MB + 40);
	ck_assert_uint_eq(judged(1)->delay_us, 0);
	ck_assert_ptr_null(judged(1)->why_not_read);
	a_second_later(1000 * MB + 4000); /* the first write in an hour */
	ck_assert_uint_eq(judged(1)->delay_us, 0);
	end();
}
END_TEST

START_TEST(a_replica_whose_replay_is_paused_gets_no_reads)
{
	a_healthy_cluster();
	member[1].said.is_replay_paused = true;
	says(judged(1)->why_not_read, "its replay is paused");
	known.limits.max_delay_us = 0;
	says(judged(1)->why_not_read, "its replay is paused");
	known.limits.max_lag_bytes = 0; /* old data are welcome */
	ck_assert_ptr_null(judged(1)->why_not_read);
	ck_assert(judged(1)->is_replay_paused);
	end();
}
END_TEST

START_TEST(a_replica_that_went_another_way_gets_no_reads)
{
	a_healthy_cluster();
	follows(1, 1);
	member[1].said.replayed_location = 990 * MB;
	ck_assert_int_eq(leader(), 0);
	/* a is dead, c leads from 999 MB on; b goes on to what a had written, and stands still there */
	for (int i = 0; i < 5; i++) {
		pass(SECOND_US);
		leads(2, 2);
		member[2].said.location = 999 * MB + (uint64_t)i;
		follows(1, 1);
		bool is_known = i > 0; /* at first it may be one that follows, and was asked a moment later */
		ck_assert_msg((judged(1)->why_not_read != NULL) == is_known, "%d: %s", i, judged(1)->why_not_read);
		ck_assert_int_eq(last->leader >= 0 ? last->member[last->leader].id : -1, 2);
	}
	says(judged(1)->why_not_read, "it is on an older timeline, beyond where the leader left that");
	pass(SECOND_US);
	leads(2, 2);
	member[2].said.location = 999 * MB + 10;
	follows(1, 1); /* Patroni takes a while to see the new timeline, but this one follows */
	member[1].said.replayed_location = member[1].said.received_location = 999 * MB + 10;
	ck_assert_ptr_null(judged(1)->why_not_read);
	end();
}
END_TEST

START_TEST(without_a_leader_the_last_one_is_still_the_measure)
{
	a_healthy_cluster();
	ck_assert_int_eq(leader(), 0);
	a_second_later(1100 * MB);
	member[2].said.replayed_location = 1100 * MB;
	ck_assert_int_eq(leader(), 0);
	says(judged(1)->why_not_read, "its replay lags too far behind");
	for (int i = 0; i < 60; i++) { /* nobody can have what only the dead one had */
		pass(SECOND_US);
		answer(0, 503, MEMBER_OTHER, MEMBER_STOPPED, 1);
		follows(1, 1);
		follows(2, 1);
		member[1].said.replayed_location = 1000 * MB;
		member[2].said.replayed_location = 1100 * MB;
		ck_assert_int_eq(leader(), -1);
		says(judged(1)->why_not_read, "its replay lags too far behind");
		ck_assert_ptr_null(judged(2)->why_not_read);
	}
	member[1].said.replayed_location = 1100 * MB;
	ck_assert_ptr_null(judged(1)->why_not_read);
	end();
}
END_TEST

START_TEST(a_doubt_is_no_verdict)
{
	a_healthy_cluster();
	pass(MILLISECOND_US);
	static const enum session_says signs[] = { SESSION_BROKE, SESSION_SHUTTING_DOWN };
	for (size_t i = 0; i < 2; i++) {
		pass(SECOND_US);
		leads(0, 1);
		follows(1, 1);
		ck_assert_ptr_null(judged(1)->why_doubted);
		session(1, signs[i]);
		says(judged(1)->why_doubted, "a session on it broke off");
		ck_assert_ptr_null(judged(1)->why_not_read);
		ck_assert_ptr_null(judged(2)->why_doubted);
		pass(2 * MILLISECOND_US);
		follows(1, 1); /* asked after that, its Patroni calls it well */
		ck_assert_ptr_null(judged(1)->why_doubted);
	}
	silent(1, 1);
	says(judged(1)->why_doubted, "its Patroni did not answer the last time");
	follows(1, 1);
	member[1].is_unlisted = true;
	says(judged(1)->why_doubted, "Patroni does not list it");
	answer(1, 503, MEMBER_REPLICA, MEMBER_STOPPING, 1); /* a verdict needs no doubt */
	ck_assert_ptr_null(judged(1)->why_doubted);
	ck_assert_ptr_nonnull(judged(1)->why_not_read);
	end();
}
END_TEST

START_TEST(a_replica_that_was_promoted_takes_no_reads_even_if_patroni_has_not_noticed)
{
	a_healthy_cluster();
	pass(MILLISECOND_US);
	session(1, SESSION_WRITABLE);
	says(judged(1)->why_not_read, "a session on it was told that it takes writes");
	end();
}
END_TEST

START_TEST(one_that_is_starting_is_no_measure)
{
	begin(CLUSTER_OF_PATRONI);
	follows(1, 1);
	answer(0, 503, MEMBER_REPLICA, MEMBER_STARTING, 1);
	member[0].said.received_location = 1016 * MB + 1; /* the segment it asks for */
	ck_assert_int_eq(leader(), -1);
	ck_assert_uint_eq(judged(1)->lag_bytes, 0);
	end();
}
END_TEST

START_TEST(a_leader_that_is_gone_is_shown_as_nothing)
{
	a_healthy_cluster();
	pass(SECOND_US);
	silent(0, 3);
	ck_assert_int_eq(leader(), 0);
	ck_assert_int_eq(judged(0)->role, MEMBER_LEADER); /* as long as it is kept */
	ck_assert_int_eq(judged(0)->state, MEMBER_RUNNING);
	leads(1, 2);
	ck_assert_int_eq(judged(0)->role, MEMBER_OTHER);
	ck_assert_int_eq(judged(0)->state, MEMBER_STATE_UNKNOWN);
	end();
}
END_TEST

START_TEST(without_a_leader_replicas_are_measured_against_who_has_most)
{
	begin(CLUSTER_OF_PATRONI);
	follows(1, 1);
	follows(2, 1);
	member[1].said.received_location = 1100 * MB;
	ck_assert_int_eq(leader(), -1);
	says(judged(1)->why_not_read, "its replay lags too far behind");
	says(judged(2)->why_not_read, "its replay lags too far behind");
	member[1].said.replayed_location = 1090 * MB;
	ck_assert_ptr_null(judged(1)->why_not_read);
	ck_assert_uint_eq(judged(2)->lag_bytes, 100 * MB);
	end();
}
END_TEST

START_TEST(a_standby_cluster_serves_reads_and_has_no_leader)
{
	begin(CLUSTER_OF_PATRONI);
	answer(0, 503, MEMBER_REPLICA, MEMBER_RUNNING, 1);
	member[0].said.is_standby_leader = true;
	follows(1, 1);
	ck_assert_int_eq(leader(), -1);
	ck_assert_ptr_null(judged(0)->why_not_read);
	ck_assert_ptr_null(judged(1)->why_not_read);
	end();
}
END_TEST

START_TEST(maintenance_mode_is_shown)
{
	a_healthy_cluster();
	member[2].said.is_paused = true;
	ck_assert_int_eq(leader(), 0);
	ck_assert(last->is_paused);
	end();
}
END_TEST

START_TEST(time_is_kept_of_what_lasts)
{
	a_healthy_cluster();
	uint64_t began_us = now_us;
	pass(SECOND_US);
	leads(0, 1);
	follows(1, 1);
	ck_assert_uint_eq(judged(1)->since_us, began_us);
	ck_assert_uint_eq(judged(1)->seen_us, now_us);
	ck_assert_uint_eq(last->leader_since_us, began_us);
	answer(1, 503, MEMBER_REPLICA, MEMBER_STOPPED, 1);
	ck_assert_uint_eq(judged(1)->since_us, now_us);
	ck_assert_uint_gt(last->generation, 3);
	end();
}
END_TEST

/* Hosts without Patroni */

START_TEST(hosts_are_explored_by_sessions)
{
	begin(CLUSTER_OF_HOSTS);
	ck_assert_int_eq(leader(), -1);
	says(last->why_no_leader, "no member is known to be writable");
	for (int i = 0; i < 3; i++) {
		ck_assert(judged(i)->wants_session);
		says(judged(i)->why_not_read, "no session on it has been opened yet");
		ck_assert_int_eq(judged(i)->role, MEMBER_OTHER);
	}
	session(1, SESSION_WRITABLE);
	session(0, SESSION_IN_RECOVERY);
	ck_assert_int_eq(leader(), 1);
	ck_assert_int_eq(judged(1)->role, MEMBER_LEADER);
	ck_assert_int_eq(judged(0)->role, MEMBER_REPLICA);
	ck_assert_int_eq(judged(0)->state, MEMBER_RUNNING);
	ck_assert_int_eq(judged(2)->state, MEMBER_STATE_UNKNOWN);
	ck_assert_ptr_null(judged(0)->why_not_read);
	says(judged(0)->why_not_write, "it is in recovery");
	ck_assert(!judged(0)->wants_session && !judged(1)->wants_session && judged(2)->wants_session);
	ck_assert(!last->has_patroni);
	end();
}
END_TEST

START_TEST(hosts_that_refuse_are_left_out_and_tried_again)
{
	begin(CLUSTER_OF_HOSTS);
	session(0, SESSION_WRITABLE);
	session(1, SESSION_IN_RECOVERY);
	ck_assert_int_eq(leader(), 0);
	session(0, SESSION_REFUSED);
	ck_assert_int_eq(leader(), -1);
	says(judged(0)->why_not_write, "it refused our last connection");
	ck_assert(judged(0)->wants_session && !judged(0)->is_reachable);
	session(1, SESSION_REFUSED);
	says(judged(1)->why_not_read, "it refused our last connection");
	session(1, SESSION_WRITABLE);
	ck_assert_int_eq(leader(), 1);
	session(0, SESSION_IN_RECOVERY);
	ck_assert_int_eq(leader(), 1);
	ck_assert_ptr_null(judged(0)->why_not_read);
	end();
}
END_TEST

START_TEST(a_host_whose_sessions_broke_is_looked_at_again)
{
	begin(CLUSTER_OF_HOSTS);
	session(0, SESSION_WRITABLE);
	pass(SECOND_US);
	session(0, SESSION_BROKE);
	ck_assert_int_eq(leader(), 0);
	ck_assert(judged(0)->wants_session);
	pass(SECOND_US);
	session(0, SESSION_WRITABLE);
	ck_assert(!judged(0)->wants_session);
	end();
}
END_TEST

START_TEST(without_a_leader_silent_hosts_are_asked_again)
{
	begin(CLUSTER_OF_HOSTS);
	session(0, SESSION_IN_RECOVERY);
	ck_assert(!judged(0)->wants_session);
	pass(2 * SECOND_US);
	ck_assert(judged(0)->wants_session);
	session(1, SESSION_WRITABLE);
	ck_assert(!judged(0)->wants_session);
	end();
}
END_TEST

START_TEST(of_two_writable_hosts_the_one_seen_promoted_leads)
{
	begin(CLUSTER_OF_HOSTS);
	session(0, SESSION_WRITABLE);
	session(1, SESSION_WRITABLE);
	ck_assert_int_eq(leader(), -1);
	says(last->why_no_leader, "two members are writable");
	says(judged(0)->why_not_write, "another member is writable too");
	says(judged(0)->why_not_read, "it is writable, but does not lead");
	session(1, SESSION_IN_RECOVERY);
	ck_assert_int_eq(leader(), 0);
	pass(SECOND_US);
	session(1, SESSION_WRITABLE);
	ck_assert_int_eq(leader(), 1);
	says(judged(0)->why_not_write, "another member was promoted after it");
	pass(SECOND_US);
	session(0, SESSION_WRITABLE); /* it may insist */
	ck_assert_int_eq(leader(), 1);
	end();
}
END_TEST

/* Plain */

START_TEST(plain_members_are_all_fit_for_everything)
{
	begin(CLUSTER_PLAIN);
	ck_assert_int_eq(leader(), -1);
	ck_assert(last->is_plain && last->why_no_leader == NULL);
	for (int i = 0; i < 3; i++) {
		ck_assert_ptr_null(judged(i)->why_not_read);
		ck_assert_ptr_null(judged(i)->why_not_write);
		ck_assert(!judged(i)->wants_session);
		session(i, i ? SESSION_IN_RECOVERY : SESSION_WRITABLE);
	}
	for (int i = 0; i < 3; i++) {
		ck_assert_ptr_null(judged(i)->why_not_write);
		ck_assert_int_eq(judged(i)->role, MEMBER_OTHER);
	}
	end();
}
END_TEST

START_TEST(a_plain_member_that_refuses_is_avoided_for_a_while_if_there_is_another)
{
	begin(CLUSTER_PLAIN);
	session(0, SESSION_REFUSED);
	says(judged(0)->why_not_write, "it refused our last connection");
	says(judged(0)->why_not_read, "it refused our last connection");
	ck_assert_ptr_null(judged(1)->why_not_read);
	session(1, SESSION_REFUSED);
	session(2, SESSION_REFUSED);
	for (int i = 0; i < 3; i++)
		ck_assert_ptr_null(judged(i)->why_not_write);
	session(2, SESSION_WRITABLE);
	says(judged(0)->why_not_write, "it refused our last connection");
	pass(5 * SECOND_US);
	ck_assert_ptr_null(judged(0)->why_not_write);
	end();
}
END_TEST

START_TEST(what_a_session_says_has_a_name)
{
	for (int i = SESSION_NOTHING; i <= SESSION_SHUTTING_DOWN; i++)
		ck_assert_ptr_nonnull(session_says_name((enum session_says)i));
}
END_TEST

int
main(void)
{
	const TTest *const rules[] = {
		before_anybody_answers_nothing_is_usable,
		a_cluster_without_members_has_no_leader,
		the_lock_and_a_running_primary_in_one_answer_make_a_leader,
		the_lock_alone_makes_no_leader,
		a_running_primary_without_the_lock_does_not_lead,
		the_higher_timeline_wins_whoever_speaks_first,
		two_claims_on_one_timeline_make_no_leader,
		an_unknown_timeline_cannot_be_compared,
		a_lower_timeline_is_not_followed_while_somebody_reachable_has_a_higher_one,
		a_higher_timeline_is_forgotten_some_seconds_after_nobody_has_it,
		a_session_in_recovery_outweighs_an_older_answer,
		an_answer_that_was_under_way_does_not_outweigh_a_session,
		a_refused_connection_ends_leadership_until_patroni_was_asked_again,
		the_more_often_it_refuses_the_less_patroni_is_believed,
		broken_and_ended_sessions_are_signs_but_no_proof,
		what_a_session_repeats_is_no_news,
		a_promotion_is_followed_when_patroni_says_primary_in_any_order_of_witnesses,
		a_planned_switchover_leaves_a_gap_and_never_two_leaders,
		a_leader_whose_patroni_is_silent_is_kept_while_nobody_contradicts,
		others_that_answer_can_end_a_silent_leader,
		when_no_patroni_answers_the_last_leader_is_kept_until_a_session_says_otherwise,
		an_old_answer_is_no_claim,
		a_leader_that_answers_and_no_longer_claims_is_lost_at_once,
		a_leader_that_was_removed_is_not_kept,
		members_of_another_system_are_left_out,
		healthy_replicas_serve_reads,
		a_replica_that_is_not_well_serves_none_and_says_why,
		a_replica_that_lags_is_out_until_it_has_caught_up_by_a_quarter,
		positions_of_different_moments_are_not_compared,
		an_unknown_lag_is_too_much_where_there_is_a_limit,
		without_a_leader_replicas_are_measured_against_who_has_most,
		a_replica_that_does_not_replay_what_little_there_is_gets_no_reads,
		an_idle_cluster_is_no_stall,
		a_replica_whose_replay_is_paused_gets_no_reads,
		a_replica_that_went_another_way_gets_no_reads,
		without_a_leader_the_last_one_is_still_the_measure,
		a_doubt_is_no_verdict,
		a_replica_that_was_promoted_takes_no_reads_even_if_patroni_has_not_noticed,
		one_that_is_starting_is_no_measure,
		a_leader_that_is_gone_is_shown_as_nothing,
		a_standby_cluster_serves_reads_and_has_no_leader,
		maintenance_mode_is_shown,
		time_is_kept_of_what_lasts,
		hosts_are_explored_by_sessions,
		hosts_that_refuse_are_left_out_and_tried_again,
		a_host_whose_sessions_broke_is_looked_at_again,
		without_a_leader_silent_hosts_are_asked_again,
		of_two_writable_hosts_the_one_seen_promoted_leads,
		plain_members_are_all_fit_for_everything,
		a_plain_member_that_refuses_is_avoided_for_a_while_if_there_is_another,
		what_a_session_says_has_a_name,
	};
	return suite_run("cluster/judge", rules, sizeof(rules) / sizeof(rules[0]));
}
