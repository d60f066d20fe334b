/*
 * src/sql/functions.c - functions of pg_catalog of which more is known than the catalog says.
 *
 * Volatile functions are doubtful unless they are here without an effect. Into that list comes only what has been read in
 * PostgreSQL's source, and tests/live runs each of them in a read-only transaction and looks for an xid.
 */
#include "reader.h"

#include <string.h>

#define NONE (-1)

static const struct sql_function functions[] = {
	/* volatile for their answer alone */
	{ "clock_timestamp", 0, NONE },
	{ "timeofday", 0, NONE },
	{ "random", 0, NONE },
	{ "gen_random_uuid", 0, NONE },
	{ "current_query", 0, NONE },
	{ "pg_sleep", 0, NONE },
	{ "pg_sleep_for", 0, NONE },
	{ "pg_sleep_until", 0, NONE },
	{ "pg_relation_size", 0, NONE },
	{ "pg_table_size", 0, NONE },
	{ "pg_indexes_size", 0, NONE },
	{ "pg_total_relation_size", 0, NONE },
	{ "pg_database_size", 0, NONE },
	{ "pg_tablespace_size", 0, NONE },
	{ "pg_blocking_pids", 0, NONE },
	{ "pg_lock_status", 0, NONE },
	{ "pg_partition_tree", 0, NONE },
	{ "pg_partition_ancestors", 0, NONE },

	/* sequences: a value that was drawn stays drawn, and currval() remembers it in the session */
	{ "nextval", SQL_WRITES | SQL_SESSION, SQL_TOUCH_SEQUENCE },
	{ "setval", SQL_WRITES | SQL_SESSION, SQL_TOUCH_SEQUENCE },
	{ "currval", SQL_SESSION, SQL_TOUCH_SEQUENCE_READ },
	{ "lastval", SQL_SESSION, SQL_TOUCH_SEQUENCE_READ },

	{ "pg_advisory_lock", SQL_LOCKS | SQL_SESSION, SQL_TOUCH_ADVISORY_LOCK },
	{ "pg_advisory_lock_shared", SQL_LOCKS | SQL_SESSION, SQL_TOUCH_ADVISORY_LOCK },
	{ "pg_try_advisory_lock", SQL_LOCKS | SQL_SESSION, SQL_TOUCH_ADVISORY_LOCK },
	{ "pg_try_advisory_lock_shared", SQL_LOCKS | SQL_SESSION, SQL_TOUCH_ADVISORY_LOCK },
	{ "pg_advisory_unlock", SQL_LOCKS | SQL_SESSION, SQL_TOUCH_ADVISORY_UNLOCK },
	{ "pg_advisory_unlock_shared", SQL_LOCKS | SQL_SESSION, SQL_TOUCH_ADVISORY_UNLOCK },
	{ "pg_advisory_unlock_all", SQL_LOCKS | SQL_SESSION, SQL_TOUCH_ADVISORY_UNLOCK_ALL },
	{ "pg_advisory_xact_lock", SQL_LOCKS, NONE },
	{ "pg_advisory_xact_lock_shared", SQL_LOCKS, NONE },
	{ "pg_try_advisory_xact_lock", SQL_LOCKS, NONE },
	{ "pg_try_advisory_xact_lock_shared", SQL_LOCKS, NONE },

	/* set_config() and pg_notify() have their arguments read as well, in nodes.c */
	{ "set_config", 0, NONE },
	{ "pg_notify", SQL_WRITES, NONE },
	{ "setseed", SQL_SESSION, SQL_TOUCH_SEED },
	{ "pg_replication_origin_session_setup", SQL_WRITES | SQL_SESSION, SQL_TOUCH_ORIGIN },
	{ "pg_replication_origin_session_reset", SQL_WRITES | SQL_SESSION, SQL_TOUCH_ORIGIN },
};

const struct sql_function *
sql_function_find(const char *name)
{
	for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++)
		if (strcmp(functions[i].name, name) == 0)
			return &functions[i];
	return NULL;
}

const struct sql_function *
sql_function_at(size_t i)
{
	return i < sizeof(functions) / sizeof(functions[0]) ? &functions[i] : NULL;
}
