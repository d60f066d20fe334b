/*
 * config/import.h - one pgsluice configuration out of haproxy.cfg and pgbouncer.ini: what `pgsluice --import` prints.
 *
 * Both ways to put them together are known: clients → PgBouncer → HAProxy → PostgreSQL, and clients → HAProxy → a PgBouncer
 * beside each PostgreSQL. Either file may be left out.
 */
#ifndef CONFIG_IMPORT_H
#define CONFIG_IMPORT_H

#include <stdio.h>

#include "base/buf.h"
#include "config/value.h"

struct import_report {
	struct config_errors done; /* what became of what */
	struct config_errors left; /* what is not carried over, and what to do about it */
};

void import_report_free(struct import_report *report);

/* A text of an haproxy.cfg or of a pgbouncer.ini, whose %includes are in their place. text.p NULL: there is none. */
struct import_file {
	const char *name;
	struct view text;
};

/*
 * Pure. True: *out is a configuration that can be loaded, with the report as comments at its top. Else *errors says what is
 * wrong with the files, and *out is empty.
 */
bool config_import_texts(const struct import_file *haproxy, const struct import_file *pgbouncer, struct buf *out,
                         struct import_report *report, struct config_errors *errors);

/* Which of the two is it? By its first line that is no comment. */
bool import_is_ini(struct view text);

/* The command: reads the files (in any order), prints the configuration to out and the report to err. Exit status. */
int config_import(char *const *files, int count, FILE *out, FILE *err);

#endif
