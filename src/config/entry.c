/*
 * config/entry.c - reads the entries of [databases], [users], [clusters] and [peers].
 *
 * Owns: their keys. Never: looks one entry up from another; config.c does.
 * Source: PgBouncer 1.25.2, sections [databases], [users], [peers]. [clusters] is ours.
 */
#include "config/entry.h"

#include "base/text.h"

#define LATER "it comes with a later release"
#define COUNT(rows) (int)(sizeof(rows) / sizeof(rows[0]))

static const struct setting_word load_balance_words[] = {
	{ "round-robin", LOAD_BALANCE_HOSTS_ROUND_ROBIN, NULL },
	{ "disable", LOAD_BALANCE_HOSTS_DISABLE, NULL },
	{ 0 },
};

static const struct setting cluster_rows[] = {
	{ .name = "patroni",
	  .type = SETTING_URLS,
	  .at = offsetof(struct draft, cluster.patroni),
	  .text = "URLs of the Patroni REST API of some or all members, separated by commas." },
	{ .name = "hosts",
	  .type = SETTING_HOSTS,
	  .at = offsetof(struct draft, cluster.hosts),
	  .text = "Without Patroni: host or host:port, separated by commas." },
	{ .name = "patroni_poll_interval",
	  .type = SETTING_DURATION_US,
	  .at = offsetof(struct draft, cluster.config.patroni_poll_interval_us),
	  .least = "50ms",
	  .most = "60s",
	  .text = "Instead of the setting of that name." },
	{ .name = "patroni_timeout",
	  .type = SETTING_DURATION_US,
	  .at = offsetof(struct draft, cluster.config.patroni_timeout_us),
	  .least = "50ms",
	  .most = "60s",
	  .text = "Instead of the setting of that name." },
	{ .name = "patroni_user",
	  .type = SETTING_STRING,
	  .at = offsetof(struct draft, cluster.config.patroni_identity.user),
	  .text = "Instead of the setting of that name." },
	{ .name = "patroni_password",
	  .type = SETTING_STRING,
	  .at = offsetof(struct draft, cluster.config.patroni_identity.password),
	  .is_secret = true,
	  .text = "Instead of the setting of that name." },
	{ .name = "patroni_ca_file",
	  .type = SETTING_STRING,
	  .at = offsetof(struct draft, cluster.config.patroni_identity.ca_file),
	  .is_file = true,
	  .text = "Instead of the setting of that name." },
	{ .name = "patroni_cert_file",
	  .type = SETTING_STRING,
	  .at = offsetof(struct draft, cluster.config.patroni_identity.cert_file),
	  .is_file = true,
	  .text = "Instead of the setting of that name." },
	{ .name = "patroni_key_file",
	  .type = SETTING_STRING,
	  .at = offsetof(struct draft, cluster.config.patroni_identity.key_file),
	  .is_file = true,
	  .text = "Instead of the setting of that name." },
	{ .name = "patroni_tls_verify",
	  .type = SETTING_ENUM,
	  .at = offsetof(struct draft, cluster.config.patroni_identity.tls_verify),
	  .words = patroni_tls_verify_words,
	  .text = "Instead of the setting of that name." },
	{ .name = "max_replica_lag",
	  .type = SETTING_SIZE,
	  .at = offsetof(struct draft, cluster.config.max_replica_lag_bytes),
	  .text = "Instead of the setting of that name." },
	{ .name = "max_replica_delay",
	  .type = SETTING_DURATION_US,
	  .at = offsetof(struct draft, cluster.config.max_replica_delay_us),
	  .text = "Instead of the setting of that name." },
	{ .name = "read_fallback",
	  .type = SETTING_ENUM,
	  .at = offsetof(struct draft, cluster.config.read_fallback),
	  .words = read_fallback_words,
	  .text = "Instead of the setting of that name." },
};

static const struct setting database_rows[] = {
	{ .name = "cluster",
	  .type = SETTING_STRING,
	  .at = offsetof(struct draft, database.cluster),
	  .text = "Name in [clusters]." },
	{ .name = "host",
	  .type = SETTING_STRING,
	  .at = offsetof(struct draft, database.config.host),
	  .text = "Instead of a cluster: host, /directory of a Unix socket, or a comma list of hosts. Without both: "
		  "unix_socket_dir." },
	{ .name = "port",
	  .type = SETTING_INT,
	  .at = offsetof(struct draft, database.config.port),
	  .preset = "5432",
	  .least = "1",
	  .most = "65535",
	  .text = "Port of all these hosts." },
	{ .name = "dbname",
	  .type = SETTING_STRING,
	  .at = offsetof(struct draft, database.config.dbname),
	  .text = "Database on the server, if its name is another." },
	{ .name = "user",
	  .type = SETTING_STRING,
	  .at = offsetof(struct draft, database.config.user),
	  .text = "User to log in to servers with, whoever the client is." },
	{ .name = "password",
	  .type = SETTING_STRING,
	  .at = offsetof(struct draft, database.config.password),
	  .is_secret = true,
	  .text = "Password of that user, if it is not in the user list." },
	{ .name = "auth_user",
	  .type = SETTING_STRING,
	  .at = offsetof(struct draft, database.config.auth_user),
	  .text = "Instead of the setting of that name." },
	{ .name = "auth_query",
	  .type = SETTING_STRING,
	  .at = offsetof(struct draft, database.config.auth_query),
	  .text = "Instead of the setting of that name." },
	{ .name = "auth_dbname",
	  .type = SETTING_STRING,
	  .at = offsetof(struct draft, database.config.auth_dbname),
	  .text = "Instead of the setting of that name." },
	{ .name = "pool_size",
	  .type = SETTING_INT,
	  .at = offsetof(struct draft, database.config.pool_size),
	  .text = "Instead of default_pool_size." },
	{ .name = "min_pool_size",
	  .type = SETTING_INT,
	  .at = offsetof(struct draft, database.config.min_pool_size),
	  .text = "Instead of the setting of that name." },
	{ .name = "reserve_pool_size",
	  .alias = "reserve_pool",
	  .type = SETTING_INT,
	  .at = offsetof(struct draft, database.config.reserve_pool_size),
	  .text = "Instead of the setting of that name." },
	{ .name = "max_db_connections",
	  .type = SETTING_INT,
	  .at = offsetof(struct draft, database.config.max_db_connections),
	  .text = "Instead of the setting of that name." },
	{ .name = "max_db_client_connections",
	  .type = SETTING_INT,
	  .at = offsetof(struct draft, database.config.max_db_client_connections),
	  .text = "Instead of the setting of that name." },
	{ .name = "server_lifetime",
	  .type = SETTING_DURATION_US,
	  .at = offsetof(struct draft, database.config.server_lifetime_us),
	  .zero_is_unset = true,
	  .text = "Instead of the setting of that name; 0 for the setting." },
	{ .name = "query_wait_timeout",
	  .type = SETTING_DURATION_US,
	  .at = offsetof(struct draft, database.config.query_wait_timeout_us),
	  .text = "Instead of the setting of that name." },
	{ .name = "pool_mode",
	  .type = SETTING_ENUM,
	  .at = offsetof(struct draft, database.config.pool_mode),
	  .words = pool_mode_words,
	  .text = "Instead of the setting of that name." },
	{ .name = "pinning",
	  .type = SETTING_ENUM,
	  .at = offsetof(struct draft, database.config.pinning),
	  .words = pinning_words,
	  .text = "Instead of the setting of that name." },
	{ .name = "max_pinned_servers",
	  .type = SETTING_INT,
	  .at = offsetof(struct draft, database.config.max_pinned_servers),
	  .text = "Instead of the setting of that name." },
	{ .name = "pin_idle_timeout",
	  .type = SETTING_DURATION_US,
	  .at = offsetof(struct draft, database.config.pin_idle_timeout_us),
	  .text = "Instead of the setting of that name." },
	{ .name = "load_balance_hosts",
	  .type = SETTING_ENUM,
	  .at = offsetof(struct draft, database.config.load_balance_hosts),
	  .words = load_balance_words,
	  .preset = "round-robin",
	  .text = "With several hosts: the next one for each new connection (round-robin), or stay with one until it "
		  "fails (disable)." },
	{ .name = "connect_query",
	  .type = SETTING_STRING,
	  .at = offsetof(struct draft, database.config.connect_query),
	  .text = "Run on each new server connection." },
	{ .name = "client_encoding",
	  .type = SETTING_STRING,
	  .at = offsetof(struct draft, database.config.client_encoding),
	  .text = "Parameter for new server connections." },
	{ .name = "datestyle",
	  .type = SETTING_STRING,
	  .at = offsetof(struct draft, database.config.datestyle),
	  .text = "Parameter for new server connections." },
	{ .name = "timezone",
	  .type = SETTING_STRING,
	  .at = offsetof(struct draft, database.config.timezone),
	  .text = "Parameter for new server connections." },
	{ .name = "application_name",
	  .type = SETTING_STRING,
	  .at = offsetof(struct draft, database.config.application_name),
	  .text = "Parameter for new server connections." },
	{ .name = "sslmode",
	  .type = SETTING_ENUM,
	  .at = offsetof(struct draft, database.config.sslmode),
	  .words = sslmode_words,
	  .text = "Instead of server_tls_sslmode." },
	{ .name = "channel_binding",
	  .type = SETTING_ENUM,
	  .at = offsetof(struct draft, database.config.channel_binding),
	  .words = channel_binding_words,
	  .text = "Instead of server_channel_binding." },
};

static const struct setting user_rows[] = {
	{ .name = "pool_mode",
	  .type = SETTING_ENUM,
	  .at = offsetof(struct draft, user.pool_mode),
	  .words = pool_mode_words,
	  .text = "Goes before that of the database and the setting." },
	{ .name = "pinning",
	  .type = SETTING_ENUM,
	  .at = offsetof(struct draft, user.pinning),
	  .words = pinning_words,
	  .text = "Goes before that of the database and the setting." },
	{ .name = "max_pinned_servers",
	  .type = SETTING_INT,
	  .at = offsetof(struct draft, user.max_pinned_servers),
	  .text = "Goes before that of the database and the setting." },
	{ .name = "pin_idle_timeout",
	  .type = SETTING_DURATION_US,
	  .at = offsetof(struct draft, user.pin_idle_timeout_us),
	  .text = "Goes before that of the database and the setting." },
	{ .name = "pool_size",
	  .type = SETTING_INT,
	  .at = offsetof(struct draft, user.pool_size),
	  .text = "Goes before that of the database and default_pool_size." },
	{ .name = "reserve_pool_size",
	  .type = SETTING_INT,
	  .at = offsetof(struct draft, user.reserve_pool_size),
	  .text = "Goes before that of the database and the setting." },
	{ .name = "max_user_connections",
	  .type = SETTING_INT,
	  .at = offsetof(struct draft, user.max_user_connections),
	  .text = "Instead of the setting of that name." },
	{ .name = "max_user_client_connections",
	  .type = SETTING_INT,
	  .at = offsetof(struct draft, user.max_user_client_connections),
	  .text = "Instead of the setting of that name." },
	{ .name = "query_timeout",
	  .type = SETTING_DURATION_US,
	  .at = offsetof(struct draft, user.query_timeout_us),
	  .zero_is_unset = true,
	  .text = "Instead of the setting of that name; 0 for the setting." },
	{ .name = "idle_transaction_timeout",
	  .type = SETTING_DURATION_US,
	  .at = offsetof(struct draft, user.idle_transaction_timeout_us),
	  .zero_is_unset = true,
	  .text = "Instead of the setting of that name; 0 for the setting." },
	{ .name = "transaction_timeout",
	  .type = SETTING_DURATION_US,
	  .at = offsetof(struct draft, user.transaction_timeout_us),
	  .zero_is_unset = true,
	  .text = "Instead of the setting of that name; 0 for the setting." },
	{ .name = "client_idle_timeout",
	  .type = SETTING_DURATION_US,
	  .at = offsetof(struct draft, user.client_idle_timeout_us),
	  .zero_is_unset = true,
	  .text = "Instead of the setting of that name; 0 for the setting." },
	{ .name = "query_wait_timeout",
	  .type = SETTING_DURATION_US,
	  .at = offsetof(struct draft, user.query_wait_timeout_us),
	  .text = "Goes before that of the database and the setting." },
	{ .name = "failover_hold_timeout",
	  .type = SETTING_DURATION_US,
	  .at = offsetof(struct draft, user.failover_hold_timeout_us),
	  .text = "Instead of the setting of that name." },
};

static const struct setting peer_rows[] = {
	{ .name = "host",
	  .type = SETTING_STRING,
	  .at = offsetof(struct draft, peer.host),
	  .text = "Host, or /directory of the Unix socket, of the process." },
	{ .name = "port",
	  .type = SETTING_INT,
	  .at = offsetof(struct draft, peer.port),
	  .preset = "6432",
	  .least = "1",
	  .most = "65535",
	  .text = "Its port." },
	{ .name = "pool_size",
	  .type = SETTING_INT,
	  .at = offsetof(struct draft, peer.pool_size),
	  .least = "1",
	  .text = "Cancel requests to it at a time, instead of default_pool_size." },
};

const struct entry_form entry_forms[ENTRY_KINDS] = {
	[ENTRY_CLUSTER] = { "clusters", cluster_rows, COUNT(cluster_rows),
			    "Groups of PostgreSQL servers that replicate. NAME = patroni=URLS, or NAME = hosts=HOSTS.",
			    "main = patroni=http://127.0.0.1:8008" },
	[ENTRY_DATABASE] = { "databases", database_rows, COUNT(database_rows),
			     "What clients may ask for. NAME = key=value ...; the name * is for all that have no entry "
			     "of their own.",
			     "* = cluster=main" },
	[ENTRY_USER] = { "users", user_rows, COUNT(user_rows), "What differs for single users. NAME = key=value ...",
			 ";batch = pool_mode=session pool_size=5" },
	[ENTRY_PEER] = { "peers", peer_rows, COUNT(peer_rows),
			 "Other processes on the same ports, by their peer_id. NUMBER = host=HOST ...",
			 ";1 = host=/run/pgsluice1" },
};

struct draft
entry_blank(enum entry_kind kind, const char *name, struct place at)
{
	struct draft d = { .name = name, .at = at };

	if (kind == ENTRY_CLUSTER)
		d.cluster.config = (struct cluster_config){ .name = name,
							    .patroni_poll_interval_us = UINT64_MAX,
							    .patroni_timeout_us = UINT64_MAX,
							    .patroni_identity.tls_verify = (enum patroni_tls_verify)-1,
							    .max_replica_lag_bytes = UINT64_MAX,
							    .max_replica_delay_us = UINT64_MAX,
							    .read_fallback = (enum read_fallback) - 1 };
	if (kind == ENTRY_DATABASE)
		d.database.config = (struct database_config){ .name = name,
							      .is_default = strcmp(name, "*") == 0,
							      .port = -1,
							      .pool_size = -1,
							      .min_pool_size = -1,
							      .reserve_pool_size = -1,
							      .max_db_connections = -1,
							      .max_db_client_connections = -1,
							      .server_lifetime_us = -1,
							      .query_wait_timeout_us = -1,
							      .pool_mode = POOL_MODE_UNSET,
							      .pinning = PINNING_UNSET,
							      .max_pinned_servers = -1,
							      .pin_idle_timeout_us = -1,
							      .sslmode = SSLMODE_UNSET,
							      .channel_binding = CHANNEL_BINDING_UNSET };
	if (kind == ENTRY_USER)
		d.user = (struct user_config){ .name = name,
					       .pool_mode = POOL_MODE_UNSET,
					       .pinning = PINNING_UNSET,
					       .max_pinned_servers = -1,
					       .pin_idle_timeout_us = -1,
					       .pool_size = -1,
					       .reserve_pool_size = -1,
					       .max_user_connections = -1,
					       .max_user_client_connections = -1,
					       .query_timeout_us = -1,
					       .query_wait_timeout_us = -1,
					       .failover_hold_timeout_us = -1,
					       .idle_transaction_timeout_us = -1,
					       .transaction_timeout_us = -1,
					       .client_idle_timeout_us = -1 };
	if (kind == ENTRY_PEER)
		d.peer = (struct peer_config){ .port = 6432, .pool_size = -1 };
	return d;
}

static const struct setting *
find_row(const struct entry_form *form, struct view key)
{
	for (int i = 0; i < form->count; i++) {
		if (view_is(key, form->rows[i].name) || (form->rows[i].alias && view_is(key, form->rows[i].alias)))
			return &form->rows[i];
	}
	return NULL;
}

/* PgBouncer lets blanks stand behind '=', and so takes "host= port=5" for a host that is called "port=5". */
static bool
is_next_key(const struct entry_form *form, struct view value)
{
	const uint8_t *equals = value.n ? memchr(value.p, '=', value.n) : NULL;

	return equals && find_row(form, view_part(value, 0, (size_t)(equals - value.p)));
}

static void
read_pair(const struct entry_form *form, const struct ini_pair *pair, struct draft *draft, struct config_memory *memory,
	  struct config_errors *errors, struct config_errors *warnings)
{
	const struct setting *row = find_row(form, pair->key);
	char key[64], why[500];
	struct text name = TEXT_IN(key), text = TEXT_IN(why);

	text_add_view(&name, pair->key);
	if (row == NULL) {
		const char *nearest = value_nearest(pair->key, form->rows, form->count);
		config_errors_add(errors, draft->at, "[%s] %s: unknown key \"%s\"; %s%s%s", form->section, draft->name,
				  key, nearest ? "did you mean \"" : "--help-settings lists them",
				  nearest ? nearest : "", nearest ? "\"?" : "");
		return;
	}
	if (pair->value.n == 0 || (!pair->is_quoted && is_next_key(form, pair->value))) {
		config_errors_add(errors, draft->at, "[%s] %s: %s: has no value; a key that is not meant is left out",
				  form->section, draft->name, key);
		return;
	}
	if (row->type == SETTING_INT && row->least == NULL && view_is(pair->value, "-1"))
		return; /* PgBouncer's way to say: as if it were not there */
	if (!value_store(row, draft, pair->value, memory, &text))
		config_errors_add(errors, draft->at, "[%s] %s: %s: %s", form->section, draft->name, key, why);
	else if (row->pending)
		config_errors_add(warnings, draft->at, "[%s] %s: %s: accepted, but without effect: %s", form->section,
				  draft->name, key, row->pending);
}

void
entry_read(enum entry_kind kind, struct view text, struct draft *draft, struct config_memory *memory,
	   struct config_errors *errors, struct config_errors *warnings)
{
	const struct entry_form *form = &entry_forms[kind];
	struct ini_pair pair;
	char why[200];
	struct text wrong = TEXT_IN(why);

	int errors_before = errors->count;

	for (;;) {
		int got = ini_next_pair(&text, &pair, memory, &wrong);
		if (got < 0)
			config_errors_add(errors, draft->at, "[%s] %s: %s", form->section, draft->name, why);
		draft->is_bad = errors->count > errors_before;
		if (got <= 0)
			return;
		read_pair(form, &pair, draft, memory, errors, warnings);
	}
}
