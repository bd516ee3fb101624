/* SPDX-License-Identifier: Apache-2.0 */
/*
 * query/format_pprof.h - what pprof with labels and without have in common.  Private to
 * query/format_pprof*.c.
 */
#ifndef QUERY_FORMAT_PPROF_H
#define QUERY_FORMAT_PPROF_H

#include "query/format.h"
#include "wire/pprof_write.h"

struct query_pprof {
	const struct query_view *view;
	struct pprof_writer *writer;
	uint64_t *locations; /* by node of the tree, 0: not written yet */
	uint64_t *stack;     /* as deep as the tree */
	bool *shown;         /* by node of the tree */
	uint64_t hidden;     /* location of [hidden] */
};

/* Begin a profile of the view's tree. Returns 0 or -ENOMEM; query_pprof_end ends it in any case of
 * 0. */
MUST_CHECK int query_pprof_begin(struct query_pprof *pprof, const struct query_view *view);

/* A sample at a node of the tree; where the view does not show it, below its nearest that is shown.
 */
void query_pprof_sample(struct query_pprof *pprof, uint32_t node, int64_t value,
			const struct pprof_write_label *labels, size_t labels_count);

/* Write it, not compressed, and free it. Returns 0 or the buffer's failure. */
MUST_CHECK int query_pprof_end(struct query_pprof *pprof, struct buf *out);

#endif
