/* session/owed.c - a ring; see the header. */
#include "session/owed.h"

#include "base/heap.h"
#include "base/must.h"

struct owed_item *
owed_at(const struct owed *o, uint32_t i)
{
	must(i < o->count);
	return &o->ring[(o->at + i) & (o->room - 1)];
}

static void
grow(struct owed *o)
{
	uint32_t room = o->room ? o->room * 2 : 8;
	struct owed_item *ring = heap_alloc(room * sizeof(*ring));
	for (uint32_t i = 0; i < o->count; i++)
		ring[i] = *owed_at(o, i);
	heap_free(o->ring);
	o->ring = ring;
	o->room = room;
	o->at = 0;
}

void
owed_push(struct owed *o, struct owed_item item)
{
	if (o->count == o->room)
		grow(o);
	o->ring[(o->at + o->count++) & (o->room - 1)] = item;
}

struct owed_item
owed_pop(struct owed *o)
{
	must(o->count > 0);
	struct owed_item item = o->ring[o->at];
	o->at = (o->at + 1) & (o->room - 1);
	o->count--;
	return item;
}

struct owed_item
owed_pop_last(struct owed *o)
{
	struct owed_item item = *owed_at(o, o->count - 1);
	o->count--;
	return item;
}

void
owed_free(struct owed *o)
{
	must(o->count == 0);
	heap_free(o->ring);
	*o = (struct owed){ 0 };
}

const char *
owed_what_name(enum owed_what what)
{
	static const char *const names[] = {
		[OWED_NOTHING] = "nothing", [OWED_PARSE] = "Parse",     [OWED_BIND] = "Bind", [OWED_DESCRIBE] = "Describe",
		[OWED_EXECUTE] = "Execute", [OWED_CLOSE] = "Close",     [OWED_SYNC] = "Sync", [OWED_QUERY] = "Query",
		[OWED_FUNCTION] = "FunctionCall",
	};
	return names[what];
}
