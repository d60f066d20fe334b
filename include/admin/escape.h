/*
 * admin/escape.h - names that anybody may have chosen, on their way into a page or a metric. Pure.
 *
 * Bytes that are not UTF-8, and control characters, become '?': one strange name must not make a whole page unreadable.
 * Source: HTML Living Standard 13.1.4; Prometheus text format 0.0.4; Unicode 15, table 3-7.
 */
#ifndef ADMIN_ESCAPE_H
#define ADMIN_ESCAPE_H

#include "base/buf.h"
#include "base/view.h"

void escape_html(struct buf *out, struct view text);  /* in elements and in quoted attributes */
void escape_label(struct buf *out, struct view text); /* between the quotes of a label value */

#endif
