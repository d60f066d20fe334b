/* base/ip.c - see the header. */
#include "base/ip.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

struct ip_address
ip_address_of(const struct sockaddr *a)
{
	struct ip_address out = { 0 };
	if (a->sa_family == AF_INET) {
		out.size = 4;
		memcpy(out.bytes, &((const struct sockaddr_in *)(const void *)a)->sin_addr, 4);
	} else if (a->sa_family == AF_INET6) {
		const struct in6_addr *in = &((const struct sockaddr_in6 *)(const void *)a)->sin6_addr;
		bool is_mapped = IN6_IS_ADDR_V4MAPPED(in);
		out.size = is_mapped ? 4 : 16;
		memcpy(out.bytes, in->s6_addr + (is_mapped ? 12 : 0), out.size);
	}
	return out;
}

bool
ip_address_read(const char *text, struct ip_address *out)
{
	*out = (struct ip_address){ 0 };
	if (inet_pton(AF_INET, text, out->bytes) == 1)
		out->size = 4;
	else if (inet_pton(AF_INET6, text, out->bytes) == 1)
		out->size = 16;
	return out->size > 0;
}

bool
ip_bits_read(const char *text, uint8_t size, unsigned *bits)
{
	*bits = 0;
	for (const char *c = text; *c; c++) {
		if (*c < '0' || *c > '9' || c - text >= 3)
			return false;
		*bits = *bits * 10 + (unsigned)(*c - '0');
	}
	return *text != '\0' && *bits <= 8u * size;
}

struct ip_address
ip_mask(uint8_t size, unsigned bits)
{
	struct ip_address m = { .size = size };
	for (unsigned i = 0; i < size; i++, bits -= bits < 8 ? bits : 8)
		m.bytes[i] = (uint8_t)(0xff00 >> (bits < 8 ? bits : 8));
	return m;
}

bool
ip_range_has(const struct ip_range *r, const struct ip_address *a)
{
	if (a->size != r->base.size)
		return false;
	for (unsigned i = 0; i < a->size; i++)
		if ((a->bytes[i] ^ r->base.bytes[i]) & r->mask.bytes[i])
			return false;
	return true;
}
