/* base/text.c - sentences in given storage; see the header. */
#include "base/text.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/must.h"

struct text
text_in(char *p, size_t room)
{
	must(room > 0);
	p[0] = '\0';
	return (struct text){ .p = p, .room = room };
}

void
text_addf(struct text *t, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	int n = vsnprintf(t->p + t->n, t->room - t->n, format, args);
	va_end(args);
	must(n >= 0);
	if ((size_t)n >= t->room - t->n) {
		t->is_cut = true;
		t->n = t->room - 1;
	} else {
		t->n += (size_t)n;
	}
}

void
text_add(struct text *t, const char *s)
{
	text_addf(t, "%s", s);
}

void
text_add_view(struct text *t, struct view v)
{
	for (size_t i = 0; i < v.n; i++) {
		if (t->n + 1 >= t->room) {
			t->is_cut = true;
			break;
		}
		t->p[t->n++] = (char)(v.p[i] < 0x20 || v.p[i] == 0x7f ? '?' : v.p[i]);
	}
	t->p[t->n] = '\0';
}

static char
lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

bool
text_equal_nocase(const char *a, const char *b)
{
	while (*a && lower(*a) == lower(*b))
		a++, b++;
	return lower(*a) == lower(*b);
}
