/*
 * tests/net/dns_server.h - a little name server on loopback, by UDP and TCP, for the tests of net/dns and net/resolve: it
 * says what the test told it to, right or wrong.
 */
#ifndef TESTS_NET_DNS_SERVER_H
#define TESTS_NET_DNS_SERVER_H

#include <check.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <arpa/inet.h>

#include "base/bytes.h"

enum { TYPE_A = 1, TYPE_AAAA = 28 };

/* ---- replies, put together by hand ---- */

struct reply {
	uint8_t p[4000];
	size_t n;
};

static inline void
reply_name(struct reply *r, const char *name)
{
	while (*name) {
		size_t n = strcspn(name, ".");
		r->p[r->n++] = (uint8_t)n;
		memcpy(r->p + r->n, name, n);
		r->n += n;
		name += n + (name[n] == '.');
	}
	r->p[r->n++] = 0;
}

static inline void
reply_u16(struct reply *r, uint16_t v)
{
	store_be16(r->p + r->n, v);
	r->n += 2;
}

static inline void
reply_begin(struct reply *r, uint16_t id, const char *name, int type, unsigned rcode)
{
	*r = (struct reply){ 0 };
	reply_u16(r, id);
	reply_u16(r, (uint16_t)(0x8180 | rcode));
	reply_u16(r, 1);
	r->n = 12;
	reply_name(r, name);
	reply_u16(r, (uint16_t)type);
	reply_u16(r, 1);
}

static inline void
reply_record(struct reply *r, const char *owner, int type, uint32_t ttl_s)
{
	store_be16(r->p + 6, (uint16_t)(load_be16(r->p + 6) + 1));
	reply_name(r, owner);
	reply_u16(r, (uint16_t)type);
	reply_u16(r, 1);
	store_be32(r->p + r->n, ttl_s);
	r->n += 4;
}

static inline void
reply_alias(struct reply *r, const char *owner, const char *target, uint32_t ttl_s)
{
	reply_record(r, owner, 5, ttl_s);
	size_t at = r->n;
	r->n += 2;
	reply_name(r, target);
	store_be16(r->p + at, (uint16_t)(r->n - at - 2));
}

static inline void
reply_a(struct reply *r, const char *owner, const char *address, uint32_t ttl_s)
{
	bool is_v6 = strchr(address, ':') != NULL;
	reply_record(r, owner, is_v6 ? TYPE_AAAA : TYPE_A, ttl_s);
	reply_u16(r, is_v6 ? 16 : 4);
	ck_assert_int_eq(inet_pton(is_v6 ? AF_INET6 : AF_INET, address, r->p + r->n), 1);
	r->n += is_v6 ? 16 : 4;
}

/* ---- the server ---- */

enum manner { ANSWERS, IS_SILENT, SENDS_GARBAGE, KNOWS_NO_EDNS, SILENT_ON_AAAA, FAILS_ON_AAAA,
	FAILS_ON_A /* and tells of the other family when that has been given up */ };

struct zone {
	const char *name;    /* with dots, as asked for */
	const char *alias;   /* or NULL */
	const char *address[80]; /* of both families; none: NODATA */
	uint32_t ttl_s;
	unsigned rcode;
};

struct dns_server {
	int fd;
	int listener, connection; /* of TCP; -1: none */
	uint16_t port;
	enum manner manner;
	const struct zone *zone; /* the last one has no name: the answer for all others is NXDOMAIN */
	bool is_cut; /* by UDP there is room for one address */
	unsigned questions, with_edns, by_tcp, failed;
	char last[256];
};

static inline void
server_open(struct dns_server *s, const struct zone *zone)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(a);
	for (;;) { /* until a port is free for both */
		*s = (struct dns_server){ .zone = zone, .connection = -1 };
		s->fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
		s->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		a.sin_port = 0;
		ck_assert_int_eq(bind(s->fd, (struct sockaddr *)&a, sizeof(a)), 0);
		getsockname(s->fd, (struct sockaddr *)&a, &n);
		if (bind(s->listener, (struct sockaddr *)&a, sizeof(a)) == 0)
			break;
		close(s->fd);
		close(s->listener);
	}
	ck_assert_int_eq(listen(s->listener, 4), 0);
	s->port = ntohs(a.sin_port);
}

static inline void
server_close(struct dns_server *s)
{
	int *fds[] = { &s->fd, &s->listener, &s->connection };
	for (int i = 0; i < 3; i++) {
		if (*fds[i] >= 0)
			close(*fds[i]);
		*fds[i] = -1;
	}
}

static inline int
read_question(const uint8_t *p, size_t n, char *name)
{
	size_t at = 12, out = 0;
	while (at < n && p[at]) {
		memcpy(name + out, p + at + 1, p[at]);
		out += p[at];
		name[out++] = '.';
		at += 1 + (size_t)p[at];
	}
	name[out ? out - 1 : 0] = '\0';
	return load_be16(p + at + 1);
}

static inline void
server_answer(struct dns_server *s, const uint8_t *question, size_t n, bool is_tcp, struct reply *r)
{
	char name[256];
	int type = read_question(question, n, name);
	uint16_t id = load_be16(question);
	bool has_edns = load_be16(question + 10) == 1;
	s->questions++;
	s->with_edns += has_edns;
	s->by_tcp += is_tcp;
	snprintf(s->last, sizeof(s->last), "%s", name);
	r->n = 0;
	if (s->manner == IS_SILENT || (s->manner == SILENT_ON_AAAA && type == TYPE_AAAA))
		return;
	if (s->manner == FAILS_ON_A && type == TYPE_AAAA && s->failed < 2)
		return;
	if (s->manner == KNOWS_NO_EDNS && has_edns) {
		reply_begin(r, id, name, type, 1);
		return;
	}
	if ((s->manner == FAILS_ON_A && type == TYPE_A) || (s->manner == FAILS_ON_AAAA && type == TYPE_AAAA)) {
		reply_begin(r, id, name, type, 2);
		s->failed++;
		return;
	}
	const struct zone *z = s->zone;
	while (z->name && strcmp(z->name, name) != 0)
		z++;
	reply_begin(r, id, name, type, z->name ? z->rcode : 3);
	if (s->manner == SENDS_GARBAGE) {
		memset(r->p + 2, 0xa5, sizeof(r->p) - 2);
		r->n = 700;
		return;
	}
	if (z->name == NULL)
		return;
	if (z->alias)
		reply_alias(r, name, z->alias, z->ttl_s);
	unsigned left = s->is_cut && !is_tcp ? 1 : 80;
	for (int i = 0; z->address[i] && left > 0; i++, left--)
		if ((strchr(z->address[i], ':') != NULL) == (type == TYPE_AAAA))
			reply_a(r, z->alias ? z->alias : name, z->address[i], z->alias ? 3600 : z->ttl_s);
	if (s->is_cut && !is_tcp)
		r->p[2] |= 2;
}

/* One connection at a time, and each question in one piece. */
static inline void
server_serve_tcp(struct dns_server *s)
{
	uint8_t in[1300], length[2];
	int fd = accept4(s->listener, NULL, NULL, SOCK_NONBLOCK);
	if (fd >= 0) {
		if (s->connection >= 0)
			close(s->connection);
		s->connection = fd;
	}
	ssize_t n = s->connection >= 0 ? recv(s->connection, in, sizeof(in), 0) : -1;
	for (size_t at = 0; n > 0 && at + 2 < (size_t)n; at += 2 + load_be16(in + at)) {
		struct reply r;
		server_answer(s, in + at + 2, load_be16(in + at), true, &r);
		store_be16(length, (uint16_t)r.n);
		if (r.n && send(s->connection, length, 2, MSG_NOSIGNAL | MSG_MORE) == 2)
			send(s->connection, r.p, r.n, MSG_NOSIGNAL);
	}
}

/* Answer what has come. */
static inline void
server_serve(struct dns_server *s)
{
	uint8_t question[600];
	struct sockaddr_in from;
	socklen_t bytes = sizeof(from);
	ssize_t n;
	while (s->fd >= 0 && (n = recvfrom(s->fd, question, sizeof(question), 0, (struct sockaddr *)&from, &bytes)) > 12) {
		struct reply r;
		server_answer(s, question, (size_t)n, false, &r);
		if (r.n)
			sendto(s->fd, r.p, r.n, 0, (struct sockaddr *)&from, bytes);
	}
	if (s->fd >= 0)
		server_serve_tcp(s);
}

#endif
