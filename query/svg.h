/* SPDX-License-Identifier: Apache-2.0 */
/*
 * query/svg.h - what flame graphs of one tree and of two have in common as SVG.  Private to query/.
 */
#ifndef QUERY_SVG_H
#define QUERY_SVG_H

#include "base/buf.h"
#include "base/util.h"

#define SVG_WIDTH 1200.0
#define SVG_ROW 17
#define SVG_HEAD 44
#define SVG_MARGIN 8
#define SVG_NARROWEST 0.1

/* Escaped; what XML forbids is U+FFFD. */
void svg_text(struct buf *out, const char *text, size_t len);
/* "1.23 s", "45 ms", "3.1 MiB", "120 count". */
void svg_value(struct buf *out, double value, const char *unit);

/* The file's begin, its first line of text, and the second as far as its own begin. */
void svg_head(struct buf *out, double height, const char *title);
/* A frame's rectangle as far as its colour, and what follows on that: the name, as much as has
 * room. */
void svg_box_begin(struct buf *out, double left, double top, double width);
void svg_box_end(struct buf *out, double left, double top, double width, struct str name);
/* The second line's end, with what is not drawn and `note`, and then all frames; `out` has failed
 * if `frames` has. */
void svg_end(struct buf *out, const struct buf *frames, size_t narrow, size_t hidden,
	     const char *note);

#endif
