/*
 * session/server_reach.h - from the name of a host to a connected stream: its addresses one after the other, each with its
 * share of server_connect_timeout; and when none can be reached, those it has by now.
 *
 * Embedded in what a server connection keeps during its login.
 */
#ifndef SESSION_SERVER_REACH_H
#define SESSION_SERVER_REACH_H

#include "net/loop.h"
#include "net/resolve.h"

struct server;

struct reach {
	struct server *server;
	const char *host;         /* the owner's */
	uint16_t port;
	struct resolve_request *resolving;
	struct resolved addresses;
	unsigned next;            /* index of the address to try next */
	struct timer *share;      /* how long the one that is tried may take; NULL: there is just one */
	bool asked_again;
	char why_not[160];        /* what the first addresses came to, when asked again */
};

/* s->stream's on_open follows, or server_login_unreachable(); perhaps before the return. */
void reach_begin(struct reach *r, struct server *s, const char *host, uint16_t port);
void reach_refused(struct reach *r, const char *why_not); /* the connection was: the next address */
void reach_connected(struct reach *r);
void reach_done(struct reach *r);   /* logged in: this address is tried first from now on */
void reach_broke(struct reach *r);  /* connected, perhaps, but no login: it is tried last for a while */
void reach_fini(struct reach *r);

#endif
