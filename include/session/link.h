/*
 * session/link.h - joins one client connection and one server connection for one transaction; see src/session/link.c.
 */
#ifndef SESSION_LINK_H
#define SESSION_LINK_H

#include "session/client.h"
#include "session/server.h"

/* Both are free for each other. The difference of their parameters is sent ahead of what the client sends next. */
void link_join(struct client *c, struct server *s);
/* The same for a server that stays its client's, when the client is to have other parameters than it has. */
void link_set_params(struct server *s);
/* A Query of our own, in front of what the client sends next. */
void link_say(struct server *s, const char *sql);
/* The transaction is over and nothing is owed. */
void link_part(struct server *s);
/* A server that was lent for a login; its client is idle already. */
void link_give_back(struct server *s);
/* The client goes away, wherever it is: its server is drained, cleaned or closed. Harmless without a link. */
void link_abandon(struct client *c);

/* The server is lost, the client is not: they part, and what of the client's names hung on answers is undone. */
void link_break(struct server *s);

/* Nothing is owed, and no transaction is open. Never with pool_mode = session, where they do not part. */
bool link_is_at_rest(const struct server *s);
/* If it is at rest: the server is asked what the session has, if that may have changed; or they part, if nothing keeps them. */
bool link_rest(struct server *s); /* true: they have parted */

/* Answers of the server as owed/pop sees them. `all`: the message as far as it has arrived. False: it is out of turn. */
void link_pop_ours(struct server *s); /* answers that we give ourselves and whose turn has come */
void link_on_error(struct server *s);  /* an ErrorResponse: what the server will now skip is owed no more */

#endif
