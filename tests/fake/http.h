/*
 * tests/fake/http.h - an HTTP server on 127.0.0.1 in the loop of a test, that may behave as badly as the test wants.
 *
 * It reads a request up to the empty line, and then its answer function says what is sent and what happens next.
 */
#ifndef TESTS_FAKE_HTTP_H
#define TESTS_FAKE_HTTP_H

#include <arpa/inet.h>
#include <check.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "net/loop.h"

enum fake_http_next {
	FAKE_HTTP_CLOSE, /* when all is sent */
	FAKE_HTTP_STAY   /* never: the client has to end it */
};

struct fake_http {
	struct loop *loop;
	struct evconnlistener *listener;
	uint16_t port;
	/* The request's head, as text, and a buffer for the raw bytes of the answer. */
	enum fake_http_next (*answer)(struct fake_http *server, const char *head, struct evbuffer *out);
	void *context;
	int requests;  /* that were read */
	int open;      /* connections, now and at most at one time */
	int open_most;
	struct bufferevent *all[1024]; /* every connection that is open */
};

static inline void
fake_http_close(struct fake_http *server, struct bufferevent *connection)
{
	for (int i = 0; i < server->open; i++) {
		if (server->all[i] != connection)
			continue;
		server->all[i] = server->all[--server->open];
		bufferevent_free(connection);
		return;
	}
}

static inline void
fake_http_on_event(struct bufferevent *connection, short what, void *context)
{
	struct fake_http *server = context;
	if (what & (BEV_EVENT_EOF | BEV_EVENT_ERROR))
		fake_http_close(server, connection);
}

static inline void
fake_http_on_sent(struct bufferevent *connection, void *context)
{
	fake_http_close(context, connection);
}

static inline void
fake_http_on_read(struct bufferevent *connection, void *context)
{
	struct fake_http *server = context;
	struct evbuffer *in = bufferevent_get_input(connection);
	struct evbuffer_ptr end = evbuffer_search(in, "\r\n\r\n", 4, NULL);
	if (end.pos < 0)
		return;
	char head[4096] = "";
	evbuffer_remove(in, head, sizeof(head) - 1);
	server->requests++;
	struct evbuffer *out = evbuffer_new();
	enum fake_http_next next = server->answer(server, head, out);
	if (next == FAKE_HTTP_CLOSE) {
		bufferevent_setcb(connection, NULL, fake_http_on_sent, fake_http_on_event, server);
		if (evbuffer_get_length(out) == 0)
			fake_http_close(server, connection);
		else
			bufferevent_write_buffer(connection, out);
	} else {
		bufferevent_write_buffer(connection, out);
	}
	evbuffer_free(out);
}

static inline void
fake_http_on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *from, int n, void *context)
{
	struct fake_http *server = context;
	struct bufferevent *connection = bufferevent_socket_new(server->loop->base, fd, BEV_OPT_CLOSE_ON_FREE);
	ck_assert_int_lt(server->open, 1024);
	server->all[server->open++] = connection;
	if (server->open > server->open_most)
		server->open_most = server->open;
	bufferevent_setcb(connection, fake_http_on_read, NULL, fake_http_on_event, server);
	bufferevent_enable(connection, EV_READ | EV_WRITE);
}

/* Listens on the port, 0 for any; server->port says which. */
static inline void
fake_http_open_at(struct fake_http *server, struct loop *loop, uint16_t port)
{
	server->loop = loop;
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	server->listener = evconnlistener_new_bind(loop->base, fake_http_on_accept, server,
						   LEV_OPT_CLOSE_ON_FREE | LEV_OPT_REUSEABLE, 128,
						   (struct sockaddr *)&at, sizeof(at));
	ck_assert_ptr_nonnull(server->listener);
	socklen_t size = sizeof(at);
	ck_assert_int_eq(getsockname(evconnlistener_get_fd(server->listener), (struct sockaddr *)&at, &size), 0);
	server->port = ntohs(at.sin_port);
}

static inline void
fake_http_open(struct fake_http *server, struct loop *loop)
{
	fake_http_open_at(server, loop, 0);
}

/* Connections are refused from here on, those that are open are reset. */
static inline void
fake_http_stop(struct fake_http *server)
{
	if (server->listener)
		evconnlistener_free(server->listener);
	server->listener = NULL;
	while (server->open > 0)
		fake_http_close(server, server->all[0]);
}

/* Real time, also while a test has set the clock. */
static inline uint64_t
real_us(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * SECOND_US + (uint64_t)t.tv_nsec / 1000;
}

static inline void
fake_http_tick(void *context)
{
}

/* Turn the loop until *is_done (NULL: never) or for so long. Returns whether it became true. */
static inline bool
turn_until(struct loop *loop, bool (*is_done)(void), uint64_t limit_us)
{
	struct timer *waker = timer_every(loop, 5 * MILLISECOND_US, fake_http_tick, NULL);
	uint64_t end_us = real_us() + limit_us;
	while (!(is_done && is_done()) && real_us() < end_us)
		loop_turn(loop, true);
	timer_free(waker);
	return is_done && is_done();
}

#endif
