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

/* Of a place's sums: how many records, their counts, and from there on their values. */
enum { RECENT_RECORDS, RECENT_COUNT, RECENT_VALUES };

/* Adding up one block: a window is the agent's ten seconds.  Places are those of codec_columns. */
struct recent_adding {
	bool on; /* false: it is not worth it, or does not fit */
	size_t width, places, windows_count, last;
	struct recent_window windows[RECENT_WINDOWS];
	int64_t *sums[RECENT_WINDOWS]; /* by place */
	size_t capacity[RECENT_WINDOWS];
};

void recent_adding_release(struct recent_adding *adding);
void recent_begin(struct recent_adding *adding, bool on, size_t width);
/* A place more. Returns 0 or -ENOMEM. */
MUST_CHECK int recent_add_place(struct recent_adding *adding);
/* The number of a time's window, which may be a new one; RECENT_WINDOWS: it is one too many. */
size_t recent_window_of(struct recent_adding *adding, int64_t time_ns);

static inline bool recent_is_in(const struct recent_window *w, int64_t time_ns)
{
	return (uint64_t)(time_ns - w->window_ns) < (uint64_t)STORAGE_L1_WINDOW_NS;
}

/* The block is complete; `nodes` by place.  Without memory it is not kept. */
void recent_end(struct recent_adding *adding, const uint32_t *nodes, int64_t id, int64_t batch,
		struct recent *to);

static inline void recent_add(struct recent_adding *a, uint32_t place, int64_t time_ns,
			      uint64_t count, const int64_t *values)
{
	size_t w = a->last;

	if (!a->on)
		return;
	if (!a->windows_count || !recent_is_in(&a->windows[w], time_ns))
		a->last = w = recent_window_of(a, time_ns);
	if (w == RECENT_WINDOWS) {
		a->on = false;
		return;
	}
	struct recent_window *window = &a->windows[w];
	int64_t *sums = a->sums[w] + place * (RECENT_VALUES + a->width);

	window->first_ns = MIN(window->first_ns, time_ns);
	window->last_ns = MAX(window->last_ns, time_ns);
	window->records++;
	window->count += !sums[RECENT_RECORDS];
	sums[RECENT_RECORDS]++;
	sums[RECENT_COUNT] = (int64_t)((uint64_t)sums[RECENT_COUNT] + count);
	for (size_t v = 0; v < a->width; v++)
		sums[RECENT_VALUES + v] = storage_add(sums[RECENT_VALUES + v], values[v]);
}

#endif
