/*
 * admin/show_row.h - how the tables of show_*.c are written down.
 *
 *	static const struct show_column columns[] = {
 *		COLUMN("database", SHOW_TEXT, struct pool_row, database),
 */
#ifndef ADMIN_SHOW_ROW_H
#define ADMIN_SHOW_ROW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "admin/show.h"

struct proxy;
struct slot;
struct database_config;

#define COLUMN(name, type, row, member) { name, type, offsetof(row, member) }
#define COLUMN_COUNT(columns) ((uint16_t)(sizeof(columns) / sizeof((columns)[0])))

/* show_pools.c */
bool        slot_is_used(const struct proxy *x, const struct slot *s); /* idle for long: checked before use */
const char *hosts_mode(const struct database_config *d); /* load_balance_hosts; NULL: there are not several hosts */
uint64_t    console_clients(const struct proxy *x);

#endif
