/*
 * main/notify.c - tells systemd how we are, without its library. Without NOTIFY_SOCKET nothing happens.
 *
 * Never: blocks; a message that can't be delivered is lost.
 * Source: sd_notify(3), sd_watchdog_enabled(3).
 */
#include "notify.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"

static struct {
	int fd; /* -1: nobody wants to know */
	uint64_t watchdog_us;
} to = { .fd = -1 };

static int
connect_to(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	size_t n = strlen(path);
	if ((path[0] != '/' && path[0] != '@') || n < 2 || n >= sizeof(a.sun_path)) {
		errno = EINVAL;
		return -1;
	}
	memcpy(a.sun_path, path, n);
	bool is_abstract = path[0] == '@';
	if (is_abstract)
		a.sun_path[0] = '\0';
	socklen_t bytes = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + (is_abstract ? 0 : 1));
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&a, bytes) != 0) {
		int saved = errno;
		close(fd);
		errno = saved;
		fd = -1;
	}
	return fd;
}

void
notify_open(void)
{
	const char *path = getenv("NOTIFY_SOCKET"), *period = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
	if (path) {
		to.fd = connect_to(path);
		if (to.fd < 0)
			log_warning("main", "NOTIFY_SOCKET \"%s\" can't be used: %s", path, strerror(errno));
	}
	if (to.fd >= 0 && period && (pid == NULL || atol(pid) == (long)getpid()))
		to.watchdog_us = strtoull(period, NULL, 10);
	unsetenv("NOTIFY_SOCKET");
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
}

void
notify(const char *format, ...)
{
	if (to.fd < 0)
		return;
	char text[1000];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (send(to.fd, text, strlen(text), MSG_NOSIGNAL) < 0)
		log_debug("main", "systemd can't be told: %s", strerror(errno));
}

void
notify_reloading(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	notify("RELOADING=1\nMONOTONIC_USEC=%llu",
	       (unsigned long long)now.tv_sec * SECOND_US + (unsigned long long)now.tv_nsec / 1000);
}

uint64_t
notify_watchdog_us(void)
{
	return to.watchdog_us / 2;
}

void
notify_close(void)
{
	if (to.fd >= 0)
		close(to.fd);
	to.fd = -1;
}
