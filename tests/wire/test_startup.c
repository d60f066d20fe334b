/* tests/wire/test_startup.c - the first bytes of a connection. */
#include "wire/startup.h"

#include "../suite.h"
#include "exact.h"

#include "base/bytes.h"
#include "wire/message.h"

#define START_30  "\0\0\0\x20\0\3\0\0user\0app\0database\0shop\0\0"
#define SSL       "\0\0\0\x08\x04\xd2\x16\x2f"
#define GSSENC    "\0\0\0\x08\x04\xd2\x16\x30"
#define CANCEL_30 "\0\0\0\x10\x04\xd2\x16\x2e\0\0\x12\x67\1\2\3\4"

static const struct view forms[] = {
	{ (const uint8_t *)START_30, sizeof(START_30) - 1 },
	{ (const uint8_t *)SSL, sizeof(SSL) - 1 },
	{ (const uint8_t *)GSSENC, sizeof(GSSENC) - 1 },
	{ (const uint8_t *)CANCEL_30, sizeof(CANCEL_30) - 1 },
};

static enum startup_kind
peek(struct view v)
{
	struct view copy = exact(v);
	struct startup s;
	enum startup_kind kind = startup_peek(copy, &s);
	ck_assert_int_eq(kind, s.kind);
	exact_free(copy);
	return kind;
}

/* A packet of this code with n bytes behind the code, all of them b. */
static struct buf
packet(uint32_t code, size_t n, uint8_t b)
{
	struct buf out = { 0 };
	buf_add_be32(&out, (uint32_t)(8 + n));
	buf_add_be32(&out, code);
	for (size_t i = 0; i < n; i++)
		buf_add_u8(&out, b);
	return out;
}

static enum startup_kind
peek_packet(uint32_t code, size_t n, uint8_t b)
{
	struct buf out = packet(code, n, b);
	enum startup_kind kind = peek(buf_view(&out));
	buf_free(&out);
	return kind;
}

START_TEST(a_start_names_its_version_and_its_parameters)
{
	struct startup s;
	ck_assert_int_eq(startup_peek(VIEW(START_30 "Q"), &s), STARTUP_START);
	ck_assert_uint_eq(s.size, sizeof(START_30) - 1);
	ck_assert_uint_eq(s.major, 3);
	ck_assert_uint_eq(s.minor, 0);
	const char *name, *value;
	ck_assert(startup_next_param(&s.params, &name, &value));
	ck_assert_str_eq(name, "user");
	ck_assert_str_eq(value, "app");
	ck_assert(startup_next_param(&s.params, &name, &value));
	ck_assert_str_eq(name, "database");
	ck_assert_str_eq(value, "shop");
	ck_assert(!startup_next_param(&s.params, &name, &value));
	ck_assert(!startup_next_param(&s.params, &name, &value));
}
END_TEST

START_TEST(every_form_is_short_until_its_last_byte)
{
	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		for (size_t n = 0; n < forms[i].n; n++)
			ck_assert_int_eq(peek(view_part(forms[i], 0, n)), STARTUP_SHORT);
		ck_assert_int_ne(peek(forms[i]), STARTUP_SHORT);
		ck_assert_int_ne(peek(forms[i]), STARTUP_BAD);
	}
	struct startup s;
	ck_assert_int_eq(startup_peek((struct view){ NULL, 0 }, &s), STARTUP_SHORT);
}
END_TEST

START_TEST(requests_without_parameters_are_known_by_their_codes)
{
	struct startup s;
	ck_assert_int_eq(startup_peek(VIEW(SSL START_30), &s), STARTUP_SSL_REQUEST);
	ck_assert_uint_eq(s.size, 8);
	ck_assert_int_eq(startup_peek(VIEW(GSSENC), &s), STARTUP_GSSENC_REQUEST);
	ck_assert_uint_eq(s.size, 8);
	ck_assert_int_eq(peek_packet(STARTUP_CODE_SSL, 1, 0), STARTUP_BAD);
	ck_assert_int_eq(peek_packet(STARTUP_CODE_GSSENC, 1, 0), STARTUP_BAD);
}
END_TEST

START_TEST(a_cancel_names_a_pid_and_a_key)
{
	struct startup s;
	ck_assert_int_eq(startup_peek(VIEW(CANCEL_30), &s), STARTUP_CANCEL);
	ck_assert_uint_eq(s.size, 16);
	ck_assert_uint_eq(s.pid, 4711);
	ck_assert(view_equal(s.key, VIEW("\1\2\3\4")));
}
END_TEST

START_TEST(a_cancel_key_has_4_to_256_bytes)
{
	for (size_t n = 0; n <= 300; n++) {
		bool may_be = n >= 4 + CANCEL_KEY_MIN && n <= 4 + CANCEL_KEY_MAX;
		ck_assert_int_eq(peek_packet(STARTUP_CODE_CANCEL, n, 7), may_be ? STARTUP_CANCEL : STARTUP_BAD);
	}
	struct buf b = packet(STARTUP_CODE_CANCEL, 4 + 32, 7);
	struct startup s;
	ck_assert_int_eq(startup_peek(buf_view(&b), &s), STARTUP_CANCEL);
	ck_assert_uint_eq(s.key.n, 32);
	buf_free(&b);
}
END_TEST

START_TEST(a_packet_has_a_code_and_no_more_than_postgresql_allows)
{
	uint8_t head[8] = { 0 };
	store_be32(head + 4, PROTOCOL_VERSION(3, 0));
	for (uint32_t size = 0; size < 8; size++) {
		store_be32(head, size);
		ck_assert_int_eq(peek(view_of(head, 4)), STARTUP_BAD);
		ck_assert_int_eq(peek(view_of(head, 8)), STARTUP_BAD);
	}
	store_be32(head, 4 + STARTUP_BODY_MAX);
	ck_assert_int_eq(peek(view_of(head, 4)), STARTUP_SHORT);
	ck_assert_int_eq(peek(view_of(head, 8)), STARTUP_SHORT);
	store_be32(head, 4 + STARTUP_BODY_MAX + 1);
	ck_assert_int_eq(peek(view_of(head, 4)), STARTUP_BAD);
}
END_TEST

START_TEST(the_largest_packet_is_read)
{
	struct buf b = packet(PROTOCOL_VERSION(3, 0), STARTUP_BODY_MAX - 4, 'x');
	b.p[8 + 4] = '\0';     /* name: xxxx */
	b.p[b.n - 2] = '\0';   /* value: all the rest */
	b.p[b.n - 1] = '\0';
	struct startup s;
	ck_assert_int_eq(startup_peek(buf_view(&b), &s), STARTUP_START);
	const char *name, *value;
	ck_assert(startup_next_param(&s.params, &name, &value));
	ck_assert_uint_eq(strlen(name), 4);
	ck_assert_uint_eq(strlen(value), STARTUP_BODY_MAX - 4 - 5 - 2);
	buf_free(&b);
}
END_TEST

START_TEST(another_protocol_is_refused_at_its_first_byte)
{
	ck_assert_int_eq(peek(VIEW("G")), STARTUP_BAD);
	ck_assert_int_eq(peek(VIEW("SSH-2.0-OpenSSH")), STARTUP_BAD);
	ck_assert_int_eq(peek(VIEW("\x01")), STARTUP_BAD);
}
END_TEST

START_TEST(a_tls_handshake_is_known_by_its_first_byte)
{
	struct startup s;
	ck_assert_int_eq(startup_peek(VIEW("\x16"), &s), STARTUP_DIRECT_TLS);
	ck_assert_uint_eq(s.size, 0);
	ck_assert_int_eq(peek(VIEW("\x16\3\1\2\0\1")), STARTUP_DIRECT_TLS);
}
END_TEST

START_TEST(the_major_version_decides_who_can_answer)
{
	ck_assert_int_eq(peek_packet(PROTOCOL_VERSION(2, 0), 288, 0), STARTUP_OLD_PROTOCOL);
	ck_assert_int_eq(peek_packet(PROTOCOL_VERSION(0, 0), 1, 0), STARTUP_OLD_PROTOCOL);
	ck_assert_int_eq(peek_packet(PROTOCOL_VERSION(4, 0), 1, 0), STARTUP_NEW_MAJOR);
	ck_assert_int_eq(peek_packet(PROTOCOL_VERSION(1234, 9999), 1, 0), STARTUP_NEW_MAJOR);
	ck_assert_int_eq(peek_packet(PROTOCOL_VERSION(3, 9999), 1, 0), STARTUP_START);
}
END_TEST

START_TEST(any_minor_version_is_reported_for_the_caller_to_negotiate)
{
	struct buf b = packet(196610, 1, 0);
	struct startup s;
	ck_assert_int_eq(startup_peek(buf_view(&b), &s), STARTUP_START);
	ck_assert_uint_eq(s.minor, 2);
	buf_free(&b);
	b = packet(PROTOCOL_VERSION(3, 9999), 1, 0);
	ck_assert_int_eq(startup_peek(buf_view(&b), &s), STARTUP_START);
	ck_assert_uint_eq(s.minor, 9999);
	buf_free(&b);
}
END_TEST

START_TEST(parameters_end_with_a_terminator_as_the_last_byte)
{
	static const struct { struct view params; enum startup_kind kind; } cases[] = {
		{ { (const uint8_t *)"\0", 1 }, STARTUP_START },
		{ { (const uint8_t *)"a\0b\0\0", 5 }, STARTUP_START },
		{ { (const uint8_t *)"a\0\0\0", 4 }, STARTUP_START }, /* an empty value */
		{ { (const uint8_t *)"", 0 }, STARTUP_BAD },
		{ { (const uint8_t *)"a", 1 }, STARTUP_BAD },
		{ { (const uint8_t *)"a\0", 2 }, STARTUP_BAD },     /* no value */
		{ { (const uint8_t *)"a\0b", 3 }, STARTUP_BAD },
		{ { (const uint8_t *)"a\0b\0", 4 }, STARTUP_BAD },   /* no terminator */
		{ { (const uint8_t *)"a\0b\0\0\0", 6 }, STARTUP_BAD }, /* bytes behind it */
		{ { (const uint8_t *)"\0a\0b\0\0", 6 }, STARTUP_BAD },
		{ { (const uint8_t *)"a\0b\0c\0\0", 7 }, STARTUP_BAD }, /* a name alone */
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct buf b = { 0 };
		buf_add_be32(&b, (uint32_t)(8 + cases[i].params.n));
		buf_add_be32(&b, PROTOCOL_VERSION(3, 0));
		buf_add(&b, cases[i].params);
		ck_assert_msg(peek(buf_view(&b)) == cases[i].kind, "case %zu", i);
		buf_free(&b);
	}
}
END_TEST

START_TEST(no_flipped_bit_leads_outside_the_packet)
{
	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		struct view copy = exact(forms[i]);
		uint8_t *p = (uint8_t *)copy.p;
		for (size_t bit = 0; bit < copy.n * 8; bit++) {
			p[bit / 8] ^= (uint8_t)(1 << bit % 8);
			struct startup s;
			const char *name, *value;
			ck_assert_int_le(startup_peek(copy, &s), STARTUP_NEW_MAJOR);
			ck_assert_uint_le(s.size, copy.n);
			while (startup_next_param(&s.params, &name, &value))
				ck_assert_uint_le(strlen(name) + strlen(value), copy.n);
			p[bit / 8] ^= (uint8_t)(1 << bit % 8);
		}
		exact_free(copy);
	}
}
END_TEST

START_TEST(protocol_options_are_listed_apart)
{
	struct view params = VIEW("user\0app\0_pq_.one\0\0_pq_\0x\0_pq_.two\0on\0x_pq_.\0y\0\0");
	const char *name;
	ck_assert(startup_next_protocol_option(&params, &name));
	ck_assert_str_eq(name, "_pq_.one");
	ck_assert(startup_next_protocol_option(&params, &name));
	ck_assert_str_eq(name, "_pq_.two");
	ck_assert(!startup_next_protocol_option(&params, &name));
}
END_TEST

/* ---- options ---- */

struct expected {
	enum options_result result;
	const char         *name, *value; /* of a setting */
	const char         *word;         /* of what is not supported */
};

static void
options_are(const char *text, const struct expected *expected)
{
	char *room = malloc(strlen(text) + 1);
	struct options o = options_over(text, room);
	struct option_setting s;
	for (;; expected++) {
		ck_assert_msg(options_next(&o, &s) == expected->result, "in '%s'", text);
		if (expected->result == OPTIONS_END)
			break;
		if (expected->result == OPTIONS_SETTING) {
			ck_assert_str_eq(s.name, expected->name);
			ck_assert_str_eq(s.value, expected->value);
		} else {
			ck_assert_str_eq(s.word, expected->word);
		}
	}
	ck_assert_int_eq(options_next(&o, &s), OPTIONS_END);
	free(room);
}

#define SETTING(n, v)  { .result = OPTIONS_SETTING, .name = n, .value = v }
#define UNSUPPORTED(w) { .result = OPTIONS_UNSUPPORTED, .word = w }
#define END            { .result = OPTIONS_END }

START_TEST(a_setting_is_written_in_three_ways)
{
	options_are("-c geqo=off -cwork_mem=4MB --search_path=a,b",
	            (struct expected[]){ SETTING("geqo", "off"), SETTING("work_mem", "4MB"), SETTING("search_path", "a,b"),
	                                 END });
}
END_TEST

START_TEST(options_may_be_empty_or_blank)
{
	options_are("", (struct expected[]){ END });
	options_are(" \t\n\v\f\r", (struct expected[]){ END });
}
END_TEST

START_TEST(any_number_of_any_blanks_divides_words)
{
	options_are("\t-c \n a=b\v\f\r --c=d ", (struct expected[]){ SETTING("a", "b"), SETTING("c", "d"), END });
}
END_TEST

START_TEST(a_backslash_takes_the_next_character_literally)
{
	options_are("-c a=two\\ words\\\\ --b=\\\tx\\y", (struct expected[]){ SETTING("a", "two words\\"),
	                                                                  SETTING("b", "\txy"), END });
	options_are("-c a=b\\", (struct expected[]){ SETTING("a", "b"), END });
	options_are("\\", (struct expected[]){ UNSUPPORTED(""), END });
}
END_TEST

START_TEST(a_dash_in_a_name_stands_for_an_underscore)
{
	options_are("--work-mem=1-2 -c a-b=c-d", (struct expected[]){ SETTING("work_mem", "1-2"), SETTING("a_b", "c-d"),
	                                                             END });
}
END_TEST

START_TEST(a_value_may_be_empty_and_may_hold_an_equals_sign)
{
	options_are("-c a= --b==c=", (struct expected[]){ SETTING("a", ""), SETTING("b", "=c="), END });
}
END_TEST

START_TEST(a_setting_needs_a_name_and_a_value)
{
	options_are("-c", (struct expected[]){ UNSUPPORTED("-c"), END });
	options_are("-c a", (struct expected[]){ UNSUPPORTED("-c"), END });
	options_are("-c =a", (struct expected[]){ UNSUPPORTED("-c"), END });
	options_are("-c -c a=b", (struct expected[]){ UNSUPPORTED("-c"), UNSUPPORTED("a=b"), END });
	options_are("--a", (struct expected[]){ UNSUPPORTED("--a"), END });
	options_are("--=a", (struct expected[]){ UNSUPPORTED("--=a"), END });
	options_are("--", (struct expected[]){ UNSUPPORTED("--"), END });
}
END_TEST

START_TEST(other_switches_and_arguments_are_handed_back_to_be_refused)
{
	options_are("-e -S 1024 a=b -C a=b - -fi",
	            (struct expected[]){ UNSUPPORTED("-e"), UNSUPPORTED("-S"), UNSUPPORTED("1024"), UNSUPPORTED("a=b"),
	                                 UNSUPPORTED("-C"), UNSUPPORTED("a=b"), UNSUPPORTED("-"), UNSUPPORTED("-fi"), END });
}
END_TEST

int
main(void)
{
	const TTest *const rules[] = {
		a_start_names_its_version_and_its_parameters,
		every_form_is_short_until_its_last_byte,
		requests_without_parameters_are_known_by_their_codes,
		a_cancel_names_a_pid_and_a_key,
		a_cancel_key_has_4_to_256_bytes,
		a_packet_has_a_code_and_no_more_than_postgresql_allows,
		the_largest_packet_is_read,
		another_protocol_is_refused_at_its_first_byte,
		a_tls_handshake_is_known_by_its_first_byte,
		the_major_version_decides_who_can_answer,
		any_minor_version_is_reported_for_the_caller_to_negotiate,
		parameters_end_with_a_terminator_as_the_last_byte,
		no_flipped_bit_leads_outside_the_packet,
		protocol_options_are_listed_apart,
		a_setting_is_written_in_three_ways,
		options_may_be_empty_or_blank,
		any_number_of_any_blanks_divides_words,
		a_backslash_takes_the_next_character_literally,
		a_dash_in_a_name_stands_for_an_underscore,
		a_value_may_be_empty_and_may_hold_an_equals_sign,
		a_setting_needs_a_name_and_a_value,
		other_switches_and_arguments_are_handed_back_to_be_refused,
	};
	return suite_run("wire/startup", rules, sizeof(rules) / sizeof(rules[0]));
}
