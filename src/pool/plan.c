/*
 * pool/plan.c - what should happen next in a pool; see the header.
 *
 * For the client that waited longest in each lane: a free slot; else a slot that has to be asked something first; else a
 * new connection where there is room; else patience. Later waiters are looked at only through the number of connections
 * that are on their way: one for each waiter, opened side by side. Who needs a connection of its own (replication) gets a
 * new one, for which an idle one makes room; of the two queues of a lane the one whose first came earlier goes first.
 */
#include "pool/plan.h"

#include "config/settings.h"
#include "room.h"

static bool
is_plain(const struct pool *p)
{
	return p->database->load->topology->is_plain;
}

/* An idle slot that only has to be asked whether it still lives, or whether it was promoted, or still leads. */
static struct plan
ask_idle(const struct pool_member *at, enum lane lane, const struct plan_view *v, uint64_t *again_us)
{
	const struct list *idle = &at->slots[SLOT_IDLE];
	uint64_t doubt_us = pool_doubt_us(at);
	list_each(idle, n, after)
	{
		struct slot *s = node_owner(n, struct slot, node);
		if (s->is_close_needed)
			continue;
		if (s->free_us < doubt_us)
			return (struct plan){ .act = PLAN_ASK, .slot = s };
		if (lane == LANE_WRITE && s->is_standby && !is_plain(at->pool)) {
			if (v->now_us >= s->asked_us + ROLE_ASK_INTERVAL_US)
				return (struct plan){ .act = PLAN_ASK, .slot = s };
			*again_us = sooner(*again_us, s->asked_us + ROLE_ASK_INTERVAL_US);
			continue;
		}
		return (struct plan){ .act = PLAN_CHECK, .slot = s };
	}
	return (struct plan){ .act = PLAN_NOTHING };
}

static struct plan
plan_open(struct pool_member *at, const struct waiter *w, const struct plan_view *v, uint64_t *again_us)
{
	struct slot *evict = NULL;
	switch (room_at(at, v, w ? w->since_us : v->now_us, again_us, &evict)) {
	case ROOM_YES:
		return (struct plan){ .act = PLAN_OPEN, .member = at->id };
	case ROOM_EVICT:
		return (struct plan){ .act = PLAN_EVICT, .slot = evict, .why = "room for another pool" };
	case ROOM_NO:
		break;
	}
	return (struct plan){ .act = PLAN_NOTHING };
}

static struct plan
plan_open_own(struct pool_member *at, struct waiter *w, const struct plan_view *v, uint64_t *again_us)
{
	struct slot *evict = NULL;
	switch (room_for_own(at, v, w->since_us, again_us, &evict)) {
	case ROOM_YES:
		return (struct plan){ .act = PLAN_OPEN, .member = at->id, .waiter = w };
	case ROOM_EVICT:
		return (struct plan){ .act = PLAN_EVICT, .slot = evict, .why = "room for a replication connection" };
	case ROOM_NO:
		break;
	}
	return (struct plan){ .act = PLAN_NOTHING };
}

/* Logins that may never come about: a member that is cut off does not even refuse. *again_us: when there is another. */
static uint32_t
late_logins(const struct pool_member *at, const struct plan_view *v, uint64_t *again_us)
{
	uint32_t late = 0;
	list_each(&at->slots[SLOT_LOGIN], n, after)
	{
		const struct slot *s = node_owner(n, struct slot, node);
		if (v->now_us >= s->born_us + LOGIN_LATE_US)
			late++;
		else
			*again_us = sooner(*again_us, s->born_us + LOGIN_LATE_US);
	}
	return late;
}

/* One of several for this lane? `pass` 1: replicas that others are preferred to; 2: reads fall back to the leader. */
static bool
is_fit(const struct topology *t, uint16_t index, enum lane lane, int pass)
{
	if (t->is_plain)
		return true;
	const struct member *m = &t->member[index];
	if (lane == LANE_READ && pass < 2)
		return m->why_not_read == NULL && (m->why_doubted != NULL) == (pass == 1);
	return index == t->leader;
}

/*
 * Connections on their way that will serve those who wait in this lane: logins and questions at the members that it goes
 * to. One to another member, or one that is late while there are other members, is no reason to wait.
 */
static bool
is_served(const struct pool *p, enum lane lane, bool count_late, const struct plan_view *v, uint64_t *again_us)
{
	const struct topology *t = p->database->load->topology;
	uint32_t coming = 0, late = 0;
	int fit = 0;
	uint64_t next_late_us = 0;
	for (int pass = 0; pass < 3 && fit == 0; pass++)
		for (uint16_t i = 0; i < t->count; i++) {
			if (!is_fit(t, i, lane, pass))
				continue;
			fit++;
			const struct pool_member *at = p->at[t->member[i].id];
			if (at == NULL)
				continue;
			coming += at->slots[SLOT_LOGIN].count + at->slots[SLOT_TESTED].count;
			late += late_logins(at, v, &next_late_us);
		}
	if (fit > 1)
		*again_us = sooner(*again_us, next_late_us);
	return coming - (count_late ? 0 : late) >= (t->is_plain ? pool_waiting(p) : p->waiting[lane].count);
}

/* Nobody leads: a standing session is the first to notice that its member was promoted, if it is asked. */
static struct plan
ask_standbys(const struct pool *p, const struct plan_view *v, uint64_t *again_us)
{
	for (int id = 0; id < CLUSTER_MEMBERS_MAX; id++) {
		struct node *n = p->at[id] ? list_first(&p->at[id]->slots[SLOT_IDLE]) : NULL;
		struct slot *s = n ? node_owner(n, struct slot, node) : NULL;
		if (s == NULL || !s->is_standby || s->is_close_needed)
			continue;
		if (v->now_us >= s->asked_us + ROLE_ASK_INTERVAL_US)
			return (struct plan){ .act = PLAN_ASK, .slot = s };
		*again_us = sooner(*again_us, s->asked_us + ROLE_ASK_INTERVAL_US);
	}
	return (struct plan){ .act = PLAN_NOTHING };
}

/* A server that refuses our login will refuse the next one too: whoever waits is told what it said. */
static bool
is_hopeless(const struct pool *p, const struct plan_view *v)
{
	return p->refusal && p->servers == 0;
}

static struct plan
plan_refuse(const struct pool *p, struct waiter *w)
{
	return (struct plan){
		.act = PLAN_REFUSE,
		.waiter = w,
		.fault = { .by = FAULT_BY_SERVER, .sqlstate = p->refusal_state, .text = p->refusal,
		           .detail = "The server refused the login of this pool; the next attempt is made after "
		                     "server_login_retry." },
	};
}

static struct plan
plan_no_server(struct waiter *w, const char *why)
{
	return (struct plan){
		.act = PLAN_REFUSE,
		.waiter = w,
		.fault = { .by = FAULT_BY_PROXY, .sqlstate = SQLSTATE_CANNOT_CONNECT_NOW,
		           .text = "no server can take this transaction", .detail = why },
	};
}

static struct route_request
request_of(const struct pool *p, enum lane lane)
{
	struct cluster_load *load = p->database->load;
	return (struct route_request){
		.lane = lane,
		.fallback = load->read_fallback,
		.is_closed = load->is_closed,
		.in_order = p->database->config->load_balance_hosts == LOAD_BALANCE_HOSTS_DISABLE,
		.busy = load->busy,
		.recent = &load->recent,
	};
}

/* Who needs a connection of its own: a new one, to the member that its lane goes to. */
static struct plan
plan_own(struct pool *p, enum lane lane, const struct plan_view *v, uint64_t *again_us)
{
	struct node *first = list_first(&p->waiting_own[lane]);
	if (first == NULL)
		return (struct plan){ .act = PLAN_NOTHING };
	struct waiter *w = node_owner(first, struct waiter, node);
	const struct topology *t = p->database->load->topology;
	struct route_request request = request_of(p, lane);
	struct route r;
	while ((r = route_choose(t, &request)).result == ROUTE_MEMBER) {
		struct pool_member *at = pool_at(p, t->member[r.index].id);
		struct plan plan = plan_open_own(at, w, v, again_us);
		if (plan.act != PLAN_NOTHING)
			return plan;
		request.excluded |= UINT64_C(1) << at->id;
	}
	if (request.excluded == 0 && r.result == ROUTE_REFUSE)
		return plan_no_server(w, r.why);
	/* It tells what it has come to; if that is the wrong one, the client waits on, and the role is known. */
	for (uint16_t i = 0; i < t->count; i++) {
		if (!t->member[i].wants_session)
			continue;
		struct plan plan = plan_open_own(pool_at(p, t->member[i].id), w, v, again_us);
		if (plan.act != PLAN_NOTHING)
			return plan;
	}
	return (struct plan){ .act = PLAN_NOTHING };
}

static struct plan
plan_lane(struct pool *p, enum lane lane, const struct plan_view *v, uint64_t *again_us)
{
	struct node *first = list_first(&p->waiting[lane]);
	if (first == NULL)
		return (struct plan){ .act = PLAN_NOTHING };
	struct waiter *w = node_owner(first, struct waiter, node);
	bool checks = v->settings->server_check_query[0] != '\0';
	struct slot *s = pool_take(p, lane, &(struct pool_wish){
		.now_us = v->now_us, .check_delay_us = checks ? v->settings->server_check_delay_us : UINT64_MAX,
		.round_robin = v->settings->server_round_robin, .wears = w->wears });
	if (s)
		return (struct plan){ .act = PLAN_LINK, .waiter = w, .slot = s };

	const struct topology *t = p->database->load->topology;
	struct route_request request = request_of(p, lane);
	struct pool_member *slow = NULL; /* where logins are late: only when no other member can have one more */
	struct route r;
	while ((r = route_choose(t, &request)).result == ROUTE_MEMBER) {
		struct pool_member *at = pool_at(p, t->member[r.index].id);
		struct plan plan = ask_idle(at, lane, v, again_us);
		uint64_t unused_us = 0;
		if (plan.act == PLAN_NOTHING && late_logins(at, v, &unused_us) > 0)
			slow = slow ? slow : at;
		else if (plan.act == PLAN_NOTHING && !is_served(p, lane, false, v, again_us))
			plan = plan_open(at, w, v, again_us);
		if (plan.act != PLAN_NOTHING)
			return plan;
		request.excluded |= UINT64_C(1) << at->id;
	}
	if (slow && !is_served(p, lane, true, v, again_us)) {
		struct plan plan = plan_open(slow, w, v, again_us);
		if (plan.act != PLAN_NOTHING)
			return plan;
	}
	if (request.excluded == 0 && r.result == ROUTE_REFUSE)
		return plan_no_server(w, r.why);
	/* Without Patroni nobody knows the roles before a session was opened. */
	for (uint16_t i = 0; i < t->count; i++) {
		if (!t->member[i].wants_session)
			continue;
		struct pool_member *at = pool_at(p, t->member[i].id);
		if (at->count > 0)
			continue;
		struct plan plan = plan_open(at, w, v, again_us);
		if (plan.act != PLAN_NOTHING)
			return plan;
	}
	if (lane == LANE_WRITE && !t->is_plain && topology_leader(t) == NULL) {
		struct plan plan = ask_standbys(p, v, again_us);
		if (plan.act != PLAN_NOTHING)
			return plan;
	}
	if (is_hopeless(p, v))
		return plan_refuse(p, w);
	return (struct plan){ .act = PLAN_NOTHING };
}

/* Not used for so long that it must be asked whether it lives. */
static bool
is_stale(const struct slot *s, const struct plan_view *v)
{
	return v->settings->server_check_query[0] != '\0' && v->now_us - s->free_us > v->settings->server_check_delay_us;
}

/*
 * Reads that had to go to their second choice: let the first choice have a connection next time. One that lies idle too
 * long to be taken is asked whether it lives: nobody else would ask, while the second choice serves everybody.
 */
static struct plan
plan_wanted(struct pool *p, const struct plan_view *v, uint64_t *again_us)
{
	const struct topology *t = p->database->load->topology;
	for (uint16_t i = 0; i < t->count; i++) {
		struct pool_member *at = p->at[t->member[i].id];
		if (at == NULL || !at->wants_open)
			continue;
		at->wants_open = false;
		if (at->slots[SLOT_LOGIN].count + at->slots[SLOT_TESTED].count > 0)
			continue;
		struct node *last_used = list_first(&at->slots[SLOT_IDLE]);
		struct slot *s = last_used ? node_owner(last_used, struct slot, node) : NULL;
		if (s && !s->is_close_needed && is_stale(s, v))
			return (struct plan){ .act = PLAN_CHECK, .slot = s };
		if (s)
			continue;
		struct plan plan = plan_open(at, NULL, v, again_us);
		if (plan.act == PLAN_OPEN)
			return plan;
	}
	return (struct plan){ .act = PLAN_NOTHING };
}

/* Has the first who needs a connection of its own waited longer than the first of the others? */
static bool
is_own_earlier(const struct pool *p, enum lane lane)
{
	const struct node *own = list_first(&p->waiting_own[lane]), *other = list_first(&p->waiting[lane]);
	if (own == NULL || other == NULL)
		return own != NULL;
	return node_owner(own, struct waiter, node)->since_us < node_owner(other, struct waiter, node)->since_us;
}

struct plan
pool_plan(struct pool *p, const struct plan_view *v)
{
	uint64_t again_us = 0;
	if (v->is_paused || p->database->is_paused)
		return (struct plan){ .act = PLAN_NOTHING };
	for (enum lane lane = 0; lane < LANES; lane++) {
		bool own_first = is_own_earlier(p, lane);
		struct plan plan = own_first ? plan_own(p, lane, v, &again_us) : plan_lane(p, lane, v, &again_us);
		if (plan.act == PLAN_NOTHING)
			plan = own_first ? plan_lane(p, lane, v, &again_us) : plan_own(p, lane, v, &again_us);
		if (plan.act != PLAN_NOTHING)
			return plan;
	}
	struct plan plan = plan_wanted(p, v, &again_us);
	if (plan.act == PLAN_NOTHING)
		plan.again_us = again_us;
	return plan;
}

struct plan
pool_plan_listener(struct pool *p, const struct plan_view *v)
{
	struct slot *evict = NULL;
	if (v->is_paused || p->database->is_paused)
		return (struct plan){ .act = PLAN_NOTHING };
	struct route_request request = request_of(p, LANE_WRITE);
	struct route r = route_choose(p->database->load->topology, &request);
	if (r.result != ROUTE_MEMBER)
		return (struct plan){ .act = PLAN_NOTHING };
	struct pool_member *at = pool_at(p, p->database->load->topology->member[r.index].id);
	if (at->retry_us > v->now_us)
		return (struct plan){ .act = PLAN_NOTHING, .again_us = at->retry_us };
	switch (room_for_listener(at, &evict)) {
	case ROOM_YES:
		return (struct plan){ .act = PLAN_OPEN, .member = at->id };
	case ROOM_EVICT:
		return (struct plan){ .act = PLAN_EVICT, .slot = evict, .why = "room for a listening connection" };
	case ROOM_NO:
		break;
	}
	return (struct plan){
		.act = PLAN_REFUSE,
		.fault = { .by = FAULT_BY_PROXY, .sqlstate = SQLSTATE_TOO_MANY_CONNECTIONS,
		           .text = "max_db_connections or max_user_connections leaves no room for one" },
	};
}

const char *
slot_why_close(const struct slot *s, const struct topology *t)
{
	if (s->is_close_needed)
		return "close needed";
	if (t->is_plain)
		return NULL;
	const struct member *m = topology_member(t, s->at->id);
	if (m == NULL)
		return "member has left the cluster";
	const struct member *leader = topology_leader(t);
	if (m == leader)
		return NULL;
	if (!s->is_standby && leader)
		return "not the leader any more";
	if (!s->is_standby && m->role == MEMBER_REPLICA && t->has_patroni)
		return "not the leader any more";
	return NULL;
}

/* Has anybody been here who can use what lies idle? The database that physical replication names need not even exist. */
static bool
is_shared(const struct pool *p)
{
	return p->was_asked[LANE_WRITE] || p->was_asked[LANE_READ];
}

/* min_pool_size: where clients of this pool have been sent. */
static struct plan
plan_minimum(struct pool *p, const struct plan_view *v)
{
	const struct topology *t = p->database->load->topology;
	uint64_t again_us = 0;
	if (p->rules.min_pool_size <= 0 || !is_shared(p) || (p->clients == 0 && p->database->config->user == NULL))
		return (struct plan){ .act = PLAN_NOTHING };
	for (uint16_t i = 0; i < t->count; i++) {
		const struct member *m = &t->member[i];
		bool is_wanted = (m->why_not_write == NULL && (p->was_asked[LANE_WRITE] || p->database->config->user)) ||
		                 (m->why_not_read == NULL && p->was_asked[LANE_READ]);
		if (!is_wanted)
			continue;
		struct pool_member *at = pool_at(p, m->id);
		if (pool_member_size(at) >= (uint32_t)p->rules.min_pool_size)
			continue;
		struct plan plan = plan_open(at, NULL, v, &again_us);
		if (plan.act == PLAN_OPEN)
			return plan;
	}
	return (struct plan){ .act = PLAN_NOTHING };
}

/*
 * Without Patroni only a session tells what a member is: one that came back would never be found while others serve
 * everybody who waits.
 */
static struct plan
plan_unknown(struct pool *p, const struct plan_view *v)
{
	const struct topology *t = p->database->load->topology;
	uint64_t again_us = 0;
	if (t->has_patroni || t->is_plain || p->clients == 0 || !is_shared(p))
		return (struct plan){ .act = PLAN_NOTHING };
	for (uint16_t i = 0; i < t->count; i++) {
		if (!t->member[i].wants_session)
			continue;
		struct pool_member *at = pool_at(p, t->member[i].id);
		struct plan plan = at->count == 0 ? plan_open(at, NULL, v, &again_us) : (struct plan){ .act = PLAN_NOTHING };
		if (plan.act == PLAN_OPEN)
			return plan;
	}
	return (struct plan){ .act = PLAN_NOTHING };
}

struct plan
pool_upkeep(struct pool *p, const struct plan_view *v)
{
	const struct topology *t = p->database->load->topology;
	uint64_t idle_limit = v->settings->server_idle_timeout_us;
	uint64_t age_limit = p->rules.server_lifetime_us;
	for (int id = 0; id < CLUSTER_MEMBERS_MAX; id++) {
		struct pool_member *at = p->at[id];
		if (at == NULL)
			continue;
		list_each(&at->slots[SLOT_IDLE], n, after)
		{
			struct slot *s = node_owner(n, struct slot, node);
			const char *why = slot_why_close(s, t);
			/* Old ones go one by one, spread over a lifetime, so that a pool never is renewed all at once. */
			if (why == NULL && v->now_us - s->born_us > age_limit &&
			    (age_limit == 0 || v->now_us - p->lifetime_us > age_limit / (at->count ? at->count : 1))) {
				p->lifetime_us = v->now_us;
				why = "server lifetime over";
			}
			if (why == NULL && idle_limit > 0 && v->now_us - s->free_us > idle_limit &&
			    (p->rules.min_pool_size < 0 || pool_member_size(at) > (uint32_t)p->rules.min_pool_size))
				why = "server idle timeout";
			if (why)
				return (struct plan){ .act = PLAN_CLOSE, .slot = s, .why = why };
		}
	}
	if (v->is_paused || p->database->is_paused)
		return (struct plan){ .act = PLAN_NOTHING };
	/* Clients that find a free slot at once never come to pool_plan(). */
	uint64_t again_us = 0;
	struct plan plan = plan_wanted(p, v, &again_us);
	if (plan.act == PLAN_NOTHING)
		plan = plan_unknown(p, v);
	return plan.act != PLAN_NOTHING ? plan : plan_minimum(p, v);
}
