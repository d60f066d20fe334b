/*
 * cluster/watch.h - following a cluster: asks every Patroni, hears what sessions say, publishes topologies.
 *
 * The only module of the layer that does I/O. Each member is asked GET /primary every poll interval, all in the same
 * moment so that their WAL positions can be compared; every 50 ms while there is no agreed leader and for some seconds
 * after a sign of trouble. Members are learnt from GET /cluster at start, every 5 s and after a change of leader. One
 * request per member at a time.
 *
 * A member stays known, with its id, while it is gone from /cluster for a while: it is removed when for 20 s
 * no good answer listed it and it does not answer itself, or after 60 s; never while it leads. A member at another address is
 * another member, with another id. What is only configured (URLs) is no member: it tells where the members are.
 *
 * on_topology is called from the loop only, never from within a function of this header.
 */
#ifndef CLUSTER_WATCH_H
#define CLUSTER_WATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "cluster/judge.h"
#include "cluster/schedule.h"
#include "cluster/topology.h"
#include "config/config.h"
#include "net/fetch.h"

struct loop;
struct cluster;

struct cluster_callbacks {
	/* Something that matters changed. Both are good until it returns; topology_ref() what is kept. Must not close the
	 * cluster. */
	void (*on_topology)(struct cluster *cluster, const struct topology *old, const struct topology *now, void *context);
	void *context;
};

/* The first sign of the latest trouble. */
struct cluster_sign {
	uint64_t at_us;     /* 0: there never was one */
	char     text[160];
};

struct cluster_counters {
	uint64_t polls;            /* requests to Patroni that ended */
	uint64_t polls_failed;     /* no answer: timeout, refused, broken */
	uint64_t polls_bad;        /* an answer that is none of Patroni's */
	uint64_t leader_changes;   /* another leader than the last one */
	uint64_t leader_losses;    /* times there was none after there was one */
	uint64_t members_added, members_removed;
	uint64_t session_reports;  /* that were news */
	uint64_t leaderless_us;    /* summed up over all times without a leader that are over */
	uint64_t last_poll_us;     /* how long the last good answer took */
};

/*
 * Starts to ask with the next turn of the loop. The first topology is there at once, and knows nothing yet (of a plain
 * cluster: everything). The configuration is copied; fetcher may be NULL unless there are Patroni URLs.
 */
struct cluster *cluster_open(struct loop *loop, struct fetcher *fetcher, const struct cluster_config *config,
			     const struct cluster_callbacks *callbacks);
/* Take over a changed configuration (reload). What is known of members stays known, if the kind is the same. */
void cluster_apply(struct cluster *c, const struct cluster_config *config);
void cluster_close(struct cluster *c); /* no callback any more; NULL is fine */

const char            *cluster_name(const struct cluster *c);
const struct topology *cluster_topology(const struct cluster *c); /* never NULL; good until the next turn, or ref it */
const struct cluster_counters *cluster_counters(const struct cluster *c);
const struct cluster_sign *cluster_sign(const struct cluster *c);
const struct schedule *cluster_schedule(const struct cluster *c); /* never NULL; good as long as the cluster */
void cluster_list_now(struct cluster *c); /* with the next round, if the last listing was asked for a second ago */
uint64_t cluster_leaderless_us(const struct cluster *c); /* leaderless_us, and the time that is running */

/*
 * POST something to a Patroni that answers, the leader's if it does, as who the configuration says we are. Not for polls: it may
 * take its time beside them. The caller owns the request: fetch_cancel() before the cluster is closed.
 */
struct fetch *cluster_send(struct cluster *c, const char *path, struct view body, uint32_t timeout_ms, fetch_done_fn *done,
			   void *context);

/* Somebody noticed something: ask all members now, and often for a while. `why` goes to the log. */
void cluster_poll_now(struct cluster *c, const char *why);
/* The leader may have gone: what its Patroni says from now on is wanted at once. */
void cluster_ask_leader(struct cluster *c);
/* Somebody waits for a leader, or nobody does any more: until then rounds stay frequent. */
void cluster_hurry(struct cluster *c, bool is_hurried);
/* What a server session met. Cheap when it is no news; a change is published in the next turn of the loop. */
void cluster_report_session(struct cluster *c, uint16_t member_id, enum session_says says);

#endif
