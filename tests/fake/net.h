/*
 * tests/fake/net.h - a stand-in for the net layer: connections in memory, a clock that is set, timers that obey it.
 *
 * Implements include/net/stream.h, loop.h, resolve.h, tls.h, fetch.h and pq.h as far as the session layer needs them. A `wire` is
 * what the socket was: the program's side is a struct stream as ever, the other side is played by the test.
 *
 *	struct wire *w = fake_accept_begin();     the test's side of a client connection: give w->fd to proxy_accept()
 *	fake_deliver(w, bytes);                   the peer sends
 *	w->out                                    what the program sent, not yet looked at
 *	fake_next_connect()                       the program has called somebody
 *	fake_turn(loop), fake_advance(loop, us)   the end of an event; time passes
 */
#ifndef TESTS_FAKE_NET_H
#define TESTS_FAKE_NET_H

#include "base/buf.h"
#include "net/fetch.h"
#include "net/pq.h"
#include "net/stream.h"

enum { WIRES_MAX = 4096 };

struct wire {
	int fd;                 /* its number; fake */
	struct stream *stream;  /* NULL: nobody has opened it yet, or it was closed */
	struct buf out;         /* sent by the program */
	uint64_t event;         /* in which something was sent last, and how much: it can still be taken back */
	size_t unsent;
	bool is_ours;           /* the program has called; else it was called */
	bool is_connecting;     /* called, and neither accepted nor refused */
	bool is_closed;         /* by the program */
	bool has_ended;         /* by the peer, perhaps not noticed yet */
	bool is_full;           /* the peer does not read: the stream blocks with its next byte */
	uint16_t port;          /* that was called */
	/* To be set before it is accepted: */
	char address[64];       /* of the peer; "": 127.0.0.1 */
	bool is_tls;            /* as if TLS were up already */
	char common_name[128], distinguished_name[256]; /* of the peer's certificate; both "": it has none */
	bool has_uid;           /* of the process at the other end of a Unix socket */
	uid_t uid;
};

struct wire *fake_accept_begin(void);
struct wire *fake_next_connect(void); /* the oldest call not yet taken; NULL: none */
void fake_connected(struct wire *w);
void fake_refused(struct wire *w);
void fake_deliver(struct wire *w, struct view bytes);
void fake_end(struct wire *w);        /* the peer closes */
void fake_drain(struct wire *w);      /* it reads again */
void fake_fail_connects(bool on);     /* from here on stream_connect() fails at once */

/* A question of net/pq.h that nobody has answered yet, the oldest first; *port: of the server. NULL: none. */
struct pq *fake_question(const char **value, uint16_t *port);
/* Answer it: a row of two columns; name NULL: no row. Anything but PQ_OK: `text` is the error. */
void fake_answer(struct pq *q, enum pq_outcome outcome, const char *name, const char *text);

/* A request of net/fetch.h under way: the first, or the one behind `after`. NULL: no more. */
struct fetch *fake_fetch(struct fetch *after);
const char *fake_fetch_url(const struct fetch *fetch);
bool fake_fetch_is_late(const struct fetch *fetch); /* nobody waits for its answer any longer */
void fake_fetched(struct fetch *fetch, enum fetch_outcome outcome, int status, const char *body); /* ends it */

/* Asked in each turn, until it has nothing to do any more; NULL: nobody. */
extern bool (*fake_on_turn)(void);

void fake_turn(struct loop *loop);
void fake_advance(struct loop *loop, uint64_t us); /* with a turn after each timer that is due */
bool fake_has_room(void);             /* for a few more wires */
void fake_reset(void);                /* forget all wires */

#endif
