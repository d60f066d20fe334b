/* src/sql/statements.c - nodes that are whole statements and say more than a row can. See nodes.h. */
#include "nodes.h"

static const char *
null_if_empty(const char *s)
{
	return *s ? s : NULL;
}

/* ---- transactions ---- */

/* READ ONLY, READ WRITE among the options of BEGIN and SET TRANSACTION: 1 and 0. */
static enum sql_access
access_of(struct reader *r, uint32_t options)
{
	enum sql_access access = SQL_ACCESS_UNSAID;

	if (options == 0)
		return access;
	tree_each(r->tree, options, option) {
		uint32_t element = node_field(r, option, "DefElem");
		if (!element || !node_is(r, element, "defname", "transaction_read_only"))
			continue;
		const char *value = reader_constant(r, node_field(r, element, "arg"));
		access = value && strcmp(value, "0") == 0 ? SQL_ACCESS_READ_WRITE : SQL_ACCESS_READ_ONLY;
	}
	return access;
}

bool
read_transaction(struct reader *r, uint32_t at)
{
	static const struct {
		const char *word;
		enum sql_kind kind;
		uint32_t effects;
	} kinds[] = {
		{ "TRANS_STMT_BEGIN", SQL_BEGIN, SQL_BEGINS },
		{ "TRANS_STMT_START", SQL_BEGIN, SQL_BEGINS },
		{ "TRANS_STMT_COMMIT", SQL_COMMIT, SQL_ENDS },
		{ "TRANS_STMT_ROLLBACK", SQL_ROLLBACK, SQL_ENDS },
		{ "TRANS_STMT_SAVEPOINT", SQL_SAVEPOINT, SQL_SUBTRANSACTION },
		{ "TRANS_STMT_RELEASE", SQL_RELEASE, SQL_SUBTRANSACTION },
		{ "TRANS_STMT_ROLLBACK_TO", SQL_ROLLBACK_TO, SQL_SUBTRANSACTION },
		{ "TRANS_STMT_PREPARE", SQL_PREPARE_TRANSACTION, SQL_ENDS | SQL_WRITES },
		{ "TRANS_STMT_COMMIT_PREPARED", SQL_COMMIT_PREPARED, SQL_WRITES | SQL_NO_BLOCK },
		{ "TRANS_STMT_ROLLBACK_PREPARED", SQL_ROLLBACK_PREPARED, SQL_WRITES | SQL_NO_BLOCK },
	};
	uint32_t effects = SQL_WRITES; /* of a kind that we don't know */

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (node_is(r, at, "kind", kinds[i].word)) {
			r->statement->kind = kinds[i].kind;
			effects = kinds[i].effects;
		}
	}
	r->effects |= effects;
	r->statement->access = access_of(r, node_field(r, at, "options"));
	r->statement->chains = node_is_true(r, at, "chain");
	const char *savepoint = node_string(r, at, "savepoint_name");
	r->statement->name = *savepoint ? savepoint : node_string(r, at, "gid");
	return false;
}

/* ---- settings ---- */

/* SET SESSION CHARACTERISTICS AS TRANSACTION x, y: sets default_transaction_x and ..._y. */
static void
read_characteristics(struct reader *r, uint32_t args)
{
	tree_each(r->tree, args, arg) {
		uint32_t element = node_field(r, arg, "DefElem");
		if (!element)
			continue;
		struct buf name = { 0 };
		buf_addf(&name, "default_%s", node_string(r, element, "defname"));
		buf_add_u8(&name, 0);
		struct sql_touch *touch = reader_note_touch(r, SQL_TOUCH_SET, reader_lower(r, (const char *)name.p));
		buf_free(&name);
		const char *value = reader_constant(r, node_field(r, element, "arg"));
		if (value && (strcmp(value, "0") == 0 || strcmp(value, "1") == 0))
			value = *value == '1' ? "on" : "off";
		touch->value = value;
	}
}

/* libpg_query 15 prints no integer below 1 (-1 looks like 0): the text tells. */
static bool
is_negative(const struct reader *r, uint32_t constant)
{
	uint32_t location = node_field(r, constant, "location");
	size_t at = location ? tree_number(r->tree, location) : 0;
	return at < r->text.n && r->text.p[at] == '-';
}

static void
read_set_value(struct reader *r, uint32_t at, const char *name, bool is_local)
{
	uint32_t args = node_field(r, at, "args");
	struct sql_touch *touch = reader_note_touch(r, SQL_TOUCH_SET, name);
	touch->is_local = is_local;
	/* A cast is INTERVAL '1' HOUR of SET TIME ZONE, which is more than its constant. */
	uint32_t constant = args && tree_size(r->tree, args) == 1 ? node_field(r, args + 1, "A_Const") : 0;
	if (constant && (node_field(r, constant, "ival") == 0 || !is_negative(r, constant)))
		touch->value = reader_constant(r, args + 1);
}

bool
read_set(struct reader *r, uint32_t at)
{
	bool is_local = node_is_true(r, at, "is_local");
	const char *given = node_string(r, at, "name"), *name = reader_lower(r, given);
	uint32_t args = node_field(r, at, "args");

	if (node_is(r, at, "kind", "VAR_RESET_ALL")) {
		reader_note_touch(r, SQL_TOUCH_RESET_ALL, NULL);
	} else if (node_is(r, at, "kind", "VAR_RESET") || node_is(r, at, "kind", "VAR_SET_DEFAULT")) {
		reader_note_touch(r, SQL_TOUCH_RESET, name)->is_local = is_local;
	} else if (node_is(r, at, "kind", "VAR_SET_VALUE")) {
		read_set_value(r, at, name, is_local);
	} else if (node_is(r, at, "kind", "VAR_SET_MULTI") && strcmp(given, "SESSION CHARACTERISTICS") == 0 && args) {
		read_characteristics(r, args);
	} else if (node_is(r, at, "kind", "VAR_SET_MULTI")) { /* TRANSACTION, TRANSACTION SNAPSHOT */
		r->statement->kind = SQL_SET_TRANSACTION;
		r->statement->access = access_of(r, args);
		is_local = true;
	} else {
		r->effects |= SQL_WRITES; /* FROM CURRENT, which is for functions only */
	}
	r->effects |= is_local ? SQL_TRANSACTION : SQL_SESSION;
	return false;
}

bool
read_show(struct reader *r, uint32_t at)
{
	reader_note_touch(r, SQL_TOUCH_SHOW, reader_lower(r, node_string(r, at, "name")));
	return false;
}

/* ---- what a session keeps ---- */

bool
read_prepare(struct reader *r, uint32_t at)
{
	uint32_t effects = r->effects;

	reader_note_touch(r, SQL_TOUCH_PREPARE, node_string(r, at, "name"));
	r->effects = 0;
	r->is_deferred = true;
	node_walk(r, at, "argtypes");
	node_walk(r, at, "query");
	r->is_deferred = false;
	r->statement->prepares = r->effects;
	r->effects = effects;
	return false;
}

bool
read_execute(struct reader *r, uint32_t at)
{
	reader_note_touch(r, SQL_TOUCH_EXECUTE, node_string(r, at, "name"));
	return true; /* its parameters are expressions */
}

bool
read_deallocate(struct reader *r, uint32_t at)
{
	reader_note_touch(r, SQL_TOUCH_DEALLOCATE, node_field(r, at, "name") ? node_string(r, at, "name") : NULL);
	return true;
}

#define CURSOR_OPT_HOLD 0x0020 /* nodes/parsenodes.h */

bool
read_declare(struct reader *r, uint32_t at)
{
	uint32_t options = node_field(r, at, "options"), bits = options ? tree_number(r->tree, options) : 0;

	if (!r->is_planned)
		reader_note_touch(r, SQL_TOUCH_DECLARE, node_string(r, at, "portalname"))->is_local =
		        !(bits & CURSOR_OPT_HOLD);
	return true;
}

bool
read_fetch(struct reader *r, uint32_t at)
{
	reader_note_touch(r, SQL_TOUCH_FETCH, node_string(r, at, "portalname"));
	return true;
}

/* UPDATE ... WHERE CURRENT OF cursor */
bool
read_current_of(struct reader *r, uint32_t at)
{
	reader_note_touch(r, SQL_TOUCH_FETCH, null_if_empty(node_string(r, at, "cursor_name")));
	return true;
}

bool
read_close(struct reader *r, uint32_t at)
{
	reader_note_touch(r, SQL_TOUCH_CLOSE, node_field(r, at, "portalname") ? node_string(r, at, "portalname") : NULL);
	return true;
}

bool
read_listen(struct reader *r, uint32_t at)
{
	reader_note_touch(r, SQL_TOUCH_LISTEN, node_string(r, at, "conditionname"));
	return true;
}

bool
read_unlisten(struct reader *r, uint32_t at)
{
	reader_note_touch(r, SQL_TOUCH_UNLISTEN, null_if_empty(node_string(r, at, "conditionname")));
	return true;
}

bool
read_notify(struct reader *r, uint32_t at)
{
	reader_note_touch(r, SQL_TOUCH_NOTIFY, node_string(r, at, "conditionname"));
	return true;
}

bool
read_discard(struct reader *r, uint32_t at)
{
	const char *target = reader_lower(r, node_string(r, at, "target")); /* DISCARD_ALL */
	target += strncmp(target, "discard_", 8) == 0 ? 8 : 0;
	if (strcmp(target, "all") == 0)
		r->effects |= SQL_NO_BLOCK;
	reader_note_touch(r, SQL_TOUCH_DISCARD, target);
	return true;
}

bool
read_load(struct reader *r, uint32_t at)
{
	reader_note_touch(r, SQL_TOUCH_LOAD, node_string(r, at, "filename"));
	return true;
}

/* ---- what is made: is it temporary? ---- */

static bool
read_made(struct reader *r, uint32_t at, const char *what, const char *on_commit)
{
	uint32_t made = node_field(r, at, what);
	if (made && node_is(r, made, "relpersistence", "t"))
		node_note_temporary(r, node_string(r, made, "relname"), on_commit && node_is(r, at, on_commit, "ONCOMMIT_DROP"));
	r->effects |= SQL_WRITES;
	return true;
}

bool
read_create_table(struct reader *r, uint32_t at)
{
	return read_made(r, at, "relation", "oncommit");
}

bool
read_into(struct reader *r, uint32_t at)
{
	return read_made(r, at, "rel", "onCommit");
}

bool
read_create_view(struct reader *r, uint32_t at)
{
	return read_made(r, at, "view", NULL);
}

bool
read_create_sequence(struct reader *r, uint32_t at)
{
	return read_made(r, at, "sequence", NULL);
}

/* A name in a list, as of CREATE FUNCTION pg_temp.f() or CREATE TYPE pg_temp.t. */
bool
read_string_node(struct reader *r, uint32_t at)
{
	if (r->statement->kind == SQL_OTHER && node_is_temporary(node_string(r, at, "sval")))
		node_note_temporary(r, NULL, false);
	return false;
}

/* ---- statements with options that decide ---- */

static bool
is_off(const char *value)
{
	return strcmp(value, "off") == 0 || strcmp(value, "false") == 0 || strcmp(value, "0") == 0;
}

/* Option `name` of a list of DefElems; without a value it is on. The last one counts, as in PostgreSQL. */
static bool
option_is_on(struct reader *r, uint32_t options, const char *name)
{
	bool is_on = false;

	if (options == 0)
		return false;
	tree_each(r->tree, options, option) {
		uint32_t element = node_field(r, option, "DefElem");
		if (!element || strcmp(reader_lower(r, node_string(r, element, "defname")), name) != 0)
			continue;
		uint32_t arg = node_field(r, element, "arg"), string = arg ? node_field(r, arg, "String") : 0;
		uint32_t number = arg ? node_field(r, arg, "Integer") : 0;
		is_on = true;
		if (string)
			is_on = !is_off(reader_lower(r, node_string(r, string, "sval")));
		else if (number)
			is_on = node_field(r, number, "ival") != 0; /* 0 is left out */
	}
	return is_on;
}

/*
 * Without ANALYZE nothing is run. What would write takes its locks, which a standby refuses. What the session has is
 * needed all the same, and CREATE TEMP TABLE AS makes the schema of its temporary tables (seen by the live test).
 */
bool
read_explain(struct reader *r, uint32_t at)
{
	bool is_analyze = option_is_on(r, node_field(r, at, "options"), "analyze");
	uint32_t effects = r->effects;

	r->is_planned = !is_analyze;
	r->effects = 0;
	node_walk(r, at, "query");
	if (r->is_planned)
		r->effects = (r->effects & (SQL_WRITES | SQL_LOCKS) ? SQL_LEADER_ONLY : 0) | (r->effects & SQL_SESSION);
	r->is_planned = false;
	r->effects |= effects;
	return false;
}

bool
read_copy(struct reader *r, uint32_t at)
{
	bool is_from = node_is_true(r, at, "is_from"), is_on_server = node_field(r, at, "filename") != 0;

	if (is_from) {
		read_target(r, at);
		r->effects |= SQL_WRITES;
	}
	if (is_on_server)
		r->effects |= SQL_WRITES; /* a file or a program of the server's */
	else
		r->effects |= is_from ? SQL_COPY_IN : SQL_COPY_OUT;
	return true;
}

/* ANALYZE may run in a block. */
bool
read_vacuum(struct reader *r, uint32_t at)
{
	if (node_is_true(r, at, "is_vacuumcmd"))
		r->effects |= SQL_NO_BLOCK;
	return true;
}

bool
read_reindex(struct reader *r, uint32_t at)
{
	if (!node_field(r, at, "relation") || option_is_on(r, node_field(r, at, "params"), "concurrently"))
		r->effects |= SQL_NO_BLOCK; /* a schema, a database */
	return true;
}

bool
read_cluster(struct reader *r, uint32_t at)
{
	if (!node_field(r, at, "relation"))
		r->effects |= SQL_NO_BLOCK;
	return true;
}

/* CREATE INDEX, DROP INDEX, DETACH PARTITION; REFRESH MATERIALIZED VIEW CONCURRENTLY does not mind a block */
bool
read_concurrent(struct reader *r, uint32_t at)
{
	if (node_is_true(r, at, "concurrent"))
		r->effects |= SQL_NO_BLOCK;
	return true;
}
