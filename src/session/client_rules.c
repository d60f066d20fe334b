/*
 * session/client_rules.c - between the startup packet and the proof: which rule decides about this client, and all that is
 * known of it without asking: its address, its certificate, its Unix user. Also what becomes of a login that failed.
 *
 *   [own user] ─► too many failures? ─► auth_type, or the first rule that fits ─► certificate, Unix user ─► client_auth.c
 *
 * What was decided is kept in struct client_login, not pointed to: a reload may replace all rules before the proof comes.
 */
#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "auth/throttle.h"
#include "base/clock.h"
#include "base/log.h"
#include "session/client_login.h"

enum { CERTIFICATE_NAME_MAX = 512 };

/* ---- failures ---- */

static struct throttle_rules
rules_of_throttle(const struct client *c)
{
	const struct settings *set = &c->proxy->config->settings;
	return (struct throttle_rules){ .limit = (unsigned)set->auth_failure_limit, .window_us = set->auth_failure_window_us };
}

/* Of a Unix socket, or unknown: size 0. */
static struct ip_address
address_of(const struct client *c)
{
	struct sockaddr_storage a;
	client_address(c, &a);
	return ip_address_of((const struct sockaddr *)&a);
}

static void
log_failure(const struct client *c, const char *what, const char *reason)
{
	char host[64];
	uint16_t port;
	client_address_text(c, host, sizeof(host), &port);
	/* What the client chose comes last: it could look like anything. */
	log_warning(client_tag(c), "login %s from=%s reason=\"%s\" user=\"%s\" database=\"%s\"", what, host, reason,
	            c->login->user, c->login->database);
}

void
login_fail(struct client *c, const char *reason, const char *sqlstate, const char *text)
{
	struct throttle_rules rules = rules_of_throttle(c);
	struct ip_address from = address_of(c);
	c->proxy->counters.logins_failed++;
	throttle_failed(c->proxy->throttle, &rules, &from, c->login->user, clock_now_us());
	log_failure(c, "failed", reason);
	login_refuse(c, FAULT_BY_CLIENT, sqlstate, text);
}

/* By a rule, not for a proof that was wrong: nothing was guessed. */
static void
refuse(struct client *c, const char *reason, const char *text)
{
	c->proxy->counters.logins_failed++;
	log_failure(c, "refused", reason);
	login_refuse(c, FAULT_BY_CLIENT, SQLSTATE_INVALID_AUTHORIZATION, text);
}

void
login_succeeded(struct client *c)
{
	struct throttle_rules rules = rules_of_throttle(c);
	struct ip_address from = address_of(c);
	throttle_succeeded(c->proxy->throttle, &rules, &from, c->login->user, clock_now_us());
}

bool
login_is_throttled(struct client *c)
{
	struct throttle_rules rules = rules_of_throttle(c);
	struct ip_address from = address_of(c);
	uint64_t now_us = clock_now_us();
	struct throttle_verdict v = throttle_ask(c->proxy->throttle, &rules, &from, c->login->user, now_us);
	if (!v.is_refused)
		return false;
	c->proxy->counters.logins_throttled++;
	if (v.is_news) {
		char reason[160];
		snprintf(reason, sizeof(reason), "too many failed logins %s, refused for %.0f s (auth_failure_limit = %u)",
		         v.is_user ? "of this user from this address" : "from this address",
		         (double)(v.until_us - now_us) / (double)SECOND_US, rules.limit);
		log_failure(c, "throttled", reason);
	}
	c->proxy->counters.client_errors++;
	client_cut(c, &(struct fault){ .by = FAULT_BY_CLIENT, .sqlstate = SQLSTATE_INVALID_AUTHORIZATION,
	                               .text = "too many failed logins from this address",
	                               .hint = "Try again later, with the right password." });
	return true;
}

/* ---- what is known without asking ---- */

/* A Unix socket whose other end is the client, and not a balancer that speaks for it. */
static bool
is_own_socket(const struct client *c)
{
	return c->is_unix && !c->is_proxied;
}

/* The process's own user, through the Unix socket, as "pgbouncer" or "pgsluice": comes in without a password. */
bool
login_is_own_user(const struct client *c)
{
	uid_t uid;
	return is_own_socket(c) && config_is_console(c->login->user) && config_is_console(c->login->database) &&
	       stream_peer_uid(&c->stream, &uid) && uid == getuid();
}

/* Not cached: an entry may change at any time. It can take as long as the system's user database (NSS) takes. */
static bool
name_of_unix_user(const struct client *c, char *out, size_t room)
{
	char strings[4096];
	struct passwd entry, *found = NULL;
	uid_t uid;
	if (!is_own_socket(c) || !stream_peer_uid(&c->stream, &uid) ||
	    getpwuid_r(uid, &entry, strings, sizeof(strings), &found) != 0 || found == NULL || strlen(entry.pw_name) >= room)
		return false;
	memcpy(out, entry.pw_name, strlen(entry.pw_name) + 1);
	return true;
}

/* May whom the system, or a certificate, calls so be who he wants to be? */
static bool
is_allowed(const struct client *c, const struct hba_rule *rule, const char *name)
{
	return ident_allows(c->proxy->access.ident, rule->map, name, c->login->user);
}

static bool
is_peer_good(struct client *c, const struct hba_rule *rule)
{
	char name[USER_NAME_MAX], reason[USER_NAME_MAX + 100];
	if (!name_of_unix_user(c, name, sizeof(name)))
		snprintf(reason, sizeof(reason), is_own_socket(c) ? "the name of its Unix user can't be found out"
		                                            : "peer is for Unix sockets only");
	else if (!is_allowed(c, rule, name))
		snprintf(reason, sizeof(reason), "its Unix user is \"%s\"%s%s", name, rule->map ? ", map " : "",
		         rule->map ? rule->map : "");
	else
		return true;
	login_fail(c, reason, SQLSTATE_INVALID_AUTHORIZATION, "unix socket login rejected");
	return false;
}

/*
 * Is there a certificate where one is needed? Is it for this user? Where a password will be asked for too, the latter is
 * told after that, so that nobody learns more than with a wrong password.
 */
static bool
is_certificate_good(struct client *c, const struct hba_rule *rule)
{
	struct client_login *l = c->login;
	char name[CERTIFICATE_NAME_MAX], reason[CERTIFICATE_NAME_MAX + 100];
	if (c->stream.ssl == NULL || !stream_has_peer_certificate(&c->stream)) {
		refuse(c, c->stream.ssl ? "it has shown no certificate" : "it does not use TLS",
		       c->stream.ssl ? "TLS client certificate required" : "TLS connection required");
		return false;
	}
	if (rule->certificate < HBA_CERTIFICATE_NAME)
		return true;
	bool has_name = rule->is_by_dn ? stream_peer_distinguished_name(&c->stream, name, sizeof(name))
	                               : stream_peer_common_name(&c->stream, name, sizeof(name));
	if (has_name && is_allowed(c, rule, name))
		return true;
	if (l->way != AUTH_TYPE_CERT && l->way != AUTH_TYPE_TRUST) {
		l->has_other_certificate = true;
		return true;
	}
	if (has_name)
		snprintf(reason, sizeof(reason), "its certificate is of \"%s\"%s%s", name, rule->map ? ", map " : "",
		         rule->map ? rule->map : "");
	else
		snprintf(reason, sizeof(reason), "its certificate has no name that could be compared");
	login_fail(c, reason, SQLSTATE_INVALID_AUTHORIZATION, "TLS certificate name mismatch");
	return false;
}

/* ---- the rule ---- */

/* auth_type = hba. False: refused. */
static bool
find_rule(struct client *c, struct hba_rule *out)
{
	struct client_login *l = c->login;
	const struct hba_question question = {
		.database = l->database, .user = l->user, .address = address_of(c), .is_tls = c->stream.ssl != NULL,
		.is_replication = l->replication == REPLICATION_PHYSICAL,
	};
	char reason[300];
	if (!c->is_unix && question.address.size == 0) { /* it has gone; or "local" would fit it */
		refuse(c, "its address is not known any more", "no authentication method is found");
		return false;
	}
	const struct hba_rule *rule = hba_match(c->proxy->access.hba, &question);
	if (rule == NULL) {
		refuse(c, question.is_tls ? "no rule fits it (with TLS)" : "no rule fits it (without TLS)",
		       "no authentication method is found");
		return false;
	}
	if (rule->method == HBA_REJECT) {
		snprintf(reason, sizeof(reason), "rejected by %.200s:%zu", rule->file, rule->line);
		refuse(c, reason, "login rejected");
		return false;
	}
	log_debug(client_tag(c), "rule %s:%zu: %s", rule->file, rule->line, hba_method_name(rule->method));
	*out = *rule;
	l->way = auth_type_of_rule(rule->method);
	return true;
}

bool
login_choose_way(struct client *c)
{
	struct client_login *l = c->login;
	l->way = c->proxy->config->settings.auth_type;
	if (login_is_own_user(c)) {
		l->way = AUTH_TYPE_ANY;
		return true;
	}
	if (login_is_throttled(c))
		return false;
	/* Outside of rules: names must be equal, and a certificate matters to auth_type = cert only. */
	struct hba_rule rule = { .certificate = l->way == AUTH_TYPE_CERT ? HBA_CERTIFICATE_NAME : HBA_CERTIFICATE_ANY };
	if (l->way == AUTH_TYPE_HBA && !find_rule(c, &rule))
		return false;
	if (rule.certificate != HBA_CERTIFICATE_ANY && !is_certificate_good(c, &rule))
		return false;
	return l->way != AUTH_TYPE_PEER || is_peer_good(c, &rule);
}
