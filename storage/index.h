/* SPDX-License-Identifier: Apache-2.0 */
/*
 * storage/index.h - from a 128-bit identity to a small number.  Private to storage/.
 *
 * Open addressing; nothing is removed.  Places come from hash_keyed, so identities that somebody
 * chose cannot pile up.  One thread.
 */
#ifndef STORAGE_INDEX_H
#define STORAGE_INDEX_H

#include "base/hash.h"

#define INDEX_NONE UINT32_MAX

struct index {
	struct index_slot {
		struct hash128 key;
		uint32_t value; /* INDEX_NONE is free */
	} * slots;
	size_t count, slots_count;
};

void index_release(struct index *index);
uint32_t index_find(const struct index *index, struct hash128 key); /* INDEX_NONE: not there */
/* A key that is there gets the new value. Returns 0 or -ENOMEM. */
MUST_CHECK int index_put(struct index *index, struct hash128 key, uint32_t value);

#endif
