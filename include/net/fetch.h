/*
 * net/fetch.h - HTTP requests to others, asynchronous, in the loop that everything runs in (libcurl multi on libevent).
 *
 * One request is one connection, HTTP/1.0, closed after the answer: that is how Patroni's server works, and an answer
 * without Content-Length ends at end of file. Only http and https; no redirects, no proxy from the environment, no
 * signals, no environment at all. The name is resolved in a thread of libcurl's, so a slow DNS stops nobody.
 *
 * A request ends in exactly one call of its done function, always from the loop, never from within fetch_begin(); or in
 * fetch_cancel() or fetcher_close(), after which it is not called. From inside the done function any function of this
 * header may be called, except fetcher_close().
 *
 * Files of keys and certificates are read anew for each request, so that renewed ones are used without a word. Users and
 * passwords are in no text that this module gives.
 */
#ifndef NET_FETCH_H
#define NET_FETCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/text.h"
#include "base/view.h"

struct loop;
struct fetcher;
struct fetch; /* a request under way: good until its done function was called or it was cancelled */

enum fetch_outcome {
	FETCH_OK,        /* a whole answer, whatever its status */
	FETCH_TIMEOUT,   /* no whole answer within timeout_ms */
	FETCH_REFUSED,   /* no connection: refused, unreachable, or the name is unknown */
	FETCH_TOO_LARGE, /* the body is longer than body_max */
	FETCH_FAILED     /* anything else: not HTTP, TLS trouble, closed too early, a URL of another kind */
};

/* Who we are to the other side, and how it proves who it is. Strings may be NULL or "": there is none. */
struct fetch_identity {
	const char *user, *password;      /* HTTP basic authentication */
	const char *cert_file, *key_file; /* PEM, of ours */
	const char *ca_file;              /* PEM, of those who are believed; none: those of the system */
	bool        takes_any_name;       /* its certificate must be good, whatever name is in it */
	bool        takes_any_certificate;
};

struct fetch_request {
	const char *url;        /* http:// or https://; copied, as all of it */
	uint32_t    timeout_ms; /* for all of it: resolving, connecting, the last byte. 0: 1000 */
	size_t      body_max;   /* bytes of body that are accepted. 0: 1 MiB */
	const char *method;     /* "POST", "PATCH", ...; NULL: GET */
	struct view body;       /* JSON that goes with it; of GET: none */
	const struct fetch_identity *identity; /* NULL: nobody */
};

struct fetch_answer {
	enum fetch_outcome outcome;
	int                status;  /* HTTP status; 0 when none arrived */
	struct view        body;    /* FETCH_OK only; good until the done function returns */
	const char        *error;   /* one sentence, "" when FETCH_OK; good until the done function returns */
	uint64_t           took_us; /* from fetch_begin() on */
	uint64_t           date_s;  /* the header Date, seconds since 1970; 0: none that can be read */
};

typedef void fetch_done_fn(const struct fetch_answer *answer, void *context);

/* The loop must outlive the fetcher. libcurl is not loaded before it is needed. */
struct fetcher *fetcher_open(struct loop *loop);
/* Can it fetch? Loads libcurl; false, and a sentence in *why, when that can't be had. Asked before the first fetch_begin(). */
bool            fetcher_is_ready(struct fetcher *f, struct text *why);
void            fetcher_close(struct fetcher *f); /* cancels what is under way; NULL is fine */

/* Never NULL: what is wrong with the request itself is also told by the done function, later. */
struct fetch *fetch_begin(struct fetcher *f, const struct fetch_request *request, fetch_done_fn *done, void *context);
void          fetch_cancel(struct fetch *fetch); /* NULL is fine */

const char *fetch_outcome_name(enum fetch_outcome outcome); /* "ok", "timeout", "refused", "too large", "failed" */

#endif
