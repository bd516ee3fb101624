/* SPDX-License-Identifier: Apache-2.0 */
#include "base/intern.h"

#include <errno.h>
#include <string.h>

#include "base/hash.h"

int intern_init(struct intern *intern, size_t max_bytes)
{
	uint32_t id;

	*intern = (struct intern){ 0 };
	arena_init(&intern->arena, max_bytes);
	intern->slots_count = 64;
	intern->slots = calloc(intern->slots_count, sizeof(*intern->slots));
	if (!intern->slots)
		return -ENOMEM;
	int rc = intern_put(intern, "", 0, &id);

	if (rc < 0)
		intern_release(intern);
	return rc;
}

void intern_release(struct intern *intern)
{
	arena_release(&intern->arena);
	free(intern->strings);
	free(intern->slots);
	free(intern->hashes);
	*intern = (struct intern){ 0 };
}

/* The slot that holds the string, or the free one where it belongs. */
static size_t slot_of(const struct intern *intern, uint64_t hash, const char *bytes, size_t len)
{
	size_t slot = hash & (intern->slots_count - 1);

	for (uint32_t at; (at = intern->slots[slot]); slot = (slot + 1) & (intern->slots_count - 1)) {
		const struct str *s = &intern->strings[at - 1];

		if (intern->hashes[at - 1] == hash && s->len == len && !memcmp(s->ptr, bytes, len))
			break;
	}
	return slot;
}

static int rehash(struct intern *intern)
{
	size_t count = intern->slots_count * 2;
	uint32_t *slots = calloc(count, sizeof(*slots));

	if (!slots)
		return -ENOMEM;
	for (size_t i = 0; i < intern->count; i++) {
		size_t slot = intern->hashes[i] & (count - 1);

		while (slots[slot])
			slot = (slot + 1) & (count - 1);
		slots[slot] = (uint32_t)i + 1;
	}
	free(intern->slots);
	intern->slots = slots;
	intern->slots_count = count;
	return 0;
}

int64_t intern_find(const struct intern *intern, const char *bytes, size_t len)
{
	uint32_t at = intern->slots[slot_of(intern, hash_keyed(bytes, len), bytes, len)];

	return (int64_t)at - 1;
}

int intern_put(struct intern *intern, const char *bytes, size_t len, uint32_t *ret_id)
{
	if (!len)
		bytes = ""; /* an empty run may stand nowhere */
	uint64_t hash = hash_keyed(bytes, len);
	size_t slot = slot_of(intern, hash, bytes, len);

	if (intern->slots[slot]) {
		*ret_id = intern->slots[slot] - 1;
		return 0;
	}
	if (intern->count >= UINT32_MAX - 1)
		return -E2BIG;
	int rc = array_grow(&intern->strings, sizeof(*intern->strings), &intern->capacity,
			    intern->count + 1);

	if (!rc)
		rc = array_grow(&intern->hashes, sizeof(*intern->hashes), &intern->hashes_capacity,
				intern->count + 1);
	if (rc < 0)
		return rc;
	if (intern->arena.used + len + 16 > intern->arena.max)
		return -E2BIG;
	char *copy = arena_copy(&intern->arena, bytes, len);

	if (!copy)
		return -ENOMEM;
	intern->strings[intern->count] = (struct str){ copy, len };
	intern->hashes[intern->count] = hash;
	intern->slots[slot] = (uint32_t)++intern->count;
	*ret_id = (uint32_t)intern->count - 1;
	return intern->count * 4 > intern->slots_count * 3 ? rehash(intern) : 0;
}

struct str intern_get(const struct intern *intern, uint32_t id)
{
	return id < intern->count ? intern->strings[id] : STR("");
}
