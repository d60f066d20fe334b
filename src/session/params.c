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

const char *
params_value(const struct params *p, const char *name)
{
	uint32_t at = 0;
	struct param param;
	while (params_next(p, &at, &param))
		if (strcasecmp(param.name, name) == 0)
			return param.value;
	return NULL;
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

struct params *
params_without_unreported(struct params *p)
{
	struct buf key = { 0 };
	uint32_t at = 0, count = 0;
	struct param param;
	while (params_next(p, &at, &param))
		if (param.is_reported)
			add_item(&key, &count, &param);
	if (key.p == NULL)
		return params_empty();
	struct params *without = intern(&key, count);
	buf_free(&key);
	return without;
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

bool
params_difference(const struct params *have, const struct params *want, struct buf *sql)
{
	size_t before = sql->n;
	uint32_t at_have = 0, at_want = 0;
	struct param h, w;
	bool has_h = params_next(have, &at_have, &h), has_w = params_next(want, &at_want, &w);
	while (has_h || has_w) {
		int order = !has_h ? 1 : !has_w ? -1 : strcasecmp(h.name, w.name);
		if (order < 0) {
			if (!h.is_reported) {
				buf_add(sql, VIEW("RESET "));
				add_identifier(sql, h.name);
				buf_add(sql, VIEW(";"));
			}
			has_h = params_next(have, &at_have, &h);
			continue;
		}
		if (order > 0 || strcmp(h.value, w.value) != 0)
			params_add_set(sql, w.name, w.value, w.is_reported);
		if (order == 0)
			has_h = params_next(have, &at_have, &h);
		has_w = params_next(want, &at_want, &w);
	}
	return sql->n > before;
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
