/*
 * base/fault.h - what went wrong, as it is told to a person: whose fault, an SQLSTATE, one sentence.
 *
 * Leaf modules return enums and stay silent; above them a fault is made once, where enough is known to name it.
 * SQLSTATEs: PostgreSQL 16, Appendix A.
 */
#ifndef BASE_FAULT_H
#define BASE_FAULT_H

enum fault_by { FAULT_BY_NOBODY, FAULT_BY_CLIENT, FAULT_BY_SERVER, FAULT_BY_PROXY, FAULT_BY_ADMIN };

struct fault {
	enum fault_by by;
	const char   *sqlstate; /* five characters, static */
	const char   *text;     /* one sentence, no full stop, no secret; good for the duration of the call */
	const char   *detail;   /* or NULL */
	const char   *hint;     /* or NULL */
};

const char *fault_by_name(enum fault_by by); /* "client", "server", "proxy", "admin", "nobody" */

#define SQLSTATE_OK                         "00000"
#define SQLSTATE_WARNING                    "01000"
#define SQLSTATE_CONNECTION_FAILURE         "08006"
#define SQLSTATE_CONNECTION_REJECTED        "08004"
#define SQLSTATE_TRANSACTION_UNKNOWN        "08007"
#define SQLSTATE_PROTOCOL_VIOLATION         "08P01"
#define SQLSTATE_FEATURE_NOT_SUPPORTED      "0A000"
#define SQLSTATE_INVALID_PARAMETER_VALUE    "22023"
#define SQLSTATE_READ_ONLY_TRANSACTION      "25006"
#define SQLSTATE_IN_FAILED_TRANSACTION      "25P02"
#define SQLSTATE_INVALID_STATEMENT_NAME     "26000"
#define SQLSTATE_INVALID_CURSOR_NAME        "34000"
#define SQLSTATE_INVALID_AUTHORIZATION      "28000"
#define SQLSTATE_INVALID_PASSWORD           "28P01"
#define SQLSTATE_INVALID_CATALOG_NAME       "3D000"
#define SQLSTATE_SERIALIZATION_FAILURE      "40001"
#define SQLSTATE_SYNTAX_ERROR               "42601"
#define SQLSTATE_DUPLICATE_STATEMENT        "42P05"
#define SQLSTATE_DUPLICATE_CURSOR           "42P03"
#define SQLSTATE_TOO_MANY_CONNECTIONS       "53300"
#define SQLSTATE_CONFIGURATION_LIMIT        "53400"
#define SQLSTATE_PROGRAM_LIMIT_EXCEEDED     "54000"
#define SQLSTATE_QUERY_CANCELED             "57014"
#define SQLSTATE_ADMIN_SHUTDOWN             "57P01"
#define SQLSTATE_CANNOT_CONNECT_NOW         "57P03"
#define SQLSTATE_NOT_IN_PREREQUISITE_STATE  "55000"
#define SQLSTATE_IDLE_SESSION_TIMEOUT       "57P05"
#define SQLSTATE_IDLE_TRANSACTION_TIMEOUT   "25P03"
#define SQLSTATE_TRANSACTION_TIMEOUT        "25P04"
#define SQLSTATE_IO_ERROR                   "58030"
#define SQLSTATE_CONFIG_FILE_ERROR          "F0000"
#define SQLSTATE_INTERNAL_ERROR             "XX000"

#endif
