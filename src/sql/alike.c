/*
 * src/sql/alike.c - see alike.h. A scanner of its own, for libpg_query's costs as much as its parser.
 *
 *   text ─► scan(): one token ─► keep(): is it part of a list that is left out? ─► out
 */
#include "alike.h"

#include <strings.h>

enum token_kind { TOKEN_END, TOKEN_CONSTANT, TOKEN_BLANK, TOKEN_WORD, TOKEN_OTHER, TOKEN_STRANGE };

struct token {
	enum token_kind kind;
	char letter; /* of a constant: s string, i small integer, f other number, p parameter */
	struct view text;
};

/* Where in a list of constants we are: IN ( 1 , 2 ) or VALUES ( 1 , 2 ) , ( 3 , 4 ) */
enum list_state {
	LIST_NONE,
	LIST_NAMED,  /* IN or VALUES has just been */
	LIST_OPEN,   /* the parenthesis, too */
	LIST_CONSTANTS, /* and the first constant: more are left out */
};

struct alike {
	const uint8_t *p, *end;
	enum list_state list;
	bool is_values;
	uint32_t depth;        /* VALUES: parentheses that are open in the list */
	bool is_after_dot;     /* of tokens, without blanks: s.in(1) is a function */
	uint8_t before;        /* the byte before p; 0 at the start */
};

/* A letter begins a word; digits and $ go on in one. */
enum { LETTER = 1, DIGIT = 2, DOLLAR = 4, BLANK = 8 };

static const uint8_t classes[256] = {
	['a' ... 'z'] = LETTER, ['A' ... 'Z'] = LETTER, ['_'] = LETTER, [0x80 ... 0xff] = LETTER,
	['0' ... '9'] = DIGIT,  ['$'] = DOLLAR,
	[' '] = BLANK, ['\t'] = BLANK, ['\n'] = BLANK, ['\r'] = BLANK, ['\f'] = BLANK,
};

static inline bool
is_digit(uint8_t c)
{
	return classes[c] & DIGIT;
}

static inline bool
starts_word(uint8_t c)
{
	return classes[c] & LETTER;
}

static inline bool
is_in_word(uint8_t c)
{
	return classes[c] & (LETTER | DIGIT | DOLLAR);
}

static inline bool
is_blank(uint8_t c)
{
	return classes[c] & BLANK;
}

static uint8_t
peek(const struct alike *a, size_t ahead)
{
	return (size_t)(a->end - a->p) > ahead ? a->p[ahead] : 0;
}

/* At an opening quote; a doubled one is part of what is quoted. False: it is never closed. */
static bool
skip_quoted(struct alike *a, uint8_t quote)
{
	for (a->p++; a->p < a->end; a->p++) {
		if (*a->p != quote)
			continue;
		if (peek(a, 1) != quote) {
			a->p++;
			return true;
		}
		a->p++;
	}
	return false;
}

/* Comments nest. */
static bool
skip_comment(struct alike *a)
{
	uint32_t depth = 1;
	for (a->p += 2; a->p < a->end && depth > 0;) {
		if (*a->p == '*' && peek(a, 1) == '/') {
			depth--;
			a->p += 2;
		} else if (*a->p == '/' && peek(a, 1) == '*') {
			depth++;
			a->p += 2;
		} else {
			a->p++;
		}
	}
	return depth == 0;
}

static void
skip_digits(struct alike *a)
{
	while (a->p < a->end && is_digit(*a->p))
		a->p++;
}

static struct token
scan_number(struct alike *a)
{
	struct token t = { .kind = TOKEN_CONSTANT, .letter = 'i' };
	const uint8_t *from = a->p;

	skip_digits(a);
	if (a->p - from > 9) /* may be more than an int4: another kind of token to the parser */
		t.letter = 'f';
	if (peek(a, 0) == '.') {
		t.letter = 'f';
		a->p++;
		skip_digits(a);
	}
	if (peek(a, 0) == 'e' || peek(a, 0) == 'E') {
		t.letter = 'f';
		a->p++;
		if (peek(a, 0) == '+' || peek(a, 0) == '-')
			a->p++;
		if (!is_digit(peek(a, 0)))
			t.kind = TOKEN_STRANGE;
		skip_digits(a);
	}
	/* 1..2, 1abc, 0x1f, 1_000: what they are has changed from release to release. */
	if (peek(a, 0) == '.' || is_in_word(peek(a, 0)))
		t.kind = TOKEN_STRANGE;
	return t;
}

static struct token
scan_string(struct alike *a)
{
	bool is_plain = !is_in_word(a->before) && a->before != '&'; /* E'', B'', X'', N'', U&'' */
	struct token t = { .kind = TOKEN_CONSTANT, .letter = 's' };
	if (!skip_quoted(a, '\'') || !is_plain)
		t.kind = TOKEN_STRANGE;
	return t;
}

static struct token
scan_dollar(struct alike *a)
{
	struct token t = { .kind = TOKEN_CONSTANT, .letter = 'p' };
	a->p++;
	if (!is_digit(peek(a, 0)))
		t.kind = TOKEN_STRANGE;
	skip_digits(a);
	if (is_in_word(peek(a, 0)))
		t.kind = TOKEN_STRANGE;
	return t;
}

static struct token
scan_blank(struct alike *a)
{
	while (a->p < a->end && is_blank(*a->p))
		a->p++;
	return (struct token){ .kind = TOKEN_BLANK };
}

static struct token
scan_other(struct alike *a)
{
	uint8_t c = *a->p;
	struct token t = { .kind = TOKEN_OTHER };

	if (c == '"') {
		if (a->before == '&' || !skip_quoted(a, '"'))
			t.kind = TOKEN_STRANGE;
		return t;
	}
	if (c == '-' && peek(a, 1) == '-') {
		while (a->p < a->end && *a->p != '\n' && *a->p != '\r')
			a->p++;
		return (struct token){ .kind = TOKEN_BLANK };
	}
	if (c == '/' && peek(a, 1) == '*') {
		t.kind = skip_comment(a) ? TOKEN_BLANK : TOKEN_STRANGE;
		return t;
	}
	if (c == '.' && is_digit(peek(a, 1))) {
		if (is_in_word(a->before) || a->before == '.' || a->before == '"' || a->before == ')' || a->before == ']')
			t.kind = TOKEN_STRANGE;
		else
			return scan_number(a);
	}
	if (c == 0 || c == '\\')
		t.kind = TOKEN_STRANGE;
	a->p++;
	return t;
}

static struct token
scan(struct alike *a)
{
	if (a->p == a->end)
		return (struct token){ .kind = TOKEN_END };
	const uint8_t *from = a->p;
	struct token t;
	if (starts_word(*from)) {
		while (a->p < a->end && is_in_word(*a->p))
			a->p++;
		t = (struct token){ .kind = TOKEN_WORD };
	} else if (is_blank(*from)) {
		t = scan_blank(a);
	} else if (is_digit(*from)) {
		t = scan_number(a);
	} else if (*from == '\'') {
		t = scan_string(a);
	} else if (*from == '$') {
		t = scan_dollar(a);
	} else {
		t = scan_other(a);
	}
	t.text = view_of(from, (size_t)(a->p - from));
	if (a->p > from)
		a->before = a->p[-1];
	return t;
}

static bool
is_word(const struct token *t, struct view word)
{
	return t->kind == TOKEN_WORD && t->text.n == word.n &&
	       strncasecmp((const char *)t->text.p, (const char *)word.p, word.n) == 0;
}

static bool
is_mark(const struct token *t, char mark)
{
	return t->kind == TOKEN_OTHER && t->text.n == 1 && t->text.p[0] == (uint8_t)mark;
}

static bool
stands_in_values(const struct token *t)
{
	return is_word(t, VIEW("null")) || is_word(t, VIEW("default")) || is_word(t, VIEW("true")) || is_word(t, VIEW("false"));
}

/* Is this token one of a list of constants, behind the first? */
static bool
is_left_out(struct alike *a, const struct token *t)
{
	if (t->kind == TOKEN_CONSTANT || t->kind == TOKEN_BLANK || is_mark(t, ','))
		return true;
	if (!a->is_values)
		return false;
	if (is_mark(t, '(')) {
		a->depth++;
		return true;
	}
	if (is_mark(t, ')') && a->depth > 0) {
		a->depth--;
		return true;
	}
	return stands_in_values(t);
}

/* Follows a list of constants. True: the token is written. */
static bool
is_kept(struct alike *a, const struct token *t)
{
	if (a->list == LIST_CONSTANTS && is_left_out(a, t))
		return false;
	if (t->kind == TOKEN_BLANK)
		return true;
	if ((is_word(t, VIEW("in")) || is_word(t, VIEW("values"))) && !a->is_after_dot) {
		a->list = LIST_NAMED;
		a->is_values = t->text.n > 2;
	} else if (a->list == LIST_NAMED && is_mark(t, '(')) {
		a->list = LIST_OPEN;
		a->depth = 1;
	} else if (a->list == LIST_OPEN && (t->kind == TOKEN_CONSTANT || (a->is_values && stands_in_values(t)))) {
		a->list = LIST_CONSTANTS;
	} else {
		a->list = LIST_NONE;
	}
	a->is_after_dot = is_mark(t, '.');
	return true;
}

bool
sql_alike(struct view text, struct buf *out)
{
	buf_clear(out);
	if (text.n == 0 || memchr(text.p, '\\', text.n))
		return false;
	struct alike a = { .p = text.p, .end = text.p + text.n };
	buf_reserve(out, text.n * 2); /* a constant of one byte becomes two: nothing is written beyond */
	uint8_t *to = out->p;
	for (;;) {
		struct token t = scan(&a);
		if (t.kind == TOKEN_END)
			break;
		if (t.kind == TOKEN_STRANGE)
			return false;
		if (!is_kept(&a, &t))
			continue;
		if (t.kind == TOKEN_CONSTANT && t.letter != 'p') {
			*to++ = 0;
			*to++ = (uint8_t)t.letter;
		} else if (t.kind == TOKEN_BLANK && !is_blank(t.text.p[0])) {
			*to++ = ' ';
		} else {
			for (size_t i = 0; i < t.text.n; i++) /* a few bytes: no call */
				to[i] = t.text.p[i];
			to += t.text.n;
		}
	}
	out->n = (size_t)(to - out->p);
	return true;
}
