/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tests/fuzz/refuse.h - the same input again, with one allocation refused.
 *
 * For targets that are linked with REFUSE (tests/fuzz/CMakeLists.txt); included once in each.
 * Which allocation it is follows from the input, so that a finding can be repeated.
 */
#ifndef TESTS_FUZZ_REFUSE_H
#define TESTS_FUZZ_REFUSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/support/refused_malloc.h"

static unsigned long refuse_left;             /* 0: none is refused */
__attribute__((unused)) static bool refusing; /* one was to be refused in this run */

/* A number from 1 to `most` that the input draws. */
static inline unsigned long refuse_draw(const uint8_t *bytes, size_t len, unsigned long most)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < len; i++)
		hash = (hash ^ bytes[i]) * UINT64_C(0x100000001b3);
	return 1 + (unsigned long)((hash >> 32) % most);
}

static bool malloc_is_refused(void)
{
	return refuse_left && --refuse_left == 0;
}

#endif
