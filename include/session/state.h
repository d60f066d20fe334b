/*
 * session/state.h - what a session has, as its server says: asked when a transaction is over that may have changed it.
 *
 *   ReadyForQuery 'I', s->touched ─► state_ask(): one Query of ours ─► rows ─► state_answered()
 *       ├► settings ─► client->params, server->params
 *       ├► what can't be carried ─► client->pins: the server stays its client's until it is gone
 *       └► nothing ─► they part
 *
 * The client's next message may arrive meanwhile. After a SET of names, and where nothing was named at all, it goes to the same
 * server, behind the question; what the answer says is applied even so. Else it waits for the answer: RESET, for one, leaves
 * another value on the server than its client has to see.
 */
#ifndef SESSION_STATE_H
#define SESSION_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/view.h"

struct client;
struct server;

/* Why a client keeps its server. */
enum pin {
	PIN_TEMPORARY = 1 << 0, /* temporary tables, views, sequences, functions */
	PIN_LOCKS = 1 << 1,     /* session-level advisory locks */
	PIN_CURSORS = 1 << 2,   /* WITH HOLD */
	PIN_LIBRARY = 1 << 3,   /* LOAD: for good */
	PIN_SEED = 1 << 4,      /* setseed(): for good */
	PIN_ORIGIN = 1 << 5,    /* replication origin */
	PIN_SEQUENCES = 1 << 6, /* it reads currval() or lastval(): for good */
	PIN_PREPARED = 1 << 7,  /* SQL-level prepared statements that can't be carried */
	PIN_LISTEN = 1 << 8,    /* channels that can't be carried */
	PIN_UNKNOWN = 1 << 9,   /* its server could not be asked */
};
enum { PINS = 10 };

/* Those that no question ends. */
#define PINS_FOR_GOOD ((uint32_t)(PIN_LIBRARY | PIN_SEED | PIN_SEQUENCES))

const char *pin_name(enum pin pin); /* as SHOW PINS has it: "temporary objects" */

/* The link is at rest and something was noted. True: it is known without asking, and applied. */
bool state_is_plain(struct server *s);
/* Else: ask. */
void state_ask(struct server *s);
/* The answer is not in yet, and what the client says next may depend on it. */
bool state_is_awaited(const struct server *s);
/* The answer is not in yet, and it is known that something was touched: lost with its server, it can't be told any more. */
bool state_is_missed(const struct server *s);
enum { STATE_COLUMNS = 3 };
void state_on_row(struct server *s, struct view values); /* of a DataRow of the answer: for row_next_value() */
/* Its ReadyForQuery; error: NULL, or what the server said instead. They may part now. False: its client was ended for it. */
bool state_answered(struct server *s, const char *error);
/* The answer is all that is owed. */
bool state_is_all(const struct server *s);
void state_free(struct server *s);

/* Once a second, of a client that is pinned and at rest: was it released meanwhile? */
void state_on_second(struct client *c);

#endif
