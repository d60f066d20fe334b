/*
 * tests/session/patronis.h - the Patronis of the scenarios: member n1 has its PostgreSQL at 127.0.0.1:7001 and its REST API at
 * http://127.0.0.1:8001, n2 at 7002 and 8002, and so on. Each has a standing answer, or lets one wait, or refuses.
 *
 *	patroni n1 200 primary running 1 [unlocked]   status, role, state, timeline: from now on, and to what waits
 *	patroni n1 waits                              for its next answer
 *	patroni n1 refuses
 *	patroni order STATUS WORDS                    answers POST /switchover
 */
#ifndef TESTS_SESSION_PATRONIS_H
#define TESTS_SESSION_PATRONIS_H

#include <stdbool.h>

#include "speak.h"

void patronis_reset(void);
bool patronis_act(const struct words *w); /* false: what does that mean? */
bool patronis_on_turn(void);              /* answers what there is; whether there was something */

#endif
