/*
 * bench/peer.c - client side connections by the thousand; see the header.
 *
 *   peer_open -> CONNECTING -> [TLS_ASKED -> TLS_SHAKING ->] LOGIN -> UP -> CLOSED
 *
 * Owns: the socket, the TLS session, both buffers. Never blocks (but for the three functions that say so).
 */
#define _GNU_SOURCE
#include "bench/peer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/heap.h"
#include "base/must.h"

enum { SCRATCH = 64 * 1024, MESSAGE_MAX = 64 * 1024 * 1024, KEEP_ROOM = 4096 };

struct scram_talk {
	char    nonce[32];          /* ours, base64 */
	char    first_bare[64];     /* client-first-message-bare */
	uint8_t server_signature[SCRAM_HASH];
};

uint64_t
now_us(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

void
raise_descriptor_limit(unsigned n)
{
	struct rlimit limit;
	getrlimit(RLIMIT_NOFILE, &limit);
	if (limit.rlim_cur >= n)
		return;
	limit.rlim_cur = n;
	if (limit.rlim_max < n)
		limit.rlim_max = n; /* root may */
	if (setrlimit(RLIMIT_NOFILE, &limit) == 0)
		return;
	fprintf(stderr, "%u file descriptors are needed: ulimit -n %u (%s)\n", n, n, strerror(errno));
	exit(2);
}

/* ---- building and reading messages ---- */

size_t
message_begin(struct buf *b, char type)
{
	buf_add_u8(b, (uint8_t)type);
	buf_add_be32(b, 0);
	return b->n - 4;
}

void
message_end(struct buf *b, size_t at)
{
	store_be32(b->p + at, (uint32_t)(b->n - at));
}

void
message_query(struct buf *b, const char *sql)
{
	size_t at = message_begin(b, 'Q');
	buf_add_string(b, sql);
	message_end(b, at);
}

struct view
error_field(struct view body, char code)
{
	size_t at = 0;
	while (at < body.n && body.p[at] != 0) {
		char here = (char)body.p[at++];
		const uint8_t *end = memchr(body.p + at, 0, body.n - at);
		if (end == NULL)
			break;
		size_t n = (size_t)(end - body.p) - at;
		if (here == code)
			return view_part(body, at, n);
		at += n + 1;
	}
	return (struct view){ 0 };
}

bool
peer_message(struct peer *p, struct message *m)
{
	struct view rest = view_from(buf_view(&p->in), p->in_at);
	if (rest.n < 5)
		return false;
	uint32_t length = load_be32(rest.p + 1);
	if (length < 4 || length > MESSAGE_MAX) {
		snprintf(p->why, sizeof p->why, "a message '%c' of length %u: not the protocol", rest.p[0], length);
		p->in_at = p->in.n;
		*m = (struct message){ .type = 0 }; /* no such letter: every caller takes it for a violation */
		return true;
	}
	if (rest.n < 1 + (size_t)length)
		return false;
	*m = (struct message){ .type = (char)rest.p[0], .body = view_part(rest, 5, length - 4) };
	p->in_at += 1 + length;
	return true;
}

/* ---- the socket ---- */

bool
endpoint_init(struct endpoint *e, const char *host, unsigned port)
{
	*e = (struct endpoint){ .at = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) } };
	return port > 0 && port < 65536 && inet_pton(AF_INET, host, &e->at.sin_addr) == 1;
}

SSL_CTX *
endpoint_any_tls(void)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	must(ctx != NULL);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL);
	SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF); /* libpq resumes nothing either */
	return ctx;
}

static bool
peer_lost(struct peer *p, const char *what)
{
	if (p->why[0] == 0)
		snprintf(p->why, sizeof p->why, "%s", what);
	return false;
}

static void
peer_watch(struct peer *p, uint32_t events)
{
	if (p->is_paused)
		events &= ~(uint32_t)EPOLLIN;
	if (p->epoll < 0 || (p->is_registered && p->watched == events))
		return;
	struct epoll_event e = { .events = events, .data.ptr = p->tag };
	int op = p->is_registered ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
	p->is_registered = true;
	if (epoll_ctl(p->epoll, op, p->fd, &e) != 0) {
		perror("epoll_ctl");
		exit(2);
	}
	p->watched = events;
}

bool
peer_open(struct peer *p, struct endpoint *to, int epoll, void *tag)
{
	struct buf in = p->in, out = p->out; /* their memory is used again */
	const char *application = p->application;
	*p = (struct peer){ .epoll = epoll, .tag = tag, .to = to, .application = application, .in = in, .out = out };
	buf_clear(&p->in);
	buf_clear(&p->out);
	p->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (p->fd < 0)
		return peer_lost(p, strerror(errno));
	int one = 1;
	setsockopt(p->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	if (to->sources > 0) {
		/* One address has some 28,000 ports; the port is chosen at connect, so that only the pair must be free. */
		struct sockaddr_in from = { .sin_family = AF_INET,
			.sin_addr.s_addr = htonl(INADDR_LOOPBACK + to->next_source++ % to->sources) };
		setsockopt(p->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
		if (bind(p->fd, (struct sockaddr *)&from, sizeof from) != 0) {
			peer_lost(p, strerror(errno));
			peer_close(p);
			return false;
		}
	}
	if (connect(p->fd, (struct sockaddr *)&to->at, sizeof to->at) != 0 && errno != EINPROGRESS) {
		peer_lost(p, strerror(errno));
		peer_close(p);
		return false;
	}
	p->state = PEER_CONNECTING;
	peer_watch(p, EPOLLOUT);
	return true;
}

void
peer_pause(struct peer *p, bool is_paused)
{
	p->is_paused = is_paused;
	peer_watch(p, p->out.n > p->out_at ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

void
peer_close(struct peer *p)
{
	if (p->state == PEER_CLOSED && p->fd <= 0)
		return;
	if (p->ssl) {
		SSL_free(p->ssl);
		p->ssl = NULL;
	}
	heap_free(p->scram);
	p->scram = NULL;
	close(p->fd);
	p->fd = -1;
	p->watched = 0;
	p->is_registered = false;
	p->state = PEER_CLOSED;
}

void
peer_reset(struct peer *p)
{
	struct linger now = { .l_onoff = 1, .l_linger = 0 };
	if (p->state != PEER_CLOSED)
		setsockopt(p->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
	peer_close(p);
}

bool
peer_flush(struct peer *p)
{
	while (p->out_at < p->out.n) {
		const uint8_t *from = p->out.p + p->out_at;
		size_t left = p->out.n - p->out_at;
		ssize_t n;
		if (p->ssl && p->state > PEER_TLS_SHAKING) {
			ERR_clear_error();
			n = SSL_write(p->ssl, from, left > SCRATCH ? SCRATCH : (int)left);
			if (n <= 0 && SSL_get_error(p->ssl, (int)n) != SSL_ERROR_WANT_WRITE)
				return peer_lost(p, "TLS write failed");
		} else {
			n = send(p->fd, from, left, MSG_NOSIGNAL);
			if (n < 0 && errno != EAGAIN && errno != EINTR)
				return peer_lost(p, strerror(errno));
		}
		if (n <= 0) {
			peer_watch(p, EPOLLIN | EPOLLOUT);
			return true;
		}
		p->out_at += (size_t)n;
	}
	if (p->out.room > KEEP_ROOM)
		buf_free(&p->out);
	buf_clear(&p->out);
	p->out_at = 0;
	peer_watch(p, EPOLLIN);
	return true;
}

/* Read what there is. False: the end, or an error. */
static bool
peer_fill(struct peer *p)
{
	static uint8_t scratch[SCRATCH];
	buf_drop_front(&p->in, p->in_at);
	p->in_at = 0;
	if (p->in.n == 0 && p->in.room > KEEP_ROOM)
		buf_free(&p->in);
	for (;;) {
		ssize_t n;
		if (p->ssl && p->state > PEER_TLS_SHAKING) {
			ERR_clear_error();
			n = SSL_read(p->ssl, scratch, sizeof scratch);
			if (n <= 0) {
				int why = SSL_get_error(p->ssl, (int)n);
				if (why == SSL_ERROR_WANT_READ)
					return true;
				return peer_lost(p, why == SSL_ERROR_ZERO_RETURN ? "closed by the other side" : "TLS read failed");
			}
		} else {
			/* Behind the answer to SSLRequest comes the handshake: leave that in the socket. */
			size_t room = p->state == PEER_TLS_ASKED ? 1 : sizeof scratch;
			n = recv(p->fd, scratch, room, 0);
			if (n < 0 && (errno == EAGAIN || errno == EINTR))
				return true;
			if (n < 0)
				return peer_lost(p, strerror(errno));
			if (n == 0)
				return peer_lost(p, "closed by the other side");
		}
		buf_add(&p->in, view_of(scratch, (size_t)n));
		if (!p->ssl)
			return true; /* level-triggered: epoll says if there is more */
	}
}

/* ---- logging in ---- */

static void
send_startup(struct peer *p)
{
	size_t at = p->out.n;
	buf_add_be32(&p->out, 0);
	buf_add_be32(&p->out, 3 << 16);
	buf_add_string(&p->out, "user");
	buf_add_string(&p->out, p->to->user);
	buf_add_string(&p->out, "database");
	buf_add_string(&p->out, p->to->database);
	if (p->application) {
		buf_add_string(&p->out, "application_name");
		buf_add_string(&p->out, p->application);
	}
	buf_add_u8(&p->out, 0);
	store_be32(p->out.p + at, (uint32_t)(p->out.n - at));
	p->state = PEER_LOGIN;
}

static void
send_password(struct peer *p, const void *what, size_t n)
{
	size_t at = message_begin(&p->out, 'p');
	buf_add(&p->out, view_of(what, n));
	message_end(&p->out, at);
}

static void
md5_hex(const void *a, size_t a_n, const void *b, size_t b_n, char out[33])
{
	uint8_t digest[16];
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	EVP_DigestInit_ex(ctx, EVP_md5(), NULL);
	EVP_DigestUpdate(ctx, a, a_n);
	EVP_DigestUpdate(ctx, b, b_n);
	EVP_DigestFinal_ex(ctx, digest, NULL);
	EVP_MD_CTX_free(ctx);
	for (int i = 0; i < 16; i++)
		snprintf(out + 2 * i, 3, "%02x", digest[i]);
}

static void
answer_md5(struct peer *p, struct view salt)
{
	char inner[33], outer[33], word[36];
	md5_hex(p->to->password, strlen(p->to->password), p->to->user, strlen(p->to->user), inner);
	md5_hex(inner, 32, salt.p, salt.n, outer);
	int n = snprintf(word, sizeof word, "md5%s", outer);
	send_password(p, word, (size_t)n + 1);
}

static void
hmac(const uint8_t key[SCRAM_HASH], const char *what, size_t n, uint8_t out[SCRAM_HASH])
{
	unsigned out_n = SCRAM_HASH;
	must(HMAC(EVP_sha256(), key, SCRAM_HASH, (const uint8_t *)what, n, out, &out_n) != NULL);
}

static void
stretch(struct endpoint *e, const uint8_t *salt, size_t salt_n, unsigned rounds)
{
	struct stretched *s = &e->stretched;
	if (s->salt_n == salt_n && s->rounds == rounds && memcmp(s->salt, salt, salt_n) == 0)
		return;
	uint8_t salted[SCRAM_HASH];
	must(PKCS5_PBKDF2_HMAC(e->password, (int)strlen(e->password), salt, (int)salt_n, (int)rounds, EVP_sha256(),
	                       SCRAM_HASH, salted) == 1);
	memcpy(s->salt, salt, salt_n);
	s->salt_n = salt_n;
	s->rounds = rounds;
	hmac(salted, "Client Key", 10, s->client_key);
	EVP_Digest(s->client_key, SCRAM_HASH, s->stored_key, NULL, EVP_sha256(), NULL);
	hmac(salted, "Server Key", 10, s->server_key);
}

static void
scram_start(struct peer *p)
{
	struct scram_talk *t = p->scram = heap_alloc(sizeof *t);
	uint8_t raw[18];
	must(RAND_bytes(raw, sizeof raw) == 1);
	EVP_EncodeBlock((uint8_t *)t->nonce, raw, sizeof raw);
	snprintf(t->first_bare, sizeof t->first_bare, "n=,r=%s", t->nonce);
	size_t at = message_begin(&p->out, 'p');
	buf_add_string(&p->out, "SCRAM-SHA-256");
	buf_add_be32(&p->out, (uint32_t)(3 + strlen(t->first_bare)));
	buf_addf(&p->out, "n,,%s", t->first_bare);
	message_end(&p->out, at);
}

/* base64 with padding, into at most room bytes; 0: it is none. */
static size_t
decode64(const char *in, size_t n, uint8_t *out, size_t room)
{
	if (n == 0 || n % 4 != 0 || n / 4 * 3 > room + 2)
		return 0;
	uint8_t all[128];
	if (n / 4 * 3 > sizeof all)
		return 0;
	int got = EVP_DecodeBlock(all, (const uint8_t *)in, (int)n);
	if (got < 0)
		return 0;
	size_t size = (size_t)got - (in[n - 1] == '=') - (in[n - 2] == '=');
	if (size > room)
		return 0;
	memcpy(out, all, size);
	return size;
}

static bool
scram_go_on(struct peer *p, struct view server_first)
{
	struct scram_talk *t = p->scram;
	char first[256], nonce[128], salt64[96];
	unsigned rounds;
	if (t == NULL || server_first.n >= sizeof first)
		return peer_lost(p, "SCRAM: unexpected challenge");
	memcpy(first, server_first.p, server_first.n);
	first[server_first.n] = 0;
	if (sscanf(first, "r=%127[^,],s=%95[^,],i=%u", nonce, salt64, &rounds) != 3 ||
	    strncmp(nonce, t->nonce, strlen(t->nonce)) != 0)
		return peer_lost(p, "SCRAM: bad server-first-message");
	uint8_t salt[64];
	size_t salt_n = decode64(salt64, strlen(salt64), salt, sizeof salt);
	if (salt_n == 0 || rounds == 0)
		return peer_lost(p, "SCRAM: bad salt");
	stretch(p->to, salt, salt_n, rounds);

	char final[256], all[640];
	snprintf(final, sizeof final, "c=biws,r=%s", nonce);
	int n = snprintf(all, sizeof all, "%s,%s,%s", t->first_bare, first, final);
	uint8_t signature[SCRAM_HASH], proof[SCRAM_HASH];
	hmac(p->to->stretched.stored_key, all, (size_t)n, signature);
	hmac(p->to->stretched.server_key, all, (size_t)n, t->server_signature);
	for (int i = 0; i < SCRAM_HASH; i++)
		proof[i] = signature[i] ^ p->to->stretched.client_key[i];
	char proof64[64];
	EVP_EncodeBlock((uint8_t *)proof64, proof, SCRAM_HASH);
	size_t at = message_begin(&p->out, 'p');
	buf_addf(&p->out, "%s,p=%s", final, proof64);
	message_end(&p->out, at);
	return true;
}

static bool
scram_check(struct peer *p, struct view server_final)
{
	uint8_t theirs[SCRAM_HASH];
	if (p->scram == NULL || server_final.n < 2 || memcmp(server_final.p, "v=", 2) != 0 ||
	    decode64((const char *)server_final.p + 2, server_final.n - 2, theirs, SCRAM_HASH) != SCRAM_HASH ||
	    memcmp(theirs, p->scram->server_signature, SCRAM_HASH) != 0)
		return peer_lost(p, "SCRAM: the server does not know the password either");
	return true;
}

static bool
answer_authentication(struct peer *p, struct view body)
{
	enum { OK = 0, CLEAR = 3, MD5 = 5, SASL = 10, SASL_CONTINUE = 11, SASL_FINAL = 12 };
	uint32_t kind = body.n >= 4 ? load_be32(body.p) : UINT32_MAX;
	struct view rest = view_from(body, 4);
	if (kind != OK && p->to->password == NULL)
		return peer_lost(p, "asked for a password, and none was given");
	switch (kind) {
	case OK:
		heap_free(p->scram);
		p->scram = NULL;
		return true;
	case CLEAR:
		send_password(p, p->to->password, strlen(p->to->password) + 1);
		return true;
	case MD5:
		answer_md5(p, rest);
		return true;
	case SASL:
		scram_start(p);
		return true;
	case SASL_CONTINUE:
		return scram_go_on(p, rest);
	case SASL_FINAL:
		return scram_check(p, rest);
	default:
		return peer_lost(p, "an unknown kind of authentication was asked for");
	}
}

static bool
take_login_message(struct peer *p, const struct message *m)
{
	switch (m->type) {
	case 'R':
		return answer_authentication(p, m->body);
	case 'K':
		if (m->body.n < 8 || m->body.n - 4 > PEER_KEY_MAX)
			return peer_lost(p, "BackendKeyData of a strange length");
		p->pid = load_be32(m->body.p);
		p->key_n = (uint16_t)(m->body.n - 4);
		memcpy(p->key, m->body.p + 4, p->key_n);
		return true;
	case 'S':
	case 'N':
	case 'v':
		return true;
	case 'Z':
		p->status = m->body.n == 1 ? (char)m->body.p[0] : 0;
		p->state = PEER_UP;
		return true;
	case 'E': {
		struct view code = error_field(m->body, 'C'), text = error_field(m->body, 'M');
		snprintf(p->sqlstate, sizeof p->sqlstate, "%.*s", (int)code.n, code.n ? (const char *)code.p : "");
		snprintf(p->why, sizeof p->why, "refused: %.*s", (int)text.n, text.n ? (const char *)text.p : "");
		return false;
	}
	default:
		snprintf(p->why, sizeof p->why, "message '%c' during login", m->type);
		return false;
	}
}

static bool
shake(struct peer *p)
{
	ERR_clear_error();
	int n = SSL_connect(p->ssl);
	if (n == 1) {
		p->state = PEER_LOGIN;
		send_startup(p);
		return peer_flush(p);
	}
	switch (SSL_get_error(p->ssl, n)) {
	case SSL_ERROR_WANT_READ:
		peer_watch(p, EPOLLIN);
		return true;
	case SSL_ERROR_WANT_WRITE:
		peer_watch(p, EPOLLOUT);
		return true;
	default:
		return peer_lost(p, "TLS handshake failed");
	}
}

static bool
begin_tls(struct peer *p)
{
	if (p->in.n < 1)
		return true;
	if (p->in.p[0] != 'S')
		return peer_lost(p, "TLS was refused");
	buf_clear(&p->in);
	p->ssl = SSL_new(p->to->tls);
	must(p->ssl != NULL);
	SSL_set_fd(p->ssl, p->fd);
	p->state = PEER_TLS_SHAKING;
	return shake(p);
}

static bool
connected(struct peer *p)
{
	int error = 0;
	socklen_t n = sizeof error;
	getsockopt(p->fd, SOL_SOCKET, SO_ERROR, &error, &n);
	if (error != 0)
		return peer_lost(p, strerror(error));
	if (p->to->tls) {
		buf_add_be32(&p->out, 8);
		buf_add_be32(&p->out, 80877103);
		p->state = PEER_TLS_ASKED;
	} else {
		send_startup(p);
	}
	return peer_flush(p);
}

static bool
log_in_further(struct peer *p)
{
	struct message m;
	while (p->state == PEER_LOGIN && peer_message(p, &m))
		if (!take_login_message(p, &m))
			return false;
	return p->out.n == 0 || peer_flush(p);
}

enum peer_news
peer_turn(struct peer *p, uint32_t events)
{
	if (p->state == PEER_CONNECTING)
		return connected(p) ? PEER_QUIET : PEER_GONE;
	if (p->state == PEER_TLS_SHAKING && !shake(p))
		return PEER_GONE;
	if (p->state == PEER_TLS_SHAKING)
		return PEER_QUIET;
	if ((events & EPOLLOUT) && !peer_flush(p) && !(events & EPOLLIN))
		return PEER_GONE;
	if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
		return PEER_QUIET;
	bool more = peer_fill(p);
	if (p->state == PEER_TLS_ASKED && (!more || !begin_tls(p)))
		return PEER_GONE;
	if (p->state == PEER_LOGIN) {
		if (!log_in_further(p) || (!more && p->state != PEER_UP))
			return PEER_GONE;
		return p->state == PEER_UP ? PEER_LOGGED_IN : PEER_QUIET;
	}
	if (p->state != PEER_UP)
		return PEER_QUIET;
	return more ? PEER_INPUT : PEER_GONE;
}

/* ---- blocking use ---- */

bool
peer_open_and_wait(struct peer *p, struct endpoint *to, int timeout_ms)
{
	if (!peer_open(p, to, -1, NULL))
		return false;
	uint64_t end = now_us() + (uint64_t)timeout_ms * 1000;
	while (p->state != PEER_UP) {
		short want = p->state == PEER_CONNECTING || p->out.n > 0 ? POLLIN | POLLOUT : POLLIN;
		struct pollfd f = { .fd = p->fd, .events = want };
		if (now_us() > end || poll(&f, 1, 1000) < 0)
			return peer_lost(p, "no login in time");
		if (f.revents == 0)
			continue;
		uint32_t events = (f.revents & POLLOUT ? EPOLLOUT : 0) | (f.revents & ~POLLOUT ? EPOLLIN : 0);
		if (peer_turn(p, events) == PEER_GONE)
			return false;
	}
	return true;
}

void
peer_make_blocking(struct peer *p)
{
	fcntl(p->fd, F_SETFL, fcntl(p->fd, F_GETFL) & ~O_NONBLOCK);
}

ssize_t
peer_read_some(struct peer *p, void *into, size_t room)
{
	if (p->ssl)
		return SSL_read(p->ssl, into, room > INT32_MAX ? INT32_MAX : (int)room);
	ssize_t n;
	do
		n = recv(p->fd, into, room, 0);
	while (n < 0 && errno == EINTR);
	return n;
}

bool
peer_write_all(struct peer *p, const void *from, size_t n)
{
	const uint8_t *at = from;
	while (n > 0) {
		ssize_t w = p->ssl ? SSL_write(p->ssl, at, n > SCRATCH ? SCRATCH : (int)n)
		                   : send(p->fd, at, n, MSG_NOSIGNAL);
		if (w < 0 && !p->ssl && errno == EINTR)
			continue;
		if (w <= 0)
			return false;
		at += w;
		n -= (size_t)w;
	}
	return true;
}
