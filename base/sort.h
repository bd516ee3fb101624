/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base/sort.h - sorts numbers by their bytes, where a million of them make qsort's calls dear.
 *
 * Stable.  Bytes that are the same in all keys cost nothing.
 */
#ifndef BASE_SORT_H
#define BASE_SORT_H

#include "base/util.h"

struct sort_item {
	uint64_t key;
	uint32_t at; /* the caller's */
};

/* Ascending by key. `scratch` holds as many. */
void sort_items(struct sort_item *items, struct sort_item *scratch, size_t count);

#endif
