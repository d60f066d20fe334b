/* config/import_command.c - pgsluice --import: reads the files, prints what src/config/import.c makes of them. */
#include <errno.h>
#include <string.h>

#include "config/import.h"
#include "config/ini.h"

enum { INCLUDES_MAX = 100 };

/* The text with the files that it includes in their place. */
static void
flatten(struct buf *out, const char *file, struct view text, int *includes, struct config_memory *memory,
        struct config_errors *errors)
{
	struct place at = { .file = file };
	while (text.n) {
		const uint8_t *end = memchr(text.p, '\n', text.n);
		size_t n = end ? (size_t)(end - text.p) + 1 : text.n;
		struct view raw = view_part(text, 0, n), line = view_trim(view_part(raw, 0, end ? n - 1 : n)), included;
		text = view_from(text, n);
		at.line++;
		if (line.n < 10 || memcmp(line.p, "%include", 8) != 0 || (line.p[8] != ' ' && line.p[8] != '\t')) {
			buf_add(out, raw);
			continue;
		}
		const char *name = config_memory_string(memory, ini_cut_comment(view_trim(view_from(line, 9))));
		name = ini_locate(name, file, memory);
		if (++*includes > INCLUDES_MAX) {
			config_errors_add(errors, at, "%%include %s: more than %d files", name, INCLUDES_MAX);
			return;
		}
		if (!ini_slurp(name, INI_BYTES_MAX, memory, &included)) {
			config_errors_add(errors, at, "%%include %s: %s", name, strerror(errno));
			continue;
		}
		buf_addf(out, "; from %s:\n", name);
		flatten(out, name, included, includes, memory, errors);
		buf_addf(out, "\n");
	}
}

static bool
read_files(char *const *files, int count, struct import_file *haproxy, struct import_file *ini, struct buf *flat,
           struct config_memory *memory, struct config_errors *errors)
{
	for (int i = 0; i < count; i++) {
		struct view text;
		struct place at = { .file = files[i] };
		if (!ini_slurp(files[i], INI_BYTES_MAX, memory, &text)) {
			config_errors_add(errors, at, "%s", strerror(errno));
			continue;
		}
		bool is_ini = import_is_ini(text);
		struct import_file *to = is_ini ? ini : haproxy;
		if (to->text.p)
			config_errors_add(errors, at, "%s and this one are both an %s", to->name, is_ini ? "INI file" : "haproxy.cfg");
		if (is_ini) {
			int includes = 0;
			flatten(flat, files[i], text, &includes, memory, errors);
			text = view_of(flat->n ? (const void *)flat->p : "", flat->n);
		}
		*to = (struct import_file){ files[i], text };
	}
	return errors->count == 0;
}

static void
print_list(FILE *to, const struct config_errors *list, const char *heading)
{
	if (list->count)
		fprintf(to, "%s\n", heading);
	for (int i = 0; i < list->count; i++)
		fprintf(to, "  %s\n", list->lines[i]);
}

int
config_import(char *const *files, int count, FILE *out, FILE *err)
{
	struct config_memory *memory = config_memory_new();
	struct import_file haproxy = { 0 }, ini = { 0 };
	struct buf flat = { 0 }, result = { 0 };
	struct config_errors errors = { 0 };
	struct import_report report_to = { { 0 }, { 0 } };
	bool is_good = read_files(files, count, &haproxy, &ini, &flat, memory, &errors) &&
	               config_import_texts(&haproxy, &ini, &result, &report_to, &errors);
	if (is_good) {
		fwrite(result.p, 1, result.n, out);
		print_list(err, &report_to.done, "What became of what:");
		print_list(err, &report_to.left, "Not carried over, to be looked at:");
	} else {
		for (int i = 0; i < errors.count; i++)
			fprintf(err, "%s\n", errors.lines[i]);
	}
	is_good &= fflush(out) == 0;
	import_report_free(&report_to);
	config_errors_free(&errors);
	if (flat.p) /* may hold passwords, and so may the result */
		explicit_bzero(flat.p, flat.n);
	if (result.p)
		explicit_bzero(result.p, result.n);
	buf_free(&flat);
	buf_free(&result);
	config_memory_free(memory);
	return is_good ? 0 : 1;
}
