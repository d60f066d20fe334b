/*
 * config/entry.h - the keys of entries in [databases], [users], [clusters], [peers]. For the config layer itself.
 *
 * The same kind of rows as the settings; a key that is not there leaves what entry_blank_*() put in its field.
 */
#ifndef CONFIG_ENTRY_H
#define CONFIG_ENTRY_H

#include "config/config.h"
#include "config/ini.h"

/* An entry while it is read: names are not yet resolved. */
struct draft {
	const char  *name;
	struct place at;
	int          order;  /* of appearance; of two with one name the later counts */
	bool         is_bad; /* something in it was refused: what is missing may have been there */
	union {
		struct {
			struct database_config config;
			const char            *cluster; /* NULL: none given */
		} database;
		struct {
			struct cluster_config config; /* options not given: UINT64_MAX, -1 */
			const char           *patroni;
			const char           *hosts;
		} cluster;
		struct user_config user;
		struct peer_config peer;
	};
};

struct entry_form {
	const char           *section;
	const struct setting *rows; /* .at is the offset in struct draft */
	int                   count;
	const char           *text; /* for the sample */
	const char           *example;
};

enum entry_kind { ENTRY_CLUSTER, ENTRY_DATABASE, ENTRY_USER, ENTRY_PEER, ENTRY_KINDS };

extern const struct entry_form entry_forms[ENTRY_KINDS];

/* A draft in which nothing is set. */
struct draft entry_blank(enum entry_kind kind, const char *name, struct place at);

/* Read "key=value ..." into *draft. Each mistake becomes an error, each key without effect a warning. */
void entry_read(enum entry_kind kind, struct view text, struct draft *draft, struct config_memory *memory,
                struct config_errors *errors, struct config_errors *warnings);

#endif
