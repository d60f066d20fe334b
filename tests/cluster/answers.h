/* tests/cluster/answers.h - answers of real Patronis, recorded in tests/cluster/answers/. */
#ifndef TESTS_CLUSTER_ANSWERS_H
#define TESTS_CLUSTER_ANSWERS_H

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/view.h"

/* The file's bytes, in memory of exactly their size; free() the pointer. */
static inline struct view
answer_named(const char *name)
{
	char path[1024];
	snprintf(path, sizeof(path), "%s/%s.json", ANSWERS, name);
	FILE *file = fopen(path, "rb");
	ck_assert_msg(file != NULL, "can't open %s", path);
	fseek(file, 0, SEEK_END);
	long size = ftell(file);
	rewind(file);
	ck_assert_int_gt(size, 0);
	uint8_t *p = malloc((size_t)size);
	ck_assert_ptr_nonnull(p);
	ck_assert_uint_eq(fread(p, 1, (size_t)size, file), (size_t)size);
	fclose(file);
	return view_of(p, (size_t)size);
}

static inline void
answer_free(struct view v)
{
	free((void *)(uintptr_t)v.p);
}

#endif
