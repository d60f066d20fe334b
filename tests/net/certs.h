/* tests/net/certs.h - certificates made on the spot: an authority and what it signed, as files in a directory of their own. */
#ifndef TESTS_NET_CERTS_H
#define TESTS_NET_CERTS_H

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

struct certs {
	char dir[64];
	char key[100], cert[100], ca[100], other_ca[100];
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

/* For `name` (also as its DNS name), signed by issuer_key; issuer NULL: by itself, and an authority. */
static inline X509 *
make_cert(const char *name, EVP_PKEY *key, X509 *issuer, EVP_PKEY *issuer_key, long serial)
{
	X509 *x = X509_new();
	X509_set_version(x, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(x), serial);
	X509_gmtime_adj(X509_getm_notBefore(x), -3600);
	X509_gmtime_adj(X509_getm_notAfter(x), 3600);
	X509_set_pubkey(x, key);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
	X509_set_issuer_name(x, X509_get_subject_name(issuer ? issuer : x));
	char alternative[100];
	snprintf(alternative, sizeof(alternative), "DNS:%s", name);
	X509_EXTENSION *e = issuer ? X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, alternative)
	                           : X509V3_EXT_conf_nid(NULL, NULL, NID_basic_constraints, "critical,CA:TRUE");
	X509_add_ext(x, e, -1);
	X509_EXTENSION_free(e);
	X509_sign(x, issuer_key, EVP_sha256());
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
	EVP_PKEY *ca_key = EVP_EC_gen("P-256"), *key = EVP_EC_gen("P-256");
	X509 *ca = make_cert("authority", ca_key, NULL, ca_key, 1), *other = make_cert("another", ca_key, NULL, ca_key, 2);
	X509 *cert = make_cert("db.example", key, ca, ca_key, 3);
	write_pem(c->key, key, NULL);
	write_pem(c->cert, NULL, cert);
	write_pem(c->ca, NULL, ca);
	write_pem(c->other_ca, NULL, other);
	X509_free(ca);
	X509_free(other);
	X509_free(cert);
	EVP_PKEY_free(key);
	EVP_PKEY_free(ca_key);
}

static inline void
certs_remove(const struct certs *c)
{
	remove(c->key);
	remove(c->cert);
	remove(c->ca);
	remove(c->other_ca);
	remove(c->dir);
}

#endif
