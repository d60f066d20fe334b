/* config/addresses.c - see the header. */
#include "config/addresses.h"

#include <string.h>

#include "base/ip.h"
#include "config/config.h"

enum { TEXT_MAX = 64 };

/* NULL: it is a range. Else what is wrong. */
static const char *
read_range(struct view item, struct ip_range *out)
{
	char text[TEXT_MAX];
	*out = (struct ip_range){ 0 };
	if (view_is(item, "unix"))
		return NULL;
	if (item.n >= sizeof(text) || memchr(item.p, 0, item.n))
		return "is not an address";
	memcpy(text, item.p, item.n);
	text[item.n] = '\0';
	char *slash = strchr(text, '/');
	if (slash)
		*slash++ = '\0';
	if (!ip_address_read(text, &out->base))
		return "is not an address";
	unsigned bits = 8u * out->base.size;
	if (slash && !ip_bits_read(slash, out->base.size, &bits))
		return "has no number of bits behind its slash that fits";
	out->mask = ip_mask(out->base.size, bits);
	for (unsigned i = 0; i < out->base.size; i++)
		if (out->base.bytes[i] & ~out->mask.bytes[i])
			return "has bits set beyond those that count";
	return NULL;
}

const char *
address_item_wrong(struct view item)
{
	struct ip_range range;
	return read_range(item, &range);
}

bool
addresses_have(const char *list, const struct sockaddr *a)
{
	struct ip_address address = ip_address_of(a);
	struct ip_range range;
	for (struct view item; config_list_next(&list, &item);)
		if (read_range(item, &range) == NULL && ip_range_has(&range, &address))
			return true;
	return false;
}
