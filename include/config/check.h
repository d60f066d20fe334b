/*
 * config/check.h - --check-config: read everything, say everything, do nothing.
 */
#ifndef CONFIG_CHECK_H
#define CONFIG_CHECK_H

#include <stdio.h>

#include "base/text.h"
#include "config/config.h"

/* The errors, one a line, and how many there were. */
void config_print_errors(FILE *out, const struct config_errors *errors);

/* Warnings, then what was understood: databases with their targets, clusters, users, peers, ports. No secrets. */
void config_print_summary(FILE *out, const struct config *config);

/*
 * All of --check-config: load, print to out or err, and return the exit status of the program: 0 or 1. `more` reads, as a
 * start would, the files that settings name and this layer can't read, and says what is wrong with them, a line each;
 * it may be NULL.
 */
typedef bool config_check_fn(const struct config *config, struct text *why);
int config_check(const char *file, char **environment, FILE *out, FILE *err, config_check_fn *more);

#endif
