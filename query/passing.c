/* SPDX-License-Identifier: Apache-2.0 */
#include "query/passing.h"

#include <errno.h>
#include <string.h>

#include "query/context.h"
#include "query/reshape.h"

bool passing_is_needed(const struct query *query)
{
	return reshape_is_needed(query) || context_is_asked(query);
}

static int string_copy(const struct query_tree *from, uint32_t string, struct query_tree *to,
		       uint32_t *ret_string)
{
	struct str text = intern_get(&from->strings, string);

	return intern_put(&to->strings, text.ptr, text.len, ret_string);
}

static int aliases_copy(const struct query_tree *from, struct query_tree *to)
{
	int rc = from->alias_index.count ? intern_init(&to->alias_index, from->alias_index.arena.max) : 0;

	for (uint32_t i = 1; !rc && i < from->alias_index.count; i++) {
		uint32_t pair[2], ignored;

		memcpy(pair, from->alias_index.strings[i].ptr, sizeof(pair));
		rc = string_copy(from, pair[0], to, &pair[0]);
		if (!rc)
			rc = string_copy(from, pair[1], to, &pair[1]);
		if (!rc)
			rc = intern_put(&to->alias_index, (const char *)pair, sizeof(pair), &ignored);
	}
	return rc;
}

/* The same nodes with the same numbers. */
static int tree_copy(const struct query_tree *from, struct query_tree *to)
{
	int rc = query_tree_init(to);

	for (size_t i = 1; !rc && i < from->nodes_count; i++) {
		struct query_key key = from->keys[from->nodes[i].key];
		uint32_t node;

		rc = string_copy(from, key.function, to, &key.function);
		if (!rc)
			rc = string_copy(from, key.library, to, &key.library);
		if (!rc)
			rc = string_copy(from, key.file, to, &key.file);
		if (!rc)
			rc = query_tree_child(to, from->nodes[i].parent, &key, &node);
		if (!rc)
			to->nodes[i].self = from->nodes[i].self;
		if (!rc)
			to->nodes[i].samples = from->nodes[i].samples;
	}
	to->nodes[0].self = from->nodes[0].self;
	to->nodes[0].samples = from->nodes[0].samples;
	return rc ? rc : aliases_copy(from, to);
}

static int passes_find(struct passing *p, const struct query *query)
{
	struct query_tree shaped CLEANUP(query_tree_release) = { 0 };
	uint32_t *CLEANUP(cleanup_free) map = NULL;

	p->count = p->tree.nodes_count;
	p->passes = malloc(p->count);
	if (!p->passes)
		return -ENOMEM;
	memset(p->passes, true, p->count);
	if (!reshape_is_needed(query))
		return 0;
	int rc = tree_copy(&p->tree, &shaped);

	if (!rc)
		rc = reshape_tree(query, &shaped, NULL, &map);
	for (size_t i = 0; !rc && i < p->count; i++)
		p->passes[i] = map[i] != RESHAPE_DROPPED;
	return rc;
}

static void values_clear(struct query_tree *tree)
{
	for (size_t i = 0; i < tree->nodes_count; i++) {
		tree->nodes[i].self = 0;
		tree->nodes[i].samples = 0;
	}
	tree->facts = (struct query_facts){ 0 };
}

int passing_init(struct passing *passing, const struct query *query, struct query_facts *facts,
		 struct err *err)
{
	*passing = (struct passing){ 0 };
	int rc = query_tree_init(&passing->tree);

	if (!rc)
		rc = query_merge_raw(query, &passing->tree, err);
	if (!rc)
		rc = passes_find(passing, query);
	if (rc) {
		passing_release(passing);
		return rc;
	}
	*facts = passing->tree.facts;
	facts->filtered = true;
	facts->samples = facts->removed_samples = 0;
	facts->removed_value = 0;
	return 0;
}

void passing_release(struct passing *passing)
{
	query_tree_release(&passing->tree);
	free(passing->passes);
	*passing = (struct passing){ 0 };
}

bool passing_node(const struct passing *passing, uint32_t node)
{
	return node < passing->count && passing->passes[node];
}

int passing_sum(struct passing *passing, const struct query *query,
		const struct query_series_set *set, struct query_facts *facts, int64_t *ret_sum,
		uint64_t *ret_samples, struct err *err)
{
	struct query_tree *tree = &passing->tree;
	int64_t sum = 0;
	uint64_t samples = 0;

	values_clear(tree);
	int rc = query_merge_set(query, set, tree, err);

	for (size_t i = 0; !rc && i < tree->nodes_count; i++) {
		if (passing_node(passing, (uint32_t)i)) {
			sum = sum_add(sum, tree->nodes[i].self);
			samples += tree->nodes[i].samples;
			continue;
		}
		tree->facts.removed_value = sum_add(tree->facts.removed_value, tree->nodes[i].self);
		tree->facts.removed_samples += tree->nodes[i].samples;
	}
	facts->partial |= tree->facts.partial;
	facts->removed_value = sum_add(facts->removed_value, tree->facts.removed_value);
	facts->removed_samples += tree->facts.removed_samples;
	facts->samples += samples;
	*ret_sum = sum;
	*ret_samples = samples;
	return rc;
}

bool passing_is_first(const struct query_series_set *set, size_t at)
{
	for (size_t i = 0; i < at; i++)
		if (!strcmp(set->groups[i], set->groups[at]))
			return false;
	return true;
}

int passing_group(const struct query_series_set *set, const char *group,
		  struct query_series_set *ret_set)
{
	struct query_series_set out;
	int rc = query_series_set_alike(set, &out);

	if (rc)
		return rc;
	for (size_t i = 0; i < set->count; i++)
		if (!strcmp(set->groups[i], group))
			query_series_set_take(&out, set, i);
	*ret_set = out;
	return 0;
}
