/* session/statement.c - prepared statements by their text; see the header. */
#include "session/statement.h"

#include <stdio.h>
#include <string.h>

#include "base/heap.h"
#include "wire/request.h"

static struct statement *all;

static bool
has_byte(struct view text, bool (*is_meant)(uint8_t))
{
	for (size_t i = 0; i < text.n; i++)
		if (is_meant(text.p[i]))
			return true;
	return false;
}

static bool
is_encoded(uint8_t byte)
{
	return byte >= 128;
}

static bool
is_backslash(uint8_t byte)
{
	return byte == '\\';
}

/* On what of the session it hangs how the text is read. */
static const char *
encoding_of(struct view text, const struct params *session)
{
	const char *encoding = has_byte(text, is_encoded) ? params_value(session, "client_encoding") : NULL;
	return encoding ? encoding : "";
}

static const char *
strings_of(struct view text, const struct params *session)
{
	const char *strings = has_byte(text, is_backslash) ? params_value(session, "standard_conforming_strings") : NULL;
	return strings && strcmp(strings, "off") == 0 ? strings : "";
}

bool
statement_is_legible(const struct statement *s, const struct params *session)
{
	const char *encoding = s->encoding[0] ? params_value(session, "client_encoding") : NULL;
	const char *strings = s->has_escapes ? params_value(session, "standard_conforming_strings") : NULL;
	return (encoding == NULL || strcmp(encoding, s->encoding) == 0) &&
	       (strings == NULL || (strcmp(strings, "off") == 0) == s->strings_are_off);
}

/* Which tables and types its names mean, and so which types its parameters have: PostgreSQL settles those as it is parsed. */
static void
add_meaning(struct buf *key, const struct params *session)
{
	static const char *const names[] = { "search_path", "role", "session_authorization" };
	const char *values[3];
	bool is_any = false;
	for (size_t i = 0; i < 3; i++) {
		values[i] = session ? params_value(session, names[i]) : NULL;
		is_any |= values[i] != NULL;
	}
	for (size_t i = 0; is_any && i < 3; i++)
		buf_add_string(key, values[i] ? values[i] : "");
}

enum { NO_TYPES = 0xffff }; /* in the place of their number: a PREPARE. A Parse with so many is longer than any text of those */

static struct statement *
get(struct view query, struct view types, uint16_t type_count, bool is_sql, const struct params *session, uint32_t definitions)
{
	const char *encoding = encoding_of(query, session), *strings = strings_of(query, session);
	struct buf key = { 0 };
	buf_add(&key, types);
	buf_add(&key, query);
	if (encoding[0] || strings[0]) {
		buf_add_string(&key, encoding);
		buf_add_string(&key, strings);
	}
	add_meaning(&key, session);
	if (definitions)
		buf_add_be32(&key, definitions);
	/* How many bytes are types is part of the key: it is put behind, where it can't be mistaken for either. */
	buf_add_be16(&key, type_count);

	struct statement *s;
	HASH_FIND(hh, all, key.p, key.n, s);
	if (s) {
		buf_free(&key);
		return statement_ref(s);
	}
	static uint32_t last;
	s = heap_alloc(sizeof(*s) + key.n);
	s->refs = 1;
	s->is_sql = is_sql;
	s->types_bytes = (uint32_t)types.n;
	s->query_bytes = (uint32_t)query.n;
	s->has_escapes = has_byte(query, is_backslash);
	s->strings_are_off = strings[0] != '\0';
	snprintf(s->encoding, sizeof(s->encoding), "%s", encoding);
	snprintf(s->name, sizeof(s->name), STATEMENT_SHARED_PREFIX "%u", ++last);
	memcpy(s->key, key.p, key.n);
	HASH_ADD_KEYPTR(hh, all, s->key, key.n, s);
	buf_free(&key);
	return s;
}

struct statement *
statement_get(const struct parse_message *parse, const struct params *session, uint32_t definitions)
{
	return get(parse->query, parse->types, parse->type_count, false, session, definitions);
}

struct statement *
statement_get_sql(struct view text, const struct params *session)
{
	return get(text, (struct view){ 0 }, NO_TYPES, true, session, 0);
}

struct view
statement_text(const struct statement *s)
{
	return view_of(s->key + s->types_bytes, s->query_bytes);
}

bool
statement_has_text_of(const struct statement *a, const struct statement *b)
{
	return a == b || (a->query_bytes == b->query_bytes && a->types_bytes == b->types_bytes &&
	                  memcmp(a->key, b->key, a->types_bytes + a->query_bytes) == 0);
}

struct view
statement_types(const struct statement *s)
{
	return view_of(s->key, s->types_bytes);
}

struct statement *
statement_ref(struct statement *s)
{
	s->refs++;
	return s;
}

void
statement_unref(struct statement *s)
{
	if (s == NULL || --s->refs > 0)
		return;
	HASH_DEL(all, s);
	heap_free(s);
}

void
statement_add_parse(const struct statement *s, struct buf *out)
{
	request_parse(out, s->name, statement_text(s), statement_types(s));
}

bool
statement_is_shared_name(const char *name)
{
	return strncmp(name, STATEMENT_SHARED_PREFIX, sizeof(STATEMENT_SHARED_PREFIX) - 1) == 0;
}

uint32_t
statement_count(void)
{
	return HASH_COUNT(all);
}

struct named *
named_find(const struct names *names, const char *name)
{
	struct named *n;
	HASH_FIND(hh, names->map, name, strnlen(name, NAMED_MAX), n);
	return n;
}

struct named *
named_find_shared(const struct names *names, const char *shared_name)
{
	for (struct named *n = names->map; n; n = n->hh.next)
		if (strcmp(n->statement->name, shared_name) == 0)
			return n;
	return NULL;
}

uint32_t
named_count(const struct names *names)
{
	return HASH_COUNT(names->map);
}

struct named *
named_new(const char *name, struct statement *s)
{
	size_t bytes = strlen(name) + 1;
	struct named *n = heap_alloc(sizeof(*n) + bytes);
	n->refs = 1;
	n->statement = s;
	n->generation = s ? s->generation : 0;
	memcpy(n->name, name, bytes);
	return n;
}

static void
count(struct names *names, const struct statement *s, bool is_in)
{
	if (s == NULL)
		return;
	size_t bytes = s->types_bytes + s->query_bytes;
	names->bytes = is_in ? names->bytes + bytes : names->bytes - bytes;
	names->sql_count = is_in ? names->sql_count + s->is_sql : names->sql_count - s->is_sql;
}

void
named_list(struct names *names, struct named *n)
{
	if (n->is_listed || named_find(names, n->name))
		return;
	HASH_ADD_KEYPTR(hh, names->map, n->name, strnlen(n->name, NAMED_MAX), n);
	count(names, n->statement, true);
	n->is_listed = true;
	n->refs++;
}

void
named_unlist(struct names *names, struct named *n)
{
	if (!n->is_listed)
		return;
	HASH_DEL(names->map, n);
	count(names, n->statement, false);
	n->is_listed = false;
	named_unref(n);
}

struct named *
named_ref(struct named *n)
{
	n->refs++;
	return n;
}

void
named_unref(struct named *n)
{
	if (n == NULL || --n->refs > 0)
		return;
	must(!n->is_listed);
	statement_unref(n->statement);
	heap_free(n);
}

void
named_free_all(struct names *names)
{
	struct named *n, *after;
	HASH_ITER(hh, names->map, n, after)
	{
		if (n->is_kept)
			n->is_kept = false;
		else
			named_unlist(names, n);
	}
}

void
holdings_init(struct holdings *h)
{
	h->map = NULL;
	list_init(&h->by_use);
}

static struct held *
held_find(const struct holdings *h, struct statement *s)
{
	struct held *held;
	HASH_FIND_PTR(h->map, &s, held);
	return held;
}

static void
held_free(struct holdings *h, struct held *held)
{
	HASH_DEL(h->map, held);
	node_remove(&held->node);
	statement_unref(held->statement);
	heap_free(held);
}

void
holdings_clear(struct holdings *h)
{
	struct held *held, *after;
	HASH_ITER(hh, h->map, held, after)
	{
		if (held->is_kept)
			held->is_kept = false;
		else
			held_free(h, held);
	}
}

void
holdings_keep(struct holdings *h, struct statement *s)
{
	struct held *held = held_find(h, s);
	if (held)
		held->is_kept = true;
}

bool
holdings_touch(struct holdings *h, struct statement *s)
{
	struct held *held = held_find(h, s);
	if (held == NULL || held->generation != s->generation)
		return false;
	node_remove(&held->node);
	list_prepend(&h->by_use, &held->node);
	return true;
}

void
holdings_add(struct holdings *h, struct statement *s)
{
	struct held *old = held_find(h, s);
	if (old) {
		old->generation = s->generation;
		return;
	}
	struct held *held = heap_alloc(sizeof(*held));
	held->statement = statement_ref(s);
	held->generation = s->generation;
	HASH_ADD_PTR(h->map, statement, held);
	list_prepend(&h->by_use, &held->node);
}

bool
holdings_have(const struct holdings *h, struct statement *s)
{
	return held_find(h, s) != NULL;
}

void
holdings_drop(struct holdings *h, struct statement *s)
{
	struct held *held = held_find(h, s);
	if (held)
		held_free(h, held);
}

struct statement *
holdings_find_shared(const struct holdings *h, const char *shared_name)
{
	for (struct held *held = h->map; held; held = held->hh.next)
		if (strcmp(held->statement->name, shared_name) == 0)
			return held->statement;
	return NULL;
}

struct statement *
holdings_oldest(const struct holdings *h)
{
	struct node *n = list_last(&h->by_use);
	return n ? node_owner(n, struct held, node)->statement : NULL;
}

uint32_t
holdings_count(const struct holdings *h)
{
	return h->by_use.count;
}
