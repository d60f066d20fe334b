/* tests/wire/test_proxy_header.c - the PROXY protocol, versions 1 and 2. */
#include "wire/proxy_header.h"

#include "../suite.h"
#include "exact.h"

#include "base/bytes.h"

#define TCP4    "PROXY TCP4 192.0.2.7 10.0.0.5 56324 5432\r\n"
#define TCP6    "PROXY TCP6 2001:DB8::7 ::1 0 65535\r\n"
#define LONGEST "PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n"
#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"

static struct proxy_header last;

static enum proxy_header_result
peek(struct view v)
{
	struct view copy = exact(v);
	enum proxy_header_result r = proxy_header_peek(copy, &last);
	exact_free(copy);
	return r;
}

static bool
reads(struct view v)
{
	return peek(v) == PROXY_HEADER_OK && last.size == v.n;
}

/* Of version 2: command, family, and n bytes that count up from 1. */
static struct buf
binary(uint8_t command, uint8_t family, uint16_t n)
{
	struct buf b = { 0 };
	buf_add(&b, VIEW(SIGNATURE));
	buf_add_u8(&b, command);
	buf_add_u8(&b, family);
	buf_add_be16(&b, n);
	for (unsigned i = 1; i <= n; i++)
		buf_add_u8(&b, (uint8_t)i);
	return b;
}

static enum proxy_header_result
peek_binary(uint8_t command, uint8_t family, uint16_t n)
{
	struct buf b = binary(command, family, n);
	enum proxy_header_result r = peek(buf_view(&b));
	buf_free(&b);
	return r;
}

START_TEST(a_line_carries_the_source)
{
	static const uint8_t source4[] = { 192, 0, 2, 7 }, source6[16] = { 0x20, 1, 0x0d, 0xb8, [15] = 7 };
	ck_assert(reads(VIEW(TCP4)));
	ck_assert_uint_eq(last.version, 1);
	ck_assert_uint_eq(last.family, 4);
	ck_assert_uint_eq(last.source_port, 56324);
	ck_assert_mem_eq(last.source, source4, 4);
	ck_assert(reads(VIEW(TCP6)));
	ck_assert_uint_eq(last.family, 6);
	ck_assert_uint_eq(last.source_port, 0);
	ck_assert_mem_eq(last.source, source6, 16);
	ck_assert_int_eq(peek(VIEW(TCP4 "\0\0\0\x08")), PROXY_HEADER_OK);
	ck_assert_uint_eq(last.size, sizeof(TCP4) - 1);
}
END_TEST

START_TEST(an_unknown_line_carries_none_whatever_it_says)
{
	static const struct view lines[] = {
		{ (const uint8_t *)"PROXY UNKNOWN\r\n", 15 },
		{ (const uint8_t *)"PROXY UNKNOWN \r\n", 16 },
		{ (const uint8_t *)"PROXY UNKNOWN \0\xff one two\r\n", 26 },
		{ (const uint8_t *)LONGEST, sizeof(LONGEST) - 1 },
	};
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		ck_assert_int_eq(peek(lines[i]), PROXY_HEADER_OK);
		ck_assert_uint_eq(last.family, 0);
	}
}
END_TEST

START_TEST(a_line_that_is_not_exactly_right_is_bad)
{
	static const char *const lines[] = {
		"PROXY\r\n", "PROXY \r\n", "PROXY  TCP4 1.2.3.4 1.2.3.4 1 2\r\n", "PROXY TCP4  1.2.3.4 1.2.3.4 1 2\r\n",
		"PROXY TCP4 1.2.3.4 1.2.3.4 1 2 \r\n", "PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n", "PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n",
		"PROXY TCP4 1.2.3.4 1.2.3.4 1 \r\n", "PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n", "PROXY TCP4 1.2.3.4 1.2.3.4 1 2\rx\r\n",
		"PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n", "PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n",
		"PROXY TCP4 1.2.3.4 1.2.3.4 4294967297 2\r\n", "PROXY TCP4 1.2.3.4 1.2.3.4 -1 2\r\n",
		"PROXY TCP4 1.2.3.4 1.2.3.4 +1 2\r\n", "PROXY TCP4 1.2.3 1.2.3.4 1 2\r\n", "PROXY TCP4 01.2.3.4 1.2.3.4 1 2\r\n",
		"PROXY TCP4 1.2.3.256 1.2.3.4 1 2\r\n", "PROXY TCP4 ::1 ::1 1 2\r\n", "PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n",
		"PROXY TCP6 ::1%eth0 ::1 1 2\r\n", "PROXY TCP6 1::2::3 ::1 1 2\r\n", "PROXY TCP6 1:2:3:4:5:6:7:8:9 ::1 1 2\r\n",
		"PROXY tcp4 1.2.3.4 1.2.3.4 1 2\r\n", "PROXY TCP5 1.2.3.4 1.2.3.4 1 2\r\n", "PROXY UNKNOWNS\r\n", "PROXY UDP4 1.2.3.4 1.2.3.4 1 2\r\n",
		"proxy TCP4 1.2.3.4 1.2.3.4 1 2\r\n", "PROXZ", "X", "\n",
	};
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		ck_assert_msg(peek(view_of_string(lines[i])) == PROXY_HEADER_BAD, "%s", lines[i]);
	/* A NUL must not make the end of a word: 1.2.3.4 is not what it says. */
	ck_assert_int_eq(peek(VIEW("PROXY TCP4 1.2.3.4\0x 1.2.3.4 1 2\r\n")), PROXY_HEADER_BAD);
	ck_assert_int_eq(peek(VIEW("PROXY TCP4 1.2.3.4 1.2.3.4 1\0x 2\r\n")), PROXY_HEADER_BAD);
}
END_TEST

START_TEST(a_line_ends_within_107_bytes)
{
	struct buf b = { 0 };
	ck_assert_uint_eq(sizeof(LONGEST) - 1, 107);
	buf_add(&b, VIEW("PROXY UNKNOWN "));
	while (b.n < 106) {
		ck_assert_int_eq(peek(buf_view(&b)), PROXY_HEADER_SHORT);
		buf_add_u8(&b, 'x');
	}
	buf_add_u8(&b, '\r');
	ck_assert_int_eq(peek(buf_view(&b)), PROXY_HEADER_BAD);
	buf_add_u8(&b, '\n');
	ck_assert_int_eq(peek(buf_view(&b)), PROXY_HEADER_BAD);
	buf_free(&b);
}
END_TEST

START_TEST(a_binary_header_carries_the_source)
{
	static const uint8_t counted[16] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16 };
	ck_assert_int_eq(peek_binary(0x21, 0x11, 12), PROXY_HEADER_OK);
	ck_assert_uint_eq(last.version, 2);
	ck_assert_uint_eq(last.size, 28);
	ck_assert_uint_eq(last.family, 4);
	ck_assert_mem_eq(last.source, counted, 4);
	ck_assert_uint_eq(last.source_port, 0x090a);
	ck_assert_int_eq(peek_binary(0x21, 0x21, 36), PROXY_HEADER_OK);
	ck_assert_uint_eq(last.family, 6);
	ck_assert_mem_eq(last.source, counted, 16);
	ck_assert_uint_eq(last.source_port, 0x2122);
	/* What stands behind the addresses is skipped, as much as there can be. */
	ck_assert_int_eq(peek_binary(0x21, 0x11, UINT16_MAX), PROXY_HEADER_OK);
	ck_assert_uint_eq(last.size, PROXY_HEADER_MAX);
	ck_assert_uint_eq(last.family, 4);
}
END_TEST

START_TEST(ipv4_within_ipv6_is_ipv4)
{
	static const uint8_t source4[] = { 192, 0, 2, 7 };
	ck_assert(reads(VIEW("PROXY TCP6 ::ffff:192.0.2.7 ::1 1 2\r\n")));
	ck_assert_uint_eq(last.family, 4);
	ck_assert_mem_eq(last.source, source4, 4);
}
END_TEST

START_TEST(who_comes_for_himself_or_by_another_way_carries_none)
{
	static const uint8_t families[] = { 0x00, 0x01, 0x10, 0x12, 0x20, 0x22, 0x31, 0x32 };
	for (size_t i = 0; i < sizeof(families); i++)
		for (uint16_t n = 0; n < 300; n += 37) {
			ck_assert_int_eq(peek_binary(0x21, families[i], n), PROXY_HEADER_OK);
			ck_assert_uint_eq(last.family, 0);
		}
	for (unsigned family = 0; family < 256; family++) { /* LOCAL: the family is to be ignored */
		ck_assert_int_eq(peek_binary(0x20, (uint8_t)family, 12), PROXY_HEADER_OK);
		ck_assert_uint_eq(last.family, 0);
		ck_assert_uint_eq(last.size, 28);
	}
}
END_TEST

START_TEST(other_versions_commands_families_and_short_addresses_are_bad)
{
	for (unsigned command = 0; command < 256; command++)
		ck_assert_int_eq(peek_binary((uint8_t)command, 0x11, 12),
		                 command == 0x20 || command == 0x21 ? PROXY_HEADER_OK : PROXY_HEADER_BAD);
	for (unsigned family = 0; family < 256; family++)
		ck_assert_int_eq(peek_binary(0x21, (uint8_t)family, 36),
		                 family >> 4 <= 3 && (family & 15) <= 2 ? PROXY_HEADER_OK : PROXY_HEADER_BAD);
	for (uint16_t n = 0; n < 12; n++)
		ck_assert_int_eq(peek_binary(0x21, 0x11, n), PROXY_HEADER_BAD);
	for (uint16_t n = 0; n < 36; n++)
		ck_assert_int_eq(peek_binary(0x21, 0x21, n), PROXY_HEADER_BAD);
}
END_TEST

static void
short_until_its_last_byte(struct view v)
{
	for (size_t n = 0; n < v.n; n++)
		ck_assert_int_eq(peek(view_part(v, 0, n)), PROXY_HEADER_SHORT);
	ck_assert(reads(v));
	ck_assert(proxy_header_begins(v));
	survives_flipped_bits(reads, v);
}

START_TEST(a_header_is_short_until_its_last_byte)
{
	short_until_its_last_byte(VIEW(TCP4));
	short_until_its_last_byte(VIEW(TCP6));
	short_until_its_last_byte(VIEW(LONGEST));
	static const uint8_t kinds[][2] = { { 0x21, 0x11 }, { 0x21, 0x21 }, { 0x20, 0x00 }, { 0x21, 0x31 } };
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		struct buf b = binary(kinds[i][0], kinds[i][1], 50);
		short_until_its_last_byte(buf_view(&b));
		buf_free(&b);
	}
}
END_TEST

START_TEST(what_is_no_header_is_bad_at_its_first_wrong_byte)
{
	uint8_t byte = 0;
	do {
		ck_assert_int_eq(peek(view_of(&byte, 1)), byte == 'P' || byte == '\r' ? PROXY_HEADER_SHORT : PROXY_HEADER_BAD);
	} while (++byte != 0);
	ck_assert_int_eq(peek(VIEW("\r\n\r\n\0\r\nQUIX")), PROXY_HEADER_BAD);
	ck_assert(!proxy_header_begins(VIEW("PROXY")));
	ck_assert(!proxy_header_begins(VIEW("\r\n\r\n")));
	ck_assert(!proxy_header_begins(VIEW("\0\0\0\x08\x04\xd2\x16\x2f")));
	ck_assert(proxy_header_begins(VIEW("PROXY nonsense")));
	ck_assert(proxy_header_begins(VIEW(SIGNATURE)));
}
END_TEST

int
main(void)
{
	const TTest *const rules[] = {
		a_line_carries_the_source, an_unknown_line_carries_none_whatever_it_says, a_line_that_is_not_exactly_right_is_bad,
		a_line_ends_within_107_bytes, a_binary_header_carries_the_source, ipv4_within_ipv6_is_ipv4,
		who_comes_for_himself_or_by_another_way_carries_none,
		other_versions_commands_families_and_short_addresses_are_bad, a_header_is_short_until_its_last_byte,
		what_is_no_header_is_bad_at_its_first_wrong_byte,
	};
	return suite_run("wire/proxy_header", rules, sizeof(rules) / sizeof(rules[0]));
}
