/* base/fault.c - names for faults. */
#include "base/fault.h"

const char *
fault_by_name(enum fault_by by)
{
	static const char *const names[] = {
		[FAULT_BY_NOBODY] = "nobody", [FAULT_BY_CLIENT] = "client", [FAULT_BY_SERVER] = "server",
		[FAULT_BY_PROXY] = "proxy",   [FAULT_BY_ADMIN] = "admin",
	};
	return names[by];
}
