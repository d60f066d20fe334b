/*
 * src/sql/cache.c - see sql/cache.h. One table for both kinds of key, a text and what is left of it without constants. A key
 * with holes (NUL bytes, where constants were) is never taken for a text; facts of one text alone never for another's.
 *
 * Owns: the entries, each with a reference of its facts. Invariant: entries and bytes are within the limits after each call.
 */
#include "sql/cache.h"

#include <uthash.h>

#include "alike.h"
#include "base/heap.h"
#include "base/list.h"

struct entry {
	UT_hash_handle hh;
	struct node node; /* by use, the last used first */
	struct sql_facts *facts; /* a reference */
	size_t bytes;
	bool is_shared; /* found by all texts of this key; else by the one text that is the key */
	bool has_holes; /* the key is no text */
	uint32_t key_bytes;
	uint8_t key[];
};

struct sql_cache {
	struct entry *map;
	struct list by_use;
	struct sql_cache_limits limits;
	struct sql_cache_counts counts;
	struct sql_facts *last; /* a reference to what was returned last, if no entry has one */
	struct buf alike;       /* the text without its constants, while it is looked up */
};

static void
remove_entry(struct sql_cache *cache, struct entry *e)
{
	HASH_DEL(cache->map, e);
	node_remove(&e->node);
	cache->counts.entries--;
	cache->counts.bytes -= e->bytes;
	sql_facts_unref(e->facts);
	heap_free(e);
}

static void
make_room(struct sql_cache *cache)
{
	struct node *oldest;

	while ((cache->counts.entries > cache->limits.entries || cache->counts.bytes > cache->limits.bytes) &&
	       (oldest = list_last(&cache->by_use))) {
		remove_entry(cache, node_owner(oldest, struct entry, node));
		cache->counts.evicted++;
	}
}

void
sql_cache_limit(struct sql_cache *cache, struct sql_cache_limits limits)
{
	cache->limits = limits;
	if (cache->limits.text_bytes > SQL_TEXT_MAX)
		cache->limits.text_bytes = SQL_TEXT_MAX;
	make_room(cache);
}

struct sql_cache *
sql_cache_new(struct sql_cache_limits limits)
{
	struct sql_cache *cache = heap_alloc(sizeof(*cache));
	list_init(&cache->by_use);
	sql_cache_limit(cache, limits);
	return cache;
}

void
sql_cache_free(struct sql_cache *cache)
{
	if (!cache)
		return;
	list_each(&cache->by_use, n, after)
		remove_entry(cache, node_owner(n, struct entry, node));
	sql_facts_unref(cache->last);
	buf_free(&cache->alike);
	heap_free(cache);
}

static const struct sql_facts *
find(struct sql_cache *cache, struct view key, bool is_alike)
{
	struct entry *e;

	HASH_FIND(hh, cache->map, key.p, key.n, e);
	if (!e || (is_alike ? !e->is_shared : e->has_holes))
		return NULL;
	if (list_first(&cache->by_use) != &e->node) {
		node_remove(&e->node);
		list_prepend(&cache->by_use, &e->node);
	}
	return e->facts;
}

static void
add(struct sql_cache *cache, struct view key, bool is_shared, struct sql_facts *facts)
{
	/* uthash's own share is a bucket, of which there are at most as many as entries. */
	size_t bytes = sizeof(struct entry) + key.n + facts->bytes + sizeof(struct UT_hash_bucket);

	if (cache->limits.entries == 0 || bytes > cache->limits.bytes)
		return;
	struct entry *e;
	HASH_FIND(hh, cache->map, key.p, key.n, e);
	if (e)
		remove_entry(cache, e);
	e = heap_alloc(sizeof(*e) + key.n);
	memcpy(e->key, key.p, key.n);
	e->key_bytes = (uint32_t)key.n;
	e->bytes = bytes;
	e->is_shared = is_shared;
	e->has_holes = memchr(key.p, 0, key.n) != NULL;
	e->facts = sql_facts_ref(facts);
	HASH_ADD_KEYPTR(hh, cache->map, e->key, e->key_bytes, e);
	list_prepend(&cache->by_use, &e->node);
	cache->counts.entries++;
	cache->counts.bytes += bytes;
	make_room(cache);
}

/* Facts of a kind are true for each text of it: where its statements are isn't. */
static void
forget_places(struct sql_facts *facts)
{
	struct sql_statement *statements = (struct sql_statement *)facts->statements; /* in the block of the facts */
	for (uint32_t i = 0; i < facts->statement_count; i++)
		statements[i].at = statements[i].bytes = 0;
}

const struct sql_facts *
sql_facts_of(struct sql_cache *cache, struct view text)
{
	const struct sql_facts *found;

	if (text.n > 0 && text.n <= cache->limits.text_bytes) {
		if ((found = find(cache, text, false))) {
			cache->counts.found++;
			return found;
		}
	}
	sql_facts_unref(cache->last);
	cache->last = NULL;
	if (text.n > cache->limits.text_bytes) {
		cache->counts.too_long++;
		return cache->last = sql_facts_unread(SQL_TOO_LONG);
	}
	bool is_alike = sql_alike(text, &cache->alike);
	if (is_alike && (found = find(cache, buf_view(&cache->alike), true))) {
		cache->counts.found_alike++;
		return found;
	}
	cache->counts.parsed++;
	struct sql_facts *facts = sql_facts_read(text);
	if (facts->result != SQL_PARSED)
		cache->counts.not_parsed++;
	bool is_shared = is_alike && !facts->uses_constants;
	if (is_shared)
		forget_places(facts);
	/* A text with a NUL could be another's key. */
	if (text.n > 0 && facts->result != SQL_TOO_LONG && !memchr(text.p, 0, text.n))
		add(cache, is_shared ? buf_view(&cache->alike) : text, is_shared, facts);
	return cache->last = facts;
}

struct sql_cache_counts
sql_cache_counts(const struct sql_cache *cache)
{
	return cache->counts;
}
