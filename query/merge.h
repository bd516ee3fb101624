/* SPDX-License-Identifier: Apache-2.0 */
/*
 * query/merge.h - segments of the store become one tree of names.  Private to query/.
 */
#ifndef QUERY_MERGE_H
#define QUERY_MERGE_H

#include "query/series.h"

/* Add what one set of series holds to the tree's selves. A reached deadline marks it partial. */
MUST_CHECK int query_merge_set(const struct query *query, const struct query_series_set *set,
			       struct query_tree *tree, struct err *err);

/* Where in the tree the stack of each record's node is, by node; the caller's to free. */
MUST_CHECK int query_map_records(const struct query *query, const struct storage_records *records,
				 struct query_tree *tree, uint32_t **ret_map);

/* All that the query selects, before filters and shape; selves alone. Returns as query_merge. */
MUST_CHECK int query_merge_raw(const struct query *query, struct query_tree *tree, struct err *err);

/* Say why, where nobody has: memory, or a tree beyond QUERY_TREE_NODES_MAX. Returns rc. */
int query_failed(int rc, struct err *err);

#endif
