/* SPDX-License-Identifier: Apache-2.0 */
/*
 * query/html.h - a file that shows one answer: the page's own renderer, made by web/, and the
 * answer as the JSON that it reads.
 *
 * This room has no page in it; who has one (hearthd) hands it in before the first question.  Built
 * without the page, files hold a picture instead.  Failures stick to the buffer.
 */
#ifndef QUERY_HTML_H
#define QUERY_HTML_H

#include "base/buf.h"

struct query_html_parts {
	const unsigned char *script, *style;
	size_t script_len, style_len;         /* 0: built without the page */
	const char *script_hash, *style_hash; /* "sha256-...", for the file's policy */
};

/* Use it from now on; borrowed for good. Call it before a second thread is there. */
void query_html_use(const struct query_html_parts *parts);

/* Whether there is a renderer for html_json; else show an html_picture. */
bool html_has_page(void);

void html_begin(struct buf *out, const char *title);
/* An answer; `alias` of its type, or NULL. */
void html_json(struct buf *out, const char *id, const char *alias, const struct buf *json);
/* An SVG document, from its root element on. */
void html_picture(struct buf *out, struct buf *svg);
void html_end(struct buf *out);

#endif
