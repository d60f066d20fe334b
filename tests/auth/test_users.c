/* tests/auth/test_users.c - auth_file and auth_users: what is taken, what is refused and how that is said. */
#include "auth/users.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../suite.h"
#include "base/buf.h"
#include "postgres.h"

static char why_text[4096];
static struct users *users;

static enum users_result
parse(struct view text, bool is_inline)
{
	struct text why = TEXT_IN(why_text);
	users_free(users);
	enum users_result r = users_parse(text, "users.txt", is_inline, &users, &why);
	ck_assert((r == USERS_OK) == (users != NULL));
	ck_assert((r == USERS_OK) == (why_text[0] == 0));
	return r;
}

static const char *
password_of(const char *name)
{
	const struct user_secret *u = users_find(users, name);
	return u ? u->secret.text ? u->secret.text : secret_kind_name(u->secret.kind) : NULL;
}

START_TEST(a_file_is_lines_of_name_and_secret)
{
	ck_assert_int_eq(parse(VIEW("; a comment\n"
	                            "\n"
	                            "\"app\" \"secret\"\n"
	                            "  \t\"md5u\"\t\"" MD5_USER_SECRET "\" whatever else; is \"ignored\"\r\n"
	                            "\"scram\" \"" APP_SCRAM "\"\r\n"
	                            "   ; another \"comment\"\n"
	                            "\"none\" \"\"\n"
	                            "\"qu\"\"ote\" \"a\"\"b;\"\"\"\n"
	                            "\"joined\"\"\" \"x\" \"y\"\n"
	                            "\"tight\"\"\"\"t\" \"x\"\n"
	                            "\"last\" \"without a new line\""), false), USERS_OK);
	ck_assert_uint_eq(users_count(users), 8);
	ck_assert_str_eq(password_of("app"), "secret");
	ck_assert_str_eq(password_of("md5u"), MD5_USER_SECRET);
	ck_assert_str_eq(password_of("scram"), "scram");
	ck_assert_str_eq(password_of("none"), "none");
	ck_assert_str_eq(password_of("qu\"ote"), "a\"b;\"");
	ck_assert_str_eq(password_of("joined\""), "x");
	ck_assert_str_eq(password_of("tight\"\"t"), "x");
	ck_assert_str_eq(password_of("last"), "without a new line");
	ck_assert_ptr_null(users_find(users, "Last"));
	ck_assert_ptr_null(users_find(users, ""));
	for (size_t i = 1; i < users_count(users); i++)
		ck_assert_int_lt(strcmp(users_at(users, i - 1)->name, users_at(users, i)->name), 0);
	ck_assert_ptr_null(users_at(users, users_count(users)));
}
END_TEST

START_TEST(inline_text_may_part_its_entries_by_semicolons)
{
	ck_assert_int_eq(parse(VIEW(" \"a\" \"1;\";\"b\"\"2\" ; ;\n\"c\" \"3\"\n;;\"d\" \"4\";"), true), USERS_BAD);
	ck_assert_int_eq(parse(VIEW(" \"a\" \"1;\";\"b\" \"2\" ; ;\n\"c\" \"3\"\n;;\"d\"\"\" \"4\";"), true), USERS_OK);
	ck_assert_uint_eq(users_count(users), 4);
	ck_assert_str_eq(password_of("a"), "1;");
	ck_assert_str_eq(password_of("b"), "2");
	ck_assert_str_eq(password_of("c"), "3");
	ck_assert_str_eq(password_of("d\""), "4");
}
END_TEST

START_TEST(nothing_at_all_is_nobody)
{
	static const char *const nothing[] = { "", "\n\n", ";", " ", "; x", "\r\n;\n" };
	for (size_t i = 0; i < sizeof(nothing) / sizeof(nothing[0]); i++) {
		ck_assert_int_eq(parse(view_of_string(nothing[i]), false), USERS_OK);
		ck_assert_uint_eq(users_count(users), 0);
		ck_assert_ptr_null(users_find(users, "app"));
	}
	ck_assert_ptr_null(users_find(NULL, "app"));
	ck_assert_uint_eq(users_count(NULL), 0);
}
END_TEST

START_TEST(of_several_entries_for_a_name_the_last_counts)
{
	ck_assert_int_eq(parse(VIEW("\"b\" \"1\"\n\"a\" \"2\"\n\"b\" \"3\"\n\"a\" \"4\"\n\"b\" \"5\"\n"), false), USERS_OK);
	ck_assert_uint_eq(users_count(users), 2);
	ck_assert_str_eq(password_of("a"), "4");
	ck_assert_str_eq(password_of("b"), "5");
}
END_TEST

START_TEST(each_mistake_is_named_with_its_line)
{
	static const struct { const char *text, *said; } cases[] = {
		{ "app secret\n", "users.txt:1: expected \"name\" \"secret\", each in double quotes" },
		{ "\n\n\"app\" secret\n", "users.txt:3: expected \"name\" \"secret\", each in double quotes" },
		{ "\"app\"\n", "users.txt:1: expected \"name\" \"secret\", each in double quotes" },
		{ "\"app", "users.txt:1: a double quote is opened and not closed in this line" },
		{ "\"app\n\"", "users.txt:1: a double quote is opened and not closed in this line\n"
		               "users.txt:2: a double quote is opened and not closed in this line" },
		{ "\"app\" \"se\"\"cret\n", "users.txt:1: a double quote is opened and not closed in this line" },
		{ "\"\" \"x\"", "users.txt:1: the user name is empty" },
		{ "\"app\" \"SCRAM-SHA-256$4096:x\"",
		  "users.txt:1: the secret begins like a SCRAM secret but is none; expected "
		  "SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>" },
		{ "\"ok\" \"x\"\nbad\n\"ok2\" \"x\"\nworse",
		  "users.txt:2: expected \"name\" \"secret\", each in double quotes\n"
		  "users.txt:4: expected \"name\" \"secret\", each in double quotes" },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		ck_assert_int_eq(parse(view_of_string(cases[i].text), false), USERS_BAD);
		ck_assert_str_eq(why_text, cases[i].said);
	}
	ck_assert_int_eq(parse(VIEW("\"a\" \"b\" c"), true), USERS_BAD);
	ck_assert_str_eq(why_text, "users.txt:1: expected a semicolon or a new line behind the secret");
	ck_assert_int_eq(parse(VIEW("\"a\" \"b\0c\""), false), USERS_BAD);
	ck_assert_str_eq(why_text, "users.txt:1: a name or secret contains a zero byte");
}
END_TEST

START_TEST(a_file_that_is_all_wrong_does_not_fill_the_log)
{
	char text[3000];
	for (size_t i = 0; i + 2 <= sizeof(text); i += 2)
		memcpy(text + i, "x\n", 2);
	ck_assert_int_eq(parse(view_of(text, sizeof(text)), false), USERS_BAD);
	size_t lines = 1;
	for (const char *p = why_text; *p; p++)
		lines += *p == '\n';
	ck_assert_uint_eq(lines, 20);
	ck_assert_ptr_nonnull(strstr(why_text, "users.txt:20: and more mistakes, not shown"));
}
END_TEST

static void
quoted(struct buf *b, size_t n)
{
	buf_add(b, VIEW("\""));
	for (size_t i = 0; i < n; i++)
		buf_add(b, VIEW("x"));
	buf_add(b, VIEW("\" "));
}

START_TEST(names_and_secrets_have_a_longest_length)
{
	static const struct { size_t name, secret; const char *said; } cases[] = {
		{ USERS_NAME_MAX, SECRET_TEXT_MAX, "" },
		{ USERS_NAME_MAX + 1, 1, "users.txt:1: the user name is longer than 127 bytes" },
		{ 1, SECRET_TEXT_MAX + 1, "users.txt:1: the secret is longer than 65535 bytes" },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct buf b = { 0 };
		quoted(&b, cases[i].name);
		quoted(&b, cases[i].secret);
		parse(buf_view(&b), false);
		ck_assert_str_eq(why_text, cases[i].said);
		buf_free(&b);
	}
}
END_TEST

START_TEST(secrets_are_not_repeated_in_messages)
{
	static const char *const bad[] = {
		"hunter2", "\"app\" hunter2", "\"app\" \"hunter2", "\"app\" \"SCRAM-SHA-256$hunter2\"", "\"\" \"hunter2\"",
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		ck_assert_int_eq(parse(view_of_string(bad[i]), false), USERS_BAD);
		ck_assert_ptr_null(strstr(why_text, "hunter2"));
	}
}
END_TEST

START_TEST(no_truncation_and_no_flipped_bit_does_harm)
{
	static const char good[] = ";c\n\"a\" \"b\"\n\"c\"\"d\" \"" APP_SCRAM "\" x\n\"e\" \"" MD5_USER_SECRET "\"\n";
	for (size_t n = 0; n < sizeof(good); n++) {
		uint8_t *copy = malloc(n ? n : 1);
		memcpy(copy, good, n);
		parse(view_of(copy, n), false);
		parse(view_of(copy, n), true);
		for (size_t bit = 0; n == sizeof(good) - 1 && bit < 8 * n; bit++) {
			copy[bit / 8] ^= (uint8_t)(1 << bit % 8);
			parse(view_of(copy, n), false);
			parse(view_of(copy, n), true);
			copy[bit / 8] ^= (uint8_t)(1 << bit % 8);
		}
		free(copy);
	}
}
END_TEST

START_TEST(thousands_of_users_are_found)
{
	struct buf b = { 0 };
	char name[20];
	for (int i = 0; i < 5000; i++)
		buf_addf(&b, "\"user%d\" \"secret%d\"\n", i * 7919 % 5000, i * 7919 % 5000);
	ck_assert_int_eq(parse(buf_view(&b), false), USERS_OK);
	ck_assert_uint_eq(users_count(users), 5000);
	for (int i = 0; i < 5000; i++) {
		snprintf(name, sizeof(name), "user%d", i);
		ck_assert_int_eq(atoi(password_of(name) + 6), i);
	}
	buf_free(&b);
}
END_TEST

/* --- files -------------------------------------------------------------------------------------------------- */

static char directory[] = "/tmp/test_users.XXXXXX";
static char path[64];

static void
write_file(const char *text)
{
	FILE *f = fopen(path, "w");
	ck_assert_ptr_nonnull(f);
	fputs(text, f);
	fclose(f);
}

static void
make_directory(void)
{
	ck_assert_ptr_nonnull(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/users.txt", directory);
}

static void
remove_directory(void)
{
	unlink(path);
	rmdir(directory);
}

static enum users_result
load(const char *file, const char *text)
{
	struct text why = TEXT_IN(why_text);
	users_free(users);
	return users_load(&(struct users_source){ .auth_file = file, .auth_users = text }, &users, &why);
}

START_TEST(inline_users_count_after_those_of_the_file)
{
	make_directory();
	write_file("\"a\" \"1\"\n\"b\" \"2\"\n");
	ck_assert_int_eq(load(path, "\"b\" \"3\";\"c\" \"4\""), USERS_OK);
	ck_assert_uint_eq(users_count(users), 3);
	ck_assert_str_eq(password_of("b"), "3");
	ck_assert_int_eq(load(NULL, "\"b\" \"3\""), USERS_OK);
	ck_assert_uint_eq(users_count(users), 1);
	ck_assert_int_eq(load("", ""), USERS_OK);
	ck_assert_uint_eq(users_count(users), 0);
	remove_directory();
}
END_TEST

START_TEST(mistakes_in_both_are_told_together)
{
	char said[200];
	make_directory();
	write_file("\"a\" \"1\"\nx\n");
	ck_assert_int_eq(load(path, "\"b\""), USERS_BAD);
	snprintf(said, sizeof(said), "%s:2: expected \"name\" \"secret\", each in double quotes\n"
	         "auth_users:1: expected \"name\" \"secret\", each in double quotes", path);
	ck_assert_str_eq(why_text, said);
	ck_assert_ptr_null(users);
	remove_directory();
}
END_TEST

START_TEST(a_file_that_cannot_be_read_is_named_with_the_reason)
{
	make_directory();
	ck_assert_int_eq(load("/nonexistent/users.txt", ""), USERS_NO_FILE);
	ck_assert_str_eq(why_text, "auth_file: /nonexistent/users.txt: can't read it: No such file or directory");
	ck_assert_int_eq(load(directory, ""), USERS_NO_FILE);
	ck_assert_ptr_nonnull(strstr(why_text, "it is not a regular file"));
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	ck_assert_int_eq(load(path, ""), USERS_NO_FILE); /* and does not wait for a writer */
	unlink(path);
	write_file("");
	ck_assert_int_eq(truncate(path, (off_t)USERS_FILE_MAX + 1), 0);
	ck_assert_int_eq(load(path, ""), USERS_NO_FILE);
	ck_assert_ptr_nonnull(strstr(why_text, "it is too large"));
	remove_directory();
}
END_TEST

START_TEST(a_changed_file_has_another_stamp)
{
	struct users_stamp before, after;
	char other[80];
	make_directory();
	users_file_stamp(path, &before);
	ck_assert(!before.is_there);
	write_file("\"a\" \"1\"\n");
	users_file_stamp(path, &after);
	ck_assert(after.is_there && !users_stamp_equal(&before, &after));
	before = after;
	users_file_stamp(path, &after);
	ck_assert(users_stamp_equal(&before, &after));
	snprintf(other, sizeof(other), "%s.new", path); /* same size, same second, renamed over it */
	FILE *f = fopen(other, "w");
	fputs("\"a\" \"2\"\n", f);
	fclose(f);
	ck_assert_int_eq(rename(other, path), 0);
	users_file_stamp(path, &after);
	ck_assert(!users_stamp_equal(&before, &after));
	users_file_stamp(NULL, &after);
	ck_assert(!after.is_there);
	remove_directory();
}
END_TEST

START_TEST(who_does_not_exist_is_shaped_like_those_who_do)
{
	struct secret mock;
	int scram = 0;
	ck_assert_int_eq(parse(VIEW("\"a\" \"x\"\n\"b\" \"" APP_SCRAM "\"\n"), false), USERS_OK);
	for (int i = 0; i < 200; i++) {
		char name[20];
		snprintf(name, sizeof(name), "nobody%d", i);
		users_mock(users, name, &mock);
		ck_assert(mock.is_mock);
		scram += mock.kind == SECRET_SCRAM;
		secret_free(&mock);
	}
	ck_assert_int_gt(scram, 50);
	ck_assert_int_lt(scram, 150);
	users_mock(NULL, "nobody", &mock);
	ck_assert(mock.is_mock);
	secret_free(&mock);
}
END_TEST

int
main(void)
{
	const TTest *const rules[] = {
		a_file_is_lines_of_name_and_secret,
		inline_text_may_part_its_entries_by_semicolons,
		nothing_at_all_is_nobody,
		of_several_entries_for_a_name_the_last_counts,
		each_mistake_is_named_with_its_line,
		a_file_that_is_all_wrong_does_not_fill_the_log,
		names_and_secrets_have_a_longest_length,
		secrets_are_not_repeated_in_messages,
		no_truncation_and_no_flipped_bit_does_harm,
		thousands_of_users_are_found,
		inline_users_count_after_those_of_the_file,
		mistakes_in_both_are_told_together,
		a_file_that_cannot_be_read_is_named_with_the_reason,
		a_changed_file_has_another_stamp,
		who_does_not_exist_is_shaped_like_those_who_do,
	};
	return suite_run("auth/users", rules, sizeof(rules) / sizeof(rules[0]));
}
