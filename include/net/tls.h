/*
 * net/tls.h - OpenSSL contexts made from settings. One for clients (we are the TLS server), one per way to servers.
 *
 * A context is counted: connections hold theirs, a reload replaces it for new ones only.
 */
#ifndef NET_TLS_H
#define NET_TLS_H

#include <stdbool.h>

#include "base/text.h"
#include "base/view.h"

struct tls_context;
struct ssl_ctx_st;
struct ssl_st;

enum tls_role { TLS_FOR_CLIENTS, TLS_FOR_SERVERS };

struct tls_files {
	const char *key_file, *cert_file, *ca_file; /* "" or NULL: none */
	const char *ciphers;    /* OpenSSL list for TLS 1.2; "", "default", "secure", "fast", "normal": the library's */
	const char *ciphers13;  /* TLS 1.3 suites; "" or NULL: the library's */
	const char *protocols;  /* list of tlsv1.0..tlsv1.3, all, secure; "" or NULL: secure (1.2 and 1.3) */
	const char *curve;      /* "", NULL, auto, none, or a name */
	bool verify_peer;       /* verify-ca and verify-full */
	bool verify_host;       /* verify-full: the name must fit too */
};

/* NULL: *why says which file or setting and what is wrong. */
struct tls_context *tls_context_new(enum tls_role role, const struct tls_files *files, struct text *why);
struct tls_context *tls_context_ref(struct tls_context *t);
void tls_context_unref(struct tls_context *t); /* NULL is fine */
struct ssl_ctx_st *tls_context_ssl(struct tls_context *t);
bool tls_context_verifies_host(const struct tls_context *t);

/* For net/stream: make this session read and write fd, after it has read the bytes that were `taken` from it already. */
bool tls_attach(struct ssl_st *ssl, int fd, struct view taken);

#endif
