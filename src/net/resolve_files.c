/* net/resolve_files.c - files that are read again when they change; see resolve_parts.h. */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "resolve_parts.h"

enum { FILE_BYTES_MAX = 1024 * 1024 };

static bool
read_whole(struct watched_file *f)
{
	int fd = open(f->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return false;
	buf_clear(&f->text);
	ssize_t n;
	do {
		buf_reserve(&f->text, 4096);
		n = read(fd, f->text.p + f->text.n, 4096);
		if (n > 0)
			f->text.n += (size_t)n;
	} while (n > 0 && f->text.n < FILE_BYTES_MAX);
	close(fd);
	return n >= 0;
}

bool
file_look(struct watched_file *f)
{
	struct stat st;
	if (stat(f->path, &st) != 0) {
		f->is_there = false;
		return false;
	}
	if (f->is_there && f->size == st.st_size && f->inode == st.st_ino &&
	    memcmp(&f->changed, &st.st_mtim, sizeof(f->changed)) == 0)
		return false;
	f->is_there = true;
	f->size = st.st_size;
	f->inode = st.st_ino;
	f->changed = st.st_mtim;
	return read_whole(f);
}
