/*
 * tests/auth/test_scram.c - SCRAM on both sides: published and independently made exchanges, every deviation refused,
 * nobody told who exists, no password stretched twice.
 */
#include "auth/scram.h"

#include <stdio.h>
#include <stdlib.h>

#include "../suite.h"
#include "auth/base64.h"
#include "auth/method.h"
#include "auth/mock.h"
#include "postgres.h"

/* RFC 7677, 3: user "user", password "pencil". */
#define RFC_SALT         "\x5b\x6d\x99\x68\x9d\x12\x35\x8e\xec\xa0\x4b\x14\x12\x36\xfa\x81"
#define RFC_CLIENT_FIRST "n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
#define RFC_SERVER_NONCE "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
#define RFC_SERVER_FIRST "r=rOprNGfwEbeRWgbNEkqO" RFC_SERVER_NONCE ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
#define RFC_CLIENT_FINAL "c=biws,r=rOprNGfwEbeRWgbNEkqO" RFC_SERVER_NONCE ",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
#define RFC_SERVER_FINAL "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
#define RFC_SECRET                                                                                                     \
	"SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:"                     \
	"wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="

/* The same secret, as libpq words it (n= is empty); proofs made with Python's hashlib. */
#define NONCE        "fyko+d2lbbFgONRv9qkxdawL"
#define SERVER_NONCE "3rfcNHYJY1ZVvWVs7jAB"
#define SERVER_FIRST "r=" NONCE SERVER_NONCE ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"

/* Every input in memory of exactly its size, for the sanitizer. */
static enum scram_result
server_first(struct scram_server *s, struct view message, struct buf *out)
{
	uint8_t *copy = malloc(message.n ? message.n : 1);
	memcpy(copy, message.p, message.n);
	enum scram_result r = scram_server_first(s, view_of(copy, message.n), out);
	free(copy);
	return r;
}

static enum scram_result
server_final(struct scram_server *s, struct view message, struct buf *out)
{
	uint8_t *copy = malloc(message.n ? message.n : 1);
	memcpy(copy, message.p, message.n);
	enum scram_result r = scram_server_final(s, view_of(copy, message.n), out);
	free(copy);
	return r;
}

static void
rfc_server(struct scram_server *s, const struct scram_binding *binding)
{
	struct secret secret;
	ck_assert_int_eq(secret_parse(RFC_SECRET, &secret), SECRET_OK);
	scram_server_begin(s, &secret, "user", 4096, NULL, binding);
	secret_free(&secret);
	strcpy(s->nonce, RFC_SERVER_NONCE);
}

/* One exchange of RFC 7677 with these two messages of the client; the result of the last step taken. */
static enum scram_result
rfc_exchange(struct view first, struct view final, const struct scram_binding *binding)
{
	struct scram_server s;
	struct buf out = { 0 };
	rfc_server(&s, binding);
	enum scram_result r = server_first(&s, first, &out);
	if (r == SCRAM_OK) {
		buf_clear(&out);
		r = server_final(&s, final, &out);
	}
	ck_assert_int_eq(r == SCRAM_OK, out.n != 0);
	ck_assert_int_eq(s.step, r == SCRAM_OK ? SCRAM_STEP_DONE : SCRAM_STEP_FAILED);
	scram_server_fini(&s);
	buf_free(&out);
	return r;
}

static bool
secret_of(const char *password, struct secret *out)
{
	struct scram_keys k;
	*out = (struct secret){ .kind = SECRET_SCRAM, .scram = { .iterations = 10, .salt_bytes = 4, .salt = "salt" } };
	scram_keys_of_password(password, VIEW("salt"), 10, NULL, &k);
	memcpy(out->scram.stored_key, k.stored_key, DIGEST_BYTES);
	memcpy(out->scram.server_key, k.server_key, DIGEST_BYTES);
	return true;
}

/* Both sides against each other; keys of the server side in *keys. */
static enum scram_result
log_in(struct scram_client *c, struct scram_server *s, struct scram_cache *cache, struct scram_keys *keys)
{
	struct buf first = { 0 }, challenge = { 0 }, final = { 0 }, verdict = { 0 };
	enum scram_result r = scram_client_first(c, &first);
	if (r == SCRAM_OK)
		r = server_first(s, buf_view(&first), &challenge);
	if (r == SCRAM_OK)
		r = scram_client_final(c, buf_view(&challenge), cache, &final);
	if (r == SCRAM_OK)
		r = server_final(s, buf_view(&final), &verdict);
	if (r == SCRAM_OK)
		r = scram_client_verify(c, buf_view(&verdict));
	if (keys)
		*keys = s->keys;
	scram_client_fini(c);
	scram_server_fini(s);
	buf_free(&first);
	buf_free(&challenge);
	buf_free(&final);
	buf_free(&verdict);
	return r;
}

/* --- towards a client --------------------------------------------------------------------------------------- */

START_TEST(the_exchange_of_rfc_7677)
{
	struct scram_server s;
	struct buf out = { 0 };
	rfc_server(&s, NULL);
	ck_assert_int_eq(server_first(&s, VIEW(RFC_CLIENT_FIRST), &out), SCRAM_OK);
	ck_assert(view_is(buf_view(&out), RFC_SERVER_FIRST));
	buf_clear(&out);
	ck_assert_int_eq(server_final(&s, VIEW(RFC_CLIENT_FINAL), &out), SCRAM_OK);
	ck_assert(view_is(buf_view(&out), RFC_SERVER_FINAL));

	struct scram_keys keys;
	scram_keys_of_password("pencil", VIEW(RFC_SALT), 4096, NULL, &keys);
	ck_assert_mem_eq(s.keys.client_key, keys.client_key, DIGEST_BYTES); /* recovered from the proof */
	ck_assert_mem_eq(s.keys.stored_key, keys.stored_key, DIGEST_BYTES);
	ck_assert_mem_eq(s.keys.server_key, keys.server_key, DIGEST_BYTES);
	ck_assert(scram_keys_fit(&s.keys, VIEW(RFC_SALT), 4096));
	scram_server_fini(&s);
	buf_free(&out);
}
END_TEST

START_TEST(a_plain_secret_serves_as_well)
{
	struct secret plain;
	struct scram_client c;
	struct scram_server s;
	secret_parse("p\u00e4ssword", &plain);
	scram_client_begin_password(&c, "p\u00e4ssword", NULL);
	scram_server_begin(&s, &plain, "app", 4096, NULL, NULL);
	ck_assert_int_eq(log_in(&c, &s, NULL, NULL), SCRAM_OK);
	scram_client_begin_password(&c, "p\u00e4sswore", NULL);
	scram_server_begin(&s, &plain, "app", 4096, NULL, NULL);
	ck_assert_int_eq(log_in(&c, &s, NULL, NULL), SCRAM_WRONG_PASSWORD);
	secret_free(&plain);
}
END_TEST

START_TEST(every_flipped_bit_of_client_final_is_refused)
{
	struct view final = VIEW(RFC_CLIENT_FINAL);
	uint8_t copy[sizeof(RFC_CLIENT_FINAL)];
	memcpy(copy, final.p, final.n);
	ck_assert_int_eq(rfc_exchange(VIEW(RFC_CLIENT_FIRST), final, NULL), SCRAM_OK);
	for (size_t bit = 0; bit < 8 * final.n; bit++) {
		copy[bit / 8] ^= (uint8_t)(1 << bit % 8);
		ck_assert_msg(rfc_exchange(VIEW(RFC_CLIENT_FIRST), view_of(copy, final.n), NULL) != SCRAM_OK, "bit %zu", bit);
		copy[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
}
END_TEST

START_TEST(every_truncation_of_client_final_is_refused)
{
	for (size_t n = 0; n < sizeof(RFC_CLIENT_FINAL) - 1; n++)
		ck_assert_int_ne(rfc_exchange(VIEW(RFC_CLIENT_FIRST), view_part(VIEW(RFC_CLIENT_FINAL), 0, n), NULL), SCRAM_OK);
	ck_assert_int_eq(rfc_exchange(VIEW(RFC_CLIENT_FIRST), VIEW(RFC_CLIENT_FINAL "x"), NULL), SCRAM_BAD_MESSAGE);
	ck_assert_int_eq(rfc_exchange(VIEW(RFC_CLIENT_FIRST), VIEW(RFC_CLIENT_FINAL ","), NULL), SCRAM_BAD_MESSAGE);
	ck_assert_int_eq(rfc_exchange(VIEW(RFC_CLIENT_FIRST), VIEW(RFC_CLIENT_FINAL ",x=y"), NULL), SCRAM_BAD_MESSAGE);
	ck_assert_int_eq(rfc_exchange(VIEW(RFC_CLIENT_FIRST), view_of(RFC_CLIENT_FINAL, sizeof(RFC_CLIENT_FINAL)), NULL),
	                 SCRAM_BAD_MESSAGE);
}
END_TEST

START_TEST(no_flipped_bit_of_client_first_leads_to_a_login)
{
	struct view first = VIEW(RFC_CLIENT_FIRST);
	uint8_t copy[sizeof(RFC_CLIENT_FIRST)];
	memcpy(copy, first.p, first.n);
	for (size_t bit = 0; bit < 8 * first.n; bit++) {
		copy[bit / 8] ^= (uint8_t)(1 << bit % 8);
		ck_assert_int_ne(rfc_exchange(view_of(copy, first.n), VIEW(RFC_CLIENT_FINAL), NULL), SCRAM_OK);
		copy[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	for (size_t n = 0; n < first.n; n++)
		ck_assert_int_ne(rfc_exchange(view_part(first, 0, n), VIEW(RFC_CLIENT_FINAL), NULL), SCRAM_OK);
}
END_TEST

START_TEST(client_first_is_read_as_the_rfc_has_it)
{
	static const struct { const char *message; enum scram_result result; } cases[] = {
		{ "n,,n=,r=x", SCRAM_OK },
		{ "n,,n=a=2Cb,r=x", SCRAM_OK },
		{ "y,,n=,r=x", SCRAM_OK },
		{ "n,,n=,r=x,a=b,z=", SCRAM_OK }, /* optional extensions */
		{ "", SCRAM_BAD_MESSAGE },
		{ "n", SCRAM_BAD_MESSAGE },
		{ "n,", SCRAM_BAD_MESSAGE },
		{ "n,,", SCRAM_BAD_MESSAGE },
		{ ",,n=,r=x", SCRAM_BAD_MESSAGE },
		{ "N,,n=,r=x", SCRAM_BAD_MESSAGE },
		{ "x,,n=,r=x", SCRAM_BAD_MESSAGE },
		{ "nn,,n=,r=x", SCRAM_BAD_MESSAGE },
		{ "n,n=,r=x", SCRAM_BAD_MESSAGE },
		{ "n,a=admin,n=,r=x", SCRAM_UNSUPPORTED },
		{ "n,a=,n=,r=x", SCRAM_UNSUPPORTED },
		{ "n,b=admin,n=,r=x", SCRAM_BAD_MESSAGE },
		{ "n,a,n=,r=x", SCRAM_BAD_MESSAGE },
		{ "n,,m=ext,n=,r=x", SCRAM_UNSUPPORTED },
		{ "n,,n=,m=ext,r=x", SCRAM_UNSUPPORTED },
		{ "n,,r=x", SCRAM_BAD_MESSAGE },
		{ "n,,n=", SCRAM_BAD_MESSAGE },
		{ "n,,n=,r=", SCRAM_BAD_MESSAGE },
		{ "n,,n=,r=x y", SCRAM_BAD_MESSAGE },
		{ "n,,n=,r=x\x7f", SCRAM_BAD_MESSAGE },
		{ "n,,n=,r=\xc3\xa4", SCRAM_BAD_MESSAGE },
		{ "n,,n=,r=x,", SCRAM_BAD_MESSAGE },
		{ "n,,n=,r=x,1=b", SCRAM_BAD_MESSAGE },
		{ "n,,n=,r=x,ab", SCRAM_BAD_MESSAGE },
		{ "n,,n=a\tb,r=x", SCRAM_BAD_MESSAGE },
		{ "p=tls-server-end-point,,n=,r=x", SCRAM_BAD_MESSAGE }, /* -PLUS was not chosen */
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct scram_server s;
		struct buf out = { 0 };
		rfc_server(&s, NULL);
		enum scram_result r = server_first(&s, view_of_string(cases[i].message), &out);
		ck_assert_msg(r == cases[i].result, "\"%s\": %d", cases[i].message, r);
		ck_assert_int_eq(out.n != 0, r == SCRAM_OK);
		scram_server_fini(&s);
		buf_free(&out);
	}
}
END_TEST

START_TEST(client_final_is_read_as_the_rfc_has_it)
{
#define BEGIN "c=biws,r=rOprNGfwEbeRWgbNEkqO" RFC_SERVER_NONCE
#define PROOF ",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
	static const struct { const char *message; enum scram_result result; } cases[] = {
		{ BEGIN PROOF, SCRAM_OK },
		{ BEGIN ",x=y" PROOF, SCRAM_WRONG_PASSWORD }, /* an extension is allowed, and signed */
		{ BEGIN PROOF PROOF, SCRAM_BAD_MESSAGE },
		{ BEGIN, SCRAM_BAD_MESSAGE },
		{ BEGIN ",p=", SCRAM_BAD_MESSAGE },
		{ BEGIN ",p=AAAA", SCRAM_BAD_MESSAGE },
		{ BEGIN ",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVR=", SCRAM_BAD_MESSAGE }, /* bits left over */
		{ BEGIN ",p=AHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=", SCRAM_WRONG_PASSWORD },
		{ "c=biws,r=rOprNGfwEbeRWgbNEkqO" PROOF, SCRAM_BAD_MESSAGE }, /* the client's half alone */
		{ "c=biws,r=" RFC_SERVER_NONCE PROOF, SCRAM_BAD_MESSAGE },
		{ "c=biws,r=rOprNGfwEbeRWgbNEkqO" RFC_SERVER_NONCE "x" PROOF, SCRAM_BAD_MESSAGE },
		{ "c=biws" PROOF, SCRAM_BAD_MESSAGE },
		{ "r=rOprNGfwEbeRWgbNEkqO" RFC_SERVER_NONCE PROOF, SCRAM_BAD_MESSAGE },
		{ "c=eSws,r=rOprNGfwEbeRWgbNEkqO" RFC_SERVER_NONCE PROOF, SCRAM_BAD_BINDING }, /* y,, where n,, was said */
		{ "c=,r=rOprNGfwEbeRWgbNEkqO" RFC_SERVER_NONCE PROOF, SCRAM_BAD_BINDING },
		{ "m=x,c=biws,r=rOprNGfwEbeRWgbNEkqO" RFC_SERVER_NONCE PROOF, SCRAM_UNSUPPORTED },
		{ "", SCRAM_BAD_MESSAGE },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		ck_assert_msg(rfc_exchange(VIEW(RFC_CLIENT_FIRST), view_of_string(cases[i].message), NULL) == cases[i].result,
		              "case %zu", i);
}
END_TEST

START_TEST(messages_longer_than_postgresql_takes_are_refused)
{
	char text[SCRAM_MESSAGE_MAX + 2] = "n,,n=,r=";
	memset(text + 8, 'x', SCRAM_MESSAGE_MAX + 1 - 8);
	struct scram_server s;
	struct buf out = { 0 };
	rfc_server(&s, NULL);
	ck_assert_int_eq(server_first(&s, view_of(text, SCRAM_MESSAGE_MAX), &out), SCRAM_OK);
	ck_assert_int_eq(server_final(&s, view_of(text, SCRAM_MESSAGE_MAX + 1), &out), SCRAM_BAD_MESSAGE);
	scram_server_fini(&s);
	rfc_server(&s, NULL);
	ck_assert_int_eq(server_first(&s, view_of(text, SCRAM_MESSAGE_MAX + 1), &out), SCRAM_BAD_MESSAGE);
	scram_server_fini(&s);
	buf_free(&out);
}
END_TEST

START_TEST(steps_are_taken_once_and_in_order)
{
	struct scram_server s;
	struct buf out = { 0 };
	rfc_server(&s, NULL); /* final before first */
	ck_assert_int_eq(server_final(&s, VIEW(RFC_CLIENT_FINAL), &out), SCRAM_BAD_MESSAGE);
	ck_assert_int_eq(server_first(&s, VIEW(RFC_CLIENT_FIRST), &out), SCRAM_BAD_MESSAGE);
	scram_server_fini(&s);

	rfc_server(&s, NULL); /* first twice */
	ck_assert_int_eq(server_first(&s, VIEW(RFC_CLIENT_FIRST), &out), SCRAM_OK);
	ck_assert_int_eq(server_first(&s, VIEW(RFC_CLIENT_FIRST), &out), SCRAM_BAD_MESSAGE);
	ck_assert_int_eq(server_final(&s, VIEW(RFC_CLIENT_FINAL), &out), SCRAM_BAD_MESSAGE);
	scram_server_fini(&s);

	rfc_server(&s, NULL); /* final twice, and anything after the end */
	ck_assert_int_eq(server_first(&s, VIEW(RFC_CLIENT_FIRST), &out), SCRAM_OK);
	ck_assert_int_eq(server_final(&s, VIEW(RFC_CLIENT_FINAL), &out), SCRAM_OK);
	ck_assert_int_eq(server_final(&s, VIEW(RFC_CLIENT_FINAL), &out), SCRAM_BAD_MESSAGE);
	ck_assert_int_eq(server_first(&s, VIEW(RFC_CLIENT_FIRST), &out), SCRAM_BAD_MESSAGE);
	scram_server_fini(&s);

	rfc_server(&s, NULL); /* the right proof after a wrong one */
	ck_assert_int_eq(server_first(&s, VIEW(RFC_CLIENT_FIRST), &out), SCRAM_OK);
	ck_assert_int_eq(server_final(&s, VIEW(BEGIN ",p=AHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="), &out),
	                 SCRAM_WRONG_PASSWORD);
	ck_assert_int_eq(server_final(&s, VIEW(RFC_CLIENT_FINAL), &out), SCRAM_BAD_MESSAGE);
	static const uint8_t zero[DIGEST_BYTES];
	ck_assert_mem_eq(s.keys.client_key, zero, DIGEST_BYTES); /* nothing is left of the attempt */
	scram_server_fini(&s);
	buf_free(&out);
}
END_TEST

START_TEST(a_recorded_login_cannot_be_played_again)
{
	struct secret secret;
	struct scram_server s;
	struct buf out = { 0 };
	secret_parse(RFC_SECRET, &secret);
	scram_server_begin(&s, &secret, "user", 4096, NULL, NULL); /* with a nonce of its own */
	ck_assert_int_eq(server_first(&s, VIEW(RFC_CLIENT_FIRST), &out), SCRAM_OK);
	ck_assert_int_eq(server_final(&s, VIEW(RFC_CLIENT_FINAL), &out), SCRAM_BAD_MESSAGE);
	scram_server_fini(&s);
	secret_free(&secret);
	buf_free(&out);
}
END_TEST

/* --- channel binding ---------------------------------------------------------------------------------------- */

START_TEST(a_client_that_was_kept_from_channel_binding_is_refused)
{
	const struct scram_binding offered = { .is_possible = true };
	const struct scram_binding chosen = { .is_possible = true, .is_used = true };
	struct scram_server s;
	struct buf out = { 0 };
	static const struct { const char *flag; bool is_chosen; enum scram_result result; } cases[] = {
		{ "n,,n=,r=x", false, SCRAM_OK },
		{ "y,,n=,r=x", false, SCRAM_NO_BINDING },
		{ "p=tls-server-end-point,,n=,r=x", false, SCRAM_BAD_MESSAGE },
		{ "n,,n=,r=x", true, SCRAM_BAD_MESSAGE },
		{ "y,,n=,r=x", true, SCRAM_BAD_MESSAGE },
		{ "p=tls-server-end-point,,n=,r=x", true, SCRAM_OK },
		{ "p=tls-unique,,n=,r=x", true, SCRAM_UNSUPPORTED },
		{ "p=,,n=,r=x", true, SCRAM_BAD_MESSAGE },
		{ "p,,n=,r=x", true, SCRAM_BAD_MESSAGE },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		rfc_server(&s, cases[i].is_chosen ? &chosen : &offered);
		ck_assert_int_eq(server_first(&s, view_of_string(cases[i].flag), &out), cases[i].result);
		scram_server_fini(&s);
	}
	buf_free(&out);
}
END_TEST

/* Both sides with bindings of their own: the client's, the server's. */
static enum scram_result
bound_log_in(const struct scram_binding *client, const struct scram_binding *server)
{
	struct scram_client c;
	struct scram_server s;
	struct secret secret;
	secret_of("pencil", &secret);
	scram_client_begin_password(&c, "pencil", client);
	scram_server_begin(&s, &secret, "user", 10, NULL, server);
	return log_in(&c, &s, NULL, NULL);
}

START_TEST(channel_binding_holds_for_the_same_certificate_only)
{
	const struct scram_binding mine = { .is_possible = true, .is_used = true, .hash_bytes = 32, .hash = "certificate" };
	const struct scram_binding other = { .is_possible = true, .is_used = true, .hash_bytes = 32, .hash = "certifikate" };
	const struct scram_binding longer = { .is_possible = true, .is_used = true, .hash_bytes = 48, .hash = "certificate" };
	const struct scram_binding unused = { .is_possible = true };
	ck_assert_int_eq(bound_log_in(&mine, &mine), SCRAM_OK);
	ck_assert_int_eq(bound_log_in(&mine, &other), SCRAM_BAD_BINDING);
	ck_assert_int_eq(bound_log_in(&mine, &longer), SCRAM_BAD_BINDING);
	ck_assert_int_eq(bound_log_in(&mine, NULL), SCRAM_BAD_MESSAGE);
	ck_assert_int_eq(bound_log_in(NULL, &unused), SCRAM_OK);
	ck_assert_int_eq(bound_log_in(&unused, NULL), SCRAM_OK);      /* y,, to one that can't */
	ck_assert_int_eq(bound_log_in(&unused, &unused), SCRAM_NO_BINDING); /* y,, to one that can */
	ck_assert_int_eq(bound_log_in(NULL, NULL), SCRAM_OK);
}
END_TEST

/* --- towards a server --------------------------------------------------------------------------------------- */

static void
client_begin(struct scram_client *c, struct buf *out, const struct scram_binding *binding)
{
	scram_client_begin_password(c, "pencil", binding);
	strcpy(c->nonce, NONCE);
	ck_assert_int_eq(scram_client_first(c, out), SCRAM_OK);
}

START_TEST(the_client_says_what_an_independent_one_says)
{
	const struct scram_binding bound = { .is_possible = true, .is_used = true, .hash_bytes = 32,
		.hash = "\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f"
		        "\x10\x11\x12\x13\x14\x15\x16\x17\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f" };
	const struct scram_binding possible = { .is_possible = true };
	const struct { const struct scram_binding *binding; const char *first, *final, *verdict; } cases[] = {
		{ NULL, "n,,n=,r=" NONCE,
		  "c=biws,r=" NONCE SERVER_NONCE ",p=zj168OiymadUvdvrEIbFa1W4LGqPDCpBPmkXrIzqSRY=",
		  "v=uW1mH6v+lYFT7DI3nYreYmCRQ0gr547bkHLBAWrmzRU=" },
		{ &possible, "y,,n=,r=" NONCE,
		  "c=eSws,r=" NONCE SERVER_NONCE ",p=8pBodVYVBScI8V8EYHVhbRECDYtA7sJoc90gCAG4u/U=",
		  "v=nqXRPBVt6gdINdnYWj3TTbNS0VgaWd0CPv+ZFSGX5kg=" },
		{ &bound, "p=tls-server-end-point,,n=,r=" NONCE,
		  "c=cD10bHMtc2VydmVyLWVuZC1wb2ludCwsAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=,r=" NONCE SERVER_NONCE
		  ",p=A8G/2HDvb75lRHbh3LGk1XlvVOAr5tndbkpNvIS+WFg=",
		  "v=Kyyivy6R+Rxe0H/eprt5cwS/EmTfM+iDLIkOIy4ucRg=" },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct scram_client c;
		struct buf out = { 0 };
		client_begin(&c, &out, cases[i].binding);
		ck_assert(view_is(buf_view(&out), cases[i].first));
		buf_clear(&out);
		ck_assert_int_eq(scram_client_final(&c, VIEW(SERVER_FIRST), NULL, &out), SCRAM_OK);
		ck_assert(view_is(buf_view(&out), cases[i].final));
		ck_assert_ptr_null(c.password); /* not kept a moment longer */
		ck_assert_int_eq(scram_client_verify(&c, view_of_string(cases[i].verdict)), SCRAM_OK);
		scram_client_fini(&c);
		buf_free(&out);
	}
}
END_TEST

static enum scram_result
client_answers(struct view message)
{
	struct scram_client c;
	struct buf out = { 0 };
	uint8_t *copy = malloc(message.n ? message.n : 1);
	memcpy(copy, message.p, message.n);
	client_begin(&c, &out, NULL);
	buf_clear(&out);
	enum scram_result r = scram_client_final(&c, view_of(copy, message.n), NULL, &out);
	ck_assert_int_eq(out.n != 0, r == SCRAM_OK);
	scram_client_fini(&c);
	buf_free(&out);
	free(copy);
	return r;
}

START_TEST(server_first_is_read_as_the_rfc_has_it)
{
#define R "r=" NONCE SERVER_NONCE
	static const struct { const char *message; enum scram_result result; } cases[] = {
		{ R ",s=c2FsdA==,i=1", SCRAM_OK },
		{ R ",s=c2FsdA==,i=0001", SCRAM_OK },
		{ R ",s=c2FsdA==,i=1,x=y", SCRAM_OK },
		{ "", SCRAM_BAD_MESSAGE },
		{ R, SCRAM_BAD_MESSAGE },
		{ R ",s=c2FsdA==", SCRAM_BAD_MESSAGE },
		{ R ",i=1,s=c2FsdA==", SCRAM_BAD_MESSAGE },
		{ R ",s=,i=1", SCRAM_BAD_MESSAGE },
		{ R ",s=c2FsdA=,i=1", SCRAM_BAD_MESSAGE },
		{ R ",s=c2FsdB==,i=1", SCRAM_BAD_MESSAGE },
		{ R ",s=c2FsdA==,i=", SCRAM_BAD_MESSAGE },
		{ R ",s=c2FsdA==,i=0", SCRAM_BAD_MESSAGE },
		{ R ",s=c2FsdA==,i=-1", SCRAM_BAD_MESSAGE },
		{ R ",s=c2FsdA==,i=1x", SCRAM_BAD_MESSAGE },
		{ R ",s=c2FsdA==,i=1,", SCRAM_BAD_MESSAGE },
		{ R ",s=c2FsdA==,i=1,x", SCRAM_BAD_MESSAGE },
		{ R ",s=c2FsdA==,i=00000000001", SCRAM_BAD_MESSAGE },
		{ R ",s=c2FsdA==,i=2147483648", SCRAM_BAD_MESSAGE },
		{ R ",s=c2FsdA==,i=2147483647", SCRAM_TOO_COSTLY },
		{ R ",s=c2FsdA==,i=1000001", SCRAM_TOO_COSTLY },
		{ "m=x," R ",s=c2FsdA==,i=1", SCRAM_UNSUPPORTED },
		{ "r=" NONCE ",s=c2FsdA==,i=1", SCRAM_WRONG_SERVER }, /* added nothing */
		{ "r=fyko,s=c2FsdA==,i=1", SCRAM_WRONG_SERVER },
		{ "r=x" NONCE SERVER_NONCE ",s=c2FsdA==,i=1", SCRAM_WRONG_SERVER },
		{ "r=" NONCE " x,s=c2FsdA==,i=1", SCRAM_BAD_MESSAGE },
		{ "e=unknown-user", SCRAM_BAD_MESSAGE },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		enum scram_result r = client_answers(view_of_string(cases[i].message));
		ck_assert_msg(r == cases[i].result, "\"%s\": %d", cases[i].message, r);
	}
	/* a salt that is as long as can be, and longer */
	char text[300] = R ",s=";
	struct buf b = { 0 };
	for (size_t n = SCRAM_SALT_MAX; n <= SCRAM_SALT_MAX + 1; n++) {
		static const uint8_t salt[SCRAM_SALT_MAX + 1];
		buf_add(&b, view_of_string(text));
		base64_add(&b, view_of(salt, n));
		buf_add(&b, VIEW(",i=1"));
		ck_assert_int_eq(client_answers(buf_view(&b)), n == SCRAM_SALT_MAX ? SCRAM_OK : SCRAM_BAD_MESSAGE);
		buf_clear(&b);
	}
	for (size_t i = 0; i <= SCRAM_MESSAGE_MAX; i++)
		buf_add(&b, VIEW("x"));
	ck_assert_int_eq(client_answers(buf_view(&b)), SCRAM_BAD_MESSAGE);
	buf_free(&b);
}
END_TEST

START_TEST(every_truncation_of_server_first_is_refused_and_every_flipped_bit_changes_the_answer)
{
	static const char message[] = R ",s=c2FsdA==,i=1";
	uint8_t copy[sizeof(message)];
	struct scram_client c;
	struct buf right = { 0 }, out = { 0 };
	for (size_t n = 0; n < sizeof(message) - 1; n++)
		ck_assert_int_ne(client_answers(view_of(message, n)), SCRAM_OK);
	client_begin(&c, &right, NULL);
	buf_clear(&right);
	ck_assert_int_eq(scram_client_final(&c, VIEW(message), NULL, &right), SCRAM_OK);
	scram_client_fini(&c);
	memcpy(copy, message, sizeof(copy));
	for (size_t bit = 0; bit < 8 * (sizeof(message) - 1); bit++) {
		copy[bit / 8] ^= (uint8_t)(1 << bit % 8);
		client_begin(&c, &out, NULL);
		buf_clear(&out);
		if (scram_client_final(&c, view_of(copy, sizeof(message) - 1), NULL, &out) == SCRAM_OK)
			ck_assert(!view_equal(buf_view(&out), buf_view(&right)));
		scram_client_fini(&c);
		buf_clear(&out);
		copy[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	buf_free(&right);
	buf_free(&out);
}
END_TEST

START_TEST(a_server_that_does_not_know_the_password_is_found_out)
{
	static const char good[] = "v=uW1mH6v+lYFT7DI3nYreYmCRQ0gr547bkHLBAWrmzRU=";
	static const struct { const char *message; enum scram_result result; } cases[] = {
		{ good, SCRAM_OK },
		{ "v=uW1mH6v+lYFT7DI3nYreYmCRQ0gr547bkHLBAWrmzRU=,x=y", SCRAM_OK },
		{ "v=AW1mH6v+lYFT7DI3nYreYmCRQ0gr547bkHLBAWrmzRU=", SCRAM_WRONG_SERVER },
		{ "v=uW1mH6v+lYFT7DI3nYreYmCRQ0gr547bkHLBAWrmzRV=", SCRAM_BAD_MESSAGE },
		{ "v=AAAA", SCRAM_BAD_MESSAGE },
		{ "v=", SCRAM_BAD_MESSAGE },
		{ "", SCRAM_BAD_MESSAGE },
		{ "x=y", SCRAM_BAD_MESSAGE },
		{ "v=uW1mH6v+lYFT7DI3nYreYmCRQ0gr547bkHLBAWrmzRU=,", SCRAM_BAD_MESSAGE },
		{ "e=invalid-proof", SCRAM_WRONG_PASSWORD },
		{ "e=", SCRAM_BAD_MESSAGE },
	};
	struct buf out = { 0 };
	struct scram_client c;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		client_begin(&c, &out, NULL);
		ck_assert_int_eq(scram_client_final(&c, VIEW(SERVER_FIRST), NULL, &out), SCRAM_OK);
		ck_assert_int_eq(scram_client_verify(&c, view_of_string(cases[i].message)), cases[i].result);
		ck_assert_int_eq(scram_client_verify(&c, view_of_string(good)), SCRAM_BAD_MESSAGE); /* no second try */
		scram_client_fini(&c);
	}
	buf_free(&out);
}
END_TEST

START_TEST(every_flipped_bit_and_truncation_of_server_final_is_refused)
{
	static const char good[] = "v=uW1mH6v+lYFT7DI3nYreYmCRQ0gr547bkHLBAWrmzRU=";
	struct scram_cache *cache = scram_cache_new(1); /* or it takes 400 stretchings */
	struct buf out = { 0 };
	struct scram_client c;
	size_t n = sizeof(good) - 1;
	for (size_t i = 0; i < 9 * n; i++) {
		uint8_t *copy = malloc(n);
		memcpy(copy, good, n);
		if (i < 8 * n)
			copy[i / 8] ^= (uint8_t)(1 << i % 8);
		client_begin(&c, &out, NULL);
		ck_assert_int_eq(scram_client_final(&c, VIEW(SERVER_FIRST), cache, &out), SCRAM_OK);
		ck_assert_int_ne(scram_client_verify(&c, view_of(copy, i < 8 * n ? n : i - 8 * n)), SCRAM_OK);
		scram_client_fini(&c);
		free(copy);
	}
	buf_free(&out);
	ck_assert_uint_eq(scram_cache_stretched(cache), 1);
	scram_cache_free(cache);
}
END_TEST

START_TEST(the_clients_steps_are_taken_once_and_in_order)
{
	struct buf out = { 0 };
	struct scram_client c;
	scram_client_begin_password(&c, "pencil", NULL);
	ck_assert_int_eq(scram_client_final(&c, VIEW(SERVER_FIRST), NULL, &out), SCRAM_BAD_MESSAGE);
	ck_assert_int_eq(scram_client_first(&c, &out), SCRAM_BAD_MESSAGE);
	ck_assert_uint_eq(out.n, 0);
	scram_client_fini(&c);
	client_begin(&c, &out, NULL);
	ck_assert_int_eq(scram_client_verify(&c, VIEW("v=uW1mH6v+lYFT7DI3nYreYmCRQ0gr547bkHLBAWrmzRU=")), SCRAM_BAD_MESSAGE);
	scram_client_fini(&c);
	client_begin(&c, &out, NULL);
	ck_assert_int_eq(scram_client_final(&c, VIEW(SERVER_FIRST), NULL, &out), SCRAM_OK);
	ck_assert_int_eq(scram_client_final(&c, VIEW(SERVER_FIRST), NULL, &out), SCRAM_BAD_MESSAGE);
	ck_assert_int_eq(scram_client_first(&c, &out), SCRAM_BAD_MESSAGE);
	scram_client_fini(&c);
	buf_free(&out);
}
END_TEST

/* --- pass-through ------------------------------------------------------------------------------------------- */

START_TEST(keys_of_the_clients_own_login_open_the_server)
{
	struct secret secret;
	struct scram_client c;
	struct scram_server s;
	struct scram_keys keys;
	secret_of("pencil", &secret);
	scram_client_begin_password(&c, "pencil", NULL);
	scram_server_begin(&s, &secret, "user", 4096, NULL, NULL);
	ck_assert_int_eq(log_in(&c, &s, NULL, &keys), SCRAM_OK);
	for (int i = 0; i < 2; i++) { /* as often as needed */
		scram_client_begin_keys(&c, &keys, NULL);
		scram_server_begin(&s, &secret, "user", 4096, NULL, NULL);
		ck_assert_int_eq(log_in(&c, &s, NULL, NULL), SCRAM_OK);
	}
	ck_assert(scram_keys_fit(&keys, VIEW("salt"), 10));
	ck_assert(!scram_keys_fit(&keys, VIEW("salt"), 11));
	ck_assert(!scram_keys_fit(&keys, VIEW("sale"), 10));
	ck_assert(!scram_keys_fit(&keys, VIEW("salt "), 10));
	ck_assert(!scram_keys_fit(&(struct scram_keys){ .iterations = 0 }, VIEW(""), 0));
}
END_TEST

START_TEST(keys_are_not_shown_to_a_server_with_another_salt)
{
	struct secret secret, other;
	struct scram_client c;
	struct scram_server s;
	struct scram_keys keys;
	secret_of("pencil", &secret);
	scram_client_begin_password(&c, "pencil", NULL);
	scram_server_begin(&s, &secret, "user", 4096, NULL, NULL);
	ck_assert_int_eq(log_in(&c, &s, NULL, &keys), SCRAM_OK);
	secret_parse(RFC_SECRET, &other); /* the same password, salted otherwise */
	scram_client_begin_keys(&c, &keys, NULL);
	scram_server_begin(&s, &other, "user", 4096, NULL, NULL);
	ck_assert_int_eq(log_in(&c, &s, NULL, NULL), SCRAM_WRONG_SALT);
	secret_free(&other);
}
END_TEST

/* --- users who do not exist --------------------------------------------------------------------------------- */

/* The messages of an exchange that fails: their lengths, the salt, the result. */
struct seen {
	size_t            first_bytes;
	char              salt_and_iterations[200];
	enum scram_result result;
};

static struct seen
attempt(const struct secret *secret, const char *user)
{
	struct seen seen = { 0 };
	struct scram_server s;
	struct scram_client c;
	struct buf first = { 0 }, challenge = { 0 }, final = { 0 }, verdict = { 0 };
	scram_server_begin(&s, secret, user, 4096, NULL, NULL);
	scram_client_begin_password(&c, "wrong", NULL);
	scram_client_first(&c, &first);
	ck_assert_int_eq(scram_server_first(&s, buf_view(&first), &challenge), SCRAM_OK);
	ck_assert_int_eq(scram_client_final(&c, buf_view(&challenge), NULL, &final), SCRAM_OK);
	seen.first_bytes = challenge.n;
	snprintf(seen.salt_and_iterations, sizeof(seen.salt_and_iterations), "%.*s", (int)challenge.n - 50,
	         (const char *)challenge.p + 50);
	seen.result = scram_server_final(&s, buf_view(&final), &verdict);
	ck_assert_uint_eq(verdict.n, 0);
	scram_server_fini(&s);
	scram_client_fini(&c);
	buf_free(&first);
	buf_free(&challenge);
	buf_free(&final);
	buf_free(&verdict);
	return seen;
}

START_TEST(who_does_not_exist_looks_like_a_wrong_password)
{
	static const char *const texts[] = { "plain", MD5_USER_SECRET, "", APP_SCRAM };
	struct seen unknown = attempt(NULL, "nobody");
	ck_assert_int_eq(unknown.result, SCRAM_WRONG_PASSWORD);
	ck_assert_str_eq(attempt(NULL, "nobody").salt_and_iterations, unknown.salt_and_iterations); /* asked again */
	ck_assert_str_ne(attempt(NULL, "nobody2").salt_and_iterations, unknown.salt_and_iterations);
	for (size_t i = 0; i < 4; i++) {
		struct secret known, mock;
		secret_parse(texts[i], &known);
		mock_secret("nobody", &known, &mock);
		struct seen seen = attempt(&known, "app"), mocked = attempt(&mock, "nobody");
		ck_assert_int_eq(seen.result, SCRAM_WRONG_PASSWORD);
		ck_assert_int_eq(mocked.result, SCRAM_WRONG_PASSWORD);
		ck_assert_uint_eq(seen.first_bytes, mocked.first_bytes);
		ck_assert_uint_eq(seen.first_bytes, unknown.first_bytes);
		ck_assert_str_eq(seen.salt_and_iterations, attempt(&known, "app").salt_and_iterations);
		ck_assert_str_eq(mocked.salt_and_iterations, unknown.salt_and_iterations);
		secret_free(&known);
		secret_free(&mock);
	}
}
END_TEST

START_TEST(the_right_password_of_a_made_up_secret_is_still_wrong)
{
	struct secret secret;
	struct scram_client c;
	struct scram_server s;
	secret_of("pencil", &secret);
	secret.is_mock = true;
	scram_client_begin_password(&c, "pencil", NULL);
	scram_server_begin(&s, &secret, "user", 4096, NULL, NULL);
	ck_assert_int_eq(log_in(&c, &s, NULL, NULL), SCRAM_WRONG_PASSWORD);
	secret_parse("pencil", &secret);
	secret.is_mock = true;
	scram_client_begin_password(&c, "pencil", NULL);
	scram_server_begin(&s, &secret, "user", 4096, NULL, NULL);
	ck_assert_int_eq(log_in(&c, &s, NULL, NULL), SCRAM_WRONG_PASSWORD);
	secret_free(&secret);
}
END_TEST

/* --- stretching once ---------------------------------------------------------------------------------------- */

START_TEST(thousands_of_logins_stretch_once)
{
	struct scram_cache *cache = scram_cache_new(SCRAM_CACHE_ENTRIES);
	struct secret plain, scram;
	struct scram_client c;
	struct scram_server s;
	secret_parse("pencil", &plain);
	secret_parse(RFC_SECRET, &scram);
	for (int i = 0; i < 1000; i++) {
		scram_client_begin_password(&c, "pencil", NULL);
		scram_server_begin(&s, &plain, "user", 4096, cache, NULL);
		ck_assert_int_eq(log_in(&c, &s, cache, NULL), SCRAM_OK);
	}
	ck_assert_uint_eq(scram_cache_stretched(cache), 1); /* both sides share it */
	for (int i = 0; i < 1000; i++) {
		scram_client_begin_password(&c, "pencil", NULL);
		scram_server_begin(&s, &scram, "user", 4096, cache, NULL);
		ck_assert_int_eq(log_in(&c, &s, cache, NULL), SCRAM_OK);
	}
	ck_assert_uint_eq(scram_cache_stretched(cache), 2); /* the client's, for the other salt */
	ck_assert_uint_eq(scram_cache_count(cache), 2);
	secret_free(&plain);
	secret_free(&scram);
	scram_cache_free(cache);
}
END_TEST

START_TEST(unknown_users_never_stretch_nor_fill_the_cache)
{
	struct scram_cache *cache = scram_cache_new(10);
	struct secret mock;
	struct scram_server s;
	char name[20];
	for (int i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "nobody%d", i);
		mock_secret(name, NULL, &mock);
		scram_server_begin(&s, &mock, name, 4096, cache, NULL);
		scram_server_fini(&s);
		secret_free(&mock);
	}
	ck_assert_uint_eq(scram_cache_count(cache), 0);
	ck_assert_uint_eq(scram_cache_stretched(cache), 0);
	scram_cache_free(cache);
}
END_TEST

START_TEST(what_is_remembered_differs_by_password_salt_and_iterations)
{
	struct scram_cache *cache = scram_cache_new(100);
	struct scram_keys a, b;
	scram_keys_of_password("pencil", VIEW("salt"), 10, cache, &a);
	scram_keys_of_password("pencil", VIEW("salt"), 11, cache, &b);
	ck_assert_mem_ne(a.client_key, b.client_key, DIGEST_BYTES);
	scram_keys_of_password("pencil", VIEW("sal"), 10, cache, &b);
	ck_assert_mem_ne(a.client_key, b.client_key, DIGEST_BYTES);
	scram_keys_of_password("tpencil", VIEW("sal"), 10, cache, &b);
	ck_assert_mem_ne(a.client_key, b.client_key, DIGEST_BYTES);
	ck_assert_uint_eq(scram_cache_count(cache), 4);
	scram_keys_of_password("pencil", VIEW("salt"), 10, cache, &b);
	ck_assert_mem_eq(&a, &b, sizeof(a));
	ck_assert_uint_eq(scram_cache_stretched(cache), 4);
	scram_cache_free(cache);
}
END_TEST

START_TEST(the_cache_forgets_what_was_not_used_for_longest)
{
	struct scram_cache *cache = scram_cache_new(3);
	struct scram_keys k;
	static const char *const passwords[] = { "a", "b", "c", "a", "d", "a", "c", "d", "b" };
	/*                          stretched after it:  1    2    3    3    4    4    4    4    5 */
	static const unsigned stretched[] = { 1, 2, 3, 3, 4, 4, 4, 4, 5 };
	for (size_t i = 0; i < sizeof(passwords) / sizeof(passwords[0]); i++) {
		scram_keys_of_password(passwords[i], VIEW("salt"), 1, cache, &k);
		ck_assert_uint_eq(scram_cache_stretched(cache), stretched[i]);
		ck_assert_uint_le(scram_cache_count(cache), 3);
	}
	ck_assert(scram_cache_is_full(cache));
	scram_cache_add(cache, "b", &k); /* twice is once */
	ck_assert_uint_eq(scram_cache_count(cache), 3);
	scram_cache_free(cache);
	scram_cache_free(NULL);
}
END_TEST

START_TEST(a_cache_of_no_size_is_none)
{
	struct scram_cache *cache = scram_cache_new(0);
	struct scram_keys k;
	for (int i = 0; i < 3; i++)
		scram_keys_of_password("a", VIEW("salt"), 1, cache, &k);
	ck_assert_uint_eq(scram_cache_count(cache), 0);
	ck_assert_uint_eq(scram_cache_stretched(cache), 3);
	scram_cache_free(cache);
}
END_TEST

START_TEST(every_result_has_a_sentence)
{
	for (int r = SCRAM_OK; r <= SCRAM_WRONG_SERVER; r++)
		ck_assert_ptr_nonnull(scram_result_text((enum scram_result)r));
}
END_TEST

int
main(void)
{
	const TTest *const rules[] = {
		the_exchange_of_rfc_7677,
		a_plain_secret_serves_as_well,
		every_flipped_bit_of_client_final_is_refused,
		every_truncation_of_client_final_is_refused,
		no_flipped_bit_of_client_first_leads_to_a_login,
		client_first_is_read_as_the_rfc_has_it,
		client_final_is_read_as_the_rfc_has_it,
		messages_longer_than_postgresql_takes_are_refused,
		steps_are_taken_once_and_in_order,
		a_recorded_login_cannot_be_played_again,
		a_client_that_was_kept_from_channel_binding_is_refused,
		channel_binding_holds_for_the_same_certificate_only,
		the_client_says_what_an_independent_one_says,
		server_first_is_read_as_the_rfc_has_it,
		every_truncation_of_server_first_is_refused_and_every_flipped_bit_changes_the_answer,
		a_server_that_does_not_know_the_password_is_found_out,
		every_flipped_bit_and_truncation_of_server_final_is_refused,
		the_clients_steps_are_taken_once_and_in_order,
		keys_of_the_clients_own_login_open_the_server,
		keys_are_not_shown_to_a_server_with_another_salt,
		who_does_not_exist_looks_like_a_wrong_password,
		the_right_password_of_a_made_up_secret_is_still_wrong,
		thousands_of_logins_stretch_once,
		unknown_users_never_stretch_nor_fill_the_cache,
		what_is_remembered_differs_by_password_salt_and_iterations,
		the_cache_forgets_what_was_not_used_for_longest,
		a_cache_of_no_size_is_none,
		every_result_has_a_sentence,
	};
	return suite_run("auth/scram", rules, sizeof(rules) / sizeof(rules[0]));
}
