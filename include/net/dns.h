/*
 * net/dns.h - asks the name servers of resolv.conf for the addresses of a name, by UDP, without stopping the loop.
 *
 * As libc's resolver does, with the search list and ndots, but both families at once for one name of the list: what
 * comes back are the addresses of one host. libevent's own DNS client is not used: it looks for IPv4 and IPv6 in different
 * domains of the list, drops answers that are cut short, does not see the lifetime of aliases, and asks servers that
 * failed for google.com.
 */
#ifndef NET_DNS_H
#define NET_DNS_H

#include <stdbool.h>
#include <stdint.h>

#include "net/dns_message.h"
#include "net/loop.h"
#include "net/resolv_conf.h"

enum { DNS_FAMILIES = 2 }; /* IPv4, IPv6 */

struct dns_report {
	enum { DNS_LOOKUP_FOUND, DNS_LOOKUP_NONE, DNS_LOOKUP_FAILED } how; /* NONE: sure. FAILED: nobody could tell */
	struct dns_answer answer[DNS_FAMILIES];
	bool is_unknown[DNS_FAMILIES]; /* FOUND, but nobody could tell about this family */
	const char *why;               /* of NONE and FAILED; static */
};

struct dns;
struct dns_lookup;
typedef void dns_done_fn(void *context, const struct dns_report *report);

struct dns *dns_new(struct loop *loop);
void dns_free(struct dns *d); /* open lookups are forgotten */
void dns_configure(struct dns *d, const struct resolv_conf *conf); /* open lookups begin again */

/* NULL: that is no name. `done` is never called before the return, nor after dns_cancel(). */
struct dns_lookup *dns_ask(struct dns *d, const char *name, dns_done_fn *done, void *context);
void dns_cancel(struct dns_lookup *q);

#endif
