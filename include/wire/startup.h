/*
 * wire/startup.h - the first bytes of a connection: the one packet without a letter, in all its forms.
 *
 * Looks only, consumes nothing, decides nothing: whether TLS is offered or a minor version is spoken is the caller's.
 * Source: PostgreSQL 16, 55.2.1 (Start-up), 55.2.10 (SSL), 55.7 (StartupMessage, CancelRequest, SSLRequest,
 * GSSENCRequest); PostgreSQL 17 for direct TLS, 18 for protocol 3.2; limits from its backend_startup.c.
 */
#ifndef WIRE_STARTUP_H
#define WIRE_STARTUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/view.h"

#define PROTOCOL_VERSION(major, minor) ((uint32_t)(major) << 16 | (uint32_t)(minor))
#define PROTOCOL_MAJOR     3
#define PROTOCOL_MINOR_MAX 2 /* the newest that PostgreSQL 18 speaks; there is no 3.1 */

#define STARTUP_CODE_CANCEL UINT32_C(80877102) /* 1234, 5678: what no version number will ever be */
#define STARTUP_CODE_SSL    UINT32_C(80877103)
#define STARTUP_CODE_GSSENC UINT32_C(80877104)

#define STARTUP_BODY_MAX 10000 /* bytes behind the length word (MAX_STARTUP_PACKET_LENGTH) */

enum startup_kind {
	STARTUP_SHORT,          /* no answer before more bytes arrive */
	STARTUP_BAD,            /* not a startup packet of PostgreSQL, or one that is malformed */
	STARTUP_SSL_REQUEST,
	STARTUP_GSSENC_REQUEST,
	STARTUP_CANCEL,         /* pid and key are set */
	STARTUP_START,          /* major version 3: minor and params are set */
	STARTUP_DIRECT_TLS,     /* a TLS handshake record begins here; nothing of it belongs to us, size is 0 */
	STARTUP_OLD_PROTOCOL,   /* major version below 3 */
	STARTUP_NEW_MAJOR,      /* major version above 3 */
};

struct startup {
	enum startup_kind kind;
	uint32_t          size;   /* bytes of the whole packet. What follows an SSLRequest in the same read is an attack */
	uint16_t          major;  /* as asked for; START, OLD_PROTOCOL, NEW_MAJOR */
	uint16_t          minor;
	uint32_t          pid;    /* CANCEL */
	struct view       key;    /* CANCEL: CANCEL_KEY_MIN..CANCEL_KEY_MAX bytes */
	struct view       params; /* START: for startup_next_param(); known to be well-formed */
};

/* Look at the packet at in.p; the answer is also out->kind. Views are good as long as the input is. */
enum startup_kind startup_peek(struct view in, struct startup *out);

/* The next parameter, in the client's order; false: no more. Names are not empty; nothing says that one comes once. */
bool startup_next_param(struct view *params, const char **name, const char **value);

/*
 * The next parameter whose name starts with "_pq_.": a protocol option. We know none, so a client that names one, or
 * asks for a minor version above PROTOCOL_MINOR_MAX, is told by NegotiateProtocolVersion (reply_negotiate).
 */
bool startup_next_protocol_option(struct view *params, const char **name);

/*
 * The parameter "options": switches as for the command line of a server process, split at blanks, a backslash takes
 * what follows literally. Understood: -c name=value, -cname=value, --name=value; a '-' in the name stands for '_'.
 * Source: PostgreSQL 16, pg_split_opts() and ParseLongOption().
 *
 *	char room[strlen(text) + 1]; words are unescaped into it and stay good as long as it is
 *	struct options o = options_over(text, room);
 *	while ((result = options_next(&o, &setting)) == OPTIONS_SETTING) ...
 */
struct options {
	const char *left; /* not read yet */
	char       *room; /* where the next word goes */
};

struct option_setting {
	const char *name;  /* not empty */
	const char *value; /* perhaps empty */
	const char *word;  /* OPTIONS_UNSUPPORTED: the switch to name in the error */
};

enum options_result {
	OPTIONS_END,
	OPTIONS_SETTING,     /* name and value are set */
	OPTIONS_UNSUPPORTED, /* another switch, an argument, or a setting without a value: the caller has to refuse */
};

struct options options_over(const char *text, char *room); /* room: at least strlen(text) + 1 bytes */
enum options_result options_next(struct options *o, struct option_setting *out);

#endif
