/* session/pins.c - who keeps a server for what is there, who may not, and what is cleaned up; see the header. */
#include "session/pins.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "auth/digest.h"
#include "base/clock.h"
#include "base/log.h"
#include "session/client.h"
#include "session/server.h"
#include "session/touch.h"
#include "wire/reply.h"

const char pins_hint[] = "SHOW PINS on the console lists all of them; pin_idle_timeout, max_pinned_servers and pinning limit them.";

static const char *const pin_names[PINS] = {
	"temporary objects", "advisory locks", "WITH HOLD cursors", "LOAD", "setseed()", "replication origin",
	"currval() or lastval()", "PREPARE", "LISTEN", "unknown",
};

const char *
pin_name(enum pin pin)
{
	for (unsigned i = 0; i < PINS; i++)
		if (pin == 1u << i)
			return pin_names[i];
	return "nothing";
}

void
pins_add_names(struct text *out, uint32_t pins)
{
	const char *between = "";
	for (unsigned i = 0; i < PINS; i++) {
		if (!(pins & 1u << i))
			continue;
		text_addf(out, "%s%s", between, pin_names[i]);
		between = ", ";
	}
}

/* ---- who keeps a server ---- */

static void
set(struct client *c, uint32_t pins)
{
	struct stats *stats = &c->pool->database->stats;
	uint64_t now = clock_now_us();
	if (pins == c->pins)
		return;
	if (c->pins == 0) {
		c->pinned_us = now;
		c->pool->pinned++;
		stats->pins++;
	} else if (pins == 0) {
		stats->pin_us += now - c->pinned_us;
		c->pinned_us = 0;
		c->pool->pinned--;
	}
	c->pins = (uint16_t)pins;
}

static const char *
why_not(const struct pool *p)
{
	return p->rules.pinning == PINNING_REFUSE ? "refuse" : "off";
}

/* Once for each of these; the next time it knows. */
static void
tell(struct client *c, uint32_t pins)
{
	char names[160], text[260];
	struct text what = TEXT_IN(names);
	struct pool *p = c->pool;
	pins &= ~(uint32_t)c->pins_told;
	if (pins == 0)
		return;
	c->pins_told |= (uint16_t)pins;
	pins_add_names(&what, pins);
	snprintf(text, sizeof(text), "ends with the transaction: %s (pinning = %s)", names, why_not(p));
	struct buf b = { 0 };
	reply_notice(&b, "WARNING", &(struct fault){
		.sqlstate = "01000", .text = text,
		.hint = "With pinning = auto or pool_mode = session the client would keep its server connection, and what is there." });
	client_send(c, buf_view(&b));
	buf_free(&b);
	uint64_t now = clock_now_us();
	if (p->pins_told_us == 0 || now - p->pins_told_us >= 60 * SECOND_US)
		log_warning(client_tag(c), "pool %s/%s: %s", p->database->name, p->role->name, text);
	if (p->pins_told_us == 0 || now - p->pins_told_us >= 60 * SECOND_US)
		p->pins_told_us = now;
}

void
pins_found(struct client *c, uint32_t pins)
{
	/* What it has kept since before a reload it keeps; so does one whose server could not be asked, whatever the rules. */
	uint32_t kept = c->pool->rules.pinning == PINNING_AUTO ? pins : pins & (c->pins | (uint32_t)PIN_UNKNOWN);
	struct server *s = c->link;
	char reasons[160];
	struct text text = TEXT_IN(reasons);
	if (pins & ~kept) {
		s->left |= pins & ~kept;
		tell(c, pins & ~kept & ~(uint32_t)PIN_SEQUENCES); /* to read them in the transaction that made them is what is usual */
	}
	if (kept == c->pins)
		return;
	pins_add_names(&text, kept);
	if (kept)
		log_info(client_tag(c), "pinned to server %u: %s", s->id, reasons);
	else
		log_info(client_tag(c), "released from server %u after %.1f s", s->id,
		         (double)(clock_now_us() - c->pinned_us) / (double)SECOND_US);
	set(c, kept);
}

bool
pins_enforce(struct client *c)
{
	struct pool *p = c->pool;
	char text[200], reasons[160], detail[400];
	struct text what = TEXT_IN(reasons);
	if (p->rules.max_pinned_servers == 0 || p->pinned <= (uint32_t)p->rules.max_pinned_servers)
		return false;
	pins_add_names(&what, c->pins);
	snprintf(text, sizeof(text), "no more than %d server connections of a pool may be kept (max_pinned_servers)",
	         p->rules.max_pinned_servers);
	snprintf(detail, sizeof(detail), "The transaction is complete. It left in its session: %s.", reasons);
	client_fail(c, &(struct fault){ .by = FAULT_BY_PROXY, .sqlstate = SQLSTATE_CONFIGURATION_LIMIT, .text = text,
	                                .detail = detail, .hint = pins_hint });
	return true;
}

void
pins_drop(struct client *c)
{
	if (c->pins)
		set(c, 0);
}

enum { HOLDERS_MAX = 5 };

static void
add_holder(struct text *out, const struct client *c)
{
	char reasons[160];
	struct text what = TEXT_IN(reasons);
	pins_add_names(&what, c->pins);
	text_addf(out, "%s (%s, for %" PRIu64 " s)", client_tag(c), reasons, (clock_now_us() - c->pinned_us) / SECOND_US);
}

/* The next of its servers that a client keeps; NULL: no more. Begins with *id = 0, *at = NULL. */
static const struct client *
next_pinned(const struct pool *p, int *id, struct node **at)
{
	for (; *id < CLUSTER_MEMBERS_MAX; ++*id, *at = NULL) {
		const struct list *active = p->at[*id] ? &p->at[*id]->slots[SLOT_ACTIVE] : NULL;
		if (active == NULL)
			continue;
		while ((*at = *at ? list_next(active, *at) : list_first(active)) != NULL) {
			const struct client *c = server_of_slot(node_owner(*at, struct slot, node))->link;
			if (c && c->pins)
				return c;
		}
	}
	return NULL;
}

bool
pins_add_holders(struct text *out, const struct pool *p)
{
	const struct client *c;
	struct node *at = NULL;
	int id = 0;
	uint32_t told = 0;
	if (p->pinned == 0)
		return false;
	text_addf(out, "%" PRIu32 " of the pool's %" PRIu32 " server connections are kept by their clients: ", p->pinned, p->servers);
	while (told < HOLDERS_MAX && (c = next_pinned(p, &id, &at)) != NULL) {
		text_add(out, told++ ? ", " : "");
		add_holder(out, c);
	}
	text_add(out, p->pinned > told ? " and others" : "");
	return true;
}

uint32_t
pins_now(const struct pool *p, uint32_t pins, uint64_t *us)
{
	const struct client *c;
	struct node *at = NULL;
	int id = 0;
	uint32_t count = 0;
	while (p->pinned > 0 && (c = next_pinned(p, &id, &at)) != NULL) {
		if (!(c->pins & pins))
			continue;
		count++;
		if (us)
			*us += clock_now_us() - c->pinned_us;
	}
	return count;
}

void
pins_on_second(struct proxy *x)
{
	uint64_t now = clock_now_us();
	list_each(&x->pools, n, after)
	{
		struct pool *p = node_owner(n, struct pool, node);
		if (p->pinned == 0 || p->pinned < p->servers || pool_waiting(p) == 0 ||
		    (p->pins_warned_us && now - p->pins_warned_us < 60 * SECOND_US))
			continue;
		char holders[700];
		struct text text = TEXT_IN(holders);
		pins_add_holders(&text, p);
		log_warning("pool", "%s/%s: %" PRIu32 " clients wait; %s", p->database->name, p->role->name, pool_waiting(p), holders);
		p->pins_warned_us = now;
	}
}

/* ---- what is refused ---- */

static uint32_t
pin_named(const struct sql_touch *t)
{
	if (t->is_local)
		return 0;
	switch (t->kind) {
	case SQL_TOUCH_TEMPORARY:
		return PIN_TEMPORARY;
	case SQL_TOUCH_ADVISORY_LOCK:
		return PIN_LOCKS;
	case SQL_TOUCH_DECLARE:
		return PIN_CURSORS;
	case SQL_TOUCH_LOAD:
		return PIN_LIBRARY;
	case SQL_TOUCH_SEED:
		return PIN_SEED;
	case SQL_TOUCH_SET:
	case SQL_TOUCH_SET_CONFIG:
		return t->name && strcasecmp(t->name, "seed") == 0 ? PIN_SEED : 0;
	case SQL_TOUCH_ORIGIN:
		return PIN_ORIGIN;
	default:
		return 0;
	}
}

uint32_t
pins_named(const struct sql_facts *facts)
{
	for (uint32_t i = 0; facts && i < facts->touch_count; i++) {
		uint32_t pin = pin_named(&facts->touches[i]);
		if (pin)
			return pin;
	}
	return 0;
}

void
pins_refuse(struct client *c, uint32_t pin)
{
	char text[160];
	struct buf b = { 0 };
	snprintf(text, sizeof(text), "not supported in %s pooling mode: %s", pool_mode_name(c->pool->rules.pool_mode),
	         pin_name((enum pin)pin));
	reply_error(&b, "ERROR", &(struct fault){
		.sqlstate = SQLSTATE_FEATURE_NOT_SUPPORTED, .text = text,
		.detail = "It would live in one server connection, and with pinning = refuse no client may keep one.",
		.hint = "Set pinning = auto or pool_mode = session for this user or database." });
	client_send(c, buf_view(&b));
	buf_free(&b);
}

/* ---- what is cleaned ---- */

static const struct {
	uint32_t touched, left; /* enum touch_bit, enum pin */
	const char *sql;
} cleanings[] = {
	/* The first is that of the settings. */
	{ TOUCH_SETTINGS | TOUCH_ALL_SETTINGS | TOUCH_LONE_SET, LEFT_SETTINGS, "SET SESSION AUTHORIZATION DEFAULT;RESET ALL;" },
	{ TOUCH_CURSORS, PIN_CURSORS, "CLOSE ALL;" },
	{ TOUCH_LISTEN, PIN_LISTEN, "UNLISTEN *;" },
	{ TOUCH_LOCKS, PIN_LOCKS, "SELECT pg_catalog.pg_advisory_unlock_all();" },
	{ TOUCH_TEMPORARY, PIN_TEMPORARY, "DISCARD TEMP;" },
	{ TOUCH_SEQUENCES, PIN_SEQUENCES, "DISCARD SEQUENCES;" },
};

/* Nothing undoes these: DISCARD ALL neither. A seed goes by another one. */
#define LEFT_BY_SEED(s) (((s)->touched & TOUCH_SEED) || ((s)->left & PIN_SEED))

bool
pins_are_left(const struct server *s)
{
	return s->touched || s->left;
}

/* The next one's random numbers are not to be told from the last one's seed. */
static void
add_seed(struct buf *sql)
{
	uint32_t random;
	char text[80];
	digest_random((uint8_t *)&random, sizeof(random));
	snprintf(text, sizeof(text), "SELECT pg_catalog.setseed(0.%010" PRIu32 ");", random);
	buf_add(sql, view_of_string(text));
}

bool
pins_clean(struct server *s, struct buf *sql, const char **why)
{
	uint32_t touched = s->touched & ~(uint32_t)TOUCH_SEED, left = s->left & ~(uint32_t)PIN_SEED;
	if ((left & PIN_LIBRARY) || (touched & TOUCH_LIBRARY)) {
		*why = "its client has loaded a library (LOAD)";
		return false;
	}
	if ((left & PIN_ORIGIN) || (touched & TOUCH_ORIGIN)) {
		*why = "its client has left a replication origin";
		return false;
	}
	for (size_t i = 0; i < sizeof(cleanings) / sizeof(cleanings[0]); i++) {
		if ((touched & cleanings[i].touched) || (left & cleanings[i].left))
			buf_add(sql, view_of_string(cleanings[i].sql));
		touched &= ~cleanings[i].touched;
		left &= ~cleanings[i].left;
	}
	if (touched || left) { /* nobody knows, or SQL-level prepared statements: all of it, the shared statements with them */
		buf_clear(sql);
		buf_add(sql, VIEW("DISCARD ALL"));
	} else if (LEFT_BY_SEED(s)) {
		add_seed(sql);
	}
	buf_add_u8(sql, '\0');
	s->cleans_all = touched || left;
	s->cleaning = s->left;
	return true;
}

void
pins_cleaned(struct server *s)
{
	bool is_seed_left = s->cleans_all && LEFT_BY_SEED(s);
	uint32_t since = s->left & ~s->cleaning; /* to be cleaned next */
	if (s->cleans_all || (s->touched & cleanings[0].touched) || (s->cleaning & cleanings[0].left))
		params_replace(&s->params, params_without_unreported(s->params));
	touch_forget(s);
	s->left = (is_seed_left ? PIN_SEED : 0) | since;
	s->cleans_all = s->listens = s->listens_due = false;
}
