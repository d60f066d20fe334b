/*
 * auth/scram_message.h - the parts of a SCRAM message: "a=value,b=value". Private to the layer.
 *
 * Source: RFC 5802, 7 Formal Syntax.
 */
#ifndef AUTH_SCRAM_MESSAGE_H
#define AUTH_SCRAM_MESSAGE_H

#include "auth/scram.h"

struct scram_attribute {
	char        name;  /* a letter */
	struct view value; /* into the message */
};

/* Take the first attribute and the comma behind it; false when there is none or it is not well formed. */
bool scram_take(struct view *left, struct scram_attribute *out);

/* Take an attribute of this name; "m" in its place is a mandatory extension and so SCRAM_UNSUPPORTED. */
enum scram_result scram_take_named(struct view *left, char name, struct view *value);

/* Whatever else stands in a message: optional extensions, well formed, not for us. */
bool scram_skip_extensions(struct view left);

bool scram_is_nonce(struct view v); /* printable ASCII without a comma, not empty */
bool scram_read_iterations(struct view digits, uint32_t *out); /* 1..INT32_MAX, digits only */
bool scram_read_key(struct view base64, uint8_t out[DIGEST_BYTES]);
void scram_new_nonce(char out[SCRAM_NONCE_SIZE]);

/* The value of c=: base64 of the gs2 header and, where a binding is used, the certificate's hash. */
void scram_add_binding(struct buf *out, struct view gs2, const struct scram_binding *binding);

/* HMAC of the AuthMessage: a ClientSignature or ServerSignature, by whose key it is. */
void scram_sign(const uint8_t key[DIGEST_BYTES], const struct buf *auth_message, uint8_t out[DIGEST_BYTES]);

/* out = a xor b: proof from key and signature, and back. */
void scram_mix(const uint8_t *a, const uint8_t *b, uint8_t out[DIGEST_BYTES]);

void scram_buf_erase(struct buf *b);

#endif
