/*
 * session/client_startup.c - the first step of a login: encryption, and the startup packet.
 *
 *   [PROXY header] ─► [SSLRequest, GSSENCRequest, direct TLS] ─► CancelRequest, or StartupMessage ─► client_auth.c
 *
 * Whether a connection begins with a PROXY header is never guessed: one from proxy_protocol_from does, and no other may.
 * So nobody else can claim an address, and nobody on a balancer's machine comes in under the balancer's own.
 * Startup parameters are honoured exactly or refused, never dropped: what a server has to judge is kept for client_login.c.
 * Source: PostgreSQL 16, 55.2.1 Start-up and 55.2.10 SSL Session Encryption; 18, 54.2.1 for protocol 3.2.
 */
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <arpa/inet.h>

#include "base/log.h"
#include "config/addresses.h"
#include "session/cancel.h"
#include "session/client_login.h"
#include "wire/proxy_header.h"
#include "wire/reply.h"
#include "wire/startup.h"

enum { MINOR_MAX = 2, STARTUP_PARAMS_MAX = 64 };

/* ---- PROXY header ---- */

bool
login_needs_header(const struct client *c)
{
	const char *from = c->proxy->config->settings.proxy_protocol_from;
	struct sockaddr_storage a;
	client_address(c, &a);
	return from[0] && addresses_have(from, (const struct sockaddr *)&a);
}

static void
carry(struct client *c, const struct proxy_header *h)
{
	c->address = (struct ip_address){ .size = h->family == 4 ? 4 : 16 };
	memcpy(c->address.bytes, h->source, c->address.size);
	c->port = h->source_port;
	c->is_unix = false; /* it came by the network, and is treated so */
}

/* With the address of whom it is about: the balancer, or what is mistaken for one. */
static void
refuse_header(struct client *c, const char *format)
{
	char host[64], text[200];
	uint16_t port;
	client_address_text(c, host, sizeof(host), &port);
	snprintf(text, sizeof(text), format, host);
	login_refuse(c, FAULT_BY_CLIENT, SQLSTATE_PROTOCOL_VIOLATION, text);
}

size_t
login_on_header(struct client *c, struct view in)
{
	struct proxy_header h;
	switch (proxy_header_peek(in, &h)) {
	case PROXY_HEADER_SHORT:
		return 0;
	case PROXY_HEADER_BAD:
		refuse_header(c, proxy_header_begins(in)
		                     ? "malformed PROXY header from %s"
		                     : "connection from %s without the PROXY header that proxy_protocol_from demands of it");
		return in.n;
	case PROXY_HEADER_OK:
		break;
	}
	c->login->needs_header = false;
	c->is_proxied = true;
	if (h.family)
		carry(c, &h);
	log_debug(client_tag(c), "PROXY header, version %u%s", h.version, h.family ? "" : ", without an address");
	return h.size;
}

/* ---- encryption ---- */

static void
answer_encryption(struct client *c, char letter)
{
	stream_put(&c->stream, view_of(&letter, 1));
}

static size_t
on_ssl_request(struct client *c, struct view in, const struct startup *st)
{
	struct client_login *l = c->login;
	if (l->asked_ssl || c->stream.ssl) {
		login_refuse(c, FAULT_BY_CLIENT, SQLSTATE_PROTOCOL_VIOLATION, "SSLRequest was sent twice");
		return in.n;
	}
	l->asked_ssl = true;
	if (in.n > st->size) { /* CVE-2021-23214: it could have been put there by somebody in the middle */
		login_refuse(c, FAULT_BY_CLIENT, SQLSTATE_PROTOCOL_VIOLATION, "received unencrypted data after SSLRequest");
		return in.n;
	}
	if (c->proxy->access.tls_clients == NULL || c->is_unix) {
		answer_encryption(c, 'N');
		return st->size;
	}
	answer_encryption(c, 'S');
	client_enter(c, CLIENT_TLS, "SSLRequest");
	if (!stream_start_tls_server(&c->stream, c->proxy->access.tls_clients, (struct view){ 0 }))
		login_refuse(c, FAULT_BY_PROXY, SQLSTATE_INTERNAL_ERROR, "TLS could not be started");
	return in.n;
}

static size_t
on_direct_tls(struct client *c, struct view in)
{
	if (c->proxy->access.tls_clients == NULL || c->is_unix || c->stream.ssl || c->login->asked_ssl) {
		login_refuse(c, FAULT_BY_CLIENT, SQLSTATE_PROTOCOL_VIOLATION, "TLS is not offered here (client_tls_sslmode)");
		return in.n;
	}
	c->login->asked_ssl = c->login->is_direct_tls = true;
	client_enter(c, CLIENT_TLS, "direct TLS");
	if (!stream_start_tls_server(&c->stream, c->proxy->access.tls_clients, in))
		login_refuse(c, FAULT_BY_PROXY, SQLSTATE_INTERNAL_ERROR, "TLS could not be started");
	return in.n;
}

void
client_login_on_tls(struct client *c)
{
	client_enter(c, CLIENT_STARTUP, "TLS is up");
	/* Else a client of another protocol could be led to us: that of a web page, say. Source: PostgreSQL 17,
	 * SSL Session Encryption. */
	if (c->login->is_direct_tls && !stream_has_alpn(&c->stream))
		login_refuse(c, FAULT_BY_CLIENT, SQLSTATE_PROTOCOL_VIOLATION,
		       "received direct SSL connection request without ALPN protocol negotiation extension");
}

/* What is asked for twice is what is asked for last. */
static void
drop_pair(struct buf *pairs, const char *name)
{
	struct buf left = { 0 };
	for (size_t at = 0; at < pairs->n;) {
		const char *other = (const char *)pairs->p + at;
		const char *value = other + strlen(other) + 1;
		size_t n = (size_t)(value + strlen(value) + 1 - other);
		if (strcasecmp(other, name) != 0)
			buf_add(&left, view_of((const uint8_t *)other, n));
		at += n;
	}
	buf_free(pairs);
	*pairs = left;
}

/* Keep a parameter for a server to judge. False: refused. */
static bool
keep_param(struct client *c, const char *name, const char *value)
{
	struct client_login *l = c->login;
	const struct settings *set = &c->proxy->config->settings;
	if (strcasecmp(name, "application_name") == 0) {
		/* As PostgreSQL before 16 does: it can't know the encoding yet. */
		size_t n = 0;
		for (; value[n] && n < APPLICATION_NAME_MAX; n++)
			l->application_name[n] = (char)(value[n] >= 32 && value[n] < 127 ? value[n] : '?');
		l->application_name[n] = '\0';
		l->has_application_name = true;
		return true;
	}
	if (config_list_has(set->ignore_startup_parameters, name))
		return true;
	drop_pair(&l->pairs, name);
	for (const char *s = name; *s; s++)
		buf_add_u8(&l->pairs, (uint8_t)tolower((unsigned char)*s));
	buf_add_u8(&l->pairs, 0);
	buf_add_string(&l->pairs, value);
	return true;
}

static bool
keep_options(struct client *c, const char *text)
{
	struct buf room = { 0 };
	buf_reserve(&room, strlen(text) + 1);
	struct options o = options_over(text, (char *)room.p);
	struct option_setting setting;
	enum options_result r;
	bool ok = true;
	while (ok && (r = options_next(&o, &setting)) != OPTIONS_END) {
		if (r == OPTIONS_SETTING) {
			ok = keep_param(c, setting.name, setting.value);
		} else if (!config_list_has(c->proxy->config->settings.ignore_startup_parameters, "options")) {
			char why[160];
			snprintf(why, sizeof(why), "unsupported startup option \"%.60s\" in options: only -c name=value works here",
			         setting.word);
			login_refuse(c, FAULT_BY_CLIENT, SQLSTATE_FEATURE_NOT_SUPPORTED, why);
			ok = false;
		}
	}
	buf_free(&room);
	return ok;
}

static bool
keep_replication(struct client *c, const char *value)
{
	char text[120];
	if (replication_read(value, &c->login->replication))
		return true;
	snprintf(text, sizeof(text), "invalid value for parameter \"replication\": \"%.60s\"", value);
	client_fail(c, &(struct fault){ .by = FAULT_BY_CLIENT, .sqlstate = SQLSTATE_INVALID_PARAMETER_VALUE, .text = text,
	                                .hint = "Valid values are: \"false\", 0, \"true\", 1, \"database\"." });
	return false;
}

/* What stands in `options` comes first, wherever it stands in the packet: a parameter of its own replaces it, as in PostgreSQL. */
static bool
read_options(struct client *c, struct view params)
{
	const char *name, *value;
	while (startup_next_param(&params, &name, &value))
		if (strcmp(name, "options") == 0 && !keep_options(c, value))
			return false;
	return true;
}

static bool
read_params(struct client *c, struct view params)
{
	struct client_login *l = c->login;
	const char *name, *value;
	int count = 0;
	if (!read_options(c, params))
		return false;
	while (startup_next_param(&params, &name, &value)) {
		if (++count > STARTUP_PARAMS_MAX) {
			login_refuse(c, FAULT_BY_CLIENT, SQLSTATE_PROGRAM_LIMIT_EXCEEDED, "too many startup parameters");
			return false;
		}
		if (strcmp(name, "user") == 0 || strcmp(name, "database") == 0) {
			char *to = name[0] == 'u' ? l->user : l->database;
			size_t room = name[0] == 'u' ? sizeof(l->user) : sizeof(l->database);
			if (strlen(value) >= room) {
				login_refuse(c, FAULT_BY_CLIENT, SQLSTATE_INVALID_AUTHORIZATION, "user or database name is too long");
				return false;
			}
			snprintf(to, room, "%s", value);
		} else if (strcmp(name, "options") == 0) {
			continue;
		} else if (strcmp(name, "replication") == 0) {
			if (!keep_replication(c, value))
				return false;
		} else if (strncmp(name, "_pq_.", 5) == 0) {
			continue; /* negotiated below */
		} else if (!keep_param(c, name, value)) {
			return false;
		}
	}
	if (l->user[0] == '\0') {
		login_refuse(c, FAULT_BY_CLIENT, SQLSTATE_INVALID_AUTHORIZATION,
		       "no PostgreSQL user name specified in startup packet");
		return false;
	}
	if (l->database[0] == '\0')
		snprintf(l->database, sizeof(l->database), "%.63s",
		         l->replication == REPLICATION_PHYSICAL ? REPLICATION_DATABASE : l->user);
	return true;
}

static void
negotiate(struct client *c, const struct startup *st)
{
	const char *names[STARTUP_PARAMS_MAX];
	uint32_t count = 0;
	struct view params = st->params;
	while (count < STARTUP_PARAMS_MAX && startup_next_protocol_option(&params, &names[count]))
		count++;
	c->minor = (uint8_t)(st->minor > MINOR_MAX ? MINOR_MAX : st->minor);
	if (st->minor > MINOR_MAX || count > 0) {
		struct buf b = { 0 };
		reply_negotiate(&b, c->minor, names, count);
		login_say(c, &b);
	}
}

static bool
is_refused_early(struct client *c)
{
	struct proxy *x = c->proxy;
	const struct settings *set = &x->config->settings;
	bool is_console = config_is_console(c->login->database);
	if (set->client_tls_sslmode >= SSLMODE_REQUIRE && !c->stream.ssl && !c->is_unix) {
		login_refuse(c, FAULT_BY_CLIENT, SQLSTATE_INVALID_AUTHORIZATION, "SSL required");
		return true;
	}
	if (x->state >= PROXY_STOPPING_SERVERS && !is_console) {
		login_refuse(c, FAULT_BY_PROXY, SQLSTATE_ADMIN_SHUTDOWN, "pooler is shutting down");
		return true;
	}
	if (is_console && c->login->replication != REPLICATION_NONE) {
		login_refuse(c, FAULT_BY_CLIENT, SQLSTATE_FEATURE_NOT_SUPPORTED, "the console has nothing to replicate");
		return true;
	}
	return !is_console && login_is_too_many(c);
}

size_t
login_on_startup(struct client *c, struct view in)
{
	struct startup st;
	char text[120];
	switch (startup_peek(in, &st)) {
	case STARTUP_SHORT:
		return 0;
	case STARTUP_SSL_REQUEST:
		return on_ssl_request(c, in, &st);
	case STARTUP_GSSENC_REQUEST:
		if (c->login->asked_gss || in.n > st.size) {
			login_refuse(c, FAULT_BY_CLIENT, SQLSTATE_PROTOCOL_VIOLATION, "received unencrypted data after GSSENCRequest");
			return in.n;
		}
		c->login->asked_gss = true;
		answer_encryption(c, 'N');
		return st.size;
	case STARTUP_DIRECT_TLS:
		return on_direct_tls(c, in);
	case STARTUP_CANCEL:
		cancel_on_request(c, st.pid, st.key);
		return in.n;
	case STARTUP_START:
		if (!read_params(c, st.params))
			return in.n;
		negotiate(c, &st);
		if (is_refused_early(c))
			return in.n;
		login_ask_for_proof(c);
		return st.size;
	case STARTUP_OLD_PROTOCOL:
	case STARTUP_NEW_MAJOR:
		snprintf(text, sizeof(text), "unsupported frontend protocol %u.%u: server supports 3.0 to 3.%d", st.major, st.minor,
		         MINOR_MAX);
		login_refuse(c, FAULT_BY_CLIENT, SQLSTATE_FEATURE_NOT_SUPPORTED, text);
		return in.n;
	case STARTUP_BAD:
		if (proxy_header_begins(in) && !c->is_proxied) {
			refuse_header(c, "PROXY header from %s, which proxy_protocol_from does not list");
			return in.n;
		}
		break;
	}
	login_refuse(c, FAULT_BY_CLIENT, SQLSTATE_PROTOCOL_VIOLATION, "invalid startup packet");
	return in.n;
}
