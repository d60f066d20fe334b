/* net/resolve_set.h - the addresses of a host, in the order to try them; ports do not matter. Internal to net/resolve. */
#ifndef NET_RESOLVE_SET_H
#define NET_RESOLVE_SET_H

#include "base/text.h"
#include "net/resolve.h"

int resolved_index(const struct resolved *in, const struct sockaddr_storage *address); /* -1: it is not there */
bool resolved_is_same(const struct resolved *a, const struct resolved *b); /* in whatever order */
void resolved_add(struct resolved *out, const struct sockaddr_storage *address); /* once; full: is_partial */
void resolved_arrange(struct resolved *answer); /* IPv6 and IPv4 in turn, as they came; where there is no way to, last */
void resolved_text(const struct resolved *of, struct text *out); /* "10.0.0.1, ::1" */

#endif
