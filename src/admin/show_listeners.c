/* admin/show_listeners.c - SHOW LISTENERS, of our own: the connections that hear notifications for the clients of a pool. */
#include <string.h>

#include "base/clock.h"
#include "session/listener.h"
#include "session/server.h"
#include "show_row.h"

struct listener_row {
	const char *database, *user, *encoding, *state;
	uint64_t    server, channels, clients, notifications, told, bytes, gaps, closed, since;
};

static void
add_listener(struct show_rows *out, const struct listener *l)
{
	struct listener_row *row = show_rows_add(out);
	*row = (struct listener_row){
		.database = l->pool->database->name,
		.user = l->pool->role->name,
		.encoding = l->encoding,
		.state = listener_is_ready(l) ? "listening" : l->server ? "login" : "waiting",
		.server = l->server ? l->server->id : SHOW_NULL,
		.channels = HASH_COUNT(l->hub.channels),
		.clients = l->hub.ears.count,
		.notifications = l->hub.heard,
		.told = l->hub.told,
		.bytes = l->hub.heard_bytes,
		.gaps = l->gaps,
		.closed = l->cut,
		.since = listener_is_ready(l) ? l->since_us : SHOW_NULL,
	};
}

static void
fill_listeners(const struct show_table *t, struct proxy *x, struct show_rows *out)
{
	list_each(&x->listeners, n, after)
		add_listener(out, node_owner(n, struct listener, node));
}

static int
by_pool(const void *a, const void *b)
{
	const struct listener_row *x = a, *y = b;
	int order = strcmp(x->database, y->database);
	if (order == 0)
		order = strcmp(x->user, y->user);
	return order ? order : strcmp(x->encoding, y->encoding);
}

#define LISTENER(name, type, at) COLUMN(name, type, struct listener_row, at)

static const struct show_column listener_columns[] = {
	LISTENER("database", SHOW_TEXT, database),
	LISTENER("user", SHOW_TEXT, user),
	LISTENER("client_encoding", SHOW_TEXT, encoding),
	LISTENER("state", SHOW_TEXT, state),
	LISTENER("server_id", SHOW_INT8, server),
	LISTENER("channels", SHOW_INT4, channels),
	LISTENER("clients", SHOW_INT4, clients),
	LISTENER("notifications", SHOW_INT8, notifications),
	LISTENER("told", SHOW_INT8, told),
	LISTENER("bytes", SHOW_INT8, bytes),
	LISTENER("gaps", SHOW_INT8, gaps),
	LISTENER("closed", SHOW_INT8, closed),
	LISTENER("since", SHOW_TIME, since),
};

const struct show_table show_listeners = {
	.word = "LISTENERS",
	.columns = listener_columns,
	.column_count = COLUMN_COUNT(listener_columns),
	.row_bytes = sizeof(struct listener_row),
	.fill = fill_listeners,
	.compare = by_pool,
};
