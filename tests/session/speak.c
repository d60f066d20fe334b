/* tests/session/speak.c - see the header. */
#include "speak.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "wire/compose.h"
#include "wire/frame.h"
#include "wire/message.h"
#include "wire/reply.h"
#include "wire/request.h"
#include "wire/startup.h"

bool
words_next(const char **line, struct words *out)
{
	const char *p = *line;
	out->n = 0;
	for (;;) {
		while (*p == ' ' || *p == '\t')
			p++;
		if (*p == '\0' || *p == '|')
			break;
		char *to = out->at[out->n++];
		size_t n = 0;
		if (*p == '"') {
			for (p++; *p && *p != '"'; p++) {
				bool is_quote = p[0] == '\\' && p[1] == 'q';
				p += is_quote;
				if (n + 1 < WORD_MAX)
					to[n++] = is_quote ? '"' : *p;
			}
			p += *p == '"';
		} else {
			for (; *p && *p != ' ' && *p != '\t' && *p != '|'; p++)
				if (n + 1 < WORD_MAX)
					to[n++] = *p;
		}
		to[n] = '\0';
		if (out->n == WORDS_MAX)
			break;
	}
	*line = *p == '|' ? p + 1 : p;
	return out->n > 0;
}

void
words_join(const struct words *w, char *text, size_t room)
{
	size_t n = 0;
	text[0] = '\0';
	for (int i = 0; i < w->n && n < room; i++)
		n += (size_t)snprintf(text + n, room - n, strpbrk(w->at[i], " ") || !w->at[i][0] ? "%s\"%s\"" : "%s%s",
		                      i ? " " : "", w->at[i]);
}

bool
words_match(const struct words *expected, const struct words *heard)
{
	for (int i = 0; i < expected->n; i++)
		if (i >= heard->n || (strcmp(expected->at[i], "*") != 0 && strcmp(expected->at[i], heard->at[i]) != 0))
			return false;
	return true;
}

/* ---- words to bytes ---- */

/* Bodies by form: s string, r raw text, b a byte of that letter, 4 and 2 numbers, * strings to the end. */
static const struct form {
	const char *name;
	char letter;
	bool by_server;
	const char *form;
} forms[] = {
	{ "Query", 'Q', false, "s" },        { "Parse", 'P', false, "ss2" },      { "Bind", 'B', false, "ss222" },
	{ "Describe", 'D', false, "bs" },    { "Execute", 'E', false, "s4" },     { "Close", 'C', false, "bs" },
	{ "Sync", 'S', false, "" },          { "Flush", 'H', false, "" },         { "Terminate", 'X', false, "" },
	{ "CopyData", 'd', false, "r" },     { "CopyDone", 'c', false, "" },      { "CopyFail", 'f', false, "s" },
	{ "Password", 'p', false, "s" },     { "FunctionCall", 'F', false, "4222" },
	{ "ReadyForQuery", 'Z', true, "b" }, { "CommandComplete", 'C', true, "s" }, { "ParseComplete", '1', true, "" },
	{ "BindComplete", '2', true, "" },   { "CloseComplete", '3', true, "" },  { "NoData", 'n', true, "" },
	{ "PortalSuspended", 's', true, "" }, { "EmptyQueryResponse", 'I', true, "" },
	{ "ParameterStatus", 'S', true, "ss" }, { "CopyInResponse", 'G', true, "z2" },
	{ "CopyOutResponse", 'H', true, "z2" }, { "CopyBothResponse", 'W', true, "z2" }, { "CopyData", 'd', true, "r" },
	{ "CopyDone", 'c', true, "" },       { "FunctionCallResponse", 'V', true, "4" },
	{ "NotificationResponse", 'A', true, "4ss" }, { "ParameterDescription", 't', true, "2" },
	{ "Authentication", 'R', true, "4" }, { "BackendKeyData", 'K', true, "4r" },
};

static bool
speak_form(struct buf *out, const struct form *f, const struct words *w)
{
	int i = 1;
	size_t at = compose_begin(out, f->letter);
	for (const char *p = f->form; *p; p++) {
		const char *word = i < w->n ? w->at[i++] : "";
		if (*p == 's')
			buf_add_string(out, word);
		else if (*p == 'r')
			buf_add(out, view_of_string(word));
		else if (*p == 'b')
			buf_add_u8(out, (uint8_t)word[0]);
		else if (*p == 'z')
			buf_add_u8(out, 0);
		else if (*p == '4')
			buf_add_be32(out, (uint32_t)strtol(word, NULL, 10));
		else
			buf_add_be16(out, (uint16_t)strtol(word, NULL, 10));
	}
	compose_end(out, at);
	return true;
}

static void
speak_columns(struct buf *out, const struct words *w)
{
	struct column columns[WORDS_MAX];
	for (int i = 1; i < w->n; i++)
		columns[i - 1] = (struct column){ .name = w->at[i], .type_oid = OID_TEXT, .type_length = -1 };
	reply_row_description(out, columns, (uint16_t)(w->n - 1));
}

static void
speak_startup(struct buf *out, uint32_t version, const struct words *w)
{
	size_t at = out->n;
	buf_add_be32(out, 0);
	buf_add_be32(out, version);
	for (int i = 1; i < w->n; i++) {
		char name[WORD_MAX];
		snprintf(name, sizeof(name), "%s", w->at[i]);
		char *value = strchr(name, '=');
		if (value == NULL)
			continue;
		*value++ = '\0';
		buf_add_string(out, name);
		buf_add_string(out, value);
	}
	buf_add_u8(out, 0);
	store_be32(out->p + at, (uint32_t)(out->n - at));
}

bool
speak(struct buf *out, const struct words *w, bool from_server)
{
	const char *name = w->at[0];
	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++)
		if (forms[i].by_server == from_server && strcmp(forms[i].name, name) == 0)
			return speak_form(out, &forms[i], w);
	if (strcmp(name, "raw") == 0) {
		for (int i = 1; i < w->n; i++)
			buf_add_u8(out, (uint8_t)strtol(w->at[i], NULL, 16));
	} else if (strcmp(name, "big") == 0) { /* big LETTER BYTES: a message with a body of that many x */
		size_t at = compose_begin(out, w->at[1][0]);
		for (long n = strtol(w->at[2], NULL, 10); n > 0; n--)
			buf_add_u8(out, 'x');
		compose_end(out, at);
	} else if (from_server && (strcmp(name, "ErrorResponse") == 0 || strcmp(name, "NoticeResponse") == 0)) {
		struct fault f = { .sqlstate = w->at[2], .text = w->at[3] };
		size_t from = out->n;
		if (name[0] == 'E')
			reply_error(out, w->at[1], &f);
		else
			reply_notice(out, w->at[1], &f);
		if (w->n > 4) { /* a fourth word: the routine */
			out->n--;
			buf_add_u8(out, 'R');
			buf_add_string(out, w->at[4]);
			buf_add_u8(out, 0);
			store_be32(out->p + from + 1, (uint32_t)(out->n - from - 1));
		}
	} else if (from_server && strcmp(name, "RowDescription") == 0) {
		speak_columns(out, w);
	} else if (from_server && strcmp(name, "DataRow") == 0) {
		size_t row = reply_row_begin(out);
		for (int i = 1; i < w->n; i++)
			reply_row_string(out, row, strcmp(w->at[i], "null") == 0 ? NULL : w->at[i]);
		reply_row_end(out, row);
	} else if (strcmp(name, "StartupMessage") == 0) {
		speak_startup(out, PROTOCOL_VERSION(3, 0), w);
	} else if (strcmp(name, "StartupMessage3.2") == 0) {
		speak_startup(out, PROTOCOL_VERSION(3, 2), w);
	} else if (strcmp(name, "StartupMessage3.9") == 0) {
		speak_startup(out, PROTOCOL_VERSION(3, 9), w);
	} else if (strcmp(name, "StartupMessage4.0") == 0) {
		speak_startup(out, PROTOCOL_VERSION(4, 0), w);
	} else if (strcmp(name, "SSLRequest") == 0 || strcmp(name, "GSSENCRequest") == 0) {
		buf_add_be32(out, 8);
		buf_add_be32(out, name[0] == 'S' ? STARTUP_CODE_SSL : STARTUP_CODE_GSSENC);
	} else {
		return false;
	}
	return true;
}

/* ---- bytes to words ---- */

static void
add_word(struct words *w, struct view v)
{
	if (w->n == WORDS_MAX)
		return;
	size_t n = v.n < WORD_MAX - 1 ? v.n : WORD_MAX - 1;
	if (n)
		memcpy(w->at[w->n], v.p, n);
	w->at[w->n++][n] = '\0';
}

static void
add_hex(struct words *w, struct view v)
{
	char text[WORD_MAX] = "";
	for (size_t i = 0; i < v.n && 2 * i + 2 < sizeof(text); i++)
		snprintf(text + 2 * i, 3, "%02x", v.p[i]);
	add_word(w, view_of_string(text));
}

static void
add_number(struct words *w, long number)
{
	char text[24];
	snprintf(text, sizeof(text), "%ld", number);
	add_word(w, view_of_string(text));
}

static void
hear_fields(struct view body, struct words *w)
{
	struct error_fields e;
	if (!error_read(body, &e))
		return;
	add_word(w, view_of_string(e.severity));
	add_word(w, view_of_string(e.sqlstate));
	add_word(w, view_of_string(e.message));
	add_word(w, view_of_string(e.detail ? e.detail : ""));
}

static void
hear_row(char type, struct view body, struct words *w)
{
	struct row_message row;
	struct view value;
	struct column_message column;
	bool is_null;
	if (type == 'D' && row_read(body, &row))
		while (row_next_value(&row.values, &value, &is_null))
			add_word(w, value);
	else if (type == 'T' && row_description_read(body, &row))
		while (row_next_column(&row.values, &column))
			add_word(w, view_of_string(column.name));
}

static bool
hear_form(const struct form *f, struct view body, struct words *w)
{
	struct cursor c = cursor_over(body);
	for (const char *p = f->form; *p; p++) {
		if (*p == 's')
			add_word(w, view_of_string(cursor_string(&c)));
		else if (*p == 'r')
			add_word(w, cursor_bytes(&c, c.left.n));
		else if (*p == 'b')
			add_word(w, cursor_bytes(&c, 1));
		else if (*p == 'z')
			cursor_u8(&c);
		else if (*p == '4')
			add_number(w, (long)cursor_be32(&c));
		else
			cursor_be16(&c);
	}
	return !c.is_bad;
}

static enum heard
hear_startup(struct view v, struct words *out, size_t *size)
{
	struct startup st;
	const char *name, *value;
	switch (startup_peek(v, &st)) {
	case STARTUP_SHORT:
		return HEARD_HALF;
	case STARTUP_SSL_REQUEST:
		add_word(out, VIEW("SSLRequest"));
		break;
	case STARTUP_CANCEL:
		add_word(out, VIEW("CancelRequest"));
		add_number(out, (long)st.pid);
		add_hex(out, st.key);
		break;
	case STARTUP_START:
		add_word(out, VIEW("StartupMessage"));
		while (startup_next_param(&st.params, &name, &value)) {
			char pair[WORD_MAX];
			snprintf(pair, sizeof(pair), "%s=%s", name, value);
			add_word(out, view_of_string(pair));
		}
		break;
	default:
		return HEARD_NONSENSE;
	}
	*size = st.size;
	return HEARD;
}

enum heard
hear(struct view v, bool from_server, bool is_first, struct words *out, size_t *size)
{
	out->n = 0;
	if (is_first && !from_server)
		return v.n ? hear_startup(v, out, size) : HEARD_HALF;
	struct frame f;
	enum frame_result r = frame_peek(v, UINT32_MAX, &f);
	if (r == FRAME_SHORT || (r == FRAME_OK && !frame_is_whole(&f)))
		return HEARD_HALF;
	if (r == FRAME_BAD)
		return HEARD_NONSENSE;
	*size = f.size;
	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++)
		if (forms[i].by_server == from_server && forms[i].letter == f.type) {
			add_word(out, view_of_string(forms[i].name));
			return hear_form(&forms[i], f.body, out) ? HEARD : HEARD_NONSENSE;
		}
	if (!from_server)
		return HEARD_NONSENSE;
	add_word(out, view_of_string(be_message_name(f.type)));
	if (f.type == BE_ERROR_RESPONSE || f.type == BE_NOTICE_RESPONSE)
		hear_fields(f.body, out);
	else
		hear_row(f.type, f.body, out);
	return strcmp(out->at[0], "unknown") == 0 ? HEARD_NONSENSE : HEARD;
}
