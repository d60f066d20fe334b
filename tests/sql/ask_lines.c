/*
 * tests/sql/ask_lines.c - prints what a database's catalog is asked before a statement is run twice.
 *
 *	tests/sql/ask < TEXT     one statement a line; a line "----" behind each question, alone where the text says no
 */
#include <stdio.h>

#include "sql/question.h"

int
main(void)
{
	static char row[1 << 17];

	while (fgets(row, sizeof(row), stdin)) {
		struct view text = view_of_string(row);
		struct buf names = { 0 }, question = { 0 };
		text.n -= text.n > 0 && row[text.n - 1] == '\n';
		struct sql_facts *facts = sql_facts_read(text);
		if (question_is_worthwhile(facts)) {
			question_add(&names, facts);
			question_end(buf_view(&names), false, 10000, &question);
			printf("%s\n", names.n > 0 ? (const char *)question.p : "SELECT NULL");
		}
		printf("----\n");
		sql_facts_unref(facts);
		buf_free(&names);
		buf_free(&question);
	}
	return 0;
}
