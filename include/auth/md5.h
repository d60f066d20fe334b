/*
 * auth/md5.h - PostgreSQL's MD5 authentication, both sides.
 *
 * Secret: "md5" + hex(md5(password + user)). Answer: "md5" + hex(md5(hex digits of the secret + salt)).
 * Source: PostgreSQL 16, 55.2.1 Start-up, AuthenticationMD5Password.
 */
#ifndef AUTH_MD5_H
#define AUTH_MD5_H

#include <stdbool.h>
#include <stdint.h>

#include "auth/secret.h"

#define MD5_TEXT_SIZE 36 /* "md5", 32 hex digits, NUL */
#define MD5_SALT_BYTES 4

/* Both return false, and leave "" in out, when OpenSSL refuses MD5 (FIPS). out may be where md5_secret is. */
bool md5_password(const char *user, const char *password, char out[MD5_TEXT_SIZE]);
bool md5_with_salt(const char *md5_secret, const uint8_t salt[MD5_SALT_BYTES], char out[MD5_TEXT_SIZE]);

/* A salt for one login. */
void md5_new_salt(uint8_t salt[MD5_SALT_BYTES]);

/*
 * Is `answer` what a client with this secret answers to this salt? PLAIN and MD5 secrets can say yes; for all others,
 * NULL and mocks included, the same work ends in no.
 */
bool md5_verify(const struct secret *secret, const char *user, const uint8_t salt[MD5_SALT_BYTES], const char *answer);

#endif
