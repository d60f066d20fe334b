/* admin/show_pools.c - SHOW POOLS, DATABASES, USERS, LISTS: what pgsluice knows by name. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/users.h"
#include "base/clock.h"
#include "session/cancel.h"
#include "session/client.h"
#include "session/server.h"
#include "show_row.h"

/* ---- what several tables say ---- */

bool
slot_is_used(const struct proxy *x, const struct slot *s)
{
	const struct settings *set = &x->config->settings;
	return set->server_check_query[0] && clock_now_us() - s->free_us > set->server_check_delay_us;
}

const char *
hosts_mode(const struct database_config *d)
{
	if (d->host == NULL || strchr(d->host, ',') == NULL)
		return NULL;
	return d->load_balance_hosts == LOAD_BALANCE_HOSTS_DISABLE ? "disable" : "round-robin";
}

uint64_t
console_clients(const struct proxy *x)
{
	uint64_t count = 0;
	list_each(&x->clients, n, after)
		count += node_owner(n, struct client, node)->state == CLIENT_CONSOLE;
	return count;
}

static uint64_t
number_or_none(int64_t n)
{
	return n > 0 ? (uint64_t)n : 0;
}

/* ---- POOLS ---- */

struct pool_row {
	const char *database, *user, *pool_mode, *load_balance_hosts;
	uint64_t    cl_active, cl_waiting, cl_active_cancel_req, cl_waiting_cancel_req;
	uint64_t    sv_active, sv_active_cancel, sv_being_canceled, sv_idle, sv_used, sv_tested, sv_login;
	uint64_t    maxwait, maxwait_us;
};

static uint64_t
used_slots(const struct proxy *x, const struct pool *p)
{
	uint64_t count = 0;
	for (int id = 0; id < CLUSTER_MEMBERS_MAX; id++) {
		if (p->at[id] == NULL)
			continue;
		list_each(&p->at[id]->slots[SLOT_IDLE], n, after)
			count += slot_is_used(x, node_owner(n, struct slot, node));
	}
	return count;
}

static void
add_pool(struct show_rows *out, const struct proxy *x, const struct pool *p)
{
	struct pool_row *row = show_rows_add(out);
	struct proxy_cancels cancels = cancel_counts(x, p);
	uint64_t used = used_slots(x, p), maxwait_us = pool_longest_wait_us(p, clock_now_us());
	*row = (struct pool_row){
		.database = p->database->name,
		.user = p->role->name,
		.cl_active = p->clients - pool_waiting(p),
		.cl_waiting = pool_waiting(p),
		.cl_active_cancel_req = cancels.sent,
		.cl_waiting_cancel_req = cancels.connecting,
		.sv_active = pool_slots(p, SLOT_ACTIVE) + pool_slots(p, SLOT_DEDICATED) + pool_slots(p, SLOT_LISTENER),
		.sv_active_cancel = cancels.sent,
		.sv_being_canceled = pool_slots(p, SLOT_CANCELLING),
		.sv_idle = pool_slots(p, SLOT_IDLE) - used,
		.sv_used = used,
		.sv_tested = pool_slots(p, SLOT_TESTED),
		.sv_login = pool_slots(p, SLOT_LOGIN),
		.maxwait = maxwait_us / SECOND_US,
		.maxwait_us = maxwait_us % SECOND_US,
		.pool_mode = pool_mode_name(p->rules.pool_mode),
		.load_balance_hosts = hosts_mode(p->database->config),
	};
}

static void
fill_pools(const struct show_table *t, struct proxy *x, struct show_rows *out)
{
	list_each(&x->pools, n, after)
		add_pool(out, x, node_owner(n, struct pool, node));
	struct pool_row *console = show_rows_add(out);
	console->database = console->user = CONSOLE_NAME;
	console->cl_active = console_clients(x);
	console->pool_mode = pool_mode_name(POOL_MODE_STATEMENT);
}

static int
by_database_and_user(const void *a, const void *b)
{
	const struct pool_row *x = a, *y = b;
	int order = strcmp(x->database, y->database);
	return order ? order : strcmp(x->user, y->user);
}

#define POOL(name, type, member) COLUMN(name, type, struct pool_row, member)

static const struct show_column pool_columns[] = {
	POOL("database", SHOW_TEXT, database),
	POOL("user", SHOW_TEXT, user),
	POOL("cl_active", SHOW_INT4, cl_active),
	POOL("cl_waiting", SHOW_INT4, cl_waiting),
	POOL("cl_active_cancel_req", SHOW_INT4, cl_active_cancel_req),
	POOL("cl_waiting_cancel_req", SHOW_INT4, cl_waiting_cancel_req),
	POOL("sv_active", SHOW_INT4, sv_active),
	POOL("sv_active_cancel", SHOW_INT4, sv_active_cancel),
	POOL("sv_being_canceled", SHOW_INT4, sv_being_canceled),
	POOL("sv_idle", SHOW_INT4, sv_idle),
	POOL("sv_used", SHOW_INT4, sv_used),
	POOL("sv_tested", SHOW_INT4, sv_tested),
	POOL("sv_login", SHOW_INT4, sv_login),
	POOL("maxwait", SHOW_INT4, maxwait),
	POOL("maxwait_us", SHOW_INT4, maxwait_us),
	POOL("pool_mode", SHOW_TEXT, pool_mode),
	POOL("load_balance_hosts", SHOW_TEXT, load_balance_hosts),
};

const struct show_table show_pools = {
	.word = "POOLS",
	.columns = pool_columns,
	.column_count = COLUMN_COUNT(pool_columns),
	.row_bytes = sizeof(struct pool_row),
	.fill = fill_pools,
	.compare = by_database_and_user,
};

/* ---- DATABASES ---- */

struct database_row {
	const char *name, *host, *database, *force_user, *pool_mode, *load_balance_hosts;
	uint64_t    port, pool_size, min_pool_size, reserve_pool_size, server_lifetime;
	uint64_t    max_connections, current_connections, max_clients, current_clients, paused, disabled;
};

/*
 * A database of a cluster has no host of its own. The cluster's name stands there, which does not change when the leader
 * moves, as a label of a metric should not; SHOW MEMBERS has the hosts.
 */
static const char *
host_of(const struct database_config *c)
{
	return c->cluster->is_plain ? c->host : c->cluster->name;
}

static void
add_database(struct show_rows *out, const struct proxy *x, const char *name, const struct database_config *c,
             const struct database *d)
{
	struct database_row *row = show_rows_add(out);
	struct pool_rules rules = config_pool_rules(x->config, c, NULL);
	*row = (struct database_row){
		.name = name,
		.host = host_of(c),
		.port = c->cluster->is_plain ? (uint64_t)c->port : 0,
		.database = c->dbname ? c->dbname : name,
		.force_user = c->user,
		.pool_size = number_or_none(rules.pool_size),
		.min_pool_size = number_or_none(rules.min_pool_size),
		.reserve_pool_size = number_or_none(rules.reserve_pool_size),
		.server_lifetime = rules.server_lifetime_us / SECOND_US,
		.pool_mode = c->pool_mode == POOL_MODE_UNSET ? NULL : pool_mode_name(c->pool_mode),
		.load_balance_hosts = hosts_mode(c),
		.max_connections = number_or_none(rules.max_db_connections),
		.current_connections = d ? d->servers : 0,
		.max_clients = number_or_none(rules.max_db_client_connections),
		.current_clients = d ? d->clients : 0,
		.paused = d && d->is_paused,
		.disabled = d && d->is_disabled,
	};
}

static void
add_console_database(struct show_rows *out, const struct proxy *x)
{
	struct database_row *row = show_rows_add(out);
	struct pool_rules rules = config_pool_rules(x->config, NULL, NULL);
	*row = (struct database_row){
		.name = CONSOLE_NAME,
		.database = CONSOLE_NAME,
		.force_user = CONSOLE_NAME,
		.port = (uint64_t)x->config->settings.listen_port,
		.pool_size = 2,
		.server_lifetime = rules.server_lifetime_us / SECOND_US,
		.pool_mode = pool_mode_name(POOL_MODE_STATEMENT),
		.current_clients = console_clients(x),
	};
}

static void
fill_databases(const struct show_table *t, struct proxy *x, struct show_rows *out)
{
	const struct config *config = x->config;
	for (int i = 0; i < config->database_count; i++) {
		const struct database_config *c = &config->databases[i];
		struct database *d;
		HASH_FIND_STR(x->databases, c->name, d);
		if (!c->is_default)
			add_database(out, x, c->name, c, d);
	}
	for (const struct database *d = x->databases; d; d = d->hh.next)
		if (d->config->is_default)
			add_database(out, x, d->name, d->config, d);
	add_console_database(out, x);
}

static int
by_name(const void *a, const void *b)
{
	const struct database_row *x = a, *y = b;
	return strcmp(x->name, y->name);
}

#define DATABASE(name, type, member) COLUMN(name, type, struct database_row, member)

static const struct show_column database_columns[] = {
	DATABASE("name", SHOW_TEXT, name),
	DATABASE("host", SHOW_TEXT, host),
	DATABASE("port", SHOW_INT4, port),
	DATABASE("database", SHOW_TEXT, database),
	DATABASE("force_user", SHOW_TEXT, force_user),
	DATABASE("pool_size", SHOW_INT4, pool_size),
	DATABASE("min_pool_size", SHOW_INT4, min_pool_size),
	DATABASE("reserve_pool_size", SHOW_INT4, reserve_pool_size),
	DATABASE("server_lifetime", SHOW_INT4, server_lifetime),
	DATABASE("pool_mode", SHOW_TEXT, pool_mode),
	DATABASE("load_balance_hosts", SHOW_TEXT, load_balance_hosts),
	DATABASE("max_connections", SHOW_INT4, max_connections),
	DATABASE("current_connections", SHOW_INT4, current_connections),
	DATABASE("max_client_connections", SHOW_INT4, max_clients),
	DATABASE("current_client_connections", SHOW_INT4, current_clients),
	DATABASE("paused", SHOW_INT4, paused),
	DATABASE("disabled", SHOW_INT4, disabled),
};

const struct show_table show_databases = {
	.word = "DATABASES",
	.columns = database_columns,
	.column_count = COLUMN_COUNT(database_columns),
	.row_bytes = sizeof(struct database_row),
	.fill = fill_databases,
	.compare = by_name,
};

/* ---- USERS ---- */

struct user_row {
	const char *name, *pool_mode;
	char        pool_size[16], reserve_pool_size[16]; /* texts, in nine places */
	uint64_t    max_connections, current_connections, max_clients, current_clients;
};

static void
add_user(struct show_rows *out, const struct proxy *x, const char *name)
{
	struct user_row *row = show_rows_add(out);
	const struct user_config *c = config_user(x->config, name);
	struct pool_rules rules = config_pool_rules(x->config, NULL, c);
	struct role *r;
	HASH_FIND_STR(x->roles, name, r);
	*row = (struct user_row){
		.name = name,
		.pool_mode = c && c->pool_mode != POOL_MODE_UNSET ? pool_mode_name(c->pool_mode) : NULL,
		.max_connections = number_or_none(rules.max_user_connections),
		.current_connections = r ? r->servers : 0,
		.max_clients = number_or_none(rules.max_user_client_connections),
		.current_clients = r ? r->clients : 0,
	};
	if (c && c->pool_size >= 0)
		snprintf(row->pool_size, sizeof(row->pool_size), "%9d", c->pool_size);
	if (c && c->reserve_pool_size >= 0)
		snprintf(row->reserve_pool_size, sizeof(row->reserve_pool_size), "%9d", c->reserve_pool_size);
}

static int
by_user_name(const void *a, const void *b)
{
	const struct user_row *x = a, *y = b;
	return strcmp(x->name, y->name);
}

/* A user is known from several places: of neighbours of the same name one stays. */
static void
drop_doubles(struct show_rows *out)
{
	struct user_row *rows = (struct user_row *)(void *)out->bytes.p;
	size_t kept = 0;
	for (size_t i = 0; i < out->count; i++)
		if (kept == 0 || strcmp(rows[kept - 1].name, rows[i].name) != 0)
			rows[kept++] = rows[i];
	out->count = kept;
	out->bytes.n = kept * out->row_bytes;
}

static void
fill_users(const struct show_table *t, struct proxy *x, struct show_rows *out)
{
	for (size_t i = 0; i < users_count(x->access.users); i++)
		add_user(out, x, users_at(x->access.users, i)->name);
	for (int i = 0; i < x->config->user_count; i++)
		add_user(out, x, x->config->users[i].name);
	for (const struct role *r = x->roles; r; r = r->hh.next)
		add_user(out, x, r->name);
	if (x->config->settings.auth_user[0])
		add_user(out, x, x->config->settings.auth_user);
	if (out->count > 1)
		qsort(out->bytes.p, out->count, out->row_bytes, by_user_name);
	drop_doubles(out);
}

#define USER(name, type, member) COLUMN(name, type, struct user_row, member)

static const struct show_column user_columns[] = {
	USER("name", SHOW_TEXT, name),
	USER("pool_size", SHOW_CHARS, pool_size),
	USER("reserve_pool_size", SHOW_CHARS, reserve_pool_size),
	USER("pool_mode", SHOW_TEXT, pool_mode),
	USER("max_user_connections", SHOW_INT4, max_connections),
	USER("current_connections", SHOW_INT4, current_connections),
	USER("max_user_client_connections", SHOW_INT4, max_clients),
	USER("current_client_connections", SHOW_INT4, current_clients),
};

const struct show_table show_users = {
	.word = "USERS",
	.columns = user_columns,
	.column_count = COLUMN_COUNT(user_columns),
	.row_bytes = sizeof(struct user_row),
	.fill = fill_users,
};

/* ---- LISTS ---- */

struct list_row {
	const char *list;
	uint64_t    items;
};

static void
add_list(struct show_rows *out, const char *list, uint64_t items)
{
	struct list_row *row = show_rows_add(out);
	*row = (struct list_row){ list, items };
}

static uint64_t
count_rows(const struct show_table *t, struct proxy *x)
{
	struct show_rows rows;
	show_collect(t, x, &rows);
	uint64_t count = rows.count;
	show_rows_free(&rows);
	return count;
}

/* Nothing is kept in reserve, so there are no free ones. */
static void
fill_lists(const struct show_table *t, struct proxy *x, struct show_rows *out)
{
	add_list(out, "databases", count_rows(&show_databases, x));
	add_list(out, "users", count_rows(&show_users, x));
	add_list(out, "peers", (uint64_t)x->config->peer_count);
	add_list(out, "pools", x->pools.count + 1); /* with the console */
	add_list(out, "peer_pools", count_rows(&show_peer_pools, x));
	add_list(out, "free_clients", 0);
	add_list(out, "used_clients", x->clients.count);
	add_list(out, "login_clients", x->logins.count);
	add_list(out, "free_servers", 0);
	add_list(out, "used_servers", x->servers.count);
	add_list(out, "dns_names", count_rows(&show_dns_hosts, x));
	add_list(out, "dns_zones", 0);
	add_list(out, "dns_queries", resolver_asking(x->resolver));
	add_list(out, "dns_pending", 0);
}

static const struct show_column list_columns[] = {
	COLUMN("list", SHOW_TEXT, struct list_row, list),
	COLUMN("items", SHOW_INT4, struct list_row, items),
};

const struct show_table show_lists = {
	.word = "LISTS",
	.columns = list_columns,
	.column_count = COLUMN_COUNT(list_columns),
	.row_bytes = sizeof(struct list_row),
	.fill = fill_lists,
};
