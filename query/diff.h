/* SPDX-License-Identifier: Apache-2.0 */
/*
 * query/diff.h - two selections side by side: one tree, or one table, with both values.
 *
 * Sides join by names: function and, by line, line.  File, library and first line may change
 * between two versions; the later key's are shown.
 *
 * Errors.  A value v that n samples stand behind is n times their mean weight, and n is a Poisson
 * count: its standard error is |v| / sqrt(n).  A node's share p = v / V of a total that N samples
 * stand behind has sqrt(p (1 - p) / N).  A difference has the root of the sum of both sides'
 * squares.  A side without samples of a node has no error of its own: 9 samples against none are 9
 * +- 3.  Totals that a client counts exactly are attributed by samples, and the errors are of that.
 */
#ifndef QUERY_DIFF_H
#define QUERY_DIFF_H

#include "query/query.h"

/* Standard error of a value that `samples` stand behind. */
double query_value_se(int64_t value, uint64_t samples);
/* Of the share value / total; `samples` stand behind the total. */
double query_share_se(int64_t value, int64_t total, uint64_t samples);

/* What a delta says: new - base. */
enum query_normal {
	QUERY_NORMAL_SHARE, /* points: per cent of each side's own total */
	QUERY_NORMAL_TIME,  /* unit per second of each side's range */
	QUERY_NORMAL_NONE   /* unit */
};

struct query_side_values {
	int64_t self, total;
	uint64_t samples, samples_total;
};

struct query_diff {
	struct query_tree tree;               /* values are the new side's; facts too */
	struct query_side_values *base, *now; /* by node of the tree */
	int64_t base_total;
	struct query_facts base_facts;
	struct query_range base_range;
	enum query_normal normal;
};

struct query_delta {
	double value, se;
};

/*
 * Merge both sides.  The base has its own range, selector and context; type, granularity, filter
 * and shape are those of `now`.  Returns as query_merge; after -ENOENT, when neither side has a
 * series, the diff is empty, but whole, and is to be released.
 */
MUST_CHECK int query_diff(const struct query *base, const struct query *now,
			  enum query_normal normal, struct query_diff *ret_diff, struct err *err);
void query_diff_release(struct query_diff *diff);

/* New - base of a pair of values, by the diff's norm. */
struct query_delta query_diff_delta(const struct query_diff *diff, int64_t now,
				    uint64_t now_samples, int64_t base, uint64_t base_samples);

struct query_diff_row {
	const char *name, *file, *library; /* in the table's arena */
	uint32_t line;
	struct query_side_values now, base;
	struct query_delta self, total;
};

struct query_diff_table {
	struct query_diff_row *rows; /* by falling size of self's delta, then total's, then name */
	size_t count;
	struct arena arena;
};

/* Rows by key of the tree; recursion counts once in a row's total. */
MUST_CHECK int query_diff_rows(const struct query_diff *diff, struct query_diff_table *ret_table);
void query_diff_table_release(struct query_diff_table *table);

/* The diff as it is shown: preorder, the nodes with the largest sums of both sides (0: all). */
struct query_diff_view {
	const struct query_diff *diff;
	struct query_view view; /* order, depth, hidden_nodes; its values are both sides' sums */
	struct query_tree sums; /* of view: the view must not move */
	int64_t *hidden_now, *hidden_base; /* what order[i]'s hidden children held */
};

MUST_CHECK int query_diff_view_init(struct query_diff_view *view, const struct query_diff *diff,
				    size_t max_nodes);
void query_diff_view_release(struct query_diff_view *view);

/* An output format: query/diff_<name>.c exports `const struct query_diff_format diff_<name>`, and
 * has a line in query/diffs.def. */
struct query_diff_format {
	const char *name, *content_type;
	bool is_page; /* a document with a script, to be served in a sandbox */
	int (*write)(const struct query_diff_view *view, struct buf *out);
};

const struct query_diff_format *query_diff_format_find(struct str name);
const struct query_diff_format *query_diff_format_at(size_t i);

/* hearth.diff_top/1; `limit` 0: all. */
MUST_CHECK int query_diff_table_json(const struct query_diff *diff,
				     const struct query_diff_table *table, size_t limit,
				     struct buf *out);

#endif
