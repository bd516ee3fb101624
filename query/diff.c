/* SPDX-License-Identifier: Apache-2.0 */
#include "query/diff.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "query/merge.h"
#include "query/reshape.h"

/* ---- errors ---- */

double query_value_se(int64_t value, uint64_t samples)
{
	return samples ? fabs((double)value) / sqrt((double)samples) : 0;
}

static double share_of(int64_t value, int64_t total)
{
	return total ? (double)value / (double)total : 0;
}

double query_share_se(int64_t value, int64_t total, uint64_t samples)
{
	double p = share_of(value, total);

	/* Rounding, and values below zero, may leave [0, 1] by a little. */
	return samples && p > 0 && p < 1 ? sqrt(p * (1 - p) / (double)samples) : 0;
}

static double seconds_of(const struct query_range *range)
{
	return MAX((double)(range->until_ns - range->from_ns) / (double)NS_PER_S, 1e-9);
}

static struct query_delta side_value(const struct query_diff *diff, bool is_base, int64_t value,
				     uint64_t samples)
{
	const struct query_side_values *side = is_base ? diff->base : diff->now;
	double seconds = seconds_of(is_base ? &diff->base_range : &diff->tree.range);

	switch (diff->normal) {
	case QUERY_NORMAL_SHARE:
		return (struct query_delta){
		    100 * share_of(value, side[0].total),
		    100 * query_share_se(value, side[0].total, side[0].samples_total)};
	case QUERY_NORMAL_TIME:
		return (struct query_delta){(double)value / seconds,
					    query_value_se(value, samples) / seconds};
	case QUERY_NORMAL_NONE:
		break;
	}
	return (struct query_delta){(double)value, query_value_se(value, samples)};
}

struct query_delta query_diff_delta(const struct query_diff *diff, int64_t now,
				    uint64_t now_samples, int64_t base, uint64_t base_samples)
{
	struct query_delta n = side_value(diff, false, now, now_samples);
	struct query_delta b = side_value(diff, true, base, base_samples);

	return (struct query_delta){n.value - b.value, sqrt(n.se * n.se + b.se * b.se)};
}

/* ---- building ---- */

/* One side's selves by merged node. */
struct side {
	int64_t *self;
	uint64_t *samples;
	size_t count;
};

static void side_release(struct side *side)
{
	free(side->self);
	free(side->samples);
}

/* Selves by node of the tree. */
static int side_read(const struct skeleton_leaves *leaves, const struct skeleton_numbers *numbers,
		     struct side *ret_side)
{
	struct side side = {calloc(numbers->count, sizeof(*side.self)),
			    calloc(numbers->count, sizeof(*side.samples)), numbers->count};

	if (!side.self || !side.samples) {
		side_release(&side);
		return -ENOMEM;
	}
	for (size_t i = 0; i < leaves->count; i++) {
		uint32_t at = skeleton_number(numbers, leaves->list[i].node);

		side.self[at] = leaves->list[i].self;
		side.samples[at] = leaves->list[i].samples;
	}
	*ret_side = side;
	return 0;
}

static int shape_both(const struct query *now, struct query_tree *tree, const struct side *base,
		      uint32_t **ret_map)
{
	struct query joined = *now;
	bool *CLEANUP(cleanup_free) live = calloc(tree->nodes_count, sizeof(*live));

	joined.shape.by_name = true;
	if (!live)
		return -ENOMEM;
	for (size_t i = 0; i < tree->nodes_count; i++) {
		live[i] = tree->nodes[i].self || tree->nodes[i].samples;
		if (i < base->count)
			live[i] = live[i] || base->self[i] || base->samples[i];
	}
	return reshape_tree(&joined, tree, live, ret_map);
}

static void base_move(struct query_diff *diff, const struct side *base, const uint32_t *map)
{
	for (size_t i = 0; i < base->count; i++) {
		if (map[i] == RESHAPE_DROPPED) {
			diff->base_facts.removed_value =
			    sum_add(diff->base_facts.removed_value, base->self[i]);
			diff->base_facts.removed_samples += base->samples[i];
			diff->base_facts.samples -= base->samples[i];
			continue;
		}
		struct query_side_values *to = &diff->base[map[i]];

		to->self = sum_add(to->self, base->self[i]);
		to->samples += base->samples[i];
	}
	diff->base_facts.filtered |= diff->tree.facts.filtered;
}

static void totals_sum(const struct query_tree *tree, struct query_side_values *side)
{
	for (size_t i = 0; i < tree->nodes_count; i++) {
		side[i].total = side[i].self;
		side[i].samples_total = side[i].samples;
	}
	for (size_t i = tree->nodes_count; i-- > 1;) {
		struct query_side_values *parent = &side[tree->nodes[i].parent];

		parent->total = sum_add(parent->total, side[i].total);
		parent->samples_total += side[i].samples_total;
	}
}

static int both_sides(struct query_diff *diff, const struct query *now, const struct side *base)
{
	struct query_tree *tree = &diff->tree;
	uint32_t *CLEANUP(cleanup_free) map = NULL;
	int rc = shape_both(now, tree, base, &map);

	if (rc)
		return rc;
	diff->base = calloc(tree->nodes_count, sizeof(*diff->base));
	diff->now = calloc(tree->nodes_count, sizeof(*diff->now));
	if (!diff->base || !diff->now)
		return -ENOMEM;
	for (size_t i = 0; i < tree->nodes_count; i++) {
		diff->now[i].self = tree->nodes[i].self;
		diff->now[i].samples = tree->nodes[i].samples;
	}
	base_move(diff, base, map);
	totals_sum(tree, diff->now);
	totals_sum(tree, diff->base);
	query_tree_sum(tree);
	diff->base_total = diff->base[0].total;
	return 0;
}

/* What both sides selected. */
struct sides {
	struct skeleton_leaves now, base;
};

static void sides_release(struct sides *sides)
{
	skeleton_leaves_release(&sides->now);
	skeleton_leaves_release(&sides->base);
}

/* One side's totals take the place of what was summed before. */
static int side_settle(const struct skeleton_take *take, const struct skeleton_leaves *leaves)
{
	skeleton_clear(take->sums);
	take->sums->with_samples = true;
	int rc = skeleton_leaves_add(leaves, take->sums);

	if (!rc)
		rc = skeleton_settle(take->sums, take->skeleton);
	if (!rc && take->joined)
		skeleton_join_sums(take->skeleton, take->sums);
	return rc;
}

/* The nodes that are largest with both sides together, with the values of now, whose totals are the
 * ones that are there. */
static int sides_tree(const struct skeleton_take *take, const struct sides *sides,
		      struct query_tree *tree, struct skeleton_choice *ret_choice)
{
	int rc = skeleton_leaves_add(&sides->now, take->sums);

	take->sums->joined = take->joined;
	if (!rc)
		rc = skeleton_leaves_add(&sides->base, take->sums);
	if (!rc)
		rc = skeleton_settle(take->sums, take->skeleton);
	if (!rc)
		rc = skeleton_choose(take, ret_choice);
	if (!rc)
		rc = side_settle(take, &sides->now);
	return rc ? rc : skeleton_copy(take, ret_choice, tree);
}

/* With a shape to be made: a tree of all nodes of both sides, whose values the shape moves. */
static int diff_shaped(struct query_diff *diff, const struct query *now, struct skeleton *skeleton,
		       struct skeleton_sums *sums, const struct sides *sides)
{
	struct side side CLEANUP(side_release) = {0};
	struct skeleton_choice choice CLEANUP(skeleton_choice_release) = {0};
	const struct skeleton_take take = {.skeleton = skeleton, .sums = sums};
	int rc = sides_tree(&take, sides, &diff->tree, &choice);

	if (!rc)
		rc = side_read(&sides->base, &choice.numbers, &side);
	return rc ? rc : both_sides(diff, now, &side);
}

static void side_fill(const struct skeleton_sums *sums, const struct skeleton_numbers *numbers,
		      size_t nodes, struct query_side_values *side)
{
	for (size_t word = 0, at = 0; word <= nodes / 64; word++) {
		for (uint64_t bits = numbers->bits[word]; bits; bits &= bits - 1, at++) {
			size_t node = word * 64 + (size_t)__builtin_ctzll(bits);

			const struct skeleton_total *total = skeleton_total_of(sums, node);

			side[at].total = total->total;
			side[at].samples_total = total->samples;
		}
	}
	for (size_t i = 0; i < sums->leaves_count; i++) {
		const struct skeleton_leaf *leaf = &sums->leaves[i];
		uint32_t at = skeleton_number(numbers, leaf->node);

		if (at == UINT32_MAX)
			continue;
		side[at].self = sum_add(side[at].self, leaf->self);
		side[at].samples += leaf->samples;
	}
}

/* Without: joined by name, only the nodes that are shown. */
static int diff_joined(struct query_diff *diff, const struct query *now, struct skeleton *skeleton,
		       struct skeleton_sums *sums, const struct sides *sides)
{
	struct skeleton_choice choice CLEANUP(skeleton_choice_release) = {0};
	int rc = skeleton_join(skeleton);
	const struct skeleton_take take = {.skeleton = skeleton,
					   .sums = sums,
					   .joined = skeleton->is_joined,
					   .max_nodes = now->max_nodes};

	if (!rc)
		rc = sides_tree(&take, sides, &diff->tree, &choice);
	if (rc)
		return rc;
	diff->now = calloc(diff->tree.nodes_count, sizeof(*diff->now));
	diff->base = calloc(diff->tree.nodes_count, sizeof(*diff->base));
	if (!diff->now || !diff->base)
		return -ENOMEM;
	side_fill(sums, &choice.numbers, skeleton->tree.nodes_count, diff->now);
	rc = side_settle(&take, &sides->base);
	if (rc)
		return rc;
	side_fill(sums, &choice.numbers, skeleton->tree.nodes_count, diff->base);
	diff->base_total = diff->base[0].total;
	diff->tree.facts.filtered = diff->base_facts.filtered = true;
	return 0;
}

static int sides_merge(const struct query *base, const struct query *now, struct query_diff *diff,
		       struct skeleton *skeleton, struct skeleton_sums *sums, struct err *err)
{
	struct sides sides CLEANUP(sides_release) = {0};
	int rc_base = query_merge_leaves(base, skeleton, sums, &diff->base_facts, err);

	if (rc_base && rc_base != -ENOENT)
		return rc_base;
	skeleton_leaves_take(sums, &sides.base);
	int rc_now = query_merge_leaves(now, skeleton, sums, &diff->tree.facts, err);

	if (rc_now && rc_now != -ENOENT)
		return rc_now;
	skeleton_leaves_take(sums, &sides.now);
	int rc = query_is_reshaped(now) ? diff_shaped(diff, now, skeleton, sums, &sides)
					: diff_joined(diff, now, skeleton, sums, &sides);

	return !rc && rc_base && rc_now ? -ENOENT : rc;
}

int query_diff(const struct query *base, const struct query *now, enum query_normal normal,
	       struct query_diff *ret_diff, struct err *err)
{
	struct query alike = *now;
	struct skeleton_sums sums = {0};
	struct skeleton *skeleton = NULL;

	alike.range = base->range;
	alike.selector = base->selector;
	alike.context = base->context;
	*ret_diff = (struct query_diff){.base_range = base->range, .normal = normal};
	int rc = query_tree_init(&ret_diff->tree);

	query_type_text(now, ret_diff->tree.type_id, ret_diff->tree.unit);
	ret_diff->tree.range = now->range;
	if (!rc)
		rc = query_skeleton_borrow(now, &skeleton);
	if (!rc) {
		skeleton_sums_borrow(&sums, skeleton);
		rc = sides_merge(&alike, now, ret_diff, skeleton, &sums, err);
		skeleton_sums_return(&sums, skeleton);
	}
	query_skeleton_return(now, skeleton);
	if (rc && rc != -ENOENT) {
		query_diff_release(ret_diff);
		return query_failed(rc, err);
	}
	return rc;
}

void query_diff_release(struct query_diff *diff)
{
	query_tree_release(&diff->tree);
	free(diff->base);
	free(diff->now);
	diff->base = diff->now = NULL;
}

/* ---- the view ---- */

/* Hidden is what shown children leave of a total beyond the self. */
static int view_hidden(struct query_diff_view *v)
{
	size_t deepest = 0;

	for (size_t i = 0; i < v->view.count; i++)
		deepest = MAX(deepest, (size_t)v->view.depth[i]);
	size_t *CLEANUP(cleanup_free) open = calloc(deepest + 1, sizeof(*open));

	v->hidden_now = calloc(v->view.count + 1, sizeof(*v->hidden_now));
	v->hidden_base = calloc(v->view.count + 1, sizeof(*v->hidden_base));
	if (!open || !v->hidden_now || !v->hidden_base)
		return -ENOMEM;
	for (size_t i = 0; i < v->view.count; i++) {
		uint32_t depth = v->view.depth[i], node = v->view.order[i];

		open[depth] = i;
		v->hidden_now[i] = v->diff->now[node].total - v->diff->now[node].self;
		v->hidden_base[i] = v->diff->base[node].total - v->diff->base[node].self;
		if (!depth)
			continue;
		v->hidden_now[open[depth - 1]] -= v->diff->now[node].total;
		v->hidden_base[open[depth - 1]] -= v->diff->base[node].total;
	}
	return 0;
}

int query_diff_view_init(struct query_diff_view *view, const struct query_diff *diff,
			 size_t max_nodes)
{
	*view = (struct query_diff_view){.diff = diff, .sums = diff->tree};
	size_t count = diff->tree.nodes_count;

	view->sums.nodes = malloc(count * sizeof(*view->sums.nodes));
	if (!view->sums.nodes)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		view->sums.nodes[i] = diff->tree.nodes[i];
		view->sums.nodes[i].total = sum_add(diff->now[i].total, diff->base[i].total);
	}
	view->sums.total = view->sums.nodes[0].total;
	int rc = query_view_init(&view->view, &view->sums, max_nodes);

	if (!rc)
		rc = view_hidden(view);
	if (rc)
		query_diff_view_release(view);
	return rc;
}

void query_diff_view_release(struct query_diff_view *view)
{
	query_view_release(&view->view);
	free(view->sums.nodes);
	free(view->hidden_now);
	free(view->hidden_base);
	*view = (struct query_diff_view){0};
}
