/*
 * session/auth_place.c - one place where users are looked up: its connections, which member they go to, what a row says.
 *
 *   auth_place_run ─► member_to_ask ─► connection_to ─► pq_ask ┄► on_answer ─► read_row ─► told: login_on_found()
 *                                                                    └► try_elsewhere: that member, not again
 *
 * Invariant: a connection has a question exactly while that question runs.
 * What clients are told is PgBouncer's "bouncer config error" and no more; the log has the reason. Secrets are in neither.
 */
#include "session/auth_place.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "auth/mock.h"
#include "base/clock.h"
#include "base/heap.h"
#include "base/log.h"
#include "cluster/watch.h"
#include "net/pq.h"
#include "session/client.h"
#include "session/client_login.h"
#include "session/hold.h"
#include "session/proxy_parts.h"

enum {
	CONNECTIONS_MAX = 64, /* of all places together */
	QUESTIONS_MAX = 1000, /* users that are waited for, of one place */
	KEPT_MAX = 10000,     /* answers of one place */
	SERVER_NAME_MAX = 63, /* bytes of a role's name in PostgreSQL */
};

#define RETRY_US SECOND_US /* after every member was tried, or one refused us */

struct connection {
	struct node node;
	struct auth_place *place;
	struct pq *pq;
	uint16_t member;
	struct lookup_question *question; /* NULL: idle */
	bool is_last;                     /* closed after its answer */
	uint64_t born_us, idle_us;
};

struct lookup_limits
auth_place_limits(const struct proxy *x)
{
	const struct settings *set = &x->config->settings;
	return (struct lookup_limits){ .ttl_us = set->auth_query_ttl_us,
		                       .running_max = (uint32_t)set->auth_query_connections,
		                       .questions_max = QUESTIONS_MAX,
		                       .kept_max = KEPT_MAX };
}

/* ---- connections ---- */

static void
connection_close(struct connection *k, const char *why)
{
	must(k->question == NULL);
	log_debug("auth_query", "connection to member %u for database \"%s\" closed: %s", k->member, k->place->database, why);
	node_remove(&k->node);
	pq_close(k->pq);
	heap_free(k);
}

static struct connection *
idle_connection(const struct auth_place *p, int member)
{
	list_each(&p->connections, n, after)
	{
		struct connection *k = node_owner(n, struct connection, node);
		if (k->question == NULL && (member < 0 || k->member == member))
			return k;
	}
	return NULL;
}

static uint32_t
connections_in_all(const struct proxy *x)
{
	uint32_t count = 0;
	if (x->auth_queries)
		list_each(&x->auth_queries->places, n, after)
			count += node_owner(n, struct auth_place, node)->connections.count;
	return count;
}

static struct connection *
connection_open(struct auth_place *p, const struct member *m)
{
	struct proxy *x = p->proxy;
	const struct settings *set = &x->config->settings;
	const struct database_config *d = config_database(x->config, p->database);
	const struct user_secret *own = users_find(x->access.users, p->user);
	struct pool_rules rules = config_pool_rules(x->config, d, NULL);
	struct pq_target target = {
		.host = m->host,
		.port = m->port,
		.dbname = d && d->dbname ? d->dbname : p->database,
		.user = p->user,
		.password = own && own->secret.kind == SECRET_PLAIN ? own->secret.text : NULL,
		.sslmode = sslmode_name(rules.sslmode),
		.channel_binding = channel_binding_words[rules.channel_binding].word,
		.needs_tls13 = strcasecmp(set->server_tls_protocols, "tlsv1.3") == 0,
		.ca_file = set->server_tls_ca_file,
		.crl_file = set->server_tls_crl_file,
		.cert_file = set->server_tls_cert_file,
		.key_file = set->server_tls_key_file,
		.keepalive = set->tcp_keepalive,
		.keepidle_s = set->tcp_keepidle_s,
		.keepintvl_s = set->tcp_keepintvl_s,
		.keepcnt = set->tcp_keepcnt,
		.user_timeout_ms = set->tcp_user_timeout_ms,
	};
	struct connection *k = heap_alloc(sizeof(*k));
	k->place = p;
	k->member = m->id;
	k->born_us = clock_now_us();
	k->pq = pq_open(x->loop, x->resolver, &target);
	list_append(&p->connections, &k->node);
	log_debug("auth_query", "connection to %s:%u for database \"%s\" as \"%s\"", m->host, m->port, p->database, p->user);
	return k;
}

/* A connection to m that is free; NULL: there is no room for one. */
static struct connection *
connection_to(struct auth_place *p, const struct member *m)
{
	struct connection *k = idle_connection(p, m->id);
	if (k)
		return k;
	if (p->connections.count >= (uint32_t)p->proxy->config->settings.auth_query_connections) {
		k = idle_connection(p, -1);
		if (k == NULL)
			return NULL;
		connection_close(k, "another member is preferred");
	}
	if (connections_in_all(p->proxy) < CONNECTIONS_MAX)
		return connection_open(p, m);
	list_each(&p->proxy->auth_queries->places, n, after)
	{
		k = idle_connection(node_owner(n, struct auth_place, node), -1);
		if (k) {
			connection_close(k, "its room is needed");
			return connection_open(p, m);
		}
	}
	return NULL;
}

/* ---- whom to ask ---- */

/* Every member has all roles: while there is no leader, any that lives will do. NULL: none that was not tried. */
static const struct member *
member_to_ask(const struct auth_place *p, uint64_t tried)
{
	const struct topology *t = p->load->topology;
	struct route_request want = { .lane = LANE_WRITE, .fallback = READ_FALLBACK_HOLD, .in_order = true, .excluded = tried };
	for (int lane = LANE_WRITE; lane < LANES; lane++) {
		want.lane = (enum lane)lane;
		struct route route = route_choose(t, &want);
		if (route.result == ROUTE_MEMBER)
			return &t->member[route.index];
	}
	for (int i = 0; i < t->count; i++) {
		const struct member *m = &t->member[i];
		bool lives = m->is_reachable && (m->state == MEMBER_RUNNING || m->state == MEMBER_STREAMING);
		/* Without Patroni nothing is known before somebody has tried. */
		if ((lives || !t->has_patroni) && !(tried >> m->id & 1))
			return m;
	}
	return NULL;
}

static bool
is_lost(const struct auth_place *p, uint16_t member)
{
	const struct topology *t = p->load->topology;
	const struct member *m = topology_member(t, member);
	if (m == NULL)
		return true;
	return t->has_patroni && m->why_not_write && m->why_not_read &&
	       !(m->is_reachable && (m->state == MEMBER_RUNNING || m->state == MEMBER_STREAMING));
}

static bool
is_paused(const struct auth_place *p)
{
	const struct database *d;
	HASH_FIND_STR(p->proxy->databases, p->database, d);
	return p->proxy->state == PROXY_PAUSED || p->proxy->state == PROXY_STOPPING_SERVERS || (d && d->is_paused);
}

/* What is paused is left alone, but for those who may want to say RESUME. */
static bool
may_be_asked(const struct lookup_question *q)
{
	list_each(&q->next, n, after)
		if (config_is_console(node_owner(n, struct auth_asking, asker.node)->client->login->database))
			return true;
	return false;
}

static struct lookup_question *
next_question(struct auth_place *p)
{
	struct lookup_limits limits = auth_place_limits(p->proxy);
	struct lookup_question *q = lookup_first(&p->lookup, &limits);
	if (q == NULL || !is_paused(p))
		return q;
	list_each(&p->lookup.queue, n, after)
	{
		q = node_owner(n, struct lookup_question, queued);
		if (may_be_asked(q))
			return q;
	}
	return NULL;
}

/* ---- answers ---- */

struct fault
auth_query_fault(void)
{
	return (struct fault){ .by = FAULT_BY_PROXY, .sqlstate = SQLSTATE_PROTOCOL_VIOLATION, .text = "bouncer config error",
		               .hint = "The log of pgsluice says why." };
}

static struct fault
unreachable(void)
{
	return (struct fault){ .by = FAULT_BY_PROXY, .sqlstate = SQLSTATE_CANNOT_CONNECT_NOW,
		               .text = "no server can be asked for this user (auth_query)" };
}

/* secret NULL: it failed. Each may do anything in turn, but for starting the next question, which waits for our return. */
static void
tell(struct list *told, const struct secret *secret, const struct fault *why)
{
	struct node *n;
	while ((n = list_first(told)) != NULL) {
		struct auth_asking *a = node_owner(n, struct auth_asking, asker.node);
		node_remove(n);
		a->place = NULL;
		login_on_found(a->client, secret, why);
	}
}

static void
fail(struct auth_place *p, struct lookup_question *q, const char *why, struct fault fault)
{
	struct list told;
	list_init(&told);
	p->proxy->auth_queries->gone.failed++;
	log_warning("auth_query", "user \"%s\" can't be looked up in database \"%s\" as \"%s\": %s", q->user, p->database,
	            p->user, why);
	lookup_fail(&p->lookup, q, &told);
	tell(&told, NULL, &fault);
}

/* What unknown users are to look like. */
static void
learn_likeness(struct auth_place *p, const struct secret *secret)
{
	if (p->knows_like || secret->kind == SECRET_NONE)
		return;
	p->knows_like = true;
	p->like.kind = secret->kind;
	if (secret->kind == SECRET_SCRAM) {
		p->like.scram.iterations = secret->scram.iterations;
		p->like.scram.salt_bytes = secret->scram.salt_bytes;
	}
	p->proxy->auth_queries->like = p->like; /* a place is forgotten when nobody has asked there for long */
}

static void
answered(struct auth_place *p, struct lookup_question *q, struct secret *secret)
{
	struct list told;
	struct lookup_limits limits = auth_place_limits(p->proxy);
	list_init(&told);
	struct secret mock = { 0 };
	if (secret)
		learn_likeness(p, secret);
	else
		mock_secret(q->user, &p->like, &mock);
	lookup_answer(&p->lookup, &limits, q, secret, clock_now_us(), &told);
	tell(&told, secret ? secret : &mock, NULL);
	secret_free(&mock);
}

enum verdict { VERDICT_KNOWN, VERDICT_UNKNOWN, VERDICT_BAD };

/* What a row says of `user`. VERDICT_BAD: *why says what is wrong with it. */
static enum verdict
read_row(const struct pq_answer *answer, const char *user, struct secret *secret, struct text *why)
{
	if (answer->columns != 2) {
		text_addf(why, "expected 2 columns from auth_query, not %u", answer->columns);
		return VERDICT_BAD;
	}
	if (answer->rows == 0 || answer->first[0].is_null)
		return VERDICT_UNKNOWN; /* a function that returns one row always says it by NULL */
	if (answer->rows > 1) {
		text_add(why, "auth_query returned more than one row");
		return VERDICT_BAD;
	}
	if (!view_is(answer->first[0].bytes, user)) {
		if (strlen(user) > SERVER_NAME_MAX) /* the server has cut it */
			return VERDICT_UNKNOWN;
		text_add(why, "auth_query returned another user than it was asked for");
		return VERDICT_BAD;
	}
	struct view v = answer->first[1].bytes;
	char *text = answer->first[1].is_null ? NULL : heap_string_n(v.p, v.n);
	enum secret_result r = secret_parse(text, secret);
	heap_erase_free(text, v.n);
	if (r == SECRET_OK)
		return VERDICT_KNOWN;
	text_add(why, r == SECRET_TOO_LONG ? "auth_query returned a password that is too long"
	                                   : "auth_query returned a SCRAM secret that is broken");
	if (r != SECRET_TOO_LONG)
		secret_free(secret);
	return VERDICT_BAD;
}

/* Not there, or it does not answer any more: another member will do. */
static void
try_elsewhere(struct connection *k, struct lookup_question *q, const struct pq_answer *answer)
{
	struct auth_place *p = k->place;
	const struct member *m = topology_member(p->load->topology, k->member);
	snprintf(p->refused, sizeof(p->refused), "%s", answer->error);
	if (p->load->topology->count > 1) /* else it is said once, by fail() */
		log_warning("auth_query", "member \"%s\" can't be asked for users of database \"%s\": %s", m ? m->name : "?",
		            p->database, answer->error);
	if (m)
		hold_report(p->load, k->member, SESSION_REFUSED);
	q->tried |= UINT64_C(1) << k->member;
	connection_close(k, answer->error);
	lookup_again(&p->lookup, q);
}

/* Our own login was refused: so will be the next one, and each would count as an attempt with a wrong password. */
static void
refused(struct auth_place *p, struct lookup_question *q, const struct pq_answer *answer)
{
	const struct user_secret *own = users_find(p->proxy->access.users, p->user);
	const char *has = own == NULL                          ? "it is not in auth_file or auth_users"
	                  : own->secret.kind == SECRET_MD5     ? "auth_file has only its MD5 secret"
	                  : own->secret.kind == SECRET_SCRAM   ? "auth_file has only its SCRAM secret"
	                                                       : "auth_file has no password for it";
	if (answer->lacks_password)
		snprintf(p->refused, sizeof(p->refused),
		         "the server asks auth_user for a password, and %s: put the plain password there, or let the server "
		         "trust it (pg_hba.conf: trust, peer or cert)",
		         has);
	else
		snprintf(p->refused, sizeof(p->refused), "%s", answer->error);
	p->retry_us = clock_now_us() + RETRY_US;
	p->refusal = auth_query_fault();
	fail(p, q, p->refused, p->refusal);
}

static void
on_answer(const struct pq_answer *answer, void *context)
{
	struct connection *k = context;
	struct auth_place *p = k->place;
	struct lookup_question *q = k->question;
	struct secret secret = { 0 };
	char reason[400];
	struct text why = TEXT_IN(reason);
	reason[0] = '\0';
	k->question = NULL;
	k->idle_us = p->used_us = clock_now_us();
	p->proxy->auth_queries->gone.took_us += answer->took_us;
	log_debug("auth_query", "\"%s\" in database \"%s\": %s, %u rows, %.1f ms", q->user, p->database,
	          pq_outcome_name(answer->outcome), answer->rows, (double)answer->took_us / (double)MILLISECOND_US);

	if (answer->outcome == PQ_UNREACHABLE || answer->outcome == PQ_TIMEOUT) {
		try_elsewhere(k, q, answer);
		auth_place_run(p);
		return;
	}
	if (k->is_last || is_paused(p) || !pq_is_connected(k->pq))
		connection_close(k, k->is_last || is_paused(p) ? "it was its last question" : answer->error);
	switch (answer->outcome) {
	case PQ_OK:
		switch (read_row(answer, q->user, &secret, &why)) {
		case VERDICT_KNOWN:
			answered(p, q, &secret);
			break;
		case VERDICT_UNKNOWN:
			answered(p, q, NULL);
			break;
		case VERDICT_BAD:
			fail(p, q, reason, auth_query_fault());
			break;
		}
		break;
	case PQ_REFUSED:
		refused(p, q, answer);
		break;
	default:
		/* Bytes that are no characters there: it is nobody's name. */
		if (strcmp(answer->sqlstate, "22021") == 0 || strcmp(answer->sqlstate, "22P05") == 0) {
			answered(p, q, NULL);
			break;
		}
		text_addf(&why, "error response from auth_query: %s%s%s", answer->error, answer->sqlstate[0] ? ", SQLSTATE " : "",
		          answer->sqlstate);
		fail(p, q, reason, auth_query_fault());
		break;
	}
	secret_free(&secret);
	auth_place_run(p);
}

/* ---- asking ---- */

/* Every member was tried. Where roles move there will be one soon; else somebody has to be told. */
static void
nobody_answers(struct auth_place *p, struct lookup_question *q)
{
	p->retry_us = clock_now_us() + RETRY_US;
	q->tried = 0;
	if (p->load->topology->is_plain)
		fail(p, q, p->refused, p->refusal = unreachable());
	else
		p->refused[0] = '\0';
}

/* Send what can be sent. */
void
auth_place_run(struct auth_place *p)
{
	struct lookup_question *q;
	while ((q = next_question(p)) != NULL) {
		if (p->retry_us > clock_now_us()) {
			if (p->refused[0] == '\0')
				return;
			fail(p, q, p->refused, p->refusal);
			continue;
		}
		const struct member *m = member_to_ask(p, q->tried);
		if (m == NULL && q->tried == 0)
			return; /* the next topology will tell */
		if (m == NULL) {
			nobody_answers(p, q);
			continue;
		}
		struct connection *k = connection_to(p, m);
		if (k == NULL)
			return; /* an answer frees one */
		lookup_send(&p->lookup, q, clock_now_us());
		k->question = q;
		struct pq_question question = { .sql = p->query, .value = q->user,
			                        .timeout_us = p->proxy->config->settings.auth_query_timeout_us };
		pq_ask(k->pq, &question, on_answer, k);
	}
}

/* ---- its life ---- */

struct auth_place *
auth_place_new(struct proxy *x, const char *database, const char *user, const char *query)
{
	struct auth_place *p = heap_alloc(sizeof(*p));
	p->proxy = x;
	p->load = proxy_load(x, config_database(x->config, database)->cluster->name);
	must(p->load != NULL);
	snprintf(p->database, sizeof(p->database), "%s", database);
	snprintf(p->user, sizeof(p->user), "%s", user);
	p->query = heap_string(query);
	lookup_init(&p->lookup);
	list_init(&p->connections);
	p->like = x->auth_queries->like;
	p->used_us = clock_now_us();
	list_append(&x->auth_queries->places, &p->node);
	return p;
}

void
auth_place_free(struct auth_place *p)
{
	struct auth_query_totals *gone = &p->proxy->auth_queries->gone;
	gone->asked += p->lookup.asked;
	gone->cached += p->lookup.cached;
	gone->joined += p->lookup.joined;
	list_each(&p->connections, n, after)
	{
		struct connection *k = node_owner(n, struct connection, node);
		k->question = NULL;
		connection_close(k, "nobody needs it");
	}
	lookup_fini(&p->lookup);
	node_remove(&p->node);
	heap_free(p->query);
	heap_free(p);
}

void
auth_place_cut(struct auth_place *p)
{
	list_each(&p->connections, n, after)
	{
		struct connection *k = node_owner(n, struct connection, node);
		if (!is_lost(p, k->member))
			continue;
		struct lookup_question *q = k->question;
		k->question = NULL;
		connection_close(k, "the member has lost its place");
		if (q)
			lookup_again(&p->lookup, q);
	}
	if (p->refused[0] == '\0')
		p->retry_us = 0;
}

void
auth_place_close_idle(struct auth_place *p)
{
	list_each(&p->connections, n, after)
	{
		struct connection *k = node_owner(n, struct connection, node);
		k->is_last = true;
		if (k->question == NULL)
			connection_close(k, "idle connections are closed");
	}
}

static bool
is_over(uint64_t since_us, uint64_t limit_us)
{
	return limit_us > 0 && clock_now_us() - since_us > limit_us;
}

void
auth_place_expire(struct auth_place *p)
{
	const struct settings *set = &p->proxy->config->settings;
	struct lookup_limits limits = auth_place_limits(p->proxy);
	lookup_expire(&p->lookup, &limits, clock_now_us());
	list_each(&p->connections, n, after)
	{
		struct connection *k = node_owner(n, struct connection, node);
		if (k->question)
			continue;
		if (is_over(k->born_us, set->server_lifetime_us))
			connection_close(k, "server_lifetime");
		else if (is_over(k->idle_us, set->server_idle_timeout_us))
			connection_close(k, "server_idle_timeout");
		else if (!pq_is_connected(k->pq))
			connection_close(k, "the server has closed it");
	}
}
