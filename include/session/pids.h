/*
 * session/pids.h - process ids that clients know, and pg_terminate_backend() and pg_cancel_backend() of them.
 *
 *   BackendKeyData ─► an id of ours, which no process has ─┐
 *   SELECT pg_backend_pid() ─► that of its server then ────┴─► SELECT pg_terminate_backend(pid), by any client
 *
 * The id of ours in such a text, or in its parameters, is replaced by that of the server that its client has. A client that has
 * none gets one for this: the server on which it was told the id, or any that is idle or becomes so soon. Then all is as in PostgreSQL: who may do it,
 * what the function returns, and what the client reads. It gives the server back if nothing has come of it a second later.
 */
#ifndef SESSION_PIDS_H
#define SESSION_PIDS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/view.h"

struct client;
struct proxy;

/* A text with these bits (session/touch.h) is to run on the server that its client is linked to. */
void pids_note(struct client *c, uint32_t touches);

enum pids {
	PIDS_AS_THEY_ARE, /* out is empty: what the client sent may go as it is */
	PIDS_REPLACED,    /* out has what PostgreSQL has to read instead */
	PIDS_WAIT,        /* who is named waits for a server: the client that names it is stalled, and asks again (client->names_us) */
};

enum pids pids_replace_in_text(struct client *c, struct view text, struct buf *out);
/* What follows the two names in a Bind, whole. */
enum pids pids_replace_in_bind(struct client *c, struct view tail, struct buf *out);

void pids_linked(struct client *t); /* it has got the server that it waited for because it was named (t->named_by) */
void pids_go_on(struct client *c);  /* one that is stalled for this: its message is looked at again */

/* Somebody ran such a text a moment ago: a backend that is terminated now most likely is so for this, and not for a failover. */
bool pids_were_signalled(const struct proxy *x);

#endif
