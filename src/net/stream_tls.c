/*
 * net/stream_tls.c - a stream through TLS: handshake, records, and who the certificate says the peer is.
 *
 * Source: OpenSSL 3.0 manual, SSL_read_ex(3), SSL_write_ex(3), SSL_get_error(3); PostgreSQL 17, 54.2.10 (ALPN).
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "base/must.h"
#include "net/tls.h"
#include "stream_parts.h"

/* ---- records ---- */

static void
stream_tell_tls_error(struct stream *s)
{
	char text[200];
	unsigned long e = ERR_get_error();
	const char *reason = e ? ERR_reason_error_string(e) : NULL;
	long verify = SSL_get_verify_mode(s->ssl) == SSL_VERIFY_NONE ? X509_V_OK : SSL_get_verify_result(s->ssl);
	if (verify != X509_V_OK)
		snprintf(text, sizeof(text), "certificate of the peer: %s", X509_verify_cert_error_string(verify));
	else
		snprintf(text, sizeof(text), "%s", reason ? reason : "connection closed during a TLS record");
	ERR_clear_error();
	stream_end(s, STREAM_END_TLS, text);
}

size_t
stream_tls_write(struct stream *s, struct view v)
{
	size_t done = 0;
	while (done < v.n) {
		size_t n = 0;
		ERR_clear_error();
		if (SSL_write_ex(s->ssl, v.p + done, v.n - done, &n)) {
			s->loop->sends++;
			done += n;
			continue;
		}
		int error = SSL_get_error(s->ssl, 0);
		if (error == SSL_ERROR_WANT_WRITE && (errno == EINTR || errno == ENOBUFS))
			stream_ask_again(s); /* nothing that epoll would tell the end of */
		if (error == SSL_ERROR_WANT_WRITE || error == SSL_ERROR_WANT_READ)
			return done;
		stream_break(s, error == SSL_ERROR_SYSCALL && errno ? errno : ECONNRESET);
		return SIZE_MAX;
	}
	return done;
}

size_t
stream_tls_read(struct stream *s, uint8_t *p, size_t room)
{
	size_t total = 0;
	s->is_readable = true;
	while (total < room) {
		size_t n = 0;
		ERR_clear_error();
		if (SSL_read_ex(s->ssl, p + total, room - total, &n)) {
			total += n;
			if (!SSL_has_pending(s->ssl))
				break;
			continue;
		}
		int error = SSL_get_error(s->ssl, 0);
		if (error == SSL_ERROR_WANT_READ)
			break;
		if (error == SSL_ERROR_WANT_WRITE) {
			stream_watch(s, true);
			break;
		}
		if (total > 0)
			break; /* what came before the end is handled first; the end is found again by the next read */
		if (error == SSL_ERROR_ZERO_RETURN)
			stream_end(s, STREAM_END_EOF, "connection closed");
		else if (error == SSL_ERROR_SYSCALL)
			stream_end_errno(s, STREAM_END_ERROR, errno ? errno : ECONNRESET);
		else
			stream_tell_tls_error(s);
		return 0;
	}
	s->is_readable = s->is_cut || !tls_is_drained(s->ssl); /* of what comes after that epoll tells */
	return total;
}

bool
stream_tls_has_more(const struct stream *s)
{
	return SSL_has_pending(s->ssl);
}

void
stream_tls_close(struct stream *s)
{
	SSL_shutdown(s->ssl); /* tries to send close_notify; the answer is not waited for */
	ERR_clear_error();
	SSL_free(s->ssl);
	s->ssl = NULL;
}

/* ---- the handshake ---- */

/* True: the handshake is done. */
bool
stream_tls_step(struct stream *s)
{
	ERR_clear_error();
	int result = SSL_do_handshake(s->ssl);
	if (result == 1) {
		s->is_in_handshake = false;
		stream_watch(s, false);
		s->is_readable = s->is_cut || !tls_is_drained(s->ssl);
		s->ops->on_open(s->owner);
		if (s->fd >= 0 && !s->is_ended && (s->is_readable || SSL_has_pending(s->ssl)))
			stream_ask_again(s);
		return true;
	}
	int error = SSL_get_error(s->ssl, result);
	if (error == SSL_ERROR_WANT_READ) {
		stream_watch(s, false);
	} else if (error == SSL_ERROR_WANT_WRITE) {
		stream_watch(s, true);
	} else if (error == SSL_ERROR_SYSCALL || error == SSL_ERROR_ZERO_RETURN) {
		/* Who came, asked for TLS, and left before it began has not failed at it; nor has a server that went down. */
		bool has_begun = BIO_number_read(SSL_get_rbio(s->ssl)) > 0, is_ours = !SSL_is_server(s->ssl);
		stream_end(s, has_begun && !is_ours ? STREAM_END_TLS : STREAM_END_EOF,
		           has_begun || is_ours ? "connection closed during the TLS handshake" : "connection closed");
	} else {
		stream_tell_tls_error(s);
	}
	return false;
}

static bool
stream_start_tls(struct stream *s, struct tls_context *context, struct view taken)
{
	stream_flush(s); /* the S of our answer goes out in clear */
	must(s->gather == NULL && s->ssl == NULL);
	s->ssl = SSL_new(tls_context_ssl(context));
	if (s->ssl == NULL || !tls_attach(s->ssl, s->fd, taken)) {
		SSL_free(s->ssl);
		s->ssl = NULL;
		return false;
	}
	s->is_in_handshake = true;
	return true;
}

bool
stream_start_tls_server(struct stream *s, struct tls_context *context, struct view taken)
{
	if (!stream_start_tls(s, context, taken))
		return false;
	SSL_set_accept_state(s->ssl);
	if (taken.n > 0)
		stream_tls_step(s); /* else the ClientHello wakes us */
	return true;
}

/* The name or address must be the certificate's; of wildcards only a whole label ("*.example") counts, as for libpq. */
static bool
expect_peer(SSL *ssl, const char *host, bool is_number, enum stream_checks checks)
{
	SSL_set_verify(ssl, checks == STREAM_CHECKS_NOTHING ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
	if (checks != STREAM_CHECKS_NAME_TOO)
		return true;
	SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	return is_number ? X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) : SSL_set1_host(ssl, host);
}

static const uint8_t alpn_name[] = "\x0apostgresql"; /* with its length in front */

bool
stream_start_tls_client(struct stream *s, struct tls_context *context, const char *host, enum stream_checks checks,
                        bool alpn)
{
	if (!stream_start_tls(s, context, (struct view){ 0 }))
		return false;
	SSL_set_connect_state(s->ssl);
	struct in6_addr any;
	bool is_number = inet_pton(AF_INET, host, &any) == 1 || inet_pton(AF_INET6, host, &any) == 1;
	bool ok = is_number || SSL_set_tlsext_host_name(s->ssl, host);
	ok = ok && expect_peer(s->ssl, host, is_number, checks);
	if (ok && alpn)
		ok = SSL_set_alpn_protos(s->ssl, alpn_name, sizeof(alpn_name) - 1) == 0;
	if (!ok)
		return false;
	stream_tls_step(s);
	return true;
}

struct tls_context *
stream_tls_context(const struct stream *s)
{
	return s->ssl ? tls_context_of(s->ssl) : NULL;
}

bool
stream_has_alpn(const struct stream *s)
{
	const unsigned char *name;
	unsigned bytes = 0;
	if (s->ssl)
		SSL_get0_alpn_selected(s->ssl, &name, &bytes);
	return bytes == sizeof(alpn_name) - 2 && memcmp(name, alpn_name + 1, bytes) == 0;
}

size_t
stream_binding_hash(const struct stream *s, uint8_t out[TLS_HASH_MAX])
{
	return s->ssl && !s->is_in_handshake ? tls_binding_hash(s->ssl, out) : 0;
}

void
stream_describe_tls(const struct stream *s, char *text, size_t room)
{
	text[0] = '\0';
	if (s->ssl && !s->is_in_handshake)
		snprintf(text, room, "%s/%s", SSL_get_version(s->ssl), SSL_get_cipher_name(s->ssl));
}

/* ---- who the peer is ---- */

/* Belongs to the session. NULL: none, or none that was checked. */
static X509 *
peer_certificate(const struct stream *s)
{
	if (s->ssl == NULL || s->is_in_handshake || !(SSL_get_verify_mode(s->ssl) & SSL_VERIFY_PEER) ||
	    SSL_get_verify_result(s->ssl) != X509_V_OK)
		return NULL;
	return SSL_get0_peer_certificate(s->ssl);
}

bool
stream_has_peer_certificate(const struct stream *s)
{
	return peer_certificate(s) != NULL;
}

/* Into out with a NUL behind it, unless there is one in it. */
static bool
take_name(const void *p, size_t n, char *out, size_t room)
{
	out[0] = '\0';
	if (p == NULL || n == 0 || n >= room || memchr(p, 0, n))
		return false;
	memcpy(out, p, n);
	out[n] = '\0';
	return true;
}

bool
stream_peer_common_name(const struct stream *s, char *out, size_t room)
{
	X509 *x = peer_certificate(s);
	X509_NAME *subject = x ? X509_get_subject_name(x) : NULL;
	int at = subject ? X509_NAME_get_index_by_NID(subject, NID_commonName, -1) : -1;
	unsigned char *utf8 = NULL;
	int n = at < 0 ? -1 : ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
	bool ok = take_name(utf8, n > 0 ? (size_t)n : 0, out, room);
	OPENSSL_free(utf8);
	return ok;
}

bool
stream_peer_distinguished_name(const struct stream *s, char *out, size_t room)
{
	X509 *x = peer_certificate(s);
	BIO *text = x ? BIO_new(BIO_s_mem()) : NULL;
	char *p = NULL;
	long n = 0;
	if (text && X509_NAME_print_ex(text, X509_get_subject_name(x), 0, XN_FLAG_RFC2253) >= 0)
		n = BIO_get_mem_data(text, &p);
	bool ok = take_name(p, n > 0 ? (size_t)n : 0, out, room);
	BIO_free(text);
	return ok;
}
