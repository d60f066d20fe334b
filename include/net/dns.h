/*
 * net/dns.h - asks for the addresses of a name, in /etc/hosts and of the name servers of a resolv.conf, by c-ares,
 * without stopping the loop.
 *
 * c-ares rather than libevent's evdns: that one looks for IPv4 and IPv6 in different domains of the search list, drops
 * answers that are cut short, does not tell the lifetime of aliases, and asks servers that failed for google.com.
 *
 * Both families are asked for at once, for one domain of the search list after the other. What c-ares 1.18 does not do:
 * remember which server failed the last time; try the next domain when the servers fail for one; tell SERVFAIL from no
 * answer; tell a name without addresses from one that has none of one family and whose other question failed
 * (DNS_NO_ADDRESS); say what it has of one family before the question for the other is answered or given up (3 s).
 */
#ifndef NET_DNS_H
#define NET_DNS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "net/loop.h"

enum { DNS_ADDRESSES_MAX = 64 }; /* told of one name */

enum dns_result {
	DNS_FOUND,
	DNS_NO_NAME,    /* certainly */
	DNS_NO_ADDRESS, /* the name is there, but no address was told */
	DNS_FAILED,     /* nobody could tell */
};

struct dns_report {
	enum dns_result result;
	unsigned count;
	struct sockaddr_storage address[DNS_ADDRESSES_MAX]; /* ports are 0 */
	uint32_t ttl_s;    /* the least of all records that led here */
	bool is_from_file; /* /etc/hosts: there is no ttl_s */
	bool is_partial;   /* there are more than these */
	const char *why;   /* of all but FOUND; static */
};

struct dns;
typedef void dns_done_fn(void *context, const struct dns_report *report);

/* Nothing is read or opened before it is needed. */
struct dns *dns_new(struct loop *loop);
void dns_free(struct dns *d); /* open lookups are forgotten */

/* The resolv.conf from now on, read anew; at least once before dns_ask(). Open lookups begin again. */
void dns_configure(struct dns *d, const char *path);

/* `done` is called once, from the loop, never before the return. */
void dns_ask(struct dns *d, const char *name, dns_done_fn *done, void *context);

#endif
