/*
 * bench/lockstep.c - one client and the server it reaches, in one process and in lockstep: what lies between them is counted.
 *
 *	lockstep --listen PORT --port PROXY --user USER --database NAME
 *
 * Plays a PostgreSQL that answers at once (on --listen), and obeys lines on its standard input, one JSON line each:
 *	simple N      N transactions of one client through the proxy on --port: a Query and its answer
 *	extended N    Parse, Bind, Describe, Execute, Sync, as pgbench sends them
 *	prepared N    the same with a statement that is prepared by name once, at the beginning
 *	block N       BEGIN, a query, COMMIT: three Queries
 *	quit
 * Each message goes out when the one before has been answered, whole and in one write, so that a proxy does the same work in
 * the same order each time: instructions and system calls repeat. Nobody else is needed; psql may knock meanwhile.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/heap.h"
#include "base/must.h"
#include "bench/peer.h"

#define QUERY "SELECT abalance FROM pgbench_accounts WHERE aid = "

enum { BYTES_MAX = 64 * 1024 };

/* A connection that came to us as the server. */
struct session {
	int fd;
	bool is_in; /* its startup packet was read */
	bool is_in_block;
	struct buf in;
};

static struct endpoint to;
static int epoll_fd, listener;
static struct peer client; /* ours */
static uint8_t bytes[BYTES_MAX];

static _Noreturn void
give_up(const char *why)
{
	fprintf(stderr, "lockstep: %s\n", why);
	exit(1);
}

static void
watch(int fd, void *tag)
{
	struct epoll_event e = { .events = EPOLLIN, .data.ptr = tag };
	if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &e) != 0)
		give_up("epoll_ctl failed");
}

/* ---- the server ---- */

static void
add(struct buf *b, char type, const void *body, size_t n)
{
	size_t at = message_begin(b, type);
	buf_add(b, view_of(body, n));
	message_end(b, at);
}

static void
add_parameter(struct buf *b, const char *name, const char *value)
{
	size_t at = message_begin(b, 'S');
	buf_add_string(b, name);
	buf_add_string(b, value);
	message_end(b, at);
}

static void
greet(struct buf *b)
{
	add(b, 'R', "\0\0\0\0", 4);
	add_parameter(b, "server_version", "15.20");
	add_parameter(b, "client_encoding", "UTF8");
	add_parameter(b, "DateStyle", "ISO, MDY");
	add_parameter(b, "TimeZone", "Etc/UTC");
	add_parameter(b, "standard_conforming_strings", "on");
	add_parameter(b, "application_name", "");
	add_parameter(b, "in_hot_standby", "off");
	add(b, 'K', "\0\0\0\1\0\0\0\2", 8);
	add(b, 'Z', "I", 1);
}

static void
add_description(struct buf *b)
{
	static const uint8_t column[] = "\0\1" "abalance\0" "\0\0\0\0" "\0\0" "\0\0\0\27" "\0\4" "\377\377\377\377" "\0\0";
	add(b, 'T', column, sizeof(column) - 1);
}

static void
add_row(struct buf *b)
{
	add(b, 'D', "\0\1\0\0\0\1" "0", 7);
	add(b, 'C', "SELECT 1", 9);
}

/* The answer to one message; true: it is complete and goes out. */
static bool
answer(struct session *s, const struct message *m, struct buf *b)
{
	const char *text = m->type == 'Q' ? (const char *)m->body.p : "";
	switch (m->type) {
	case 'Q':
		if (strncmp(text, "SELECT NULL::", 13) == 0) { /* what does the session have? */
			add(b, 'C', "SELECT 0", 9);
		} else if (strncasecmp(text, "select", 6) == 0) {
			add_description(b);
			add_row(b);
		} else if (text[0]) {
			s->is_in_block = strcmp(text, "BEGIN") == 0;
			add(b, 'C', "SET", 4);
		} else {
			add(b, 'I', "", 0);
		}
		break;
	case 'P':
		add(b, '1', "", 0);
		return false;
	case 'B':
		add(b, '2', "", 0);
		return false;
	case 'D':
		add_description(b);
		return false;
	case 'E':
		add_row(b);
		return false;
	case 'C':
		add(b, '3', "", 0);
		return false;
	case 'S':
		break;
	default:
		return false;
	}
	add(b, 'Z', s->is_in_block ? "T" : "I", 1);
	return true;
}

static void
leave(struct session *s)
{
	close(s->fd);
	buf_free(&s->in);
	heap_free(s);
}

static void
say(struct session *s, struct buf *b)
{
	if (b->n > 0 && send(s->fd, b->p, b->n, MSG_NOSIGNAL) != (ssize_t)b->n)
		give_up("the proxy does not take an answer");
	buf_clear(b);
}

/* The startup packet, or a request for encryption in front of it. False: not all of it has come. */
static bool
begin(struct session *s, struct buf *b)
{
	uint32_t n = s->in.n >= 8 ? load_be32(s->in.p) : UINT32_MAX;
	if (n > s->in.n)
		return false;
	s->is_in = load_be32(s->in.p + 4) >> 16 == 3;
	if (s->is_in)
		greet(b);
	else
		buf_add_u8(b, 'N');
	buf_drop_front(&s->in, n);
	return true;
}

static void
serve(struct session *s)
{
	static struct buf b;
	ssize_t n = recv(s->fd, bytes, sizeof(bytes), 0);
	if (n <= 0) {
		leave(s);
		return;
	}
	buf_add(&s->in, view_of(bytes, (size_t)n));
	while (!s->is_in && begin(s, &b))
		say(s, &b);
	size_t at = 0;
	while (s->is_in && s->in.n - at >= 5) {
		uint32_t size = 1 + load_be32(s->in.p + at + 1);
		if (s->in.n - at < size)
			break;
		struct message m = { .type = (char)s->in.p[at], .body = view_of(s->in.p + at + 5, size - 5) };
		at += size;
		if (m.type == 'X') {
			leave(s);
			return;
		}
		if (answer(s, &m, &b))
			say(s, &b);
	}
	buf_drop_front(&s->in, at);
}

static void
welcome(void)
{
	struct session *s = heap_alloc(sizeof(*s));
	s->fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	if (s->fd < 0)
		give_up("accept failed");
	watch(s->fd, s);
}

static void
listen_on(unsigned port)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int on = 1;
	listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(listener, (struct sockaddr *)&at, sizeof(at)) != 0 || listen(listener, 64) != 0)
		give_up("cannot listen on --listen");
	watch(listener, &listener);
}

/* ---- the client ---- */

/* Wait for something to happen; true: our client's turn has come. False: somebody else's, or standard input's. */
static bool
turn(bool *has_line)
{
	struct epoll_event e;
	if (epoll_wait(epoll_fd, &e, 1, 60000) != 1)
		give_up("nothing happened for a minute");
	if (e.data.ptr == &listener) {
		welcome();
	} else if (e.data.ptr == stdin) {
		*has_line = true;
	} else if (e.data.ptr == &client) {
		if (peer_turn(&client, e.events) == PEER_GONE)
			give_up(client.why);
		return true;
	} else {
		serve(e.data.ptr);
	}
	return false;
}

/* Send what is in client.out, and wait for its ReadyForQuery. */
static void
ask(void)
{
	bool unused;
	struct message m;
	if (!peer_flush(&client))
		give_up(client.why);
	for (;;) {
		if (!turn(&unused))
			continue;
		while (peer_message(&client, &m)) {
			if (m.type == 'E') {
				struct view text = error_field(m.body, 'M');
				fprintf(stderr, "lockstep: %.*s\n", (int)text.n, (const char *)text.p);
				exit(1);
			}
			if (m.type == 'Z')
				return;
		}
	}
}

static void
add_parse(struct buf *b, const char *name)
{
	size_t at = message_begin(b, 'P');
	buf_add_string(b, name);
	buf_add_string(b, QUERY "$1;");
	buf_add_be16(b, 0);
	message_end(b, at);
}

static void
add_sync(struct buf *b)
{
	message_end(b, message_begin(b, 'S'));
}

static void
add_execution(struct buf *b, const char *name, const char *value)
{
	size_t at = message_begin(b, 'B');
	buf_add_string(b, "");
	buf_add_string(b, name);
	buf_add_be16(b, 0);
	buf_add_be16(b, 1);
	buf_add_be32(b, (uint32_t)strlen(value));
	buf_add(b, view_of_string(value));
	buf_add_be16(b, 1);
	buf_add_be16(b, 0);
	message_end(b, at);
	add(b, 'D', "P", 2);
	add(b, 'E', "\0\0\0\0\0", 5);
	add_sync(b);
}

static void
transact(const char *mode, unsigned i)
{
	struct buf *out = &client.out;
	char value[16], sql[100];
	snprintf(value, sizeof(value), "%u", 100000 + i % 800000); /* always six figures */
	snprintf(sql, sizeof(sql), QUERY "%s;", value);
	if (strcmp(mode, "simple") == 0) {
		message_query(out, sql);
	} else if (strcmp(mode, "extended") == 0) {
		add_parse(out, "");
		add_execution(out, "", value);
	} else if (strcmp(mode, "prepared") == 0) {
		add_execution(out, "P_0", value);
	} else if (strcmp(mode, "block") == 0) {
		message_query(out, "BEGIN");
		ask();
		message_query(out, sql);
		ask();
		message_query(out, "COMMIT");
	} else {
		give_up("simple, extended, prepared or block");
	}
	ask();
}

static void
run(const char *mode, unsigned count)
{
	bool unused;
	if (!peer_open(&client, &to, epoll_fd, &client))
		give_up(client.why);
	while (client.state != PEER_UP)
		turn(&unused);
	if (strcmp(mode, "prepared") == 0) {
		add_parse(&client.out, "P_0");
		add_sync(&client.out);
		ask();
	}
	for (unsigned i = 0; i < count; i++)
		transact(mode, i);
	peer_close(&client);
	printf("{\"mode\": \"%s\", \"transactions\": %u}\n", mode, count);
	fflush(stdout);
}

int
main(int argc, char **argv)
{
	static const struct option options[] = { { "listen", 1, 0, 'l' }, { "port", 1, 0, 'p' }, { "user", 1, 0, 'u' },
		                                 { "database", 1, 0, 'd' }, { 0 } };
	unsigned port = 0, listen_port = 0;
	const char *user = "bench", *database = "bench";
	for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		if (o == 'l')
			listen_port = (unsigned)atoi(optarg);
		else if (o == 'p')
			port = (unsigned)atoi(optarg);
		else if (o == 'u')
			user = optarg;
		else if (o == 'd')
			database = optarg;
		else
			return 2;
	}
	if (port == 0 || listen_port == 0)
		give_up("--listen and --port are needed");
	must(endpoint_init(&to, "127.0.0.1", port));
	to.user = user;
	to.database = database;
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	listen_on(listen_port);
	watch(STDIN_FILENO, stdin);
	setvbuf(stdin, NULL, _IONBF, 0); /* what is read ahead epoll would not tell of */
	printf("{\"listening\": %u}\n", listen_port);
	fflush(stdout);

	char line[100], mode[20];
	unsigned count;
	for (;;) {
		bool has_line = false;
		while (!has_line)
			turn(&has_line);
		if (fgets(line, sizeof(line), stdin) == NULL || strncmp(line, "quit", 4) == 0)
			return 0;
		if (sscanf(line, "%19s %u", mode, &count) != 2)
			give_up("a command is MODE COUNT");
		run(mode, count);
	}
}
