/* auth/mock.c - see the header. Everything is HMAC(key of the process, what for + number + user name). */
#include "auth/mock.h"

#include <string.h>

#include "auth/md5.h"
#include "base/bytes.h"
#include "base/heap.h"

static uint8_t process_key[DIGEST_BYTES];
static bool    has_process_key;

void
mock_key_set(const uint8_t key[DIGEST_BYTES])
{
	memcpy(process_key, key, DIGEST_BYTES);
	has_process_key = true;
}

static void
derive(const char *what_for, uint8_t number, const char *user, uint8_t out[DIGEST_BYTES])
{
	if (!has_process_key) {
		digest_random(process_key, DIGEST_BYTES);
		has_process_key = true;
	}
	struct view parts[] = { view_of_string(what_for), { &number, 1 }, view_of_string(user) };
	digest_hmac(view_of(process_key, DIGEST_BYTES), parts, 3, out);
}

void
mock_salt(const char *user, uint8_t *out, size_t n)
{
	uint8_t block[DIGEST_BYTES];

	for (size_t at = 0; at < n; at += DIGEST_BYTES) {
		derive("salt", (uint8_t)(at / DIGEST_BYTES), user, block);
		memcpy(out + at, block, n - at < DIGEST_BYTES ? n - at : DIGEST_BYTES);
	}
}

uint64_t
mock_number(const char *user)
{
	uint8_t block[DIGEST_BYTES];

	derive("number", 0, user, block);
	return (uint64_t)load_be32(block) << 32 | load_be32(block + 4);
}

void
mock_scram_secret(const char *user, uint32_t iterations, size_t salt_bytes, struct scram_secret *out)
{
	*out = (struct scram_secret){ .iterations = iterations, .salt_bytes = salt_bytes };
	mock_salt(user, out->salt, salt_bytes);
	derive("stored key", 0, user, out->stored_key);
	derive("server key", 0, user, out->server_key);
}

/* n hex digits and a NUL; n up to 64. */
static void
mock_hex(const char *user, char *out, size_t n)
{
	uint8_t block[DIGEST_BYTES];

	derive("text", 0, user, block);
	for (size_t i = 0; i < n; i++)
		out[i] = "0123456789abcdef"[block[i / 2] >> (i % 2 ? 0 : 4) & 15];
	out[n] = 0;
}

void
mock_secret(const char *user, const struct secret *like, struct secret *out)
{
	char text[MD5_TEXT_SIZE] = "md5";

	*out = (struct secret){ .kind = like ? like->kind : SECRET_PLAIN, .is_mock = true };
	switch (out->kind) {
	case SECRET_NONE:
		break;
	case SECRET_PLAIN:
		mock_hex(user, text, 16);
		out->text = heap_string(text);
		break;
	case SECRET_MD5:
		mock_hex(user, text + 3, 32);
		out->text = heap_string(text);
		break;
	case SECRET_SCRAM:
		mock_scram_secret(user, like->scram.iterations, like->scram.salt_bytes, &out->scram);
		break;
	}
}
