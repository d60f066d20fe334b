/*
 * auth/base64.h - base64 as SCRAM needs it: one text for one value, nothing else accepted.
 *
 * Source: RFC 4648, 4 and 3.5 (canonical: padding present, unused bits zero, no white space).
 */
#ifndef AUTH_BASE64_H
#define AUTH_BASE64_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/view.h"

/* Characters that n bytes become, without a NUL. */
#define BASE64_SIZE(n) (((n) + 2) / 3 * 4)

/* Add the base64 of v to b, without a NUL. */
void base64_add(struct buf *b, struct view v);

/* Decode all of `in` to at most `room` bytes; false and *n == 0 when it is not canonical base64 or too long. */
bool base64_read(struct view in, uint8_t *out, size_t room, size_t *n);

#endif
