/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/heap.h - the table of sampled blocks that were not freed, in the memory of ring.h.
 *
 * Private to client/.  Hides keys, chains of frames and what is done when the table fills up.
 * Lock-free and async-signal-safe: nobody waits, and a free of a block always takes it out.  Any
 * thread.
 */
#ifndef CLIENT_HEAP_H
#define CLIENT_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/ring.h"

/* A sampled block.  It was taken with the chance 1 - exp(-size / mean_bytes); size is above 0. */
struct heap_block {
	uint64_t address, size, mean_bytes;
	int64_t time_ns;
	uint32_t tid;
	uint64_t span_id, root_span_id;
	const uint64_t *frames;
	uint16_t frames_count;
};

/*
 * In front of the table: a byte for each hash of an address, not 0 when the table may have such a
 * one. It counts up to HEAP_FILTER_STICKY, where it stays.
 */
#define HEAP_FILTER_BITS 16
#define HEAP_FILTER_STICKY 255
extern uint8_t heap_filter[1u << HEAP_FILTER_BITS];

static inline uint8_t *heap_filter_at(uint64_t address)
{
	/* Fibonacci hashing: large blocks differ in the upper bits of their page number alone. */
	return &heap_filter[address * UINT64_C(0x9e3779b97f4a7c15) >> (64 - HEAP_FILTER_BITS)];
}

/* Lay an empty table out in `bytes` of zeroed memory, and empty the filter.  Nobody else uses it
 * yet. Returns false when there is not enough room. */
bool heap_format(struct ring_heap *heap, size_t bytes);

enum heap_put {
	HEAP_PUT,     /* it is in the table */
	HEAP_THINNED, /* others stand for it: the table samples at a larger mean than the caller */
	HEAP_FULL     /* no room, which is counted */
};

/*
 * Add a block, with the weight that keeps sums unbiased.  `draws` is a state of draw.h.  An older
 * block with this address must have been freed behind our back: it is taken out and counted.
 *
 * When the table is nearly full its mean is doubled and, a few with each later call, the entries
 * that came in with a smaller mean r are kept with the chance p(size, mean) / p(size, r).
 */
enum heap_put heap_put(struct ring_heap *heap, const struct heap_block *block, uint64_t *draws);

/* A block is about to be freed.  Returns whether it was in the table. */
bool heap_remove(struct ring_heap *heap, uint64_t address);

/* A block is about to be moved, which may fail: hide it, and then bring it back or take it out.
 * Returns the place, or UINT32_MAX when it is not in the table. */
uint32_t heap_hide(struct ring_heap *heap, uint64_t address);
void heap_settle(struct ring_heap *heap, uint32_t place, uint64_t address, bool moved);

/* 1 - exp(-size / mean), to 1e-12 of itself. */
double heap_chance(uint64_t size, uint64_t mean);

#endif
