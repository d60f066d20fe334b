/*
 * session/client.c - a client connection from its birth to its end: its states, who may call it when, and the one door out.
 *
 * What it says before it is logged in is in session/client_login.c, after that in session/client_messages.c.
 */
#include "session/client.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/heap.h"
#include "base/log.h"
#include "net/address.h"
#include "session/cancel.h"
#include "session/client_login.h"
#include "session/link.h"
#include "session/listen.h"
#include "session/peers.h"
#include "session/pids.h"
#include "session/repeat.h"
#include "session/replication.h"
#include "session/server.h"
#include "wire/reply.h"

#define IN(state) (1u << CLIENT_##state)

static const struct {
	const char *name; /* SHOW CLIENTS' words */
	unsigned next;
} client_states[] = {
	[CLIENT_STARTUP] = { "login", IN(TLS) | IN(ASKING) | IN(AUTH) | IN(WELCOME) | IN(IDLE) | IN(CONSOLE) |
	                               IN(CANCEL_WAITING) | IN(CANCELLING) | IN(CLOSED) },
	[CLIENT_TLS] = { "login", IN(STARTUP) | IN(CLOSED) },
	[CLIENT_ASKING] = { "login", IN(AUTH) | IN(WELCOME) | IN(IDLE) | IN(CONSOLE) | IN(CLOSED) },
	[CLIENT_AUTH] = { "login", IN(WELCOME) | IN(IDLE) | IN(CONSOLE) | IN(CLOSED) },
	[CLIENT_WELCOME] = { "waiting", IN(LEARNING) | IN(IDLE) | IN(CLOSED) },
	[CLIENT_LEARNING] = { "active", IN(IDLE) | IN(WELCOME) | IN(REPLICATING) | IN(CLOSED) },
	[CLIENT_IDLE] = { "idle", IN(WAITING) | IN(LINKED) | IN(CLOSED) },
	[CLIENT_WAITING] = { "waiting", IN(LINKED) | IN(IDLE) | IN(CLOSED) },
	[CLIENT_CHECKING] = { "active", IN(LINKED) | IN(WAITING) | IN(IDLE) | IN(CLOSED) },
	[CLIENT_LINKED] = { "active", IN(IDLE) | IN(WAITING) | IN(CHECKING) | IN(ABORTED) | IN(CLOSED) },
	[CLIENT_ABORTED] = { "aborted", IN(IDLE) | IN(CLOSED) },
	[CLIENT_REPLICATING] = { "active", IN(CLOSED) },
	[CLIENT_CANCEL_WAITING] = { "waiting_cancel_req", IN(CANCELLING) | IN(CLOSED) },
	[CLIENT_CANCELLING] = { "active_cancel_req", IN(CLOSED) },
	[CLIENT_CONSOLE] = { "active", IN(CLOSED) },
	[CLIENT_CLOSED] = { "closed", 0 },
};

const char *
client_state_name(enum client_state s)
{
	return client_states[s].name;
}

const char *
client_tag(const struct client *c)
{
	static char tag[16];
	snprintf(tag, sizeof(tag), "C%u", c->id);
	return tag;
}

bool
client_is_counted(const struct client *c)
{
	return c->state >= CLIENT_WELCOME && c->state < CLIENT_CLOSED;
}

void
client_enter(struct client *c, enum client_state to, const char *why)
{
	must(client_states[c->state].next & (1u << to));
	log_debug(client_tag(c), "%s -> %s: %s", client_states[c->state].name, client_states[to].name, why);
	if (c->login && to >= CLIENT_WELCOME)
		node_remove(&c->login->node);
	c->state = (uint8_t)to;
	c->since_us = clock_now_us();
	if (to == CLIENT_IDLE && c->listen)
		listen_on_idle(c);
}

/* ---- birth and death ---- */

static size_t client_on_data(void *owner, struct view in);

static void
client_on_open(void *owner)
{
	client_login_on_tls(owner);
}

/* Nothing else would tell why nobody can log in: the client itself often says no more than "bad certificate". */
static void
log_failed_handshake(const struct client *c, const char *why)
{
	char host[64];
	uint16_t port;
	if (!c->proxy->config->settings.log_pooler_errors)
		return;
	client_address_text(c, host, sizeof(host), &port);
	log_warning(client_tag(c), "TLS handshake with %s failed: %s", host, why);
}

static void
client_on_end(void *owner, enum stream_end why, const char *text)
{
	struct client *c = owner;
	if (why == STREAM_END_TLS && c->state == CLIENT_TLS)
		log_failed_handshake(c, text);
	client_close(c, why == STREAM_END_MEMORY ? FAULT_BY_PROXY : FAULT_BY_CLIENT, text);
}

/* The client does not read fast enough: its server must not be read from, nor may it ask for more. What it says while it
 * replicates is no question: it is read all the same. */
static void
client_on_blocked(void *owner)
{
	struct client *c = owner;
	if (c->link)
		stream_pause(&c->link->stream);
	if (c->state == CLIENT_IDLE || c->state == CLIENT_LINKED || c->state == CLIENT_ABORTED || c->state == CLIENT_CONSOLE)
		stream_pause(&c->stream);
}

static void
client_on_drained(void *owner)
{
	struct client *c = owner;
	if (c->link)
		stream_resume(&c->link->stream);
	bool console_waits = c->state == CLIENT_CONSOLE && c->console_waits;
	if (c->state == CLIENT_IDLE || c->state == CLIENT_ABORTED || (c->state == CLIENT_CONSOLE && !console_waits) ||
	    (c->state == CLIENT_LINKED && !c->link->stream.is_blocked))
		stream_resume(&c->stream);
}

static const struct stream_ops client_ops = {
	.on_open = client_on_open,
	.on_data = client_on_data,
	.on_end = client_on_end,
	.on_blocked = client_on_blocked,
	.on_drained = client_on_drained,
};

/* Once, as a socket whose peer has reset it knows it no more: such a one must not be taken for a Unix socket. */
static void
note_address(struct client *c)
{
	struct sockaddr_storage a;
	stream_peer(&c->stream, &a);
	if (c->is_unix)
		return;
	if (a.ss_family != AF_INET && a.ss_family != AF_INET6) {
		client_close(c, FAULT_BY_CLIENT, "it left before it was accepted");
		return;
	}
	c->address = ip_address_of((const struct sockaddr *)&a);
	c->port = (uint16_t)address_port(&a);
}

void
client_new(struct proxy *x, int fd, bool is_unix, enum lane lane)
{
	struct client *c = heap_alloc(sizeof(*c));
	c->proxy = x;
	c->id = x->last_id = (x->last_id & INT32_MAX) + 1; /* fits a positive int4: it is a process id to clients */
	c->state = CLIENT_STARTUP;
	c->lane = (uint8_t)lane;
	c->is_unix = is_unix;
	c->connect_us = c->since_us = clock_now_us();
	list_append(&x->clients, &c->node);
	client_login_begin(c);
	x->counters.clients_accepted++;
	stream_open(&c->stream, x->loop, fd, &client_ops, c);
	note_address(c);
}

void
client_refuse(struct proxy *x, int fd, const char *text, const char *hint)
{
	struct buf b = { 0 };
	uint8_t said[1024];
	reply_error(&b, "FATAL", &(struct fault){ .sqlstate = SQLSTATE_TOO_MANY_CONNECTIONS, .text = text, .hint = hint });
	x->counters.clients_refused++;
	for (int i = 0; i < 4 && recv(fd, said, sizeof(said), MSG_DONTWAIT) > 0; i++)
		continue; /* what is left unread would make the kernel tell it of a reset, instead of what we say */
	if (write(fd, b.p, b.n) < 0)
		log_debug("listener", "refusing a client: %s", strerror(errno));
	buf_free(&b);
	close(fd);
}

void
client_address(const struct client *c, struct sockaddr_storage *out)
{
	*out = (struct sockaddr_storage){ .ss_family = AF_UNIX };
	if (c->address.size == 4) {
		struct sockaddr_in *in = (struct sockaddr_in *)out;
		*in = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(c->port) };
		memcpy(&in->sin_addr, c->address.bytes, 4);
	} else if (c->address.size == 16) {
		struct sockaddr_in6 *in = (struct sockaddr_in6 *)out;
		*in = (struct sockaddr_in6){ .sin6_family = AF_INET6, .sin6_port = htons(c->port) };
		memcpy(&in->sin6_addr, c->address.bytes, 16);
	}
}

void
client_address_text(const struct client *c, char *host, size_t room, uint16_t *port)
{
	struct sockaddr_storage a;
	client_address(c, &a);
	address_text((const struct sockaddr *)&a, host, room, port);
}

void
client_send(struct client *c, struct view v)
{
	stream_put(&c->stream, v);
}

void
client_notice(struct client *c, const char *sqlstate, const char *text, const char *hint)
{
	struct buf b = { 0 };
	reply_notice(&b, "NOTICE", &(struct fault){ .sqlstate = sqlstate, .text = text, .hint = hint });
	client_send(c, buf_view(&b));
	buf_free(&b);
}

/* Asked for a password, it went: psql, which then asks its user, or the check of a balancer. Who went before that said
 * nothing worth a line: a check that only connects, or scanners. */
static void
log_left(const struct client *c, const char *reason)
{
	char host[64];
	uint16_t port;
	client_address_text(c, host, sizeof(host), &port);
	log_info(client_tag(c), "left during login user=\"%s\" from=%s:%u reason=\"%s\"", c->login->user, host, port, reason);
}

static void
log_closed(const struct client *c, enum fault_by by, const char *reason)
{
	if (!c->proxy->config->settings.log_disconnections)
		return;
	if (c->database == NULL) {
		if (c->state == CLIENT_AUTH && by == FAULT_BY_CLIENT && !c->is_failed)
			log_left(c, reason);
		return;
	}
	log_info(client_tag(c), "closed pool=%s/%s by=%s reason=\"%s\" age=%.1fs", c->database->name,
	         c->role ? c->role->name : "?", fault_by_name(by), reason,
	         (double)(clock_now_us() - c->connect_us) / (double)SECOND_US);
}

void
client_close(struct client *c, enum fault_by by, const char *reason)
{
	if (c->state == CLIENT_CLOSED)
		return;
	struct proxy *x = c->proxy;
	log_closed(c, by, reason);
	if (waiter_is_waiting(&c->waiter) && c->pool)
		proxy_dirty(x, c->pool);
	pool_leave(&c->waiter);
	if (c->state == CLIENT_CANCELLING)
		cancel_forget_client(c);
	peers_forget_client(c);
	if (c->state == CLIENT_ASKING)
		client_login_leave(c);
	if (c->state == CLIENT_CONSOLE && x->console)
		x->console->on_close(c);
	link_abandon(c);
	if (c->pool)
		c->pool->clients--;
	if (c->role && c->database)
		c->role->clients--;
	if (c->database) {
		c->database->clients--;
		c->database->used_us = clock_now_us();
		x->client_count--;
	}
	cancel_keys_remove(x, c);
	listen_forget(c);
	client_enter(c, CLIENT_CLOSED, reason);
	stream_close(&c->stream);
	node_remove(&c->node);
	list_append(&x->closed_clients, &c->node);
}

void
client_fail(struct client *c, const struct fault *f)
{
	if (c->is_failed || c->state == CLIENT_CLOSED)
		return;
	bool has_no_server = c->state == CLIENT_WAITING && (f->by == FAULT_BY_PROXY || f->by == FAULT_BY_SERVER);
	if (c->repeat && has_no_server) {
		repeat_refuse(c, f->text);
		return;
	}
	if (f->by == FAULT_BY_CLIENT)
		c->proxy->counters.client_errors++;
	if (c->proxy->config->settings.log_pooler_errors || f->by == FAULT_BY_PROXY)
		log_warning(client_tag(c), "%s (%s%s%s)", f->text, f->sqlstate, c->database ? ", database " : "",
		            c->database ? c->database->name : "");
	client_cut(c, f);
}

void
client_cut(struct client *c, const struct fault *f)
{
	if (c->is_failed || c->state == CLIENT_CLOSED)
		return;
	c->is_failed = true;
	struct fault unknown;
	if (repeat_makes_unknown(c, f, &unknown))
		f = &unknown;
	/* In the middle of a message of its server's nothing else can be said. */
	bool can_speak = c->link == NULL || c->link->in_left == 0 || !c->link->in_goes;
	if (can_speak && c->state != CLIENT_TLS && c->state != CLIENT_CANCELLING &&
	    c->state != CLIENT_CANCEL_WAITING) {
		struct buf b = { 0 };
		reply_error(&b, "FATAL", f);
		client_send(c, buf_view(&b));
		buf_free(&b);
	}
	client_close(c, f->by, f->text);
}

void
client_free(struct client *c)
{
	must(c->state == CLIENT_CLOSED && c->link == NULL);
	node_remove(&c->node);
	if (c->role)
		c->role->holders--;
	client_login_free(c);
	named_free_all(&c->statements);
	buf_free(&c->unnamed);
	params_unref(c->params);
	params_unref(c->params_at_login);
	params_unref(c->params_before);
	buf_free(&c->again);
	repeat_end(c);
	heap_free(c->why_lost);
	heap_free(c);
}

uint32_t
client_cancel_pid(const struct client *c)
{
	return cancel_pid(c->proxy->config->settings.peer_id, c->id);
}

size_t
client_cancel_key(const struct client *c, uint32_t pid, uint8_t out[CANCEL_KEY_BYTES])
{
	cancel_key_make(c->proxy->cancel_secret, c->id, pid, out);
	return c->minor >= 2 ? CANCEL_KEY_BYTES : CANCEL_KEY_MIN;
}

/* ---- linked, parted ---- */

void
client_linked(struct client *c)
{
	if (c->state == CLIENT_WELCOME) {
		client_login_on_link(c);
		return;
	}
	client_enter(c, CLIENT_LINKED, "its turn has come");
	c->tells_wait = false;
	if (c->repeat && !repeat_begin(c))
		return;
	if (c->again.n > 0)
		client_handle_again(c);
	if (c->named_by)
		pids_linked(c);
	if (c->state == CLIENT_LINKED && !c->link->stream.is_blocked)
		stream_resume(&c->stream);
}

void
client_parted(struct client *c)
{
	if (c->params_before)
		params_replace(&c->params_before, NULL);
	client_enter(c, CLIENT_IDLE, "transaction is over");
	if (c->proxy->state == PROXY_STOPPING || c->proxy->state == PROXY_STOPPING_SERVERS) {
		client_fail(c, &(struct fault){ .by = FAULT_BY_ADMIN, .sqlstate = SQLSTATE_ADMIN_SHUTDOWN,
		                                .text = "server shutting down" });
		return;
	}
	if (!c->stream.is_blocked)
		stream_resume(&c->stream);
}

/* ---- the console ---- */

static size_t
client_console(struct client *c, struct view in)
{
	size_t at = 0;
	/* Paused: a command waits, or its answers are not read. */
	while (at < in.n && c->state == CLIENT_CONSOLE && !c->stream.is_paused) {
		struct frame f;
		enum frame_result r = frame_peek(view_from(in, at), 1 << 20, &f);
		if (r == FRAME_BAD) {
			client_fail(c, &(struct fault){ .by = FAULT_BY_CLIENT, .sqlstate = SQLSTATE_PROTOCOL_VIOLATION,
			                                .text = "invalid message length" });
			break;
		}
		if (r == FRAME_SHORT || !frame_is_whole(&f))
			break;
		at += f.size;
		if (f.type == FE_TERMINATE) {
			client_close(c, FAULT_BY_CLIENT, "client closed the connection");
			break;
		}
		if (!c->proxy->console->on_message(c, &f))
			break;
	}
	return at;
}

static size_t
client_on_data(void *owner, struct view in)
{
	struct client *c = owner;
	switch ((enum client_state)c->state) {
	case CLIENT_IDLE:
	case CLIENT_LINKED:
		return client_handle(c, in);
	case CLIENT_ABORTED: {
		size_t used = client_aborted_handle(c, in);
		return c->state == CLIENT_IDLE && used < in.n ? used + client_handle(c, view_from(in, used)) : used;
	}
	case CLIENT_STARTUP:
	case CLIENT_AUTH: {
		size_t used = client_login_on_data(c, in);
		bool is_in = c->state == CLIENT_IDLE || c->state == CLIENT_CONSOLE;
		return is_in && used < in.n ? used + client_on_data(c, view_from(in, used)) : used;
	}
	case CLIENT_REPLICATING:
		return replication_on_client_data(c, in);
	case CLIENT_CONSOLE:
		return client_console(c, in);
	case CLIENT_CANCEL_WAITING:
	case CLIENT_CANCELLING:
		return in.n; /* a cancel request has no more to say */
	default:
		break;
	}
	/* Waiting: it was paused before it came here, but its last read may have brought more than one message. */
	stream_pause_watching(&c->stream);
	return 0;
}
