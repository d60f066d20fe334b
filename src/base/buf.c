/* base/buf.c - bytes of our own that grow; see the header. */
#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/heap.h"
#include "base/must.h"

enum { BUF_ROOM_LEAST = 64 };

void
buf_free(struct buf *b)
{
	free(b->p);
	*b = (struct buf){ 0 };
}

bool
buf_try_reserve(struct buf *b, size_t more)
{
	if (b->room - b->n >= more)
		return true;
	size_t room = b->room ? b->room : BUF_ROOM_LEAST;
	while (room - b->n < more) {
		if (room > SIZE_MAX / 2)
			return false;
		room *= 2;
	}
	uint8_t *p = realloc(b->p, room);
	if (p == NULL)
		return false;
	b->p = p;
	b->room = room;
	return true;
}

void
buf_reserve(struct buf *b, size_t more)
{
	if (b->room - b->n >= more)
		return;
	if (!buf_try_reserve(b, more))
		heap_resize(NULL, SIZE_MAX / 2); /* says so and ends the process */
}

void
buf_add(struct buf *b, struct view v)
{
	if (v.n == 0)
		return;
	buf_reserve(b, v.n);
	memcpy(b->p + b->n, v.p, v.n);
	b->n += v.n;
}

void
buf_add_u8(struct buf *b, uint8_t v)
{
	buf_reserve(b, 1);
	b->p[b->n++] = v;
}

void
buf_add_be16(struct buf *b, uint16_t v)
{
	buf_reserve(b, 2);
	store_be16(b->p + b->n, v);
	b->n += 2;
}

void
buf_add_be32(struct buf *b, uint32_t v)
{
	buf_reserve(b, 4);
	store_be32(b->p + b->n, v);
	b->n += 4;
}

void
buf_add_string(struct buf *b, const char *s)
{
	buf_add(b, view_of(s, strlen(s) + 1));
}

void
buf_addf(struct buf *b, const char *format, ...)
{
	va_list args, again;
	va_start(args, format);
	va_copy(again, args);
	int n = vsnprintf(NULL, 0, format, args);
	va_end(args);
	must(n >= 0);
	buf_reserve(b, (size_t)n + 1);
	vsnprintf((char *)b->p + b->n, (size_t)n + 1, format, again);
	va_end(again);
	b->n += (size_t)n;
}

void
buf_drop_front(struct buf *b, size_t n)
{
	must(n <= b->n);
	if (n == 0)
		return;
	b->n -= n;
	memmove(b->p, b->p + n, b->n);
}
