/* SPDX-License-Identifier: Apache-2.0 */
/*
 * storage/totals.h - sums by (series, step), and the last snapshot of gauges.  Private to storage/.
 *
 * A snapshot of a gauge is the records of one (series, process instance) that bear the same time.
 * An instance counts in a step with its latest snapshot there, and with nothing when it ended in
 * that step.  Adding is commutative, so levels and files may be read in any order.  A scan asks the
 * same with one step over its whole range.  One thread.
 */
#ifndef STORAGE_TOTALS_H
#define STORAGE_TOTALS_H

#include "storage/backend.h"

#define TOTALS_CELLS_MAX ((size_t)1 << 22) /* series x steps: 64 MB */

struct totals_snapshot {
	struct {
		uint8_t runtime_id[16];
		uint64_t series;
		uint64_t step;
	} key;
	int64_t time_ns, sum;
	uint64_t count;
};

struct totals {
	int64_t from_ns, until_ns, step_ns;
	size_t series_count, steps;
	int64_t *sums; /* [series x steps] */
	uint64_t *counts;
	struct totals_snapshot *snapshots;
	size_t snapshots_count, snapshots_capacity;
	uint32_t *slots; /* place + 1 in snapshots; 0 is free */
	size_t slots_count;
};

/* Returns 0, -E2BIG for more than TOTALS_CELLS_MAX cells, or -ENOMEM. Release it in every case. */
MUST_CHECK int totals_init(struct totals *totals, const struct storage_scan *scan, int64_t step_ns,
			   struct err *err);
void totals_release(struct totals *totals);

/* The step that holds `time_ns`, which is within the range. */
static inline size_t totals_step(const struct totals *totals, int64_t time_ns)
{
	return (size_t)((uint64_t)(time_ns - totals->from_ns) / (uint64_t)totals->step_ns);
}

/* Add to a sum column. */
void totals_add(struct totals *totals, size_t series, int64_t time_ns, int64_t value,
		uint64_t count);

/* Add a part of a gauge's snapshot. Returns 0 or -ENOMEM. */
MUST_CHECK int totals_add_gauge(struct totals *totals, size_t series, const uint8_t runtime_id[16],
				int64_t time_ns, int64_t value, uint64_t count);

/* The instance ended; ignored outside the range and for the unknown one. Returns 0 or -ENOMEM. */
MUST_CHECK int totals_end(struct totals *totals, const uint8_t runtime_id[16], int64_t time_ns);

/* Whether a gauge's record of this time belongs to the snapshot that counts. */
bool totals_is_last(const struct totals *totals, size_t series, const uint8_t runtime_id[16],
		    int64_t time_ns);

/* Give every cell with samples, by series and time. */
MUST_CHECK int totals_emit(struct totals *totals, storage_total_fn fn, void *arg);

#endif
