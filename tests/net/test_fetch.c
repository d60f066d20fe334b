/* tests/net/test_fetch.c - requests to a server in the same loop, good and bad ones. */
#include "net/fetch.h"

#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "../fake/http.h"
#include "../suite.h"
#include "base/buf.h"
#include "net/loop.h"

/* libcurl resolves names through this one: so tests need no DNS, and can have a slow one. */
int
getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **result)
{
	if (strcmp(node, "slow.example") == 0)
		nanosleep(&(struct timespec){ .tv_sec = 3 }, NULL);
	return EAI_NONAME;
}

static struct loop *loop;
static struct fetcher *fetcher;
static struct fake_http server;

/* What the server sends, and then. */
static struct buf raw;
static enum fake_http_next next;
static char head_seen[4096];

static enum fake_http_next
answer_raw(struct fake_http *s, const char *head, struct evbuffer *out)
{
	snprintf(head_seen, sizeof(head_seen), "%s", head);
	evbuffer_add(out, raw.p, raw.n);
	return next;
}

/* What came of the requests. */
static int done;
static struct fetch_answer got; /* the last; body and error are copied below */
static struct buf got_body;
static char got_error[300];

static void
on_done(const struct fetch_answer *answer, void *context)
{
	ck_assert_ptr_eq(context, &done);
	done++;
	got = *answer;
	buf_clear(&got_body);
	buf_add(&got_body, answer->body);
	snprintf(got_error, sizeof(got_error), "%s", answer->error);
}

static bool
is_done(void)
{
	return done > 0;
}

static void
begin(const char *answer)
{
	signal(SIGPIPE, SIG_IGN);
	loop = loop_new((struct loop_hooks){ 0 }, NULL);
	ck_assert_ptr_nonnull(loop);
	fetcher = fetcher_open(loop);
	ck_assert_ptr_nonnull(fetcher);
	server = (struct fake_http){ .answer = answer_raw };
	fake_http_open(&server, loop);
	buf_clear(&raw);
	buf_add(&raw, view_of_string(answer));
	next = FAKE_HTTP_CLOSE;
	done = 0;
}

static void
end(void)
{
	fetcher_close(fetcher);
	fake_http_stop(&server);
	loop_free(loop);
	buf_free(&raw);
	buf_free(&got_body);
}

static struct fetch *
get(const char *url, uint32_t timeout_ms, size_t body_max)
{
	return fetch_begin(fetcher, &(struct fetch_request){ .url = url, .timeout_ms = timeout_ms, .body_max = body_max },
			 on_done, &done);
}

static const char *
url_of(const struct fake_http *s, const char *path)
{
	static char url[200];
	snprintf(url, sizeof(url), "http://127.0.0.1:%u%s", s->port, path);
	return url;
}

static enum fetch_outcome
fetch_now(const char *url, uint32_t timeout_ms, size_t body_max)
{
	done = 0;
	ck_assert_ptr_nonnull(get(url, timeout_ms, body_max));
	ck_assert_int_eq(done, 0); /* never from within fetch_begin() */
	ck_assert(turn_until(loop, is_done, 5 * SECOND_US));
	turn_until(loop, NULL, 10 * MILLISECOND_US);
	ck_assert_int_eq(done, 1);
	ck_assert((got.outcome == FETCH_OK) == (got_error[0] == '\0'));
	return got.outcome;
}

static void
has_body(const char *text)
{
	ck_assert_uint_eq(got_body.n, strlen(text));
	ck_assert_mem_eq(got_body.p, text, got_body.n);
}

START_TEST(an_answer_without_a_length_ends_with_the_connection)
{
	begin("HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n{\"state\": \"running\"}");
	ck_assert_int_eq(fetch_now(url_of(&server, "/primary"), 1000, 0), FETCH_OK);
	ck_assert_int_eq(got.status, 200);
	ck_assert_uint_eq(got.date_s, 0);
	has_body("{\"state\": \"running\"}");
	ck_assert_uint_gt(got.took_us, 0);
	end();
}
END_TEST

START_TEST(the_date_is_read_if_it_is_one)
{
	static const struct {
		const char *line;
		uint64_t date_s;
	} rows[] = {
		{ "Date: Tue, 01 Jan 2030 00:00:00 GMT", 1893456000 },
		{ "dAtE:Tue, 01 Jan 2030 00:00:00 GMT", 1893456000 },
		{ "Date: soon", 0 },
		{ "Date:", 0 },
		{ "Date: Tue, 01 Jan 2030 00:00:00 GMT                                            (or so)", 0 },
		{ "X-Date: Tue, 01 Jan 2030 00:00:00 GMT", 0 },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char answer[200];
		snprintf(answer, sizeof(answer), "HTTP/1.0 200 OK\r\n%s\r\n\r\n", rows[i].line);
		begin(answer);
		ck_assert_int_eq(fetch_now(url_of(&server, "/primary"), 1000, 0), FETCH_OK);
		ck_assert_msg(got.date_s == rows[i].date_s, "%s", rows[i].line);
		end();
	}
}
END_TEST

START_TEST(a_request_is_plain_http_1_0)
{
	begin("HTTP/1.0 200 OK\r\n\r\n");
	ck_assert_int_eq(fetch_now(url_of(&server, "/cluster"), 1000, 0), FETCH_OK);
	ck_assert_int_eq(strncmp(head_seen, "GET /cluster HTTP/1.0\r\n", 23), 0);
	ck_assert_ptr_nonnull(strstr(head_seen, "User-Agent: pgsluice/"));
	ck_assert_ptr_null(strstr(head_seen, "Keep-Alive"));
	ck_assert_uint_eq(got_body.n, 0);
	end();
}
END_TEST

START_TEST(any_status_with_a_whole_answer_is_an_answer)
{
	begin("HTTP/1.0 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbody");
	ck_assert_int_eq(fetch_now(url_of(&server, "/"), 1000, 0), FETCH_OK);
	ck_assert_int_eq(got.status, 503);
	has_body("body");
	end();
}
END_TEST

START_TEST(each_request_has_a_connection_of_its_own)
{
	begin("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nok");
	next = FAKE_HTTP_STAY;
	for (int i = 1; i <= 3; i++) {
		ck_assert_int_eq(fetch_now(url_of(&server, "/"), 1000, 0), FETCH_OK);
		ck_assert_int_eq(server.requests, i);
		ck_assert_int_eq(server.open, 0); /* it is closed afterwards */
	}
	end();
}
END_TEST

START_TEST(a_redirect_is_not_followed)
{
	begin("HTTP/1.0 302 Found\r\nLocation: /elsewhere\r\n\r\n");
	ck_assert_int_eq(fetch_now(url_of(&server, "/"), 1000, 0), FETCH_OK);
	ck_assert_int_eq(got.status, 302);
	ck_assert_int_eq(server.requests, 1);
	end();
}
END_TEST

START_TEST(a_body_may_be_as_long_as_the_limit_and_no_longer)
{
	begin("HTTP/1.0 200 OK\r\n\r\n0123456789");
	ck_assert_int_eq(fetch_now(url_of(&server, "/"), 1000, 10), FETCH_OK);
	has_body("0123456789");
	ck_assert_int_eq(fetch_now(url_of(&server, "/"), 1000, 9), FETCH_TOO_LARGE);
	ck_assert_str_eq(got_error, "the answer is too long");
	ck_assert_uint_eq(got_body.n, 0);
	buf_clear(&raw);
	buf_addf(&raw, "HTTP/1.0 200 OK\r\nContent-Length: 1000000000\r\n\r\n");
	ck_assert_int_eq(fetch_now(url_of(&server, "/"), 1000, 0), FETCH_TOO_LARGE);
	end();
}
END_TEST

START_TEST(headers_have_a_limit_too)
{
	begin("HTTP/1.0 200 OK\r\n");
	for (int i = 0; i < 5000; i++)
		buf_addf(&raw, "X-Header-%d: and so on and so forth\r\n", i);
	ck_assert_int_eq(fetch_now(url_of(&server, "/"), 1000, 0), FETCH_TOO_LARGE);
	end();
}
END_TEST

static void
send_now(const char *method, const char *body, const struct fetch_identity *identity)
{
	done = 0;
	fetch_begin(fetcher, &(struct fetch_request){ .url = url_of(&server, "/switchover"), .method = method,
	                                              .body = view_of_string(body), .identity = identity },
	            on_done, &done);
	ck_assert(turn_until(loop, is_done, 5 * SECOND_US));
	ck_assert_int_eq(got.outcome, FETCH_OK);
}

START_TEST(a_change_carries_its_method_and_its_body)
{
	begin("HTTP/1.0 200 OK\r\n\r\nSuccessfully switched over");
	send_now("POST", "{\"leader\": \"n1\"}", NULL);
	has_body("Successfully switched over");
	ck_assert_int_eq(strncmp(head_seen, "POST /switchover HTTP/1.0\r\n", 27), 0);
	ck_assert_ptr_nonnull(strstr(head_seen, "\r\nContent-Type: application/json\r\n"));
	ck_assert_ptr_nonnull(strstr(head_seen, "\r\nContent-Length: 16\r\n"));
	ck_assert_ptr_null(strstr(head_seen, "Expect"));
	ck_assert_ptr_null(strstr(head_seen, "Authorization"));
	send_now("PATCH", "{}", NULL);
	ck_assert_int_eq(strncmp(head_seen, "PATCH /switchover HTTP/1.0\r\n", 28), 0);
	send_now("POST", "", NULL); /* Patroni says 411 without a length */
	ck_assert_ptr_nonnull(strstr(head_seen, "\r\nContent-Length: 0\r\n"));
	end();
}
END_TEST

START_TEST(who_has_a_user_says_so)
{
	begin("HTTP/1.0 200 OK\r\n\r\n");
	send_now("POST", "{}", &(struct fetch_identity){ .user = "patroni", .password = "a:b c" });
	ck_assert_ptr_nonnull(strstr(head_seen, "\r\nAuthorization: Basic cGF0cm9uaTphOmIgYw==\r\n"));
	send_now("POST", "{}", &(struct fetch_identity){ .user = "", .password = "" });
	ck_assert_ptr_null(strstr(head_seen, "Authorization"));
	end();
}
END_TEST

START_TEST(a_closed_port_refuses)
{
	begin("");
	uint16_t port = server.port;
	fake_http_stop(&server);
	server.port = port;
	ck_assert_int_eq(fetch_now(url_of(&server, "/"), 1000, 0), FETCH_REFUSED);
	ck_assert_int_eq(got.status, 0);
	ck_assert_uint_lt(got.took_us, 500 * MILLISECOND_US);
	end();
}
END_TEST

START_TEST(an_unknown_name_counts_as_refused)
{
	begin("");
	ck_assert_int_eq(fetch_now("http://nobody.example/", 1000, 0), FETCH_REFUSED);
	end();
}
END_TEST

START_TEST(a_server_that_says_nothing_runs_into_the_timeout)
{
	begin("");
	next = FAKE_HTTP_STAY;
	ck_assert_int_eq(fetch_now(url_of(&server, "/"), 200, 0), FETCH_TIMEOUT);
	ck_assert_uint_ge(got.took_us, 190 * MILLISECOND_US);
	ck_assert_uint_lt(got.took_us, 700 * MILLISECOND_US);
	end();
}
END_TEST

START_TEST(half_an_answer_without_an_end_runs_into_the_timeout)
{
	begin("HTTP/1.0 200 OK\r\n\r\n{\"state\":");
	next = FAKE_HTTP_STAY;
	ck_assert_int_eq(fetch_now(url_of(&server, "/"), 200, 0), FETCH_TIMEOUT);
	ck_assert_uint_eq(got_body.n, 0);
	end();
}
END_TEST

START_TEST(a_slow_resolver_does_not_stop_the_loop)
{
	begin("HTTP/1.0 200 OK\r\n\r\n");
	uint64_t began_us = clock_exact_us();
	ck_assert_int_eq(fetch_now("http://slow.example/", 200, 0), FETCH_TIMEOUT);
	ck_assert_int_eq(fetch_now(url_of(&server, "/"), 1000, 0), FETCH_OK);
	ck_assert_uint_lt(clock_exact_us() - began_us, SECOND_US); /* the resolver's thread still sleeps */
	end();
}
END_TEST

START_TEST(what_is_not_http_fails)
{
	static const char *const answers[] = {
		"SSH-2.0-OpenSSH_9.2p1\r\n",
		"<html>HTTP/0.9</html>",
		"HTTP/1.0 abc\r\n\r\n",
		"", /* closed without a word */
		"HTTP/1.0 200 OK\r\nContent-Length: 100\r\n\r\nshort",
		"HTTP/1.0 200 OK\r\nContent-Len",
	};
	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		begin(answers[i]);
		ck_assert_msg(fetch_now(url_of(&server, "/"), 1000, 0) == FETCH_FAILED, "%zu: %d %s", i, got.outcome, got_error);
		end();
	}
}
END_TEST

START_TEST(only_http_urls_are_fetched)
{
	begin("");
	static const char *const urls[] = { "file:///etc/passwd", "ftp://127.0.0.1/", "", "no url", "http://", "gopher://127.0.0.1/" };
	for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
		fetch_now(urls[i], 1000, 0);
		ck_assert_msg(got.outcome == FETCH_FAILED || got.outcome == FETCH_REFUSED, "%s", urls[i]);
		ck_assert_uint_eq(got_body.n, 0);
	}
	end();
}
END_TEST

START_TEST(tls_to_a_server_without_tls_fails)
{
	begin("HTTP/1.0 400 Bad Request\r\n\r\n");
	char url[100];
	snprintf(url, sizeof(url), "https://127.0.0.1:%u/", server.port);
	enum fetch_outcome outcome = fetch_now(url, 300, 0);
	ck_assert(outcome == FETCH_FAILED || outcome == FETCH_TIMEOUT);
	end();
}
END_TEST

START_TEST(a_proxy_in_the_environment_is_ignored)
{
	begin("HTTP/1.0 200 OK\r\n\r\n");
	setenv("http_proxy", "http://127.0.0.1:1", 1);
	setenv("all_proxy", "http://127.0.0.1:1", 1);
	ck_assert_int_eq(fetch_now(url_of(&server, "/"), 1000, 0), FETCH_OK);
	ck_assert_int_eq(server.requests, 1);
	end();
}
END_TEST

static bool
has_one_come(void)
{
	return server.open == 1;
}

START_TEST(a_cancelled_request_is_never_told_of)
{
	begin("HTTP/1.0 200 OK\r\n\r\n");
	next = FAKE_HTTP_STAY;
	fetch_cancel(get(url_of(&server, "/"), 50, 0)); /* before anything happened */
	struct fetch *f = get(url_of(&server, "/"), 10000, 0);
	turn_until(loop, has_one_come, 10 * SECOND_US);
	ck_assert_int_eq(server.open, 1);
	fetch_cancel(f); /* in the middle */
	fetch_cancel(NULL);
	turn_until(loop, NULL, 100 * MILLISECOND_US);
	ck_assert_int_eq(done, 0);
	ck_assert_int_eq(server.open, 0);
	end();
}
END_TEST

static struct fetch *other;
static int chain;

static void
on_done_chain(const struct fetch_answer *answer, void *context)
{
	fetch_cancel(other);
	other = NULL;
	if (++chain < 5)
		fetch_begin(fetcher, &(struct fetch_request){ .url = url_of(&server, "/") }, on_done_chain, NULL);
}

static bool
is_chain_done(void)
{
	return chain == 5;
}

START_TEST(a_done_function_may_start_and_cancel_requests)
{
	begin("HTTP/1.0 200 OK\r\n\r\n");
	fetch_begin(fetcher, &(struct fetch_request){ .url = url_of(&server, "/") }, on_done_chain, NULL);
	other = get("http://127.0.0.1:1/", 1000, 0);
	fetch_cancel(other);
	other = get("http://slow.example/", 1000, 0);
	ck_assert(turn_until(loop, is_chain_done, 2 * SECOND_US));
	ck_assert_int_eq(done, 0);
	end();
}
END_TEST

static bool
have_all_come(void)
{
	return server.open == 20;
}

static bool
have_all_gone(void)
{
	return server.open == 0;
}

START_TEST(closing_the_fetcher_cancels_what_is_under_way)
{
	begin("");
	next = FAKE_HTTP_STAY;
	for (int i = 0; i < 20; i++)
		get(url_of(&server, "/"), 10000, 0);
	get("http://slow.example/", 10000, 0);
	turn_until(loop, have_all_come, 10 * SECOND_US);
	ck_assert_int_eq(server.open, 20);
	fetcher_close(fetcher);
	fetcher = NULL;
	turn_until(loop, have_all_gone, 10 * SECOND_US);
	ck_assert_int_eq(server.open, 0);
	ck_assert_int_eq(done, 0);
	end();
}
END_TEST

static bool
are_all_done(void)
{
	return done == 200;
}

START_TEST(many_requests_run_at_once)
{
	begin("HTTP/1.0 200 OK\r\n\r\nbody");
	for (int i = 0; i < 200; i++)
		get(url_of(&server, "/"), 3000, 0);
	ck_assert(turn_until(loop, are_all_done, 5 * SECOND_US));
	ck_assert_int_eq(got.outcome, FETCH_OK);
	ck_assert_int_gt(server.open_most, 20);
	end();
}
END_TEST

START_TEST(outcomes_have_names)
{
	for (int i = FETCH_OK; i <= FETCH_FAILED; i++)
		ck_assert_ptr_nonnull(fetch_outcome_name((enum fetch_outcome)i));
}
END_TEST

int
main(void)
{
	const TTest *const rules[] = {
		an_answer_without_a_length_ends_with_the_connection,
		the_date_is_read_if_it_is_one,
		a_request_is_plain_http_1_0,
		any_status_with_a_whole_answer_is_an_answer,
		each_request_has_a_connection_of_its_own,
		a_redirect_is_not_followed,
		a_body_may_be_as_long_as_the_limit_and_no_longer,
		headers_have_a_limit_too,
		a_change_carries_its_method_and_its_body,
		who_has_a_user_says_so,
		a_closed_port_refuses,
		an_unknown_name_counts_as_refused,
		a_server_that_says_nothing_runs_into_the_timeout,
		half_an_answer_without_an_end_runs_into_the_timeout,
		a_slow_resolver_does_not_stop_the_loop,
		what_is_not_http_fails,
		only_http_urls_are_fetched,
		tls_to_a_server_without_tls_fails,
		a_proxy_in_the_environment_is_ignored,
		a_cancelled_request_is_never_told_of,
		a_done_function_may_start_and_cancel_requests,
		closing_the_fetcher_cancels_what_is_under_way,
		many_requests_run_at_once,
		outcomes_have_names,
	};
	return suite_run("net/fetch", rules, sizeof(rules) / sizeof(rules[0]));
}
