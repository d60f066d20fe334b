/*
 * base/heap.h - small allocations, whose failure ends the process with one line. What a peer can make large has a
 * ceiling in the settings and is asked for with buf_reserve(), which may say no.
 */
#ifndef BASE_HEAP_H
#define BASE_HEAP_H

#include <stddef.h>

void *heap_alloc(size_t size) __attribute__((malloc, returns_nonnull)); /* zeroed */
void *heap_resize(void *old, size_t size) __attribute__((returns_nonnull)); /* what was added is not zeroed */
char *heap_string(const char *s) __attribute__((returns_nonnull));          /* a copy; NULL gives "" */
char *heap_string_n(const void *p, size_t n) __attribute__((returns_nonnull)); /* a copy with a NUL behind it */
void  heap_free(void *p);
void  heap_erase_free(void *p, size_t n); /* for secrets: overwritten first */

#endif
