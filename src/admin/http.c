/* admin/http.c - HTTP on the proxy's loop; see the header. */
#include "admin/http.h"

#include <event2/event.h>
#include <event2/http.h>

#include "base/heap.h"
#include "session/proxy.h"

struct http {
	struct proxy  *proxy;
	struct evhttp *server;
};

static void
on_request(struct evhttp_request *request, void *context)
{
	struct http *h = context;
	loop_enter(h->proxy->loop);
	if (strcmp(evhttp_request_get_uri(request), "/health/liveness") == 0)
		evhttp_send_reply(request, 200, "OK", NULL);
	else
		evhttp_send_reply(request, 404, "Not Found", NULL);
	loop_flush(h->proxy->loop);
}

struct http *
http_open(struct proxy *x, struct text *why)
{
	const struct settings *set = &x->config->settings;
	struct http *h = heap_alloc(sizeof(*h));
	h->proxy = x;
	h->server = evhttp_new(x->loop->base);
	must(h->server != NULL);
	evhttp_set_gencb(h->server, on_request, h);
	const char *at = set->http_addr;
	struct view item;
	while (config_list_next(&at, &item)) {
		char *address = heap_string_n(item.p, item.n);
		bool ok = evhttp_bind_socket(h->server, strcmp(address, "*") == 0 ? "0.0.0.0" : address,
		                             (uint16_t)set->http_port) == 0;
		if (!ok)
			text_addf(why, "http_addr %s, http_port %d: can't listen there", address, set->http_port);
		heap_free(address);
		if (!ok) {
			http_close(h);
			return NULL;
		}
	}
	return h;
}

void
http_close(struct http *h)
{
	if (h == NULL)
		return;
	evhttp_free(h->server);
	heap_free(h);
}
