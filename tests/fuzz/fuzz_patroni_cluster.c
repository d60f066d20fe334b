/*
 * tests/fuzz/fuzz_patroni_cluster.c - the body of GET /cluster.
 *
 * Shown for every input: what is listed has a name of its own, a host, a port, and a URL that is nothing but scheme and
 * authority; nothing can break a log line; a switchover that is scheduled has a moment, or none that can be read.
 */
#include <stdlib.h>
#include <string.h>

#include "base/heap.h"
#include "base/must.h"
#include "cluster/patroni.h"
#include "cluster/schedule.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
is_printable(const char *s, size_t room)
{
	must(memchr(s, 0, room) != NULL);
	for (; *s; s++)
		must((unsigned char)*s >= 0x20 && *s != 0x7f);
}

static void
member_is_usable(const struct patroni_members *list, uint16_t at)
{
	const struct patroni_member *m = &list->member[at];
	is_printable(m->name, sizeof(m->name));
	is_printable(m->host, sizeof(m->host));
	is_printable(m->url, sizeof(m->url));
	must(m->name[0] && m->host[0] && m->port);
	must(m->url[0] == '\0' || (strstr(m->url, "://") && strcspn(strstr(m->url, "://") + 3, "/?#@") > 0));
	must(m->url[0] == '\0' || strpbrk(strstr(m->url, "://") + 3, "/?#@ ") == NULL);
	must(m->state < MEMBER_STATES);
	for (uint16_t i = 0; i < at; i++)
		must(strcmp(list->member[i].name, m->name) != 0);
}

static void
schedule_is_usable(const struct patroni_members *list)
{
	struct schedule s = { 0 };
	must(schedule_take(&s, list) == list->has_switchover);
	must(!schedule_take(&s, list));
	is_printable(s.at, sizeof(s.at));
	is_printable(s.from, sizeof(s.from));
	is_printable(s.to, sizeof(s.to));
	must(s.exists || s.at_us == 0);
	must(s.at_us == 0 || schedule_phase(&s, 1, s.at_us) == SCHEDULE_NOW);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char why[200];
	struct text t = TEXT_IN(why);
	struct patroni_members *list = heap_alloc(sizeof(*list));
	enum patroni_result result = patroni_parse_cluster(view_of(data, size), list, &t);
	must((result == PATRONI_OK) == (list->count > 0));
	must((result == PATRONI_OK) == (why[0] == '\0'));
	must(list->count <= CLUSTER_MEMBERS_MAX);
	for (uint16_t i = 0; i < list->count; i++)
		member_is_usable(list, i);
	schedule_is_usable(list);
	is_printable(list->switchover_at, sizeof(list->switchover_at));
	is_printable(list->switchover_from, sizeof(list->switchover_from));
	is_printable(list->switchover_to, sizeof(list->switchover_to));
	heap_free(list);
	return 0;
}
