/*
 * main/doors.c - the ports and Unix sockets that clients come through: opened at the start, closed when stopping begins.
 */
#include <stdio.h>

#include "base/heap.h"
#include "base/log.h"
#include "process.h"

static void
door_on_accept(void *context, int fd, bool is_unix, bool is_last)
{
	struct door *d = context;
	proxy_accept(d->process->proxy, fd, is_unix, is_last, d->lane);
}

struct listener_options
listener_options_of(const struct settings *set)
{
	return (struct listener_options){
		.backlog = set->listen_backlog,
		.reuse_port = set->so_reuseport,
		.defer_accept_s = set->tcp_defer_accept ? 45 : 0,
		.socket = { .keepalive = set->tcp_keepalive,
		            .keepidle_s = set->tcp_keepidle_s,
		            .keepintvl_s = set->tcp_keepintvl_s,
		            .keepcnt = set->tcp_keepcnt,
		            .user_timeout_ms = set->tcp_user_timeout_ms,
		            .buffer_bytes = (int)set->tcp_socket_buffer_bytes },
	};
}

static struct door *
new_door(struct process *p, enum lane lane)
{
	if (p->door_count == LISTENERS_MAX)
		return NULL;
	struct door *d = &p->doors[p->door_count++];
	*d = (struct door){ .process = p, .lane = lane };
	return d;
}

static bool
open_tcp(struct process *p, const char *address, int port, enum lane lane, struct text *why)
{
	const struct listener_options o = listener_options_of(&p->proxy->config->settings);
	struct door *d = new_door(p, lane);
	if (d == NULL) {
		text_addf(why, "listen_addr has too many addresses; allowed are %d", LISTENERS_MAX / 2);
		return false;
	}
	d->listener = listener_open_tcp(p->proxy->loop, address, (uint16_t)port, &o, door_on_accept, d, why);
	return d->listener != NULL;
}

/* A socket in a directory that can't be written is no reason not to serve the network. */
static void
open_unix(struct process *p, int port, enum lane lane)
{
	const struct settings *set = &p->proxy->config->settings;
	const struct listener_options o = listener_options_of(set);
	char path[300], reason[400];
	struct text why = TEXT_IN(reason);
	snprintf(path, sizeof(path), "%s/.s.PGSQL.%d", set->unix_socket_dir, port);
	struct door *d = new_door(p, lane);
	if (d == NULL)
		return;
	d->is_unix = true;
	d->listener = listener_open_unix(p->proxy->loop, path, set->unix_socket_mode, set->unix_socket_group, &o,
	                                 door_on_accept, d, &why);
	if (d->listener == NULL)
		log_warning("main", "no Unix socket: %s", reason);
}

static const struct settings *
settings_of(const struct process *p)
{
	return &p->proxy->config->settings;
}

static int
port_of(const struct settings *set, enum lane lane)
{
	return lane == LANE_READ ? set->read_port : set->listen_port;
}

bool
open_ports(struct process *p, struct text *why)
{
	for (enum lane lane = 0; lane < LANES; lane++) {
		const char *at = settings_of(p)->listen_addr;
		int port = port_of(settings_of(p), lane);
		struct view item;
		while (port != 0 && config_list_next(&at, &item)) {
			char *address = heap_string_n(item.p, item.n);
			bool ok = open_tcp(p, address, port, lane, why);
			heap_free(address);
			if (!ok) {
				close_doors(p);
				return false;
			}
		}
	}
	return true;
}

void
open_unix_sockets(struct process *p)
{
	for (enum lane lane = 0; lane < LANES; lane++) {
		int port = port_of(settings_of(p), lane);
		if (port != 0 && settings_of(p)->unix_socket_dir[0])
			open_unix(p, port, lane);
	}
}

bool
has_doors(const struct process *p)
{
	for (unsigned i = 0; i < p->door_count; i++)
		if (p->doors[i].listener)
			return true;
	return false;
}

void
stop_accepting(struct process *p)
{
	for (unsigned i = 0; i < p->door_count; i++)
		if (!p->doors[i].is_unix) {
			listener_close(p->doors[i].listener);
			p->doors[i].listener = NULL;
		}
}

void
close_doors(struct process *p)
{
	for (unsigned i = 0; i < p->door_count; i++)
		listener_close(p->doors[i].listener);
	p->door_count = 0;
}
