/* tests/config/test_addresses.c - config/addresses: lists of addresses, and who is in them. */
#include "config/addresses.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "../suite.h"

static bool
has(const char *list, const char *who)
{
	struct sockaddr_storage a = { .ss_family = AF_UNIX };
	struct sockaddr_in *in = (struct sockaddr_in *)(void *)&a;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)(void *)&a;
	if (inet_pton(AF_INET, who, &in->sin_addr) == 1)
		a.ss_family = AF_INET;
	else if (inet_pton(AF_INET6, who, &in6->sin6_addr) == 1)
		a.ss_family = AF_INET6;
	else
		ck_assert_str_eq(who, "unix");
	return addresses_have(list, (const struct sockaddr *)&a);
}

START_TEST(an_address_is_in_the_ranges_that_it_is_in)
{
	ck_assert(has("10.0.0.5", "10.0.0.5"));
	ck_assert(!has("10.0.0.5", "10.0.0.4"));
	ck_assert(has("10.1.0.0/16, 192.0.2.0/25", "192.0.2.127"));
	ck_assert(!has("10.1.0.0/16, 192.0.2.0/25", "192.0.2.128"));
	ck_assert(has("10.0.0.0/7", "11.255.255.255"));
	ck_assert(!has("10.0.0.0/7", "12.0.0.0"));
	ck_assert(has("fd00::/8,::1", "fdff::1"));
	ck_assert(has("fd00::/8,::1", "::1"));
	ck_assert(!has("fd00::/8,::1", "fe00::1"));
	ck_assert(has("fe80::/9", "fe80::5"));
	ck_assert(!has("fe80::/10", "fec0::5"));
	ck_assert(!has("", "10.0.0.5"));
	ck_assert(!has("", "unix"));
}
END_TEST

START_TEST(families_are_kept_apart_and_ipv4_within_ipv6_is_ipv4)
{
	ck_assert(has("0.0.0.0/0", "255.1.2.3"));
	ck_assert(has("0.0.0.0/0", "::ffff:255.1.2.3"));
	ck_assert(!has("0.0.0.0/0", "::1"));
	ck_assert(!has("0.0.0.0/0, ::/0", "unix"));
	ck_assert(has("::/0", "2001:db8::1"));
	ck_assert(!has("::/0", "10.0.0.5"));
	ck_assert(!has("::/0", "::ffff:10.0.0.5"));
	ck_assert(has("10.0.0.5,unix", "unix"));
	ck_assert(!has("unix", "0.0.0.0"));
	ck_assert(!has("unix", "::"));
}
END_TEST

START_TEST(what_is_no_range_is_said_to_be_none)
{
	static const char *const good[] = { "unix", "0.0.0.0/0", "::/0", "10.0.0.5/32", "::1/128", "128.0.0.0/1", "fd00::/8" };
	static const char *const bad[] = { "", "Unix", "host", "10.0.0", "10.0.0.5/", "10.0.0.5/33", "10.0.0.5/-1", "10.0.0.5/8x",
		                           "::1/129", "::1/0128", "10.0.0.5/8", "10.0.0.1/31", "fd00::1/8", "10.0.0.0/255.0.0.0",
		                           "[::1]", "10.0.0.5:5432", "010.0.0.5", "::1%lo", "/8",
		                           "0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0001" };
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		ck_assert_msg(address_item_wrong(view_of_string(good[i])) == NULL, "%s", good[i]);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_msg(address_item_wrong(view_of_string(bad[i])) != NULL, "%s", bad[i]);
	ck_assert_ptr_nonnull(address_item_wrong(VIEW("10.0.0.5\0x")));
}
END_TEST

int
main(void)
{
	const TTest *const rules[] = { an_address_is_in_the_ranges_that_it_is_in,
				       families_are_kept_apart_and_ipv4_within_ipv6_is_ipv4,
				       what_is_no_range_is_said_to_be_none };
	return suite_run("config/addresses", rules, sizeof(rules) / sizeof(rules[0]));
}
