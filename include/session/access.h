/*
 * session/access.h - who may come in and how: all that is made from files of secrets and rules, as one piece.
 *
 * A reload makes a new one and puts it in the place of the old one when everything in it is good: there is no mixture of
 * old and new. Connections keep counted references to what they began with (TLS contexts), or copies (secrets).
 */
#ifndef SESSION_ACCESS_H
#define SESSION_ACCESS_H

#include <stdbool.h>
#include <stddef.h>

#include "auth/hba.h"
#include "auth/ident.h"
#include "auth/users.h"
#include "base/text.h"
#include "config/config.h"
#include "net/stream.h"
#include "net/tls.h"

enum { ACCESS_WHY_MAX = 16384 }; /* a good size for what access_load() may have to say */

struct access {
	struct users *users;             /* auth_file and auth_users */
	struct users_stamp users_stamp;  /* the state of auth_file they were read from, or could not be */
	struct hba *hba;                 /* auth_hba_file; NULL: auth_type is another */
	struct ident *ident;             /* auth_ident_file; NULL: none, or auth_type is another */
	struct tls_context *tls_clients; /* NULL: client_tls_sslmode = disable */
	struct tls_context *tls_servers; /* NULL: disable, for all databases */
	uint64_t warned_us;              /* access_log_warnings() was last called */
};

/* What is checked of the certificate of a server. */
static inline enum stream_checks
access_checks(enum sslmode mode)
{
	return mode == SSLMODE_VERIFY_FULL ? STREAM_CHECKS_NAME_TOO
	       : mode == SSLMODE_VERIFY_CA ? STREAM_CHECKS_AUTHORITY
	                                   : STREAM_CHECKS_NOTHING;
}

/* Everything new into *out, which is not read. False: *why says all that is wrong, a line each, and *out holds nothing. */
bool access_load(const struct config *config, struct access *out, struct text *why);
void access_free(struct access *a);
bool access_check(const struct config *config, struct text *why); /* loads it and throws it away: --check-config */

/* May `now` take the place of `old`? Not with a certificate or CRL that is out of date where the one in force is not: *why. */
bool access_may_replace(const struct access *old, const struct access *now, struct text *why);
void access_in_force(const struct access *a); /* from now on it decides: what unknown users are shown is that of its keys */
void access_log_warnings(struct access *a); /* certificates and lists that have ended or end soon; rules in vain */
void access_on_second(struct access *a);    /* what ends soon is said again each day */

/* Has auth_file changed? Then it is read again. ACCESS_UNUSABLE: *why says why, *a is as before; it is said once. */
enum access_refresh { ACCESS_SAME, ACCESS_REFRESHED, ACCESS_UNUSABLE };
enum access_refresh access_refresh_users(struct access *a, const struct settings *set, struct text *why);

#endif
