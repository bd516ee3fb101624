/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A differential flame graph as one SVG file.  A frame is as wide as its share of both sides
 * together, each side counting half, so that what vanished is seen too.  Red grew and blue shrank,
 * paler the smaller the change in points; what is within two standard errors is grey.
 */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "query/diff.h"
#include "query/svg.h"

#define FULL_COLOUR 10.0 /* points of change */

static double width_of(const struct query_diff *diff, int64_t now, int64_t base)
{
	double n = diff->tree.total ? (double)now / (double)diff->tree.total : 0;
	double b = diff->base_total ? (double)base / (double)diff->base_total : 0;

	if (!diff->tree.total || !diff->base_total)
		return n + b;
	return (n + b) / 2;
}

/* In points, whatever the answer's norm is. */
static struct query_delta points_of(const struct query_diff *diff, uint32_t node)
{
	struct query_diff shares = *diff;

	shares.normal = QUERY_NORMAL_SHARE;
	return query_diff_delta(&shares, diff->now[node].total, diff->now[node].samples_total,
				diff->base[node].total, diff->base[node].samples_total);
}

static void colour_write(struct buf *out, const struct query_delta *points)
{
	double strength = MIN(fabs(points->value) / FULL_COLOUR, 1.0);

	if (fabs(points->value) <= 2 * points->se || strength == 0)
		(void)buf_add_str(out, "#e4e4e4");
	else
		(void)buf_printf(out, "hsl(%d,75%%,%.0f%%)", points->value > 0 ? 8 : 215,
				 90 - 35 * strength);
}

static void frame_write(struct buf *out, const struct query_diff_view *v, size_t i, double x,
			double width, double bottom)
{
	const struct query_diff *diff = v->diff;
	uint32_t node = v->view.order[i];
	struct str name =
	    intern_get(&diff->tree.strings, diff->tree.keys[diff->tree.nodes[node].key].function);
	struct query_delta points = points_of(diff, node);
	double scale = SVG_WIDTH - 2 * SVG_MARGIN, pixels = width * scale,
	       left = SVG_MARGIN + x * scale;
	double top = bottom - (v->view.depth[i] + 1.0) * SVG_ROW;

	(void)buf_add_str(out, "<g><title>");
	svg_text(out, name.ptr, name.len);
	(void)buf_add_str(out, "\nbase ");
	svg_value(out, (double)diff->base[node].total, diff->tree.unit);
	(void)buf_add_str(out, ", new ");
	svg_value(out, (double)diff->now[node].total, diff->tree.unit);
	(void)buf_printf(out, "\n%+.2f &#177; %.2f points", points.value, points.se);
	(void)buf_add_str(out, "</title>");
	svg_box_begin(out, left, top, pixels);
	colour_write(out, &points);
	svg_box_end(out, left, top, pixels, name);
	(void)buf_add_str(out, "</g>\n");
}

static void head_write(struct buf *out, const struct query_diff *diff, double height)
{
	svg_head(out, height, diff->tree.type_id);
	(void)buf_add_str(out, "base ");
	svg_value(out, (double)diff->base_total, diff->tree.unit);
	(void)buf_add_str(out, ", new ");
	svg_value(out, (double)diff->tree.total, diff->tree.unit);
	(void)buf_printf(out, ", %llu and %llu samples",
			 (unsigned long long)diff->base_facts.samples,
			 (unsigned long long)diff->tree.facts.samples);
}

static int write(const struct query_diff_view *v, struct buf *out)
{
	const struct query_diff *diff = v->diff;
	size_t deepest = 0, narrow = 0;
	struct buf frames;

	for (size_t i = 0; i < v->view.count; i++)
		deepest = MAX(deepest, (size_t)v->view.depth[i]);
	double bottom = SVG_HEAD + (double)(deepest + 1) * SVG_ROW;
	double *CLEANUP(cleanup_free) next = calloc(deepest + 2, sizeof(*next));
	bool any = diff->tree.total > 0 || diff->base_total > 0;

	if (!next)
		return out->failed = -ENOMEM;
	buf_init(&frames, BUF_UNLIMITED);
	for (size_t i = 0; any && i < v->view.count; i++) {
		uint32_t node = v->view.order[i], depth = v->view.depth[i];
		double width = width_of(diff, diff->now[node].total, diff->base[node].total);
		double x = next[depth];

		next[depth] += width;
		next[depth + 1] = x;
		if (width * SVG_WIDTH < SVG_NARROWEST)
			narrow++;
		else
			frame_write(&frames, v, i, x, width, bottom);
	}
	head_write(out, diff, bottom + SVG_MARGIN);
	svg_end(out, &frames, narrow, v->view.hidden_nodes,
		any ? "" : "; nothing was sampled in these ranges");
	buf_release(&frames);
	return out->failed;
}

const struct query_diff_format diff_svg = {
    .name = "svg",
    .content_type = "image/svg+xml",
    .write = write,
};
