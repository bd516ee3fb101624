/* SPDX-License-Identifier: Apache-2.0 */
#include "query/reshape.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "query/merge.h"

static bool has_shape(const struct query *query)
{
	const struct query_shape *shape = &query->shape;

	return shape->names || shape->by_name || shape->collapse || shape->sandwich.len ||
	       shape->invert || shape->path_count;
}

bool reshape_is_needed(const struct query *query)
{
	return query_filter_has_names(query->filter) || has_shape(query);
}

bool query_is_reshaped(const struct query *query)
{
	return has_shape(query) || (query_filter_has_names(query->filter) &&
				    (!query_filter_keeps_stacks(query->filter) ||
				     reshape_merge_granularity(query) != query->granularity));
}

enum query_granularity reshape_merge_granularity(const struct query *query)
{
	if (query->granularity < QUERY_BY_FILE || !query_filter_has_names(query->filter))
		return query->granularity;
	return QUERY_BY_FUNCTION;
}

void reshape_mark_ancestors(const struct reshape_step *step, bool *marked)
{
	for (size_t i = step->count; i-- > 1;)
		if (marked[i])
			marked[step->from[i].parent] = true;
}

static const struct query_key *key_of(const struct reshape_step *step, uint32_t node)
{
	return &step->tree->keys[step->from[node].key];
}

#define STEPS_BETWEEN_CLOCKS 4096
/* what was merged until the deadline is still to be shaped */
#define GRACE_NS (INT64_C(5) * NS_PER_S)

int reshape_child(struct reshape_step *step, uint32_t parent, uint32_t key, uint32_t *ret_node)
{
	if (!(step->steps++ % STEPS_BETWEEN_CLOCKS) && step->query->deadline_ns &&
	    clock_monotonic_ns() > step->query->deadline_ns + GRACE_NS)
		return -ETIME;
	return query_tree_child_of(step->tree, parent, key, ret_node);
}

static bool *needed_nodes(const struct reshape_step *step)
{
	bool *needed = malloc(step->count + 1);

	if (!needed)
		return NULL;
	memcpy(needed, step->live, step->count);
	reshape_mark_ancestors(step, needed);
	return needed;
}

/* ---- steps that rename: coarser keys, shorter names ---- */

typedef int (*rekey_fn)(struct reshape_step *step, struct query_key *key);

static int key_coarser(struct reshape_step *step, struct query_key *key)
{
	return query_key_reduce(step->tree, step->query->granularity, key);
}

static int key_shorter(struct reshape_step *step, struct query_key *key)
{
	struct str name = intern_get(&step->tree->strings, key->function);
	struct buf text;
	uint32_t id = 0;

	buf_init(&text, BUF_UNLIMITED);
	query_name_shorten(name, step->query->shape.names, &text);
	int rc = text.failed;

	if (!rc)
		rc = intern_put(&step->tree->strings, text.data, text.len, &id);
	buf_release(&text);
	key->function = id;
	/* Overloads and instances become one, wherever they start. */
	if (step->query->granularity == QUERY_BY_FUNCTION)
		key->line = 0;
	return rc;
}

/* `numbers` are the new keys' by the old ones', UINT32_MAX before they are asked for. */
static int rekey_node(struct reshape_step *step, rekey_fn rekey, uint32_t *numbers, uint32_t node,
		      bool fold, uint32_t *ret_node)
{
	uint32_t key = step->from[node].key, parent = step->map[step->from[node].parent];

	if (numbers[key] == UINT32_MAX) {
		struct query_key renamed = step->tree->keys[key];
		int rc = rekey(step, &renamed);

		if (!rc)
			rc = query_tree_key(step->tree, &renamed, &numbers[key]);
		if (rc)
			return rc;
	}
	/* One file or library calling itself is one node, not a tower. */
	if (fold && parent && step->tree->nodes[parent].key == numbers[key]) {
		*ret_node = parent;
		return 0;
	}
	return reshape_child(step, parent, numbers[key], ret_node);
}

static int rekey_step(struct reshape_step *step, rekey_fn rekey, bool fold)
{
	size_t keys_count = step->tree->keys_count;
	uint32_t *CLEANUP(cleanup_free) numbers = malloc(keys_count * sizeof(*numbers));
	bool *CLEANUP(cleanup_free) needed = needed_nodes(step);
	int rc = numbers && needed ? 0 : -ENOMEM;

	if (!rc)
		memset(numbers, 0xff, keys_count * sizeof(*numbers));
	step->map[0] = 0;
	for (uint32_t i = 1; !rc && i < step->count; i++)
		if (needed[i])
			rc = rekey_node(step, rekey, numbers, i, fold, &step->map[i]);
	return rc;
}

static int coarsen_step(struct reshape_step *step)
{
	return rekey_step(step, key_coarser, true);
}

static int names_step(struct reshape_step *step)
{
	return rekey_step(step, key_shorter, false);
}

static int key_of_name(struct reshape_step *step, struct query_key *key)
{
	bool by_line = step->query->granularity == QUERY_BY_LINE;

	*key = (struct query_key){.function = key->function, .line = by_line ? key->line : 0};
	return 0;
}

/* The keys of names were all added here, in order; what they are shown with is the last old key's,
 * in the order of their texts. */
static int join_step(struct reshape_step *step)
{
	size_t old_keys = step->tree->keys_count;
	int rc = rekey_step(step, key_of_name, false);

	if (rc)
		return rc;
	step->shown = calloc(step->tree->keys_count, sizeof(*step->shown));
	step->shown_count = step->tree->keys_count;
	if (!step->shown)
		return -ENOMEM;
	for (size_t i = 1; i < old_keys; i++) {
		struct query_key key = step->tree->keys[i];
		int64_t at;

		(void)key_of_name(step, &key);
		at = intern_find(&step->tree->key_index, (const char *)&key, sizeof(key));
		if (at > 0 &&
		    (!step->shown[at].function ||
		     query_keys_compare(step->tree, &step->tree->keys[i], &step->shown[at]) > 0))
			step->shown[at] = step->tree->keys[i];
	}
	return 0;
}

/* ---- recursion ---- */

static int collapse_step(struct reshape_step *step)
{
	struct query_tree *tree = step->tree;
	bool *CLEANUP(cleanup_free) needed = needed_nodes(step);
	int rc = needed ? 0 : -ENOMEM;

	step->map[0] = 0;
	for (uint32_t i = 1; !rc && i < step->count; i++) {
		uint32_t parent = step->map[step->from[i].parent], at = parent;

		if (!needed[i])
			continue;
		while (at && tree->nodes[at].key != step->from[i].key)
			at = tree->nodes[at].parent;
		step->map[i] = at;
		if (!at)
			rc = reshape_child(step, parent, step->from[i].key, &step->map[i]);
	}
	return rc;
}

/* What a return left empty goes: a calls b calls a is a alone. */
static int prune_step(struct reshape_step *step)
{
	bool *CLEANUP(cleanup_free) needed = needed_nodes(step);
	int rc = needed ? 0 : -ENOMEM;

	step->map[0] = 0;
	for (uint32_t i = 1; !rc && i < step->count; i++)
		if (needed[i])
			rc = reshape_child(step, step->map[step->from[i].parent], step->from[i].key,
					   &step->map[i]);
	return rc;
}

/* ---- callers first ---- */

/* Hang the path from `node` up to the root below `at`. */
static int hang_upwards(struct reshape_step *step, uint32_t node, uint32_t *ret_node)
{
	uint32_t at = 0;
	int rc = 0;

	for (; !rc && node; node = step->from[node].parent)
		rc = reshape_child(step, at, step->from[node].key, &at);
	*ret_node = at;
	return rc;
}

static int invert_step(struct reshape_step *step)
{
	int rc = 0;

	for (uint32_t i = 0; !rc && i < step->count; i++)
		if (step->live[i])
			rc = hang_upwards(step, i, &step->map[i]);
	return rc;
}

static int sandwich_step(struct reshape_step *step)
{
	const struct query_shape *shape = &step->query->shape;
	int64_t wanted =
	    intern_find(&step->tree->strings, shape->sandwich.ptr, shape->sandwich.len);
	uint32_t *CLEANUP(cleanup_free) outermost = calloc(step->count, sizeof(*outermost));
	bool *CLEANUP(cleanup_free) needed = needed_nodes(step);
	int rc = outermost && needed ? 0 : -ENOMEM;

	for (uint32_t i = 1; !rc && i < step->count; i++) {
		uint32_t parent = step->from[i].parent;

		outermost[i] = outermost[parent];
		if (!outermost[i] && (int64_t)key_of(step, i)->function == wanted)
			outermost[i] = i;
		if (!outermost[i] || !needed[i])
			continue;
		if (shape->side == QUERY_CALLEES)
			rc = reshape_child(step, outermost[i] == i ? 0 : step->map[parent],
					   step->from[i].key, &step->map[i]);
		else if (step->live[i])
			rc = hang_upwards(step, outermost[i], &step->map[i]);
	}
	return rc;
}

/* ---- a call site ---- */

static bool is_on_path(const struct reshape_step *step, const uint32_t *depth, uint32_t node)
{
	const struct query_shape *shape = &step->query->shape;
	uint32_t above = depth[step->from[node].parent];
	struct str name = intern_get(&step->tree->strings, key_of(step, node)->function);

	if (above == RESHAPE_DROPPED || above == shape->path_count)
		return above == shape->path_count;
	return name.len == shape->path[above].len &&
	       !memcmp(name.ptr, shape->path[above].ptr, name.len);
}

static int path_step(struct reshape_step *step)
{
	uint32_t *CLEANUP(cleanup_free) depth = calloc(step->count, sizeof(*depth));
	bool *CLEANUP(cleanup_free) needed = calloc(step->count, sizeof(*needed));
	uint32_t length = (uint32_t)step->query->shape.path_count;
	int rc = depth && needed ? 0 : -ENOMEM;

	for (uint32_t i = 1; !rc && i < step->count; i++) {
		uint32_t above = depth[step->from[i].parent];

		depth[i] = is_on_path(step, depth, i) ? MIN(above + 1, length) : RESHAPE_DROPPED;
		needed[i] = step->live[i] && depth[i] == length;
	}
	if (rc)
		return rc;
	reshape_mark_ancestors(step, needed);
	uint32_t *CLEANUP(cleanup_free) place = calloc(step->count, sizeof(*place));

	if (!place)
		return -ENOMEM;
	for (uint32_t i = 1; !rc && i < step->count; i++) {
		if (!needed[i])
			continue;
		rc = reshape_child(step, place[step->from[i].parent], step->from[i].key, &place[i]);
		if (depth[i] == length)
			step->map[i] = place[i];
	}
	return rc;
}

/* ---- all of them ---- */

static int filter_step(struct reshape_step *step)
{
	return query_filter_step(step->query->filter, step);
}

struct reshaping {
	const struct query *query;
	struct query_tree *tree;
	uint32_t *map; /* from the first nodes to those that are now */
	size_t count;  /* of the first nodes */
	bool *live;    /* of those that are now */
	struct query_key *shown;
	size_t shown_count;
};

/* Empty the tree of nodes; the caller holds the old ones. */
static int nodes_reset(struct query_tree *tree)
{
	tree->nodes = NULL;
	tree->nodes_count = tree->nodes_capacity = 0;
	slots_release(&tree->node_slots);
	int rc = array_grow(&tree->nodes, sizeof(*tree->nodes), &tree->nodes_capacity, 1);

	if (rc)
		return rc;
	tree->nodes[0] = (struct query_tree_node){0};
	tree->nodes_count = 1;
	return 0;
}

static void compose(struct reshaping *r, const struct reshape_step *step)
{
	for (size_t i = 0; i < r->count; i++) {
		uint32_t at = r->map[i];

		if (at != RESHAPE_DROPPED)
			r->map[i] = step->live[at] ? step->map[at] : RESHAPE_DROPPED;
	}
}

static int step_run(struct reshaping *r, int (*run)(struct reshape_step *step))
{
	struct query_tree_node *CLEANUP(cleanup_free) from = r->tree->nodes;
	size_t count = r->tree->nodes_count;
	uint32_t *CLEANUP(cleanup_free) map = malloc((count + 1) * sizeof(*map));
	struct reshape_step step = {.query = r->query,
				    .tree = r->tree,
				    .from = from,
				    .count = count,
				    .live = r->live,
				    .map = map};
	int rc = nodes_reset(r->tree);

	if (rc || !map)
		return -ENOMEM;
	memset(map, 0xff, count * sizeof(*map));
	rc = run(&step);
	if (step.shown) {
		r->shown = step.shown;
		r->shown_count = step.shown_count;
	}
	if (rc)
		return rc;
	compose(r, &step);
	bool *live = calloc(r->tree->nodes_count, sizeof(*live));

	if (!live)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++)
		if (r->live[i] && map[i] != RESHAPE_DROPPED)
			live[map[i]] = true;
	free(r->live);
	r->live = live;
	return 0;
}

static int steps_run(struct reshaping *r)
{
	const struct query *query = r->query;
	const struct {
		bool wanted;
		int (*run)(struct reshape_step *step);
	} steps[] = {
	    {query_filter_has_names(query->filter), filter_step},
	    {reshape_merge_granularity(query) != query->granularity, coarsen_step},
	    {query->shape.names, names_step},
	    {query->shape.by_name, join_step},
	    {query->shape.collapse, collapse_step},
	    {query->shape.collapse, prune_step},
	    {query->shape.sandwich.len, sandwich_step},
	    {query->shape.invert, invert_step},
	    {query->shape.path_count, path_step},
	};
	int rc = 0;

	for (size_t i = 0; !rc && i < ARRAY_LEN(steps); i++)
		if (steps[i].wanted)
			rc = step_run(r, steps[i].run);
	return rc;
}

static void values_move(struct reshaping *r, const struct query_tree_node *old)
{
	struct query_facts *facts = &r->tree->facts;

	for (size_t i = 0; i < r->count; i++) {
		if (r->map[i] == RESHAPE_DROPPED) {
			facts->removed_value = sum_add(facts->removed_value, old[i].self);
			facts->removed_samples += old[i].samples;
			facts->samples -= old[i].samples;
			continue;
		}
		struct query_tree_node *to = &r->tree->nodes[r->map[i]];

		to->self = sum_add(to->self, old[i].self);
		to->samples += old[i].samples;
	}
}

/* Identities are settled: keys may now say more than what they compare. */
static void keys_dress(struct reshaping *r)
{
	for (size_t i = 1; i < r->shown_count; i++)
		if (r->shown[i].function)
			r->tree->keys[i] = r->shown[i];
}

int reshape_tree(const struct query *query, struct query_tree *tree, const bool *live,
		 uint32_t **ret_map)
{
	size_t count = tree->nodes_count;
	struct query_tree_node *CLEANUP(cleanup_free) old = malloc(count * sizeof(*old));
	struct reshaping r = {.query = query,
			      .tree = tree,
			      .map = malloc(count * sizeof(*r.map)),
			      .count = count,
			      .live = malloc(count)};
	int rc = old && r.map && r.live ? 0 : -ENOMEM;

	for (size_t i = 0; !rc && i < count; i++) {
		old[i] = tree->nodes[i];
		r.map[i] = (uint32_t)i;
		r.live[i] = live ? live[i] : old[i].self || old[i].samples;
	}
	if (!rc)
		rc = steps_run(&r);
	if (!rc) {
		for (size_t i = 0; i < tree->nodes_count; i++)
			tree->nodes[i].self = tree->nodes[i].total = 0, tree->nodes[i].samples = 0;
		values_move(&r, old);
		keys_dress(&r);
		tree->facts.filtered |= reshape_is_needed(query);
	}
	if (!rc && ret_map)
		*ret_map = TAKE(r.map);
	free(r.map);
	free(r.live);
	free(r.shown);
	return rc;
}
