/*
 * wire/proxy_header.h - the PROXY protocol, versions 1 and 2: what a balancer says of its client before the client's bytes.
 *
 *   PROXY TCP4 192.0.2.1 10.0.0.5 56324 5432\r\n         version 1, at most 107 bytes
 *   \r\n\r\n\0\r\nQUIT\n | command | family | length      version 2, 16 bytes and `length` more
 *
 * Looks only, consumes nothing, believes anything: from whom a header is taken is the caller's to decide.
 * Source: HAProxy's doc/proxy-protocol.txt, 2.1 and 2.2 (2020/03/05).
 */
#ifndef WIRE_PROXY_HEADER_H
#define WIRE_PROXY_HEADER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/view.h"

#define PROXY_HEADER_MAX (16 + 65535) /* bytes; all of them have to be there at once */

enum proxy_header_result {
	PROXY_HEADER_OK,
	PROXY_HEADER_SHORT, /* no answer before more bytes arrive */
	PROXY_HEADER_BAD,   /* no further byte can make this right */
};

struct proxy_header {
	uint32_t size;       /* of the whole header; what follows is the client's */
	uint8_t  version;    /* 1 or 2 */
	uint8_t  family;     /* 4 or 6; 0: it carries no address of TCP (LOCAL, UNKNOWN, UDP, Unix), the connection's own counts */
	uint8_t  source[16]; /* IPv4 within IPv6 is given as IPv4 */
	uint16_t source_port;
};

enum proxy_header_result proxy_header_peek(struct view in, struct proxy_header *out);

bool proxy_header_begins(struct view in); /* can only be meant as a header, whether it is well made or not */

#endif
