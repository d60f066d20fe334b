/*
 * session/scheduled.h - prepares for the moment of `patronictl switchover --scheduled` (cluster/schedule.h) as if its leader had
 * said POST /hold: scheduled_switchover_lead before it. Lets go when another member leads, when the leader has gone and come back,
 * or when it is not scheduled any more and nothing has happened.
 */
#ifndef SESSION_SCHEDULED_H
#define SESSION_SCHEDULED_H

struct hold;

void scheduled_open(struct hold *h);
void scheduled_close(struct hold *h);
void scheduled_on_second(struct hold *h);

#endif
