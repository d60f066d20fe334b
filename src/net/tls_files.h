/*
 * net/tls_files.h - reads the PEM files of a context: key, certificates, authorities, revocation lists. Private to the layer.
 *
 * Never: asks for a passphrase at the terminal, while everybody waits. A mistake is told with the file it is in.
 */
#ifndef NET_TLS_FILES_H
#define NET_TLS_FILES_H

#include <openssl/ssl.h>

#include "net/tls.h"

bool tls_load_files(SSL_CTX *ssl, enum tls_role role, const struct tls_files *f, struct text *why);

/* What the error queue says, which is empty afterwards. */
const char *tls_why(void);

/* As the files stand in the context. */
void tls_certificate_validity(SSL_CTX *ssl, struct tls_validity *out);
void tls_crl_validity(SSL_CTX *ssl, struct tls_validity *out);

/* tls-server-end-point: how many bytes; 0: its signature names no hash. */
size_t tls_certificate_hash(const X509 *x, uint8_t out[TLS_HASH_MAX]);

static inline bool
tls_is_given(const char *s)
{
	return s && s[0];
}

#endif
