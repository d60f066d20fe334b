/* base/library.c - see the header. */
#include "base/library.h"

#include <dlfcn.h>

bool
library_load(const char *file, const char *purpose, const struct library_symbol *symbols, size_t count, void *api,
             struct text *why)
{
	void *library = dlopen(file, RTLD_NOW | RTLD_LOCAL);
	if (library == NULL) {
		text_addf(why, "%s, which can't be loaded: %s", purpose, dlerror());
		return false;
	}
	for (size_t i = 0; i < count; i++) {
		void *symbol = dlsym(library, symbols[i].name);
		if (symbol == NULL) {
			text_addf(why, "%s, but %s has no %s", purpose, file, symbols[i].name);
			return false;
		}
		*(void **)(void *)((char *)api + symbols[i].at) = symbol;
	}
	return true;
}
