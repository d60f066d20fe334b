/*
 * admin/show_clusters.c - SHOW MEMBERS and CLUSTERS, of our own: whom each cluster consists of, and what follows from it.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "session/hold.h"
#include "session/proxy.h"
#include "show_row.h"

static const char *
yes_or_no(bool is_so)
{
	return is_so ? "yes" : "no";
}

/* ---- MEMBERS ---- */

struct member_row {
	const char *cluster, *name, *host, *role, *state, *reachable, *lock, *paused, *server_says, *write;
	char        lsn[24], read[120];
	uint64_t    port, timeline, lag, delay_ms, patroni_at, server_at, since, weight, servers, active;
};

/* What the last of our sessions that knew was told. */
static const char *
server_says(const struct member *m)
{
	if (m->server_says_writable)
		return "writable";
	return m->server_says_recovery ? "in recovery" : "unknown";
}

/* "yes", "yes, after others: ...", or why not. */
static void
write_read(struct member_row *row, const struct member *m)
{
	struct text out = TEXT_IN(row->read);
	if (m->why_not_read == NULL && m->why_doubted)
		text_add(&out, "yes, after others: ");
	text_add(&out, m->why_not_read ? m->why_not_read : m->why_doubted ? m->why_doubted : "yes");
}

static uint64_t
servers_on(const struct proxy *x, const struct cluster_load *load, uint16_t id)
{
	uint64_t count = 0;
	list_each(&x->pools, n, after)
	{
		const struct pool *p = node_owner(n, struct pool, node);
		if (p->database->load == load && p->at[id])
			count += p->at[id]->count;
	}
	return count;
}

static void
add_member(struct show_rows *out, const struct proxy *x, const struct cluster_load *load, const struct member *m)
{
	const struct topology *t = load->topology;
	const struct member *now = topology_member(cluster_topology(load->cluster), m->id); /* the newest numbers */
	if (now && strcmp(now->name, m->name) == 0)
		m = now;
	struct member_row *row = show_rows_add(out);
	bool is_measured = m->role == MEMBER_REPLICA && m->is_reachable && m->lag_bytes != LAG_UNKNOWN;
	*row = (struct member_row){
		.cluster = t->cluster,
		.name = m->name,
		.host = m->host,
		.port = m->port,
		.role = t->is_plain ? "plain" : member_role_name(m->role),
		.state = member_state_name(m->state),
		.timeline = m->timeline ? m->timeline : SHOW_NULL,
		.lag = is_measured ? m->lag_bytes : SHOW_NULL,
		.delay_ms = is_measured ? m->delay_us / 1000 : SHOW_NULL,
		.paused = m->role == MEMBER_REPLICA && t->has_patroni ? yes_or_no(m->is_replay_paused) : NULL,
		.reachable = yes_or_no(m->is_reachable),
		.lock = t->has_patroni ? yes_or_no(m->patroni_says_leader) : NULL,
		.patroni_at = m->answered_us ? m->answered_us : SHOW_NULL,
		.server_says = server_says(m),
		.server_at = m->told_us ? m->told_us : SHOW_NULL,
		.write = m->why_not_write ? m->why_not_write : "yes",
		.since = m->since_us,
		.weight = m->weight,
		.servers = servers_on(x, load, m->id),
		.active = load->busy[m->id],
	};
	write_read(row, m);
	if (m->lsn)
		snprintf(row->lsn, sizeof(row->lsn), "%" PRIX64 "/%" PRIX64, m->lsn >> 32, m->lsn & UINT32_MAX);
}

static void
fill_members(const struct show_table *t, struct proxy *x, struct show_rows *out)
{
	list_each(&x->loads, n, after)
	{
		const struct cluster_load *load = node_owner(n, struct cluster_load, node);
		for (uint16_t i = 0; i < load->topology->count; i++)
			add_member(out, x, load, &load->topology->member[i]);
	}
}

static int
by_cluster_and_name(const void *a, const void *b)
{
	const struct member_row *x = a, *y = b;
	int order = strcmp(x->cluster, y->cluster);
	return order ? order : strcmp(x->name, y->name);
}

#define MEMBER(name, type, at) COLUMN(name, type, struct member_row, at)

static const struct show_column member_columns[] = {
	MEMBER("cluster", SHOW_TEXT, cluster),
	MEMBER("name", SHOW_TEXT, name),
	MEMBER("host", SHOW_TEXT, host),
	MEMBER("port", SHOW_INT4, port),
	MEMBER("role", SHOW_TEXT, role),
	MEMBER("state", SHOW_TEXT, state),
	MEMBER("timeline", SHOW_INT8, timeline),
	MEMBER("lsn", SHOW_CHARS, lsn),
	MEMBER("lag_bytes", SHOW_INT8, lag),
	MEMBER("lag_ms", SHOW_INT8, delay_ms),
	MEMBER("replay_paused", SHOW_TEXT, paused),
	MEMBER("reachable", SHOW_TEXT, reachable),
	MEMBER("patroni_lock", SHOW_TEXT, lock),
	MEMBER("patroni_said", SHOW_TIME, patroni_at),
	MEMBER("server_says", SHOW_TEXT, server_says),
	MEMBER("server_said", SHOW_TIME, server_at),
	MEMBER("read", SHOW_CHARS, read),
	MEMBER("write", SHOW_TEXT, write),
	MEMBER("since", SHOW_TIME, since),
	MEMBER("weight", SHOW_INT4, weight),
	MEMBER("servers", SHOW_INT4, servers),
	MEMBER("active", SHOW_INT4, active),
};

const struct show_table show_members = {
	.word = "MEMBERS",
	.columns = member_columns,
	.column_count = COLUMN_COUNT(member_columns),
	.row_bytes = sizeof(struct member_row),
	.fill = fill_members,
	.compare = by_cluster_and_name,
};

/* ---- CLUSTERS ---- */

struct cluster_row {
	const char *name, *kind, *leader, *stale, *paused, *why, *holding, *scheduled_at, *scheduled_to, *state;
	uint64_t    timeline, members, readable, since, polls, failures, changes, losses, leaderless_ms, held, failovers, held_ms, released,
	    refused, scheduled_in, false_alarms, false_alarms_ms;
};

static const char *
kind_of(const struct topology *t)
{
	if (t->is_plain)
		return "plain";
	return t->has_patroni ? "patroni" : "hosts";
}

static uint64_t
readable_members(const struct topology *t)
{
	uint64_t count = 0;
	for (uint16_t i = 0; i < t->count; i++)
		count += t->member[i].why_not_read == NULL;
	return count;
}

static void
add_schedule(struct cluster_row *row, const struct schedule *s)
{
	if (!s->exists)
		return;
	int64_t left_us = schedule_left_us(s, clock_wall_us());
	row->scheduled_at = s->at;
	row->scheduled_to = s->to[0] ? s->to : NULL;
	if (s->at_us)
		row->scheduled_in = left_us > 0 ? (uint64_t)left_us / SECOND_US : 0;
}

static void
fill_clusters(const struct show_table *table, struct proxy *x, struct show_rows *out)
{
	list_each(&x->loads, n, after)
	{
		const struct cluster_load *load = node_owner(n, struct cluster_load, node);
		const struct topology *t = load->topology;
		const struct member *leader = topology_leader(t);
		const struct cluster_counters *counters = cluster_counters(load->cluster);
		struct cluster_row *row = show_rows_add(out);
		*row = (struct cluster_row){
			.name = t->cluster,
			.kind = kind_of(t),
			.leader = leader ? leader->name : NULL,
			.timeline = t->timeline ? t->timeline : SHOW_NULL,
			.members = t->count,
			.readable = readable_members(t),
			.since = t->leader_since_us,
			.stale = yes_or_no(t->is_stale),
			.paused = yes_or_no(t->is_paused),
			.why = t->why_no_leader,
			.polls = counters->polls,
			.failures = counters->polls_failed + counters->polls_bad,
			.changes = counters->leader_changes,
			.losses = counters->leader_losses,
			.leaderless_ms = cluster_leaderless_us(load->cluster) / 1000,
			.holding = yes_or_no(hold_since_us(load) != 0),
			.held = hold_since_us(load) ? hold_count(load->hold) : 0,
			.failovers = load->hold->ended,
			.held_ms = load->hold->all_held_us / 1000,
			.released = load->hold->released,
			.refused = load->hold->refused,
			.scheduled_in = SHOW_NULL,
			.state = t->is_plain ? NULL : hold_meaning(load->hold->state)->name,
			.false_alarms = load->hold->false_alarms,
			.false_alarms_ms = load->hold->false_alarms_us / 1000,
		};
		add_schedule(row, cluster_schedule(load->cluster));
	}
}

static int
by_cluster(const void *a, const void *b)
{
	const struct cluster_row *x = a, *y = b;
	return strcmp(x->name, y->name);
}

#define CLUSTER(name, type, at) COLUMN(name, type, struct cluster_row, at)

static const struct show_column cluster_columns[] = {
	CLUSTER("name", SHOW_TEXT, name),
	CLUSTER("kind", SHOW_TEXT, kind),
	CLUSTER("leader", SHOW_TEXT, leader),
	CLUSTER("timeline", SHOW_INT8, timeline),
	CLUSTER("members", SHOW_INT4, members),
	CLUSTER("readable", SHOW_INT4, readable),
	CLUSTER("since", SHOW_TIME, since),
	CLUSTER("stale", SHOW_TEXT, stale),
	CLUSTER("paused", SHOW_TEXT, paused),
	CLUSTER("why_no_leader", SHOW_TEXT, why),
	CLUSTER("polls", SHOW_INT8, polls),
	CLUSTER("failures", SHOW_INT8, failures),
	CLUSTER("leader_changes", SHOW_INT8, changes),
	CLUSTER("leader_losses", SHOW_INT8, losses),
	CLUSTER("leaderless_ms", SHOW_INT8, leaderless_ms),
	CLUSTER("holding", SHOW_TEXT, holding),
	CLUSTER("held", SHOW_INT4, held),
	CLUSTER("failovers", SHOW_INT8, failovers),
	CLUSTER("held_ms", SHOW_INT8, held_ms),
	CLUSTER("released", SHOW_INT8, released),
	CLUSTER("refused", SHOW_INT8, refused),
	CLUSTER("scheduled_at", SHOW_TEXT, scheduled_at),
	CLUSTER("scheduled_to", SHOW_TEXT, scheduled_to),
	CLUSTER("scheduled_in", SHOW_INT8, scheduled_in),
	CLUSTER("writes", SHOW_TEXT, state),
	CLUSTER("false_alarms", SHOW_INT8, false_alarms),
	CLUSTER("false_alarms_ms", SHOW_INT8, false_alarms_ms),
};

const struct show_table show_clusters = {
	.word = "CLUSTERS",
	.columns = cluster_columns,
	.column_count = COLUMN_COUNT(cluster_columns),
	.row_bytes = sizeof(struct cluster_row),
	.fill = fill_clusters,
	.compare = by_cluster,
};
