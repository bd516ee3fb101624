/* SPDX-License-Identifier: Apache-2.0 */
#include "query/rows.h"

#include <errno.h>
#include <string.h>

static struct str string_of(const struct query_tree *tree, uint32_t id)
{
	return intern_get(&tree->strings, id);
}

/* Number the rows: one for each key, or for each name. The root's is 0 even where a frame has its
 * name. */
static int number(struct view_rows *rows, const struct query_tree *tree, enum rows_by by)
{
	uint32_t *CLEANUP(cleanup_free) of_name = calloc(tree->strings.count, sizeof(*of_name));

	if (!of_name)
		return -ENOMEM;
	rows->rows[0].name = string_of(tree, tree->keys[0].function);
	rows->count = 1;
	for (size_t i = 1; i < tree->keys_count; i++) {
		const struct query_key *key = &tree->keys[i];
		uint32_t *row = by == ROWS_BY_NAME ? &of_name[key->function] : &rows->row_of[i];

		if (!*row) {
			*row = (uint32_t)rows->count++;
			rows->rows[*row] = (struct view_row){.name = string_of(tree, key->function),
							     .file = STR(""),
							     .library = STR("")};
		}
		rows->row_of[i] = *row;
		if (by == ROWS_BY_NAME)
			continue;
		rows->rows[*row].file = string_of(tree, key->file);
		rows->rows[*row].library = string_of(tree, key->library);
		rows->rows[*row].line = key->line;
	}
	return 0;
}

/* A row's total grows by a node's only where the row is not open above it. */
static void sum(struct view_rows *rows, const struct query_view *view, uint32_t *path)
{
	struct view_row *hidden = &rows->rows[rows->count];
	size_t depth = 0;

	for (size_t i = 0; i < view->count; i++) {
		const struct query_tree_node *node = view_node(view, i);
		uint32_t number = rows->row_of[node->key];
		struct view_row *row = &rows->rows[number];

		for (; i && depth >= view->depth[i]; depth--)
			rows->rows[path[depth]].open--;
		depth = view->depth[i];
		path[depth] = number;
		row->self = sum_add(row->self, node->self);
		row->samples += node->samples;
		if (!row->open++)
			row->total = sum_add(row->total, node->total);
		hidden->self = sum_add(hidden->self, query_view_hidden(view, i));
	}
	hidden->total = hidden->self;
}

static int by_self(const void *a, const void *b, void *arg)
{
	const struct view_row *rows = arg;
	const struct view_row *x = &rows[*(const uint32_t *)a], *y = &rows[*(const uint32_t *)b];

	if (x->self != y->self)
		return x->self < y->self ? 1 : -1;
	if (x->total != y->total)
		return x->total < y->total ? 1 : -1;
	int order = strcmp(x->name.ptr, y->name.ptr);

	return order ? order : (x > y) - (x < y);
}

int view_rows_init(struct view_rows *rows, const struct query_view *view, enum rows_by by)
{
	const struct query_tree *tree = view->tree;
	uint32_t deepest = 0;

	*rows = (struct view_rows){0};
	for (size_t i = 0; i < view->count; i++)
		deepest = MAX(deepest, view->depth[i]);
	uint32_t *CLEANUP(cleanup_free) path = calloc((size_t)deepest + 2, sizeof(*path));

	rows->rows = calloc(tree->keys_count + 1, sizeof(*rows->rows));
	rows->row_of = calloc(tree->keys_count, sizeof(*rows->row_of));
	rows->order = calloc(tree->keys_count + 1, sizeof(*rows->order));
	if (!path || !rows->rows || !rows->row_of || !rows->order || number(rows, tree, by)) {
		view_rows_release(rows);
		return -ENOMEM;
	}
	sum(rows, view, path);
	if (view->hidden_nodes) {
		struct view_row *hidden = &rows->rows[rows->count++];

		hidden->name = STR("[hidden]");
		hidden->file = hidden->library = STR("");
	}
	for (size_t i = 1; i < rows->count; i++)
		if (rows->rows[i].self || rows->rows[i].total || rows->rows[i].samples)
			rows->order[rows->order_count++] = (uint32_t)i;
	qsort_r(rows->order, rows->order_count, sizeof(*rows->order), by_self, rows->rows);
	return 0;
}

void view_rows_release(struct view_rows *rows)
{
	free(rows->rows);
	free(rows->row_of);
	free(rows->order);
	*rows = (struct view_rows){0};
}
