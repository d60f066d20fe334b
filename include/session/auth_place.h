/*
 * session/auth_place.h - where users are looked up, and how: a database, auth_user, auth_query, and the connections for it.
 * For auth_query.c, which knows all places, and auth_place.c.
 */
#ifndef SESSION_AUTH_PLACE_H
#define SESSION_AUTH_PLACE_H

#include "session/auth_query.h"

struct auth_queries {
	struct list places;
	struct list restarting;        /* struct auth_asking, between auth_query_halt() and auth_query_restart() */
	struct auth_query_totals gone; /* of places that are closed; failed and took_us: of all */
	struct secret like;            /* what a place knows of the likeness of its users, until it has seen one */
};

struct auth_place {
	struct node node;
	struct proxy *proxy;
	struct cluster_load *load;
	char database[DATABASE_NAME_MAX]; /* the entry of [databases] */
	char user[USER_NAME_MAX];
	char *query;
	struct lookup lookup;
	struct list connections;
	struct secret like;    /* its kind and its numbers are those of the users here: what is made up looks like them */
	bool knows_like;
	uint64_t retry_us;     /* nothing is asked before */
	char refused[300];     /* why not; "" when it is only that no member answers */
	struct fault refusal;  /* what clients are told then; its texts are static */
	uint64_t used_us;
};

struct auth_place *auth_place_new(struct proxy *x, const char *database, const char *user, const char *query);
void auth_place_free(struct auth_place *p); /* nobody waits */

struct lookup_limits auth_place_limits(const struct proxy *x);
struct fault auth_query_fault(void);          /* what clients are told when they can't be looked up */
void auth_place_run(struct auth_place *p);    /* send what can be sent */
void auth_place_cut(struct auth_place *p);    /* connections to members that have lost their place */
void auth_place_close_idle(struct auth_place *p); /* those that are busy after their answer */
void auth_place_expire(struct auth_place *p); /* what time has made useless */

#endif
