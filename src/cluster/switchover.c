/* cluster/switchover.c - the steps of a planned change of leader; see the header. */
#include "cluster/switchover.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/must.h"

#define STAY(state)        { SWITCH_##state, SWITCH_DO_NOTHING, SWITCH_GOES_ON }
#define TO(state, act)     { SWITCH_##state, SWITCH_DO_##act, SWITCH_GOES_ON }
#define OVER(end)          { SWITCH_OVER, SWITCH_DO_RELEASE, SWITCH_##end }

/* What can't come, or changes nothing, stays. */
static const struct switch_step steps[SWITCH_STATES][SWITCH_EVENTS] = {
	[SWITCH_KNOCKING] = {
		[SWITCH_ON_YES] = TO(DRAINING, HOLD),
		[SWITCH_ON_NO] = OVER(SHUT_OUT),
		[SWITCH_ON_SILENCE] = OVER(UNREACHABLE),
		[SWITCH_ON_DRAINED] = STAY(KNOCKING),
		[SWITCH_ON_CAUGHT_UP] = STAY(KNOCKING),
		[SWITCH_ON_LOST] = OVER(LOST),
		[SWITCH_ON_SAME] = STAY(KNOCKING),
		[SWITCH_ON_OTHER] = OVER(DONE),
		[SWITCH_ON_LATE] = OVER(UNREACHABLE),
		[SWITCH_ON_LATE_CUT] = OVER(UNREACHABLE),
		[SWITCH_ON_CANCEL] = OVER(CANCELLED),
		[SWITCH_ON_STOP] = OVER(STOPPED),
	},
	[SWITCH_DRAINING] = {
		[SWITCH_ON_YES] = STAY(DRAINING),
		[SWITCH_ON_NO] = STAY(DRAINING),
		[SWITCH_ON_SILENCE] = STAY(DRAINING),
		[SWITCH_ON_DRAINED] = TO(CATCHING_UP, MEASURE),
		[SWITCH_ON_CAUGHT_UP] = STAY(DRAINING),
		[SWITCH_ON_LOST] = OVER(LOST),
		[SWITCH_ON_SAME] = STAY(DRAINING),
		[SWITCH_ON_OTHER] = OVER(DONE), /* another instance was quicker */
		[SWITCH_ON_LATE] = OVER(BUSY),
		[SWITCH_ON_LATE_CUT] = TO(DRAINING, CUT),
		[SWITCH_ON_CANCEL] = OVER(CANCELLED),
		[SWITCH_ON_STOP] = OVER(STOPPED),
	},
	[SWITCH_CATCHING_UP] = {
		[SWITCH_ON_YES] = STAY(CATCHING_UP),
		[SWITCH_ON_NO] = STAY(CATCHING_UP),
		[SWITCH_ON_SILENCE] = STAY(CATCHING_UP),
		[SWITCH_ON_DRAINED] = STAY(CATCHING_UP),
		[SWITCH_ON_CAUGHT_UP] = TO(ASKING, ASK),
		[SWITCH_ON_LOST] = OVER(LOST),
		[SWITCH_ON_SAME] = STAY(CATCHING_UP),
		[SWITCH_ON_OTHER] = OVER(DONE),
		[SWITCH_ON_LATE] = OVER(BEHIND),
		[SWITCH_ON_LATE_CUT] = OVER(BEHIND), /* what is cut would not make it faster */
		[SWITCH_ON_CANCEL] = OVER(CANCELLED),
		[SWITCH_ON_STOP] = OVER(STOPPED),
	},
	[SWITCH_ASKING] = {
		[SWITCH_ON_YES] = STAY(ACCEPTED),
		[SWITCH_ON_NO] = OVER(REFUSED),
		[SWITCH_ON_SILENCE] = STAY(DOUBTING),
		[SWITCH_ON_DRAINED] = STAY(ASKING),
		[SWITCH_ON_CAUGHT_UP] = STAY(ASKING),
		[SWITCH_ON_LOST] = STAY(LEADERLESS),
		[SWITCH_ON_SAME] = STAY(ASKING),
		[SWITCH_ON_OTHER] = OVER(DONE),
		[SWITCH_ON_LATE] = STAY(DOUBTING),
		[SWITCH_ON_LATE_CUT] = STAY(DOUBTING),
		[SWITCH_ON_CANCEL] = STAY(ASKING), /* who is released now would meet a leader that is about to stop */
		[SWITCH_ON_STOP] = OVER(STOPPED),
	},
	[SWITCH_ACCEPTED] = {
		[SWITCH_ON_YES] = STAY(ACCEPTED),
		[SWITCH_ON_NO] = STAY(ACCEPTED),
		[SWITCH_ON_SILENCE] = STAY(ACCEPTED),
		[SWITCH_ON_DRAINED] = STAY(ACCEPTED),
		[SWITCH_ON_CAUGHT_UP] = STAY(ACCEPTED),
		[SWITCH_ON_LOST] = STAY(LEADERLESS),
		[SWITCH_ON_SAME] = STAY(ACCEPTED), /* as it was seen last */
		[SWITCH_ON_OTHER] = OVER(DONE),
		[SWITCH_ON_LATE] = OVER(NOT_DONE),
		[SWITCH_ON_LATE_CUT] = OVER(NOT_DONE),
		[SWITCH_ON_CANCEL] = STAY(ACCEPTED),
		[SWITCH_ON_STOP] = OVER(STOPPED),
	},
	[SWITCH_DOUBTING] = {
		[SWITCH_ON_YES] = STAY(ACCEPTED),
		[SWITCH_ON_NO] = OVER(REFUSED),
		[SWITCH_ON_SILENCE] = STAY(DOUBTING),
		[SWITCH_ON_DRAINED] = STAY(DOUBTING),
		[SWITCH_ON_CAUGHT_UP] = STAY(DOUBTING),
		[SWITCH_ON_LOST] = STAY(LEADERLESS),
		[SWITCH_ON_SAME] = STAY(DOUBTING),
		[SWITCH_ON_OTHER] = OVER(DONE),
		[SWITCH_ON_LATE] = OVER(NOT_DONE),
		[SWITCH_ON_LATE_CUT] = OVER(NOT_DONE),
		[SWITCH_ON_CANCEL] = STAY(DOUBTING),
		[SWITCH_ON_STOP] = OVER(STOPPED),
	},
	[SWITCH_LEADERLESS] = {
		[SWITCH_ON_YES] = STAY(LEADERLESS),
		[SWITCH_ON_NO] = STAY(LEADERLESS),
		[SWITCH_ON_SILENCE] = STAY(LEADERLESS),
		[SWITCH_ON_DRAINED] = STAY(LEADERLESS),
		[SWITCH_ON_CAUGHT_UP] = STAY(LEADERLESS),
		[SWITCH_ON_LOST] = STAY(LEADERLESS),
		[SWITCH_ON_SAME] = OVER(STAYED),
		[SWITCH_ON_OTHER] = OVER(DONE),
		[SWITCH_ON_LATE] = OVER(NOT_DONE),
		[SWITCH_ON_LATE_CUT] = OVER(NOT_DONE),
		[SWITCH_ON_CANCEL] = STAY(LEADERLESS),
		[SWITCH_ON_STOP] = OVER(STOPPED),
	},
};

struct switch_step
switch_step(enum switch_state state, enum switch_event event)
{
	must(state < SWITCH_OVER && event < SWITCH_EVENTS);
	return steps[state][event];
}

uint64_t
switch_patience_us(enum switch_state state)
{
	static const uint64_t most_us[SWITCH_STATES] = {
		[SWITCH_KNOCKING] = 6 * SECOND_US,
		[SWITCH_DRAINING] = UINT64_MAX, /* the deadline */
		[SWITCH_CATCHING_UP] = UINT64_MAX,
		[SWITCH_ASKING] = 60 * SECOND_US, /* it blocks, 20 s and more */
		[SWITCH_ACCEPTED] = 10 * SECOND_US,
		[SWITCH_DOUBTING] = 5 * SECOND_US,
		[SWITCH_LEADERLESS] = 120 * SECOND_US,
		[SWITCH_OVER] = UINT64_MAX,
	};
	return most_us[state];
}

bool
switch_has_deadline(enum switch_state state)
{
	return state == SWITCH_DRAINING || state == SWITCH_CATCHING_UP;
}

static bool
may_follow(const struct member *m, const char *from, const char *to)
{
	if (strcmp(m->name, from) == 0 || m->no_failover || !m->is_reachable || m->role != MEMBER_REPLICA)
		return false;
	return to[0] == '\0' || strcmp(m->name, to) == 0;
}

bool
switch_is_caught_up(const struct topology *t, const char *from, const char *to, uint64_t lsn, uint64_t after_us)
{
	for (uint16_t i = 0; i < t->count; i++) {
		const struct member *m = &t->member[i];
		if (may_follow(m, from, to) && m->asked_us > after_us && m->lsn >= lsn)
			return true;
	}
	return false;
}

void
switch_body(struct buf *out, const char *leader, const char *candidate)
{
	json_t *body = candidate[0] ? json_pack("{s:s,s:s}", "leader", leader, "candidate", candidate)
	                            : json_pack("{s:s}", "leader", leader);
	char *text = body ? json_dumps(body, JSON_COMPACT) : NULL; /* NULL: a name that is not UTF-8, which Patroni has not */
	if (text)
		buf_add(out, view_of_string(text));
	free(text);
	json_decref(body);
}

static bool
has_words(struct view in, const char *words)
{
	return in.n > 0 && memmem(in.p, in.n, words, strlen(words)) != NULL;
}

enum switch_event
switch_answer(int status, struct view body, bool is_knock)
{
	if (status == 401 || status == 403)
		return SWITCH_ON_NO;
	if (is_knock)
		return status == 400 || status == 412 ? SWITCH_ON_YES : SWITCH_ON_SILENCE;
	if (status == 200)
		return SWITCH_ON_YES;
	/* Another instance may have asked before us, and the lock has moved. */
	if (status == 412 && has_words(body, "leader name does not match"))
		return SWITCH_ON_SILENCE;
	return status >= 400 && status < 500 ? SWITCH_ON_NO : SWITCH_ON_SILENCE;
}

const char *
switch_state_name(enum switch_state state)
{
	static const char *const names[SWITCH_STATES] = {
		[SWITCH_KNOCKING] = "asking Patroni whether it lets us in",
		[SWITCH_DRAINING] = "waiting for transactions to end",
		[SWITCH_CATCHING_UP] = "waiting for the candidate",
		[SWITCH_ASKING] = "Patroni was asked",
		[SWITCH_ACCEPTED] = "Patroni does it",
		[SWITCH_DOUBTING] = "Patroni did not say what it does",
		[SWITCH_LEADERLESS] = "waiting for the new leader",
		[SWITCH_OVER] = "over",
	};
	return names[state];
}

const char *
switch_event_name(enum switch_event event)
{
	static const char *const names[SWITCH_EVENTS] = {
		[SWITCH_ON_YES] = "Patroni says yes",
		[SWITCH_ON_NO] = "Patroni says no",
		[SWITCH_ON_SILENCE] = "Patroni does not say",
		[SWITCH_ON_DRAINED] = "no transaction runs",
		[SWITCH_ON_CAUGHT_UP] = "a candidate has it all",
		[SWITCH_ON_LOST] = "nobody leads",
		[SWITCH_ON_SAME] = "the same leads",
		[SWITCH_ON_OTHER] = "another leads",
		[SWITCH_ON_LATE] = "too late",
		[SWITCH_ON_LATE_CUT] = "too late, CUT",
		[SWITCH_ON_CANCEL] = "canceled",
		[SWITCH_ON_STOP] = "pgsluice stops",
	};
	return names[event];
}

const char *
switch_end_name(enum switch_end end)
{
	static const char *const names[SWITCH_ENDS] = {
		[SWITCH_GOES_ON] = "it goes on",
		[SWITCH_DONE] = "another member leads",
		[SWITCH_SHUT_OUT] = "Patroni does not let us in: see patroni_user and patroni_password",
		[SWITCH_UNREACHABLE] = "Patroni does not answer",
		[SWITCH_BUSY] = "transactions on the leader did not end before the deadline",
		[SWITCH_BEHIND] = "no candidate had replayed everything before the deadline",
		[SWITCH_REFUSED] = "Patroni refused",
		[SWITCH_NOT_DONE] = "Patroni did not do it in time",
		[SWITCH_STAYED] = "the old leader came back",
		[SWITCH_LOST] = "the leader was lost before Patroni was asked",
		[SWITCH_CANCELLED] = "canceled",
		[SWITCH_STOPPED] = "pgsluice stops, or does not follow the cluster any more",
	};
	return names[end];
}
