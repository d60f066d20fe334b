/*
 * src/sql/words.h - words of SQL, and what of a session they tell.
 *
 * A word is letters, digits and _; it is compared in small letters, as ASCII, whatever the locale is.
 */
#ifndef SQL_WORDS_H
#define SQL_WORDS_H

#include <endian.h>

#include "base/view.h"

/* Eight bytes, the first one lowest; 0 where the text ends before. */
static inline uint64_t
load8(const uint8_t *p, const uint8_t *end)
{
	uint64_t value = 0;

	if (end - p >= 8) {
		memcpy(&value, p, 8);
		return le64toh(value);
	}
	for (ptrdiff_t i = 0; i < end - p; i++)
		value |= (uint64_t)p[i] << 8 * i;
	return value;
}

/* The first n of eight bytes, in small letters (_ is 127); 0 behind them. A word of up to eight is known by this. */
static inline uint64_t
word_value(uint64_t bytes, size_t n)
{
	return (bytes | 0x2020202020202020u) & (n < 8 ? ((uint64_t)1 << 8 * n) - 1 : UINT64_MAX);
}

static const bool word_bytes[256] = {
	['a' ... 'z'] = true, ['A' ... 'Z'] = true, ['0' ... '9'] = true, ['_'] = true,
};

struct word {
	const uint8_t *p;
	size_t n;
	uint64_t value, rest; /* of the first eight bytes, and of all others in one */
};

/* From p on; may be of no bytes. Byte by byte is as quick as eight at a time: most words are short. */
static inline __attribute__((always_inline)) struct word
word_at(const uint8_t *p, const uint8_t *end)
{
	struct word w = { .p = p };

	while (p < end && word_bytes[*p])
		p++;
	w.n = (size_t)(p - w.p);
	w.value = word_value(load8(w.p, end), w.n);
	for (size_t i = 8; i < w.n; i += 8)
		w.rest = w.rest * 31 + ~word_value(load8(w.p + i, end), w.n - i);
	return w;
}

/* Of any bytes, in small letters or not; `other` is of letters, digits and _. */
bool word_begins_with(const uint8_t *p, size_t n, const char *other);

/* `length` of a literal, so all that is computed from it is a constant. */
static inline __attribute__((always_inline)) bool
word_is(const struct word *w, const char *other, size_t length)
{
	uint64_t bytes = 0;
	memcpy(&bytes, other, length < 8 ? length : 8);
	return w->n == length && w->value == word_value(le64toh(bytes), length < 8 ? length : 8) &&
	       (length <= 8 || word_begins_with(w->p + 8, length - 8, other + 8));
}
#define IS_WORD(word, literal) word_is(&(word), literal, sizeof(literal) - 1)

enum word_kind {
	WORD_ANY,
	WORD_CONSTANT,
	WORD_FIRST,   /* tells something as the first word of a statement only */
	WORD_SET,     /* so does this, or in a statement about a function */
	WORD_ROUTINE,
	WORD_ALWAYS,  /* tells something wherever it stands */
};

enum word_kind word_kind(const struct word *w);

/* Nearly all words are WORD_ANY by length and first letter. A bit for each letter; the last row is for all longer words. */
#define WORD_LENGTHS 16
extern const uint32_t word_first_letters[WORD_LENGTHS];

static inline bool
word_may_tell(const struct word *w)
{
	return word_first_letters[w->n < WORD_LENGTHS ? w->n : WORD_LENGTHS - 1] >> (*w->p & 31) & 1;
}

#endif
