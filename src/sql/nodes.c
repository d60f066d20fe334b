/*
 * src/sql/nodes.c - what each node of a parse tree says about effects, names and the session: one row each.
 *
 * A key of the tree that begins with a capital is a kind of node. **One without a row writes**: nearly all of DDL, and
 * whatever a newer libpg_query brings. Keys in small letters are fields; those with a row tell something wherever they
 * are, the others are walked through. Nothing is skipped on the way down but where a handler says so.
 *
 * Source: PostgreSQL 15, nodes/parsenodes.h and primnodes.h; what runs in no transaction block: PreventInTransactionBlock()
 * in tcop/utility.c and commands/.
 */
#include "nodes.h"

#include <stdlib.h>

struct row {
	const char *key;
	enum sql_kind kind; /* of the statement, when this is what it consists of */
	uint32_t effects;
	node_reader *read;
};

static const struct row rows[] = {
	/* transactions */
	{ "TransactionStmt", SQL_OTHER, 0, read_transaction },
	{ "ConstraintsSetStmt", SQL_OTHER, SQL_WRITES | SQL_TRANSACTION, NULL }, /* IMMEDIATE runs the triggers that waited */
	{ "LockStmt", SQL_LOCK, SQL_LOCKS | SQL_LEADER_ONLY, NULL },

	/* data */
	{ "SelectStmt", SQL_SELECT, 0, NULL },
	{ "lockingClause", SQL_OTHER, SQL_LOCKS | SQL_LEADER_ONLY, NULL }, /* FOR UPDATE: writes nothing but its lock */
	{ "intoClause", SQL_OTHER, SQL_WRITES, read_into },
	{ "into", SQL_OTHER, SQL_WRITES, read_into },
	{ "InsertStmt", SQL_INSERT, SQL_WRITES, read_target },
	{ "UpdateStmt", SQL_UPDATE, SQL_WRITES, read_target },
	{ "DeleteStmt", SQL_DELETE, SQL_WRITES, read_target },
	{ "MergeStmt", SQL_MERGE, SQL_WRITES, read_target },
	{ "CopyStmt", SQL_COPY, 0, read_copy },

	/* settings */
	{ "VariableSetStmt", SQL_SET, 0, read_set },
	{ "VariableShowStmt", SQL_SHOW, 0, read_show },

	/* prepared statements, cursors */
	{ "PrepareStmt", SQL_PREPARE, SQL_SESSION, read_prepare },
	{ "ExecuteStmt", SQL_EXECUTE, SQL_SESSION | SQL_ASK_SESSION, read_execute },
	{ "DeallocateStmt", SQL_DEALLOCATE, SQL_SESSION, read_deallocate },
	{ "DeclareCursorStmt", SQL_DECLARE, SQL_SESSION, read_declare },
	{ "FetchStmt", SQL_FETCH, SQL_SESSION | SQL_ASK_SESSION, read_fetch },
	{ "CurrentOfExpr", SQL_OTHER, SQL_SESSION | SQL_ASK_SESSION, read_current_of },
	{ "ClosePortalStmt", SQL_CLOSE, SQL_SESSION, read_close },

	/* the rest of what a session keeps */
	{ "ListenStmt", SQL_LISTEN, SQL_SESSION | SQL_LEADER_ONLY, read_listen },
	{ "UnlistenStmt", SQL_UNLISTEN, SQL_SESSION, read_unlisten },
	{ "NotifyStmt", SQL_NOTIFY, SQL_WRITES, read_notify }, /* a transaction that notifies gets an id */
	{ "DiscardStmt", SQL_DISCARD, SQL_SESSION | SQL_WRITES, read_discard }, /* temporary tables are dropped */
	{ "LoadStmt", SQL_OTHER, SQL_SESSION, read_load },

	/* code */
	{ "CallStmt", SQL_CALL, SQL_WRITES | SQL_RUNS_CODE, NULL },
	{ "funccall", SQL_OTHER, 0, read_function },
	{ "DoStmt", SQL_DO, SQL_WRITES | SQL_RUNS_CODE, NULL },

	/* what is made may be temporary */
	{ "CreateStmt", SQL_OTHER, SQL_WRITES, read_create_table },
	{ "CreateTableAsStmt", SQL_OTHER, SQL_WRITES, NULL },
	{ "ViewStmt", SQL_OTHER, SQL_WRITES, read_create_view },
	{ "CreateSeqStmt", SQL_OTHER, SQL_WRITES, read_create_sequence },
	{ "String", SQL_OTHER, 0, read_string_node },

	/* not inside a transaction block */
	{ "IndexStmt", SQL_OTHER, SQL_WRITES, read_concurrent },
	{ "DropStmt", SQL_OTHER, SQL_WRITES, read_concurrent },
	{ "PartitionCmd", SQL_OTHER, SQL_WRITES, read_concurrent },
	{ "VacuumStmt", SQL_OTHER, SQL_WRITES, read_vacuum },
	{ "ReindexStmt", SQL_OTHER, SQL_WRITES, read_reindex },
	{ "ClusterStmt", SQL_OTHER, SQL_WRITES, read_cluster },
	{ "CreatedbStmt", SQL_OTHER, SQL_WRITES | SQL_NO_BLOCK, NULL },
	{ "DropdbStmt", SQL_OTHER, SQL_WRITES | SQL_NO_BLOCK, NULL },
	{ "CreateTableSpaceStmt", SQL_OTHER, SQL_WRITES | SQL_NO_BLOCK, NULL },
	{ "DropTableSpaceStmt", SQL_OTHER, SQL_WRITES | SQL_NO_BLOCK, NULL },
	{ "AlterSystemStmt", SQL_OTHER, SQL_WRITES | SQL_NO_BLOCK, NULL },
	/* ALTER DATABASE ... SET TABLESPACE, and subscriptions with a slot: in doubt, in no block */
	{ "AlterDatabaseStmt", SQL_OTHER, SQL_WRITES | SQL_NO_BLOCK, NULL },
	{ "CreateSubscriptionStmt", SQL_OTHER, SQL_WRITES | SQL_NO_BLOCK, NULL },
	{ "AlterSubscriptionStmt", SQL_OTHER, SQL_WRITES | SQL_NO_BLOCK, NULL },
	{ "DropSubscriptionStmt", SQL_OTHER, SQL_WRITES | SQL_NO_BLOCK, NULL },

	{ "ExplainStmt", SQL_EXPLAIN, 0, read_explain },

	/* expressions that call something */
	{ "FuncCall", SQL_OTHER, 0, read_function },
	{ "A_Expr", SQL_OTHER, 0, read_expression },
	{ "operName", SQL_OTHER, 0, read_operator },
	{ "useOp", SQL_OTHER, 0, read_operator },
	{ "CaseExpr", SQL_OTHER, 0, read_case },
	{ "JoinExpr", SQL_OTHER, 0, read_join },
	{ "TypeName", SQL_OTHER, 0, read_type },
	{ "typeName", SQL_OTHER, 0, read_type },
	{ "ColumnRef", SQL_OTHER, 0, read_column },
	{ "A_Indirection", SQL_OTHER, 0, read_indirection },
	{ "RangeTableSample", SQL_OTHER, 0, read_sample },
	{ "CommonTableExpr", SQL_OTHER, 0, read_cte },

	/* those that call nothing by themselves */
	{ "A_ArrayExpr", SQL_OTHER, 0, NULL },
	{ "A_Const", SQL_OTHER, 0, NULL },
	{ "A_Indices", SQL_OTHER, 0, NULL },
	{ "A_Star", SQL_OTHER, 0, NULL },
	{ "Alias", SQL_OTHER, 0, NULL },
	{ "BitString", SQL_OTHER, 0, NULL },
	{ "BoolExpr", SQL_OTHER, 0, NULL },
	{ "Boolean", SQL_OTHER, 0, NULL },
	{ "BooleanTest", SQL_OTHER, 0, NULL },
	{ "CTECycleClause", SQL_OTHER, 0, NULL },
	{ "CTESearchClause", SQL_OTHER, 0, NULL },
	{ "CaseWhen", SQL_OTHER, 0, NULL },
	{ "CoalesceExpr", SQL_OTHER, 0, NULL },
	{ "CollateClause", SQL_OTHER, 0, NULL },
	{ "ColumnDef", SQL_OTHER, 0, NULL }, /* also of AS t (a int) behind a function */
	{ "DefElem", SQL_OTHER, 0, NULL },
	{ "Float", SQL_OTHER, 0, NULL },
	{ "GroupingFunc", SQL_OTHER, 0, NULL },
	{ "GroupingSet", SQL_OTHER, 0, NULL },
	{ "IndexElem", SQL_OTHER, 0, NULL }, /* ON CONFLICT (x) */
	{ "Integer", SQL_OTHER, 0, NULL },
	{ "List", SQL_OTHER, 0, NULL },
	{ "LockingClause", SQL_OTHER, SQL_LOCKS | SQL_LEADER_ONLY, NULL },
	{ "MergeWhenClause", SQL_OTHER, SQL_WRITES, NULL },
	{ "MinMaxExpr", SQL_OTHER, 0, NULL },
	{ "MultiAssignRef", SQL_OTHER, 0, NULL },
	{ "NamedArgExpr", SQL_OTHER, 0, NULL },
	{ "NullTest", SQL_OTHER, 0, NULL },
	{ "ParamRef", SQL_OTHER, 0, NULL },
	{ "RangeFunction", SQL_OTHER, 0, NULL },
	{ "RangeSubselect", SQL_OTHER, 0, NULL },
	{ "RangeTableFunc", SQL_OTHER, 0, NULL }, /* XMLTABLE */
	{ "RangeTableFuncCol", SQL_OTHER, 0, NULL },
	{ "RangeVar", SQL_OTHER, 0, NULL }, /* a relation: see its field relname */
	{ "ResTarget", SQL_OTHER, 0, NULL },
	{ "RowExpr", SQL_OTHER, 0, NULL },
	{ "SQLValueFunction", SQL_OTHER, 0, NULL }, /* CURRENT_DATE, CURRENT_USER */
	{ "SetToDefault", SQL_OTHER, 0, NULL },
	{ "SortBy", SQL_OTHER, 0, NULL },
	{ "SubLink", SQL_OTHER, 0, NULL },
	{ "TypeCast", SQL_OTHER, 0, NULL },
	{ "WindowDef", SQL_OTHER, 0, NULL },
	{ "XmlExpr", SQL_OTHER, 0, NULL },
	{ "XmlSerialize", SQL_OTHER, 0, NULL },
};
#define ROW_COUNT (sizeof(rows) / sizeof(rows[0]))

static int
compare_rows(const void *a, const void *b)
{
	return strcmp((*(const struct row *const *)a)->key, (*(const struct row *const *)b)->key);
}

static const struct row *
find_row(struct view key)
{
	static const struct row *sorted[ROW_COUNT];

	if (!sorted[0]) {
		for (size_t i = 0; i < ROW_COUNT; i++)
			sorted[i] = &rows[i];
		qsort(sorted, ROW_COUNT, sizeof(sorted[0]), compare_rows);
	}
	for (size_t low = 0, high = ROW_COUNT; low < high;) {
		size_t middle = (low + high) / 2;
		const char *name = sorted[middle]->key;
		int order = strncmp((const char *)key.p, name, key.n);
		if (order == 0)
			order = name[key.n] ? -1 : 0;
		if (order == 0)
			return sorted[middle];
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return NULL;
}

/* One member of an object. True: go on below it. */
static bool
read_member(struct reader *r, uint32_t parent, uint32_t at)
{
	struct view key = r->tree->values[at].key;

	if (view_is(key, "relname")) {
		read_relation(r, parent);
		return true;
	}
	const struct row *row = find_row(key);
	if (!row) {
		if (key.n > 0 && key.p[0] >= 'A' && key.p[0] <= 'Z')
			r->effects |= SQL_WRITES;
		return true;
	}
	r->effects |= row->effects;
	return row->read ? row->read(r, at) : true;
}

enum sql_kind
reader_kind(struct view node)
{
	const struct row *row = find_row(node);
	return row ? row->kind : SQL_OTHER;
}

void
reader_walk(struct reader *r, uint32_t at)
{
	enum tree_kind kind = r->tree->values[at].kind;

	if (kind != TREE_OBJECT && kind != TREE_ARRAY)
		return;
	tree_each(r->tree, at, child)
		if (kind == TREE_ARRAY || read_member(r, at, child))
			reader_walk(r, child);
}

uint32_t
node_field(const struct reader *r, uint32_t at, const char *key)
{
	return tree_member(r->tree, at, key);
}

const char *
node_string(struct reader *r, uint32_t at, const char *key)
{
	return reader_string(r, node_field(r, at, key));
}

bool
node_is(const struct reader *r, uint32_t at, const char *key, const char *value)
{
	return tree_is(r->tree, node_field(r, at, key), value);
}

bool
node_is_true(const struct reader *r, uint32_t at, const char *key)
{
	uint32_t value = node_field(r, at, key);
	return value && r->tree->values[value].kind == TREE_TRUE;
}

void
node_walk(struct reader *r, uint32_t at, const char *key)
{
	uint32_t value = node_field(r, at, key);
	if (value)
		reader_walk(r, value);
}
