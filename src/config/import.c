/*
 * config/import.c - what haproxy.cfg and pgbouncer.ini mean together; see the header. Writing it down is import_write.c's.
 *
 *   haproxy.cfg ─► haproxy_read ─► doors (ports) ─► groups (clusters) ─┐
 *   pgbouncer.ini ─► config_load_bytes, ini lines ─────────────────────┴─► who stands in front ─► import_write
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/heap.h"
#include "import_parts.h"

enum { PORT_PGBOUNCER = 6432, INCLUDES_MAX = 100 };

#define done(m, ...) config_errors_add(&(m)->report->done, __VA_ARGS__)
#define left(m, ...) config_errors_add(&(m)->report->left, __VA_ARGS__)

static struct place
at_line(const struct import *m, int line)
{
	return (struct place){ m->haproxy_name, line };
}

/* ---- is it PostgreSQL, and for whom ---- */

static bool
has_word(const char *name, const char *const *words)
{
	for (; *words; words++)
		for (const char *at = name; *at; at++)
			if (strncasecmp(at, *words, strlen(*words)) == 0)
				return true;
	return false;
}

static bool
is_postgres_port(int port)
{
	return (port >= 5432 && port <= 5439) || (port >= PORT_PGBOUNCER && port <= PORT_PGBOUNCER + 7);
}

/* Where the PgBouncer of this file listens; entries alone say nothing about it. */
static int
pgbouncer_port(const struct import *m)
{
	return m->config->is_pgbouncer || import_has_key(m, "listen_port") ? m->config->settings.listen_port : PORT_PGBOUNCER;
}

static bool
is_named_in_databases(const struct import *m, const struct haproxy_proxy *front)
{
	for (int i = 0; m->config && i < m->config->database_count; i++)
		for (int k = 0; k < front->bind_count; k++)
			if (m->config->databases[i].host && m->config->databases[i].port == front->binds[k].port)
				return true;
	return false;
}

static bool
is_postgres(const struct import *m, const struct haproxy_proxy *front, const struct haproxy_proxy *backend)
{
	static const char *const words[] = { "postgres", "pgsql", "pgbouncer", "patroni", NULL };
	if (haproxy_asks_patroni(backend) || backend->has_pgsql_check || has_word(backend->name, words) ||
	    has_word(front->name, words) || is_named_in_databases(m, front))
		return true;
	for (int i = 0; i < backend->server_count; i++)
		if (is_postgres_port(backend->servers[i].port) ||
		    (m->config && backend->servers[i].port == pgbouncer_port(m)))
			return true;
	return false;
}

static enum haproxy_role
role_of(const struct haproxy_proxy *front, const struct haproxy_proxy *backend, struct view *lag)
{
	static const char *const words[] = { "replica", "read", "standby", "slave", "secondary", NULL };
	enum haproxy_role role = haproxy_role_of(backend, lag);
	if (role != HAPROXY_ANYBODY)
		return role;
	return backend->server_count > 1 && (has_word(backend->name, words) || has_word(front->name, words)) ? HAPROXY_READER
	                                                                                                     : HAPROXY_WRITER;
}

/* ---- groups ---- */

static bool
same_server(const struct haproxy_server *a, const struct haproxy_server *b)
{
	return a->port == b->port && strcasecmp(a->host, b->host) == 0;
}

static bool
group_has(const struct group *g, const struct haproxy_server *s)
{
	for (int i = 0; i < g->server_count; i++)
		if (same_server(g->server[i], s))
			return true;
	return false;
}

bool
group_is_cluster(const struct group *g)
{
	return g->is_patroni || g->server_count > 1;
}

static bool
is_taken(const struct import *m, const char *name)
{
	for (int i = 0; i < m->group_count; i++)
		if (strcmp(m->groups[i].name, name) == 0)
			return true;
	return m->config && config_cluster(m->config, name) != NULL;
}

/* "shop_primary" is "shop"; what is only a role is "main". */
static void
name_group(struct import *m, struct group *g, const char *from)
{
	static const char *const words[] = { "primary", "master",  "leader",  "replicas", "replica", "readwrite", "readonly",
		                             "write",   "read",    "standby", "backend",  "frontend", "front",    "back",
		                             "bk",      "bck",
		                             "rw",      "ro",      "port",    "be",       "fe",       NULL };
	char name[GROUP_NAME_MAX - 4] = "";
	size_t used = 0;
	while (*from) {
		size_t n = strcspn(from, "_-. :/");
		bool is_role = n == 0;
		for (int i = 0; words[i] && !is_role; i++)
			is_role = strlen(words[i]) == n && strncasecmp(from, words[i], n) == 0;
		for (size_t i = 0; !is_role && i < n && used + 2 < sizeof(name); i++) {
			if (i == 0 && used)
				name[used++] = '_';
			unsigned char c = (unsigned char)from[i];
			bool is_plain = ((c | 32) >= 'a' && (c | 32) <= 'z') || (c >= '0' && c <= '9');
			name[used++] = is_plain ? (char)c : '_';
		}
		from += n + (from[n] != '\0');
	}
	name[used] = '\0';
	snprintf(g->name, sizeof(g->name), "%s", *name ? name : "main");
	for (int i = 2; is_taken(m, g->name); i++)
		snprintf(g->name, sizeof(g->name), "%s%d", *name ? name : "main", i);
}

static int
group_of(struct import *m, const struct haproxy_proxy *backend)
{
	for (int i = 0; i < m->group_count; i++)
		for (int k = 0; k < backend->server_count; k++)
			if (group_has(&m->groups[i], &backend->servers[k]))
				return i;
	if (m->group_count == GROUPS_MAX)
		return -1;
	struct group *g = &m->groups[m->group_count];
	*g = (struct group){ .name = "" };
	name_group(m, g, backend->name);
	return m->group_count++;
}

static void
add_servers(struct import *m, struct group *g, const struct haproxy_proxy *backend)
{
	g->is_patroni |= haproxy_asks_patroni(backend);
	for (int i = 0; i < backend->server_count; i++) {
		const struct haproxy_server *s = &backend->servers[i];
		g->is_pgbouncer |= m->config && s->port == pgbouncer_port(m);
		if (group_has(g, s) || g->server_count == GROUP_SERVERS_MAX)
			continue;
		if (s->is_disabled && !g->is_patroni) {
			left(m, at_line(m, s->line), "server %s is disabled and is left out", s->name);
			continue;
		}
		g->server_of[g->server_count] = backend;
		g->server[g->server_count++] = s;
	}
}

/* ---- doors ---- */

static bool
is_read_with_fallback(const struct haproxy_proxy *first, const struct haproxy_proxy *otherwise)
{
	struct view lag;
	return first && otherwise && haproxy_role_of(first, &lag) == HAPROXY_READER &&
	       haproxy_role_of(otherwise, &lag) == HAPROXY_WRITER;
}

/*
 * Where a port leads; what only leads there under conditions is said. Replicas under a condition and the primary otherwise
 * are reads with a fallback, which we know.
 */
static const struct haproxy_proxy *
backend_of(struct import *m, const struct haproxy_proxy *front, bool *has_fallback)
{
	const struct haproxy_proxy *found = front->server_count ? front : NULL;
	*has_fallback = false;
	for (int i = front->use_count - 1; i >= 0; i--) {
		const struct haproxy_use *use = &front->uses[i];
		const struct haproxy_proxy *backend = haproxy_backend(&m->haproxy, use->backend);
		if (backend == NULL || backend->server_count == 0)
			continue;
		if (use->is_conditional && is_read_with_fallback(backend, found)) {
			*has_fallback = true;
			found = backend;
			continue;
		}
		if (use->is_conditional)
			left(m, at_line(m, use->line), "\"use_backend %s if ...\": conditions are not carried over%s", use->backend,
			     found ? "" : "; it is taken as if there was none");
		if (found == NULL)
			found = backend;
	}
	return found;
}

static void
add_door(struct import *m, const struct haproxy_proxy *front, const struct haproxy_bind *bind,
         const struct haproxy_proxy *backend, bool has_fallback)
{
	int group = group_of(m, backend);
	if (group < 0 || m->door_count == DOORS_MAX) {
		left(m, at_line(m, front->line), "%s: more than %d ports or %d clusters", front->name, DOORS_MAX, GROUPS_MAX);
		return;
	}
	struct group *g = &m->groups[group];
	struct view lag;
	enum haproxy_role role = role_of(front, backend, &lag);
	add_servers(m, g, backend);
	if (g->server_count == 0) { /* all disabled; nobody else is in this group, for it was made just now */
		left(m, at_line(m, front->line), "%s has no server that is not disabled, and is left out", front->name);
		m->group_count--;
		return;
	}
	if (lag.n)
		g->lag = lag;
	m->doors[m->door_count++] =
		(struct door){ .proxy = front, .bind = bind, .backend = backend, .role = role, .group = group,
		                .has_fallback = has_fallback };
}

static bool
is_host_of(const struct group *g, struct view host, int port)
{
	for (int i = 0; i < g->server_count; i++)
		if (view_is(host, g->server[i]->host) && (port == 0 || port == g->server[i]->port))
			return true;
	return false;
}

static bool
is_led_to(const struct import *m, const struct door *d, struct view host, int port)
{
	return d->bind->port == port && host.n && host.p[0] != '/' && !is_host_of(&m->groups[d->group], host, port);
}

static bool
leads_to_a_door(const struct import *m)
{
	for (int i = 0; i < m->config->database_count; i++)
		for (int k = 0; k < m->door_count; k++)
			if (is_led_to(m, &m->doors[k], view_of_string(m->config->databases[i].host), m->config->databases[i].port))
				return true;
	return false;
}

static void
find_doors(struct import *m)
{
	for (int i = 0; i < m->haproxy.count; i++) {
		const struct haproxy_proxy *front = m->haproxy.proxies[i];
		if (front->kind == HAPROXY_BACKEND)
			continue;
		if (front->is_http || (front->has_stats && front->server_count == 0 && front->use_count == 0)) {
			if (front->has_stats && front->bind_count > 0 && m->stats == NULL)
				m->stats = front;
			else
				left(m, at_line(m, front->line), "%s speaks HTTP and is left out", front->name);
			continue;
		}
		bool has_fallback;
		const struct haproxy_proxy *backend = backend_of(m, front, &has_fallback);
		if (backend == NULL || !is_postgres(m, front, backend)) {
			left(m, at_line(m, front->line), "%s is not for PostgreSQL, it seems, and is left out", front->name);
			continue;
		}
		for (int k = 0; k < front->bind_count; k++)
			add_door(m, front, &front->binds[k], backend, has_fallback);
		if (front->bind_count == 0)
			left(m, at_line(m, front->line), "%s has no TCP port that could be taken over", front->name);
	}
	for (int i = 0; i < m->door_count; i++) {
		const struct door *d = &m->doors[i];
		if (d->role == HAPROXY_WRITER && m->write_door == NULL)
			m->write_door = d;
		if (d->role == HAPROXY_READER && m->read_door == NULL)
			m->read_door = d;
		m->is_behind |= m->groups[d->group].is_pgbouncer;
	}
	/* PgBouncer at PostgreSQL's own port: its entries tell whether the servers are PgBouncers, or it leads to HAProxy. */
	if (m->is_behind && pgbouncer_port(m) != PORT_PGBOUNCER && leads_to_a_door(m)) {
		m->is_behind = false;
		for (int i = 0; i < m->group_count; i++)
			m->groups[i].is_pgbouncer = false;
	}
}

/* ---- entries of [databases] ---- */

bool
import_is_local(struct view host)
{
	return host.n == 0 || host.p[0] == '/' || host.p[0] == '@' || view_is(host, "127.0.0.1") || view_is(host, "localhost") ||
	       view_is(host, "::1");
}

struct import_target
import_target_of(struct import *m, struct view host, int port)
{
	struct import_target t = { 0 };
	struct group *g = NULL;
	for (int i = 0; i < m->door_count && g == NULL; i++) {
		const struct door *d = &m->doors[i];
		struct group *its = &m->groups[d->group];
		if (m->is_behind) {
			if (its->is_pgbouncer && (import_is_local(host) || is_host_of(its, host, 0)))
				g = its;
		} else if (is_led_to(m, d, host, port)) {
			g = its;
			t.door = d;
		}
	}
	if (g == NULL)
		return t;
	g->is_used = true;
	if (group_is_cluster(g))
		t.group = g;
	else if (!m->is_behind)
		t.server = g->server[0];
	return t;
}

bool
import_has_key(const struct import *m, const char *key)
{
	const struct setting *row = setting_find(key);
	for (int i = 0; m->config && i < m->ini.count; i++)
		if (m->ini.lines[i].key[0] && setting_find(m->ini.lines[i].key) == row)
			return true;
	return false;
}

/* ---- the report ---- */

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
		     what, g->name, pgbouncer_port(m));
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

static void
report(struct import *m)
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

/* ---- all of it ---- */

void
import_report_free(struct import_report *r)
{
	config_errors_free(&r->done);
	config_errors_free(&r->left);
}

bool
import_is_ini(struct view text)
{
	if (text.n >= 3 && memcmp(text.p, "\xef\xbb\xbf", 3) == 0)
		text = view_from(text, 3);
	while (text.n) {
		const uint8_t *end = memchr(text.p, '\n', text.n);
		struct view line = view_trim(view_part(text, 0, end ? (size_t)(end - text.p) : text.n));
		text = view_from(text, end ? (size_t)(end - text.p) + 1 : text.n);
		if (line.n == 0 || line.p[0] == '#')
			continue;
		return line.p[0] == '[' || line.p[0] == ';' || line.p[0] == '%';
	}
	return false;
}

static void
copy_errors(struct config_errors *to, const struct config_errors *from, const char *before)
{
	for (int i = 0; i < from->count; i++)
		config_errors_add(to, (struct place){ .file = before }, "%s", from->lines[i]);
}

static bool
read_pgbouncer(struct import *m, struct config_errors *errors)
{
	char *nothing[] = { NULL };
	m->config = config_load_bytes(m->pgbouncer.name, m->pgbouncer.text, nothing, errors);
	if (m->config == NULL)
		return false;
	m->ini.memory = m->memory;
	m->ini.errors = errors;
	ini_read_bytes(&m->ini, m->pgbouncer.name, m->pgbouncer.text);
	return errors->count == 0;
}

static bool
check_result(const struct buf *out, struct config_errors *errors)
{
	char *nothing[] = { NULL };
	struct config_errors wrong = { 0 };
	struct config *config = config_load_bytes("the result", buf_view(out), nothing, &wrong);
	copy_errors(errors, &wrong, "these files can't be put together");
	config_errors_free(&wrong);
	config_free(config);
	return errors->count == 0;
}

bool
config_import_texts(const struct import_file *haproxy, const struct import_file *pgbouncer, struct buf *out,
                    struct import_report *report_to, struct config_errors *errors)
{
	struct import *m = heap_alloc(sizeof(*m));
	*m = (struct import){ .memory = config_memory_new(), .report = report_to };
	bool is_good = true;
	if (pgbouncer->text.p) {
		m->pgbouncer = *pgbouncer;
		is_good = read_pgbouncer(m, errors);
	}
	if (haproxy->text.p) {
		m->haproxy_name = haproxy->name;
		haproxy_read(&m->haproxy, haproxy->name, haproxy->text, m->memory, errors);
		is_good &= errors->count == 0;
		if (is_good)
			find_doors(m);
		if (is_good && m->door_count == 0) {
			config_errors_add(errors, (struct place){ haproxy->name, 0 },
			                  "nothing in it leads to PostgreSQL: no port with a check of Patroni, a pgsql-check, or servers "
			                  "on a port of PostgreSQL or PgBouncer");
			is_good = false;
		}
	}
	if (is_good) {
		report(m);
		import_write(m, out);
		is_good = check_result(out, errors);
	}
	if (!is_good)
		buf_clear(out);
	ini_free(&m->ini);
	haproxy_free(&m->haproxy);
	config_free((struct config *)(uintptr_t)m->config);
	config_memory_free(m->memory);
	heap_free(m);
	return is_good;
}

/* ---- the command ---- */

/* The text with the files that it includes in their place. */
static void
flatten(struct buf *out, const char *file, struct view text, int *includes, struct config_memory *memory,
        struct config_errors *errors)
{
	struct place at = { .file = file };
	while (text.n) {
		const uint8_t *end = memchr(text.p, '\n', text.n);
		size_t n = end ? (size_t)(end - text.p) + 1 : text.n;
		struct view raw = view_part(text, 0, n), line = view_trim(view_part(raw, 0, end ? n - 1 : n)), included;
		text = view_from(text, n);
		at.line++;
		if (line.n < 10 || memcmp(line.p, "%include", 8) != 0 || (line.p[8] != ' ' && line.p[8] != '\t')) {
			buf_add(out, raw);
			continue;
		}
		const char *name = config_memory_string(memory, ini_cut_comment(view_trim(view_from(line, 9))));
		name = ini_locate(name, file, memory);
		if (++*includes > INCLUDES_MAX) {
			config_errors_add(errors, at, "%%include %s: more than %d files", name, INCLUDES_MAX);
			return;
		}
		if (!ini_slurp(name, INI_BYTES_MAX, memory, &included)) {
			config_errors_add(errors, at, "%%include %s: %s", name, strerror(errno));
			continue;
		}
		buf_addf(out, "; from %s:\n", name);
		flatten(out, name, included, includes, memory, errors);
		buf_addf(out, "\n");
	}
}

static bool
read_files(char *const *files, int count, struct import_file *haproxy, struct import_file *ini, struct buf *flat,
           struct config_memory *memory, struct config_errors *errors)
{
	for (int i = 0; i < count; i++) {
		struct view text;
		struct place at = { .file = files[i] };
		if (!ini_slurp(files[i], INI_BYTES_MAX, memory, &text)) {
			config_errors_add(errors, at, "%s", strerror(errno));
			continue;
		}
		bool is_ini = import_is_ini(text);
		struct import_file *to = is_ini ? ini : haproxy;
		if (to->text.p)
			config_errors_add(errors, at, "%s and this one are both an %s", to->name, is_ini ? "INI file" : "haproxy.cfg");
		if (is_ini) {
			int includes = 0;
			flatten(flat, files[i], text, &includes, memory, errors);
			text = view_of(flat->n ? (const void *)flat->p : "", flat->n);
		}
		*to = (struct import_file){ files[i], text };
	}
	return errors->count == 0;
}

static void
print_list(FILE *to, const struct config_errors *list, const char *heading)
{
	if (list->count)
		fprintf(to, "%s\n", heading);
	for (int i = 0; i < list->count; i++)
		fprintf(to, "  %s\n", list->lines[i]);
}

int
config_import(char *const *files, int count, FILE *out, FILE *err)
{
	struct config_memory *memory = config_memory_new();
	struct import_file haproxy = { 0 }, ini = { 0 };
	struct buf flat = { 0 }, result = { 0 };
	struct config_errors errors = { 0 };
	struct import_report report_to = { { 0 }, { 0 } };
	bool is_good = read_files(files, count, &haproxy, &ini, &flat, memory, &errors) &&
	               config_import_texts(&haproxy, &ini, &result, &report_to, &errors);
	if (is_good) {
		fwrite(result.p, 1, result.n, out);
		print_list(err, &report_to.done, "What became of what:");
		print_list(err, &report_to.left, "Not carried over, to be looked at:");
	} else {
		for (int i = 0; i < errors.count; i++)
			fprintf(err, "%s\n", errors.lines[i]);
	}
	is_good &= fflush(out) == 0;
	import_report_free(&report_to);
	config_errors_free(&errors);
	if (flat.p) /* may hold passwords, and so may the result */
		explicit_bzero(flat.p, flat.n);
	if (result.p)
		explicit_bzero(result.p, result.n);
	buf_free(&flat);
	buf_free(&result);
	config_memory_free(memory);
	return is_good ? 0 : 1;
}
