/*
 * config/show.c - the table of settings, for people.
 *
 * Never: shows a secret. Source: the columns of SHOW CONFIG are those of PgBouncer 1.25.2.
 */
#include "config/show.h"

#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "base/text.h"
#include "config/entry.h"
#include "config/value.h"

enum { ROWS_MAX = 256, WIDTH = 104 };

static int
by_name(const void *a, const void *b)
{
	const struct setting *const *x = a, *const *y = b;

	return strcmp((*x)->name, (*y)->name);
}

static const struct setting *
row_in_order(int at)
{
	static const struct setting *sorted[ROWS_MAX];

	if (sorted[0] == NULL) {
		must(setting_count <= ROWS_MAX);
		for (int i = 0; i < setting_count; i++)
			sorted[i] = &setting_rows[i];
		qsort(sorted, (size_t)setting_count, sizeof(sorted[0]), by_name);
	}
	return at >= 0 && at < setting_count ? sorted[at] : NULL;
}

bool
config_show_row(const struct config *config, int at, struct config_show *out)
{
	const struct setting *row = row_in_order(at);

	if (row == NULL)
		return false;
	out->key = row->name;
	out->value = setting_value(row, &config->settings, out->value_text, sizeof(out->value_text));
	out->preset = setting_preset_value(row, config->is_pgbouncer, out->preset_text, sizeof(out->preset_text));
	out->is_changeable = row->applies == APPLIES_ON_RELOAD;
	return true;
}

/* Words of `text` in lines of at most WIDTH, each behind `margin`. */
static void
print_wrapped(FILE *out, const char *margin, const char *text)
{
	while (*text) {
		size_t n = strlen(text), room = WIDTH - strlen(margin);
		if (n > room) {
			for (n = room; n > 0 && text[n] != ' ';)
				n--;
			if (n == 0)
				n = strcspn(text, " ");
		}
		fprintf(out, "%s%.*s\n", margin, (int)n, text);
		text += n;
		text += strspn(text, " ");
	}
}

/* What is allowed, without what goes without saying: that text is text, how times are written. */
static void
add_rule(struct text *out, const struct setting *row)
{
	const char *least = row->least ? row->least : "0";
	bool is_number = row->type == SETTING_INT || row->type == SETTING_DURATION_US || row->type == SETTING_SIZE;

	if (is_number && row->most == NULL && row->least == NULL)
		return;
	if (is_number && row->most == NULL)
		text_addf(out, " %s or more.", least);
	else if (is_number)
		text_addf(out, " %s to %s.", least, row->most);
	else if (row->type == SETTING_BOOL || row->words) {
		text_add(out, row->type == SETTING_BOOL ? " " : row->type == SETTING_LIST ? " A " : " One of ");
		value_describe(row, out);
		text_add(out, ".");
	}
}

/* The text of a row and its rules, as a paragraph. */
static void
print_row(FILE *out, const char *margin, const struct setting *row, bool is_entry)
{
	char paragraph[2000];
	struct text text = TEXT_IN(paragraph);

	text_add(&text, row->text);
	add_rule(&text, row);
	if (!is_entry && row->applies == APPLIES_AT_START)
		text_add(&text, " A change needs a restart.");
	if (row->is_secret)
		text_add(&text, " It is never shown.");
	if (row->alias)
		text_addf(&text, " Also called %s.", row->alias);
	if (row->pending)
		text_addf(&text, " Without effect in this release: %s.", row->pending);
	print_wrapped(out, margin, paragraph);
}

static void
print_entry_keys(FILE *out, const struct entry_form *form, const char *margin)
{
	char deep[16];

	snprintf(deep, sizeof(deep), "%s      ", margin);
	for (const struct setting *row = form->rows; row < form->rows + form->count; row++) {
		fprintf(out, "%s  %s%s%s\n", margin, row->name, row->preset ? "=" : "", row->preset ? row->preset : "");
		print_row(out, deep, row, true);
	}
}

static const char forms[] =
    "Times are seconds, or have a unit: us, ms, s, min, h, d. Sizes are bytes, or have kB, MB, GB, TB.";

void
settings_help(FILE *out)
{
	fprintf(
	    out,
	    "Settings of the section [pgsluice], with their defaults. Each is also a variable of the environment,\n"
	    "PGSLUICE_ and its name in capitals; with _FILE behind it, that names a file which holds the value.\n%s\n",
	    forms);
	for (const struct setting *row = setting_rows; row < setting_rows + setting_count; row++) {
		if (row == setting_rows || strcmp(row->group, row[-1].group) != 0)
			fprintf(out, "\n%s\n", row->group);
		fprintf(out, "\n  %s =%s%s\n", row->name, *row->preset ? " " : "", row->preset);
		print_row(out, "      ", row, false);
		if (row->preset_pgbouncer)
			fprintf(out, "      In a file with [pgbouncer]: %s.\n",
				*row->preset_pgbouncer ? row->preset_pgbouncer : "nothing");
	}
	for (int kind = 0; kind < ENTRY_KINDS; kind++) {
		const struct entry_form *form = &entry_forms[kind];
		fprintf(out, "\nKeys of entries in [%s]\n", form->section);
		print_wrapped(out, "", form->text);
		print_entry_keys(out, form, "");
	}
}

void
settings_sample(FILE *out, bool is_pgbouncer)
{
	fprintf(
	    out,
	    "; Every setting with its default; `make samples` writes this file from the program's own table.\n"
	    "; A line that begins with ; or # is a comment.%s\n"
	    "; %%include FILE reads another file at this place.\n"
	    "; Every setting is also a variable of the environment: PGSLUICE_ and its name in capitals; with _FILE\n"
	    "; behind it, that names a file which holds the value. The environment goes before the file.\n"
	    "; %s\n",
	    is_pgbouncer ? "" : " So is what stands behind a blank and a ; but not inside of quotes.", forms);
	for (int kind = 0; kind < ENTRY_KINDS; kind++) {
		const struct entry_form *form = &entry_forms[kind];
		fprintf(out, "\n[%s]\n\n", form->section);
		print_wrapped(out, "; ", form->text);
		print_entry_keys(out, form, ";");
		fprintf(out, "\n%s\n", form->example);
	}
	fprintf(out, "\n[%s]\n", is_pgbouncer ? "pgbouncer" : "pgsluice");
	for (const struct setting *row = setting_rows; row < setting_rows + setting_count; row++) {
		const char *preset = setting_preset(row, is_pgbouncer);
		if (row == setting_rows || strcmp(row->group, row[-1].group) != 0)
			fprintf(out, "\n;;; %s\n", row->group);
		fprintf(out, "\n");
		print_row(out, "; ", row, false);
		fprintf(out, ";%s =%s%s\n", row->name, *preset ? " " : "", preset);
	}
}
