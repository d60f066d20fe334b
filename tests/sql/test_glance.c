/* tests/sql/test_glance.c - a glance misses nothing that the parser finds, and tells alike texts from others. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "describe.h"
#include "sql/glance.h"
#include "../suite.h"

static const char *const verdicts[] = { "plain", "may", "closer" };

static const char *
verdict_of(struct view text)
{
	return verdicts[glance_at(text).verdict];
}

static void
is_judged(const char *text, const char *expected)
{
	const char *found = verdict_of(view_of_string(text));
	ck_assert_msg(strcmp(found, expected) == 0, "%s: %s, not %s", text, found, expected);
}

#define ALL_ARE_JUDGED(texts, expected)                                  \
	for (size_t i = 0; i < sizeof(texts) / sizeof((texts)[0]); i++) \
	is_judged((texts)[i], expected)

/* ---- against the parser ---- */

static bool
outlives_the_transaction(const struct sql_touch *t)
{
	return t->kind != SQL_TOUCH_SHOW && t->kind != SQL_TOUCH_FETCH && t->kind != SQL_TOUCH_SEQUENCE && !t->is_local;
}

/* 1: something of interest is in it. */
static int
is_sound(struct view text)
{
	struct sql_facts *facts = sql_facts_read(text);
	bool is_touching = facts->result == SQL_PARSED && facts->effects & SQL_RUNS_CODE;
	for (uint32_t i = 0; i < facts->touch_count; i++)
		is_touching = is_touching || outlives_the_transaction(&facts->touches[i]);
	ck_assert_msg(!is_touching || glance_at(text).verdict == GLANCE_CLOSER, "%.*s: %s, but: %s", (int)text.n,
	              (const char *)text.p, verdict_of(text), describe(facts));
	if (glance_at(text).verdict == GLANCE_PLAIN && facts->result == SQL_PARSED)
		ck_assert_msg(facts->name_count == 0 && facts->statement_count <= 1 && !(facts->effects & SQL_WRITES), "%.*s",
		              (int)text.n, (const char *)text.p);
	sql_facts_unref(facts);
	return is_touching;
}

static int touching;

/* In frames, in small and large letters, and cut off at each byte. */
static void
is_sound_in_each_form(const char *file, int line, const char *expected, struct view statement)
{
	static const char *const frames[][2] = {
		{ "", "" },
		{ "  \t\n", ";" },
		{ "/* a /* b */ 'c */", "" },
		{ "-- it's\n", "" },
		{ "SELECT 1;", "" },
		{ "SELECT 'it''s', E'\\'', $$ ' $$, $a$ $$ ' $a$, \"it's\" ;", "" },
		{ "SELECT '\\', 1; ", "" },
		{ "SELECT \"\xc3\xa4\", \xc3\xa4, '\xc3\xa4', E'\\t\xc3\xa4\\'', $$\xc3\xa4$$;", "" },
		{ "SELECT 1 \xc3\xa4$$;", "; SELECT 1 \xc3\xa4$$" },
		{ ";;/**/;", "; COMMIT" },
	};
	char text[10000];

	for (size_t i = 0; i < sizeof(frames) / sizeof(frames[0]); i++) {
		int n = snprintf(text, sizeof(text), "%s%.*s%s", frames[i][0], (int)statement.n, (const char *)statement.p,
		                 frames[i][1]);
		touching += is_sound(view_of(text, (size_t)n));
		for (int k = 0; k < n; k++)
			text[k] = text[k] >= 'a' && text[k] <= 'z' ? (char)(text[k] - 32) : text[k];
		is_sound(view_of(text, (size_t)n));
	}
	for (size_t n = 0; n < statement.n; n++)
		is_sound(view_part(statement, 0, n));
}

START_TEST(whatever_the_parser_finds_is_looked_at_closer)
{
	touching = 0;
	ck_assert_int_gt(statements_each(STATEMENTS, is_sound_in_each_form), 350);
	ck_assert_int_gt(touching, 1000);
}
END_TEST

START_TEST(a_word_of_the_session_is_seen_wherever_a_scanner_could_be_led_astray)
{
	static const char *const texts[] = {
		"SELECT\tset_config('a.b','c',false)",
		"SELECT SET_CONFIG('a.b','c',false)",
		"SELECT pg_catalog.\"set_config\"('a.b','c',false)",
		"SELECT 1/**/,/* ' */set_config('a.b','c',false)",
		"SELECT 1 -- '\n,set_config('a.b','c',false)",
		"SELECT 1 -- '\r,set_config('a.b','c',false)",
		"SELECT 1 - - 2, set_config('a.b','c',false)",
		"SELECT 1/2/*/**/*/,set_config('a.b','c',false)",
		"SELECT 1*/*'*/2,set_config('a.b','c',false)",
		"SELECT 1+--'\n2,set_config('a.b','c',false)",
		"SELECT '',set_config('a.b','c',false)",
		"SELECT '''',set_config('a.b','c',false)",
		"SELECT E'\\'',set_config('a.b','c',false)",
		"SELECT E'a''\\'',set_config('a.b','c',false)",
		"SELECT E'\\\\',set_config('a.b','c',false)",
		"SELECT e'a'\n'b\\'',set_config('a.b','c',false)",
		"SELECT 'a\\',set_config('a.b','c',false)",
		"SELECT 'a\\'',set_config('a.b','c',false)",
		"SELECT B'1',X'f',N'\xc3\xa4',set_config('a.b','c',false)",
		"SELECT $$'$$,set_config('a.b','c',false)",
		"SELECT $a$'$b$$a$,set_config('a.b','c',false)",
		"SELECT $a$$a$a$,set_config('a.b','c',false)",
		"SELECT $a$ $ab$ $a $a$,set_config('a.b','c',false)",
		"SELECT $1,set_config('a.b','c',false)",
		"SELECT a$$,set_config('a.b','c',false),b$$",
		"SELECT a$b$,set_config('a.b','c',false),a$b$",
		"SELECT 1$$'$$,set_config('a.b','c',false)",
		"SELECT \xc3\xa4$$,set_config('a.b','c',false),\xc3\xa4$$",
		"SELECT $\xc3\xa4$'$\xc3\xa4$,set_config('a.b','c',false)",
		"SELECT \"'\",set_config('a.b','c',false)",
		"SELECT \"\"\"'\",set_config('a.b','c',false)",
		"SELECT \"\\\",set_config('a.b','c',false)",
		"SELECT U&\"\\0073et_config\"('a.b','c',false)",
		"SELECT u&\"!0073et_config\" UESCAPE '!' ('a.b','c',false)",
		"SELECT 1.5e+3,.5,1.,set_config('a.b','c',false)",
		"SELECT \xe4 set_config('a.b','c',false)",
		"SELECT (set_config('a.b','c',false))",
		"SELECT[set_config('a.b','c',false)]",
		/* SJIS: 95 5c is one character */
		"SELECT E'\x95\x5c',set_config('a.b','c',false),'",
		"SELECT '\x95\x5c',set_config('a.b','c',false)",
		"SELECT \x95\x5c$$,set_config('a.b','c',false),\x95\x5c$$",
		"SELECT \x95\x45'\\',set_config('a.b','c',false),'",
		"SELECT \x83\x40\x45'\\',set_config('a.b','c',false),'",
		"SELECT \x83\x40$$,set_config('a.b','c',false),\x83\x40$$",
	};
	ALL_ARE_JUDGED(texts, "closer");
}
END_TEST

START_TEST(what_names_state_of_the_session_is_looked_at_closer)
{
	static const char *const texts[] = {
		"SET a = 1", "set a.b to 'c'", " Set LOCAL a = 1", "RESET ALL", "RESET a", "SET SESSION AUTHORIZATION x",
		"/* hi */ SET a = 1", "-- hi\nSET a = 1", "-- hi\r\nSET a = 1", "SELECT 1; SET a = 1", ";SET a = 1",
		"SELECT 1; /* UPDATE */ SET a = 1", "COMMIT;\v\fRESET a", "SELECT ';'; SET a = 1",
		"CREATE FUNCTION f() RETURNS int LANGUAGE sql SET work_mem = 1 AS 'select 1'", "ALTER FUNCTION f SET a.b = 1",
		"ALTER PROCEDURE f RESET ALL", "ALTER ROUTINE f SET a FROM CURRENT",
		"CREATE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; END",
		"PREPARE p AS SELECT 1", "PREPARE TRANSACTION 'x'", "EXECUTE p", "EXPLAIN EXECUTE p", "DEALLOCATE p",
		"CREATE TABLE t AS EXECUTE p(1)", "EXPLAIN ANALYZE DECLARE c CURSOR FOR SELECT 1",
		"SELECT * FROM pg_prepared_statements", "SELECT * FROM pg_prepared_statement()",
		"LISTEN a", "UNLISTEN *", "NOTIFY a", "SELECT pg_notify('a', 'b')", "SELECT pg_listening_channels()",
		"CREATE RULE r AS ON INSERT TO t DO ALSO NOTIFY a",
		"DECLARE c CURSOR FOR SELECT 1", "CLOSE c", "CLOSE ALL", "DISCARD ALL", "DISCARD TEMP", "LOAD 'x'",
		"CREATE TEMP TABLE x (a int)", "CREATE LOCAL TEMPORARY TABLE x (a int)", "SELECT 1 INTO TEMP x",
		"SELECT 1 INTO TEMPORARY TABLE x", "SELECT * FROM pg_temp.x", "SELECT pg_temp_3.f()", "SELECT \"pg_temp\".f()",
		"DROP TABLE Pg_Temp.x", "SELECT 'pg_temp.x'::regclass", "SELECT nextval('pg_temp.s')",
		"CREATE FUNCTION f() RETURNS int LANGUAGE c AS $$pg_temp$$",
		"SELECT pg_advisory_lock(1)", "SELECT pg_advisory_lock_shared(1)", "SELECT pg_try_advisory_lock(1)",
		"SELECT pg_advisory_unlock(1)", "SELECT pg_advisory_unlock_all()", "SELECT pg_try_advisory_lock_shared(1)",
		"SELECT lastval()", "SELECT currval('s')", "SELECT setseed(0.5)", "SELECT pg_replication_origin_session_setup('x')",
		"SELECT pg_replication_origin_session_reset()",
		"SELECT * FROM dblink('x', 'y') AS t(a int)", "SELECT dblink_connect('x')", "SELECT x.DBLINK_EXEC('x')",
		"CALL p()", "DO $$ begin end $$", "do 'begin end'", "SELECT 1;DO $$ begin end $$",
		"BEGIN; SET LOCAL a = 1",
	};
	ALL_ARE_JUDGED(texts, "closer");
}
END_TEST

START_TEST(what_names_none_may_do_something_all_the_same)
{
	static const char *const texts[] = {
		"UPDATE t SET a = 1", "UPDATE t SET set = 1 WHERE reset", "INSERT INTO t VALUES (1) ON CONFLICT DO UPDATE SET a = 2",
		"INSERT INTO t (load, close, call) VALUES (1, 2, 3) ON CONFLICT DO NOTHING", "SELECT close, listen FROM prices",
		"ALTER TABLE t SET (fillfactor = 50)", "ALTER ROLE r SET work_mem = 1", "ALTER SYSTEM SET work_mem = 1",
		"SELECT f()", "SELECT now()", "SELECT * FROM v", "TABLE v", "VALUES (1)", "SELECT 1 + 1", "SELECT -1",
		"SELECT a", "SELECT 'x'::d", "SELECT d 'x'", "SELECT 1 INTO x", "SELECT $1", "SELECT 1 WHERE true",
		"SELECT 1 UNION TABLE v", "SELECT 1 FROM t", "SELECT 1 AS a FROM t", "SELECT '\xc3\xa4'", "SELECT 'a' LIKE 'b'",
		"INSERT INTO t VALUES ('SET a = 1; SET b = 2')", "INSERT INTO t VALUES ($$; LISTEN x$$)",
		"SELECT 'it''s; SET x' FROM t", "SELECT 1 /* EXECUTE */", "SELECT 1 -- set_config()",
		"INSERT INTO t VALUES (E'\\'; SET \\n temp')",
		"CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$ begin SET a = 1; end $$",
		"SELECT pg_advisory_xact_lock(1), pg_try_advisory_xact_lock_shared(2)", "SELECT nextval('s'), setval('s', 1)",
		"FETCH c", "MOVE 10 IN c", "FETCH ALL FROM c", /* a cursor's functions run now */
		"BEGIN; COMMIT", "SELECT 1; SELECT 2", "COMMIT PREPARED 'x'", "ROLLBACK PREPARED 'x'", "SELECT \"settings\"",
		"COPY t FROM STDIN", "EXPLAIN SELECT 1", "LOCK t", "TRUNCATE t", "CREATE TABLE t (a int)", "VACUUM",
		"SELECT settings, temps, \"do\", asset FROM t", "SELECT 'unterminated", "SELECT \"unterminated", "SELECT $$unterminated",
		"SELECT 1 /* unterminated /* */", "garbage",
	};
	ALL_ARE_JUDGED(texts, "may");
}
END_TEST

START_TEST(what_touches_nothing_is_plain)
{
	static const char *const texts[] = {
		"", " ", ";", " ; ", "-- nothing", "/* nothing */", "/* one */ -- two\n/* three */",
		"BEGIN", "begin;", " BEGIN ; ", "BEGIN ISOLATION LEVEL SERIALIZABLE, READ ONLY, DEFERRABLE", "BEGIN WORK",
		"START TRANSACTION READ WRITE", "COMMIT", "COMMIT AND CHAIN", "END", "ROLLBACK", "ABORT", "ROLLBACK AND NO CHAIN;",
		"SAVEPOINT a", "SAVEPOINT \"A b\"", "RELEASE SAVEPOINT a", "ROLLBACK TO SAVEPOINT a", "ROLLBACK TO \"S 1\"",
		"/* by me */ COMMIT",
		"SELECT 1", "select 1;", "SELECT 1 AS one", "SELECT 1, 2.5, 'x', NULL, true, False AS f",
		"SELECT 'x'", "SELECT'x'", "SELECT NULL",
		"SHOW work_mem", "SHOW my.variable", "SHOW ALL", "SHOW TRANSACTION ISOLATION LEVEL", "SHOW \"TimeZone\";",
	};
	ALL_ARE_JUDGED(texts, "plain");
}
END_TEST

START_TEST(a_text_too_long_to_be_read_is_looked_at_closer)
{
	static char text[SQL_TEXT_MAX + 1];
	memset(text, ' ', sizeof(text));
	memcpy(text, "SELECT 1 FROM t", 15);
	ck_assert_str_eq(verdict_of(view_of(text, SQL_TEXT_MAX)), "may");
	ck_assert_str_eq(verdict_of(view_of(text, sizeof(text))), "closer");
	ck_assert_str_eq(verdict_of(view_of(NULL, 0)), "plain");
}
END_TEST

/* ---- shapes ---- */

static uint32_t
shape_of(const char *text)
{
	return glance_at(view_of_string(text)).shape;
}

START_TEST(texts_that_differ_in_constants_have_the_same_shape)
{
	static const char *const pairs[][2] = {
		{ "SELECT a FROM t WHERE id = 1", "select A from T\n where ID=23456 -- why" },
		{ "SELECT a FROM t WHERE id = $1", "SELECT a FROM t WHERE id = $22" },
		{ "SELECT a FROM t WHERE id = $1", "/* by me */ SELECT a FROM t WHERE id = 1" },
		{ "SELECT f('a')", "SELECT f('it''s')" },
		{ "SELECT f(E'\\'')", "SELECT f('')" },
		{ "SELECT f('a')", "SELECT f($$'$$)" },
		{ "SELECT f($a$it's$a$)", "SELECT f(1.5e+10)" },
		{ "SELECT f(1.5)", "SELECT f(.5)" },
		{ "SELECT f(1)", "SELECT f(null)" },
		{ "SELECT f(true)", "SELECT f(FALSE)" },
		{ "SELECT a FROM t WHERE id IN (1)", "SELECT a FROM t WHERE id IN (1, 2 ,3)" },
		{ "SELECT a FROM t WHERE id IN ($1)", "SELECT a FROM t WHERE id IN ($1, 'x', NULL)" },
		{ "INSERT INTO t VALUES (1)", "INSERT INTO t VALUES (1, 2), (3, 4), (5, NULL)" },
		{ "INSERT INTO t VALUES (1) RETURNING id", "INSERT INTO t VALUES (1, 2), (3, 4) RETURNING id" },
		{ "SELECT abcdefghijklmnopqrst", "SELECT ABCDEFGHIJKLMNOPQRST" },
	};
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
		ck_assert_msg(shape_of(pairs[i][0]) == shape_of(pairs[i][1]), "%s | %s", pairs[i][0], pairs[i][1]);
}
END_TEST

START_TEST(other_texts_have_other_shapes)
{
	static const char *const texts[] = {
		"SELECT a FROM t", "SELECT b FROM t", "SELECT a FROM u", "SELECT aa FROM t", "SELECT aaa FROM t", "SELECT aaaa FROM t",
		"SELECT a, a FROM t", "SELECT f(1)", "SELECT f()", "SELECT g(1)", "SELECT f(1), f(1)", "SELECT f(1, a)", "SELECT f(a, 1)",
		"SELECT 1 + a", "SELECT 1 - a", "SELECT 1, (a)", "SELECT (1), a", "SELECT (1), (a)", "SELECT (1), ((a))",
		"SELECT (a), (a)", "SELECT \"a\" FROM t", "SELECT a$b FROM t", "SELECT abcdefghij", "SELECT abcdefghik", "SELECT abcdefghijabcdefghij",
		"SELECT abcdefghijabcdefghik", "SELECT bbcdefghijabcdefghij", "SELECT abcdefghijbbcdefghij", "SELECT abcdefghij abcdefghij",
		"INSERT INTO t VALUES (1)", "INSERT INTO t VALUES (now())", "INSERT INTO t VALUES (1), (now())", "SELECT 1; SELECT f()",
		"SELECT \xc3\xa4()", "SELECT \xc3\xb6()",
	};
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		for (size_t k = 0; k < i; k++)
			ck_assert_msg(shape_of(texts[i]) != shape_of(texts[k]), "%s | %s", texts[i], texts[k]);
}
END_TEST

/* ---- bad input ---- */

START_TEST(no_bytes_harm_a_glance)
{
	static const char alphabet[] = "'\"$\\-/*;&uUeE1.se_ \n\x95\xc3(,)";
	uint32_t seed = 1;
	for (int turn = 0; turn < 200000; turn++) {
		size_t n = turn % 24;
		uint8_t *text = malloc(n + 1); /* the end of the memory is the end of the text */
		for (size_t i = 0; i < n; i++) {
			seed = seed * 1664525 + 1013904223;
			text[i] = (uint8_t)alphabet[(seed >> 16) % (sizeof(alphabet) - 1)];
		}
		uint8_t *exact = realloc(text, n ? n : 1);
		struct glance glance = glance_at(view_of(exact, n));
		ck_assert_uint_le(glance.verdict, GLANCE_CLOSER);
		free(exact);
	}
}
END_TEST

START_TEST(texts_that_differ_in_numbers_are_the_same)
{
	static const struct {
		const char *a, *b;
		bool is_same;
	} all[] = {
		{ "", "", true },
		{ "SELECT 1", "SELECT 1", true },
		{ "SELECT 1", "SELECT 12345678901", true },
		{ "SELECT abalance FROM t WHERE aid = 12", "SELECT abalance FROM t WHERE aid = 3;", false },
		{ "UPDATE t SET a = a + -47 WHERE b = 1", "UPDATE t SET a = a + -4 WHERE b = 19", true },
		{ "SELECT 1.5", "SELECT 12.25", true },
		{ "SELECT 1", "SELECT ", false },
		{ "SELECT ", "SELECT 1", false },
		{ "SELECT t1.a", "SELECT t2.a", false },
		{ "SELECT $1", "SELECT $2", false },
		{ "SELECT a1", "SELECT a12", false },
		{ "SELECT \xc3" "1", "SELECT \xc3" "2", false },
		{ "SELECT '2026-11-20'", "SELECT '2025-1-2'", true },
		{ "SELECT 'pg_temp_3.a'", "SELECT 'pg_temp_4.a'", false },
		{ "1", "23", true },
		{ "SELECT 12 -- a", "SELECT 12 -- b", false },
	};
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		struct view a = view_of_string(all[i].a), b = view_of_string(all[i].b);
		ck_assert_msg(glance_is_same(a, b) == all[i].is_same, "%s | %s", all[i].a, all[i].b);
		ck_assert_msg(glance_is_same(b, a) == all[i].is_same, "%s | %s", all[i].b, all[i].a);
	}
}
END_TEST

int
main(void)
{
	const TTest *const rules[] = {
		whatever_the_parser_finds_is_looked_at_closer,
		a_word_of_the_session_is_seen_wherever_a_scanner_could_be_led_astray,
		what_names_state_of_the_session_is_looked_at_closer,
		what_names_none_may_do_something_all_the_same,
		what_touches_nothing_is_plain,
		a_text_too_long_to_be_read_is_looked_at_closer,
		texts_that_differ_in_constants_have_the_same_shape,
		other_texts_have_other_shapes,
		texts_that_differ_in_numbers_are_the_same,
		no_bytes_harm_a_glance,
	};
	return suite_run("sql/glance", rules, sizeof(rules) / sizeof(rules[0]));
}
