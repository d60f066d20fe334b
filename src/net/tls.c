/*
 * net/tls.c - OpenSSL contexts, and the BIO through which OpenSSL reads and writes our sockets.
 *
 * The BIO is our own for two reasons: the ClientHello of a direct TLS connection has been read already and must be given
 * first, and send() must not raise SIGPIPE. Source: OpenSSL 3.0 manual, BIO_meth_new(3), SSL_CTX_new(3).
 */
#include "net/tls.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include "base/buf.h"
#include "base/heap.h"
#include "base/must.h"

struct tls_context {
	SSL_CTX *ssl;
	unsigned refs;
	bool verify_host;
};

/* ---- the BIO ---- */

struct socket_bio {
	int fd;
	struct buf taken;
};

static int
bio_read(BIO *bio, char *p, int room)
{
	struct socket_bio *b = BIO_get_data(bio);
	BIO_clear_retry_flags(bio);
	if (b->taken.n > 0) {
		int n = (size_t)room < b->taken.n ? room : (int)b->taken.n;
		memcpy(p, b->taken.p, (size_t)n);
		buf_drop_front(&b->taken, (size_t)n);
		if (b->taken.n == 0)
			buf_free(&b->taken);
		return n;
	}
	ssize_t n = recv(b->fd, p, (size_t)room, 0);
	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
		BIO_set_retry_read(bio);
	return (int)n;
}

static int
bio_write(BIO *bio, const char *p, int n)
{
	struct socket_bio *b = BIO_get_data(bio);
	BIO_clear_retry_flags(bio);
	ssize_t done = send(b->fd, p, (size_t)n, MSG_NOSIGNAL);
	if (done < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR || errno == ENOBUFS))
		BIO_set_retry_write(bio);
	return (int)done;
}

static long
bio_control(BIO *bio, int command, long number, void *p)
{
	return command == BIO_CTRL_FLUSH;
}

static int
bio_destroy(BIO *bio)
{
	struct socket_bio *b = BIO_get_data(bio);
	if (b)
		buf_free(&b->taken);
	heap_free(b);
	return 1;
}

static BIO_METHOD *
bio_method(void)
{
	static BIO_METHOD *method; /* one for the process, never freed */
	if (method == NULL) {
		method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "pgsluice socket");
		must(method != NULL);
		BIO_meth_set_read(method, bio_read);
		BIO_meth_set_write(method, bio_write);
		BIO_meth_set_ctrl(method, bio_control);
		BIO_meth_set_destroy(method, bio_destroy);
	}
	return method;
}

bool
tls_attach(SSL *ssl, int fd, struct view taken)
{
	BIO *bio = BIO_new(bio_method());
	if (bio == NULL)
		return false;
	struct socket_bio *b = heap_alloc(sizeof(*b));
	b->fd = fd;
	buf_add(&b->taken, taken);
	BIO_set_data(bio, b);
	BIO_set_init(bio, 1);
	SSL_set_bio(ssl, bio, bio);
	return true;
}

/* ---- contexts ---- */

/* OpenSSL would ask at the terminal, and everybody would wait for that. */
static int
no_passphrase(char *p, int room, int is_for_writing, void *context)
{
	return -1;
}

static bool
is_given(const char *s)
{
	return s && s[0];
}

static const char *
why_openssl(void)
{
	unsigned long e = ERR_get_error();
	const char *reason = e ? ERR_reason_error_string(e) : NULL;
	ERR_clear_error();
	return reason ? reason : strerror(errno);
}

static bool
set_protocols(SSL_CTX *ssl, const char *list, struct text *why)
{
	static const struct {
		const char *name;
		unsigned bits; /* 1: TLS 1.0, 2: 1.1, 4: 1.2, 8: 1.3 */
	} words[] = { { "tlsv1.0", 1 }, { "tlsv1.1", 2 }, { "tlsv1.2", 4 }, { "tlsv1.3", 8 }, { "all", 15 }, { "secure", 12 } };
	static const int versions[] = { TLS1_VERSION, TLS1_1_VERSION, TLS1_2_VERSION, TLS1_3_VERSION };

	unsigned bits = 0;
	if (!is_given(list))
		list = "secure";
	while (*list) {
		size_t n = strcspn(list, ", :");
		bool known = n == 0;
		for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
			if (strlen(words[i].name) == n && strncasecmp(words[i].name, list, n) == 0) {
				bits |= words[i].bits;
				known = true;
			}
		if (!known) {
			text_addf(why, "tls protocol \"%.*s\" is unknown; allowed: tlsv1.0 tlsv1.1 tlsv1.2 tlsv1.3 all secure",
			          (int)n, list);
			return false;
		}
		list += n;
		list += strspn(list, ", :");
	}
	if (bits == 0) {
		text_add(why, "no tls protocol is named; allowed: tlsv1.0 tlsv1.1 tlsv1.2 tlsv1.3 all secure");
		return false;
	}
	int least = 0, most = 0;
	for (int i = 0; i < 4; i++)
		if (bits & (1u << i)) {
			least = least ? least : versions[i];
			most = versions[i];
		}
	return SSL_CTX_set_min_proto_version(ssl, least) && SSL_CTX_set_max_proto_version(ssl, most);
}

static bool
is_preset_ciphers(const char *s)
{
	return !is_given(s) || strcmp(s, "default") == 0 || strcmp(s, "secure") == 0 || strcmp(s, "fast") == 0 ||
	       strcmp(s, "normal") == 0;
}

static bool
load_files(SSL_CTX *ssl, enum tls_role role, const struct tls_files *f, struct text *why)
{
	if (is_given(f->cert_file) && SSL_CTX_use_certificate_chain_file(ssl, f->cert_file) != 1) {
		text_addf(why, "certificate file \"%s\": %s", f->cert_file, why_openssl());
		return false;
	}
	SSL_CTX_set_default_passwd_cb(ssl, no_passphrase);
	if (is_given(f->key_file) && SSL_CTX_use_PrivateKey_file(ssl, f->key_file, SSL_FILETYPE_PEM) != 1) {
		text_addf(why, "key file \"%s\": %s", f->key_file, why_openssl());
		return false;
	}
	if (is_given(f->cert_file) && is_given(f->key_file) && SSL_CTX_check_private_key(ssl) != 1) {
		text_addf(why, "key file \"%s\" does not fit certificate file \"%s\"", f->key_file, f->cert_file);
		return false;
	}
	if (role == TLS_FOR_CLIENTS && !(is_given(f->cert_file) && is_given(f->key_file))) {
		text_add(why, "TLS for clients needs a certificate file and a key file");
		return false;
	}
	if (is_given(f->ca_file) && SSL_CTX_load_verify_locations(ssl, f->ca_file, NULL) != 1) {
		text_addf(why, "CA file \"%s\": %s", f->ca_file, why_openssl());
		return false;
	}
	if (f->verify_peer && !is_given(f->ca_file)) {
		text_add(why, "verifying certificates needs a CA file");
		return false;
	}
	return true;
}

static bool
load_ciphers(SSL_CTX *ssl, const struct tls_files *f, struct text *why)
{
	const char *list = f->ciphers;
	if (!is_preset_ciphers(list) && SSL_CTX_set_cipher_list(ssl, strcmp(list, "all") == 0 ? "ALL" : list) != 1) {
		text_addf(why, "ciphers \"%s\": %s", list, why_openssl());
		return false;
	}
	if (is_given(f->ciphers13) && SSL_CTX_set_ciphersuites(ssl, f->ciphers13) != 1) {
		text_addf(why, "TLS 1.3 ciphers \"%s\": %s", f->ciphers13, why_openssl());
		return false;
	}
	if (is_given(f->curve) && strcmp(f->curve, "auto") != 0 && strcmp(f->curve, "none") != 0 &&
	    SSL_CTX_set1_groups_list(ssl, f->curve) != 1) {
		text_addf(why, "curve \"%s\": %s", f->curve, why_openssl());
		return false;
	}
	return true;
}

/* Whoever connects directly must name us; others may be silent. Source: PostgreSQL 17, 54.2.10. */
static int
choose_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_bytes, const unsigned char *in, unsigned in_bytes,
            void *context)
{
	static const unsigned char ours[] = "\x0apostgresql";
	unsigned char *chosen;
	if (SSL_select_next_proto(&chosen, out_bytes, ours, sizeof(ours) - 1, in, in_bytes) != OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	*out = chosen;
	return SSL_TLSEXT_ERR_OK;
}

static bool
configure(struct tls_context *t, enum tls_role role, const struct tls_files *f, struct text *why)
{
	SSL_CTX_set_options(t->ssl, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET |
	                                SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_IGNORE_UNEXPECTED_EOF);
	SSL_CTX_set_mode(t->ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
	                             SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_session_cache_mode(t->ssl, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_num_tickets(t->ssl, 0);
	SSL_CTX_set_read_ahead(t->ssl, 1); /* header and body of a record in one recv */
	if (!set_protocols(t->ssl, f->protocols, why))
		return false;
	if (!load_files(t->ssl, role, f, why) || !load_ciphers(t->ssl, f, why))
		return false;
	if (role == TLS_FOR_CLIENTS)
		SSL_CTX_set_alpn_select_cb(t->ssl, choose_alpn, NULL);
	int mode = SSL_VERIFY_NONE;
	if (f->verify_peer)
		mode = role == TLS_FOR_CLIENTS ? SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT : SSL_VERIFY_PEER;
	SSL_CTX_set_verify(t->ssl, mode, NULL);
	t->verify_host = f->verify_host;
	return true;
}

struct tls_context *
tls_context_new(enum tls_role role, const struct tls_files *files, struct text *why)
{
	struct tls_context *t = heap_alloc(sizeof(*t));
	t->refs = 1;
	t->ssl = SSL_CTX_new(role == TLS_FOR_CLIENTS ? TLS_server_method() : TLS_client_method());
	if (t->ssl == NULL) {
		text_addf(why, "OpenSSL: %s", why_openssl());
		heap_free(t);
		return NULL;
	}
	if (!configure(t, role, files, why)) {
		if (why->n == 0)
			text_addf(why, "OpenSSL: %s", why_openssl());
		tls_context_unref(t);
		return NULL;
	}
	return t;
}

struct tls_context *
tls_context_ref(struct tls_context *t)
{
	t->refs++;
	return t;
}

void
tls_context_unref(struct tls_context *t)
{
	if (t == NULL || --t->refs > 0)
		return;
	SSL_CTX_free(t->ssl); /* counted by OpenSSL as well: connections keep it */
	heap_free(t);
}

SSL_CTX *
tls_context_ssl(struct tls_context *t)
{
	return t->ssl;
}

bool
tls_context_verifies_host(const struct tls_context *t)
{
	return t->verify_host;
}
