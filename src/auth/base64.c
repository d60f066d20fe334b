/* auth/base64.c - see the header. OpenSSL does the work; what it lets pass is caught by encoding back. */
#include "auth/base64.h"

#include <openssl/evp.h>

#include "auth/digest.h"

#define TEXT_MAX 1024 /* characters; no value of SCRAM is longer than a message */

void
base64_add(struct buf *b, struct view v)
{
	if (v.n == 0)
		return;
	buf_reserve(b, BASE64_SIZE(v.n) + 1); /* EVP_EncodeBlock adds a NUL */
	b->n += (size_t)EVP_EncodeBlock(b->p + b->n, v.p, (int)v.n);
}

static size_t
padding_of(struct view in)
{
	return (size_t)(in.p[in.n - 1] == '=') + (size_t)(in.p[in.n - 2] == '=');
}

bool
base64_read(struct view in, uint8_t *out, size_t room, size_t *n)
{
	uint8_t bytes[TEXT_MAX / 4 * 3];
	uint8_t again[TEXT_MAX + 1];

	*n = 0;
	if (in.n == 0 || in.n % 4 != 0 || in.n > TEXT_MAX)
		return false;
	size_t want = in.n / 4 * 3 - padding_of(in);
	/* EVP_DecodeBlock trims white space, takes '=' for zero bits and ignores the bits left over. */
	bool is_good = EVP_DecodeBlock(bytes, in.p, (int)in.n) == (int)(in.n / 4 * 3) && want <= room &&
	               EVP_EncodeBlock(again, bytes, (int)want) == (int)in.n && memcmp(again, in.p, in.n) == 0;
	if (is_good) {
		memcpy(out, bytes, want);
		*n = want;
	}
	digest_erase(bytes, sizeof(bytes));
	digest_erase(again, sizeof(again));
	return is_good;
}
