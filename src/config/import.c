/*
 * config/import.c - what haproxy.cfg and pgbouncer.ini mean together; see the header. The report is import_tell.c's, writing it down
 * import_write.c's.
 *
 *   haproxy.cfg ─► haproxy_read ─► doors (ports) ─► groups (clusters) ─┐
 *   pgbouncer.ini ─► config_load_bytes, ini lines ─────────────────────┴─► who stands in front ─► import_tell, import_write
 */
#include <string.h>
#include <strings.h>

#include "base/heap.h"
#include "import_parts.h"

enum { PORT_PGBOUNCER = 6432 };

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

/* Entries alone say nothing about it. */
int
import_pgbouncer_port(const struct import *m)
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
		    (m->config && backend->servers[i].port == import_pgbouncer_port(m)))
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
		g->is_pgbouncer |= m->config && s->port == import_pgbouncer_port(m);
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
	if (m->is_behind && import_pgbouncer_port(m) != PORT_PGBOUNCER && leads_to_a_door(m)) {
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
		import_tell(m);
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
