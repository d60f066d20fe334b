/*
 * session/pins.h - what can't be given to another server, by the setting pinning: auto, the client keeps its server for it;
 * refuse, a text that names it is not run; off, it ends with the transaction.
 *
 *   state.c: the server says what there is ─► pins_found() ─┬► c->pins: it keeps its server; counted, limited, shown
 *                                                           └► s->left: cleaned when they part (pins_clean())
 *   touch.c: what a text names ─► pins_named() ─► client_messages.c: PINS_REFUSED_TEXT is sent in its place, and its error replaced
 *
 * Owns: c->pins and pool->pinned. Source: PostgreSQL 16, DISCARD; 5.9.3 schemas of temporary objects; 9.27.10 advisory locks.
 */
#ifndef SESSION_PINS_H
#define SESSION_PINS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/text.h"
#include "session/state.h"
#include "sql/facts.h"

struct client;
struct pool;
struct proxy;
struct server;

/* ---- who keeps a server ---- */

/* All that its server has now: enum pin. What may not be kept will be cleaned, and it is told so, once. */
void pins_found(struct client *c, uint32_t pins);
/* It is one too many (max_pinned_servers): it was ended. Its transaction was over. */
bool pins_enforce(struct client *c);
/* It leaves its server, or has lost it. */
void pins_drop(struct client *c);
/* Once a second: pools whose servers are all kept while others wait are in the log. */
void pins_on_second(struct proxy *x);

/* "temporary objects, advisory locks" */
void pins_add_names(struct text *out, uint32_t pins);
/* Who keeps servers of this pool, and for what: the first few. False: nobody does. */
bool pins_add_holders(struct text *out, const struct pool *p);
/* How many of its clients are pinned for one of these; us, if not NULL: added, for how long together. */
uint32_t pins_now(const struct pool *p, uint32_t pins, uint64_t *us);
extern const char pins_hint[]; /* for those who wait for them */

/* ---- what is refused ---- */

/* The first thing that this text would leave in its session for good, or 0: enum pin. */
uint32_t pins_named(const struct sql_facts *facts);
/* Fails wherever it stands, and when it is parsed; in a failed transaction as anything would. */
#define PINS_REFUSED_TEXT "SELECT pgsluice_pinning_refuses_this"
#define PINS_REFUSED_SQLSTATE "42703"
#define PINS_REFUSED_NAME "pgsluice_refused" /* of the statement that a refused Parse does not make */
void pins_refuse(struct client *c, uint32_t pin); /* ERROR 0A000, in the place of that one */

/* ---- what is cleaned ---- */

/* In server->left, besides enum pin. */
#define LEFT_SETTINGS ((uint32_t)1 << 16)

/* Something has to be done before anybody else gets this server. */
bool pins_are_left(const struct server *s);
/* The least that does it into sql, a Query's text with its NUL. False: it can't be undone, *why says what. */
bool pins_clean(struct server *s, struct buf *sql, const char **why);
/* It was done. */
void pins_cleaned(struct server *s);

#endif
