/* src/sql/builtins.h - names of pg_catalog behind which nothing but reading is. Made by contrib/sql-builtins. */
#ifndef SQL_BUILTINS_H
#define SQL_BUILTINS_H

#include <stddef.h>

extern const char *const sql_functions[], *const sql_operators[], *const sql_types[];
extern const size_t sql_functions_count, sql_operators_count, sql_types_count;

#endif
