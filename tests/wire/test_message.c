/* tests/wire/test_message.c - each reader takes a right body, and no other. */
#include "wire/message.h"

#include "../suite.h"
#include "exact.h"

/* The readers without their results, for takes_all_or_nothing(). */
static bool reads_query(struct view v) { struct view q; return query_read(v, &q); }
static bool reads_parse(struct view v) { struct parse_message m; return parse_read(v, &m); }
static bool reads_bind(struct view v) { struct bind_message m; return bind_read(v, &m); }
static bool reads_target(struct view v) { struct target_message m; return target_read(v, &m); }
static bool reads_execute(struct view v) { struct execute_message m; return execute_read(v, &m); }
static bool reads_copy_fail(struct view v) { const char *s; return copy_fail_read(v, &s); }
static bool reads_password(struct view v) { const char *s; return password_read(v, &s); }
static bool reads_sasl_initial(struct view v) { struct sasl_initial m; return sasl_initial_read(v, &m); }
static bool reads_error(struct view v) { struct error_fields e; return error_read(v, &e); }
static bool reads_parameter_status(struct view v) { const char *n, *s; return parameter_status_read(v, &n, &s); }
static bool reads_backend_key(struct view v) { uint32_t p; struct view k; return backend_key_read(v, &p, &k); }
static bool reads_ready(struct view v) { char s; return ready_read(v, &s); }
static bool reads_command_tag(struct view v) { const char *s; return command_tag_read(v, &s); }
static bool reads_notification(struct view v) { struct notification n; return notification_read(v, &n); }
static bool reads_negotiate(struct view v) { struct negotiate_message m; return negotiate_read(v, &m); }
static bool reads_auth(struct view v) { uint32_t r; struct view rest; return auth_read(v, &r, &rest); }
static bool reads_row(struct view v) { struct row_message m; return row_read(v, &m); }
static bool reads_row_description(struct view v) { struct row_message m; return row_description_read(v, &m); }

START_TEST(messages_have_the_manuals_names_by_direction)
{
	ck_assert_str_eq(fe_message_name(FE_PARSE), "Parse");
	ck_assert_str_eq(be_message_name(BE_PARSE_COMPLETE), "ParseComplete");
	ck_assert_str_eq(fe_message_name('C'), "Close");
	ck_assert_str_eq(be_message_name('C'), "CommandComplete");
	ck_assert_str_eq(fe_message_name('S'), "Sync");
	ck_assert_str_eq(be_message_name('S'), "ParameterStatus");
}
END_TEST

START_TEST(every_letter_has_a_name_and_those_of_no_message_are_unknown)
{
	int fe = 0, be = 0;
	for (int letter = 0; letter < 256; letter++) {
		fe += strcmp(fe_message_name((char)letter), "unknown") != 0;
		be += strcmp(be_message_name((char)letter), "unknown") != 0;
	}
	ck_assert_int_eq(fe, 14);
	ck_assert_int_eq(be, 24);
	ck_assert_str_eq(fe_message_name('\xff'), "unknown");
	ck_assert_str_eq(be_message_name('\0'), "unknown");
}
END_TEST

/* ---- frontend ---- */

START_TEST(a_query_is_one_string)
{
	struct view query;
	ck_assert(query_read(VIEW("select 1\0"), &query));
	ck_assert(view_is(query, "select 1"));
	ck_assert(query_read(VIEW("\0"), &query));
	ck_assert_uint_eq(query.n, 0);
	takes_all_or_nothing(reads_query, VIEW("select 1\0"));
	ck_assert(!reads_exact(reads_query, VIEW("a\0b\0")));
}
END_TEST

START_TEST(a_parse_is_a_name_a_query_and_types)
{
	struct view body = VIEW("s1\0select $1, $2\0\0\2\0\0\0\x17\0\0\0\0");
	struct parse_message m;
	ck_assert(parse_read(body, &m));
	ck_assert_str_eq(m.name, "s1");
	ck_assert(view_is(m.query, "select $1, $2"));
	ck_assert_uint_eq(m.query.p[m.query.n], 0);
	ck_assert_uint_eq(m.type_count, 2);
	ck_assert(view_equal(m.types, VIEW("\0\0\0\x17\0\0\0\0")));
	takes_all_or_nothing(reads_parse, body);

	ck_assert(parse_read(VIEW("\0\0\0\0"), &m));
	ck_assert_str_eq(m.name, "");
	ck_assert_uint_eq(m.query.n, 0);
	ck_assert_uint_eq(m.type_count, 0);
	ck_assert(!reads_exact(reads_parse, VIEW("\0\0\xff\xff\0\0\0\x17")));
}
END_TEST

#define BIND_HEAD "portal\0stmt\0"
#define BIND_TAIL "\0\1\0\1\0\3\0\0\0\2hi\xff\xff\xff\xff\0\0\0\0\0\1\0\0"

START_TEST(a_bind_is_two_names_formats_values_and_formats)
{
	struct view body = VIEW(BIND_HEAD BIND_TAIL);
	struct bind_message m;
	ck_assert(bind_read(body, &m));
	ck_assert_str_eq(m.portal, "portal");
	ck_assert_str_eq(m.statement, "stmt");
	ck_assert_uint_eq(m.format_count, 1);
	ck_assert(view_equal(m.formats, VIEW("\0\1")));
	ck_assert_uint_eq(m.value_count, 3);
	ck_assert_uint_eq(m.result_format_count, 1);
	ck_assert(view_equal(m.result_formats, VIEW("\0\0")));

	struct view value;
	bool is_null;
	ck_assert(row_next_value(&m.values, &value, &is_null));
	ck_assert(!is_null && view_is(value, "hi"));
	ck_assert(row_next_value(&m.values, &value, &is_null));
	ck_assert(is_null && value.n == 0);
	ck_assert(row_next_value(&m.values, &value, &is_null));
	ck_assert(!is_null && value.n == 0);
	ck_assert(!row_next_value(&m.values, &value, &is_null));
	takes_all_or_nothing(reads_bind, body);
}
END_TEST

START_TEST(a_negative_length_other_than_null_is_bad)
{
	ck_assert(reads_exact(reads_bind, VIEW("\0\0\0\0\0\1\xff\xff\xff\xff\0\0")));
	ck_assert(!reads_exact(reads_bind, VIEW("\0\0\0\0\0\1\xff\xff\xff\xfe\0\0")));
	ck_assert(!reads_exact(reads_bind, VIEW("\0\0\0\0\0\1\x80\0\0\0\0\0")));
	ck_assert(!reads_exact(reads_row, VIEW("\0\1\xff\xff\xff\xfe")));
}
END_TEST

START_TEST(the_names_of_a_bind_are_read_as_soon_as_both_have_ended)
{
	struct view body = VIEW(BIND_HEAD BIND_TAIL);
	size_t head_bytes = sizeof(BIND_HEAD) - 1;
	for (size_t n = 0; n <= body.n; n++) {
		struct view part = exact(view_part(body, 0, n));
		struct bind_head head;
		ck_assert_int_eq(bind_read_head(part, &head), n < head_bytes ? FRAME_SHORT : FRAME_OK);
		if (n >= head_bytes) {
			ck_assert_str_eq(head.portal, "portal");
			ck_assert_str_eq(head.statement, "stmt");
			ck_assert_uint_eq(head.head_bytes, head_bytes);
		}
		exact_free(part);
	}
}
END_TEST

/* What is answered to a Bind of body_bytes of which `arrived` is there. */
static enum frame_result
head_of(size_t body_bytes, struct view arrived)
{
	struct view copy = exact(arrived);
	struct frame f = { .type = FE_BIND, .size = (uint32_t)(FRAME_HEAD_BYTES + body_bytes), .body = copy };
	struct bind_head head;
	enum frame_result result = bind_frame_read_head(&f, &head);
	exact_free(copy);
	return result;
}

START_TEST(a_bind_whose_names_leave_no_room_for_the_rest_is_bad)
{
	ck_assert_int_eq(head_of(4 + 6, VIEW("a\0b\0")), FRAME_OK);
	ck_assert_int_eq(head_of(4 + 5, VIEW("a\0b\0")), FRAME_BAD);
	ck_assert_int_eq(head_of(4 + 6, VIEW("a\0b")), FRAME_SHORT);
	ck_assert_int_eq(head_of(3 + 6, VIEW("a\0b")), FRAME_BAD);
	ck_assert_int_eq(head_of(8, VIEW("")), FRAME_SHORT);
	ck_assert_int_eq(head_of(6, VIEW("")), FRAME_BAD);
	ck_assert_int_eq(head_of(0, VIEW("")), FRAME_BAD);
	ck_assert_int_eq(head_of(1000000000, VIEW("a\0b")), FRAME_SHORT);
}
END_TEST

START_TEST(describe_and_close_name_a_statement_or_a_portal)
{
	struct target_message m;
	ck_assert(target_read(VIEW("Ss1\0"), &m));
	ck_assert_int_eq(m.kind, 'S');
	ck_assert_str_eq(m.name, "s1");
	ck_assert(target_read(VIEW("P\0"), &m));
	ck_assert_int_eq(m.kind, 'P');
	ck_assert_str_eq(m.name, "");
	takes_all_or_nothing(reads_target, VIEW("Ss1\0"));
	for (int kind = 0; kind < 256; kind++) {
		uint8_t body[3] = { (uint8_t)kind, 'x', 0 };
		ck_assert(reads_exact(reads_target, view_of(body, 3)) == (kind == 'S' || kind == 'P'));
	}
}
END_TEST

START_TEST(an_execute_is_a_portal_and_a_number_of_rows)
{
	struct execute_message m;
	ck_assert(execute_read(VIEW("p1\0\0\0\x27\x10"), &m));
	ck_assert_str_eq(m.portal, "p1");
	ck_assert_uint_eq(m.max_rows, 10000);
	takes_all_or_nothing(reads_execute, VIEW("p1\0\0\0\x27\x10"));
}
END_TEST

START_TEST(a_copy_fail_and_a_password_are_one_string)
{
	const char *text;
	ck_assert(copy_fail_read(VIEW("enough\0"), &text));
	ck_assert_str_eq(text, "enough");
	takes_all_or_nothing(reads_copy_fail, VIEW("enough\0"));
	ck_assert(password_read(VIEW("secret\0"), &text));
	ck_assert_str_eq(text, "secret");
	takes_all_or_nothing(reads_password, VIEW("secret\0"));
	ck_assert(!reads_exact(reads_password, VIEW("sec\0ret\0")));
}
END_TEST

START_TEST(a_first_sasl_message_is_a_mechanism_and_perhaps_data)
{
	struct sasl_initial m;
	ck_assert(sasl_initial_read(VIEW("SCRAM-SHA-256\0\0\0\0\3n,,"), &m));
	ck_assert_str_eq(m.mechanism, "SCRAM-SHA-256");
	ck_assert(m.has_data && view_is(m.data, "n,,"));
	takes_all_or_nothing(reads_sasl_initial, VIEW("SCRAM-SHA-256\0\0\0\0\3n,,"));

	ck_assert(sasl_initial_read(VIEW("X\0\0\0\0\0"), &m));
	ck_assert(m.has_data && m.data.n == 0);
	ck_assert(sasl_initial_read(VIEW("X\0\xff\xff\xff\xff"), &m));
	ck_assert(!m.has_data && m.data.n == 0);
	takes_all_or_nothing(reads_sasl_initial, VIEW("X\0\xff\xff\xff\xff"));
	ck_assert(!reads_exact(reads_sasl_initial, VIEW("X\0\xff\xff\xff\xfe")));
}
END_TEST

/* ---- backend ---- */

START_TEST(an_error_is_told_by_its_fields_in_any_order)
{
	struct view body = VIEW("SFATAL\0VFATAL\0C57P01\0Mgoing down\0Dwhy\0Hwait\0Fpostgres.c\0L1\0Rmain\0\0");
	struct error_fields e;
	ck_assert(error_read(body, &e));
	ck_assert_str_eq(e.severity, "FATAL");
	ck_assert_str_eq(e.severity_nonlocal, "FATAL");
	ck_assert_str_eq(e.sqlstate, "57P01");
	ck_assert_str_eq(e.message, "going down");
	ck_assert_str_eq(e.detail, "why");
	ck_assert_str_eq(e.hint, "wait");
	takes_all_or_nothing(reads_error, body);
}
END_TEST

START_TEST(a_field_that_was_not_sent_is_null)
{
	struct error_fields e;
	ck_assert(error_read(VIEW("Mtext\0CXX000\0\0"), &e));
	ck_assert_str_eq(e.message, "text");
	ck_assert_str_eq(e.sqlstate, "XX000");
	ck_assert_ptr_null(e.severity);
	ck_assert_ptr_null(e.severity_nonlocal);
	ck_assert_ptr_null(e.detail);
	ck_assert_ptr_null(e.hint);
	ck_assert(error_read(VIEW("\0"), &e));
	ck_assert_ptr_null(e.message);
}
END_TEST

START_TEST(a_parameter_status_is_a_name_and_a_value)
{
	const char *name, *value;
	ck_assert(parameter_status_read(VIEW("in_hot_standby\0off\0"), &name, &value));
	ck_assert_str_eq(name, "in_hot_standby");
	ck_assert_str_eq(value, "off");
	takes_all_or_nothing(reads_parameter_status, VIEW("in_hot_standby\0off\0"));
}
END_TEST

START_TEST(a_cancel_key_of_a_server_has_4_to_256_bytes)
{
	uint8_t body[4 + 300] = { 0, 0, 0x12, 0x67, 1, 2, 3, 4 };
	for (size_t n = 0; n <= sizeof(body); n++) {
		bool may_be = n >= 4 + CANCEL_KEY_MIN && n <= 4 + CANCEL_KEY_MAX;
		ck_assert(reads_exact(reads_backend_key, view_of(body, n)) == may_be);
	}
	uint32_t pid;
	struct view key;
	ck_assert(backend_key_read(view_of(body, 8), &pid, &key));
	ck_assert_uint_eq(pid, 4711);
	ck_assert(view_equal(key, VIEW("\1\2\3\4")));
	ck_assert(backend_key_read(view_of(body, 36), &pid, &key));
	ck_assert_uint_eq(key.n, 32);
	survives_flipped_bits(reads_backend_key, view_of(body, 36));
}
END_TEST

START_TEST(ready_is_said_in_one_of_three_states)
{
	for (int status = 0; status < 256; status++) {
		uint8_t body = (uint8_t)status;
		bool may_be = status == 'I' || status == 'T' || status == 'E';
		ck_assert(reads_exact(reads_ready, view_of(&body, 1)) == may_be);
	}
	char status;
	ck_assert(ready_read(VIEW("T"), &status));
	ck_assert_int_eq(status, 'T');
	takes_all_or_nothing(reads_ready, VIEW("I"));
}
END_TEST

START_TEST(a_command_tag_is_one_string)
{
	const char *tag;
	ck_assert(command_tag_read(VIEW("INSERT 0 1\0"), &tag));
	ck_assert_str_eq(tag, "INSERT 0 1");
	takes_all_or_nothing(reads_command_tag, VIEW("INSERT 0 1\0"));
}
END_TEST

START_TEST(a_notification_is_a_pid_a_channel_and_a_payload)
{
	struct notification n;
	struct view body = VIEW("\0\0\x12\x67jobs\0{\"id\":1}\0");
	ck_assert(notification_read(body, &n));
	ck_assert_uint_eq(n.pid, 4711);
	ck_assert_str_eq(n.channel, "jobs");
	ck_assert_str_eq(n.payload, "{\"id\":1}");
	takes_all_or_nothing(reads_notification, body);
}
END_TEST

START_TEST(a_negotiation_names_a_version_and_the_options_not_known)
{
	struct negotiate_message m;
	struct view body = VIEW("\0\3\0\2\0\0\0\2_pq_.a\0_pq_.b\0");
	const char *name;
	ck_assert(negotiate_read(body, &m));
	ck_assert_uint_eq(m.newest_minor, 2);
	ck_assert_uint_eq(m.name_count, 2);
	ck_assert(negotiate_next_name(&m.names, &name));
	ck_assert_str_eq(name, "_pq_.a");
	ck_assert(negotiate_next_name(&m.names, &name));
	ck_assert_str_eq(name, "_pq_.b");
	ck_assert(!negotiate_next_name(&m.names, &name));
	takes_all_or_nothing(reads_negotiate, body);
}
END_TEST

START_TEST(a_negotiation_may_send_the_minor_version_alone)
{
	struct negotiate_message m;
	ck_assert(negotiate_read(VIEW("\0\0\0\2\0\0\0\0"), &m));
	ck_assert_uint_eq(m.newest_minor, 2);
	ck_assert(!negotiate_read(VIEW("\0\2\0\0\0\0\0\0"), &m));
	ck_assert(!negotiate_read(VIEW("\0\4\0\0\0\0\0\0"), &m));
}
END_TEST

START_TEST(a_negotiation_that_announces_more_than_it_holds_is_bad)
{
	ck_assert(!reads_exact(reads_negotiate, VIEW("\0\3\0\0\0\0\0\1")));
	ck_assert(!reads_exact(reads_negotiate, VIEW("\0\3\0\0\xff\xff\xff\xff" "a\0")));
	ck_assert(!reads_exact(reads_negotiate, VIEW("\0\3\0\0\0\0\0\1a\0b\0")));
}
END_TEST

START_TEST(an_authentication_request_has_the_data_of_its_kind)
{
	static const struct { uint32_t request; struct view rest; bool is_right; } cases[] = {
		{ AUTH_OK, { NULL, 0 }, true },
		{ AUTH_OK, { (const uint8_t *)"x", 1 }, false },
		{ AUTH_KERBEROS_V5, { NULL, 0 }, true },
		{ AUTH_CLEARTEXT_PASSWORD, { NULL, 0 }, true },
		{ AUTH_CLEARTEXT_PASSWORD, { (const uint8_t *)"x", 1 }, false },
		{ AUTH_MD5_PASSWORD, { (const uint8_t *)"salt", 4 }, true },
		{ AUTH_MD5_PASSWORD, { (const uint8_t *)"salt", 3 }, false },
		{ AUTH_MD5_PASSWORD, { (const uint8_t *)"salt!", 5 }, false },
		{ AUTH_GSS, { NULL, 0 }, true },
		{ AUTH_SSPI, { (const uint8_t *)"x", 1 }, false },
		{ AUTH_GSS_CONTINUE, { (const uint8_t *)"x", 1 }, true },
		{ AUTH_SASL, { (const uint8_t *)"A\0B\0\0", 5 }, true },
		{ AUTH_SASL, { (const uint8_t *)"\0", 1 }, true },
		{ AUTH_SASL, { (const uint8_t *)"", 0 }, false },
		{ AUTH_SASL, { (const uint8_t *)"A\0", 2 }, false },
		{ AUTH_SASL, { (const uint8_t *)"A\0\0B\0\0", 6 }, false },
		{ AUTH_SASL_CONTINUE, { (const uint8_t *)"r=x", 3 }, true },
		{ AUTH_SASL_FINAL, { (const uint8_t *)"v=x", 3 }, true },
		{ 99, { (const uint8_t *)"new", 3 }, true },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct buf b = { 0 };
		buf_add_be32(&b, cases[i].request);
		buf_add(&b, cases[i].rest);
		ck_assert_msg(reads_exact(reads_auth, buf_view(&b)) == cases[i].is_right, "case %zu", i);
		survives_flipped_bits(reads_auth, buf_view(&b));
		uint32_t request;
		struct view rest;
		if (auth_read(buf_view(&b), &request, &rest)) {
			ck_assert_uint_eq(request, cases[i].request);
			ck_assert(view_equal(rest, cases[i].rest));
		}
		buf_free(&b);
	}
	for (size_t n = 0; n < 4; n++)
		ck_assert(!reads_exact(reads_auth, view_part(VIEW("\0\0\0\0"), 0, n)));
}
END_TEST

START_TEST(mechanisms_come_in_the_servers_order)
{
	uint32_t request;
	struct view list;
	const char *name;
	ck_assert(auth_read(VIEW("\0\0\0\x0aSCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0"), &request, &list));
	ck_assert(sasl_next_mechanism(&list, &name));
	ck_assert_str_eq(name, "SCRAM-SHA-256-PLUS");
	ck_assert(sasl_next_mechanism(&list, &name));
	ck_assert_str_eq(name, "SCRAM-SHA-256");
	ck_assert(!sasl_next_mechanism(&list, &name));
	ck_assert(!sasl_next_mechanism(&list, &name));
}
END_TEST

START_TEST(a_row_is_a_number_of_values)
{
	struct view body = VIEW("\0\3\0\0\0\1t\xff\xff\xff\xff\0\0\0\0");
	struct row_message m;
	struct view value;
	bool is_null;
	ck_assert(row_read(body, &m));
	ck_assert_uint_eq(m.count, 3);
	ck_assert(row_next_value(&m.values, &value, &is_null) && !is_null && view_is(value, "t"));
	ck_assert(row_next_value(&m.values, &value, &is_null) && is_null);
	ck_assert(row_next_value(&m.values, &value, &is_null) && !is_null && value.n == 0);
	ck_assert(!row_next_value(&m.values, &value, &is_null));
	takes_all_or_nothing(reads_row, body);
	takes_all_or_nothing(reads_row, VIEW("\0\0"));
}
END_TEST

START_TEST(a_row_description_is_a_number_of_columns)
{
	struct view body = VIEW("\0\2"
	                        "id\0\0\0\x40\1\0\1\0\0\0\x17\0\4\xff\xff\xff\xff\0\1"
	                        "\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\0\0\0\x0e\0\0");
	struct row_message m;
	struct column_message c;
	ck_assert(row_description_read(body, &m));
	ck_assert_uint_eq(m.count, 2);
	ck_assert(row_next_column(&m.values, &c));
	ck_assert_str_eq(c.name, "id");
	ck_assert_uint_eq(c.table_oid, 16385);
	ck_assert_uint_eq(c.attribute, 1);
	ck_assert_uint_eq(c.type_oid, 23);
	ck_assert_int_eq(c.type_length, 4);
	ck_assert_int_eq(c.type_modifier, -1);
	ck_assert_uint_eq(c.format, 1);
	ck_assert(row_next_column(&m.values, &c));
	ck_assert_str_eq(c.name, "");
	ck_assert_uint_eq(c.type_oid, 25);
	ck_assert_int_eq(c.type_length, -1);
	ck_assert_int_eq(c.type_modifier, 14);
	ck_assert(!row_next_column(&m.values, &c));
	takes_all_or_nothing(reads_row_description, body);
}
END_TEST

int
main(void)
{
	const TTest *const rules[] = {
		messages_have_the_manuals_names_by_direction,
		every_letter_has_a_name_and_those_of_no_message_are_unknown,
		a_query_is_one_string,
		a_parse_is_a_name_a_query_and_types,
		a_bind_is_two_names_formats_values_and_formats,
		a_negative_length_other_than_null_is_bad,
		the_names_of_a_bind_are_read_as_soon_as_both_have_ended,
		a_bind_whose_names_leave_no_room_for_the_rest_is_bad,
		describe_and_close_name_a_statement_or_a_portal,
		an_execute_is_a_portal_and_a_number_of_rows,
		a_copy_fail_and_a_password_are_one_string,
		a_first_sasl_message_is_a_mechanism_and_perhaps_data,
		an_error_is_told_by_its_fields_in_any_order,
		a_field_that_was_not_sent_is_null,
		a_parameter_status_is_a_name_and_a_value,
		a_cancel_key_of_a_server_has_4_to_256_bytes,
		ready_is_said_in_one_of_three_states,
		a_command_tag_is_one_string,
		a_notification_is_a_pid_a_channel_and_a_payload,
		a_negotiation_names_a_version_and_the_options_not_known,
		a_negotiation_may_send_the_minor_version_alone,
		a_negotiation_that_announces_more_than_it_holds_is_bad,
		an_authentication_request_has_the_data_of_its_kind,
		mechanisms_come_in_the_servers_order,
		a_row_is_a_number_of_values,
		a_row_description_is_a_number_of_columns,
	};
	return suite_run("wire/message", rules, sizeof(rules) / sizeof(rules[0]));
}
