/*
 * admin/metrics.h - all figures as Prometheus text.
 *
 *   pgbouncer_*  what prometheus-community/pgbouncer_exporter 0.12 makes of PgBouncer's tables: the same names and labels,
 *                so that its dashboards and alerts work without an exporter
 *   pgsluice_*   what only we have: clusters, members, the process
 *   process_*    as Prometheus' client libraries name them
 *
 * Source: Prometheus text format 0.0.4.
 */
#ifndef ADMIN_METRICS_H
#define ADMIN_METRICS_H

#include "base/buf.h"

struct proxy;

#define METRICS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

void metrics_write(struct proxy *x, struct buf *out);

#endif
