/*
 * auth/throttle.h - failed logins counted by where they come from, so that nobody can go on guessing. Pure but for its table.
 *
 * Two counts, each within a window that begins with its first failure: of an address (IPv6: of its /64, which one
 * customer has), and of a user name from there. An address may fail `limit` times, one name half as often: a client with
 * an old password locks itself out and not its neighbours behind the same router. Who logs in wipes the failures of that
 * name from there, of nothing else (else whoever has an account could guess on between two logins of his own), and is
 * let in there for a day although others have used up the address's count: many addresses are those of a load balancer.
 *
 * Owns: one table of fixed size, which a flood of addresses can't make grow; where it is full, those that failed least
 * are forgotten. It holds digests with a key of the process, neither addresses nor names.
 */
#ifndef AUTH_THROTTLE_H
#define AUTH_THROTTLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/ip.h"

struct throttle;

struct throttle_rules {
	unsigned limit; /* failures of an address; 0: all may go on guessing */
	uint64_t window_us;
};

struct throttle_verdict {
	bool     is_refused;
	bool     is_news;  /* refused for the first time in this window: worth a line in the log */
	bool     is_user;  /* by the count of this name, not by that of the address */
	uint64_t until_us; /* refused until then */
};

struct throttle *throttle_new(void); /* empty: it takes memory with the first login that is noted */
void             throttle_free(struct throttle *t); /* NULL is fine */

/* May a login be tried? Unix sockets (address of size 0) always. */
struct throttle_verdict throttle_ask(struct throttle *t, const struct throttle_rules *rules,
                                     const struct ip_address *from, const char *user, uint64_t now_us);

void throttle_failed(struct throttle *t, const struct throttle_rules *rules, const struct ip_address *from,
                     const char *user, uint64_t now_us);
void throttle_succeeded(struct throttle *t, const struct throttle_rules *rules, const struct ip_address *from,
                        const char *user, uint64_t now_us);

size_t throttle_room(const struct throttle *t); /* entries it can hold, ever */
size_t throttle_count(const struct throttle *t, uint64_t now_us); /* entries that mean something; for tests */

#endif
