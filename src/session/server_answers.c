/*
 * session/server_answers.c - whom each answer of a server goes to.
 *
 *   server_answers_on_data ─► pass_plain: as many messages as do no more than pass, in one piece to the linked client
 *                          └► server_rules[letter] ─► pass to that client, or to nobody, as the queue of what is owed says
 *
 * Messages are passed as they arrive; only those that change what we know are waited for until they are whole.
 * Invariant: nothing is passed to a client but the answer to its own message, in its turn.
 * Source: PostgreSQL 16, 55.2 Message Flow.
 */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "server_parts.h"
#include "session/custom_names.h"
#include "session/link.h"
#include "session/listen.h"
#include "session/listener.h"
#include "session/pins.h"
#include "session/repeat.h"
#include "session/replication.h"
#include "wire/request.h"

bool
server_is_wrong(struct server *s, const char *what, char letter)
{
	char text[160];
	snprintf(text, sizeof(text), "server %s %s while %s is owed", what, be_message_name(letter),
	         owed_is_empty(&s->owed) ? "nothing" : owed_what_name(owed_first(&s->owed)->what));
	log_error(server_tag(s), "protocol violation by the server: %s", text);
	s->proxy->counters.server_errors++;
	server_close(s, FAULT_BY_SERVER, text);
	return false;
}

static bool
answers_client(const struct server *s)
{
	const struct owed_item *first = owed_first(&s->owed);
	return s->link && first && first->to == OWED_TO_CLIENT;
}

void
server_pass(struct server *s, const struct frame *f, struct view all, bool goes)
{
	if (goes) {
		stream_send(&s->link->stream, all);
		s->has_spoken = true;
	}
	s->in_left = f->size - (uint32_t)all.n;
	s->in_goes = goes;
}

/* A setting that connect_query has made: every client begins with it. */
static void
read_base_row(struct server *s, struct view name, struct view rest)
{
	struct view value;
	bool is_null;
	struct buf b = { 0 };
	if (!row_next_value(&rest, &value, &is_null) || is_null)
		return;
	buf_add(&b, name);
	buf_add_u8(&b, '\0');
	buf_add(&b, value);
	buf_add_u8(&b, '\0');
	const char *text = (const char *)b.p;
	if (!params_is_reported(s->params, text) && !param_is_fact(text))
		params_replace(&s->params, params_with(s->params, text, text + strlen(text) + 1, false));
	buf_free(&b);
}

/* Of a row that answers a question of ours, the first value. */
static bool
read_own_row(struct server *s, const struct frame *f)
{
	struct row_message row;
	struct view value = { 0 };
	bool is_null = true;
	bool is_state = s->question == QUESTION_STATE && s->asked;
	if (!frame_is_whole(f) || !row_read(f->body, &row) || (!is_state && !row_next_value(&row.values, &value, &is_null)))
		s->question_failed = true;
	else if (is_state && row.count != STATE_COLUMNS)
		return server_is_wrong(s, "sent a row of another question's,", f->type);
	else if (is_state)
		state_on_row(s, row.values);
	else if (s->question == QUESTION_BASE && !is_null)
		read_base_row(s, value, row.values);
	else if (s->question == QUESTION_NAMES && s->link)
		repeat_on_row(s->link, is_null ? NULL : &value);
	else if (s->question == QUESTION_CUSTOM_NAMES)
		custom_names_on_row(s, is_null ? NULL : &value);
	else if (s->question == QUESTION_RECOVERY && is_null)
		s->question_failed = true;
	else if (s->question == QUESTION_RECOVERY)
		s->slot.is_standby = view_is(value, "t");
	return true;
}

/* Part of an answer: rows, descriptions, copied data. */
static bool
server_run_part(struct server *s, const struct frame *f, struct view all)
{
	if (s->question != QUESTION_NONE && f->type == BE_DATA_ROW && !read_own_row(s, f))
		return false;
	server_pass(s, f, all, answers_client(s));
	return true;
}

/* The answer that the first entry ends with. */
static bool
server_run_end(struct server *s, const struct frame *f, struct view all)
{
	bool goes = answers_client(s);
	struct owed_item item = owed_pop(&s->owed);
	if (item.is_duplicate && s->link) /* it was none: the other had gone meanwhile */
		named_list(&s->link->statements, item.named);
	if (item.named || item.statement)
		owed_item_fini(&item);
	server_pass(s, f, all, goes);
	if (owed_is_ours(&s->owed))
		link_pop_ours(s);
	return true;
}

/* Of a Describe it is the end, of a Query it begins the rows. */
static bool
server_run_row_description(struct server *s, const struct frame *f, struct view all)
{
	if (owed_first(&s->owed)->what == OWED_DESCRIBE)
		return server_run_end(s, f, all);
	return server_run_part(s, f, all);
}

/* Is the statement of this entry prepared by one in front of it? */
static bool
is_parsed_before(const struct owed *o, uint32_t i)
{
	const struct statement *st = owed_at(o, i)->statement;
	while (i-- > 0)
		if (owed_at(o, i)->what == OWED_PARSE && owed_at(o, i)->statement == st)
			return true;
	return false;
}

/* The server has forgotten its statements; those whose Parse is on its way behind this it will have. */
static void
server_deallocated_all(struct server *s)
{
	for (uint32_t i = 0; i < s->owed.count; i++) {
		struct owed_item *item = owed_at(&s->owed, i);
		if (item->what == OWED_CLOSE && item->statement)
			item->is_void = !is_parsed_before(&s->owed, i);
		if (item->what != OWED_PARSE)
			continue;
		if (item->statement)
			holdings_keep(&s->holdings, item->statement);
		if (s->link && item->named && item->named->is_listed && !item->is_own)
			item->named->is_kept = true;
	}
	holdings_clear(&s->holdings);
	prepared_deallocated_all(s);
	s->unnamed_of = 0;
	if (s->link)
		named_free_all(&s->link->statements);
}

static void
run_discard(struct server *s, const char *tag)
{
	bool is_all = strcmp(tag, "DISCARD ALL") == 0;
	if (is_all || strcmp(tag, "DEALLOCATE ALL") == 0)
		server_deallocated_all(s);
	/* currval() and lastval() know of nothing any more: no question of ours would tell. */
	if (s->link && (is_all || strcmp(tag, "DISCARD SEQUENCES") == 0) && (s->link->pins & PIN_SEQUENCES))
		pins_found(s->link, s->link->pins & ~(uint32_t)PIN_SEQUENCES);
}

/* Tags that are looked at: DISCARD, DEALLOCATE ALL; CREATE, ALTER, DROP. */
static inline bool
may_be_special(struct view tag)
{
	return tag.n > 2 && (tag.p[0] == 'D' || tag.p[0] == 'A' || (tag.p[0] == 'C' && tag.p[1] == 'R'));
}

/*
 * What is parsed from now on may mean something else than the same text did: it is another statement. What was parsed before stays
 * what it was, and PostgreSQL judges whether it still returns the same.
 */
static void
note_definition(struct server *s, const char *tag)
{
	bool is_definition = strncmp(tag, "CREATE ", 7) == 0 || strncmp(tag, "ALTER ", 6) == 0 || strncmp(tag, "DROP ", 5) == 0;
	if (is_definition && s->link && (s->touched & TOUCH_TEMPORARY || s->link->pins & PIN_TEMPORARY))
		client_define(s->link);
	if (!is_definition || s->touched & TOUCH_TEMPORARY)
		return;
	s->pool->database->definitions++;
	s->has_defined = true;
}

/* CommandComplete and EmptyQueryResponse: of an Execute they are the end, a Query may have several. */
static bool
server_run_complete(struct server *s, const struct frame *f, struct view all)
{
	const char *tag;
	if (f->type == BE_COMMAND_COMPLETE && may_be_special(f->body) && command_tag_read(f->body, &tag)) {
		run_discard(s, tag);
		note_definition(s, tag);
	}
	s->is_copy_in = false;
	s->loose_syncs = 0;
	s->has_completed = s->link && owed_first(&s->owed)->to == OWED_TO_CLIENT;
	struct owed_item *first = owed_first(&s->owed);
	if (first->what == OWED_QUERY && first->named && !first->is_own)
		prepared_done(s, first);
	if (first->what == OWED_EXECUTE)
		return server_run_end(s, f, all);
	return server_run_part(s, f, all);
}

/*
 * The server wants data. Until CopyDone or CopyFail it ignores Syncs, so those that were sent before that are owed nothing;
 * any other message before that would be taken for broken data, and after it nobody could tell what answers what.
 */
static bool
server_run_copy_in(struct server *s, const struct frame *f, struct view all)
{
	struct owed *o = &s->owed;
	if (s->link == NULL && s->state != SERVER_DRAINING) {
		server_close(s, FAULT_BY_PROXY, "a query of our own asks for data to copy");
		return false;
	}
	bool is_ended = false;
	while (o->count > 1 && !is_ended) {
		enum owed_what next = owed_at(o, 1)->what;
		if (next != OWED_SYNC && next != OWED_COPY_END) {
			server_close(s, FAULT_BY_CLIENT, "other messages were sent ahead during COPY from the client");
			return false;
		}
		is_ended = next == OWED_COPY_END;
		s->loose_syncs += !is_ended;
		owed_remove(o, 1);
	}
	if (is_ended) { /* the data are on their way already */
		server_pass(s, f, all, answers_client(s));
		return true;
	}
	server_pass(s, f, all, answers_client(s));
	if (s->state == SERVER_DRAINING) {
		struct buf b = { 0 };
		bool is_execute = owed_first(o)->what == OWED_EXECUTE;
		request_copy_fail(&b, "the client has left");
		if (is_execute) {
			request_sync(&b);
			owed_push(o, (struct owed_item){ .what = OWED_SYNC, .to = OWED_TO_NOBODY });
		}
		stream_put(&s->stream, buf_view(&b));
		buf_free(&b);
		return true;
	}
	s->is_copy_in = s->keeps_no_more = true;
	return true;
}

static bool
server_run_copy_both(struct server *s, const struct frame *f, struct view all)
{
	return server_is_wrong(s, "began", f->type); /* of replication connections, which are not read here */
}

static void
count_ready(struct server *s, struct client *c)
{
	struct stats *stats = &c->pool->database->stats;
	uint64_t now = clock_now_us();
	stats->queries++;
	if (c->query_us)
		stats->query_us += now - c->query_us;
	c->query_us = owed_is_empty(&s->owed) ? 0 : now;
	if (s->status == 'I') {
		stats->transactions++;
		if (c->params_before)
			params_replace(&c->params_before, NULL);
		stats->transaction_us += now - s->linked_us;
		s->linked_us = now;
	}
}

/* The answer to a Sync that a COPY would have swallowed, had it not failed before it read so far. */
static bool
is_loose_ready(const struct server *s, char letter)
{
	const struct owed_item *first = owed_first(&s->owed);
	return letter == BE_READY_FOR_QUERY && s->loose_syncs > 0 && (first == NULL || !owed_ends_with_ready(first->what));
}

void
client_go_on(struct client *c)
{
	if (c == NULL || !c->is_stalled)
		return;
	c->is_stalled = false;
	if (!c->stream.is_blocked && !c->link->stream.is_blocked)
		stream_resume(&c->stream);
}

static bool
server_run_ready(struct server *s, const struct frame *f, struct view all)
{
	struct owed_item *first = owed_first(&s->owed);
	char status;
	if (!ready_read(f->body, &status))
		return server_is_wrong(s, "sent a malformed", f->type);
	bool is_loose = is_loose_ready(s, f->type);
	bool goes = is_loose ? s->link != NULL : answers_client(s);
	bool is_state = !is_loose && first->is_state;
	bool is_our_set = !is_loose && !is_state && first->to == OWED_TO_NOBODY && !first->is_brought && !first->is_listen && s->params_wanted;
	if (is_loose) {
		s->loose_syncs--;
		s->owed.is_open = s->owed.is_skipping = false;
	} else {
		struct owed_item item = owed_pop(&s->owed);
		owed_item_fini(&item);
	}
	s->status = status;
	s->is_copy_in = false;
	if (s->has_defined && status == 'I') { /* what others parsed meanwhile, before it was committed */
		s->has_defined = false;
		s->pool->database->definitions++;
	}
	if (is_our_set) {
		if (!s->question_failed)
			params_replace(&s->params, params_ref(s->params_wanted));
		params_replace(&s->params_wanted, NULL);
	}
	if (is_state && !state_answered(s, s->question_failed ? s->why_dying : NULL))
		return s->state != SERVER_CLOSED;
	if (s->link && s->link->state != CLIENT_LINKED) {
		if (s->link->state == CLIENT_LEARNING)
			client_login_learned(s->link, s->why_state, s->question_failed ? s->why_dying : NULL);
		else if (owed_is_empty(&s->owed))
			repeat_answered(s->link, s->question_failed ? s->why_dying : NULL);
		return s->state != SERVER_CLOSED;
	}
	if (goes) {
		stream_send(&s->link->stream, all);
		count_ready(s, s->link);
		s->has_spoken = s->has_failed = s->has_completed = s->may_unsay = false;
		buf_clear(&s->own.error);
	}
	if (owed_is_ours(&s->owed))
		link_pop_ours(s);
	client_go_on(s->link);
	if (!owed_is_empty(&s->owed)) {
		s->kept_answered += goes;
		return true;
	}
	switch ((enum server_state)s->state) {
	case SERVER_LINKED:
		if (link_rest(s))
			break;
		server_keep_anew(s, s->link->in_left == 0);
		if (status == 'I' && s->slot.is_close_needed && s->proxy->config->settings.server_fast_close &&
		           !s->owed.is_open) {
			client_fail(s->link, &(struct fault){ .by = FAULT_BY_ADMIN, .sqlstate = SQLSTATE_ADMIN_SHUTDOWN,
			                                      .text = "server connection is to be closed (server_fast_close)" });
		} else if (s->link->pool->rules.pool_mode == POOL_MODE_STATEMENT && status != 'I') {
			client_fail(s->link, &(struct fault){ .by = FAULT_BY_CLIENT, .sqlstate = SQLSTATE_FEATURE_NOT_SUPPORTED,
			                                      .text = "transaction blocks not allowed in statement pooling mode" });
		}
		break;
	case SERVER_DRAINING:
		server_drained(s);
		break;
	case SERVER_SETTLING:
		server_answered(s);
		break;
	default:
		return server_is_wrong(s, "sent", f->type);
	}
	return s->state != SERVER_CLOSED;
}

static bool
server_run_parameter(struct server *s, const struct frame *f, struct view all)
{
	const char *name, *value;
	if (!parameter_status_read(f->body, &name, &value))
		return server_is_wrong(s, "sent a malformed", f->type);
	server_parameter(s, name, value);
	struct owed_item *first = owed_first(&s->owed);
	bool is_ours = first && first->to == OWED_TO_NOBODY && owed_ends_with_ready(first->what);
	if (s->link && !is_ours) {
		if (s->link->params && !param_is_fact(name)) {
			if (s->link->params_before == NULL)
				s->link->params_before = params_ref(s->link->params);
			params_replace(&s->link->params, params_ref(s->params));
			if (strcmp(name, "client_encoding") == 0 && params_have_high(s->params))
				s->touched |= TOUCH_ALL_SETTINGS; /* what is known of them is in the encoding that was */
		}
		stream_send(&s->link->stream, all);
	}
	return true;
}

static bool
server_run_out_of_turn(struct server *s, const struct frame *f, struct view all)
{
	return server_is_wrong(s, "sent", f->type);
}

enum intake { INTAKE_STREAM, INTAKE_WHOLE, INTAKE_WHOLE_IF_SMALL };

#define FOR(what) (1u << OWED_##what)

static const struct server_rule {
	enum intake intake;
	bool (*run)(struct server *s, const struct frame *f, struct view all); /* false: closed */
	unsigned answers; /* what must be owed first, FOR(..); 0: the handler judges */
} server_rules[128] = {
	[BE_AUTHENTICATION] = { INTAKE_STREAM, server_run_out_of_turn, 0 },
	[BE_BACKEND_KEY_DATA] = { INTAKE_STREAM, server_run_out_of_turn, 0 },
	[BE_NEGOTIATE_PROTOCOL_VERSION] = { INTAKE_STREAM, server_run_out_of_turn, 0 },
	[BE_PARSE_COMPLETE] = { INTAKE_WHOLE, server_run_end, FOR(PARSE) },
	[BE_BIND_COMPLETE] = { INTAKE_WHOLE, server_run_end, FOR(BIND) },
	[BE_CLOSE_COMPLETE] = { INTAKE_WHOLE, server_run_end, FOR(CLOSE) },
	[BE_COMMAND_COMPLETE] = { INTAKE_WHOLE, server_run_complete, FOR(QUERY) | FOR(EXECUTE) },
	[BE_EMPTY_QUERY_RESPONSE] = { INTAKE_WHOLE, server_run_complete, FOR(QUERY) | FOR(EXECUTE) },
	[BE_PORTAL_SUSPENDED] = { INTAKE_WHOLE, server_run_end, FOR(EXECUTE) },
	[BE_COPY_IN_RESPONSE] = { INTAKE_WHOLE, server_run_copy_in, FOR(QUERY) | FOR(EXECUTE) },
	[BE_COPY_OUT_RESPONSE] = { INTAKE_STREAM, server_run_part, FOR(QUERY) | FOR(EXECUTE) },
	[BE_COPY_BOTH_RESPONSE] = { INTAKE_STREAM, server_run_copy_both, 0 },
	[BE_COPY_DATA] = { INTAKE_STREAM, server_run_part, FOR(QUERY) | FOR(EXECUTE) },
	[BE_COPY_DONE] = { INTAKE_STREAM, server_run_part, FOR(QUERY) | FOR(EXECUTE) },
	[BE_DATA_ROW] = { INTAKE_STREAM, server_run_part, FOR(QUERY) | FOR(EXECUTE) },
	[BE_ERROR_RESPONSE] = { INTAKE_WHOLE_IF_SMALL, server_run_error, 0 },
	[BE_FUNCTION_CALL_RESPONSE] = { INTAKE_STREAM, server_run_part, FOR(FUNCTION) },
	[BE_NO_DATA] = { INTAKE_WHOLE, server_run_end, FOR(DESCRIBE) },
	[BE_NOTICE_RESPONSE] = { INTAKE_STREAM, server_run_asynchronous, 0 },
	[BE_NOTIFICATION_RESPONSE] = { INTAKE_STREAM, server_run_asynchronous, 0 },
	[BE_PARAMETER_DESCRIPTION] = { INTAKE_STREAM, server_run_part, FOR(DESCRIBE) },
	[BE_PARAMETER_STATUS] = { INTAKE_WHOLE, server_run_parameter, 0 },
	[BE_READY_FOR_QUERY] = { INTAKE_WHOLE, server_run_ready, FOR(SYNC) | FOR(QUERY) | FOR(FUNCTION) },
	[BE_ROW_DESCRIPTION] = { INTAKE_STREAM, server_run_row_description, FOR(DESCRIBE) | FOR(QUERY) },
};

/* A message up to this is passed on whole or not at all: the client of a server that dies in its middle can still be told. */
enum { TORN_MIN = 8 * 1024 };

static void
server_pass_rest(struct server *s, struct view part)
{
	if (s->in_goes && s->link)
		stream_send(&s->link->stream, part);
	s->in_left -= (uint32_t)part.n;
	if (s->in_left > 0)
		return;
	if (s->pops_later) {
		s->pops_later = false;
		link_pop_ours(s);
	}
	if (s->link)
		link_rest(s); /* a notice that began before the client's last bytes and ends only now */
}

/*
 * Most answers change nothing but what is owed: which letters that holds for, as long as this is owed first. FOR(..) of what they
 * are a part of the answer to, and of what they are its end.
 */
static const struct {
	uint16_t part, end;
} plain_answers[256] = {
	[BE_PARSE_COMPLETE] = { .end = FOR(PARSE) },
	[BE_BIND_COMPLETE] = { .end = FOR(BIND) },
	[BE_PARAMETER_DESCRIPTION] = { .part = FOR(DESCRIBE) },
	[BE_ROW_DESCRIPTION] = { .part = FOR(QUERY), .end = FOR(DESCRIBE) },
	[BE_NO_DATA] = { .end = FOR(DESCRIBE) },
	[BE_DATA_ROW] = { .part = FOR(QUERY) | FOR(EXECUTE) },
	[BE_COPY_DATA] = { .part = FOR(QUERY) | FOR(EXECUTE) },
	[BE_COMMAND_COMPLETE] = { .part = FOR(QUERY), .end = FOR(EXECUTE) },
};

/* The bytes of the first message in there, if it is one of these and here whole; else 0. */
static inline size_t
plain_size(struct view in, unsigned owed)
{
	if (in.n <= FRAME_HEAD_BYTES || !((plain_answers[in.p[0]].part | plain_answers[in.p[0]].end) & owed))
		return 0;
	if (in.p[0] == BE_COMMAND_COMPLETE && may_be_special(view_from(in, FRAME_HEAD_BYTES)))
		return 0;
	uint32_t length = load_be32(in.p + 1);
	return length >= 4 && length < in.n ? 1 + (size_t)length : 0;
}

/*
 * All such answers that are here whole, one behind the other, go to the client in one piece. Answers how many bytes; where it
 * stops, the rules judge. They would do the same with each of these messages, for five times the work.
 */
static size_t
pass_plain(struct server *s, struct view in)
{
	if (s->link == NULL || s->state != SERVER_LINKED || s->is_copy_in || s->loose_syncs > 0)
		return 0;
	size_t at = 0;
	const struct owed_item *first = owed_first(&s->owed);
	while (first && first->to == OWED_TO_CLIENT && !first->named && !first->statement) {
		uint8_t letter = at < in.n ? in.p[at] : 0;
		unsigned owed = 1u << first->what;
		size_t n = plain_size((struct view){ in.p + at, in.n - at }, owed);
		if (n == 0)
			break;
		at += n;
		if (letter == BE_COMMAND_COMPLETE)
			s->has_completed = true;
		if (plain_answers[letter].end & owed) {
			owed_pop(&s->owed);
			first = owed_first(&s->owed);
		}
	}
	if (at == 0)
		return 0;
	stream_send(&s->link->stream, view_of(in.p, at));
	s->has_spoken = true;
	if (owed_is_ours(&s->owed))
		link_pop_ours(s);
	return at;
}

size_t
server_answers_on_data(void *owner, struct view in)
{
	struct server *s = owner;
	if (s->state == SERVER_LISTENING)
		return listener_on_data(s, in);
	if (s->state <= SERVER_REPLICATING)
		return s->state == SERVER_REPLICATING ? replication_on_server_data(s, in) : server_login_on_data(s, in);
	size_t at = 0;
	bool has_asked = false; /* in this event: a question of our own */
	struct database *d = s->pool->database;
	s->request_us = clock_now_us();
	s->may_unsay = !s->has_spoken;
	s->sends_before = s->proxy->loop->sends;
	if (owed_is_ours(&s->owed))
		link_pop_ours(s);
	while (at < in.n && s->state != SERVER_CLOSED) {
		if (s->in_left > 0) {
			struct view part = view_part(in, at, s->in_left);
			at += part.n;
			server_pass_rest(s, part);
			continue;
		}
		struct view rest = { in.p + at, in.n - at };
		size_t plain = pass_plain(s, rest);
		if (plain > 0) {
			at += plain;
			continue;
		}
		struct frame f;
		enum frame_result r = frame_peek(rest, UINT32_MAX, &f);
		if (r == FRAME_SHORT)
			break;
		const struct server_rule *rule = &server_rules[in.p[at] & 127];
		if (r == FRAME_BAD || rule->run == NULL || in.p[at] > 127) {
			server_is_wrong(s, "sent bytes that are no message instead of", (char)in.p[at]);
			break;
		}
		const struct owed_item *first = owed_first(&s->owed);
		if (rule->answers && has_asked) { /* it can't be the answer to what has not been sent yet */
			server_is_wrong(s, "sent", f.type);
			break;
		}
		if (rule->answers && !is_loose_ready(s, f.type) && (first == NULL || !(rule->answers & 1u << first->what))) {
			server_is_wrong(s, "sent", f.type);
			break;
		}
		if (!frame_is_whole(&f)) {
			/* Answers to questions of our own are small, and looked into. */
			bool is_read = rule->intake != INTAKE_STREAM || s->question != QUESTION_NONE;
			if (f.size <= (is_read ? LOOP_IN_BYTES / 4 : TORN_MIN))
				break;
			if (rule->intake == INTAKE_WHOLE) {
				server_is_wrong(s, "sent an oversized", f.type);
				break;
			}
		}
		bool may_hold = f.type == BE_NOTIFICATION_RESPONSE || (f.type == BE_READY_FOR_QUERY && answers_client(s));
		if (may_hold && s->link && s->link->listen && s->link->state == CLIENT_LINKED && listen_holds(s, &f))
			break;
		struct view all = view_part(in, at, f.size);
		at += all.n; /* before the handler, which may free what it points into, but not the bytes */
		bool is_last = f.type == BE_READY_FOR_QUERY && s->owed.count == 1;
		if (!rule->run(s, &f, all))
			break;
		has_asked |= is_last && !owed_is_empty(&s->owed) && owed_first(&s->owed)->to == OWED_TO_NOBODY;
	}
	s->may_unsay = false;
	d->stats.bytes_sent += at;
	return at;
}
