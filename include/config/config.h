/*
 * config/config.h - one whole configuration: settings, databases, users, clusters, peers; of a file, the environment or both.
 *
 * Immutable once loaded and owned by one pointer; all strings in it live exactly as long. A reload loads a second one,
 * compares (config/reload.h), and replaces the first, or leaves it alone when there was any error.
 * Entries follow PgBouncer 1.25.2; clusters are ours.
 */
#ifndef CONFIG_CONFIG_H
#define CONFIG_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/view.h"
#include "config/settings.h"

#define DATABASE_NAME_MAX 64  /* with the NUL, as in PgBouncer and PostgreSQL */
#define USER_NAME_MAX     128 /* with the NUL, as in PgBouncer */

struct host_config {
	const char *name; /* host name, address without brackets, "/directory" or "@abstract" of a Unix socket */
	int         port;
};

struct cluster_config {
	const char         *name;     /* as in [clusters]; of a plain one "host:port,host:port" */
	bool                is_plain; /* of a database's host=: nobody asks for roles, both ports go to all hosts */
	const char *const  *patroni;  /* base URLs without the last slash; none when hosts is given */
	int                 patroni_count;
	const struct host_config *hosts; /* none when patroni is given */
	int                 host_count;
	uint64_t            patroni_poll_interval_us; /* these six: of the entry, else of the settings */
	uint64_t            patroni_timeout_us;
	struct patroni_identity patroni_identity;
	uint64_t            max_replica_lag_bytes; /* 0: no limit */
	uint64_t            max_replica_delay_us;  /* 0: no limit */
	enum read_fallback  read_fallback;
	bool                is_socket_dir; /* plain, no host= at all: hosts[0] is unix_socket_dir */
};

enum load_balance_hosts { LOAD_BALANCE_HOSTS_ROUND_ROBIN, LOAD_BALANCE_HOSTS_DISABLE };

/* Not set: NULL, -1, POOL_MODE_UNSET; then the setting counts. See config_pool_rules(). */
struct database_config {
	const char                  *name;       /* as clients ask for it; "*" */
	bool                         is_default; /* the entry "*": for every name without an entry */
	const struct cluster_config *cluster;    /* never NULL */
	const char                  *host;       /* as written; NULL: cluster= was given, or no host at all */
	int                          port;       /* 5432; of a plain cluster only */
	const char                  *dbname;     /* on the server; NULL: the name asked for */
	const char                  *user;       /* forced user, or NULL */
	const char                  *password;   /* of the forced user, or NULL: from the user list */
	const char                  *auth_user;
	const char                  *auth_query;
	const char                  *auth_dbname;
	int                          pool_size;
	int                          min_pool_size;
	int                          reserve_pool_size;
	int                          max_db_connections;
	int                          max_db_client_connections;
	int64_t                      server_lifetime_us;
	int64_t                      query_wait_timeout_us;
	enum pool_mode               pool_mode;
	enum pinning                 pinning;
	int                          max_pinned_servers;
	int64_t                      pin_idle_timeout_us;
	enum load_balance_hosts      load_balance_hosts;
	const char                  *connect_query;
	const char                  *client_encoding; /* these four go into the server's startup packet */
	const char                  *datestyle;
	const char                  *timezone;
	const char                  *application_name;
	enum sslmode                 sslmode; /* to its servers */
	enum channel_binding         channel_binding;
};

struct user_config {
	const char    *name;
	enum pool_mode pool_mode;
	enum pinning   pinning;
	int            max_pinned_servers;
	int64_t        pin_idle_timeout_us;
	int            pool_size;
	int            reserve_pool_size;
	int            max_user_connections;
	int            max_user_client_connections;
	int64_t        query_timeout_us;
	int64_t        query_wait_timeout_us;
	int64_t        failover_hold_timeout_us;
	int64_t        idle_transaction_timeout_us;
	int64_t        transaction_timeout_us;
	int64_t        client_idle_timeout_us;
};

#define PEER_ID_MAX 16383 /* of the setting peer_id; entries may have more, as in PgBouncer */

struct peer_config {
	int         id; /* 1..65535 */
	const char *host;
	int         port;
	int         pool_size; /* -1: default_pool_size */
};

/* Sentences for people, one per mistake; each "file:line: setting: what is wrong; what is allowed". No secrets. */
struct config_errors {
	char **lines; /* owned */
	int    count;
};

void config_errors_free(struct config_errors *errors); /* empty, may be used again */

struct config {
	struct settings               settings;
	const struct database_config *databases; /* sorted by name; "*" is among them */
	int                           database_count;
	const struct user_config     *users; /* sorted by name */
	int                           user_count;
	const struct cluster_config  *clusters; /* those of [clusters] first, then plain ones; no order */
	int                           cluster_count;
	const struct peer_config     *peers; /* sorted by id */
	int                           peer_count;
	bool                          is_pgbouncer; /* the file has a [pgbouncer] section: PgBouncer's defaults and syntax */
	const char                   *file;         /* "" when there is none */
	struct config_errors          warnings;     /* what was accepted and will surprise; to be logged once */
	struct config_memory         *memory;       /* private: what everything above points into */
	const struct config_source   *source;       /* private: what it was made of, for config_change() */
};

/*
 * Read the file (NULL: none) and then the environment ("NAME=value" strings, NULL at the end), which overrides it.
 * Every setting is PGSLUICE_<NAME>; PGSLUICE_<NAME>_FILE names a file that holds the value (one newline at its end is cut).
 * `patroni` or `hosts` without a [clusters] entry make the cluster "main", and the database "*" unless there is one.
 * NULL: something is wrong; *errors, which the caller has zeroed, says everything that is, not only the first.
 */
struct config *config_load(const char *file, char **environment, struct config_errors *errors);

/* The same of a file in memory; `name` stands in for its name in messages. %include is an error. For tests and fuzzing. */
struct config *config_load_bytes(const char *name, struct view text, char **environment, struct config_errors *errors);

/*
 * The configuration that *from would be with one setting changed, made of the same lines and variables and of the values
 * changed so before; no file is read again, but those that values name. NULL: *errors says why.
 * With keeps_tls the settings of TLS stay what they are in *from: the changes to them wait.
 */
struct config *config_change(const struct config *from, const struct setting *row, struct view value, bool keeps_tls,
                             struct config_errors *errors);

void config_free(struct config *config); /* overwrites secrets; NULL is fine */

/* The entry of that name, else "*", else NULL. Exact comparison. */
const struct database_config *config_database(const struct config *config, const char *name);
const struct user_config     *config_user(const struct config *config, const char *name);       /* or NULL */
const struct cluster_config  *config_cluster(const struct config *config, const char *name);    /* or NULL */
const struct peer_config     *config_peer(const struct config *config, int id);                 /* or NULL */
bool config_is_console(const char *database); /* the reserved names "pgsluice" and "pgbouncer" */

/* Is `name` one of the comma list `list`? For admin_users, ignore_startup_parameters and the like. Exact; blanks are cut. */
bool config_list_has(const char *list, const char *name);

/* The next item of a comma list, blanks cut, empty ones skipped; *at starts as the list. False at the end. */
bool config_list_next(const char **at, struct view *item);

/* What holds for one database and one user: the user's entry goes before the database's, and that before the settings. */
struct pool_rules {
	enum pool_mode pool_mode;
	enum pinning   pinning;
	int            max_pinned_servers;
	uint64_t       pin_idle_timeout_us;
	int            pool_size; /* 0: no limit, here and below */
	int            min_pool_size;
	int            reserve_pool_size;
	int            max_db_connections;
	int            max_db_client_connections;
	int            max_user_connections;
	int            max_user_client_connections;
	uint64_t       server_lifetime_us;
	uint64_t       query_timeout_us;
	uint64_t       query_wait_timeout_us;
	uint64_t       failover_hold_timeout_us;
	uint64_t       idle_transaction_timeout_us;
	uint64_t       transaction_timeout_us;
	uint64_t       client_idle_timeout_us;
	enum sslmode         sslmode; /* towards servers, and the next */
	enum channel_binding channel_binding;
};

/* database and user may each be NULL: nothing special is known of it. */
struct pool_rules config_pool_rules(const struct config *config, const struct database_config *database,
                                    const struct user_config *user);

/* The strongest mode of TLS with servers that any database asks for: what has to be loaded for it. */
enum sslmode config_server_sslmode_max(const struct config *config);

#endif
