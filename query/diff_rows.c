/* SPDX-License-Identifier: Apache-2.0 */
/* The diff as a table: a row for each key, recursion counted once. */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "query/diff.h"

static void values_add(struct query_side_values *to, const struct query_side_values *node,
		       bool is_open)
{
	to->self = sum_add(to->self, node->self);
	to->samples += node->samples;
	if (is_open)
		return;
	to->total = sum_add(to->total, node->total);
	to->samples_total += node->samples_total;
}

/* As query_top sums: a key's total grows only where it is not open above. */
static int sum_by_key(const struct query_diff *diff, struct query_diff_row *rows)
{
	const struct query_tree *tree = &diff->tree;
	uint32_t *CLEANUP(cleanup_free) order = NULL, *CLEANUP(cleanup_free) depths = NULL;
	int rc = query_tree_preorder(tree, &order, &depths);

	if (rc)
		return rc;
	uint32_t *CLEANUP(cleanup_free) path = calloc(tree->nodes_count + 1, sizeof(*path));
	uint32_t *CLEANUP(cleanup_free) open = calloc(tree->keys_count, sizeof(*open));
	size_t depth = 0;

	if (!path || !open)
		return -ENOMEM;
	for (size_t i = 1; i < tree->nodes_count; i++) {
		uint32_t node = order[i], key = tree->nodes[node].key;

		for (; depth >= depths[i]; depth--)
			open[path[depth]]--;
		path[++depth] = key;
		values_add(&rows[key].now, &diff->now[node], open[key]);
		values_add(&rows[key].base, &diff->base[node], open[key]);
		open[key]++;
	}
	return 0;
}

static bool is_empty(const struct query_side_values *side)
{
	return !side->self && !side->total && !side->samples && !side->samples_total;
}

static int row_dress(const struct query_diff *diff, const struct query_key *key,
		     struct query_diff_row *row, struct arena *arena)
{
	const struct intern *strings = &diff->tree.strings;
	struct str name = intern_get(strings, key->function), file = intern_get(strings, key->file);
	struct str library = intern_get(strings, key->library);

	row->name = arena_copy(arena, name.ptr, name.len);
	row->file = arena_copy(arena, file.ptr, file.len);
	row->library = arena_copy(arena, library.ptr, library.len);
	row->line = key->line;
	row->self = query_diff_delta(diff, row->now.self, row->now.samples, row->base.self,
				     row->base.samples);
	row->total = query_diff_delta(diff, row->now.total, row->now.samples_total, row->base.total,
				      row->base.samples_total);
	return row->name && row->file && row->library ? 0 : -ENOMEM;
}

static int by_delta(const void *a, const void *b)
{
	const struct query_diff_row *x = a, *y = b;

	if (fabs(x->self.value) != fabs(y->self.value))
		return fabs(x->self.value) < fabs(y->self.value) ? 1 : -1;
	if (fabs(x->total.value) != fabs(y->total.value))
		return fabs(x->total.value) < fabs(y->total.value) ? 1 : -1;
	int order = strcmp(x->name, y->name);

	return order ? order : (x->line > y->line) - (x->line < y->line);
}

int query_diff_rows(const struct query_diff *diff, struct query_diff_table *ret_table)
{
	size_t keys = diff->tree.keys_count;
	struct query_diff_table table = {.rows = calloc(keys, sizeof(*table.rows))};
	int rc = table.rows ? sum_by_key(diff, table.rows) : -ENOMEM;

	arena_init(&table.arena, (size_t)256 << 20);
	for (size_t i = 1; !rc && i < keys; i++) {
		struct query_diff_row row = table.rows[i];

		if (is_empty(&row.now) && is_empty(&row.base))
			continue;
		rc = row_dress(diff, &diff->tree.keys[i], &row, &table.arena);
		table.rows[table.count++] = row; /* never ahead of what is read */
	}
	if (rc) {
		query_diff_table_release(&table);
		return rc;
	}
	qsort(table.rows, table.count, sizeof(*table.rows), by_delta);
	*ret_table = table;
	return 0;
}

void query_diff_table_release(struct query_diff_table *table)
{
	free(table->rows);
	arena_release(&table->arena);
	*table = (struct query_diff_table){0};
}
