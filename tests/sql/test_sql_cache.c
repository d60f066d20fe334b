/* tests/sql/test_sql_cache.c - that the cache gives the facts that reading gives, for less, within its limits. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alike.h"
#include "describe.h"
#include "sql/cache.h"
#include "../suite.h"

static struct sql_cache *cache;

static const struct sql_facts *
ask(const char *text)
{
	return sql_facts_of(cache, view_of_string(text));
}

static void
start(uint32_t entries)
{
	struct sql_cache_limits limits = SQL_CACHE_LIMITS;
	limits.entries = entries;
	cache = sql_cache_new(limits);
}

static void
stop(void)
{
	sql_cache_free(cache);
}

static const char *
alike_of(const char *text)
{
	static struct buf out;
	static char shown[4096];
	if (!sql_alike(view_of_string(text), &out))
		return "strange";
	size_t n = 0;
	for (size_t i = 0; i < out.n; i++)
		shown[n++] = out.p[i] ? (char)out.p[i] : '?';
	shown[n] = 0;
	return shown;
}

START_TEST(constants_are_taken_out_and_nothing_else)
{
	static const struct {
		const char *text, *alike;
	} cases[] = {
		{ "SELECT 1", "SELECT ?i" },
		{ "SELECT a1, 'it''s', 1.5, .5, 1e3, 1., 123456789, 1234567890", "SELECT a1, ?s, ?f, ?f, ?f, ?f, ?i, ?f" },
		{ "SELECT \"a\"\"1\", x$1, $1, $22", "SELECT \"a\"\"1\", x$1, $1, $22" },
		{ "SELECT a-1,a--1\n+1", "SELECT a-?i,a \n+?i" },
		{ "SELECT /* 1 /* '2' */ 3 */ 4/**/5", "SELECT   ?i ?i" },
		{ "SELECT 'a'\n'b'", "SELECT ?s\n?s" },
		{ "x IN (1, 2,3) AND y in('a')", "x IN (?i) AND y in(?s)" },
		{ "x IN ($1, $2, 3)", "x IN ($1)" },
		{ "x IN (1, a, 2)", "x IN (?ia, ?i)" },
		{ "s.in(1, 2)", "s.in(?i, ?i)" },
		{ "s . in (1, 2)", "s . in (?i, ?i)" },
		{ "f(1, 2)", "f(?i, ?i)" },
		{ "f(t.values, 1, 2)", "f(t.values, ?i, ?i)" },
		{ "VALUES (1, 'a'), (2, NULL), ($1, default) RETURNING 5", "VALUES (?iRETURNING ?i" },
		{ "f((VALUES (1), (2)), 3)", "f((VALUES (?i), ?i)" },
		{ "VALUES (1, f(2)), (3, f(4))", "VALUES (?if(?i)), (?i, f(?i))" },
		{ "VALUES (NULL, 1), (2, 3)", "VALUES (NULL" },
		{ "SELECT \xc3\xa4""1, '\xc3\xa4'", "SELECT \xc3\xa4""1, ?s" },
		/* what is not certain */
		{ "SELECT 'a\\'", "strange" },  { "SELECT E'a'", "strange" },   { "SELECT b'1'", "strange" },
		{ "SELECT U&'a'", "strange" },  { "SELECT U&\"a\"", "strange" }, { "SELECT $$a$$", "strange" },
		{ "SELECT $a$b$a$", "strange" }, { "SELECT 'a", "strange" },     { "SELECT \"a", "strange" },
		{ "SELECT /* a", "strange" },   { "SELECT 1a", "strange" },     { "SELECT 0x1f", "strange" },
		{ "SELECT 1_000", "strange" },  { "SELECT 1..2", "strange" },   { "SELECT 1.2.3", "strange" },
		{ "SELECT 1e", "strange" },     { "SELECT $1a", "strange" },    { "SELECT t.5", "strange" },
		{ "SELECT 1$2", "strange" },    { "", "strange" },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		ck_assert_str_eq(alike_of(cases[i].text), cases[i].alike);
}
END_TEST

START_TEST(a_text_is_parsed_once)
{
	start(10);
	const struct sql_facts *first = ask("SELECT a FROM t WHERE id = $1");
	ck_assert_ptr_eq(ask("SELECT a FROM t WHERE id = $1"), first);
	struct sql_cache_counts counts = sql_cache_counts(cache);
	ck_assert_uint_eq(counts.parsed, 1);
	ck_assert_uint_eq(counts.found, 1);
	stop();
}
END_TEST

START_TEST(texts_that_differ_in_constants_share_their_facts)
{
	start(10);
	const struct sql_facts *first = ask("SELECT a FROM t WHERE id = 1 AND b IN (1, 2)");
	ck_assert_uint_eq(first->statements[0].bytes, 0);
	ck_assert_ptr_eq(ask("SELECT a FROM t WHERE id = 22 AND b IN (3, 4, 5)"), first);
	ck_assert_ptr_ne(ask("SELECT a FROM t WHERE id = 'x' AND b IN (1)"), first);
	ck_assert_ptr_ne(ask("SELECT a FROM t WHERE id = 1 AND c IN (1)"), first);
	ck_assert_uint_eq(sql_cache_counts(cache).found_alike, 1);
	ck_assert_uint_eq(sql_cache_counts(cache).parsed, 3);
	stop();
}
END_TEST

START_TEST(where_a_constant_decides_nothing_is_shared)
{
	static const char *const texts[][2] = {
		{ "SET work_mem = 1", "SET work_mem = 2" },
		{ "SELECT set_config('a.b', 'x', true)", "SELECT set_config('a.c', 'x', true)" },
		{ "SELECT 1; SET a.b = 1", "SELECT 1; SET a.b = 2" },
		{ "EXPLAIN (ANALYZE 0) DELETE FROM t", "EXPLAIN (ANALYZE 1) DELETE FROM t" },
		{ "EXPLAIN (ANALYZE 'off') DELETE FROM t", "EXPLAIN (ANALYZE 'on') DELETE FROM t" },
		{ "PREPARE TRANSACTION 'a'", "PREPARE TRANSACTION 'b'" },
		{ "SELECT pg_notify('a', 'x')", "SELECT pg_notify('b', 'x')" },
		{ "LOAD 'a'", "LOAD 'b'" },
		{ "INSERT INTO t SELECT set_config('a.b', '1', true)", "INSERT INTO t SELECT set_config('a.b', '1', false)" },
	};
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		start(10);
		char first[1000];
		snprintf(first, sizeof(first), "%s", describe(ask(texts[i][0])));
		ck_assert_str_ne(describe(ask(texts[i][1])), first);
		ck_assert_str_eq(describe(ask(texts[i][0])), first);
		stop();
	}
}
END_TEST

/* The cache, warm with everything that came before, against reading; with each constant changed, too. */
static void
is_the_same(const char *file, int line, const char *expected, struct view statement)
{
	for (int turn = 0; turn < 2; turn++)
		ck_assert_msg(strcmp(describe(sql_facts_of(cache, statement)), expected) == 0, "%s:%d", file, line);

	struct buf changed = { 0 };
	for (size_t i = 0; i < statement.n; i++) {
		buf_clear(&changed);
		buf_add(&changed, statement);
		if (changed.p[i] >= '0' && changed.p[i] <= '9')
			changed.p[i] = changed.p[i] == '7' ? '3' : '7';
		else if (changed.p[i] == '\'' && i + 1 < changed.n)
			changed.p[i + 1] ^= 1;
		else
			continue;
		struct sql_facts *facts = sql_facts_read(buf_view(&changed));
		char *read = strdup(describe(facts));
		/* What is no SQL may be taken for what is: see alike.h. */
		ck_assert_msg(facts->result == SQL_NOT_PARSED ||
		                      strcmp(describe(sql_facts_of(cache, buf_view(&changed))), read) == 0,
		              "%s:%d: %.*s\nread: %s", file, line, (int)changed.n, (const char *)changed.p, read);
		free(read);
		sql_facts_unref(facts);
	}
	buf_free(&changed);
}

START_TEST(the_cache_says_what_reading_says)
{
	start(100000);
	statements_each(STATEMENTS, is_the_same);
	stop();
}
END_TEST

START_TEST(facts_of_one_text_alone_are_not_those_of_another_with_a_comment)
{
	start(10);
	ask("SET a.b TO c   ;COMMIT");
	const struct sql_facts *facts = ask("SET a.b TO c /* long */ ;COMMIT");
	ck_assert_uint_eq(facts->statements[0].bytes, strlen("SET a.b TO c /* long */ "));
	facts = ask("SELECT a  ");
	ck_assert_ptr_eq(ask("SELECT a /* long */"), ask("SELECT a  "));
	stop();
}
END_TEST

START_TEST(the_longest_unused_goes_first)
{
	start(2);
	ask("SELECT a");
	ask("SELECT b");
	ask("SELECT a");
	ask("SELECT c");
	ck_assert_uint_eq(sql_cache_counts(cache).entries, 2);
	ck_assert_uint_eq(sql_cache_counts(cache).evicted, 1);
	uint64_t parsed = sql_cache_counts(cache).parsed;
	ask("SELECT a");
	ck_assert_uint_eq(sql_cache_counts(cache).parsed, parsed);
	ask("SELECT b");
	ck_assert_uint_eq(sql_cache_counts(cache).parsed, parsed + 1);
	stop();
}
END_TEST

START_TEST(entries_and_bytes_stay_within_their_limits)
{
	char text[3000];

	cache = sql_cache_new((struct sql_cache_limits){ .entries = 1000, .bytes = 20000, .text_bytes = 3000 });
	for (int i = 0; i < 500; i++) {
		snprintf(text, sizeof(text), "SELECT c%0*d FROM t%d", 1 + i * 5, i, i);
		const struct sql_facts *facts = ask(text);
		ck_assert_int_eq(facts->result, SQL_PARSED);
		ck_assert_uint_le(sql_cache_counts(cache).bytes, 20000);
	}
	ck_assert_uint_gt(sql_cache_counts(cache).evicted, 400);
	sql_cache_limit(cache, (struct sql_cache_limits){ .entries = 1, .bytes = 20000, .text_bytes = 10 });
	ck_assert_uint_le(sql_cache_counts(cache).entries, 1);
	ck_assert_int_eq(ask("SELECT a, b")->result, SQL_TOO_LONG);
	sql_cache_limit(cache, (struct sql_cache_limits){ .entries = 0, .bytes = 20000, .text_bytes = 100 });
	ck_assert_uint_eq(sql_cache_counts(cache).entries, 0);
	ck_assert_uint_eq(sql_cache_counts(cache).bytes, 0);
	ck_assert_int_eq(ask("SELECT a, b")->result, SQL_PARSED);
	ck_assert_uint_eq(sql_cache_counts(cache).entries, 0);
	stop();
}
END_TEST

START_TEST(facts_with_a_reference_outlive_the_cache)
{
	start(1);
	struct sql_facts *facts = sql_facts_ref(ask("SELECT lower('x')"));
	ask("SELECT b");
	stop();
	ck_assert_str_eq(facts->names[0].name, "lower");
	sql_facts_unref(facts);
}
END_TEST

START_TEST(what_is_not_understood_is_kept_as_well)
{
	start(10);
	ck_assert_int_eq(ask("SELEC 1")->result, SQL_NOT_PARSED);
	ck_assert_int_eq(ask("SELEC 1")->result, SQL_NOT_PARSED);
	ck_assert_uint_eq(sql_cache_counts(cache).not_parsed, 1);
	ck_assert_int_eq(sql_facts_of(cache, VIEW("SELECT ?i\0x"))->result, SQL_NOT_PARSED);
	/* Not to be taken for the key of SELECT 1. */
	ask("SELECT 1");
	ck_assert_int_eq(sql_facts_of(cache, VIEW("SELECT \0i"))->result, SQL_NOT_PARSED);
	ck_assert_int_eq(ask("")->result, SQL_PARSED);
	stop();
}
END_TEST

int
main(void)
{
	const TTest *const rules[] = {
		constants_are_taken_out_and_nothing_else,
		a_text_is_parsed_once,
		texts_that_differ_in_constants_share_their_facts,
		where_a_constant_decides_nothing_is_shared,
		the_cache_says_what_reading_says,
		facts_of_one_text_alone_are_not_those_of_another_with_a_comment,
		the_longest_unused_goes_first,
		entries_and_bytes_stay_within_their_limits,
		facts_with_a_reference_outlive_the_cache,
		what_is_not_understood_is_kept_as_well,
	};
	return suite_run("sql/cache", rules, sizeof(rules) / sizeof(rules[0]));
}
