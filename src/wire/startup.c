/*
 * wire/startup.c - reads the packets that come before the first letter, and the parameters in them.
 *
 * Judges a packet as PostgreSQL's ProcessStartupPacket() does: which lengths are allowed, and that the terminator of
 * the parameters is the packet's last byte. Stricter in one point: PostgreSQL lets a stray last byte pass for the
 * terminator. An answer other than STARTUP_SHORT does not change when more arrives.
 * Source: PostgreSQL 16, 55.7; its postmaster.c (backend_startup.c since 17), postinit.c, guc.c.
 */
#include "wire/startup.h"

#include <string.h>

#include "wire/cursor.h"
#include "wire/message.h"

#define TLS_HANDSHAKE_RECORD 0x16 /* RFC 8446, 5.1; no startup packet is so long that its length starts like this */

static bool
params_are_well_formed(struct view params)
{
	struct cursor c = cursor_over(params);
	while (*cursor_string(&c) != '\0') /* bad is "" too */
		cursor_string(&c);
	return cursor_at_end(&c);
}

/* By the code alone: whether the packet can have this many bytes behind it. */
static bool
size_fits(uint32_t code, size_t bytes_behind_code)
{
	switch (code) {
	case STARTUP_CODE_SSL:
	case STARTUP_CODE_GSSENC:
		return bytes_behind_code == 0;
	case STARTUP_CODE_CANCEL:
		return bytes_behind_code >= 4 + CANCEL_KEY_MIN && bytes_behind_code <= 4 + CANCEL_KEY_MAX;
	default:
		return true;
	}
}

/* A packet that is all there and whose size fits its code: `rest` is what lies behind the code. */
static enum startup_kind
packet_read(uint32_t code, struct view rest, struct startup *out)
{
	struct cursor c = cursor_over(rest);
	switch (code) {
	case STARTUP_CODE_SSL:
		return STARTUP_SSL_REQUEST;
	case STARTUP_CODE_GSSENC:
		return STARTUP_GSSENC_REQUEST;
	case STARTUP_CODE_CANCEL:
		out->pid = cursor_be32(&c);
		out->key = c.left;
		return STARTUP_CANCEL;
	default:
		break;
	}
	out->major = (uint16_t)(code >> 16);
	out->minor = (uint16_t)code;
	if (out->major != PROTOCOL_MAJOR)
		return out->major < PROTOCOL_MAJOR ? STARTUP_OLD_PROTOCOL : STARTUP_NEW_MAJOR;
	if (!params_are_well_formed(rest))
		return STARTUP_BAD;
	out->params = rest;
	return STARTUP_START;
}

static enum startup_kind
peek(struct view in, struct startup *out)
{
	if (in.n == 0)
		return STARTUP_SHORT;
	if (in.p[0] == TLS_HANDSHAKE_RECORD)
		return STARTUP_DIRECT_TLS;
	if (in.p[0] != 0) /* no length that is allowed starts so: HTTP, SSH and the like end here */
		return STARTUP_BAD;
	if (in.n < 4)
		return STARTUP_SHORT;
	uint32_t size = load_be32(in.p);
	if (size < 8 || size > 4 + STARTUP_BODY_MAX)
		return STARTUP_BAD;
	if (in.n < 8)
		return STARTUP_SHORT;
	uint32_t code = load_be32(in.p + 4);
	if (!size_fits(code, size - 8))
		return STARTUP_BAD;
	if (in.n < size)
		return STARTUP_SHORT;
	out->size = size;
	return packet_read(code, view_part(in, 8, size - 8), out);
}

enum startup_kind
startup_peek(struct view in, struct startup *out)
{
	*out = (struct startup){ 0 };
	out->kind = peek(in, out);
	return out->kind;
}

bool
startup_next_param(struct view *params, const char **name, const char **value)
{
	struct cursor c = cursor_over(*params);
	*name = cursor_string(&c);
	if (**name == '\0')
		return false;
	*value = cursor_string(&c);
	*params = c.left;
	return !c.is_bad;
}

bool
startup_next_protocol_option(struct view *params, const char **name)
{
	const char *value;
	while (startup_next_param(params, name, &value))
		if (strncmp(*name, "_pq_.", 5) == 0)
			return true;
	return false;
}

/* ---- options ---- */

/* As isspace() in the C locale, whatever the locale is. */
static bool
is_blank(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

struct options
options_over(const char *text, char *room)
{
	return (struct options){ .left = text, .room = room };
}

/* The next word without its escapes, in o->room; NULL at the end. A backslash that is the last character is dropped. */
static char *
next_word(struct options *o)
{
	while (is_blank(*o->left))
		o->left++;
	if (*o->left == '\0')
		return NULL;
	char *word = o->room, *to = word;
	while (*o->left && !is_blank(*o->left)) {
		if (*o->left == '\\' && *++o->left == '\0')
			break;
		*to++ = *o->left++;
	}
	*to++ = '\0';
	o->room = to;
	return word;
}

/* name=value, split in place. */
static bool
split_assignment(char *text, struct option_setting *out)
{
	char *equals = strchr(text, '=');
	if (!equals || equals == text)
		return false;
	*equals = '\0';
	for (char *c = text; *c; c++)
		if (*c == '-')
			*c = '_';
	out->name = text;
	out->value = equals + 1;
	return true;
}

enum options_result
options_next(struct options *o, struct option_setting *out)
{
	*out = (struct option_setting){ 0 };
	char *word = next_word(o);
	if (!word)
		return OPTIONS_END;
	out->word = word;
	char *assignment = NULL;
	if (strncmp(word, "--", 2) == 0)
		assignment = word + 2;
	else if (strncmp(word, "-c", 2) == 0)
		assignment = word[2] ? word + 2 : next_word(o);
	if (!assignment || !split_assignment(assignment, out))
		return OPTIONS_UNSUPPORTED;
	return OPTIONS_SETTING;
}
