/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tests/unit/storage/numbered.h - profiles 1, 2, 3, ... of one process, and how to see that a store
 * has those up to its own cursor, each exactly once.
 */
#ifndef TESTS_UNIT_STORAGE_NUMBERED_H
#define TESTS_UNIT_STORAGE_NUMBERED_H

#include "tests/support/store.h"

/* `step_ns` apart; the value of each is its number, and so is its cursor. */
struct profile *numbered(uint64_t n, int64_t step_ns);

/* Fails unless the store is whole; `acked` must be there. Returns its cursor. */
uint64_t numbered_check(struct fixture *f, uint64_t acked, int64_t step_ns);

/* Fails when anything in the directory was put aside, or SQLite finds a fault in a file. */
void numbered_check_files(const char *dir);

#endif
