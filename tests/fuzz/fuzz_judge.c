/*
 * tests/fuzz/fuzz_judge.c - what three Patronis and our sessions might say, in any order, and the judgement after each.
 *
 * Each input is a story: the first byte picks the kind of cluster, then every two bytes are one event. Shown for every
 * story: at most one member may be written to, and it is the leader; a leader that is not kept from before has the lock,
 * runs as a primary, was not contradicted by a session since, and nobody reachable is on a higher timeline; no reads go
 * to a primary.
 */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/must.h"
#include "cluster/judge.h"
#include "cluster/route.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MEMBERS 3

static struct known_member member[MEMBERS];

static void
answer(struct known_member *m, uint8_t how, uint64_t now_us)
{
	static const enum member_role roles[] = { MEMBER_LEADER, MEMBER_REPLICA, MEMBER_LEADER, MEMBER_OTHER };
	static const enum member_state states[] = { MEMBER_RUNNING, MEMBER_RUNNING, MEMBER_RUNNING, MEMBER_STOPPING };
	m->asked_us = now_us - (how & 0x80 ? 20 : 1) * MILLISECOND_US;
	m->answered_us = now_us;
	m->failures = 0;
	m->http_status = how & 1 ? 200 : 503;
	m->said = (struct patroni_status){
		.role = roles[how >> 1 & 3], .state = states[how >> 3 & 3], .timeline = how >> 5 & 3,
		.location = 1000, .replayed_location = 900,
	};
	m->said.is_unlocked = (how & 0x81) == 0x80;
	strcpy(m->said.identifier, "77");
}

/* One event: who, what, how. */
static void
happen(uint8_t what, uint8_t how, uint64_t *now_us)
{
	struct known_member *m = &member[what % MEMBERS];
	switch (what >> 5) {
	case 0:
	case 1:
	case 2:
		answer(m, how, *now_us);
		break;
	case 3:
		m->failures += 1 + how % 3;
		break;
	case 4:
	case 5:
		judge_note_session(m, (enum session_says)(how % (SESSION_SHUTTING_DOWN + 1)), *now_us);
		break;
	case 6:
		*now_us += how * MILLISECOND_US;
		break;
	case 7:
		*now_us += how * 100 * MILLISECOND_US;
		break;
	}
}

static void
leader_is_proven(const struct topology *t, const struct member *leader)
{
	const struct known_member *m = &member[leader->id];
	must(m->failures == 0 && m->http_status == 200);
	must(m->said.role == MEMBER_LEADER && m->said.state == MEMBER_RUNNING);
	must(!(m->session == SESSION_IN_RECOVERY && m->session_us >= m->asked_us));
	must(!(m->refusals > 0 && m->refused_us >= m->asked_us));
	for (uint16_t i = 0; i < t->count; i++) {
		const struct member *other = &t->member[i];
		must(leader->timeline == 0 || !other->is_reachable || other->timeline <= leader->timeline);
	}
}

static void
topology_is_sound(const struct known *known, const struct topology *before, const struct topology *t)
{
	const struct member *leader = topology_leader(t);
	must(t->is_plain || (leader == NULL) == (t->why_no_leader != NULL));
	for (uint16_t i = 0; i < t->count; i++) {
		const struct member *m = &t->member[i];
		must(t->is_plain || (m->why_not_write == NULL) == (m == leader));
		must(t->is_plain || m->role != MEMBER_LEADER || m->why_not_read != NULL);
	}
	for (int lane = 0; lane < LANES; lane++) {
		struct route r = route_choose(t, &(struct route_request){ .lane = (enum lane)lane });
		must(r.result != ROUTE_MEMBER || r.index < t->count);
		must((r.result == ROUTE_MEMBER) == (r.why == NULL));
	}
	if (leader == NULL || known->kind != CLUSTER_OF_PATRONI)
		return;
	const struct member *last = before ? topology_leader(before) : NULL;
	bool is_kept = last && last->id == leader->id && (t->is_stale || member[leader->id].failures > 0 ||
		       t->made_us - member[leader->id].answered_us > 3 * SECOND_US);
	if (is_kept)
		must(!(member[leader->id].session == SESSION_IN_RECOVERY &&
		       member[leader->id].session_us >= member[leader->id].asked_us));
	else
		leader_is_proven(t, leader);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1 || size > 4096)
		return 0;
	memset(member, 0, sizeof(member));
	struct known known = { .cluster = "main", .kind = (enum cluster_kind)(data[0] % 3) };
	known.limits.poll_interval_us = SECOND_US;
	for (int i = 0; i < MEMBERS; i++) {
		snprintf(member[i].name, sizeof(member[i].name), "n%d", i + 1);
		known.member[i] = &member[i];
	}
	uint64_t now_us = 1000 * SECOND_US;
	struct topology *t = NULL;
	for (size_t at = 1; at + 1 < size; at += 2) {
		happen(data[at], data[at + 1], &now_us);
		struct topology *next = judge(&known, t, now_us);
		topology_is_sound(&known, t, next);
		topology_unref(t);
		t = next;
	}
	topology_unref(t);
	return 0;
}
