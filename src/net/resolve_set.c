/* net/resolve_set.c - sets of addresses; see resolve_set.h. */
#include <unistd.h>

#include "net/address.h"
#include "net/stream.h"
#include "resolve_set.h"

int
resolved_index(const struct resolved *in, const struct sockaddr_storage *address)
{
	for (unsigned i = 0; i < in->count; i++)
		if (address_same_host(&in->at[i].address, address))
			return (int)i;
	return -1;
}

bool
resolved_has(const struct resolved *in, const struct sockaddr_storage *address)
{
	return resolved_index(in, address) >= 0;
}

bool
resolved_is_same(const struct resolved *a, const struct resolved *b)
{
	for (unsigned i = 0; i < a->count; i++)
		if (!resolved_has(b, &a->at[i].address))
			return false;
	for (unsigned i = 0; i < b->count; i++)
		if (!resolved_has(a, &b->at[i].address))
			return false;
	return true;
}

void
resolved_add(struct resolved *out, const struct sockaddr_storage *address)
{
	if (resolved_has(out, address))
		return;
	if (out->count == RESOLVE_ADDRESSES_MAX) {
		out->is_partial = true;
		return;
	}
	out->at[out->count].address = *address;
	out->at[out->count++].bytes = address_size(address);
}

/* Has this machine a way there at all? Nothing is sent. */
static bool
has_route(const struct sockaddr_storage *address, socklen_t bytes)
{
	struct sockaddr_storage to = *address;
	address_set_port(&to, 9);
	int fd = socket(to.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool is = fd >= 0 && connect(fd, (const struct sockaddr *)&to, bytes) == 0;
	if (fd >= 0)
		close(fd);
	return is;
}

void
resolved_arrange(struct resolved *answer)
{
	if (answer->count < 2)
		return;
	struct resolved by[3] = { 0 }; /* IPv6, IPv4, no route */
	for (unsigned i = 0; i < answer->count; i++) {
		const struct sockaddr_storage *a = &answer->at[i].address;
		resolved_add(&by[!has_route(a, answer->at[i].bytes) ? 2 : a->ss_family == AF_INET], a);
	}
	bool is_partial = answer->is_partial;
	*answer = (struct resolved){ .is_partial = is_partial };
	for (unsigned i = 0; i < by[0].count || i < by[1].count; i++)
		for (int family = 0; family < 2; family++)
			if (i < by[family].count)
				resolved_add(answer, &by[family].at[i].address);
	for (unsigned i = 0; i < by[2].count; i++)
		resolved_add(answer, &by[2].at[i].address);
}

void
resolved_text(const struct resolved *of, struct text *out)
{
	for (unsigned i = 0; i < of->count; i++) {
		char host[64];
		uint16_t port;
		address_text((const struct sockaddr *)&of->at[i].address, host, sizeof(host), &port);
		text_addf(out, "%s%s", i ? ", " : "", host);
	}
}
