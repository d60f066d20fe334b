/*
 * admin/console.h - the console: database "pgsluice" or "pgbouncer" on every port, for admin_users and stats_users.
 *
 * Speaks PgBouncer's commands with PgBouncer 1.25's answers, and beyond PgBouncer the extended query protocol.
 */
#ifndef ADMIN_CONSOLE_H
#define ADMIN_CONSOLE_H

struct proxy;

/* From here on x->console answers clients that ask for the console; until proxy_free(). */
void console_install(struct proxy *x);

#endif
