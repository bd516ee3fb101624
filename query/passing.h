/* SPDX-License-Identifier: Apache-2.0 */
/*
 * query/passing.h - totals of what passes a filter and a shape.  Private to query/.
 *
 * The tree of the whole range is merged and shaped once; which of its nodes pass is then known, and
 * parts of the range, or some of its series, are added up without shaping anything again.
 */
#ifndef QUERY_PASSING_H
#define QUERY_PASSING_H

#include "query/merge.h"

struct passing {
	const struct query *query;
	struct skeleton *skeleton;
	struct skeleton_sums sums;
	bool *passes; /* by node of the skeleton; what came later does not */
	size_t count;
};

/* Whether a plain total of the store would be wrong. */
bool passing_is_needed(const struct query *query);

/* Facts of the answer but its samples and removals.  `query` outlives it. Returns as
 * query_merge_sums. */
MUST_CHECK int passing_init(struct passing *passing, const struct query *query,
			    struct query_facts *facts, struct err *err);
void passing_release(struct passing *passing);

bool passing_node(const struct passing *passing, uint32_t node);

/*
 * The timeline of what passes of a set, as storage_timeline's, in one scan.  For what stacks alone
 * decide: no label restricts.  What does not pass is counted; samples are the callback's to count.
 */
MUST_CHECK int passing_timeline(struct passing *passing, const struct storage_scan *scan,
				int64_t step_ns, struct query_facts *facts, storage_total_fn fn,
				void *arg, struct err *err);

/* The sum of what passes of a set in the query's range (the whole or a part).  What does not is
 * counted. */
MUST_CHECK int passing_sum(struct passing *passing, const struct query *query,
			   const struct query_series_set *set, struct query_facts *facts,
			   int64_t *ret_sum, uint64_t *ret_samples, struct err *err);

/* Whether no series before has the group of the one at `at`. */
bool passing_is_first(const struct query_series_set *set, size_t at);

/* The series of a set with this group; borrow nothing but the texts. */
MUST_CHECK int passing_group(const struct query_series_set *set, const char *group,
			     struct query_series_set *ret_set);

#endif
