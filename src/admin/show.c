/* admin/show.c - what all tables behind SHOW have in common; see the header. */
#include "admin/show.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/text.h"
#include "wire/compose.h"
#include "wire/reply.h"

static const struct show_table *const tables[] = {
	&show_clients,      &show_servers,   &show_pools,          &show_databases, &show_users,
	&show_lists,        &show_config,    &show_stats,          &show_stats_totals,
	&show_stats_averages, &show_totals,  &show_version,        &show_state,     &show_mem,
	&show_fds,          &show_sockets,   &show_active_sockets, &show_peers,     &show_peer_pools,
	&show_dns_hosts,    &show_dns_zones, &show_members,        &show_clusters, &show_failovers,
	&show_pins,         &show_listeners,
};

const struct show_table *
show_at(size_t i)
{
	return i < sizeof(tables) / sizeof(tables[0]) ? tables[i] : NULL;
}

const struct show_table *
show_find(const char *word)
{
	const struct show_table *t;
	for (size_t i = 0; (t = show_at(i)) != NULL; i++)
		if (text_equal_nocase(t->word, word))
			return t;
	for (t = show_parameters; t->word; t++)
		if (text_equal_nocase(t->word, word))
			return t;
	return show_setting(word);
}

const struct show_column *
show_column(const struct show_table *t, const char *name)
{
	for (uint16_t i = 0; i < t->column_count; i++)
		if (strcmp(t->columns[i].name, name) == 0)
			return &t->columns[i];
	return NULL;
}

/* ---- rows ---- */

void *
show_rows_add(struct show_rows *rows)
{
	buf_reserve(&rows->bytes, rows->row_bytes);
	uint8_t *row = rows->bytes.p + rows->bytes.n;
	memset(row, 0, rows->row_bytes);
	rows->bytes.n += rows->row_bytes;
	rows->count++;
	return row;
}

const void *
show_row(const struct show_rows *rows, size_t i)
{
	return rows->bytes.p + i * rows->row_bytes;
}

void
show_rows_free(struct show_rows *rows)
{
	buf_free(&rows->bytes);
	rows->count = 0;
}

void
show_collect(const struct show_table *t, struct proxy *x, struct show_rows *out)
{
	*out = (struct show_rows){ .row_bytes = t->row_bytes };
	t->fill(t, x, out);
	if (t->compare && out->count > 1)
		qsort(out->bytes.p, out->count, out->row_bytes, t->compare);
}

/* ---- values ---- */

static const char *
string_at(const struct show_column *c, const void *row)
{
	const char *at = (const char *)row + c->at;
	if (c->type == SHOW_CHARS)
		return at;
	const char *s;
	memcpy(&s, at, sizeof(s));
	return s;
}

static bool
is_number(enum show_type type)
{
	return type == SHOW_INT4 || type == SHOW_INT8 || type == SHOW_NUMERIC || type == SHOW_TIME;
}

uint64_t
show_number(const struct show_column *c, const void *row)
{
	if (!is_number(c->type))
		return SHOW_NULL;
	uint64_t n;
	memcpy(&n, (const char *)row + c->at, sizeof(n));
	return n;
}

/* An int4 or int8 never overflows on the wire: a driver would refuse the whole row. */
static uint64_t
number_that_fits(const struct show_column *c, uint64_t n)
{
	if (c->type == SHOW_INT4 && n > INT32_MAX)
		return INT32_MAX;
	if (c->type == SHOW_INT8 && n > INT64_MAX)
		return INT64_MAX;
	return n;
}

static int
date_text(uint64_t at_us, char *room, size_t bytes)
{
	time_t seconds = (time_t)(clock_wall_of(at_us) / SECOND_US);
	struct tm tm;
	localtime_r(&seconds, &tm);
	return (int)strftime(room, bytes, "%Y-%m-%d %H:%M:%S %Z", &tm);
}

bool
show_text(const struct show_column *c, const void *row, char room[SHOW_ROOM], struct view *out)
{
	if (!is_number(c->type)) {
		const char *s = string_at(c, row);
		if (s == NULL)
			return false;
		*out = view_of_string(s);
		return true;
	}
	uint64_t n = show_number(c, row);
	if (n == SHOW_NULL)
		return false;
	int length = c->type == SHOW_TIME ? date_text(n, room, SHOW_ROOM)
	                                  : snprintf(room, SHOW_ROOM, "%" PRIu64, number_that_fits(c, n));
	*out = view_of(room, (size_t)length);
	return true;
}

/* ---- messages ---- */

static const struct {
	uint32_t oid;
	int16_t  bytes;
} types[] = {
	[SHOW_TEXT] = { OID_TEXT, -1 },  [SHOW_CHARS] = { OID_TEXT, -1 }, [SHOW_INT4] = { OID_INT4, 4 },
	[SHOW_INT8] = { OID_INT8, 8 },   [SHOW_NUMERIC] = { 1700, -1 },   [SHOW_TIME] = { OID_TEXT, -1 },
	[SHOW_BYTEA] = { 17, -1 },
};

/* One format is for all columns; none means text. */
static bool
is_binary(struct view formats, uint16_t column)
{
	size_t count = formats.n / 2;
	if (count == 0)
		return false;
	return load_be16(formats.p + 2 * (count == 1 ? 0 : column)) == 1;
}

void
show_describe(const struct show_table *t, struct view formats, struct buf *out)
{
	size_t message = compose_begin(out, BE_ROW_DESCRIPTION);
	buf_add_be16(out, t->column_count);
	for (uint16_t i = 0; i < t->column_count; i++) {
		const struct show_column *c = &t->columns[i];
		buf_add_string(out, c->name);
		buf_add_be32(out, 0); /* of no relation */
		buf_add_be16(out, 0);
		buf_add_be32(out, types[c->type].oid);
		buf_add_be16(out, (uint16_t)types[c->type].bytes);
		buf_add_be32(out, UINT32_MAX); /* no modifier */
		buf_add_be16(out, is_binary(formats, i));
	}
	compose_end(out, message);
}

/* PostgreSQL's binary numeric: digits of base 10000, the number of them, weight of the first, sign, scale. */
static void
add_binary_numeric(struct buf *out, uint64_t n)
{
	uint16_t digits[5]; /* the last is the first; 10000^5 > 2^64 */
	uint16_t count = 0;
	for (; n > 0; n /= 10000)
		digits[count++] = (uint16_t)(n % 10000);
	buf_add_be32(out, 8u + 2u * count);
	buf_add_be16(out, count);
	buf_add_be16(out, count ? (uint16_t)(count - 1) : 0);
	buf_add_be16(out, 0);
	buf_add_be16(out, 0);
	while (count > 0)
		buf_add_be16(out, digits[--count]);
}

static uint8_t
nibble(char c)
{
	return (uint8_t)(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
}

static void
add_binary_bytea(struct buf *out, struct view hex)
{
	buf_add_be32(out, (uint32_t)(hex.n / 2));
	for (size_t i = 0; i + 1 < hex.n; i += 2)
		buf_add_u8(out, (uint8_t)(nibble((char)hex.p[i]) << 4 | nibble((char)hex.p[i + 1])));
}

static void
add_binary(const struct show_column *c, const void *row, struct view text, struct buf *out)
{
	uint64_t n = number_that_fits(c, show_number(c, row));
	switch (c->type) {
	case SHOW_INT4:
		buf_add_be32(out, 4);
		buf_add_be32(out, (uint32_t)n);
		return;
	case SHOW_INT8:
		buf_add_be32(out, 8);
		buf_add_be32(out, (uint32_t)(n >> 32));
		buf_add_be32(out, (uint32_t)n);
		return;
	case SHOW_NUMERIC:
		add_binary_numeric(out, n);
		return;
	case SHOW_BYTEA:
		add_binary_bytea(out, text);
		return;
	case SHOW_TEXT:
	case SHOW_CHARS:
	case SHOW_TIME:
		buf_add_be32(out, (uint32_t)text.n);
		buf_add(out, text);
		return;
	}
}

void
show_data(const struct show_table *t, const void *row, struct view formats, struct buf *out)
{
	size_t message = compose_begin(out, BE_DATA_ROW);
	buf_add_be16(out, t->column_count);
	for (uint16_t i = 0; i < t->column_count; i++) {
		const struct show_column *c = &t->columns[i];
		char room[SHOW_ROOM];
		struct view text;
		if (!show_text(c, row, room, &text)) {
			buf_add_be32(out, UINT32_MAX);
		} else if (is_binary(formats, i)) {
			add_binary(c, row, text, out);
		} else if (c->type == SHOW_BYTEA) {
			buf_add_be32(out, (uint32_t)text.n + 2);
			buf_add(out, VIEW("\\x"));
			buf_add(out, text);
		} else {
			buf_add_be32(out, (uint32_t)text.n);
			buf_add(out, text);
		}
	}
	compose_end(out, message);
}
