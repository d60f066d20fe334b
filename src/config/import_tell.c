/* config/import_tell.c - the report of --import: what became of what, and what is not carried over, with file and line. */
#include <stdlib.h>
#include <string.h>

#include "import_parts.h"

static void
report_groups(struct import *m)
{
	for (int i = 0; i < m->group_count; i++) {
		const struct group *g = &m->groups[i];
		bool has_tls = false;
		for (int k = 0; k < g->server_count; k++) {
			const struct haproxy_server *s = g->server[k];
			has_tls |= s->check_tls || g->server_of[k]->has_check_tls;
			if (s->is_backup && !g->is_patroni)
				left(m, at_line(m, s->line), "server %s is a backup here; pgsluice uses servers by their role", s->name);
			if (s->sends_proxy)
				left(m, at_line(m, s->line), "server %s: send-proxy is not carried over: PostgreSQL does not know it", s->name);
		}
		if (has_tls)
			left(m, at_line(m, g->server_of[0]->line), "Patroni is asked by https: its certificate has to be good for the "
			     "system's list of authorities, whatever \"verify\" said");
		if (!g->is_patroni && g->server_count > 1)
			done(m, at_line(m, g->server_of[0]->line), "%s: no Patroni is asked here, so the servers themselves are asked "
			     "whether they are in recovery", g->name);
		if (g->server_count > 0 && g->server[0]->maxconn)
			left(m, at_line(m, g->server[0]->line), "maxconn %d of each server: default_pool_size (for each user and "
			     "database) or max_db_connections limit connections to servers", g->server[0]->maxconn);
	}
}

static void
report_door(struct import *m, const struct door *d)
{
	const struct group *g = &m->groups[d->group];
	const struct place at = at_line(m, d->bind->line);
	const char *what = d->role == HAPROXY_WRITER ? "reading and writing" : "replicas";
	if (d->bind->is_tls)
		left(m, at, "TLS of port %d: give client_tls_sslmode, client_tls_cert_file, client_tls_key_file", d->bind->port);
	if (d->bind->accepts_proxy)
		left(m, at, "accept-proxy of port %d: name the balancers in proxy_protocol_from", d->bind->port);
	if (d->bind->is_range)
		left(m, at, "of the range of ports only the first, %d, is looked at", d->bind->port);
	bool keeps_ports = !m->is_behind && m->config != NULL;
	bool is_read_port = m->read_door && d->bind->port == m->read_door->bind->port;
	bool is_listen_port = !keeps_ports && m->write_door && d->bind->port == m->write_door->bind->port;
	if (is_read_port && d != m->read_door)
		return; /* at another address */
	if (is_listen_port && d != m->write_door)
		return;
	if (is_read_port)
		done(m, at, "port %d (%s, %s) is read_port", d->bind->port, what, g->name);
	else if (is_listen_port)
		done(m, at, "port %d (%s, %s) is listen_port", d->bind->port, what, g->name);
	else if (d->role == HAPROXY_WRITER && keeps_ports)
		left(m, at, "port %d (%s, %s) is no more: who did not go through PgBouncer connects to its port %d", d->bind->port,
		     what, g->name, import_pgbouncer_port(m));
	else
		left(m, at, "port %d (%s, %s) is no more: pgsluice has one port for each of both, and tells clusters apart by the "
		     "database that is asked for", d->bind->port, what, g->name);
	if (is_read_port && d->has_fallback)
		done(m, at, "without a replica reads go to the leader, as here (read_fallback)");
	else if (is_read_port)
		left(m, at, "without a replica HAProxy refused here; pgsluice sends such reads to the leader (read_fallback = refuse is "
		     "as before)");
}

static void
report_timeouts(struct import *m)
{
	const struct haproxy_proxy *p = m->door_count ? m->doors[0].proxy : NULL;
	if (p && p->timeout_client && strcmp(p->timeout_client, "0") != 0)
		left(m, at_line(m, p->line), "timeout client %s cut clients that were silent; client_idle_timeout would (off: 0)",
		     p->timeout_client);
	int maxconn = p && p->maxconn ? p->maxconn : m->haproxy.maxconn;
	if (p && m->config && maxconn && maxconn != m->config->settings.max_client_conn)
		left(m, at_line(m, p->line), "maxconn %d: max_client_conn = %d of %s counts", maxconn,
		     m->config->settings.max_client_conn, m->pgbouncer.name);
	if (m->stats) {
		done(m, at_line(m, m->stats->line), "the statistics are http_port: a status page, /metrics and /health");
		if (m->stats->has_stats_auth)
			left(m, at_line(m, m->stats->line), "stats auth: the status page asks nobody for a password; http_addr says where "
			     "it is heard");
	}
}

static void
report_pgbouncer(struct import *m)
{
	for (int i = 0; i < m->config->warnings.count; i++) {
		const char *line = m->config->warnings.lines[i];
		size_t n = strlen(m->pgbouncer.name); /* "name:line: text", or "name: text" */
		int number = 0;
		if (strncmp(line, m->pgbouncer.name, n) == 0 && line[n] == ':') {
			char *end = NULL;
			number = line[n + 1] >= '0' && line[n + 1] <= '9' ? (int)strtol(line + n + 1, &end, 10) : 0;
			line = number ? end + 1 : line + n + 1;
			line += *line == ' ';
		}
		if (number || m->config->is_pgbouncer) /* entries alone have no settings yet */
			left(m, (struct place){ m->pgbouncer.name, number }, "%s", line);
	}
	for (int i = 0; i < m->ini.count; i++) {
		const struct ini_line *line = &m->ini.lines[i];
		const struct setting *row = line->key[0] ? setting_find(line->key) : NULL;
		if (row && row->is_file && line->value.n && line->value.p[0] != '/')
			left(m, line->at, "%s is relative: it is looked for in the working directory, then beside the new file", row->name);
	}
}

void
import_tell(struct import *m)
{
	if (m->haproxy_name && m->config)
		done(m, (struct place){ m->pgbouncer.name, 0 }, "%s", m->is_behind
		     ? "PgBouncer stands behind HAProxy: clients find HAProxy's ports, and PostgreSQL where PgBouncer found it"
		     : "PgBouncer stands in front of HAProxy: clients find PgBouncer's port");
	report_groups(m);
	for (int i = 0; i < m->door_count; i++)
		report_door(m, &m->doors[i]);
	report_timeouts(m);
	if (m->config)
		report_pgbouncer(m);
	else
		left(m, (struct place){ m->haproxy_name, 0 }, "HAProxy let clients log in to PostgreSQL themselves; pgsluice has to know "
		     "their secrets: give auth_file, or auth_query and auth_user");
}
