/*
 * net/address.h - socket addresses of both families, filled in by copying: a sockaddr_storage is never looked at as if it
 * were another struct.
 */
#ifndef NET_ADDRESS_H
#define NET_ADDRESS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#include <arpa/inet.h>

/* From 4 bytes (AF_INET) or 16 (AF_INET6). */
static inline void
address_make(struct sockaddr_storage *out, sa_family_t family, const uint8_t *bytes, uint32_t scope, uint16_t port)
{
	memset(out, 0, sizeof(*out));
	if (family == AF_INET) {
		struct sockaddr_in in4 = { .sin_family = AF_INET, .sin_port = htons(port) };
		memcpy(&in4.sin_addr, bytes, sizeof(in4.sin_addr));
		memcpy(out, &in4, sizeof(in4));
	} else {
		struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_scope_id = scope };
		memcpy(&in6.sin6_addr, bytes, sizeof(in6.sin6_addr));
		memcpy(out, &in6, sizeof(in6));
	}
}

static inline bool
address_is_ip(const struct sockaddr_storage *a)
{
	return a->ss_family == AF_INET || a->ss_family == AF_INET6;
}

static inline socklen_t
address_size(const struct sockaddr_storage *a)
{
	return a->ss_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
}

/* Of IP only; both families have it in the same place. */
static inline void
address_set_port(struct sockaddr_storage *a, uint16_t port)
{
	uint16_t be = htons(port);
	if (address_is_ip(a))
		memcpy((char *)a + offsetof(struct sockaddr_in, sin_port), &be, sizeof(be));
}

/* The same host; ports do not matter. */
static inline bool
address_same_host(const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
	if (a->ss_family != b->ss_family || !address_is_ip(a))
		return false;
	bool is_ipv4 = a->ss_family == AF_INET;
	size_t at = is_ipv4 ? offsetof(struct sockaddr_in, sin_addr) : offsetof(struct sockaddr_in6, sin6_addr);
	return memcmp((const char *)a + at, (const char *)b + at, is_ipv4 ? 4 : 16) == 0;
}

#endif
