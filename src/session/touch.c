/* session/touch.c - which state of its session a text may touch; see the header. */
#include "session/touch.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/bytes.h"
#include "base/heap.h"
#include "base/log.h"
#include "session/client.h"
#include "session/link.h"
#include "session/pids.h"
#include "session/pins.h"
#include "session/server.h"
#include "sql/cache.h"
#include "sql/glance.h"
#include "wire/message.h"

/* ---- what texts of a database were seen to do ---- */

enum {
	SHAPES = 1024, /* a power of two; those that meet in one place take turns, and are asked about more often */
	SEEN_TO_CHANGE = 1 << 31,
};

struct touches {
	struct {
		uint32_t shape;
		uint32_t runs; /* or SEEN_TO_CHANGE */
	} seen[SHAPES];
	struct buf custom_names;
	uint32_t custom_count;
	bool is_full_told;
	bool reads_sequences;
};

static struct touches *
touches_of(struct database *d)
{
	if (d->touches == NULL)
		d->touches = heap_alloc(sizeof(*d->touches));
	return d->touches;
}

void
touch_database_free(struct database *d)
{
	if (d->touches)
		buf_free(&d->touches->custom_names);
	heap_free(d->touches);
	d->touches = NULL;
}

/* Is the server to be asked after this run of it? */
static bool
is_due(struct database *d, uint32_t shape)
{
	struct touches *t = touches_of(d);
	uint32_t at = shape & (SHAPES - 1);
	if (t->seen[at].shape != shape) {
		t->seen[at].shape = shape;
		t->seen[at].runs = 0;
	}
	uint32_t *runs = &t->seen[at].runs;
	if (*runs == (uint32_t)SEEN_TO_CHANGE)
		return true;
	*runs = *runs + 1 < (uint32_t)SEEN_TO_CHANGE ? *runs + 1 : 1;
	return (*runs & (*runs - 1)) == 0;
}

static void
set_runs(struct database *d, uint32_t shape, uint32_t runs)
{
	struct touches *t = touches_of(d);
	uint32_t at = shape & (SHAPES - 1);
	if (t->seen[at].shape == shape && t->seen[at].runs == (uint32_t)SEEN_TO_CHANGE)
		return;
	t->seen[at].shape = shape;
	t->seen[at].runs = runs;
}

void
touch_learn(struct database *d, struct touch_shapes *shapes, bool have_changed)
{
	for (uint32_t i = 0; i < shapes->count; i++)
		set_runs(d, shapes->of[i], have_changed ? (uint32_t)SEEN_TO_CHANGE : 0);
	shapes->count = 0;
}

/* ---- names of settings that are asked for by name ---- */

static bool
has_name(struct view names, const char *name)
{
	for (size_t at = 0; at < names.n;) {
		const char *one = (const char *)names.p + at;
		if (strcasecmp(one, name) == 0)
			return true;
		at += strlen(one) + 1;
	}
	return false;
}

bool
touch_add_custom_name(struct database *d, const char *name)
{
	struct touches *t = touches_of(d);
	if (strlen(name) >= 128 || has_name(buf_view(&t->custom_names), name))
		return false;
	if (t->custom_count >= CUSTOM_NAMES_MAX) {
		if (!t->is_full_told)
			log_warning("session", "database %s: more than %d custom settings are set: \"%s\" and others are carried only for "
			            "the transaction that names them", d->name, CUSTOM_NAMES_MAX, name);
		t->is_full_told = true;
		return false;
	}
	t->custom_count++;
	buf_add_string(&t->custom_names, name);
	return true;
}

struct view
touch_custom_names(const struct database *d)
{
	return d->touches ? buf_view(&d->touches->custom_names) : (struct view){ 0 };
}

bool
touch_reads_sequences(const struct database *d)
{
	return d->touches && d->touches->reads_sequences;
}

/* Nothing of its transaction has been sent yet. */
static bool
is_at_beginning(const struct server *s)
{
	for (uint32_t i = 0; i < s->owed.count; i++)
		if (owed_at(&s->owed, i)->to != OWED_TO_NOBODY)
			return false;
	return s->status == 'I' && !s->owed.is_open;
}

void
touch_before(struct client *c, struct touch t)
{
	struct server *s = c->link;
	if (!(t.bits & TOUCH_SEQUENCES))
		return;
	struct touches *known = touches_of(s->pool->database);
	/* For the first time here. In a transaction that began before, they may be its own. */
	if (!known->reads_sequences && s->sequences_of != c->id && is_at_beginning(s))
		link_say(s, "DISCARD SEQUENCES");
	known->reads_sequences = true;
}

/* ---- a text ---- */

static uint32_t
bits_of_setting(const char *name, uint32_t otherwise)
{
	if (name && strcasecmp(name, "seed") == 0)
		return TOUCH_SEED;
	return name ? TOUCH_SETTINGS : otherwise;
}

static uint32_t
bits_of_discard(const char *name)
{
	static const struct {
		const char *name;
		uint32_t bits;
	} all[] = {
		{ "plans", 0 },
		{ "sequences", 0 },
		{ "temp", TOUCH_TEMPORARY },
		{ "all", TOUCH_ALL_SETTINGS | TOUCH_PREPARED | TOUCH_LISTEN | TOUCH_TEMPORARY | TOUCH_LOCKS | TOUCH_CURSORS },
	};
	for (size_t i = 0; name && i < sizeof(all) / sizeof(all[0]); i++)
		if (strcasecmp(name, all[i].name) == 0)
			return all[i].bits;
	return TOUCH_UNKNOWN;
}

static uint32_t
bits_of_touch(const struct sql_touch *t)
{
	switch (t->kind) {
	case SQL_TOUCH_SET:
		return t->is_local ? 0 : bits_of_setting(t->name, TOUCH_ALL_SETTINGS);
	case SQL_TOUCH_SET_CONFIG:
		return t->is_local && t->is_local_known ? 0 : bits_of_setting(t->name, TOUCH_ALL_SETTINGS);
	case SQL_TOUCH_RESET:
	case SQL_TOUCH_RESET_ALL:
		return t->is_local ? 0 : TOUCH_ALL_SETTINGS;
	case SQL_TOUCH_PREPARE:
	case SQL_TOUCH_DEALLOCATE:
		return TOUCH_PREPARED | TOUCH_NAMES_PREPARED;
	case SQL_TOUCH_EXECUTE:
		return TOUCH_NAMES_PREPARED;
	case SQL_TOUCH_DECLARE:
		return t->is_local ? 0 : TOUCH_CURSORS;
	case SQL_TOUCH_CLOSE:
		return TOUCH_CURSORS;
	case SQL_TOUCH_LISTEN:
	case SQL_TOUCH_UNLISTEN:
		return TOUCH_LISTEN;
	case SQL_TOUCH_NOTIFY:
		return TOUCH_NOTIFY;
	case SQL_TOUCH_DISCARD:
		return bits_of_discard(t->name);
	case SQL_TOUCH_TEMPORARY:
		return t->is_local ? 0 : TOUCH_TEMPORARY;
	case SQL_TOUCH_LOAD:
		return TOUCH_LIBRARY;
	case SQL_TOUCH_ADVISORY_LOCK:
	case SQL_TOUCH_ADVISORY_UNLOCK:
	case SQL_TOUCH_ADVISORY_UNLOCK_ALL:
		return t->is_local ? 0 : TOUCH_LOCKS;
	case SQL_TOUCH_SEQUENCE_READ:
		return TOUCH_SEQUENCES;
	case SQL_TOUCH_SEED:
		return TOUCH_SEED;
	case SQL_TOUCH_ORIGIN:
		return TOUCH_ORIGIN;
	case SQL_TOUCH_SHOW:
	case SQL_TOUCH_FETCH:
	case SQL_TOUCH_SEQUENCE:
	case SQL_TOUCHES:
		break;
	}
	return 0;
}

static uint32_t
bits_of_name(const struct sql_name *n)
{
	if (strncmp(n->name, "pg_prepared_statement", 21) == 0)
		return TOUCH_READS_PREPARED;
	if (strcmp(n->name, "pg_listening_channels") == 0)
		return TOUCH_READS_LISTEN;
	if (strcmp(n->name, "pg_backend_pid") == 0)
		return TOUCH_READS_PID;
	if (strcmp(n->name, "pg_terminate_backend") == 0 || strcmp(n->name, "pg_cancel_backend") == 0)
		return TOUCH_SIGNALS;
	if (strncmp(n->name, "dblink_connect", 14) == 0 || strcmp(n->name, "dblink_disconnect") == 0)
		return TOUCH_UNKNOWN;
	return 0;
}

static uint32_t
bits_of(const struct sql_facts *f)
{
	uint32_t bits = 0;
	if (f->result != SQL_PARSED)
		return TOUCH_UNKNOWN;
	for (uint32_t i = 0; i < f->statement_count; i++)
		if (f->statements[i].kind == SQL_DO)
			bits |= TOUCH_UNKNOWN;
	for (uint32_t i = 0; i < f->touch_count; i++)
		bits |= bits_of_touch(&f->touches[i]);
	for (uint32_t i = 0; i < f->name_count; i++)
		bits |= bits_of_name(&f->names[i]);
	return bits;
}

/*
 * Programs say the same texts again and again, but for numbers: what a glance has told is kept beside the text it was told of. Where
 * it lies hangs on the text's beginning.
 */
enum { MEMO_TEXT = 244, MEMO_HEAD = 24, MEMOS = 128 };

static struct memo {
	uint32_t shape;
	uint16_t n; /* 0: empty */
	uint8_t verdict;
	uint8_t text[MEMO_TEXT];
} memos[MEMOS];

static struct glance
glance_again(struct view text)
{
	if (text.n == 0 || text.n > MEMO_TEXT)
		return glance_at(text);
	uint64_t head[MEMO_HEAD / 8] = { 0 };
	memcpy(head, text.p, text.n < MEMO_HEAD ? text.n : MEMO_HEAD);
	uint64_t mixed = (head[0] * 3 ^ head[1] * 5 ^ head[2]) * UINT64_C(0x9e3779b97f4a7c15);
	struct memo *m = &memos[mixed >> 57];
	if (m->n && glance_is_same(view_of(m->text, m->n), text))
		return (struct glance){ .verdict = m->verdict, .shape = m->shape };
	struct glance g = glance_at(text);
	m->shape = g.shape;
	m->n = (uint16_t)text.n;
	m->verdict = g.verdict;
	memcpy(m->text, text.p, text.n);
	return g;
}

/* Does the parser read the text as the client's session does? */
static bool
is_legible(const struct client *c, const struct sql_facts *facts)
{
	const char *strings = params_value(c->params, "standard_conforming_strings");
	const char *encoding = params_value(c->params, "client_encoding");
	return (!facts->needs_standard_strings || !strings || strcmp(strings, "off") != 0) &&
	       (!encoding || sql_encoding_is_readable(encoding));
}

struct touch
touch_judge(struct client *c, struct view text, bool is_whole, const struct sql_facts **facts)
{
	*facts = NULL;
	if (!is_whole)
		return (struct touch){ .bits = TOUCH_UNKNOWN };
	struct glance g = glance_again(text);
	if (g.verdict == GLANCE_PLAIN)
		return (struct touch){ 0 };
	struct touch t = { .bits = TOUCH_MAY, .shape = g.shape };
	if (g.verdict == GLANCE_MAY)
		return t;
	*facts = sql_facts_of(c->proxy->sql_cache, text);
	t.bits |= bits_of(*facts);
	if (!is_legible(c, *facts))
		t.bits |= TOUCH_UNKNOWN;
	bool is_set = (*facts)->statement_count == 1 && (*facts)->statements[0].kind == SQL_SET;
	if (is_set && (t.bits & (uint32_t)(TOUCH_SETTINGS | TOUCH_ALL_SETTINGS)))
		t.bits &= ~(uint32_t)TOUCH_MAY; /* it does nothing unseen */
	return t;
}

/* ---- what is noted ---- */

enum { TOUCH_NAMES_MAX = 8 * 1024, CARRIED_MAX = 64 * 1024 }; /* bytes: named in one transaction; settings of a client */

static void
note_names(struct server *s, const struct sql_facts *facts)
{
	for (uint32_t i = 0; i < facts->touch_count; i++) {
		const struct sql_touch *t = &facts->touches[i];
		if ((t->kind != SQL_TOUCH_SET && t->kind != SQL_TOUCH_SET_CONFIG) || t->name == NULL || bits_of_touch(t) == 0)
			continue;
		if (strchr(t->name, '.'))
			touch_add_custom_name(s->pool->database, t->name);
		if (s->touch_names.n > TOUCH_NAMES_MAX) { /* what has no more room is taken away with all others */
			s->touched |= TOUCH_ALL_SETTINGS;
			s->left |= LEFT_SETTINGS;
		} else if (!has_name(buf_view(&s->touch_names), t->name)) {
			buf_add_string(&s->touch_names, t->name);
		}
	}
}

/* set_config() of a name that is put together, or a parameter: it may be one that nobody has named yet. */
static bool
sets_unnamed(const struct sql_facts *facts)
{
	for (uint32_t i = 0; facts && i < facts->touch_count; i++)
		if (facts->touches[i].kind == SQL_TOUCH_SET_CONFIG && facts->touches[i].name == NULL && bits_of_touch(&facts->touches[i]))
			return true;
	return false;
}

static bool
is_custom_name(struct view v)
{
	bool has_dot = false, is_start = true;
	for (size_t i = 0; i < v.n; i++) {
		bool is_letter = (v.p[i] | 32) >= 'a' && (v.p[i] | 32) <= 'z';
		if (v.p[i] == '.' && !is_start)
			has_dot = is_start = true;
		else if (is_letter || v.p[i] == '_' || (!is_start && ((v.p[i] >= '0' && v.p[i] <= '9') || v.p[i] == '$')))
			is_start = false;
		else
			return false;
	}
	return has_dot && !is_start;
}

void
touch_note_values(struct client *c, const struct sql_facts *facts, struct view body)
{
	struct bind_message bind;
	if (!sets_unnamed(facts) || !bind_read(body, &bind))
		return;
	struct view left = bind.values;
	while (left.n >= 4) {
		uint32_t bytes = load_be32(left.p);
		struct view value = bytes == UINT32_MAX ? (struct view){ 0 } : view_part(left, 4, bytes);
		char name[64];
		left = view_from(left, 4 + value.n);
		if (value.n >= sizeof(name) || !is_custom_name(value))
			continue;
		for (size_t i = 0; i < value.n; i++)
			name[i] = (char)tolower(value.p[i]);
		name[value.n] = '\0';
		touch_add_custom_name(c->link->pool->database, name);
	}
}

static void
note_shape(struct server *s, uint32_t shape)
{
	struct touch_shapes *shapes = &s->touch_shapes;
	if (shapes->count < sizeof(shapes->of) / sizeof(shapes->of[0]))
		shapes->of[shapes->count++] = shape;
	else
		set_runs(s->pool->database, shape, 0); /* this run does not count: nothing could be learnt of it */
}

/* Nothing of its transaction has been run yet. */
static bool
is_first_to_run(const struct server *s)
{
	for (uint32_t i = 0; i < s->owed.count; i++) {
		const struct owed_item *item = owed_at(&s->owed, i);
		if (item->to != OWED_TO_NOBODY && (item->what == OWED_EXECUTE || owed_ends_with_ready(item->what)))
			return false;
	}
	return s->status == 'I';
}

/* A value that means the same as a word in SET and as a string in set_config(): no list, nothing to fold. */
static bool
is_word(const char *value, size_t max)
{
	size_t n = strspn(value, "0123456789abcdefghijklmnopqrstuvwxyz_.-");
	return n > 0 && n < max && value[n] == '\0';
}

static bool
is_of_names(const char *setting)
{
	static const char *const lists[] = { "search_path", "temp_tablespaces", "session_preload_libraries", "local_preload_libraries",
		                             "role", "session_authorization" };
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		if (strcmp(setting, lists[i]) == 0)
			return true;
	return false;
}

/* The text is a SET that can be taken at its word: then the server need not be asked when it has been done. */
static bool
note_lone_set(struct server *s, const struct sql_facts *f)
{
	if (f->statement_count != 1 || f->touch_count != 1 || f->statements[0].kind != SQL_SET || s->touched || !is_first_to_run(s) ||
	    s->owed.is_open || s->owed.is_skipping || params_bytes(s->params) > CARRIED_MAX)
		return false;
	const struct sql_touch *t = &f->touches[0];
	if (t->kind != SQL_TOUCH_SET || t->is_local || !t->name || !t->value || strlen(t->name) >= sizeof(s->lone_set) ||
	    !is_word(t->value, sizeof(s->lone_value)) || is_of_names(t->name))
		return false;
	snprintf(s->lone_set, sizeof(s->lone_set), "%s", t->name);
	snprintf(s->lone_value, sizeof(s->lone_value), "%s", t->value);
	return true;
}

void
touch_failed(struct server *s)
{
	const uint32_t by_name = TOUCH_LONE_SET | TOUCH_SETTINGS;
	if (s->touched & by_name)
		s->touched = (s->touched & ~by_name) | TOUCH_ALL_SETTINGS; /* what a name has now may be no session's to set */
}

void
touch_note(struct client *c, struct touch t, const struct sql_facts *facts)
{
	struct server *s = c->link;
	uint32_t named = t.bits & ~(uint32_t)TOUCH_MAY;
	enum session_tracking tracking = c->proxy->config->settings.session_tracking;
	if (t.bits == 0)
		return;
	if (t.bits & (TOUCH_READS_PID | TOUCH_SIGNALS))
		pids_note(c, t.bits);
	if (c->pins)
		s->is_touched_later = true;
	if ((t.bits & TOUCH_MAY) && tracking > TRACKING_NAMES &&
	    (tracking == TRACKING_ALWAYS || is_due(s->pool->database, t.shape))) {
		s->touched |= TOUCH_MAY;
		note_shape(s, t.shape);
	}
	if (named == 0)
		return;
	if (sets_unnamed(facts))
		s->left |= LEFT_SETTINGS; /* what can't be asked for is not carried; nor is it left to others */
	if (named == TOUCH_SETTINGS && t.is_simple && facts && tracking != TRACKING_ALWAYS && note_lone_set(s, facts))
		named = TOUCH_LONE_SET;
	if ((named & (uint32_t)(TOUCH_SETTINGS | TOUCH_LONE_SET)) && facts)
		note_names(s, facts);
	else if (named & TOUCH_SETTINGS)
		named |= TOUCH_ALL_SETTINGS;
	s->touched |= named & ~TOUCH_ONLY_BEFORE;
}

void
touch_note_function(struct client *c, uint32_t oid)
{
	touch_note(c, (struct touch){ .bits = TOUCH_MAY, .shape = oid }, NULL);
}

void
touch_forget(struct server *s)
{
	touch_learn(s->pool->database, &s->touch_shapes, false);
	s->touched = 0;
	s->is_touched_later = false;
	buf_clear(&s->touch_names);
}
