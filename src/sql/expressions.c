/* src/sql/expressions.c - nodes that name or call something: relations, types, operators, functions. See nodes.h. */
#include "nodes.h"

/* ---- names ---- */

/* "pg_temp", or a session's own name for it, "pg_temp_3". */
bool
node_is_temporary(const char *schema)
{
	return strncmp(schema, "pg_temp", 7) == 0;
}

void
node_note_temporary(struct reader *r, const char *name, bool is_local)
{
	r->effects |= SQL_SESSION;
	reader_note_touch(r, SQL_TOUCH_TEMPORARY, name)->is_local = is_local;
}

/* A RangeVar, seen by its field relname. */
void
read_relation(struct reader *r, uint32_t at)
{
	const char *schema = node_string(r, at, "schemaname"), *name = node_string(r, at, "relname");

	reader_note_relation(r, schema, name, false);
	if (node_is_temporary(schema))
		node_note_temporary(r, name, false);
}

/* INSERT, UPDATE, DELETE, MERGE, COPY FROM */
bool
read_target(struct reader *r, uint32_t at)
{
	uint32_t relation = node_field(r, at, "relation");
	if (relation)
		reader_note_relation(r, node_string(r, relation, "schemaname"), node_string(r, relation, "relname"), true);
	return true;
}

bool
read_column(struct reader *r, uint32_t at)
{
	const char *before, *last;
	reader_split_name(r, node_field(r, at, "fields"), &before, &last);
	if (*before && *last)
		reader_note_attribute(r, last);
	return true;
}

bool
read_indirection(struct reader *r, uint32_t at)
{
	uint32_t list = node_field(r, at, "indirection");
	if (list) {
		tree_each(r->tree, list, item) {
			uint32_t string = node_field(r, item, "String");
			if (string)
				reader_note_attribute(r, node_string(r, string, "sval"));
		}
	}
	return true;
}

bool
read_type(struct reader *r, uint32_t at)
{
	const char *schema, *name;
	reader_split_name(r, node_field(r, at, "names"), &schema, &name);
	if (*name)
		reader_note_type(r, schema, name);
	if (node_is_temporary(schema))
		node_note_temporary(r, name, false);
	return true;
}

bool
read_cte(struct reader *r, uint32_t at)
{
	reader_note_cte(r, node_string(r, at, "ctename"));
	return true;
}

/* ---- operators ---- */

static void
note_operator_of(struct reader *r, uint32_t list)
{
	const char *schema, *name;
	reader_split_name(r, list, &schema, &name);
	if (*name)
		reader_note_operator(r, schema, name);
}

bool
read_expression(struct reader *r, uint32_t at)
{
	static const struct {
		const char *kind, *low, *high;
	} ranges[] = {
		{ "AEXPR_BETWEEN", ">=", "<=" },
		{ "AEXPR_BETWEEN_SYM", ">=", "<=" },
		{ "AEXPR_NOT_BETWEEN", "<", ">" },
		{ "AEXPR_NOT_BETWEEN_SYM", "<", ">" },
	};
	for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
		if (!node_is(r, at, "kind", ranges[i].kind))
			continue;
		reader_note_operator(r, "", ranges[i].low);
		reader_note_operator(r, "", ranges[i].high);
		return true; /* its name is the word BETWEEN */
	}
	note_operator_of(r, node_field(r, at, "name"));
	return true;
}

/* A field that is an operator's name: of x = ANY (SELECT ...), of ORDER BY x USING <. */
bool
read_operator(struct reader *r, uint32_t at)
{
	note_operator_of(r, at);
	return true;
}

/* CASE x WHEN y */
bool
read_case(struct reader *r, uint32_t at)
{
	if (node_field(r, at, "arg"))
		reader_note_operator(r, "", "=");
	return true;
}

/* JOIN ... USING (x), NATURAL JOIN */
bool
read_join(struct reader *r, uint32_t at)
{
	if (node_field(r, at, "usingClause") || node_is_true(r, at, "isNatural"))
		reader_note_operator(r, "", "=");
	return true;
}

/* ---- functions ---- */

/* set_config(name, value, is_local) */
static void
read_set_config(struct reader *r, uint32_t args)
{
	uint32_t count = 0;
	const char *given[3] = { 0 };

	if (args) {
		tree_each(r->tree, args, arg) {
			if (count < 3)
				given[count] = reader_constant(r, arg);
			count++;
		}
	}
	r->uses_constants = true;
	const char *name = given[0] ? reader_lower(r, given[0]) : NULL;
	struct sql_touch *touch = reader_note_touch(r, SQL_TOUCH_SET_CONFIG, name);
	touch->value = given[1];
	const char *local = given[2] ? reader_lower(r, given[2]) : "";
	/* As bool reads it; whatever else is not known here. */
	bool is_yes = strcmp(local, "true") == 0 || strcmp(local, "t") == 0 || strcmp(local, "on") == 0;
	bool is_no = strcmp(local, "false") == 0 || strcmp(local, "f") == 0 || strcmp(local, "off") == 0;
	touch->is_local = is_yes;
	touch->is_local_known = is_yes || is_no;
	r->effects |= is_yes ? SQL_TRANSACTION : SQL_SESSION;
}

bool
read_function(struct reader *r, uint32_t at)
{
	const char *schema, *name;
	uint32_t args = node_field(r, at, "args"), count = args ? tree_size(r->tree, args) : 0;

	if (node_is_true(r, at, "func_variadic"))
		count = UINT16_MAX;
	reader_split_name(r, node_field(r, at, "funcname"), &schema, &name);
	reader_note_function(r, schema, name, count);
	if (node_is_temporary(schema))
		node_note_temporary(r, name, false);
	if (r->is_planned || (*schema && strcmp(schema, "pg_catalog") != 0))
		return true;
	if (strcmp(name, "set_config") == 0) {
		read_set_config(r, args);
	} else if (strcmp(name, "pg_notify") == 0) {
		const char *channel = count > 0 && args ? reader_constant(r, args + 1) : NULL;
		r->uses_constants = true;
		reader_note_touch(r, SQL_TOUCH_NOTIFY, channel);
	}
	return true;
}

/* The two methods of PostgreSQL read; another one is code. */
bool
read_sample(struct reader *r, uint32_t at)
{
	const char *schema, *name;
	reader_split_name(r, node_field(r, at, "method"), &schema, &name);
	if (strcmp(name, "system") != 0 && strcmp(name, "bernoulli") != 0)
		reader_note_function(r, schema, name, 1);
	return true;
}
