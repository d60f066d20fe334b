/*
 * config/ini.c - cuts INI files into lines with file and number; %include; the key=value form of entries.
 *
 * Owns: the list of lines. Never: knows a section, a setting or its type.
 * Invariant: every line of the files becomes one ini_line, one error, or nothing (blank, comment).
 *
 * Why not inih: it was tried (release 55, as Debian builds it). Of a line of PgBouncer's it takes the first 197 bytes
 * and makes a second setting of the rest; "a:b", 'a=b', a value with " ; " and an indented line all become something
 * else than what PgBouncer reads; of many mistakes it names the line of the first, without the file. Lines prepared so
 * that it gets them right are already cut into name and value, so handing them to it only added code. Source:
 * PgBouncer 1.25.2, configuration file format; tried out against 1.18.
 */
#include "config/ini.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/heap.h"

bool
ini_slurp(const char *file, size_t max, struct config_memory *memory, struct view *out)
{
	struct buf all = { 0 };
	int fd = open(file, O_RDONLY | O_CLOEXEC);
	ssize_t got = -1;

	if (fd < 0)
		return false;
	do {
		buf_reserve(&all, 65536);
		got = read(fd, all.p + all.n, 65536);
		all.n += got > 0 ? (size_t)got : 0;
	} while ((got > 0 && all.n <= max) || (got < 0 && errno == EINTR));
	int why = got < 0 ? errno : all.n > max ? EFBIG : 0;
	close(fd);
	if (why == 0)
		*out = view_of(config_memory_string(memory, buf_view(&all)), all.n);
	if (all.room)
		explicit_bzero(all.p, all.room);
	buf_free(&all);
	errno = why;
	return why == 0;
}

static struct ini_line *
add_line(struct ini *ini, struct place at)
{
	if (ini->count == ini->room) {
		ini->room = ini->room ? ini->room * 2 : 64;
		ini->lines = heap_resize(ini->lines, (size_t)ini->room * sizeof(*ini->lines));
	}
	ini->lines[ini->count] = (struct ini_line){ .at = at, .key = "" };
	return &ini->lines[ini->count++];
}

static bool
is_key_letter(uint8_t c)
{
	return ((c | 32) >= 'a' && (c | 32) <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '.' || c == '-' ||
	       c == '*';
}

/* A quote at v.p[0]: the bytes up to and with the one that closes it, or 0 when there is none. */
static size_t
quoted_size(struct view v)
{
	const uint8_t *end = v.n > 1 ? memchr(v.p + 1, v.p[0], v.n - 1) : NULL;

	return end ? (size_t)(end - v.p) + 1 : 0;
}

struct view
ini_cut_comment(struct view value)
{
	for (size_t i = 0; i < value.n; i++) {
		uint8_t c = value.p[i];
		if (c == ';' && (i == 0 || value.p[i - 1] == ' ' || value.p[i - 1] == '\t'))
			return view_trim(view_part(value, 0, i));
		size_t quoted = c == '\'' || c == '"' ? quoted_size(view_from(value, i)) : 0;
		if (quoted) /* one that is never closed is an apostrophe */
			i += quoted - 1;
	}
	return value;
}

static void
read_section(struct ini *ini, struct place at, struct view line)
{
	const uint8_t *end = memchr(line.p, ']', line.n);
	struct view tail = end ? view_trim(view_from(line, (size_t)(end - line.p) + 1)) : line;

	if (end == NULL || (tail.n && tail.p[0] != ';' && tail.p[0] != '#')) {
		config_errors_add(ini->errors, at,
				  end ? "there is something behind the ] of a section" : "a section without ]");
		add_line(ini, at)->section = ""; /* what follows belongs to none that is known */
		return;
	}
	const char *name = config_memory_string(ini->memory, view_part(line, 1, (size_t)(end - line.p) - 1));
	add_line(ini, at)->section = name;
}

static void
read_entry(struct ini *ini, struct place at, struct view line)
{
	size_t key_n = 0, quoted = line.p[0] == '\'' ? quoted_size(line) : 0;
	struct view key = view_part(line, 1, quoted ? quoted - 2 : 0);

	if (!quoted) {
		while (key_n < line.n && is_key_letter(line.p[key_n]))
			key_n++;
		key = view_part(line, 0, key_n);
	}
	struct view rest = view_trim(view_from(line, quoted ? quoted : key_n));
	if (key.n == 0 || rest.n == 0 || rest.p[0] != '=') {
		/* The line itself is not repeated: it may hold a password. */
		config_errors_add(
		    ini->errors, at,
		    "this is not \"name = value\"; a name has letters, digits, _ . - *, or stands in single quotes");
		return;
	}
	struct ini_line *entry = add_line(ini, at);
	entry->key = config_memory_string(ini->memory, key);
	entry->value = view_trim(view_from(rest, 1));
}

/* PgBouncer knows the working directory only; a service starts in /, and what belongs together lies side by side. */
const char *
ini_locate(const char *name, const char *from, struct config_memory *memory)
{
	const char *slash = strrchr(from, '/');
	struct buf beside = { 0 };

	if (name[0] == '/' || name[0] == 0 || slash == NULL || access(name, F_OK) == 0)
		return name;
	buf_addf(&beside, "%.*s/%s", (int)(slash - from), from, name);
	const char *path = config_memory_string(memory, buf_view(&beside));
	buf_free(&beside);
	return access(path, F_OK) == 0 ? path : name;
}

static void
read_include(struct ini *ini, struct place at, struct view line)
{
	if (line.n < 9 || memcmp(line.p, "%include", 8) != 0 || (line.p[8] != ' ' && line.p[8] != '\t')) {
		config_errors_add(ini->errors, at, "an unknown %% line; allowed: %%include FILE");
		return;
	}
	if (!ini->may_include) {
		config_errors_add(ini->errors, at, "%%include is not possible here");
		return;
	}
	const char *file = config_memory_string(ini->memory, ini_cut_comment(view_trim(view_from(line, 9))));
	file = ini_locate(file, at.file, ini->memory);
	if (ini->depth == INI_DEPTH_MAX || ini->files == INI_FILES_MAX) {
		/* Most likely a file that includes itself, so one such error is enough. */
		config_errors_add(ini->errors, at, "%%include %s: more than %d files deep or %d in all", file,
				  INI_DEPTH_MAX, INI_FILES_MAX);
		ini->is_stopped = true;
		return;
	}
	struct view text;
	if (!ini_slurp(file, INI_BYTES_MAX, ini->memory, &text)) {
		config_errors_add(ini->errors, at, "%%include %s: %s", file, strerror(errno));
		return;
	}
	ini->depth++;
	ini->files++;
	ini_read_bytes(ini, file, text);
	ini->depth--;
}

void
ini_read_bytes(struct ini *ini, const char *name, struct view text)
{
	struct place at = { .file = name, .line = 0 };

	if (text.n >= 3 && memcmp(text.p, "\xef\xbb\xbf", 3) == 0) /* what Windows editors put in front of UTF-8 */
		text = view_from(text, 3);
	while (text.n && !ini->is_stopped) {
		const uint8_t *end = memchr(text.p, '\n', text.n);
		size_t size = end ? (size_t)(end - text.p) : text.n;
		struct view line = view_trim(view_part(text, 0, size));

		text = view_from(text, size + 1);
		at.line++;
		if (line.n == 0 || line.p[0] == ';' || line.p[0] == '#')
			continue;
		if (memchr(line.p, 0, line.n)) {
			config_errors_add(ini->errors, at, "the line holds a NUL byte; is this a text file?");
			ini->is_stopped = true;
		} else if (line.p[0] == '[')
			read_section(ini, at, line);
		else if (line.p[0] == '%')
			read_include(ini, at, line);
		else
			read_entry(ini, at, line);
	}
}

void
ini_read_file(struct ini *ini, const char *file)
{
	struct view text;

	if (ini_slurp(file, INI_BYTES_MAX, ini->memory, &text))
		ini_read_bytes(ini, file, text);
	else
		config_errors_add(ini->errors, (struct place){ .file = file }, "%s", strerror(errno));
}

void
ini_free(struct ini *ini)
{
	heap_free(ini->lines);
	ini->lines = NULL;
	ini->count = ini->room = 0;
}

/* The text in quotes at v.p[0], with '' for a quote, into *out. Returns its size with the quotes, or 0: not closed. */
static size_t
unquote(struct view v, struct view *out, struct config_memory *memory)
{
	size_t end = 1, used = 0;

	while (end < v.n && (v.p[end] != '\'' || (end + 1 < v.n && v.p[end + 1] == '\'')))
		end += v.p[end] == '\'' ? 2 : 1;
	if (end >= v.n)
		return 0;
	char *text = config_memory_take(memory, end);
	for (size_t i = 1; i < end; i++) {
		i += v.p[i] == '\'';
		text[used++] = (char)v.p[i];
	}
	*out = view_of(text, used);
	return end + 1;
}

int
ini_next_pair(struct view *rest, struct ini_pair *pair, struct config_memory *memory, struct text *why)
{
	struct view v = view_trim(*rest);
	size_t n = 0;

	if (v.n == 0)
		return 0;
	while (n < v.n && v.p[n] != '=' && v.p[n] != ' ' && v.p[n] != '\t')
		n++;
	pair->key = view_part(v, 0, n);
	v = view_trim(view_from(v, n));
	if (n == 0 || v.n == 0 || v.p[0] != '=') {
		/* It is not repeated: it may be the second half of a password. */
		text_add(why, "something is not key=value; a value with blanks stands in single quotes");
		return -1;
	}
	v = view_trim(view_from(v, 1));
	pair->is_quoted = v.n && v.p[0] == '\'';
	if (pair->is_quoted) {
		n = unquote(v, &pair->value, memory);
		if (n == 0) {
			text_add_view(why, pair->key);
			text_add(why, ": the quote is not closed; inside of quotes '' stands for a quote");
			return -1;
		}
	} else {
		for (n = 0; n < v.n && v.p[n] != ' ' && v.p[n] != '\t';)
			n++;
		pair->value = view_part(v, 0, n);
	}
	*rest = view_from(v, n);
	return 1;
}
