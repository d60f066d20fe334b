/*
 * bench/peer.h - one connection to a PostgreSQL endpoint, seen from the client, for programs that hold thousands of them.
 *
 * Non-blocking, driven by an epoll of the caller; logs in with trust, password, md5 or SCRAM-SHA-256, with TLS if asked.
 * Shares no protocol code with the proxy (only base/): what judges the proxy's bytes must not repeat its mistakes.
 * The salted password is computed once per (salt, rounds) and kept: thousands of logins cost the client no stretching.
 * Passwords are taken as ASCII (no SASLprep), which is all that test users need.
 *
 * Source: PostgreSQL 15, 55.2 Message Flow, 55.3 SASL Authentication, 55.7 Message Formats; RFC 5802.
 */
#ifndef BENCH_PEER_H
#define BENCH_PEER_H

#include <netinet/in.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

#include "base/buf.h"
#include "base/view.h"

enum { PEER_KEY_MAX = 256, PEER_WHY_MAX = 160, SCRAM_HASH = 32 };

/* The salted password's keys of the last (salt, rounds) seen. */
struct stretched {
	uint8_t  salt[64];
	size_t   salt_n; /* 0: nothing kept */
	unsigned rounds;
	uint8_t  client_key[SCRAM_HASH], stored_key[SCRAM_HASH], server_key[SCRAM_HASH];
};

/* Where to connect, and as whom. Shared by many peers; outlives them. */
struct endpoint {
	struct sockaddr_in at;       /* sin_addr and sin_port in network order */
	unsigned           sources;  /* connect from 127.0.0.1 .. 127.0.0.N in turn; 0: let the kernel choose */
	unsigned           next_source;
	const char        *user, *database, *password; /* password NULL: refuse to be asked for one */
	SSL_CTX           *tls;      /* NULL: in clear */
	struct stretched   stretched;
};

enum peer_state { PEER_CLOSED, PEER_CONNECTING, PEER_TLS_ASKED, PEER_TLS_SHAKING, PEER_LOGIN, PEER_UP };

struct peer {
	int              fd; /* -1 when PEER_CLOSED */
	int              epoll;
	void            *tag; /* comes back as epoll's data.ptr */
	uint32_t         watched;
	bool             is_registered, is_paused;
	enum peer_state  state;
	struct endpoint *to;
	const char      *application; /* application_name at startup; NULL: not sent. The caller's, good until PEER_UP */
	SSL             *ssl;
	struct buf       in, out;
	size_t           in_at, out_at; /* consumed, sent */
	uint32_t         pid;
	uint8_t          key[PEER_KEY_MAX];
	uint16_t         key_n;
	char             status;     /* of the last ReadyForQuery: I, T, E */
	struct scram_talk *scram;    /* during a SCRAM login only */
	char             why[PEER_WHY_MAX]; /* after PEER_GONE: one sentence */
	char             sqlstate[6];       /* of the ErrorResponse that refused the login, or empty */
};

struct message {
	char        type; /* B: the letter */
	struct view body; /* without letter and length; good until the next peer_turn() or peer_close() */
};

enum peer_news {
	PEER_QUIET,     /* nothing for the caller */
	PEER_LOGGED_IN, /* the first ReadyForQuery has come */
	PEER_INPUT,     /* ask peer_message() until it says no */
	PEER_GONE,      /* closed by the other side or refused; ->why, and there may be messages left to read */
};

/* Fill in *e from text; "127.0.0.1" style addresses only. False: not an address. */
bool endpoint_init(struct endpoint *e, const char *host, unsigned port);
/* A context that takes any certificate: what is measured is the cost, not the trust. */
SSL_CTX *endpoint_any_tls(void);

/* Begin to connect. False: no socket or no port left (errno in ->why). */
bool           peer_open(struct peer *p, struct endpoint *to, int epoll, void *tag);
enum peer_news peer_turn(struct peer *p, uint32_t events);
bool           peer_message(struct peer *p, struct message *m);
/* Send what is in ->out as far as it goes; the rest follows by itself. False: the connection is gone (->why). */
bool           peer_flush(struct peer *p);
/* A reader that does not read for a while. */
void           peer_pause(struct peer *p, bool is_paused);
void           peer_close(struct peer *p);      /* FIN; safe when closed */
void           peer_reset(struct peer *p);      /* RST */

/* Wait up to timeout_ms until logged in, without an epoll of the caller. */
bool    peer_open_and_wait(struct peer *p, struct endpoint *to, int timeout_ms);
/* After that: an ordinary blocking socket. Bytes as they are; -1 on an error, 0 at the end. */
void    peer_make_blocking(struct peer *p);
ssize_t peer_read_some(struct peer *p, void *into, size_t room);
bool    peer_write_all(struct peer *p, const void *from, size_t n);

/* A frontend message is built between these two: the length is put in at the end. */
size_t message_begin(struct buf *b, char type);
void   message_end(struct buf *b, size_t at);
void   message_query(struct buf *b, const char *sql);
/* The value of field `code` of an ErrorResponse or NoticeResponse, or an empty view. */
struct view error_field(struct view body, char code);

/* A process-wide descriptor limit of at least n, or one line on stderr and exit. */
void     raise_descriptor_limit(unsigned n);
uint64_t now_us(void);

#endif
