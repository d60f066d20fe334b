/*
 * admin/http.h - HTTP for machines and people: health checks, metrics, a status page.
 *
 *   GET /health/liveness   200 while the loop runs
 *   GET /health/readiness  200 when clients can be served: admin/health.h
 *   GET /health/startup    200 once every cluster was judged
 *   GET /metrics           Prometheus text: admin/metrics.h
 *   GET /                  the status page: admin/page.h
 *
 * Answers one request per connection, in clear, to whoever can connect. Requests are small and have a time limit; there is
 * a limit to how many are served at once.
 */
#ifndef ADMIN_HTTP_H
#define ADMIN_HTTP_H

#include "base/text.h"

struct proxy;
struct http;

/* Serves these listening sockets, which become its own; without any (count 0), listens on http_port of all of http_addr.
 * NULL: *why says what failed. */
struct http *http_open(struct proxy *x, const int *sockets, int count, struct text *why);
void http_close(struct http *h); /* before proxy_free(); NULL is fine */

#endif
