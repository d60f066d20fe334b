/*
 * session/listener.h - the listening connection: one for all clients of a pool that listen, on the leader.
 *
 *   the first client of a pool listens ─► a server is opened, one more than pool_size (SLOT_LISTENER)
 *     ─► LISTEN, all channels in one Query ─► it is ready ─► NotificationResponse ─► session/channels.h ─► clients
 *   lost, or another leads ─► opened again, as soon as there is a leader ─► each client is told what it may have missed
 *   nobody listens any more ─► closed after a while
 *
 * Questions to it are counted (`said`), and so are its answers (`answered`). Who waits until the connection is level with what
 * was committed before, sends a Sync and waits for its number: a server signals those who listen before it says that the commit
 * is done, and a session looks into the queue before it answers. Source: PostgreSQL 9.6 to 17, commands/async.c, tcop/postgres.c.
 *
 * Texts come in the client_encoding of the session that reads them: clients with different ones have different listeners.
 */
#ifndef SESSION_LISTENER_H
#define SESSION_LISTENER_H

#include <stdbool.h>
#include <stdint.h>

#include "session/channels.h"
#include "session/proxy.h"

/* Where marks are sent: session/listen.h. */
#define LISTEN_MARKS "pgsluice_marks"

struct listener {
	struct node node;          /* in proxy->listeners */
	struct proxy *proxy;
	struct pool *pool;
	char *encoding;
	struct hub hub;
	struct server *server;     /* NULL: none, or none yet */
	bool is_ready;             /* it listens */
	bool is_told;              /* the clients know that nothing is heard */
	uint64_t said, answered;   /* what it was asked and what it has answered, since it was opened */
	uint64_t asked_us;         /* the oldest of those that are not answered */
	struct list waiting;       /* struct listening, by `waiting`: for a number */
	struct list crossing;      /* struct crossing: marks that are to come */
	uint64_t lost_us;          /* since when notifications may have been missed; 0: none */
	uint64_t retry_us;         /* it is not opened before */
	uint32_t failures;
	uint64_t unused_us;        /* since when nobody listens */
	struct buf out;            /* what is being told to one of them */
	uint64_t since_us, gaps, cut; /* ready since; how often it was lost; clients cut that did not read */
};

struct listener_totals {
	uint64_t channels, clients, notifications, told, gaps, cut;
};

/* The listener of this pool and encoding, made if need be; opened at the end of the turn. */
struct listener *listener_of(struct pool *p, struct proxy *x, const char *encoding);
bool listener_is_ready(const struct listener *l);
uint64_t listener_ask_level(struct listener *l); /* the number to wait for */
void listener_dirty(struct listener *l);         /* something is to be done at the end of the turn */

/* From its server. */
void listener_on_login(struct server *s);
size_t listener_on_data(struct server *s, struct view in);
void listener_on_close(struct server *s, const char *why);

uint64_t listeners_settle(struct proxy *x); /* when to come again though nothing happens; 0: no need */
void listeners_on_second(struct proxy *x);
void listener_forget_pool(struct proxy *x, struct pool *p); /* it is freed; nobody listens */
struct listener_totals listeners_totals(const struct proxy *x);

#endif
