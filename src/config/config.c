/*
 * config/config.c - looks things up in a configuration.
 *
 * Never: changes one. Invariant: databases and users are sorted by name, as load.c leaves them.
 */
#include "config/config.h"

#include <stdlib.h>

#include "base/heap.h"
#include "config/entry.h"

void
config_free(struct config *config)
{
	if (config == NULL)
		return;
	config_errors_free(&config->warnings);
	config_memory_free(config->memory);
	heap_free(config);
}

static int
compare_database(const void *name, const void *entry)
{
	return strcmp(name, ((const struct database_config *)entry)->name);
}

static int
compare_user(const void *name, const void *entry)
{
	return strcmp(name, ((const struct user_config *)entry)->name);
}

static const struct database_config *
database_named(const struct config *config, const char *name)
{
	if (config->database_count == 0)
		return NULL;
	return bsearch(name, config->databases, (size_t)config->database_count, sizeof(*config->databases),
		       compare_database);
}

const struct database_config *
config_database(const struct config *config, const char *name)
{
	const struct database_config *d = database_named(config, name);

	return d ? d : database_named(config, "*");
}

const struct user_config *
config_user(const struct config *config, const char *name)
{
	if (config->user_count == 0)
		return NULL;
	return bsearch(name, config->users, (size_t)config->user_count, sizeof(*config->users), compare_user);
}

const struct cluster_config *
config_cluster(const struct config *config, const char *name)
{
	for (int i = 0; i < config->cluster_count; i++) {
		if (strcmp(config->clusters[i].name, name) == 0)
			return &config->clusters[i];
	}
	return NULL;
}

const struct peer_config *
config_peer(const struct config *config, int id)
{
	for (int i = 0; i < config->peer_count; i++) {
		if (config->peers[i].id == id)
			return &config->peers[i];
	}
	return NULL;
}

bool
config_is_console(const char *database)
{
	return strcmp(database, "pgsluice") == 0 || strcmp(database, "pgbouncer") == 0;
}

bool
config_list_next(const char **at, struct view *item)
{
	while (**at) {
		size_t n = strcspn(*at, ",");
		*item = view_trim(view_of(*at, n));
		*at += n + ((*at)[n] == ',');
		if (item->n)
			return true;
	}
	return false;
}

bool
config_list_has(const char *list, const char *name)
{
	for (struct view item; config_list_next(&list, &item);) {
		if (view_is(item, name))
			return true;
	}
	return false;
}

static int
first_set(int a, int b, int otherwise)
{
	return a >= 0 ? a : b >= 0 ? b : otherwise;
}

static uint64_t
first_time(int64_t a, int64_t b, uint64_t otherwise)
{
	return a >= 0 ? (uint64_t)a : b >= 0 ? (uint64_t)b : otherwise;
}

struct pool_rules
config_pool_rules(const struct config *config, const struct database_config *database, const struct user_config *user)
{
	const struct settings *s = &config->settings;
	const struct draft nothing_of_database = entry_blank(ENTRY_DATABASE, "", (struct place){ 0 });
	const struct draft nothing_of_user = entry_blank(ENTRY_USER, "", (struct place){ 0 });
	const struct database_config *d = database ? database : &nothing_of_database.database.config;
	const struct user_config *u = user ? user : &nothing_of_user.user;

	return (struct pool_rules){
		.pool_mode = (enum pool_mode)first_set((int)u->pool_mode, (int)d->pool_mode, (int)s->pool_mode),
		.pinning = (enum pinning)first_set((int)u->pinning, (int)d->pinning, (int)s->pinning),
		.max_pinned_servers = first_set(u->max_pinned_servers, d->max_pinned_servers, s->max_pinned_servers),
		.pin_idle_timeout_us = first_time(u->pin_idle_timeout_us, d->pin_idle_timeout_us, s->pin_idle_timeout_us),
		.pool_size = first_set(u->pool_size, d->pool_size, s->default_pool_size),
		.min_pool_size = first_set(d->min_pool_size, -1, s->min_pool_size),
		.reserve_pool_size = first_set(u->reserve_pool_size, d->reserve_pool_size, s->reserve_pool_size),
		.max_db_connections = first_set(d->max_db_connections, -1, s->max_db_connections),
		.max_db_client_connections = first_set(d->max_db_client_connections, -1, s->max_db_client_connections),
		.max_user_connections = first_set(u->max_user_connections, -1, s->max_user_connections),
		.max_user_client_connections =
		    first_set(u->max_user_client_connections, -1, s->max_user_client_connections),
		.server_lifetime_us = first_time(d->server_lifetime_us, -1, s->server_lifetime_us),
		.query_timeout_us = first_time(u->query_timeout_us, -1, s->query_timeout_us),
		.query_wait_timeout_us =
		    first_time(u->query_wait_timeout_us, d->query_wait_timeout_us, s->query_wait_timeout_us),
		.failover_hold_timeout_us = first_time(u->failover_hold_timeout_us, -1, s->failover_hold_timeout_us),
		.idle_transaction_timeout_us =
		    first_time(u->idle_transaction_timeout_us, -1, s->idle_transaction_timeout_us),
		.transaction_timeout_us = first_time(u->transaction_timeout_us, -1, s->transaction_timeout_us),
		.client_idle_timeout_us = first_time(u->client_idle_timeout_us, -1, s->client_idle_timeout_us),
		.sslmode = (enum sslmode)first_set((int)d->sslmode, -1, (int)s->server_tls_sslmode),
		.channel_binding =
		    (enum channel_binding)first_set((int)d->channel_binding, -1, (int)s->server_channel_binding),
	};
}

enum sslmode
config_server_sslmode_max(const struct config *config)
{
	enum sslmode max = config->settings.server_tls_sslmode;

	for (int i = 0; i < config->database_count; i++) {
		if (config->databases[i].sslmode > max)
			max = config->databases[i].sslmode;
	}
	return max;
}
