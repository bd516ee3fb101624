/* SPDX-License-Identifier: Apache-2.0 */
#include "query/levels.h"

#include <errno.h>
#include <string.h>

/* ---- two trees ---- */

static int side_add(struct query_pair *pair, const struct query_tree *from, int64_t *self,
		    size_t capacity)
{
	struct query_tree *to = &pair->tree;
	uint32_t *CLEANUP(cleanup_free) map = calloc(from->nodes_count, sizeof(*map));

	if (!map)
		return -ENOMEM;
	for (size_t i = 0; i < from->nodes_count; i++) {
		const struct query_tree_node *node = &from->nodes[i];
		struct str name = intern_get(&from->strings, from->keys[node->key].function);
		struct query_key key = {0};
		int rc = i ? intern_put(&to->strings, name.ptr, name.len, &key.function) : 0;

		if (!rc && i)
			rc = query_tree_child(to, map[node->parent], &key, &map[i]);
		if (rc)
			return rc;
		if (map[i] >= capacity)
			return -E2BIG;
		self[map[i]] = sum_add(self[map[i]], node->self);
		to->nodes[map[i]].samples += node->samples;
	}
	return 0;
}

static void side_sum(const struct query_tree *tree, const int64_t *self, int64_t *total)
{
	memcpy(total, self, tree->nodes_count * sizeof(*total));
	for (size_t i = tree->nodes_count; i-- > 1;)
		total[tree->nodes[i].parent] = sum_add(total[tree->nodes[i].parent], total[i]);
}

int query_pair_init(struct query_pair *pair, const struct query_tree *left,
		    const struct query_tree *right)
{
	const struct query_tree *const sides[] = {left, right};
	size_t capacity = left->nodes_count + right->nodes_count;
	int rc;

	*pair = (struct query_pair){0};
	rc = query_tree_init(&pair->tree);
	if (rc)
		return rc;
	for (size_t i = 0; !rc && i < ARRAY_LEN(sides); i++) {
		pair->self[i] = calloc(capacity, sizeof(int64_t));
		pair->total[i] = calloc(capacity, sizeof(int64_t));
		rc = pair->self[i] && pair->total[i]
			 ? side_add(pair, sides[i], pair->self[i], capacity)
			 : -ENOMEM;
	}
	if (rc) {
		query_pair_release(pair);
		return rc;
	}
	for (size_t i = 0; i < ARRAY_LEN(sides); i++)
		side_sum(&pair->tree, pair->self[i], pair->total[i]);
	for (size_t i = 0; i < pair->tree.nodes_count; i++)
		pair->tree.nodes[i].self = sum_add(pair->self[0][i], pair->self[1][i]);
	query_tree_sum(&pair->tree);
	memcpy(pair->tree.type_id, left->type_id, sizeof(left->type_id));
	memcpy(pair->tree.unit, left->unit, sizeof(left->unit));
	return 0;
}

void query_pair_release(struct query_pair *pair)
{
	query_tree_release(&pair->tree);
	for (size_t i = 0; i < ARRAY_LEN(pair->self); i++) {
		free(pair->self[i]);
		free(pair->total[i]);
	}
	*pair = (struct query_pair){0};
}

/* ---- levels ---- */

/* One side of a node: where it stands is known by the level before. */
struct side {
	const int64_t *self, *total; /* by node of the tree; NULL: the nodes' own */
	int64_t *next_x; /* by depth: where the next child of the open node there starts */
	int64_t *end;    /* by level: x behind the last node written */
};

struct builder {
	struct query_levels *levels;
	const struct query_view *view;
	struct side sides[2];
	size_t sides_count;
};

static int64_t self_of(const struct builder *b, size_t side, uint32_t node)
{
	return b->sides[side].self ? b->sides[side].self[node] : b->view->tree->nodes[node].self;
}

static int64_t total_of(const struct builder *b, size_t side, uint32_t node)
{
	return b->sides[side].total ? b->sides[side].total[node] : b->view->tree->nodes[node].total;
}

static int value_add(struct query_level *level, int64_t value)
{
	int rc =
	    array_grow(&level->values, sizeof(*level->values), &level->capacity, level->count + 1);

	if (!rc)
		level->values[level->count++] = value;
	return rc;
}

static int node_add(struct builder *b, size_t depth, const int64_t self[2], const int64_t total[2],
		    struct str name)
{
	struct query_level *level = &b->levels->levels[depth];
	int64_t self_sum = 0;
	uint32_t id = 1; /* "total" was put first; number 0 of the interner is "" */
	int rc = depth ? intern_put(&b->levels->names, name.ptr, name.len, &id) : 0;

	for (size_t s = 0; !rc && s < b->sides_count; s++) {
		struct side *side = &b->sides[s];
		int64_t x = depth ? side->next_x[depth - 1] : 0;

		rc = value_add(level, x - side->end[depth]);
		if (!rc)
			rc = value_add(level, total[s]);
		if (!rc)
			rc = value_add(level, self[s]);
		side->end[depth] = x + total[s];
		if (depth)
			side->next_x[depth - 1] = x + total[s];
		side->next_x[depth] = x + self[s];
		self_sum = sum_add(self_sum, self[s]);
	}
	b->levels->max_self = MAX(b->levels->max_self, self_sum);
	return rc ? rc : value_add(level, id ? (int64_t)id - 1 : 0);
}

/* What the children that are shown leave of a node: totals by view index, filled from below. */
static int64_t *hidden_make(const struct builder *b, size_t side)
{
	const struct query_view *view = b->view;
	uint32_t deepest = 0;

	for (size_t i = 0; i < view->count; i++)
		deepest = MAX(deepest, view->depth[i]);
	uint32_t *CLEANUP(cleanup_free) path = calloc((size_t)deepest + 1, sizeof(*path));
	int64_t *hidden = calloc(view->count + 1, sizeof(*hidden));

	if (!path || !hidden) {
		free(hidden);
		return NULL;
	}
	for (size_t i = 0; i < view->count; i++) {
		int64_t total = total_of(b, side, view->order[i]);

		path[view->depth[i]] = (uint32_t)i;
		hidden[i] += total - self_of(b, side, view->order[i]);
		if (view->depth[i])
			hidden[path[view->depth[i] - 1]] -= total;
	}
	return hidden;
}

static int nodes_add(struct builder *b)
{
	const struct query_view *view = b->view;
	int64_t *CLEANUP(cleanup_free) left = hidden_make(b, 0);
	int64_t *CLEANUP(cleanup_free) right = b->sides_count > 1 ? hidden_make(b, 1) : NULL;
	int rc = left && (right || b->sides_count < 2) ? 0 : -ENOMEM;

	for (size_t i = 0; !rc && i < view->count; i++) {
		int64_t self[2] = {0}, total[2] = {0};
		const int64_t hidden[2] = {left[i], right ? right[i] : 0};

		for (size_t s = 0; s < b->sides_count; s++) {
			self[s] = self_of(b, s, view->order[i]);
			total[s] = total_of(b, s, view->order[i]);
		}
		rc = node_add(b, view->depth[i], self, total, view_name(view, i));
		if (!rc && (hidden[0] || hidden[1]))
			rc = node_add(b, (size_t)view->depth[i] + 1, hidden, hidden, STR("other"));
	}
	return rc;
}

static int builder_init(struct builder *b, const struct query_pair *pair)
{
	size_t count = 2; /* one for "other" below the deepest */
	uint32_t id;

	for (size_t i = 0; i < b->view->count; i++)
		count = MAX(count, (size_t)b->view->depth[i] + 2);
	b->levels->levels = calloc(count, sizeof(*b->levels->levels));
	if (!b->levels->levels)
		return -ENOMEM;
	b->levels->levels_count = count;
	b->sides_count = pair ? 2 : 1;
	for (size_t s = 0; s < b->sides_count; s++) {
		b->sides[s] = (struct side){.self = pair ? pair->self[s] : NULL,
					    .total = pair ? pair->total[s] : NULL,
					    .next_x = calloc(count + 1, sizeof(int64_t)),
					    .end = calloc(count, sizeof(int64_t))};
		if (!b->sides[s].next_x || !b->sides[s].end)
			return -ENOMEM;
		b->levels->ticks[s] = total_of(b, s, 0);
	}
	int rc = intern_init(&b->levels->names, (size_t)256 << 20);

	return rc ? rc : intern_put(&b->levels->names, "total", 5, &id);
}

int query_levels_init(struct query_levels *levels, const struct query_view *view,
		      const struct query_pair *pair)
{
	struct builder b = {.levels = levels, .view = view};

	*levels = (struct query_levels){.total = view->tree->total, .is_double = pair != NULL};
	int rc = builder_init(&b, pair);

	if (!rc && view->tree->total)
		rc = nodes_add(&b);
	while (levels->levels_count && levels->levels &&
	       !levels->levels[levels->levels_count - 1].count)
		levels->levels_count--;
	for (size_t s = 0; s < ARRAY_LEN(b.sides); s++) {
		free(b.sides[s].next_x);
		free(b.sides[s].end);
	}
	if (rc)
		query_levels_release(levels);
	return rc;
}

void query_levels_release(struct query_levels *levels)
{
	for (size_t i = 0; levels->levels && i < levels->levels_count; i++)
		free(levels->levels[i].values);
	free(levels->levels);
	intern_release(&levels->names);
	*levels = (struct query_levels){0};
}

/* ---- JSON ---- */

/* What its pages call units; a time of CPU is samples at a rate that makes them nanoseconds. */
static const char *units_of(const struct query_tree *tree, int *ret_rate)
{
	static const struct {
		const char *type, *units;
	} words[] = {
	    {"inuse_objects", "objects"},  {"alloc_objects", "objects"},
	    {"goroutine", "objects"},      {"samples", "objects"},
	    {"delay", "lock_nanoseconds"}, {"contentions", "lock_samples"},
	    {"exception", "exceptions"},
	};
	struct profile_type type;

	*ret_rate = 100;
	if (profile_type_parse(str_of(tree->type_id), &type, NULL) < 0)
		return tree->unit;
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (strlen(words[i].type) == type.type.len &&
		    !memcmp(words[i].type, type.type.ptr, type.type.len))
			return words[i].units;
	if (!strcmp(tree->unit, "nanoseconds"))
		*ret_rate = 1000000000;
	return !strcmp(tree->unit, "nanoseconds") ? "samples" : tree->unit;
}

void query_levels_json(const struct query_levels *levels, const struct query_tree *tree,
		       struct json *json)
{
	int rate;
	const char *units = units_of(tree, &rate);

	json_key_int(json, "version", 1);
	json_key(json, "flamebearer");
	json_open(json, '{');
	json_key(json, "names");
	json_open(json, '[');
	for (uint32_t i = 1; i < levels->names.count; i++)
		json_text(json, levels->names.strings[i].ptr, levels->names.strings[i].len);
	json_close(json, ']');
	json_key(json, "levels");
	json_open(json, '[');
	for (size_t i = 0; i < levels->levels_count; i++) {
		json_open(json, '[');
		for (size_t k = 0; k < levels->levels[i].count; k++)
			json_int(json, levels->levels[i].values[k]);
		json_close(json, ']');
	}
	json_close(json, ']');
	json_key_int(json, "numTicks", levels->total);
	json_key_int(json, "maxSelf", levels->max_self);
	json_close(json, '}');
	json_key(json, "metadata");
	json_open(json, '{');
	json_key_text(json, "format", levels->is_double ? "double" : "single");
	json_key_text(json, "spyName", "hearth");
	json_key_int(json, "sampleRate", rate);
	json_key_text(json, "units", units);
	json_key_text(json, "name", tree->type_id);
	json_close(json, '}');
	if (!levels->is_double)
		return;
	json_key_int(json, "leftTicks", levels->ticks[0]);
	json_key_int(json, "rightTicks", levels->ticks[1]);
}
