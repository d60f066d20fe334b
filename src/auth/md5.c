/* auth/md5.c - see the header. */
#include "auth/md5.h"

#include <string.h>

#include "auth/mock.h"

static bool
md5_text(struct view a, struct view b, char out[MD5_TEXT_SIZE])
{
	memcpy(out, "md5", 3);
	if (digest_md5_hex((struct view[]){ a, b }, 2, out + 3))
		return true;
	out[0] = 0;
	return false;
}

bool
md5_password(const char *user, const char *password, char out[MD5_TEXT_SIZE])
{
	return md5_text(view_of_string(password), view_of_string(user), out);
}

bool
md5_with_salt(const char *md5_secret, const uint8_t salt[MD5_SALT_BYTES], char out[MD5_TEXT_SIZE])
{
	if (strlen(md5_secret) == MD5_TEXT_SIZE - 1)
		return md5_text(view_of_string(md5_secret + 3), view_of(salt, MD5_SALT_BYTES), out);
	out[0] = 0;
	return false;
}

void
md5_new_salt(uint8_t salt[MD5_SALT_BYTES])
{
	digest_random(salt, MD5_SALT_BYTES);
}

bool
md5_verify(const struct secret *secret, const char *user, const uint8_t salt[MD5_SALT_BYTES], const char *answer)
{
	char stored[MD5_TEXT_SIZE], want[MD5_TEXT_SIZE], given[MD5_TEXT_SIZE] = "";
	bool may_pass = secret && !secret->is_mock && (secret->kind == SECRET_PLAIN || secret->kind == SECRET_MD5);

	/* Who has no such secret is checked as if there were a plain password, and then refused. */
	if (secret && secret->kind == SECRET_MD5)
		memcpy(stored, secret->text, MD5_TEXT_SIZE);
	else if (!md5_password(user, secret && secret->kind == SECRET_PLAIN ? secret->text : "none", stored))
		return false;
	if (!md5_with_salt(stored, salt, want))
		return false;
	bool has_length = strlen(answer) == MD5_TEXT_SIZE - 1;
	if (has_length)
		memcpy(given, answer, MD5_TEXT_SIZE);
	bool is_equal = digest_equal(given, want, MD5_TEXT_SIZE);
	digest_erase(stored, sizeof(stored));
	digest_erase(want, sizeof(want));
	return is_equal && has_length && may_pass;
}
