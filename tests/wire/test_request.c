/* tests/wire/test_request.c - our own frontend messages are what a client library would have sent. */
#include "wire/request.h"

#include "../suite.h"
#include "exact.h"

#include "wire/message.h"
#include "wire/startup.h"

START_TEST(a_start_is_read_as_it_was_written)
{
	struct buf b = { 0 };
	request_startup(&b, 2, (const char *const[]){ "user", "app", "options", "-c geqo=off", NULL });
	struct startup s;
	const char *name, *value;
	ck_assert_int_eq(startup_peek(buf_view(&b), &s), STARTUP_START);
	ck_assert_uint_eq(s.size, b.n);
	ck_assert_uint_eq(s.minor, 2);
	ck_assert(startup_next_param(&s.params, &name, &value));
	ck_assert_str_eq(name, "user");
	ck_assert_str_eq(value, "app");
	ck_assert(startup_next_param(&s.params, &name, &value));
	ck_assert_str_eq(name, "options");
	ck_assert_str_eq(value, "-c geqo=off");
	ck_assert(!startup_next_param(&s.params, &name, &value));
	buf_free(&b);

	request_startup(&b, 0, (const char *const[]){ NULL });
	holds_bytes(&b, VIEW("\0\0\0\x09\0\3\0\0\0"));
}
END_TEST

START_TEST(requests_before_the_start_have_no_letter)
{
	struct buf b = { 0 };
	request_ssl(&b);
	holds_bytes(&b, VIEW("\0\0\0\x08\x04\xd2\x16\x2f"));
	request_cancel(&b, 4711, VIEW("\1\2\3\4"));
	holds_bytes(&b, VIEW("\0\0\0\x10\x04\xd2\x16\x2e\0\0\x12\x67\1\2\3\4"));

	uint8_t key[CANCEL_KEY_MAX] = { 1 };
	struct startup s;
	request_cancel(&b, 1, view_of(key, sizeof(key)));
	ck_assert_int_eq(startup_peek(buf_view(&b), &s), STARTUP_CANCEL);
	ck_assert(view_equal(s.key, view_of(key, sizeof(key))));
	buf_free(&b);
}
END_TEST

START_TEST(answers_to_authentication_share_a_letter)
{
	struct buf b = { 0 };
	request_password(&b, "pw");
	holds_bytes(&b, VIEW("p\0\0\0\7pw\0"));
	request_sasl_initial(&b, "M", VIEW("n,,"));
	holds_bytes(&b, VIEW("p\0\0\0\x0dM\0\0\0\0\3n,,"));
	request_sasl_initial(&b, "M", VIEW(""));
	holds_bytes(&b, VIEW("p\0\0\0\x0aM\0\0\0\0\0"));
	request_sasl_initial(&b, "M", (struct view){ NULL, 0 });
	holds_bytes(&b, VIEW("p\0\0\0\x0aM\0\xff\xff\xff\xff"));
	request_sasl_response(&b, VIEW("c=1"));
	holds_bytes(&b, VIEW("p\0\0\0\7c=1"));
}
END_TEST

START_TEST(requests_of_the_extended_protocol_are_laid_out_as_the_manual_says)
{
	struct buf b = { 0 };
	request_parse(&b, "s", VIEW("select"), VIEW("\0\0\0\x17"));
	holds_bytes(&b, VIEW("P\0\0\0\x13s\0select\0\0\1\0\0\0\x17"));
	request_parse(&b, "", VIEW(""), VIEW(""));
	holds_bytes(&b, VIEW("P\0\0\0\x08\0\0\0\0"));
	request_describe(&b, 'S', "s");
	holds_bytes(&b, VIEW("D\0\0\0\7Ss\0"));
	request_close(&b, 'P', "");
	holds_bytes(&b, VIEW("C\0\0\0\6P\0"));
	request_execute(&b, "p", 10);
	holds_bytes(&b, VIEW("E\0\0\0\x0ap\0\0\0\0\x0a"));
	request_sync(&b);
	holds_bytes(&b, VIEW("S\0\0\0\4"));
	request_flush(&b);
	holds_bytes(&b, VIEW("H\0\0\0\4"));
}
END_TEST

START_TEST(the_other_requests_too)
{
	struct buf b = { 0 };
	request_query(&b, "select 1");
	holds_bytes(&b, VIEW("Q\0\0\0\x0dselect 1\0"));
	request_copy_fail(&b, "no");
	holds_bytes(&b, VIEW("f\0\0\0\7no\0"));
	request_terminate(&b);
	holds_bytes(&b, VIEW("X\0\0\0\4"));
}
END_TEST

START_TEST(a_parse_under_another_name_keeps_its_text_and_types)
{
	struct view body = VIEW("mine\0select $1\0\0\1\0\0\0\x17");
	struct parse_message m, renamed;
	struct buf b = { 0 };
	ck_assert(parse_read(body, &m));
	request_parse(&b, "shared_42", m.query, m.types);
	ck_assert(parse_read(only_body(&b, FE_PARSE), &renamed));
	ck_assert_str_eq(renamed.name, "shared_42");
	ck_assert(view_equal(renamed.query, m.query));
	ck_assert(view_equal(renamed.types, m.types));
	buf_free(&b);
}
END_TEST

START_TEST(a_bind_is_renamed_while_its_tail_is_still_to_come)
{
	static const char tail[] = "\0\0\0\1\0\0\0\2hi\0\0";
	struct buf client = { 0 }, server = { 0 };
	struct bind_head head;
	struct frame f;
	request_bind_head(&client, "", "mine", sizeof(tail) - 1);
	ck_assert_int_eq(frame_peek(buf_view(&client), FRAME_LENGTH_MAX, &f), FRAME_OK);
	ck_assert_int_eq(bind_frame_read_head(&f, &head), FRAME_OK);

	size_t tail_bytes = frame_body_size(&f) - head.head_bytes;
	ck_assert_uint_eq(tail_bytes, sizeof(tail) - 1);
	request_bind_head(&server, head.portal, "shared_42", tail_bytes);
	ck_assert_int_eq(frame_peek(buf_view(&server), FRAME_LENGTH_MAX, &f), FRAME_OK);
	ck_assert(!frame_is_whole(&f));
	buf_add(&server, view_of(tail, sizeof(tail) - 1));

	struct bind_message m;
	ck_assert(bind_read(only_body(&server, FE_BIND), &m));
	ck_assert_str_eq(m.portal, "");
	ck_assert_str_eq(m.statement, "shared_42");
	ck_assert_uint_eq(m.value_count, 1);
	buf_free(&client);
	buf_free(&server);
}
END_TEST

START_TEST(the_longest_bind_can_be_renamed)
{
	struct buf b = { 0 };
	char name[1000];
	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	request_bind_head(&b, "", name, FRAME_LENGTH_MAX - 4 - 2);
	ck_assert_uint_eq(load_be32(b.p + 1), FRAME_LENGTH_MAX - 2 + sizeof(name) + 1);
	buf_free(&b);
}
END_TEST

int
main(void)
{
	const TTest *const rules[] = {
		a_start_is_read_as_it_was_written,
		requests_before_the_start_have_no_letter,
		answers_to_authentication_share_a_letter,
		requests_of_the_extended_protocol_are_laid_out_as_the_manual_says,
		the_other_requests_too,
		a_parse_under_another_name_keeps_its_text_and_types,
		a_bind_is_renamed_while_its_tail_is_still_to_come,
		the_longest_bind_can_be_renamed,
	};
	return suite_run("wire/request", rules, sizeof(rules) / sizeof(rules[0]));
}
