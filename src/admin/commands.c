/*
 * admin/commands.c - the console's commands; see the header.
 *
 * Never: waits, or looks at the protocol. Texts of errors are PgBouncer's: scripts compare them.
 * Source: PgBouncer 1.25.2, the admin console.
 */
#include "admin/commands.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "session/client.h"
#include "session/proxy.h"
#include "session/server.h"
#include "session/switchover.h"
#include "wire/reply.h"

#define SWITCH_DEADLINE_US (10 * SECOND_US) /* unless the command says another */

enum argument { ARGUMENT_NONE, ARGUMENT_MAY, ARGUMENT_MUST };

struct command {
	const char   *word;
	enum argument argument;
	bool          is_admins; /* for admin_users only */
	enum command_result (*run)(struct command_run *run, const struct sentence *said);
	const char   *help;      /* the line of SHOW HELP */
};

/* ---- answers ---- */

static enum command_result fail(struct command_run *run, const char *format, ...) __attribute__((format(printf, 2, 3)));

static enum command_result
fail(struct command_run *run, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	vsnprintf(run->error, sizeof(run->error), format, args);
	va_end(args);
	run->sqlstate = SQLSTATE_PROTOCOL_VIOLATION;
	return COMMAND_FAILED;
}

static void
notice(struct command_run *run, const char *text, const char *detail)
{
	reply_notice(run->out, "NOTICE", &(struct fault){ .sqlstate = SQLSTATE_OK, .text = text, .detail = detail });
}

/* ---- databases by name ---- */

enum lookup { LOOKUP_KNOWN, LOOKUP_OR_MAKE };

/*
 * The database that a command names; NULL: the error is set. One that only "*" would make is unknown unless it is to be
 * made. `verb` as in "cannot pause admin db".
 */
static struct database *
find_database(struct command_run *run, const char *name, enum lookup how, const char *verb)
{
	struct proxy *x = run->proxy;
	struct database *d = NULL;
	if (config_is_console(name)) {
		fail(run, "cannot %s admin db: %s", verb, name);
		return NULL;
	}
	HASH_FIND_STR(x->databases, name, d);
	if (d == NULL) {
		const struct database_config *config = config_database(x->config, name);
		if (config && (!config->is_default || how == LOOKUP_OR_MAKE))
			d = proxy_database(x, name);
	}
	if (d == NULL)
		fail(run, "no such database: %s", name);
	return d;
}

/* For a command whose argument, if any, is a database. False: the error is set. */
static bool
find_target(struct command_run *run, const struct sentence *said, enum lookup how, const char *verb,
            struct database **out)
{
	*out = said->has_argument ? find_database(run, said->argument, how, verb) : NULL;
	return *out || !said->has_argument;
}

static void
wait_for(struct command_run *run, enum wait_for what, const struct sentence *said)
{
	run->wait.what = what;
	snprintf(run->wait.database, sizeof(run->wait.database), "%s", said->has_argument ? said->argument : "");
}

/* ---- control ---- */

static enum command_result
run_pause(struct command_run *run, const struct sentence *said)
{
	struct database *d;
	if (proxy_is_paused(run->proxy))
		return fail(run, "already suspended/paused");
	if (!find_target(run, said, LOOKUP_OR_MAKE, "pause", &d))
		return COMMAND_FAILED;
	if (d == NULL && run->proxy->state != PROXY_RUNNING)
		return fail(run, "pooler is shutting down");
	proxy_pause(run->proxy, d);
	wait_for(run, WAIT_FOR_NO_SERVERS, said);
	return COMMAND_WAITS;
}

static enum command_result
run_resume(struct command_run *run, const struct sentence *said)
{
	struct proxy *x = run->proxy;
	struct database *d;
	if (said->has_argument && config_is_console(said->argument)) /* which nobody can pause */
		return fail(run, "database %s is not paused", said->argument);
	if (!find_target(run, said, LOOKUP_KNOWN, "resume", &d))
		return COMMAND_FAILED;
	if (d && !d->is_paused)
		return fail(run, "database %s is not paused", d->name);
	if (d == NULL && x->state >= PROXY_STOPPING_SERVERS)
		return fail(run, "pooler is shutting down");
	if (d == NULL && x->state != PROXY_PAUSED && x->state != PROXY_SUSPENDED)
		return fail(run, "pooler is not paused/suspended");
	proxy_resume(x, d);
	return COMMAND_DONE;
}

static enum command_result
run_suspend(struct command_run *run, const struct sentence *said)
{
	struct proxy *x = run->proxy;
	if (proxy_is_paused(x))
		return fail(run, "already suspended/paused");
	if (x->state != PROXY_RUNNING)
		return fail(run, "pooler is shutting down");
	for (const struct database *d = x->databases; d; d = d->hh.next)
		if (d->is_paused)
			return fail(run, "cannot suspend with paused databases");
	proxy_suspend(x, run->client->id);
	wait_for(run, WAIT_FOR_SILENCE, said);
	return COMMAND_WAITS;
}

static enum command_result
run_disable(struct command_run *run, const struct sentence *said)
{
	if (!said->has_argument)
		return fail(run, "a database is required");
	struct database *d = find_database(run, said->argument, LOOKUP_OR_MAKE, "disable");
	if (d == NULL)
		return COMMAND_FAILED;
	d->is_disabled = true;
	return COMMAND_DONE;
}

static enum command_result
run_enable(struct command_run *run, const struct sentence *said)
{
	if (!said->has_argument)
		return fail(run, "a database is required");
	struct database *d = find_database(run, said->argument, LOOKUP_KNOWN, "enable");
	if (d == NULL)
		return COMMAND_FAILED;
	d->is_disabled = false;
	return COMMAND_DONE;
}

static enum command_result
run_reconnect(struct command_run *run, const struct sentence *said)
{
	struct database *d;
	if (!find_target(run, said, LOOKUP_KNOWN, "reconnect", &d))
		return COMMAND_FAILED;
	proxy_reconnect(run->proxy, d);
	return COMMAND_DONE;
}

static enum command_result
run_kill(struct command_run *run, const struct sentence *said)
{
	struct database *d;
	if (proxy_is_paused(run->proxy))
		return fail(run, "already suspended/paused");
	if (!find_target(run, said, LOOKUP_KNOWN, "kill", &d))
		return COMMAND_FAILED;
	proxy_kill(run->proxy, d);
	return COMMAND_DONE;
}

static enum command_result
run_kill_client(struct command_run *run, const struct sentence *said)
{
	char *end;
	unsigned long long id = said->has_argument ? strtoull(said->argument, &end, 10) : 0;
	if (!said->has_argument || said->argument[0] < '0' || said->argument[0] > '9' || *end != '\0')
		return fail(run, "invalid client pointer supplied");
	list_each(&run->proxy->clients, n, after)
	{
		struct client *c = node_owner(n, struct client, node);
		if (c->id != id || !client_is_counted(c))
			continue;
		client_fail(c, &(struct fault){ .by = FAULT_BY_ADMIN, .sqlstate = SQLSTATE_ADMIN_SHUTDOWN,
		                                .text = "admin forced disconnect" });
		return COMMAND_DONE;
	}
	return fail(run, "client not found");
}

static enum command_result
run_wait_close(struct command_run *run, const struct sentence *said)
{
	struct database *d;
	if (!find_target(run, said, LOOKUP_KNOWN, "wait in", &d))
		return COMMAND_FAILED;
	wait_for(run, WAIT_FOR_NO_OLD, said);
	return COMMAND_WAITS;
}

static void
log_lines(char *lines)
{
	char *rest = lines;
	for (char *line; (line = strsep(&rest, "\n")) != NULL;)
		log_error("config", "%s", line);
}

static enum command_result
run_reload(struct command_run *run, const struct sentence *said)
{
	static char room[16 * 1024];
	struct text why = TEXT_IN(room);
	if (proxy_reload(run->proxy, &why))
		return COMMAND_DONE;
	log_lines(room);
	fail(run, "RELOAD failed, see logs for additional details");
	run->sqlstate = SQLSTATE_CONFIG_FILE_ERROR;
	return COMMAND_FAILED;
}

static enum command_result
run_shutdown(struct command_run *run, const struct sentence *said)
{
	struct proxy *x = run->proxy;
	if (!said->has_argument) {
		x->is_hurried = true;
		loop_stop(x->loop);
		return COMMAND_WAITS; /* for the end of the process, which is the answer */
	}
	if (text_equal_nocase(said->argument, "WAIT_FOR_SERVERS"))
		proxy_stop(x, PROXY_STOPPING_SERVERS);
	else if (text_equal_nocase(said->argument, "WAIT_FOR_CLIENTS"))
		proxy_stop(x, PROXY_STOPPING_CLIENTS);
	else
		return fail(run, "invalid command 'SHUTDOWN %s', use SHOW HELP;", said->argument);
	return COMMAND_DONE;
}

/* ---- SWITCHOVER ---- */

struct switch_words {
	char cluster[SENTENCE_ARGUMENT_MAX + 1];
	struct switch_order order;
};

static const char *
word_at(const struct sentence *said, unsigned i)
{
	if (i == 0)
		return said->has_argument ? said->argument : NULL;
	return i <= said->more_count ? said->more[i - 1] : NULL;
}

/* [CLUSTER name] [TO member] [DEADLINE seconds] [CUT], in any order. */
static bool
read_switch_words(const struct sentence *said, struct switch_words *out)
{
	*out = (struct switch_words){ .order = { .to = "", .deadline_us = SWITCH_DEADLINE_US } };
	const char *word, *value;
	for (unsigned i = 0; (word = word_at(said, i)) != NULL; i++) {
		if (text_equal_nocase(word, "CUT")) {
			out->order.is_cutting = true;
			continue;
		}
		if ((value = word_at(said, ++i)) == NULL)
			return false;
		char *end;
		unsigned long seconds = strtoul(value, &end, 10);
		if (text_equal_nocase(word, "TO"))
			out->order.to = value;
		else if (text_equal_nocase(word, "CLUSTER"))
			snprintf(out->cluster, sizeof(out->cluster), "%s", value);
		else if (text_equal_nocase(word, "DEADLINE") && value[0] >= '0' && value[0] <= '9' && *end == '\0' && seconds <= 3600)
			out->order.deadline_us = seconds * SECOND_US;
		else
			return false;
	}
	return true;
}

static enum command_result
run_switchover(struct command_run *run, const struct sentence *said)
{
	struct switch_words words;
	if (!read_switch_words(said, &words))
		return fail(run, "SWITCHOVER [CLUSTER <name>] [TO <member>] [DEADLINE <seconds>] [CUT], or SWITCHOVER CHECK");
	char reason[SENTENCE_VALUE_MAX];
	struct text why = TEXT_IN(reason);
	struct cluster_load *load = switchover_cluster(run->proxy, words.cluster, &why);
	words.order.by = run->client->id;
	run->wait.switchover = load ? switchover_begin(run->proxy, load, &words.order, &why) : 0;
	if (run->wait.switchover == 0)
		return fail(run, "%s", reason);
	run->wait.what = WAIT_FOR_SWITCHOVER;
	return COMMAND_WAITS;
}

/* ---- SET ---- */

/* What drivers set without being asked to. The last two are beyond PgBouncer's: JDBC sets them at every login. */
static const char *const ignored_by_set[] = {
	"client_encoding", "default_transaction_isolation", "standard_conforming_strings", "datestyle",
	"timezone",        "application_name",              "extra_float_digits",
};

static bool
is_ignored_by_set(const char *name)
{
	for (size_t i = 0; i < sizeof(ignored_by_set) / sizeof(ignored_by_set[0]); i++)
		if (text_equal_nocase(ignored_by_set[i], name))
			return true;
	return false;
}

/* With the old and the new value, as SHOW CONFIG would show them: no secrets. */
static enum command_result
change_setting(struct command_run *run, const struct setting *row, const char *value)
{
	static char was_room[SETTING_VALUE_MAX], is_room[SETTING_VALUE_MAX];
	char reason[sizeof(run->detail)];
	struct text why = TEXT_IN(reason);
	const char *shown = setting_value(row, &run->proxy->config->settings, was_room, sizeof(was_room));
	if (shown != was_room) /* it belongs to the configuration that is about to go */
		snprintf(was_room, sizeof(was_room), "%s", shown);
	enum set_result done = proxy_set(run->proxy, row, view_of_string(value), &why);
	if (done == SET_FAILED) {
		log_warning(client_tag(run->client), "console: SET failed: %s", reason);
		fail(run, "SET failed");
		snprintf(run->detail, sizeof(run->detail), "%s", reason);
		return COMMAND_FAILED;
	}
	if (done == SET_TLS_KEPT) {
		log_warning(client_tag(run->client), "console: SET %s: \"%s\" stays; \"%s\" can't be used yet: %s", row->name, was_room,
		            value, reason);
		notice(run, "TLS settings could not be applied, still using old configuration", reason);
		return COMMAND_DONE;
	}
	const char *is = setting_value(row, &run->proxy->config->settings, is_room, sizeof(is_room));
	log_info(client_tag(run->client), "console: SET %s: \"%s\" -> \"%s\"", row->name, was_room, is);
	if (why.n > 0)
		notice(run, reason, NULL);
	return COMMAND_DONE;
}

static enum command_result
run_set(struct command_run *run, const struct sentence *said)
{
	if (is_ignored_by_set(said->argument)) {
		notice(run, "SET ignored", NULL);
		return COMMAND_DONE;
	}
	const struct setting *row = setting_find_nocase(said->argument);
	snprintf(run->tag, sizeof(run->tag), "SET %s=%s", said->argument, said->value);
	if (row == NULL) {
		snprintf(run->detail, sizeof(run->detail), "there is no such setting; SHOW CONFIG lists them all");
		return fail(run, "SET failed");
	}
	if (row->applies != APPLIES_ON_RELOAD) /* as PgBouncer: not a word */
		return COMMAND_DONE;
	return change_setting(run, row, said->value);
}

/* ---- the table ---- */

static enum command_result run_help(struct command_run *run, const struct sentence *said);

static const struct command show_command = { "SHOW", ARGUMENT_MUST, false, run_help, NULL };

static const struct command commands[] = {
	{ "SET", ARGUMENT_MUST, true, run_set, "SET key = arg" },
	{ "RELOAD", ARGUMENT_NONE, true, run_reload, "RELOAD" },
	{ "PAUSE", ARGUMENT_MAY, true, run_pause, "PAUSE [<db>]" },
	{ "RESUME", ARGUMENT_MAY, true, run_resume, "RESUME [<db>]" },
	{ "DISABLE", ARGUMENT_MAY, true, run_disable, "DISABLE <db>" },
	{ "ENABLE", ARGUMENT_MAY, true, run_enable, "ENABLE <db>" },
	{ "RECONNECT", ARGUMENT_MAY, true, run_reconnect, "RECONNECT [<db>]" },
	{ "KILL", ARGUMENT_MAY, true, run_kill, "KILL [<db>]" },
	{ "KILL_CLIENT", ARGUMENT_MAY, true, run_kill_client, "KILL_CLIENT <client_id>" },
	{ "WAIT_CLOSE", ARGUMENT_MAY, true, run_wait_close, "WAIT_CLOSE [<db>]" },
	{ "SHUTDOWN", ARGUMENT_MAY, true, run_shutdown, "SHUTDOWN [WAIT_FOR_SERVERS|WAIT_FOR_CLIENTS]" },
	{ "SUSPEND", ARGUMENT_NONE, true, run_suspend, "SUSPEND" },
	{ "SWITCHOVER", ARGUMENT_MAY, true, run_switchover,
	  "SWITCHOVER [CHECK] [CLUSTER <name>] [TO <member>] [DEADLINE <seconds>] [CUT]" },
};

static const char show_help[] = "\n\tSHOW HELP|CONFIG|DATABASES|POOLS|CLIENTS|SERVERS|USERS|VERSION"
				"\n\tSHOW MEMBERS|CLUSTERS|FAILOVERS|PINS|LISTENERS"
				"\n\tSHOW PEERS|PEER_POOLS"
				"\n\tSHOW FDS|SOCKETS|ACTIVE_SOCKETS|LISTS|MEM|STATE"
				"\n\tSHOW DNS_HOSTS|DNS_ZONES"
				"\n\tSHOW STATS|STATS_TOTALS|STATS_AVERAGES|TOTALS";

static enum command_result
run_help(struct command_run *run, const struct sentence *said)
{
	struct buf detail = { 0 };
	buf_addf(&detail, "%s", show_help);
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (commands[i].help)
			buf_addf(&detail, "\n\t%s", commands[i].help);
	buf_add_u8(&detail, '\0');
	notice(run, "Console usage", (const char *)detail.p);
	buf_free(&detail);
	return COMMAND_DONE;
}

static const struct command *
find_command(const char *word)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (text_equal_nocase(commands[i].word, word))
			return &commands[i];
	bool is_show = text_equal_nocase(word, "SHOW") || text_equal_nocase(word, "SELECT");
	return is_show ? &show_command : NULL;
}

static bool
is_invalid(struct view text, struct text *why)
{
	text_add(why, "invalid command '");
	text_add_view(why, view_part(text, 0, 200));
	text_add(why, "', use SHOW HELP;");
	return false;
}

/* What SHOW is to show, into *out. False: nothing of that name. */
static bool
understand_show(struct understood *out)
{
	out->table = show_find(out->said.argument);
	return out->table || text_equal_nocase(out->said.argument, "HELP");
}

bool
command_understand(struct view text, bool is_admin, struct understood *out, struct text *why)
{
	*out = (struct understood){ .command = NULL };
	switch (sentence_read(text, &out->said)) {
	case SENTENCE_EMPTY:
		return true;
	case SENTENCE_TOO_LONG:
		text_add(why, "bad arguments");
		return false;
	case SENTENCE_BAD:
		return is_invalid(text, why);
	case SENTENCE_OK:
		break;
	}
	const struct sentence *said = &out->said;
	const struct command *c = out->command = find_command(said->word);
	if (c == NULL || (c->argument == ARGUMENT_MUST && !said->has_argument) || (c->run == run_set) != said->is_set)
		return is_invalid(text, why);
	if (c->argument == ARGUMENT_NONE && said->has_argument) {
		text_add(why, "syntax error");
		return false;
	}
	if (c == &show_command && !understand_show(out))
		return is_invalid(text, why);
	if (c->run == run_switchover && said->has_argument && text_equal_nocase(said->argument, "CHECK"))
		out->table = &show_switchover_check;
	bool is_for_all = !c->is_admins || (said->is_set && is_ignored_by_set(said->argument));
	if (!is_admin && (!is_for_all || (out->table && out->table->is_admins))) {
		text_add(why, "admin access needed");
		return false;
	}
	return true;
}

enum command_result
command_do(const struct understood *u, struct command_run *run)
{
	const struct sentence *said = &u->said;
	snprintf(run->tag, sizeof(run->tag), "%s", u->command->word);
	run->wait = (struct command_wait){ .what = WAIT_FOR_NOTHING };
	if (u->command->is_admins && u->command->run != run_set)
		log_info(client_tag(run->client), "console: %s%s%s", u->command->word, said->has_argument ? " " : "",
		         said->argument);
	return u->command->run(run, said);
}

/* ---- waiting ---- */

static uint32_t
old_servers(const struct proxy *x, const struct database *d)
{
	uint32_t count = 0;
	list_each(&x->servers, n, after)
	{
		const struct server *s = node_owner(n, struct server, node);
		count += s->slot.is_close_needed && (d == NULL || s->pool->database == d);
	}
	return count;
}

enum wait_result
command_wait_ask(const struct command_wait *w, struct proxy *x, struct text *words)
{
	if (w->what == WAIT_FOR_SWITCHOVER) {
		enum switch_end end = switchover_result(x, w->switchover, words);
		return end == SWITCH_GOES_ON ? WAIT_GOES_ON : end == SWITCH_DONE ? WAIT_IS_OVER : WAIT_FAILED;
	}
	struct database *d = NULL;
	if (w->database[0]) {
		HASH_FIND_STR(x->databases, w->database, d);
		if (d == NULL) /* a reload removed it, and its servers with it */
			return WAIT_IS_OVER;
	}
	switch (w->what) {
	case WAIT_FOR_NO_SERVERS:
		if (d ? !d->is_paused : !proxy_is_paused(x))
			return WAIT_IS_VOID;
		return proxy_busy_servers(x, d) == 0 ? WAIT_IS_OVER : WAIT_GOES_ON;
	case WAIT_FOR_NO_OLD:
		return old_servers(x, d) == 0 ? WAIT_IS_OVER : WAIT_GOES_ON;
	case WAIT_FOR_SILENCE:
		if (x->state != PROXY_SUSPENDED)
			return WAIT_IS_VOID;
		return proxy_is_still(x) ? WAIT_IS_OVER : WAIT_GOES_ON;
	case WAIT_FOR_SWITCHOVER:
	case WAIT_FOR_NOTHING:
		break;
	}
	return WAIT_GOES_ON; /* SHUTDOWN: until the process ends */
}

void
command_wait_cancel(const struct command_wait *w, struct proxy *x)
{
	if (w->what == WAIT_FOR_SWITCHOVER)
		switchover_cancel(x, w->switchover);
	if (w->what != WAIT_FOR_NO_SERVERS && w->what != WAIT_FOR_SILENCE)
		return;
	struct database *d = NULL;
	HASH_FIND_STR(x->databases, w->database, d);
	if (w->database[0] == '\0' || d)
		proxy_resume(x, d);
}

void
command_on_leave(const struct client *c)
{
	struct proxy *x = c->proxy;
	switchover_on_leave(x, c->id);
	if (x->state != PROXY_SUSPENDED || x->suspended_by != c->id)
		return;
	log_warning(client_tag(c), "console: who said SUSPEND has left: RESUME");
	proxy_resume(x, NULL);
}
