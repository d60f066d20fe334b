/*
 * tests/fuzz/fuzz_scram_client.c - what a server sends when we log in to it by SCRAM.
 *
 * Input: a letter (p: we have the password, else the keys), server-first, a newline, server-final. The nonce stands
 * still, so that the corpus can hold a right exchange.
 * Shown for every input: keys are used for their own salt and iterations only; the server is believed only when it shows
 * the one right signature; after a failure nothing succeeds.
 */
#include <string.h>

#include "auth/base64.h"
#include "auth/scram.h"
#include "base/must.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define SALT "\x5b\x6d\x99\x68\x9d\x12\x35\x8e\xec\xa0\x4b\x14\x12\x36\xfa\x81"

static struct scram_cache *cache; /* so that the corpus stretches once */

/* Stretching many times is slow and shows nothing. */
static bool
has_many_digits(struct view v)
{
	size_t run = 0;
	for (size_t i = 0; i < v.n; i++) {
		run = v.p[i] >= '0' && v.p[i] <= '9' ? run + 1 : 0;
		if (run > 4)
			return true;
	}
	return false;
}

static void
finish(struct scram_client *c, struct view server_final)
{
	struct buf right = { 0 };

	buf_add(&right, VIEW("v="));
	base64_add(&right, view_of(c->server_signature, DIGEST_BYTES));
	if (scram_client_verify(c, server_final) == SCRAM_OK)
		must(server_final.n >= right.n && memcmp(server_final.p, right.p, right.n) == 0);
	must(scram_client_verify(c, buf_view(&right)) != SCRAM_OK);
	buf_free(&right);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct scram_keys keys;
	struct scram_client c;
	struct buf out = { 0 };

	if (size == 0)
		return 0;
	bool has_password = data[0] == 'p';
	struct view in = view_of(data + 1, size - 1);
	const uint8_t *newline = in.n ? memchr(in.p, '\n', in.n) : NULL;
	struct view first = newline ? view_part(in, 0, (size_t)(newline - in.p)) : in;
	if (has_password && has_many_digits(first))
		return 0;

	if (!cache)
		cache = scram_cache_new(16);
	scram_keys_of_password("pencil", VIEW(SALT), 4096, cache, &keys);
	if (has_password)
		scram_client_begin_password(&c, "pencil", NULL);
	else
		scram_client_begin_keys(&c, &keys, NULL);
	strcpy(c.nonce, "fyko+d2lbbFgONRv9qkxdawL");
	must(scram_client_first(&c, &out) == SCRAM_OK);
	buf_clear(&out);
	enum scram_result r = scram_client_final(&c, first, cache, &out);
	must((r == SCRAM_OK) == (out.n != 0));
	must(r != SCRAM_WRONG_SALT || !has_password);
	if (r == SCRAM_OK)
		finish(&c, view_from(in, first.n + 1));
	must(scram_client_final(&c, first, cache, &out) != SCRAM_OK);

	scram_client_fini(&c);
	buf_free(&out);
	return 0;
}
