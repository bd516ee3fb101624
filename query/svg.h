/* SPDX-License-Identifier: Apache-2.0 */
/*
 * query/svg.h - text in SVG.  Private to query/.
 */
#ifndef QUERY_SVG_H
#define QUERY_SVG_H

#include "base/buf.h"

/* Escaped; what XML forbids is U+FFFD. */
void svg_text(struct buf *out, const char *text, size_t len);
/* "1.23 s", "45 ms", "3.1 MiB", "120 count". */
void svg_value(struct buf *out, double value, const char *unit);

#endif
