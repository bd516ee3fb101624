/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pprof, gzip'd: one sample type, by function and line unless asked otherwise, so that `go tool pprof`
 * opens it.  A node is a location; an inlined function is a frame as any other.  What is hidden below a
 * node is its callee [hidden].
 */
#include <errno.h>

#include "query/format.h"
#include "wire/compress.h"
#include "wire/pprof_write.h"

#define PPROF_MAX ((size_t)256 << 20)

struct writer {
	const struct query_view *view;
	struct pprof_writer *pprof;
	uint64_t *path;	 /* locations from the root, by depth */
	uint64_t *stack; /* the same, leaf first */
	uint64_t hidden;
};

static struct str text(const struct query_view *view, uint32_t string)
{
	return intern_get(&view->tree->strings, string);
}

static uint64_t location_of(struct writer *w, const struct query_key *key)
{
	const struct pprof_write_mapping mapping = { .filename = text(w->view, key->library), .has_names = true };
	/* No system name: equal to the other it would have pprof demangle again, and cut at "<". */
	const struct pprof_write_line line = { .function = text(w->view, key->function),
					       .file = text(w->view, key->file),
					       .line = key->line,
					       /* Go's compiler takes no profile without. */
					       .start_line = key->start_line ? key->start_line : key->line };

	return pprof_write_location(w->pprof,
				    key->library ? pprof_write_mapping(w->pprof, &mapping) : 0, 0, &line, 1);
}

static void sample_add(struct writer *w, uint32_t depth, uint64_t below, int64_t value)
{
	size_t count = 0;

	if (below)
		w->stack[count++] = below;
	for (uint32_t d = depth; d > 0; d--)
		w->stack[count++] = w->path[d];
	pprof_write_sample(w->pprof, w->stack, count, &value, NULL, 0);
}

static void nodes_write(struct writer *w)
{
	const struct query_view *view = w->view;

	for (size_t i = 0; i < view->count; i++) {
		const struct query_tree_node *node = view_node(view, i);
		uint32_t depth = view->depth[i];

		if (depth)
			w->path[depth] = location_of(w, &view->tree->keys[node->key]);
		if (node->self)
			sample_add(w, depth, 0, node->self);
		if (view->hidden_self[i])
			sample_add(w, depth, w->hidden, view->hidden_self[i]);
	}
}

static void head_write(struct writer *w)
{
	const struct query_tree *tree = w->view->tree;
	const struct pprof_write_line hidden = { .function = STR("[hidden]") };
	struct profile_type type;

	if (profile_type_parse(str_of(tree->type_id), &type, NULL) == 0) {
		pprof_write_type(w->pprof, type.type, type.unit);
		pprof_write_period(w->pprof, type.period_type, type.period_unit, 1);
	}
	pprof_write_time(w->pprof, tree->range.from_ns, tree->range.until_ns - tree->range.from_ns);
	if (w->view->hidden_nodes)
		w->hidden = pprof_write_location(w->pprof, 0, 0, &hidden, 1);
}

int query_pprof_write(const struct query_view *view, struct buf *out)
{
	uint32_t deepest = 0;

	for (size_t i = 0; i < view->count; i++)
		deepest = MAX(deepest, view->depth[i]);
	uint64_t *CLEANUP(cleanup_free) path = calloc(deepest + 1, sizeof(*path));
	uint64_t *CLEANUP(cleanup_free) stack = calloc(deepest + 2, sizeof(*stack));
	struct writer w = { .view = view, .path = path, .stack = stack };

	if (!path || !stack || pprof_writer_new(PPROF_MAX, &w.pprof))
		return out->failed = -ENOMEM;
	head_write(&w);
	nodes_write(&w);
	int rc = pprof_writer_finish(w.pprof, out, NULL);

	pprof_writer_free(w.pprof);
	return rc ? out->failed = rc : out->failed;
}

static int write(const struct query_view *view, struct buf *out)
{
	struct buf plain;

	buf_init(&plain, PPROF_MAX);
	int rc = query_pprof_write(view, &plain);

	if (!rc)
		rc = wire_compress_gzip(plain.data, plain.len, out);
	buf_release(&plain);
	if (rc && !out->failed)
		out->failed = rc;
	return out->failed;
}

const struct query_format format_pprof = {
	.name = "pprof",
	.content_type = "application/octet-stream",
	.suffix = "pb.gz",
	.binary = true,
	.granularity = QUERY_BY_LINE,
	.write = write,
};
