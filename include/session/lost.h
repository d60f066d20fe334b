/*
 * session/lost.h - what becomes of a client whose server is lost, from what is known of its request. The whole answer is
 * the table in session/lost.c; nothing here touches a connection. Who carries it out: session/server_lost.c.
 *
 * Two things must never happen: that a statement is run twice although it may have changed something the first time, and
 * that a client is told more than is known.
 */
#ifndef SESSION_LOST_H
#define SESSION_LOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/view.h"
#include "wire/message.h"

/* What is known. What is not known is set as it is worst: LOST_EXECUTES and LOST_MAY_END set, all that helps unset. */
enum lost_sign {
	LOST_TORN     = 1 << 0,  /* half a message of the server's has been passed on */
	LOST_SESSION  = 1 << 1,  /* pinned, or pool_mode = session: the server was the session */
	LOST_BLOCK    = 1 << 2,  /* inside a transaction block */
	LOST_FAILED   = 1 << 3,  /* a failed one */
	LOST_OWED     = 1 << 4,  /* the client waits for an answer */
	LOST_OPEN     = 1 << 5,  /* its last messages have no Sync behind them yet, or data of a COPY are still to come */
	LOST_SKIPPING = 1 << 6,  /* it has read an error, and no ReadyForQuery yet */
	LOST_SPOKEN   = 1 << 7,  /* part of the answer has been passed on */
	LOST_SEVERAL  = 1 << 8,  /* more than one request is unanswered */
	LOST_HALF     = 1 << 9,  /* nothing but the first part of one message has come from the client */
	LOST_KEPT     = 1 << 10, /* we have every byte that the client has sent for it */
	LOST_EXECUTES = 1 << 11, /* something was, or may have been, sent that runs a statement */
	LOST_HARMLESS = 1 << 12, /* all of it can be run again: it certainly changes nothing */
	LOST_MAY_END  = 1 << 13, /* something in it may have committed */
	LOST_ENDS     = 1 << 14, /* it is one ROLLBACK, or one COMMIT of a failed transaction: nothing else */
	LOST_PLAIN    = 1 << 15, /* nothing in it commits before the Sync, or the end of the data, that has not come */
	LOST_TRIED    = 1 << 16, /* it was sent again before, as often as may be */
	LOST_TOLD     = 1 << 17, /* nothing of the answer is missing but ReadyForQuery, and all of it was good */
	LOST_COMMITS  = 1 << 18, /* it is one statement that is committed, or rolled back, before its CommandComplete is sent */
	LOST_READS    = 1 << 19, /* all of it is harmless if what it names only reads, which a catalog can tell */
	LOST_BROKEN_OFF = 1 << 20, /* the server said that it broke off what it was asked first, before any of it could commit */
};
enum { LOST_SIGNS = 21 };

enum lost_verdict {
	LOST_HOLD,      /* nothing is lost: as if there had never been a server */
	LOST_AGAIN,     /* the request goes to another server, and the client does not notice */
	LOST_ASK,       /* the same, if that server's catalog says that it only reads; else what would be without LOST_READS */
	LOST_SKIP,      /* no error, only ReadyForQuery in its place: what comes up to a Sync is skipped as the server would have */
	LOST_DONE,      /* as above, and what it did stays done */
	LOST_LATER,     /* the transaction is gone; the next message will hear of it */
	LOST_ROLLBACK,  /* what was asked for has come about: answered by us as PostgreSQL would */
	LOST_ABORTED,   /* ERROR 40001, and the transaction is a failed one */
	LOST_NOT_DONE,  /* ERROR 40001 outside of a transaction: certainly nothing was committed */
	LOST_UNKNOWN,   /* ERROR 08007 */
	LOST_CUT,       /* FATAL 57P01 */
	LOST_CUT_SHORT, /* the connection ends without a word: there is no place for one */
	LOST_VERDICTS
};

struct lost_row {
	const char *name;
	uint32_t with, without; /* signs */
	enum lost_verdict verdict;
};

extern const struct lost_row lost_rows[];
extern const size_t lost_row_count;

const struct lost_row *lost_judge(uint32_t signs); /* the first row that fits; there always is one */

const char *lost_sign_name(enum lost_sign sign); /* one bit; a clause */
const char *lost_verdict_name(enum lost_verdict verdict); /* for the log */

/* Of a FATAL: is the server being lost, or does it concern this session alone (then its client reads it as it is)? */
bool lost_is_of_server(const char *severity, const char *sqlstate); /* may it be the end of the whole server? */
bool lost_is_meant(const char *severity, const char *sqlstate);
/*
 * Does this error stand in the place of a statement's answer because the statement was broken off, and its transaction rolled back?
 * ProcessInterrupts() says 57P01 where a statement may be interrupted; from where a commit begins until its CommandComplete is
 * said nothing may. (Who waits for a standby is told by a warning, and of the end by nothing.) Poolers on the way name no routine.
 */
bool lost_is_broken_off(const struct error_fields *e);

/* What has to be asked before LOST_READS is as good as LOST_HARMLESS: sql/question.h. */
struct lost_names {
	struct buf rows;
	bool has_types; /* parameters whose types are not PostgreSQL's own */
};

/*
 * What the client's messages tell: LOST_EXECUTES, LOST_HARMLESS, LOST_READS, LOST_MAY_END, LOST_ENDS, LOST_PLAIN, LOST_COMMITS, and
 * LOST_BLOCK when they begin a block themselves. `kept` is all of them since the last ReadyForQuery for which nothing was left to answer;
 * `answered` requests at its front are done. A statement prepared before, its text and the types given for its parameters:
 * find; false if unknown.
 */
struct lost_request {
	struct view kept;
	uint32_t answered;
	uint32_t had;       /* LOST_BLOCK, LOST_FAILED: as it was when the first of the others was sent */
	bool is_standby;    /* their server was a standby, which can't have changed anything */
	bool has_plain_strings; /* in texts a backslash is a backslash: standard_conforming_strings */
	bool is_ascii_only;     /* of texts in its client_encoding nothing else can be read: sql_encoding_is_readable() */
	bool (*find)(const void *context, const char *name, struct view *text, struct view *types);
	const void *context;
	struct lost_names *names; /* emptied first; good with LOST_READS. NULL: nobody can be asked */
};

uint32_t lost_read(const struct lost_request *request);
#define LOST_NOTHING_KNOWN ((uint32_t)(LOST_EXECUTES | LOST_MAY_END))

#endif
