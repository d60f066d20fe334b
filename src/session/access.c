/* session/access.c - see the header. */
#include "session/access.h"

#include <stdio.h>
#include <time.h>

#include "base/clock.h"
#include "auth/digest.h"
#include "auth/mock.h"
#include "base/log.h"

/* What one part has to say, behind what the others have said. */
static void
add_part(struct text *why, const struct text *part)
{
	if (part->n > 0)
		text_addf(why, "%s%s", why->n ? "\n" : "", part->p);
}

/* One context, or a sentence that begins with which of the two it was to be. */
static struct tls_context *
make_context(enum tls_role role, const struct tls_files *files, struct text *why)
{
	char reason[400];
	struct text said = TEXT_IN(reason);
	struct tls_context *t = tls_context_new(role, files, &said);
	if (t == NULL)
		text_addf(why, "%s: %s", role == TLS_FOR_CLIENTS ? "client_tls" : "server_tls", reason);
	return t;
}

static enum tls_client_certificate
client_certificate(const struct settings *set)
{
	if (set->client_tls_sslmode >= SSLMODE_VERIFY_CA)
		return TLS_CERTIFICATE_NEEDED;
	return set->client_tls_ca_file[0] ? TLS_CERTIFICATE_OPTIONAL : TLS_CERTIFICATE_UNASKED;
}

static bool
make_tls(const struct config *config, struct access *out, struct text *why)
{
	const struct settings *set = &config->settings;
	const struct tls_files for_clients = {
		.key_file = set->client_tls_key_file, .cert_file = set->client_tls_cert_file,
		.ca_file = set->client_tls_ca_file, .crl_file = set->client_tls_crl_file, .ciphers = set->client_tls_ciphers,
		.ciphers13 = set->client_tls13_ciphers, .protocols = set->client_tls_protocols,
		.curve = set->client_tls_ecdhcurve, .dheparams = set->client_tls_dheparams,
		.client_certificate = client_certificate(set), .resumes = set->client_tls_session_resumption,
	};
	const struct tls_files for_servers = {
		.key_file = set->server_tls_key_file, .cert_file = set->server_tls_cert_file,
		.ca_file = set->server_tls_ca_file, .crl_file = set->server_tls_crl_file, .ciphers = set->server_tls_ciphers,
		.ciphers13 = set->server_tls13_ciphers, .protocols = set->server_tls_protocols,
	};
	const bool needs_clients = set->client_tls_sslmode != SSLMODE_DISABLE;
	const bool needs_servers = config_server_sslmode_max(config) != SSLMODE_DISABLE;
	char reason[1000];
	if (needs_clients) {
		struct text part = TEXT_IN(reason);
		out->tls_clients = make_context(TLS_FOR_CLIENTS, &for_clients, &part);
		add_part(why, &part);
	}
	if (needs_servers) {
		struct text part = TEXT_IN(reason);
		out->tls_servers = make_context(TLS_FOR_SERVERS, &for_servers, &part);
		add_part(why, &part);
	}
	return (out->tls_clients || !needs_clients) && (out->tls_servers || !needs_servers);
}

/* What a rule refers to has to be there, or nobody could ever come in by it. */
static bool
check_rules(const struct settings *set, const struct access *a, struct text *why)
{
	struct rules_mistakes m = { .why = why };
	for (size_t i = 0; a->hba && i < hba_count(a->hba); i++) {
		const struct hba_rule *rule = hba_rule(a->hba, i);
		if (rule->map && !ident_has(a->ident, rule->map))
			rules_mistake(&m, rule->file, rule->line, "map \"%s\" is not in auth_ident_file%s%s", rule->map,
			              set->auth_ident_file[0] ? ", " : ", which is not set", set->auth_ident_file);
		if (rule->certificate != HBA_CERTIFICATE_ANY && set->client_tls_sslmode != SSLMODE_DISABLE &&
		    set->client_tls_ca_file[0] == '\0')
			rules_mistake(&m, rule->file, rule->line, "certificates of clients are checked with client_tls_ca_file, "
			                                          "which is not set");
	}
	return m.count == 0;
}

static bool
load_rules(const struct settings *set, struct access *out, struct text *why)
{
	char reason[ACCESS_WHY_MAX];
	struct text part = TEXT_IN(reason);
	if (set->auth_type != AUTH_TYPE_HBA)
		return true;
	out->hba = hba_load(set->auth_hba_file, &part);
	add_part(why, &part);
	if (set->auth_ident_file[0]) {
		part = TEXT_IN(reason);
		out->ident = ident_load(set->auth_ident_file, &part);
		add_part(why, &part);
	}
	if (out->hba == NULL || (out->ident == NULL && set->auth_ident_file[0]))
		return false;
	part = TEXT_IN(reason);
	bool is_good = check_rules(set, out, &part);
	add_part(why, &part);
	return is_good;
}

static bool
load_users(const struct settings *set, struct users **out, struct text *why)
{
	struct users_source from = { .auth_file = set->auth_file, .auth_users = set->auth_users };
	return users_load(&from, out, why) == USERS_OK;
}

bool
access_load(const struct config *config, struct access *out, struct text *why)
{
	const struct settings *set = &config->settings;
	char reason[ACCESS_WHY_MAX];
	struct text part = TEXT_IN(reason);
	*out = (struct access){ 0 };
	users_file_stamp(set->auth_file, &out->users_stamp);
	bool is_good = load_rules(set, out, why);
	is_good = make_tls(config, out, why) && is_good;
	is_good = load_users(set, &out->users, &part) && is_good;
	add_part(why, &part);
	if (is_good)
		return true;
	access_free(out);
	return false;
}

void
access_free(struct access *a)
{
	users_free(a->users);
	hba_free(a->hba);
	ident_free(a->ident);
	tls_context_unref(a->tls_clients);
	tls_context_unref(a->tls_servers);
	*a = (struct access){ 0 };
}

bool
access_check(const struct config *config, struct text *why)
{
	struct access a;
	bool is_good = access_load(config, &a, why);
	if (is_good)
		access_free(&a);
	return is_good;
}

/* ---- files that have an end ---- */

enum { WARN_DAYS = 14, DAY_S = 24 * 60 * 60 };

/* "2026-11-20 05:30:12 UTC" */
static const char *
moment(int64_t at_s, char *out, size_t room)
{
	struct tm tm;
	time_t t = (time_t)at_s;
	if (gmtime_r(&t, &tm) == NULL || strftime(out, room, "%Y-%m-%d %H:%M:%S UTC", &tm) == 0)
		snprintf(out, room, "another age");
	return out;
}

static bool
has_ended(const struct tls_validity *v)
{
	return v->file && v->until_s <= time(NULL);
}

static bool
is_early(const struct tls_validity *v)
{
	return v->file && v->from_s > time(NULL);
}

/* With the old one others still get in; whoever wants the new one nevertheless can restart. */
static bool
is_worse(const struct tls_validity *was, const struct tls_validity *is, const char *what, struct text *why)
{
	char when[40];
	if (was->file == NULL || has_ended(was) || is_early(was) || (!has_ended(is) && !is_early(is)))
		return false;
	text_addf(why, "%s file \"%s\" %s %s; the one in force is good", what, is->file,
	          has_ended(is) ? "expired at" : "is not valid before",
	          moment(has_ended(is) ? is->until_s : is->from_s, when, sizeof(when)));
	return true;
}

static bool
may_replace(struct tls_context *old, struct tls_context *now, struct text *why)
{
	if (old == NULL || now == NULL)
		return true;
	struct tls_validity was = tls_context_certificate(old), is = tls_context_certificate(now);
	struct tls_validity crl_was = tls_context_crl(old), crl_is = tls_context_crl(now);
	return !is_worse(&was, &is, "certificate", why) && !is_worse(&crl_was, &crl_is, "CRL", why);
}

bool
access_may_replace(const struct access *old, const struct access *now, struct text *why)
{
	return may_replace(old->tls_clients, now->tls_clients, why) && may_replace(old->tls_servers, now->tls_servers, why);
}

/*
 * Processes that share a port have to show an unknown user the same salt, and each of them the same one after a restart: a
 * real one does not change. They have the TLS key in common, if there is one. Passwords would be worse: a salt that
 * depends on one lets anybody try passwords at home.
 */
void
access_in_force(const struct access *a)
{
	uint8_t key[TLS_SECRET_BYTES];
	_Static_assert(TLS_SECRET_BYTES == DIGEST_BYTES, "one is the other");
	if (a->tls_clients && tls_context_secret(a->tls_clients, "pgsluice: users who do not exist", key))
		mock_key_set(key);
	digest_erase(key, sizeof(key));
}

/* The last two weeks; of one that lives for days only, the last fifth. */
static bool
ends_soon(const struct tls_validity *v)
{
	int64_t fifth = (v->until_s - v->from_s) / 5, weeks = (int64_t)WARN_DAYS * DAY_S;
	return v->until_s - time(NULL) < (fifth < weeks ? fifth : weeks);
}

static void
warn_of_end(const struct tls_validity *v, const char *what, bool is_renewed_often)
{
	char when[40];
	if (v->file == NULL)
		return;
	if (is_early(v))
		log_warning("tls", "%s file \"%s\" is not valid before %s", what, v->file,
		            moment(v->from_s, when, sizeof(when)));
	if (has_ended(v) || (ends_soon(v) && !is_renewed_often))
		log_warning("tls", "%s file \"%s\" %s at %s", what, v->file, has_ended(v) ? "expired" : "expires",
		            moment(v->until_s, when, sizeof(when)));
}

/* PostgreSQL says so, too: it may be meant, in a file for several servers. */
static void
warn_of_hostssl(const struct access *a)
{
	for (size_t i = 0; a->hba && a->tls_clients == NULL && i < hba_count(a->hba); i++) {
		const struct hba_rule *rule = hba_rule(a->hba, i);
		if (rule->transport == HBA_HOSTSSL) {
			log_warning("auth", "%s:%zu: hostssl fits nobody: client_tls_sslmode is disable", rule->file, rule->line);
			return;
		}
	}
}

static void
warn_of_ends(struct access *a)
{
	struct tls_context *const contexts[] = { a->tls_clients, a->tls_servers };
	a->warned_us = clock_now_us();
	for (int i = 0; i < 2; i++)
		if (contexts[i]) {
			struct tls_validity certificate = tls_context_certificate(contexts[i]), crl = tls_context_crl(contexts[i]);
			warn_of_end(&certificate, "certificate", false);
			warn_of_end(&crl, "CRL", true);
		}
}

void
access_log_warnings(struct access *a)
{
	warn_of_hostssl(a);
	warn_of_ends(a);
}

void
access_on_second(struct access *a)
{
	if (clock_now_us() - a->warned_us >= (uint64_t)DAY_S * SECOND_US)
		warn_of_ends(a);
}

enum access_refresh
access_refresh_users(struct access *a, const struct settings *set, struct text *why)
{
	struct users_stamp now;
	if (set->auth_file[0] == '\0')
		return ACCESS_SAME;
	users_file_stamp(set->auth_file, &now);
	if (users_stamp_equal(&now, &a->users_stamp))
		return ACCESS_SAME;
	a->users_stamp = now;
	struct users *users;
	if (!load_users(set, &users, why))
		return ACCESS_UNUSABLE;
	users_free(a->users);
	a->users = users;
	return ACCESS_REFRESHED;
}
