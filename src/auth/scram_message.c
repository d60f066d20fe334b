/* auth/scram_message.c - see the header. */
#include "scram_message.h"

#include "auth/base64.h"

static bool
is_letter(uint8_t c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool
scram_take(struct view *left, struct scram_attribute *out)
{
	if (left->n < 2 || !is_letter(left->p[0]) || left->p[1] != '=')
		return false;
	size_t end = 2;
	for (; end < left->n && left->p[end] != ','; end++)
		if (left->p[end] < 0x20 || left->p[end] == 0x7f)
			return false;
	*out = (struct scram_attribute){ .name = (char)left->p[0], .value = view_part(*left, 2, end - 2) };
	if (end + 1 == left->n)
		return false; /* a comma with nothing behind it */
	*left = view_from(*left, end + 1);
	return true;
}

enum scram_result
scram_take_named(struct view *left, char name, struct view *value)
{
	struct scram_attribute a;

	if (!scram_take(left, &a))
		return SCRAM_BAD_MESSAGE;
	*value = a.value;
	if (a.name == 'm')
		return SCRAM_UNSUPPORTED;
	return a.name == name ? SCRAM_OK : SCRAM_BAD_MESSAGE;
}

bool
scram_skip_extensions(struct view left)
{
	struct scram_attribute a;

	while (left.n)
		if (!scram_take(&left, &a))
			return false;
	return true;
}

bool
scram_is_nonce(struct view v)
{
	for (size_t i = 0; i < v.n; i++)
		if (v.p[i] < 0x21 || v.p[i] > 0x7e || v.p[i] == ',')
			return false;
	return v.n > 0;
}

bool
scram_read_iterations(struct view digits, uint32_t *out)
{
	uint64_t sum = 0;

	if (digits.n == 0 || digits.n > 10)
		return false;
	for (size_t i = 0; i < digits.n; i++) {
		if (digits.p[i] < '0' || digits.p[i] > '9')
			return false;
		sum = sum * 10 + (digits.p[i] - (uint64_t)'0');
	}
	*out = (uint32_t)sum;
	return sum >= 1 && sum <= INT32_MAX;
}

bool
scram_read_key(struct view base64, uint8_t out[DIGEST_BYTES])
{
	size_t n;
	return base64_read(base64, out, DIGEST_BYTES, &n) && n == DIGEST_BYTES;
}

void
scram_new_nonce(char out[SCRAM_NONCE_SIZE])
{
	uint8_t bytes[18]; /* as PostgreSQL's */
	struct buf text = { NULL, 0, 0 };

	digest_random(bytes, sizeof(bytes));
	base64_add(&text, view_of(bytes, sizeof(bytes)));
	memcpy(out, text.p, text.n);
	out[text.n] = 0;
	buf_free(&text);
}

void
scram_add_binding(struct buf *out, struct view gs2, const struct scram_binding *binding)
{
	struct buf bytes = { NULL, 0, 0 };

	buf_add(&bytes, gs2);
	if (binding->is_used)
		buf_add(&bytes, view_of(binding->hash, binding->hash_bytes));
	base64_add(out, buf_view(&bytes));
	buf_free(&bytes);
}

void
scram_sign(const uint8_t key[DIGEST_BYTES], const struct buf *auth_message, uint8_t out[DIGEST_BYTES])
{
	digest_hmac(view_of(key, DIGEST_BYTES), (struct view[]){ buf_view(auth_message) }, 1, out);
}

void
scram_mix(const uint8_t *a, const uint8_t *b, uint8_t out[DIGEST_BYTES])
{
	for (size_t i = 0; i < DIGEST_BYTES; i++)
		out[i] = a[i] ^ b[i];
}

void
scram_buf_erase(struct buf *b)
{
	digest_erase(b->p, b->room);
	buf_free(b);
}
