/* config/load_check.c - settings against each other: mistakes, and what will surprise; see load.c. */
#include "load_parts.h"

/* A mode of TLS with servers, of the settings (d NULL) or of a database, against what it needs. */
static void
check_server_tls(struct loading *l, const struct database_config *d, enum sslmode mode)
{
	const struct settings *s = &l->config->settings;
	const char *name = d ? d->name : "server_tls_sslmode";
	char what[DATABASE_NAME_MAX + 40];

	snprintf(what, sizeof(what), d ? "[databases] %s: sslmode" : "%s", name);
	if (mode >= SSLMODE_VERIFY_CA && *s->server_tls_ca_file == 0)
		loading_complain(l, l->errors, "server_tls_ca_file", "is empty; %s %s needs it", what, sslmode_name(mode));
	if (s->server_tls_negotiation == TLS_NEGOTIATION_DIRECT && (mode == SSLMODE_ALLOW || mode == SSLMODE_PREFER))
		loading_complain(l, l->errors, "server_tls_negotiation",
			 "direct does not go with %s %s, as nobody is asked; allowed: disable, require, verify-ca, verify-full",
			 what, sslmode_name(mode));
}

static void
check_tls(struct loading *l)
{
	const struct config *config = l->config;
	const struct settings *s = &config->settings;

	if (s->client_tls_sslmode != SSLMODE_DISABLE && (*s->client_tls_key_file == 0 || *s->client_tls_cert_file == 0))
		loading_complain(l, l->errors, "client_tls_sslmode", "%s needs client_tls_key_file and client_tls_cert_file",
			 sslmode_name(s->client_tls_sslmode));
	if (*s->client_tls_ca_file == 0 &&
	    (s->client_tls_sslmode >= SSLMODE_VERIFY_CA || s->auth_type == AUTH_TYPE_CERT))
		loading_complain(l, l->errors, "client_tls_ca_file",
			 "is empty; client_tls_sslmode %s with auth_type %s needs it",
			 sslmode_name(s->client_tls_sslmode), auth_type_name(s->auth_type));
	if (s->auth_type == AUTH_TYPE_CERT && s->client_tls_sslmode != SSLMODE_VERIFY_FULL)
		loading_complain(l, l->errors, "client_tls_sslmode", "is %s; auth_type cert needs verify-full",
			 sslmode_name(s->client_tls_sslmode));
	if ((*s->server_tls_key_file == 0) != (*s->server_tls_cert_file == 0))
		loading_complain(l, l->errors, *s->server_tls_key_file ? "server_tls_cert_file" : "server_tls_key_file",
			 "is empty; server_tls_key_file and server_tls_cert_file need each other");
	check_server_tls(l, NULL, s->server_tls_sslmode);
	for (int i = 0; i < config->database_count; i++)
		check_server_tls(l, &config->databases[i], config->databases[i].sslmode);
}

/* What is well formed by itself and does not fit together. */
void
loading_check(struct loading *l)
{
	const struct config *config = l->config;
	const struct settings *s = &config->settings;

	if (s->read_port && s->read_port == s->listen_port)
		loading_complain(l, l->errors, "read_port",
			 "is %d, and so is listen_port; allowed: another port, or 0 for none", s->read_port);
	if (s->http_port && (s->http_port == s->listen_port || s->http_port == s->read_port))
		loading_complain(l, l->errors, "http_port", "is %d, and so is %s; allowed: another port, or 0 for none",
			 s->http_port, s->http_port == s->listen_port ? "listen_port" : "read_port");
	if (loading_list_length(s->listen_addr) == 0 && *s->unix_socket_dir == 0)
		loading_complain(
		    l, l->errors, "listen_addr",
		    "is empty, and so is unix_socket_dir: there is nothing to listen on; allowed: *, or addresses");
	check_tls(l);
	if (s->auth_type == AUTH_TYPE_HBA && *s->auth_hba_file == 0)
		loading_complain(l, l->errors, "auth_hba_file", "is empty; auth_type hba needs it");
	if (config_is_console(s->auth_dbname))
		loading_complain(l, l->errors, "auth_dbname", "is the name of the console; allowed: a database");
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
		loading_complain(l, &l->warnings, "auth_query", "has no $1 for the user it is asked for: the server will refuse it");
	if (*s->auth_dbname && config_database(config, s->auth_dbname) == NULL)
		loading_complain(l, &l->warnings, "auth_dbname", "\"%s\" is not in [databases]: nobody can be looked up there",
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
		loading_complain(l, &l->warnings, "so_reuseport",
			 "is on without peer_id: a cancel request that reaches another process than its client's has no effect");
	if (s->peer_id && config->peer_count == 0)
		loading_complain(l, &l->warnings, "peer_id", "is %d, but [peers] has no entry: no cancel request is passed on",
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
		loading_complain(l, &l->warnings, "client_tls_crl_file",
			 "accepted, but without effect: no client certificate is asked for without client_tls_ca_file");
	if (*config->settings.server_tls_crl_file && config_server_sslmode_max(config) < SSLMODE_VERIFY_CA)
		loading_complain(l, &l->warnings, "server_tls_crl_file",
			 "accepted, but without effect: certificates are checked with verify-ca and verify-full only");
}

void
loading_warn(struct loading *l)
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
			loading_complain(l, &l->warnings, row->name, "accepted, but without effect: %s", why);
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
