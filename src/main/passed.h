/*
 * main/passed.h - listening sockets that were passed to us (systemd's socket activation).
 */
#ifndef MAIN_PASSED_H
#define MAIN_PASSED_H

#include <stdbool.h>

#include "base/text.h"
#include "config/settings.h"

enum { PASSED_MAX = 32, PASSED_NAME_MAX = 64 };

struct passed_socket {
	int fd;
	int port; /* 0: a Unix socket that is not named after one */
	bool is_unix;
	char name[PASSED_NAME_MAX]; /* FileDescriptorName= */
};

struct passed {
	struct passed_socket sockets[PASSED_MAX];
	int count;
};

/* By the environment, which is cleaned. To be called before fork(): they are for this process id. False: *why. */
bool passed_take(struct passed *out, struct text *why);

/* What clients find there: by its name read-write, read or http; else by its port; else reading and writing. */
enum passed_use { PASSED_FOR_WRITE, PASSED_FOR_READ, PASSED_FOR_HTTP };
enum passed_use passed_use(const struct passed_socket *s, const struct settings *set);

#endif
