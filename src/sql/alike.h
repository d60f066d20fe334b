/*
 * src/sql/alike.h - what texts have in common that differ only in constants: the key of their common facts.
 *
 * Each constant becomes a NUL byte, which no text has, and a letter for its kind. Comments become a blank. A list of
 * constants becomes one of them after IN and VALUES, where their number says nothing about what a statement does. All
 * else is as it was written, so that two texts of one key are the same tokens but for constants.
 *
 * A text that is no SQL may have the key of one that is (parentheses among VALUES): no server will run it.
 *
 * False when that isn't certain: a backslash anywhere, a string with a letter before it (E'', B''), U&, dollar quotes,
 * numbers newer than PostgreSQL 15, anything left open. Such a text has only itself for a key.
 * Source: PostgreSQL 15, 4.1 Lexical Structure, and its scan.l.
 */
#ifndef SQL_ALIKE_H
#define SQL_ALIKE_H

#include <stdbool.h>

#include "base/buf.h"

/* *out is emptied first; what is in it after false is no key. */
bool sql_alike(struct view text, struct buf *out);

#endif
