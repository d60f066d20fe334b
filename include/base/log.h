/*
 * base/log.h - one line per event: date, level, who, what happened. Text or JSON, to stderr, a file or syslog.
 *
 * `tag` names the connection or module ("C17", "S4", "cluster main"); never SQL, never secrets.
 *	2026-11-20 05:30:12.123 UTC [4711] info C17 closed pool=shop/app by=client reason="eof" age=12.3s
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>

enum log_level { LOG_LEVEL_FATAL, LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };
enum log_format { LOG_FORMAT_TEXT, LOG_FORMAT_JSON };

struct log_target {
	enum log_format format;
	enum log_level  level;       /* what is less important is not written */
	const char     *file;        /* NULL or "": none */
	bool            to_stderr;
	const char     *syslog_ident;    /* NULL: no syslog */
	const char     *syslog_facility; /* "daemon", "local0" ... */
};

/* Take effect from the next line on; also reopens the file (SIGHUP). False when the file can't be opened: then what
 * was in force stays, and errno tells why. */
bool log_open(const struct log_target *target);

void log_write(enum log_level level, const char *tag, const char *format, ...) __attribute__((format(printf, 3, 4)));

extern enum log_level log_level_now; /* read only: so that a line not wanted costs a comparison */

#define log_at(level, tag, ...)                                                                                        \
	do {                                                                                                            \
		if (__builtin_expect((level) <= log_level_now, (level) < LOG_LEVEL_DEBUG))                               \
			log_write(level, tag, __VA_ARGS__);                                                              \
	} while (0)

#define log_fatal(tag, ...)   log_at(LOG_LEVEL_FATAL, tag, __VA_ARGS__)
#define log_error(tag, ...)   log_at(LOG_LEVEL_ERROR, tag, __VA_ARGS__)
#define log_warning(tag, ...) log_at(LOG_LEVEL_WARNING, tag, __VA_ARGS__)
#define log_info(tag, ...)    log_at(LOG_LEVEL_INFO, tag, __VA_ARGS__)
#define log_debug(tag, ...)   log_at(LOG_LEVEL_DEBUG, tag, __VA_ARGS__)

#endif
