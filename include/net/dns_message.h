/*
 * net/dns_message.h - questions to name servers and what they answer: addresses, and for how long. Pure functions.
 *
 * A name is kept as on the wire, in lower case: length, label, length, label, 0; so that any byte may be in it.
 * Source: RFC 1035 4.1, RFC 3596 (AAAA), RFC 6891 (EDNS), RFC 2308 (names that do not exist).
 */
#ifndef NET_DNS_MESSAGE_H
#define NET_DNS_MESSAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/view.h"

enum {
	DNS_NAME_MAX = 255,
	DNS_QUESTION_MAX = 12 + DNS_NAME_MAX + 4 + 11,
	DNS_ADDRESSES_MAX = 64, /* kept of one answer */
	DNS_UDP_BYTES = 1232,   /* what we say we can take in one datagram: DNS flag day 2020 */
};

enum dns_type { DNS_A = 1, DNS_AAAA = 28 };

struct dns_name {
	uint8_t p[DNS_NAME_MAX];
	uint8_t n; /* with the 0 at its end */
};

enum dns_result {
	DNS_FOUND,     /* at least one address */
	DNS_NO_DATA,   /* the name is there, but has none of this type */
	DNS_NO_NAME,   /* NXDOMAIN */
	DNS_SERVER_FAILED, /* SERVFAIL, REFUSED, cut short without an address, or beyond understanding */
	DNS_SERVER_IS_OLD, /* FORMERR, NOTIMP: ask again without EDNS */
	DNS_NOT_OURS,  /* another question's answer, or nobody's: go on waiting */
};

struct dns_answer {
	unsigned count;
	uint8_t  address[DNS_ADDRESSES_MAX][16]; /* 4 bytes of each are used for an A */
	uint32_t ttl_s;      /* the least of all records that led here; of a negative answer 0 */
	bool     is_partial; /* there are more than these */
};

/* "db.example.org", with or without the dot at its end. False: empty, or too long, or with an empty label. */
bool dns_name_of(struct dns_name *out, const char *text);
/* name and suffix as one. False: too long. */
bool dns_name_join(struct dns_name *out, const struct dns_name *name, const struct dns_name *suffix);

/* Writes DNS_QUESTION_MAX bytes at most; how many. */
size_t dns_question(uint8_t *out, uint16_t id, const struct dns_name *name, enum dns_type type, bool with_edns);

enum dns_result dns_answer_read(struct view packet, uint16_t id, const struct dns_name *name, enum dns_type type,
                                struct dns_answer *out);

#endif
