/*
 * net/pq.h - a connection of the proxy's own to a PostgreSQL server: one question at a time, asynchronous, in the loop that
 * everything runs in (libpq).
 *
 * It connects when it is first asked, stays connected, and connects anew when it must. An idle connection that turns out to
 * be dead when it is used is replaced once before anybody hears of it. Names are looked up by net/resolve; nothing is taken
 * from the environment, no password file, service file, or certificate of a home directory is looked for.
 *
 * A question ends in exactly one call of its done function, always from the loop, never from within pq_ask(); or in
 * pq_close(), after which it is not called. From inside the done function any function of this header may be called.
 */
#ifndef NET_PQ_H
#define NET_PQ_H

#include <stdbool.h>
#include <stdint.h>

#include "base/text.h"
#include "base/view.h"

struct loop;
struct resolver;
struct pq;

enum { PQ_COLUMNS_MAX = 8, PQ_ANSWER_MAX = 1024 * 1024 }; /* bytes of an answer that are accepted */

enum pq_outcome {
	PQ_OK,          /* the query ran to its end, or brought a second row */
	PQ_ERROR,       /* the server refused to run it; sqlstate and error say why. The connection stays */
	PQ_UNREACHABLE, /* no connection, or it broke: another server may do better */
	PQ_REFUSED,     /* the server, or TLS, did not let us in: it will be the same next time */
	PQ_TIMEOUT,     /* connected, and no whole answer in time */
	PQ_TOO_LARGE    /* more than PQ_ANSWER_MAX */
};

struct pq_target {       /* all copied */
	const char *host;     /* name, address, or directory of a Unix socket ('/' or '@' first) */
	uint16_t    port;
	const char *dbname, *user;
	const char *password; /* NULL: none */
	const char *sslmode;  /* "disable" to "verify-full", as libpq's */
	const char *channel_binding; /* "disable", "prefer", "require" */
	bool        needs_tls13;
	const char *ca_file, *crl_file, *cert_file, *key_file; /* NULL or "": none */
	bool        keepalive;
	int         keepidle_s, keepintvl_s, keepcnt, user_timeout_ms; /* 0: the system's */
};

struct pq_question {
	const char *sql;        /* one statement; copied, as the next */
	const char *value;      /* of $1, as text */
	uint64_t    timeout_us; /* to connect, and again to answer; the server is told, too (statement_timeout) */
};

struct pq_answer {
	enum pq_outcome outcome;
	uint32_t        columns;
	uint32_t        rows;          /* 0, 1, or 2 for all there is beyond 1 */
	struct {
		struct view bytes;     /* good until the done function returns */
		bool        is_null;
	} first[PQ_COLUMNS_MAX];       /* the first row */
	bool            lacks_password; /* PQ_REFUSED: the server asked for one, and there was none */
	const char     *sqlstate;      /* "" when not told */
	const char     *error;         /* one line, "" when PQ_OK. It never holds what a query returned */
	uint64_t        took_us;       /* from pq_ask() on */
};

typedef void pq_done_fn(const struct pq_answer *answer, void *context);

/* Can anybody be asked? Loads libpq; false, and a sentence in *why, when that can't be had. */
bool pq_is_ready(struct text *why);

/* pq_is_ready() was true. Loop and resolver must outlive it. */
struct pq *pq_open(struct loop *loop, struct resolver *resolver, const struct pq_target *target);
void       pq_close(struct pq *q); /* at any time; NULL is fine */

/* One at a time: not before the last one is done. */
void pq_ask(struct pq *q, const struct pq_question *question, pq_done_fn *done, void *context);

bool     pq_is_connected(const struct pq *q); /* logged in, idle or asked */
uint32_t pq_backend(const struct pq *q);      /* process id of the server's side; 0: not connected */

const char *pq_outcome_name(enum pq_outcome outcome); /* "ok", "error", "unreachable", ... */

#endif
