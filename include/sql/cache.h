/*
 * sql/cache.h - facts about texts that were seen before, for the price of a hash; about texts that differ from them only
 * in constants, for that of a scan more.
 *
 *   text ─► found as it is ─────────────────────────────────────────────► facts
 *        └► its constants taken out (SELECT ?, IN (?), VALUES (?)): found ─► facts
 *                                                              └► parsed ─► facts, kept under one key or the other
 *
 * Texts in which constants decide (SET, set_config()) are kept as they are. The longest unused goes first.
 */
#ifndef SQL_CACHE_H
#define SQL_CACHE_H

#include "sql/facts.h"

struct sql_cache_limits {
	uint32_t entries;    /* at most so many texts; 0 keeps none */
	uint64_t bytes;      /* of memory for all of them, keys included */
	uint32_t text_bytes; /* longer texts are not parsed: SQL_TOO_LONG; at most SQL_TEXT_MAX */
};
#define SQL_CACHE_LIMITS ((struct sql_cache_limits){ .entries = 5000, .bytes = 16 << 20, .text_bytes = SQL_TEXT_MAX })

struct sql_cache_counts {
	uint64_t found;       /* as they are */
	uint64_t found_alike; /* without their constants */
	uint64_t parsed;
	uint64_t not_parsed;  /* of these: not understood, or too much */
	uint64_t too_long;
	uint64_t evicted;
	uint32_t entries;     /* now */
	uint64_t bytes;       /* now */
};

struct sql_cache *sql_cache_new(struct sql_cache_limits limits);
void sql_cache_free(struct sql_cache *cache); /* NULL is fine. Facts with a reference of their own stay */
void sql_cache_limit(struct sql_cache *cache, struct sql_cache_limits limits); /* new limits, from now on */

/* Never NULL. Good until the next call with this cache; with sql_facts_ref() longer. */
const struct sql_facts *sql_facts_of(struct sql_cache *cache, struct view text);
struct sql_cache_counts sql_cache_counts(const struct sql_cache *cache);

#endif
