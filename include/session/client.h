/*
 * session/client.h - a client connection: from the first byte to the last, as a state machine.
 *
 *   startup ─► tls ─► startup ─► asking ─► auth ─► welcome ─► idle ◄─► linked  cancelling (a CancelRequest)
 *                                                     └► waiting ─► linked      console (database pgsluice)
 *   linked ─► waiting ─► checking ─► linked (its server was lost: session/lost.h)
 *
 * Owns: its stream, its name for things (statements, parameters). Never: frees its server.
 * Invariant: c->link != NULL exactly in CLIENT_LINKED, _CHECKING, _REPLICATING and _LEARNING.
 */
#ifndef SESSION_CLIENT_H
#define SESSION_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include <uthash.h>

#include "base/fault.h"
#include "base/ip.h"
#include "net/stream.h"
#include "pool/pool.h"
#include "session/cancel_key.h"
#include "session/params.h"
#include "session/proxy.h"
#include "session/statement.h"
#include "wire/frame.h"

enum client_state {
	CLIENT_STARTUP,    /* no startup packet yet; perhaps TLS was agreed */
	CLIENT_TLS,        /* handshake */
	CLIENT_ASKING,     /* a database is asked who it is: auth_query */
	CLIENT_AUTH,       /* asked for a password, or in a SASL exchange */
	CLIENT_WELCOME,    /* authenticated; waits for a server to learn from what to say at login */
	CLIENT_LEARNING,   /* linked: a server judges its startup parameters, or is opened with them for it alone */
	CLIENT_IDLE,
	CLIENT_WAITING,    /* has a request, needs a server */
	CLIENT_LINKED,
	CLIENT_CHECKING,   /* its server is asked whether its request, which is to be sent again, only reads: session/repeat.h */
	CLIENT_ABORTED,    /* its transaction went with its server; it has not ended it yet: session/client_aborted.c */
	CLIENT_REPLICATING, /* its server is its own for life: session/replication.h */
	CLIENT_CANCEL_WAITING, /* its cancel request is for a client of a peer, to which others go first */
	CLIENT_CANCELLING, /* asked to cancel somebody's query; waits for it to be delivered */
	CLIENT_CONSOLE,
	CLIENT_CLOSED,
	CLIENT_STATES
};

/* Which of its messages belong to a request that was cancelled before it had a server. */
enum client_skips { SKIPS_NOTHING, SKIPS_FIRST, SKIPS_TO_SYNC };

struct client_login;
struct listening;
struct console_session;
struct repeat;

struct client {
	struct stream stream;      /* first: what every message touches */
	struct server *link;
	struct pool *pool;         /* NULL before login and on the console */
	struct proxy *proxy;
	struct params *params;     /* what its session should have; NULL before login */
	uint32_t in_left;          /* bytes of the current message that are still to come */
	uint32_t id;               /* unique since start, positive as int4; in its process id: session/cancel_key.h */
	uint8_t state;             /* enum client_state; client_enter() only */
	uint8_t lane;              /* enum lane: by the port it came through */
	bool in_goes : 1;          /* they go to the server; else they are dropped */
	bool in_is_data : 1;       /* they answer nothing and are not answered: of a COPY */
	bool is_unix : 1;          /* through the Unix socket, and not by a balancer for somebody on the network */
	bool is_admin : 1;         /* console: may do everything */
	bool console_waits : 1;    /* console: its command waits for something, and is not read from meanwhile */
	bool tells_wait : 1;       /* was told that it waits (query_wait_notify) */
	bool is_failed : 1;        /* client_fail() ran: no further byte to it */
	bool is_lost_unknown : 1;  /* why_lost, told as 08007 */
	bool is_repeating : 1;     /* what it sent before its server was lost is being read again */
	bool is_stalled : 1;       /* its next message waits for answers to earlier ones */
	bool has_key : 1;          /* is in proxy->keys */
	bool is_proxied : 1;       /* began with a PROXY header: who is at the other end of its socket is a balancer */
	uint8_t minor;             /* of protocol 3 */
	uint8_t skips;             /* enum client_skips */
	uint8_t again_count;       /* how often its request was sent again */
	uint8_t portal_is;         /* CLIENT_ABORTED: enum ending of what it bound last */
	struct waiter waiter;
	uint64_t connect_us, since_us; /* connected; entered its state */
	uint64_t request_us;       /* first message of the current, or last, transaction */
	uint64_t query_us;         /* first message since the last ReadyForQuery; 0: none */

	struct node node;          /* in proxy->clients, then closed_clients */
	struct client *next_key;   /* in proxy->keys */
	struct names statements;   /* by the client's names */
	struct buf unnamed;        /* the last unnamed Parse, so that it can follow its client to another server */
	uint32_t unnamed_on;       /* id of the last server that was given it, or was told that there is none; 0: neither */
	struct params *params_at_login;
	struct params *params_before; /* what `params` go back to when the transaction is rolled back; NULL: they are the same */
	struct buf again;          /* its request, while it waits to be sent again: read as if it had just arrived */
	struct repeat *repeat;     /* what has to be asked before that; NULL: nothing */
	char *why_lost;            /* what happened to its server, until its next message is answered with it; NULL: it was */
	struct listening *listen;  /* what it listens to, in transaction mode; NULL: nothing. session/listen.h */
	struct client_login *login; /* until it is logged in */
	struct console_session *console;
	struct database *database; /* NULL before login and on the console */
	struct role *role;         /* who it logged in as */
	uint32_t linked_count;
	uint32_t own_definitions;  /* of temporary objects: what its texts mean is its alone; 0: none. Unique in the process */
	uint32_t told_by;          /* id of the server whose process id it has read last; 0: none */
	uint64_t kept_until_us;    /* its process was named a moment ago: PIN_UNKNOWN stays */
	uint32_t named_by;         /* CLIENT_WAITING for this only: id of the client that has named its process; session/pids.h */
	uint64_t names_us;         /* since when it waits for the server of one that it names; 0: it does not */
	uint16_t pins;             /* enum pin: it keeps its server; session/pins.c only */
	uint16_t pins_told;        /* what it was told that it can't keep */
	uint32_t unnamed_shape, unnamed_touches; /* struct touch of the unnamed statement */
	uint64_t pinned_us;        /* since when; 0: it is not */
	struct ip_address address; /* that of its socket, or the one that its PROXY header carries */
	uint16_t port;             /* with it */
};

/* Its server is its own beyond the transaction: what is there can't be had from another. */
static inline bool
client_keeps_server(const struct client *c)
{
	return c->pins || c->pool->rules.pool_mode == POOL_MODE_SESSION;
}

/* Are names of statements translated, or is one server the client's for good? Those it has stay so if the mode changes. */
static inline bool
client_translates(const struct client *c)
{
	return (c->pool->rules.pool_mode != POOL_MODE_SESSION || c->statements.map) &&
	       c->proxy->config->settings.max_prepared_statements > 0;
}

/* Is it to be known what its texts do to its session? */
static inline bool
client_is_watched(const struct client *c)
{
	return c->pool->rules.pool_mode != POOL_MODE_SESSION &&
	       c->proxy->config->settings.session_tracking != TRACKING_OFF;
}

/* It has made, changed or dropped a temporary object. */
void client_define(struct client *c);
/* What its texts mean hangs on this, too: which definitions there are, its own or everybody's. */
uint32_t client_definitions(struct client *c);

void client_new(struct proxy *x, int fd, bool is_unix, enum lane lane);
void client_refuse(struct proxy *x, int fd, const char *text, const char *hint); /* too many: say so and close */

/* The only place that assigns c->state. `why` is for the debug log. */
void client_enter(struct client *c, enum client_state to, const char *why);

/*
 * The one place that ends a client with an error: ErrorResponse (FATAL), log line, counters, close. Its server, if any, is
 * made ready for others or closed.
 */
void client_fail(struct client *c, const struct fault *f);
/* The same without a line in the log: for those who come by the thousand. */
void client_cut(struct client *c, const struct fault *f);
/* Ends it without a word: it left, or it was told already. */
void client_close(struct client *c, enum fault_by by, const char *reason);
void client_free(struct client *c); /* proxy_reap only */

void client_send(struct client *c, struct view v); /* bytes of our own; copied */
void client_notice(struct client *c, const char *sqlstate, const char *text, const char *hint);

void client_cancel_waiting(struct client *c); /* its request is answered with 57014 instead of being run */

/* From settle and link: it has a server now, or none will come. */
void client_linked(struct client *c);
void client_parted(struct client *c);

size_t client_handle(struct client *c, struct view in); /* messages of a client that is logged in */
void client_handle_again(struct client *c);              /* those of its request that is sent again */
void client_skip(struct client *c, const struct frame *f, struct view all); /* a message, while c->skips */

/* session/client_aborted.c: its transaction was lost with its server. why: for the error it will read, NULL: it has. */
void client_abort(struct client *c, const char *why);
size_t client_aborted_handle(struct client *c, struct view in);
/* ERROR 40001 (or failover_aborted_sqlstate) into b. */
void client_add_aborted(const struct client *c, struct buf *b, bool is_block, const char *why);
void client_add_failed(struct buf *b); /* ERROR 25P02 */
void client_add_unknown(struct buf *b, const char *why); /* ERROR 08007 */
/* Its server is lost, and so is what was not committed there, outside of a block: its next message will be answered with the
 * error. Now nothing is asked, and drivers take an error for a notice then: they would believe that the Sync commits. */
void client_fail_later(struct client *c, bool is_unknown, const char *why);
/* A statement that it has prepared, its text and its parameters' types as given; "" is the unnamed one. False: no such, or
 * not known. */
bool client_statement(const struct client *c, const char *name, struct view *text, struct view *types);

const char *client_state_name(enum client_state s); /* SHOW CLIENTS' words */
const char *client_tag(const struct client *c);     /* "C17": static storage, good for one log line */
bool client_is_counted(const struct client *c);     /* in SHOW CLIENTS */

/* Where it is: what rules, limits and logs go by. Family AF_UNIX: through the Unix socket. */
void client_address(const struct client *c, struct sockaddr_storage *out);
void client_address_text(const struct client *c, char *host, size_t room, uint16_t *port); /* "unix" and 0, then */

/* What it may be named by in a cancel request: derived from its id, never stored. */
uint32_t client_cancel_pid(const struct client *c); /* from now on */
size_t client_cancel_key(const struct client *c, uint32_t pid, uint8_t out[CANCEL_KEY_BYTES]); /* to go with pid */

/* session/client_login.c */
size_t client_login_on_data(struct client *c, struct view in);
void client_login_on_tls(struct client *c);
void client_login_on_link(struct client *c);   /* has a server to learn from */
void client_login_learned(struct client *c, const char *sqlstate, const char *error); /* error NULL: it accepted all */
void client_login_again(struct client *c); /* the server that it was to learn from is lost */
void client_login_begin(struct client *c);
void client_login_leave(struct client *c); /* it no longer waits to be looked up */
void client_login_free(struct client *c);

#endif
