/*
 * sql/parser.h - libpg_query, loaded when the first statement is to be read. Private to this layer.
 *
 * Why not linked: it is 1 MB of resident memory and needed only when a server is lost, which may never happen. And its
 * symbols (pg_utf_mblen, strnlen) are kept apart from those of libpq and libc.
 */
#ifndef SQL_PARSER_H
#define SQL_PARSER_H

#include <stdbool.h>

#include <pg_query.h>

struct parser_api {
	PgQueryParseResult (*parse)(const char *text);
	void (*free_parse_result)(PgQueryParseResult result);
};

extern struct parser_api parser; /* good after parser_load() */

/* False: it can't be had; said once in the log. Then nobody knows what a statement does. */
bool parser_load(void);

#endif
