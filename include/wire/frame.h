/*
 * wire/frame.h - where one message ends and the next begins: a letter, a length that counts itself, a body.
 *
 * Looks only, consumes nothing, keeps nothing. The startup packet has no letter and is not a frame: wire/startup.h.
 * Here because every message of every client passes through it: it has to inline.
 * Source: PostgreSQL 16, 55.2 (Message Flow) and 55.7 (Message Formats).
 */
#ifndef WIRE_FRAME_H
#define WIRE_FRAME_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/view.h"

enum frame_result {
	FRAME_OK,    /* understood */
	FRAME_SHORT, /* no answer before more bytes arrive */
	FRAME_BAD,   /* no further byte can make this right */
};

#define FRAME_HEAD_BYTES 5 /* the letter and the length */

/*
 * No message of PostgreSQL is longer in either direction: its bodies live in one allocation of less than 1 GB
 * (MaxAllocSize). It also leaves room to rename a statement in the longest Bind without leaving the 31 bits.
 */
#define FRAME_LENGTH_MAX (UINT32_C(0x3fffffff) + 4)

struct frame {
	char        type; /* enum fe_message or enum be_message, by direction; anything, when the peer errs */
	uint32_t    size; /* bytes of the whole message, with letter and length */
	struct view body; /* what has arrived of it; good as long as the input is */
};

/*
 * Look at the message at in.p. max_bytes limits its length word: what is larger, or larger than FRAME_LENGTH_MAX, is
 * FRAME_BAD. FRAME_OK as soon as the head is there, however little of the body is. *out is set by FRAME_OK only.
 */
static inline enum frame_result
frame_peek(struct view in, uint32_t max_bytes, struct frame *out)
{
	if (in.n < FRAME_HEAD_BYTES)
		return FRAME_SHORT;
	uint32_t length = load_be32(in.p + 1);
	if (length < 4 || length > max_bytes || length > FRAME_LENGTH_MAX)
		return FRAME_BAD;
	size_t arrived = in.n - FRAME_HEAD_BYTES;
	*out = (struct frame){
		.type = (char)in.p[0],
		.size = 1 + length,
		.body = { in.p + FRAME_HEAD_BYTES, arrived < length - 4 ? arrived : length - 4 },
	};
	return FRAME_OK;
}

/* Bytes of the body when all of it is there. */
static inline uint32_t
frame_body_size(const struct frame *f)
{
	return f->size - FRAME_HEAD_BYTES;
}

static inline bool
frame_is_whole(const struct frame *f)
{
	return f->body.n == frame_body_size(f);
}

#endif
