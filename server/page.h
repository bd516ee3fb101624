/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server/page.h - the web page's files, embedded at build time (web/CMakeLists.txt makes the
 * table).
 */
#ifndef SERVER_PAGE_H
#define SERVER_PAGE_H

#include <stdbool.h>
#include <stddef.h>

struct page_file {
	const char *path; /* "/", "/assets/index-abc.js" */
	const char *content_type;
	const char *etag;          /* quoted */
	const unsigned char *gzip; /* the file, gzip'd */
	size_t gzip_len;
	size_t plain_len;
	bool immutable; /* its name changes with its content */
};

/* Ends with a path of NULL; empty when built without the page. */
extern const struct page_file page_files[];

/* The renderer of a flame graph in one file; its lengths are 0 when built without the page. */
struct query_html_parts;
extern const struct query_html_parts page_html;

#endif
