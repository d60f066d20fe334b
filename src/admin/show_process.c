/* admin/show_process.c - SHOW VERSION, CONFIG, STATE, MEM, single settings, and the parameters that drivers ask for. */
#include <stdio.h>
#include <string.h>

#include "auth/users.h"
#include "base/must.h"
#include "config/show.h"
#include "session/client.h"
#include "session/server.h"
#include "show_row.h"

/* ---- VERSION ---- */

/*
 * Tools take this text apart: pgbouncer_fdw chooses its column lists by the first number in it and wants 1.17 or more,
 * Datadog reports the first a.b.c, exporters make all of it a label. So the release comes first whose tables these are,
 * and our own name and release behind it.
 */
#define VERSION_TEXT "PgBouncer " CONSOLE_VERSION " (pgsluice " PGSLUICE_VERSION ")"

struct text_row {
	const char *text;
};

static void
fill_version(const struct show_table *t, struct proxy *x, struct show_rows *out)
{
	struct text_row *row = show_rows_add(out);
	row->text = VERSION_TEXT;
}

static const struct show_column version_columns[] = {
	COLUMN("version", SHOW_TEXT, struct text_row, text),
};

const struct show_table show_version = {
	.word = "VERSION",
	.columns = version_columns,
	.column_count = COLUMN_COUNT(version_columns),
	.row_bytes = sizeof(struct text_row),
	.fill = fill_version,
};

/* ---- CONFIG ---- */

/* The texts of a row live in the row, because config_show_row() writes them where it is told. */
struct config_row {
	const char *key, *changeable;
	char value[SETTING_VALUE_MAX], preset[SETTING_VALUE_MAX];
};

static void
fill_config(const struct show_table *t, struct proxy *x, struct show_rows *out)
{
	static struct config_show shown;
	for (int i = 0; config_show_row(x->config, i, &shown); i++) {
		struct config_row *row = show_rows_add(out);
		row->key = shown.key;
		row->changeable = shown.is_changeable ? "yes" : "no";
		snprintf(row->value, sizeof(row->value), "%s", shown.value);
		snprintf(row->preset, sizeof(row->preset), "%s", shown.preset);
	}
}

static const struct show_column config_columns[] = {
	COLUMN("key", SHOW_TEXT, struct config_row, key),
	COLUMN("value", SHOW_CHARS, struct config_row, value),
	COLUMN("default", SHOW_CHARS, struct config_row, preset),
	COLUMN("changeable", SHOW_TEXT, struct config_row, changeable),
};

const struct show_table show_config = {
	.word = "CONFIG",
	.columns = config_columns,
	.column_count = COLUMN_COUNT(config_columns),
	.row_bytes = sizeof(struct config_row),
	.fill = fill_config,
};

/* ---- STATE ---- */

struct state_row {
	const char *key, *value;
};

static void
add_state(struct show_rows *out, const char *key, bool is_so)
{
	struct state_row *row = show_rows_add(out);
	*row = (struct state_row){ key, is_so ? "yes" : "no" };
}

static void
fill_state(const struct show_table *t, struct proxy *x, struct show_rows *out)
{
	bool is_suspended = x->state == PROXY_SUSPENDED;
	add_state(out, "active", !proxy_is_paused(x));
	add_state(out, "paused", proxy_is_paused(x) && !is_suspended);
	add_state(out, "suspended", is_suspended);
}

static const struct show_column state_columns[] = {
	COLUMN("key", SHOW_TEXT, struct state_row, key),
	COLUMN("value", SHOW_TEXT, struct state_row, value),
};

const struct show_table show_state = {
	.word = "STATE",
	.columns = state_columns,
	.column_count = COLUMN_COUNT(state_columns),
	.row_bytes = sizeof(struct state_row),
	.fill = fill_state,
};

/* ---- MEM ---- */

/* Under PgBouncer's names for its caches. Ours keep nothing in reserve: what is free was given back. */
struct mem_row {
	const char *name;
	uint64_t size, used, free, total;
};

static void
add_mem(struct show_rows *out, const char *name, size_t size, size_t used)
{
	struct mem_row *row = show_rows_add(out);
	*row = (struct mem_row){ .name = name, .size = size, .used = used, .total = size * used };
}

static void
fill_mem(const struct show_table *t, struct proxy *x, struct show_rows *out)
{
	size_t owed = 0;
	list_each(&x->servers, n, after)
		owed += node_owner(n, struct server, node)->owed.room;
	size_t members = 0;
	list_each(&x->pools, n, after)
		for (int id = 0; id < CLUSTER_MEMBERS_MAX; id++)
			members += node_owner(n, struct pool, node)->at[id] != NULL;
	add_mem(out, "user_cache", sizeof(struct role), HASH_COUNT(x->roles));
	add_mem(out, "credentials_cache", sizeof(struct user_secret), users_count(x->access.users));
	add_mem(out, "db_cache", sizeof(struct database), HASH_COUNT(x->databases));
	add_mem(out, "peer_cache", sizeof(struct peer_config), (size_t)x->config->peer_count);
	add_mem(out, "peer_pool_cache", sizeof(struct pool_member), members); /* slots of a pool on a member */
	add_mem(out, "pool_cache", sizeof(struct pool), x->pools.count);
	add_mem(out, "outstanding_request_cache", sizeof(struct owed_item), owed);
	add_mem(out, "server_cache", sizeof(struct server), x->servers.count);
	add_mem(out, "client_cache", sizeof(struct client), x->clients.count);
	add_mem(out, "iobuf_cache", LOOP_IN_BYTES + 2 * LOOP_SCRATCH_BYTES, 1); /* the loop's, for all connections */
	add_mem(out, "var_list_cache", 0, 0);
	add_mem(out, "server_prepared_statement_cache", sizeof(struct statement), statement_count());
}

static const struct show_column mem_columns[] = {
	COLUMN("name", SHOW_TEXT, struct mem_row, name), COLUMN("size", SHOW_INT4, struct mem_row, size),
	COLUMN("used", SHOW_INT4, struct mem_row, used), COLUMN("free", SHOW_INT4, struct mem_row, free),
	COLUMN("memtotal", SHOW_INT4, struct mem_row, total),
};

const struct show_table show_mem = {
	.word = "MEM",
	.columns = mem_columns,
	.column_count = COLUMN_COUNT(mem_columns),
	.row_bytes = sizeof(struct mem_row),
	.fill = fill_mem,
};

/* ---- what drivers ask for ---- */

static const struct {
	const char *name, *value;
} parameters[] = {
	{ "client_encoding", "UTF-8" },
	{ "default_transaction_isolation", "read committed" },
	{ "standard_conforming_strings", "on" },
	{ "datestyle", "ISO" },
	{ "timezone", "GMT" },
};

static void
fill_parameter(const struct show_table *t, struct proxy *x, struct show_rows *out)
{
	for (size_t i = 0; i < sizeof(parameters) / sizeof(parameters[0]); i++) {
		if (strcmp(parameters[i].name, t->columns[0].name) != 0)
			continue;
		struct text_row *row = show_rows_add(out);
		row->text = parameters[i].value;
	}
}

static const struct show_column parameter_columns[] = {
	COLUMN("client_encoding", SHOW_TEXT, struct text_row, text),
	COLUMN("default_transaction_isolation", SHOW_TEXT, struct text_row, text),
	COLUMN("standard_conforming_strings", SHOW_TEXT, struct text_row, text),
	COLUMN("datestyle", SHOW_TEXT, struct text_row, text),
	COLUMN("timezone", SHOW_TEXT, struct text_row, text),
};

#define PARAMETER(name, i) { name, &parameter_columns[i], 1, false, sizeof(struct text_row), fill_parameter, NULL }

const struct show_table show_parameters[] = {
	PARAMETER("client_encoding", 0),
	PARAMETER("default_transaction_isolation", 1),
	PARAMETER("standard_conforming_strings", 2),
	PARAMETER("datestyle", 3),
	PARAMETER("timezone", 4),
	{ .word = NULL },
};

/* ---- a single setting by its name: one row, one column of that name. PgBouncer has none ---- */

enum { SETTINGS_MAX = 256 };

struct setting_row {
	char value[SETTING_VALUE_MAX];
};

static struct show_table setting_tables[SETTINGS_MAX]; /* in the order of setting_rows; made when first asked for */
static struct show_column setting_columns[SETTINGS_MAX];

static void
fill_setting(const struct show_table *t, struct proxy *x, struct show_rows *out)
{
	struct setting_row *row = show_rows_add(out);
	char room[SETTING_VALUE_MAX];
	const struct setting *setting = &setting_rows[t - setting_tables];
	snprintf(row->value, sizeof(row->value), "%s", setting_value(setting, &x->config->settings, room, sizeof(room)));
}

const struct show_table *
show_setting(const char *word)
{
	const struct setting *row = setting_find_nocase(word);
	if (row == NULL)
		return NULL;
	size_t i = (size_t)(row - setting_rows);
	must(i < SETTINGS_MAX);
	setting_columns[i] = (struct show_column)COLUMN("", SHOW_CHARS, struct setting_row, value);
	setting_columns[i].name = row->name;
	setting_tables[i] = (struct show_table){ row->name, &setting_columns[i], 1, false, sizeof(struct setting_row),
		                                 fill_setting, NULL };
	return &setting_tables[i];
}
