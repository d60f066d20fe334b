/*
 * base/library.h - a shared library that is loaded when it is first needed, by those who need it: it costs the others no
 * memory. Source: dlopen(3).
 */
#ifndef BASE_LIBRARY_H
#define BASE_LIBRARY_H

#include <stdbool.h>
#include <stddef.h>

#include "base/text.h"

struct library_symbol {
	const char *name;
	size_t      at; /* of the pointer to it, in the struct of all of them */
};

/*
 * Load the library, for good, and fill in the pointers of *api. False: *why has `purpose` ("Patroni is asked through
 * libcurl") and what is missing.
 */
bool library_load(const char *file, const char *purpose, const struct library_symbol *symbols, size_t count, void *api,
                  struct text *why);

#endif
