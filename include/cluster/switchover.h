/*
 * cluster/switchover.h - the steps of a planned change of leader, as a table of states and events. Pure.
 *
 *   knocking ─► draining ─► catching up ─► asking ─┬─► accepted ──┬─► leaderless ─► over: another member leads
 *                                                  ├─► doubting ──┘
 *                                                  └─► over: Patroni refuses
 *
 *   knocking     does Patroni let us in at all? Nobody is held yet
 *   draining     clients that want to write are held; transactions on the leader may end
 *   catching up  until a candidate has replayed all that they wrote
 *   asking       POST /switchover is under way. From here on there is no way back but Patroni's own
 *   accepted     it said yes: the lock has moved, or is about to
 *   doubting     it did not say what it does: look what becomes of the leader
 *   leaderless   the old leader has gone; failover_hold_timeout bounds the wait of each client
 *
 * Being over undoes the hold, whichever way it went.
 * Source: Patroni 3.0.2 and 4.1.4, "Patroni REST API", POST /switchover.
 */
#ifndef CLUSTER_SWITCHOVER_H
#define CLUSTER_SWITCHOVER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/view.h"
#include "cluster/topology.h"

enum switch_state {
	SWITCH_KNOCKING,
	SWITCH_DRAINING,
	SWITCH_CATCHING_UP,
	SWITCH_ASKING,
	SWITCH_ACCEPTED,
	SWITCH_DOUBTING,
	SWITCH_LEADERLESS,
	SWITCH_OVER,
	SWITCH_STATES
};

enum switch_event {
	SWITCH_ON_YES,       /* Patroni's answer to what was asked last */
	SWITCH_ON_NO,
	SWITCH_ON_SILENCE,   /* none, or one that leaves open what it does */
	SWITCH_ON_DRAINED,   /* no transaction runs on the leader any more */
	SWITCH_ON_CAUGHT_UP,
	SWITCH_ON_LOST,      /* nobody leads */
	SWITCH_ON_SAME,      /* the old leader leads, as both witnesses say */
	SWITCH_ON_OTHER,     /* another member leads */
	SWITCH_ON_LATE,      /* the deadline, or the time that this state may take */
	SWITCH_ON_LATE_CUT,  /* the deadline, and what still runs is to be cut */
	SWITCH_ON_CANCEL,    /* who asked for it does not want it any more */
	SWITCH_ON_STOP,      /* the process stops, or the cluster is not followed any more */
	SWITCH_EVENTS
};

enum switch_act {
	SWITCH_DO_NOTHING,
	SWITCH_DO_HOLD,      /* close the leader for new transactions */
	SWITCH_DO_MEASURE,   /* the leader's position from now on is what a candidate has to reach */
	SWITCH_DO_ASK,       /* POST /switchover */
	SWITCH_DO_CUT,       /* close what runs on the leader */
	SWITCH_DO_RELEASE
};

enum switch_end {
	SWITCH_GOES_ON,
	SWITCH_DONE,         /* another member leads */
	SWITCH_SHUT_OUT,     /* Patroni does not let us in */
	SWITCH_UNREACHABLE,  /* Patroni does not answer */
	SWITCH_BUSY,         /* transactions did not end in time */
	SWITCH_BEHIND,       /* no candidate caught up in time */
	SWITCH_REFUSED,      /* Patroni says no */
	SWITCH_NOT_DONE,     /* it did not happen in time */
	SWITCH_STAYED,       /* the leader went and came back */
	SWITCH_LOST,         /* the leader was lost before Patroni was asked */
	SWITCH_CANCELLED,
	SWITCH_STOPPED,
	SWITCH_ENDS
};

struct switch_step {
	enum switch_state next;
	enum switch_act   act;
	enum switch_end   end; /* with SWITCH_OVER */
};

struct switch_step switch_step(enum switch_state state, enum switch_event event);

/* How long a state may last, besides the deadline of those before asking. */
uint64_t switch_patience_us(enum switch_state state);
bool switch_has_deadline(enum switch_state state); /* the deadline counts, and there is a way back */

/* Has a candidate (`to`; "": any) replayed up to `lsn`, by what was asked for after after_us? */
bool switch_is_caught_up(const struct topology *t, const char *from, const char *to, uint64_t lsn, uint64_t after_us);

/* The body of POST /switchover; candidate "": Patroni chooses. */
void switch_body(struct buf *out, const char *leader, const char *candidate);
/* What an answer to it means: ON_YES, ON_NO or ON_SILENCE. is_knock: to an empty request, which Patroni refuses to whom it lets in. */
enum switch_event switch_answer(int status, struct view body, bool is_knock);

const char *switch_state_name(enum switch_state state);
const char *switch_event_name(enum switch_event event);
const char *switch_end_name(enum switch_end end); /* a clause for people */

#endif
