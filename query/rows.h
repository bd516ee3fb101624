/* SPDX-License-Identifier: Apache-2.0 */
/*
 * query/rows.h - the frames of a view summed to rows, for formats that are tables or call graphs.
 *
 * Private to query/format_*.c; any thread.
 */
#ifndef QUERY_ROWS_H
#define QUERY_ROWS_H

#include "query/format.h"

struct view_row {
	struct str name, file,
	    library; /* of the tree; file and library are "" where rows join several */
	uint32_t line;
	int64_t self, total; /* recursion counts once in a total */
	uint64_t samples;    /* behind self */
	uint32_t open;       /* of the walk */
};

struct view_rows {
	struct view_row *rows; /* row 0 is the root's; the last is [hidden], when something is */
	size_t count;
	uint32_t *row_of; /* by key of the tree */
	uint32_t
	    *order; /* all rows but the root's that hold something: by falling self, total, name */
	size_t order_count;
};

enum rows_by { ROWS_BY_NAME, ROWS_BY_KEY };

/* Returns 0 or -ENOMEM. */
MUST_CHECK int view_rows_init(struct view_rows *rows, const struct query_view *view,
			      enum rows_by by);
void view_rows_release(struct view_rows *rows);

#endif
