/*
 * src/sql/tree.h - the parse tree as libpg_query prints it (JSON), flat: values in one array, in the order of the text.
 *
 *   {"a":[1,{"b":"x"}]}    0 object   1 "a" array   2 number   3 object   4 "b" string
 *
 * The children of an object or an array begin right behind it; each value knows where the one after it begins. A library
 * for JSON (jansson) makes a new statement cost more than twice as much: of a tree that is read once, this keeps views.
 */
#ifndef SQL_TREE_H
#define SQL_TREE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/view.h"

#define TREE_DEPTH_MAX 4000 /* objects and arrays inside each other; walking it takes as many frames of the stack */

enum tree_kind { TREE_OBJECT, TREE_ARRAY, TREE_STRING, TREE_NUMBER, TREE_TRUE, TREE_FALSE };

struct tree_value {
	enum tree_kind kind;
	uint32_t end;     /* index of the value behind this one and all of its children */
	struct view key;  /* in its object; empty in an array */
	struct view text; /* of a string (without quotes, escapes as they are) and of a number */
};

struct tree {
	struct tree_value *values; /* owned; [0] is the whole */
	uint32_t count, room;
};

/* False: not JSON, or nested too deeply. The views point into json. */
bool tree_read(struct tree *t, struct view json);
void tree_free(struct tree *t);

/* The member called key of the object at `at`: its index, or 0 (which is no member of anything). */
uint32_t tree_member(const struct tree *t, uint32_t at, const char *key);
/* Number of children. */
uint32_t tree_size(const struct tree *t, uint32_t at);
uint32_t tree_number(const struct tree *t, uint32_t at); /* up to nine digits; 0 for what is none, and below */
/* The text of a string with its escapes undone, appended with a NUL. */
void tree_add_string(const struct tree *t, uint32_t at, struct buf *out);
bool tree_is(const struct tree *t, uint32_t at, const char *s); /* a string without escapes that equals s */

/* Children of `at`, one after the other, by index. */
#define tree_each(t, at, child)                                                                                        \
	for (uint32_t child = (at) + 1, tree_stop = (t)->values[at].end; child < tree_stop; child = (t)->values[child].end)

#endif
