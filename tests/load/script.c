/*
 * tests/load/script.c - makes up what clients send; see the header.
 *
 * A batch is a few operations that end in ReadyForQuery: one Query, or Parse/Bind/Execute... and Sync.
 * Source: PostgreSQL 15, 55.2 Message Flow.
 */
#include "tests/load/script.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/must.h"
#include "bench/peer.h"

static const struct {
	const char *word;
	unsigned    feature;
} feature_names[] = {
	{ "named", WITH_NAMED }, { "cancel", WITH_CANCEL }, { "die", WITH_DIE },         { "copy", WITH_COPY },
	{ "set", WITH_SET },     { "sleep", WITH_SLEEP },   { "flush", WITH_FLUSH },     { "odd", WITH_ODD },
	{ "suspend", WITH_SUSPEND }, { "dribble", WITH_DRIBBLE }, { "big", WITH_BIG },
	{ "deep", WITH_DEEP },   { "eager", WITH_EAGER },
};

unsigned
feature_named(const char *word)
{
	for (size_t i = 0; i < sizeof feature_names / sizeof *feature_names; i++)
		if (strcmp(word, feature_names[i].word) == 0)
			return feature_names[i].feature;
	return 0;
}

uint32_t
script_random(struct script *s, uint32_t below)
{
	s->random ^= s->random >> 12;
	s->random ^= s->random << 25;
	s->random ^= s->random >> 27;
	return below ? (uint32_t)((s->random * 0x2545F4914F6CDD1D) >> 33) % below : 0;
}

bool
script_chance(struct script *s, uint32_t in_1000)
{
	return script_random(s, 1000) < in_1000;
}

static bool
with(const struct script *s, unsigned feature)
{
	return (s->features & feature) != 0;
}

/* ---- statements ---- */

static struct statement
new_statement(struct script *s, enum statement_kind kind)
{
	struct statement st = { .kind = kind, .rows = 1 };
	snprintf(st.mark, sizeof st.mark, "c%u.%u.%u", s->client, s->connection, ++s->counter);
	memcpy(st.label, st.mark, sizeof st.label);
	switch (kind) {
	case ST_ROWS:
	case ST_COPY_OUT:
		st.rows = script_random(s, 6);
		st.width = script_random(s, 8);
		if (with(s, WITH_BIG) && script_chance(s, 20)) {
			st.rows = 1 + script_random(s, 1000);
			st.width = script_random(s, 100);
		}
		break;
	case ST_ERROR:
		st.rows = 1 + script_random(s, 6);
		st.bad_row = 1 + script_random(s, st.rows);
		break;
	case ST_SLEEP:
		st.sleep_ms = 5 + script_random(s, 60);
		break;
	case ST_COPY_IN:
		st.rows = 1 + script_random(s, script_chance(s, 100) ? 2000 : 20);
		st.width = script_random(s, 20);
		st.ending = script_chance(s, 700) ? COPY_GOOD : script_chance(s, 500) ? COPY_FAILED_BY_CLIENT : COPY_BAD_ROW;
		st.bad_row = 1 + script_random(s, st.rows);
		break;
	default:
		break;
	}
	return st;
}

static void
add_sql(struct buf *b, const struct statement *st)
{
	const char *m = st->mark;
	switch (st->kind) {
	case ST_ROWS:
		buf_addf(b, "select '%s-' || g as \"%s\", repeat('%s', %u) as f from generate_series(1, %u) g", m, st->label, m,
		         st->width, st->rows);
		break;
	case ST_ERROR:
		buf_addf(b, "select '%s-' || g as \"%s\", case when g = %u then ('%s!' || g)::int end as f "
		            "from generate_series(1, %u) g", m, st->label, st->bad_row, m, st->rows);
		break;
	case ST_SLEEP:
		buf_addf(b, "select '%s-' || g as \"%s\", pg_sleep(%u.0 / 1000)::text as f from generate_series(1, 1) g", m,
		         st->label, st->sleep_ms);
		break;
	case ST_NAME:
		buf_addf(b, "select '%s-' || 1 as \"%s\", current_setting('application_name') as f", m, st->label);
		break;
	case ST_CHECK:
		buf_addf(b, "select '%s-' || count(*) as \"%s\", md5(string_agg(filler, ',' order by n)) as f from marks_in "
		            "where run = '%s'", m, st->label, st->run);
		break;
	case ST_BEGIN:
		buf_addf(b, "begin");
		break;
	case ST_COMMIT:
		buf_addf(b, "commit");
		break;
	case ST_ROLLBACK:
		buf_addf(b, "rollback");
		break;
	case ST_SET:
		buf_addf(b, "set application_name = '%s'", m);
		break;
	case ST_COPY_OUT:
		buf_addf(b, "copy (select '%s-' || g, repeat('%s', %u) from generate_series(1, %u) g) to stdout", m, m, st->width,
		         st->rows);
		break;
	case ST_COPY_IN:
		buf_addf(b, "copy marks_in(run, n, filler) from stdin");
		break;
	case ST_EMPTY:
		break;
	}
}

/* The texts that take their values as parameters: $1 the mark, $2 width, row or seconds, $3 rows. */
static void
add_sql_with_parameters(struct buf *b, const struct statement *st)
{
	buf_addf(b, "select $1::text || '-' || g as \"%s\", ", st->label);
	if (st->kind == ST_ROWS)
		buf_addf(b, "repeat($1, $2::int)");
	else if (st->kind == ST_ERROR)
		buf_addf(b, "case when g = $2::int then ($1 || '!' || g)::int end");
	else
		buf_addf(b, "pg_sleep($2::float8)::text");
	buf_addf(b, " as f from generate_series(1, $3::int) g");
}

/* ---- operations ---- */

static struct op *
push(struct script *s, enum op_kind kind)
{
	struct op *op = s->push(s->to);
	op->kind = kind;
	return op;
}

static void
finish(struct op *op)
{
	op->head_n = op->bytes.n;
}

static void
add_slot_name(struct buf *b, unsigned slot)
{
	if (slot > 0)
		buf_addf(b, "s%u", slot);
	buf_add_u8(b, 0);
}

static struct op *
push_letter(struct script *s, enum op_kind kind, char letter, char what, unsigned slot)
{
	struct op *op = push(s, kind);
	op->slot = (uint8_t)slot;
	size_t at = message_begin(&op->bytes, letter);
	if (what)
		buf_add_u8(&op->bytes, (uint8_t)what);
	if (what == 'S')
		add_slot_name(&op->bytes, slot);
	else if (what == 'P')
		buf_add_u8(&op->bytes, 0);
	message_end(&op->bytes, at);
	finish(op);
	return op;
}

static void
add_copy_filler(struct buf *b, const struct statement *st, uint32_t n)
{
	buf_addf(b, "%s/%u", st->mark, n);
	for (uint32_t i = 0; i < st->width; i++)
		buf_add(b, view_of_string(st->mark));
}

static void
copy_md5(const struct statement *st, char out[33])
{
	struct buf all = { 0 };
	for (uint32_t n = 1; n <= st->rows; n++) {
		if (n > 1)
			buf_add_u8(&all, ',');
		add_copy_filler(&all, st, n);
	}
	uint8_t raw[16];
	EVP_Digest(all.p, all.n, raw, NULL, EVP_md5(), NULL);
	for (int i = 0; i < 16; i++)
		snprintf(out + 2 * i, 3, "%02x", raw[i]);
	buf_free(&all);
}

/* The data of a COPY IN: rows cut into CopyData messages anywhere, then CopyDone or CopyFail. */
static void
add_copy_data(struct script *s, struct buf *b, const struct statement *st)
{
	struct buf rows = { 0 };
	for (uint32_t n = 1; n <= st->rows; n++) {
		buf_addf(&rows, "%s\t", st->mark);
		if (st->ending == COPY_BAD_ROW && n == st->bad_row)
			buf_addf(&rows, "%s!%u\t", st->mark, n);
		else
			buf_addf(&rows, "%u\t", n);
		add_copy_filler(&rows, st, n);
		buf_add_u8(&rows, '\n');
	}
	for (size_t at = 0; at < rows.n;) {
		struct view piece = view_part(buf_view(&rows), at, 1 + script_random(s, 3000));
		size_t m = message_begin(b, 'd');
		buf_add(b, piece);
		message_end(b, m);
		at += piece.n;
	}
	size_t m = message_begin(b, st->ending == COPY_FAILED_BY_CLIENT ? 'f' : 'c');
	if (st->ending == COPY_FAILED_BY_CLIENT)
		buf_add_string(b, st->mark);
	message_end(b, m);
	buf_free(&rows);
}

static void
add_copy_tail(struct script *s, struct op *op)
{
	finish(op);
	add_copy_data(s, &op->bytes, &op->statement[0]);
	if (with(s, WITH_EAGER) && script_chance(s, 500))
		op->head_n = op->bytes.n; /* all at once: the server says CopyInResponse to itself */
}

static void
push_query_of(struct script *s, const struct statement *st, unsigned n)
{
	struct op *op = push(s, OP_QUERY);
	op->statements_n = (uint8_t)n;
	size_t at = message_begin(&op->bytes, 'Q');
	for (unsigned i = 0; i < n; i++) {
		op->statement[i] = st[i];
		if (i > 0)
			buf_addf(&op->bytes, "; ");
		add_sql(&op->bytes, &st[i]);
	}
	if (with(s, WITH_BIG) && script_chance(s, 10)) {
		buf_addf(&op->bytes, " /* ");
		for (unsigned i = script_random(s, 8000); i > 0; i--)
			buf_add(&op->bytes, view_of_string(st[0].mark));
		buf_addf(&op->bytes, " */");
	}
	buf_add_u8(&op->bytes, 0);
	message_end(&op->bytes, at);
	finish(op);
	if (st[0].kind == ST_COPY_IN)
		add_copy_tail(s, op);
}

static struct statement
push_query(struct script *s, enum statement_kind kind)
{
	struct statement st = new_statement(s, kind);
	push_query_of(s, &st, 1);
	return st;
}

static void
push_parse(struct script *s, unsigned slot, const struct statement *st, bool has_parameters)
{
	struct op *op = push(s, OP_PARSE);
	op->slot = (uint8_t)slot;
	op->statement[0] = *st;
	op->statements_n = 1;
	op->has_parameters = has_parameters;
	size_t at = message_begin(&op->bytes, 'P');
	add_slot_name(&op->bytes, slot);
	if (has_parameters)
		add_sql_with_parameters(&op->bytes, st);
	else
		add_sql(&op->bytes, st);
	buf_add_u8(&op->bytes, 0);
	buf_add_be16(&op->bytes, 0);
	message_end(&op->bytes, at);
	finish(op);
}

static void
add_value(struct buf *b, const char *text)
{
	buf_add_be32(b, (uint32_t)strlen(text));
	buf_add(b, view_of_string(text));
}

/* The values of $1..$3; integers in binary if asked. */
static void
add_values(struct buf *b, const struct statement *st, bool is_binary)
{
	char number[20];
	uint32_t second = st->kind == ST_ERROR ? st->bad_row : st->width;
	if (st->kind == ST_SLEEP)
		is_binary = false;
	buf_add_be16(b, is_binary ? 3 : 0);
	for (int i = 0; is_binary && i < 3; i++)
		buf_add_be16(b, 1);
	buf_add_be16(b, 3);
	add_value(b, st->mark);
	if (is_binary) {
		buf_add_be32(b, 4);
		buf_add_be32(b, second);
		buf_add_be32(b, 4);
		buf_add_be32(b, st->rows);
		return;
	}
	if (st->kind == ST_SLEEP)
		snprintf(number, sizeof number, "0.%03u", st->sleep_ms);
	else
		snprintf(number, sizeof number, "%u", second);
	add_value(b, number);
	snprintf(number, sizeof number, "%u", st->rows);
	add_value(b, number);
}

static void
push_bind(struct script *s, unsigned slot, const struct statement *st, bool has_parameters)
{
	struct op *op = push(s, OP_BIND);
	op->slot = (uint8_t)slot;
	op->statement[0] = *st;
	op->statements_n = 1;
	op->has_parameters = has_parameters;
	op->format = st->kind <= ST_CHECK && script_chance(s, 300);
	size_t at = message_begin(&op->bytes, 'B');
	buf_add_u8(&op->bytes, 0);
	add_slot_name(&op->bytes, slot);
	if (has_parameters) {
		add_values(&op->bytes, st, script_chance(s, 400));
	} else {
		buf_add_be16(&op->bytes, 0);
		buf_add_be16(&op->bytes, 0);
	}
	buf_add_be16(&op->bytes, op->format);
	for (int i = 0; i < op->format; i++)
		buf_add_be16(&op->bytes, 1);
	message_end(&op->bytes, at);
	finish(op);
}

static void
push_execute(struct script *s, const struct statement *st, uint32_t max_rows)
{
	struct op *op = push(s, OP_EXECUTE);
	op->statement[0] = *st;
	op->statements_n = 1;
	op->max_rows = max_rows;
	size_t at = message_begin(&op->bytes, 'E');
	buf_add_u8(&op->bytes, 0);
	buf_add_be32(&op->bytes, max_rows);
	message_end(&op->bytes, at);
	finish(op);
	if (st->kind == ST_COPY_IN)
		add_copy_tail(s, op);
}

/* ---- extended batches ---- */

static enum statement_kind
kind_of_slot(unsigned slot)
{
	return slot == SLOT_ERROR ? ST_ERROR : slot == SLOT_SLEEP ? ST_SLEEP : ST_ROWS;
}

static void
parse_named(struct script *s, unsigned slot)
{
	struct statement text = new_statement(s, kind_of_slot(slot));
	if (slot != SLOT_OWN)
		snprintf(text.label, sizeof text.label, "shared%u", slot);
	push_parse(s, slot, &text, true);
	s->planned_slots |= 1u << slot;
}

/* Bind and Execute, perhaps in pieces, with a Describe here and there. */
static void
push_call(struct script *s, unsigned slot, const struct statement *st, bool has_parameters)
{
	if (script_chance(s, 150))
		push_letter(s, OP_DESCRIBE_STATEMENT, 'D', 'S', slot);
	push_bind(s, slot, st, has_parameters);
	if (script_chance(s, 400))
		push_letter(s, OP_DESCRIBE_PORTAL, 'D', 'P', 0);
	bool in_pieces = with(s, WITH_SUSPEND) && st->kind <= ST_ERROR && script_chance(s, 200);
	for (int i = 0; in_pieces && i < 2; i++)
		push_execute(s, st, 1 + script_random(s, 3));
	push_execute(s, st, 0);
	if (script_chance(s, 50))
		push_letter(s, OP_CLOSE_PORTAL, 'C', 'P', 0);
}

static void
push_named_call(struct script *s)
{
	unsigned slot = 1 + script_random(s, SLOT_SLEEP);
	if (slot == SLOT_SLEEP && (!with(s, WITH_SLEEP) || script_chance(s, 800)))
		slot = 1;
	bool is_there = s->planned_slots & 1u << slot;
	bool is_odd = with(s, WITH_ODD) && script_chance(s, 20);
	if (is_there && script_chance(s, 50)) {
		push_letter(s, OP_CLOSE_STATEMENT, 'C', 'S', slot);
		s->planned_slots &= ~(1u << slot);
		is_there = false;
	}
	if (is_there == is_odd)
		parse_named(s, slot); /* odd: a second time; or not, although it is not there */
	struct statement values = new_statement(s, kind_of_slot(slot));
	push_call(s, slot, &values, true);
}

static void
push_unnamed_call(struct script *s, enum statement_kind kind)
{
	struct statement st = new_statement(s, kind);
	bool has_parameters = kind <= ST_SLEEP && script_chance(s, 500);
	push_parse(s, 0, &st, has_parameters);
	push_call(s, 0, &st, has_parameters);
}

static enum statement_kind
some_kind(struct script *s)
{
	if (script_chance(s, 60))
		return ST_ERROR;
	if (with(s, WITH_SLEEP) && script_chance(s, 25))
		return ST_SLEEP;
	if (with(s, WITH_SET) && script_chance(s, 100))
		return ST_NAME;
	return ST_ROWS;
}

static void
push_check(struct script *s, const struct statement *copy)
{
	struct statement st = new_statement(s, ST_CHECK);
	memcpy(st.run, copy->mark, sizeof st.run);
	st.rows = copy->rows;
	copy_md5(copy, st.md5);
	push_query_of(s, &st, 1);
}

/* The end of an extended batch: often Flush first, and the Sync only when all the rest was answered. */
static void
push_sync(struct script *s)
{
	bool flushes = with(s, WITH_FLUSH) && script_chance(s, 200);
	if (flushes)
		push_letter(s, OP_FLUSH, 'H', 0, 0);
	push_letter(s, OP_SYNC, 'S', 0, 0)->waits = flushes;
}

static void
extended_batch(struct script *s)
{
	for (unsigned calls = 1 + script_random(s, 4); calls > 0; calls--) {
		if (with(s, WITH_NAMED) && script_chance(s, 500))
			push_named_call(s);
		else
			push_unnamed_call(s, some_kind(s));
	}
	push_sync(s);
}

static void
copy_batch(struct script *s)
{
	if (script_chance(s, 400)) {
		push_query(s, ST_COPY_OUT);
		return;
	}
	struct statement copy = new_statement(s, ST_COPY_IN);
	if (script_chance(s, 600)) {
		push_query_of(s, &copy, 1);
	} else {
		push_parse(s, 0, &copy, false);
		push_bind(s, 0, &copy, false);
		push_execute(s, &copy, 0);
		push_letter(s, OP_SYNC, 'S', 0, 0);
	}
	push_check(s, &copy);
}

static void
transaction_step(struct script *s, enum statement_kind kind)
{
	if (script_chance(s, 500)) {
		push_query(s, kind);
	} else {
		push_unnamed_call(s, kind);
		if (script_chance(s, 300))
			push_unnamed_call(s, some_kind(s)); /* in the same pipeline */
		push_sync(s);
	}
	s->planned_tx = kind == ST_BEGIN ? 'T' : 'I';
}

static void
simple_batch(struct script *s)
{
	struct statement st[STATEMENTS_MAX];
	unsigned n = script_chance(s, 700) ? 1 : 1 + script_random(s, STATEMENTS_MAX);
	for (unsigned i = 0; i < n; i++)
		st[i] = new_statement(s, some_kind(s));
	push_query_of(s, st, n);
}

void
script_rollback(struct script *s)
{
	push_query(s, ST_ROLLBACK);
}

void
script_batch(struct script *s)
{
	uint32_t dice = script_random(s, 1000);
	if (s->planned_tx == 'E' && dice < 800) {
		transaction_step(s, ST_ROLLBACK);
		return;
	}
	if (s->planned_tx == 'T' && dice < 300) {
		transaction_step(s, dice < 220 ? ST_COMMIT : ST_ROLLBACK);
		return;
	}
	if (s->planned_tx == 'I' && dice < 120) {
		transaction_step(s, ST_BEGIN);
		return;
	}
	dice = script_random(s, 1000);
	if (dice < 30 && with(s, WITH_COPY))
		copy_batch(s);
	else if (dice < 45 && with(s, WITH_SET))
		push_query(s, ST_SET);
	else if (dice < 55)
		push_query(s, ST_EMPTY);
	else if (dice < 500)
		simple_batch(s);
	else
		extended_batch(s);
}
