/*
 * admin/show_stats.c - SHOW STATS, STATS_TOTALS, STATS_AVERAGES, TOTALS: figures per database and of all together.
 *
 * One row struct serves the tables, which name the same figures differently. An average spans the time since the end
 * of the stats_period before the last (session/settle.c rolls them), so one to two periods.
 */
#include <string.h>

#include "base/clock.h"
#include "base/text.h"
#include "session/proxy.h"
#include "show_row.h"

enum figure {
	ASSIGNMENTS,
	TRANSACTIONS,
	QUERIES,
	RECEIVED,
	SENT,
	TRANSACTION_US,
	QUERY_US,
	WAIT_US,
	CLIENT_PARSES,
	SERVER_PARSES,
	BINDS,
	FIGURES
};

struct stats_row {
	const char *database;
	uint64_t    total[FIGURES];
	uint64_t    average[FIGURES];
};

/* Per second of each figure, but for the times, which are per what took them. */
static const enum figure per[FIGURES] = {
	[ASSIGNMENTS] = FIGURES, [TRANSACTIONS] = FIGURES,       [QUERIES] = FIGURES,  [RECEIVED] = FIGURES,
	[SENT] = FIGURES,        [TRANSACTION_US] = TRANSACTIONS, [QUERY_US] = QUERIES, [WAIT_US] = ASSIGNMENTS,
	[CLIENT_PARSES] = FIGURES, [SERVER_PARSES] = FIGURES,    [BINDS] = FIGURES,
};

static void
list_figures(const struct stats *s, uint64_t out[FIGURES])
{
	out[ASSIGNMENTS] = s->assignments;
	out[TRANSACTIONS] = s->transactions;
	out[QUERIES] = s->queries;
	out[RECEIVED] = s->bytes_received;
	out[SENT] = s->bytes_sent;
	out[TRANSACTION_US] = s->transaction_us;
	out[QUERY_US] = s->query_us;
	out[WAIT_US] = s->wait_us;
	out[CLIENT_PARSES] = s->client_parses;
	out[SERVER_PARSES] = s->server_parses;
	out[BINDS] = s->binds;
}

static uint64_t
per_second(uint64_t count, uint64_t elapsed_us)
{
	return elapsed_us ? (uint64_t)((unsigned __int128)count * SECOND_US / elapsed_us) : 0;
}

/* `recent`: what came together in elapsed_us. */
static void
set_averages(struct stats_row *row, const uint64_t recent[FIGURES], uint64_t elapsed_us)
{
	for (int i = 0; i < FIGURES; i++) {
		if (per[i] == FIGURES)
			row->average[i] = per_second(recent[i], elapsed_us);
		else
			row->average[i] = recent[per[i]] ? recent[i] / recent[per[i]] : 0;
	}
}

/* Returns since when the figures in `recent` were counted. */
static uint64_t
recent_figures(const struct database *d, uint64_t recent[FIGURES])
{
	uint64_t then[FIGURES];
	list_figures(&d->stats, recent);
	list_figures(&d->before_that, then);
	for (int i = 0; i < FIGURES; i++)
		recent[i] -= then[i];
	return clock_now_us() - d->before_that_us;
}

static void
fill_stats(const struct show_table *t, struct proxy *x, struct show_rows *out)
{
	for (const struct database *d = x->databases; d; d = d->hh.next) {
		if (list_is_empty(&d->pools))
			continue;
		struct stats_row *row = show_rows_add(out);
		uint64_t recent[FIGURES];
		row->database = d->name;
		list_figures(&d->stats, row->total);
		uint64_t elapsed_us = recent_figures(d, recent);
		set_averages(row, recent, elapsed_us);
	}
	struct stats_row *console = show_rows_add(out);
	console->database = CONSOLE_NAME;
}

static int
by_database(const void *a, const void *b)
{
	const struct stats_row *x = a, *y = b;
	return strcmp(x->database, y->database);
}

#define TOTAL(name, figure)   COLUMN(name, SHOW_NUMERIC, struct stats_row, total[figure])
#define AVERAGE(name, figure) COLUMN(name, SHOW_NUMERIC, struct stats_row, average[figure])

static const struct show_column stats_columns[] = {
	COLUMN("database", SHOW_TEXT, struct stats_row, database),
	TOTAL("total_server_assignment_count", ASSIGNMENTS),
	TOTAL("total_xact_count", TRANSACTIONS),
	TOTAL("total_query_count", QUERIES),
	TOTAL("total_received", RECEIVED),
	TOTAL("total_sent", SENT),
	TOTAL("total_xact_time", TRANSACTION_US),
	TOTAL("total_query_time", QUERY_US),
	TOTAL("total_wait_time", WAIT_US),
	TOTAL("total_client_parse_count", CLIENT_PARSES),
	TOTAL("total_server_parse_count", SERVER_PARSES),
	TOTAL("total_bind_count", BINDS),
	AVERAGE("avg_server_assignment_count", ASSIGNMENTS),
	AVERAGE("avg_xact_count", TRANSACTIONS),
	AVERAGE("avg_query_count", QUERIES),
	AVERAGE("avg_recv", RECEIVED),
	AVERAGE("avg_sent", SENT),
	AVERAGE("avg_xact_time", TRANSACTION_US),
	AVERAGE("avg_query_time", QUERY_US),
	AVERAGE("avg_wait_time", WAIT_US),
	AVERAGE("avg_client_parse_count", CLIENT_PARSES),
	AVERAGE("avg_server_parse_count", SERVER_PARSES),
	AVERAGE("avg_bind_count", BINDS),
};

static const struct show_column totals_columns[] = {
	COLUMN("database", SHOW_TEXT, struct stats_row, database),
	TOTAL("server_assignment_count", ASSIGNMENTS),
	TOTAL("xact_count", TRANSACTIONS),
	TOTAL("query_count", QUERIES),
	TOTAL("bytes_received", RECEIVED),
	TOTAL("bytes_sent", SENT),
	TOTAL("xact_time", TRANSACTION_US),
	TOTAL("query_time", QUERY_US),
	TOTAL("wait_time", WAIT_US),
	TOTAL("client_parse_count", CLIENT_PARSES),
	TOTAL("server_parse_count", SERVER_PARSES),
	TOTAL("bind_count", BINDS),
};

static const struct show_column averages_columns[] = {
	COLUMN("database", SHOW_TEXT, struct stats_row, database),
	AVERAGE("server_assignment_count", ASSIGNMENTS),
	AVERAGE("xact_count", TRANSACTIONS),
	AVERAGE("query_count", QUERIES),
	AVERAGE("bytes_received", RECEIVED),
	AVERAGE("bytes_sent", SENT),
	AVERAGE("xact_time", TRANSACTION_US),
	AVERAGE("query_time", QUERY_US),
	AVERAGE("wait_time", WAIT_US),
	AVERAGE("avg_client_parse_count", CLIENT_PARSES), /* "avg_" on these three only: so it is there */
	AVERAGE("avg_server_parse_count", SERVER_PARSES),
	AVERAGE("avg_bind_count", BINDS),
};

#define STATS(word, columns) \
	{ word, columns, COLUMN_COUNT(columns), false, sizeof(struct stats_row), fill_stats, by_database }

const struct show_table show_stats = STATS("STATS", stats_columns);
const struct show_table show_stats_totals = STATS("STATS_TOTALS", totals_columns);
const struct show_table show_stats_averages = STATS("STATS_AVERAGES", averages_columns);

/* ---- TOTALS: one row per figure ---- */

struct sum_row {
	char     name[40];
	uint64_t value;
};

static const char *const sum_names[FIGURES] = {
	[ASSIGNMENTS] = "server_assignment_count",
	[TRANSACTIONS] = "xact_count",
	[QUERIES] = "query_count",
	[RECEIVED] = "client_bytes",
	[SENT] = "server_bytes",
	[TRANSACTION_US] = "xact_time",
	[QUERY_US] = "query_time",
	[WAIT_US] = "wait_time",
	[CLIENT_PARSES] = "ps_client_parse_count",
	[SERVER_PARSES] = "ps_server_parse_count",
	[BINDS] = "ps_bind_count",
};

/* Rates of databases add up; times are shared out again among all that took them. */
static void
sum_up(const struct proxy *x, struct stats_row *sum)
{
	uint64_t recent_sum[FIGURES] = { 0 }, rates[FIGURES] = { 0 };
	for (const struct database *d = x->databases; d; d = d->hh.next) {
		uint64_t total[FIGURES], recent[FIGURES];
		list_figures(&d->stats, total);
		uint64_t elapsed_us = recent_figures(d, recent);
		for (int i = 0; i < FIGURES; i++) {
			sum->total[i] += total[i];
			recent_sum[i] += recent[i];
			rates[i] += per_second(recent[i], elapsed_us);
		}
	}
	set_averages(sum, recent_sum, 0);
	for (int i = 0; i < FIGURES; i++)
		if (per[i] == FIGURES)
			sum->average[i] = rates[i];
}

static void
add_sums(struct show_rows *out, const char *prefix, const uint64_t values[FIGURES])
{
	for (int i = 0; i < FIGURES; i++) {
		struct sum_row *row = show_rows_add(out);
		struct text name = TEXT_IN(row->name);
		text_add(&name, prefix);
		text_add(&name, sum_names[i]);
		row->value = values[i];
	}
}

static void
fill_totals(const struct show_table *t, struct proxy *x, struct show_rows *out)
{
	struct stats_row sum = { 0 };
	sum_up(x, &sum);
	add_sums(out, "total_", sum.total);
	add_sums(out, "avg_", sum.average);
}

static const struct show_column sum_columns[] = {
	COLUMN("name", SHOW_CHARS, struct sum_row, name),
	COLUMN("value", SHOW_NUMERIC, struct sum_row, value),
};

const struct show_table show_totals = {
	.word = "TOTALS",
	.columns = sum_columns,
	.column_count = COLUMN_COUNT(sum_columns),
	.row_bytes = sizeof(struct sum_row),
	.fill = fill_totals,
};
