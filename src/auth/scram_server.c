/*
 * auth/scram_server.c - SCRAM towards a client: its proof is checked with StoredKey, and gives away its ClientKey.
 *
 *	ClientSignature = HMAC(StoredKey, AuthMessage)
 *	ClientKey       = ClientProof xor ClientSignature, right when H(ClientKey) == StoredKey
 *	ServerSignature = HMAC(ServerKey, AuthMessage)
 *	AuthMessage     = client-first without gs2 header , server-first , client-final without proof
 *
 * Source: RFC 5802, 3 and 5 to 7; PostgreSQL 16, 55.3.1 (the name in n= is ignored, that of the startup packet counts).
 */
#include "auth/base64.h"
#include "auth/mock.h"
#include "auth/scram.h"
#include "base/must.h"
#include "scram_message.h"

#define BINDING_TYPE "tls-server-end-point"

/* What to check against: the user's own verifier, or one that can't be satisfied. True: the real thing. */
static bool
choose_secret(const struct secret *secret, const char *user, uint32_t iterations, struct scram_cache *cache,
              struct scram_secret *out)
{
	if (secret && secret->kind == SECRET_SCRAM) {
		*out = secret->scram;
		return !secret->is_mock;
	}
	mock_scram_secret(user, iterations, MOCK_SALT_BYTES, out);
	if (!secret || secret->kind != SECRET_PLAIN || secret->is_mock)
		return false;

	struct scram_keys keys;
	scram_keys_of_password(secret->text, view_of(out->salt, out->salt_bytes), iterations, cache, &keys);
	memcpy(out->stored_key, keys.stored_key, DIGEST_BYTES);
	memcpy(out->server_key, keys.server_key, DIGEST_BYTES);
	digest_erase(&keys, sizeof(keys));
	return true;
}

void
scram_server_begin(struct scram_server *s, const struct secret *secret, const char *user, uint32_t iterations,
                   struct scram_cache *cache, const struct scram_binding *binding)
{
	*s = (struct scram_server){ .step = SCRAM_STEP_FIRST };
	s->is_mock = !choose_secret(secret, user, iterations, cache, &s->secret);
	if (binding)
		s->binding = *binding;
	scram_new_nonce(s->nonce);
}

void
scram_server_fini(struct scram_server *s)
{
	scram_buf_erase(&s->auth_message);
	digest_erase(s, sizeof(*s));
}

/* Every step goes through here: only in its turn, and never again after a failure. */
static enum scram_result
step_to(enum scram_step *step, enum scram_step next, enum scram_result r)
{
	*step = r == SCRAM_OK ? next : SCRAM_STEP_FAILED;
	return r;
}

/* Take up to and with the comma. */
static bool
take_field(struct view *left, struct view *field)
{
	const uint8_t *comma = left->n ? memchr(left->p, ',', left->n) : NULL;
	if (!comma)
		return false;
	*field = view_part(*left, 0, (size_t)(comma - left->p));
	*left = view_from(*left, field->n + 1);
	return true;
}

/* The flag of the gs2 header against what we offered and what was chosen. */
static enum scram_result
check_flag(struct view flag, const struct scram_binding *b)
{
	if (view_is(flag, "n"))
		return b->is_used ? SCRAM_BAD_MESSAGE : SCRAM_OK;
	if (view_is(flag, "y")) {
		if (b->is_used)
			return SCRAM_BAD_MESSAGE;
		/* The client could and believes that we can't, but we said so: somebody between us took it away. */
		return b->is_possible ? SCRAM_NO_BINDING : SCRAM_OK;
	}
	if (flag.n < 3 || memcmp(flag.p, "p=", 2) != 0 || !b->is_used)
		return SCRAM_BAD_MESSAGE;
	return view_is(view_from(flag, 2), BINDING_TYPE) ? SCRAM_OK : SCRAM_UNSUPPORTED;
}

/* Take the gs2 header off *left and keep it: client-final must repeat it. */
static enum scram_result
take_gs2(struct scram_server *s, struct view *left)
{
	struct view flag, authzid, all = *left;

	if (!take_field(left, &flag) || !take_field(left, &authzid))
		return SCRAM_BAD_MESSAGE;
	if (authzid.n)
		return view_is(view_part(authzid, 0, 2), "a=") ? SCRAM_UNSUPPORTED : SCRAM_BAD_MESSAGE;
	enum scram_result r = check_flag(flag, &s->binding);
	if (r != SCRAM_OK)
		return r;
	s->gs2_bytes = all.n - left->n;
	must(s->gs2_bytes <= sizeof(s->gs2));
	memcpy(s->gs2, all.p, s->gs2_bytes);
	return SCRAM_OK;
}

static enum scram_result
read_first(struct scram_server *s, struct view left, struct view *bare, struct view *nonce)
{
	struct view name;

	enum scram_result r = take_gs2(s, &left);
	if (r != SCRAM_OK)
		return r;
	*bare = left;
	r = scram_take_named(&left, 'n', &name);
	if (r == SCRAM_OK)
		r = scram_take_named(&left, 'r', nonce);
	if (r == SCRAM_OK && (!scram_is_nonce(*nonce) || !scram_skip_extensions(left)))
		r = SCRAM_BAD_MESSAGE;
	return r;
}

enum scram_result
scram_server_first(struct scram_server *s, struct view client_first, struct buf *out)
{
	struct view bare, nonce;

	if (s->step != SCRAM_STEP_FIRST || client_first.n > SCRAM_MESSAGE_MAX)
		return step_to(&s->step, SCRAM_STEP_FAILED, SCRAM_BAD_MESSAGE);
	enum scram_result r = read_first(s, client_first, &bare, &nonce);
	if (r != SCRAM_OK)
		return step_to(&s->step, SCRAM_STEP_FAILED, r);

	struct buf *m = &s->auth_message;
	buf_add(m, bare);
	buf_add(m, VIEW(","));
	size_t first_at = m->n;
	s->nonce_at = m->n + 2;
	s->nonce_bytes = nonce.n + strlen(s->nonce);
	buf_add(m, VIEW("r="));
	buf_add(m, nonce);
	buf_add(m, view_of_string(s->nonce));
	buf_add(m, VIEW(",s="));
	base64_add(m, view_of(s->secret.salt, s->secret.salt_bytes));
	buf_addf(m, ",i=%u", s->secret.iterations);
	buf_add(out, view_from(buf_view(m), first_at));
	return step_to(&s->step, SCRAM_STEP_FINAL, SCRAM_OK);
}

/* Take c= and see that it repeats the gs2 header and names our certificate. */
static enum scram_result
take_binding(const struct scram_server *s, struct view *left)
{
	struct buf want = { NULL, 0, 0 };
	struct view value;

	enum scram_result r = scram_take_named(left, 'c', &value);
	if (r != SCRAM_OK)
		return r;
	scram_add_binding(&want, view_of(s->gs2, s->gs2_bytes), &s->binding);
	r = view_equal(value, buf_view(&want)) ? SCRAM_OK : SCRAM_BAD_BINDING;
	buf_free(&want);
	return r;
}

/* client-final is c=, r=, optional extensions, p=; *without_proof ends before the last comma. */
static enum scram_result
read_final(const struct scram_server *s, struct view message, struct view *without_proof, uint8_t proof[DIGEST_BYTES])
{
	struct view left = message, nonce;
	struct scram_attribute a = { .name = 0 };
	size_t proof_at = 0;

	enum scram_result r = take_binding(s, &left);
	if (r == SCRAM_OK)
		r = scram_take_named(&left, 'r', &nonce);
	if (r != SCRAM_OK)
		return r;
	if (!view_equal(nonce, view_part(buf_view(&s->auth_message), s->nonce_at, s->nonce_bytes)))
		return SCRAM_BAD_MESSAGE;
	while (a.name != 'p') {
		proof_at = message.n - left.n;
		if (!scram_take(&left, &a))
			return SCRAM_BAD_MESSAGE;
	}
	*without_proof = view_part(message, 0, proof_at - 1);
	return left.n == 0 && scram_read_key(a.value, proof) ? SCRAM_OK : SCRAM_BAD_MESSAGE;
}

/* Does the proof belong to our secret? Fills s->keys either way; they are erased when not. */
static bool
proof_is_right(struct scram_server *s, const uint8_t proof[DIGEST_BYTES])
{
	uint8_t signature[DIGEST_BYTES];
	struct scram_keys *k = &s->keys;

	scram_sign(s->secret.stored_key, &s->auth_message, signature);
	scram_mix(proof, signature, k->client_key);
	digest_of((struct view[]){ { k->client_key, DIGEST_BYTES } }, 1, k->stored_key);
	bool is_right = digest_equal(k->stored_key, s->secret.stored_key, DIGEST_BYTES) && !s->is_mock;
	digest_erase(signature, sizeof(signature));
	if (!is_right) {
		digest_erase(k, sizeof(*k));
		return false;
	}
	k->iterations = s->secret.iterations;
	k->salt_bytes = s->secret.salt_bytes;
	memcpy(k->salt, s->secret.salt, sizeof(k->salt));
	memcpy(k->server_key, s->secret.server_key, DIGEST_BYTES);
	return true;
}

enum scram_result
scram_server_final(struct scram_server *s, struct view client_final, struct buf *out)
{
	uint8_t proof[DIGEST_BYTES], signature[DIGEST_BYTES];
	struct view without_proof;

	if (s->step != SCRAM_STEP_FINAL || client_final.n > SCRAM_MESSAGE_MAX)
		return step_to(&s->step, SCRAM_STEP_FAILED, SCRAM_BAD_MESSAGE);
	enum scram_result r = read_final(s, client_final, &without_proof, proof);
	if (r != SCRAM_OK)
		return step_to(&s->step, SCRAM_STEP_FAILED, r);

	buf_add(&s->auth_message, VIEW(","));
	buf_add(&s->auth_message, without_proof);
	bool is_right = proof_is_right(s, proof);
	digest_erase(proof, sizeof(proof));
	if (!is_right)
		return step_to(&s->step, SCRAM_STEP_FAILED, SCRAM_WRONG_PASSWORD);
	scram_sign(s->secret.server_key, &s->auth_message, signature);
	buf_add(out, VIEW("v="));
	base64_add(out, view_of(signature, DIGEST_BYTES));
	return step_to(&s->step, SCRAM_STEP_DONE, SCRAM_OK);
}
