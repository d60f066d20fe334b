/*
 * session/client_login.c - from a client's first byte to its first ReadyForQuery.
 *
 *   [SSLRequest ─► TLS] ─► StartupMessage ─► authentication ─► limits ─► pool ─► parameters ─► welcome
 *
 * Startup parameters are honoured exactly or refused. Those that equal a fresh session's need nothing; others are tried on
 * a server once, which makes them canonical or refuses them; the verdict is remembered per pool (pool->learned).
 * What is true only during login lives in c->login and is freed with it.
 * Source: PostgreSQL 16, 55.2.1 Start-up; 18, 54.2.1 for protocol 3.2; 55.3 SASL Authentication.
 */
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "auth/md5.h"
#include "auth/method.h"
#include "auth/password.h"
#include "base/clock.h"
#include "base/heap.h"
#include "base/log.h"
#include "session/cancel.h"
#include "session/client.h"
#include "session/link.h"
#include "session/role_keys.h"
#include "session/server.h"
#include "wire/reply.h"
#include "wire/request.h"
#include "wire/startup.h"

enum { MINOR_MAX = 2, STARTUP_PARAMS_MAX = 64, LEARNED_MAX = 1000, APPLICATION_NAME_MAX = 63 };

struct client_login {
	bool asked_ssl, asked_gss, is_direct_tls;
	char user[USER_NAME_MAX];
	char database[DATABASE_NAME_MAX];
	char application_name[APPLICATION_NAME_MAX + 1];
	bool has_application_name;
	struct buf pairs; /* name NUL value NUL ...: parameters that a server has to judge; names in lower case */
	enum auth_method method;
	struct secret secret;             /* a copy: a reload may replace the users meanwhile. Of nobody: made up */
	uint8_t md5_salt[MD5_SALT_BYTES];
	struct scram_server scram;
	bool has_scram, in_sasl;
};

/* Startup parameters that a server of this pool has judged. */
struct learned {
	UT_hash_handle hh;
	struct params *params; /* what the session came to */
	size_t bytes;
	uint8_t pairs[];
};

static void login_finish(struct client *c);

void
client_login_free(struct client *c)
{
	struct client_login *l = c->login;
	if (l == NULL)
		return;
	c->login = NULL;
	if (l->has_scram)
		scram_server_fini(&l->scram);
	secret_free(&l->secret);
	buf_free(&l->pairs);
	heap_free(l);
}

static void
refuse(struct client *c, enum fault_by by, const char *sqlstate, const char *text)
{
	client_fail(c, &(struct fault){ .by = by, .sqlstate = sqlstate, .text = text });
}

static void
say(struct client *c, struct buf *b)
{
	client_send(c, buf_view(b));
	buf_free(b);
}

/* ---- keys of roles ---- */

void
role_learn_scram(struct role *r, const struct scram_keys *keys)
{
	if (r->keys == NULL)
		r->keys = heap_alloc(sizeof(*r->keys));
	r->keys->scram = *keys;
}

void
role_learn_password(struct role *r, const char *password)
{
	if (r->keys == NULL)
		r->keys = heap_alloc(sizeof(*r->keys));
	if (r->keys->password)
		heap_erase_free(r->keys->password, strlen(r->keys->password));
	r->keys->password = heap_string(password);
}

void
role_forget(struct role *r)
{
	if (r->keys == NULL)
		return;
	if (r->keys->password)
		heap_erase_free(r->keys->password, strlen(r->keys->password));
	heap_erase_free(r->keys, sizeof(*r->keys));
	r->keys = NULL;
}

struct server_credentials
role_credentials(struct proxy *x, const struct database *d, const struct role *r)
{
	const struct user_secret *known = users_find(x->users, r->name);
	const struct scram_keys *keys = r->keys && r->keys->scram.iterations ? &r->keys->scram : NULL;
	struct server_credentials have = server_credentials_of(r->name, known ? &known->secret : NULL, keys);
	if (d->config->user && d->config->password && strcmp(d->config->user, r->name) == 0)
		have.password = d->config->password;
	if (have.password == NULL && r->keys)
		have.password = r->keys->password;
	return have;
}

/* ---- startup packet ---- */

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
		refuse(c, FAULT_BY_CLIENT, SQLSTATE_PROTOCOL_VIOLATION, "SSLRequest was sent twice");
		return in.n;
	}
	l->asked_ssl = true;
	if (in.n > st->size) { /* CVE-2021-23214: it could have been put there by somebody in the middle */
		refuse(c, FAULT_BY_CLIENT, SQLSTATE_PROTOCOL_VIOLATION, "received unencrypted data after SSLRequest");
		return in.n;
	}
	if (c->proxy->tls_clients == NULL || c->is_unix) {
		answer_encryption(c, 'N');
		return st->size;
	}
	answer_encryption(c, 'S');
	client_enter(c, CLIENT_TLS, "SSLRequest");
	if (!stream_start_tls_server(&c->stream, c->proxy->tls_clients, (struct view){ 0 }))
		refuse(c, FAULT_BY_PROXY, SQLSTATE_INTERNAL_ERROR, "TLS could not be started");
	return in.n;
}

static size_t
on_direct_tls(struct client *c, struct view in)
{
	if (c->proxy->tls_clients == NULL || c->is_unix || c->stream.ssl || c->login->asked_ssl) {
		refuse(c, FAULT_BY_CLIENT, SQLSTATE_PROTOCOL_VIOLATION, "TLS is not offered here (client_tls_sslmode)");
		return in.n;
	}
	c->login->asked_ssl = c->login->is_direct_tls = true;
	client_enter(c, CLIENT_TLS, "direct TLS");
	if (!stream_start_tls_server(&c->stream, c->proxy->tls_clients, in))
		refuse(c, FAULT_BY_PROXY, SQLSTATE_INTERNAL_ERROR, "TLS could not be started");
	return in.n;
}

void
client_login_on_tls(struct client *c)
{
	client_enter(c, CLIENT_STARTUP, "TLS is up");
	/* Else a client of another protocol could be led to us: that of a web page, say. Source: PostgreSQL 17,
	 * SSL Session Encryption. */
	if (c->login->is_direct_tls && !stream_has_alpn(&c->stream))
		refuse(c, FAULT_BY_CLIENT, SQLSTATE_PROTOCOL_VIOLATION,
		       "received direct SSL connection request without ALPN protocol negotiation extension");
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
			refuse(c, FAULT_BY_CLIENT, SQLSTATE_FEATURE_NOT_SUPPORTED, why);
			ok = false;
		}
	}
	buf_free(&room);
	return ok;
}

static bool
is_off(const char *value)
{
	return strcasecmp(value, "false") == 0 || strcasecmp(value, "off") == 0 || strcasecmp(value, "no") == 0 ||
	       strcmp(value, "0") == 0;
}

static bool
read_params(struct client *c, struct view params)
{
	struct client_login *l = c->login;
	const char *name, *value;
	int count = 0;
	while (startup_next_param(&params, &name, &value)) {
		if (++count > STARTUP_PARAMS_MAX) {
			refuse(c, FAULT_BY_CLIENT, SQLSTATE_PROGRAM_LIMIT_EXCEEDED, "too many startup parameters");
			return false;
		}
		if (strcmp(name, "user") == 0 || strcmp(name, "database") == 0) {
			char *to = name[0] == 'u' ? l->user : l->database;
			size_t room = name[0] == 'u' ? sizeof(l->user) : sizeof(l->database);
			if (strlen(value) >= room) {
				refuse(c, FAULT_BY_CLIENT, SQLSTATE_INVALID_AUTHORIZATION, "user or database name is too long");
				return false;
			}
			snprintf(to, room, "%s", value);
		} else if (strcmp(name, "options") == 0) {
			if (!keep_options(c, value))
				return false;
		} else if (strcmp(name, "replication") == 0) {
			if (!is_off(value)) {
				refuse(c, FAULT_BY_CLIENT, SQLSTATE_FEATURE_NOT_SUPPORTED,
				       "replication connections are not supported here: connect to the server itself");
				return false;
			}
		} else if (strncmp(name, "_pq_.", 5) == 0) {
			continue; /* negotiated below */
		} else if (!keep_param(c, name, value)) {
			return false;
		}
	}
	if (l->user[0] == '\0') {
		refuse(c, FAULT_BY_CLIENT, SQLSTATE_INVALID_AUTHORIZATION,
		       "no PostgreSQL user name specified in startup packet");
		return false;
	}
	if (l->database[0] == '\0')
		snprintf(l->database, sizeof(l->database), "%.63s", l->user);
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
		say(c, &b);
	}
}

/* The process's own user, through the Unix socket, as "pgbouncer" or "pgsluice": comes in without a password. */
static bool
is_own_user(const struct client *c)
{
	struct ucred peer;
	socklen_t n = sizeof(peer);
	return c->is_unix && config_is_console(c->login->user) && config_is_console(c->login->database) &&
	       getsockopt(c->stream.fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) == 0 && peer.uid == getuid();
}

static void login_authenticated(struct client *c);

static bool
is_too_many(struct client *c)
{
	struct proxy *x = c->proxy;
	if (x->client_count < (uint32_t)x->config->settings.max_client_conn)
		return false;
	x->counters.clients_refused++;
	refuse(c, FAULT_BY_PROXY, SQLSTATE_TOO_MANY_CONNECTIONS, "no more connections allowed (max_client_conn)");
	return true;
}

static bool
is_refused_early(struct client *c)
{
	struct proxy *x = c->proxy;
	const struct settings *set = &x->config->settings;
	bool is_console = config_is_console(c->login->database);
	if (set->client_tls_sslmode >= SSLMODE_REQUIRE && !c->stream.ssl && !c->is_unix) {
		refuse(c, FAULT_BY_CLIENT, SQLSTATE_INVALID_AUTHORIZATION, "SSL required");
		return true;
	}
	if (x->state >= PROXY_STOPPING_SERVERS && !is_console) {
		refuse(c, FAULT_BY_PROXY, SQLSTATE_ADMIN_SHUTDOWN, "pooler is shutting down");
		return true;
	}
	return !is_console && is_too_many(c);
}

static void
ask_for_proof(struct client *c)
{
	struct client_login *l = c->login;
	struct proxy *x = c->proxy;
	const struct user_secret *known = users_find(x->users, l->user);
	if (known)
		secret_copy(&known->secret, &l->secret);
	else
		users_mock(x->users, l->user, &l->secret);
	const char *why = NULL;
	l->method = is_own_user(c) ? AUTH_METHOD_TRUST
	                           : auth_method_for(x->config->settings.auth_type, &l->secret, c->is_unix, &why);
	struct buf b = { 0 };
	static const char *const mechanisms[] = { SCRAM_MECHANISM, NULL };
	switch (l->method) {
	case AUTH_METHOD_TRUST:
		login_authenticated(c);
		return;
	case AUTH_METHOD_REJECT:
		log_warning(client_tag(c), "login of \"%s\" rejected: %s", l->user, why);
		refuse(c, FAULT_BY_CLIENT, SQLSTATE_INVALID_AUTHORIZATION, "login rejected");
		return;
	case AUTH_METHOD_CLEARTEXT:
		reply_auth(&b, AUTH_CLEARTEXT_PASSWORD);
		break;
	case AUTH_METHOD_MD5:
		md5_new_salt(l->md5_salt);
		reply_auth_md5(&b, l->md5_salt);
		break;
	case AUTH_METHOD_SCRAM:
		reply_auth_sasl(&b, mechanisms);
		break;
	}
	client_enter(c, CLIENT_AUTH, "asked for a proof");
	say(c, &b);
}

static size_t
on_startup(struct client *c, struct view in)
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
			refuse(c, FAULT_BY_CLIENT, SQLSTATE_PROTOCOL_VIOLATION, "received unencrypted data after GSSENCRequest");
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
		ask_for_proof(c);
		return st.size;
	case STARTUP_OLD_PROTOCOL:
	case STARTUP_NEW_MAJOR:
		snprintf(text, sizeof(text), "unsupported frontend protocol %u.%u: server supports 3.0 to 3.%d", st.major, st.minor,
		         MINOR_MAX);
		refuse(c, FAULT_BY_CLIENT, SQLSTATE_FEATURE_NOT_SUPPORTED, text);
		return in.n;
	case STARTUP_BAD:
		break;
	}
	refuse(c, FAULT_BY_CLIENT, SQLSTATE_PROTOCOL_VIOLATION, "invalid startup packet");
	return in.n;
}

/* ---- authentication ---- */

static void
wrong_password(struct client *c)
{
	char text[200];
	char host[64];
	uint16_t port;
	stream_peer_address(&c->stream, host, sizeof(host), &port);
	c->proxy->counters.logins_failed++;
	log_warning(client_tag(c), "login of \"%s\" from %s failed", c->login->user, host);
	snprintf(text, sizeof(text), "password authentication failed for user \"%s\"", c->login->user);
	refuse(c, FAULT_BY_CLIENT, SQLSTATE_INVALID_PASSWORD, text);
}

static bool
check_scram(struct client *c, struct view body)
{
	struct client_login *l = c->login;
	struct proxy *x = c->proxy;
	struct buf answer = { 0 }, b = { 0 };
	enum scram_result r;
	if (!l->in_sasl) {
		struct sasl_initial initial;
		if (!sasl_initial_read(body, &initial) || strcmp(initial.mechanism, SCRAM_MECHANISM) != 0 || !initial.has_data) {
			refuse(c, FAULT_BY_CLIENT, SQLSTATE_PROTOCOL_VIOLATION, "client selected an invalid SASL authentication mechanism");
			return false;
		}
		l->in_sasl = l->has_scram = true;
		struct scram_binding none = { 0 };
		scram_server_begin(&l->scram, &l->secret, l->user, (uint32_t)x->config->settings.scram_iterations,
		                   x->scram_cache, &none);
		r = scram_server_first(&l->scram, initial.data, &answer);
		reply_auth_sasl_continue(&b, buf_view(&answer));
	} else {
		r = scram_server_final(&l->scram, body, &answer);
		reply_auth_sasl_final(&b, buf_view(&answer));
	}
	buf_free(&answer);
	if (r == SCRAM_OK) {
		bool is_final = l->scram.step == SCRAM_STEP_DONE;
		say(c, &b);
		return is_final;
	}
	buf_free(&b);
	if (r == SCRAM_WRONG_PASSWORD)
		wrong_password(c);
	else
		refuse(c, FAULT_BY_CLIENT, SQLSTATE_PROTOCOL_VIOLATION, scram_result_text(r));
	return false;
}

/* True: the proof is good. */
static bool
check_proof(struct client *c, const struct frame *f)
{
	struct client_login *l = c->login;
	if (l->method == AUTH_METHOD_SCRAM)
		return check_scram(c, f->body);
	const char *password;
	if (!password_read(f->body, &password)) {
		refuse(c, FAULT_BY_CLIENT, SQLSTATE_PROTOCOL_VIOLATION, "malformed PasswordMessage");
		return false;
	}
	bool ok = l->method == AUTH_METHOD_MD5 ? md5_verify(&l->secret, l->user, l->md5_salt, password)
	                                       : password_verify(&l->secret, l->user, password, c->proxy->scram_cache);
	if (!ok)
		wrong_password(c);
	else if (l->method == AUTH_METHOD_CLEARTEXT)
		role_learn_password(proxy_role(c->proxy, l->user), password);
	return ok;
}

static size_t
on_proof(struct client *c, struct view in)
{
	struct frame f;
	enum frame_result r = frame_peek(in, 64 * 1024, &f);
	if (r == FRAME_SHORT)
		return 0;
	if (r == FRAME_BAD || f.type != FE_PASSWORD) {
		refuse(c, FAULT_BY_CLIENT, SQLSTATE_PROTOCOL_VIOLATION, "expected a password response");
		return in.n;
	}
	if (!frame_is_whole(&f))
		return 0;
	uint32_t size = f.size;
	if (check_proof(c, &f) && c->state == CLIENT_AUTH) {
		if (c->login->method == AUTH_METHOD_SCRAM && !c->login->secret.is_mock)
			role_learn_scram(proxy_role(c->proxy, c->login->user), &c->login->scram.keys);
		login_authenticated(c);
	}
	return size;
}

size_t
client_login_on_data(struct client *c, struct view in)
{
	if (c->login == NULL)
		c->login = heap_alloc(sizeof(*c->login));
	size_t at = 0;
	while (at < in.n && (c->state == CLIENT_STARTUP || c->state == CLIENT_AUTH)) {
		struct view left = view_from(in, at);
		size_t used = c->state == CLIENT_STARTUP ? on_startup(c, left) : on_proof(c, left);
		if (used == 0)
			break;
		at += used;
	}
	return at < in.n ? at : in.n;
}

/* ---- in ---- */

/* The console has no server that could judge startup parameters: they are kept as they are, for what they are worth. */
static void
enter_console(struct client *c)
{
	struct client_login *l = c->login;
	struct proxy *x = c->proxy;
	c->is_admin = config_list_has(x->config->settings.admin_users, l->user) || is_own_user(c);
	c->params = params_empty();
	if (l->has_application_name)
		params_replace(&c->params, params_with(c->params, "application_name", l->application_name, true));
	client_enter(c, CLIENT_CONSOLE, "logged in");
	if (x->console == NULL || !x->console->enter(c)) {
		refuse(c, FAULT_BY_CLIENT, SQLSTATE_INVALID_AUTHORIZATION, "not allowed");
		return;
	}
	client_login_free(c);
	cancel_keys_add(x, c);
}

static void
login_authenticated(struct client *c)
{
	struct client_login *l = c->login;
	struct proxy *x = c->proxy;
	char text[160];
	c->role = proxy_role(x, l->user);
	c->role->holders++;
	if (config_is_console(l->database)) {
		enter_console(c);
		return;
	}
	if (is_too_many(c)) /* others have come in since its startup packet */
		return;
	struct database *d = proxy_database(x, l->database);
	if (d == NULL) {
		snprintf(text, sizeof(text), "database \"%s\" does not exist", l->database);
		refuse(c, FAULT_BY_CLIENT, SQLSTATE_INVALID_CATALOG_NAME, text);
		return;
	}
	if (d->is_disabled) {
		snprintf(text, sizeof(text), "database \"%s\" is disabled", d->name);
		refuse(c, FAULT_BY_ADMIN, SQLSTATE_CONNECTION_REJECTED, text);
		return;
	}
	c->database = d;
	d->clients++;
	d->used_us = clock_now_us();
	d->stats.client_logins++;
	c->role->clients++;
	x->client_count++;
	c->pool = proxy_pool(x, d, d->config->user ? proxy_role(x, d->config->user) : c->role);
	c->pool->clients++;
	struct pool_rules rules = config_pool_rules(x->config, d->config, c->role->config);
	if (rules.max_db_client_connections > 0 && d->clients > (uint32_t)rules.max_db_client_connections) {
		refuse(c, FAULT_BY_PROXY, SQLSTATE_TOO_MANY_CONNECTIONS,
		       "client connections exceeded (max_db_client_connections)");
		return;
	}
	if (rules.max_user_client_connections > 0 && c->role->clients > (uint32_t)rules.max_user_client_connections) {
		refuse(c, FAULT_BY_PROXY, SQLSTATE_TOO_MANY_CONNECTIONS,
		       "client connections exceeded (max_user_client_connections)");
		return;
	}
	login_finish(c);
}

/* ---- parameters ---- */

void
client_login_forget_learned(struct pool *p)
{
	struct learned *all = p->learned, *one, *after;
	HASH_ITER(hh, all, one, after)
	{
		HASH_DEL(all, one);
		params_unref(one->params);
		heap_free(one);
	}
	p->learned = NULL;
}

static struct learned *
learned_find(const struct pool *p, const struct buf *pairs)
{
	struct learned *all = p->learned, *one;
	HASH_FIND(hh, all, pairs->p, pairs->n, one);
	return one;
}

static void
learned_add(struct pool *p, const struct buf *pairs, struct params *params)
{
	struct learned *all = p->learned;
	if (HASH_COUNT(all) >= LEARNED_MAX) /* somebody makes them up; start again */
		client_login_forget_learned(p);
	all = p->learned;
	struct learned *one = heap_alloc(sizeof(*one) + pairs->n);
	one->params = params_ref(params);
	one->bytes = pairs->n;
	memcpy(one->pairs, pairs->p, pairs->n);
	HASH_ADD_KEYPTR(hh, all, one->pairs, one->bytes, one);
	p->learned = all;
}

static bool
next_pair(const struct buf *pairs, size_t *at, const char **name, const char **value)
{
	if (*at >= pairs->n)
		return false;
	*name = (const char *)pairs->p + *at;
	*value = *name + strlen(*name) + 1;
	*at = (size_t)(*value + strlen(*value) + 1 - (const char *)pairs->p);
	return true;
}

/* Parameters that ask for what a fresh session has anyway need no judgement. */
static void
skip_usual_pairs(struct client *c)
{
	struct buf left = { 0 };
	size_t at = 0;
	const char *name, *value;
	while (next_pair(&c->login->pairs, &at, &name, &value)) {
		const char *usual = params_value(c->pool->base, name);
		if (usual && strcmp(usual, value) == 0)
			continue;
		if (usual && strcmp(name, "client_encoding") == 0 && strcasecmp(usual, value) == 0)
			continue; /* names of encodings have no case */
		buf_add_string(&left, name);
		buf_add_string(&left, value);
	}
	buf_free(&c->login->pairs);
	c->login->pairs = left;
}

static void
add_host_to_name(struct client *c)
{
	struct client_login *l = c->login;
	char host[64], from[80];
	uint16_t port;
	stream_peer_address(&c->stream, host, sizeof(host), &port);
	int n = snprintf(from, sizeof(from), "%s%s:%u", l->application_name[0] ? " - " : "", host, port);
	size_t at = strlen(l->application_name);
	if (at + (size_t)n > APPLICATION_NAME_MAX) /* the end of the name gives way, not the address */
		at = APPLICATION_NAME_MAX - (size_t)n;
	memcpy(l->application_name + at, from, (size_t)n + 1);
	l->has_application_name = true;
}

static void
take_params(struct client *c, struct params *from)
{
	struct client_login *l = c->login;
	if (c->proxy->config->settings.application_name_add_host)
		add_host_to_name(c);
	struct params *p = params_ref(from);
	if (l->has_application_name)
		params_replace(&p, params_with(p, "application_name", l->application_name, true));
	params_replace(&c->params, p);
	params_replace(&c->params_at_login, params_ref(p));
}

/* The facts a client of this lane is told, or NULL: no server has told them yet. */
static const struct welcome *
welcome_for(const struct client *c)
{
	return c->pool->welcome[c->lane];
}

static void
send_welcome(struct client *c, const struct welcome *w)
{
	struct buf b = { 0 };
	reply_auth(&b, AUTH_OK);
	buf_add(&b, buf_view(&w->facts));
	uint32_t at = 0;
	struct param param;
	while (params_next(c->params, &at, &param))
		if (param.is_reported)
			reply_parameter_status(&b, param.name, param.value);
	uint8_t key[CANCEL_KEY_BYTES];
	size_t n = client_cancel_key(c, key);
	reply_backend_key(&b, c->id, view_of(key, n));
	const char *message = c->proxy->config->settings.login_notify_message;
	if (message[0])
		reply_notice(&b, "NOTICE", &(struct fault){ .sqlstate = SQLSTATE_OK, .text = message });
	reply_ready(&b, 'I');
	say(c, &b);
}

static void
let_in(struct client *c)
{
	const struct welcome *w = welcome_for(c);
	if (w == NULL) /* reads that fall back to the leader, or the other way round */
		w = c->pool->welcome[c->lane == LANE_READ ? LANE_WRITE : LANE_READ];
	must(w != NULL);
	send_welcome(c, w);
	if (c->proxy->config->settings.log_connections) {
		char host[64], tls[100];
		uint16_t port;
		stream_peer_address(&c->stream, host, sizeof(host), &port);
		stream_describe_tls(&c->stream, tls, sizeof(tls));
		log_info(client_tag(c), "login pool=%s/%s from=%s:%u lane=%s%s%s", c->database->name, c->role->name, host, port,
		         lane_name(c->lane), tls[0] ? " tls=" : "", tls);
	}
	client_login_free(c);
	cancel_keys_add(c->proxy, c);
	client_enter(c, CLIENT_IDLE, "logged in");
	stream_resume(&c->stream);
}

/* With all that is known now: in, or to a server first. */
static void
login_finish(struct client *c)
{
	struct pool *p = c->pool;
	struct client_login *l = c->login;
	if (p->base && (welcome_for(c) || c->link)) {
		skip_usual_pairs(c);
		struct learned *known = l->pairs.n > 0 ? learned_find(p, &l->pairs) : NULL;
		if (l->pairs.n == 0 || known) {
			take_params(c, known ? known->params : p->base);
			if (c->link) {
				struct server *s = c->link;
				client_enter(c, CLIENT_LEARNING, "nothing to learn");
				let_in(c);
				link_give_back(s);
			} else {
				let_in(c);
			}
			return;
		}
	}
	if (c->link == NULL) {
		client_enter(c, CLIENT_WELCOME, "needs a server to log in");
		pool_wait(p, &c->waiter, c->lane, clock_now_us());
		stream_pause_watching(&c->stream);
		proxy_dirty(c->proxy, p);
		return;
	}
	/* Try them on this server, from the state of a fresh session. */
	struct server *s = c->link;
	struct buf sql = { 0 }, b = { 0 };
	params_difference(s->params, p->base, &sql);
	size_t at = 0;
	const char *name, *value;
	while (next_pair(&l->pairs, &at, &name, &value))
		params_add_set(&sql, name, value, false);
	buf_add_u8(&sql, 0);
	request_query(&b, (const char *)sql.p);
	owed_push(&s->owed, (struct owed_item){ .what = OWED_QUERY, .to = OWED_TO_NOBODY });
	s->question_failed = false;
	stream_put(&s->stream, buf_view(&b));
	buf_free(&b);
	buf_free(&sql);
	client_enter(c, CLIENT_LEARNING, "a server judges its startup parameters");
}

void
client_login_on_link(struct client *c)
{
	login_finish(c);
}

void
client_login_learned(struct client *c, const char *sqlstate, const char *error)
{
	struct server *s = c->link;
	struct client_login *l = c->login;
	if (error) {
		char text[200];
		snprintf(text, sizeof(text), "%s", error);
		refuse(c, FAULT_BY_CLIENT, sqlstate, text);
		return;
	}
	/* What was asked for without being reported lasts as it was asked. */
	params_replace(&s->params, params_without_unreported(s->params));
	size_t at = 0;
	const char *name, *value;
	while (next_pair(&l->pairs, &at, &name, &value))
		if (params_value(s->params, name) == NULL)
			params_replace(&s->params, params_with(s->params, name, value, false));
	learned_add(c->pool, &l->pairs, s->params);
	take_params(c, s->params);
	let_in(c);
	link_give_back(s);
}
