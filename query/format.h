/* SPDX-License-Identifier: Apache-2.0 */
/*
 * query/format.h - what an output format of a flame graph is, and the list of them.
 *
 * A format is one file that exports `const struct query_format format_<name>` and one line in
 * formats.def.  Writers are pure: a view in, bytes out.  Any thread.
 */
#ifndef QUERY_FORMAT_H
#define QUERY_FORMAT_H

#include "base/json.h"
#include "query/query.h"

struct query_format {
	const char *name;         /* "folded": ?format=, --format */
	const char *content_type; /* of the answer */
	const char *suffix;       /* of a file, without the dot */
	bool binary;              /* refused on a terminal */
	bool is_page;             /* a document with a script, to be served in a sandbox */
	enum query_granularity granularity; /* unless the question says another */

	/* Write the view. Returns 0 or the buffer's failure (-E2BIG, -ENOMEM). */
	int (*write)(const struct query_view *view, struct buf *out);

	/*
	 * Ask, and write with the labels of the samples; NULL: the format has no place for them.
	 * Returns 0, the buffer's failure, what query_merge does, or -EOPNOTSUPP with nothing
	 * written: this question has no labels, so write the view.
	 */
	int (*write_labelled)(const struct query *query, size_t max_nodes, struct buf *out,
			      struct err *err);
};

/* The format of this name, or NULL. */
const struct query_format *query_format_find(struct str name);
/* The i-th format, or NULL behind the last. */
const struct query_format *query_format_at(size_t i);

/* The view as a pprof that is not compressed. Returns 0 or the buffer's failure. */
MUST_CHECK int query_pprof_write(const struct query_view *view, struct buf *out);

/* The same with labels, as write_labelled. */
MUST_CHECK int query_pprof_labelled(const struct query *query, size_t max_nodes, struct buf *out,
				    struct err *err);

/* "samples", "lost" and "partial", as they stand in every JSON answer. */
void query_facts_json(const struct query_facts *facts, struct json *json);

/* Parts that several formats share. */
static inline struct str view_name(const struct query_view *view, size_t i)
{
	const struct query_tree *tree = view->tree;

	return intern_get(&tree->strings, tree->keys[tree->nodes[view->order[i]].key].function);
}

static inline const struct query_tree_node *view_node(const struct query_view *view, size_t i)
{
	return &view->tree->nodes[view->order[i]];
}

#endif
