/*
 * base/view.h - bytes that belong to somebody else: a pointer and a length, nothing more.
 *
 * Who hands out a view says until when it is good. A view of a stream's input is good until the handler returns.
 */
#ifndef BASE_VIEW_H
#define BASE_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct view {
	const uint8_t *p;
	size_t         n;
};

/* The bytes of a string literal, without its NUL. */
#define VIEW(literal) ((struct view){ (const uint8_t *)(literal), sizeof(literal) - 1 })

static inline struct view
view_of(const void *p, size_t n)
{
	return (struct view){ (const uint8_t *)p, n };
}

static inline struct view
view_of_string(const char *s)
{
	return (struct view){ (const uint8_t *)s, s ? strlen(s) : 0 };
}

/* At most n bytes from offset at; shorter, perhaps empty, when v ends before. */
static inline struct view
view_part(struct view v, size_t at, size_t n)
{
	if (at > v.n)
		at = v.n;
	if (n > v.n - at)
		n = v.n - at;
	return (struct view){ v.p ? v.p + at : NULL, n };
}

static inline struct view
view_from(struct view v, size_t at)
{
	return view_part(v, at, v.n);
}

static inline bool
view_equal(struct view a, struct view b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

/* Is there a byte beyond ASCII? */
static inline bool
view_has_high(struct view v)
{
	for (size_t i = 0; i < v.n; i++)
		if (v.p[i] >= 128)
			return true;
	return false;
}

static inline bool
view_is(struct view v, const char *s)
{
	return view_equal(v, view_of_string(s));
}

#endif
