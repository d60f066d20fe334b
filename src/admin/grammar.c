/* admin/grammar.c - the console's language; see the header. */
#include "admin/grammar.h"

#include <string.h>

#include "base/text.h"

static bool
is_blank(uint8_t c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool
is_word_byte(uint8_t c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
}

/* True: there was at least one. */
static bool
skip_blanks(struct view *in)
{
	size_t n = 0;
	while (n < in->n && is_blank(in->p[n]))
		n++;
	*in = view_from(*in, n);
	return n > 0;
}

static bool
is_next(const struct view *in, char c)
{
	return in->n > 0 && in->p[0] == (uint8_t)c;
}

/* Behind the opening quote, up to and with the closing one, which is written twice to stand for itself. */
static enum sentence_result
read_quoted(struct view *in, char *to, size_t most)
{
	uint8_t quote = in->p[0];
	size_t i = 1, n = 0;
	bool fits = true;
	for (;; i++) {
		if (i == in->n || in->p[i] == '\0')
			return SENTENCE_BAD;
		if (in->p[i] == quote && !(++i < in->n && in->p[i] == quote))
			break;
		if (n < most)
			to[n++] = (char)in->p[i];
		else
			fits = false;
	}
	to[n] = '\0';
	*in = view_from(*in, i);
	return fits ? SENTENCE_OK : SENTENCE_TOO_LONG;
}

static enum sentence_result
read_word(struct view *in, char *to, size_t most)
{
	if (is_next(in, '"'))
		return read_quoted(in, to, most);
	size_t n = 0;
	while (n < in->n && is_word_byte(in->p[n]))
		n++;
	if (n == 0)
		return SENTENCE_BAD;
	size_t kept = n < most ? n : most;
	memcpy(to, in->p, kept);
	to[kept] = '\0';
	*in = view_from(*in, n);
	return n > most ? SENTENCE_TOO_LONG : SENTENCE_OK;
}

/* Nothing may follow but one semicolon. */
static bool
is_over(struct view in)
{
	skip_blanks(&in);
	if (is_next(&in, ';'))
		in = view_from(in, 1);
	skip_blanks(&in);
	return in.n == 0;
}

static bool
skip_equals(struct view *in)
{
	bool had_blank = skip_blanks(in);
	if (is_next(in, '=')) {
		*in = view_from(*in, 1);
		skip_blanks(in);
		return true;
	}
	bool is_to = had_blank && in->n > 2 && (in->p[0] | 0x20) == 't' && (in->p[1] | 0x20) == 'o';
	if (!is_to)
		return false;
	*in = view_from(*in, 2);
	return skip_blanks(in) || is_next(in, '\'') || is_next(in, '"');
}

static enum sentence_result
worse(enum sentence_result a, enum sentence_result b)
{
	return a > b ? a : b;
}

/* Behind "SET key". */
static enum sentence_result
read_assignment(struct view in, struct sentence *out)
{
	if (!skip_equals(&in))
		return SENTENCE_BAD;
	enum sentence_result r = is_next(&in, '\'') ? read_quoted(&in, out->value, SENTENCE_VALUE_MAX)
	                                       : read_word(&in, out->value, SENTENCE_VALUE_MAX);
	out->is_set = true;
	return r != SENTENCE_BAD && !is_over(in) ? SENTENCE_BAD : r;
}

/* Behind "SWITCHOVER word". */
static enum sentence_result
read_more(struct view in, struct sentence *out)
{
	enum sentence_result r = SENTENCE_OK;
	while (!is_over(in)) {
		if (!skip_blanks(&in) || out->more_count == SENTENCE_MORE_MAX)
			return SENTENCE_BAD;
		enum sentence_result word = read_word(&in, out->more[out->more_count++], SENTENCE_ARGUMENT_MAX);
		if (word == SENTENCE_BAD)
			return SENTENCE_BAD;
		r = worse(r, word);
	}
	return r;
}

enum sentence_result
sentence_read(struct view in, struct sentence *out)
{
	*out = (struct sentence){ .word = "" };
	if (is_over(in))
		return SENTENCE_EMPTY;
	skip_blanks(&in);
	enum sentence_result word = read_word(&in, out->word, SENTENCE_WORD_MAX);
	if (word == SENTENCE_BAD)
		return SENTENCE_BAD;
	if (is_over(in))
		return word;
	if (!skip_blanks(&in))
		return SENTENCE_BAD;
	enum sentence_result argument = read_word(&in, out->argument, SENTENCE_ARGUMENT_MAX);
	if (argument == SENTENCE_BAD)
		return SENTENCE_BAD;
	out->has_argument = true;
	if (text_equal_nocase(out->word, "SET")) {
		enum sentence_result r = read_assignment(in, out);
		return r == SENTENCE_BAD ? r : worse(r, argument);
	}
	if (text_equal_nocase(out->word, "SWITCHOVER")) {
		enum sentence_result r = read_more(in, out);
		return r == SENTENCE_BAD ? r : worse(r, argument);
	}
	return is_over(in) ? worse(word, argument) : SENTENCE_BAD;
}
