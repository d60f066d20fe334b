/*
 * tests/fuzz/fuzz_sql.c - what SQL does, with the cache on.
 *
 * Shown for every input: the cache gives what reading gives (unless it is no SQL: see src/sql/alike.h), twice; strings of
 * facts are within their block; facts say "reads" only of what was parsed; the cache stays within its limits; no name gets out of the
 * question about it.
 */
#include <stdlib.h>

#include "base/must.h"
#include "sql/cache.h"
#include "sql/question.h"

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

/* What a catalog is asked is the same four statements whatever the names are: none gets out of its quotes. */
static void
is_asked_well(const struct sql_facts *facts)
{
	static const enum sql_kind kinds[] = { SQL_SET, SQL_SET, SQL_SELECT, SQL_SELECT };
	struct buf rows = { 0 }, question = { 0 };
	question_add(&rows, facts);
	if (rows.n > 0) {
		question_end(buf_view(&rows), false, 1000, &question);
		struct sql_facts *asked = sql_facts_read(view_part(buf_view(&question), 0, question.n - 1));
		must(asked->result == SQL_TOO_LONG || asked->result == SQL_TOO_MUCH || asked->statement_count == 4);
		for (uint32_t i = 0; i < asked->statement_count; i++)
			must(asked->statements[i].kind == kinds[i] && !(asked->effects & SQL_WRITES));
		sql_facts_unref(asked);
	}
	buf_free(&rows);
	buf_free(&question);
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
	is_asked_well(read);
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
