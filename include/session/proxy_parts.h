/*
 * session/proxy_parts.h - pieces of proxy.c that reload.c needs too. For these two only.
 */
#ifndef SESSION_PROXY_PARTS_H
#define SESSION_PROXY_PARTS_H

#include "session/proxy.h"

struct cluster_load *proxy_load(struct proxy *x, const char *name); /* NULL: no such cluster */
/* Patroni is asked by HTTP, auth_query by libpq: is there anything to ask, and can we? */
bool proxy_can_ask(struct proxy *x, const struct config *config, struct text *why);
void proxy_open_cluster(struct proxy *x, const struct cluster_config *config);
void proxy_close_load(struct cluster_load *load);
void proxy_drop_database(struct proxy *x, struct database *d);
void proxy_cut_servers(struct proxy *x, const struct database *d, const char *why); /* d NULL: all */
void proxy_kill_database(struct proxy *x, struct database *d, const char *why);     /* d NULL: all */
void pool_forget_welcome(struct pool *p);

#endif
