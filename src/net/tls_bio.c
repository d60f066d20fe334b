/*
 * net/tls_bio.c - the BIO through which OpenSSL reads and writes our sockets.
 *
 * It is our own for two reasons: the ClientHello of a direct TLS connection has been read already and must be given first,
 * and send() must not raise SIGPIPE. Source: OpenSSL 3.0 manual, BIO_meth_new(3).
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include <openssl/bio.h>
#include <openssl/ssl.h>

#include "base/buf.h"
#include "base/heap.h"
#include "base/must.h"
#include "net/tls.h"

struct socket_bio {
	int fd;
	bool is_drained; /* the last read found less than it had room for */
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
	b->is_drained = n != 0 && n < room; /* the end of the stream can be found again */
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

bool
tls_is_drained(const SSL *ssl)
{
	const struct socket_bio *b = BIO_get_data(SSL_get_rbio(ssl));
	return b->is_drained;
}
