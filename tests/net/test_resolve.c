/* tests/net/test_resolve.c - net/resolve, with name servers of our own on loopback. */
#include "ends.h"

#include <poll.h>
#include <sys/un.h>

#include "../suite.h"
#include "dns_server.h"
#include "net/resolve.h"

static struct loop *loop;
static struct resolver *r;
static struct dns_server servers[3];
static unsigned server_count;
static char conf_path[] = "/tmp/test_resolve.XXXXXX";

static struct resolved heard;
static int answers;

static void
on_answer(void *context, const struct resolved *answer)
{
	heard = *answer;
	answers++;
}

static char changed[100];

static void
on_change(void *context, const char *host, const struct resolved *now)
{
	snprintf(changed, sizeof(changed), "%s %u", host, now->count);
}

static void
write_conf(const char *more)
{
	FILE *f = fopen(conf_path, "w");
	ck_assert_ptr_nonnull(f);
	for (unsigned i = 0; i < server_count; i++)
		fprintf(f, "nameserver 127.0.0.1:%u\n", servers[i].port);
	fputs(more, f);
	fclose(f);
}

static void
begin(const struct zone *zone, unsigned count, const char *more)
{
	loop = loop_new((struct loop_hooks){ 0 }, NULL);
	server_count = count;
	for (unsigned i = 0; i < count; i++)
		server_open(&servers[i], zone);
	close(mkstemp(conf_path));
	write_conf(more);
	struct resolver_settings settings = { conf_path, 60 * SECOND_US, 5 * SECOND_US };
	r = resolver_new(loop, &settings);
	resolver_on_change(r, on_change, NULL);
	answers = 0;
	changed[0] = '\0';
}

static void
end(void)
{
	resolver_free(r);
	loop_free(loop);
	for (unsigned i = 0; i < server_count; i++)
		server_close(&servers[i]);
	unlink(conf_path);
}

static void
turn(void)
{
	struct pollfd watched[3];
	for (unsigned i = 0; i < server_count; i++)
		watched[i] = (struct pollfd){ .fd = servers[i].fd, .events = POLLIN };
	loop_turn(loop, false);
	poll(watched, server_count, 1); /* ms: the loop has timers too */
	for (unsigned i = 0; i < server_count; i++)
		server_serve(&servers[i]);
}

#define serve_until(condition)                                                                                         \
	do {                                                                                                            \
		uint64_t until_us = clock_exact_us() + 20 * SECOND_US;                                                   \
		while (!(condition) && clock_exact_us() < until_us)                                                      \
			turn();                                                                                          \
		ck_assert_msg(condition, "%s", #condition);                                                              \
	} while (0)

/* All addresses, in order. */
static const char *
ask(const char *name)
{
	static char text[1000];
	int before = answers;
	resolve_name(r, name, 5432, on_answer, NULL);
	serve_until(answers > before);
	if (heard.count == 0)
		return heard.error;
	text[0] = '\0';
	for (unsigned i = 0; i < heard.count; i++) {
		char host[64];
		uint16_t port;
		address_text((struct sockaddr *)&heard.at[i].address, host, sizeof(host), &port);
		ck_assert_uint_eq(port, 5432);
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s", i ? " " : "", host);
	}
	return text;
}

static uint64_t
good_for_s(const char *host)
{
	const void *at = NULL;
	struct remembered_name name;
	while (resolver_next(r, &at, &name))
		if (strcmp(name.host, host) == 0)
			return name.good_until_us > clock_now_us() ? (name.good_until_us - clock_now_us() + 500000) / SECOND_US : 0;
	ck_abort_msg("not remembered");
}

/* Time passes until the names are due again, as their seconds go by. */
static void
wait_until_due(const char *host)
{
	serve_until((clock_update(), good_for_s(host) == 0 && resolve_distrust(r, host)));
}

START_TEST(numbers_and_paths_are_answered_at_once)
{
	begin(NULL, 0, "");
	ck_assert_str_eq(ask("127.0.0.1"), "127.0.0.1");
	ck_assert_str_eq(ask("::1"), "::1");
	ck_assert_ptr_null(resolve_name(r, "/var/run/postgresql", 5432, on_answer, NULL));
	ck_assert_uint_eq(heard.count, 1);
	ck_assert_str_eq(((struct sockaddr_un *)(void *)&heard.at[0].address)->sun_path, "/var/run/postgresql/.s.PGSQL.5432");
	resolve_name(r, "@abstract", 5432, on_answer, NULL);
	ck_assert_int_eq(((struct sockaddr_un *)(void *)&heard.at[0].address)->sun_path[0], '\0');
	char longer[200];
	memset(longer, 'x', sizeof(longer));
	longer[0] = '/';
	longer[sizeof(longer) - 1] = '\0';
	resolve_name(r, longer, 5432, on_answer, NULL);
	ck_assert_uint_eq(heard.count, 0);
	ck_assert_int_eq(answers, 5);
	end();
}
END_TEST

START_TEST(localhost_needs_no_name_server)
{
	begin(NULL, 0, "");
	ask("localhost");
	ck_assert_uint_ge(heard.count, 1);
	ck_assert_int_eq(answers, 1);
	ck_assert_uint_eq(good_for_s("localhost"), 60);
	end();
}
END_TEST

static const struct zone plain_zone[] = {
	{ .name = "db.example", .address = { "127.0.0.2", "127.0.0.1", "::1" }, .ttl_s = 20 },
	{ .name = "short.example", .address = { "127.0.0.2" }, .ttl_s = 0 },
	{ .name = "long.example", .address = { "127.0.0.2" }, .ttl_s = 86400 },
	{ .name = "alias.example", .alias = "node.example", .address = { "127.0.0.3" }, .ttl_s = 7 },
	{ .name = "empty.example", .ttl_s = 7 },
	{ .name = "broken.example", .rcode = 2 },
	{ .name = "many.example", .ttl_s = 7,
	  .address = { "127.0.1.1", "127.0.1.2", "127.0.1.3", "127.0.1.4", "127.0.1.5", "127.0.1.6", "127.0.1.7",
	               "127.0.1.8", "127.0.1.9", "127.0.1.10", "127.0.1.11", "127.0.1.12", "127.0.1.13", "127.0.1.14",
	               "127.0.1.15", "127.0.1.16", "127.0.1.17", "127.0.1.18", "127.0.1.19", "127.0.1.20", "127.0.1.21",
	               "127.0.1.22", "127.0.1.23", "127.0.1.24", "127.0.1.25", "127.0.1.26", "127.0.1.27", "127.0.1.28",
	               "127.0.1.29", "127.0.1.30", "127.0.1.31", "127.0.1.32", "127.0.1.33" } },
	{ 0 },
};

START_TEST(records_say_how_long_they_are_good)
{
	begin(plain_zone, 1, "");
	ck_assert_str_eq(ask("short.example"), "127.0.0.2");
	ck_assert_uint_eq(good_for_s("short.example"), 1); /* not for each connection */
	ask("long.example");
	ck_assert_uint_eq(good_for_s("long.example"), 60); /* the setting */
	ck_assert_str_eq(ask("alias.example"), "127.0.0.3");
	ck_assert_uint_eq(good_for_s("alias.example"), 7); /* the alias's, not the 3600 of the record behind it */
	unsigned asked = servers[0].questions;
	ask("alias.example");
	ck_assert_uint_eq(servers[0].questions, asked);
	end();
}
END_TEST

START_TEST(both_families_come_in_turn)
{
	begin(plain_zone, 1, "");
	const char *text = ask("db.example");
	bool has_ipv6 = strncmp(text, "::1", 3) == 0; /* else this machine has none, and it is last */
	ck_assert_str_eq(text, has_ipv6 ? "::1 127.0.0.2 127.0.0.1" : "127.0.0.2 127.0.0.1 ::1");
	ck_assert_uint_eq(heard.trusted, 3);
	end();
}
END_TEST

START_TEST(what_is_not_there_is_remembered_too)
{
	begin(plain_zone, 1, "");
	ck_assert_str_eq(ask("nobody.example"), "there is no such name");
	ck_assert_uint_eq(good_for_s("nobody.example"), 5);
	ck_assert_str_eq(ask("empty.example"), "the name has no address");
	unsigned asked = servers[0].questions;
	ask("nobody.example");
	ck_assert_uint_eq(servers[0].questions, asked);
	ck_assert_uint_eq(resolver_counters(r)->absences, 2);
	ck_assert_str_eq(ask("no..name"), "that can't be the name of a host");
	end();
}
END_TEST

START_TEST(more_addresses_than_are_kept_are_no_trouble)
{
	begin(plain_zone, 1, "");
	ask("many.example");
	ck_assert_uint_eq(heard.count, RESOLVE_ADDRESSES_MAX);
	ck_assert(heard.is_partial);
	end();
}
END_TEST

START_TEST(the_search_list_is_followed_for_both_families_together)
{
	static const struct zone zone[] = {
		{ .name = "db.a.example", .address = { "127.0.0.2" }, .ttl_s = 20 },
		{ .name = "db.b.example", .address = { "::1" }, .ttl_s = 20 },
		{ .name = "two.dots", .address = { "127.0.0.4" }, .ttl_s = 20 },
		{ .name = "two.dots.a.example", .address = { "127.0.0.5" }, .ttl_s = 20 },
		{ .name = "top", .address = { "127.0.0.6" }, .ttl_s = 20 },
		{ .name = "bad.a.example", .rcode = 2 },
		{ .name = "bad.b.example", .address = { "127.0.0.7" }, .ttl_s = 20 },
		{ 0 },
	};
	begin(zone, 1, "search a.example b.example\noptions ndots:1\n");
	ck_assert_str_eq(ask("db"), "127.0.0.2"); /* and not the other domain's ::1 */
	ck_assert_str_eq(ask("two.dots"), "127.0.0.4");
	ck_assert_str_eq(ask("top"), "127.0.0.6");
	ck_assert_str_eq(ask("bad"), "no name server can tell"); /* and not the other domain's */
	ck_assert_str_eq(ask("db."), "there is no such name");
	end();
	begin(zone, 1, "search a.example\noptions ndots:2\n");
	ck_assert_str_eq(ask("two.dots"), "127.0.0.5");
	end();
}
END_TEST

START_TEST(a_server_that_is_silent_or_gone_or_mad_is_passed_over)
{
	begin(plain_zone, 3, "");
	server_close(&servers[0]);
	servers[1].manner = SENDS_GARBAGE;
	ck_assert_str_eq(ask("alias.example"), "127.0.0.3");
	ck_assert_uint_gt(servers[1].questions, 0);
	servers[2].manner = IS_SILENT;
	servers[1].manner = ANSWERS;
	ck_assert_str_eq(ask("long.example"), "127.0.0.2");
	end();
}
END_TEST

START_TEST(servers_from_before_edns_are_asked_in_the_old_way)
{
	begin(plain_zone, 1, "");
	servers[0].manner = KNOWS_NO_EDNS;
	ck_assert_str_eq(ask("alias.example"), "127.0.0.3");
	ck_assert_str_eq(ask("long.example"), "127.0.0.2");
	ck_assert_uint_eq(servers[0].with_edns, 2); /* in the beginning only */
	end();
}
END_TEST

START_TEST(a_server_that_knows_one_family_only_is_enough)
{
	begin(plain_zone, 1, "");
	servers[0].manner = FAILS_ON_AAAA;
	ck_assert_str_eq(ask("alias.example"), "127.0.0.3");
	servers[0].manner = SILENT_ON_AAAA;
	ck_assert_str_eq(ask("long.example"), "127.0.0.2");
	end();
}
END_TEST

START_TEST(the_last_good_answer_stays_while_nobody_can_tell)
{
	begin(plain_zone, 1, "");
	ck_assert_str_eq(ask("broken.example"), "no name server can tell"); /* there never was a good one */
	ask("short.example");
	servers[0].manner = IS_SILENT;
	wait_until_due("short.example");
	answers = 0;
	ck_assert_str_eq(ask("short.example"), "127.0.0.2");
	ck_assert_uint_eq(good_for_s("short.example"), 5);
	ck_assert_uint_eq(resolver_counters(r)->failures, 2);
	end();
}
END_TEST

/* As of a cache that still knows that there is no IPv6, and can't ask for IPv4 any more. */
START_TEST(the_last_good_answer_stays_while_one_family_is_unknown)
{
	begin(plain_zone, 1, "");
	servers[0].manner = FAILS_ON_A;
	ck_assert_str_eq(ask("long.example"), "the name has no address");
	servers[0].manner = ANSWERS;
	ask("short.example");
	servers[0].manner = FAILS_ON_A;
	servers[0].failed = 0;
	wait_until_due("short.example");
	ck_assert_str_eq(ask("short.example"), "127.0.0.2");
	ck_assert_uint_eq(resolver_counters(r)->failures, 1);
	end();
}
END_TEST

START_TEST(who_waits_too_long_gets_the_last_good_answer)
{
	begin(plain_zone, 1, "");
	ask("short.example");
	servers[0].manner = IS_SILENT;
	wait_until_due("short.example");
	resolve_name(r, "short.example", 1, on_answer, NULL);
	ck_assert_int_eq(answers, 1);
	ck_assert_uint_eq(resolver_asking(r), 1);
	serve_until((resolver_tick(r), answers == 2));
	ck_assert_uint_eq(heard.count, 1);
	end();
}
END_TEST

START_TEST(other_addresses_are_noticed_and_told_once)
{
	struct zone zone[] = { { .name = "db.example", .address = { "127.0.0.2" }, .ttl_s = 1 }, { 0 } };
	begin(zone, 1, "");
	ask("db.example");
	resolve_keep(r, "db.example");
	zone[0].address[0] = "127.0.0.9";
	serve_until((resolver_tick(r), changed[0]));
	ck_assert_str_eq(changed, "db.example 1");
	ck_assert_str_eq(ask("db.example"), "127.0.0.9");
	changed[0] = '\0';
	wait_until_due("db.example");
	ask("db.example");
	ck_assert_str_eq(changed, "");
	/* Gone for a while, and back elsewhere. */
	zone[0].rcode = 3;
	wait_until_due("db.example");
	ck_assert_str_eq(ask("db.example"), "there is no such name");
	zone[0].rcode = 0;
	zone[0].address[0] = "127.0.0.10";
	serve_until((clock_update(), resolve_distrust(r, "db.example")));
	ck_assert_str_eq(ask("db.example"), "127.0.0.10");
	ck_assert_str_eq(changed, "db.example 1");
	end();
}
END_TEST

START_TEST(what_works_comes_first_and_what_fails_last)
{
	struct zone zone[] = { { .name = "db.example", .address = { "127.0.0.1", "127.0.0.2", "127.0.0.3" }, .ttl_s = 1 }, { 0 } };
	begin(zone, 1, "");
	ck_assert_str_eq(ask("db.example"), "127.0.0.1 127.0.0.2 127.0.0.3");
	struct sockaddr_storage first = heard.at[0].address, third = heard.at[2].address;
	resolve_failed(r, "db.example", &first);
	ck_assert_str_eq(ask("db.example"), "127.0.0.2 127.0.0.3 127.0.0.1");
	ck_assert_uint_eq(heard.trusted, 2);
	resolve_worked(r, "db.example", &third);
	ck_assert_str_eq(ask("db.example"), "127.0.0.3 127.0.0.2 127.0.0.1");
	wait_until_due("db.example"); /* an answer later it is still known */
	zone[0].address[1] = "127.0.0.8";
	ck_assert_str_eq(ask("db.example"), "127.0.0.3 127.0.0.8 127.0.0.1");
	resolve_failed(r, "db.example", &third);
	ck_assert_str_eq(ask("db.example"), "127.0.0.8 127.0.0.1 127.0.0.3");
	resolve_failed(r, "nobody", &third);
	ck_assert(!resolve_distrust(r, "db.example")); /* fresh */
	ck_assert(!resolve_distrust(r, "127.0.0.1"));
	end();
}
END_TEST

START_TEST(a_changed_resolv_conf_takes_effect)
{
	static const struct zone other[] = { { .name = "db.example", .address = { "127.0.0.9" }, .ttl_s = 20 }, { 0 } };
	begin(plain_zone, 2, "");
	servers[1].zone = other;
	ask("db.example");
	resolve_keep(r, "db.example");
	uint16_t port = servers[0].port;
	servers[0].port = servers[1].port; /* only in the file */
	write_conf("# changed\n");
	servers[0].port = port;
	serve_until((resolver_tick(r), changed[0]));
	ck_assert_str_eq(ask("db.example"), "127.0.0.9");
	end();
}
END_TEST

START_TEST(questions_are_shared_and_may_be_given_up_and_left_open)
{
	begin(plain_zone, 1, "");
	servers[0].manner = IS_SILENT;
	struct resolve_request *q[3];
	for (int i = 0; i < 3; i++)
		q[i] = resolve_name(r, "db.example", 1, on_answer, NULL);
	for (int i = 0; i < 100; i++)
		resolve_name(r, (char[]){ 'a', (char)('a' + i % 26), (char)('a' + i / 26), 0 }, 1, on_answer, NULL);
	ck_assert_uint_eq(resolver_asking(r), 101);
	serve_until(servers[0].questions > 0);
	resolve_cancel(q[1]);
	resolve_cancel(NULL);
	servers[0].manner = ANSWERS;
	serve_until(answers == 102);
	servers[0].manner = IS_SILENT;
	for (int i = 0; i < 100; i++)
		resolve_name(r, (char[]){ 'b', (char)('a' + i % 26), (char)('a' + i / 26), 0 }, 1, on_answer, NULL);
	turn();
	end(); /* with questions open */
	ck_assert_int_eq(answers, 102);
}
END_TEST

int
main(void)
{
	const TTest *const rules[] = {
		numbers_and_paths_are_answered_at_once,
		localhost_needs_no_name_server,
		records_say_how_long_they_are_good,
		both_families_come_in_turn,
		what_is_not_there_is_remembered_too,
		more_addresses_than_are_kept_are_no_trouble,
		the_search_list_is_followed_for_both_families_together,
		a_server_that_is_silent_or_gone_or_mad_is_passed_over,
		servers_from_before_edns_are_asked_in_the_old_way,
		a_server_that_knows_one_family_only_is_enough,
		the_last_good_answer_stays_while_nobody_can_tell,
		the_last_good_answer_stays_while_one_family_is_unknown,
		who_waits_too_long_gets_the_last_good_answer,
		other_addresses_are_noticed_and_told_once,
		what_works_comes_first_and_what_fails_last,
		a_changed_resolv_conf_takes_effect,
		questions_are_shared_and_may_be_given_up_and_left_open,
	};
	return suite_run("net/resolve", rules, sizeof(rules) / sizeof(rules[0]));
}
