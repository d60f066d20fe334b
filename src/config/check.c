/*
 * config/check.c - says what is wrong with a configuration, and what was understood of it.
 *
 * Never: prints a secret, connects to anything.
 */
#include "config/check.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

void
config_print_errors(FILE *out, const struct config_errors *errors)
{
	for (int i = 0; i < errors->count; i++)
		fprintf(out, "%s\n", errors->lines[i]);
}

static void
print_cluster(FILE *out, const struct cluster_config *c)
{
	char hidden[SETTING_VALUE_MAX];
	const struct setting *urls = setting_find("patroni");

	fprintf(out, "  cluster %s:", c->name);
	for (int i = 0; i < c->patroni_count; i++) {
		struct settings one = { .patroni = c->patroni[i] }; /* so that a password in it is hidden */
		fprintf(out, "%s %s", i ? "," : " Patroni at", setting_value(urls, &one, hidden, sizeof(hidden)));
	}
	for (int i = 0; i < c->host_count; i++)
		fprintf(out, "%s %s port %d", i ? "," : " hosts", c->hosts[i].name, c->hosts[i].port);
	fprintf(out, "\n");
}

static void
print_database(FILE *out, const struct config *config, const struct database_config *d)
{
	struct pool_rules rules = config_pool_rules(config, d, NULL);

	fprintf(out, "  database %s: %s %s, pool_mode %s, pool_size %d", d->name,
		d->cluster->is_plain ? "at" : "cluster", d->cluster->name, pool_mode_name(rules.pool_mode),
		rules.pool_size);
	if (d->dbname)
		fprintf(out, ", as %s", d->dbname);
	if (d->user)
		fprintf(out, ", user %s", d->user);
	fprintf(out, "\n");
}

/* "*:5432" for each address */
static void
print_listeners(FILE *out, const char *addresses, int port, const char *what)
{
	for (struct view item; port && config_list_next(&addresses, &item);)
		fprintf(out, "  listens on %.*s port %d (%s)\n", (int)item.n, (const char *)item.p, port, what);
}

void
config_print_summary(FILE *out, const struct config *config)
{
	const struct settings *s = &config->settings;

	for (int i = 0; i < config->warnings.count; i++)
		fprintf(out, "warning: %s\n", config->warnings.lines[i]);
	fprintf(out, "%s: no mistake found\n", *config->file ? config->file : "environment");
	print_listeners(out, s->listen_addr, s->listen_port, s->read_port ? "reading and writing" : "PostgreSQL");
	print_listeners(out, s->listen_addr, s->read_port, "reading only");
	print_listeners(out, s->http_addr, s->http_port, "HTTP");
	if (*s->unix_socket_dir)
		fprintf(out, "  listens on %s/.s.PGSQL.%d\n", s->unix_socket_dir, s->listen_port);
	for (int i = 0; i < config->cluster_count; i++) {
		if (!config->clusters[i].is_plain)
			print_cluster(out, &config->clusters[i]);
	}
	for (int i = 0; i < config->database_count; i++)
		print_database(out, config, &config->databases[i]);
	if (config->user_count || config->peer_count)
		fprintf(out, "  %d users and %d peers of their own\n", config->user_count, config->peer_count);
}

/* Whether files are there is a matter of the moment, so it is asked here and not by config_load(). */
static int
print_unreadable_files(FILE *err, const struct config *config)
{
	int count = 0;

	for (const struct setting *row = setting_rows; row < setting_rows + setting_count; row++) {
		char value[SETTING_VALUE_MAX];
		const char *file = row->is_file ? setting_value(row, &config->settings, value, sizeof(value)) : "";
		if (*file == 0 || access(file, R_OK) == 0)
			continue;
		fprintf(err, "%s: %s: %s: %s\n", *config->file ? config->file : "environment", row->name, file,
			strerror(errno));
		count++;
	}
	return count;
}

int
config_check(const char *file, char **environment, FILE *out, FILE *err, config_check_fn *more)
{
	char said[32 * 1024];
	struct text why = TEXT_IN(said);
	struct config_errors errors = { 0 };
	struct config *config = config_load(file, environment, &errors);
	int wrong = errors.count;

	config_print_errors(err, &errors);
	config_errors_free(&errors);
	if (config) {
		wrong = print_unreadable_files(err, config);
		if (wrong == 0 && more && !more(config, &why)) {
			fprintf(err, "%s\n", said);
			wrong = 1;
		}
		if (wrong == 0)
			config_print_summary(out, config);
	}
	config_free(config);
	return wrong ? 1 : 0;
}
