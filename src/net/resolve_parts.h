/* net/resolve_parts.h - what net/resolve stands on: sets of addresses, and files that are read again when they change. */
#ifndef NET_RESOLVE_PARTS_H
#define NET_RESOLVE_PARTS_H

#include <sys/types.h>
#include <time.h>

#include "base/buf.h"
#include "base/text.h"
#include "net/resolve.h"

/* resolve_set.c; ports do not matter */
int resolved_index(const struct resolved *in, const struct sockaddr_storage *address); /* -1: it is not there */
bool resolved_is_same(const struct resolved *a, const struct resolved *b); /* in whatever order */
void resolved_add(struct resolved *out, const struct sockaddr_storage *address); /* once; full: is_partial */
void resolved_arrange(struct resolved *answer); /* IPv6 and IPv4 in turn, as they came; where there is no way to, last */
void resolved_text(const struct resolved *of, struct text *out); /* "10.0.0.1, ::1" */

/* resolve_files.c */
struct watched_file {
	const char *path;
	struct timespec changed;
	off_t size;
	ino_t inode;
	bool is_there;
	struct buf text;
};

/* True: it is another one than before. One that has gone, or can't be read, stays as it was. */
bool file_look(struct watched_file *f);

#endif
