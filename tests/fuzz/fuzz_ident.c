/*
 * tests/fuzz/fuzz_ident.c - auth_ident_file, and the search in it.
 *
 * Input: two names that end in zero bytes (as the system and as the client says), the text.
 * Shown for every input: there is a message exactly when there are no maps; without a map equal names are allowed and no
 * others; a map that is not there allows nobody.
 */
#include <string.h>

#include "auth/ident.h"
#include "base/must.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Cut it from the front of *in. */
static void
take_name(struct view *in, char *out, size_t room)
{
	const uint8_t *end = in->n ? memchr(in->p, 0, in->n) : NULL;
	size_t n = end ? (size_t)(end - in->p) : 0;
	*in = view_from(*in, n + (end != NULL));
	n = n < room ? n : room - 1;
	if (n)
		memcpy(out, end - n, n);
	out[n] = '\0';
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char why_text[4096], system_user[128], user[128];
	struct text why = TEXT_IN(why_text);
	struct view in = view_of(data, size);
	take_name(&in, system_user, sizeof(system_user));
	take_name(&in, user, sizeof(user));
	struct ident *i = ident_parse(in, "x", &why);
	must((i != NULL) == (why_text[0] == 0));
	must(ident_allows(i, NULL, system_user, user) == (strcmp(system_user, user) == 0));
	must(ident_has(i, "m") || !ident_allows(i, "m", system_user, user));
	ident_free(i);
	return 0;
}
