/*
 * session/role_keys.h - what is known of a role's password, from all places, for logging in to servers.
 */
#ifndef SESSION_ROLE_KEYS_H
#define SESSION_ROLE_KEYS_H

#include "auth/md5.h"
#include "auth/method.h"
#include "session/proxy.h"

/*
 * Learnt from a client's own login to a database of a cluster: roles are a cluster's, and another one, or whoever runs it,
 * is shown nothing of that. Owned by its role.
 */
struct role_keys {
	struct role_keys *next;
	char *cluster;           /* owned: its name in the configuration */
	struct scram_keys scram; /* iterations 0: none */
	struct secret secret;    /* that auth_query gave for a login that was right; SECRET_NONE: none */
	char *password;          /* as a client sent it in clear, and it was right; NULL: none */
};

/* What may be shown to a server as this role; good until the next reload. */
struct server_credentials role_credentials(struct proxy *x, const struct database *d, const struct role *r);
/* What is new makes pools try again at once that servers have refused. */
void role_learn_scram(struct proxy *x, struct role *r, const char *cluster, const struct scram_keys *keys);
void role_learn_password(struct proxy *x, struct role *r, const char *cluster, const char *password);
void role_learn_secret(struct proxy *x, struct role *r, const char *cluster, const struct secret *secret);
void role_forget(struct role *r, const char *cluster);
void role_forget_all(struct role *r);
bool role_knows_looked_up(const struct role *r, const char *cluster); /* a secret that auth_query gave */

/* In client_login.c: the base of a pool changed, what servers judged before may be judged otherwise now. */
void client_login_forget_learned(struct pool *p);

#endif
