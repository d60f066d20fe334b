/*
 * tests/sql/describe_lines.c - prints what each statement does, a line each.
 *
 *	tests/sql/describe FILE_DIRECTORY     the files of statements there, with what they are expected to be replaced
 *	tests/sql/describe < TEXT             one statement a line
 */
#include <stdio.h>

#include "describe.h"

static void
print(const char *file, int line, const char *expected, struct view statement)
{
	struct sql_facts *facts = sql_facts_read(statement);
	printf("-- %s\n%.*s\n\n", describe(facts), (int)statement.n, (const char *)statement.p);
	sql_facts_unref(facts);
}

int
main(int argc, char **argv)
{
	static char row[1 << 17];

	if (argc > 1)
		return statements_each(argv[1], print) == 0;
	while (fgets(row, sizeof(row), stdin)) {
		struct view text = view_of_string(row);
		text.n -= text.n > 0 && row[text.n - 1] == '\n';
		struct sql_facts *facts = sql_facts_read(text);
		printf("%s\n", describe(facts));
		sql_facts_unref(facts);
	}
	return 0;
}
