/* tests/net/certs.h - certificates made on the spot: an authority and what it signed, as files in a directory of their own. */
#ifndef TESTS_NET_CERTS_H
#define TESTS_NET_CERTS_H

#include <check.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

struct certs {
	char dir[64];
	char key[100], cert[100], ca[100], other_ca[100];
	EVP_PKEY *ca_key; /* of both authorities */
	X509 *ca_cert;
};

static inline void
write_pem(const char *path, EVP_PKEY *key, X509 *cert)
{
	FILE *f = fopen(path, "w");
	ck_assert_ptr_nonnull(f);
	if (key)
		PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL);
	if (cert)
		PEM_write_X509(f, cert);
	fclose(f);
}

/* What differs from the usual certificate: zeroes for none of it. */
struct cert_plan {
	const char *name;        /* CN; "": none */
	int name_bytes;          /* 0: up to its NUL */
	const char *organisation; /* O; NULL: none */
	const char *alternative; /* "DNS:...,IP:..."; NULL: DNS:name */
	long from_s, until_s;    /* from now on; both 0: an hour before to an hour after */
	const char *digest;      /* of the signature; NULL: SHA256, "": the key brings its own (Ed25519) */
	long serial;
};

/* Signed by issuer_key; issuer NULL: by itself, and an authority. */
static inline X509 *
make_cert(const struct cert_plan *plan, EVP_PKEY *key, X509 *issuer, EVP_PKEY *issuer_key)
{
	X509 *x = X509_new();
	bool has_times = plan->from_s || plan->until_s;
	X509_set_version(x, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(x), plan->serial);
	X509_gmtime_adj(X509_getm_notBefore(x), has_times ? plan->from_s : -3600);
	X509_gmtime_adj(X509_getm_notAfter(x), has_times ? plan->until_s : 3600);
	X509_set_pubkey(x, key);
	X509_NAME *subject = X509_get_subject_name(x);
	if (plan->organisation)
		X509_NAME_add_entry_by_txt(subject, "O", MBSTRING_UTF8, (const unsigned char *)plan->organisation, -1, -1, 0);
	if (plan->name[0])
		X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, (const unsigned char *)plan->name,
		                           plan->name_bytes ? plan->name_bytes : -1, -1, 0);
	X509_set_issuer_name(x, X509_get_subject_name(issuer ? issuer : x));
	char alternative[200];
	snprintf(alternative, sizeof(alternative), plan->alternative ? "%s" : "DNS:%s",
	         plan->alternative ? plan->alternative : plan->name);
	X509_EXTENSION *e = issuer ? X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, alternative)
	                           : X509V3_EXT_conf_nid(NULL, NULL, NID_basic_constraints, "critical,CA:TRUE");
	X509_add_ext(x, e, -1);
	X509_EXTENSION_free(e);
	const char *digest = plan->digest ? plan->digest : "SHA256";
	ck_assert_int_gt(X509_sign(x, issuer_key, digest[0] ? EVP_get_digestbyname(digest) : NULL), 0);
	return x;
}

static inline void
certs_make(struct certs *c)
{
	snprintf(c->dir, sizeof(c->dir), "/tmp/pgsluice-certs-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(c->dir));
	snprintf(c->key, sizeof(c->key), "%s/key", c->dir);
	snprintf(c->cert, sizeof(c->cert), "%s/cert", c->dir);
	snprintf(c->ca, sizeof(c->ca), "%s/ca", c->dir);
	snprintf(c->other_ca, sizeof(c->other_ca), "%s/other_ca", c->dir);
	EVP_PKEY *key = EVP_EC_gen("P-256");
	c->ca_key = EVP_EC_gen("P-256");
	c->ca_cert = make_cert(&(struct cert_plan){ .name = "authority", .serial = 1 }, c->ca_key, NULL, c->ca_key);
	X509 *other = make_cert(&(struct cert_plan){ .name = "another", .serial = 2 }, c->ca_key, NULL, c->ca_key);
	X509 *cert = make_cert(&(struct cert_plan){ .name = "db.example", .serial = 3 }, key, c->ca_cert, c->ca_key);
	write_pem(c->key, key, NULL);
	write_pem(c->cert, NULL, cert);
	write_pem(c->ca, NULL, c->ca_cert);
	write_pem(c->other_ca, NULL, other);
	X509_free(other);
	X509_free(cert);
	EVP_PKEY_free(key);
}

/* In place of the usual key and certificate. */
static inline void
certs_reissue(const struct certs *c, const struct cert_plan *plan, EVP_PKEY *key)
{
	X509 *cert = make_cert(plan, key, c->ca_cert, c->ca_key);
	write_pem(c->key, key, NULL);
	write_pem(c->cert, NULL, cert);
	X509_free(cert);
}

/* A list, as a file, of one revoked serial number (0: none), good until `until_s` from now. */
static inline void
certs_revoke(const struct certs *c, const char *file, long serial, long until_s)
{
	X509_CRL *crl = X509_CRL_new();
	ASN1_TIME *t = X509_gmtime_adj(NULL, until_s < 0 ? until_s - 60 : -60);
	X509_CRL_set_version(crl, 1);
	X509_CRL_set_issuer_name(crl, X509_get_subject_name(c->ca_cert));
	X509_CRL_set1_lastUpdate(crl, t);
	if (serial) {
		X509_REVOKED *r = X509_REVOKED_new();
		ASN1_INTEGER *number = ASN1_INTEGER_new();
		ASN1_INTEGER_set(number, serial);
		X509_REVOKED_set_serialNumber(r, number);
		X509_REVOKED_set_revocationDate(r, t);
		X509_CRL_add0_revoked(crl, r);
		ASN1_INTEGER_free(number);
	}
	X509_gmtime_adj(t, until_s);
	X509_CRL_set1_nextUpdate(crl, t);
	X509_CRL_sign(crl, c->ca_key, EVP_sha256());
	FILE *f = fopen(file, "w");
	ck_assert_ptr_nonnull(f);
	PEM_write_X509_CRL(f, crl);
	fclose(f);
	ASN1_TIME_free(t);
	X509_CRL_free(crl);
}

static inline void
certs_remove(const struct certs *c)
{
	X509_free(c->ca_cert);
	EVP_PKEY_free(c->ca_key);
	remove(c->key);
	remove(c->cert);
	remove(c->ca);
	remove(c->other_ca);
	remove(c->dir);
}

#endif
