/*
 * config/load.c - makes a configuration of a file and the environment.
 *
 *	(1) ini_read_file       the lines of the file and of those it includes
 *	(2) set_presets         of [pgsluice], or of [pgbouncer] if there is such a section
 *	(3) read_lines          each is a setting, or becomes the draft of an entry
 *	(4) read_variables      override settings, and may make the cluster main; so do changes made on the console
 *	(5) make_entries        clusters first, then databases, which point to them     load_entries.c
 *	(6) check, warn         what is well formed by itself and does not fit           load_check.c
 *
 * Owns: struct config. Never: opens a socket, looks up a name.
 * Invariant: nothing is handed out when anything is wrong, and then everything that is wrong is in the errors.
 * Source: PgBouncer 1.25.2, configuration file format.
 */
#include <stdarg.h>

#include "base/buf.h"
#include "config/environment.h"
#include "config/reload.h"
#include "load_parts.h"

struct origin *
loading_origin(const struct loading *l, const char *setting)
{
	return &l->origins[setting_find(setting) - setting_rows];
}

void
loading_complain(const struct loading *l, struct config_errors *to, const char *setting, const char *format, ...)
{
	struct origin origin = *loading_origin(l, setting);
	char why[1000];
	va_list args;

	va_start(args, format);
	vsnprintf(why, sizeof(why), format, args);
	va_end(args);
	if (origin.is_environment)
		config_errors_add(to, origin.place, "%s", why);
	else
		config_errors_add(to, origin.place.file ? origin.place : l->whole, "%s: %s", setting, why);
}

static void
store(struct loading *l, const struct setting *row, struct view value, struct origin origin)
{
	char why[500];
	struct text text = TEXT_IN(why);

	l->origins[row - setting_rows] = origin;
	if (!value_store(row, &l->config->settings, value, l->memory, &text))
		loading_complain(l, l->errors, row->name, "%s", why);
}

static void
set_presets(struct loading *l)
{
	for (const struct setting *row = setting_rows; row < setting_rows + setting_count; row++) {
		const char *preset = setting_preset(row, l->config->is_pgbouncer);
		store(l, row, view_of_string(preset), (struct origin){ 0 });
	}
}

static void
read_setting(struct loading *l, struct ini_line *line)
{
	const struct setting *row = setting_find(line->key);

	if (row) {
		/* PgBouncer knows no comments behind values; and a secret is not for us to cut. */
		bool is_whole = l->config->is_pgbouncer || row->is_secret;
		struct view value = is_whole ? line->value : ini_cut_comment(line->value);
		if (row->is_file && value.n)
			line->value = value = view_of_string( /* where it is once and for all */
			    ini_locate(config_memory_string(l->memory, value), line->at.file, l->memory));
		store(l, row, value, (struct origin){ .place = line->at });
		return;
	}
	const char *nearest = value_nearest(view_of_string(line->key), setting_rows, setting_count);
	config_errors_add(l->errors, line->at, "%s: no such setting; %s%s%s", line->key,
			  nearest ? "did you mean \"" : "--help-settings lists them all", nearest ? nearest : "",
			  nearest ? "\"?" : "");
}

struct draft *
loading_add_draft(struct loading *l, enum entry_kind kind, const char *name, struct place at)
{
	struct drafts *d = &l->drafts[kind];

	if (d->count == d->room) {
		d->room = d->room ? d->room * 2 : 16;
		d->all = heap_resize(d->all, (size_t)d->room * sizeof(*d->all));
	}
	d->all[d->count] = entry_blank(kind, name, at);
	d->all[d->count].order = d->count;
	return &d->all[d->count++];
}

/* What is wrong with the name of an entry, or NULL. */
static const char *
name_fault(enum entry_kind kind, const char *name)
{
	int64_t id;

	if (kind == ENTRY_DATABASE && config_is_console(name))
		return "is the name of the console";
	if (kind == ENTRY_DATABASE && strlen(name) >= DATABASE_NAME_MAX)
		return "is too long; allowed: 63 bytes";
	if (kind == ENTRY_USER && strlen(name) >= USER_NAME_MAX)
		return "is too long; allowed: 127 bytes";
	if (kind == ENTRY_CLUSTER && (strchr(name, ':') || strlen(name) >= DATABASE_NAME_MAX))
		return "is not a name of a cluster; allowed: 63 bytes, no colon";
	if (kind == ENTRY_PEER && (!value_read_int(view_of_string(name), &id) || id < 1 || id > 65535))
		return "is not the number of a peer; allowed: 1 to 65535";
	return NULL;
}

static void
read_entry(struct loading *l, enum entry_kind kind, const struct ini_line *line)
{
	const char *fault = name_fault(kind, line->key);

	if (fault) {
		config_errors_add(l->errors, line->at, "[%s] \"%s\" %s", entry_forms[kind].section, line->key, fault);
		return;
	}
	struct draft *draft = loading_add_draft(l, kind, line->key, line->at);
	struct view value = l->config->is_pgbouncer ? line->value : ini_cut_comment(line->value);
	entry_read(kind, value, draft, l->memory, l->errors, &l->warnings);
}

enum section { SECTION_NONE, SECTION_UNKNOWN, SECTION_SETTINGS, SECTION_ENTRIES };

static enum section
enter_section(struct loading *l, const struct ini_line *line, enum entry_kind *kind)
{
	static const char *const names[] = { "pgsluice", "pgbouncer", "clusters", "databases", "users", "peers" };
	const char *nearest = NULL;

	for (int i = 0; i < ENTRY_KINDS; i++) {
		if (strcmp(line->section, entry_forms[i].section) == 0) {
			*kind = (enum entry_kind)i;
			return SECTION_ENTRIES;
		}
	}
	if (strcmp(line->section, "pgbouncer") == 0) {
		set_presets(l); /* as PgBouncer does, each time that the section begins */
		return SECTION_SETTINGS;
	}
	if (strcmp(line->section, "pgsluice") == 0) {
		if (l->config->is_pgbouncer)
			config_errors_add(l->errors, line->at,
					  "[pgsluice] and [pgbouncer] in one configuration; allowed: one of them");
		return SECTION_SETTINGS;
	}
	if (*line->section == 0) /* its line was refused already */
		return SECTION_UNKNOWN;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (text_distance(view_of_string(line->section), view_of_string(names[i]), 3) <= 3)
			nearest = names[i];
	}
	if (nearest)
		config_errors_add(l->errors, line->at, "[%s]: no such section; did you mean [%s]?", line->section,
				  nearest);
	else
		config_errors_add(
		    l->errors, line->at,
		    "[%s]: no such section; allowed: pgsluice, pgbouncer, clusters, databases, users, peers",
		    line->section);
	return SECTION_UNKNOWN;
}

static void
read_lines(struct loading *l, struct ini *ini)
{
	enum section section = SECTION_NONE;
	enum entry_kind kind = ENTRY_DATABASE;

	for (int i = 0; i < ini->count; i++) {
		struct ini_line *line = &ini->lines[i];
		if (line->section)
			section = enter_section(l, line, &kind);
		else if (section == SECTION_SETTINGS)
			read_setting(l, line);
		else if (section == SECTION_ENTRIES)
			read_entry(l, kind, line);
		else if (section == SECTION_NONE) {
			config_errors_add(l->errors, line->at,
					  "%s: stands before any section; allowed: [pgsluice] above it", line->key);
			section = SECTION_UNKNOWN; /* once is enough */
		}
	}
}

static void
store_late(struct loading *l, const struct late_value *v)
{
	l->late[l->late_count++] = *v;
	store(l, v->row, v->value, (struct origin){ .place = v->at, .is_environment = true });
}

static void
read_variable(const struct environment_value *v, void *context)
{
	struct loading *l = context;
	/* Outlives the environment, and a file that the variable names. */
	struct view value = view_of(config_memory_string(l->memory, v->value), v->value.n);

	store_late(l, &(struct late_value){ v->row, value, v->at });
}

/* What a configuration is to be made of instead of the environment: another one, and a change to it. */
struct change {
	const struct config *from;
	const struct setting *row;
	struct view value;
	bool keeps_tls;
};

static void
read_changes(struct loading *l, const struct change *change)
{
	const struct config_source *from = change->from->source;
	char name[100];
	struct text place = TEXT_IN(name);

	text_addf(&place, "SET %s", change->row->name);
	for (int i = 0; i < from->late_count; i++) {
		struct late_value v = from->late[i];
		if (v.row == change->row && strcmp(v.at.file, name) == 0)
			continue; /* changed once more */
		v.at.file = config_memory_string(l->memory, view_of_string(v.at.file));
		v.value = view_of(config_memory_string(l->memory, v.value), v.value.n);
		store_late(l, &v);
	}
	struct view value = view_of(config_memory_string(l->memory, change->value), change->value.n);
	struct place at = { .file = config_memory_string(l->memory, view_of_string(name)) };
	store_late(l, &(struct late_value){ change->row, value, at });
	for (const struct setting *row = setting_rows; change->keeps_tls && row < setting_rows + setting_count; row++) {
		if (setting_is_of_tls(row))
			value_copy(row, &change->from->settings, &l->config->settings, l->memory);
	}
}

static const struct config_source *
keep_source(const struct loading *l, const struct ini *ini)
{
	struct config_source *source = config_memory_take(l->memory, sizeof(*source));
	size_t bytes = (size_t)ini->count * sizeof(*ini->lines);
	struct ini_line *lines = config_memory_take(l->memory, bytes);

	if (bytes)
		memcpy(lines, ini->lines, bytes);
	*source = (struct config_source){ lines, ini->count, l->late, l->late_count };
	return source;
}

/* Of the lines in *ini, and of the environment or a change, make a configuration. Takes *ini with its memory over. */
static struct config *
load(struct ini *ini, const char *file, char **environment, const struct change *change, struct config_errors *errors)
{
	int inherited = change ? change->from->source->late_count + 1 : 0;
	struct config *config = heap_alloc(sizeof(*config));
	struct loading l = { .config = config, .memory = ini->memory, .errors = errors };

	config->memory = ini->memory;
	config->file = file ? config_memory_string(l.memory, view_of_string(file)) : "";
	l.whole.file = *config->file ? config->file : "environment";
	l.origins = config_memory_take(l.memory, (size_t)setting_count * sizeof(*l.origins));
	for (int i = 0; i < ini->count; i++)
		config->is_pgbouncer |= ini->lines[i].section && strcmp(ini->lines[i].section, "pgbouncer") == 0;
	set_presets(&l);
	read_lines(&l, ini);
	l.late = config_memory_take(l.memory, (size_t)(setting_count + inherited) * sizeof(*l.late));
	if (change)
		read_changes(&l, change);
	else
		environment_read(environment, l.memory, errors, read_variable, &l);
	loading_draft_main_cluster(&l);
	for (int kind = 0; kind < ENTRY_KINDS; kind++)
		loading_settle_names(&l, (enum entry_kind)kind);
	loading_make_entries(&l);
	if (*config->settings.conffile == 0)
		config->settings.conffile = config->file;
	loading_check(&l);
	if (errors->count == 0)
		loading_warn(&l);
	config->warnings = l.warnings;
	config->source = keep_source(&l, ini);
	for (int kind = 0; kind < ENTRY_KINDS; kind++)
		heap_free(l.drafts[kind].all);
	ini_free(ini);
	if (errors->count == 0)
		return config;
	config_free(config);
	return NULL;
}

struct config *
config_load(const char *file, char **environment, struct config_errors *errors)
{
	struct ini ini = { .memory = config_memory_new(), .errors = errors, .may_include = true };

	if (file) /* its name is in every line, which outlive the caller's */
		ini_read_file(&ini, config_memory_string(ini.memory, view_of_string(file)));
	return load(&ini, file, environment, NULL, errors);
}

struct config *
config_load_bytes(const char *name, struct view text, char **environment, struct config_errors *errors)
{
	struct ini ini = { .memory = config_memory_new(), .errors = errors };

	name = config_memory_string(ini.memory, view_of_string(name));
	ini_read_bytes(&ini, name, view_of(config_memory_string(ini.memory, text), text.n));
	return load(&ini, name, environment, NULL, errors);
}

/* The line as it was read, in the memory of *ini. */
static struct ini_line
copy_line(struct ini *ini, const struct ini_line *from, const char *from_file)
{
	struct ini_line line = *from;

	if (ini->count && from->at.file == from_file) /* one text for all lines of a file */
		line.at.file = ini->lines[ini->count - 1].at.file;
	else if (from->at.file)
		line.at.file = config_memory_string(ini->memory, view_of_string(from->at.file));
	if (from->section)
		line.section = config_memory_string(ini->memory, view_of_string(from->section));
	line.key = config_memory_string(ini->memory, view_of_string(from->key));
	line.value = view_of(config_memory_string(ini->memory, from->value), from->value.n);
	return line;
}

struct config *
config_change(const struct config *from, const struct setting *row, struct view value, bool keeps_tls,
	      struct config_errors *errors)
{
	const struct config_source *source = from->source;
	struct ini ini = { .memory = config_memory_new(), .errors = errors };
	struct change change = { from, row, value, keeps_tls };

	ini.lines = heap_resize(NULL, ((size_t)source->line_count + 1) * sizeof(*ini.lines));
	for (int i = 0; i < source->line_count; i++) {
		ini.lines[ini.count] = copy_line(&ini, &source->lines[i], i ? source->lines[i - 1].at.file : NULL);
		ini.count++;
	}
	return load(&ini, *from->file ? from->file : NULL, NULL, &change, errors);
}
