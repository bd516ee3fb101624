/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cli/export.h - answers to files, for the verbs that write some.
 */
#ifndef CLI_EXPORT_H
#define CLI_EXPORT_H

#include "cli/ask.h"
#include "query/format.h"

/* The format whose suffix ends `path`, the longest that does; NULL when none. */
const struct query_format *export_format_of(const char *path);

/* Ask for the flame graph that `options` select in a format, and write it to options->output or
 * stdout. Returns 0, EXIT_NO_DATA when nothing was sampled, or another exit code, having
 * complained. */
int export_write(const struct options *options, const struct query_format *format,
		 const char *max_nodes);

/* Write what was answered to options->output, whole or not at all; NULL: to stdout. */
int export_save(const struct options *options, const struct buf *body);

#endif
