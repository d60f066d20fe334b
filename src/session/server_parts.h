/*
 * session/server_parts.h - what the two files about servers' answers have in common; nobody else's business.
 *
 *   server_answers.c   whom each answer goes to
 *   server_errors.c    what an ErrorResponse or a NoticeResponse means beyond that
 */
#ifndef SESSION_SERVER_PARTS_H
#define SESSION_SERVER_PARTS_H

#include "session/server.h"

/* Out of turn, malformed: this connection is not to be trusted with anything any more. False, always: it is closed. */
bool server_is_wrong(struct server *s, const char *what, char letter);
/* A message as far as it is here, and its rest when it comes: to the linked client, if goes. */
void server_pass(struct server *s, const struct frame *f, struct view all, bool goes);
/* A client that was stalled until it is clear what its message means: it may be clear now. NULL is fine. */
void client_go_on(struct client *c);

bool server_run_error(struct server *s, const struct frame *f, struct view all);
bool server_run_asynchronous(struct server *s, const struct frame *f, struct view all);

#endif
