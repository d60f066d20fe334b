/*
 * net/loop.h - the one event loop: turns of  events -> settle -> flush -> reap closed connections -> sleep.
 *
 * Owns the receive buffer and the scratch that all streams borrow, so that an idle connection owns none. What a handler
 * sends is gathered and leaves in one system call per stream when the event is over. Built on libevent 2.1.
 */
#ifndef NET_LOOP_H
#define NET_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/list.h"
#include "base/view.h"

struct event_base;
struct stream;
struct event;

enum {
	LOOP_IN_BYTES = 128 * 1024,     /* the receive buffer */
	LOOP_SCRATCH_BYTES = 64 * 1024, /* for bytes that stream_put() copies until the flush */
	GATHER_MAX = 16,                /* pieces of output per stream between two flushes */
};

/* Output of one stream gathered during one event: pieces that still belong to others. */
struct gather {
	struct node node; /* in loop->dirty or loop->free_gathers */
	struct stream *stream;
	struct iovec piece[GATHER_MAX];
	unsigned count;
	size_t bytes, bytes_max;
	const uint8_t *tail; /* where the last piece ends: what lies there and is sent next makes it longer */
};

/* The end of a turn, in this order. Each may be NULL. */
struct loop_hooks {
	void (*settle)(void *context); /* carry out what the events of this turn made possible */
	void (*reap)(void *context);   /* free what was closed; nothing refers to it any more */
};

struct loop {
	struct event_base *base;
	uint8_t *in;              /* LOOP_IN_BYTES; busy while a handler runs */
	uint8_t *tls_out;         /* LOOP_SCRATCH_BYTES: gathered pieces put together for one TLS record */
	uint8_t *scratch;         /* LOOP_SCRATCH_BYTES */
	size_t scratch_used;
	struct list dirty;        /* gathers that hold something */
	struct list free_gathers;
	struct list again;        /* streams whose kept input is to be handled without waiting for the socket */
	struct loop_hooks hooks;
	void *context;            /* of the hooks */
	bool is_awake;            /* the clock was read in this turn */
	bool is_stopping;
	uint64_t turns;           /* counters: turns of the loop, system calls of each kind */
	uint64_t receives, sends;
};

struct loop *loop_new(struct loop_hooks hooks, void *context); /* NULL: no event base (errno) */
void loop_free(struct loop *loop);
void loop_run(struct loop *loop);  /* until loop_stop() */
void loop_turn(struct loop *loop, bool may_sleep); /* one turn; loop_run() is made of these */
void loop_stop(struct loop *loop);
void loop_flush(struct loop *loop); /* send what was gathered; the borrowed views may go afterwards */
void loop_enter(struct loop *loop); /* first thing in every callback from libevent: reads the clock once per turn */

/* Timers. A timer is one libevent event; `fn` runs inside a turn. Free with timer_free(), also from `fn`; NULL is fine. */
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
