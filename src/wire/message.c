/*
 * wire/message.c - names of the messages, and the readers of their bodies.
 *
 * Each reader takes its fields in order through a cursor, which cannot leave the body, and asks at the end whether all
 * of them were there and nothing else. No state, no memory, no opinion on what the values mean.
 * Source: PostgreSQL 16, 55.7 (Message Formats) and 55.8 (Error and Notice Message Fields).
 */
#include "wire/message.h"

#include <stddef.h>

#include "wire/startup.h"

static const char *const fe_names[128] = {
	[FE_BIND]          = "Bind",
	[FE_CLOSE]         = "Close",
	[FE_DESCRIBE]      = "Describe",
	[FE_EXECUTE]       = "Execute",
	[FE_FUNCTION_CALL] = "FunctionCall",
	[FE_FLUSH]         = "Flush",
	[FE_PARSE]         = "Parse",
	[FE_QUERY]         = "Query",
	[FE_SYNC]          = "Sync",
	[FE_TERMINATE]     = "Terminate",
	[FE_COPY_DATA]     = "CopyData",
	[FE_COPY_DONE]     = "CopyDone",
	[FE_COPY_FAIL]     = "CopyFail",
	[FE_PASSWORD]      = "PasswordMessage",
};

static const char *const be_names[128] = {
	[BE_AUTHENTICATION]             = "Authentication",
	[BE_BACKEND_KEY_DATA]           = "BackendKeyData",
	[BE_BIND_COMPLETE]              = "BindComplete",
	[BE_CLOSE_COMPLETE]             = "CloseComplete",
	[BE_COMMAND_COMPLETE]           = "CommandComplete",
	[BE_COPY_DATA]                  = "CopyData",
	[BE_COPY_DONE]                  = "CopyDone",
	[BE_COPY_IN_RESPONSE]           = "CopyInResponse",
	[BE_COPY_OUT_RESPONSE]          = "CopyOutResponse",
	[BE_COPY_BOTH_RESPONSE]         = "CopyBothResponse",
	[BE_DATA_ROW]                   = "DataRow",
	[BE_EMPTY_QUERY_RESPONSE]       = "EmptyQueryResponse",
	[BE_ERROR_RESPONSE]             = "ErrorResponse",
	[BE_FUNCTION_CALL_RESPONSE]     = "FunctionCallResponse",
	[BE_NEGOTIATE_PROTOCOL_VERSION] = "NegotiateProtocolVersion",
	[BE_NO_DATA]                    = "NoData",
	[BE_NOTICE_RESPONSE]            = "NoticeResponse",
	[BE_NOTIFICATION_RESPONSE]      = "NotificationResponse",
	[BE_PARAMETER_DESCRIPTION]      = "ParameterDescription",
	[BE_PARAMETER_STATUS]           = "ParameterStatus",
	[BE_PARSE_COMPLETE]             = "ParseComplete",
	[BE_PORTAL_SUSPENDED]           = "PortalSuspended",
	[BE_READY_FOR_QUERY]            = "ReadyForQuery",
	[BE_ROW_DESCRIPTION]            = "RowDescription",
};

static const char *
name_in(const char *const names[128], char type)
{
	unsigned char letter = (unsigned char)type;
	return letter < 128 && names[letter] ? names[letter] : "unknown";
}

const char *
fe_message_name(char type)
{
	return name_in(fe_names, type);
}

const char *
be_message_name(char type)
{
	return name_in(be_names, type);
}

/* A string whose text is wanted with its length; the NUL is consumed, not part of it. */
static struct view
cursor_text(struct cursor *c)
{
	return view_of_string(cursor_string(c));
}

/* A body that is one string. */
static bool
string_read(struct view body, const char **out)
{
	struct cursor c = cursor_over(body);
	*out = cursor_string(&c);
	return cursor_at_end(&c);
}

/* ---- frontend ---- */

bool
query_read(struct view body, struct view *query)
{
	struct cursor c = cursor_over(body);
	*query = cursor_text(&c);
	return cursor_at_end(&c);
}

bool
parse_read(struct view body, struct parse_message *out)
{
	struct cursor c = cursor_over(body);
	out->name = cursor_string(&c);
	out->query = cursor_text(&c);
	out->type_count = cursor_be16(&c);
	out->types = cursor_bytes(&c, (size_t)out->type_count * 4);
	return cursor_at_end(&c);
}

enum frame_result
bind_read_head(struct view body_so_far, struct bind_head *out)
{
	struct cursor c = cursor_over(body_so_far);
	out->portal = cursor_string(&c);
	out->statement = cursor_string(&c);
	if (c.is_bad)
		return FRAME_SHORT;
	out->head_bytes = body_so_far.n - c.left.n;
	return FRAME_OK;
}

enum frame_result
bind_frame_read_head(const struct frame *f, struct bind_head *out)
{
	const size_t counts_bytes = 3 * 2; /* of formats, of values, of result formats: always there */
	size_t body_bytes = frame_body_size(f);
	if (bind_read_head(f->body, out) == FRAME_OK)
		return out->head_bytes + counts_bytes <= body_bytes ? FRAME_OK : FRAME_BAD;
	/* Unended after this much, the names would reach into the counts. */
	return f->body.n + counts_bytes < body_bytes ? FRAME_SHORT : FRAME_BAD;
}

/* Step over `count` values of a Bind or a DataRow; what they take, or a bad cursor. */
static struct view
cursor_values(struct cursor *c, uint16_t count)
{
	struct view from = c->left;
	for (uint16_t i = 0; i < count && !c->is_bad; i++) {
		uint32_t length = cursor_be32(c);
		if (length != UINT32_MAX) /* -1: NULL; other negative numbers never fit */
			cursor_bytes(c, length);
	}
	return view_part(from, 0, from.n - c->left.n);
}

bool
bind_read(struct view body, struct bind_message *out)
{
	struct cursor c = cursor_over(body);
	out->portal = cursor_string(&c);
	out->statement = cursor_string(&c);
	out->format_count = cursor_be16(&c);
	out->formats = cursor_bytes(&c, (size_t)out->format_count * 2);
	out->value_count = cursor_be16(&c);
	out->values = cursor_values(&c, out->value_count);
	out->result_format_count = cursor_be16(&c);
	out->result_formats = cursor_bytes(&c, (size_t)out->result_format_count * 2);
	return cursor_at_end(&c);
}

bool
target_read(struct view body, struct target_message *out)
{
	struct cursor c = cursor_over(body);
	out->kind = (char)cursor_u8(&c);
	out->name = cursor_string(&c);
	return cursor_at_end(&c) && (out->kind == 'S' || out->kind == 'P');
}

bool
execute_read(struct view body, struct execute_message *out)
{
	struct cursor c = cursor_over(body);
	out->portal = cursor_string(&c);
	out->max_rows = cursor_be32(&c);
	return cursor_at_end(&c);
}

bool
copy_fail_read(struct view body, const char **text)
{
	return string_read(body, text);
}

bool
password_read(struct view body, const char **password)
{
	return string_read(body, password);
}

bool
sasl_initial_read(struct view body, struct sasl_initial *out)
{
	struct cursor c = cursor_over(body);
	out->mechanism = cursor_string(&c);
	uint32_t length = cursor_be32(&c);
	out->has_data = length != UINT32_MAX; /* -1: none */
	out->data = cursor_bytes(&c, out->has_data ? length : 0);
	return cursor_at_end(&c);
}

/* ---- backend ---- */

bool
error_read(struct view body, struct error_fields *out)
{
	struct cursor c = cursor_over(body);
	*out = (struct error_fields){ 0 };
	for (;;) {
		char field = (char)cursor_u8(&c);
		if (field == 0) /* the end, or the cursor went bad */
			return cursor_at_end(&c);
		const char *text = cursor_string(&c);
		switch (field) {
		case 'S':
			out->severity = text;
			break;
		case 'V':
			out->severity_nonlocal = text;
			break;
		case 'C':
			out->sqlstate = text;
			break;
		case 'M':
			out->message = text;
			break;
		case 'D':
			out->detail = text;
			break;
		case 'H':
			out->hint = text;
			break;
		case 'R':
			out->routine = text;
			break;
		default: /* "frontends should silently ignore fields of unrecognized type" */
			break;
		}
	}
}

bool
parameter_status_read(struct view body, const char **name, const char **value)
{
	struct cursor c = cursor_over(body);
	*name = cursor_string(&c);
	*value = cursor_string(&c);
	return cursor_at_end(&c);
}

bool
backend_key_read(struct view body, uint32_t *pid, struct view *key)
{
	struct cursor c = cursor_over(body);
	*pid = cursor_be32(&c);
	*key = c.left;
	return !c.is_bad && key->n >= CANCEL_KEY_MIN && key->n <= CANCEL_KEY_MAX;
}

bool
ready_read(struct view body, char *status)
{
	struct cursor c = cursor_over(body);
	*status = (char)cursor_u8(&c);
	return cursor_at_end(&c) && (*status == 'I' || *status == 'T' || *status == 'E');
}

bool
command_tag_read(struct view body, const char **tag)
{
	return string_read(body, tag);
}

bool
notification_read(struct view body, struct notification *out)
{
	struct cursor c = cursor_over(body);
	out->pid = cursor_be32(&c);
	out->channel = cursor_string(&c);
	out->payload = cursor_string(&c);
	return cursor_at_end(&c);
}

bool
negotiate_read(struct view body, struct negotiate_message *out)
{
	struct cursor c = cursor_over(body);
	uint32_t version = cursor_be32(&c);
	out->newest_minor = (uint16_t)version;
	out->name_count = cursor_be32(&c);
	out->names = c.left;
	for (uint32_t i = 0; i < out->name_count && !c.is_bad; i++)
		cursor_string(&c);
	/* The manual says that the minor version is sent; PostgreSQL 11 to 18 send the whole version (196608). */
	uint32_t major = version >> 16;
	return cursor_at_end(&c) && (major == 0 || major == PROTOCOL_MAJOR);
}

/* The next of a list of strings that fills the view. */
static bool
next_string(struct view *list, const char **out)
{
	struct cursor c = cursor_over(*list);
	*out = cursor_string(&c);
	*list = c.left;
	return !c.is_bad;
}

bool
negotiate_next_name(struct view *names, const char **name)
{
	return next_string(names, name);
}

/* Names, each ended by a NUL, and an empty one as the very last byte. */
static bool
mechanisms_are_well_formed(struct view list)
{
	struct cursor c = cursor_over(list);
	while (*cursor_string(&c) != '\0')
		;
	return cursor_at_end(&c);
}

bool
auth_read(struct view body, uint32_t *request, struct view *rest)
{
	struct cursor c = cursor_over(body);
	*request = cursor_be32(&c);
	*rest = c.left;
	if (c.is_bad)
		return false;
	switch (*request) {
	case AUTH_OK:
	case AUTH_KERBEROS_V5:
	case AUTH_CLEARTEXT_PASSWORD:
	case AUTH_GSS:
	case AUTH_SSPI:
		return rest->n == 0;
	case AUTH_MD5_PASSWORD:
		return rest->n == 4;
	case AUTH_SASL:
		return mechanisms_are_well_formed(*rest);
	default:
		return true;
	}
}

bool
sasl_next_mechanism(struct view *list, const char **name)
{
	return next_string(list, name) && **name != '\0';
}

bool
row_read(struct view body, struct row_message *out)
{
	struct cursor c = cursor_over(body);
	out->count = cursor_be16(&c);
	out->values = cursor_values(&c, out->count);
	return cursor_at_end(&c);
}

bool
row_next_value(struct view *values, struct view *value, bool *is_null)
{
	struct cursor c = cursor_over(*values);
	uint32_t length = cursor_be32(&c);
	*is_null = length == UINT32_MAX;
	*value = cursor_bytes(&c, *is_null ? 0 : length);
	*values = c.left;
	return !c.is_bad;
}

static void
cursor_column(struct cursor *c, struct column_message *out)
{
	out->name = cursor_string(c);
	out->table_oid = cursor_be32(c);
	out->attribute = cursor_be16(c);
	out->type_oid = cursor_be32(c);
	out->type_length = (int16_t)cursor_be16(c);
	out->type_modifier = (int32_t)cursor_be32(c);
	out->format = cursor_be16(c);
}

bool
row_description_read(struct view body, struct row_message *out)
{
	struct cursor c = cursor_over(body);
	out->count = cursor_be16(&c);
	out->values = c.left;
	struct column_message column;
	for (uint16_t i = 0; i < out->count && !c.is_bad; i++)
		cursor_column(&c, &column);
	return cursor_at_end(&c);
}

bool
row_next_column(struct view *columns, struct column_message *out)
{
	struct cursor c = cursor_over(*columns);
	cursor_column(&c, out);
	*columns = c.left;
	return !c.is_bad;
}
