/*
 * tests/admin/test_show.c - the tables have exactly PgBouncer 1.25's columns, in its order, of its types: tools read them by
 * position and by number. The lists here are written out from its documentation, not from our tables.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "admin/show.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "suite.h"
#include "wire/message.h"
#include "world.h"

/* Names with a letter for the type: t text, i int4, l int8, n numeric, b bytea. */
#define CONNECTION_COLUMNS                                                                                                  \
	"type:t user:t database:t replication:t state:t addr:t port:i local_addr:t local_port:i connect_time:t "          \
	"request_time:t wait:i wait_us:i close_needed:i ptr:t link:t remote_pid:i tls:t application_name:t "              \
	"prepared_statements:i id:i"
#define SOCKET_COLUMNS                                                                                                      \
	CONNECTION_COLUMNS " recv_pos:i pkt_pos:i pkt_remain:i send_pos:i send_remain:i pkt_avail:i send_avail:i"

static const struct {
	const char *word;
	int count;
	const char *columns;
} pgbouncer[] = {
	{ "VERSION", 1, "version:t" },
	{ "STATE", 2, "key:t value:t" },
	{ "DATABASES", 17,
	  "name:t host:t port:i database:t force_user:t pool_size:i min_pool_size:i reserve_pool_size:i server_lifetime:i "
	  "pool_mode:t load_balance_hosts:t max_connections:i current_connections:i max_client_connections:i "
	  "current_client_connections:i paused:i disabled:i" },
	{ "POOLS", 17,
	  "database:t user:t cl_active:i cl_waiting:i cl_active_cancel_req:i cl_waiting_cancel_req:i sv_active:i "
	  "sv_active_cancel:i sv_being_canceled:i sv_idle:i sv_used:i sv_tested:i sv_login:i maxwait:i maxwait_us:i pool_mode:t "
	  "load_balance_hosts:t" },
	{ "STATS", 23,
	  "database:t total_server_assignment_count:n total_xact_count:n total_query_count:n total_received:n total_sent:n "
	  "total_xact_time:n total_query_time:n total_wait_time:n total_client_parse_count:n total_server_parse_count:n "
	  "total_bind_count:n avg_server_assignment_count:n avg_xact_count:n avg_query_count:n avg_recv:n avg_sent:n "
	  "avg_xact_time:n avg_query_time:n avg_wait_time:n avg_client_parse_count:n avg_server_parse_count:n avg_bind_count:n" },
	{ "STATS_TOTALS", 12,
	  "database:t server_assignment_count:n xact_count:n query_count:n bytes_received:n bytes_sent:n xact_time:n query_time:n "
	  "wait_time:n client_parse_count:n server_parse_count:n bind_count:n" },
	{ "STATS_AVERAGES", 12,
	  "database:t server_assignment_count:n xact_count:n query_count:n bytes_received:n bytes_sent:n xact_time:n query_time:n "
	  "wait_time:n avg_client_parse_count:n avg_server_parse_count:n avg_bind_count:n" },
	{ "TOTALS", 2, "name:t value:n" },
	{ "CLIENTS", 21, CONNECTION_COLUMNS },
	{ "SERVERS", 21, CONNECTION_COLUMNS },
	{ "SOCKETS", 28, SOCKET_COLUMNS },
	{ "ACTIVE_SOCKETS", 28, SOCKET_COLUMNS },
	{ "LISTS", 2, "list:t items:i" },
	{ "USERS", 8,
	  "name:t pool_size:t reserve_pool_size:t pool_mode:t max_user_connections:i current_connections:i "
	  "max_user_client_connections:i current_client_connections:i" },
	{ "PEERS", 4, "peer_id:i host:t port:i pool_size:i" },
	{ "PEER_POOLS", 5, "peer_id:i cl_active_cancel_req:i cl_waiting_cancel_req:i sv_active_cancel:i sv_login:i" },
	{ "CONFIG", 4, "key:t value:t default:t changeable:t" },
	{ "PINS", 12,
	  "database:t user:t client_id:l addr:t port:i application_name:t member:t server_pid:i reasons:t since:t seconds:l "
	  "idle_seconds:l" },
	{ "MEM", 5, "name:t size:i used:i free:i memtotal:i" },
	{ "DNS_HOSTS", 3, "hostname:t ttl:l addrs:t" },
	{ "DNS_ZONES", 3, "zonename:t serial:l count:i" },
	{ "FDS", 15,
	  "fd:i task:t user:t database:t addr:t port:i cancel:l link:i client_encoding:t std_strings:t datestyle:t timezone:t "
	  "password:t scram_client_key:b scram_server_key:b" },
	{ "client_encoding", 1, "client_encoding:t" },
	{ "default_transaction_isolation", 1, "default_transaction_isolation:t" },
	{ "standard_conforming_strings", 1, "standard_conforming_strings:t" },
	{ "DateStyle", 1, "datestyle:t" },
	{ "TimeZone", 1, "timezone:t" },
};

static char
letter_of(uint32_t oid, int16_t bytes)
{
	switch (oid) {
	case 25:
		return bytes == -1 ? 't' : '?';
	case 23:
		return bytes == 4 ? 'i' : '?';
	case 20:
		return bytes == 8 ? 'l' : '?';
	case 1700:
		return bytes == -1 ? 'n' : '?';
	case 17:
		return bytes == -1 ? 'b' : '?';
	}
	return '?';
}

/* As a client reads them from the RowDescription. */
static void
described(const struct show_table *t, char *text, size_t room)
{
	struct buf b = { 0 };
	struct text out = text_in(text, room);
	struct row_message row;
	struct column_message column;
	show_describe(t, VIEW(""), &b);
	ck_assert(row_description_read(world_body(buf_view(&b), BE_ROW_DESCRIPTION), &row));
	while (row_next_column(&row.values, &column)) {
		ck_assert(column.table_oid == 0 && column.attribute == 0 && column.type_modifier == -1 && column.format == 0);
		text_addf(&out, "%s%s:%c", out.n ? " " : "", column.name, letter_of(column.type_oid, column.type_length));
	}
	buf_free(&b);
}

START_TEST(the_columns_are_those_of_pgbouncer_1_25)
{
	char text[2000];
	for (size_t i = 0; i < sizeof(pgbouncer) / sizeof(pgbouncer[0]); i++) {
		const struct show_table *t = show_find(pgbouncer[i].word);
		ck_assert_msg(t != NULL, "%s", pgbouncer[i].word);
		described(t, text, sizeof(text));
		ck_assert_str_eq(text, pgbouncer[i].columns);
		ck_assert_int_eq(t->column_count, pgbouncer[i].count);
	}
}
END_TEST

START_TEST(tables_beyond_pgbouncer_are_known)
{
	ck_assert_ptr_eq(show_find("members"), &show_members);
	ck_assert_ptr_eq(show_find("Clusters"), &show_clusters);
	ck_assert_ptr_null(show_find("nothing"));
	ck_assert_ptr_null(show_find(""));
	for (size_t i = 0; show_at(i); i++)
		ck_assert_msg(show_find(show_at(i)->word) == show_at(i), "%s", show_at(i)->word);
}
END_TEST

/* ---- rows ---- */

/* The value of a column in the first row whose column `key` is `is`; "(null)", or "(none)" when there is no such row. */
static const char *
value(struct proxy *x, const struct show_table *t, const char *key, const char *is, const char *column)
{
	static char text[200];
	struct show_rows rows;
	snprintf(text, sizeof(text), "(none)");
	show_collect(t, x, &rows);
	for (size_t i = 0; i < rows.count; i++) {
		char room[SHOW_ROOM];
		struct view v;
		if (!show_text(show_column(t, key), show_row(&rows, i), room, &v) || !view_is(v, is))
			continue;
		if (show_text(show_column(t, column), show_row(&rows, i), room, &v))
			snprintf(text, sizeof(text), "%.*s", (int)v.n, (const char *)v.p);
		else
			snprintf(text, sizeof(text), "(null)");
		break;
	}
	show_rows_free(&rows);
	return text;
}

/* The values of one column, parted by commas. */
static const char *
all_of(struct proxy *x, const struct show_table *t, const char *column)
{
	static char text[4000];
	struct text out = TEXT_IN(text);
	struct show_rows rows;
	show_collect(t, x, &rows);
	for (size_t i = 0; i < rows.count; i++) {
		char room[SHOW_ROOM];
		struct view v = VIEW("(null)");
		show_text(show_column(t, column), show_row(&rows, i), room, &v);
		text_add(&out, i ? "," : "");
		text_add_view(&out, v);
	}
	show_rows_free(&rows);
	return text;
}

START_TEST(databases_are_sorted_and_the_console_is_among_them)
{
	struct proxy *x = world_open(WORLD_TEXT);
	ck_assert_str_eq(all_of(x, &show_databases, "name"), "pgbouncer,quiet,shop");
	proxy_database(x, "made_from_star");
	ck_assert_str_eq(all_of(x, &show_databases, "name"), "made_from_star,pgbouncer,quiet,shop");
	ck_assert_str_eq(value(x, &show_databases, "name", "made_from_star", "database"), "made_from_star");
	ck_assert_str_eq(value(x, &show_databases, "name", "shop", "database"), "shop_on_server");
	ck_assert_str_eq(value(x, &show_databases, "name", "shop", "load_balance_hosts"), "(null)");
	ck_assert_str_eq(value(x, &show_databases, "name", "quiet", "load_balance_hosts"), "round-robin");
	ck_assert_str_eq(value(x, &show_databases, "name", "quiet", "pool_size"), "7");
	ck_assert_str_eq(value(x, &show_databases, "name", "quiet", "pool_mode"), "(null)");
	ck_assert_str_eq(value(x, &show_databases, "name", "pgbouncer", "host"), "(null)");
	ck_assert_str_eq(value(x, &show_databases, "name", "pgbouncer", "force_user"), "pgbouncer");
	ck_assert_str_eq(value(x, &show_databases, "name", "pgbouncer", "pool_mode"), "statement");
	proxy_free(x);
}
END_TEST

START_TEST(users_of_all_origins_come_once_and_sorted)
{
	struct proxy *x = world_open(WORLD_TEXT);
	proxy_role(x, "app");
	proxy_role(x, "zora");
	ck_assert_str_eq(all_of(x, &show_users, "name"), "app,boss,mon,zora");
	ck_assert_str_eq(value(x, &show_users, "name", "app", "pool_size"), "        3");
	ck_assert_str_eq(value(x, &show_users, "name", "app", "pool_mode"), "session");
	ck_assert_str_eq(value(x, &show_users, "name", "boss", "pool_size"), "");
	ck_assert_str_eq(value(x, &show_users, "name", "boss", "pool_mode"), "(null)");
	proxy_free(x);
}
END_TEST

START_TEST(pools_are_sorted_by_database_and_user)
{
	struct proxy *x = world_open(WORLD_TEXT);
	struct database *shop = proxy_database(x, "shop"), *quiet = proxy_database(x, "quiet");
	proxy_pool(x, shop, proxy_role(x, "boss"));
	proxy_pool(x, shop, proxy_role(x, "app"));
	proxy_pool(x, quiet, proxy_role(x, "mon"));
	ck_assert_str_eq(all_of(x, &show_pools, "database"), "pgbouncer,quiet,shop,shop");
	ck_assert_str_eq(all_of(x, &show_pools, "user"), "pgbouncer,mon,app,boss");
	ck_assert_str_eq(all_of(x, &show_pools, "pool_mode"), "statement,transaction,session,transaction");
	proxy_free(x);
}
END_TEST

START_TEST(lists_and_totals_have_pgbouncers_rows_in_its_order)
{
	struct proxy *x = world_open(WORLD_TEXT);
	ck_assert_str_eq(all_of(x, &show_lists, "list"),
	                 "databases,users,peers,pools,peer_pools,free_clients,used_clients,login_clients,free_servers,"
	                 "used_servers,dns_names,dns_zones,dns_queries,dns_pending");
	ck_assert_str_eq(value(x, &show_lists, "list", "databases", "items"), "3");
	ck_assert_str_eq(value(x, &show_lists, "list", "users", "items"), "3");
	ck_assert_str_eq(value(x, &show_lists, "list", "pools", "items"), "1");
	ck_assert_str_eq(all_of(x, &show_totals, "name"),
	                 "total_server_assignment_count,total_xact_count,total_query_count,total_client_bytes,"
	                 "total_server_bytes,total_xact_time,total_query_time,total_wait_time,total_ps_client_parse_count,"
	                 "total_ps_server_parse_count,total_ps_bind_count,avg_server_assignment_count,avg_xact_count,"
	                 "avg_query_count,avg_client_bytes,avg_server_bytes,avg_xact_time,avg_query_time,avg_wait_time,"
	                 "avg_ps_client_parse_count,avg_ps_server_parse_count,avg_ps_bind_count");
	ck_assert_str_eq(all_of(x, &show_state, "key"), "active,paused,suspended");
	ck_assert_str_eq(all_of(x, &show_state, "value"), "yes,no,no");
	proxy_free(x);
}
END_TEST

START_TEST(averages_span_the_time_since_the_end_of_the_period_before_the_last)
{
	struct proxy *x = world_open(WORLD_TEXT);
	clock_set(1000 * SECOND_US);
	struct database *shop = proxy_database(x, "shop");
	proxy_pool(x, shop, proxy_role(x, "app"));
	shop->before_that = (struct stats){ .queries = 1000, .query_us = 5000, .assignments = 10, .bytes_sent = 1 };
	shop->before_that_us = 910 * SECOND_US;
	shop->stats = (struct stats){ .queries = 1900, .query_us = 5000 + 900 * 7, .assignments = 10,
	                              .bytes_sent = UINT64_MAX / 2 };
	ck_assert_str_eq(value(x, &show_stats, "database", "shop", "total_query_count"), "1900");
	ck_assert_str_eq(value(x, &show_stats, "database", "shop", "avg_query_count"), "10");
	ck_assert_str_eq(value(x, &show_stats, "database", "shop", "avg_query_time"), "7");
	ck_assert_str_eq(value(x, &show_stats, "database", "shop", "avg_wait_time"), "0");
	ck_assert_str_eq(value(x, &show_stats, "database", "shop", "avg_sent"), "102481911520608620"); /* no overflow */
	ck_assert_str_eq(value(x, &show_totals, "name", "avg_query_count", "value"), "10");
	ck_assert_str_eq(value(x, &show_totals, "name", "avg_query_time", "value"), "7");
	ck_assert_str_eq(value(x, &show_stats, "database", "pgbouncer", "avg_query_count"), "0");
	ck_assert_str_eq(value(x, &show_stats, "database", "quiet", "total_query_count"), "(none)"); /* has no pool */
	shop->before_that_us = 1000 * SECOND_US; /* no time has passed */
	ck_assert_str_eq(value(x, &show_stats, "database", "shop", "avg_query_count"), "0");
	proxy_free(x);
}
END_TEST

START_TEST(a_console_session_is_among_the_clients)
{
	struct proxy *x = world_open(WORLD_TEXT);
	int fd = world_client(x, "mon", "pgsluice", "watcher");
	ck_assert_str_eq(value(x, &show_clients, "user", "mon", "database"), "pgbouncer");
	ck_assert_str_eq(value(x, &show_clients, "user", "mon", "state"), "active");
	ck_assert_str_eq(value(x, &show_clients, "user", "mon", "addr"), "unix");
	ck_assert_str_eq(value(x, &show_clients, "user", "mon", "application_name"), "watcher");
	ck_assert_str_eq(value(x, &show_clients, "user", "mon", "link"), "");
	ck_assert_str_eq(value(x, &show_sockets, "user", "mon", "state"), "cl_active");
	char pid[20];
	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	ck_assert_str_eq(value(x, &show_clients, "user", "mon", "remote_pid"), pid);
	ck_assert_str_eq(value(x, &show_pools, "database", "pgbouncer", "cl_active"), "1");
	ck_assert_str_eq(value(x, &show_databases, "name", "pgbouncer", "current_client_connections"), "1");
	ck_assert_str_eq(value(x, &show_lists, "list", "used_clients", "items"), "1");
	close(fd);
	proxy_free(x);
}
END_TEST

START_TEST(a_client_that_waits_is_shown_with_how_long)
{
	struct proxy *x = world_open(WORLD_TEXT);
	clock_set(100 * SECOND_US);
	int fd = world_client(x, "app", "shop", NULL); /* its server does not answer, so its login waits */
	clock_set(102 * SECOND_US + 500);
	ck_assert_str_eq(value(x, &show_clients, "user", "app", "state"), "waiting");
	ck_assert_str_eq(value(x, &show_clients, "user", "app", "wait"), "2");
	ck_assert_str_eq(value(x, &show_clients, "user", "app", "wait_us"), "500");
	ck_assert_str_eq(value(x, &show_pools, "database", "shop", "cl_waiting"), "1");
	ck_assert_str_eq(value(x, &show_pools, "database", "shop", "maxwait"), "2");
	ck_assert_str_eq(value(x, &show_pools, "database", "shop", "maxwait_us"), "500");
	close(fd);
	proxy_free(x);
}
END_TEST

START_TEST(the_version_satisfies_those_who_take_it_apart)
{
	struct proxy *x = world_open(WORLD_TEXT);
	const char *text = all_of(x, &show_version, "version");
	ck_assert_int_eq(strncmp(text, "PgBouncer 1.25.2 ", strlen("PgBouncer 1.25.2 ")), 0); /* the first digits are these */
	ck_assert_ptr_nonnull(strstr(text, "pgsluice "));
	proxy_free(x);
}
END_TEST

START_TEST(no_secret_is_shown)
{
	struct proxy *x = world_open("[databases]\ns = host=127.0.0.1 user=u password=hunter2\n[pgsluice]\nlisten_addr=\n"
	                             "unix_socket_dir=/tmp\nauth_users = \"u\" \"hunter2\"\n");
	for (size_t i = 0; show_at(i); i++)
		for (uint16_t c = 0; c < show_at(i)->column_count; c++)
			ck_assert_msg(strstr(all_of(x, show_at(i), show_at(i)->columns[c].name), "hunter2") == NULL, "%s",
			              show_at(i)->word);
	proxy_free(x);
}
END_TEST

/* ---- values ---- */

struct sample {
	const char *text, *hex;
	char        chars[8];
	uint64_t    int4, int8, numeric, when;
};

static const struct show_column sample_columns[] = {
	{ "text", SHOW_TEXT, offsetof(struct sample, text) },    { "chars", SHOW_CHARS, offsetof(struct sample, chars) },
	{ "int4", SHOW_INT4, offsetof(struct sample, int4) },    { "int8", SHOW_INT8, offsetof(struct sample, int8) },
	{ "numeric", SHOW_NUMERIC, offsetof(struct sample, numeric) }, { "when", SHOW_TIME, offsetof(struct sample, when) },
	{ "hex", SHOW_BYTEA, offsetof(struct sample, hex) },
};

static const struct show_table sample_table = { "SAMPLE", sample_columns, 7, false, sizeof(struct sample), NULL, NULL };

/* The i-th value of the DataRow of s; SIZE_MAX bytes: NULL. */
static struct view
cell(const struct sample *s, struct view formats, int i)
{
	static struct buf b;
	struct row_message row;
	struct view v = VIEW("");
	bool is_null = false;
	buf_clear(&b);
	show_data(&sample_table, s, formats, &b);
	ck_assert(row_read(world_body(buf_view(&b), BE_DATA_ROW), &row));
	ck_assert_int_eq(row.count, 7);
	for (int at = 0; at <= i; at++)
		ck_assert(row_next_value(&row.values, &v, &is_null));
	return is_null ? view_of(NULL, SIZE_MAX) : v;
}

START_TEST(values_in_text_format)
{
	struct sample s = { "a", "00ff", "b", 7, UINT64_MAX - 1, UINT64_MAX - 1, 0 };
	ck_assert(view_is(cell(&s, VIEW(""), 0), "a"));
	ck_assert(view_is(cell(&s, VIEW(""), 1), "b"));
	ck_assert(view_is(cell(&s, VIEW(""), 2), "7"));
	ck_assert(view_is(cell(&s, VIEW(""), 3), "9223372036854775807")); /* what does not fit is the most that does */
	ck_assert(view_is(cell(&s, VIEW(""), 4), "18446744073709551614"));
	ck_assert(view_is(cell(&s, VIEW(""), 6), "\\x00ff"));
	s.int4 = 5000000000;
	ck_assert(view_is(cell(&s, VIEW("\0\0"), 2), "2147483647"));
}
END_TEST

START_TEST(a_time_is_a_date_with_its_zone)
{
	clock_set(5000 * SECOND_US);
	struct sample s = { .text = "", .when = 4000 * SECOND_US };
	char before[40], after[40];
	time_t then = time(NULL) - 1000;
	strftime(before, sizeof(before), "%Y-%m-%d %H:%M:%S %Z", localtime(&then));
	struct view shown = cell(&s, VIEW(""), 5);
	char text[64];
	snprintf(text, sizeof(text), "%.*s", (int)shown.n, (const char *)shown.p);
	then = time(NULL) - 1000;
	strftime(after, sizeof(after), "%Y-%m-%d %H:%M:%S %Z", localtime(&then));
	ck_assert_str_ge(text, before);
	ck_assert_str_le(text, after);
}
END_TEST

START_TEST(values_in_binary_format)
{
	struct sample s = { "a", "00fF", "b", 7, 258, 18446744073709551614u, 0 };
	struct view all = VIEW("\0\1");
	ck_assert(view_is(cell(&s, all, 0), "a"));
	ck_assert(view_equal(cell(&s, all, 2), VIEW("\0\0\0\7")));
	ck_assert(view_equal(cell(&s, all, 3), VIEW("\0\0\0\0\0\0\1\2")));
	ck_assert(view_equal(cell(&s, all, 6), VIEW("\x00\xff")));
	/* 1844 6744 0737 0955 1614, weight 4 */
	ck_assert(view_equal(cell(&s, all, 4), VIEW("\0\5\0\4\0\0\0\0\x07\x34\x1a\x58\x02\xe1\x03\xbb\x06\x4e")));
	s.numeric = 0;
	ck_assert(view_equal(cell(&s, all, 4), VIEW("\0\0\0\0\0\0\0\0")));
	s.numeric = 10000;
	ck_assert(view_equal(cell(&s, all, 4), VIEW("\0\2\0\1\0\0\0\0\0\1\0\0")));
}
END_TEST

START_TEST(each_column_may_have_its_own_format)
{
	struct sample s = { "a", "", "b", 7, 8, 9, 0 };
	struct view mixed = VIEW("\0\0\0\0\0\1\0\0\0\0\0\0\0\1");
	ck_assert(view_equal(cell(&s, mixed, 2), VIEW("\0\0\0\7")));
	ck_assert(view_is(cell(&s, mixed, 3), "8"));
	struct buf b = { 0 };
	struct row_message row;
	struct column_message column = { 0 };
	show_describe(&sample_table, mixed, &b);
	ck_assert(row_description_read(world_body(buf_view(&b), BE_ROW_DESCRIPTION), &row));
	for (int i = 0; i < 3; i++)
		ck_assert(row_next_column(&row.values, &column));
	ck_assert_int_eq(column.format, 1);
	ck_assert(row_next_column(&row.values, &column));
	ck_assert_int_eq(column.format, 0);
	buf_free(&b);
}
END_TEST

START_TEST(what_is_not_known_is_null)
{
	struct sample s = { NULL, NULL, "", SHOW_NULL, SHOW_NULL, SHOW_NULL, SHOW_NULL };
	struct view formats[] = { VIEW(""), VIEW("\0\1") };
	for (int f = 0; f < 2; f++)
		for (int i = 0; i < 7; i++)
			ck_assert_uint_eq(cell(&s, formats[f], i).n, i == 1 ? 0 : SIZE_MAX);
}
END_TEST

int
main(void)
{
	const TTest *const rules[] = {
		the_columns_are_those_of_pgbouncer_1_25,
		tables_beyond_pgbouncer_are_known,
		databases_are_sorted_and_the_console_is_among_them,
		users_of_all_origins_come_once_and_sorted,
		pools_are_sorted_by_database_and_user,
		lists_and_totals_have_pgbouncers_rows_in_its_order,
		averages_span_the_time_since_the_end_of_the_period_before_the_last,
		a_console_session_is_among_the_clients,
		a_client_that_waits_is_shown_with_how_long,
		the_version_satisfies_those_who_take_it_apart,
		no_secret_is_shown,
		values_in_text_format,
		a_time_is_a_date_with_its_zone,
		values_in_binary_format,
		each_column_may_have_its_own_format,
		what_is_not_known_is_null,
	};
	return suite_run("admin/show", rules, sizeof(rules) / sizeof(rules[0]));
}
