/*
 * config/settings.c - the table of settings, and how their values are shown.
 *
 * Owns: names, defaults, ranges, texts. Never: reads a file.
 * Invariant: every field of struct settings has exactly one row.
 * Source: names, defaults and meanings of PgBouncer 1.25.2, where it has the setting.
 */
#include "config/settings.h"

#include <stdio.h>

#include "base/must.h"
#include "base/text.h"
#include "config/value.h"

#define LATER "it comes with a later release"

const struct setting_word pool_mode_words[] = {
	{ "session", POOL_MODE_SESSION, NULL },
	{ "transaction", POOL_MODE_TRANSACTION, NULL },
	{ "statement", POOL_MODE_STATEMENT, NULL },
	{ 0 },
};

static const struct setting_word auth_types[] = {
	{ "scram-sha-256", AUTH_TYPE_SCRAM_SHA_256, NULL },
	{ "md5", AUTH_TYPE_MD5, NULL },
	{ "plain", AUTH_TYPE_PLAIN, NULL },
	{ "password", AUTH_TYPE_PLAIN, NULL }, /* PostgreSQL's word for it */
	{ "trust", AUTH_TYPE_TRUST, NULL },
	{ "any", AUTH_TYPE_ANY, NULL },
	{ "cert", AUTH_TYPE_CERT, NULL },
	{ "hba", AUTH_TYPE_HBA, NULL },
	{ "peer", AUTH_TYPE_PEER, NULL },
	{ 0 },
};

const struct setting_word sslmode_words[] = {
	{ "disable", SSLMODE_DISABLE, NULL },         { "allow", SSLMODE_ALLOW, NULL },
	{ "prefer", SSLMODE_PREFER, NULL },           { "require", SSLMODE_REQUIRE, NULL },
	{ "verify-ca", SSLMODE_VERIFY_CA, NULL },     { "verify-full", SSLMODE_VERIFY_FULL, NULL },
	{ 0 },
};

const struct setting_word channel_binding_words[] = {
	{ "disable", CHANNEL_BINDING_DISABLE, NULL },
	{ "prefer", CHANNEL_BINDING_PREFER, NULL },
	{ "require", CHANNEL_BINDING_REQUIRE, NULL },
	{ 0 },
};

static const struct setting_word tls_negotiations[] = {
	{ "postgres", TLS_NEGOTIATION_POSTGRES, NULL },
	{ "direct", TLS_NEGOTIATION_DIRECT, NULL },
	{ 0 },
};

static const struct setting_word tls_protocols[] = {
	{ "secure", 0, NULL },  { "all", 0, NULL },     { "tlsv1.0", 0, NULL }, { "tlsv1.1", 0, NULL },
	{ "tlsv1.2", 0, NULL }, { "tlsv1.3", 0, NULL }, { 0 },
};

static const struct setting_word dheparams[] = {
	{ "auto", TLS_DHEPARAMS_AUTO, NULL },
	{ "none", TLS_DHEPARAMS_NONE, NULL },
	{ "legacy", TLS_DHEPARAMS_LEGACY, NULL },
	{ 0 },
};

static const struct setting_word session_trackings[] = {
	{ "auto", TRACKING_AUTO, NULL },
	{ "always", TRACKING_ALWAYS, NULL },
	{ "names", TRACKING_NAMES, NULL },
	{ "off", TRACKING_OFF, NULL },
	{ 0 },
};

const struct setting_word pinning_words[] = {
	{ "auto", PINNING_AUTO, NULL },
	{ "refuse", PINNING_REFUSE, NULL },
	{ "off", PINNING_OFF, NULL },
	{ 0 },
};

const struct setting_word read_fallback_words[] = {
	{ "leader", READ_FALLBACK_LEADER, NULL },
	{ "hold", READ_FALLBACK_HOLD, NULL },
	{ "refuse", READ_FALLBACK_REFUSE, NULL },
	{ 0 },
};

const struct setting_word patroni_tls_verify_words[] = {
	{ "full", PATRONI_TLS_VERIFY_FULL, NULL },
	{ "ca", PATRONI_TLS_VERIFY_CA, NULL },
	{ "none", PATRONI_TLS_VERIFY_NONE, NULL },
	{ 0 },
};

static const struct setting_word aborted_sqlstates[] = {
	{ "40001", ABORTED_40001, NULL },
	{ "57P01", ABORTED_57P01, NULL },
	{ 0 },
};

static const struct setting_word log_formats[] = {
	{ "text", LOG_FORMAT_TEXT, NULL },
	{ "json", LOG_FORMAT_JSON, NULL },
	{ 0 },
};

static const struct setting_word syslog_facilities[] = {
	{ "auth", 0, NULL },   { "authpriv", 0, NULL }, { "daemon", 0, NULL }, { "user", 0, NULL },   { "local0", 0, NULL },
	{ "local1", 0, NULL }, { "local2", 0, NULL },   { "local3", 0, NULL }, { "local4", 0, NULL }, { "local5", 0, NULL },
	{ "local6", 0, NULL }, { "local7", 0, NULL },   { 0 },
};

const struct setting setting_rows[] = {
	{ .name = "listen_addr",
	  .group = "Listening",
	  .type = SETTING_LIST, .at = offsetof(struct settings, listen_addr),
	  .preset = "*", .preset_pgbouncer = "", .applies = APPLIES_AT_START,
	  .text = "Addresses or host names to listen on for PostgreSQL clients. * listens on all, nothing on none "
	          "(then there is the Unix socket only).", },
	{ .name = "listen_port",
	  .group = "Listening",
	  .type = SETTING_INT, .at = offsetof(struct settings, listen_port),
	  .preset = "5432", .preset_pgbouncer = "6432", .least = "1", .most = "65535", .applies = APPLIES_AT_START,
	  .text = "Port for reading and writing: it leads to the leader. Also in the name of the Unix socket.", },
	{ .name = "read_port",
	  .group = "Listening",
	  .type = SETTING_INT, .at = offsetof(struct settings, read_port),
	  .preset = "5433", .preset_pgbouncer = "0", .most = "65535", .applies = APPLIES_AT_START,
	  .text = "Port for reading only: it leads to the replicas. 0 for none.", },
	{ .name = "listen_backlog",
	  .group = "Listening",
	  .type = SETTING_INT, .at = offsetof(struct settings, listen_backlog),
	  .preset = "128", .applies = APPLIES_AT_START,
	  .text = "How many connections the kernel keeps until they are accepted.", },
	{ .name = "unix_socket_dir",
	  .group = "Listening",
	  .type = SETTING_STRING, .at = offsetof(struct settings, unix_socket_dir),
	  .preset = "/tmp", .applies = APPLIES_AT_START,
	  .text = "Directory of the Unix socket .s.PGSQL.<port>, also of servers without a host. Nothing for none; "
	          "with @ in front it is in the abstract namespace.", },
	{ .name = "unix_socket_mode",
	  .group = "Listening",
	  .type = SETTING_INT, .at = offsetof(struct settings, unix_socket_mode),
	  .preset = "0777", .most = "0777", .applies = APPLIES_AT_START,
	  .text = "File mode of the Unix socket.", },
	{ .name = "unix_socket_group",
	  .group = "Listening",
	  .type = SETTING_STRING, .at = offsetof(struct settings, unix_socket_group),
	  .preset = "", .applies = APPLIES_AT_START,
	  .text = "Group that owns the Unix socket.", },
	{ .name = "so_reuseport",
	  .group = "Listening",
	  .type = SETTING_BOOL, .at = offsetof(struct settings, so_reuseport),
	  .preset = "0", .applies = APPLIES_AT_START,
	  .text = "Let several processes listen on the same ports (SO_REUSEPORT).", },
	{ .name = "proxy_protocol_from",
	  .group = "Listening",
	  .type = SETTING_ADDRESSES, .at = offsetof(struct settings, proxy_protocol_from),
	  .preset = "", .applies = APPLIES_ON_RELOAD,
	  .text = "Balancers that begin each connection with a PROXY header (HAProxy's send-proxy, send-proxy-v2): the "
	          "client's address that it carries is taken for its own. From these addresses nobody comes in without one; "
	          "unix stands for the Unix sockets.", },
	{ .name = "http_addr",
	  .group = "Listening",
	  .type = SETTING_LIST, .at = offsetof(struct settings, http_addr),
	  .preset = "*", .applies = APPLIES_AT_START,
	  .text = "Addresses to listen on for HTTP: status page, health checks, metrics.", },
	{ .name = "http_port",
	  .group = "Listening",
	  .type = SETTING_INT, .at = offsetof(struct settings, http_port),
	  .preset = "8404", .preset_pgbouncer = "0", .most = "65535", .applies = APPLIES_AT_START,
	  .text = "Port for HTTP. 0 for none.", },
	{ .name = "http_token",
	  .group = "Listening",
	  .type = SETTING_STRING, .at = offsetof(struct settings, http_token),
	  .preset = "", .applies = APPLIES_ON_RELOAD, .is_secret = true,
	  .text = "What POST /hold and POST /release on the HTTP port must show as a bearer token. Empty: they are refused.", },
	{ .name = "peer_id",
	  .group = "Listening",
	  .type = SETTING_INT, .at = offsetof(struct settings, peer_id),
	  .preset = "0", .most = "16383", .applies = APPLIES_ON_RELOAD,
	  .text = "Number of this process among those of [peers], so that cancel requests find it. 0 for none.", },
	{ .name = "user",
	  .group = "Process",
	  .type = SETTING_STRING, .at = offsetof(struct settings, user),
	  .preset = "", .applies = APPLIES_AT_START,
	  .text = "Operating system user to become when started as root, before anything else is opened.", },
	{ .name = "pidfile",
	  .group = "Process",
	  .type = SETTING_STRING, .at = offsetof(struct settings, pidfile),
	  .preset = "", .applies = APPLIES_AT_START,
	  .text = "File to write the process id to. It is locked for as long as the process lives.", },
	{ .name = "conffile",
	  .group = "Process",
	  .type = SETTING_STRING, .at = offsetof(struct settings, conffile),
	  .preset = "", .applies = APPLIES_ON_RELOAD,
	  .text = "File that the next reload reads. Nothing for the one of the command line.", },
	{ .name = "job_name", .alias = "service_name",
	  .group = "Process",
	  .type = SETTING_STRING, .at = offsetof(struct settings, job_name),
	  .preset = "pgsluice", .preset_pgbouncer = "pgbouncer", .applies = APPLIES_AT_START,
	  .text = "Name of the service.",
	  .pending = "a name for Windows services; there are none here", },
	{ .name = "resolv_conf",
	  .group = "Process",
	  .type = SETTING_STRING, .at = offsetof(struct settings, resolv_conf),
	  .preset = "", .applies = APPLIES_AT_START, .is_file = true,
	  .text = "Another resolv.conf for looking up names of hosts. Changes of the file are noticed.", },
	{ .name = "shutdown_timeout",
	  .group = "Process",
	  .type = SETTING_DURATION_US, .at = offsetof(struct settings, shutdown_timeout_us),
	  .preset = "8s", .most = "1d", .applies = APPLIES_ON_RELOAD,
	  .text = "After SIGTERM: how long transactions may go on before their connections are closed. 0 closes "
	          "them at once.", },
	{ .name = "patroni",
	  .group = "Cluster",
	  .type = SETTING_URLS, .at = offsetof(struct settings, patroni),
	  .preset = "", .applies = APPLIES_ON_RELOAD,
	  .text = "URLs of the Patroni REST API of some or all members, separated by commas. Makes the cluster "
	          "main, and the database * unless [databases] has one.", },
	{ .name = "hosts",
	  .group = "Cluster",
	  .type = SETTING_HOSTS, .at = offsetof(struct settings, hosts),
	  .preset = "", .applies = APPLIES_ON_RELOAD,
	  .text = "The same for a cluster without Patroni: host or host:port, separated by commas. Who is the "
	          "leader is asked by SQL.", },
	{ .name = "patroni_poll_interval",
	  .group = "Cluster",
	  .type = SETTING_DURATION_US, .at = offsetof(struct settings, patroni_poll_interval_us),
	  .preset = "1s", .least = "50ms", .most = "60s", .applies = APPLIES_ON_RELOAD,
	  .text = "How often the state of the members is asked. Signs of a failover cause a look at once.", },
	{ .name = "patroni_timeout",
	  .group = "Cluster",
	  .type = SETTING_DURATION_US, .at = offsetof(struct settings, patroni_timeout_us),
	  .preset = "1s", .least = "50ms", .most = "60s", .applies = APPLIES_ON_RELOAD,
	  .text = "How long a member may take to answer that.", },
	{ .name = "patroni_user",
	  .group = "Cluster",
	  .type = SETTING_STRING, .at = offsetof(struct settings, patroni_identity.user),
	  .preset = "", .applies = APPLIES_ON_RELOAD,
	  .text = "User for requests to Patroni that change something (restapi.authentication). Polls go without it.", },
	{ .name = "patroni_password",
	  .group = "Cluster",
	  .type = SETTING_STRING, .at = offsetof(struct settings, patroni_identity.password),
	  .preset = "", .applies = APPLIES_ON_RELOAD, .is_secret = true,
	  .text = "Password of that user.", },
	{ .name = "patroni_ca_file",
	  .group = "Cluster",
	  .type = SETTING_STRING, .at = offsetof(struct settings, patroni_identity.ca_file),
	  .preset = "", .applies = APPLIES_ON_RELOAD, .is_file = true,
	  .text = "Authorities by which certificates of Patroni (https) are checked. Empty for those of the system.", },
	{ .name = "patroni_cert_file",
	  .group = "Cluster",
	  .type = SETTING_STRING, .at = offsetof(struct settings, patroni_identity.cert_file),
	  .preset = "", .applies = APPLIES_ON_RELOAD, .is_file = true,
	  .text = "Certificate to show to Patroni, where restapi.verify_client asks for one.", },
	{ .name = "patroni_key_file",
	  .group = "Cluster",
	  .type = SETTING_STRING, .at = offsetof(struct settings, patroni_identity.key_file),
	  .preset = "", .applies = APPLIES_ON_RELOAD, .is_file = true,
	  .text = "Its key, without a passphrase.", },
	{ .name = "patroni_tls_verify",
	  .group = "Cluster",
	  .type = SETTING_ENUM, .at = offsetof(struct settings, patroni_identity.tls_verify),
	  .words = patroni_tls_verify_words,
	  .preset = "full", .applies = APPLIES_ON_RELOAD,
	  .text = "What is checked of Patroni's certificate: full, also that it has the host's name or address; ca, only who "
	          "signed it; none.", },
	{ .name = "max_replica_lag",
	  .group = "Cluster",
	  .type = SETTING_SIZE, .at = offsetof(struct settings, max_replica_lag_bytes),
	  .preset = "16MB", .applies = APPLIES_ON_RELOAD,
	  .text = "A replica that is further behind the leader gets no reads. 0 for no limit.", },
	{ .name = "max_replica_delay",
	  .group = "Cluster",
	  .type = SETTING_DURATION_US, .at = offsetof(struct settings, max_replica_delay_us),
	  .preset = "10s", .applies = APPLIES_ON_RELOAD,
	  .text = "A replica that for longer has not replayed something that the leader wrote gets no reads, however little that is, "
	          "nor does one whose replay is paused. One that has nothing to replay is never late. 0 for no limit.", },
	{ .name = "read_fallback",
	  .group = "Cluster",
	  .type = SETTING_ENUM, .at = offsetof(struct settings, read_fallback), .words = read_fallback_words,
	  .preset = "leader", .applies = APPLIES_ON_RELOAD,
	  .text = "Where reads of read_port go when no replica is fit: to the leader, wait for one, or be refused.", },
	{ .name = "failover_aborted_sqlstate",
	  .group = "Cluster",
	  .type = SETTING_ENUM, .at = offsetof(struct settings, failover_aborted_sqlstate), .words = aborted_sqlstates,
	  .preset = "40001", .applies = APPLIES_ON_RELOAD,
	  .text = "SQLSTATE of the error by which a client learns that its transaction was rolled back with its server: 40001, which "
	          "many programs answer by repeating the transaction, or 57P01. Its connection stays either way.", },
	{ .name = "pool_mode",
	  .group = "Pooling",
	  .type = SETTING_ENUM, .at = offsetof(struct settings, pool_mode), .words = pool_mode_words,
	  .preset = "transaction", .preset_pgbouncer = "session", .applies = APPLIES_ON_RELOAD,
	  .text = "When a server connection may go to the next client: when its client has left (session), when the "
	          "transaction has ended, or when the statement has ended (no transaction blocks).", },
	{ .name = "max_client_conn",
	  .group = "Pooling",
	  .type = SETTING_INT, .at = offsetof(struct settings, max_client_conn),
	  .preset = "100", .least = "1", .applies = APPLIES_ON_RELOAD,
	  .text = "How many clients may be connected, all together.", },
	{ .name = "max_login_clients",
	  .group = "Pooling",
	  .type = SETTING_INT, .at = offsetof(struct settings, max_login_clients),
	  .preset = "0", .applies = APPLIES_ON_RELOAD,
	  .text = "How many connections may be logging in at once. When there are more, one that has been silent for 2 seconds "
	          "gives way, or else the newcomer is refused. 0 for as many as max_client_conn, and 100 at least.", },
	{ .name = "max_held_clients",
	  .group = "Pooling",
	  .type = SETTING_INT, .at = offsetof(struct settings, max_held_clients),
	  .preset = "0", .applies = APPLIES_ON_RELOAD,
	  .text = "How many clients may wait for a leader of one cluster; who comes then is cut. 0 for no limit.", },
	{ .name = "default_pool_size",
	  .group = "Pooling",
	  .type = SETTING_INT, .at = offsetof(struct settings, default_pool_size),
	  .preset = "20", .applies = APPLIES_ON_RELOAD,
	  .text = "Server connections of one pool: a database, a user, a member. 0 for no limit.", },
	{ .name = "min_pool_size",
	  .group = "Pooling",
	  .type = SETTING_INT, .at = offsetof(struct settings, min_pool_size),
	  .preset = "0", .applies = APPLIES_ON_RELOAD,
	  .text = "Keep at least so many server connections in a pool that has clients or a forced user.", },
	{ .name = "reserve_pool_size",
	  .group = "Pooling",
	  .type = SETTING_INT, .at = offsetof(struct settings, reserve_pool_size),
	  .preset = "0", .applies = APPLIES_ON_RELOAD,
	  .text = "How many more a pool may open when a client has waited for reserve_pool_timeout.", },
	{ .name = "reserve_pool_timeout",
	  .group = "Pooling",
	  .type = SETTING_DURATION_US, .at = offsetof(struct settings, reserve_pool_timeout_us),
	  .preset = "5s", .applies = APPLIES_ON_RELOAD,
	  .text = "How long a client waits before the reserve is used. 0 never uses it.", },
	{ .name = "max_db_connections",
	  .group = "Pooling",
	  .type = SETTING_INT, .at = offsetof(struct settings, max_db_connections),
	  .preset = "0", .applies = APPLIES_ON_RELOAD,
	  .text = "Server connections of one database over all its pools. 0 for no limit.", },
	{ .name = "max_db_client_connections",
	  .group = "Pooling",
	  .type = SETTING_INT, .at = offsetof(struct settings, max_db_client_connections),
	  .preset = "0", .applies = APPLIES_ON_RELOAD,
	  .text = "Clients of one database. 0 for no limit.", },
	{ .name = "max_user_connections",
	  .group = "Pooling",
	  .type = SETTING_INT, .at = offsetof(struct settings, max_user_connections),
	  .preset = "0", .applies = APPLIES_ON_RELOAD,
	  .text = "Server connections of one user over all pools. 0 for no limit.", },
	{ .name = "max_user_client_connections",
	  .group = "Pooling",
	  .type = SETTING_INT, .at = offsetof(struct settings, max_user_client_connections),
	  .preset = "0", .applies = APPLIES_ON_RELOAD,
	  .text = "Clients of one user. 0 for no limit.", },
	{ .name = "server_round_robin",
	  .group = "Pooling",
	  .type = SETTING_BOOL, .at = offsetof(struct settings, server_round_robin),
	  .preset = "0", .applies = APPLIES_ON_RELOAD,
	  .text = "Use the server connection that was idle longest instead of the one that was used last.", },
	{ .name = "max_prepared_statements",
	  .group = "Pooling",
	  .type = SETTING_INT, .at = offsetof(struct settings, max_prepared_statements),
	  .preset = "200", .applies = APPLIES_ON_RELOAD,
	  .text = "Named prepared statements kept per server connection in the modes transaction and statement. 0 "
	          "leaves them alone.", },
	{ .name = "max_client_prepared_statements",
	  .group = "Pooling",
	  .type = SETTING_INT, .at = offsetof(struct settings, max_client_prepared_statements),
	  .preset = "10000", .applies = APPLIES_ON_RELOAD,
	  .text = "Named prepared statements that one client may have at a time, in the modes transaction and statement. Beyond it, "
	          "preparing fails with 53400, and a PREPARE of SQL keeps its client on its server. 0 for no limit.", },
	{ .name = "max_client_prepared_size",
	  .group = "Pooling",
	  .type = SETTING_SIZE, .at = offsetof(struct settings, max_client_prepared_bytes),
	  .preset = "64MB", .applies = APPLIES_ON_RELOAD,
	  .text = "The same for all their texts together. 0 for no limit.", },
	{ .name = "session_tracking",
	  .group = "Pooling",
	  .type = SETTING_ENUM, .at = offsetof(struct settings, session_tracking), .words = session_trackings,
	  .preset = "auto", .applies = APPLIES_ON_RELOAD,
	  .text = "In the modes transaction and statement: after which statements a server is asked what they left in its session, so "
	          "that it follows its client and nobody else meets it. names: those that name such state (SET, PREPARE, LISTEN, CREATE "
	          "TEMP ...). auto: also what does it unseen, in functions and triggers, by its effect, the first times that a statement "
	          "runs. always: after each transaction that does more than begin and end. off: never, as PgBouncer.", },
	{ .name = "pinning",
	  .group = "Pooling",
	  .type = SETTING_ENUM, .at = offsetof(struct settings, pinning), .words = pinning_words,
	  .preset = "auto", .applies = APPLIES_ON_RELOAD,
	  .text = "In the modes transaction and statement, what becomes of temporary tables, session-level advisory locks, WITH HOLD "
	          "cursors, LOAD and what else lives in one server process. auto: the client keeps its server until they are gone (SHOW "
	          "PINS). refuse: statements that name them are refused (0A000). off: they end with the transaction. Where a function "
	          "makes them unseen they end with the transaction in both, with a warning. Needs session_tracking.", },
	{ .name = "max_pinned_servers",
	  .group = "Pooling",
	  .type = SETTING_INT, .at = offsetof(struct settings, max_pinned_servers),
	  .preset = "0", .applies = APPLIES_ON_RELOAD,
	  .text = "Server connections per pool that clients may keep for what is there (pinning = auto). Who would be the next is cut at the "
	          "end of its transaction. 0 for no limit.", },
	{ .name = "pool_idle_timeout",
	  .group = "Pooling",
	  .type = SETTING_DURATION_US, .at = offsetof(struct settings, pool_idle_timeout_us),
	  .preset = "0", .applies = APPLIES_ON_RELOAD,
	  .text = "Forget a pool that has had neither clients nor servers for so long. 0 never does.", },
	{ .name = "autodb_idle_timeout",
	  .group = "Pooling",
	  .type = SETTING_DURATION_US, .at = offsetof(struct settings, autodb_idle_timeout_us),
	  .preset = "3600s", .applies = APPLIES_ON_RELOAD,
	  .text = "Forget a database that came from the entry * after it was not used for so long.", },
	{ .name = "track_extra_parameters",
	  .group = "Sessions",
	  .type = SETTING_LIST, .at = offsetof(struct settings, track_extra_parameters),
	  .preset = "IntervalStyle", .applies = APPLIES_AT_START,
	  .text = "Parameters to keep for each client besides client_encoding, DateStyle, TimeZone, "
	          "standard_conforming_strings and application_name. Only what servers report can be kept.",
	  .pending = "every parameter that servers report is kept for each client", },
	{ .name = "ignore_startup_parameters",
	  .group = "Sessions",
	  .type = SETTING_LIST, .at = offsetof(struct settings, ignore_startup_parameters),
	  .preset = "", .applies = APPLIES_ON_RELOAD,
	  .text = "Startup parameters to drop; others that are not known refuse the client. With options in the "
	          "list, also those inside of options.", },
	{ .name = "application_name_add_host",
	  .group = "Sessions",
	  .type = SETTING_BOOL, .at = offsetof(struct settings, application_name_add_host),
	  .preset = "0", .applies = APPLIES_ON_RELOAD,
	  .text = "Append the client's address and port to its application_name.", },
	{ .name = "disable_pqexec",
	  .group = "Sessions",
	  .type = SETTING_BOOL, .at = offsetof(struct settings, disable_pqexec),
	  .preset = "0", .applies = APPLIES_AT_START,
	  .text = "Refuse the simple query protocol.", },
	{ .name = "server_reset_query",
	  .group = "Sessions",
	  .type = SETTING_STRING, .at = offsetof(struct settings, server_reset_query),
	  .preset = "DISCARD ALL", .applies = APPLIES_ON_RELOAD,
	  .text = "What is run on a server connection that a session has given back. Nothing for none.", },
	{ .name = "server_reset_query_always",
	  .group = "Sessions",
	  .type = SETTING_BOOL, .at = offsetof(struct settings, server_reset_query_always),
	  .preset = "0", .applies = APPLIES_ON_RELOAD,
	  .text = "Run server_reset_query in every pool mode, not in session mode only.", },
	{ .name = "login_notify_message",
	  .group = "Sessions",
	  .type = SETTING_STRING, .at = offsetof(struct settings, login_notify_message),
	  .preset = "", .applies = APPLIES_ON_RELOAD,
	  .text = "A notice to every client that has logged in.", },
	{ .name = "query_wait_notify",
	  .group = "Sessions",
	  .type = SETTING_DURATION_US, .at = offsetof(struct settings, query_wait_notify_us),
	  .preset = "5s", .applies = APPLIES_ON_RELOAD,
	  .text = "Tell a client by a notice when it has waited for a server connection for so long. 0 never does.", },
	{ .name = "listen_queue_limit",
	  .group = "Sessions",
	  .type = SETTING_SIZE, .at = offsetof(struct settings, listen_queue_limit_bytes),
	  .preset = "4MB", .least = "64kB", .most = "1GB", .applies = APPLIES_ON_RELOAD,
	  .text = "In the modes transaction and statement: how many bytes of notifications (LISTEN) may wait for one client that does "
	          "not read them, or whose transaction lasts. One for which more would wait is closed, with an error.", },
	{ .name = "listen_gap_payload",
	  .group = "Sessions",
	  .type = SETTING_STRING, .at = offsetof(struct settings, listen_gap_payload),
	  .preset = "", .applies = APPLIES_ON_RELOAD,
	  .text = "When notifications may have been missed (a failover), clients that LISTEN get a WARNING. With this set, they also get "
	          "a notification with this payload on each of their channels. Empty sends none.", },
	{ .name = "server_lifetime",
	  .group = "Server connections",
	  .type = SETTING_DURATION_US, .at = offsetof(struct settings, server_lifetime_us),
	  .preset = "3600s", .applies = APPLIES_ON_RELOAD,
	  .text = "Close a free server connection that is older. 0 uses each one once.", },
	{ .name = "server_idle_timeout",
	  .group = "Server connections",
	  .type = SETTING_DURATION_US, .at = offsetof(struct settings, server_idle_timeout_us),
	  .preset = "600s", .applies = APPLIES_ON_RELOAD,
	  .text = "Close a server connection that was idle for longer. 0 never does.", },
	{ .name = "server_connect_timeout",
	  .group = "Server connections",
	  .type = SETTING_DURATION_US, .at = offsetof(struct settings, server_connect_timeout_us),
	  .preset = "15s", .applies = APPLIES_ON_RELOAD,
	  .text = "Connecting to a server and logging in must end within.", },
	{ .name = "server_login_retry",
	  .group = "Server connections",
	  .type = SETTING_DURATION_US, .at = offsetof(struct settings, server_login_retry_us),
	  .preset = "15s", .applies = APPLIES_ON_RELOAD,
	  .text = "How long to wait after a failed attempt to connect or log in before the next one.", },
	{ .name = "server_check_query",
	  .group = "Server connections",
	  .type = SETTING_STRING, .at = offsetof(struct settings, server_check_query),
	  .preset = "<empty>", .applies = APPLIES_ON_RELOAD,
	  .text = "What checks a server connection that was idle. The word <empty> sends an empty query; nothing "
	          "for no check.", },
	{ .name = "server_check_delay",
	  .group = "Server connections",
	  .type = SETTING_DURATION_US, .at = offsetof(struct settings, server_check_delay_us),
	  .preset = "30s", .applies = APPLIES_ON_RELOAD,
	  .text = "For how long it must have been idle. 0 checks always.", },
	{ .name = "server_fast_close",
	  .group = "Server connections",
	  .type = SETTING_BOOL, .at = offsetof(struct settings, server_fast_close),
	  .preset = "0", .applies = APPLIES_ON_RELOAD,
	  .text = "In session mode, let server connections that are to be closed go after their transaction, not "
	          "after their session.", },
	{ .name = "query_timeout",
	  .group = "Timeouts (0 for none)",
	  .type = SETTING_DURATION_US, .at = offsetof(struct settings, query_timeout_us),
	  .preset = "0", .applies = APPLIES_ON_RELOAD,
	  .text = "A query that runs longer is cut, with its client.", },
	{ .name = "query_wait_timeout",
	  .group = "Timeouts (0 for none)",
	  .type = SETTING_DURATION_US, .at = offsetof(struct settings, query_wait_timeout_us),
	  .preset = "120s", .applies = APPLIES_ON_RELOAD,
	  .text = "How long a client may wait for a server connection before it is cut.", },
	{ .name = "failover_hold_timeout",
	  .group = "Timeouts (0 for none)",
	  .type = SETTING_DURATION_US, .at = offsetof(struct settings, failover_hold_timeout_us),
	  .preset = "30s", .applies = APPLIES_ON_RELOAD,
	  .text = "While nobody leads the cluster, or a switchover is under way: how long a client waits for the next leader "
	          "before it is cut. query_wait_timeout does not count meanwhile.", },
	{ .name = "scheduled_switchover_lead",
	  .group = "Timeouts (0 for none)",
	  .type = SETTING_DURATION_US, .at = offsetof(struct settings, scheduled_switchover_lead_us),
	  .preset = "2s", .most = "1min", .applies = APPLIES_ON_RELOAD,
	  .text = "A switchover that patronictl has scheduled: how long before its moment clients that want to write begin to wait, so "
	          "that running transactions can end. 0: it is not prepared for.", },
	{ .name = "server_dead_timeout",
	  .group = "Timeouts (0 for none)",
	  .type = SETTING_DURATION_US, .at = offsetof(struct settings, server_dead_timeout_us),
	  .preset = "3s", .applies = APPLIES_ON_RELOAD,
	  .text = "A member of a cluster that owes an answer for so long, and whose Patroni does not answer, is asked by a new "
	          "connection; no answer within the same time again, and its connections are given up: those on which a leader owes "
	          "an answer when another one leads, or after failover_hold_timeout; those of a replica, whose reads others can "
	          "answer, after a third of it each.", },
	{ .name = "cancel_wait_timeout",
	  .group = "Timeouts (0 for none)",
	  .type = SETTING_DURATION_US, .at = offsetof(struct settings, cancel_wait_timeout_us),
	  .preset = "10s", .applies = APPLIES_ON_RELOAD,
	  .text = "How long a cancel request may wait.", },
	{ .name = "client_idle_timeout",
	  .group = "Timeouts (0 for none)",
	  .type = SETTING_DURATION_US, .at = offsetof(struct settings, client_idle_timeout_us),
	  .preset = "0", .applies = APPLIES_ON_RELOAD,
	  .text = "A client that is idle for longer, outside of transactions, is cut.", },
	{ .name = "client_login_timeout",
	  .group = "Timeouts (0 for none)",
	  .type = SETTING_DURATION_US, .at = offsetof(struct settings, client_login_timeout_us),
	  .preset = "60s", .applies = APPLIES_ON_RELOAD,
	  .text = "Logging in must end within.", },
	{ .name = "idle_transaction_timeout",
	  .group = "Timeouts (0 for none)",
	  .type = SETTING_DURATION_US, .at = offsetof(struct settings, idle_transaction_timeout_us),
	  .preset = "0", .applies = APPLIES_ON_RELOAD,
	  .text = "A client that is idle inside of a transaction for longer is cut.", },
	{ .name = "pin_idle_timeout",
	  .group = "Timeouts (0 for none)",
	  .type = SETTING_DURATION_US, .at = offsetof(struct settings, pin_idle_timeout_us),
	  .preset = "0", .applies = APPLIES_ON_RELOAD,
	  .text = "A client that keeps its server connection (pinning = auto) and is idle between transactions for longer is cut.", },
	{ .name = "transaction_timeout",
	  .group = "Timeouts (0 for none)",
	  .type = SETTING_DURATION_US, .at = offsetof(struct settings, transaction_timeout_us),
	  .preset = "0", .applies = APPLIES_ON_RELOAD,
	  .text = "A transaction that lasts longer is cut, with its client.", },
	{ .name = "suspend_timeout",
	  .group = "Timeouts (0 for none)",
	  .type = SETTING_DURATION_US, .at = offsetof(struct settings, suspend_timeout_us),
	  .preset = "10s", .applies = APPLIES_ON_RELOAD,
	  .text = "After SUSPEND: connections whose buffers have not emptied by then are cut.", },
	{ .name = "auth_type",
	  .group = "Logging in",
	  .type = SETTING_ENUM, .at = offsetof(struct settings, auth_type), .words = auth_types,
	  .preset = "scram-sha-256", .preset_pgbouncer = "md5", .applies = APPLIES_ON_RELOAD,
	  .text = "How clients prove who they are.", },
	{ .name = "auth_file",
	  .group = "Logging in",
	  .type = SETTING_STRING, .at = offsetof(struct settings, auth_file),
	  .preset = "", .applies = APPLIES_ON_RELOAD, .is_file = true,
	  .text = "User list, a line each: \"name\" \"password\", where the password is plain, MD5 or a SCRAM secret.", },
	{ .name = "auth_users",
	  .group = "Logging in",
	  .type = SETTING_STRING, .at = offsetof(struct settings, auth_users),
	  .preset = "", .applies = APPLIES_ON_RELOAD, .is_secret = true,
	  .text = "The same lines in place, separated by newlines or by semicolons. They go before those of "
	          "auth_file.", },
	{ .name = "auth_hba_file",
	  .group = "Logging in",
	  .type = SETTING_STRING, .at = offsetof(struct settings, auth_hba_file),
	  .preset = "", .applies = APPLIES_ON_RELOAD, .is_file = true,
	  .text = "Rules for auth_type = hba, in the form of pg_hba.conf. One mistake, and all of it is refused.", },
	{ .name = "auth_ident_file",
	  .group = "Logging in",
	  .type = SETTING_STRING, .at = offsetof(struct settings, auth_ident_file),
	  .preset = "", .applies = APPLIES_ON_RELOAD, .is_file = true,
	  .text = "Maps of user names for auth_hba_file, in the form of pg_ident.conf.", },
	{ .name = "auth_failure_limit",
	  .group = "Logging in",
	  .type = SETTING_INT, .at = offsetof(struct settings, auth_failure_limit),
	  .preset = "20", .most = "1000000", .applies = APPLIES_ON_RELOAD,
	  .text = "Failed logins from one address (IPv6: one /64) within auth_failure_window, after which no more are "
	          "tried from there; half as many with the same user name. 0 for no limit.", },
	{ .name = "auth_failure_window",
	  .group = "Logging in",
	  .type = SETTING_DURATION_US, .at = offsetof(struct settings, auth_failure_window_us),
	  .preset = "60s", .least = "1s", .most = "1d", .applies = APPLIES_ON_RELOAD,
	  .text = "See auth_failure_limit: counting begins with the first failure, and with the end of this time anew.", },
	{ .name = "auth_user",
	  .group = "Logging in",
	  .type = SETTING_STRING, .at = offsetof(struct settings, auth_user),
	  .preset = "", .applies = APPLIES_ON_RELOAD,
	  .text = "User that runs auth_query for users that are in no list. Nothing: they are unknown.", },
	{ .name = "auth_query",
	  .group = "Logging in",
	  .type = SETTING_STRING, .at = offsetof(struct settings, auth_query),
	  .preset = "SELECT rolname, CASE WHEN rolvaliduntil < pg_catalog.now() THEN NULL ELSE rolpassword END FROM pg_catalog.pg_authid WHERE rolname = $1 AND rolcanlogin", .applies = APPLIES_ON_RELOAD,
	  .text = "Query for the name and the password or secret of the user $1.", },
	{ .name = "auth_dbname",
	  .group = "Logging in",
	  .type = SETTING_STRING, .at = offsetof(struct settings, auth_dbname),
	  .preset = "", .applies = APPLIES_ON_RELOAD,
	  .text = "Database of [databases] to run auth_query in. Nothing for the client's own. When it is set, users of the "
	          "console are looked up, too.", },
	{ .name = "auth_query_ttl",
	  .group = "Logging in",
	  .type = SETTING_DURATION_US, .at = offsetof(struct settings, auth_query_ttl_us),
	  .preset = "0", .most = "1d", .applies = APPLIES_ON_RELOAD,
	  .text = "How long an answer of auth_query counts. 0: each login is judged by a question that was sent after it "
	          "had begun; logins of one user at the same time share one.", },
	{ .name = "auth_query_timeout",
	  .group = "Logging in",
	  .type = SETTING_DURATION_US, .at = offsetof(struct settings, auth_query_timeout_us),
	  .preset = "5s", .least = "10ms", .most = "1h", .applies = APPLIES_ON_RELOAD,
	  .text = "How long a server may take to let auth_user in, and then to answer auth_query.", },
	{ .name = "auth_query_connections",
	  .group = "Logging in",
	  .type = SETTING_INT, .at = offsetof(struct settings, auth_query_connections),
	  .preset = "2", .least = "1", .most = "20", .applies = APPLIES_ON_RELOAD,
	  .text = "Server connections for auth_query in one database: so many questions run at once, the others wait in "
	          "order.", },
	{ .name = "auth_ldap_options",
	  .group = "Logging in",
	  .type = SETTING_STRING, .at = offsetof(struct settings, auth_ldap_options),
	  .preset = "", .applies = APPLIES_ON_RELOAD,
	  .text = "Options of LDAP.",
	  .pending = "there is no LDAP here, and nobody can log in by it", },
	{ .name = "scram_iterations",
	  .group = "Logging in",
	  .type = SETTING_INT, .at = offsetof(struct settings, scram_iterations),
	  .preset = "4096", .least = "1", .most = "10000000", .applies = APPLIES_ON_RELOAD,
	  .text = "Iterations of SCRAM secrets that are made of plain passwords.", },
	{ .name = "admin_users",
	  .group = "Console",
	  .type = SETTING_LIST, .at = offsetof(struct settings, admin_users),
	  .preset = "", .applies = APPLIES_ON_RELOAD,
	  .text = "Users with all rights on the console.", },
	{ .name = "stats_users",
	  .group = "Console",
	  .type = SETTING_LIST, .at = offsetof(struct settings, stats_users),
	  .preset = "", .applies = APPLIES_ON_RELOAD,
	  .text = "Users who may use SHOW on the console.", },
	{ .name = "stats_period",
	  .group = "Console",
	  .type = SETTING_DURATION_US, .at = offsetof(struct settings, stats_period_us),
	  .preset = "60s", .least = "1s", .most = "1d", .applies = APPLIES_ON_RELOAD,
	  .text = "Period of averages and of the line of figures in the log.", },
	{ .name = "log_format",
	  .group = "Logging",
	  .type = SETTING_ENUM, .at = offsetof(struct settings, log_format), .words = log_formats,
	  .preset = "text", .applies = APPLIES_ON_RELOAD,
	  .text = "Form of the lines of the log.", },
	{ .name = "logfile",
	  .group = "Logging",
	  .type = SETTING_STRING, .at = offsetof(struct settings, logfile),
	  .preset = "", .applies = APPLIES_ON_RELOAD,
	  .text = "File to write the log to, besides stderr. It is opened again at each reload.", },
	{ .name = "syslog",
	  .group = "Logging",
	  .type = SETTING_BOOL, .at = offsetof(struct settings, syslog),
	  .preset = "0", .applies = APPLIES_ON_RELOAD,
	  .text = "Write the log to syslog, too.", },
	{ .name = "syslog_ident",
	  .group = "Logging",
	  .type = SETTING_STRING, .at = offsetof(struct settings, syslog_ident),
	  .preset = "pgsluice", .preset_pgbouncer = "pgbouncer", .applies = APPLIES_ON_RELOAD,
	  .text = "Name in syslog.", },
	{ .name = "syslog_facility",
	  .group = "Logging",
	  .type = SETTING_STRING, .at = offsetof(struct settings, syslog_facility), .words = syslog_facilities,
	  .preset = "daemon", .applies = APPLIES_ON_RELOAD,
	  .text = "Facility in syslog.", },
	{ .name = "log_connections",
	  .group = "Logging",
	  .type = SETTING_BOOL, .at = offsetof(struct settings, log_connections),
	  .preset = "1", .applies = APPLIES_ON_RELOAD,
	  .text = "Log each login.", },
	{ .name = "log_disconnections",
	  .group = "Logging",
	  .type = SETTING_BOOL, .at = offsetof(struct settings, log_disconnections),
	  .preset = "1", .applies = APPLIES_ON_RELOAD,
	  .text = "Log the end of each connection, with the reason.", },
	{ .name = "log_pooler_errors",
	  .group = "Logging",
	  .type = SETTING_BOOL, .at = offsetof(struct settings, log_pooler_errors),
	  .preset = "1", .applies = APPLIES_ON_RELOAD,
	  .text = "Log the errors that are sent to clients.", },
	{ .name = "log_stats",
	  .group = "Logging",
	  .type = SETTING_BOOL, .at = offsetof(struct settings, log_stats),
	  .preset = "1", .applies = APPLIES_ON_RELOAD,
	  .text = "Log a line of figures every stats_period.", },
	{ .name = "verbose",
	  .group = "Logging",
	  .type = SETTING_INT, .at = offsetof(struct settings, verbose),
	  .preset = "0", .most = "1000", .applies = APPLIES_ON_RELOAD,
	  .text = "How much more to log: 1 or more for what helps to find a mistake.", },
	{ .name = "client_tls_sslmode",
	  .group = "TLS with clients",
	  .type = SETTING_ENUM, .at = offsetof(struct settings, client_tls_sslmode), .words = sslmode_words,
	  .preset = "disable", .applies = APPLIES_ON_RELOAD,
	  .text = "disable: none. allow, prefer: for who asks for it. require: for all. verify-ca, verify-full: "
	          "also with a client certificate. Up to require one is asked for where client_tls_ca_file is set, "
	          "and must be good if shown.", },
	{ .name = "client_tls_key_file",
	  .group = "TLS with clients",
	  .type = SETTING_STRING, .at = offsetof(struct settings, client_tls_key_file),
	  .preset = "", .applies = APPLIES_ON_RELOAD, .is_file = true,
	  .text = "Private key, PEM. Needed unless client_tls_sslmode is disable.", },
	{ .name = "client_tls_cert_file",
	  .group = "TLS with clients",
	  .type = SETTING_STRING, .at = offsetof(struct settings, client_tls_cert_file),
	  .preset = "", .applies = APPLIES_ON_RELOAD, .is_file = true,
	  .text = "Certificate and what is between it and the root, PEM.", },
	{ .name = "client_tls_ca_file",
	  .group = "TLS with clients",
	  .type = SETTING_STRING, .at = offsetof(struct settings, client_tls_ca_file),
	  .preset = "", .applies = APPLIES_ON_RELOAD, .is_file = true,
	  .text = "Certificates that clients' certificates are checked against, PEM.", },
	{ .name = "client_tls_crl_file",
	  .group = "TLS with clients",
	  .type = SETTING_STRING, .at = offsetof(struct settings, client_tls_crl_file),
	  .preset = "", .applies = APPLIES_ON_RELOAD, .is_file = true,
	  .text = "Revocation lists, PEM, one of each authority. A client certificate that is in one of them, or whose "
	          "authority has none there, is refused.", },
	{ .name = "client_tls_protocols",
	  .group = "TLS with clients",
	  .type = SETTING_LIST, .at = offsetof(struct settings, client_tls_protocols), .words = tls_protocols,
	  .preset = "secure", .applies = APPLIES_ON_RELOAD,
	  .text = "Versions of TLS. secure is 1.2 and 1.3.", },
	{ .name = "client_tls_ciphers",
	  .group = "TLS with clients",
	  .type = SETTING_STRING, .at = offsetof(struct settings, client_tls_ciphers),
	  .preset = "default", .applies = APPLIES_ON_RELOAD,
	  .text = "Ciphers up to TLS 1.2, in OpenSSL's notation.", },
	{ .name = "client_tls13_ciphers",
	  .group = "TLS with clients",
	  .type = SETTING_STRING, .at = offsetof(struct settings, client_tls13_ciphers),
	  .preset = "", .applies = APPLIES_ON_RELOAD,
	  .text = "Cipher suites of TLS 1.3, in OpenSSL's notation.", },
	{ .name = "client_tls_dheparams",
	  .group = "TLS with clients",
	  .type = SETTING_ENUM, .at = offsetof(struct settings, client_tls_dheparams), .words = dheparams,
	  .preset = "auto", .applies = APPLIES_ON_RELOAD,
	  .text = "Groups of DHE key exchange, up to TLS 1.2. auto: one of OpenSSL's that fits the key. none: no DHE. "
	          "legacy: the smallest that OpenSSL's security level allows.", },
	{ .name = "client_tls_ecdhcurve",
	  .group = "TLS with clients",
	  .type = SETTING_STRING, .at = offsetof(struct settings, client_tls_ecdhcurve),
	  .preset = "auto", .applies = APPLIES_ON_RELOAD,
	  .text = "Curve of ECDH key exchange: none, auto or its name.", },
	{ .name = "client_tls_session_resumption",
	  .group = "TLS with clients",
	  .type = SETTING_BOOL, .at = offsetof(struct settings, client_tls_session_resumption),
	  .preset = "0", .applies = APPLIES_ON_RELOAD,
	  .text = "Session tickets, for clients that come back often and keep them; libpq never does. They save the "
	          "signature, which is much of a handshake with an RSA key and nothing with P-256. None where client "
	          "certificates are asked for.", },
	{ .name = "server_tls_sslmode",
	  .group = "TLS with servers",
	  .type = SETTING_ENUM, .at = offsetof(struct settings, server_tls_sslmode), .words = sslmode_words,
	  .preset = "prefer", .applies = APPLIES_ON_RELOAD,
	  .text = "disable: none. allow, prefer: if the server has it. require: always. verify-ca: also checked "
	          "against server_tls_ca_file. verify-full: also the host name.", },
	{ .name = "server_tls_negotiation",
	  .group = "TLS with servers",
	  .type = SETTING_ENUM, .at = offsetof(struct settings, server_tls_negotiation), .words = tls_negotiations,
	  .preset = "postgres", .applies = APPLIES_ON_RELOAD,
	  .text = "postgres: by an SSLRequest. direct: TLS from the first byte, for PostgreSQL 17 and later; a round trip less. "
	          "It needs sslmode require or stronger.", },
	{ .name = "server_channel_binding",
	  .group = "TLS with servers",
	  .type = SETTING_ENUM, .at = offsetof(struct settings, server_channel_binding),
	  .words = channel_binding_words,
	  .preset = "prefer", .applies = APPLIES_ON_RELOAD,
	  .text = "SCRAM bound to the server's certificate. prefer: where the server offers it. require: or no login. "
	          "disable: never.", },
	{ .name = "server_tls_ca_file",
	  .group = "TLS with servers",
	  .type = SETTING_STRING, .at = offsetof(struct settings, server_tls_ca_file),
	  .preset = "", .applies = APPLIES_ON_RELOAD, .is_file = true,
	  .text = "Certificates that servers' certificates are checked against, PEM.", },
	{ .name = "server_tls_crl_file",
	  .group = "TLS with servers",
	  .type = SETTING_STRING, .at = offsetof(struct settings, server_tls_crl_file),
	  .preset = "", .applies = APPLIES_ON_RELOAD, .is_file = true,
	  .text = "Revocation lists, PEM, one of each authority. They count with verify-ca and verify-full.", },
	{ .name = "server_tls_key_file",
	  .group = "TLS with servers",
	  .type = SETTING_STRING, .at = offsetof(struct settings, server_tls_key_file),
	  .preset = "", .applies = APPLIES_ON_RELOAD, .is_file = true,
	  .text = "Private key to show to servers, PEM.", },
	{ .name = "server_tls_cert_file",
	  .group = "TLS with servers",
	  .type = SETTING_STRING, .at = offsetof(struct settings, server_tls_cert_file),
	  .preset = "", .applies = APPLIES_ON_RELOAD, .is_file = true,
	  .text = "Certificate to show to servers, PEM.", },
	{ .name = "server_tls_protocols",
	  .group = "TLS with servers",
	  .type = SETTING_LIST, .at = offsetof(struct settings, server_tls_protocols), .words = tls_protocols,
	  .preset = "secure", .applies = APPLIES_ON_RELOAD,
	  .text = "Versions of TLS. secure is 1.2 and 1.3.", },
	{ .name = "server_tls_ciphers",
	  .group = "TLS with servers",
	  .type = SETTING_STRING, .at = offsetof(struct settings, server_tls_ciphers),
	  .preset = "default", .applies = APPLIES_ON_RELOAD,
	  .text = "Ciphers up to TLS 1.2, in OpenSSL's notation.", },
	{ .name = "server_tls13_ciphers",
	  .group = "TLS with servers",
	  .type = SETTING_STRING, .at = offsetof(struct settings, server_tls13_ciphers),
	  .preset = "", .applies = APPLIES_ON_RELOAD,
	  .text = "Cipher suites of TLS 1.3, in OpenSSL's notation.", },
	{ .name = "dns_max_ttl",
	  .group = "DNS",
	  .type = SETTING_DURATION_US, .at = offsetof(struct settings, dns_max_ttl_us),
	  .preset = "15s", .applies = APPLIES_ON_RELOAD,
	  .text = "How long the addresses of a name are kept at most; shorter if its records say so.", },
	{ .name = "dns_nxdomain_ttl",
	  .group = "DNS",
	  .type = SETTING_DURATION_US, .at = offsetof(struct settings, dns_nxdomain_ttl_us),
	  .preset = "15s", .applies = APPLIES_ON_RELOAD,
	  .text = "How long it is kept that a name has none, and how long until name servers that failed are "
	          "asked again.", },
	{ .name = "dns_zone_check_period",
	  .group = "DNS",
	  .type = SETTING_DURATION_US, .at = offsetof(struct settings, dns_zone_check_period_us),
	  .preset = "0", .applies = APPLIES_ON_RELOAD,
	  .text = "How often to look whether the zones of names have changed. 0 never does.",
	  .pending = "names in use are looked up again whenever their records or dns_max_ttl say so", },
	{ .name = "pkt_buf",
	  .group = "Network details",
	  .type = SETTING_SIZE, .at = offsetof(struct settings, pkt_buf_bytes),
	  .preset = "4096", .least = "1", .most = "2147483647", .applies = APPLIES_AT_START,
	  .text = "Buffer of a connection.",
	  .pending = "buffers belong to the event loop; connections that are idle have none", },
	{ .name = "max_packet_size",
	  .group = "Network details",
	  .type = SETTING_SIZE, .at = offsetof(struct settings, max_packet_size_bytes),
	  .preset = "2147483647", .least = "1kB", .most = "2147483647", .applies = APPLIES_ON_RELOAD,
	  .text = "Larger messages are refused. They never have to fit into a buffer.", },
	{ .name = "sbuf_loopcnt",
	  .group = "Network details",
	  .type = SETTING_INT, .at = offsetof(struct settings, sbuf_loopcnt),
	  .preset = "5", .applies = APPLIES_ON_RELOAD,
	  .text = "How many buffers of one connection are handled before others have their turn. 0 for no limit.",
	  .pending = "every connection has one buffer a turn", },
	{ .name = "tcp_defer_accept",
	  .group = "Network details",
	  .type = SETTING_BOOL, .at = offsetof(struct settings, tcp_defer_accept),
	  .preset = "1", .applies = APPLIES_ON_RELOAD,
	  .text = "Let the kernel hold new connections back until they have sent something.", },
	{ .name = "tcp_socket_buffer",
	  .group = "Network details",
	  .type = SETTING_SIZE, .at = offsetof(struct settings, tcp_socket_buffer_bytes),
	  .preset = "0", .most = "2147483647", .applies = APPLIES_ON_RELOAD,
	  .text = "Size of the kernel's buffers of a connection. 0 for the system's own.", },
	{ .name = "tcp_keepalive",
	  .group = "Network details",
	  .type = SETTING_BOOL, .at = offsetof(struct settings, tcp_keepalive),
	  .preset = "1", .applies = APPLIES_ON_RELOAD,
	  .text = "Let the kernel look whether the other side is still there.", },
	{ .name = "tcp_keepcnt",
	  .group = "Network details",
	  .type = SETTING_INT, .at = offsetof(struct settings, tcp_keepcnt),
	  .preset = "0", .most = "127", .applies = APPLIES_ON_RELOAD,
	  .text = "Looks without an answer until the connection is given up. 0 for the system's own.", },
	{ .name = "tcp_keepidle",
	  .group = "Network details",
	  .type = SETTING_INT, .at = offsetof(struct settings, tcp_keepidle_s),
	  .preset = "0", .most = "32767", .applies = APPLIES_ON_RELOAD,
	  .text = "Seconds without traffic before the first look. 0 for the system's own.", },
	{ .name = "tcp_keepintvl",
	  .group = "Network details",
	  .type = SETTING_INT, .at = offsetof(struct settings, tcp_keepintvl_s),
	  .preset = "0", .most = "32767", .applies = APPLIES_ON_RELOAD,
	  .text = "Seconds between looks. 0 for the system's own.", },
	{ .name = "tcp_user_timeout",
	  .group = "Network details",
	  .type = SETTING_INT, .at = offsetof(struct settings, tcp_user_timeout_ms),
	  .preset = "0", .applies = APPLIES_ON_RELOAD,
	  .text = "Milliseconds that sent data may stay unacknowledged before the connection is given up. 0 for the "
	          "system's own.", },
};

const int setting_count = sizeof(setting_rows) / sizeof(setting_rows[0]);

const struct setting *
setting_find(const char *name)
{
	for (const struct setting *row = setting_rows; row < setting_rows + setting_count; row++) {
		if (strcmp(row->name, name) == 0 || (row->alias && strcmp(row->alias, name) == 0))
			return row;
	}
	return NULL;
}

const struct setting *
setting_find_nocase(const char *name)
{
	for (const struct setting *row = setting_rows; row < setting_rows + setting_count; row++) {
		if (text_equal_nocase(row->name, name) || (row->alias && text_equal_nocase(row->alias, name)))
			return row;
	}
	return NULL;
}

bool
setting_is_of_tls(const struct setting *row)
{
	return strncmp(row->group, "TLS ", 4) == 0;
}

bool
setting_is_of_access(const struct setting *row)
{
	return setting_is_of_tls(row) || strcmp(row->group, "Logging in") == 0;
}

const char *
setting_preset(const struct setting *row, bool is_pgbouncer)
{
	return is_pgbouncer && row->preset_pgbouncer ? row->preset_pgbouncer : row->preset;
}

static const char *
word_of(const struct setting_word *words, int value)
{
	while (words->word && words->value != value)
		words++;
	return words->word ? words->word : "?";
}

const char *
pool_mode_name(enum pool_mode mode)
{
	return word_of(pool_mode_words, (int)mode);
}

const char *
pinning_name(enum pinning pinning)
{
	return word_of(pinning_words, (int)pinning);
}

const char *
auth_type_name(enum auth_type type)
{
	return word_of(auth_types, (int)type);
}

const char *
sslmode_name(enum sslmode mode)
{
	return word_of(sslmode_words, (int)mode);
}

/* What stands between :// and @ in each URL becomes asterisks. */
static const char *
hide_passwords(const char *urls, char *buf, size_t room)
{
	struct text out = text_in(buf, room);

	for (struct view url; config_list_next(&urls, &url);) {
		const uint8_t *at = memrchr(url.p, '@', url.n), *scheme = memmem(url.p, url.n, "://", 3);
		if (out.n)
			text_add(&out, ",");
		if (at && scheme && at > scheme) {
			text_add_view(&out, view_part(url, 0, (size_t)(scheme - url.p) + 3));
			text_add(&out, "********");
			url = view_from(url, (size_t)(at - url.p));
		}
		text_add_view(&out, url);
	}
	return buf;
}

const char *
setting_value(const struct setting *row, const struct settings *in, char *buf, size_t room)
{
	const void *field = (const char *)in + row->at;
	uint64_t    number;
	int         whole;
	bool        yes;
	const char *string;

	switch (row->type) {
	case SETTING_BOOL:
		memcpy(&yes, field, sizeof(yes));
		snprintf(buf, room, "%d", yes);
		return buf;
	case SETTING_INT:
		memcpy(&whole, field, sizeof(whole));
		snprintf(buf, room, "%d", whole);
		return buf;
	case SETTING_DURATION_US: {
		memcpy(&number, field, sizeof(number));
		int n = snprintf(buf, room, "%llu.%06llu", (unsigned long long)(number / 1000000),
		                 (unsigned long long)(number % 1000000));
		must(n > 0 && (size_t)n < room);
		while (buf[n - 1] == '0')
			buf[--n] = 0;
		if (buf[n - 1] == '.')
			buf[n - 1] = 0;
		return buf;
	}
	case SETTING_SIZE:
		memcpy(&number, field, sizeof(number));
		snprintf(buf, room, "%llu", (unsigned long long)number);
		return buf;
	case SETTING_ENUM:
		memcpy(&whole, field, sizeof(whole));
		return word_of(row->words, whole);
	default:
		memcpy(&string, field, sizeof(string));
		if (row->is_secret)
			return *string ? "********" : "";
		return row->type == SETTING_URLS ? hide_passwords(string, buf, room) : string;
	}
}

static bool
is_string(enum setting_type type)
{
	return type == SETTING_STRING || type == SETTING_LIST || type == SETTING_URLS || type == SETTING_HOSTS ||
	       type == SETTING_ADDRESSES;
}

/* By the values themselves: what is shown of two secrets is the same. */
bool
setting_is_equal(const struct setting *row, const struct settings *a, const struct settings *b)
{
	char        x[SETTING_VALUE_MAX], y[SETTING_VALUE_MAX];
	const char *s, *t;

	if (!is_string(row->type))
		return strcmp(setting_value(row, a, x, sizeof(x)), setting_value(row, b, y, sizeof(y))) == 0;
	memcpy(&s, (const char *)a + row->at, sizeof(s));
	memcpy(&t, (const char *)b + row->at, sizeof(t));
	return strcmp(s, t) == 0;
}

const char *
setting_preset_value(const struct setting *row, bool is_pgbouncer, char *buf, size_t room)
{
	const char *preset = setting_preset(row, is_pgbouncer);
	char        why[200];
	struct text text = TEXT_IN(why);

	if (is_string(row->type))
		return preset;
	struct settings fresh = { 0 };
	must(value_store(row, &fresh, view_of_string(preset), NULL, &text)); /* not a string, so it takes no memory */
	return setting_value(row, &fresh, buf, room);
}
