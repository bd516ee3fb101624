/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text, in the columns of `go tool pprof -top`: flat, its share, the sum of shares so far, cum, its
 * share, name; rows by falling flat.  Frames of one name are one row, as there, and values share
 * the one unit that suits the smallest of them. Source: google/pprof, internal/report
 * (generateTextReport, selectOutputUnit) and internal/measurement.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"
#include "query/rows.h"

struct scale {
	const char *name;
	double factor;
};

static const struct scale times[] = {
    {"ns", 1}, {"us", 1e3}, {"ms", 1e6}, {"s", 1e9}, {"hrs", 3600e9}};
static const struct scale bytes[] = {{"B", 1},       {"kB", 0x1p10}, {"MB", 0x1p20},
				     {"GB", 0x1p30}, {"TB", 0x1p40}, {"PB", 0x1p50}};

/* The largest unit in which the value is at least one; NULL for units that are not scaled. */
static const struct scale *scale_of(int64_t value, const char *unit)
{
	const struct scale *all = times, *best;
	size_t count = ARRAY_LEN(times);

	if (!strcmp(unit, "bytes")) {
		all = bytes;
		count = ARRAY_LEN(bytes);
	} else if (strcmp(unit, "nanoseconds") != 0) {
		return NULL;
	}
	best = all;
	for (size_t i = 0; i < count; i++)
		if (fabs((double)value) >= all[i].factor)
			best = &all[i];
	return best;
}

/* One unit for all rows; a hundredth of it is still shown, so the smallest row may be that small.
 */
static const struct scale *scale_choose(const struct view_rows *rows, int64_t total,
					const char *unit)
{
	int64_t least = 0;

	for (size_t i = 0; i < rows->order_count; i++) {
		const struct view_row *row = &rows->rows[rows->order[i]];
		int64_t value = llabs(row->self ? row->self : row->total);

		if (value && (!least || value < least))
			least = value;
	}
	if (!least)
		least = total;
	bool far_apart =
	    scale_of(least, unit) != scale_of(total, unit) && (double)least * 100 < (double)total;

	return scale_of(far_apart ? least * 100 : least, unit);
}

static void value_text(int64_t value, const struct scale *scale, char to[40])
{
	int len = snprintf(to, 40, "%.2f", (double)value / (scale ? scale->factor : 1));

	if (len > 3 && !strcmp(to + len - 3, ".00"))
		to[len -= 3] = '\0';
	if (!strcmp(to, "0") || !strcmp(to, "-0"))
		(void)snprintf(to, 40, "0");
	else if (scale)
		(void)snprintf(to + len, 40 - (size_t)len, "%s", scale->name);
}

static void share_text(int64_t value, int64_t total, char to[40])
{
	double ratio = total ? fabs((double)value / (double)total) * 100 : 0;

	if (ratio >= 99.95 && ratio <= 100.05)
		(void)snprintf(to, 40, "  100%%");
	else
		(void)snprintf(to, 40, ratio >= 1 ? "%5.2f%%" : "%5.2g%%", ratio);
}

/* A name must not end its line, nor drive a terminal. */
static void add_name(struct buf *out, struct str name)
{
	const uint8_t *p = (const uint8_t *)name.ptr;

	for (size_t i = 0, n; i < name.len; i += n) {
		n = utf8_length(p + i, name.len - i);
		if (!n) {
			(void)buf_add_str(out, UTF8_REPLACEMENT);
			n = 1;
		} else if (p[i] < 0x20 || p[i] == 0x7f ||
			   (n == 2 && p[i] == 0xc2 && p[i + 1] < 0xa0)) {
			(void)buf_printf(out, "\\x%02x", n == 2 ? p[i + 1] : p[i]);
		} else {
			(void)buf_add(out, p + i, n);
		}
	}
}

static void row_write(struct buf *out, const struct view_row *row, int64_t so_far, int64_t total,
		      const struct scale *scale)
{
	char flat[40], flat_share[40], sum_share[40], cum[40], cum_share[40];

	value_text(row->self, scale, flat);
	share_text(row->self, total, flat_share);
	share_text(so_far, total, sum_share);
	value_text(row->total, scale, cum);
	share_text(row->total, total, cum_share);
	(void)buf_printf(out, "%10s %s %s %10s %s  ", flat, flat_share, sum_share, cum, cum_share);
	add_name(out, row->name);
	(void)buf_add_byte(out, '\n');
}

static int write(const struct query_view *view, struct buf *out)
{
	const struct query_tree *tree = view->tree;
	struct view_rows rows;
	char total[40], shown[40], share[40];
	int64_t so_far = 0, sum = 0;
	int rc = view_rows_init(&rows, view, ROWS_BY_NAME);

	if (rc)
		return out->failed = rc;
	const struct scale *scale = scale_choose(&rows, tree->total, tree->unit);

	for (size_t i = 0; i < rows.order_count; i++)
		sum = sum_add(sum, rows.rows[rows.order[i]].self);
	value_text(tree->total, scale, total);
	value_text(sum, scale, shown);
	share_text(sum, tree->total, share);
	(void)buf_printf(out, "Type: %s\nShowing nodes accounting for %s, %s of %s total\n",
			 tree->type_id, shown, share + strspn(share, " "), total);
	(void)buf_printf(out, "%10s %5s%% %5s%% %10s %5s%%\n", "flat", "flat", "sum", "cum", "cum");
	for (size_t i = 0; i < rows.order_count; i++) {
		const struct view_row *row = &rows.rows[rows.order[i]];

		so_far = sum_add(so_far, row->self);
		row_write(out, row, so_far, tree->total, scale);
	}
	view_rows_release(&rows);
	return out->failed;
}

const struct query_format format_text = {
    .name = "text",
    .content_type = "text/plain; charset=utf-8",
    .suffix = "txt",
    .write = write,
};
