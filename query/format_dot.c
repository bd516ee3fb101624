/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A call graph for Graphviz: a box a function, with its own and its whole value, an arrow a caller
 * and its callee, with what went through.  Frames of one name are one box.  The NODES_MAX largest
 * are drawn, and arrows between them; the label counts the rest.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"
#include "query/rows.h"

#define NODES_MAX 100 /* a graph of more cannot be read */
#define NAME_MAX_BYTES 200

struct edge {
	uint32_t from, to; /* rows */
	int64_t total;
	uint32_t open;
};

struct graph {
	struct view_rows rows;
	struct intern edges_index;
	struct edge *edges; /* by number in edges_index; 0 is none */
	size_t edges_count, edges_capacity;
	bool *drawn; /* by row */
};

static void add_text(struct buf *out, struct str text)
{
	const uint8_t *p = (const uint8_t *)text.ptr;
	size_t len = MIN(text.len, (size_t)NAME_MAX_BYTES);

	for (size_t i = 0, n; i < len; i += n) {
		n = utf8_length(p + i, text.len - i);
		if (!n || p[i] < 0x20 || p[i] == 0x7f) {
			(void)buf_add_str(out, UTF8_REPLACEMENT);
			n = n ? n : 1;
		} else if (p[i] == '"' || p[i] == '\\') {
			(void)buf_printf(out, "\\%c", p[i]);
		} else {
			(void)buf_add(out, p + i, n);
		}
	}
	if (len < text.len)
		(void)buf_add_str(out, "...");
}

static int edge_find(struct graph *graph, uint32_t from, uint32_t to, struct edge **ret_edge)
{
	const uint32_t pair[] = {from, to};
	uint32_t number;
	int rc = intern_put(&graph->edges_index, (const char *)pair, sizeof(pair), &number);

	if (!rc)
		rc = array_grow(&graph->edges, sizeof(*graph->edges), &graph->edges_capacity,
				(size_t)number + 1);
	if (rc)
		return rc;
	for (; graph->edges_count <= number; graph->edges_count++)
		graph->edges[graph->edges_count] = (struct edge){.from = from, .to = to};
	*ret_edge = &graph->edges[number];
	return 0;
}

/* An arrow grows by a node's total only where it is not open above, so recursion counts once. */
static int edges_sum(struct graph *graph, const struct query_view *view, uint32_t *path,
		     uint32_t *open)
{
	size_t depth = 0;

	for (size_t i = 0; i < view->count; i++) {
		const struct query_tree_node *node = view_node(view, i);
		struct edge *edge;

		for (; depth && depth >= view->depth[i]; depth--)
			if (open[depth])
				graph->edges[open[depth]].open--;
		depth = view->depth[i];
		path[depth] = graph->rows.row_of[node->key];
		open[depth] = 0;
		if (depth < 2)
			continue;
		int rc = edge_find(graph, path[depth - 1], path[depth], &edge);

		if (rc)
			return rc;
		if (!edge->open++)
			edge->total = sum_add(edge->total, node->total);
		open[depth] = (uint32_t)(edge - graph->edges);
	}
	return 0;
}

static int by_total(const void *a, const void *b, void *arg)
{
	const struct view_row *rows = arg;
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	if (rows[x].total != rows[y].total)
		return rows[x].total < rows[y].total ? 1 : -1;
	return (x > y) - (x < y);
}

static void node_write(struct buf *out, const struct query_tree *tree, const struct view_row *row,
		       uint32_t number)
{
	double whole = tree->total ? (double)tree->total : 1;
	double own = fabs((double)row->self) / whole, all = fabs((double)row->total) / whole;

	(void)buf_printf(out, "n%u [label=\"", number);
	add_text(out, row->name);
	(void)buf_printf(out, "\\n%lld (%.2f%%)", (long long)row->self, 100 * own);
	if (row->total != row->self)
		(void)buf_printf(out, "\\nof %lld (%.2f%%)", (long long)row->total, 100 * all);
	(void)buf_printf(out, "\",fontsize=%.0f,fillcolor=\"%.3f %.3f 1.000\"]\n",
			 8 + 16 * sqrt(MIN(own, 1.0)), 0.08, 0.02 + 0.5 * MIN(all, 1.0));
}

static void graph_write(struct graph *graph, const struct query_view *view, struct buf *out)
{
	const struct query_tree *tree = view->tree;
	struct view_rows *rows = &graph->rows;
	size_t shown = MIN(rows->order_count, (size_t)NODES_MAX), arrows = 0;

	if (rows->order_count)
		qsort_r(rows->order, rows->order_count, sizeof(*rows->order), by_total, rows->rows);
	for (size_t i = 0; i < shown; i++)
		graph->drawn[rows->order[i]] = true;
	(void)buf_add_str(out, "digraph hearth {\ngraph [label=\"");
	add_text(out, str_of(tree->type_id));
	(void)buf_printf(out, "\\ntotal %lld ", (long long)tree->total);
	add_text(out, str_of(tree->unit));
	(void)buf_printf(
	    out,
	    ", %llu samples, %zu of %zu functions\",labelloc=t,fontname=\"sans-serif\"]\n"
	    "node [shape=box,style=filled,fontname=\"sans-serif\"]\n"
	    "edge [fontname=\"sans-serif\",fontsize=8]\n",
	    (unsigned long long)tree->facts.samples, shown, rows->order_count);
	for (size_t i = 0; i < shown; i++)
		node_write(out, tree, &rows->rows[rows->order[i]], rows->order[i]);
	for (size_t i = 1; i < graph->edges_count; i++) {
		const struct edge *edge = &graph->edges[i];

		if (!edge->total || !graph->drawn[edge->from] || !graph->drawn[edge->to])
			continue;
		arrows++;
		(void)buf_printf(
		    out, "n%u -> n%u [label=\" %lld\",penwidth=%.2f]\n", edge->from, edge->to,
		    (long long)edge->total,
		    1 + 4 * MIN(fabs((double)edge->total / (double)(tree->total ? tree->total : 1)),
				1.0));
	}
	(void)buf_printf(out, "}\n// %zu arrows\n", arrows);
}

static int write(const struct query_view *view, struct buf *out)
{
	struct graph graph = {0};
	uint32_t deepest = 0;

	for (size_t i = 0; i < view->count; i++)
		deepest = MAX(deepest, view->depth[i]);
	uint32_t *CLEANUP(cleanup_free) path = calloc((size_t)deepest + 1, sizeof(*path));
	uint32_t *CLEANUP(cleanup_free) open = calloc((size_t)deepest + 1, sizeof(*open));
	int rc = path && open ? view_rows_init(&graph.rows, view, ROWS_BY_NAME) : -ENOMEM;

	if (!rc)
		rc = intern_init(&graph.edges_index, (size_t)256 << 20);
	if (!rc) {
		graph.drawn = calloc(graph.rows.count + 1, sizeof(*graph.drawn));
		rc = graph.drawn ? edges_sum(&graph, view, path, open) : -ENOMEM;
	}
	if (!rc)
		graph_write(&graph, view, out);
	else
		out->failed = rc;
	intern_release(&graph.edges_index);
	view_rows_release(&graph.rows);
	free(graph.edges);
	free(graph.drawn);
	return out->failed;
}

const struct query_format format_dot = {
    .name = "dot",
    .content_type = "text/vnd.graphviz; charset=utf-8",
    .suffix = "dot",
    .write = write,
};
