/*
 * config/addresses.h - comma lists of addresses: 10.0.0.5, 10.1.0.0/16, fd00::/8, and `unix` for the Unix sockets.
 *
 * Such a list is walked where it is asked, which is once for a connection; what it holds was judged when it was read.
 */
#ifndef CONFIG_ADDRESSES_H
#define CONFIG_ADDRESSES_H

#include <stdbool.h>
#include <sys/socket.h>

#include "base/view.h"

/* NULL: this can be an item of such a list. Else what is wrong with it: "is not an address". */
const char *address_item_wrong(struct view item);

/* Is the address in one of the items? IPv4 within IPv6 is IPv4; what is neither is a Unix socket. */
bool addresses_have(const char *list, const struct sockaddr *a);

#endif
