/*
 * net/address.h - socket addresses of both families, read and filled in by copying: a sockaddr_storage is never looked at as if it
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

#include "base/view.h"

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

static inline uint16_t
address_port(const struct sockaddr_storage *a)
{
	uint16_t be;
	memcpy(&be, (const char *)a + offsetof(struct sockaddr_in, sin_port), sizeof(be));
	return ntohs(be);
}

/* The 4 or 16 bytes of an IP. */
static inline struct view
address_bytes(const struct sockaddr_storage *a)
{
	bool is_ipv4 = a->ss_family == AF_INET;
	size_t at = is_ipv4 ? offsetof(struct sockaddr_in, sin_addr) : offsetof(struct sockaddr_in6, sin6_addr);
	return view_of((const char *)a + at, is_ipv4 ? 4 : 16);
}

/* The same host; ports do not matter. */
static inline bool
address_same_host(const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
	if (a->ss_family != b->ss_family || !address_is_ip(a))
		return false;
	struct view bytes = address_bytes(a);
	return memcmp(bytes.p, address_bytes(b).p, bytes.n) == 0;
}

#endif
