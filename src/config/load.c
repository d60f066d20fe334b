/*
 * config/load.c - makes a configuration of a file and the environment.
 *
 *	(1) ini_read_file       the lines of the file and of those it includes
 *	(2) set_presets         of [pgsluice], or of [pgbouncer] if there is such a section
 *	(3) read_lines          each is a setting, or becomes the draft of an entry
 *	(4) read_variables      override settings, and may make the cluster main; so do changes made on the console
 *	(5) make_entries        clusters first, then databases, which point to them
 *	(6) check_together      what is well formed by itself and does not fit
 *
 * Owns: struct config. Never: opens a socket, looks up a name.
 * Invariant: nothing is handed out when anything is wrong, and then everything that is wrong is in the errors.
 * Source: PgBouncer 1.25.2, configuration file format.
 */
#include "config/config.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/heap.h"
#include "base/must.h"
#include "config/entry.h"
#include "config/environment.h"
#include "config/ini.h"
#include "config/reload.h"

struct drafts {
	struct draft *all; /* owned, on the heap */
	int count, room;
};

/* Where a setting was set; place.file NULL: nowhere, it has its preset. */
struct origin {
	struct place place;
	bool is_environment;
};

/* A setting that goes before the lines of the file: of the environment, or changed on the console. */
struct late_value {
	const struct setting *row;
	struct view value;
	struct place at;
};

struct config_source {
	const struct ini_line *lines;
	int line_count;
	struct late_value *late; /* those of the environment first; a later one counts */
	int late_count;
};

struct loading {
	struct config *config;
	struct config_memory *memory;
	struct config_errors *errors;
	struct config_errors warnings;
	struct drafts drafts[ENTRY_KINDS];
	struct origin *origins; /* for each row of the settings */
	struct place whole;     /* the file as such, or "environment" */
	struct late_value *late;
	int late_count;
};

static struct origin *
origin_of(const struct loading *l, const char *setting)
{
	return &l->origins[setting_find(setting) - setting_rows];
}

/* Complain about a setting where it was set; in messages of the environment its name is already part of the place. */
static void __attribute__((format(printf, 4, 5)))
complain(const struct loading *l, struct config_errors *to, const char *setting, const char *format, ...)
{
	struct origin origin = *origin_of(l, setting);
	char why[1000];
	va_list args;

	va_start(args, format);
	vsnprintf(why, sizeof(why), format, args);
	va_end(args);
	if (origin.is_environment)
		config_errors_add(to, origin.place, "%s", why);
	else
		config_errors_add(to, origin.place.file ? origin.place : l->whole, "%s: %s", setting, why);
}

static void
store(struct loading *l, const struct setting *row, struct view value, struct origin origin)
{
	char why[500];
	struct text text = TEXT_IN(why);

	l->origins[row - setting_rows] = origin;
	if (!value_store(row, &l->config->settings, value, l->memory, &text))
		complain(l, l->errors, row->name, "%s", why);
}

static void
set_presets(struct loading *l)
{
	for (const struct setting *row = setting_rows; row < setting_rows + setting_count; row++) {
		const char *preset = setting_preset(row, l->config->is_pgbouncer);
		store(l, row, view_of_string(preset), (struct origin){ 0 });
	}
}

static void
read_setting(struct loading *l, struct ini_line *line)
{
	const struct setting *row = setting_find(line->key);

	if (row) {
		/* PgBouncer knows no comments behind values; and a secret is not for us to cut. */
		bool is_whole = l->config->is_pgbouncer || row->is_secret;
		struct view value = is_whole ? line->value : ini_cut_comment(line->value);
		if (row->is_file && value.n)
			line->value = value = view_of_string( /* where it is once and for all */
			    ini_locate(config_memory_string(l->memory, value), line->at.file, l->memory));
		store(l, row, value, (struct origin){ .place = line->at });
		return;
	}
	const char *nearest = value_nearest(view_of_string(line->key), setting_rows, setting_count);
	config_errors_add(l->errors, line->at, "%s: no such setting; %s%s%s", line->key,
			  nearest ? "did you mean \"" : "--help-settings lists them all", nearest ? nearest : "",
			  nearest ? "\"?" : "");
}

static struct draft *
add_draft(struct loading *l, enum entry_kind kind, const char *name, struct place at)
{
	struct drafts *d = &l->drafts[kind];

	if (d->count == d->room) {
		d->room = d->room ? d->room * 2 : 16;
		d->all = heap_resize(d->all, (size_t)d->room * sizeof(*d->all));
	}
	d->all[d->count] = entry_blank(kind, name, at);
	d->all[d->count].order = d->count;
	return &d->all[d->count++];
}

/* What is wrong with the name of an entry, or NULL. */
static const char *
name_fault(enum entry_kind kind, const char *name)
{
	int64_t id;

	if (kind == ENTRY_DATABASE && config_is_console(name))
		return "is the name of the console";
	if (kind == ENTRY_DATABASE && strlen(name) >= DATABASE_NAME_MAX)
		return "is too long; allowed: 63 bytes";
	if (kind == ENTRY_USER && strlen(name) >= USER_NAME_MAX)
		return "is too long; allowed: 127 bytes";
	if (kind == ENTRY_CLUSTER && (strchr(name, ':') || strlen(name) >= DATABASE_NAME_MAX))
		return "is not a name of a cluster; allowed: 63 bytes, no colon";
	if (kind == ENTRY_PEER && (!value_read_int(view_of_string(name), &id) || id < 1 || id > 65535))
		return "is not the number of a peer; allowed: 1 to 65535";
	return NULL;
}

static void
read_entry(struct loading *l, enum entry_kind kind, const struct ini_line *line)
{
	const char *fault = name_fault(kind, line->key);

	if (fault) {
		config_errors_add(l->errors, line->at, "[%s] \"%s\" %s", entry_forms[kind].section, line->key, fault);
		return;
	}
	struct draft *draft = add_draft(l, kind, line->key, line->at);
	struct view value = l->config->is_pgbouncer ? line->value : ini_cut_comment(line->value);
	entry_read(kind, value, draft, l->memory, l->errors, &l->warnings);
}

enum section { SECTION_NONE, SECTION_UNKNOWN, SECTION_SETTINGS, SECTION_ENTRIES };

static enum section
enter_section(struct loading *l, const struct ini_line *line, enum entry_kind *kind)
{
	static const char *const names[] = { "pgsluice", "pgbouncer", "clusters", "databases", "users", "peers" };
	const char *nearest = NULL;

	for (int i = 0; i < ENTRY_KINDS; i++) {
		if (strcmp(line->section, entry_forms[i].section) == 0) {
			*kind = (enum entry_kind)i;
			return SECTION_ENTRIES;
		}
	}
	if (strcmp(line->section, "pgbouncer") == 0) {
		set_presets(l); /* as PgBouncer does, each time that the section begins */
		return SECTION_SETTINGS;
	}
	if (strcmp(line->section, "pgsluice") == 0) {
		if (l->config->is_pgbouncer)
			config_errors_add(l->errors, line->at,
					  "[pgsluice] and [pgbouncer] in one configuration; allowed: one of them");
		return SECTION_SETTINGS;
	}
	if (*line->section == 0) /* its line was refused already */
		return SECTION_UNKNOWN;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (text_distance(view_of_string(line->section), view_of_string(names[i]), 3) <= 3)
			nearest = names[i];
	}
	if (nearest)
		config_errors_add(l->errors, line->at, "[%s]: no such section; did you mean [%s]?", line->section,
				  nearest);
	else
		config_errors_add(
		    l->errors, line->at,
		    "[%s]: no such section; allowed: pgsluice, pgbouncer, clusters, databases, users, peers",
		    line->section);
	return SECTION_UNKNOWN;
}

static void
read_lines(struct loading *l, struct ini *ini)
{
	enum section section = SECTION_NONE;
	enum entry_kind kind = ENTRY_DATABASE;

	for (int i = 0; i < ini->count; i++) {
		struct ini_line *line = &ini->lines[i];
		if (line->section)
			section = enter_section(l, line, &kind);
		else if (section == SECTION_SETTINGS)
			read_setting(l, line);
		else if (section == SECTION_ENTRIES)
			read_entry(l, kind, line);
		else if (section == SECTION_NONE) {
			config_errors_add(l->errors, line->at,
					  "%s: stands before any section; allowed: [pgsluice] above it", line->key);
			section = SECTION_UNKNOWN; /* once is enough */
		}
	}
}

static void
store_late(struct loading *l, const struct late_value *v)
{
	l->late[l->late_count++] = *v;
	store(l, v->row, v->value, (struct origin){ .place = v->at, .is_environment = true });
}

static void
read_variable(const struct environment_value *v, void *context)
{
	struct loading *l = context;
	/* Outlives the environment, and a file that the variable names. */
	struct view value = view_of(config_memory_string(l->memory, v->value), v->value.n);

	store_late(l, &(struct late_value){ v->row, value, v->at });
}

/* What a configuration is to be made of instead of the environment: another one, and a change to it. */
struct change {
	const struct config *from;
	const struct setting *row;
	struct view value;
	bool keeps_tls;
};

static void
read_changes(struct loading *l, const struct change *change)
{
	const struct config_source *from = change->from->source;
	char name[100];
	struct text place = TEXT_IN(name);

	text_addf(&place, "SET %s", change->row->name);
	for (int i = 0; i < from->late_count; i++) {
		struct late_value v = from->late[i];
		if (v.row == change->row && strcmp(v.at.file, name) == 0)
			continue; /* changed once more */
		v.at.file = config_memory_string(l->memory, view_of_string(v.at.file));
		v.value = view_of(config_memory_string(l->memory, v.value), v.value.n);
		store_late(l, &v);
	}
	struct view value = view_of(config_memory_string(l->memory, change->value), change->value.n);
	struct place at = { .file = config_memory_string(l->memory, view_of_string(name)) };
	store_late(l, &(struct late_value){ change->row, value, at });
	for (const struct setting *row = setting_rows; change->keeps_tls && row < setting_rows + setting_count; row++) {
		if (setting_is_of_tls(row))
			value_copy(row, &change->from->settings, &l->config->settings, l->memory);
	}
}

static const struct config_source *
keep_source(const struct loading *l, const struct ini *ini)
{
	struct config_source *source = config_memory_take(l->memory, sizeof(*source));
	size_t bytes = (size_t)ini->count * sizeof(*ini->lines);
	struct ini_line *lines = config_memory_take(l->memory, bytes);

	if (bytes)
		memcpy(lines, ini->lines, bytes);
	*source = (struct config_source){ lines, ini->count, l->late, l->late_count };
	return source;
}

/* Which of `patroni` and `hosts` makes the cluster main; the environment goes before the file. NULL: neither. */
static const char *
main_cluster_setting(struct loading *l)
{
	const struct settings *s = &l->config->settings;
	bool patroni_here = origin_of(l, "patroni")->is_environment, hosts_here = origin_of(l, "hosts")->is_environment;

	if (*s->patroni && *s->hosts && patroni_here == hosts_here) {
		complain(l, l->errors, "hosts",
			 "patroni is set, too, and each makes the cluster main; allowed: one of them");
		return NULL;
	}
	if (*s->patroni && *s->hosts)
		return patroni_here ? "patroni" : "hosts";
	return *s->patroni ? "patroni" : *s->hosts ? "hosts" : NULL;
}

static void
draft_main_cluster(struct loading *l)
{
	struct settings *s = &l->config->settings;
	struct drafts *clusters = &l->drafts[ENTRY_CLUSTER], *databases = &l->drafts[ENTRY_DATABASE];
	const char *setting = main_cluster_setting(l);
	bool has_default = false;

	if (setting == NULL)
		return;
	struct origin origin = *origin_of(l, setting);
	for (int i = 0; i < clusters->count; i++) {
		if (strcmp(clusters->all[i].name, "main") == 0 && !origin.is_environment) {
			complain(l, l->errors, setting,
				 "makes the cluster main, which [clusters] has, too; allowed: one of them");
			return;
		}
	}
	struct draft *draft = add_draft(l, ENTRY_CLUSTER, "main", origin.place);
	if (strcmp(setting, "patroni") == 0)
		draft->cluster.patroni = s->patroni;
	else
		draft->cluster.hosts = s->hosts;
	for (int i = 0; i < databases->count; i++)
		has_default |= databases->all[i].database.config.is_default;
	if (!has_default)
		add_draft(l, ENTRY_DATABASE, "*", origin.place)->database.cluster = "main";
}

static int
by_name_and_order(const void *a, const void *b)
{
	const struct draft *x = a, *y = b;
	int d = strcmp(x->name, y->name);

	return d ? d : x->order - y->order;
}

/* Sort, and of those with one name keep the last, as PgBouncer does. */
static void
settle_names(struct loading *l, enum entry_kind kind)
{
	struct drafts *d = &l->drafts[kind];
	int kept = 0;

	if (d->count)
		qsort(d->all, (size_t)d->count, sizeof(*d->all), by_name_and_order);
	for (int i = 0; i < d->count; i++) {
		if (i + 1 < d->count && strcmp(d->all[i].name, d->all[i + 1].name) == 0) {
			config_errors_add(
			    &l->warnings, d->all[i + 1].at, "[%s] %s: given again; that of %s:%d no longer counts",
			    entry_forms[kind].section, d->all[i].name, d->all[i].at.file, d->all[i].at.line);
			continue;
		}
		d->all[kept++] = d->all[i];
	}
	d->count = kept;
}

static int
list_length(const char *list)
{
	int n = 0;

	for (struct view item; config_list_next(&list, &item);)
		n++;
	return n;
}

/* What the entry does not say, the settings do. A certificate and its key, a user and his password belong together. */
static void
fill_identity(struct patroni_identity *out, const struct patroni_identity *preset)
{
	if (out->user == NULL && out->password == NULL) {
		out->user = preset->user;
		out->password = preset->password;
	}
	if (out->cert_file == NULL && out->key_file == NULL) {
		out->cert_file = preset->cert_file;
		out->key_file = preset->key_file;
	}
	if (out->ca_file == NULL)
		out->ca_file = preset->ca_file;
	if (out->tls_verify == (enum patroni_tls_verify)-1)
		out->tls_verify = preset->tls_verify;
	const char **texts[] = { &out->user, &out->password, &out->cert_file, &out->key_file };
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (*texts[i] == NULL)
			*texts[i] = "";
}

static void
check_identity(struct loading *l, const struct draft *draft, const struct patroni_identity *i)
{
	static const char form[] = "[clusters] %s: %s is empty; %s needs it";
	if ((i->cert_file[0] == '\0') != (i->key_file[0] == '\0'))
		config_errors_add(l->errors, draft->at, form, draft->name, i->key_file[0] ? "patroni_cert_file" : "patroni_key_file",
				  i->key_file[0] ? "patroni_key_file" : "patroni_cert_file");
	if ((i->user[0] == '\0') != (i->password[0] == '\0'))
		config_errors_add(l->errors, draft->at, form, draft->name, i->user[0] ? "patroni_password" : "patroni_user",
				  i->user[0] ? "patroni_user" : "patroni_password");
}

static void
make_cluster(struct loading *l, const struct draft *draft, struct cluster_config *c)
{
	const struct settings *s = &l->config->settings;
	char why[200];
	struct text text = TEXT_IN(why);
	struct view item;

	*c = draft->cluster.config;
	if (c->patroni_poll_interval_us == UINT64_MAX)
		c->patroni_poll_interval_us = s->patroni_poll_interval_us;
	if (c->patroni_timeout_us == UINT64_MAX)
		c->patroni_timeout_us = s->patroni_timeout_us;
	if (c->max_replica_lag_bytes == UINT64_MAX)
		c->max_replica_lag_bytes = s->max_replica_lag_bytes;
	if (c->read_fallback == (enum read_fallback) - 1)
		c->read_fallback = s->read_fallback;
	fill_identity(&c->patroni_identity, &s->patroni_identity);

	const char *patroni = draft->cluster.patroni ? draft->cluster.patroni : "";
	const char *hosts = draft->cluster.hosts ? draft->cluster.hosts : "";
	int patroni_count = list_length(patroni), host_count = list_length(hosts);
	if (draft->is_bad)
		return;
	if ((patroni_count == 0) == (host_count == 0)) {
		config_errors_add(
		    l->errors, draft->at,
		    "[clusters] %s: has %s; allowed: either patroni=http://host:port,... or hosts=host,...",
		    draft->name, patroni_count ? "both patroni and hosts" : "neither patroni nor hosts");
		return;
	}
	const char **urls = config_memory_take(l->memory, (size_t)patroni_count * sizeof(*urls));
	struct host_config *all = config_memory_take(l->memory, (size_t)host_count * sizeof(*all));
	while (config_list_next(&patroni, &item)) {
		must(value_read_url(item, &item, &text));
		urls[c->patroni_count++] = config_memory_string(l->memory, item);
	}
	while (config_list_next(&hosts, &item)) {
		struct host_config *host = &all[c->host_count++];
		host->port = 5432;
		must(value_read_host(item, &item, &host->port, &text));
		host->name = config_memory_string(l->memory, item);
	}
	c->patroni = urls;
	c->hosts = all;
	if (patroni_count > 0)
		check_identity(l, draft, &c->patroni_identity);
}

/* PgBouncer writes IPv6 addresses without brackets; [clusters] has them, so they are taken here, too. */
static struct view
without_brackets(struct view host)
{
	bool has = host.n > 2 && host.p[0] == '[' && host.p[host.n - 1] == ']';

	return has ? view_part(host, 1, host.n - 2) : host;
}

/* "host:port" is right in [clusters] only; here PgBouncer would look for an IPv6 address of that text. */
static bool
is_host_with_port(struct view host)
{
	const uint8_t *colon = memchr(host.p, ':', host.n);

	return colon && colon == memrchr(host.p, ':', host.n) && host.p[0] != '/' && host.p[0] != '@';
}

/* A cluster without roles: all of its hosts are equal, and nobody asks them. Its name is the list of them. */
static void
make_plain_cluster(struct config *config, struct cluster_config *c, const char *hosts, int port)
{
	struct host_config *all = config_memory_take(config->memory, (size_t)list_length(hosts) * sizeof(*all));
	struct buf name = { 0 };

	*c = (struct cluster_config){ .is_plain = true,
				      .hosts = all,
				      .patroni_poll_interval_us = config->settings.patroni_poll_interval_us,
				      .patroni_timeout_us = config->settings.patroni_timeout_us,
				      .max_replica_lag_bytes = config->settings.max_replica_lag_bytes,
				      .read_fallback = config->settings.read_fallback };
	for (struct view item; config_list_next(&hosts, &item);) {
		struct host_config *host = &all[c->host_count++];
		item = without_brackets(item);
		*host = (struct host_config){ .name = config_memory_string(config->memory, item), .port = port };
		buf_addf(&name, memchr(item.p, ':', item.n) ? "%s[%s]:%d" : "%s%s:%d", name.n ? "," : "", host->name,
			 port);
	}
	c->name = config_memory_string(config->memory, buf_view(&name));
	buf_free(&name);
}

void
config_socket_dir_cluster(struct config *config, struct cluster_config *c, int port)
{
	make_plain_cluster(config, c, config->settings.unix_socket_dir, port);
	c->is_socket_dir = true;
}

/* The plain cluster of a database; databases with the same hosts share it. */
static const struct cluster_config *
plain_cluster(struct config *config, struct cluster_config *clusters, const char *hosts, int port)
{
	struct cluster_config *c = &clusters[config->cluster_count];

	if (hosts)
		make_plain_cluster(config, c, hosts, port);
	else
		config_socket_dir_cluster(config, c, port);
	for (int i = 0; i < config->cluster_count; i++) {
		if (cluster_config_is_equal(&clusters[i], c))
			return &clusters[i];
	}
	config->cluster_count++;
	return c;
}

static const struct cluster_config *
find_cluster(struct loading *l, const struct draft *draft, const struct cluster_config *clusters)
{
	struct view wanted = view_of_string(draft->database.cluster);
	const char *nearest = NULL;

	for (int i = 0; i < l->config->cluster_count; i++) {
		if (!clusters[i].is_plain && view_is(wanted, clusters[i].name))
			return &clusters[i];
		if (!clusters[i].is_plain && text_distance(wanted, view_of_string(clusters[i].name), 2) <= 2)
			nearest = clusters[i].name;
	}
	config_errors_add(l->errors, draft->at, "[databases] %s: cluster: \"%s\" is not in [clusters]; %s%s%s",
			  draft->name, draft->database.cluster,
			  nearest ? "did you mean \"" : "allowed: a name of [clusters], or host=",
			  nearest ? nearest : "", nearest ? "\"?" : "");
	return NULL;
}

static void
make_database(struct loading *l, const struct draft *draft, struct cluster_config *clusters, struct database_config *d)
{
	*d = draft->database.config;
	int port = d->port;
	d->port = port < 0 ? 5432 : port;
	if (draft->is_bad)
		return;
	if (draft->database.cluster && (d->host || port >= 0)) {
		config_errors_add(l->errors, draft->at, "[databases] %s: has cluster and %s; allowed: one of them",
				  draft->name, d->host ? "host" : "port");
		return;
	}
	if (d->auth_dbname && config_is_console(d->auth_dbname))
		config_errors_add(l->errors, draft->at,
				  "[databases] %s: auth_dbname: \"%s\" is the name of the console", draft->name,
				  d->auth_dbname);
	if (draft->database.cluster) {
		d->cluster = find_cluster(l, draft, clusters);
		return;
	}
	if (list_length(d->host ? d->host : l->config->settings.unix_socket_dir) == 0) {
		config_errors_add(l->errors, draft->at, "[databases] %s: %s", draft->name,
				  d->host ? "host: names no host; allowed: a host, or several with commas"
					  : "has neither host nor cluster, and unix_socket_dir is empty");
		return;
	}
	const char *hosts = d->host ? d->host : "";
	for (struct view item; config_list_next(&hosts, &item);) {
		if (is_host_with_port(item))
			config_errors_add(l->errors, draft->at,
					  "[databases] %s: host: \"%.*s\" has a port; it goes into port=", draft->name,
					  (int)item.n, (const char *)item.p);
	}
	d->cluster = plain_cluster(l->config, clusters, d->host, d->port);
}

static int
by_peer_id(const void *a, const void *b)
{
	const struct peer_config *x = a, *y = b;

	return x->id - y->id;
}

static void
make_entries(struct loading *l)
{
	struct config *config = l->config;
	struct drafts *d = l->drafts;
	size_t clusters_max = (size_t)(d[ENTRY_CLUSTER].count + d[ENTRY_DATABASE].count);
	struct cluster_config *clusters = config_memory_take(l->memory, clusters_max * sizeof(*clusters));
	struct database_config *databases =
	    config_memory_take(l->memory, (size_t)d[ENTRY_DATABASE].count * sizeof(*databases));
	struct user_config *users = config_memory_take(l->memory, (size_t)d[ENTRY_USER].count * sizeof(*users));
	struct peer_config *peers = config_memory_take(l->memory, (size_t)d[ENTRY_PEER].count * sizeof(*peers));

	for (int i = 0; i < d[ENTRY_CLUSTER].count; i++)
		make_cluster(l, &d[ENTRY_CLUSTER].all[i], &clusters[config->cluster_count++]);
	for (int i = 0; i < d[ENTRY_DATABASE].count; i++)
		make_database(l, &d[ENTRY_DATABASE].all[i], clusters, &databases[config->database_count++]);
	for (int i = 0; i < d[ENTRY_USER].count; i++)
		users[config->user_count++] = d[ENTRY_USER].all[i].user;
	for (int i = 0; i < d[ENTRY_PEER].count; i++) {
		const struct draft *draft = &d[ENTRY_PEER].all[i];
		int64_t id;
		must(value_read_int(view_of_string(draft->name), &id));
		peers[config->peer_count] = draft->peer;
		peers[config->peer_count++].id = (int)id;
		if (draft->peer.host == NULL && !draft->is_bad)
			config_errors_add(l->errors, draft->at, "[peers] %s: has no host; allowed: host=...",
					  draft->name);
	}
	if (config->peer_count)
		qsort(peers, (size_t)config->peer_count, sizeof(*peers), by_peer_id);
	config->clusters = clusters;
	config->databases = databases;
	config->users = users;
	config->peers = peers;
}

/* A mode of TLS with servers, of the settings (d NULL) or of a database, against what it needs. */
static void
check_server_tls(struct loading *l, const struct database_config *d, enum sslmode mode)
{
	const struct settings *s = &l->config->settings;
	const char *name = d ? d->name : "server_tls_sslmode";
	char what[DATABASE_NAME_MAX + 40];

	snprintf(what, sizeof(what), d ? "[databases] %s: sslmode" : "%s", name);
	if (mode >= SSLMODE_VERIFY_CA && *s->server_tls_ca_file == 0)
		complain(l, l->errors, "server_tls_ca_file", "is empty; %s %s needs it", what, sslmode_name(mode));
	if (s->server_tls_negotiation == TLS_NEGOTIATION_DIRECT && (mode == SSLMODE_ALLOW || mode == SSLMODE_PREFER))
		complain(l, l->errors, "server_tls_negotiation",
			 "direct does not go with %s %s, as nobody is asked; allowed: disable, require, verify-ca, verify-full",
			 what, sslmode_name(mode));
}

static void
check_tls(struct loading *l)
{
	const struct config *config = l->config;
	const struct settings *s = &config->settings;

	if (s->client_tls_sslmode != SSLMODE_DISABLE && (*s->client_tls_key_file == 0 || *s->client_tls_cert_file == 0))
		complain(l, l->errors, "client_tls_sslmode", "%s needs client_tls_key_file and client_tls_cert_file",
			 sslmode_name(s->client_tls_sslmode));
	if (*s->client_tls_ca_file == 0 &&
	    (s->client_tls_sslmode >= SSLMODE_VERIFY_CA || s->auth_type == AUTH_TYPE_CERT))
		complain(l, l->errors, "client_tls_ca_file",
			 "is empty; client_tls_sslmode %s with auth_type %s needs it",
			 sslmode_name(s->client_tls_sslmode), auth_type_name(s->auth_type));
	if (s->auth_type == AUTH_TYPE_CERT && s->client_tls_sslmode != SSLMODE_VERIFY_FULL)
		complain(l, l->errors, "client_tls_sslmode", "is %s; auth_type cert needs verify-full",
			 sslmode_name(s->client_tls_sslmode));
	if ((*s->server_tls_key_file == 0) != (*s->server_tls_cert_file == 0))
		complain(l, l->errors, *s->server_tls_key_file ? "server_tls_cert_file" : "server_tls_key_file",
			 "is empty; server_tls_key_file and server_tls_cert_file need each other");
	check_server_tls(l, NULL, s->server_tls_sslmode);
	for (int i = 0; i < config->database_count; i++)
		check_server_tls(l, &config->databases[i], config->databases[i].sslmode);
}

/* What is well formed by itself and does not fit together. */
static void
check_together(struct loading *l)
{
	const struct config *config = l->config;
	const struct settings *s = &config->settings;

	if (s->read_port && s->read_port == s->listen_port)
		complain(l, l->errors, "read_port",
			 "is %d, and so is listen_port; allowed: another port, or 0 for none", s->read_port);
	if (s->http_port && (s->http_port == s->listen_port || s->http_port == s->read_port))
		complain(l, l->errors, "http_port", "is %d, and so is %s; allowed: another port, or 0 for none",
			 s->http_port, s->http_port == s->listen_port ? "listen_port" : "read_port");
	if (list_length(s->listen_addr) == 0 && *s->unix_socket_dir == 0)
		complain(
		    l, l->errors, "listen_addr",
		    "is empty, and so is unix_socket_dir: there is nothing to listen on; allowed: *, or addresses");
	check_tls(l);
	if (s->auth_type == AUTH_TYPE_HBA && *s->auth_hba_file == 0)
		complain(l, l->errors, "auth_hba_file", "is empty; auth_type hba needs it");
	if (config_is_console(s->auth_dbname))
		complain(l, l->errors, "auth_dbname", "is the name of the console; allowed: a database");
	if (config->database_count == 0 && !config->is_pgbouncer && l->errors->count == 0) {
		if (*config->file)
			config_errors_add(l->errors, l->whole,
					  "[databases] has no entry; for example: * = cluster=main");
		else
			config_errors_add(l->errors, l->whole,
					  "nothing to connect to; give a configuration file, or set "
					  "PGSLUICE_PATRONI=http://host:8008,... "
					  "or PGSLUICE_HOSTS=host:5432,...");
	}
}

static bool
is_cluster_used(const struct config *config, const struct cluster_config *cluster)
{
	for (int i = 0; i < config->database_count; i++) {
		if (config->databases[i].cluster == cluster)
			return true;
	}
	return false;
}

static bool
has_auth_user(const struct config *config)
{
	bool has = *config->settings.auth_user != 0;
	for (int i = 0; i < config->database_count; i++)
		has = has || config->databases[i].auth_user;
	return has;
}

/* Questions that can't be asked: said at once, not at the first login. */
static void
warn_of_auth_query(struct loading *l)
{
	const struct config *config = l->config;
	const struct settings *s = &config->settings;

	if (*s->auth_user && strstr(s->auth_query, "$1") == NULL)
		complain(l, &l->warnings, "auth_query", "has no $1 for the user it is asked for: the server will refuse it");
	if (*s->auth_dbname && config_database(config, s->auth_dbname) == NULL)
		complain(l, &l->warnings, "auth_dbname", "\"%s\" is not in [databases]: nobody can be looked up there",
			 s->auth_dbname);
	for (int i = 0; i < config->database_count; i++) {
		const struct database_config *d = &config->databases[i];
		if (d->auth_query && strstr(d->auth_query, "$1") == NULL)
			config_errors_add(&l->warnings, l->whole, "[databases] %s: auth_query: has no $1 for the user",
					  d->name);
		if (d->auth_dbname && config_database(config, d->auth_dbname) == NULL)
			config_errors_add(&l->warnings, l->whole, "[databases] %s: auth_dbname: \"%s\" is not in [databases]",
					  d->name, d->auth_dbname);
	}
}

/* Cancel requests that will not find their process. */
static void
warn_of_peers(struct loading *l)
{
	const struct config *config = l->config;
	const struct settings *s = &config->settings;

	if (s->so_reuseport && s->peer_id == 0)
		complain(l, &l->warnings, "so_reuseport",
			 "is on without peer_id: a cancel request that reaches another process than its client's has no effect");
	if (s->peer_id && config->peer_count == 0)
		complain(l, &l->warnings, "peer_id", "is %d, but [peers] has no entry: no cancel request is passed on",
			 s->peer_id);
	for (int i = 0; i < config->peer_count; i++) {
		if (config->peers[i].id > PEER_ID_MAX)
			config_errors_add(&l->warnings, l->whole, "[peers] %d: no process can have this peer_id, %d is the highest",
					  config->peers[i].id, PEER_ID_MAX);
	}
}

static void
warn_of_crls(struct loading *l)
{
	const struct config *config = l->config;

	if (*config->settings.client_tls_crl_file && *config->settings.client_tls_ca_file == 0)
		complain(l, &l->warnings, "client_tls_crl_file",
			 "accepted, but without effect: no client certificate is asked for without client_tls_ca_file");
	if (*config->settings.server_tls_crl_file && config_server_sslmode_max(config) < SSLMODE_VERIFY_CA)
		complain(l, &l->warnings, "server_tls_crl_file",
			 "accepted, but without effect: certificates are checked with verify-ca and verify-full only");
}

static void
warn_of_surprises(struct loading *l)
{
	const struct config *config = l->config;
	const struct settings *s = &config->settings;
	char value[SETTING_VALUE_MAX], preset[SETTING_VALUE_MAX];

	for (const struct setting *row = setting_rows; row < setting_rows + setting_count; row++) {
		const char *now = setting_value(row, s, value, sizeof(value)), *why = row->pending;
		for (const struct setting_word *word = row->words; row->type == SETTING_ENUM && word->word; word++) {
			if (strcmp(word->word, now) == 0 && word->pending)
				why = word->pending;
		}
		if (why && strcmp(now, setting_preset_value(row, config->is_pgbouncer, preset, sizeof(preset))) != 0)
			complain(l, &l->warnings, row->name, "accepted, but without effect: %s", why);
	}
	if (config->database_count == 0)
		config_errors_add(&l->warnings, l->whole, "[databases] has no entry: only the console can be reached");
	if (s->auth_type != AUTH_TYPE_ANY && *s->auth_file == 0 && *s->auth_users == 0 && !has_auth_user(config))
		config_errors_add(&l->warnings, l->whole,
				  "nobody can log in: auth_type %s needs a user list in auth_file or auth_users, or auth_user",
				  auth_type_name(s->auth_type));
	warn_of_peers(l);
	warn_of_crls(l);
	warn_of_auth_query(l);
	for (int i = 0; i < config->cluster_count; i++) {
		if (!is_cluster_used(config, &config->clusters[i]))
			config_errors_add(&l->warnings, l->whole, "[clusters] %s: no database uses it",
					  config->clusters[i].name);
	}
	for (int i = 0; i < config->database_count && s->auth_type == AUTH_TYPE_ANY; i++) {
		if (config->databases[i].user == NULL)
			config_errors_add(
			    &l->warnings, l->whole,
			    "[databases] %s: nobody can use it: auth_type any needs user=", config->databases[i].name);
	}
}

/* Of the lines in *ini, and of the environment or a change, make a configuration. Takes *ini with its memory over. */
static struct config *
load(struct ini *ini, const char *file, char **environment, const struct change *change, struct config_errors *errors)
{
	int inherited = change ? change->from->source->late_count + 1 : 0;
	struct config *config = heap_alloc(sizeof(*config));
	struct loading l = { .config = config, .memory = ini->memory, .errors = errors };

	config->memory = ini->memory;
	config->file = file ? config_memory_string(l.memory, view_of_string(file)) : "";
	l.whole.file = *config->file ? config->file : "environment";
	l.origins = config_memory_take(l.memory, (size_t)setting_count * sizeof(*l.origins));
	for (int i = 0; i < ini->count; i++)
		config->is_pgbouncer |= ini->lines[i].section && strcmp(ini->lines[i].section, "pgbouncer") == 0;
	set_presets(&l);
	read_lines(&l, ini);
	l.late = config_memory_take(l.memory, (size_t)(setting_count + inherited) * sizeof(*l.late));
	if (change)
		read_changes(&l, change);
	else
		environment_read(environment, l.memory, errors, read_variable, &l);
	draft_main_cluster(&l);
	for (int kind = 0; kind < ENTRY_KINDS; kind++)
		settle_names(&l, (enum entry_kind)kind);
	make_entries(&l);
	if (*config->settings.conffile == 0)
		config->settings.conffile = config->file;
	check_together(&l);
	if (errors->count == 0)
		warn_of_surprises(&l);
	config->warnings = l.warnings;
	config->source = keep_source(&l, ini);
	for (int kind = 0; kind < ENTRY_KINDS; kind++)
		heap_free(l.drafts[kind].all);
	ini_free(ini);
	if (errors->count == 0)
		return config;
	config_free(config);
	return NULL;
}

struct config *
config_load(const char *file, char **environment, struct config_errors *errors)
{
	struct ini ini = { .memory = config_memory_new(), .errors = errors, .may_include = true };

	if (file) /* its name is in every line, which outlive the caller's */
		ini_read_file(&ini, config_memory_string(ini.memory, view_of_string(file)));
	return load(&ini, file, environment, NULL, errors);
}

struct config *
config_load_bytes(const char *name, struct view text, char **environment, struct config_errors *errors)
{
	struct ini ini = { .memory = config_memory_new(), .errors = errors };

	name = config_memory_string(ini.memory, view_of_string(name));
	ini_read_bytes(&ini, name, view_of(config_memory_string(ini.memory, text), text.n));
	return load(&ini, name, environment, NULL, errors);
}

/* The line as it was read, in the memory of *ini. */
static struct ini_line
copy_line(struct ini *ini, const struct ini_line *from, const char *from_file)
{
	struct ini_line line = *from;

	if (ini->count && from->at.file == from_file) /* one text for all lines of a file */
		line.at.file = ini->lines[ini->count - 1].at.file;
	else if (from->at.file)
		line.at.file = config_memory_string(ini->memory, view_of_string(from->at.file));
	if (from->section)
		line.section = config_memory_string(ini->memory, view_of_string(from->section));
	line.key = config_memory_string(ini->memory, view_of_string(from->key));
	line.value = view_of(config_memory_string(ini->memory, from->value), from->value.n);
	return line;
}

struct config *
config_change(const struct config *from, const struct setting *row, struct view value, bool keeps_tls,
	      struct config_errors *errors)
{
	const struct config_source *source = from->source;
	struct ini ini = { .memory = config_memory_new(), .errors = errors };
	struct change change = { from, row, value, keeps_tls };

	ini.lines = heap_resize(NULL, ((size_t)source->line_count + 1) * sizeof(*ini.lines));
	for (int i = 0; i < source->line_count; i++) {
		ini.lines[ini.count] = copy_line(&ini, &source->lines[i], i ? source->lines[i - 1].at.file : NULL);
		ini.count++;
	}
	return load(&ini, *from->file ? from->file : NULL, NULL, &change, errors);
}
