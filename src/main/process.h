/*
 * main/process.h - what the files of this layer share: the arguments, and the process around the proxy.
 */
#ifndef MAIN_PROCESS_H
#define MAIN_PROCESS_H

#include <stdbool.h>

#include "net/listener.h"
#include "session/proxy.h"

#ifndef PGSLUICE_VERSION
#define PGSLUICE_VERSION "0.1.0"
#endif

struct options {
	const char *file; /* NULL: environment alone */
	const char *user;
	int verbose;
	bool is_quiet, checks;
};

enum { LISTENERS_MAX = 64, SIGNALS = 7 };

/* A listener knows its lane; both know the process. */
struct door {
	struct listener *listener;
	struct process *process;
	enum lane lane;
	bool is_unix;
};

struct process {
	struct proxy *proxy;
	const struct options *options;
	struct http *http;
	struct door doors[LISTENERS_MAX];
	unsigned door_count;
	struct loop_signal *signals[SIGNALS];
	const char *pidfile;
};

/* options.c */
int read_options(int argc, char **argv, struct options *o); /* -1: go on; else the exit status */

/* doors.c */
struct listener_options listener_options_of(const struct settings *set);
bool open_doors(struct process *p, struct text *why);
void close_doors(void *context); /* stopping: nobody else comes in. The Unix sockets stay for the console */

/* signals.c */
void take_signals(struct process *p);

/* identity.c */
bool become(const char *name); /* the system's user we are from now on; "": stay who we are */
bool write_pidfile(struct process *p, const char *path);

#endif
