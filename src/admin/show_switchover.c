/*
 * admin/show_switchover.c - SWITCHOVER CHECK, of our own: what stands in the way of a switchover now. No row: nothing does.
 */
#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "session/client.h"
#include "session/hold.h"
#include "session/pins.h"
#include "session/proxy.h"
#include "session/server.h"
#include "session/switchover.h"
#include "show_row.h"

struct obstacle_row {
	const char *cluster, *effect;
	char        what[160], who[MEMBER_NAME_MAX + DATABASE_NAME_MAX];
	uint64_t    seconds;
};

/* What it does to a switchover. */
#define BLOCKS "blocks"  /* it would fail */
#define DELAYS "delays"  /* it is waited for, up to the deadline */
#define ENDS   "is cut"  /* it is not waited for, and loses its connection */
#define WARNS  "perhaps"

static struct obstacle_row *
add(struct show_rows *out, const struct cluster_load *load, const char *effect)
{
	struct obstacle_row *row = show_rows_add(out);
	*row = (struct obstacle_row){ .cluster = load->topology->cluster, .effect = effect, .seconds = SHOW_NULL };
	return row;
}

static void
add_words(struct show_rows *out, const struct cluster_load *load, const char *effect, const char *who, const char *what)
{
	struct obstacle_row *row = add(out, load, effect);
	snprintf(row->who, sizeof(row->who), "%s", who);
	snprintf(row->what, sizeof(row->what), "%s", what);
}

static const char *
why_not_next(const struct member *m)
{
	if (!m->is_reachable)
		return "its Patroni does not answer";
	if (m->no_failover)
		return "it is tagged nofailover";
	return "it is no running replica";
}

static void
fill_members(struct show_rows *out, const struct cluster_load *load)
{
	const struct topology *t = cluster_topology(load->cluster);
	const struct member *leader = topology_leader(t);
	unsigned candidates = 0;
	bool is_synchronous = false;
	for (uint16_t i = 0; i < t->count; i++)
		is_synchronous |= t->member[i].is_sync && t->member[i].is_reachable;
	for (uint16_t i = 0; i < t->count; i++) {
		const struct member *m = &t->member[i];
		if (m == leader)
			continue;
		if (!switchover_may_lead(t, m)) {
			add_words(out, load, WARNS, m->name, why_not_next(m));
			continue;
		}
		candidates++;
		if (is_synchronous && !m->is_sync)
			add_words(out, load, WARNS, m->name, "it is no synchronous standby: Patroni takes another");
		if (m->lag_bytes == 0 || m->lag_bytes == LAG_UNKNOWN)
			continue;
		struct obstacle_row *row = add(out, load, DELAYS);
		snprintf(row->who, sizeof(row->who), "%s", m->name);
		snprintf(row->what, sizeof(row->what), "its replay is %" PRIu64 " bytes behind", m->lag_bytes);
	}
	if (candidates == 0)
		add_words(out, load, BLOCKS, "", "no member could lead next");
}

static void
fill_cluster(struct show_rows *out, const struct proxy *x, const struct cluster_load *load)
{
	const struct topology *t = load->topology;
	const struct member *leader = topology_leader(t);
	if (leader == NULL)
		add_words(out, load, BLOCKS, "", t->why_no_leader);
	if (t->is_stale)
		add_words(out, load, BLOCKS, leader ? leader->name : "", "the leader's Patroni does not answer");
	if (hold_is_planned(load->hold))
		add_words(out, load, BLOCKS, "", "a switchover is under way already");
	if (t->is_paused)
		add_words(out, load, WARNS, "", "Patroni's maintenance mode is on: it wants a member to be named with TO");
	const struct cluster_config *config = config_cluster(x->config, t->cluster);
	if (config && config->patroni_identity.user[0] == '\0')
		add_words(out, load, WARNS, "", "patroni_user is not set: restapi.authentication would refuse it");
}

static void
fill_servers(struct show_rows *out, const struct proxy *x, const struct cluster_load *load)
{
	const struct member *leader = topology_leader(load->topology);
	list_each(&x->servers, n, after)
	{
		const struct server *s = node_owner(n, struct server, node);
		if (leader == NULL || s->pool->database->load != load || s->slot.at == NULL || s->slot.at->id != leader->id)
			continue;
		const struct client *c = s->link;
		bool is_busy = switchover_is_busy(s);
		if ((!is_busy && c == NULL) || s->login)
			continue;
		struct obstacle_row *row = add(out, load, is_busy ? DELAYS : ENDS);
		snprintf(row->who, sizeof(row->who), "%s %s/%s", c ? client_tag(c) : server_tag(s), s->pool->database->name,
		         s->pool->role->name);
		struct text what = TEXT_IN(row->what);
		if (!is_busy && c->pins) {
			text_add(&what, "keeps its server connection: ");
			pins_add_names(&what, c->pins);
		} else {
			text_add(&what, s->replication     ? "a replication connection"
			                : !is_busy         ? "keeps its server connection (pool_mode = session)"
			                : s->status == 'I' ? "a statement runs"
			                                   : "a transaction is open");
		}
		row->seconds = (clock_now_us() - (s->linked_us ? s->linked_us : s->since_us)) / SECOND_US;
	}
}

static void
fill_obstacles(const struct show_table *t, struct proxy *x, struct show_rows *out)
{
	list_each(&x->loads, n, after)
	{
		const struct cluster_load *load = node_owner(n, struct cluster_load, node);
		if (!load->topology->has_patroni)
			continue;
		fill_cluster(out, x, load);
		fill_members(out, load);
		fill_servers(out, x, load);
	}
}

#define OBSTACLE(name, type, at) COLUMN(name, type, struct obstacle_row, at)

static const struct show_column obstacle_columns[] = {
	OBSTACLE("cluster", SHOW_TEXT, cluster),
	OBSTACLE("effect", SHOW_TEXT, effect),
	OBSTACLE("who", SHOW_CHARS, who),
	OBSTACLE("what", SHOW_CHARS, what),
	OBSTACLE("seconds", SHOW_INT8, seconds),
};

const struct show_table show_switchover_check = {
	.word = "SWITCHOVER CHECK",
	.columns = obstacle_columns,
	.column_count = COLUMN_COUNT(obstacle_columns),
	.row_bytes = sizeof(struct obstacle_row),
	.is_admins = true,
	.fill = fill_obstacles,
};
