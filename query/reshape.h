/* SPDX-License-Identifier: Apache-2.0 */
/*
 * query/reshape.h - from the merged tree to the one that is shown, step by step.  Private to
 * query/.
 *
 * A step sees structure alone: it decides for each node that holds samples where they go, or that
 * they are dropped.  Steps compose to one map from merged nodes to shown ones, so that values are
 * moved once, as many columns as there are (a diff has two sides, a timeline one for each step).
 */
#ifndef QUERY_RESHAPE_H
#define QUERY_RESHAPE_H

#include "query/query.h"

#define RESHAPE_DROPPED UINT32_MAX

struct reshape_step {
	const struct query *query;
	struct query_tree *tree; /* keys of both; nodes are the new ones, the root alone at first */
	const struct query_tree_node *from; /* the nodes before */
	size_t count;
	const bool *live; /* whether from[i] holds samples */
	uint32_t *map;    /* to fill: where from[i]'s samples go, RESHAPE_DROPPED unless set */
	size_t steps;     /* of work, for the deadline */
	/* by key: its file, library and line, where they are not its identity */
	struct query_key *shown;
	size_t shown_count;
};

/* Whether anything is to be done to what was merged. */
bool reshape_is_needed(const struct query *query);
/* Whether that takes a tree: not where samples are only kept or dropped by their stacks. */
bool query_is_reshaped(const struct query *query);

/* The granularity to merge at, so that filters see names. */
enum query_granularity reshape_merge_granularity(const struct query *query);

/*
 * Make the tree's nodes those that are shown.  `live` says which nodes hold samples, NULL: those
 * with a self or samples.  Values move; what is dropped is counted in the facts.  The map, by old
 * node, is the caller's when ret_map is not NULL.  Returns -ETIME some seconds after the question's
 * deadline: a shape that is half made means nothing.
 */
MUST_CHECK int reshape_tree(const struct query *query, struct query_tree *tree, const bool *live,
			    uint32_t **ret_map);

/* The node of the new tree, counted as work: -ETIME some seconds after the question's deadline. */
MUST_CHECK int reshape_child(struct reshape_step *step, uint32_t parent, uint32_t key,
			     uint32_t *ret_node);

/* Mark what stands above a marked node; parents are numbered below children. */
void reshape_mark_ancestors(const struct reshape_step *step, bool *marked);

/* One key reduced to what a coarser granularity compares. */
MUST_CHECK int query_key_reduce(struct query_tree *tree, enum query_granularity granularity,
				struct query_key *key);

/* The step of query/filter.c. */
MUST_CHECK int query_filter_step(const struct query_filter *filter, struct reshape_step *step);
bool query_filter_has_names(const struct query_filter *filter);
/* Whether it has names, and leaves stacks as they are: focus and ignore alone. */
bool query_filter_keeps_stacks(const struct query_filter *filter);
/* Which nodes' samples such a filter keeps, by node; the caller's. */
struct skeleton;
MUST_CHECK int query_filter_nodes(const struct query_filter *filter,
				  const struct skeleton *skeleton, bool **ret_passes);

/* A function's name at a level, appended. */
struct buf;
void query_name_shorten(struct str name, enum query_names_level level, struct buf *out);

#endif
