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

#include "base/must.h"

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
	OWED_COPY_END, /* nothing: CopyDone or CopyFail went here, perhaps before the server asked for data */
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
	bool is_unnamed : 1;         /* PARSE or CLOSE of the unnamed statement */
	bool is_duplicate : 1;       /* PARSE of a name that the client has: the error will name ours, and must name this one */
	bool is_state : 1;           /* QUERY of our own: what the session has (session/state.h) */
	bool is_listen : 1;          /* QUERY of our own: about what its session listens to (session/listen.h) */
	bool is_own : 1;             /* named is of the server's own names (session/prepared.h), not of its client's */
	bool is_brought : 1;         /* of our own, in front of a message that names statements: its error is told later, if at all */
	bool is_void : 1;            /* CLOSE of our own: the server does not hold the statement, skipping this brings nothing back */
	uint16_t refused;            /* PARSE or QUERY: not what the client sent, but what fails in its place; enum pin */
	struct named *named;         /* PARSE: what the client may now call it. CLOSE: what it may not any more. QUERY of the client: what
	                              * it prepares, or, without a statement, deallocates. A reference */
	struct statement *statement; /* PARSE: what the server will hold. CLOSE of our own: what not any more. A reference */
};

enum { REFUSED_CHANGED = 1 << 15 }; /* owed_item.refused: a statement that returns something else now */

struct owed {
	struct owed_item *ring; /* room is a power of two; NULL at first */
	uint32_t room, at, count;
	uint32_t readies;       /* how many of them end with ReadyForQuery */
	uint32_t tentative;     /* how many carry something to undo */
	bool is_open;           /* extended messages were sent, and no Sync behind them yet: the server is in the middle */
	bool is_skipping;       /* after an error: the server ignores what comes until a Sync */
};

enum { OWED_ROOM_KEPT = 256 }; /* entries, 6 kB: a pipeline of some 50 queries; a larger ring goes when its server is free */

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

/* Is it our turn to answer? */
static inline bool
owed_is_ours(const struct owed *o)
{
	const struct owed_item *first = owed_first(o);
	return first && (first->to == OWED_BY_US || first->what == OWED_COPY_END);
}

static inline bool
owed_ends_with_ready(enum owed_what what)
{
	return what >= OWED_SYNC;
}

/* What the counts are the sums of. */
static inline void
owed_count(struct owed *o, const struct owed_item *item, int by)
{
	o->readies += (uint32_t)(owed_ends_with_ready(item->what) ? by : 0);
	o->tentative += (uint32_t)(item->named || item->statement || item->is_unnamed ? by : 0);
}

void owed_grow(struct owed *o);

/* Every message of every client comes in here and goes out below: they have to inline. */
static inline void
owed_push(struct owed *o, struct owed_item item)
{
	if (o->count == o->room)
		owed_grow(o);
	o->ring[(o->at + o->count++) & (o->room - 1)] = item;
	owed_count(o, &item, +1);
	if (item.what == OWED_SYNC)
		o->is_skipping = false; /* what comes behind it is looked at again */
	if (owed_ends_with_ready(item.what))
		o->is_open = false;
	else if (item.to != OWED_BY_US && item.what != OWED_COPY_END)
		o->is_open = true;
}

/* The first; the caller fini's it. */
static inline struct owed_item
owed_pop(struct owed *o)
{
	must(o->count > 0);
	struct owed_item item = o->ring[o->at];
	o->at = (o->at + 1) & (o->room - 1);
	o->count--;
	owed_count(o, &item, -1);
	return item;
}

struct owed_item owed_pop_last(struct owed *o);
void owed_remove(struct owed *o, uint32_t i);    /* one that holds no references */
void owed_item_fini(struct owed_item *item);     /* lets its references go */
struct owed_item *owed_at(const struct owed *o, uint32_t i); /* 0 is the first */
/* The first CLOSE of our own of this statement, from that entry on, or NULL. */
struct owed_item *owed_find_close(const struct owed *o, uint32_t from, const struct statement *st);
void owed_free(struct owed *o); /* must be empty */

/*
 * Was this name, or this statement, prepared or closed by a message that is not answered yet, in front of a Sync or Query?
 * Then nobody can say what it will mean behind it: the message may be skipped, and what follows would not be.
 */
bool owed_is_uncertain(const struct owed *o, const char *name, const struct statement *st);

const char *owed_what_name(enum owed_what what);

#endif
