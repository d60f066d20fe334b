/*
 * auth/ident.h - whom the outside world's names may be here: auth_ident_file as one immutable snapshot.
 *
 * The format is pg_ident.conf's: MAP SYSTEM-USER DATABASE-USER. A system user that begins with / is a regular expression,
 * and \1 in the database user then stands for what its first (...) has found. As a database user, all is anybody, and
 * /... a regular expression. +role is a mistake: who is a member of which role is not known here.
 * Source: PostgreSQL 16, 21.2 User Name Maps.
 */
#ifndef AUTH_IDENT_H
#define AUTH_IDENT_H

#include <stdbool.h>

#include "auth/rules_text.h"

struct ident; /* immutable */

/* NULL: *why got a line for each mistake, "FILE:LINE: what; what to do". A file without a line is fine. */
struct ident *ident_load(const char *path, struct text *why);
struct ident *ident_parse(struct view text, const char *origin, struct text *why);
void          ident_free(struct ident *i); /* NULL is fine */

bool ident_has(const struct ident *i, const char *map); /* a line of it at least; i may be NULL */

/*
 * May the one whom the system calls so be `user` here? With map NULL: when the names are equal. A map that is not there
 * allows nobody; i may be NULL. Pure.
 */
bool ident_allows(const struct ident *i, const char *map, const char *system_user, const char *user);

#endif
