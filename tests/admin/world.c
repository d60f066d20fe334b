/* tests/admin/world.c - a proxy without network; see the header. */
#include "world.h"

#include <check.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "admin/console.h"
#include "wire/frame.h"
#include "wire/request.h"

/* A server that never says a word; each test has its own, for it lives as long as the process. */
static int
silent_port(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert(fd >= 0 && bind(fd, (struct sockaddr *)&a, n) == 0 && listen(fd, 100) == 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&a, &n), 0);
	return ntohs(a.sin_port);
}

struct proxy *
world_open(const char *text)
{
	static char *nothing[] = { NULL };
	struct config_errors errors = { 0 };
	char with_port[4000];
	struct text whole = TEXT_IN(with_port);
	int port = silent_port();
	for (const char *at; (at = strstr(text, "PORT")) != NULL; text = at + strlen("PORT"))
		text_addf(&whole, "%.*s%d", (int)(at - text), text, port);
	text_add(&whole, text);
	struct config *config = config_load_bytes("world.ini", view_of_string(with_port), nothing, &errors);
	ck_assert_msg(config != NULL, "%s", errors.count ? errors.lines[0] : "?");
	char why_text[400];
	struct text why = TEXT_IN(why_text);
	struct proxy *x = proxy_new(config, nothing, &why);
	ck_assert_msg(x != NULL, "%s", why_text);
	console_install(x);
	return x;
}

void
world_turn(struct proxy *x)
{
	loop_turn(x->loop, false);
}

int
world_client(struct proxy *x, const char *user, const char *database, const char *application_name)
{
	int pair[2];
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
	proxy_accept(x, pair[1], true, false, LANE_WRITE);
	const char *pairs[] = { "user", user, "database", database, "application_name", application_name, NULL };
	if (application_name == NULL)
		pairs[4] = NULL;
	struct buf b = { 0 };
	request_startup(&b, 0, pairs);
	world_send(pair[0], &b);
	world_turn(x);
	return pair[0];
}

void
world_send(int fd, const struct buf *b)
{
	ck_assert_int_eq(write(fd, b->p, b->n), (ssize_t)b->n);
	struct buf mine = *b;
	buf_free(&mine);
}

void
world_read(struct proxy *x, int fd, struct buf *out)
{
	for (int quiet = 0; quiet < 3;) {
		world_turn(x);
		buf_reserve(out, 65536);
		ssize_t n = read(fd, out->p + out->n, 65536);
		if (n > 0)
			out->n += (size_t)n;
		quiet = n > 0 ? 0 : quiet + 1;
	}
}

const char *
world_letters(struct view b)
{
	static char letters[200];
	size_t n = 0;
	struct frame f;
	while (b.n > 0 && n + 1 < sizeof(letters)) {
		ck_assert_int_eq(frame_peek(b, UINT32_MAX, &f), FRAME_OK);
		ck_assert(frame_is_whole(&f));
		letters[n++] = f.type;
		b = view_from(b, f.size);
	}
	letters[n] = '\0';
	return letters;
}

struct view
world_body(struct view b, char letter)
{
	struct frame f;
	for (; frame_peek(b, UINT32_MAX, &f) == FRAME_OK; b = view_from(b, f.size))
		if (f.type == letter)
			return f.body;
	return VIEW("");
}
