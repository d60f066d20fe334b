/* tests/base/test_text.c - base/buf, base/text, base/view, base/bytes, base/fault. */
#include "base/text.h"

#include "../suite.h"
#include "base/buf.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/heap.h"

START_TEST(a_buf_without_bytes_has_no_memory)
{
	struct buf b = { 0 };
	buf_add(&b, (struct view){ 0 });
	buf_drop_front(&b, 0);
	ck_assert_ptr_null(b.p);
	buf_add_u8(&b, 7);
	ck_assert_ptr_nonnull(b.p);
	buf_clear(&b);
	ck_assert_uint_eq(b.n, 0);
	buf_free(&b);
	ck_assert_ptr_null(b.p);
	ck_assert_uint_eq(b.room, 0);
}
END_TEST

START_TEST(a_buf_grows_and_keeps_what_is_in_it)
{
	struct buf b = { 0 };
	for (int i = 0; i < 1000; i++)
		buf_addf(&b, "%04d", i);
	ck_assert_uint_eq(b.n, 4000);
	ck_assert_mem_eq(b.p + 4 * 567, "0567", 4);
	buf_drop_front(&b, 4 * 567);
	ck_assert_uint_eq(b.n, 4000 - 4 * 567);
	ck_assert_mem_eq(b.p, "0567", 4);
	buf_drop_front(&b, b.n);
	ck_assert_uint_eq(b.n, 0);
	ck_assert(!buf_try_reserve(&b, SIZE_MAX - 5)); /* says no, and holds what it had */
	ck_assert(buf_try_reserve(&b, 100));
	buf_free(&b);
}
END_TEST

START_TEST(numbers_are_in_network_byte_order)
{
	struct buf b = { 0 };
	buf_add_u8(&b, 0xff);
	buf_add_be16(&b, 0x0102);
	buf_add_be32(&b, 0x03040506);
	buf_add_string(&b, "x");
	ck_assert_uint_eq(b.n, 9);
	ck_assert_mem_eq(b.p, "\xff\x01\x02\x03\x04\x05\x06x\0", 9);
	ck_assert_uint_eq(load_be16(b.p + 1), 0x0102);
	ck_assert_uint_eq(load_be32(b.p + 3), 0x03040506);
	buf_free(&b);
}
END_TEST

START_TEST(a_view_never_leaves_its_bytes)
{
	struct view v = VIEW("hello");
	ck_assert(view_is(view_part(v, 1, 3), "ell"));
	ck_assert(view_is(view_part(v, 3, 100), "lo"));
	ck_assert_uint_eq(view_part(v, 9, 1).n, 0);
	ck_assert(view_is(view_from(v, 5), ""));
	ck_assert(view_equal((struct view){ 0 }, VIEW("")));
	ck_assert(!view_equal(VIEW("a"), VIEW("b")));
	ck_assert_uint_eq(view_of_string(NULL).n, 0);
}
END_TEST

START_TEST(a_text_is_cut_where_its_storage_ends)
{
	char storage[8];
	struct text t = TEXT_IN(storage);
	text_addf(&t, "%d", 1234);
	text_add(&t, "567");
	ck_assert(!t.is_cut);
	ck_assert_str_eq(storage, "1234567");
	text_add(&t, "8");
	ck_assert(t.is_cut);
	ck_assert_str_eq(storage, "1234567");
	t = TEXT_IN(storage);
	text_add_view(&t, VIEW("a\nb\x7f" "c"));
	ck_assert_str_eq(storage, "a?b?c");
	text_add_view(&t, VIEW("defgh"));
	ck_assert_str_eq(storage, "a?b?cde");
	ck_assert(t.is_cut);
	text_addf(&t, "%s", "more");
	ck_assert_str_eq(storage, "a?b?cde");
}
END_TEST

START_TEST(words_are_compared_without_case_and_locale)
{
	ck_assert(text_equal_nocase("TimeZone", "timezone"));
	ck_assert(!text_equal_nocase("TimeZone", "timezones"));
	ck_assert(!text_equal_nocase("a", "b"));
	ck_assert(text_equal_nocase("", ""));
}
END_TEST

START_TEST(the_clock_stands_when_it_is_set)
{
	ck_assert_uint_gt(clock_now_us(), 0);
	clock_set(5 * SECOND_US);
	clock_update();
	ck_assert_uint_eq(clock_now_us(), 5 * SECOND_US);
	ck_assert_uint_eq(clock_exact_us(), 5 * SECOND_US);
	uint64_t wall = clock_wall_us();
	ck_assert_uint_le(clock_wall_of(4 * SECOND_US) + SECOND_US - wall, SECOND_US); /* time went on in between */
}
END_TEST

START_TEST(small_allocations_are_zeroed_and_copied)
{
	char *s = heap_string(NULL), *n = heap_string_n("abcdef", 3);
	ck_assert_str_eq(s, "");
	ck_assert_str_eq(n, "abc");
	n = heap_resize(n, 10);
	ck_assert_str_eq(n, "abc");
	uint8_t *z = heap_alloc(100);
	for (int i = 0; i < 100; i++)
		ck_assert_int_eq(z[i], 0);
	heap_free(s);
	heap_erase_free(n, 3);
	heap_erase_free(NULL, 0);
	heap_free(z);
	ck_assert_str_eq(fault_by_name(FAULT_BY_ADMIN), "admin");
}
END_TEST

int
main(void)
{
	const TTest *const rules[] = {
		a_buf_without_bytes_has_no_memory,
		a_buf_grows_and_keeps_what_is_in_it,
		numbers_are_in_network_byte_order,
		a_view_never_leaves_its_bytes,
		a_text_is_cut_where_its_storage_ends,
		words_are_compared_without_case_and_locale,
		the_clock_stands_when_it_is_set,
		small_allocations_are_zeroed_and_copied,
	};
	return suite_run("base", rules, sizeof(rules) / sizeof(rules[0]));
}
