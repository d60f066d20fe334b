/*
 * bench/login_cost.c - what logging in costs in the process itself: microseconds per step, without sockets.
 *
 *	login_cost [LOGINS]
 *
 * The claim: with a SCRAM secret, or with a plain password stretched before, a login costs microseconds; only the first
 * use of a password costs the stretching. Each figure is the best of five rounds.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "auth/md5.h"
#include "auth/mock.h"
#include "auth/password.h"
#include "auth/scram.h"

#define ROUNDS 5

static double
seconds(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

struct bench {
	struct scram_cache *cache;
	struct secret       plain, scram, md5, mock;
	struct scram_keys   keys; /* of the SCRAM secret's password */
};

static struct {
	struct buf client_first, server_first, client_final, server_final;
} wire;

/* Both sides of one login; the time of the server side only is added to *server_s, of the client side to *client_s. */
static enum scram_result
log_in(struct bench *b, const struct secret *secret, const char *password, double *server_s, double *client_s)
{
	struct scram_server s;
	struct scram_client c;

	buf_clear(&wire.client_first);
	buf_clear(&wire.server_first);
	buf_clear(&wire.client_final);
	buf_clear(&wire.server_final);
	double t0 = seconds();
	if (password)
		scram_client_begin_password(&c, password, NULL);
	else
		scram_client_begin_keys(&c, &b->keys, NULL);
	scram_client_first(&c, &wire.client_first);
	double t1 = seconds();
	scram_server_begin(&s, secret, "app", SCRAM_ITERATIONS, b->cache, NULL);
	enum scram_result r = scram_server_first(&s, buf_view(&wire.client_first), &wire.server_first);
	double t2 = seconds();
	if (r == SCRAM_OK)
		r = scram_client_final(&c, buf_view(&wire.server_first), b->cache, &wire.client_final);
	double t3 = seconds();
	if (r == SCRAM_OK)
		r = scram_server_final(&s, buf_view(&wire.client_final), &wire.server_final);
	scram_server_fini(&s);
	double t4 = seconds();
	if (r == SCRAM_OK)
		r = scram_client_verify(&c, buf_view(&wire.server_final));
	scram_client_fini(&c);
	double t5 = seconds();
	*server_s += t2 - t1 + t4 - t3;
	*client_s += t1 - t0 + t3 - t2 + t5 - t4;
	return r;
}

static void
scram_row(struct bench *b, const char *name, const struct secret *secret, const char *password, enum scram_result want,
          long logins)
{
	double server_best = 1e9, client_best = 1e9;

	for (int round = 0; round < ROUNDS; round++) {
		double server_s = 0, client_s = 0;
		for (long i = 0; i < logins; i++)
			if (log_in(b, secret, password, &server_s, &client_s) != want)
				exit(1);
		server_best = server_s < server_best ? server_s : server_best;
		client_best = client_s < client_best ? client_s : client_best;
	}
	printf("%-44s %10.2f %10.2f\n", name, server_best / (double)logins * 1e6, client_best / (double)logins * 1e6);
}

static void
stretch_row(long times)
{
	struct scram_keys keys;
	double best = 1e9;

	for (int round = 0; round < ROUNDS; round++) {
		double t0 = seconds();
		for (long i = 0; i < times; i++)
			scram_keys_of_password("password", VIEW("0123456789abcdef"), SCRAM_ITERATIONS, NULL, &keys);
		double t = (seconds() - t0) / (double)times;
		best = t < best ? t : best;
	}
	printf("%-44s %10.2f\n", "stretching once, 4096 iterations", best * 1e6);
}

static void
md5_row(const char *name, const struct secret *secret, const char *user, bool want, long logins)
{
	uint8_t salt[MD5_SALT_BYTES];
	char answer[MD5_TEXT_SIZE], right[MD5_TEXT_SIZE];
	double best = 1e9;

	for (int round = 0; round < ROUNDS; round++) {
		double t0 = seconds();
		for (long i = 0; i < logins; i++) {
			md5_new_salt(salt);
			if (!md5_password(user, "pencil", right) || !md5_with_salt(right, salt, answer) ||
			    md5_verify(secret, user, salt, answer) != want)
				exit(1);
		}
		double t = (seconds() - t0) / (double)logins;
		best = t < best ? t : best;
	}
	printf("%-44s %10.2f\n", name, best * 1e6);
}

int
main(int argc, char **argv)
{
	long logins = argc > 1 ? atol(argv[1]) : 10000;
	struct bench b = { .cache = scram_cache_new(SCRAM_CACHE_ENTRIES) };
	char md5[MD5_TEXT_SIZE];

	if (logins < 1 || !md5_password("app", "pencil", md5))
		return 2;
	secret_parse("pencil", &b.plain);
	secret_parse(md5, &b.md5);
	secret_parse("SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:"
	             "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=", &b.scram);
	mock_secret("nobody", &b.scram, &b.mock);
	scram_keys_of_password("pencil", view_of(b.scram.scram.salt, b.scram.scram.salt_bytes), b.scram.scram.iterations,
	                       NULL, &b.keys);

	printf("%-44s %10s %10s\n", "µs per login, best of 5", "as server", "as client");
	scram_row(&b, "SCRAM secret, client with keys", &b.scram, NULL, SCRAM_OK, logins);
	scram_row(&b, "SCRAM secret, client with password", &b.scram, "pencil", SCRAM_OK, logins);
	scram_row(&b, "plain password on both sides", &b.plain, "pencil", SCRAM_OK, logins);
	scram_row(&b, "SCRAM secret, wrong password", &b.scram, "pencils", SCRAM_WRONG_PASSWORD, logins);
	scram_row(&b, "unknown user, shaped like a SCRAM secret", &b.mock, "pencils", SCRAM_WRONG_PASSWORD, logins);
	scram_row(&b, "plain password, wrong password", &b.plain, "pencils", SCRAM_WRONG_PASSWORD, logins);
	scram_row(&b, "unknown user", NULL, "pencils", SCRAM_WRONG_PASSWORD, logins);
	md5_row("md5 secret, both sides", &b.md5, "app", true, logins);
	stretch_row(20);
	printf("stretched %llu times in %ld logins\n", (unsigned long long)scram_cache_stretched(b.cache), 7 * ROUNDS * logins);
	return 0;
}
