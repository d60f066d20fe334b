/*
 * net/tls.c - OpenSSL contexts: what may be spoken, with which keys, and what a peer has to show.
 *
 * Never: renegotiates, compresses, sends the list of authorities to clients (some hundred bytes in each handshake, which
 * libpq and the drivers do without), takes early data.
 * Sessions are resumed by clients only, and only where it is set: PostgreSQL issues no tickets, so there is nothing to keep
 * towards servers. Source: OpenSSL 3.0 manual, SSL_CTX_new(3).
 */
#include "net/tls.h"

#include <string.h>
#include <strings.h>

#include <openssl/err.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>

#include "base/heap.h"
#include "base/must.h"
#include "tls_files.h"

/* Lives as long as the SSL_CTX, which connections hold on to. */
struct tls_context {
	SSL_CTX *ssl;
	struct tls_validity certificate, crl;
	char *cert_file, *crl_file; /* owned */
	size_t hash_bytes;          /* of our certificate */
	uint8_t hash[TLS_HASH_MAX];
};

static void
context_free(void *ssl, void *context, CRYPTO_EX_DATA *all, int index, long number, void *p)
{
	struct tls_context *t = context;
	if (t == NULL)
		return;
	heap_free(t->cert_file);
	heap_free(t->crl_file);
	heap_free(t);
}

/* Where an SSL_CTX keeps its tls_context. */
static int
context_index(void)
{
	static int index = -1;
	if (index < 0)
		index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, context_free);
	must(index >= 0);
	return index;
}

/* ---- what may be spoken ---- */

static const struct {
	const char *name;
	unsigned bits; /* of versions[] */
} protocol_words[] = { { "tlsv1.0", 1 }, { "tlsv1.1", 2 }, { "tlsv1.2", 4 }, { "tlsv1.3", 8 }, { "all", 15 }, { "secure", 12 } };

static const struct {
	int number;
	uint64_t off; /* option that forbids it */
} versions[] = { { TLS1_VERSION, SSL_OP_NO_TLSv1 }, { TLS1_1_VERSION, SSL_OP_NO_TLSv1_1 },
	         { TLS1_2_VERSION, SSL_OP_NO_TLSv1_2 }, { TLS1_3_VERSION, SSL_OP_NO_TLSv1_3 } };

/* 0: *why says what is wrong. */
static unsigned
read_protocols(const char *list, struct text *why)
{
	static const char allowed[] = "allowed: tlsv1.0 tlsv1.1 tlsv1.2 tlsv1.3 all secure";
	unsigned bits = 0;
	while (*list) {
		size_t n = strcspn(list, ", :");
		bool known = n == 0;
		for (size_t i = 0; i < sizeof(protocol_words) / sizeof(protocol_words[0]); i++)
			if (strlen(protocol_words[i].name) == n && strncasecmp(protocol_words[i].name, list, n) == 0) {
				bits |= protocol_words[i].bits;
				known = true;
			}
		if (!known) {
			text_addf(why, "tls protocol \"%.*s\" is unknown; %s", (int)n, list, allowed);
			return 0;
		}
		list += n;
		list += strspn(list, ", :");
	}
	if (bits == 0)
		text_addf(why, "no tls protocol is named; %s", allowed);
	return bits;
}

/* The least and the most, against what the system's openssl.cnf says; and what is left out between them. */
static bool
set_protocols(SSL_CTX *ssl, const char *list, struct text *why)
{
	unsigned bits = read_protocols(tls_is_given(list) ? list : "secure", why);
	int least = 0, most = 0;
	if (bits == 0)
		return false;
	for (int i = 0; i < 4; i++)
		if (bits & (1u << i)) {
			least = least ? least : versions[i].number;
			most = versions[i].number;
		} else {
			SSL_CTX_set_options(ssl, versions[i].off);
		}
	return SSL_CTX_set_min_proto_version(ssl, least) && SSL_CTX_set_max_proto_version(ssl, most);
}

/* PgBouncer's words. All but "all" have meant the library's own choice since TLS 1.2 is the least. NULL: leave it. */
static const char *
cipher_list(const char *s)
{
	static const char *const presets[] = { "", "default", "secure", "fast", "normal" };
	for (size_t i = 0; s && i < sizeof(presets) / sizeof(presets[0]); i++)
		if (strcasecmp(s, presets[i]) == 0)
			return NULL;
	return s && strcasecmp(s, "all") == 0 ? "ALL:!aNULL:!eNULL" : s; /* OpenSSL's ALL has those without certificates */
}

static bool
set_ciphers(SSL_CTX *ssl, const struct tls_files *f, struct text *why)
{
	const char *list = cipher_list(f->ciphers);
	if (list && SSL_CTX_set_cipher_list(ssl, list) != 1) {
		text_addf(why, "ciphers \"%s\": %s", list, tls_why());
		return false;
	}
	if (tls_is_given(f->ciphers13) && SSL_CTX_set_ciphersuites(ssl, f->ciphers13) != 1) {
		text_addf(why, "TLS 1.3 ciphers \"%s\": %s", f->ciphers13, tls_why());
		return false;
	}
	/* "none" was for OpenSSL before 1.1: today there is no TLS 1.3 without a group, so it is the library's choice, too. */
	bool has_curve = tls_is_given(f->curve) && strcasecmp(f->curve, "auto") != 0 && strcasecmp(f->curve, "none") != 0;
	if (has_curve && SSL_CTX_set1_groups_list(ssl, f->curve) != 1) {
		text_addf(why, "curve \"%s\" is unknown to OpenSSL", f->curve);
		ERR_clear_error();
		return false;
	}
	/* OpenSSL's own groups: 1 fits the key, 2 (legacy) is 1024 bits, or what its security level makes of that. */
	static const int groups[] = { [TLS_DHEPARAMS_NONE] = 0, [TLS_DHEPARAMS_AUTO] = 1, [TLS_DHEPARAMS_LEGACY] = 2 };
	SSL_CTX_set_dh_auto(ssl, groups[f->dheparams]);
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

/* ---- sessions ---- */

/*
 * Tickets, each sealed with keys of this context: a reload, which may bring another certificate or revocation list, makes
 * them worthless. A ticket would also carry the client's certificate past its end, so who asks for one gives none.
 * The key exchange is a new one each time (psk_dhe_ke), only the signature is saved. In instructions of a login with TLS 1.3:
 * full 3.16 million with a P-256 key, 8.60 with RSA 2048; the same with a ticket to send 3.33 and 9.48; resumed 3.17 for both.
 * So tickets are off unless asked for: they are worth something with an RSA key and clients that come back with them.
 */
static bool
set_sessions(SSL_CTX *ssl, const struct tls_files *f)
{
	if (!f->resumes || f->client_certificate != TLS_CERTIFICATE_UNASKED) {
		SSL_CTX_set_options(ssl, SSL_OP_NO_TICKET);
		SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
		return SSL_CTX_set_num_tickets(ssl, 0) == 1;
	}
	unsigned char id[16];
	SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_SERVER | SSL_SESS_CACHE_NO_INTERNAL);
	return RAND_bytes(id, sizeof(id)) == 1 && SSL_CTX_set_session_id_context(ssl, id, sizeof(id)) == 1 &&
	       SSL_CTX_set_num_tickets(ssl, 1) == 1;
}

/* ---- contexts ---- */

static bool
configure(struct tls_context *t, enum tls_role role, const struct tls_files *f, struct text *why)
{
	static const int modes[] = {
		[TLS_CERTIFICATE_UNASKED] = SSL_VERIFY_NONE,
		[TLS_CERTIFICATE_OPTIONAL] = SSL_VERIFY_PEER,
		[TLS_CERTIFICATE_NEEDED] = SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
	};
	SSL_CTX_set_options(t->ssl, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE |
	                                SSL_OP_IGNORE_UNEXPECTED_EOF);
	SSL_CTX_set_mode(t->ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
	                             SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_read_ahead(t->ssl, 1); /* header and body of a record in one recv */
	if (!set_protocols(t->ssl, f->protocols, why) || !tls_load_files(t->ssl, role, f, why) ||
	    !set_ciphers(t->ssl, f, why) || !set_sessions(t->ssl, f))
		return false;
	if (role == TLS_FOR_CLIENTS)
		SSL_CTX_set_alpn_select_cb(t->ssl, choose_alpn, NULL);
	SSL_CTX_set_verify(t->ssl, modes[f->client_certificate], NULL); /* of servers: stream_start_tls_client() */
	return true;
}

/* What is told of the files, and needed of them at each login. */
static void
take_notes(struct tls_context *t, const struct tls_files *f)
{
	t->certificate.until_s = t->crl.until_s = INT64_MAX;
	if (tls_is_given(f->cert_file)) {
		t->certificate.file = t->cert_file = heap_string(f->cert_file);
		tls_certificate_validity(t->ssl, &t->certificate);
	}
	if (tls_is_given(f->crl_file)) {
		t->crl.file = t->crl_file = heap_string(f->crl_file);
		tls_crl_validity(t->ssl, &t->crl);
	}
	t->hash_bytes = tls_certificate_hash(SSL_CTX_get0_certificate(t->ssl), t->hash);
}

struct tls_context *
tls_context_new(enum tls_role role, const struct tls_files *files, struct text *why)
{
	SSL_CTX *ssl = SSL_CTX_new(role == TLS_FOR_CLIENTS ? TLS_server_method() : TLS_client_method());
	if (ssl == NULL) {
		text_addf(why, "OpenSSL: %s", tls_why());
		return NULL;
	}
	struct tls_context *t = heap_alloc(sizeof(*t));
	t->ssl = ssl;
	must(SSL_CTX_set_ex_data(ssl, context_index(), t) == 1);
	if (!configure(t, role, files, why)) {
		if (why->n == 0)
			text_addf(why, "OpenSSL: %s", tls_why());
		tls_context_unref(t);
		return NULL;
	}
	take_notes(t, files);
	return t;
}

void
tls_context_unref(struct tls_context *t)
{
	if (t)
		SSL_CTX_free(t->ssl); /* and *t, when the last connection has gone */
}

SSL_CTX *
tls_context_ssl(struct tls_context *t)
{
	return t->ssl;
}

struct tls_context *
tls_context_of(const SSL *ssl)
{
	return SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), context_index());
}

struct tls_validity
tls_context_certificate(const struct tls_context *t)
{
	return t->certificate;
}

struct tls_validity
tls_context_crl(const struct tls_context *t)
{
	return t->crl;
}

bool
tls_context_secret(const struct tls_context *t, const char *what_for, uint8_t out[TLS_SECRET_BYTES])
{
	const EVP_PKEY *key = SSL_CTX_get0_privatekey(t->ssl);
	unsigned char *der = NULL;
	unsigned n = TLS_SECRET_BYTES;
	int der_bytes = key ? i2d_PrivateKey(key, &der) : 0;
	if (der_bytes <= 0) {
		ERR_clear_error();
		return false;
	}
	bool ok = HMAC(EVP_sha256(), what_for, (int)strlen(what_for), der, (size_t)der_bytes, out, &n) != NULL;
	OPENSSL_clear_free(der, (size_t)der_bytes);
	return ok;
}

size_t
tls_binding_hash(SSL *ssl, uint8_t out[TLS_HASH_MAX])
{
	if (!SSL_is_server(ssl))
		return tls_certificate_hash(SSL_get0_peer_certificate(ssl), out);
	const struct tls_context *t = tls_context_of(ssl);
	memcpy(out, t->hash, t->hash_bytes);
	return t->hash_bytes;
}
