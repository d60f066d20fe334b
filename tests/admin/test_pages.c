/*
 * tests/admin/test_pages.c - what HTTP gives out: hostile names are harmless, metrics are well-formed, health says why.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "admin/escape.h"
#include "admin/health.h"
#include "admin/metrics.h"
#include "admin/page.h"
#include "base/heap.h"
#include "suite.h"
#include "world.h"

/* ---- escaping ---- */

typedef void escape_fn(struct buf *out, struct view text);

static const char *
escaped(escape_fn *fn, struct view text)
{
	static char out[400];
	struct buf b = { 0 };
	fn(&b, text);
	snprintf(out, sizeof(out), "%.*s", (int)b.n, (const char *)b.p);
	buf_free(&b);
	return out;
}

START_TEST(what_means_something_in_html_is_escaped)
{
	ck_assert_str_eq(escaped(escape_html, VIEW("<b a=\"x\" c='y'>&</b>")),
	                 "&lt;b a=&quot;x&quot; c=&#39;y&#39;&gt;&amp;&lt;/b&gt;");
	ck_assert_str_eq(escaped(escape_html, VIEW("a\nb\0c\x7f")), "a?b?c?");
	ck_assert_str_eq(escaped(escape_html, VIEW("")), "");
}
END_TEST

START_TEST(what_means_something_in_a_label_is_escaped)
{
	ck_assert_str_eq(escaped(escape_label, VIEW("a\\b\"c\nd")), "a\\\\b\\\"c\\nd");
	ck_assert_str_eq(escaped(escape_label, VIEW("<&>'")), "<&>'");
	ck_assert_str_eq(escaped(escape_label, VIEW("a\0b\r")), "a?b?");
}
END_TEST

START_TEST(what_is_utf8_stays_and_what_is_not_does_not)
{
	static const struct {
		struct view in;
		const char *out;
	} rows[] = {
		{ VIEW("\xc3\xa9\xe2\x82\xac\xf0\x9f\x90\x98"), "\xc3\xa9\xe2\x82\xac\xf0\x9f\x90\x98" },
		{ VIEW("\xff\xfe"), "??" },
		{ VIEW("a\xc3"), "a?" },             /* cut */
		{ VIEW("\xe2\x82"), "??" },
		{ VIEW("\xc3(") , "?(" },
		{ VIEW("\xc0\xaf"), "??" },          /* overlong */
		{ VIEW("\xe0\x80\xaf"), "???" },
		{ VIEW("\xf0\x80\x80\xaf"), "????" },
		{ VIEW("\xed\xa0\x80"), "???" },     /* a surrogate */
		{ VIEW("\xf4\x90\x80\x80"), "????" }, /* above U+10FFFF */
		{ VIEW("\x80"), "?" },
		{ VIEW("\xf4\x8f\xbf\xbf"), "\xf4\x8f\xbf\xbf" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		ck_assert_str_eq(escaped(escape_html, rows[i].in), rows[i].out);
		ck_assert_str_eq(escaped(escape_label, rows[i].in), rows[i].out);
	}
}
END_TEST

/* ---- metrics ---- */

static char *
metrics(struct proxy *x)
{
	struct buf b = { 0 };
	metrics_write(x, &b);
	buf_add_u8(&b, '\0');
	ck_assert_uint_eq(strlen((char *)b.p), b.n - 1);
	return (char *)b.p;
}

static const char *
skip_name(const char *s)
{
	ck_assert_msg(isalpha((unsigned char)*s) || *s == '_', "%.60s", s);
	while (isalnum((unsigned char)*s) || *s == '_')
		s++;
	return s;
}

/* Behind the '{', up to behind the '}'. */
static const char *
skip_labels(const char *s)
{
	for (;; s++) {
		s = skip_name(s);
		ck_assert_msg(s[0] == '=' && s[1] == '"', "%.60s", s);
		for (s += 2; *s != '"'; s++) {
			ck_assert_msg(*s != '\n' && *s != '\0', "%.60s", s);
			if (*s == '\\') {
				s++;
				ck_assert_msg(*s == '\\' || *s == '"' || *s == 'n', "%.60s", s);
			}
		}
		if (*++s == '}')
			return s + 1;
		ck_assert_msg(*s == ',', "%.60s", s);
	}
}

/* The text format as its specification has it: HELP and TYPE once, ahead of all samples of the name, which stand together. */
static void
check_format(char *text)
{
	struct {
		char name[80];
		bool has_help, has_type, is_counter;
	} families[200];
	int count = 0, now = -1;
	size_t n = strlen(text);
	ck_assert(n > 0 && text[n - 1] == '\n');
	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
		char name[80];
		const char *end;
		bool is_help = strncmp(line, "# HELP ", 7) == 0, is_type = strncmp(line, "# TYPE ", 7) == 0;
		const char *start = is_help || is_type ? line + 7 : line;
		end = skip_name(start);
		snprintf(name, sizeof(name), "%.*s", (int)(end - start), start);
		int at = 0;
		while (at < count && strcmp(families[at].name, name) != 0)
			at++;
		if (is_help) {
			ck_assert_msg(at == count, "HELP twice: %s", name);
			ck_assert(count < 200 && end[0] == ' ' && end[1] != '\0');
			strcpy(families[count].name, name);
			families[count].has_help = true;
			families[count].has_type = false;
			now = count++;
			continue;
		}
		ck_assert_msg(at == now, "not together: %s", line);
		if (is_type) {
			families[at].is_counter = strcmp(end, " counter") == 0;
			ck_assert_msg(families[at].is_counter || strcmp(end, " gauge") == 0, "%s", line);
			families[at].has_type = true;
			continue;
		}
		ck_assert_msg(families[at].has_type, "no TYPE: %s", line);
		bool is_total = strlen(name) > 6 && strcmp(name + strlen(name) - 6, "_total") == 0;
		ck_assert_msg(is_total == families[at].is_counter, "counters end in _total, gauges don't: %s", name);
		if (*end == '{')
			end = skip_labels(end + 1);
		char *rest;
		ck_assert_msg(*end == ' ', "%s", line);
		strtod(end + 1, &rest);
		ck_assert_msg(rest > end + 1 && *rest == '\0', "%s", line);
	}
}

/* Names a client can choose where "*" is in [databases] and auth_type is any. */
#define HOSTILE "a\"} 1\n<script>\\\xff'&"

static struct proxy *
hostile_world(void)
{
	struct proxy *x = world_open("[clusters]\nmain = patroni=http://127.0.0.1:PORT\n[databases]\n* = cluster=main\n"
	                             "[pgsluice]\nlisten_addr=\nunix_socket_dir=/tmp\nauth_type = any\n");
	proxy_pool(x, proxy_database(x, HOSTILE), proxy_role(x, HOSTILE));
	return x;
}

START_TEST(metrics_are_well_formed)
{
	struct proxy *x = world_open(WORLD_TEXT);
	int fd = world_client(x, "app", "shop", "it's me");
	char *text = metrics(x);
	ck_assert_ptr_nonnull(strstr(text, "\npgbouncer_client_connections{database=\"shop\",user=\"app\",application_name=\"\","
	                                   "state=\"waiting\"} 1\n"));
	ck_assert_ptr_nonnull(strstr(text, "\npgbouncer_databases_pool_size{name=\"quiet\",host=\"127.0.0.1,127.0.0.2\","));
	ck_assert_ptr_nonnull(strstr(text, "\npgbouncer_pools_client_waiting_connections{database=\"shop\",user=\"app\"} 1\n"));
	ck_assert_ptr_nonnull(strstr(text, "\npgsluice_clients_accepted_total 1\n"));
	ck_assert_ptr_nonnull(strstr(text, "\npgsluice_member_up{cluster=\"127.0.0.1:"));
	ck_assert_ptr_nonnull(strstr(text, "\npgbouncer_version_info{version=\"PgBouncer 1.25.2 (pgsluice "));
	check_format(text);
	free(text);
	close(fd);
	proxy_free(x);
}
END_TEST

START_TEST(metrics_stay_well_formed_whatever_names_are)
{
	struct proxy *x = hostile_world();
	char *text = metrics(x);
	ck_assert_ptr_nonnull(strstr(text, "{database=\"a\\\"} 1\\n<script>\\\\?'&\",user=\"a\\\"} 1\\n<script>\\\\?'&\"}"));
	check_format(text);
	free(text);
	proxy_free(x);
}
END_TEST

/* Those of prometheus-community/pgbouncer_exporter 0.12, on which its dashboards are built. */
START_TEST(metrics_have_the_exporters_names)
{
	static const char *const names[] = {
		"pgbouncer_up", "pgbouncer_version_info", "pgbouncer_databases", "pgbouncer_users", "pgbouncer_pools",
		"pgbouncer_free_clients", "pgbouncer_used_clients", "pgbouncer_login_clients", "pgbouncer_free_servers",
		"pgbouncer_used_servers", "pgbouncer_cached_dns_names", "pgbouncer_cached_dns_zones",
		"pgbouncer_in_flight_dns_queries", "pgbouncer_config_max_client_connections",
		"pgbouncer_config_max_user_connections", "pgbouncer_client_connections", "pgbouncer_databases_pool_size",
		"pgbouncer_databases_reserve_pool", "pgbouncer_databases_max_connections",
		"pgbouncer_databases_current_connections", "pgbouncer_databases_paused", "pgbouncer_databases_disabled",
		"pgbouncer_pools_client_active_connections", "pgbouncer_pools_client_waiting_connections",
		"pgbouncer_pools_client_active_cancel_connections", "pgbouncer_pools_client_waiting_cancel_connections",
		"pgbouncer_pools_server_active_connections", "pgbouncer_pools_server_active_cancel_connections",
		"pgbouncer_pools_server_being_canceled_connections", "pgbouncer_pools_server_idle_connections",
		"pgbouncer_pools_server_used_connections", "pgbouncer_pools_server_testing_connections",
		"pgbouncer_pools_server_login_connections", "pgbouncer_pools_client_maxwait_seconds",
		"pgbouncer_stats_totals_queries_pooled_total", "pgbouncer_stats_totals_queries_duration_seconds_total",
		"pgbouncer_stats_totals_received_bytes_total", "pgbouncer_stats_totals_sent_bytes_total",
		"pgbouncer_stats_totals_client_wait_seconds_total", "pgbouncer_stats_totals_sql_transactions_pooled_total",
		"pgbouncer_stats_totals_server_in_transaction_seconds_total", "pgbouncer_stats_totals_client_parses_total",
		"pgbouncer_stats_totals_server_parses_total", "pgbouncer_stats_totals_binds_total",
		"pgbouncer_stats_totals_server_assignments_total",
	};
	struct proxy *x = hostile_world();
	char *text = metrics(x);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		char line[120];
		snprintf(line, sizeof(line), "\n# TYPE %s ", names[i]);
		ck_assert_msg(strstr(text, line) != NULL, "%s", names[i]);
	}
	free(text);
	proxy_free(x);
}
END_TEST

/* ---- the page ---- */

START_TEST(the_page_escapes_what_others_named)
{
	struct proxy *x = hostile_world();
	struct buf b = { 0 };
	page_write(x, &b);
	buf_add_u8(&b, '\0');
	const char *page = (const char *)b.p;
	ck_assert_uint_eq(strlen(page), b.n - 1);
	ck_assert_ptr_null(strstr(page, "<script>"));
	ck_assert_ptr_nonnull(strstr(page, "<td class=\"\">a&quot;} 1?&lt;script&gt;\\?&#39;&amp;</td>"));
	ck_assert_ptr_nonnull(strstr(page, "Not ready"));
	ck_assert_ptr_null(strstr(page, "src="));
	ck_assert_ptr_null(strstr(page, "http://"));
	buf_free(&b);
	proxy_free(x);
}
END_TEST

/* ---- health ---- */

static const char *
readiness(const struct proxy *x, bool expected)
{
	static char text[1000];
	struct buf b = { 0 };
	ck_assert_int_eq(health_is_ready(x, &b), expected);
	snprintf(text, sizeof(text), "%.*s", (int)b.n, (const char *)b.p);
	buf_free(&b);
	return text;
}

START_TEST(plain_clusters_are_ready)
{
	struct proxy *x = world_open(WORLD_TEXT);
	ck_assert_ptr_nonnull(strstr(readiness(x, true), ": ready: plain, 2 hosts, not asked for roles\n"));
	proxy_free(x);
}
END_TEST

START_TEST(who_is_shutting_down_is_not_ready)
{
	struct proxy *x = world_open(WORLD_TEXT);
	x->state = PROXY_STOPPING_CLIENTS;
	ck_assert_int_eq(strncmp(readiness(x, false), "not ready: shutting down\n", 25), 0);
	x->state = PROXY_PAUSED;
	ck_assert_int_eq(strncmp(readiness(x, true), "paused by an administrator", 26), 0);
	proxy_free(x);
}
END_TEST

/* Put in place of what the cluster published. */
static struct topology *
publish(struct proxy *x, uint16_t members)
{
	struct cluster_load *load = node_owner(list_first(&x->loads), struct cluster_load, node);
	struct topology *t = topology_new(members);
	t->has_patroni = true;
	for (uint16_t i = 0; i < members; i++) {
		t->member[i].id = i;
		snprintf(t->member[i].name, sizeof(t->member[i].name), "node%u", i + 1u);
		t->member[i].why_not_read = t->member[i].why_not_write = "it is not reachable";
	}
	t->why_no_leader = "nobody claims to lead";
	topology_unref(load->topology);
	load->topology = t;
	return t;
}

START_TEST(a_cluster_needs_a_leader_or_a_member_for_reads)
{
	struct proxy *x = hostile_world();
	struct topology *t = publish(x, 2);
	ck_assert_str_eq(readiness(x, false),
	                 "cluster main: not ready: no leader: nobody claims to lead; 0 members for reads\n");
	t->member[1].why_not_read = NULL;
	ck_assert_str_eq(readiness(x, true), "cluster main: ready: no leader: nobody claims to lead; 1 member for reads\n");
	t->member[1].why_not_read = "it lags";
	t->leader = 0;
	t->why_no_leader = NULL;
	ck_assert_str_eq(readiness(x, true), "cluster main: ready: leader node1, 0 members for reads\n");
	t->is_stale = true;
	ck_assert_ptr_nonnull(strstr(readiness(x, true), "leader node1 (kept although its Patroni does not answer)"));
	proxy_free(x);
}
END_TEST

START_TEST(a_cluster_that_no_database_is_mapped_to_does_not_matter)
{
	struct proxy *x = world_open("[clusters]\nspare = patroni=http://127.0.0.1:PORT\n[databases]\na = host=127.0.0.1\n"
	                             "[pgsluice]\nlisten_addr=\nunix_socket_dir=/tmp\n");
	ck_assert_ptr_nonnull(strstr(readiness(x, true), "cluster spare: ready: no database is mapped to it\n"));
	proxy_free(x);
}
END_TEST

START_TEST(hosts_are_ready_before_the_first_client_has_made_anybody_ask)
{
	struct proxy *x = world_open("[clusters]\nmain = hosts=127.0.0.1:PORT,127.0.0.2:PORT\n[databases]\n* = cluster=main\n"
	                             "[pgsluice]\nlisten_addr=\nunix_socket_dir=/tmp\n");
	ck_assert_ptr_nonnull(strstr(readiness(x, true), "roles will be asked for when the first client comes"));
	proxy_free(x);
}
END_TEST

START_TEST(startup_is_over_when_every_cluster_was_judged)
{
	struct proxy *x = hostile_world();
	struct buf b = { 0 };
	ck_assert(!health_is_started(x, &b));
	buf_clear(&b);
	struct topology *t = publish(x, 1);
	ck_assert(!health_is_started(x, &b)); /* listed, but not asked yet */
	t->leader = 0;
	ck_assert(health_is_started(x, &b));
	buf_free(&b);
	proxy_free(x);
	x = world_open(WORLD_TEXT);
	ck_assert(health_is_started(x, &b));
	buf_free(&b);
	proxy_free(x);
}
END_TEST

int
main(void)
{
	const TTest *const rules[] = {
		what_means_something_in_html_is_escaped,
		what_means_something_in_a_label_is_escaped,
		what_is_utf8_stays_and_what_is_not_does_not,
		metrics_are_well_formed,
		metrics_stay_well_formed_whatever_names_are,
		metrics_have_the_exporters_names,
		the_page_escapes_what_others_named,
		plain_clusters_are_ready,
		who_is_shutting_down_is_not_ready,
		a_cluster_needs_a_leader_or_a_member_for_reads,
		a_cluster_that_no_database_is_mapped_to_does_not_matter,
		hosts_are_ready_before_the_first_client_has_made_anybody_ask,
		startup_is_over_when_every_cluster_was_judged,
	};
	return suite_run("admin/pages", rules, sizeof(rules) / sizeof(rules[0]));
}
