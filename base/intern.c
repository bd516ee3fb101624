/* SPDX-License-Identifier: Apache-2.0 */
#include "base/intern.h"

#include <errno.h>
#include <string.h>

#include "base/hash.h"

int intern_init(struct intern *intern, size_t max_bytes)
{
	uint32_t id;

	*intern = (struct intern){0};
	arena_init(&intern->arena, max_bytes);
	int rc = intern_put(intern, "", 0, &id);

	if (rc < 0)
		intern_release(intern);
	return rc;
}

void intern_release(struct intern *intern)
{
	arena_release(&intern->arena);
	free(intern->strings);
	slots_release(&intern->slots);
	*intern = (struct intern){0};
}

#define KEEP_ENTRIES 16384

int intern_clear(struct intern *intern)
{
	size_t max_bytes = intern->arena.max;
	uint32_t id;

	if (MAX(intern->capacity, intern->slots.capacity) > KEEP_ENTRIES) {
		intern_release(intern);
		return intern_init(intern, max_bytes);
	}
	arena_clear(&intern->arena);
	slots_clear(&intern->slots);
	intern->count = 0;
	return intern_put(intern, "", 0, &id);
}

static uint32_t find(const struct intern *intern, uint32_t tag, const char *bytes, size_t len)
{
	size_t at = slots_first(&intern->slots, tag);
	uint32_t number;

	while ((number = slots_next(&intern->slots, tag, &at)) != SLOTS_NONE) {
		const struct str *s = &intern->strings[number];

		if (s->len == len && !memcmp(s->ptr, bytes, len))
			break;
	}
	return number;
}

int64_t intern_find(const struct intern *intern, const char *bytes, size_t len)
{
	uint32_t number = find(intern, (uint32_t)hash_keyed(bytes, len), bytes, len);

	return number == SLOTS_NONE ? -1 : (int64_t)number;
}

int intern_reserve(struct intern *intern, size_t more)
{
	int rc = array_grow(&intern->strings, sizeof(*intern->strings), &intern->capacity,
			    intern->count + more);

	return rc ? rc : slots_reserve(&intern->slots, more);
}

uint32_t intern_tag(const struct intern *intern, struct str text)
{
	uint32_t tag = (uint32_t)hash_keyed(text.ptr, text.len);

	slots_prefetch(&intern->slots, tag);
	return tag;
}

void intern_prefetch(const struct intern *intern, uint32_t tag)
{
	size_t at = slots_first(&intern->slots, tag);
	uint32_t number = slots_next(&intern->slots, tag, &at);

	if (number != SLOTS_NONE)
		__builtin_prefetch(&intern->strings[number]);
}

int intern_put(struct intern *intern, const char *bytes, size_t len, uint32_t *ret_id)
{
	if (!len)
		bytes = ""; /* an empty run may stand nowhere */
	return intern_put_tagged(intern, (uint32_t)hash_keyed(bytes, len), (struct str){bytes, len},
				 ret_id);
}

int intern_put_tagged(struct intern *intern, uint32_t tag, struct str text, uint32_t *ret_id)
{
	uint32_t number = find(intern, tag, text.ptr, text.len);

	if (number != SLOTS_NONE) {
		*ret_id = number;
		return 0;
	}
	int rc = intern_append(intern, text, &number);

	if (rc)
		return rc;
	rc = slots_add(&intern->slots, tag, number);
	if (rc) {
		intern->count--;
		return rc;
	}
	*ret_id = number;
	return 0;
}

int intern_append(struct intern *intern, struct str text, uint32_t *ret_id)
{
	if (intern->count >= SLOTS_NONE - 1)
		return -E2BIG;
	int rc = array_grow(&intern->strings, sizeof(*intern->strings), &intern->capacity,
			    intern->count + 1);

	if (rc)
		return rc;
	if (intern->arena.used + text.len + 16 > intern->arena.max)
		return -E2BIG;
	char *copy = arena_copy(&intern->arena, text.ptr, text.len);

	if (!copy)
		return -ENOMEM;
	intern->strings[intern->count] = (struct str){copy, text.len};
	*ret_id = (uint32_t)intern->count++;
	return 0;
}

struct str intern_get(const struct intern *intern, uint32_t id)
{
	return id < intern->count ? intern->strings[id] : STR("");
}
