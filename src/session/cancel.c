/*
 * session/cancel.c - cancel requests; see the header.
 *
 *   requester ─► our pid and key ─► client ─► the server it is linked to ─► a connection of its own ─► server's pid and key
 *                         └► of a peer's client: session/peers.c
 *
 * Where the server's session is encrypted, so is the request: whoever reads the key can cancel for as long as it lives.
 * Invariant: server->cancels counts the requests aimed at it that are not done; while it is not 0 the server is given to
 * nobody and rolled back by nobody.
 */
#include "session/cancel.h"

#include <string.h>

#include <openssl/crypto.h>

#include "base/clock.h"
#include "base/heap.h"
#include "base/log.h"
#include "cluster/topology.h"
#include "session/peers.h"
#include "wire/request.h"

struct cancel {
	struct stream stream;
	struct node node;       /* in proxy->cancels, then closed_cancels */
	struct proxy *proxy;
	struct server *target;  /* NULL: it is gone */
	struct client *from;    /* who waits for the delivery; NULL: we ask on our own account, or it has left */
	uint32_t owner;         /* id of the client whose query is meant; 0: one that is gone, its server drains */
	uint64_t since_us;
	bool asks_tls;          /* SSLRequest is not answered yet */
	bool is_sent, is_done;
};

static void
cancel_finish(struct cancel *k)
{
	if (k->is_done)
		return;
	k->is_done = true;
	stream_close(&k->stream);
	node_remove(&k->node);
	list_append(&k->proxy->closed_cancels, &k->node);
	struct server *s = k->target;
	struct client *from = k->from;
	k->target = NULL;
	k->from = NULL;
	if (from)
		client_close(from, FAULT_BY_CLIENT, "cancel request is done");
	if (s == NULL || --s->cancels > 0)
		return;
	if (s->state == SERVER_DRAINING)
		server_drain(s);
	else if (s->slot.state == SLOT_CANCELLING)
		server_release(s);
}

/* Does whoever is meant still own the server? */
static bool
is_still_meant(const struct cancel *k)
{
	const struct server *s = k->target;
	if (s == NULL)
		return false;
	if (k->owner == 0)
		return s->state == SERVER_DRAINING && !owed_is_empty(&s->owed);
	return s->link && s->link->id == k->owner;
}

/* As the server's session began: a reload may have switched TLS off meanwhile, or changed its files. */
static bool
start_tls(struct cancel *k)
{
	const struct server *s = k->target;
	const struct member *m = topology_member(s->pool->database->load->topology, s->slot.at->id);
	return m && stream_start_tls_client(&k->stream, stream_tls_context(&s->stream), m->host,
	                                    access_checks(s->pool->rules.sslmode), server_tls_is_direct(k->proxy));
}

static void
give_up_tls(struct cancel *k)
{
	log_warning("cancel", "a cancel request could not be delivered to %s: TLS could not be started", server_tag(k->target));
	cancel_finish(k);
}

static void
cancel_on_open(void *owner)
{
	struct cancel *k = owner;
	if (!is_still_meant(k)) {
		cancel_finish(k);
		return;
	}
	struct buf b = { 0 };
	if (k->target->stream.ssl && k->stream.ssl == NULL) {
		if (server_tls_is_direct(k->proxy)) {
			if (!start_tls(k))
				give_up_tls(k);
			return;
		}
		request_ssl(&b);
		stream_put(&k->stream, buf_view(&b));
		buf_free(&b);
		k->asks_tls = true;
		return;
	}
	request_cancel(&b, k->target->pid, buf_view(&k->target->key));
	stream_put(&k->stream, buf_view(&b));
	buf_free(&b);
	k->is_sent = true;
	k->proxy->counters.cancels_forwarded++;
}

static size_t
cancel_on_data(void *owner, struct view in)
{
	struct cancel *k = owner;
	if (!k->asks_tls)
		return in.n; /* nothing is said here; the end of the stream is the answer */
	k->asks_tls = false;
	if (!is_still_meant(k)) {
		cancel_finish(k);
	} else if (in.n != 1 || in.p[0] != 'S' || !start_tls(k)) {
		give_up_tls(k);
	}
	return in.n;
}

static void
cancel_on_end(void *owner, enum stream_end why, const char *text)
{
	struct cancel *k = owner;
	if (!k->is_sent)
		log_warning("cancel", "a cancel request could not be delivered: %s", text);
	cancel_finish(k);
}

static void
cancel_on_flow(void *owner)
{
}

static const struct stream_ops cancel_ops = {
	.on_open = cancel_on_open,
	.on_data = cancel_on_data,
	.on_end = cancel_on_end,
	.on_blocked = cancel_on_flow,
	.on_drained = cancel_on_flow,
};

static void
cancel_start(struct server *s, uint32_t owner, struct client *from)
{
	struct proxy *x = s->proxy;
	struct cancel *k = heap_alloc(sizeof(*k));
	*k = (struct cancel){ .proxy = x, .target = s, .owner = owner, .from = from, .since_us = clock_now_us() };
	s->cancels++;
	list_append(&x->cancels, &k->node);
	if (s->pid == 0 || !stream_connect(&k->stream, x->loop, (struct sockaddr *)&s->address, s->address_bytes,
	                                   &cancel_ops, k)) {
		k->stream.fd = -1;
		log_warning("cancel", "a cancel request could not be delivered to %s", server_tag(s));
		cancel_finish(k);
	}
}

static struct client **
chain_of(const struct cancel_keys *k, uint32_t id)
{
	return &k->chains[id & (k->room - 1)];
}

static void
grow_keys(struct cancel_keys *k)
{
	struct cancel_keys larger = { .room = k->room ? k->room * 2 : 64, .count = k->count };
	larger.chains = heap_alloc(larger.room * sizeof(*larger.chains));
	for (uint32_t i = 0; i < k->room; i++)
		for (struct client *c = k->chains[i], *next; c; c = next) {
			next = c->next_key;
			struct client **chain = chain_of(&larger, c->id);
			c->next_key = *chain;
			*chain = c;
		}
	heap_free(k->chains);
	*k = larger;
}

void
cancel_keys_add(struct proxy *x, struct client *c)
{
	must(!c->has_key);
	/* Above this all chains get longer: what a process id says of an id chooses one of so many. */
	if (x->keys.count == x->keys.room && x->keys.room < UINT32_C(1) << CANCEL_ID_BITS)
		grow_keys(&x->keys);
	struct client **chain = chain_of(&x->keys, c->id);
	c->next_key = *chain;
	*chain = c;
	c->has_key = true;
	x->keys.count++;
}

void
cancel_keys_remove(struct proxy *x, struct client *c)
{
	if (!c->has_key)
		return;
	struct client **at = chain_of(&x->keys, c->id);
	while (*at != c)
		at = &(*at)->next_key;
	*at = c->next_key;
	c->has_key = false;
	x->keys.count--;
}

static struct client *
find_owner(struct proxy *x, uint32_t pid, struct view key)
{
	for (struct client *c = x->keys.room ? *chain_of(&x->keys, pid) : NULL; c; c = c->next_key) {
		uint8_t ours[CANCEL_KEY_BYTES];
		if (cancel_pid_may_be(pid, c->id) && client_cancel_key(c, pid, ours) == key.n &&
		    CRYPTO_memcmp(ours, key.p, key.n) == 0)
			return c;
	}
	return NULL;
}

void
cancel_on_request(struct client *from, uint32_t pid, struct view key)
{
	struct proxy *x = from->proxy;
	x->counters.cancels_received++;
	struct view bare;
	uint32_t hops;
	bool is_key = cancel_key_read(key, &bare, &hops);
	struct client *c = is_key ? find_owner(x, pid, bare) : NULL;
	if (is_key && c == NULL && peers_pass_on(from, pid, bare, hops))
		return;
	client_enter(from, CLIENT_CANCELLING, "cancel request");
	if (c && c->state == CLIENT_CONSOLE) {
		x->console->on_cancel(c);
		client_close(from, FAULT_BY_CLIENT, "cancelled a command of the console");
		return;
	}
	if (c && c->state == CLIENT_WAITING) {
		client_cancel_waiting(c);
		client_close(from, FAULT_BY_CLIENT, "cancelled what was waiting");
		return;
	}
	bool is_running = c && c->link && (c->state == CLIENT_REPLICATING || !owed_is_empty(&c->link->owed));
	if (!is_running) {
		client_close(from, FAULT_BY_CLIENT, "cancel request for nobody");
		return;
	}
	log_debug(client_tag(c), "its query is to be cancelled");
	cancel_start(c->link, c->id, from);
}

void
cancel_server(struct server *s)
{
	cancel_start(s, 0, NULL);
}

void
cancel_forget_server(struct server *s)
{
	list_each(&s->proxy->cancels, n, after)
	{
		struct cancel *k = node_owner(n, struct cancel, node);
		if (k->target != s)
			continue;
		k->target = NULL;
		s->cancels--;
		/* What was sent may be left alone: it ends by itself and hits nobody. */
		if (!k->is_sent)
			cancel_finish(k);
	}
}

void
cancel_forget_client(struct client *c)
{
	list_each(&c->proxy->cancels, n, after)
	{
		struct cancel *k = node_owner(n, struct cancel, node);
		if (k->from == c)
			k->from = NULL;
	}
}

void
cancel_on_second(struct proxy *x)
{
	uint64_t limit = x->config->settings.cancel_wait_timeout_us;
	if (limit == 0)
		return;
	/* One at a time: finishing may end others. */
	for (bool again = true; again;) {
		again = false;
		list_each(&x->cancels, n, after)
		{
			struct cancel *k = node_owner(n, struct cancel, node);
			if (clock_now_us() - k->since_us <= limit)
				continue;
			struct server *s = k->target;
			log_warning("cancel", "cancel_wait_timeout: a cancel request was not answered");
			if (s && k->is_sent) /* it may still strike: whoever gets this server next must not be hit */
				server_lost(s, FAULT_BY_SERVER, "a cancel request to it was not answered");
			cancel_finish(k);
			again = true;
			break;
		}
	}
}

struct proxy_cancels
cancel_counts(const struct proxy *x, const struct pool *p)
{
	struct proxy_cancels counts = { 0 };
	list_each(&x->cancels, n, after)
	{
		const struct cancel *k = node_owner(n, struct cancel, node);
		if (p && (k->target == NULL || k->target->pool != p))
			continue;
		if (k->is_sent)
			counts.sent++;
		else
			counts.connecting++;
	}
	return counts;
}

static void
free_list(struct list *l)
{
	list_each(l, n, after)
	{
		struct cancel *k = node_owner(n, struct cancel, node);
		stream_close(&k->stream);
		node_remove(n);
		heap_free(k);
	}
}

void
cancel_reap(struct proxy *x)
{
	free_list(&x->closed_cancels);
}

void
cancel_free_all(struct proxy *x)
{
	free_list(&x->cancels);
	free_list(&x->closed_cancels);
	heap_free(x->keys.chains);
}
