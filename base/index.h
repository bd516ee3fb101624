/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base/index.h - from a 128-bit identity to a small number.
 *
 * Keys stand apart from the slots (base/slots.h).  Identities that somebody chose cannot pile up,
 * for places come from a secret.  One thread.
 */
#ifndef BASE_INDEX_H
#define BASE_INDEX_H

#include "base/hash.h"
#include "base/slots.h"

#define INDEX_NONE UINT32_MAX

struct index {
	struct slots slots;
	uint64_t secret[2];
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

static inline uint32_t index_tag(const struct index *index, struct hash128 key)
{
	return slots_mix(key.lo, key.hi, index->secret);
}

static inline void index_prefetch(const struct index *index, struct hash128 key)
{
	slots_prefetch(&index->slots, index_tag(index, key));
}

/* Next, what the line names: the key. */
static inline void index_prefetch_key(const struct index *index, struct hash128 key)
{
	uint32_t tag = index_tag(index, key), number;
	size_t at = slots_first(&index->slots, tag);

	number = slots_next(&index->slots, tag, &at);
	if (number != SLOTS_NONE)
		__builtin_prefetch(&index->keys[number]);
}

#endif
