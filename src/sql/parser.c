/* sql/parser.c - see the header. The name to load comes from configure: it changes with each release of the library. */
#include "parser.h"

#include <stddef.h>

#include "base/library.h"
#include "base/log.h"

struct parser_api parser;

static const struct library_symbol symbols[] = {
	{ "pg_query_parse", offsetof(struct parser_api, parse) },
	{ "pg_query_free_parse_result", offsetof(struct parser_api, free_parse_result) },
};

bool
parser_load(void)
{
	static enum { UNKNOWN, READY, MISSING } state;
	char reason[300];
	struct text why = TEXT_IN(reason);

	if (state != UNKNOWN)
		return state == READY;
	bool is_ready = library_load(PG_QUERY_SONAME, "what a statement does is told by libpg_query", symbols,
	                             sizeof(symbols) / sizeof(symbols[0]), &parser, &why);
	state = is_ready ? READY : MISSING;
	if (!is_ready)
		log_warning("sql", "%s; every statement counts as a write", reason);
	return is_ready;
}
