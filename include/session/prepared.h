/*
 * session/prepared.h - prepared statements under a client's own names: those that SQL prepares, and all others where a text
 * names them, for PostgreSQL has one name space for both.
 *
 *   PREPARE x AS ... ─► the server says PREPARE, or lists x (session/state) ─► client->statements: its text, under its name
 *   EXECUTE x, DEALLOCATE x ... ─► prepared_before_text(): brought to the linked server under that name, in front of the text
 *   another client gets the server ─► prepared_clean(): what its last client had there is closed
 *
 * Statements of the protocol that nothing names in SQL do not come here: they are prepared under shared names (session/statement.h).
 * What is only dropped, or must only be known to exist, is brought as a stand-in, which can't fail. A statement that can't be
 * brought (its table is gone) leaves its error, which the client reads in place of the 26000 that its request runs into.
 */
#ifndef SESSION_PREPARED_H
#define SESSION_PREPARED_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "session/statement.h"
#include "session/touch.h"

struct client;
struct owed_item;
struct server;

/* Texts with one of these need the client's names on their server. */
#define TOUCH_NEEDS_NAMES ((uint32_t)(TOUCH_NAMES_PREPARED | TOUCH_READS_PREPARED | TOUCH_UNKNOWN))

/* What a server holds under the names of a client. */
struct own {
	uint32_t client;   /* its id */
	bool is_uncarried; /* the question: there is one that can't be carried */
	struct names names; /* statement NULL: a stand-in, or, if is_loose, whatever the server has */
	struct buf rows;   /* of the question: those that are new */
	struct buf error;  /* why one could not be brought: an ErrorResponse */
};

void prepared_own_free(struct own *own);

/* Is it run under its client's own name on servers? Else under the shared one. */
static inline bool
statement_is_own(const struct statement *st)
{
	return st->is_sql || (st->touch.bits & (TOUCH_NAMES_PREPARED | TOUCH_READS_PREPARED));
}

/* ---- before a message: all may be called again for the same one. False: it has to wait, the client is stalled ---- */

bool prepared_before_text(struct client *c, uint32_t bits, const struct sql_facts *facts);
/* A message names it: Bind, Describe. */
bool prepared_before_name(struct client *c, const char *name);
/* The client closes this name. */
bool prepared_before_close(struct client *c, const char *name);

/* A Parse of the client's: the server is to have it under its own name. named: in client->statements already. */
void prepared_parse_own(struct client *c, const struct named *named);

/* The text names a statement as we name shared ones, to prepare it: must be refused. */
bool prepared_is_reserved(const struct sql_facts *facts);

/* ---- as it runs ---- */

/*
 * What a text does to names, if it does nothing else: of PREPARE and DEALLOCATE that is known by their CommandComplete. For the
 * owed Query, or NULL. Else its names are what the server says when it is asked, and until then nothing is brought under them.
 */
struct named *prepared_outcome(struct client *c, struct view text, const struct sql_facts *facts, struct touch *t);
void prepared_note(struct client *c, const struct sql_facts *facts); /* what EXECUTE runs may touch, too */
void prepared_note_loose(struct client *c, const struct sql_facts *facts);

void prepared_done(struct server *s, struct owed_item *item); /* CommandComplete of a Query with an outcome */
void prepared_on_error(struct server *s, struct owed_item *item, struct view all); /* of what was brought */
void prepared_undo(struct server *s, struct owed_item *item); /* it was skipped */

/* ---- the question (session/state) ---- */

void prepared_asked(struct server *s);
void prepared_on_row(struct server *s, struct view name, const struct view *value); /* NULL: too long */
bool prepared_apply(struct server *s, bool *has_changed); /* false: some can't be carried */

/* ---- servers ---- */

void prepared_clean(struct server *s); /* of another client's: before its next client's first message */
void prepared_close_holding(struct server *s, struct statement *st, struct buf *out);
void prepared_deallocated_all(struct server *s);

/* May it have one more, of so many bytes? */
bool prepared_has_room(const struct client *c, size_t bytes);

#endif
