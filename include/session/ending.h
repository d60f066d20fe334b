/*
 * session/ending.h - does a text of SQL begin or end a transaction? Asked when a server is lost, never on the way of a query.
 *
 * No parser: words, quotes and comments are told apart, no more. What it is not certain of, it says so: a text that ends a
 * transaction in a way that is not seen here must not exist.
 * Source: PostgreSQL 16, 4.1 Lexical Structure, and the pages of BEGIN, COMMIT, ROLLBACK, PREPARE TRANSACTION.
 */
#ifndef SESSION_ENDING_H
#define SESSION_ENDING_H

#include <stdbool.h>

#include "base/view.h"

/* What the one statement of a text is. Several statements, or one that is none of these: ENDING_OTHER. */
enum ending {
	ENDING_OTHER,
	ENDING_EMPTY,       /* no statement at all */
	ENDING_BEGIN,       /* BEGIN, START TRANSACTION, with whatever modes */
	ENDING_COMMIT,      /* COMMIT, END */
	ENDING_ROLLBACK,    /* ROLLBACK, ABORT */
	ENDING_PREPARE,     /* PREPARE TRANSACTION */
	ENDING_CHAIN,       /* COMMIT or ROLLBACK AND CHAIN: the next transaction begins with it */
	ENDING_ROLLBACK_TO, /* a savepoint: ends nothing */
	ENDING_SHOW,        /* SHOW: reads, whatever it names */
	ENDING_SELECT,      /* SELECT, VALUES, TABLE, WITH: may write all the same, by a function or in a WITH */
	ENDING_CHANGE,      /* INSERT, UPDATE, DELETE, MERGE, COPY: never commits by itself */
	ENDING_SET,         /* SET, RESET: of the session alone, and the same however often it is said */
};

struct ending_facts {
	enum ending is;
	bool may_end; /* one of its statements may end a transaction, or nobody knows that none does */
	bool is_one;  /* it is one statement, certainly */
};

struct ending_facts ending_read(struct view text);

#endif
