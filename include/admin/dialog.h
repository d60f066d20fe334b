/*
 * admin/dialog.h - one console session as the protocol sees it: simple and extended queries whose statements are commands.
 *
 *   message ─► dialog_on_message ─► command_understand, command_do, show_* ─► answers added to a buf
 *
 * Owns: the session's prepared statements and portals, and the command it waits for. Never: touches a socket.
 * Invariant: while is_waiting no message is handled; console.c stops reading.
 * Source: PostgreSQL 16, 55.2.2 Simple Query and 55.2.3 Extended Query.
 */
#ifndef ADMIN_DIALOG_H
#define ADMIN_DIALOG_H

#include <stdbool.h>

#include "admin/commands.h"
#include "base/buf.h"
#include "wire/frame.h"

struct proxy;
struct client;
struct prepared;
struct portal;

struct dialog {
	struct proxy    *proxy;
	struct client   *client;     /* who talks; not owned */
	struct prepared *statements; /* owned */
	struct portal   *portals;    /* owned */
	bool is_admin;
	bool is_skipping; /* after an error in the extended protocol: until the next Sync */
	bool is_waiting;
	bool is_simple;   /* what waits came by Query: ReadyForQuery follows */
	struct command_wait wait;
	char tag[SENTENCE_WORD_MAX + 1]; /* of what waits */
};

void dialog_init(struct dialog *d, struct proxy *x, struct client *client, bool is_admin);
void dialog_fini(struct dialog *d);

/* False: the client broke the protocol and is to be told *why and closed. */
bool dialog_on_message(struct dialog *d, const struct frame *f, struct buf *out, struct text *why);

/* Ask whether the wait is over; if so the answer is in out and is_waiting false. */
void dialog_ask(struct dialog *d, struct buf *out);

#endif
