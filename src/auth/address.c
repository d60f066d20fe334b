/* auth/address.c - see the header. */
#include "auth/address.h"

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
