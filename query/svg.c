/* SPDX-License-Identifier: Apache-2.0 */
#include "query/svg.h"

#include <math.h>
#include <string.h>

#include "base/utf8.h"

#define CHARACTER 6.6 /* advance of the 11 px monospace face */

/* XML 1.0 forbids most control characters, even escaped (production 2). */
void svg_text(struct buf *out, const char *text, size_t len)
{
	const uint8_t *p = (const uint8_t *)text;

	for (size_t i = 0, n; i < len; i += n) {
		n = utf8_length(p + i, len - i);
		if (!n || p[i] < 0x20 || p[i] == 0x7f ||
		    (n == 3 && p[i] == 0xef && p[i + 1] == 0xbf)) {
			(void)buf_add_str(out, UTF8_REPLACEMENT);
			n = n ? n : 1;
		} else if (strchr("<>&\"", p[i])) {
			(void)buf_printf(out, "&#%u;", p[i]);
		} else {
			(void)buf_add(out, p + i, n);
		}
	}
}

/* "1.23 s", "45 ms", "3.1 MiB", "120": three digits and a unit that a person reads. */
void svg_value(struct buf *out, double value, const char *unit)
{
	static const char *const bytes[] = {"B", "KiB", "MiB", "GiB", "TiB"};
	static const char *const times[] = {"ns", "us", "ms", "s"};
	size_t step = 0;

	if (!strcmp(unit, "bytes")) {
		for (; step + 1 < ARRAY_LEN(bytes) && fabs(value) >= 1024; step++)
			value /= 1024;
		(void)buf_printf(out, "%.4g %s", value, bytes[step]);
	} else if (!strcmp(unit, "nanoseconds")) {
		for (; step + 1 < ARRAY_LEN(times) && fabs(value) >= 1000; step++)
			value /= 1000;
		(void)buf_printf(out, "%.4g %s", value, times[step]);
	} else {
		(void)buf_printf(out, "%.15g %s", value, unit);
	}
}

void svg_head(struct buf *out, double height, const char *title)
{
	(void)buf_printf(
	    out,
	    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
	    "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %.0f %.0f\" "
	    "width=\"%.0f\" height=\"%.0f\" font-family=\"ui-monospace,monospace\" "
	    "font-size=\"11\">\n<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n"
	    "<text x=\"%d\" y=\"18\" font-size=\"14\">",
	    SVG_WIDTH, height, SVG_WIDTH, height, SVG_MARGIN);
	svg_text(out, title, strlen(title));
	(void)buf_printf(out, "</text><text x=\"%d\" y=\"34\" fill=\"#555\">", SVG_MARGIN);
}

void svg_box_begin(struct buf *out, double left, double top, double width)
{
	(void)buf_printf(out, "<rect x=\"%.2f\" y=\"%.0f\" width=\"%.2f\" height=\"%d\" fill=\"",
			 left, top, MAX(width - 0.5, 0.1), SVG_ROW - 1);
}

void svg_box_end(struct buf *out, double left, double top, double width, struct str name)
{
	size_t room = (size_t)(width / CHARACTER);

	(void)buf_add_str(out, "\"/>");
	if (room >= 3) {
		(void)buf_printf(out, "<text x=\"%.2f\" y=\"%.0f\">", left + 3, top + 12);
		svg_text(out, name.ptr, name.len <= room - 1 ? name.len : room - 2);
		(void)buf_add_str(out, name.len <= room - 1 ? "</text>" : "..</text>");
	}
}

void svg_end(struct buf *out, const struct buf *frames, size_t narrow, size_t hidden,
	     const char *note)
{
	if (narrow || hidden)
		(void)buf_printf(out, "; %zu frames too narrow to draw, %zu hidden by the limit",
				 narrow, hidden);
	(void)buf_printf(out, "%s</text>\n", note);
	(void)buf_add(out, frames->data, frames->len);
	(void)buf_add_str(out, "</svg>\n");
	if (frames->failed && !out->failed)
		out->failed = frames->failed;
}
