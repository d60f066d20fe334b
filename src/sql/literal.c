/* sql/literal.c - see the header. */
#include "sql/literal.h"

void
sql_add_literal(struct buf *sql, const char *value)
{
	buf_add(sql, VIEW("E'"));
	for (const char *s = value; *s; s++) {
		if (*s == '\'' || *s == '\\')
			buf_add_u8(sql, (uint8_t)*s);
		buf_add_u8(sql, (uint8_t)*s);
	}
	buf_add(sql, VIEW("'"));
}
