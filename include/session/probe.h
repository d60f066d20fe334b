/*
 * session/probe.h - is a host that says nothing still there? A frozen or cut-off server sends no reset and no end of stream.
 *
 * Where a server owes an answer for server_dead_timeout and its member's Patroni does not answer either (without Patroni: where
 * it merely owes), a new connection is opened and asked the shortest question there is, SSLRequest. No answer within the same
 * time: the member is reported, which takes the lead from it, and connections that owe an answer or lie idle are given up. What a
 * leader owes is waited for until another one leads, or failover_hold_timeout is over. With a replica that Patroni names patience
 * ends after a third of it, twice.
 */
#ifndef SESSION_PROBE_H
#define SESSION_PROBE_H

struct proxy;

void probe_on_second(struct proxy *x);
void probe_look(struct proxy *x); /* what is known of members has changed */
void probe_reap(struct proxy *x);
void probe_free_all(struct proxy *x);

#endif
