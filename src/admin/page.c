/*
 * admin/page.c - the status page, top down: does it serve, who leads, who waits, how much goes through.
 *
 * Tables are those behind SHOW, with fewer columns and headings for people. All that comes from elsewhere is escaped.
 */
#include "admin/page.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "admin/escape.h"
#include "admin/health.h"
#include "admin/show.h"
#include "base/clock.h"
#include "session/proxy.h"

#define REFRESH_SECONDS "5"

static const char head[] =
	"<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
	"<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
	"<meta name=\"color-scheme\" content=\"light dark\">\n"
	"<meta http-equiv=\"refresh\" content=\"" REFRESH_SECONDS "\">\n"
	"<style>\n"
	":root{--back:#fff;--text:#1c2024;--soft:#667;--line:#d8dce2;--head:#f3f5f8;"
	"--good:#0a7d34;--bad:#c4161c;--warn:#a15c00}\n"
	"@media(prefers-color-scheme:dark){:root{--back:#14171a;--text:#e3e6ea;--soft:#9aa3ad;--line:#333a42;"
	"--head:#1e2328;--good:#4cc97a;--bad:#ff6b6b;--warn:#ffb454}}\n"
	"body{margin:0 auto;padding:1rem 1.5rem 2rem;max-width:90rem;background:var(--back);color:var(--text);"
	"font:15px/1.45 system-ui,sans-serif}\n"
	"h1{font-size:1.35rem;margin:0}h2{font-size:1.05rem;margin:1.8rem 0 .4rem}p{margin:.2rem 0}\n"
	".state{border-left:.4rem solid var(--good);padding:.5rem .9rem;margin:1rem 0 0;background:var(--head)}\n"
	".state b{color:var(--good);font-size:1.15rem}.state.stop{border-color:var(--bad)}.state.stop b{color:var(--bad)}\n"
	".soft{color:var(--soft)}.good{color:var(--good)}.bad{color:var(--bad);font-weight:600}"
	".warn{color:var(--warn);font-weight:600}\n"
	".wide{overflow-x:auto}table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}\n"
	"table{font-size:.92rem}th,td{padding:.25rem .55rem;border-bottom:1px solid var(--line);text-align:left;"
	"white-space:nowrap}\n"
	"th{background:var(--head);font-weight:600;font-size:.82rem}.n{text-align:right}\n"
	"td.long{white-space:normal;min-width:9rem}a{color:inherit}\n"
	"</style>\n";

/* ---- cells ---- */

enum look {
	TEXT,    /* as it is; nothing shows as a dash */
	TROUBLE_TEXT, /* a sentence that had better not be there */
	REASON,  /* "yes" is good, a sentence says why not */
	NUMBER,
	TROUBLE, /* a number that should be 0 */
	BYTES,
	LAG,     /* bytes; not known shows as a dash */
	AGE,     /* a time, as how long ago */
	MICROS,  /* a duration */
	MILLIS,
	YES_IS_BAD,
	NO_IS_BAD,
};

struct cell {
	const char *heading, *column;
	enum look   look;
};

static bool
is_numeric(enum look look)
{
	return look == NUMBER || look == TROUBLE || look == BYTES || look == LAG || look == AGE || look == MICROS || look == MILLIS;
}

static void
add_bytes(struct buf *out, uint64_t n)
{
	static const char *const units[] = { "B", "kB", "MB", "GB", "TB", "PB", "EB" };
	unsigned unit = 0;
	uint64_t tenths = n * 10;
	if (n > UINT64_MAX / 10)
		tenths = UINT64_MAX;
	for (; tenths >= 10240 && unit + 1 < sizeof(units) / sizeof(units[0]); unit++)
		tenths /= 1024;
	if (unit == 0)
		buf_addf(out, "%" PRIu64 " B", n);
	else
		buf_addf(out, "%" PRIu64 ".%" PRIu64 " %s", tenths / 10, tenths % 10, units[unit]);
}

static void
add_age(struct buf *out, uint64_t us)
{
	uint64_t s = us / SECOND_US;
	if (s < 60)
		buf_addf(out, "%" PRIu64 " s", s);
	else if (s < 3600)
		buf_addf(out, "%" PRIu64 " min %" PRIu64 " s", s / 60, s % 60);
	else if (s < 86400)
		buf_addf(out, "%" PRIu64 " h %" PRIu64 " min", s / 3600, s / 60 % 60);
	else
		buf_addf(out, "%" PRIu64 " d %" PRIu64 " h", s / 86400, s / 3600 % 24);
}

static void
add_micros(struct buf *out, uint64_t us)
{
	if (us < 10000)
		buf_addf(out, "%" PRIu64 " µs", us);
	else if (us < 10 * SECOND_US)
		buf_addf(out, "%" PRIu64 " ms", us / 1000);
	else
		buf_addf(out, "%" PRIu64 " s", us / SECOND_US);
}

static void
add_number(struct buf *out, enum look look, uint64_t n)
{
	switch (look) {
	case BYTES:
	case LAG:
		add_bytes(out, n);
		break;
	case AGE:
		add_age(out, clock_now_us() - n);
		break;
	case MICROS:
		add_micros(out, n);
		break;
	case MILLIS:
		add_micros(out, n < UINT64_MAX / 1000 ? n * 1000 : n);
		break;
	default:
		buf_addf(out, "%" PRIu64, n);
	}
}

/* The class that says at a glance whether it is well. */
static const char *
class_of(const struct cell *c, struct view text, uint64_t n)
{
	bool is_yes = view_is(text, "yes");
	switch (c->look) {
	case REASON:
		return is_yes ? "good" : view_is(view_part(text, 0, 3), "yes") ? "long warn" : "long soft";
	case TROUBLE_TEXT:
		return "long bad";
	case TROUBLE:
		return n > 0 ? "n warn" : "n soft";
	case YES_IS_BAD:
		return is_yes ? "warn" : "soft";
	case NO_IS_BAD:
		return is_yes ? "good" : "bad";
	default:
		return is_numeric(c->look) ? "n" : "";
	}
}

static void
add_cell(struct buf *out, const struct show_table *t, const struct cell *c, const void *row)
{
	const struct show_column *column = show_column(t, c->column);
	char room[SHOW_ROOM];
	struct view text = VIEW("");
	bool is_there = show_text(column, row, room, &text) && text.n > 0;
	if (!is_there) {
		buf_addf(out, "<td class=\"%s\">–</td>", is_numeric(c->look) ? "n soft" : "soft");
		return;
	}
	uint64_t n = show_number(column, row);
	buf_addf(out, "<td class=\"%s\">", class_of(c, text, n));
	if (is_numeric(c->look))
		add_number(out, c->look, n);
	else
		escape_html(out, text);
	buf_addf(out, "</td>");
}

/* ---- tables ---- */

enum { CELLS_MAX = 16 };

struct panel {
	const char *heading;
	const struct show_table *table;
	struct cell cells[CELLS_MAX]; /* ends with one without heading */
};

static const struct panel panels[] = {
	{ "Clusters",
	  &show_clusters,
	  {
		  { "Cluster", "name", TEXT },
		  { "Kind", "kind", TEXT },
		  { "Leader", "leader", TEXT },
		  { "for", "since", AGE },
		  { "Why none", "why_no_leader", TROUBLE_TEXT },
		  { "Held", "held", TROUBLE },
		  { "Timeline", "timeline", NUMBER },
		  { "Members", "members", NUMBER },
		  { "For reads", "readable", NUMBER },
		  { "Stale", "stale", YES_IS_BAD },
		  { "Maintenance", "paused", YES_IS_BAD },
		  { "Leader changes", "leader_changes", NUMBER },
		  { "Failed polls", "failures", NUMBER },
	  } },
	{ "Members",
	  &show_members,
	  {
		  { "Cluster", "cluster", TEXT },
		  { "Member", "name", TEXT },
		  { "Host", "host", TEXT },
		  { "Role", "role", TEXT },
		  { "State", "state", TEXT },
		  { "for", "since", AGE },
		  { "Reachable", "reachable", NO_IS_BAD },
		  { "Timeline", "timeline", NUMBER },
		  { "Lag", "lag_bytes", LAG },
		  { "Late by", "lag_ms", MILLIS },
		  { "Writes", "write", REASON },
		  { "Reads", "read", REASON },
		  { "Servers", "servers", NUMBER },
		  { "Busy", "active", NUMBER },
	  } },
	{ "Pools",
	  &show_pools,
	  {
		  { "Database", "database", TEXT },
		  { "User", "user", TEXT },
		  { "Mode", "pool_mode", TEXT },
		  { "Clients", "cl_active", NUMBER },
		  { "Waiting", "cl_waiting", TROUBLE },
		  { "Longest wait, s", "maxwait", TROUBLE },
		  { "Servers busy", "sv_active", NUMBER },
		  { "idle", "sv_idle", NUMBER },
		  { "idle for long", "sv_used", NUMBER },
		  { "checked", "sv_tested", NUMBER },
		  { "logging in", "sv_login", NUMBER },
	  } },
	{ "Clients that keep their server connection",
	  &show_pins,
	  {
		  { "Database", "database", TEXT },
		  { "User", "user", TEXT },
		  { "Client", "client_id", NUMBER },
		  { "Address", "addr", TEXT },
		  { "Application", "application_name", TEXT },
		  { "Server", "member", TEXT },
		  { "Process", "server_pid", NUMBER },
		  { "For", "reasons", TEXT },
		  { "Seconds", "seconds", NUMBER },
		  { "idle", "idle_seconds", NUMBER },
	  } },
	{ "Databases",
	  &show_databases,
	  {
		  { "Database", "name", TEXT },
		  { "Cluster or host", "host", TEXT },
		  { "On the server", "database", TEXT },
		  { "Pool size", "pool_size", NUMBER },
		  { "Servers", "current_connections", NUMBER },
		  { "Clients", "current_client_connections", NUMBER },
		  { "Paused", "paused", TROUBLE },
		  { "Disabled", "disabled", TROUBLE },
	  } },
	{ "Traffic: averages of the last minutes, per second",
	  &show_stats,
	  {
		  { "Database", "database", TEXT },
		  { "Transactions", "avg_xact_count", NUMBER },
		  { "Queries", "avg_query_count", NUMBER },
		  { "In", "avg_recv", BYTES },
		  { "Out", "avg_sent", BYTES },
		  { "Per transaction", "avg_xact_time", MICROS },
		  { "Per query", "avg_query_time", MICROS },
		  { "Wait for a server", "avg_wait_time", MICROS },
		  { "Transactions so far", "total_xact_count", NUMBER },
		  { "Queries so far", "total_query_count", NUMBER },
	  } },
};

enum { ROWS_MAX = 500 }; /* of one table: more than that is for SHOW */

static void
add_panel(struct buf *out, const struct panel *p, struct proxy *x)
{
	struct show_rows rows;
	show_collect(p->table, x, &rows);
	buf_addf(out, "<h2>%s</h2>\n<div class=\"wide\"><table><thead><tr>", p->heading);
	for (const struct cell *c = p->cells; c < p->cells + CELLS_MAX && c->heading; c++)
		buf_addf(out, "<th%s>%s</th>", is_numeric(c->look) ? " class=\"n\"" : "", c->heading);
	buf_addf(out, "</tr></thead><tbody>\n");
	for (size_t i = 0; i < rows.count && i < ROWS_MAX; i++) {
		buf_addf(out, "<tr>");
		for (const struct cell *c = p->cells; c < p->cells + CELLS_MAX && c->heading; c++)
			add_cell(out, p->table, c, show_row(&rows, i));
		buf_addf(out, "</tr>\n");
	}
	buf_addf(out, "</tbody></table></div>\n");
	if (rows.count > ROWS_MAX)
		buf_addf(out, "<p class=\"soft\">%zu more: SHOW %s on the console.</p>\n", rows.count - ROWS_MAX, p->table->word);
	show_rows_free(&rows);
}

/* ---- the top ---- */

static const char *
state_word(const struct proxy *x, bool is_ready)
{
	if (x->state >= PROXY_STOPPING_SERVERS)
		return "Shutting down";
	if (!is_ready)
		return "Not ready";
	return x->state == PROXY_PAUSED ? "Paused" : x->state == PROXY_SUSPENDED ? "Suspended" : "Ready";
}

/* A sentence of health_is_ready() that is bad news. */
static bool
is_bad_news(struct view line)
{
	return memmem(line.p, line.n, "not ready:", strlen("not ready:")) != NULL;
}

static void
add_lines(struct buf *out, struct view lines)
{
	while (lines.n > 0) {
		const uint8_t *end = memchr(lines.p, '\n', lines.n);
		struct view line = view_part(lines, 0, end ? (size_t)(end - lines.p) : lines.n);
		buf_addf(out, "<p%s>", is_bad_news(line) ? " class=\"bad\"" : "");
		escape_html(out, line);
		buf_addf(out, "</p>");
		lines = view_from(lines, line.n + 1);
	}
}

static void
add_top(struct buf *out, const struct proxy *x)
{
	char host[256] = "", date[64];
	time_t now = (time_t)(clock_wall_us() / SECOND_US);
	struct tm tm;
	localtime_r(&now, &tm);
	strftime(date, sizeof(date), "%Y-%m-%d %H:%M:%S %Z", &tm);
	gethostname(host, sizeof(host) - 1);
	struct buf lines = { 0 };
	bool is_ready = health_is_ready(x, &lines);
	const char *word = state_word(x, is_ready);

	buf_add(out, view_of(head, sizeof(head) - 1));
	buf_addf(out, "<title>%s · pgsluice on ", word);
	escape_html(out, view_of_string(host));
	buf_addf(out, "</title>\n</head>\n<body>\n<h1>pgsluice on ");
	escape_html(out, view_of_string(host));
	buf_addf(out, "</h1>\n<p class=\"soft\">release " PGSLUICE_VERSION ", process %d, up ", (int)getpid());
	add_age(out, clock_now_us() - x->started_us);
	buf_addf(out, "; %u clients, %u servers; as of %s, again every " REFRESH_SECONDS " seconds; ", x->client_count,
	         x->servers.count, date);
	buf_addf(out, "<a href=\"/metrics\">metrics</a>, <a href=\"/health/readiness\">readiness</a></p>\n");
	buf_addf(out, "<div class=\"state%s\"><b>%s</b>", is_ready && x->state == PROXY_RUNNING ? "" : " stop", word);
	add_lines(out, buf_view(&lines));
	buf_addf(out, "</div>\n");
	buf_free(&lines);
}

void
page_write(struct proxy *x, struct buf *out)
{
	add_top(out, x);
	for (size_t i = 0; i < sizeof(panels) / sizeof(panels[0]); i++)
		add_panel(out, &panels[i], x);
	buf_addf(out, "</body>\n</html>\n");
}
