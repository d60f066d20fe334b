/*
 * session/hold.h - a cluster between two leaders: who waits, for how long, and what is told of it afterwards.
 *
 * Writes wait while nobody leads, or while a planned change keeps the leader closed (load->is_closed). That they wait follows
 * from the topology (cluster/route); here it is bounded, measured and written down. Reads are no part of it.
 *
 * A failover is one event: from the loss of a leader to the moment in which the last of those who waited for the next one has
 * a server. A second loss in the middle belongs to the same event.
 */
#ifndef SESSION_HOLD_H
#define SESSION_HOLD_H

#include <stdbool.h>
#include <stdint.h>

#include "pool/pool.h"

struct proxy;
struct client;
struct timer;
struct switchover;

enum { FAILOVERS_KEPT = 64, FAILOVER_SIGN_MAX = 160 };

/* Moments are clock_now_us(); 0: it has not come. */
struct failover {
	uint64_t number;  /* from 1, of all clusters */
	char     cluster[CLUSTER_NAME_MAX];
	char     from[MEMBER_NAME_MAX], to[MEMBER_NAME_MAX];
	uint32_t timeline_from, timeline_to;
	char     sign[FAILOVER_SIGN_MAX]; /* what was noticed first */
	bool     is_planned;  /* by SWITCHOVER or POST /hold */
	uint64_t sign_us;     /* when that was noticed */
	uint64_t hold_us;     /* writes began to wait */
	uint64_t patroni_us;  /* Patroni and every session that knows agree on a leader */
	uint64_t server_us;   /* that leader has itself said, to a session of ours, that it takes writes */
	uint64_t first_us;    /* the first of those who waited has a server */
	uint64_t end_us;
	uint32_t held;        /* clients that waited at one time, at most */
	uint32_t released, refused;
	uint64_t longest_us;  /* the longest wait of one that was released or refused */
	const char *how;      /* static: how it ended; NULL: it has not */
};

struct hold {
	struct proxy *proxy;
	struct cluster_load *load;
	bool is_open;          /* an event is under way: */
	struct failover event;
	uint64_t closed_us;    /* since when load->is_closed */
	uint64_t open_us;      /* since when there is a leader that takes writes; time before it counts for failover_hold_timeout */
	uint64_t ended, released, refused, held_us; /* over all events that have ended */
	struct switchover *switchover; /* the last one; or NULL */
	char led_last[MEMBER_NAME_MAX]; /* who leads, or led before nobody did */
	uint64_t asked_until_us; /* closed because somebody asked for it: until then at most; 0: not so */
	bool asked_is_lost;      /* its leader has gone since */
	bool is_asked_by_schedule;   /* by session/scheduled, nobody else */
	struct timer *schedule_due;  /* of session/scheduled, as the next */
	uint64_t scheduled_us;       /* the moment that was held for last: once is enough */
	char asked_for[MEMBER_NAME_MAX];
};

struct failovers {
	struct failover kept[FAILOVERS_KEPT]; /* a ring: those that have ended */
	uint64_t ended;                       /* how many, ever */
	uint64_t begun;
	uint64_t switchovers;                 /* numbers given away */
};

struct hold *hold_new(struct proxy *x, struct cluster_load *load);
void hold_free(struct hold *h);

/* The cluster has another topology; load->topology is the new one already. */
void hold_on_topology(struct hold *h, const struct topology *old);

/* A planned change begins, and ends: the leader takes nothing new in between. `why` goes where signs go. */
void hold_close(struct hold *h, const char *why);
void hold_reopen(struct hold *h);

/*
 * Somebody outside is about to stop the leader: closed until another one leads, it has gone and come back, hold_release(), or
 * the time is over. Asking again begins the time anew. Beside a SWITCHOVER it changes nothing. `why` goes where signs go.
 *
 * Its Patroni says "stopping" before it tells anybody to hold: who led last may be meant, too, as long as nobody else does.
 */
void hold_ask(struct hold *h, uint64_t ttl_us, const char *why);
void hold_release(struct hold *h);
bool hold_is_led_by(const struct hold *h, const char *member); /* or was, and nobody leads now */
uint32_t hold_busy(const struct hold *h); /* transactions that still run there, and may go on */
void hold_on_second(struct proxy *x);

/* Since when writes to this cluster wait; 0: they do not. */
uint64_t hold_since_us(const struct cluster_load *load);
/* Nobody leads, but it may be a failover, and those who come are still held. */
bool hold_is_patient(const struct cluster_load *load);
uint32_t hold_count(const struct hold *h); /* clients that wait to write */

/* From settle: a waiter gets a server; a pool is planned; the turn ends; a second has passed for this waiting client. */
void hold_on_link(struct hold *h, const struct waiter *w);
void hold_refuse_excess(struct pool *p);
void hold_settle(struct proxy *x);
bool hold_refuse_late(struct client *c, uint64_t limit_us); /* true: it waited too long, and was closed */
uint64_t hold_wait_since_us(const struct client *c); /* from when its query_wait_timeout counts */

#endif
