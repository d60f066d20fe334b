/* net/libpq.c - libpq, loaded when it is first needed; see the header. Source: PostgreSQL 15, 34 libpq, 34.15 Environment. */
#include "libpq.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/library.h"

#define LIBRARY "libpq.so.5" /* the name of its interface since 2006 */

struct libpq_api libpq;

static const struct library_symbol symbols[] = {
	{ "PQconnectStartParams", offsetof(struct libpq_api, connect_start) },
	{ "PQconnectPoll", offsetof(struct libpq_api, connect_poll) },
	{ "PQfinish", offsetof(struct libpq_api, finish) },
	{ "PQstatus", offsetof(struct libpq_api, status) },
	{ "PQtransactionStatus", offsetof(struct libpq_api, transaction_status) },
	{ "PQsocket", offsetof(struct libpq_api, socket) },
	{ "PQbackendPID", offsetof(struct libpq_api, backend_pid) },
	{ "PQconnectionNeedsPassword", offsetof(struct libpq_api, connection_needs_password) },
	{ "PQerrorMessage", offsetof(struct libpq_api, error_message) },
	{ "PQsetErrorVerbosity", offsetof(struct libpq_api, set_error_verbosity) },
	{ "PQsetNoticeProcessor", offsetof(struct libpq_api, set_notice_processor) },
	{ "PQsetnonblocking", offsetof(struct libpq_api, set_nonblocking) },
	{ "PQsendQueryParams", offsetof(struct libpq_api, send_query_params) },
	{ "PQsetSingleRowMode", offsetof(struct libpq_api, set_single_row_mode) },
	{ "PQflush", offsetof(struct libpq_api, flush) },
	{ "PQconsumeInput", offsetof(struct libpq_api, consume_input) },
	{ "PQisBusy", offsetof(struct libpq_api, is_busy) },
	{ "PQgetResult", offsetof(struct libpq_api, get_result) },
	{ "PQclear", offsetof(struct libpq_api, clear) },
	{ "PQresultStatus", offsetof(struct libpq_api, result_status) },
	{ "PQresultErrorField", offsetof(struct libpq_api, result_error_field) },
	{ "PQntuples", offsetof(struct libpq_api, ntuples) },
	{ "PQnfields", offsetof(struct libpq_api, nfields) },
	{ "PQgetvalue", offsetof(struct libpq_api, getvalue) },
	{ "PQgetlength", offsetof(struct libpq_api, getlength) },
	{ "PQgetisnull", offsetof(struct libpq_api, getisnull) },
};

/* PGPASSWORD, PGOPTIONS, PGSERVICE, ...: meant for psql, perhaps; an empty parameter does not keep libpq from them. */
static void
clear_environment(void)
{
	char name[64];
	for (char **at = environ; at && *at;) {
		size_t n = strcspn(*at, "=");
		if (strncmp(*at, "PG", 2) != 0 || strncmp(*at, "PGSLUICE", 8) == 0 || n >= sizeof(name)) {
			at++;
			continue;
		}
		memcpy(name, *at, n);
		name[n] = '\0';
		unsetenv(name); /* the rest moves up */
	}
}

bool
libpq_load(struct text *why)
{
	static bool is_ready; /* for the process; never unloaded */
	if (is_ready)
		return true;
	if (!library_load(LIBRARY, "auth_query is asked through libpq (Debian: libpq5)", symbols, sizeof(symbols) / sizeof(symbols[0]),
	                  &libpq, why))
		return false;
	clear_environment();
	is_ready = true;
	return true;
}
