/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/idmap.h"

#include <string.h>

static uint64_t ids_max(const uint64_t *ids, size_t count)
{
	uint64_t max = 0;

	for (size_t i = 0; i < count; i++)
		max = MAX(max, ids[i]);
	return max;
}

static uint64_t slots_for(size_t count)
{
	uint64_t slots = 16;

	while (slots < 2 * (uint64_t)count)
		slots *= 2;
	return slots;
}

/* The slot of `id`, or the free one where it belongs. */
static uint64_t slot_of(const struct idmap *map, uint64_t id)
{
	uint64_t slot = hash_keyed(&id, sizeof(id)) & map->slots_mask;

	while (map->slots[slot] != IDMAP_NONE && map->ids[map->slots[slot]] != id)
		slot = (slot + 1) & map->slots_mask;
	return slot;
}

uint32_t idmap_find_hashed(const struct idmap *map, uint64_t id)
{
	return map->slots[slot_of(map, id)];
}

int64_t idmap_fill(struct idmap *map, const uint64_t *ids, size_t count, uint32_t *space, bool wide,
		   size_t *ret_used)
{
	uint64_t max = ids_max(ids, count);
	bool dense = max < 4 * (uint64_t)count;

	*map = (struct idmap){.ids = ids};
	*ret_used = 0;
	if (!count)
		return -1;
	*ret_used = dense ? MAX(max + 1, wide ? IDMAP_DIRECT_MIN : 0) : slots_for(count);
	memset(space, 0xff, *ret_used * sizeof(*space)); /* IDMAP_NONE */
	if (dense) {
		map->direct = space;
		map->direct_count = *ret_used;
	} else {
		map->slots = space;
		map->slots_mask = *ret_used - 1;
	}
	for (size_t i = 0; dense && i < count; i++) {
		if (space[ids[i]] != IDMAP_NONE)
			return (int64_t)i;
		space[ids[i]] = (uint32_t)i;
	}
	for (size_t i = 0; !dense && i < count; i++) {
		uint32_t *place = &space[slot_of(map, ids[i])];

		if (*place != IDMAP_NONE)
			return (int64_t)i;
		*place = (uint32_t)i;
	}
	return -1;
}
