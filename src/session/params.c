/*
 * session/params.c - shared sets of session parameters; see the header.
 *
 * A set is one block: "R" or "-", name, NUL, value, NUL, and so on, sorted by name. The block is the key of the table of
 * all sets, so equal sets are one set.
 */
#include "session/params.h"

#include <string.h>
#include <strings.h>

#include <uthash.h>

#include "base/heap.h"
#include "base/must.h"
#include "sql/literal.h"

struct params {
	UT_hash_handle hh;
	uint32_t refs;
	uint32_t count;
	uint32_t bytes;
	char key[];
};

static struct params *all;

static struct params *
intern(const struct buf *key, uint32_t count)
{
	struct params *p;
	HASH_FIND(hh, all, key->p, key->n, p);
	if (p)
		return params_ref(p);
	p = heap_alloc(sizeof(*p) + key->n + 1);
	p->refs = 1;
	p->count = count;
	p->bytes = (uint32_t)key->n;
	if (key->n)
		memcpy(p->key, key->p, key->n);
	HASH_ADD_KEYPTR(hh, all, p->key, p->bytes, p);
	return p;
}

struct params *
params_empty(void)
{
	struct buf none = { .p = (uint8_t *)"" };
	return intern(&none, 0);
}

struct params *
params_ref(struct params *p)
{
	p->refs++;
	return p;
}

void
params_unref(struct params *p)
{
	if (p == NULL || --p->refs > 0)
		return;
	HASH_DEL(all, p);
	heap_free(p);
}

void
params_replace(struct params **at, struct params *to)
{
	params_unref(*at);
	*at = to;
}

bool
params_next(const struct params *p, uint32_t *at, struct param *out)
{
	if (*at >= p->bytes)
		return false;
	const char *s = p->key + *at;
	out->is_reported = s[0] == 'R';
	out->name = s + 1;
	out->value = out->name + strlen(out->name) + 1;
	*at = (uint32_t)(out->value + strlen(out->value) + 1 - p->key);
	return true;
}

static bool
find(const struct params *p, const char *name, struct param *out)
{
	uint32_t at = 0;
	while (params_next(p, &at, out))
		if (strcasecmp(out->name, name) == 0)
			return true;
	return false;
}

bool
params_have_high(const struct params *p)
{
	return view_has_high(view_of(p->key, p->bytes));
}

const char *
params_value(const struct params *p, const char *name)
{
	struct param param;
	return find(p, name, &param) ? param.value : NULL;
}

uint32_t
params_bytes(const struct params *p)
{
	return p->bytes;
}

bool
params_is_reported(const struct params *p, const char *name)
{
	struct param param;
	return find(p, name, &param) && param.is_reported;
}

static void
add_item(struct buf *key, uint32_t *count, const struct param *param)
{
	buf_add_u8(key, param->is_reported ? 'R' : '-');
	buf_add_string(key, param->name);
	buf_add_string(key, param->value);
	(*count)++;
}

struct params *
params_with(struct params *p, const char *name, const char *value, bool is_reported)
{
	struct param param, added = { .name = name, .value = value, .is_reported = is_reported };
	struct buf key = { 0 };
	uint32_t at = 0, count = 0;
	bool is_done = false;
	while (params_next(p, &at, &param)) {
		int order = strcasecmp(param.name, name);
		if (order >= 0 && !is_done) {
			/* What the server reports stays reported, under the server's spelling. */
			if (order == 0 && param.is_reported)
				added = (struct param){ .name = is_reported ? name : param.name, .value = value, .is_reported = true };
			add_item(&key, &count, &added);
			is_done = true;
		}
		if (order != 0)
			add_item(&key, &count, &param);
	}
	if (!is_done)
		add_item(&key, &count, &added);
	struct params *with = intern(&key, count);
	buf_free(&key);
	return with;
}

/* Without this one, or, name NULL, without all that are not reported. */
static struct params *
without(struct params *p, const char *name)
{
	struct buf key = { 0 };
	uint32_t at = 0, count = 0;
	struct param param;
	while (params_next(p, &at, &param))
		if (name ? strcasecmp(param.name, name) != 0 : param.is_reported)
			add_item(&key, &count, &param);
	if (key.p == NULL)
		return params_empty();
	struct params *rest = intern(&key, count);
	buf_free(&key);
	return rest;
}

struct params *
params_without(struct params *p, const char *name)
{
	return without(p, name);
}

struct params *
params_without_unreported(struct params *p)
{
	return without(p, NULL);
}

static void
add_identifier(struct buf *sql, const char *name)
{
	for (const char *part = name; *part;) {
		size_t n = strcspn(part, ".");
		buf_add_u8(sql, '"');
		for (size_t i = 0; i < n; i++) {
			if (part[i] == '"')
				buf_add_u8(sql, '"');
			buf_add_u8(sql, (uint8_t)part[i]);
		}
		buf_add_u8(sql, '"');
		part += n;
		if (*part == '.') {
			buf_add_u8(sql, '.');
			part++;
		}
	}
}

void
params_add_set(struct buf *sql, const char *name, const char *value, bool is_reported)
{
	/* SET is cheaper than a function call, but reads 'a, b' as one name where a list of names is meant. */
	if (is_reported && strcasecmp(name, "search_path") != 0) {
		buf_add(sql, VIEW("SET "));
		add_identifier(sql, name);
		buf_add(sql, VIEW(" = "));
		sql_add_literal(sql, value);
	} else {
		buf_add(sql, VIEW("SELECT pg_catalog.set_config("));
		sql_add_literal(sql, name);
		buf_add(sql, VIEW(", "));
		sql_add_literal(sql, value);
		buf_add(sql, VIEW(", false)"));
	}
	buf_add(sql, VIEW(";"));
}

static bool
has_high(const char *value)
{
	return view_has_high(view_of_string(value));
}

static void
add_text(struct buf *sql, const char *value, const char *encoding)
{
	if (!has_high(value)) {
		sql_add_literal(sql, value);
		return;
	}
	static const char digits[] = "0123456789abcdef";
	buf_add(sql, VIEW("pg_catalog.convert_from(pg_catalog.decode('"));
	for (const uint8_t *p = (const uint8_t *)value; *p; p++) {
		buf_add_u8(sql, (uint8_t)digits[*p >> 4]);
		buf_add_u8(sql, (uint8_t)digits[*p & 15]);
	}
	buf_add(sql, VIEW("', 'hex'), "));
	sql_add_literal(sql, encoding);
	buf_add(sql, VIEW(")"));
}

/* The server may have another encoding until this text is done with: what is beyond ASCII says in which it is. */
static void
add_set_encoded(struct buf *sql, const struct param *param, const char *encoding)
{
	if (encoding == NULL || !(has_high(param->name) || has_high(param->value))) {
		params_add_set(sql, param->name, param->value, param->is_reported);
		return;
	}
	/* No row: the value might have no equivalent in the encoding that the server still has. */
	buf_add(sql, VIEW("SELECT 1 WHERE pg_catalog.set_config("));
	add_text(sql, param->name, encoding);
	buf_add(sql, VIEW(", "));
	add_text(sql, param->value, encoding);
	buf_add(sql, VIEW(", false) IS NULL;"));
}

/* Who a session acts as decides what else it may set: given up before anything is set, taken on after everything is. */
static const char *const identity[] = { "session_authorization", "role" };

static bool
is_identity(const char *name)
{
	return strcasecmp(name, identity[0]) == 0 || strcasecmp(name, identity[1]) == 0;
}

static bool
is_same_identity(const struct params *a, const struct params *b)
{
	for (int i = 0; i < 2; i++) {
		const char *x = params_value(a, identity[i]), *y = params_value(b, identity[i]);
		if ((x == NULL) != (y == NULL) || (x && strcmp(x, y) != 0))
			return false;
	}
	return true;
}

static void
add_reset(struct buf *sql, const char *name)
{
	buf_add(sql, VIEW("RESET "));
	add_identifier(sql, name);
	buf_add(sql, VIEW(";"));
}

static void
add_differing_settings(const struct params *have, const struct params *want, struct buf *sql)
{
	uint32_t at_have = 0, at_want = 0;
	struct param h, w;
	bool has_h = params_next(have, &at_have, &h), has_w = params_next(want, &at_want, &w);
	const char *has_encoding = params_value(have, "client_encoding"), *encoding = params_value(want, "client_encoding");
	bool is_one_encoding = has_encoding && encoding && strcasecmp(has_encoding, encoding) == 0;
	while (has_h || has_w) {
		int order = !has_h ? 1 : !has_w ? -1 : strcasecmp(h.name, w.name);
		if (order < 0) {
			if (!h.is_reported && !is_identity(h.name))
				add_reset(sql, h.name);
			has_h = params_next(have, &at_have, &h);
			continue;
		}
		bool is_same = order == 0 && strcmp(h.value, w.value) == 0 && (is_one_encoding || !has_high(w.value));
		if (!is_same && !is_identity(w.name))
			add_set_encoded(sql, &w, encoding);
		if (order == 0)
			has_h = params_next(have, &at_have, &h);
		has_w = params_next(want, &at_want, &w);
	}
}

bool
params_difference(const struct params *have, const struct params *want, struct buf *sql)
{
	struct buf settings = { 0 };
	add_differing_settings(have, want, &settings);
	bool differs = settings.n > 0 || !is_same_identity(have, want);
	for (int i = 1; differs && i >= 0; i--)
		if (params_value(have, identity[i]))
			add_reset(sql, identity[i]);
	buf_add(sql, buf_view(&settings));
	for (int i = 0; differs && i < 2; i++) {
		const char *value = params_value(want, identity[i]);
		if (value)
			add_set_encoded(sql, &(struct param){ .name = identity[i], .value = value }, params_value(want, "client_encoding"));
	}
	buf_free(&settings);
	return differs;
}

bool
param_is_fact(const char *name)
{
	static const char *const facts[] = { "server_version",  "server_encoding",       "integer_datetimes",
		                             "is_superuser",    "session_authorization", "in_hot_standby" };
	for (size_t i = 0; i < sizeof(facts) / sizeof(facts[0]); i++)
		if (strcasecmp(name, facts[i]) == 0)
			return true;
	return false;
}
