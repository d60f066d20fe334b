/*
 * session/statement.h - prepared statements by their text, shared by all clients and servers of the process.
 *
 *   client: name ─► struct statement (query and parameter types; name "pgsluice_7" on servers) ◄─ server: prepared here
 *
 * A client's "s1" and another's "x" with the same text are one statement, prepared once on a server. The same bytes read in another
 * client_encoding, with other standard_conforming_strings, another search_path or role, are another text. What a server holds is
 * bounded (max_prepared_statements), the longest unused goes first.
 */
#ifndef SESSION_STATEMENT_H
#define SESSION_STATEMENT_H

#include <stdbool.h>
#include <stdint.h>

#include <uthash.h>

#include "base/buf.h"
#include "base/list.h"
#include "session/params.h"
#include "session/touch.h"
#include "wire/message.h"

#define STATEMENT_SHARED_PREFIX "pgsluice_"

struct statement {
	UT_hash_handle hh;
	uint32_t refs;
	char name[24];     /* on servers */
	char encoding[24]; /* client_encoding in which its text is to be read; "": any */
	uint32_t types_bytes, query_bytes;
	uint32_t generation; /* one more each time that PostgreSQL finds that it returns something else than it did */
	struct touch touch; /* what running it may do to a session */
	bool is_judged;     /* that was looked at */
	bool has_escapes, strings_are_off; /* a backslash; and standard_conforming_strings is off where it is read */
	bool is_sql;        /* the text is a PREPARE of SQL's, and has no types */
	uint8_t key[];     /* types, then query */
};

/* One reference; made when no other client has the same. session: of who sent it. */
struct statement *statement_get(const struct parse_message *parse, const struct params *session, uint32_t definitions);
struct statement *statement_get_sql(struct view text, const struct params *session); /* of a PREPARE */
bool statement_has_text_of(const struct statement *a, const struct statement *b);
struct view statement_text(const struct statement *s);
struct view statement_types(const struct statement *s);
bool statement_is_legible(const struct statement *s, const struct params *session); /* its bytes mean there what they meant */
void statement_unref(struct statement *s); /* NULL is fine */
struct statement *statement_ref(struct statement *s);
void statement_add_parse(const struct statement *s, struct buf *out); /* the Parse message under the shared name */
bool statement_is_shared_name(const char *name); /* one of ours, which no client may name itself */
uint32_t statement_count(void); /* alive in the process */

/* What a client calls its statements. Counted: the map has a reference, and so has each entry of the queue of what is owed. */
struct named {
	UT_hash_handle hh;
	uint32_t refs;
	struct statement *statement; /* a reference */
	bool is_listed;              /* in the map */
	uint32_t generation;         /* of the statement, as its client knows it */
	bool is_kept;                /* named_free_all() passes it by, once */
	bool is_loose;               /* session/prepared.h: a text may have changed it, the server has not been asked yet */
	bool is_seen;                /* likewise: the server has just listed it */
	char name[];
};

#define NAMED_MAX 63 /* bytes of a name that count: PostgreSQL's NAMEDATALEN - 1 */

/* Those of one client. */
struct names {
	struct named *map;
	size_t bytes;       /* of their texts, as if none were shared */
	uint32_t sql_count; /* prepared by SQL */
};

struct named *named_find(const struct names *names, const char *name);
struct named *named_find_shared(const struct names *names, const char *shared_name); /* one whose statement servers call so */
struct named *named_new(const char *name, struct statement *s);  /* in no map; one reference. Takes over that of s */
void named_list(struct names *names, struct named *n);   /* into the map, or back; not if the name is taken */
void named_unlist(struct names *names, struct named *n); /* out of the map; harmless when it is not in it */
struct named *named_ref(struct named *n);
void named_unref(struct named *n);                       /* NULL is fine */
void named_free_all(struct names *names);
uint32_t named_count(const struct names *names);

/* What a server has prepared. */
struct held {
	UT_hash_handle hh;
	struct statement *statement; /* a reference; the key is this pointer */
	struct node node;            /* in order of use, last used first */
	uint32_t generation;         /* of the statement, as it was prepared */
	bool is_kept;                /* holdings_clear() passes it by, once */
};

struct holdings {
	struct held *map;
	struct list by_use;
};

void holdings_init(struct holdings *h);
void holdings_clear(struct holdings *h);
void holdings_keep(struct holdings *h, struct statement *s);  /* the next holdings_clear() leaves it; harmless when absent */
bool holdings_touch(struct holdings *h, struct statement *s); /* true: it has it, as it is now, and has just used it */
bool holdings_have(const struct holdings *h, struct statement *s); /* perhaps as it was before */
void holdings_add(struct holdings *h, struct statement *s);
void holdings_drop(struct holdings *h, struct statement *s);  /* harmless when absent */
struct statement *holdings_find_shared(const struct holdings *h, const char *shared_name);
struct statement *holdings_oldest(const struct holdings *h);  /* NULL: none */
uint32_t holdings_count(const struct holdings *h);

#endif
