/* admin/metrics.c - all figures as Prometheus text; see the header. A metric is a row of one of the tables below. */
#include "admin/metrics.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <uthash.h>

#include "admin/escape.h"
#include "admin/show.h"
#include "base/clock.h"
#include "base/heap.h"
#include "session/auth_query.h"
#include "session/client.h"
#include "session/listener.h"
#include "session/pins.h"
#include "session/proxy.h"
#include "session/statement.h"

enum kind { GAUGE, COUNTER };

static void
add_head(struct buf *out, const char *name, enum kind kind, const char *help)
{
	buf_addf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind == GAUGE ? "gauge" : "counter");
}

static void
add_plain(struct buf *out, const char *name, enum kind kind, const char *help, uint64_t value)
{
	add_head(out, name, kind, help);
	buf_addf(out, "%s %" PRIu64 "\n", name, value);
}

/* Microseconds as seconds: exact, without a double in between. */
static void
add_seconds(struct buf *out, uint64_t us)
{
	buf_addf(out, "%" PRIu64 ".%06" PRIu64, us / SECOND_US, us % SECOND_US);
}

/* ---- metrics of tables: one per row of the table, told apart by labels that are columns, too ---- */

enum { LABELS_MAX = 6 };

struct label {
	const char *name, *column;
};

static const struct label database_labels[LABELS_MAX] = {
	{ "name", "name" },         { "host", "host" },
	{ "port", "port" },         { "database", "database" },
	{ "force_user", "force_user" }, { "pool_mode", "pool_mode" },
};
static const struct label pool_labels[LABELS_MAX] = { { "database", "database" }, { "user", "user" } };
static const struct label stats_labels[LABELS_MAX] = { { "database", "database" } };
static const struct label cluster_labels[LABELS_MAX] = { { "cluster", "name" } };
static const struct label member_labels[LABELS_MAX] = {
	{ "cluster", "cluster" }, { "member", "name" }, { "host", "host" }, { "port", "port" },
};
static const struct label role_labels[LABELS_MAX] = {
	{ "cluster", "cluster" }, { "member", "name" }, { "host", "host" }, { "port", "port" }, { "role", "role" },
};

enum reading {
	NUMBER,       /* as it is; none where it is NULL */
	MICROSECONDS, /* as seconds */
	MILLISECONDS,
	IS_YES,       /* 1 where the text is "yes", or begins so */
	IS_NULL,      /* 1 where it is NULL */
	ONE,          /* always 1: the labels say it */
};

struct metric {
	const char              *name;
	enum kind                kind;
	const char              *help;
	const struct show_table *table;
	const struct label      *labels;
	const char              *column;
	enum reading             reading;
};

#define DATABASE(name, column, help) \
	{ "pgbouncer_databases_" name, GAUGE, help, &show_databases, database_labels, column, NUMBER }
#define POOL(name, column, help) \
	{ "pgbouncer_pools_" name, GAUGE, help, &show_pools, pool_labels, column, NUMBER }
#define STATS(name, column, reading, help) \
	{ "pgbouncer_stats_totals_" name, COUNTER, help, &show_stats_totals, stats_labels, column, reading }
#define CLUSTER(name, kind, column, reading, help) \
	{ "pgsluice_cluster_" name, kind, help, &show_clusters, cluster_labels, column, reading }
#define FAILOVER(name, kind, column, reading, help) \
	{ "pgsluice_failover_" name, kind, help, &show_clusters, cluster_labels, column, reading }
#define MEMBER(name, column, reading, help) \
	{ "pgsluice_member_" name, GAUGE, help, &show_members, member_labels, column, reading }

/* Those of one table stand together: it is collected once. */
static const struct metric metrics[] = {
	DATABASE("pool_size", "pool_size", "Maximum number of server connections per pool"),
	DATABASE("reserve_pool", "reserve_pool_size", "Maximum number of additional connections per pool"),
	DATABASE("max_connections", "max_connections", "Maximum number of server connections, 0 for no limit"),
	DATABASE("current_connections", "current_connections", "Server connections now"),
	DATABASE("paused", "paused", "1 if the database is paused"),
	DATABASE("disabled", "disabled", "1 if the database is disabled"),

	POOL("client_active_connections", "cl_active", "Clients linked to a server or idle"),
	POOL("client_waiting_connections", "cl_waiting", "Clients waiting for a server"),
	POOL("client_active_cancel_connections", "cl_active_cancel_req", "Cancel requests forwarded, not done yet"),
	POOL("client_waiting_cancel_connections", "cl_waiting_cancel_req", "Cancel requests not forwarded yet"),
	POOL("server_active_connections", "sv_active", "Servers linked to a client"),
	POOL("server_active_cancel_connections", "sv_active_cancel", "Server connections carrying a cancel request"),
	POOL("server_being_canceled_connections", "sv_being_canceled", "Servers waiting for cancel requests aimed at them"),
	POOL("server_idle_connections", "sv_idle", "Servers free for use"),
	POOL("server_used_connections", "sv_used", "Servers idle for so long that they are checked before use"),
	POOL("server_testing_connections", "sv_tested", "Servers running a reset or check query"),
	POOL("server_login_connections", "sv_login", "Servers logging in"),
	POOL("client_maxwait_seconds", "maxwait", "Seconds that the oldest waiting client has waited"),

	STATS("queries_pooled_total", "query_count", NUMBER, "Queries"),
	STATS("queries_duration_seconds_total", "query_time", MICROSECONDS, "Time with a query running"),
	STATS("received_bytes_total", "bytes_received", NUMBER, "Bytes received from clients"),
	STATS("sent_bytes_total", "bytes_sent", NUMBER, "Bytes sent to clients"),
	STATS("client_wait_seconds_total", "wait_time", MICROSECONDS, "Time clients waited for a server"),
	STATS("sql_transactions_pooled_total", "xact_count", NUMBER, "Transactions"),
	STATS("server_in_transaction_seconds_total", "xact_time", MICROSECONDS, "Time with a server in a transaction"),
	STATS("client_parses_total", "client_parse_count", NUMBER, "Named statements prepared by clients"),
	STATS("server_parses_total", "server_parse_count", NUMBER, "Named statements prepared on servers"),
	STATS("binds_total", "bind_count", NUMBER, "Named statements bound"),
	STATS("server_assignments_total", "server_assignment_count", NUMBER, "Times a server was given to a client"),

	/* A plain cluster knows no leaders, and misses none. */
	CLUSTER("has_leader", GAUGE, "why_no_leader", IS_NULL, "1 if there is a leader that may be written to"),
	CLUSTER("stale", GAUGE, "stale", IS_YES, "1 if the leader is kept although its Patroni does not answer"),
	CLUSTER("paused", GAUGE, "paused", IS_YES, "1 in Patroni's maintenance mode"),
	CLUSTER("timeline", GAUGE, "timeline", NUMBER, "Timeline of the leader, or of the last one"),
	CLUSTER("members", GAUGE, "members", NUMBER, "Members known"),
	CLUSTER("readable_members", GAUGE, "readable", NUMBER, "Members that may serve reads"),
	CLUSTER("leader_changes_total", COUNTER, "leader_changes", NUMBER, "Times that another member became leader"),
	CLUSTER("leader_losses_total", COUNTER, "leader_losses", NUMBER, "Times that the leader was lost"),
	CLUSTER("leaderless_seconds_total", COUNTER, "leaderless_ms", MILLISECONDS, "Time without a leader"),
	CLUSTER("scheduled_switchover_seconds", GAUGE, "scheduled_in", NUMBER, "Seconds until a switchover that patronictl has scheduled"),
	CLUSTER("polls_total", COUNTER, "polls", NUMBER, "Requests to Patroni"),
	CLUSTER("poll_failures_total", COUNTER, "failures", NUMBER, "Requests to Patroni without a usable answer"),

	FAILOVER("holding", GAUGE, "holding", IS_YES, "1 while clients that want to write wait for a leader"),
	FAILOVER("held", GAUGE, "held", NUMBER, "Clients that wait for a leader"),
	FAILOVER("events_total", COUNTER, "failovers", NUMBER, "Changes and losses of the leader that are over, planned ones too"),
	FAILOVER("seconds_total", COUNTER, "held_ms", MILLISECONDS, "Time that these took, from the hold to the last release"),
	FAILOVER("released_total", COUNTER, "released", NUMBER, "Clients that waited and then had a server"),
	FAILOVER("refused_total", COUNTER, "refused", NUMBER, "Clients that waited too long, or were too many"),
	FAILOVER("false_alarms_total", COUNTER, "false_alarms", NUMBER, "Times that the leader was suspected, and Patroni said that it leads"),
	FAILOVER("false_alarms_seconds_total", COUNTER, "false_alarms_ms", MILLISECONDS, "Time that writes waited for Patroni to say so"),

	MEMBER("up", "reachable", IS_YES, "1 if the member is reachable"),
	MEMBER("readable", "read", IS_YES, "1 if reads may go to it"),
	MEMBER("writable", "write", IS_YES, "1 if writes may go to it"),
	MEMBER("timeline", "timeline", NUMBER, "Its timeline"),
	MEMBER("lag_bytes", "lag_bytes", NUMBER, "WAL of the leader that a replica has not replayed"),
	MEMBER("lag_seconds", "lag_ms", MILLISECONDS, "For how long a replica has not replayed something that the leader wrote"),
	MEMBER("replay_paused", "replay_paused", IS_YES, "1 if its replay is paused"),
	MEMBER("server_connections", "servers", NUMBER, "Server connections to it"),
	MEMBER("server_active_connections", "active", NUMBER, "Server connections to it that are linked to a client"),
	{ "pgsluice_member_role", GAUGE, "1, with the role of the member as a label", &show_members, role_labels, "role",
	  ONE },
};

static void
add_labels(struct buf *out, const struct metric *m, const void *row)
{
	char separator = '{';
	for (int i = 0; i < LABELS_MAX && m->labels[i].name; i++) {
		char room[SHOW_ROOM];
		struct view value;
		if (!show_text(show_column(m->table, m->labels[i].column), row, room, &value))
			value = VIEW("");
		buf_addf(out, "%c%s=\"", separator, m->labels[i].name);
		escape_label(out, value);
		buf_add_u8(out, '"');
		separator = ',';
	}
	buf_add_u8(out, '}');
}

static void
add_sample(struct buf *out, const struct metric *m, const void *row)
{
	const struct show_column *column = show_column(m->table, m->column);
	char room[SHOW_ROOM];
	struct view text;
	bool is_there = show_text(column, row, room, &text);
	bool is_number = m->reading == NUMBER || m->reading == MICROSECONDS || m->reading == MILLISECONDS;
	if (is_number && !is_there)
		return;
	uint64_t n = is_number ? show_number(column, row) : 0;
	buf_addf(out, "%s", m->name);
	add_labels(out, m, row);
	buf_add_u8(out, ' ');
	switch (m->reading) {
	case NUMBER:
		buf_addf(out, "%" PRIu64, n);
		break;
	case MICROSECONDS:
		add_seconds(out, n);
		break;
	case MILLISECONDS:
		add_seconds(out, n * 1000);
		break;
	case IS_YES:
		buf_addf(out, "%d", is_there && view_is(view_part(text, 0, 3), "yes"));
		break;
	case IS_NULL:
		buf_addf(out, "%d", !is_there);
		break;
	case ONE:
		buf_add_u8(out, '1');
		break;
	}
	buf_add_u8(out, '\n');
}

static void
add_tables(struct proxy *x, struct buf *out)
{
	struct show_rows rows = { 0 };
	const struct show_table *collected = NULL;
	for (size_t i = 0; i < sizeof(metrics) / sizeof(metrics[0]); i++) {
		const struct metric *m = &metrics[i];
		if (m->table != collected) {
			show_rows_free(&rows);
			show_collect(m->table, x, &rows);
			collected = m->table;
		}
		add_head(out, m->name, m->kind, m->help);
		for (size_t row = 0; row < rows.count; row++)
			add_sample(out, m, show_row(&rows, row));
	}
	show_rows_free(&rows);
}

/* ---- SHOW VERSION, LISTS, CONFIG ---- */

static void
add_version(struct proxy *x, struct buf *out)
{
	struct show_rows rows;
	char room[SHOW_ROOM];
	struct view version = VIEW("");
	show_collect(&show_version, x, &rows);
	show_text(&show_version.columns[0], show_row(&rows, 0), room, &version);
	add_plain(out, "pgbouncer_up", GAUGE, "Always 1: what does not answer is not scraped", 1);
	add_head(out, "pgbouncer_version_info", GAUGE, "1, with the text of SHOW VERSION as a label");
	buf_addf(out, "pgbouncer_version_info{version=\"");
	escape_label(out, version);
	buf_addf(out, "\"} 1\n");
	show_rows_free(&rows);
}

/* Rows of SHOW LISTS; those not named are not among the exporter's. */
static const struct {
	const char *list, *name, *help;
} lists[] = {
	{ "databases", "pgbouncer_databases", "Databases" },
	{ "users", "pgbouncer_users", "Users" },
	{ "pools", "pgbouncer_pools", "Pools" },
	{ "free_clients", "pgbouncer_free_clients", "Client connections kept in reserve" },
	{ "used_clients", "pgbouncer_used_clients", "Client connections" },
	{ "login_clients", "pgbouncer_login_clients", "Client connections that are logging in" },
	{ "free_servers", "pgbouncer_free_servers", "Server connections kept in reserve" },
	{ "used_servers", "pgbouncer_used_servers", "Server connections" },
	{ "dns_names", "pgbouncer_cached_dns_names", "Names of hosts that are remembered" },
	{ "dns_zones", "pgbouncer_cached_dns_zones", "DNS zones that are watched" },
	{ "dns_queries", "pgbouncer_in_flight_dns_queries", "DNS queries without an answer yet" },
};

static void
add_list(const char *list, uint64_t items, struct buf *out)
{
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		if (strcmp(lists[i].list, list) == 0)
			add_plain(out, lists[i].name, GAUGE, lists[i].help, items);
}

static void
add_lists(struct proxy *x, struct buf *out)
{
	struct show_rows rows;
	show_collect(&show_lists, x, &rows);
	for (size_t i = 0; i < rows.count; i++) {
		char room[SHOW_ROOM];
		struct view list;
		char name[SHOW_ROOM];
		if (!show_text(&show_lists.columns[0], show_row(&rows, i), room, &list))
			continue;
		snprintf(name, sizeof(name), "%.*s", (int)list.n, (const char *)list.p);
		add_list(name, show_number(&show_lists.columns[1], show_row(&rows, i)), out);
	}
	show_rows_free(&rows);
}

static void
add_config(const struct proxy *x, struct buf *out)
{
	const struct settings *set = &x->config->settings;
	add_plain(out, "pgbouncer_config_max_client_connections", GAUGE, "Setting max_client_conn",
	          (uint64_t)set->max_client_conn);
	add_plain(out, "pgbouncer_config_max_user_connections", GAUGE, "Setting max_user_connections",
	          (uint64_t)set->max_user_connections);
}

/* ---- clients, counted by who they are and what they do ---- */

struct crowd {
	UT_hash_handle hh;
	uint64_t       count;
	size_t         bytes;
	char           labels[]; /* as written; the key */
};

static void
add_label(struct buf *out, const char *before, const char *value)
{
	buf_add(out, view_of_string(before));
	escape_label(out, view_of_string(value));
}

static void
add_client_labels(struct buf *out, const struct client *c)
{
	const char *application = c->params ? params_value(c->params, "application_name") : NULL;
	add_label(out, "{database=\"", c->database ? c->database->name : c->console ? CONSOLE_NAME : "(nodb)");
	add_label(out, "\",user=\"", c->role ? c->role->name : "(nouser)");
	add_label(out, "\",application_name=\"", application ? application : "");
	add_label(out, "\",state=\"", client_state_name(c->state));
	buf_addf(out, "\"}");
}

static void
count_client(struct crowd **all, const struct buf *labels)
{
	struct crowd *one;
	HASH_FIND(hh, *all, labels->p, labels->n, one);
	if (one == NULL) {
		one = heap_alloc(sizeof(*one) + labels->n);
		one->bytes = labels->n;
		memcpy(one->labels, labels->p, labels->n);
		HASH_ADD_KEYPTR(hh, *all, one->labels, one->bytes, one);
	}
	one->count++;
}

static void
add_clients(const struct proxy *x, struct buf *out)
{
	struct crowd *all = NULL, *one, *after;
	struct buf labels = { 0 };
	list_each(&x->clients, n, next)
	{
		const struct client *c = node_owner(n, struct client, node);
		if (!client_is_counted(c))
			continue;
		buf_clear(&labels);
		add_client_labels(&labels, c);
		count_client(&all, &labels);
	}
	buf_free(&labels);
	add_head(out, "pgbouncer_client_connections", GAUGE,
	         "Client connections by database, user, application_name and state");
	HASH_ITER(hh, all, one, after)
	{
		buf_addf(out, "pgbouncer_client_connections%.*s %" PRIu64 "\n", (int)one->bytes, one->labels, one->count);
		HASH_DEL(all, one);
		heap_free(one);
	}
}

/* ---- clients that keep their server ---- */

static void
add_pinned(const struct proxy *x, struct buf *out)
{
	add_head(out, "pgsluice_pinned_clients", GAUGE,
	         "Clients that keep their server connection, by reason; who has several is counted for each");
	list_each(&x->pools, n, after)
	{
		const struct pool *p = node_owner(n, struct pool, node);
		for (uint32_t i = 0; p->pinned > 0 && i < PINS; i++) {
			uint32_t count = pins_now(p, 1u << i, NULL);
			if (count == 0)
				continue;
			add_label(out, "pgsluice_pinned_clients{database=\"", p->database->name);
			add_label(out, "\",user=\"", p->role->name);
			add_label(out, "\",reason=\"", pin_name((enum pin)(1u << i)));
			buf_addf(out, "\"} %" PRIu32 "\n", count);
		}
	}
	add_head(out, "pgsluice_pinned_servers", GAUGE, "Server connections that their clients keep, by pool");
	list_each(&x->pools, n, after)
	{
		const struct pool *p = node_owner(n, struct pool, node);
		add_label(out, "pgsluice_pinned_servers{database=\"", p->database->name);
		add_label(out, "\",user=\"", p->role->name);
		buf_addf(out, "\"} %" PRIu32 "\n", p->pinned);
	}
}

static void
add_pin_totals(const struct proxy *x, struct buf *out)
{
	add_head(out, "pgsluice_pins_total", COUNTER, "Times that a client began to keep its server connection, by database");
	for (const struct database *d = x->databases; d; d = d->hh.next) {
		add_label(out, "pgsluice_pins_total{database=\"", d->name);
		buf_addf(out, "\"} %" PRIu64 "\n", d->stats.pins);
	}
	add_head(out, "pgsluice_pin_seconds_total", COUNTER, "For how long clients have kept them, by database");
	for (const struct database *d = x->databases; d; d = d->hh.next) {
		uint64_t us = d->stats.pin_us;
		list_each(&d->pools, n, after)
			pins_now(node_owner(n, struct pool, of_database), UINT32_MAX, &us);
		add_label(out, "pgsluice_pin_seconds_total{database=\"", d->name);
		buf_addf(out, "\"} ");
		add_seconds(out, us);
		buf_addf(out, "\n");
	}
}

/* ---- the process ---- */

#define PROCESS(name, field, help) { "pgsluice_" name "_total", help, offsetof(struct proxy_counters, field) }

static const struct {
	const char *name, *help;
	size_t      at; /* in struct proxy_counters */
} counters[] = {
	PROCESS("clients_accepted", clients_accepted, "Connections accepted"),
	PROCESS("clients_refused", clients_refused, "Clients refused for a limit"),
	PROCESS("logins_failed", logins_failed, "Logins refused: wrong password, unknown user, no rule, ..."),
	PROCESS("logins_throttled", logins_throttled, "Logins not tried after too many failures from the same address"),
	PROCESS("logins_unfinished", logins_unfinished, "Logins ended half way: client_login_timeout, max_login_clients"),
	PROCESS("client_errors", client_errors, "Clients ended for a mistake of theirs"),
	PROCESS("servers_opened", servers_opened, "Server connections begun"),
	PROCESS("servers_failed", servers_failed, "Server connections that failed to log in"),
	PROCESS("servers_closed", servers_closed, "Server connections closed"),
	PROCESS("server_errors", server_errors, "Servers that broke the protocol"),
	PROCESS("cancels_received", cancels_received, "Cancel requests from clients"),
	PROCESS("cancels_forwarded", cancels_forwarded, "Cancel requests sent to servers"),
	PROCESS("cancels_passed_on", cancels_passed_on, "Cancel requests passed on to peers"),
	PROCESS("cancels_lost", cancels_lost, "Cancel requests for peers that could not be reached"),
	PROCESS("lost_held", lost_held, "Servers lost with nothing of their client in flight: it noticed nothing"),
	PROCESS("lost_again", lost_again, "Requests sent again to another server, after theirs was lost"),
	PROCESS("lost_aborted", lost_aborted, "Transactions rolled back because their server was lost (40001)"),
	PROCESS("lost_unknown", lost_unknown, "Requests whose outcome is unknown because their server was lost (08007)"),
	PROCESS("lost_cut", lost_cut, "Clients that could not be kept when their server was lost"),
};

static void
add_counters(const struct proxy *x, struct buf *out)
{
	for (size_t i = 0; i < sizeof(counters) / sizeof(counters[0]); i++) {
		uint64_t value;
		memcpy(&value, (const char *)&x->counters + counters[i].at, sizeof(value));
		add_plain(out, counters[i].name, COUNTER, counters[i].help, value);
	}
}

static void
add_logins(const struct proxy *x, struct buf *out)
{
	add_head(out, "pgsluice_client_logins_total", COUNTER, "Clients logged in, by database");
	for (const struct database *d = x->databases; d; d = d->hh.next) {
		add_label(out, "pgsluice_client_logins_total{database=\"", d->name);
		buf_addf(out, "\"} %" PRIu64 "\n", d->stats.client_logins);
	}
}

static uint64_t
resident_bytes(void)
{
	FILE *f = fopen("/proc/self/statm", "re");
	unsigned long long size, resident = 0;
	if (f == NULL)
		return 0;
	if (fscanf(f, "%llu %llu", &size, &resident) != 2)
		resident = 0;
	fclose(f);
	return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void
add_process(const struct proxy *x, struct buf *out)
{
	struct rusage used;
	getrusage(RUSAGE_SELF, &used);
	uint64_t cpu_us = (uint64_t)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) * SECOND_US +
			  (uint64_t)(used.ru_utime.tv_usec + used.ru_stime.tv_usec);
	add_head(out, "process_cpu_seconds_total", COUNTER, "Processor time used");
	buf_addf(out, "process_cpu_seconds_total ");
	add_seconds(out, cpu_us);
	buf_addf(out, "\n");
	add_plain(out, "process_start_time_seconds", GAUGE, "When the process started, since 1970",
	          clock_wall_of(x->started_us) / SECOND_US);
	add_plain(out, "process_resident_memory_bytes", GAUGE, "Memory in use", resident_bytes());
}

static void
add_own(const struct proxy *x, struct buf *out)
{
	add_head(out, "pgsluice_build_info", GAUGE, "1, with the release as a label");
	buf_addf(out, "pgsluice_build_info{version=\"" PGSLUICE_VERSION "\"} 1\n");
	add_plain(out, "pgsluice_paused", GAUGE, "1 while all databases are paused", x->state == PROXY_PAUSED);
	add_plain(out, "pgsluice_suspended", GAUGE, "1 between SUSPEND and RESUME", x->state == PROXY_SUSPENDED);
	add_plain(out, "pgsluice_stopping", GAUGE, "1 while shutting down", x->state >= PROXY_STOPPING_SERVERS);
	add_plain(out, "pgsluice_clients", GAUGE, "Clients logged in, without those of the console", x->client_count);
	add_plain(out, "pgsluice_servers", GAUGE, "Server connections, in whatever state", x->servers.count);
	add_plain(out, "pgsluice_prepared_statements", GAUGE, "Different prepared statements known", statement_count());
	add_plain(out, "pgsluice_loop_turns_total", COUNTER, "Turns of the event loop", x->loop->turns);
	add_plain(out, "pgsluice_receives_total", COUNTER, "System calls that receive", x->loop->receives);
	add_plain(out, "pgsluice_sends_total", COUNTER, "System calls that send", x->loop->sends);
	const struct resolver_counters *names = resolver_counters(x->resolver);
	add_plain(out, "pgsluice_dns_lookups_total", COUNTER, "Names of hosts looked up", names->lookups);
	add_plain(out, "pgsluice_dns_failures_total", COUNTER, "Lookups that no name server could answer", names->failures);
	add_plain(out, "pgsluice_dns_absences_total", COUNTER, "Lookups of names that are not there", names->absences);
	add_plain(out, "pgsluice_dns_changes_total", COUNTER, "Times that a name had other addresses than before",
	          names->changes);
}

static void
add_listen(const struct proxy *x, struct buf *out)
{
	struct listener_totals t = listeners_totals(x);
	add_plain(out, "pgsluice_listen_channels", GAUGE, "Channels that clients listen to in transaction mode", t.channels);
	add_plain(out, "pgsluice_listen_clients", GAUGE, "Clients that listen in transaction mode", t.clients);
	add_plain(out, "pgsluice_listen_notifications_total", COUNTER, "Notifications heard for them", t.notifications);
	add_plain(out, "pgsluice_listen_told_total", COUNTER, "Notifications told to them, once for each who listens", t.told);
	add_plain(out, "pgsluice_listen_gaps_total", COUNTER, "Times that a listening connection was lost, and clients were warned", t.gaps);
	add_plain(out, "pgsluice_listen_dropped_total", COUNTER, "Clients closed because they did not read (listen_queue_limit)", t.cut);
}

static void
add_auth_query(const struct proxy *x, struct buf *out)
{
	struct auth_query_totals t = auth_query_totals(x);
	add_plain(out, "pgsluice_auth_query_asked_total", COUNTER, "Users that a database was asked for", t.asked);
	add_plain(out, "pgsluice_auth_query_joined_total", COUNTER, "Logins that shared the question of another", t.joined);
	add_plain(out, "pgsluice_auth_query_cached_total", COUNTER, "Logins for which an answer within auth_query_ttl was there",
	          t.cached);
	add_plain(out, "pgsluice_auth_query_failed_total", COUNTER, "Questions without a usable answer", t.failed);
	add_head(out, "pgsluice_auth_query_seconds_total", COUNTER, "Time for all questions together, connecting included");
	buf_addf(out, "pgsluice_auth_query_seconds_total ");
	add_seconds(out, t.took_us);
	buf_addf(out, "\n");
	add_plain(out, "pgsluice_auth_query_connections", GAUGE, "Server connections for auth_query", t.connections);
	add_plain(out, "pgsluice_auth_query_waiting", GAUGE, "Logins that wait for an answer", t.waiting);
}

static void
add_end(struct buf *out, const char *with, const char *kind, const struct tls_validity *v)
{
	if (v->file == NULL)
		return;
	add_label(out, "pgsluice_tls_certificate_expiry_seconds{with=\"", with);
	add_label(out, "\",kind=\"", kind);
	add_label(out, "\",file=\"", v->file);
	buf_addf(out, "\"} %" PRId64 "\n", v->until_s);
}

static void
add_certificates(const struct proxy *x, struct buf *out)
{
	const struct {
		const char *with;
		const struct tls_context *context;
	} all[] = { { "clients", x->access.tls_clients }, { "servers", x->access.tls_servers } };
	add_head(out, "pgsluice_tls_certificate_expiry_seconds", GAUGE,
	         "When our certificate, or the first of the revocation lists, ends: seconds since 1970. As loaded, not as on disk");
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (all[i].context) {
			struct tls_validity certificate = tls_context_certificate(all[i].context);
			struct tls_validity crl = tls_context_crl(all[i].context);
			add_end(out, all[i].with, "certificate", &certificate);
			add_end(out, all[i].with, "crl", &crl);
		}
}

void
metrics_write(struct proxy *x, struct buf *out)
{
	add_version(x, out);
	add_lists(x, out);
	add_config(x, out);
	add_clients(x, out);
	add_tables(x, out);
	add_counters(x, out);
	add_logins(x, out);
	add_pinned(x, out);
	add_pin_totals(x, out);
	add_own(x, out);
	add_listen(x, out);
	add_auth_query(x, out);
	add_certificates(x, out);
	add_process(x, out);
}
