/*
 * tests/session/speak.h - messages as words, both ways: `ErrorResponse FATAL 57P01 "bye"` is bytes, and bytes are words.
 *
 * A line holds one message or several, parted by '|'. Words are parted by blanks; "quoted" ones may hold blanks, and \q for a quote.
 */
#ifndef TESTS_SESSION_SPEAK_H
#define TESTS_SESSION_SPEAK_H

#include <stdbool.h>

#include "base/buf.h"

enum { WORDS_MAX = 40, WORD_MAX = 200 };

struct words {
	int n;
	char at[WORDS_MAX][WORD_MAX];
};

/* The next message of a line; false: no more. */
bool words_next(const char **line, struct words *out);

/* False: no such message. from_server: what a server says, else a client. */
bool speak(struct buf *out, const struct words *w, bool from_server);

enum heard { HEARD, HEARD_HALF, HEARD_NONSENSE };

/* One message at the front of v into words; *size is what it takes. is_first: a startup packet. */
enum heard hear(struct view v, bool from_server, bool is_first, struct words *out, size_t *size);

/* Do the words start as expected? "*" stands for any word. */
bool words_match(const struct words *expected, const struct words *heard);
void words_join(const struct words *w, char *text, size_t room);

#endif
