/*
 * config/show.h - the settings as people see them: SHOW CONFIG, --help-settings, and the samples in etc/.
 */
#ifndef CONFIG_SHOW_H
#define CONFIG_SHOW_H

#include <stdbool.h>
#include <stdio.h>

#include "config/config.h"

struct config_show {
	const char *key;
	const char *value;  /* never NULL; not set is "" */
	const char *preset; /* the default */
	bool        is_changeable;
	/* private */
	char value_text[SETTING_VALUE_MAX];
	char preset_text[SETTING_VALUE_MAX];
};

/* The row number at (0 ...) of SHOW CONFIG, which is sorted by key, into *out. False: there are no more. */
bool config_show_row(const struct config *config, int at, struct config_show *out);

void settings_help(FILE *out);                      /* --help-settings */
void settings_sample(FILE *out, bool is_pgbouncer); /* etc/pgsluice.ini: each setting commented, with text, range and default */

#endif
