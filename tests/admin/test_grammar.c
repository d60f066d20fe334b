/* tests/admin/test_grammar.c - what can be said on the console, and what can't. */
#include <stdlib.h>
#include <string.h>

#include "admin/grammar.h"
#include "suite.h"

static struct sentence s;

static enum sentence_result
say(const char *text)
{
	return sentence_read(view_of_string(text), &s);
}

START_TEST(a_word_alone_may_stand_among_blanks_and_before_a_semicolon)
{
	static const char *const texts[] = { "SHOW", " SHOW", "SHOW;", "\r\n\tSHOW \t;\n ", "\"SHOW\"" };
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		ck_assert_int_eq(say(texts[i]), SENTENCE_OK);
		ck_assert_str_eq(s.word, "SHOW");
		ck_assert(!s.has_argument && !s.is_set);
	}
}
END_TEST

START_TEST(an_argument_is_a_word_or_in_double_quotes)
{
	ck_assert_int_eq(say("PAUSE my_db2;"), SENTENCE_OK);
	ck_assert_str_eq(s.argument, "my_db2");
	ck_assert_int_eq(say("pause \"my-db\" ;"), SENTENCE_OK);
	ck_assert_str_eq(s.word, "pause");
	ck_assert_str_eq(s.argument, "my-db");
	ck_assert_int_eq(say("PAUSE \"a\"\"b; c\""), SENTENCE_OK);
	ck_assert_str_eq(s.argument, "a\"b; c");
	ck_assert_int_eq(say("PAUSE \"\""), SENTENCE_OK);
	ck_assert(s.has_argument);
	ck_assert_str_eq(s.argument, "");
}
END_TEST

START_TEST(blanks_and_at_most_one_semicolon_are_an_empty_text)
{
	static const char *const texts[] = { "", ";", "  \n ", " ; " };
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		ck_assert_int_eq(say(texts[i]), SENTENCE_EMPTY);
}
END_TEST

START_TEST(anything_else_is_refused)
{
	static const char *const texts[] = {
		";;",           "SHOW POOLS; SHOW STATS", "SHOW POOLS extra", "PAUSE my-db",   "-- ping",     "PAUSE \"open",
		"PAUSE\"db\"", "SHOW;;",                 "SHOW 'x'",         "SELECT $1",     "SELECT 1+1",  "S\xc3\xa9",
		"PAUSE \"a\"b", "'SHOW'",                 "PAUSE \"\"\"",     "SHOW ; POOLS",
	};
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		ck_assert_msg(say(texts[i]) == SENTENCE_BAD, "%s", texts[i]);
}
END_TEST

START_TEST(set_takes_equals_or_to)
{
	static const char *const texts[] = { "SET a=b",      "set a = b;", "SET a TO b",     "SET a to 'b'", "SET a to'b'",
		                             "SET \"a\"='b'", "SET a='b' ", "SET a\nTO\n\"b\"" };
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		ck_assert_msg(say(texts[i]) == SENTENCE_OK, "%s", texts[i]);
		ck_assert(s.is_set);
		ck_assert_str_eq(s.argument, "a");
		ck_assert_str_eq(s.value, "b");
	}
	ck_assert_int_eq(say("SET a = 'it''s; \"so\"'"), SENTENCE_OK);
	ck_assert_str_eq(s.value, "it's; \"so\"");
	ck_assert_int_eq(say("SET a = ''"), SENTENCE_OK);
	ck_assert_str_eq(s.value, "");
}
END_TEST

START_TEST(set_without_all_of_its_parts_is_refused)
{
	static const char *const texts[] = { "SET a",     "SET a b",  "SET a =",    "SET = b",     "SET a to", "SET ato b",
		                             "SET a tob", "SET a==b", "SET a = b c", "SET a = 'b", "SET a = b=c" };
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		ck_assert_msg(say(texts[i]) == SENTENCE_BAD, "%s", texts[i]);
	ck_assert_int_eq(say("SET"), SENTENCE_OK); /* a word alone; no command takes it so */
	ck_assert(!s.is_set);
}
END_TEST

static enum sentence_result
say_long(const char *before, size_t n, const char *after)
{
	char text[600];
	size_t at = strlen(before);
	memcpy(text, before, at);
	memset(text + at, 'x', n);
	strcpy(text + at + n, after);
	return say(text);
}

START_TEST(each_part_has_a_limit)
{
	ck_assert_int_eq(say_long("", SENTENCE_WORD_MAX, ""), SENTENCE_OK);
	ck_assert_int_eq(say_long("", SENTENCE_WORD_MAX + 1, ""), SENTENCE_TOO_LONG);
	ck_assert_int_eq(say_long("PAUSE ", SENTENCE_ARGUMENT_MAX, ";"), SENTENCE_OK);
	ck_assert_uint_eq(strlen(s.argument), SENTENCE_ARGUMENT_MAX);
	ck_assert_int_eq(say_long("PAUSE ", SENTENCE_ARGUMENT_MAX + 1, ";"), SENTENCE_TOO_LONG);
	ck_assert_int_eq(say_long("PAUSE \"", SENTENCE_ARGUMENT_MAX + 1, "\""), SENTENCE_TOO_LONG);
	ck_assert_int_eq(say_long("SET a = ", SENTENCE_VALUE_MAX, ""), SENTENCE_OK);
	ck_assert_int_eq(say_long("SET a = '", SENTENCE_VALUE_MAX + 1, "'"), SENTENCE_TOO_LONG);
	ck_assert_int_eq(say_long("SET ", SENTENCE_ARGUMENT_MAX + 1, " = b"), SENTENCE_TOO_LONG);
	ck_assert_int_eq(say_long("PAUSE \"", 300, ""), SENTENCE_BAD);
	ck_assert_int_eq(say_long("", 300, " and more words"), SENTENCE_BAD);
}
END_TEST

START_TEST(a_nul_byte_ends_nothing_and_is_refused)
{
	ck_assert_int_eq(sentence_read(VIEW("SHOW\0POOLS"), &s), SENTENCE_BAD);
	ck_assert_int_eq(sentence_read(VIEW("PAUSE \"a\0b\""), &s), SENTENCE_BAD);
	ck_assert_int_eq(sentence_read(VIEW("SHOW\0"), &s), SENTENCE_BAD);
}
END_TEST

/* Whatever is cut off or changed: an answer, and texts that end. */
START_TEST(any_part_and_any_flipped_bit_of_a_sentence_is_answered)
{
	static const char *const texts[] = { "PAUSE \"my\"\"db\" ;", "SET ab TO 'it''s' ;", " SHOW POOLS;" };
	for (size_t t = 0; t < sizeof(texts) / sizeof(texts[0]); t++) {
		size_t n = strlen(texts[t]);
		for (size_t cut = 0; cut <= n; cut++) {
			char *exact = malloc(cut ? cut : 1); /* so that ASan sees a byte too far */
			memcpy(exact, texts[t], cut);
			sentence_read(view_of(exact, cut), &s);
			for (size_t bit = 0; bit < cut * 8; bit++) {
				exact[bit / 8] ^= (char)(1 << bit % 8);
				sentence_read(view_of(exact, cut), &s);
				ck_assert_uint_le(strlen(s.word), SENTENCE_WORD_MAX);
				exact[bit / 8] ^= (char)(1 << bit % 8);
			}
			free(exact);
		}
	}
}
END_TEST

int
main(void)
{
	const TTest *const rules[] = {
		a_word_alone_may_stand_among_blanks_and_before_a_semicolon,
		an_argument_is_a_word_or_in_double_quotes,
		blanks_and_at_most_one_semicolon_are_an_empty_text,
		anything_else_is_refused,
		set_takes_equals_or_to,
		set_without_all_of_its_parts_is_refused,
		each_part_has_a_limit,
		a_nul_byte_ends_nothing_and_is_refused,
		any_part_and_any_flipped_bit_of_a_sentence_is_answered,
	};
	return suite_run("admin/grammar", rules, sizeof(rules) / sizeof(rules[0]));
}
