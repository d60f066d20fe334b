/*
 * net/loop.c - turns: events, settle, flush, reap, sleep.
 *
 * epoll is asked directly: libevent needs some 750 instructions to bring one event to its callback, which is as much as all
 * else that is done for it. What is left to libevent (HTTP, signals) lives in an event_base whose epoll descriptor is watched
 * like any other.
 *
 * Invariant: outside an event no stream has gathered output, and loop->in and loop->scratch are free.
 */
#include "net/loop.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <event2/event.h>

#include "base/clock.h"
#include "base/heap.h"
#include "base/log.h"
#include "net/stream.h"

struct timer {
	struct node node; /* in loop->timers while it is set */
	struct loop *loop;
	uint64_t at_us;
	uint64_t period_us; /* 0: once */
	timer_fn *fn;
	void *context;
};

struct loop_signal {
	struct event *event;
	struct loop *loop;
	void (*fn)(int signal, void *context);
	void *context;
};

/* ---- libevent's loop inside of ours ---- */

static void
log_of_libevent(int severity, const char *text)
{
	log_at(severity == EVENT_LOG_DEBUG ? LOG_LEVEL_DEBUG : severity == EVENT_LOG_ERR ? LOG_LEVEL_ERROR : LOG_LEVEL_WARNING,
	       "libevent", "%s", text);
}

static void
run_base(struct loop *loop)
{
	event_base_loop(loop->base, EVLOOP_NONBLOCK);
	loop_flush(loop);
}

static void
base_on_ready(struct watched *w, uint32_t events)
{
	run_base(node_owner(w, struct loop, base_watched));
}

static void
base_on_timer(void *context)
{
	run_base(context);
}

static void
ignore_event(evutil_socket_t fd, short what, void *context)
{
}

static bool
is_readable(int fd)
{
	struct pollfd f = { .fd = fd, .events = POLLIN };
	return poll(&f, 1, 0) == 1 && f.revents == POLLIN;
}

/* Does this descriptor tell when something happens in libevent's loop? */
static bool
tells_of_base(struct event_base *base, int fd)
{
	int probe = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	struct event *event = probe < 0 ? NULL : event_new(base, probe, EV_READ, ignore_event, NULL);
	bool is_silent = event && event_add(event, NULL) == 0 && !is_readable(fd);
	bool speaks = is_silent && eventfd_write(probe, 1) == 0 && is_readable(fd);
	if (event)
		event_free(event);
	if (probe >= 0)
		close(probe);
	return speaks;
}

/*
 * libevent keeps its epoll descriptor to itself. It is the first that it opens, so it has the lowest number that was free; and
 * that it is the right one is tried. Should another libevent do it in another way, its loop is looked at again and again.
 */
static bool
open_base(struct loop *loop)
{
	event_set_log_callback(log_of_libevent); /* else they go to stderr, in a form of their own */
	struct event_config *config = event_config_new();
	if (config == NULL)
		return false;
	event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
	int lowest = dup(loop->epoll);
	close(lowest);
	loop->base = event_base_new_with_config(config);
	event_config_free(config);
	if (loop->base == NULL)
		return false;
	bool is_found = lowest >= 0 && tells_of_base(loop->base, lowest);
	if (is_found) {
		loop->base_watched.on_ready = base_on_ready;
		loop_watch(loop, &loop->base_watched, lowest, EPOLLIN);
	} else {
		log_warning("libevent", "its epoll descriptor was not found: it is looked at every 20 ms");
	}
	loop->base_timer = timer_every(loop, is_found ? SECOND_US : 20 * MILLISECOND_US, base_on_timer, loop);
	return true;
}

/* ---- opening and closing ---- */

struct loop *
loop_new(struct loop_hooks hooks, void *context)
{
	struct loop *loop = heap_alloc(sizeof(*loop));
	list_init(&loop->again);
	list_init(&loop->timers);
	clock_update();
	loop->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epoll < 0 || !open_base(loop)) {
		if (loop->epoll >= 0)
			close(loop->epoll);
		heap_free(loop);
		return NULL;
	}
	loop->hooks = hooks;
	loop->context = context;
	loop->in = heap_alloc(LOOP_IN_BYTES);
	loop->tls_out = heap_alloc(LOOP_SCRATCH_BYTES);
	loop->scratch = heap_alloc(LOOP_SCRATCH_BYTES);
	return loop;
}

void
loop_free(struct loop *loop)
{
	if (loop == NULL)
		return;
	timer_free(loop->base_timer);
	event_base_free(loop->base);
	close(loop->epoll);
	heap_free(loop->in);
	heap_free(loop->tls_out);
	heap_free(loop->scratch);
	heap_free(loop);
}

/* ---- what is watched ---- */

void
loop_watch(struct loop *loop, struct watched *w, int fd, uint32_t events)
{
	if (w->events == events && w->fd == fd)
		return;
	struct epoll_event e = { .events = events, .data.ptr = w };
	bool is_new = w->events == 0;
	int failed = epoll_ctl(loop->epoll, is_new ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, fd, &e);
	if (failed && errno == (is_new ? EEXIST : ENOENT)) /* closed by its owner, who did not say so, and the number used again */
		failed = epoll_ctl(loop->epoll, is_new ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &e);
	if (failed)
		log_error("loop", "can't watch descriptor %d: %s", fd, strerror(errno));
	w->fd = fd;
	w->events = events;
}

/* What has happened to it already in this turn is nobody's any more. */
void
loop_forget(struct loop *loop, struct watched *w)
{
	w->events = 0;
	for (int i = loop->ready_at; i < loop->ready_count; i++)
		if (loop->ready[i].data.ptr == w)
			loop->ready[i].data.ptr = NULL;
}

void
loop_unwatch(struct loop *loop, struct watched *w)
{
	if (w->events == 0)
		return;
	epoll_ctl(loop->epoll, EPOLL_CTL_DEL, w->fd, NULL);
	loop_forget(loop, w);
}

/* ---- a turn ---- */

void
loop_flush_all(struct loop *loop)
{
	for (unsigned i = 0; i < loop->gather_count; i++)
		if (loop->gathers[i].stream)
			stream_flush(loop->gathers[i].stream);
	loop->gather_count = 0;
	loop->scratch_used = 0;
}

/* Settling may resume streams, and what they then do may be settled further: until nothing is left to do now. */
static void
loop_settle(struct loop *loop)
{
	for (;;) {
		if (loop->hooks.settle)
			loop->hooks.settle(loop->context);
		loop_flush(loop);
		if (list_is_empty(&loop->again))
			return;
		/* Only those that wait now: one that asks again meanwhile has its turn after the others' events. */
		struct node *last = list_last(&loop->again);
		for (;;) {
			struct node *n = list_first(&loop->again);
			bool is_last = n == last;
			node_remove(n);
			stream_handle_again(node_owner(n, struct stream, again_node));
			if (is_last || list_is_empty(&loop->again) || !node_is_in(last))
				break;
		}
		if (!list_is_empty(&loop->again)) {
			if (loop->hooks.settle)
				loop->hooks.settle(loop->context);
			loop_flush(loop);
			return;
		}
	}
}

/* In milliseconds, rounded up, and from when this turn began: a timer is late by what the turn has taken. */
static int
until_next_timer(const struct loop *loop)
{
	struct node *n = list_first(&loop->timers);
	if (n == NULL)
		return -1;
	uint64_t at_us = node_owner(n, struct timer, node)->at_us, now_us = clock_timers_us();
	uint64_t ms = at_us > now_us ? (at_us - now_us + MILLISECOND_US - 1) / MILLISECOND_US : 0;
	return ms < INT_MAX ? (int)ms : INT_MAX;
}

static void
run_timers(struct loop *loop)
{
	uint64_t now_us = clock_timers_us();
	struct node *n;
	while ((n = list_first(&loop->timers)) != NULL && node_owner(n, struct timer, node)->at_us <= now_us) {
		struct timer *t = node_owner(n, struct timer, node);
		node_remove(n);
		if (t->period_us)
			timer_set(t, t->period_us);
		t->fn(t->context); /* may free t */
		loop_flush(loop);
	}
}

void
loop_turn(struct loop *loop, bool may_sleep)
{
	may_sleep = may_sleep && list_is_empty(&loop->again) && !loop->is_stopping;
	loop->ready_count = epoll_wait(loop->epoll, loop->ready, LOOP_READY_MAX, may_sleep ? until_next_timer(loop) : 0);
	clock_update();
	loop->turns++;
	for (loop->ready_at = 0; loop->ready_at < loop->ready_count;) {
		struct epoll_event *e = &loop->ready[loop->ready_at++];
		struct watched *w = e->data.ptr;
		if (w)
			w->on_ready(w, e->events);
	}
	run_timers(loop);
	loop_settle(loop);
	if (loop->hooks.reap)
		loop->hooks.reap(loop->context);
}

void
loop_run(struct loop *loop)
{
	while (!loop->is_stopping)
		loop_turn(loop, true);
}

void
loop_stop(struct loop *loop)
{
	loop->is_stopping = true;
}

/* ---- timers ---- */

static struct timer *
timer_make(struct loop *loop, uint64_t period_us, timer_fn *fn, void *context)
{
	struct timer *t = heap_alloc(sizeof(*t));
	*t = (struct timer){ .loop = loop, .period_us = period_us, .fn = fn, .context = context };
	return t;
}

struct timer *
timer_every(struct loop *loop, uint64_t period_us, timer_fn *fn, void *context)
{
	struct timer *t = timer_make(loop, period_us, fn, context);
	timer_set(t, period_us);
	return t;
}

struct timer *
timer_new(struct loop *loop, timer_fn *fn, void *context)
{
	return timer_make(loop, 0, fn, context);
}

/* There are few, and what is set anew is mostly the last of them. */
void
timer_set(struct timer *t, uint64_t after_us)
{
	struct list *timers = &t->loop->timers;
	node_remove(&t->node);
	t->at_us = clock_timers_us() + (after_us ? after_us : 1); /* not in this turn again */
	struct node *before = timers->head.prev;
	while (before != &timers->head && node_owner(before, struct timer, node)->at_us > t->at_us)
		before = before->prev;
	list_insert_before(timers, before->next, &t->node);
}

void
timer_clear(struct timer *t)
{
	node_remove(&t->node);
}

bool
timer_is_set(const struct timer *t)
{
	return node_is_in(&t->node);
}

void
timer_free(struct timer *t)
{
	if (t == NULL)
		return;
	node_remove(&t->node);
	heap_free(t);
}

/* ---- signals ---- */

static void
signal_on_event(evutil_socket_t fd, short what, void *context)
{
	struct loop_signal *s = context;
	s->fn((int)fd, s->context);
	loop_flush(s->loop);
}

struct loop_signal *
loop_on_signal(struct loop *loop, int signal, void (*fn)(int signal, void *context), void *context)
{
	struct loop_signal *s = heap_alloc(sizeof(*s));
	*s = (struct loop_signal){ .loop = loop, .fn = fn, .context = context };
	s->event = evsignal_new(loop->base, signal, signal_on_event, s);
	must(s->event != NULL);
	event_add(s->event, NULL);
	return s;
}

void
loop_signal_free(struct loop_signal *s)
{
	if (s == NULL)
		return;
	event_free(s->event);
	heap_free(s);
}
