/*
 * net/dns.c - lookups by c-ares, driven by the events of our loop; see the header.
 *
 *   dns_ask ─► lookup_begin ─► ares_getaddrinfo ─► want_socket (fd, read/write)
 *     on_socket, on_timer ─► ares_process_fd ─► on_answer: into d->ended ─► tell_ended ─► done()
 *
 * c-ares calls back from within any of its functions. So its callbacks only note things, and done() is called when c-ares
 * is left: a name asked for then finds c-ares at rest.
 * Owns: the channel, the events of its sockets, each lookup until it is told of.
 * Source: c-ares 1.18, ares_init_options(3), ares_getaddrinfo(3), ares_process(3), ares_destroy(3).
 */
#include "net/dns.h"

#include <ares.h>
#include <event2/util.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/heap.h"
#include "base/log.h"
#include "base/must.h"
#include "net/address.h"

enum {
	PATIENCE_MS = 1000, /* with a server in the first round; doubled in the second */
	ROUNDS = 2,
	PORTS_MAX = 8, /* name servers, where one has a port */
};

struct dns {
	struct loop *loop;
	char *conf_path;
	ares_channel channel; /* NULL until it is needed */
	struct timer *timer;
	struct list sockets; /* of struct dns_socket */
	struct list running; /* lookups that c-ares has */
	struct list ended;   /* lookups to be told of */
	bool is_renewing;    /* the channel goes, its lookups stay */
};

struct dns_socket {
	struct node node;
	struct watched watched;
	struct dns *dns;
	int fd;
};

struct lookup {
	struct node node; /* in dns->running or dns->ended */
	struct dns *dns;
	char *name;
	bool is_beginning; /* within ares_getaddrinfo() */
	bool is_absolute;  /* asked for with a dot at its end */
	bool is_from_file;
	int status;
	struct ares_addrinfo *found; /* owned */
	dns_done_fn *done;
	void *context;
};

/* ---- what c-ares wants of the loop ---- */

static void call_cares(struct dns *d, ares_socket_t readable, ares_socket_t writable);

static void
on_socket(struct watched *w, uint32_t events)
{
	struct dns_socket *s = node_owner(w, struct dns_socket, watched); /* c-ares may have it freed */
	struct loop *loop = s->dns->loop;
	bool is_broken = (events & (EPOLLERR | EPOLLHUP)) != 0;
	call_cares(s->dns, is_broken || (events & EPOLLIN) ? s->fd : ARES_SOCKET_BAD,
	           is_broken || (events & EPOLLOUT) ? s->fd : ARES_SOCKET_BAD);
	loop_flush(loop);
}

static void
on_timer(void *context)
{
	call_cares(context, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
}

static struct dns_socket *
socket_find(const struct dns *d, int fd)
{
	list_each(&d->sockets, n, after)
	{
		struct dns_socket *s = node_owner(n, struct dns_socket, node);
		if (s->fd == fd)
			return s;
	}
	return NULL;
}

static void
want_socket(void *context, ares_socket_t fd, int readable, int writable)
{
	struct dns *d = context;
	struct dns_socket *s = socket_find(d, fd);
	if (!readable && !writable) { /* it is about to be closed */
		if (s) {
			loop_unwatch(d->loop, &s->watched);
			node_remove(&s->node);
			heap_free(s);
		}
		return;
	}
	if (s == NULL) {
		s = heap_alloc(sizeof(*s));
		s->dns = d;
		s->fd = fd;
		s->watched.on_ready = on_socket;
		list_append(&d->sockets, &s->node);
	}
	loop_watch(d->loop, &s->watched, fd, (readable ? EPOLLIN : 0u) | (writable ? EPOLLOUT : 0u));
}

static void
set_timer(struct dns *d)
{
	struct timeval tv;
	if (!list_is_empty(&d->ended))
		timer_set(d->timer, 0);
	else if (d->channel && ares_timeout(d->channel, NULL, &tv))
		timer_set(d->timer, (uint64_t)tv.tv_sec * SECOND_US + (uint64_t)tv.tv_usec);
	else
		timer_clear(d->timer);
}

/* ---- the channel ---- */

static bool
server_of(const char *text, struct ares_addr_port_node *out)
{
	struct sockaddr_storage a = { 0 };
	int room = sizeof(a);
	if (evutil_parse_sockaddr_port(text, (struct sockaddr *)&a, &room) != 0)
		return false;
	struct view bytes = address_bytes(&a);
	int port = address_port(&a);
	*out = (struct ares_addr_port_node){ .family = a.ss_family, .udp_port = port, .tcp_port = port };
	memcpy(&out->addr, bytes.p, bytes.n);
	return true;
}

/*
 * "nameserver 127.0.0.1:8600", "nameserver [::1]:8600": c-ares 1.18 passes over those with a port. Where there is one,
 * all servers are told to it once more.
 */
static void
tell_ports(struct dns *d)
{
	struct ares_addr_port_node server[PORTS_MAX];
	unsigned count = 0;
	bool has_port = false;
	char line[256], word[80];
	FILE *f = fopen(d->conf_path, "re");
	if (f == NULL)
		return;
	while (count < PORTS_MAX && fgets(line, sizeof(line), f))
		if (sscanf(line, " nameserver %79s", word) == 1 && server_of(word, &server[count])) {
			has_port |= server[count].udp_port != 0;
			if (count > 0)
				server[count - 1].next = &server[count];
			count++;
		}
	fclose(f);
	if (has_port)
		ares_set_servers_ports(d->channel, server);
}

static void
channel_open(struct dns *d)
{
	struct ares_options options = {
		.flags = ARES_FLAG_EDNS,
		.timeout = PATIENCE_MS,
		.tries = ROUNDS,
		.lookups = (char[]){ "fb" }, /* hosts, then name servers; nsswitch.conf is glibc's */
		.sock_state_cb = want_socket,
		.sock_state_cb_data = d,
		.resolvconf_path = d->conf_path,
	};
	int mask = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_LOOKUPS | ARES_OPT_SOCK_STATE_CB |
	           ARES_OPT_RESOLVCONF;
#ifdef ARES_OPT_QUERY_CACHE
	mask |= ARES_OPT_QUERY_CACHE; /* 0: what is remembered for how long is net/resolve's */
#endif
	int status = ares_library_init(ARES_LIB_INIT_ALL); /* counts how often */
	if (status == ARES_SUCCESS)
		status = ares_init_options(&d->channel, &options, mask);
	if (status != ARES_SUCCESS) {
		log_error("dns", "names can't be looked up: c-ares: %s", ares_strerror(status));
		d->channel = NULL;
		return;
	}
	tell_ports(d);
}

static void
channel_close(struct dns *d)
{
	d->is_renewing = true;
	if (d->channel)
		ares_destroy(d->channel);
	d->channel = NULL;
	d->is_renewing = false;
}

/* ---- lookups ---- */

static void
lookup_end(struct lookup *q, int status)
{
	q->status = status;
	node_remove(&q->node);
	list_append(&q->dns->ended, &q->node);
}

static void
on_answer(void *context, int status, int timeouts, struct ares_addrinfo *found)
{
	struct lookup *q = context;
	if (q->dns->is_renewing) { /* even if it is an answer: the other family's may be missing */
		ares_freeaddrinfo(found);
		return;
	}
	q->found = found;
	q->is_from_file = q->is_beginning; /* name servers take longer */
	lookup_end(q, status);
}

static void
lookup_begin(struct lookup *q)
{
	static const struct ares_addrinfo_hints hints = {
		.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = ARES_AI_NOSORT,
	};
	struct dns *d = q->dns;
	node_remove(&q->node);
	list_append(&d->running, &q->node);
	if (d->channel == NULL)
		channel_open(d);
	if (d->channel == NULL) {
		lookup_end(q, ARES_ENOTINITIALIZED);
		return;
	}
	q->is_beginning = true;
	ares_getaddrinfo(d->channel, q->name, NULL, &hints, on_answer, q);
	q->is_beginning = false;
}

static void
lookup_free(struct lookup *q)
{
	node_remove(&q->node);
	if (q->found)
		ares_freeaddrinfo(q->found);
	heap_free(q->name);
	heap_free(q);
}

/* ---- what came of them ---- */

static void
take_ttl(struct dns_report *r, int ttl)
{
	uint32_t ttl_s = ttl < 0 ? 0 : (uint32_t)ttl; /* RFC 2181, 8 */
	if (ttl_s < r->ttl_s)
		r->ttl_s = ttl_s;
}

static void
read_found(const struct ares_addrinfo *found, struct dns_report *r)
{
	r->ttl_s = UINT32_MAX;
	for (const struct ares_addrinfo_cname *alias = found->cnames; alias; alias = alias->next)
		take_ttl(r, alias->ttl);
	for (const struct ares_addrinfo_node *n = found->nodes; n; n = n->ai_next) {
		take_ttl(r, n->ai_ttl);
		if (r->count == DNS_ADDRESSES_MAX)
			r->is_partial = true;
		else if (n->ai_addrlen <= sizeof(r->address[0]))
			memcpy(&r->address[r->count++], n->ai_addr, n->ai_addrlen);
	}
}

static void
read_status(int status, struct dns_report *r)
{
	switch (status) {
	case ARES_ENOTFOUND:
		r->result = DNS_NO_NAME;
		r->why = "there is no such name";
		break;
	case ARES_ENODATA:
		r->result = DNS_NO_ADDRESS;
		r->why = "the name has no address";
		break;
	case ARES_EBADNAME:
		r->result = DNS_NO_NAME;
		r->why = "that can't be the name of a host";
		break;
	case ARES_ETIMEOUT:
		r->result = DNS_FAILED;
		r->why = "no name server answers";
		break;
	default:
		r->result = DNS_FAILED;
		r->why = "no name server can tell";
	}
}

/*
 * c-ares 1.18 makes "db.." of db and the domain "." of the search list (systemd-resolved writes it), and gives up, as if
 * the name were bad.
 */
static bool
is_to_ask_again(const struct lookup *q)
{
	size_t n = strlen(q->name);
	return q->status == ARES_EBADNAME && !q->is_absolute && n > 0 && q->name[n - 1] != '.';
}

static void
ask_as_absolute(struct lookup *q)
{
	size_t n = strlen(q->name);
	q->name = heap_resize(q->name, n + 2);
	memcpy(q->name + n, ".", 2);
	q->is_absolute = true;
	lookup_begin(q);
}

static void
tell_ended(struct dns *d)
{
	struct node *n;
	while ((n = list_first(&d->ended)) != NULL) {
		struct lookup *q = node_owner(n, struct lookup, node);
		node_remove(n);
		if (is_to_ask_again(q)) {
			ask_as_absolute(q);
			continue;
		}
		struct dns_report report = { .is_from_file = q->is_from_file };
		if (q->status == ARES_SUCCESS && q->found && q->found->nodes)
			read_found(q->found, &report);
		else
			read_status(q->status == ARES_SUCCESS ? ARES_ENODATA : q->status, &report);
		dns_done_fn *done = q->done;
		void *context = q->context;
		lookup_free(q);
		done(context, &report);
	}
}

static void
call_cares(struct dns *d, ares_socket_t readable, ares_socket_t writable)
{
	if (d->channel)
		ares_process_fd(d->channel, readable, writable);
	tell_ended(d);
	set_timer(d);
}

/* ---- the module's door ---- */

struct dns *
dns_new(struct loop *loop)
{
	struct dns *d = heap_alloc(sizeof(*d));
	d->loop = loop;
	d->timer = timer_new(loop, on_timer, d);
	list_init(&d->sockets);
	list_init(&d->running);
	list_init(&d->ended);
	return d;
}

void
dns_free(struct dns *d)
{
	if (d == NULL)
		return;
	channel_close(d);
	struct list *lists[] = { &d->running, &d->ended };
	for (int i = 0; i < 2; i++) {
		struct node *n;
		while ((n = list_first(lists[i])) != NULL)
			lookup_free(node_owner(n, struct lookup, node));
	}
	timer_free(d->timer);
	heap_free(d->conf_path);
	heap_free(d);
}

void
dns_configure(struct dns *d, const char *path)
{
	char *kept = heap_string(path);
	heap_free(d->conf_path);
	d->conf_path = kept;
	channel_close(d);
	struct list again;
	list_init(&again);
	struct node *n;
	while ((n = list_first(&d->running)) != NULL) {
		node_remove(n);
		list_append(&again, n);
	}
	while ((n = list_first(&again)) != NULL)
		lookup_begin(node_owner(n, struct lookup, node));
	set_timer(d);
}

void
dns_ask(struct dns *d, const char *name, dns_done_fn *done, void *context)
{
	struct lookup *q = heap_alloc(sizeof(*q));
	*q = (struct lookup){ .dns = d, .name = heap_string(name), .done = done, .context = context };
	lookup_begin(q);
	set_timer(d);
}
