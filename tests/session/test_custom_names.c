/* tests/session/test_custom_names.c - the question about names of settings: by itself, and nothing but a question. */
#include <string.h>

#include "session/custom_names.h"
#include "sql/facts.h"
#include "../suite.h"

START_TEST(the_question_only_reads_and_calls_nothing_of_others)
{
	struct buf sql = { 0 };
	custom_names_query(0, &sql);
	struct sql_facts *facts = sql_facts_read(view_part(buf_view(&sql), 0, sql.n - 1));
	ck_assert_int_eq(facts->result, SQL_PARSED);
	ck_assert_uint_eq(facts->statement_count, 2);
	ck_assert_int_eq(facts->statements[0].kind, SQL_SET);
	ck_assert(facts->touch_count == 1 && facts->touches[0].is_local);
	ck_assert_int_eq(facts->statements[1].kind, SQL_SELECT);
	ck_assert(!(facts->effects & SQL_WRITES));
	for (uint32_t i = 0; i < facts->name_count; i++) {
		const struct sql_name *n = &facts->names[i];
		bool is_called = n->kind == SQL_NAME_FUNCTION || n->kind == SQL_NAME_OPERATOR;
		ck_assert_msg(!is_called || strcmp(n->schema, "pg_catalog") == 0, "%s.%s", n->schema, n->name);
	}
	sql_facts_unref(facts);
	buf_free(&sql);
}
END_TEST

START_TEST(it_means_the_same_however_strings_are_read)
{
	struct buf sql = { 0 };
	custom_names_query(0, &sql);
	ck_assert_ptr_null(strchr((const char *)sql.p, '\\'));
	ck_assert_uint_eq(strlen((const char *)sql.p), sql.n - 1);
	buf_free(&sql);
}
END_TEST

START_TEST(it_goes_on_behind_the_last_function_and_never_with_those_of_postgresql)
{
	static const struct {
		uint32_t after;
		const char *expected;
	} cases[] = { { 0, "'16383'::" }, { 1, "'16383'::" }, { 16384, "'16384'::" }, { 4294967295, "'4294967295'::" } };
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct buf sql = { 0 };
		custom_names_query(cases[i].after, &sql);
		ck_assert_msg(strstr((const char *)sql.p, cases[i].expected) != NULL, "%s", (const char *)sql.p);
		buf_free(&sql);
	}
}
END_TEST

int
main(void)
{
	const TTest *const rules[] = {
		the_question_only_reads_and_calls_nothing_of_others,
		it_means_the_same_however_strings_are_read,
		it_goes_on_behind_the_last_function_and_never_with_those_of_postgresql,
	};
	return suite_run("session/custom_names", rules, sizeof(rules) / sizeof(rules[0]));
}
