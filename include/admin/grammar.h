/*
 * admin/grammar.h - the console's language: a word, perhaps an argument, perhaps a semicolon; or SET key = value. Pure.
 *
 *   COMMAND [argument] [;]          SET key = value [;]          SET key TO value [;]          SWITCHOVER [word ...] [;]
 *
 * A word is letters, digits and '_', or anything in double quotes ("" stands for one "); a value may also be in single
 * quotes ('' stands for one '). Blanks may stand around everything. Source: PgBouncer 1.25.2, the admin console.
 */
#ifndef ADMIN_GRAMMAR_H
#define ADMIN_GRAMMAR_H

#include <stdbool.h>

#include "base/view.h"

enum {
	SENTENCE_WORD_MAX = 15,     /* bytes; what is longer is SENTENCE_TOO_LONG */
	SENTENCE_ARGUMENT_MAX = 63,
	SENTENCE_VALUE_MAX = 255,
	SENTENCE_MORE_MAX = 6,
};

enum sentence_result {
	SENTENCE_OK,
	SENTENCE_EMPTY,    /* blanks, at most a semicolon */
	SENTENCE_BAD,      /* not of the form above */
	SENTENCE_TOO_LONG, /* a part exceeds its limit */
};

struct sentence {
	char word[SENTENCE_WORD_MAX + 1];         /* as written, without quotes */
	char argument[SENTENCE_ARGUMENT_MAX + 1]; /* of SET: the key */
	char value[SENTENCE_VALUE_MAX + 1];       /* of SET */
	bool has_argument;                        /* "" in quotes is one */
	bool is_set;                              /* SET key = value */
	char more[SENTENCE_MORE_MAX][SENTENCE_ARGUMENT_MAX + 1]; /* of SWITCHOVER: the words behind the argument */
	unsigned more_count;
};

/* *out is good only with SENTENCE_OK. */
enum sentence_result sentence_read(struct view text, struct sentence *out);

#endif
