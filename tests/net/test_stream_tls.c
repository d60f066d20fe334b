/* tests/net/test_stream_tls.c - net/stream through TLS, both sides of it ours, over TCP. */
#include "ends.h"

#include "../suite.h"
#include "certs.h"
#include "net/tls.h"

static struct loop *loop;
static struct certs certs;
static struct tls_context *server_side, *client_side;
static enum stream_checks checks; /* of the client */

static struct tls_context *
context(enum tls_role role, const struct tls_files *files)
{
	char reason[300] = "";
	struct text why = TEXT_IN(reason);
	struct tls_context *t = tls_context_new(role, files, &why);
	ck_assert_msg(t != NULL, "%s", reason);
	return t;
}

static void
begin(const struct tls_files *client_files)
{
	checks = STREAM_CHECKS_NOTHING;
	loop = loop_new((struct loop_hooks){ 0 }, NULL);
	certs_make(&certs);
	server_side = context(TLS_FOR_CLIENTS, &(struct tls_files){ .key_file = certs.key, .cert_file = certs.cert });
	client_side = context(TLS_FOR_SERVERS, client_files);
}

static void
finish(struct end *a, struct end *b)
{
	end_free(a);
	if (b)
		end_free(b);
	tls_context_unref(server_side);
	tls_context_unref(client_side);
	certs_remove(&certs);
	loop_free(loop);
}

/* a is the client, b the server; the handshake has begun. */
static void
shake_hands(struct end *a, struct end *b, const char *host)
{
	two_ends(loop, a, b, true);
	ck_assert(stream_start_tls_server(&b->stream, server_side, (struct view){ 0 }));
	ck_assert(stream_start_tls_client(&a->stream, client_side, host, checks, true));
}

START_TEST(bytes_pass_in_both_directions)
{
	struct end a, b;
	char text[100];
	begin(&(struct tls_files){ 0 });
	shake_hands(&a, &b, "127.0.0.1");
	turn_until(loop, a.opened == 1 && b.opened == 1);
	stream_describe_tls(&a.stream, text, sizeof(text));
	ck_assert_int_eq(strncmp(text, "TLSv1.3/", 8), 0);
	stream_put(&a.stream, VIEW("select "));
	stream_put(&b.stream, VIEW("welcome"));
	stream_send(&a.stream, VIEW("1"));
	turn_until(loop, b.got.n == 8 && a.got.n == 7);
	ck_assert_mem_eq(b.got.p, "select 1", 8);
	stream_close(&a.stream); /* sends close_notify */
	turn_until(loop, b.ended == 1);
	ck_assert_int_eq(b.why, STREAM_END_EOF);
	finish(&a, &b);
}
END_TEST

static void
speak_on_open(void *owner)
{
	struct end *e = owner;
	e->opened++;
	stream_put(&e->stream, VIEW("right behind the handshake"));
}

START_TEST(what_comes_right_behind_the_handshake_is_heard)
{
	static const struct stream_ops ops = { speak_on_open, end_on_data, end_on_end, end_on_blocked, end_on_drained };
	struct end a, b;
	begin(&(struct tls_files){ 0 });
	shake_hands(&a, &b, "db.example");
	a.stream.ops = &ops;
	turn_until(loop, b.got.n == 26);
	ck_assert_int_eq(b.opened, 1);
	finish(&a, &b);
}
END_TEST

START_TEST(megabytes_pass_with_pauses_and_small_buffers)
{
	struct end a, b;
	begin(&(struct tls_files){ 0 });
	shake_hands(&a, &b, "db.example");
	turn_until(loop, a.opened && b.opened);
	size_t n = 5 * 1000 * 1000, sent = 0;
	uint8_t *p = pattern(n);
	int small = 60000;
	setsockopt(a.stream.fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	b.unit = 1000;
	for (unsigned round = 0; b.got.n < n; round++) {
		ck_assert_uint_lt(round, 200000);
		while (sent < n && !a.stream.is_blocked) {
			size_t piece = 1 + (sent * 7 + 13) % 90000;
			piece = piece < n - sent ? piece : n - sent;
			stream_send(&a.stream, view_of(p + sent, piece));
			sent += piece;
			if (round % 3)
				loop_flush(loop);
		}
		loop_flush(loop);
		if (round % 5 == 0)
			stream_pause(&b.stream);
		else
			stream_resume(&b.stream);
		loop_turn(loop, false);
	}
	ck_assert_mem_eq(b.got.p, p, n);
	ck_assert_int_eq(a.ended + b.ended, 0);
	ck_assert_int_ge(a.blocked, 1);
	free(p);
	finish(&a, &b);
}
END_TEST

START_TEST(what_openssl_holds_is_handled_after_a_pause_without_the_socket)
{
	struct end a, b;
	begin(&(struct tls_files){ 0 });
	shake_hands(&a, &b, "db.example");
	turn_until(loop, a.opened && b.opened);
	for (int i = 0; i < 20; i++) { /* a record each; several arrive in one read */
		stream_put(&a.stream, VIEW("0123456789"));
		loop_flush(loop);
	}
	b.pause_at = 15;
	turn_until(loop, b.got.n == 15);
	turns(loop, 5);
	ck_assert_uint_eq(b.got.n, 15);
	b.pause_at = 155;
	stream_resume(&b.stream);
	turn_until(loop, b.got.n == 155);
	b.pause_at = 0;
	stream_resume(&b.stream);
	turn_until(loop, b.got.n == 200);
	finish(&a, &b);
}
END_TEST

START_TEST(the_first_bytes_of_direct_tls_may_have_been_read_already)
{
	struct end a, b;
	begin(&(struct tls_files){ 0 });
	for (size_t taken = 1; taken < 400; taken += 57) {
		two_ends(loop, &a, &b, true);
		stream_pause(&b.stream);
		ck_assert(stream_start_tls_client(&a.stream, client_side, "db.example", STREAM_CHECKS_NOTHING, true));
		uint8_t hello[400];
		usleep(1000);
		ssize_t n = recv(b.stream.fd, hello, taken, 0);
		ck_assert_int_gt(n, 0);
		stream_resume(&b.stream);
		ck_assert(stream_start_tls_server(&b.stream, server_side, view_of(hello, (size_t)n)));
		turn_until(loop, a.opened && b.opened);
		ck_assert(stream_has_alpn(&b.stream));
		stream_put(&a.stream, VIEW("hi"));
		turn_until(loop, b.got.n == 2);
		end_free(&a);
		end_free(&b);
	}
	finish(&a, NULL);
}
END_TEST

static size_t
begin_tls_on_data(void *owner, struct view in)
{
	struct end *e = owner;
	ck_assert(stream_start_tls_server(&e->stream, server_side, (struct view){ 0 }));
	return in.n;
}

START_TEST(who_asks_for_tls_and_leaves_at_once_is_not_waited_for)
{
	static const struct stream_ops ops = { end_on_open, begin_tls_on_data, end_on_end, end_on_blocked, end_on_drained };
	struct end a = { .loop = NULL };
	int fd[2];
	begin(&(struct tls_files){ 0 });
	two_fds(true, fd);
	a.loop = loop;
	stream_open(&a.stream, loop, fd[0], &ops, &a);
	ck_assert_int_eq(write(fd[1], "S", 1), 1);
	shutdown(fd[1], SHUT_WR); /* epoll tells of both at once, and then no more */
	turn_until(loop, a.ended == 1);
	close(fd[1]);
	finish(&a, NULL);
}
END_TEST

START_TEST(who_does_not_name_the_protocol_is_known_for_it)
{
	struct end a, b;
	begin(&(struct tls_files){ 0 });
	two_ends(loop, &a, &b, true);
	ck_assert(!stream_has_alpn(&b.stream));
	ck_assert(stream_start_tls_server(&b.stream, server_side, (struct view){ 0 }));
	ck_assert(stream_start_tls_client(&a.stream, client_side, "db.example", STREAM_CHECKS_NOTHING, false));
	turn_until(loop, a.opened && b.opened);
	ck_assert(!stream_has_alpn(&b.stream));
	finish(&a, &b);
}
END_TEST

START_TEST(a_watched_pause_sees_the_peer_leave_through_tls)
{
	struct end a, b;
	begin(&(struct tls_files){ 0 });
	shake_hands(&a, &b, "db.example");
	turn_until(loop, a.opened && b.opened);
	stream_pause_watching(&b.stream);
	stream_put(&a.stream, VIEW("unheard"));
	turns(loop, 3);
	stream_close(&a.stream);
	turn_until(loop, b.ended == 1);
	ck_assert_int_eq(b.why, STREAM_END_EOF);
	ck_assert_uint_eq(b.calls, 0);
	finish(&a, &b);
}
END_TEST

/* Both shake hands; a, the client, ends with that text (NULL: it opens). */
static void
expect_end(const char *host, const char *ends_with)
{
	struct end a, b;
	shake_hands(&a, &b, host);
	turn_until(loop, a.opened + a.ended == 1);
	if (ends_with) {
		ck_assert_int_eq(a.why, STREAM_END_TLS);
		ck_assert_msg(strstr(a.text, ends_with) != NULL, "%s, not %s", a.text, ends_with);
	} else {
		ck_assert_msg(a.opened == 1, "%s: %s", host, a.text);
	}
	end_free(&a);
	turns(loop, 2);
	end_free(&b);
}

static void
use_client(const struct tls_files *files)
{
	tls_context_unref(client_side);
	client_side = context(TLS_FOR_SERVERS, files);
}

static void
use_server(void)
{
	tls_context_unref(server_side);
	server_side = context(TLS_FOR_CLIENTS, &(struct tls_files){ .key_file = certs.key, .cert_file = certs.cert });
}

START_TEST(the_authority_and_the_name_are_checked_as_asked_for)
{
	static const struct {
		bool is_other_ca;
		enum stream_checks checks;
		const char *host, *ends_with;
	} cases[] = {
		{ false, STREAM_CHECKS_AUTHORITY, "elsewhere", NULL },
		{ true, STREAM_CHECKS_NOTHING, "elsewhere", NULL },
		{ true, STREAM_CHECKS_AUTHORITY, "db.example", "certificate" },
		{ false, STREAM_CHECKS_NAME_TOO, "db.example", NULL },
		{ false, STREAM_CHECKS_NAME_TOO, "DB.Example", NULL },
		{ false, STREAM_CHECKS_NAME_TOO, "elsewhere", "hostname mismatch" },
		{ false, STREAM_CHECKS_NAME_TOO, "127.0.0.1", "IP address mismatch" },
	};
	begin(&(struct tls_files){ 0 });
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		use_client(&(struct tls_files){ .ca_file = cases[i].is_other_ca ? certs.other_ca : certs.ca });
		checks = cases[i].checks;
		expect_end(cases[i].host, cases[i].ends_with);
	}
	finish(&(struct end){ 0 }, NULL);
}
END_TEST

START_TEST(names_addresses_and_wildcards_fit_or_do_not)
{
	static const struct { const char *alternative, *host; bool fits; } cases[] = {
		{ "IP:127.0.0.1", "127.0.0.1", true },
		{ "IP:127.0.0.1", "127.0.0.2", false },
		{ "IP:::1", "::1", true },
		{ "IP:::1", "0:0:0:0:0:0:0:1", true },
		{ "IP:::1", "::2", false },
		{ "DNS:127.0.0.1", "127.0.0.1", false }, /* a name is not an address */
		{ "DNS:a.example,DNS:b.example", "b.example", true },
		{ "DNS:*.db.example", "one.db.example", true },
		{ "DNS:*.db.example", "db.example", false },
		{ "DNS:*.db.example", "a.one.db.example", false },
		{ "DNS:o*.db.example", "one.db.example", false },
		{ "DNS:*.example", "db.example", false }, /* one label is too little behind it */
		{ "DNS:other.example", "db.example", false }, /* CN does not count beside others */
	};
	begin(&(struct tls_files){ 0 });
	use_client(&(struct tls_files){ .ca_file = certs.ca });
	checks = STREAM_CHECKS_NAME_TOO;
	EVP_PKEY *key = EVP_EC_gen("P-256");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		certs_reissue(&certs, &(struct cert_plan){ .name = "db.example", .alternative = cases[i].alternative, .serial = 9 }, key);
		use_server();
		expect_end(cases[i].host, cases[i].fits ? NULL : "mismatch");
	}
	EVP_PKEY_free(key);
	finish(&(struct end){ 0 }, NULL);
}
END_TEST

START_TEST(a_clients_certificate_tells_who_it_is)
{
	static const struct {
		struct cert_plan plan;
		const char *common_name, *distinguished_name; /* NULL: none that could be compared */
	} cases[] = {
		{ { .name = "app", .organisation = "Example" }, "app", "CN=app,O=Example" },
		{ { .name = "b\u00f6b" }, "b\u00f6b", "CN=b\\C3\\B6b" },
		{ { .name = "a, \"b\"" }, "a, \"b\"", "CN=a\\, \\\"b\\\"" },
		{ { .name = "root\0.example", .name_bytes = 13 }, NULL, "CN=root\\00.example" },
		{ { .name = "", .organisation = "x", .alternative = "DNS:app" }, NULL, "O=x" },
		{ { .name = "0123456789012345678901234567890123456789" }, NULL, NULL }, /* no room */
	};
	begin(&(struct tls_files){ 0 });
	tls_context_unref(server_side);
	server_side = context(TLS_FOR_CLIENTS, &(struct tls_files){ .key_file = certs.key, .cert_file = certs.cert,
	                                                            .ca_file = certs.ca,
	                                                            .client_certificate = TLS_CERTIFICATE_OPTIONAL });
	EVP_PKEY *key = EVP_EC_gen("P-256");
	char name[40] = "not set";
	struct end a, b;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct cert_plan plan = cases[i].plan;
		plan.serial = 9;
		plan.alternative = "DNS:not.looked.at";
		certs_reissue(&certs, &plan, key);
		use_client(&(struct tls_files){ .key_file = certs.key, .cert_file = certs.cert });
		shake_hands(&a, &b, "db.example");
		ck_assert(!stream_has_peer_certificate(&b.stream)); /* not yet */
		turn_until(loop, b.opened == 1);
		ck_assert(stream_has_peer_certificate(&b.stream));
		ck_assert_int_eq(stream_peer_common_name(&b.stream, name, sizeof(name)), cases[i].common_name != NULL);
		ck_assert_str_eq(name, cases[i].common_name ? cases[i].common_name : "");
		ck_assert_int_eq(stream_peer_distinguished_name(&b.stream, name, sizeof(name)), cases[i].distinguished_name != NULL);
		ck_assert_str_eq(name, cases[i].distinguished_name ? cases[i].distinguished_name : "");
		ck_assert(!stream_has_peer_certificate(&a.stream)); /* the server's was not checked */
		end_free(&a);
		end_free(&b);
	}
	use_client(&(struct tls_files){ 0 });
	shake_hands(&a, &b, "db.example"); /* none is shown */
	turn_until(loop, b.opened == 1);
	ck_assert(!stream_has_peer_certificate(&b.stream));
	ck_assert(!stream_peer_common_name(&b.stream, name, sizeof(name)) && name[0] == '\0');
	ck_assert(!stream_peer_distinguished_name(&b.stream, name, sizeof(name)) && name[0] == '\0');
	EVP_PKEY_free(key);
	finish(&a, &b);
}
END_TEST

START_TEST(times_and_revocation_count)
{
	static const struct {
		long from_s, until_s, revoked, crl_until_s; /* crl_until_s 0: no list */
		const char *ends_with;
	} cases[] = {
		{ -7200, -3600, 0, 0, "certificate has expired" },
		{ 3600, 7200, 0, 0, "certificate is not yet valid" },
		{ -60, 3600, 0, 600, NULL },
		{ -60, 3600, 8, 600, NULL },
		{ -60, 3600, 9, 600, "certificate revoked" },
		{ -60, 3600, 0, -600, "CRL has expired" },
	};
	char list[sizeof(certs.dir) + 8];
	begin(&(struct tls_files){ 0 });
	snprintf(list, sizeof(list), "%s/crl", certs.dir);
	EVP_PKEY *key = EVP_EC_gen("P-256");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		certs_reissue(&certs, &(struct cert_plan){ .name = "db.example", .serial = 9, .from_s = cases[i].from_s,
		                                           .until_s = cases[i].until_s }, key);
		use_server();
		if (cases[i].crl_until_s)
			certs_revoke(&certs, list, cases[i].revoked, cases[i].crl_until_s);
		use_client(&(struct tls_files){ .ca_file = certs.ca, .crl_file = cases[i].crl_until_s ? list : NULL });
		checks = STREAM_CHECKS_AUTHORITY;
		expect_end("db.example", cases[i].ends_with);
		checks = STREAM_CHECKS_NOTHING; /* and nobody cares who does not check */
		expect_end("db.example", NULL);
	}
	EVP_PKEY_free(key);
	remove(list);
	finish(&(struct end){ 0 }, NULL);
}
END_TEST

START_TEST(both_sides_bind_to_the_same_certificate)
{
	struct end a, b;
	uint8_t mine[TLS_HASH_MAX], yours[TLS_HASH_MAX];
	begin(&(struct tls_files){ 0 });
	shake_hands(&a, &b, "db.example");
	ck_assert_uint_eq(stream_binding_hash(&a.stream, mine), 0); /* not yet */
	turn_until(loop, a.opened && b.opened);
	tls_context_unref(server_side); /* a reload: the connection goes on with what it has shown */
	server_side = context(TLS_FOR_CLIENTS, &(struct tls_files){ .key_file = certs.key, .cert_file = certs.cert });
	ck_assert_uint_eq(stream_binding_hash(&a.stream, mine), 32);
	ck_assert_uint_eq(stream_binding_hash(&b.stream, yours), 32);
	ck_assert_mem_eq(mine, yours, 32);
	end_free(&a);
	end_free(&b);
	two_ends(loop, &a, &b, true);
	ck_assert_uint_eq(stream_binding_hash(&a.stream, mine), 0); /* in clear */
	finish(&a, &b);
}
END_TEST

START_TEST(who_does_not_speak_tls_is_told_apart)
{
	struct end a;
	begin(&(struct tls_files){ 0 });
	int fd = end_and_fd(loop, &a, true);
	ck_assert(stream_start_tls_server(&a.stream, server_side, (struct view){ 0 }));
	ck_assert_int_eq(write(fd, "GET / HTTP/1.0\r\n\r\n", 18), 18);
	turn_until(loop, a.ended == 1);
	ck_assert_int_eq(a.why, STREAM_END_TLS);
	ck_assert_int_eq(a.opened, 0);
	close(fd);
	end_free(&a);
	fd = end_and_fd(loop, &a, true);
	ck_assert(stream_start_tls_server(&a.stream, server_side, (struct view){ 0 }));
	ck_assert_int_eq(write(fd, "\x16\x03\x01", 3), 3); /* the beginning of a ClientHello */
	close(fd);
	turn_until(loop, a.ended == 1);
	ck_assert_int_eq(a.why, STREAM_END_TLS);
	finish(&a, NULL);
}
END_TEST

START_TEST(who_leaves_before_the_handshake_has_not_failed_at_it)
{
	struct end a;
	begin(&(struct tls_files){ 0 });
	int fd = end_and_fd(loop, &a, true);
	ck_assert(stream_start_tls_server(&a.stream, server_side, (struct view){ 0 }));
	close(fd);
	turn_until(loop, a.ended == 1);
	ck_assert_int_eq(a.why, STREAM_END_EOF);
	finish(&a, NULL);
}
END_TEST

START_TEST(a_broken_record_ends_the_stream)
{
	struct end a, b;
	begin(&(struct tls_files){ 0 });
	shake_hands(&a, &b, "db.example");
	turn_until(loop, a.opened && b.opened);
	int fd = dup(a.stream.fd);
	ck_assert_int_eq(write(fd, "\x17\x03\x03\x00\x05hello", 10), 10);
	turn_until(loop, b.ended == 1);
	ck_assert_int_eq(b.why, STREAM_END_TLS);
	ck_assert_uint_eq(b.got.n, 0);
	close(fd);
	finish(&a, &b);
}
END_TEST

START_TEST(a_peer_that_is_gone_is_told_later_through_tls_too)
{
	struct end a, b;
	begin(&(struct tls_files){ 0 });
	shake_hands(&a, &b, "db.example");
	turn_until(loop, a.opened && b.opened);
	stream_pause(&a.stream);
	struct linger now = { .l_onoff = 1 };
	setsockopt(b.stream.fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	stream_close(&b.stream);
	usleep(1000);
	a.is_sending = true;
	for (int i = 0; i < 50; i++) {
		stream_put(&a.stream, VIEW("x"));
		stream_flush(&a.stream);
	}
	a.is_sending = false;
	ck_assert_int_eq(a.ended, 0);
	turn_until(loop, a.ended == 1);
	finish(&a, &b);
}
END_TEST

int
main(void)
{
	const TTest *const rules[] = {
		bytes_pass_in_both_directions,
		what_comes_right_behind_the_handshake_is_heard,
		megabytes_pass_with_pauses_and_small_buffers,
		what_openssl_holds_is_handled_after_a_pause_without_the_socket,
		the_first_bytes_of_direct_tls_may_have_been_read_already,
		who_asks_for_tls_and_leaves_at_once_is_not_waited_for,
		who_does_not_name_the_protocol_is_known_for_it,
		a_watched_pause_sees_the_peer_leave_through_tls,
		the_authority_and_the_name_are_checked_as_asked_for,
		names_addresses_and_wildcards_fit_or_do_not,
		a_clients_certificate_tells_who_it_is,
		times_and_revocation_count,
		both_sides_bind_to_the_same_certificate,
		who_does_not_speak_tls_is_told_apart,
		who_leaves_before_the_handshake_has_not_failed_at_it,
		a_broken_record_ends_the_stream,
		a_peer_that_is_gone_is_told_later_through_tls_too,
	};
	return suite_run("net/stream with TLS", rules, sizeof(rules) / sizeof(rules[0]));
}
