/* base/ip.h - an IP address without anything around it, and ranges of them: for rules, lists and limits. */
#ifndef BASE_IP_H
#define BASE_IP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

/* 4 or 16 bytes; 0: a Unix socket. */
struct ip_address {
	uint8_t size;
	uint8_t bytes[16];
};

/* Those that agree with base where mask has ones; both are of one size. */
struct ip_range {
	struct ip_address base, mask;
};

/* IPv4 within IPv6 is taken as IPv4. Anything but IPv4 and IPv6: a Unix socket. */
struct ip_address ip_address_of(const struct sockaddr *a);

bool ip_address_read(const char *text, struct ip_address *out); /* numbers only; false: it is none */

/* The length of a network, "24", for addresses of `size` bytes; false: it is none, or too long. */
bool ip_bits_read(const char *text, uint8_t size, unsigned *bits);
struct ip_address ip_mask(uint8_t size, unsigned bits);

bool ip_range_has(const struct ip_range *r, const struct ip_address *a);

#endif
