/* SPDX-License-Identifier: Apache-2.0 */
/*
 * storage/sqlite_recent.h - what the blocks that were put last add up to, until L1 has them.
 *
 * A window is derived seconds after its records were committed, and its sums are at hand while they
 * are put: kept for so long, L0 need not be read and decoded again.  They are no more than a
 * shortcut.  What is not here - after a start, beyond the limit, gauges, a block over more than two
 * windows - is read from the file, and comes to the same.  Private to the sqlite backend.  Writer
 * thread.
 */
#ifndef STORAGE_SQLITE_RECENT_H
#define STORAGE_SQLITE_RECENT_H

#include "storage/backend.h"
#include "storage/codec.h"

#define RECENT_BYTES_MAX ((size_t)2 << 20) /* of one file; more is read again */
#define RECENT_WINDOWS 2                   /* of a block */

/* A run of the block's sums. */
struct recent_window {
	int64_t window_ns, first_ns, last_ns; /* of its records */
	uint64_t records;
	size_t count;
};

struct recent_sum {
	uint32_t node; /* of the file */
	uint64_t count;
	int64_t values[];
};

struct recent_block {
	int64_t id, batch;
	size_t bytes, width;
	size_t nodes_end; /* every node is below */
	uint32_t windows_count;
	struct recent_window windows[RECENT_WINDOWS];
	uint8_t sums[]; /* one window's behind the other's */
};

/* Blocks of one file by id. */
struct recent {
	struct recent_block **blocks;
	size_t count, capacity, bytes;
};

static inline size_t recent_stride(size_t width)
{
	return sizeof(struct recent_sum) + width * sizeof(int64_t);
}

void recent_release(struct recent *recent);
/* What a transaction put, when it has been committed; takes the blocks, and frees what there is no
 * room for. */
void recent_publish(struct recent *to, struct recent *from);
/* NULL: to be read. */
const struct recent_block *recent_find(const struct recent *recent, int64_t id);
/* L1 has batches up to this one. */
void recent_forget(struct recent *recent, int64_t batch);

static inline bool recent_is_in(const struct recent_window *w, int64_t time_ns)
{
	return (uint64_t)(time_ns - w->window_ns) < (uint64_t)STORAGE_L1_WINDOW_NS;
}

/* Sum up a block, whose columns have names and places and times from `min_ns` to `max_ns`.  Over
 * too many windows, or without memory, it is not kept. */
void recent_sum(const struct codec_columns *columns, int64_t min_ns, int64_t max_ns, int64_t id,
		int64_t batch, struct recent *to);

#endif
