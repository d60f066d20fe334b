/* session/scheduled.c - a switchover that patronictl has scheduled is prepared for; see the header. */
#include "session/scheduled.h"

#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "cluster/watch.h"
#include "net/loop.h"
#include "session/hold.h"
#include "session/proxy.h"

/* Patroni's maintenance mode does nothing at its time. */
static bool
is_meant(const struct schedule *s, const struct topology *t)
{
	const struct member *leader = topology_leader(t);
	return leader && !t->is_paused && (s->from[0] == '\0' || strcmp(s->from, leader->name) == 0);
}

static void
let_go(struct hold *h)
{
	log_info(h->tag, "writes go on: the scheduled switchover was taken back, or did not come about");
	hold_release(h);
}

static void
look(void *context)
{
	struct hold *h = context;
	const struct schedule *s = cluster_schedule(h->load->cluster);
	uint64_t lead_us = h->proxy->config->settings.scheduled_switchover_lead_us, wall_us = clock_wall_us();
	int64_t left_us = schedule_left_us(s, wall_us);
	enum schedule_phase phase = schedule_phase(s, lead_us, wall_us);
	bool is_held = h->is_asked_by_schedule && h->state == HOLD_ASKED;

	if (phase == SCHEDULE_NEAR || phase == SCHEDULE_NOW)
		cluster_list_now(h->load->cluster);
	if (phase == SCHEDULE_NEAR)
		timer_set(h->schedule_due, (uint64_t)left_us - lead_us);
	else if (phase == SCHEDULE_NOW && s->at_us != h->scheduled_us && !hold_is_planned(h) && is_meant(s, h->load->topology)) {
		hold_ask(h, (left_us > 0 ? (uint64_t)left_us : 0) + SCHEDULE_LATE_US, "patronictl's schedule");
		h->is_asked_by_schedule = true;
		h->scheduled_us = s->at_us;
	} else if (phase != SCHEDULE_NOW && is_held && topology_leader(h->load->topology))
		let_go(h);
}

void
scheduled_open(struct hold *h)
{
	h->schedule_due = timer_new(h->proxy->loop, look, h);
}

void
scheduled_close(struct hold *h)
{
	timer_free(h->schedule_due);
}

void
scheduled_on_second(struct hold *h)
{
	if (h->load->topology->has_patroni)
		look(h);
}
