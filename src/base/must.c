/* base/must.c - the last words of a process that found itself wrong. */
#include "base/must.h"

#include <stdio.h>
#include <stdlib.h>

void
must_failed(const char *condition, const char *file, int line, const char *function)
{
	fprintf(stderr, "pgsluice: this must hold but does not: %s (%s:%d, %s)\n", condition, file, line, function);
	abort();
}
