/*
 * tests/load/model.h - what PostgreSQL would answer: follows one connection and judges every message that comes.
 *
 * Holds the operations that were sent and not yet answered, the transaction's status, the prepared statements, the portal.
 * A model of the server, so it also knows what becomes of operations behind an error: skipped up to Sync, or refused in a
 * failed transaction. Anything else than what it expects, byte for byte and in order, is a violation.
 * The only freedom: ErrorResponse 57014 may take the place of any answer. Whether this client had asked for a cancel
 * is for the caller to say; and after a cancelled BEGIN, COMMIT or ROLLBACK the server says by ReadyForQuery what came of it.
 *
 * Source: PostgreSQL 15, 55.2 Message Flow; src/backend/tcop/postgres.c for the order of its checks.
 */
#ifndef LOAD_MODEL_H
#define LOAD_MODEL_H

#include "base/text.h"
#include "bench/peer.h"
#include "tests/load/script.h"

enum { OPS = 256, NAME_MAX_BYTES = 64 };

struct slot {
	bool             exists, has_parameters;
	struct statement statement; /* kind and label; the values too when it has no parameters */
};

struct portal {
	bool             exists;
	uint8_t          format;
	uint32_t         row_at; /* rows already fetched */
	struct statement statement;
};

struct model {
	unsigned      client;
	char          tx;           /* I, T, E as the server has it */
	bool          is_skipping;  /* an error in an extended batch: up to Sync nothing is done */
	bool          is_uncertain; /* a statement that begins or ends transactions was cancelled */
	bool          is_failed;    /* the Query at the head has failed: only its ReadyForQuery is left */
	bool          copy_open;    /* the server has said CopyInResponse and waits for data */
	bool          tail_held;    /* the operation sent last is a COPY IN whose data is still held back */
	unsigned      stage;        /* inside the statement at the head: 0 not begun, 1 rows, 2 after CopyDone */
	unsigned      statement_at; /* of a Query */
	uint32_t      row_at;
	struct slot   slots[SLOTS];
	struct portal portal;
	char          name_now[NAME_MAX_BYTES], name_kept[NAME_MAX_BYTES]; /* application_name; what a rollback goes back to */
	char          copied[MARK_MAX]; /* the mark of the COPY IN that ended well last */
	struct op     ops[OPS];
	unsigned      taken, sent, made; /* numbers of operations: answered <= sent <= made */
	uint64_t      rows, queries, errors, notices; /* seen by this connection */
};

enum verdict { TAKE_OK, TAKE_CANCELLED, TAKE_WRONG };

/* A new connection: forgets all, frees the operations. */
void model_reset(struct model *m, const char *application_name);
/* After `sent` has grown. */
void model_settle(struct model *m);
/* Judge one message. TAKE_WRONG says in *why what was expected and what came. */
enum verdict model_take(struct model *m, const struct message *got, struct text *why);
/* The mark of another client in these bytes, or -1. */
long model_foreign(const struct model *m, struct view bytes);

#endif
