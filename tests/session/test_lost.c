/* tests/session/test_lost.c - what becomes of a client whose server is lost: rules of session/lost. */
#include "session/lost.h"

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "../suite.h"
#include "wire/request.h"

#define S(sign) ((uint32_t)LOST_##sign)

/* One request for each row, named as the row is. */
static const struct {
	const char *row;
	uint32_t signs;
	enum lost_verdict verdict;
} cases[] = {
	{ "half an answer", S(TORN) | S(OWED) | S(SPOKEN), LOST_CUT_SHORT },
	{ "half an answer", S(TORN) | S(SESSION), LOST_CUT_SHORT },
	{ "a session that is its server's", S(SESSION), LOST_CUT },
	{ "a session that is its server's", S(SESSION) | S(OWED) | S(KEPT) | S(HARMLESS), LOST_CUT },
	{ "in a transaction, between two requests", S(BLOCK) | S(KEPT), LOST_LATER },
	{ "in a transaction, between two requests", S(BLOCK) | S(OPEN) | S(SPOKEN), LOST_LATER },
	{ "in a transaction, between two requests", S(BLOCK) | S(OPEN) | S(SPOKEN) | S(MAY_END) | S(SKIPPING), LOST_LATER },
	{ "committed, and told so, without a Sync", S(BLOCK) | S(OPEN) | S(SPOKEN) | S(MAY_END) | S(COMMITS) | S(TOLD), LOST_DONE },
	{ "rolled back, and told so, without a Sync", S(BLOCK) | S(OPEN) | S(MAY_END) | S(COMMITS) | S(ENDS) | S(TOLD), LOST_SKIP },
	{ "in a transaction, which may have been committed, without a Sync", S(BLOCK) | S(OPEN) | S(SPOKEN) | S(MAY_END), LOST_UNKNOWN },
	{ "in a transaction, half a request", S(BLOCK) | S(OWED) | S(HALF) | S(MAY_END) | S(EXECUTES), LOST_ABORTED },
	{ "rolling back", S(BLOCK) | S(OWED) | S(ENDS) | S(KEPT) | S(MAY_END) | S(EXECUTES), LOST_ROLLBACK },
	{ "in a transaction, which may have been committed", S(BLOCK) | S(OWED) | S(MAY_END) | S(EXECUTES) | S(KEPT), LOST_UNKNOWN },
	{ "rolled back, and told so", S(BLOCK) | S(OWED) | S(ENDS) | S(SPOKEN) | S(MAY_END) | S(COMMITS) | S(TOLD), LOST_SKIP },
	{ "rolling back, not repeatable by us", S(BLOCK) | S(OWED) | S(ENDS) | S(SPOKEN) | S(MAY_END), LOST_NOT_DONE },
	{ "committed, and told so", S(BLOCK) | S(OWED) | S(SPOKEN) | S(MAY_END) | S(COMMITS) | S(TOLD), LOST_DONE },
	{ "in a transaction, after an error", S(BLOCK) | S(OWED) | S(SPOKEN) | S(SKIPPING) | S(MAY_END), LOST_ABORTED },
	{ "in a transaction, which may have been committed", S(BLOCK) | S(OWED) | S(SPOKEN) | S(SKIPPING) | S(MAY_END) | S(SEVERAL),
	  LOST_UNKNOWN },
	{ "in a transaction, whose end was broken off", S(BLOCK) | S(OWED) | S(COMMITS) | S(MAY_END) | S(BROKEN_OFF), LOST_NOT_DONE },
	{ "in a transaction, which may have been committed", S(BLOCK) | S(OWED) | S(MAY_END) | S(BROKEN_OFF), LOST_UNKNOWN },
	{ "in a transaction", S(BLOCK) | S(OWED) | S(EXECUTES) | S(KEPT), LOST_ABORTED },
	{ "in a transaction", S(BLOCK) | S(OWED) | S(HARMLESS) | S(KEPT), LOST_ABORTED },
	{ "nothing in flight", S(KEPT), LOST_HOLD },
	{ "nothing in flight", S(MAY_END) | S(EXECUTES), LOST_HOLD },
	{ "after an error", S(SKIPPING) | S(OPEN) | S(EXECUTES), LOST_SKIP },
	{ "after an error", S(SKIPPING) | S(OWED) | S(EXECUTES), LOST_SKIP },
	{ "done, and told so", S(OWED) | S(SPOKEN) | S(EXECUTES) | S(COMMITS) | S(TOLD), LOST_DONE },
	{ "between Parse and Bind", S(OPEN) | S(KEPT) | S(SPOKEN), LOST_HOLD },
	{ "half a request", S(OWED) | S(HALF) | S(KEPT) | S(EXECUTES) | S(MAY_END), LOST_AGAIN },
	{ "nothing to run", S(OWED) | S(KEPT), LOST_AGAIN },
	{ "certainly only reads", S(OWED) | S(KEPT) | S(HARMLESS) | S(EXECUTES), LOST_AGAIN },
	{ "only reads, if what it names does", S(OWED) | S(KEPT) | S(READS) | S(EXECUTES), LOST_ASK },
	{ "only reads, if what it names does", S(OWED) | S(KEPT) | S(READS) | S(EXECUTES) | S(OPEN) | S(PLAIN), LOST_ASK },
	{ "may have been done", S(OWED) | S(KEPT) | S(READS) | S(EXECUTES) | S(TRIED), LOST_UNKNOWN },
	{ "may have been done", S(OWED) | S(KEPT) | S(READS) | S(EXECUTES) | S(SPOKEN), LOST_UNKNOWN },
	{ "half a request, too long to be kept", S(OWED) | S(HALF) | S(EXECUTES) | S(MAY_END), LOST_NOT_DONE },
	{ "nothing to run, not repeatable by us", S(OWED) | S(SPOKEN), LOST_NOT_DONE },
	{ "only reads, not repeatable by us", S(OWED) | S(KEPT) | S(HARMLESS) | S(EXECUTES) | S(TRIED), LOST_NOT_DONE },
	{ "only reads, not repeatable by us", S(OWED) | S(KEPT) | S(HARMLESS) | S(EXECUTES) | S(SPOKEN), LOST_NOT_DONE },
	{ "only reads, not repeatable by us", S(OWED) | S(KEPT) | S(HARMLESS) | S(EXECUTES) | S(SEVERAL), LOST_NOT_DONE },
	{ "not yet to be committed", S(OWED) | S(OPEN) | S(PLAIN) | S(EXECUTES), LOST_NOT_DONE },
	{ "broken off before it was committed", S(OWED) | S(EXECUTES) | S(PLAIN) | S(SEVERAL) | S(BROKEN_OFF), LOST_NOT_DONE },
	{ "certainly only reads", S(OWED) | S(KEPT) | S(HARMLESS) | S(EXECUTES) | S(PLAIN) | S(BROKEN_OFF), LOST_AGAIN },
	{ "may have been done", S(OWED) | S(EXECUTES) | S(COMMITS) | S(BROKEN_OFF), LOST_UNKNOWN },
	{ "may have been done", S(OWED) | S(EXECUTES) | S(KEPT), LOST_UNKNOWN },
	{ "may have been done", S(OWED) | S(EXECUTES) | S(PLAIN) | S(OPEN) | S(SEVERAL), LOST_UNKNOWN },
};

START_TEST(every_row_answers_for_its_case)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct lost_row *row = lost_judge(cases[i].signs);
		ck_assert_msg(strcmp(row->name, cases[i].row) == 0 && row->verdict == cases[i].verdict, "%s: is \"%s\"", cases[i].row,
		              row->name);
	}
	for (size_t r = 0; r < lost_row_count; r++) {
		size_t i = 0;
		while (i < sizeof(cases) / sizeof(cases[0]) && strcmp(cases[i].row, lost_rows[r].name) != 0)
			i++;
		ck_assert_msg(i < sizeof(cases) / sizeof(cases[0]), "no case for \"%s\"", lost_rows[r].name);
	}
}
END_TEST

/* Whatever the signs: nothing is done that could be wrong. */
START_TEST(no_combination_of_signs_leads_astray)
{
	for (uint32_t signs = 0; signs < UINT32_C(1) << LOST_SIGNS; signs++) {
		enum lost_verdict v = lost_judge(signs)->verdict;
#define HAS(sign) ((signs & S(sign)) != 0)
		if (HAS(TORN))
			ck_assert_int_eq(v, LOST_CUT_SHORT);
		if (v == LOST_AGAIN) {
			ck_assert(HAS(KEPT) && HAS(OWED) + HAS(HALF) > 0 && !HAS(SPOKEN) && !HAS(SEVERAL) && !HAS(BLOCK));
			ck_assert(HAS(HARMLESS) || HAS(HALF) || !HAS(EXECUTES));
			ck_assert(HAS(HALF) || !HAS(TRIED));
		}
		if (v == LOST_ASK) { /* and if the answer is no, it is one of two errors */
			ck_assert(HAS(READS) && HAS(KEPT) && HAS(OWED) && !HAS(SPOKEN) && !HAS(SEVERAL) && !HAS(BLOCK) && !HAS(TRIED));
			enum lost_verdict otherwise = lost_judge(signs & ~S(READS))->verdict;
			ck_assert(otherwise == LOST_UNKNOWN || otherwise == LOST_NOT_DONE);
		}
		if (v == LOST_HOLD)
			ck_assert(!HAS(OWED) && !HAS(BLOCK));
		if (HAS(BLOCK) && HAS(OWED) && HAS(MAY_END) && !HAS(HALF) && !HAS(ENDS) && !HAS(SKIPPING) &&
		    !(HAS(COMMITS) && HAS(BROKEN_OFF)))
			ck_assert(v == LOST_UNKNOWN || v == LOST_CUT || v == LOST_CUT_SHORT || v == LOST_DONE);
		if (v == LOST_DONE)
			ck_assert(HAS(TOLD) && HAS(COMMITS) && !HAS(SEVERAL));
		if (v == LOST_ROLLBACK)
			ck_assert(HAS(ENDS) && HAS(KEPT) && !HAS(SPOKEN));
		if (v == LOST_ABORTED || v == LOST_LATER)
			ck_assert(HAS(BLOCK));
		if (v == LOST_NOT_DONE)
			ck_assert(HAS(HARMLESS) || HAS(HALF) || !HAS(EXECUTES) || (HAS(PLAIN) && HAS(OPEN)) || HAS(ENDS) ||
			          (HAS(BROKEN_OFF) && (HAS(PLAIN) || (HAS(BLOCK) && HAS(COMMITS)))));
	}
}
END_TEST

/* ---- what the messages tell ---- */

static bool
find(const void *context, const char *name, struct view *text, struct view *types)
{
	static const char *const known[][2] = {
		{ "read", "select 1" }, { "write", "insert into t values (1)" }, { "commit", "commit" }, { "", "select 2" },
		{ "maybe", "select mine() from t" }, { "typed", "select 3" },
	};
	*types = strcmp(name, "typed") == 0 ? view_of("\0\1\0\0", 4) : (struct view){ 0 };
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (strcmp(known[i][0], name) == 0) {
			*text = view_of_string(known[i][1]);
			return true;
		}
	}
	return false;
}

/* Q text, P name text, B portal statement, E portal, D, C statement, S, F: what a client sends, as words. */
static void
add(struct buf *b, const char *message)
{
	static const uint8_t nothing[6] = { 0 };
	char letter = message[0], first[40] = "", rest[100] = "";
	sscanf(message + 1, " %39[^ ] %99[^\n]", first, rest);
	const char *one = strcmp(first, "-") == 0 ? "" : first, *other = strcmp(rest, "-") == 0 ? "" : rest;
	switch (letter) {
	case 'Q':
		request_query(b, message + 2);
		break;
	case 'P':
		request_parse(b, one, view_of_string(other), (struct view){ 0 });
		break;
	case 'B':
		request_bind_head(b, one, other, sizeof(nothing));
		buf_add(b, view_of(nothing, sizeof(nothing)));
		break;
	case 'E':
		request_execute(b, one, 0);
		break;
	case 'D':
		request_describe(b, 'S', one);
		break;
	case 'C':
		request_close(b, 'S', one);
		break;
	case 'S':
		request_sync(b);
		break;
	case 'F':
		buf_add(b, view_of("F\0\0\0\4", 5));
		break;
	default:
		ck_abort_msg("%s", message);
	}
}

static const struct {
	uint32_t had, answered;
	bool is_standby;
	const char *messages[8];
	uint32_t tells;
} requests[] = {
	{ 0, 0, false, { "Q select 1" }, S(EXECUTES) | S(PLAIN) | S(COMMITS) },
	{ 0, 0, true, { "Q select 1" }, S(EXECUTES) | S(PLAIN) | S(HARMLESS) | S(COMMITS) },
	{ 0, 0, true, { "Q select 1; select 2" }, S(EXECUTES) | S(HARMLESS) },
	{ 0, 0, true, { "Q copy t to stdout" }, S(EXECUTES) | S(PLAIN) | S(HARMLESS) | S(COMMITS) },
	{ 0, 0, true, { "Q explain analyze select 1" }, S(EXECUTES) | S(HARMLESS) | S(COMMITS) },
	{ 0, 0, true, { "P - set x = 1", "B - -", "E -", "P - select 1", "B - -", "E -", "S" }, S(EXECUTES) | S(PLAIN) },
	{ 0, 0, true, { "Q select '\\'" }, S(EXECUTES) | S(MAY_END) },
	{ 0, 0, true, { "Q select x, count(*) from t where y = $1 group by x" }, S(EXECUTES) | S(PLAIN) | S(HARMLESS) | S(COMMITS) },
	{ 0, 0, true, { "Q select dblink_exec('a', 'b')" }, S(EXECUTES) | S(PLAIN) | S(COMMITS) },
	{ 0, 0, true, { "Q select inet_server_port(), pg_is_in_recovery() where $1 <> ''" }, S(EXECUTES) | S(PLAIN) | S(HARMLESS) | S(COMMITS) },
	{ 0, 0, true, { "Q select other.pg_is_in_recovery()" }, S(EXECUTES) | S(PLAIN) | S(COMMITS) },
	{ 0, 0, true, { "Q select pg_terminate_backend(1)" }, S(EXECUTES) | S(PLAIN) | S(COMMITS) },
	{ 0, 0, true, { "Q with x as (delete from t returning *) select * from x" }, S(EXECUTES) | S(PLAIN) | S(COMMITS) },
	{ 0, 0, true, { "Q select pg_advisory_lock(1)" }, S(EXECUTES) | S(PLAIN) | S(COMMITS) },
	{ 0, 0, true, { "Q select wrong from" }, S(EXECUTES) | S(PLAIN) | S(COMMITS) },
	{ 0, 0, true, { "Q copy t to program 'x'" }, S(EXECUTES) | S(PLAIN) | S(COMMITS) },
	{ 0, 0, true, { "Q select 1; commit" }, S(EXECUTES) | S(MAY_END) },
	{ 0, 0, false, { "Q begin" }, S(EXECUTES) | S(HARMLESS) },
	{ 0, 0, false, { "Q commit" }, S(EXECUTES) | S(MAY_END) | S(HARMLESS) | S(COMMITS) },
	{ 0, 0, false, { "Q begin", "Q insert into t" }, S(EXECUTES) | S(BLOCK) },
	{ 0, 0, false, { "Q begin", "Q insert into t", "Q commit" }, S(EXECUTES) | S(BLOCK) | S(MAY_END) },
	{ 0, 1, false, { "Q begin", "Q insert into t" }, S(EXECUTES) | S(PLAIN) | S(COMMITS) },
	{ 0, 0, false, { "Q insert into t", "Q begin" }, S(EXECUTES) },
	{ 0, 0, false, { "P - insert into t", "D -", "S" }, S(PLAIN) | S(HARMLESS) },
	{ 0, 0, false, { "P - begin", "B - -", "E -", "P - insert", "B - -", "E -", "S" }, S(EXECUTES) | S(BLOCK) },
	{ 0, 0, true, { "P - select 1", "B - -", "E -", "S" }, S(EXECUTES) | S(PLAIN) | S(HARMLESS) },
	{ 0, 0, true, { "B - read", "E -", "S" }, S(EXECUTES) | S(PLAIN) | S(HARMLESS) },
	{ 0, 0, true, { "B - -", "E -", "S" }, S(EXECUTES) | S(PLAIN) | S(HARMLESS) },
	{ 0, 0, true, { "B - write", "E -", "S" }, S(EXECUTES) | S(PLAIN) },
	{ 0, 0, true, { "B - unknown", "E -", "S" }, LOST_NOTHING_KNOWN },
	{ 0, 0, true, { "B a read", "E b", "S" }, LOST_NOTHING_KNOWN },
	{ 0, 0, true, { "E -", "S" }, LOST_NOTHING_KNOWN },
	{ 0, 0, true, { "B - -", "E -", "P - select 3", "B - -", "E -", "S" }, LOST_NOTHING_KNOWN },
	{ 0, 0, true, { "B - read", "C read", "P read select 2", "S" }, LOST_NOTHING_KNOWN },
	{ 0, 0, true, { "C read", "P read select 2", "B - read", "E -", "S" }, S(EXECUTES) | S(PLAIN) | S(HARMLESS) },
	{ S(BLOCK), 0, false, { "Q rollback" }, S(EXECUTES) | S(MAY_END) | S(ENDS) | S(COMMITS) },
	{ S(BLOCK), 0, false, { "P - rollback", "B - -", "E -", "S" }, S(EXECUTES) | S(MAY_END) | S(ENDS) | S(COMMITS) },
	{ S(BLOCK), 0, false, { "Q rollback; select 1" }, S(EXECUTES) | S(MAY_END) },
	{ S(BLOCK), 0, false, { "Q commit" }, S(EXECUTES) | S(MAY_END) | S(COMMITS) },
	{ S(BLOCK) | S(FAILED), 0, false, { "Q commit" }, S(EXECUTES) | S(MAY_END) | S(ENDS) | S(COMMITS) },
	{ S(BLOCK) | S(FAILED), 0, false, { "Q rollback to a", "Q commit" }, S(EXECUTES) | S(MAY_END) },
	{ S(BLOCK), 0, false, { "B - commit", "E -", "S" }, S(EXECUTES) | S(MAY_END) | S(COMMITS) },
	{ S(BLOCK), 0, false, { "F" }, S(EXECUTES) },
	{ 0, 0, false, { "F" }, S(EXECUTES) },
	{ 0, 0, false, { "Q set x = 1" }, S(EXECUTES) | S(PLAIN) | S(HARMLESS) | S(COMMITS) },
	{ 0, 0, false, { "P - reset x", "B - -", "E -", "S" }, S(EXECUTES) | S(PLAIN) | S(HARMLESS) },
	{ 0, 0, false, { "Q set x = 1; insert into t" }, S(EXECUTES) },
	{ S(BLOCK), 0, false, { "Q set x = 1" }, S(EXECUTES) | S(PLAIN) | S(HARMLESS) },
	{ 0, 0, false, { "Q vacuum" }, S(EXECUTES) | S(COMMITS) },
	{ 0, 0, false, { "P - vacuum", "B - -", "E -", "S" }, S(EXECUTES) },
	{ 0, 0, false, { "Q call p()" }, S(EXECUTES) | S(COMMITS) },
	{ S(BLOCK), 0, false, { "Q commit and chain" }, S(EXECUTES) | S(MAY_END) },
	{ S(BLOCK), 0, false, { "Q prepare transaction 'x'" }, S(EXECUTES) | S(MAY_END) | S(COMMITS) },
	{ 0, 0, false, { "Q commit prepared 'x'" }, S(EXECUTES) | S(MAY_END) | S(COMMITS) },
	{ 0, 1, false, { "Q insert into t", "Q insert into t" }, S(EXECUTES) | S(PLAIN) | S(COMMITS) },
};

START_TEST(messages_tell_what_they_do)
{
	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
		struct buf b = { 0 };
		for (size_t j = 0; j < 8 && requests[i].messages[j]; j++)
			add(&b, requests[i].messages[j]);
		struct lost_request r = { .kept = buf_view(&b), .answered = requests[i].answered, .had = requests[i].had,
			                  .is_standby = requests[i].is_standby, .find = find };
		uint32_t tells = lost_read(&r);
		ck_assert_msg(tells == requests[i].tells, "%zu, %s: %x, not %x", i, requests[i].messages[0], tells,
		              requests[i].tells);
		/* Cut off anywhere it may tell less, but never more. */
		for (size_t n = 0; n < b.n; n++) {
			r.kept = view_part(buf_view(&b), 0, n);
			lost_read(&r);
		}
		buf_free(&b);
	}
}
END_TEST

/* On a leader, where a catalog can be asked; `for` is what for, without blanks. */
static const struct {
	const char *messages[8];
	uint32_t tells;
	const char *for_what;
} asked[] = {
	{ { "Q select 1" }, S(EXECUTES) | S(PLAIN) | S(HARMLESS), "" },
	{ { "Q select f(x) from t" }, S(EXECUTES) | S(PLAIN) | S(READS), "function f relation t" },
	{ { "Q select 1; select g()" }, S(EXECUTES) | S(READS), "function g" },
	{ { "Q copy (select g()) to stdout" }, S(EXECUTES) | S(PLAIN) | S(READS), "function g" },
	{ { "Q explain analyze select g()" }, S(EXECUTES) | S(READS), "function g" },
	{ { "Q select * from t for update" }, S(EXECUTES) | S(PLAIN) | S(READS), "relation t" },
	{ { "Q show x" }, S(EXECUTES) | S(PLAIN) | S(HARMLESS), "" },
	{ { "Q select f(); select nextval('s')" }, S(EXECUTES), NULL },
	{ { "Q insert into t select f()" }, S(EXECUTES) | S(PLAIN), NULL },
	{ { "Q copy t from stdin" }, S(EXECUTES) | S(PLAIN), NULL },
	{ { "Q execute f" }, S(EXECUTES), NULL },
	{ { "Q fetch f" }, S(EXECUTES), NULL },
	{ { "Q call f()" }, S(EXECUTES), NULL },
	{ { "Q select f(); commit" }, S(EXECUTES) | S(MAY_END), NULL },
	{ { "Q begin", "Q select f()" }, S(EXECUTES) | S(BLOCK), NULL },
	{ { "B - maybe", "E -", "S" }, S(EXECUTES) | S(PLAIN) | S(READS), "function mine relation t" },
	{ { "B - typed", "E -", "S" }, S(EXECUTES) | S(PLAIN), NULL },
	{ { "P - select f()", "B - -", "E -", "B - maybe", "E -", "S" }, S(EXECUTES) | S(PLAIN) | S(READS),
	  "function f function mine relation t" },
	{ { "P - select f()", "B - -", "E -", "B - write", "E -", "S" }, S(EXECUTES) | S(PLAIN), NULL },
	{ { "P - select f()", "D -", "S" }, S(PLAIN) | S(HARMLESS), "" },
	{ { "P - set x = 1", "B - -", "E -", "P - select f()", "B - -", "E -", "S" }, S(EXECUTES) | S(PLAIN), NULL },
	{ { "Q select f('\\')" }, S(EXECUTES) | S(MAY_END), NULL },
	{ { "Q select \xc3\xa4()" }, S(EXECUTES) | S(PLAIN), NULL },
};

/* "function f relation t", of rows. */
static const char *
names_in(struct view rows)
{
	static char out[400];
	char kind[20], name[60];
	out[0] = '\0';
	for (size_t i = 0; i < rows.n; i++)
		if (rows.p[i] == '(' && sscanf((const char *)rows.p + i, "('%19[a-z]', E''::name, E'%59[^']'::name", kind, name) == 2)
			snprintf(out + strlen(out), sizeof(out) - strlen(out), "%s%s %s", out[0] ? " " : "", kind, name);
	return out;
}

START_TEST(what_a_catalog_is_asked_for)
{
	struct lost_names names = { 0 };
	for (size_t i = 0; i < sizeof(asked) / sizeof(asked[0]); i++) {
		struct buf b = { 0 };
		for (size_t j = 0; j < 8 && asked[i].messages[j]; j++)
			add(&b, asked[i].messages[j]);
		struct lost_request r = { .kept = buf_view(&b), .find = find, .names = &names, .is_ascii_only = true };
		uint32_t tells = lost_read(&r) & ~S(COMMITS);
		ck_assert_msg(tells == asked[i].tells, "%zu, %s: %x, not %x", i, asked[i].messages[0], tells, asked[i].tells);
		buf_add_u8(&names.rows, 0);
		names.rows.n--;
		if (asked[i].for_what)
			ck_assert_str_eq(names_in(buf_view(&names.rows)), asked[i].for_what);
		/* With nobody to ask none of it is certain, and outside of standbys nothing is parsed. */
		r.names = NULL;
		if (tells & (S(READS)))
			ck_assert_uint_eq(lost_read(&r) & ~S(COMMITS), tells & ~S(READS));
		buf_free(&b);
	}
	/* Read as PostgreSQL reads it here. */
	struct buf b = { 0 };
	add(&b, "Q select \xc3\xa4('\\')");
	struct lost_request r = { .kept = buf_view(&b), .find = find, .names = &names, .has_plain_strings = true };
	ck_assert(lost_read(&r) & S(READS));
	buf_free(&b);
	buf_free(&names.rows);
}
END_TEST

START_TEST(only_the_end_of_a_server_is_its_loss)
{
	ck_assert(lost_is_meant("FATAL", "57P01") && lost_is_meant("FATAL", "57P02") && lost_is_meant("PANIC", "XX000"));
	ck_assert(!lost_is_meant("FATAL", "57P05") && !lost_is_meant("FATAL", "25P03") && !lost_is_meant("FATAL", "53200"));
	ck_assert(lost_is_broken_off(&(struct error_fields){ .sqlstate = "57P01", .routine = "ProcessInterrupts" }));
	ck_assert(!lost_is_broken_off(&(struct error_fields){ .sqlstate = "57P02", .routine = "ProcessInterrupts" }));
	ck_assert(!lost_is_broken_off(&(struct error_fields){ .sqlstate = "57P01", .routine = "WaitLatch" }));
	ck_assert(!lost_is_broken_off(&(struct error_fields){ .sqlstate = "57P01" }));
	ck_assert(!lost_is_broken_off(&(struct error_fields){ .routine = "ProcessInterrupts" }));
	ck_assert(!lost_is_meant("FATAL", "08P01") && !lost_is_meant("FATAL", NULL) && !lost_is_meant(NULL, NULL));
}
END_TEST

int
main(void)
{
	const TTest *const rules[] = { every_row_answers_for_its_case, no_combination_of_signs_leads_astray, messages_tell_what_they_do,
				       what_a_catalog_is_asked_for,
				       only_the_end_of_a_server_is_its_loss };
	return suite_run("session/lost", rules, sizeof(rules) / sizeof(rules[0]));
}
