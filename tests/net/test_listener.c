/* tests/net/test_listener.c - net/listener, on loopback. */
#include "ends.h"

#include <errno.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "../suite.h"
#include "net/listener.h"

static struct loop *loop;
static int accepted, refused, last_fd = -1;
static bool was_unix;

static void
begin(void)
{
	loop = loop_new((struct loop_hooks){ 0 }, NULL);
	accepted = refused = 0;
}

static void
on_caller(void *context, int fd, bool is_unix, bool is_last)
{
	accepted += !is_last;
	refused += is_last;
	was_unix = is_unix;
	ck_assert(fcntl(fd, F_GETFL) & O_NONBLOCK);
	if (last_fd >= 0)
		close(last_fd);
	last_fd = fd;
}

/* Below the ports that the kernel gives to anybody who connects somewhere, and free on all addresses. */
static uint16_t
free_port(void)
{
	enum { FIRST = 10000, COUNT = 10000 };
	static unsigned at;
	for (int tries = 0; tries < COUNT; tries++) {
		uint16_t port = (uint16_t)(FIRST + ((unsigned)getpid() * 7 + at++) % COUNT);
		struct sockaddr_in6 a = { .sin6_family = AF_INET6, .sin6_port = htons(port) }; /* and IPv4, as it is not V6ONLY */
		struct sockaddr_in a4 = { .sin_family = AF_INET, .sin_port = htons(port) };
		int fd = socket(AF_INET6, SOCK_STREAM, 0);
		bool is_free = fd >= 0 ? bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0 : true;
		if (fd >= 0)
			close(fd);
		fd = socket(AF_INET, SOCK_STREAM, 0);
		is_free = is_free && bind(fd, (struct sockaddr *)&a4, sizeof(a4)) == 0;
		close(fd);
		if (is_free)
			return port;
	}
	ck_abort_msg("no port is free");
}

static int
call(uint16_t port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port) };
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	if (connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0)
		return fd;
	close(fd);
	return -1;
}

static const struct listener_options plain = { .backlog = 128, .socket = { .keepalive = true, .keepidle_s = 5 } };

START_TEST(callers_are_accepted_until_it_is_paused_or_closed)
{
	char reason[200];
	struct text why = TEXT_IN(reason);
	begin();
	uint16_t port = free_port();
	struct listener *l = listener_open_tcp(loop, "127.0.0.1", port, &plain, on_caller, NULL, &why);
	ck_assert_msg(l != NULL, "%s", reason);
	int fd[100];
	for (int i = 0; i < 100; i++)
		fd[i] = call(port);
	turn_until(loop, accepted == 100);
	ck_assert(!was_unix);
	for (int i = 0; i < 100; i++)
		close(fd[i]);
	listener_tune(l, &plain);
	ck_assert_ptr_null(listener_open_tcp(loop, "127.0.0.1", port, &plain, on_caller, NULL, &why));
	ck_assert_ptr_nonnull(strstr(reason, "in use"));
	listener_close(l);
	ck_assert_int_eq(call(port), -1);
	listener_close(NULL);
	loop_free(loop);
}
END_TEST

START_TEST(every_address_and_names_can_be_listened_on)
{
	char reason[200];
	struct text why = TEXT_IN(reason);
	begin();
	uint16_t port = free_port();
	struct listener *l = listener_open_tcp(loop, "*", port, &plain, on_caller, NULL, &why);
	ck_assert_msg(l != NULL, "%s", reason);
	int fd = call(port);
	turn_until(loop, accepted == 1);
	close(fd);
	listener_close(l);
	struct listener_options shared = plain;
	shared.reuse_port = true;
	l = listener_open_tcp(loop, "localhost", port, &shared, on_caller, NULL, &why);
	struct listener *second = listener_open_tcp(loop, "localhost", port, &shared, on_caller, NULL, &why);
	ck_assert_msg(l && second, "%s", reason);
	listener_close(l);
	listener_close(second);
	ck_assert_ptr_null(listener_open_tcp(loop, "no such name", port, &plain, on_caller, NULL, &why));
	ck_assert_ptr_null(listener_open_tcp(loop, "192.0.2.1", port, &plain, on_caller, NULL, &why)); /* not ours */
	loop_free(loop);
}
END_TEST

START_TEST(a_full_process_refuses_politely_and_accepts_again_later)
{
	char reason[200];
	struct text why = TEXT_IN(reason);
	begin();
	uint16_t port = free_port();
	struct listener *l = listener_open_tcp(loop, "127.0.0.1", port, &plain, on_caller, NULL, &why);
	int caller = call(port), second = call(port);
	struct rlimit before, none = { 0 };
	getrlimit(RLIMIT_NOFILE, &before);
	int next = dup(0);
	close(next);
	none.rlim_max = before.rlim_max;
	none.rlim_cur = (rlim_t)next;
	setrlimit(RLIMIT_NOFILE, &none);
	turn_until(loop, refused == 1);
	ck_assert_int_eq(accepted, 0);
	setrlimit(RLIMIT_NOFILE, &before);
	turn_until(loop, accepted == 1);
	close(caller);
	close(second);
	listener_close(l);
	loop_free(loop);
}
END_TEST

START_TEST(a_unix_socket_is_made_with_its_mode_and_removed)
{
	char reason[200], path[80];
	struct text why = TEXT_IN(reason);
	struct stat st;
	begin();
	snprintf(path, sizeof(path), "/tmp/pgsluice-test-%d.sock", (int)getpid());
	struct listener *l = listener_open_unix(loop, path, 0600, "", &plain, on_caller, NULL, &why);
	ck_assert_msg(l != NULL, "%s", reason);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_int_eq(st.st_mode & 0777, 0600);
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	strcpy(a.sun_path, path);
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	turn_until(loop, accepted == 1);
	ck_assert(was_unix);
	close(fd);
	/* in use; then left over from a crash */
	ck_assert_ptr_null(listener_open_unix(loop, path, 0600, "", &plain, on_caller, NULL, &why));
	ck_assert_ptr_nonnull(strstr(reason, "in use"));
	ck_assert_int_eq(stat(path, &st), 0);
	listener_close(l);
	ck_assert_int_ne(stat(path, &st), 0);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	close(fd);
	l = listener_open_unix(loop, path, 0777, "root", &plain, on_caller, NULL, &why);
	ck_assert_msg(l != NULL, "%s", reason);
	listener_close(l);
	ck_assert_ptr_null(listener_open_unix(loop, path, 0777, "no such group", &plain, on_caller, NULL, &why));
	ck_assert_int_ne(stat(path, &st), 0);
	char longer[200];
	memset(longer, 'x', sizeof(longer));
	longer[0] = '/';
	longer[sizeof(longer) - 1] = '\0';
	ck_assert_ptr_null(listener_open_unix(loop, longer, 0777, "", &plain, on_caller, NULL, &why));
	ck_assert_ptr_null(listener_open_unix(loop, "/nonexistent/socket", 0777, "", &plain, on_caller, NULL, &why));
	l = listener_open_unix(loop, "@pgsluice-test-abstract", 0777, "", &plain, on_caller, NULL, &why);
	ck_assert_msg(l != NULL, "%s", reason);
	listener_close(l);
	loop_free(loop);
}
END_TEST

/* A socket that is handed over is somebody else's, too: closing ours does not take it out of epoll. */
START_TEST(callers_of_a_socket_that_outlives_its_listener_are_nobody_s)
{
	begin();
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(free_port()) };
	int door = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	ck_assert_int_eq(bind(door, (struct sockaddr *)&a, sizeof(a)), 0);
	ck_assert_int_eq(listen(door, 16), 0);
	struct listener *l = listener_adopt(loop, dup(door), false, &plain, on_caller, NULL);
	int first = call(ntohs(a.sin_port));
	turn_until(loop, accepted == 1);
	listener_close(l);
	int second = call(ntohs(a.sin_port));
	ck_assert_int_ge(second, 0);
	loop_turn(loop, false);
	loop_turn(loop, false);
	ck_assert_int_eq(accepted, 1);
	close(first);
	close(second);
	close(door);
	loop_free(loop);
}
END_TEST

int
main(void)
{
	const TTest *const rules[] = {
		callers_are_accepted_until_it_is_paused_or_closed,
		every_address_and_names_can_be_listened_on,
		a_full_process_refuses_politely_and_accepts_again_later,
		a_unix_socket_is_made_with_its_mode_and_removed,
		callers_of_a_socket_that_outlives_its_listener_are_nobody_s,
	};
	return suite_run("net/listener", rules, sizeof(rules) / sizeof(rules[0]));
}
