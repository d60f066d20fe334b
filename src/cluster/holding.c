/* cluster/holding.c - a cluster between two leaders, as a table; see the header. */
#include "cluster/holding.h"

#include "base/must.h"

#define STAY(state)    { HOLD_##state, HOLD_DO_NOTHING }
#define TO(state)      { HOLD_##state, HOLD_DO_NOTHING }
#define DO(act, state) { HOLD_##state, HOLD_DO_##act }

/* What can't come, or changes nothing, stays. */
static const struct hold_step steps[HOLD_STATES][HOLD_EVENTS] = {
	[HOLD_NEW] = {
		[HOLD_ON_SIGN] = STAY(NEW),
		[HOLD_ON_CONFIRMED] = STAY(NEW),
		[HOLD_ON_MUTE] = STAY(NEW),
		[HOLD_ON_LOST] = STAY(NEW),
		[HOLD_ON_SAME] = TO(STEADY), /* to be found is no change */
		[HOLD_ON_OTHER] = TO(STEADY),
		[HOLD_ON_SERVER] = STAY(NEW),
		[HOLD_ON_SERVED] = STAY(NEW),
		[HOLD_ON_CLOSE] = STAY(NEW),
		[HOLD_ON_REOPEN] = STAY(NEW),
		[HOLD_ON_ASK] = STAY(NEW),
		[HOLD_ON_RELEASE] = STAY(NEW),
		[HOLD_ON_RELOAD] = STAY(NEW),
	},
	[HOLD_STEADY] = {
		[HOLD_ON_SIGN] = DO(SUSPECT, SUSPECTED),
		[HOLD_ON_CONFIRMED] = STAY(STEADY),
		[HOLD_ON_MUTE] = STAY(STEADY),
		[HOLD_ON_LOST] = DO(BEGIN, LEADERLESS),
		[HOLD_ON_SAME] = STAY(STEADY),
		[HOLD_ON_OTHER] = DO(BEGIN, NAMED),
		[HOLD_ON_SERVER] = STAY(STEADY),
		[HOLD_ON_SERVED] = STAY(STEADY),
		[HOLD_ON_CLOSE] = DO(PLAN, CLOSED),
		[HOLD_ON_REOPEN] = STAY(STEADY),
		[HOLD_ON_ASK] = DO(PLAN, ASKED),
		[HOLD_ON_RELEASE] = STAY(STEADY),
		[HOLD_ON_RELOAD] = TO(NEW),
	},
	[HOLD_SUSPECTED] = {
		[HOLD_ON_SIGN] = STAY(SUSPECTED),
		[HOLD_ON_CONFIRMED] = DO(CALM, STEADY),
		[HOLD_ON_MUTE] = TO(PROBING),
		[HOLD_ON_LOST] = DO(BEGIN, LEADERLESS),
		[HOLD_ON_SAME] = STAY(SUSPECTED), /* by what was asked before */
		[HOLD_ON_OTHER] = DO(BEGIN, NAMED),
		[HOLD_ON_SERVER] = STAY(SUSPECTED), /* the one witness; it is the other that is waited for */
		[HOLD_ON_SERVED] = STAY(SUSPECTED),
		[HOLD_ON_CLOSE] = DO(PLAN, CLOSED),
		[HOLD_ON_REOPEN] = STAY(SUSPECTED),
		[HOLD_ON_ASK] = DO(PLAN, ASKED),
		[HOLD_ON_RELEASE] = STAY(SUSPECTED),
		[HOLD_ON_RELOAD] = DO(CALM, NEW),
	},
	[HOLD_PROBING] = {
		[HOLD_ON_SIGN] = STAY(PROBING),
		[HOLD_ON_CONFIRMED] = DO(CALM, STEADY),
		[HOLD_ON_MUTE] = STAY(PROBING),
		[HOLD_ON_LOST] = DO(BEGIN, LEADERLESS),
		[HOLD_ON_SAME] = STAY(PROBING),
		[HOLD_ON_OTHER] = DO(BEGIN, NAMED),
		[HOLD_ON_SERVER] = DO(CALM, STEADY),
		[HOLD_ON_SERVED] = STAY(PROBING), /* who comes next will know */
		[HOLD_ON_CLOSE] = DO(PLAN, CLOSED),
		[HOLD_ON_REOPEN] = STAY(PROBING),
		[HOLD_ON_ASK] = DO(PLAN, ASKED),
		[HOLD_ON_RELEASE] = STAY(PROBING),
		[HOLD_ON_RELOAD] = DO(CALM, NEW),
	},
	[HOLD_LEADERLESS] = {
		[HOLD_ON_SIGN] = STAY(LEADERLESS),
		[HOLD_ON_CONFIRMED] = STAY(LEADERLESS),
		[HOLD_ON_MUTE] = STAY(LEADERLESS),
		[HOLD_ON_LOST] = STAY(LEADERLESS),
		[HOLD_ON_SAME] = TO(NAMED),
		[HOLD_ON_OTHER] = TO(NAMED),
		[HOLD_ON_SERVER] = STAY(LEADERLESS), /* a server that takes writes is no leader before Patroni says so */
		[HOLD_ON_SERVED] = STAY(LEADERLESS),
		[HOLD_ON_CLOSE] = STAY(LEADERLESS),
		[HOLD_ON_REOPEN] = STAY(LEADERLESS),
		[HOLD_ON_ASK] = DO(PLAN, LEADERLESS), /* it was said a little late */
		[HOLD_ON_RELEASE] = STAY(LEADERLESS),
		[HOLD_ON_RELOAD] = DO(END, NEW),
	},
	[HOLD_CLOSED] = {
		[HOLD_ON_SIGN] = STAY(CLOSED),
		[HOLD_ON_CONFIRMED] = STAY(CLOSED),
		[HOLD_ON_MUTE] = STAY(CLOSED),
		[HOLD_ON_LOST] = TO(LEADERLESS),
		[HOLD_ON_SAME] = STAY(CLOSED),
		[HOLD_ON_OTHER] = TO(NAMED), /* what it was closed for */
		[HOLD_ON_SERVER] = STAY(CLOSED),
		[HOLD_ON_SERVED] = STAY(CLOSED),
		[HOLD_ON_CLOSE] = STAY(CLOSED),
		[HOLD_ON_REOPEN] = TO(RELEASING),
		[HOLD_ON_ASK] = STAY(CLOSED), /* SWITCHOVER knows when it is over */
		[HOLD_ON_RELEASE] = STAY(CLOSED),
		[HOLD_ON_RELOAD] = DO(END, NEW),
	},
	[HOLD_ASKED] = {
		[HOLD_ON_SIGN] = STAY(ASKED),
		[HOLD_ON_CONFIRMED] = STAY(ASKED),
		[HOLD_ON_MUTE] = STAY(ASKED),
		[HOLD_ON_LOST] = TO(LEADERLESS), /* it has stopped, as was said: whoever leads next may be written to */
		[HOLD_ON_SAME] = STAY(ASKED),
		[HOLD_ON_OTHER] = TO(NAMED),
		[HOLD_ON_SERVER] = STAY(ASKED),
		[HOLD_ON_SERVED] = STAY(ASKED),
		[HOLD_ON_CLOSE] = TO(CLOSED),
		[HOLD_ON_REOPEN] = STAY(ASKED),
		[HOLD_ON_ASK] = STAY(ASKED), /* its time begins anew */
		[HOLD_ON_RELEASE] = TO(RELEASING),
		[HOLD_ON_RELOAD] = DO(END, NEW),
	},
	[HOLD_NAMED] = {
		[HOLD_ON_SIGN] = TO(RELAPSED),
		[HOLD_ON_CONFIRMED] = STAY(NAMED),
		[HOLD_ON_MUTE] = STAY(NAMED),
		[HOLD_ON_LOST] = TO(LEADERLESS), /* a second loss in the middle is the same event */
		[HOLD_ON_SAME] = STAY(NAMED),
		[HOLD_ON_OTHER] = TO(NAMED),
		[HOLD_ON_SERVER] = TO(RELEASING),
		[HOLD_ON_SERVED] = DO(END, STEADY), /* nobody waits for it to say so */
		[HOLD_ON_CLOSE] = TO(CLOSED),
		[HOLD_ON_REOPEN] = STAY(NAMED),
		[HOLD_ON_ASK] = TO(ASKED),
		[HOLD_ON_RELEASE] = STAY(NAMED),
		[HOLD_ON_RELOAD] = DO(END, NEW),
	},
	[HOLD_RELEASING] = {
		[HOLD_ON_SIGN] = TO(RELAPSED),
		[HOLD_ON_CONFIRMED] = STAY(RELEASING),
		[HOLD_ON_MUTE] = STAY(RELEASING),
		[HOLD_ON_LOST] = TO(LEADERLESS),
		[HOLD_ON_SAME] = STAY(RELEASING),
		[HOLD_ON_OTHER] = TO(NAMED),
		[HOLD_ON_SERVER] = STAY(RELEASING),
		[HOLD_ON_SERVED] = DO(END, STEADY),
		[HOLD_ON_CLOSE] = TO(CLOSED),
		[HOLD_ON_REOPEN] = STAY(RELEASING),
		[HOLD_ON_ASK] = TO(ASKED),
		[HOLD_ON_RELEASE] = STAY(RELEASING),
		[HOLD_ON_RELOAD] = DO(END, NEW),
	},
	[HOLD_RELAPSED] = {
		[HOLD_ON_SIGN] = STAY(RELAPSED),
		[HOLD_ON_CONFIRMED] = TO(NAMED),
		[HOLD_ON_MUTE] = TO(NAMED),
		[HOLD_ON_LOST] = TO(LEADERLESS),
		[HOLD_ON_SAME] = STAY(RELAPSED),
		[HOLD_ON_OTHER] = TO(NAMED),
		[HOLD_ON_SERVER] = STAY(RELAPSED),
		[HOLD_ON_SERVED] = STAY(RELAPSED),
		[HOLD_ON_CLOSE] = TO(CLOSED),
		[HOLD_ON_REOPEN] = STAY(RELAPSED),
		[HOLD_ON_ASK] = TO(ASKED),
		[HOLD_ON_RELEASE] = STAY(RELAPSED),
		[HOLD_ON_RELOAD] = DO(END, NEW),
	},
};

struct hold_step
hold_step(enum hold_state state, enum hold_event event)
{
	must(state < HOLD_STATES && event < HOLD_EVENTS);
	return steps[state][event];
}

const struct hold_meaning *
hold_meaning(enum hold_state state)
{
	static const struct hold_meaning meanings[HOLD_STATES] = {
		/*                    name          closed holding event */
		[HOLD_NEW] =        { "new",        false, true,  false },
		[HOLD_STEADY] =     { "steady",     false, false, false },
		[HOLD_SUSPECTED] =  { "suspected",  true,  true,  false },
		[HOLD_PROBING] =    { "probing",    false, true,  false },
		[HOLD_LEADERLESS] = { "leaderless", false, true,  true },
		[HOLD_CLOSED] =     { "closed",     true,  true,  true },
		[HOLD_ASKED] =      { "asked",      true,  true,  true },
		[HOLD_NAMED] =      { "named",      false, true,  true },
		[HOLD_RELEASING] =  { "releasing",  false, false, true },
		[HOLD_RELAPSED] =   { "relapsed",   true,  true,  true },
	};
	must(state < HOLD_STATES);
	return &meanings[state];
}

const char *
hold_event_name(enum hold_event event)
{
	static const char *const names[HOLD_EVENTS] = {
		[HOLD_ON_SIGN] = "a session's sign",
		[HOLD_ON_CONFIRMED] = "Patroni confirms",
		[HOLD_ON_MUTE] = "Patroni can't",
		[HOLD_ON_LOST] = "nobody leads",
		[HOLD_ON_SAME] = "the same leads",
		[HOLD_ON_OTHER] = "another leads",
		[HOLD_ON_SERVER] = "a server says so",
		[HOLD_ON_SERVED] = "all are served",
		[HOLD_ON_CLOSE] = "SWITCHOVER",
		[HOLD_ON_REOPEN] = "SWITCHOVER is over",
		[HOLD_ON_ASK] = "POST /hold",
		[HOLD_ON_RELEASE] = "released",
		[HOLD_ON_RELOAD] = "RELOAD",
	};
	must(event < HOLD_EVENTS);
	return names[event];
}

const char *
hold_act_name(enum hold_act act)
{
	static const char *const names[] = {
		[HOLD_DO_NOTHING] = "",
		[HOLD_DO_SUSPECT] = "suspect",
		[HOLD_DO_CALM] = "false alarm",
		[HOLD_DO_BEGIN] = "an event begins",
		[HOLD_DO_PLAN] = "a planned event",
		[HOLD_DO_END] = "it is over",
	};
	return names[act];
}
