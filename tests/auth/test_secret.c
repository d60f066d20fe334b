/* tests/auth/test_secret.c - which text is which kind of secret; what a made-up one looks like. */
#include "auth/secret.h"

#include <stdio.h>
#include <stdlib.h>

#include "../suite.h"
#include "auth/md5.h"
#include "auth/mock.h"
#include "auth/scram.h"
#include "postgres.h"

static enum secret_kind
kind_of(const char *text)
{
	struct secret s;
	secret_parse(text, &s);
	enum secret_kind kind = s.kind;
	secret_free(&s);
	ck_assert_ptr_null(s.text);
	return kind;
}

START_TEST(text_is_recognised_as_postgresql_does)
{
	static const struct { const char *text; enum secret_kind kind; } cases[] = {
		{ NULL, SECRET_NONE },
		{ "", SECRET_NONE },
		{ "secret", SECRET_PLAIN },
		{ MD5_USER_SECRET, SECRET_MD5 },
		{ "md52EFA1ED3B956200E6C79A74469EBAC07", SECRET_PLAIN }, /* upper case is not what PostgreSQL makes */
		{ "md52efa1ed3b956200e6c79a74469ebac0", SECRET_PLAIN },
		{ "md52efa1ed3b956200e6c79a74469ebac077", SECRET_PLAIN },
		{ "md52efa1ed3b956200e6c79a74469ebac0g", SECRET_PLAIN },
		{ "md5", SECRET_PLAIN },
		{ APP_SCRAM, SECRET_SCRAM },
		{ "scram-sha-256$4096:", SECRET_PLAIN },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		ck_assert_int_eq(kind_of(cases[i].text), cases[i].kind);
}
END_TEST

START_TEST(a_scram_secret_is_read_and_written_whole)
{
	struct buf text = { 0 };
	struct secret s, copy;
	ck_assert_int_eq(secret_parse(APP_SCRAM, &s), SECRET_OK);
	ck_assert_uint_eq(s.scram.iterations, 4096);
	ck_assert_uint_eq(s.scram.salt_bytes, 16);
	ck_assert_int_eq(s.scram.salt[0], 0x39);
	scram_secret_add_text(&text, &s.scram);
	ck_assert(view_is(buf_view(&text), APP_SCRAM));
	secret_copy(&s, &copy);
	ck_assert_mem_eq(&copy, &s, sizeof(s));
	secret_free(&s);
	secret_free(&copy);
	buf_free(&text);
}
END_TEST

START_TEST(a_broken_scram_secret_is_said_to_be_one)
{
	static const char *const bad[] = {
		"SCRAM-SHA-256$", "SCRAM-SHA-256$4096", "SCRAM-SHA-256$4096:AAAA", "SCRAM-SHA-256$4096:AAAA$AAAA:AAAA",
		"SCRAM-SHA-256$0:OedL5+DvBFZlS8gmH3981Q==$0SudntAZVBO7TWUQ7MeZ8ivRRM5gl5/JZhW2K005YlA=:051kfFfnEmJyp1et/cWawanoLq+RTMscE03P91VS5Oo=",
		"SCRAM-SHA-256$2147483648:OedL5+DvBFZlS8gmH3981Q==$0SudntAZVBO7TWUQ7MeZ8ivRRM5gl5/JZhW2K005YlA=:051kfFfnEmJyp1et/cWawanoLq+RTMscE03P91VS5Oo=",
		"SCRAM-SHA-256$+4096:OedL5+DvBFZlS8gmH3981Q==$0SudntAZVBO7TWUQ7MeZ8ivRRM5gl5/JZhW2K005YlA=:051kfFfnEmJyp1et/cWawanoLq+RTMscE03P91VS5Oo=",
		"SCRAM-SHA-256$:OedL5+DvBFZlS8gmH3981Q==$0SudntAZVBO7TWUQ7MeZ8ivRRM5gl5/JZhW2K005YlA=:051kfFfnEmJyp1et/cWawanoLq+RTMscE03P91VS5Oo=",
		"SCRAM-SHA-256$4096:$0SudntAZVBO7TWUQ7MeZ8ivRRM5gl5/JZhW2K005YlA=:051kfFfnEmJyp1et/cWawanoLq+RTMscE03P91VS5Oo=",
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct secret s;
		ck_assert_int_eq(secret_parse(bad[i], &s), SECRET_BROKEN_SCRAM);
		ck_assert_int_eq(s.kind, SECRET_PLAIN);
		ck_assert_str_eq(s.text, bad[i]);
		secret_free(&s);
	}
}
END_TEST

START_TEST(a_scram_secret_cut_anywhere_or_followed_by_more_is_none)
{
	char text[] = APP_SCRAM;
	for (size_t n = sizeof(text) - 2; n > 0; n--) {
		text[n] = 0;
		ck_assert_int_eq(kind_of(text), SECRET_PLAIN);
	}
	ck_assert_int_eq(kind_of(APP_SCRAM " "), SECRET_PLAIN);
}
END_TEST

START_TEST(every_flipped_bit_of_a_scram_secret_makes_another_or_none)
{
	char text[sizeof(APP_SCRAM)] = APP_SCRAM;
	struct secret s, first;
	secret_parse(APP_SCRAM, &first);
	for (size_t bit = 0; bit < 8 * (sizeof(text) - 1); bit++) {
		text[bit / 8] = (char)(text[bit / 8] ^ (1 << bit % 8));
		secret_parse(text, &s);
		ck_assert(s.kind != SECRET_SCRAM || memcmp(&s.scram, &first.scram, sizeof(s.scram)) != 0);
		secret_free(&s);
		text[bit / 8] = (char)(text[bit / 8] ^ (1 << bit % 8));
	}
	secret_free(&first);
}
END_TEST

START_TEST(a_secret_has_a_longest_length)
{
	char *text = calloc(1, SECRET_TEXT_MAX + 2);
	struct secret s;
	memset(text, 'x', SECRET_TEXT_MAX);
	ck_assert_int_eq(secret_parse(text, &s), SECRET_OK);
	secret_free(&s);
	text[SECRET_TEXT_MAX] = 'x';
	ck_assert_int_eq(secret_parse(text, &s), SECRET_TOO_LONG);
	ck_assert_int_eq(s.kind, SECRET_NONE);
	free(text);
}
END_TEST

START_TEST(the_kinds_have_names)
{
	ck_assert_str_eq(secret_kind_name(SECRET_NONE), "none");
	ck_assert_str_eq(secret_kind_name(SECRET_PLAIN), "plain");
	ck_assert_str_eq(secret_kind_name(SECRET_MD5), "md5");
	ck_assert_str_eq(secret_kind_name(SECRET_SCRAM), "scram");
}
END_TEST

START_TEST(passwords_give_the_keys_postgresql_made_of_them)
{
	for (size_t i = 0; i < sizeof(postgres_secrets) / sizeof(postgres_secrets[0]); i++) {
		const struct postgres_secret *p = &postgres_secrets[i];
		struct scram_keys keys;
		struct secret s;
		ck_assert_int_eq(secret_parse(p->secret, &s), SECRET_OK);
		scram_keys_of_password(p->password, view_of(s.scram.salt, s.scram.salt_bytes), s.scram.iterations, NULL,
		                       &keys);
		bool is_equal = digest_equal(keys.stored_key, s.scram.stored_key, DIGEST_BYTES) &&
		                digest_equal(keys.server_key, s.scram.server_key, DIGEST_BYTES);
		ck_assert_msg(is_equal, "password %zu: %s", i, p->password);
		secret_free(&s);
	}
}
END_TEST

START_TEST(what_is_not_utf_8_is_taken_as_it_is)
{
	static const char *const raw[] = { "\xff\xfe", "a\xc3", "\xe4pfel", "\xed\xa0\x80" };
	for (size_t i = 0; i < sizeof(raw) / sizeof(raw[0]); i++) {
		struct buf b = { 0 };
		secret_normalise(raw[i], &b);
		ck_assert(view_is(buf_view(&b), raw[i]));
		buf_free(&b);
	}
}
END_TEST

START_TEST(a_very_long_password_is_taken_as_it_is)
{
	char text[6001] = "";
	struct buf b = { 0 };
	for (size_t i = 0; i < 2000; i++)
		memcpy(text + 3 * i, "\xef\xac\x83", 4);
	secret_normalise(text, &b);
	ck_assert(view_is(buf_view(&b), text));
	buf_free(&b);
}
END_TEST

/* --- users who do not exist --------------------------------------------------------------------------------- */

START_TEST(a_made_up_secret_looks_like_the_one_it_is_shaped_after)
{
	static const char *const likes[] = { "", "plain", MD5_USER_SECRET, APP_SCRAM };
	for (size_t i = 0; i < sizeof(likes) / sizeof(likes[0]); i++) {
		struct secret like, mock, again, other;
		secret_parse(likes[i], &like);
		mock_secret("nobody", &like, &mock);
		mock_secret("nobody", &like, &again);
		mock_secret("nobody2", &like, &other);
		ck_assert(mock.is_mock && !like.is_mock);
		ck_assert_int_eq(mock.kind, like.kind);
		if (mock.text) {
			ck_assert_str_eq(mock.text, again.text);
			ck_assert_str_ne(mock.text, other.text);
			ck_assert_int_eq(kind_of(mock.text), like.kind);
		}
		ck_assert_mem_eq(&mock.scram, &again.scram, sizeof(mock.scram));
		if (like.kind == SECRET_SCRAM) {
			ck_assert_uint_eq(mock.scram.iterations, like.scram.iterations);
			ck_assert_uint_eq(mock.scram.salt_bytes, like.scram.salt_bytes);
			ck_assert_mem_ne(mock.scram.salt, other.scram.salt, mock.scram.salt_bytes);
			ck_assert_mem_ne(mock.scram.salt, like.scram.salt, mock.scram.salt_bytes);
			ck_assert_mem_ne(mock.scram.stored_key, mock.scram.server_key, DIGEST_BYTES);
		}
		secret_free(&like);
		secret_free(&mock);
		secret_free(&again);
		secret_free(&other);
	}
	struct secret plain;
	mock_secret("nobody", NULL, &plain);
	ck_assert_int_eq(plain.kind, SECRET_PLAIN);
	secret_free(&plain);
}
END_TEST

START_TEST(salts_belong_to_the_user_and_to_the_key_of_the_process)
{
	uint8_t a[SCRAM_SALT_MAX], b[SCRAM_SALT_MAX], key[DIGEST_BYTES] = { 1 };
	mock_salt("app", a, sizeof(a));
	mock_salt("app", b, sizeof(b));
	ck_assert_mem_eq(a, b, sizeof(a));
	ck_assert_mem_ne(a, a + DIGEST_BYTES, DIGEST_BYTES);
	mock_salt("app", b, 5); /* a shorter one is the beginning of a longer */
	ck_assert_mem_eq(a, b, sizeof(a));
	ck_assert_uint_eq(mock_number("app"), mock_number("app"));
	ck_assert_uint_ne(mock_number("app"), mock_number("bpp"));
	uint64_t number = mock_number("app");
	mock_key_set(key);
	mock_salt("app", b, sizeof(b));
	ck_assert_mem_ne(a, b, sizeof(a));
	ck_assert_uint_ne(mock_number("app"), number);
}
END_TEST

int
main(void)
{
	const TTest *const rules[] = {
		text_is_recognised_as_postgresql_does,
		a_scram_secret_is_read_and_written_whole,
		a_broken_scram_secret_is_said_to_be_one,
		a_scram_secret_cut_anywhere_or_followed_by_more_is_none,
		every_flipped_bit_of_a_scram_secret_makes_another_or_none,
		a_secret_has_a_longest_length,
		the_kinds_have_names,
		passwords_give_the_keys_postgresql_made_of_them,
		what_is_not_utf_8_is_taken_as_it_is,
		a_very_long_password_is_taken_as_it_is,
		a_made_up_secret_looks_like_the_one_it_is_shaped_after,
		salts_belong_to_the_user_and_to_the_key_of_the_process,
	};
	return suite_run("auth/secret", rules, sizeof(rules) / sizeof(rules[0]));
}
