/* auth/address.h - an IP address without anything around it, for rules and limits. */
#ifndef AUTH_ADDRESS_H
#define AUTH_ADDRESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

/* 4 or 16 bytes; 0: a Unix socket. */
struct ip_address {
	uint8_t size;
	uint8_t bytes[16];
};

/* IPv4 within IPv6 is taken as IPv4. Anything but IPv4 and IPv6: a Unix socket. */
struct ip_address ip_address_of(const struct sockaddr *a);

bool ip_address_read(const char *text, struct ip_address *out); /* numbers only; false: it is none */

#endif
