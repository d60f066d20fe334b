/*
 * net/tls.h - OpenSSL contexts made from settings. One for clients (we are the TLS server), one for servers.
 *
 * A context is counted, by OpenSSL: connections keep theirs, a reload replaces it for new ones only. What is made of the
 * files (keys, certificates, the hash of ours, keys of session tickets) is made once per context, never per login.
 */
#ifndef NET_TLS_H
#define NET_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/text.h"
#include "base/view.h"
#include "config/settings.h"

struct tls_context;
struct ssl_ctx_st;
struct ssl_st;

enum tls_role { TLS_FOR_CLIENTS, TLS_FOR_SERVERS };

enum tls_client_certificate {
	TLS_CERTIFICATE_UNASKED,
	TLS_CERTIFICATE_OPTIONAL, /* one that is shown must be good */
	TLS_CERTIFICATE_NEEDED,
};

struct tls_files {
	const char *key_file, *cert_file, *ca_file, *crl_file; /* "" or NULL: none */
	const char *ciphers;    /* OpenSSL list for TLS 1.2; "", "default", "secure", "fast", "normal": the library's */
	const char *ciphers13;  /* TLS 1.3 suites; "" or NULL: the library's */
	const char *protocols;  /* list of tlsv1.0..tlsv1.3, all, secure; "" or NULL: secure (1.2 and 1.3) */
	const char *curve;      /* "", NULL, auto, none, or a name */
	enum tls_dheparams dheparams;
	enum tls_client_certificate client_certificate; /* TLS_FOR_CLIENTS */
	bool resumes;           /* TLS_FOR_CLIENTS: session tickets, where no client certificate is asked for */
};

/* NULL: *why says which file or setting and what is wrong. */
struct tls_context *tls_context_new(enum tls_role role, const struct tls_files *files, struct text *why);
void tls_context_unref(struct tls_context *t); /* NULL is fine */
struct ssl_ctx_st *tls_context_ssl(struct tls_context *t);
struct tls_context *tls_context_of(const struct ssl_st *ssl); /* borrowed: good for as long as the session */

/* Until when something is good: seconds since 1970. */
struct tls_validity {
	const char *file; /* the context's; NULL: there is none of this kind */
	int64_t     from_s, until_s; /* of several certificates or lists in it the last and the first; 0, INT64_MAX: open */
};

/* Of our own certificate with those between it and the root, and of the revocation lists. */
struct tls_validity tls_context_certificate(const struct tls_context *t);
struct tls_validity tls_context_crl(const struct tls_context *t);

enum { TLS_SECRET_BYTES = 32, TLS_HASH_MAX = 64 };

/* A secret for `what_for` that everybody who has our private key, and nobody else, can make. False: there is no key. */
bool tls_context_secret(const struct tls_context *t, const char *what_for, uint8_t out[TLS_SECRET_BYTES]);

/*
 * The hash that binds SCRAM to the server's certificate (tls-server-end-point): where we are the server of ours, else of the
 * peer's. 0: the certificate's signature names no hash (Ed25519), or there is no certificate. Source: RFC 5929, 4.1.
 */
size_t tls_binding_hash(struct ssl_st *ssl, uint8_t out[TLS_HASH_MAX]);

/* For net/stream: make this session read and write fd, after it has read the bytes that were `taken` from it already. */
bool tls_attach(struct ssl_st *ssl, int fd, struct view taken);
/* The last read of that descriptor found all there was. False: there may be more, or the end. */
bool tls_is_drained(const struct ssl_st *ssl);

#endif
