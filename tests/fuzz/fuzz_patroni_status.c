/*
 * tests/fuzz/fuzz_patroni_status.c - the body of GET /primary.
 *
 * Shown for every input: an answer that is refused leaves nothing behind and says why; every string ends in its array.
 */
#include <string.h>

#include "base/must.h"
#include "cluster/patroni.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char why[200];
	struct text t = TEXT_IN(why);
	struct patroni_status s;
	memset(&s, 0xaa, sizeof(s));
	if (patroni_parse_status(view_of(data, size), &s, &t) != PATRONI_OK) {
		must(why[0] != '\0');
		must(s.state == MEMBER_STATE_UNKNOWN && s.role == MEMBER_OTHER && s.timeline == 0);
		return 0;
	}
	must(s.state < MEMBER_STATES && s.role < MEMBER_ROLES);
	must(memchr(s.identifier, 0, sizeof(s.identifier)) && memchr(s.name, 0, sizeof(s.name)));
	must(memchr(s.scope, 0, sizeof(s.scope)) && memchr(s.version, 0, sizeof(s.version)));
	must(s.location <= INT64_MAX && s.received_location <= INT64_MAX && s.replayed_location <= INT64_MAX);
	must(s.tags.weight <= 10000 && (s.tags.has_weight || s.tags.weight == 0));
	return 0;
}
