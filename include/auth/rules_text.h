/*
 * auth/rules_text.h - files of rules cut into lines, fields and words: what pg_hba.conf and pg_ident.conf have in common.
 *
 * A line is fields parted by blanks; a field is words parted by commas; "..." keeps blanks, commas and # in a word, and ""
 * in it is one quote. # begins a comment. A backslash at the end joins the next line, also in quotes and comments.
 * "@file" as a word stands for all words of that file; lines "include FILE", "include_if_exists FILE" and "include_dir
 * DIRECTORY" (its *.conf, in order of names) stand for all lines of those. Names are relative to the file they are in.
 *
 * Owns: everything below the struct; who makes something of it keeps it and points into it.
 * Source: PostgreSQL 16, 21.1 The pg_hba.conf File; where it is vague, its hba.c. Other than there, a quote that is not
 * closed in its line, a zero byte, an empty @file and a file that includes itself are mistakes.
 */
#ifndef AUTH_RULES_TEXT_H
#define AUTH_RULES_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "auth/pattern.h"
#include "base/text.h"
#include "base/view.h"

#define RULES_FILE_MAX  ((size_t)1 << 20) /* bytes of one file */
#define RULES_BYTES_MAX ((size_t)8 << 20) /* of all that are included, as often as they are */
#define RULES_FILES_MAX 1000              /* in all, as often as they are */
#define RULES_DEPTH_MAX 10                /* files within files, as in PostgreSQL */
#define RULES_WORD_MAX  1023              /* bytes */

struct rules_word {
	char   *text;
	struct pattern *pattern; /* NULL: none; rules_word_compile() */
	bool    is_quoted; /* begins with a quote: no keyword, no @, no + */
};

struct rules_field {
	struct rules_word *words; /* one at least */
	size_t             count;
};

struct rules_line {
	const char         *file; /* good as long as the struct rules_text */
	size_t              number; /* of its first line, when it goes on in others */
	struct rules_field *fields; /* one at least */
	size_t              count;
};

struct rules_text {
	struct rules_line *lines;
	size_t             count, room;
	char             **files;
	size_t             file_count;
};

/* Mistakes, a line each: "FILE:LINE: what; what to do" (LINE 0: without). After 20 only that there are more. */
struct rules_mistakes {
	struct text *why;
	size_t       count;
};

void rules_mistake(struct rules_mistakes *m, const char *file, size_t line, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
/* The same for a line, and false. */
bool rules_mistake_at(struct rules_mistakes *m, const struct rules_line *l, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/*
 * Read a file, or a text that is called `origin`, with all that it includes, into *out, which is not read and which the
 * caller will rules_text_free(). False: mistakes were added; what is right was read nevertheless, for the rest of them.
 */
bool rules_text_load(const char *path, struct rules_text *out, struct rules_mistakes *m);
bool rules_text_parse(struct view text, const char *origin, struct rules_text *out, struct rules_mistakes *m);
void rules_text_free(struct rules_text *t);

/* Is it this keyword, and not a name in quotes? */
bool rules_word_is(const struct rules_word *w, const char *keyword);

/* A word that begins with / is a regular expression (auth/pattern.h). False: it is a wrong one, and a mistake was added. */
bool rules_word_compile(struct rules_word *w, const struct rules_line *line, struct rules_mistakes *m);

#endif
