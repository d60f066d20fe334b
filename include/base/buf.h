/*
 * base/buf.h - bytes of our own that grow: built messages, and what of an input has to be kept.
 *
 * An empty buf owns no memory. All sizes are bytes. Growing doubles, up to the ceiling given.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/view.h"

struct buf {
	uint8_t *p;    /* owned; NULL when room is 0 */
	size_t   n;    /* bytes in use */
	size_t   room; /* bytes allocated */
};

void buf_free(struct buf *b);                         /* empty and without memory; may be used again */
bool buf_try_reserve(struct buf *b, size_t more);     /* room for `more` bytes behind n, or false: no memory */
void buf_reserve(struct buf *b, size_t more);         /* the same, ends the process when there is no memory */
void buf_add(struct buf *b, struct view v);
void buf_add_u8(struct buf *b, uint8_t v);
void buf_add_be16(struct buf *b, uint16_t v);
void buf_add_be32(struct buf *b, uint32_t v);
void buf_add_string(struct buf *b, const char *s);    /* with its NUL */
void buf_addf(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3))); /* without a NUL */
void buf_drop_front(struct buf *b, size_t n);         /* the rest moves down */

static inline struct view
buf_view(const struct buf *b)
{
	return (struct view){ b->p, b->n };
}

static inline void
buf_clear(struct buf *b)
{
	b->n = 0;
}

#endif
