/*
 * main/pidfile.c - one process for each pid file, for as long as it lives.
 *
 * Whether the owner still runs is told by a lock on the file, not by the number in it: after a crash or a restart of
 * the machine that number may be anybody's, and in containers that share the file it means nothing at all. The kernel
 * lets go of the lock with the process, however that ends. PgBouncer does not lock, so its name is looked for besides.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/heap.h"
#include "base/log.h"
#include "process.h"

static int
read_pid(int fd)
{
	char text[32] = "";
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
	long pid = n > 0 ? strtol(text, NULL, 10) : 0;
	return pid > 0 && pid <= INT32_MAX ? (int)pid : 0;
}

/* Is `path` still the file that we have open? Its last owner may have removed it meanwhile. */
static bool
is_same_file(int fd, const char *path)
{
	struct stat ours, there;
	return fstat(fd, &ours) == 0 && stat(path, &there) == 0 && ours.st_dev == there.st_dev &&
	       ours.st_ino == there.st_ino;
}

static bool
is_pgbouncer(int pid)
{
	char path[40], name[32] = "";
	if (pid <= 0 || pid == (int)getpid() || (kill(pid, 0) != 0 && errno == ESRCH))
		return false;
	snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	ssize_t n = read(fd, name, sizeof(name) - 1);
	close(fd);
	return n > 0 && strncmp(name, "pgbouncer\n", sizeof("pgbouncer\n")) == 0;
}

static int
open_and_lock(const char *path, struct text *why)
{
	for (;;) {
		int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOCTTY, 0644);
		if (fd < 0) {
			text_addf(why, "pidfile \"%s\": %s", path, strerror(errno));
			return -1;
		}
		if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
			if (errno == EWOULDBLOCK)
				text_addf(why, "pidfile \"%s\": process %d is running already", path, read_pid(fd));
			else
				text_addf(why, "pidfile \"%s\" can't be locked: %s", path, strerror(errno));
			close(fd);
			return -1;
		}
		if (is_same_file(fd, path))
			return fd;
		close(fd);
	}
}

static bool
write_pid(int fd)
{
	char text[16];
	int n = snprintf(text, sizeof(text), "%d\n", (int)getpid());
	/* In this order a reader finds the number whole, whatever was there before. */
	return pwrite(fd, text, (size_t)n, 0) == n && ftruncate(fd, n) == 0;
}

bool
pidfile_take(struct process *p, const char *path, struct text *why)
{
	if (path[0] == '\0')
		return true;
	int fd = open_and_lock(path, why);
	if (fd < 0)
		return false;
	int old = read_pid(fd);
	if (is_pgbouncer(old)) {
		text_addf(why, "pidfile \"%s\": process %d, a PgBouncer, is running already", path, old);
		close(fd);
		return false;
	}
	if (old > 0 && old != (int)getpid())
		log_info("main", "pidfile \"%s\" was left behind by process %d, which has ended", path, old);
	if (!write_pid(fd)) {
		text_addf(why, "pidfile \"%s\": %s", path, strerror(errno));
		close(fd);
		return false;
	}
	p->pidfile = heap_string(path); /* a reload replaces the settings */
	p->pidfile_fd = fd;
	return true;
}

int
pidfile_owner(const char *path)
{
	int fd = path[0] ? open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY) : -1;
	if (fd < 0)
		return 0;
	bool is_owned = flock(fd, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
	int pid = is_owned ? read_pid(fd) : 0;
	close(fd);
	return pid;
}

void
pidfile_drop(struct process *p)
{
	if (p->pidfile == NULL)
		return;
	/* Where only root may remove files, an empty one misleads nobody. */
	if (is_same_file(p->pidfile_fd, p->pidfile) && unlink(p->pidfile) != 0 && ftruncate(p->pidfile_fd, 0) != 0)
		log_warning("main", "pidfile \"%s\" can't be removed: %s", p->pidfile, strerror(errno));
	close(p->pidfile_fd);
	heap_free(p->pidfile);
	p->pidfile = NULL;
}
