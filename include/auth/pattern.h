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

#include <regex.h>
#include <stdbool.h>

#include "base/text.h"

#define PATTERN_BYTES_MAX  1000
#define PATTERN_REPEAT_MAX 255  /* in {n,m}, as PostgreSQL's */
#define PATTERN_WORK_MAX   5000 /* of all {n,m} multiplied */

/* False: *why says what is wrong, and there is nothing to free; otherwise regfree(out). */
bool pattern_compile(const char *pattern, regex_t *out, struct text *why);

#endif
