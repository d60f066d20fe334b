/*
 * auth/pattern.h - regular expressions in files of rules: written as for PostgreSQL, carried out by the C library.
 *
 * PostgreSQL's are "advanced" ones, the library's POSIX "extended" ones. What means the same in both is taken as it is;
 * \d, \s, \w and their opposites are rewritten; everything else that would mean something different is refused by name,
 * never read differently. Bytes, not characters: "." is one byte. Ceilings keep any pattern cheap to compile.
 * Source: PostgreSQL 16, 9.7.3 POSIX Regular Expressions; regex(7).
 */
#ifndef AUTH_PATTERN_H
#define AUTH_PATTERN_H

#include <stdbool.h>
#include <stddef.h>

#include "base/text.h"
#include "base/view.h"

#define PATTERN_BYTES_MAX  1000
#define PATTERN_REPEAT_MAX 255  /* in {n,m}, as PostgreSQL's */
#define PATTERN_WORK_MAX   5000 /* of all {n,m} multiplied */
#define PATTERN_USES_MAX   32   /* of one compilation */

/*
 * Compiled. The C library keeps what it works out during a match, and frees it never: for some patterns, each new name
 * adds hundreds of kilobytes, and names come from whoever knocks. So it is compiled anew after some uses.
 */
struct pattern;

struct pattern *pattern_new(const char *text, struct text *why); /* NULL: *why says what is wrong */
void pattern_free(struct pattern *p);                            /* NULL is fine */
bool pattern_has_group(const struct pattern *p);                 /* a first (...) */

/* group NULL: not wanted. Else it is what the first (...) stands for, within text; p NULL: it takes no part. */
bool pattern_fits(struct pattern *p, const char *text, struct view *group);

#endif
