/*
 * tests/fuzz/fuzz_backend.c - a server's bytes: frames, and the body of each message that is ever looked into.
 *
 * Shown for every input: readers stay inside the body (sanitizers), lists give as many items as they announced, and
 * what can be written again by the builders is the same message to the byte.
 */
#include <string.h>

#include "base/buf.h"
#include "base/must.h"
#include "wire/message.h"
#include "wire/reply.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
must_rebuild(struct buf *b, const struct frame *f)
{
	must(b->n == f->size && view_equal(view_from(buf_view(b), FRAME_HEAD_BYTES), f->body));
	buf_free(b);
}

static void
error_is_consistent(struct view body)
{
	struct error_fields e;
	if (!error_read(body, &e))
		return;
	const char *const fields[] = { e.severity, e.severity_nonlocal, e.sqlstate, e.message, e.detail, e.hint };
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
		must(!fields[i] || strlen(fields[i]) < body.n);
}

static void
auth_is_consistent(const struct frame *f)
{
	struct buf b = { 0 };
	uint32_t request;
	struct view rest;
	const char *name;
	if (!auth_read(f->body, &request, &rest))
		return;
	if (request == AUTH_MD5_PASSWORD) {
		reply_auth_md5(&b, rest.p);
		must_rebuild(&b, f);
	} else if (request == AUTH_SASL_CONTINUE) {
		reply_auth_sasl_continue(&b, rest);
		must_rebuild(&b, f);
	} else if (request == AUTH_SASL) {
		size_t bytes = 1;
		for (struct view list = rest; sasl_next_mechanism(&list, &name);)
			bytes += strlen(name) + 1;
		must(bytes == rest.n);
	}
}

static void
row_is_consistent(const struct frame *f)
{
	struct buf b = { 0 };
	struct row_message row;
	struct view value;
	bool is_null;
	if (!row_read(f->body, &row))
		return;
	size_t at = reply_row_begin(&b);
	while (row_next_value(&row.values, &value, &is_null))
		reply_row_value(&b, at, is_null ? NULL : &value);
	reply_row_end(&b, at);
	must_rebuild(&b, f);
}

static void
row_description_is_consistent(struct view body)
{
	struct row_message columns;
	struct column_message column;
	uint32_t count = 0;
	if (!row_description_read(body, &columns))
		return;
	while (row_next_column(&columns.values, &column))
		count++;
	must(count == columns.count);
}

static void
negotiate_is_consistent(struct view body)
{
	struct negotiate_message negotiate;
	const char *name;
	uint32_t count = 0;
	if (!negotiate_read(body, &negotiate))
		return;
	while (negotiate_next_name(&negotiate.names, &name))
		count++;
	must(count == negotiate.name_count);
}

static void
body_is_consistent(const struct frame *f)
{
	struct buf b = { 0 };
	const char *name, *value;
	uint32_t pid;
	struct view key;
	struct notification notification;
	char status;

	switch ((unsigned char)f->type) {
	case BE_ERROR_RESPONSE:
	case BE_NOTICE_RESPONSE:
		error_is_consistent(f->body);
		return;
	case BE_AUTHENTICATION:
		auth_is_consistent(f);
		return;
	case BE_DATA_ROW:
		row_is_consistent(f);
		return;
	case BE_ROW_DESCRIPTION:
		row_description_is_consistent(f->body);
		return;
	case BE_NEGOTIATE_PROTOCOL_VERSION:
		negotiate_is_consistent(f->body);
		return;
	case BE_PARAMETER_STATUS:
		if (!parameter_status_read(f->body, &name, &value))
			return;
		reply_parameter_status(&b, name, value);
		break;
	case BE_BACKEND_KEY_DATA:
		if (!backend_key_read(f->body, &pid, &key))
			return;
		reply_backend_key(&b, pid, key);
		break;
	case BE_READY_FOR_QUERY:
		if (!ready_read(f->body, &status))
			return;
		reply_ready(&b, status);
		break;
	case BE_COMMAND_COMPLETE:
		if (!command_tag_read(f->body, &name))
			return;
		reply_command_complete(&b, name);
		break;
	case BE_NOTIFICATION_RESPONSE:
		if (!notification_read(f->body, &notification))
			return;
		reply_notification(&b, notification.pid, notification.channel, notification.payload);
		break;
	default:
		return;
	}
	must_rebuild(&b, f);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct view in = view_of(data, size);
	struct frame f;
	while (frame_peek(in, FRAME_LENGTH_MAX, &f) == FRAME_OK) {
		must(be_message_name(f.type));
		if (!frame_is_whole(&f))
			break;
		body_is_consistent(&f);
		in = view_from(in, f.size);
	}
	return 0;
}
