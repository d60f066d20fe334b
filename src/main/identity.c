/* main/identity.c - who the process is: the system's user, and its pid file. */
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "process.h"

bool
become(const char *name)
{
	if (name == NULL || name[0] == '\0') {
		if (geteuid() == 0)
			log_warning("main", "running as root: set user= (or -u) to an unprivileged user");
		return true;
	}
	const struct passwd *pw = getpwnam(name);
	if (pw == NULL) {
		log_fatal("main", "user \"%s\" does not exist", name);
		return false;
	}
	if (geteuid() == pw->pw_uid)
		return true;
	if (initgroups(name, pw->pw_gid) != 0 || setgid(pw->pw_gid) != 0 || setuid(pw->pw_uid) != 0) {
		log_fatal("main", "can't become user \"%s\": %s", name, strerror(errno));
		return false;
	}
	return true;
}

bool
write_pidfile(struct process *p, const char *path)
{
	if (path[0] == '\0')
		return true;
	FILE *old = fopen(path, "r");
	int pid = 0;
	if (old) {
		if (fscanf(old, "%d", &pid) == 1 && pid > 0 && pid != (int)getpid() && kill(pid, 0) == 0) {
			log_fatal("main", "pidfile \"%s\": process %d is running already", path, pid);
			fclose(old);
			return false;
		}
		fclose(old);
	}
	FILE *f = fopen(path, "w");
	if (f == NULL) {
		log_fatal("main", "pidfile \"%s\": %s", path, strerror(errno));
		return false;
	}
	fprintf(f, "%d\n", (int)getpid());
	fclose(f);
	p->pidfile = path;
	return true;
}
