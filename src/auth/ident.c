/* auth/ident.c - see the header. */
#include "auth/ident.h"

#include <string.h>

#include "base/heap.h"

struct ident_line {
	const char              *map;
	const struct rules_word *system_user, *user;
};

struct ident {
	struct rules_text  text; /* what the lines point into */
	struct ident_line *lines;
	size_t             count;
};

/* Has the regular expression a group that \1 could be? Whether it takes part in a match is seen then. */
static bool
has_group(const struct rules_word *w)
{
	return w->pattern && pattern_has_group(w->pattern);
}

static bool
read_line(const struct rules_line *l, struct ident_line *out, struct rules_mistakes *m)
{
	if (l->count != 3)
		return rules_mistake_at(m, l, "there are %zu fields; a line is: MAP SYSTEM-USER DATABASE-USER", l->count);
	for (size_t i = 0; i < 3; i++)
		if (l->fields[i].count != 1)
			return rules_mistake_at(m, l, "there are several values in one field; write a line for each");
	struct rules_word *system_user = &l->fields[1].words[0], *user = &l->fields[2].words[0];
	if (!rules_word_compile(system_user, l, m) || !rules_word_compile(user, l, m))
		return false;
	if (!user->is_quoted && user->text[0] == '+')
		return rules_mistake_at(m, l, "\"%s\" can't be known here: who is a member of which role is the server's matter; "
		                     "write a line for each user",
		               user->text);
	if (system_user->pattern && !user->pattern && strstr(user->text, "\\1") && !has_group(system_user))
		return rules_mistake_at(m, l, "\"%s\" has \\1, but \"%s\" has no (...) that it could stand for", user->text,
		               system_user->text);
	*out = (struct ident_line){ .map = l->fields[0].words[0].text, .system_user = system_user, .user = user };
	return true;
}

static struct ident *
make(struct ident *i, struct rules_mistakes *m)
{
	if (i->text.count > 0)
		i->lines = heap_alloc(i->text.count * sizeof(*i->lines));
	for (size_t k = 0; k < i->text.count; k++)
		if (read_line(&i->text.lines[k], &i->lines[i->count], m))
			i->count++;
	if (m->count == 0)
		return i;
	ident_free(i);
	return NULL;
}

struct ident *
ident_load(const char *path, struct text *why)
{
	struct rules_mistakes m = { .why = why };
	struct ident *i = heap_alloc(sizeof(*i));
	rules_text_load(path, &i->text, &m);
	return make(i, &m);
}

struct ident *
ident_parse(struct view text, const char *origin, struct text *why)
{
	struct rules_mistakes m = { .why = why };
	struct ident *i = heap_alloc(sizeof(*i));
	rules_text_parse(text, origin, &i->text, &m);
	return make(i, &m);
}

void
ident_free(struct ident *i)
{
	if (i == NULL)
		return;
	heap_free(i->lines);
	rules_text_free(&i->text);
	heap_free(i);
}

bool
ident_has(const struct ident *i, const char *map)
{
	for (size_t k = 0; i && k < i->count; k++)
		if (strcmp(i->lines[k].map, map) == 0)
			return true;
	return false;
}

/* Is `user` the text with `found` in place of its first \1? */
static bool
is_with_part(const char *text, struct view found, const char *user)
{
	const char *mark = strstr(text, "\\1");
	struct view left = view_of_string(user), before = view_of(text, (size_t)(mark - text)), after = view_of_string(mark + 2);
	return left.n == before.n + found.n + after.n && view_equal(view_part(left, 0, before.n), before) &&
	       view_equal(view_part(left, before.n, found.n), found) &&
	       view_equal(view_from(left, before.n + found.n), after);
}

enum verdict { OTHER, ALLOWED, REFUSED };

/* REFUSED: the line is about this user, and can't say whom it allows; PostgreSQL looks no further then. */
static enum verdict
judge(const struct ident_line *l, const char *system_user, const char *user)
{
	struct view part = { 0 };
	bool fits;
	if (l->system_user->pattern ? !pattern_fits(l->system_user->pattern, system_user, &part)
	                            : strcmp(l->system_user->text, system_user) != 0)
		return OTHER;
	if (l->user->pattern) {
		fits = pattern_fits(l->user->pattern, user, NULL);
	} else if (l->system_user->pattern && strstr(l->user->text, "\\1")) {
		if (part.p == NULL)
			return REFUSED;
		fits = is_with_part(l->user->text, part, user);
	} else {
		fits = rules_word_is(l->user, "all") || strcmp(l->user->text, user) == 0;
	}
	return fits ? ALLOWED : OTHER;
}

bool
ident_allows(const struct ident *i, const char *map, const char *system_user, const char *user)
{
	if (map == NULL)
		return strcmp(system_user, user) == 0;
	enum verdict v = OTHER;
	for (size_t k = 0; i && k < i->count && v == OTHER; k++)
		if (strcmp(i->lines[k].map, map) == 0)
			v = judge(&i->lines[k], system_user, user);
	return v == ALLOWED;
}
