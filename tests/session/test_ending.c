/* tests/session/test_ending.c - which texts begin or end a transaction: rules of session/ending. */
#include "session/ending.h"

#include <string.h>

#include "../suite.h"

static const struct {
	const char *text;
	enum ending is;
	bool may_end;
} texts[] = {
	{ "", ENDING_EMPTY, false },
	{ " ; ;\n-- nothing\n/* at /* all */ */", ENDING_EMPTY, false },
	{ "ROLLBACK", ENDING_ROLLBACK, true },
	{ "rollback;", ENDING_ROLLBACK, true },
	{ " -- so\n /* be it */ RollBack /**/ work ; ; ", ENDING_ROLLBACK, true },
	{ "abort transaction", ENDING_ROLLBACK, true },
	{ "rollback and no chain", ENDING_ROLLBACK, true },
	{ "rollback transaction and no chain;", ENDING_ROLLBACK, true },
	{ "rollback and chain", ENDING_CHAIN, true },
	{ "COMMIT", ENDING_COMMIT, true },
	{ "end", ENDING_COMMIT, true },
	{ "END WORK", ENDING_COMMIT, true },
	{ "commit and chain", ENDING_CHAIN, true },
	{ "prepare transaction 'x'", ENDING_PREPARE, true },
	{ "rollback to savepoint a", ENDING_ROLLBACK_TO, false },
	{ "rollback to a", ENDING_ROLLBACK_TO, false },
	{ "rollback work to \"commit\"", ENDING_ROLLBACK_TO, false },
	{ "rollback prepared 'x'", ENDING_OTHER, true },
	{ "commit prepared 'x'", ENDING_OTHER, true },
	{ "rollback; select 1", ENDING_OTHER, true },
	{ "select 1; commit", ENDING_OTHER, true },
	{ "select 1;;;end", ENDING_OTHER, true },
	{ "commit 1", ENDING_OTHER, true },
	{ "rollbacks", ENDING_OTHER, false },
	{ "begin", ENDING_BEGIN, false },
	{ "BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY", ENDING_BEGIN, false },
	{ "start transaction", ENDING_BEGIN, false },
	{ "start", ENDING_OTHER, false },
	{ "begin; select 1", ENDING_OTHER, false },
	{ "begin; commit", ENDING_OTHER, true },
	{ "select 'commit'", ENDING_SELECT, false },
	{ "select 'a;commit'", ENDING_SELECT, false },
	{ "select 'it''s; commit'", ENDING_SELECT, false },
	{ "select \"a;\"\"commit\" from t", ENDING_SELECT, false },
	{ "select $$; commit$$", ENDING_SELECT, false },
	{ "select $a$ $$; commit $b$ $a$", ENDING_SELECT, false },
	{ "select $1;commit", ENDING_OTHER, true },
	{ "select a$b$; commit; select a$b$", ENDING_OTHER, true },
	{ "select /* ; commit */ 1 -- ; commit", ENDING_SELECT, false },
	{ "select 1 -- x\n; commit", ENDING_OTHER, true },
	{ "select 1 -- x\r; commit", ENDING_OTHER, true },
	/* Where the string ends depends on standard_conforming_strings. */
	{ "select '\\'; commit --'", ENDING_OTHER, true },
	{ "select E'\\'; commit --'", ENDING_OTHER, true },
	{ "select 'open", ENDING_OTHER, true },
	{ "select \"open", ENDING_OTHER, true },
	{ "select $$open", ENDING_OTHER, true },
	{ "select /* open /* */", ENDING_OTHER, true },
	{ "insert into t values (1)", ENDING_CHANGE, false },
	{ "with x as (delete from t returning *) select * from x", ENDING_SELECT, false },
	{ "show transaction_read_only", ENDING_SHOW, false },
	{ "vacuum", ENDING_OTHER, false },
	{ "call p()", ENDING_OTHER, false },
	{ "commit\xe4", ENDING_OTHER, false },
};

START_TEST(texts_are_what_postgresql_would_take_them_for)
{
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct ending_facts f = ending_read(view_of_string(texts[i].text));
		ck_assert_msg(f.is == texts[i].is && f.may_end == texts[i].may_end, "%s: is %d, %s end", texts[i].text, f.is,
		              f.may_end ? "may" : "can't");
	}
}
END_TEST

/* Whatever is cut off, a text with COMMIT as a statement of its own in it never seems to be without. */
START_TEST(an_end_is_never_overlooked)
{
	static const char *const before[] = { "", "select 1;", "select 'x';", "/* c */", "-- c\n", "select $$x$$;", "\"a\";", ";;" };
	static const char *const ends[] = { "commit", "END", "rollback and chain", "abort", "prepare transaction 'a'" };
	for (size_t i = 0; i < sizeof(before) / sizeof(before[0]); i++)
		for (size_t j = 0; j < sizeof(before) / sizeof(before[0]); j++)
			for (size_t k = 0; k < sizeof(ends) / sizeof(ends[0]); k++) {
				char text[200] = "";
				strcat(text, before[i]);
				strcat(text, before[j]);
				strcat(text, ends[k]);
				ck_assert_msg(ending_read(view_of_string(text)).may_end, "%s", text);
				strcat(text, ";select 2");
				ck_assert_msg(ending_read(view_of_string(text)).may_end, "%s", text);
			}
}
END_TEST

int
main(void)
{
	const TTest *const rules[] = { texts_are_what_postgresql_would_take_them_for, an_end_is_never_overlooked };
	return suite_run("session/ending", rules, sizeof(rules) / sizeof(rules[0]));
}
