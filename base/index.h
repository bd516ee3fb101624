/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base/index.h - from a 128-bit identity to a small number.
 *
 * Keys stand apart from the slots (base/slots.h), so that a table that has them anyway lends them
 * ("among").  Identities that somebody chose cannot pile up, for places come from a secret.  One
 * thread.
 */
#ifndef BASE_INDEX_H
#define BASE_INDEX_H

#include "base/hash.h"
#include "base/slots.h"

#define INDEX_NONE UINT32_MAX

struct index {
	struct slots slots;
	uint64_t secret[2];
	/* Of an index that has its keys itself. */
	struct hash128 *keys;
	uint32_t *values;
	size_t keys_capacity, values_capacity;
};

void index_release(struct index *index);
uint32_t index_find(const struct index *index, struct hash128 key); /* INDEX_NONE: not there */
/* A key that is there gets the new value. Returns 0 or -ENOMEM. */
MUST_CHECK int index_put(struct index *index, struct hash128 key, uint32_t value);

/* Add a key that is known not to be there. Returns 0 or -ENOMEM. */
MUST_CHECK int index_add(struct index *index, struct hash128 key, uint32_t value);
/* Room for `more` keys. Returns 0 or -ENOMEM. */
MUST_CHECK int index_reserve(struct index *index, size_t more);

/* The number of `key` among `keys`, or INDEX_NONE. */
uint32_t index_find_among(const struct index *index, const struct hash128 *keys,
			  struct hash128 key);
/* Add key `number`, which is known not to be there. Returns 0 or -ENOMEM. */
MUST_CHECK int index_add_among(struct index *index, struct hash128 key, uint32_t number);

#endif
