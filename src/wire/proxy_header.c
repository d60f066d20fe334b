/*
 * wire/proxy_header.c - reads PROXY headers; see the header.
 *
 * Neither version can be taken for a startup packet, whose first byte is 0, nor for TLS, which begins with 0x16.
 * What follows the addresses in version 2 (TLVs: names, certificates, a checksum) is skipped: TCP has a checksum, and the
 * sender is trusted. An answer other than PROXY_HEADER_SHORT does not change when more arrives.
 */
#include "wire/proxy_header.h"

#include <arpa/inet.h>
#include <string.h>

#include "base/bytes.h"

enum { LINE_MAX_BYTES = 107, FIXED_BYTES = 16, ADDRESS_TEXT_MAX = 46 };

static const struct view line_start = VIEW("PROXY ");
static const struct view signature = VIEW("\r\n\r\n\0\r\nQUIT\n");

/* As far as both go, in at least one byte. */
static bool
agrees(struct view in, struct view with)
{
	size_t n = in.n < with.n ? in.n : with.n;
	return n > 0 && memcmp(in.p, with.p, n) == 0;
}

bool
proxy_header_begins(struct view in)
{
	return (in.n >= line_start.n && agrees(in, line_start)) || (in.n >= signature.n && agrees(in, signature));
}

static void
take_source(struct proxy_header *out, uint8_t family, const uint8_t *source, uint16_t port)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	bool is_mapped = family == 6 && memcmp(source, mapped, sizeof(mapped)) == 0;
	out->family = is_mapped ? 4 : family;
	memcpy(out->source, source + (is_mapped ? sizeof(mapped) : 0), out->family == 4 ? 4 : 16);
	out->source_port = port;
}

/* ---- version 1 ---- */

/* The next word of the line, which exactly one space, or its end, follows. */
static bool
next_word(struct view *line, char *word, size_t room, bool is_last)
{
	const uint8_t *space = line->n ? memchr(line->p, ' ', line->n) : NULL;
	size_t n = space ? (size_t)(space - line->p) : line->n;
	if (n == 0 || n >= room || (space == NULL) != is_last || memchr(line->p, 0, n))
		return false;
	memcpy(word, line->p, n);
	word[n] = '\0';
	*line = view_from(*line, n + (is_last ? 0 : 1));
	return true;
}

static bool
read_port(const char *word, uint16_t *port)
{
	uint32_t number = 0;
	if (word[0] == '0' && word[1] != '\0')
		return false;
	for (; *word; word++) {
		if (*word < '0' || *word > '9')
			return false;
		number = number * 10 + (uint32_t)(*word - '0');
		if (number > UINT16_MAX)
			return false;
	}
	*port = (uint16_t)number;
	return true;
}

/* What stands between "PROXY " and the end of the line. */
static bool
read_line(struct view line, struct proxy_header *out)
{
	char protocol[8], word[ADDRESS_TEXT_MAX];
	uint8_t source[16], destination[16];
	uint16_t source_port, destination_port;
	struct view rest = line;
	if (line.n >= 7 && memcmp(line.p, "UNKNOWN", 7) == 0 && (line.n == 7 || line.p[7] == ' '))
		return true; /* the rest is to be ignored */
	if (!next_word(&rest, protocol, sizeof(protocol), false))
		return false;
	uint8_t family = strcmp(protocol, "TCP4") == 0 ? 4 : strcmp(protocol, "TCP6") == 0 ? 6 : 0;
	int af = family == 4 ? AF_INET : AF_INET6;
	if (family == 0 || !next_word(&rest, word, sizeof(word), false) || inet_pton(af, word, source) != 1 ||
	    !next_word(&rest, word, sizeof(word), false) || inet_pton(af, word, destination) != 1 ||
	    !next_word(&rest, word, sizeof(word), false) || !read_port(word, &source_port) ||
	    !next_word(&rest, word, sizeof(word), true) || !read_port(word, &destination_port))
		return false;
	take_source(out, family, source, source_port);
	return true;
}

static enum proxy_header_result
peek_line(struct view in, struct proxy_header *out)
{
	struct view line = view_part(in, 0, LINE_MAX_BYTES);
	for (size_t i = line_start.n; i < line.n; i++) {
		if (line.p[i] == '\n')
			return PROXY_HEADER_BAD;
		if (line.p[i] != '\r')
			continue;
		if (i + 1 == line.n)
			break; /* its newline is still to come, if there is room for it */
		if (line.p[i + 1] != '\n' || !read_line(view_part(line, line_start.n, i - line_start.n), out))
			return PROXY_HEADER_BAD;
		out->version = 1;
		out->size = (uint32_t)(i + 2);
		return PROXY_HEADER_OK;
	}
	return line.n == LINE_MAX_BYTES ? PROXY_HEADER_BAD : PROXY_HEADER_SHORT;
}

/* ---- version 2 ---- */

enum { COMMAND_LOCAL = 0x20, COMMAND_PROXY = 0x21, TCP_OVER_IPV4 = 0x11, TCP_OVER_IPV6 = 0x21, FAMILY_MAX = 3, KIND_MAX = 2 };

/* Of a connection made for somebody: may this family, with so many bytes, be? */
static bool
is_possible(uint8_t family, uint16_t length)
{
	if (family == TCP_OVER_IPV4)
		return length >= 2 * 4 + 2 * 2;
	if (family == TCP_OVER_IPV6)
		return length >= 2 * 16 + 2 * 2;
	return family >> 4 <= FAMILY_MAX && (family & 0x0f) <= KIND_MAX;
}

static enum proxy_header_result
peek_binary(struct view in, struct proxy_header *out)
{
	if (in.n > signature.n && in.p[12] != COMMAND_LOCAL && in.p[12] != COMMAND_PROXY)
		return PROXY_HEADER_BAD;
	if (in.n < FIXED_BYTES)
		return PROXY_HEADER_SHORT;
	uint8_t command = in.p[12], family = in.p[13];
	uint16_t length = load_be16(in.p + 14);
	if (command == COMMAND_PROXY && !is_possible(family, length))
		return PROXY_HEADER_BAD;
	if (in.n < FIXED_BYTES + (size_t)length)
		return PROXY_HEADER_SHORT;
	out->version = 2;
	out->size = FIXED_BYTES + (uint32_t)length;
	const uint8_t *addresses = in.p + FIXED_BYTES; /* source, destination, their ports */
	if (command == COMMAND_PROXY && family == TCP_OVER_IPV4)
		take_source(out, 4, addresses, load_be16(addresses + 2 * 4));
	else if (command == COMMAND_PROXY && family == TCP_OVER_IPV6)
		take_source(out, 6, addresses, load_be16(addresses + 2 * 16));
	return PROXY_HEADER_OK;
}

enum proxy_header_result
proxy_header_peek(struct view in, struct proxy_header *out)
{
	*out = (struct proxy_header){ 0 };
	if (in.n == 0)
		return PROXY_HEADER_SHORT;
	if (agrees(in, line_start))
		return peek_line(in, out);
	return agrees(in, signature) ? peek_binary(in, out) : PROXY_HEADER_BAD;
}
