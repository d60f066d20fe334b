/* admin/show_pins.c - SHOW PINS: clients that keep their server connection for what is there. */
#include <string.h>

#include "base/clock.h"
#include "base/text.h"
#include "session/client.h"
#include "session/pins.h"
#include "session/server.h"
#include "show_row.h"

struct pin_row {
	const char *database, *user, *application_name, *member;
	char        addr[64], reasons[160];
	uint64_t    client_id, port, server_pid, since, seconds, idle;
};

static void
add_pin(struct show_rows *out, const struct client *c)
{
	const struct server *s = c->link;
	struct pin_row *row = show_rows_add(out);
	const struct member *m = topology_member(c->database->load->topology, s->slot.at->id);
	const char *application = c->params ? params_value(c->params, "application_name") : NULL;
	struct text reasons = TEXT_IN(row->reasons);
	uint64_t now = clock_now_us();
	uint16_t port = 0;
	client_address_text(c, row->addr, sizeof(row->addr), &port);
	row->database = c->database->name;
	row->user = c->role->name;
	row->client_id = c->id;
	row->port = port;
	row->application_name = application ? application : "";
	row->member = m ? m->name : NULL;
	row->server_pid = s->pid;
	pins_add_names(&reasons, c->pins);
	row->since = c->pinned_us;
	row->seconds = (now - c->pinned_us) / SECOND_US;
	row->idle = c->query_us || s->status != 'I' ? 0 : (now - s->linked_us) / SECOND_US;
}

static void
fill_pins(const struct show_table *t, struct proxy *x, struct show_rows *out)
{
	list_each(&x->clients, n, after)
	{
		const struct client *c = node_owner(n, struct client, node);
		if (c->pins && c->link)
			add_pin(out, c);
	}
}

/* Who has kept one for longest first. */
static int
by_age(const void *a, const void *b)
{
	const struct pin_row *x = a, *y = b;
	int order = (x->since > y->since) - (x->since < y->since);
	return order ? order : (x->client_id > y->client_id) - (x->client_id < y->client_id);
}

#define PIN(name, type, at) COLUMN(name, type, struct pin_row, at)

static const struct show_column pin_columns[] = {
	PIN("database", SHOW_TEXT, database),
	PIN("user", SHOW_TEXT, user),
	PIN("client_id", SHOW_INT8, client_id),
	PIN("addr", SHOW_CHARS, addr),
	PIN("port", SHOW_INT4, port),
	PIN("application_name", SHOW_TEXT, application_name),
	PIN("member", SHOW_TEXT, member),
	PIN("server_pid", SHOW_INT4, server_pid),
	PIN("reasons", SHOW_CHARS, reasons),
	PIN("since", SHOW_TIME, since),
	PIN("seconds", SHOW_INT8, seconds),
	PIN("idle_seconds", SHOW_INT8, idle),
};

const struct show_table show_pins = {
	.word = "PINS",
	.columns = pin_columns,
	.column_count = COLUMN_COUNT(pin_columns),
	.row_bytes = sizeof(struct pin_row),
	.fill = fill_pins,
	.compare = by_age,
};
