/*
 * admin/http.c - HTTP on the proxy's loop, by libevent's evhttp; see the header.
 *
 *   accept ─► http_on_connect (counted) ─► evhttp reads ─► on_request ─► places ─► evhttp writes ─► closed, uncounted
 *
 * evhttp's own time limit starts again with every byte, and it has no limit for the number of connections: a visitor
 * here is its connection seen from outside. We hold a second reference to its bufferevent, so that the descriptor stays
 * ours to shut down when its time is over, and is closed when both have let go.
 * Invariant: visitors holds one entry per reference held; while it is full nobody is accepted.
 */
#include "admin/http.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/listener.h>

#include "admin/health.h"
#include "admin/http_hold.h"
#include "admin/metrics.h"
#include "admin/page.h"
#include "base/clock.h"
#include "base/heap.h"
#include "base/log.h"
#include "session/proxy.h"

enum {
	VISITORS_MAX = 256,       /* connections at once; more wait in the kernel's queue */
	LISTENERS_MAX = 16,
	HEADERS_MAX = 8 * 1024,   /* bytes */
	BODY_MAX = 4 * 1024,      /* bytes; nothing here reads it */
	IDLE_SECONDS = 5,         /* between two bytes */
	VISIT_MAX_US = 10 * 1000 * 1000, /* for everything */
	CROWDED = VISITORS_MAX / 2,
	VISIT_CROWDED_US = 1000 * 1000,  /* when there are more than that: health checks wait behind them */
};

struct visitor {
	struct node         node; /* in http->visitors */
	struct bufferevent *stream; /* a reference */
	uint64_t            since_us;
};

struct http {
	struct proxy          *proxy;
	struct evhttp         *server;
	struct evconnlistener *listeners[LISTENERS_MAX]; /* the server's */
	unsigned               listener_count;
	struct list            visitors;
	struct timer          *every_second; /* set while there are visitors */
	struct timer          *pause;        /* after running out of descriptors */
};

/* ---- what there is ---- */

static int
write_liveness(struct proxy *x, struct buf *out)
{
	buf_addf(out, "alive\n"); /* that this runs at all is the answer */
	return 200;
}

static int
write_readiness(struct proxy *x, struct buf *out)
{
	return health_is_ready(x, out) ? 200 : 503;
}

static int
write_startup(struct proxy *x, struct buf *out)
{
	return health_is_started(x, out) ? 200 : 503;
}

static int
write_metrics(struct proxy *x, struct buf *out)
{
	metrics_write(x, out);
	return 200;
}

static int
write_page(struct proxy *x, struct buf *out)
{
	page_write(x, out);
	return 200;
}

#define PLAIN "text/plain; charset=utf-8"

static const struct place {
	const char *path;
	const char *content_type;
	int (*write)(struct proxy *x, struct buf *out); /* the status */
} places[] = {
	{ "/", PAGE_CONTENT_TYPE, write_page },
	{ "/metrics", METRICS_CONTENT_TYPE, write_metrics },
	{ "/health/liveness", PLAIN, write_liveness },
	{ "/health/readiness", PLAIN, write_readiness },
	{ "/health/startup", PLAIN, write_startup },
};

static const struct place *
find_place(const char *path)
{
	for (size_t i = 0; path && i < sizeof(places) / sizeof(places[0]); i++)
		if (strcmp(places[i].path, path) == 0)
			return &places[i];
	return NULL;
}

/* ---- visitors ---- */

static void
listen_again(struct http *h, bool on)
{
	for (unsigned i = 0; i < h->listener_count; i++) {
		if (on)
			evconnlistener_enable(h->listeners[i]);
		else
			evconnlistener_disable(h->listeners[i]);
	}
}

static void
visitor_drop(struct http *h, struct visitor *v)
{
	if (h->visitors.count == VISITORS_MAX && !timer_is_set(h->pause))
		listen_again(h, true);
	node_remove(&v->node);
	bufferevent_decref(v->stream);
	heap_free(v);
}

/* evhttp disables a bufferevent when it is done with it, and only then. */
static bool
has_left(const struct visitor *v)
{
	return bufferevent_get_enabled(v->stream) == 0;
}

static void
on_second(void *context)
{
	struct http *h = context;
	uint64_t limit_us = h->visitors.count > CROWDED ? VISIT_CROWDED_US : VISIT_MAX_US;
	list_each(&h->visitors, n, after)
	{
		struct visitor *v = node_owner(n, struct visitor, node);
		bool is_over = clock_now_us() - v->since_us > limit_us;
		if (is_over && !has_left(v))
			shutdown(bufferevent_getfd(v->stream), SHUT_RDWR); /* evhttp reads its end and lets go */
		if (is_over || has_left(v))
			visitor_drop(h, v);
	}
	if (!list_is_empty(&h->visitors))
		timer_set(h->every_second, SECOND_US);
}

/* evhttp asks for a bufferevent for a connection it has accepted. */
static struct bufferevent *
http_on_connect(struct event_base *base, void *context)
{
	struct http *h = context;
	struct bufferevent *stream = bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE);
	if (stream == NULL)
		return NULL;
	struct visitor *v = heap_alloc(sizeof(*v));
	v->stream = stream;
	v->since_us = clock_now_us();
	bufferevent_incref(stream);
	list_append(&h->visitors, &v->node);
	if (h->visitors.count == VISITORS_MAX)
		listen_again(h, false);
	if (!timer_is_set(h->every_second))
		timer_set(h->every_second, SECOND_US);
	return stream;
}

static void
on_complete(struct evhttp_request *request, void *context)
{
	struct http *h = context;
	struct evhttp_connection *connection = evhttp_request_get_connection(request);
	struct bufferevent *stream = connection ? evhttp_connection_get_bufferevent(connection) : NULL;
	list_each(&h->visitors, n, after)
	{
		struct visitor *v = node_owner(n, struct visitor, node);
		if (v->stream == stream) {
			visitor_drop(h, v);
			return;
		}
	}
}

/* Out of descriptors, most likely. Asking again at once would only find the same. */
static void
on_accept_error(struct evconnlistener *listener, void *context)
{
	struct http *h = context;
	log_error("http", "can't accept: %s", strerror(errno));
	listen_again(h, false);
	timer_set(h->pause, SECOND_US);
}

static void
on_pause_over(void *context)
{
	struct http *h = context;
	if (h->visitors.count < VISITORS_MAX)
		listen_again(h, true);
}

/* ---- requests ---- */

static const char *
reason_of(int status)
{
	switch (status) {
	case 200:
		return "OK";
	case 400:
		return "Bad Request";
	case 401:
		return "Unauthorized";
	case 403:
		return "Forbidden";
	case 404:
		return "Not Found";
	case 405:
		return "Method Not Allowed";
	default:
		return "Service Unavailable";
	}
}

static void
send_answer(struct evhttp_request *request, int status, const char *content_type, const struct buf *body)
{
	struct evkeyvalq *headers = evhttp_request_get_output_headers(request);
	struct evbuffer *out = evbuffer_new();
	evhttp_add_header(headers, "Content-Type", content_type);
	evhttp_add_header(headers, "Cache-Control", "no-store");
	evhttp_add_header(headers, "X-Content-Type-Options", "nosniff");
	evhttp_add_header(headers, "Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'");
	evhttp_add_header(headers, "Connection", "close");
	if (status == 401)
		evhttp_add_header(headers, "WWW-Authenticate", "Bearer");
	if (status == 405)
		evhttp_add_header(headers, "Allow", "GET, HEAD");
	if (out)
		evbuffer_add(out, body->p, body->n);
	evhttp_send_reply(request, status, reason_of(status), out);
	if (out)
		evbuffer_free(out);
}

static void
on_request(struct evhttp_request *request, void *context)
{
	struct http *h = context;
	evhttp_request_set_on_complete_cb(request, on_complete, h);
	const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(request);
	const struct place *place = find_place(uri ? evhttp_uri_get_path(uri) : NULL);
	enum evhttp_cmd_type method = evhttp_request_get_command(request);
	struct buf body = { 0 };
	if (method == EVHTTP_REQ_POST && uri && http_hold_has(evhttp_uri_get_path(uri))) {
		const char *who = evhttp_find_header(evhttp_request_get_input_headers(request), "Authorization");
		int status = http_hold(h->proxy, evhttp_uri_get_path(uri), evhttp_uri_get_query(uri), who, &body);
		send_answer(request, status, PLAIN, &body);
	} else if (place == NULL) {
		buf_addf(&body, "no such page\n");
		send_answer(request, 404, PLAIN, &body);
	} else if (method != EVHTTP_REQ_GET && method != EVHTTP_REQ_HEAD) {
		buf_addf(&body, "only GET and HEAD here\n");
		send_answer(request, 405, PLAIN, &body);
	} else {
		int status = place->write(h->proxy, &body);
		send_answer(request, status, place->content_type, &body);
	}
	buf_free(&body);
	loop_flush(h->proxy->loop);
}

/* ---- open and close ---- */

static bool
serve(struct http *h, struct evhttp_bound_socket *bound)
{
	if (bound == NULL)
		return false;
	struct evconnlistener *listener = evhttp_bound_socket_get_listener(bound);
	evconnlistener_set_error_cb(listener, on_accept_error);
	h->listeners[h->listener_count++] = listener;
	return true;
}

static bool
listen_at(struct http *h, const char *address, uint16_t port)
{
	return h->listener_count < LISTENERS_MAX && serve(h, evhttp_bind_socket_with_handle(h->server, address, port));
}

static bool
serve_all(struct http *h, const int *sockets, int count, struct text *why)
{
	for (int i = 0; i < count; i++)
		if (h->listener_count == LISTENERS_MAX || !serve(h, evhttp_accept_socket_with_handle(h->server, sockets[i]))) {
			text_addf(why, "can't serve HTTP on socket %d, which was passed to us", sockets[i]);
			return false;
		}
	return true;
}

/* "*": where IPv6 sockets take IPv4 too, the first is enough and the second fails. */
static bool
listen_everywhere(struct http *h, uint16_t port)
{
	bool is_open = listen_at(h, "::", port);
	return listen_at(h, "0.0.0.0", port) || is_open;
}

static bool
listen_at_all(struct http *h, struct text *why)
{
	const struct settings *set = &h->proxy->config->settings;
	uint16_t port = (uint16_t)set->http_port;
	const char *at = set->http_addr;
	struct view item;
	while (config_list_next(&at, &item)) {
		char *address = heap_string_n(item.p, item.n);
		bool ok = strcmp(address, "*") == 0 ? listen_everywhere(h, port) : listen_at(h, address, port);
		if (!ok)
			text_addf(why, "can't listen for HTTP on %s port %u: %s", address, port, strerror(errno));
		heap_free(address);
		if (!ok)
			return false;
	}
	return true;
}

struct http *
http_open(struct proxy *x, const int *sockets, int count, struct text *why)
{
	struct http *h = heap_alloc(sizeof(*h));
	h->proxy = x;
	list_init(&h->visitors);
	h->every_second = timer_new(x->loop, on_second, h);
	h->pause = timer_new(x->loop, on_pause_over, h);
	h->server = evhttp_new(x->loop->base);
	must(h->server != NULL);
	evhttp_set_max_headers_size(h->server, HEADERS_MAX);
	evhttp_set_max_body_size(h->server, BODY_MAX);
	evhttp_set_timeout(h->server, IDLE_SECONDS);
	/* All of them: those that are not ours are told so by us, with 405. */
	evhttp_set_allowed_methods(h->server, EVHTTP_REQ_GET | EVHTTP_REQ_HEAD | EVHTTP_REQ_POST | EVHTTP_REQ_PUT |
	                                              EVHTTP_REQ_DELETE | EVHTTP_REQ_OPTIONS | EVHTTP_REQ_TRACE |
	                                              EVHTTP_REQ_CONNECT | EVHTTP_REQ_PATCH);
	evhttp_set_bevcb(h->server, http_on_connect, h);
	evhttp_set_gencb(h->server, on_request, h);
	if (count > 0 ? serve_all(h, sockets, count, why) : listen_at_all(h, why))
		return h;
	http_close(h);
	return NULL;
}

void
http_close(struct http *h)
{
	if (h == NULL)
		return;
	evhttp_free(h->server); /* connections and listeners with it */
	h->listener_count = 0;
	list_each(&h->visitors, n, after)
		visitor_drop(h, node_owner(n, struct visitor, node));
	timer_free(h->every_second);
	timer_free(h->pause);
	heap_free(h);
}
