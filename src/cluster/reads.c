/*
 * cluster/reads.c - who may serve reads, from what is known: the second half of a judgement.
 *
 * A replica is left out before it goes (tagged, stopping, replay paused) and when its data are old: by max_replica_lag in
 * bytes and by max_replica_delay in time; after either it comes back at three quarters of the limit. Where there is no more than
 * a doubt (a session broke off, one question was not answered, it is not listed) reads go to others while there are any.
 *
 * Owns: nothing. Never: trusts "lag" of GET /cluster, which before Patroni 4.1 counts what was received, not what was replayed.
 */
#include "base/clock.h"
#include "hearing.h"

/* Members asked within so long were asked at the same time, when WAL positions are compared. */
#define SAME_TIME_US (100 * MILLISECOND_US)

static uint64_t
wal_of(const struct known_member *m)
{
	return m->said.location > m->said.received_location ? m->said.location : m->said.received_location;
}

/*
 * What replicas are measured against: the leader. Without one, who has the most; and no less than the last leader was seen to
 * have, which its replicas may never get. How far it went after that, nobody knows.
 */
static void
find_wal_end(struct hearing *h)
{
	if (h->leader >= 0) {
		const struct known_member *leader = h->known->member[h->leader];
		h->wal_end = wal_of(leader);
		h->wal_asked_us = leader->asked_us;
		return;
	}
	for (int id = 0; id < CLUSTER_MEMBERS_MAX; id++) {
		const struct known_member *m = h->known->member[id];
		/* One that is starting shows where it wants to be, up to a segment ahead of what exists. */
		if (m == NULL || member_is_gone(h, m) || !member_is_up(m->said.state) ||
		    system_differs(m->said.identifier, h->identifier) || wal_of(m) <= h->wal_end)
			continue;
		h->wal_end = wal_of(m);
		h->wal_asked_us = m->asked_us;
	}
	if (h->known->trail && trail_end(h->known->trail) > h->wal_end) {
		h->wal_end = trail_end(h->known->trail);
		h->wal_asked_us = 0;
	}
}

void
reads_prepare(struct hearing *h)
{
	for (int id = 0; id < CLUSTER_MEMBERS_MAX; id++)
		h->any_answers |= h->known->member[id] && !member_is_silent(h, h->known->member[id]);
	if (h->known->kind == CLUSTER_OF_PATRONI)
		find_wal_end(h);
}

/* Two positions can be compared only when they were asked for at about the same time: in a second a leader writes
 * more than any limit. Otherwise what was measured last still holds. */
static bool
is_comparable(const struct hearing *h, const struct known_member *m)
{
	uint64_t apart_us = m->asked_us > h->wal_asked_us ? m->asked_us - h->wal_asked_us : h->wal_asked_us - m->asked_us;
	return h->wal_asked_us == 0 || apart_us <= SAME_TIME_US;
}

static uint64_t
lag_of(const struct hearing *h, const struct known_member *m, const struct member *before)
{
	if (m->said.replayed_location == 0 || h->wal_end == 0)
		return LAG_UNKNOWN;
	if (!is_comparable(h, m))
		return before ? before->lag_bytes : LAG_UNKNOWN;
	return h->wal_end > m->said.replayed_location ? h->wal_end - m->said.replayed_location : 0;
}

static uint64_t
delay_of(const struct hearing *h, const struct known_member *m)
{
	if (m->said.replayed_location == 0 || h->known->trail == NULL)
		return 0;
	return trail_delay_us(h->known->trail, m->said.replayed_location, m->asked_us);
}

static bool
is_beyond(uint64_t value, uint64_t most, bool was_beyond)
{
	return most > 0 && value > (was_beyond ? most - most / 4 : most);
}

/*
 * It went another way than the leader: on an older timeline, ahead of where the leader is, and standing still there until it is
 * rewound. In bytes that is no lag at all. One that follows may show the older timeline for a while, but it moves.
 */
static bool
is_astray(const struct hearing *h, const struct known_member *m, const struct member *before)
{
	if (h->leader < 0 || before == NULL)
		return false;
	if (before->asked_us == m->asked_us)
		return before->is_astray;
	uint32_t timeline = h->known->member[h->leader]->said.timeline;
	return m->said.timeline != 0 && m->said.timeline < timeline && is_comparable(h, m) &&
	       m->said.replayed_location > h->wal_end + TRAIL_SLACK_BYTES && m->said.replayed_location == before->lsn;
}

static bool
has_limits(const struct hearing *h)
{
	return h->known->limits.max_lag_bytes > 0 || h->known->limits.max_delay_us > 0;
}

static const char *
why_not_by_patroni(const struct hearing *h, const struct known_member *m, const struct member *out)
{
	if (m->answered_us == 0)
		return "nothing is known of it yet";
	if (member_is_gone(h, m) && h->any_answers) /* where none answers, we are the ones cut off */
		return "its Patroni does not answer";
	if (system_differs(m->said.identifier, h->identifier))
		return "it belongs to another cluster: its system identifier differs";
	if (!member_is_up(m->said.state))
		return "its PostgreSQL is not running";
	if (m->said.role == MEMBER_LEADER)
		return "it is a primary, but does not lead";
	if (m->said.role != MEMBER_REPLICA)
		return "it is no replica";
	if (m->session == SESSION_WRITABLE && m->session_us >= m->asked_us)
		return "a session on it was told that it takes writes";
	if (m->said.tags.no_loadbalance)
		return "it is tagged noloadbalance";
	if (out->weight == 0)
		return "it has weight 0";
	if (out->is_astray)
		return "it is on an older timeline, beyond where the leader left that";
	if (m->said.is_replay_paused && has_limits(h))
		return "its replay is paused";
	if (out->is_lagging)
		return "its replay lags too far behind";
	if (out->is_delayed)
		return "it has not replayed for too long what the leader wrote";
	if (h->known->limits.max_lag_bytes > 0 && out->lag_bytes == LAG_UNKNOWN)
		return "it is not known how far its replay lags behind";
	if (member_is_refused(m))
		return "it refused our last connection";
	return NULL;
}

static const char *
why_not_by_session(const struct known_member *m)
{
	if (m->refusals > 0)
		return "it refused our last connection";
	if (m->session == SESSION_NOTHING)
		return "no session on it has been opened yet";
	if (m->session == SESSION_WRITABLE)
		return "it is writable, but does not lead";
	return NULL;
}

/* The first signs of what may be nothing. */
static const char *
why_doubted(const struct hearing *h, const struct known_member *m)
{
	bool has_patroni = h->known->kind == CLUSTER_OF_PATRONI;
	uint64_t word_us = has_patroni ? m->asked_us : m->session_us;
	if (m->troubled_us && m->troubled_us >= word_us)
		return "a session on it broke off";
	if (has_patroni && h->any_answers && member_is_silent(h, m))
		return "its Patroni did not answer the last time";
	if (m->is_unlisted)
		return "Patroni does not list it";
	return NULL;
}

void
reads_describe(const struct hearing *h, const struct known_member *m, const struct member *before, struct member *out)
{
	out->lag_bytes = LAG_UNKNOWN;
	if (out->id == h->leader) {
		out->why_not_read = "it is the leader";
		return;
	}
	switch (h->known->kind) {
	case CLUSTER_OF_PATRONI:
		out->lag_bytes = lag_of(h, m, before);
		out->delay_us = delay_of(h, m);
		out->is_lagging = out->lag_bytes != LAG_UNKNOWN &&
		                  is_beyond(out->lag_bytes, h->known->limits.max_lag_bytes, before && before->is_lagging);
		out->is_delayed = is_beyond(out->delay_us, h->known->limits.max_delay_us, before && before->is_delayed);
		out->is_astray = is_astray(h, m, before);
		out->why_not_read = why_not_by_patroni(h, m, out);
		break;
	case CLUSTER_OF_HOSTS:
		out->why_not_read = why_not_by_session(m);
		break;
	case CLUSTER_PLAIN:
		out->why_not_read = out->why_not_write;
		return;
	}
	if (out->why_not_read == NULL)
		out->why_doubted = why_doubted(h, m);
}
