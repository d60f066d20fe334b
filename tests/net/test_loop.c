/* tests/net/test_loop.c - turns, timers, what is watched, and libevent's loop inside of ours. Streams: test_stream.c. */
#include <check.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <event2/event.h>

#include "base/clock.h"
#include "net/loop.h"

#include "../suite.h"

static struct loop *loop;
static char order[100];
static char letters[128]; /* letters['a'] is 'a': what a callback is to note */

static void
begin(void)
{
	loop = loop_new((struct loop_hooks){ 0 }, NULL);
	ck_assert_ptr_nonnull(loop);
	order[0] = '\0';
	for (int i = 0; i < 128; i++)
		letters[i] = (char)i;
}

static void
note(void *context)
{
	size_t n = strlen(order);
	must(n < sizeof(order) - 1);
	order[n] = *(const char *)context;
	order[n + 1] = '\0';
}

static void
turn_for(uint64_t us)
{
	uint64_t until_us = clock_exact_us() + us;
	while (clock_exact_us() < until_us)
		loop_turn(loop, true);
}

START_TEST(timers_run_in_the_order_of_their_times)
{
	begin();
	struct timer *a = timer_new(loop, note, &letters['a']), *b = timer_new(loop, note, &letters['b']), *c = timer_new(loop, note, &letters['c']);
	struct timer *never = timer_new(loop, note, &letters['n']);
	timer_set(c, 30 * MILLISECOND_US);
	timer_set(a, 50 * MILLISECOND_US);
	timer_set(never, 20 * MILLISECOND_US);
	timer_set(b, 20 * MILLISECOND_US);
	timer_set(a, 0); /* earlier than it was */
	timer_clear(never);
	ck_assert(timer_is_set(a));
	ck_assert(!timer_is_set(never));
	turn_for(60 * MILLISECOND_US);
	ck_assert_str_eq(order, "abc");
	ck_assert(!timer_is_set(a));
	timer_free(a);
	timer_free(b);
	timer_free(c);
	timer_free(never);
	loop_free(loop);
}
END_TEST

static struct timer *again, *other;

static void
set_again(void *context)
{
	note(&letters['x']);
	if (strlen(order) < 5)
		timer_set(again, 0);
}

START_TEST(a_timer_that_sets_itself_to_now_keeps_nobody_from_his_turn)
{
	begin();
	again = timer_new(loop, set_again, NULL);
	timer_set(again, 0);
	for (size_t i = 1; i <= 5; i++) {
		do
			loop_turn(loop, true);
		while (strlen(order) < i);
		ck_assert_uint_eq(strlen(order), i); /* once in a turn */
	}
	ck_assert(!timer_is_set(again));
	timer_free(again);
	loop_free(loop);
}
END_TEST

static void
free_both(void *context)
{
	timer_free(again);
	timer_free(other);
}

START_TEST(a_timer_may_free_itself_and_others_that_are_due)
{
	begin();
	again = timer_every(loop, MILLISECOND_US, free_both, NULL);
	other = timer_new(loop, note, &letters['f']);
	timer_set(other, 2 * MILLISECOND_US);
	usleep(5000); /* both are due in the same turn */
	turn_for(10 * MILLISECOND_US);
	ck_assert_str_eq(order, "");
	loop_free(loop);
}
END_TEST

START_TEST(a_timer_that_repeats_does_so_until_it_is_cleared)
{
	begin();
	struct timer *t = timer_every(loop, 2 * MILLISECOND_US, note, &letters['.']);
	while (strlen(order) < 4)
		loop_turn(loop, true);
	timer_clear(t);
	turn_for(10 * MILLISECOND_US);
	ck_assert_str_eq(order, "....");
	timer_free(t);
	loop_free(loop);
}
END_TEST

struct bell {
	struct watched watched;
	int fd, rung;
	struct bell *silences;
};

static void
on_bell(struct watched *w, uint32_t events)
{
	struct bell *b = node_owner(w, struct bell, watched);
	b->rung++;
	if (b->silences)
		loop_unwatch(loop, &b->silences->watched);
}

START_TEST(what_was_unwatched_in_a_turn_hears_nothing_more_in_it)
{
	struct bell a = { .watched.on_ready = on_bell }, b = { .watched.on_ready = on_bell };
	begin();
	a.fd = eventfd(0, EFD_NONBLOCK);
	b.fd = eventfd(0, EFD_NONBLOCK);
	a.silences = &b;
	b.silences = &a;
	loop_watch(loop, &a.watched, a.fd, EPOLLIN);
	loop_watch(loop, &b.watched, b.fd, EPOLLIN);
	loop_turn(loop, false);
	ck_assert_int_eq(a.rung + b.rung, 0);
	eventfd_write(a.fd, 1);
	eventfd_write(b.fd, 1);
	loop_turn(loop, true);
	ck_assert_int_eq(a.rung + b.rung, 1);
	loop_unwatch(loop, &a.watched);
	loop_unwatch(loop, &b.watched);
	loop_turn(loop, false);
	ck_assert_int_eq(a.rung + b.rung, 1);
	loop_watch(loop, &a.watched, a.fd, EPOLLOUT); /* other events, and again */
	loop_watch(loop, &a.watched, a.fd, EPOLLOUT | EPOLLET);
	loop_turn(loop, false);
	loop_turn(loop, false);
	ck_assert_int_eq(a.rung + b.rung, 2);
	loop_unwatch(loop, &a.watched);
	loop_unwatch(loop, &a.watched);
	close(a.fd);
	close(b.fd);
	loop_free(loop);
}
END_TEST

static void
on_libevent(evutil_socket_t fd, short what, void *context)
{
	note(context);
}

START_TEST(libevents_loop_wakes_ours)
{
	begin();
	ck_assert_uint_ne(loop->base_watched.events, 0); /* its descriptor was found */
	int fd = eventfd(0, EFD_NONBLOCK);
	struct event *e = event_new(loop->base, fd, EV_READ, on_libevent, &letters['e']);
	struct event *late = event_new(loop->base, -1, 0, on_libevent, &letters['t']);
	event_add(e, NULL);
	event_add(late, &(struct timeval){ .tv_usec = 1000 });
	loop_turn(loop, false);
	ck_assert_str_eq(order, "");
	eventfd_write(fd, 1);
	loop_turn(loop, true); /* at once, not when its timers are looked at */
	ck_assert_int_eq(order[0], 'e');
	while (strlen(order) < 2)
		loop_turn(loop, true); /* its own timers: within a second */
	event_free(e);
	event_free(late);
	close(fd);
	loop_free(loop);
}
END_TEST

static void
on_signal(int signal, void *context)
{
	note(context);
	loop_stop(loop);
}

START_TEST(a_signal_is_delivered_in_a_turn)
{
	begin();
	struct loop_signal *s = loop_on_signal(loop, SIGUSR2, on_signal, &letters['s']);
	raise(SIGUSR2);
	ck_assert_str_eq(order, "");
	loop_run(loop);
	ck_assert_str_eq(order, "s");
	loop_signal_free(s);
	loop_free(loop);
}
END_TEST

int
main(void)
{
	const TTest *const rules[] = {
		timers_run_in_the_order_of_their_times,
		a_timer_that_sets_itself_to_now_keeps_nobody_from_his_turn,
		a_timer_may_free_itself_and_others_that_are_due,
		a_timer_that_repeats_does_so_until_it_is_cleared,
		what_was_unwatched_in_a_turn_hears_nothing_more_in_it,
		libevents_loop_wakes_ours,
		a_signal_is_delivered_in_a_turn,
	};
	return suite_run("net/loop", rules, sizeof(rules) / sizeof(rules[0]));
}
