/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CSV (RFC 4180): name,file,line,library,self,total,samples, one row a function (or what the
 * granularity makes of it), by falling self; the header line names the unit.
 */
#include <string.h>

#include "base/utf8.h"
#include "query/rows.h"

/*
 * Every text is quoted, so that nothing in it ends a field.  A spreadsheet takes a text that begins
 * with one of =+-@ for a formula even then, so it gets an apostrophe, which such programs do not
 * show.
 */
static void add_field(struct buf *out, struct str text)
{
	const uint8_t *p = (const uint8_t *)text.ptr;

	(void)buf_add_byte(out, '"');
	if (text.len && memchr("=+-@\t\r", p[0], 6))
		(void)buf_add_byte(out, '\'');
	for (size_t i = 0, n; i < text.len; i += n) {
		n = utf8_length(p + i, text.len - i);
		if (!n) {
			(void)buf_add_str(out, UTF8_REPLACEMENT);
			n = 1;
		} else if (p[i] == '"') {
			(void)buf_add_str(out, "\"\"");
		} else if (p[i] < 0x20 || p[i] == 0x7f) {
			(void)buf_printf(out, "\\x%02x", p[i]);
		} else {
			(void)buf_add(out, p + i, n);
		}
	}
	(void)buf_add_byte(out, '"');
}

static int write(const struct query_view *view, struct buf *out)
{
	const char *unit = view->tree->unit;
	struct view_rows rows;
	int rc = view_rows_init(&rows, view, ROWS_BY_KEY);

	if (rc)
		return out->failed = rc;
	(void)buf_printf(out, "name,file,line,library,self (%s),total (%s),samples\r\n", unit,
			 unit);
	for (size_t i = 0; i < rows.order_count; i++) {
		const struct view_row *row = &rows.rows[rows.order[i]];

		add_field(out, row->name);
		(void)buf_add_byte(out, ',');
		add_field(out, row->file);
		(void)buf_printf(out, ",%u,", row->line);
		add_field(out, row->library);
		(void)buf_printf(out, ",%lld,%lld,%llu\r\n", (long long)row->self,
				 (long long)row->total, (unsigned long long)row->samples);
	}
	view_rows_release(&rows);
	return out->failed;
}

const struct query_format format_csv = {
    .name = "csv",
    .content_type = "text/csv; charset=utf-8",
    .suffix = "csv",
    .write = write,
};
