/* SPDX-License-Identifier: Apache-2.0 */
/*
 * query/html.h - what the html format puts around a profile: the page's own renderer, made by web/.
 *
 * This room has no page in it; who has one (hearthd) hands it in before the first question.
 */
#ifndef QUERY_HTML_H
#define QUERY_HTML_H

#include "base/util.h"

struct query_html_parts {
	const unsigned char *script, *style;
	size_t script_len, style_len;         /* 0: built without the page */
	const char *script_hash, *style_hash; /* "sha256-...", for the file's policy */
};

/* Use it from now on; borrowed for good. Call it before a second thread is there. */
void query_html_use(const struct query_html_parts *parts);

#endif
