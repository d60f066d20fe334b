/*
 * session/repeat.h - a request that was in flight when its server was lost, and that only reads if what it names does: the
 * next server is asked that first (sql/question.h), on the very connection that the request then goes to.
 *
 *   repeat_ask_first ─► waits for a server ─► repeat_begin: checking ─► repeat_answered ─► linked, and sent again
 *                                                                                     └► repeat_refuse: 08007, or 40001
 *
 * Why asked then, and not learnt before: what was known of a catalog some time ago may have been changed since; the one who
 * will run the request knows, and to ask costs nothing until a server is lost. Is its answer true of the server that was
 * lost? WAL is replayed in its order, so that a new leader has all that was committed up to some moment, and nothing since.
 *   - A function, view ... that the new leader lacks, or has as it was before that moment: what the request may have done by
 *     what came after it is behind that moment too, and is as lost as if it had not been run.
 *   - What was changed after the request was sent, and has reached the new leader: if it was made worse, this is seen, and it
 *     is not sent again. Only what acted while the request ran, and was replaced by something that reads, under the same name
 *     and before its server was lost, is taken for what it is now.
 */
#ifndef SESSION_REPEAT_H
#define SESSION_REPEAT_H

#include <stdbool.h>

#include "base/view.h"

struct client;
struct fault;
struct lost_names;
enum lost_verdict;

/* Its server is lost, its request is in c->again. Takes the names. otherwise: LOST_UNKNOWN or LOST_NOT_DONE; why: for the
 * error then. */
void repeat_ask_first(struct client *c, struct lost_names *names, enum lost_verdict otherwise, const char *why);

/* It has a server. False: that is asked now, and will call repeat_answered(). */
bool repeat_begin(struct client *c);
void repeat_on_row(struct client *c, const struct view *value); /* NULL: the value is null */
void repeat_answered(struct client *c, const char *error);      /* error NULL: there was none. The client may be closed */

/* It is not sent again: each request in it is answered with the error, and the client may go on. Waiting or checking. */
void repeat_refuse(struct client *c, const char *reason);

/* Whoever ends a client that waits for this must not tell it that nothing was done. False: *f is true as it is. */
bool repeat_makes_unknown(const struct client *c, const struct fault *f, struct fault *out);

void repeat_end(struct client *c); /* NULL is fine */

#endif
