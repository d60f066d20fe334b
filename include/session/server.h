/*
 * session/server.h - a server connection: from connect to its last transaction, as a state machine.
 *
 *   connect ─► tls ─► login ─► settling ─► idle ◄─► linked ─► draining ─► settling ─► idle
 *                       └► replicating (one client's from the beginning to the end: session/replication.h)
 *
 * Owns: its stream, what was prepared and set there, what it owes. Never: decides who gets it (pool/plan).
 * Invariant: s->link != NULL exactly in SERVER_LINKED, and all along where s->replication; an idle server owes nothing and is in no transaction.
 */
#ifndef SESSION_SERVER_H
#define SESSION_SERVER_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/fault.h"
#include "net/stream.h"
#include "pool/pool.h"
#include "session/owed.h"
#include "session/params.h"
#include "session/prepared.h"
#include "session/proxy.h"
#include "session/statement.h"
#include "session/touch.h"
#include "wire/message.h"

enum server_state {
	SERVER_CONNECT,  /* name, socket */
	SERVER_TLS,      /* asked for TLS, or in the handshake */
	SERVER_LOGIN,    /* startup packet sent */
	SERVER_REPLICATING,
	SERVER_LISTENING, /* hears notifications for many clients: session/listener.h */
	SERVER_SETTLING, /* answers a question of our own: slot TESTED (or LOGIN, before its first use) */
	SERVER_IDLE,
	SERVER_LINKED,
	SERVER_DRAINING, /* its client is gone, its answers are thrown away; slot TESTED */
	SERVER_CLOSED,
	SERVER_STATES
};

/* Questions of our own. */
enum question {
	QUESTION_NONE,
	QUESTION_CONNECT,  /* connect_query */
	QUESTION_BASE,     /* what connect_query has set */
	QUESTION_RECOVERY, /* pg_is_in_recovery(), where the server does not report in_hot_standby */
	QUESTION_CHECK,    /* server_check_query */
	QUESTION_ROLE,     /* a bare Sync: was it promoted? */
	QUESTION_ROLLBACK, /* its client left a transaction behind */
	QUESTION_RESET,    /* server_reset_query */
	QUESTION_DISCARD,  /* what its client has left on it is taken away: session/pins.h */
	QUESTION_NAMES,    /* linked: does what its client's request names only read? session/repeat.h */
	QUESTION_STATE,    /* linked: what does the session have? session/state.h */
	QUESTION_CUSTOM_NAMES, /* which settings do functions name? session/custom_names.h */
};

struct listener;
struct server_login;
extern const struct stream_ops server_ops;

struct server {
	struct stream stream;
	struct client *link;
	struct pool *pool;
	struct proxy *proxy;
	struct params *params;     /* what its session has now */
	struct params *params_wanted; /* what it will have when our SET is done; NULL: none is under way */
	struct owed owed;
	struct slot slot;
	uint32_t in_left;          /* bytes of the current message that are still to come */
	bool in_goes;              /* they go to the client */
	bool pops_later;           /* an answer of ours waits for the end of the current message */
	char status;               /* of the last ReadyForQuery: I, T or E */
	uint8_t state;             /* enum server_state; server_enter() only */
	uint8_t question;
	bool is_copy_in;           /* reads CopyData: Sync and Flush are ignored by it */
	bool is_broken_off;        /* it said FATAL in the place of an answer: lost_is_broken_off() */
	bool is_goodbye_told;      /* its FATAL was passed on: the client knows */
	bool has_spoken;           /* part of the answer to the client's request has been passed on */
	bool has_failed;           /* so was an error of it; its ReadyForQuery was not yet */
	bool has_completed;        /* so was a CommandComplete, likewise */
	bool may_unsay;            /* that part was passed on in this event, and has not left yet */
	bool keeps_all;            /* `kept` is every byte that the client sent since it was last cleared */
	bool keeps_no_more;        /* data of a COPY follow, which are not kept */
	uint64_t sends_before;     /* loop->sends when this event began */
	uint32_t kept_answered;    /* requests at the front of `kept` that are done */
	struct buf kept;           /* what the client sent since nothing was owed to it: for the case that this server is lost */
	uint32_t loose_syncs;      /* sent ahead of a COPY's data: ignored, or, if the COPY failed early, answered */
	bool has_defined;          /* CREATE, ALTER or DROP in this transaction */
	bool is_dying;             /* said FATAL; not used again */
	bool question_failed;
	bool cleans_all;           /* QUESTION_DISCARD: by DISCARD ALL */
	bool is_soiled;            /* a client used it since it was last clean */
	bool knows_role;           /* reports in_hot_standby */
	uint8_t replication;       /* enum replication; not none: it is its client's own, from its opening on */
	struct listener *listener; /* whose connection it is, from its opening on; NULL: it serves clients */
	bool listens;              /* its session may listen to something, which UNLISTEN * has yet to end: session/listen.h */
	bool listens_due;          /* and it is not known to what: listen_is() is to come */
	uint32_t unnamed_of;       /* id of the client whose unnamed statement it holds; 0: nobody's */
	uint32_t sequences_of;     /* id of the client that lastval() and currval() tell of: who was linked last */
	uint32_t cancels;          /* cancel requests to it under way */
	struct holdings holdings;
	struct own own;
	uint32_t touched;          /* enum touch_bit: what it will have to be asked when the link is at rest */
	struct touch_shapes touch_shapes; /* of texts that may have done it unseen */
	bool is_touched_later;     /* pinned: something ran since it was last asked */
	uint32_t left;             /* enum pin, and LEFT_SETTINGS: what its last client has left there */
	uint32_t cleaning;         /* of `left`: what is being taken away */
	char lone_set[64], lone_value[32]; /* TOUCH_LONE_SET: name, value */
	struct buf touch_names;    /* of settings that texts have named, each with its NUL */
	struct state_asked *asked; /* the question is under way: session/state.c; NULL: none is */

	struct node node;          /* in proxy->servers, then closed_servers */
	uint32_t id;
	uint32_t pid;              /* of the backend process */
	struct buf key;            /* its cancel key */
	uint64_t connect_us, since_us;
	uint64_t request_us;       /* the last answer: SHOW SERVERS' request_time */
	uint64_t linked_us;
	struct sockaddr_storage address; /* where it is connected to: cancel requests go there too */
	socklen_t address_bytes;
	struct server_login *login; /* until it is ready */
	char why_dying[160];       /* its FATAL, or why our question failed */
	char why_state[6];         /* SQLSTATE of it */
};

/* for_client: whose own it will be, or NULL. */
void server_open(struct proxy *x, struct pool *p, uint16_t member_id, struct client *for_client);
void server_open_listener(struct proxy *x, struct pool *p, uint16_t member_id, struct listener *l);
void server_enter(struct server *s, enum server_state to, const char *why);

/* Close it; a linked client is told and closed too. by and why are logged. */
void server_close(struct server *s, enum fault_by by, const char *why);
void server_free(struct server *s); /* proxy_reap only */

/* Close it because it is gone, or cannot be used any more though its client did no wrong: the client is settled with, and
 * keeps its connection if that can be (session/lost.h). */
void server_lost(struct server *s, enum fault_by by, const char *why);

/* Free again after a link, a question or a cancel: close it, clean it, or give it back to the pool. */
void server_release(struct server *s);
void server_ask(struct server *s, enum question q, const char *sql);
void server_drain(struct server *s); /* its client has left in the middle */

const char *server_state_name(const struct server *s);
const char *server_tag(const struct server *s);

static inline struct server *
server_of_slot(struct slot *slot)
{
	return node_owner(slot, struct server, slot);
}

/* Nothing is owed to its client: what it says from now on is kept anew. */
static inline void
server_keep_anew(struct server *s, bool is_between_messages)
{
	buf_clear(&s->kept);
	s->kept_answered = 0;
	s->has_spoken = s->has_failed = s->has_completed = s->keeps_no_more = false;
	s->keeps_all = is_between_messages;
}

enum { KEPT_MAX = 16 * 1024, KEPT_ROOM_IDLE = 4096 };

static inline void
server_keep(struct server *s, struct view v)
{
	if (s->keeps_no_more || !s->keeps_all)
		return;
	struct buf *b = &s->kept;
	if (b->n + v.n > KEPT_MAX) {
		s->keeps_all = false;
	} else if (v.n > 0) {
		if (b->room - b->n < v.n)
			buf_reserve(b, v.n);
		memcpy(b->p + b->n, v.p, v.n);
		b->n += v.n;
	}
}

/* session/server_answers.c */
size_t server_answers_on_data(void *owner, struct view in);
bool server_note_error(struct server *s, const struct error_fields *e); /* true: it is fatal, the server goes */

/* From there: the last answer to a question of ours is in; or it drains, and nothing is owed any more. */
void server_answered(struct server *s);
void server_drained(struct server *s);

/* session/server_login.c */
void server_login_begin(struct server *s);
size_t server_login_on_data(struct server *s, struct view in);
void server_login_on_open(struct server *s);
void server_login_on_end(struct server *s, enum stream_end why, const char *text);
void server_login_free(struct server *s);
void server_login_unreachable(struct server *s, const char *why); /* from session/server_reach.c: ends it */
void server_login_back_off(struct server *s); /* its login has failed: the next one to this member waits a while */
/* After login and after each of the questions that follow it. */
void server_login_next(struct server *s);
/* Cancel requests begin TLS as logins do. */
static inline bool
server_tls_is_direct(const struct proxy *x)
{
	return x->config->settings.server_tls_negotiation == TLS_NEGOTIATION_DIRECT;
}
/* A ParameterStatus was read, at login or later. */
void server_parameter(struct server *s, const char *name, const char *value);

/* What clients of a pool are told at login besides their own parameters. */
struct welcome {
	struct buf facts; /* ParameterStatus messages: server_version and the like */
};

#endif
