/*
 * tests/net/ends.h - both ends of a connection in one loop, for the tests of net/stream: struct end keeps what came in.
 */
#ifndef TESTS_NET_ENDS_H
#define TESTS_NET_ENDS_H

#include <check.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <arpa/inet.h>

#include "base/buf.h"
#include "base/clock.h"
#include "net/stream.h"

struct end {
	struct stream stream;
	struct loop *loop;
	struct buf got;
	size_t calls;      /* of on_data */
	size_t unit;       /* eats multiples of this only; 0: everything */
	size_t pause_at;   /* pauses when it has got that much; 0: never */
	int opened, blocked, drained, ended;
	enum stream_end why;
	char text[200];
	bool is_sending;   /* the test is inside stream_send(): no on_end may come */
	bool closes;       /* itself, in on_data */
	struct end *closes_other;
};

static inline void
end_on_open(void *owner)
{
	((struct end *)owner)->opened++;
}

static inline size_t
end_on_data(void *owner, struct view in)
{
	struct end *e = owner;
	e->calls++;
	size_t n = e->unit ? in.n / e->unit * e->unit : in.n;
	if (e->pause_at && e->got.n + n >= e->pause_at) {
		n = e->pause_at - e->got.n;
		stream_pause(&e->stream);
	}
	buf_add(&e->got, view_part(in, 0, n));
	if (e->closes)
		stream_close(&e->stream);
	if (e->closes_other)
		stream_close(&e->closes_other->stream);
	return n;
}

static inline void
end_on_end(void *owner, enum stream_end why, const char *text)
{
	struct end *e = owner;
	ck_assert_msg(!e->is_sending, "the owner is called from within its own call");
	e->ended++;
	e->why = why;
	snprintf(e->text, sizeof(e->text), "%s", text);
	stream_close(&e->stream);
}

static inline void
end_on_blocked(void *owner)
{
	((struct end *)owner)->blocked++;
}

static inline void
end_on_drained(void *owner)
{
	((struct end *)owner)->drained++;
}

static const struct stream_ops end_ops = { end_on_open, end_on_data, end_on_end, end_on_blocked, end_on_drained };

static inline void
end_free(struct end *e)
{
	stream_close(&e->stream);
	buf_free(&e->got);
}

/* Turns until `condition`, for 5 seconds at most. */
#define turn_until(loop, condition)                                                                                    \
	do {                                                                                                            \
		uint64_t until_us = clock_exact_us() + 5 * SECOND_US;                                                    \
		while (!(condition) && clock_exact_us() < until_us)                                                      \
			loop_turn(loop, false);                                                                          \
		ck_assert_msg(condition, "%s", #condition);                                                              \
	} while (0)

static inline void
turns(struct loop *loop, int n)
{
	while (n-- > 0)
		loop_turn(loop, false);
}

static inline void
set_nonblocking(int fd)
{
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

/* Two connected descriptors: a socket pair, or TCP on loopback. */
static inline void
two_fds(bool is_tcp, int fd[2])
{
	if (!is_tcp) {
		ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd), 0);
		return;
	}
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(a);
	int l = socket(AF_INET, SOCK_STREAM, 0);
	ck_assert_int_eq(bind(l, (struct sockaddr *)&a, sizeof(a)), 0);
	ck_assert_int_eq(listen(l, 1), 0);
	getsockname(l, (struct sockaddr *)&a, &n);
	fd[0] = socket(AF_INET, SOCK_STREAM, 0);
	ck_assert_int_eq(connect(fd[0], (struct sockaddr *)&a, sizeof(a)), 0);
	fd[1] = accept(l, NULL, NULL);
	close(l);
	set_nonblocking(fd[0]);
	set_nonblocking(fd[1]);
}

/* An end that is a stream, and its raw other end. */
static inline int
end_and_fd(struct loop *loop, struct end *e, bool is_tcp)
{
	int fd[2];
	two_fds(is_tcp, fd);
	*e = (struct end){ .loop = loop };
	stream_open(&e->stream, loop, fd[0], &end_ops, e);
	return fd[1];
}

static inline void
two_ends(struct loop *loop, struct end *a, struct end *b, bool is_tcp)
{
	*b = (struct end){ .loop = loop };
	stream_open(&b->stream, loop, end_and_fd(loop, a, is_tcp), &end_ops, b);
}

/* n bytes that tell their place. */
static inline uint8_t *
pattern(size_t n)
{
	uint8_t *p = malloc(n);
	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)(i * 7 + i / 251);
	return p;
}

#endif
