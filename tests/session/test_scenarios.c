/*
 * tests/session/test_scenarios.c - plays scenarios/ *.scenario: clients, servers and time act, the proxy must answer.
 *
 * One line, one act; after it a turn of the loop. Clients are c1, c2 ..., servers s1, s2 ... in the order in which the
 * proxy calls them (a cancel request is a call, too).
 *	config NAME = VALUE        before the first act, and before `reload`; also: database, cluster, user, peer LINE
 *	rule LINE, map LINE        of auth_hba_file and auth_ident_file, which are set then
 *	start c1 s1                c1 logs in through s1, which is new
 *	c1 logs in [read] [NAME=VALUE ...]     connects and sends its startup packet; user=app database=app
 *	                           from=ADDRESS, tls, cn=NAME, dn=NAME (its certificate), unix, uid=NUMBER (of its process)
 *	c1 is in                   has read everything up to its first ReadyForQuery
 *	s1 is called [PORT]        the proxy has called; then: s1 accepts | s1 refuses | s1 logs in [NAME=VALUE ...]
 *	c1 > MESSAGE | MESSAGE     sends, in one piece. `half MESSAGE` only the first half of it, `> rest` the other
 *	c1 >> MESSAGE | MESSAGE    the same, in one piece also where every byte arrives alone
 *	c1 < MESSAGE | MESSAGE     has got, in this order; words left out are not compared
 *	c1 closes; c1 closed; c1 stops reading; c1 reads again
 *	c1 cancels c2 [wrong]      a CancelRequest on a new connection c1, with the key of c2
 *	c1 asks to cancel PID KEY  the same with any process id, and a key in hexadecimal
 *	c1 state idle              as SHOW CLIENTS and the debug log name it
 *	time +5s | +100ms
 *	pause, suspend, resume, reconnect, kill, stop, stop clients, stop servers, reload, reload fails WORDS; idle servers N; still, still no
 *	patroni n1 200 primary running 1   what a Patroni says from now on: see patronis.h; it is heard at once
 *	hold suspected             the state of the cluster's writes; failovers N [HOW]: so many have ended; sign TEXT; false alarms N; close, reopen, ask +5s, release
 *	question app [PORT]        the oldest question of auth_query is about this user, on the member of that port; `question none`
 *	answer app SECRET | nobody | error | gone | slow | refused
 * At the end nobody may have unread messages. Each scenario is played twice: as written, and with every byte arriving alone.
 */
#include <check.h>
#include <dirent.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "fake/net.h"
#include "patronis.h"
#include "session/client.h"
#include "session/hold.h"
#include "session/proxy.h"
#include "session/server.h"
#include "speak.h"
#include "wire/request.h"

enum { ACTORS_MAX = 40 };

struct actor {
	char name[8];
	struct wire *wire;
	bool is_server, is_first;
	struct buf rest;          /* the other half */
	uint32_t pid;             /* of its BackendKeyData */
	uint8_t key[64];
	size_t key_bytes;
};

static struct play {
	const char *file;
	int line;
	bool is_split;
	char config[4096], databases[1024], clusters[1024], users[1024], peers[1024], rules[1024], maps[1024];
	char path[64], rules_path[64], maps_path[64];
	struct proxy *proxy;
	struct actor actors[ACTORS_MAX];
	int count;
	char why[1200];
} *play;

static void
complain(const char *format, ...)
{
	char text[1000];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (play->why[0] == '\0')
		snprintf(play->why, sizeof(play->why), "%s:%d%s: %s", play->file, play->line, play->is_split ? " (split)" : "",
		         text);
}

static void
write_text(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");
	fputs(text, f);
	fclose(f);
}

static void
write_config(void)
{
	FILE *f = fopen(play->path, "w");
	write_text(play->rules_path, play->rules);
	write_text(play->maps_path, play->maps);
	fprintf(f, "[clusters]\n%s\n[databases]\n%s\n[users]\n%s\n[peers]\n%s\n[pgsluice]\nserver_tls_sslmode = disable\nhttp_port = 0\n%s", play->clusters,
	        play->databases[0] ? play->databases : "app = host=127.0.0.1 port=7001\n", play->users, play->peers, play->config);
	if (strstr(play->config, "session_tracking") == NULL)
		fprintf(f, "session_tracking = names\n");
	if (strstr(play->config, "auth_type") == NULL)
		fprintf(f, "auth_type = trust\n");
	if (strstr(play->config, "auth_") == NULL)
		fprintf(f, "auth_users = \"app\" \"\"; \"other\" \"\"; \"third\" \"\"; \"fourth\" \"\"; \"x\" \"\"; \"postgres\" \"\"\n");
	if (play->rules[0])
		fprintf(f, "auth_hba_file = %s\n", play->rules_path);
	if (play->maps[0])
		fprintf(f, "auth_ident_file = %s\n", play->maps_path);
	fclose(f);
}

static void
start(void)
{
	static char *environment[] = { NULL };
	if (play->proxy)
		return;
	write_config();
	struct config_errors errors = { 0 };
	struct config *config = config_load(play->path, environment, &errors);
	char reason[500] = "";
	struct text why = TEXT_IN(reason);
	if (config == NULL)
		ck_abort_msg("%s: %s", play->file, errors.lines[0]);
	play->proxy = proxy_new(config, environment, &why);
	ck_assert_msg(play->proxy != NULL, "%s", reason);
	fake_turn(play->proxy->loop);
}

static void
turn(void)
{
	fake_turn(play->proxy->loop);
}

static struct actor *
actor(const char *name)
{
	for (int i = 0; i < play->count; i++)
		if (strcmp(play->actors[i].name, name) == 0)
			return &play->actors[i];
	ck_assert_msg(play->count < ACTORS_MAX, "too many actors");
	struct actor *a = &play->actors[play->count++];
	*a = (struct actor){ .is_server = name[0] == 's', .is_first = true };
	snprintf(a->name, sizeof(a->name), "%s", name);
	return a;
}

static void
deliver(struct actor *a, struct view v, bool is_one)
{
	if (!play->is_split || is_one) {
		fake_deliver(a->wire, v);
		turn();
		return;
	}
	for (size_t i = 0; i < v.n; i++) {
		fake_deliver(a->wire, view_part(v, i, 1));
		turn();
	}
}

static void
says(struct actor *a, const char *line, bool is_one)
{
	struct words w;
	struct buf b = { 0 };
	bool is_half = false;
	if (a->wire == NULL) {
		complain("%s is not connected", a->name);
		return;
	}
	while (words_next(&line, &w)) {
		if (strcmp(w.at[0], "rest") == 0) {
			buf_add(&b, buf_view(&a->rest));
			buf_clear(&a->rest);
			continue;
		}
		is_half = strcmp(w.at[0], "half") == 0;
		if (is_half)
			memmove(w.at[0], w.at[1], sizeof(w.at[0]) * (size_t)--w.n);
		size_t before = b.n;
		if (!speak(&b, &w, a->is_server))
			complain("no such message: %s", w.at[0]);
		if (is_half) {
			size_t half = before + (b.n - before + 1) / 2;
			buf_add(&a->rest, view_from(buf_view(&b), half));
			b.n = half;
		}
	}
	deliver(a, buf_view(&b), is_one);
	buf_free(&b);
}

/* The next message for it. False: nothing, or nonsense; the latter is a failure. */
static bool
next_heard(struct actor *a, struct words *heard)
{
	size_t size = 0;
	switch (hear(buf_view(&a->wire->out), !a->is_server, a->is_first && a->is_server, heard, &size)) {
	case HEARD_HALF:
		return false;
	case HEARD_NONSENSE:
		complain("%s has got bytes that are no message", a->name);
		return false;
	case HEARD:
		break;
	}
	a->is_first = a->is_first && strcmp(heard->at[0], "SSLRequest") == 0;
	if (strcmp(heard->at[0], "BackendKeyData") == 0 && !a->is_server) {
		a->pid = (uint32_t)strtoul(heard->at[1], NULL, 10);
		a->key_bytes = size - 9;
		memcpy(a->key, a->wire->out.p + 9, a->key_bytes);
	}
	buf_drop_front(&a->wire->out, size);
	return true;
}

static void
hears(struct actor *a, const char *line)
{
	struct words expected, heard;
	char is[600], should[600];
	if (a->wire == NULL) {
		complain("%s is not connected", a->name);
		return;
	}
	while (play->why[0] == '\0' && words_next(&line, &expected)) {
		words_join(&expected, should, sizeof(should));
		if (strcmp(expected.at[0], "nothing") == 0) {
			if (a->wire->out.n > 0 && next_heard(a, &heard)) {
				words_join(&heard, is, sizeof(is));
				complain("%s has got: %s", a->name, is);
			} else if (a->wire->out.n > 0) {
				complain("%s has got half a message", a->name);
			}
			return;
		}
		if (strcmp(expected.at[0], "half") == 0) { /* half a message, which is thrown away */
			if (a->wire->out.n == 0)
				complain("%s has got nothing", a->name);
			a->wire->out.n = 0;
			return;
		}
		if (strcmp(expected.at[0], "byte") == 0) {
			if (a->wire->out.n == 0 || a->wire->out.p[0] != (uint8_t)expected.at[1][0])
				complain("%s has not got the byte %s", a->name, expected.at[1]);
			else
				buf_drop_front(&a->wire->out, 1);
			continue;
		}
		if (!next_heard(a, &heard)) {
			complain("%s has got nothing, but should: %s", a->name, should);
			return;
		}
		words_join(&heard, is, sizeof(is));
		if (!words_match(&expected, &heard))
			complain("%s has got: %s, but should: %s", a->name, is, should);
	}
}

static void
is_in(struct actor *a)
{
	struct words heard;
	while (next_heard(a, &heard)) {
		if (strcmp(heard.at[0], "ErrorResponse") == 0) {
			complain("%s was refused: %s %s", a->name, heard.at[2], heard.at[3]);
			return;
		}
		if (strcmp(heard.at[0], "ReadyForQuery") == 0)
			return;
	}
	complain("%s is not in", a->name);
}

/* Words of `logs in` that say where it comes from, not what it sends. */
static bool
is_about_wire(struct wire *w, const char *word, bool *is_unix)
{
	if (strcmp(word, "unix") == 0)
		*is_unix = true;
	else if (strcmp(word, "tls") == 0)
		w->is_tls = true;
	else if (strncmp(word, "from=", 5) == 0)
		snprintf(w->address, sizeof(w->address), "%s", word + 5);
	else if (strncmp(word, "cn=", 3) == 0)
		snprintf(w->common_name, sizeof(w->common_name), "%s", word + 3);
	else if (strncmp(word, "dn=", 3) == 0)
		snprintf(w->distinguished_name, sizeof(w->distinguished_name), "%s", word + 3);
	else if (strncmp(word, "uid=", 4) == 0) {
		w->has_uid = true;
		w->uid = strcmp(word + 4, "own") == 0 ? getuid() : (uid_t)atoi(word + 4);
	} else
		return false;
	return true;
}

static void
connects(struct actor *a, enum lane lane)
{
	start();
	buf_free(&a->rest);
	*a = (struct actor){ .is_first = true, .wire = fake_accept_begin(), .pid = 0, .name = "" };
	proxy_accept(play->proxy, a->wire->fd, false, false, lane);
}

static void
logs_in(struct actor *a, const char *rest)
{
	struct words w, pairs = { .n = 1 };
	char name[8], text[1000], all[1100];
	snprintf(name, sizeof(name), "%s", a->name);
	bool is_read = false, is_unix = false;
	start();
	buf_free(&a->rest);
	*a = (struct actor){ .is_first = true, .wire = fake_accept_begin(), .pid = 0, .name = "" };
	const char *protocol = "StartupMessage";
	bool has_user = false, has_database = false;
	if (words_next(&rest, &w))
		for (int i = 0; i < w.n; i++) {
			if (strcmp(w.at[i], "read") == 0) {
				is_read = true;
			} else if (strncmp(w.at[i], "3.", 2) == 0) {
				protocol = w.at[i][2] == '2' ? "StartupMessage3.2" : "StartupMessage3.9";
			} else if (!is_about_wire(a->wire, w.at[i], &is_unix)) {
				has_user |= strncmp(w.at[i], "user=", 5) == 0;
				has_database |= strncmp(w.at[i], "database=", 9) == 0;
				strcpy(pairs.at[pairs.n++], w.at[i]);
			}
		}
	strcpy(pairs.at[0], protocol);
	words_join(&pairs, text, sizeof(text));
	snprintf(all, sizeof(all), "%s%s%s", text, has_user ? "" : " user=app", has_database ? "" : " database=app");
	proxy_accept(play->proxy, a->wire->fd, is_unix, false, is_read ? LANE_READ : LANE_WRITE);
	strcpy(a->name, name);
	says(a, all, false);
}

static bool
is_called(struct actor *a, const char *port)
{
	if (a->wire)
		return true;
	a->wire = fake_next_connect();
	if (a->wire == NULL) {
		complain("%s was not called", a->name);
		return false;
	}
	if (port && port[0] && a->wire->port != (uint16_t)atoi(port)) {
		complain("%s was called at port %u", a->name, a->wire->port);
		return false;
	}
	return true;
}

static void
accepts(struct actor *a)
{
	if (!is_called(a, NULL))
		return;
	fake_connected(a->wire);
	turn();
}

static void
server_logs_in(struct actor *a, const char *rest)
{
	struct words w;
	char line[1000] = "Authentication 0 | ParameterStatus server_version 16.1 | ParameterStatus client_encoding UTF8"
	                  " | ParameterStatus application_name \"\" | ParameterStatus DateStyle \"ISO, MDY\""
	                  " | ParameterStatus TimeZone UTC | ParameterStatus standard_conforming_strings on";
	accepts(a);
	if (play->why[0])
		return;
	hears(a, "StartupMessage");
	if (words_next(&rest, &w))
		for (int i = 0; i < w.n; i++) {
			char *value = strchr(w.at[i], '=');
			*value++ = '\0';
			size_t n = strlen(line);
			snprintf(line + n, sizeof(line) - n, " | ParameterStatus %s \"%s\"", w.at[i], value);
		}
	size_t n = strlen(line);
	snprintf(line + n, sizeof(line) - n, " | BackendKeyData %d keyy | ReadyForQuery I", 100 + a->wire->fd);
	says(a, line, false);
}

static void
cancels(struct actor *from, struct actor *of, bool is_wrong)
{
	struct buf b = { 0 };
	char name[8];
	snprintf(name, sizeof(name), "%s", from->name);
	uint8_t key[64];
	memcpy(key, of->key, sizeof(key));
	key[0] ^= is_wrong;
	request_cancel(&b, of->pid, view_of(key, of->key_bytes));
	connects(from, LANE_WRITE);
	strcpy(from->name, name);
	deliver(from, buf_view(&b), false);
	buf_free(&b);
}

static void
asks_to_cancel(struct actor *from, const char *pid, const char *hex)
{
	struct buf b = { 0 };
	char name[8];
	uint8_t key[64];
	size_t n = 0;
	snprintf(name, sizeof(name), "%s", from->name);
	for (unsigned byte; n < sizeof(key) && sscanf(hex + 2 * n, "%2x", &byte) == 1; n++)
		key[n] = (uint8_t)byte;
	request_cancel(&b, (uint32_t)strtoul(pid, NULL, 10), view_of(key, n));
	connects(from, LANE_WRITE);
	strcpy(from->name, name);
	deliver(from, buf_view(&b), false);
	buf_free(&b);
}

static void
check_state(struct actor *a, const char *should)
{
	const struct stream *s = a->wire ? a->wire->stream : NULL;
	const char *is = "closed";
	if (s && a->is_server)
		is = server_state_name(s->owner);
	else if (s)
		is = client_state_name(((const struct client *)s->owner)->state);
	if (strcmp(is, should) != 0)
		complain("%s is %s, but should be %s", a->name, is, should);
}

static void
act_of(struct actor *a, const char *line)
{
	const char *rest = line;
	struct words w;
	if (line[0] == '>') {
		bool is_one = line[1] == '>';
		says(a, line + 1 + is_one, is_one);
		return;
	}
	if (line[0] == '<') {
		hears(a, line + 1);
		return;
	}
	words_next(&rest, &w);
	const char *verb = w.at[0], *what = w.n > 1 ? w.at[1] : "";
	const char *after = strstr(line, " in");
	if (strcmp(verb, "logs") == 0) {
		after += 3;
		if (a->is_server)
			server_logs_in(a, after);
		else
			logs_in(a, after);
	} else if (strcmp(verb, "is") == 0 && strcmp(what, "in") == 0) {
		is_in(a);
	} else if (strcmp(verb, "is") == 0 && strcmp(what, "called") == 0) {
		is_called(a, w.n > 2 ? w.at[2] : NULL);
	} else if (strcmp(verb, "connects") == 0) {
		char name[8];
		snprintf(name, sizeof(name), "%s", a->name);
		connects(a, strcmp(what, "read") == 0 ? LANE_READ : LANE_WRITE);
		strcpy(a->name, name);
	} else if (strcmp(verb, "accepts") == 0) {
		accepts(a);
	} else if (strcmp(verb, "refuses") == 0) {
		if (is_called(a, NULL))
			fake_refused(a->wire);
		turn();
	} else if (strcmp(verb, "closes") == 0) {
		fake_end(a->wire);
		turn();
	} else if (strcmp(verb, "closed") == 0) {
		if (!a->wire->is_closed)
			complain("%s was not closed", a->name);
	} else if (strcmp(verb, "stops") == 0) {
		a->wire->is_full = true;
	} else if (strcmp(verb, "reads") == 0) {
		fake_drain(a->wire);
		turn();
	} else if (strcmp(verb, "cancels") == 0) {
		cancels(a, actor(what), w.n > 2);
	} else if (strcmp(verb, "asks") == 0) {
		asks_to_cancel(a, w.at[3], w.at[4]);
	} else if (strcmp(verb, "state") == 0) {
		check_state(a, what);
	} else {
		complain("what does \"%s\" mean?", verb);
	}
}

static void
add_line(char *to, size_t room, const char *line)
{
	size_t n = strlen(to);
	snprintf(to + n, room - n, "%s\n", line);
}

static uint64_t
read_time(const char *text)
{
	char *unit;
	double n = strtod(text + (text[0] == '+'), &unit);
	return (uint64_t)(n * (strcmp(unit, "ms") == 0 ? 1e3 : 1e6));
}

static void
count_idle(const char *should)
{
	uint32_t count = 0;
	list_each(&play->proxy->servers, n, after)
		count += node_owner(n, struct server, node)->state == SERVER_IDLE;
	if (count != (uint32_t)atoi(should))
		complain("%u servers are idle", count);
}

/* Of the cluster that is not a database's own. */
static struct hold *
hold_of_cluster(void)
{
	list_each(&play->proxy->loads, n, after)
	{
		struct cluster_load *load = node_owner(n, struct cluster_load, node);
		if (!load->topology->is_plain)
			return load->hold;
	}
	ck_abort_msg("%s:%d: there is no cluster", play->file, play->line);
}

static void
check_hold(const char *should)
{
	const char *is = hold_meaning(hold_of_cluster()->state)->name;
	if (strcmp(is, should) != 0)
		complain("the hold is %s, but should be %s", is, should);
}

/* failovers N [HOW]: so many have ended, the last one like that */
static void
check_failovers(const struct words *w)
{
	const struct failovers *all = play->proxy->failovers;
	if (all->ended != strtoull(w->at[1], NULL, 10))
		complain("%llu failovers have ended", (unsigned long long)all->ended);
	else if (w->n > 2 && strcmp(all->kept[(all->ended - 1) % FAILOVERS_KEPT].how, w->at[2]) != 0)
		complain("the last one ended: %s", all->kept[(all->ended - 1) % FAILOVERS_KEPT].how);
}

/* sign TEXT: of the last failover; false alarms N */
static void
check_signs(const struct words *w)
{
	const struct hold *h = hold_of_cluster();
	if (strcmp(w->at[0], "sign") == 0 && strcmp(h->event.sign, w->at[1]) != 0)
		complain("the first sign was: %s", h->event.sign);
	else if (strcmp(w->at[0], "false") == 0 && h->false_alarms != strtoull(w->at[2], NULL, 10))
		complain("there were %llu false alarms", (unsigned long long)h->false_alarms);
}

static void
command(const struct words *w)
{
	struct proxy *x = play->proxy;
	const char *verb = w->at[0], *what = w->n > 1 ? w->at[1] : "";
	char reason[2000] = "";
	struct text why = TEXT_IN(reason);
	static const char *const of_databases[] = { "pause", "resume", "reconnect", "kill" };
	struct database *d = NULL;
	for (size_t i = 0; i < sizeof(of_databases) / sizeof(of_databases[0]) && what[0]; i++)
		if (strcmp(verb, of_databases[i]) == 0)
			d = proxy_database(x, what);
	if (strcmp(verb, "pause") == 0) {
		proxy_pause(x, d);
	} else if (strcmp(verb, "suspend") == 0) {
		proxy_suspend(x, 0);
	} else if (strcmp(verb, "still") == 0) {
		if (proxy_is_still(x) != (strcmp(what, "no") != 0))
			complain("it is %sstill", proxy_is_still(x) ? "" : "not ");
		return;
	} else if (strcmp(verb, "resume") == 0) {
		proxy_resume(x, d);
	} else if (strcmp(verb, "reconnect") == 0) {
		proxy_reconnect(x, d);
	} else if (strcmp(verb, "kill") == 0) {
		proxy_kill(x, d);
	} else if (strcmp(verb, "stop") == 0) {
		proxy_stop(x, what[0] == 'c' ? PROXY_STOPPING_CLIENTS : what[0] == 's' ? PROXY_STOPPING_SERVERS : PROXY_STOPPING);
	} else if (strcmp(verb, "stopped") == 0) {
		if (!x->loop->is_stopping)
			complain("it has not stopped");
	} else if (strcmp(verb, "reload") == 0) {
		write_config();
		bool is_taken = proxy_reload(x, &why);
		if (strcmp(what, "fails") == 0 ? is_taken || (w->n > 2 && !strstr(reason, w->at[2])) : !is_taken)
			complain("reload: %s", is_taken ? "it was taken" : reason);
	} else if (strcmp(verb, "hold") == 0) {
		check_hold(w->at[1]);
		return;
	} else if (strcmp(verb, "failovers") == 0) {
		check_failovers(w);
		return;
	} else if (strcmp(verb, "sign") == 0 || strcmp(verb, "false") == 0) {
		check_signs(w);
		return;
	} else if (strcmp(verb, "close") == 0) {
		hold_close(hold_of_cluster(), "SWITCHOVER");
	} else if (strcmp(verb, "reopen") == 0) {
		hold_reopen(hold_of_cluster());
	} else if (strcmp(verb, "ask") == 0) {
		hold_ask(hold_of_cluster(), read_time(what), "POST /hold");
	} else if (strcmp(verb, "release") == 0) {
		hold_release(hold_of_cluster());
	} else if (strcmp(verb, "idle") == 0) {
		count_idle(w->at[2]);
	} else if (strcmp(verb, "connects") == 0) {
		fake_fail_connects(strcmp(what, "fail") == 0);
	} else {
		complain("what does \"%s\" mean?", verb);
	}
	turn();
}

static void
question(const struct words *w)
{
	const char *user = "none";
	uint16_t port = 0;
	fake_question(&user, &port);
	if (strcmp(w->at[1], user) != 0 || (w->n > 2 && atoi(w->at[2]) != port))
		complain("the question is about %s, port %u", user, port);
}

static void
answer(const struct words *w)
{
	static const struct {
		const char *word;
		enum pq_outcome outcome;
	} words[] = { { "nobody", PQ_OK }, { "error", PQ_ERROR }, { "gone", PQ_UNREACHABLE }, { "slow", PQ_TIMEOUT },
		      { "refused", PQ_REFUSED } };
	const char *user;
	uint16_t port;
	struct pq *q = fake_question(&user, &port);
	if (q == NULL) {
		complain("nothing is asked");
		return;
	}
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strcmp(w->at[1], words[i].word) == 0) {
			fake_answer(q, words[i].outcome, NULL, NULL);
			turn();
			return;
		}
	fake_answer(q, PQ_OK, w->at[1], w->n > 2 ? w->at[2] : NULL);
	turn();
}

static void
act(char *line)
{
	struct words w;
	const char *rest = line;
	line[strcspn(line, "\n")] = '\0';
	if (line[0] == '#' || !words_next(&rest, &w))
		return;
	const char *first = w.at[0];
	const char *after = line + strlen(first);
	after += strspn(after, " ");
	if (strcmp(first, "config") == 0) {
		add_line(play->config, sizeof(play->config), after);
	} else if (strcmp(first, "database") == 0) {
		add_line(play->databases, sizeof(play->databases), after);
	} else if (strcmp(first, "cluster") == 0) {
		add_line(play->clusters, sizeof(play->clusters), after);
	} else if (strcmp(first, "user") == 0) {
		add_line(play->users, sizeof(play->users), after);
	} else if (strcmp(first, "peer") == 0) {
		add_line(play->peers, sizeof(play->peers), after);
	} else if (strcmp(first, "rule") == 0) {
		add_line(play->rules, sizeof(play->rules), after);
	} else if (strcmp(first, "map") == 0) {
		add_line(play->maps, sizeof(play->maps), after);
	} else if (strcmp(first, "forget") == 0) { /* forget database | config | ...: to be given anew before a reload */
		(w.at[1][0] == 'd'   ? play->databases
		 : w.at[1][0] == 'u' ? play->users
		 : w.at[1][0] == 'p' ? play->peers
		 : w.at[1][0] == 'r' ? play->rules
		 : strcmp(w.at[1], "cluster") == 0 ? play->clusters
		                     : play->config)[0] = '\0';
	} else if (strcmp(first, "start") == 0) {
		logs_in(actor(w.at[1]), "");
		server_logs_in(actor(w.at[2]), "");
		is_in(actor(w.at[1]));
	} else if (strcmp(first, "time") == 0) {
		start();
		fake_advance(play->proxy->loop, read_time(w.at[1]));
	} else if ((first[0] == 'c' || first[0] == 's') && first[1] >= '0' && first[1] <= '9') {
		start();
		act_of(actor(first), after);
	} else if (strcmp(first, "patroni") == 0) {
		if (!patronis_act(&w))
			complain("what does \"%s\" mean?", line);
		if (play->proxy) {
			turn();
			fake_advance(play->proxy->loop, 0); /* what was heard is judged and published */
		}
	} else if (strcmp(first, "question") == 0) {
		question(&w);
	} else if (strcmp(first, "answer") == 0) {
		answer(&w);
	} else {
		start();
		command(&w);
	}
}

static void
check_all_read(void)
{
	struct words heard;
	char is[600];
	for (int i = 0; i < play->count && play->why[0] == '\0'; i++) {
		struct actor *a = &play->actors[i];
		if (a->wire == NULL || a->wire->out.n == 0)
			continue;
		is[0] = '\0';
		if (next_heard(a, &heard))
			words_join(&heard, is, sizeof(is));
		complain("%s has not looked at: %s", a->name, is);
	}
}

static void
play_file(const char *path, const char *name, bool is_split)
{
	static struct play p;
	char line[2000];
	p = (struct play){ .file = name, .is_split = is_split };
	play = &p;
	snprintf(p.path, sizeof(p.path), "/tmp/pgsluice-scenario-%d.ini", (int)getpid());
	snprintf(p.rules_path, sizeof(p.rules_path), "/tmp/pgsluice-scenario-%d.hba", (int)getpid());
	snprintf(p.maps_path, sizeof(p.maps_path), "/tmp/pgsluice-scenario-%d.ident", (int)getpid());
	clock_set(1000 * SECOND_US);
	patronis_reset();
	fake_on_turn = patronis_on_turn;
	FILE *f = fopen(path, "r");
	ck_assert_msg(f != NULL, "%s", path);
	while (p.why[0] == '\0' && fgets(line, sizeof(line), f)) {
		p.line++;
		act(line);
	}
	fclose(f);
	check_all_read();
	proxy_free(p.proxy);
	fake_reset();
	unlink(p.path);
	unlink(p.rules_path);
	unlink(p.maps_path);
	for (int i = 0; i < p.count; i++)
		buf_free(&p.actors[i].rest);
	if (p.why[0])
		ck_abort_msg("%s", p.why);
}

static char files[300][128];
static int file_count;

START_TEST(a_scenario_goes_as_written)
{
	char path[400];
	snprintf(path, sizeof(path), SCENARIO_DIR "/%s", files[_i / 2]);
	play_file(path, files[_i / 2], _i % 2);
}
END_TEST

static int
by_name(const void *a, const void *b)
{
	return strcmp(a, b);
}

int
main(int argc, char **argv)
{
	log_level_now = getenv("SCENARIO_DEBUG") ? LOG_LEVEL_DEBUG : LOG_LEVEL_FATAL;
	DIR *d = opendir(SCENARIO_DIR);
	if (d == NULL)
		return 1;
	for (struct dirent *e; (e = readdir(d)) != NULL && file_count < 300;)
		if (strstr(e->d_name, ".scenario") && (argc < 2 || strcmp(argv[1], e->d_name) == 0))
			snprintf(files[file_count++], sizeof(files[0]), "%.120s", e->d_name);
	closedir(d);
	qsort(files, (size_t)file_count, sizeof(files[0]), by_name);
	Suite *suite = suite_create("session/scenarios");
	TCase *all = tcase_create("scenarios");
	tcase_add_loop_test(all, a_scenario_goes_as_written, 0, file_count * 2);
	suite_add_tcase(suite, all);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 && file_count > 0 ? 0 : 1;
}
