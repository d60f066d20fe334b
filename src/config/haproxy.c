/* config/haproxy.c - reads haproxy.cfg; see the header. */
#include "config/haproxy.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/heap.h"

struct reading {
	struct haproxy *out;
	struct config_memory *memory;
	struct config_errors *errors;
	struct haproxy_proxy defaults;
	struct haproxy_proxy *proxy; /* that the lines belong to; NULL: a section that does not matter */
	bool is_global, has_section;
	struct place at;
	const char *word[HAPROXY_WORDS_MAX + 1]; /* "" behind the last */
	int words;
};

/* ---- words ---- */

/* Blanks part words; "..." and '...' keep them together; a backslash takes what follows as it is; # ends the line. */
static bool
split(struct reading *r, struct view line)
{
	char *out = config_memory_take(r->memory, line.n + 1);
	size_t n = 0;
	bool is_in_word = false;
	uint8_t quote = 0;
	r->words = 0;
	for (size_t i = 0; i < line.n; i++) {
		uint8_t c = line.p[i];
		if (!quote && (c == ' ' || c == '\t' || c == '\r' || c == '#')) {
			if (is_in_word)
				out[n++] = '\0';
			is_in_word = false;
			if (c == '#')
				break;
			continue;
		}
		if (!is_in_word) {
			if (r->words == HAPROXY_WORDS_MAX) {
				config_errors_add(r->errors, r->at, "more than %d words in a line", HAPROXY_WORDS_MAX);
				return false;
			}
			r->word[r->words++] = out + n;
			is_in_word = true;
		}
		if (c == quote)
			quote = 0;
		else if (!quote && (c == '"' || c == '\''))
			quote = c;
		else if (c == '\\' && quote != '\'' && i + 1 < line.n)
			out[n++] = (char)line.p[++i];
		else
			out[n++] = (char)c;
	}
	if (quote)
		config_errors_add(r->errors, r->at, "a quote (%c) is not closed", quote);
	for (int i = r->words; i <= HAPROXY_WORDS_MAX; i++)
		r->word[i] = "";
	return !quote;
}

static bool
is_word(const struct reading *r, int i, const char *word)
{
	return strcmp(r->word[i], word) == 0;
}

static int
number(const char *text, int most)
{
	char *end;
	long n = *text >= '0' && *text <= '9' ? strtol(text, &end, 10) : 0;
	return n == 0 || *end || n > most ? 0 : (int)n;
}

/* "host:port", "[::1]:port", ":port", "*:port", "ipv4@host:port"; false: something else, such as a Unix socket. */
static bool
read_address(struct reading *r, struct view v, const char **host, int *port, bool *is_range)
{
	static const char *const kinds[] = { "ipv4@", "ipv6@", "tcp4@", "tcp6@", "tcp@" };
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (v.n > strlen(kinds[i]) && memcmp(v.p, kinds[i], strlen(kinds[i])) == 0)
			v = view_from(v, strlen(kinds[i]));
	size_t colon = v.n;
	while (colon > 0 && v.p[colon - 1] != ':')
		colon--;
	*port = 0;
	*is_range = false;
	struct view name = v;
	if (colon > 0) {
		char text[16] = "";
		struct view digits = view_from(v, colon);
		const uint8_t *dash = digits.n ? memchr(digits.p, '-', digits.n) : NULL;
		if (dash) {
			*is_range = true;
			digits.n = (size_t)(dash - digits.p);
		}
		if (digits.n < sizeof(text) && digits.n)
			memcpy(text, digits.p, digits.n);
		*port = number(text, 65535);
		if (*port == 0)
			return false;
		name = view_part(v, 0, colon - 1);
	}
	if (name.n >= 2 && name.p[0] == '[' && name.p[name.n - 1] == ']')
		name = view_part(name, 1, name.n - 2);
	if (name.n && (name.p[0] == '/' || memchr(name.p, '@', name.n)))
		return false;
	*host = name.n ? config_memory_string(r->memory, name) : "*";
	return true;
}

/* ---- bind, server ---- */

static void
read_bind(struct reading *r)
{
	struct haproxy_proxy *p = r->proxy;
	const char *list = r->word[1];
	struct view item;
	while (config_list_next(&list, &item)) {
		struct haproxy_bind b = { .line = r->at.line };
		if (!read_address(r, item, &b.host, &b.port, &b.is_range) || b.port == 0)
			continue; /* a Unix socket, or a port from the environment */
		for (int i = 2; i < r->words; i++) {
			b.is_tls |= is_word(r, i, "ssl");
			if (is_word(r, i, "accept-proxy"))
				b.accepts_proxy = r->word[i];
		}
		if (p->bind_count == HAPROXY_ITEMS_MAX) {
			config_errors_add(r->errors, r->at, "more than %d addresses to bind", HAPROXY_ITEMS_MAX);
			return;
		}
		p->binds[p->bind_count++] = b;
	}
}

static void
read_server_options(struct reading *r, struct haproxy_server *s, int from)
{
	for (int i = from; i < r->words; i++) {
		if (is_word(r, i, "check"))
			s->has_check = true;
		else if (is_word(r, i, "port"))
			s->check_port = number(r->word[++i], 65535);
		else if (is_word(r, i, "check-ssl"))
			s->check_tls = true;
		else if (is_word(r, i, "no-check-ssl"))
			s->check_tls = false;
		else if (is_word(r, i, "backup"))
			s->is_backup = true;
		else if (is_word(r, i, "disabled"))
			s->is_disabled = true;
		else if (is_word(r, i, "maxconn"))
			s->maxconn = number(r->word[++i], 1000000000);
		else if (strncmp(r->word[i], "send-proxy", 10) == 0)
			s->sends_proxy = true;
	}
}

static void
read_server(struct reading *r, int from)
{
	struct haproxy_proxy *p = r->proxy;
	struct haproxy_server s = p->preset;
	bool is_range;
	if (r->words < from + 2) {
		config_errors_add(r->errors, r->at, "a server line needs a name and an address");
		return;
	}
	s.line = r->at.line;
	s.name = r->word[from];
	if (!read_address(r, view_of_string(r->word[from + 1]), &s.host, &s.port, &is_range))
		return;
	read_server_options(r, &s, from + 2);
	if (p->server_count == HAPROXY_ITEMS_MAX) {
		config_errors_add(r->errors, r->at, "more than %d servers", HAPROXY_ITEMS_MAX);
		return;
	}
	p->servers[p->server_count++] = s;
}

/* ---- checks ---- */

static void
read_httpchk(struct reading *r)
{
	struct haproxy_proxy *p = r->proxy;
	p->has_httpchk = true;
	p->has_pgsql_check = false;
	if (r->words > 2)
		p->check_path = r->words > 3 ? r->word[3] : r->word[2]; /* with or without the method */
	if (r->words == 4 && strncmp(r->word[3], "HTTP/", 5) == 0)
		p->check_path = r->word[2];
}

static void
read_option(struct reading *r)
{
	struct haproxy_proxy *p = r->proxy;
	if (is_word(r, 1, "httpchk"))
		read_httpchk(r);
	else if (is_word(r, 1, "pgsql-check"))
		p->has_pgsql_check = true;
}

static void
read_http_check(struct reading *r)
{
	struct haproxy_proxy *p = r->proxy;
	for (int i = 2; i < r->words; i++) {
		if (is_word(r, 1, "send") && is_word(r, i, "uri"))
			p->check_path = r->word[i + 1];
		if (is_word(r, 1, "connect") && is_word(r, i, "port"))
			p->preset.check_port = number(r->word[i + 1], 65535);
		if (is_word(r, 1, "connect") && is_word(r, i, "ssl"))
			p->has_check_tls = true;
	}
}

static bool
path_is(const char *path, const char *const *words)
{
	size_t n = strcspn(path, "?");
	for (; *words; words++)
		if (strlen(*words) == n && strncmp(path, *words, n) == 0)
			return true;
	return false;
}

/* Source: Patroni 4.1, REST API, health check endpoints. */
static const char *const writer_paths[] = { "/", "/primary", "/master", "/leader", "/read-write", NULL };
static const char *const reader_paths[] = { "/replica",      "/read-only", "/sync",           "/synchronous",      "/async",
	                                    "/asynchronous", "/quorum",    "/read-only-sync", "/read-only-quorum", NULL };
static const char *const health_paths[] = { "/health", "/patroni", "/liveness", "/readiness", "/standby-leader",
	                                    "/standby_leader", NULL };

enum haproxy_role
haproxy_role_of(const struct haproxy_proxy *p, struct view *lag)
{
	*lag = (struct view){ 0 };
	if (!p->has_httpchk)
		return HAPROXY_ANYBODY;
	const char *path = p->check_path ? p->check_path : "/";
	const char *query = strstr(path, "lag=");
	if (query)
		*lag = view_of(query + 4, strcspn(query + 4, "& \r\n"));
	if (path_is(path, writer_paths))
		return HAPROXY_WRITER;
	return path_is(path, reader_paths) ? HAPROXY_READER : HAPROXY_ANYBODY;
}

bool
haproxy_asks_patroni(const struct haproxy_proxy *p)
{
	struct view lag;
	if (!p->has_httpchk || (haproxy_role_of(p, &lag) == HAPROXY_ANYBODY && !path_is(p->check_path, health_paths)))
		return false;
	for (int i = 0; i < p->server_count; i++) {
		const struct haproxy_server *s = &p->servers[i];
		int port = s->check_port ? s->check_port : p->preset.check_port;
		if (port == 0 || port == s->port)
			return false;
	}
	return p->server_count > 0;
}

/* ---- lines of a proxy ---- */

static void
read_use(struct reading *r, bool is_default)
{
	struct haproxy_proxy *p = r->proxy;
	if (p->use_count == HAPROXY_ITEMS_MAX || r->words < 2)
		return;
	p->uses[p->use_count++] =
		(struct haproxy_use){ .backend = r->word[1], .is_conditional = !is_default && r->words > 2, .line = r->at.line };
}

static void
read_timeout(struct reading *r)
{
	struct haproxy_proxy *p = r->proxy;
	if (is_word(r, 1, "connect"))
		p->timeout_connect = r->word[2];
	else if (is_word(r, 1, "client"))
		p->timeout_client = r->word[2];
	else if (is_word(r, 1, "server"))
		p->timeout_server = r->word[2];
}

static void
read_line_of_proxy(struct reading *r)
{
	struct haproxy_proxy *p = r->proxy;
	if (is_word(r, 0, "mode"))
		p->is_http = is_word(r, 1, "http");
	else if (is_word(r, 0, "bind"))
		read_bind(r);
	else if (is_word(r, 0, "server"))
		read_server(r, 1);
	else if (is_word(r, 0, "server-template"))
		read_server(r, 2); /* PREFIX 1-3 host:port: so many times the same name */
	else if (is_word(r, 0, "default-server"))
		read_server_options(r, &p->preset, 1);
	else if (is_word(r, 0, "option"))
		read_option(r);
	else if (is_word(r, 0, "http-check"))
		read_http_check(r);
	else if (is_word(r, 0, "timeout"))
		read_timeout(r);
	else if (is_word(r, 0, "maxconn"))
		p->maxconn = number(r->word[1], 1000000000);
	else if (is_word(r, 0, "use_backend"))
		read_use(r, false);
	else if (is_word(r, 0, "default_backend"))
		read_use(r, true);
	else if (is_word(r, 0, "stats")) {
		p->has_stats |= !is_word(r, 1, "socket") && p->kind != HAPROXY_DEFAULTS;
		p->has_stats_auth |= is_word(r, 1, "auth");
	}
}

/* ---- sections ---- */

static bool
begin_section(struct reading *r)
{
	static const char *const kinds[] = { [HAPROXY_DEFAULTS] = "defaults",
		                             [HAPROXY_LISTEN] = "listen",
		                             [HAPROXY_FRONTEND] = "frontend",
		                             [HAPROXY_BACKEND] = "backend" };
	static const char *const others[] = { "global", "userlist", "resolvers", "peers",       "mailers", "program",
		                              "cache",  "ring",     "fcgi-app",  "http-errors", "crt-store", "log-forward",
		                              "traces", "log-profile", "acme" };
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		if (is_word(r, 0, others[i]) && (i < 3 || r->words <= 2)) {
			r->proxy = NULL;
			r->is_global = i == 0;
			return true;
		}
	for (int kind = HAPROXY_DEFAULTS; kind <= HAPROXY_BACKEND; kind++) {
		if (!is_word(r, 0, kinds[kind]))
			continue;
		r->is_global = false;
		if (kind == HAPROXY_DEFAULTS) {
			r->defaults = (struct haproxy_proxy){ .kind = HAPROXY_DEFAULTS };
			r->proxy = &r->defaults;
			return true;
		}
		struct haproxy *out = r->out;
		if (r->words < 2)
			config_errors_add(r->errors, r->at, "a %s without a name", kinds[kind]);
		if (out->count == HAPROXY_PROXIES_MAX) {
			config_errors_add(r->errors, r->at, "more than %d sections", HAPROXY_PROXIES_MAX);
			r->proxy = NULL;
			return true;
		}
		if (out->proxies == NULL)
			out->proxies = heap_alloc(HAPROXY_PROXIES_MAX * sizeof(out->proxies[0]));
		r->proxy = out->proxies[out->count++] = heap_alloc(sizeof(*r->proxy));
		*r->proxy = r->defaults;
		r->proxy->kind = (enum haproxy_kind)kind;
		r->proxy->name = r->word[1];
		r->proxy->line = r->at.line;
		if (r->words > 2 && kind != HAPROXY_BACKEND && strchr(r->word[2], ':')) { /* the old way to bind */
			r->word[1] = r->word[2];
			r->words = 2;
			read_bind(r);
		}
		return true;
	}
	return false;
}

void
haproxy_read(struct haproxy *out, const char *file, struct view text, struct config_memory *memory,
             struct config_errors *errors)
{
	struct reading *r = heap_alloc(sizeof(*r));
	*r = (struct reading){ .out = out, .memory = memory, .errors = errors, .at = { .file = file } };
	*out = (struct haproxy){ .file = file };
	if (text.n && memchr(text.p, 0, text.n)) {
		config_errors_add(errors, r->at, "it holds a NUL byte; is this a text file?");
		text.n = 0;
	}
	while (text.n && errors->count < CONFIG_ERRORS_MAX) {
		const uint8_t *end = memchr(text.p, '\n', text.n);
		struct view line = view_part(text, 0, end ? (size_t)(end - text.p) : text.n);
		text = view_from(text, line.n + 1);
		r->at.line++;
		if (!split(r, line) || r->words == 0)
			continue;
		if (begin_section(r)) {
			r->has_section = true;
		} else if (!r->has_section) {
			config_errors_add(errors, r->at, "this is no haproxy.cfg: a line before any section (global, defaults, listen, ...)");
			break;
		} else if (r->proxy) {
			read_line_of_proxy(r);
		} else if (r->is_global && is_word(r, 0, "maxconn")) {
			out->maxconn = number(r->word[1], 1000000000);
		}
	}
	heap_free(r);
}

void
haproxy_free(struct haproxy *h)
{
	for (int i = 0; i < h->count; i++)
		heap_free(h->proxies[i]);
	heap_free(h->proxies);
	*h = (struct haproxy){ 0 };
}

const struct haproxy_proxy *
haproxy_backend(const struct haproxy *h, const char *name)
{
	for (int i = 0; i < h->count; i++)
		if ((h->proxies[i]->kind == HAPROXY_BACKEND || h->proxies[i]->kind == HAPROXY_LISTEN) &&
		    strcmp(h->proxies[i]->name, name) == 0)
			return h->proxies[i];
	return NULL;
}
