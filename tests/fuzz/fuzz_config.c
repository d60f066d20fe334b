/*
 * tests/fuzz/fuzz_config.c - a configuration file in memory and, behind the first NUL byte, variables of the
 * environment.
 *
 * Shown for every input: either a configuration or at least one error, never both; all errors are lines; what is taken
 * can be looked up, shown, compared with itself and printed.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "config/check.h"
#include "config/reload.h"
#include "config/show.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { VARIABLES_MAX = 8 };

static void
no_change(const struct config_change *change, void *context)
{
	must(change == NULL);
}

static void
use(struct config *config)
{
	static FILE *nowhere;
	static struct config_show row;

	if (nowhere == NULL)
		must((nowhere = fopen("/dev/null", "w")) != NULL);
	for (int i = 0; config_show_row(config, i, &row); i++)
		must(row.value && row.preset);
	config_print_summary(nowhere, config);
	for (int i = 0; i < config->database_count; i++) {
		const struct database_config *d = &config->databases[i];
		must(config_database(config, d->name) == d && !config_is_console(d->name));
		must(d->cluster && d->cluster->host_count + d->cluster->patroni_count > 0);
		must(!database_config_needs_new_servers(d, d) && cluster_config_is_equal(d->cluster, d->cluster));
		for (int k = 0; k < d->cluster->host_count; k++)
			must(d->cluster->hosts[k].port > 0 && d->cluster->hosts[k].port < 65536 &&
			     *d->cluster->hosts[k].name);
		must(config_pool_rules(config, d, NULL).pool_mode != POOL_MODE_UNSET);
	}
	for (int i = 0; i < config->user_count; i++)
		must(config_user(config, config->users[i].name) == &config->users[i]);
	for (int i = 0; i < config->peer_count; i++)
		must(config->peers[i].id > 0 && config->peers[i].host);
	must(config_reload_report(config, config, no_change, NULL) == 0);
}

/* A setting set to what it is: possible, and nothing else has changed. So is another value of it, when it fits. */
static void
change(struct config *config)
{
	struct config_errors errors = { 0 };
	const struct setting *row = setting_find("max_db_connections");
	char value[SETTING_VALUE_MAX];
	const char *is = setting_value(row, &config->settings, value, sizeof(value));
	struct config *same = config_change(config, row, view_of_string(is), false, &errors);
	must(same && errors.count == 0);
	must(config_reload_report(config, same, no_change, NULL) == 0);
	must(same->database_count == config->database_count && same->user_count == config->user_count &&
	     same->cluster_count == config->cluster_count && same->peer_count == config->peer_count);
	for (int i = 0; i < same->database_count; i++)
		must(!database_config_needs_new_servers(&config->databases[i], &same->databases[i]));
	struct config *other = config_change(same, setting_find("read_fallback"), VIEW("refuse"), true, &errors);
	config_free(same);
	must(other && other->settings.read_fallback == READ_FALLBACK_REFUSE);
	use(other);
	config_free(other);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct config_errors errors = { 0 };
	char *variables[VARIABLES_MAX + 1] = { NULL };
	const uint8_t *nul = size ? memchr(data, 0, size) : NULL;
	size_t text_size = nul ? (size_t)(nul - data) : size;
	struct view rest = view_from(view_of(data, size), text_size + 1);

	for (int i = 0; i < VARIABLES_MAX && rest.n; i++) {
		variables[i] = strndup((const char *)rest.p, rest.n);
		must(variables[i] != NULL);
		rest = view_from(rest, strlen(variables[i]) + 1);
		if (strstr(variables[i], "_FILE=")) /* would read files, and wait for devices */
			variables[i][0] = '_';
	}
	struct config *config = config_load_bytes("fuzz", view_of(data, text_size), variables, &errors);
	must((config != NULL) == (errors.count == 0));
	for (int i = 0; i < errors.count; i++)
		must(*errors.lines[i] && !strchr(errors.lines[i], '\n'));
	if (config) {
		use(config);
		change(config);
	}
	config_free(config);
	config_errors_free(&errors);
	for (int i = 0; variables[i]; i++)
		free(variables[i]);
	return 0;
}
