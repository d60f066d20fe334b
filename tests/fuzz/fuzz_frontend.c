/*
 * tests/fuzz/fuzz_frontend.c - a client's bytes behind its startup packet: frames, and the body of each message.
 *
 * Shown for every input: readers stay inside the body (sanitizers), and what a reader understood, written again by the
 * builders, is the same message to the byte.
 */
#include <stdlib.h>

#include "base/buf.h"
#include "base/must.h"
#include "wire/message.h"
#include "wire/request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
must_rebuild(struct buf *b, const struct frame *f)
{
	must(b->n == f->size && view_equal(view_from(buf_view(b), FRAME_HEAD_BYTES), f->body));
	buf_free(b);
}

static void
bind_is_consistent(const struct frame *f)
{
	struct buf b = { 0 };
	struct bind_head head, early;
	struct bind_message bind;
	enum frame_result result = bind_frame_read_head(f, &head);
	bool is_whole = bind_read(f->body, &bind);
	must(result != FRAME_SHORT); /* all of it is there */
	if (result == FRAME_BAD) {
		must(!is_whole);
		return;
	}
	/* The answer came when the last byte of the names did, not before. */
	struct frame part = *f;
	part.body = view_part(f->body, 0, head.head_bytes);
	must(bind_frame_read_head(&part, &early) == FRAME_OK && early.statement == head.statement);
	part.body = view_part(f->body, 0, head.head_bytes - 1);
	must(bind_frame_read_head(&part, &early) == FRAME_SHORT);
	must(bind_read_head(part.body, &early) == FRAME_SHORT);

	struct view tail = view_from(f->body, head.head_bytes);
	request_bind_head(&b, head.portal, head.statement, tail.n);
	buf_add(&b, tail);
	must_rebuild(&b, f);
	if (!is_whole)
		return;
	must(bind.statement == head.statement);
	struct view value;
	bool is_null;
	uint32_t values = 0;
	while (row_next_value(&bind.values, &value, &is_null))
		values++;
	must(values == bind.value_count);
}

static void
body_is_consistent(const struct frame *f)
{
	struct buf b = { 0 };
	struct view text;
	struct parse_message parse;
	struct target_message target;
	struct execute_message execute;
	struct sasl_initial sasl;
	const char *string;

	switch ((unsigned char)f->type) {
	case FE_QUERY:
		if (!query_read(f->body, &text))
			return;
		request_query(&b, (const char *)text.p);
		break;
	case FE_PARSE:
		if (!parse_read(f->body, &parse))
			return;
		request_parse(&b, parse.name, parse.query, parse.types);
		break;
	case FE_BIND:
		bind_is_consistent(f);
		return;
	case FE_DESCRIBE:
		if (!target_read(f->body, &target))
			return;
		request_describe(&b, target.kind, target.name);
		break;
	case FE_CLOSE:
		if (!target_read(f->body, &target))
			return;
		request_close(&b, target.kind, target.name);
		break;
	case FE_EXECUTE:
		if (!execute_read(f->body, &execute))
			return;
		request_execute(&b, execute.portal, execute.max_rows);
		break;
	case FE_COPY_FAIL:
		if (!copy_fail_read(f->body, &string))
			return;
		request_copy_fail(&b, string);
		break;
	case FE_PASSWORD:
		if (password_read(f->body, &string)) {
			request_password(&b, string);
			must_rebuild(&b, f);
		}
		if (!sasl_initial_read(f->body, &sasl))
			return;
		request_sasl_initial(&b, sasl.mechanism, sasl.has_data ? sasl.data : view_of(NULL, 0));
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
		must(fe_message_name(f.type));
		struct bind_head head;
		if (!frame_is_whole(&f)) {
			if (f.type == FE_BIND)
				bind_frame_read_head(&f, &head);
			break;
		}
		body_is_consistent(&f);
		in = view_from(in, f.size);
	}
	return 0;
}
