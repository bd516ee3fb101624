/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base/arena.h - memory that is freed together: one per request, one per batch.
 *
 * Bounded: past `max` bytes every allocation returns NULL, so what a hostile body can make us
 * hold is known before it is read.  Not thread-safe; an arena belongs to one owner.
 */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include "base/util.h"

struct arena_chunk;

struct arena {
	struct arena_chunk *chunks; /* newest first */
	size_t used, max;           /* bytes handed out, and the most that may be */
};

void arena_init(struct arena *arena, size_t max_bytes);
void arena_release(struct arena *arena);
void arena_clear(struct arena *arena); /* empty again; one chunk is kept */

/* 16-byte aligned, not zeroed; NULL without memory or past the maximum. */
void *arena_alloc(struct arena *arena, size_t bytes);
void *arena_zalloc(struct arena *arena, size_t bytes);

/* A NUL-terminated copy of `len` bytes. */
char *arena_copy(struct arena *arena, const char *bytes, size_t len);

#endif
