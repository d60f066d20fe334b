/* pool/pool.c - lists and counts; see the header. */
#include "pool/pool.h"

#include "base/heap.h"

void
pool_init(struct pool *p, struct database *d, struct role *r, const struct pool_rules *rules)
{
	*p = (struct pool){ .database = d, .role = r, .rules = *rules };
	for (int lane = 0; lane < LANES; lane++) {
		list_init(&p->waiting[lane]);
		list_init(&p->waiting_own[lane]);
	}
	list_append(&d->pools, &p->of_database);
	list_append(&r->pools, &p->of_role);
}

void
pool_fini(struct pool *p)
{
	must(p->servers == 0 && pool_waiting(p) == 0);
	for (int id = 0; id < CLUSTER_MEMBERS_MAX; id++)
		heap_free(p->at[id]);
	heap_free(p->refusal);
	node_remove(&p->node);
	node_remove(&p->dirty);
	node_remove(&p->of_database);
	node_remove(&p->of_role);
}

struct pool_member *
pool_at(struct pool *p, uint16_t member_id)
{
	must(member_id < CLUSTER_MEMBERS_MAX);
	struct pool_member *at = p->at[member_id];
	if (at == NULL) {
		at = heap_alloc(sizeof(*at));
		at->pool = p;
		at->id = member_id;
		for (int state = 0; state < SLOT_STATES; state++)
			list_init(&at->slots[state]);
		p->at[member_id] = at;
	}
	return at;
}

void
pool_forgive(struct pool *p)
{
	heap_free(p->refusal);
	p->refusal = NULL;
	for (int id = 0; id < CLUSTER_MEMBERS_MAX; id++)
		if (p->at[id]) {
			p->at[id]->retry_us = 0;
			p->at[id]->failures = 0;
		}
}

static void
count_slot(struct pool_member *at, int by)
{
	at->count += (uint32_t)by;
	at->pool->servers += (uint32_t)by;
	at->pool->database->servers += (uint32_t)by;
	at->pool->role->servers += (uint32_t)by;
}

static bool
is_busy(enum slot_state state)
{
	return state == SLOT_ACTIVE || state == SLOT_DEDICATED;
}

void
slot_enter(struct slot *s, struct pool_member *at, enum slot_state to, uint64_t now_us)
{
	must(s->at == NULL || s->at == at);
	struct cluster_load *load = at->pool->database->load;
	if (s->at)
		node_remove(&s->node);
	else
		count_slot(at, +1);
	if (is_busy(s->state))
		load->busy[at->id]--;
	s->at = at;
	s->state = to;
	if (to == SLOT_NONE) {
		count_slot(at, -1);
		s->at = NULL;
		return;
	}
	if (is_busy(to))
		load->busy[at->id]++;
	if (to == SLOT_LOGIN || to == SLOT_DEDICATED || to == SLOT_LISTENER)
		s->born_us = now_us;
	if (to == SLOT_IDLE)
		s->free_us = now_us;
	list_prepend(&at->slots[to], &s->node); /* the last one used is the first to be taken again */
}

void
pool_wait(struct pool *p, struct waiter *w, enum lane lane, uint64_t now_us)
{
	w->lane = lane;
	w->since_us = now_us;
	list_append(w->needs_own ? &p->waiting_own[lane] : &p->waiting[lane], &w->node);
	if (!w->needs_own)
		p->was_asked[lane] = true;
}

void
pool_wait_again(struct pool *p, struct waiter *w)
{
	list_prepend(w->needs_own ? &p->waiting_own[w->lane] : &p->waiting[w->lane], &w->node);
}

void
pool_wait_in_front(struct pool *p, struct waiter *w, enum lane lane, uint64_t now_us)
{
	w->lane = lane;
	w->since_us = now_us;
	pool_wait_again(p, w);
}

void
pool_leave(struct waiter *w)
{
	node_remove(&w->node);
}

uint64_t
pool_doubt_us(const struct pool_member *at)
{
	const struct cluster_load *load = at->pool->database->load;
	return load->doubt.id == at->id ? load->doubt.us : 0;
}

static bool
slot_is_fit(const struct slot *s, bool for_write, uint64_t doubt_us, uint64_t check_delay_us, uint64_t now_us)
{
	if (s->is_close_needed || (for_write && s->is_standby) || s->free_us < doubt_us)
		return false;
	return now_us - s->free_us <= check_delay_us;
}

/*
 * The idle slot of this member to take next: the last used one, or with round robin the one free for longest. Of the few that were
 * used last, rather one whose session is already as the client's is: nothing has to be set there.
 */
static struct slot *
member_take(const struct pool_member *at, const struct pool_wish *w, bool for_write)
{
	enum { LOOKED_AT = 8 };
	const struct list *idle = &at->slots[SLOT_IDLE];
	uint64_t doubt_us = pool_doubt_us(at);
	struct node *n = w->round_robin ? list_last(idle) : list_first(idle);
	struct slot *first = NULL;
	for (unsigned looked = 0; n && (first == NULL || looked < LOOKED_AT); looked++) {
		struct slot *s = node_owner(n, struct slot, node);
		if (slot_is_fit(s, for_write, doubt_us, w->check_delay_us, w->now_us)) {
			if (w->round_robin || w->wears == NULL || s->wears == w->wears)
				return s;
			first = first ? first : s;
		}
		n = w->round_robin ? (n->prev == &idle->head ? NULL : n->prev) : list_next(idle, n);
	}
	return first;
}

/* Where there is nothing to choose from: the leader, or a single host. NULL: route_choose() has to be asked. */
static const struct member *
only_choice(const struct cluster_load *load, enum lane lane)
{
	const struct topology *t = load->topology;
	if (t->is_plain)
		return t->count == 1 && t->member[0].why_not_write == NULL && t->member[0].why_not_read == NULL ? &t->member[0] : NULL;
	return lane == LANE_WRITE && !load->is_closed ? topology_leader(t) : NULL;
}

struct slot *
pool_take(struct pool *p, enum lane lane, const struct pool_wish *w)
{
	struct cluster_load *load = p->database->load;
	const struct topology *t = load->topology;
	const struct member *only = only_choice(load, lane);
	if (only && p->at[only->id]) {
		struct slot *s = member_take(p->at[only->id], w, lane == LANE_WRITE && !t->is_plain);
		if (s)
			return s;
	}
	struct route_request request = {
		.lane = lane,
		.fallback = load->read_fallback,
		.is_closed = load->is_closed,
		.in_order = p->database->config->load_balance_hosts == LOAD_BALANCE_HOSTS_DISABLE,
		.busy = load->busy,
		.recent = &load->recent,
	};
	for (;;) {
		struct route r = route_choose(t, &request);
		if (r.result != ROUTE_MEMBER)
			return NULL;
		uint16_t id = t->member[r.index].id;
		struct pool_member *at = pool_at(p, id);
		struct slot *s = member_take(at, w, lane == LANE_WRITE && !t->is_plain);
		if (s) {
			if (lane == LANE_READ || t->is_plain)
				route_note(&load->recent, id);
			return s;
		}
		if (request.excluded == 0 && (lane == LANE_READ || t->is_plain))
			at->wants_open = true; /* the member that should have had it, of several */
		request.excluded |= UINT64_C(1) << id;
	}
}

uint32_t
pool_slots(const struct pool *p, enum slot_state state)
{
	uint32_t count = 0;
	for (int id = 0; id < CLUSTER_MEMBERS_MAX; id++)
		if (p->at[id])
			count += p->at[id]->slots[state].count;
	return count;
}

uint32_t
pool_waiting(const struct pool *p)
{
	uint32_t count = 0;
	for (int lane = 0; lane < LANES; lane++)
		count += p->waiting[lane].count + p->waiting_own[lane].count;
	return count;
}

uint64_t
pool_longest_wait_us(const struct pool *p, uint64_t now_us)
{
	uint64_t longest = 0;
	for (int lane = 0; lane < LANES; lane++) {
		const struct node *first[] = { list_first(&p->waiting[lane]), list_first(&p->waiting_own[lane]) };
		for (size_t i = 0; i < sizeof(first) / sizeof(first[0]); i++)
			if (first[i] && now_us - node_owner(first[i], struct waiter, node)->since_us > longest)
				longest = now_us - node_owner(first[i], struct waiter, node)->since_us;
	}
	return longest;
}

const char *
slot_state_name(enum slot_state state)
{
	static const char *const names[] = {
		[SLOT_NONE] = "none",     [SLOT_LOGIN] = "new",     [SLOT_IDLE] = "idle",
		[SLOT_TESTED] = "tested", [SLOT_ACTIVE] = "active", [SLOT_CANCELLING] = "being_canceled",
		[SLOT_DEDICATED] = "active", [SLOT_LISTENER] = "listening",
	};
	return names[state];
}
