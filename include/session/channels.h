/*
 * session/channels.h - who hears what: channels of NOTIFY, those who listen to them, and what they have not been told yet.
 *
 *   NotificationResponse ─► hub_hear ─► channel ─► each ear that hears it here ─► its queue ─► ear_take ─► its client
 *
 * Pure: no sockets, no clients. A notification is made once, and counted by those who have yet to be told of it. An ear that has just
 * begun with a channel is still told by its own server (session/listen.h): what is said there in front of a mark counts, and what
 * is said here behind the same mark.
 */
#ifndef SESSION_CHANNELS_H
#define SESSION_CHANNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <uthash.h>

#include "base/buf.h"
#include "base/list.h"
#include "base/view.h"
#include "wire/message.h"

struct hub {
	struct channel *channels; /* by name */
	struct list ears;
	struct list ready;        /* ears that have something in their queue */
	struct list to_change;    /* channels that LISTEN or UNLISTEN has yet to be said for */
	uint64_t heard, told;     /* notifications that came; and that went into queues: one for each who listens */
	uint64_t heard_bytes;
};

/* Somebody listens to it, or did until a moment ago. */
struct channel {
	UT_hash_handle hh;
	struct list subscriptions;
	struct node change;  /* in hub->to_change */
	bool is_asked;       /* LISTEN was sent for it, and no UNLISTEN since */
	bool is_heard;       /* and it was answered */
	struct subscription *mine; /* ear_adds() only */
	uint64_t asked_for;  /* the number of that LISTEN: the caller's */
	char name[];
};

/* An ear and a channel. */
struct subscription {
	struct node of_channel;
	struct subscription *next; /* of the same ear */
	struct channel *channel;
	struct ear *ear;
	uint64_t mark;    /* the number of the mark that it is handed over by; 0: none was sent yet */
	bool is_done;     /* the ear's own server has said the mark: what it says behind it does not count */
	bool is_here;     /* the mark was heard here: what comes behind it counts */
	bool is_kept;     /* ear_is() only */
};

struct ear {
	struct node node, ready; /* in hub->ears; in hub->ready */
	struct hub *hub;
	void *owner;
	struct subscription *all;
	uint32_t count;
	struct buf queue;        /* of struct queued */
	size_t queue_bytes;      /* of the messages in there */
	bool has_fence;          /* a mark was heard here that its server has not said: what is behind it in the queue waits */
	size_t fence;            /* how many in the queue are in front of it */
	uint32_t own_pid;        /* notifications of this process are its own; 0: of none */
	uint32_t shown_pid;      /* what it reads as the process of its own */
};

/* Every byte of a name but NUL is allowed. Names come as strings, each with its NUL, one behind the other. */
void hub_init(struct hub *h);
void hub_fini(struct hub *h); /* without ears */

void ear_open(struct ear *e, struct hub *h, void *owner);
void ear_close(struct ear *e);

/*
 * It listens to exactly these now. Those that are new are still its own server's to tell of. True: there are such.
 * Queued notifications of those that are gone are dropped, but for those that are due.
 */
bool ear_is(struct ear *e, struct view names);
/* These besides those that it has. */
bool ear_adds(struct ear *e, struct view names);
bool ear_has(const struct ear *e, const char *name);
void ear_names(const struct ear *e, struct buf *out); /* as above */

/* The hand-over of those that are not heard here yet: its channels that are still the server's alone. */
bool ear_waits(const struct ear *e);       /* are there any? */
bool ear_may_mark(const struct ear *e);    /* all of them are listened to here */
void ear_mark(struct ear *e, uint64_t mark); /* a mark is sent for all that have none; numbers differ */
void ear_mark_said(struct ear *e, uint64_t mark);  /* its server has said it */
void ear_mark_heard(struct ear *e, uint64_t mark); /* it has come here */
bool ear_is_here(struct ear *e);           /* all channels, without a mark; whether there were others */
void ear_crosses(struct ear *e);           /* those that wait for their mark to be heard here: it will not be */
/* Is it this server's to tell the client of a notification on this channel? */
bool ear_is_told_by_server(const struct ear *e, const char *name);

/* A notification, to all who hear it here. */
void hub_hear(struct hub *h, const struct notification *n);
/* A message, to this one, in its turn. */
void ear_tell(struct ear *e, struct view message, bool is_notification);
/* A notification that its own server has said, and so in front of the mark. It is due: the server knew what was listened to. */
void ear_tell_said(struct ear *e, struct view message);
/* What is queued now is due, whatever it gives up from now on. */
void ear_owes_queued(struct ear *e);
/* All that is queued, up to a mark that its server has not said yet, added to `out`. */
bool ear_may_take(const struct ear *e);
void ear_take(struct ear *e, struct buf *out);

/* What has to be said to the server: the next channel whose LISTEN or UNLISTEN is due, or NULL. *is_listen: which of them. The caller
 * has said it then, under this number. */
struct channel *hub_next_change(struct hub *h, uint64_t number, bool *is_listen);
void hub_listens(struct hub *h, uint64_t number); /* all that was asked for up to this number is heard from now on */
void hub_lost(struct hub *h);                     /* nothing is heard any more: everything is to be asked for anew */

void channel_add_sql(struct buf *sql, const char *verb, const char *name); /* LISTEN "a"; */

#endif
