/*
 * cluster/route.h - which member a transaction goes to. Pure.
 *
 * Writes go to the leader. Reads go to the replica that is least busy for its weight; among equals to the one that was
 * given least of late (again by weight), so that an idle cluster is used evenly.
 */
#ifndef CLUSTER_ROUTE_H
#define CLUSTER_ROUTE_H

#include <stdbool.h>
#include <stdint.h>

#include "cluster/topology.h"
#include "config/settings.h"

enum lane { LANE_WRITE, LANE_READ, LANES };

enum route_result {
	ROUTE_MEMBER, /* go to .index */
	ROUTE_WAIT,   /* nobody now; hold, and ask again with the next topology */
	ROUTE_REFUSE  /* nobody, and the settings say not to wait */
};

struct route {
	enum route_result result;
	uint16_t          index; /* in topology->member[]; ROUTE_MEMBER only */
	const char       *why;   /* static, one clause; NULL when ROUTE_MEMBER */
};

/* What each member was given of late; all by member id. Zeroes to begin with. */
struct route_recent {
	uint16_t given[CLUSTER_MEMBERS_MAX];
};

struct route_request {
	enum lane                  lane;
	enum read_fallback         fallback; /* reads: when no replica lives */
	bool                       is_closed; /* the leader takes nothing new: a planned change of leader */
	bool                       in_order; /* plain clusters: the first usable one, not spread (load_balance_hosts) */
	const uint32_t            *busy;   /* [CLUSTER_MEMBERS_MAX] by id: linked and waiting clients. NULL: nobody is busy */
	const struct route_recent *recent; /* NULL: nothing remembered */
	uint64_t                   excluded; /* bit 1 << id: members not to be chosen: tried, and without room just now */
};

struct route route_choose(const struct topology *t, const struct route_request *request);

/* Remember that this member was chosen. Old choices fade: the numbers are halved now and then. */
void route_note(struct route_recent *recent, uint16_t id);

const char *lane_name(enum lane lane); /* "write", "read" */

#endif
