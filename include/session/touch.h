/*
 * session/touch.h - which state of its session a text may touch: whether its server has to be asked afterwards what it has.
 *
 *   text ─► sql/glance: nothing │ it may, unseen │ look closer ─► sql/facts ─► bits ─► server->touched ─► session/state
 *
 * What a text names is known from the text. What it does unseen, in functions, triggers and views, is known by its effect: the
 * server is asked after the 1st, 2nd, 4th, 8th ... time that a text of this shape ran in this database, and every time once it
 * was seen to have changed something. So a client that changes nothing pays for a hash and a count.
 */
#ifndef SESSION_TOUCH_H
#define SESSION_TOUCH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/view.h"
#include "sql/facts.h"

struct client;
struct database;
struct server;

enum touch_bit {
	TOUCH_MAY = 1 << 0,            /* unseen, if at all */
	TOUCH_SETTINGS = 1 << 1,       /* SET, set_config(): by names that are known */
	TOUCH_ALL_SETTINGS = 1 << 2,   /* RESET, or names that are not known */
	TOUCH_PREPARED = 1 << 3,       /* PREPARE, DEALLOCATE */
	TOUCH_NAMES_PREPARED = 1 << 4, /* EXECUTE, PREPARE, DEALLOCATE of a name */
	TOUCH_READS_PREPARED = 1 << 5, /* pg_prepared_statements */
	TOUCH_LISTEN = 1 << 6,         /* LISTEN, UNLISTEN */
	TOUCH_READS_LISTEN = 1 << 7,   /* pg_listening_channels() */
	TOUCH_NOTIFY = 1 << 8,
	TOUCH_TEMPORARY = 1 << 9,
	TOUCH_LOCKS = 1 << 10,         /* advisory ones of the session */
	TOUCH_CURSORS = 1 << 11,       /* WITH HOLD */
	TOUCH_LIBRARY = 1 << 12,       /* LOAD */
	TOUCH_SEED = 1 << 13,          /* setseed() */
	TOUCH_ORIGIN = 1 << 14,        /* pg_replication_origin_session_... */
	TOUCH_SEQUENCES = 1 << 15,     /* currval(), lastval() */
	TOUCH_UNKNOWN = 1 << 16,       /* not read, or DO: anything */
	TOUCH_READS_PID = 1 << 17,     /* pg_backend_pid(): session/pids.h */
	TOUCH_SIGNALS = 1 << 18,       /* pg_terminate_backend(), pg_cancel_backend() */
	TOUCH_LONE_SET = 1 << 19,      /* SET name = word, all of its transaction: what comes of it is known, if no error does */
};

/* Those after which the server does not have to be asked. */
#define TOUCH_ONLY_BEFORE ((uint32_t)(TOUCH_NAMES_PREPARED | TOUCH_READS_PREPARED | TOUCH_READS_LISTEN | TOUCH_NOTIFY | \
                                      TOUCH_READS_PID | TOUCH_SIGNALS))

struct touch {
	uint32_t bits;
	uint32_t shape; /* with TOUCH_MAY */
	bool is_simple; /* of a Query: outside of a block it is a transaction of its own */
};

/* Texts of one transaction whose effect is asked about. */
struct touch_shapes {
	uint32_t of[6];
	uint8_t count;
};

/* What this text may touch. facts: with bits beyond TOUCH_MAY, what was read; good until the next question to the cache. */
struct touch touch_judge(struct client *c, struct view text, bool is_whole, const struct sql_facts **facts);

/* A text of a linked client is about to be sent: what its server has to be told in front of it. */
void touch_before(struct client *c, struct touch t);
/*
 * A text of a linked client is to run now: notes on the server what it will have to be asked. facts: NULL if they were not
 * read, or are not needed.
 */
void touch_note(struct client *c, struct touch t, const struct sql_facts *facts);
/* The body of a Bind of it: custom settings that are named by a parameter are known from then on. */
void touch_note_values(struct client *c, const struct sql_facts *facts, struct view body);
void touch_note_function(struct client *c, uint32_t oid); /* by FunctionCall */

/* Its client was told of an error: what was noted may not have come about. */
void touch_failed(struct server *s);

/* Nothing is noted on it any more. */
void touch_forget(struct server *s);

/* They have changed something unseen: they are asked about every time from now on. Or nobody knows: their next run is asked about
 * again. Empty afterwards. */
void touch_learn(struct database *d, struct touch_shapes *shapes, bool have_changed);

/* ---- names of settings that are asked for by name: pg_settings does not show those with a dot ---- */

enum { CUSTOM_NAMES_MAX = 100 };
/* One more; beyond the ceiling it is dropped, and logged once. True: it was not known. */
bool touch_add_custom_name(struct database *d, const char *name);
/* Each name with its NUL, one behind the other. */
struct view touch_custom_names(const struct database *d);

/* Has any text of this database read currval() or lastval()? Then what they tell is taken from a server before another uses it. */
bool touch_reads_sequences(const struct database *d);

void touch_database_free(struct database *d);

const char *touch_bit_name(enum touch_bit bit);

#endif
