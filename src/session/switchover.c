/*
 * session/switchover.c - a planned change of leader, step by step; see the header.
 *
 *   switchover_begin ─► POST {} ┄► on_answer ─┐
 *   switchover_settle (nothing runs any more) ─┤
 *   on_tick (positions, deadline)             ─┼─► happens ─► switch_step() ─► enter, and do what it says
 *   switchover_on_topology                    ─┘
 *
 * Invariant: the hold is in HOLD_CLOSED at most from SWITCH_DO_HOLD to SWITCH_DO_RELEASE.
 */
#include "session/switchover.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/heap.h"
#include "base/log.h"
#include "cluster/watch.h"
#include "net/fetch.h"
#include "session/client.h"
#include "session/hold.h"
#include "session/proxy.h"
#include "session/server.h"

#define TICK_US        (20 * MILLISECOND_US)
#define CUT_GRACE_US   (2 * SECOND_US) /* for servers to be closed, and what was cut to be gone */
#define KNOCK_MS       5000
#define ASK_MS         90000           /* Patroni's call blocks until it is done */

struct switchover {
	struct proxy *proxy;
	struct cluster_load *load;
	uint64_t number;
	uint32_t by;
	char from[MEMBER_NAME_MAX], to[MEMBER_NAME_MAX];
	enum switch_state state;
	enum switch_end end;
	bool is_cutting;
	uint64_t began_us, since_us;  /* of all of it, of its state */
	uint64_t deadline_us;         /* the moment */
	uint64_t lsn;                 /* the leader's; 0: not measured yet */
	struct fetch *fetch;          /* under way, or NULL */
	struct timer *tick;           /* while it goes on */
	char said[160];               /* by Patroni, or why it did not */
	char tag[CLUSTER_NAME_MAX + 16];
};

static void happens(struct switchover *s, enum switch_event event);

bool
switchover_is_busy(const struct server *s)
{
	switch ((enum server_state)s->state) {
	case SERVER_LINKED:
		return !owed_is_empty(&s->owed) || s->owed.is_open || s->status != 'I' || s->link->in_left > 0 || s->in_left > 0;
	case SERVER_DRAINING:
	case SERVER_SETTLING:
		return s->login == NULL;
	default:
		return false; /* idle; or a stream, which has no end to wait for */
	}
}

static bool
is_on_leader(const struct switchover *s, const struct server *server)
{
	const struct member *leader = topology_leader(s->load->topology);
	return leader && server->pool->database->load == s->load && server->slot.at && server->slot.at->id == leader->id;
}

uint32_t
switchover_busy(const struct proxy *x, const struct cluster_load *load, uint16_t id)
{
	uint32_t count = 0;
	list_each(&x->servers, n, after)
	{
		const struct server *s = node_owner(n, struct server, node);
		count += s->pool->database->load == load && s->slot.at && s->slot.at->id == id && switchover_is_busy(s);
	}
	return count;
}

bool
switchover_may_lead(const struct topology *t, const struct member *m)
{
	return m != topology_leader(t) && m->is_reachable && m->role == MEMBER_REPLICA && !m->no_failover &&
	       (m->state == MEMBER_RUNNING || m->state == MEMBER_STREAMING || m->state == MEMBER_IN_ARCHIVE_RECOVERY);
}

/* ---- what a step does ---- */

/* As one line that holds no surprises. */
static void
note_words(struct switchover *s, struct view body)
{
	size_t n = 0;
	for (size_t i = 0; i < body.n && n < sizeof(s->said) - 1; i++)
		if (body.p[i] >= 0x20 && body.p[i] < 0x7f)
			s->said[n++] = (char)body.p[i];
	s->said[n] = '\0';
}

static void
on_answer(const struct fetch_answer *answer, void *context)
{
	struct switchover *s = context;
	bool is_knock = s->state == SWITCH_KNOCKING;
	s->fetch = NULL;
	if (answer->outcome != FETCH_OK) {
		note_words(s, view_of_string(answer->error));
		happens(s, SWITCH_ON_SILENCE);
		return;
	}
	enum switch_event event = switch_answer(answer->status, answer->body, is_knock);
	if (!is_knock || event != SWITCH_ON_YES)
		note_words(s, answer->body);
	log_debug(s->tag, "Patroni answers %d", answer->status);
	happens(s, event);
}

static void
send_order(struct switchover *s, struct view body, uint32_t timeout_ms)
{
	fetch_cancel(s->fetch);
	s->fetch = cluster_send(s->load->cluster, "/switchover", body, timeout_ms, on_answer, s);
}

/*
 * Those who are held are refused after failover_hold_timeout, and a switchover that does not come about is no reason for that: two
 * thirds of it are for transactions to end, what is left until five sixths for Patroni to begin. UINT64_MAX: there is no limit.
 */
static uint64_t
hold_ends_us(const struct switchover *s, uint64_t sixths)
{
	uint64_t limit_us = s->proxy->config->settings.failover_hold_timeout_us;
	return limit_us ? s->load->hold->held_us + limit_us / 6 * sixths : UINT64_MAX;
}

static bool
is_held_too_long(const struct switchover *s)
{
	return s->state >= SWITCH_ASKING && s->state < SWITCH_LEADERLESS && topology_leader(s->load->topology) &&
	       clock_now_us() > hold_ends_us(s, 5);
}

static void
ask(struct switchover *s)
{
	struct buf body = { 0 };
	switch_body(&body, s->from, s->to);
	send_order(s, buf_view(&body), ASK_MS);
	buf_free(&body);
}

static void
cut(struct switchover *s)
{
	s->is_cutting = false;
	s->deadline_us = clock_now_us() + CUT_GRACE_US;
	list_each(&s->proxy->servers, n, after)
	{
		struct server *server = node_owner(n, struct server, node);
		if (is_on_leader(s, server) && switchover_is_busy(server))
			server_lost(server, FAULT_BY_ADMIN, "a switchover did not wait for it any longer");
	}
}

static void
finish(struct switchover *s, enum switch_end end)
{
	s->end = end;
	if (end != SWITCH_DONE && end != SWITCH_CANCELLED)
		log_warning(s->tag, "switchover from %s failed: %s%s%s", s->from, switch_end_name(end), s->said[0] ? ": " : "", s->said);
	fetch_cancel(s->fetch);
	s->fetch = NULL;
	timer_clear(s->tick);
	if (s->load->hold->state == HOLD_CLOSED)
		hold_reopen(s->load->hold);
}

static void
happens(struct switchover *s, enum switch_event event)
{
	if (s->state == SWITCH_OVER)
		return;
	struct switch_step step = switch_step(s->state, event);
	if (step.next != s->state) {
		log_info(s->tag, "switchover: %s", step.end ? switch_end_name(step.end) : switch_state_name(step.next));
		s->since_us = clock_now_us();
	}
	s->state = step.next;
	switch (step.act) {
	case SWITCH_DO_NOTHING:
		break;
	case SWITCH_DO_HOLD:
		s->deadline_us += clock_now_us() - s->began_us; /* it is for transactions, not for Patroni */
		hold_close(s->load->hold, "SWITCHOVER");
		if (s->deadline_us > hold_ends_us(s, 4))
			s->deadline_us = hold_ends_us(s, 4);
		break;
	case SWITCH_DO_MEASURE:
		s->lsn = 0;
		break;
	case SWITCH_DO_ASK:
		ask(s);
		break;
	case SWITCH_DO_CUT:
		cut(s);
		break;
	case SWITCH_DO_RELEASE:
		finish(s, step.end);
		break;
	}
}

/* ---- what happens ---- */

/* The positions that were asked for after the last transaction had ended. */
static void
compare_positions(struct switchover *s)
{
	const struct topology *t = cluster_topology(s->load->cluster); /* with the numbers of the last round */
	const struct member *leader = topology_leader(t);
	if (leader == NULL)
		return;
	if (s->lsn == 0 && leader->asked_us > s->since_us)
		s->lsn = leader->lsn;
	if (s->lsn && switch_is_caught_up(t, s->from, s->to, s->lsn, s->since_us))
		happens(s, SWITCH_ON_CAUGHT_UP);
}

static void
on_tick(void *context)
{
	struct switchover *s = context;
	uint64_t now = clock_now_us();
	if (s->state == SWITCH_CATCHING_UP)
		compare_positions(s);
	if (switch_has_deadline(s->state) && now >= s->deadline_us)
		happens(s, s->is_cutting ? SWITCH_ON_LATE_CUT : SWITCH_ON_LATE);
	else if (s->state != SWITCH_OVER && (now - s->since_us > switch_patience_us(s->state) || is_held_too_long(s)))
		happens(s, SWITCH_ON_LATE);
	if (s->state == SWITCH_OVER)
		return;
	cluster_poll_now(s->load->cluster, "a switchover is under way");
	timer_set(s->tick, TICK_US);
}

void
switchover_on_topology(struct switchover *s)
{
	if (s == NULL || s->state == SWITCH_OVER)
		return;
	const struct member *leader = topology_leader(s->load->topology);
	happens(s, leader == NULL                        ? SWITCH_ON_LOST
	           : strcmp(leader->name, s->from) == 0 ? SWITCH_ON_SAME
	                                                : SWITCH_ON_OTHER);
}

void
switchover_settle(struct switchover *s)
{
	const struct member *leader = topology_leader(s->load->topology);
	if (s->state == SWITCH_DRAINING && leader && switchover_busy(s->proxy, s->load, leader->id) == 0)
		happens(s, SWITCH_ON_DRAINED);
}

void
switchover_stop(struct switchover *s)
{
	if (s)
		happens(s, SWITCH_ON_STOP);
}

void
switchover_free(struct switchover *s)
{
	if (s == NULL)
		return;
	fetch_cancel(s->fetch);
	timer_free(s->tick);
	heap_free(s);
}

/* ---- orders ---- */

struct cluster_load *
switchover_cluster(struct proxy *x, const char *name, struct text *why)
{
	struct cluster_load *found = NULL;
	list_each(&x->loads, n, after)
	{
		struct cluster_load *load = node_owner(n, struct cluster_load, node);
		if (!load->topology->has_patroni || (name[0] && strcmp(load->topology->cluster, name) != 0))
			continue;
		if (found) {
			text_add(why, "there are several clusters: say which, SWITCHOVER CLUSTER <name>");
			return NULL;
		}
		found = load;
	}
	if (found == NULL && name[0])
		text_addf(why, "no such cluster with Patroni: %s", name);
	else if (found == NULL)
		text_add(why, "there is no cluster with Patroni");
	return found;
}

static bool
can_anybody_lead(const struct topology *t)
{
	for (uint16_t i = 0; i < t->count; i++)
		if (switchover_may_lead(t, &t->member[i]))
			return true;
	return false;
}

static bool
may_begin(struct proxy *x, const struct cluster_load *load, const struct switch_order *order, struct text *why)
{
	const struct topology *t = load->topology;
	const struct member *leader = topology_leader(t);
	const struct switchover *last = load->hold->switchover;
	if (x->state >= PROXY_STOPPING_SERVERS)
		text_add(why, "pooler is shutting down");
	else if ((last && last->state != SWITCH_OVER) || hold_is_planned(load->hold))
		text_addf(why, "a switchover of %s is under way already", t->cluster);
	else if (leader == NULL)
		text_addf(why, "cluster %s has no leader: %s", t->cluster, t->why_no_leader);
	else if (order->to[0] == '\0' && !can_anybody_lead(t))
		text_add(why, "no member could lead next: SWITCHOVER CHECK tells why");
	else if (order->to[0] && topology_member_named(t, order->to) == NULL)
		text_addf(why, "cluster %s has no member %s", t->cluster, order->to);
	else if (order->to[0] && topology_member_named(t, order->to) != leader &&
	         !switchover_may_lead(t, topology_member_named(t, order->to)))
		text_addf(why, "member %s can't lead now: SWITCHOVER CHECK tells why", order->to);
	else
		return true;
	return false;
}

uint64_t
switchover_begin(struct proxy *x, struct cluster_load *load, const struct switch_order *order, struct text *why)
{
	if (!may_begin(x, load, order, why))
		return 0;
	struct hold *h = load->hold;
	switchover_free(h->switchover);
	struct switchover *s = h->switchover = heap_alloc(sizeof(*s));
	s->proxy = x;
	x->is_holding = true;
	s->load = load;
	s->number = ++x->failovers->switchovers;
	s->by = order->by;
	snprintf(s->from, sizeof(s->from), "%s", topology_leader(load->topology)->name);
	snprintf(s->to, sizeof(s->to), "%s", order->to);
	snprintf(s->tag, sizeof(s->tag), "cluster %s", load->topology->cluster);
	s->is_cutting = order->is_cutting;
	s->began_us = s->since_us = clock_now_us();
	s->deadline_us = s->began_us + order->deadline_us;
	s->tick = timer_new(x->loop, on_tick, s);
	if (strcmp(s->from, s->to) == 0) { /* another instance, or somebody, was quicker */
		s->state = SWITCH_OVER;
		s->end = SWITCH_DONE;
		return s->number;
	}
	log_info(s->tag, "switchover from %s to %s begins", s->from, s->to[0] ? s->to : "whom Patroni chooses");
	send_order(s, view_of_string("{}"), KNOCK_MS);
	timer_set(s->tick, TICK_US);
	return s->number;
}

static struct switchover *
find(struct proxy *x, uint64_t number)
{
	list_each(&x->loads, n, after)
	{
		struct switchover *s = node_owner(n, struct cluster_load, node)->hold->switchover;
		if (s && s->number == number)
			return s;
	}
	return NULL;
}

enum switch_end
switchover_result(struct proxy *x, uint64_t number, struct text *out)
{
	const struct switchover *s = find(x, number);
	if (s == NULL || s->end == SWITCH_GOES_ON) {
		if (s == NULL)
			text_add(out, switch_end_name(SWITCH_STOPPED));
		return s ? SWITCH_GOES_ON : SWITCH_STOPPED;
	}
	if (s->end == SWITCH_DONE) {
		const struct member *leader = topology_leader(s->load->topology);
		text_addf(out, "%s leads %s now, on timeline %" PRIu32 "; it took %.3f s", leader ? leader->name : "nobody",
		          s->load->topology->cluster, s->load->topology->timeline, (double)(s->since_us - s->began_us) / SECOND_US);
		return s->end;
	}
	text_addf(out, "switchover from %s failed: %s%s%s", s->from, switch_end_name(s->end), s->said[0] ? ": " : "", s->said);
	return s->end;
}

void
switchover_cancel(struct proxy *x, uint64_t number)
{
	struct switchover *s = find(x, number);
	if (s)
		happens(s, SWITCH_ON_CANCEL);
}

void
switchover_on_leave(struct proxy *x, uint32_t by)
{
	list_each(&x->loads, n, after)
	{
		struct switchover *s = node_owner(n, struct cluster_load, node)->hold->switchover;
		if (s && s->by == by)
			happens(s, SWITCH_ON_CANCEL);
	}
}
