/*
 * wire/cursor.h - reading a body from front to back without ever leaving it.
 *
 * The first read that does not fit sets is_bad, which stays; from then on every read answers 0, "" or nothing. So a
 * reader takes all its fields one after the other and asks once at the end: cursor_at_end().
 */
#ifndef WIRE_CURSOR_H
#define WIRE_CURSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/bytes.h"
#include "base/view.h"

struct cursor {
	struct view left;   /* not read yet */
	bool        is_bad; /* something was asked for that was not there */
};

static inline struct cursor
cursor_over(struct view v)
{
	return (struct cursor){ .left = v };
}

/* The next n bytes; empty when there are fewer. Good as long as the view below is. */
static inline struct view
cursor_bytes(struct cursor *c, size_t n)
{
	if (c->is_bad || n > c->left.n) {
		c->is_bad = true;
		return (struct view){ NULL, 0 };
	}
	struct view v = { c->left.p, n };
	if (n) {
		c->left.p += n;
		c->left.n -= n;
	}
	return v;
}

static inline uint8_t
cursor_u8(struct cursor *c)
{
	struct view v = cursor_bytes(c, 1);
	return v.n ? v.p[0] : 0;
}

static inline uint16_t
cursor_be16(struct cursor *c)
{
	struct view v = cursor_bytes(c, 2);
	return v.n ? load_be16(v.p) : 0;
}

static inline uint32_t
cursor_be32(struct cursor *c)
{
	struct view v = cursor_bytes(c, 4);
	return v.n ? load_be32(v.p) : 0;
}

/* A string that ends in a NUL inside the view, where it stays; "" and bad when there is no NUL. */
static inline const char *
cursor_string(struct cursor *c)
{
	const uint8_t *end = c->is_bad || c->left.n == 0 ? NULL : memchr(c->left.p, 0, c->left.n);
	if (!end) {
		c->is_bad = true;
		return "";
	}
	return (const char *)cursor_bytes(c, (size_t)(end - c->left.p) + 1).p;
}

/* Everything fitted and nothing is left: what a message body must come to. */
static inline bool
cursor_at_end(const struct cursor *c)
{
	return !c->is_bad && c->left.n == 0;
}

#endif
