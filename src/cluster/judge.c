/*
 * cluster/judge.c - who leads, from what is known; who serves reads is in cluster/reads.c.
 *
 * Owns: nothing; a snapshot is made, the last one is only read: it is the memory (last leader, highest timeline, who
 * was lagging). Never: asks anybody, logs, looks at the clock.
 * Invariant: at most one member has why_not_write NULL, and it is the leader; plain clusters aside.
 */
#include "cluster/judge.h"

#include <string.h>

#include "base/clock.h"
#include "base/must.h"
#include "hearing.h"

/* A member whose Patroni gave no good answer so many times in a row is not reachable. One or two happen: its server
 * has a listen queue of 5, and a slow SQL answer hits our timeout. */
#define FAILURES_GONE 3

/* An answer older than this many poll intervals and seconds says nothing any more, whatever became of later ones. */
#define ANSWER_OLD_INTERVALS 3
#define ANSWER_OLD_US        (3 * SECOND_US)

/* How long a higher timeline is remembered after the last reachable member told of it. Clusters do go back: a restore,
 * or Patroni before 3.0.3 that takes its lock back. */
#define TIMELINE_MEMORY_US (5 * SECOND_US)

/* After a refused connection an answer of Patroni's counts again only if it was asked for later; after several in a
 * row, so much later. Patroni may see what we can't reach. */
#define REFUSED_STEP_US   (100 * MILLISECOND_US)
#define REFUSED_STEPS_MAX 10

/* Without Patroni and without a leader, a session that has said nothing for so long is asked for again. */
#define SESSION_OLD_US SECOND_US

/* A plain member that refused is tried again after so long. */
#define AVOID_US (5 * SECOND_US)

/* Broken sessions are news once in so long; a restart breaks a hundred at once. */
#define TROUBLE_NEWS_US (100 * MILLISECOND_US)

/* What a session says */

bool
judge_note_session(struct known_member *m, enum session_says says, uint64_t now_us)
{
	bool is_news;
	switch (says) {
	case SESSION_WRITABLE:
		is_news = m->session != SESSION_WRITABLE || m->refusals > 0;
		if (m->session == SESSION_IN_RECOVERY)
			m->promoted_us = now_us;
		m->session = says;
		m->session_us = now_us;
		m->refusals = 0;
		return is_news;
	case SESSION_IN_RECOVERY:
		is_news = m->session != SESSION_IN_RECOVERY || m->refusals > 0 || m->http_status == 200;
		m->session = says;
		m->session_us = now_us;
		m->refusals = 0;
		return is_news;
	case SESSION_REFUSED:
	case SESSION_SILENT:
		m->refused_us = now_us;
		m->refusals++;
		return true;
	case SESSION_BROKE:
	case SESSION_SHUTTING_DOWN:
		is_news = m->troubled_us == 0 || now_us - m->troubled_us > TROUBLE_NEWS_US;
		if (is_news)
			m->troubled_us = now_us;
		return is_news;
	case SESSION_NOTHING:
		break;
	}
	return false;
}

const char *
session_says_name(enum session_says says)
{
	static const char *const names[] = {
		[SESSION_NOTHING] = "nothing",
		[SESSION_WRITABLE] = "is writable",
		[SESSION_IN_RECOVERY] = "is in recovery",
		[SESSION_REFUSED] = "refused a connection",
		[SESSION_SILENT] = "does not answer a connection",
		[SESSION_BROKE] = "broke a session",
		[SESSION_SHUTTING_DOWN] = "is shutting down",
	};
	return names[says];
}

/* Facts about one member */

static bool
is_too_old(const struct hearing *h, const struct known_member *m)
{
	uint64_t old_us = ANSWER_OLD_INTERVALS * h->known->limits.poll_interval_us + ANSWER_OLD_US;
	return m->answered_us == 0 || h->now_us - m->answered_us > old_us;
}

/* Its last answer is not the last word any more. */
bool
member_is_silent(const struct hearing *h, const struct known_member *m)
{
	return m->failures > 0 || is_too_old(h, m);
}

bool
member_is_gone(const struct hearing *h, const struct known_member *m)
{
	return m->failures >= FAILURES_GONE || is_too_old(h, m);
}

bool
member_is_refused(const struct known_member *m)
{
	if (m->refusals == 0)
		return false;
	uint32_t steps = m->refusals - 1 < REFUSED_STEPS_MAX ? m->refusals - 1 : REFUSED_STEPS_MAX;
	return m->asked_us <= m->refused_us + steps * REFUSED_STEP_US;
}

static bool
is_told_of_recovery(const struct known_member *m)
{
	return m->session == SESSION_IN_RECOVERY && m->session_us >= m->asked_us;
}

bool
member_is_up(enum member_state state)
{
	return state == MEMBER_RUNNING || state == MEMBER_STREAMING || state == MEMBER_IN_ARCHIVE_RECOVERY;
}

/* Two systems of one name: members of another cluster that answer at an address of ours. */
bool
system_differs(const char *a, const char *b)
{
	return a[0] != '\0' && b[0] != '\0' && strcmp(a, b) != 0;
}

/* Rule 1: why a member does not claim to lead. In the order in which they tell more of the whole cluster. */
enum denial {
	DENIAL_NONE, /* its Patroni and our sessions agree that it may be written to */
	DENIAL_UNKNOWN,
	DENIAL_SILENT,
	DENIAL_NO_LOCK,
	DENIAL_IN_RECOVERY,
	DENIAL_NOT_RUNNING,
	DENIAL_NO_PRIMARY,
	DENIAL_TOLD_OF_RECOVERY,
	DENIAL_REFUSED
};

static const struct {
	const char *of_member, *of_cluster;
} denials[] = {
	[DENIAL_NONE] = { NULL, "no Patroni has told of its members yet" },
	[DENIAL_UNKNOWN] = { "nothing is known of it yet", "nothing is known of its members yet" },
	[DENIAL_SILENT] = { "its Patroni does not answer", "no Patroni answers" },
	[DENIAL_NO_LOCK] = { "it does not hold the leader lock", "nobody holds the leader lock" },
	[DENIAL_IN_RECOVERY] = { "it holds the leader lock, but its PostgreSQL is in recovery",
	                         "the holder of the leader lock is in recovery" },
	[DENIAL_NOT_RUNNING] = { "it holds the leader lock, but its PostgreSQL is not running",
	                         "PostgreSQL of the holder of the leader lock is not running" },
	[DENIAL_NO_PRIMARY] = { "it holds the leader lock, but is no primary",
	                        "the holder of the leader lock is no primary" },
	[DENIAL_TOLD_OF_RECOVERY] = { "a session on it was told that it is in recovery",
	                              "the leader told a session that it is in recovery" },
	[DENIAL_REFUSED] = { "it refused our last connection", "the leader refused our last connection" },
};

static enum denial
find_denial(const struct hearing *h, const struct known_member *m)
{
	if (m->answered_us == 0 && m->failures == 0)
		return DENIAL_UNKNOWN;
	if (member_is_silent(h, m))
		return DENIAL_SILENT;
	if (m->http_status != 200)
		return DENIAL_NO_LOCK;
	if (m->said.role == MEMBER_REPLICA && member_is_up(m->said.state))
		return DENIAL_IN_RECOVERY;
	if (m->said.state != MEMBER_RUNNING)
		return DENIAL_NOT_RUNNING;
	if (m->said.role != MEMBER_LEADER)
		return DENIAL_NO_PRIMARY;
	if (is_told_of_recovery(m))
		return DENIAL_TOLD_OF_RECOVERY;
	if (member_is_refused(m))
		return DENIAL_REFUSED;
	return DENIAL_NONE;
}

/* Who leads, with Patroni */

/* The identifier to prefer among claims of different systems: the one that was followed until now. */
static const char *
identifier_before(const struct hearing *h)
{
	return h->before ? h->before->timeline_identifier : "";
}

/* Rule 2. */
struct claims {
	const struct known_member *best; /* on the highest timeline; NULL: nobody claims */
	int id;                          /* of best */
	const char *why_none;            /* best is contested: nobody leads */
};

static bool
is_claim(const struct hearing *h, int id)
{
	return h->known->member[id] && h->why_not_write[id] == NULL;
}

static bool
is_claim_of(const struct hearing *h, int id, const char *system)
{
	return is_claim(h, id) && !system_differs(h->known->member[id]->said.identifier, system);
}

static const char *
why_contested(const struct patroni_status *best, const struct patroni_status *other)
{
	if (system_differs(best->identifier, other->identifier))
		return "two members of different systems claim to lead";
	if (best->timeline == other->timeline || other->timeline == 0)
		return "two members claim to lead on the same timeline";
	return NULL;
}

static struct claims
find_claims(const struct hearing *h)
{
	/* Claims of the system that was followed until now go before those of another. */
	const char *system = "";
	for (int id = 0; id < CLUSTER_MEMBERS_MAX; id++)
		if (is_claim_of(h, id, identifier_before(h)))
			system = identifier_before(h);

	struct claims c = { .best = NULL };
	for (int id = 0; id < CLUSTER_MEMBERS_MAX; id++) {
		const struct known_member *m = h->known->member[id];
		if (is_claim_of(h, id, system) && (c.best == NULL || m->said.timeline > c.best->said.timeline))
			c = (struct claims){ .best = m, .id = id };
	}
	for (int id = 0; id < CLUSTER_MEMBERS_MAX && c.best && c.why_none == NULL; id++)
		if (is_claim_of(h, id, system) && id != c.id)
			c.why_none = why_contested(&c.best->said, &h->known->member[id]->said);
	return c;
}

/* The highest timeline that a reachable member tells of, or told of some seconds ago. */
static void
recall_timeline(struct hearing *h)
{
	for (int id = 0; id < CLUSTER_MEMBERS_MAX; id++) {
		const struct known_member *m = h->known->member[id];
		if (m && !member_is_gone(h, m) && !system_differs(m->said.identifier, h->identifier) &&
		    m->said.timeline > h->timeline_highest)
			h->timeline_highest = m->said.timeline;
	}
	h->timeline_highest_us = h->now_us;
	if (h->before && h->before->timeline_highest > h->timeline_highest &&
	    h->now_us - h->before->timeline_highest_us < TIMELINE_MEMORY_US &&
	    !system_differs(h->before->timeline_identifier, h->identifier)) {
		h->timeline_highest = h->before->timeline_highest;
		h->timeline_highest_us = h->before->timeline_highest_us;
	}
}

/* Rule 4. Does this one, which answers, speak against keeping the last leader? */
static bool
speaks_against(const struct hearing *h, const struct known_member *m)
{
	return m->http_status == 200 || m->said.is_unlocked || m->said.role == MEMBER_LEADER ||
	       (m->said.timeline > h->before->timeline && h->before->timeline != 0);
}

static bool
may_keep_leader(const struct hearing *h)
{
	const struct member *last = h->before ? topology_leader(h->before) : NULL;
	if (last == NULL)
		return false;
	const struct known_member *leader = h->known->member[last->id];
	if (leader == NULL || strcmp(leader->name, last->name) != 0 || !member_is_silent(h, leader) || member_is_refused(leader) ||
	    is_told_of_recovery(leader))
		return false;
	for (int id = 0; id < CLUSTER_MEMBERS_MAX; id++) {
		const struct known_member *m = h->known->member[id];
		if (m && id != last->id && !member_is_silent(h, m) && speaks_against(h, m))
			return false;
	}
	return true;
}

/* Everybody who claimed, but the leader, did so in vain. */
static void
dismiss_claims(struct hearing *h, const char *why)
{
	for (int id = 0; id < CLUSTER_MEMBERS_MAX; id++)
		if (is_claim(h, id) && id != h->leader)
			h->why_not_write[id] = why;
}

static void
find_leader_by_patroni(struct hearing *h)
{
	enum denial most_telling = DENIAL_NONE;
	for (int id = 0; id < CLUSTER_MEMBERS_MAX; id++) {
		if (h->known->member[id] == NULL)
			continue;
		enum denial denial = find_denial(h, h->known->member[id]);
		h->why_not_write[id] = denials[denial].of_member;
		most_telling = denial > most_telling ? denial : most_telling;
	}
	struct claims claims = find_claims(h);
	h->identifier = claims.best ? claims.best->said.identifier : identifier_before(h);
	recall_timeline(h);

	if (claims.best == NULL) {
		if (may_keep_leader(h)) {
			h->leader = topology_leader(h->before)->id;
			h->why_not_write[h->leader] = NULL;
			h->is_stale = member_is_gone(h, h->known->member[h->leader]);
		} else {
			h->why_no_leader = denials[most_telling].of_cluster;
		}
	} else if (claims.why_none) {
		h->why_no_leader = claims.why_none;
		dismiss_claims(h, claims.why_none);
	} else if (claims.best->said.timeline != 0 && claims.best->said.timeline < h->timeline_highest) {
		h->why_no_leader = "a member that is or was reachable has a higher timeline than the one that claims to lead";
		dismiss_claims(h, "another member is on a higher timeline");
	} else {
		h->leader = claims.id;
		dismiss_claims(h, "another member leads on a higher timeline");
	}
}

/* Who leads, by sessions alone */

static const char *
why_not_writable(const struct known_member *m)
{
	if (m->refusals > 0)
		return "it refused our last connection";
	if (m->session == SESSION_NOTHING)
		return "no session on it has been opened yet";
	if (m->session == SESSION_IN_RECOVERY)
		return "it is in recovery";
	return NULL;
}

static void
find_leader_by_sessions(struct hearing *h)
{
	const struct known_member *best = NULL;
	int best_id = -1;
	bool is_contested = false;
	for (int id = 0; id < CLUSTER_MEMBERS_MAX; id++) {
		const struct known_member *m = h->known->member[id];
		if (m == NULL)
			continue;
		h->why_not_write[id] = why_not_writable(m);
		if (h->why_not_write[id])
			continue;
		/* Who was promoted while we watched is on a higher timeline than who was writable before. */
		if (best == NULL || m->promoted_us > best->promoted_us) {
			best = m;
			best_id = id;
			is_contested = false;
		} else if (m->promoted_us == best->promoted_us) {
			is_contested = true;
		}
	}
	if (best && !is_contested) {
		h->leader = best_id;
		dismiss_claims(h, "another member was promoted after it");
	} else if (best) {
		h->why_no_leader = "two members are writable";
		dismiss_claims(h, "another member is writable too");
	} else {
		h->why_no_leader = "no member is known to be writable";
	}
}

/* Plain: all are equal. One that refuses is left out for a while, if there is another. */
static bool
is_avoided(const struct hearing *h, const struct known_member *m)
{
	return m->refusals > 0 && h->now_us - m->refused_us < AVOID_US;
}

static void
judge_plain(struct hearing *h)
{
	int fit = 0;
	for (int id = 0; id < CLUSTER_MEMBERS_MAX; id++)
		fit += h->known->member[id] && !is_avoided(h, h->known->member[id]);
	for (int id = 0; id < CLUSTER_MEMBERS_MAX; id++)
		if (fit > 0 && h->known->member[id] && is_avoided(h, h->known->member[id]))
			h->why_not_write[id] = "it refused our last connection";
}

/* The snapshot */

static enum member_role
role_of(const struct hearing *h, int id)
{
	const struct known_member *m = h->known->member[id];
	if (h->known->kind == CLUSTER_OF_PATRONI) /* one that went as a leader is no leader any more, unless it is kept */
		return member_is_gone(h, m) && m->said.role == MEMBER_LEADER && id != h->leader ? MEMBER_OTHER : m->said.role;
	if (h->known->kind == CLUSTER_PLAIN || m->session == SESSION_NOTHING)
		return MEMBER_OTHER;
	return m->session == SESSION_WRITABLE ? MEMBER_LEADER : MEMBER_REPLICA;
}

static enum member_state
state_of(const struct hearing *h, int id)
{
	const struct known_member *m = h->known->member[id];
	if (h->known->kind == CLUSTER_OF_PATRONI)
		return member_is_gone(h, m) && id != h->leader ? MEMBER_STATE_UNKNOWN : m->said.state;
	return m->session != SESSION_NOTHING && m->refusals == 0 ? MEMBER_RUNNING : MEMBER_STATE_UNKNOWN;
}

/* Without Patroni a session is how one learns; with it, one on the holder of the lock saves time. */
static bool
wants_session(const struct hearing *h, int id)
{
	const struct known_member *m = h->known->member[id];
	switch (h->known->kind) {
	case CLUSTER_OF_PATRONI:
		return h->leader < 0 && !member_is_silent(h, m) && m->http_status == 200;
	case CLUSTER_OF_HOSTS:
		return m->session == SESSION_NOTHING || m->refusals > 0 || m->troubled_us > m->session_us ||
		       (h->leader < 0 && h->now_us - m->session_us > SESSION_OLD_US);
	case CLUSTER_PLAIN:
		break;
	}
	return false;
}

static void
describe_member(const struct hearing *h, int id, struct member *out)
{
	const struct known_member *m = h->known->member[id];
	const struct member *before = h->before ? topology_member(h->before, (uint16_t)id) : NULL;
	if (before && strcmp(before->name, m->name) != 0)
		before = NULL; /* the id has a new owner */
	bool has_patroni = h->known->kind == CLUSTER_OF_PATRONI;

	out->id = (uint16_t)id;
	memcpy(out->name, m->name, sizeof(out->name));
	memcpy(out->host, m->host, sizeof(out->host));
	out->port = m->port;
	out->role = role_of(h, id);
	out->state = state_of(h, id);
	out->timeline = m->said.timeline;
	out->lsn = m->said.location ? m->said.location : m->said.replayed_location;
	out->received_lsn = m->said.received_location;
	out->is_replay_paused = m->said.is_replay_paused;
	out->weight = m->said.tags.has_weight ? m->said.tags.weight : WEIGHT_DEFAULT;
	out->is_silent = has_patroni ? member_is_silent(h, m) : m->refusals > 0;
	out->is_reachable = has_patroni ? !member_is_gone(h, m) : m->refusals == 0;
	out->no_loadbalance = m->said.tags.no_loadbalance;
	out->no_failover = m->said.tags.no_failover;
	out->is_sync = m->said.is_sync;
	out->patroni_says_leader = has_patroni && !member_is_gone(h, m) && m->http_status == 200;
	out->is_unlocked = has_patroni && m->said.is_unlocked;
	out->server_says_writable = m->session == SESSION_WRITABLE;
	out->server_says_recovery = m->session == SESSION_IN_RECOVERY;
	out->wants_session = wants_session(h, id);
	out->why_not_write = h->why_not_write[id];
	out->asked_us = m->asked_us;
	out->answered_us = m->answered_us;
	out->told_us = m->session_us;
	reads_describe(h, m, before, out);
	out->seen_us = m->answered_us > m->session_us ? m->answered_us : m->session_us;
	bool is_as_before = before && before->role == out->role && before->state == out->state &&
	                    (before->why_not_read == NULL) == (out->why_not_read == NULL) &&
	                    (before->why_not_write == NULL) == (out->why_not_write == NULL);
	out->since_us = is_as_before ? before->since_us : h->now_us;
}

/* As much of it as there is room for. */
static void
copy_name(char *to, size_t room, const char *from)
{
	size_t n = strnlen(from, room - 1);
	memcpy(to, from, n);
	to[n] = '\0';
}

static int
id_of_leader(const struct topology *t)
{
	const struct member *leader = t ? topology_leader(t) : NULL;
	return leader ? leader->id : -1;
}

static void
describe_cluster(const struct hearing *h, struct topology *t)
{
	const struct topology *before = h->before;
	const struct known_member *leader = h->leader >= 0 ? h->known->member[h->leader] : NULL;
	t->generation = before ? before->generation + 1 : 1;
	t->made_us = h->now_us;
	copy_name(t->cluster, sizeof(t->cluster), h->known->cluster);
	t->is_plain = h->known->kind == CLUSTER_PLAIN;
	t->has_patroni = h->known->kind == CLUSTER_OF_PATRONI;
	t->why_no_leader = h->why_no_leader;
	t->is_stale = h->is_stale;
	bool is_same = before && id_of_leader(before) == h->leader;
	t->leader_since_us = is_same ? before->leader_since_us : h->now_us;
	t->timeline = leader && leader->said.timeline ? leader->said.timeline : before ? before->timeline : 0;
	t->timeline_highest = h->timeline_highest;
	t->timeline_highest_us = h->timeline_highest_us;
	copy_name(t->timeline_identifier, sizeof(t->timeline_identifier), h->identifier);
	for (int id = 0; id < CLUSTER_MEMBERS_MAX; id++)
		if (h->known->member[id] && !member_is_gone(h, h->known->member[id]))
			t->is_paused |= h->known->member[id]->said.is_paused;
}

struct topology *
judge(const struct known *known, const struct topology *before, uint64_t now_us)
{
	struct hearing h = { .known = known, .before = before, .now_us = now_us, .leader = -1, .identifier = "" };
	switch (known->kind) {
	case CLUSTER_OF_PATRONI:
		find_leader_by_patroni(&h);
		break;
	case CLUSTER_OF_HOSTS:
		find_leader_by_sessions(&h);
		break;
	case CLUSTER_PLAIN:
		judge_plain(&h);
		break;
	}

	uint16_t count = 0;
	for (int id = 0; id < CLUSTER_MEMBERS_MAX; id++)
		count += known->member[id] != NULL;
	struct topology *t = topology_new(count);
	describe_cluster(&h, t);
	reads_prepare(&h);
	uint16_t at = 0;
	for (int id = 0; id < CLUSTER_MEMBERS_MAX; id++) {
		if (known->member[id] == NULL)
			continue;
		describe_member(&h, id, &t->member[at]);
		if (id == h.leader)
			t->leader = at;
		at++;
	}
	return t;
}
