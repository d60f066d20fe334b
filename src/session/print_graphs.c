/* session/print_graphs.c - prints src/session/states.md, for `make graphs`. */
#include <stdio.h>

#include "graphs.h"

int
main(void)
{
	struct buf out = { 0 };
	graphs_write(&out);
	fwrite(out.p, 1, out.n, stdout);
	buf_free(&out);
	return 0;
}
