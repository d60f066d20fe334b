/* session/cancel_key.c - see the header. */
#include "session/cancel_key.h"

#include <string.h>

#include <openssl/hmac.h>

#include "base/bytes.h"
#include "base/must.h"
#include "wire/message.h"

enum { HOPS_BYTES = 4 };

static const uint32_t id_mask = (UINT32_C(1) << CANCEL_ID_BITS) - 1;
static const uint32_t own_bit = UINT32_C(1) << 30;

uint32_t
cancel_pid(int peer_id, uint32_t client_id)
{
	must(peer_id >= 0 && peer_id <= CANCEL_PEER_MAX);
	return peer_id ? (uint32_t)peer_id << CANCEL_ID_BITS | (client_id & id_mask)
	               : own_bit | (client_id & (own_bit - 1));
}

int
cancel_pid_peer(uint32_t pid)
{
	return pid >> 31 ? 0 : (int)(pid >> CANCEL_ID_BITS);
}

bool
cancel_pid_may_be(uint32_t pid, uint32_t client_id)
{
	return ((pid ^ client_id) & id_mask) == 0;
}

void
cancel_key_make(const uint8_t secret[CANCEL_SECRET_BYTES], uint32_t client_id, uint32_t pid, uint8_t out[CANCEL_KEY_BYTES])
{
	uint8_t input[8 + 4 + 4] = "cancel";
	unsigned n = CANCEL_KEY_BYTES;
	store_be32(input + 8, client_id);
	store_be32(input + 12, pid);
	must(HMAC(EVP_sha256(), secret, CANCEL_SECRET_BYTES, input, sizeof(input), out, &n) != NULL);
}

bool
cancel_key_read(struct view key, struct view *bare, uint32_t *hops)
{
	*hops = 0;
	*bare = key;
	if (key.n == CANCEL_KEY_MIN || key.n == CANCEL_KEY_BYTES)
		return true;
	if (key.n != CANCEL_KEY_MIN + HOPS_BYTES && key.n != CANCEL_KEY_BYTES + HOPS_BYTES)
		return false;
	*bare = view_part(key, 0, key.n - HOPS_BYTES);
	*hops = load_be32(key.p + bare->n);
	return *hops >= 1 && *hops <= CANCEL_HOPS_MAX;
}

void
cancel_key_add_hops(struct buf *key, uint32_t hops)
{
	must(hops >= 1 && hops <= CANCEL_HOPS_MAX);
	buf_add_be32(key, hops);
}
