/*
 * tests/fuzz/fuzz_import.c - haproxy.cfg and pgbouncer.ini, and what --import makes of them.
 *
 * Input: the haproxy.cfg, a NUL, the pgbouncer.ini; without a NUL one of them, whichever it is.
 * Shown for every input: there is a result exactly when there is no error; a result can be loaded; each sentence of the report
 * is one line.
 */
#include <string.h>

#include "base/must.h"
#include "config/import.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
look(const struct config_errors *list)
{
	for (int i = 0; i < list->count; i++)
		must(*list->lines[i]);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct import_file cfg = { 0 }, ini = { 0 };
	struct buf out = { 0 };
	struct import_report report = { { 0 }, { 0 } };
	struct config_errors errors = { 0 };
	struct view all = view_of(size ? (const void *)data : "", size);
	const uint8_t *nul = size ? memchr(data, 0, size) : NULL;
	if (nul) {
		cfg = (struct import_file){ "haproxy.cfg", view_part(all, 0, (size_t)(nul - data)) };
		ini = (struct import_file){ "pgbouncer.ini", view_from(all, cfg.text.n + 1) };
	} else if (import_is_ini(all)) {
		ini = (struct import_file){ "pgbouncer.ini", all };
	} else {
		cfg = (struct import_file){ "haproxy.cfg", all };
	}
	bool is_good = config_import_texts(&cfg, &ini, &out, &report, &errors);
	must(is_good == (errors.count == 0) && is_good == (out.n > 0));
	look(&report.done);
	look(&report.left);
	look(&errors);
	if (is_good) {
		char *nothing[] = { NULL };
		struct config *config = config_load_bytes("result", buf_view(&out), nothing, &errors);
		must(config != NULL);
		config_free(config);
	}
	import_report_free(&report);
	config_errors_free(&errors);
	buf_free(&out);
	return 0;
}
