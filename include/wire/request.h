/*
 * wire/request.h - frontend messages of our own, added to the end of a buf: for logging in to servers, for setting
 * sessions right, for prepared statements under shared names, for cancelling.
 *
 * Strings must hold no NUL but their last. Source: PostgreSQL 16, 55.7 (Message Formats).
 */
#ifndef WIRE_REQUEST_H
#define WIRE_REQUEST_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/view.h"

/* pairs: name, value, name, value ... NULL. Protocol 3.minor. */
void request_startup(struct buf *b, uint16_t minor, const char *const *pairs);
void request_ssl(struct buf *b);
void request_cancel(struct buf *b, uint32_t pid, struct view key);

void request_password(struct buf *b, const char *password);
void request_sasl_initial(struct buf *b, const char *mechanism, struct view data); /* data.p NULL: none */
void request_sasl_response(struct buf *b, struct view data);

void request_query(struct buf *b, const char *sql);
void request_parse(struct buf *b, const char *name, struct view query, struct view types); /* as parse_read() gives */
void request_describe(struct buf *b, char kind, const char *name); /* kind: 'S' statement or 'P' portal */
void request_close(struct buf *b, char kind, const char *name);
void request_execute(struct buf *b, const char *portal, uint32_t max_rows);
void request_sync(struct buf *b);
void request_flush(struct buf *b);
void request_copy_fail(struct buf *b, const char *text);
void request_terminate(struct buf *b);

/*
 * The beginning of a Bind under other names; the caller lets tail_bytes follow, which is what the client's body holds
 * behind its own head (frame_body_size() - head_bytes), arrived or not.
 */
void request_bind_head(struct buf *b, const char *portal, const char *statement, size_t tail_bytes);

#endif
