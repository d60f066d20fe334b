/* tests/auth/test_md5.c - MD5 secrets and answers, and who may pass with them. */
#include "auth/md5.h"

#include "../suite.h"
#include "auth/mock.h"
#include "auth/password.h"
#include "postgres.h"

static const uint8_t salt[MD5_SALT_BYTES] = { 1, 2, 3, 4 };
#define ANSWER "md53493baf86f1728ae2f58835270831138" /* of "app" by md5u to this salt, made elsewhere */

START_TEST(secrets_are_those_postgresql_makes)
{
	char out[MD5_TEXT_SIZE];
	ck_assert(md5_password(MD5_USER, "app", out));
	ck_assert_str_eq(out, MD5_USER_SECRET);
	ck_assert(md5_with_salt(out, salt, out));
	ck_assert_str_eq(out, ANSWER);
}
END_TEST

START_TEST(what_is_no_md5_secret_gives_no_answer)
{
	char out[MD5_TEXT_SIZE] = "x";
	ck_assert(!md5_with_salt("md5", salt, out));
	ck_assert_str_eq(out, "");
	ck_assert(!md5_with_salt("", salt, out));
}
END_TEST

START_TEST(the_right_answer_passes_for_plain_and_md5_secrets)
{
	static const char *const texts[] = { "app", MD5_USER_SECRET };
	for (size_t i = 0; i < 2; i++) {
		struct secret s;
		secret_parse(texts[i], &s);
		ck_assert(md5_verify(&s, MD5_USER, salt, ANSWER));
		ck_assert(!md5_verify(&s, MD5_USER, (const uint8_t[]){ 1, 2, 3, 5 }, ANSWER));
		ck_assert(!md5_verify(&s, MD5_USER, salt, ""));
		ck_assert(!md5_verify(&s, MD5_USER, salt, "app"));
		ck_assert(!md5_verify(&s, MD5_USER, salt, MD5_USER_SECRET));
		ck_assert(!md5_verify(&s, MD5_USER, salt, ANSWER "x"));
		secret_free(&s);
	}
}
END_TEST

START_TEST(every_flipped_bit_and_every_truncation_is_refused)
{
	char answer[MD5_TEXT_SIZE] = ANSWER;
	struct secret s;
	secret_parse(MD5_USER_SECRET, &s);
	for (size_t bit = 0; bit < 8 * (MD5_TEXT_SIZE - 1); bit++) {
		answer[bit / 8] = (char)(answer[bit / 8] ^ (1 << bit % 8));
		ck_assert(!md5_verify(&s, MD5_USER, salt, answer));
		answer[bit / 8] = (char)(answer[bit / 8] ^ (1 << bit % 8));
	}
	ck_assert(md5_verify(&s, MD5_USER, salt, answer));
	for (size_t n = MD5_TEXT_SIZE - 2; n > 0; n--) {
		answer[n] = 0;
		ck_assert(!md5_verify(&s, MD5_USER, salt, answer));
	}
	secret_free(&s);
}
END_TEST

START_TEST(who_has_no_such_secret_never_passes)
{
	static const char *const likes[] = { "", "app", MD5_USER_SECRET, APP_SCRAM };
	char out[MD5_TEXT_SIZE];
	for (size_t i = 0; i < 4; i++) {
		struct secret like, mock;
		secret_parse(likes[i], &like);
		mock_secret("nobody", &like, &mock);
		if (mock.text) { /* even the right answer to the made-up secret is none */
			if (mock.kind == SECRET_MD5)
				ck_assert(md5_with_salt(mock.text, salt, out));
			else
				ck_assert(md5_password("nobody", mock.text, out) && md5_with_salt(out, salt, out));
			ck_assert(!md5_verify(&mock, "nobody", salt, out));
		}
		if (like.kind == SECRET_NONE || like.kind == SECRET_SCRAM) {
			ck_assert(md5_password("nobody", "none", out) && md5_with_salt(out, salt, out));
			ck_assert(!md5_verify(&like, "nobody", salt, out));
			ck_assert(!md5_verify(&mock, "nobody", salt, out));
			ck_assert(!md5_verify(NULL, "nobody", salt, out));
		}
		secret_free(&like);
		secret_free(&mock);
	}
}
END_TEST

START_TEST(each_login_has_its_own_salt)
{
	uint8_t a[MD5_SALT_BYTES], b[MD5_SALT_BYTES], c[MD5_SALT_BYTES];
	md5_new_salt(a);
	md5_new_salt(b);
	md5_new_salt(c);
	ck_assert(memcmp(a, b, sizeof(a)) != 0 || memcmp(b, c, sizeof(b)) != 0);
}
END_TEST

/* --- passwords in clear ------------------------------------------------------------------------------------- */

START_TEST(a_password_in_clear_is_checked_against_any_kind_of_secret)
{
	static const char *const texts[] = { "app", MD5_USER_SECRET, APP_SCRAM };
	struct scram_cache *cache = scram_cache_new(10);
	for (size_t i = 0; i < 3; i++) {
		struct secret s, mock;
		secret_parse(texts[i], &s);
		ck_assert(password_verify(&s, MD5_USER, "app", cache));
		ck_assert(password_verify(&s, MD5_USER, "app", NULL));
		ck_assert(!password_verify(&s, MD5_USER, "App", cache));
		ck_assert(!password_verify(&s, MD5_USER, "appapp", NULL));
		ck_assert(!password_verify(&s, MD5_USER, "", cache));
		mock_secret(MD5_USER, &s, &mock);
		ck_assert(!password_verify(&mock, MD5_USER, "app", cache));
		ck_assert(!password_verify(&mock, MD5_USER, mock.text ? mock.text : "x", cache));
		secret_free(&s);
		secret_free(&mock);
	}
	struct secret none;
	secret_parse("", &none);
	ck_assert(!password_verify(&none, "x", "none", cache));
	ck_assert(!password_verify(&none, "x", "", cache));
	ck_assert(!password_verify(NULL, "x", "none", cache));
	scram_cache_free(cache);
}
END_TEST

/* Whoever may change his own password in PostgreSQL chooses the number; the loop would stand still for minutes. */
START_TEST(a_secret_that_takes_too_long_to_check_is_never_right)
{
	struct secret s, mock;
	secret_parse(APP_SCRAM, &s);
	s.scram.iterations = INT32_MAX;
	ck_assert(password_is_too_costly(&s));
	ck_assert(!password_verify(&s, "app", "app", NULL));
	mock_secret("app", &s, &mock);
	ck_assert(!password_verify(&mock, "app", "app", NULL));
	s.scram.iterations = SCRAM_ITERATIONS_MAX;
	ck_assert(!password_is_too_costly(&s));
	secret_free(&s);
	secret_free(&mock);
}
END_TEST

START_TEST(only_right_passwords_are_remembered)
{
	struct scram_cache *cache = scram_cache_new(10);
	struct secret s;
	secret_parse(APP_SCRAM, &s);
	for (int i = 0; i < 3; i++) {
		ck_assert(!password_verify(&s, "app", "wrong", cache));
		ck_assert_uint_eq(scram_cache_count(cache), 0);
	}
	uint64_t before = scram_cache_stretched(cache);
	for (int i = 0; i < 3; i++)
		ck_assert(password_verify(&s, "app", "app", cache));
	ck_assert_uint_eq(scram_cache_stretched(cache), before + 1);
	ck_assert_uint_eq(scram_cache_count(cache), 1);
	secret_free(&s);
	scram_cache_free(cache);
}
END_TEST

START_TEST(plain_passwords_can_be_stretched_before_they_are_needed)
{
	char why[200];
	struct text text = TEXT_IN(why);
	struct scram_cache *cache = scram_cache_new(3);
	struct users *users;
	size_t at = 0;
	ck_assert_int_eq(users_parse(VIEW("\"a\" \"1\"\n\"b\" \"" MD5_USER_SECRET "\"\n\"c\" \"2\"\n"), "x", false, &users,
	                             &text), USERS_OK);
	ck_assert(password_warm(users, 10, cache, &at));
	ck_assert(password_warm(users, 10, cache, &at));
	ck_assert(!password_warm(users, 10, cache, &at));
	ck_assert_uint_eq(scram_cache_stretched(cache), 2);
	at = 0;
	ck_assert(!password_warm(users, 10, cache, &at)); /* all known already */
	struct scram_server server;
	scram_server_begin(&server, &users_find(users, "a")->secret, "a", 10, cache, NULL);
	ck_assert_uint_eq(scram_cache_stretched(cache), 2); /* what the login asks for is what was made */
	scram_server_fini(&server);
	users_free(users);
	scram_cache_free(cache);
}
END_TEST

START_TEST(warming_stops_when_the_cache_is_full)
{
	char why[200];
	struct text text = TEXT_IN(why);
	struct scram_cache *cache = scram_cache_new(1);
	struct users *users;
	size_t at = 0;
	ck_assert_int_eq(users_parse(VIEW("\"a\" \"1\"\n\"b\" \"2\"\n"), "x", false, &users, &text), USERS_OK);
	ck_assert(password_warm(users, 10, cache, &at));
	ck_assert(!password_warm(users, 10, cache, &at));
	users_free(users);
	scram_cache_free(cache);
}
END_TEST

int
main(void)
{
	const TTest *const rules[] = {
		secrets_are_those_postgresql_makes,
		what_is_no_md5_secret_gives_no_answer,
		the_right_answer_passes_for_plain_and_md5_secrets,
		every_flipped_bit_and_every_truncation_is_refused,
		who_has_no_such_secret_never_passes,
		each_login_has_its_own_salt,
		a_secret_that_takes_too_long_to_check_is_never_right,
		a_password_in_clear_is_checked_against_any_kind_of_secret,
		only_right_passwords_are_remembered,
		plain_passwords_can_be_stretched_before_they_are_needed,
		warming_stops_when_the_cache_is_full,
	};
	return suite_run("auth/md5, auth/password", rules, sizeof(rules) / sizeof(rules[0]));
}
