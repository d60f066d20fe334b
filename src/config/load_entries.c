/* config/load_entries.c - from the drafts of entries to clusters, databases, users and peers; see load.c. */
#include "base/buf.h"
#include "config/reload.h"
#include "load_parts.h"

/* Which of `patroni` and `hosts` makes the cluster main; the environment goes before the file. NULL: neither. */
static const char *
main_cluster_setting(struct loading *l)
{
	const struct settings *s = &l->config->settings;
	bool patroni_here = loading_origin(l, "patroni")->is_environment, hosts_here = loading_origin(l, "hosts")->is_environment;

	if (*s->patroni && *s->hosts && patroni_here == hosts_here) {
		loading_complain(l, l->errors, "hosts",
			 "patroni is set, too, and each makes the cluster main; allowed: one of them");
		return NULL;
	}
	if (*s->patroni && *s->hosts)
		return patroni_here ? "patroni" : "hosts";
	return *s->patroni ? "patroni" : *s->hosts ? "hosts" : NULL;
}

void
loading_draft_main_cluster(struct loading *l)
{
	struct settings *s = &l->config->settings;
	struct drafts *clusters = &l->drafts[ENTRY_CLUSTER], *databases = &l->drafts[ENTRY_DATABASE];
	const char *setting = main_cluster_setting(l);
	bool has_default = false;

	if (setting == NULL)
		return;
	struct origin origin = *loading_origin(l, setting);
	for (int i = 0; i < clusters->count; i++) {
		if (strcmp(clusters->all[i].name, "main") == 0 && !origin.is_environment) {
			loading_complain(l, l->errors, setting,
				 "makes the cluster main, which [clusters] has, too; allowed: one of them");
			return;
		}
	}
	struct draft *draft = loading_add_draft(l, ENTRY_CLUSTER, "main", origin.place);
	if (strcmp(setting, "patroni") == 0)
		draft->cluster.patroni = s->patroni;
	else
		draft->cluster.hosts = s->hosts;
	for (int i = 0; i < databases->count; i++)
		has_default |= databases->all[i].database.config.is_default;
	if (!has_default)
		loading_add_draft(l, ENTRY_DATABASE, "*", origin.place)->database.cluster = "main";
}

static int
by_name_and_order(const void *a, const void *b)
{
	const struct draft *x = a, *y = b;
	int d = strcmp(x->name, y->name);

	return d ? d : x->order - y->order;
}

/* Sort, and of those with one name keep the last, as PgBouncer does. */
void
loading_settle_names(struct loading *l, enum entry_kind kind)
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

int
loading_list_length(const char *list)
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
	if (c->max_replica_delay_us == UINT64_MAX)
		c->max_replica_delay_us = s->max_replica_delay_us;
	if (c->read_fallback == (enum read_fallback) - 1)
		c->read_fallback = s->read_fallback;
	fill_identity(&c->patroni_identity, &s->patroni_identity);

	const char *patroni = draft->cluster.patroni ? draft->cluster.patroni : "";
	const char *hosts = draft->cluster.hosts ? draft->cluster.hosts : "";
	int patroni_count = loading_list_length(patroni), host_count = loading_list_length(hosts);
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
	struct host_config *all = config_memory_take(config->memory, (size_t)loading_list_length(hosts) * sizeof(*all));
	struct buf name = { 0 };

	*c = (struct cluster_config){ .is_plain = true,
				      .hosts = all,
				      .patroni_poll_interval_us = config->settings.patroni_poll_interval_us,
				      .patroni_timeout_us = config->settings.patroni_timeout_us,
				      .max_replica_lag_bytes = config->settings.max_replica_lag_bytes,
				      .max_replica_delay_us = config->settings.max_replica_delay_us,
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
	if (loading_list_length(d->host ? d->host : l->config->settings.unix_socket_dir) == 0) {
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

void
loading_make_entries(struct loading *l)
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
