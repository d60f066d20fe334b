/*
 * auth/digest.h - SHA-256, HMAC and random bytes from OpenSSL, with everything that is costly fetched once.
 *
 * One thread. A failure of SHA-256 or of the random generator ends the process: nobody can be logged in without them.
 * Source: RFC 2104 (HMAC); OpenSSL 3.0, EVP_MD_fetch(3): a fetch costs more than the digest of a short message.
 */
#ifndef AUTH_DIGEST_H
#define AUTH_DIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/view.h"

#define DIGEST_BYTES 32 /* SHA-256 */

/* The digest of the parts, one behind the other. */
void digest_of(const struct view *parts, size_t count, uint8_t out[DIGEST_BYTES]);

/* HMAC-SHA-256 of the parts, one behind the other; the key has at most 64 bytes. */
void digest_hmac(struct view key, const struct view *parts, size_t count, uint8_t out[DIGEST_BYTES]);

/* PBKDF2 with HMAC-SHA-256, one block: what SCRAM calls Hi(). Milliseconds for thousands of iterations. */
void digest_stretch(struct view password, struct view salt, uint32_t iterations, uint8_t out[DIGEST_BYTES]);

/* The MD5 of the parts as 32 lower-case hex digits and a NUL; false and "" when OpenSSL will not do MD5 (FIPS). */
bool digest_md5_hex(const struct view *parts, size_t count, char out[33]);
bool digest_has_md5(void);

/* Unpredictable bytes, at most DIGEST_RANDOM_MAX; the kernel's, as OpenSSL's generator costs a megabyte to begin with. */
enum { DIGEST_RANDOM_MAX = 256 };
void digest_random(uint8_t *out, size_t n);
bool digest_equal(const void *a, const void *b, size_t n);      /* takes as long whatever the answer */
void digest_erase(void *p, size_t n);                           /* not optimised away */
void digest_fini(void);                                         /* give back what was fetched, at the very end */

#endif
