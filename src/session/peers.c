/*
 * session/peers.c - passes cancel requests on to other processes on the same port; see the header.
 *
 * Owns: the connections to peers. Never: judges a key; only the process that gave it away can.
 * A peer that is down costs its requesters their request, and the log one line until it answers again.
 * Source: PgBouncer 1.25.2, section [peers]; the limits are its, what travels is ours (session/cancel_key.h).
 */
#include "session/peers.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/heap.h"
#include "base/log.h"
#include "session/cancel_key.h"
#include "session/client_login.h"
#include "wire/request.h"

struct peer_pool {
	struct node node; /* in proxy->peers */
	struct proxy *proxy;
	int id;
	struct list waiting, active; /* struct passing, in order of arrival */
	bool is_starting; /* start_waiting() runs */
	bool is_down;     /* the last one failed, and that was logged */
};

struct passing {
	struct stream stream;
	struct node node;   /* in its peer's lists, then in proxy->closed_passings */
	struct peer_pool *peer;
	struct client *from; /* who waits for it, and from->login->passing is this; NULL: has left */
	struct buf request;
	uint64_t since_us;
	char *host;         /* from here on: since it is active */
	struct resolve_request *resolving;
	struct resolved *addresses;
	unsigned next_address;
	bool asks_tls;      /* SSLRequest is not answered yet */
	bool is_sent, is_done;
};

static void start_waiting(struct peer_pool *p);

static struct peer_pool *
find_pool(const struct proxy *x, int id)
{
	list_each(&x->peers, n, after)
	{
		struct peer_pool *p = node_owner(n, struct peer_pool, node);
		if (p->id == id)
			return p;
	}
	return NULL;
}

static struct peer_pool *
get_pool(struct proxy *x, int id)
{
	struct peer_pool *p = find_pool(x, id);
	if (p)
		return p;
	p = heap_alloc(sizeof(*p));
	*p = (struct peer_pool){ .proxy = x, .id = id };
	list_init(&p->waiting);
	list_init(&p->active);
	list_append(&x->peers, &p->node);
	return p;
}

uint32_t
peer_pool_size(const struct proxy *x, const struct peer_config *p)
{
	return (uint32_t)(p->pool_size >= 0 ? p->pool_size : x->config->settings.default_pool_size);
}

/* ---- the end of one ---- */

static void
passing_finish(struct passing *k)
{
	if (k->is_done)
		return;
	struct peer_pool *p = k->peer;
	k->is_done = true;
	resolve_cancel(k->resolving);
	k->resolving = NULL;
	stream_close(&k->stream);
	node_remove(&k->node);
	list_append(&p->proxy->closed_passings, &k->node);
	struct client *from = k->from;
	k->from = NULL;
	if (from) {
		from->login->passing = NULL;
		client_close(from, FAULT_BY_CLIENT, "cancel request was passed on");
	}
	start_waiting(p);
}

static void
passing_fail(struct passing *k, const char *why)
{
	struct peer_pool *p = k->peer;
	const struct peer_config *config = config_peer(p->proxy->config, p->id);
	if (k->is_done)
		return;
	p->proxy->counters.cancels_lost++;
	if (!p->is_down)
		log_warning("peers", "a cancel request could not be passed on to peer %d at %s port %d: %s", p->id,
		            config ? config->host : "?", config ? config->port : 0, why);
	p->is_down = true;
	passing_finish(k);
}

/* ---- connecting ---- */

static void
send_request(struct passing *k)
{
	struct peer_pool *p = k->peer;
	k->asks_tls = false;
	k->is_sent = true;
	stream_put(&k->stream, buf_view(&k->request));
	p->proxy->counters.cancels_passed_on++;
	if (p->is_down)
		log_info("peers", "peer %d at %s answers again", p->id, k->host);
	p->is_down = false;
}

static void
passing_on_open(void *owner)
{
	struct passing *k = owner;
	const struct proxy *x = k->peer->proxy;
	bool is_unix = k->host[0] == '/' || k->host[0] == '@';
	if (k->stream.ssl || is_unix || x->config->settings.server_tls_sslmode == SSLMODE_DISABLE) {
		send_request(k);
		return;
	}
	struct buf b = { 0 };
	request_ssl(&b);
	stream_put(&k->stream, buf_view(&b));
	buf_free(&b);
	k->asks_tls = true;
}

static size_t
passing_on_data(void *owner, struct view in)
{
	struct passing *k = owner;
	const struct proxy *x = k->peer->proxy;
	if (!k->asks_tls)
		return in.n; /* nothing is said here; the end of the stream is the answer */
	k->asks_tls = false;
	bool is_answer = in.n == 1 && (in.p[0] == 'S' || in.p[0] == 'N');
	if (!is_answer)
		passing_fail(k, "it answered an SSLRequest with something else");
	else if (in.p[0] == 'N' && x->config->settings.server_tls_sslmode >= SSLMODE_REQUIRE)
		passing_fail(k, "it does not offer TLS, and server_tls_sslmode demands it");
	else if (in.p[0] == 'N')
		send_request(k);
	else if (x->access.tls_servers == NULL || /* a reload, meanwhile */
	         !stream_start_tls_client(&k->stream, x->access.tls_servers, k->host,
	                                  access_checks(x->config->settings.server_tls_sslmode), false))
		passing_fail(k, "TLS could not be started");
	return in.n;
}

static void passing_on_end(void *owner, enum stream_end why, const char *text);

static void
passing_on_flow(void *owner)
{
}

static const struct stream_ops passing_ops = {
	.on_open = passing_on_open,
	.on_data = passing_on_data,
	.on_end = passing_on_end,
	.on_blocked = passing_on_flow,
	.on_drained = passing_on_flow,
};

static void
connect_next(struct passing *k, const char *why_not)
{
	while (k->next_address < k->addresses->count) {
		unsigned i = k->next_address++;
		if (stream_connect(&k->stream, k->peer->proxy->loop, (const struct sockaddr *)&k->addresses->at[i].address,
		                   k->addresses->at[i].bytes, &passing_ops, k))
			return;
		k->stream.fd = -1;
		why_not = strerror(errno);
	}
	passing_fail(k, why_not);
}

static void
passing_on_end(void *owner, enum stream_end why, const char *text)
{
	struct passing *k = owner;
	if (why == STREAM_END_REFUSED) {
		stream_close(&k->stream);
		connect_next(k, text);
	} else if (!k->is_sent) {
		passing_fail(k, text);
	} else {
		passing_finish(k);
	}
}

static void
passing_on_address(void *context, const struct resolved *answer)
{
	struct passing *k = context;
	k->resolving = NULL;
	k->addresses = heap_alloc(sizeof(*k->addresses));
	*k->addresses = *answer;
	connect_next(k, answer->error ? answer->error : "name has no address");
}

static void
passing_begin(struct passing *k)
{
	struct peer_pool *p = k->peer;
	struct proxy *x = p->proxy;
	const struct peer_config *config = config_peer(x->config, p->id);
	if (k->from)
		client_enter(k->from, CLIENT_CANCELLING, "its request is passed on");
	if (config == NULL) {
		passing_fail(k, "a reload removed it");
		return;
	}
	k->host = heap_string(config->host);
	struct resolve_request *q = resolve_name(x->resolver, config->host, (uint16_t)config->port, passing_on_address, k);
	if (q && !k->is_done && k->addresses == NULL) /* the answer may have come before the return */
		k->resolving = q;
}

/* Whose turn has come. What ends at once while it is begun comes back here, and finds that it need not. */
static void
start_waiting(struct peer_pool *p)
{
	if (p->is_starting)
		return;
	p->is_starting = true;
	const struct peer_config *config = config_peer(p->proxy->config, p->id);
	uint32_t size = config ? peer_pool_size(p->proxy, config) : 0; /* removed: all of them fail */
	struct node *n;
	while ((size == 0 || p->active.count < size) && (n = list_first(&p->waiting)) != NULL) {
		node_remove(n);
		list_append(&p->active, n);
		passing_begin(node_owner(n, struct passing, node));
	}
	p->is_starting = false;
}

/* ---- for cancel.c and the turn ---- */

bool
peers_pass_on(struct client *from, uint32_t pid, struct view key, uint32_t hops)
{
	struct proxy *x = from->proxy;
	const struct settings *set = &x->config->settings;
	int id = cancel_pid_peer(pid);
	if (set->peer_id == 0 || id == 0 || id == set->peer_id || config_peer(x->config, id) == NULL)
		return false;
	if (hops >= CANCEL_HOPS_MAX) {
		log_warning("peers", "a cancel request for peer %d was passed on %u times and has not arrived: "
		            "do host and port in [peers] lead to the process with that peer_id?", id, hops);
		return false;
	}
	struct peer_pool *p = get_pool(x, id);
	if (p->waiting.count >= (uint32_t)set->max_client_conn) {
		x->counters.cancels_lost++;
		return false;
	}
	struct passing *k = heap_alloc(sizeof(*k));
	*k = (struct passing){ .peer = p, .from = from, .since_us = clock_now_us(), .stream.fd = -1 };
	struct buf longer = { 0 };
	buf_add(&longer, key);
	cancel_key_add_hops(&longer, hops + 1);
	request_cancel(&k->request, pid, buf_view(&longer));
	buf_free(&longer);
	list_append(&p->waiting, &k->node);
	from->login->passing = k;
	client_enter(from, CLIENT_CANCEL_WAITING, "cancel request for a client of a peer");
	start_waiting(p);
	return true;
}

/* Drivers that send a request and leave at once mean it no less. */
void
peers_forget_client(struct client *c)
{
	if (c->login == NULL || c->login->passing == NULL)
		return;
	c->login->passing->from = NULL;
	c->login->passing = NULL;
}

/* The oldest, if it has waited too long. */
static struct passing *
find_late(const struct list *l, uint64_t limit)
{
	struct node *n = list_first(l);
	struct passing *k = n ? node_owner(n, struct passing, node) : NULL;
	return k && clock_now_us() - k->since_us > limit ? k : NULL;
}

void
peers_on_second(struct proxy *x)
{
	uint64_t limit = x->config->settings.cancel_wait_timeout_us;
	if (limit == 0)
		return;
	list_each(&x->peers, n, after)
	{
		struct peer_pool *p = node_owner(n, struct peer_pool, node);
		struct passing *k;
		while ((k = find_late(&p->waiting, limit)) != NULL || (k = find_late(&p->active, limit)) != NULL)
			passing_fail(k, "cancel_wait_timeout");
	}
}

void
peers_on_reload(struct proxy *x)
{
	list_each(&x->peers, n, after)
	{
		struct peer_pool *p = node_owner(n, struct peer_pool, node);
		start_waiting(p);
		if (p->active.count == 0 && p->waiting.count == 0) {
			node_remove(n);
			heap_free(p);
		}
	}
}

struct peer_counts
peers_counts(const struct proxy *x, int id)
{
	struct peer_counts counts = { 0 };
	const struct peer_pool *p = find_pool(x, id);
	if (p == NULL)
		return counts;
	counts.waiting = p->waiting.count;
	list_each(&p->active, n, after)
	{
		if (node_owner(n, struct passing, node)->is_sent)
			counts.sent++;
		else
			counts.connecting++;
	}
	return counts;
}

static void
free_passings(struct list *l)
{
	list_each(l, n, after)
	{
		struct passing *k = node_owner(n, struct passing, node);
		node_remove(n);
		resolve_cancel(k->resolving);
		stream_close(&k->stream);
		buf_free(&k->request);
		heap_free(k->host);
		heap_free(k->addresses);
		heap_free(k);
	}
}

void
peers_reap(struct proxy *x)
{
	free_passings(&x->closed_passings);
}

void
peers_free_all(struct proxy *x)
{
	struct node *n;
	while ((n = list_first(&x->peers)) != NULL) {
		struct peer_pool *p = node_owner(n, struct peer_pool, node);
		free_passings(&p->active);
		free_passings(&p->waiting);
		node_remove(n);
		heap_free(p);
	}
	peers_reap(x);
}
