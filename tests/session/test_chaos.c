/*
 * tests/session/test_chaos.c - clients, servers and time act at random, many thousand steps; nobody may read what is not his.
 *
 * The servers know just enough of PostgreSQL to answer: a statement "row MARK" gives a row with the mark, and so on. Every
 * client's marks begin with its own number, or with "all". Clients send in pieces, leave at any byte, stop reading; servers
 * refuse, die, stop in the middle of a message, and now and then say what nobody asked for. Some clients replicate: the
 * server that was opened for one hears of nobody else, and nobody else hears of it. Whatever dies when: no "put NUMBER" is
 * run twice, and nobody reads more ReadyForQuery than he has asked for. CHAOS_SEED and CHAOS_STEPS.
 */
#include <check.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/heap.h"
#include "base/log.h"
#include "fake/net.h"
#include "session/client.h"
#include "session/proxy.h"
#include "session/server.h"
#include "speak.h"
#include "wire/request.h"

enum { CLIENTS = 10, SERVERS = 10, NAMES = 24, PUTS = 1 << 16 };

struct person {
	struct wire *wire;
	struct buf says;       /* not delivered yet */
	unsigned number;       /* of a client: in its marks */
	unsigned asked, answered; /* of a client: what a ReadyForQuery answers; those */
	unsigned owner;        /* of a server that replicates: the number of the client that it was opened for */
	bool is_replicating, is_both; /* of a client; of a server: in a CopyBoth */
	bool is_standby;       /* of a server: has said so */
	bool is_in, is_first, is_skipping, is_in_copy, is_simple_copy;
	char status;           /* of a server: I, T, E */
	char names[NAMES][40], texts[NAMES][80]; /* of a server: its statements */
	char portal[80];       /* text of what is bound */
	uint32_t pid;
	uint8_t key[64];
	size_t key_bytes;
};

/* Works outside of Check as well, with CHAOS_SEED. */
#define expect(condition, ...)                                                                                         \
	do {                                                                                                            \
		if (!(condition)) {                                                                                      \
			fflush(stdout);                                                                                  \
			fprintf(stderr, "seed %lu: ", (unsigned long)playing);                                           \
			fprintf(stderr, __VA_ARGS__);                                                                    \
			fprintf(stderr, "\n");                                                                           \
			abort();                                                                                         \
		}                                                                                                        \
	} while (0)

static struct person clients[CLIENTS], servers[SERVERS];
static struct proxy *x;
static uint64_t seed, playing;
static unsigned numbers, puts_asked, kept_alive;
static uint8_t puts_run[PUTS];
static bool is_cluster;
static uint16_t leader_port;

static unsigned
below(unsigned n)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(seed >> 33) % n;
}

/* With CHAOS_TRACE: who says what. Servers are told by the number of their wire. */
static void
trace(const struct person *p, bool is_server, const char *verb, const char *what)
{
	static int is_wanted = -1;
	if (is_wanted < 0)
		is_wanted = getenv("CHAOS_TRACE") != NULL;
	if (is_wanted)
		printf("%c%d %s %s\n", is_server ? 's' : 'c', is_server ? p->wire->fd : (int)p->number, verb, what);
}

static void
say(struct person *p, bool is_server, const char *format, ...)
{
	char line[400];
	va_list args;
	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	trace(p, is_server, "says", line);
	struct words w;
	const char *at = line;
	while (words_next(&at, &w)) {
		expect(speak(&p->says, &w, is_server), "%s", line);
		p->asked += strcmp(w.at[0], "Sync") == 0 || strcmp(w.at[0], "Query") == 0;
	}
}

/* ---- servers ---- */

static char *
text_of(struct person *s, const char *name, bool is_new)
{
	for (int i = 0; i < NAMES; i++)
		if (s->texts[i][0] && strcmp(s->names[i], name) == 0)
			return s->texts[i];
	for (int i = 0; i < NAMES && is_new; i++)
		if (s->texts[i][0] == '\0') {
			snprintf(s->names[i], sizeof(s->names[i]), "%.39s", name);
			return s->texts[i];
		}
	return NULL;
}

/* PostgreSQL tells that it was promoted in front of a ReadyForQuery. */
static void
server_is_ready(struct person *s)
{
	bool is_standby = is_cluster && s->wire->port != leader_port;
	if (is_cluster && s->is_standby != is_standby)
		say(s, true, "ParameterStatus in_hot_standby %s", is_standby ? "on" : "off");
	s->is_standby = is_standby;
	say(s, true, "ReadyForQuery %c", s->status);
}

static void
server_error(struct person *s, const char *state, const char *text, bool is_simple)
{
	say(s, true, "ErrorResponse ERROR %s \"%s\"", state, text);
	if (s->status == 'T')
		s->status = 'E';
	if (is_simple)
		server_is_ready(s);
	else
		s->is_skipping = true;
}

/* Run a text; the end of it is up to the caller. False: it failed, or waits for data. */
static bool
server_run(struct person *s, const char *text, bool is_simple)
{
	bool ends = strstr(text, "ROLLBACK") || strstr(text, "commit");
	if (s->status == 'E' && !ends) {
		server_error(s, "25P02", "current transaction is aborted", is_simple);
	} else if (ends) {
		s->status = 'I';
		say(s, true, "CommandComplete ROLLBACK");
		return true;
	} else if (strstr(text, "error")) {
		server_error(s, "22012", "division by zero", is_simple);
	} else if (strstr(text, "begin")) {
		s->status = 'T';
		say(s, true, "CommandComplete BEGIN");
		return true;
	} else if (strstr(text, "copyin")) {
		say(s, true, "CopyInResponse");
		s->is_in_copy = true;
		s->is_simple_copy = is_simple;
	} else if (strstr(text, "deallocate all") || strstr(text, "DISCARD ALL")) {
		memset(s->texts, 0, sizeof(s->texts));
		say(s, true, "CommandComplete \"%s\"", strstr(text, "DISCARD") ? "DISCARD ALL" : "DEALLOCATE ALL");
		return true;
	} else if (strncmp(text, "put ", 4) == 0) {
		unsigned put = (unsigned)atoi(text + 4);
		expect(puts_run[put % PUTS]++ == 0, "%s is run twice", text);
		say(s, true, "CommandComplete \"INSERT 0 1\"");
		return true;
	} else if (strncmp(text, "row ", 4) == 0) {
		say(s, true, "DataRow %s | CommandComplete \"SELECT 1\"", text + 4);
		return true;
	} else {
		say(s, true, "CommandComplete SET");
		return true;
	}
	return false;
}

static void
server_copy(struct person *s, const struct words *w)
{
	if (strcmp(w->at[0], "CopyDone") == 0) {
		s->is_in_copy = false;
		say(s, true, "CommandComplete \"COPY 1\"");
		if (s->is_simple_copy)
			server_is_ready(s);
	} else if (strcmp(w->at[0], "CopyData") != 0 && strcmp(w->at[0], "Sync") != 0 && strcmp(w->at[0], "Flush") != 0) {
		s->is_in_copy = false;
		server_error(s, "57014", "COPY failed", s->is_simple_copy);
	}
}

/* Its client's number by its application_name, if it is to replicate. */
static unsigned
owner_of(const struct words *w)
{
	bool replicates = false;
	unsigned owner = 0;
	for (int i = 1; i < w->n; i++) {
		replicates |= strcmp(w->at[i], "replication=database") == 0;
		sscanf(w->at[i], "application_name=c%u", &owner);
	}
	expect(!replicates || owner > 0, "a server is to replicate for nobody");
	return replicates ? owner : 0;
}

/* What one client alone may say, to this server alone. */
static void
check_owner(const struct person *s, const struct words *w)
{
	unsigned number = 0;
	bool is_marked = sscanf(w->at[1], "row c%u", &number) == 1 || sscanf(w->at[1], "c%u", &number) == 1;
	if (s->owner)
		expect(!is_marked || number == s->owner, "the server of c%u has heard %s", s->owner, w->at[1]);
	else
		expect(strcmp(w->at[1], "replicate") != 0, "an ordinary server is asked to replicate");
}

static bool
server_replicates(struct person *s, const struct words *w)
{
	if (!s->is_both && strcmp(w->at[0], "Query") == 0 && strcmp(w->at[1], "replicate") == 0) {
		s->is_both = true;
		say(s, true, "CopyBothResponse");
		return true;
	}
	if (s->is_both && strcmp(w->at[0], "CopyDone") == 0) {
		s->is_both = false;
		say(s, true, "CopyDone | CommandComplete \"START_STREAMING\"");
		server_is_ready(s);
	}
	return s->is_both || strcmp(w->at[0], "CopyDone") == 0;
}

static void
server_hears(struct person *s, const struct words *w)
{
	const char *what = w->at[0];
	char *text;
	if (strcmp(what, "Query") == 0 || strcmp(what, "CopyData") == 0)
		check_owner(s, w);
	if (strcmp(what, "StartupMessage") == 0) {
		s->owner = owner_of(w);
		if (s->owner && below(20) == 0) {
			say(s, true, "ErrorResponse FATAL 53300 \"too many walsenders, c%u\"", s->owner);
			return;
		}
		say(s, true, "Authentication 0 | ParameterStatus server_version 16.1 | ParameterStatus application_name \"\" | "
		             "BackendKeyData %u keyy", (unsigned)s->wire->fd);
		s->is_standby = s->wire->port == leader_port; /* so that it tells */
		server_is_ready(s);
	} else if (strcmp(what, "CancelRequest") == 0 || strcmp(what, "Terminate") == 0) {
		fake_end(s->wire);
	} else if (s->owner && server_replicates(s, w)) {
		return;
	} else if (s->is_in_copy) {
		server_copy(s, w);
	} else if (strcmp(what, "Sync") == 0) {
		s->is_skipping = false;
		server_is_ready(s);
	} else if (s->is_skipping || strncmp(what, "Copy", 4) == 0 || strcmp(what, "Flush") == 0) {
		return;
	} else if (strcmp(what, "Query") == 0) {
		if (server_run(s, w->at[1], true))
			server_is_ready(s);
	} else if (strcmp(what, "Parse") == 0) {
		text = text_of(s, w->at[1], true);
		if (s->status == 'E' && !strstr(w->at[2], "ROLLBACK"))
			server_error(s, "25P02", "current transaction is aborted", false);
		else if (strstr(w->at[2], "bad"))
			server_error(s, "42601", "syntax error", false);
		else if (w->at[1][0] && text && text[0])
			server_error(s, "42P05", "prepared statement already exists", false);
		else if (text == NULL)
			server_error(s, "53000", "too many", false);
		else {
			snprintf(text, 80, "%.79s", w->at[2]);
			say(s, true, "ParseComplete");
		}
	} else if (strcmp(what, "Bind") == 0) {
		text = text_of(s, w->at[2], false);
		if (text == NULL || !text[0])
			server_error(s, "26000", "prepared statement does not exist", false);
		else {
			snprintf(s->portal, sizeof(s->portal), "%s", text);
			say(s, true, "BindComplete");
		}
	} else if (strcmp(what, "Describe") == 0) {
		say(s, true, "NoData");
	} else if (strcmp(what, "Execute") == 0) {
		server_run(s, s->portal, false);
	} else if (strcmp(what, "Close") == 0) {
		text = text_of(s, w->at[2], false);
		if (text && w->at[1][0] == 'S')
			text[0] = '\0';
		say(s, true, "CloseComplete");
	}
}

static void
server_acts(struct person *s)
{
	struct words w;
	size_t size;
	char line[400];
	unsigned dice = below(1000);
	if (s->wire->is_connecting) {
		if (dice < 900)
			fake_connected(s->wire);
		else
			fake_refused(s->wire);
		return;
	}
	if (dice < 10) {
		fake_end(s->wire);
	} else if (dice < 13) {
		say(s, true, "NoticeResponse NOTICE 00000 \"something that is of no interest\"");
	} else if (dice < 15) {
		static const char *const odd[] = { "ReadyForQuery I", "DataRow foreign", "ParseComplete", "CopyInResponse",
			"ErrorResponse FATAL 57P01 bye", "ErrorResponse ERROR XX000 out", "raw 00", "CommandComplete X" };
		say(s, true, "%s", odd[below(8)]);
	}
	for (unsigned more = below(8); more > 0 && !s->wire->has_ended; more--)
		if (hear(buf_view(&s->wire->out), false, s->is_first, &w, &size) == HEARD) {
			buf_drop_front(&s->wire->out, size);
			s->is_first = strcmp(w.at[0], "SSLRequest") == 0;
			words_join(&w, line, sizeof(line));
			trace(s, true, "hears", line);
			server_hears(s, &w);
		}
	if (s->is_both && below(2))
		say(s, true, "CopyData c%u", s->owner);
	if (s->says.n > 0) {
		size_t n = below(3) ? s->says.n : 1 + below((unsigned)s->says.n);
		struct buf piece = { 0 };
		buf_add(&piece, view_part(buf_view(&s->says), 0, n));
		buf_drop_front(&s->says, n);
		fake_deliver(s->wire, buf_view(&piece));
		buf_free(&piece);
	}
}

/* ---- clients ---- */

static void
client_comes(struct person *c)
{
	buf_free(&c->says);
	*c = (struct person){ .wire = fake_accept_begin(), .number = ++numbers };
	proxy_accept(x, c->wire->fd, false, false, below(3) ? LANE_WRITE : LANE_READ);
	c->is_replicating = below(10) == 0;
	const char *user = below(4) ? "app" : "other";
	if (c->is_replicating)
		say(c, false, "StartupMessage user=%s database=app replication=database application_name=c%u", user, c->number);
	else
		say(c, false, "StartupMessage user=%s database=app%s", user, below(3) ? "" : " search_path=x");
}

static void
client_replicates(struct person *c)
{
	switch (below(9)) {
	case 0: say(c, false, "Query replicate"); break;
	case 1: say(c, false, "CopyDone"); break;
	case 2: say(c, false, "Query \"row c%u\"", c->number); break;
	case 3: say(c, false, below(3) ? "Sync" : "Terminate"); break;
	case 4: say(c, false, below(10) ? "Flush" : "raw 00"); break;
	default: say(c, false, "CopyData c%u", c->number); break;
	}
}

/* One request or several; marks of its own, statements under few names, whose texts everybody may use. */
static void
client_asks(struct person *c)
{
	unsigned n = c->number;
	for (unsigned more = 1 + below(3); more > 0; more--)
		switch (below(18)) {
		case 16: say(c, false, "Query \"put %u\"", ++puts_asked % PUTS); break;
		case 17:
			++puts_asked;
			say(c, false, "Parse p%u \"put %u\" | Bind \"\" p%u | Execute | Close S p%u | Sync", puts_asked, puts_asked % PUTS,
			    puts_asked, puts_asked);
			break;
		case 0: say(c, false, "Query \"row c%u\"", n); break;
		case 1: say(c, false, "Query begin"); break;
		case 2: say(c, false, "Query commit"); break;
		case 3: say(c, false, "Query error"); break;
		case 4: say(c, false, "Parse \"\" \"row c%u\" | Bind | Execute | Sync", n); break;
		case 5: say(c, false, "Parse \"\" bad | Bind | Execute | Sync"); break;
		case 6: say(c, false, "Parse s%u \"row all%u\"", below(3), below(5)); break;
		case 7: say(c, false, "Bind \"\" s%u | Describe S s%u | Execute", below(3), below(3)); break;
		case 8: say(c, false, "Close S s%u", below(3)); break;
		case 9: say(c, false, "Sync"); break;
		case 10: say(c, false, "Bind | Execute | Sync"); break;
		case 11: say(c, false, "Query copyin | CopyData c%u | %s", n, below(2) ? "CopyDone" : "CopyFail no"); break;
		case 12: say(c, false, "Parse \"\" copyin | Bind | Execute | Sync | CopyData c%u | CopyDone | Sync", n); break;
		case 13: say(c, false, "Query \"%s\"", below(2) ? "deallocate all" : "DISCARD ALL"); break;
		case 14: say(c, false, "Parse s%u bad | Sync | Close S s%u | Flush", below(3), below(3)); break;
		default: say(c, false, below(30) ? "Parse s%u \"row c%u\" | Bind \"\" s%u | Execute | Sync" : "Terminate", 2, n, 2);
		}
}

static void
client_hears(struct person *c)
{
	struct words w;
	size_t size;
	char mark[20];
	snprintf(mark, sizeof(mark), "c%u", c->number);
	for (;;) {
		enum heard heard = hear(buf_view(&c->wire->out), true, false, &w, &size);
		expect(heard != HEARD_NONSENSE, "c%u has got bytes that are no message", c->number);
		if (heard == HEARD_HALF)
			return;
		if (strcmp(w.at[0], "CopyData") == 0)
			expect(strcmp(w.at[1], mark) == 0, "c%u has got the log of %s", c->number, w.at[1]);
		if (strcmp(w.at[0], "ErrorResponse") == 0 && strncmp(w.at[3], "too many walsenders", 19) == 0)
			expect(strcmp(strrchr(w.at[3], 'c'), mark) == 0, "c%u was told: %s", c->number, w.at[3]);
		if (strcmp(w.at[0], "DataRow") == 0 && strcmp(w.at[1], "foreign") != 0)
			expect(strcmp(w.at[1], mark) == 0 || strncmp(w.at[1], "all", 3) == 0, "c%u has got the row of %s",
			              c->number, w.at[1]);
		if (strcmp(w.at[0], "ReadyForQuery") == 0)
			expect(c->is_replicating || c->answered++ <= c->asked, "c%u is ready more often than asked", c->number);
		if (strcmp(w.at[0], "ErrorResponse") == 0 && strcmp(w.at[1], "ERROR") == 0)
			kept_alive += strcmp(w.at[2], "40001") == 0 || strcmp(w.at[2], "08007") == 0;
		if (strcmp(w.at[0], "BackendKeyData") == 0) {
			c->pid = (uint32_t)strtoul(w.at[1], NULL, 10);
			c->key_bytes = size - 9;
			memcpy(c->key, c->wire->out.p + 9, c->key_bytes);
			c->is_in = true;
		}
		buf_drop_front(&c->wire->out, size);
	}
}

static void
client_cancels(const struct person *c)
{
	struct buf b = { 0 };
	struct wire *w = fake_accept_begin();
	request_cancel(&b, c->pid, view_of(c->key, c->key_bytes));
	proxy_accept(x, w->fd, false, false, LANE_WRITE);
	fake_deliver(w, buf_view(&b));
	if (below(3) == 0)
		fake_end(w);
	buf_free(&b);
}

static void
client_acts(struct person *c)
{
	unsigned dice = below(1000);
	if (c->wire == NULL || c->wire->is_closed) {
		if (c->wire)
			client_hears(c);
		client_comes(c);
		return;
	}
	if (dice < 6)
		fake_end(c->wire);
	else if (dice < 12)
		c->wire->is_full = true;
	else if (dice < 60)
		fake_drain(c->wire);
	else if (dice < 65 && c->is_in)
		client_cancels(c);
	else if (dice < 300 && c->is_in && c->says.n < 2000) {
		if (c->is_replicating)
			client_replicates(c);
		else
			client_asks(c);
	}
	if (c->says.n > 0 && !c->wire->has_ended) {
		size_t n = below(3) ? c->says.n : 1 + below((unsigned)c->says.n);
		struct buf piece = { 0 };
		buf_add(&piece, view_part(buf_view(&c->says), 0, n));
		buf_drop_front(&c->says, n);
		fake_deliver(c->wire, buf_view(&piece));
		buf_free(&piece);
	}
	client_hears(c);
}

/* ---- all of it ---- */

static void
admin_acts(void)
{
	if (below(4) == 0)
		leader_port = (uint16_t)(7001 + below(2));
	switch (below(40)) {
	case 0: proxy_pause(x, NULL); break;
	case 1: proxy_reconnect(x, NULL); break;
	case 2: proxy_pause(x, x->databases); break;
	case 3: if (x->databases) proxy_kill(x, x->databases); break;
	case 4: if (x->state == PROXY_RUNNING) proxy_suspend(x, 0); break;
	default: proxy_resume(x, NULL); if (x->databases) proxy_resume(x, x->databases); break;
	}
}

static void
step(void)
{
	unsigned dice = below(100);
	if (dice < 45) {
		client_acts(&clients[below(CLIENTS)]);
	} else if (dice < 94) {
		struct person *s = &servers[below(SERVERS)];
		if (s->wire == NULL || s->wire->is_closed || s->wire->has_ended) {
			struct wire *called = fake_next_connect();
			if (called == NULL)
				return;
			buf_free(&s->says);
			*s = (struct person){ .wire = called, .is_first = true, .status = 'I' };
		}
		server_acts(s);
	} else if (dice < 98) {
		fake_advance(x->loop, below(50) ? below(100000) : below(20000000));
	} else if (below(5) == 0) {
		admin_acts();
	}
	fake_turn(x->loop);
}

static void
play(uint64_t with_seed, unsigned steps)
{
	static const char *const modes[] = { "transaction", "session", "transaction", "statement" };
	static char *environment[] = { NULL };
	char text[800];
	seed = playing = with_seed;
	numbers = puts_asked = kept_alive = 0;
	memset(puts_run, 0, sizeof(puts_run));
	clock_set(1000 * SECOND_US);
	is_cluster = with_seed % 3 == 0;
	leader_port = 7001;
	snprintf(text, sizeof(text), "%s[pgsluice]\nauth_type = trust\nauth_users = \"app\" \"\"; \"other\" \"\"\nhttp_port = 0\n"
	         "server_tls_sslmode = disable\ndefault_pool_size = %u\nmax_prepared_statements = %u\npool_mode = %s\n"
	         "server_login_retry = 1\nquery_timeout = 30\nserver_check_delay = 5\nmax_db_connections = %u\n"
	         "cancel_wait_timeout = 10\n",
	         is_cluster ? "[clusters]\nmain = hosts=127.0.0.1:7001,127.0.0.1:7002\n[databases]\napp = cluster=main\n"
	                    : "[databases]\napp = host=127.0.0.1 port=7001\n", 1 + below(4), 1 + below(3), modes[with_seed % 4], below(3) ? 0 : 3);
	struct config_errors errors = { 0 };
	struct config *config = config_load_bytes("chaos", view_of_string(text), environment, &errors);
	expect(config != NULL, "%s", config ? "" : errors.lines[0]);
	char reason[300] = "";
	struct text why = TEXT_IN(reason);
	x = proxy_new(config, environment, &why);
	expect(x != NULL, "%s", reason);
	for (unsigned i = 0; i < steps && fake_has_room(); i++)
		step();
	if (getenv("CHAOS_SEED") && x->databases)
		printf("%lu transactions, %lu clients, %lu servers, %lu violations by servers, %lu cancels, %u puts, %u told of a loss\n",
		       (unsigned long)x->databases->stats.transactions, (unsigned long)x->counters.clients_accepted,
		       (unsigned long)x->counters.servers_opened, (unsigned long)x->counters.server_errors,
		       (unsigned long)x->counters.cancels_forwarded, puts_asked, kept_alive);
	proxy_free(x);
	for (int i = 0; i < CLIENTS; i++)
		buf_free(&clients[i].says);
	for (int i = 0; i < SERVERS; i++)
		buf_free(&servers[i].says);
	memset(clients, 0, sizeof(clients));
	memset(servers, 0, sizeof(servers));
	fake_reset();
}

static unsigned first_seed = 1, steps = 10000;

START_TEST(nobody_reads_what_is_not_his_and_nothing_breaks)
{
	for (unsigned i = 0; i < 10; i++) {
		play(first_seed + (unsigned)_i * 10 + i, steps);
	}
}
END_TEST

int
main(void)
{
	log_level_now = getenv("SCENARIO_DEBUG") ? LOG_LEVEL_DEBUG : LOG_LEVEL_FATAL;
	if (getenv("CHAOS_SEED")) {
		first_seed = (unsigned)atoi(getenv("CHAOS_SEED"));
		play(first_seed, getenv("CHAOS_STEPS") ? (unsigned)atoi(getenv("CHAOS_STEPS")) : steps);
		return 0;
	}
	Suite *suite = suite_create("session/chaos");
	TCase *all = tcase_create("chaos");
	tcase_set_timeout(all, 60);
	tcase_add_loop_test(all, nobody_reads_what_is_not_his_and_nothing_breaks, 0, 8);
	suite_add_tcase(suite, all);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
