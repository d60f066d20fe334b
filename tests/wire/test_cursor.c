/* tests/wire/test_cursor.c - reading from front to back, and never beyond. */
#include "wire/cursor.h"

#include "../suite.h"
#include "exact.h"

START_TEST(fields_come_in_order_and_in_network_byte_order)
{
	struct view v = exact(VIEW("\xff\xfe\xfd\x80\x01\x02\x03name\0\0rest"));
	struct cursor c = cursor_over(v);
	ck_assert_uint_eq(cursor_u8(&c), 0xff);
	ck_assert_uint_eq(cursor_be16(&c), 0xfefd);
	ck_assert_uint_eq(cursor_be32(&c), 0x80010203);
	ck_assert_str_eq(cursor_string(&c), "name");
	ck_assert_str_eq(cursor_string(&c), "");
	ck_assert(!cursor_at_end(&c));
	ck_assert(view_equal(cursor_bytes(&c, 4), VIEW("rest")));
	ck_assert(cursor_at_end(&c));
	exact_free(v);
}
END_TEST

START_TEST(a_string_lies_where_it_was)
{
	struct view v = exact(VIEW("a\0bc\0"));
	struct cursor c = cursor_over(v);
	ck_assert_ptr_eq(cursor_string(&c), (const char *)v.p);
	ck_assert_ptr_eq(cursor_string(&c), (const char *)v.p + 2);
	ck_assert(cursor_at_end(&c));
	exact_free(v);
}
END_TEST

START_TEST(a_string_without_its_nul_is_bad_and_empty)
{
	struct view v = exact(VIEW("abc"));
	struct cursor c = cursor_over(v);
	ck_assert_str_eq(cursor_string(&c), "");
	ck_assert(c.is_bad);
	exact_free(v);
}
END_TEST

START_TEST(nothing_is_read_beyond_the_end)
{
	for (size_t n = 0; n < 4; n++) {
		struct view v = exact(view_part(VIEW("\x11\x22\x33\x44"), 0, n));
		struct cursor c = cursor_over(v);
		ck_assert_uint_eq(cursor_be32(&c), 0);
		ck_assert(c.is_bad);
		c = cursor_over(v);
		ck_assert_uint_eq(cursor_bytes(&c, n + 1).n, 0);
		ck_assert(c.is_bad);
		c = cursor_over(v);
		ck_assert_uint_eq(cursor_bytes(&c, SIZE_MAX).n, 0);
		ck_assert(c.is_bad);
		exact_free(v);
	}
	struct cursor c = cursor_over(VIEW("\x11"));
	ck_assert_uint_eq(cursor_be16(&c), 0);
	ck_assert(c.is_bad);
}
END_TEST

START_TEST(a_bad_cursor_stays_bad_although_the_next_field_would_fit)
{
	struct cursor c = cursor_over(VIEW("\x01\x02\0"));
	cursor_be32(&c);
	ck_assert(c.is_bad);
	ck_assert_uint_eq(cursor_u8(&c), 0);
	ck_assert_uint_eq(cursor_be16(&c), 0);
	ck_assert_str_eq(cursor_string(&c), "");
	ck_assert_uint_eq(cursor_bytes(&c, 0).n, 0);
	ck_assert(c.is_bad);
	ck_assert(!cursor_at_end(&c));
}
END_TEST

START_TEST(nothing_at_all_is_at_its_end_and_has_nothing)
{
	struct cursor c = cursor_over((struct view){ NULL, 0 });
	ck_assert(cursor_at_end(&c));
	ck_assert_uint_eq(cursor_bytes(&c, 0).n, 0);
	ck_assert(cursor_at_end(&c));
	ck_assert_str_eq(cursor_string(&c), "");
	ck_assert(!cursor_at_end(&c));
}
END_TEST

int
main(void)
{
	const TTest *const rules[] = {
		fields_come_in_order_and_in_network_byte_order,
		a_string_lies_where_it_was,
		a_string_without_its_nul_is_bad_and_empty,
		nothing_is_read_beyond_the_end,
		a_bad_cursor_stays_bad_although_the_next_field_would_fit,
		nothing_at_all_is_at_its_end_and_has_nothing,
	};
	return suite_run("wire/cursor", rules, sizeof(rules) / sizeof(rules[0]));
}
