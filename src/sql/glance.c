/*
 * src/sql/glance.c - see sql/glance.h. A scanner as PostgreSQL's is, token by token; of each word it asks word_kind().
 *
 *   text ─► glance_at(): a token ─► at_word() ─► word_kind() ─► closer?
 *                          │            └► shape
 *                          └► string, $tag$, comment: stepped over ─ not certain where it ends ─► read_anything()
 *
 * Stepping over is where soundness could be lost. It is certain where a string ends unless it has a backslash, but in E'';
 * and there, in encodings that have one as the second byte of a character (SJIS, BIG5, GBK ...), unless a byte above 127 is
 * before it. The bytes ' " $ * / - and line ends are never part of a longer character; letters, digits and some marks
 * are: behind a name with bytes above 127 it is not certain that E or $ begins something.
 * Source: PostgreSQL 15, src/backend/parser/scan.l; which statements may be part of others: gram.y.
 */
#include "sql/glance.h"

#include <string.h>

#include "sql/facts.h"
#include "words.h"

/* LETTER begins a name, as HIGH does; DIGIT, HIGH and DOLLAR go on in one. */
enum { LETTER = 1, DIGIT = 2, HIGH = 4, DOLLAR = 8, BLANK = 16 };

static const uint8_t classes[256] = {
	['a' ... 'z'] = LETTER, ['A' ... 'Z'] = LETTER, ['_'] = LETTER, [0x80 ... 0xff] = HIGH,
	['0' ... '9'] = DIGIT,  ['$'] = DOLLAR,
	[' '] = BLANK, ['\t'] = BLANK, ['\n'] = BLANK, ['\r'] = BLANK, ['\f'] = BLANK, ['\v'] = BLANK,
};

/* A list of constants in the shape: what is pending is nothing if a constant follows. */
enum list_state {
	LIST_NONE,
	LIST_CONSTANT, /* ? */
	LIST_COMMA,    /* ?,   , is pending */
	LIST_END,      /* ?) */
	LIST_ENDS,     /* ?),  , is pending */
	LIST_AGAIN,    /* ?),( ,( is pending */
};

struct glimpse {
	const uint8_t *begin, *p, *end;
	uint64_t shape;
	uint8_t list;     /* enum list_state */
	bool is_again;    /* in a list of a list, and not in the first: its ) is left out, too */
	bool is_first;    /* the next token begins a statement */
	bool is_closer;
	bool has_set;     /* SET or RESET, not as the first word */
	bool has_routine; /* FUNCTION, PROCEDURE, ROUTINE: those have SET within */
	bool has_high;    /* a byte above 127 outside of quotes and comments */
};

/* ---- shape ---- */

static inline void
mix(struct glimpse *g, uint64_t value)
{
	g->shape = ((g->shape << 5 | g->shape >> 59) ^ value) * 0x9e3779b97f4a7c15u;
}

/* Anything but a constant follows, so what is pending is part of the text. */
static inline void
end_list(struct glimpse *g)
{
	if (g->list >= LIST_COMMA) {
		if (g->list != LIST_END)
			mix(g, ',');
		if (g->list == LIST_AGAIN)
			mix(g, '(');
	}
	g->list = LIST_NONE;
	g->is_again = false;
}

static inline void
add_constant(struct glimpse *g)
{
	if (g->list == LIST_AGAIN) {
		g->is_again = true;
	} else if (g->list != LIST_COMMA && g->list != LIST_CONSTANT) { /* two in a row are 'a''b' */
		end_list(g);
		mix(g, '?');
	}
	g->list = LIST_CONSTANT;
	g->is_first = false;
}

static inline void
add_mark(struct glimpse *g, uint8_t c)
{
	if (c == ',' && (g->list == LIST_CONSTANT || g->list == LIST_END)) {
		g->list++;
	} else if (c == '(' && g->list == LIST_ENDS) {
		g->list = LIST_AGAIN;
	} else if (c == ')' && g->list == LIST_CONSTANT) {
		if (!g->is_again)
			mix(g, c);
		g->list = LIST_END;
	} else {
		end_list(g);
		mix(g, c);
	}
	g->is_first = c == ';';
}

/* ---- words ---- */

static inline void
at_word(struct glimpse *g, struct word w)
{
	if (word_may_tell(&w)) {
		enum word_kind kind = word_kind(&w);
		if (kind == WORD_CONSTANT) {
			add_constant(g);
			return;
		}
		g->is_closer |= kind == WORD_ALWAYS || (g->is_first && (kind == WORD_FIRST || kind == WORD_SET));
		g->has_set |= kind == WORD_SET;
		g->has_routine |= kind == WORD_ROUTINE;
	}
	if (g->list)
		end_list(g);
	mix(g, w.value);
	if (w.rest)
		mix(g, w.rest);
	g->is_first = false;
}

/* The words of a name that has more in it than letters and digits. */
static void
at_words(struct glimpse *g, const uint8_t *p, const uint8_t *end)
{
	while (p < end) {
		if (!(classes[*p] & LETTER)) {
			mix(g, *p++);
			continue;
		}
		struct word w = word_at(p, end);
		bool is_first = g->is_first;
		at_word(g, w);
		g->is_first = is_first;
		p += w.n;
	}
	g->is_first = false;
}

/* ---- what is stepped over ---- */

static const uint8_t *
skip_blanks(const uint8_t *p, const uint8_t *end)
{
	while (p < end && classes[*p] & BLANK)
		p++;
	return p;
}

/* Nobody knows any more where strings are: whatever looks like a word may be the first one of a statement. */
static void
read_anything(struct glimpse *g)
{
	while (g->p < g->end) {
		if (!(classes[*g->p] & LETTER)) {
			g->p++;
			continue;
		}
		struct word w = word_at(g->p, g->end);
		g->is_first = true;
		at_word(g, w);
		g->p += w.n;
		g->is_closer |= w.n == 1 && (*w.p | 0x20) == 'u' && g->p < g->end && *g->p == '&';
	}
}

static const uint8_t *
find(const struct glimpse *g, const uint8_t *from, uint8_t c)
{
	const uint8_t *found = from < g->end ? memchr(from, c, (size_t)(g->end - from)) : NULL;
	return found ? found : g->end;
}

/* Temporary objects are named in strings, too: 'pg_temp.x'::regclass. */
static inline void
look_into_string(struct glimpse *g, const uint8_t *p, const uint8_t *end)
{
	if (p < end && (*p | 0x20) == 'p')
		g->is_closer |= word_begins_with(p, (size_t)(end - p), "pg_temp");
}

/* '...': a doubled quote is taken for two strings, which is the same here. */
static void
at_string(struct glimpse *g)
{
	const uint8_t *from = g->p + 1, *quote = find(g, from, '\''), *backslash;

	if (quote > from && (backslash = memchr(from, '\\', (size_t)(quote - from)))) {
		g->p = backslash;
		read_anything(g);
		return;
	}
	look_into_string(g, from, quote);
	g->p = quote < g->end ? quote + 1 : quote;
	add_constant(g);
}

/* E'...', at its quote */
static void
at_escapes(struct glimpse *g)
{
	const uint8_t *from = g->p + 1, *p = from, *end = g->end;

	while (p < end && (*p != '\'' || (end - p > 1 && p[1] == '\''))) {
		if (*p == '\\' && classes[p[-1]] & HIGH) {
			g->p = p;
			read_anything(g);
			return;
		}
		p += *p == '\\' || *p == '\'' ? 2 : 1;
	}
	look_into_string(g, from, p < end ? p : end);
	g->p = p < end ? p + 1 : end;
	add_constant(g);
}

/* "..." */
static void
at_quoted_name(struct glimpse *g)
{
	const uint8_t *from = g->p + 1, *quote = find(g, from, '"');
	g->p = quote < g->end ? quote + 1 : quote;
	end_list(g);
	mix(g, '"');
	g->is_first = false; /* no keyword */
	at_words(g, from, quote);
}

/* $1, $$...$$, $tag$...$tag$ */
static void
at_dollar(struct glimpse *g)
{
	const uint8_t *p = g->p + 1;

	if (p < g->end && classes[*p] & DIGIT) {
		while (p < g->end && classes[*p] & DIGIT)
			p++;
		g->p = p;
		add_constant(g);
		return;
	}
	while (p < g->end && classes[*p] & (LETTER | DIGIT))
		p++;
	if (p == g->end || *p != '$' || g->has_high) {
		read_anything(g);
		return;
	}
	size_t n = (size_t)(p - g->p) + 1;
	const uint8_t *end = find(g, p + 1, '$');
	while (end < g->end && ((size_t)(g->end - end) < n || memcmp(end, g->p, n) != 0))
		end = find(g, end + 1, '$');
	look_into_string(g, p + 1, end);
	g->p = end < g->end ? end + n : end;
	add_constant(g);
}

/* Behind the comment that begins at p; they nest. NULL: none does. */
static const uint8_t *
skip_comment(const uint8_t *p, const uint8_t *end)
{
	uint32_t depth = 1;

	if (end - p < 2 || !((p[0] == '-' && p[1] == '-') || (p[0] == '/' && p[1] == '*')))
		return NULL;
	if (p[0] == '-') {
		while (p < end && *p != '\n' && *p != '\r')
			p++;
		return p;
	}
	for (p += 2; depth > 0; p++) {
		if (end - p < 2)
			return end;
		if (p[0] == '*' && p[1] == '/') {
			depth--;
			p++;
		} else if (p[0] == '/' && p[1] == '*') {
			depth++;
			p++;
		}
	}
	return p;
}

/* ---- tokens ---- */

static void
at_number(struct glimpse *g)
{
	const uint8_t *p = g->p, *end = g->end;

	while (p < end && (classes[*p] & DIGIT || *p == '.'))
		p++;
	if (p < end && (*p | 0x20) == 'e') {
		const uint8_t *exponent = p + 1;
		exponent += exponent < end && (*exponent == '+' || *exponent == '-');
		if (exponent < end && classes[*exponent] & DIGIT) {
			for (p = exponent; p < end && classes[*p] & DIGIT;)
				p++;
		}
	}
	g->p = p;
	add_constant(g);
}

/* More than letters and digits: with $, or bytes above 127. */
static void
at_long_name(struct glimpse *g, const uint8_t *p)
{
	const uint8_t *from = g->p;

	while (p < g->end && classes[*p] & (LETTER | DIGIT | HIGH | DOLLAR)) {
		g->has_high |= classes[*p] & HIGH;
		p++;
	}
	g->p = p;
	end_list(g);
	at_words(g, from, p);
}

/* One letter in front of a quote or an ampersand. True: it was the beginning of E'...' */
static bool
at_letter(struct glimpse *g, uint8_t letter, uint8_t next)
{
	const uint8_t *before = g->p - 2;

	if (next == '&')
		g->is_closer |= (letter | 0x20) == 'u';
	if (next != '\'' || (letter | 0x20) != 'e' || g->has_high || (before >= g->begin && classes[*before] & DIGIT))
		return false;
	at_escapes(g);
	return true;
}

static inline void
at_name(struct glimpse *g)
{
	struct word w = word_at(g->p, g->end);
	const uint8_t *p = g->p + w.n;

	if (p < g->end && classes[*p] & (HIGH | DOLLAR)) {
		at_long_name(g, p);
		return;
	}
	g->p = p;
	if (w.n == 1 && p < g->end && at_letter(g, *w.p, *p))
		return;
	at_word(g, w);
}

/* Quotes, comments, marks. */
static void
at_other(struct glimpse *g)
{
	uint8_t c = *g->p;
	const uint8_t *behind;

	if (c == '\'') {
		at_string(g);
	} else if (c == '"') {
		at_quoted_name(g);
	} else if (c == '$') {
		at_dollar(g);
	} else if ((c == '-' || c == '/') && (behind = skip_comment(g->p, g->end))) {
		g->p = behind;
	} else if (c == '.' && g->end - g->p > 1 && classes[g->p[1]] & DIGIT) {
		at_number(g);
	} else if (c == '\\') {
		read_anything(g);
	} else {
		g->p++;
		add_mark(g, c);
	}
}

/* ---- plain ---- */

/* Nothing but ; and blanks. */
static bool
is_at_end(const uint8_t *p, const uint8_t *end)
{
	p = skip_blanks(p, end);
	if (p < end && *p == ';')
		p = skip_blanks(p + 1, end);
	return p == end;
}

/* Names, quoted or not, with dots and commas; no brackets, strings, operators. */
static bool
is_of_names(const uint8_t *p, const uint8_t *end)
{
	while (p < end && (classes[*p] & (LETTER | DIGIT | BLANK) || *p == ',' || *p == '.' || *p == '"'))
		p++;
	return is_at_end(p, end);
}

/* A number, a string, NULL, TRUE, FALSE. NULL: it is none. A parameter may have a type with a check of somebody's own. */
static const uint8_t *
skip_constant(const uint8_t *p, const uint8_t *end)
{
	const uint8_t *from = p;

	if (p < end && *p == '\'') {
		for (p++; p < end && *p != '\'' && *p != '\\' && !(classes[*p] & HIGH);)
			p++;
		return p < end && *p == '\'' ? p + 1 : NULL;
	}
	if (p < end && classes[*p] & DIGIT) {
		while (p < end && (classes[*p] & DIGIT || *p == '.'))
			p++;
		return p;
	}
	struct word word = word_at(from, end);
	if (IS_WORD(word, "null") || IS_WORD(word, "true") || IS_WORD(word, "false"))
		return from + word.n;
	return NULL;
}

/* What follows SELECT: constants, each perhaps with AS name. */
static bool
is_of_constants(const uint8_t *p, const uint8_t *end)
{
	for (;;) {
		p = skip_constant(skip_blanks(p, end), end);
		if (!p)
			return false;
		p = skip_blanks(p, end);
		struct word word = word_at(p, end);
		if (IS_WORD(word, "as")) {
			p = skip_blanks(p + word.n, end);
			word = word_at(p, end);
			if (word.n == 0)
				return false;
			p = skip_blanks(p + word.n, end);
		}
		if (p == end || *p != ',')
			return is_at_end(p, end);
		p++;
	}
}

/* Of a text that may ...: does it certainly not? `p` is behind blanks and comments. */
static bool
is_plain(const uint8_t *p, const uint8_t *end)
{
	struct word word = word_at(p, end);
	p += word.n;
	if (IS_WORD(word, "select"))
		return is_of_constants(p, end);
	if (IS_WORD(word, "begin") || IS_WORD(word, "commit") || IS_WORD(word, "end") || IS_WORD(word, "rollback") ||
	    IS_WORD(word, "start") || IS_WORD(word, "abort") || IS_WORD(word, "savepoint") || IS_WORD(word, "release") ||
	    IS_WORD(word, "show"))
		return is_of_names(p, end);
	return word.n == 0 && is_at_end(p, end);
}

struct glance
glance_at(struct view text)
{
	struct glimpse g = { .begin = text.p, .p = text.p, .end = text.p + text.n, .is_first = true };

	if (text.n == 0)
		return (struct glance){ .verdict = GLANCE_PLAIN };
	if (text.n > SQL_TEXT_MAX)
		return (struct glance){ .verdict = GLANCE_CLOSER };
	const uint8_t *first = skip_blanks(g.p, g.end), *behind;
	while ((behind = skip_comment(first, g.end)))
		first = skip_blanks(behind, g.end);
	g.p = first;
	while (g.p < g.end) {
		uint8_t class = classes[*g.p];
		if (class & BLANK) {
			g.p++;
			continue;
		}
		if (class & (LETTER | HIGH))
			at_name(&g);
		else if (class & DIGIT)
			at_number(&g);
		else
			at_other(&g);
	}
	enum glance_verdict verdict = GLANCE_MAY;
	if (g.is_closer || (g.has_set && g.has_routine))
		verdict = GLANCE_CLOSER;
	else if (is_plain(first, g.end))
		verdict = GLANCE_PLAIN;
	end_list(&g);
	return (struct glance){ .verdict = (uint8_t)verdict, .shape = (uint32_t)(g.shape >> 32) };
}

/* ---- texts that differ in numbers ---- */

static inline bool
is_digit_at(struct view v, size_t i)
{
	return i < v.n && (uint8_t)(v.p[i] - '0') < 10;
}

/* Could a digit behind it be part of a name, or of $1? */
static inline bool
is_in_name(uint8_t c)
{
	return (uint8_t)((c | 0x20) - 'a') < 26 || c == '_' || c == '$' || c >= 128;
}

bool
glance_is_same(struct view a, struct view b)
{
	size_t i = 0, j = 0;
	while (i < a.n || j < b.n) {
		uint64_t x, y;
		if (a.n - i >= 8 && b.n - j >= 8) {
			memcpy(&x, a.p + i, 8);
			memcpy(&y, b.p + j, 8);
			if (x == y) {
				i += 8;
				j += 8;
				continue;
			}
		}
		if (i < a.n && j < b.n && a.p[i] == b.p[j]) {
			i++;
			j++;
			continue;
		}
		size_t begin = i; /* what is before it is the same in both */
		while (begin > 0 && is_digit_at(a, begin - 1))
			begin--;
		size_t before_i = i, before_j = j;
		while (is_digit_at(a, i))
			i++;
		while (is_digit_at(b, j))
			j++;
		bool is_number = i > begin && j > before_j - (before_i - begin) && (begin == 0 || !is_in_name(a.p[begin - 1]));
		if (!is_number || (i == before_i && j == before_j))
			return false;
	}
	return true;
}
