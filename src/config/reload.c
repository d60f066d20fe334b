/*
 * config/reload.c - compares two configurations, and keeps of the old one what needs a restart.
 *
 * Invariant: after config_reload_keep() everything that was bound or opened by the old settings is described by the
 * new.
 */
#include "config/reload.h"

#include <string.h>

#include "config/value.h"

int
config_reload_report(const struct config *old, const struct config *new, config_on_change *on_change, void *context)
{
	char was[SETTING_VALUE_MAX], is[SETTING_VALUE_MAX];
	int count = 0;

	for (const struct setting *row = setting_rows; row < setting_rows + setting_count; row++) {
		struct config_change change = { .row = row, .is_kept = row->applies == APPLIES_AT_START };
		change.was = setting_value(row, &old->settings, was, sizeof(was));
		change.is = setting_value(row, &new->settings, is, sizeof(is));
		if (setting_is_equal(row, &old->settings, &new->settings))
			continue;
		count++;
		on_change(&change, context);
	}
	return count;
}

void
config_reload_keep(const struct config *old, struct config *new)
{
	for (const struct setting *row = setting_rows; row < setting_rows + setting_count; row++) {
		if (row->applies == APPLIES_AT_START)
			value_copy(row, &old->settings, &new->settings, new->memory);
	}
	for (int i = 0; i < new->cluster_count; i++) {
		struct cluster_config *c =
		    (struct cluster_config *)&new->clusters[i]; /* new is ours until it is published */
		if (c->is_socket_dir)
			config_socket_dir_cluster(new, c, c->hosts[0].port);
	}
}

/* NULL is equal to NULL only. */
static bool
is_same(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

bool
database_config_needs_new_servers(const struct database_config *a, const struct database_config *b)
{
	return !is_same(a->cluster->name, b->cluster->name) || a->cluster->is_plain != b->cluster->is_plain ||
	       a->port != b->port || !is_same(a->dbname, b->dbname) || !is_same(a->user, b->user) ||
	       !is_same(a->connect_query, b->connect_query) || !is_same(a->auth_dbname, b->auth_dbname) ||
	       !is_same(a->auth_query, b->auth_query) || a->load_balance_hosts != b->load_balance_hosts ||
	       !is_same(a->client_encoding, b->client_encoding) || !is_same(a->datestyle, b->datestyle) ||
	       !is_same(a->timezone, b->timezone) || !is_same(a->application_name, b->application_name) ||
	       a->sslmode != b->sslmode || a->channel_binding != b->channel_binding;
}

bool
config_needs_new_servers(const struct config *old, const struct config *new)
{
	for (const struct setting *row = setting_rows; row < setting_rows + setting_count; row++) {
		if (strcmp(row->group, "TLS with servers") == 0 && !setting_is_equal(row, &old->settings, &new->settings))
			return true;
	}
	return false;
}

static bool
is_same_identity(const struct patroni_identity *a, const struct patroni_identity *b)
{
	return is_same(a->user, b->user) && is_same(a->password, b->password) && is_same(a->cert_file, b->cert_file) &&
	       is_same(a->key_file, b->key_file) && is_same(a->ca_file, b->ca_file) && a->tls_verify == b->tls_verify;
}

bool
cluster_config_is_equal(const struct cluster_config *a, const struct cluster_config *b)
{
	if (!is_same(a->name, b->name) || a->is_plain != b->is_plain || a->is_socket_dir != b->is_socket_dir ||
	    a->patroni_count != b->patroni_count || a->host_count != b->host_count ||
	    a->patroni_poll_interval_us != b->patroni_poll_interval_us ||
	    a->patroni_timeout_us != b->patroni_timeout_us || a->max_replica_lag_bytes != b->max_replica_lag_bytes ||
	    a->max_replica_delay_us != b->max_replica_delay_us || a->read_fallback != b->read_fallback || !is_same_identity(&a->patroni_identity, &b->patroni_identity))
		return false;
	for (int i = 0; i < a->patroni_count; i++) {
		if (!is_same(a->patroni[i], b->patroni[i]))
			return false;
	}
	for (int i = 0; i < a->host_count; i++) {
		if (!is_same(a->hosts[i].name, b->hosts[i].name) || a->hosts[i].port != b->hosts[i].port)
			return false;
	}
	return true;
}
