/* admin/dialog.c - the protocol of one console session; see the header. */
#include "admin/dialog.h"

#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/fault.h"
#include "base/heap.h"
#include "base/must.h"
#include "wire/message.h"
#include "wire/reply.h"

enum { NAMES_MAX = 100 }; /* prepared statements, and portals, of one session */

struct prepared {
	struct prepared *next;
	char *name; /* owned */
	struct understood what;
};

struct portal {
	struct portal *next;
	char *name;         /* owned */
	struct understood what;
	struct buf formats; /* of the results, as in Bind */
	struct buf rows;    /* DataRow messages not asked for yet */
	size_t sent;        /* bytes of rows that were sent */
	bool has_run;
};

/* ---- errors ---- */

static void
say_error_with(struct dialog *d, struct buf *out, const char *sqlstate, const char *text, const char *detail)
{
	reply_error(out, "ERROR",
	            &(struct fault){ .by = FAULT_BY_CLIENT, .sqlstate = sqlstate, .text = text, .detail = detail });
	d->is_skipping = true; /* a Query clears it again */
}

static void
say_error(struct dialog *d, struct buf *out, const char *sqlstate, const char *text)
{
	say_error_with(d, out, sqlstate, text, NULL);
}

static void
say_no_such(struct dialog *d, struct buf *out, const char *sqlstate, const char *what, const char *name)
{
	char text[160];
	snprintf(text, sizeof(text), "%s \"%.100s\" does not exist", what, name);
	say_error(d, out, sqlstate, text);
}

/* ---- names ---- */

static struct prepared **
find_prepared(struct dialog *d, const char *name)
{
	struct prepared **p = &d->statements;
	while (*p && strcmp((*p)->name, name) != 0)
		p = &(*p)->next;
	return p;
}

static struct portal **
find_portal(struct dialog *d, const char *name)
{
	struct portal **p = &d->portals;
	while (*p && strcmp((*p)->name, name) != 0)
		p = &(*p)->next;
	return p;
}

static void
drop_prepared(struct prepared **at)
{
	struct prepared *p = *at;
	if (p == NULL)
		return;
	*at = p->next;
	heap_free(p->name);
	heap_free(p);
}

static void
drop_portal(struct portal **at)
{
	struct portal *p = *at;
	if (p == NULL)
		return;
	*at = p->next;
	buf_free(&p->formats);
	buf_free(&p->rows);
	heap_free(p->name);
	heap_free(p);
}

static void
drop_portals(struct dialog *d)
{
	while (d->portals)
		drop_portal(&d->portals);
}

static size_t
count_prepared(const struct dialog *d)
{
	size_t n = 0;
	for (const struct prepared *p = d->statements; p; p = p->next)
		n++;
	return n;
}

static size_t
count_portals(const struct dialog *d)
{
	size_t n = 0;
	for (const struct portal *p = d->portals; p; p = p->next)
		n++;
	return n;
}

void
dialog_init(struct dialog *d, struct proxy *x, struct client *client, bool is_admin)
{
	*d = (struct dialog){ .proxy = x, .client = client, .is_admin = is_admin };
}

void
dialog_fini(struct dialog *d)
{
	drop_portals(d);
	while (d->statements)
		drop_prepared(&d->statements);
}

/* ---- running ---- */

static void
say_rows(struct dialog *d, const struct show_table *t, struct view formats, struct buf *out)
{
	struct show_rows rows;
	show_collect(t, d->proxy, &rows);
	for (size_t i = 0; i < rows.count; i++)
		show_data(t, show_row(&rows, i), formats, out);
	show_rows_free(&rows);
}

/* A command that answers without rows. */
static void
run_command(struct dialog *d, const struct understood *u, struct buf *out)
{
	struct command_run run = { .proxy = d->proxy, .client = d->client, .out = out };
	switch (command_do(u, &run)) {
	case COMMAND_DONE:
		reply_command_complete(out, run.tag);
		return;
	case COMMAND_FAILED:
		say_error_with(d, out, run.sqlstate, run.error, run.detail[0] ? run.detail : NULL);
		return;
	case COMMAND_WAITS:
		d->is_waiting = true;
		d->wait = run.wait;
		snprintf(d->tag, sizeof(d->tag), "%.*s", SENTENCE_WORD_MAX, run.tag);
		return;
	}
}

void
dialog_ask(struct dialog *d, struct buf *out)
{
	char room[600];
	struct text words = TEXT_IN(room);
	switch (command_wait_ask(&d->wait, d->proxy, &words)) {
	case WAIT_GOES_ON:
		return;
	case WAIT_FAILED:
		say_error(d, out, SQLSTATE_NOT_IN_PREREQUISITE_STATE, room);
		break;
	case WAIT_IS_OVER:
		if (words.n > 0)
			reply_notice(out, "NOTICE", &(struct fault){ .sqlstate = SQLSTATE_OK, .text = room });
		reply_command_complete(out, d->tag);
		break;
	case WAIT_IS_VOID:
		say_error(d, out, SQLSTATE_QUERY_CANCELED, "canceled: it was ended by a RESUME before it was complete");
		break;
	}
	d->is_waiting = false;
	if (d->is_simple) {
		d->is_skipping = false;
		reply_ready(out, 'I');
	}
}

/* ---- simple protocol ---- */

static void
on_query(struct dialog *d, struct view text, struct buf *out)
{
	char room[256];
	struct text why = TEXT_IN(room);
	struct understood u;
	d->is_simple = true;
	drop_portals(d);
	drop_prepared(find_prepared(d, ""));
	if (!command_understand(text, d->is_admin, &u, &why)) {
		say_error(d, out, SQLSTATE_PROTOCOL_VIOLATION, room);
	} else if (u.command == NULL) {
		/* PgBouncer calls an empty text invalid; here it is the ping that drivers take it for. */
		reply_empty_query(out);
	} else if (u.table) {
		show_describe(u.table, (struct view){ 0 }, out);
		say_rows(d, u.table, (struct view){ 0 }, out);
		reply_command_complete(out, "SHOW");
	} else {
		run_command(d, &u, out);
	}
	d->is_skipping = false;
	if (d->is_waiting)
		dialog_ask(d, out);
	else
		reply_ready(out, 'I');
}

/* ---- extended protocol ---- */

static void
on_parse(struct dialog *d, const struct parse_message *parse, struct buf *out)
{
	char room[256];
	struct text why = TEXT_IN(room);
	struct understood u;
	if (!command_understand(parse->query, d->is_admin, &u, &why)) {
		say_error(d, out, SQLSTATE_PROTOCOL_VIOLATION, room);
		return;
	}
	if (parse->name[0] == '\0') {
		drop_prepared(find_prepared(d, ""));
	} else if (*find_prepared(d, parse->name)) {
		say_error(d, out, SQLSTATE_DUPLICATE_STATEMENT, "prepared statement already exists");
		return;
	}
	if (count_prepared(d) >= NAMES_MAX) {
		say_error(d, out, SQLSTATE_PROGRAM_LIMIT_EXCEEDED, "too many prepared statements");
		return;
	}
	struct prepared *p = heap_alloc(sizeof(*p));
	p->name = heap_string(parse->name);
	p->what = u;
	p->next = d->statements;
	d->statements = p;
	reply_parse_complete(out);
}

static bool
formats_are_good(const struct bind_message *bind, const struct show_table *t)
{
	uint16_t columns = t ? t->column_count : 0;
	if (bind->result_format_count > 1 && bind->result_format_count != columns)
		return false;
	for (uint16_t i = 0; i < bind->result_format_count; i++)
		if (load_be16(bind->result_formats.p + 2 * i) > 1)
			return false;
	return true;
}

static void
on_bind(struct dialog *d, const struct bind_message *bind, struct buf *out)
{
	const struct prepared *from = *find_prepared(d, bind->statement);
	if (from == NULL) {
		say_no_such(d, out, SQLSTATE_INVALID_STATEMENT_NAME, "prepared statement", bind->statement);
		return;
	}
	if (bind->value_count > 0) {
		say_error(d, out, SQLSTATE_PROTOCOL_VIOLATION, "commands of the console take no parameters");
		return;
	}
	if (!formats_are_good(bind, from->what.table)) {
		say_error(d, out, SQLSTATE_PROTOCOL_VIOLATION, "result formats do not fit the result");
		return;
	}
	if (bind->portal[0] == '\0') {
		drop_portal(find_portal(d, ""));
	} else if (*find_portal(d, bind->portal)) {
		say_error(d, out, SQLSTATE_DUPLICATE_CURSOR, "portal already exists");
		return;
	}
	if (count_portals(d) >= NAMES_MAX) {
		say_error(d, out, SQLSTATE_PROGRAM_LIMIT_EXCEEDED, "too many portals");
		return;
	}
	struct portal *p = heap_alloc(sizeof(*p));
	p->name = heap_string(bind->portal);
	p->what = from->what;
	buf_add(&p->formats, bind->result_formats);
	p->next = d->portals;
	d->portals = p;
	reply_bind_complete(out);
}

static void
describe(const struct understood *what, struct view formats, struct buf *out)
{
	if (what->table)
		show_describe(what->table, formats, out);
	else
		reply_no_data(out);
}

static void
on_describe(struct dialog *d, const struct target_message *target, struct buf *out)
{
	if (target->kind == 'P') {
		const struct portal *p = *find_portal(d, target->name);
		if (p)
			describe(&p->what, buf_view(&p->formats), out);
		else
			say_no_such(d, out, SQLSTATE_INVALID_CURSOR_NAME, "portal", target->name);
		return;
	}
	const struct prepared *p = *find_prepared(d, target->name);
	if (p == NULL) {
		say_no_such(d, out, SQLSTATE_INVALID_STATEMENT_NAME, "prepared statement", target->name);
		return;
	}
	reply_parameter_description(out, NULL, 0);
	describe(&p->what, (struct view){ 0 }, out);
}

/* Send the next rows of p, at most this many (0: all). */
static void
say_some_rows(struct portal *p, uint32_t max_rows, struct buf *out)
{
	size_t from = p->sent;
	struct frame f;
	for (uint32_t n = 0; max_rows == 0 || n < max_rows; n++) {
		if (frame_peek(view_from(buf_view(&p->rows), p->sent), UINT32_MAX, &f) != FRAME_OK)
			break;
		p->sent += f.size;
	}
	buf_add(out, view_part(buf_view(&p->rows), from, p->sent - from));
	if (p->sent < p->rows.n) {
		reply_portal_suspended(out);
		return;
	}
	buf_free(&p->rows);
	p->sent = 0;
	reply_command_complete(out, "SHOW");
}

static void
on_execute(struct dialog *d, const struct execute_message *execute, struct buf *out)
{
	struct portal *p = *find_portal(d, execute->portal);
	d->is_simple = false;
	if (p == NULL) {
		say_no_such(d, out, SQLSTATE_INVALID_CURSOR_NAME, "portal", execute->portal);
		return;
	}
	bool is_first = !p->has_run;
	p->has_run = true;
	if (p->what.table) {
		if (is_first)
			say_rows(d, p->what.table, buf_view(&p->formats), &p->rows);
		say_some_rows(p, execute->max_rows, out);
	} else if (p->what.command == NULL) {
		reply_empty_query(out);
	} else if (!is_first) {
		say_error(d, out, SQLSTATE_NOT_IN_PREREQUISITE_STATE, "portal cannot be run again");
	} else {
		run_command(d, &p->what, out);
		if (d->is_waiting)
			dialog_ask(d, out);
	}
}

static void
on_close(struct dialog *d, const struct target_message *target, struct buf *out)
{
	if (target->kind == 'P')
		drop_portal(find_portal(d, target->name));
	else
		drop_prepared(find_prepared(d, target->name));
	reply_close_complete(out);
}

static void
on_sync(struct dialog *d, struct buf *out)
{
	drop_portals(d); /* there are no transactions, so each ends here */
	d->is_skipping = false;
	reply_ready(out, 'I');
}

bool
dialog_on_message(struct dialog *d, const struct frame *f, struct buf *out, struct text *why)
{
	struct view query;
	struct parse_message parse;
	struct bind_message bind;
	struct target_message target;
	struct execute_message execute;
	bool is_good;
	must(!d->is_waiting);
	if (d->is_skipping && f->type != FE_SYNC)
		return true;
	switch ((enum fe_message)f->type) {
	case FE_QUERY:
		if ((is_good = query_read(f->body, &query)))
			on_query(d, query, out);
		break;
	case FE_PARSE:
		if ((is_good = parse_read(f->body, &parse)))
			on_parse(d, &parse, out);
		break;
	case FE_BIND:
		if ((is_good = bind_read(f->body, &bind)))
			on_bind(d, &bind, out);
		break;
	case FE_DESCRIBE:
		if ((is_good = target_read(f->body, &target)))
			on_describe(d, &target, out);
		break;
	case FE_EXECUTE:
		if ((is_good = execute_read(f->body, &execute)))
			on_execute(d, &execute, out);
		break;
	case FE_CLOSE:
		if ((is_good = target_read(f->body, &target)))
			on_close(d, &target, out);
		break;
	case FE_SYNC:
		is_good = true;
		on_sync(d, out);
		break;
	case FE_FLUSH: /* nothing is ever held back */
		is_good = true;
		break;
	default:
		text_addf(why, "unsupported packet type for admin console: %d", (unsigned char)f->type);
		return false;
	}
	if (!is_good)
		text_addf(why, "malformed %s message", fe_message_name(f->type));
	return is_good;
}
