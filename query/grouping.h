/* SPDX-License-Identifier: Apache-2.0 */
/*
 * query/grouping.h - the series of a question, in groups by the values of several labels.  Private
 * to query/.
 */
#ifndef QUERY_GROUPING_H
#define QUERY_GROUPING_H

#include "query/groups.h"

/* Series of one column, each with the group that it belongs to. */
struct grouping_set {
	struct hash128 *identities;
	uint32_t *groups;
	size_t count, capacity;
};

struct grouping {
	struct grouping_set sets[PROFILE_COLUMNS_MAX];
	struct str *values; /* labels_count for each group */
	size_t labels_count, count, capacity;
	bool is_gauge;
	const struct query *query;
	const struct str *labels;
	struct intern keys;
	struct arena arena;
};

/* Returns 0, -EINVAL for more than QUERY_GROUP_LABELS_MAX labels, or as storage_series; release
 * after 0. */
MUST_CHECK int grouping_init(struct grouping *grouping, const struct query *query,
			     const struct str *labels, size_t labels_count, struct err *err);
void grouping_release(struct grouping *grouping);

/* What the store is asked for of one column. */
struct storage_scan grouping_scan(const struct grouping *grouping, size_t column);

/* Whether a range may be cut into steps of this width: 0, or -EINVAL with the limit. */
MUST_CHECK int query_steps_check(const struct query *query, int64_t step_ns, struct err *err);

#endif
