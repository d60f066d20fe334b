/*
 * net/libpq.h - libpq, loaded when it is first needed. Private to net/pq.
 *
 * Why not linked: it brings Kerberos and LDAP along, megabytes of resident memory in each process, also in those that have
 * nothing to ask a server (net/curl.h has the same story). Its types come from its header as usual.
 */
#ifndef NET_LIBPQ_H
#define NET_LIBPQ_H

#include <stdbool.h>

#include <libpq-fe.h>

#include "base/text.h"

struct libpq_api {
	PGconn *(*connect_start)(const char *const *keywords, const char *const *values, int expand_dbname);
	PostgresPollingStatusType (*connect_poll)(PGconn *conn);
	void (*finish)(PGconn *conn);
	ConnStatusType (*status)(const PGconn *conn);
	PGTransactionStatusType (*transaction_status)(const PGconn *conn);
	int (*socket)(const PGconn *conn);
	int (*backend_pid)(const PGconn *conn);
	int (*connection_needs_password)(const PGconn *conn);
	char *(*error_message)(const PGconn *conn);
	PGVerbosity (*set_error_verbosity)(PGconn *conn, PGVerbosity verbosity);
	PQnoticeProcessor (*set_notice_processor)(PGconn *conn, PQnoticeProcessor proc, void *arg);
	int (*set_nonblocking)(PGconn *conn, int arg);
	int (*send_query_params)(PGconn *conn, const char *command, int nParams, const Oid *paramTypes,
	                         const char *const *paramValues, const int *paramLengths, const int *paramFormats,
	                         int resultFormat);
	int (*set_single_row_mode)(PGconn *conn);
	int (*flush)(PGconn *conn);
	int (*consume_input)(PGconn *conn);
	int (*is_busy)(PGconn *conn);
	PGresult *(*get_result)(PGconn *conn);
	void (*clear)(PGresult *res);
	ExecStatusType (*result_status)(const PGresult *res);
	char *(*result_error_field)(const PGresult *res, int fieldcode);
	int (*ntuples)(const PGresult *res);
	int (*nfields)(const PGresult *res);
	char *(*getvalue)(const PGresult *res, int row, int column);
	int (*getlength)(const PGresult *res, int row, int column);
	int (*getisnull)(const PGresult *res, int row, int column);
};

extern struct libpq_api libpq; /* good after libpq_load() */

/* Again and again is fine. The first time all PG* variables leave the environment: libpq must not find them. */
bool libpq_load(struct text *why);

#endif
