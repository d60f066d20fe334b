/*
 * session/statement.h - prepared statements by their text, shared by all clients and servers of the process.
 *
 *   client: name ─► struct statement (query and parameter types; name "pgsluice_7" on servers) ◄─ server: prepared here
 *
 * A client's "s1" and another's "x" with the same text are one statement, prepared once on a server. What a server holds is
 * bounded (max_prepared_statements), the longest unused goes first.
 */
#ifndef SESSION_STATEMENT_H
#define SESSION_STATEMENT_H

#include <stdbool.h>
#include <stdint.h>

#include <uthash.h>

#include "base/buf.h"
#include "base/list.h"
#include "wire/message.h"

struct statement {
	UT_hash_handle hh;
	uint32_t refs;
	char name[24];     /* on servers */
	uint32_t types_bytes, query_bytes;
	uint8_t key[];     /* types, then query */
};

/* One reference; made when no other client has the same. */
struct statement *statement_get(const struct parse_message *parse);
void statement_unref(struct statement *s); /* NULL is fine */
struct statement *statement_ref(struct statement *s);
void statement_add_parse(const struct statement *s, struct buf *out); /* the Parse message under the shared name */
bool statement_is_shared_name(const char *name); /* one of ours, which no client may name itself */
uint32_t statement_count(void); /* alive in the process */

/* What a client calls its statements. */
struct named {
	UT_hash_handle hh;
	struct statement *statement; /* a reference */
	bool is_listed;              /* in the map; else it lives on in the queue of what is owed */
	char name[];
};

struct named *named_find(struct named *map, const char *name);
struct named *named_add(struct named **map, const char *name, struct statement *s); /* takes over the reference */
void named_unlist(struct named **map, struct named *n);  /* out of the map, still alive */
bool named_relist(struct named **map, struct named *n);  /* back again; false: the name was taken meanwhile */
void named_free(struct named *n);                        /* not listed any more; NULL is fine */
void named_free_all(struct named **map);

/* What a server has prepared. */
struct held {
	UT_hash_handle hh;
	struct statement *statement; /* a reference; the key is this pointer */
	struct node node;            /* in order of use, last used first */
};

struct holdings {
	struct held *map;
	struct list by_use;
};

void holdings_init(struct holdings *h);
void holdings_clear(struct holdings *h);
bool holdings_touch(struct holdings *h, struct statement *s); /* true: it has it, and has just used it */
void holdings_add(struct holdings *h, struct statement *s);
void holdings_drop(struct holdings *h, struct statement *s);  /* harmless when absent */
struct statement *holdings_oldest(const struct holdings *h);  /* NULL: none */
uint32_t holdings_count(const struct holdings *h);

#endif
