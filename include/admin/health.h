/*
 * admin/health.h - can clients be served? For those who start, stop and route to processes like this one.
 */
#ifndef ADMIN_HEALTH_H
#define ADMIN_HEALTH_H

#include <stdbool.h>

#include "base/buf.h"

struct proxy;
struct cluster_load;

/*
 * Each cluster that a database is mapped to has a leader, or at least a member that may serve reads; and the process is not
 * stopping. A plain cluster counts as usable: nobody asks for its state. A cluster of hosts whose roles nobody has asked
 * for yet does, too: they are asked when the first client comes, who would never come otherwise.
 * One line per cluster is added to out, the reason with it.
 */
bool health_is_ready(const struct proxy *x, struct buf *out);

/* Every cluster was judged at least once: its Patroni answered, or failed to. Listeners are open before the loop runs. */
bool health_is_started(const struct proxy *x, struct buf *out);

/* Of one cluster: usable or not, and a sentence. */
bool health_of_cluster(const struct proxy *x, const struct cluster_load *load, struct buf *why);

#endif
