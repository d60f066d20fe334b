/*
 * src/sql/facts.c - from a text to its facts; see sql/facts.h.
 *
 *   text ─► pg_query_parse() ─► JSON ─► tree_read() ─► reader_walk() for each statement ─► pack(): one block of memory
 *
 * libpg_query has its memory contexts per thread and frees what it used before it returns; its errors come back as values
 * (longjmp inside of it only); it sets no signal handlers and touches no files. Two things have to be kept from it: texts
 * so deep that the stack ends (it recurses for 1+1+1+..., which the parser's own limit doesn't see), and has_long_runs().
 */
#include "sql/facts.h"

#include <strings.h>
#include <sys/resource.h>

#include "base/heap.h"
#include "base/must.h"
#include "parser.h"
#include "reader.h"

#define STACK_PER_BYTE 128 /* bytes of stack for each byte of text: twice what was measured */

static struct sql_facts *
facts_new(enum sql_result result, size_t bytes)
{
	struct sql_facts *facts = heap_alloc(bytes);
	facts->result = result;
	facts->bytes = (uint32_t)bytes;
	facts->refs = 1;
	if (result != SQL_PARSED) {
		facts->effects = SQL_WRITES | SQL_RUNS_CODE;
		facts->uses_constants = true;
	}
	return facts;
}

struct sql_facts *
sql_facts_unread(enum sql_result why)
{
	return facts_new(why, sizeof(struct sql_facts));
}

struct sql_facts *
sql_facts_ref(const struct sql_facts *facts)
{
	struct sql_facts *own = (struct sql_facts *)facts;
	own->refs++;
	return own;
}

void
sql_facts_unref(const struct sql_facts *facts)
{
	struct sql_facts *own = (struct sql_facts *)facts;
	if (own && --own->refs == 0)
		heap_free(own);
}

bool
sql_encoding_is_readable(const char *client_encoding)
{
	static const char *const names[] = { "sjis", "shiftjis", "shift_jis", "mskanji", "win932", "windows932", "big5",
	                                     "win950", "windows950", "gbk", "win936", "windows936", "uhc", "win949",
	                                     "windows949", "johab", "gb18030", "shift_jis_2004", "shiftjis2004" };
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcasecmp(client_encoding, names[i]) == 0)
			return false;
	return true;
}

/* ---- packing ---- */

static size_t
size_of(const char *s)
{
	return s ? strlen(s) + 1 : 0;
}

static size_t
strings_size(const struct reader *r)
{
	size_t n = 0;
	for (uint32_t i = 0; i < r->statement_count; i++)
		n += size_of(r->statements[i].name);
	for (uint32_t i = 0; i < r->touch_count; i++)
		n += size_of(r->touches[i].name) + size_of(r->touches[i].value);
	for (uint32_t i = 0; i < r->name_count; i++)
		n += size_of(r->names[i].schema) + size_of(r->names[i].name);
	return n;
}

/* Moves *s to *at. */
static void
move_string(char **at, const char **s)
{
	size_t n = size_of(*s);
	if (n == 0)
		return;
	memcpy(*at, *s, n);
	*s = *at;
	*at += n;
}

static void *
copy_part(char **at, const void *from, size_t bytes)
{
	void *to = *at;
	if (bytes)
		memcpy(to, from, bytes);
	*at += bytes;
	return to;
}

/* What the reader has found, in one block. */
static struct sql_facts *
pack(const struct reader *r)
{
	size_t statements_size = r->statement_count * sizeof(r->statements[0]);
	size_t touches_size = r->touch_count * sizeof(r->touches[0]), names_size = r->name_count * sizeof(r->names[0]);
	struct sql_facts *facts =
	        facts_new(SQL_PARSED, sizeof(*facts) + statements_size + touches_size + names_size + strings_size(r));
	char *at = (char *)(facts + 1);
	struct sql_statement *statements = copy_part(&at, r->statements, statements_size);
	struct sql_touch *touches = copy_part(&at, r->touches, touches_size);
	struct sql_name *names = copy_part(&at, r->names, names_size);

	for (uint32_t i = 0; i < r->statement_count; i++) {
		facts->effects |= statements[i].effects;
		move_string(&at, &statements[i].name);
	}
	for (uint32_t i = 0; i < r->touch_count; i++) {
		move_string(&at, &touches[i].name);
		move_string(&at, &touches[i].value);
	}
	for (uint32_t i = 0; i < r->name_count; i++) {
		move_string(&at, &names[i].schema);
		move_string(&at, &names[i].name);
	}
	must(at == (char *)facts + facts->bytes);
	facts->uses_constants = r->uses_constants;
	facts->statement_count = r->statement_count;
	facts->touch_count = r->touch_count;
	facts->name_count = r->name_count;
	facts->statements = statements;
	facts->touches = touches;
	facts->names = names;
	return facts;
}

/* ---- reading ---- */

/* In these the value of a constant says nothing about what is done, but as an argument of a function that we know. */
static bool
is_indifferent(enum sql_kind kind)
{
	return kind == SQL_SELECT || kind == SQL_INSERT || kind == SQL_UPDATE || kind == SQL_DELETE || kind == SQL_MERGE;
}

static uint32_t
member_number(const struct tree *t, uint32_t at, const char *key)
{
	uint32_t member = tree_member(t, at, key);
	return member ? tree_number(t, member) : 0;
}

/* {"stmt":{"SelectStmt":{...}},"stmt_location":12,"stmt_len":34}; a length of 0 is the rest of the text. */
static void
read_statement(struct reader *r, uint32_t at)
{
	if (r->statement_count == READER_STATEMENTS_MAX) {
		r->is_full = true;
		return;
	}
	struct sql_statement *s = &r->statements[r->statement_count];
	*s = (struct sql_statement){ .name = "", .at = member_number(r->tree, at, "stmt_location") };
	s->bytes = member_number(r->tree, at, "stmt_len");
	if (s->bytes == 0)
		s->bytes = (uint32_t)r->text.n - s->at;
	r->statement = s;
	r->effects = 0;
	uint32_t node = tree_member(r->tree, at, "stmt");
	if (node && tree_size(r->tree, node) > 0) {
		s->kind = reader_kind(r->tree->values[node + 1].key);
		reader_walk(r, node);
	}
	s->effects = r->effects;
	if (!is_indifferent(s->kind))
		r->uses_constants = true;
	r->statement_count++;
}

/* A WITH may be what an unqualified name means. */
static void
mark_ctes(struct reader *r)
{
	for (uint32_t i = 0; i < r->name_count; i++) {
		struct sql_name *n = &r->names[i];
		if (n->kind != SQL_NAME_RELATION || *n->schema)
			continue;
		for (uint32_t k = 0; k < r->cte_count && !n->may_be_cte; k++)
			n->may_be_cte = strcmp(n->name, r->ctes[k]) == 0;
	}
}

static struct sql_facts *
facts_of_tree(const struct tree *tree, struct view text)
{
	static struct reader r; /* large, and nobody reads two texts at a time; what is behind the counts is never looked at */
	uint32_t statements = tree_member(tree, 0, "stmts");

	r.tree = tree;
	r.text = text;
	r.statement_count = r.touch_count = r.name_count = r.cte_count = 0;
	r.uses_constants = r.is_full = r.is_planned = r.is_deferred = false;
	if (statements) {
		tree_each(tree, statements, statement)
			read_statement(&r, statement);
	}
	mark_ctes(&r);
	struct sql_facts *facts = r.is_full ? sql_facts_unread(SQL_TOO_MUCH) : pack(&r);
	reader_fini(&r);
	return facts;
}

static size_t
text_bytes_max(void)
{
	static size_t max;
	struct rlimit stack;

	if (max == 0) {
		max = SQL_TEXT_MAX;
		if (getrlimit(RLIMIT_STACK, &stack) == 0 && stack.rlim_cur != RLIM_INFINITY &&
		    stack.rlim_cur / STACK_PER_BYTE < max)
			max = stack.rlim_cur / STACK_PER_BYTE;
	}
	return max;
}

/*
 * PostgreSQL's scanner begins anew for each character of a run of operators that is no operator (+++++, or comments of which each follows the other): 64 kB
 * of them cost 3.7 s. The sum of the squares of all runs is held below what costs about a millisecond.
 */
#define RUNS_MAX (1 << 20)

static bool
has_long_runs(struct view text)
{
	static const bool is_operator[256] = {
		['~'] = true, ['!'] = true, ['@'] = true, ['#'] = true, ['^'] = true, ['&'] = true,
		['|'] = true, ['`'] = true, ['?'] = true, ['+'] = true, ['-'] = true, ['*'] = true,
		['/'] = true, ['%'] = true, ['<'] = true, ['>'] = true, ['='] = true,
	};
	uint64_t sum = 0;
	size_t run = 0;

	for (size_t i = 0; i < text.n && sum < RUNS_MAX; i++) {
		run = is_operator[text.p[i]] ? run + 1 : 0;
		sum += run; /* half of the square, when the run ends */
	}
	return sum >= RUNS_MAX;
}

struct sql_facts *
sql_facts_read(struct view text)
{
	struct sql_facts *facts;
	struct tree tree;

	if (text.n > text_bytes_max())
		return sql_facts_unread(SQL_TOO_LONG);
	if (text.n && memchr(text.p, 0, text.n))
		return sql_facts_unread(SQL_NOT_PARSED);
	if (has_long_runs(text))
		return sql_facts_unread(SQL_TOO_MUCH);
	if (!parser_load())
		return sql_facts_unread(SQL_NOT_PARSED);
	char *string = heap_string_n(text.p, text.n);
	PgQueryParseResult parsed = parser.parse(string);
	heap_free(string);
	if (parsed.error || !parsed.parse_tree)
		facts = sql_facts_unread(SQL_NOT_PARSED);
	else if (!tree_read(&tree, view_of_string(parsed.parse_tree)))
		facts = sql_facts_unread(SQL_TOO_MUCH);
	else {
		facts = facts_of_tree(&tree, text);
		tree_free(&tree);
	}
	parser.free_parse_result(parsed);
	facts->needs_standard_strings = text.n && memchr(text.p, '\\', text.n);
	return facts;
}
