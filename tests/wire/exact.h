/*
 * tests/wire/exact.h - bytes in memory of exactly their size, so that a sanitizer sees the first one read too far; and the
 * trial that every reader of a body has to stand.
 */
#ifndef TESTS_WIRE_EXACT_H
#define TESTS_WIRE_EXACT_H

#include <check.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/view.h"
#include "wire/frame.h"

/* A copy on the heap; free with exact_free(). An empty one still has an address, where not a byte may be touched. */
static inline struct view
exact(struct view v)
{
	uint8_t *p = malloc(v.n ? v.n : 1);
	ck_assert_ptr_nonnull(p);
	if (v.n)
		memcpy(p, v.p, v.n);
	return (struct view){ v.n ? p : p + 1, v.n };
}

static inline void
exact_free(struct view v)
{
	free((void *)(v.n ? v.p : v.p - 1));
}

static inline bool
reads_exact(bool (*reads)(struct view), struct view v)
{
	struct view copy = exact(v);
	bool answer = reads(copy);
	exact_free(copy);
	return answer;
}

/* No flipped bit leads the reader outside; what it answers is its own affair. */
static inline void
survives_flipped_bits(bool (*reads)(struct view), struct view body)
{
	struct view copy = exact(body);
	uint8_t *p = (uint8_t *)copy.p;
	for (size_t bit = 0; bit < body.n * 8; bit++) {
		p[bit / 8] ^= (uint8_t)(1 << bit % 8);
		reads(copy);
		p[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	exact_free(copy);
}

/* Accepts this body, none of its truncations, nothing behind it, and survives each flipped bit. */
static inline void
takes_all_or_nothing(bool (*reads)(struct view), struct view body)
{
	ck_assert_msg(reads_exact(reads, body), "refused a body of %zu bytes that is right", body.n);
	for (size_t n = 0; n < body.n; n++)
		ck_assert_msg(!reads_exact(reads, view_part(body, 0, n)), "took %zu of %zu bytes for all", n, body.n);
	struct buf longer = { 0 };
	buf_add(&longer, body);
	buf_add_u8(&longer, 0);
	ck_assert_msg(!reads_exact(reads, buf_view(&longer)), "took a byte too many");
	buf_free(&longer);
	survives_flipped_bits(reads, body);
}

/* The body of the one message in b, which has to be of this type. Good until b changes. */
static inline struct view
only_body(const struct buf *b, char type)
{
	struct frame f;
	ck_assert_int_eq(frame_peek(buf_view(b), FRAME_LENGTH_MAX, &f), FRAME_OK);
	ck_assert(frame_is_whole(&f));
	ck_assert_uint_eq(f.size, b->n);
	ck_assert_int_eq(f.type, type);
	return f.body;
}

static inline void
holds_bytes(struct buf *b, struct view expected)
{
	ck_assert_uint_eq(b->n, expected.n);
	ck_assert_mem_eq(b->p, expected.p, expected.n);
	buf_free(b);
}

#endif
