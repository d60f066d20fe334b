/* auth/users.c - see the header. */
#include "auth/users.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "auth/file.h"
#include "auth/mock.h"
#include "base/heap.h"

#define MISTAKES_SHOWN 20

struct users {
	struct user_secret *list; /* owned, sorted by name */
	size_t              count, room;
};

/* --- reading entries ---------------------------------------------------------------------------------------- */

struct reader {
	struct view   left;
	const char   *origin;
	size_t        line;
	bool          is_inline;
	size_t        mistakes;
	struct text  *why;
	struct users *into;
};

static void
mistake(struct reader *r, const char *sentence)
{
	if (++r->mistakes > MISTAKES_SHOWN)
		return;
	if (r->mistakes == MISTAKES_SHOWN)
		sentence = "and more mistakes, not shown";
	text_addf(r->why, "%s%s:%zu: %s", r->mistakes > 1 ? "\n" : "", r->origin, r->line, sentence);
}

static void
skip_blanks(struct reader *r)
{
	while (r->left.n && (*r->left.p == ' ' || *r->left.p == '\t' || *r->left.p == '\r'))
		r->left = view_from(r->left, 1);
}

static bool
at_entry_end(const struct reader *r)
{
	return r->left.n == 0 || *r->left.p == '\n' || (r->is_inline && *r->left.p == ';');
}

static void
skip_line(struct reader *r)
{
	const uint8_t *end = r->left.n ? memchr(r->left.p, '\n', r->left.n) : NULL;
	r->left = end ? view_from(r->left, (size_t)(end - r->left.p)) : view_from(r->left, r->left.n);
}

/* Read "..." into a new string that the caller frees; NULL after a mistake, with *sentence saying which. */
static char *
read_quoted(struct reader *r, size_t bytes_max, const char *too_long, const char **sentence)
{
	if (r->left.n == 0 || *r->left.p != '"') {
		*sentence = "expected \"name\" \"secret\", each in double quotes";
		return NULL;
	}
	size_t end = 1; /* of the quoted part: the first quote that is not doubled */
	size_t quotes = 0;
	for (; end < r->left.n; end++) {
		if (r->left.p[end] == '\n')
			break;
		if (r->left.p[end] != '"')
			continue;
		if (end + 1 == r->left.n || r->left.p[end + 1] != '"')
			break;
		end++;
		quotes++;
	}
	if (end >= r->left.n || r->left.p[end] != '"') {
		*sentence = "a double quote is opened and not closed in this line";
		return NULL;
	}
	if (end - 1 - quotes > bytes_max) {
		*sentence = too_long;
		return NULL;
	}
	if (memchr(r->left.p, 0, end)) {
		*sentence = "a name or secret contains a zero byte";
		return NULL;
	}
	char *string = heap_alloc(end - quotes);
	for (size_t from = 1, to = 0; from < end; from++) {
		string[to++] = (char)r->left.p[from];
		if (r->left.p[from] == '"')
			from++;
	}
	r->left = view_from(r->left, end + 1);
	return string;
}

static void
users_add(struct users *u, char *name, const struct secret *secret)
{
	if (u->count == u->room) {
		u->room = u->room ? 2 * u->room : 16;
		struct user_secret *bigger = heap_alloc(u->room * sizeof(*u->list));
		if (u->count)
			memcpy(bigger, u->list, u->count * sizeof(*u->list));
		heap_erase_free(u->list, u->count * sizeof(*u->list));
		u->list = bigger;
	}
	u->list[u->count++] = (struct user_secret){ .name = name, .secret = *secret };
}

/* Read one entry and what may stand behind it; NULL or what is wrong with it. */
static const char *
read_entry(struct reader *r)
{
	const char *sentence = NULL;
	struct secret secret;

	char *name = read_quoted(r, USERS_NAME_MAX, "the user name is longer than 127 bytes", &sentence);
	if (!name)
		return sentence;
	if (!*name)
		sentence = "the user name is empty";
	skip_blanks(r);
	char *text = sentence ? NULL : read_quoted(r, SECRET_TEXT_MAX, "the secret is longer than 65535 bytes", &sentence);
	if (text && secret_parse(text, &secret) == SECRET_BROKEN_SCRAM) {
		secret_free(&secret);
		sentence = "the secret begins like a SCRAM secret but is none; expected "
		           "SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>";
	}
	if (text)
		heap_erase_free(text, strlen(text));
	skip_blanks(r);
	if (!sentence && r->is_inline && !at_entry_end(r)) {
		secret_free(&secret);
		sentence = "expected a semicolon or a new line behind the secret";
	}
	if (sentence)
		heap_free(name);
	else
		users_add(r->into, name, &secret);
	return sentence;
}

static void
read_all(struct reader *r)
{
	for (r->line = 1; r->left.n;) {
		skip_blanks(r);
		if (!at_entry_end(r) && *r->left.p != ';') {
			const char *sentence = read_entry(r);
			if (sentence)
				mistake(r, sentence);
			if (sentence || !r->is_inline)
				skip_line(r);
		} else if (r->left.n && *r->left.p == ';' && !r->is_inline) {
			skip_line(r);
		}
		if (r->left.n && *r->left.p == '\n')
			r->line++;
		r->left = view_from(r->left, 1);
	}
}

/* --- the snapshot ------------------------------------------------------------------------------------------- */

static void
user_secret_free(struct user_secret *s)
{
	heap_free(s->name);
	secret_free(&s->secret);
}

/* By name; of the same name the later one first, which depends on where they stand and so on a stable place. */
static int
compare_places(const void *a, const void *b)
{
	const struct user_secret *const *x = a, *const *y = b;
	int order = strcmp((*x)->name, (*y)->name);
	return order ? order : *x > *y ? -1 : 1;
}

static int
compare_name(const void *name, const void *entry)
{
	return strcmp(name, ((const struct user_secret *)entry)->name);
}

/* Sort by name and keep the last entry of each. */
static void
users_settle(struct users *u)
{
	if (u->count == 0)
		return;
	struct user_secret **places = heap_alloc(u->count * sizeof(*places));
	struct user_secret *sorted = heap_alloc(u->count * sizeof(*sorted));
	size_t kept = 0;

	for (size_t i = 0; i < u->count; i++)
		places[i] = &u->list[i];
	qsort(places, u->count, sizeof(*places), compare_places);
	for (size_t i = 0; i < u->count; i++) {
		if (kept && strcmp(sorted[kept - 1].name, places[i]->name) == 0)
			user_secret_free(places[i]);
		else
			sorted[kept++] = *places[i];
	}
	heap_free(places);
	heap_erase_free(u->list, u->room * sizeof(*u->list));
	u->list = sorted;
	u->room = u->count;
	u->count = kept;
}

/* Hand the snapshot out, or throw it away if there was a mistake. */
static enum users_result
users_finish(struct users *u, enum users_result result, struct users **out)
{
	if (result == USERS_OK) {
		users_settle(u);
		*out = u;
	} else {
		users_free(u);
		*out = NULL;
	}
	return result;
}

static enum users_result
read_text(struct users *into, struct view text, const char *origin, bool is_inline, struct text *why)
{
	struct reader r = { .left = text, .origin = origin, .is_inline = is_inline, .why = why, .into = into };
	read_all(&r);
	return r.mistakes ? USERS_BAD : USERS_OK;
}

enum users_result
users_parse(struct view text, const char *origin, bool is_inline, struct users **out, struct text *why)
{
	struct users *u = heap_alloc(sizeof(*u));
	return users_finish(u, read_text(u, text, origin, is_inline, why), out);
}

static enum users_result
load_file(struct users *into, const char *path, struct text *why)
{
	struct buf bytes = { NULL, 0, 0 };
	enum users_result result = USERS_NO_FILE;

	const char *error = file_read(path, USERS_FILE_MAX, &bytes, NULL);
	if (error)
		text_addf(why, "auth_file: %s: can't read it: %s", path, error);
	else
		result = read_text(into, buf_view(&bytes), path, false, why);
	digest_erase(bytes.p, bytes.room);
	buf_free(&bytes);
	return result;
}

static bool
is_given(const char *s)
{
	return s && *s;
}

enum users_result
users_load(const struct users_source *from, struct users **out, struct text *why)
{
	struct users *u = heap_alloc(sizeof(*u));
	enum users_result file = USERS_OK, text = USERS_OK;

	if (is_given(from->auth_file))
		file = load_file(u, from->auth_file, why);
	if (is_given(from->auth_users)) {
		size_t before = why->n;
		char   sentences[2048];
		struct text more = TEXT_IN(sentences);
		text = read_text(u, view_of_string(from->auth_users), "auth_users", true, &more);
		if (text != USERS_OK)
			text_addf(why, "%s%s", before ? "\n" : "", more.p);
	}
	return users_finish(u, file != USERS_OK ? file : text, out);
}

void
users_free(struct users *u)
{
	if (!u)
		return;
	for (size_t i = 0; i < u->count; i++)
		user_secret_free(&u->list[i]);
	heap_free(u->list);
	heap_free(u);
}

size_t
users_count(const struct users *u)
{
	return u ? u->count : 0;
}

const struct user_secret *
users_at(const struct users *u, size_t i)
{
	return i < users_count(u) ? &u->list[i] : NULL;
}

const struct user_secret *
users_find(const struct users *u, const char *name)
{
	return users_count(u) ? bsearch(name, u->list, u->count, sizeof(*u->list), compare_name) : NULL;
}

void
users_mock(const struct users *u, const char *name, struct secret *out)
{
	const struct user_secret *like = users_count(u) ? &u->list[mock_number(name) % u->count] : NULL;
	mock_secret(name, like ? &like->secret : NULL, out);
}

static void
stamp_of(const struct stat *st, struct users_stamp *out)
{
	*out = (struct users_stamp){
		.is_there = true,
		.inode = (uint64_t)st->st_ino,
		.device = (uint64_t)st->st_dev,
		.size_bytes = (uint64_t)st->st_size,
		.modified_ns = (uint64_t)st->st_mtim.tv_sec * 1000000000u + (uint64_t)st->st_mtim.tv_nsec,
		.changed_ns = (uint64_t)st->st_ctim.tv_sec * 1000000000u + (uint64_t)st->st_ctim.tv_nsec,
	};
}

void
users_file_stamp(const char *path, struct users_stamp *out)
{
	struct stat st;

	*out = (struct users_stamp){ .is_there = false };
	if (path && *path && stat(path, &st) == 0)
		stamp_of(&st, out);
}

bool
users_stamp_equal(const struct users_stamp *a, const struct users_stamp *b)
{
	return a->is_there == b->is_there && a->inode == b->inode && a->device == b->device &&
	       a->size_bytes == b->size_bytes && a->modified_ns == b->modified_ns && a->changed_ns == b->changed_ns;
}
