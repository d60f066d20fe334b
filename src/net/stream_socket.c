/* net/stream_socket.c - what a socket knows of its peer, and its options. Source: socket(7), tcp(7), unix(7). */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>

#include <arpa/inet.h>

#include "net/stream.h"

#ifndef TCP_RTO_MAX_MS
#define TCP_RTO_MAX_MS 44 /* Linux 6.15; older ones do not know it */
#endif

bool
stream_peer_uid(const struct stream *s, uid_t *uid)
{
	struct ucred peer;
	socklen_t n = sizeof(peer);
	if (getsockopt(s->fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) != 0)
		return false;
	*uid = peer.uid;
	return true;
}

void
address_text(const struct sockaddr *a, char *host, size_t room, uint16_t *port)
{
	host[0] = '\0';
	*port = 0;
	if (a->sa_family == AF_INET) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)a;
		inet_ntop(AF_INET, &in->sin_addr, host, (socklen_t)room);
		*port = ntohs(in->sin_port);
	} else if (a->sa_family == AF_INET6) {
		const struct sockaddr_in6 *in = (const struct sockaddr_in6 *)(const void *)a;
		inet_ntop(AF_INET6, &in->sin6_addr, host, (socklen_t)room);
		*port = ntohs(in->sin6_port);
	} else {
		snprintf(host, room, "unix");
	}
}

void
stream_peer(const struct stream *s, struct sockaddr_storage *out)
{
	socklen_t n = sizeof(*out);
	*out = (struct sockaddr_storage){ .ss_family = AF_UNSPEC };
	if (s->fd < 0 || getpeername(s->fd, (struct sockaddr *)out, &n) != 0)
		out->ss_family = AF_UNSPEC;
}

void
stream_peer_address(const struct stream *s, char *host, size_t room, uint16_t *port)
{
	struct sockaddr_storage a;
	stream_peer(s, &a);
	address_text((struct sockaddr *)&a, host, room, port);
}

void
stream_local_address(const struct stream *s, char *host, size_t room, uint16_t *port)
{
	struct sockaddr_storage a = { .ss_family = AF_UNIX };
	socklen_t n = sizeof(a);
	if (s->fd >= 0)
		getsockname(s->fd, (struct sockaddr *)&a, &n);
	address_text((struct sockaddr *)&a, host, room, port);
}

static void
set_int(int fd, int level, int option, int value)
{
	setsockopt(fd, level, option, &value, sizeof(value)); /* not all exist on all sockets */
}

void
socket_tune(int fd, const struct socket_options *o)
{
	set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	if (o->buffer_bytes > 0) {
		set_int(fd, SOL_SOCKET, SO_SNDBUF, o->buffer_bytes);
		set_int(fd, SOL_SOCKET, SO_RCVBUF, o->buffer_bytes);
	}
	set_int(fd, SOL_SOCKET, SO_KEEPALIVE, o->keepalive);
	if (o->keepalive && o->keepidle_s > 0)
		set_int(fd, IPPROTO_TCP, TCP_KEEPIDLE, o->keepidle_s);
	if (o->keepalive && o->keepintvl_s > 0)
		set_int(fd, IPPROTO_TCP, TCP_KEEPINTVL, o->keepintvl_s);
	if (o->keepalive && o->keepcnt > 0)
		set_int(fd, IPPROTO_TCP, TCP_KEEPCNT, o->keepcnt);
	if (o->user_timeout_ms > 0)
		set_int(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, o->user_timeout_ms);
	if (o->retry_max_ms > 0)
		set_int(fd, IPPROTO_TCP, TCP_RTO_MAX_MS, o->retry_max_ms);
}
