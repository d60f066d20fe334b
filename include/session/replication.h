/*
 * session/replication.h - replication connections: a client and a server that belong to each other and to nobody else.
 *
 *   login ─► waits for room (pool->waiting_own) ─► a server is opened for it, with its startup parameters
 *     ─► the server's ReadyForQuery is the client's ─► messages pass both ways ─► one ends, so does the other
 *
 * What is owed is not counted here: a CopyBoth has no questions and answers. It need not be, as nobody else ever gets what
 * such a server says: it was opened for this client and is closed with it. That messages are messages is still checked.
 * Source: PostgreSQL 16, 55.4 Streaming Replication Protocol, 55.2.6 COPY Operations (copy-both mode).
 */
#ifndef SESSION_REPLICATION_H
#define SESSION_REPLICATION_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/view.h"
#include "pool/pool.h"

struct client;
struct proxy;
struct server;
struct welcome;

enum replication { REPLICATION_NONE, REPLICATION_PHYSICAL, REPLICATION_LOGICAL };

/* What physical replication calls the database that it has none of; libpq's tools name it in the startup packet. */
#define REPLICATION_DATABASE "replication"

/* The startup parameter, as PostgreSQL reads it. False: neither a boolean nor "database". */
bool replication_read(const char *value, enum replication *out);
const char *replication_name(enum replication r); /* SHOW's words */
enum replication client_replication(const struct client *c);

/* Its turn has come: a server of its own is opened at this member. */
void replication_open(struct client *c, uint16_t member_id);

/* From the login of that server: what to say in the startup packet; how it went. */
void replication_add_startup(struct server *s, struct buf *b);
void replication_on_ready(struct server *s, const struct welcome *w);
/* may_try_again: the member was not there, or not ready, which may pass. The server is closed then by the caller. */
void replication_on_failure(struct server *s, bool may_try_again, const char *sqlstate, const char *why);

/* From the client that goes away: its server goes with it. */
void replication_abandon(struct client *c);

/* What they say to each other, each way. Answers how many bytes were passed. */
size_t replication_on_client_data(struct client *c, struct view in);
size_t replication_on_server_data(struct server *s, struct view in);

#endif
