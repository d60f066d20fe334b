/*
 * tests/fuzz/fuzz_sql.c - what SQL does, with the cache on.
 *
 * Shown for every input: the cache gives what reading gives (unless it is no SQL: see src/sql/alike.h), twice; strings of
 * facts are within their block; facts say "reads" only of what was parsed; the cache stays within its limits.
 */
#include <stdlib.h>

#include "base/must.h"
#include "sql/cache.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
is_inside(const struct sql_facts *facts, const char *s)
{
	const char *from = (const char *)facts, *end = from + facts->bytes;
	must(s > from && s < end && memchr(s, 0, (size_t)(end - s)));
}

static void
is_whole(const struct sql_facts *facts, size_t size)
{
	for (uint32_t i = 0; i < facts->statement_count; i++) {
		const struct sql_statement *s = &facts->statements[i];
		must(s->kind < SQL_KINDS && (size_t)s->at + s->bytes <= size);
		is_inside(facts, s->name);
	}
	for (uint32_t i = 0; i < facts->touch_count; i++) {
		const struct sql_touch *t = &facts->touches[i];
		must(t->kind < SQL_TOUCHES && t->statement < facts->statement_count);
		if (t->name)
			is_inside(facts, t->name);
		if (t->value)
			is_inside(facts, t->value);
	}
	for (uint32_t i = 0; i < facts->name_count; i++) {
		is_inside(facts, facts->names[i].schema);
		is_inside(facts, facts->names[i].name);
	}
	must(facts->result == SQL_PARSED || !sql_only_reads(facts));
}

static void
are_the_same(const struct sql_facts *a, const struct sql_facts *b)
{
	must(a->result == b->result && a->effects == b->effects && a->uses_constants == b->uses_constants);
	must(a->statement_count == b->statement_count && a->touch_count == b->touch_count && a->name_count == b->name_count);
	must(a->bytes == b->bytes && a->needs_standard_strings == b->needs_standard_strings);
	for (uint32_t i = 0; i < a->statement_count; i++)
		must(a->statements[i].kind == b->statements[i].kind && a->statements[i].effects == b->statements[i].effects);
	for (uint32_t i = 0; i < a->name_count; i++)
		must(strcmp(a->names[i].name, b->names[i].name) == 0 && a->names[i].kind == b->names[i].kind);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct sql_cache *cache;
	struct sql_cache_limits limits = { .entries = 100, .bytes = 1 << 18, .text_bytes = SQL_TEXT_MAX };
	struct view text = view_of(data, size);

	if (!cache)
		cache = sql_cache_new(limits);
	struct sql_facts *read = sql_facts_read(text);
	is_whole(read, size);
	for (int turn = 0; turn < 2; turn++) {
		const struct sql_facts *facts = sql_facts_of(cache, text);
		is_whole(facts, size);
		if (read->result == SQL_PARSED)
			are_the_same(facts, read);
		must(sql_cache_counts(cache).entries <= limits.entries && sql_cache_counts(cache).bytes <= limits.bytes);
	}
	sql_facts_unref(read);
	return 0;
}
