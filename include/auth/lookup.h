/*
 * auth/lookup.h - the users that auth_query is asked for in one place: which question comes next, who waits for it, and for
 * how long an answer counts. Pure: who asks, and how, is the session layer's.
 *
 *   lookup_want ─► an answer that still counts: at once. Else the asker waits
 *   lookup_next ─► the question to send now ─► lookup_answer or lookup_fail ─► its askers, to be told
 *                                           └► lookup_again: could not be asked there; first in the queue
 *
 * An answer counts for ttl_us from the moment its question was sent. Whoever comes later waits for the next question, which
 * all that come until it is sent share. So with a ttl of 0 a login is always judged by what the server said after the
 * login had begun: a password that was changed before is in force, and one question at a time for each user is enough.
 * Source: PgBouncer 1.25, config.md auth_query (which is asked at every login).
 */
#ifndef AUTH_LOOKUP_H
#define AUTH_LOOKUP_H

#include <stdbool.h>
#include <stdint.h>

#include <uthash.h>

#include "auth/secret.h"
#include "base/list.h"

struct lookup_limits {
	uint64_t ttl_us;
	uint32_t running_max;   /* questions sent and not answered */
	uint32_t questions_max; /* users that are waited for */
	uint32_t kept_max;      /* answers that are kept */
};

struct lookup_question; /* about one user */

/* Somebody who waits; embedded in what it is. */
struct lookup_asker {
	struct node node;           /* in a list of the question, or of those to be told */
	struct lookup_question *of; /* NULL: it does not wait, or is to be told */
};

struct lookup_question {
	UT_hash_handle hh;
	struct node queued;    /* in lookup->queue, or, kept and not asked, in lookup->kept */
	struct list next;      /* askers who wait for it to be sent */
	struct list now;       /* askers whom the answer under way is for */
	bool is_running;
	bool has_answer;
	bool is_known;         /* has_answer: there is such a user, and this is what he has */
	struct secret secret;
	uint64_t sent_us;      /* the one under way */
	uint64_t answer_us;    /* when the one was sent whose answer this is */
	uint64_t tried;        /* the owner's: where it could not be asked; 0 for a new question */
	char user[];
};

struct lookup {
	struct lookup_question *questions; /* by user */
	struct list queue;     /* to be sent, in order of arrival */
	struct list kept;      /* answers that nobody waits for, oldest first */
	uint32_t running;
	uint64_t asked, cached, joined; /* questions sent; askers who were answered at once, or shared another's question */
};

void lookup_init(struct lookup *l);
void lookup_fini(struct lookup *l); /* nobody waits; secrets are erased */

enum lookup_result { LOOKUP_KNOWN, LOOKUP_UNKNOWN, LOOKUP_WAIT, LOOKUP_FULL };

/* LOOKUP_KNOWN: *secret is good until the next call. LOOKUP_WAIT: the asker waits. LOOKUP_FULL: too many are waited for. */
enum lookup_result lookup_want(struct lookup *l, const struct lookup_limits *limits, const char *user,
                               struct lookup_asker *asker, uint64_t now_us, const struct secret **secret);
void lookup_leave(struct lookup *l, struct lookup_asker *asker); /* it waits no longer; harmless when it does not */

/* The next in order, without sending it; NULL: none, or as many run as may. */
struct lookup_question *lookup_first(struct lookup *l, const struct lookup_limits *limits);
void lookup_send(struct lookup *l, struct lookup_question *q, uint64_t now_us); /* it is under way */
void lookup_again(struct lookup *l, struct lookup_question *q);

/*
 * It was answered: secret NULL: there is no such user. Its askers are moved to *told, which the caller has initialised; then
 * q may be gone. An asker in it is told by its owner, who takes it out first.
 */
void lookup_answer(struct lookup *l, const struct lookup_limits *limits, struct lookup_question *q,
                   const struct secret *secret, uint64_t now_us, struct list *told);
/* No answer will come: those for whom it was sent are told so; whoever came since gets a question of his own. */
void lookup_fail(struct lookup *l, struct lookup_question *q, struct list *told);

void lookup_forget(struct lookup *l, const char *user); /* what is kept of him is doubtful */
void lookup_expire(struct lookup *l, const struct lookup_limits *limits, uint64_t now_us);
void lookup_take_all(struct lookup *l, struct list *askers); /* everybody who waits; questions under way go on without askers */

static inline bool
lookup_is_waited_for(const struct lookup *l)
{
	return l->running > 0 || !list_is_empty(&l->queue);
}

#endif
