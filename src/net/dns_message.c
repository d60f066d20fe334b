/* net/dns_message.c - DNS messages; see the header. */
#include "net/dns_message.h"

#include <string.h>

#include "base/bytes.h"
#include "wire/cursor.h"

enum {
	HEADER_BYTES = 12,
	FLAG_ANSWER = 0x8000,
	FLAG_TRUNCATED = 0x0200,
	FLAG_RECURSION_DESIRED = 0x0100,
	MASK_OPCODE = 0x7800,
	MASK_RCODE = 0x000f,
	CLASS_INTERNET = 1,
	TYPE_CNAME = 5,
	TYPE_OPT = 41,
	RCODE_FORMAT = 1,
	RCODE_NO_NAME = 3,
	RCODE_NOT_IMPLEMENTED = 4,
	JUMPS_MAX = 64, /* of a compressed name */
	CHAIN_MAX = 16, /* of CNAMEs */
	LABEL_MAX = 63,
};

static uint8_t
lower(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? (uint8_t)(c - 'A' + 'a') : c;
}

/* ---- names ---- */

static bool
add_label(struct dns_name *out, const uint8_t *p, size_t n)
{
	if (n == 0 || n > LABEL_MAX || (size_t)out->n + 1 + n + 1 > DNS_NAME_MAX) /* the 0 at the end has room, always */
		return false;
	out->p[out->n++] = (uint8_t)n;
	for (size_t i = 0; i < n; i++)
		out->p[out->n++] = lower(p[i]);
	return true;
}

bool
dns_name_of(struct dns_name *out, const char *text)
{
	out->n = 0;
	if (*text == '\0')
		return false;
	while (*text) {
		size_t n = strcspn(text, ".");
		if (!add_label(out, (const uint8_t *)text, n))
			return false;
		text += n + (text[n] == '.');
	}
	out->p[out->n++] = 0;
	return true;
}

bool
dns_name_join(struct dns_name *out, const struct dns_name *name, const struct dns_name *suffix)
{
	size_t n = (size_t)name->n - 1 + suffix->n;
	if (n > DNS_NAME_MAX)
		return false;
	memcpy(out->p, name->p, (size_t)name->n - 1);
	memcpy(out->p + name->n - 1, suffix->p, suffix->n);
	out->n = (uint8_t)n;
	return true;
}

static bool
same_name(const struct dns_name *a, const struct dns_name *b)
{
	return a->n == b->n && memcmp(a->p, b->p, a->n) == 0;
}

/* The name at offset *at of the packet; *at moves behind it. It may continue elsewhere by pointers. */
static bool
read_name(struct view packet, size_t *at, struct dns_name *out)
{
	size_t i = *at;
	bool has_jumped = false;
	out->n = 0;
	for (int jumps = 0; jumps < JUMPS_MAX && i < packet.n;) {
		uint8_t n = packet.p[i];
		if (n == 0) {
			if (!has_jumped)
				*at = i + 1;
			out->p[out->n++] = 0;
			return true;
		}
		if ((n & 0xc0) == 0xc0) {
			if (i + 1 >= packet.n)
				return false;
			if (!has_jumped)
				*at = i + 2;
			has_jumped = true;
			jumps++;
			i = load_be16(packet.p + i) & 0x3fff;
			continue;
		}
		if (n > LABEL_MAX || i + 1 + n > packet.n || !add_label(out, packet.p + i + 1, n))
			return false;
		i += 1 + (size_t)n;
	}
	return false;
}

/* ---- questions ---- */

size_t
dns_question(uint8_t *out, uint16_t id, const struct dns_name *name, enum dns_type type, bool with_edns)
{
	memset(out, 0, DNS_QUESTION_MAX);
	store_be16(out, id);
	store_be16(out + 2, FLAG_RECURSION_DESIRED);
	store_be16(out + 4, 1); /* questions */
	store_be16(out + 10, with_edns);
	uint8_t *p = out + HEADER_BYTES;
	memcpy(p, name->p, name->n);
	p += name->n;
	store_be16(p, (uint16_t)type);
	store_be16(p + 2, CLASS_INTERNET);
	p += 4;
	if (with_edns) { /* the root's name, OPT, our datagram size, no flags, no options */
		store_be16(p + 1, TYPE_OPT);
		store_be16(p + 3, DNS_UDP_BYTES);
		p += 11;
	}
	return (size_t)(p - out);
}

/* ---- answers ---- */

struct record {
	struct dns_name owner;
	uint16_t type, class;
	uint32_t ttl_s;
	size_t data_at;
	struct view data;
};

static bool
read_record(struct view packet, size_t *at, struct record *out)
{
	if (!read_name(packet, at, &out->owner))
		return false;
	struct cursor c = cursor_over(view_from(packet, *at));
	out->type = cursor_be16(&c);
	out->class = cursor_be16(&c);
	out->ttl_s = cursor_be32(&c);
	if (out->ttl_s > INT32_MAX) /* RFC 2181 8: as if it were 0 */
		out->ttl_s = 0;
	uint16_t n = cursor_be16(&c);
	out->data_at = *at + 10;
	out->data = cursor_bytes(&c, n);
	*at = out->data_at + n;
	return !c.is_bad;
}

struct section {
	struct view packet;
	size_t at;
	unsigned count;
};

/* Does `name` lead on to another? Then it becomes that one. */
static bool
follow(const struct section *answers, struct dns_name *name, uint32_t *ttl_s)
{
	size_t at = answers->at;
	for (unsigned i = 0; i < answers->count; i++) {
		struct record r;
		if (!read_record(answers->packet, &at, &r))
			return false;
		if (r.type != TYPE_CNAME || r.class != CLASS_INTERNET || !same_name(&r.owner, name))
			continue;
		size_t target_at = r.data_at;
		if (!read_name(answers->packet, &target_at, name) || target_at != at)
			return false;
		if (r.ttl_s < *ttl_s)
			*ttl_s = r.ttl_s;
		return true;
	}
	return false;
}

/* What a cut answer has before its end counts: is_whole tells. */
static void
collect(const struct section *answers, const struct dns_name *name, enum dns_type type, struct dns_answer *out,
        bool *is_whole)
{
	size_t bytes = type == DNS_A ? 4 : 16;
	size_t at = answers->at;
	*is_whole = true;
	for (unsigned i = 0; i < answers->count; i++) {
		struct record r;
		if (!read_record(answers->packet, &at, &r)) {
			*is_whole = false;
			return;
		}
		if (r.type != type || r.class != CLASS_INTERNET || r.data.n != bytes || !same_name(&r.owner, name))
			continue;
		if (r.ttl_s < out->ttl_s)
			out->ttl_s = r.ttl_s;
		if (out->count == DNS_ADDRESSES_MAX)
			out->is_partial = true;
		else
			memcpy(out->address[out->count++], r.data.p, bytes);
	}
}

enum dns_result
dns_answer_read(struct view packet, uint16_t id, const struct dns_name *name, enum dns_type type,
                struct dns_answer *out)
{
	*out = (struct dns_answer){ .ttl_s = UINT32_MAX };
	struct cursor c = cursor_over(packet);
	uint16_t its_id = cursor_be16(&c), flags = cursor_be16(&c), questions = cursor_be16(&c), count = cursor_be16(&c);
	cursor_be32(&c); /* the other sections are not looked at */
	if (c.is_bad || its_id != id || !(flags & FLAG_ANSWER) || (flags & MASK_OPCODE))
		return DNS_NOT_OURS;
	unsigned rcode = flags & MASK_RCODE;
	if (questions == 0) /* some do not repeat it when they did not understand it */
		return rcode == RCODE_FORMAT || rcode == RCODE_NOT_IMPLEMENTED ? DNS_SERVER_IS_OLD : DNS_NOT_OURS;
	struct dns_name asked, at_end = *name;
	size_t at = HEADER_BYTES;
	if (questions != 1 || !read_name(packet, &at, &asked) || !same_name(&asked, name) || packet.n - at < 4 ||
	    load_be16(packet.p + at) != type || load_be16(packet.p + at + 2) != CLASS_INTERNET)
		return DNS_NOT_OURS;
	if (rcode == RCODE_FORMAT || rcode == RCODE_NOT_IMPLEMENTED)
		return DNS_SERVER_IS_OLD;
	if (rcode == RCODE_NO_NAME)
		return DNS_NO_NAME;
	if (rcode != 0)
		return DNS_SERVER_FAILED;

	struct section answers = { packet, at + 4, count };
	for (int links = 0; links < CHAIN_MAX && follow(&answers, &at_end, &out->ttl_s); links++)
		;
	bool is_whole;
	collect(&answers, &at_end, type, out, &is_whole);
	if ((flags & FLAG_TRUNCATED) || !is_whole)
		out->is_partial = true;
	if (out->count > 0)
		return DNS_FOUND;
	out->ttl_s = 0;
	return out->is_partial ? DNS_SERVER_FAILED : DNS_NO_DATA;
}
