/*
 * net/resolve.h - names to addresses without stopping the loop: numbers and Unix paths at once, names by /etc/hosts or
 * the name servers of resolv.conf (net/dns, c-ares), remembered for as long as their records say.
 *
 * A name that is kept in use (resolve_keep) is asked for again by itself; who wants to know of other addresses is told.
 * While no name server can answer, the last good answer is good; a name that certainly is not there has no addresses.
 */
#ifndef NET_RESOLVE_H
#define NET_RESOLVE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "net/loop.h"

enum { RESOLVE_ADDRESSES_MAX = 16 };

/* Addresses in the order to try them: first those that did not fail lately, of both families in turn. */
struct resolved {
	unsigned count;   /* 0: failed, see error */
	unsigned trusted; /* so many at the front did not fail lately */
	struct {
		struct sockaddr_storage address;
		socklen_t bytes;
	} at[RESOLVE_ADDRESSES_MAX];
	const char *error; /* NULL when count > 0; static */
	bool is_partial;   /* there are more than these */
};

struct resolver_settings {
	const char *resolv_conf; /* NULL or "": /etc/resolv.conf */
	uint64_t ttl_max_us;     /* no answer is good for longer, whatever its record says */
	uint64_t failure_ttl_us;
};

struct resolver;
struct resolver *resolver_new(struct loop *loop, const struct resolver_settings *settings);
void resolver_tune(struct resolver *r, const struct resolver_settings *settings); /* at reload: for later answers */
void resolver_free(struct resolver *r);

/* A name had addresses and now has others. Called from the loop, and of the functions here only from resolver_tick(). */
typedef void resolver_change_fn(void *context, const char *host, const struct resolved *now);
void resolver_on_change(struct resolver *r, resolver_change_fn *fn, void *context);

/* Once a second: files that changed, names that are due. */
void resolver_tick(struct resolver *r);

/* The callback may run before the return. A handle that is not NULL may be cancelled until then. */
typedef void resolve_fn(void *context, const struct resolved *answer);
struct resolve_request *resolve_name(struct resolver *r, const char *host, uint16_t port, resolve_fn *fn, void *context);
void resolve_cancel(struct resolve_request *q);

void resolve_keep(struct resolver *r, const char *host); /* still in use: look it up again when it is due */
/* How a connection to one of a name's addresses went. */
void resolve_worked(struct resolver *r, const char *host, const struct sockaddr_storage *address);
void resolve_failed(struct resolver *r, const char *host, const struct sockaddr_storage *address);
/* None of its addresses works: look it up now. False: what is known is fresh, or no name at all. */
bool resolve_distrust(struct resolver *r, const char *host);
/* The same host? Ports do not matter. */
bool resolved_has(const struct resolved *in, const struct sockaddr_storage *address);

/* What is remembered, for people. *at starts as NULL; false at the end. Good until the next turn. */
struct remembered_name {
	const char *host;
	const struct resolved *answer;
	uint64_t good_until_us;
	bool is_asking; /* the answer is out of date or was never there */
};
bool resolver_next(const struct resolver *r, const void **at, struct remembered_name *out);

struct resolver_counters {
	uint64_t lookups;  /* of names, by name server or file */
	uint64_t failures; /* nobody could tell */
	uint64_t absences; /* there is no such name */
	uint64_t changes;  /* other addresses than before */
};
const struct resolver_counters *resolver_counters(const struct resolver *r);
unsigned resolver_asking(const struct resolver *r); /* lookups under way */

/* "/dir": the Unix socket of a server at `port` in it; "@name": abstract. False: too long. */
bool resolve_unix(const char *host, uint16_t port, struct sockaddr_storage *out, socklen_t *bytes);

#endif
