/*
 * net/loop.h - the one event loop: turns of  events -> settle -> flush -> reap closed connections -> sleep.
 *
 * Owns the receive buffer and the scratch that all streams borrow, so that an idle connection owns none. What a handler
 * sends is gathered and leaves in one system call per stream when the event is over.
 * It sleeps in epoll_wait itself. libevent's loop, which serves HTTP and signals, is one of the descriptors that it watches.
 */
#ifndef NET_LOOP_H
#define NET_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/uio.h>

#include "base/list.h"
#include "base/view.h"

struct event_base;
struct stream;

enum {
	LOOP_IN_BYTES = 128 * 1024,     /* the receive buffer */
	LOOP_SCRATCH_BYTES = 64 * 1024, /* for bytes that stream_put() copies until the flush */
	LOOP_READY_MAX = 512,           /* descriptors dealt with in one turn */
	GATHER_MAX = 16,                /* pieces of output per stream between two flushes */
	GATHERS_MAX = 32,               /* streams with output between two flushes; for one more, all are flushed */
};

/* Output of one stream gathered during one event: pieces that still belong to others. */
struct gather {
	struct stream *stream; /* NULL: it was flushed meanwhile */
	const uint8_t *tail;   /* where the last piece ends: what lies there and is sent next makes it longer */
	size_t bytes, bytes_max;
	unsigned count;
	struct iovec piece[GATHER_MAX];
};

/* A descriptor that the loop watches, embedded in what it belongs to. */
struct watched {
	void (*on_ready)(struct watched *w, uint32_t events); /* runs inside a turn; events as in epoll_ctl(2) */
	int fd;
	uint32_t events; /* what it is watched for; 0: it is not watched */
};

/* The end of a turn, in this order. Each may be NULL. */
struct loop_hooks {
	void (*settle)(void *context); /* carry out what the events of this turn made possible */
	void (*reap)(void *context);   /* free what was closed; nothing refers to it any more */
};

struct loop {
	int epoll;
	int ready_at, ready_count; /* of `ready`: the next one, and how many */
	uint8_t *in;              /* LOOP_IN_BYTES; busy while a handler runs */
	uint8_t *tls_out;         /* LOOP_SCRATCH_BYTES: gathered pieces put together for one TLS record */
	uint8_t *scratch;         /* LOOP_SCRATCH_BYTES */
	size_t scratch_used;
	unsigned gather_count;    /* how many of `gathers` may hold something */
	bool is_stopping;
	struct list again;        /* streams whose input is to be handled without waiting for the socket */
	struct list timers;       /* those that are set, the next one first */
	struct loop_hooks hooks;
	void *context;            /* of the hooks */
	uint64_t turns;           /* counters: turns of the loop, system calls of each kind */
	uint64_t receives, sends;

	struct event_base *base;  /* libevent's: HTTP and signals */
	struct watched base_watched;
	struct timer *base_timer; /* its own timers are looked at now and then */

	struct epoll_event ready[LOOP_READY_MAX];
	struct gather gathers[GATHERS_MAX];
};

struct loop *loop_new(struct loop_hooks hooks, void *context); /* NULL: no event base (errno) */
void loop_free(struct loop *loop);
void loop_run(struct loop *loop);  /* until loop_stop() */
void loop_turn(struct loop *loop, bool may_sleep); /* one turn; loop_run() is made of these */
void loop_stop(struct loop *loop);
void loop_flush_all(struct loop *loop);

/* Send what was gathered; the borrowed views may go afterwards. */
static inline void
loop_flush(struct loop *loop)
{
	if (loop->gather_count || loop->scratch_used)
		loop_flush_all(loop);
}

/* Watch it for these events from now on, instead of those before, if any. */
void loop_watch(struct loop *loop, struct watched *w, int fd, uint32_t events);
void loop_unwatch(struct loop *loop, struct watched *w); /* harmless when it is not watched */
/* The same for a descriptor that is closed right afterwards: that ends it without a system call, as none of ours is ever
 * doubled (by dup() or a fork()). */
void loop_forget(struct loop *loop, struct watched *w);

/* Timers. `fn` runs inside a turn. Free with timer_free(), also from `fn`; NULL is fine. */
struct timer;
typedef void timer_fn(void *context);
struct timer *timer_every(struct loop *loop, uint64_t period_us, timer_fn *fn, void *context);
struct timer *timer_new(struct loop *loop, timer_fn *fn, void *context); /* sleeps until timer_set() */
void timer_set(struct timer *t, uint64_t after_us);                      /* once, from now; replaces an earlier one */
void timer_clear(struct timer *t);
bool timer_is_set(const struct timer *t);
void timer_free(struct timer *t);

/* Signals, delivered inside a turn. */
struct loop_signal;
struct loop_signal *loop_on_signal(struct loop *loop, int signal, void (*fn)(int signal, void *context), void *context);
void loop_signal_free(struct loop_signal *s);

#endif
