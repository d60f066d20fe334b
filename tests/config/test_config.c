/* tests/config/test_config.c - loading without a file, looking things up, what holds for whom, reload, --check-config.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/check.h"
#include "config/ini.h"
#include "config/reload.h"
#include "../suite.h"

static struct config *
load(const char *text, const char **environment)
{
	struct config_errors errors = { 0 };
	char name[] = "memory", copy[2000]; /* which the configuration may not point into */
	snprintf(copy, sizeof(copy), "%s", text);
	struct config *config = config_load_bytes(name, view_of_string(copy), (char **)environment, &errors);

	memset(name, 'x', sizeof(name));
	memset(copy, 'x', sizeof(copy));
	ck_assert_msg(config != NULL, "%s", errors.count ? errors.lines[0] : "no error");
	return config;
}

static struct config *
load_environment(const char **environment)
{
	struct config_errors errors = { 0 };
	struct config *config = config_load(NULL, (char **)environment, &errors);

	ck_assert_msg(config != NULL, "%s", errors.count ? errors.lines[0] : "no error");
	return config;
}

START_TEST(the_environment_alone_is_enough)
{
	const char *patroni[] = { "PGSLUICE_PATRONI=http://a:8008,http://b:8008/", "HOME=/",
				  "PGSLUICE_AUTH_USERS=\"a\" \"b\"", NULL };
	struct config *config = load_environment(patroni);
	const struct database_config *d = config_database(config, "anything");

	ck_assert_int_eq(config->cluster_count, 1);
	ck_assert_ptr_eq(d->cluster, config_cluster(config, "main"));
	ck_assert(d->is_default);
	ck_assert_int_eq(d->cluster->patroni_count, 2);
	ck_assert_str_eq(d->cluster->patroni[1], "http://b:8008");
	ck_assert_uint_eq(d->cluster->patroni_poll_interval_us, 1000000);
	ck_assert_int_eq(config->settings.listen_port, 5432);
	ck_assert_str_eq(config->file, "");
	ck_assert_str_eq(config->settings.conffile, "");
	ck_assert_int_eq(config->warnings.count, 0);
	config_free(config);

	const char *hosts[] = { "PGSLUICE_HOSTS=a, b:5433,[::1]:7,/run/pg:9", "PGSLUICE_PATRONI_POLL_INTERVAL=5s",
				NULL };
	config = load_environment(hosts);
	const struct cluster_config *c = config_cluster(config, "main");
	ck_assert_int_eq(c->host_count, 4);
	ck_assert(!c->is_plain);
	ck_assert_str_eq(c->hosts[0].name, "a");
	ck_assert_int_eq(c->hosts[0].port, 5432);
	ck_assert_int_eq(c->hosts[1].port, 5433);
	ck_assert_str_eq(c->hosts[2].name, "::1");
	ck_assert_int_eq(c->hosts[2].port, 7);
	ck_assert_str_eq(c->hosts[3].name, "/run/pg");
	ck_assert_int_eq(c->hosts[3].port, 9);
	ck_assert_uint_eq(c->patroni_poll_interval_us, 5000000);
	config_free(config);
}
END_TEST

START_TEST(nothing_at_all_is_one_clear_error)
{
	struct config_errors errors = { 0 };

	ck_assert_ptr_null(config_load(NULL, NULL, &errors));
	ck_assert_int_eq(errors.count, 1);
	ck_assert_str_eq(errors.lines[0], "environment: nothing to connect to; give a configuration file, or set "
					  "PGSLUICE_PATRONI=http://host:8008,... or PGSLUICE_HOSTS=host:5432,...");
	config_errors_free(&errors);
	ck_assert_ptr_null(config_load("/no/such/file.ini", NULL, &errors));
	ck_assert_str_eq(errors.lines[0], "/no/such/file.ini: No such file or directory");
	config_errors_free(&errors);
	ck_assert_ptr_null(config_load("/", NULL, &errors));
	ck_assert_str_eq(errors.lines[0], "/: Is a directory");
	config_errors_free(&errors);
}
END_TEST

START_TEST(a_secret_comes_from_a_file)
{
	char path[] = "/tmp/pgsluice-test-XXXXXX", variable[100];
	int fd = mkstemp(path);
	const char *environment[] = { "PGSLUICE_HOSTS=a", variable, NULL };

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, "\"a\" \"b\"\n\"c\" \"d\"\r\n", 17), 17);
	close(fd);
	snprintf(variable, sizeof(variable), "PGSLUICE_AUTH_USERS_FILE=%s", path);
	struct config *config = load_environment(environment);
	ck_assert_str_eq(config->settings.auth_users, "\"a\" \"b\"\n\"c\" \"d\"");
	config_free(config);
	/* The setting auth_file is itself; there is no setting "auth". */
	snprintf(variable, sizeof(variable), "PGSLUICE_AUTH_FILE=%s", path);
	config = load_environment(environment);
	ck_assert_str_eq(config->settings.auth_file, path);
	config_free(config);
	unlink(path);
}
END_TEST

START_TEST(a_name_of_the_environment_that_is_too_long_is_refused)
{
	char variable[300] = "PGSLUICE_";
	const char *environment[] = { variable, "PGSLUICE_HOSTS=a", NULL };
	struct config_errors errors = { 0 };

	memset(variable + 9, 'A', 280);
	strcpy(variable + 289, "=1");
	ck_assert_ptr_null(config_load(NULL, (char **)environment, &errors));
	ck_assert_int_eq(errors.count, 1);
	ck_assert_ptr_nonnull(strstr(errors.lines[0], "no such setting"));
	config_errors_free(&errors);
}
END_TEST

START_TEST(at_most_so_many_errors_are_told)
{
	struct config_errors errors = { 0 };
	char text[4000] = "[pgbouncer]\n";

	for (int i = 0; i < 500; i++)
		strcat(text, "x = y\n");
	ck_assert_ptr_null(config_load_bytes("memory", view_of_string(text), NULL, &errors));
	ck_assert_int_eq(errors.count, CONFIG_ERRORS_MAX + 1);
	ck_assert_str_eq(errors.lines[CONFIG_ERRORS_MAX], "there is more that is wrong; mend the above first");
	config_errors_free(&errors);
	ck_assert_ptr_null(config_load_bytes("memory", VIEW("%include x\n"), NULL, &errors));
	ck_assert_str_eq(errors.lines[0], "memory:1: %include is not possible here");
	config_errors_free(&errors);
}
END_TEST

static const char many[] =
    "[databases]\n"
    "b = host=b1,b2 port=6000 pool_size=2 pool_mode=session server_lifetime=0 query_wait_timeout=0\n"
    "c = host=b1,b2 port=6000 load_balance_hosts=disable\n"
    "a = dbname=x\n"
    "[users]\n"
    "zoe = pool_mode=statement pool_size=9 query_timeout=0 client_idle_timeout=4\n"
    "joe = query_wait_timeout=8 max_user_connections=0\n"
    "[peers]\n"
    "7 = host=/run/seven pool_size=3\n"
    "3 = host=three port=1\n"
    "[pgbouncer]\nauth_file=/u\nquery_timeout = 5\n";

START_TEST(entries_are_found_by_name)
{
	struct config *config = load(many, NULL);

	ck_assert_str_eq(config_database(config, "b")->name, "b");
	ck_assert_str_eq(config_database(config, "a")->dbname, "x");
	ck_assert_ptr_null(config_database(config, "d"));
	ck_assert_ptr_null(config_database(config, "*"));
	ck_assert_str_eq(config_user(config, "zoe")->name, "zoe");
	ck_assert_ptr_null(config_user(config, "jo"));
	ck_assert_int_eq(config_peer(config, 3)->port, 1);
	ck_assert_int_eq(config_peer(config, 7)->port, 6432);
	ck_assert_ptr_null(config_peer(config, 4));
	ck_assert_ptr_null(config_cluster(config, "main"));
	/* Databases with the same hosts share a cluster, though one balances differently. */
	ck_assert_ptr_eq(config_database(config, "b")->cluster, config_database(config, "c")->cluster);
	ck_assert_ptr_eq(config_cluster(config, "b1:6000,b2:6000"), config_database(config, "b")->cluster);
	ck_assert(config_database(config, "b")->cluster->is_plain);
	ck_assert_int_eq(config_database(config, "b")->load_balance_hosts, LOAD_BALANCE_HOSTS_ROUND_ROBIN);
	ck_assert_int_eq(config_database(config, "c")->load_balance_hosts, LOAD_BALANCE_HOSTS_DISABLE);
	ck_assert_str_eq(config_database(config, "b")->host, "b1,b2");
	ck_assert_ptr_null(config_database(config, "a")->host);
	ck_assert(config_database(config, "a")->cluster->is_socket_dir);
	ck_assert_str_eq(config_database(config, "a")->cluster->hosts[0].name, "/tmp");
	config_free(config);
	config = load("[pgbouncer]\n", NULL);
	ck_assert_ptr_null(config_database(config, "b"));
	ck_assert_ptr_null(config_user(config, "b"));
	config_free(config);
	config_free(NULL);
}
END_TEST

START_TEST(the_user_goes_before_the_database_and_that_before_the_settings)
{
	struct config *config = load(many, NULL);
	struct pool_rules none = config_pool_rules(config, NULL, NULL);
	struct pool_rules b = config_pool_rules(config, config_database(config, "b"), NULL);
	struct pool_rules zoe = config_pool_rules(config, config_database(config, "b"), config_user(config, "zoe"));
	struct pool_rules joe = config_pool_rules(config, config_database(config, "b"), config_user(config, "joe"));

	ck_assert_int_eq(none.pool_mode, POOL_MODE_SESSION);
	ck_assert_int_eq(none.pool_size, 20);
	ck_assert_int_eq(b.pool_size, 2);
	ck_assert_uint_eq(b.server_lifetime_us, 3600000000); /* 0 in an entry: the setting */
	ck_assert_uint_eq(b.query_wait_timeout_us, 0);       /* 0 in an entry: for ever */
	ck_assert_int_eq(zoe.pool_size, 9);
	ck_assert_int_eq(zoe.pool_mode, POOL_MODE_STATEMENT);
	ck_assert_uint_eq(zoe.query_timeout_us, 5000000);
	ck_assert_uint_eq(zoe.client_idle_timeout_us, 4000000);
	ck_assert_int_eq(joe.pool_size, 2);
	ck_assert_uint_eq(joe.query_wait_timeout_us, 8000000);
	config_free(config);
}
END_TEST

START_TEST(lists_are_cut_at_commas)
{
	const char *at = " a, b ,,c ";
	struct view item;
	char seen[20] = "";

	while (config_list_next(&at, &item))
		snprintf(seen + strlen(seen), sizeof(seen) - strlen(seen), "%.*s.", (int)item.n, (const char *)item.p);
	ck_assert_str_eq(seen, "a.b.c.");
	ck_assert(config_list_has("a, b ,c", "b"));
	ck_assert(!config_list_has("a, b ,c", "B"));
	ck_assert(!config_list_has("", ""));
	ck_assert(!config_list_has("ab,bc", "b"));
}
END_TEST

static char report[1000];

static void
on_change(const struct config_change *change, void *context)
{
	(*(int *)context)++;
	snprintf(report + strlen(report), sizeof(report) - strlen(report), "%s:%s>%s%s ", change->row->name,
		 change->was, change->is, change->is_kept ? "!" : "");
}

START_TEST(a_reload_tells_what_changes_and_keeps_what_needs_a_restart)
{
	struct config *old =
	    load("[databases]\na = dbname=x\n[pgsluice]\nauth_users = \"a\" \"b\"\nunix_socket_dir = /old\n", NULL);
	struct config *new =
	    load("[databases]\na = dbname=x\n[pgsluice]\nauth_users = \"a\" \"c\"\nunix_socket_dir = /new\n"
		 "listen_port = 7000\nso_reuseport = 1\nquery_timeout = 5\n",
		 NULL);
	int count = 0;

	report[0] = 0;
	ck_assert_int_eq(config_reload_report(old, new, on_change, &count), 5);
	ck_assert_int_eq(count, 5);
	ck_assert_str_eq(report,
			 "listen_port:5432>7000! unix_socket_dir:/old>/new! so_reuseport:0>1! query_timeout:0>5 "
			 "auth_users:********>******** ");
	config_reload_keep(old, new);
	ck_assert_int_eq(new->settings.listen_port, 5432);
	ck_assert(!new->settings.so_reuseport);
	ck_assert_uint_eq(new->settings.query_timeout_us, 5000000);
	ck_assert_str_eq(new->settings.unix_socket_dir, "/old");
	/* The target that was made of it goes back, too. */
	ck_assert_str_eq(config_database(new, "a")->cluster->hosts[0].name, "/old");
	ck_assert_str_eq(config_database(new, "a")->cluster->name, "/old:5432");
	ck_assert(!database_config_needs_new_servers(config_database(old, "a"), config_database(new, "a")));
	config_free(old);
	ck_assert_str_eq(new->settings.unix_socket_dir, "/old"); /* its own copy */
	config_free(new);
}
END_TEST

START_TEST(servers_are_made_anew_when_their_target_or_preparation_changes)
{
	static const char *const same[] = { "host=h", "host=h pool_size=3", "host=h password=other",
					    "host=h query_wait_timeout=3" };
	static const char *const other[] = { "host=i",
					     "host=h port=1",
					     "host=h user=u",
					     "host=h dbname=d",
					     "host=h timezone=UTC",
					     "host=h connect_query=x",
					     "host=h auth_query=x",
					     "host=h auth_dbname=x",
					     "host=h load_balance_hosts=disable",
					     "host=h datestyle=ISO",
					     "cluster=h",
					     "dbname=a",
					     "host=h client_encoding=x",
					     "host=h application_name=x",
					     "host=h sslmode=require",
					     "host=h channel_binding=disable" };
	for (size_t i = 0; i < 4 + sizeof(other) / sizeof(other[0]); i++) {
		char text[300];
		snprintf(text, sizeof(text), "[clusters]\nh = hosts=h\n[databases]\na = host=h\nb = %s\n[pgsluice]\n",
			 i < 4 ? same[i] : other[i - 4]);
		struct config *config = load(text, NULL);
		ck_assert_msg(database_config_needs_new_servers(config_database(config, "a"),
								config_database(config, "b")) == (i >= 4),
			      "%s", text);
		config_free(config);
	}
}
END_TEST

START_TEST(all_servers_are_made_anew_when_their_tls_changes)
{
	static const struct { const char *setting; bool is_new; } cases[] = {
		{ "server_tls_sslmode = require", true },
		{ "server_tls_protocols = tlsv1.3", true },
		{ "server_tls_negotiation = direct\nserver_tls_sslmode = require", true },
		{ "server_channel_binding = disable", true },
		{ "client_tls_ciphers = x", false },
		{ "server_tls_sslmode = prefer", false }, /* the default */
		{ "server_lifetime = 5", false },
	};
	static const char entry[] = "[databases]\na = host=h\n[pgsluice]\n";
	struct config *old = load(entry, NULL);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[200];
		snprintf(text, sizeof(text), "%s%s\n", entry, cases[i].setting);
		struct config *new = load(text, NULL);
		ck_assert_msg(config_needs_new_servers(old, new) == cases[i].is_new, "%s", cases[i].setting);
		config_free(new);
	}
	config_free(old);
}
END_TEST

START_TEST(tls_with_servers_is_ruled_for_each_database)
{
	struct config *config = load("[databases]\na = host=h\nb = host=h sslmode=require channel_binding=require\n"
				     "c = host=h sslmode=disable\n[pgsluice]\nserver_tls_sslmode = allow\n",
				     NULL);
	ck_assert_int_eq(config_pool_rules(config, config_database(config, "a"), NULL).sslmode, SSLMODE_ALLOW);
	ck_assert_int_eq(config_pool_rules(config, config_database(config, "b"), NULL).sslmode, SSLMODE_REQUIRE);
	ck_assert_int_eq(config_pool_rules(config, config_database(config, "c"), NULL).sslmode, SSLMODE_DISABLE);
	ck_assert_int_eq(config_pool_rules(config, config_database(config, "a"), NULL).channel_binding,
			 CHANNEL_BINDING_PREFER);
	ck_assert_int_eq(config_pool_rules(config, config_database(config, "b"), NULL).channel_binding,
			 CHANNEL_BINDING_REQUIRE);
	ck_assert_int_eq(config_server_sslmode_max(config), SSLMODE_REQUIRE);
	config_free(config);
}
END_TEST

START_TEST(clusters_are_compared_in_every_field)
{
	static const char *const texts[] = { "hosts=a,b",
					     "hosts=a,c",
					     "hosts=a,b:1",
					     "hosts=a",
					     "patroni=http://a",
					     "patroni=http://b",
					     "patroni=http://a,http://b",
					     "hosts=a,b max_replica_lag=1",
					     "hosts=a,b read_fallback=hold",
					     "hosts=a,b patroni_timeout=3",
					     "hosts=a,b patroni_poll_interval=3" };
	enum { COUNT = sizeof(texts) / sizeof(texts[0]) };
	struct config *configs[COUNT];

	for (int i = 0; i < COUNT; i++) {
		char text[200];
		snprintf(text, sizeof(text), "[clusters]\nx = %s\n[databases]\na = cluster=x\n[pgsluice]\n", texts[i]);
		configs[i] = load(text, NULL);
	}
	for (int i = 0; i < COUNT; i++) {
		for (int k = 0; k < COUNT; k++)
			ck_assert_msg(cluster_config_is_equal(&configs[i]->clusters[0], &configs[k]->clusters[0]) ==
					  (i == k),
				      "%s, %s", texts[i], texts[k]);
	}
	for (int i = 0; i < COUNT; i++)
		config_free(configs[i]);
}
END_TEST

static char *said;

static int
check(const char *file, const char **environment)
{
	size_t size;

	free(said);
	FILE *out = open_memstream(&said, &size);
	int status = config_check(file, (char **)environment, out, out, NULL);
	fclose(out);
	return status;
}

START_TEST(check_config_says_what_was_understood)
{
	const char *environment[] = { "PGSLUICE_PATRONI=http://me:hunter2@a:8008,http://b:8008",
				      "PGSLUICE_LISTEN_ADDR=127.0.0.1,::1", "PGSLUICE_AUTH_LDAP_OPTIONS=x",
				      "PGSLUICE_AUTH_USERS=\"x\" \"hunter2\"", NULL };
	ck_assert_int_eq(check(NULL, environment), 0);
	ck_assert_ptr_nonnull(strstr(said, "environment: no mistake found\n"));
	ck_assert_ptr_nonnull(strstr(said, "  listens on 127.0.0.1 port 5432 (reading and writing)\n"));
	ck_assert_ptr_nonnull(strstr(said, "  listens on ::1 port 5433 (reading only)\n"));
	ck_assert_ptr_nonnull(strstr(said, "  cluster main: Patroni at http://********@a:8008, http://b:8008\n"));
	ck_assert_ptr_nonnull(strstr(said, "  database *: cluster main, pool_mode transaction, pool_size 20\n"));
	ck_assert_ptr_nonnull(strstr(said, "warning: environment: PGSLUICE_AUTH_LDAP_OPTIONS: accepted, but without effect"));
	ck_assert_ptr_null(strstr(said, "hunter2"));

	ck_assert_int_eq(check(CONF_DIR "/good.clusters.ini", NULL), 1); /* its auth_file is not there */
	ck_assert_ptr_nonnull(strstr(said, "auth_file: /u: No such file or directory\n"));
	ck_assert_int_eq(check(ETC_DIR "/pgsluice-minimal.ini", NULL), 0);
	ck_assert_int_eq(check(CONF_DIR "/good.hosts-setting.ini", NULL), 0);
	ck_assert_ptr_nonnull(strstr(said, "  cluster main: hosts a port 5432, b port 5432\n"));
	ck_assert_int_eq(check(CONF_DIR "/bad.unknown-setting.ini", NULL), 1);
	ck_assert_int_eq(check(NULL, NULL), 1);
	free(said);
}
END_TEST

START_TEST(pairs_are_cut_at_blanks_and_quotes)
{
	struct config_memory *memory = config_memory_new();
	struct view rest = VIEW("a=1 b = 2\tc='x''y z'd='' e");
	struct ini_pair pair;
	char why[100];
	struct text text = TEXT_IN(why);
	static const char *const keys[] = { "a", "b", "c", "d" }, *const values[] = { "1", "2", "x'y z", "" };

	for (int i = 0; i < 4; i++) {
		ck_assert_int_eq(ini_next_pair(&rest, &pair, memory, &text), 1);
		ck_assert(view_is(pair.key, keys[i]));
		ck_assert(view_is(pair.value, values[i]));
		ck_assert_int_eq(pair.is_quoted, i >= 2);
	}
	ck_assert_int_eq(ini_next_pair(&rest, &pair, memory, &text), -1);
	rest = VIEW("  ");
	ck_assert_int_eq(ini_next_pair(&rest, &pair, memory, &text), 0);
	rest = VIEW("a='x''");
	ck_assert_int_eq(ini_next_pair(&rest, &pair, memory, &text), -1);
	rest = VIEW("=x");
	ck_assert_int_eq(ini_next_pair(&rest, &pair, memory, &text), -1);
	config_memory_free(memory);
}
END_TEST

static struct config *
change(struct config *from, const char *setting, const char *value, bool keeps_tls)
{
	struct config_errors errors = { 0 };
	struct config *now = config_change(from, setting_find(setting), view_of_string(value), keeps_tls, &errors);

	ck_assert_msg(now != NULL, "%s", errors.count ? errors.lines[0] : "no error");
	config_free(from); /* nothing of the new one may be in it */
	return now;
}

START_TEST(a_change_keeps_everything_else)
{
	const char *environment[] = { "PGSLUICE_MAX_CLIENT_CONN=50", "PGSLUICE_AUTH_USERS=\"a\" \"b\"", NULL };
	struct config *config = load("[clusters]\nmain = hosts=a,b\nother = hosts=c max_replica_lag=1MB\n"
				     "[databases]\nshop = cluster=main pool_size=7\nraw = host=h password='it''s'\n"
				     "[users]\nu = pool_size=3\n[peers]\n4 = host=/run/p\n"
				     "[pgsluice]\nmax_client_conn = 5\ndefault_pool_size = 6\n",
				     environment);
	config = change(config, "max_replica_lag", "9MB", false);
	config = change(config, "default_pool_size", "11", false);
	config = change(config, "default_pool_size", "12", false);
	config = change(config, "max_client_conn", "51", false);
	ck_assert_int_eq(config->settings.max_client_conn, 51);
	ck_assert_int_eq(config->settings.default_pool_size, 12);
	ck_assert_str_eq(config->settings.auth_users, "\"a\" \"b\"");
	ck_assert_uint_eq(config_cluster(config, "main")->max_replica_lag_bytes, 9 << 20);
	ck_assert_uint_eq(config_cluster(config, "other")->max_replica_lag_bytes, 1 << 20);
	ck_assert_int_eq(config_database(config, "shop")->pool_size, 7);
	ck_assert_str_eq(config_database(config, "raw")->password, "it's");
	ck_assert_int_eq(config_user(config, "u")->pool_size, 3);
	ck_assert_str_eq(config_peer(config, 4)->host, "/run/p");
	ck_assert_str_eq(config->file, "memory");
	config_free(config);
}
END_TEST

START_TEST(a_change_that_does_not_fit_changes_nothing)
{
	struct config *config = load("[databases]\n* = host=h\n[pgbouncer]\nlisten_addr = *\n", NULL);
	struct config_errors errors = { 0 };

	ck_assert_ptr_null(config_change(config, setting_find("pool_mode"), VIEW("x"), false, &errors));
	ck_assert_int_eq(errors.count, 1);
	ck_assert_str_eq(errors.lines[0],
			 "SET pool_mode: \"x\" is not known; allowed: session, transaction, statement");
	config_errors_free(&errors);
	ck_assert_ptr_null(config_change(config, setting_find("server_tls_key_file"), VIEW("k"), false, &errors));
	ck_assert_int_eq(errors.count, 1);
	config_errors_free(&errors);
	config = change(config, "server_tls_key_file", "k", true);
	ck_assert_str_eq(config->settings.server_tls_key_file, "");
	config = change(config, "pool_mode", "statement", true);
	config = change(config, "server_tls_cert_file", "c", false);
	ck_assert_str_eq(config->settings.server_tls_key_file, "k");
	ck_assert_str_eq(config->settings.server_tls_cert_file, "c");
	ck_assert_int_eq(config->settings.pool_mode, POOL_MODE_STATEMENT);
	ck_assert(config->is_pgbouncer);
	config_free(config);
}
END_TEST

int
main(void)
{
	const TTest *const rules[] = {
		the_environment_alone_is_enough,
		nothing_at_all_is_one_clear_error,
		a_secret_comes_from_a_file,
		a_name_of_the_environment_that_is_too_long_is_refused,
		at_most_so_many_errors_are_told,
		entries_are_found_by_name,
		the_user_goes_before_the_database_and_that_before_the_settings,
		lists_are_cut_at_commas,
		a_reload_tells_what_changes_and_keeps_what_needs_a_restart,
		servers_are_made_anew_when_their_target_or_preparation_changes,
		all_servers_are_made_anew_when_their_tls_changes,
		tls_with_servers_is_ruled_for_each_database,
		clusters_are_compared_in_every_field,
		check_config_says_what_was_understood,
		pairs_are_cut_at_blanks_and_quotes,
		a_change_keeps_everything_else,
		a_change_that_does_not_fit_changes_nothing,
	};
	return suite_run("config/config", rules, sizeof(rules) / sizeof(rules[0]));
}
