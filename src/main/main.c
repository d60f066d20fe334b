/*
 * main/main.c - the program: the order in which things begin and end.
 *
 *   options ─► config_load ─► what systemd gave us ─► [daemon] ─► user ─► log
 *     ─► proxy_new ─► pid file ─► ports, HTTP ─► ready ─► loop_run ─► finish
 *
 * Works as PID 1 (every signal that it should obey has a handler; it has no children), without root, on a read-only root.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "admin/console.h"
#include "admin/http.h"
#include "base/log.h"
#include "config/check.h"
#include "notify.h"
#include "process.h"

extern char **environ;

enum { DESCRIPTORS_SPARE = 64, STOP_SPARE_US = 20 * 1000 * 1000, LOOK_AGAIN_MS = 20 };

/* Also at a reload: a file that was rotated away is made anew. */
static bool
open_log(const struct process *p, const struct settings *set)
{
	const struct options *o = p->options;
	struct log_target target = {
		.format = set->log_format,
		.level = set->verbose + o->verbose > 0 ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO,
		.file = set->logfile,
		.to_stderr = !o->is_quiet && (!o->is_daemon || p->foreground >= 0),
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

/* ---- what the proxy asks of us ---- */

/* After a new configuration was taken over. */
static void
apply_settings(void *context)
{
	struct process *p = context;
	const struct settings *set = &p->proxy->config->settings;
	const struct listener_options o = listener_options_of(set);
	if (!open_log(p, set))
		log_error("main", "logfile \"%s\": %s; the log goes on where it went", set->logfile, strerror(errno));
	for (unsigned i = 0; i < p->door_count; i++)
		if (p->doors[i].listener)
			listener_tune(p->doors[i].listener, &o);
	raise_descriptors(set); /* says so when max_client_conn has outgrown them */
}

static void
begin_stop(void *context)
{
	notify("STOPPING=1");
	stop_accepting(context);
}

static void
tell_reload(void *context, bool is_over)
{
	if (is_over)
		notify("READY=1");
	else
		notify_reloading();
}

static void
tell_figures(void *context, const char *line)
{
	const struct process *p = context;
	notify("STATUS=%u clients, %u servers: %s", p->proxy->client_count, p->proxy->servers.count, line);
}

static void
tell_alive(void *context)
{
	notify("WATCHDOG=1");
}

/* ---- one place, one process ---- */

static void
look_again_soon(uint64_t *waited_us)
{
	nanosleep(&(struct timespec){ .tv_nsec = LOOK_AGAIN_MS * 1000 * 1000 }, NULL);
	*waited_us += LOOK_AGAIN_MS * 1000;
}

/*
 * -R. The old process closes its ports as soon as it is told, and has them no more when its last transaction has ended:
 * whoever connects in between waits for us in the kernel's queue.
 */
static bool
take_place(struct process *p, int old, struct text *why)
{
	const struct settings *set = &p->proxy->config->settings;
	const uint64_t patience_us = set->shutdown_timeout_us + STOP_SPARE_US;
	log_warning("main",
	            "-R stops process %d and takes its place: clients have to connect again, which PgBouncer's -R spared "
	            "them. With sockets of systemd, or so_reuseport and several processes, nobody is refused meanwhile",
	            old);
	if (kill(old, SIGTERM) != 0) {
		text_addf(why, "can't stop process %d: %s", old, strerror(errno));
		return false;
	}
	uint64_t waited_us = 0;
	const size_t before = why->n;
	while (!open_ports(p, why)) {
		if (waited_us >= patience_us)
			return false;
		look_again_soon(&waited_us);
		why->n = before;
	}
	while (pidfile_owner(set->pidfile) != 0) {
		if (waited_us >= patience_us) {
			text_addf(why, "process %d has not ended within %d s", old, (int)(patience_us / 1000000));
			return false;
		}
		look_again_soon(&waited_us);
	}
	return pidfile_take(p, set->pidfile, why);
}

static bool
open_everything(struct process *p, struct text *why)
{
	const struct settings *set = &p->proxy->config->settings;
	int old = p->options->takes_place ? pidfile_owner(set->pidfile) : 0;
	adopt_doors(p);
	bool ok = old != 0 ? take_place(p, old, why) : pidfile_take(p, set->pidfile, why) && open_ports(p, why);
	if (!ok)
		return false;
	open_unix_sockets(p);
	if (!has_doors(p)) {
		text_add(why, "nothing to listen on: set listen_addr or unix_socket_dir");
		return false;
	}
	return open_http(p, why);
}

/* ---- all of it ---- */

/* Whoever started us wants to know, also with -q. */
static void
give_up(const struct process *p, char *reason)
{
	for (char *line = strtok(reason, "\n"); line; line = strtok(NULL, "\n")) {
		log_fatal("main", "%s", line);
		if (p->options->is_quiet)
			fprintf(stderr, "pgsluice: %s\n", line);
	}
}

static bool
start(struct process *p)
{
	char reason[600];
	struct text why = TEXT_IN(reason);
	console_install(p->proxy);
	p->proxy->on_stop = begin_stop;
	p->proxy->on_reload = apply_settings;
	p->proxy->on_reloading = tell_reload;
	p->proxy->on_stats = tell_figures;
	p->proxy->process = p;
	take_signals(p); /* before the pid file tells others whom to send them to */
	if (!open_everything(p, &why)) {
		give_up(p, reason);
		return false;
	}
	const struct settings *set = &p->proxy->config->settings;
	log_info("main", "pgsluice " PGSLUICE_VERSION " ready: read-write port %d, read port %d, HTTP port %d, %d cluster(s)",
	         set->listen_port, set->read_port, set->http_port, p->proxy->config->cluster_count);
	notify("READY=1\nSTATUS=ready");
	if (notify_watchdog_us() > 0)
		p->watchdog = timer_every(p->proxy->loop, notify_watchdog_us(), tell_alive, NULL);
	if (p->foreground >= 0) {
		daemon_ready(p);
		open_log(p, set);
	}
	return true;
}

static void
finish(struct process *p)
{
	notify("STOPPING=1"); /* also when nobody was waited for */
	notify_close();
	timer_free(p->watchdog);
	for (int i = 0; i < SIGNALS; i++)
		loop_signal_free(p->signals[i]);
	close_doors(p);
	http_close(p->http);
	pidfile_drop(p);
	proxy_free(p->proxy);
}

/* With a configuration, which is the proxy's from here on. The exit status. */
static int
run(struct process *p, struct config *config)
{
	const struct settings *set = &config->settings;
	char reason[ACCESS_WHY_MAX];
	struct text why = TEXT_IN(reason);
	if (!open_log(p, set)) {
		fprintf(stderr, "pgsluice: logfile \"%s\": %s\n", set->logfile, strerror(errno));
		config_free(config);
		return 1;
	}
	for (int i = 0; i < config->warnings.count; i++)
		log_warning("config", "%s", config->warnings.lines[i]);
	warn_of_identity(p->options);
	raise_descriptors(set);
	p->proxy = proxy_new(config, environ, &why);
	if (p->proxy == NULL) {
		give_up(p, reason);
		config_free(config);
		return 1;
	}
	bool is_started = start(p);
	if (is_started) {
		loop_run(p->proxy->loop);
		log_info("main", "stopped");
	}
	finish(p);
	return is_started ? 0 : 1;
}

/* Where one of them is closed, the next socket would take its number: a client would be sent our log. */
static void
hold_standard_descriptors(void)
{
	int fd;
	do {
		fd = open("/dev/null", O_RDWR);
	} while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd > STDERR_FILENO)
		close(fd);
}

int
main(int argc, char **argv)
{
	struct options o = { 0 };
	hold_standard_descriptors();
	int status = read_options(argc, argv, &o);
	if (status >= 0)
		return status;
	if (o.checks)
		return config_check(o.file, environ, stdout, stderr, access_check);
	signal(SIGHUP, SIG_IGN); /* who asks for a reload before we can has what he wants */

	struct config_errors errors = { 0 };
	struct config *config = config_load(o.file, environ, &errors);
	if (config == NULL) {
		config_print_errors(stderr, &errors);
		config_errors_free(&errors);
		return 1;
	}
	struct process p = { .options = &o, .foreground = -1 };
	char reason[300];
	struct text why = TEXT_IN(reason);
	notify_open();
	if (!passed_take(&p.passed, &why)) { /* before there is another process: they are for this one */
		fprintf(stderr, "pgsluice: %s\n", reason);
		config_free(config);
		return 1;
	}
	if ((o.is_daemon && !(daemon_is_possible(&config->settings) && daemon_begin(&p))) || !become(&config->settings, &o)) {
		config_free(config);
		return 1;
	}
	return run(&p, config);
}
