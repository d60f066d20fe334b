/* tests/net/test_dns.c - net/dns, with name servers of our own on loopback: what it makes of c-ares. */
#include "dns_server.h"

#include <poll.h>
#include <stdlib.h>

#include "../suite.h"
#include "base/clock.h"
#include "net/dns.h"

static struct loop *loop;
static struct dns *d;
static struct dns_server servers[2];
static char conf_path[] = "/tmp/test_dns.XXXXXX";

static struct dns_report heard;
static int answers;

static void
on_done(void *context, const struct dns_report *report)
{
	heard = *report;
	answers++;
}

static const struct zone zone[] = {
	{ .name = "db.example", .address = { "127.0.0.2", "127.0.0.1", "::1" }, .ttl_s = 20 },
	{ .name = "alias.example", .alias = "node.example", .address = { "127.0.0.3" }, .ttl_s = 7 },
	{ .name = "forever.example", .address = { "127.0.0.3" }, .ttl_s = 0xffffffff },
	{ .name = "empty.example", .ttl_s = 7 },
	{ .name = "broken.example", .rcode = 2 },
	{ .name = "refused.example", .rcode = 5 },
	{ .name = "single", .address = { "127.0.0.4" }, .ttl_s = 20 },
	{ 0 },
};

static void
configure(unsigned server, const char *more)
{
	FILE *f = fopen(conf_path, "w");
	ck_assert_ptr_nonnull(f);
	fprintf(f, "# comment\nnameserver nonsense\nnameserver 127.0.0.1:%u\n%s", servers[server].port, more);
	fclose(f);
	dns_configure(d, conf_path);
}

static void
begin(const char *more)
{
	loop = loop_new((struct loop_hooks){ 0 }, NULL);
	d = dns_new(loop);
	for (int i = 0; i < 2; i++)
		server_open(&servers[i], zone);
	close(mkstemp(conf_path));
	configure(0, more);
	answers = 0;
}

static void
end(void)
{
	dns_free(d);
	loop_free(loop);
	server_close(&servers[0]);
	server_close(&servers[1]);
	unlink(conf_path);
}

static void
turn(void)
{
	struct pollfd watched[] = { { .fd = servers[0].fd, .events = POLLIN }, { .fd = servers[1].fd, .events = POLLIN } };
	loop_turn(loop, false);
	poll(watched, 2, 1); /* ms: the loop has timers too */
	server_serve(&servers[0]);
	server_serve(&servers[1]);
}

#define serve_until(condition)                                                                                         \
	do {                                                                                                            \
		uint64_t until_us = clock_exact_us() + 20 * SECOND_US;                                                   \
		while (!(condition) && clock_exact_us() < until_us)                                                      \
			turn();                                                                                          \
		ck_assert_msg(condition, "%s", #condition);                                                              \
	} while (0)

static enum dns_result
ask(const char *name)
{
	int before = answers;
	dns_ask(d, name, on_done, NULL);
	ck_assert_int_eq(answers, before);
	serve_until(answers > before);
	ck_assert_int_eq(answers, before + 1);
	ck_assert((heard.result == DNS_FOUND) == (heard.count > 0));
	ck_assert((heard.result == DNS_FOUND) == (heard.why == NULL));
	return heard.result;
}

START_TEST(addresses_of_both_families_come_with_the_shortest_lifetime_on_the_way)
{
	begin("");
	ck_assert_int_eq(ask("db.example"), DNS_FOUND);
	ck_assert_uint_eq(heard.count, 3);
	ck_assert_uint_eq(heard.ttl_s, 20);
	ck_assert(!heard.is_partial && !heard.is_from_file);
	ck_assert_int_eq(ask("alias.example"), DNS_FOUND);
	ck_assert_uint_eq(heard.count, 1);
	ck_assert_uint_eq(heard.ttl_s, 7);
	ck_assert_int_eq(ask("forever.example"), DNS_FOUND);
	ck_assert_uint_eq(heard.ttl_s, 0); /* RFC 2181, 8 */
	ck_assert_uint_eq(servers[0].with_edns, servers[0].questions);
	end();
}
END_TEST

START_TEST(what_is_sure_and_what_is_not_are_told_apart)
{
	begin("");
	ck_assert_int_eq(ask("nobody.example"), DNS_NO_NAME);
	ck_assert_int_eq(ask("empty.example"), DNS_NO_ADDRESS);
	ck_assert_int_eq(ask("broken.example"), DNS_FAILED);
	ck_assert_int_eq(ask("refused.example"), DNS_FAILED);
	servers[0].manner = IS_SILENT;
	ck_assert_int_eq(ask("db.example"), DNS_FAILED);
	ck_assert_str_eq(heard.why, "no name server answers");
	server_close(&servers[0]);
	ck_assert_int_eq(ask("db.example"), DNS_FAILED);
	end();
}
END_TEST

START_TEST(bad_names_are_told_later_too)
{
	char longer[300];
	memset(longer, 'x', sizeof(longer));
	longer[64] = '\0';
	begin("search a.example\n");
	ck_assert_int_eq(ask("no..name"), DNS_NO_NAME);
	ck_assert_str_eq(heard.why, "that can't be the name of a host");
	ck_assert_int_eq(ask(longer), DNS_NO_NAME);
	longer[64] = 'x';
	for (int i = 60; i < 299; i += 60)
		longer[i] = '.';
	longer[299] = '\0';
	ck_assert_int_eq(ask(longer), DNS_NO_NAME);
	ask("");
	ask(".");
	end();
}
END_TEST

START_TEST(the_hosts_file_comes_first)
{
	begin("");
	ck_assert_int_eq(ask("localhost"), DNS_FOUND);
	ck_assert(heard.is_from_file);
	dns_configure(d, "/nonexistent");
	ck_assert_int_eq(ask("localhost"), DNS_FOUND);
	ck_assert_uint_eq(servers[0].questions, 0);
	end();
}
END_TEST

START_TEST(answers_that_are_cut_short_come_whole_by_tcp)
{
	begin("");
	servers[0].is_cut = true;
	ck_assert_int_eq(ask("db.example"), DNS_FOUND);
	ck_assert_uint_eq(heard.count, 3);
	ck_assert_uint_ge(servers[0].by_tcp, 1);
	close(servers[0].listener);
	close(servers[0].connection);
	servers[0].listener = servers[0].connection = -1;
	ck_assert_int_eq(ask("db.example"), DNS_FAILED);
	end();
}
END_TEST

START_TEST(more_addresses_than_are_kept_are_no_trouble)
{
	static char text[70][16];
	struct zone many[] = { { .name = "many.example", .ttl_s = 7 }, { 0 } };
	for (int i = 0; i < 70; i++) {
		snprintf(text[i], sizeof(text[i]), "127.0.1.%d", i + 1);
		many[0].address[i] = text[i];
	}
	begin("");
	servers[0].zone = many;
	ck_assert_int_eq(ask("many.example"), DNS_FOUND);
	ck_assert_uint_eq(heard.count, DNS_ADDRESSES_MAX);
	ck_assert(heard.is_partial);
	end();
}
END_TEST

/* systemd-resolved writes it. */
START_TEST(the_root_in_the_search_list_is_no_trouble)
{
	begin("search .\n");
	ck_assert_int_eq(ask("single"), DNS_FOUND);
	ck_assert_int_eq(ask("db.example"), DNS_FOUND);
	ck_assert_int_eq(ask("nobody"), DNS_NO_NAME);
	ck_assert_int_eq(ask("nobody.example"), DNS_NO_NAME);
	ck_assert_str_eq(heard.why, "there is no such name");
	ck_assert_int_eq(ask("empty.example"), DNS_NO_ADDRESS);
	end();
}
END_TEST

START_TEST(open_lookups_begin_again_with_another_configuration)
{
	begin("");
	servers[0].manner = SILENT_ON_AAAA; /* of IPv4 there is an answer already */
	static const char *const names[] = { "db.example", "alias.example", "nobody.example", "broken.example" };
	for (int i = 0; i < 4; i++)
		dns_ask(d, names[i], on_done, NULL);
	dns_ask(d, "localhost", on_done, NULL); /* is known, and not told yet */
	serve_until(servers[0].questions >= 8);
	for (int i = 0; i < 5; i++)
		turn();
	ck_assert_int_eq(answers, 1);
	configure(1, "");
	configure(1, "");
	ck_assert_int_eq(answers, 1);
	serve_until(answers == 5);
	for (int i = 0; i < 5; i++)
		turn();
	ck_assert_int_eq(answers, 5);
	ck_assert_int_eq(ask("db.example"), DNS_FOUND);
	ck_assert_uint_eq(heard.count, 3);
	end();
}
END_TEST

START_TEST(lookups_may_be_left_open)
{
	begin("");
	end(); /* nothing was asked */
	begin("");
	servers[0].manner = IS_SILENT;
	servers[0].is_cut = true;
	for (int i = 0; i < 100; i++)
		dns_ask(d, (char[]){ 'a', (char)('a' + i % 26), (char)('a' + i / 26), 0 }, on_done, NULL);
	dns_ask(d, "localhost", on_done, NULL);
	end(); /* before the first turn */
	begin("");
	servers[0].manner = SILENT_ON_AAAA;
	servers[0].is_cut = true;
	dns_ask(d, "db.example", on_done, NULL);
	serve_until(servers[0].by_tcp > 0);
	end(); /* in the middle of it */
	ck_assert_int_eq(answers, 0);
}
END_TEST

static void
ask_on(void *context, const struct dns_report *report)
{
	int *left = context;
	on_done(NULL, report);
	if (--*left > 0)
		dns_ask(d, *left % 2 ? "localhost" : "db.example", ask_on, left);
}

START_TEST(who_is_told_may_ask)
{
	begin("");
	int left = 6;
	dns_ask(d, "db.example", ask_on, &left);
	serve_until(left == 0);
	ck_assert_int_eq(answers, 6);
	end();
}
END_TEST

int
main(void)
{
	const TTest *const rules[] = {
		addresses_of_both_families_come_with_the_shortest_lifetime_on_the_way,
		what_is_sure_and_what_is_not_are_told_apart,
		bad_names_are_told_later_too,
		the_hosts_file_comes_first,
		answers_that_are_cut_short_come_whole_by_tcp,
		more_addresses_than_are_kept_are_no_trouble,
		the_root_in_the_search_list_is_no_trouble,
		open_lookups_begin_again_with_another_configuration,
		lookups_may_be_left_open,
		who_is_told_may_ask,
	};
	return suite_run("net/dns", rules, sizeof(rules) / sizeof(rules[0]));
}
