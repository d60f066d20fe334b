/*
 * session/client_auth.c - the second step of a login: the client proves who it is.
 *
 *   client_rules.c ─► what is known of the user ─► auth_method_for() ─► question ─► proof ─► client_login.c
 *
 * What the proof taught us (SCRAM keys, a password sent in clear) is kept with the role, for logging in to servers of the
 * same cluster.
 * Source: PostgreSQL 16, 55.2.1 Start-up, 55.3 SASL Authentication.
 */
#include <stdio.h>
#include <string.h>

#include "auth/password.h"
#include "base/heap.h"
#include "base/log.h"
#include "cluster/watch.h"
#include "session/client_login.h"
#include "session/role_keys.h"
#include "wire/reply.h"

/* Of SCRAM a mechanism and SCRAM_MESSAGE_MAX, of md5 less; a password in clear may be as long as PostgreSQL takes it. */
enum { ANSWER_MESSAGE_MAX = 2 * SCRAM_MESSAGE_MAX, PASSWORD_MESSAGE_MAX = 64 * 1024 };

/* ---- keys of roles ---- */

static struct role_keys *
keys_of(const struct role *r, const char *cluster)
{
	struct role_keys *k = r->keys;
	while (k && strcmp(k->cluster, cluster) != 0)
		k = k->next;
	return k;
}

static struct role_keys *
keys_for(struct role *r, const char *cluster)
{
	struct role_keys *k = keys_of(r, cluster);
	if (k)
		return k;
	k = heap_alloc(sizeof(*k));
	k->cluster = heap_string(cluster);
	k->next = r->keys;
	r->keys = k;
	return k;
}

/* What was refused to the old keys may be granted to the new ones. */
static void
role_changed(struct proxy *x, struct role *r)
{
	r->teachings++;
	list_each(&r->pools, n, after)
	{
		struct pool *p = node_owner(n, struct pool, of_role);
		pool_forgive(p);
		proxy_dirty(x, p);
	}
}

void
role_learn_scram(struct proxy *x, struct role *r, const char *cluster, const struct scram_keys *keys)
{
	struct role_keys *k = keys_for(r, cluster);
	bool is_same = k->scram.iterations == keys->iterations && k->scram.salt_bytes == keys->salt_bytes &&
	               memcmp(k->scram.salt, keys->salt, keys->salt_bytes) == 0 &&
	               memcmp(k->scram.stored_key, keys->stored_key, sizeof(keys->stored_key)) == 0;
	if (is_same)
		return;
	k->scram = *keys;
	role_changed(x, r);
}

void
role_learn_password(struct proxy *x, struct role *r, const char *cluster, const char *password)
{
	struct role_keys *k = keys_for(r, cluster);
	if (k->password && strcmp(k->password, password) == 0)
		return;
	if (k->password)
		heap_erase_free(k->password, strlen(k->password));
	k->password = heap_string(password);
	role_changed(x, r);
}

static bool
is_same_secret(const struct secret *a, const struct secret *b)
{
	if (a->kind != b->kind)
		return false;
	if (a->text && b->text)
		return strcmp(a->text, b->text) == 0;
	return a->scram.iterations == b->scram.iterations && a->scram.salt_bytes == b->scram.salt_bytes &&
	       memcmp(a->scram.salt, b->scram.salt, a->scram.salt_bytes) == 0 &&
	       memcmp(a->scram.stored_key, b->scram.stored_key, sizeof(a->scram.stored_key)) == 0;
}

void
role_learn_secret(struct proxy *x, struct role *r, const char *cluster, const struct secret *secret)
{
	struct role_keys *k = keys_for(r, cluster);
	if (is_same_secret(&k->secret, secret))
		return;
	if (k->secret.kind != SECRET_NONE) { /* it was changed: what earlier proofs taught is out of date */
		role_forget(r, cluster);
		k = keys_for(r, cluster);
	}
	secret_copy(secret, &k->secret);
	role_changed(x, r);
}

static void
keys_free(struct role_keys *k)
{
	if (k->password)
		heap_erase_free(k->password, strlen(k->password));
	secret_free(&k->secret);
	heap_free(k->cluster);
	heap_erase_free(k, sizeof(*k));
}

void
role_forget(struct role *r, const char *cluster)
{
	for (struct role_keys **at = &r->keys, *k; (k = *at) != NULL; at = &k->next) {
		if (strcmp(k->cluster, cluster) != 0)
			continue;
		*at = k->next;
		keys_free(k);
		r->teachings++;
		return;
	}
}

void
role_forget_all(struct role *r)
{
	while (r->keys)
		role_forget(r, r->keys->cluster);
}

bool
role_knows_looked_up(const struct role *r, const char *cluster)
{
	const struct role_keys *k = keys_of(r, cluster);
	return k && k->secret.kind != SECRET_NONE;
}

struct server_credentials
role_credentials(struct proxy *x, const struct database *d, const struct role *r)
{
	const struct user_secret *known = users_find(x->access.users, r->name);
	const struct role_keys *learnt = keys_of(r, cluster_name(d->load->cluster));
	const struct secret *secret = known ? &known->secret : learnt ? &learnt->secret : NULL;
	const struct scram_keys *keys = learnt && learnt->scram.iterations ? &learnt->scram : NULL;
	struct server_credentials have = server_credentials_of(r->name, secret, keys);
	if (d->config->user && d->config->password && strcmp(d->config->user, r->name) == 0)
		have.password = d->config->password;
	if (have.password == NULL && learnt)
		have.password = learnt->password;
	return have;
}

/* A login is right. What it taught serves logins to servers. proof NULL: none was asked for. */
static void
learn(struct client *c, const struct frame *proof)
{
	struct client_login *l = c->login;
	const struct database_config *d = config_is_console(l->database) ? NULL : config_database(c->proxy->config, l->database);
	const char *password;
	if (d == NULL) /* the console; or there is no such database, which it will be told soon */
		return;
	struct role *r = proxy_role(c->proxy, l->user);
	if (l->was_looked_up && !l->secret.is_mock)
		role_learn_secret(c->proxy, r, d->cluster->name, &l->secret);
	if (proof && l->method == AUTH_METHOD_SCRAM)
		role_learn_scram(c->proxy, r, d->cluster->name, &l->scram.keys);
	else if (proof && l->method == AUTH_METHOD_CLEARTEXT && password_read(proof->body, &password))
		role_learn_password(c->proxy, r, d->cluster->name, password);
}

/* ---- the question ---- */

/* The SCRAM exchange can be bound to the TLS session: only then the mechanism for it is offered. */
static struct scram_binding
binding_of(const struct client *c)
{
	struct scram_binding b = { 0 };
	b.hash_bytes = stream_binding_hash(&c->stream, b.hash);
	b.is_possible = b.hash_bytes > 0;
	return b;
}

/* Nothing is left to be shown. */
static void
proven(struct client *c)
{
	login_succeeded(c);
	login_authenticated(c);
}

/* l->secret is what is known of the user, or made up. */
static void
choose_method(struct client *c)
{
	struct client_login *l = c->login;
	l->is_unknown = l->secret.is_mock;
	if (l->has_other_certificate) /* asked as ever, and then nothing is right */
		l->secret.is_mock = true;
	const char *why = NULL;
	l->method = auth_method_for(l->way, &l->secret, c->is_unix, &why);
	struct buf b = { 0 };
	static const char *const mechanisms[] = { SCRAM_MECHANISM_PLUS, SCRAM_MECHANISM, NULL };
	switch (l->method) {
	case AUTH_METHOD_TRUST:
	case AUTH_METHOD_CERT: /* these two were looked at above */
	case AUTH_METHOD_PEER:
		learn(c, NULL);
		proven(c);
		return;
	case AUTH_METHOD_REJECT:
		login_fail(c, why, SQLSTATE_INVALID_AUTHORIZATION, "login rejected");
		return;
	case AUTH_METHOD_CLEARTEXT:
		reply_auth(&b, AUTH_CLEARTEXT_PASSWORD);
		break;
	case AUTH_METHOD_MD5:
		md5_new_salt(l->md5_salt);
		reply_auth_md5(&b, l->md5_salt);
		break;
	case AUTH_METHOD_SCRAM:
		reply_auth_sasl(&b, binding_of(c).is_possible ? mechanisms : mechanisms + 1);
		break;
	}
	client_enter(c, CLIENT_AUTH, "asked for a proof");
	login_say(c, &b);
}

/* False: it waits, or was refused. */
static bool
find_secret(struct client *c)
{
	struct client_login *l = c->login;
	struct proxy *x = c->proxy;
	struct fault why;
	const struct user_secret *known = users_find(x->access.users, l->user);
	if (known) {
		secret_copy(&known->secret, &l->secret);
		return true;
	}
	switch (l->way != AUTH_TYPE_ANY ? auth_query_ask(c, &l->secret, &why) : AUTH_QUERY_OFF) {
	case AUTH_QUERY_OFF:
		users_mock(x->access.users, l->user, &l->secret);
		return true;
	case AUTH_QUERY_FOUND:
		l->was_looked_up = true;
		return true;
	case AUTH_QUERY_WAITS:
		if (c->state != CLIENT_ASKING)
			client_enter(c, CLIENT_ASKING, "a database is asked who it is");
		stream_pause_watching(&c->stream); /* login_on_found() resumes it */
		return false;
	case AUTH_QUERY_FAILED:
		client_fail(c, &why);
		return false;
	}
	return false;
}

void
login_ask_for_proof(struct client *c)
{
	if (login_choose_way(c) && find_secret(c))
		choose_method(c);
}

/* From without: it is not in a handler of its stream's. */
static void
login_go_on(struct client *c)
{
	choose_method(c);
	if (c->state == CLIENT_AUTH || c->state == CLIENT_CONSOLE)
		stream_resume(&c->stream);
}

void
login_on_found(struct client *c, const struct secret *secret, const struct fault *why)
{
	must(c->state == CLIENT_ASKING);
	if (secret == NULL) {
		client_fail(c, why);
		return;
	}
	secret_copy(secret, &c->login->secret);
	c->login->was_looked_up = true;
	login_go_on(c);
}

void
login_ask_again(struct client *c)
{
	must(c->state == CLIENT_ASKING);
	c->login->has_other_certificate = false;
	if (login_choose_way(c) && find_secret(c)) /* the rules may be others, too */
		login_go_on(c);
}

/* ---- the proof ---- */

/* For the log; the client is told the same in all cases. */
static const char *
why_wrong(const struct client_login *l)
{
	if (l->is_unknown)
		return "unknown user";
	if (l->has_other_certificate)
		return "its certificate is not of this user";
	if (l->secret.kind == SECRET_NONE)
		return "the user has no password";
	if (l->secret.kind == SECRET_MD5 && l->method == AUTH_METHOD_SCRAM)
		return "the user has an md5 secret, which can't serve scram-sha-256";
	if (l->method == AUTH_METHOD_CLEARTEXT && password_is_too_costly(&l->secret))
		return "its SCRAM secret has too many iterations to check a password with";
	return "wrong password";
}

static void
wrong_password(struct client *c)
{
	char text[200];
	if (c->login->was_looked_up)
		auth_query_forget(c->proxy, c->login->user); /* it may have been changed since: the next login asks anew */
	snprintf(text, sizeof(text), "password authentication failed for user \"%s\"", c->login->user);
	login_fail(c, why_wrong(c->login), SQLSTATE_INVALID_PASSWORD, text);
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
		struct scram_binding binding = binding_of(c);
		bool is_read = sasl_initial_read(body, &initial) && initial.has_data;
		binding.is_used = is_read && binding.is_possible && strcmp(initial.mechanism, SCRAM_MECHANISM_PLUS) == 0;
		if (!is_read || (!binding.is_used && strcmp(initial.mechanism, SCRAM_MECHANISM) != 0)) {
			login_refuse(c, FAULT_BY_CLIENT, SQLSTATE_PROTOCOL_VIOLATION, "client selected an invalid SASL authentication mechanism");
			return false;
		}
		l->in_sasl = l->has_scram = true;
		scram_server_begin(&l->scram, &l->secret, l->user, (uint32_t)x->config->settings.scram_iterations,
		                   x->scram_cache, &binding);
		r = scram_server_first(&l->scram, initial.data, &answer);
		reply_auth_sasl_continue(&b, buf_view(&answer));
	} else {
		r = scram_server_final(&l->scram, body, &answer);
		reply_auth_sasl_final(&b, buf_view(&answer));
	}
	buf_free(&answer);
	if (r == SCRAM_OK) {
		bool is_final = l->scram.step == SCRAM_STEP_DONE;
		login_say(c, &b);
		return is_final;
	}
	buf_free(&b);
	if (r == SCRAM_WRONG_PASSWORD)
		wrong_password(c);
	else
		login_refuse(c, FAULT_BY_CLIENT,
		             r == SCRAM_BAD_BINDING || r == SCRAM_NO_BINDING ? SQLSTATE_INVALID_AUTHORIZATION
		                                                             : SQLSTATE_PROTOCOL_VIOLATION,
		             scram_result_text(r));
	return false;
}

/* True: the proof is good. */
static bool
check_proof(struct client *c, const struct frame *f)
{
	struct client_login *l = c->login;
	if (login_is_throttled(c)) /* many may have been asked at once, and others of them have failed since */
		return false;
	if (l->method == AUTH_METHOD_SCRAM)
		return check_scram(c, f->body);
	const char *password;
	if (!password_read(f->body, &password)) {
		login_refuse(c, FAULT_BY_CLIENT, SQLSTATE_PROTOCOL_VIOLATION, "malformed PasswordMessage");
		return false;
	}
	bool ok = l->method == AUTH_METHOD_MD5 ? md5_verify(&l->secret, l->user, l->md5_salt, password)
	                                       : password_verify(&l->secret, l->user, password, c->proxy->scram_cache);
	if (!ok)
		wrong_password(c);
	return ok;
}

/* What is not whole yet is kept, for whoever begins one: no more of it than an answer can have. */
static uint32_t
proof_bytes_max(const struct client_login *l)
{
	return l->method == AUTH_METHOD_CLEARTEXT ? PASSWORD_MESSAGE_MAX : ANSWER_MESSAGE_MAX;
}

size_t
login_on_proof(struct client *c, struct view in)
{
	struct frame f;
	enum frame_result r = frame_peek(in, proof_bytes_max(c->login), &f);
	if (r == FRAME_SHORT)
		return 0;
	if (r == FRAME_BAD || f.type != FE_PASSWORD) {
		login_refuse(c, FAULT_BY_CLIENT, SQLSTATE_PROTOCOL_VIOLATION,
		             r == FRAME_BAD ? "invalid message length" : "expected a password response");
		return in.n;
	}
	if (!frame_is_whole(&f))
		return 0;
	uint32_t size = f.size;
	if (check_proof(c, &f) && c->state == CLIENT_AUTH) {
		learn(c, &f);
		proven(c);
	}
	return size;
}
