/*
 * main/doors.c - the ports and Unix sockets that clients come through: opened at the start, closed when stopping begins.
 *
 * For each use (reading and writing, reading, HTTP) either the sockets that were passed to us, or what the settings say.
 */
#include <stdio.h>

#include "admin/http.h"
#include "base/heap.h"
#include "base/log.h"
#include "process.h"

/*
 * Whoever means it speaks at once, so a second has all that there is to gain. PgBouncer's 45 would keep those who
 * say nothing in the kernel's short queue, where neither max_login_clients nor client_login_timeout sees them.
 */
enum { DEFER_ACCEPT_S = 1 };

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
		.defer_accept_s = set->tcp_defer_accept ? DEFER_ACCEPT_S : 0,
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

static bool
is_passed(const struct process *p, enum passed_use use)
{
	for (int i = 0; i < p->passed.count; i++)
		if (passed_use(&p->passed.sockets[i], settings_of(p)) == use)
			return true;
	return false;
}

/* What the settings would open for this lane; 0: nothing. */
static int
port_to_open(const struct process *p, enum lane lane)
{
	const struct settings *set = settings_of(p);
	if (is_passed(p, lane == LANE_READ ? PASSED_FOR_READ : PASSED_FOR_WRITE))
		return 0;
	return lane == LANE_READ ? set->read_port : set->listen_port;
}

void
adopt_doors(struct process *p)
{
	const struct listener_options o = listener_options_of(settings_of(p));
	for (int i = 0; i < p->passed.count; i++) {
		const struct passed_socket *s = &p->passed.sockets[i];
		static const char *const uses[] = { "reading and writing", "reading", "HTTP" };
		enum passed_use use = passed_use(s, settings_of(p));
		log_info("main", "socket %d (\"%s\", %s %d) was passed to us, for %s", s->fd, s->name, s->is_unix ? "Unix" : "port",
		         s->port, uses[use]);
		if (use == PASSED_FOR_HTTP)
			continue;
		struct door *d = new_door(p, use == PASSED_FOR_READ ? LANE_READ : LANE_WRITE);
		must(d != NULL); /* they are fewer */
		d->is_unix = s->is_unix;
		d->is_passed = true;
		d->listener = listener_adopt(p->proxy->loop, s->fd, s->is_unix, &o, door_on_accept, d);
	}
}

static void
close_from(struct process *p, unsigned first)
{
	for (unsigned i = first; i < p->door_count; i++)
		listener_close(p->doors[i].listener);
	p->door_count = first;
}

bool
open_ports(struct process *p, struct text *why)
{
	unsigned first = p->door_count;
	for (enum lane lane = 0; lane < LANES; lane++) {
		const char *at = settings_of(p)->listen_addr;
		int port = port_to_open(p, lane);
		struct view item;
		while (port != 0 && config_list_next(&at, &item)) {
			char *address = heap_string_n(item.p, item.n);
			bool ok = open_tcp(p, address, port, lane, why);
			heap_free(address);
			if (!ok) {
				close_from(p, first);
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
		int port = port_to_open(p, lane);
		if (port != 0 && settings_of(p)->unix_socket_dir[0])
			open_unix(p, port, lane);
	}
}

bool
open_http(struct process *p, struct text *why)
{
	int sockets[PASSED_MAX], count = 0;
	for (int i = 0; i < p->passed.count; i++)
		if (passed_use(&p->passed.sockets[i], settings_of(p)) == PASSED_FOR_HTTP)
			sockets[count++] = p->passed.sockets[i].fd;
	if (count == 0 && settings_of(p)->http_port == 0)
		return true;
	p->http = http_open(p->proxy, sockets, count, why);
	return p->http != NULL;
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
		if (!p->doors[i].is_unix || p->doors[i].is_passed) {
			listener_close(p->doors[i].listener);
			p->doors[i].listener = NULL;
		}
}

void
close_doors(struct process *p)
{
	close_from(p, 0);
}
