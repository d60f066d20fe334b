/*
 * config/reload.h - what a new configuration would change, and which of it waits for a restart.
 */
#ifndef CONFIG_RELOAD_H
#define CONFIG_RELOAD_H

#include <stdbool.h>

#include "config/config.h"

/* One setting whose value differs; texts as in SHOW CONFIG, good for the duration of the call. */
struct config_change {
	const struct setting *row;
	const char           *was;
	const char           *is;
	bool                  is_kept; /* applies at start only: the old value stays in force until a restart */
};

typedef void config_on_change(const struct config_change *change, void *context);

/* Call back for each setting that differs, in the order of the table. Pure; returns how many there were. */
int config_reload_report(const struct config *old, const struct config *new, config_on_change *on_change, void *context);

/* Give `new`, which is not published yet, the values of `old` for all that applies at start only. */
void config_reload_keep(const struct config *old, struct config *new);

/*
 * Have server connections made for `a` the wrong target, user or preparation for `b`? PgBouncer closes them after a reload
 * when host, port, dbname, user, connect_query, auth_dbname, auth_query or load_balance_hosts differ; we also when the
 * startup parameters, sslmode or channel_binding do. Clusters are compared by name here: their members come and go by
 * themselves.
 */
bool database_config_needs_new_servers(const struct database_config *a, const struct database_config *b);

/* Have all of them been made by another rule of TLS with servers? Files with other contents count for new ones only. */
bool config_needs_new_servers(const struct config *old, const struct config *new);

bool cluster_config_is_equal(const struct cluster_config *a, const struct cluster_config *b); /* in every field */

#endif
