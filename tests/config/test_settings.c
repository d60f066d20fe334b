/* tests/config/test_settings.c - the table of settings, how values are shown, and the samples made of it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "config/show.h"
#include "config/value.h"
#include "../suite.h"

static struct config_memory *memory;

static void
begin(void)
{
	memory = config_memory_new();
}

static void
end(void)
{
	config_memory_free(memory);
}

static bool
store(const struct setting *row, const char *value, struct settings *into, struct text *why)
{
	return value_store(row, into, view_of_string(value), memory, why);
}

static struct settings
presets(bool is_pgbouncer)
{
	struct settings s = { 0 };
	char why[200];
	struct text text = TEXT_IN(why);

	for (int i = 0; i < setting_count; i++)
		ck_assert_msg(store(&setting_rows[i], setting_preset(&setting_rows[i], is_pgbouncer), &s, &text),
			      "%s: %s", setting_rows[i].name, why);
	return s;
}

/* Some value that is allowed and is not the default. */
static const char *
other_value(const struct setting *row)
{
	switch (row->type) {
	case SETTING_BOOL:
		return row->preset[0] == '0' ? "1" : "0";
	case SETTING_URLS:
		return "https://other:1";
	case SETTING_HOSTS:
		return "other:1";
	case SETTING_ADDRESSES:
		return "10.1.0.0/16, unix";
	case SETTING_STRING:
	case SETTING_LIST:
		return row->words ? row->words[1].word : "other";
	case SETTING_ENUM:
		return strcmp(row->words[0].word, row->preset) == 0 ? row->words[1].word : row->words[0].word;
	default:
		return !row->most                            ? "77"
		       : strcmp(row->most, row->preset) == 0 ? row->least ? row->least : "0"
							     : row->most;
	}
}

START_TEST(every_setting_has_a_name_of_its_own_a_text_and_a_group)
{
	for (int i = 0; i < setting_count; i++) {
		const struct setting *row = &setting_rows[i];
		ck_assert_ptr_eq(setting_find(row->name), row);
		ck_assert_msg(row->text && row->group && strlen(row->text) > 8, "%s", row->name);
		ck_assert_msg((row->type == SETTING_ENUM) <= (row->words != NULL), "%s has no words", row->name);
	}
	ck_assert_ptr_eq(setting_find("service_name"), setting_find("job_name"));
	ck_assert_ptr_null(setting_find("no_such"));
}
END_TEST

START_TEST(every_default_is_allowed)
{
	begin();
	struct settings ours = presets(false), pgbouncers = presets(true);
	ck_assert_int_eq(ours.listen_port, 5432);
	ck_assert_int_eq(ours.read_port, 5433);
	ck_assert_int_eq(ours.pool_mode, POOL_MODE_TRANSACTION);
	ck_assert_int_eq(ours.auth_type, AUTH_TYPE_SCRAM_SHA_256);
	ck_assert_uint_eq(ours.query_wait_timeout_us, 120000000);
	ck_assert_uint_eq(ours.max_replica_lag_bytes, 16 << 20);
	ck_assert_int_eq(pgbouncers.listen_port, 6432);
	ck_assert_int_eq(pgbouncers.read_port + pgbouncers.http_port, 0);
	ck_assert_int_eq(pgbouncers.pool_mode, POOL_MODE_SESSION);
	ck_assert_int_eq(pgbouncers.auth_type, AUTH_TYPE_MD5);
	ck_assert_str_eq(pgbouncers.listen_addr, "");
	end();
}
END_TEST

START_TEST(setting_one_changes_no_other)
{
	begin();
	for (int i = 0; i < setting_count; i++) {
		struct settings before = presets(false), after = before;
		char why[200] = "";
		struct text text = TEXT_IN(why);
		ck_assert_msg(store(&setting_rows[i], other_value(&setting_rows[i]), &after, &text), "%s", why);
		for (int k = 0; k < setting_count; k++)
			ck_assert_msg(setting_is_equal(&setting_rows[k], &before, &after) == (k != i), "%s changes %s",
				      setting_rows[i].name, setting_rows[k].name);
	}
	end();
}
END_TEST

START_TEST(a_refused_value_leaves_what_was_there)
{
	begin();
	struct settings s = presets(false);
	char why[300];
	struct text text = TEXT_IN(why);
	static const char *const wrong[][2] = { { "listen_port", "x" },     { "query_timeout", "5 fortnights" },
						{ "log_stats", "perhaps" }, { "pool_mode", "x" },
						{ "hosts", "a b" },         { "max_packet_size", "-1" } };
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		ck_assert(!store(setting_find(wrong[i][0]), wrong[i][1], &s, &text));
	struct settings fresh = presets(false);
	for (int i = 0; i < setting_count; i++)
		ck_assert(setting_is_equal(&setting_rows[i], &s, &fresh));
	end();
}
END_TEST

START_TEST(a_value_with_a_nul_byte_is_refused_without_showing_a_secret)
{
	begin();
	struct settings s = presets(false);
	char why[300];
	struct text text = TEXT_IN(why);
	ck_assert(!value_store(setting_find("auth_users"), &s, VIEW("hunter2\0x"), memory, &text));
	ck_assert_ptr_nonnull(strstr(why, "NUL"));
	ck_assert_ptr_null(strstr(why, "hunter2"));
	end();
}
END_TEST

START_TEST(a_long_value_is_cut_in_messages)
{
	begin();
	struct settings s = presets(false);
	char why[300], value[5000];
	struct text text = TEXT_IN(why);
	memset(value, 'x', sizeof(value));
	value[sizeof(value) - 1] = 0;
	ck_assert(!store(setting_find("pool_mode"), value, &s, &text));
	ck_assert_ptr_nonnull(strstr(why, "xxx...\" is not known; allowed: session"));
	end();
}
END_TEST

START_TEST(values_are_shown_as_pgbouncer_shows_them)
{
	begin();
	struct settings s = presets(true);
	char buf[SETTING_VALUE_MAX];
	static const struct {
		const char *name, *value;
	} shown[] = { { "unix_socket_mode", "511" },
		      { "server_lifetime", "3600" },
		      { "tcp_keepalive", "1" },
		      { "dns_zone_check_period", "0" },
		      { "auth_type", "md5" },
		      { "pkt_buf", "4096" },
		      { "logfile", "" } };
	for (size_t i = 0; i < sizeof(shown) / sizeof(shown[0]); i++)
		ck_assert_str_eq(setting_value(setting_find(shown[i].name), &s, buf, sizeof(buf)), shown[i].value);
	s.query_timeout_us = 1500000;
	ck_assert_str_eq(setting_value(setting_find("query_timeout"), &s, buf, sizeof(buf)), "1.5");
	s.query_timeout_us = 1;
	ck_assert_str_eq(setting_value(setting_find("query_timeout"), &s, buf, sizeof(buf)), "0.000001");
	end();
}
END_TEST

START_TEST(passwords_are_not_shown)
{
	struct settings s = { .auth_users = "\"a\" \"hunter2\"",
			      .patroni = "http://me:hunter2@a:1, https://b:2,http://x@c" };
	char buf[SETTING_VALUE_MAX];
	ck_assert_str_eq(setting_value(setting_find("auth_users"), &s, buf, sizeof(buf)), "********");
	ck_assert_str_eq(setting_value(setting_find("patroni"), &s, buf, sizeof(buf)),
			 "http://********@a:1,https://b:2,http://********@c");
	s.auth_users = "";
	ck_assert_str_eq(setting_value(setting_find("auth_users"), &s, buf, sizeof(buf)), "");
}
END_TEST

START_TEST(show_config_is_sorted_and_complete)
{
	struct config_errors errors = { 0 };
	struct config *config =
	    config_load_bytes("x", VIEW("[databases]\n* = host=h\n[pgbouncer]\npkt_buf=1\n"), NULL, &errors);
	struct config_show row;
	char last[100] = "";
	int count = 0;

	ck_assert_ptr_nonnull(config);
	for (; config_show_row(config, count, &row); count++) {
		ck_assert_int_lt(strcmp(last, row.key), 0);
		snprintf(last, sizeof(last), "%s", row.key);
		const struct setting *setting = setting_find(row.key);
		ck_assert_int_eq(row.is_changeable, setting->applies == APPLIES_ON_RELOAD);
		if (strcmp(row.key, "pkt_buf") == 0) {
			ck_assert_str_eq(row.value, "1");
			ck_assert_str_eq(row.preset, "4096");
		} else if (strcmp(row.key, "conffile") != 0)
			ck_assert_str_eq(row.value, row.preset);
	}
	ck_assert_int_eq(count, setting_count);
	ck_assert(!config_show_row(config, -1, &row));
	config_free(config);
}
END_TEST

static char *
sample(bool is_pgbouncer, size_t *size)
{
	char *text = NULL;
	FILE *out = open_memstream(&text, size);

	settings_sample(out, is_pgbouncer);
	fclose(out);
	return text;
}

START_TEST(the_sample_in_etc_is_what_the_program_prints)
{
	size_t size, got;
	char *text = sample(false, &size), *committed = calloc(1, size + 2);
	FILE *f = fopen(ETC_DIR "/pgsluice.ini", "r");

	ck_assert_ptr_nonnull(f);
	got = fread(committed, 1, size + 1, f);
	fclose(f);
	ck_assert_msg(got == size && memcmp(text, committed, size) == 0, "etc/pgsluice.ini is old: make samples");
	free(text);
	free(committed);
}
END_TEST

/* Lines ";name = value" lose their ';'; other comments have a blank or another ';' behind it. */
static void
uncomment(char *text)
{
	for (char *line = text; line && *line; line = strchr(line, '\n'), line += line != NULL) {
		if (line[0] == ';' && line[1] >= 'a' && line[1] <= 'z' && strstr(line, " ="))
			line[0] = ' ';
	}
}

START_TEST(the_sample_with_every_line_in_use_means_the_defaults)
{
	for (int is_pgbouncer = 0; is_pgbouncer < 2; is_pgbouncer++) {
		size_t size;
		char *text = sample(is_pgbouncer, &size);
		struct config_errors errors = { 0 };
		uncomment(text);
		struct config *config = config_load_bytes("sample", view_of(text, size), NULL, &errors);
		ck_assert_msg(config != NULL, "%s", errors.count ? errors.lines[0] : "");
		ck_assert_int_eq(config->is_pgbouncer, is_pgbouncer);
		begin();
		struct settings fresh = presets(is_pgbouncer);
		fresh.conffile = "sample";
		for (int i = 0; i < setting_count; i++)
			ck_assert_msg(setting_is_equal(&setting_rows[i], &fresh, &config->settings), "%s",
				      setting_rows[i].name);
		end();
		ck_assert_int_eq(config->user_count, 1);
		config_free(config);
		free(text);
	}
}
END_TEST

START_TEST(the_samples_in_etc_load)
{
	static const char *const files[] = { ETC_DIR "/pgsluice.ini", ETC_DIR "/pgsluice-minimal.ini" };
	for (int i = 0; i < 2; i++) {
		struct config_errors errors = { 0 };
		struct config *config = config_load(files[i], NULL, &errors);
		ck_assert_msg(config != NULL, "%s", errors.count ? errors.lines[0] : "");
		if (i == 1) {
			ck_assert_str_eq(config->settings.auth_file, ETC_DIR "/userlist.txt");
			ck_assert_int_eq(config->warnings.count, 0);
		}
		config_free(config);
	}
}
END_TEST

START_TEST(help_names_every_setting)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	settings_help(out);
	fclose(out);
	for (int i = 0; i < setting_count; i++) {
		char line[100];
		snprintf(line, sizeof(line), "\n  %s =", setting_rows[i].name);
		ck_assert_msg(strstr(text, line) != NULL, "%s", setting_rows[i].name);
	}
	ck_assert_ptr_nonnull(strstr(text, "[databases]"));
	for (char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n')
		ck_assert_msg(strcspn(line, "\n") < 110 || strncmp(line, "  auth_query = ", 15) == 0, "%.150s", line);
	free(text);
}
END_TEST

START_TEST(numbers_are_read_to_their_last_letter)
{
	static const struct {
		const char *text;
		bool is_good;
		uint64_t us;
	} times[] = { { "0", true, 0 },           { "1", true, 1000000 },      { "1s", true, 1000000 },
		      { "0.5", true, 500000 },    { ".5", true, 500000 },      { "1e3", true, 1000000000 },
		      { "3ms", true, 3000 },      { "3us", true, 3 },          { "2min", true, 120000000 },
		      { "1h", true, 3600000000 }, { "1d", true, 86400000000 }, { "1 d", true, 86400000000 },
		      { "", false, 0 },           { "1m", false, 0 },          { "1S", false, 0 },
		      { "s", false, 0 },          { "-1", false, 0 },          { "1s s", false, 0 },
		      { "inf", false, 0 },        { ".", false, 0 },           { "1 2", false, 0 } };
	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
		uint64_t us = 0;
		ck_assert_msg(value_read_duration(view_of_string(times[i].text), &us) == times[i].is_good, "%s",
			      times[i].text);
		ck_assert_uint_eq(us, times[i].us);
	}
	static const struct {
		const char *text;
		bool is_good;
		uint64_t bytes;
	} sizes[] = { { "0", true, 0 },
		      { "1kB", true, 1024 },
		      { "1 MB", true, 1 << 20 },
		      { "2gb", true, 2ull << 30 },
		      { "1TB", true, 1ull << 40 },
		      { "0x10", true, 16 },
		      { "1K", false, 0 },
		      { "", false, 0 },
		      { "-1", false, 0 },
		      { "1.5MB", false, 0 },
		      { "kB", false, 0 },
		      { "99999999999999999999", true, UINT64_MAX } };
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		uint64_t bytes = 0;
		ck_assert_msg(value_read_size(view_of_string(sizes[i].text), &bytes) == sizes[i].is_good, "%s",
			      sizes[i].text);
		if (sizes[i].is_good)
			ck_assert_uint_eq(bytes, sizes[i].bytes);
	}
	int64_t number;
	ck_assert(value_read_int(VIEW("-0x10"), &number) && number == -16);
	ck_assert(!value_read_int(VIEW("+1"), &number) && !value_read_int(VIEW("1.0"), &number) &&
		  !value_read_int(VIEW(""), &number));
	ck_assert(!value_read_int(VIEW("1111111111111111111111111111111111111111111111111111111111111111"), &number));
}
END_TEST

START_TEST(the_nearest_name_is_found)
{
	ck_assert_int_eq(text_distance(VIEW("abc"), VIEW("abc"), 3), 0);
	ck_assert_int_eq(text_distance(VIEW("acb"), VIEW("abc"), 3), 1);
	ck_assert_int_eq(text_distance(VIEW("abcd"), VIEW("abc"), 3), 1);
	ck_assert_int_eq(text_distance(VIEW("xbc"), VIEW("abc"), 3), 1);
	ck_assert_int_eq(text_distance(VIEW(""), VIEW("abc"), 3), 3);
	ck_assert_int_eq(text_distance(VIEW("zzzzzz"), VIEW("abc"), 3), 4);
	ck_assert_str_eq(value_nearest(VIEW("pol_mode"), setting_rows, setting_count), "pool_mode");
	ck_assert_str_eq(value_nearest(VIEW("max_client_con"), setting_rows, setting_count), "max_client_conn");
	ck_assert_ptr_null(value_nearest(VIEW("quite_something_else"), setting_rows, setting_count));
	char long_name[200];
	memset(long_name, 'a', sizeof(long_name));
	ck_assert_ptr_null(value_nearest(view_of(long_name, sizeof(long_name)), setting_rows, setting_count));
}
END_TEST

int
main(void)
{
	const TTest *const rules[] = {
		every_setting_has_a_name_of_its_own_a_text_and_a_group,
		every_default_is_allowed,
		setting_one_changes_no_other,
		a_refused_value_leaves_what_was_there,
		a_value_with_a_nul_byte_is_refused_without_showing_a_secret,
		a_long_value_is_cut_in_messages,
		values_are_shown_as_pgbouncer_shows_them,
		passwords_are_not_shown,
		show_config_is_sorted_and_complete,
		the_sample_in_etc_is_what_the_program_prints,
		the_sample_with_every_line_in_use_means_the_defaults,
		the_samples_in_etc_load,
		help_names_every_setting,
		numbers_are_read_to_their_last_letter,
		the_nearest_name_is_found,
	};
	return suite_run("config/settings", rules, sizeof(rules) / sizeof(rules[0]));
}
