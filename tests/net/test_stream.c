/* tests/net/test_stream.c - net/stream in clear, over socket pairs and real TCP. TLS: test_stream_tls.c. */
#include "ends.h"

#include <errno.h>
#include <sys/un.h>

#include "../suite.h"

static struct loop *loop;

static void
begin(void)
{
	loop = loop_new((struct loop_hooks){ 0 }, NULL);
}

static void
finish(struct end *a, struct end *b)
{
	end_free(a);
	if (b)
		end_free(b);
	ck_assert_uint_eq(loop->gather_count, 0);
	ck_assert(list_is_empty(&loop->again));
	loop_free(loop);
}

START_TEST(pieces_arrive_in_order_however_many)
{
	struct end a, b;
	begin();
	for (int is_tcp = 0; is_tcp < 2; is_tcp++) {
		two_ends(loop, &a, &b, is_tcp);
		uint8_t *p = pattern(5000);
		for (size_t at = 0; at < 5000; at += 50) {
			if (at % 100)
				stream_put(&a.stream, view_of(p + at, 50)); /* 100 pieces, every other one from elsewhere */
			else
				stream_send(&a.stream, view_of(p + at, 50));
		}
		turn_until(loop, b.got.n == 5000);
		ck_assert_mem_eq(b.got.p, p, 5000);
		free(p);
		end_free(&a);
		end_free(&b);
	}
	finish(&a, NULL);
}
END_TEST

START_TEST(pieces_that_lie_together_leave_in_one_system_call)
{
	struct end a, b;
	begin();
	two_ends(loop, &a, &b, false);
	uint8_t *p = pattern(100);
	uint64_t sends = loop->sends;
	for (int i = 0; i < 10; i++)
		stream_send(&a.stream, view_of(p + 10 * i, 10));
	ck_assert_uint_eq(a.stream.gather->count, 1);
	loop_flush(loop);
	ck_assert_uint_eq(loop->sends, sends + 1);
	turn_until(loop, b.got.n == 100);
	free(p);
	finish(&a, &b);
}
END_TEST

START_TEST(what_was_copied_may_go_at_once_even_if_it_is_large)
{
	struct end a, b;
	begin();
	two_ends(loop, &a, &b, true);
	size_t each = LOOP_SCRATCH_BYTES - 100;
	for (int i = 0; i < 4; i++) { /* each but the first finds no room in the scratch */
		uint8_t *p = malloc(each);
		memset(p, 'a' + i, each);
		stream_put(&a.stream, view_of(p, each));
		memset(p, '!', each);
		free(p);
	}
	turn_until(loop, b.got.n == 4 * each);
	for (int i = 0; i < 4; i++) {
		ck_assert_int_eq(b.got.p[each * (size_t)i], 'a' + i);
		ck_assert_int_eq(b.got.p[each * (size_t)(i + 1) - 1], 'a' + i);
	}
	finish(&a, &b);
}
END_TEST

START_TEST(what_is_not_consumed_comes_again_with_more_behind)
{
	struct end a;
	begin();
	int fd = end_and_fd(loop, &a, false);
	a.unit = 10;
	for (int i = 0; i < 25; i++) {
		ck_assert_int_eq(write(fd, "x", 1), 1);
		turns(loop, 2);
		ck_assert_uint_eq(a.got.n, (size_t)(i + 1) / 10 * 10);
		ck_assert_uint_eq(stream_kept(&a.stream), (size_t)(i + 1) % 10);
	}
	a.unit = 0;
	ck_assert_int_eq(write(fd, "yyyyy", 5), 5);
	turn_until(loop, a.got.n == 30);
	ck_assert_ptr_null(a.stream.rest.p); /* an idle stream owns no memory */
	close(fd);
	turn_until(loop, a.ended == 1);
	finish(&a, NULL);
}
END_TEST

START_TEST(a_message_larger_than_the_buffer_of_the_loop_is_kept_whole)
{
	struct end a, b;
	begin();
	two_ends(loop, &a, &b, false);
	size_t n = 5 * LOOP_IN_BYTES + 123;
	b.unit = n;
	uint8_t *p = pattern(2 * n);
	stream_send(&a.stream, view_of(p, n));
	loop_flush(loop);
	stream_send(&a.stream, view_of(p + n, n));
	loop_flush(loop);
	turn_until(loop, b.got.n == 2 * n);
	ck_assert_mem_eq(b.got.p, p, 2 * n);
	ck_assert_ptr_null(b.stream.rest.p);
	free(p);
	finish(&a, &b);
}
END_TEST

START_TEST(a_reader_that_is_slow_blocks_the_writer_until_it_has_read)
{
	struct end a;
	begin();
	for (int is_tcp = 0; is_tcp < 2; is_tcp++) {
		int fd = end_and_fd(loop, &a, is_tcp);
		int small = is_tcp ? 60000 : 4096;
		setsockopt(a.stream.fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
		size_t n = 3 * 200000, at = 0;
		uint8_t *p = pattern(n), *back = malloc(n);
		stream_send(&a.stream, view_of(p, 200000)); /* more comes while it is blocked: order is kept */
		loop_flush(loop);
		ck_assert_int_eq(a.blocked, 1);
		stream_put(&a.stream, view_of(p + 200000, 200000));
		loop_flush(loop);
		stream_send(&a.stream, view_of(p + 400000, 200000));
		loop_flush(loop);
		ck_assert_int_eq(a.blocked, 1);
		ck_assert_int_eq(a.drained, 0);
		uint64_t until_us = clock_exact_us() + 5 * SECOND_US;
		while (at < n && clock_exact_us() < until_us) {
			size_t room = 1 + at % 9999;
			ssize_t got = read(fd, back + at, room < n - at ? room : n - at);
			if (got > 0)
				at += (size_t)got;
			if (at % 3 == 0 || got < 0)
				loop_turn(loop, false);
		}
		turns(loop, 2);
		ck_assert_uint_eq(at, n);
		ck_assert_mem_eq(p, back, n);
		ck_assert_int_eq(a.drained, 1);
		ck_assert_ptr_null(a.stream.pending.p);
		ck_assert(!(a.stream.watched.events & EPOLLOUT));
		free(p);
		free(back);
		close(fd);
		end_free(&a);
	}
	finish(&a, NULL);
}
END_TEST

START_TEST(a_paused_stream_keeps_still_and_goes_on_within_the_turn)
{
	struct end a;
	begin();
	int fd = end_and_fd(loop, &a, true);
	stream_pause(&a.stream);
	ck_assert_int_eq(write(fd, "hello", 5), 5);
	turns(loop, 5);
	ck_assert_uint_eq(a.calls, 0);
	ck_assert_int_eq(loop->ready_count, 0); /* told once: no spinning */
	stream_resume(&a.stream);
	turn_until(loop, a.got.n == 5);

	a.pause_at = 7; /* pauses itself in the middle of what has come */
	ck_assert_int_eq(write(fd, "123456", 6), 6);
	turn_until(loop, a.got.n == 7);
	ck_assert_uint_eq(stream_kept(&a.stream), 4);
	a.pause_at = 0;
	stream_resume(&a.stream);
	loop_turn(loop, false);
	ck_assert_uint_eq(a.got.n, 11);
	ck_assert_mem_eq(a.got.p, "hello123456", 11);
	close(fd);
	finish(&a, NULL);
}
END_TEST

START_TEST(a_suspended_stream_keeps_still_whatever_its_owner_does)
{
	struct end a;
	begin();
	int fd = end_and_fd(loop, &a, true);
	stream_suspend(&a.stream);
	ck_assert_int_eq(write(fd, "hello", 5), 5);
	turns(loop, 5);
	stream_pause(&a.stream);
	stream_resume(&a.stream);
	turns(loop, 5);
	ck_assert_uint_eq(a.calls, 0);
	ck_assert_int_eq(loop->ready_count, 0);
	stream_pause(&a.stream);
	stream_wake(&a.stream); /* its owner still wants it so */
	turns(loop, 5);
	ck_assert_uint_eq(a.calls, 0);
	stream_resume(&a.stream);
	turn_until(loop, a.got.n == 5);

	/* output goes out, and what was said before the peer left is heard although it was watched before */
	stream_pause_watching(&a.stream);
	stream_resume(&a.stream);
	stream_suspend(&a.stream);
	char text[8];
	stream_put(&a.stream, VIEW("out"));
	loop_flush(loop);
	ck_assert_int_eq(read(fd, text, sizeof(text)), 3);
	ck_assert_int_eq(write(fd, "bye", 3), 3);
	close(fd);
	turns(loop, 5);
	ck_assert_int_eq(a.ended, 0);
	stream_wake(&a.stream);
	turn_until(loop, a.ended == 1);
	ck_assert_mem_eq(a.got.p, "hellobye", 8);
	finish(&a, NULL);
}
END_TEST

START_TEST(a_paused_stream_does_not_see_its_peer_leave_before_it_goes_on)
{
	struct end a;
	begin();
	int fd = end_and_fd(loop, &a, true);
	stream_pause(&a.stream);
	ck_assert_int_eq(write(fd, "bye", 3), 3);
	close(fd);
	turns(loop, 5);
	ck_assert_int_eq(a.ended, 0);
	stream_resume(&a.stream);
	turn_until(loop, a.ended == 1);
	ck_assert_int_eq(a.why, STREAM_END_EOF);
	ck_assert_mem_eq(a.got.p, "bye", 3);
	finish(&a, NULL);
}
END_TEST

START_TEST(a_watched_stream_sees_its_peer_leave)
{
	struct end a;
	begin();
	for (int how = 0; how < 6; how++) { /* over TCP or not; saying something before, after a plain pause, or neither */
		int fd = end_and_fd(loop, &a, how % 2);
		if (how >= 4) {
			stream_pause(&a.stream);
			ck_assert_int_eq(write(fd, "first", 5), 5);
			turns(loop, 2);
			ck_assert_int_eq(loop->ready_count, 0);
		}
		stream_pause_watching(&a.stream);
		turns(loop, 2);
		if (how >= 2)
			ck_assert_int_eq(write(fd, "unheard", 7), 7);
		turns(loop, 2);
		ck_assert_int_eq(a.ended, 0);
		close(fd);
		turn_until(loop, a.ended == 1);
		ck_assert_int_eq(a.why, STREAM_END_EOF);
		ck_assert_uint_eq(a.calls, 0);
		end_free(&a);
	}
	finish(&a, NULL);
}
END_TEST

START_TEST(a_stream_may_be_closed_in_its_own_handler_and_in_that_of_another)
{
	struct end a, b;
	begin();
	int fd = end_and_fd(loop, &a, false), fd_b = end_and_fd(loop, &b, false);
	a.unit = 4;
	ck_assert_int_eq(write(fd, "12345", 5), 5);
	turns(loop, 2);
	ck_assert_uint_eq(stream_kept(&a.stream), 1);
	a.closes = true;
	a.closes_other = &b;
	ck_assert_int_eq(write(fd_b, "x", 1), 1);
	ck_assert_int_eq(write(fd, "678", 3), 3); /* handled first or second: b must not be called when closed */
	turns(loop, 3);
	ck_assert(!stream_is_open(&a.stream));
	ck_assert(!stream_is_open(&b.stream));
	ck_assert_int_eq(a.ended + b.ended, 0);
	ck_assert_ptr_null(a.stream.rest.p);
	close(fd);
	close(fd_b);
	finish(&a, &b);
}
END_TEST

START_TEST(closing_sends_the_last_words_first)
{
	struct end a;
	char text[20] = "";
	begin();
	int fd = end_and_fd(loop, &a, true);
	ck_assert_int_eq(write(fd, "never read", 10), 10);
	stream_put(&a.stream, VIEW("last words"));
	stream_close(&a.stream);
	stream_close(&a.stream);
	usleep(1000);
	ck_assert_int_eq(read(fd, text, sizeof(text)), 10);
	ck_assert_str_eq(text, "last words");
	ck_assert_int_eq(read(fd, text, sizeof(text)), 0); /* in order: no reset, although it has not read everything */
	close(fd);
	finish(&a, NULL);
}
END_TEST

START_TEST(a_peer_that_is_gone_is_told_later_never_from_within_sending)
{
	struct end a;
	begin();
	for (int is_tcp = 0; is_tcp < 2; is_tcp++) {
		int fd = end_and_fd(loop, &a, is_tcp);
		stream_pause(&a.stream);
		close(fd);
		a.is_sending = true;
		for (int i = 0; i < 100; i++) { /* more than one gather holds, so that it is flushed in between */
			char piece[2] = { 'x' };
			stream_send(&a.stream, view_of(piece, 1));
			if (i % 10 == 0)
				stream_flush(&a.stream);
			usleep(100);
		}
		stream_flush(&a.stream);
		a.is_sending = false;
		ck_assert_int_eq(a.ended, 0);
		ck_assert_ptr_null(a.stream.gather);
		turn_until(loop, a.ended == 1);
		ck_assert_int_eq(a.why, STREAM_END_ERROR);
		end_free(&a);
	}
	finish(&a, NULL);
}
END_TEST

START_TEST(what_a_peer_said_before_it_left_is_heard_although_sending_failed)
{
	struct end a;
	begin();
	int fd = end_and_fd(loop, &a, false);
	ck_assert_int_eq(write(fd, "FATAL: going down", 17), 17);
	close(fd);
	stream_put(&a.stream, VIEW("select 1"));
	loop_flush(loop);
	turn_until(loop, a.ended == 1);
	ck_assert_uint_eq(a.got.n, 17);
	finish(&a, NULL);
}
END_TEST

/* epoll tells of each change once; here all of it has come before the first look. */
START_TEST(what_came_together_with_the_end_is_heard_and_the_end_too)
{
	struct end a;
	begin();
	for (int how = 0; how < 8; how++) {
		bool is_large = how & 2, is_paused = how & 4;
		int fd = end_and_fd(loop, &a, how & 1);
		size_t n = is_large ? LOOP_IN_BYTES : 3, room = 4 * LOOP_IN_BYTES;
		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &(int){ (int)room }, sizeof(int));
		uint8_t *p = pattern(n);
		if (is_paused)
			stream_pause(&a.stream);
		size_t written = 0;
		for (ssize_t did; written < n && (did = write(fd, p + written, n - written)) > 0;)
			written += (size_t)did;
		if (!is_large)
			ck_assert_uint_eq(written, n);
		shutdown(fd, SHUT_WR);
		turns(loop, 3);
		if (is_paused) {
			ck_assert_uint_eq(a.calls, 0);
			stream_resume(&a.stream);
		}
		turn_until(loop, a.ended == 1);
		ck_assert_uint_eq(a.got.n, written);
		ck_assert_mem_eq(a.got.p, p, written);
		free(p);
		close(fd);
		end_free(&a);
	}
	finish(&a, NULL);
}
END_TEST

START_TEST(any_number_of_streams_has_output_in_one_event)
{
	enum { COUNT = 3 * GATHERS_MAX };
	static struct end all[COUNT];
	int fd[COUNT];
	char said[40], heard[40];
	begin();
	for (int i = 0; i < COUNT; i++)
		fd[i] = end_and_fd(loop, &all[i], false);
	for (int round = 0; round < 2; round++)
		for (int i = 0; i < COUNT; i++) { /* copied, and gone when it is sent */
			snprintf(said, sizeof(said), "%d for %d.", round, i);
			stream_put(&all[i].stream, view_of_string(said));
		}
	loop_flush(loop);
	for (int i = 0; i < COUNT; i++) {
		snprintf(said, sizeof(said), "0 for %d.1 for %d.", i, i);
		memset(heard, 0, sizeof(heard));
		ck_assert_int_eq(read(fd[i], heard, sizeof(heard) - 1), strlen(said));
		ck_assert_str_eq(heard, said);
		close(fd[i]);
		if (i > 0)
			end_free(&all[i]);
	}
	finish(&all[0], NULL);
}
END_TEST

static struct sockaddr_in
closed_port(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	getsockname(fd, (struct sockaddr *)&a, &n);
	close(fd);
	return a;
}

START_TEST(a_call_is_answered_or_refused)
{
	struct end a = { 0 };
	begin();
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(to);
	int l = socket(AF_INET, SOCK_STREAM, 0);
	ck_assert_int_eq(bind(l, (struct sockaddr *)&to, sizeof(to)), 0);
	listen(l, 1);
	getsockname(l, (struct sockaddr *)&to, &n);
	ck_assert(stream_connect(&a.stream, loop, (struct sockaddr *)&to, n, &end_ops, &a));
	turn_until(loop, a.opened == 1);
	int fd = accept(l, NULL, NULL);
	ck_assert_int_eq(write(fd, "hi", 2), 2);
	turn_until(loop, a.got.n == 2);
	char host[64];
	uint16_t port;
	stream_peer_address(&a.stream, host, sizeof(host), &port);
	ck_assert_str_eq(host, "127.0.0.1");
	ck_assert_uint_eq(port, ntohs(to.sin_port));
	close(fd);
	turn_until(loop, a.ended == 1);
	close(l);

	a.ended = 0;
	to = closed_port();
	ck_assert(stream_connect(&a.stream, loop, (struct sockaddr *)&to, n, &end_ops, &a));
	turn_until(loop, a.ended == 1);
	ck_assert_int_eq(a.why, STREAM_END_REFUSED);
	ck_assert_str_eq(a.text, "Connection refused");
	finish(&a, NULL);
}
END_TEST

/* The next address of a name with several: refused at once, within the handler of the first refusal. */
static void
call_next_on_end(void *owner, enum stream_end why, const char *text)
{
	struct end *e = owner;
	struct sockaddr_un nobody = { .sun_family = AF_UNIX, .sun_path = "/nonexistent/socket" };
	e->ended++;
	stream_close(&e->stream);
	ck_assert(!stream_connect(&e->stream, e->loop, (struct sockaddr *)&nobody, sizeof(nobody), e->stream.ops, e));
	ck_assert_int_eq(errno, ENOENT);
	ck_assert(!stream_is_open(&e->stream));
}

START_TEST(who_is_refused_may_call_another_and_fail_at_once)
{
	static const struct stream_ops ops = { end_on_open, end_on_data, call_next_on_end, end_on_blocked, end_on_drained };
	struct end a = { 0 };
	begin();
	a.loop = loop;
	struct sockaddr_in to = closed_port();
	ck_assert(stream_connect(&a.stream, loop, (struct sockaddr *)&to, sizeof(to), &ops, &a));
	turn_until(loop, a.ended == 1);
	finish(&a, NULL);
}
END_TEST

START_TEST(a_call_may_be_given_up)
{
	struct end a = { 0 };
	begin();
	struct sockaddr_in to = closed_port();
	ck_assert(stream_connect(&a.stream, loop, (struct sockaddr *)&to, sizeof(to), &end_ops, &a));
	stream_close(&a.stream);
	turns(loop, 3);
	ck_assert_int_eq(a.ended + a.opened, 0);
	finish(&a, NULL);
}
END_TEST

START_TEST(many_megabytes_pass_through_two_streams_with_constant_memory)
{
	/* writer -> (b reads, c sends on: as a proxy does, with back-pressure) -> reader */
	struct end a, b;
	begin();
	int in = end_and_fd(loop, &a, true), out = end_and_fd(loop, &b, true);
	size_t n = 20 * 1000 * 1000, sent = 0, got = 0, most = 0;
	uint8_t *p = pattern(n), *back = malloc(n);
	uint64_t until_us = clock_exact_us() + 20 * SECOND_US;
	while (got < n && clock_exact_us() < until_us) {
		ssize_t done = write(in, p + sent, n - sent < 300000 ? n - sent : 300000);
		sent += done > 0 ? (size_t)done : 0;
		loop_turn(loop, false);
		if (a.got.n > 0) {
			stream_send(&b.stream, buf_view(&a.got));
			loop_flush(loop);
			buf_free(&a.got);
		}
		if (b.stream.is_blocked)
			stream_pause(&a.stream);
		else
			stream_resume(&a.stream);
		most = b.stream.pending.n > most ? b.stream.pending.n : most;
		done = read(out, back + got, 40000);
		got += done > 0 ? (size_t)done : 0;
	}
	ck_assert_uint_eq(got, n);
	ck_assert_mem_eq(p, back, n);
	ck_assert_uint_le(most, 2 * LOOP_IN_BYTES); /* read at the event, and once more as more was there */
	free(p);
	free(back);
	close(in);
	close(out);
	finish(&a, &b);
}
END_TEST

int
main(void)
{
	const TTest *const rules[] = {
		pieces_arrive_in_order_however_many,
		pieces_that_lie_together_leave_in_one_system_call,
		what_was_copied_may_go_at_once_even_if_it_is_large,
		what_is_not_consumed_comes_again_with_more_behind,
		a_message_larger_than_the_buffer_of_the_loop_is_kept_whole,
		a_reader_that_is_slow_blocks_the_writer_until_it_has_read,
		a_paused_stream_keeps_still_and_goes_on_within_the_turn,
		a_suspended_stream_keeps_still_whatever_its_owner_does,
		a_paused_stream_does_not_see_its_peer_leave_before_it_goes_on,
		a_watched_stream_sees_its_peer_leave,
		a_stream_may_be_closed_in_its_own_handler_and_in_that_of_another,
		closing_sends_the_last_words_first,
		a_peer_that_is_gone_is_told_later_never_from_within_sending,
		what_a_peer_said_before_it_left_is_heard_although_sending_failed,
		what_came_together_with_the_end_is_heard_and_the_end_too,
		any_number_of_streams_has_output_in_one_event,
		a_call_is_answered_or_refused,
		who_is_refused_may_call_another_and_fail_at_once,
		a_call_may_be_given_up,
		many_megabytes_pass_through_two_streams_with_constant_memory,
	};
	return suite_run("net/stream", rules, sizeof(rules) / sizeof(rules[0]));
}
