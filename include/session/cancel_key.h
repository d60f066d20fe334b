/*
 * session/cancel_key.h - how a cancel request names a client, and the process that the client is connected to.
 *
 *   process id   0 | peer_id: 14 bits | lower 17 bits of the client's id         with peer_id = 0: 01 | its id: 30 bits
 *   key          HMAC of id and process id under a secret of the process: 4 bytes for protocol 3.0, 32 for 3.2
 *   passed on    the same process id | the same key | how often it was passed on: 4 bytes more
 *
 * PgBouncer, too, puts its peer_id into the process id, and counts in two bits of the key. Here all bits of the key stay
 * secret, as 4 bytes are few enough: what was passed on is known by its length, as no key that is given away has 8 or 36
 * bytes. So a group can't be mixed of pgsluice and PgBouncer processes; nobody needs that for longer than an upgrade.
 * No process of Linux has an id of CANCEL_PID_OURS or more: those are known for ours wherever they are met (session/pids.h),
 * which is all of them but with peer_id 1 to 31.
 * The key tells clients apart whose ids have the same lower bits, and those who were welcomed under another peer_id.
 */
#ifndef SESSION_CANCEL_KEY_H
#define SESSION_CANCEL_KEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/view.h"

enum {
	CANCEL_KEY_BYTES = 32,     /* for protocol 3.2; of it the first CANCEL_KEY_MIN for 3.0 */
	CANCEL_SECRET_BYTES = 32,
	CANCEL_ID_BITS = 17,       /* of a client's id that are in every process id */
	CANCEL_PEER_MAX = 16383,
	CANCEL_PID_OURS = 1 << 22, /* PID_MAX_LIMIT: proc(5), /proc/sys/kernel/pid_max */
	CANCEL_HOPS_MAX = 3,       /* as in PgBouncer: to a host's shared port, there to the right process, and one to spare */
};

uint32_t cancel_pid(int peer_id, uint32_t client_id); /* a positive int4 */
int      cancel_pid_peer(uint32_t pid);               /* 0: names none, or none that could be */
bool     cancel_pid_may_be(uint32_t pid, uint32_t client_id); /* the key decides */
void     cancel_key_make(const uint8_t secret[CANCEL_SECRET_BYTES], uint32_t client_id, uint32_t pid,
                         uint8_t out[CANCEL_KEY_BYTES]);

/* The key of a request and how often it was passed on; false: it is none that could have been given away here. */
bool cancel_key_read(struct view key, struct view *bare, uint32_t *hops);
void cancel_key_add_hops(struct buf *key, uint32_t hops); /* behind the bare key: hops in 1..CANCEL_HOPS_MAX */

#endif
