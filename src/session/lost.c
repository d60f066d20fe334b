/*
 * session/lost.c - the table of what becomes of a client whose server is lost, and what its messages tell; see the header.
 *
 * PostgreSQL rolls back what is not committed when its connection or its process ends. So inside a transaction block only a
 * message that may commit makes the outcome unknown; outside, every statement commits for itself when it is done, and in the
 * extended protocol at the Sync. Source: PostgreSQL 16, 55.2.2.1, 55.2.3, 55.2.4.
 */
#include "session/lost.h"

#include <string.h>

#include "base/bytes.h"
#include "base/must.h"
#include "session/ending.h"
#include "sql/facts.h"
#include "sql/question.h"
#include "wire/frame.h"
#include "wire/message.h"

#define S(sign) ((uint32_t)LOST_##sign)

const struct lost_row lost_rows[] = {
	/* The client waits for the rest of a message that nobody has. Whatever we said would be read as its rest. */
	{ "half an answer", S(TORN), 0, LOST_CUT_SHORT },
	/* Prepared statements, temporary tables, settings: they were the server's, and no other server has them. */
	{ "a session that is its server's", S(SESSION), 0, LOST_CUT },

	/* ---- inside a transaction block ---- */

	/* All was answered, for a Flush: the client has read COMMIT, or ROLLBACK, and only its Sync is to come. */
	{ "committed, and told so, without a Sync", S(BLOCK) | S(OPEN) | S(COMMITS) | S(TOLD), S(OWED) | S(SEVERAL) | S(ENDS), LOST_DONE },
	{ "rolled back, and told so, without a Sync", S(BLOCK) | S(OPEN) | S(ENDS) | S(TOLD), S(OWED) | S(SEVERAL), LOST_SKIP },
	{ "in a transaction, which may have been committed, without a Sync", S(BLOCK) | S(OPEN) | S(MAY_END), S(OWED) | S(SKIPPING),
	  LOST_UNKNOWN },
	/* It was rolled back when the server ended. Drivers do not expect an error they have not asked for: it waits. */
	{ "in a transaction, between two requests", S(BLOCK), S(OWED), LOST_LATER },
	/* The server never saw the whole of it, so it was not run. The transaction is gone all the same. */
	{ "in a transaction, half a request", S(BLOCK) | S(OWED) | S(HALF), 0, LOST_ABORTED },
	/* It wanted the transaction to be rolled back, and so it is, by the one or by the other. */
	{ "rolling back", S(BLOCK) | S(OWED) | S(ENDS) | S(KEPT), S(SPOKEN) | S(SEVERAL), LOST_ROLLBACK },
	{ "rolled back, and told so", S(BLOCK) | S(OWED) | S(ENDS) | S(TOLD), S(SEVERAL), LOST_SKIP },
	{ "rolling back, not repeatable by us", S(BLOCK) | S(OWED) | S(ENDS), S(SEVERAL), LOST_NOT_DONE },
	/* The client has read COMMIT: whatever happens behind it can't undo that. */
	{ "committed, and told so", S(BLOCK) | S(OWED) | S(COMMITS) | S(TOLD), S(SEVERAL), LOST_DONE },
	/* It has read of its error; a COMMIT behind that would have rolled back. One in front of it was answered. */
	{ "in a transaction, after an error", S(BLOCK) | S(OWED) | S(SKIPPING), S(SEVERAL), LOST_ABORTED },
	/* The server says that it did not come to commit. For the client that was the end of the transaction, as any COMMIT that fails. */
	{ "in a transaction, whose end was broken off", S(BLOCK) | S(OWED) | S(COMMITS) | S(BROKEN_OFF), 0, LOST_NOT_DONE },
	/* A COMMIT may be among them: done, with the answer on its way, or never seen. */
	{ "in a transaction, which may have been committed", S(BLOCK) | S(OWED) | S(MAY_END), 0, LOST_UNKNOWN },
	/* No COMMIT was sent, so there was none. */
	{ "in a transaction", S(BLOCK) | S(OWED), 0, LOST_ABORTED },

	/* ---- outside ---- */

	/* Nothing of this client was on its way. */
	{ "nothing in flight", 0, S(OWED) | S(OPEN), LOST_HOLD },
	/* It has read of its error; what was not done is not done, and the server would do no more than say that it is ready. */
	{ "after an error", S(SKIPPING), S(SEVERAL), LOST_SKIP },
	/* One statement is committed before its CommandComplete is sent, outside of the extended protocol. */
	{ "done, and told so", S(OWED) | S(COMMITS) | S(TOLD), S(SEVERAL), LOST_DONE },
	/* Parsed and described, all of it answered, nothing bound: the statement is known to us, and follows its client. */
	{ "between Parse and Bind", S(OPEN) | S(KEPT), S(OWED) | S(EXECUTES), LOST_HOLD },
	/* The server never saw the whole of it, so it was not run. */
	{ "half a request", S(HALF) | S(KEPT), S(SPOKEN) | S(SEVERAL), LOST_AGAIN },
	/* Parse, Describe, Close: nothing was run. */
	{ "nothing to run", S(OWED) | S(KEPT), S(SPOKEN) | S(SEVERAL) | S(EXECUTES) | S(TRIED), LOST_AGAIN },
	/* Run or not, it changed nothing; the client has seen nothing of it. */
	{ "certainly only reads", S(OWED) | S(KEPT) | S(HARMLESS), S(SPOKEN) | S(SEVERAL) | S(TRIED), LOST_AGAIN },
	/* It may be a function of theirs that it calls, or a view. The next server's catalog knows. */
	{ "only reads, if what it names does", S(OWED) | S(KEPT) | S(READS), S(SPOKEN) | S(SEVERAL) | S(TRIED), LOST_ASK },
	/* As above, but not all of it is there to be sent again, or part of the answer is with the client already, or it has
	 * met the end of several servers: perhaps it is their end. */
	{ "half a request, too long to be kept", S(HALF), S(SPOKEN) | S(SEVERAL), LOST_NOT_DONE },
	{ "nothing to run, not repeatable by us", 0, S(EXECUTES), LOST_NOT_DONE },
	{ "only reads, not repeatable by us", S(HARMLESS), 0, LOST_NOT_DONE },
	/* What it did is committed at the Sync or at the end of the data, and that was not sent. */
	{ "not yet to be committed", S(OPEN) | S(PLAIN), S(SEVERAL), LOST_NOT_DONE },
	/* The server says so of the first of them, and has read no other. */
	{ "broken off before it was committed", S(OWED) | S(PLAIN) | S(BROKEN_OFF), 0, LOST_NOT_DONE },
	/* Each commits for itself: done, with the answer on its way, or never seen. */
	{ "may have been done", 0, 0, LOST_UNKNOWN },
};
const size_t lost_row_count = sizeof(lost_rows) / sizeof(lost_rows[0]);

const struct lost_row *
lost_judge(uint32_t signs)
{
	for (size_t i = 0; i < lost_row_count; i++)
		if ((signs & lost_rows[i].with) == lost_rows[i].with && (signs & lost_rows[i].without) == 0)
			return &lost_rows[i];
	must(false);
	return NULL;
}

const char *
lost_verdict_name(enum lost_verdict verdict)
{
	static const char *const names[] = {
		[LOST_HOLD] = "held",           [LOST_AGAIN] = "sent again",        [LOST_SKIP] = "after its error",
		[LOST_LATER] = "rolled back",   [LOST_ROLLBACK] = "rolled back",    [LOST_ABORTED] = "rolled back",
		[LOST_NOT_DONE] = "not done",   [LOST_UNKNOWN] = "outcome unknown", [LOST_CUT] = "cut",
		[LOST_CUT_SHORT] = "cut",       [LOST_DONE] = "done",               [LOST_ASK] = "the next server is asked",
	};
	return names[verdict];
}

const char *
lost_sign_name(enum lost_sign sign)
{
	static const struct {
		enum lost_sign sign;
		const char *name;
	} names[] = {
		{ LOST_TORN, "half a message was passed on" },
		{ LOST_SESSION, "pinned, or pool_mode = session" },
		{ LOST_BLOCK, "in a transaction" },
		{ LOST_FAILED, "in a failed one" },
		{ LOST_OWED, "an answer is due" },
		{ LOST_OPEN, "its Sync or its data are to come" },
		{ LOST_SKIPPING, "it has read an error" },
		{ LOST_SPOKEN, "part of the answer was passed on" },
		{ LOST_SEVERAL, "several requests" },
		{ LOST_HALF, "half a message came" },
		{ LOST_KEPT, "all of it is kept" },
		{ LOST_EXECUTES, "it may run something" },
		{ LOST_HARMLESS, "it changes nothing" },
		{ LOST_MAY_END, "it may commit" },
		{ LOST_ENDS, "it rolls back, only" },
		{ LOST_PLAIN, "it commits at its end, not before" },
		{ LOST_TRIED, "it was sent again already" },
		{ LOST_TOLD, "all but ReadyForQuery was passed on" },
		{ LOST_COMMITS, "it is done before it says so" },
		{ LOST_READS, "it changes nothing, if what it names does not" },
		{ LOST_BROKEN_OFF, "the server broke it off" },
	};
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (names[i].sign == sign)
			return names[i].name;
	return "?";
}

bool
lost_is_of_server(const char *severity, const char *sqlstate)
{
	return (severity && strcmp(severity, "PANIC") == 0) ||
	       (sqlstate && (strcmp(sqlstate, "57P01") == 0 || strcmp(sqlstate, "57P02") == 0 || strcmp(sqlstate, "57P03") == 0));
}

bool
lost_is_broken_off(const struct error_fields *e)
{
	return e->sqlstate && strcmp(e->sqlstate, "57P01") == 0 && e->routine && strcmp(e->routine, "ProcessInterrupts") == 0;
}

bool
lost_is_meant(const char *severity, const char *sqlstate)
{
	static const char *const states[] = {
		"57P01", /* shut down, or pg_terminate_backend(), which can't be told apart */
		"57P02", /* another process has crashed */
		"57P03", /* starting up or shutting down */
		"40001", /* on a standby: in the way of replay */
		"40P01",
	};
	if (severity && strcmp(severity, "PANIC") == 0)
		return true;
	for (size_t i = 0; sqlstate && i < sizeof(states) / sizeof(states[0]); i++)
		if (strcmp(sqlstate, states[i]) == 0)
			return true;
	return false;
}

/* ---- what the messages tell ---- */

struct walk {
	const struct lost_request *request;
	unsigned runs;        /* statements that may have been run */
	bool may_end, is_harmless, is_reading, is_plain, begins, is_unsure;
	struct ending_facts only; /* of the one that was run last */
	bool goes_on;         /* there is more behind the first Execute than the end of the request */
	bool has_run, has_set;
	bool is_simple;       /* the last one came in a Query */
	bool has_unnamed;     /* the unnamed statement is one of these messages' */
	bool has_used_unnamed; /* or one of earlier ones' */
	struct view unnamed, unnamed_types;
	const char *portal;   /* bound last */
};

/* What the types of parameters would call, if they are not PostgreSQL's own: 16384 is the first oid of others. */
static bool
has_other_types(struct view types)
{
	for (size_t i = 0; i + 4 <= types.n; i += 4)
		if (load_be32(types.p + i) >= 16384)
			return true;
	return false;
}

/*
 * Nothing but PostgreSQL's own is called by name. What is called besides (by a view, behind a cast) can't have changed the
 * database of a standby; that is what a standby is for.
 */
static bool
is_known_to_read(const struct sql_facts *facts)
{
	for (uint32_t i = 0; i < facts->name_count; i++) {
		const struct sql_name *name = &facts->names[i];
		if (name->kind != SQL_NAME_RELATION && name->kind != SQL_NAME_ATTRIBUTE && !question_is_own(name))
			return false;
	}
	return true;
}

static bool
is_legible(const struct lost_request *request, struct view text)
{
	for (size_t i = 0; i < text.n && request->is_ascii_only; i++)
		if (text.p[i] & 0x80)
			return false;
	return request->has_plain_strings || text.n == 0 || !memchr(text.p, '\\', text.n);
}

/* By PostgreSQL's parser. True: it may be harmless; is_harmless: it is; else what it names is to be asked for. */
static bool
may_only_read(const struct walk *w, struct view text, struct view types, bool *is_harmless)
{
	const struct lost_request *request = w->request;
	if (!is_legible(request, text) || (!request->is_standby && !request->names))
		return false;
	struct sql_facts *facts = sql_facts_read(text);
	bool may = question_is_worthwhile(facts);
	*is_harmless = may && (request->is_standby ? is_known_to_read(facts) : facts->name_count == 0 && !has_other_types(types));
	if (may && !*is_harmless && request->names) {
		question_add(&request->names->rows, facts);
		request->names->has_types |= has_other_types(types);
	}
	may = *is_harmless || (may && request->names && facts->name_count > 0);
	sql_facts_unref(facts);
	return may;
}

static void
walk_text(struct walk *w, struct view text, struct view types)
{
	struct ending_facts f = ending_read(text);
	bool is_set = f.is == ENDING_SET;
	bool is_harmless = f.is == ENDING_EMPTY || f.is == ENDING_BEGIN || f.is == ENDING_SHOW || is_set;
	bool may_read = is_harmless || (!w->has_set && may_only_read(w, text, types, &is_harmless));
	w->begins |= w->runs == 0 && f.is == ENDING_BEGIN;
	w->runs++;
	w->may_end |= f.may_end && !may_read; /* what reads was parsed, and ends nothing */
	w->is_harmless &= is_harmless;
	/* Behind a SET nobody knows how texts are read; behind a BEGIN it is a block, and lost with it. */
	w->has_set |= is_set;
	w->is_reading &= may_read && !is_set && f.is != ENDING_BEGIN;
	w->is_plain &= f.is == ENDING_SELECT || f.is == ENDING_CHANGE || f.is == ENDING_EMPTY || f.is == ENDING_SHOW || is_set;
	w->only = f;
	w->is_simple = false;
}

static void
walk_bind(struct walk *w, const struct frame *f)
{
	struct bind_head head;
	if (bind_frame_read_head(f, &head) != FRAME_OK) {
		w->is_unsure = true;
		return;
	}
	bool is_unnamed = head.statement[0] == '\0';
	w->portal = head.portal;
	if (is_unnamed && w->has_unnamed) {
		walk_text(w, w->unnamed, w->unnamed_types);
		return;
	}
	w->has_used_unnamed |= is_unnamed;
	struct view text, types;
	if (!w->request->find(w->request->context, head.statement, &text, &types))
		w->is_unsure = true;
	else
		walk_text(w, text, types);
}

/* A statement whose name changes its meaning on the way: find() tells the last one. */
static void
walk_parse(struct walk *w, const struct frame *f)
{
	struct parse_message parse;
	if (!parse_read(f->body, &parse)) {
		w->is_unsure = true;
	} else if (parse.name[0] == '\0') {
		w->is_unsure |= w->has_used_unnamed;
		w->has_unnamed = true;
		w->unnamed = parse.query;
		w->unnamed_types = parse.types;
	}
}

static void
walk_message(struct walk *w, const struct frame *f)
{
	struct target_message target;
	struct execute_message execute;
	w->goes_on |= w->has_run && f->type != FE_SYNC && f->type != FE_FLUSH;
	w->has_run |= f->type == FE_EXECUTE;
	switch (f->type) {
	case FE_QUERY:
		w->has_unnamed = false;
		if (f->body.n == 0 || !frame_is_whole(f))
			w->is_unsure = true;
		else
			walk_text(w, view_part(f->body, 0, f->body.n - 1), (struct view){ 0 });
		w->is_simple = true;
		break;
	case FE_PARSE:
		walk_parse(w, f);
		break;
	case FE_BIND:
		walk_bind(w, f);
		break;
	case FE_EXECUTE:
		/* Of a portal that is not one of these messages': whatever it was bound to. */
		w->is_unsure |= !w->portal || !execute_read(f->body, &execute) || strcmp(execute.portal, w->portal) != 0;
		break;
	case FE_CLOSE:
		w->is_unsure |= !target_read(f->body, &target) || (target.kind == 'S' && w->runs > 0);
		break;
	case FE_FUNCTION_CALL: /* a function can't commit */
		w->runs++;
		w->is_harmless = w->is_reading = w->is_plain = false;
		w->only = (struct ending_facts){ 0 };
		break;
	default:
		break;
	}
}

static bool
ends_request(char letter)
{
	return letter == FE_SYNC || letter == FE_QUERY || letter == FE_FUNCTION_CALL;
}

/*
 * PostgreSQL ends a transaction before it reports the statement as complete: what ends a block in any case, everything else
 * outside of blocks when it is the one statement of a Query. In the extended protocol that is the Sync's part.
 */
static bool
commits_before_told(const struct walk *w, bool is_block)
{
	enum ending is = w->only.is;
	if (w->runs != 1 || is == ENDING_BEGIN || is == ENDING_CHAIN)
		return false;
	bool is_end = is == ENDING_COMMIT || is == ENDING_ROLLBACK || is == ENDING_PREPARE;
	return is_end || (w->is_simple && w->only.is_one && !is_block);
}

uint32_t
lost_read(const struct lost_request *request)
{
	struct walk w = { .request = request, .is_harmless = true, .is_reading = true, .is_plain = true };
	uint32_t answered = request->answered;
	struct frame f;
	if (request->names) {
		buf_clear(&request->names->rows);
		request->names->has_types = false;
	}
	for (size_t at = 0; at < request->kept.n; at += f.size) {
		if (frame_peek(view_from(request->kept, at), UINT32_MAX, &f) != FRAME_OK)
			return LOST_NOTHING_KNOWN;
		if (answered == 0)
			walk_message(&w, &f);
		else if (ends_request(f.type))
			answered--;
		/* A name that one of the answered requests has given is looked up as any other. */
		if (!frame_is_whole(&f) && !ends_request(f.type))
			w.is_unsure = true;
	}
	if (w.is_unsure || answered > 0)
		return LOST_NOTHING_KNOWN;
	bool is_block = request->had & LOST_BLOCK;
	bool is_failed = request->had & LOST_FAILED;
	uint32_t out = 0;
	if (w.runs > 0)
		out |= LOST_EXECUTES;
	if (w.may_end)
		out |= LOST_MAY_END;
	bool ends_nothing = w.runs == 1 && !is_block && (w.only.is == ENDING_COMMIT || w.only.is == ENDING_ROLLBACK);
	if ((w.is_harmless && !w.may_end) || ends_nothing)
		out |= LOST_HARMLESS;
	else if (w.is_reading && !w.may_end)
		out |= LOST_READS;
	if (w.is_plain && !w.may_end)
		out |= LOST_PLAIN;
	if (w.runs == 1 && is_block && !w.goes_on &&
	    (w.only.is == ENDING_ROLLBACK || (is_failed && (w.only.is == ENDING_COMMIT || w.only.is == ENDING_PREPARE))))
		out |= LOST_ENDS;
	if (commits_before_told(&w, is_block))
		out |= LOST_COMMITS;
	/* BEGIN, and something behind it: from there on it is a block. BEGIN alone has changed nothing. */
	if (!is_block && w.begins && !(out & LOST_HARMLESS))
		out |= LOST_BLOCK;
	return out;
}
