/*
 * session/client_parts.h - what the two files about clients' messages have in common; nobody else's business.
 *
 *   client_messages.c     getting a server; Query, Execute, Sync, COPY; the loop over what arrives
 *   client_statements.c   Parse, Bind, Describe, Close: whose statement is prepared where, and under which name
 */
#ifndef SESSION_CLIENT_PARTS_H
#define SESSION_CLIENT_PARTS_H

#include "session/client.h"
#include "session/server.h"
#include "session/touch.h"
#include "sql/facts.h"

enum flow {
	FLOW_MORE, /* this message is dealt with; what is still to come of it follows c->in_left */
	FLOW_WAIT, /* not touched: more of it has to arrive, or a server; the stream is paused in the latter case */
	FLOW_GONE, /* the client is closed */
};

enum { TEXT_WHOLE_MAX = 32 * 1024 }; /* of a longer text the server is told while it arrives: it may do anything */

enum flow client_protocol_error(struct client *c, const char *text);
/* FLOW_MORE: it is linked. FLOW_WAIT: it queues, and client_linked() goes on. */
enum flow client_need_server(struct client *c);
/* The server will ignore the message, so nothing is owed for it, and what it was to change is not changed. */
void client_owe_nothing(struct client *c, struct owed_item item);
/*
 * What LISTEN has to do with a text that goes to the server: runs, or is only parsed for the time being. True: nothing is left to do
 * before it goes.
 */
bool client_may_go(struct client *c, uint32_t bits, struct view text, bool runs);
/* What this text names can't be had here (pinning = refuse), or 0: enum pin. */
uint32_t client_refused(const struct client *c, const struct sql_facts *facts);
/* What fails goes in the place of a message: the server's transaction fails as it must, and in its turn. */
void client_send_refused(struct client *c, const struct frame *f, struct view all, struct owed_item item, const char *name);
/* What the text names by names of statements must be on the server. */
enum flow client_before_text(struct client *c, uint32_t bits, const struct sql_facts *facts);
void client_note_text(struct client *c, struct touch t, const struct sql_facts *facts);

enum flow client_run_parse(struct client *c, const struct frame *f, struct view all);
enum flow client_run_bind(struct client *c, const struct frame *f, struct view all);
enum flow client_run_describe(struct client *c, const struct frame *f, struct view all);
enum flow client_run_close(struct client *c, const struct frame *f, struct view all);

static inline void
forward(struct client *c, const struct frame *f, struct view all)
{
	stream_send(&c->link->stream, all);
	c->in_left = f->size - (uint32_t)all.n;
	c->in_goes = true;
}

static inline void
drop(struct client *c, const struct frame *f, struct view all)
{
	c->in_left = f->size - (uint32_t)all.n;
	c->in_goes = false;
}

static inline void
owe(struct client *c, struct owed_item item)
{
	struct owed *o = &c->link->owed;
	if (__builtin_expect(o->is_skipping && item.what != OWED_SYNC, 0))
		client_owe_nothing(c, item);
	else
		owed_push(o, item);
}

/* In the middle of a COPY the server takes data only; anything else would end in confusion about who answers what. */
static inline bool
is_in_copy(const struct client *c)
{
	return c->link->is_copy_in;
}

#endif
