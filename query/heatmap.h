/* SPDX-License-Identifier: Apache-2.0 */
/*
 * query/heatmap.h - how many profiles, or spans, held how much, over time: rows of values, columns
 * of time.
 *
 * Made of records, so as far back as they are kept.  On the thread that owns the reader.
 */
#ifndef QUERY_HEATMAP_H
#define QUERY_HEATMAP_H

#include "query/groups.h"

#define QUERY_HEAT_ROWS 20

/* One profile (what a process was charged with in STORAGE_L1_WINDOW_NS, or an upload) or one span.
 */
struct query_heat_point {
	int64_t time_ns; /* of its first record */
	int64_t value;
	uint64_t span; /* 0: none */
	uint32_t group, step, row;
};

struct query_heatmap {
	struct query_heat_point *points; /* by group, step, row, falling value */
	size_t count;
	struct str *values; /* labels_count for each group */
	size_t labels_count, groups_count;
	double row_min[QUERY_HEAT_ROWS]; /* evenly spaced from the least value to the largest */
	struct query_facts facts;
	struct arena arena;
};

/* Returns as query_group_totals; -E2BIG for more than four million points. */
MUST_CHECK int query_heatmap(const struct query *query, bool of_spans, int64_t step_ns,
			     const struct str *labels, size_t labels_count,
			     struct query_heatmap *ret_heatmap, struct err *err);
void query_heatmap_release(struct query_heatmap *heatmap);

#endif
