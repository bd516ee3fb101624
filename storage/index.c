/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/index.h"

#include <errno.h>

void index_release(struct index *index)
{
	free(index->slots);
	*index = (struct index){0};
}

static struct index_slot *slot_of(const struct index *index, struct hash128 key)
{
	for (size_t i = (size_t)hash_of_identity(key);; i++) {
		struct index_slot *slot = &index->slots[i & (index->slots_count - 1)];

		if (slot->value == INDEX_NONE || hash128_equal(slot->key, key))
			return slot;
	}
}

uint32_t index_find(const struct index *index, struct hash128 key)
{
	return index->slots_count ? slot_of(index, key)->value : INDEX_NONE;
}

static int grow(struct index *index)
{
	struct index bigger = {.slots_count = index->slots_count ? index->slots_count * 2 : 64};

	bigger.slots = malloc(bigger.slots_count * sizeof(*bigger.slots));
	if (!bigger.slots)
		return -ENOMEM;
	for (size_t i = 0; i < bigger.slots_count; i++)
		bigger.slots[i].value = INDEX_NONE;
	for (size_t i = 0; i < index->slots_count; i++)
		if (index->slots[i].value != INDEX_NONE)
			*slot_of(&bigger, index->slots[i].key) = index->slots[i];
	bigger.count = index->count;
	free(index->slots);
	*index = bigger;
	return 0;
}

int index_put(struct index *index, struct hash128 key, uint32_t value)
{
	int rc = (index->count + 1) * 3 > index->slots_count * 2 ? grow(index) : 0;

	if (rc)
		return rc;
	struct index_slot *slot = slot_of(index, key);

	index->count += slot->value == INDEX_NONE;
	*slot = (struct index_slot){key, value};
	return 0;
}
