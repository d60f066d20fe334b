/*
 * bench/copy.c - one client that moves much: COPY in, COPY out, or one huge value there and back, in constant memory.
 *
 *	copy --port P in BYTES     COPY bulk FROM STDIN, rows of about 1,000 bytes made up on the way
 *	copy --port P sink BYTES   the same, but the server drops every row (WHERE false): for speed only
 *	copy --port P out          COPY bulk TO STDOUT: what `in` has stored
 *	copy --port P source BYTES COPY of made-up rows TO STDOUT: for speed only
 *	copy --port P echo BYTES   SELECT $1 with one value of that size, which comes back as one DataRow
 *
 * Prints one JSON line. With --digest it holds the SHA-256 of what was sent and of what was received: rows carry a number
 * and are cut from random text at a place that depends on it, so what is lost, doubled or moved changes the digest.
 * Exit status 1: an error, or digests that differ where both are known.
 */
#define _GNU_SOURCE
#include <getopt.h>
#include <openssl/evp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/heap.h"
#include "bench/peer.h"

enum { CHUNK = 64 * 1024, ROW = 1000, WELL = 256 * 1024 };

static struct peer peer;
static uint8_t well[WELL]; /* letters to cut rows from */
static EVP_MD_CTX *digest_in, *digest_out; /* NULL: not asked for */

static _Noreturn void
fail(const char *what)
{
	fprintf(stderr, "copy: %s%s%s\n", what, peer.why[0] ? ": " : "", peer.why);
	exit(1);
}

static void
fill_well(uint64_t seed)
{
	for (size_t i = 0; i < WELL; i++) {
		seed ^= seed << 13;
		seed ^= seed >> 7;
		seed ^= seed << 17;
		well[i] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"[seed & 63];
	}
}

static void
digest(EVP_MD_CTX *ctx, const void *p, size_t n)
{
	if (ctx)
		EVP_DigestUpdate(ctx, p, n);
}

static void
hex(EVP_MD_CTX *ctx, char out[65])
{
	uint8_t raw[32];
	out[0] = 0;
	if (ctx == NULL)
		return;
	EVP_DigestFinal_ex(ctx, raw, NULL);
	for (int i = 0; i < 32; i++)
		snprintf(out + 2 * i, 3, "%02x", raw[i]);
}

/* ---- messages, of which the large ones are never held whole ---- */

struct incoming {
	uint8_t raw[CHUNK];
	size_t  at, n;
	char    type;
	size_t  left; /* of the message's body */
};

static struct incoming in;

static void
refill(void)
{
	ssize_t n = peer_read_some(&peer, in.raw, sizeof in.raw);
	if (n <= 0)
		fail("the connection was lost");
	in.at = 0;
	in.n = (size_t)n;
}

static uint8_t
next_byte(void)
{
	if (in.at == in.n)
		refill();
	return in.raw[in.at++];
}

static void
next_message(void)
{
	in.type = (char)next_byte();
	uint8_t length[4];
	for (int i = 0; i < 4; i++)
		length[i] = next_byte();
	in.left = load_be32(length);
	if (in.left < 4)
		fail("not the protocol");
	in.left -= 4;
}

/* The next piece of the body: at least one byte unless nothing is left. */
static struct view
next_piece(void)
{
	if (in.left == 0)
		return (struct view){ 0 };
	if (in.at == in.n)
		refill();
	size_t n = in.n - in.at < in.left ? in.n - in.at : in.left;
	struct view v = view_of(in.raw + in.at, n);
	in.at += n;
	in.left -= n;
	return v;
}

static void
skip_body(void)
{
	while (in.left > 0)
		next_piece();
}

static void
fail_with_error_response(void)
{
	struct buf body = { 0 };
	for (struct view v; (v = next_piece()).n > 0;)
		buf_add(&body, v);
	struct view text = error_field(buf_view(&body), 'M');
	snprintf(peer.why, sizeof peer.why, "%.*s", (int)text.n, text.n ? (const char *)text.p : "");
	fail("the server says");
}

/* Read on to a message of this type, digesting CopyData; returns bytes of CopyData. */
static uint64_t
read_until(char wanted)
{
	uint64_t bytes = 0;
	for (;;) {
		next_message();
		if (in.type == wanted)
			return bytes;
		if (in.type == 'E')
			fail_with_error_response();
		if (in.type == 'd') {
			bytes += in.left;
			for (struct view v; (v = next_piece()).n > 0;)
				digest(digest_in, v.p, v.n);
		} else {
			skip_body();
		}
	}
}

static void
send_all(struct buf *b)
{
	if (!peer_write_all(&peer, b->p, b->n))
		fail("the connection was lost while sending");
	buf_clear(b);
}

static void
do_query(const char *sql)
{
	struct buf b = { 0 };
	message_query(&b, sql);
	send_all(&b);
	read_until('Z');
	skip_body();
	buf_free(&b);
}

/* ---- what it can do ---- */

static size_t
add_row(struct buf *b, uint64_t number)
{
	size_t from = b->n;
	buf_addf(b, "%016llu\t", (unsigned long long)number);
	buf_add(b, view_of(well + number * 7919 % (WELL - ROW), ROW - 18));
	buf_add_u8(b, '\n');
	return b->n - from;
}

static uint64_t
copy_in(uint64_t size, const char *sql)
{
	struct buf b = { 0 };
	message_query(&b, sql);
	send_all(&b);
	read_until('G');
	skip_body();
	uint64_t sent = 0;
	for (uint64_t number = 0; sent < size;) {
		size_t at = message_begin(&b, 'd'), begin = b.n;
		while (b.n < CHUNK && sent < size)
			sent += add_row(&b, number++);
		digest(digest_out, b.p + begin, b.n - begin);
		message_end(&b, at);
		send_all(&b);
	}
	message_end(&b, message_begin(&b, 'c'));
	send_all(&b);
	read_until('Z');
	skip_body();
	buf_free(&b);
	return sent;
}

static uint64_t
copy_out(const char *sql)
{
	struct buf b = { 0 };
	message_query(&b, sql);
	send_all(&b);
	buf_free(&b);
	uint64_t bytes = read_until('Z');
	skip_body();
	return bytes;
}

/* Parse, Bind with one value of `size` bytes, Execute, Sync; the value comes back in the only DataRow. */
static uint64_t
echo(uint64_t size)
{
	struct buf b = { 0 };
	size_t at = message_begin(&b, 'P');
	buf_add_string(&b, "");
	buf_add_string(&b, "select $1::text");
	buf_add_be16(&b, 0);
	message_end(&b, at);
	at = message_begin(&b, 'B');
	buf_add_string(&b, "");
	buf_add_string(&b, "");
	buf_add_be16(&b, 0);
	buf_add_be16(&b, 1);
	buf_add_be32(&b, (uint32_t)size);
	store_be32(b.p + at, (uint32_t)(b.n - at + size + 2));
	send_all(&b);
	for (uint64_t sent = 0, number = 0; sent < size; number++) {
		size_t n = size - sent < ROW ? size - sent : ROW;
		buf_add(&b, view_of(well + number * 7919 % (WELL - ROW), n));
		sent += n;
		if (b.n < CHUNK - ROW && sent < size)
			continue;
		digest(digest_out, b.p, b.n);
		send_all(&b);
	}
	buf_add_be16(&b, 0);
	at = message_begin(&b, 'E');
	buf_add_string(&b, "");
	buf_add_be32(&b, 0);
	message_end(&b, at);
	message_end(&b, message_begin(&b, 'S'));
	send_all(&b);
	buf_free(&b);

	uint64_t bytes = 0;
	for (next_message(); in.type != 'Z'; next_message()) {
		if (in.type == 'E')
			fail_with_error_response();
		if (in.type != 'D') {
			skip_body();
			continue;
		}
		if (in.left != 6 + size)
			fail("the value that came back has another size");
		for (int i = 0; i < 6; i++, in.left--)
			next_byte();
		for (struct view v; (v = next_piece()).n > 0; bytes += v.n)
			digest(digest_in, v.p, v.n);
	}
	skip_body();
	return bytes;
}

static _Noreturn void
usage(void)
{
	fputs("usage: copy --port P [--host H] [--user U] [--database D] [--password W] [--tls] [--digest] [--seed N]\n"
	      "            in BYTES | sink BYTES | out | source BYTES | echo BYTES\n", stderr);
	exit(2);
}

int
main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "host", 1, NULL, 'h' },     { "port", 1, NULL, 'p' }, { "user", 1, NULL, 'U' },   { "database", 1, NULL, 'd' },
		{ "password", 1, NULL, 'w' }, { "tls", 0, NULL, 't' },  { "digest", 0, NULL, 'g' }, { "seed", 1, NULL, 's' },
		{ 0 },
	};
	const char *host = "127.0.0.1", *user = "postgres", *database = "postgres", *password = NULL;
	unsigned port = 0;
	uint64_t seed = 1;
	bool wants_tls = false, wants_digest = false;
	for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		switch (o) {
		case 'h': host = optarg; break;
		case 'p': port = (unsigned)atoi(optarg); break;
		case 'U': user = optarg; break;
		case 'd': database = optarg; break;
		case 'w': password = optarg; break;
		case 't': wants_tls = true; break;
		case 'g': wants_digest = true; break;
		case 's': seed = strtoull(optarg, NULL, 10); break;
		default: usage();
		}
	}
	const char *what = optind < argc ? argv[optind] : "";
	uint64_t size = optind + 1 < argc ? strtoull(argv[optind + 1], NULL, 10) : 0;
	struct endpoint to;
	if (!endpoint_init(&to, host, port) || seed == 0)
		usage();
	to.user = user;
	to.database = database;
	to.password = password;
	to.tls = wants_tls ? endpoint_any_tls() : NULL;
	fill_well(seed * 0x9E3779B97F4A7C15);
	if (wants_digest) {
		EVP_DigestInit_ex(digest_in = EVP_MD_CTX_new(), EVP_sha256(), NULL);
		EVP_DigestInit_ex(digest_out = EVP_MD_CTX_new(), EVP_sha256(), NULL);
	}
	signal(SIGPIPE, SIG_IGN); /* OpenSSL writes without MSG_NOSIGNAL */
	if (!peer_open_and_wait(&peer, &to, 30000))
		fail("no connection");
	peer_make_blocking(&peer);

	uint64_t begin = now_us(), sent = 0, received = 0;
	if (strcmp(what, "in") == 0) {
		do_query("drop table if exists bulk; create unlogged table bulk(number text, filler text)");
		begin = now_us();
		sent = copy_in(size, "copy bulk from stdin");
	} else if (strcmp(what, "sink") == 0) {
		sent = copy_in(size, "copy bulk_sink from stdin where false");
	} else if (strcmp(what, "out") == 0) {
		received = copy_out("copy bulk to stdout");
	} else if (strcmp(what, "source") == 0) {
		char sql[200];
		snprintf(sql, sizeof sql, "copy (select repeat('0123456789', 100) from generate_series(1, %llu)) to stdout",
		         (unsigned long long)size / 1001);
		received = copy_out(sql);
	} else if (strcmp(what, "echo") == 0) {
		sent = size;
		received = echo(size);
	} else {
		usage();
	}
	double seconds = (double)(now_us() - begin) / 1e6;
	char sent_hex[65], received_hex[65];
	hex(digest_out, sent_hex);
	hex(digest_in, received_hex);
	printf("{\"what\": \"%s\", \"sent\": %llu, \"received\": %llu, \"seconds\": %.3f, \"digest_sent\": \"%s\", "
	       "\"digest_received\": \"%s\"}\n", what, (unsigned long long)sent, (unsigned long long)received, seconds,
	       sent > 0 ? sent_hex : "", received > 0 ? received_hex : "");
	peer_close(&peer);
	if (sent > 0 && received > 0 && strcmp(sent_hex, received_hex) != 0)
		fail("what came back is not what was sent");
	return 0;
}
