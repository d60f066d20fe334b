/*
 * wire/compose.h - a message of ours as it grows in a buf: the length is filled in when its end is known.
 *
 *	size_t at = compose_begin(b, BE_PARAMETER_STATUS);
 *	buf_add_string(b, name);
 *	buf_add_string(b, value);
 *	compose_end(b, at);
 */
#ifndef WIRE_COMPOSE_H
#define WIRE_COMPOSE_H

#include <stddef.h>

#include "base/buf.h"

size_t compose_begin(struct buf *b, char type);
void   compose_end(struct buf *b, size_t at); /* not above INT32_MAX */

#endif
