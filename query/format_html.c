/* SPDX-License-Identifier: Apache-2.0 */
/* A flame graph as one HTML file that fetches nothing (query/html.h). */
#include "query/format.h"
#include "query/html.h"

extern const struct query_format format_json, format_svg;

static const char *alias_of(const struct query_tree *tree)
{
	struct profile_type type;

	return profile_type_parse(str_of(tree->type_id), &type, NULL) ? NULL
								      : profile_type_alias(&type);
}

static int write(const struct query_view *view, struct buf *out)
{
	const struct query_format *inner = html_has_page() ? &format_json : &format_svg;
	struct buf body CLEANUP(buf_release);

	buf_init(&body, out->max);
	int rc = inner->write(view, &body);

	html_begin(out, view->tree->type_id);
	if (!rc && html_has_page())
		html_json(out, "profile", alias_of(view->tree), &body);
	else if (!rc)
		html_picture(out, &body);
	html_end(out);
	if (rc && !out->failed)
		out->failed = rc;
	return out->failed;
}

const struct query_format format_html = {
    .name = "html",
    .content_type = "text/html; charset=utf-8",
    .suffix = "html",
    .is_page = true,
    .write = write,
};
