/* main/options.c - the command line. */
#include <getopt.h>
#include <stdio.h>

#include <ares.h>
#include <curl/curlver.h>
#include <event2/event.h>
#include <openssl/crypto.h>

#include "config/import.h"
#include "config/show.h"
#include "process.h"

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
	       "      --import FILES   print one configuration for a haproxy.cfg and a pgbouncer.ini, or one of them\n"
	       "      --help-settings  print every setting with its default and meaning\n"
	       "  -d, --daemon         go to the background as soon as clients can connect; needs pidfile, logfile or syslog\n"
	       "  -R, --reboot         take the place of the pgsluice that runs with the same pidfile, which is stopped\n"
	       "  -q, --quiet          no log on stderr\n"
	       "  -u, --user NAME      become this user before anything is opened\n"
	       "  -v, --verbose        log more; may be repeated\n"
	       "\n"
	       "  SIGHUP reloads, SIGTERM lets transactions end and exits, SIGINT waits for servers, SIGQUIT exits at once.\n");
}

static void
print_version(void)
{
	printf("pgsluice " PGSLUICE_VERSION "\n");
	printf("libevent %s\n%s\n", event_get_version(), OpenSSL_version(OPENSSL_VERSION));
	printf("c-ares %s\n", ares_version(NULL));
	printf("libcurl " LIBCURL_VERSION " (of the build; loaded when there is a Patroni to ask)\n");
}

int
read_options(int argc, char **argv, struct options *o)
{
	enum { OPTION_CHECK = 256, OPTION_SETTINGS, OPTION_IMPORT };
	static const struct option names[] = {
		{ "version", no_argument, NULL, 'V' },
		{ "help", no_argument, NULL, 'h' },
		{ "check-config", no_argument, NULL, OPTION_CHECK },
		{ "help-settings", no_argument, NULL, OPTION_SETTINGS },
		{ "import", no_argument, NULL, OPTION_IMPORT },
		{ "verbose", no_argument, NULL, 'v' },
		{ "quiet", no_argument, NULL, 'q' },
		{ "user", required_argument, NULL, 'u' },
		{ "daemon", no_argument, NULL, 'd' },
		{ "reboot", no_argument, NULL, 'R' },
		{ NULL, 0, NULL, 0 },
	};
	int letter;
	bool imports = false;
	while ((letter = getopt_long(argc, argv, "VhvqdRu:", names, NULL)) != -1) {
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
		case OPTION_IMPORT:
			imports = true;
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
		case 'd':
			o->is_daemon = true;
			break;
		case 'R':
			o->takes_place = true;
			break;
		case 'u':
			o->user = optarg;
			break;
		default:
			fprintf(stderr, "pgsluice: try --help\n");
			return 2;
		}
	}
	if (imports && (argc - optind < 1 || argc - optind > 2)) {
		fprintf(stderr, "pgsluice: --import needs a haproxy.cfg, a pgbouncer.ini, or both\n");
		return 2;
	}
	if (imports)
		return config_import(argv + optind, argc - optind, stdout, stderr);
	if (argc - optind > 1) {
		fprintf(stderr, "pgsluice: one configuration file at most; got \"%s\" and \"%s\"\n", argv[optind], argv[optind + 1]);
		return 2;
	}
	o->file = argv[optind];
	return -1;
}
