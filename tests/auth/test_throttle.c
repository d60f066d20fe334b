/* tests/auth/test_throttle.c - who may go on trying, with a clock that is set. */
#include "auth/throttle.h"

#include <arpa/inet.h>
#include <stdio.h>

#include "../suite.h"
#include "base/ip.h"

#define SECOND UINT64_C(1000000)

static const struct throttle_rules rules = { .limit = 6, .window_us = 60 * SECOND };
static struct throttle *t;
static uint64_t now;

static void
begin(void)
{
	throttle_free(t);
	t = throttle_new();
	now = 1000 * SECOND;
}

static struct ip_address
at(const char *text)
{
	struct ip_address a;
	ck_assert(ip_address_read(text, &a));
	return a;
}

static void
fails(const char *from, const char *user, int times)
{
	struct ip_address a = at(from);
	for (int i = 0; i < times; i++)
		throttle_failed(t, &rules, &a, user, now);
}

static bool
may(const char *from, const char *user)
{
	struct ip_address a = at(from);
	return !throttle_ask(t, &rules, &a, user, now).is_refused;
}

static void
succeed(const char *from, const char *user)
{
	struct ip_address a = at(from);
	throttle_succeeded(t, &rules, &a, user, now);
}

START_TEST(one_name_may_fail_half_as_often_as_an_address)
{
	begin();
	fails("192.0.2.1", "app", 2);
	ck_assert(may("192.0.2.1", "app"));
	fails("192.0.2.1", "app", 1);
	ck_assert(!may("192.0.2.1", "app"));
	ck_assert(may("192.0.2.1", "other") && may("192.0.2.2", "app")); /* its neighbours are not meant */
	fails("192.0.2.1", "other", 2);
	ck_assert(may("192.0.2.1", "third"));
	fails("192.0.2.1", "third", 1);
	ck_assert(!may("192.0.2.1", "third") && !may("192.0.2.1", "fourth"));
	ck_assert(may("192.0.2.2", "third"));
}
END_TEST

START_TEST(the_window_ends)
{
	begin();
	fails("192.0.2.1", "app", 2);
	now += 59 * SECOND;
	fails("192.0.2.1", "app", 1);
	ck_assert(!may("192.0.2.1", "app"));
	now += SECOND - 1;
	ck_assert(!may("192.0.2.1", "app"));
	now += 1;
	ck_assert(may("192.0.2.1", "app"));
	fails("192.0.2.1", "app", 2);
	ck_assert(may("192.0.2.1", "app"));
}
END_TEST

START_TEST(who_logs_in_wipes_his_own_failures_only)
{
	begin();
	fails("192.0.2.1", "app", 2);
	fails("192.0.2.1", "victim", 2);
	succeed("192.0.2.1", "app");
	fails("192.0.2.1", "app", 2);
	ck_assert(may("192.0.2.1", "app"));
	fails("192.0.2.1", "victim", 1); /* the third of this name */
	ck_assert(!may("192.0.2.1", "victim"));
	ck_assert(may("192.0.2.1", "new")); /* 2 + 3 count: two of app's are forgiven */
	fails("192.0.2.1", "new", 1);
	ck_assert(!may("192.0.2.1", "new"));
}
END_TEST

START_TEST(who_is_known_there_comes_in_although_others_failed)
{
	begin();
	succeed("192.0.2.1", "good");
	for (int i = 0; i < 20; i++) {
		char name[10];
		snprintf(name, sizeof(name), "u%d", i);
		fails("192.0.2.1", name, 1);
	}
	ck_assert(!may("192.0.2.1", "stranger"));
	ck_assert(may("192.0.2.1", "good"));
	ck_assert(!may("192.0.2.1", "Good"));
	fails("192.0.2.1", "good", 3); /* its name may not be guessed at for ever, either */
	ck_assert(!may("192.0.2.1", "good"));
	now += 61 * SECOND;
	fails("192.0.2.1", "x", 6);
	ck_assert(may("192.0.2.1", "good"));
	now += 86400 * SECOND;
	fails("192.0.2.1", "x", 6);
	ck_assert(!may("192.0.2.1", "good"));
}
END_TEST

START_TEST(an_ipv6_customer_is_one_address)
{
	begin();
	for (int i = 0; i < 6; i++) {
		char from[64], name[10];
		snprintf(from, sizeof(from), "2001:db8:1:2:%x::%x", i + 1, i);
		snprintf(name, sizeof(name), "u%d", i);
		fails(from, name, 1);
	}
	ck_assert(!may("2001:db8:1:2:ffff::1", "app"));
	ck_assert(may("2001:db8:1:3::1", "app"));
	fails("192.0.2.1", "a", 3);
	fails("192.0.2.1", "b", 3);
	ck_assert(may("192.0.2.2", "app")); /* each IPv4 address for itself */
}
END_TEST

START_TEST(it_is_news_once_in_a_window)
{
	begin();
	struct ip_address a = at("192.0.2.1");
	fails("192.0.2.1", "app", 3);
	struct throttle_verdict v = throttle_ask(t, &rules, &a, "app", now);
	ck_assert(v.is_refused && v.is_news && v.is_user && v.until_us == now + 60 * SECOND);
	v = throttle_ask(t, &rules, &a, "app", now);
	ck_assert(v.is_refused && !v.is_news);
	fails("192.0.2.1", "other", 3);
	v = throttle_ask(t, &rules, &a, "third", now);
	ck_assert(v.is_refused && v.is_news && !v.is_user);
	v = throttle_ask(t, &rules, &a, "fourth", now);
	ck_assert(v.is_refused && !v.is_news);
	now += 61 * SECOND;
	fails("192.0.2.1", "app", 3);
	ck_assert(throttle_ask(t, &rules, &a, "app", now).is_news);
}
END_TEST

START_TEST(unix_sockets_and_limit_0_are_never_refused)
{
	begin();
	const struct throttle_rules off = { .limit = 0, .window_us = 60 * SECOND };
	struct ip_address nowhere = { 0 }, a = at("192.0.2.1");
	for (int i = 0; i < 1000; i++) {
		throttle_failed(t, &rules, &nowhere, "app", now);
		throttle_failed(t, &off, &a, "app", now);
	}
	ck_assert(!throttle_ask(t, &rules, &nowhere, "app", now).is_refused);
	ck_assert(!throttle_ask(t, &off, &a, "app", now).is_refused);
	ck_assert_uint_eq(throttle_room(t), 0); /* nothing was noted at all */
	fails("192.0.2.1", "app", 100);
	ck_assert(!throttle_ask(t, &off, &a, "app", now).is_refused); /* switched off by a reload */
}
END_TEST

START_TEST(a_limit_of_one_is_one)
{
	begin();
	const struct throttle_rules one = { .limit = 1, .window_us = SECOND };
	struct ip_address a = at("192.0.2.1");
	ck_assert(!throttle_ask(t, &one, &a, "app", now).is_refused);
	throttle_failed(t, &one, &a, "app", now);
	ck_assert(throttle_ask(t, &one, &a, "app", now).is_refused);
	ck_assert(throttle_ask(t, &one, &a, "other", now).is_refused);
}
END_TEST

START_TEST(a_flood_of_addresses_takes_no_more_memory_and_frees_nobody)
{
	begin();
	fails("192.0.2.1", "app", 6);
	succeed("192.0.2.2", "good");
	for (uint32_t i = 0; i < 200000; i++) {
		struct ip_address a = { 4, { 10, (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i } };
		throttle_failed(t, &rules, &a, "x", now);
	}
	ck_assert_uint_le(throttle_room(t), 4096);
	ck_assert_uint_le(throttle_count(t, now), throttle_room(t));
	ck_assert(!may("192.0.2.1", "app")); /* who failed more often is not pushed out by those who failed less */
	now += 61 * SECOND;
	ck_assert_uint_le(throttle_count(t, now), 1);
}
END_TEST

int
main(void)
{
	const TTest *const all[] = {
		one_name_may_fail_half_as_often_as_an_address,
		the_window_ends,
		who_logs_in_wipes_his_own_failures_only,
		who_is_known_there_comes_in_although_others_failed,
		an_ipv6_customer_is_one_address,
		it_is_news_once_in_a_window,
		unix_sockets_and_limit_0_are_never_refused,
		a_limit_of_one_is_one,
		a_flood_of_addresses_takes_no_more_memory_and_frees_nobody,
	};
	int status = suite_run("auth/throttle", all, sizeof(all) / sizeof(all[0]));
	throttle_free(t);
	return status;
}
