/*
 * admin/show_failovers.c - SHOW FAILOVERS, of our own: the changes of leader, what was noticed when, and who waited.
 */
#include "base/clock.h"
#include "session/hold.h"
#include "session/proxy.h"
#include "show_row.h"

struct failover_row {
	uint64_t    number, when, timeline_from, timeline, hold_ms, patroni_ms, server_ms, first_ms, total_ms, held, longest_ms, released,
	    refused;
	const char *cluster, *from, *to, *kind, *sign, *how;
};

static uint64_t
ms_after(uint64_t from_us, uint64_t at_us)
{
	return at_us ? (at_us - from_us) / MILLISECOND_US : SHOW_NULL;
}

static const char *
text_or_null(const char *s)
{
	return s[0] ? s : NULL;
}

static void
add_failover(struct show_rows *out, const struct failover *e)
{
	struct failover_row *row = show_rows_add(out);
	*row = (struct failover_row){
		.number = e->number,
		.when = e->sign_us,
		.cluster = e->cluster,
		.kind = e->is_planned ? "planned" : "failover",
		.from = text_or_null(e->from),
		.to = text_or_null(e->to),
		.timeline_from = e->timeline_from ? e->timeline_from : SHOW_NULL,
		.timeline = e->timeline_to ? e->timeline_to : SHOW_NULL,
		.sign = e->sign,
		.hold_ms = ms_after(e->sign_us, e->hold_us),
		.patroni_ms = ms_after(e->sign_us, e->patroni_us),
		.server_ms = ms_after(e->sign_us, e->server_us),
		.first_ms = ms_after(e->sign_us, e->first_us),
		.total_ms = ms_after(e->sign_us, e->end_us),
		.held = e->held,
		.longest_ms = e->longest_us / MILLISECOND_US,
		.released = e->released,
		.refused = e->refused,
		.how = e->how ? e->how : "goes on",
	};
}

/* The newest first, and before them what goes on. */
static void
fill_failovers(const struct show_table *t, struct proxy *x, struct show_rows *out)
{
	list_each(&x->loads, n, after)
	{
		const struct hold *h = node_owner(n, struct cluster_load, node)->hold;
		if (hold_is_open(h))
			add_failover(out, &h->event);
	}
	const struct failovers *all = x->failovers;
	uint64_t kept = all->ended < FAILOVERS_KEPT ? all->ended : FAILOVERS_KEPT;
	for (uint64_t i = 1; i <= kept; i++)
		add_failover(out, &all->kept[(all->ended - i) % FAILOVERS_KEPT]);
}

#define FAILOVER(name, type, at) COLUMN(name, type, struct failover_row, at)

static const struct show_column failover_columns[] = {
	FAILOVER("number", SHOW_INT8, number),
	FAILOVER("when", SHOW_TIME, when),
	FAILOVER("cluster", SHOW_TEXT, cluster),
	FAILOVER("kind", SHOW_TEXT, kind),
	FAILOVER("from", SHOW_TEXT, from),
	FAILOVER("to", SHOW_TEXT, to),
	FAILOVER("timeline_from", SHOW_INT8, timeline_from),
	FAILOVER("timeline", SHOW_INT8, timeline),
	FAILOVER("first_sign", SHOW_TEXT, sign),
	FAILOVER("hold_ms", SHOW_INT8, hold_ms),
	FAILOVER("patroni_ms", SHOW_INT8, patroni_ms),
	FAILOVER("server_ms", SHOW_INT8, server_ms),
	FAILOVER("first_ms", SHOW_INT8, first_ms),
	FAILOVER("total_ms", SHOW_INT8, total_ms),
	FAILOVER("held", SHOW_INT4, held),
	FAILOVER("longest_ms", SHOW_INT8, longest_ms),
	FAILOVER("released", SHOW_INT4, released),
	FAILOVER("refused", SHOW_INT4, refused),
	FAILOVER("ended", SHOW_TEXT, how),
};

const struct show_table show_failovers = {
	.word = "FAILOVERS",
	.columns = failover_columns,
	.column_count = COLUMN_COUNT(failover_columns),
	.row_bytes = sizeof(struct failover_row),
	.fill = fill_failovers,
};
