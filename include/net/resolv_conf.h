/*
 * net/resolv_conf.h - the two files that say how names are found: resolv.conf and hosts. Pure functions of their text.
 *
 * What is wrong in them is passed over, as libc does.
 * Source: resolv.conf(5), hosts(5) of glibc 2.36; RFC 6761 6.3 for localhost.
 */
#ifndef NET_RESOLV_CONF_H
#define NET_RESOLV_CONF_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/view.h"
#include "net/dns_message.h"

enum { RESOLV_SERVERS_MAX = 6, RESOLV_SEARCH_MAX = 16, HOSTS_ADDRESSES_MAX = 16 };

struct resolv_conf {
	unsigned server_count; /* one at least: 127.0.0.1 where none is named */
	struct sockaddr_storage server[RESOLV_SERVERS_MAX];
	unsigned search_count;
	struct dns_name search[RESOLV_SEARCH_MAX];
	unsigned ndots;        /* a name with so many dots is tried as it is first */
	unsigned timeout_s;    /* 0: not given */
	unsigned attempts;     /* 0: not given */
	bool rotate;
	bool no_aaaa;
};

/* hostname: where there is neither `search` nor `domain`, what is behind its first dot is searched. */
void resolv_conf_read(struct view text, const char *hostname, struct resolv_conf *out);

/* Addresses of `name` (ports are 0), at most HOSTS_ADDRESSES_MAX; how many. */
unsigned hosts_find(struct view text, const char *name, struct sockaddr_storage *out);

/* "127.0.0.1", "::1", "fe80::1%eth0". */
bool address_of_number(const char *text, struct sockaddr_storage *out);

#endif
