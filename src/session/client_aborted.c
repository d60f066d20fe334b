/*
 * session/client_aborted.c - a client whose transaction was lost with its server. It is in a failed transaction block that
 * no server knows of: everything is refused, as PostgreSQL would, until the client ends the block; then it is idle as ever.
 *
 *   server_lost ─► client_abort ─► [40001 once, then 25P02] ... ROLLBACK or COMMIT ─► "ROLLBACK", ReadyForQuery I ─► idle
 *
 * By Query, or by Parse, Bind, Describe, Execute, of a statement with or without a name. Differences from PostgreSQL: with
 * ROLLBACK TO SAVEPOINT the block stays failed, as the savepoint is gone; AND CHAIN, and an end of the block together with
 * other statements in one text, are refused; of portals there is one, whatever its name.
 * Source: PostgreSQL 16, 55.2.2, 55.2.3; src/backend/tcop/postgres.c, IsTransactionExitStmt().
 */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/heap.h"
#include "base/log.h"
#include "session/client.h"
#include "session/ending.h"
#include "wire/message.h"
#include "wire/reply.h"

enum { TEXT_MAX = 4096 }; /* a longer text ends no transaction here */

void
client_add_aborted(const struct client *c, struct buf *b, bool is_block, const char *why)
{
	bool is_shutdown = c->proxy->config->settings.failover_aborted_sqlstate == ABORTED_57P01;
	reply_error(b, "ERROR", &(struct fault){
		.sqlstate = is_shutdown ? SQLSTATE_ADMIN_SHUTDOWN : SQLSTATE_SERIALIZATION_FAILURE,
		.text = is_block ? "the server was lost in the middle of a transaction, which was rolled back"
		                 : "the server was lost in the middle of a statement, of which nothing was committed",
		.detail = why, .hint = is_block ? "Roll back, and repeat the transaction." : "Repeat it." });
}

void
client_add_failed(struct buf *b)
{
	reply_error(b, "ERROR", &(struct fault){
		.sqlstate = SQLSTATE_IN_FAILED_TRANSACTION,
		.text = "current transaction is aborted, commands ignored until end of transaction block" });
}

void
client_add_unknown(struct buf *b, const char *why)
{
	reply_error(b, "ERROR", &(struct fault){
		.sqlstate = SQLSTATE_TRANSACTION_UNKNOWN, .detail = why,
		.text = "the server was lost while this was in flight: it is not known whether it took effect",
		.hint = "Check whether it did before you repeat it." });
}

static void
say(struct client *c, struct buf *b)
{
	client_send(c, buf_view(b));
	buf_free(b);
}

static void
tell_lost(struct client *c, struct buf *b)
{
	client_add_aborted(c, b, true, c->why_lost);
	heap_free(c->why_lost);
	c->why_lost = NULL;
}

/* What has an error of its own is said only when the client knows already that the transaction is gone. */
static void
refuse(struct client *c, bool is_simple, const struct fault *own)
{
	struct buf b = { 0 };
	if (c->why_lost)
		tell_lost(c, &b);
	else if (own)
		reply_error(&b, "ERROR", own);
	else
		client_add_failed(&b);
	if (is_simple)
		reply_ready(&b, 'E');
	else
		c->skips = SKIPS_TO_SYNC;
	say(c, &b);
}

static bool
ends_block(enum ending is)
{
	return is == ENDING_ROLLBACK || is == ENDING_COMMIT || is == ENDING_PREPARE;
}

/* A COMMIT that is the first to hear of it fails, as it does of a constraint checked at the end: nobody reads tags. */
static void
end_block(struct client *c, enum ending is, bool is_simple)
{
	struct buf b = { 0 };
	bool fails = c->why_lost && is != ENDING_ROLLBACK;
	if (fails)
		tell_lost(c, &b);
	else
		reply_command_complete(&b, "ROLLBACK");
	if (is_simple)
		reply_ready(&b, 'I');
	else if (fails)
		c->skips = SKIPS_TO_SYNC;
	say(c, &b);
	heap_free(c->why_lost);
	c->why_lost = NULL;
	client_parted(c); /* idle: a Sync behind this is answered there */
}

static const struct fault savepoint_is_gone = {
	.sqlstate = SQLSTATE_IN_FAILED_TRANSACTION,
	.text = "current transaction is aborted, commands ignored until end of transaction block",
	.detail = "The server was lost, and with it the transaction and all its savepoints.",
	.hint = "Roll back the whole transaction, and repeat it.",
};

/* Of a Query, or an Execute. */
static void
run(struct client *c, enum ending is, bool is_simple)
{
	if (ends_block(is)) {
		end_block(c, is, is_simple);
	} else if (is == ENDING_EMPTY) {
		struct buf b = { 0 };
		reply_empty_query(&b);
		if (is_simple)
			reply_ready(&b, 'E');
		say(c, &b);
	} else {
		refuse(c, is_simple, is == ENDING_ROLLBACK_TO ? &savepoint_is_gone : NULL);
	}
}

/* May this be parsed and bound in a failed block? */
static bool
may_be(enum ending is)
{
	return ends_block(is) || is == ENDING_EMPTY;
}

static void
answer(struct client *c, void (*reply)(struct buf *b))
{
	struct buf b = { 0 };
	reply(&b);
	say(c, &b);
}

static void
run_parse(struct client *c, const struct frame *f, struct view all)
{
	struct parse_message parse;
	if (!frame_is_whole(f) || !parse_read(f->body, &parse)) {
		refuse(c, false, NULL);
		return;
	}
	enum ending is = ending_read(parse.query).is;
	if (!may_be(is)) {
		refuse(c, false, is == ENDING_ROLLBACK_TO ? &savepoint_is_gone : NULL);
		return;
	}
	if (parse.name[0] == '\0') {
		buf_clear(&c->unnamed);
		buf_add(&c->unnamed, all);
		c->unnamed_on = 0;
	} else if (named_find(&c->statements, parse.name)) {
		char text[160];
		snprintf(text, sizeof(text), "prepared statement \"%.100s\" already exists", parse.name);
		refuse(c, false, &(struct fault){ .sqlstate = SQLSTATE_DUPLICATE_STATEMENT, .text = text });
		return;
	} else {
		struct named *named = named_new(parse.name, statement_get(&parse, c->params, client_definitions(c)));
		named_list(&c->statements, named);
		named_unref(named);
	}
	answer(c, reply_parse_complete);
}

/* The text that the client has prepared under this name. False: none. */
static bool
find_text(const struct client *c, const char *name, struct view *out)
{
	struct view types;
	return client_statement(c, name, out, &types);
}

static void
refuse_unknown(struct client *c, const char *name)
{
	char text[160];
	if (name[0])
		snprintf(text, sizeof(text), "prepared statement \"%.100s\" does not exist", name);
	refuse(c, false, &(struct fault){ .sqlstate = SQLSTATE_INVALID_STATEMENT_NAME,
	                                  .text = name[0] ? text : "unnamed prepared statement does not exist" });
}

static void
run_bind(struct client *c, const struct frame *f)
{
	struct bind_head head;
	struct view text;
	if (bind_frame_read_head(f, &head) != FRAME_OK) {
		refuse(c, false, NULL);
	} else if (!find_text(c, head.statement, &text)) {
		refuse_unknown(c, head.statement);
	} else {
		c->portal_is = (uint8_t)ending_read(text).is;
		if (may_be(c->portal_is))
			answer(c, reply_bind_complete);
		else
			refuse(c, false, c->portal_is == ENDING_ROLLBACK_TO ? &savepoint_is_gone : NULL);
	}
}

static void
run_describe(struct client *c, const struct target_message *target)
{
	struct view text;
	struct buf b = { 0 };
	if (target->kind == 'S' && !find_text(c, target->name, &text)) {
		refuse_unknown(c, target->name);
		return;
	}
	if (!may_be(target->kind == 'S' ? ending_read(text).is : (enum ending)c->portal_is)) {
		refuse(c, false, NULL);
		return;
	}
	if (target->kind == 'S')
		reply_parameter_description(&b, NULL, 0);
	reply_no_data(&b);
	say(c, &b);
}

static void
run_close(struct client *c, const struct target_message *target)
{
	struct named *named = target->kind == 'S' ? named_find(&c->statements, target->name) : NULL;
	if (named)
		named_unlist(&c->statements, named);
	else if (target->kind == 'S' && target->name[0] == '\0') {
		buf_free(&c->unnamed);
		c->unnamed_on = 0;
	} else if (target->kind == 'P')
		c->portal_is = ENDING_OTHER;
	answer(c, reply_close_complete);
}

static void
fail(struct client *c, const char *text)
{
	client_fail(c, &(struct fault){ .by = FAULT_BY_CLIENT, .sqlstate = SQLSTATE_PROTOCOL_VIOLATION, .text = text });
}

/* Messages that are looked into are waited for, up to this. Of the others the head will do. */
static bool
must_be_whole(const struct frame *f)
{
	switch (f->type) {
	case FE_QUERY:
	case FE_PARSE:
		return f->size <= TEXT_MAX;
	case FE_DESCRIBE:
	case FE_CLOSE:
		return true;
	case FE_BIND: {
		struct bind_head head;
		return bind_frame_read_head(f, &head) == FRAME_SHORT;
	}
	default:
		return false;
	}
}

static void
run_message(struct client *c, const struct frame *f, struct view all)
{
	struct target_message target = { 0 };
	struct buf b = { 0 };
	bool is_target = f->type == FE_DESCRIBE || f->type == FE_CLOSE;
	if (is_target && !target_read(f->body, &target)) {
		fail(c, f->type == FE_CLOSE ? "malformed Close message" : "malformed Describe message");
		return;
	}
	c->in_left = f->size - (uint32_t)all.n;
	switch (f->type) {
	case FE_QUERY:
		run(c, frame_is_whole(f) && f->body.n > 0 ? ending_read(view_part(f->body, 0, f->body.n - 1)).is : ENDING_OTHER, true);
		break;
	case FE_FUNCTION_CALL:
		refuse(c, true, NULL);
		break;
	case FE_PARSE:
		run_parse(c, f, all);
		break;
	case FE_BIND:
		run_bind(c, f);
		break;
	case FE_DESCRIBE:
		run_describe(c, &target);
		break;
	case FE_EXECUTE:
		run(c, c->portal_is, false);
		break;
	case FE_CLOSE:
		run_close(c, &target);
		break;
	case FE_SYNC:
		c->portal_is = ENDING_OTHER;
		reply_ready(&b, 'E');
		say(c, &b);
		break;
	case FE_TERMINATE:
		client_close(c, FAULT_BY_CLIENT, "client closed the connection");
		break;
	default: /* Flush, and data of a COPY that is no more */
		break;
	}
}

static bool
is_known(char letter)
{
	return letter != '\0' && strchr("QFPBDECSHXdcf", letter) != NULL;
}

size_t
client_aborted_handle(struct client *c, struct view in)
{
	size_t at = 0;
	uint32_t max = (uint32_t)c->proxy->config->settings.max_packet_size_bytes;
	while (at < in.n && c->state == CLIENT_ABORTED) {
		if (c->in_left > 0) {
			size_t n = in.n - at < c->in_left ? in.n - at : c->in_left;
			c->in_left -= (uint32_t)n;
			at += n;
			continue;
		}
		struct frame f;
		enum frame_result r = frame_peek(view_from(in, at), max, &f);
		if (r == FRAME_SHORT)
			break;
		if (r == FRAME_BAD || !is_known(f.type)) {
			char text[100];
			snprintf(text, sizeof(text), r == FRAME_BAD ? "invalid message length" : "invalid frontend message type %d",
			         (uint8_t)in.p[at]);
			fail(c, text);
			break;
		}
		bool is_skipped = c->skips != SKIPS_NOTHING && f.type != FE_TERMINATE;
		if (!is_skipped && must_be_whole(&f) && !frame_is_whole(&f)) {
			if (f.size > LOOP_IN_BYTES / 2)
				fail(c, "message is too long for its kind");
			break;
		}
		struct view all = view_part(in, at, f.size);
		at += all.n;
		if (is_skipped)
			client_skip(c, &f, all);
		else
			run_message(c, &f, all);
	}
	c->database->stats.bytes_received += at;
	return at;
}

void
client_abort(struct client *c, const char *why)
{
	must(c->link == NULL);
	client_enter(c, CLIENT_ABORTED, "its transaction is lost");
	c->portal_is = ENDING_OTHER;
	if (why)
		c->why_lost = heap_string(why);
	if (c->again.n > 0) {
		struct buf b = c->again;
		c->again = (struct buf){ 0 };
		size_t used = client_aborted_handle(c, buf_view(&b));
		if (c->state == CLIENT_IDLE && used < b.n) { /* a Sync, which is answered without a server */
			buf_drop_front(&b, used);
			c->again = b;
			client_handle_again(c);
		} else {
			buf_free(&b);
		}
	}
}
