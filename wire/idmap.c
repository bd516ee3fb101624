/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/idmap.h"

static uint64_t ids_max(const uint64_t *ids, size_t count)
{
	uint64_t max = 0;

	for (size_t i = 0; i < count; i++)
		max = MAX(max, ids[i]);
	return max;
}

static bool ids_dense(const uint64_t *ids, size_t count)
{
	return count && ids_max(ids, count) < 4 * (uint64_t)count;
}

static uint64_t slots_for(size_t count)
{
	uint64_t slots = 16;

	while (slots < 2 * (uint64_t)count)
		slots *= 2;
	return slots;
}

size_t idmap_space(const uint64_t *ids, size_t count)
{
	if (!count)
		return 0;
	return ids_dense(ids, count) ? ids_max(ids, count) + 1 : slots_for(count);
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

int64_t idmap_fill(struct idmap *map, const uint64_t *ids, size_t count, uint32_t *space)
{
	size_t space_count = idmap_space(ids, count);
	bool dense = ids_dense(ids, count);

	*map = (struct idmap){ .ids = ids };
	if (!count)
		return -1;
	for (size_t i = 0; i < space_count; i++)
		space[i] = IDMAP_NONE;
	if (dense) {
		map->direct = space;
		map->direct_count = space_count;
	} else {
		map->slots = space;
		map->slots_mask = space_count - 1;
	}
	for (size_t i = 0; i < count; i++) {
		uint32_t *place = dense ? &space[ids[i]] : &space[slot_of(map, ids[i])];

		if (*place != IDMAP_NONE)
			return (int64_t)i;
		*place = (uint32_t)i;
	}
	return -1;
}
