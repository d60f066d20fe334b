/*
 * auth/mock.h - what a user who does not exist is shown: the same questions, the same work, the same refusal.
 *
 * Everything is derived from the user's name and one key of the process (a random one unless it is set), so that asking
 * twice gives the same salt. A user with a plain password gets the salt from here too: coming into being does not change it.
 * Source: RFC 5802, 9 Security Considerations (made-up salts); PostgreSQL 16, its mock authentication nonce.
 */
#ifndef AUTH_MOCK_H
#define AUTH_MOCK_H

#include <stddef.h>
#include <stdint.h>

#include "auth/secret.h"

#define MOCK_SALT_BYTES       16   /* as PostgreSQL's */
#define SCRAM_ITERATIONS      4096 /* as PostgreSQL's default; PgBouncer's scram_iterations */

/* Use this key from now on: for processes that share a port (session/access.c), and for tests. */
void mock_key_set(const uint8_t key[DIGEST_BYTES]);

/* n bytes (up to SCRAM_SALT_MAX) that belong to this user name in this process. */
void mock_salt(const char *user, uint8_t *out, size_t n);

/* A number that belongs to this user name in this process. */
uint64_t mock_number(const char *user);

/*
 * A secret for a user who does not exist, shaped like `like` (kind, iterations, length of the salt), or, where that is
 * NULL, like a plain password. *out is not read; the caller will secret_free() it.
 */
void mock_secret(const char *user, const struct secret *like, struct secret *out);

/* A SCRAM verifier that nobody can satisfy. */
void mock_scram_secret(const char *user, uint32_t iterations, size_t salt_bytes, struct scram_secret *out);

#endif
