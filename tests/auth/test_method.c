/* tests/auth/test_method.c - how a client is asked, and what we can answer to a server. */
#include "auth/method.h"

#include <stdlib.h>

#include "../suite.h"
#include "auth/md5.h"
#include "auth/mock.h"
#include "postgres.h"

static enum auth_method
method(enum auth_type configured, const char *text, bool is_mock)
{
	const char *why = "not set";
	struct secret s;
	secret_parse(text, &s);
	s.is_mock = is_mock;
	enum auth_method m = auth_method_for(configured, &s, false, &why);
	ck_assert((m == AUTH_METHOD_REJECT) == (why != NULL));
	secret_free(&s);
	return m;
}

START_TEST(the_method_follows_the_setting_and_the_secret)
{
	static const struct { enum auth_type configured; const char *secret; enum auth_method method; } cases[] = {
		{ AUTH_TYPE_ANY, "app", AUTH_METHOD_TRUST },
		{ AUTH_TYPE_TRUST, "app", AUTH_METHOD_TRUST },
		{ AUTH_TYPE_TRUST, "", AUTH_METHOD_TRUST },
		{ AUTH_TYPE_PLAIN, "app", AUTH_METHOD_CLEARTEXT },
		{ AUTH_TYPE_PLAIN, APP_SCRAM, AUTH_METHOD_CLEARTEXT },
		{ AUTH_TYPE_MD5, "app", AUTH_METHOD_MD5 },
		{ AUTH_TYPE_MD5, "", AUTH_METHOD_MD5 },
		{ AUTH_TYPE_MD5, MD5_USER_SECRET, AUTH_METHOD_MD5 },
		{ AUTH_TYPE_MD5, APP_SCRAM, AUTH_METHOD_SCRAM },
		{ AUTH_TYPE_SCRAM_SHA_256, "app", AUTH_METHOD_SCRAM },
		{ AUTH_TYPE_SCRAM_SHA_256, "", AUTH_METHOD_SCRAM },
		{ AUTH_TYPE_SCRAM_SHA_256, MD5_USER_SECRET, AUTH_METHOD_SCRAM },
		{ AUTH_TYPE_SCRAM_SHA_256, APP_SCRAM, AUTH_METHOD_SCRAM },
		{ AUTH_TYPE_CERT, "app", AUTH_METHOD_CERT },
		{ AUTH_TYPE_CERT, APP_SCRAM, AUTH_METHOD_CERT },
		{ AUTH_TYPE_HBA, "app", AUTH_METHOD_REJECT },
		{ AUTH_TYPE_PEER, "app", AUTH_METHOD_REJECT },
		{ (enum auth_type)99, "app", AUTH_METHOD_REJECT },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		ck_assert_int_eq(method(cases[i].configured, cases[i].secret, false), cases[i].method);
		/* who does not exist is asked as who does, except where nothing is asked */
		ck_assert_int_eq(method(cases[i].configured, cases[i].secret, true),
		                 cases[i].configured == AUTH_TYPE_TRUST || cases[i].configured == AUTH_TYPE_CERT
		                         ? AUTH_METHOD_REJECT
		                         : cases[i].method);
	}
}
END_TEST

START_TEST(an_unknown_user_is_asked_as_a_user_with_a_plain_password)
{
	static const struct { enum auth_type configured; enum auth_method method; } cases[] = {
		{ AUTH_TYPE_ANY, AUTH_METHOD_TRUST },
		{ AUTH_TYPE_TRUST, AUTH_METHOD_REJECT },
		{ AUTH_TYPE_PLAIN, AUTH_METHOD_CLEARTEXT },
		{ AUTH_TYPE_MD5, AUTH_METHOD_MD5 },
		{ AUTH_TYPE_SCRAM_SHA_256, AUTH_METHOD_SCRAM },
	};
	const char *why;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		ck_assert_int_eq(auth_method_for(cases[i].configured, NULL, false, &why), cases[i].method);
	ck_assert_int_eq(auth_method_for(AUTH_TYPE_PEER, NULL, true, &why), AUTH_METHOD_REJECT);
	ck_assert_str_eq(why, "the user is not known");
	auth_method_for(AUTH_TYPE_PEER, NULL, false, &why);
	ck_assert_str_eq(why, "auth_type peer is for Unix sockets only");
}
END_TEST

START_TEST(peer_is_for_unix_sockets_and_certificates_are_not)
{
	const struct secret known = { .kind = SECRET_NONE };
	const char *why;
	ck_assert_int_eq(auth_method_for(AUTH_TYPE_PEER, &known, true, &why), AUTH_METHOD_PEER);
	ck_assert_int_eq(auth_method_for(AUTH_TYPE_PEER, &known, false, &why), AUTH_METHOD_REJECT);
	ck_assert_int_eq(auth_method_for(AUTH_TYPE_CERT, &known, false, &why), AUTH_METHOD_CERT);
	ck_assert_int_eq(auth_method_for(AUTH_TYPE_CERT, &known, true, &why), AUTH_METHOD_REJECT);
}
END_TEST

START_TEST(a_rule_is_as_good_as_a_setting)
{
	static const struct { enum hba_method rule; enum auth_type type; } cases[] = {
		{ HBA_TRUST, AUTH_TYPE_TRUST }, { HBA_PASSWORD, AUTH_TYPE_PLAIN },   { HBA_MD5, AUTH_TYPE_MD5 },
		{ HBA_PEER, AUTH_TYPE_PEER },   { HBA_SCRAM, AUTH_TYPE_SCRAM_SHA_256 }, { HBA_CERT, AUTH_TYPE_CERT },
		{ HBA_REJECT, AUTH_TYPE_HBA },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		ck_assert_int_eq(auth_type_of_rule(cases[i].rule), cases[i].type);
}
END_TEST

/* --- towards a server --------------------------------------------------------------------------------------- */

static char why_text[400];

static enum server_answer
answer(uint32_t code, struct view body, const struct server_credentials *have)
{
	struct text why = TEXT_IN(why_text);
	const struct server_channel channel = { .wanted = CHANNEL_BINDING_PREFER, .is_tls = true };
	struct scram_binding binding;
	enum server_answer a = server_answer(code, body, have, &channel, &binding, &why);
	ck_assert((a == SERVER_ANSWER_NONE) == (why_text[0] != 0));
	return a;
}

#define SASL VIEW("SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0")

START_TEST(a_plain_password_answers_everything)
{
	const struct server_credentials have = { .user = "app", .password = "app" };
	ck_assert_int_eq(answer(SERVER_ASKS_NOTHING, VIEW(""), &have), SERVER_ANSWER_NOTHING);
	ck_assert_int_eq(answer(SERVER_ASKS_CLEARTEXT, VIEW(""), &have), SERVER_ANSWER_PASSWORD);
	ck_assert_int_eq(answer(SERVER_ASKS_MD5, VIEW("salt"), &have), SERVER_ANSWER_MD5);
	ck_assert_int_eq(answer(SERVER_ASKS_SASL, SASL, &have), SERVER_ANSWER_SCRAM_PASSWORD);
}
END_TEST

START_TEST(an_md5_secret_answers_md5_only)
{
	const struct server_credentials have = { .user = "x", .md5_secret = MD5_USER_SECRET };
	ck_assert_int_eq(answer(SERVER_ASKS_NOTHING, VIEW(""), &have), SERVER_ANSWER_NOTHING);
	ck_assert_int_eq(answer(SERVER_ASKS_MD5, VIEW("salt"), &have), SERVER_ANSWER_MD5);
	ck_assert_int_eq(answer(SERVER_ASKS_CLEARTEXT, VIEW(""), &have), SERVER_ANSWER_NONE);
	ck_assert_str_eq(why_text, "server asks for a clear-text password but only an md5 secret is known for user \"x\": "
	                           "put a plain password in auth_file");
	ck_assert_int_eq(answer(SERVER_ASKS_SASL, SASL, &have), SERVER_ANSWER_NONE);
	ck_assert_str_eq(why_text, "server asks for SCRAM-SHA-256 but only an md5 secret is known for user \"x\": "
	                           "put a plain password or the server's SCRAM secret in auth_file");
}
END_TEST

START_TEST(keys_answer_scram_only)
{
	const struct scram_keys keys = { .iterations = 1 };
	const struct server_credentials have = { .user = "x", .keys = &keys, .has_scram_secret = true };
	ck_assert_int_eq(answer(SERVER_ASKS_SASL, SASL, &have), SERVER_ANSWER_SCRAM_KEYS);
	ck_assert_int_eq(answer(SERVER_ASKS_CLEARTEXT, VIEW(""), &have), SERVER_ANSWER_NONE);
	ck_assert_int_eq(answer(SERVER_ASKS_MD5, VIEW("salt"), &have), SERVER_ANSWER_NONE);
	ck_assert_str_eq(why_text, "server asks for an md5 password but only the SCRAM keys of the client's own login are "
	                           "known for user \"x\": put a plain password or an md5 secret in auth_file");
}
END_TEST

START_TEST(a_scram_secret_without_keys_answers_nothing_and_says_why)
{
	const struct server_credentials have = { .user = "x", .has_scram_secret = true };
	ck_assert_int_eq(answer(SERVER_ASKS_SASL, SASL, &have), SERVER_ANSWER_NONE);
	ck_assert_str_eq(why_text, "server asks for SCRAM-SHA-256 but only a SCRAM secret, whose keys no client has shown, is "
	                           "known for user \"x\": let the client log in with auth_type scram-sha-256, or put a "
	                           "plain password in auth_file");
}
END_TEST

START_TEST(what_nobody_can_answer_is_named)
{
	const struct server_credentials have = { .user = "a\nb", .password = NULL };
	static const struct { uint32_t code; const char *said; } cases[] = {
		{ SERVER_ASKS_CLEARTEXT, "server asks for a clear-text password but no password is known for user \"a?b\": put a "
		                         "plain password in auth_file" },
		{ SERVER_ASKS_KERBEROS, "server asks for Kerberos V5 authentication (code 2), which is not supported" },
		{ SERVER_ASKS_GSS, "server asks for GSSAPI authentication (code 7), which is not supported" },
		{ SERVER_ASKS_SSPI, "server asks for SSPI authentication (code 9), which is not supported" },
		{ 99, "server asks for an unknown kind of authentication (code 99), which is not supported" },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		ck_assert_int_eq(answer(cases[i].code, VIEW(""), &have), SERVER_ANSWER_NONE);
		ck_assert_str_eq(why_text, cases[i].said);
	}
	ck_assert_int_eq(answer(SERVER_ASKS_SASL, VIEW("OAUTHBEARER\0SCRAM-SHA-256-PLUS\0"), &have), SERVER_ANSWER_NONE);
	ck_assert_str_eq(why_text, "server does not offer SCRAM-SHA-256 but only \"OAUTHBEARER SCRAM-SHA-256-PLUS\"");
}
END_TEST

/* As libpq's channel_binding does. */
START_TEST(scram_is_bound_to_the_certificate_as_wanted_and_possible)
{
	static const char plain[] = "SCRAM-SHA-256\0", both[] = "SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0";
	static const struct {
		enum channel_binding wanted;
		bool is_tls, has_hash, is_plus_offered;
		bool is_possible, is_used;
		const char *why; /* NULL: it goes on */
	} cases[] = {
		{ CHANNEL_BINDING_PREFER, true, true, true, true, true, NULL },
		{ CHANNEL_BINDING_PREFER, true, true, false, true, false, NULL }, /* "y": we could */
		{ CHANNEL_BINDING_PREFER, true, false, true, false, false, NULL },
		{ CHANNEL_BINDING_PREFER, false, false, false, false, false, NULL },
		{ CHANNEL_BINDING_PREFER, false, false, true, false, false, "over a connection without TLS" },
		{ CHANNEL_BINDING_DISABLE, true, true, true, false, false, NULL },
		{ CHANNEL_BINDING_DISABLE, false, false, true, false, false, "over a connection without TLS" },
		{ CHANNEL_BINDING_REQUIRE, true, true, true, true, true, NULL },
		{ CHANNEL_BINDING_REQUIRE, true, true, false, true, false, "does not offer SCRAM-SHA-256-PLUS" },
		{ CHANNEL_BINDING_REQUIRE, true, false, true, false, false, "has no hash" },
		{ CHANNEL_BINDING_REQUIRE, false, false, false, false, false, "the connection is without TLS" },
	};
	const struct server_credentials have = { .user = "x", .password = "y" };
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct server_channel channel = { cases[i].wanted, cases[i].is_tls, cases[i].has_hash };
		struct scram_binding binding;
		struct text why = TEXT_IN(why_text);
		struct view list = cases[i].is_plus_offered ? view_of(both, sizeof(both)) : view_of(plain, sizeof(plain));
		enum server_answer a = server_answer(SERVER_ASKS_SASL, list, &have, &channel, &binding, &why);
		ck_assert_int_eq(a, cases[i].why ? SERVER_ANSWER_NONE : SERVER_ANSWER_SCRAM_PASSWORD);
		ck_assert_msg(cases[i].why == NULL || strstr(why_text, cases[i].why), "%zu: %s", i, why_text);
		if (cases[i].why == NULL) {
			ck_assert_msg(binding.is_possible == cases[i].is_possible && binding.is_used == cases[i].is_used, "%zu", i);
			/* The only mechanism will do when it is the one that is used. */
			a = server_answer(SERVER_ASKS_SASL, VIEW("SCRAM-SHA-256-PLUS\0"), &have, &channel, &binding, &why);
			if (cases[i].is_plus_offered)
				ck_assert_int_eq(a, cases[i].is_used ? SERVER_ANSWER_SCRAM_PASSWORD : SERVER_ANSWER_NONE);
		}
	}
	const struct server_channel required = { CHANNEL_BINDING_REQUIRE, true, true };
	static const uint32_t others[] = { SERVER_ASKS_NOTHING, SERVER_ASKS_CLEARTEXT, SERVER_ASKS_MD5, SERVER_ASKS_GSS };
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		struct scram_binding binding;
		struct text why = TEXT_IN(why_text);
		ck_assert_int_eq(server_answer(others[i], VIEW("salt"), &have, &required, &binding, &why), SERVER_ANSWER_NONE);
		ck_assert(strstr(why_text, "channel binding is required"));
	}
}
END_TEST

START_TEST(a_list_of_mechanisms_is_read_within_its_bounds)
{
	static const char list[] = "SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0";
	for (size_t n = 0; n < sizeof(list); n++) {
		uint8_t *copy = malloc(n ? n : 1);
		memcpy(copy, list, n);
		ck_assert_int_eq(sasl_offers(view_of(copy, n), SCRAM_MECHANISM), n >= 33);
		ck_assert_int_eq(sasl_offers(view_of(copy, n), SCRAM_MECHANISM_PLUS), n >= 19);
		answer(SERVER_ASKS_SASL, view_of(copy, n), &(struct server_credentials){ .user = "x" });
		free(copy);
	}
	ck_assert(!sasl_offers(VIEW("\0SCRAM-SHA-256\0"), SCRAM_MECHANISM)); /* behind the end */
	ck_assert(!sasl_offers(VIEW("SCRAM-SHA-25\0SCRAM-SHA-2566\0"), SCRAM_MECHANISM));
}
END_TEST

START_TEST(credentials_are_what_of_a_secret_can_be_shown)
{
	const struct scram_keys keys = { .iterations = 1 };
	struct secret s, mock;
	secret_parse("app", &s);
	struct server_credentials c = server_credentials_of("app", &s, NULL);
	ck_assert_str_eq(c.password, "app");
	ck_assert(!c.md5_secret && !c.keys && !c.has_scram_secret);
	mock_secret("app", &s, &mock);
	c = server_credentials_of("app", &mock, NULL);
	ck_assert(!c.password && !c.md5_secret);
	secret_free(&s);
	secret_free(&mock);
	secret_parse(MD5_USER_SECRET, &s);
	c = server_credentials_of(MD5_USER, &s, NULL);
	ck_assert_str_eq(c.md5_secret, MD5_USER_SECRET);
	ck_assert_ptr_null(c.password);
	secret_free(&s);
	secret_parse(APP_SCRAM, &s);
	c = server_credentials_of("app", &s, &keys);
	ck_assert(!c.password && !c.md5_secret && c.keys == &keys && c.has_scram_secret);
	secret_free(&s);
	c = server_credentials_of("app", NULL, NULL);
	ck_assert(!c.password && !c.md5_secret && !c.keys && !c.has_scram_secret);
}
END_TEST

START_TEST(the_md5_answer_comes_from_either_secret)
{
	const struct view salt = VIEW("\1\2\3\4");
	char out[MD5_TEXT_SIZE];
	const struct server_credentials plain = { .user = MD5_USER, .password = "app" };
	const struct server_credentials md5 = { .user = MD5_USER, .md5_secret = MD5_USER_SECRET };
	const struct server_credentials none = { .user = MD5_USER };
	ck_assert(server_answer_md5(salt, &plain, out));
	ck_assert_str_eq(out, "md53493baf86f1728ae2f58835270831138");
	ck_assert(server_answer_md5(salt, &md5, out));
	ck_assert_str_eq(out, "md53493baf86f1728ae2f58835270831138");
	ck_assert(!server_answer_md5(salt, &none, out));
	ck_assert(!server_answer_md5(VIEW("\1\2\3"), &plain, out));
	ck_assert(!server_answer_md5(VIEW("\1\2\3\4\5"), &plain, out));
	ck_assert_str_eq(out, "");
}
END_TEST

int
main(void)
{
	const TTest *const rules[] = {
		the_method_follows_the_setting_and_the_secret,
		an_unknown_user_is_asked_as_a_user_with_a_plain_password,
		peer_is_for_unix_sockets_and_certificates_are_not,
		a_rule_is_as_good_as_a_setting,
		a_plain_password_answers_everything,
		an_md5_secret_answers_md5_only,
		keys_answer_scram_only,
		a_scram_secret_without_keys_answers_nothing_and_says_why,
		what_nobody_can_answer_is_named,
		scram_is_bound_to_the_certificate_as_wanted_and_possible,
		a_list_of_mechanisms_is_read_within_its_bounds,
		credentials_are_what_of_a_secret_can_be_shown,
		the_md5_answer_comes_from_either_secret,
	};
	return suite_run("auth/method", rules, sizeof(rules) / sizeof(rules[0]));
}
