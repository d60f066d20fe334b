/* net/listener.c - listening sockets; see the header. */
#include "net/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/heap.h"
#include "base/log.h"

enum { ACCEPTS_PER_TURN = 64, SOCKETS_MAX = 8 };

struct listener_socket {
	struct watched watched;
	struct listener *of;
	int fd;
};

struct listener {
	struct loop *loop;
	listener_fn *fn;
	void *context;
	unsigned count;
	struct listener_socket socket[SOCKETS_MAX]; /* a name may have several addresses */
	struct timer *pause; /* after running out of descriptors */
	int reserve_fd;      /* given up to refuse politely */
	bool is_unix;
	bool is_short; /* out of descriptors, said so */
	char path[108]; /* file to remove; "" for TCP and abstract sockets */
};

static void
listener_watch(struct listener *l, bool on)
{
	for (unsigned i = 0; i < l->count; i++) {
		if (on)
			loop_watch(l->loop, &l->socket[i].watched, l->socket[i].fd, EPOLLIN);
		else
			loop_unwatch(l->loop, &l->socket[i].watched);
	}
}

static void
listener_on_pause_over(void *context)
{
	listener_watch(context, true);
}

static void
listener_is_short(struct listener *l, int fd, int error)
{
	if (!l->is_short)
		log_error("listener", "can't accept connections: %s; raise the limit of open files or lower max_client_conn",
		          strerror(error));
	l->is_short = true;
	if (l->reserve_fd >= 0) {
		close(l->reserve_fd);
		int last = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (last >= 0)
			l->fn(l->context, last, l->is_unix, true);
		l->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	}
	listener_watch(l, false);
	timer_set(l->pause, 100 * MILLISECOND_US);
}

static void
listener_on_readable(struct watched *w, uint32_t events)
{
	struct listener_socket *s = node_owner(w, struct listener_socket, watched);
	struct listener *l = s->of;
	for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
		int client = accept4(s->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (client >= 0) {
			l->is_short = false;
			l->fn(l->context, client, l->is_unix, false);
			continue;
		}
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
			listener_is_short(l, s->fd, errno);
		break; /* EAGAIN: all accepted. Else the caller has left again. */
	}
	loop_flush(l->loop);
}

static struct listener *
listener_new(struct loop *loop, listener_fn *fn, void *context, bool is_unix)
{
	struct listener *l = heap_alloc(sizeof(*l));
	*l = (struct listener){ .loop = loop, .fn = fn, .context = context, .is_unix = is_unix };
	l->pause = timer_new(loop, listener_on_pause_over, l);
	l->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	return l;
}

static void
listener_watch_for(struct listener *l, int fd)
{
	struct listener_socket *s = &l->socket[l->count++];
	*s = (struct listener_socket){ .of = l, .fd = fd, .watched.on_ready = listener_on_readable };
	loop_watch(l->loop, &s->watched, fd, EPOLLIN);
}

static bool
listener_add(struct listener *l, int fd, int backlog)
{
	if (listen(fd, backlog) != 0)
		return false;
	listener_watch_for(l, fd);
	return true;
}

static void
tune_tcp(int fd, const struct listener_options *o)
{
	socket_tune(fd, &o->socket);
	setsockopt(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, &o->defer_accept_s, sizeof(o->defer_accept_s));
}

static int
bind_tcp(const struct addrinfo *a, const struct listener_options *o)
{
	int fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	int on = 1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (o->reuse_port)
		setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
	if (a->ai_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	tune_tcp(fd, o);
	if (bind(fd, a->ai_addr, a->ai_addrlen) != 0) {
		int saved = errno;
		close(fd);
		errno = saved;
		return -1;
	}
	return fd;
}

struct listener *
listener_open_tcp(struct loop *loop, const char *address, uint16_t port, const struct listener_options *o, listener_fn *fn,
                  void *context, struct text *why)
{
	char service[8];
	snprintf(service, sizeof(service), "%u", port);
	bool is_any = strcmp(address, "*") == 0;
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV }, *list = NULL;
	int error = getaddrinfo(is_any ? NULL : address, service, &hints, &list);
	if (error != 0) {
		text_addf(why, "can't listen on %s port %u: %s", address, port, gai_strerror(error));
		return NULL;
	}
	struct listener *l = listener_new(loop, fn, context, false);
	int failed = 0;
	for (struct addrinfo *a = list; a && l->count < SOCKETS_MAX; a = a->ai_next) {
		int fd = bind_tcp(a, o);
		if (fd >= 0 && listener_add(l, fd, o->backlog))
			continue;
		/* A machine without IPv6 still has "*". A port in use on one address is an error on all. */
		if (errno != EAFNOSUPPORT && errno != EADDRNOTAVAIL)
			failed = errno;
		else if (failed == 0 && !is_any)
			failed = errno;
		if (fd >= 0)
			close(fd);
	}
	freeaddrinfo(list);
	if (failed != 0 || l->count == 0) {
		text_addf(why, "can't listen on %s port %u: %s", address, port, strerror(failed ? failed : EADDRNOTAVAIL));
		listener_close(l);
		return NULL;
	}
	return l;
}

/* Does a process answer at this socket? A file nobody listens on is left over from a crash. */
static bool
is_answering(const struct sockaddr_un *a, socklen_t bytes)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return false;
	bool yes = connect(fd, (const struct sockaddr *)a, bytes) == 0 || errno == EAGAIN;
	close(fd);
	return yes;
}

static bool
bind_unix(struct listener *l, const char *path, int mode, const char *group, int backlog, struct text *why)
{
	struct sockaddr_storage storage;
	socklen_t bytes;
	struct sockaddr_un *a = (struct sockaddr_un *)(void *)&storage;
	memset(&storage, 0, sizeof(storage));
	a->sun_family = AF_UNIX;
	bool is_abstract = path[0] == '@';
	size_t n = strlen(path);
	if (n >= sizeof(a->sun_path)) {
		text_addf(why, "Unix socket path \"%s\" is longer than %zu bytes", path, sizeof(a->sun_path) - 1);
		return false;
	}
	memcpy(a->sun_path, path, n);
	if (is_abstract)
		a->sun_path[0] = '\0';
	bytes = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + (is_abstract ? 0 : 1));

	if (!is_abstract && is_answering(a, bytes)) {
		text_addf(why, "Unix socket \"%s\" is in use by another process", path);
		return false;
	}
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0) {
		text_addf(why, "can't make a Unix socket: %s", strerror(errno));
		return false;
	}
	if (!is_abstract)
		unlink(path);
	if (bind(fd, (struct sockaddr *)a, bytes) != 0) {
		text_addf(why, "can't bind Unix socket \"%s\": %s", path, strerror(errno));
		close(fd);
		return false;
	}
	if (!is_abstract) {
		snprintf(l->path, sizeof(l->path), "%s", path);
		struct group *g = group && group[0] ? getgrnam(group) : NULL;
		if (group && group[0] && (g == NULL || chown(path, (uid_t)-1, g->gr_gid) != 0)) {
			text_addf(why, "can't give Unix socket \"%s\" to group \"%s\"", path, group);
			close(fd);
			return false;
		}
		if (chmod(path, (mode_t)mode) != 0) {
			text_addf(why, "can't set the mode of Unix socket \"%s\": %s", path, strerror(errno));
			close(fd);
			return false;
		}
	}
	if (!listener_add(l, fd, backlog)) {
		text_addf(why, "can't listen on Unix socket \"%s\": %s", path, strerror(errno));
		close(fd);
		return false;
	}
	return true;
}

struct listener *
listener_open_unix(struct loop *loop, const char *path, int mode, const char *group, const struct listener_options *o,
                   listener_fn *fn, void *context, struct text *why)
{
	struct listener *l = listener_new(loop, fn, context, true);
	if (!bind_unix(l, path, mode, group, o->backlog, why)) {
		listener_close(l);
		return NULL;
	}
	return l;
}

struct listener *
listener_adopt(struct loop *loop, int fd, bool is_unix, const struct listener_options *o, listener_fn *fn, void *context)
{
	struct listener *l = listener_new(loop, fn, context, is_unix);
	if (!is_unix)
		tune_tcp(fd, o);
	listener_watch_for(l, fd);
	return l;
}

void
listener_tune(struct listener *l, const struct listener_options *o)
{
	for (unsigned i = 0; !l->is_unix && i < l->count; i++)
		tune_tcp(l->socket[i].fd, o);
}

void
listener_close(struct listener *l)
{
	if (l == NULL)
		return;
	for (unsigned i = 0; i < l->count; i++) {
		loop_unwatch(l->loop, &l->socket[i].watched); /* whoever handed it over keeps it open */
		close(l->socket[i].fd);
	}
	if (l->path[0])
		unlink(l->path);
	if (l->reserve_fd >= 0)
		close(l->reserve_fd);
	timer_free(l->pause);
	heap_free(l);
}
