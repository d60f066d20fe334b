/*
 * tests/fuzz/fuzz_proxy_header.c - what a balancer says before its client does.
 *
 * Shown for every input: an answer, once given, stands however the bytes arrive; a header is all there and within its limits,
 * and version 1 says again what was read of it.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "base/must.h"
#include "wire/proxy_header.h"
#include "wire/startup.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
says_it_again(const struct proxy_header *h)
{
	char address[INET6_ADDRSTRLEN], line[120];
	struct proxy_header again;
	int af = h->family == 4 ? AF_INET : AF_INET6;
	must(inet_ntop(af, h->source, address, sizeof(address)) != NULL);
	int n = snprintf(line, sizeof(line), "PROXY TCP%d %s %s %u 1\r\n", h->family, address, address, h->source_port);
	must(proxy_header_peek(view_of(line, (size_t)n), &again) == PROXY_HEADER_OK);
	must(again.family == h->family && again.source_port == h->source_port && again.size == (uint32_t)n);
	must(memcmp(again.source, h->source, sizeof(again.source)) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct view in = view_of(data, size);
	struct proxy_header h, part;
	struct startup st;
	enum proxy_header_result result = proxy_header_peek(in, &h);
	for (size_t n = 0; n < size; n = n < 120 || n + 2 >= size ? n + 1 : size - 2) {
		enum proxy_header_result early = proxy_header_peek(view_part(in, 0, n), &part);
		must(early == PROXY_HEADER_SHORT || (early == result && part.size == h.size && part.family == h.family));
		if (early == PROXY_HEADER_OK)
			must(n >= h.size);
	}
	must(proxy_header_begins(in) || result != PROXY_HEADER_OK);
	if (result != PROXY_HEADER_OK)
		return 0;
	must(h.size <= size && h.size <= PROXY_HEADER_MAX);
	must(startup_peek(in, &st) == STARTUP_BAD); /* it is never mistaken for what else may come first */
	if (h.version == 1)
		must(h.size <= 107);
	if (h.family)
		says_it_again(&h);
	return 0;
}
