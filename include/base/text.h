/*
 * base/text.h - a sentence in storage that the caller gives: always ends in NUL, never overflows, is cut when full.
 *
 *	char why[200];
 *	struct text t = TEXT_IN(why);
 *	text_addf(&t, "port %d is out of range", port);
 */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/view.h"

struct text {
	char  *p;
	size_t room; /* with the NUL */
	size_t n;    /* characters now, without the NUL */
	bool   is_cut;
};

#define TEXT_IN(array) text_in(array, sizeof(array))

struct text text_in(char *p, size_t room);
void        text_addf(struct text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
void        text_add(struct text *t, const char *s);
void        text_add_view(struct text *t, struct view v); /* control characters become '?' */

/* Comparing and splitting what people write. ASCII only, no locale. */
bool text_equal_nocase(const char *a, const char *b);

#endif
