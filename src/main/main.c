/*
 * main/main.c - the program: arguments, configuration, descriptors, listeners, signals, and out again.
 *
 *   options ─► config_load ─► proxy_new ─► listeners, console, HTTP ─► loop_run ─► proxy_free
 *
 * Works as PID 1 (every signal that it should obey has a handler; it has no children), without root, on a read-only root.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "admin/console.h"
#include "admin/http.h"
#include "base/log.h"
#include "config/check.h"
#include "process.h"

extern char **environ;

enum { DESCRIPTORS_SPARE = 64 };

/* Also at a reload: a file that was rotated away is made anew. */
static bool
open_log(const struct settings *set, const struct options *o)
{
	struct log_target target = {
		.format = set->log_format,
		.level = set->verbose + o->verbose > 0 ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO,
		.file = set->logfile,
		.to_stderr = !o->is_quiet,
		.syslog_ident = set->syslog ? set->syslog_ident : NULL,
		.syslog_facility = set->syslog_facility,
	};
	return log_open(&target);
}

/* As many descriptors as the system lets us have; and a word if they can't be enough. */
static void
raise_descriptors(const struct settings *set)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return;
	rlim_t before = limit.rlim_cur;
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
		limit.rlim_cur = before;
	rlim_t wanted = (rlim_t)set->max_client_conn + (rlim_t)set->default_pool_size + DESCRIPTORS_SPARE;
	if (limit.rlim_cur != RLIM_INFINITY && limit.rlim_cur < wanted)
		log_warning("main",
		            "max_client_conn = %d needs %lu file descriptors or more (with one for each server connection), and the "
		            "limit is %lu: raise it (ulimit -n, LimitNOFILE) or lower max_client_conn",
		            set->max_client_conn, (unsigned long)wanted, (unsigned long)limit.rlim_cur);
}

/* What the proxy itself knows nothing of, after a new configuration was taken over. */
static void
apply_settings(void *context)
{
	struct process *p = context;
	const struct settings *set = &p->proxy->config->settings;
	const struct listener_options o = listener_options_of(set);
	if (!open_log(set, p->options))
		log_error("main", "logfile \"%s\": %s; the log goes on where it went", set->logfile, strerror(errno));
	for (unsigned i = 0; i < p->door_count; i++)
		if (p->doors[i].listener)
			listener_tune(p->doors[i].listener, &o);
	raise_descriptors(set); /* says so when max_client_conn has outgrown them */
}

/* ---- all of it ---- */

static bool
start(struct process *p, const struct options *o)
{
	const struct settings *set = &p->proxy->config->settings;
	char reason[600];
	struct text why = TEXT_IN(reason);
	console_install(p->proxy);
	if (!open_doors(p, &why)) {
		log_fatal("main", "%s", reason);
		return false;
	}
	if (set->http_port != 0 && (p->http = http_open(p->proxy, &why)) == NULL) {
		log_fatal("main", "%s", reason);
		return false;
	}
	p->proxy->on_stop = close_doors;
	p->proxy->on_reload = apply_settings;
	p->proxy->process = p;
	take_signals(p);
	return write_pidfile(p, set->pidfile) && become(o->user ? o->user : set->user);
}

static void
finish(struct process *p)
{
	for (int i = 0; i < SIGNALS; i++)
		loop_signal_free(p->signals[i]);
	for (unsigned i = 0; i < p->door_count; i++)
		listener_close(p->doors[i].listener);
	http_close(p->http);
	if (p->pidfile)
		unlink(p->pidfile);
	proxy_free(p->proxy);
}

int
main(int argc, char **argv)
{
	struct options o = { 0 };
	int status = read_options(argc, argv, &o);
	if (status >= 0)
		return status;
	if (o.checks)
		return config_check(o.file, environ, stdout, stderr);

	struct config_errors errors = { 0 };
	struct config *config = config_load(o.file, environ, &errors);
	if (config == NULL) {
		config_print_errors(stderr, &errors);
		config_errors_free(&errors);
		return 1;
	}
	if (!open_log(&config->settings, &o)) {
		fprintf(stderr, "pgsluice: logfile \"%s\": %s\n", config->settings.logfile, strerror(errno));
		config_free(config);
		return 1;
	}
	for (int i = 0; i < config->warnings.count; i++)
		log_warning("config", "%s", config->warnings.lines[i]);
	raise_descriptors(&config->settings);

	char reason[4096];
	struct text why = TEXT_IN(reason);
	struct process p = { .proxy = proxy_new(config, environ, &why), .options = &o };
	if (p.proxy == NULL) {
		fprintf(stderr, "pgsluice: %s\n", reason);
		config_free(config);
		return 1;
	}
	status = 1;
	if (start(&p, &o)) {
		const struct settings *set = &p.proxy->config->settings;
		log_info("main", "pgsluice " PGSLUICE_VERSION " ready: read-write port %d, read port %d, HTTP port %d, %d cluster(s)",
		         set->listen_port, set->read_port, set->http_port, p.proxy->config->cluster_count);
		loop_run(p.proxy->loop);
		log_info("main", "stopped");
		status = 0;
	}
	finish(&p);
	return status;
}
