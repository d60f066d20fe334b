/* sql/literal.h - strings as PostgreSQL reads them. */
#ifndef SQL_LITERAL_H
#define SQL_LITERAL_H

#include "base/buf.h"

/* E'...': it means the same whatever standard_conforming_strings is. */
void sql_add_literal(struct buf *sql, const char *value);

#endif
