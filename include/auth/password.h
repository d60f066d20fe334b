/*
 * auth/password.h - is this clear-text password right? And: keep plain passwords stretched before they are needed.
 */
#ifndef AUTH_PASSWORD_H
#define AUTH_PASSWORD_H

#include <stdbool.h>
#include <stddef.h>

#include "auth/scram.h"
#include "auth/users.h"

/*
 * Check a password sent in clear against any kind of secret. NULL, SECRET_NONE and mocks do the work of a real secret
 * of their kind and say no. A wrong password against a SCRAM secret costs one stretching (1 to 2 ms).
 * One that would cost more than SCRAM_ITERATIONS_MAX is not checked, and is wrong: its user has chosen the number, and
 * anybody may try.
 */
bool password_verify(const struct secret *secret, const char *user, const char *password, struct scram_cache *cache);

bool password_is_too_costly(const struct secret *secret);

/*
 * Stretch the next plain password of the snapshot that the cache does not have; *at is the place, 0 at first. False when
 * there is none left. Called between two turns of the loop after a (re)load, so that no login pays for stretching
 * and the first login of a user takes no longer than that of somebody who does not exist.
 */
bool password_warm(const struct users *u, uint32_t iterations, struct scram_cache *cache, size_t *at);

#endif
