/*
 * session/cancel.h - cancel requests: from a client's, by our key, to its server's, by its key.
 *
 * A request is forwarded only while its client owns the server, and the server is not handed on before the request was
 * delivered (the server's end of file says so). Source: PostgreSQL 16, 55.2.8 Canceling Requests in Progress.
 */
#ifndef SESSION_CANCEL_H
#define SESSION_CANCEL_H

#include "session/client.h"
#include "session/server.h"

/* From here on this client can be named by a CancelRequest; until it is removed. */
void cancel_keys_add(struct proxy *x, struct client *c);
void cancel_keys_remove(struct proxy *x, struct client *c); /* harmless when it was not added */

/* A CancelRequest that arrived on `from`, which is closed when it was delivered or turned out to be void. */
void cancel_on_request(struct client *from, uint32_t pid, struct view key);
/* Of our own: the client of s is gone, its query must not run on. */
void cancel_server(struct server *s);
void cancel_forget_server(struct server *s);  /* it is being closed */
void cancel_forget_client(struct client *c);  /* the requester is being closed */
void cancel_on_second(struct proxy *x);       /* cancel_wait_timeout */
struct proxy_cancels {
	uint32_t connecting, sent;
};
struct proxy_cancels cancel_counts(const struct proxy *x, const struct pool *p); /* p NULL: all */
void cancel_reap(struct proxy *x);             /* proxy_reap only */
void cancel_free_all(struct proxy *x);

#endif
