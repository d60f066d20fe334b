/* tests/sql/describe.c - see describe.h. */
#include "describe.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/must.h"

static const char *const results[] = { "parsed", "not-parsed", "too-long", "too-much" };

static const char *const kinds[SQL_KINDS] = {
	[SQL_OTHER] = "other", [SQL_BEGIN] = "begin", [SQL_COMMIT] = "commit", [SQL_ROLLBACK] = "rollback",
	[SQL_SAVEPOINT] = "savepoint", [SQL_RELEASE] = "release", [SQL_ROLLBACK_TO] = "rollback-to",
	[SQL_PREPARE_TRANSACTION] = "prepare-transaction", [SQL_COMMIT_PREPARED] = "commit-prepared",
	[SQL_ROLLBACK_PREPARED] = "rollback-prepared", [SQL_SET_TRANSACTION] = "set-transaction", [SQL_SELECT] = "select",
	[SQL_INSERT] = "insert", [SQL_UPDATE] = "update", [SQL_DELETE] = "delete", [SQL_MERGE] = "merge",
	[SQL_COPY] = "copy", [SQL_SHOW] = "show", [SQL_SET] = "set", [SQL_EXPLAIN] = "explain", [SQL_PREPARE] = "prepare",
	[SQL_EXECUTE] = "execute", [SQL_DEALLOCATE] = "deallocate", [SQL_DECLARE] = "declare", [SQL_FETCH] = "fetch",
	[SQL_CLOSE] = "close", [SQL_LISTEN] = "listen", [SQL_UNLISTEN] = "unlisten", [SQL_NOTIFY] = "notify",
	[SQL_DISCARD] = "discard", [SQL_LOCK] = "lock", [SQL_CALL] = "call", [SQL_DO] = "do",
};

static const char *const effects[] = { "writes", "locks", "begins", "ends", "subtransaction", "transaction", "session",
	                               "ask-names", "ask-session", "code", "no-block", "leader-only", "copy-in", "copy-out" };

static const char *const touches[SQL_TOUCHES] = {
	[SQL_TOUCH_SET] = "set", [SQL_TOUCH_RESET] = "reset", [SQL_TOUCH_RESET_ALL] = "reset-all",
	[SQL_TOUCH_SET_CONFIG] = "set-config", [SQL_TOUCH_SHOW] = "show", [SQL_TOUCH_PREPARE] = "prepare",
	[SQL_TOUCH_EXECUTE] = "execute", [SQL_TOUCH_DEALLOCATE] = "deallocate", [SQL_TOUCH_DECLARE] = "declare",
	[SQL_TOUCH_FETCH] = "fetch", [SQL_TOUCH_CLOSE] = "close", [SQL_TOUCH_LISTEN] = "listen",
	[SQL_TOUCH_UNLISTEN] = "unlisten", [SQL_TOUCH_NOTIFY] = "notify", [SQL_TOUCH_DISCARD] = "discard",
	[SQL_TOUCH_TEMPORARY] = "temporary", [SQL_TOUCH_LOAD] = "load", [SQL_TOUCH_ADVISORY_LOCK] = "advisory-lock",
	[SQL_TOUCH_ADVISORY_UNLOCK] = "advisory-unlock", [SQL_TOUCH_ADVISORY_UNLOCK_ALL] = "advisory-unlock-all",
	[SQL_TOUCH_SEQUENCE] = "sequence", [SQL_TOUCH_SEQUENCE_READ] = "sequence-read", [SQL_TOUCH_SEED] = "seed",
	[SQL_TOUCH_ORIGIN] = "origin",
};

static struct buf line;

static void
add_effects(uint32_t of)
{
	if (!(of & ~SQL_EFFECTS_OF_READING))
		buf_addf(&line, " reads");
	for (size_t i = 0; i < sizeof(effects) / sizeof(effects[0]); i++)
		if (of & 1u << i)
			buf_addf(&line, " %s", effects[i]);
}

static void
add_statement(const struct sql_statement *s)
{
	buf_addf(&line, "%s", kinds[s->kind]);
	if (*s->name)
		buf_addf(&line, "(%s)", s->name);
	add_effects(s->effects);
	if (s->access != SQL_ACCESS_UNSAID)
		buf_addf(&line, s->access == SQL_ACCESS_READ_ONLY ? " read-only" : " read-write");
	if (s->chains)
		buf_addf(&line, " and-chain");
	if (s->kind == SQL_PREPARE) {
		buf_addf(&line, " of");
		add_effects(s->prepares);
	}
}

static void
add_touch(const struct sql_touch *t)
{
	buf_addf(&line, " %s", touches[t->kind]);
	if (t->name || t->value)
		buf_addf(&line, "(%s%s%s)", t->name ? t->name : "?", t->value ? "=" : "", t->value ? t->value : "");
	if (t->is_local)
		buf_addf(&line, "-local");
	if (!t->is_local_known)
		buf_addf(&line, "-perhaps-local");
	if (t->is_deferred)
		buf_addf(&line, "-later");
}

static void
add_name(const struct sql_name *n)
{
	buf_addf(&line, " %c:%s%s%s", "fotra"[n->kind], n->schema, *n->schema ? "." : "", n->name);
	if (n->kind == SQL_NAME_FUNCTION && n->arguments == UINT16_MAX)
		buf_addf(&line, "/*");
	else if (n->kind == SQL_NAME_FUNCTION)
		buf_addf(&line, "/%d", n->arguments);
	if (n->is_written)
		buf_addf(&line, "!");
	if (n->may_be_cte)
		buf_addf(&line, "~");
	if (n->is_deferred)
		buf_addf(&line, "-later");
}

static bool
is_of_interest(const struct sql_name *n)
{
	return n->kind == SQL_NAME_RELATION || (n->kind != SQL_NAME_ATTRIBUTE && !n->is_builtin);
}

const char *
describe(const struct sql_facts *facts)
{
	uint32_t names = 0;

	buf_clear(&line);
	if (facts->result != SQL_PARSED) {
		buf_addf(&line, "%s", results[facts->result]);
		buf_add_u8(&line, 0);
		return (const char *)line.p;
	}
	if (facts->statement_count == 0)
		buf_addf(&line, "nothing");
	for (uint32_t i = 0; i < facts->statement_count; i++) {
		buf_addf(&line, i ? " ; " : "");
		add_statement(&facts->statements[i]);
	}
	for (uint32_t i = 0; i < facts->touch_count; i++) {
		buf_addf(&line, i ? "" : " |");
		add_touch(&facts->touches[i]);
	}
	for (uint32_t i = 0; i < facts->name_count; i++) {
		if (!is_of_interest(&facts->names[i]))
			continue;
		buf_addf(&line, names++ ? "" : " |");
		add_name(&facts->names[i]);
	}
	buf_add_u8(&line, 0);
	return (const char *)line.p;
}

const char *
describe_names(const struct sql_facts *facts)
{
	buf_clear(&line);
	for (uint32_t i = 0; i < facts->name_count; i++)
		add_name(&facts->names[i]);
	buf_add_u8(&line, 0);
	return (const char *)line.p + (line.n > 1);
}

/* ---- files ---- */

static int
read_file(const char *path, const char *name, statement_handler *each)
{
	static char row[8192], expected[8192];
	struct buf statement = { 0 };
	int count = 0, number = 0, began = 0;
	FILE *f = fopen(path, "r");

	must(f != NULL);
	expected[0] = 0;
	for (bool is_more = true; is_more;) {
		is_more = fgets(row, sizeof(row), f) != NULL;
		number++;
		if (is_more && strncmp(row, "--- ", 4) == 0)
			continue;
		if (is_more && strncmp(row, "-- ", 3) == 0 && statement.n == 0) {
			row[strcspn(row, "\n")] = 0;
			snprintf(expected, sizeof(expected), "%s", row + 3);
			began = number;
		} else if (is_more && row[0] != '\n') {
			buf_add(&statement, view_of_string(row));
		} else if (statement.n > 0) {
			each(name, began, expected, view_of(statement.p, statement.n - 1));
			buf_clear(&statement);
			count++;
		}
	}
	fclose(f);
	buf_free(&statement);
	return count;
}

int
statements_each(const char *directory, statement_handler *each)
{
	struct dirent **entries;
	int n = scandir(directory, &entries, NULL, alphasort), count = 0;

	must(n >= 0);
	for (int i = 0; i < n; i++) {
		const char *name = entries[i]->d_name, *dot = strrchr(name, '.');
		char path[4096];
		snprintf(path, sizeof(path), "%s/%s", directory, name);
		if (dot && strcmp(dot, ".sql") == 0)
			count += read_file(path, name, each);
		free(entries[i]);
	}
	free(entries);
	return count;
}
