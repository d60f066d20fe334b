/*
 * wire/reply.h - backend messages of our own, added to the end of a buf.
 *
 * Everything else that a client reads was written by its server. Strings must hold no NUL but their last.
 * Source: PostgreSQL 16, 55.7 (Message Formats) and 55.8 (Error and Notice Message Fields).
 */
#ifndef WIRE_REPLY_H
#define WIRE_REPLY_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/fault.h"
#include "base/view.h"
#include "wire/message.h"

struct column {
	const char *name;
	uint32_t    type_oid;
	int16_t     type_length; /* bytes; -1: varies */
};

#define OID_BOOL 16
#define OID_INT8 20
#define OID_INT4 23
#define OID_TEXT 25

/* severity: ERROR, FATAL, PANIC; WARNING, NOTICE, DEBUG, INFO, LOG. The fault's sqlstate and text are required. */
void reply_error(struct buf *b, const char *severity, const struct fault *f);
void reply_notice(struct buf *b, const char *severity, const struct fault *f);
/* A server's ErrorResponse, with another text in the place of its message's first `from`. */
void reply_error_reworded(struct buf *b, struct view body, const char *from, const char *to);

void reply_auth(struct buf *b, uint32_t request); /* those without data: AUTH_OK, AUTH_CLEARTEXT_PASSWORD */
void reply_auth_md5(struct buf *b, const uint8_t salt[4]);
void reply_auth_sasl(struct buf *b, const char *const *mechanisms); /* ends in NULL; the best first */
void reply_auth_sasl_continue(struct buf *b, struct view data);
void reply_auth_sasl_final(struct buf *b, struct view data);

void reply_parameter_status(struct buf *b, const char *name, const char *value);
void reply_backend_key(struct buf *b, uint32_t pid, struct view key);
void reply_negotiate(struct buf *b, uint16_t newest_minor, const char *const *names, uint32_t count);
void reply_ready(struct buf *b, char status); /* 'I', 'T' or 'E' */
void reply_notification(struct buf *b, uint32_t pid, const char *channel, const char *payload);

void reply_command_complete(struct buf *b, const char *tag);
void reply_parse_complete(struct buf *b);
void reply_bind_complete(struct buf *b);
void reply_close_complete(struct buf *b);
void reply_no_data(struct buf *b);
void reply_empty_query(struct buf *b);
void reply_portal_suspended(struct buf *b);
void reply_parameter_description(struct buf *b, const uint32_t *oids, uint16_t n);
void reply_row_description(struct buf *b, const struct column *columns, uint16_t n); /* all in text format */

/*
 * A DataRow: begin gives the place that the others want; the values are counted for you.
 *	size_t row = reply_row_begin(b);
 *	reply_row_value(b, row, &value);  NULL: SQL's NULL
 *	reply_row_end(b, row);
 */
size_t reply_row_begin(struct buf *b);
void   reply_row_value(struct buf *b, size_t row, const struct view *value);
void   reply_row_string(struct buf *b, size_t row, const char *value); /* NULL: SQL's NULL */
void   reply_row_end(struct buf *b, size_t row);

#endif
