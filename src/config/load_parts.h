/*
 * config/load_parts.h - a configuration in the making: what load.c (lines and values), load_entries.c (clusters and databases)
 * and load_check.c (what does not fit together) share.
 */
#ifndef CONFIG_LOAD_PARTS_H
#define CONFIG_LOAD_PARTS_H

#include <stdio.h>
#include <stdlib.h>

#include "base/heap.h"
#include "base/must.h"
#include "config/config.h"
#include "config/entry.h"
#include "config/ini.h"
#include "config/value.h"

struct drafts {
	struct draft *all; /* owned, on the heap */
	int count, room;
};

/* Where a setting was set; place.file NULL: nowhere, it has its preset. */
struct origin {
	struct place place;
	bool is_environment;
};

/* A setting that goes before the lines of the file: of the environment, or changed on the console. */
struct late_value {
	const struct setting *row;
	struct view value;
	struct place at;
};

struct config_source {
	const struct ini_line *lines;
	int line_count;
	struct late_value *late; /* those of the environment first; a later one counts */
	int late_count;
};

struct loading {
	struct config *config;
	struct config_memory *memory;
	struct config_errors *errors;
	struct config_errors warnings;
	struct drafts drafts[ENTRY_KINDS];
	struct origin *origins; /* for each row of the settings */
	struct place whole;     /* the file as such, or "environment" */
	struct late_value *late;
	int late_count;
};

/* load.c */
struct origin *loading_origin(const struct loading *l, const char *setting);
/* Complain about a setting where it was set; in messages of the environment its name is already part of the place. */
void loading_complain(const struct loading *l, struct config_errors *to, const char *setting, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
struct draft *loading_add_draft(struct loading *l, enum entry_kind kind, const char *name, struct place at);

/* load_entries.c */
void loading_draft_main_cluster(struct loading *l);
void loading_settle_names(struct loading *l, enum entry_kind kind);
void loading_make_entries(struct loading *l); /* clusters first, then databases, which point to them */
int  loading_list_length(const char *list);

/* load_check.c */
void loading_check(struct loading *l); /* what is well formed by itself and does not fit */
void loading_warn(struct loading *l);  /* what fits and will surprise */

#endif
