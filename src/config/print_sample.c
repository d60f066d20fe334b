/* config/print_sample.c - prints etc/pgsluice.ini, for `make samples`; with an argument, the same for [pgbouncer]. */
#include "config/show.h"

int
main(int argc, char **argv)
{
	settings_sample(stdout, argc > 1);
	return 0;
}
