/* auth/method.c - see the header. */
#include "auth/method.h"

#include <string.h>

#include "auth/md5.h"

/* --- towards a client --------------------------------------------------------------------------------------- */

static enum auth_method
reject(const char **why, const char *sentence)
{
	*why = sentence;
	return AUTH_METHOD_REJECT;
}

/* Where nothing is asked, somebody has to be there. */
static enum auth_method
if_known(enum auth_method method, const struct secret *secret, const char **why)
{
	return secret && !secret->is_mock ? method : reject(why, "the user is not known");
}

enum auth_method
auth_method_for(enum auth_type configured, const struct secret *secret, bool is_unix, const char **why)
{
	*why = NULL;
	switch (configured) {
	case AUTH_TYPE_ANY:
		return AUTH_METHOD_TRUST;
	case AUTH_TYPE_TRUST:
		return if_known(AUTH_METHOD_TRUST, secret, why);
	case AUTH_TYPE_PLAIN:
		return AUTH_METHOD_CLEARTEXT;
	case AUTH_TYPE_MD5:
		/* Where OpenSSL will not do MD5 (FIPS), SCRAM still serves those with a plain password. */
		return (secret && secret->kind == SECRET_SCRAM) || !digest_has_md5() ? AUTH_METHOD_SCRAM
		                                                                     : AUTH_METHOD_MD5;
	case AUTH_TYPE_SCRAM_SHA_256:
		return AUTH_METHOD_SCRAM; /* an MD5 secret can't serve it: the exchange then fails at its end */
	case AUTH_TYPE_CERT:
		return is_unix ? reject(why, "certificates need TLS, which Unix sockets have not")
		               : if_known(AUTH_METHOD_CERT, secret, why);
	case AUTH_TYPE_PEER:
		return is_unix ? if_known(AUTH_METHOD_PEER, secret, why)
		               : reject(why, "auth_type peer is for Unix sockets only");
	case AUTH_TYPE_HBA:
		return reject(why, "no rule was looked for");
	}
	return reject(why, "auth_type is unknown");
}

enum auth_type
auth_type_of_rule(enum hba_method m)
{
	switch (m) {
	case HBA_TRUST:
		return AUTH_TYPE_TRUST;
	case HBA_MD5:
		return AUTH_TYPE_MD5;
	case HBA_PASSWORD:
		return AUTH_TYPE_PLAIN;
	case HBA_SCRAM:
		return AUTH_TYPE_SCRAM_SHA_256;
	case HBA_PEER:
		return AUTH_TYPE_PEER;
	case HBA_CERT:
		return AUTH_TYPE_CERT;
	case HBA_REJECT:
		break;
	}
	return AUTH_TYPE_HBA; /* which lets nobody in */
}

/* --- towards a server --------------------------------------------------------------------------------------- */

struct server_credentials
server_credentials_of(const char *user, const struct secret *secret, const struct scram_keys *keys)
{
	struct server_credentials c = { .user = user, .keys = keys };

	if (secret && !secret->is_mock) {
		c.password = secret->kind == SECRET_PLAIN ? secret->text : NULL;
		c.md5_secret = secret->kind == SECRET_MD5 ? secret->text : NULL;
		c.has_scram_secret = secret->kind == SECRET_SCRAM;
	}
	return c;
}

bool
sasl_offers(struct view mechanisms, const char *name)
{
	while (mechanisms.n && mechanisms.p[0]) {
		const uint8_t *end = memchr(mechanisms.p, 0, mechanisms.n);
		if (!end)
			return false;
		size_t n = (size_t)(end - mechanisms.p);
		if (view_is(view_part(mechanisms, 0, n), name))
			return true;
		mechanisms = view_from(mechanisms, n + 1);
	}
	return false;
}

/* "server asks for X but Y is known for user Z: do W" */
static enum server_answer
cannot(struct text *why, const char *asked, const struct server_credentials *have, const char *remedy)
{
	const char *known = have->md5_secret         ? "only an md5 secret is"
	                    : have->keys             ? "only the SCRAM keys of the client's own login are"
	                    : have->has_scram_secret ? "only a SCRAM secret, whose keys no client has shown, is"
	                                             : "no password is";
	text_addf(why, "server asks for %s but %s known for user \"", asked, known);
	text_add_view(why, view_of_string(have->user));
	text_addf(why, "\": %s", remedy);
	return SERVER_ANSWER_NONE;
}

static void
add_mechanisms(struct text *t, struct view list)
{
	for (size_t i = 0; i < list.n && !(list.p[i] == 0 && (i + 1 == list.n || list.p[i + 1] == 0)); i++)
		text_add_view(t, list.p[i] ? view_part(list, i, 1) : VIEW(" "));
}

/* False: the list and the connection do not go together, or what is required can't be had. Source: libpq, channel_binding. */
static bool
choose_binding(struct view mechanisms, const struct server_channel *channel, struct scram_binding *binding, struct text *why)
{
	bool is_offered = sasl_offers(mechanisms, SCRAM_MECHANISM_PLUS);
	if (is_offered && !channel->is_tls) {
		text_add(why, "server offers " SCRAM_MECHANISM_PLUS " over a connection without TLS");
		return false;
	}
	binding->is_possible = channel->wanted != CHANNEL_BINDING_DISABLE && channel->has_hash;
	binding->is_used = binding->is_possible && is_offered;
	if (channel->wanted != CHANNEL_BINDING_REQUIRE || binding->is_used)
		return true;
	text_add(why, "channel binding is required (server_channel_binding), but ");
	text_add(why, !channel->is_tls    ? "the connection is without TLS"
	              : !channel->has_hash ? "the server's certificate has no hash for it"
	                                   : "the server does not offer " SCRAM_MECHANISM_PLUS);
	return false;
}

static enum server_answer
answer_sasl(struct view mechanisms, const struct server_credentials *have, const struct server_channel *channel,
            struct scram_binding *binding, struct text *why)
{
	if (!choose_binding(mechanisms, channel, binding, why))
		return SERVER_ANSWER_NONE;
	if (!binding->is_used && !sasl_offers(mechanisms, SCRAM_MECHANISM)) {
		text_add(why, "server does not offer " SCRAM_MECHANISM " but only \"");
		add_mechanisms(why, mechanisms);
		text_add(why, "\"");
		return SERVER_ANSWER_NONE;
	}
	if (have->password)
		return SERVER_ANSWER_SCRAM_PASSWORD;
	if (have->keys)
		return SERVER_ANSWER_SCRAM_KEYS;
	return cannot(why, SCRAM_MECHANISM, have,
	              have->has_scram_secret ? "let the client log in with auth_type scram-sha-256, or put a plain "
	                                       "password in auth_file"
	                                     : "put a plain password or the server's SCRAM secret in auth_file");
}

enum server_answer
server_answer(uint32_t code, struct view body, const struct server_credentials *have,
              const struct server_channel *channel, struct scram_binding *binding, struct text *why)
{
	*binding = (struct scram_binding){ 0 };
	if (code == SERVER_ASKS_SASL)
		return answer_sasl(body, have, channel, binding, why);
	if (channel->wanted == CHANNEL_BINDING_REQUIRE) { /* before a password is shown to whoever that is */
		text_add(why, code == SERVER_ASKS_NOTHING
		                  ? "channel binding is required (server_channel_binding), but the server asks for no proof"
		                  : "channel binding is required (server_channel_binding), but the server does not ask for SCRAM");
		return SERVER_ANSWER_NONE;
	}
	switch (code) {
	case SERVER_ASKS_NOTHING:
		return SERVER_ANSWER_NOTHING;
	case SERVER_ASKS_CLEARTEXT:
		return have->password ? SERVER_ANSWER_PASSWORD
		                      : cannot(why, "a clear-text password", have, "put a plain password in auth_file");
	case SERVER_ASKS_MD5:
		return have->password || have->md5_secret
		               ? SERVER_ANSWER_MD5
		               : cannot(why, "an md5 password", have, "put a plain password or an md5 secret in auth_file");
	}
	const char *name = code == SERVER_ASKS_KERBEROS ? "Kerberos V5"
	                   : code == SERVER_ASKS_GSS    ? "GSSAPI"
	                   : code == SERVER_ASKS_SSPI   ? "SSPI"
	                                                : "an unknown kind of";
	text_addf(why, "server asks for %s authentication (code %u), which is not supported", name, code);
	return SERVER_ANSWER_NONE;
}

bool
server_answer_md5(struct view body, const struct server_credentials *have, char out[MD5_TEXT_SIZE])
{
	char secret[MD5_TEXT_SIZE];

	out[0] = 0;
	if (body.n != MD5_SALT_BYTES)
		return false;
	if (!have->password)
		return have->md5_secret && md5_with_salt(have->md5_secret, body.p, out);
	bool is_made = md5_password(have->user, have->password, secret) && md5_with_salt(secret, body.p, out);
	digest_erase(secret, sizeof(secret));
	return is_made;
}
