/* tests/wire/test_reply.c - our own backend messages are what PostgreSQL would have sent. */
#include "wire/reply.h"

#include "../suite.h"
#include "exact.h"

START_TEST(a_fault_becomes_an_error_with_postgresqls_fields_in_its_order)
{
	struct buf b = { 0 };
	reply_error(&b, "FATAL", &(struct fault){ .sqlstate = "57P01", .text = "no" });
	holds_bytes(&b, VIEW("E\0\0\0\x1eSFATAL\0VFATAL\0C57P01\0Mno\0\0"));

	struct error_fields e;
	reply_error(&b, "ERROR", &(struct fault){ .sqlstate = "53300", .text = "full", .detail = "of 20", .hint = "wait" });
	ck_assert(error_read(only_body(&b, BE_ERROR_RESPONSE), &e));
	ck_assert_str_eq(e.severity, "ERROR");
	ck_assert_str_eq(e.severity_nonlocal, "ERROR");
	ck_assert_str_eq(e.sqlstate, "53300");
	ck_assert_str_eq(e.message, "full");
	ck_assert_str_eq(e.detail, "of 20");
	ck_assert_str_eq(e.hint, "wait");
	buf_free(&b);
}
END_TEST

START_TEST(a_reworded_error_keeps_all_its_other_fields)
{
	struct buf b = { 0 };
	reply_error_reworded(&b, VIEW("SERROR\0C26000\0Mno \"ours_1\" here\0Dours_1\0Fparse.c\0\0"), "ours_1", "their's");
	holds_bytes(&b, VIEW("E\0\0\0\x37SERROR\0C26000\0Mno \"their's\" here\0Dours_1\0Fparse.c\0\0"));
	buf_clear(&b);
	reply_error_reworded(&b, VIEW("SERROR\0Mnothing\0\0"), "ours_1", "x");
	holds_bytes(&b, VIEW("E\0\0\0\x15SERROR\0Mnothing\0\0"));
	buf_free(&b);
}
END_TEST

START_TEST(a_notice_differs_from_an_error_in_its_letter)
{
	struct buf b = { 0 };
	struct error_fields e;
	reply_notice(&b, "WARNING", &(struct fault){ .sqlstate = "01000", .text = "hm" });
	ck_assert(error_read(only_body(&b, BE_NOTICE_RESPONSE), &e));
	ck_assert_str_eq(e.severity, "WARNING");
	ck_assert_ptr_null(e.detail);
	ck_assert_ptr_null(e.hint);
	buf_free(&b);
}
END_TEST

START_TEST(authentication_requests_carry_what_their_kind_needs)
{
	struct buf b = { 0 };
	reply_auth(&b, AUTH_OK);
	holds_bytes(&b, VIEW("R\0\0\0\x08\0\0\0\0"));
	reply_auth(&b, AUTH_CLEARTEXT_PASSWORD);
	holds_bytes(&b, VIEW("R\0\0\0\x08\0\0\0\3"));
	reply_auth_md5(&b, (const uint8_t *)"salt");
	holds_bytes(&b, VIEW("R\0\0\0\x0c\0\0\0\5salt"));
	reply_auth_sasl(&b, (const char *const[]){ "A", "B2", NULL });
	holds_bytes(&b, VIEW("R\0\0\0\x0e\0\0\0\x0a" "A\0B2\0\0"));
	reply_auth_sasl_continue(&b, VIEW("r=1"));
	holds_bytes(&b, VIEW("R\0\0\0\x0b\0\0\0\x0br=1"));
	reply_auth_sasl_final(&b, VIEW("v=1"));
	holds_bytes(&b, VIEW("R\0\0\0\x0b\0\0\0\x0cv=1"));
}
END_TEST

START_TEST(a_login_ends_with_parameters_a_key_and_ready)
{
	struct buf b = { 0 };
	reply_parameter_status(&b, "TimeZone", "UTC");
	holds_bytes(&b, VIEW("S\0\0\0\x11TimeZone\0UTC\0"));
	reply_backend_key(&b, 4711, VIEW("\1\2\3\4"));
	holds_bytes(&b, VIEW("K\0\0\0\x0c\0\0\x12\x67\1\2\3\4"));
	reply_ready(&b, 'I');
	holds_bytes(&b, VIEW("Z\0\0\0\5I"));

	uint8_t key[CANCEL_KEY_MAX] = { 1 };
	uint32_t pid;
	struct view read;
	reply_backend_key(&b, 7, view_of(key, sizeof(key)));
	ck_assert(backend_key_read(only_body(&b, BE_BACKEND_KEY_DATA), &pid, &read));
	ck_assert_uint_eq(read.n, CANCEL_KEY_MAX);
	buf_free(&b);
}
END_TEST

START_TEST(a_negotiation_says_the_whole_version_as_postgresql_does)
{
	struct buf b = { 0 };
	reply_negotiate(&b, 2, (const char *const[]){ "_pq_.a", "_pq_.b" }, 2);
	holds_bytes(&b, VIEW("v\0\0\0\x1a\0\3\0\2\0\0\0\2_pq_.a\0_pq_.b\0"));
	reply_negotiate(&b, 0, NULL, 0);
	holds_bytes(&b, VIEW("v\0\0\0\x0c\0\3\0\0\0\0\0\0"));
}
END_TEST

START_TEST(a_notification_is_read_as_it_was_written)
{
	struct buf b = { 0 };
	struct notification n;
	reply_notification(&b, 9, "jobs", "");
	ck_assert(notification_read(only_body(&b, BE_NOTIFICATION_RESPONSE), &n));
	ck_assert_uint_eq(n.pid, 9);
	ck_assert_str_eq(n.channel, "jobs");
	ck_assert_str_eq(n.payload, "");
	buf_free(&b);
}
END_TEST

START_TEST(messages_without_a_body_are_five_bytes)
{
	struct buf b = { 0 };
	reply_parse_complete(&b);
	holds_bytes(&b, VIEW("1\0\0\0\4"));
	reply_bind_complete(&b);
	holds_bytes(&b, VIEW("2\0\0\0\4"));
	reply_close_complete(&b);
	holds_bytes(&b, VIEW("3\0\0\0\4"));
	reply_no_data(&b);
	holds_bytes(&b, VIEW("n\0\0\0\4"));
	reply_empty_query(&b);
	holds_bytes(&b, VIEW("I\0\0\0\4"));
	reply_portal_suspended(&b);
	holds_bytes(&b, VIEW("s\0\0\0\4"));
}
END_TEST

START_TEST(messages_follow_each_other_in_one_buf)
{
	struct buf b = { 0 };
	reply_bind_complete(&b);
	reply_command_complete(&b, "SET");
	reply_ready(&b, 'T');
	holds_bytes(&b, VIEW("2\0\0\0\4" "C\0\0\0\x08SET\0" "Z\0\0\0\5T"));
}
END_TEST

START_TEST(a_result_is_columns_and_rows_of_text)
{
	struct buf b = { 0 };
	reply_parameter_description(&b, (const uint32_t[]){ OID_INT4, OID_TEXT }, 2);
	holds_bytes(&b, VIEW("t\0\0\0\x0e\0\2\0\0\0\x17\0\0\0\x19"));
	reply_row_description(&b, (const struct column[]){ { "n", OID_INT8, 8 }, { "t", OID_TEXT, -1 } }, 2);
	holds_bytes(&b, VIEW("T\0\0\0\x2e\0\2"
	                     "n\0\0\0\0\0\0\0\0\0\0\x14\0\x08\xff\xff\xff\xff\0\0"
	                     "t\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0"));
	struct view value = VIEW("a\0b");
	size_t row = reply_row_begin(&b);
	reply_row_value(&b, row, &value);
	reply_row_value(&b, row, NULL);
	reply_row_string(&b, row, "xy");
	reply_row_string(&b, row, "");
	reply_row_string(&b, row, NULL);
	reply_row_end(&b, row);
	holds_bytes(&b, VIEW("D\0\0\0\x1f\0\5\0\0\0\3a\0b\xff\xff\xff\xff\0\0\0\2xy\0\0\0\0\xff\xff\xff\xff"));
}
END_TEST

START_TEST(a_row_counts_its_values_behind_other_messages)
{
	struct buf b = { 0 };
	reply_bind_complete(&b);
	for (int rows = 0; rows < 3; rows++) {
		size_t row = reply_row_begin(&b);
		for (int i = 0; i < 300; i++)
			reply_row_string(&b, row, "x");
		reply_row_end(&b, row);
	}
	struct view in = view_from(buf_view(&b), 5);
	for (int rows = 0; rows < 3; rows++) {
		struct frame f;
		struct row_message m;
		ck_assert_int_eq(frame_peek(in, FRAME_LENGTH_MAX, &f), FRAME_OK);
		ck_assert(row_read(f.body, &m));
		ck_assert_uint_eq(m.count, 300);
		in = view_from(in, f.size);
	}
	ck_assert_uint_eq(in.n, 0);
	buf_free(&b);
}
END_TEST

int
main(void)
{
	const TTest *const rules[] = {
		a_fault_becomes_an_error_with_postgresqls_fields_in_its_order,
		a_reworded_error_keeps_all_its_other_fields,
		a_notice_differs_from_an_error_in_its_letter,
		authentication_requests_carry_what_their_kind_needs,
		a_login_ends_with_parameters_a_key_and_ready,
		a_negotiation_says_the_whole_version_as_postgresql_does,
		a_notification_is_read_as_it_was_written,
		messages_without_a_body_are_five_bytes,
		messages_follow_each_other_in_one_buf,
		a_result_is_columns_and_rows_of_text,
		a_row_counts_its_values_behind_other_messages,
	};
	return suite_run("wire/reply", rules, sizeof(rules) / sizeof(rules[0]));
}
