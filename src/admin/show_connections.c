/*
 * admin/show_connections.c - SHOW CLIENTS, SERVERS, SOCKETS, ACTIVE_SOCKETS, FDS: one row per connection.
 *
 * Addresses cost a system call each, so 10,000 rows take some milliseconds; nothing of them is kept with a connection.
 */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/text.h"
#include "session/client.h"
#include "session/replication.h"
#include "session/server.h"
#include "show_row.h"

struct connection_row {
	const char *type, *user, *database, *replication, *state, *application_name;
	char        addr[64], local_addr[64], ptr[24], link[24], tls[100];
	uint64_t    port, local_port, connect_time, request_time, wait, wait_us, close_needed, remote_pid, prepared, id;
	uint64_t    recv_pos, pkt_pos, pkt_remain, send_pos, send_remain, pkt_avail, send_avail; /* SOCKETS only */
	/* FDS only */
	const char *task, *client_encoding, *std_strings, *datestyle, *timezone, *secret;
	uint64_t    fd, linked_fd, cancel;
	/* not shown: where the row belongs */
	const char *group_user;
	unsigned    order;
};

static int
by_pool(const void *a, const void *b)
{
	const struct connection_row *x = a, *y = b;
	int order = strcmp(x->type, y->type);
	if (order == 0)
		order = strcmp(x->database, y->database);
	if (order == 0)
		order = strcmp(x->group_user, y->group_user);
	if (order == 0)
		order = (x->order > y->order) - (x->order < y->order);
	return order ? order : (x->id > y->id) - (x->id < y->id);
}

static void
add_pointer(char *room, size_t bytes, const void *p)
{
	if (p)
		snprintf(room, bytes, "%p", p);
}

static uint64_t
port_or(uint16_t port, int other)
{
	return port ? port : (uint64_t)other;
}

static void
add_local(struct connection_row *row, const struct stream *s, int port_of_unix)
{
	uint16_t port = 0;
	if (!stream_is_open(s))
		return;
	stream_local_address(s, row->local_addr, sizeof(row->local_addr), &port);
	row->local_port = port_or(port, port_of_unix);
	stream_describe_tls(s, row->tls, sizeof(row->tls));
}

static void
add_buffers(struct connection_row *row, const struct stream *s, uint32_t in_left)
{
	row->pkt_remain = in_left;
	row->recv_pos = row->pkt_avail = stream_kept(s);
	row->send_avail = s->pending.n;
}

static const char *
or_empty(const char *s)
{
	return s ? s : "";
}

static void
add_params(struct connection_row *row, const struct params *p)
{
	row->application_name = p ? or_empty(params_value(p, "application_name")) : "";
	row->client_encoding = p ? params_value(p, "client_encoding") : NULL;
	row->std_strings = p ? params_value(p, "standard_conforming_strings") : NULL;
	row->datestyle = p ? params_value(p, "DateStyle") : NULL;
	row->timezone = p ? params_value(p, "TimeZone") : NULL;
}

static uint64_t
peer_process(const struct stream *s)
{
	struct ucred peer;
	socklen_t n = sizeof(peer);
	return getsockopt(s->fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) == 0 ? (uint64_t)peer.pid : 0;
}

/* ---- clients ---- */

static const char *
client_database(const struct client *c)
{
	if (c->database)
		return c->database->name;
	return c->state == CLIENT_CONSOLE ? CONSOLE_NAME : "(nodb)";
}

static uint64_t
client_waits_us(const struct client *c)
{
	uint64_t since = c->state == CLIENT_WAITING || c->state == CLIENT_WELCOME ? c->waiter.since_us : c->query_us;
	if (c->state == CLIENT_IDLE || since == 0)
		return 0;
	return clock_now_us() - since;
}

static void
add_client(struct show_rows *out, struct client *c)
{
	struct connection_row *row = show_rows_add(out);
	const struct settings *set = &c->proxy->config->settings;
	int own_port = c->lane == LANE_READ ? set->read_port : set->listen_port;
	uint16_t port = 0;
	row->type = "C";
	row->task = "client";
	row->user = c->role ? c->role->name : "(nouser)";
	row->database = client_database(c);
	row->group_user = c->pool ? c->pool->role->name : row->user;
	row->replication = replication_name(client_replication(c));
	row->state = client_state_name(c->state);
	row->order = c->state;
	client_address_text(c, row->addr, sizeof(row->addr), &port);
	row->port = port_or(port, own_port);
	add_local(row, &c->stream, own_port);
	row->connect_time = c->connect_us;
	row->request_time = c->request_us ? c->request_us : c->connect_us;
	row->wait = client_waits_us(c) / SECOND_US;
	row->wait_us = client_waits_us(c) % SECOND_US;
	add_pointer(row->ptr, sizeof(row->ptr), c);
	add_pointer(row->link, sizeof(row->link), c->link);
	row->remote_pid = c->is_unix && !c->is_proxied ? peer_process(&c->stream) : 0;
	add_params(row, c->params);
	row->prepared = named_count(&c->statements);
	row->id = c->id;
	row->fd = (uint64_t)c->stream.fd;
	row->linked_fd = c->link && stream_is_open(&c->link->stream) ? (uint64_t)c->link->stream.fd : 0;
	add_buffers(row, &c->stream, c->in_left);
}

static void
fill_clients(const struct show_table *t, struct proxy *x, struct show_rows *out)
{
	list_each(&x->clients, n, after)
	{
		struct client *c = node_owner(n, struct client, node);
		if (client_is_counted(c))
			add_client(out, c);
	}
}

/* ---- servers ---- */

static const char *
server_word(const struct server *s)
{
	if (s->replication && s->login)
		return slot_state_name(SLOT_LOGIN);
	return s->slot.state == SLOT_IDLE && slot_is_used(s->proxy, &s->slot) ? "used" : slot_state_name(s->slot.state);
}

static void
add_server(struct show_rows *out, struct server *s)
{
	struct connection_row *row = show_rows_add(out);
	const struct member *m = topology_member(s->pool->database->load->topology, s->slot.at->id);
	uint16_t port = 0;
	row->type = "S";
	row->task = "server";
	row->user = row->group_user = s->pool->role->name;
	row->database = s->pool->database->name;
	row->replication = replication_name((enum replication)s->replication);
	row->state = server_word(s);
	row->order = s->slot.state;
	if (s->address_bytes > 0)
		address_text((const struct sockaddr *)&s->address, row->addr, sizeof(row->addr), &port);
	row->port = port_or(port, m ? m->port : 0);
	add_local(row, &s->stream, m ? m->port : 0);
	row->connect_time = s->connect_us;
	row->request_time = s->request_us;
	row->close_needed = s->slot.is_close_needed;
	add_pointer(row->ptr, sizeof(row->ptr), s);
	add_pointer(row->link, sizeof(row->link), s->link);
	row->remote_pid = s->pid;
	add_params(row, s->params);
	row->prepared = holdings_count(&s->holdings);
	row->id = s->id;
	row->fd = (uint64_t)s->stream.fd;
	row->linked_fd = s->link ? (uint64_t)s->link->stream.fd : 0;
	add_buffers(row, &s->stream, s->in_left);
}

static void
fill_servers(const struct show_table *t, struct proxy *x, struct show_rows *out)
{
	list_each(&x->servers, n, after)
		add_server(out, node_owner(n, struct server, node));
}

/* ---- sockets ---- */

/* PgBouncer's words for states are longer here. */
static const struct {
	const char *type, *state, *word;
} socket_words[] = {
	{ "C", "login", "cl_login" },
	{ "C", "waiting", "cl_waiting" },
	{ "C", "active", "cl_active" },
	{ "C", "idle", "cl_active" },
	{ "C", "active_cancel_req", "cl_active_cancel_req" },
	{ "C", "waiting_cancel_req", "cl_waiting_cancel_req" },
	{ "S", "new", "sv_login" },
	{ "S", "idle", "sv_idle" },
	{ "S", "used", "sv_used" },
	{ "S", "tested", "sv_tested" },
	{ "S", "active", "sv_active" },
	{ "S", "being_canceled", "sv_being_canceled" },
};

static const char *
socket_word(const struct connection_row *row)
{
	for (size_t i = 0; i < sizeof(socket_words) / sizeof(socket_words[0]); i++)
		if (strcmp(socket_words[i].type, row->type) == 0 && strcmp(socket_words[i].state, row->state) == 0)
			return socket_words[i].word;
	return row->state;
}

static bool
is_unfinished(const struct stream *s, uint32_t in_left)
{
	return in_left > 0 || stream_kept(s) > 0 || stream_has_output(s);
}

static void
fill_sockets(const struct show_table *t, struct proxy *x, struct show_rows *out)
{
	bool all = t == &show_sockets;
	list_each(&x->clients, n, after)
	{
		struct client *c = node_owner(n, struct client, node);
		if (all || is_unfinished(&c->stream, c->in_left))
			add_client(out, c);
	}
	list_each(&x->servers, n, after)
	{
		struct server *s = node_owner(n, struct server, node);
		if (all || is_unfinished(&s->stream, s->in_left))
			add_server(out, s);
	}
	struct connection_row *rows = (struct connection_row *)(void *)out->bytes.p;
	for (size_t i = 0; i < out->count; i++)
		rows[i].state = socket_word(&rows[i]);
}

/* TLS sessions can't be handed to another process, so PgBouncer leaves them out. Secrets are NULL: none leaves us. */
static void
fill_fds(const struct show_table *t, struct proxy *x, struct show_rows *out)
{
	list_each(&x->clients, n, after)
	{
		struct client *c = node_owner(n, struct client, node);
		if (c->database && client_is_counted(c) && c->stream.ssl == NULL)
			add_client(out, c);
	}
	list_each(&x->servers, n, after)
	{
		struct server *s = node_owner(n, struct server, node);
		if (s->login == NULL && stream_is_open(&s->stream) && s->stream.ssl == NULL)
			add_server(out, s);
	}
}

/* ---- columns ---- */

#define CONNECTION(name, type, member) COLUMN(name, type, struct connection_row, member)

enum { PLAIN_COLUMNS = 21 }; /* of CLIENTS and SERVERS; SOCKETS has more */

static const struct show_column connection_columns[] = {
	CONNECTION("type", SHOW_TEXT, type),
	CONNECTION("user", SHOW_TEXT, user),
	CONNECTION("database", SHOW_TEXT, database),
	CONNECTION("replication", SHOW_TEXT, replication),
	CONNECTION("state", SHOW_TEXT, state),
	CONNECTION("addr", SHOW_CHARS, addr),
	CONNECTION("port", SHOW_INT4, port),
	CONNECTION("local_addr", SHOW_CHARS, local_addr),
	CONNECTION("local_port", SHOW_INT4, local_port),
	CONNECTION("connect_time", SHOW_TIME, connect_time),
	CONNECTION("request_time", SHOW_TIME, request_time),
	CONNECTION("wait", SHOW_INT4, wait),
	CONNECTION("wait_us", SHOW_INT4, wait_us),
	CONNECTION("close_needed", SHOW_INT4, close_needed),
	CONNECTION("ptr", SHOW_CHARS, ptr),
	CONNECTION("link", SHOW_CHARS, link),
	CONNECTION("remote_pid", SHOW_INT4, remote_pid),
	CONNECTION("tls", SHOW_CHARS, tls),
	CONNECTION("application_name", SHOW_TEXT, application_name),
	CONNECTION("prepared_statements", SHOW_INT4, prepared),
	CONNECTION("id", SHOW_INT4, id),
	CONNECTION("recv_pos", SHOW_INT4, recv_pos),
	CONNECTION("pkt_pos", SHOW_INT4, pkt_pos),
	CONNECTION("pkt_remain", SHOW_INT4, pkt_remain),
	CONNECTION("send_pos", SHOW_INT4, send_pos),
	CONNECTION("send_remain", SHOW_INT4, send_remain),
	CONNECTION("pkt_avail", SHOW_INT4, pkt_avail),
	CONNECTION("send_avail", SHOW_INT4, send_avail),
};

static const struct show_column fds_columns[] = {
	CONNECTION("fd", SHOW_INT4, fd),
	CONNECTION("task", SHOW_TEXT, task),
	CONNECTION("user", SHOW_TEXT, user),
	CONNECTION("database", SHOW_TEXT, database),
	CONNECTION("addr", SHOW_CHARS, addr),
	CONNECTION("port", SHOW_INT4, port),
	CONNECTION("cancel", SHOW_INT8, cancel),
	CONNECTION("link", SHOW_INT4, linked_fd),
	CONNECTION("client_encoding", SHOW_TEXT, client_encoding),
	CONNECTION("std_strings", SHOW_TEXT, std_strings),
	CONNECTION("datestyle", SHOW_TEXT, datestyle),
	CONNECTION("timezone", SHOW_TEXT, timezone),
	CONNECTION("password", SHOW_TEXT, secret),
	CONNECTION("scram_client_key", SHOW_BYTEA, secret),
	CONNECTION("scram_server_key", SHOW_BYTEA, secret),
};

#define CONNECTIONS(word, columns, count, is_admins, fill) \
	{ word, columns, count, is_admins, sizeof(struct connection_row), fill, by_pool }

const struct show_table show_clients = CONNECTIONS("CLIENTS", connection_columns, PLAIN_COLUMNS, false, fill_clients);
const struct show_table show_servers = CONNECTIONS("SERVERS", connection_columns, PLAIN_COLUMNS, false, fill_servers);
const struct show_table show_sockets =
	CONNECTIONS("SOCKETS", connection_columns, COLUMN_COUNT(connection_columns), false, fill_sockets);
const struct show_table show_active_sockets =
	CONNECTIONS("ACTIVE_SOCKETS", connection_columns, COLUMN_COUNT(connection_columns), false, fill_sockets);
const struct show_table show_fds = CONNECTIONS("FDS", fds_columns, COLUMN_COUNT(fds_columns), true, fill_fds);
