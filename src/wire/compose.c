/* wire/compose.c - letter, length, body: see wire/compose.h. */
#include "wire/compose.h"

#include "base/bytes.h"
#include "base/must.h"
#include "wire/frame.h"

size_t
compose_begin(struct buf *b, char type)
{
	size_t at = b->n;
	buf_reserve(b, FRAME_HEAD_BYTES);
	b->p[b->n++] = (uint8_t)type;
	buf_add_be32(b, 0);
	return at;
}

void
compose_end(struct buf *b, size_t at)
{
	size_t length = b->n - at - 1;
	must(length <= INT32_MAX);
	store_be32(b->p + at + 1, (uint32_t)length);
}
