/*
 * main/main.c - the program: arguments, configuration, descriptors, listeners, signals, and out again.
 *
 *   options ─► config_load ─► proxy_new ─► listeners, console, HTTP ─► loop_run ─► proxy_free
 *
 * Works as PID 1 (every signal that it should obey has a handler; it has no children), without root, on a read-only root.
 */
#include <errno.h>
#include <getopt.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <curl/curlver.h>
#include <event2/event.h>
#include <openssl/crypto.h>

#include "admin/console.h"
#include "admin/http.h"
#include "base/heap.h"
#include "base/log.h"
#include "config/check.h"
#include "config/show.h"
#include "net/listener.h"
#include "session/proxy.h"

#ifndef PGSLUICE_VERSION
#define PGSLUICE_VERSION "0.1.0"
#endif

extern char **environ;

enum { LISTENERS_MAX = 64, DESCRIPTORS_SPARE = 64, SIGNALS = 7 };

/* A listener knows its lane; both know the process. */
struct door {
	struct listener *listener;
	struct process *process;
	enum lane lane;
	bool is_unix;
};

struct process {
	struct proxy *proxy;
	const struct options *options;
	struct http *http;
	struct door doors[LISTENERS_MAX];
	unsigned door_count;
	struct loop_signal *signals[SIGNALS];
	const char *pidfile;
};

static void
print_help(void)
{
	printf("pgsluice: one endpoint in front of a PostgreSQL cluster: pools connections, follows the leader\n"
	       "\n"
	       "usage: pgsluice [options] [FILE.ini]\n"
	       "  Without FILE.ini the environment alone configures it: PGSLUICE_PATRONI=http://a:8008,http://b:8008\n"
	       "\n"
	       "  -V, --version        print the version\n"
	       "  -h, --help           print this\n"
	       "      --check-config   read the configuration, say everything that is wrong with it, and exit\n"
	       "      --help-settings  print every setting with its default and meaning\n"
	       "  -v, --verbose        log more; may be repeated\n"
	       "  -q, --quiet          no log on stderr\n"
	       "  -u, --user NAME      become this user after the ports are open\n"
	       "\n"
	       "  SIGHUP reloads, SIGTERM lets transactions end and exits, SIGINT waits for servers, SIGQUIT exits at once.\n");
}

static void
print_version(void)
{
	printf("pgsluice " PGSLUICE_VERSION "\n");
	printf("libevent %s\n%s\n", event_get_version(), OpenSSL_version(OPENSSL_VERSION));
	printf("libcurl " LIBCURL_VERSION " (of the build; loaded when there is a Patroni to ask)\n");
}

struct options {
	const char *file; /* NULL: environment alone */
	const char *user;
	int verbose;
	bool is_quiet, checks;
};

/* -1: go on; else the exit status. */
static int
read_options(int argc, char **argv, struct options *o)
{
	enum { OPTION_CHECK = 256, OPTION_SETTINGS };
	static const struct option names[] = {
		{ "version", no_argument, NULL, 'V' },
		{ "help", no_argument, NULL, 'h' },
		{ "check-config", no_argument, NULL, OPTION_CHECK },
		{ "help-settings", no_argument, NULL, OPTION_SETTINGS },
		{ "verbose", no_argument, NULL, 'v' },
		{ "quiet", no_argument, NULL, 'q' },
		{ "user", required_argument, NULL, 'u' },
		{ NULL, 0, NULL, 0 },
	};
	int letter;
	while ((letter = getopt_long(argc, argv, "Vhvqu:", names, NULL)) != -1) {
		switch (letter) {
		case 'V':
			print_version();
			return 0;
		case 'h':
			print_help();
			return 0;
		case OPTION_CHECK:
			o->checks = true;
			break;
		case OPTION_SETTINGS:
			settings_help(stdout);
			return 0;
		case 'v':
			o->verbose++;
			break;
		case 'q':
			o->is_quiet = true;
			break;
		case 'u':
			o->user = optarg;
			break;
		default:
			fprintf(stderr, "pgsluice: try --help\n");
			return 2;
		}
	}
	if (argc - optind > 1) {
		fprintf(stderr, "pgsluice: one configuration file at most; got \"%s\" and \"%s\"\n", argv[optind], argv[optind + 1]);
		return 2;
	}
	o->file = argv[optind];
	return -1;
}

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

/* ---- listeners ---- */

static void
door_on_accept(void *context, int fd, bool is_unix, bool is_last)
{
	struct door *d = context;
	proxy_accept(d->process->proxy, fd, is_unix, is_last, d->lane);
}

static struct listener_options
listener_options_of(const struct settings *set)
{
	return (struct listener_options){
		.backlog = set->listen_backlog,
		.reuse_port = set->so_reuseport,
		.defer_accept_s = set->tcp_defer_accept ? 45 : 0,
		.socket = { .keepalive = set->tcp_keepalive,
		            .keepidle_s = set->tcp_keepidle_s,
		            .keepintvl_s = set->tcp_keepintvl_s,
		            .keepcnt = set->tcp_keepcnt,
		            .user_timeout_ms = set->tcp_user_timeout_ms,
		            .buffer_bytes = (int)set->tcp_socket_buffer_bytes },
	};
}

static struct door *
new_door(struct process *p, enum lane lane)
{
	if (p->door_count == LISTENERS_MAX)
		return NULL;
	struct door *d = &p->doors[p->door_count++];
	*d = (struct door){ .process = p, .lane = lane };
	return d;
}

static bool
open_tcp(struct process *p, const char *address, int port, enum lane lane, struct text *why)
{
	const struct listener_options o = listener_options_of(&p->proxy->config->settings);
	struct door *d = new_door(p, lane);
	if (d == NULL) {
		text_addf(why, "listen_addr has too many addresses; allowed are %d", LISTENERS_MAX / 2);
		return false;
	}
	d->listener = listener_open_tcp(p->proxy->loop, address, (uint16_t)port, &o, door_on_accept, d, why);
	return d->listener != NULL;
}

/* A socket in a directory that can't be written is no reason not to serve the network. */
static void
open_unix(struct process *p, int port, enum lane lane)
{
	const struct settings *set = &p->proxy->config->settings;
	const struct listener_options o = listener_options_of(set);
	char path[300], reason[400];
	struct text why = TEXT_IN(reason);
	snprintf(path, sizeof(path), "%s/.s.PGSQL.%d", set->unix_socket_dir, port);
	struct door *d = new_door(p, lane);
	if (d == NULL)
		return;
	d->is_unix = true;
	d->listener = listener_open_unix(p->proxy->loop, path, set->unix_socket_mode, set->unix_socket_group, &o,
	                                 door_on_accept, d, &why);
	if (d->listener == NULL)
		log_warning("main", "no Unix socket: %s", reason);
}

static bool
open_doors(struct process *p, struct text *why)
{
	const struct settings *set = &p->proxy->config->settings;
	const struct {
		int port;
		enum lane lane;
	} ports[] = { { set->listen_port, LANE_WRITE }, { set->read_port, LANE_READ } };
	for (size_t i = 0; i < sizeof(ports) / sizeof(ports[0]); i++) {
		if (ports[i].port == 0)
			continue;
		const char *at = set->listen_addr;
		struct view item;
		while (config_list_next(&at, &item)) {
			char *address = heap_string_n(item.p, item.n);
			bool ok = open_tcp(p, address, ports[i].port, ports[i].lane, why);
			heap_free(address);
			if (!ok)
				return false;
		}
		if (set->unix_socket_dir[0])
			open_unix(p, ports[i].port, ports[i].lane);
	}
	for (unsigned i = 0; i < p->door_count; i++)
		if (p->doors[i].listener)
			return true;
	text_add(why, "nothing to listen on: set listen_addr or unix_socket_dir");
	return false;
}

/* Stopping: nobody else comes in. The Unix sockets stay for the console. */
static void
close_doors(void *context)
{
	struct process *p = context;
	for (unsigned i = 0; i < p->door_count; i++)
		if (!p->doors[i].is_unix) {
			listener_close(p->doors[i].listener);
			p->doors[i].listener = NULL;
		}
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

/* ---- signals ---- */

static void
reload(struct proxy *x)
{
	char reason[8192];
	struct text why = TEXT_IN(reason);
	if (proxy_reload(x, &why))
		return;
	log_error("config", "reload failed, the old configuration stays in force:");
	for (char *line = strtok(reason, "\n"); line; line = strtok(NULL, "\n"))
		log_error("config", "%s", line);
}

static void
on_signal(int number, void *context)
{
	struct process *p = context;
	struct proxy *x = p->proxy;
	log_info("main", "received %s", strsignal(number));
	bool is_stopping = x->state >= PROXY_STOPPING_SERVERS;
	switch (number) {
	case SIGHUP:
		reload(x);
		break;
	case SIGTERM:
	case SIGINT:
		if (is_stopping)
			loop_stop(x->loop);
		else
			proxy_stop(x, number == SIGTERM ? PROXY_STOPPING : PROXY_STOPPING_SERVERS);
		break;
	case SIGQUIT:
		loop_stop(x->loop);
		break;
	case SIGUSR1:
		if (x->state == PROXY_RUNNING)
			proxy_pause(x, NULL);
		break;
	case SIGUSR2:
		proxy_resume(x, NULL);
		break;
	}
}

static void
take_signals(struct process *p)
{
	static const int numbers[SIGNALS - 1] = { SIGHUP, SIGTERM, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2 };
	signal(SIGPIPE, SIG_IGN);
	for (int i = 0; i < SIGNALS - 1; i++)
		p->signals[i] = loop_on_signal(p->proxy->loop, numbers[i], on_signal, p);
}

/* ---- who we are ---- */

static bool
become(const char *name)
{
	if (name == NULL || name[0] == '\0') {
		if (geteuid() == 0)
			log_warning("main", "running as root: set user= (or -u) to an unprivileged user");
		return true;
	}
	const struct passwd *pw = getpwnam(name);
	if (pw == NULL) {
		log_fatal("main", "user \"%s\" does not exist", name);
		return false;
	}
	if (geteuid() == pw->pw_uid)
		return true;
	if (initgroups(name, pw->pw_gid) != 0 || setgid(pw->pw_gid) != 0 || setuid(pw->pw_uid) != 0) {
		log_fatal("main", "can't become user \"%s\": %s", name, strerror(errno));
		return false;
	}
	return true;
}

static bool
write_pidfile(struct process *p, const char *path)
{
	if (path[0] == '\0')
		return true;
	FILE *old = fopen(path, "r");
	int pid = 0;
	if (old) {
		if (fscanf(old, "%d", &pid) == 1 && pid > 0 && pid != (int)getpid() && kill(pid, 0) == 0) {
			log_fatal("main", "pidfile \"%s\": process %d is running already", path, pid);
			fclose(old);
			return false;
		}
		fclose(old);
	}
	FILE *f = fopen(path, "w");
	if (f == NULL) {
		log_fatal("main", "pidfile \"%s\": %s", path, strerror(errno));
		return false;
	}
	fprintf(f, "%d\n", (int)getpid());
	fclose(f);
	p->pidfile = path;
	return true;
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
