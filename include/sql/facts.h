/*
 * sql/facts.h - what a text of SQL does, as PostgreSQL's own parser (libpg_query) reads it.
 *
 * Only the text is looked at. It tells for certain what kinds of statement there are, that something writes, and which
 * session state is touched by name. That something *only reads* has conditions, which a parser can't know:
 *
 *   1. A function, an operator or a type that is not PostgreSQL's own may do anything: SQL_ASK_NAMES is set, and names[]
 *      says what to look up. Without a catalog to ask, that is a write.
 *   2. A name without a schema that is one of PostgreSQL's own (is_builtin) means PostgreSQL's own, unless somebody made a
 *      function, operator or type of the same name: search_path may put its schema first, and even behind pg_catalog it
 *      wins where its argument types fit better. Whether there is one, for all names at once, is one question to the
 *      catalog. With schema pg_catalog it is certain.
 *   3. A relation may be a view or have a rule, a policy or a foreign server behind it: pg_class.relkind, relhasrules and
 *      relrowsecurity of the SQL_NAME_RELATIONs. Harmless: r, p, m, S without either. (pg_get_viewdef() of a view can be
 *      read by sql_facts_read() in turn.)
 *   4. x.f may be a call of the function f(x) when x has no column f: SQL_NAME_ATTRIBUTE. Only of interest if the database
 *      has a volatile function of this name.
 *   5. Casts made with CREATE CAST, domains with a CHECK and operator classes call functions that no text names. Who must
 *      be certain counts the volatile ones in pg_cast, pg_constraint and pg_amproc: nearly every database has none.
 *
 * And of PostgreSQL's own, an answer may depend on the server asked (pg_stat_..., inet_server_addr()): it is read, but
 * elsewhere it is another one. Functions that are there to tell servers apart (pg_is_in_recovery()) are no builtins here.
 *
 * The grammar is that of PostgreSQL 15: what is newer is SQL_NOT_PARSED, what has since changed its meaning is nothing.
 * The text is read with standard_conforming_strings = on; see needs_standard_strings. It is read as UTF-8 or another
 * encoding in which no byte below 128 is part of a longer character: see sql_encoding_is_readable().
 */
#ifndef SQL_FACTS_H
#define SQL_FACTS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/view.h"

enum sql_result {
	SQL_PARSED,
	SQL_NOT_PARSED, /* a mistake, or newer than our grammar */
	SQL_TOO_LONG,
	SQL_TOO_MUCH, /* nested too deeply, too many names, or costly to read */
};

enum sql_kind {
	SQL_OTHER, /* by its effects */
	SQL_BEGIN, /* also START TRANSACTION */
	SQL_COMMIT, /* also END */
	SQL_ROLLBACK, /* also ABORT */
	SQL_SAVEPOINT,
	SQL_RELEASE,
	SQL_ROLLBACK_TO,
	SQL_PREPARE_TRANSACTION,
	SQL_COMMIT_PREPARED,
	SQL_ROLLBACK_PREPARED,
	SQL_SET_TRANSACTION,
	SQL_SELECT, /* also VALUES and TABLE */
	SQL_INSERT,
	SQL_UPDATE,
	SQL_DELETE,
	SQL_MERGE,
	SQL_COPY,
	SQL_SHOW,
	SQL_SET, /* also RESET */
	SQL_EXPLAIN,
	SQL_PREPARE,
	SQL_EXECUTE,
	SQL_DEALLOCATE,
	SQL_DECLARE,
	SQL_FETCH, /* also MOVE */
	SQL_CLOSE,
	SQL_LISTEN,
	SQL_UNLISTEN,
	SQL_NOTIFY,
	SQL_DISCARD,
	SQL_LOCK,
	SQL_CALL,
	SQL_DO,
	SQL_KINDS
};

enum sql_effect {
	SQL_WRITES         = 1 << 0,  /* writes, or nobody knows that it doesn't */
	SQL_LOCKS          = 1 << 1,  /* rows (FOR UPDATE), tables (LOCK), advisory locks */
	SQL_BEGINS         = 1 << 2,  /* BEGIN */
	SQL_ENDS           = 1 << 3,  /* COMMIT, ROLLBACK, PREPARE TRANSACTION: also what was done before this text */
	SQL_SUBTRANSACTION = 1 << 4,  /* SAVEPOINT, RELEASE, ROLLBACK TO */
	SQL_TRANSACTION    = 1 << 5,  /* changes how the transaction goes on: SET LOCAL, SET TRANSACTION */
	SQL_SESSION        = 1 << 6,  /* touches state of the session: see touches[] */
	SQL_ASK_NAMES      = 1 << 7,  /* calls what only the catalog knows: see names[] */
	SQL_ASK_SESSION    = 1 << 8,  /* EXECUTE, FETCH: does what was said earlier in the session */
	SQL_RUNS_CODE      = 1 << 9,  /* DO, CALL: may do whatever a session may */
	SQL_NO_BLOCK       = 1 << 10, /* refuses to run inside a transaction block */
	SQL_LEADER_ONLY    = 1 << 11, /* refused by a standby, although it may write nothing */
	SQL_COPY_IN        = 1 << 12, /* COPY FROM STDIN */
	SQL_COPY_OUT       = 1 << 13, /* COPY TO STDOUT */
};

/* What is left when it only reads. BEGIN is in it: so far, nothing is done. */
#define SQL_EFFECTS_OF_READING ((uint32_t)(SQL_BEGINS | SQL_LEADER_ONLY | SQL_COPY_OUT))

enum sql_access { SQL_ACCESS_UNSAID, SQL_ACCESS_READ_ONLY, SQL_ACCESS_READ_WRITE };

struct sql_statement {
	enum sql_kind kind;
	uint32_t effects;         /* of enum sql_effect */
	uint32_t prepares;        /* SQL_PREPARE: the effects of what is prepared, which come with EXECUTE */
	enum sql_access access;   /* BEGIN, SET TRANSACTION */
	bool chains;              /* COMMIT AND CHAIN, ROLLBACK AND CHAIN */
	const char *name;         /* of a savepoint, or of a prepared transaction; else "" */
	uint32_t at, bytes;       /* where in the text; both 0 when the facts are shared by texts with other constants */
};

/* State that lives in one server process (or, is_local, in one transaction). */
enum sql_touch_kind {
	SQL_TOUCH_SET,                /* name, value; also each part of SET SESSION CHARACTERISTICS, under default_... */
	SQL_TOUCH_RESET,              /* name; also SET name TO DEFAULT */
	SQL_TOUCH_RESET_ALL,
	SQL_TOUCH_SET_CONFIG,         /* set_config(): name and value if they are constants */
	SQL_TOUCH_SHOW,               /* name; "all" */
	SQL_TOUCH_PREPARE,            /* name */
	SQL_TOUCH_EXECUTE,            /* name */
	SQL_TOUCH_DEALLOCATE,         /* name; NULL is ALL */
	SQL_TOUCH_DECLARE,            /* name; is_local without WITH HOLD */
	SQL_TOUCH_FETCH,              /* name; also MOVE, and WHERE CURRENT OF */
	SQL_TOUCH_CLOSE,              /* name; NULL is ALL */
	SQL_TOUCH_LISTEN,             /* name */
	SQL_TOUCH_UNLISTEN,           /* name; NULL is * */
	SQL_TOUCH_NOTIFY,             /* name, if it is a constant: also pg_notify() */
	SQL_TOUCH_DISCARD,            /* name: all, plans, sequences, temp */
	SQL_TOUCH_TEMPORARY,          /* name of what is made, or used as pg_temp.name; is_local with ON COMMIT DROP */
	SQL_TOUCH_LOAD,               /* name of the library */
	SQL_TOUCH_ADVISORY_LOCK,      /* of the session; may have failed to get it (pg_try_...) */
	SQL_TOUCH_ADVISORY_UNLOCK,
	SQL_TOUCH_ADVISORY_UNLOCK_ALL,
	SQL_TOUCH_SEQUENCE,           /* nextval(), setval(): what currval() and lastval() read later */
	SQL_TOUCH_SEQUENCE_READ,      /* currval(), lastval() */
	SQL_TOUCH_SEED,               /* setseed() */
	SQL_TOUCH_ORIGIN,             /* pg_replication_origin_session_... */
	SQL_TOUCHES
};

struct sql_touch {
	enum sql_touch_kind kind;
	uint32_t statement;  /* index */
	bool is_local;       /* gone with the transaction */
	bool is_local_known; /* SET_CONFIG: false when its third argument is no constant; else true */
	bool is_deferred;    /* in the body of a PREPARE: when it is executed */
	const char *name;    /* settings in lower case; NULL: see the kind, or not a constant */
	const char *value;   /* NULL when it is not one single constant; the statement's text has it then */
};

enum sql_name_kind { SQL_NAME_FUNCTION, SQL_NAME_OPERATOR, SQL_NAME_TYPE, SQL_NAME_RELATION, SQL_NAME_ATTRIBUTE };

struct sql_name {
	enum sql_name_kind kind;
	uint16_t arguments; /* of a function; 65535: more, or VARIADIC */
	bool is_builtin;    /* of a function, operator or type: as pg_catalog's, it only reads */
	bool is_written;    /* of a relation: by INSERT, UPDATE, DELETE, MERGE or COPY FROM */
	bool may_be_cte;    /* of a relation: a WITH in this text has the same name */
	bool is_deferred;   /* only named in the body of a PREPARE */
	const char *schema; /* "": none was given */
	const char *name;
};

struct sql_facts {
	enum sql_result result; /* anything but SQL_PARSED: effects is SQL_WRITES | SQL_RUNS_CODE, the rest empty */
	uint32_t effects;       /* of all statements together */
	bool needs_standard_strings; /* false facts when the session has standard_conforming_strings = off */
	bool uses_constants;         /* a text with other constants has other facts */
	uint32_t statement_count, touch_count, name_count;
	const struct sql_statement *statements;
	const struct sql_touch *touches; /* in the order of the text */
	const struct sql_name *names;    /* each once */
	uint32_t bytes;                  /* of memory, with everything above */
	uint32_t refs;
};

/*
 * Read a text; never NULL. The caller has one reference. Takes microseconds for what is usual and tens of milliseconds for
 * the worst that 64 kB can be: ask sql_facts_of() (sql/cache.h). Longer texts than SQL_TEXT_MAX are SQL_TOO_LONG.
 */
struct sql_facts *sql_facts_read(struct view text);
struct sql_facts *sql_facts_unread(enum sql_result why); /* of a text that nobody has read: it may do anything */
struct sql_facts *sql_facts_ref(const struct sql_facts *facts);
void sql_facts_unref(const struct sql_facts *facts); /* NULL is fine */

/* Bytes. libpg_query goes down a tree by recursion: measured up to 65 bytes of stack for each byte of text. */
#define SQL_TEXT_MAX 65536

/* As far as the text tells; the head of this file says what remains to be asked. */
static inline bool
sql_only_reads(const struct sql_facts *facts)
{
	return facts->result == SQL_PARSED && !(facts->effects & ~SQL_EFFECTS_OF_READING);
}

/*
 * False for the encodings of clients in which bytes like \ or [ may be half of a character (SJIS, BIG5, GBK, UHC, JOHAB,
 * GB18030, SHIFT_JIS_2004): texts of such a client that are not plain ASCII can't be read. Name as in client_encoding.
 */
bool sql_encoding_is_readable(const char *client_encoding);

#endif
