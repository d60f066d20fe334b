/* tests/sql/test_facts.c - what statements do, by the files in statements/, and that no text does any harm. */
#include <stdlib.h>
#include <string.h>

#include "describe.h"
#include "../suite.h"

static struct sql_facts *
read_string(const char *text)
{
	return sql_facts_read(view_of_string(text));
}

static void
is_described(const char *file, int line, const char *expected, struct view statement)
{
	struct sql_facts *facts = sql_facts_read(statement);
	ck_assert_msg(strcmp(describe(facts), expected) == 0, "%s:%d: %.*s\nexpected: %s\n    read: %s", file, line,
	              (int)statement.n, (const char *)statement.p, expected, describe(facts));
	sql_facts_unref(facts);
}

START_TEST(statements_do_what_the_files_say)
{
	ck_assert_int_gt(statements_each(STATEMENTS, is_described), 350);
}
END_TEST

START_TEST(names_are_listed_once_with_what_is_known_of_them)
{
	static const struct {
		const char *text, *names;
	} cases[] = {
		{ "SELECT lower(a), lower(b), pg_catalog.lower(a), lower(a, b)", "f:lower/1 f:pg_catalog.lower/1 f:lower/2" },
		{ "SELECT a + b, a + c", "o:+" },
		{ "SELECT a BETWEEN 1 AND 2 OR b NOT BETWEEN 1 AND 2", "o:>= o:<= o:< o:>" },
		{ "SELECT CASE a WHEN 1 THEN 2 END", "o:=" },
		{ "SELECT 1 FROM a JOIN b USING (x)", "o:= r:a r:b" },
		{ "SELECT 1 FROM a NATURAL JOIN b", "o:= r:a r:b" },
		{ "SELECT a IN (1), a LIKE 'x', a ILIKE 'y', a SIMILAR TO 'z'",
		  "o:= o:~~ o:~~* o:~ f:pg_catalog.similar_to_escape/1" },
		{ "SELECT a IS DISTINCT FROM b, NULLIF(a, b)", "o:=" },
		{ "SELECT a = ANY (SELECT 1), a IN (SELECT 1), a < ALL (ARRAY[1])", "o:= o:<" },
		{ "SELECT 'x'::int, 'x'::text, 'y'::text[]", "t:pg_catalog.int4 t:text" },
		{ "SELECT t.a, s.t.b, (t).c, c FROM t", "a:a a:b a:c r:t" },
		{ "SELECT extract(year FROM a)", "f:pg_catalog.extract/2" },
		{ "SELECT 1 FROM a, b.a, c.b.a", "r:a r:b.a" },
		{ "SELECT \"A\"\"b<c\"(1), E'\\x01' || \"\xc3\xa4\"", "f:A\"b<c/1 o:||" },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct sql_facts *facts = read_string(cases[i].text);
		ck_assert_str_eq(describe_names(facts), cases[i].names);
		sql_facts_unref(facts);
	}
}
END_TEST

START_TEST(what_is_of_pg_catalog_is_known_by_schema_or_without_one)
{
	struct sql_facts *facts = read_string("SELECT pg_catalog.now(), now(), x.now(), 1 OPERATOR(x.+) 1, 'a'::x.text");
	static const bool is_builtin[] = { true, true, false, false, false };
	ck_assert_uint_eq(facts->name_count, 5);
	for (uint32_t i = 0; i < 5; i++)
		ck_assert(facts->names[i].is_builtin == is_builtin[i]);
	sql_facts_unref(facts);
}
END_TEST

START_TEST(only_what_certainly_reads_is_said_to_read)
{
	static const struct {
		const char *text;
		bool only_reads;
	} cases[] = {
		{ "SELECT a FROM t WHERE b = lower('X')", true }, { "", true },
		{ "BEGIN READ ONLY; SELECT 1", true },            { "COMMIT", false },
		{ "SELECT mine()", false },                       { "SELECT 1 FOR UPDATE", false },
		{ "SET a.b = 1", false },                         { "FETCH c", false },
		{ "EXECUTE p", false },                           { "garbage", false },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct sql_facts *facts = read_string(cases[i].text);
		ck_assert_msg(sql_only_reads(facts) == cases[i].only_reads, "%s", cases[i].text);
		sql_facts_unref(facts);
	}
}
END_TEST

START_TEST(each_statement_is_found_again_in_its_text)
{
	const char *text = " SELECT 1 ;SET a.b = 'x;y'; -- a comment\n COMMIT";
	static const char *const parts[] = { "SELECT 1", "SET a.b = 'x;y'", "COMMIT" };
	struct sql_facts *facts = read_string(text);
	ck_assert_uint_eq(facts->statement_count, 3);
	for (uint32_t i = 0; i < 3; i++) {
		const struct sql_statement *s = &facts->statements[i];
		ck_assert_uint_le(s->at + s->bytes, strlen(text));
		char *part = strndup(text + s->at, s->bytes);
		ck_assert_msg(strstr(part, parts[i]) != NULL, "%s", part);
		free(part);
	}
	ck_assert_uint_eq(facts->touches[0].statement, 1);
	sql_facts_unref(facts);
}
END_TEST

START_TEST(a_backslash_makes_the_facts_depend_on_how_strings_are_read)
{
	struct sql_facts *with = read_string("SELECT 'a\\'"), *without = read_string("SELECT 'a'");
	ck_assert(with->needs_standard_strings && !without->needs_standard_strings);
	sql_facts_unref(with);
	sql_facts_unref(without);
}
END_TEST

START_TEST(encodings_with_ascii_inside_of_characters_are_told)
{
	ck_assert(sql_encoding_is_readable("UTF8"));
	ck_assert(sql_encoding_is_readable("LATIN1"));
	ck_assert(sql_encoding_is_readable("EUC_JP"));
	ck_assert(!sql_encoding_is_readable("SJIS"));
	ck_assert(!sql_encoding_is_readable("Big5"));
	ck_assert(!sql_encoding_is_readable("shift_jis_2004"));
}
END_TEST

/* ---- bad input ---- */

static enum sql_result
result_of(struct view text)
{
	struct sql_facts *facts = sql_facts_read(text);
	enum sql_result result = facts->result;
	ck_assert(result == SQL_PARSED || (facts->effects & SQL_WRITES));
	sql_facts_unref(facts);
	return result;
}

START_TEST(a_nul_byte_is_in_no_statement)
{
	ck_assert_int_eq(result_of(VIEW("SELECT 1\0; DELETE FROM t")), SQL_NOT_PARSED);
	ck_assert_int_eq(result_of(VIEW("\0")), SQL_NOT_PARSED);
	ck_assert_int_eq(result_of(view_of(NULL, 0)), SQL_PARSED);
}
END_TEST

START_TEST(bytes_that_are_no_characters_are_read_or_not_but_harm_nothing)
{
	ck_assert_int_eq(result_of(VIEW("SELECT '\xff\xfe'")), SQL_PARSED);
	ck_assert_int_eq(result_of(VIEW("SELECT \"\xc3\"")), SQL_PARSED);
	ck_assert_int_eq(result_of(VIEW("SELECT \xe4")), SQL_PARSED);
	ck_assert_int_eq(result_of(VIEW("SELECT \xf0")), SQL_PARSED);
	result_of(VIEW("SELECT E'\xf0"));
	result_of(VIEW("SELECT U&'\\d800'"));
	/* A name that is cut at 63 bytes, in the middle of a character. */
	char name[200] = "SELECT \"";
	memset(name + 8, 'x', 62);
	strcpy(name + 70, "\xf0\x9f\x98\x80\xf0\"");
	ck_assert_int_eq(result_of(view_of_string(name)), SQL_PARSED);
}
END_TEST

/* before, then n times part, then after. */
static enum sql_result
result_of_repeated(const char *before, const char *part, size_t n, const char *after)
{
	struct buf text = { 0 };
	buf_add(&text, view_of_string(before));
	for (size_t i = 0; i < n; i++)
		buf_add(&text, view_of_string(part));
	buf_add(&text, view_of_string(after));
	enum sql_result result = result_of(buf_view(&text));
	buf_free(&text);
	return result;
}

START_TEST(too_long_a_text_is_not_parsed)
{
	ck_assert_int_eq(result_of_repeated("SELECT ", " ", SQL_TEXT_MAX, "1"), SQL_TOO_LONG);
	ck_assert_int_eq(result_of_repeated("SELECT '", "x", 10 << 20, "'"), SQL_TOO_LONG);
	ck_assert_int_eq(result_of_repeated("SELECT ", " ", SQL_TEXT_MAX - 8, "1"), SQL_PARSED);
}
END_TEST

START_TEST(deep_nesting_ends_in_an_answer)
{
	static const char *const parts[] = { "(", "1+", "- ", "NOT ", "ARRAY[", "CASE WHEN ", "(SELECT ", "1::a::", "f(",
	                                     "+", "[", "{", "/*", "$", "a.", "1 UNION SELECT ", "a JOIN b ON ", "EXPLAIN ",
	                                     "EXISTS(VALUES(", "row(", "x COLLATE ", "x IS NULL ", "WITH a AS (" };
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		size_t most = (SQL_TEXT_MAX - 20) / strlen(parts[i]);
		result_of_repeated("SELECT ", parts[i], most, "1");
		result_of_repeated("SELECT 1", parts[i], most, "");
		result_of_repeated("", parts[i], most, "");
		result_of_repeated("SELECT ", parts[i], 100000, "1");
	}
	ck_assert_int_eq(result_of_repeated("SELECT ", "1+", 32000, "1"), SQL_TOO_MUCH);
	ck_assert_int_eq(result_of_repeated("SELECT 1", "::int", 12000, ""), SQL_TOO_MUCH);
	ck_assert_int_eq(result_of_repeated("SELECT ", "(", 30000, "1"), SQL_NOT_PARSED);
	ck_assert_int_eq(result_of_repeated("SELECT ", "1+", 500, "1"), SQL_PARSED);
	ck_assert_int_eq(result_of_repeated("SELECT a WHERE b", " AND b", 9000, ""), SQL_PARSED);
}
END_TEST

START_TEST(what_the_scanner_takes_seconds_for_is_not_given_to_it)
{
	static const char *const parts[] = { "+", "-+", "/**/", "/*", "*", "<>" };
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		ck_assert_int_eq(result_of_repeated("SELECT ", parts[i], 60000 / strlen(parts[i]), "1"), SQL_TOO_MUCH);
	ck_assert_int_eq(result_of_repeated("/", "*", 200, "/ SELECT 1 /* ----------------- */"), SQL_PARSED);
	ck_assert_int_eq(result_of_repeated("SELECT 1", "\n--------------------------------", 1500, ""), SQL_PARSED);
}
END_TEST

START_TEST(too_many_of_anything_is_too_much)
{
	struct buf text = { 0 };

	ck_assert_int_eq(result_of_repeated("", "SELECT 1;", 1000, ""), SQL_PARSED);
	ck_assert_int_eq(result_of_repeated("", "SELECT 1;", 1001, ""), SQL_TOO_MUCH);
	ck_assert_int_eq(result_of_repeated("", "SET a.b=1;", 1000, ""), SQL_PARSED);
	ck_assert_int_eq(result_of_repeated("SELECT 1", ",setseed(1)", 1001, ""), SQL_TOO_MUCH);
	buf_addf(&text, "SELECT 1");
	for (int i = 0; i < 501; i++)
		buf_addf(&text, ",f%d()", i);
	ck_assert_int_eq(result_of(buf_view(&text)), SQL_TOO_MUCH);
	buf_clear(&text);
	buf_addf(&text, "WITH a AS (SELECT 1)");
	for (int i = 0; i < 500; i++)
		buf_addf(&text, ",a%d AS (SELECT 1)", i);
	buf_addf(&text, " SELECT 1");
	ck_assert_int_eq(result_of(buf_view(&text)), SQL_TOO_MUCH);
	buf_free(&text);
}
END_TEST

static void
is_harmless(const char *file, int line, const char *expected, struct view statement)
{
	uint8_t *exact = malloc(statement.n);
	memcpy(exact, statement.p, statement.n);
	for (size_t n = 0; n < statement.n; n++)
		result_of(view_of(exact, n));
	for (size_t bit = 0; bit < statement.n * 8; bit += 5) {
		exact[bit / 8] ^= (uint8_t)(1 << bit % 8);
		result_of(view_of(exact, statement.n));
		exact[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	free(exact);
}

START_TEST(any_part_and_any_flipped_bit_of_a_statement_is_answered)
{
	statements_each(STATEMENTS, is_harmless);
}
END_TEST

int
main(void)
{
	const TTest *const rules[] = {
		statements_do_what_the_files_say,
		names_are_listed_once_with_what_is_known_of_them,
		what_is_of_pg_catalog_is_known_by_schema_or_without_one,
		only_what_certainly_reads_is_said_to_read,
		each_statement_is_found_again_in_its_text,
		a_backslash_makes_the_facts_depend_on_how_strings_are_read,
		encodings_with_ascii_inside_of_characters_are_told,
		a_nul_byte_is_in_no_statement,
		bytes_that_are_no_characters_are_read_or_not_but_harm_nothing,
		too_long_a_text_is_not_parsed,
		deep_nesting_ends_in_an_answer,
		what_the_scanner_takes_seconds_for_is_not_given_to_it,
		too_many_of_anything_is_too_much,
		any_part_and_any_flipped_bit_of_a_statement_is_answered,
	};
	return suite_run("sql/facts", rules, sizeof(rules) / sizeof(rules[0]));
}
