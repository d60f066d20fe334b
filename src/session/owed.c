/* session/owed.c - a ring; see the header. */
#include "session/owed.h"

#include <string.h>

#include "base/heap.h"
#include "base/must.h"
#include "session/statement.h"

struct owed_item *
owed_at(const struct owed *o, uint32_t i)
{
	must(i < o->count);
	return &o->ring[(o->at + i) & (o->room - 1)];
}

void
owed_grow(struct owed *o)
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

struct owed_item
owed_pop_last(struct owed *o)
{
	struct owed_item item = *owed_at(o, o->count - 1);
	o->count--;
	owed_count(o, &item, -1);
	return item;
}

void
owed_item_fini(struct owed_item *item)
{
	named_unref(item->named);
	statement_unref(item->statement);
	item->named = NULL;
	item->statement = NULL;
}

void
owed_remove(struct owed *o, uint32_t i)
{
	owed_count(o, owed_at(o, i), -1);
	for (; i + 1 < o->count; i++)
		*owed_at(o, i) = *owed_at(o, i + 1);
	o->count--;
}

struct owed_item *
owed_find_close(const struct owed *o, uint32_t from, const struct statement *st)
{
	for (uint32_t i = from; i < o->count; i++) {
		struct owed_item *item = owed_at(o, i);
		if (item->what == OWED_CLOSE && item->statement == st)
			return item;
	}
	return NULL;
}

void
owed_free(struct owed *o)
{
	must(o->count == 0);
	heap_free(o->ring);
	*o = (struct owed){ 0 };
}

bool
owed_is_uncertain(const struct owed *o, const char *name, const struct statement *st)
{
	bool has_passed_ready = false;
	if (o->tentative == 0 || o->readies == 0)
		return false;
	for (uint32_t i = o->count; i > 0; i--) {
		const struct owed_item *item = owed_at(o, i - 1);
		bool is_it = item->is_unnamed && name[0] == '\0';
		if (owed_ends_with_ready(item->what)) {
			has_passed_ready = true;
			if (item->named && !item->is_own && strncmp(item->named->name, name, NAMED_MAX) == 0)
				return true; /* PREPARE, DEALLOCATE */
		} else if (item->is_own) {
			continue;
		} else if (is_it)
			return has_passed_ready; /* done or skipped together with what asks, or not */
		else if (has_passed_ready && ((item->named && strncmp(item->named->name, name, NAMED_MAX) == 0) ||
		                              (st && (item->statement == st || (item->named && item->named->statement == st)))))
			return true;
	}
	return false;
}

const char *
owed_what_name(enum owed_what what)
{
	static const char *const names[] = {
		[OWED_NOTHING] = "nothing", [OWED_PARSE] = "Parse",     [OWED_BIND] = "Bind", [OWED_DESCRIBE] = "Describe",
		[OWED_EXECUTE] = "Execute", [OWED_CLOSE] = "Close",     [OWED_SYNC] = "Sync", [OWED_QUERY] = "Query",
		[OWED_FUNCTION] = "FunctionCall", [OWED_COPY_END] = "CopyDone",
	};
	return names[what];
}
