/* net/tls_files.c - see the header. Source: OpenSSL 3.0 manual, SSL_CTX_use_certificate(3), X509_load_crl_file(3). */
#include "tls_files.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

const char *
tls_why(void)
{
	unsigned long e = ERR_get_error();
	const char *reason = ERR_SYSTEM_ERROR(e) ? strerror(ERR_GET_REASON(e)) : e ? ERR_reason_error_string(e) : NULL;
	bool is_other_kind = ERR_GET_LIB(e) == ERR_LIB_PEM ? ERR_GET_REASON(e) == PEM_R_NO_START_LINE
	                                                   : ERR_GET_LIB(e) == ERR_LIB_OSSL_DECODER;
	if (is_other_kind)
		reason = "nothing of that kind is in it (PEM is expected)";
	ERR_clear_error();
	return reason ? reason : "OpenSSL does not say why";
}

/* OpenSSL would ask at the terminal. *context is told that the key wants a passphrase. */
static int
no_passphrase(char *p, int room, int is_for_writing, void *context)
{
	if (context)
		*(bool *)context = true;
	return -1;
}

static bool
load_key(SSL_CTX *ssl, const struct tls_files *f, struct text *why)
{
	bool is_locked = false;
	SSL_CTX_set_default_passwd_cb_userdata(ssl, &is_locked);
	bool ok = SSL_CTX_use_PrivateKey_file(ssl, f->key_file, SSL_FILETYPE_PEM) == 1;
	SSL_CTX_set_default_passwd_cb_userdata(ssl, NULL);
	if (ok)
		return true;
	if (is_locked)
		text_addf(why, "key file \"%s\" has a passphrase, and nobody is there to type it: give the key without one",
		          f->key_file);
	else if (ERR_GET_LIB(ERR_peek_last_error()) == ERR_LIB_X509 &&
	         (ERR_GET_REASON(ERR_peek_last_error()) == X509_R_KEY_VALUES_MISMATCH ||
	          ERR_GET_REASON(ERR_peek_last_error()) == X509_R_KEY_TYPE_MISMATCH))
		text_addf(why, "key file \"%s\" does not fit certificate file \"%s\"", f->key_file, f->cert_file);
	else
		text_addf(why, "key file \"%s\": %s", f->key_file, tls_why());
	ERR_clear_error();
	return false;
}

static bool
load_authorities(SSL_CTX *ssl, const struct tls_files *f, struct text *why)
{
	if (SSL_CTX_load_verify_file(ssl, f->ca_file) == 1)
		return true;
	unsigned long e = ERR_peek_last_error();
	bool is_empty = ERR_GET_LIB(e) == ERR_LIB_X509 && ERR_GET_REASON(e) == X509_R_NO_CERTIFICATE_OR_CRL_FOUND;
	if (is_empty)
		ERR_clear_error();
	text_addf(why, "CA file \"%s\": %s", f->ca_file, is_empty ? "no certificate is in it (PEM is expected)" : tls_why());
	return false;
}

/* Lists only: a certificate that stands in this file does not become an authority. */
static bool
load_crl(SSL_CTX *ssl, const struct tls_files *f, struct text *why)
{
	X509_STORE *store = SSL_CTX_get_cert_store(ssl);
	X509_LOOKUP *lookup = X509_STORE_add_lookup(store, X509_LOOKUP_file());
	if (lookup == NULL || X509_load_crl_file(lookup, f->crl_file, X509_FILETYPE_PEM) < 1) {
		text_addf(why, "CRL file \"%s\": %s", f->crl_file, tls_why());
		return false;
	}
	X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL); /* as PostgreSQL's ssl_crl_file */
	return true;
}

bool
tls_load_files(SSL_CTX *ssl, enum tls_role role, const struct tls_files *f, struct text *why)
{
	SSL_CTX_set_default_passwd_cb(ssl, no_passphrase);
	if (tls_is_given(f->cert_file) && SSL_CTX_use_certificate_chain_file(ssl, f->cert_file) != 1) {
		text_addf(why, "certificate file \"%s\": %s", f->cert_file, tls_why());
		return false;
	}
	if (tls_is_given(f->key_file) && !load_key(ssl, f, why))
		return false;
	if (tls_is_given(f->cert_file) && tls_is_given(f->key_file) && SSL_CTX_check_private_key(ssl) != 1) {
		text_addf(why, "key file \"%s\" does not fit certificate file \"%s\"", f->key_file, f->cert_file);
		ERR_clear_error();
		return false;
	}
	if (role == TLS_FOR_CLIENTS && !(tls_is_given(f->cert_file) && tls_is_given(f->key_file))) {
		text_add(why, "TLS for clients needs a certificate file and a key file");
		return false;
	}
	if (tls_is_given(f->ca_file) && !load_authorities(ssl, f, why))
		return false;
	if (f->client_certificate != TLS_CERTIFICATE_UNASKED && !tls_is_given(f->ca_file)) {
		text_add(why, "verifying certificates needs a CA file");
		return false;
	}
	return !tls_is_given(f->crl_file) || load_crl(ssl, f, why);
}

/* ---- until when ---- */

static void
narrow(struct tls_validity *v, const ASN1_TIME *from, const ASN1_TIME *until)
{
	struct tm tm;
	if (from && ASN1_TIME_to_tm(from, &tm) && timegm(&tm) > v->from_s)
		v->from_s = timegm(&tm);
	if (until && ASN1_TIME_to_tm(until, &tm) && timegm(&tm) < v->until_s)
		v->until_s = timegm(&tm);
}

void
tls_certificate_validity(SSL_CTX *ssl, struct tls_validity *out)
{
	STACK_OF(X509) *chain = NULL;
	const X509 *x = SSL_CTX_get0_certificate(ssl);
	if (x)
		narrow(out, X509_get0_notBefore(x), X509_get0_notAfter(x));
	SSL_CTX_get0_chain_certs(ssl, &chain);
	for (int i = 0; i < sk_X509_num(chain); i++)
		narrow(out, X509_get0_notBefore(sk_X509_value(chain, i)), X509_get0_notAfter(sk_X509_value(chain, i)));
}

void
tls_crl_validity(SSL_CTX *ssl, struct tls_validity *out)
{
	STACK_OF(X509_OBJECT) *all = X509_STORE_get0_objects(SSL_CTX_get_cert_store(ssl));
	for (int i = 0; i < sk_X509_OBJECT_num(all); i++) {
		const X509_CRL *crl = X509_OBJECT_get0_X509_CRL(sk_X509_OBJECT_value(all, i));
		if (crl)
			narrow(out, X509_CRL_get0_lastUpdate(crl), X509_CRL_get0_nextUpdate(crl));
	}
}

/* ---- channel binding ---- */

size_t
tls_certificate_hash(const X509 *x, uint8_t out[TLS_HASH_MAX])
{
	int digest = NID_undef;
	unsigned n = 0;
	if (x == NULL || !X509_get_signature_info((X509 *)(uintptr_t)x, &digest, NULL, NULL, NULL))
		return 0;
	if (digest == NID_md5 || digest == NID_sha1)
		digest = NID_sha256;
	const EVP_MD *md = digest == NID_undef ? NULL : EVP_get_digestbynid(digest);
	if (md == NULL || EVP_MD_get_size(md) > TLS_HASH_MAX || X509_digest(x, md, out, &n) != 1) {
		ERR_clear_error();
		return 0;
	}
	return n;
}
