/*
 * net/loop.c - turns: events, settle, flush, reap, sleep. libevent does the waiting and the dispatching.
 *
 * Invariant: outside an event no stream has gathered output, and loop->in and loop->scratch are free.
 */
#include "net/loop.h"

#include <event2/event.h>

#include "base/clock.h"
#include "base/heap.h"
#include "base/log.h"
#include "net/stream.h"

struct timer {
	struct event *event;
	struct loop *loop;
	timer_fn *fn;
	void *context;
};

struct loop_signal {
	struct event *event;
	struct loop *loop;
	void (*fn)(int signal, void *context);
	void *context;
};

static void
log_of_libevent(int severity, const char *text)
{
	log_at(severity == EVENT_LOG_DEBUG ? LOG_LEVEL_DEBUG : severity == EVENT_LOG_ERR ? LOG_LEVEL_ERROR : LOG_LEVEL_WARNING,
	       "libevent", "%s", text);
}

struct loop *
loop_new(struct loop_hooks hooks, void *context)
{
	event_set_log_callback(log_of_libevent); /* else they go to stderr, in a form of their own */
	struct event_config *config = event_config_new();
	if (config == NULL)
		return NULL;
	event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
	/* Changes to one descriptor within a turn reach the kernel as one epoll_ctl. Safe: we never dup() a socket. */
	event_config_set_flag(config, EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST);
	struct event_base *base = event_base_new_with_config(config);
	event_config_free(config);
	if (base == NULL)
		return NULL;

	struct loop *loop = heap_alloc(sizeof(*loop));
	loop->base = base;
	loop->hooks = hooks;
	loop->context = context;
	loop->in = heap_alloc(LOOP_IN_BYTES);
	loop->tls_out = heap_alloc(LOOP_SCRATCH_BYTES);
	loop->scratch = heap_alloc(LOOP_SCRATCH_BYTES);
	list_init(&loop->dirty);
	list_init(&loop->free_gathers);
	list_init(&loop->again);
	clock_update();
	return loop;
}

void
loop_free(struct loop *loop)
{
	if (loop == NULL)
		return;
	struct node *n;
	while ((n = list_first(&loop->free_gathers)) != NULL) {
		node_remove(n);
		heap_free(node_owner(n, struct gather, node));
	}
	event_base_free(loop->base);
	heap_free(loop->in);
	heap_free(loop->tls_out);
	heap_free(loop->scratch);
	heap_free(loop);
}

void
loop_enter(struct loop *loop)
{
	if (!loop->is_awake) {
		loop->is_awake = true;
		clock_update();
	}
}

void
loop_flush(struct loop *loop)
{
	struct node *n;
	while ((n = list_first(&loop->dirty)) != NULL)
		stream_flush(node_owner(n, struct gather, node)->stream);
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

void
loop_turn(struct loop *loop, bool may_sleep)
{
	may_sleep = may_sleep && list_is_empty(&loop->again) && !loop->is_stopping;
	loop->is_awake = false;
	event_base_loop(loop->base, EVLOOP_ONCE | (may_sleep ? 0 : EVLOOP_NONBLOCK));
	loop_enter(loop);
	loop->turns++;
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

static struct timeval
timeval_of(uint64_t us)
{
	return (struct timeval){ .tv_sec = (time_t)(us / SECOND_US), .tv_usec = (suseconds_t)(us % SECOND_US) };
}

static void
timer_on_event(evutil_socket_t fd, short what, void *context)
{
	struct timer *t = context;
	struct loop *loop = t->loop;
	loop_enter(loop);
	t->fn(t->context); /* may free t */
	loop_flush(loop);
}

static struct timer *
timer_make(struct loop *loop, short flags, timer_fn *fn, void *context)
{
	struct timer *t = heap_alloc(sizeof(*t));
	*t = (struct timer){ .loop = loop, .fn = fn, .context = context };
	t->event = event_new(loop->base, -1, flags, timer_on_event, t);
	must(t->event != NULL);
	return t;
}

struct timer *
timer_every(struct loop *loop, uint64_t period_us, timer_fn *fn, void *context)
{
	struct timer *t = timer_make(loop, EV_PERSIST, fn, context);
	struct timeval tv = timeval_of(period_us);
	event_add(t->event, &tv);
	return t;
}

struct timer *
timer_new(struct loop *loop, timer_fn *fn, void *context)
{
	return timer_make(loop, 0, fn, context);
}

void
timer_set(struct timer *t, uint64_t after_us)
{
	struct timeval tv = timeval_of(after_us);
	event_add(t->event, &tv);
}

void
timer_clear(struct timer *t)
{
	event_del(t->event);
}

bool
timer_is_set(const struct timer *t)
{
	return event_pending(t->event, EV_TIMEOUT, NULL) != 0;
}

void
timer_free(struct timer *t)
{
	if (t == NULL)
		return;
	event_free(t->event);
	heap_free(t);
}

static void
signal_on_event(evutil_socket_t fd, short what, void *context)
{
	struct loop_signal *s = context;
	loop_enter(s->loop);
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
