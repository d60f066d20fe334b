/*
 * admin/commands.h - what can be said on the console: a table of commands with arguments, rank, help and handler.
 *
 * A text is first understood (pure), then run. Some commands wait: the answer is held back until a condition holds, which
 * is asked for at the end of each turn of the loop.
 */
#ifndef ADMIN_COMMANDS_H
#define ADMIN_COMMANDS_H

#include <stdbool.h>

#include "admin/grammar.h"
#include "admin/show.h"
#include "base/buf.h"
#include "base/text.h"
#include "config/config.h"

struct proxy;
struct client;
struct command;

/* A text that makes sense. Points to static tables only: good for ever, so it is also what a prepared statement keeps. */
struct understood {
	const struct command    *command; /* NULL: an empty text, nothing to do */
	const struct show_table *table;   /* what SHOW answers with; NULL: no rows */
	struct sentence          said;
};

/* False: *why is the error for the client. `text` is anything a client sent. */
bool command_understand(struct view text, bool is_admin, struct understood *out, struct text *why);

enum command_result {
	COMMAND_DONE,   /* answer with the tag */
	COMMAND_FAILED, /* answer with the error */
	COMMAND_WAITS,  /* answer with the tag when wait is over */
};

enum wait_for {
	WAIT_FOR_NOTHING,
	WAIT_FOR_NO_SERVERS, /* PAUSE: all server connections are closed */
	WAIT_FOR_NO_OLD,     /* WAIT_CLOSE: those that are to be closed are */
	WAIT_FOR_SILENCE,    /* SUSPEND: all that was under way has been sent */
	WAIT_FOR_SWITCHOVER, /* it is over, one way or the other */
};

struct command_wait {
	enum wait_for what;
	char          database[DATABASE_NAME_MAX]; /* "": all */
	uint64_t      switchover;                  /* its number */
};

struct command_run {
	struct proxy  *proxy;
	struct client *client; /* who asks; may be closed by what it asks for */
	struct buf    *out;    /* notices go here, ahead of the answer */
	struct command_wait wait;
	const char    *sqlstate; /* of the error */
	char           detail[1000]; /* of the error; "": none */
	char           error[SENTENCE_VALUE_MAX + 1];
	char           tag[SENTENCE_ARGUMENT_MAX + SENTENCE_VALUE_MAX + 8];
};

/* *run: proxy, client and out are given, the rest is answered. Of SHOW only HELP comes here: tables are the caller's. */
enum command_result command_do(const struct understood *u, struct command_run *run);

enum wait_result {
	WAIT_GOES_ON,
	WAIT_IS_OVER,
	WAIT_IS_VOID, /* it will never be: somebody resumed */
	WAIT_FAILED,  /* it was tried */
};
/* *words: what there is to say about it; often nothing. */
enum wait_result command_wait_ask(const struct command_wait *w, struct proxy *x, struct text *words);

/* The client wants its command cancelled: undo the pause it waits for. It has left: undo its SUSPEND. */
void command_wait_cancel(const struct command_wait *w, struct proxy *x);
void command_on_leave(const struct client *c);

#endif
