/* base/heap.c - small allocations that can't be answered with an error; see the header. */
#include "base/heap.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *
heap_check(void *p, size_t size)
{
	if (p == NULL) {
		fprintf(stderr, "pgsluice: out of memory asking for %zu bytes\n", size);
		abort();
	}
	return p;
}

void *
heap_alloc(size_t size)
{
	return heap_check(calloc(1, size ? size : 1), size);
}

void *
heap_resize(void *old, size_t size)
{
	return heap_check(realloc(old, size ? size : 1), size);
}

char *
heap_string(const char *s)
{
	return heap_string_n(s, s ? strlen(s) : 0);
}

char *
heap_string_n(const void *p, size_t n)
{
	char *copy = heap_check(malloc(n + 1), n + 1);
	if (n > 0)
		memcpy(copy, p, n);
	copy[n] = '\0';
	return copy;
}

void
heap_free(void *p)
{
	free(p);
}

void
heap_erase_free(void *p, size_t n)
{
	if (p == NULL)
		return;
	explicit_bzero(p, n);
	free(p);
}
