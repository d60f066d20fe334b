/*
 * auth/method.h - deciding how a client must prove who it is, and how we can prove ourselves to a server. Pure.
 *
 * Source: PgBouncer 1.25, config.md auth_type; PostgreSQL 16, 21.5 Password Authentication and 55.7, Authentication*.
 */
#ifndef AUTH_METHOD_H
#define AUTH_METHOD_H

#include <stdbool.h>
#include <stdint.h>

#include "auth/hba.h"
#include "auth/scram.h"
#include "auth/secret.h"
#include "base/text.h"
#include "base/view.h"
#include "config/settings.h"

/* --- towards a client --------------------------------------------------------------------------------------- */

enum auth_method {
	AUTH_METHOD_TRUST,     /* no question */
	AUTH_METHOD_CLEARTEXT, /* AuthenticationCleartextPassword, then password_verify() */
	AUTH_METHOD_MD5,       /* AuthenticationMD5Password, then md5_verify() */
	AUTH_METHOD_SCRAM,     /* AuthenticationSASL, then scram_server_*() */
	AUTH_METHOD_CERT,      /* no question: the client's certificate has answered */
	AUTH_METHOD_PEER,      /* no question: the kernel says whose process it is */
	AUTH_METHOD_REJECT,    /* refused without a question */
};

/*
 * How a client must log in; with AUTH_TYPE_HBA a rule has to be found first (auth/hba.h), whose word for it this is:
 * auth_type_of_rule(). `secret` is NULL for a user who is not known (or a mock, users_mock(), which is better):
 * who does not exist is asked as who does, and fails at the end. For AUTH_METHOD_REJECT *why is a sentence for the log
 * (the client is told less); otherwise *why is NULL. Who is asked nothing has to be known all the same, as in PgBouncer
 * and PostgreSQL: AUTH_TYPE_ANY alone takes everybody.
 */
enum auth_method auth_method_for(enum auth_type configured, const struct secret *secret, bool is_unix, const char **why);

/* Of a method that is not HBA_REJECT. */
enum auth_type auth_type_of_rule(enum hba_method m);

/* --- towards a server --------------------------------------------------------------------------------------- */

/* What a server's Authentication message asks for: by its code. Source: PostgreSQL 16, 55.7. */
enum server_asks {
	SERVER_ASKS_NOTHING = 0,
	SERVER_ASKS_KERBEROS = 2,
	SERVER_ASKS_CLEARTEXT = 3,
	SERVER_ASKS_MD5 = 5,
	SERVER_ASKS_GSS = 7,
	SERVER_ASKS_SSPI = 9,
	SERVER_ASKS_SASL = 10,
};

/* What may be shown to a server as user `user`. Everything that is not known is NULL. */
struct server_credentials {
	const char              *user;
	const char              *password;   /* plain: from auth_file, from the database's entry or as the client sent it */
	const char              *md5_secret; /* "md5..." */
	const struct scram_keys *keys;       /* recovered from the client's own login, scram_server.keys */
	bool                     has_scram_secret; /* known, but its keys are not: the client did not log in by SCRAM */
};

/* Of a secret: what of it can be shown. Points into *secret, which may be NULL. */
struct server_credentials server_credentials_of(const char *user, const struct secret *secret,
                                                const struct scram_keys *keys);

enum server_answer {
	SERVER_ANSWER_NOTHING,        /* AuthenticationOk: go on */
	SERVER_ANSWER_PASSWORD,       /* send the plain password */
	SERVER_ANSWER_MD5,            /* send server_answer_md5() */
	SERVER_ANSWER_SCRAM_PASSWORD, /* scram_client_begin_password() */
	SERVER_ANSWER_SCRAM_KEYS,     /* scram_client_begin_keys() */
	SERVER_ANSWER_NONE,           /* nothing fits; *why says what is missing and where to put it */
};

/* How the answer can be bound to the connection. */
struct server_channel {
	enum channel_binding wanted;
	bool                 is_tls;
	bool                 has_hash; /* of the server's certificate */
};

/*
 * Which answer we can give. `code` is that of the Authentication message, `body` what follows it (for SASL the list of
 * mechanisms: NUL-terminated names, then an empty one). For the two of SCRAM, *binding is what the exchange begins with,
 * but for the hash: is_used, the mechanism is SCRAM-SHA-256-PLUS; is_possible, the server is told that we could.
 */
enum server_answer server_answer(uint32_t code, struct view body, const struct server_credentials *have,
                                 const struct server_channel *channel, struct scram_binding *binding, struct text *why);

/* The text of the PasswordMessage for SERVER_ANSWER_MD5; body: the 4 bytes of salt. False: MD5 refused, or body short. */
bool server_answer_md5(struct view body, const struct server_credentials *have, char out[36]);

/* Is `name` in a list of SASL mechanisms? The list may be cut short: then no. */
bool sasl_offers(struct view mechanisms, const char *name);

#endif
