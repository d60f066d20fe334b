/* tests/net/test_dns.c - net/dns_message and net/resolv_conf: what is read from packets and files. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "../suite.h"
#include "dns_server.h"
#include "net/dns_message.h"
#include "net/resolv_conf.h"

static struct dns_name
name_of(const char *text)
{
	struct dns_name name;
	ck_assert(dns_name_of(&name, text));
	return name;
}

/* ---- messages ---- */

START_TEST(a_question_is_what_the_standard_says)
{
	uint8_t packet[DNS_QUESTION_MAX];
	struct dns_name name = name_of("Db.Example");
	size_t n = dns_question(packet, 0x1234, &name, DNS_AAAA, false);
	static const uint8_t expected[] = "\x12\x34\x01\x00\0\1\0\0\0\0\0\0\2db\7example\0\0\34\0\1";
	ck_assert_uint_eq(n, sizeof(expected) - 1);
	ck_assert_mem_eq(packet, expected, n);
	n = dns_question(packet, 0x1234, &name, DNS_AAAA, true);
	static const uint8_t opt[] = "\0\0\51\4\320\0\0\0\0\0\0";
	ck_assert_uint_eq(n, sizeof(expected) - 1 + 11);
	ck_assert_mem_eq(packet + n - 11, opt, 11);
	ck_assert_uint_eq(packet[11], 1);
}
END_TEST

START_TEST(names_have_limits)
{
	struct dns_name name, longer;
	char text[300];
	ck_assert(!dns_name_of(&name, ""));
	ck_assert(!dns_name_of(&name, "."));
	ck_assert(!dns_name_of(&name, "a..b"));
	ck_assert(!dns_name_of(&name, ".a"));
	ck_assert(dns_name_of(&name, "a.b."));
	ck_assert_uint_eq(name.n, 5);
	memset(text, 'x', sizeof(text));
	text[64] = '\0';
	ck_assert(!dns_name_of(&name, text));
	text[63] = '\0';
	ck_assert(dns_name_of(&name, text));
	memset(text, 'x', sizeof(text));
	for (int i = 63; i < 253; i += 64)
		text[i] = '.';
	text[253] = '\0';
	ck_assert(dns_name_of(&name, text));
	ck_assert_uint_eq(name.n, 255);
	struct dns_name one = name_of("a");
	ck_assert(!dns_name_join(&longer, &name, &one));
	text[253] = 'x';
	text[254] = '\0';
	ck_assert(!dns_name_of(&name, text));
}
END_TEST

static struct dns_answer answer;

static enum dns_result
read_reply(const struct reply *r, const char *name, enum dns_type type)
{
	struct dns_name asked = name_of(name);
	return dns_answer_read(view_of(r->p, r->n), 7, &asked, type, &answer);
}

START_TEST(addresses_are_read_with_the_shortest_lifetime_on_the_way)
{
	struct reply r;
	reply_begin(&r, 7, "db.example", DNS_A, 0);
	reply_alias(&r, "db.example", "Node1.example", 5);
	reply_a(&r, "node1.EXAMPLE", "10.0.0.1", 300);
	reply_a(&r, "other.example", "10.0.0.9", 1); /* nobody asked */
	reply_a(&r, "node1.example", "10.0.0.2", 200);
	ck_assert_int_eq(read_reply(&r, "db.example", DNS_A), DNS_FOUND);
	ck_assert_uint_eq(answer.count, 2);
	ck_assert_uint_eq(answer.ttl_s, 5);
	ck_assert(!answer.is_partial);
	static const uint8_t second[] = { 10, 0, 0, 2 };
	ck_assert_mem_eq(answer.address[1], second, 4);
}
END_TEST

START_TEST(aliases_in_a_circle_lead_nowhere)
{
	struct reply r;
	reply_begin(&r, 7, "a", DNS_A, 0);
	reply_alias(&r, "a", "b", 5);
	reply_alias(&r, "b", "a", 5);
	ck_assert_int_eq(read_reply(&r, "a", DNS_A), DNS_NO_DATA);
}
END_TEST

START_TEST(a_reply_to_another_question_is_not_ours)
{
	struct reply r;
	reply_begin(&r, 8, "db", DNS_A, 0);
	reply_a(&r, "db", "10.0.0.1", 300);
	ck_assert_int_eq(read_reply(&r, "db", DNS_A), DNS_NOT_OURS);
	reply_begin(&r, 7, "bd", DNS_A, 0);
	ck_assert_int_eq(read_reply(&r, "db", DNS_A), DNS_NOT_OURS);
	reply_begin(&r, 7, "db", DNS_AAAA, 0);
	ck_assert_int_eq(read_reply(&r, "db", DNS_A), DNS_NOT_OURS);
	reply_begin(&r, 7, "db", DNS_A, 0);
	r.p[2] &= 0x7f; /* a question */
	ck_assert_int_eq(read_reply(&r, "db", DNS_A), DNS_NOT_OURS);
}
END_TEST

START_TEST(codes_say_who_is_to_blame)
{
	static const enum dns_result expected[] = { DNS_NO_DATA,       DNS_SERVER_IS_OLD, DNS_SERVER_FAILED, DNS_NO_NAME,
		                                    DNS_SERVER_IS_OLD, DNS_SERVER_FAILED };
	for (unsigned code = 0; code < 6; code++) {
		struct reply r;
		reply_begin(&r, 7, "db", DNS_A, code);
		ck_assert_int_eq(read_reply(&r, "db", DNS_A), expected[code]);
	}
}
END_TEST

START_TEST(what_a_cut_answer_holds_is_used)
{
	struct reply r;
	reply_begin(&r, 7, "db", DNS_A, 0);
	reply_a(&r, "db", "10.0.0.1", 300);
	reply_a(&r, "db", "10.0.0.2", 300);
	r.p[2] |= 2; /* TC */
	ck_assert_int_eq(read_reply(&r, "db", DNS_A), DNS_FOUND);
	ck_assert_uint_eq(answer.count, 2);
	ck_assert(answer.is_partial);
	r.p[2] &= (uint8_t)~2;
	r.n--;
	ck_assert_int_eq(read_reply(&r, "db", DNS_A), DNS_FOUND);
	ck_assert_uint_eq(answer.count, 1);
	ck_assert(answer.is_partial);
	reply_begin(&r, 7, "db", DNS_A, 0);
	r.p[2] |= 2;
	ck_assert_int_eq(read_reply(&r, "db", DNS_A), DNS_SERVER_FAILED);
}
END_TEST

START_TEST(every_truncation_and_every_flipped_bit_is_survived)
{
	struct reply r, bad;
	reply_begin(&r, 7, "db.example", DNS_A, 0);
	reply_alias(&r, "db.example", "node1.example", 5);
	reply_a(&r, "node1.example", "10.0.0.1", 300);
	for (size_t n = 0; n < r.n; n++) {
		bad = r;
		bad.n = n;
		ck_assert_int_ne(read_reply(&bad, "db.example", DNS_A), DNS_NO_NAME);
		for (int bit = 0; bit < 8; bit++) {
			bad = r;
			bad.p[n] ^= (uint8_t)(1 << bit);
			read_reply(&bad, "db.example", DNS_A);
			ck_assert_uint_le(answer.count, 1);
		}
	}
}
END_TEST

/* ---- files ---- */

static struct resolv_conf conf;

static const char *
server_text(unsigned i)
{
	static char text[80];
	char host[64];
	const struct sockaddr_storage *a = &conf.server[i];
	bool is_v4 = a->ss_family == AF_INET;
	const struct sockaddr_in *in4 = (const struct sockaddr_in *)(const void *)a;
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)a;
	inet_ntop(a->ss_family, is_v4 ? (const void *)&in4->sin_addr : (const void *)&in6->sin6_addr, host, sizeof(host));
	snprintf(text, sizeof(text), "%s %u", host, ntohs(is_v4 ? in4->sin_port : in6->sin6_port));
	return text;
}

START_TEST(resolv_conf_is_read_as_libc_reads_it)
{
	resolv_conf_read(VIEW("# comment\r\n; another\nnameserver 10.0.0.53\nnameserver fd00::53\nnameserver nonsense\n"
	                      "nameserver 127.0.0.1:5353\nnameserver [::1]:99\ndomain gone.example\n"
	                      "search a.example\tb.example.\nunknown words\noptions ndots:5 timeout:2 attempts:9 rotate x:y"),
	                 "host.own.example", &conf);
	ck_assert_uint_eq(conf.server_count, 4);
	ck_assert_str_eq(server_text(0), "10.0.0.53 53");
	ck_assert_str_eq(server_text(1), "fd00::53 53");
	ck_assert_str_eq(server_text(2), "127.0.0.1 5353");
	ck_assert_str_eq(server_text(3), "::1 99");
	ck_assert_uint_eq(conf.search_count, 2);
	ck_assert_mem_eq(conf.search[1].p, "\1b\7example", 11);
	ck_assert_uint_eq(conf.ndots, 5);
	ck_assert_uint_eq(conf.timeout_s, 2);
	ck_assert_uint_eq(conf.attempts, 5);
	ck_assert(conf.rotate);
}
END_TEST

START_TEST(without_a_resolv_conf_this_machine_is_asked)
{
	resolv_conf_read(VIEW(""), "host.own.example", &conf);
	ck_assert_uint_eq(conf.server_count, 1);
	ck_assert_str_eq(server_text(0), "127.0.0.1 53");
	ck_assert_uint_eq(conf.search_count, 1);
	ck_assert_mem_eq(conf.search[0].p, "\3own\7example", 13);
	ck_assert_uint_eq(conf.ndots, 1);
	resolv_conf_read(VIEW("search ."), "host.own.example", &conf);
	ck_assert_uint_eq(conf.search_count, 0);
}
END_TEST

START_TEST(hosts_is_read_as_libc_reads_it)
{
	static const char text[] = "127.0.0.1 localhost\n::1\tlocalhost ip6-localhost # db\n10.0.0.1 Db.Example db\n"
	                           "#10.0.0.2 db\nnonsense db\n10.0.0.3 x db y\r\n10.0.0.4 dbx\n10.0.0.5 db";
	struct sockaddr_storage found[HOSTS_ADDRESSES_MAX];
	ck_assert_uint_eq(hosts_find(VIEW(text), "db", found), 3);
	ck_assert_uint_eq(ntohl(((struct sockaddr_in *)(void *)&found[1])->sin_addr.s_addr), 0x0a000003);
	ck_assert_uint_eq(hosts_find(VIEW(text), "DB.example.", found), 1);
	ck_assert_uint_eq(hosts_find(VIEW(text), "localhost", found), 2);
	ck_assert_int_eq(found[1].ss_family, AF_INET6);
	ck_assert_uint_eq(hosts_find(VIEW(text), "nobody", found), 0);
	ck_assert_uint_eq(hosts_find(VIEW(""), "db", found), 0);
}
END_TEST

int
main(void)
{
	const TTest *const rules[] = {
		a_question_is_what_the_standard_says,
		names_have_limits,
		addresses_are_read_with_the_shortest_lifetime_on_the_way,
		aliases_in_a_circle_lead_nowhere,
		a_reply_to_another_question_is_not_ours,
		codes_say_who_is_to_blame,
		what_a_cut_answer_holds_is_used,
		every_truncation_and_every_flipped_bit_is_survived,
		resolv_conf_is_read_as_libc_reads_it,
		without_a_resolv_conf_this_machine_is_asked,
		hosts_is_read_as_libc_reads_it,
	};
	return suite_run("net/dns_message, net/resolv_conf", rules, sizeof(rules) / sizeof(rules[0]));
}
