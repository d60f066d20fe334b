/* session/hold.c - a cluster between two leaders; see the header. */
#include "session/hold.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/heap.h"
#include "base/log.h"
#include "cluster/watch.h"
#include "session/client.h"
#include "session/proxy.h"
#include "session/scheduled.h"
#include "session/switchover.h"

#define SIGN_OLD_US (10 * SECOND_US) /* a sign from longer ago has nothing to do with it */

struct hold *
hold_new(struct proxy *x, struct cluster_load *load)
{
	struct hold *h = heap_alloc(sizeof(*h));
	h->proxy = x;
	h->load = load;
	scheduled_open(h);
	return h;
}

void
hold_free(struct hold *h)
{
	switchover_free(h->switchover);
	scheduled_close(h);
	heap_free(h);
}

/* ---- small questions ---- */

static bool
takes_writes(const struct cluster_load *load)
{
	return load->topology->is_plain || (topology_leader(load->topology) && !load->is_closed);
}

uint64_t
hold_since_us(const struct cluster_load *load)
{
	const struct topology *t = load->topology;
	if (takes_writes(load))
		return 0;
	uint64_t leaderless_us = topology_leader(t) ? UINT64_MAX : t->leader_since_us;
	uint64_t closed_us = load->is_closed ? load->hold->closed_us : UINT64_MAX;
	return leaderless_us < closed_us ? leaderless_us : closed_us;
}

bool
hold_is_patient(const struct cluster_load *load)
{
	const struct hold *h = load->hold;
	uint64_t limit_us = h->proxy->config->settings.failover_hold_timeout_us;
	return h->is_open && (limit_us == 0 || clock_now_us() - hold_since_us(load) <= limit_us);
}

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

/* ---- an event ---- */

static void
set_from(struct failover *e, const struct topology *before)
{
	const struct member *leader = topology_leader(before);
	if (leader)
		snprintf(e->from, sizeof(e->from), "%s", leader->name);
	e->timeline_from = before->timeline;
}

static void
begin(struct hold *h, const struct topology *before, const char *why, bool is_planned)
{
	struct failover *e = &h->event;
	uint64_t now = clock_now_us();
	const struct cluster_sign *sign = cluster_sign(h->load->cluster);
	bool is_of_this = !is_planned && sign->at_us && now - sign->at_us < SIGN_OLD_US && sign->at_us >= h->open_us;
	*e = (struct failover){ .number = ++h->proxy->failovers->begun, .hold_us = now, .is_planned = is_planned };
	snprintf(e->cluster, sizeof(e->cluster), "%s", cluster_name(h->load->cluster));
	snprintf(e->sign, sizeof(e->sign), "%s", is_of_this ? sign->text : why);
	e->sign_us = is_of_this ? sign->at_us : now;
	set_from(e, before);
	h->is_open = true;
}

static void
add_moment(struct text *out, const char *name, const struct failover *e, uint64_t at_us)
{
	if (at_us)
		text_addf(out, " %s=%.3fs", name, (double)(at_us - e->sign_us) / SECOND_US);
}

static void
log_event(const struct failover *e)
{
	char line[1000];
	struct text out = TEXT_IN(line);
	text_addf(&out, "%s: %s, from=%s to=%s timeline=%" PRIu32 " sign=\"%s\"", e->is_planned ? "planned change" : "failover",
	          e->how, e->from[0] ? e->from : "nobody", e->to[0] ? e->to : "nobody", e->timeline_to, e->sign);
	add_moment(&out, "hold", e, e->hold_us);
	add_moment(&out, "patroni", e, e->patroni_us);
	add_moment(&out, "server", e, e->server_us);
	add_moment(&out, "first", e, e->first_us);
	add_moment(&out, "end", e, e->end_us);
	text_addf(&out, " held=%" PRIu32 " longest=%.3fs released=%" PRIu32 " refused=%" PRIu32, e->held,
	          (double)e->longest_us / SECOND_US, e->released, e->refused);
	char tag[CLUSTER_NAME_MAX + 16];
	snprintf(tag, sizeof(tag), "cluster %s", e->cluster);
	log_info(tag, "%s", line);
}

static void
end(struct hold *h, const char *how)
{
	struct failover *e = &h->event;
	struct failovers *all = h->proxy->failovers;
	e->end_us = clock_now_us();
	e->how = how;
	h->is_open = false;
	h->ended++;
	h->held_us += e->end_us - e->hold_us;
	all->kept[all->ended++ % FAILOVERS_KEPT] = *e;
	log_event(e);
}

/* The leader as it is now, if writes may go to it. */
static void
note_leader(struct hold *h)
{
	struct failover *e = &h->event;
	const struct member *leader = topology_leader(h->load->topology);
	uint64_t now = clock_now_us();
	if (!takes_writes(h->load)) {
		e->patroni_us = e->server_us = 0; /* lost again */
		return;
	}
	if (e->patroni_us == 0) {
		e->patroni_us = now;
		h->open_us = now;
	}
	if (leader->server_says_writable && e->server_us == 0)
		e->server_us = now;
	snprintf(e->to, sizeof(e->to), "%s", leader->name);
	e->timeline_to = h->load->topology->timeline;
}

void
hold_ask(struct hold *h, uint64_t ttl_us, const char *why)
{
	if (h->led_last[0] == '\0' || (h->load->is_closed && h->asked_until_us == 0))
		return;
	h->is_asked_by_schedule = false;
	if (h->asked_until_us == 0) {
		char tag[CLUSTER_NAME_MAX + 16];
		snprintf(tag, sizeof(tag), "cluster %s", h->load->topology->cluster);
		log_info(tag, "writes are held: %s says that %s is about to stop", why, h->led_last);
		snprintf(h->asked_for, sizeof(h->asked_for), "%s", h->led_last);
		h->asked_is_lost = topology_leader(h->load->topology) == NULL;
		hold_close(h, why);
		h->event.is_planned = true; /* also if we saw the leader go before we were told */
	}
	h->asked_until_us = clock_now_us() + ttl_us;
}

void
hold_release(struct hold *h)
{
	if (h->asked_until_us == 0)
		return;
	h->asked_until_us = 0;
	hold_reopen(h);
}

bool
hold_is_led_by(const struct hold *h, const char *member)
{
	return h->led_last[0] && strcmp(h->led_last, member) == 0;
}

uint32_t
hold_busy(const struct hold *h)
{
	const struct member *m = topology_member_named(cluster_topology(h->load->cluster), h->led_last);
	/* A lock that is gone, or that can't be renewed, is about to be another's: nobody may wait any longer then. */
	return m && !m->is_unlocked ? switchover_busy(h->proxy, h->load, m->id) : 0;
}

void
hold_on_second(struct proxy *x)
{
	list_each(&x->loads, n, after)
	{
		struct hold *h = node_owner(n, struct cluster_load, node)->hold;
		if (h->asked_until_us && clock_now_us() >= h->asked_until_us)
			hold_release(h);
		scheduled_on_second(h);
	}
}

/* What POST /hold was for has come about. */
static void
look_for_successor(struct hold *h, const struct member *leader)
{
	if (h->asked_until_us == 0)
		return;
	if (leader == NULL)
		h->asked_is_lost = true;
	else if (h->asked_is_lost || strcmp(leader->name, h->asked_for) != 0)
		hold_release(h);
}

void
hold_on_topology(struct hold *h, const struct topology *old)
{
	const struct topology *now = h->load->topology;
	const struct member *before = topology_leader(old), *leader = topology_leader(now);
	if (now->is_plain)
		return;
	bool is_lost = before && (leader == NULL || leader->id != before->id);
	if (is_lost && !h->is_open)
		begin(h, old, leader ? "another leader" : now->why_no_leader, false);
	if (leader && before == NULL && !h->is_open)
		h->open_us = clock_now_us(); /* the first one that was found */
	look_for_successor(h, leader);
	if (leader)
		snprintf(h->led_last, sizeof(h->led_last), "%s", leader->name);
	if (h->is_open)
		note_leader(h);
	switchover_on_topology(h->switchover);
}

void
hold_close(struct hold *h, const char *why)
{
	if (h->load->is_closed)
		return;
	h->load->is_closed = true;
	h->closed_us = clock_now_us();
	if (!h->is_open)
		begin(h, h->load->topology, why, true);
}

void
hold_reopen(struct hold *h)
{
	if (!h->load->is_closed)
		return;
	h->load->is_closed = false;
	if (h->is_open)
		note_leader(h);
	list_each(&h->proxy->pools, n, after)
	{
		struct pool *p = node_owner(n, struct pool, node);
		if (p->database->load == h->load)
			proxy_dirty(h->proxy, p);
	}
}

/* ---- those who wait ---- */

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
	if (!h->is_open || w->lane != LANE_WRITE || e->patroni_us == 0 || w->since_us > e->patroni_us)
		return;
	note_wait(h, w->since_us);
	e->released++;
	h->released++;
	if (e->first_us == 0)
		e->first_us = clock_now_us();
	if (e->server_us == 0)
		e->server_us = e->first_us;
}

static void
refuse(struct client *c, const char *text, const char *hint)
{
	struct hold *h = c->database->load->hold;
	const char *why = h->load->topology->why_no_leader;
	if (h->is_open) {
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

static const char *
how_it_ended(const struct failover *e)
{
	if (strcmp(e->from, e->to) == 0)
		return e->is_planned ? "the leader stayed" : "the same leader came back";
	return "another member leads";
}

void
hold_settle(struct proxy *x)
{
	list_each(&x->loads, n, after) /* in each turn: not a step more than needed */
	{
		struct hold *h = node_owner(n, struct cluster_load, node)->hold;
		if (h->switchover)
			switchover_settle(h->switchover);
		if (!h->is_open)
			continue;
		uint32_t count = h->event.patroni_us ? 0 : hold_count(h);
		if (count > h->event.held)
			h->event.held = count;
		if (is_over(h))
			end(h, how_it_ended(&h->event));
	}
}
