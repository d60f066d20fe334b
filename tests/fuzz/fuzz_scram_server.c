/*
 * tests/fuzz/fuzz_scram_server.c - what a client sends to log in by SCRAM.
 *
 * Input: a letter (m: the user is made up, p: -PLUS was chosen, o: it was offered, else: a plain login), client-first, a
 * newline, client-final. The nonce stands still, so that the exchange of RFC 7677 in the corpus is a right one.
 * Shown for every input: an answer is given exactly when a step succeeds; a login succeeds only with the key behind the
 * secret; nobody gets in who does not exist; after a failure nothing succeeds.
 */
#include <string.h>

#include "auth/scram.h"
#include "base/must.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define SECRET                                                                                                         \
	"SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:"                     \
	"wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="

static struct scram_binding
binding_for(uint8_t letter)
{
	struct scram_binding b = { .is_possible = letter == 'p' || letter == 'o', .is_used = letter == 'p' };
	if (b.is_used)
		b.hash_bytes = 32;
	return b;
}

static void
finish(struct scram_server *s, struct view client_final, struct buf *out)
{
	uint8_t stored_key[DIGEST_BYTES];

	buf_clear(out);
	enum scram_result r = scram_server_final(s, client_final, out);
	must((r == SCRAM_OK) == (out->n != 0));
	if (r != SCRAM_OK)
		return;
	must(!s->is_mock && s->step == SCRAM_STEP_DONE);
	digest_of((struct view[]){ { s->keys.client_key, DIGEST_BYTES } }, 1, stored_key);
	must(memcmp(stored_key, s->secret.stored_key, DIGEST_BYTES) == 0);
	must(scram_keys_fit(&s->keys, view_of(s->secret.salt, s->secret.salt_bytes), 4096));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf out = { 0 };
	struct secret secret;
	struct scram_server s;

	if (size == 0)
		return 0;
	struct scram_binding binding = binding_for(data[0]);
	must(secret_parse(SECRET, &secret) == SECRET_OK);
	secret.is_mock = data[0] == 'm';
	scram_server_begin(&s, &secret, "user", 4096, NULL, &binding);
	strcpy(s.nonce, "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0");

	struct view in = view_of(data + 1, size - 1);
	const uint8_t *newline = in.n ? memchr(in.p, '\n', in.n) : NULL;
	struct view first = newline ? view_part(in, 0, (size_t)(newline - in.p)) : in;
	enum scram_result r = scram_server_first(&s, first, &out);
	must((r == SCRAM_OK) == (out.n != 0));
	if (r == SCRAM_OK)
		finish(&s, view_from(in, first.n + 1), &out);
	must(scram_server_first(&s, first, &out) != SCRAM_OK);
	must(scram_server_final(&s, view_from(in, first.n + 1), &out) != SCRAM_OK);

	scram_server_fini(&s);
	secret_free(&secret);
	buf_free(&out);
	return 0;
}
