/*
 * tests/session/test_witnesses.c - a failover from n1 to n2 under a client that writes all the time, with its witnesses in every order:
 * which server each write reaches, and when. The servers and Patronis are played; all of it is the session layer's and the polls' doing.
 *
 * A write reaches n2 only when its Patroni and its own session have both spoken, and in the very step in which the second has; n1 never
 * once n2 is known to lead, nor after a sign that its Patroni was not asked about.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "fake/net.h"
#include "patronis.h"
#include "session/hold.h"
#include "session/proxy.h"
#include "speak.h"

enum step {
	ENDS_ONE_SESSION, /* of n1's, by 57P01 */
	IS_STOPPING,
	HAS_LET_GO,
	SPEAKS_LATE,
	IS_PRIMARY,       /* n2's Patroni */
	TAKES_WRITES,     /* n2's server */
	STEPS
};

enum { SERVERS_MAX = 200, STEP_MS = 60, FAST_MS = 60, SLOW_MS = 1010 };

static struct play {
	struct proxy *proxy;
	struct wire *client, *server[SERVERS_MAX];
	bool is_first[SERVERS_MAX];
	int count;
	struct wire *killed;       /* ends with the first step */
	bool n2_claims, n2_writes, was_told[SERVERS_MAX];
	unsigned writes[3];        /* by member, in this step */
	unsigned asked, answered;  /* by the client; of it */
} p;

static char path[80], order_text[200];

static void
deliver(struct wire *w, const char *line)
{
	struct words words;
	struct buf b = { 0 };
	while (words_next(&line, &words))
		ck_assert(speak(&b, &words, w->is_ours));
	fake_deliver(w, buf_view(&b));
	buf_free(&b);
}

static void
write_again(void)
{
	deliver(p.client, "Query \"update t set n = 1\"");
	p.asked++;
}

static const char *
role_of(const struct wire *w)
{
	return w->port == 7001 || p.n2_writes ? "off" : "on";
}

static void
answer_query(int i)
{
	struct wire *w = p.server[i];
	p.writes[w->port - 7000]++;
	ck_assert_msg(w->port == 7001 || (p.n2_claims && p.n2_writes), "%s: a write reaches n2 too early", order_text);
	deliver(w, "CommandComplete \"UPDATE 1\" | ReadyForQuery I");
}

/* One message to a server. False: there is none. */
static bool
serve(int i)
{
	struct wire *w = p.server[i];
	struct words heard;
	size_t size;
	char line[200];
	if (w->is_closed || w->stream == NULL || hear(buf_view(&w->out), false, p.is_first[i], &heard, &size) != HEARD)
		return false;
	buf_drop_front(&w->out, size);
	if (p.is_first[i]) {
		snprintf(line, sizeof(line), "Authentication 0 | ParameterStatus in_hot_standby %s | BackendKeyData %d keyy | ReadyForQuery I",
		         role_of(w), 100 + i);
		p.was_told[i] = strcmp(role_of(w), "off") == 0;
		deliver(w, line);
	} else if (strcmp(heard.at[0], "Query") == 0) {
		answer_query(i);
	} else if (strcmp(heard.at[0], "Sync") == 0) {
		bool is_news = !p.was_told[i] && strcmp(role_of(w), "off") == 0;
		deliver(w, is_news ? "ParameterStatus in_hot_standby off | ReadyForQuery I" : "ReadyForQuery I");
		p.was_told[i] |= is_news;
	}
	p.is_first[i] = false;
	return true;
}

/* The client goes on as soon as it has its answer, a few times in each step. */
static bool
go_on(void)
{
	struct words heard;
	size_t size;
	if (p.client == NULL || hear(buf_view(&p.client->out), true, false, &heard, &size) != HEARD)
		return false;
	buf_drop_front(&p.client->out, size);
	ck_assert_msg(strcmp(heard.at[0], "ErrorResponse") != 0, "%s: the client reads %s %s", order_text, heard.at[2], heard.at[3]);
	p.answered += strcmp(heard.at[0], "ReadyForQuery") == 0;
	return true;
}

static bool
on_turn(void)
{
	bool did = patronis_on_turn() || go_on();
	struct wire *called = fake_next_connect();
	if (called) {
		ck_assert_int_lt(p.count, SERVERS_MAX);
		p.server[p.count] = called;
		p.is_first[p.count++] = true;
		fake_connected(called);
		return true;
	}
	for (int i = 0; i < p.count && !did; i++)
		did = serve(i);
	return did;
}

static void
patroni(const char *line)
{
	struct words w;
	ck_assert(words_next(&line, &w) && patronis_act(&w));
}

static void
pass(unsigned ms)
{
	for (unsigned i = 0; i < ms; i += 10) {
		if (p.client && p.asked == p.answered)
			write_again();
		fake_advance(p.proxy->loop, 10 * MILLISECOND_US);
	}
}

static struct wire *
log_in(enum lane lane)
{
	struct wire *w = fake_accept_begin();
	proxy_accept(p.proxy, w->fd, false, false, lane);
	deliver(w, "StartupMessage user=app database=app");
	return w;
}

static void
begin(void)
{
	static char *environment[] = { NULL };
	p = (struct play){ 0 };
	clock_set(1000 * SECOND_US);
	patronis_reset();
	fake_on_turn = on_turn;
	patroni("patroni n1 200 primary running 1");
	patroni("patroni n2 503 replica running 1");
	struct config_errors errors = { 0 };
	struct config *config = config_load(path, environment, &errors);
	ck_assert_msg(config != NULL, "%s", errors.count ? errors.lines[0] : "");
	char reason[300] = "";
	struct text why = TEXT_IN(reason);
	p.proxy = proxy_new(config, environment, &why);
	ck_assert_msg(p.proxy != NULL, "%s", reason);
	pass(50);
	log_in(LANE_READ);               /* a standing session on n2, which will say that it was promoted */
	struct wire *writer = log_in(LANE_WRITE);
	pass(50);
	buf_clear(&writer->out);
	p.client = writer;
	pass(50);
	ck_assert_uint_gt(p.writes[1], 0);
	for (int i = 0; i < p.count; i++)
		if (p.server[i]->port == 7001)
			p.killed = p.server[i];
	/* One that is not idle just then would end a statement: what becomes of that is not what is asked here. */
	ck_assert_uint_eq(p.asked, p.answered);
	pass(1000);
}

static void
end(void)
{
	proxy_free(p.proxy);
	fake_reset();
}

static const struct hold *
hold(void)
{
	return node_owner(list_first(&p.proxy->loads), struct cluster_load, node)->hold;
}

static void
take(enum step step)
{
	switch (step) {
	case ENDS_ONE_SESSION:
		if (p.killed->stream && !p.killed->is_closed) {
			deliver(p.killed, "ErrorResponse FATAL 57P01 \"terminating connection due to administrator command\"");
			fake_end(p.killed);
		}
		break;
	case IS_STOPPING: patroni("patroni n1 200 primary stopping 1"); break;
	case HAS_LET_GO: patroni("patroni n1 503 demoted stopped 1 unlocked"); break;
	case SPEAKS_LATE: patroni("patroni n1 200 primary running 1"); break;
	case IS_PRIMARY: patroni("patroni n2 200 primary running 2"); break;
	case TAKES_WRITES: p.n2_writes = true; break;
	case STEPS: break;
	}
}

static void
play(const enum step *order)
{
	static const char *const names[] = { "57P01", "stopping", "let go", "late", "primary", "writable" };
	bool n1_claims = true;
	begin();
	order_text[0] = '\0';
	for (int i = 0; i < STEPS; i++) {
		snprintf(order_text + strlen(order_text), sizeof(order_text) - strlen(order_text), "%s%s", i ? ", " : "", names[order[i]]);
		bool was_holding = hold_since_us(hold()->load) != 0;
		take(order[i]);
		n1_claims = order[i] == SPEAKS_LATE || (n1_claims && order[i] != IS_STOPPING && order[i] != HAS_LET_GO);
		p.n2_claims |= order[i] == IS_PRIMARY;
		/* In good times Patroni is asked once a second. As soon as somebody waits, nobody has to for longer than a fast poll. */
		pass(was_holding ? FAST_MS : SLOW_MS);
		memset(p.writes, 0, sizeof(p.writes));
		pass(STEP_MS);
		if (p.n2_claims || !n1_claims)
			ck_assert_msg(p.writes[1] == 0, "%s: a write reaches n1", order_text);
		else
			ck_assert_msg(p.writes[1] > 0, "%s: nobody writes to n1", order_text);
		bool both = p.n2_claims && p.n2_writes;
		ck_assert_msg((p.writes[2] > 0) == both, "%s: %u writes reach n2", order_text, p.writes[2]);
	}
	ck_assert_msg(hold()->state == HOLD_STEADY && p.proxy->failovers->ended > 0, "%s: it is %s in the end", order_text,
	              hold_meaning(hold()->state)->name);
	end();
}

static int
play_all(enum step *order, int from)
{
	int played = from == STEPS;
	if (from == STEPS)
		play(order);
	for (int i = from; i < STEPS; i++) {
		enum step with = order[i];
		order[i] = order[from];
		order[from] = with;
		played += play_all(order, from + 1);
		order[from] = order[i];
		order[i] = with;
	}
	return played;
}

START_TEST(writes_go_where_both_witnesses_agree_in_every_order)
{
	enum step order[STEPS];
	order[0] = (enum step)_i;
	for (int i = 0, at = 1; i < STEPS; i++)
		if (i != _i)
			order[at++] = (enum step)i;
	ck_assert_int_eq(play_all(order, 1), 120);
}
END_TEST

int
main(void)
{
	log_level_now = getenv("SCENARIO_DEBUG") ? LOG_LEVEL_DEBUG : LOG_LEVEL_FATAL;
	snprintf(path, sizeof(path), "/tmp/pgsluice-witnesses-%d.ini", (int)getpid());
	FILE *f = fopen(path, "w");
	if (f == NULL)
		return 1;
	fprintf(f, "[clusters]\nmain = patroni=http://127.0.0.1:8001\n[databases]\napp = cluster=main\n[pgsluice]\nsession_tracking = names\n"
	           "server_tls_sslmode = disable\n"
	           "http_port = 0\nauth_type = trust\nauth_users = \"app\" \"\"\nlisten_addr = 127.0.0.1\nlisten_port = 6432\nread_port = 6433\n");
	fclose(f);
	Suite *suite = suite_create("session/witnesses");
	TCase *all = tcase_create("orders");
	tcase_set_timeout(all, 120);
	tcase_add_loop_test(all, writes_go_where_both_witnesses_agree_in_every_order, 0, STEPS);
	suite_add_tcase(suite, all);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	unlink(path);
	return failed == 0 ? 0 : 1;
}
