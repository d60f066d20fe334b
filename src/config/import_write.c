/* config/import_write.c - writes down what src/config/import.c has found out; lines of the pgbouncer.ini stay as they are. */
#include <string.h>

#include "import_parts.h"

static void
add_text(struct buf *out, struct view v)
{
	for (size_t i = 0; i < v.n; i++)
		buf_add_u8(out, v.p[i] < ' ' ? '?' : v.p[i]);
}

static void
add_report(struct buf *out, const struct config_errors *list, const char *heading)
{
	if (list->count)
		buf_addf(out, ";\n; %s\n", heading);
	for (int i = 0; i < list->count; i++) {
		buf_addf(out, ";   ");
		add_text(out, view_of_string(list->lines[i]));
		buf_addf(out, "\n");
	}
}

/* ---- clusters ---- */

static void
add_host(struct buf *out, const char *host, int port)
{
	bool is_ipv6 = strchr(host, ':') != NULL;
	buf_addf(out, is_ipv6 ? "[%s]:%d" : "%s:%d", host, port);
}

/* Where PostgreSQL is beside the PgBouncers: as their [databases] say. */
static int
postgres_port(const struct import *m)
{
	for (int i = 0; m->config && i < m->config->database_count; i++)
		if (m->config->databases[i].cluster->is_plain && m->config->databases[i].port &&
		    import_is_local(view_of_string(m->config->databases[i].host)))
			return m->config->databases[i].port;
	return 5432;
}

static void
add_cluster(const struct import *m, const struct group *g, struct buf *out)
{
	buf_addf(out, "%s = %s=", g->name, g->is_patroni ? "patroni" : "hosts");
	for (int i = 0; i < g->server_count; i++) {
		const struct haproxy_server *s = g->server[i];
		int check_port = s->check_port ? s->check_port : g->server_of[i]->preset.check_port;
		bool is_tls = s->check_tls || g->server_of[i]->has_check_tls;
		if (i)
			buf_addf(out, ",");
		if (g->is_patroni)
			buf_addf(out, is_tls ? "https://" : "http://");
		add_host(out, s->host, g->is_patroni ? check_port : g->is_pgbouncer || s->port == 0 ? postgres_port(m) : s->port);
	}
	uint64_t bytes;
	if (g->lag.n && value_read_size(g->lag, &bytes)) {
		buf_addf(out, " max_replica_lag=");
		add_text(out, g->lag);
	}
	buf_addf(out, "\n");
}

static void
add_clusters(struct import *m, struct buf *out)
{
	bool has_any = false;
	for (int i = 0; i < m->group_count; i++) {
		const struct group *g = &m->groups[i];
		if (!group_is_cluster(g) || g->server_count == 0)
			continue;
		if (!has_any)
			buf_addf(out, "[clusters]\n");
		has_any = true;
		add_cluster(m, g, out);
	}
	if (has_any)
		buf_addf(out, "\n");
}

/* ---- settings that HAProxy knew ---- */

/* HAProxy's times are milliseconds unless there is a unit, and its m is a minute. */
static void
add_duration(struct buf *out, const char *text)
{
	size_t n = strspn(text, "0123456789");
	const char *unit = text + n;
	buf_addf(out, "%.*s%s\n", (int)n, text, *unit == '\0' ? "ms" : strcmp(unit, "m") == 0 ? "min" : unit);
}

static bool
is_duration(const char *text)
{
	static const char *const units[] = { "", "us", "ms", "s", "m", "h", "d" };
	size_t n = text ? strspn(text, "0123456789") : 0;
	for (size_t i = 0; n > 0 && n < 10 && i < sizeof(units) / sizeof(units[0]); i++)
		if (strcmp(text + n, units[i]) == 0)
			return true;
	return false;
}

/* All addresses that HAProxy's ports of PostgreSQL were bound to; "*" if one of them is all. */
static void
add_listen_addr(const struct import *m, struct buf *out)
{
	bool is_all = false;
	for (int i = 0; i < m->door_count; i++)
		is_all |= strcmp(m->doors[i].bind->host, "*") == 0 || strcmp(m->doors[i].bind->host, "0.0.0.0") == 0;
	buf_addf(out, "listen_addr = ");
	for (int i = 0; i < m->door_count && !is_all; i++) {
		const char *host = m->doors[i].bind->host;
		bool is_known = false;
		for (int k = 0; k < i; k++)
			is_known |= strcmp(m->doors[k].bind->host, host) == 0;
		if (!is_known)
			buf_addf(out, "%s%s", i ? "," : "", host);
	}
	buf_addf(out, is_all ? "*\n" : "\n");
}

static bool
takes_ports(const struct import *m)
{
	return m->door_count > 0 && (m->is_behind || m->config == NULL);
}

static int
listen_port(const struct import *m)
{
	if (takes_ports(m) && m->write_door)
		return m->write_door->bind->port;
	return m->config ? m->config->settings.listen_port : 5432;
}

/* Behind the line that begins their section; a section that begins again would forget what came before. */
static void
add_settings(struct import *m, struct buf *out)
{
	int port = listen_port(m), read_port = 0;
	if (m->haproxy_name == NULL)
		return;
	buf_addf(out, "; from ");
	add_text(out, view_of_string(m->haproxy_name));
	buf_addf(out, ":\n");
	const size_t before = out->n;
	if (takes_ports(m)) {
		add_listen_addr(m, out);
		buf_addf(out, "listen_port = %d\n", port);
	}
	if (m->read_door && m->read_door->bind->port != port)
		read_port = m->read_door->bind->port;
	if (read_port || m->config == NULL)
		buf_addf(out, "read_port = %d\n", read_port);
	if (m->stats) {
		const struct haproxy_bind *b = &m->stats->binds[0];
		if (b->port != port && b->port != read_port)
			buf_addf(out, "http_addr = %s\nhttp_port = %d\n", b->host, b->port);
	}
	const struct haproxy_proxy *backend = m->doors[0].backend, *front = m->doors[0].proxy;
	if (is_duration(backend->timeout_connect) && !import_has_key(m, "server_connect_timeout")) {
		buf_addf(out, "server_connect_timeout = ");
		add_duration(out, backend->timeout_connect);
	}
	int maxconn = front->maxconn ? front->maxconn : m->haproxy.maxconn;
	if (m->config == NULL && maxconn)
		buf_addf(out, "max_client_conn = %d\n", maxconn);
	if (m->config == NULL)
		buf_addf(out, "; auth_file = userlist.txt\n");
	if (out->n == before)
		buf_addf(out, ";   nothing\n");
}

static bool
is_of_settings(const char *section)
{
	return strcmp(section, "pgbouncer") == 0 || strcmp(section, "pgsluice") == 0;
}

/* ---- lines of the pgbouncer.ini ---- */

static void
add_value(struct buf *out, const struct ini_pair *pair)
{
	bool needs_quotes = pair->is_quoted || pair->value.n == 0;
	buf_addf(out, " ");
	buf_add(out, pair->key);
	buf_addf(out, needs_quotes ? "='" : "=");
	for (size_t i = 0; i < pair->value.n; i++) {
		if (needs_quotes && pair->value.p[i] == '\'')
			buf_add_u8(out, '\'');
		buf_add_u8(out, pair->value.p[i]);
	}
	if (needs_quotes)
		buf_add_u8(out, '\'');
}

static struct view
entry_of(const struct import *m, const struct ini_line *line)
{
	return m->config->is_pgbouncer ? line->value : ini_cut_comment(line->value);
}

/* host= and port= of an entry; false: it names several hosts, or a cluster, and stays as it is. */
static bool
read_where(const struct import *m, const struct ini_line *line, struct view *host, int *port)
{
	char reason[200];
	struct text why = TEXT_IN(reason);
	struct view rest = entry_of(m, line);
	struct ini_pair pair;
	int64_t number = 5432;
	*host = (struct view){ 0 };
	while (ini_next_pair(&rest, &pair, m->memory, &why) > 0) {
		if (view_is(pair.key, "cluster"))
			return false;
		if (view_is(pair.key, "host"))
			*host = pair.value;
		if (view_is(pair.key, "port") && !value_read_int(pair.value, &number))
			return false;
	}
	*port = (int)number;
	return host->n == 0 || memchr(host->p, ',', host->n) == NULL;
}

static void
add_entry(struct import *m, const struct ini_line *line, struct view raw, struct buf *out)
{
	struct view host;
	int port;
	struct import_target t = { 0 };
	if (m->haproxy_name && read_where(m, line, &host, &port))
		t = import_target_of(m, host, port);
	if (t.group == NULL && t.server == NULL) {
		buf_add(out, raw);
		return;
	}
	buf_addf(out, "; was: host=");
	add_text(out, host);
	buf_addf(out, " port=%d\n", port);
	if (t.door && t.door->role == HAPROXY_READER) {
		buf_addf(out, "; that led to replicas: on read_port this entry reads from them, on listen_port it is read-write\n");
		left(m, line->at, "[databases] %s went to replicas: its clients have to connect to read_port", line->key);
	}
	buf_add(out, view_of(raw.p, (size_t)(line->value.p - raw.p))); /* name = */
	if (line->value.p[-1] == '=')
		buf_addf(out, " ");
	if (t.group)
		buf_addf(out, "cluster=%s", t.group->name);
	else
		buf_addf(out, "host=%s port=%d", t.server->host, t.server->port ? t.server->port : port);
	char reason[200];
	struct text why = TEXT_IN(reason);
	struct view rest = entry_of(m, line);
	struct ini_pair pair;
	while (ini_next_pair(&rest, &pair, m->memory, &why) > 0)
		if (!view_is(pair.key, "host") && !view_is(pair.key, "port"))
			add_value(out, &pair);
	buf_addf(out, "\n");
}

/* What HAProxy's ports replace. */
static bool
is_replaced(const struct import *m, const struct ini_line *line)
{
	static const char *const keys[] = { "listen_addr", "listen_port", "read_port" };
	const struct setting *row = setting_find(line->key);
	for (size_t i = 0; m->haproxy_name && i < sizeof(keys) / sizeof(keys[0]); i++)
		if (row && row == setting_find(keys[i]) && (i == 2 ? m->read_door != NULL : takes_ports(m)))
			return true;
	return m->stats && row && (row == setting_find("http_port") || row == setting_find("http_addr"));
}

static void
add_lines(struct import *m, struct buf *out)
{
	struct view text = m->pgbouncer.text;
	const char *section = "";
	int number = 0, next = 0, settings_at = 0; /* the line that begins their section, for good */
	for (int i = 0; i < m->ini.count; i++)
		if (m->ini.lines[i].section && is_of_settings(m->ini.lines[i].section))
			settings_at = m->ini.lines[i].at.line;
	if (text.n >= 3 && memcmp(text.p, "\xef\xbb\xbf", 3) == 0)
		text = view_from(text, 3);
	while (text.n) {
		const uint8_t *end = memchr(text.p, '\n', text.n);
		struct view raw = view_part(text, 0, end ? (size_t)(end - text.p) + 1 : text.n);
		text = view_from(text, raw.n);
		number++;
		const struct ini_line *line = next < m->ini.count && m->ini.lines[next].at.line == number ? &m->ini.lines[next++] : NULL;
		if (line && line->section)
			section = line->section;
		if (line && !line->section && strcmp(section, "databases") == 0) {
			add_entry(m, line, raw, out);
		} else {
			if (line && !line->section && is_of_settings(section) && is_replaced(m, line))
				buf_addf(out, "; replaced: ");
			buf_add(out, raw);
		}
		if (out->p[out->n - 1] != '\n')
			buf_addf(out, "\n");
		if (number == settings_at)
			add_settings(m, out);
	}
	if (settings_at == 0) {
		buf_addf(out, "\n[pgbouncer]\n");
		add_settings(m, out);
	}
}

/* ---- all of it ---- */

static const struct group *
first_group(const struct import *m)
{
	return &m->groups[m->write_door ? m->write_door->group : m->doors[0].group];
}

static void
add_databases(struct import *m, struct buf *out)
{
	const struct group *first = first_group(m);
	buf_addf(out, "[databases]\n");
	if (group_is_cluster(first))
		buf_addf(out, "* = cluster=%s\n", first->name);
	else
		buf_addf(out, "* = host=%s port=%d\n", first->server[0]->host, first->server[0]->port ? first->server[0]->port : 5432);
	for (int i = 0; i < m->group_count; i++) {
		const struct group *g = &m->groups[i];
		if (g == first || !group_is_cluster(g))
			continue;
		buf_addf(out, "; databases of this cluster, a line for each:\n; NAME = cluster=%s\n", g->name);
		left(m, (struct place){ m->haproxy_name, g->server_of[0]->line }, "%s: name its databases in [databases], so that clients "
		     "are sent there", g->name);
	}
}

void
import_write(struct import *m, struct buf *out)
{
	struct buf body = { 0 };
	add_clusters(m, &body);
	if (m->config) {
		add_lines(m, &body);
	} else {
		add_databases(m, &body);
		buf_addf(&body, "\n[pgsluice]\n");
		add_settings(m, &body);
	}
	for (int i = 0; i < m->group_count && m->config; i++)
		if (group_is_cluster(&m->groups[i]) && !m->groups[i].is_used)
			left(m, (struct place){ m->pgbouncer.name, 0 }, "no entry of [databases] leads to %s: add one with cluster=%s",
			     m->groups[i].name, m->groups[i].name);
	buf_addf(out, "; Made by pgsluice --import out of");
	const char *names[] = { m->haproxy_name, m->config ? m->pgbouncer.name : NULL };
	for (int i = 0; i < 2; i++)
		if (names[i]) {
			buf_addf(out, "%s ", i && names[0] ? " and" : "");
			add_text(out, view_of_string(names[i]));
		}
	buf_addf(out, ".\n");
	add_report(out, &m->report->done, "What became of what:");
	add_report(out, &m->report->left, "Not carried over, to be looked at:");
	buf_addf(out, "\n");
	buf_add(out, buf_view(&body));
	if (body.p)
		explicit_bzero(body.p, body.n);
	buf_free(&body);
}
