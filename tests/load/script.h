/*
 * tests/load/script.h - what a client of the load test sends, and the little it must know to judge the answers.
 *
 * A client makes up *operations* (struct op): one frontend message each, with its bytes and what it asks for. Every value
 * that a statement returns carries the statement's *mark*, "c<client>.<connection>.<n>", which nobody else has.
 * The script only makes things up; script_batch() assumes that all will go well. Whether it did is for model.h to follow.
 */
#ifndef LOAD_SCRIPT_H
#define LOAD_SCRIPT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

enum {
	MARK_MAX = 40,
	STATEMENTS_MAX = 3, /* in one Query */
	SLOTS = 8,          /* prepared statements: 0 is the unnamed one, 1.. are "s1".. */
	SLOT_OWN = 4,       /* the text of this one is the client's own; the other named ones are shared by all clients */
	SLOT_ERROR = 5,
	SLOT_SLEEP = 6,
};

enum statement_kind {
	ST_ROWS,     /* rows: "<mark>-<g>", the mark repeated `width` times */
	ST_ERROR,    /* the same, but row number `bad_row` fails with 22P02 and the mark in the message */
	ST_SLEEP,    /* one row after a while, something to cancel */
	ST_NAME,     /* one row: the application_name that the server believes in */
	ST_CHECK,    /* one row: count and MD5 of what the COPY before has stored */
	ST_BEGIN,
	ST_COMMIT,
	ST_ROLLBACK,
	ST_SET,      /* application_name = the mark */
	ST_COPY_OUT,
	ST_COPY_IN,
	ST_EMPTY,
};

enum copy_ending { COPY_GOOD, COPY_FAILED_BY_CLIENT, COPY_BAD_ROW };

struct statement {
	enum statement_kind kind;
	char                mark[MARK_MAX];
	char                label[MARK_MAX]; /* name of the first column: the mark, or that of a text that all share */
	uint32_t            rows, width, bad_row;
	uint32_t            sleep_ms;
	enum copy_ending    ending;
	char                run[MARK_MAX];   /* ST_CHECK: the mark of the COPY */
	char                md5[33];         /* ST_CHECK: what must be there if the COPY went well */
};

enum op_kind { OP_QUERY, OP_PARSE, OP_BIND, OP_DESCRIBE_STATEMENT, OP_DESCRIBE_PORTAL, OP_EXECUTE, OP_CLOSE_STATEMENT,
	OP_CLOSE_PORTAL, OP_FLUSH, OP_SYNC };

struct op {
	enum op_kind     kind;
	uint8_t          slot;
	uint8_t          statements_n;
	bool             has_parameters; /* OP_PARSE: the text has $1..$3 */
	bool             waits;          /* sent only when all before it is answered: behind a Flush */
	uint8_t          format;         /* OP_BIND: result format; our values look the same in text and binary */
	uint32_t         max_rows;       /* OP_EXECUTE */
	struct statement statement[STATEMENTS_MAX]; /* OP_BIND: [0] holds the values of the parameters */
	struct buf       bytes;          /* owned; freed when sent */
	size_t           head_n;         /* COPY IN: bytes to send first; the rest when CopyInResponse has come. Else bytes.n */
};

enum feature {
	WITH_NAMED = 1 << 0,   /* named prepared statements */
	WITH_CANCEL = 1 << 1,
	WITH_DIE = 1 << 2,     /* disconnects at any byte */
	WITH_COPY = 1 << 3,
	WITH_SET = 1 << 4,
	WITH_SLEEP = 1 << 5,
	WITH_FLUSH = 1 << 6,
	WITH_ODD = 1 << 7,     /* statements that are not there, or there already */
	WITH_SUSPEND = 1 << 8, /* Execute with a limit */
	WITH_DRIBBLE = 1 << 9, /* a few bytes at a time; readers that pause */
	WITH_BIG = 1 << 10,    /* messages of 100 kB and results of 1 MB */
	WITH_DEEP = 1 << 11,   /* several Syncs in flight */
	WITH_EAGER = 1 << 12,  /* COPY data behind its Query, not waiting for CopyInResponse */
	WITH_ALL = (1 << 13) - 1,
};

struct script {
	unsigned client, connection, counter;
	unsigned features;
	uint64_t random;
	char     planned_tx;      /* I, T: as it will be if nothing fails; E: known to have failed */
	unsigned planned_slots;   /* bit: that named statement will be there */
	void    *to;              /* for push */
	struct op *(*push)(void *to); /* one more operation, zeroed; good until the next push */
};

/* The most operations that one call of script_batch() makes. */
enum { BATCH_MAX = 64 };

uint32_t script_random(struct script *s, uint32_t below);
bool     script_chance(struct script *s, uint32_t in_1000);
void     script_batch(struct script *s);
void     script_rollback(struct script *s); /* one ROLLBACK */
/* The names of features, for --without. 0: no such word. */
unsigned feature_named(const char *word);

#endif
