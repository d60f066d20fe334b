/*
 * net/stream.h - a connection seen as a stream of bytes, in clear or through TLS; its owner never learns which.
 *
 *   socket ──► loop->in ──► on_data(view) ──► owner           what the owner did not consume is kept in `rest`
 *   socket ◄── one sendmsg ◄── gather ◄── stream_send/_put    what the socket did not take is kept in `pending`
 *
 * Owns: descriptor, TLS session, kept bytes. Never: looks at the bytes; calls its owner after stream_close().
 * Back-pressure: on_blocked when output had to be kept, on_drained when it has gone; between them the owner stops
 * whoever feeds this stream (stream_pause on the peer). epoll is told once of each stream, and again only when its output
 * is blocked (it tells of changes: EPOLLET), so that pausing, waiting and going on cost no system call.
 * The struct is embedded in the owner's; the owner frees it at the end of the turn, after stream_close().
 */
#ifndef NET_STREAM_H
#define NET_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/list.h"
#include "net/loop.h"
#include "net/tls.h"

struct ssl_st;

enum stream_end {
	STREAM_END_EOF,     /* the peer closed in order */
	STREAM_END_ERROR,   /* errno of the socket in `text` */
	STREAM_END_REFUSED, /* connect failed */
	STREAM_END_TLS,     /* handshake or record failed */
	STREAM_END_MEMORY,  /* a message that must be held whole does not fit */
};

enum stream_checks { STREAM_CHECKS_NOTHING, STREAM_CHECKS_AUTHORITY, STREAM_CHECKS_NAME_TOO };

struct stream_ops {
	/* Connected, or the TLS handshake is done. */
	void (*on_open)(void *owner);
	/* `in` is good until the return; answer how many bytes were consumed. The rest comes again, with more behind. */
	size_t (*on_data)(void *owner, struct view in);
	/* Nothing more will come, nothing more can be sent. The owner closes the stream. `text` says why. */
	void (*on_end)(void *owner, enum stream_end why, const char *text);
	void (*on_blocked)(void *owner);
	void (*on_drained)(void *owner);
};

struct stream {
	struct watched watched;
	struct loop *loop;
	const struct stream_ops *ops;
	void *owner;
	struct ssl_st *ssl;     /* NULL: in clear */
	struct gather *gather;  /* NULL: nothing gathered */
	struct buf rest;        /* input not consumed yet */
	struct buf pending;     /* output the socket did not take */
	struct node again_node; /* in loop->again */
	int fd;                 /* -1: closed */
	bool is_connecting : 1;
	bool is_in_handshake : 1;
	bool is_paused : 1;     /* by the owner */
	bool is_readable : 1;   /* there may be something to read: epoll has said so, and does not say it twice */
	bool is_cut : 1;        /* the peer has closed its side, or all of it: the end is found by reading */
	bool is_ended : 1;      /* on_end was called */
	bool is_in_handler : 1; /* on_data runs */
	bool is_blocked : 1;    /* on_blocked was told, on_drained not yet */
	bool is_watched : 1;    /* paused by stream_pause_watching() */
	bool is_suspended : 1;  /* by stream_suspend() */
	bool is_broken : 1;     /* sending failed: the owner is told before the end of the turn, not from within its call */
	int16_t error;          /* errno of that; 0: TLS */
};

/* Take over a connected descriptor, which must be non-blocking. */
void stream_open(struct stream *s, struct loop *loop, int fd, const struct stream_ops *ops, void *owner);
/* Begin a non-blocking connect; on_open or on_end(STREAM_END_REFUSED) follows. False, errno: not even begun. */
bool stream_connect(struct stream *s, struct loop *loop, const struct sockaddr *address, socklen_t address_bytes,
                    const struct stream_ops *ops, void *owner);
/* At once, without a word to the owner; output gathered or kept is tried once more and then lost. Twice is harmless. */
void stream_close(struct stream *s);
bool stream_is_open(const struct stream *s);
bool stream_is_silent(const struct stream *s); /* nothing of the peer's waits to be read */

/* Begin TLS. As a server: `taken` are the bytes of the ClientHello already read (direct TLS), or empty.
 * As a client: `host` is sent as SNI, unless it is an address; `checks` are what is checked of the server's certificate.
 * on_open follows. False: no memory. */
bool stream_start_tls_server(struct stream *s, struct tls_context *context, struct view taken);
bool stream_start_tls_client(struct stream *s, struct tls_context *context, const char *host, enum stream_checks checks,
                             bool alpn);
/* What its TLS was begun with, which may be older than what is in force; NULL: in clear. Good until it is closed. */
struct tls_context *stream_tls_context(const struct stream *s);
/* Have both sides agreed on PostgreSQL's protocol by name (ALPN)? Once the handshake is done. */
bool stream_has_alpn(const struct stream *s);
/* The hash that binds SCRAM to this connection, see tls_binding_hash(); 0: none, or in clear. */
size_t stream_binding_hash(const struct stream *s, uint8_t out[TLS_HASH_MAX]);
/* "TLSv1.3/TLS_AES_256_GCM_SHA384" into text, or "" in clear. */
void stream_describe_tls(const struct stream *s, char *text, size_t room);

/*
 * Whose certificate the client has shown: the common name of its subject in UTF-8, or the whole subject as RFC 2253 writes
 * it. False: none was shown, none was checked, it has no such name, or one with a zero byte in it or too long for room.
 */
bool stream_peer_common_name(const struct stream *s, char *out, size_t room);
bool stream_peer_distinguished_name(const struct stream *s, char *out, size_t room);
bool stream_has_peer_certificate(const struct stream *s); /* shown and found good */
/* Whose process is at the other end of a Unix socket. False: the system does not say. */
bool stream_peer_uid(const struct stream *s, uid_t *uid);

/* Send. The view of stream_send() stays the caller's and must be good until the next loop_flush(), which follows each
 * event; stream_put() copies. */
void stream_gather(struct stream *s, struct view v); /* stream_send() when there is more to it */
static inline void
stream_send(struct stream *s, struct view v)
{
	struct gather *g = s->gather;
	if (g && g->tail == v.p && g->bytes + v.n <= g->bytes_max) { /* one message behind the other: the usual case */
		g->piece[g->count - 1].iov_len += v.n;
		g->bytes += v.n;
		g->tail += v.n;
	} else {
		stream_gather(s, v);
	}
}
void stream_put(struct stream *s, struct view v);
void stream_flush(struct stream *s); /* this one only, now */
/* Drop what was gathered, so that it is never sent, if nothing was sent since loop->sends was `sends`. False: it is too late. */
bool stream_unsend(struct stream *s, uint64_t sends);
static inline bool
stream_has_output(const struct stream *s)
{
	return s->gather != NULL || s->pending.n > 0;
}

/* Stop and go on reading. After stream_resume() kept input is handled within this turn. A paused stream does not see its
 * peer leave; one paused by stream_pause_watching() does, and then drops what it has not read. */
void stream_pause(struct stream *s);
void stream_pause_watching(struct stream *s);
void stream_resume(struct stream *s);
/* Stop reading whatever the owner pauses and resumes meanwhile, until stream_wake(). Output still goes out. */
void stream_suspend(struct stream *s);
void stream_wake(struct stream *s);
void stream_handle_again(struct stream *s); /* for the loop only */
/* Bytes received and not consumed. */
static inline size_t
stream_kept(const struct stream *s)
{
	return s->rest.n;
}

/* Addresses for logs and SHOW: "127.0.0.1", port; "unix" and 0 for Unix sockets. One system call each. */
void stream_peer(const struct stream *s, struct sockaddr_storage *out); /* AF_UNSPEC when it has gone already */
void stream_peer_address(const struct stream *s, char *host, size_t room, uint16_t *port);
void stream_local_address(const struct stream *s, char *host, size_t room, uint16_t *port);
void address_text(const struct sockaddr *a, char *host, size_t room, uint16_t *port);

/* Socket options of a connection; 0 leaves the system's value. On Linux accepted sockets inherit the listener's. */
struct socket_options {
	bool keepalive;
	int keepidle_s, keepintvl_s, keepcnt;
	int user_timeout_ms;
	int retry_max_ms; /* what is not acknowledged is sent again after so long at most; Linux 6.15 */
	int buffer_bytes; /* SO_SNDBUF and SO_RCVBUF */
};
void socket_tune(int fd, const struct socket_options *o); /* sets TCP_NODELAY too; harmless on a Unix socket */

#endif
