/* auth/rules_text.c - see the header. */
#include "auth/rules_text.h"

#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "auth/file.h"
#include "auth/pattern.h"
#include "base/heap.h"

enum { MISTAKES_SHOWN = 20, FIELDS_MAX = 1000 };

/* One file being read; those that include it stand behind it. */
struct nest {
	const char        *file; /* in text->files */
	const struct nest *outer;
	int                depth;
	size_t             line;
	struct file_id     id;
	struct rules_text *text; /* where its lines go */
};

/* What all files of one load share. */
struct load {
	struct rules_text     *owner; /* of names of files */
	struct rules_mistakes *mistakes;
	size_t                 bytes, files;
};

/* ---- mistakes ---- */

static void
add_mistake(struct rules_mistakes *m, const char *file, size_t line, const char *format, va_list args)
{
	char sentence[1200];
	if (++m->count > MISTAKES_SHOWN)
		return;
	vsnprintf(sentence, sizeof(sentence), format, args);
	text_addf(m->why, "%s%s:", m->why->n ? "\n" : "", file);
	if (line > 0)
		text_addf(m->why, "%zu:", line);
	text_add(m->why, " ");
	text_add_view(m->why, view_of_string(m->count == MISTAKES_SHOWN ? "and more mistakes, not shown" : sentence));
}

void
rules_mistake(struct rules_mistakes *m, const char *file, size_t line, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	add_mistake(m, file, line, format, args);
	va_end(args);
}

bool
rules_mistake_at(struct rules_mistakes *m, const struct rules_line *l, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	add_mistake(m, l->file, l->number, format, args);
	va_end(args);
	return false;
}

/* ---- cutting ---- */

static bool
is_blank(uint8_t c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

/* One word as it was found. */
struct cut {
	struct buf text;
	bool is_quoted, has_comma;
};

enum cut_result { CUT_WORD, CUT_END, CUT_OPEN_QUOTE };

static enum cut_result
cut_word(struct view *left, struct cut *w)
{
	bool in_quote = false, was_quote = false, has_quote = false;
	buf_clear(&w->text);
	w->is_quoted = w->has_comma = false;
	while (left->n && (is_blank(*left->p) || *left->p == ','))
		*left = view_from(*left, 1);
	for (; left->n; *left = view_from(*left, 1)) {
		uint8_t c = *left->p;
		if (!in_quote && (is_blank(c) || c == ','))
			break;
		if (!in_quote && c == '#') {
			*left = view_from(*left, left->n);
			break;
		}
		if (c == '"') {
			if (was_quote)
				buf_add_u8(&w->text, c); /* the second of "" */
			was_quote = in_quote && !was_quote;
			in_quote = !in_quote;
			has_quote = true;
			w->is_quoted |= w->text.n == 0;
		} else {
			buf_add_u8(&w->text, c);
			was_quote = false;
		}
	}
	w->has_comma = left->n > 0 && *left->p == ',';
	if (in_quote)
		return CUT_OPEN_QUOTE;
	return has_quote || w->text.n > 0 ? CUT_WORD : CUT_END;
}

static void
add_word(struct rules_field *f, const char *text, size_t n, bool is_quoted)
{
	if ((f->count & (f->count - 1)) == 0) /* room for the next power of two */
		f->words = heap_resize(f->words, (f->count ? f->count * 2 : 1) * sizeof(*f->words));
	f->words[f->count++] = (struct rules_word){ .text = heap_string_n(text, n), .is_quoted = is_quoted };
}

static void
free_field(struct rules_field *f)
{
	for (size_t i = 0; i < f->count; i++) {
		pattern_free(f->words[i].pattern);
		heap_free(f->words[i].text);
	}
	heap_free(f->words);
}

static void
free_line(struct rules_line *l)
{
	for (size_t i = 0; i < l->count; i++)
		free_field(&l->fields[i]);
	heap_free(l->fields);
}

static void
free_lines(struct rules_text *t)
{
	for (size_t i = 0; i < t->count; i++)
		free_line(&t->lines[i]);
	heap_free(t->lines);
	t->lines = NULL;
	t->count = t->room = 0;
}

/* ---- files within files ---- */

static void read_lines(struct load *load, struct nest *n, struct view text);

/* The name of a file as seen from another one. */
static char *
path_from(const char *file, const char *name)
{
	const char *slash = strrchr(file, '/');
	if (name[0] == '/' || slash == NULL)
		return heap_string(name);
	size_t n = (size_t)(slash + 1 - file), more = strlen(name);
	char *path = heap_alloc(n + more + 1);
	memcpy(path, file, n);
	memcpy(path + n, name, more);
	return path;
}

static const char *
keep_name(struct load *load, char *path)
{
	struct rules_text *t = load->owner;
	t->files = heap_resize(t->files, (t->file_count + 1) * sizeof(*t->files));
	return t->files[t->file_count++] = path;
}

static bool
is_within_itself(const struct nest *n, const struct file_id *id)
{
	for (; n; n = n->outer)
		if (n->id.inode == id->inode && n->id.device == id->device && id->inode != 0)
			return true;
	return false;
}

/* Add the lines of a file to `into`. `from` is the line that asks for it, or NULL: the first file. Takes path over. */
static void
read_file(struct load *load, const struct nest *from, char *path, bool may_miss, struct rules_text *into)
{
	struct buf bytes = { 0 };
	struct nest n = { .outer = from, .depth = from ? from->depth + 1 : 0, .text = into };
	const char *at = from ? from->file : path;
	size_t line = from ? from->line : 0;

	if (n.depth > RULES_DEPTH_MAX || ++load->files > RULES_FILES_MAX) {
		rules_mistake(load->mistakes, at, line, "can't read \"%s\": %s; at most %d files within files and %d in all", path,
		              n.depth > RULES_DEPTH_MAX ? "too deep" : "too many files", RULES_DEPTH_MAX, RULES_FILES_MAX);
		heap_free(path);
		return;
	}
	n.file = keep_name(load, path);
	const char *error = file_read(path, RULES_FILE_MAX, &bytes, &n.id);
	if (error != NULL && may_miss && errno == ENOENT) {
		buf_free(&bytes);
		return;
	}
	load->bytes += bytes.n;
	if (error != NULL)
		rules_mistake(load->mistakes, at, line, "can't read \"%s\": %s", path, error);
	else if (load->bytes > RULES_BYTES_MAX)
		rules_mistake(load->mistakes, at, line, "can't read \"%s\": with it there are more than %zu bytes in all", path,
		              RULES_BYTES_MAX);
	else if (is_within_itself(from, &n.id))
		rules_mistake(load->mistakes, at, line, "\"%s\" includes itself; take this line out", path);
	else
		read_lines(load, &n, buf_view(&bytes));
	buf_free(&bytes);
}

/* "@file": the words of all its lines. */
static void
add_words_of(struct load *load, const struct nest *n, const char *name, struct rules_field *f)
{
	struct rules_text part = { 0 };
	size_t mistakes = load->mistakes->count;
	read_file(load, n, path_from(n->file, name), false, &part);
	for (size_t i = 0; i < part.count; i++)
		for (size_t j = 0; j < part.lines[i].count; j++)
			for (size_t k = 0; k < part.lines[i].fields[j].count; k++) {
				const struct rules_word *w = &part.lines[i].fields[j].words[k];
				add_word(f, w->text, strlen(w->text), w->is_quoted);
			}
	if (part.count == 0 && load->mistakes->count == mistakes) /* PostgreSQL takes the next field in its place */
		rules_mistake(load->mistakes, n->file, n->line, "\"@%s\" has no names in it; put one in, or take the line out",
		              name);
	free_lines(&part);
}

static int
is_conf_name(const struct dirent *entry)
{
	size_t n = strlen(entry->d_name);
	return entry->d_name[0] != '.' && n >= 6 && strcmp(entry->d_name + n - 5, ".conf") == 0;
}

static int
compare_names(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static void
include_directory(struct load *load, const struct nest *n, const char *name)
{
	struct dirent **found = NULL;
	char *directory = path_from(n->file, name);
	int count = scandir(directory, &found, is_conf_name, compare_names);
	if (count < 0)
		rules_mistake(load->mistakes, n->file, n->line, "can't read directory \"%s\": %s", directory, strerror(errno));
	for (int i = 0; i < count; i++) {
		struct stat st;
		size_t room = strlen(directory) + strlen(found[i]->d_name) + 2;
		char *path = heap_alloc(room);
		snprintf(path, room, "%s/%s", directory, found[i]->d_name);
		if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
			heap_free(path);
		else
			read_file(load, n, path, false, n->text);
		free(found[i]);
	}
	free(found);
	heap_free(directory);
}

/* Is it a line of its own, or does it stand for others? */
static bool
include_line(struct load *load, const struct nest *n, const struct rules_line *l)
{
	if (l->count != 2)
		return false;
	const char *what = l->fields[0].words[0].text, *name = l->fields[1].words[0].text;
	if (strcmp(what, "include_dir") == 0)
		include_directory(load, n, name);
	else if (strcmp(what, "include") == 0 || strcmp(what, "include_if_exists") == 0)
		read_file(load, n, path_from(n->file, name), what[7] != '\0', n->text);
	else
		return false;
	return true;
}

/* ---- lines ---- */

/* The next field of the line. False: there is none, or the line is wrong and was told of. */
static bool
read_field(struct load *load, const struct nest *n, struct view *left, struct rules_field *f, bool *is_wrong)
{
	struct cut w = { 0 };
	do {
		enum cut_result r = cut_word(left, &w);
		if (r == CUT_END)
			break;
		if (r == CUT_OPEN_QUOTE) {
			rules_mistake(load->mistakes, n->file, n->line, "a double quote is opened and not closed in this line");
			*is_wrong = true;
		} else if (w.text.n > RULES_WORD_MAX) {
			rules_mistake(load->mistakes, n->file, n->line, "a word is longer than %d bytes", RULES_WORD_MAX);
			*is_wrong = true;
		} else if (!w.is_quoted && w.text.n > 1 && w.text.p[0] == '@') {
			size_t before = load->mistakes->count;
			buf_add_u8(&w.text, 0);
			add_words_of(load, n, (const char *)w.text.p + 1, f);
			*is_wrong |= load->mistakes->count > before;
		} else {
			add_word(f, (const char *)w.text.p, w.text.n, w.is_quoted);
		}
	} while (w.has_comma && !*is_wrong);
	buf_free(&w.text);
	return f->count > 0;
}

static void
read_line(struct load *load, struct nest *n, struct view left)
{
	struct rules_line l = { .file = n->file, .number = n->line };
	bool is_wrong = false;

	if (left.n > 0 && memchr(left.p, 0, left.n)) {
		rules_mistake(load->mistakes, n->file, n->line, "it contains a zero byte");
		return;
	}
	while (left.n > 0 && !is_wrong && l.count < FIELDS_MAX) {
		struct rules_field f = { 0 };
		if (!read_field(load, n, &left, &f, &is_wrong))
			continue; /* a comment, an empty @file, or the end */
		l.fields = heap_resize(l.fields, (l.count + 1) * sizeof(*l.fields));
		l.fields[l.count++] = f;
	}
	if (!is_wrong && l.count == FIELDS_MAX) {
		rules_mistake(load->mistakes, n->file, n->line, "it has too many fields");
		is_wrong = true;
	}
	if (is_wrong || l.count == 0 || include_line(load, n, &l)) {
		free_line(&l);
		return;
	}
	struct rules_text *t = n->text;
	if (t->count == t->room) {
		t->room = t->room ? 2 * t->room : 16;
		t->lines = heap_resize(t->lines, t->room * sizeof(*t->lines));
	}
	t->lines[t->count++] = l;
}

static void
read_lines(struct load *load, struct nest *n, struct view text)
{
	struct buf joined = { 0 };
	n->line = 1;
	for (size_t at = 0, number = 1; at < text.n; number++) {
		const uint8_t *end = memchr(text.p + at, '\n', text.n - at);
		struct view one = view_part(text, at, end ? (size_t)(end - text.p) - at : text.n);
		at += one.n + 1;
		while (one.n > 0 && one.p[one.n - 1] == '\r')
			one.n--;
		bool goes_on = one.n > 0 && one.p[one.n - 1] == '\\';
		one.n -= goes_on;
		buf_add(&joined, one);
		if (goes_on && at < text.n)
			continue;
		read_line(load, n, buf_view(&joined));
		buf_clear(&joined);
		n->line = number + 1;
	}
	buf_free(&joined);
}

bool
rules_text_load(const char *path, struct rules_text *out, struct rules_mistakes *m)
{
	size_t before = m->count;
	struct load load = { .owner = out, .mistakes = m };
	*out = (struct rules_text){ 0 };
	read_file(&load, NULL, heap_string(path), false, out);
	return m->count == before;
}

bool
rules_text_parse(struct view text, const char *origin, struct rules_text *out, struct rules_mistakes *m)
{
	size_t before = m->count;
	struct load load = { .owner = out, .mistakes = m, .files = 1 };
	*out = (struct rules_text){ 0 };
	struct nest n = { .file = keep_name(&load, heap_string(origin)), .text = out };
	read_lines(&load, &n, text);
	return m->count == before;
}

void
rules_text_free(struct rules_text *t)
{
	free_lines(t);
	for (size_t i = 0; i < t->file_count; i++)
		heap_free(t->files[i]);
	heap_free(t->files);
	*t = (struct rules_text){ 0 };
}

/* ---- words ---- */

bool
rules_word_is(const struct rules_word *w, const char *keyword)
{
	return !w->is_quoted && strcmp(w->text, keyword) == 0;
}

bool
rules_word_compile(struct rules_word *w, const struct rules_line *line, struct rules_mistakes *m)
{
	char reason[200];
	struct text why = TEXT_IN(reason);
	if (w->text[0] != '/' || w->pattern)
		return true;
	w->pattern = pattern_new(w->text + 1, &why);
	return w->pattern || rules_mistake_at(m, line, "regular expression \"%s\": %s", w->text + 1, reason);
}
