/* session/hold.c - a cluster between two leaders: signs, witnesses, and what is written down; see the header. */
#include "session/hold.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/heap.h"
#include "base/log.h"
#include "cluster/watch.h"
#include "session/proxy.h"
#include "session/scheduled.h"
#include "session/switchover.h"

#define SIGN_OLD_US    (10 * SECOND_US)        /* a sign from longer ago has nothing to do with it */
#define CONFIRM_MAX_US (200 * MILLISECOND_US)  /* for Patroni to answer once more */
#define CALM_DOUBT_US  (500 * MILLISECOND_US)  /* a leader that is lost so soon after it was confirmed was not well then */
#define QUIET_TIMES    100                     /* after a false alarm, in times of what it took: */
#define QUIET_MAX_US   (10 * SECOND_US)

struct hold *
hold_new(struct proxy *x, struct cluster_load *load)
{
	struct hold *h = heap_alloc(sizeof(*h));
	h->proxy = x;
	h->load = load;
	scheduled_open(h);
	snprintf(h->tag, sizeof(h->tag), "cluster %s", cluster_name(load->cluster));
	h->held_us = h->since_us = clock_now_us();
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

bool
hold_is_open(const struct hold *h)
{
	return hold_meaning(h->state)->is_event;
}

bool
hold_is_planned(const struct hold *h)
{
	return h->state == HOLD_CLOSED || h->state == HOLD_ASKED;
}

static bool
is_suspected(const struct hold *h)
{
	return h->state == HOLD_SUSPECTED || h->state == HOLD_PROBING;
}

uint64_t
hold_since_us(const struct cluster_load *load)
{
	return load->topology->is_plain ? 0 : load->hold->held_us;
}

bool
hold_is_patient(const struct cluster_load *load)
{
	const struct hold *h = load->hold;
	uint64_t limit_us = h->proxy->config->settings.failover_hold_timeout_us;
	return hold_is_open(h) && (limit_us == 0 || clock_now_us() - hold_since_us(load) <= limit_us);
}

/* As it was judged last, with the numbers of the last round. */
static const struct member *
leader_now(const struct hold *h)
{
	return topology_leader(cluster_topology(h->load->cluster));
}

/* Is there a sign against this leader that its Patroni was not asked about yet? */
static bool
is_in_doubt(const struct hold *h, const struct member *leader)
{
	const struct cluster_load *load = h->load;
	return leader && load->doubt.us && load->doubt.id == leader->id && leader->asked_us <= load->doubt.us;
}

/* ---- what is written down ---- */

static void
write_sign(struct hold *h, uint64_t at_us, const char *text)
{
	struct failover *e = &h->event;
	*e = (struct failover){ .sign_us = at_us, .hold_us = clock_now_us(), .timeline_from = h->load->topology->timeline };
	snprintf(e->cluster, sizeof(e->cluster), "%s", cluster_name(h->load->cluster));
	snprintf(e->from, sizeof(e->from), "%s", h->led_last);
	snprintf(e->sign, sizeof(e->sign), "%s", text);
}

/* Patroni may say for a moment that a leader leads that has just been killed. Then the last false alarm was none. */
static bool
take_alarm_back(struct hold *h)
{
	if (h->calm_us == 0 || clock_now_us() - h->calm_us > CALM_DOUBT_US)
		return false;
	h->event = h->calmed;
	h->false_alarms--;
	h->false_alarms_us -= h->calm_us - h->event.hold_us;
	h->calm_us = h->quiet_until_us = 0;
	return true;
}

/* An event begins. What the polls noticed just before is its sign, unless a session's was. */
static void
begin(struct hold *h, const char *why, bool is_planned)
{
	const struct cluster_sign *sign = cluster_sign(h->load->cluster);
	uint64_t now = clock_now_us();
	if (is_planned)
		write_sign(h, now, why);
	else if (take_alarm_back(h) || is_suspected(h))
		; /* it is there */
	else if (sign->at_us && now - sign->at_us < SIGN_OLD_US && sign->at_us >= h->open_us && sign->at_us > h->calm_us)
		write_sign(h, sign->at_us, sign->text);
	else
		write_sign(h, now, why);
	h->event.number = ++h->proxy->failovers->begun;
	h->event.is_planned = is_planned;
}

static void
add_moment(struct text *out, const char *name, const struct failover *e, uint64_t at_us)
{
	if (at_us)
		text_addf(out, " %s=%.3fs", name, (double)(at_us - e->sign_us) / SECOND_US);
}

static void
log_event(const struct hold *h)
{
	const struct failover *e = &h->event;
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
	log_info(h->tag, "%s", line);
}

static const char *
how_it_ended(const struct hold *h)
{
	const struct failover *e = &h->event;
	if (topology_leader(h->load->topology) == NULL)
		return "the cluster is followed in another way";
	if (strcmp(e->from, e->to) == 0)
		return e->is_planned ? "the leader stayed" : "the same leader came back";
	return "another member leads";
}

static void
end(struct hold *h)
{
	struct failover *e = &h->event;
	struct failovers *all = h->proxy->failovers;
	e->end_us = clock_now_us();
	e->how = how_it_ended(h);
	h->ended++;
	h->all_held_us += e->end_us - e->hold_us;
	all->kept[all->ended++ % FAILOVERS_KEPT] = *e;
	log_event(h);
}

static void
calm(struct hold *h)
{
	uint64_t now = clock_now_us();
	uint64_t took_us = now - h->event.hold_us;
	uint64_t quiet_us = took_us * QUIET_TIMES < QUIET_MAX_US ? took_us * QUIET_TIMES : QUIET_MAX_US;
	h->calm_us = now;
	h->quiet_until_us = now + quiet_us;
	h->calmed = h->event;
	h->false_alarms++;
	h->false_alarms_us += took_us;
}

/* ---- steps ---- */

/* The moments of the two witnesses, as the new state has them. */
static void
note_witnesses(struct hold *h)
{
	struct failover *e = &h->event;
	const struct member *leader = topology_leader(h->load->topology);
	uint64_t now = clock_now_us();
	bool is_named = h->state == HOLD_NAMED || h->state == HOLD_RELEASING;
	if (hold_meaning(h->state)->is_holding)
		e->server_us = 0;
	if (!is_named) {
		e->patroni_us = 0;
		return;
	}
	if (e->patroni_us == 0 || h->state == HOLD_NAMED)
		e->patroni_us = now;
	if (h->state == HOLD_RELEASING)
		e->server_us = now;
	snprintf(e->to, sizeof(e->to), "%s", leader->name);
	e->timeline_to = h->load->topology->timeline;
}

/* The only place that assigns h->state. */
static void
enter(struct hold *h, enum hold_state to, const char *why)
{
	const struct hold_meaning *before = hold_meaning(h->state), *now = hold_meaning(to);
	bool was_suspected = is_suspected(h);
	log_debug(h->tag, "writes: %s -> %s: %s", before->name, now->name, why);
	h->state = to;
	h->since_us = clock_now_us();
	if (to > HOLD_STEADY)
		h->proxy->is_holding = true; /* until hold_settle() finds it is over */
	h->load->is_closed = now->is_closed;
	if (!now->is_holding)
		h->held_us = 0;
	else if (h->held_us == 0)
		h->held_us = h->since_us;
	if (!now->is_holding && !was_suspected)
		h->open_us = h->since_us;
	if (now->is_event)
		note_witnesses(h);
	cluster_hurry(h->load->cluster, now->is_holding && to != HOLD_PROBING);
	if (now->is_closed)
		return;
	list_each(&h->proxy->pools, n, after)
	{
		struct pool *p = node_owner(n, struct pool, node);
		if (p->database->load == h->load)
			proxy_dirty(h->proxy, p);
	}
}

void
hold_happens(struct hold *h, enum hold_event event, const char *why)
{
	struct hold_step step = hold_step(h->state, event);
	switch (step.act) {
	case HOLD_DO_NOTHING:
		break;
	case HOLD_DO_SUSPECT:
		write_sign(h, clock_now_us(), why);
		break;
	case HOLD_DO_CALM:
		calm(h);
		break;
	case HOLD_DO_BEGIN:
		begin(h, why, false);
		break;
	case HOLD_DO_PLAN:
		if (hold_is_open(h))
			h->event.is_planned = true;
		else
			begin(h, why, true);
		break;
	case HOLD_DO_END:
		end(h);
		break;
	}
	if (step.next != h->state || event == HOLD_ON_OTHER)
		enter(h, step.next, why);
}

/* ---- signs and witnesses ---- */

static void
doubt(struct hold *h, uint16_t id)
{
	h->load->doubt.id = id;
	h->load->doubt.us = clock_now_us();
}

static bool
is_heard(const struct hold *h, enum session_says says)
{
	switch (says) {
	case SESSION_BROKE:
	case SESSION_SHUTTING_DOWN:
		return clock_now_us() >= h->quiet_until_us;
	case SESSION_REFUSED:
	case SESSION_SILENT:
	case SESSION_IN_RECOVERY:
		return true;
	case SESSION_NOTHING:
	case SESSION_WRITABLE:
		break;
	}
	return false;
}

void
hold_report(struct cluster_load *load, uint16_t member_id, enum session_says says)
{
	struct hold *h = load->hold;
	cluster_report_session(load->cluster, member_id, says);
	const struct member *leader = topology_leader(load->topology);
	if (leader == NULL || leader->id != member_id)
		return;
	if (says == SESSION_WRITABLE) {
		hold_happens(h, HOLD_ON_SERVER, "a session takes writes");
		return;
	}
	doubt(h, member_id);
	if (!is_heard(h, says))
		return;
	char why[FAILOVER_SIGN_MAX];
	snprintf(why, sizeof(why), "%.*s %s", FAILOVER_SIGN_MAX / 2, leader->name, session_says_name(says));
	hold_happens(h, HOLD_ON_SIGN, why);
	if (h->state == HOLD_SUSPECTED || h->state == HOLD_RELAPSED)
		cluster_ask_leader(load->cluster);
}

/* Has one of its sessions said that it takes writes, after all that spoke against it? */
static bool
is_witnessed(const struct hold *h, const struct member *leader)
{
	uint64_t after_us = h->event.sign_us;
	if (h->load->doubt.id == leader->id && h->load->doubt.us > after_us)
		after_us = h->load->doubt.us;
	return leader->server_says_writable && leader->told_us >= after_us;
}

static void
look_again(struct hold *h)
{
	const struct member *leader = leader_now(h);
	if (leader == NULL || !h->load->topology->has_patroni || leader->is_silent || clock_now_us() - h->since_us > CONFIRM_MAX_US)
		hold_happens(h, HOLD_ON_MUTE, "there is no Patroni, or it does not answer in time");
	else if (!is_in_doubt(h, leader))
		hold_happens(h, HOLD_ON_CONFIRMED, "it still leads");
}

void
hold_look(struct proxy *x)
{
	list_each(&x->loads, n, after)
	{
		struct hold *h = node_owner(n, struct cluster_load, node)->hold;
		if (is_suspected(h) || h->state == HOLD_RELAPSED)
			look_again(h);
	}
}

void
hold_on_topology(struct hold *h, const struct topology *old)
{
	const struct topology *now = h->load->topology;
	const struct member *before = topology_leader(old), *leader = topology_leader(now);
	if (now->is_plain != old->is_plain || now->has_patroni != old->has_patroni)
		hold_happens(h, HOLD_ON_RELOAD, "the cluster is followed in another way");
	if (now->is_plain)
		return;
	if (before && leader == NULL)
		doubt(h, before->id); /* if it comes back: what became of its sessions? */
	if (leader == NULL) {
		hold_happens(h, HOLD_ON_LOST, now->why_no_leader);
	} else {
		bool is_same = before ? before->id == leader->id : strcmp(h->led_last, leader->name) == 0;
		hold_happens(h, is_same ? HOLD_ON_SAME : HOLD_ON_OTHER, is_same ? "the same leader" : "another leader");
		snprintf(h->led_last, sizeof(h->led_last), "%s", leader->name);
		if (h->state == HOLD_NAMED && is_witnessed(h, leader))
			hold_happens(h, HOLD_ON_SERVER, "a session takes writes");
	}
	switchover_on_topology(h->switchover);
}

/* ---- planned ---- */

void
hold_close(struct hold *h, const char *why)
{
	hold_happens(h, HOLD_ON_CLOSE, why);
}

/* What was noticed while it was closed anyway counts now. */
static void
open_again(struct hold *h, enum hold_event event)
{
	hold_happens(h, event, "it is opened again");
	const struct member *leader = leader_now(h);
	if (h->state == HOLD_RELEASING && is_in_doubt(h, leader) && !leader->is_silent)
		hold_happens(h, HOLD_ON_SIGN, "it was suspected meanwhile");
}

void
hold_reopen(struct hold *h)
{
	open_again(h, HOLD_ON_REOPEN);
}

void
hold_ask(struct hold *h, uint64_t ttl_us, const char *why)
{
	bool was_asked = h->state == HOLD_ASKED;
	hold_happens(h, HOLD_ON_ASK, why);
	h->is_asked_by_schedule = false;
	h->asked_until_us = clock_now_us() + ttl_us;
	if (h->state == HOLD_ASKED && !was_asked)
		log_info(h->tag, "writes are held: %s says that %s is about to stop", why, h->led_last);
}

void
hold_release(struct hold *h)
{
	open_again(h, HOLD_ON_RELEASE);
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
		if (h->state == HOLD_ASKED && clock_now_us() >= h->asked_until_us)
			hold_release(h);
		scheduled_on_second(h);
	}
}
