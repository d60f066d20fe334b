/* auth/pattern.c - see the header. */
#include "auth/pattern.h"

#include <ctype.h>
#include <regex.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/heap.h"
#include "base/must.h"

struct translation {
	const char *at;
	struct buf  out;
	uint64_t    work;     /* the counts of all {n,m} multiplied: how much the library unfolds */
	bool        has_atom; /* what a quantifier could stand behind */
	struct text *why;
};

static bool
refuse(struct translation *t, const char *what)
{
	text_add(t->why, what);
	return false;
}

static bool
take_escape(struct translation *t, bool is_in_brackets)
{
	static const struct {
		char letter;
		const char *outside, *inside; /* of [...]; NULL: has no form there */
	} classes[] = {
		{ 'd', "[0-9]", "0-9" },
		{ 's', "[[:space:]]", "[:space:]" },
		{ 'w', "[[:alnum:]_]", "[:alnum:]_" },
		{ 'D', "[^0-9]", NULL },
		{ 'S', "[^[:space:]]", NULL },
		{ 'W', "[^[:alnum:]_]", NULL },
	};
	char c = t->at[1];
	for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++) {
		const char *form = is_in_brackets ? classes[i].inside : classes[i].outside;
		if (classes[i].letter == c && form) {
			buf_add(&t->out, view_of_string(form));
			t->at += 2;
			return true;
		}
	}
	if (c == '\0')
		return refuse(t, "it ends with a backslash");
	if (is_in_brackets)
		return refuse(t, "a backslash within [...] may stand before d, s and w only");
	if (isalnum((unsigned char)c) || (c & 0x80))
		return refuse(t, "of letters and digits behind a backslash only d, D, s, S, w and W work here");
	buf_addf(&t->out, strchr("<>`'", c) ? "[%c]" : "\\%c", c); /* the library's own meaning of \< is another */
	t->at += 2;
	return true;
}

/* [...] as it stands; a "]" in front and those of [:class:] are not its end. */
static bool
take_brackets(struct translation *t)
{
	buf_add_u8(&t->out, (uint8_t)*t->at++);
	if (*t->at == '^')
		buf_add_u8(&t->out, (uint8_t)*t->at++);
	if (*t->at == ']')
		buf_add_u8(&t->out, (uint8_t)*t->at++);
	while (*t->at && *t->at != ']') {
		if (*t->at == '\\') {
			if (!take_escape(t, true))
				return false;
		} else if (t->at[0] == '[' && t->at[1] == ':') {
			const char *end = strstr(t->at, ":]");
			if (end == NULL)
				break;
			buf_add(&t->out, view_of(t->at, (size_t)(end + 2 - t->at)));
			t->at = end + 2;
		} else if (t->at[0] == '[' && (t->at[1] == '.' || t->at[1] == '=')) {
			return refuse(t, "[. .] and [= =] don't work here");
		} else {
			buf_add_u8(&t->out, (uint8_t)*t->at++);
		}
	}
	if (*t->at == '\0')
		return refuse(t, "a [ is not closed");
	buf_add_u8(&t->out, (uint8_t)*t->at++);
	return true;
}

/* {n}, {n,} and {n,m}. */
static bool
take_bounds(struct translation *t)
{
	char *end;
	unsigned long least = strtoul(t->at + 1, &end, 10), most = least;
	if (*end == ',') {
		const char *number = end + 1;
		most = isdigit((unsigned char)*number) ? strtoul(number, &end, 10) : least;
		if (end < number)
			end = (char *)(uintptr_t)number;
	}
	if (*end != '}')
		return refuse(t, "{ with a digit must begin {n}, {n,} or {n,m}");
	if (least > PATTERN_REPEAT_MAX || most > PATTERN_REPEAT_MAX || most < least)
		return refuse(t, "in {n,m}, n and m may go up to 255, n not above m");
	t->work *= most + 1;
	if (t->work > PATTERN_WORK_MAX)
		return refuse(t, "its {n,m} repeat too much");
	buf_add(&t->out, view_of(t->at, (size_t)(end + 1 - t->at)));
	t->at = end + 1;
	return true;
}

static bool
is_quantifier(const char *at)
{
	return *at == '*' || *at == '+' || *at == '?' || (*at == '{' && isdigit((unsigned char)at[1]));
}

/* What stands behind a character or a group: at most one of * + ? {n,m}. */
static bool
take_quantifier(struct translation *t)
{
	if (*t->at == '{') {
		if (!take_bounds(t))
			return false;
	} else {
		buf_add_u8(&t->out, (uint8_t)*t->at++);
	}
	if (*t->at == '?')
		return refuse(t, "*?, +?, ?? and {n,m}? don't work here");
	if (is_quantifier(t->at))
		return refuse(t, "a quantifier stands behind another");
	return true;
}

static bool
take_letter(struct translation *t)
{
	if (t->at[0] == '(' && t->at[1] == '?')
		return refuse(t, "(?...) doesn't work here");
	if (*t->at == '{') /* without a digit behind it, it is a letter */
		buf_add_u8(&t->out, '\\');
	t->has_atom = strchr("(|^$", *t->at) == NULL;
	buf_add_u8(&t->out, (uint8_t)*t->at++);
	return true;
}

static bool
translate(struct translation *t)
{
	bool ok = true;
	while (ok && *t->at) {
		if (is_quantifier(t->at)) {
			ok = t->has_atom ? take_quantifier(t) : refuse(t, "a quantifier has nothing before it");
			continue;
		}
		bool is_class = *t->at == '\\' || *t->at == '[';
		ok = *t->at == '\\' ? take_escape(t, false) : *t->at == '[' ? take_brackets(t) : take_letter(t);
		t->has_atom |= is_class;
	}
	return ok;
}

/* ---- compiled ---- */

struct pattern {
	regex_t  regex;
	unsigned uses;
	char     source[]; /* as the library reads it */
};

struct pattern *
pattern_new(const char *text, struct text *why)
{
	struct translation t = { .at = text, .work = 1, .why = why };
	struct pattern *p = NULL;
	char reason[100];
	if (strlen(text) > PATTERN_BYTES_MAX) {
		text_addf(why, "it is longer than %d bytes", PATTERN_BYTES_MAX);
		return NULL;
	}
	bool ok = strncmp(text, "***", 3) == 0 ? refuse(&t, "*** in front doesn't work here") : translate(&t);
	if (ok) {
		buf_add_u8(&t.out, 0);
		p = heap_alloc(sizeof(*p) + t.out.n);
		memcpy(p->source, t.out.p, t.out.n);
		int error = regcomp(&p->regex, p->source, REG_EXTENDED);
		if (error != 0) {
			regerror(error, &p->regex, reason, sizeof(reason));
			text_add(why, reason);
			heap_free(p);
			p = NULL;
		}
	}
	buf_free(&t.out);
	return p;
}

void
pattern_free(struct pattern *p)
{
	if (p == NULL)
		return;
	regfree(&p->regex);
	heap_free(p);
}

bool
pattern_has_group(const struct pattern *p)
{
	return p->regex.re_nsub > 0;
}

bool
pattern_fits(struct pattern *p, const char *text, struct view *group)
{
	regmatch_t found[2] = { { -1, -1 }, { -1, -1 } };
	if (p->uses++ == PATTERN_USES_MAX) {
		regfree(&p->regex);
		must(regcomp(&p->regex, p->source, REG_EXTENDED) == 0); /* as it was before, but for want of memory */
		p->uses = 1;
	}
	int r = regexec(&p->regex, text, group ? 2 : 0, found, 0);
	must(r == 0 || r == REG_NOMATCH); /* want of memory is no answer: a rule that rejects must not be passed over */
	if (group)
		*group = r == 0 && found[1].rm_so >= 0
		             ? view_of(text + found[1].rm_so, (size_t)(found[1].rm_eo - found[1].rm_so))
		             : (struct view){ 0 };
	return r == 0;
}
