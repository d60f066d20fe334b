/*
 * session/client_login.h - what the steps of a login share: client_startup.c, client_rules.c, client_auth.c, client_login.c.
 */
#ifndef SESSION_CLIENT_LOGIN_H
#define SESSION_CLIENT_LOGIN_H

#include "auth/md5.h"
#include "auth/method.h"
#include "auth/scram.h"
#include "session/auth_query.h"
#include "session/client.h"
#include "session/replication.h"

enum { APPLICATION_NAME_MAX = 63 };

struct client_login {
	struct node node; /* in proxy->logins until it is proven who it is; the oldest connection first */
	struct client *client;
	bool has_spoken;
	bool needs_header; /* a PROXY header has to come first */
	bool asked_ssl, asked_gss, is_direct_tls;
	char user[USER_NAME_MAX];
	char database[DATABASE_NAME_MAX];
	char application_name[APPLICATION_NAME_MAX + 1];
	bool has_application_name;
	enum replication replication;
	struct buf pairs; /* name NUL value NUL ...: parameters that a server has to judge; names in lower case */
	enum auth_type way;         /* auth_type, or what the rule that fits says; not AUTH_TYPE_HBA any more */
	bool has_other_certificate; /* whatever the proof: the rule wants a certificate for this user, too */
	enum auth_method method;
	bool is_unknown;           /* nobody of that name: the secret is made up */
	struct auth_asking asking;
	bool was_looked_up;               /* the secret is from auth_query */
	struct secret secret;             /* a copy: a reload may replace the users meanwhile. Of nobody: made up */
	uint8_t md5_salt[MD5_SALT_BYTES];
	struct scram_server scram;
	bool has_scram, in_sasl;
	struct passing *passing; /* its cancel request, on the way to a peer; NULL: none */
};

/* client_startup.c */
bool login_needs_header(const struct client *c);
size_t login_on_header(struct client *c, struct view in);  /* bytes used; 0: needs more */
size_t login_on_startup(struct client *c, struct view in);

/* client_rules.c */
bool login_choose_way(struct client *c); /* before any secret is looked for; false: refused already */
bool login_is_own_user(const struct client *c);
/* Refused: counted against its address, and logged with the reason, which the client is not told. */
void login_fail(struct client *c, const char *reason, const char *sqlstate, const char *text);
void login_succeeded(struct client *c); /* for the count of failures */
bool login_is_throttled(struct client *c); /* too many of them: refused already, then */

/* client_auth.c */
void login_ask_for_proof(struct client *c); /* calls the above first */
/* The answer of auth_query, which it waited for: secret NULL: there is none, *why says why. */
void login_on_found(struct client *c, const struct secret *secret, const struct fault *why);
void login_ask_again(struct client *c); /* it waited, and a reload came */
size_t login_on_proof(struct client *c, struct view in);

/* client_login.c */
bool login_is_too_many(struct client *c); /* refused already, then */
void login_authenticated(struct client *c);
void login_refuse(struct client *c, enum fault_by by, const char *sqlstate, const char *text);
void login_say(struct client *c, struct buf *b); /* frees b */
bool login_next_pair(const struct buf *pairs, size_t *at, const char **name, const char **value); /* *at starts at 0 */
/* The server of its own is logged in, and w is what that one says: in. */
void client_login_dedicated(struct client *c, const struct welcome *w, struct params *p);

#endif
