/*
 * net/listener.h - listening sockets, TCP and Unix; accepts in batches.
 *
 * When no descriptor is left, one held in reserve is given up to accept and refuse the caller politely (is_last), and
 * accepting pauses for a moment, so that a full process neither spins nor lets callers hang.
 */
#ifndef NET_LISTENER_H
#define NET_LISTENER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/text.h"
#include "net/loop.h"
#include "net/stream.h"

struct listener;

/* `fd` is non-blocking and now the callee's. is_last: refuse it, there are no descriptors for more. */
typedef void listener_fn(void *context, int fd, bool is_unix, bool is_last);

struct listener_options {
	int backlog;
	bool reuse_port;   /* SO_REUSEPORT */
	int defer_accept_s; /* TCP_DEFER_ACCEPT; 0: off */
	struct socket_options socket;
};

/* address: an IP address, a host name of this machine, or "*". NULL: *why says what failed. */
struct listener *listener_open_tcp(struct loop *loop, const char *address, uint16_t port,
                                   const struct listener_options *o, listener_fn *fn, void *context, struct text *why);
/* A socket `path` ("@..." abstract). A stale socket file is replaced; one that answers is an error. */
struct listener *listener_open_unix(struct loop *loop, const char *path, int mode, const char *group,
                                    const struct listener_options *o, listener_fn *fn, void *context, struct text *why);
/* A socket that listens already. It is closed with the listener; its file, if it has one, is somebody else's. */
struct listener *listener_adopt(struct loop *loop, int fd, bool is_unix, const struct listener_options *o, listener_fn *fn,
                                void *context);
void listener_tune(struct listener *l, const struct listener_options *o); /* at reload */
void listener_close(struct listener *l); /* also removes the socket's file; NULL is fine */

#endif
