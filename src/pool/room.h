/*
 * pool/room.h - may a pool have one more connection? For pool/plan.c only.
 *
 * The limits are those of the pool for the member (pool_size, the reserve), of its database and of its role; slots of all
 * states count.
 */
#ifndef POOL_ROOM_H
#define POOL_ROOM_H

#include "pool/plan.h"

enum room { ROOM_YES, ROOM_NO, ROOM_EVICT };

static inline uint64_t
sooner(uint64_t a, uint64_t b)
{
	if (a == 0 || b == 0)
		return a ? a : b;
	return a < b ? a : b;
}

/*
 * May this pool have another connection to this member? *again_us: when the answer may change by time alone. *evict: of
 * whom the limit in question would have to be freed.
 */
enum room room_at(const struct pool_member *at, const struct plan_view *v, uint64_t waited_since_us, uint64_t *again_us,
                  struct slot **evict);
/* The same for a connection that will be one client's alone: what lies idle, here too, is of no use to it. */
enum room room_for_own(const struct pool_member *at, const struct plan_view *v, uint64_t waited_since_us,
                       uint64_t *again_us, struct slot **evict);
/* For the listening connection, which pool_size does not count. */
enum room room_for_listener(const struct pool_member *at, struct slot **evict);

#endif
