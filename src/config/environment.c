/*
 * config/environment.c - settings out of PGSLUICE_... variables, and out of the files that PGSLUICE_..._FILE name.
 *
 * Never: stores a value; config.c does, as for a line of a file.
 * Source: the names are ours. Kubernetes, "Accessing the Service": environment variables; Docker, "Legacy container
 * links".
 */
#include "config/environment.h"

#include <ctype.h>
#include <errno.h>

#include "base/buf.h"
#include "config/ini.h"

#define PREFIX       "PGSLUICE_"
#define SECRET_MAX   (1024 * 1024)
#define VARIABLE_MAX 80

/* "PGSLUICE_LISTEN_PORT" as "listen_port". False: too long for a setting, or not in capitals. */
static bool
setting_name(struct view variable, char out[VARIABLE_MAX])
{
	struct view name = view_from(variable, sizeof(PREFIX) - 1);

	if (name.n >= VARIABLE_MAX)
		return false;
	for (size_t i = 0; i < name.n; i++) {
		if (islower(name.p[i]))
			return false;
		out[i] = (char)tolower(name.p[i]);
	}
	out[name.n] = 0;
	return true;
}

/*
 * A service or linked container called "pgsluice" brings these into other containers, also into ours:
 * PGSLUICE_SERVICE_HOST, PGSLUICE_SERVICE_PORT[_name], PGSLUICE_PORT=tcp://..., PGSLUICE_PORT_5432_TCP[_...],
 * PGSLUICE_NAME=/a/b, PGSLUICE_ENV_...
 */
static bool
is_of_orchestrator(struct view name)
{
	static const char *const begins[] = { "service_host", "service_port", "env_" }, *const is[] = { "port",
													"name" };

	for (size_t i = 0; i < sizeof(begins) / sizeof(begins[0]); i++) {
		if (view_is(view_part(name, 0, strlen(begins[i])), begins[i]))
			return true;
	}
	for (size_t i = 0; i < sizeof(is) / sizeof(is[0]); i++) {
		if (view_is(name, is[i]))
			return true;
	}
	return name.n > 5 && view_is(view_part(name, 0, 5), "port_") && isdigit(name.p[5]);
}

static void
unknown(struct view variable, const char *name, struct config_errors *errors)
{
	const char *nearest = name ? value_nearest(view_of_string(name), setting_rows, setting_count) : NULL;
	struct buf line = { 0 };

	buf_addf(&line, "%.*s: no such setting", (int)(variable.n > VARIABLE_MAX ? VARIABLE_MAX : variable.n),
		 (const char *)variable.p);
	if (nearest) {
		buf_addf(&line, "; did you mean " PREFIX);
		for (const char *c = nearest; *c; c++)
			buf_add_u8(&line, (uint8_t)toupper((unsigned char)*c));
		buf_addf(&line, "?");
	} else
		buf_addf(&line, "; --help-settings lists them all");
	config_errors_add(errors, (struct place){ .file = "environment" }, "%.*s", (int)line.n, (const char *)line.p);
	buf_free(&line);
}

/* The setting whose contents are in a file: "auth_users" for "auth_users_file", but not "auth" for the setting
 * "auth_file". */
static const struct setting *
find_in_file(char *name)
{
	size_t n = strlen(name);

	if (n < 6 || strcmp(name + n - 5, "_file") != 0)
		return NULL;
	name[n - 5] = 0;
	const struct setting *row = setting_find(name);
	name[n - 5] = '_';
	return row;
}

void
environment_read(char **environment, struct config_memory *memory, struct config_errors *errors,
		 environment_on_value *on_value, void *context)
{
	bool *seen = config_memory_take(memory, (size_t)setting_count * sizeof(*seen));

	for (; environment && *environment; environment++) {
		const char *equals = strchr(*environment, '=');
		if (equals == NULL || strncmp(*environment, PREFIX, sizeof(PREFIX) - 1) != 0)
			continue;
		struct view variable = view_of(*environment, (size_t)(equals - *environment));
		char name[VARIABLE_MAX];
		if (!setting_name(variable, name)) {
			unknown(variable, NULL, errors);
			continue;
		}
		struct environment_value v = { .row = setting_find(name), .value = view_of_string(equals + 1) };
		struct buf where = { 0 };
		buf_addf(&where, "environment: %.*s", (int)variable.n, (const char *)variable.p);
		v.at.file = config_memory_string(memory, buf_view(&where));
		buf_free(&where);
		if (v.row == NULL && (v.row = find_in_file(name)) != NULL) {
			if (!ini_slurp(equals + 1, SECRET_MAX, memory, &v.value)) {
				config_errors_add(errors, v.at, "\"%s\": %s", equals + 1, strerror(errno));
				continue;
			}
			if (v.value.n && v.value.p[v.value.n - 1] == '\n')
				v.value.n--;
			if (v.value.n && v.value.p[v.value.n - 1] == '\r')
				v.value.n--;
		}
		if (v.row == NULL) {
			if (!is_of_orchestrator(view_of_string(name)))
				unknown(variable, name, errors);
			continue;
		}
		if (seen[v.row - setting_rows]) {
			config_errors_add(errors, v.at,
					  "%s is given twice; allowed: the value, or the file that holds it",
					  v.row->name);
			continue;
		}
		seen[v.row - setting_rows] = true;
		on_value(&v, context);
	}
}
