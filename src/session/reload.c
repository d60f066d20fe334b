/*
 * session/reload.c - a new configuration in place of the old one, while everybody stays connected.
 *
 *   config_load   ─► access_load ─► clusters ─► databases, roles, pools ─► clusters that nobody needs any more
 *   config_change ─┘ (SET: the configuration in force with one setting changed; no file is read again)
 *
 * Nothing changes unless everything new is good. Never: opens listeners or logs (that is main's, by on_reload).
 */
#include <stdio.h>

#include "base/heap.h"
#include "base/log.h"
#include "config/reload.h"
#include "session/auth_query.h"
#include "session/peers.h"
#include "session/proxy_parts.h"
#include "session/role_keys.h"
#include "session/server.h"

static void
log_change(const struct config_change *change, void *context)
{
	if (change->is_kept)
		log_warning("config", "%s is \"%s\" in the new configuration, which needs a restart; \"%s\" stays in force",
		            change->row->name, change->is, change->was);
	else
		log_info("config", "%s: \"%s\" -> \"%s\"", change->row->name, change->was, change->is);
}

static void
apply_clusters(struct proxy *x, const struct config *now)
{
	for (int i = 0; i < now->cluster_count; i++) {
		struct cluster_load *load = proxy_load(x, now->clusters[i].name);
		if (load == NULL) {
			proxy_open_cluster(x, &now->clusters[i]);
			continue;
		}
		cluster_apply(load->cluster, &now->clusters[i]);
		load->read_fallback = now->clusters[i].read_fallback;
	}
}

/* Other members: nothing of the old ones may be counted, used or told any more. Clients between transactions stay. */
static void
move_database(struct proxy *x, struct database *d, struct cluster_load *load)
{
	proxy_cut_servers(x, d, "database moved to another cluster");
	list_each(&d->pools, n, next)
	{
		struct pool *p = node_owner(n, struct pool, of_database);
		for (int id = 0; id < CLUSTER_MEMBERS_MAX; id++) {
			heap_free(p->at[id]);
			p->at[id] = NULL;
		}
		pool_forget_welcome(p);
		client_login_forget_learned(p);
	}
	d->load = load;
}

/* Whose server is reset between clients no more: what one of them leaves there must not be the next one's. */
static void
apply_rules(struct proxy *x, struct pool *p, const struct pool_rules *now)
{
	bool was_session = p->rules.pool_mode == POOL_MODE_SESSION;
	p->rules = *now;
	if (!was_session || now->pool_mode == POOL_MODE_SESSION)
		return;
	list_each(&x->servers, n, after)
	{
		struct server *s = node_owner(n, struct server, node);
		if (s->pool == p && s->is_soiled)
			s->slot.is_close_needed = true;
	}
}

static void
apply_databases(struct proxy *x, const struct config *now)
{
	struct database *d, *after;
	HASH_ITER(hh, x->databases, d, after)
	{
		const struct database_config *config = config_database(now, d->name);
		if (config == NULL) {
			proxy_kill_database(x, d, "database removed");
			proxy_drop_database(x, d);
			continue;
		}
		struct cluster_load *load = proxy_load(x, config->cluster->name);
		if (load != d->load || database_config_needs_new_servers(d->config, config)) {
			proxy_reconnect(x, d);
			if (load != d->load)
				move_database(x, d, load);
		}
		d->config = config;
		d->is_auto = config->is_default;
		d->custom_names.again_us = 0; /* an administrator who has made a function may not want to wait */
	}
	struct role *r, *next_r;
	HASH_ITER(hh, x->roles, r, next_r)
		r->config = config_user(now, r->name);
	list_each(&x->pools, n, next)
	{
		struct pool *p = node_owner(n, struct pool, node);
		struct pool_rules rules = config_pool_rules(now, p->database->config, p->role->config);
		apply_rules(x, p, &rules);
		pool_forgive(p);
		proxy_dirty(x, p);
	}
}

static void
drop_clusters(struct proxy *x, const struct config *now)
{
	list_each(&x->loads, n, after)
	{
		struct cluster_load *load = node_owner(n, struct cluster_load, node);
		if (config_cluster(now, cluster_name(load->cluster)) == NULL)
			proxy_close_load(load);
	}
}

static void
add_errors(struct config_errors *errors, const char *between, struct text *why)
{
	for (int i = 0; i < errors->count; i++)
		text_addf(why, "%s%s", i ? between : "", errors->lines[i]);
	config_errors_free(errors);
}

static bool
new_access(const struct proxy *x, const struct config *now, struct access *out, struct text *why)
{
	if (!access_load(now, out, why))
		return false;
	if (access_may_replace(&x->access, out, why))
		return true;
	access_free(out);
	return false;
}

/* access NULL: who may come in stays as it is. */
static void
take_over(struct proxy *x, struct config *now, const struct access *access)
{
	bool needs_new_servers = config_needs_new_servers(x->config, now);
	config_reload_keep(x->config, now);
	if (access) {
		access_free(&x->access);
		x->access = *access;
		access_in_force(&x->access);
		access_log_warnings(&x->access);
	}
	x->users_warm_at = 0;
	struct resolver_settings names = names_settings(&now->settings);
	resolver_tune(x->resolver, &names);

	struct config *old = x->config;
	auth_query_halt(x);
	apply_clusters(x, now);
	apply_databases(x, now);
	drop_clusters(x, now);
	x->config = now;
	config_free(old);
	if (needs_new_servers)
		proxy_reconnect(x, NULL);
	peers_on_reload(x);
	auth_query_restart(x);
	if (x->on_reload)
		x->on_reload(x->process);
}

static bool
reload(struct proxy *x, struct text *why)
{
	struct config_errors errors = { 0 };
	const char *file = x->config->settings.conffile;
	struct config *now = config_load(file[0] ? file : NULL, x->environment, &errors);
	if (now == NULL) {
		add_errors(&errors, "\n", why);
		return false;
	}
	struct access access;
	if (!proxy_can_ask(x, now, why) || !new_access(x, now, &access, why)) {
		config_free(now);
		return false;
	}
	for (int i = 0; i < now->warnings.count; i++)
		log_warning("config", "%s", now->warnings.lines[i]);
	config_reload_report(x->config, now, log_change, x);
	x->tls_waits = false;
	take_over(x, now, &access);
	log_info("config", "reloaded");
	return true;
}

bool
proxy_reload(struct proxy *x, struct text *why)
{
	if (x->on_reloading)
		x->on_reloading(x->process, false);
	bool is_taken = reload(x, why);
	if (x->on_reloading)
		x->on_reloading(x->process, true);
	return is_taken;
}

/* ---- SET ---- */

static bool
has_line(const struct config_errors *lines, const char *line)
{
	for (int i = 0; i < lines->count; i++)
		if (strcmp(lines->lines[i], line) == 0)
			return true;
	return false;
}

/* What is surprising about the new configuration and was not about the old one. */
static void
add_new_warnings(const struct config *old, const struct config *now, struct text *out)
{
	for (int i = 0; i < now->warnings.count; i++)
		if (!has_line(&old->warnings, now->warnings.lines[i]))
			text_addf(out, "%s%s", out->n ? "; " : "", now->warnings.lines[i]);
}

/* False: nothing has changed. */
static bool
try_change(struct proxy *x, const struct setting *row, struct view value, bool keeps_tls, struct text *why)
{
	struct config_errors errors = { 0 };
	struct config *now = config_change(x->config, row, value, keeps_tls, &errors);
	if (now == NULL) {
		add_errors(&errors, "; ", why);
		return false;
	}
	struct access access;
	bool has_access = setting_is_of_access(row) && !(setting_is_of_tls(row) && keeps_tls);
	if (!proxy_can_ask(x, now, why) || (has_access && !new_access(x, now, &access, why))) {
		config_free(now);
		return false;
	}
	add_new_warnings(x->config, now, why);
	take_over(x, now, has_access ? &access : NULL);
	x->tls_waits = keeps_tls;
	return true;
}

enum set_result
proxy_set(struct proxy *x, const struct setting *row, struct view value, struct text *why)
{
	bool is_tls = setting_is_of_tls(row);
	if (try_change(x, row, value, x->tls_waits && !is_tls, why))
		return SET_DONE;
	if (!is_tls)
		return SET_FAILED;
	char ignored[400];
	struct text reason = TEXT_IN(ignored); /* the first one is the interesting one */
	return try_change(x, row, value, true, &reason) ? SET_TLS_KEPT : SET_FAILED;
}

void
proxy_refresh_users(struct proxy *x)
{
	char reason[2048];
	struct text why = TEXT_IN(reason);
	switch (access_refresh_users(&x->access, &x->config->settings, &why)) {
	case ACCESS_SAME:
		return;
	case ACCESS_UNUSABLE:
		log_error("auth", "auth_file has changed but can't be used, the old one stays in force: %s", reason);
		return;
	case ACCESS_REFRESHED:
		break;
	}
	x->users_warm_at = 0;
	list_each(&x->pools, n, after)
	{
		struct pool *p = node_owner(n, struct pool, node);
		pool_forgive(p);
		proxy_dirty(x, p);
	}
	log_info("auth", "auth_file was read again: %zu users", users_count(x->access.users));
}
