/*
 * session/params.h - sets of session parameters, immutable and shared: two connections whose sets are equal hold the
 * same pointer, so that the question of every transaction, "does this server fit this client?", is one comparison.
 *
 * Reported parameters are those for which the server sends ParameterStatus: their values are its canonical ones. The
 * others come from startup packets (search_path, extra_float_digits ...): their values are what the client asked for.
 * Source: PostgreSQL 16, 55.2.7 Asynchronous Operations; names compare without case, as in PostgreSQL.
 */
#ifndef SESSION_PARAMS_H
#define SESSION_PARAMS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

struct params;

struct param {
	const char *name, *value; /* inside the set */
	bool is_reported;
};

/* Every function that returns a set returns a reference; the argument's stays the caller's. */
struct params *params_empty(void);
struct params *params_ref(struct params *p);
void params_unref(struct params *p); /* NULL is fine */
struct params *params_with(struct params *p, const char *name, const char *value, bool is_reported);
struct params *params_without(struct params *p, const char *name);
struct params *params_without_unreported(struct params *p);

/* Put `to` in place of *at and drop what was there; `to` becomes *at's reference. */
void params_replace(struct params **at, struct params *to);

/* Walk: *at starts at 0. False at the end. */
bool params_next(const struct params *p, uint32_t *at, struct param *out);
const char *params_value(const struct params *p, const char *name); /* NULL: not in the set */
bool params_have_high(const struct params *p); /* a value has bytes that mean another thing in another client_encoding */
uint32_t params_bytes(const struct params *p); /* of all names and values */
bool params_is_reported(const struct params *p, const char *name);

/*
 * SQL that turns a session with `have` into one with `want`, added to sql; false and nothing added when none is needed.
 * A reported parameter that `want` lacks is left alone; an unreported one is RESET.
 */
bool params_difference(const struct params *have, const struct params *want, struct buf *sql);

/* SET one parameter, by the form that does not depend on what kind it is. */
void params_add_set(struct buf *sql, const char *name, const char *value, bool is_reported);

/* Parameters the server reports that are facts, not settings: never kept in a set. */
bool param_is_fact(const char *name);

#endif
