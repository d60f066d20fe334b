/*
 * session/proxy.h - the process as one object: configuration in force, who is connected, what is to be done this turn.
 *
 * Owns: everything that lives as long as the process. One turn of the loop ends in proxy_settle() (plans are carried out,
 * session/settle.c) and proxy_reap() (closed connections are freed).
 */
#ifndef SESSION_PROXY_H
#define SESSION_PROXY_H

#include <stdbool.h>
#include <stdint.h>

#include "auth/scram.h"
#include "base/list.h"
#include "cluster/watch.h"
#include "config/config.h"
#include "net/loop.h"
#include "net/resolve.h"
#include "pool/pool.h"
#include "session/access.h"
#include "session/cancel_key.h"
#include "wire/frame.h"

struct client;
struct server;
struct fetcher;
struct throttle;
struct proxy;
struct auth_queries;
struct failovers;
struct sql_cache;

enum proxy_state {
	PROXY_RUNNING,
	PROXY_PAUSED,    /* PAUSE: nothing new is handed out */
	PROXY_SUSPENDED, /* SUSPEND: nor is anybody read from */
	PROXY_STOPPING_SERVERS, /* SHUTDOWN WAIT_FOR_SERVERS, SIGINT: as PAUSE, then exit */
	PROXY_STOPPING_CLIENTS, /* SHUTDOWN WAIT_FOR_CLIENTS: exit when the last one has left */
	PROXY_STOPPING,  /* SIGTERM: transactions may end, within shutdown_timeout */
};

/* The console is the admin layer's; a session only hands over what arrives. */
struct console_ops {
	/* After authentication: greets and answers true, or answers false: not allowed. */
	bool (*enter)(struct client *c);
	/* One whole message; false: the client was closed. */
	bool (*on_message)(struct client *c, const struct frame *f);
	void (*on_close)(struct client *c);
	void (*on_settle)(struct proxy *x); /* at the end of a turn, while console_waits is not empty */
	void (*on_cancel)(struct client *c); /* a cancel request for what it runs */
};

/* Ids are given one after the other, so their low bits spread them; an entry costs a client one pointer. */
struct cancel_keys {
	struct client **chains;
	uint32_t room; /* chains: a power of two, or 0 */
	uint32_t count;
};

struct proxy_counters {
	uint64_t clients_accepted, clients_refused, logins_failed, logins_throttled, logins_unfinished;
	uint64_t servers_opened, servers_failed, servers_closed;
	uint64_t cancels_received, cancels_forwarded;
	uint64_t cancels_passed_on, cancels_lost; /* to peers; for peers that are down */
	uint64_t client_errors, server_errors; /* protocol violations */
	uint64_t listen_heard, listen_told, listen_gaps, listen_cut; /* of listeners that are no more */
	uint64_t lost_held, lost_again, lost_aborted, lost_unknown, lost_cut; /* clients whose server was lost: session/lost.h */
};

struct proxy {
	struct loop *loop;
	struct resolver *resolver;
	struct fetcher *fetcher;
	struct config *config;           /* in force; replaced whole */
	char **environment;              /* for reloads */
	struct access access;            /* users, rules, TLS contexts; replaced whole */
	bool tls_waits;                  /* SET changed settings of TLS that can't be used yet */
	size_t users_warm_at;
	struct scram_cache *scram_cache;
	struct throttle *throttle;       /* failed logins by address */
	struct auth_queries *auth_queries; /* NULL until somebody is looked up */
	bool auth_query_wants_run;       /* at the end of this turn */
	const struct console_ops *console;
	struct list console_waits;       /* the admin layer's: console sessions whose command waits for something */

	enum proxy_state state;
	uint64_t started_us;
	uint64_t suspended_us;
	uint32_t suspended_by;           /* id of the console client, with which it ends; 0: nobody's */
	uint64_t stop_by_us;             /* when patience ends while stopping */
	bool is_hurried;                 /* no patience at all */

	struct list loads;               /* struct cluster_load */
	struct list listeners;           /* struct listener: session/listener.h */
	bool listeners_dirty;            /* at the end of this turn */
	bool is_holding;                 /* one of them is between two leaders, or about to be: hold_settle() has work */
	struct failovers *failovers;
	struct database *databases;      /* by name */
	struct role *roles;
	struct list pools;
	struct list dirty_pools;         /* to be planned at the end of this turn */
	struct list clients;             /* struct client, by node; all states but closed */
	struct list logins;              /* struct client_login: those of them that have not proven yet who they are */
	uint32_t logins_refused, logins_cut; /* since the log told of it */
	struct list servers;
	struct list closed_clients, closed_servers, cancels, closed_cancels;
	struct list peers, closed_passings; /* session/peers.c */
	struct list probes, closed_probes; /* session/probe.c */
	struct cancel_keys keys;         /* logged in clients by their cancel pid */
	uint64_t signalled_us;           /* when a client ran pg_terminate_backend() or the like last: session/pids.h */
	uint32_t client_count;           /* without console sessions: max_client_conn */
	uint32_t last_id;                /* clients and servers share one counter, as in SHOW CLIENTS */
	uint8_t cancel_secret[CANCEL_SECRET_BYTES];      /* cancel keys are derived from it */

	void (*on_stop)(void *context);   /* main's: closes the listeners. Called once, when stopping begins */
	void (*on_reload)(void *context); /* main's: log and listeners as the new configuration says */
	void (*on_reloading)(void *context, bool is_over); /* main's: around each reload, whether it succeeds or not */
	void (*on_stats)(void *context, const char *line); /* main's: the figures of a stats_period */
	void *process;                    /* the context of them all */
	struct sql_cache *sql_cache;      /* what texts do that name state of sessions */
	struct buf compose;              /* a message being made; whoever makes the next one clears it */
	struct timer *every_second;
	struct timer *replan;            /* plans that wait for a time */
	uint64_t replan_us;
	uint64_t stats_us;               /* when the current stats_period began */
	struct proxy_counters counters;
};

/* NULL: *why says what is wrong. The configuration becomes the proxy's. */
struct proxy *proxy_new(struct config *config, char **environment, struct text *why);
void proxy_free(struct proxy *x); /* closes everything first */

/* Take over a connection that a listener accepted. */
void proxy_accept(struct proxy *x, int fd, bool is_unix, bool is_last, enum lane lane);

/*
 * Read the configuration and the user list again and apply what may change; where something is wrong nothing changes,
 * and *why gets it all, a line each.
 */
bool proxy_reload(struct proxy *x, struct text *why);

/*
 * SET: give one setting another value at once, until the next reload. *why says what is wrong, or what may surprise, in
 * one line; it never has a secret in it. Settings of TLS that make no whole together (a key without its certificate)
 * wait for the one that completes them.
 */
enum set_result { SET_DONE, SET_TLS_KEPT, SET_FAILED };
enum set_result proxy_set(struct proxy *x, const struct setting *row, struct view value, struct text *why);

void proxy_refresh_users(struct proxy *x); /* once a second: a changed auth_file takes effect by itself */

/* The objects behind names. NULL: no such database (and no "*"). Pools and roles are made when first asked for. */
struct database *proxy_database(struct proxy *x, const char *name);
struct role *proxy_role(struct proxy *x, const char *name);
struct pool *proxy_pool(struct proxy *x, struct database *d, struct role *r);

void proxy_dirty(struct proxy *x, struct pool *p); /* plan it at the end of this turn */
void proxy_dirty_neighbours(struct proxy *x, const struct pool *p); /* and those that share a limit with it */
void proxy_stop(struct proxy *x, enum proxy_state how);
bool proxy_is_done(const struct proxy *x); /* stopping, and nobody is left to wait for */

/* Nothing new is handed out: paused, suspended, or waiting for servers before the end. */
static inline bool
proxy_is_paused(const struct proxy *x)
{
	return x->state >= PROXY_PAUSED && x->state <= PROXY_STOPPING_SERVERS;
}

/* session/logins.c */
uint32_t logins_max(const struct settings *set); /* max_login_clients, or what stands for it */
bool logins_have_room(struct proxy *x);          /* for one more; somebody who keeps us waiting may give way */
bool logins_make_room(struct proxy *x);          /* whether somebody did */
void logins_on_second(struct proxy *x);

/* session/suspend.c */
void proxy_suspend(struct proxy *x, uint32_t by); /* all but the console falls silent; proxy_resume() ends it */
void proxy_wake(struct proxy *x);                 /* reads again; the state is the caller's matter */
bool proxy_is_still(const struct proxy *x);       /* suspended, and everything said before has been sent */
void suspend_settle(struct proxy *x);             /* at the end of a turn: who has just come in, too */
void suspend_on_second(struct proxy *x);          /* whose output can't be sent is cut after suspend_timeout */

/* session/names.c */
struct resolver_settings names_settings(const struct settings *set);
void names_open(struct proxy *x);      /* once the resolver is there */
void names_on_second(struct proxy *x); /* names of hosts that are in use are kept up to date */

/* session/settle.c */
void proxy_settle(void *context);
void proxy_reap(void *context);
void proxy_on_second(void *context);
void settle_open(struct proxy *x); /* the timers of the above */
void pools_upkeep(struct proxy *x, const struct cluster_load *load); /* NULL: of all clusters */
void proxy_collect(struct proxy *x); /* databases made from "*" that nobody used for long */

/* For commands: */
void proxy_pause(struct proxy *x, struct database *d);   /* d NULL: all */
void proxy_resume(struct proxy *x, struct database *d);
void proxy_reconnect(struct proxy *x, struct database *d);
void proxy_kill(struct proxy *x, struct database *d);    /* cut clients and servers, leave it paused */
uint32_t proxy_busy_servers(const struct proxy *x, const struct database *d); /* what a PAUSE waits for; d NULL: all */

#endif
