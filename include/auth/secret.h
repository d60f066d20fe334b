/*
 * auth/secret.h - what is known of a user's password: the password itself, its MD5 or its SCRAM keys.
 *
 * The text form is that of pg_authid.rolpassword and of PgBouncer's auth_file.
 * Source: PostgreSQL 16, 53.8 pg_authid; the order of recognition is that of its get_password_type().
 */
#ifndef AUTH_SECRET_H
#define AUTH_SECRET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "auth/digest.h"
#include "base/buf.h"

#define SECRET_TEXT_MAX 65535 /* bytes; longer ones are refused where they are read */
#define SCRAM_SALT_MAX  64    /* bytes; PostgreSQL's own have 16 */

enum secret_kind {
	SECRET_NONE,  /* the user is known and has no password: no method that needs one can succeed */
	SECRET_PLAIN,
	SECRET_MD5,
	SECRET_SCRAM,
};

/* A SCRAM-SHA-256 verifier: enough to check a client, not to log in anywhere. */
struct scram_secret {
	uint32_t iterations; /* 1 and more */
	size_t   salt_bytes; /* 1..SCRAM_SALT_MAX */
	uint8_t  salt[SCRAM_SALT_MAX];
	uint8_t  stored_key[DIGEST_BYTES];
	uint8_t  server_key[DIGEST_BYTES];
};

struct secret {
	enum secret_kind    kind;
	bool                is_mock; /* made up for a user who does not exist (auth/mock.h): never succeeds */
	char               *text;    /* owned; PLAIN: the password, MD5: "md5" and 32 hex digits, else NULL */
	struct scram_secret scram;   /* SCRAM only */
};

enum secret_result {
	SECRET_OK,
	SECRET_TOO_LONG,     /* above SECRET_TEXT_MAX */
	SECRET_BROKEN_SCRAM, /* *out holds a plain password, as in PostgreSQL, but somebody meant a SCRAM secret */
};

/*
 * Recognise `text` (NULL and "" give SECRET_NONE) into *out, which is not read and which the caller will secret_free().
 * Whatever is neither an MD5 nor a whole SCRAM secret is a plain password, as in PostgreSQL.
 */
enum secret_result secret_parse(const char *text, struct secret *out);
void               secret_copy(const struct secret *s, struct secret *out); /* *out is not read */
void               secret_free(struct secret *s);                           /* erases; s is then SECRET_NONE */
const char        *secret_kind_name(enum secret_kind kind);                 /* "none", "plain", "md5", "scram" */

/* The text form of a SCRAM secret, without a NUL. */
void scram_secret_add_text(struct buf *b, const struct scram_secret *s);

/*
 * Add to *out what a password is before it is stretched: SASLprep where that is possible, else the bytes as they are,
 * as PostgreSQL does it. ASCII is never changed. Built without libidn nothing is.
 */
void secret_normalise(const char *password, struct buf *out);

#endif
