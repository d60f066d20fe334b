/*
 * config/ini.h - the lines of an INI file and of those that it includes, in order. For the config layer itself.
 */
#ifndef CONFIG_INI_H
#define CONFIG_INI_H

#include "config/value.h"

#define INI_BYTES_MAX (16 * 1024 * 1024) /* of one file */
#define INI_FILES_MAX 1000               /* in all */
#define INI_DEPTH_MAX 10                 /* of %include, as in PgBouncer */

struct ini_line {
	struct place at;
	const char  *section; /* the section that the line begins, or NULL */
	const char  *key;     /* without quotes; "" when section is not NULL */
	struct view  value;   /* to the end of the line, blanks at both ends cut, inline comment still in it */
};

struct ini {
	struct ini_line      *lines; /* owned */
	int                   count;
	struct config_memory *memory; /* what the lines point into; not owned */
	struct config_errors *errors; /* not owned */
	/* private */
	int  room, files, depth;
	bool may_include, is_stopped;
};

/* Read a file (or its text) and add its lines. What is wrong goes into errors, and reading goes on behind it. */
void ini_read_file(struct ini *ini, const char *file);
void ini_read_bytes(struct ini *ini, const char *name, struct view text);
void ini_free(struct ini *ini);

/* The value without an inline comment: a ';' behind a blank, or at the very start, outside of '...' and "..." */
struct view ini_cut_comment(struct view value);

struct ini_pair {
	struct view key, value;
	bool        is_quoted;
};

/*
 * The next key=value of an entry ("host=a dbname='b c'"). Quotes are taken off into memory. Blanks around '=' are as good.
 * 1: there is one; 0: the end; -1: it is not of that form, the reason is in *why.
 */
int ini_next_pair(struct view *rest, struct ini_pair *pair, struct config_memory *memory, struct text *why);

/* `name` as it is when it is absolute or there, else, when that is there, beside the file `from`; then in memory. */
const char *ini_locate(const char *name, const char *from, struct config_memory *memory);

/* The whole of a file, NUL-terminated in memory. False: errno says why; EFBIG when it is longer than max. */
bool ini_slurp(const char *file, size_t max, struct config_memory *memory, struct view *out);

#endif
