/*
 * main/passed.c - listening sockets that were open before we were: systemd's socket activation, without its library.
 *
 * Whoever passes them keeps them open while we restart: clients wait in the kernel's queue, and nobody is refused.
 * Source: sd_listen_fds(3): descriptors from 3 on, LISTEN_FDS how many, LISTEN_PID for whom, LISTEN_FDNAMES a:b:c.
 */
#include "passed.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { FIRST = 3 };

static long
number_of(const char *name)
{
	const char *value = getenv(name);
	char *end;
	long n = value ? strtol(value, &end, 10) : 0;
	return value && *value && *end == '\0' ? n : 0;
}

/* The port that clients know it by: of its address, or in the name of a Unix socket (.s.PGSQL.5432). */
static int
port_of(const struct sockaddr_storage *a, socklen_t bytes)
{
	if (a->ss_family == AF_INET)
		return ntohs(((const struct sockaddr_in *)(const void *)a)->sin_port);
	if (a->ss_family == AF_INET6)
		return ntohs(((const struct sockaddr_in6 *)(const void *)a)->sin6_port);
	char path[sizeof(((struct sockaddr_un *)NULL)->sun_path) + 1] = "";
	size_t n = bytes - offsetof(struct sockaddr_un, sun_path);
	memcpy(path, ((const struct sockaddr_un *)(const void *)a)->sun_path, n < sizeof(path) ? n : sizeof(path) - 1);
	const char *dot = strrchr(path[0] ? path : path + 1, '.'); /* abstract: NUL first */
	return dot ? (int)strtol(dot + 1, NULL, 10) : 0;
}

static bool
is_listening_stream(int fd)
{
	int type = 0, listens = 0;
	socklen_t n = sizeof(type), m = sizeof(listens);
	return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &n) == 0 && type == SOCK_STREAM &&
	       getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &m) == 0 && listens;
}

static bool
look_at(struct passed_socket *s, const char *name, struct text *why)
{
	struct sockaddr_storage a = { 0 };
	socklen_t bytes = sizeof(a);
	fcntl(s->fd, F_SETFD, FD_CLOEXEC);
	if (!is_listening_stream(s->fd) || getsockname(s->fd, (struct sockaddr *)&a, &bytes) != 0 ||
	    (a.ss_family != AF_INET && a.ss_family != AF_INET6 && a.ss_family != AF_UNIX)) {
		text_addf(
		    why, "LISTEN_FDS: descriptor %d (\"%.60s\") is no listening stream socket: ListenStream= makes one",
		    s->fd, name);
		return false;
	}
	fcntl(s->fd, F_SETFL, fcntl(s->fd, F_GETFL) | O_NONBLOCK);
	s->is_unix = a.ss_family == AF_UNIX;
	s->port = port_of(&a, bytes);
	snprintf(s->name, sizeof(s->name), "%s", name);
	return true;
}

static bool
look_at_all(struct passed *out, long count, const char *names, struct text *why)
{
	if (count > PASSED_MAX) {
		text_addf(why, "LISTEN_FDS = %ld: at most %d sockets can be passed", count, PASSED_MAX);
		return false;
	}
	for (long i = 0; i < count; i++) {
		char name[PASSED_NAME_MAX];
		size_t n = strcspn(names, ":");
		snprintf(name, sizeof(name), "%.*s", n < sizeof(name) ? (int)n : (int)sizeof(name) - 1, names);
		names += n + (names[n] == ':');
		out->sockets[i].fd = FIRST + (int)i;
		if (!look_at(&out->sockets[i], name, why))
			return false;
	}
	out->count = (int)count;
	return true;
}

bool
passed_take(struct passed *out, struct text *why)
{
	const char *names = getenv("LISTEN_FDNAMES");
	bool is_for_us = number_of("LISTEN_PID") == (long)getpid();
	bool ok = !is_for_us || look_at_all(out, number_of("LISTEN_FDS"), names ? names : "", why);
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
	return ok;
}

enum passed_use
passed_use(const struct passed_socket *s, const struct settings *set)
{
	static const struct {
		const char *name;
		enum passed_use use;
	} names[] = { { "read-write", PASSED_FOR_WRITE }, { "read", PASSED_FOR_READ }, { "http", PASSED_FOR_HTTP } };
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(s->name, names[i].name) == 0)
			return names[i].use;
	if (s->port != 0 && s->port == set->read_port)
		return PASSED_FOR_READ;
	return s->port != 0 && s->port == set->http_port && !s->is_unix ? PASSED_FOR_HTTP : PASSED_FOR_WRITE;
}
