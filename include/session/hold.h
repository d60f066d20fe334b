/*
 * session/hold.h - a cluster between two leaders: who waits, for how long, and what is told of it afterwards.
 *
 * Carries out the steps of cluster/holding.h. Writes wait while nobody leads (cluster/route), and while the leader is closed
 * (load->is_closed): for a planned change, or because it is suspected. Reads are no part of it.
 *
 * A failover is one event: from the first sign to the moment in which the last of those who waited for the next leader has a
 * server. A second loss in the middle belongs to the same event.
 *
 * Suspicion. What one session meets (57P01, the end of its stream) may be the first sign of a failover, or a single backend that
 * was terminated; nothing but another question tells. So the leader is closed until its Patroni has answered once more, about as
 * long as a poll takes; and whatever Patroni says, each session that was open then is asked by a bare Sync before it is given to
 * anybody (load->doubt): sent to a server that is about to go, a statement would be of unknown outcome. Where Patroni does not
 * answer in time, or there is none, the second question alone decides. False alarms may close a leader for a hundredth of the time at
 * most: after one, single sessions that break off are no reason for a while, and only the second question remains. What tells
 * of more than one session (a refused login, recovery) is a reason at any time.
 */
#ifndef SESSION_HOLD_H
#define SESSION_HOLD_H

#include <stdbool.h>
#include <stdint.h>

#include "cluster/holding.h"
#include "cluster/judge.h"
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
	char tag[CLUSTER_NAME_MAX + 16]; /* of log lines */
	enum hold_state state;
	struct failover event; /* that goes on, or may; else the last one */
	uint64_t since_us;     /* of the state */
	uint64_t held_us;      /* since when writes wait; 0: they do not */
	uint64_t open_us;      /* since when they do not, as far as query_wait_timeout is concerned */
	uint64_t calm_us;      /* the last false alarm; from then on, single sessions are not heard */
	uint64_t quiet_until_us; /* until here */
	struct failover calmed;  /* what would have been told of it */
	char     led_last[MEMBER_NAME_MAX]; /* who leads, or led before nobody did */
	uint64_t asked_until_us;            /* of HOLD_ASKED */
	struct switchover *switchover;      /* the last one; or NULL */
	bool is_asked_by_schedule;          /* HOLD_ASKED by session/scheduled, nobody else */
	struct timer *schedule_due;         /* of session/scheduled, as the next */
	uint64_t scheduled_us;              /* the moment that was held for last: once is enough */
	/* Over all that are over: */
	uint64_t ended, released, refused, all_held_us;
	uint64_t false_alarms, false_alarms_us;
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

/* A session on this member was told this, or met it: noted by the cluster, and perhaps the first sign. */
void hold_report(struct cluster_load *load, uint16_t member_id, enum session_says says);

/* An event that SHOW FAILOVERS tells of goes on. */
bool hold_is_open(const struct hold *h);
/* The leader is about to change: SWITCHOVER or POST /hold keeps it closed. */
bool hold_is_planned(const struct hold *h);

/* The one door: what the table says for this event is done. */
void hold_happens(struct hold *h, enum hold_event event, const char *why);

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
void hold_look(struct proxy *x);   /* as the turn begins to be settled: has Patroni answered? */
void hold_settle(struct proxy *x);
bool hold_refuse_late(struct client *c, uint64_t limit_us); /* true: it waited too long, and was closed */
uint64_t hold_wait_since_us(const struct client *c); /* from when its query_wait_timeout counts */

#endif
