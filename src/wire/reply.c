/*
 * wire/reply.c - backend messages of our own: see wire/reply.h.
 *
 * Written in the order of fields in which PostgreSQL sends them, because some clients came to rely on it.
 */
#include "wire/reply.h"

#include <string.h>

#include "base/bytes.h"
#include "base/must.h"
#include "wire/compose.h"
#include "wire/frame.h"
#include "wire/startup.h"

static void
reply_bare(struct buf *b, char type)
{
	compose_end(b, compose_begin(b, type));
}

static void
reply_string(struct buf *b, char type, const char *s)
{
	size_t at = compose_begin(b, type);
	buf_add_string(b, s);
	compose_end(b, at);
}

static void
add_field(struct buf *b, char field, const char *s)
{
	if (!s)
		return;
	buf_add_u8(b, (uint8_t)field);
	buf_add_string(b, s);
}

static void
reply_fault(struct buf *b, char type, const char *severity, const struct fault *f)
{
	must(severity && f->sqlstate && f->text);
	size_t at = compose_begin(b, type);
	add_field(b, 'S', severity);
	add_field(b, 'V', severity);
	add_field(b, 'C', f->sqlstate);
	add_field(b, 'M', f->text);
	add_field(b, 'D', f->detail);
	add_field(b, 'H', f->hint);
	buf_add_u8(b, 0);
	compose_end(b, at);
}

void
reply_error(struct buf *b, const char *severity, const struct fault *f)
{
	reply_fault(b, BE_ERROR_RESPONSE, severity, f);
}

void
reply_notice(struct buf *b, const char *severity, const struct fault *f)
{
	reply_fault(b, BE_NOTICE_RESPONSE, severity, f);
}

void
reply_error_reworded(struct buf *b, struct view body, const char *from, const char *to)
{
	size_t at = compose_begin(b, BE_ERROR_RESPONSE);
	for (size_t i = 0; i < body.n && body.p[i] != 0;) {
		const char *text = (const char *)body.p + i + 1;
		const char *found = body.p[i] == 'M' ? strstr(text, from) : NULL;
		buf_add_u8(b, body.p[i]);
		if (found) {
			buf_add(b, view_of((const uint8_t *)text, (size_t)(found - text)));
			buf_add(b, view_of_string(to));
			buf_add_string(b, found + strlen(from));
		} else {
			buf_add_string(b, text);
		}
		i += 2 + strlen(text);
	}
	buf_add_u8(b, 0);
	compose_end(b, at);
}

static void
reply_auth_with(struct buf *b, uint32_t request, struct view data)
{
	size_t at = compose_begin(b, BE_AUTHENTICATION);
	buf_add_be32(b, request);
	buf_add(b, data);
	compose_end(b, at);
}

void
reply_auth(struct buf *b, uint32_t request)
{
	reply_auth_with(b, request, view_of(NULL, 0));
}

void
reply_auth_md5(struct buf *b, const uint8_t salt[4])
{
	reply_auth_with(b, AUTH_MD5_PASSWORD, view_of(salt, 4));
}

void
reply_auth_sasl(struct buf *b, const char *const *mechanisms)
{
	size_t at = compose_begin(b, BE_AUTHENTICATION);
	buf_add_be32(b, AUTH_SASL);
	for (; *mechanisms; mechanisms++)
		buf_add_string(b, *mechanisms);
	buf_add_u8(b, 0);
	compose_end(b, at);
}

void
reply_auth_sasl_continue(struct buf *b, struct view data)
{
	reply_auth_with(b, AUTH_SASL_CONTINUE, data);
}

void
reply_auth_sasl_final(struct buf *b, struct view data)
{
	reply_auth_with(b, AUTH_SASL_FINAL, data);
}

void
reply_parameter_status(struct buf *b, const char *name, const char *value)
{
	size_t at = compose_begin(b, BE_PARAMETER_STATUS);
	buf_add_string(b, name);
	buf_add_string(b, value);
	compose_end(b, at);
}

void
reply_backend_key(struct buf *b, uint32_t pid, struct view key)
{
	must(key.n >= CANCEL_KEY_MIN && key.n <= CANCEL_KEY_MAX);
	size_t at = compose_begin(b, BE_BACKEND_KEY_DATA);
	buf_add_be32(b, pid);
	buf_add(b, key);
	compose_end(b, at);
}

void
reply_negotiate(struct buf *b, uint16_t newest_minor, const char *const *names, uint32_t count)
{
	size_t at = compose_begin(b, BE_NEGOTIATE_PROTOCOL_VERSION);
	/* The whole version as PostgreSQL 11 to 18 send it and libpq expects it, although the manual says the minor. */
	buf_add_be32(b, PROTOCOL_VERSION(PROTOCOL_MAJOR, newest_minor));
	buf_add_be32(b, count);
	for (uint32_t i = 0; i < count; i++)
		buf_add_string(b, names[i]);
	compose_end(b, at);
}

void
reply_ready(struct buf *b, char status)
{
	must(status == 'I' || status == 'T' || status == 'E');
	size_t at = compose_begin(b, BE_READY_FOR_QUERY);
	buf_add_u8(b, (uint8_t)status);
	compose_end(b, at);
}

void
reply_notification(struct buf *b, uint32_t pid, const char *channel, const char *payload)
{
	size_t at = compose_begin(b, BE_NOTIFICATION_RESPONSE);
	buf_add_be32(b, pid);
	buf_add_string(b, channel);
	buf_add_string(b, payload);
	compose_end(b, at);
}

void
reply_command_complete(struct buf *b, const char *tag)
{
	reply_string(b, BE_COMMAND_COMPLETE, tag);
}

void
reply_parse_complete(struct buf *b)
{
	reply_bare(b, BE_PARSE_COMPLETE);
}

void
reply_bind_complete(struct buf *b)
{
	reply_bare(b, BE_BIND_COMPLETE);
}

void
reply_close_complete(struct buf *b)
{
	reply_bare(b, BE_CLOSE_COMPLETE);
}

void
reply_no_data(struct buf *b)
{
	reply_bare(b, BE_NO_DATA);
}

void
reply_empty_query(struct buf *b)
{
	reply_bare(b, BE_EMPTY_QUERY_RESPONSE);
}

void
reply_portal_suspended(struct buf *b)
{
	reply_bare(b, BE_PORTAL_SUSPENDED);
}

void
reply_parameter_description(struct buf *b, const uint32_t *oids, uint16_t n)
{
	size_t at = compose_begin(b, BE_PARAMETER_DESCRIPTION);
	buf_add_be16(b, n);
	for (uint16_t i = 0; i < n; i++)
		buf_add_be32(b, oids[i]);
	compose_end(b, at);
}

void
reply_row_description(struct buf *b, const struct column *columns, uint16_t n)
{
	size_t at = compose_begin(b, BE_ROW_DESCRIPTION);
	buf_add_be16(b, n);
	for (uint16_t i = 0; i < n; i++) {
		buf_add_string(b, columns[i].name);
		buf_add_be32(b, 0); /* of no table */
		buf_add_be16(b, 0); /* and no column of one */
		buf_add_be32(b, columns[i].type_oid);
		buf_add_be16(b, (uint16_t)columns[i].type_length);
		buf_add_be32(b, UINT32_MAX); /* no type modifier: -1 */
		buf_add_be16(b, 0);          /* text */
	}
	compose_end(b, at);
}

size_t
reply_row_begin(struct buf *b)
{
	size_t row = compose_begin(b, BE_DATA_ROW);
	buf_add_be16(b, 0); /* counted as they come */
	return row;
}

void
reply_row_value(struct buf *b, size_t row, const struct view *value)
{
	uint8_t *count = b->p + row + FRAME_HEAD_BYTES;
	must(load_be16(count) < UINT16_MAX);
	store_be16(count, (uint16_t)(load_be16(count) + 1));
	if (!value) {
		buf_add_be32(b, UINT32_MAX); /* -1 */
		return;
	}
	must(value->n <= FRAME_LENGTH_MAX);
	buf_add_be32(b, (uint32_t)value->n);
	buf_add(b, *value);
}

void
reply_row_string(struct buf *b, size_t row, const char *value)
{
	struct view v = view_of_string(value);
	reply_row_value(b, row, value ? &v : NULL);
}

void
reply_row_end(struct buf *b, size_t row)
{
	compose_end(b, row);
}
