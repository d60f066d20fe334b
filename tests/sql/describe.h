/*
 * tests/sql/describe.h - facts as one line, and files of statements with such lines.
 *
 *	select reads | r:accounts                     kinds and effects; ";" between statements
 *	set session | set(search_path=a) | ...        what is touched
 *	select ask-names | f:mine/2 r:public.t        names: f: functions, o: operators, t: types, r: relations
 *
 * Functions, operators and types of PostgreSQL's own are left out, and attributes; describe_names() has them all.
 */
#ifndef TESTS_SQL_DESCRIBE_H
#define TESTS_SQL_DESCRIBE_H

#include "base/buf.h"
#include "sql/facts.h"

/* Valid until the next call. */
const char *describe(const struct sql_facts *facts);
const char *describe_names(const struct sql_facts *facts);

/*
 * A file of statements: "-- line" that is expected, the statement on the lines below it, a blank line. Lines with "--- "
 * are headings. Calls `each` for every statement of every *.sql in the directory; returns how many.
 */
typedef void statement_handler(const char *file, int line, const char *expected, struct view statement);
int statements_each(const char *directory, statement_handler *each);

#endif
