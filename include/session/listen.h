/*
 * session/listen.h - LISTEN in transaction mode: what a client listens to, and who tells it.
 *
 *   LISTEN b ─► its server s runs it ─► s is asked what it listens to: listen_is ─► the listener LISTENs too (session/listener.h)
 *     ─► NOTIFY pgsluice_marks, 'mark' on s ─► what s says in front of the mark goes to the client, and what the listener says
 *        behind the same mark ─► UNLISTEN * on s, which is anybody's again
 *
 * So each notification that is committed after the LISTEN is told once, in the order of the queue. Until the listener listens, s
 * stays with its client. Before a text that asks or changes what is listened to, and before a BEGIN, s is made to listen to what
 * the client listens to, so that UNLISTEN, savepoints and pg_listening_channels() are PostgreSQL's own.
 *
 * What s says is held until the listener is level with it, so that what was notified before is told before, on other channels too.
 * So is the ReadyForQuery of a client that listens and sends NOTIFY itself, which reads its own notifications in front of it. They carry the process id that the client was given at login.
 * And so is a text that may end listening: what was committed before is told before, as PostgreSQL does before it reads the text.
 *
 * Session pooling has none of this: there the server is the session.
 */
#ifndef SESSION_LISTEN_H
#define SESSION_LISTEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/view.h"
#include "session/channels.h"
#include "wire/frame.h"

struct client;
struct server;
struct listener;

enum listen_needs {
	LISTEN_NEEDS_CHANNELS = 1 << 0, /* pg_listening_channels(); BEGIN: the others may follow */
	LISTEN_CHANGES = 1 << 1,        /* LISTEN, UNLISTEN, DISCARD ALL: needs them, too. listen_is() will follow */
	LISTEN_NEEDS_LEVEL = 1 << 2,    /* NOTIFY, pg_notify() */
};

enum { LISTEN_CHANNELS_MAX = 10000, LISTEN_NAMES_MAX = LISTEN_CHANNELS_MAX * 64 }; /* of one client */
enum { MARK_TEXT_MAX = 33 }; /* 128 random bits, so that nobody can send a mark before we do */

/* A client's; c->listen, NULL: it listens to nothing. */
struct listening {
	struct ear ear; /* first */
	struct client *client;
	struct listener *at;
	struct node waiting;     /* in at->waiting: until this is answered: */
	uint64_t level;
	uint64_t mark_number;    /* of the mark that was sent last */
	char mark[MARK_TEXT_MAX];
	uint64_t waits_us;       /* since when its hand-over waits for the listener; 0: it does not */
	bool is_marked;          /* the mark was sent, its server has not said it */
	bool is_partial;         /* its server listens to what its transaction has added only */
	bool owns_pid;           /* notifications of its server's process are its own */
	bool has_notified;       /* its ReadyForQuery waits until the listener is level */
	bool holds_client;       /* what the client has sent next waits for that */
	bool is_caught_up;       /* and goes now */
	bool holds_server;       /* what its server says next does */
	bool is_level;           /* and goes now */
	uint64_t gap_us;         /* since when it may have missed something that it has yet to be told of; 0: it has not */
};

/*
 * A text is about to go to its server, between messages and outside of a COPY. False: it has to wait (c->is_stalled, or its stream is
 * paused), and comes again.
 */
bool listen_before(struct client *c, unsigned needs);
/*
 * What its server says that it listens to, after a transaction: strings, each with its NUL, one behind the other. is_all: when it
 * was asked, it listened to what the client does; else these come to that. Answers whether anything has changed.
 */
bool listen_is(struct client *c, struct view names, bool is_all);

/* From link and server_answers. */
/* This is next for its client: a NotificationResponse, or its ReadyForQuery. True: it has to wait, and comes again. */
bool listen_holds(struct server *s, const struct frame *f);
/* Nothing is owed, it is in no transaction, and what it has is known. False: it has to stay for now. */
bool listen_may_part(struct server *s);
void listen_on_failure(struct server *s); /* what listen_before() or listen_on_between() has asked was refused */
void listen_on_unlink(struct client *c, struct server *s, bool is_lost);
void listen_pass(struct server *s, struct view body); /* a NotificationResponse, whole: to its client, or to nobody */

void listen_forget(struct client *c);   /* it is closed */
void listen_on_idle(struct client *c);

/* From the listener. */
void listen_deliver(struct listener *l);  /* what is queued, to those who may hear it now */
void listen_on_level(struct listener *l); /* at->answered has grown */
void listen_on_mark(struct listener *l, const char *mark);
void listen_on_loss(struct listener *l);  /* nothing is heard */
void listen_on_return(struct listener *l); /* it listens (again) */
void listen_on_outage(struct listener *l, const char *why); /* it can't be opened for the time being */
void listen_on_second(struct listener *l);

#endif
