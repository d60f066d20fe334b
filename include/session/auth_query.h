/*
 * session/auth_query.h - users who are in no list are looked up in a database: which one, as whom, over which connections.
 *
 *   login ─► auth_query_ask ─► place (database entry, auth_user, auth_query) ─► auth/lookup: who waits for which question
 *     ─► member: the leader, else any that lives ─► net/pq ─► the row ─► login_on_found() of all who waited
 *
 * A place has connections of its own, at most auth_query_connections, closed after server_idle_timeout. Where no member
 * answers, a question is tried on the others, and then waits for one, for as long as its clients' client_login_timeout.
 * Nobody is let in by an answer older than auth_query_ttl, whatever happens: a door that can't ask stays shut.
 */
#ifndef SESSION_AUTH_QUERY_H
#define SESSION_AUTH_QUERY_H

#include "auth/lookup.h"
#include "base/fault.h"
#include "session/proxy.h"

/* A login that waits; embedded in struct client_login. */
struct auth_asking {
	struct lookup_asker asker; /* first */
	struct client *client;
	struct auth_place *place;  /* NULL: it does not wait */
};

enum auth_query_result {
	AUTH_QUERY_OFF,    /* no auth_user for this database, or there is no such database */
	AUTH_QUERY_FOUND,  /* *secret: the user's; or of one who does not exist (is_mock) */
	AUTH_QUERY_WAITS,  /* login_on_found() will be called, unless auth_query_leave() is */
	AUTH_QUERY_FAILED, /* can't be asked: *why says so to the client, the log says more */
};

/* Who is c->login->user for c->login->database? The caller frees *secret. */
enum auth_query_result auth_query_ask(struct client *c, struct secret *secret, struct fault *why);
void auth_query_leave(struct auth_asking *a); /* harmless when it does not wait */

/* What was learnt of this user is doubtful: a client, or a server, was refused with it. */
void auth_query_forget(struct proxy *x, const char *user);

bool auth_query_is_ready(const struct config *config, struct text *why); /* loads libpq if it will be needed */

/* A reload: everything is closed, and who waits is asked about again by the new configuration. */
void auth_query_halt(struct proxy *x);
void auth_query_restart(struct proxy *x);

void auth_query_on_topology(struct proxy *x, const struct cluster_load *load);
void auth_query_on_second(struct proxy *x);
void auth_query_wake(struct proxy *x);      /* after RESUME */
void auth_query_close_idle(struct proxy *x, const struct database *d); /* d NULL: all; busy ones close after their answer */
uint32_t auth_query_connections(const struct proxy *x, const struct database *d);
void auth_query_free(struct proxy *x);      /* no client is left */

struct auth_query_totals {
	uint64_t asked, cached, joined; /* questions sent; logins answered from memory; logins that shared a question */
	uint64_t failed;                /* questions without a usable answer */
	uint64_t took_us;               /* all questions together */
	uint32_t connections, waiting;  /* now */
};

struct auth_query_totals auth_query_totals(const struct proxy *x);

#endif
