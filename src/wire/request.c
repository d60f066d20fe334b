/* wire/request.c - frontend messages of our own: see wire/request.h. */
#include "wire/request.h"

#include <string.h>

#include "base/bytes.h"
#include "base/must.h"
#include "wire/compose.h"
#include "wire/frame.h"
#include "wire/message.h"
#include "wire/startup.h"

static void
request_bare(struct buf *b, char type)
{
	compose_end(b, compose_begin(b, type));
}

static void
request_string(struct buf *b, char type, const char *s)
{
	size_t at = compose_begin(b, type);
	buf_add_string(b, s);
	compose_end(b, at);
}

void
request_startup(struct buf *b, uint16_t minor, const char *const *pairs)
{
	size_t at = b->n;
	buf_add_be32(b, 0);
	buf_add_be32(b, PROTOCOL_VERSION(PROTOCOL_MAJOR, minor));
	for (; *pairs; pairs += 2) {
		must(pairs[0][0] != '\0' && pairs[1]); /* an empty name would end the list */
		buf_add_string(b, pairs[0]);
		buf_add_string(b, pairs[1]);
	}
	buf_add_u8(b, 0);
	store_be32(b->p + at, (uint32_t)(b->n - at));
}

void
request_ssl(struct buf *b)
{
	buf_add_be32(b, 8);
	buf_add_be32(b, STARTUP_CODE_SSL);
}

void
request_cancel(struct buf *b, uint32_t pid, struct view key)
{
	must(key.n >= CANCEL_KEY_MIN && key.n <= CANCEL_KEY_MAX);
	buf_add_be32(b, (uint32_t)(12 + key.n));
	buf_add_be32(b, STARTUP_CODE_CANCEL);
	buf_add_be32(b, pid);
	buf_add(b, key);
}

void
request_password(struct buf *b, const char *password)
{
	request_string(b, FE_PASSWORD, password);
}

void
request_sasl_initial(struct buf *b, const char *mechanism, struct view data)
{
	size_t at = compose_begin(b, FE_PASSWORD);
	buf_add_string(b, mechanism);
	buf_add_be32(b, data.p ? (uint32_t)data.n : UINT32_MAX);
	buf_add(b, data);
	compose_end(b, at);
}

void
request_sasl_response(struct buf *b, struct view data)
{
	size_t at = compose_begin(b, FE_PASSWORD);
	buf_add(b, data);
	compose_end(b, at);
}

void
request_query(struct buf *b, const char *sql)
{
	request_string(b, FE_QUERY, sql);
}

void
request_parse(struct buf *b, const char *name, struct view query, struct view types)
{
	must(types.n % 4 == 0 && types.n / 4 <= UINT16_MAX);
	size_t at = compose_begin(b, FE_PARSE);
	buf_add_string(b, name);
	buf_add(b, query);
	buf_add_u8(b, 0);
	buf_add_be16(b, (uint16_t)(types.n / 4));
	buf_add(b, types);
	compose_end(b, at);
}

static void
request_target(struct buf *b, char type, char kind, const char *name)
{
	must(kind == 'S' || kind == 'P');
	size_t at = compose_begin(b, type);
	buf_add_u8(b, (uint8_t)kind);
	buf_add_string(b, name);
	compose_end(b, at);
}

void
request_describe(struct buf *b, char kind, const char *name)
{
	request_target(b, FE_DESCRIBE, kind, name);
}

void
request_close(struct buf *b, char kind, const char *name)
{
	request_target(b, FE_CLOSE, kind, name);
}

void
request_execute(struct buf *b, const char *portal, uint32_t max_rows)
{
	size_t at = compose_begin(b, FE_EXECUTE);
	buf_add_string(b, portal);
	buf_add_be32(b, max_rows);
	compose_end(b, at);
}

void
request_sync(struct buf *b)
{
	request_bare(b, FE_SYNC);
}

void
request_flush(struct buf *b)
{
	request_bare(b, FE_FLUSH);
}

void
request_copy_fail(struct buf *b, const char *text)
{
	request_string(b, FE_COPY_FAIL, text);
}

void
request_terminate(struct buf *b)
{
	request_bare(b, FE_TERMINATE);
}

void
request_bind_head(struct buf *b, const char *portal, const char *statement, size_t tail_bytes)
{
	must(tail_bytes <= FRAME_LENGTH_MAX);
	size_t at = compose_begin(b, FE_BIND);
	buf_add_string(b, portal);
	buf_add_string(b, statement);
	size_t length = b->n - at - 1 + tail_bytes;
	must(length <= INT32_MAX);
	store_be32(b->p + at + 1, (uint32_t)length);
}
