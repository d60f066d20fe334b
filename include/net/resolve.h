/*
 * net/resolve.h - names to addresses without stopping the loop: numbers and Unix paths at once, names by libevent's DNS
 * client (which reads /etc/hosts and resolv.conf), remembered for a while.
 */
#ifndef NET_RESOLVE_H
#define NET_RESOLVE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "net/loop.h"

enum { RESOLVE_ADDRESSES_MAX = 8 };

struct resolved {
	unsigned count; /* 0: failed, see error */
	struct {
		struct sockaddr_storage address;
		socklen_t bytes;
	} at[RESOLVE_ADDRESSES_MAX];
	const char *error; /* NULL when count > 0 */
};

struct resolver;
struct resolver *resolver_new(struct loop *loop, uint64_t ttl_us, uint64_t failure_ttl_us);
void resolver_tune(struct resolver *r, uint64_t ttl_us, uint64_t failure_ttl_us); /* at reload: for later answers */
void resolver_free(struct resolver *r);

/* The callback may run before the return. A handle that is not NULL may be cancelled until then. */
typedef void resolve_fn(void *context, const struct resolved *answer);
struct resolve_request *resolve_name(struct resolver *r, const char *host, uint16_t port, resolve_fn *fn, void *context);
void resolve_cancel(struct resolve_request *q);

/* What is remembered, for people. *at starts as NULL; false at the end. Good until the next turn. */
struct remembered_name {
	const char *host;
	const struct resolved *answer;
	uint64_t good_until_us;
	bool is_asking; /* the answer is out of date or was never there */
};
bool resolver_next(const struct resolver *r, const void **at, struct remembered_name *out);

/* "/dir": the Unix socket of a server at `port` in it; "@name": abstract. False: too long. */
bool resolve_unix(const char *host, uint16_t port, struct sockaddr_storage *out, socklen_t *bytes);

#endif
