/* SPDX-License-Identifier: Apache-2.0 */
#include "base/index.h"

void index_release(struct index *index)
{
	slots_release(&index->slots);
	free(index->keys);
	free(index->values);
	*index = (struct index){0};
}

static uint32_t place_of(const struct index *index, struct hash128 key)
{
	uint32_t tag = index_tag(index, key), number;
	size_t at = slots_first(&index->slots, tag);

	while ((number = slots_next(&index->slots, tag, &at)) != SLOTS_NONE)
		if (hash128_equal(index->keys[number], key))
			return number;
	return INDEX_NONE;
}

static int place_add(struct index *index, struct hash128 key, uint32_t number)
{
	if (!index->slots.count)
		hash_secret(index->secret);
	return slots_add(&index->slots, index_tag(index, key), number);
}

uint32_t index_find(const struct index *index, struct hash128 key)
{
	uint32_t at = place_of(index, key);

	return at == INDEX_NONE ? INDEX_NONE : index->values[at];
}

int index_reserve(struct index *index, size_t more)
{
	size_t count = index->slots.count + more;
	int rc = array_grow(&index->keys, sizeof(*index->keys), &index->keys_capacity, count);

	if (!rc)
		rc = array_grow(&index->values, sizeof(*index->values), &index->values_capacity,
				count);
	return rc ? rc : slots_reserve(&index->slots, more);
}

int index_put(struct index *index, struct hash128 key, uint32_t value)
{
	uint32_t at = place_of(index, key);

	if (at == INDEX_NONE)
		return index_add(index, key, value);
	index->values[at] = value;
	return 0;
}

int index_add(struct index *index, struct hash128 key, uint32_t value)
{
	size_t count = index->slots.count;
	int rc = array_grow(&index->keys, sizeof(*index->keys), &index->keys_capacity, count + 1);

	if (!rc)
		rc = array_grow(&index->values, sizeof(*index->values), &index->values_capacity,
				count + 1);
	if (!rc)
		rc = place_add(index, key, (uint32_t)count);
	if (rc)
		return rc;
	index->keys[count] = key;
	index->values[count] = value;
	return 0;
}
