/*
 * auth/scram.h - SCRAM-SHA-256, as server towards clients and as client towards servers, message by message.
 *
 *	client connection                 here                                      server connection
 *	client-first    ─► scram_server_first    scram_client_first  ─► client-first
 *	server-first    ◄─                       scram_client_final  ◄─ server-first
 *	client-final    ─► scram_server_final                        ─► client-final
 *	server-final    ◄─   └─ keys ──────────► scram_client_begin_keys
 *	                                         scram_client_verify ◄─ server-final
 *
 * Owns: one exchange, its nonces and keys, erased by _fini. Never: does I/O, keeps a plain password longer than needed.
 * Invariant: each step is taken once and in order; after anything but SCRAM_OK no further step succeeds.
 * Source: RFC 5802, RFC 7677; PostgreSQL 16, 55.3 SASL Authentication; RFC 5929, 4 (tls-server-end-point).
 */
#ifndef AUTH_SCRAM_H
#define AUTH_SCRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "auth/secret.h"
#include "base/buf.h"
#include "base/view.h"

#define SCRAM_MECHANISM       "SCRAM-SHA-256"
#define SCRAM_MECHANISM_PLUS  "SCRAM-SHA-256-PLUS"
#define SCRAM_MESSAGE_MAX     1024    /* bytes of one SASL message, as PostgreSQL's server accepts */
#define SCRAM_ITERATIONS_MAX  1000000 /* that we stretch for at others' wish; the loop stands still meanwhile (0.2 s or more) */
#define SCRAM_NONCE_SIZE      32      /* room for one half: 24 characters of ours, NUL */
#define SCRAM_BINDING_MAX     64      /* bytes of a certificate's hash */

enum scram_result {
	SCRAM_OK,
	SCRAM_BAD_MESSAGE,    /* not a message of SCRAM, or not the one expected now */
	SCRAM_UNSUPPORTED,    /* well formed, but asks for what we don't do: authzid, mandatory extension, binding type */
	SCRAM_BAD_BINDING,    /* channel binding differs: somebody stands between us, with a certificate of its own */
	SCRAM_NO_BINDING,     /* server side: our offer of channel binding was taken away on the way to the client */
	SCRAM_WRONG_PASSWORD, /* server side: wrong, or no such user; client side: the server says so */
	SCRAM_WRONG_SALT,     /* client side: the keys passed through belong to another salt or iteration count */
	SCRAM_TOO_COSTLY,     /* client side: more than SCRAM_ITERATIONS_MAX iterations asked for */
	SCRAM_WRONG_SERVER,   /* client side: the server does not know the password, or answered to another nonce */
};

const char *scram_result_text(enum scram_result r); /* a sentence for a log line or a fault */

/*
 * All that can be known of a password for one salt and iteration count. With client_key one can log in, with server_key
 * and stored_key one can check.
 */
struct scram_keys {
	uint32_t iterations; /* 0: no keys */
	size_t   salt_bytes;
	uint8_t  salt[SCRAM_SALT_MAX];
	uint8_t  client_key[DIGEST_BYTES];
	uint8_t  stored_key[DIGEST_BYTES];
	uint8_t  server_key[DIGEST_BYTES];
};

/* Do keys for this secret work with that salt and iteration count? The rule of pass-through. */
bool scram_keys_fit(const struct scram_keys *k, struct view salt, uint32_t iterations);

/* --- stretched passwords ------------------------------------------------------------------------------------ */

/*
 * Remembers the keys of (password, salt, iterations), so that each is stretched once: a milliseconds' work becomes a
 * look-up. Bounded; what was not used for longest goes first. Holds a digest of the password, not the password.
 */
struct scram_cache;

#define SCRAM_CACHE_ENTRIES 4096 /* a good size: 1 MB when full, nothing when empty */

struct scram_cache *scram_cache_new(size_t entries_max);
void                scram_cache_free(struct scram_cache *c); /* erases; NULL is fine */
size_t              scram_cache_count(const struct scram_cache *c);
bool                scram_cache_is_full(const struct scram_cache *c);
uint64_t            scram_cache_stretched(const struct scram_cache *c); /* stretchings since it is there */

/* The keys of a plain password. The cache may be NULL: then it is stretched each time. */
void scram_keys_of_password(const char *password, struct view salt, uint32_t iterations, struct scram_cache *cache,
                            struct scram_keys *out);

/* The same for a password that may be wrong: it is looked up but not remembered. When it is right: scram_cache_add(). */
void scram_keys_try_password(const char *password, struct view salt, uint32_t iterations, struct scram_cache *cache,
                             struct scram_keys *out);
void scram_cache_add(struct scram_cache *cache, const char *password, const struct scram_keys *keys);

/* --- channel binding ---------------------------------------------------------------------------------------- */

/* Zeroes: none. Server: is_possible = -PLUS was offered. Client: is_possible = we have the hash. */
struct scram_binding {
	bool    is_possible;
	bool    is_used; /* the mechanism chosen is SCRAM-SHA-256-PLUS */
	size_t  hash_bytes;
	uint8_t hash[SCRAM_BINDING_MAX]; /* tls-server-end-point: hash of the server's certificate */
};

/* --- towards a client --------------------------------------------------------------------------------------- */

enum scram_step { SCRAM_STEP_NONE, SCRAM_STEP_FIRST, SCRAM_STEP_FINAL, SCRAM_STEP_VERIFY, SCRAM_STEP_DONE, SCRAM_STEP_FAILED };

struct scram_server {
	enum scram_step      step;
	bool                 is_mock;
	struct scram_secret  secret;
	struct scram_binding binding;
	char                 nonce[SCRAM_NONCE_SIZE]; /* our half */
	size_t               nonce_at, nonce_bytes;   /* both halves, inside auth_message */
	size_t               gs2_bytes;               /* header of client-first, needed again in client-final */
	char                 gs2[32];
	struct buf           auth_message;            /* owned */
	struct scram_keys    keys;                    /* after SCRAM_OK of _final: for pass-through */
};

/*
 * Start with what is known of the user; NULL, SECRET_NONE, SECRET_MD5 and mocks go the whole way and fail at the end.
 * A plain password is stretched with the user's salt of this process, `iterations` times, unless the cache has it.
 * *s is not read; the caller will scram_server_fini(). The secret is not needed after the call.
 */
void scram_server_begin(struct scram_server *s, const struct secret *secret, const char *user, uint32_t iterations,
                        struct scram_cache *cache, const struct scram_binding *binding);
void scram_server_fini(struct scram_server *s);

/* Read the client's message, add our answer to *out (without a message header). Nothing is added unless SCRAM_OK. */
enum scram_result scram_server_first(struct scram_server *s, struct view client_first, struct buf *out);
enum scram_result scram_server_final(struct scram_server *s, struct view client_final, struct buf *out);

/* --- towards a server --------------------------------------------------------------------------------------- */

struct scram_client {
	enum scram_step      step;
	char                *password; /* owned, or NULL: then keys */
	struct scram_keys    keys;
	struct scram_binding binding;
	char                 nonce[SCRAM_NONCE_SIZE];
	struct buf           auth_message; /* owned */
	uint8_t              server_signature[DIGEST_BYTES];
};

/* *c is not read; the caller will scram_client_fini(). binding may be NULL. Password and keys are copied. */
void scram_client_begin_password(struct scram_client *c, const char *password, const struct scram_binding *binding);
void scram_client_begin_keys(struct scram_client *c, const struct scram_keys *keys, const struct scram_binding *binding);
void scram_client_fini(struct scram_client *c);

enum scram_result scram_client_first(struct scram_client *c, struct buf *out);
enum scram_result scram_client_final(struct scram_client *c, struct view server_first, struct scram_cache *cache,
                                     struct buf *out);
enum scram_result scram_client_verify(struct scram_client *c, struct view server_final);

#endif
