/* session/hold_waiters.c - those who wait for a leader: how many, how long, and when the last of them is served. See session/hold.h. */
#include <stdio.h>

#include "base/clock.h"
#include "session/client.h"
#include "session/hold.h"
#include "session/proxy.h"
#include "session/switchover.h"

static uint32_t
waiting_to_write(const struct pool *p)
{
	return p->waiting[LANE_WRITE].count + p->waiting_own[LANE_WRITE].count;
}

uint32_t
hold_count(const struct hold *h)
{
	uint32_t count = 0;
	list_each(&h->proxy->pools, n, after)
	{
		const struct pool *p = node_owner(n, struct pool, node);
		if (p->database->load == h->load)
			count += waiting_to_write(p);
	}
	return count;
}

static void
note_wait(struct hold *h, uint64_t since_us)
{
	uint64_t from_us = since_us > h->event.hold_us ? since_us : h->event.hold_us;
	uint64_t waited_us = clock_now_us() - from_us;
	if (waited_us > h->event.longest_us)
		h->event.longest_us = waited_us;
}

void
hold_on_link(struct hold *h, const struct waiter *w)
{
	struct failover *e = &h->event;
	if (h->state <= HOLD_STEADY || w->lane != LANE_WRITE)
		return;
	hold_happens(h, HOLD_ON_SERVER, "the first session that takes writes"); /* else it would not be given to anybody */
	if (!hold_is_open(h) || e->patroni_us == 0 || w->since_us > e->patroni_us)
		return;
	note_wait(h, w->since_us);
	e->released++;
	h->released++;
	if (e->first_us == 0)
		e->first_us = clock_now_us();
}

static void
refuse(struct client *c, const char *text, const char *hint)
{
	struct hold *h = c->database->load->hold;
	const char *why = h->load->topology->why_no_leader;
	if (hold_is_open(h)) {
		note_wait(h, c->waiter.since_us);
		h->event.refused++;
	}
	h->refused++;
	client_fail(c, &(struct fault){ .by = FAULT_BY_PROXY, .sqlstate = SQLSTATE_CANNOT_CONNECT_NOW, .text = text,
	                                .detail = why ? why : "The leader is about to change.", .hint = hint });
}

void
hold_refuse_excess(struct pool *p)
{
	struct hold *h = p->database->load->hold;
	int most = h->proxy->config->settings.max_held_clients;
	if (most == 0 || waiting_to_write(p) == 0 || hold_since_us(h->load) == 0)
		return;
	if (h->state == HOLD_SUSPECTED || h->state == HOLD_PROBING) /* most likely for some milliseconds */
		return;
	for (uint32_t count = hold_count(h); count > (uint32_t)most; count--) {
		struct node *last = list_last(&p->waiting[LANE_WRITE]);
		if (last == NULL)
			return;
		refuse(node_owner(node_owner(last, struct waiter, node), struct client, waiter),
		       "too many clients wait for a leader (max_held_clients)",
		       "The cluster is between two leaders; try again in some seconds.");
	}
}

bool
hold_refuse_late(struct client *c, uint64_t limit_us)
{
	uint64_t since_us = c->lane == LANE_WRITE ? hold_since_us(c->database->load) : 0;
	if (since_us == 0 || limit_us == 0)
		return false;
	if (c->waiter.since_us > since_us)
		since_us = c->waiter.since_us;
	if (clock_now_us() - since_us <= limit_us)
		return false;
	refuse(c, "no leader took this transaction within failover_hold_timeout",
	       "The cluster is between two leaders; try again. On the console, SHOW CLUSTERS and SHOW FAILOVERS tell more.");
	return true;
}

uint64_t
hold_wait_since_us(const struct client *c)
{
	const struct hold *h = c->database->load->hold;
	if (c->lane != LANE_WRITE)
		return c->waiter.since_us;
	if (hold_since_us(h->load)) /* failover_hold_timeout counts */
		return clock_now_us();
	return c->waiter.since_us > h->open_us ? c->waiter.since_us : h->open_us;
}

/* Has everybody who was here when the leader came a server by now? */
static bool
is_over(const struct hold *h)
{
	const struct failover *e = &h->event;
	if (e->patroni_us == 0)
		return false;
	list_each(&h->proxy->pools, n, after)
	{
		const struct pool *p = node_owner(n, struct pool, node);
		if (p->database->load != h->load)
			continue;
		const struct node *first[] = { list_first(&p->waiting[LANE_WRITE]), list_first(&p->waiting_own[LANE_WRITE]) };
		for (size_t i = 0; i < sizeof(first) / sizeof(first[0]); i++)
			if (first[i] && node_owner(first[i], struct waiter, node)->since_us <= e->patroni_us)
				return false;
	}
	return true;
}

void
hold_settle(struct proxy *x)
{
	bool is_any = false;
	list_each(&x->loads, n, after)
	{
		struct hold *h = node_owner(n, struct cluster_load, node)->hold;
		if (h->switchover)
			switchover_settle(h->switchover);
		is_any = is_any || h->switchover || h->state > HOLD_STEADY;
		if (h->state <= HOLD_STEADY)
			continue;
		uint32_t count = h->event.patroni_us ? 0 : hold_count(h);
		if (count > h->event.held)
			h->event.held = count;
		if (is_over(h))
			hold_happens(h, HOLD_ON_SERVED, "nobody waits any more");
	}
	x->is_holding = is_any; /* most turns of most days: not even a look at each cluster */
}
