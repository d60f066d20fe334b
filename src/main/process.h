/*
 * main/process.h - what the files of this layer share: the arguments, and the process around the proxy.
 */
#ifndef MAIN_PROCESS_H
#define MAIN_PROCESS_H

#include <stdbool.h>

#include "net/listener.h"
#include "passed.h"
#include "session/proxy.h"

#ifndef PGSLUICE_VERSION
#define PGSLUICE_VERSION "0.1.0"
#endif

struct options {
	const char *file; /* NULL: environment alone */
	const char *user;
	int verbose;
	bool is_quiet, checks;
	bool is_daemon;   /* -d */
	bool takes_place; /* -R */
};

enum { LISTENERS_MAX = 64, SIGNALS = 7 };

/* A listener knows its lane; both know the process. */
struct door {
	struct listener *listener;
	struct process *process;
	enum lane lane;
	bool is_unix, is_passed;
};

struct process {
	struct proxy *proxy;
	const struct options *options;
	struct passed passed; /* sockets that were open before us; in use by doors and http */
	struct timer *watchdog;
	struct http *http;
	struct door doors[LISTENERS_MAX];
	unsigned door_count;
	struct loop_signal *signals[SIGNALS];
	char *pidfile;       /* a copy; NULL: none was written */
	int pidfile_fd;      /* holds the lock */
	int foreground;      /* daemon: who started us waits at the other end; -1: nobody does */
};

/* options.c */
int read_options(int argc, char **argv, struct options *o); /* -1: go on; else the exit status */

/* doors.c */
struct listener_options listener_options_of(const struct settings *set);
void adopt_doors(struct process *p); /* what was passed; it takes the place of what the settings would open */
bool open_ports(struct process *p, struct text *why); /* all or none */
void open_unix_sockets(struct process *p);
bool open_http(struct process *p, struct text *why);
bool has_doors(const struct process *p);
void stop_accepting(struct process *p); /* our own Unix sockets stay open, for the console */
void close_doors(struct process *p);

/* signals.c */
void take_signals(struct process *p);

/* identity.c */
bool become(const struct settings *set, const struct options *o); /* user=, if there is one. False: said why */
void warn_of_identity(const struct options *o);

/* daemon.c */
bool daemon_is_possible(const struct settings *set); /* else said on stderr what is missing */
bool daemon_begin(struct process *p); /* returns in the child only; false: can't, said why */
void daemon_ready(struct process *p); /* nothing more goes to stderr */

/* pidfile.c */
bool pidfile_take(struct process *p, const char *path, struct text *why); /* "": none is wanted */
int pidfile_owner(const char *path); /* the pgsluice that runs with it; 0: none */
void pidfile_drop(struct process *p);

#endif
