/* session/repeat.c - see the header. */
#include "session/repeat.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/heap.h"
#include "base/log.h"
#include "session/client.h"
#include "session/link.h"
#include "session/lost.h"
#include "session/server.h"
#include "sql/question.h"
#include "wire/reply.h"
#include "wire/request.h"

enum { LIMIT_MS = 5000 }; /* of the server's time: a catalog under a lock is not waited for longer */

struct repeat {
	struct lost_names names;
	enum lost_verdict otherwise;
	bool only_reads;  /* the last row says so */
	char reason[160]; /* or says this */
	char why[200];    /* of the loss */
};

void
repeat_ask_first(struct client *c, struct lost_names *names, enum lost_verdict otherwise, const char *why)
{
	must(c->repeat == NULL && (otherwise == LOST_UNKNOWN || otherwise == LOST_NOT_DONE));
	c->repeat = heap_alloc(sizeof(*c->repeat));
	c->repeat->names = *names;
	c->repeat->otherwise = otherwise;
	snprintf(c->repeat->why, sizeof(c->repeat->why), "%s", why);
	*names = (struct lost_names){ 0 };
}

void
repeat_end(struct client *c)
{
	if (c->repeat == NULL)
		return;
	buf_free(&c->repeat->names.rows);
	heap_free(c->repeat);
	c->repeat = NULL;
}

bool
repeat_begin(struct client *c)
{
	struct server *s = c->link;
	struct repeat *r = c->repeat;
	struct buf sql = { 0 }, b = { 0 };
	question_end(buf_view(&r->names.rows), r->names.has_types, LIMIT_MS, &sql);
	request_query(&b, (const char *)sql.p);
	owed_push(&s->owed, (struct owed_item){ .what = OWED_QUERY, .to = OWED_TO_NOBODY });
	s->unnamed_of = 0;
	s->question = QUESTION_NAMES;
	stream_put(&s->stream, buf_view(&b));
	buf_free(&b);
	buf_free(&sql);
	r->only_reads = false;
	snprintf(r->reason, sizeof(r->reason), "no answer");
	client_enter(c, CLIENT_CHECKING, "does its request only read?");
	return false;
}

void
repeat_on_row(struct client *c, const struct view *value)
{
	struct repeat *r = c->repeat;
	r->only_reads = value == NULL;
	if (value)
		snprintf(r->reason, sizeof(r->reason), "%.*s", (int)(value->n < sizeof(r->reason) ? value->n : sizeof(r->reason)),
		         (const char *)value->p);
}

void
repeat_answered(struct client *c, const char *error)
{
	struct server *s = c->link;
	struct repeat *r = c->repeat;
	must(c->state == CLIENT_CHECKING && owed_is_empty(&s->owed));
	s->question = QUESTION_NONE;
	s->question_failed = false;
	if (error || !r->only_reads || s->status != 'I') {
		char reason[200];
		snprintf(reason, sizeof(reason), "%s", error ? error : r->reason);
		repeat_refuse(c, reason);
		return;
	}
	log_info(client_tag(c), "only reads: sent again");
	c->proxy->counters.lost_again++;
	repeat_end(c);
	client_enter(c, CLIENT_LINKED, "its request only reads");
	client_handle_again(c);
	if (c->state == CLIENT_LINKED && !c->stream.is_blocked && !c->link->stream.is_blocked)
		stream_resume(&c->stream);
}

/* One error for each request, and ReadyForQuery where it has its end. True: the end of the last is still to come. */
static bool
add_errors(const struct client *c, enum lost_verdict verdict, const char *why, struct buf *out)
{
	bool is_told = false;
	struct frame f;
	for (size_t at = 0; at < c->again.n; at += f.size) {
		if (frame_peek(view_from(buf_view(&c->again), at), UINT32_MAX, &f) != FRAME_OK)
			break;
		if (!is_told && verdict == LOST_UNKNOWN)
			client_add_unknown(out, why);
		else if (!is_told)
			client_add_aborted(c, out, false, why);
		is_told = f.type != FE_QUERY && f.type != FE_SYNC;
		if (!is_told)
			reply_ready(out, 'I');
	}
	return is_told;
}

void
repeat_refuse(struct client *c, const char *reason)
{
	enum lost_verdict verdict = c->repeat->otherwise;
	struct server *s = c->link;
	struct buf b = { 0 };
	char why[420];
	must(c->state == CLIENT_WAITING || c->state == CLIENT_CHECKING);
	log_info(client_tag(c), "not sent again: %s; %s", reason, lost_verdict_name(verdict));
	if (verdict == LOST_UNKNOWN)
		c->proxy->counters.lost_unknown++;
	else
		c->proxy->counters.lost_aborted++;
	snprintf(why, sizeof(why), "%s. It was not sent again: %s.", c->repeat->why, reason);
	if (add_errors(c, verdict, why, &b))
		c->skips = SKIPS_TO_SYNC;
	client_send(c, buf_view(&b));
	buf_free(&b);
	buf_free(&c->again);
	repeat_end(c);
	if (waiter_is_waiting(&c->waiter)) {
		pool_leave(&c->waiter);
		proxy_dirty(c->proxy, c->pool);
	}
	c->link = NULL;
	c->again_count = 0;
	client_parted(c);
	if (s == NULL)
		return;
	s->link = NULL;
	if (s->stream.is_paused)
		stream_resume(&s->stream);
	if (s->status == 'I')
		server_release(s);
	else
		server_drain(s);
}

bool
repeat_makes_unknown(const struct client *c, const struct fault *f, struct fault *out)
{
	if (c->repeat == NULL || c->repeat->otherwise != LOST_UNKNOWN)
		return false;
	*out = (struct fault){ .by = f->by, .sqlstate = SQLSTATE_TRANSACTION_UNKNOWN, .detail = f->text,
	                       .text = "the server was lost while this was in flight: it is not known whether it took effect",
	                       .hint = "Check whether it did before you repeat it." };
	return true;
}
