/*
 * tests/config/test_conf.c - every file good.*.ini and bad.*.ini in tests/conf: a new case is a new file.
 *
 * Comments at the head of a file say what is expected:
 *	; expect: TEXT             bad: one error, as part of its line; as many of these as there are errors
 *	; env: NAME=VALUE          a variable of the environment
 *	; show: KEY = VALUE        good: a row of SHOW CONFIG
 *	; database: NAME = CLUSTER good: where the database of that name goes
 *	; warn: TEXT               good: one warning; as many of these as there are warnings, unless
 *	; warnings: any
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/check.h"
#include "config/show.h"
#include "../suite.h"

enum { HEADS_MAX = 160, LINE_MAX_HERE = 1000 };

struct heads {
	char text[HEADS_MAX][LINE_MAX_HERE];
	int count;
};

static struct heads expects, variables, shows, databases, warns;
static bool is_any_warning;

static void
keep(struct heads *h, const char *text)
{
	ck_assert_int_lt(h->count, HEADS_MAX);
	snprintf(h->text[h->count++], LINE_MAX_HERE, "%s", text);
}

static void
read_heads(const char *file)
{
	static const struct {
		const char *begins;
		struct heads *into;
	} kinds[] = { { "; expect: ", &expects },
		      { "; env: ", &variables },
		      { "; show: ", &shows },
		      { "; database: ", &databases },
		      { "; warn: ", &warns } };
	char line[LINE_MAX_HERE];
	FILE *f = fopen(file, "r");

	ck_assert_ptr_nonnull(f);
	for (size_t i = 0; i < 5; i++)
		kinds[i].into->count = 0;
	is_any_warning = false;
	while (fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\r\n")] = 0;
		char *text = strncmp(line, "\xef\xbb\xbf", 3) == 0 ? line + 3 : line;
		if (strcmp(text, "; warnings: any") == 0)
			is_any_warning = true;
		for (size_t i = 0; i < 5; i++) {
			if (strncmp(text, kinds[i].begins, strlen(kinds[i].begins)) == 0)
				keep(kinds[i].into, text + strlen(kinds[i].begins));
		}
	}
	fclose(f);
}

/* "a = b" in two; the value may be empty. */
static char *
split(char *text)
{
	char *equals = strstr(text, " =");

	ck_assert_msg(equals, "no \" =\" in %s", text);
	*equals = 0;
	return equals[2] ? equals + 3 : equals + 2;
}

static int failures; /* of all files: one run shows them all */

#define fail_file(...)                                                                                                 \
	do {                                                                                                           \
		fprintf(stderr, __VA_ARGS__);                                                                          \
		fprintf(stderr, "\n");                                                                                 \
		failures++;                                                                                            \
	} while (0)

/* Each text is part of a line of its own, and no line is left over. */
static void
check_lines(const char *file, const char *what, const struct heads *texts, const struct config_errors *lines)
{
	bool is_taken[300] = { false };

	for (int i = 0; i < texts->count; i++) {
		int at = 0;
		while (at < lines->count && (is_taken[at] || !strstr(lines->lines[at], texts->text[i])))
			at++;
		if (at == lines->count) {
			fail_file("%s: none of the %s has: %s", file, what, texts->text[i]);
			continue;
		}
		is_taken[at] = true;
	}
	for (int i = 0; i < lines->count; i++) {
		if (!is_taken[i])
			fail_file("%s: not expected among the %s: %s", file, what, lines->lines[i]);
	}
}

static struct config *
load(const char *file, struct config_errors *errors)
{
	char *environment[HEADS_MAX + 1] = { NULL };

	read_heads(file);
	for (int i = 0; i < variables.count; i++)
		environment[i] = variables.text[i];
	return config_load(file, environment, errors);
}

static void
check_good(const char *file)
{
	struct config_errors errors = { 0 };
	struct config *config = load(file, &errors);
	struct config_show row;

	config_print_errors(stderr, &errors);
	if (config == NULL) {
		fail_file("%s was refused", file);
		config_errors_free(&errors);
		return;
	}
	for (int i = 0; i < shows.count; i++) {
		char *value = split(shows.text[i]);
		int at = 0;
		while (config_show_row(config, at, &row) && strcmp(row.key, shows.text[i]) != 0)
			at++;
		if (strcmp(row.value, value) != 0)
			fail_file("%s: %s is \"%s\", not \"%s\"", file, row.key, row.value, value);
	}
	for (int i = 0; i < databases.count; i++) {
		char *cluster = split(databases.text[i]);
		const struct database_config *d = config_database(config, databases.text[i]);
		if (!d || strcmp(d->cluster->name, cluster) != 0)
			fail_file("%s: %s goes to %s", file, databases.text[i], d ? d->cluster->name : "nothing");
	}
	if (!is_any_warning)
		check_lines(file, "warnings", &warns, &config->warnings);
	config_free(config);
}

static void
check_bad(const char *file)
{
	struct config_errors errors = { 0 };
	struct config *config = load(file, &errors);

	if (config)
		fail_file("%s was taken", file);
	config_free(config);
	for (int i = 0; i < errors.count; i++) {
		if (strstr(errors.lines[i], "hunter2")) /* the password of these files */
			fail_file("%s: tells a secret: %s", file, errors.lines[i]);
	}
	if (expects.count == 0)
		fail_file("%s says nothing of what to expect", file);
	check_lines(file, "errors", &expects, &errors);
	config_errors_free(&errors);
}

static int
check_all(const char *begins, void check(const char *file))
{
	DIR *dir = opendir(".");
	int count = 0;

	ck_assert_ptr_nonnull(dir);
	for (struct dirent *entry; (entry = readdir(dir));) {
		const char *end = strrchr(entry->d_name, '.');
		if (strncmp(entry->d_name, begins, strlen(begins)) != 0 || end == NULL || strcmp(end, ".ini") != 0)
			continue;
		check(entry->d_name);
		count++;
	}
	closedir(dir);
	return count;
}

START_TEST(good_files_load_and_mean_what_they_say)
{
	ck_assert_int_eq(chdir(CONF_DIR), 0);
	ck_assert_int_gt(check_all("good.", check_good), 20);
	ck_assert_int_eq(failures, 0);
}
END_TEST

START_TEST(bad_files_are_refused_with_all_their_mistakes)
{
	ck_assert_int_eq(chdir(CONF_DIR), 0);
	ck_assert_int_gt(check_all("bad.", check_bad), 40);
	ck_assert_int_eq(failures, 0);
}
END_TEST

START_TEST(files_beside_the_configuration_are_found_from_anywhere)
{
	struct config_errors errors = { 0 };

	ck_assert_int_eq(chdir("/"), 0);
	struct config *config = config_load(CONF_DIR "/good.include.ini", NULL, &errors);
	config_print_errors(stderr, &errors);
	ck_assert_ptr_nonnull(config);
	ck_assert_str_eq(config->settings.auth_file, CONF_DIR "/inc.more.ini");
	config_free(config);
}
END_TEST

int
main(void)
{
	const TTest *const rules[] = { good_files_load_and_mean_what_they_say,
				       bad_files_are_refused_with_all_their_mistakes,
				       files_beside_the_configuration_are_found_from_anywhere };
	return suite_run("config/conf", rules, sizeof(rules) / sizeof(rules[0]));
}
