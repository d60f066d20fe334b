/*
 * src/sql/reader.h - facts while they are collected from a parse tree.
 *
 *   facts.c: statement after statement ─► reader_walk() ─► nodes.c: a row for each key of the tree that tells something
 *                                                           └► reader_note_...(): notes.c, once each
 */
#ifndef SQL_READER_H
#define SQL_READER_H

#include "base/buf.h"
#include "sql/facts.h"
#include "tree.h"

/* More of them in one text, and it is SQL_TOO_MUCH. Of names each counts once; looking for it is linear. */
#define READER_STATEMENTS_MAX 1000
#define READER_TOUCHES_MAX 1000
#define READER_NAMES_MAX 500

struct reader_chunk; /* of strings */

struct reader {
	const struct tree *tree;
	struct view text;
	struct sql_statement *statement; /* the one that is read */
	uint32_t effects;  /* of it, so far */
	bool is_planned;   /* inside an EXPLAIN that runs nothing: only relations are of interest */
	bool is_deferred;  /* inside a PREPARE */
	bool uses_constants, is_full;
	struct sql_statement statements[READER_STATEMENTS_MAX];
	struct sql_touch touches[READER_TOUCHES_MAX];
	struct sql_name names[READER_NAMES_MAX];
	const char *ctes[READER_NAMES_MAX];
	uint32_t statement_count, touch_count, name_count, cte_count;
	struct reader_chunk *chunks;
};

/* nodes.c: the value at `at` and all below it. */
void reader_walk(struct reader *r, uint32_t at);
enum sql_kind reader_kind(struct view node); /* of a statement, by the kind of its node: "SelectStmt" */

/* notes.c. Strings live as long as the reader. */
void reader_fini(struct reader *r);
const char *reader_string(struct reader *r, uint32_t at);  /* of the tree; "" for 0 or what is no string */
const char *reader_lower(struct reader *r, const char *s); /* ASCII, as settings are compared */
void reader_split_name(struct reader *r, uint32_t list, const char **schema, const char **name); /* of a list of Strings */
const char *reader_constant(struct reader *r, uint32_t at); /* text of the constant that `at` is, perhaps in a cast; or NULL */

struct sql_touch *reader_note_touch(struct reader *r, enum sql_touch_kind kind, const char *name); /* never NULL */
void reader_note_relation(struct reader *r, const char *schema, const char *name, bool is_written);
void reader_note_cte(struct reader *r, const char *name);
void reader_note_function(struct reader *r, const char *schema, const char *name, uint32_t arguments);
void reader_note_operator(struct reader *r, const char *schema, const char *name);
void reader_note_type(struct reader *r, const char *schema, const char *name);
void reader_note_attribute(struct reader *r, const char *name);

/* functions.c: those of pg_catalog that are known by more than their volatility; NULL: not one of them. */
struct sql_function {
	const char *name;
	uint32_t effects; /* none: only reads, although it is volatile */
	int touch;        /* enum sql_touch_kind, or -1 */
};
const struct sql_function *sql_function_find(const char *name);
const struct sql_function *sql_function_at(size_t i); /* from 0 on; NULL: no more */

#endif
