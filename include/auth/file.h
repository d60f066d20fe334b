/* auth/file.h - small files read whole, as they are now: what the readers of secrets and rules have in common. */
#ifndef AUTH_FILE_H
#define AUTH_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

/* Which file it was, whatever it is called; zeroes: none. */
struct file_id {
	uint64_t device, inode;
};

/*
 * All bytes of a regular file; a pipe or a device does not hang us. NULL, or what is wrong in a few words, with errno
 * (0: not the system's error). The caller erases what is secret and frees; *id may be NULL.
 */
const char *file_read(const char *path, size_t bytes_max, struct buf *out, struct file_id *id);

#endif
