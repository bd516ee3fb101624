/* SPDX-License-Identifier: Apache-2.0 */
/*
 * query/groups.h - series by series, and totals over time by several labels at once.
 *
 * What the answers of other profilers' APIs are made of, whose steps begin where the range does. On
 * the thread that owns the reader.
 */
#ifndef QUERY_GROUPS_H
#define QUERY_GROUPS_H

#include "query/query.h"

#define QUERY_GROUP_LABELS_MAX 16

/* Every series of the range that the viewer may see; 0 goes on. */
MUST_CHECK int query_each_series(const struct query *query, storage_series_fn fn, void *arg,
				 struct err *err);

struct query_group {
	/* of the labels asked for; "" where a series has none */
	struct str values[QUERY_GROUP_LABELS_MAX];
	int64_t *sums; /* by step */
	uint64_t *counts;
	double total;
};

struct query_groups {
	struct query_group *groups; /* by falling total */
	size_t count, steps;
	struct query_facts facts;
	bool is_gauge; /* a step's value is what was last seen in it */
	struct arena arena;
};

/*
 * Totals of what the question's shape lets through (a filter or a context is not looked at), of
 * [from + i x step_ns, from + (i + 1) x step_ns) for each combination of values of `labels`. No
 * series is no group. Returns 0; -EINVAL for a step below 1 ms, for more than QUERY_STEPS_MAX steps
 * or QUERY_GROUP_LABELS_MAX labels; -E2BIG; -EIO; -ENOMEM.  Release after 0 only.
 */
MUST_CHECK int query_group_totals(const struct query *query, int64_t step_ns,
				  const struct str *labels, size_t labels_count,
				  struct query_groups *ret_groups, struct err *err);
void query_groups_release(struct query_groups *groups);

#endif
