/*
 * tests/fuzz/fuzz_users.c - auth_file and auth_users, and the secrets in them.
 *
 * Input: a letter (i: as auth_users, else as auth_file), the text.
 * Shown for every input: users come out sorted, each once, and are found; written again and read again they are the same;
 * there is a message exactly when there is no snapshot.
 */
#include <string.h>

#include "auth/users.h"
#include "base/must.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
add_quoted(struct buf *b, const char *s)
{
	buf_add(b, VIEW("\""));
	for (; *s; s++) {
		if (*s == '"')
			buf_add_u8(b, '"');
		buf_add_u8(b, (uint8_t)*s);
	}
	buf_add(b, VIEW("\" "));
}

static void
add_user(struct buf *b, const struct user_secret *u)
{
	struct buf scram = { 0 };

	if (u->secret.kind == SECRET_SCRAM) {
		scram_secret_add_text(&scram, &u->secret.scram);
		buf_add_u8(&scram, 0);
	}
	add_quoted(b, u->name);
	add_quoted(b, scram.n ? (const char *)scram.p : u->secret.text ? u->secret.text : "");
	buf_add(b, VIEW("\n"));
	buf_free(&scram);
}

static void
are_the_same(const struct users *a, const struct users *b)
{
	must(users_count(a) == users_count(b));
	for (size_t i = 0; i < users_count(a); i++) {
		const struct user_secret *x = users_at(a, i), *y = users_at(b, i);
		must(i == 0 || strcmp(users_at(a, i - 1)->name, x->name) < 0);
		must(users_find(a, x->name) == x && *x->name && strlen(x->name) <= USERS_NAME_MAX);
		must(strcmp(x->name, y->name) == 0 && x->secret.kind == y->secret.kind);
		must((x->secret.text == NULL) == (y->secret.text == NULL));
		must(!x->secret.text || strcmp(x->secret.text, y->secret.text) == 0);
		must(memcmp(&x->secret.scram, &y->secret.scram, sizeof(x->secret.scram)) == 0);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char why_text[400];
	struct text why = TEXT_IN(why_text);
	struct users *users, *again;
	struct buf written = { 0 };

	if (size == 0)
		return 0;
	enum users_result r = users_parse(view_of(data + 1, size - 1), "x", data[0] == 'i', &users, &why);
	must((r == USERS_OK) == (users != NULL) && (r == USERS_OK) == (why_text[0] == 0));
	if (r != USERS_OK)
		return 0;
	for (size_t i = 0; i < users_count(users); i++)
		add_user(&written, users_at(users, i));
	must(users_parse(buf_view(&written), "x", false, &again, &why) == USERS_OK);
	are_the_same(users, again);
	users_free(users);
	users_free(again);
	buf_free(&written);
	return 0;
}
