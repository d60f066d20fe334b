/*
 * tests/fuzz/fuzz_glance.c - a glance at SQL against what its parser says.
 *
 * Shown for every input: what sql/facts.h finds of a session's state, a glance has not missed, as the text is and with
 * anything behind it (as a part of a longer text); what it tells is the same with other numbers, where those are said to be
 * all that differs. A plain text has no effects but those of transactions.
 */
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "sql/facts.h"
#include "sql/glance.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Of those that glance.h leaves out, each alone says nothing. */
static bool
is_of_interest(const struct sql_touch *t, struct view text)
{
	switch (t->kind) {
	case SQL_TOUCH_SHOW:
	case SQL_TOUCH_FETCH:
	case SQL_TOUCH_SEQUENCE:
		return false;
	case SQL_TOUCH_TEMPORARY:
		/* A string of CREATE FUNCTION that begins with pg_temp, in escapes: it names nothing. */
		if (!t->name && memchr(text.p, '\\', text.n))
			return false;
		return !t->is_local;
	default:
		return !t->is_local;
	}
}

static void
is_sound(struct view text)
{
	struct glance glance = glance_at(text);
	struct sql_facts *facts = sql_facts_read(text);

	must(glance.verdict <= GLANCE_CLOSER && glance_at(text).shape == glance.shape);
	if (glance.verdict != GLANCE_CLOSER && facts->result == SQL_PARSED) {
		must(!(facts->effects & SQL_RUNS_CODE));
		for (uint32_t i = 0; i < facts->touch_count; i++)
			must(!is_of_interest(&facts->touches[i], text));
	}
	if (glance.verdict == GLANCE_PLAIN && facts->result == SQL_PARSED) {
		must(facts->statement_count <= 1 && facts->name_count == 0);
		must(!(facts->effects & ~(uint32_t)(SQL_BEGINS | SQL_ENDS | SQL_SUBTRANSACTION)));
	}
	sql_facts_unref(facts);
}

/* Each number has become a 7. */
static void
is_same_with_other_numbers(struct view text)
{
	uint8_t *other = malloc(text.n + 1);
	size_t n = 0;
	must(other != NULL);
	for (size_t i = 0; i < text.n; i++) {
		bool is_digit = text.p[i] >= '0' && text.p[i] <= '9';
		if (!is_digit)
			other[n++] = text.p[i];
		else if (n == 0 || other[n - 1] != '7')
			other[n++] = '7';
	}
	if (glance_is_same(text, view_of(other, n))) {
		struct glance a = glance_at(text), b = glance_at(view_of(other, n));
		bool has_names = text.n && memchr(text.p, '"', text.n); /* of "a 1" the 1 is no number, which only the shape tells */
		must(a.verdict == b.verdict && (a.shape == b.shape || has_names));
	}
	must(glance_is_same(text, text));
	free(other);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const behind[] = { "; SET a.b = 1", ", set_config('a.b', 'c', false)" };
	struct view text = view_of(data, size);

	is_sound(text);
	is_same_with_other_numbers(text);
	for (size_t i = 0; i < sizeof(behind) / sizeof(behind[0]); i++) {
		size_t n = strlen(behind[i]);
		uint8_t *longer = malloc(size + n);
		must(longer != NULL);
		if (size)
			memcpy(longer, data, size);
		memcpy(longer + size, behind[i], n);
		is_sound(view_of(longer, size + n));
		free(longer);
	}
	return 0;
}
