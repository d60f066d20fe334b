/* src/sql/tree.c - see tree.h. Never recurses: the open objects and arrays are kept in an array. */
#include "tree.h"

#include "base/heap.h"
#include "base/must.h"

struct reading {
	struct tree *tree;
	const uint8_t *p, *end;
	uint32_t open[TREE_DEPTH_MAX]; /* objects and arrays that have begun */
	uint32_t depth;
};

static bool
is_next(struct reading *r, char c)
{
	if (r->p == r->end || *r->p != (uint8_t)c)
		return false;
	r->p++;
	return true;
}

static bool
read_string(struct reading *r, struct view *out)
{
	if (!is_next(r, '"'))
		return false;
	const uint8_t *from = r->p;
	while (r->p < r->end && *r->p != '"')
		r->p += *r->p == '\\' && r->end - r->p > 1 ? 2 : 1;
	*out = view_of(from, (size_t)(r->p - from));
	return is_next(r, '"');
}

static bool
read_word(struct reading *r, struct view word)
{
	if ((size_t)(r->end - r->p) < word.n || !view_equal(view_of(r->p, word.n), word))
		return false;
	r->p += word.n;
	return true;
}

static struct view
read_number(struct reading *r)
{
	const uint8_t *from = r->p;
	while (r->p < r->end && ((*r->p >= '0' && *r->p <= '9') || *r->p == '-'))
		r->p++;
	return view_of(from, (size_t)(r->p - from));
}

static struct tree_value *
add(struct tree *t, struct view key)
{
	if (t->count == t->room) {
		t->room = t->room ? t->room * 2 : 64;
		t->values = heap_resize(t->values, t->room * sizeof(*t->values));
	}
	struct tree_value *v = &t->values[t->count++];
	*v = (struct tree_value){ .end = t->count, .key = key };
	return v;
}

/* A value, or the beginning of one that has children. */
static bool
read_value(struct reading *r, struct view key)
{
	struct tree_value *v = add(r->tree, key);

	if (is_next(r, '{') || is_next(r, '[')) {
		v->kind = r->p[-1] == '{' ? TREE_OBJECT : TREE_ARRAY;
		if (r->depth == TREE_DEPTH_MAX)
			return false;
		r->open[r->depth++] = r->tree->count - 1;
		return true;
	}
	if (r->p < r->end && *r->p == '"') {
		v->kind = TREE_STRING;
		return read_string(r, &v->text);
	}
	if (read_word(r, VIEW("true"))) {
		v->kind = TREE_TRUE;
		return true;
	}
	if (read_word(r, VIEW("false"))) {
		v->kind = TREE_FALSE;
		return true;
	}
	v->kind = TREE_NUMBER;
	v->text = read_number(r);
	return v->text.n > 0;
}

/* What may stand inside the innermost that is open: a member, or its end. */
static bool
read_inside(struct reading *r)
{
	uint32_t at = r->open[r->depth - 1];
	struct tree *t = r->tree;
	bool is_object = t->values[at].kind == TREE_OBJECT, is_first = t->count == at + 1;
	struct view key = { 0 };

	if (is_next(r, is_object ? '}' : ']')) {
		t->values[at].end = t->count;
		r->depth--;
		return true;
	}
	if (!is_first && !is_next(r, ','))
		return false;
	if (is_object && !(read_string(r, &key) && is_next(r, ':')))
		return false;
	return read_value(r, key);
}

bool
tree_read(struct tree *t, struct view json)
{
	struct reading r = { .tree = t, .p = json.p, .end = json.p + json.n };

	*t = (struct tree){ 0 };
	bool is_right = read_value(&r, (struct view){ 0 });
	while (is_right && r.depth > 0)
		is_right = read_inside(&r);
	if (is_right && r.p == r.end)
		return true;
	tree_free(t);
	return false;
}

void
tree_free(struct tree *t)
{
	heap_free(t->values);
	*t = (struct tree){ 0 };
}

uint32_t
tree_member(const struct tree *t, uint32_t at, const char *key)
{
	if (t->values[at].kind == TREE_OBJECT) {
		tree_each(t, at, child)
			if (view_is(t->values[child].key, key))
				return child;
	}
	return 0;
}

uint32_t
tree_size(const struct tree *t, uint32_t at)
{
	uint32_t n = 0;
	tree_each(t, at, child)
		n++;
	return n;
}

uint32_t
tree_number(const struct tree *t, uint32_t at)
{
	struct view digits = t->values[at].text;
	uint32_t n = 0;

	if (t->values[at].kind != TREE_NUMBER || digits.n > 9)
		return 0;
	for (size_t i = 0; i < digits.n; i++) {
		if (digits.p[i] == '-')
			return 0;
		n = n * 10 + (uint32_t)(digits.p[i] - '0');
	}
	return n;
}

static uint8_t
hex_digit(uint8_t c)
{
	return c <= '9' ? (uint8_t)(c - '0') : (uint8_t)((c | 0x20) - 'a' + 10);
}

void
tree_add_string(const struct tree *t, uint32_t at, struct buf *out)
{
	struct view s = t->values[at].text;

	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] != '\\' || i + 1 == s.n) {
			buf_add_u8(out, s.p[i]);
			continue;
		}
		static const char letters[] = "bfnrt", bytes[] = "\b\f\n\r\t";
		const char *letter = s.p[++i] ? strchr(letters, s.p[i]) : NULL;
		if (letter) {
			buf_add_u8(out, (uint8_t)bytes[letter - letters]);
		} else if (s.p[i] == 'u' && s.n - i > 4) {
			/* libpg_query writes < and > and control characters so: two digits are zero. */
			buf_add_u8(out, (uint8_t)(hex_digit(s.p[i + 3]) << 4 | hex_digit(s.p[i + 4])));
			i += 4;
		} else {
			buf_add_u8(out, s.p[i]);
		}
	}
	buf_add_u8(out, 0);
}

bool
tree_is(const struct tree *t, uint32_t at, const char *s)
{
	return at != 0 && t->values[at].kind == TREE_STRING && view_is(t->values[at].text, s);
}
