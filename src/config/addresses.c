/* config/addresses.c - see the header. */
#include "config/addresses.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include "config/config.h"

enum { TEXT_MAX = 64 };

struct address {
	uint8_t  bytes[16];
	unsigned size; /* 4, 16; 0: a Unix socket */
};

struct range {
	struct address base;
	unsigned       bits; /* of it that count */
};

static struct address
address_of(const struct sockaddr *a)
{
	struct address out = { .size = 0 };
	if (a->sa_family == AF_INET) {
		out.size = 4;
		memcpy(out.bytes, &((const struct sockaddr_in *)(const void *)a)->sin_addr, 4);
	} else if (a->sa_family == AF_INET6) {
		const struct in6_addr *in6 = &((const struct sockaddr_in6 *)(const void *)a)->sin6_addr;
		bool is_mapped = IN6_IS_ADDR_V4MAPPED(in6);
		out.size = is_mapped ? 4 : 16;
		memcpy(out.bytes, in6->s6_addr + (is_mapped ? 12 : 0), out.size);
	}
	return out;
}

static bool
read_bits(const char *text, unsigned most, unsigned *bits)
{
	*bits = 0;
	for (const char *c = text; *c; c++) {
		if (*c < '0' || *c > '9' || c - text >= 3)
			return false;
		*bits = *bits * 10 + (unsigned)(*c - '0');
	}
	return *text && *bits <= most;
}

/* The first `bits` bits of both are the same. */
static bool
agree(const uint8_t *a, const uint8_t *b, unsigned bits)
{
	unsigned whole = bits / 8, left = bits % 8;
	uint8_t mask = (uint8_t)(0xff00 >> left);
	return memcmp(a, b, whole) == 0 && (left == 0 || ((a[whole] ^ b[whole]) & mask) == 0);
}

/* NULL: it is a range. Else what is wrong. */
static const char *
read_range(struct view item, struct range *out)
{
	char text[TEXT_MAX];
	static const uint8_t zeroes[16];
	*out = (struct range){ 0 };
	if (view_is(item, "unix"))
		return NULL;
	if (item.n >= sizeof(text) || memchr(item.p, 0, item.n))
		return "is not an address";
	memcpy(text, item.p, item.n);
	text[item.n] = '\0';
	char *slash = strchr(text, '/');
	if (slash)
		*slash++ = '\0';
	if (inet_pton(AF_INET, text, out->base.bytes) == 1)
		out->base.size = 4;
	else if (inet_pton(AF_INET6, text, out->base.bytes) == 1)
		out->base.size = 16;
	else
		return "is not an address";
	out->bits = out->base.size * 8;
	if (slash && !read_bits(slash, out->base.size * 8, &out->bits))
		return "has no number of bits behind its slash that fits";
	uint8_t rest[16];
	memcpy(rest, out->base.bytes, sizeof(rest));
	for (unsigned bit = 0; bit < out->bits; bit++)
		rest[bit / 8] &= (uint8_t)~(0x80 >> bit % 8);
	if (memcmp(rest, zeroes, out->base.size) != 0)
		return "has bits set beyond those that count";
	return NULL;
}

const char *
address_item_wrong(struct view item)
{
	struct range range;
	return read_range(item, &range);
}

bool
addresses_have(const char *list, const struct sockaddr *a)
{
	struct address address = address_of(a);
	struct range range;
	for (struct view item; config_list_next(&list, &item);)
		if (read_range(item, &range) == NULL && range.base.size == address.size &&
		    agree(range.base.bytes, address.bytes, range.bits))
			return true;
	return false;
}
