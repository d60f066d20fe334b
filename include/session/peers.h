/*
 * session/peers.h - cancel requests that reached the wrong process of a group, passed on to the right one.
 *
 *   requester ─► [any process on the port] ─► a connection of its own ─► the process that the request names ─► cancel.c there
 *
 * The requester is kept until the other process has closed the connection, which it does when the request has arrived at its
 * server: whoever waits for his cancel request waits for the same as without peers.
 */
#ifndef SESSION_PEERS_H
#define SESSION_PEERS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/view.h"
#include "session/proxy.h"

/* A request on `from` that is for no client of ours. True: it goes on, and `from` is closed when that is done. */
bool peers_pass_on(struct client *from, uint32_t pid, struct view key, uint32_t hops);

void peers_forget_client(struct client *c); /* it is being closed; if it is a requester, its request goes on */
void peers_on_second(struct proxy *x);      /* cancel_wait_timeout */
void peers_on_reload(struct proxy *x);
void peers_reap(struct proxy *x);           /* proxy_reap only */
void peers_free_all(struct proxy *x);

struct peer_counts {
	uint32_t waiting, connecting, sent;
};
struct peer_counts peers_counts(const struct proxy *x, int id);
uint32_t peer_pool_size(const struct proxy *x, const struct peer_config *p); /* requests at a time; 0: no limit */

#endif
