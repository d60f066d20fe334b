/*
 * config/value.h - one value between text and memory, by its row. For the config layer itself.
 *
 * Numbers are at most 63 characters long, may not be negative unless the row says so, and are never rounded silently to
 * something out of range: what does not fit is refused with a sentence that says what would.
 */
#ifndef CONFIG_VALUE_H
#define CONFIG_VALUE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/text.h"
#include "base/view.h"
#include "config/config.h"
#include "config/settings.h"

/* What a configuration points into: many small pieces, freed and overwritten together. */
struct config_memory;

struct config_memory *config_memory_new(void);
void                  config_memory_free(struct config_memory *memory); /* NULL is fine */
void                 *config_memory_take(struct config_memory *memory, size_t size); /* zeroed */
const char           *config_memory_string(struct config_memory *memory, struct view v);

/* Where something was written; line 0: the whole of `file`, which may also be "environment". */
struct place {
	const char *file;
	int         line;
};

/* "file:line: sentence". After CONFIG_ERRORS_MAX of them one last line says that there are more. */
#define CONFIG_ERRORS_MAX 200
void config_errors_add(struct config_errors *errors, struct place at, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

struct view view_trim(struct view v); /* without blanks (space, tab, CR, VT, FF) at both ends */

/* The readers. False: not of that form at all; ranges are not their matter. */
bool value_read_bool(struct view v, bool *out);
bool value_read_int(struct view v, int64_t *out);
bool value_read_duration(struct view v, uint64_t *out_us);
bool value_read_size(struct view v, uint64_t *out_bytes);

/*
 * "host", "host:port", "[IPv6]", "[IPv6]:port", "/directory", "@abstract"; *port stays as it is when none is named.
 * False with a sentence in *why. *host points into v.
 */
bool value_read_host(struct view v, struct view *host, int *port, struct text *why);

/* "http://host[:port][/path]" or https. *url is v without slashes at its end. False with a sentence in *why. */
bool value_read_url(struct view v, struct view *url, struct text *why);

/*
 * Store v in the field of *base that the row names; strings are copied into memory. False with
 * "what is wrong; what is allowed" in *why, without the value when the row is secret; *base is as before then.
 */
bool value_store(const struct setting *row, void *base, struct view v, struct config_memory *memory, struct text *why);

/* The value of the field in *from to the same field in *to; strings are copied into memory. */
void value_copy(const struct setting *row, const void *from, void *to, struct config_memory *memory);

/* What is allowed: a range, the words, or the form. */
void value_describe(const struct setting *row, struct text *out);

/* Of a type without bounds of its own: the most there can be. */
const char *value_most(enum setting_type type);

/* The name in the list of rows that `name` was probably meant to be, or NULL. */
const char *value_nearest(struct view name, const struct setting *rows, int count);

/* Make *c the cluster of one host, the server's Unix socket in unix_socket_dir. */
void config_socket_dir_cluster(struct config *config, struct cluster_config *c, int port);

/* How many letters have to be added, dropped, changed or swapped to make b of a; at most `most` + 1 is returned. */
int text_distance(struct view a, struct view b, int most);

#endif
