/* tests/base/test_log.c - base/log: one line per event, JSON that is JSON. */
#include "base/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "../suite.h"

static char path[80];

static void
begin(enum log_format format)
{
	snprintf(path, sizeof(path), "/tmp/pgsluice-test-%d.log", (int)getpid());
	unlink(path);
	ck_assert(log_open(&(struct log_target){ .format = format, .level = LOG_LEVEL_INFO, .file = path }));
}

static char *
written(void)
{
	static char text[20000];
	FILE *f = fopen(path, "r");
	size_t n = fread(text, 1, sizeof(text) - 1, f);
	text[n] = '\0';
	fclose(f);
	unlink(path);
	return text;
}

START_TEST(a_line_says_when_how_bad_who_and_what)
{
	begin(LOG_FORMAT_TEXT);
	errno = EBUSY;
	log_warning("C17", "closed reason=\"%s\"", "eof");
	ck_assert_int_eq(errno, EBUSY);
	log_debug("C17", "not wanted");
	char *text = written();
	char expected[80];
	snprintf(expected, sizeof(expected), " UTC [%d] warning C17 closed reason=\"eof\"\n", (int)getpid());
	ck_assert_str_eq(text + strlen("2026-11-20 05:30:12.123"), expected);
}
END_TEST

START_TEST(what_others_said_does_not_begin_a_line_of_its_own)
{
	begin(LOG_FORMAT_TEXT);
	log_info("S1", "login failed: %s", "no\n2026-11-20 05:30:12.123 UTC [1] fatal main forged\r\x1b[2J");
	char *text = written();
	ck_assert_ptr_eq(strchr(text, '\n'), text + strlen(text) - 1);
	ck_assert_ptr_null(strchr(text, '\x1b'));
}
END_TEST

static void
check_json(const char *message, const char *expected)
{
	begin(LOG_FORMAT_JSON);
	log_error("S \"1\"", "%s", message);
	char *text = written();
	ck_assert_ptr_eq(strchr(text, '\n'), text + strlen(text) - 1);
	json_error_t error;
	json_t *json = json_loads(text, JSON_REJECT_DUPLICATES, &error);
	ck_assert_msg(json != NULL, "%s: %s", error.text, text);
	ck_assert_str_eq(json_string_value(json_object_get(json, "level")), "error");
	ck_assert_str_eq(json_string_value(json_object_get(json, "who")), "S \"1\"");
	const char *is = json_string_value(json_object_get(json, "text"));
	if (expected)
		ck_assert_str_eq(is, expected);
	else
		ck_assert_int_gt(strlen(is), 500);
	json_decref(json);
}

START_TEST(json_is_json_whatever_is_said)
{
	check_json("plain", "plain");
	check_json("a \"quote\", a \\ and\na line\x01", "a \"quote\", a \\ and\na line\x01");
	check_json("Gr\xc3\xbc\xc3\x9f" "e \xe2\x82\xac \xf0\x9f\x90\x98", "Gr\xc3\xbc\xc3\x9f" "e \xe2\x82\xac \xf0\x9f\x90\x98");
	check_json("Gr\xfc\xdf" "e", "Gr??e");                 /* Latin-1 */
	check_json("\xc0\xaf \xed\xa0\x80 \xf4\x90\x80\x80 \xe0\x80\x80 \xff \xc3", "?? ??? ???? ??? ? ?");
}
END_TEST

START_TEST(json_is_json_where_it_is_cut)
{
	static const char *const units[] = { "x", "\"", "\\", "\x01", "\xc3\xbc", "\xf0\x9f\x90\x98", "\xff" };
	for (size_t u = 0; u < sizeof(units) / sizeof(units[0]); u++)
		for (int shift = 0; shift < 7; shift++) {
			char message[6000] = "";
			for (int i = 0; i < shift; i++)
				strcat(message, "x");
			while (strlen(message) + 8 < sizeof(message))
				strcat(message, units[u]);
			check_json(message, NULL);
		}
}
END_TEST

START_TEST(a_file_that_cannot_be_opened_changes_nothing)
{
	begin(LOG_FORMAT_TEXT);
	ck_assert(!log_open(&(struct log_target){ .file = "/nonexistent/log", .level = LOG_LEVEL_FATAL }));
	log_info("x", "still here");
	ck_assert_ptr_nonnull(strstr(written(), "still here"));
	/* opened again after it was moved away */
	begin(LOG_FORMAT_TEXT);
	log_info("x", "anew");
	ck_assert_ptr_nonnull(strstr(written(), "anew"));
	ck_assert(log_open(&(struct log_target){ .level = LOG_LEVEL_INFO, .syslog_ident = "t", .syslog_facility = "local3" }));
	log_info("x", "to syslog, if there is one");
	ck_assert(log_open(&(struct log_target){ .level = LOG_LEVEL_FATAL, .to_stderr = true }));
}
END_TEST

int
main(void)
{
	const TTest *const rules[] = {
		a_line_says_when_how_bad_who_and_what,
		what_others_said_does_not_begin_a_line_of_its_own,
		json_is_json_whatever_is_said,
		json_is_json_where_it_is_cut,
		a_file_that_cannot_be_opened_changes_nothing,
	};
	return suite_run("base/log", rules, sizeof(rules) / sizeof(rules[0]));
}
