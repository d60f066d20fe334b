/*
 * session/graphs.c - the tables of cluster/holding, cluster/switchover and session/lost as Markdown with Mermaid graphs.
 *
 * An edge is all events that lead from one state to another in the same way; what stays as it is, is not drawn.
 */
#include "graphs.h"

#include <string.h>

#include "cluster/holding.h"
#include "cluster/switchover.h"
#include "session/lost.h"

/* One edge: where it leads, and what is done on the way. */
struct edge {
	int next;
	const char *act; /* "": nothing */
};

struct machine {
	int states, events;
	struct edge (*step)(int state, int event);
	const char *(*state_name)(int state);
	const char *(*event_name)(int event);
	const char *(*note)(int state); /* what belongs to the state */
	int first;
};

/* In a label a colon or a semicolon would end it. */
static void
add_label(struct buf *out, const char *text)
{
	for (const char *p = text; *p; p++)
		buf_add_u8(out, *p == ':' || *p == ';' ? ',' : (uint8_t)*p);
}

static void
add_edge(struct buf *out, const struct machine *m, int from, struct edge e)
{
	const char *between = "";
	buf_addf(out, "    s%d --> s%d: ", from, e.next);
	for (int event = 0; event < m->events; event++) {
		struct edge each = m->step(from, event);
		if (each.next != e.next || strcmp(each.act, e.act) != 0)
			continue;
		add_label(out, between);
		add_label(out, m->event_name(event));
		between = ", ";
	}
	add_label(out, e.act[0] ? " / " : "");
	add_label(out, e.act);
	buf_addf(out, "\n");
}

static bool
is_drawn(const struct machine *m, int from, int event)
{
	struct edge e = m->step(from, event);
	if (e.next == from && e.act[0] == '\0')
		return false;
	for (int before = 0; before < event; before++) {
		struct edge other = m->step(from, before);
		if (other.next == e.next && strcmp(other.act, e.act) == 0)
			return false;
	}
	return true;
}

static void
add_machine(struct buf *out, const struct machine *m)
{
	buf_addf(out, "```mermaid\nstateDiagram-v2\n");
	for (int s = 0; s < m->states; s++)
		buf_addf(out, "    state \"%s%s\" as s%d\n", m->state_name(s), m->note(s), s);
	buf_addf(out, "    [*] --> s%d\n", m->first);
	for (int s = 0; s < m->states; s++)
		for (int event = 0; event < m->events; event++)
			if (is_drawn(m, s, event))
				add_edge(out, m, s, m->step(s, event));
	buf_addf(out, "```\n\n");
}

/* ---- holding ---- */

static struct edge
holding_step(int state, int event)
{
	struct hold_step step = hold_step((enum hold_state)state, (enum hold_event)event);
	return (struct edge){ (int)step.next, hold_act_name(step.act) };
}

static const char *
holding_state(int state)
{
	return hold_meaning((enum hold_state)state)->name;
}

static const char *
holding_event(int event)
{
	return hold_event_name((enum hold_event)event);
}

static const char *
holding_note(int state)
{
	return hold_meaning((enum hold_state)state)->is_holding ? " (writes wait)" : "";
}

/* ---- switchover ---- */

static struct edge
switchover_step(int state, int event)
{
	static const char *const acts[] = {
		[SWITCH_DO_NOTHING] = "",
		[SWITCH_DO_HOLD] = "close the leader",
		[SWITCH_DO_MEASURE] = "note its position",
		[SWITCH_DO_ASK] = "POST /switchover",
		[SWITCH_DO_CUT] = "cut what runs",
	};
	if (state == SWITCH_OVER)
		return (struct edge){ SWITCH_OVER, "" };
	struct switch_step step = switch_step((enum switch_state)state, (enum switch_event)event);
	return (struct edge){ (int)step.next, step.act == SWITCH_DO_RELEASE ? switch_end_name(step.end) : acts[step.act] };
}

static const char *
switchover_state(int state)
{
	return switch_state_name((enum switch_state)state);
}

static const char *
switchover_event(int event)
{
	return switch_event_name((enum switch_event)event);
}

static const char *
switchover_note(int state)
{
	return "";
}

/* ---- lost ---- */

static void
add_signs(struct buf *out, uint32_t signs)
{
	const char *between = "";
	for (int i = 0; i < LOST_SIGNS; i++) {
		if (!(signs >> i & 1))
			continue;
		buf_addf(out, "%s%s", between, lost_sign_name((enum lost_sign)(1u << i)));
		between = "; ";
	}
}

static void
add_verdicts(struct buf *out)
{
	buf_addf(out, "| | it is known that | and not that | what becomes of it |\n|---|---|---|---|\n");
	for (size_t i = 0; i < lost_row_count; i++) {
		buf_addf(out, "| %s | ", lost_rows[i].name);
		add_signs(out, lost_rows[i].with);
		buf_addf(out, " | ");
		add_signs(out, lost_rows[i].without);
		buf_addf(out, " | %s |\n", lost_verdict_name(lost_rows[i].verdict));
	}
}

void
graphs_write(struct buf *out)
{
	static const struct machine holding = { HOLD_STATES, HOLD_EVENTS, holding_step, holding_state, holding_event, holding_note, HOLD_NEW };
	static const struct machine switchover = { SWITCH_STATES,     SWITCH_EVENTS,   switchover_step, switchover_state,
		                                   switchover_event,  switchover_note, SWITCH_KNOCKING };
	buf_addf(out, "<!-- Made by `make graphs` from the tables in the source; a test compares. -->\n\n"
	              "# States of a change of leader\n\n"
	              "What is not drawn stays as it is. Each pair of a state and an event is a cell of a table in the source, and has a test.\n\n"
	              "## Writes to a cluster\n\n"
	              "`include/cluster/holding.h` says what the states and events mean. `SHOW CLUSTERS` shows the state as `writes`.\n\n");
	add_machine(out, &holding);
	buf_addf(out, "## SWITCHOVER\n\n`include/cluster/switchover.h` says what the states and events mean.\n\n");
	add_machine(out, &switchover);
	buf_addf(out, "## A client whose server is lost\n\n"
	              "The first row that fits what is known counts (`src/session/lost.c`); README.md, *When a server is lost*, says what the "
	              "client sees.\n\n");
	add_verdicts(out);
}
