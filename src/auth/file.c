/* auth/file.c - see the header. */
#include "auth/file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Read the file as it is now: what is added meanwhile changes its stamp, so that it is read again. */
static const char *
read_all(int fd, size_t bytes_max, struct buf *out, struct file_id *id)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return strerror(errno);
	errno = 0;
	if (!S_ISREG(st.st_mode))
		return "it is not a regular file";
	if ((uint64_t)st.st_size > bytes_max || !buf_try_reserve(out, (size_t)st.st_size + 1))
		return "it is too large";
	while (out->n < (size_t)st.st_size) {
		ssize_t n = read(fd, out->p + out->n, (size_t)st.st_size - out->n);
		if (n < 0 && errno != EINTR)
			return strerror(errno);
		if (n == 0)
			break;
		out->n += n > 0 ? (size_t)n : 0;
	}
	if (id)
		*id = (struct file_id){ .device = (uint64_t)st.st_dev, .inode = (uint64_t)st.st_ino };
	return NULL;
}

const char *
file_read(const char *path, size_t bytes_max, struct buf *out, struct file_id *id)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return strerror(errno);
	const char *error = read_all(fd, bytes_max, out, id);
	int why = errno;
	close(fd);
	errno = why;
	return error;
}
