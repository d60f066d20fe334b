/*
 * session/server_lost.c - a server is lost, its client is not: gathers what is known (the queue of what is owed, the client's
 * last messages), asks the table in session/lost.c, and does what it says.
 *
 *   server_lost ─► signs_of ─► lost_judge ─► waits, in front of all others, with its request (client->again)
 *                                        ├─► errors and ReadyForQuery for all that is owed ─► idle, or aborted
 *                                        ├─► nothing is owed: the error waits for the client's next message (c->why_lost)
 *                                        └─► server_close, which ends the client too
 *
 * Invariant: for each ReadyForQuery that the server owed the client reads one, or its request is sent again whole.
 */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "session/client.h"
#include "session/link.h"
#include "session/lost.h"
#include "session/repeat.h"
#include "session/server.h"
#include "session/state.h"
#include "sql/facts.h"
#include "wire/reply.h"

enum { AGAIN_MAX = 2 }; /* a statement that is the end of every server it meets shall not meet them all */
#define SAME_END_US SECOND_US /* sessions that break within this time of being given to a client may have been broken before */

/*
 * A host that dies takes all its sessions with it, but we hear of one after the other. Who is sent again to one that was open
 * before he asked at all, and loses it at once, has met no second end: it is the same one, and no fault of his.
 */
static bool
is_same_end(const struct server *s)
{
	const struct client *c = s->link;
	return c->again_count > 0 && s->connect_us < c->request_us && clock_now_us() - s->linked_us < SAME_END_US;
}

static bool
find_statement(const void *client, const char *name, struct view *text, struct view *types)
{
	return client_statement(client, name, text, types);
}

/* A server of the read port that was in recovery, and is not known to have left it. */
static bool
is_standby(const struct server *s)
{
	const struct member *leader = topology_leader(s->pool->database->load->topology);
	return s->slot.is_standby && s->link->lane == LANE_READ && !(leader && leader->id == s->slot.at->id);
}

static bool
is_of_client(const struct owed_item *item)
{
	return item->to != OWED_TO_NOBODY && item->what != OWED_COPY_END;
}

/* Of what the client was to read nothing is missing but ReadyForQuery. */
static bool
is_told(const struct server *s)
{
	const struct owed_item *first = owed_first(&s->owed);
	return s->has_completed && !s->has_failed && (first == NULL || first->what == OWED_SYNC || first->what == OWED_QUERY);
}

/*
 * Was the first thing that is owed broken off? It is not where all of it was answered and only the Sync that commits was left, nor
 * in a Query that has got as far as to a CommandComplete.
 */
static bool
is_broken_off(const struct server *s)
{
	const struct owed_item *first = owed_first(&s->owed);
	return s->is_broken_off && first && first->what != OWED_SYNC && (first->what != OWED_QUERY || !s->has_completed);
}

/* names: what has to be asked, with LOST_READS. */
static uint32_t
signs_of(const struct server *s, struct lost_names *names)
{
	const struct client *c = s->link;
	uint32_t items = 0, requests = s->owed.is_open, signs = 0;
	for (uint32_t i = 0; i < s->owed.count; i++) {
		const struct owed_item *item = owed_at(&s->owed, i);
		items += is_of_client(item);
		requests += is_of_client(item) && owed_ends_with_ready(item->what);
	}
	const struct {
		bool is;
		enum lost_sign sign;
	} all[] = {
		{ s->in_left > 0 && s->in_goes, LOST_TORN },
		{ client_keeps_server(c) || state_is_missed(s), LOST_SESSION },
		{ s->status != 'I', LOST_BLOCK },
		{ s->status == 'E', LOST_FAILED },
		{ items > 0, LOST_OWED },
		{ s->owed.is_open || s->is_copy_in, LOST_OPEN },
		{ s->has_failed, LOST_SKIPPING },
		{ s->has_spoken, LOST_SPOKEN },
		{ requests > 1, LOST_SEVERAL },
		{ c->in_left > 0 && c->in_goes && !c->in_is_data && items == 1 && !s->has_spoken, LOST_HALF },
		{ s->keeps_all && !s->keeps_no_more && s->kept_answered == 0, LOST_KEPT },
		{ c->again_count >= AGAIN_MAX && !is_same_end(s), LOST_TRIED },
		{ is_told(s), LOST_TOLD },
		{ is_broken_off(s), LOST_BROKEN_OFF },
	};
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		signs |= all[i].is ? (uint32_t)all[i].sign : 0;
	if (!s->keeps_all || (s->keeps_no_more && !s->is_copy_in))
		return signs | LOST_NOTHING_KNOWN;
	const char *strings = params_value(s->params, "standard_conforming_strings");
	const char *encoding = params_value(s->params, "client_encoding");
	return signs | lost_read(&(struct lost_request){
		.kept = buf_view(&s->kept), .answered = s->kept_answered, .had = signs, .is_standby = is_standby(s),
		.has_plain_strings = strings && strcmp(strings, "on") == 0,
		.is_ascii_only = !encoding || !sql_encoding_is_readable(encoding),
		.find = find_statement, .context = c, .names = names });
}

/* ---- what is said ---- */

static void
add_error(const struct client *c, struct buf *b, enum lost_verdict verdict, bool is_first, const char *why)
{
	if (verdict == LOST_UNKNOWN) {
		client_add_unknown(b, why);
	} else if (is_first || verdict == LOST_NOT_DONE) {
		client_add_aborted(c, b, verdict == LOST_ABORTED, why);
	} else {
		client_add_failed(b);
	}
}

/* One error and one ReadyForQuery for each request that the server owed, in their places. True: an error was said. */
static bool
add_answers(struct client *c, const struct server *s, struct buf *b, enum lost_verdict verdict, const char *why)
{
	bool is_silent = s->has_failed || verdict == LOST_DONE || verdict == LOST_SKIP; /* the first has its error, or needs none */
	bool is_told = false, is_open = s->owed.is_open;
	for (uint32_t i = 0; i < s->owed.count; i++) {
		const struct owed_item *item = owed_at(&s->owed, i);
		if (!is_of_client(item))
			continue;
		if (!owed_ends_with_ready(item->what)) {
			is_open = true;
			continue;
		}
		if (!is_silent)
			add_error(c, b, verdict, !is_told, why);
		is_told |= !is_silent;
		is_silent = false;
		reply_ready(b, verdict == LOST_ABORTED ? 'E' : 'I');
		is_open = s->owed.is_open;
	}
	if (is_open) { /* its Sync is still to come */
		if (!is_silent)
			add_error(c, b, verdict, !is_told, why);
		is_told |= !is_silent;
		c->skips = SKIPS_TO_SYNC;
	}
	return is_told;
}

/* What the transaction has SET is as it was before, and the client is told so as PostgreSQL would. */
static void
restore_params(struct client *c)
{
	uint32_t at = 0;
	struct param was;
	struct buf b = { 0 };
	if (c->params_before == NULL)
		return;
	while (params_next(c->params_before, &at, &was)) {
		const char *is = params_value(c->params, was.name);
		if (was.is_reported && is && strcmp(is, was.value) != 0)
			reply_parameter_status(&b, was.name, was.value);
	}
	if (b.n > 0)
		client_send(c, buf_view(&b));
	buf_free(&b);
	params_replace(&c->params, c->params_before);
	c->params_before = NULL;
}

/* ---- what is done ---- */

static void
wait_in_front(struct client *c)
{
	client_enter(c, CLIENT_WAITING, "its server was lost");
	pool_wait_in_front(c->pool, &c->waiter, c->lane, clock_now_us());
	stream_pause_watching(&c->stream);
	proxy_dirty(c->proxy, c->pool);
}

static void
go_on(struct client *c)
{
	if (c->state == CLIENT_ABORTED && !c->stream.is_blocked)
		stream_resume(&c->stream);
}

static void
count_verdict(struct proxy *x, enum lost_verdict verdict)
{
	switch (verdict) {
	case LOST_HOLD:
	case LOST_DONE: x->counters.lost_held++; break;
	case LOST_AGAIN: x->counters.lost_again++; break;
	case LOST_ASK: break; /* when it is known what becomes of it */
	case LOST_SKIP:
	case LOST_LATER:
	case LOST_ROLLBACK:
	case LOST_ABORTED:
	case LOST_NOT_DONE: x->counters.lost_aborted++; break;
	case LOST_UNKNOWN: x->counters.lost_unknown++; break;
	case LOST_CUT:
	case LOST_CUT_SHORT:
	case LOST_VERDICTS: x->counters.lost_cut++; break;
	}
}

/*
 * What becomes of its request. A server that is shut down flushes what it has of an answer together with its FATAL: that has
 * not left us yet, and where the request can be sent again for it, it is as if it had not been said.
 */
static const struct lost_row *
row_for(const struct server *s, uint32_t *signs)
{
	uint32_t unsaid = *signs & ~(uint32_t)LOST_SPOKEN;
	enum lost_verdict then = lost_judge(unsaid)->verdict;
	if ((*signs & LOST_SPOKEN) && s->may_unsay && (then == LOST_AGAIN || then == LOST_ASK) &&
	    stream_unsend(&s->link->stream, s->sends_before))
		*signs = unsaid;
	return lost_judge(*signs);
}

/* False: the client's connection ends with its server's. */
static bool
settle_with(struct server *s, const char *why)
{
	struct client *c = s->link;
	struct lost_names names = { 0 };
	uint32_t signs = signs_of(s, &names);
	const struct lost_row *row = row_for(s, &signs);
	struct buf b = { 0 };
	bool knows_of_failure = s->has_failed || s->status == 'E', is_same = is_same_end(s);
	bool is_told = false, was_idle = s->kept.n == 0 && s->keeps_all && c->in_left == 0;
	count_verdict(c->proxy, row->verdict);
	log_info(client_tag(c), "its server %u is lost: %s; %s", s->id, row->name, lost_verdict_name(row->verdict));
	switch (row->verdict) {
	case LOST_CUT:
	case LOST_CUT_SHORT:
	case LOST_VERDICTS:
		buf_free(&names.rows);
		return false;
	case LOST_NOT_DONE:
	case LOST_UNKNOWN:
		if (!(signs & LOST_OWED)) {
			client_fail_later(c, row->verdict == LOST_UNKNOWN, why);
			break;
		}
		is_told = add_answers(c, s, &b, row->verdict, why);
		break;
	case LOST_SKIP:
	case LOST_DONE:
		if (!(signs & LOST_OWED) && (signs & LOST_TOLD))
			break; /* its Sync is answered without a server, and what comes before that is for the next one */
		/* fallthrough */
	case LOST_ABORTED:
		is_told = add_answers(c, s, &b, row->verdict, why);
		break;
	case LOST_LATER:
		if (s->has_failed)
			c->skips = SKIPS_TO_SYNC;
		break;
	case LOST_HOLD:
	case LOST_AGAIN:
	case LOST_ASK:
	case LOST_ROLLBACK:
		break;
	}
	bool sends_again = row->verdict == LOST_AGAIN || row->verdict == LOST_ASK || row->verdict == LOST_ROLLBACK;
	if (sends_again) {
		c->again = s->kept;
		s->kept = (struct buf){ 0 };
		c->in_left = 0; /* the beginning of that message is read again */
	}
	c->in_goes = false;
	link_break(s);
	if (row->verdict != LOST_DONE && row->verdict != LOST_UNKNOWN)
		restore_params(c);
	if (b.n > 0)
		client_send(c, buf_view(&b));
	buf_free(&b);
	if (row->verdict == LOST_ASK)
		repeat_ask_first(c, &names, lost_judge(signs & ~(uint32_t)LOST_READS)->verdict, why);
	buf_free(&names.rows);
	if (row->verdict == LOST_AGAIN || row->verdict == LOST_ASK || (row->verdict == LOST_HOLD && was_idle)) {
		c->again_count += row->verdict != LOST_HOLD && !is_same;
		wait_in_front(c);
	} else if (row->verdict == LOST_LATER || row->verdict == LOST_ABORTED || row->verdict == LOST_ROLLBACK) {
		client_abort(c, is_told || knows_of_failure ? NULL : why);
		go_on(c);
	} else {
		client_parted(c);
	}
	return true;
}

void
server_lost(struct server *s, enum fault_by by, const char *why)
{
	struct client *c = s->link;
	char text[240];
	if (s->state == SERVER_LINKED && c && c->state == CLIENT_LINKED && !s->is_goodbye_told) {
		snprintf(text, sizeof(text), s->is_dying ? "The server said: %s" : "%s", why);
		settle_with(s, text);
	} else if (s->state == SERVER_LINKED && c && c->state == CLIENT_CHECKING) {
		snprintf(text, sizeof(text), "%s", why);
		bool is_same = is_same_end(s);
		link_break(s);
		if (is_same || c->again_count++ < AGAIN_MAX)
			wait_in_front(c);
		else
			repeat_refuse(c, text);
	} else if (s->state == SERVER_LINKED && c && c->state == CLIENT_LEARNING && c->again_count < AGAIN_MAX) {
		link_break(s);
		c->again_count++;
		client_login_again(c); /* what one server knew, another does */
	}
	server_close(s, by, why);
}
