/*
 * base/log.c - one line per event to stderr, a file, syslog.
 *
 * Owns: the log file's descriptor. Never: blocks on its own account beyond the write itself, allocates per line.
 */
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/text.h"

enum { LINE_MAX_BYTES = 4096 };

enum log_level log_level_now = LOG_LEVEL_INFO;

static struct {
	enum log_format format;
	bool to_stderr;
	bool is_journal; /* stderr leads to systemd's journal */
	bool to_syslog;
	int fd; /* -1: no file */
	char ident[64];
} out = { .to_stderr = true, .fd = -1 };

static const struct {
	const char *name;
	int priority;
} levels[] = {
	[LOG_LEVEL_FATAL] = { "fatal", LOG_CRIT },    [LOG_LEVEL_ERROR] = { "error", LOG_ERR },
	[LOG_LEVEL_WARNING] = { "warning", LOG_WARNING }, [LOG_LEVEL_INFO] = { "info", LOG_INFO },
	[LOG_LEVEL_DEBUG] = { "debug", LOG_DEBUG },
};

static const struct {
	const char *name;
	int facility;
} facilities[] = {
	{ "auth", LOG_AUTH },     { "authpriv", LOG_AUTHPRIV }, { "daemon", LOG_DAEMON }, { "user", LOG_USER },
	{ "local0", LOG_LOCAL0 }, { "local1", LOG_LOCAL1 },     { "local2", LOG_LOCAL2 }, { "local3", LOG_LOCAL3 },
	{ "local4", LOG_LOCAL4 }, { "local5", LOG_LOCAL5 },     { "local6", LOG_LOCAL6 }, { "local7", LOG_LOCAL7 },
};

static int
facility_of(const char *name)
{
	for (size_t i = 0; name && i < sizeof(facilities) / sizeof(facilities[0]); i++)
		if (strcmp(facilities[i].name, name) == 0)
			return facilities[i].facility;
	return LOG_DAEMON;
}

/* Source: systemd.exec(5): JOURNAL_STREAM is device:inode of the journal's end; something else may have taken its place. */
static bool
is_journal(int fd)
{
	const char *journal = getenv("JOURNAL_STREAM");
	struct stat there;
	char text[64];
	if (journal == NULL || fstat(fd, &there) != 0)
		return false;
	snprintf(text, sizeof(text), "%llu:%llu", (unsigned long long)there.st_dev, (unsigned long long)there.st_ino);
	return strcmp(text, journal) == 0;
}

bool
log_open(const struct log_target *target)
{
	int fd = -1;
	if (target->file && target->file[0]) {
		fd = open(target->file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
		if (fd < 0)
			return false;
	}
	if (out.fd >= 0)
		close(out.fd);
	out.fd = fd;
	out.format = target->format;
	out.to_stderr = target->to_stderr;
	out.is_journal = is_journal(STDERR_FILENO);
	if (out.to_syslog)
		closelog();
	out.to_syslog = target->syslog_ident != NULL;
	if (out.to_syslog) {
		snprintf(out.ident, sizeof(out.ident), "%s", target->syslog_ident);
		openlog(out.ident, LOG_PID, facility_of(target->syslog_facility));
	}
	log_level_now = target->level;
	return true;
}

/* Bytes of the UTF-8 character at s; 0: it is none. */
static size_t
utf8_bytes(const unsigned char *s)
{
	size_t n = s[0] < 0x80 ? 1 : s[0] >= 0xc2 && s[0] < 0xe0 ? 2 : s[0] >= 0xe0 && s[0] < 0xf0 ? 3
	           : s[0] >= 0xf0 && s[0] < 0xf5 ? 4 : 0;
	for (size_t i = 1; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	bool is_too_long = (s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xf0 && s[1] < 0x90);
	bool is_none = (s[0] == 0xed && s[1] >= 0xa0) || (s[0] == 0xf4 && s[1] >= 0x90); /* surrogates, beyond Unicode */
	return n > 1 && (is_too_long || is_none) ? 0 : n;
}

/* What others said may be anything: the line stays JSON, also where it is cut. */
static void
add_json_string(struct text *line, const char *string)
{
	text_add(line, "\"");
	for (const unsigned char *s = (const unsigned char *)string; *s;) {
		char one[8];
		size_t n = utf8_bytes(s);
		if (*s == '"' || *s == '\\')
			snprintf(one, sizeof(one), "\\%c", *s);
		else if (*s < 0x20)
			snprintf(one, sizeof(one), "\\u%04x", *s);
		else
			snprintf(one, sizeof(one), "%.*s", n ? (int)n : 1, n ? (const char *)s : "?");
		if (line->n + strlen(one) + 1 >= line->room) {
			line->is_cut = true;
			return;
		}
		text_add(line, one);
		s += n ? n : 1;
	}
	text_add(line, "\"");
}

static void
add_date(struct text *line, char between, const char *zone)
{
	uint64_t us = clock_wall_us();
	time_t seconds = (time_t)(us / SECOND_US);
	struct tm tm;
	gmtime_r(&seconds, &tm);
	text_addf(line, "%04d-%02d-%02d%c%02d:%02d:%02d.%03d%s", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, between,
	          tm.tm_hour, tm.tm_min, tm.tm_sec, (int)(us % SECOND_US / 1000), zone);
}

static void
write_all(int fd, const char *p, size_t n)
{
	while (n > 0) {
		ssize_t done = write(fd, p, n);
		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return; /* nowhere left to complain */
		p += done;
		n -= (size_t)done;
	}
}

void
log_write(enum log_level level, const char *tag, const char *format, ...)
{
	int saved_errno = errno;
	char message[LINE_MAX_BYTES / 2];
	va_list args;
	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);

	enum { PREFIX = sizeof("<6>") - 1, ROOM = LINE_MAX_BYTES - PREFIX };
	char all[LINE_MAX_BYTES], *storage = all + PREFIX;
	struct text line = text_in(storage, ROOM - 2); /* room for an end of line, cut or not */
	if (out.format == LOG_FORMAT_JSON) {
		text_add(&line, "{\"time\":\"");
		add_date(&line, 'T', "Z");
		text_addf(&line, "\",\"pid\":%d,\"level\":\"%s\",\"who\":", (int)getpid(), levels[level].name);
		add_json_string(&line, tag);
		text_add(&line, ",\"text\":");
		struct text rest = text_in(storage + line.n, ROOM - 4 - line.n); /* room for "} whatever comes */
		add_json_string(&rest, message);
		line.n += rest.n;
		if (rest.is_cut)
			storage[line.n++] = '"';
		storage[line.n++] = '}';
	} else {
		add_date(&line, ' ', " UTC");
		text_addf(&line, " [%d] %s %s ", (int)getpid(), levels[level].name, tag);
		text_add_view(&line, view_of_string(message)); /* one line per event, whatever others said */
	}
	storage[line.n++] = '\n';
	if (out.to_stderr && out.is_journal) { /* sd-daemon(3): the journal takes the priority off again */
		memcpy(all, (char[]){ '<', (char)('0' + levels[level].priority), '>' }, PREFIX);
		write_all(STDERR_FILENO, all, PREFIX + line.n);
	} else if (out.to_stderr) {
		write_all(STDERR_FILENO, storage, line.n);
	}
	if (out.fd >= 0)
		write_all(out.fd, storage, line.n);
	if (out.to_syslog)
		syslog(levels[level].priority, "%s %s", tag, message);
	errno = saved_errno;
}
