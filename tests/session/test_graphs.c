/* tests/session/test_graphs.c - the graphs in the documentation are those of the tables in the source. */
#include <stdio.h>
#include <string.h>

#include "../suite.h"
#include "../../src/session/graphs.h"

START_TEST(the_states_in_the_documentation_are_those_of_the_source)
{
	static char is[200000];
	struct buf should = { 0 };
	FILE *f = fopen(STATES_FILE, "r");
	ck_assert_ptr_nonnull(f);
	size_t n = fread(is, 1, sizeof(is) - 1, f);
	fclose(f);
	graphs_write(&should);
	ck_assert_msg(n == should.n && memcmp(is, should.p, n) == 0, "src/session/states.md is not up to date: make graphs");
	buf_free(&should);
}
END_TEST

int
main(void)
{
	const TTest *const rules[] = { the_states_in_the_documentation_are_those_of_the_source };
	return suite_run("session/graphs", rules, sizeof(rules) / sizeof(rules[0]));
}
