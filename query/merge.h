/* SPDX-License-Identifier: Apache-2.0 */
/*
 * query/merge.h - what the store gives is added up on a skeleton of names.  Private to query/.
 */
#ifndef QUERY_MERGE_H
#define QUERY_MERGE_H

#include "query/cache.h"
#include "query/series.h"

/* Add what one set of series holds to the sums. A reached deadline marks the facts partial. */
MUST_CHECK int query_merge_set(const struct query *query, const struct query_series_set *set,
			       struct skeleton *skeleton, struct skeleton_sums *sums,
			       struct query_facts *facts, struct err *err);

/* Where in the skeleton the stack of each record's node is, by node; borrowed until the next
 * call. */
MUST_CHECK int query_map_records(const struct query *query, const struct storage_records *records,
				 struct skeleton *skeleton, const struct skeleton_map **ret_map);

/* The places of all nodes of a segment's tables, as far as they are known, or can be. */
MUST_CHECK int query_map_tables(const struct query *query, const struct storage_segment *tables,
				struct skeleton *skeleton, const struct skeleton_map **ret_map);

/* All that the query selects, before filters and shape, and its facts.  Returns as query_merge;
 * with -ENOENT sums and facts are whole. */
MUST_CHECK int query_merge_sums(const struct query *query, struct skeleton *skeleton,
				struct skeleton_sums *sums, struct query_facts *facts,
				struct err *err);

/* The same without what a filter drops, unless query_is_reshaped: then a tree has to be. */
MUST_CHECK int query_merge_leaves(const struct query *query, struct skeleton *skeleton,
				  struct skeleton_sums *sums, struct query_facts *facts,
				  struct err *err);
/* The same, settled. */
MUST_CHECK int query_merge_settled(const struct query *query, struct skeleton *skeleton,
				   struct skeleton_sums *sums, struct query_facts *facts,
				   struct err *err);

/* Say why, where nobody has: memory, or a tree beyond QUERY_TREE_NODES_MAX. Returns rc. */
int query_failed(int rc, struct err *err);

#endif
