/*
 * main/daemon.c - into the background, with an honest answer to whoever waits in the foreground.
 *
 *   parent: daemon_begin() ─ fork ─ waits at a pipe ───────────► exits: 0 when the child is ready, else its status
 *   child:           setsid ─ ... starts, complains to stderr ... ─ daemon_ready()
 *
 * The working directory stays, so that relative paths mean the same at a reload.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "process.h"

bool
daemon_is_possible(const struct settings *set)
{
	const char *missing = set->pidfile[0] == '\0'                   ? "pidfile"
			      : set->logfile[0] == '\0' && !set->syslog ? "logfile or syslog"
									: NULL;
	if (missing)
		fprintf(stderr, "pgsluice: daemon needs %s configured\n", missing);
	return missing == NULL;
}

static void
wait_for_child(pid_t child, int from)
{
	char byte;
	ssize_t n;
	while ((n = read(from, &byte, 1)) < 0 && errno == EINTR)
		;
	if (n == 1)
		_exit(0);
	int status = 0;
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	if (WIFSIGNALED(status))
		fprintf(stderr, "pgsluice: ended by signal %d before it was ready\n", WTERMSIG(status));
	_exit(WIFEXITED(status) && WEXITSTATUS(status) != 0 ? WEXITSTATUS(status) : 1);
}

bool
daemon_begin(struct process *p)
{
	int ends[2];
	if (pipe2(ends, O_CLOEXEC) != 0) {
		fprintf(stderr, "pgsluice: can't make a pipe: %s\n", strerror(errno));
		return false;
	}
	pid_t child = fork();
	if (child < 0) {
		fprintf(stderr, "pgsluice: can't fork: %s\n", strerror(errno));
		return false;
	}
	if (child > 0) {
		close(ends[1]);
		wait_for_child(child, ends[0]);
	}
	close(ends[0]);
	setsid();
	p->foreground = ends[1];
	return true;
}

void
daemon_ready(struct process *p)
{
	if (p->foreground < 0)
		return;
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	for (int fd = STDIN_FILENO; null >= 0 && fd <= STDERR_FILENO; fd++)
		dup2(null, fd);
	if (null > STDERR_FILENO)
		close(null);
	if (write(p->foreground, "", 1) != 1)
		log_debug("main", "nobody waits in the foreground any more");
	close(p->foreground);
	p->foreground = -1;
}
