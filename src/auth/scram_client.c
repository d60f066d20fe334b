/*
 * auth/scram_client.c - SCRAM towards a server: with a password, or with the keys that a client's own login gave us.
 *
 *	ClientProof     = ClientKey xor HMAC(StoredKey, AuthMessage)
 *	ServerSignature = HMAC(ServerKey, AuthMessage), which the server must send: so it knows the secret too
 *
 * Source: RFC 5802, 3 and 5 to 7; PostgreSQL 16, 55.3.1 (the user name in n= is left empty, as libpq does).
 */
#include "auth/base64.h"
#include "auth/scram.h"
#include "base/heap.h"
#include "scram_message.h"

static void
begin(struct scram_client *c, const struct scram_binding *binding)
{
	*c = (struct scram_client){ .step = SCRAM_STEP_FIRST };
	if (binding)
		c->binding = *binding;
	scram_new_nonce(c->nonce);
}

void
scram_client_begin_password(struct scram_client *c, const char *password, const struct scram_binding *binding)
{
	begin(c, binding);
	c->password = heap_string(password);
}

void
scram_client_begin_keys(struct scram_client *c, const struct scram_keys *keys, const struct scram_binding *binding)
{
	begin(c, binding);
	c->keys = *keys;
}

static void
forget_secrets(struct scram_client *c)
{
	if (c->password)
		heap_erase_free(c->password, strlen(c->password));
	c->password = NULL;
	digest_erase(&c->keys, sizeof(c->keys));
}

void
scram_client_fini(struct scram_client *c)
{
	forget_secrets(c);
	scram_buf_erase(&c->auth_message);
	digest_erase(c, sizeof(*c));
}

static enum scram_result
step_to(struct scram_client *c, enum scram_step next, enum scram_result r)
{
	c->step = r == SCRAM_OK ? next : SCRAM_STEP_FAILED;
	return r;
}

static struct view
gs2_header(const struct scram_binding *b)
{
	if (b->is_used)
		return VIEW("p=tls-server-end-point,,");
	return b->is_possible ? VIEW("y,,") : VIEW("n,,");
}

enum scram_result
scram_client_first(struct scram_client *c, struct buf *out)
{
	if (c->step != SCRAM_STEP_FIRST)
		return step_to(c, SCRAM_STEP_FAILED, SCRAM_BAD_MESSAGE);
	buf_addf(&c->auth_message, "n=,r=%s", c->nonce);
	buf_add(out, gs2_header(&c->binding));
	buf_add(out, buf_view(&c->auth_message));
	return step_to(c, SCRAM_STEP_FINAL, SCRAM_OK);
}

/* What a server asks in server-first. */
struct question {
	struct view nonce; /* into the message */
	uint32_t    iterations;
	size_t      salt_bytes;
	uint8_t     salt[SCRAM_SALT_MAX];
};

static enum scram_result
read_question(struct view left, struct question *q)
{
	struct view salt, iterations;

	enum scram_result r = scram_take_named(&left, 'r', &q->nonce);
	if (r == SCRAM_OK)
		r = scram_take_named(&left, 's', &salt);
	if (r == SCRAM_OK)
		r = scram_take_named(&left, 'i', &iterations);
	if (r != SCRAM_OK)
		return r;
	bool is_good = scram_is_nonce(q->nonce) && scram_read_iterations(iterations, &q->iterations) &&
	               base64_read(salt, q->salt, sizeof(q->salt), &q->salt_bytes) && scram_skip_extensions(left);
	return is_good ? SCRAM_OK : SCRAM_BAD_MESSAGE;
}

/* Our half must be the first of both, and the server must have added something. */
static bool
nonce_is_ours(const struct scram_client *c, struct view nonce)
{
	size_t n = strlen(c->nonce);
	return nonce.n > n && memcmp(nonce.p, c->nonce, n) == 0;
}

/* Have in c->keys those that fit this salt and iteration count. */
static enum scram_result
choose_keys(struct scram_client *c, const struct question *q, struct scram_cache *cache)
{
	struct view salt = { q->salt, q->salt_bytes };

	if (!c->password)
		return scram_keys_fit(&c->keys, salt, q->iterations) ? SCRAM_OK : SCRAM_WRONG_SALT;
	if (q->iterations > SCRAM_ITERATIONS_MAX)
		return SCRAM_TOO_COSTLY;
	scram_keys_of_password(c->password, salt, q->iterations, cache, &c->keys);
	return SCRAM_OK;
}

static void
add_proof(struct scram_client *c, struct buf *out)
{
	uint8_t stored_key[DIGEST_BYTES], signature[DIGEST_BYTES], proof[DIGEST_BYTES];

	digest_of((struct view[]){ { c->keys.client_key, DIGEST_BYTES } }, 1, stored_key);
	scram_sign(stored_key, &c->auth_message, signature);
	scram_mix(c->keys.client_key, signature, proof);
	buf_add(out, VIEW(",p="));
	base64_add(out, view_of(proof, DIGEST_BYTES));
	digest_erase(stored_key, sizeof(stored_key));
	digest_erase(signature, sizeof(signature));
}

enum scram_result
scram_client_final(struct scram_client *c, struct view server_first, struct scram_cache *cache, struct buf *out)
{
	struct question q;

	if (c->step != SCRAM_STEP_FINAL || server_first.n > SCRAM_MESSAGE_MAX)
		return step_to(c, SCRAM_STEP_FAILED, SCRAM_BAD_MESSAGE);
	enum scram_result r = read_question(server_first, &q);
	if (r == SCRAM_OK && !nonce_is_ours(c, q.nonce))
		r = SCRAM_WRONG_SERVER;
	if (r == SCRAM_OK)
		r = choose_keys(c, &q, cache);
	if (r != SCRAM_OK)
		return step_to(c, SCRAM_STEP_FAILED, r);

	struct buf *m = &c->auth_message;
	buf_add(m, VIEW(","));
	buf_add(m, server_first);
	buf_add(m, VIEW(","));
	size_t final_at = m->n;
	buf_add(m, VIEW("c="));
	scram_add_binding(m, gs2_header(&c->binding), &c->binding);
	buf_add(m, VIEW(",r="));
	buf_add(m, q.nonce);
	buf_add(out, view_from(buf_view(m), final_at));
	add_proof(c, out);
	scram_sign(c->keys.server_key, m, c->server_signature);
	forget_secrets(c);
	return step_to(c, SCRAM_STEP_VERIFY, SCRAM_OK);
}

enum scram_result
scram_client_verify(struct scram_client *c, struct view server_final)
{
	struct scram_attribute a;
	uint8_t signature[DIGEST_BYTES];

	if (c->step != SCRAM_STEP_VERIFY || server_final.n > SCRAM_MESSAGE_MAX || !scram_take(&server_final, &a) ||
	    !scram_skip_extensions(server_final))
		return step_to(c, SCRAM_STEP_FAILED, SCRAM_BAD_MESSAGE);
	if (a.name == 'e' && a.value.n)
		return step_to(c, SCRAM_STEP_FAILED, SCRAM_WRONG_PASSWORD);
	if (a.name != 'v' || !scram_read_key(a.value, signature))
		return step_to(c, SCRAM_STEP_FAILED, SCRAM_BAD_MESSAGE);
	bool is_right = digest_equal(signature, c->server_signature, DIGEST_BYTES);
	return step_to(c, SCRAM_STEP_DONE, is_right ? SCRAM_OK : SCRAM_WRONG_SERVER);
}

const char *
scram_result_text(enum scram_result r)
{
	static const char *const texts[] = {
		[SCRAM_OK] = "done",
		[SCRAM_BAD_MESSAGE] = "malformed or unexpected SCRAM message",
		[SCRAM_UNSUPPORTED] = "SCRAM message asks for something that is not supported",
		[SCRAM_BAD_BINDING] = "SCRAM channel binding check failed",
		[SCRAM_NO_BINDING] = "SCRAM channel binding negotiation error",
		[SCRAM_WRONG_PASSWORD] = "password authentication failed",
		[SCRAM_WRONG_SALT] = "the server's SCRAM secret for this user is not the one the client logged in with",
		[SCRAM_TOO_COSTLY] = "the server asks for more SCRAM iterations than are allowed",
		[SCRAM_WRONG_SERVER] = "the server could not prove that it knows the password",
	};
	return texts[r];
}
