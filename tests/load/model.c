/*
 * tests/load/model.c - judges each backend message; see the header.
 *
 *   model_take ── async messages, cancels ── take_query ─┬─ run_statement
 *                                          └ take_extended ┘
 */
#include "tests/load/model.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

static struct op *
head(struct model *m)
{
	return &m->ops[m->taken % OPS];
}

static const char *
op_name(const struct op *op)
{
	static const char *names[] = { "Query", "Parse", "Bind", "Describe statement", "Describe portal", "Execute",
		"Close statement", "Close portal", "Flush", "Sync" };
	return names[op->kind];
}

static const char *
statement_name(const struct statement *st)
{
	static const char *names[] = { "rows", "error", "sleep", "name", "check", "begin", "commit", "rollback", "set", "copy out",
		"copy in", "empty" };
	return names[st->kind];
}

void
model_reset(struct model *m, const char *application_name)
{
	for (unsigned i = 0; i < OPS; i++)
		buf_free(&m->ops[i].bytes);
	unsigned client = m->client;
	*m = (struct model){ .client = client, .tx = 'I' };
	snprintf(m->name_now, sizeof m->name_now, "%s", application_name);
	snprintf(m->name_kept, sizeof m->name_kept, "%s", application_name);
}

/* ---- comparing ---- */

static bool wrong(struct model *m, const struct message *got, struct text *why, const char *expected, ...)
	__attribute__((format(printf, 4, 5)));

static bool
wrong(struct model *m, const struct message *got, struct text *why, const char *expected, ...)
{
	va_list args;
	char wanted[300];
	va_start(args, expected);
	vsnprintf(wanted, sizeof wanted, expected, args);
	va_end(args);
	const struct op *op = m->taken < m->sent ? head(m) : NULL;
	text_addf(why, "expected %s, got '%c' ", wanted, isprint((unsigned char)got->type) ? got->type : '?');
	text_add_view(why, view_part(got->body, 0, 120));
	text_addf(why, " (%zu bytes); tx %c%s, op %u of %u sent, %u made", got->body.n, m->tx, m->is_skipping ? " skipping" : "",
	          m->taken, m->sent, m->made);
	if (op)
		text_addf(why, ": %s slot %u %s %s", op_name(op), op->slot, op->statements_n ? statement_name(&op->statement[0]) : "",
		          op->statements_n ? op->statement[0].mark : "");
	return false;
}

static bool
is_text(struct view v, const char *s)
{
	return view_is(v, s);
}

static bool
is_error(const struct message *got, const char *sqlstate, const char *text)
{
	return got->type == 'E' && is_text(error_field(got->body, 'C'), sqlstate) &&
	       is_text(error_field(got->body, 'V'), "ERROR") && (text == NULL || is_text(error_field(got->body, 'M'), text));
}

static bool
is_complete(const struct message *got, const char *tag)
{
	return got->type == 'C' && got->body.n == strlen(tag) + 1 && memcmp(got->body.p, tag, got->body.n) == 0;
}

/* Two columns: the label, and "f". */
static bool
is_row_description(const struct message *got, const struct statement *st, unsigned format)
{
	if (got->type != 'T' || got->body.n < 2 || load_be16(got->body.p) != 2)
		return false;
	struct view rest = view_from(got->body, 2);
	for (int i = 0; i < 2; i++) {
		const char *name = i == 0 ? st->label : "f";
		size_t n = strlen(name) + 1;
		if (rest.n < n + 18 || memcmp(rest.p, name, n) != 0 || load_be16(rest.p + n + 16) != format)
			return false;
		rest = view_from(rest, n + 18);
	}
	return rest.n == 0;
}

/* What row g of the statement is, as DataRow or as a line of COPY. */
static void
build_row(const struct model *m, const struct statement *st, uint32_t g, struct buf *out)
{
	char first[MARK_MAX + 20];
	struct buf second = { 0 };
	bool is_null = st->kind == ST_ERROR;
	snprintf(first, sizeof first, "%s-%u", st->mark, g);
	if (st->kind == ST_ROWS || st->kind == ST_COPY_OUT)
		for (uint32_t i = 0; i < st->width; i++)
			buf_add(&second, view_of_string(st->mark));
	if (st->kind == ST_NAME)
		buf_add(&second, view_of_string(m->name_now));
	if (st->kind == ST_CHECK) {
		bool is_there = strcmp(m->copied, st->run) == 0;
		snprintf(first, sizeof first, "%s-%u", st->mark, is_there ? st->rows : 0);
		is_null = !is_there;
		buf_add(&second, view_of_string(is_there ? st->md5 : ""));
	}
	if (st->kind == ST_COPY_OUT) {
		buf_addf(out, "%s\t", first);
		buf_add(out, buf_view(&second));
		buf_add_u8(out, '\n');
	} else {
		buf_add_be16(out, 2);
		buf_add_be32(out, (uint32_t)strlen(first));
		buf_add(out, view_of_string(first));
		buf_add_be32(out, is_null ? UINT32_MAX : (uint32_t)second.n);
		if (!is_null)
			buf_add(out, buf_view(&second));
	}
	buf_free(&second);
}

static bool
is_row(const struct model *m, const struct message *got, const struct statement *st, uint32_t g)
{
	static struct buf expected;
	buf_clear(&expected);
	build_row(m, st, g, &expected);
	return got->type == (st->kind == ST_COPY_OUT ? 'd' : 'D') && view_equal(got->body, buf_view(&expected));
}

long
model_foreign(const struct model *m, struct view bytes)
{
	char text[400], *at = text, *end;
	size_t n = bytes.n < sizeof text - 1 ? bytes.n : sizeof text - 1;
	if (n > 0)
		memcpy(text, bytes.p, n);
	text[n] = 0;
	for (size_t i = 0; i < n; i++)
		if (text[i] == 0)
			text[i] = ' ';
	while ((at = strchr(at, 'c')) != NULL) {
		long client = strtol(at + 1, &end, 10);
		if (end > at + 1 && *end == '.' && isdigit((unsigned char)end[1]) && client != (long)m->client)
			return client;
		at++;
	}
	return -1;
}

/* ---- the course of one statement ---- */

enum run { RUN_MORE, RUN_DONE, RUN_SUSPENDED, RUN_FAILED, RUN_WRONG };

static bool
returns_rows(const struct statement *st)
{
	return st->kind <= ST_CHECK;
}

static bool
ends_transaction(const struct statement *st)
{
	return st->kind == ST_COMMIT || st->kind == ST_ROLLBACK;
}

static void
end_transaction(struct model *m, bool is_kept)
{
	if (is_kept)
		memcpy(m->name_kept, m->name_now, sizeof m->name_kept);
	else
		memcpy(m->name_now, m->name_kept, sizeof m->name_now);
	m->tx = 'I';
	m->portal.exists = false;
}

static enum run
run_rows(struct model *m, const struct message *got, const struct statement *st, uint32_t *row_at, uint32_t fetched,
         uint32_t max_rows, struct text *why)
{
	uint32_t good = st->kind == ST_ERROR ? st->bad_row - 1 : st->kind == ST_CHECK ? 1 : st->rows;
	if (max_rows > 0 && fetched == max_rows) {
		if (got->type == 's')
			return RUN_SUSPENDED;
		wrong(m, got, why, "PortalSuspended after %u rows", fetched);
		return RUN_WRONG;
	}
	if (*row_at < good) {
		if (!is_row(m, got, st, *row_at + 1)) {
			wrong(m, got, why, "row %u of %s", *row_at + 1, st->mark);
			return RUN_WRONG;
		}
		++*row_at;
		m->rows++;
		return RUN_MORE;
	}
	char text[200];
	if (st->kind == ST_ERROR) {
		snprintf(text, sizeof text, "invalid input syntax for type integer: \"%s!%u\"", st->mark, st->bad_row);
		if (is_error(got, "22P02", text))
			return RUN_FAILED;
	} else {
		snprintf(text, sizeof text, "SELECT %u", fetched);
		if (is_complete(got, text))
			return RUN_DONE;
	}
	wrong(m, got, why, "%s", text);
	return RUN_WRONG;
}

static enum run
run_copy_out(struct model *m, const struct message *got, const struct statement *st, struct text *why)
{
	char tag[40];
	snprintf(tag, sizeof tag, "COPY %u", st->rows);
	if (m->stage == 0 && got->type == 'H') {
		m->stage = 1;
		m->row_at = 0;
		return RUN_MORE;
	}
	if (m->stage == 1 && m->row_at < st->rows && is_row(m, got, st, m->row_at + 1)) {
		m->row_at++;
		m->rows++;
		return RUN_MORE;
	}
	if (m->stage == 1 && m->row_at == st->rows && got->type == 'c') {
		m->stage = 2;
		return RUN_MORE;
	}
	if (m->stage == 2 && is_complete(got, tag))
		return RUN_DONE;
	wrong(m, got, why, "COPY out, stage %u, after %u of %u rows", m->stage, m->row_at, st->rows);
	return RUN_WRONG;
}

static enum run
run_copy_in(struct model *m, const struct message *got, const struct statement *st, struct text *why)
{
	if (m->stage == 0 && got->type == 'G') {
		m->stage = 1;
		m->copy_open = true;
		return RUN_MORE;
	}
	char text[200];
	bool is_right = false;
	switch (st->ending) {
	case COPY_GOOD:
		snprintf(text, sizeof text, "COPY %u", st->rows);
		is_right = is_complete(got, text);
		break;
	case COPY_FAILED_BY_CLIENT:
		snprintf(text, sizeof text, "COPY from stdin failed: %s", st->mark);
		is_right = is_error(got, "57014", text);
		break;
	case COPY_BAD_ROW:
		snprintf(text, sizeof text, "invalid input syntax for type integer: \"%s!%u\"", st->mark, st->bad_row);
		is_right = is_error(got, "22P02", text);
		break;
	}
	/* An answer before the data was sent can only be somebody else's. */
	bool is_early = m->tail_held && m->taken == m->sent - 1;
	if (m->stage != 1 || is_early || !is_right) {
		wrong(m, got, why, "COPY in, stage %u, %s: %s", m->stage, is_early ? "data not sent yet" : "data sent", text);
		return RUN_WRONG;
	}
	m->copy_open = false;
	if (st->ending != COPY_GOOD)
		return RUN_FAILED;
	memcpy(m->copied, st->mark, sizeof m->copied);
	return RUN_DONE;
}

static enum run
run_command(struct model *m, const struct message *got, const struct statement *st, struct text *why)
{
	const char *tag = st->kind == ST_BEGIN ? "BEGIN" : st->kind == ST_SET ? "SET" : "ROLLBACK";
	if (st->kind == ST_COMMIT && m->tx != 'E')
		tag = "COMMIT";
	if (!is_complete(got, tag)) {
		wrong(m, got, why, "CommandComplete %s", tag);
		return RUN_WRONG;
	}
	if (st->kind == ST_BEGIN)
		m->tx = 'T';
	if (ends_transaction(st))
		end_transaction(m, *tag == 'C');
	if (st->kind == ST_SET) {
		memcpy(m->name_now, st->mark, sizeof st->mark);
		if (m->tx == 'I')
			memcpy(m->name_kept, st->mark, sizeof st->mark);
	}
	return RUN_DONE;
}

/* ---- what an error does ---- */

static void
note_failure(struct model *m)
{
	m->errors++;
	m->copy_open = false;
	if (m->tx == 'T')
		m->tx = 'E';
}

static void
advance(struct model *m)
{
	m->taken++;
	m->stage = m->statement_at = 0;
	m->row_at = 0;
	m->is_failed = false;
	model_settle(m);
}

static void
fail_head(struct model *m)
{
	note_failure(m);
	enum op_kind kind = head(m)->kind;
	if (kind == OP_QUERY) {
		m->is_failed = true;
	} else if (kind != OP_SYNC) {
		m->is_skipping = true;
		advance(m);
	}
}

void
model_settle(struct model *m)
{
	while (m->taken < m->sent) {
		const struct op *op = head(m);
		bool is_silent = op->kind == OP_FLUSH || (m->is_skipping && op->kind != OP_SYNC && op->kind != OP_QUERY);
		if (!is_silent)
			return;
		m->taken++;
		m->stage = 0;
		m->row_at = 0;
	}
}

/* ---- ReadyForQuery ---- */

static bool
take_ready(struct model *m, const struct message *got, struct text *why)
{
	char status = got->type == 'Z' && got->body.n == 1 ? (char)got->body.p[0] : 0;
	bool is_right = status == m->tx || (m->is_uncertain && (status == 'I' || status == 'E'));
	if (!is_right)
		return wrong(m, got, why, "ReadyForQuery %c%s", m->tx, m->is_uncertain ? " or what became of a cancelled one" : "");
	if (m->is_uncertain && status == 'I')
		end_transaction(m, false);
	m->tx = status;
	m->is_uncertain = m->is_skipping = false;
	if (m->tx == 'I')
		m->portal.exists = false;
	m->queries++;
	advance(m);
	return true;
}

/* ---- Query ---- */

static bool
take_query(struct model *m, const struct message *got, struct text *why)
{
	struct op *op = head(m);
	if (m->is_failed || m->statement_at == op->statements_n)
		return take_ready(m, got, why);
	const struct statement *st = &op->statement[m->statement_at];
	if (st->kind == ST_EMPTY) {
		m->statement_at++;
		return got->type == 'I' || wrong(m, got, why, "EmptyQueryResponse");
	}
	if (m->tx == 'E' && !ends_transaction(st)) {
		if (!is_error(got, "25P02", NULL))
			return wrong(m, got, why, "25P02: the transaction has failed");
		fail_head(m);
		return true;
	}
	enum run run;
	if (returns_rows(st) && m->stage == 0) {
		if (!is_row_description(got, st, 0))
			return wrong(m, got, why, "RowDescription of %s", st->mark);
		m->stage = 1;
		m->row_at = 0;
		return true;
	}
	if (returns_rows(st))
		run = run_rows(m, got, st, &m->row_at, m->row_at, 0, why);
	else if (st->kind == ST_COPY_OUT)
		run = run_copy_out(m, got, st, why);
	else if (st->kind == ST_COPY_IN)
		run = run_copy_in(m, got, st, why);
	else
		run = run_command(m, got, st, why);
	if (run == RUN_WRONG)
		return false;
	if (run == RUN_FAILED)
		fail_head(m);
	if (run == RUN_DONE) {
		m->statement_at++;
		m->stage = 0;
	}
	return true;
}

/* ---- the extended protocol ---- */

/* The error that this operation must get in the present state, or NULL. In PostgreSQL's order of checks. */
static const char *
error_due(const struct model *m, const struct op *op)
{
	const struct slot *slot = &m->slots[op->slot];
	switch (op->kind) {
	case OP_PARSE:
		if (m->tx == 'E' && !ends_transaction(&op->statement[0]))
			return "25P02";
		return op->slot > 0 && slot->exists ? "42P05" : NULL;
	case OP_BIND:
		if (!slot->exists)
			return "26000";
		return m->tx == 'E' && !ends_transaction(&slot->statement) ? "25P02" : NULL;
	case OP_DESCRIBE_STATEMENT:
		if (!slot->exists)
			return "26000";
		return m->tx == 'E' && returns_rows(&slot->statement) ? "25P02" : NULL;
	case OP_DESCRIBE_PORTAL:
		if (!m->portal.exists)
			return "34000";
		return m->tx == 'E' && returns_rows(&m->portal.statement) ? "25P02" : NULL;
	case OP_EXECUTE:
		if (!m->portal.exists)
			return "34000";
		return m->tx == 'E' && !ends_transaction(&m->portal.statement) ? "25P02" : NULL;
	default:
		return NULL;
	}
}

static bool
take_describe(struct model *m, const struct message *got, const struct statement *st, unsigned format, struct text *why)
{
	bool is_right = returns_rows(st) ? is_row_description(got, st, format) : got->type == 'n';
	if (!is_right)
		return wrong(m, got, why, "%s", returns_rows(st) ? "RowDescription" : "NoData");
	advance(m);
	return true;
}

static bool
take_execute(struct model *m, const struct message *got, const struct op *op, struct text *why)
{
	struct portal *portal = &m->portal;
	const struct statement *st = &portal->statement;
	enum run run;
	if (returns_rows(st)) {
		/* m->row_at counts the rows of this Execute, the portal those of all */
		uint32_t before = portal->row_at;
		run = run_rows(m, got, st, &portal->row_at, m->row_at, op->max_rows, why);
		m->row_at += portal->row_at - before;
	} else if (st->kind == ST_COPY_OUT) {
		run = run_copy_out(m, got, st, why);
	} else if (st->kind == ST_COPY_IN) {
		run = run_copy_in(m, got, st, why);
	} else {
		run = run_command(m, got, st, why);
	}
	if (run == RUN_WRONG)
		return false;
	if (run == RUN_FAILED)
		fail_head(m);
	else if (run != RUN_MORE)
		advance(m);
	return true;
}

static bool
take_extended(struct model *m, const struct message *got, struct text *why)
{
	struct op *op = head(m);
	const char *due = m->stage == 0 && m->row_at == 0 ? error_due(m, op) : NULL;
	if (due) {
		if (!is_error(got, due, NULL))
			return wrong(m, got, why, "error %s", due);
		fail_head(m);
		return true;
	}
	struct slot *slot = &m->slots[op->slot];
	switch (op->kind) {
	case OP_PARSE:
		if (got->type != '1')
			return wrong(m, got, why, "ParseComplete");
		*slot = (struct slot){ .exists = true, .has_parameters = op->has_parameters, .statement = op->statement[0] };
		break;
	case OP_BIND:
		if (got->type != '2')
			return wrong(m, got, why, "BindComplete");
		m->portal = (struct portal){ .exists = true, .format = op->format, .statement = op->statement[0] };
		memcpy(m->portal.statement.label, slot->statement.label, sizeof slot->statement.label);
		break;
	case OP_DESCRIBE_STATEMENT:
		if (m->stage == 1)
			return take_describe(m, got, &slot->statement, 0, why);
		if (got->type != 't' || got->body.n < 2 || load_be16(got->body.p) != (slot->has_parameters ? 3 : 0))
			return wrong(m, got, why, "ParameterDescription");
		m->stage = 1;
		return true;
	case OP_DESCRIBE_PORTAL:
		return take_describe(m, got, &m->portal.statement, m->portal.format, why);
	case OP_EXECUTE:
		return take_execute(m, got, op, why);
	case OP_CLOSE_STATEMENT:
		if (got->type != '3')
			return wrong(m, got, why, "CloseComplete");
		slot->exists = false;
		break;
	case OP_CLOSE_PORTAL:
		if (got->type != '3')
			return wrong(m, got, why, "CloseComplete");
		m->portal.exists = false;
		break;
	case OP_SYNC:
		return take_ready(m, got, why);
	default:
		return wrong(m, got, why, "nothing");
	}
	advance(m);
	return true;
}

/* ---- everything that comes ---- */

static bool
take_parameter(struct model *m, const struct message *got, struct text *why)
{
	char own[20];
	struct view name = view_part(got->body, 0, strnlen((const char *)got->body.p, got->body.n));
	struct view value = view_from(got->body, name.n + 1);
	if (!is_text(name, "application_name") || m->name_kept[0] == 0)
		return true;
	int n = snprintf(own, sizeof own, "c%u.", m->client);
	return (value.n > (size_t)n && memcmp(value.p, own, (size_t)n) == 0) || wrong(m, got, why, "an application_name %s...", own);
}

static bool
touches_transactions(const struct model *m, const struct op *op)
{
	if (op->kind == OP_SYNC)
		return true;
	const struct statement *st = op->kind == OP_QUERY && m->statement_at < op->statements_n ? &op->statement[m->statement_at]
	                             : op->kind == OP_EXECUTE                                   ? &m->portal.statement
	                                                                                        : NULL;
	return st != NULL && (st->kind == ST_BEGIN || ends_transaction(st));
}

static bool
is_cancelled(const struct message *got)
{
	static const char copy_fail[] = "COPY from stdin failed";
	struct view text = error_field(got->body, 'M');
	return is_error(got, "57014", NULL) && !(text.n > sizeof copy_fail && memcmp(text.p, copy_fail, sizeof copy_fail - 1) == 0);
}

enum verdict
model_take(struct model *m, const struct message *got, struct text *why)
{
	if (got->type == 'N') {
		m->notices++;
		return TAKE_OK;
	}
	if (got->type == 'S')
		return take_parameter(m, got, why) ? TAKE_OK : TAKE_WRONG;
	if (m->taken == m->sent) {
		wrong(m, got, why, "nothing: all is answered");
		return TAKE_WRONG;
	}
	struct op *op = head(m);
	if (is_cancelled(got) && !m->is_failed) {
		m->is_uncertain = m->is_uncertain || touches_transactions(m, op);
		fail_head(m);
		return TAKE_CANCELLED;
	}
	bool is_right = op->kind == OP_QUERY ? take_query(m, got, why) : take_extended(m, got, why);
	return is_right ? TAKE_OK : TAKE_WRONG;
}
