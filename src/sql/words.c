/* src/sql/words.c - the words that tell something of a session; see words.h. */
#include "words.h"

bool
word_begins_with(const uint8_t *p, size_t n, const char *other)
{
	size_t i = 0;
	while (i < n && other[i] && (p[i] | 0x20) == (other[i] | 0x20))
		i++;
	return !other[i];
}

/* PostgreSQL's own names, and those of extensions. */
static enum word_kind
name_kind(const uint8_t *p, size_t n)
{
	static const char *const names[] = { "pg_temp", "pg_notify", "pg_prepared_statement", "pg_listening_channels",
	                                     "pg_replication_origin_", "pg_backend_pid",
	                                     "pg_terminate_backend", "pg_cancel_backend", "dblink_" };
	static const char *const locks[] = { "pg_advisory_", "pg_try_advisory_" };

	if (n < 7 || (p[2] != '_' && (p[0] | 0x20) != 'd'))
		return WORD_ANY;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (word_begins_with(p, n, names[i]))
			return WORD_ALWAYS;
	for (size_t i = 0; i < sizeof(locks) / sizeof(locks[0]); i++) {
		size_t length = strlen(locks[i]);
		if (word_begins_with(p, n, locks[i]) && !word_begins_with(p + length, n - length, "xact_"))
			return WORD_ALWAYS;
	}
	return WORD_ANY;
}

/* EXECUTE and DECLARE may follow EXPLAIN, EXECUTE also CREATE TABLE AS, NOTIFY a rule's DO, and any statement BEGIN ATOMIC. */
enum word_kind
word_kind(const struct word *w)
{
#define IS(literal) IS_WORD(*w, literal)
	switch (w->n) {
	case 1:
		return WORD_ANY;
	case 2:
		return IS("do") ? WORD_FIRST : WORD_ANY;
	case 3:
		return IS("set") ? WORD_SET : WORD_ANY;
	case 4:
		if (IS("null") || IS("true"))
			return WORD_CONSTANT;
		return IS("temp") ? WORD_ALWAYS : IS("load") || IS("call") ? WORD_FIRST : WORD_ANY;
	case 5:
		return IS("reset") ? WORD_SET : IS("close") ? WORD_FIRST : IS("false") ? WORD_CONSTANT : WORD_ANY;
	case 6:
		return IS("notify") || IS("atomic") || IS("dblink") ? WORD_ALWAYS : IS("listen") ? WORD_FIRST : WORD_ANY;
	case 7:
		if (IS("execute") || IS("declare") || IS("lastval") || IS("currval") || IS("setseed"))
			return WORD_ALWAYS;
		if (IS("prepare") || IS("discard"))
			return WORD_FIRST;
		if (IS("routine"))
			return WORD_ROUTINE;
		break;
	case 8:
		if (IS("unlisten"))
			return WORD_FIRST;
		if (IS("function"))
			return WORD_ROUTINE;
		break;
	case 9:
		if (IS("temporary"))
			return WORD_ALWAYS;
		if (IS("procedure"))
			return WORD_ROUTINE;
		break;
	case 10:
		if (IS("set_config"))
			return WORD_ALWAYS;
		if (IS("deallocate"))
			return WORD_FIRST;
		break;
	}
#undef IS
	return name_kind(w->p, w->n);
}

/* The first letters of the words of each length that word_kind() knows; of longer ones those of pg_ and dblink_. */
#define IN(letter) (1u << ((letter) & 31))
const uint32_t word_first_letters[WORD_LENGTHS] = {
	[2] = IN('d'),
	[3] = IN('s'),
	[4] = IN('n') | IN('t') | IN('l') | IN('c'),
	[5] = IN('r') | IN('c') | IN('f'),
	[6] = IN('n') | IN('a') | IN('d') | IN('l'),
	[7] = IN('e') | IN('d') | IN('l') | IN('c') | IN('s') | IN('p') | IN('r'),
	[8] = IN('u') | IN('f') | IN('p') | IN('d'),
	[9] = IN('t') | IN('p') | IN('d'),
	[10] = IN('s') | IN('d') | IN('p'),
	[11 ... 15] = IN('p') | IN('d'),
};
#undef IN
