/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pprof, gzip'd: one sample type, by function and line unless asked otherwise, so that `go tool
 * pprof` opens it.  A node is a location; an inlined function is a frame as any other.  What is
 * hidden below a node is its callee [hidden].
 */
#include "query/format_pprof.h"

#include <errno.h>

#include "wire/compress.h"

#define PPROF_MAX ((size_t)256 << 20)

static struct str text(const struct query_view *view, uint32_t string)
{
	return intern_get(&view->tree->strings, string);
}

static uint64_t location_of(struct query_pprof *p, const struct query_key *key)
{
	const struct pprof_write_mapping mapping = {.filename = text(p->view, key->library),
						    .has_names = true};
	/* No system name: equal to the other it would have pprof demangle again, and cut at "<". */
	const struct pprof_write_line line = {.function = text(p->view, key->function),
					      .file = text(p->view, key->file),
					      .line = key->line,
					      /* Go's compiler takes no profile without. */
					      .start_line =
						  key->start_line ? key->start_line : key->line};

	return pprof_write_location(
	    p->writer, key->library ? pprof_write_mapping(p->writer, &mapping) : 0, 0, &line, 1);
}

static void head_write(struct query_pprof *p)
{
	const struct query_tree *tree = p->view->tree;
	const struct pprof_write_line hidden = {.function = STR("[hidden]")};
	struct profile_type type;

	if (profile_type_parse(str_of(tree->type_id), &type, NULL) == 0) {
		pprof_write_type(p->writer, type.type, type.unit);
		pprof_write_period(p->writer, type.period_type, type.period_unit, 1);
	}
	pprof_write_time(p->writer, tree->range.from_ns,
			 tree->range.until_ns - tree->range.from_ns);
	if (tree->facts.partial)
		pprof_write_comment(p->writer, STR("partial: the deadline came first"));
	if (tree->facts.folded)
		pprof_write_comment(p->writer,
				    STR("folded: small stacks stand at [other], for want of room"));
	if (p->view->hidden_nodes)
		p->hidden = pprof_write_location(p->writer, 0, 0, &hidden, 1);
}

static void release(struct query_pprof *p)
{
	pprof_writer_free(p->writer);
	free(p->locations);
	free(p->stack);
	free(p->shown);
	*p = (struct query_pprof){0};
}

int query_pprof_begin(struct query_pprof *pprof, const struct query_view *view)
{
	size_t nodes = view->tree->nodes_count;
	uint32_t deepest = 0;

	for (size_t i = 0; i < view->count; i++)
		deepest = MAX(deepest, view->depth[i]);
	*pprof = (struct query_pprof){.view = view,
				      .locations = calloc(nodes, sizeof(*pprof->locations)),
				      .stack = calloc((size_t)deepest + 2, sizeof(*pprof->stack)),
				      .shown = calloc(nodes, sizeof(*pprof->shown))};
	if (!pprof->locations || !pprof->stack || !pprof->shown ||
	    pprof_writer_new(PPROF_MAX, &pprof->writer)) {
		release(pprof);
		return -ENOMEM;
	}
	for (size_t i = 0; i < view->count; i++)
		pprof->shown[view->order[i]] = true;
	head_write(pprof);
	return 0;
}

static void sample_write(struct query_pprof *p, bool hidden, uint32_t node, int64_t value,
			 const struct pprof_write_label *labels, size_t labels_count)
{
	const struct query_tree *tree = p->view->tree;
	size_t count = 0;

	if (hidden)
		p->stack[count++] = p->hidden;
	for (; node; node = tree->nodes[node].parent) {
		if (!p->locations[node])
			p->locations[node] = location_of(p, &tree->keys[tree->nodes[node].key]);
		p->stack[count++] = p->locations[node];
	}
	pprof_write_sample(p->writer, p->stack, count, &value, labels, labels_count);
}

void query_pprof_sample(struct query_pprof *p, uint32_t node, int64_t value,
			const struct pprof_write_label *labels, size_t labels_count)
{
	uint32_t at = node;

	while (!p->shown[at])
		at = p->view->tree->nodes[at].parent;
	sample_write(p, at != node, at, value, labels, labels_count);
}

int query_pprof_end(struct query_pprof *p, struct buf *out)
{
	int rc = pprof_writer_finish(p->writer, out, NULL);

	release(p);
	return rc ? out->failed = rc : out->failed;
}

int query_pprof_write(const struct query_view *view, struct buf *out)
{
	struct query_pprof pprof;

	if (query_pprof_begin(&pprof, view))
		return out->failed = -ENOMEM;
	for (size_t i = 0; i < view->count; i++) {
		const struct query_tree_node *node = view_node(view, i);

		if (node->self)
			query_pprof_sample(&pprof, view->order[i], node->self, NULL, 0);
		if (query_view_hidden(view, i))
			sample_write(&pprof, true, view->order[i], query_view_hidden(view, i), NULL,
				     0);
	}
	return query_pprof_end(&pprof, out);
}

static int pack(struct buf *plain, int rc, struct buf *out)
{
	if (!rc)
		rc = wire_compress_gzip(plain->data, plain->len, out);
	buf_release(plain);
	if (rc && !out->failed)
		out->failed = rc;
	return out->failed;
}

static int write(const struct query_view *view, struct buf *out)
{
	struct buf plain;

	buf_init(&plain, PPROF_MAX);
	return pack(&plain, query_pprof_write(view, &plain), out);
}

static int write_labelled(const struct query *query, size_t max_nodes, struct buf *out,
			  struct err *err)
{
	struct buf plain;

	buf_init(&plain, PPROF_MAX);
	int rc = query_pprof_labelled(query, max_nodes, &plain, err);

	if (rc) {
		buf_release(&plain);
		return rc;
	}
	return pack(&plain, 0, out);
}

const struct query_format format_pprof = {
    .name = "pprof",
    .content_type = "application/octet-stream",
    .suffix = "pb.gz",
    .binary = true,
    .granularity = QUERY_BY_LINE,
    .write = write,
    .write_labelled = write_labelled,
};
