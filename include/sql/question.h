/*
 * sql/question.h - "do these names only read?": what a text can't tell (sql/facts.h, 1 to 5), asked of a database's catalog.
 *
 *   facts of each text ─► question_add(): its names, as rows ─► question_end(): one Query ─► its last row has one column
 *
 * The answer is NULL when nothing that has one of these names does more than read, and else words that say what does.
 * Only what is certain counts as reading:
 *
 *   - A name stands for all that has it, in every schema: search_path, types of arguments and temporary schemas do not
 *     matter then. What nothing has is no good either, but for a relation that may be a WITH.
 *   - Functions: immutable or stable, as they are declared, with their defaults; aggregates and operators by the functions
 *     behind them. PostgreSQL's own by the tables of this layer.
 *   - Relations: tables, partitions, materialized views, sequences. Views, policies and partitions are gone into, as
 *     PostgreSQL has stored them (pg_node_tree). No foreign tables: nobody knows what is done elsewhere.
 *   - What no text names: a cast, an operator class, a type or a range that somebody made with a volatile function makes all
 *     doubtful; a domain with a volatile CHECK does where anything is involved that is not PostgreSQL's own.
 *
 * Nothing in it hangs on its asker's role or settings, and it leaves none behind. For PostgreSQL 10 and later, outside of a
 * transaction block.
 */
#ifndef SQL_QUESTION_H
#define SQL_QUESTION_H

#include <stdbool.h>

#include "base/buf.h"
#include "sql/facts.h"

/* Could it be harmless to run this twice outside of a transaction block? All that the text tells says so; its names may not. */
bool question_is_worthwhile(const struct sql_facts *facts);

/* A function, operator or type of PostgreSQL that only reads, if nobody else has made one of this name. */
bool question_is_own(const struct sql_name *name);

/* Adds the names of a text, as rows; nothing, if it has none. */
void question_add(struct buf *rows, const struct sql_facts *facts);

/*
 * The text of a Query with its last NUL, to the end of out. has_types: its parameters have types of somebody's own.
 * limit_ms: of the server's time.
 */
void question_end(struct view rows, bool has_types, unsigned limit_ms, struct buf *out);

/* May the answer be given to another who asks with the same rows? Not if they mean something else in another encoding. */
bool question_is_plain(struct view rows);

#endif
