/*
 * tests/suite.h - what the main() of every unit test calls: runs the rules of one module under Check.
 *
 *	int main(void)
 *	{
 *		const TTest *const rules[] = { first_rule, second_rule };
 *		return suite_run("wire/frame", rules, sizeof(rules) / sizeof(rules[0]));
 *	}
 */
#ifndef TESTS_SUITE_H
#define TESTS_SUITE_H

#include <check.h>
#include <stddef.h>

/* The exit status of the program: 0 when all of them hold. */
static inline int
suite_run(const char *module, const TTest *const *rules, size_t count)
{
	Suite *suite = suite_create(module);
	TCase *all = tcase_create("rules");
	tcase_set_timeout(all, 120); /* s: only ends what hangs; a slow machine is no failure */
	for (size_t i = 0; i < count; i++)
		tcase_add_test(all, rules[i]);
	suite_add_tcase(suite, all);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}

#endif
