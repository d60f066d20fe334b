/*
 * session/probe.c - is a host that says nothing still there? See the header.
 *
 *   probe_on_second ─► is_silent(server) ─► begin: connect, SSLRequest ┄► on_data: it lives
 *                                                                       └► probe_on_second: too late ─► give_up
 *
 * Invariant: at most one probe for each member of a cluster.
 * Source: PostgreSQL 15, 55.2.10 "SSL Session Encryption": one byte answers it, before anybody has logged in.
 */
#include "session/probe.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/heap.h"
#include "base/log.h"
#include "session/client.h"
#include "session/hold.h"
#include "session/proxy.h"
#include "session/server.h"
#include "wire/request.h"

/* Without Patroni a long query looks like a dead host, so each of them brings a question: not too often. */
#define AGAIN_US (30 * SECOND_US)

struct probe {
	struct node node;       /* in proxy->probes, then closed_probes */
	struct stream stream;
	struct proxy *proxy;
	char cluster[CLUSTER_NAME_MAX];
	char member[MEMBER_NAME_MAX];
	uint16_t id;
	uint64_t since_us, patience_us;
	struct timer *late;     /* it has had its time */
	bool is_over;           /* it answered; kept for a while, so that it is not asked again and again */
};

static uint64_t
limit_us(const struct proxy *x)
{
	return x->config->settings.server_dead_timeout_us;
}

/* Since when it owes an answer and has said nothing; 0: it does not. */
static uint64_t
silent_since_us(const struct server *s)
{
	if (s->state != SERVER_LINKED || owed_is_empty(&s->owed) || s->stream.is_paused || s->link->query_us == 0)
		return 0;
	uint64_t since_us = s->request_us > s->linked_us ? s->request_us : s->linked_us;
	return s->link->query_us > since_us ? s->link->query_us : since_us;
}

/* The member, by what is known this moment. NULL: it has gone. */
static const struct member *
member_of(const struct server *s)
{
	return topology_member(cluster_topology(s->pool->database->load->cluster), s->slot.at->id);
}

/* What a replica was asked can be asked elsewhere: a mistake costs little, and patience does. */
static uint64_t
patience_us(const struct server *s)
{
	const struct member *m = member_of(s);
	bool is_replica = s->pool->database->load->topology->has_patroni && m && m->role == MEMBER_REPLICA;
	return is_replica ? limit_us(s->proxy) / 3 : limit_us(s->proxy);
}

static bool
is_silent(const struct server *s)
{
	uint64_t since_us = silent_since_us(s);
	return since_us > 0 && clock_now_us() - since_us > patience_us(s);
}

static bool
is_of(const struct probe *p, const struct server *s)
{
	return s->slot.at && s->slot.at->id == p->id && strcmp(s->pool->database->load->topology->cluster, p->cluster) == 0;
}

/* ---- one probe ---- */

static void
finish(struct probe *p)
{
	stream_close(&p->stream);
	timer_clear(p->late);
	node_remove(&p->node);
	list_append(&p->proxy->closed_probes, &p->node);
}

static void
probe_on_open(void *owner)
{
	struct probe *p = owner;
	struct buf b = { 0 };
	request_ssl(&b);
	stream_put(&p->stream, buf_view(&b));
	buf_free(&b);
}

static void
it_lives(struct probe *p)
{
	log_debug("probe", "member %s of %s answers", p->member, p->cluster);
	p->is_over = true;
	stream_close(&p->stream);
}

static size_t
probe_on_data(void *owner, struct view in)
{
	struct probe *p = owner;
	if (!p->is_over)
		it_lives(p);
	return in.n;
}

/* A connection that is refused comes from a host that lives, and will have ended what it does not serve any more. */
static void
probe_on_end(void *owner, enum stream_end why, const char *text)
{
	struct probe *p = owner;
	if (why == STREAM_END_REFUSED && strcmp(text, strerror(ECONNREFUSED)) != 0)
		stream_close(&p->stream); /* unreachable: as if it had said nothing */
	else if (!p->is_over)
		it_lives(p);
}

static void
probe_on_nothing(void *owner)
{
}

static const struct stream_ops ops = {
	.on_open = probe_on_open,
	.on_data = probe_on_data,
	.on_end = probe_on_end,
	.on_blocked = probe_on_nothing,
	.on_drained = probe_on_nothing,
};

static void on_late(void *context);

static void
begin(const struct server *s)
{
	struct proxy *x = s->proxy;
	const struct topology *t = s->pool->database->load->topology;
	const struct member *m = member_of(s);
	struct probe *p = heap_alloc(sizeof(*p));
	p->proxy = x;
	p->patience_us = patience_us(s);
	p->late = timer_new(x->loop, on_late, p);
	timer_set(p->late, p->patience_us + 1);
	p->stream.fd = -1;
	p->id = s->slot.at->id;
	p->since_us = clock_now_us();
	snprintf(p->cluster, sizeof(p->cluster), "%s", t->cluster);
	snprintf(p->member, sizeof(p->member), "%s", m ? m->name : "that has gone");
	list_append(&x->probes, &p->node);
	if (!stream_connect(&p->stream, x->loop, (const struct sockaddr *)&s->address, s->address_bytes, &ops, p))
		p->is_over = true; /* nothing is known by that: out of descriptors, most likely */
}

/* It leads, or nobody has led since it did. */
static bool
is_last_leader(const struct probe *p, const struct server *s)
{
	const struct cluster_load *load = s->pool->database->load;
	const struct member *leader = topology_leader(load->topology);
	return load->topology->has_patroni && strcmp(leader ? leader->name : load->hold->led_last, p->member) == 0;
}

/*
 * Nobody else could do what the leader was asked, and it may be the network alone that is gone: then the answer comes when that is
 * back. As long as others are held, so is this. (Once another leads, all of the old one's are cut: proxy.c.)
 */
static bool
may_be_answered_yet(const struct probe *p, const struct server *s, uint64_t silent_us)
{
	uint64_t limit = p->proxy->config->settings.failover_hold_timeout_us;
	return silent_us > 0 && is_last_leader(p, s) && (limit == 0 || clock_now_us() - silent_us <= limit);
}

static void
give_up(struct probe *p)
{
	struct proxy *x = p->proxy;
	char why[MEMBER_NAME_MAX + 64];
	uint32_t count = 0;
	snprintf(why, sizeof(why), "member %s does not answer, not even a new connection", p->member);
	bool is_told = false;
	list_each(&x->servers, n, after)
	{
		struct server *s = node_owner(n, struct server, node);
		uint64_t silent_us = silent_since_us(s);
		if (!is_of(p, s) || s->login || !((silent_us > 0 && silent_us <= p->since_us) || s->state == SERVER_IDLE))
			continue;
		if (!is_told) /* who loses a server here shall not be given another one there */
			hold_report(s->pool->database->load, p->id, SESSION_SILENT);
		is_told = true;
		if (may_be_answered_yet(p, s, silent_us))
			continue;
		count++;
		server_lost(s, FAULT_BY_SERVER, why);
	}
	if (count > 0)
		log_warning("probe", "cluster %s: %s: %u of its connections are given up", p->cluster, why, count);
	finish(p);
}

/* Suspended, nobody listens to what it says. */
static void
on_late(void *context)
{
	struct probe *p = context;
	if (!p->is_over && node_is_in(&p->node) && p->proxy->state != PROXY_SUSPENDED)
		give_up(p);
}

/* ---- once a second, and when there is news ---- */

static bool
is_doubtful(const struct server *s)
{
	const struct topology *t = s->pool->database->load->topology;
	if (t->is_plain || s->slot.at == NULL)
		return false;
	const struct member *m = member_of(s);
	return !t->has_patroni || m == NULL || m->is_silent;
}

static bool
is_asked(const struct server *s)
{
	list_each(&s->proxy->probes, n, after)
		if (is_of(node_owner(n, struct probe, node), s))
			return true;
	return false;
}

static void
look_after(struct probe *p)
{
	uint64_t age_us = clock_now_us() - p->since_us;
	bool is_kept = false;
	list_each(&p->proxy->loads, n, after)
	{
		const struct cluster_load *load = node_owner(n, struct cluster_load, node);
		is_kept = is_kept || (strcmp(load->topology->cluster, p->cluster) == 0 && !load->topology->has_patroni);
	}
	if (!p->is_over && age_us > p->patience_us)
		give_up(p);
	else if (p->is_over && age_us > (is_kept ? AGAIN_US : p->patience_us))
		finish(p);
}

void
probe_look(struct proxy *x)
{
	if (limit_us(x) == 0 || x->state == PROXY_SUSPENDED)
		return;
	list_each(&x->servers, n, after)
	{
		const struct server *s = node_owner(n, struct server, node);
		if (is_silent(s) && is_doubtful(s) && !is_asked(s))
			begin(s);
	}
}

void
probe_on_second(struct proxy *x)
{
	list_each(&x->probes, n, after)
		look_after(node_owner(n, struct probe, node));
	probe_look(x);
}

static void
free_list(struct list *list)
{
	struct node *n;
	while ((n = list_first(list)) != NULL) {
		struct probe *p = node_owner(n, struct probe, node);
		stream_close(&p->stream);
		timer_free(p->late);
		node_remove(&p->node);
		heap_free(p);
	}
}

void
probe_reap(struct proxy *x)
{
	free_list(&x->closed_probes);
}

void
probe_free_all(struct proxy *x)
{
	free_list(&x->probes);
	free_list(&x->closed_probes);
}
