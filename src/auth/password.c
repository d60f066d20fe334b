/* auth/password.c - see the header. */
#include "auth/password.h"

#include "auth/md5.h"
#include "auth/mock.h"

/* Compares digests, so that neither content nor length shows in the time it takes. */
static bool
equal_texts(const char *a, const char *b)
{
	uint8_t x[DIGEST_BYTES], y[DIGEST_BYTES];

	digest_of((struct view[]){ view_of_string(a) }, 1, x);
	digest_of((struct view[]){ view_of_string(b) }, 1, y);
	bool is_equal = digest_equal(x, y, DIGEST_BYTES);
	digest_erase(x, sizeof(x));
	digest_erase(y, sizeof(y));
	return is_equal;
}

static bool
verify_md5(const struct secret *secret, const char *user, const char *password)
{
	char given[MD5_TEXT_SIZE];

	bool is_right = md5_password(user, password, given) && digest_equal(given, secret->text, MD5_TEXT_SIZE);
	digest_erase(given, sizeof(given));
	return is_right;
}

static bool
verify_scram(const struct secret *secret, const char *password, struct scram_cache *cache)
{
	const struct scram_secret *s = &secret->scram;
	struct scram_keys keys;

	scram_keys_try_password(password, view_of(s->salt, s->salt_bytes), s->iterations, cache, &keys);
	bool is_right = digest_equal(keys.stored_key, s->stored_key, DIGEST_BYTES) && !secret->is_mock;
	if (is_right && cache)
		scram_cache_add(cache, password, &keys);
	digest_erase(&keys, sizeof(keys));
	return is_right;
}

bool
password_is_too_costly(const struct secret *secret)
{
	return secret->kind == SECRET_SCRAM && secret->scram.iterations > SCRAM_ITERATIONS_MAX;
}

bool
password_verify(const struct secret *secret, const char *user, const char *password, struct scram_cache *cache)
{
	bool is_right = false;

	switch (secret ? secret->kind : SECRET_NONE) {
	case SECRET_NONE:
		equal_texts("none", password); /* for its time only */
		break;
	case SECRET_PLAIN:
		is_right = equal_texts(secret->text, password);
		break;
	case SECRET_MD5:
		is_right = verify_md5(secret, user, password);
		break;
	case SECRET_SCRAM:
		is_right = !password_is_too_costly(secret) && verify_scram(secret, password, cache);
		break;
	}
	return is_right && *password && secret && !secret->is_mock;
}

bool
password_warm(const struct users *u, uint32_t iterations, struct scram_cache *cache, size_t *at)
{
	while (*at < users_count(u) && !scram_cache_is_full(cache)) {
		const struct user_secret *user = users_at(u, (*at)++);
		if (user->secret.kind != SECRET_PLAIN)
			continue;
		uint8_t salt[MOCK_SALT_BYTES];
		struct scram_keys keys;
		uint64_t before = scram_cache_stretched(cache);
		mock_salt(user->name, salt, sizeof(salt));
		scram_keys_of_password(user->secret.text, view_of(salt, sizeof(salt)), iterations, cache, &keys);
		digest_erase(&keys, sizeof(keys));
		if (scram_cache_stretched(cache) != before)
			return true;
	}
	return false;
}
