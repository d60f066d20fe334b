/*
 * tests/config/test_import.c - every NAME.cfg and NAME.ini in tests/import, together where there are both: a new case is a new
 * pair. NAME.expected is what has to come out, byte by byte, and can be loaded; NAME.error is what an error says.
 *
 * To see what comes out: pgsluice --import tests/import/NAME.cfg tests/import/NAME.ini, from that directory.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../suite.h"
#include "config/import.h"

/* NULL: there is no such file. The name is without the directory, as in the reports. */
static const char *
read_file(const char *name, const char *kind, struct import_file *out)
{
	static struct config_memory *memory;
	char file[300];
	if (memory == NULL)
		memory = config_memory_new();
	snprintf(file, sizeof(file), "%s.%s", name, kind);
	*out = (struct import_file){ 0 };
	FILE *f = fopen(file, "r");
	if (f == NULL)
		return NULL;
	struct buf all = { 0 };
	buf_reserve(&all, 1 << 16);
	all.n = fread(all.p, 1, 1 << 16, f);
	fclose(f);
	*out = (struct import_file){ config_memory_string(memory, view_of_string(file)),
		                     view_of(config_memory_string(memory, buf_view(&all)), all.n) };
	buf_free(&all);
	return (const char *)out->text.p;
}

static void
check_case(const char *name)
{
	struct import_file cfg, ini, expected, error;
	struct buf out = { 0 };
	struct import_report report = { { 0 }, { 0 } };
	struct config_errors errors = { 0 };
	read_file(name, "cfg", &cfg);
	read_file(name, "ini", &ini);
	bool is_good = config_import_texts(&cfg, &ini, &out, &report, &errors);
	if (read_file(name, "error", &error)) {
		bool is_said = false;
		for (int i = 0; i < errors.count; i++)
			is_said |= strncmp(errors.lines[i], (const char *)error.text.p, error.text.n - 1) == 0;
		ck_assert_msg(!is_good && is_said && out.n == 0, "%s: %s", name, errors.count ? errors.lines[0] : "no error");
	} else {
		char *nothing[] = { NULL };
		ck_assert_msg(is_good, "%s: %s", name, errors.count ? errors.lines[0] : "?");
		ck_assert_msg(read_file(name, "expected", &expected) != NULL, "%s.expected is missing", name);
		ck_assert_msg(view_equal(buf_view(&out), expected.text), "%s: this came out:\n%.*s", name, (int)out.n, (char *)out.p);
		struct config *config = config_load_bytes(name, buf_view(&out), nothing, &errors);
		ck_assert_msg(config != NULL && errors.count == 0, "%s: %s", name, errors.count ? errors.lines[0] : "?");
		config_free(config);
	}
	import_report_free(&report);
	config_errors_free(&errors);
	buf_free(&out);
}

START_TEST(every_pair_becomes_what_is_expected)
{
	int count = 0;
	ck_assert_int_eq(chdir(IMPORT_DIR), 0);
	DIR *dir = opendir(".");
	ck_assert_ptr_nonnull(dir);
	for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
		char name[256];
		snprintf(name, sizeof(name), "%.250s", entry->d_name);
		char *dot = strrchr(name, '.');
		if (dot == NULL || (strcmp(dot, ".expected") != 0 && strcmp(dot, ".error") != 0))
			continue;
		*dot = '\0';
		check_case(name);
		count++;
	}
	closedir(dir);
	ck_assert_int_ge(count, 12);
}
END_TEST

START_TEST(the_two_kinds_are_told_apart)
{
	ck_assert(import_is_ini(VIEW("; comment\n[databases]")));
	ck_assert(import_is_ini(VIEW("\xef\xbb\xbf# x\r\n\r\n[pgbouncer]\r\n")));
	ck_assert(import_is_ini(VIEW("%include a.ini")));
	ck_assert(!import_is_ini(VIEW("# x\n\nglobal\n")));
	ck_assert(!import_is_ini(VIEW("")));
	ck_assert(!import_is_ini(VIEW("listen a\n[")));
}
END_TEST

int
main(void)
{
	const TTest *const rules[] = { every_pair_becomes_what_is_expected, the_two_kinds_are_told_apart };
	return suite_run("config/import", rules, sizeof(rules) / sizeof(rules[0]));
}
