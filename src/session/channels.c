/* session/channels.c - channels, who listens, and queues of what was not told yet; see the header. */
#include "session/channels.h"

#include <string.h>

#include "base/bytes.h"
#include "base/heap.h"
#include "wire/reply.h"

/* A message, the same for all who have yet to read it. */
struct note {
	uint32_t refs;
	uint32_t n;
	bool is_notification;
	uint8_t bytes[];
};

/* As an ear has it. */
struct queued {
	struct note *note;
	bool is_own;
	bool is_due; /* it is told whatever is given up now */
};

enum { PID_AT = FRAME_HEAD_BYTES, CHANNEL_AT = PID_AT + 4 }; /* in a NotificationResponse */

static struct note *
note_new(struct view message, bool is_notification)
{
	struct note *note = heap_alloc(sizeof(*note) + message.n);
	note->refs = 1;
	note->n = (uint32_t)message.n;
	note->is_notification = is_notification;
	memcpy(note->bytes, message.p, message.n);
	return note;
}

static void
note_unref(struct note *note)
{
	if (--note->refs == 0)
		heap_free(note);
}

/* ---- channels ---- */

void
hub_init(struct hub *h)
{
	*h = (struct hub){ 0 };
	list_init(&h->ears);
	list_init(&h->ready);
	list_init(&h->to_change);
}

static void
forget_channel(struct hub *h, struct channel *ch)
{
	node_remove(&ch->change);
	HASH_DEL(h->channels, ch);
	heap_free(ch);
}

void
hub_fini(struct hub *h)
{
	struct channel *ch, *next;
	must(list_is_empty(&h->ears));
	HASH_ITER(hh, h->channels, ch, next)
		forget_channel(h, ch);
}

static void
wants_change(struct hub *h, struct channel *ch)
{
	if (!node_is_in(&ch->change))
		list_append(&h->to_change, &ch->change);
}

static struct channel *
channel_of(struct hub *h, const char *name)
{
	struct channel *ch;
	size_t n = strlen(name);
	HASH_FIND(hh, h->channels, name, n, ch);
	if (ch)
		return ch;
	ch = heap_alloc(sizeof(*ch) + n + 1);
	memcpy(ch->name, name, n);
	list_init(&ch->subscriptions);
	HASH_ADD(hh, h->channels, name[0], n, ch);
	wants_change(h, ch);
	return ch;
}

struct channel *
hub_next_change(struct hub *h, uint64_t number, bool *is_listen)
{
	struct node *n;
	while ((n = list_first(&h->to_change)) != NULL) {
		struct channel *ch = node_owner(n, struct channel, change);
		bool is_wanted = !list_is_empty(&ch->subscriptions);
		node_remove(n);
		if (is_wanted == ch->is_asked) {
			if (!is_wanted)
				forget_channel(h, ch);
			continue;
		}
		*is_listen = is_wanted;
		ch->is_asked = is_wanted;
		ch->is_heard = false;
		ch->asked_for = number;
		if (!is_wanted)
			wants_change(h, ch); /* it is forgotten when this is looked at again, or somebody wants it again */
		return ch;
	}
	return NULL;
}

void
hub_listens(struct hub *h, uint64_t number)
{
	for (struct channel *ch = h->channels; ch; ch = ch->hh.next)
		ch->is_heard |= ch->is_asked && ch->asked_for <= number;
}

void
hub_lost(struct hub *h)
{
	for (struct channel *ch = h->channels; ch; ch = ch->hh.next) {
		ch->is_asked = ch->is_heard = false;
		wants_change(h, ch);
	}
}

/* An identifier of any bytes, as PostgreSQL reads it. */
void
channel_add_sql(struct buf *sql, const char *verb, const char *name)
{
	buf_add(sql, view_of_string(verb));
	buf_add(sql, VIEW(" \""));
	for (const char *s = name; *s; s++) {
		if (*s == '"')
			buf_add_u8(sql, '"');
		buf_add_u8(sql, (uint8_t)*s);
	}
	buf_add(sql, VIEW("\"; "));
}

/* ---- ears ---- */

void
ear_open(struct ear *e, struct hub *h, void *owner)
{
	*e = (struct ear){ .hub = h, .owner = owner };
	list_append(&h->ears, &e->node);
}

static void
drop_queue(struct ear *e)
{
	struct queued *q = (struct queued *)(void *)e->queue.p;
	for (size_t i = 0; i < e->queue.n / sizeof(*q); i++)
		note_unref(q[i].note);
	buf_free(&e->queue);
	e->queue_bytes = e->fence = 0;
	node_remove(&e->ready);
}

/* What was queued for a channel that it does not listen to any more. */
static void
drop_queued(struct ear *e, const char *name)
{
	struct queued *q = (struct queued *)(void *)e->queue.p;
	size_t count = e->queue.n / sizeof(*q), kept = 0, fence = e->fence;
	for (size_t i = 0; i < count; i++) {
		struct note *note = q[i].note;
		if (note->is_notification && !q[i].is_due && strcmp((const char *)note->bytes + CHANNEL_AT, name) == 0) {
			e->queue_bytes -= note->n;
			fence -= i < e->fence;
			note_unref(note);
		} else {
			q[kept++] = q[i];
		}
	}
	e->queue.n = kept * sizeof(*q);
	e->fence = fence;
	if (kept == 0)
		drop_queue(e);
}

static void
unsubscribe(struct ear *e, struct subscription **at)
{
	struct subscription *s = *at;
	struct channel *ch = s->channel;
	drop_queued(e, ch->name);
	*at = s->next;
	e->count--;
	node_remove(&s->of_channel);
	if (list_is_empty(&ch->subscriptions))
		wants_change(e->hub, ch);
	heap_free(s);
}

void
ear_close(struct ear *e)
{
	drop_queue(e);
	while (e->all)
		unsubscribe(e, &e->all);
	node_remove(&e->node);
}

static struct subscription *
find(const struct ear *e, const char *name)
{
	struct channel *ch;
	HASH_FIND(hh, e->hub->channels, name, strlen(name), ch);
	for (struct subscription *s = ch ? e->all : NULL; s; s = s->next)
		if (s->channel == ch)
			return s;
	return NULL;
}

/* Each name in turn; NULL at the end. */
static const char *
next_name(struct view names, size_t *at)
{
	if (*at >= names.n)
		return NULL;
	const char *name = (const char *)names.p + *at;
	*at += strlen(name) + 1;
	return name;
}

static struct subscription *
subscribe(struct ear *e, struct channel *ch)
{
	struct subscription *s = heap_alloc(sizeof(*s));
	s->ear = e;
	s->channel = ch;
	s->next = e->all;
	e->all = s;
	e->count++;
	list_append(&ch->subscriptions, &s->of_channel);
	if (!ch->is_asked)
		wants_change(e->hub, ch);
	return s;
}

/* One pass over each of both sets: a channel knows for the time being whether it is one of this ear's. */
bool
ear_adds(struct ear *e, struct view names)
{
	bool has_new = false;
	size_t at = 0;
	const char *name;
	for (struct subscription *s = e->all; s; s = s->next) {
		s->channel->mine = s;
		s->is_kept = false;
	}
	while ((name = next_name(names, &at)) != NULL) {
		struct channel *ch = channel_of(e->hub, name);
		if (ch->mine == NULL) {
			ch->mine = subscribe(e, ch);
			has_new = true;
		}
		ch->mine->is_kept = true;
	}
	for (struct subscription *s = e->all; s; s = s->next)
		s->channel->mine = NULL;
	return has_new;
}

bool
ear_is(struct ear *e, struct view names)
{
	bool has_new = ear_adds(e, names);
	for (struct subscription **at = &e->all; *at;) {
		if ((*at)->is_kept)
			at = &(*at)->next;
		else
			unsubscribe(e, at);
	}
	return has_new;
}

bool
ear_has(const struct ear *e, const char *name)
{
	return find(e, name) != NULL;
}

void
ear_names(const struct ear *e, struct buf *out)
{
	for (const struct subscription *s = e->all; s; s = s->next)
		buf_add_string(out, s->channel->name);
}

/* ---- the hand-over ---- */

bool
ear_waits(const struct ear *e)
{
	for (const struct subscription *s = e->all; s; s = s->next)
		if (!s->is_done)
			return true;
	return false;
}

bool
ear_may_mark(const struct ear *e)
{
	for (const struct subscription *s = e->all; s; s = s->next)
		if (s->mark == 0 && !s->channel->is_heard)
			return false;
	return true;
}

void
ear_mark(struct ear *e, uint64_t mark)
{
	for (struct subscription *s = e->all; s; s = s->next)
		if (s->mark == 0)
			s->mark = mark;
}

void
ear_mark_said(struct ear *e, uint64_t mark)
{
	for (struct subscription *s = e->all; s; s = s->next)
		s->is_done |= s->mark == mark;
	e->has_fence = false;
}

void
ear_mark_heard(struct ear *e, uint64_t mark)
{
	bool is_said = true;
	for (struct subscription *s = e->all; s; s = s->next) {
		if (s->mark != mark)
			continue;
		s->is_here = true;
		is_said &= s->is_done;
	}
	if (is_said)
		return;
	e->has_fence = true;
	e->fence = e->queue.n / sizeof(struct queued);
}

bool
ear_is_here(struct ear *e)
{
	bool had_others = false;
	e->has_fence = false;
	for (struct subscription *s = e->all; s; s = s->next) {
		had_others |= !s->is_here || !s->is_done;
		s->is_done = s->is_here = true;
		if (s->mark == 0)
			s->mark = UINT64_MAX;
	}
	return had_others;
}

void
ear_crosses(struct ear *e)
{
	for (struct subscription *s = e->all; s; s = s->next)
		s->is_here |= s->mark != 0;
}

bool
ear_is_told_by_server(const struct ear *e, const char *name)
{
	const struct subscription *s = find(e, name);
	return s == NULL || !s->is_done;
}

/* ---- notifications ---- */

static void
queue(struct ear *e, struct note *note, bool is_own, bool is_due)
{
	struct queued q = { .note = note, .is_own = is_own, .is_due = is_due };
	note->refs++;
	buf_add(&e->queue, view_of(&q, sizeof(q)));
	e->queue_bytes += note->n;
	if (!node_is_in(&e->ready))
		list_append(&e->hub->ready, &e->ready);
}

void
hub_hear(struct hub *h, const struct notification *n)
{
	struct channel *ch;
	struct buf message = { 0 };
	struct note *note = NULL;
	size_t name_n = strlen(n->channel);
	h->heard++;
	h->heard_bytes += name_n + strlen(n->payload);
	HASH_FIND(hh, h->channels, n->channel, name_n, ch);
	if (ch == NULL)
		return;
	list_each(&ch->subscriptions, each, after)
	{
		struct subscription *s = node_owner(each, struct subscription, of_channel);
		if (!s->is_here)
			continue;
		if (note == NULL) {
			reply_notification(&message, n->pid, n->channel, n->payload);
			note = note_new(buf_view(&message), true);
			buf_free(&message);
		}
		queue(s->ear, note, n->pid == s->ear->own_pid && n->pid != 0, false);
		h->told++;
	}
	if (note)
		note_unref(note);
}

void
ear_tell(struct ear *e, struct view message, bool is_notification)
{
	struct note *note = note_new(message, is_notification);
	queue(e, note, false, false);
	note_unref(note);
}

void
ear_tell_said(struct ear *e, struct view message)
{
	struct note *note = note_new(message, true);
	queue(e, note, false, true);
	note_unref(note);
	if (!e->has_fence)
		return;
	struct queued *q = (struct queued *)(void *)e->queue.p, last = q[e->queue.n / sizeof(*q) - 1];
	memmove(q + e->fence + 1, q + e->fence, e->queue.n - (e->fence + 1) * sizeof(*q));
	q[e->fence++] = last;
}

void
ear_owes_queued(struct ear *e)
{
	struct queued *q = (struct queued *)(void *)e->queue.p;
	for (size_t i = 0; i < e->queue.n / sizeof(*q); i++)
		q[i].is_due = true;
}

bool
ear_may_take(const struct ear *e)
{
	return e->queue.n > 0 && !(e->has_fence && e->fence == 0);
}

void
ear_take(struct ear *e, struct buf *out)
{
	const struct queued *q = (const struct queued *)(const void *)e->queue.p;
	size_t count = e->has_fence ? e->fence : e->queue.n / sizeof(*q);
	buf_reserve(out, e->queue_bytes);
	for (size_t i = 0; i < count; i++) {
		struct note *note = q[i].note;
		buf_add(out, view_of(note->bytes, note->n));
		if (q[i].is_own)
			store_be32(out->p + out->n - note->n + PID_AT, e->shown_pid);
		e->queue_bytes -= note->n;
		note_unref(note);
	}
	buf_drop_front(&e->queue, count * sizeof(*q));
	e->fence = 0;
	if (e->queue.n == 0)
		drop_queue(e);
}
