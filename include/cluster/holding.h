/*
 * cluster/holding.h - a cluster between two leaders, as a table of states and events. Pure.
 *
 *   new ─► steady ◄─► suspected, probing ─► leaderless ─► named ─► releasing ─► steady
 *            ├─► closed, asked ──────────────┴──► (as above)   │  ▲
 *            └─► leaderless, named                             ▼  │
 *                                                            relapsed
 *
 *   new         nobody has led yet since the start, or since the cluster is followed as it is now
 *   steady      there is a leader, and writes go to it
 *   suspected   a session on the leader met what sessions meet when it goes. Nothing new is given to it until Patroni has
 *               answered a question that was asked after that. A false alarm leaves no trace but a count
 *   probing     as suspected, but there is no Patroni that could answer: the first of its own sessions that does has to do
 *   leaderless  nobody leads
 *   closed      SWITCHOVER has closed the leader for new transactions
 *   asked       so has POST /hold, because the leader is about to stop
 *   named       Patroni and all sessions that know agree on a leader (again). None of its own sessions has said since that it takes
 *               writes; the first that does is given to a client
 *   releasing   both witnesses have spoken: those who waited get servers, oldest first
 *   relapsed    as suspected, in the middle of an event
 *
 * An event, as SHOW FAILOVERS has it, lasts from the first step out of steady (a false alarm is none) to the return there.
 * PAUSE is none of it: it concerns what is handed out, not who leads. failover_hold_timeout is each client's own.
 */
#ifndef CLUSTER_HOLDING_H
#define CLUSTER_HOLDING_H

#include <stdbool.h>

enum hold_state {
	HOLD_NEW,
	HOLD_STEADY,
	HOLD_SUSPECTED,
	HOLD_PROBING,
	HOLD_LEADERLESS,
	HOLD_CLOSED,
	HOLD_ASKED,
	HOLD_NAMED,
	HOLD_RELEASING,
	HOLD_RELAPSED,
	HOLD_STATES
};

enum hold_event {
	HOLD_ON_SIGN,      /* a session on the leader broke off, was refused, or was told that it is no leader */
	HOLD_ON_CONFIRMED, /* its Patroni, asked after the last sign, says that it leads */
	HOLD_ON_MUTE,      /* that can't be had: there is none, or it does not answer (in time) */
	HOLD_ON_LOST,      /* nobody leads */
	HOLD_ON_SAME,      /* who led last leads */
	HOLD_ON_OTHER,     /* another member leads */
	HOLD_ON_SERVER,    /* a session on who leads has said, after all signs, that it takes writes */
	HOLD_ON_SERVED,    /* nobody is left of those who waited when the leader was named */
	HOLD_ON_CLOSE,     /* SWITCHOVER begins to hold */
	HOLD_ON_REOPEN,    /* it is over, whichever way it went */
	HOLD_ON_ASK,       /* POST /hold */
	HOLD_ON_RELEASE,   /* POST /release, its time is over, or the process stops */
	HOLD_ON_RELOAD,    /* the cluster is followed in another way from now on */
	HOLD_EVENTS
};

/* What is to be done besides what the next state itself means. */
enum hold_act {
	HOLD_DO_NOTHING,
	HOLD_DO_SUSPECT, /* what is written down begins with this sign, and is thrown away if nothing comes of it */
	HOLD_DO_CALM,    /* it is thrown away */
	HOLD_DO_BEGIN,   /* an event begins, with that sign if there was one */
	HOLD_DO_PLAN,    /* it is a planned one */
	HOLD_DO_END      /* it is over, and told of */
};

struct hold_step {
	enum hold_state next;
	enum hold_act   act;
};

struct hold_step hold_step(enum hold_state state, enum hold_event event);

/* What a state means. */
struct hold_meaning {
	const char *name;
	bool is_closed;  /* there may be a leader, but it is given nothing new */
	bool is_holding; /* who wants to write waits, and failover_hold_timeout counts */
	bool is_event;   /* something goes on that will be told of */
};

const struct hold_meaning *hold_meaning(enum hold_state state);
const char *hold_event_name(enum hold_event event); /* a clause for people */
const char *hold_act_name(enum hold_act act);       /* the same; "" for nothing */

#endif
