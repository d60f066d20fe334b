/*
 * auth/users.h - who may log in and with which secret: auth_file and auth_users, as one immutable snapshot.
 *
 * A line of auth_file is PgBouncer's: "name" "secret", anything behind it ignored, "" for a quote inside, ; before a
 * comment. auth_users is the same inline; there, entries may also be parted by ; instead of newlines.
 * Of several entries for a name the last counts, and auth_users counts after auth_file.
 * Owns: names and secrets, erased when freed. Never: asks a server. Invariant: sorted by name, each name once.
 * Source: PgBouncer 1.25, config.md "Authentication file format".
 */
#ifndef AUTH_USERS_H
#define AUTH_USERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "auth/secret.h"
#include "base/text.h"

#define USERS_NAME_MAX 127                /* bytes, as PgBouncer's; PostgreSQL's own names end at 63 */
#define USERS_FILE_MAX ((size_t)64 << 20) /* bytes of an auth_file */

struct user_secret {
	char         *name; /* owned, not empty */
	struct secret secret;
};

/* Which state of a file was read. */
struct users_stamp {
	bool     is_there;
	uint64_t inode, device;
	uint64_t size_bytes;
	uint64_t modified_ns, changed_ns;
};

struct users_source {
	const char *auth_file;  /* path; NULL or "": none */
	const char *auth_users; /* inline text; NULL or "": none */
};

struct users; /* immutable */

enum users_result {
	USERS_OK,
	USERS_NO_FILE, /* the file can't be read */
	USERS_BAD,     /* at least one entry is wrong */
};

/*
 * Read both sources into a new snapshot. When something is wrong *out is NULL (the caller keeps the old one) and *why
 * holds a line for each mistake, "FILE:LINE: sentence", parted by newlines. Secrets are never shown.
 */
enum users_result users_load(const struct users_source *from, struct users **out, struct text *why);

/* The same from one text, with line numbers reported under `origin`: for tests and fuzzing. */
enum users_result users_parse(struct view text, const char *origin, bool is_inline, struct users **out,
                              struct text *why);

void                      users_free(struct users *u); /* NULL is fine */
size_t                    users_count(const struct users *u);
const struct user_secret *users_at(const struct users *u, size_t i);           /* in order of names */
const struct user_secret *users_find(const struct users *u, const char *name); /* NULL: unknown; u may be NULL */

/*
 * A secret for a name that is not in the snapshot (auth/mock.h), shaped like that of one of its users, picked by the
 * name: so neither the method nor the iterations tell who exists. *out is not read; the caller will secret_free() it.
 */
void users_mock(const struct users *u, const char *name, struct secret *out);

/*
 * In which state a file is now: one stat(2). Who wants to re-read a changed file keeps the stamp taken before the last
 * users_load(), whether that went well or not, and loads again when it differs.
 */
void users_file_stamp(const char *path, struct users_stamp *out);
bool users_stamp_equal(const struct users_stamp *a, const struct users_stamp *b);

#endif
