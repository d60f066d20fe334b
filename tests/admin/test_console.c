/*
 * tests/admin/test_console.c - the console as its clients meet it: who may enter, commands and their answers, both query
 * protocols, commands that wait. Through a whole client connection on a socket pair; the texts are PgBouncer's.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/heap.h"
#include "session/client.h"
#include "session/server.h"
#include "suite.h"
#include "wire/compose.h"
#include "wire/message.h"
#include "wire/request.h"
#include "world.h"

static struct proxy *x;
static int fd;
static struct buf in; /* what was answered last */

static void
enter(const char *user)
{
	x = world_open(WORLD_TEXT);
	fd = world_client(x, user, "pgsluice", NULL);
	buf_clear(&in);
	world_read(x, fd, &in);
}

static void
leave(void)
{
	close(fd);
	buf_free(&in);
	proxy_free(x);
}

static const char *
answer(void)
{
	buf_clear(&in);
	world_read(x, fd, &in);
	return world_letters(buf_view(&in));
}

static const char *
say(const char *sql)
{
	struct buf b = { 0 };
	request_query(&b, sql);
	world_send(fd, &b);
	return answer();
}

static const char *
tag(void)
{
	const char *text = "";
	command_tag_read(world_body(buf_view(&in), BE_COMMAND_COMPLETE), &text);
	return text;
}

static struct error_fields
error(void)
{
	struct error_fields e = { .message = "" };
	error_read(world_body(buf_view(&in), BE_ERROR_RESPONSE), &e);
	return e;
}

static void
expect_done(const char *sql, const char *expected)
{
	ck_assert_msg(strcmp(say(sql), "CZ") == 0, "%s: %s", sql, world_letters(buf_view(&in)));
	ck_assert_str_eq(tag(), expected);
}

static void
expect_error(const char *sql, const char *message)
{
	ck_assert_msg(strcmp(say(sql), "EZ") == 0, "%s: %s", sql, world_letters(buf_view(&in)));
	ck_assert_str_eq(error().message, message);
	ck_assert_str_eq(error().severity, "ERROR");
	ck_assert_str_eq(error().sqlstate, "08P01");
}

/* ---- who may enter ---- */

static struct view
skip_to(struct view v, const char *name)
{
	struct frame f;
	const char *is, *value;
	for (; frame_peek(v, UINT32_MAX, &f) == FRAME_OK; v = view_from(v, f.size))
		if (f.type == BE_PARAMETER_STATUS && parameter_status_read(f.body, &is, &value) && strcmp(is, name) == 0)
			return view_of_string(value);
	return VIEW("");
}

START_TEST(an_admin_is_greeted_as_by_pgbouncer)
{
	enter("boss");
	ck_assert_str_eq(world_letters(buf_view(&in)), "RSSSSSSSKZ");
	ck_assert(view_is(skip_to(buf_view(&in), "server_version"), "1.25.2/bouncer"));
	ck_assert(view_is(skip_to(buf_view(&in), "client_encoding"), "UTF8"));
	ck_assert(view_is(skip_to(buf_view(&in), "DateStyle"), "ISO"));
	ck_assert(view_is(skip_to(buf_view(&in), "TimeZone"), "GMT"));
	ck_assert(view_is(skip_to(buf_view(&in), "is_superuser"), "on"));
	leave();
}
END_TEST

START_TEST(the_application_name_comes_back)
{
	x = world_open(WORLD_TEXT);
	fd = world_client(x, "mon", "pgbouncer", "exporter");
	answer();
	ck_assert_str_eq(world_letters(buf_view(&in)), "RSSSSSSSSKZ");
	ck_assert(view_is(skip_to(buf_view(&in), "application_name"), "exporter"));
	leave();
}
END_TEST

START_TEST(somebody_else_is_not_allowed)
{
	enter("app");
	ck_assert_str_eq(world_letters(buf_view(&in)), "E");
	ck_assert_str_eq(error().message, "not allowed");
	ck_assert_str_eq(error().severity, "FATAL");
	char byte;
	ck_assert_int_eq(read(fd, &byte, 1), 0);
	leave();
}
END_TEST

START_TEST(a_stats_user_may_only_look)
{
	static const char *const refused[] = { "PAUSE", "RELOAD", "SHUTDOWN", "KILL shop", "SET max_client_conn = 1", "SHOW FDS",
		                               "KILL_CLIENT 1", "DISABLE shop", "SUSPEND", "RECONNECT", "WAIT_CLOSE" };
	enter("mon");
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
		expect_error(refused[i], "admin access needed");
	ck_assert_int_eq(x->state, PROXY_RUNNING);
	ck_assert_str_eq(say("SHOW STATE"), "TDDDCZ");
	ck_assert_str_eq(say("SET datestyle = 'ISO'"), "NCZ");
	leave();
}
END_TEST

/* ---- commands ---- */

START_TEST(show_answers_rows)
{
	enter("mon");
	ck_assert_str_eq(say("SHOW VERSION"), "TDCZ");
	ck_assert_str_eq(tag(), "SHOW");
	ck_assert_str_eq(say("show version;"), "TDCZ");
	ck_assert_str_eq(say("SELECT version"), "TDCZ");
	ck_assert_str_eq(say("SHOW PEERS"), "TCZ");
	ck_assert_str_eq(say("SHOW HELP"), "NCZ");
	ck_assert_str_eq(say("show DateStyle"), "TDCZ");
	ck_assert_str_eq(say("SHOW DATABASES"), "TDDDCZ");
	ck_assert_str_eq(say(" ; "), "IZ");
	leave();
}
END_TEST

START_TEST(what_is_no_command_is_quoted_back)
{
	enter("boss");
	expect_error("SELECT 1", "invalid command 'SELECT 1', use SHOW HELP;");
	expect_error("DROP TABLE x", "invalid command 'DROP TABLE x', use SHOW HELP;");
	expect_error("SHOW NOTHING", "invalid command 'SHOW NOTHING', use SHOW HELP;");
	expect_error("SHOW", "invalid command 'SHOW', use SHOW HELP;");
	expect_error("SET", "invalid command 'SET', use SHOW HELP;");
	expect_error("SET a", "invalid command 'SET a', use SHOW HELP;");
	expect_error("a\tb\n", "invalid command 'a?b?', use SHOW HELP;");
	expect_error("SHUTDOWN now", "invalid command 'SHUTDOWN now', use SHOW HELP;");
	expect_error("RELOAD x", "syntax error");
	expect_error("RECONNECT_FOR_EVER", "bad arguments");
	leave();
}
END_TEST

START_TEST(pause_and_resume_of_everything)
{
	enter("boss");
	expect_error("RESUME", "pooler is not paused/suspended");
	expect_done("PAUSE", "PAUSE");
	ck_assert_int_eq(x->state, PROXY_PAUSED);
	expect_error("PAUSE", "already suspended/paused");
	expect_error("PAUSE shop", "already suspended/paused");
	expect_error("KILL", "already suspended/paused");
	expect_done("RESUME", "RESUME");
	ck_assert_int_eq(x->state, PROXY_RUNNING);
	leave();
}
END_TEST

START_TEST(pause_and_resume_of_one_database)
{
	enter("boss");
	expect_done("PAUSE shop", "PAUSE");
	ck_assert(proxy_database(x, "shop")->is_paused);
	expect_done("PAUSE shop", "PAUSE"); /* of one database it may be said again */
	expect_error("RESUME quiet", "database quiet is not paused");
	expect_error("RESUME nobody_ever_used", "no such database: nobody_ever_used");
	expect_done("RESUME shop", "RESUME");
	ck_assert(!proxy_database(x, "shop")->is_paused);
	expect_done("PAUSE \"from-star\"", "PAUSE"); /* made from "*" */
	expect_done("RESUME \"from-star\"", "RESUME");
	leave();
}
END_TEST

START_TEST(the_console_itself_is_no_target)
{
	enter("boss");
	expect_error("PAUSE pgbouncer", "cannot pause admin db: pgbouncer");
	expect_error("RESUME pgbouncer", "database pgbouncer is not paused");
	expect_error("KILL pgsluice", "cannot kill admin db: pgsluice");
	expect_error("DISABLE pgbouncer", "cannot disable admin db: pgbouncer");
	expect_error("ENABLE pgbouncer", "cannot enable admin db: pgbouncer");
	expect_error("RECONNECT pgbouncer", "cannot reconnect admin db: pgbouncer");
	expect_error("WAIT_CLOSE pgbouncer", "cannot wait in admin db: pgbouncer");
	leave();
}
END_TEST

START_TEST(a_database_that_does_not_exist_is_named)
{
	static const char without_star[] = "[databases]\nshop = host=127.0.0.1 port=PORT\n[pgsluice]\nlisten_addr=\n"
					   "unix_socket_dir=/tmp\nauth_type = any\nadmin_users = boss\n";
	x = world_open(without_star);
	fd = world_client(x, "boss", "pgsluice", NULL);
	answer();
	static const char *const commands[] = { "PAUSE", "RESUME", "KILL", "DISABLE", "ENABLE", "RECONNECT", "WAIT_CLOSE" };
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		char text[40];
		snprintf(text, sizeof(text), "%s nil", commands[i]);
		expect_error(text, "no such database: nil");
	}
	leave();
}
END_TEST

START_TEST(disable_and_enable)
{
	enter("boss");
	expect_error("DISABLE", "a database is required");
	expect_error("ENABLE", "a database is required");
	expect_done("DISABLE shop", "DISABLE");
	struct buf refused = { 0 };
	int other = world_client(x, "app", "shop", NULL);
	world_read(x, other, &refused);
	struct error_fields e = { 0 };
	ck_assert(error_read(world_body(buf_view(&refused), BE_ERROR_RESPONSE), &e));
	ck_assert_str_eq(e.message, "database \"shop\" is disabled");
	buf_free(&refused);
	close(other);
	expect_done("ENABLE shop", "ENABLE");
	ck_assert(!proxy_database(x, "shop")->is_disabled);
	leave();
}
END_TEST

START_TEST(kill_drops_clients_and_leaves_the_database_paused)
{
	enter("boss");
	int other = world_client(x, "app", "shop", NULL);
	ck_assert_uint_eq(proxy_database(x, "shop")->clients, 1);
	expect_done("KILL shop", "KILL");
	ck_assert(proxy_database(x, "shop")->is_paused);
	ck_assert_uint_eq(proxy_database(x, "shop")->clients, 0);
	expect_done("RESUME shop", "RESUME");
	close(other);
	leave();
}
END_TEST

static uint32_t
id_of_user(const char *user)
{
	list_each(&x->clients, n, after)
	{
		struct client *c = node_owner(n, struct client, node);
		if (c->role && strcmp(c->role->name, user) == 0)
			return c->id;
	}
	return 0;
}

START_TEST(kill_client_drops_the_one_with_that_id)
{
	char text[60];
	enter("boss");
	int other = world_client(x, "app", "shop", NULL);
	expect_error("KILL_CLIENT", "invalid client pointer supplied");
	expect_error("KILL_CLIENT abc", "invalid client pointer supplied");
	expect_error("KILL_CLIENT 12x", "invalid client pointer supplied");
	expect_error("KILL_CLIENT 99999", "client not found");
	expect_error("KILL_CLIENT 99999999999999999999999999", "client not found");
	snprintf(text, sizeof(text), "KILL_CLIENT %u", id_of_user("app"));
	expect_done(text, "KILL_CLIENT");
	struct buf last = { 0 };
	struct error_fields e = { 0 };
	world_read(x, other, &last);
	ck_assert(error_read(world_body(buf_view(&last), BE_ERROR_RESPONSE), &e));
	ck_assert_str_eq(e.message, "admin forced disconnect");
	ck_assert_str_eq(e.severity, "FATAL");
	buf_free(&last);
	close(other);
	leave();
}
END_TEST

START_TEST(who_kills_himself_is_dropped)
{
	char text[60];
	enter("boss");
	snprintf(text, sizeof(text), "KILL_CLIENT %u", id_of_user("boss"));
	ck_assert_str_eq(say(text), "E");
	ck_assert_str_eq(error().severity, "FATAL");
	ck_assert_uint_eq(x->clients.count, 0);
	leave();
}
END_TEST

START_TEST(a_reload_that_fails_says_where_to_look)
{
	enter("boss"); /* it was configured without a file, and the environment alone says nothing of databases */
	ck_assert_str_eq(say("RELOAD"), "EZ");
	ck_assert_str_eq(error().sqlstate, "F0000");
	ck_assert_str_eq(error().message, "RELOAD failed, see logs for additional details");
	leave();
}
END_TEST

START_TEST(set_of_what_drivers_set_is_ignored_with_a_notice)
{
	enter("boss");
	ck_assert_str_eq(say("SET client_encoding TO 'UTF8'"), "NCZ");
	ck_assert_str_eq(tag(), "SET");
	struct error_fields n = { 0 };
	ck_assert(error_read(world_body(buf_view(&in), BE_NOTICE_RESPONSE), &n));
	ck_assert_str_eq(n.message, "SET ignored");
	ck_assert_str_eq(n.sqlstate, "00000");
	expect_error("SET no_such_setting = 1", "SET failed");
	leave();
}
END_TEST

static void
expect_set_failed(const char *sql, const char *detail)
{
	expect_error(sql, "SET failed");
	ck_assert_msg(strstr(error().detail, detail) != NULL, "%s: %s", sql, error().detail);
}

START_TEST(set_takes_effect_at_once)
{
	enter("boss");
	expect_done("SET max_client_conn = 7", "SET max_client_conn=7");
	ck_assert_int_eq(x->config->settings.max_client_conn, 7);
	expect_done("set Default_Pool_Size to '9';", "SET Default_Pool_Size=9");
	ck_assert_int_eq(x->config->settings.max_client_conn, 7);
	ck_assert_int_eq(x->config->settings.default_pool_size, 9);
	expect_done("SET query_wait_timeout = '1.5'", "SET query_wait_timeout=1.5");
	ck_assert_uint_eq(x->config->settings.query_wait_timeout_us, 1500000);
	expect_done("SET server_reset_query = ''", "SET server_reset_query=");
	ck_assert_str_eq(x->config->settings.server_reset_query, "");
	expect_done("SET max_client_conn = 8", "SET max_client_conn=8");
	ck_assert_int_eq(x->config->settings.max_client_conn, 8);
	ck_assert_str_eq(say("SHOW max_client_conn"), "TDCZ");
	leave();
}
END_TEST

START_TEST(set_reaches_pools_that_are_there)
{
	enter("boss");
	int other = world_client(x, "app", "quiet", NULL);
	struct pool *p = proxy_pool(x, proxy_database(x, "quiet"), proxy_role(x, "app"));
	ck_assert_int_eq(p->rules.min_pool_size, 0);
	expect_done("SET min_pool_size = 2", "SET min_pool_size=2");
	ck_assert_int_eq(p->rules.min_pool_size, 2);
	ck_assert_int_eq(p->rules.pool_size, 3); /* of its user's entry, which is what it was */
	ck_assert_ptr_eq(p->database->config, config_database(x->config, "quiet"));
	close(other);
	leave();
}
END_TEST

START_TEST(set_refuses_what_a_file_may_not_say_either)
{
	enter("boss");
	expect_set_failed("SET no_such_setting = 1", "no such setting");
	expect_set_failed("SET max_client_conn = 0", "is out of range; allowed: 1 to");
	expect_set_failed("SET max_client_conn = many", "is not a whole number");
	expect_set_failed("SET pool_mode = sometimes", "allowed: session, transaction, statement");
	expect_set_failed("SET auth_file = '/no/such/file'", "/no/such/file");
	expect_set_failed("SET client_tls_sslmode = 'perhaps'", "allowed: disable");
	expect_set_failed("SET auth_users = 'hush-hush'", "");
	ck_assert_ptr_null(strstr(error().detail, "hush"));
	ck_assert_int_eq(x->config->settings.max_client_conn, 100);
	ck_assert_str_eq(x->config->settings.auth_file, "");
	leave();
}
END_TEST

START_TEST(set_leaves_alone_what_needs_a_restart)
{
	enter("boss");
	int port = x->config->settings.listen_port;
	expect_done("SET listen_port = 7777", "SET listen_port=7777");
	expect_done("SET listen_port = 'nonsense'", "SET listen_port=nonsense");
	ck_assert_int_eq(x->config->settings.listen_port, port);
	leave();
}
END_TEST

START_TEST(set_of_tls_waits_until_it_makes_a_whole)
{
	enter("boss");
	ck_assert_str_eq(say("SET server_tls_cert_file = '/no/cert'"), "NCZ");
	struct error_fields n = { 0 };
	ck_assert(error_read(world_body(buf_view(&in), BE_NOTICE_RESPONSE), &n));
	ck_assert_str_eq(n.message, "TLS settings could not be applied, still using old configuration");
	ck_assert(strstr(n.detail, "server_tls_key_file") != NULL);
	ck_assert_str_eq(tag(), "SET server_tls_cert_file=/no/cert");
	ck_assert_str_eq(x->config->settings.server_tls_cert_file, "");
	expect_done("SET max_client_conn = 7", "SET max_client_conn=7"); /* others are not held up */
	ck_assert_str_eq(say("SET server_tls_key_file = '/no/key'"), "NCZ");
	ck_assert(error_read(world_body(buf_view(&in), BE_NOTICE_RESPONSE), &n));
	ck_assert_msg(strstr(n.detail, "server_tls") != NULL, "%s", n.detail);
	ck_assert_str_eq(say("SET server_tls_key_file = ''"), "NCZ");
	expect_done("SET server_tls_cert_file = ''", "SET server_tls_cert_file=");
	ck_assert(!x->tls_waits);
	ck_assert_int_eq(x->config->settings.max_client_conn, 7);
	leave();
}
END_TEST

START_TEST(set_says_what_may_surprise)
{
	enter("boss");
	ck_assert_str_eq(say("SET auth_ldap_options = 'ldapserver=x'"), "NCZ");
	struct error_fields n = { 0 };
	ck_assert(error_read(world_body(buf_view(&in), BE_NOTICE_RESPONSE), &n));
	ck_assert_msg(strstr(n.message, "SET auth_ldap_options: accepted, but without effect") != NULL, "%s", n.message);
	expect_done("SET max_client_conn = 5", "SET max_client_conn=5"); /* said once */
	leave();
}
END_TEST

START_TEST(set_of_a_secret_shows_it_nowhere)
{
	enter("boss");
	expect_done("SET auth_users = '\"boss\" \"s3cret\"'", "SET auth_users=\"boss\" \"s3cret\"");
	ck_assert_str_eq(say("SHOW auth_users"), "TDCZ");
	ck_assert_ptr_null(memmem(in.p, in.n, "s3cret", 6));
	ck_assert_ptr_nonnull(memmem(in.p, in.n, "********", 8));
	leave();
}
END_TEST

START_TEST(every_setting_can_be_shown_by_its_name)
{
	enter("mon");
	for (int i = 0; i < setting_count; i++) {
		char text[80];
		snprintf(text, sizeof(text), "SHOW %s", setting_rows[i].name);
		ck_assert_msg(strcmp(say(text), "TDCZ") == 0, "%s", text);
		ck_assert_ptr_nonnull(memmem(in.p, in.n, setting_rows[i].name, strlen(setting_rows[i].name)));
	}
	leave();
}
END_TEST

START_TEST(shutdown_at_once_ends_without_an_answer)
{
	enter("boss");
	ck_assert_str_eq(say("SHUTDOWN"), "");
	ck_assert(x->loop->is_stopping);
	leave();
}
END_TEST

START_TEST(shutdown_that_waits_answers_at_once)
{
	enter("boss");
	int other = world_client(x, "app", "shop", NULL);
	expect_done("SHUTDOWN wait_for_clients", "SHUTDOWN");
	ck_assert_int_eq(x->state, PROXY_STOPPING_CLIENTS);
	expect_error("RESUME", "pooler is shutting down");
	close(other);
	leave();
}
END_TEST

/* ---- commands that wait ---- */

/* A server connection that never gets anywhere: a PAUSE of shop has something to wait for. */
static struct server *
add_server(void)
{
	struct database *shop = proxy_database(x, "shop");
	struct pool *p = proxy_pool(x, shop, proxy_role(x, "app"));
	server_open(x, p, shop->load->topology->member[0].id, NULL);
	return node_owner(list_last(&x->servers), struct server, node);
}

START_TEST(pause_is_answered_when_the_last_server_is_gone)
{
	enter("boss");
	struct server *s = add_server();
	ck_assert_uint_eq(x->servers.count, 1);
	struct buf two = { 0 };
	request_query(&two, "PAUSE shop");
	request_query(&two, "SHOW STATE");
	world_send(fd, &two);
	ck_assert_str_eq(answer(), "");
	server_close(s, FAULT_BY_ADMIN, "test");
	ck_assert_str_eq(answer(), "CZTDDDCZ"); /* what came meanwhile is answered afterwards */
	ck_assert(list_is_empty(&x->console_waits));
	leave();
}
END_TEST

START_TEST(a_resume_from_elsewhere_ends_a_pause_with_an_error)
{
	enter("boss");
	int second = world_client(x, "boss", "pgsluice", NULL);
	struct buf b = { 0 };
	add_server();
	ck_assert_str_eq(say("PAUSE"), "");
	request_query(&b, "RESUME");
	world_send(second, &b);
	ck_assert_str_eq(answer(), "EZ");
	ck_assert_str_eq(error().sqlstate, "57014");
	ck_assert_int_eq(x->state, PROXY_RUNNING);
	ck_assert_str_eq(say("SHOW VERSION"), "TDCZ");
	close(second);
	leave();
}
END_TEST

START_TEST(suspend_silences_everybody_but_the_console)
{
	enter("boss");
	int other = world_client(x, "app", "shop", NULL);
	expect_done("SUSPEND", "SUSPEND");
	ck_assert_int_eq(x->state, PROXY_SUSPENDED);
	ck_assert_str_eq(say("SHOW STATE"), "TDDDCZ");
	ck_assert_ptr_nonnull(memmem(in.p, in.n, "suspended\0\0\0\3yes", 16));
	expect_error("SUSPEND", "already suspended/paused");
	expect_error("PAUSE", "already suspended/paused");
	expect_error("PAUSE shop", "already suspended/paused");
	expect_error("KILL", "already suspended/paused");
	int second = world_client(x, "boss", "pgsluice", NULL); /* whoever else may end it can still come in */
	struct buf b = { 0 };
	request_query(&b, "RESUME");
	world_send(second, &b);
	world_turn(x);
	world_turn(x);
	ck_assert_int_eq(x->state, PROXY_RUNNING);
	expect_error("RESUME", "pooler is not paused/suspended");
	expect_error("SUSPEND x", "syntax error");
	expect_done("PAUSE quiet", "PAUSE");
	expect_error("SUSPEND", "cannot suspend with paused databases");
	close(other);
	close(second);
	leave();
}
END_TEST

START_TEST(a_suspend_ends_with_who_said_it)
{
	enter("boss");
	int second = world_client(x, "boss", "pgsluice", NULL);
	struct buf b = { 0 }, out = { 0 };
	request_query(&b, "SUSPEND");
	world_send(second, &b);
	world_read(x, second, &out);
	ck_assert_int_eq(x->state, PROXY_SUSPENDED);
	close(second);
	world_turn(x);
	world_turn(x);
	ck_assert_int_eq(x->state, PROXY_RUNNING);
	buf_free(&out);
	leave();
}
END_TEST

START_TEST(a_wait_in_the_extended_protocol_goes_on_with_the_sync)
{
	enter("boss");
	struct server *s = add_server();
	s->slot.is_close_needed = true;
	struct buf b = { 0 };
	request_parse(&b, "", VIEW("WAIT_CLOSE shop"), VIEW(""));
	buf_add(&b, VIEW("B\0\0\0\x0c\0\0\0\0\0\0\0\0"));
	request_execute(&b, "", 0);
	request_sync(&b);
	world_send(fd, &b);
	ck_assert_str_eq(answer(), "12");
	server_close(s, FAULT_BY_ADMIN, "test");
	ck_assert_str_eq(answer(), "CZ");
	ck_assert_str_eq(tag(), "WAIT_CLOSE");
	leave();
}
END_TEST

START_TEST(who_leaves_while_a_command_of_his_waits_is_forgotten)
{
	enter("boss");
	add_server();
	ck_assert_str_eq(say("PAUSE shop"), "");
	ck_assert_uint_eq(x->console_waits.count, 1);
	close(fd);
	world_turn(x);
	world_turn(x);
	ck_assert(list_is_empty(&x->console_waits));
	ck_assert_uint_eq(x->clients.count, 0);
	fd = -1;
	proxy_free(x);
	buf_free(&in);
}
END_TEST

START_TEST(a_cancel_request_ends_the_pause_it_waits_for)
{
	enter("boss");
	uint32_t pid;
	struct view key;
	ck_assert(backend_key_read(world_body(buf_view(&in), BE_BACKEND_KEY_DATA), &pid, &key));
	struct buf cancel = { 0 };
	request_cancel(&cancel, pid, key);
	add_server();
	ck_assert_str_eq(say("PAUSE shop"), "");
	int pair[2];
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	proxy_accept(x, pair[1], true, false, LANE_WRITE);
	world_send(pair[0], &cancel);
	ck_assert_str_eq(answer(), "EZ");
	ck_assert_str_eq(error().sqlstate, "57014");
	ck_assert(!proxy_database(x, "shop")->is_paused);
	close(pair[0]);
	leave();
}
END_TEST

/* ---- extended protocol ---- */

static void
add_parse(struct buf *b, const char *name, const char *sql)
{
	request_parse(b, name, view_of_string(sql), VIEW(""));
}

/* formats: result formats of one byte each. */
static void
add_bind(struct buf *b, const char *portal, const char *statement, uint16_t values, struct view formats)
{
	size_t at = compose_begin(b, FE_BIND);
	buf_add_string(b, portal);
	buf_add_string(b, statement);
	buf_add_be16(b, 0);
	buf_add_be16(b, values);
	for (uint16_t i = 0; i < values; i++)
		buf_add_be32(b, UINT32_MAX);
	buf_add_be16(b, (uint16_t)formats.n);
	for (size_t i = 0; i < formats.n; i++)
		buf_add_be16(b, formats.p[i]);
	compose_end(b, at);
}

static const char *
send_all(struct buf *b)
{
	world_send(fd, b);
	*b = (struct buf){ 0 };
	return answer();
}

START_TEST(what_drivers_send_in_one_packet)
{
	enter("mon");
	struct buf b = { 0 };
	add_parse(&b, "", "SHOW STATE");
	add_bind(&b, "", "", 0, VIEW(""));
	request_describe(&b, 'P', "");
	request_execute(&b, "", 0);
	request_sync(&b);
	ck_assert_str_eq(send_all(&b), "12TDDDCZ");
	leave();
}
END_TEST

START_TEST(what_drivers_prepare_and_describe_first)
{
	enter("boss");
	struct buf b = { 0 };
	add_parse(&b, "s1", "SHOW VERSION");
	request_describe(&b, 'S', "s1");
	request_sync(&b);
	ck_assert_str_eq(send_all(&b), "1tTZ");
	for (int i = 0; i < 3; i++) {
		add_bind(&b, "", "s1", 0, VIEW("\1"));
		request_execute(&b, "", 0);
		request_sync(&b);
		ck_assert_str_eq(send_all(&b), "2DCZ");
	}
	request_close(&b, 'S', "s1");
	request_sync(&b);
	ck_assert_str_eq(send_all(&b), "3Z");
	add_bind(&b, "", "s1", 0, VIEW(""));
	request_sync(&b);
	ck_assert_str_eq(send_all(&b), "EZ");
	ck_assert_str_eq(error().sqlstate, "26000");
	leave();
}
END_TEST

START_TEST(commands_without_rows_describe_as_no_data)
{
	enter("boss");
	struct buf b = { 0 };
	add_parse(&b, "", "PAUSE");
	request_describe(&b, 'S', "");
	add_bind(&b, "", "", 0, VIEW(""));
	request_describe(&b, 'P', "");
	request_execute(&b, "", 0);
	request_sync(&b);
	ck_assert_str_eq(send_all(&b), "1tn2nCZ");
	ck_assert_str_eq(tag(), "PAUSE");
	ck_assert_int_eq(x->state, PROXY_PAUSED);
	add_parse(&b, "", ";");
	add_bind(&b, "", "", 0, VIEW(""));
	request_execute(&b, "", 0);
	request_sync(&b);
	ck_assert_str_eq(send_all(&b), "12IZ");
	leave();
}
END_TEST

START_TEST(rows_can_be_taken_in_portions)
{
	enter("boss");
	struct buf b = { 0 };
	add_parse(&b, "", "SHOW STATE");
	add_bind(&b, "p", "", 0, VIEW(""));
	request_execute(&b, "p", 2);
	request_flush(&b);
	ck_assert_str_eq(send_all(&b), "12DDs");
	request_execute(&b, "p", 2);
	request_execute(&b, "p", 0);
	ck_assert_str_eq(send_all(&b), "DCC");
	request_sync(&b);
	ck_assert_str_eq(send_all(&b), "Z");
	request_execute(&b, "p", 0); /* it ended with the Sync */
	request_sync(&b);
	ck_assert_str_eq(send_all(&b), "EZ");
	ck_assert_str_eq(error().sqlstate, "34000");
	leave();
}
END_TEST

START_TEST(a_command_runs_once_per_portal)
{
	enter("boss");
	struct buf b = { 0 };
	add_parse(&b, "", "PAUSE");
	add_bind(&b, "", "", 0, VIEW(""));
	request_execute(&b, "", 0);
	request_execute(&b, "", 0);
	request_sync(&b);
	ck_assert_str_eq(send_all(&b), "12CEZ");
	ck_assert_str_eq(error().sqlstate, "55000");
	leave();
}
END_TEST

START_TEST(after_an_error_everything_up_to_the_sync_is_skipped)
{
	enter("boss");
	struct buf b = { 0 };
	add_parse(&b, "", "SELECT 1");
	add_bind(&b, "", "", 0, VIEW(""));
	request_query(&b, "PAUSE");
	request_execute(&b, "", 0);
	request_sync(&b);
	ck_assert_str_eq(send_all(&b), "EZ");
	ck_assert_int_eq(x->state, PROXY_RUNNING);
	ck_assert_str_eq(say("SHOW VERSION"), "TDCZ");
	leave();
}
END_TEST

START_TEST(mistakes_in_the_extended_protocol_have_their_sqlstates)
{
	static const char long_name[] = "a";
	enter("boss");
	struct buf b = { 0 };
	add_parse(&b, long_name, "SHOW STATE");
	add_parse(&b, long_name, "SHOW STATE");
	request_sync(&b);
	ck_assert_str_eq(send_all(&b), "1EZ");
	ck_assert_str_eq(error().sqlstate, "42P05");
	add_bind(&b, "", "a", 1, VIEW(""));
	request_sync(&b);
	ck_assert_str_eq(send_all(&b), "EZ");
	ck_assert_str_eq(error().sqlstate, "08P01");
	add_bind(&b, "", "a", 0, VIEW("\0\0\0"));
	request_sync(&b);
	ck_assert_str_eq(send_all(&b), "EZ");
	add_bind(&b, "", "a", 0, VIEW("\2"));
	request_sync(&b);
	ck_assert_str_eq(send_all(&b), "EZ");
	add_bind(&b, "p", "a", 0, VIEW(""));
	add_bind(&b, "p", "a", 0, VIEW(""));
	request_sync(&b);
	ck_assert_str_eq(send_all(&b), "2EZ");
	ck_assert_str_eq(error().sqlstate, "42P03");
	request_describe(&b, 'S', "nil");
	request_sync(&b);
	ck_assert_str_eq(send_all(&b), "EZ");
	ck_assert_str_eq(error().sqlstate, "26000");
	request_describe(&b, 'P', "nil");
	request_sync(&b);
	ck_assert_str_eq(send_all(&b), "EZ");
	ck_assert_str_eq(error().sqlstate, "34000");
	request_close(&b, 'S', "nil");
	request_close(&b, 'P', "nil");
	request_sync(&b);
	ck_assert_str_eq(send_all(&b), "33Z");
	leave();
}
END_TEST

START_TEST(names_are_bounded)
{
	enter("boss");
	struct buf b = { 0 };
	for (int i = 0; i < 101; i++) {
		char name[20];
		snprintf(name, sizeof(name), "s%d", i);
		add_parse(&b, name, "SHOW STATE");
	}
	request_sync(&b);
	const char *letters = send_all(&b);
	ck_assert_uint_eq(strlen(letters), 102);
	ck_assert_str_eq(letters + 99, "1EZ");
	ck_assert_str_eq(error().sqlstate, "54000");
	leave();
}
END_TEST

static void
expect_cut(struct buf *b, const char *message)
{
	ck_assert_str_eq(send_all(b), "E");
	ck_assert_str_eq(error().severity, "FATAL");
	ck_assert_str_eq(error().sqlstate, "08P01");
	ck_assert_str_eq(error().message, message);
	char byte;
	ck_assert_int_eq(read(fd, &byte, 1), 0);
	leave();
}

START_TEST(a_malformed_message_ends_the_session)
{
	struct buf b = { 0 };
	enter("boss");
	size_t at = compose_begin(&b, FE_BIND);
	buf_add_string(&b, "");
	compose_end(&b, at);
	expect_cut(&b, "malformed Bind message");
	enter("boss");
	at = compose_begin(&b, FE_QUERY);
	buf_add(&b, VIEW("SHOW STATE"));
	compose_end(&b, at);
	expect_cut(&b, "malformed Query message");
}
END_TEST

START_TEST(messages_of_no_use_here_end_the_session)
{
	struct buf b = { 0 };
	enter("boss");
	compose_end(&b, compose_begin(&b, FE_COPY_DONE));
	expect_cut(&b, "unsupported packet type for admin console: 99");
	enter("boss");
	buf_add(&b, VIEW("Q\0\0\0\1"));
	expect_cut(&b, "invalid message length");
}
END_TEST

int
main(void)
{
	const TTest *const rules[] = {
		an_admin_is_greeted_as_by_pgbouncer,
		the_application_name_comes_back,
		somebody_else_is_not_allowed,
		a_stats_user_may_only_look,
		show_answers_rows,
		what_is_no_command_is_quoted_back,
		pause_and_resume_of_everything,
		pause_and_resume_of_one_database,
		the_console_itself_is_no_target,
		a_database_that_does_not_exist_is_named,
		disable_and_enable,
		kill_drops_clients_and_leaves_the_database_paused,
		kill_client_drops_the_one_with_that_id,
		who_kills_himself_is_dropped,
		a_reload_that_fails_says_where_to_look,
		set_of_what_drivers_set_is_ignored_with_a_notice,
		set_takes_effect_at_once,
		set_reaches_pools_that_are_there,
		set_refuses_what_a_file_may_not_say_either,
		set_leaves_alone_what_needs_a_restart,
		set_of_tls_waits_until_it_makes_a_whole,
		set_says_what_may_surprise,
		set_of_a_secret_shows_it_nowhere,
		every_setting_can_be_shown_by_its_name,
		shutdown_at_once_ends_without_an_answer,
		shutdown_that_waits_answers_at_once,
		pause_is_answered_when_the_last_server_is_gone,
		a_resume_from_elsewhere_ends_a_pause_with_an_error,
		suspend_silences_everybody_but_the_console,
		a_suspend_ends_with_who_said_it,
		a_wait_in_the_extended_protocol_goes_on_with_the_sync,
		who_leaves_while_a_command_of_his_waits_is_forgotten,
		a_cancel_request_ends_the_pause_it_waits_for,
		what_drivers_send_in_one_packet,
		what_drivers_prepare_and_describe_first,
		commands_without_rows_describe_as_no_data,
		rows_can_be_taken_in_portions,
		a_command_runs_once_per_portal,
		after_an_error_everything_up_to_the_sync_is_skipped,
		mistakes_in_the_extended_protocol_have_their_sqlstates,
		names_are_bounded,
		a_malformed_message_ends_the_session,
		messages_of_no_use_here_end_the_session,
	};
	return suite_run("admin/console", rules, sizeof(rules) / sizeof(rules[0]));
}
