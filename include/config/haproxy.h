/*
 * config/haproxy.h - what of an haproxy.cfg tells where PostgreSQL is and who asks for it. For --import.
 *
 * Reads what HAProxy would read, and keeps what matters here; what it does not know it passes over. Values of `defaults` are
 * already in the sections that follow it.
 * Source: HAProxy 2.6 configuration manual, 2 (syntax), 4 (keywords of proxies), 5 (of bind and server lines).
 */
#ifndef CONFIG_HAPROXY_H
#define CONFIG_HAPROXY_H

#include "config/value.h"

enum { HAPROXY_WORDS_MAX = 64, HAPROXY_ITEMS_MAX = 64, HAPROXY_PROXIES_MAX = 200 };

enum haproxy_kind { HAPROXY_DEFAULTS, HAPROXY_LISTEN, HAPROXY_FRONTEND, HAPROXY_BACKEND };

/* Who a backend's check takes in. */
enum haproxy_role { HAPROXY_ANYBODY, HAPROXY_WRITER, HAPROXY_READER };

struct haproxy_bind {
	const char *host; /* "*": all; without brackets */
	int         port; /* the first of a range */
	int         line;
	bool        is_tls, is_range;
	const char *accepts_proxy; /* the word, or NULL */
};

struct haproxy_server {
	const char *name, *host; /* without brackets */
	int         port;        /* 0: none, the one that was connected to */
	int         check_port;  /* 0: `port` */
	bool        check_tls, is_backup, is_disabled, sends_proxy, has_check;
	int         maxconn;     /* 0: none */
	int         line;
};

struct haproxy_use {
	const char *backend;
	bool        is_conditional;
	int         line;
};

struct haproxy_proxy {
	enum haproxy_kind kind;
	const char *name;
	int         line;
	bool        is_http, has_httpchk, has_pgsql_check, has_check_tls, has_stats, has_stats_auth;
	const char *check_path;  /* of the HTTP check, or NULL: "/" */
	const char *timeout_connect, *timeout_client, *timeout_server; /* as written, or NULL */
	int         maxconn;     /* 0: none */
	struct haproxy_server preset; /* of default-server */
	struct haproxy_bind   binds[HAPROXY_ITEMS_MAX];
	int                   bind_count;
	struct haproxy_server servers[HAPROXY_ITEMS_MAX];
	int                   server_count;
	struct haproxy_use    uses[HAPROXY_ITEMS_MAX]; /* default_backend is the last one */
	int                   use_count;
};

struct haproxy {
	const char *file;
	struct haproxy_proxy **proxies; /* owned; defaults are not among them */
	int                    count;
	int                    maxconn; /* of `global`; 0: none */
};

/* Lines that HAProxy would not take either are errors; then *out holds what else there is. Strings are in memory. */
void haproxy_read(struct haproxy *out, const char *file, struct view text, struct config_memory *memory,
                  struct config_errors *errors);
void haproxy_free(struct haproxy *h);

const struct haproxy_proxy *haproxy_backend(const struct haproxy *h, const char *name); /* listen too; NULL: none */

/* By the path that Patroni is asked for. *lag is what it says of ?lag=, or empty. */
enum haproxy_role haproxy_role_of(const struct haproxy_proxy *p, struct view *lag);
bool haproxy_asks_patroni(const struct haproxy_proxy *p);

#endif
