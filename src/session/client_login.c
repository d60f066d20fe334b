/*
 * session/client_login.c - from a client's first byte to its first ReadyForQuery.
 *
 *   [PROXY header] ─► [SSLRequest ─► TLS] ─► StartupMessage ─► authentication ─► limits ─► pool ─► parameters ─► welcome
 *   └───────── client_startup.c ────────┘   client_auth.c     └────────────── here ──────────────────┘
 *
 * Startup parameters that equal a fresh session's need nothing; others are tried on a server once, which makes them
 * canonical or refuses them; the verdict is remembered per pool (pool->learned). A replication connection has a server of
 * its own, which is told all of them when it is opened (session/replication.c).
 * What is true only during login lives in c->login and is freed with it.
 */
#include "session/client_login.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/heap.h"
#include "base/log.h"
#include "session/cancel.h"
#include "session/link.h"
#include "session/role_keys.h"
#include "session/server.h"
#include "wire/reply.h"
#include "wire/request.h"

enum { LEARNED_MAX = 1000 };

/* Startup parameters that a server of this pool has judged. */
struct learned {
	UT_hash_handle hh;
	struct params *params; /* what the session came to */
	size_t bytes;
	uint8_t pairs[];
};

static void login_finish(struct client *c);
static void wait_for_own(struct client *c);

void
client_login_begin(struct client *c)
{
	c->login = heap_alloc(sizeof(*c->login));
	c->login->client = c;
	list_append(&c->proxy->logins, &c->login->node);
}

void
client_login_free(struct client *c)
{
	struct client_login *l = c->login;
	if (l == NULL)
		return;
	c->login = NULL;
	node_remove(&l->node);
	must(l->asking.place == NULL);
	if (l->has_scram)
		scram_server_fini(&l->scram);
	secret_free(&l->secret);
	buf_free(&l->pairs);
	heap_free(l);
}

void
client_login_leave(struct client *c)
{
	auth_query_leave(&c->login->asking);
}

void
login_refuse(struct client *c, enum fault_by by, const char *sqlstate, const char *text)
{
	client_fail(c, &(struct fault){ .by = by, .sqlstate = sqlstate, .text = text });
}

void
login_say(struct client *c, struct buf *b)
{
	client_send(c, buf_view(b));
	buf_free(b);
}

size_t
client_login_on_data(struct client *c, struct view in)
{
	if (!c->login->has_spoken) {
		c->login->has_spoken = true;
		c->login->needs_header = login_needs_header(c);
	}
	size_t at = 0;
	while (at < in.n && (c->state == CLIENT_STARTUP || c->state == CLIENT_AUTH)) {
		struct view left = view_from(in, at);
		size_t used = c->login->needs_header         ? login_on_header(c, left)
		              : c->state == CLIENT_STARTUP ? login_on_startup(c, left)
		                                           : login_on_proof(c, left);
		if (used == 0)
			break;
		at += used;
	}
	return at < in.n ? at : in.n;
}

/* ---- in ---- */

bool
login_is_too_many(struct client *c)
{
	struct proxy *x = c->proxy;
	if (x->client_count < (uint32_t)x->config->settings.max_client_conn)
		return false;
	x->counters.clients_refused++;
	login_refuse(c, FAULT_BY_PROXY, SQLSTATE_TOO_MANY_CONNECTIONS, "no more connections allowed (max_client_conn)");
	return true;
}

/* The console has no server that could judge startup parameters: they are kept as they are, for what they are worth. */
static void
enter_console(struct client *c)
{
	struct client_login *l = c->login;
	struct proxy *x = c->proxy;
	c->is_admin = config_list_has(x->config->settings.admin_users, l->user) || login_is_own_user(c);
	c->params = params_empty();
	if (l->has_application_name)
		params_replace(&c->params, params_with(c->params, "application_name", l->application_name, true));
	client_enter(c, CLIENT_CONSOLE, "logged in");
	if (x->console == NULL || !x->console->enter(c)) {
		login_refuse(c, FAULT_BY_CLIENT, SQLSTATE_INVALID_AUTHORIZATION, "not allowed");
		return;
	}
	client_login_free(c);
	cancel_keys_add(x, c);
}

void
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
	if (login_is_too_many(c)) /* others have come in since its startup packet */
		return;
	struct database *d = proxy_database(x, l->database);
	if (d == NULL) {
		snprintf(text, sizeof(text), "database \"%s\" does not exist", l->database);
		client_fail(c, &(struct fault){
			.by = FAULT_BY_CLIENT, .sqlstate = SQLSTATE_INVALID_CATALOG_NAME, .text = text,
			.hint = l->replication == REPLICATION_PHYSICAL
			        ? "Physical replication needs an entry \"" REPLICATION_DATABASE "\", or *, in [databases]."
			        : NULL });
		return;
	}
	if (d->is_disabled) {
		snprintf(text, sizeof(text), "database \"%s\" is disabled", d->name);
		login_refuse(c, FAULT_BY_ADMIN, SQLSTATE_CONNECTION_REJECTED, text);
		return;
	}
	if (l->way == AUTH_TYPE_ANY && d->config->user == NULL) { /* else whoever says so is anybody */
		log_warning(client_tag(c), "auth_type = any: database \"%s\" does not say as whom (user=)", d->name);
		login_refuse(c, FAULT_BY_PROXY, SQLSTATE_PROTOCOL_VIOLATION, "bouncer config error");
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
		login_refuse(c, FAULT_BY_PROXY, SQLSTATE_TOO_MANY_CONNECTIONS,
		       "client connections exceeded (max_db_client_connections)");
		return;
	}
	if (rules.max_user_client_connections > 0 && c->role->clients > (uint32_t)rules.max_user_client_connections) {
		login_refuse(c, FAULT_BY_PROXY, SQLSTATE_TOO_MANY_CONNECTIONS,
		       "client connections exceeded (max_user_client_connections)");
		return;
	}
	if (l->replication != REPLICATION_NONE)
		wait_for_own(c);
	else
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

bool
login_next_pair(const struct buf *pairs, size_t *at, const char **name, const char **value)
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
	while (login_next_pair(&c->login->pairs, &at, &name, &value)) {
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
	client_address_text(c, host, sizeof(host), &port);
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
	uint32_t pid = client_cancel_pid(c);
	size_t n = client_cancel_key(c, pid, key);
	reply_backend_key(&b, pid, view_of(key, n));
	const char *message = c->proxy->config->settings.login_notify_message;
	if (message[0])
		reply_notice(&b, "NOTICE", &(struct fault){ .sqlstate = SQLSTATE_OK, .text = message });
	reply_ready(&b, 'I');
	login_say(c, &b);
}

static void
describe_balancer(const struct client *c, char *text, size_t room)
{
	char host[64];
	uint16_t port;
	text[0] = '\0';
	if (!c->is_proxied)
		return;
	stream_peer_address(&c->stream, host, sizeof(host), &port);
	snprintf(text, room, " via=%s", host);
}

static void
log_login(const struct client *c)
{
	if (c->proxy->config->settings.log_connections) {
		char host[64], via[80], tls[100];
		uint16_t port;
		client_address_text(c, host, sizeof(host), &port);
		describe_balancer(c, via, sizeof(via));
		stream_describe_tls(&c->stream, tls, sizeof(tls));
		bool is_replication = c->login->replication != REPLICATION_NONE;
		log_info(client_tag(c), "login pool=%s/%s from=%s:%u%s lane=%s%s%s%s%s", c->database->name, c->role->name, host, port,
		         via, lane_name(c->lane), tls[0] ? " tls=" : "", tls, is_replication ? " replication=" : "",
		         is_replication ? replication_name(c->login->replication) : "");
	}
}

static void
let_in_with(struct client *c, const struct welcome *w, enum client_state to)
{
	send_welcome(c, w);
	log_login(c);
	client_login_free(c);
	cancel_keys_add(c->proxy, c);
	c->again_count = 0;
	client_enter(c, to, "logged in");
	stream_resume(&c->stream);
}

static void
let_in(struct client *c)
{
	const struct welcome *w = welcome_for(c);
	if (w == NULL) /* reads that fall back to the leader, or the other way round */
		w = c->pool->welcome[c->lane == LANE_READ ? LANE_WRITE : LANE_READ];
	must(w != NULL);
	let_in_with(c, w, CLIENT_IDLE);
}

void
client_login_dedicated(struct client *c, const struct welcome *w, struct params *p)
{
	params_replace(&c->params, params_ref(p));
	params_replace(&c->params_at_login, params_ref(p));
	let_in_with(c, w, CLIENT_REPLICATING);
}

static void
wait_for_server(struct client *c)
{
	client_enter(c, CLIENT_WELCOME, "needs a server to log in");
	pool_wait(c->pool, &c->waiter, c->lane, clock_now_us());
	stream_pause_watching(&c->stream);
	proxy_dirty(c->proxy, c->pool);
}

void
client_login_again(struct client *c)
{
	wait_for_server(c);
}

static void
wait_for_own(struct client *c)
{
	if (c->proxy->config->settings.application_name_add_host)
		add_host_to_name(c);
	c->waiter.needs_own = true;
	wait_for_server(c);
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
		wait_for_server(c);
		return;
	}
	/* Try them on this server, from the state of a fresh session. */
	struct server *s = c->link;
	struct buf sql = { 0 }, b = { 0 };
	params_difference(s->params, p->base, &sql);
	size_t at = 0;
	const char *name, *value;
	while (login_next_pair(&l->pairs, &at, &name, &value))
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
		login_refuse(c, FAULT_BY_CLIENT, sqlstate, text);
		return;
	}
	/* What was asked for without being reported lasts as it was asked. */
	params_replace(&s->params, params_without_unreported(s->params));
	size_t at = 0;
	const char *name, *value;
	while (login_next_pair(&l->pairs, &at, &name, &value))
		if (params_value(s->params, name) == NULL)
			params_replace(&s->params, params_with(s->params, name, value, false));
	learned_add(c->pool, &l->pairs, s->params);
	take_params(c, s->params);
	let_in(c);
	link_give_back(s);
}
