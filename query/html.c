/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parts of an HTML file that shows one answer and fetches nothing.
 *
 * The file's own policy lets the page's script and style run by their hashes and nothing else, so
 * that a name which got out of its string would still be only text.
 */
#include "query/html.h"

#include <string.h>

static const struct query_html_parts *parts;

void query_html_use(const struct query_html_parts *used)
{
	parts = used->script_len ? used : NULL;
}

bool html_has_page(void)
{
	return parts;
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

void html_begin(struct buf *out, const char *title)
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
	add_text(out, title);
	(void)buf_add_str(out, "</title>\n");
	if (parts) {
		(void)buf_add_str(out, "<style>");
		(void)buf_add(out, parts->style, parts->style_len);
		(void)buf_add_str(out, "</style>\n");
	}
	(void)buf_add_str(out, "</head>\n<body>\n");
	if (parts)
		(void)buf_add_str(out,
				  "<div id=\"page\"></div>\n<noscript>This file draws its flame "
				  "graph with JavaScript.</noscript>\n");
}

/* "<" stands in JSON's strings alone, and must not begin a tag there. */
void html_json(struct buf *out, const char *id, const char *alias, const struct buf *json)
{
	(void)buf_printf(out, "<script type=\"application/json\" id=\"%s\" data-alias=\"", id);
	add_text(out, alias ? alias : "");
	(void)buf_add_str(out, "\">");
	for (size_t from = 0, at; from < json->len; from = at) {
		for (at = from; at < json->len && json->data[at] != '<';)
			at++;
		(void)buf_add(out, json->data + from, at - from);
		if (at < json->len) {
			(void)buf_add_str(out, "\\u003c");
			at++;
		}
	}
	(void)buf_add_str(out, "</script>\n");
}

void html_picture(struct buf *out, struct buf *svg)
{
	const char *from = buf_cstr(svg) ? strstr(svg->data, "<svg") : NULL;

	if (from)
		(void)buf_add(out, from, svg->len - (size_t)(from - svg->data));
}

void html_end(struct buf *out)
{
	if (parts) {
		(void)buf_add_str(out, "<script>");
		(void)buf_add(out, parts->script, parts->script_len);
		(void)buf_add_str(out, "</script>\n");
	}
	(void)buf_add_str(out, "</body>\n</html>\n");
}
