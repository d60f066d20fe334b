/* net/resolve.c - names to addresses; see the header. */
#include "net/resolve.h"

#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#include <arpa/inet.h>
#include <event2/dns.h>
#include <event2/event.h>
#include <event2/util.h>
#include <uthash.h>

#include "base/clock.h"
#include "base/heap.h"
#include "base/must.h"

/* What is known of one name; kept until it is out of date and asked for again. */
struct name {
	UT_hash_handle hh;
	char *text;
	struct resolver *resolver;
	struct resolved answer; /* ports are 0 */
	uint64_t good_until_us;
	bool is_asking;
	struct list waiting; /* of struct resolve_request */
};

struct resolver {
	struct loop *loop;
	struct evdns_base *dns; /* made when first needed */
	struct name *names;
	uint64_t ttl_us, failure_ttl_us;
};

struct resolve_request {
	struct node node;
	uint16_t port;
	resolve_fn *fn;
	void *context;
};

struct resolver *
resolver_new(struct loop *loop, uint64_t ttl_us, uint64_t failure_ttl_us)
{
	struct resolver *r = heap_alloc(sizeof(*r));
	*r = (struct resolver){ .loop = loop, .ttl_us = ttl_us, .failure_ttl_us = failure_ttl_us };
	return r;
}

void
resolver_tune(struct resolver *r, uint64_t ttl_us, uint64_t failure_ttl_us)
{
	r->ttl_us = ttl_us;
	r->failure_ttl_us = failure_ttl_us;
}

void
resolver_free(struct resolver *r)
{
	if (r == NULL)
		return;
	if (r->dns)
		evdns_base_free(r->dns, 0);
	struct name *name, *after;
	HASH_ITER(hh, r->names, name, after)
	{
		HASH_DEL(r->names, name);
		list_each(&name->waiting, n, next)
		{
			node_remove(n);
			heap_free(node_owner(n, struct resolve_request, node));
		}
		heap_free(name->text);
		heap_free(name);
	}
	heap_free(r);
}

static void
set_port(struct sockaddr_storage *a, uint16_t port)
{
	if (a->ss_family == AF_INET)
		((struct sockaddr_in *)(void *)a)->sin_port = htons(port);
	else if (a->ss_family == AF_INET6)
		((struct sockaddr_in6 *)(void *)a)->sin6_port = htons(port);
}

static void
answer_with(const struct resolved *known, uint16_t port, resolve_fn *fn, void *context)
{
	struct resolved answer = *known;
	for (unsigned i = 0; i < answer.count; i++)
		set_port(&answer.at[i].address, port);
	fn(context, &answer);
}

bool
resolve_unix(const char *host, uint16_t port, struct sockaddr_storage *out, socklen_t *bytes)
{
	struct sockaddr_un *a = (struct sockaddr_un *)(void *)out;
	memset(out, 0, sizeof(*out));
	a->sun_family = AF_UNIX;
	int n = snprintf(a->sun_path, sizeof(a->sun_path), "%s/.s.PGSQL.%u", host, port);
	if (n < 0 || (size_t)n >= sizeof(a->sun_path))
		return false;
	*bytes = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)n + 1);
	if (host[0] == '@') {
		a->sun_path[0] = '\0';
		(*bytes)--;
	}
	return true;
}

static bool
resolve_number(const char *host, struct resolved *out)
{
	memset(&out->at[0], 0, sizeof(out->at[0]));
	struct sockaddr_in *in4 = (struct sockaddr_in *)(void *)&out->at[0].address;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)(void *)&out->at[0].address;
	if (inet_pton(AF_INET, host, &in4->sin_addr) == 1) {
		in4->sin_family = AF_INET;
		out->at[0].bytes = sizeof(*in4);
	} else if (inet_pton(AF_INET6, host, &in6->sin6_addr) == 1) {
		in6->sin6_family = AF_INET6;
		out->at[0].bytes = sizeof(*in6);
	} else {
		return false;
	}
	out->count = 1;
	out->error = NULL;
	return true;
}

static void
name_on_answer(int error, struct evutil_addrinfo *list, void *context)
{
	struct name *name = context;
	if (error == EVUTIL_EAI_CANCEL)
		return; /* the resolver is being freed */
	loop_enter(name->resolver->loop);
	name->is_asking = false;
	name->answer = (struct resolved){ 0 };
	for (struct evutil_addrinfo *a = list; a && name->answer.count < RESOLVE_ADDRESSES_MAX; a = a->ai_next) {
		memcpy(&name->answer.at[name->answer.count].address, a->ai_addr, a->ai_addrlen);
		name->answer.at[name->answer.count++].bytes = (socklen_t)a->ai_addrlen;
	}
	if (list)
		evutil_freeaddrinfo(list);
	if (name->answer.count == 0)
		name->answer.error = error ? evutil_gai_strerror(error) : "name has no address";
	name->good_until_us =
		clock_now_us() + (name->answer.count ? name->resolver->ttl_us : name->resolver->failure_ttl_us);
	struct node *n;
	while ((n = list_first(&name->waiting)) != NULL) {
		struct resolve_request *q = node_owner(n, struct resolve_request, node);
		node_remove(n);
		answer_with(&name->answer, q->port, q->fn, q->context);
		heap_free(q);
	}
	loop_flush(name->resolver->loop);
}

static struct name *
name_get(struct resolver *r, const char *host)
{
	struct name *name;
	HASH_FIND_STR(r->names, host, name);
	if (name == NULL) {
		name = heap_alloc(sizeof(*name));
		name->text = heap_string(host);
		name->resolver = r;
		list_init(&name->waiting);
		HASH_ADD_KEYPTR(hh, r->names, name->text, strlen(name->text), name);
	}
	return name;
}

/* Without a usable /etc/resolv.conf libevent makes none at all; as libc does we have /etc/hosts then, and this machine. */
static struct evdns_base *
open_dns(struct event_base *base)
{
	struct evdns_base *dns = evdns_base_new(base, EVDNS_BASE_INITIALIZE_NAMESERVERS | EVDNS_BASE_DISABLE_WHEN_INACTIVE);
	if (dns)
		return dns;
	dns = evdns_base_new(base, EVDNS_BASE_DISABLE_WHEN_INACTIVE);
	must(dns != NULL);
	evdns_base_load_hosts(dns, "/etc/hosts");
	evdns_base_nameserver_ip_add(dns, "127.0.0.1");
	return dns;
}

struct resolve_request *
resolve_name(struct resolver *r, const char *host, uint16_t port, resolve_fn *fn, void *context)
{
	struct resolved direct = { 0 };
	if (host[0] == '/' || host[0] == '@') {
		if (resolve_unix(host, port, &direct.at[0].address, &direct.at[0].bytes))
			direct.count = 1;
		else
			direct.error = "Unix socket path is too long";
		fn(context, &direct);
		return NULL;
	}
	if (resolve_number(host, &direct)) {
		answer_with(&direct, port, fn, context);
		return NULL;
	}
	struct name *name = name_get(r, host);
	if (!name->is_asking && name->good_until_us > clock_now_us()) {
		answer_with(&name->answer, port, fn, context);
		return NULL;
	}
	struct resolve_request *q = heap_alloc(sizeof(*q));
	*q = (struct resolve_request){ .port = port, .fn = fn, .context = context };
	list_append(&name->waiting, &q->node);
	if (name->is_asking)
		return q;
	if (r->dns == NULL)
		r->dns = open_dns(r->loop->base);
	name->is_asking = true;
	struct evutil_addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = EVUTIL_AI_ADDRCONFIG };
	/* /etc/hosts is answered before the return; then q is gone. */
	return evdns_getaddrinfo(r->dns, host, NULL, &hints, name_on_answer, name) ? q : NULL;
}

void
resolve_cancel(struct resolve_request *q)
{
	if (q == NULL)
		return;
	node_remove(&q->node);
	heap_free(q);
}

bool
resolver_next(const struct resolver *r, const void **at, struct remembered_name *out)
{
	const struct name *name = *at ? ((const struct name *)*at)->hh.next : r->names;
	if (name == NULL)
		return false;
	*at = name;
	*out = (struct remembered_name){
		.host = name->text,
		.answer = &name->answer,
		.good_until_us = name->good_until_us,
		.is_asking = name->is_asking,
	};
	return true;
}
