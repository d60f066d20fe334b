/* cluster/trail.c - a ring of positions; see the header. */
#include "cluster/trail.h"

#include "base/must.h"

static const struct trail_mark *
mark_at(const struct trail *t, uint32_t i)
{
	must(i < t->count);
	return &t->mark[(t->first + i) % TRAIL_MARKS];
}

uint64_t
trail_end(const struct trail *t)
{
	return t->count > 0 ? mark_at(t, t->count - 1)->location : 0;
}

void
trail_note(struct trail *t, uint64_t location, uint64_t now_us, uint64_t apart_us)
{
	while (trail_end(t) > location)
		t->count--;
	if (location == 0 || location == trail_end(t))
		return;
	if (t->count > 0 && now_us < mark_at(t, t->count - 1)->seen_us + apart_us)
		return;
	if (t->count == TRAIL_MARKS) {
		t->first = (t->first + 1) % TRAIL_MARKS;
		t->count--;
	}
	t->mark[(t->first + t->count++) % TRAIL_MARKS] = (struct trail_mark){ .location = location, .seen_us = now_us };
}

uint64_t
trail_delay_us(const struct trail *t, uint64_t replayed, uint64_t now_us)
{
	for (uint32_t i = 0; i < t->count; i++) {
		const struct trail_mark *m = mark_at(t, i);
		if (m->location > replayed && m->location - replayed > TRAIL_SLACK_BYTES)
			return now_us > m->seen_us ? now_us - m->seen_us : 0;
	}
	return 0;
}
