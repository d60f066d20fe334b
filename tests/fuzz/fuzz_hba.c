/*
 * tests/fuzz/fuzz_hba.c - auth_hba_file, and the search in it.
 *
 * Input: a letter that picks who asks, a text up to a zero byte, of which the rest (32 bytes at most) is his name.
 * Shown for every input: there is a message exactly when there are no rules; a rule that is found has all that its method
 * needs and is about the transport of who asks; who comes over the network never gets a rule for Unix sockets.
 */
#include <string.h>

#include "auth/hba.h"
#include "base/must.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_rule(const struct hba_rule *r, const struct hba_question *q)
{
	must((r->transport == HBA_LOCAL) == (q->address.size == 0));
	must(r->transport != HBA_HOSTGSSENC);
	must(r->transport != HBA_HOSTSSL || q->is_tls);
	must(r->transport != HBA_HOSTNOSSL || !q->is_tls);
	must(r->method != HBA_PEER || r->transport == HBA_LOCAL);
	must(r->method != HBA_CERT || (r->transport == HBA_HOSTSSL && r->certificate == HBA_CERTIFICATE_NAME));
	must(r->map == NULL || ((r->method == HBA_PEER || r->method == HBA_CERT) && *r->map));
	must(r->line > 0);
	must(r->databases->count > 0 && r->users->count > 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct ip_address addresses[] = {
		{ 0 }, { 4, { 127, 0, 0, 1 } }, { 4, { 10, 1, 2, 3 } }, { 16, { 0x20, 1, 0xd, 0xb8 } },
	};
	char why_text[4096], name[33] = "app";
	struct text why = TEXT_IN(why_text);
	if (size == 0)
		return 0;
	struct view text = view_of(data + 1, size - 1);
	const uint8_t *end = text.n ? memchr(text.p, 0, text.n) : NULL;
	if (end && data[0] & 0x80) {
		struct view rest = view_part(text, (size_t)(end + 1 - text.p), sizeof(name) - 1);
		memset(name, 0, sizeof(name));
		if (rest.n)
			memcpy(name, rest.p, rest.n);
		text.n = (size_t)(end - text.p);
	}
	struct hba *h = hba_parse(text, "x", &why);
	must((h != NULL) == (why_text[0] == 0));
	if (h == NULL)
		return 0;
	const struct hba_question q = {
		.database = data[0] & 8 ? name : "app", .user = name, .address = addresses[data[0] & 3],
		.is_tls = data[0] & 16, .is_replication = data[0] & 32,
	};
	const struct hba_rule *rule = hba_match(h, &q);
	if (rule)
		check_rule(rule, &q);
	must(hba_match(h, &q) == rule);
	hba_wants_certificates(h);
	hba_free(h);
	return 0;
}
