/*
 * session/custom_names.h - names of settings that only functions know: set_config('app.user', ...) in a body, unseen in any text.
 *
 *   a server of the database becomes free ─► due? ─► custom_names_ask(): one Query of ours ─► names ─► touch_add_custom_name()
 *
 * A setting with a dot that no library has defined is in no view: what a session has of it is asked for by its name
 * (session/state.h). Names in the texts of clients are learned from those; these here from the catalog, when the first server of
 * a database is free, and again every ten minutes in which it is used. What a function composes ('app.' || x) is not found.
 *
 * Each Query looks into a few functions, so that nobody waits for long for the server that is asked; nobody at all does where
 * another one is free. What fails is tried again later, and harms nothing.
 */
#ifndef SESSION_CUSTOM_NAMES_H
#define SESSION_CUSTOM_NAMES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

struct server;

/* It is free, nobody waits for it: is it to be asked now? */
bool custom_names_are_due(const struct server *s);
void custom_names_ask(struct server *s);
void custom_names_on_row(struct server *s, const struct view *value); /* NULL: null */
void custom_names_answered(struct server *s); /* its ReadyForQuery; s->question_failed */

/* The Query, with its NUL: of the functions behind this OID. */
void custom_names_query(uint32_t after, struct buf *sql);

#endif
