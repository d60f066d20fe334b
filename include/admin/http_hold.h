/* admin/http_hold.h - POST /hold and POST /release on the HTTP port; see src/admin/http_hold.c. */
#ifndef ADMIN_HTTP_HOLD_H
#define ADMIN_HTTP_HOLD_H

#include <stdbool.h>

#include "base/buf.h"

struct proxy;

bool http_hold_has(const char *path);
/* The HTTP status; text for people in *out. query and authorization may be NULL. */
int http_hold(struct proxy *x, const char *path, const char *query, const char *authorization, struct buf *out);

#endif
