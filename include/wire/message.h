/*
 * wire/message.h - what the messages say: their letters, and a reader for each body that is looked into.
 *
 * Readers take a complete body (the bytes behind letter and length), answer false when it is malformed, and then what
 * *out holds means nothing. All pointers and views lie in the body and are good as long as it is. Nothing is copied,
 * nothing kept. Lengths are judged as PostgreSQL does: a byte too many is as wrong as a byte too few.
 * Source: PostgreSQL 16, 55.7 (Message Formats); 18, 54.7 for protocol 3.2.
 */
#ifndef WIRE_MESSAGE_H
#define WIRE_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/view.h"
#include "wire/cursor.h"
#include "wire/frame.h"

/* Frontend messages (F): what a client may send after its startup packet. */
enum fe_message {
	FE_BIND          = 'B',
	FE_CLOSE         = 'C',
	FE_DESCRIBE      = 'D',
	FE_EXECUTE       = 'E',
	FE_FUNCTION_CALL = 'F',
	FE_FLUSH         = 'H',
	FE_PARSE         = 'P',
	FE_QUERY         = 'Q',
	FE_SYNC          = 'S',
	FE_TERMINATE     = 'X',
	FE_COPY_DATA     = 'd',
	FE_COPY_DONE     = 'c',
	FE_COPY_FAIL     = 'f',
	FE_PASSWORD      = 'p', /* also SASLInitialResponse, SASLResponse, GSSResponse: known by what was asked */
};

/* Backend messages (B): what a server may send after the startup packet. */
enum be_message {
	BE_AUTHENTICATION             = 'R',
	BE_BACKEND_KEY_DATA           = 'K',
	BE_BIND_COMPLETE              = '2',
	BE_CLOSE_COMPLETE             = '3',
	BE_COMMAND_COMPLETE           = 'C',
	BE_COPY_DATA                  = 'd',
	BE_COPY_DONE                  = 'c',
	BE_COPY_IN_RESPONSE           = 'G',
	BE_COPY_OUT_RESPONSE          = 'H',
	BE_COPY_BOTH_RESPONSE         = 'W',
	BE_DATA_ROW                   = 'D',
	BE_EMPTY_QUERY_RESPONSE       = 'I',
	BE_ERROR_RESPONSE             = 'E',
	BE_FUNCTION_CALL_RESPONSE     = 'V',
	BE_NEGOTIATE_PROTOCOL_VERSION = 'v',
	BE_NO_DATA                    = 'n',
	BE_NOTICE_RESPONSE            = 'N',
	BE_NOTIFICATION_RESPONSE      = 'A',
	BE_PARAMETER_DESCRIPTION      = 't',
	BE_PARAMETER_STATUS           = 'S',
	BE_PARSE_COMPLETE             = '1',
	BE_PORTAL_SUSPENDED           = 's',
	BE_READY_FOR_QUERY            = 'Z',
	BE_ROW_DESCRIPTION            = 'T',
};

/* The message's name in the manual, such as "ReadyForQuery"; "unknown" for a letter that is none. */
const char *fe_message_name(char type);
const char *be_message_name(char type);

#define CANCEL_KEY_MIN 4   /* bytes; protocol 3.0 knows this length only */
#define CANCEL_KEY_MAX 256 /* bytes, from protocol 3.2 on */

/* ---- frontend ---- */

struct parse_message {
	const char *name;       /* "" is the unnamed statement */
	struct view query;      /* without its NUL, which follows it */
	struct view types;      /* type_count OIDs of 4 bytes, network order; OID 0: the server decides */
	uint16_t    type_count;
};

struct bind_head {
	const char *portal;
	const char *statement;
	size_t      head_bytes; /* bytes of the body that the two strings take, with their NULs */
};

struct bind_message {
	const char *portal;
	const char *statement;
	struct view formats;        /* format_count numbers of 2 bytes: 0 text, 1 binary */
	uint16_t    format_count;   /* 0: all text; 1: the same for all */
	struct view values;         /* value_count values: a length of 4 bytes, -1 for NULL, then as many bytes */
	uint16_t    value_count;
	struct view result_formats; /* result_format_count numbers of 2 bytes */
	uint16_t    result_format_count;
};

struct target_message {
	char        kind; /* 'S' statement or 'P' portal */
	const char *name;
};

struct execute_message {
	const char *portal;
	uint32_t    max_rows; /* 0: all */
};

struct sasl_initial {
	const char *mechanism;
	struct view data;     /* empty when has_data is false */
	bool        has_data;
};

bool query_read(struct view body, struct view *query); /* without its NUL, which follows it */
bool parse_read(struct view body, struct parse_message *out);
bool bind_read(struct view body, struct bind_message *out);
bool target_read(struct view body, struct target_message *out);   /* Describe and Close */
bool execute_read(struct view body, struct execute_message *out);
bool copy_fail_read(struct view body, const char **text);
bool password_read(struct view body, const char **password);
bool sasl_initial_read(struct view body, struct sasl_initial *out); /* of a SASLResponse the body is the data */

/*
 * The two names at the start of a Bind of which only this much has arrived. FRAME_SHORT until both have ended;
 * FRAME_BAD never, because nobody here knows how much is still to come.
 */
enum frame_result bind_read_head(struct view body_so_far, struct bind_head *out);

/* The same of a Bind in a frame, which does know: FRAME_BAD when the names cannot end, or leave no room for the rest. */
enum frame_result bind_frame_read_head(const struct frame *f, struct bind_head *out);

/* ---- backend ---- */

/* Of an ErrorResponse or a NoticeResponse. NULL where the server did not send the field. */
struct error_fields {
	const char *severity;          /* S, perhaps translated */
	const char *severity_nonlocal; /* V, never translated; since PostgreSQL 9.6 */
	const char *sqlstate;          /* C */
	const char *message;           /* M */
	const char *detail;            /* D */
	const char *hint;              /* H */
	const char *routine;           /* R: the function in the server's source */
};

enum auth_request {
	AUTH_OK                 = 0,
	AUTH_KERBEROS_V5        = 2,
	AUTH_CLEARTEXT_PASSWORD = 3,
	AUTH_MD5_PASSWORD       = 5,
	AUTH_GSS                = 7,
	AUTH_GSS_CONTINUE       = 8,
	AUTH_SSPI               = 9,
	AUTH_SASL               = 10,
	AUTH_SASL_CONTINUE      = 11,
	AUTH_SASL_FINAL         = 12,
};

struct notification {
	uint32_t    pid; /* of the server process that notified */
	const char *channel;
	const char *payload;
};

struct negotiate_message {
	uint16_t    newest_minor; /* of major version 3 that the server speaks */
	uint32_t    name_count;
	struct view names;        /* for negotiate_next_name(): options that it did not recognise */
};

bool error_read(struct view body, struct error_fields *out);
bool parameter_status_read(struct view body, const char **name, const char **value);
bool backend_key_read(struct view body, uint32_t *pid, struct view *key); /* CANCEL_KEY_MIN..CANCEL_KEY_MAX bytes */
bool ready_read(struct view body, char *status);          /* 'I' idle, 'T' in a transaction, 'E' in a failed one */
bool command_tag_read(struct view body, const char **tag);
bool notification_read(struct view body, struct notification *out);
bool negotiate_read(struct view body, struct negotiate_message *out);
bool negotiate_next_name(struct view *names, const char **name); /* false: no more */

/*
 * *request is an enum auth_request or a number newer than this program, which is no error here. *rest: the salt of 4
 * bytes (MD5), a list for sasl_next_mechanism() (SASL), the mechanism's data (the others); its shape is checked.
 */
bool auth_read(struct view body, uint32_t *request, struct view *rest);
bool sasl_next_mechanism(struct view *list, const char **name); /* false: no more */

/* Rows: for the answers to the proxy's own questions. */
struct row_message {
	uint16_t    count;  /* values, or columns */
	struct view values; /* for row_next_value() or row_next_column() */
};

struct column_message {
	const char *name;
	uint32_t    table_oid;
	uint16_t    attribute;
	uint32_t    type_oid;
	int16_t     type_length;
	int32_t     type_modifier;
	uint16_t    format; /* 0 text, 1 binary */
};

bool row_read(struct view body, struct row_message *out);             /* DataRow; all lengths are checked */
bool row_next_value(struct view *values, struct view *value, bool *is_null); /* false: no more; for Bind's values too */
bool row_description_read(struct view body, struct row_message *out); /* RowDescription; all of it is checked */
bool row_next_column(struct view *columns, struct column_message *out); /* false: no more */

#endif
