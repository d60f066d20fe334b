/*
 * tests/fuzz/fuzz_startup.c - the first bytes of a connection, its parameters, and the parameter `options`.
 *
 * Shown for every input: an answer, once given, stands however the bytes arrive; parameters written again are the same
 * packet; the words of `options` fit into the room that is asked for.
 */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/must.h"
#include "wire/request.h"
#include "wire/startup.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PAIRS_MAX 64

static void
options_fit(const char *text)
{
	size_t room = strlen(text) + 1;
	char *words = malloc(room); /* no byte more than the header asks for */
	if (!words)
		abort();
	struct options o = options_over(text, words);
	struct option_setting setting;
	for (enum options_result r; (r = options_next(&o, &setting)) != OPTIONS_END;) {
		must(setting.word >= words && setting.word < words + room);
		if (r == OPTIONS_SETTING)
			must(setting.name[0] && strlen(setting.name) + strlen(setting.value) < room);
	}
	free(words);
}

static void
params_are_consistent(const struct startup *s, struct view packet)
{
	const char *pairs[2 * PAIRS_MAX + 1] = { NULL };
	size_t n = 0;
	struct view params = s->params;
	const char *name, *value;
	while (startup_next_param(&params, &name, &value)) {
		must(*name);
		if (strcmp(name, "options") == 0)
			options_fit(value);
		if (n < PAIRS_MAX) {
			pairs[2 * n] = name;
			pairs[2 * n + 1] = value;
		}
		n++;
	}
	must(params.n == 1); /* the terminator */
	params = s->params;
	while (startup_next_protocol_option(&params, &name))
		must(strncmp(name, "_pq_.", 5) == 0);
	if (n > PAIRS_MAX)
		return;
	struct buf b = { 0 };
	request_startup(&b, s->minor, pairs);
	must(view_equal(buf_view(&b), packet));
	buf_free(&b);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct view in = view_of(data, size);
	struct startup s, part;
	enum startup_kind kind = startup_peek(in, &s);
	must(kind == s.kind && s.size <= size);
	for (size_t n = 0; n < size; n = n < 16 || n + 2 >= size ? n + 1 : size - 2) {
		enum startup_kind early = startup_peek(view_part(in, 0, n), &part);
		must(early == STARTUP_SHORT || (early == kind && part.size == s.size));
	}
	struct view packet = view_part(in, 0, s.size);
	struct buf b = { 0 };
	if (kind == STARTUP_START) {
		params_are_consistent(&s, packet);
	} else if (kind == STARTUP_CANCEL) {
		request_cancel(&b, s.pid, s.key);
		must(view_equal(buf_view(&b), packet));
	} else if (kind == STARTUP_SSL_REQUEST) {
		request_ssl(&b);
		must(view_equal(buf_view(&b), packet));
	}
	buf_free(&b);

	char *text = strndup((const char *)(data ? data : (const uint8_t *)""), size);
	if (!text)
		abort();
	options_fit(text);
	free(text);
	return 0;
}
