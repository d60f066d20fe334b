/* src/sql/question.c - see sql/question.h. */
#include "sql/question.h"

#include <string.h>

#include "reader.h"
#include "sql/literal.h"

bool
question_is_worthwhile(const struct sql_facts *facts)
{
	return facts->result == SQL_PARSED && !(facts->effects & ~(SQL_EFFECTS_OF_READING | SQL_ASK_NAMES | SQL_LOCKS));
}

/* They tell servers apart: no builtins, as it is not all the same where they are read, but they do no more than read. */
static const char *const telling[] = { "pg_is_in_recovery", "inet_server_addr", "inet_server_port", "pg_backend_pid" };
#define TELLING (sizeof(telling) / sizeof(telling[0]))

/* Stable to the catalog, and yet they do more than read: see contrib/sql-builtins. */
static const char *const acting[] = {
	"txid_current", "pg_current_xact_id", "table_to_xml", "table_to_xmlschema", "table_to_xml_and_xmlschema", "schema_to_xml",
	"schema_to_xmlschema", "schema_to_xml_and_xmlschema", "database_to_xml", "database_to_xmlschema",
	"database_to_xml_and_xmlschema", "json_populate_record", "json_populate_recordset", "jsonb_populate_record",
	"jsonb_populate_recordset", "fmgr_c_validator", "fmgr_internal_validator", "fmgr_sql_validator",
};
#define ACTING (sizeof(acting) / sizeof(acting[0]))

bool
question_is_own(const struct sql_name *name)
{
	if (name->is_builtin)
		return true;
	bool is_pg = name->schema[0] == '\0' || strcmp(name->schema, "pg_catalog") == 0;
	for (size_t i = 0; i < TELLING && is_pg && name->kind == SQL_NAME_FUNCTION && name->arguments == 0; i++)
		if (strcmp(name->name, telling[i]) == 0)
			return true;
	return false;
}

/* ---- the rows ---- */

static void
add_name(struct buf *rows, const char *name, bool is_lowered)
{
	buf_addf(rows, is_lowered ? "pg_catalog.lower(" : "");
	sql_add_literal(rows, name);
	buf_addf(rows, is_lowered ? ")::name" : "::name");
}

static void
add_row(struct buf *rows, const struct sql_name *n, bool is_lowered)
{
	static const char *const kinds[] = {
		[SQL_NAME_FUNCTION] = "function", [SQL_NAME_OPERATOR] = "operator",   [SQL_NAME_TYPE] = "type",
		[SQL_NAME_RELATION] = "relation", [SQL_NAME_ATTRIBUTE] = "attribute",
	};
	bool is_needed = !is_lowered && !n->may_be_cte && n->kind != SQL_NAME_ATTRIBUTE;
	buf_addf(rows, "%s\n\t('%s', ", rows->n > 0 ? "," : "", kinds[n->kind]);
	add_name(rows, n->schema, is_lowered);
	buf_addf(rows, ", ");
	add_name(rows, n->name, is_lowered);
	buf_addf(rows, ", %s, %s)", question_is_own(n) ? "true" : "false", is_needed ? "true" : "false");
}

static bool
is_ascii(const char *s)
{
	for (; *s; s++)
		if (*s & 0x80)
			return false;
	return true;
}

void
question_add(struct buf *rows, const struct sql_facts *facts)
{
	for (uint32_t i = 0; i < facts->name_count; i++) {
		const struct sql_name *n = &facts->names[i];
		add_row(rows, n, false);
		/* A server whose encoding has one byte for each character folds letters that libpg_query does not. */
		if (!is_ascii(n->name) || !is_ascii(n->schema))
			add_row(rows, n, true);
	}
}

bool
question_is_plain(struct view rows)
{
	for (size_t i = 0; i < rows.n; i++)
		if (rows.p[i] & 0x80)
			return false;
	return true;
}

/* ---- the question ---- */

/*
 * One Query of several statements is one transaction: what is SET LOCAL in it is gone with it, whatever becomes of it. With
 * nothing but pg_catalog in front, each operator and function below is PostgreSQL's own.
 */
static const char begins[] =
	"SET LOCAL search_path = pg_catalog, pg_temp; SET LOCAL statement_timeout = %u;\n"
	"SELECT set_config('jit', 'off', true) WHERE current_setting('jit', true) IS NOT NULL;\n"
	"WITH RECURSIVE asked (kind, schema, name, is_own, is_needed) AS (VALUES";

/* 16384: the first oid that is not PostgreSQL's own. Names are found by the catalog's indexes: no function is looked at
 * that has nothing to do with it. */
static const char goes_on[] =
"\n),\n"
"named (kind, schema, name, oid, is_pg, is_own) AS (\n"
"	SELECT a.kind, a.schema, a.name, x.oid, x.oid < 16384 AND x.space = 'pg_catalog'::regnamespace, a.is_own\n"
"	FROM asked a CROSS JOIN LATERAL (\n"
"		SELECT p.oid, p.pronamespace FROM pg_proc p WHERE a.kind = 'function' AND p.proname = a.name\n"
"		UNION ALL SELECT p.oid, p.pronamespace FROM pg_proc p WHERE a.kind = 'attribute' AND p.proname = a.name\n"
"			AND p.oid >= 16384 AND p.pronargs >= 1 AND p.pronargs - p.pronargdefaults <= 1\n"
"		UNION ALL SELECT o.oid, o.oprnamespace FROM pg_operator o WHERE a.kind = 'operator' AND o.oprname = a.name\n"
"		UNION ALL SELECT t.oid, t.typnamespace FROM pg_type t WHERE a.kind = 'type' AND t.typname = a.name\n"
"		UNION ALL SELECT c.oid, c.relnamespace FROM pg_class c WHERE a.kind = 'relation' AND c.relname = a.name\n"
"	) x (oid, space)\n"
"	WHERE a.schema = '' OR x.space = (SELECT n.oid FROM pg_namespace n WHERE n.nspname = a.schema)\n"
"),\n"
/* Relations, operators and functions that have a name or are behind one that has: all that is read or called. */
"things (kind, oid) AS (\n"
"	SELECT CASE n.kind WHEN 'attribute' THEN 'function' ELSE n.kind END, n.oid\n"
"	FROM named n WHERE n.kind = 'relation' OR NOT n.is_pg\n"
"	UNION\n"
"	SELECT next.kind, next.oid FROM things t CROSS JOIN LATERAL (\n"
"		SELECT 'relation', i.inhrelid FROM pg_inherits i WHERE t.kind = 'relation' AND i.inhparent = t.oid\n"
"		UNION ALL SELECT CASE m[1] WHEN 'relid' THEN 'relation' WHEN 'opno' THEN 'operator' ELSE 'function' END, m[2]::oid\n"
"		FROM (\n"
"			SELECT w.ev_action::text FROM pg_rewrite w JOIN pg_class c ON c.oid = w.ev_class\n"
"				WHERE t.kind = 'relation' AND w.ev_class = t.oid AND w.ev_type = '1' AND c.relkind <> 'm'\n"
"			UNION ALL SELECT concat(p.polqual::text, ' ', p.polwithcheck::text) FROM pg_policy p\n"
"				WHERE t.kind = 'relation' AND p.polrelid = t.oid\n"
"			UNION ALL SELECT p.proargdefaults::text FROM pg_proc p\n"
"				WHERE t.kind = 'function' AND p.oid = t.oid AND p.pronargdefaults > 0\n"
"		) tree (nodes),\n"
"		regexp_matches(nodes, ':(relid|opno|funcid|opfuncid|aggfnoid|winfnoid|tsmhandler) ([0-9]+)', 'g') m\n"
"		UNION ALL SELECT 'function', f.oid FROM pg_operator o, unnest(ARRAY[o.oprcode::oid,\n"
"				(SELECT c.oprcode FROM pg_operator c WHERE c.oid = o.oprcom),\n"
"				(SELECT c.oprcode FROM pg_operator c WHERE c.oid = o.oprnegate)]) f (oid)\n"
"			WHERE t.kind = 'operator' AND o.oid = t.oid\n"
"		UNION ALL SELECT 'function', f.oid FROM pg_aggregate g, unnest(ARRAY[g.aggtransfn, g.aggfinalfn, g.aggcombinefn,\n"
"				g.aggserialfn, g.aggdeserialfn, g.aggmtransfn, g.aggminvtransfn, g.aggmfinalfn]::oid[]) f (oid)\n"
"			WHERE t.kind = 'function' AND t.oid >= 16384 AND g.aggfnoid = t.oid\n"
"	) next (kind, oid)\n"
"),\n"
"called (oid, by) AS (\n"
"	SELECT t.oid, NULL FROM things t WHERE t.kind = 'function'\n"
"	UNION SELECT c.castfunc, 'a cast' FROM pg_cast c WHERE c.oid >= 16384\n"
"	UNION SELECT a.amproc::oid, 'an operator class' FROM pg_amproc a WHERE a.oid >= 16384\n"
"	UNION SELECT o.oprcode::oid, 'an operator class' FROM pg_amop a JOIN pg_operator o ON o.oid = a.amopopr\n"
"		WHERE a.oid >= 16384\n"
"	UNION SELECT f.oid, 'a type' FROM pg_type t, unnest(ARRAY[t.typinput, t.typoutput, t.typreceive, t.typsend,\n"
"			t.typmodin, t.typmodout]::oid[]) f (oid)\n"
"		WHERE t.typtype = 'b' AND t.oid >= 16384 AND t.typinput >= 16384\n"
"	UNION SELECT f.oid, 'a range' FROM pg_range r, unnest(ARRAY[r.rngcanonical, r.rngsubdiff]::oid[]) f (oid)\n"
"		WHERE r.rngtypid >= 16384\n"
"	UNION SELECT m[1]::oid, 'a domain'\n"
"		FROM pg_constraint k, regexp_matches(k.conbin::text, ':(?:funcid|opfuncid) ([0-9]+)', 'g') m\n"
"		WHERE k.contypid >= 16384 AND (%s\n"
"			OR EXISTS (SELECT FROM named n WHERE n.kind <> 'relation' AND NOT n.is_pg)\n"
"			OR EXISTS (SELECT FROM things t WHERE t.kind <> 'relation' AND t.oid >= 16384)\n"
"			OR EXISTS (SELECT FROM things t JOIN pg_class c ON c.oid = t.oid\n"
"				WHERE t.kind = 'relation' AND t.oid >= 16384 AND c.relkind = 'v')\n"
"			OR EXISTS (SELECT FROM things t JOIN pg_attribute a ON a.attrelid = t.oid\n"
"				WHERE t.kind = 'relation' AND a.atttypid >= 16384))\n"
")\n"
"SELECT coalesce(\n"
"	(SELECT concat('there is no ', a.kind, ' ', a.name) FROM asked a WHERE a.is_needed AND NOT EXISTS\n"
"		(SELECT FROM named n WHERE n.kind = a.kind AND n.name = a.name AND n.schema = a.schema) LIMIT 1),\n"
"	(SELECT concat('PostgreSQL''s ', n.kind, ' ', n.name, ' may do more than read') FROM named n\n"
"		WHERE n.is_pg AND NOT n.is_own AND n.kind <> 'relation' LIMIT 1),\n"
"	(SELECT concat(t.oid::regclass, ' is not a table of this server') FROM things t JOIN pg_class c ON c.oid = t.oid\n"
"		WHERE t.kind = 'relation' AND c.relkind NOT IN ('r', 'p', 'm', 'S', 'v', 't') LIMIT 1),\n"
"	(SELECT concat(p.oid::regprocedure, ' is volatile', ', and called by ' || f.by)\n"
"		FROM called f JOIN pg_proc p ON p.oid = f.oid\n"
"		WHERE CASE WHEN p.oid < 16384 AND p.pronamespace = 'pg_catalog'::regnamespace\n"
"			THEN (p.provolatile = 'v' AND p.proname NOT IN (";

static const char refuses[] = ")) OR p.proname IN (";

static const char ends[] = ")\n"
"			ELSE p.provolatile = 'v' OR (f.by = 'a domain' AND p.pronargdefaults > 0) END LIMIT 1))";

static void
add_to_list(struct buf *out, const char *name, bool is_first)
{
	if (!is_first)
		buf_add(out, VIEW(", "));
	sql_add_literal(out, name);
}

/* Volatile for their answer alone. set_config() is in that table for what it is given, which a tree does not tell. */
static void
add_reading(struct buf *out)
{
	const struct sql_function *f;
	for (size_t i = 0; i < TELLING; i++)
		add_to_list(out, telling[i], i == 0);
	for (size_t i = 0; (f = sql_function_at(i)); i++)
		if (f->effects == 0 && strcmp(f->name, "set_config") != 0)
			add_to_list(out, f->name, false);
}

void
question_end(struct view rows, bool has_types, unsigned limit_ms, struct buf *out)
{
	buf_addf(out, begins, limit_ms);
	buf_add(out, rows);
	buf_addf(out, goes_on, has_types ? "true" : "false");
	add_reading(out);
	buf_add(out, VIEW(refuses));
	for (size_t i = 0; i < ACTING; i++)
		add_to_list(out, acting[i], i == 0);
	buf_add(out, VIEW(ends));
	buf_add_u8(out, 0);
}
