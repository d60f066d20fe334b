/*
 * tests/fuzz/fuzz_console.c - one console session, from the first message to whatever ends it.
 *
 * Input: a letter (a: admin rank, else stats rank), then frontend messages. Commands are carried out, on a proxy without
 * clients, servers or network; the one that would end the process does not, because the loop does not run.
 * Shown for every input: what is answered consists of whole backend messages, of kinds that a console may send; a Query and
 * a Sync are answered by exactly one ReadyForQuery each, unless the session ended before or a command waits for ever.
 */
#include <string.h>

#include "admin/console.h"
#include "admin/dialog.h"
#include "base/log.h"
#include "base/must.h"
#include "session/client.h"
#include "session/proxy.h"
#include "wire/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char world[] = "[databases]\nshop = host=127.0.0.1 port=1\n* = host=127.0.0.1 port=1\n[pgsluice]\nlisten_addr=\n"
			    "unix_socket_dir=/tmp\n";

static struct proxy *
open_proxy(void)
{
	static char *nothing[] = { NULL };
	struct config_errors errors = { 0 };
	char why_text[200];
	struct text why = TEXT_IN(why_text);
	log_open(&(struct log_target){ .level = LOG_LEVEL_FATAL });
	struct config *config = config_load_bytes("fuzz.ini", view_of(world, sizeof(world) - 1), nothing, &errors);
	must(config != NULL);
	struct proxy *x = proxy_new(config, nothing, &why);
	must(x != NULL);
	console_install(x);
	return x;
}

/* Answers with the number of ReadyForQuery in it. */
static size_t
check_answer(struct view out)
{
	size_t ready = 0;
	struct frame f;
	for (; out.n > 0; out = view_from(out, f.size)) {
		must(frame_peek(out, UINT32_MAX, &f) == FRAME_OK && frame_is_whole(&f));
		must(strchr("123CDEINTZnst", f.type) != NULL);
		ready += f.type == BE_READY_FOR_QUERY;
	}
	return ready;
}

static bool
one_message(struct dialog *d, const struct frame *f, struct proxy *x)
{
	char why_text[200];
	struct text why = TEXT_IN(why_text);
	struct buf out = { 0 };
	bool was_skipping = d->is_skipping;
	bool goes_on = dialog_on_message(d, f, &out, &why);
	must(goes_on == (why.n == 0));
	bool is_asked = f->type == FE_SYNC || (f->type == FE_QUERY && !was_skipping);
	if (d->is_waiting) {
		command_wait_cancel(&d->wait, x);
		dialog_ask(d, &out);
	}
	must(check_answer(buf_view(&out)) == (size_t)(goes_on && is_asked && !d->is_waiting));
	buf_free(&out);
	return goes_on && !d->is_waiting;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct proxy *x;
	static const struct config *first;
	/* "*" makes a database of every name that is paused. */
	if (x && (HASH_COUNT(x->databases) > 100 || x->config != first)) { /* SET changed it */
		proxy_free(x);
		x = NULL;
	}
	if (x == NULL) {
		x = open_proxy();
		first = x->config;
	}
	if (size == 0)
		return 0;
	struct client client = { .proxy = x, .state = CLIENT_CONSOLE }; /* only for its tag in the log */
	struct dialog d;
	dialog_init(&d, x, &client, data[0] == 'a');
	struct view in = view_of(data + 1, size - 1);
	struct frame f;
	for (int i = 0; i < 50 && frame_peek(in, 1 << 20, &f) == FRAME_OK && frame_is_whole(&f); i++) {
		if (!one_message(&d, &f, x))
			break;
		in = view_from(in, f.size);
	}
	dialog_fini(&d);
	x->state = PROXY_RUNNING;
	x->is_hurried = x->loop->is_stopping = false;
	return 0;
}
