/* tests/cluster/test_patroni.c - reading Patroni's answers: real ones, odd ones, broken ones. */
#include "cluster/patroni.h"

#include "../suite.h"
#include "answers.h"

static char why[200];

static enum patroni_result
parse_status(const char *json, struct patroni_status *out)
{
	struct text t = TEXT_IN(why);
	return patroni_parse_status(view_of_string(json), out, &t);
}

static enum patroni_result
parse_cluster(const char *json, struct patroni_members *out)
{
	struct text t = TEXT_IN(why);
	return patroni_parse_cluster(view_of_string(json), out, &t);
}

static struct patroni_status
status_in(const char *name)
{
	struct view v = answer_named(name);
	struct patroni_status s;
	struct text t = TEXT_IN(why);
	ck_assert_msg(patroni_parse_status(v, &s, &t) == PATRONI_OK, "%s: %s", name, why);
	answer_free(v);
	return s;
}

START_TEST(a_leader_tells_its_position_and_timeline)
{
	struct patroni_status s = status_in("status-leader-3.0.2");
	ck_assert_int_eq(s.state, MEMBER_RUNNING);
	ck_assert_int_eq(s.role, MEMBER_LEADER);
	ck_assert_uint_eq(s.location, 67109704);
	ck_assert_uint_eq(s.timeline, 1);
	ck_assert_uint_eq(s.server_version, 150020);
	ck_assert_uint_eq(s.dcs_last_seen, 1795142229);
	ck_assert_str_eq(s.identifier, "7710077030859882942");
	ck_assert_str_eq(s.scope, "lab");
	ck_assert_str_eq(s.version, "3.0.2");
	ck_assert_str_eq(s.name, "");
	ck_assert(!s.is_unlocked && !s.is_paused && !s.is_failsafe && !s.tags.has_weight);
}
END_TEST

START_TEST(a_replica_tells_what_it_received_and_replayed)
{
	struct patroni_status s = status_in("status-replica-3.0.2");
	ck_assert_int_eq(s.role, MEMBER_REPLICA);
	ck_assert_uint_eq(s.location, 0);
	ck_assert_uint_eq(s.received_location, 73607872);
	ck_assert_uint_eq(s.replayed_location, 70499472);
	ck_assert(!s.is_replay_paused && !s.tags.no_loadbalance);
}
END_TEST

START_TEST(tags_are_read)
{
	struct patroni_status s = status_in("status-replica-tags-4.1.4");
	ck_assert(s.tags.no_loadbalance && s.tags.no_failover);
	ck_assert_str_eq(s.name, "n3");
	ck_assert_str_eq(s.version, "4.1.4");
}
END_TEST

START_TEST(a_server_that_does_not_answer_sql_leaves_state_and_role)
{
	static const struct {
		const char *name;
		enum member_state state;
		enum member_role role;
		bool is_unlocked;
	} rows[] = {
		{ "status-starting", MEMBER_STARTING, MEMBER_REPLICA, false },
		{ "status-stopped", MEMBER_STOPPED, MEMBER_REPLICA, false },
		{ "status-unknown", MEMBER_STATE_UNKNOWN, MEMBER_REPLICA, false },
		{ "status-stopping-master", MEMBER_STOPPING, MEMBER_LEADER, false },
		{ "status-demoted-stopping", MEMBER_STOPPING, MEMBER_OTHER, true },
		{ "status-demoted-stopped", MEMBER_STOPPED, MEMBER_OTHER, true },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct patroni_status s = status_in(rows[i].name);
		ck_assert_int_eq(s.state, rows[i].state);
		ck_assert_int_eq(s.role, rows[i].role);
		ck_assert(s.is_unlocked == rows[i].is_unlocked);
		ck_assert_uint_eq(s.timeline, 0);
	}
}
END_TEST

START_TEST(words_of_all_releases_are_known)
{
	ck_assert_int_eq(patroni_role("master"), MEMBER_LEADER);
	ck_assert_int_eq(patroni_role("primary"), MEMBER_LEADER);
	ck_assert_int_eq(patroni_role("promoted"), MEMBER_OTHER);
	ck_assert_int_eq(patroni_role("standby_leader"), MEMBER_REPLICA);
	ck_assert_int_eq(patroni_role(""), MEMBER_OTHER);
	ck_assert_int_eq(patroni_state("streaming"), MEMBER_STREAMING);
	ck_assert_int_eq(patroni_state("in archive recovery"), MEMBER_IN_ARCHIVE_RECOVERY);
	ck_assert_int_eq(patroni_state("restarting"), MEMBER_STARTING);
	ck_assert_int_eq(patroni_state("start failed"), MEMBER_FAILED);
	ck_assert_int_eq(patroni_state("creating replica"), MEMBER_CREATING);
	ck_assert_int_eq(patroni_state("crashed"), MEMBER_CRASHED);
	ck_assert_int_eq(patroni_state("something new"), MEMBER_STATE_UNKNOWN);
}
END_TEST

START_TEST(state_and_role_are_all_that_a_status_needs)
{
	struct patroni_status s;
	ck_assert_int_eq(parse_status("{\"state\":\"running\",\"role\":\"primary\"}", &s), PATRONI_OK);
	ck_assert_int_eq(s.role, MEMBER_LEADER);
	ck_assert_int_eq(parse_status("{\"state\":\"running\"}", &s), PATRONI_BAD_JSON);
	ck_assert_int_eq(parse_status("{\"role\":\"primary\"}", &s), PATRONI_BAD_JSON);
	ck_assert_int_eq(s.state, MEMBER_STATE_UNKNOWN);
	ck_assert_int_eq(parse_status("{\"state\":1,\"role\":[]}", &s), PATRONI_BAD_JSON);
	ck_assert_str_eq(why, "JSON without \"state\" and \"role\"");
}
END_TEST

START_TEST(wrong_types_of_what_is_not_needed_are_as_good_as_absent)
{
	struct patroni_status s;
	ck_assert_int_eq(parse_status("{\"state\":\"running\",\"role\":\"replica\",\"timeline\":\"soon\",\"xlog\":7,"
				      "\"tags\":[1,2],\"patroni\":\"4\",\"pause\":null,\"cluster_unlocked\":{},"
				      "\"server_version\":-1,\"database_system_identifier\":7710077030859882942,"
				      "\"new\":{\"deep\":[[[{}]]]}}", &s), PATRONI_OK);
	ck_assert_uint_eq(s.timeline, 0);
	ck_assert_uint_eq(s.received_location, 0);
	ck_assert_uint_eq(s.server_version, 0);
	ck_assert(!s.is_paused && !s.is_unlocked);
	ck_assert_str_eq(s.identifier, "");
	ck_assert_str_eq(s.version, "");
	ck_assert_int_eq(parse_status("{\"state\":\"running\",\"role\":\"replica\",\"timeline\":4294967296,"
				      "\"xlog\":{\"received_location\":-5,\"replayed_location\":1.5,\"paused\":1}}", &s),
			 PATRONI_OK);
	ck_assert_uint_eq(s.timeline, 0);
	ck_assert_uint_eq(s.received_location, 0);
	ck_assert_uint_eq(s.replayed_location, 0);
	ck_assert(s.is_replay_paused);
}
END_TEST

START_TEST(flags_of_the_whole_cluster_are_read)
{
	struct patroni_status s;
	ck_assert_int_eq(parse_status("{\"state\":\"running\",\"role\":\"standby_leader\",\"pause\":true,"
				      "\"failsafe_mode_is_active\":true,\"cluster_unlocked\":true,\"timeline\":null}", &s),
			 PATRONI_OK);
	ck_assert(s.is_standby_leader && s.is_paused && s.is_failsafe && s.is_unlocked);
	ck_assert_int_eq(s.role, MEMBER_REPLICA);
	ck_assert_uint_eq(s.timeline, 0);
}
END_TEST

START_TEST(a_weight_is_a_whole_number_from_0_to_10000)
{
	static const struct {
		const char *json;
		bool has;
		uint32_t weight;
	} rows[] = {
		{ "50", true, 50 },     { "0", true, 0 },         { "10000", true, 10000 }, { "\"25\"", true, 25 },
		{ "200.0", true, 200 }, { "10001", false, 0 },    { "-1", false, 0 },       { "\"\"", false, 0 },
		{ "1.5", false, 0 },    { "\"1e3\"", false, 0 },  { "true", false, 0 },     { "null", false, 0 },
		{ "-0.5", false, 0 },   { "1e300", false, 0 },    { "\"1234567890123456\"", false, 0 },
		{ "\"-1\"", false, 0 },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char json[200];
		snprintf(json, sizeof(json), "{\"state\":\"running\",\"role\":\"replica\",\"tags\":{\"weight\":%s}}",
			 rows[i].json);
		struct patroni_status s;
		ck_assert_int_eq(parse_status(json, &s), PATRONI_OK);
		ck_assert_msg(s.tags.has_weight == rows[i].has && s.tags.weight == rows[i].weight, "%s", rows[i].json);
	}
}
END_TEST

START_TEST(a_tag_may_be_set_in_the_ways_of_yaml)
{
	static const struct {
		const char *json;
		bool is_set;
	} rows[] = {
		{ "true", true },    { "false", false },    { "1", true },       { "0", false },  { "\"yes\"", true },
		{ "\"True\"", true }, { "\"false\"", false }, { "\"on\"", true }, { "[]", false }, { "null", false },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char json[200];
		snprintf(json, sizeof(json), "{\"state\":\"running\",\"role\":\"replica\",\"tags\":{\"noloadbalance\":%s}}",
			 rows[i].json);
		struct patroni_status s;
		ck_assert_int_eq(parse_status(json, &s), PATRONI_OK);
		ck_assert_msg(s.tags.no_loadbalance == rows[i].is_set, "%s", rows[i].json);
	}
}
END_TEST

START_TEST(what_is_not_json_is_refused_with_a_reason)
{
	static const struct {
		const char *body, *reason;
	} rows[] = {
		{ "", "the answer is empty" },
		{ "[]", "JSON, but not an object" },
		{ "<html><body>503 Service Unavailable</body></html>", "not JSON at byte 1: " },
		{ "{\"state\": \"running\", \"role\":", "not JSON at byte 28: " },
		{ "{\"state\":\"running\",\"role\":\"primary\"} x", "not JSON at byte 38: " },
		{ "{\"state\":\"run\\u0000ning\",\"role\":\"primary\"}", "not JSON at byte " },
		{ "{\"state\":\"running\xff\",\"role\":\"primary\"}", "not JSON at byte " },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct patroni_status s;
		struct patroni_members m;
		ck_assert_int_eq(parse_status(rows[i].body, &s), PATRONI_BAD_JSON);
		ck_assert_msg(strncmp(why, rows[i].reason, strlen(rows[i].reason)) == 0, "%s", why);
		ck_assert_int_eq(parse_cluster(rows[i].body, &m), PATRONI_BAD_JSON);
		ck_assert_uint_eq(m.count, 0);
	}
}
END_TEST

START_TEST(an_answer_that_is_too_long_or_too_deep_is_refused)
{
	size_t n = PATRONI_BODY_MAX + 1;
	char *body = malloc(n);
	memset(body, '[', n);
	struct patroni_status s;
	struct text t = TEXT_IN(why);
	ck_assert_int_eq(patroni_parse_status(view_of(body, n), &s, &t), PATRONI_BAD_JSON);
	ck_assert_ptr_nonnull(strstr(why, "longer than"));
	t = TEXT_IN(why);
	ck_assert_int_eq(patroni_parse_status(view_of(body, n - 1), &s, &t), PATRONI_BAD_JSON);
	ck_assert_ptr_nonnull(strstr(why, "depth"));
	free(body);
}
END_TEST

START_TEST(a_listing_names_members_and_where_they_are)
{
	struct view v = answer_named("cluster-3.0.2");
	struct patroni_members m;
	struct text t = TEXT_IN(why);
	ck_assert_int_eq(patroni_parse_cluster(v, &m, &t), PATRONI_OK);
	answer_free(v);
	ck_assert_uint_eq(m.count, 3);
	ck_assert_uint_eq(m.skipped, 0);
	ck_assert_str_eq(m.member[0].name, "n1");
	ck_assert_str_eq(m.member[0].host, "127.0.0.11");
	ck_assert_uint_eq(m.member[0].port, 23211);
	ck_assert_str_eq(m.member[0].url, "http://127.0.0.11:23221");
	ck_assert_uint_eq(m.member[0].lag_bytes, 0);
	ck_assert(!m.member[0].is_leader && m.member[1].is_leader && !m.member[2].is_leader);
	ck_assert_uint_eq(m.member[1].lag_bytes, LAG_UNKNOWN);
	ck_assert_uint_eq(m.member[1].timeline, 1);
	ck_assert(m.is_paused && m.has_switchover);
	ck_assert_str_eq(m.switchover_at, "2030-01-01T00:00:00+00:00");
	ck_assert_str_eq(m.switchover_from, "n2");
	ck_assert_str_eq(m.switchover_to, "");
}
END_TEST

START_TEST(listings_of_newer_releases_and_in_a_switchover_are_read)
{
	struct patroni_members m;
	struct view v = answer_named("cluster-4.1.4");
	struct text t = TEXT_IN(why);
	ck_assert_int_eq(patroni_parse_cluster(v, &m, &t), PATRONI_OK);
	answer_free(v);
	ck_assert_uint_eq(m.count, 2);
	ck_assert_int_eq(m.member[1].state, MEMBER_STREAMING);
	ck_assert(!m.has_switchover && !m.is_paused);
	v = answer_named("cluster-switchover-stopping");
	t = TEXT_IN(why);
	ck_assert_int_eq(patroni_parse_cluster(v, &m, &t), PATRONI_OK);
	answer_free(v);
	ck_assert_int_eq(m.member[1].state, MEMBER_STOPPING);
	ck_assert_uint_eq(m.member[1].lag_bytes, LAG_UNKNOWN); /* "unknown" */
}
END_TEST

START_TEST(a_listing_without_members_is_told_from_nonsense)
{
	struct patroni_members m;
	struct view v = answer_named("cluster-empty");
	struct text t = TEXT_IN(why);
	ck_assert_int_eq(patroni_parse_cluster(v, &m, &t), PATRONI_NO_MEMBERS);
	answer_free(v);
	ck_assert_int_eq(parse_cluster("{\"members\":{}}", &m), PATRONI_BAD_JSON);
	ck_assert_int_eq(parse_cluster("{}", &m), PATRONI_BAD_JSON);
}
END_TEST

START_TEST(rows_that_cannot_be_used_are_skipped)
{
	struct patroni_members m;
	ck_assert_int_eq(parse_cluster("{\"members\":[7,null,{},{\"name\":\"a\"},{\"host\":\"h\"},"
				       "{\"name\":\"\",\"host\":\"h\"},{\"name\":\"a\",\"host\":\"\"},"
				       "{\"name\":\"a\",\"host\":\"h\",\"port\":0},{\"name\":\"a\",\"host\":\"h\",\"port\":65536},"
				       "{\"name\":\"a\",\"host\":\"h\",\"port\":\"x\"},{\"name\":\"a\\n\",\"host\":\"h\"},"
				       "{\"name\":\"good\",\"host\":\"h\"},{\"name\":\"good\",\"host\":\"other\"},"
				       "{\"name\":\"text\",\"host\":\"h\",\"port\":\"5433\",\"lag\":\"17\"}]}", &m), PATRONI_OK);
	ck_assert_uint_eq(m.count, 2);
	ck_assert_uint_eq(m.skipped, 12);
	ck_assert_uint_eq(m.member[0].port, 5432);
	ck_assert_str_eq(m.member[0].host, "h");
	ck_assert_uint_eq(m.member[1].port, 5433);
	ck_assert_int_eq(parse_cluster("{\"members\":[{\"name\":\"a\"}]}", &m), PATRONI_NO_MEMBERS);
	ck_assert_str_eq(why, "no usable member among 1");
}
END_TEST

START_TEST(an_api_url_is_cut_to_scheme_and_authority)
{
	static const struct {
		const char *url, *cut;
	} rows[] = {
		{ "http://10.0.0.1:8008/patroni", "http://10.0.0.1:8008" },
		{ "https://[fd00::1]:8008/patroni", "https://[fd00::1]:8008" },
		{ "HTTP://a", "HTTP://a" },
		{ "http://a?x", "http://a" },
		{ "http://", "" },
		{ "http:///patroni", "" },
		{ "ftp://a/", "" },
		{ "http://user:secret@a/", "" }, /* nobody's password is sent on a listing's word */
		{ "http://a b/", "" },
		{ "", "" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char json[300];
		snprintf(json, sizeof(json), "{\"members\":[{\"name\":\"a\",\"host\":\"h\",\"api_url\":\"%s\"}]}", rows[i].url);
		struct patroni_members m;
		ck_assert_int_eq(parse_cluster(json, &m), PATRONI_OK);
		ck_assert_str_eq(m.member[0].url, rows[i].cut);
	}
}
END_TEST

START_TEST(members_and_names_beyond_the_limits_are_skipped)
{
	char *json = malloc(PATRONI_BODY_MAX), *p = json;
	p += sprintf(p, "{\"members\":[{\"name\":\"%0300d\",\"host\":\"h\"},{\"name\":\"n\",\"host\":\"%0300d\"}", 1, 1);
	for (int i = 0; i < CLUSTER_MEMBERS_MAX + 5; i++)
		p += sprintf(p, ",{\"name\":\"m%d\",\"host\":\"h%d\",\"api_url\":\"http://%0400d\"}", i, i, i);
	sprintf(p, "]}");
	struct patroni_members m;
	ck_assert_int_eq(parse_cluster(json, &m), PATRONI_OK);
	ck_assert_uint_eq(m.count, CLUSTER_MEMBERS_MAX);
	ck_assert_uint_eq(m.skipped, 7);
	ck_assert_str_eq(m.member[63].name, "m63");
	ck_assert_str_eq(m.member[0].url, "");
	free(json);
}
END_TEST

/* All of it or an error: no truncation of a real answer is taken for another answer. */
START_TEST(no_part_of_an_answer_passes_for_the_whole)
{
	static const char *const names[] = { "status-leader-3.0.2", "status-replica-tags-4.1.4", "cluster-3.0.2", "cluster-4.1.4" };
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct view v = answer_named(names[i]);
		while (v.n > 0 && v.p[v.n - 1] != '}')
			v.n--; /* a newline at the end is not missed */
		for (size_t n = 0; n < v.n; n++) {
			uint8_t *part = malloc(n ? n : 1);
			memcpy(part, v.p, n);
			struct patroni_status s;
			struct patroni_members m;
			struct text t = TEXT_IN(why);
			ck_assert_int_eq(patroni_parse_status(view_of(part, n), &s, &t), PATRONI_BAD_JSON);
			ck_assert_int_eq(patroni_parse_cluster(view_of(part, n), &m, &t), PATRONI_BAD_JSON);
			ck_assert_uint_gt(strlen(why), 0);
			free(part);
		}
		answer_free(v);
	}
}
END_TEST

static void
holds_strings(const struct patroni_members *m)
{
	ck_assert_uint_le(m->count, CLUSTER_MEMBERS_MAX);
	for (uint16_t i = 0; i < m->count; i++) {
		ck_assert(m->member[i].name[0] && strnlen(m->member[i].name, MEMBER_NAME_MAX) < MEMBER_NAME_MAX);
		ck_assert(m->member[i].host[0] && strnlen(m->member[i].host, MEMBER_HOST_MAX) < MEMBER_HOST_MAX);
		ck_assert(m->member[i].port != 0);
	}
}

START_TEST(no_flipped_bit_breaks_more_than_the_answer)
{
	static const char *const names[] = { "status-leader-3.0.2", "status-replica-tags-4.1.4", "cluster-3.0.2", "cluster-4.1.4" };
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct view v = answer_named(names[i]);
		uint8_t *p = (uint8_t *)(uintptr_t)v.p;
		for (size_t bit = 0; bit < v.n * 8; bit++) {
			p[bit / 8] ^= (uint8_t)(1 << bit % 8);
			struct patroni_status s;
			struct patroni_members m;
			struct text t = TEXT_IN(why);
			if (patroni_parse_status(v, &s, &t) == PATRONI_OK)
				ck_assert(s.state < MEMBER_STATES && s.role < MEMBER_ROLES);
			if (patroni_parse_cluster(v, &m, &t) == PATRONI_OK)
				ck_assert_uint_gt(m.count, 0);
			holds_strings(&m);
			p[bit / 8] ^= (uint8_t)(1 << bit % 8);
		}
		answer_free(v);
	}
}
END_TEST

int
main(void)
{
	const TTest *const rules[] = {
		a_leader_tells_its_position_and_timeline,
		a_replica_tells_what_it_received_and_replayed,
		tags_are_read,
		a_server_that_does_not_answer_sql_leaves_state_and_role,
		words_of_all_releases_are_known,
		state_and_role_are_all_that_a_status_needs,
		wrong_types_of_what_is_not_needed_are_as_good_as_absent,
		flags_of_the_whole_cluster_are_read,
		a_weight_is_a_whole_number_from_0_to_10000,
		a_tag_may_be_set_in_the_ways_of_yaml,
		what_is_not_json_is_refused_with_a_reason,
		an_answer_that_is_too_long_or_too_deep_is_refused,
		a_listing_names_members_and_where_they_are,
		listings_of_newer_releases_and_in_a_switchover_are_read,
		a_listing_without_members_is_told_from_nonsense,
		rows_that_cannot_be_used_are_skipped,
		an_api_url_is_cut_to_scheme_and_authority,
		members_and_names_beyond_the_limits_are_skipped,
		no_part_of_an_answer_passes_for_the_whole,
		no_flipped_bit_breaks_more_than_the_answer,
	};
	return suite_run("cluster/patroni", rules, sizeof(rules) / sizeof(rules[0]));
}
