/*
 * config/value.c - reads and writes single values by their rows.
 *
 * Owns: the memory of a configuration. Never: knows which settings exist.
 * Invariant: a value that is refused leaves the field as it was.
 * Source: PgBouncer 1.25.2, configuration file format; PostgreSQL 16, 20.1.1 Parameter Names and Values (units).
 */
#include "config/value.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/heap.h"
#include "base/must.h"
#include "config/addresses.h"

struct piece {
	struct piece *next;
	size_t size; /* of bytes */
	_Alignas(max_align_t) unsigned char bytes[];
};

struct config_memory {
	struct piece *first;
};

struct config_memory *
config_memory_new(void)
{
	return heap_alloc(sizeof(struct config_memory));
}

void
config_memory_free(struct config_memory *memory)
{
	if (memory == NULL)
		return;
	for (struct piece *p = memory->first, *next; p; p = next) {
		next = p->next;
		heap_erase_free(p, sizeof(*p) + p->size); /* passwords are among them */
	}
	heap_free(memory);
}

void *
config_memory_take(struct config_memory *memory, size_t size)
{
	struct piece *p = heap_alloc(sizeof(*p) + size);

	p->size = size;
	p->next = memory->first;
	memory->first = p;
	return p->bytes;
}

const char *
config_memory_string(struct config_memory *memory, struct view v)
{
	char *s = config_memory_take(memory, v.n + 1);

	if (v.n)
		memcpy(s, v.p, v.n);
	return s;
}

void
config_errors_free(struct config_errors *errors)
{
	for (int i = 0; i < errors->count; i++)
		heap_free(errors->lines[i]);
	heap_free(errors->lines);
	*errors = (struct config_errors){ 0 };
}

void
config_errors_add(struct config_errors *errors, struct place at, const char *format, ...)
{
	if (errors->count > CONFIG_ERRORS_MAX)
		return;
	struct buf line = { 0 };
	char sentence[2048];
	va_list args;

	va_start(args, format);
	vsnprintf(sentence, sizeof(sentence), format, args);
	va_end(args);
	if (errors->count == CONFIG_ERRORS_MAX)
		buf_addf(&line, "there is more that is wrong; mend the above first");
	else if (at.line)
		buf_addf(&line, "%s:%d: %s", at.file, at.line, sentence);
	else
		buf_addf(&line, "%s: %s", at.file, sentence);
	for (size_t i = 0; i < line.n; i++) { /* names of files and variables may hold anything */
		if (line.p[i] < 0x20 || line.p[i] == 0x7f)
			line.p[i] = '?';
	}
	errors->lines = heap_resize(errors->lines, (size_t)(errors->count + 1) * sizeof(*errors->lines));
	errors->lines[errors->count++] = heap_string_n(line.p, line.n);
	buf_free(&line);
}

static bool
is_blank(uint8_t c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\v' || c == '\f';
}

struct view
view_trim(struct view v)
{
	while (v.n && is_blank(v.p[0]))
		v = view_from(v, 1);
	while (v.n && is_blank(v.p[v.n - 1]))
		v.n--;
	return v;
}

static bool
view_is_nocase(struct view v, const char *word)
{
	char s[64];

	if (v.n >= sizeof(s))
		return false;
	if (v.n)
		memcpy(s, v.p, v.n);
	s[v.n] = 0;
	return strlen(s) == v.n && text_equal_nocase(s, word);
}

/* A number for the C library, which wants a NUL behind it. */
static bool
copy_number(struct view v, char out[64])
{
	if (v.n == 0 || v.n >= 64 || memchr(v.p, 0, v.n))
		return false;
	memcpy(out, v.p, v.n);
	out[v.n] = 0;
	return true;
}

bool
value_read_bool(struct view v, bool *out)
{
	static const char *const yes[] = { "on", "yes", "true" }, *const no[] = { "off", "no", "false" };
	int64_t number;

	for (int i = 0; i < 3; i++) {
		if (view_is_nocase(v, yes[i]) || view_is_nocase(v, no[i])) {
			*out = view_is_nocase(v, yes[i]);
			return true;
		}
	}
	if (!value_read_int(v, &number))
		return false;
	*out = number != 0; /* any number, as in PgBouncer: tcp_defer_accept = 45 is found in files */
	return true;
}

bool
value_read_int(struct view v, int64_t *out)
{
	char s[64], *end;

	if (!copy_number(v, s) || s[0] == '+' || is_blank((uint8_t)s[0]))
		return false;
	errno = 0;
	*out = strtoll(s, &end, 0);
	return *end == 0 && end != s && errno == 0;
}

/* Seconds, or with a unit; "m" is refused, as it is read as minutes by some and as milliseconds by others. */
bool
value_read_duration(struct view v, uint64_t *out_us)
{
	static const struct {
		const char *unit;
		double us;
	} units[] = { { "", 1e6 },     { "us", 1 },     { "ms", 1e3 },   { "s", 1e6 },
		      { "min", 60e6 }, { "h", 3600e6 }, { "d", 86400e6 } };
	char s[64], *end;

	if (!copy_number(v, s) || !((s[0] >= '0' && s[0] <= '9') || s[0] == '.'))
		return false;
	double number = strtod(s, &end);
	if (end == s || !isfinite(number))
		return false;
	struct view unit = view_trim(view_of_string(end));
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (!view_is(unit, units[i].unit))
			continue;
		double us = number * units[i].us + 0.5;
		*out_us = us < 9e18 ? (uint64_t)us : UINT64_MAX / 2; /* beyond any range, and so refused */
		return true;
	}
	return false;
}

bool
value_read_size(struct view v, uint64_t *out_bytes)
{
	static const char *const units[] = { "", "kB", "MB", "GB", "TB" };
	char s[64], *end;

	if (!copy_number(v, s) || s[0] < '0' || s[0] > '9')
		return false;
	errno = 0;
	uint64_t number = strtoull(s, &end, 0);
	struct view unit = view_trim(view_of_string(end));
	for (unsigned i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (!view_is_nocase(unit, units[i]))
			continue;
		*out_bytes = errno == 0 && number <= (UINT64_MAX >> 10 * i) ? number << 10 * i : UINT64_MAX;
		return true;
	}
	return false;
}

static void
add_quoted(struct text *t, struct view v)
{
	bool is_long = v.n > 60;

	text_add(t, "\"");
	text_add_view(t, view_part(v, 0, is_long ? 57 : v.n));
	text_add(t, is_long ? "...\"" : "\"");
}

/* Decimal digits only, and no sign, no octal: "host:05432" is a slip of the pen that still says 5432. */
static bool
read_port(struct view v, int *port, struct text *why)
{
	int number = 0;

	for (size_t i = 0; i < v.n && number <= 65535; i++)
		number = v.p[i] >= '0' && v.p[i] <= '9' ? number * 10 + (v.p[i] - '0') : INT_MAX;
	if (number < 1 || number > 65535) {
		add_quoted(why, v);
		text_add(why, " is not a port; allowed: 1 to 65535");
		return false;
	}
	*port = number;
	return true;
}

static bool
is_host_name(struct view v, bool is_ipv6)
{
	for (size_t i = 0; i < v.n; i++) {
		uint8_t c = v.p[i];
		bool is_letter = (c | 32) >= 'a' && (c | 32) <= 'z', is_digit = c >= '0' && c <= '9';
		if (!is_letter && !is_digit && c != '.' && c != '-' && c != '_' && !(is_ipv6 && (c == ':' || c == '%')))
			return false;
	}
	return v.n > 0;
}

bool
value_read_host(struct view v, struct view *host, int *port, struct text *why)
{
	const uint8_t *first = v.n ? memchr(v.p, ':', v.n) : NULL, *last = v.n ? memrchr(v.p, ':', v.n) : NULL;
	size_t name_n = last ? (size_t)(last - v.p) : v.n;
	bool is_ipv6 = v.n && v.p[0] == '[', is_socket = v.n && (v.p[0] == '/' || v.p[0] == '@');

	if (is_ipv6 && v.p[v.n - 1] == ']')
		name_n = v.n;
	struct view name = view_part(v, 0, name_n);
	if (!is_ipv6 && !is_socket && first != last) {
		add_quoted(why, v);
		text_add(why, " has more than one colon; an IPv6 address stands in brackets: [::1]:5432");
		return false;
	}
	if (is_ipv6)
		name = name.p[name.n - 1] == ']' ? view_part(name, 1, name.n - 2) : view_part(name, 0, 0);
	if (is_socket ? memchr(name.p, 0, name.n) != NULL : !is_host_name(name, is_ipv6)) {
		add_quoted(why, v);
		text_add(why,
			 " is not a host; allowed: name, name:port, [IPv6 address]:port, /directory of a Unix socket");
		return false;
	}
	if (name_n < v.n && !read_port(view_from(v, name_n + 1), port, why))
		return false;
	*host = name;
	return true;
}

bool
value_read_url(struct view v, struct view *url, struct text *why)
{
	static const char form[] =
	    " is not a URL of Patroni's REST API; allowed: http://host:port or https://host:port";
	struct view rest = v;
	int port = 0;

	if (v.n > 7 && memcmp(v.p, "http://", 7) == 0)
		rest = view_from(v, 7);
	else if (v.n > 8 && memcmp(v.p, "https://", 8) == 0)
		rest = view_from(v, 8);
	bool is_good = rest.n < v.n;
	for (size_t i = 0; i < v.n; i++)
		is_good &=
		    v.p[i] > ' ' && v.p[i] != 0x7f && v.p[i] != '?' && v.p[i] != '#' && v.p[i] != '"' && v.p[i] != '\\';

	const uint8_t *slash = rest.n ? memchr(rest.p, '/', rest.n) : NULL;
	struct view host = view_part(rest, 0, slash ? (size_t)(slash - rest.p) : rest.n);
	const uint8_t *at = host.n ? memrchr(host.p, '@', host.n) : NULL;
	if (at) /* a name and password in front are libcurl's matter; they are never shown */
		host = view_from(host, (size_t)(at - host.p) + 1);
	if (is_good && host.n && host.p[0] != '/' && host.p[0] != '@') {
		struct view name;
		if (!value_read_host(host, &name, &port, why))
			return false;
		while (v.p[v.n - 1] == '/')
			v.n--;
		*url = v;
		return true;
	}
	if (at)
		text_add(why, "this");
	else
		add_quoted(why, v);
	text_add(why, form);
	return false;
}

static void
describe_words(const struct setting_word *words, struct text *out)
{
	for (int i = 0; words[i].word; i++)
		text_addf(out, "%s%s", i ? ", " : "", words[i].word);
}

const char *
value_most(enum setting_type type)
{
	return type == SETTING_INT ? "2147483647" : type == SETTING_DURATION_US ? "36500d" : "1024TB";
}

void
value_describe(const struct setting *row, struct text *out)
{
	const char *least = row->least ? row->least : "0", *most = row->most ? row->most : value_most(row->type);

	switch (row->type) {
	case SETTING_BOOL:
		text_add(out, "0 or 1");
		return;
	case SETTING_INT:
		text_addf(out, "%s to %s", least, most);
		return;
	case SETTING_DURATION_US:
		text_addf(out, "%s to %s; seconds, or with us, ms, s, min, h, d", least, most);
		return;
	case SETTING_SIZE:
		text_addf(out, "%s to %s; bytes, or with kB, MB, GB, TB", least, most);
		return;
	case SETTING_ENUM:
		describe_words(row->words, out);
		return;
	case SETTING_LIST:
		text_add(out, row->words ? "comma list of " : "comma list");
		break;
	case SETTING_URLS:
		text_add(out, "comma list of URLs, http://host:port");
		return;
	case SETTING_HOSTS:
		text_add(out, "comma list of host or host:port");
		return;
	case SETTING_ADDRESSES:
		text_add(out, "comma list of addresses, as in 10.0.0.5, 10.1.0.0/16, fd00::/8, or unix");
		return;
	case SETTING_STRING:
		if (!row->words)
			text_add(out, "text");
		break;
	}
	if (row->words)
		describe_words(row->words, out);
}

/* "<what> <is wrong>; allowed: ..." */
static bool
refuse(const struct setting *row, struct view v, const char *wrong, struct text *why)
{
	if (row->is_secret)
		text_add(why, "the value");
	else if (v.n == 0)
		text_add(why, "nothing");
	else
		add_quoted(why, v);
	text_addf(why, " %s; allowed: ", wrong);
	value_describe(row, why);
	return false;
}

static const struct setting_word *
find_word(const struct setting_word *words, struct view v)
{
	for (; words->word; words++) {
		if (view_is_nocase(v, words->word))
			return words;
	}
	return NULL;
}

/* A bound of the table; that it can be read is our own matter. */
static uint64_t
bound(enum setting_type type, const char *text)
{
	uint64_t number = 0;
	int64_t whole;

	if (type == SETTING_DURATION_US)
		must(value_read_duration(view_of_string(text), &number));
	else if (type == SETTING_SIZE)
		must(value_read_size(view_of_string(text), &number));
	else {
		must(value_read_int(view_of_string(text), &whole) && whole >= 0);
		number = (uint64_t)whole;
	}
	return number;
}

static bool
store_number(const struct setting *row, void *field, struct view v, struct text *why)
{
	uint64_t number = 0;
	int64_t whole = 0;

	if (row->type == SETTING_INT && !value_read_int(v, &whole))
		return refuse(row, v, "is not a whole number", why);
	if (row->type == SETTING_DURATION_US && !value_read_duration(v, &number))
		return refuse(row, v, "is not a time", why);
	if (row->type == SETTING_SIZE && !value_read_size(v, &number))
		return refuse(row, v, "is not a size", why);
	if (row->type == SETTING_INT)
		number = whole < 0 ? UINT64_MAX : (uint64_t)whole;
	if (number < bound(row->type, row->least ? row->least : "0") ||
	    number > bound(row->type, row->most ? row->most : value_most(row->type)))
		return refuse(row, v, "is out of range", why);
	if (number == 0 && row->zero_is_unset)
		number = UINT64_MAX; /* -1 */
	if (row->type == SETTING_INT)
		memcpy(field, &(int){ (int)number }, sizeof(int));
	else
		memcpy(field, &number, sizeof(number));
	return true;
}

static bool
check_list(const struct setting *row, struct view v, struct config_memory *memory, struct text *why)
{
	const char *at = config_memory_string(memory, v);

	for (struct view item, part; config_list_next(&at, &item);) {
		int port = 1;
		if (row->type == SETTING_URLS && !value_read_url(item, &part, why))
			return false;
		if (row->type == SETTING_HOSTS && !value_read_host(item, &part, &port, why))
			return false;
		if (row->words && !find_word(row->words, item))
			return refuse(row, item, "is not known", why);
		const char *wrong = row->type == SETTING_ADDRESSES ? address_item_wrong(item) : NULL;
		if (wrong)
			return refuse(row, item, wrong, why);
	}
	return true;
}

bool
value_store(const struct setting *row, void *base, struct view v, struct config_memory *memory, struct text *why)
{
	void *field = (char *)base + row->at;
	bool yes;

	v = view_trim(v);
	if (v.n && memchr(v.p, 0, v.n))
		return refuse(row, view_part(v, 0, strnlen((const char *)v.p, v.n)), "is followed by a NUL byte", why);
	switch (row->type) {
	case SETTING_BOOL:
		if (!value_read_bool(v, &yes))
			return refuse(row, v, "is neither yes nor no", why);
		memcpy(field, &yes, sizeof(yes));
		return true;
	case SETTING_ENUM: {
		const struct setting_word *word = find_word(row->words, v);
		if (word == NULL)
			return refuse(row, v, "is not known", why);
		memcpy(field, &word->value, sizeof(word->value));
		return true;
	}
	case SETTING_STRING:
		if (row->words && !find_word(row->words, v))
			return refuse(row, v, "is not known", why);
		break;
	case SETTING_LIST:
	case SETTING_URLS:
	case SETTING_HOSTS:
	case SETTING_ADDRESSES:
		if (!check_list(row, v, memory, why))
			return false;
		break;
	default:
		return store_number(row, field, v, why);
	}
	const char *copy = config_memory_string(memory, v);
	memcpy(field, &copy, sizeof(copy));
	return true;
}

void
value_copy(const struct setting *row, const void *from, void *to, struct config_memory *memory)
{
	static const size_t sizes[] = { [SETTING_BOOL] = sizeof(bool),
					[SETTING_INT] = sizeof(int),
					[SETTING_ENUM] = sizeof(int),
					[SETTING_DURATION_US] = sizeof(uint64_t),
					[SETTING_SIZE] = sizeof(uint64_t) };
	const char *field = (const char *)from + row->at, *string;

	if (sizes[row->type]) {
		memcpy((char *)to + row->at, field, sizes[row->type]);
		return;
	}
	memcpy(&string, field, sizeof(string));
	string = config_memory_string(memory, view_of_string(string));
	memcpy((char *)to + row->at, &string, sizeof(string));
}

/* Damerau's distance, neighbours swapped counting once, in three rows. Names are short: see value_nearest(). */
int
text_distance(struct view a, struct view b, int most)
{
	enum { LONGEST = 64 };
	int rows[3][LONGEST + 1];

	if (a.n > LONGEST || b.n > LONGEST)
		return most + 1;
	for (size_t j = 0; j <= b.n; j++)
		rows[0][j] = (int)j;
	for (size_t i = 1; i <= a.n; i++) {
		int *now = rows[i % 3], *last = rows[(i - 1) % 3], *before = rows[(i + 1) % 3];
		now[0] = (int)i;
		for (size_t j = 1; j <= b.n; j++) {
			int best = last[j - 1] + (a.p[i - 1] != b.p[j - 1]);
			if (last[j] + 1 < best)
				best = last[j] + 1;
			if (now[j - 1] + 1 < best)
				best = now[j - 1] + 1;
			if (i > 1 && j > 1 && a.p[i - 1] == b.p[j - 2] && a.p[i - 2] == b.p[j - 1] &&
			    before[j - 2] + 1 < best)
				best = before[j - 2] + 1;
			now[j] = best;
		}
	}
	int distance = rows[a.n % 3][b.n];
	return distance > most ? most + 1 : distance;
}

const char *
value_nearest(struct view name, const struct setting *rows, int count)
{
	int best = (int)(name.n / 3) + 1;
	const char *nearest = NULL;

	if (best > 4)
		best = 4;
	for (int i = 0; i < count; i++) {
		int distance = text_distance(name, view_of_string(rows[i].name), best);
		if (distance < best || (distance == best && nearest == NULL)) {
			best = distance;
			nearest = rows[i].name;
		}
	}
	return nearest;
}
