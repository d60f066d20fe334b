/*
 * cluster/watch.c - the cluster's eyes and ears: polls, listings, reports of sessions; publishes what judge() says.
 *
 *   timer ─► watch_on_tick ─┬─► GET /primary of each idle member ─► watch_on_status ─┐
 *                           └─► GET /cluster of one of them ─────► watch_on_list ────┤
 *   cluster_report_session ──────────────────────────────────────────────────────────┴─► known ┄ timer ┄► watch_publish
 *                                                                                                  judge(), on_topology()
 *
 * Owns: what is known of each member, the requests under way, the newest topology. Never: decides who leads (judge).
 * Invariant: known.member[id] is &place[id]->known, or NULL; a source has at most one request under way.
 * Source: Patroni 2.1 to 4.1 as observed.
 */
#include "cluster/watch.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/heap.h"
#include "base/log.h"
#include "base/must.h"
#include "base/text.h"
#include "cluster/patroni.h"
#include "net/fetch.h"
#include "net/loop.h"

#define POLL_INTERVAL_PRESET_US SECOND_US
#define POLL_TIMEOUT_PRESET_US  SECOND_US

/* While there is no agreed leader, and for a while after a sign of trouble. The longer nobody leads, the less it is
 * a failover that somebody waits for: each answer costs the member a query. */
#define POLL_FAST_US    (50 * MILLISECOND_US)
#define POLL_FASTEST_US (10 * MILLISECOND_US) /* from the last round to the one that the first sign brings */
#define LOOK_EVERY_US   (200 * MILLISECOND_US) /* between rounds for signs that are not about the leader */
#define TROUBLE_US      (3 * SECOND_US)
static const struct {
	uint64_t leaderless_us, delay_us;
} leaderless_pace[] = {
	{ 60 * SECOND_US, POLL_FAST_US },
	{ 600 * SECOND_US, 2 * POLL_FAST_US },
	{ UINT64_MAX, 5 * POLL_FAST_US },
};

#define SHORT_AFTER         3   /* failures in a row */
#define SHORT_TIMEOUT_MS    250

#define LIST_EVERY_US       (5 * SECOND_US)
#define LIST_LEADERLESS_US  (5 * SECOND_US)
#define LIST_RETRY_US       SECOND_US
#define LIST_TIMEOUT_MAX_MS 500 /* a listing hangs when the DCS does, and its member is not asked for health */

#define ABSENCES_MAX  3                /* good listings without a member that does not answer either, */
#define ABSENT_MIN_US (20 * SECOND_US) /* over so long a time */
#define ABSENT_MAX_US (60 * SECOND_US) /* and without one that does */

#define COMPLAIN_EVERY_US (5 * SECOND_US) /* of one source, when it finds ever new ways to fail */
#define COMPLAIN_AFTER    3               /* failures in a row: one timeout is no news */

/* Where requests go: a member's Patroni, or a configured URL. */
struct source {
	struct cluster *cluster;
	bool            is_seed;              /* configured, not learnt: its failures to list are told */
	char            url[PATRONI_URL_MAX]; /* without a path; "": it has none */
	struct fetch   *fetch;                /* under way, or NULL */
	uint64_t        asked_us;
	int             trouble;              /* what was complained of last: a fetch_outcome, or TROUBLE_... */
	uint64_t        complained_us;
};

enum { TROUBLE_NONE = -1, TROUBLE_NONSENSE = -2 };

/* An id and who has it, or had it. */
struct place {
	struct known_member known;
	struct source       source;
	int                 id;
	uint32_t            absences;   /* good listings in a row without it */
	uint64_t            absent_us;  /* since the first of them; then, when it was removed */
};

struct cluster {
	struct loop    *loop;
	struct fetcher *fetcher;
	struct cluster_callbacks callbacks;
	struct cluster_counters  counters;
	char           *name;
	char           *tag;              /* of log lines: "cluster main" */
	struct known    known;
	struct trail    trail;            /* of the leader's WAL */
	struct place   *place[CLUSTER_MEMBERS_MAX]; /* by id; NULL: never given away */
	struct source  *seeds;            /* configured URLs */
	int             seed_count;
	uint64_t        poll_timeout_us;
	struct patroni_identity identity; /* strings are ours */
	struct timer   *tick;
	struct timer   *publish;
	const struct topology *topology;  /* one reference; never NULL */
	uint64_t        ticked_us;        /* the last round */
	uint64_t        tick_due_us;      /* the next one, while the timer is set */
	uint64_t        trouble_until_us; /* poll often until then */
	uint64_t        doubt_us;         /* the leader's Patroni is to answer a question that was asked after this */
	bool            is_hurried;       /* somebody waits for a leader */
	struct cluster_sign sign;
	bool            wants_list;       /* now, not only when the last one has grown old */
	uint64_t        listed_us;        /* the last good listing */
	uint64_t        list_asked_us;    /* the last attempt */
	uint16_t        list_turn;        /* id that is the next to be asked for a listing */
	struct schedule schedule;         /* as of the last good listing */
	int             leader_id_last;   /* -1: there never was one */
	uint64_t        leaderless_since_us; /* 0: there is a leader */
};

/* Small questions */

static struct known_member *
watch_known(const struct cluster *c, int id)
{
	return c->known.member[id] ? &c->place[id]->known : NULL;
}

static uint16_t
watch_member_count(const struct cluster *c)
{
	uint16_t n = 0;
	for (int id = 0; id < CLUSTER_MEMBERS_MAX; id++)
		n += c->known.member[id] != NULL;
	return n;
}

static bool
is_leader_id(const struct cluster *c, int id)
{
	const struct member *leader = topology_leader(c->topology);
	return leader && leader->id == id;
}

/* A standby cluster never has a leader to write to: nobody waits for one. */
static bool
is_standby_cluster(const struct cluster *c)
{
	for (int id = 0; id < CLUSTER_MEMBERS_MAX; id++) {
		const struct known_member *m = c->known.member[id];
		if (m && m->failures == 0 && m->said.is_standby_leader && !m->said.is_unlocked)
			return true;
	}
	return false;
}

static uint64_t
poll_delay_us(const struct cluster *c, uint64_t now_us)
{
	uint64_t interval_us = c->known.limits.poll_interval_us;
	uint64_t delay_us = interval_us;
	if (now_us < c->trouble_until_us || (c->is_hurried && c->topology->leader >= 0)) {
		delay_us = POLL_FAST_US;
	} else if (c->topology->is_stale) {
		delay_us = 2 * POLL_FAST_US;
	} else if (c->topology->leader < 0 && !is_standby_cluster(c)) {
		size_t at = 0;
		while (now_us - c->leaderless_since_us > leaderless_pace[at].leaderless_us)
			at++;
		delay_us = leaderless_pace[at].delay_us;
	}
	return delay_us < interval_us ? delay_us : interval_us;
}

static bool
needs_ticks(const struct cluster *c)
{
	return c->known.kind != CLUSTER_PLAIN || watch_member_count(c) > 1;
}

/* A URL in a log line: without the user and password that it may hold. */
static struct view
url_shown(const char *url)
{
	const char *authority = strstr(url, "://");
	authority = authority ? authority + 3 : url;
	const char *at = memchr(authority, '@', strcspn(authority, "/?#"));
	return view_of_string(at ? at + 1 : url);
}

/* Complaining about a source: once per change, never more often than COMPLAIN_EVERY_US. */

static void
source_complain(struct source *s, int trouble, const char *text)
{
	uint64_t now_us = clock_now_us();
	if (s->trouble == trouble || (s->complained_us && now_us - s->complained_us < COMPLAIN_EVERY_US))
		return;
	struct view url = url_shown(s->url);
	log_warning(s->cluster->tag, "Patroni at %.*s: %s", (int)url.n, (const char *)url.p, text);
	s->trouble = trouble;
	s->complained_us = now_us;
}

static void
source_praise(struct source *s)
{
	if (s->trouble == TROUBLE_NONE)
		return;
	struct view url = url_shown(s->url);
	log_info(s->cluster->tag, "Patroni at %.*s answers again", (int)url.n, (const char *)url.p);
	s->trouble = TROUBLE_NONE;
	s->complained_us = 0;
}

/* The next round, unless it is planned for an earlier time. */
static void
watch_tick_at(struct cluster *c, uint64_t due_us)
{
	if (timer_is_set(c->tick) && c->tick_due_us <= due_us)
		return;
	uint64_t now_us = clock_now_us();
	c->tick_due_us = due_us;
	timer_set(c->tick, due_us > now_us ? due_us - now_us : 0);
}

/*
 * A sign of trouble: the next round comes at once; and if it `is_serious`, rounds stay frequent for a while. What is in
 * trouble already is not asked faster for a hundred signs more.
 */
static void
watch_note_trouble(struct cluster *c, const char *why, bool is_serious)
{
	uint64_t now_us = clock_now_us();
	bool is_known = now_us < c->trouble_until_us;
	if (is_serious && !is_known) {
		c->sign.at_us = now_us;
		snprintf(c->sign.text, sizeof(c->sign.text), "%s", why);
	}
	if (c->known.kind != CLUSTER_OF_PATRONI)
		return;
	log_at(is_known || !is_serious ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO, c->tag, "asking all members now: %s", why);
	if (is_serious)
		c->trouble_until_us = now_us + TROUBLE_US;
	watch_tick_at(c, c->ticked_us + (is_known ? POLL_FAST_US : is_serious ? POLL_FASTEST_US : LOOK_EVERY_US));
}

/* Judging and publishing, at the earliest in the next turn of the loop */

static void
watch_judge_soon(struct cluster *c)
{
	if (!timer_is_set(c->publish))
		timer_set(c->publish, 0);
}

static void
log_leader(struct cluster *c, const struct topology *old, const struct topology *new, uint64_t leaderless_us)
{
	if (new->is_plain)
		return;
	const struct member *before = topology_leader(old), *now = topology_leader(new);
	if (now && (before == NULL || before->id != now->id)) {
		char gap[64] = "";
		if (leaderless_us)
			snprintf(gap, sizeof(gap), ", after %.3f s without one", (double)leaderless_us / SECOND_US);
		log_info(c->tag, "leader is %s (%s:%u), timeline %" PRIu32 "%s", now->name, now->host, now->port,
			 new->timeline, gap);
	}
	if (before && now == NULL)
		log_warning(c->tag, "leader %s is lost: %s", before->name, new->why_no_leader);
	if (before == NULL && now == NULL && old->why_no_leader && strcmp(old->why_no_leader, new->why_no_leader) != 0)
		log_info(c->tag, "no leader: %s", new->why_no_leader);
	if (new->is_stale && !old->is_stale)
		log_warning(c->tag, "leader %s is kept although its Patroni does not answer: nobody contradicts",
			    now->name);
	if (now && old->is_stale && !new->is_stale)
		log_info(c->tag, "leader %s is confirmed by Patroni again", now->name);
	if (old->is_paused != new->is_paused)
		log_info(c->tag, "Patroni's maintenance mode is %s", new->is_paused ? "on" : "off");
}

static void
log_members(struct cluster *c, const struct topology *old, const struct topology *new)
{
	for (uint16_t i = 0; i < new->count; i++) {
		const struct member *m = &new->member[i], *before = topology_member(old, m->id);
		const char *why_before = before ? before->why_not_read : "";
		if (m->why_not_read == NULL && why_before)
			log_info(c->tag, "member %s serves reads, %s", m->name, member_state_name(m->state));
		else if (m->why_not_read && why_before == NULL)
			log_info(c->tag, "member %s serves no reads: %s", m->name, m->why_not_read);
		else if (m->why_not_read && strcmp(m->why_not_read, why_before) != 0)
			log_debug(c->tag, "member %s serves no reads: %s", m->name, m->why_not_read);
	}
}

/* What follows from a change of leader. Returns for how long there was none, if that is over. */
static uint64_t
count_leader(struct cluster *c, const struct topology *new)
{
	const struct member *leader = topology_leader(new);
	if (leader == NULL) {
		if (c->leaderless_since_us == 0 && !new->is_plain) {
			c->leaderless_since_us = new->made_us;
			c->counters.leader_losses++;
		}
		return 0;
	}
	uint64_t leaderless_us = 0;
	if (c->leaderless_since_us) {
		leaderless_us = new->made_us - c->leaderless_since_us;
		c->counters.leaderless_us += leaderless_us;
		c->leaderless_since_us = 0;
	}
	if (leader->id != c->leader_id_last) {
		c->counters.leader_changes += c->leader_id_last >= 0;
		c->leader_id_last = leader->id;
		c->wants_list = true;
	}
	return leaderless_us;
}

static void
watch_on_publish(void *context)
{
	struct cluster *c = context;
	const struct topology *old = c->topology;
	struct topology *new = judge(&c->known, old, clock_now_us());
	c->topology = new;
	if (!topology_differs(old, new)) {
		new->generation = old->generation; /* only numbers moved */
		topology_unref(old);
		return;
	}
	log_leader(c, old, new, count_leader(c, new));
	log_members(c, old, new);
	/* The next round was planned for another state of affairs. */
	if (timer_is_set(c->tick) && old->leader >= 0 && new->leader < 0)
		watch_tick_at(c, c->ticked_us + POLL_FASTEST_US);
	if (c->callbacks.on_topology)
		c->callbacks.on_topology(c, old, new, c->callbacks.context);
	topology_unref(old);
}

/* Members come and go */

static void
source_init(struct source *s, struct cluster *c, const char *url)
{
	*s = (struct source){ .cluster = c, .trouble = TROUBLE_NONE };
	snprintf(s->url, sizeof(s->url), "%s", url);
}

static void
source_stop(struct source *s)
{
	fetch_cancel(s->fetch);
	s->fetch = NULL;
}

static bool
is_at(const struct place *p, const char *name, const char *host, uint16_t port)
{
	return strcmp(p->known.name, name) == 0 && strcmp(p->known.host, host) == 0 && p->known.port == port;
}

/*
 * The id this member had before; else one that nobody ever had; else the one that is free for longest, so that nobody
 * still has a connection to the member that had it; else -1.
 */
static int
watch_pick_id(const struct cluster *c, const char *name, const char *host, uint16_t port)
{
	int fresh = -1, vacant = -1;
	for (int id = CLUSTER_MEMBERS_MAX - 1; id >= 0; id--) {
		if (c->place[id] == NULL)
			fresh = id;
		else if (c->known.member[id] == NULL && (vacant < 0 || c->place[id]->absent_us < c->place[vacant]->absent_us))
			vacant = id;
		if (c->place[id] && c->known.member[id] == NULL && is_at(c->place[id], name, host, port))
			return id;
	}
	return fresh >= 0 ? fresh : vacant;
}

static bool
watch_add(struct cluster *c, const char *name, const char *host, uint16_t port, const char *url)
{
	int id = watch_pick_id(c, name, host, port);
	if (id < 0) {
		log_warning(c->tag, "member %s is left out: there are %d already", name, CLUSTER_MEMBERS_MAX);
		return false;
	}
	if (c->place[id] == NULL)
		c->place[id] = heap_alloc(sizeof(*c->place[id]));
	struct place *p = c->place[id];
	*p = (struct place){ .id = id };
	snprintf(p->known.name, sizeof(p->known.name), "%s", name);
	snprintf(p->known.host, sizeof(p->known.host), "%s", host);
	p->known.port = port;
	source_init(&p->source, c, url);
	c->known.member[id] = &p->known;
	c->counters.members_added++;
	if (c->known.kind == CLUSTER_OF_PATRONI)
		log_info(c->tag, "member %s added: %s:%u, Patroni at %s", name, host, port, url[0] ? url : "no address");
	watch_judge_soon(c);
	return true;
}

static void
watch_remove(struct cluster *c, int id, const char *why)
{
	struct place *p = c->place[id];
	log_info(c->tag, "member %s (%s:%u) removed: %s", p->known.name, p->known.host, p->known.port, why);
	source_stop(&p->source);
	p->absent_us = clock_now_us();
	c->known.member[id] = NULL;
	c->counters.members_removed++;
	watch_judge_soon(c);
}

static int
watch_find(const struct cluster *c, const char *name)
{
	for (int id = 0; id < CLUSTER_MEMBERS_MAX; id++)
		if (c->known.member[id] && strcmp(c->known.member[id]->name, name) == 0)
			return id;
	return -1;
}

static void
watch_take_listed(struct cluster *c, const struct patroni_member *m)
{
	int id = watch_find(c, m->name);
	if (id >= 0 && !is_at(c->place[id], m->name, m->host, m->port)) {
		watch_remove(c, id, "it has another address now");
		id = -1;
	}
	if (id < 0) {
		watch_add(c, m->name, m->host, m->port, m->url);
		return;
	}
	struct place *p = c->place[id];
	p->absences = 0;
	p->known.is_unlisted = false;
	if (m->url[0] && strcmp(p->source.url, m->url) != 0) {
		log_info(c->tag, "member %s: Patroni moved to %s", m->name, m->url);
		source_stop(&p->source);
		source_init(&p->source, c, m->url);
	}
}

/* A key of Patroni's expires when its member loses the DCS for a moment: absence alone is no reason to forget it. */
static void
watch_take_absent(struct cluster *c, int id, uint64_t now_us)
{
	struct place *p = c->place[id];
	if (p->absences++ == 0)
		p->absent_us = now_us;
	p->known.is_unlisted = true;
	const struct member *m = topology_member(c->topology, (uint16_t)id);
	if (is_leader_id(c, id) || m == NULL)
		return;
	uint64_t absent_us = now_us - p->absent_us;
	if (p->absences >= ABSENCES_MAX && absent_us > ABSENT_MIN_US && !m->is_reachable)
		watch_remove(c, id, "Patroni does not list it any more, and it does not answer");
	else if (p->absences >= ABSENCES_MAX && absent_us > ABSENT_MAX_US)
		watch_remove(c, id, "Patroni has not listed it for a minute");
}

static void
watch_take_list(struct cluster *c, const struct patroni_members *list)
{
	uint64_t now_us = clock_now_us();
	for (uint16_t i = 0; i < list->count; i++)
		watch_take_listed(c, &list->member[i]);
	for (int id = 0; id < CLUSTER_MEMBERS_MAX; id++) {
		if (c->known.member[id] == NULL)
			continue;
		bool is_listed = false;
		for (uint16_t i = 0; i < list->count && !is_listed; i++)
			is_listed = strcmp(list->member[i].name, c->known.member[id]->name) == 0;
		if (!is_listed)
			watch_take_absent(c, id, now_us);
	}
}

static void
watch_take_schedule(struct cluster *c, const struct patroni_members *list)
{
	struct schedule *s = &c->schedule;
	if (!schedule_take(s, list))
		return;
	if (!s->exists)
		log_info(c->tag, "no switchover is scheduled any more");
	else if (s->at_us == 0)
		log_warning(c->tag, "a switchover is scheduled, but not prepared for: its time can't be read");
	else
		log_info(c->tag, "a switchover from %s to %s is scheduled for %s", s->from[0] ? s->from : "the leader",
		         s->to[0] ? s->to : "whom Patroni chooses", s->at);
}

/* Requests and answers */

static struct fetch_identity
identity_for_fetch(const struct patroni_identity *i)
{
	return (struct fetch_identity){
		.user = i->user, .password = i->password, .cert_file = i->cert_file, .key_file = i->key_file, .ca_file = i->ca_file,
		.takes_any_name = i->tls_verify == PATRONI_TLS_VERIFY_CA,
		.takes_any_certificate = i->tls_verify == PATRONI_TLS_VERIFY_NONE,
	};
}

static void
source_ask(struct source *s, const char *path, uint32_t timeout_ms, fetch_done_fn *done, void *context)
{
	must(s->fetch == NULL);
	char url[PATRONI_URL_MAX + 16];
	snprintf(url, sizeof(url), "%s%s", s->url, path);
	s->asked_us = clock_now_us();
	/* Nobody is asked for a password in order to look, so none is sent. */
	struct fetch_identity identity = identity_for_fetch(&s->cluster->identity);
	identity.user = identity.password = NULL;
	s->fetch = fetch_begin(s->cluster->fetcher,
			       &(struct fetch_request){ .url = url, .timeout_ms = timeout_ms, .body_max = PATRONI_BODY_MAX,
	                                                .identity = &identity },
			       done, context);
}

/* Count the answer. False: there is none; that is told when it is the `failures`th in a row, and that is enough. */
static bool
source_take(struct source *s, const struct fetch_answer *answer, uint32_t failures)
{
	s->fetch = NULL;
	s->cluster->counters.polls++;
	if (answer->outcome == FETCH_OK)
		return true;
	s->cluster->counters.polls_failed++;
	if (failures >= COMPLAIN_AFTER) {
		char text[200];
		struct text t = TEXT_IN(text);
		text_addf(&t, "no answer (%s): ", fetch_outcome_name(answer->outcome));
		text_add_view(&t, view_of_string(answer->error));
		source_complain(s, answer->outcome, text);
	}
	return false;
}

static void
source_nonsense(struct source *s, const struct fetch_answer *answer, const char *why)
{
	s->cluster->counters.polls_bad++;
	char text[200];
	struct text t = TEXT_IN(text);
	text_addf(&t, "status %d and an answer that is not Patroni's: ", answer->status);
	text_add(&t, why);
	source_complain(s, TROUBLE_NONSENSE, text);
}

/* Something is happening: the rest of it should be seen soon. */
static bool
is_changing(const struct known_member *m, const struct patroni_status *said)
{
	const struct patroni_status *before = &m->said;
	if (m->answered_us == 0)
		return false;
	return (said->state == MEMBER_STOPPING && before->state != MEMBER_STOPPING) ||
	       (said->is_unlocked && !before->is_unlocked) ||
	       (said->timeline && before->timeline && said->timeline != before->timeline);
}

static void
watch_on_status(const struct fetch_answer *answer, void *context)
{
	struct place *p = context;
	struct cluster *c = p->source.cluster;
	struct known_member *m = &p->known;
	watch_judge_soon(c);
	if (!source_take(&p->source, answer, m->failures + 1)) {
		if (m->failures++ == 0 && is_leader_id(c, p->id))
			watch_note_trouble(c, "the leader's Patroni does not answer", true);
		return;
	}
	char why[200];
	struct text t = TEXT_IN(why);
	struct patroni_status said;
	bool is_good = patroni_parse_status(answer->body, &said, &t) == PATRONI_OK;
	if (is_good && said.name[0] && strcmp(said.name, m->name) != 0) {
		text_addf(&t, "it calls itself %s instead of %s", said.name, m->name);
		is_good = false;
	}
	if (!is_good) {
		m->failures++;
		source_nonsense(&p->source, answer, why);
		return;
	}
	source_praise(&p->source);
	c->counters.last_poll_us = answer->took_us;
	if (m->answered_us && (m->said.state != said.state || m->said.role != said.role ||
			       m->said.timeline != said.timeline || m->http_status != answer->status))
		log_debug(c->tag, "member %s: status %d, %s, %s, timeline %" PRIu32, m->name, answer->status,
			  member_role_name(said.role), member_state_name(said.state), said.timeline);
	if (is_changing(m, &said))
		watch_note_trouble(c, "a member is changing", true);
	if (is_leader_id(c, p->id))
		schedule_note_clock(&c->schedule, answer->date_s, clock_wall_us());
	m->asked_us = p->source.asked_us;
	m->answered_us = clock_now_us();
	m->http_status = answer->status;
	m->said = said;
	m->failures = 0;
	if (is_leader_id(c, p->id) && m->asked_us <= c->doubt_us) /* it was under way when the doubt came up */
		watch_tick_at(c, c->ticked_us + POLL_FASTEST_US);
	if (is_leader_id(c, p->id) && answer->status == 200)
		trail_note(&c->trail, said.location, m->asked_us, c->known.limits.max_delay_us / (TRAIL_MARKS / 2));
}

/*
 * What was sent into a network that is gone is repeated by TCP ever more rarely; a new attempt finds at once that it is back. So
 * every other one at somebody who does not answer is short.
 */
static uint32_t
status_timeout_ms(const struct cluster *c, const struct known_member *m)
{
	uint32_t timeout_ms = (uint32_t)(c->poll_timeout_us / MILLISECOND_US);
	bool is_short = m->failures > SHORT_AFTER && m->failures % 2 == 1;
	return is_short && timeout_ms > SHORT_TIMEOUT_MS ? SHORT_TIMEOUT_MS : timeout_ms;
}

static void
watch_ask_status(struct cluster *c, int id)
{
	struct place *p = c->place[id];
	source_ask(&p->source, "/primary", status_timeout_ms(c, &p->known), watch_on_status, p);
}

static void
watch_take_answer(struct source *s, const struct fetch_answer *answer)
{
	struct cluster *c = s->cluster;
	if (!source_take(s, answer, s->is_seed ? COMPLAIN_AFTER : 0))
		return;
	char why[200];
	struct text t = TEXT_IN(why);
	struct patroni_members *list = heap_alloc(sizeof(*list));
	switch (patroni_parse_cluster(answer->body, list, &t)) {
	case PATRONI_OK:
		source_praise(s);
		c->wants_list = false;
		c->listed_us = clock_now_us();
		bool is_first = watch_member_count(c) == 0;
		watch_take_schedule(c, list);
		watch_take_list(c, list); /* s may be gone from the members now, but its place stays */
		if (is_first)
			watch_tick_at(c, 0);
		break;
	case PATRONI_NO_MEMBERS: /* a DCS that just came back: no reason to forget anybody */
		log_debug(c->tag, "a listing without members: %s", why);
		break;
	case PATRONI_BAD_JSON:
		if (s->is_seed)
			source_nonsense(s, answer, why);
		else
			c->counters.polls_bad++; /* what it says of itself is told of; somebody else is asked next */
		break;
	}
	heap_free(list);
}

/* Its member was left out of the last round: one request at a time. */
static void
watch_on_list(const struct fetch_answer *answer, void *context)
{
	struct source *s = context;
	struct cluster *c = s->cluster;
	watch_take_answer(s, answer);
	for (int id = 0; id < CLUSTER_MEMBERS_MAX; id++)
		if (c->known.member[id] && &c->place[id]->source == s && s->url[0] && s->fetch == NULL)
			watch_ask_status(c, id);
}

static void
watch_ask_list(struct cluster *c, struct source *s)
{
	uint32_t timeout_ms = (uint32_t)(c->poll_timeout_us / MILLISECOND_US);
	/* The first listing may take its time: nothing else is asked meanwhile. */
	if (watch_member_count(c) > 0 && timeout_ms > LIST_TIMEOUT_MAX_MS)
		timeout_ms = LIST_TIMEOUT_MAX_MS;
	source_ask(s, "/cluster", timeout_ms, watch_on_list, s);
}

/* The next idle member in turn that answers; the leader only when there is no other. */
static struct source *
watch_pick_lister(struct cluster *c)
{
	struct source *leader = NULL;
	for (int i = 0; i < CLUSTER_MEMBERS_MAX; i++) {
		int id = (c->list_turn + i) % CLUSTER_MEMBERS_MAX;
		const struct known_member *m = c->known.member[id];
		if (m == NULL || m->answered_us == 0 || m->failures > 0 || c->place[id]->source.fetch)
			continue;
		if (!is_leader_id(c, id)) {
			c->list_turn = (uint16_t)(id + 1);
			return &c->place[id]->source;
		}
		leader = &c->place[id]->source;
	}
	return leader;
}

static void
watch_ask_seeds(struct cluster *c)
{
	for (int i = 0; i < c->seed_count; i++)
		if (c->seeds[i].fetch == NULL)
			watch_ask_list(c, &c->seeds[i]);
}

static void
watch_ask_for_list(struct cluster *c, uint64_t now_us)
{
	if (watch_member_count(c) == 0) {
		watch_ask_seeds(c);
		return;
	}
	uint64_t period_us = c->topology->leader < 0 ? LIST_LEADERLESS_US : LIST_EVERY_US;
	if (!c->wants_list && now_us - c->listed_us < period_us)
		return;
	if (now_us - c->list_asked_us < LIST_RETRY_US)
		return;
	c->list_asked_us = now_us;
	struct source *s = watch_pick_lister(c);
	if (s)
		watch_ask_list(c, s);
	else
		watch_ask_seeds(c);
}

static void
watch_on_tick(void *context)
{
	struct cluster *c = context;
	uint64_t now_us = clock_now_us();
	c->ticked_us = now_us;
	if (c->known.kind == CLUSTER_OF_PATRONI) {
		watch_ask_for_list(c, now_us);
		for (int id = 0; id < CLUSTER_MEMBERS_MAX; id++)
			if (c->known.member[id] && c->place[id]->source.url[0] && c->place[id]->source.fetch == NULL)
				watch_ask_status(c, id);
	}
	watch_judge_soon(c); /* memories expire without anybody saying a word */
	if (needs_ticks(c))
		watch_tick_at(c, now_us + poll_delay_us(c, now_us));
}

/* Configuration */

static enum cluster_kind
kind_of(const struct cluster_config *config)
{
	return config->is_plain ? CLUSTER_PLAIN : config->patroni_count > 0 ? CLUSTER_OF_PATRONI : CLUSTER_OF_HOSTS;
}

static void
watch_drop_seeds(struct cluster *c)
{
	for (int i = 0; i < c->seed_count; i++)
		source_stop(&c->seeds[i]);
	heap_free(c->seeds);
	c->seeds = NULL;
	c->seed_count = 0;
}

static void
watch_take_seeds(struct cluster *c, const struct cluster_config *config)
{
	watch_drop_seeds(c);
	if (config->patroni_count == 0)
		return;
	c->seeds = heap_alloc((size_t)config->patroni_count * sizeof(c->seeds[0]));
	for (int i = 0; i < config->patroni_count; i++) {
		if (strlen(config->patroni[i]) >= sizeof(c->seeds[0].url)) {
			log_error(c->tag, "a Patroni URL of more than %d bytes is left out", PATRONI_URL_MAX - 1);
			continue;
		}
		source_init(&c->seeds[c->seed_count], c, config->patroni[i]);
		c->seeds[c->seed_count++].is_seed = true;
	}
}

/* "host:port" */
static void
name_host(const struct host_config *host, char *name, size_t room)
{
	struct text t = text_in(name, room);
	text_addf(&t, "%s:%d", host->name, host->port);
}

static bool
is_configured(const struct cluster_config *config, const char *name)
{
	for (int i = 0; i < config->host_count; i++) {
		char host[MEMBER_NAME_MAX];
		name_host(&config->hosts[i], host, sizeof(host));
		if (strcmp(host, name) == 0)
			return true;
	}
	return false;
}

static void
watch_take_hosts(struct cluster *c, const struct cluster_config *config)
{
	for (int id = 0; id < CLUSTER_MEMBERS_MAX; id++)
		if (c->known.member[id] && !is_configured(config, c->known.member[id]->name))
			watch_remove(c, id, "the configuration does not name it any more");
	for (int i = 0; i < config->host_count; i++) {
		const struct host_config *host = &config->hosts[i];
		char name[MEMBER_NAME_MAX];
		name_host(host, name, sizeof(name));
		if (strlen(host->name) >= MEMBER_HOST_MAX)
			log_error(c->tag, "a host name of more than %d bytes is left out", MEMBER_HOST_MAX - 1);
		else if (watch_find(c, name) < 0)
			watch_add(c, name, host->name, (uint16_t)host->port, "");
	}
}

static void
identity_clear(struct patroni_identity *i)
{
	const char *texts[] = { i->user, i->password, i->cert_file, i->key_file, i->ca_file };
	for (size_t at = 0; at < sizeof(texts) / sizeof(texts[0]); at++)
		if (texts[at])
			heap_erase_free((void *)(uintptr_t)texts[at], strlen(texts[at]));
	*i = (struct patroni_identity){ 0 };
}

static void
identity_replace(struct patroni_identity *i, const struct patroni_identity *by)
{
	identity_clear(i);
	*i = (struct patroni_identity){
		.user = heap_string(by->user), .password = heap_string(by->password), .cert_file = heap_string(by->cert_file),
		.key_file = heap_string(by->key_file), .ca_file = heap_string(by->ca_file), .tls_verify = by->tls_verify,
	};
}

static void
watch_configure(struct cluster *c, const struct cluster_config *config)
{
	enum cluster_kind kind = kind_of(config);
	if (kind != c->known.kind)
		for (int id = 0; id < CLUSTER_MEMBERS_MAX; id++)
			if (c->known.member[id])
				watch_remove(c, id, "the cluster is followed in another way now");
	if (kind != c->known.kind)
		c->leaderless_since_us = kind == CLUSTER_PLAIN ? 0 : clock_now_us();
	must(kind != CLUSTER_OF_PATRONI || c->fetcher != NULL);
	c->known.kind = kind;
	c->known.limits.max_lag_bytes = config->max_replica_lag_bytes;
	c->known.limits.max_delay_us = config->max_replica_delay_us;
	c->known.limits.poll_interval_us =
		config->patroni_poll_interval_us ? config->patroni_poll_interval_us : POLL_INTERVAL_PRESET_US;
	c->poll_timeout_us = config->patroni_timeout_us ? config->patroni_timeout_us : POLL_TIMEOUT_PRESET_US;
	identity_replace(&c->identity, &config->patroni_identity);
	watch_take_seeds(c, config);
	if (kind != CLUSTER_OF_PATRONI)
		watch_take_hosts(c, config);
	c->wants_list = true;
}

/* The module's door */

struct cluster *
cluster_open(struct loop *loop, struct fetcher *fetcher, const struct cluster_config *config,
	     const struct cluster_callbacks *callbacks)
{
	struct cluster *c = heap_alloc(sizeof(*c));
	c->loop = loop;
	c->fetcher = fetcher;
	c->callbacks = *callbacks;
	c->name = heap_string(config->name);
	size_t room = strlen(config->name) + sizeof("cluster ");
	c->tag = heap_alloc(room);
	snprintf(c->tag, room, "cluster %s", config->name);
	c->known.cluster = c->name;
	c->known.kind = kind_of(config);
	c->known.trail = &c->trail;
	c->tick = timer_new(loop, watch_on_tick, c);
	c->publish = timer_new(loop, watch_on_publish, c);
	c->leader_id_last = -1;
	watch_configure(c, config);
	c->topology = judge(&c->known, NULL, clock_now_us());
	c->leaderless_since_us = c->known.kind == CLUSTER_PLAIN ? 0 : clock_now_us();
	watch_tick_at(c, 0);
	return c;
}

void
cluster_apply(struct cluster *c, const struct cluster_config *config)
{
	watch_configure(c, config);
	watch_judge_soon(c);
	watch_tick_at(c, 0);
}

void
cluster_close(struct cluster *c)
{
	if (c == NULL)
		return;
	watch_drop_seeds(c);
	for (int id = 0; id < CLUSTER_MEMBERS_MAX; id++) {
		if (c->place[id])
			source_stop(&c->place[id]->source);
		heap_free(c->place[id]);
	}
	timer_free(c->tick);
	timer_free(c->publish);
	topology_unref(c->topology);
	identity_clear(&c->identity);
	heap_free(c->name);
	heap_free(c->tag);
	heap_free(c);
}

const char *
cluster_name(const struct cluster *c)
{
	return c->name;
}

const struct topology *
cluster_topology(const struct cluster *c)
{
	return c->topology;
}

const struct cluster_counters *
cluster_counters(const struct cluster *c)
{
	return &c->counters;
}

const struct cluster_sign *
cluster_sign(const struct cluster *c)
{
	return &c->sign;
}

const struct schedule *
cluster_schedule(const struct cluster *c)
{
	return &c->schedule;
}

void
cluster_list_now(struct cluster *c)
{
	c->wants_list = true;
}

uint64_t
cluster_leaderless_us(const struct cluster *c)
{
	return c->counters.leaderless_us + (c->leaderless_since_us ? clock_now_us() - c->leaderless_since_us : 0);
}

/* The leader's, else one that answers, else a configured one: somebody has to say that nobody answers. */
static const char *
url_of_lister(struct cluster *c)
{
	const char *url = c->seed_count > 0 ? c->seeds[0].url : "";
	for (int id = 0; id < CLUSTER_MEMBERS_MAX; id++) {
		const struct known_member *m = c->known.member[id];
		if (m == NULL || m->answered_us == 0 || m->failures > 0)
			continue;
		url = c->place[id]->source.url;
		if (is_leader_id(c, id))
			break;
	}
	return url;
}

struct fetch *
cluster_send(struct cluster *c, const char *path, struct view body, uint32_t timeout_ms, fetch_done_fn *done, void *context)
{
	char url[PATRONI_URL_MAX + 16];
	snprintf(url, sizeof(url), "%s%s", url_of_lister(c), path);
	struct fetch_identity identity = identity_for_fetch(&c->identity);
	return fetch_begin(c->fetcher, &(struct fetch_request){ .url = url, .timeout_ms = timeout_ms, .method = "POST",
	                                                         .body = body, .body_max = PATRONI_BODY_MAX, .identity = &identity },
	                   done, context);
}

void
cluster_poll_now(struct cluster *c, const char *why)
{
	watch_note_trouble(c, why, true);
}

void
cluster_ask_leader(struct cluster *c)
{
	c->doubt_us = clock_now_us();
	if (c->known.kind == CLUSTER_OF_PATRONI)
		watch_tick_at(c, c->ticked_us + POLL_FASTEST_US);
}

void
cluster_hurry(struct cluster *c, bool is_hurried)
{
	c->is_hurried = is_hurried;
	if (is_hurried && c->known.kind == CLUSTER_OF_PATRONI)
		watch_tick_at(c, c->ticked_us + poll_delay_us(c, clock_now_us()));
}

/* What a report is worth to the polling: with Patroni, a sign that roles change means that it knows more than we do. */
static enum { SIGN_NONE, SIGN_LOOK, SIGN_TROUBLE }
sign_of(const struct cluster *c, uint16_t id, enum session_says says)
{
	bool is_involved = is_leader_id(c, id) || c->known.member[id]->http_status == 200;
	switch (says) {
	case SESSION_WRITABLE:
		return is_leader_id(c, id) ? SIGN_NONE : SIGN_TROUBLE;
	case SESSION_IN_RECOVERY:
		return is_involved ? SIGN_TROUBLE : SIGN_NONE;
	case SESSION_REFUSED:
	case SESSION_SILENT:
	case SESSION_BROKE:
	case SESSION_SHUTTING_DOWN:
		return is_involved ? SIGN_TROUBLE : SIGN_LOOK;
	case SESSION_NOTHING:
		break;
	}
	return SIGN_NONE;
}

void
cluster_report_session(struct cluster *c, uint16_t member_id, enum session_says says)
{
	struct known_member *m = member_id < CLUSTER_MEMBERS_MAX ? watch_known(c, member_id) : NULL;
	if (m == NULL || !judge_note_session(m, says, clock_now_us()))
		return;
	c->counters.session_reports++;
	log_debug(c->tag, "a session says: %s %s", m->name, session_says_name(says));
	watch_judge_soon(c);
	int sign = sign_of(c, member_id, says);
	if (sign != SIGN_NONE) {
		char why[MEMBER_NAME_MAX + 64];
		struct text t = TEXT_IN(why);
		text_addf(&t, "%s %s", m->name, session_says_name(says));
		watch_note_trouble(c, why, sign == SIGN_TROUBLE);
	}
}
