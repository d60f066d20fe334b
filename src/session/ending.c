/* session/ending.c - see the header. */
#include "session/ending.h"

#include <string.h>
#include <strings.h>

enum { WORDS = 8, WORD_MAX = 24 };

struct reader {
	struct view in;
	size_t at;
	bool is_unsure;         /* quotes that mean different things by standard_conforming_strings, or that do not end */
	unsigned statements;
	char word[WORDS][WORD_MAX]; /* of the first statement; "?" stands for what is no keyword */
	unsigned words;
	unsigned words_here;    /* of the current statement */
	bool may_end;
};

static int
peek(const struct reader *r, size_t ahead)
{
	return r->at + ahead < r->in.n ? r->in.p[r->at + ahead] : -1;
}

static bool
is_word(int c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c >= 128;
}

static bool
is_digit(int c)
{
	return c >= '0' && c <= '9';
}

static bool
is_blank(int c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

/* -- to the end of the line, and slash star, which nests. False: no comment here. */
static bool
skip_comment(struct reader *r)
{
	if (peek(r, 0) == '-' && peek(r, 1) == '-') {
		while (r->at < r->in.n && peek(r, 0) != '\n' && peek(r, 0) != '\r')
			r->at++;
		return true;
	}
	if (peek(r, 0) != '/' || peek(r, 1) != '*')
		return false;
	unsigned depth = 1;
	r->at += 2;
	while (depth > 0) {
		if (r->at >= r->in.n) {
			r->is_unsure = true;
			return true;
		}
		bool opens = peek(r, 0) == '/' && peek(r, 1) == '*';
		bool ends = peek(r, 0) == '*' && peek(r, 1) == '/';
		depth += opens;
		depth -= ends;
		r->at += opens || ends ? 2 : 1;
	}
	return true;
}

/* A backslash may escape the quote behind it, or not: then nobody knows where the string ends. */
static void
skip_quoted(struct reader *r, int quote)
{
	r->at++;
	while (r->at < r->in.n) {
		int c = peek(r, 0);
		r->at++;
		if (c == '\\' && quote == '\'')
			r->is_unsure = true;
		if (c != quote)
			continue;
		if (peek(r, 0) != quote)
			return;
		r->at++;
	}
	r->is_unsure = true;
}

/* $tag$ ... $tag$. False: this dollar begins no string. */
static bool
skip_dollars(struct reader *r)
{
	size_t n = 1;
	while (is_word(peek(r, n)) || (n > 1 && is_digit(peek(r, n))))
		n++;
	if (peek(r, n) != '$')
		return false;
	n++;
	const uint8_t *tag = r->in.p + r->at;
	for (r->at += n; r->at + n <= r->in.n; r->at++)
		if (memcmp(r->in.p + r->at, tag, n) == 0) {
			r->at += n;
			return true;
		}
	r->at = r->in.n;
	r->is_unsure = true;
	return true;
}

static void
note(struct reader *r, const char *word, size_t n)
{
	static const char *const ends[] = { "commit", "end", "rollback", "abort", "prepare" };
	if (r->words_here++ == 0) {
		r->statements++;
		for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
			r->may_end |= strlen(ends[i]) == n && strncasecmp(word, ends[i], n) == 0;
	}
	if (r->statements != 1 || r->words >= WORDS)
		return;
	if (n >= WORD_MAX) {
		word = "?";
		n = 1;
	}
	for (size_t i = 0; i < n; i++)
		r->word[r->words][i] = (char)(word[i] >= 'A' && word[i] <= 'Z' ? word[i] + 32 : word[i]);
	r->word[r->words++][n] = '\0';
}

static void
read_all(struct reader *r)
{
	while (r->at < r->in.n) {
		int c = peek(r, 0);
		if (c == ';') {
			r->words_here = 0;
			r->at++;
		} else if (is_blank(c)) {
			r->at++;
		} else if (skip_comment(r)) {
			continue;
		} else if (is_word(c)) {
			size_t from = r->at;
			while (is_word(peek(r, 0)) || is_digit(peek(r, 0)) || peek(r, 0) == '$')
				r->at++;
			note(r, (const char *)r->in.p + from, r->at - from);
		} else {
			note(r, "?", 1);
			if (c == '\'' || c == '"')
				skip_quoted(r, c);
			else if (c == '$' && skip_dollars(r))
				continue;
			else
				r->at++;
		}
	}
}

static bool
is(const struct reader *r, unsigned i, const char *word)
{
	return i < r->words && strcmp(r->word[i], word) == 0;
}

/* Behind COMMIT or ROLLBACK: [WORK | TRANSACTION] [AND [NO] CHAIN], or [TO [SAVEPOINT] name]. */
static enum ending
read_ending(const struct reader *r, enum ending plain)
{
	unsigned i = 1;
	if (is(r, i, "work") || is(r, i, "transaction"))
		i++;
	if (i == r->words)
		return plain;
	if (plain == ENDING_ROLLBACK && is(r, i, "to"))
		return ENDING_ROLLBACK_TO;
	if (is(r, i, "and") && is(r, i + 1, "chain") && i + 2 == r->words)
		return ENDING_CHAIN;
	if (is(r, i, "and") && is(r, i + 1, "no") && is(r, i + 2, "chain") && i + 3 == r->words)
		return plain;
	return ENDING_OTHER;
}

static enum ending
read_kind(const struct reader *r)
{
	static const struct {
		const char *word;
		enum ending means;
	} firsts[] = {
		{ "show", ENDING_SHOW },     { "select", ENDING_SELECT }, { "values", ENDING_SELECT }, { "table", ENDING_SELECT },
		{ "with", ENDING_SELECT },   { "insert", ENDING_CHANGE }, { "update", ENDING_CHANGE }, { "delete", ENDING_CHANGE },
		{ "merge", ENDING_CHANGE },  { "copy", ENDING_CHANGE },   { "begin", ENDING_BEGIN },
		{ "set", ENDING_SET },       { "reset", ENDING_SET },
	};
	if (r->statements == 0)
		return ENDING_EMPTY;
	if (r->statements > 1)
		return ENDING_OTHER;
	if (is(r, 0, "commit") || is(r, 0, "end"))
		return read_ending(r, ENDING_COMMIT);
	if (is(r, 0, "rollback") || is(r, 0, "abort"))
		return read_ending(r, ENDING_ROLLBACK);
	if (is(r, 0, "start") && is(r, 1, "transaction"))
		return ENDING_BEGIN;
	if (is(r, 0, "prepare") && is(r, 1, "transaction"))
		return ENDING_PREPARE;
	for (size_t i = 0; i < sizeof(firsts) / sizeof(firsts[0]); i++)
		if (is(r, 0, firsts[i].word))
			return firsts[i].means;
	return ENDING_OTHER;
}

struct ending_facts
ending_read(struct view text)
{
	struct reader r = { .in = text };
	read_all(&r);
	if (r.is_unsure)
		return (struct ending_facts){ .is = ENDING_OTHER, .may_end = true };
	struct ending_facts out = { .is = read_kind(&r), .may_end = r.may_end, .is_one = r.statements == 1 };
	if (out.is == ENDING_ROLLBACK_TO)
		out.may_end = false;
	return out;
}
