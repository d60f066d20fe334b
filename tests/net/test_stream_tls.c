/* tests/net/test_stream_tls.c - net/stream through TLS, both sides of it ours, over TCP. */
#include "ends.h"

#include "../suite.h"
#include "certs.h"
#include "net/tls.h"

static struct loop *loop;
static struct certs certs;
static struct tls_context *server_side, *client_side;

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
	ck_assert(stream_start_tls_client(&a->stream, client_side, host, true));
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
		ck_assert(stream_start_tls_client(&a.stream, client_side, "db.example", true));
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

START_TEST(who_does_not_name_the_protocol_is_known_for_it)
{
	struct end a, b;
	begin(&(struct tls_files){ 0 });
	two_ends(loop, &a, &b, true);
	ck_assert(!stream_has_alpn(&b.stream));
	ck_assert(stream_start_tls_server(&b.stream, server_side, (struct view){ 0 }));
	ck_assert(stream_start_tls_client(&a.stream, client_side, "db.example", false));
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

START_TEST(the_authority_and_the_name_are_checked_as_asked_for)
{
	static const struct {
		bool is_other_ca, checks_name;
		const char *host, *ends_with; /* NULL: it opens */
	} cases[] = {
		{ false, false, "elsewhere", NULL },
		{ true, false, "db.example", "certificate" },
		{ false, true, "db.example", NULL },
		{ false, true, "elsewhere", "hostname mismatch" },
		{ false, true, "127.0.0.1", "IP address mismatch" },
	};
	struct end a, b;
	begin(&(struct tls_files){ 0 });
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		tls_context_unref(client_side);
		client_side = context(TLS_FOR_SERVERS, &(struct tls_files){
			.ca_file = cases[i].is_other_ca ? certs.other_ca : certs.ca, .verify_peer = true,
			.verify_host = cases[i].checks_name });
		shake_hands(&a, &b, cases[i].host);
		turn_until(loop, a.opened + a.ended == 1);
		if (cases[i].ends_with) {
			ck_assert_int_eq(a.why, STREAM_END_TLS);
			ck_assert_msg(strstr(a.text, cases[i].ends_with) != NULL, "%s", a.text);
		} else {
			ck_assert_msg(a.opened == 1, "%zu: %s", i, a.text);
		}
		end_free(&a);
		turns(loop, 2);
		end_free(&b);
	}
	finish(&a, NULL);
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
	close(fd);
	turn_until(loop, a.ended == 1);
	ck_assert_int_eq(a.why, STREAM_END_TLS);
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

/* With a passphrase, which nobody is there to type. */
static void
lock_key(const char *from, const char *to)
{
	FILE *in = fopen(from, "r"), *out = fopen(to, "w");
	ck_assert(in && out);
	EVP_PKEY *key = PEM_read_PrivateKey(in, NULL, NULL, NULL);
	ck_assert_int_eq(PEM_write_PrivateKey(out, key, EVP_aes_256_cbc(), (const unsigned char *)"sesame", 6, NULL, NULL), 1);
	EVP_PKEY_free(key);
	fclose(in);
	fclose(out);
}

START_TEST(mistakes_in_the_files_are_told)
{
	begin(&(struct tls_files){ 0 });
	char locked[sizeof(certs.key) + 8];
	snprintf(locked, sizeof(locked), "%s.locked", certs.key);
	lock_key(certs.key, locked);
	const struct {
		enum tls_role role;
		struct tls_files files;
		const char *says;
	} cases[] = {
		{ TLS_FOR_CLIENTS, { 0 }, "needs a certificate file and a key file" },
		{ TLS_FOR_CLIENTS, { .key_file = certs.key, .cert_file = "/nonexistent" }, "certificate file" },
		{ TLS_FOR_CLIENTS, { .key_file = certs.cert, .cert_file = certs.cert }, "key file" },
		{ TLS_FOR_CLIENTS, { .key_file = certs.key, .cert_file = certs.ca }, "key" },
		{ TLS_FOR_CLIENTS, { .key_file = locked, .cert_file = certs.cert }, "key file" },
		{ TLS_FOR_SERVERS, { .protocols = ", " }, "no tls protocol" },
		{ TLS_FOR_SERVERS, { .verify_peer = true }, "needs a CA file" },
		{ TLS_FOR_SERVERS, { .ca_file = "/nonexistent" }, "CA file" },
		{ TLS_FOR_SERVERS, { .protocols = "tlsv9" }, "\"tlsv9\" is unknown" },
		{ TLS_FOR_SERVERS, { .ciphers = "NONSENSE" }, "ciphers" },
		{ TLS_FOR_SERVERS, { .ciphers13 = "NONSENSE" }, "TLS 1.3 ciphers" },
		{ TLS_FOR_SERVERS, { .curve = "nonsense" }, "curve" },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char reason[300] = "";
		struct text why = TEXT_IN(reason);
		ck_assert_ptr_null(tls_context_new(cases[i].role, &cases[i].files, &why));
		ck_assert_msg(strstr(reason, cases[i].says) != NULL, "%zu: %s", i, reason);
	}
	tls_context_unref(context(TLS_FOR_SERVERS, &(struct tls_files){ .protocols = "tlsv1.2, tlsv1.3", .ciphers = "fast",
	                                                                .curve = "prime256v1" }));
	remove(locked);
	finish(&(struct end){ 0 }, NULL);
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
		who_does_not_name_the_protocol_is_known_for_it,
		a_watched_pause_sees_the_peer_leave_through_tls,
		the_authority_and_the_name_are_checked_as_asked_for,
		who_does_not_speak_tls_is_told_apart,
		a_broken_record_ends_the_stream,
		a_peer_that_is_gone_is_told_later_through_tls_too,
		mistakes_in_the_files_are_told,
	};
	return suite_run("net/stream with TLS", rules, sizeof(rules) / sizeof(rules[0]));
}
