/* tests/wire/test_frame.c - where a message begins and ends, however it arrives. */
#include "wire/frame.h"

#include "../suite.h"
#include "exact.h"

static const struct view two = { (const uint8_t *)"Q\0\0\0\x0dselect 1\0S\0\0\0\4", 14 + 5 };

START_TEST(a_frame_is_a_letter_a_size_and_a_body)
{
	struct frame f;
	ck_assert_int_eq(frame_peek(two, 1000, &f), FRAME_OK);
	ck_assert_int_eq(f.type, 'Q');
	ck_assert_uint_eq(f.size, 14);
	ck_assert(view_equal(f.body, VIEW("select 1\0")));
	ck_assert(frame_is_whole(&f));

	ck_assert_int_eq(frame_peek(view_from(two, f.size), 1000, &f), FRAME_OK);
	ck_assert_int_eq(f.type, 'S');
	ck_assert_uint_eq(f.size, 5);
	ck_assert_uint_eq(f.body.n, 0);
	ck_assert(frame_is_whole(&f));
}
END_TEST

START_TEST(a_head_that_has_not_arrived_is_short)
{
	for (size_t n = 0; n < FRAME_HEAD_BYTES; n++) {
		struct view part = exact(view_part(two, 0, n));
		struct frame f = { .size = 77 };
		ck_assert_int_eq(frame_peek(part, 1000, &f), FRAME_SHORT);
		ck_assert_uint_eq(f.size, 77);
		exact_free(part);
	}
	struct frame f;
	ck_assert_int_eq(frame_peek((struct view){ NULL, 0 }, 1000, &f), FRAME_SHORT);
}
END_TEST

START_TEST(a_body_is_shown_as_far_as_it_has_arrived)
{
	for (size_t n = FRAME_HEAD_BYTES; n <= two.n; n++) {
		struct view part = exact(view_part(two, 0, n));
		struct frame f;
		ck_assert_int_eq(frame_peek(part, 1000, &f), FRAME_OK);
		ck_assert_uint_eq(f.size, 14);
		ck_assert_uint_eq(frame_body_size(&f), 9);
		ck_assert_uint_eq(f.body.n, n < 14 ? n - FRAME_HEAD_BYTES : 9);
		ck_assert(frame_is_whole(&f) == (n >= 14));
		exact_free(part);
	}
}
END_TEST

START_TEST(a_length_that_does_not_cover_itself_is_bad)
{
	uint8_t head[5] = "Q";
	struct frame f;
	for (uint32_t length = 0; length < 4; length++) {
		store_be32(head + 1, length);
		ck_assert_int_eq(frame_peek(view_of(head, 5), 1000, &f), FRAME_BAD);
	}
	store_be32(head + 1, 4);
	ck_assert_int_eq(frame_peek(view_of(head, 5), 1000, &f), FRAME_OK);
}
END_TEST

START_TEST(a_length_above_the_callers_limit_is_bad)
{
	uint8_t head[5] = "d";
	struct frame f;
	store_be32(head + 1, 1000);
	ck_assert_int_eq(frame_peek(view_of(head, 5), 1000, &f), FRAME_OK);
	ck_assert_uint_eq(f.size, 1001);
	ck_assert(!frame_is_whole(&f));
	store_be32(head + 1, 1001);
	ck_assert_int_eq(frame_peek(view_of(head, 5), 1000, &f), FRAME_BAD);
}
END_TEST

START_TEST(a_length_that_postgresql_could_not_send_is_bad_whatever_the_limit)
{
	static const struct { uint32_t length; enum frame_result answer; } cases[] = {
		{ FRAME_LENGTH_MAX, FRAME_OK },
		{ FRAME_LENGTH_MAX + 1, FRAME_BAD },
		{ INT32_MAX, FRAME_BAD },
		{ UINT32_C(0x80000000), FRAME_BAD }, /* negative for the peer */
		{ UINT32_MAX, FRAME_BAD },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint8_t head[5] = "d";
		struct frame f;
		store_be32(head + 1, cases[i].length);
		ck_assert_int_eq(frame_peek(view_of(head, 5), UINT32_MAX, &f), cases[i].answer);
	}
}
END_TEST

START_TEST(no_flipped_bit_shows_a_body_outside_the_input)
{
	struct view copy = exact(two);
	uint8_t *p = (uint8_t *)copy.p;
	for (size_t bit = 0; bit < two.n * 8; bit++) {
		p[bit / 8] ^= (uint8_t)(1 << bit % 8);
		struct frame f;
		if (frame_peek(copy, FRAME_LENGTH_MAX, &f) == FRAME_OK) {
			ck_assert_ptr_eq(f.body.p, copy.p + FRAME_HEAD_BYTES);
			ck_assert_uint_le(f.body.n, copy.n - FRAME_HEAD_BYTES);
			ck_assert_uint_le(f.body.n, frame_body_size(&f));
		}
		p[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	exact_free(copy);
}
END_TEST

int
main(void)
{
	const TTest *const rules[] = {
		a_frame_is_a_letter_a_size_and_a_body,
		a_head_that_has_not_arrived_is_short,
		a_body_is_shown_as_far_as_it_has_arrived,
		a_length_that_does_not_cover_itself_is_bad,
		a_length_above_the_callers_limit_is_bad,
		a_length_that_postgresql_could_not_send_is_bad_whatever_the_limit,
		no_flipped_bit_shows_a_body_outside_the_input,
	};
	return suite_run("wire/frame", rules, sizeof(rules) / sizeof(rules[0]));
}
