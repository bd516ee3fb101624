/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ingest/native_heap.h - live blocks out of a copy of a process's heap table (client/ring.h).
 *
 * Private to ingest/native*.c, and to their tests.  Pure; believes nothing that stands in the copy.
 */
#ifndef INGEST_NATIVE_HEAP_H
#define INGEST_NATIVE_HEAP_H

#include "base/base.h"
#include "client/ring.h"

/* A block that was live. Its frames stand in native_heap.frames. */
struct native_block {
	uint64_t size, mean_bytes;
	int64_t time_ns;
	uint32_t tid;
	uint16_t frames_count;
	size_t frames_at;
	uint64_t span_id, root_span_id;
};

struct native_heap {
	bool known; /* a table was read and is to be written */
	struct native_block *blocks;
	size_t blocks_count, blocks_capacity;
	uint64_t *frames;
	size_t frames_count, frames_capacity;
	uint64_t torn; /* entries that changed while they were read, or made no sense */
};

/*
 * Read the live blocks of `first`, a copy of the whole region, that are the same in `second`, a
 * later copy of as much of it as native_heap_head_bytes() says.  Each frame block is used once at
 * most, so that the work is bounded by the region's size.  Returns 0 or -ENOMEM.
 */
MUST_CHECK int native_heap_read(struct native_heap *heap, const uint8_t *first, size_t first_len,
				const uint8_t *second, size_t second_len);
void native_heap_release(struct native_heap *heap);

#endif
