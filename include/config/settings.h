/*
 * config/settings.h - the settings of the section [pgsluice] (or [pgbouncer]): the values, and the table that describes them.
 *
 * The table is the only list of settings: the parser, range errors, the environment, SHOW CONFIG, reload, --help-settings
 * and etc/pgsluice.ini all walk it. A new setting is a field here and a row in src/config/settings.c.
 * Durations are microseconds, sizes bytes. Strings belong to the struct config around them and are never NULL: what is not
 * set is "". Names, defaults and meanings are those of PgBouncer 1.25.2 where it has the setting.
 */
#ifndef CONFIG_SETTINGS_H
#define CONFIG_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/log.h"

enum pool_mode {
	POOL_MODE_UNSET = -1, /* only in database_config and user_config */
	POOL_MODE_SESSION,
	POOL_MODE_TRANSACTION,
	POOL_MODE_STATEMENT
};

enum auth_type {
	AUTH_TYPE_ANY,
	AUTH_TYPE_TRUST,
	AUTH_TYPE_PLAIN,
	AUTH_TYPE_MD5,
	AUTH_TYPE_CERT,
	AUTH_TYPE_HBA,
	AUTH_TYPE_PEER,
	AUTH_TYPE_SCRAM_SHA_256
};

enum sslmode {
	SSLMODE_UNSET = -1, /* only in database_config */
	SSLMODE_DISABLE,
	SSLMODE_ALLOW,
	SSLMODE_PREFER,
	SSLMODE_REQUIRE,
	SSLMODE_VERIFY_CA,
	SSLMODE_VERIFY_FULL
};

/* How TLS with a server begins: by an SSLRequest, or with the first byte. */
enum tls_negotiation { TLS_NEGOTIATION_POSTGRES, TLS_NEGOTIATION_DIRECT };

enum channel_binding {
	CHANNEL_BINDING_UNSET = -1, /* only in database_config */
	CHANNEL_BINDING_DISABLE,
	CHANNEL_BINDING_PREFER,
	CHANNEL_BINDING_REQUIRE
};

enum tls_dheparams { TLS_DHEPARAMS_NONE, TLS_DHEPARAMS_AUTO, TLS_DHEPARAMS_LEGACY };

enum aborted_sqlstate { ABORTED_40001, ABORTED_57P01 };
enum session_tracking { TRACKING_OFF, TRACKING_NAMES, TRACKING_AUTO, TRACKING_ALWAYS };
/* What becomes of what a session has and no other server could be given. */
enum pinning { PINNING_UNSET = -1 /* only in database_config and user_config */, PINNING_AUTO, PINNING_REFUSE, PINNING_OFF };
/* Where reads of the read-only port go when no replica is fit. */
enum read_fallback { READ_FALLBACK_LEADER, READ_FALLBACK_HOLD, READ_FALLBACK_REFUSE };

enum patroni_tls_verify { PATRONI_TLS_VERIFY_FULL, PATRONI_TLS_VERIFY_CA, PATRONI_TLS_VERIFY_NONE };

/* Who we are to Patroni's REST API, and how it proves who it is. "": none. */
struct patroni_identity {
	const char             *user;
	const char             *password; /* secret */
	const char             *cert_file, *key_file, *ca_file;
	enum patroni_tls_verify tls_verify;
};

struct settings {
	/* listening and process */
	const char *listen_addr; /* comma list; "*" all, "" none */
	int         listen_port;
	int         read_port; /* 0: none */
	int         listen_backlog;
	const char *http_addr;
	int         http_port; /* 0: none */
	const char *http_token; /* secret */
	const char *unix_socket_dir; /* "" none; first '@': abstract */
	int         unix_socket_mode;
	const char *unix_socket_group;
	bool        so_reuseport;
	int         peer_id; /* 0: off */
	const char *proxy_protocol_from; /* for addresses_have(); "": nobody */
	const char *user;
	const char *pidfile;
	const char *conffile; /* what the next reload reads; "" when started by environment alone */
	const char *job_name;
	const char *resolv_conf;
	uint64_t    shutdown_timeout_us;

	/* cluster */
	const char     *patroni; /* comma list of URLs of the cluster "main"; may hold a password: see setting_value() */
	const char     *hosts;   /* comma list of host[:port] of the cluster "main" */
	uint64_t        patroni_poll_interval_us; /* clusters have their own copy: struct cluster_config */
	uint64_t        patroni_timeout_us;
	struct patroni_identity patroni_identity; /* so this */
	uint64_t        max_replica_lag_bytes; /* 0: no limit */
	uint64_t        max_replica_delay_us;  /* 0: no limit */
	enum session_tracking session_tracking;
	enum pinning    pinning;
	int             max_pinned_servers; /* 0: no limit */
	enum read_fallback read_fallback;
	enum aborted_sqlstate failover_aborted_sqlstate;

	/* pooling */
	enum pool_mode pool_mode;
	int            max_client_conn;
	int            max_login_clients;
	int            max_held_clients;  /* 0: no limit */
	int            default_pool_size; /* 0: no limit */
	int            min_pool_size;
	int            reserve_pool_size;
	uint64_t       reserve_pool_timeout_us; /* 0: off */
	int            max_db_connections;      /* 0: no limit, so the next three */
	int            max_db_client_connections;
	int            max_user_connections;
	int            max_user_client_connections;
	bool           server_round_robin;
	int            max_prepared_statements; /* per server; 0: not tracked */
	int            max_client_prepared_statements; /* 0: no limit */
	uint64_t       max_client_prepared_bytes;      /* likewise */
	uint64_t       pool_idle_timeout_us;    /* 0: never */
	uint64_t       autodb_idle_timeout_us;

	/* sessions and startup parameters */
	const char *track_extra_parameters;    /* comma list */
	const char *ignore_startup_parameters; /* comma list */
	bool        application_name_add_host;
	bool        disable_pqexec;
	const char *server_reset_query; /* "": none */
	bool        server_reset_query_always;
	const char *login_notify_message; /* "": none */
	uint64_t    query_wait_notify_us; /* 0: none */
	uint64_t    listen_queue_limit_bytes;
	const char *listen_gap_payload; /* "": none */

	/* server connections */
	uint64_t    server_lifetime_us;     /* 0: use once */
	uint64_t    server_idle_timeout_us; /* 0: off */
	uint64_t    server_connect_timeout_us;
	uint64_t    server_login_retry_us;
	const char *server_check_query;    /* "<empty>": an empty query; "": no check */
	uint64_t    server_check_delay_us; /* 0: always */
	bool        server_fast_close;

	/* timeouts; 0: off */
	uint64_t query_timeout_us;
	uint64_t query_wait_timeout_us;
	uint64_t failover_hold_timeout_us;
	uint64_t scheduled_switchover_lead_us;
	uint64_t server_dead_timeout_us;
	uint64_t cancel_wait_timeout_us;
	uint64_t client_idle_timeout_us;
	uint64_t client_login_timeout_us;
	uint64_t idle_transaction_timeout_us;
	uint64_t pin_idle_timeout_us;
	uint64_t transaction_timeout_us;
	uint64_t suspend_timeout_us;

	/* authentication */
	enum auth_type auth_type;
	const char    *auth_file;
	const char    *auth_users; /* secret: lines as in auth_file, parted by newline or ';' */
	const char    *auth_hba_file;
	const char    *auth_ident_file;
	int            auth_failure_limit; /* 0: off */
	uint64_t       auth_failure_window_us;
	const char    *auth_user; /* "": none */
	const char    *auth_query;
	const char    *auth_dbname; /* "": the client's own */
	uint64_t       auth_query_ttl_us; /* 0: asked at each login */
	uint64_t       auth_query_timeout_us;
	int            auth_query_connections;
	const char    *auth_ldap_options;
	int            scram_iterations;

	/* console */
	const char *admin_users; /* comma list */
	const char *stats_users; /* comma list */
	uint64_t    stats_period_us;

	/* logging */
	enum log_format log_format;
	const char     *logfile;
	bool            syslog;
	const char     *syslog_ident;
	const char     *syslog_facility;
	bool            log_connections;
	bool            log_disconnections;
	bool            log_pooler_errors;
	bool            log_stats;
	int             verbose; /* 0..3 */

	/* TLS */
	enum sslmode       client_tls_sslmode;
	const char        *client_tls_key_file;
	const char        *client_tls_cert_file;
	const char        *client_tls_ca_file;
	const char        *client_tls_crl_file;
	const char        *client_tls_protocols;
	const char        *client_tls_ciphers;
	const char        *client_tls13_ciphers;
	enum tls_dheparams client_tls_dheparams;
	const char        *client_tls_ecdhcurve;
	bool               client_tls_session_resumption;
	enum sslmode       server_tls_sslmode;
	enum tls_negotiation server_tls_negotiation;
	enum channel_binding server_channel_binding;
	const char        *server_tls_ca_file;
	const char        *server_tls_crl_file;
	const char        *server_tls_key_file;
	const char        *server_tls_cert_file;
	const char        *server_tls_protocols;
	const char        *server_tls_ciphers;
	const char        *server_tls13_ciphers;

	/* DNS */
	uint64_t dns_max_ttl_us;
	uint64_t dns_nxdomain_ttl_us;
	uint64_t dns_zone_check_period_us; /* 0: off */

	/* network details; 0: the system's */
	uint64_t pkt_buf_bytes;
	uint64_t max_packet_size_bytes;
	int      sbuf_loopcnt; /* 0: no limit */
	bool     tcp_defer_accept;
	uint64_t tcp_socket_buffer_bytes;
	bool     tcp_keepalive;
	int      tcp_keepcnt;
	int      tcp_keepidle_s;
	int      tcp_keepintvl_s;
	int      tcp_user_timeout_ms;
};

enum setting_type {
	SETTING_BOOL,        /* bool: 0 or 1, also on/off, yes/no, true/false */
	SETTING_INT,         /* int, in C notation: 0777 is octal */
	SETTING_DURATION_US, /* uint64_t: seconds, fraction allowed, or with us, ms, s, min, h, d */
	SETTING_SIZE,        /* uint64_t: bytes, or with kB, MB, GB, TB (1024) */
	SETTING_STRING,      /* const char *: as it stands */
	SETTING_LIST,        /* const char *: comma list */
	SETTING_URLS,        /* const char *: comma list of http:// or https:// URLs */
	SETTING_ADDRESSES,   /* const char *: comma list for config/addresses.h */
	SETTING_HOSTS,       /* const char *: comma list of host, host:port, [IPv6]:port or /directory */
	SETTING_ENUM         /* int-sized enum: one of .words */
};

enum setting_applies { APPLIES_AT_START, APPLIES_ON_RELOAD };

struct setting_word {
	const char *word;    /* NULL ends the list; the first word of a value is the one that is shown */
	int         value;
	const char *pending; /* why the word has no effect in this release, or NULL */
};

struct setting {
	const char                *name;
	const char                *alias; /* another name for it in files, or NULL */
	const char                *group; /* heading in the sample */
	enum setting_type          type;
	size_t                     at;               /* offset in struct settings */
	const char                *preset;           /* the default under [pgsluice], as one would write it */
	const char                *preset_pgbouncer; /* the default under [pgbouncer]; NULL: the same */
	const char                *least, *most;     /* of INT, DURATION_US and SIZE; NULL: 0, and the type's most */
	const struct setting_word *words;            /* of ENUM; of STRING and LIST: NULL, or all that is allowed */
	enum setting_applies       applies;
	bool                       is_secret;     /* never shown, never logged, never cut at an inline comment */
	bool                       is_file;       /* names a file that has to be readable when set */
	bool                       zero_is_unset; /* of an entry's key: 0 means as if it were not there */
	const char                *text;      /* one or two sentences for people */
	const char                *pending;   /* why it has no effect in this release, or NULL */
};

extern const struct setting setting_rows[]; /* in the order of the sample */
extern const int            setting_count;

const struct setting *setting_find(const char *name); /* by name or alias, exact; NULL: no such setting */
const struct setting *setting_find_nocase(const char *name); /* the same, as the console reads names */
const char           *setting_preset(const struct setting *row, bool is_pgbouncer);
bool setting_is_of_tls(const struct setting *row);
bool setting_is_of_access(const struct setting *row); /* who may come in, and how: TLS, users, rules */

#define SETTING_VALUE_MAX 4096

/*
 * The value as SHOW CONFIG prints it, as PgBouncer does: booleans 0 and 1, times in seconds without trailing zeros, numbers
 * decimal, sizes in bytes. Secrets are "********" when set; user and password inside of URLs likewise. Written to buf
 * unless the string of the setting itself can be returned; good as long as both are. Cut at room.
 */
const char *setting_value(const struct setting *row, const struct settings *in, char *buf, size_t room);

/* The same of the default. */
const char *setting_preset_value(const struct setting *row, bool is_pgbouncer, char *buf, size_t room);

bool setting_is_equal(const struct setting *row, const struct settings *a, const struct settings *b);

extern const struct setting_word pool_mode_words[], pinning_words[], read_fallback_words[], sslmode_words[], channel_binding_words[],
	patroni_tls_verify_words[];

/* The word of an enum's value, for messages: pool_mode_name(POOL_MODE_SESSION) is "session". */
const char *pool_mode_name(enum pool_mode mode);
const char *pinning_name(enum pinning pinning);
const char *auth_type_name(enum auth_type type);
const char *sslmode_name(enum sslmode mode);

#endif
