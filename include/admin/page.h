/*
 * admin/page.h - the status page: what somebody woken at night wants to know first, on one page without any other file.
 */
#ifndef ADMIN_PAGE_H
#define ADMIN_PAGE_H

#include "base/buf.h"

struct proxy;

#define PAGE_CONTENT_TYPE "text/html; charset=utf-8"

void page_write(struct proxy *x, struct buf *out);

#endif
