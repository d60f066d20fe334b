/*
 * tests/config/test_pgbouncer_keys.c - every key that PgBouncer 1.25.2 has (and the two that came after it) is understood: with
 * its default, changed by a reload when it is there, and either of effect or accepted with a warning that says why not.
 * What the effects are is shown by tests/pool, tests/session and tests/live.
 */
#include <stdio.h>
#include <string.h>

#include "config/config.h"
#include "config/entry.h"
#include "config/ini.h"
#include "../suite.h"

static const struct {
	const char *key;
	const char *preset;  /* as SHOW CONFIG has it; NULL: too long to repeat */
	bool        reloads;
	const char *warning; /* the only reason for which it may be without effect; NULL: there is none */
} keys[] = {
	{ "listen_addr", "", false, NULL },
	{ "listen_port", "6432", false, NULL },
	{ "listen_backlog", "128", false, NULL },
	{ "unix_socket_dir", "/tmp", false, NULL },
	{ "unix_socket_mode", "511", false, NULL },
	{ "unix_socket_group", "", false, NULL },
	{ "so_reuseport", "0", false, NULL },
	{ "peer_id", "0", true, NULL },
	{ "user", "", false, NULL },
	{ "pidfile", "", false, NULL },
	{ "conffile", "", true, NULL },
	{ "job_name", "pgbouncer", false, "Windows" },
	{ "resolv_conf", "", false, NULL },
	{ "pool_mode", "session", true, NULL },
	{ "max_client_conn", "100", true, NULL },
	{ "default_pool_size", "20", true, NULL },
	{ "min_pool_size", "0", true, NULL },
	{ "reserve_pool_size", "0", true, NULL },
	{ "reserve_pool_timeout", "5", true, NULL },
	{ "max_db_connections", "0", true, NULL },
	{ "max_db_client_connections", "0", true, NULL },
	{ "max_user_connections", "0", true, NULL },
	{ "max_user_client_connections", "0", true, NULL },
	{ "server_round_robin", "0", true, NULL },
	{ "max_prepared_statements", "200", true, NULL },
	{ "pool_idle_timeout", "0", true, NULL },
	{ "autodb_idle_timeout", "3600", true, NULL },
	{ "track_extra_parameters", "IntervalStyle", false, "every parameter that servers report" },
	{ "ignore_startup_parameters", "", true, NULL },
	{ "application_name_add_host", "0", true, NULL },
	{ "disable_pqexec", "0", false, NULL },
	{ "server_reset_query", "DISCARD ALL", true, NULL },
	{ "server_reset_query_always", "0", true, NULL },
	{ "login_notify_message", "", true, NULL },
	{ "query_wait_notify", "5", true, NULL },
	{ "server_lifetime", "3600", true, NULL },
	{ "server_idle_timeout", "600", true, NULL },
	{ "server_connect_timeout", "15", true, NULL },
	{ "server_login_retry", "15", true, NULL },
	{ "server_check_query", "<empty>", true, NULL },
	{ "server_check_delay", "30", true, NULL },
	{ "server_fast_close", "0", true, NULL },
	{ "query_timeout", "0", true, NULL },
	{ "query_wait_timeout", "120", true, NULL },
	{ "cancel_wait_timeout", "10", true, NULL },
	{ "client_idle_timeout", "0", true, NULL },
	{ "client_login_timeout", "60", true, NULL },
	{ "idle_transaction_timeout", "0", true, NULL },
	{ "transaction_timeout", "0", true, NULL },
	{ "suspend_timeout", "10", true, NULL },
	{ "auth_type", "md5", true, NULL },
	{ "auth_file", "", true, NULL },
	{ "auth_hba_file", "", true, NULL },
	{ "auth_ident_file", "", true, NULL },
	{ "auth_user", "", true, NULL },
	{ "auth_query", NULL, true, NULL },
	{ "auth_dbname", "", true, NULL },
	{ "auth_ldap_options", "", true, "no LDAP" },
	{ "scram_iterations", "4096", true, NULL },
	{ "admin_users", "", true, NULL },
	{ "stats_users", "", true, NULL },
	{ "stats_period", "60", true, NULL },
	{ "logfile", "", true, NULL },
	{ "syslog", "0", true, NULL },
	{ "syslog_ident", "pgbouncer", true, NULL },
	{ "syslog_facility", "daemon", true, NULL },
	{ "log_connections", "1", true, NULL },
	{ "log_disconnections", "1", true, NULL },
	{ "log_pooler_errors", "1", true, NULL },
	{ "log_stats", "1", true, NULL },
	{ "verbose", "0", true, NULL },
	{ "client_tls_sslmode", "disable", true, NULL },
	{ "client_tls_key_file", "", true, NULL },
	{ "client_tls_cert_file", "", true, NULL },
	{ "client_tls_ca_file", "", true, NULL },
	{ "client_tls_protocols", "secure", true, NULL },
	{ "client_tls_ciphers", "default", true, NULL },
	{ "client_tls13_ciphers", "", true, NULL },
	{ "client_tls_dheparams", "auto", true, NULL },
	{ "client_tls_ecdhcurve", "auto", true, NULL },
	{ "server_tls_sslmode", "prefer", true, NULL },
	{ "server_tls_ca_file", "", true, NULL },
	{ "server_tls_key_file", "", true, NULL },
	{ "server_tls_cert_file", "", true, NULL },
	{ "server_tls_protocols", "secure", true, NULL },
	{ "server_tls_ciphers", "default", true, NULL },
	{ "server_tls13_ciphers", "", true, NULL },
	{ "dns_max_ttl", "15", true, NULL },
	{ "dns_nxdomain_ttl", "15", true, NULL },
	{ "dns_zone_check_period", "0", true, "looked up again" },
	{ "pkt_buf", "4096", false, "buffers belong to the event loop" },
	{ "max_packet_size", "2147483647", true, NULL },
	{ "sbuf_loopcnt", "5", true, "one buffer a turn" },
	{ "tcp_defer_accept", "1", true, NULL },
	{ "tcp_socket_buffer", "0", true, NULL },
	{ "tcp_keepalive", "1", true, NULL },
	{ "tcp_keepcnt", "0", true, NULL },
	{ "tcp_keepidle", "0", true, NULL },
	{ "tcp_keepintvl", "0", true, NULL },
	{ "tcp_user_timeout", "0", true, NULL },
};

static const char *const database_keys[] = {
	"host", "port", "dbname", "user", "password", "auth_user", "auth_query", "auth_dbname",
	"pool_size", "min_pool_size", "reserve_pool_size", "reserve_pool", "max_db_connections",
	"max_db_client_connections", "server_lifetime", "pool_mode", "load_balance_hosts",
	"query_wait_timeout", "connect_query", "client_encoding", "datestyle", "timezone",
	"application_name",
};

static const char *const user_keys[] = {
	"pool_mode", "pool_size", "reserve_pool_size", "max_user_connections",
	"max_user_client_connections", "query_timeout", "idle_transaction_timeout", "transaction_timeout",
	"client_idle_timeout", "query_wait_timeout",
};

static const char *const peer_keys[] = { "host", "port", "pool_size" };

START_TEST(every_key_has_pgbouncers_default_and_moment)
{
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		char room[SETTING_VALUE_MAX];
		const struct setting *row = setting_find(keys[i].key);
		ck_assert_msg(row != NULL, "%s is not known", keys[i].key);
		const char *preset = setting_preset_value(row, true, room, sizeof(room));
		if (keys[i].preset)
			ck_assert_msg(strcmp(preset, keys[i].preset) == 0, "%s: %s", keys[i].key, preset);
		ck_assert_msg((row->applies == APPLIES_ON_RELOAD) == keys[i].reloads, "%s", keys[i].key);
	}
	ck_assert_ptr_eq(setting_find("service_name"), setting_find("job_name"));
}
END_TEST

START_TEST(every_key_has_an_effect_or_says_why_not)
{
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		const char *pending = setting_find(keys[i].key)->pending;
		if (pending == NULL)
			continue;
		ck_assert_msg(keys[i].warning && strstr(pending, keys[i].warning), "%s: %s", keys[i].key, pending);
	}
}
END_TEST

START_TEST(a_key_without_effect_is_one_warning)
{
	struct config_errors errors = { 0 };
	static const char text[] = "[databases]\n* = host=h\n[pgbouncer]\nlisten_addr = *\nauth_file = /u\n"
				   "service_name = bouncer\npkt_buf = 8192\nsbuf_loopcnt = 2\n"
				   "track_extra_parameters = IntervalStyle, search_path\nauth_ldap_options = ldapserver=x\n";
	struct config *config = config_load_bytes("a.ini", view_of_string(text), NULL, &errors);

	ck_assert_msg(config != NULL, "%s", errors.count ? errors.lines[0] : "");
	ck_assert_int_eq(config->warnings.count, 5);
	for (int i = 0; i < config->warnings.count; i++)
		ck_assert_ptr_nonnull(strstr(config->warnings.lines[i], "accepted, but without effect: "));
	config_free(config);
}
END_TEST

static void
check_entry(enum entry_kind kind, const char *const *names, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const struct setting *row = NULL;
		for (int j = 0; j < entry_forms[kind].count; j++) {
			const struct setting *each = &entry_forms[kind].rows[j];
			if (strcmp(each->name, names[i]) == 0 || (each->alias && strcmp(each->alias, names[i]) == 0))
				row = each;
		}
		ck_assert_msg(row != NULL, "[%s] does not know %s", entry_forms[kind].section, names[i]);
		ck_assert_msg(row->pending == NULL, "[%s] %s: %s", entry_forms[kind].section, names[i], row->pending);
	}
}

START_TEST(every_key_of_entries_is_known)
{
	check_entry(ENTRY_DATABASE, database_keys, sizeof(database_keys) / sizeof(database_keys[0]));
	check_entry(ENTRY_USER, user_keys, sizeof(user_keys) / sizeof(user_keys[0]));
	check_entry(ENTRY_PEER, peer_keys, sizeof(peer_keys) / sizeof(peer_keys[0]));
}
END_TEST

/* So that a new key is not forgotten there: that file is also started for real, in tests/live. */
START_TEST(the_long_configuration_has_every_key)
{
	struct config_memory *memory = config_memory_new();
	struct view text;

	ck_assert(ini_slurp(CONF_DIR "/good.every-key-of-pgbouncer.ini", 1 << 20, memory, &text));
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		char line[80];
		int n = snprintf(line, sizeof(line), "\n%s = ", keys[i].key);
		ck_assert_msg(memmem(text.p, text.n, line, (size_t)n) != NULL, "%s is not in it", keys[i].key);
	}
	config_memory_free(memory);
}
END_TEST

int
main(void)
{
	const TTest *const rules[] = {
		every_key_has_pgbouncers_default_and_moment,
		every_key_has_an_effect_or_says_why_not,
		a_key_without_effect_is_one_warning,
		every_key_of_entries_is_known,
		the_long_configuration_has_every_key,
	};
	return suite_run("config/pgbouncer_keys", rules, sizeof(rules) / sizeof(rules[0]));
}
