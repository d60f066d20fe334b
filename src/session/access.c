/* session/access.c - see the header. */
#include "session/access.h"

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

static bool
make_tls(const struct settings *set, struct tls_context **clients, struct tls_context **servers, struct text *why)
{
	const struct tls_files for_clients = {
		.key_file = set->client_tls_key_file, .cert_file = set->client_tls_cert_file,
		.ca_file = set->client_tls_ca_file, .ciphers = set->client_tls_ciphers,
		.ciphers13 = set->client_tls13_ciphers, .protocols = set->client_tls_protocols,
		.curve = set->client_tls_ecdhcurve, .verify_peer = set->client_tls_sslmode >= SSLMODE_VERIFY_CA,
	};
	const struct tls_files for_servers = {
		.key_file = set->server_tls_key_file, .cert_file = set->server_tls_cert_file,
		.ca_file = set->server_tls_ca_file, .ciphers = set->server_tls_ciphers,
		.ciphers13 = set->server_tls13_ciphers, .protocols = set->server_tls_protocols,
		.verify_peer = set->server_tls_sslmode >= SSLMODE_VERIFY_CA,
		.verify_host = set->server_tls_sslmode == SSLMODE_VERIFY_FULL,
	};
	*clients = *servers = NULL;
	if (set->client_tls_sslmode != SSLMODE_DISABLE &&
	    (*clients = make_context(TLS_FOR_CLIENTS, &for_clients, why)) == NULL)
		return false;
	if (set->server_tls_sslmode != SSLMODE_DISABLE &&
	    (*servers = make_context(TLS_FOR_SERVERS, &for_servers, why)) == NULL) {
		tls_context_unref(*clients);
		*clients = NULL;
		return false;
	}
	return true;
}

static bool
load_users(const struct settings *set, struct users **out, struct text *why)
{
	struct users_source from = { .auth_file = set->auth_file, .auth_users = set->auth_users };
	return users_load(&from, out, why) == USERS_OK;
}

bool
access_load(const struct settings *set, struct access *out, struct text *why)
{
	*out = (struct access){ 0 };
	users_file_stamp(set->auth_file, &out->users_stamp);
	if (make_tls(set, &out->tls_clients, &out->tls_servers, why) && load_users(set, &out->users, why))
		return true;
	access_free(out);
	return false;
}

void
access_free(struct access *a)
{
	users_free(a->users);
	tls_context_unref(a->tls_clients);
	tls_context_unref(a->tls_servers);
	*a = (struct access){ 0 };
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
