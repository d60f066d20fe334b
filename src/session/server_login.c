/*
 * session/server_login.c - from a member's name to a server connection that is ready for its first client.
 *
 *   server_reach: resolve ─► connect (each address in turn) ─► [SSLRequest ─► TLS] ─► StartupMessage ─► authentication ─► ReadyForQuery
 *     ─► [pg_is_in_recovery(), where the server does not report it] ─► [connect_query] ─► idle
 *
 * What is true only during login lives in s->login and is freed with it.
 * Source: PostgreSQL 16, 55.2.1 Start-up, 55.2.10 SSL Session Encryption, 55.3 SASL Authentication.
 */
#include <stdio.h>
#include <string.h>

#include "auth/method.h"
#include "base/clock.h"
#include "base/heap.h"
#include "base/log.h"
#include "cluster/topology.h"
#include "session/auth_query.h"
#include "session/client.h"
#include "session/hold.h"
#include "session/listener.h"
#include "session/replication.h"
#include "session/role_keys.h"
#include "session/server.h"
#include "session/server_reach.h"
#include "wire/reply.h"
#include "wire/request.h"

struct server_login {
	struct reach reach;
	char host[MEMBER_HOST_MAX];
	uint16_t port;
	struct scram_client scram;
	bool has_scram;
	uint32_t teachings; /* the role's, when what is known of its password was shown */
	bool is_authenticated;
	bool asked_recovery, ran_connect_query, asked_base;
	struct buf facts; /* ParameterStatus messages for those who log in to this pool */
};

/* ---- failing ---- */

enum login_failure {
	LOGIN_UNREACHABLE, /* refused, timed out, shutting down: the member's trouble */
	LOGIN_BUSY,        /* no connection left on the server */
	LOGIN_REFUSED,     /* no such database, TLS: it will be the same next time */
	LOGIN_WRONG_SECRET, /* the same, and what is known of the role's password is doubtful */
	LOGIN_OUTDATED,    /* what it was begun with has been replaced meanwhile: try again with that */
};

enum { RETRY_LEAST_US = 10 * 1000 };

/*
 * A plain host that has served this pool before, and is not there: most likely it is restarted. Who waits goes on waiting, as he
 * would for a leader.
 */
static bool
may_come_back(const struct pool *p)
{
	uint64_t limit_us = p->rules.failover_hold_timeout_us;
	return p->base && (limit_us == 0 || clock_now_us() - p->unreachable_us <= limit_us);
}

static uint64_t
retry_after(const struct server *s, enum login_failure how)
{
	uint64_t retry = s->proxy->config->settings.server_login_retry_us;
	if (retry < RETRY_LEAST_US) /* 0 would try again within the same turn, and for ever */
		retry = RETRY_LEAST_US;
	if (how == LOGIN_REFUSED || (s->pool->database->load->topology->is_plain && !may_come_back(s->pool)))
		return retry;
	/* A member that comes back, or is being promoted, is wanted at once. */
	uint32_t failures = s->slot.at->failures;
	uint64_t pause = (UINT64_C(100) << (failures > 4 ? 4 : failures)) * MILLISECOND_US;
	if (pause > SECOND_US)
		pause = SECOND_US;
	return pause < retry ? pause : retry;
}

void
server_login_back_off(struct server *s)
{
	struct pool_member *at = s->slot.at;
	if (at->retry_us <= clock_now_us()) {
		at->retry_us = clock_now_us() + retry_after(s, LOGIN_UNREACHABLE);
		at->failures++;
	}
}

/*
 * The password was changed, or the role was dropped. A replica may merely be behind, and its word is not taken. The next
 * login of a client teaches what is right now.
 */
static enum login_failure
doubt_secret(struct server *s)
{
	const struct topology *t = s->pool->database->load->topology;
	const struct member *leader = topology_leader(t);
	struct role *r = s->pool->role;
	if (s->login->teachings != r->teachings) /* a replication client has read the error already */
		return s->replication ? LOGIN_REFUSED : LOGIN_OUTDATED;
	if (t->is_plain || (leader && leader->id == s->slot.at->id)) {
		auth_query_forget(s->proxy, r->name);
		const char *cluster = cluster_name(s->pool->database->load->cluster);
		if (role_knows_looked_up(r, cluster))
			role_forget(r, cluster);
	}
	return LOGIN_REFUSED;
}

static void
login_failed(struct server *s, enum login_failure how, const char *sqlstate, const char *why)
{
	if (how == LOGIN_WRONG_SECRET)
		how = doubt_secret(s);
	struct pool *p = s->pool;
	struct pool_member *at = s->slot.at;
	char text[256];
	bool is_plain = p->database->load->topology->is_plain;
	bool may_try_again = how == LOGIN_OUTDATED || (how == LOGIN_UNREACHABLE && !is_plain);
	snprintf(text, sizeof(text), "%s", why);
	s->proxy->counters.servers_failed++;
	if (how != LOGIN_UNREACHABLE)
		p->unreachable_us = 0;
	else if (p->unreachable_us == 0)
		p->unreachable_us = clock_now_us();
	/* What is refused to replication may be granted to others. */
	if (how != LOGIN_OUTDATED && (!s->replication || may_try_again)) {
		at->retry_us = clock_now_us() + retry_after(s, how);
		at->failures++;
	}
	if (how == LOGIN_UNREACHABLE)
		hold_report(p->database->load, at->id, SESSION_REFUSED);
	if (!s->replication && (how == LOGIN_REFUSED || (how == LOGIN_UNREACHABLE && is_plain && !may_come_back(p)))) {
		heap_free(p->refusal);
		p->refusal = heap_string(text);
		snprintf(p->refusal_state, sizeof(p->refusal_state), "%s", sqlstate);
	}
	log_warning(server_tag(s), "login to %s:%u as %s/%s failed: %s", s->login->host, s->login->port,
	            p->database->name, p->role->name, text);
	if (s->replication)
		replication_on_failure(s, may_try_again, sqlstate, text);
	server_close(s, FAULT_BY_SERVER, text);
}

void
server_login_unreachable(struct server *s, const char *why)
{
	login_failed(s, LOGIN_UNREACHABLE, SQLSTATE_CONNECTION_FAILURE, why);
}

/* ---- connected ---- */

void
server_login_begin(struct server *s)
{
	struct server_login *l = s->login = heap_alloc(sizeof(*l));
	const struct member *m = topology_member(s->pool->database->load->topology, s->slot.at->id);
	if (m == NULL) {
		login_failed(s, LOGIN_UNREACHABLE, SQLSTATE_CONNECTION_FAILURE, "member has left the cluster");
		return;
	}
	snprintf(l->host, sizeof(l->host), "%s", m->host);
	l->port = m->port;
	l->teachings = s->pool->role->teachings;
	reach_begin(&l->reach, s, l->host, l->port);
}

void
server_login_free(struct server *s)
{
	struct server_login *l = s->login;
	if (l == NULL)
		return;
	s->login = NULL;
	reach_fini(&l->reach);
	if (l->has_scram)
		scram_client_fini(&l->scram);
	buf_free(&l->facts);
	heap_free(l);
}

static void
send_startup(struct server *s)
{
	const struct database *d = s->pool->database;
	const struct database_config *config = d->config;
	const char *pairs[16];
	unsigned n = 0;
	const struct {
		const char *name, *value;
	} given[] = {
		{ "user", s->pool->role->name },
		{ "database", config->dbname ? config->dbname : d->name },
		{ "client_encoding", config->client_encoding },
		{ "DateStyle", config->datestyle },
		{ "TimeZone", config->timezone },
		{ "application_name", config->application_name },
	};
	for (size_t i = 0; i < sizeof(given) / sizeof(given[0]); i++)
		if (given[i].value) {
			pairs[n++] = given[i].name;
			pairs[n++] = given[i].value;
		}
	pairs[n] = NULL;
	struct buf b = { 0 };
	if (s->replication)
		replication_add_startup(s, &b);
	else
		request_startup(&b, 0, pairs);
	server_enter(s, SERVER_LOGIN, "connected");
	stream_put(&s->stream, buf_view(&b));
	buf_free(&b);
}

static void
start_tls(struct server *s)
{
	if (s->proxy->access.tls_servers == NULL)
		login_failed(s, LOGIN_OUTDATED, SQLSTATE_CONNECTION_FAILURE, "a reload switched TLS off meanwhile");
	else if (!stream_start_tls_client(&s->stream, s->proxy->access.tls_servers, s->login->host,
	                                  access_checks(s->pool->rules.sslmode), server_tls_is_direct(s->proxy)))
		login_failed(s, LOGIN_REFUSED, SQLSTATE_CONNECTION_FAILURE, "TLS could not be started");
}

static void
ask_for_tls(struct server *s)
{
	struct buf b = { 0 };
	server_enter(s, SERVER_TLS, "asking for TLS");
	if (server_tls_is_direct(s->proxy)) {
		start_tls(s);
		return;
	}
	request_ssl(&b);
	stream_put(&s->stream, buf_view(&b));
	buf_free(&b);
}

void
server_login_on_open(struct server *s)
{
	reach_connected(&s->login->reach);
	bool is_tls = s->stream.ssl != NULL;
	if (!is_tls && s->address.ss_family != AF_UNIX && s->pool->rules.sslmode != SSLMODE_DISABLE) {
		ask_for_tls(s);
		return;
	}
	if (is_tls && server_tls_is_direct(s->proxy) && !stream_has_alpn(&s->stream)) {
		login_failed(s, LOGIN_REFUSED, SQLSTATE_PROTOCOL_VIOLATION,
		             "server took TLS without an SSLRequest, but not PostgreSQL's protocol in it (ALPN)");
		return;
	}
	send_startup(s);
}

void
server_login_on_end(struct server *s, enum stream_end why, const char *text)
{
	char said[200];
	if (why == STREAM_END_REFUSED) {
		stream_close(&s->stream);
		reach_refused(&s->login->reach, text);
		return;
	}
	if (why != STREAM_END_TLS)
		reach_broke(&s->login->reach);
	snprintf(said, sizeof(said), "%s%s", why == STREAM_END_TLS ? "TLS: " : "", text);
	login_failed(s, why == STREAM_END_TLS ? LOGIN_REFUSED : LOGIN_UNREACHABLE, SQLSTATE_CONNECTION_FAILURE, said);
}

/* The one byte that answers an SSLRequest. Anything behind it was put there by somebody else. */
static void
on_tls_answer(struct server *s, struct view in)
{
	if (in.p[0] == 'E') { /* it could not even fork; its words come from anybody, and are not repeated */
		login_failed(s, LOGIN_UNREACHABLE, SQLSTATE_CONNECTION_FAILURE, "server answered an SSLRequest with an error");
		return;
	}
	if (in.n != 1 || (in.p[0] != 'S' && in.p[0] != 'N')) {
		login_failed(s, LOGIN_REFUSED, SQLSTATE_PROTOCOL_VIOLATION, "server answered an SSLRequest with something else");
		return;
	}
	if (in.p[0] == 'S') {
		start_tls(s);
		return;
	}
	if (s->pool->rules.sslmode >= SSLMODE_REQUIRE) {
		login_failed(s, LOGIN_REFUSED, SQLSTATE_CONNECTION_FAILURE,
		             "server does not offer TLS, and server_tls_sslmode demands it");
		return;
	}
	send_startup(s);
}

/* ---- authentication ---- */

static void
answer_with(struct server *s, struct buf *b)
{
	stream_put(&s->stream, buf_view(b));
	if (b->p)
		explicit_bzero(b->p, b->n);
	buf_free(b);
}

static bool
start_scram(struct server *s, const struct server_credentials *have, bool by_password, const struct scram_binding *binding)
{
	struct server_login *l = s->login;
	struct buf first = { 0 }, b = { 0 };
	if (l->has_scram)
		scram_client_fini(&l->scram);
	if (by_password)
		scram_client_begin_password(&l->scram, have->password, binding);
	else
		scram_client_begin_keys(&l->scram, have->keys, binding);
	l->has_scram = true;
	if (scram_client_first(&l->scram, &first) != SCRAM_OK) {
		buf_free(&first);
		return false;
	}
	request_sasl_initial(&b, binding->is_used ? SCRAM_MECHANISM_PLUS : SCRAM_MECHANISM, buf_view(&first));
	buf_free(&first);
	answer_with(s, &b);
	return true;
}

static bool
on_sasl(struct server *s, uint32_t request, struct view rest)
{
	struct server_login *l = s->login;
	struct buf message = { 0 }, b = { 0 };
	enum scram_result r = SCRAM_BAD_MESSAGE;
	if (l->has_scram)
		r = request == AUTH_SASL_CONTINUE ? scram_client_final(&l->scram, rest, s->proxy->scram_cache, &message)
		                                  : scram_client_verify(&l->scram, rest);
	if (r != SCRAM_OK) {
		buf_free(&message);
		login_failed(s, r == SCRAM_WRONG_SALT ? LOGIN_WRONG_SECRET : LOGIN_REFUSED, SQLSTATE_INVALID_AUTHORIZATION,
		             scram_result_text(r));
		return false;
	}
	if (request == AUTH_SASL_CONTINUE) {
		request_sasl_response(&b, buf_view(&message));
		answer_with(s, &b);
	}
	buf_free(&message);
	return true;
}

static bool
on_authentication(struct server *s, const struct frame *f)
{
	uint32_t request;
	struct view rest;
	if (!auth_read(f->body, &request, &rest)) {
		login_failed(s, LOGIN_REFUSED, SQLSTATE_PROTOCOL_VIOLATION, "malformed Authentication message");
		return false;
	}
	if (request == AUTH_OK) {
		/* A server that breaks SCRAM off has not shown that it knows the password either. */
		if (s->login->has_scram && s->login->scram.step != SCRAM_STEP_DONE) {
			login_failed(s, LOGIN_REFUSED, SQLSTATE_INVALID_AUTHORIZATION, "server did not finish the SCRAM exchange");
			return false;
		}
		bool is_bound = s->login->has_scram && s->login->scram.binding.is_used;
		if (s->pool->rules.channel_binding == CHANNEL_BINDING_REQUIRE && !is_bound) {
			login_failed(s, LOGIN_REFUSED, SQLSTATE_INVALID_AUTHORIZATION,
			             "channel binding is required (server_channel_binding), but the server asks for no proof");
			return false;
		}
		s->login->is_authenticated = true;
		return true;
	}
	if (request == AUTH_SASL_CONTINUE || request == AUTH_SASL_FINAL)
		return on_sasl(s, request, rest);

	struct server_credentials have = role_credentials(s->proxy, s->pool->database, s->pool->role);
	s->login->teachings = s->pool->role->teachings;
	char reason[240];
	struct text why = TEXT_IN(reason);
	struct buf b = { 0 };
	char md5[MD5_TEXT_SIZE];
	uint8_t hash[TLS_HASH_MAX];
	size_t hash_bytes = request == AUTH_SASL ? stream_binding_hash(&s->stream, hash) : 0;
	struct scram_binding binding;
	const struct server_channel channel = { .wanted = s->pool->rules.channel_binding, .is_tls = s->stream.ssl != NULL,
		                                .has_hash = hash_bytes > 0 };
	switch (server_answer(request, rest, &have, &channel, &binding, &why)) {
	case SERVER_ANSWER_NOTHING:
		return true;
	case SERVER_ANSWER_PASSWORD:
		request_password(&b, have.password);
		answer_with(s, &b);
		return true;
	case SERVER_ANSWER_MD5:
		if (!server_answer_md5(rest, &have, md5)) {
			text_add(&why, "MD5 is not available");
			break;
		}
		request_password(&b, md5);
		answer_with(s, &b);
		return true;
	case SERVER_ANSWER_SCRAM_PASSWORD:
	case SERVER_ANSWER_SCRAM_KEYS:
		binding.hash_bytes = hash_bytes;
		memcpy(binding.hash, hash, hash_bytes);
		if (start_scram(s, &have, have.password != NULL, &binding))
			return true;
		text_add(&why, "SCRAM could not be started");
		break;
	case SERVER_ANSWER_NONE:
		break;
	}
	login_failed(s, LOGIN_REFUSED, SQLSTATE_INVALID_AUTHORIZATION, reason);
	return false;
}

/* ---- what the server tells at login and later ---- */

void
server_parameter(struct server *s, const char *name, const char *value)
{
	if (strcmp(name, "in_hot_standby") == 0) {
		bool is_standby = strcmp(value, "on") == 0;
		s->knows_role = true;
		s->slot.is_standby = is_standby;
		hold_report(s->pool->database->load, s->slot.at->id,
		                       is_standby ? SESSION_IN_RECOVERY : SESSION_WRITABLE);
	}
	if (!param_is_fact(name))
		params_replace(&s->params, params_with(s->params, name, value, true));
	else if (s->login)
		reply_parameter_status(&s->login->facts, name, value);
}

static void
on_error(struct server *s, const struct frame *f)
{
	struct error_fields e = { 0 };
	if (!error_read(f->body, &e) || e.message == NULL) {
		login_failed(s, LOGIN_REFUSED, SQLSTATE_PROTOCOL_VIOLATION, "malformed ErrorResponse");
		return;
	}
	const char *state = e.sqlstate ? e.sqlstate : SQLSTATE_INTERNAL_ERROR;
	enum login_failure how = LOGIN_REFUSED;
	if (strncmp(state, "57P0", 4) == 0)
		how = LOGIN_UNREACHABLE; /* starting up, shutting down */
	else if (strcmp(state, SQLSTATE_TOO_MANY_CONNECTIONS) == 0)
		how = s->pool->servers > 1 ? LOGIN_BUSY : LOGIN_REFUSED;
	else if (strcmp(state, SQLSTATE_INVALID_PASSWORD) == 0)
		how = LOGIN_WRONG_SECRET;
	if (s->replication && (how != LOGIN_UNREACHABLE || s->pool->database->load->topology->is_plain)) {
		client_send(s->link, view_of(f->body.p - FRAME_HEAD_BYTES, f->size)); /* word for word */
		s->is_dying = true;
	}
	login_failed(s, how, state, e.message);
}

static bool
login_run(struct server *s, const struct frame *f)
{
	const char *name, *value;
	char status;
	struct view key;
	switch (f->type) {
	case BE_AUTHENTICATION:
		return on_authentication(s, f);
	case BE_PARAMETER_STATUS:
		if (!parameter_status_read(f->body, &name, &value))
			break;
		server_parameter(s, name, value);
		return true;
	case BE_BACKEND_KEY_DATA:
		if (!backend_key_read(f->body, &s->pid, &key))
			break;
		buf_clear(&s->key);
		buf_add(&s->key, key);
		return true;
	case BE_NOTICE_RESPONSE:
	case BE_NEGOTIATE_PROTOCOL_VERSION:
		return true;
	case BE_ERROR_RESPONSE:
		on_error(s, f);
		return false;
	case BE_READY_FOR_QUERY:
		if (!ready_read(f->body, &status) || status != 'I' || !s->login->is_authenticated)
			break;
		server_login_next(s);
		return false; /* what follows belongs to the next state */
	default:
		break;
	}
	char text[100];
	snprintf(text, sizeof(text), "unexpected %s during login", be_message_name(f->type));
	login_failed(s, LOGIN_REFUSED, SQLSTATE_PROTOCOL_VIOLATION, text);
	return false;
}

size_t
server_login_on_data(struct server *s, struct view in)
{
	if (s->state == SERVER_TLS) {
		on_tls_answer(s, in);
		return in.n;
	}
	size_t at = 0;
	while (at < in.n && s->state == SERVER_LOGIN) {
		struct frame f;
		enum frame_result r = frame_peek(view_from(in, at), 64 * 1024, &f);
		if (r == FRAME_BAD) {
			login_failed(s, LOGIN_REFUSED, SQLSTATE_PROTOCOL_VIOLATION, "it does not speak PostgreSQL's protocol");
			break;
		}
		if (r == FRAME_SHORT || !frame_is_whole(&f))
			break;
		at += f.size;
		if (!login_run(s, &f))
			break;
	}
	return at;
}

/* ---- ready ---- */

static void
welcome_put(struct welcome **at, const struct buf *facts)
{
	if (*at == NULL)
		*at = heap_alloc(sizeof(**at));
	buf_clear(&(*at)->facts);
	buf_add(&(*at)->facts, buf_view(facts));
}

static void
log_ready(const struct server *s)
{
	if (s->proxy->config->settings.log_connections)
		log_info(server_tag(s), "ready pool=%s/%s server=%s:%u pid=%u role=%s%s", s->pool->database->name,
		         s->pool->role->name, s->login->host, s->login->port, s->pid, s->slot.is_standby ? "standby" : "primary",
		         s->replication ? " replication" : s->listener ? " listener" : "");
}

static void
teach_pool(struct server *s)
{
	struct pool *p = s->pool;
	const struct topology *t = p->database->load->topology;
	if (t->is_plain || !s->slot.is_standby)
		welcome_put(&p->welcome[LANE_WRITE], &s->login->facts);
	if (t->is_plain || s->slot.is_standby)
		welcome_put(&p->welcome[LANE_READ], &s->login->facts);
	if (p->base != s->params) {
		params_replace(&p->base, params_ref(s->params));
		client_login_forget_learned(p);
	}
	heap_free(p->refusal);
	p->refusal = NULL;
	p->unreachable_us = 0;
	s->slot.at->failures = 0;
	s->slot.at->retry_us = 0;
}

void
server_login_next(struct server *s)
{
	struct server_login *l = s->login;
	const char *connect_query = s->pool->database->config->connect_query;
	if (s->replication) { /* nothing is asked, and nobody learns from it: its parameters are its client's */
		reach_done(&l->reach);
		log_ready(s);
		replication_on_ready(s, &(struct welcome){ .facts = l->facts });
		server_login_free(s);
		return;
	}
	if (!s->knows_role && !l->asked_recovery && !s->pool->database->load->topology->is_plain) {
		l->asked_recovery = true;
		server_ask(s, QUESTION_RECOVERY, "SELECT pg_catalog.pg_is_in_recovery()");
		return;
	}
	if (l->asked_recovery && s->question == QUESTION_RECOVERY)
		hold_report(s->pool->database->load, s->slot.at->id,
		                       s->slot.is_standby ? SESSION_IN_RECOVERY : SESSION_WRITABLE);
	if (connect_query && !l->ran_connect_query) {
		l->ran_connect_query = true;
		server_ask(s, QUESTION_CONNECT, connect_query);
		return;
	}
	if (connect_query && !l->asked_base && s->pool->rules.pool_mode != POOL_MODE_SESSION) {
		l->asked_base = true;
		server_ask(s, QUESTION_BASE, "SELECT name, setting FROM pg_catalog.pg_settings WHERE source = 'session'");
		return;
	}
	reach_done(&l->reach);
	log_ready(s);
	teach_pool(s);
	server_login_free(s);
	if (s->listener) {
		listener_on_login(s);
		return;
	}
	s->slot.born_us = clock_now_us();
	server_release(s);
}
