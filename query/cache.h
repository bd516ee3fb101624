/* SPDX-License-Identifier: Apache-2.0 */
/*
 * query/cache.h - skeletons kept beside a storage reader from one question to the next.  Private to
 * query/.
 *
 * Nothing in a skeleton depends on values, selections or ranges, so nothing has to be invalidated
 * but by names (struct query_names.epoch).  What one question makes larger than QUERY_CACHE_BYTES
 * is not kept. Thread: the reader's.
 */
#ifndef QUERY_CACHE_H
#define QUERY_CACHE_H

#include "query/skeleton.h"

#define QUERY_CACHE_BYTES ((size_t)48 << 20)

/* The skeleton of the query's granularity, which is the caller's alone until it is returned.
 * Returns 0 or -ENOMEM. */
MUST_CHECK int query_skeleton_borrow(const struct query *query, struct skeleton **ret_skeleton);
/* NULL is fine. */
void query_skeleton_return(const struct query *query, struct skeleton *skeleton);

#endif
