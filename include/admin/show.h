/*
 * admin/show.h - the tables behind SHOW: a name, columns, and a function that makes the rows.
 *
 * A row is a struct; a column says where in it its value is. The console, the status page and /metrics read the same rows.
 * PgBouncer's tables have the columns of its 1.25.2, in its order, of its types, and no other: tools read them by position
 * and by number. What we know beyond is in tables of our own: MEMBERS, CLUSTERS, FAILOVERS, PINS.
 * Rows point into living objects: they are good until the next turn of the loop.
 */
#ifndef ADMIN_SHOW_H
#define ADMIN_SHOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/view.h"

struct proxy;

enum show_type {
	SHOW_TEXT,    /* const char *; NULL is SQL's NULL */
	SHOW_CHARS,   /* char[]: a text inside the row */
	SHOW_INT4,    /* uint64_t here and below; SHOW_NULL is SQL's NULL */
	SHOW_INT8,
	SHOW_NUMERIC,
	SHOW_TIME,    /* clock_now_us() of the moment; shown as text, a date in the local zone */
	SHOW_BYTEA,   /* const char *: the hex digits; NULL is SQL's NULL */
};

#define SHOW_NULL UINT64_MAX

struct show_column {
	const char    *name;
	enum show_type type;
	size_t         at; /* in the row */
};

struct show_rows {
	struct buf bytes; /* owned */
	size_t     row_bytes;
	size_t     count;
};

struct show_table {
	const char               *word; /* behind SHOW, upper case */
	const struct show_column *columns;
	uint16_t                  column_count;
	bool                      is_admins; /* for admin_users only */
	size_t                    row_bytes;
	void (*fill)(const struct show_table *t, struct proxy *x, struct show_rows *out);
	int  (*compare)(const void *a, const void *b); /* of two rows, for qsort; NULL: the order of fill */
};

/* Without regard to case. NULL: there is none. */
const struct show_table *show_find(const char *word);
const struct show_table *show_at(size_t i); /* NULL at the end */

/* All rows now, in order. The caller will show_rows_free(). */
void show_collect(const struct show_table *t, struct proxy *x, struct show_rows *out);
void show_rows_free(struct show_rows *rows);
const void *show_row(const struct show_rows *rows, size_t i);
void *show_rows_add(struct show_rows *rows); /* a row of zeroes at the end; good until the next one is added */

/* NULL: the table has no such column. */
const struct show_column *show_column(const struct show_table *t, const char *name);

/*
 * A value as text; false: it is NULL. *out is in the row or in room, which SHOW_ROOM bytes suffice for.
 * The number of INT4, INT8, NUMERIC and TIME columns; SHOW_NULL of others.
 */
enum { SHOW_ROOM = 64 };
bool     show_text(const struct show_column *c, const void *row, char room[SHOW_ROOM], struct view *out);
uint64_t show_number(const struct show_column *c, const void *row);

/* As messages. formats: format_count numbers of 2 bytes as in Bind; none means that all is text. */
void show_describe(const struct show_table *t, struct view formats, struct buf *out); /* RowDescription */
void show_data(const struct show_table *t, const void *row, struct view formats, struct buf *out); /* DataRow */

/* The tables, by file. */
extern const struct show_table show_version, show_config, show_state, show_mem;                 /* show_process.c */
extern const struct show_table show_clients, show_servers, show_sockets, show_active_sockets, show_fds; /* show_connections.c */
extern const struct show_table show_pools, show_databases, show_users, show_lists;              /* show_pools.c */
extern const struct show_table show_pins;                                                       /* show_pins.c */
extern const struct show_table show_stats, show_stats_totals, show_stats_averages, show_totals; /* show_stats.c */
extern const struct show_table show_members, show_clusters;                                     /* show_clusters.c */
extern const struct show_table show_failovers, show_switchover_check;                           /* show_failovers.c */
extern const struct show_table show_peers, show_peer_pools, show_dns_hosts, show_dns_zones;     /* show_network.c */
extern const struct show_table show_listeners;                                                  /* show_listeners.c */
const struct show_table *show_setting(const char *word); /* show_process.c: the setting of that name; NULL: there is none */
extern const struct show_table show_parameters[];  /* show_process.c: what drivers ask for; ends with an empty row */

/* What PgBouncer's tables call the console. */
#define CONSOLE_NAME "pgbouncer"
/* The PgBouncer whose tables these are. */
#define CONSOLE_VERSION "1.25.2"

#endif
