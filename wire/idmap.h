/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire/idmap.h - the ids of a message's table -> their places in it.  Private to wire/.
 *
 * Producers count ids up from 1, which a plain table answers with one load; ids that are spread
 * further than a few times their number go through a hash map with a secret.
 */
#ifndef WIRE_IDMAP_H
#define WIRE_IDMAP_H

#include <stdbool.h>

#include "base/hash.h"

#define IDMAP_NONE UINT32_MAX

struct idmap {
	uint32_t *direct; /* by id */
	uint64_t direct_count;
	const uint64_t *ids; /* by place; borrowed */
	uint32_t *slots;     /* place, or IDMAP_NONE */
	uint64_t slots_mask;
};

/* A plain table has at least a place for every id of two bytes on the wire, if it is there at all
 * and `wide` was asked for. */
#define IDMAP_DIRECT_MIN ((size_t)1 << 14)

/* No map needs more room than this. */
#define IDMAP_SPACE_MAX(count) (4 * (count) + IDMAP_DIRECT_MIN)

/* Fill `map` using `space`, which like `ids` must live as long as it; `ret_used` is how much of it
 * was taken.  Returns the place of an id that is there twice, or -1. */
int64_t idmap_fill(struct idmap *map, const uint64_t *ids, size_t count, uint32_t *space, bool wide,
		   size_t *ret_used);

uint32_t idmap_find_hashed(const struct idmap *map, uint64_t id);

/* The place of `id`, or IDMAP_NONE. */
static inline uint32_t idmap_find(const struct idmap *map, uint64_t id)
{
	if (__builtin_expect(id < map->direct_count, 1))
		return map->direct[id];
	return map->slots ? idmap_find_hashed(map, id) : IDMAP_NONE;
}

#endif
