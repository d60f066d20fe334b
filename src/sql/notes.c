/* src/sql/notes.c - what a reader notes: strings, touches, and each name once. See reader.h. */
#include "reader.h"

#include <stdlib.h>

#include "base/heap.h"
#include "builtins.h"

struct reader_chunk {
	struct reader_chunk *next;
	char text[];
};

static const char *
keep(struct reader *r, const void *p, size_t n)
{
	struct reader_chunk *chunk = heap_alloc(sizeof(*chunk) + n + 1);
	memcpy(chunk->text, p, n);
	chunk->next = r->chunks;
	r->chunks = chunk;
	return chunk->text;
}

void
reader_fini(struct reader *r)
{
	while (r->chunks) {
		struct reader_chunk *next = r->chunks->next;
		heap_free(r->chunks);
		r->chunks = next;
	}
}

const char *
reader_string(struct reader *r, uint32_t at)
{
	if (at == 0 || r->tree->values[at].kind != TREE_STRING)
		return "";
	struct buf text = { 0 };
	tree_add_string(r->tree, at, &text);
	const char *kept = keep(r, text.p, text.n - 1);
	buf_free(&text);
	return kept;
}

const char *
reader_lower(struct reader *r, const char *s)
{
	size_t n = strlen(s);
	char *lower = (char *)keep(r, s, n);
	for (size_t i = 0; i < n; i++)
		if (lower[i] >= 'A' && lower[i] <= 'Z')
			lower[i] = (char)(lower[i] | 0x20);
	return lower;
}

/* Of a list like [{"String":{"sval":"pg_catalog"}},{"String":{"sval":"now"}}]; a database before them says nothing. */
void
reader_split_name(struct reader *r, uint32_t list, const char **schema, const char **name)
{
	*schema = *name = "";
	if (list == 0)
		return;
	tree_each(r->tree, list, item) {
		uint32_t string = tree_member(r->tree, item, "String");
		*schema = *name;
		*name = string ? reader_string(r, tree_member(r->tree, string, "sval")) : "";
	}
}

const char *
reader_constant(struct reader *r, uint32_t at)
{
	uint32_t cast = tree_member(r->tree, at, "TypeCast");
	uint32_t inside = cast ? tree_member(r->tree, cast, "arg") : at;
	uint32_t constant = inside ? tree_member(r->tree, inside, "A_Const") : 0;
	static const char *const kinds[] = { "sval", "ival", "fval", "boolval" };

	for (size_t i = 0; constant && i < 4; i++) {
		uint32_t value = tree_member(r->tree, constant, kinds[i]);
		if (!value)
			continue;
		uint32_t text = tree_member(r->tree, value, kinds[i]); /* missing when it is "", 0 or false */
		if (i == 3)
			return text && r->tree->values[text].kind == TREE_TRUE ? "true" : "false";
		if (i == 1)
			return text ? keep(r, r->tree->values[text].text.p, r->tree->values[text].text.n) : "0";
		return reader_string(r, text);
	}
	return NULL;
}

struct sql_touch *
reader_note_touch(struct reader *r, enum sql_touch_kind kind, const char *name)
{
	static struct sql_touch nowhere;
	struct sql_touch *t = &nowhere;

	if (r->touch_count == READER_TOUCHES_MAX)
		r->is_full = true;
	else
		t = &r->touches[r->touch_count++];
	*t = (struct sql_touch){ .kind = kind, .statement = r->statement_count, .name = name, .is_local_known = true,
	                         .is_deferred = r->is_deferred };
	return t;
}

/* New, or the one that is there, then no longer deferred if this use of it isn't. */
static struct sql_name *
note_name(struct reader *r, enum sql_name_kind kind, const char *schema, const char *name, uint32_t arguments)
{
	static struct sql_name nowhere;
	struct sql_name new = { .kind = kind, .schema = schema, .name = name, .is_deferred = r->is_deferred,
	                        .arguments = arguments < UINT16_MAX ? (uint16_t)arguments : UINT16_MAX };

	for (uint32_t i = 0; i < r->name_count; i++) {
		struct sql_name *n = &r->names[i];
		if (n->kind == kind && n->arguments == new.arguments && strcmp(n->name, name) == 0 &&
		    strcmp(n->schema, schema) == 0) {
			n->is_deferred = n->is_deferred && r->is_deferred;
			return n;
		}
	}
	if (r->name_count == READER_NAMES_MAX) {
		r->is_full = true;
		return &nowhere;
	}
	r->names[r->name_count] = new;
	return &r->names[r->name_count++];
}

void
reader_note_relation(struct reader *r, const char *schema, const char *name, bool is_written)
{
	struct sql_name *n = note_name(r, SQL_NAME_RELATION, schema, name, 0);
	n->is_written = n->is_written || is_written;
}

void
reader_note_cte(struct reader *r, const char *name)
{
	if (r->cte_count == READER_NAMES_MAX)
		r->is_full = true;
	else
		r->ctes[r->cte_count++] = name;
}

static int
compare(const void *key, const void *entry)
{
	return strcmp(key, *(const char *const *)entry);
}

static bool
is_builtin(const char *schema, const char *name, const char *const *all, size_t count)
{
	return (*schema == 0 || strcmp(schema, "pg_catalog") == 0) && bsearch(name, all, count, sizeof(*all), compare);
}

static void
note_called(struct reader *r, enum sql_name_kind kind, const char *schema, const char *name, uint32_t arguments, bool is_ours)
{
	if (r->is_planned)
		return;
	note_name(r, kind, schema, name, arguments)->is_builtin = is_ours;
	if (!is_ours)
		r->effects |= SQL_ASK_NAMES;
}

void
reader_note_function(struct reader *r, const char *schema, const char *name, uint32_t arguments)
{
	bool is_ours = is_builtin(schema, name, sql_functions, sql_functions_count);
	const struct sql_function *known = NULL;

	if (*schema == 0 || strcmp(schema, "pg_catalog") == 0)
		known = sql_function_find(name);
	if (known && !r->is_planned) {
		r->effects |= known->effects;
		if (known->touch >= 0)
			reader_note_touch(r, (enum sql_touch_kind)known->touch, NULL);
		is_ours = is_ours || known->effects == 0;
	}
	note_called(r, SQL_NAME_FUNCTION, schema, name, arguments, is_ours);
}

void
reader_note_operator(struct reader *r, const char *schema, const char *name)
{
	note_called(r, SQL_NAME_OPERATOR, schema, name, 0, is_builtin(schema, name, sql_operators, sql_operators_count));
}

void
reader_note_type(struct reader *r, const char *schema, const char *name)
{
	note_called(r, SQL_NAME_TYPE, schema, name, 0, is_builtin(schema, name, sql_types, sql_types_count));
}

void
reader_note_attribute(struct reader *r, const char *name)
{
	if (!r->is_planned)
		note_name(r, SQL_NAME_ATTRIBUTE, "", name, 0);
}
