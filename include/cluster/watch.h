/*
 * cluster/watch.h - following a cluster: asks every Patroni, hears what sessions say, publishes topologies.
 *
 * The only module of the layer that does I/O. Each member is asked GET /primary every poll interval, all in the same
 * moment so that their WAL positions can be compared; every 50 ms while there is no agreed leader and for some seconds
 * after a sign of trouble. Members are learnt from GET /cluster at start, every 10 s and after a change of leader. One request
 * per member at a time.
 *
 * on_topology is called from the loop only, never from within a function of this header.
 */
#ifndef CLUSTER_WATCH_H
#define CLUSTER_WATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "cluster/judge.h"
#include "cluster/topology.h"

struct event_base;
struct fetcher;
struct cluster;

struct cluster_options {
	const char        *name;
	enum cluster_kind  kind;
	/* CLUSTER_OF_PATRONI: base URLs, "http://a:8008". Otherwise: what to connect to. Copied. */
	const char *const *patroni_urls;
	uint16_t           patroni_count;
	const struct cluster_host { const char *host; uint16_t port; } *hosts;
	uint16_t           host_count;
	uint64_t           poll_interval_us; /* 0: 1 s */
	uint64_t           poll_timeout_us;  /* 0: 1 s */
	uint64_t           max_lag_bytes;    /* 0: no limit */
};

struct cluster_callbacks {
	/* Something that matters changed. Both are good until it returns; topology_ref() what is kept. old is never NULL. */
	void (*on_topology)(struct cluster *cluster, const struct topology *old, const struct topology *now, void *context);
	void *context;
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

/* Starts to ask at once; the first topology is there at once too, and knows nothing yet. */
struct cluster *cluster_open(struct event_base *base, struct fetcher *fetcher, const struct cluster_options *options,
			     const struct cluster_callbacks *callbacks);
/* Take over changed options (reload). What is known of members stays known, if the kind is the same. */
void cluster_apply(struct cluster *c, const struct cluster_options *options);
void cluster_close(struct cluster *c); /* no callback any more; NULL is fine */

const char            *cluster_name(const struct cluster *c);
const struct topology *cluster_topology(const struct cluster *c); /* never NULL; good until the next turn, or ref it */
const struct cluster_counters *cluster_counters(const struct cluster *c);
uint64_t cluster_leaderless_us(const struct cluster *c); /* leaderless_us, and the time that is running */

/* Somebody noticed something: ask all members now, and often for a while. `why` goes to the log. */
void cluster_poll_now(struct cluster *c, const char *why);
/* What a server session met. Cheap when it is no news; a change is published in the next turn of the loop. */
void cluster_report_session(struct cluster *c, uint16_t member_id, enum session_says says);

#endif
