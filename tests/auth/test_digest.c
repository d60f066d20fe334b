/* tests/auth/test_digest.c - digests against published vectors, base64 to the letter. */
#include "auth/digest.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <stdio.h>

#include "../suite.h"
#include "auth/base64.h"
#include "auth/md5.h"

static void
is_hex(const uint8_t *bytes, size_t n, const char *hex)
{
	char text[2 * 64 + 1];
	for (size_t i = 0; i < n; i++)
		snprintf(text + 2 * i, 3, "%02x", bytes[i]);
	ck_assert_str_eq(text, hex);
}

/* FIPS 180-4, the example of NIST. */
START_TEST(a_digest_is_that_of_its_parts_joined)
{
	uint8_t out[DIGEST_BYTES];
	digest_of((struct view[]){ VIEW("abc") }, 1, out);
	is_hex(out, 32, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	digest_of((struct view[]){ VIEW("a"), VIEW(""), VIEW("bc") }, 3, out);
	is_hex(out, 32, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	digest_of(NULL, 0, out);
	is_hex(out, 32, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}
END_TEST

/* RFC 4231, 4.2 and 4.3. */
START_TEST(hmac_is_that_of_rfc_4231)
{
	uint8_t key[20], out[DIGEST_BYTES];
	memset(key, 0x0b, sizeof(key));
	digest_hmac(view_of(key, sizeof(key)), (struct view[]){ VIEW("Hi "), VIEW("There") }, 2, out);
	is_hex(out, 32, "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
	digest_hmac(VIEW("Jefe"), (struct view[]){ VIEW("what do ya want for nothing?") }, 1, out);
	is_hex(out, 32, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}
END_TEST

/* RFC 7914, 11, first 32 bytes. */
START_TEST(stretching_is_pbkdf2)
{
	uint8_t out[DIGEST_BYTES];
	digest_stretch(VIEW("passwd"), VIEW("salt"), 1, out);
	is_hex(out, 32, "55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc");
	digest_stretch(VIEW(""), VIEW("salt"), 1, out); /* an empty one is one, too */
}
END_TEST

START_TEST(md5_is_hex_in_lower_case)
{
	char out[33];
	ck_assert(digest_has_md5());
	ck_assert(digest_md5_hex((struct view[]){ VIEW("app"), VIEW("password") }, 2, out));
	ck_assert_str_eq(out, "4858d6025021b9abc88645d378301685");
}
END_TEST

START_TEST(without_md5_in_openssl_everything_says_no_and_leaves_no_error_behind)
{
	char hex[33], text[MD5_TEXT_SIZE];
	struct secret plain = { .kind = SECRET_PLAIN, .text = (char *)"app" };
	const uint8_t salt[MD5_SALT_BYTES] = { 1, 2, 3, 4 };

	digest_fini();
	ck_assert(EVP_set_default_properties(NULL, "fips=yes")); /* nothing here has that property */
	ck_assert(!digest_has_md5());
	ck_assert(!digest_md5_hex(NULL, 0, hex));
	ck_assert(!md5_password("app", "app", text));
	ck_assert_str_eq(text, "");
	ck_assert(!md5_with_salt("md52efa1ed3b956200e6c79a74469ebac07", salt, text));
	ck_assert_str_eq(text, "");
	ck_assert(!md5_verify(&plain, "app", salt, ""));
	ck_assert_uint_eq(ERR_peek_error(), 0); /* TLS would take it for its own */
	ck_assert(EVP_set_default_properties(NULL, ""));
	digest_fini();
	ck_assert(digest_has_md5());
}
END_TEST

START_TEST(random_bytes_differ)
{
	uint8_t a[16], b[16];
	digest_random(a, sizeof(a));
	digest_random(b, sizeof(b));
	ck_assert(!digest_equal(a, b, sizeof(a)));
	digest_erase(a, sizeof(a));
	for (size_t i = 0; i < sizeof(a); i++)
		ck_assert_int_eq(a[i], 0);
}
END_TEST

/* RFC 4648, 10. */
static const struct { const char *plain, *text; } vectors[] = {
	{ "f", "Zg==" }, { "fo", "Zm8=" }, { "foo", "Zm9v" }, { "foob", "Zm9vYg==" }, { "fooba", "Zm9vYmE=" }, { "foobar", "Zm9vYmFy" },
};

START_TEST(base64_goes_both_ways)
{
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		struct buf b = { 0 };
		uint8_t out[8];
		size_t n;
		base64_add(&b, view_of_string(vectors[i].plain));
		ck_assert(view_is(buf_view(&b), vectors[i].text));
		ck_assert_uint_eq(b.n, BASE64_SIZE(strlen(vectors[i].plain)));
		ck_assert(base64_read(buf_view(&b), out, sizeof(out), &n));
		ck_assert(view_is(view_of(out, n), vectors[i].plain));
		ck_assert(base64_read(buf_view(&b), out, n, &n));
		ck_assert(!base64_read(buf_view(&b), out, strlen(vectors[i].plain) - 1, &n));
		ck_assert_uint_eq(n, 0);
		buf_free(&b);
	}
	struct buf b = { 0 };
	base64_add(&b, VIEW(""));
	ck_assert_uint_eq(b.n, 0);
}
END_TEST

START_TEST(base64_takes_one_text_for_one_value)
{
	static const char *const bad[] = {
		"", "Z", "Zg", "Zg=", "Zg===", "Zg==Zg==", "Zh==", "Zm9=", "=Zg=", "====", "Z===", " Zg==", "Zg== ", "Zg==\n", "Z g=",
		"Zm9v\n\n\n\n", "Zm9-", "Zm9_", "Zm9\xc3", "Zm9v=", "A===", "    ", "Zm9v    ",
	};
	uint8_t out[64];
	size_t n;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_msg(!base64_read(view_of_string(bad[i]), out, sizeof(out), &n), "took \"%s\"", bad[i]);
	ck_assert(!base64_read(view_of("Zm\0v", 4), out, sizeof(out), &n));
}
END_TEST

START_TEST(every_flipped_bit_of_base64_gives_another_value_or_none)
{
	uint8_t bytes[DIGEST_BYTES], out[DIGEST_BYTES];
	struct buf b = { 0 };
	size_t n;
	digest_random(bytes, sizeof(bytes));
	base64_add(&b, view_of(bytes, sizeof(bytes)));
	for (size_t bit = 0; bit < 8 * b.n; bit++) {
		b.p[bit / 8] ^= (uint8_t)(1 << bit % 8);
		bool is_read = base64_read(buf_view(&b), out, sizeof(out), &n);
		ck_assert(!is_read || n != sizeof(bytes) || !digest_equal(out, bytes, sizeof(out)));
		b.p[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	buf_free(&b);
}
END_TEST

START_TEST(base64_longer_than_any_message_is_refused)
{
	uint8_t out[2000];
	char text[1032];
	size_t n;
	memset(text, 'A', sizeof(text));
	ck_assert(base64_read(view_of(text, 1024), out, sizeof(out), &n));
	ck_assert_uint_eq(n, 768);
	ck_assert(!base64_read(view_of(text, 1028), out, sizeof(out), &n));
}
END_TEST

int
main(void)
{
	const TTest *const rules[] = {
		a_digest_is_that_of_its_parts_joined,
		hmac_is_that_of_rfc_4231,
		stretching_is_pbkdf2,
		md5_is_hex_in_lower_case,
		without_md5_in_openssl_everything_says_no_and_leaves_no_error_behind,
		random_bytes_differ,
		base64_goes_both_ways,
		base64_takes_one_text_for_one_value,
		every_flipped_bit_of_base64_gives_another_value_or_none,
		base64_longer_than_any_message_is_refused,
	};
	return suite_run("auth/digest", rules, sizeof(rules) / sizeof(rules[0]));
}
