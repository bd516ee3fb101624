/* SPDX-License-Identifier: Apache-2.0 */
/*
 * query/levels.h - a view as Pyroscope's flame graphs have it: rows of numbers, level by level.
 *
 * names[0] is "total"; level 0 is the root alone.  A node of one tree is four numbers: x as the gap
 * to the end of the node before it in the level, total, self, name index.  A node of two trees is
 * seven: x, total, self of the left; the same of the right; name index.  Children start where their
 * parent's self ends.  What is hidden below a node is its child "other", whose self is its total.
 * A tree of nothing has no level: Grafana breaks on a root of nothing. Source: grafana/pyroscope,
 * pkg/model/flamegraph.go, which has the only description.  Any thread.
 */
#ifndef QUERY_LEVELS_H
#define QUERY_LEVELS_H

#include "query/format.h"

struct query_level {
	int64_t *values;
	size_t count, capacity;
};

/* Two trees joined by the names of their nodes: values by node of `tree`, whose own are the sums.
 */
struct query_pair {
	struct query_tree tree;
	int64_t *self[2], *total[2];
};

struct query_levels {
	struct intern names; /* number i + 1 is names[i] */
	struct query_level *levels;
	size_t levels_count;
	int64_t total, max_self;
	int64_t ticks[2]; /* totals of the two trees */
	bool is_double;
};

/* Join two trees. Returns 0, -ENOMEM or -E2BIG; release after 0 only. */
MUST_CHECK int query_pair_init(struct query_pair *pair, const struct query_tree *left,
			       const struct query_tree *right);
void query_pair_release(struct query_pair *pair);

/* `pair`: the view is of its tree; NULL: of one tree. Returns 0, -ENOMEM or -E2BIG; release after 0
 * only. */
MUST_CHECK int query_levels_init(struct query_levels *levels, const struct query_view *view,
				 const struct query_pair *pair);
void query_levels_release(struct query_levels *levels);

/* The members "version", "flamebearer", "metadata" and, of two trees, "leftTicks" and "rightTicks".
 */
void query_levels_json(const struct query_levels *levels, const struct query_tree *tree,
		       struct json *json);

#endif
