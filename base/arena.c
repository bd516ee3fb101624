/* SPDX-License-Identifier: Apache-2.0 */
#include "base/arena.h"

#include <string.h>

#define FIRST_BYTES ((size_t)960) /* many arenas never hold more; of malloc's small ones */
#define CHUNK_BYTES ((size_t)64 << 10)

struct arena_chunk {
	struct arena_chunk *next;
	size_t used, capacity;
	_Alignas(16) char data[];
};

void arena_init(struct arena *arena, size_t max_bytes)
{
	*arena = (struct arena){.max = max_bytes};
}

static void chunks_free(struct arena_chunk *chunk)
{
	struct arena_chunk *next;

	for (; chunk; chunk = next) {
		next = chunk->next;
		free(chunk);
	}
}

void arena_release(struct arena *arena)
{
	chunks_free(arena->chunks);
	*arena = (struct arena){0};
}

void arena_clear(struct arena *arena)
{
	struct arena_chunk *kept = arena->chunks;

	arena->used = 0;
	if (!kept)
		return;
	chunks_free(TAKE(kept->next));
	kept->used = 0;
	if (kept->capacity > CHUNK_BYTES) {
		free(kept);
		arena->chunks = NULL;
	}
}

static struct arena_chunk *chunk_add(struct arena *arena, size_t bytes)
{
	size_t usual = MIN(MAX(arena->used, FIRST_BYTES), CHUNK_BYTES); /* doubles, up to a point */
	size_t capacity = MAX(bytes, usual);
	struct arena_chunk *chunk = malloc(sizeof(*chunk) + capacity);

	if (!chunk)
		return NULL;
	chunk->used = 0;
	chunk->capacity = capacity;
	/* A chunk made for one large item must not hide the room left in the current one. */
	if (bytes > usual / 2 && arena->chunks) {
		chunk->next = arena->chunks->next;
		arena->chunks->next = chunk;
	} else {
		chunk->next = arena->chunks;
		arena->chunks = chunk;
	}
	return chunk;
}

void *arena_alloc(struct arena *arena, size_t bytes)
{
	if (bytes > SIZE_MAX - 15)
		return NULL;
	bytes = (bytes + 15) & ~(size_t)15;
	if (bytes > arena->max || arena->used > arena->max - bytes)
		return NULL;
	struct arena_chunk *chunk = arena->chunks;

	if (!chunk || chunk->capacity - chunk->used < bytes)
		chunk = chunk_add(arena, bytes);
	if (!chunk)
		return NULL;
	void *p = chunk->data + chunk->used;

	chunk->used += bytes;
	arena->used += bytes;
	return p;
}

void *arena_zalloc(struct arena *arena, size_t bytes)
{
	void *p = arena_alloc(arena, bytes);

	return p ? memset(p, 0, bytes) : NULL;
}

char *arena_copy(struct arena *arena, const char *bytes, size_t len)
{
	if (len == SIZE_MAX)
		return NULL;
	char *copy = arena_alloc(arena, len + 1);

	if (!copy)
		return NULL;
	if (len)
		memcpy(copy, bytes, len);
	copy[len] = '\0';
	return copy;
}
