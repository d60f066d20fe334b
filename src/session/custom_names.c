/* session/custom_names.c - names of settings that only functions know; see the header. */
#include "session/custom_names.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "session/pins.h"
#include "session/server.h"
#include "session/touch.h"

enum {
	LAST_OWN_OID = 16383,      /* of PostgreSQL's functions, which set nothing */
	FUNCTIONS_AT_A_TIME = 200, /* 20 ms for 5 kB each */
	LIMIT_MS = 1000,           /* of the server's time: a catalog under a lock is not waited for longer */
	NAME_MAX_BYTES = 63,
};
#define AGAIN_US (600 * SECOND_US)
#define AGAIN_FAILED_US (60 * SECOND_US)

/* ---- the question ---- */

/*
 * A row for each name, and one with an OID if there may be more functions behind it. There are no backslashes, whose meaning
 * depends on a setting, and every name is qualified. SET counts where a statement begins, or a string: UPDATE t SET a.b = 1 does
 * not. The languages left out are internal and C. Where prosrc is empty, the body is SQL that was parsed (PostgreSQL 14).
 * Source: PostgreSQL 9.6 to 17, 9.7.3 POSIX Regular Expressions; pg_proc.
 */
static const char question[] =
"SET LOCAL statement_timeout = %d; "
"WITH f AS ("
	"SELECT p.oid, p.prosrc FROM pg_catalog.pg_proc AS p WHERE p.oid OPERATOR(pg_catalog.>) '%u'::pg_catalog.oid"
	" AND p.prolang OPERATOR(pg_catalog.<>) '12'::pg_catalog.oid AND p.prolang OPERATOR(pg_catalog.<>) '13'::pg_catalog.oid"
	" ORDER BY p.oid LIMIT %d) "
"SELECT DISTINCT pg_catalog.lower(pg_catalog.replace(m.found[1], '\"', '')) FROM f "
"CROSS JOIN LATERAL (SELECT CASE WHEN f.prosrc OPERATOR(pg_catalog.=) ''"
	" THEN pg_catalog.pg_get_functiondef(f.oid) ELSE f.prosrc END) AS b(body) "
"CROSS JOIN (VALUES"
	" ('(?:set_config|current_setting)\"?[[:space:]]*[(][[:space:]]*[en]?''+"
	"([a-z_][a-z0-9_$]*(?:[.][a-z_][a-z0-9_$]*)+)'''),"
	" ('(?:^|[;\"''$]|[[:<:]](?:begin|then|else|loop)[[:>:]])(?:[[:space:]]|--[^\n]*\n)*set[[:space:]]+(?:session[[:space:]]+)?"
	"(\"?[a-z_][a-z0-9_$]*\"?(?:[.]\"?[a-z_][a-z0-9_$]*\"?)+)[[:space:]]*(?:=|to[[:>:]])')) AS w(pattern) "
"CROSS JOIN LATERAL pg_catalog.regexp_matches(b.body, w.pattern, 'gi') AS m(found) "
"WHERE b.body OPERATOR(pg_catalog.~~*) '%%set%%' "
"UNION ALL (SELECT f.oid::pg_catalog.text FROM f ORDER BY f.oid OFFSET %d)";

void
custom_names_query(uint32_t after, struct buf *sql)
{
	buf_addf(sql, question, LIMIT_MS, after > LAST_OWN_OID ? after : LAST_OWN_OID, FUNCTIONS_AT_A_TIME,
	         FUNCTIONS_AT_A_TIME - 1);
	buf_add_u8(sql, '\0');
}

bool
custom_names_are_due(const struct server *s)
{
	const struct database *d = s->pool->database;
	if (d->custom_names.again_us > clock_now_us() && d->custom_names.after == 0)
		return false;
	return s->proxy->config->settings.session_tracking > TRACKING_NAMES && s->pool->rules.pool_mode != POOL_MODE_SESSION &&
	       s->proxy->state == PROXY_RUNNING && !s->proxy->is_holding && !d->load->is_closed && pool_waiting(s->pool) == 0;
}

void
custom_names_ask(struct server *s)
{
	struct database *d = s->pool->database;
	struct buf sql = { 0 };
	custom_names_query(d->custom_names.after, &sql);
	d->custom_names.asked_after = d->custom_names.after;
	/* Should the server be lost, or another one be free meanwhile, this is enough for now. */
	d->custom_names.after = 0;
	d->custom_names.found = 0;
	d->custom_names.again_us = clock_now_us() + AGAIN_US;
	server_ask(s, QUESTION_CUSTOM_NAMES, (const char *)sql.p);
	buf_free(&sql);
}

/* ---- the answer ---- */

/*
 * What clients before have left under a name that was not known, would be taken for the next one's: such servers are cleaned when
 * they are free, and those that are, at once (below).
 */
static void
soil_servers(struct proxy *x, const struct database *d)
{
	list_each(&x->servers, n, after)
	{
		struct server *s = node_owner(n, struct server, node);
		if (s->pool->database == d && s->is_soiled)
			s->left |= LEFT_SETTINGS;
	}
}

void
custom_names_on_row(struct server *s, const struct view *value)
{
	struct database *d = s->pool->database;
	char name[NAME_MAX_BYTES + 1];
	if (value == NULL || value->n == 0 || value->n > NAME_MAX_BYTES || memchr(value->p, '\0', value->n))
		return;
	memcpy(name, value->p, value->n);
	name[value->n] = '\0';
	if (name[0] >= '0' && name[0] <= '9') {
		uint32_t after = (uint32_t)strtoul(name, NULL, 10);
		if (after > d->custom_names.asked_after) /* else it would go on for ever */
			d->custom_names.after = after;
	} else if (touch_add_custom_name(d, name)) {
		log_debug("session", "database %s: a function names the setting %s", d->name, name);
		d->custom_names.found++;
		soil_servers(s->proxy, d);
	}
}

void
custom_names_answered(struct server *s)
{
	struct database *d = s->pool->database;
	if (s->question_failed) {
		d->custom_names.after = 0;
		d->custom_names.again_us = clock_now_us() + AGAIN_FAILED_US;
		if (!d->custom_names.is_failure_told)
			log_warning("session", "database %s: which settings its functions name could not be asked: %s; those that no client "
			            "has named are not carried", d->name, s->why_dying);
		d->custom_names.is_failure_told = true;
	}
	if (d->custom_names.found == 0)
		return;
	log_info("session", "database %s: %u settings that its functions name are carried from now on", d->name,
	         d->custom_names.found);
	list_each(&s->proxy->servers, n, after)
	{
		struct server *other = node_owner(n, struct server, node);
		if (other->pool->database == d && other->left && other->state == SERVER_IDLE)
			server_release(other);
	}
}
