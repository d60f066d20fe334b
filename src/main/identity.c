/*
 * main/identity.c - which of the system's users the process is.
 *
 * We become user= before anything else is opened, as PgBouncer does: whatever a reload will need later (secrets, keys,
 * the log, the Unix socket's directory) is then proven at the start, by the user who will need it.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "process.h"

/* In a directory that only root may write, such as /run: made while we may, and given away. What exists stays as it is.
 */
static void
make_file_for(const struct passwd *pw, const char *path, mode_t mode)
{
	if (path[0] == '\0')
		return;
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
	if (fd < 0)
		return; /* whoever opens it next says what is wrong */
	if (fchown(fd, pw->pw_uid, pw->pw_gid) != 0)
		log_warning("main", "can't give \"%s\" to user \"%s\": %s", path, pw->pw_name, strerror(errno));
	close(fd);
}

bool
become(const struct settings *set, const struct options *o)
{
	const char *name = o->user ? o->user : set->user;
	if (name[0] == '\0')
		return true;
	const struct passwd *pw = getpwnam(name);
	if (pw == NULL) {
		log_fatal("main", "user \"%s\" does not exist", name);
		return false;
	}
	if (geteuid() == pw->pw_uid)
		return true;
	if (geteuid() == 0) {
		make_file_for(pw, set->logfile, 0640);
		make_file_for(pw, set->pidfile, 0644);
	}
	if (initgroups(name, pw->pw_gid) != 0 || setgid(pw->pw_gid) != 0 || setuid(pw->pw_uid) != 0) {
		log_fatal("main", "can't become user \"%s\": %s", name, strerror(errno));
		return false;
	}
	return true;
}

void
warn_of_identity(const struct options *o)
{
	if (geteuid() == 0)
		log_warning("main", "running as root: set user= (or -u) to an unprivileged user");
	if (o->file && access(o->file, R_OK) != 0)
		log_warning("main", "\"%s\" can't be read by the user that this runs as, so reloads will fail: %s",
			    o->file, strerror(errno));
}
