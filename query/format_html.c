/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A flame graph as one HTML file that fetches nothing: the page's renderer, and the profile as the
 * JSON that it reads.  Where the agent was built without its page, the SVG of format_svg.c takes
 * its place.
 *
 * The file's own policy lets its two parts run by their hashes and nothing else, so that a name
 * which got out of its string would still be only text.
 */
#include <errno.h>
#include <string.h>

#include "query/format.h"
#include "query/html.h"

static const struct query_html_parts *parts;

extern const struct query_format format_json, format_svg;

void query_html_use(const struct query_html_parts *used)
{
	parts = used->script_len ? used : NULL;
}

static void add_text(struct buf *out, const char *text)
{
	for (; *text; text++) {
		if (strchr("<>&\"'", *text) || (unsigned char)*text < 0x20)
			(void)buf_printf(out, "&#%u;", (unsigned char)*text);
		else
			(void)buf_add_byte(out, (uint8_t)*text);
	}
}

/* JSON in a script element: "<" stands in its strings alone, and must not begin a tag there. */
static int add_profile(struct buf *out, const struct query_view *view)
{
	struct buf json;
	int rc;

	buf_init(&json, out->max);
	rc = format_json.write(view, &json);
	for (size_t from = 0, at; !rc && from < json.len; from = at) {
		for (at = from; at < json.len && json.data[at] != '<';)
			at++;
		(void)buf_add(out, json.data + from, at - from);
		if (at < json.len) {
			(void)buf_add_str(out, "\\u003c");
			at++;
		}
	}
	buf_release(&json);
	return rc ? rc : out->failed;
}

static void head_write(struct buf *out, const struct query_tree *tree)
{
	(void)buf_add_str(out, "<!doctype html>\n<html lang=\"en\" "
			       "data-theme=\"auto\">\n<head>\n<meta charset=\"utf-8\">\n"
			       "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src "
			       "'none'; base-uri 'none'; "
			       "form-action 'none'; img-src data:");
	if (parts)
		(void)buf_printf(out, "; script-src '%s'; style-src '%s'", parts->script_hash,
				 parts->style_hash);
	(void)buf_add_str(
	    out, "\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
		 "<meta name=\"color-scheme\" content=\"light dark\">\n<title>");
	add_text(out, tree->type_id);
	(void)buf_add_str(out, "</title>\n");
	if (parts) {
		(void)buf_add_str(out, "<style>");
		(void)buf_add(out, parts->style, parts->style_len);
		(void)buf_add_str(out, "</style>\n");
	}
	(void)buf_add_str(out, "</head>\n<body>\n");
}

static int picture_write(const struct query_view *view, struct buf *out)
{
	struct buf svg;
	int rc;

	buf_init(&svg, out->max);
	rc = format_svg.write(view, &svg);
	const char *from = rc || !buf_cstr(&svg) ? NULL : strstr(svg.data, "<svg");

	if (from)
		(void)buf_add(out, from, svg.len - (size_t)(from - svg.data));
	buf_release(&svg);
	return rc ? rc : out->failed;
}

static int graph_write(const struct query_view *view, struct buf *out)
{
	struct profile_type type;
	const char *alias = profile_type_parse(str_of(view->tree->type_id), &type, NULL)
				? NULL
				: profile_type_alias(&type);

	(void)buf_add_str(out, "<div id=\"page\"></div>\n<noscript>This file draws its flame graph "
			       "with JavaScript.</noscript>\n"
			       "<script type=\"application/json\" id=\"profile\" data-alias=\"");
	add_text(out, alias ? alias : "");
	(void)buf_add_str(out, "\">");
	int rc = add_profile(out, view);

	(void)buf_add_str(out, "</script>\n<script>");
	(void)buf_add(out, parts->script, parts->script_len);
	(void)buf_add_str(out, "</script>\n");
	return rc ? rc : out->failed;
}

static int write(const struct query_view *view, struct buf *out)
{
	head_write(out, view->tree);
	int rc = parts ? graph_write(view, out) : picture_write(view, out);

	(void)buf_add_str(out, "</body>\n</html>\n");
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
