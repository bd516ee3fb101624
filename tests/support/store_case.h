/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tests/support/store_case.h - for a file of tests of the sqlite backend: each case has a fresh
 * store, `f`.
 */
#ifndef TESTS_SUPPORT_STORE_CASE_H
#define TESTS_SUPPORT_STORE_CASE_H

#include "tests/cmocka.h"

#include <stdio.h>

#include "tests/support/store.h"

static struct fixture f;

static inline int setup(void **state)
{
	(void)state;
	fixture_init(&f, &storage_sqlite);
	return 0;
}

static inline int teardown(void **state)
{
	(void)state;
	fixture_release(&f);
	return 0;
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

/* Of a file of the store's, until the next call. */
static inline const char *path_of(const char *name)
{
	static char path[256];

	(void)snprintf(path, sizeof(path), "%s/%s", f.dir, name);
	return path;
}

#endif
