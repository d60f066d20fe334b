/*
 * session/switchover.h - carries out the steps of cluster/switchover.h: holds writes, watches transactions end, asks Patroni.
 *
 * One per cluster at a time. It belongs to the cluster's hold, and stays there after it is over, so that who waits for it can
 * read what became of it.
 */
#ifndef SESSION_SWITCHOVER_H
#define SESSION_SWITCHOVER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/text.h"
#include "cluster/switchover.h"
#include "pool/pool.h"

struct proxy;
struct server;
struct switchover;

struct switch_order {
	const char *to;          /* the member that shall lead; "": Patroni chooses */
	uint64_t    deadline_us; /* how long transactions may run, and the candidate be behind */
	bool        is_cutting;  /* at the deadline, cut what still runs instead of giving up */
	uint32_t    by;          /* id of the console's client: it goes away, it is cancelled */
};

/* The cluster that a switchover without a name means: the only one with Patroni. NULL: *why. name "": it was not named. */
struct cluster_load *switchover_cluster(struct proxy *x, const char *name, struct text *why);

/* 0: it can't begin, *why says why. Else its number. */
uint64_t switchover_begin(struct proxy *x, struct cluster_load *load, const struct switch_order *order, struct text *why);

/* What became of it, SWITCH_GOES_ON while it does; text in *out when it is over. One that nobody knows was stopped. */
enum switch_end switchover_result(struct proxy *x, uint64_t number, struct text *out);
void switchover_cancel(struct proxy *x, uint64_t number);
void switchover_on_leave(struct proxy *x, uint32_t by);

/* From hold and settle. */
void switchover_on_topology(struct switchover *s);
void switchover_settle(struct switchover *s);
void switchover_stop(struct switchover *s); /* NULL is fine */
void switchover_free(struct switchover *s); /* likewise */

/* Transactions that run on this member. */
uint32_t switchover_busy(const struct proxy *x, const struct cluster_load *load, uint16_t id);
/* Does it keep the server's member from being left: a transaction, or an answer that is owed? */
bool switchover_is_busy(const struct server *s);
/* A member that could lead next, as far as one can see. */
bool switchover_may_lead(const struct topology *t, const struct member *m);

#endif
