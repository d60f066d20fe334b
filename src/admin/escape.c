/* admin/escape.c - strange names made harmless; see the header. */
#include "admin/escape.h"

static bool
is_between(uint8_t c, uint8_t least, uint8_t most)
{
	return c >= least && c <= most;
}

/* Bytes of the well-formed UTF-8 character at the front of v, which is not empty; 0: there is none. */
static size_t
character_bytes(struct view v)
{
	uint8_t c = v.p[0];
	if (c < 0x80)
		return 1;
	size_t n = is_between(c, 0xc2, 0xdf) ? 2 : is_between(c, 0xe0, 0xef) ? 3 : is_between(c, 0xf0, 0xf4) ? 4 : 0;
	if (n == 0 || v.n < n)
		return 0;
	/* The second byte rules out overlong forms, surrogates, and what is above U+10FFFF. */
	uint8_t least = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80;
	uint8_t most = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf;
	if (!is_between(v.p[1], least, most))
		return 0;
	for (size_t i = 2; i < n; i++)
		if (!is_between(v.p[i], 0x80, 0xbf))
			return 0;
	return n;
}

/* What stands for byte c; NULL: it itself. */
typedef const char *replacement_fn(uint8_t c);

static void
escape(struct buf *out, struct view text, replacement_fn *replacement)
{
	while (text.n > 0) {
		size_t n = character_bytes(text);
		const char *other = n == 1 ? replacement(text.p[0]) : n == 0 ? "?" : NULL;
		if (other)
			buf_add(out, view_of_string(other));
		else
			buf_add(out, view_part(text, 0, n));
		text = view_from(text, n ? n : 1);
	}
}

static bool
is_control(uint8_t c)
{
	return c < 0x20 || c == 0x7f;
}

static const char *
in_html(uint8_t c)
{
	switch (c) {
	case '&':
		return "&amp;";
	case '<':
		return "&lt;";
	case '>':
		return "&gt;";
	case '"':
		return "&quot;";
	case '\'':
		return "&#39;";
	default:
		return is_control(c) ? "?" : NULL;
	}
}

static const char *
in_label(uint8_t c)
{
	switch (c) {
	case '\\':
		return "\\\\";
	case '"':
		return "\\\"";
	case '\n':
		return "\\n";
	default:
		return is_control(c) ? "?" : NULL;
	}
}

void
escape_html(struct buf *out, struct view text)
{
	escape(out, text, in_html);
}

void
escape_label(struct buf *out, struct view text)
{
	escape(out, text, in_label);
}
