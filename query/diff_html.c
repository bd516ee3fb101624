/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A diff as one HTML file that fetches nothing (query/html.h): the tree, and the rows that changed
 * most.  Its changes are in points, whatever the question's norm: they colour the frames.
 */
#include "query/diff.h"
#include "query/html.h"

#define ROWS_MAX 500 /* as the page asks for */

extern const struct query_diff_format diff_json, diff_svg;

static int add_graph(const struct query_diff_view *v, const char *alias, struct buf *out)
{
	const struct query_diff_format *inner = html_has_page() ? &diff_json : &diff_svg;
	struct buf body CLEANUP(buf_release);

	buf_init(&body, out->max);
	int rc = inner->write(v, &body);

	if (!rc && html_has_page())
		html_json(out, "profile", alias, &body);
	else if (!rc)
		html_picture(out, &body);
	return rc;
}

static int add_rows(const struct query_diff *diff, struct buf *out)
{
	struct query_diff_table table;
	struct buf body CLEANUP(buf_release);

	buf_init(&body, out->max);
	int rc = query_diff_rows(diff, &table);

	if (rc)
		return rc;
	rc = query_diff_table_json(diff, &table, ROWS_MAX, &body);
	if (!rc)
		html_json(out, "rows", NULL, &body);
	query_diff_table_release(&table);
	return rc;
}

static int write(const struct query_diff_view *v, struct buf *out)
{
	struct query_diff shares = *v->diff;
	struct query_diff_view view = *v;
	struct profile_type type;
	const char *alias = profile_type_parse(str_of(shares.tree.type_id), &type, NULL)
				? NULL
				: profile_type_alias(&type);

	shares.normal = QUERY_NORMAL_SHARE;
	view.diff = &shares;
	html_begin(out, shares.tree.type_id);
	int rc = add_graph(&view, alias, out);

	if (!rc && html_has_page())
		rc = add_rows(&shares, out);
	html_end(out);
	if (rc && !out->failed)
		out->failed = rc;
	return out->failed;
}

const struct query_diff_format diff_html = {
    .name = "html",
    .content_type = "text/html; charset=utf-8",
    .is_page = true,
    .write = write,
};
