/* tests/session/test_cancel_key.c - session/cancel_key: what names a client, and what can't. */
#include "session/cancel_key.h"

#include "../suite.h"
#include "base/bytes.h"
#include "wire/message.h"

static const uint8_t secret[CANCEL_SECRET_BYTES] = { 1, 2, 3 };

START_TEST(a_process_id_names_the_peer_and_is_positive)
{
	static const int peers[] = { 1, 2, 255, 256, 8191, CANCEL_PEER_MAX };
	static const uint32_t ids[] = { 1, 2, 0x1ffff, 0x20000, 0x20001, INT32_MAX };
	for (size_t i = 0; i < sizeof(peers) / sizeof(peers[0]); i++)
		for (size_t j = 0; j < sizeof(ids) / sizeof(ids[0]); j++) {
			uint32_t pid = cancel_pid(peers[i], ids[j]);
			ck_assert_int_gt((int32_t)pid, 0);
			ck_assert_int_eq(cancel_pid_peer(pid), peers[i]);
			ck_assert(cancel_pid_may_be(pid, ids[j]));
			ck_assert(!cancel_pid_may_be(pid, ids[j] ^ 1));
		}
	ck_assert_uint_eq(cancel_pid(0, 4711), 1u << 30 | 4711);
	ck_assert_uint_ge(cancel_pid(0, 1), CANCEL_PID_OURS);
	ck_assert(cancel_pid_may_be(4711, 4711));
	ck_assert_int_eq(cancel_pid_peer(UINT32_MAX), 0);
	ck_assert_int_eq(cancel_pid_peer(UINT32_C(1) << 31 | 2 << CANCEL_ID_BITS), 0);
}
END_TEST

/* Ids that share their lower bits, and one id under two peer_ids: each process id has a key of its own. */
START_TEST(keys_differ_with_the_id_the_process_id_and_the_secret)
{
	static const uint8_t other_secret[CANCEL_SECRET_BYTES] = { 1, 2, 4 };
	uint8_t key[5][CANCEL_KEY_BYTES];
	uint32_t pid = cancel_pid(2, 7);
	cancel_key_make(secret, 7, pid, key[0]);
	cancel_key_make(secret, 7, pid, key[1]);
	ck_assert_mem_eq(key[0], key[1], CANCEL_KEY_BYTES);
	cancel_key_make(secret, 7 + 0x20000, pid, key[1]);
	cancel_key_make(secret, 7, cancel_pid(3, 7), key[2]);
	cancel_key_make(secret, 7, cancel_pid(0, 7), key[3]);
	cancel_key_make(other_secret, 7, pid, key[4]);
	for (int i = 0; i < 5; i++)
		for (int j = 0; j < i; j++)
			ck_assert_mem_ne(key[i], key[j], CANCEL_KEY_MIN);
}
END_TEST

START_TEST(a_request_that_was_passed_on_is_known_by_its_length)
{
	uint8_t bytes[300] = { 9, 8, 7 };
	struct view bare;
	uint32_t hops;
	for (size_t n = 0; n <= 256; n++) {
		bool is_direct = n == 4 || n == 32, is_passed_on = n == 8 || n == 36;
		for (uint32_t said = 0; said < 6; said++) {
			if (n >= 4)
				store_be32(bytes + n - 4, said);
			bool ok = cancel_key_read(view_of(bytes, n), &bare, &hops);
			ck_assert_int_eq(ok, is_direct || (is_passed_on && said >= 1 && said <= CANCEL_HOPS_MAX));
			if (!ok)
				continue;
			ck_assert_uint_eq(hops, is_direct ? 0 : said);
			ck_assert_uint_eq(bare.n, is_direct ? n : n - 4);
			ck_assert_ptr_eq(bare.p, bytes);
		}
	}
}
END_TEST

START_TEST(what_is_added_is_read_again)
{
	for (uint32_t said = 1; said <= CANCEL_HOPS_MAX; said++) {
		struct buf b = { 0 };
		struct view bare;
		uint32_t hops;
		buf_add(&b, VIEW("abcd"));
		cancel_key_add_hops(&b, said);
		ck_assert(cancel_key_read(buf_view(&b), &bare, &hops));
		ck_assert(view_is(bare, "abcd"));
		ck_assert_uint_eq(hops, said);
		buf_free(&b);
	}
}
END_TEST

int
main(void)
{
	const TTest *const rules[] = { a_process_id_names_the_peer_and_is_positive,
				       keys_differ_with_the_id_the_process_id_and_the_secret,
				       a_request_that_was_passed_on_is_known_by_its_length, what_is_added_is_read_again };
	return suite_run("session/cancel_key", rules, sizeof(rules) / sizeof(rules[0]));
}
