/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A flame graph as one SVG file: root below, a tooltip on each frame, no script, no link, nothing
 * fetched.  Frames narrower than a tenth of a pixel are left out and counted in the caption.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "query/format.h"
#include "query/svg.h"

/* A library has one hue, a function one lightness: siblings differ, the picture stays calm. */
static void add_colour(struct buf *out, struct str library, struct str function)
{
	struct hash128 l = hash128(library.ptr, library.len),
		       f = hash128(function.ptr, function.len);
	unsigned hue = library.len ? (unsigned)(l.lo % 360) : 210;

	(void)buf_printf(out, "hsl(%u,%u%%,%u%%)", hue, 45 + (unsigned)(f.hi % 10),
			 70 + (unsigned)(f.lo % 13));
}

struct place {
	double x; /* where the next child starts, in values */
};

static void frame_write(struct buf *out, const struct query_view *view, size_t i, double x,
			double bottom)
{
	const struct query_tree *tree = view->tree;
	const struct query_tree_node *node = view_node(view, i);
	const struct query_key *key = &tree->keys[node->key];
	struct str name = view_name(view, i), library = intern_get(&tree->strings, key->library);
	struct str file = intern_get(&tree->strings, key->file);
	double scale = (SVG_WIDTH - 2 * SVG_MARGIN) / (double)tree->total;
	double width = (double)node->total * scale, left = SVG_MARGIN + x * scale;
	double top = bottom - (view->depth[i] + 1.0) * SVG_ROW;

	(void)buf_add_str(out, "<g><title>");
	svg_text(out, name.ptr, name.len);
	(void)buf_add_str(out, "\n");
	svg_value(out, (double)node->total, tree->unit);
	(void)buf_printf(out, ", %.2f%%", 100.0 * (double)node->total / (double)tree->total);
	if (file.len) {
		(void)buf_add_str(out, "\n");
		svg_text(out, file.ptr, file.len);
		if (key->line)
			(void)buf_printf(out, ":%u", key->line);
	}
	if (library.len) {
		(void)buf_add_str(out, "\n");
		svg_text(out, library.ptr, library.len);
	}
	(void)buf_add_str(out, "</title>");
	svg_box_begin(out, left, top, width);
	add_colour(out, library, name);
	svg_box_end(out, left, top, width, name);
	(void)buf_add_str(out, "</g>\n");
}

static void head_write(struct buf *out, const struct query_tree *tree, double height)
{
	svg_head(out, height, tree->type_id);
	(void)buf_add_str(out, "total ");
	svg_value(out, (double)tree->total, tree->unit);
	(void)buf_printf(out, ", %llu samples", (unsigned long long)tree->facts.samples);
}

static int write(const struct query_view *view, struct buf *out)
{
	const struct query_tree *tree = view->tree;
	size_t deepest = 0, narrow = 0;
	struct buf frames;

	for (size_t i = 0; i < view->count; i++)
		deepest = MAX(deepest, (size_t)view->depth[i]);
	double bottom = SVG_HEAD + (double)(deepest + 1) * SVG_ROW;
	struct place *CLEANUP(cleanup_free) places = calloc(deepest + 2, sizeof(*places));

	if (!places)
		return out->failed = -ENOMEM;
	buf_init(&frames, BUF_UNLIMITED);
	for (size_t i = 0; tree->total > 0 && i < view->count; i++) {
		const struct query_tree_node *node = view_node(view, i);
		struct place *parent = &places[view->depth[i]];
		double x = parent->x, width = (double)node->total / (double)tree->total * SVG_WIDTH;

		parent->x += (double)node->total;
		places[view->depth[i] + 1].x = x;
		if (width < SVG_NARROWEST)
			narrow++;
		else
			frame_write(&frames, view, i, x, bottom);
	}
	head_write(out, tree, bottom + SVG_MARGIN);
	svg_end(out, &frames, narrow, view->hidden_nodes,
		tree->total ? "" : "; nothing was sampled in this range");
	buf_release(&frames);
	return out->failed;
}

const struct query_format format_svg = {
    .name = "svg",
    .content_type = "image/svg+xml",
    .suffix = "svg",
    .write = write,
};
