/*
 * sql/glance.h - what a text of SQL may do to its session, at a glance: one pass over its bytes, no parser, no memory.
 *
 * Sound with regard to sql/facts.h: of a text that is not GLANCE_CLOSER, sql_facts_read() finds neither code (DO, CALL) nor
 * anything in touches[] that outlives the transaction, but for SHOW, nextval() and setval(). Where strings begin and end may
 * depend on standard_conforming_strings and on the encoding: from where it does, each word counts, wherever it stands.
 */
#ifndef SQL_GLANCE_H
#define SQL_GLANCE_H

#include "base/view.h"

enum glance_verdict {
	GLANCE_PLAIN,  /* touches nothing, whatever the database has: BEGIN, COMMIT, SELECT 1, SHOW */
	GLANCE_MAY,    /* has no word that names state of the session; functions, triggers, views may do what no text tells */
	GLANCE_CLOSER, /* has one, or is longer than SQL_TEXT_MAX: sql_facts_of() tells */
};

struct glance {
	uint8_t verdict; /* of enum glance_verdict */
	/*
	 * The same for texts that differ only in numbers, strings, $n, NULL, TRUE, FALSE, the number of them in a list (and of
	 * lists of them, as in VALUES), case, blanks and comments; most likely another one for all else. 0 of a text too long.
	 */
	uint32_t shape;
};

struct glance glance_at(struct view text);

/* Is all the same in them but the values of numbers? Then so is the verdict on them. It takes a tenth of a glance. */
bool glance_is_same(struct view a, struct view b);

#endif
