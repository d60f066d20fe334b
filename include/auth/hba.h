/*
 * auth/hba.h - who may log in how, from where: auth_hba_file as one immutable snapshot, and the search in it.
 *
 * The format is pg_hba.conf's, and a file means here what it means there, with these exceptions: a role's memberships are
 * not known here, so samerole, samegroup and +role are mistakes; so are host names (a reverse look-up would have to be
 * waited for) and the methods of PostgreSQL that are not in enum hba_method. Other than in PgBouncer, one mistake makes
 * the whole file unusable: a skipped "reject" would open a door.
 *
 * Owns: rules and all they point to. Never: looks at secrets, asks anybody. samehost and samenet are those of the moment
 * of reading. Source: PostgreSQL 16, 21.1 The pg_hba.conf File.
 */
#ifndef AUTH_HBA_H
#define AUTH_HBA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/ip.h"
#include "auth/rules_text.h"

enum hba_transport {
	HBA_LOCAL, /* Unix socket */
	HBA_HOST,  /* any TCP */
	HBA_HOSTSSL,
	HBA_HOSTNOSSL,
	HBA_HOSTGSSENC,   /* never fits: there is no GSS encryption here */
	HBA_HOSTNOGSSENC, /* as HBA_HOST */
};

enum hba_method { HBA_TRUST, HBA_REJECT, HBA_MD5, HBA_PASSWORD, HBA_SCRAM, HBA_PEER, HBA_CERT };

/* Beside what the method asks for. */
enum hba_certificate {
	HBA_CERTIFICATE_ANY,  /* with or without */
	HBA_CERTIFICATE_GOOD, /* clientcert=verify-ca: one that was verified */
	HBA_CERTIFICATE_NAME, /* clientcert=verify-full, and method cert: whose name fits the user, too */
};

struct hba_rule {
	enum hba_transport   transport;
	enum hba_method      method;
	enum hba_certificate certificate;
	bool                 is_by_dn;    /* clientname=DN: the distinguished name counts, not the common name */
	bool                 is_anywhere; /* address: all */
	const char          *map;        /* of auth_ident_file; NULL: names must be equal */
	const char          *file;
	size_t               line;
	struct rules_field  *databases, *users;
	struct ip_range    *ranges; /* owned; none: fits no address */
	size_t               range_count;
};

/* Who knocks. */
struct hba_question {
	const char        *database, *user;
	struct ip_address  address;
	bool               is_tls;
	bool               is_replication; /* physical: only the word replication fits. Logical: has a database, so false */
};

struct hba; /* immutable */

/*
 * Read a file, or a text that is called `origin`. NULL: *why got a line for each mistake, "FILE:LINE: what; what to do".
 * A file without a rule is a mistake as well.
 */
struct hba *hba_load(const char *path, struct text *why);
struct hba *hba_parse(struct view text, const char *origin, struct text *why);
void        hba_free(struct hba *h); /* NULL is fine */

size_t                 hba_count(const struct hba *h);
const struct hba_rule *hba_rule(const struct hba *h, size_t i);

/* The first rule that fits, or NULL: nobody may. Good as long as the snapshot. Pure; h NULL: no rules. */
const struct hba_rule *hba_match(const struct hba *h, const struct hba_question *q);

/* Does any rule look at client certificates? Then they must be asked for. */
bool hba_wants_certificates(const struct hba *h);

const char *hba_method_name(enum hba_method m); /* as it is written in the file */

#endif
