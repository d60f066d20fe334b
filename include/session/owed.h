/*
 * session/owed.h - what a server still owes: one entry per message sent to it that will be answered, in order.
 *
 * This queue guards the first invariant of the program: an answer goes to whom its entry names, and to nobody else. An answer
 * that has no entry is out of turn, and the connection that sent it is not used again. Entries also carry what has to be
 * undone when the server refuses: after an error it ignores everything up to the next Sync, and so do we.
 * Source: PostgreSQL 16, 55.2.3 Extended Query, 55.2.4 Pipelining.
 */
#ifndef SESSION_OWED_H
#define SESSION_OWED_H

#include <stdbool.h>
#include <stdint.h>

struct named;
struct statement;

/* What was sent. The first group ends with its own answer, the second with ReadyForQuery. */
enum owed_what {
	OWED_NOTHING,
	OWED_PARSE,    /* ParseComplete */
	OWED_BIND,     /* BindComplete */
	OWED_DESCRIBE, /* [ParameterDescription] RowDescription or NoData */
	OWED_EXECUTE,  /* ... CommandComplete, EmptyQueryResponse or PortalSuspended */
	OWED_CLOSE,    /* CloseComplete */
	OWED_SYNC,
	OWED_QUERY,
	OWED_FUNCTION,
};

/* Who gets the answer. */
enum owed_to {
	OWED_TO_CLIENT,
	OWED_TO_NOBODY, /* we asked on our own account */
	OWED_BY_US,     /* it was not sent at all: we answer when its turn comes */
};

struct owed_item {
	uint8_t what; /* enum owed_what */
	uint8_t to;   /* enum owed_to */
	bool is_duplicate;           /* PARSE of a name that the client has: the error will name ours, and must name this one */
	struct named *named;         /* PARSE: what the client may now call it. CLOSE: what it may not any more; owned then */
	struct statement *statement; /* PARSE sent to the server: what it will hold; no reference (the server has it) */
};

struct owed {
	struct owed_item *ring; /* room is a power of two; NULL at first */
	uint32_t room, at, count;
	bool is_skipping;       /* after an error: the server ignores what comes until a Sync */
};

static inline bool
owed_is_empty(const struct owed *o)
{
	return o->count == 0;
}

static inline struct owed_item *
owed_first(const struct owed *o)
{
	return o->count ? &o->ring[o->at] : 0;
}

static inline bool
owed_ends_with_ready(enum owed_what what)
{
	return what >= OWED_SYNC;
}

void owed_push(struct owed *o, struct owed_item item);
struct owed_item owed_pop(struct owed *o);       /* the first */
struct owed_item owed_pop_last(struct owed *o);
struct owed_item *owed_at(const struct owed *o, uint32_t i); /* 0 is the first */
void owed_free(struct owed *o); /* must be empty */

const char *owed_what_name(enum owed_what what);

#endif
