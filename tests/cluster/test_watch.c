/*
 * tests/cluster/test_watch.c - following a cluster whose Patronis are servers in the same loop: three members n1, n2, n3
 * that answer well, badly or not at all.
 */
#include "cluster/watch.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "../fake/http.h"
#include "../suite.h"
#include "base/clock.h"
#include "base/log.h"
#include "net/fetch.h"
#include "net/loop.h"

#define MS       MILLISECOND_US
#define MEMBERS  3
#define POLL_US  (5 * MS)

enum mood { GOOD, HTML, HALF_JSON, MUTE, BAD_LIST, EMPTY_LIST, LIAR };

/* What one Patroni would say. */
static struct patroni {
	struct fake_http server;
	enum mood mood;
	int status;
	const char *role, *state;
	uint32_t timeline;
	uint64_t location;
	bool is_unlocked;
	bool is_listed;        /* in everybody's /cluster */
	const char *host;      /* of its PostgreSQL, as listed */
	int polls, listings;
} patroni[MEMBERS];

static struct loop *loop;
static struct fetcher *fetcher;
static struct cluster *cluster;
static const char *listed_leader; /* what /cluster says, whoever it is */

/* The topologies that were published: names of leaders, "-" for none. */
static char history[1000];
static int published;
static bool is_inside; /* a function of the cluster's: nothing may be published now */

static void
on_topology(struct cluster *c, const struct topology *old, const struct topology *now, void *context)
{
	ck_assert_ptr_eq(context, &published);
	ck_assert(!is_inside);
	ck_assert_ptr_eq(cluster_topology(c), now);
	ck_assert(topology_differs(old, now));
	ck_assert_uint_gt(now->generation, old->generation);
	published++;
	if (old->leader >= 0 && now->leader >= 0 && topology_leader(old)->id == topology_leader(now)->id)
		return;
	if (old->leader < 0 && now->leader < 0)
		return;
	const char *name = now->leader < 0 ? "-" : topology_leader(now)->name;
	strncat(history, history[0] ? " " : "", sizeof(history) - strlen(history) - 1);
	strncat(history, name, sizeof(history) - strlen(history) - 1);
}

static void
add_listing(struct evbuffer *out)
{
	const char *comma = "";
	evbuffer_add_printf(out, "{\"members\": [");
	for (int i = 0; i < MEMBERS; i++) {
		struct patroni *p = &patroni[i];
		if (!p->is_listed)
			continue;
		char name[16];
		snprintf(name, sizeof(name), "n%d", i + 1);
		evbuffer_add_printf(out, "%s{\"name\": \"%s\", \"role\": \"%s\", \"state\": \"running\", \"host\": \"%s\","
				    " \"port\": %d, \"api_url\": \"http://127.0.0.1:%u/patroni\", \"timeline\": 1}",
				    comma, name, strcmp(name, listed_leader) == 0 ? "leader" : "replica", p->host,
				    5400 + i, p->server.port);
		comma = ", ";
	}
	evbuffer_add_printf(out, "], \"scope\": \"test\"}");
}

static void
add_status(struct patroni *p, struct evbuffer *out)
{
	evbuffer_add_printf(out, "{\"state\": \"%s\", \"role\": \"%s\", \"timeline\": %u,", p->state, p->role, p->timeline);
	if (strcmp(p->role, "replica") == 0)
		evbuffer_add_printf(out, "\"xlog\": {\"received_location\": %" PRIu64 ", \"replayed_location\": %" PRIu64 "},",
				    p->location, p->location);
	else
		evbuffer_add_printf(out, "\"xlog\": {\"location\": %" PRIu64 "},", p->location);
	if (p->is_unlocked)
		evbuffer_add_printf(out, "\"cluster_unlocked\": true,");
	evbuffer_add_printf(out, "\"database_system_identifier\": \"77\", \"patroni\": {\"scope\": \"test\", \"name\": \"n%d\"}}",
			    p->mood == LIAR ? 9 : (int)(p - patroni) + 1);
}

static enum fake_http_next
answer(struct fake_http *server, const char *head, struct evbuffer *out)
{
	struct patroni *p = server->context;
	bool is_listing = strncmp(head, "GET /cluster ", 13) == 0;
	if (!is_listing)
		ck_assert_msg(strncmp(head, "GET /primary ", 13) == 0, "%s", head);
	is_listing ? p->listings++ : p->polls++;
	if (p->mood == MUTE)
		return FAKE_HTTP_STAY;
	if (p->mood == HTML || (p->mood == BAD_LIST && is_listing)) {
		evbuffer_add_printf(out, "HTTP/1.0 503 Service Unavailable\r\nContent-Type: text/html\r\n\r\n<html>no</html>");
		return FAKE_HTTP_CLOSE;
	}
	evbuffer_add_printf(out, "HTTP/1.0 %d X\r\nServer: BaseHTTP/0.6 Python/3.11.2\r\nContent-Type: application/json\r\n\r\n",
			    is_listing ? 200 : p->status);
	if (p->mood == HALF_JSON)
		evbuffer_add_printf(out, "{\"state\": \"running\", \"ro");
	else if (p->mood == EMPTY_LIST && is_listing)
		evbuffer_add_printf(out, "{\"members\": []}");
	else if (is_listing)
		add_listing(out);
	else
		add_status(p, out);
	return FAKE_HTTP_CLOSE;
}

static void
make_replica(int i, uint32_t timeline)
{
	struct patroni *p = &patroni[i];
	p->status = 503;
	p->role = "replica";
	p->state = "running";
	p->timeline = timeline;
}

static void
make_leader(int i, uint32_t timeline)
{
	struct patroni *p = &patroni[i];
	p->status = 200;
	p->role = "primary";
	p->state = "running";
	p->timeline = timeline;
	static const char *const names[] = { "n1", "n2", "n3" };
	listed_leader = names[i];
}

static void
begin_servers(void)
{
	signal(SIGPIPE, SIG_IGN);
	log_open(&(struct log_target){ .level = getenv("TEST_LOG") ? LOG_LEVEL_DEBUG : LOG_LEVEL_FATAL, .to_stderr = true });
	loop = loop_new((struct loop_hooks){ 0 }, NULL);
	fetcher = fetcher_open(loop);
	ck_assert_ptr_nonnull(fetcher);
	static const char *const hosts[] = { "10.0.0.1", "10.0.0.2", "10.0.0.3" };
	for (int i = 0; i < MEMBERS; i++) {
		patroni[i] = (struct patroni){ .is_listed = true, .location = 1000000, .host = hosts[i] };
		patroni[i].server.answer = answer;
		patroni[i].server.context = &patroni[i];
		fake_http_open(&patroni[i].server, loop);
		make_replica(i, 1);
	}
	make_leader(0, 1);
	history[0] = '\0';
	published = 0;
}

static char seed_text[MEMBERS][64];
static const char *seeds[MEMBERS];

/* A configuration with the first n members' URLs. */
static struct cluster_config
config_with(int n)
{
	for (int i = 0; i < n; i++) {
		snprintf(seed_text[i], sizeof(seed_text[i]), "http://127.0.0.1:%u", patroni[i].server.port);
		seeds[i] = seed_text[i];
	}
	return (struct cluster_config){
		.name = "test", .patroni = seeds, .patroni_count = n, .patroni_poll_interval_us = POLL_US,
		.patroni_timeout_us = 150 * MS, .max_replica_lag_bytes = 1000,
	};
}

static void
open_cluster(const struct cluster_config *config)
{
	is_inside = true;
	cluster = cluster_open(loop, fetcher, config, &(struct cluster_callbacks){ on_topology, &published });
	is_inside = false;
	ck_assert_str_eq(cluster_name(cluster), config->name);
}

static void
end(void)
{
	cluster_close(cluster);
	fetcher_close(fetcher);
	for (int i = 0; i < MEMBERS; i++)
		fake_http_stop(&patroni[i].server);
	loop_free(loop);
}

/* Conditions to wait for */

static const char *expected_leader; /* NULL: none */

static bool
is_led(void)
{
	const struct member *m = topology_leader(cluster_topology(cluster));
	return expected_leader == NULL ? m == NULL : m && strcmp(m->name, expected_leader) == 0;
}

static void
wait_leader(const char *name, uint64_t limit_us)
{
	expected_leader = name;
	ck_assert_msg(turn_until(loop, is_led, limit_us), "leader is not %s but: %s", name ? name : "none", history);
}

static int expected_count;

static bool
is_counted(void)
{
	return cluster_topology(cluster)->count == expected_count;
}

static void
wait_members(int n, uint64_t limit_us)
{
	expected_count = n;
	ck_assert_msg(turn_until(loop, is_counted, limit_us), "%d members", cluster_topology(cluster)->count);
}

static bool
are_all_well(void)
{
	const struct topology *t = cluster_topology(cluster);
	if (t->count != MEMBERS || t->leader < 0 || t->is_stale)
		return false;
	for (int i = 0; i < MEMBERS; i++)
		if (i != t->leader && t->member[i].why_not_read)
			return false;
	return true;
}

static bool
is_stale(void)
{
	return cluster_topology(cluster)->is_stale;
}

static const struct member *
named(const char *name)
{
	return topology_member_named(cluster_topology(cluster), name);
}

static void
pass(uint64_t us)
{
	turn_until(loop, NULL, us);
}

static void
report(const char *name, enum session_says says)
{
	is_inside = true;
	cluster_report_session(cluster, named(name)->id, says);
	is_inside = false;
}

/* A healthy cluster, found through its first member. */
static void
begin(void)
{
	begin_servers();
	struct cluster_config config = config_with(1);
	open_cluster(&config);
	ck_assert(turn_until(loop, are_all_well, 30 * SECOND_US));
	ck_assert_str_eq(history, "n1");
}

START_TEST(members_and_their_roles_are_found_through_one_url)
{
	begin_servers();
	struct cluster_config config = config_with(1);
	open_cluster(&config);
	ck_assert_int_eq(published, 0);
	ck_assert_uint_eq(cluster_topology(cluster)->count, 0);
	ck_assert_int_eq(cluster_topology(cluster)->leader, -1);
	ck_assert(cluster_topology(cluster)->has_patroni);
	ck_assert(turn_until(loop, are_all_well, 30 * SECOND_US));
	ck_assert_str_eq(topology_leader(cluster_topology(cluster))->name, "n1");
	ck_assert_str_eq(named("n2")->host, "10.0.0.2");
	ck_assert_uint_eq(named("n2")->port, 5401);
	ck_assert_uint_eq(named("n2")->lag_bytes, 0);
	const struct cluster_counters *n = cluster_counters(cluster);
	ck_assert_uint_eq(n->members_added, 3);
	ck_assert_uint_ge(n->polls, 4);
	ck_assert_uint_eq(n->polls_failed + n->polls_bad + n->leader_changes + n->leader_losses, 0);
	ck_assert_uint_gt(n->leaderless_us, 0);
	ck_assert_uint_gt(n->last_poll_us, 0);
	ck_assert_uint_eq(cluster_leaderless_us(cluster), n->leaderless_us);
	end();
}
END_TEST

START_TEST(any_of_several_urls_is_enough)
{
	begin_servers();
	struct cluster_config config = config_with(3);
	patroni[0].mood = HTML;
	patroni[1].mood = MUTE;
	open_cluster(&config);
	for (int i = 0; i < 200 && cluster_counters(cluster)->polls_bad == 0; i++)
		pass(50 * MS);
	patroni[0].mood = GOOD;
	wait_leader("n1", 30 * SECOND_US);
	ck_assert_uint_ge(cluster_counters(cluster)->polls_bad, 1);
	end();
}
END_TEST

START_TEST(a_cluster_that_comes_up_later_is_found)
{
	begin_servers();
	struct cluster_config config = config_with(1);
	uint16_t port = patroni[0].server.port;
	fake_http_stop(&patroni[0].server);
	open_cluster(&config);
	pass(100 * MS);
	ck_assert_uint_eq(cluster_topology(cluster)->count, 0);
	ck_assert_uint_ge(cluster_counters(cluster)->polls_failed, 2);
	fake_http_open_at(&patroni[0].server, loop, port);
	wait_leader("n1", 30 * SECOND_US);
	end();
}
END_TEST

START_TEST(a_moved_leader_is_followed_within_a_fast_poll)
{
	begin_servers();
	struct cluster_config config = config_with(1);
	config.patroni_poll_interval_us = SECOND_US;
	open_cluster(&config);
	ck_assert(turn_until(loop, are_all_well, 30 * SECOND_US));
	/* n1 stops, its status is still 200; a session on it was told so. */
	patroni[0].state = "stopping";
	report("n1", SESSION_SHUTTING_DOWN);
	wait_leader(NULL, 150 * MS); /* long before the next second */
	patroni[0].status = 503;
	patroni[0].role = "demoted";
	patroni[1].status = 200; /* has the lock, is not promoted yet */
	pass(150 * MS);
	ck_assert_int_eq(cluster_topology(cluster)->leader, -1);
	ck_assert(named("n2")->wants_session && named("n2")->patroni_says_leader);
	make_leader(1, 2);
	uint64_t began_us = real_us();
	wait_leader("n2", 30 * SECOND_US);
	ck_assert_uint_lt(real_us() - began_us, 200 * MS);
	ck_assert_str_eq(history, "n1 - n2");
	ck_assert_uint_eq(cluster_topology(cluster)->timeline, 2);
	ck_assert_uint_eq(cluster_counters(cluster)->leader_changes, 1);
	ck_assert_uint_eq(cluster_counters(cluster)->leader_losses, 1);
	end();
}
END_TEST

START_TEST(polls_keep_their_interval_and_are_frequent_without_a_leader)
{
	begin_servers();
	struct cluster_config config = config_with(1);
	config.patroni_poll_interval_us = 200 * MS;
	open_cluster(&config);
	ck_assert(turn_until(loop, are_all_well, 30 * SECOND_US));
	int before = patroni[2].polls;
	pass(700 * MS);
	int slow = patroni[2].polls - before;
	ck_assert_int_ge(slow, 2);
	ck_assert_int_le(slow, 5);
	patroni[0].status = 503;
	wait_leader(NULL, 30 * SECOND_US);
	before = patroni[2].polls;
	pass(500 * MS);
	ck_assert_int_ge(patroni[2].polls - before, 5);
	ck_assert_int_le(patroni[2].polls - before, 13);
	end();
}
END_TEST

START_TEST(a_sign_of_trouble_brings_a_round_at_once)
{
	begin_servers();
	struct cluster_config config = config_with(1);
	config.patroni_poll_interval_us = 30 * SECOND_US;
	open_cluster(&config);
	ck_assert(turn_until(loop, are_all_well, 30 * SECOND_US));
	pass(100 * MS);
	int before = patroni[1].polls;
	pass(200 * MS);
	ck_assert_int_eq(patroni[1].polls, before);
	is_inside = true;
	for (int i = 0; i < 100; i++) /* a hundred signs are one */
		cluster_poll_now(cluster, "a test wants to know");
	is_inside = false;
	pass(30 * MS);
	ck_assert_int_ge(patroni[1].polls, before + 1);
	ck_assert_int_le(patroni[1].polls, before + 2);
	pass(300 * MS);
	ck_assert_int_ge(patroni[1].polls, before + 3); /* and it goes on for a while */
	end();
}
END_TEST

START_TEST(reports_about_a_replica_bring_single_rounds)
{
	begin_servers();
	struct cluster_config config = config_with(1);
	config.patroni_poll_interval_us = 30 * SECOND_US;
	open_cluster(&config);
	ck_assert(turn_until(loop, are_all_well, 30 * SECOND_US));
	pass(300 * MS);
	int before = patroni[1].polls;
	report("n2", SESSION_REFUSED);
	pass(10 * MS);
	ck_assert_int_eq(patroni[1].polls, before + 1);
	for (int i = 0; i < 30; i++) {
		report("n2", SESSION_REFUSED);
		pass(10 * MS);
	}
	ck_assert_int_le(patroni[1].polls, before + 4);
	ck_assert_ptr_nonnull(named("n2")->why_not_read);
	ck_assert_str_eq(history, "n1");
	/* A promotion, told by a session, is another matter. */
	report("n2", SESSION_IN_RECOVERY);
	before = patroni[1].polls;
	report("n2", SESSION_WRITABLE);
	pass(300 * MS);
	ck_assert_int_ge(patroni[1].polls, before + 3);
	ck_assert_uint_ge(cluster_counters(cluster)->session_reports, 3);
	end();
}
END_TEST

START_TEST(one_member_has_one_request_at_a_time)
{
	begin();
	patroni[1].mood = MUTE;
	patroni[2].mood = MUTE;
	for (int i = 0; i < MEMBERS; i++)
		patroni[i].server.open_most = 0;
	for (int i = 0; i < 80; i++) {
		cluster_poll_now(cluster, "test");
		pass(10 * MS);
	}
	for (int i = 0; i < MEMBERS; i++)
		ck_assert_int_le(patroni[i].server.open_most, 2); /* 2: a closed one may still be noticed as open */
	ck_assert_str_eq(history, "n1"); /* the mute ones hold nobody up */
	ck_assert_ptr_nonnull(named("n2")->why_not_read);
	end();
}
END_TEST

START_TEST(nonsense_from_the_leader_keeps_it_until_somebody_contradicts)
{
	static const enum mood moods[] = { HTML, HALF_JSON, MUTE, LIAR };
	for (size_t i = 0; i < sizeof(moods) / sizeof(moods[0]); i++) {
		begin();
		patroni[0].mood = moods[i];
		ck_assert(turn_until(loop, is_stale, 60 * SECOND_US));
		ck_assert_str_eq(history, "n1");
		if (moods[i] == MUTE)
			ck_assert_uint_ge(cluster_counters(cluster)->polls_failed, 3);
		else
			ck_assert_uint_ge(cluster_counters(cluster)->polls_bad, 3);
		patroni[1].is_unlocked = true;
		wait_leader(NULL, 30 * SECOND_US);
		patroni[1].is_unlocked = false;
		patroni[0].mood = GOOD;
		wait_leader("n1", 30 * SECOND_US);
		ck_assert_str_eq(history, "n1 - n1");
		end();
	}
}
END_TEST

START_TEST(when_all_patronis_go_the_leader_stays_until_it_refuses)
{
	begin();
	for (int i = 0; i < MEMBERS; i++)
		fake_http_stop(&patroni[i].server);
	ck_assert(turn_until(loop, is_stale, 60 * SECOND_US));
	pass(200 * MS);
	ck_assert_str_eq(history, "n1");
	ck_assert_ptr_null(named("n2")->why_not_read);
	report("n1", SESSION_REFUSED);
	wait_leader(NULL, 30 * SECOND_US);
	end();
}
END_TEST

START_TEST(a_listing_that_names_a_leader_makes_none)
{
	begin_servers();
	struct cluster_config config = config_with(1);
	make_replica(0, 1);
	listed_leader = "n2";
	open_cluster(&config);
	wait_members(3, 30 * SECOND_US);
	pass(200 * MS);
	ck_assert_int_eq(cluster_topology(cluster)->leader, -1);
	ck_assert_str_eq(cluster_topology(cluster)->why_no_leader, "nobody holds the leader lock");
	ck_assert_str_eq(history, "");
	end();
}
END_TEST

START_TEST(a_leader_that_refuses_us_is_given_up_and_comes_back)
{
	begin();
	report("n1", SESSION_REFUSED);
	wait_leader(NULL, 30 * SECOND_US);
	report("n1", SESSION_WRITABLE);
	wait_leader("n1", 30 * SECOND_US);
	report("n1", SESSION_IN_RECOVERY);
	wait_leader(NULL, 30 * SECOND_US);
	wait_leader("n1", 30 * SECOND_US); /* Patroni, asked anew, says primary */
	end();
}
END_TEST

START_TEST(numbers_move_without_a_publication)
{
	begin();
	pass(100 * MS);
	uint64_t generation = cluster_topology(cluster)->generation;
	int before = published;
	patroni[0].location += 700;
	pass(200 * MS);
	ck_assert_uint_eq(named("n2")->lag_bytes, 700);
	ck_assert_uint_eq(cluster_topology(cluster)->generation, generation);
	ck_assert_int_eq(published, before);
	patroni[0].location += 700; /* beyond max_replica_lag */
	pass(200 * MS);
	ck_assert(named("n2")->is_lagging);
	ck_assert_int_gt(published, before);
	end();
}
END_TEST

/* Membership: minutes pass in steps short enough for answers to stay fresh, each with a round of polls. */

static int polls_before[MEMBERS];

static bool
is_polled(void)
{
	static const char *const names[] = { "n1", "n2", "n3" };
	for (int i = 0; i < MEMBERS; i++)
		if (patroni[i].server.listener && patroni[i].polls > 0 && patroni[i].polls < polls_before[i] + 2 &&
		    named(names[i]))
			return false;
	return true;
}

static void
pass_minutes_and_seconds(int minutes, int seconds)
{
	uint64_t end_us = clock_now_us() + (uint64_t)(60 * minutes + seconds) * SECOND_US;
	while (clock_now_us() < end_us) {
		clock_set(clock_now_us() + 2500 * MS);
		for (int i = 0; i < MEMBERS; i++)
			polls_before[i] = patroni[i].polls;
		turn_until(loop, is_polled, SECOND_US);
		for (int i = 0; i < 20; i++) /* listings that are under way shall not be late by the clock that is set here */
			loop_turn(loop, false);
	}
}

START_TEST(a_new_member_is_added_and_one_that_died_is_removed)
{
	begin_servers();
	patroni[2].is_listed = false;
	struct cluster_config config = config_with(1);
	open_cluster(&config);
	wait_leader("n1", 30 * SECOND_US);
	ck_assert_uint_eq(cluster_topology(cluster)->count, 2);
	patroni[2].is_listed = true;
	pass_minutes_and_seconds(0, 14);
	ck_assert_uint_eq(cluster_topology(cluster)->count, 3);
	uint16_t id = named("n3")->id;
	ck_assert_uint_eq(id, 2);

	fake_http_stop(&patroni[2].server);
	pass_minutes_and_seconds(1, 30);
	ck_assert_ptr_nonnull(named("n3")); /* dead, but Patroni still lists it */
	patroni[2].is_listed = false;
	pass_minutes_and_seconds(0, 16);
	ck_assert_ptr_nonnull(named("n3")); /* missed once or twice */
	pass_minutes_and_seconds(0, 30);
	ck_assert_ptr_null(named("n3"));
	ck_assert_uint_eq(cluster_counters(cluster)->members_removed, 1);

	/* It comes back as what it was. */
	patroni[2].is_listed = true;
	pass_minutes_and_seconds(0, 14);
	ck_assert_uint_eq(named("n3")->id, id);
	end();
}
END_TEST

START_TEST(a_member_that_answers_outlives_its_absence_by_a_minute)
{
	begin();
	patroni[1].is_listed = false;
	pass_minutes_and_seconds(0, 50);
	ck_assert_ptr_nonnull(named("n2"));
	patroni[1].is_listed = true;
	pass_minutes_and_seconds(0, 14); /* listed again: the count starts anew */
	patroni[1].is_listed = false;
	pass_minutes_and_seconds(0, 50);
	ck_assert_ptr_nonnull(named("n2"));
	ck_assert_ptr_null(named("n2")->why_not_read);
	pass_minutes_and_seconds(0, 40);
	ck_assert_ptr_null(named("n2"));
	ck_assert_str_eq(history, "n1");
	end();
}
END_TEST

START_TEST(empty_and_broken_listings_remove_nobody_and_a_leader_is_never_removed)
{
	begin();
	for (int i = 0; i < MEMBERS; i++)
		patroni[i].mood = i == 1 ? BAD_LIST : EMPTY_LIST;
	int before = patroni[0].listings + patroni[1].listings + patroni[2].listings;
	pass_minutes_and_seconds(1, 40);
	ck_assert_int_gt(patroni[0].listings + patroni[1].listings + patroni[2].listings, before + 8);
	ck_assert_uint_eq(cluster_topology(cluster)->count, 3);
	ck_assert_uint_gt(cluster_counters(cluster)->polls_bad, 2);
	for (int i = 0; i < MEMBERS; i++)
		patroni[i].mood = GOOD;
	patroni[0].is_listed = false;
	pass_minutes_and_seconds(1, 40);
	ck_assert_uint_eq(cluster_topology(cluster)->count, 3);
	ck_assert_str_eq(history, "n1");
	end();
}
END_TEST

START_TEST(listings_are_asked_of_replicas_by_turns)
{
	begin();
	for (int i = 0; i < MEMBERS; i++)
		patroni[i].listings = 0;
	pass_minutes_and_seconds(1, 30);
	ck_assert_int_eq(patroni[0].listings, 0); /* it leads: nothing may hold up its health */
	ck_assert_int_ge(patroni[1].listings, 3);
	ck_assert_int_ge(patroni[2].listings, 3);
	end();
}
END_TEST

START_TEST(a_member_at_another_address_is_another_member)
{
	begin();
	uint16_t id = named("n2")->id;
	patroni[1].host = "10.0.0.99";
	pass_minutes_and_seconds(0, 14);
	ck_assert_uint_eq(cluster_topology(cluster)->count, 3);
	ck_assert_str_eq(named("n2")->host, "10.0.0.99");
	ck_assert_uint_ne(named("n2")->id, id);
	end();
}
END_TEST

START_TEST(a_patroni_that_moves_is_followed)
{
	begin();
	uint16_t id = named("n2")->id;
	fake_http_stop(&patroni[1].server);
	pass(100 * MS);
	ck_assert_ptr_nonnull(named("n2")->why_not_read);
	fake_http_open(&patroni[1].server, loop);
	patroni[1].polls = 0; /* it is not expected to be polled at its old address */
	pass_minutes_and_seconds(0, 14);
	pass(100 * MS);
	ck_assert_int_gt(patroni[1].polls, 0);
	ck_assert_uint_eq(named("n2")->id, id);
	ck_assert_ptr_null(named("n2")->why_not_read);
	end();
}
END_TEST

START_TEST(a_new_leader_is_known_even_if_all_members_are_new)
{
	begin();
	/* Everything that was known is gone; at the configured URL is a Patroni that only knows of another member. */
	fake_http_stop(&patroni[1].server);
	fake_http_stop(&patroni[2].server);
	patroni[0].is_listed = patroni[2].is_listed = false;
	fake_http_open(&patroni[1].server, loop);
	patroni[1].host = "10.0.1.1";
	patroni[1].polls = 0;
	patroni[0].mood = LIAR;
	make_replica(0, 1);
	make_leader(1, 3);
	pass(200 * MS);
	patroni[0].polls = 0;
	pass_minutes_and_seconds(0, 20);
	wait_leader("n2", 30 * SECOND_US);
	ck_assert_str_eq(topology_leader(cluster_topology(cluster))->host, "10.0.1.1");
	end();
}
END_TEST

START_TEST(the_longer_nobody_leads_the_fewer_polls)
{
	begin_servers();
	make_replica(0, 1);
	struct cluster_config config = config_with(1);
	config.patroni_poll_interval_us = 200 * MS;
	open_cluster(&config);
	wait_members(3, 30 * SECOND_US);
	pass_minutes_and_seconds(2, 0);
	int before = patroni[0].polls;
	pass(400 * MS);
	ck_assert_int_le(patroni[0].polls - before, 6);
	/* A standby cluster has no leader to write to, and nobody waits for one. */
	patroni[0].role = "standby_leader";
	pass(200 * MS);
	before = patroni[0].polls;
	pass(400 * MS);
	ck_assert_int_le(patroni[0].polls - before, 3);
	end();
}
END_TEST

/* Configuration */

START_TEST(hosts_are_judged_by_reports)
{
	begin_servers();
	struct host_config hosts[] = { { "10.0.0.1", 5432 }, { "/run/postgresql", 5433 } };
	struct cluster_config config = { .name = "hosts", .hosts = hosts, .host_count = 2, .patroni_poll_interval_us = POLL_US };
	open_cluster(&config);
	ck_assert_uint_eq(cluster_topology(cluster)->count, 2);
	ck_assert(named("10.0.0.1:5432")->wants_session && named("/run/postgresql:5433")->wants_session);
	report("/run/postgresql:5433", SESSION_WRITABLE);
	report("10.0.0.1:5432", SESSION_IN_RECOVERY);
	cluster_report_session(cluster, 7, SESSION_WRITABLE); /* nobody has this id */
	cluster_report_session(cluster, UINT16_MAX, SESSION_WRITABLE);
	cluster_poll_now(cluster, "there is nobody to ask");
	wait_leader("/run/postgresql:5433", 30 * SECOND_US);
	ck_assert_ptr_null(named("10.0.0.1:5432")->why_not_read);
	ck_assert_uint_eq(cluster_counters(cluster)->polls, 0);
	report("/run/postgresql:5433", SESSION_REFUSED);
	wait_leader(NULL, 30 * SECOND_US);
	report("10.0.0.1:5432", SESSION_WRITABLE);
	wait_leader("10.0.0.1:5432", 30 * SECOND_US);
	end();
}
END_TEST

START_TEST(a_plain_member_serves_from_the_start)
{
	begin_servers();
	struct host_config hosts[] = { { "10.0.0.1", 5432 }, { "10.0.0.2", 5432 } };
	struct cluster_config config = { .name = "10.0.0.1:5432,10.0.0.2:5432", .is_plain = true, .hosts = hosts, .host_count = 1 };
	open_cluster(&config);
	const struct topology *t = cluster_topology(cluster);
	ck_assert(t->is_plain && t->count == 1 && t->member[0].why_not_write == NULL);
	ck_assert_uint_eq(cluster_leaderless_us(cluster), 0);
	pass(50 * MS);
	ck_assert_int_eq(published, 0);
	config.host_count = 2;
	is_inside = true;
	cluster_apply(cluster, &config);
	is_inside = false;
	wait_members(2, 30 * SECOND_US);
	report("10.0.0.1:5432", SESSION_REFUSED);
	pass(50 * MS);
	ck_assert_ptr_nonnull(named("10.0.0.1:5432")->why_not_write);
	ck_assert_ptr_null(named("10.0.0.2:5432")->why_not_write);
	config.hosts = &hosts[1];
	config.host_count = 1;
	cluster_apply(cluster, &config);
	wait_members(1, 30 * SECOND_US);
	ck_assert_str_eq(cluster_topology(cluster)->member[0].host, "10.0.0.2");
	ck_assert_uint_eq(cluster_topology(cluster)->member[0].id, 1); /* its own, as before */
	end();
}
END_TEST

START_TEST(a_reload_keeps_what_is_known)
{
	begin();
	struct cluster_config config = config_with(3);
	config.max_replica_lag_bytes = 0;
	is_inside = true;
	cluster_apply(cluster, &config);
	is_inside = false;
	pass(100 * MS);
	ck_assert_str_eq(history, "n1");
	ck_assert_uint_eq(cluster_counters(cluster)->members_added, 3);
	patroni[0].location += 1000000;
	pass(100 * MS);
	ck_assert_ptr_null(named("n2")->why_not_read);
	end();
}
END_TEST

START_TEST(a_cluster_may_be_followed_in_another_way_after_a_reload)
{
	begin();
	struct host_config hosts[] = { { "10.0.0.1", 5400 } };
	struct cluster_config config = { .name = "test", .hosts = hosts, .host_count = 1, .patroni_poll_interval_us = POLL_US };
	cluster_apply(cluster, &config);
	wait_members(1, 30 * SECOND_US);
	ck_assert(!cluster_topology(cluster)->has_patroni);
	report("10.0.0.1:5400", SESSION_WRITABLE);
	wait_leader("10.0.0.1:5400", 30 * SECOND_US);
	config.is_plain = true;
	cluster_apply(cluster, &config);
	pass(100 * MS);
	ck_assert(cluster_topology(cluster)->is_plain);
	ck_assert_uint_eq(cluster_topology(cluster)->count, 1);
	config = config_with(1);
	cluster_apply(cluster, &config);
	ck_assert(turn_until(loop, are_all_well, 30 * SECOND_US));
	ck_assert_str_eq(history, "n1 - 10.0.0.1:5400 - n1");
	end();
}
END_TEST

START_TEST(more_hosts_than_there_is_room_for_are_left_out)
{
	begin_servers();
	static char names[CLUSTER_MEMBERS_MAX + 2][300];
	struct host_config hosts[CLUSTER_MEMBERS_MAX + 2];
	for (int i = 0; i < CLUSTER_MEMBERS_MAX + 2; i++) {
		snprintf(names[i], sizeof(names[i]), i == 0 ? "%0290d" : "10.0.1.%d", i);
		hosts[i] = (struct host_config){ .name = names[i], .port = 5432 };
	}
	struct cluster_config config = { .name = "many", .hosts = hosts, .host_count = CLUSTER_MEMBERS_MAX + 2 };
	open_cluster(&config);
	ck_assert_uint_eq(cluster_topology(cluster)->count, CLUSTER_MEMBERS_MAX);
	/* Ids of those that went are given away only now that no fresh one is left. */
	config.hosts = &hosts[2];
	config.host_count = CLUSTER_MEMBERS_MAX;
	cluster_apply(cluster, &config);
	pass(50 * MS);
	ck_assert_uint_eq(cluster_topology(cluster)->count, CLUSTER_MEMBERS_MAX);
	ck_assert_uint_eq(named("10.0.1.65:5432")->id, 0);
	end();
}
END_TEST

START_TEST(an_id_that_was_given_back_is_the_last_to_be_given_again)
{
	begin_servers();
	char name[32];
	struct host_config host = { .name = name, .port = 5432 };
	struct cluster_config config = { .name = "moves", .hosts = &host, .host_count = 1 };
	uint16_t id = 0;
	for (int i = 0; i < 2 * CLUSTER_MEMBERS_MAX + 2; i++) {
		snprintf(name, sizeof(name), "10.0.1.%d", i);
		if (i == 0)
			open_cluster(&config);
		else
			cluster_apply(cluster, &config);
		pass(1 * MS);
		ck_assert_uint_eq(cluster_topology(cluster)->count, 1);
		ck_assert(i == 0 || cluster_topology(cluster)->member[0].id != id);
		id = cluster_topology(cluster)->member[0].id;
	}
	end();
}
END_TEST

START_TEST(a_url_that_is_too_long_is_left_out)
{
	begin_servers();
	struct cluster_config config = config_with(1);
	char *url = malloc(1000);
	memset(url, 'x', 1000);
	url[999] = '\0';
	const char *urls[] = { url, seed_text[0] };
	config.patroni = urls;
	config.patroni_count = 2;
	open_cluster(&config);
	free(url); /* the configuration is copied */
	wait_leader("n1", 30 * SECOND_US);
	end();
}
END_TEST

START_TEST(closing_in_the_middle_of_requests_is_quiet)
{
	begin();
	for (int i = 0; i < MEMBERS; i++)
		patroni[i].mood = MUTE;
	pass(50 * MS);
	const struct topology *kept = topology_ref(cluster_topology(cluster));
	int before = published;
	cluster_close(cluster);
	cluster_close(NULL);
	cluster = NULL;
	pass(200 * MS);
	ck_assert_int_eq(published, before);
	ck_assert_str_eq(topology_leader(kept)->name, "n1"); /* a snapshot outlives its cluster */
	topology_unref(kept);
	end();
}
END_TEST

int
main(void)
{
	const TTest *const rules[] = {
		members_and_their_roles_are_found_through_one_url,
		any_of_several_urls_is_enough,
		a_cluster_that_comes_up_later_is_found,
		a_moved_leader_is_followed_within_a_fast_poll,
		polls_keep_their_interval_and_are_frequent_without_a_leader,
		a_sign_of_trouble_brings_a_round_at_once,
		reports_about_a_replica_bring_single_rounds,
		one_member_has_one_request_at_a_time,
		nonsense_from_the_leader_keeps_it_until_somebody_contradicts,
		when_all_patronis_go_the_leader_stays_until_it_refuses,
		a_listing_that_names_a_leader_makes_none,
		a_leader_that_refuses_us_is_given_up_and_comes_back,
		numbers_move_without_a_publication,
		a_new_member_is_added_and_one_that_died_is_removed,
		a_member_that_answers_outlives_its_absence_by_a_minute,
		empty_and_broken_listings_remove_nobody_and_a_leader_is_never_removed,
		listings_are_asked_of_replicas_by_turns,
		a_member_at_another_address_is_another_member,
		the_longer_nobody_leads_the_fewer_polls,
		a_patroni_that_moves_is_followed,
		a_new_leader_is_known_even_if_all_members_are_new,
		hosts_are_judged_by_reports,
		a_plain_member_serves_from_the_start,
		a_reload_keeps_what_is_known,
		a_cluster_may_be_followed_in_another_way_after_a_reload,
		more_hosts_than_there_is_room_for_are_left_out,
		an_id_that_was_given_back_is_the_last_to_be_given_again,
		a_url_that_is_too_long_is_left_out,
		closing_in_the_middle_of_requests_is_quiet,
	};
	setenv("CK_DEFAULT_TIMEOUT", "60", 0);
	return suite_run("cluster/watch", rules, sizeof(rules) / sizeof(rules[0]));
}
