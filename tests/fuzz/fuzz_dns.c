/*
 * tests/fuzz/fuzz_dns.c - answers of name servers, resolv.conf and hosts.
 *
 * Input: a letter (r: resolv.conf, h: hosts, 6: an answer to an AAAA question, else to an A question), then the text or
 * the packet. The question has the id 0x3031 and the name db.example.
 * Shown for every input: counts stay within their limits; a result says whether there are addresses; what is found has a
 * lifetime; the same packet never answers another question.
 */
#include <string.h>

#include "base/must.h"
#include "net/resolv_conf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
read_conf(struct view text)
{
	struct resolv_conf conf;
	resolv_conf_read(text, "host.example", &conf);
	must(conf.server_count >= 1 && conf.server_count <= RESOLV_SERVERS_MAX);
	must(conf.search_count <= RESOLV_SEARCH_MAX);
	for (unsigned i = 0; i < conf.server_count; i++)
		must(conf.server[i].ss_family == AF_INET || conf.server[i].ss_family == AF_INET6);
	for (unsigned i = 0; i < conf.search_count; i++)
		must(conf.search[i].n >= 3 && conf.search[i].p[conf.search[i].n - 1] == 0);
}

static void
read_answer(struct view packet, enum dns_type type)
{
	static struct dns_answer answer;
	struct dns_name name, other;
	must(dns_name_of(&name, "db.example") && dns_name_of(&other, "db2.example"));
	enum dns_result result = dns_answer_read(packet, 0x3031, &name, type, &answer);
	must(answer.count <= DNS_ADDRESSES_MAX);
	must((result == DNS_FOUND) == (answer.count > 0));
	must(result != DNS_FOUND || answer.ttl_s <= INT32_MAX);
	if (result == DNS_FOUND) {
		must(dns_answer_read(packet, 0x3032, &name, type, &answer) == DNS_NOT_OURS);
		must(dns_answer_read(packet, 0x3031, &other, type, &answer) == DNS_NOT_OURS);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sockaddr_storage found[HOSTS_ADDRESSES_MAX];
	if (size == 0)
		return 0;
	struct view rest = view_of(data + 1, size - 1);
	if (data[0] == 'r')
		read_conf(rest);
	else if (data[0] == 'h')
		must(hosts_find(rest, "db", found) <= HOSTS_ADDRESSES_MAX);
	else
		read_answer(rest, data[0] == '6' ? DNS_AAAA : DNS_A);
	return 0;
}
