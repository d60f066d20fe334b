/* session/graphs.h - the state machines of a change of leader, for people: src/session/states.md. Not part of the program. */
#ifndef SESSION_GRAPHS_H
#define SESSION_GRAPHS_H

#include "base/buf.h"

void graphs_write(struct buf *out);

#endif
