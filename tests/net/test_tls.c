/* tests/net/test_tls.c - net/tls: what a context makes of its files and settings; handshakes in memory. */
#include "net/tls.h"

#include <string.h>
#include <time.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "../suite.h"
#include "certs.h"

static struct certs certs;

static struct tls_context *
context(enum tls_role role, const struct tls_files *files)
{
	char reason[300] = "";
	struct text why = TEXT_IN(reason);
	struct tls_context *t = tls_context_new(role, files, &why);
	ck_assert_msg(t != NULL, "%s", reason);
	return t;
}

/* With the usual key and certificate. */
static struct tls_context *
server(struct tls_files files)
{
	files.key_file = certs.key;
	files.cert_file = certs.cert;
	return context(TLS_FOR_CLIENTS, &files);
}

/* ---- handshakes ---- */

struct pair {
	SSL *client, *server;
};

static struct pair
pair_new(SSL_CTX *client, SSL_CTX *server)
{
	struct pair p = { SSL_new(client), SSL_new(server) };
	BIO *a, *b;
	ck_assert_int_eq(BIO_new_bio_pair(&a, 0, &b, 0), 1);
	SSL_set_bio(p.client, a, a);
	SSL_set_bio(p.server, b, b);
	SSL_set_connect_state(p.client);
	SSL_set_accept_state(p.server);
	return p;
}

static void
pair_free(struct pair *p)
{
	SSL_free(p->client);
	SSL_free(p->server);
	ERR_clear_error();
}

static bool
shake_hands(struct pair *p)
{
	int a = 0, b = 0;
	for (int i = 0; i < 10 && (a != 1 || b != 1); i++) {
		a = SSL_do_handshake(p->client);
		b = SSL_do_handshake(p->server);
	}
	return a == 1 && b == 1;
}

/* What a client of these versions gets, or "". */
static const char *
version_with(struct tls_context *t, int least, int most, const char *ciphers)
{
	static char text[100];
	SSL_CTX *client = SSL_CTX_new(TLS_client_method());
	SSL_CTX_set_min_proto_version(client, least);
	SSL_CTX_set_max_proto_version(client, most);
	SSL_CTX_set_security_level(client, 0);
	ck_assert_int_eq(SSL_CTX_set_cipher_list(client, ciphers), 1);
	struct pair p = pair_new(client, tls_context_ssl(t));
	snprintf(text, sizeof(text), "%s", shake_hands(&p) ? SSL_get_version(p.client) : "");
	if (text[0] && strncmp(ciphers, "DHE", 3) == 0)
		snprintf(text, sizeof(text), "%s", SSL_get_cipher_name(p.client));
	pair_free(&p);
	SSL_CTX_free(client);
	return text;
}

START_TEST(only_the_protocols_named_are_spoken)
{
	static const struct { const char *protocols; const char *with_10, *with_11, *with_12, *with_13; } cases[] = {
		{ "", "", "", "TLSv1.2", "TLSv1.3" },
		{ "secure", "", "", "TLSv1.2", "TLSv1.3" },
		{ "tlsv1.3", "", "", "", "TLSv1.3" },
		{ "tlsv1.2", "", "", "TLSv1.2", "" },
		{ "TLSv1.1,tlsv1.3", "", "TLSv1.1", "", "TLSv1.3" }, /* with a hole */
		{ "all", "TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3" },
	};
	certs_make(&certs);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		/* Debian's security level leaves nothing of what is older than 1.2: that takes both. */
		struct tls_context *t = server((struct tls_files){ .protocols = cases[i].protocols, .ciphers = "ALL:@SECLEVEL=0" });
		ck_assert_str_eq(version_with(t, TLS1_VERSION, TLS1_VERSION, "ALL"), cases[i].with_10);
		ck_assert_str_eq(version_with(t, TLS1_1_VERSION, TLS1_1_VERSION, "ALL"), cases[i].with_11);
		ck_assert_str_eq(version_with(t, TLS1_2_VERSION, TLS1_2_VERSION, "ALL"), cases[i].with_12);
		ck_assert_str_eq(version_with(t, TLS1_3_VERSION, TLS1_3_VERSION, "ALL"), cases[i].with_13);
		tls_context_unref(t);
	}
	certs_remove(&certs);
}
END_TEST

START_TEST(ciphers_are_those_named)
{
	static const struct { const char *ciphers, *offered; bool works; } cases[] = {
		{ "default", "ECDHE-ECDSA-AES128-GCM-SHA256", true },
		{ "Secure", "ECDHE-ECDSA-AES256-GCM-SHA384", true },
		{ "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-AES128-GCM-SHA256", false },
		{ "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-AES256-GCM-SHA384", true },
		{ "default", "AECDH-AES128-SHA", false }, /* without a certificate, so with anybody in between */
		{ "all", "AECDH-AES128-SHA", false },
		{ "all", "ECDHE-ECDSA-AES256-GCM-SHA384", true },
	};
	certs_make(&certs);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct tls_context *t = server((struct tls_files){ .ciphers = cases[i].ciphers });
		ck_assert_str_eq(version_with(t, TLS1_2_VERSION, TLS1_2_VERSION, cases[i].offered), cases[i].works ? "TLSv1.2" : "");
		tls_context_unref(t);
	}
	struct tls_context *t = server((struct tls_files){ .ciphers13 = "TLS_CHACHA20_POLY1305_SHA256", .curve = "P-384" });
	SSL_CTX *client = SSL_CTX_new(TLS_client_method());
	struct pair p = pair_new(client, tls_context_ssl(t));
	ck_assert(shake_hands(&p));
	ck_assert_str_eq(SSL_get_cipher_name(p.client), "TLS_CHACHA20_POLY1305_SHA256");
	ck_assert_int_eq(SSL_get_negotiated_group(p.client), NID_secp384r1);
	pair_free(&p);
	SSL_CTX_free(client);
	tls_context_unref(t);
	certs_remove(&certs);
}
END_TEST

START_TEST(dhe_is_done_with_openssls_groups_or_not_at_all)
{
	static const struct { enum tls_dheparams params; bool works; } cases[] = {
		{ TLS_DHEPARAMS_AUTO, true }, { TLS_DHEPARAMS_NONE, false }, { TLS_DHEPARAMS_LEGACY, true },
	};
	certs_make(&certs);
	EVP_PKEY *key = EVP_RSA_gen(2048);
	certs_reissue(&certs, &(struct cert_plan){ .name = "db.example", .serial = 4 }, key);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct tls_context *t = server((struct tls_files){ .dheparams = cases[i].params });
		const char *cipher = "DHE-RSA-AES256-GCM-SHA384";
		ck_assert_str_eq(version_with(t, TLS1_2_VERSION, TLS1_2_VERSION, cipher), cases[i].works ? cipher : "");
		tls_context_unref(t);
	}
	EVP_PKEY_free(key);
	certs_remove(&certs);
}
END_TEST

START_TEST(client_certificates_are_asked_for_as_set)
{
	static const struct { enum tls_client_certificate wanted; const char *signer; bool works; } cases[] = {
		{ TLS_CERTIFICATE_UNASKED, NULL, true },   { TLS_CERTIFICATE_UNASKED, "other", true },
		{ TLS_CERTIFICATE_OPTIONAL, NULL, true },  { TLS_CERTIFICATE_OPTIONAL, "other", false },
		{ TLS_CERTIFICATE_OPTIONAL, "ca", true },  { TLS_CERTIFICATE_NEEDED, NULL, false },
		{ TLS_CERTIFICATE_NEEDED, "other", false }, { TLS_CERTIFICATE_NEEDED, "ca", true },
		{ TLS_CERTIFICATE_NEEDED, "revoked", false },
	};
	char list[sizeof(certs.dir) + 8];
	certs_make(&certs);
	snprintf(list, sizeof(list), "%s/crl", certs.dir);
	certs_revoke(&certs, list, 11, 600);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct tls_context *t = server((struct tls_files){ .ca_file = certs.ca, .crl_file = list,
		                                                   .client_certificate = cases[i].wanted });
		SSL_CTX *client = SSL_CTX_new(TLS_client_method());
		SSL_CTX_set_max_proto_version(client, TLS1_2_VERSION); /* where the client hears of it within the handshake */
		if (cases[i].signer) {
			EVP_PKEY *key = EVP_EC_gen("P-256");
			bool is_other = strcmp(cases[i].signer, "other") == 0;
			struct cert_plan plan = { .name = "client", .serial = strcmp(cases[i].signer, "revoked") == 0 ? 11 : 10 };
			X509 *x = make_cert(&plan, key, is_other ? NULL : certs.ca_cert, is_other ? key : certs.ca_key);
			SSL_CTX_use_certificate(client, x);
			SSL_CTX_use_PrivateKey(client, key);
			X509_free(x);
			EVP_PKEY_free(key);
		}
		struct pair p = pair_new(client, tls_context_ssl(t));
		ck_assert_msg(shake_hands(&p) == cases[i].works, "%zu", i);
		pair_free(&p);
		SSL_CTX_free(client);
		tls_context_unref(t);
	}
	remove(list);
	certs_remove(&certs);
}
END_TEST

/* ---- sessions ---- */

static SSL_SESSION *kept;

static int
keep_session(SSL *ssl, SSL_SESSION *session)
{
	SSL_SESSION_free(kept);
	kept = session;
	return 1;
}

/* Log in with what was kept, and answer whether the session was resumed; keep what is given. */
static bool
comes_back(SSL_CTX *client, struct tls_context *t)
{
	char byte;
	struct pair p = pair_new(client, tls_context_ssl(t));
	if (kept)
		SSL_set_session(p.client, kept);
	ck_assert(shake_hands(&p));
	SSL_read(p.client, &byte, 1); /* tickets of 1.3 come behind the handshake */
	bool is_resumed = SSL_session_reused(p.client) == 1;
	ck_assert_int_eq(SSL_session_reused(p.server), is_resumed);
	SSL_shutdown(p.client);
	pair_free(&p);
	return is_resumed;
}

START_TEST(sessions_are_resumed_where_that_is_set_and_within_one_context)
{
	static const int versions[] = { TLS1_2_VERSION, TLS1_3_VERSION };
	certs_make(&certs);
	for (int i = 0; i < 2; i++) {
		SSL_CTX *client = SSL_CTX_new(TLS_client_method());
		SSL_CTX_set_max_proto_version(client, versions[i]);
		SSL_CTX_set_session_cache_mode(client, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
		SSL_CTX_sess_set_new_cb(client, keep_session);
		struct tls_context *off = server((struct tls_files){ 0 }), *on = server((struct tls_files){ .resumes = true }),
		                   *next = server((struct tls_files){ .resumes = true }),
		                   *checks = server((struct tls_files){ .resumes = true, .ca_file = certs.ca,
		                                                        .client_certificate = TLS_CERTIFICATE_OPTIONAL });
		ck_assert(!comes_back(client, off));
		ck_assert(!comes_back(client, off));
		ck_assert(!comes_back(client, on));
		ck_assert_ptr_nonnull(kept);
		ck_assert(comes_back(client, on));
		ck_assert(!comes_back(client, next)); /* after a reload */
		ck_assert(comes_back(client, next));
		SSL_SESSION_free(kept);
		kept = NULL;
		ck_assert(!comes_back(client, checks));
		ck_assert(!comes_back(client, checks));
		tls_context_unref(off);
		tls_context_unref(on);
		tls_context_unref(next);
		tls_context_unref(checks);
		SSL_CTX_free(client);
		SSL_SESSION_free(kept);
		kept = NULL;
	}
	certs_remove(&certs);
}
END_TEST

/* ---- channel binding ---- */

START_TEST(the_binding_is_the_hash_that_the_signature_names)
{
	static const struct { const char *key, *digest; size_t bytes; const char *hash; } cases[] = {
		{ "EC", "SHA256", 32, "SHA256" }, { "EC", "SHA384", 48, "SHA384" }, { "EC", "SHA512", 64, "SHA512" },
		{ "EC", "SHA1", 32, "SHA256" },   { "ED25519", "", 0, NULL },
	};
	certs_make(&certs);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		EVP_PKEY *key = strcmp(cases[i].key, "EC") == 0 ? EVP_EC_gen("P-256") : EVP_PKEY_Q_keygen(NULL, NULL, cases[i].key);
		struct cert_plan plan = { .name = "db.example", .digest = cases[i].digest, .serial = 5 };
		X509 *x = make_cert(&plan, key, NULL, key);
		write_pem(certs.key, key, NULL);
		write_pem(certs.cert, NULL, x);
		struct tls_context *t = server((struct tls_files){ .ciphers = "DEFAULT:@SECLEVEL=0" });
		SSL_CTX *client = SSL_CTX_new(TLS_client_method());
		SSL_CTX_set_security_level(client, 0);
		struct pair p = pair_new(client, tls_context_ssl(t));
		ck_assert(shake_hands(&p));
		uint8_t mine[TLS_HASH_MAX], yours[TLS_HASH_MAX], want[TLS_HASH_MAX];
		unsigned n = 0;
		ck_assert_uint_eq(tls_binding_hash(p.client, mine), cases[i].bytes);
		ck_assert_uint_eq(tls_binding_hash(p.server, yours), cases[i].bytes);
		if (cases[i].hash) {
			ck_assert_int_eq(X509_digest(x, EVP_get_digestbyname(cases[i].hash), want, &n), 1);
			ck_assert_uint_eq(n, cases[i].bytes);
			ck_assert_mem_eq(mine, want, n);
			ck_assert_mem_eq(yours, want, n);
		}
		pair_free(&p);
		SSL_CTX_free(client);
		tls_context_unref(t);
		X509_free(x);
		EVP_PKEY_free(key);
	}
	certs_remove(&certs);
}
END_TEST

/* ---- files ---- */

START_TEST(the_end_of_certificates_and_lists_is_known)
{
	char list[sizeof(certs.dir) + 8];
	certs_make(&certs);
	snprintf(list, sizeof(list), "%s/crl", certs.dir);
	certs_revoke(&certs, list, 0, 600);
	EVP_PKEY *key = EVP_EC_gen("P-256");
	struct cert_plan plan = { .name = "db.example", .serial = 6, .from_s = -500, .until_s = 9000 };
	certs_reissue(&certs, &plan, key);
	FILE *f = fopen(certs.cert, "a"); /* the authority behind it ends sooner */
	PEM_write_X509(f, certs.ca_cert);
	fclose(f);
	struct tls_context *t = server((struct tls_files){ .ca_file = certs.ca, .crl_file = list });
	struct tls_validity own = tls_context_certificate(t), crl = tls_context_crl(t);
	ck_assert_str_eq(own.file, certs.cert);
	ck_assert_str_eq(crl.file, list);
	int64_t now = time(NULL);
	ck_assert(own.from_s - now > -560 && own.from_s - now < -440);
	ck_assert(own.until_s - now > 3540 && own.until_s - now < 3660);
	ck_assert(crl.until_s - now > 540 && crl.until_s - now < 660);
	tls_context_unref(t);
	t = context(TLS_FOR_SERVERS, &(struct tls_files){ 0 });
	ck_assert_ptr_null(tls_context_certificate(t).file);
	ck_assert_ptr_null(tls_context_crl(t).file);
	tls_context_unref(t);
	EVP_PKEY_free(key);
	remove(list);
	certs_remove(&certs);
}
END_TEST

/* With a passphrase, which nobody is there to type. */
static void
lock_key(const char *from, const char *to)
{
	FILE *in = fopen(from, "r"), *out = fopen(to, "w");
	ck_assert(in && out);
	EVP_PKEY *key = PEM_read_PrivateKey(in, NULL, NULL, NULL);
	ck_assert_int_eq(PEM_write_PrivateKey(out, key, EVP_aes_256_cbc(), (const unsigned char *)"sesame", 6, NULL, NULL), 1);
	EVP_PKEY_free(key);
	fclose(in);
	fclose(out);
}

static void
write_text(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");
	ck_assert_ptr_nonnull(f);
	fputs(text, f);
	fclose(f);
}

START_TEST(who_has_the_same_key_makes_the_same_secret)
{
	uint8_t a[TLS_SECRET_BYTES], b[TLS_SECRET_BYTES], other[TLS_SECRET_BYTES];
	certs_make(&certs);
	struct tls_context *one = server((struct tls_files){ 0 }), *two = server((struct tls_files){ .resumes = true }),
	                   *none = context(TLS_FOR_SERVERS, &(struct tls_files){ 0 });
	EVP_PKEY *new_key = EVP_EC_gen("P-256");
	certs_reissue(&certs, &(struct cert_plan){ .name = "db.example", .serial = 4 }, new_key);
	struct tls_context *third = server((struct tls_files){ 0 });
	EVP_PKEY_free(new_key);
	ck_assert(tls_context_secret(one, "x", a) && tls_context_secret(two, "x", b));
	ck_assert_mem_eq(a, b, sizeof(a));
	ck_assert(tls_context_secret(one, "y", other));
	ck_assert_mem_ne(a, other, sizeof(a));
	ck_assert(tls_context_secret(third, "x", other));
	ck_assert_mem_ne(a, other, sizeof(a));
	ck_assert(!tls_context_secret(none, "x", other));
	tls_context_unref(one);
	tls_context_unref(two);
	tls_context_unref(third);
	tls_context_unref(none);
	certs_remove(&certs);
}
END_TEST

START_TEST(mistakes_in_the_files_are_told)
{
	char locked[100], empty[100], garbage[100], broken[100], rsa[100];
	certs_make(&certs);
	const struct { char *path; const char *name; } names[] = {
		{ locked, "locked" }, { empty, "empty" }, { garbage, "garbage" }, { broken, "broken" }, { rsa, "rsa" },
	};
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		snprintf(names[i].path, 100, "%s/%s", certs.dir, names[i].name);
	lock_key(certs.key, locked);
	write_text(empty, "");
	write_text(garbage, "\x7f" "ELF is not what we want here\n\n-----");
	write_text(broken, "-----BEGIN CERTIFICATE-----\nMIIB!!!!\n-----END CERTIFICATE-----\n");
	EVP_PKEY *key = EVP_RSA_gen(2048);
	write_pem(rsa, key, NULL);
	EVP_PKEY_free(key);
	const struct {
		enum tls_role role;
		struct tls_files files;
		const char *says[2];
	} cases[] = {
		{ TLS_FOR_CLIENTS, { 0 }, { "needs a certificate file and a key file" } },
		{ TLS_FOR_CLIENTS, { .key_file = certs.key, .cert_file = "/nonexistent" },
		  { "certificate file \"/nonexistent\"", "No such file or directory" } },
		{ TLS_FOR_CLIENTS, { .key_file = "/nonexistent", .cert_file = certs.cert },
		  { "key file \"/nonexistent\"", "No such file or directory" } },
		{ TLS_FOR_CLIENTS, { .key_file = certs.cert, .cert_file = certs.cert }, { "key file", "nothing of that kind" } },
		{ TLS_FOR_CLIENTS, { .key_file = certs.key, .cert_file = certs.key }, { "certificate file", "nothing of that kind" } },
		{ TLS_FOR_CLIENTS, { .key_file = certs.key, .cert_file = certs.ca }, { "key file", "does not fit certificate file" } },
		{ TLS_FOR_CLIENTS, { .key_file = rsa, .cert_file = certs.cert }, { "key file", "does not fit certificate file" } },
		{ TLS_FOR_CLIENTS, { .key_file = locked, .cert_file = certs.cert }, { "key file", "has a passphrase" } },
		{ TLS_FOR_CLIENTS, { .key_file = empty, .cert_file = certs.cert }, { "key file", "nothing of that kind" } },
		{ TLS_FOR_CLIENTS, { .key_file = garbage, .cert_file = certs.cert }, { "key file", "nothing of that kind" } },
		{ TLS_FOR_CLIENTS, { .key_file = certs.key, .cert_file = empty }, { "certificate file", "nothing of that kind" } },
		{ TLS_FOR_CLIENTS, { .key_file = certs.key, .cert_file = broken }, { "certificate file", "bad" } },
		{ TLS_FOR_CLIENTS, { .key_file = certs.key, .cert_file = certs.dir }, { "certificate file" } },
		{ TLS_FOR_CLIENTS, { .key_file = certs.key, .cert_file = certs.cert,
		                     .client_certificate = TLS_CERTIFICATE_NEEDED }, { "needs a CA file" } },
		{ TLS_FOR_SERVERS, { .protocols = ", " }, { "no tls protocol" } },
		{ TLS_FOR_SERVERS, { .ca_file = "/nonexistent" }, { "CA file", "No such file or directory" } },
		{ TLS_FOR_SERVERS, { .ca_file = empty }, { "CA file", "no certificate is in it" } },
		{ TLS_FOR_SERVERS, { .ca_file = garbage }, { "CA file", "no certificate is in it" } },
		{ TLS_FOR_SERVERS, { .ca_file = certs.ca, .crl_file = "/nonexistent" }, { "CRL file", "No such file or directory" } },
		{ TLS_FOR_SERVERS, { .ca_file = certs.ca, .crl_file = empty }, { "CRL file", "nothing of that kind" } },
		{ TLS_FOR_SERVERS, { .ca_file = certs.ca, .crl_file = certs.ca }, { "CRL file", "nothing of that kind" } },
		{ TLS_FOR_SERVERS, { .protocols = "tlsv9" }, { "\"tlsv9\" is unknown" } },
		{ TLS_FOR_SERVERS, { .ciphers = "NONSENSE" }, { "ciphers" } },
		{ TLS_FOR_SERVERS, { .ciphers13 = "NONSENSE" }, { "TLS 1.3 ciphers" } },
		{ TLS_FOR_SERVERS, { .curve = "nonsense" }, { "curve" } },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char reason[300] = "";
		struct text why = TEXT_IN(reason);
		ck_assert_msg(tls_context_new(cases[i].role, &cases[i].files, &why) == NULL, "%zu", i);
		ck_assert_msg(strstr(reason, cases[i].says[0]) != NULL, "%zu: %s", i, reason);
		ck_assert_msg(cases[i].says[1] == NULL || strstr(reason, cases[i].says[1]) != NULL, "%zu: %s", i, reason);
		ck_assert_uint_eq(ERR_peek_error(), 0);
	}
	tls_context_unref(context(TLS_FOR_SERVERS, &(struct tls_files){ .protocols = "tlsv1.2, tlsv1.3", .ciphers = "fast",
	                                                                .curve = "prime256v1" }));
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		remove(names[i].path);
	certs_remove(&certs);
}
END_TEST

int
main(void)
{
	const TTest *const rules[] = {
		only_the_protocols_named_are_spoken,
		ciphers_are_those_named,
		dhe_is_done_with_openssls_groups_or_not_at_all,
		client_certificates_are_asked_for_as_set,
		sessions_are_resumed_where_that_is_set_and_within_one_context,
		the_binding_is_the_hash_that_the_signature_names,
		the_end_of_certificates_and_lists_is_known,
		who_has_the_same_key_makes_the_same_secret,
		mistakes_in_the_files_are_told,
	};
	return suite_run("net/tls", rules, sizeof(rules) / sizeof(rules[0]));
}
