/* SPDX-License-Identifier: Apache-2.0 */
/*
 * storage/sqlite_batch.h - the records of one series of a profile become columns in the file's
 * numbers.
 *
 * What is worked out once for each stack of a profile, its number and its place in the block, is
 * found again by the profile's own number.  Kept from put to put, for its memory.  Private to
 * the sqlite backend. Writer thread.
 */
#ifndef STORAGE_SQLITE_BATCH_H
#define STORAGE_SQLITE_BATCH_H

#include "storage/codec.h"
#include "storage/dict.h"

struct batch {
	struct codec_columns columns; /* with names and places, which stand for the nodes */
	int64_t min_ns, max_ns;       /* of the records */
	bool has_gauge;               /* which is no sum: of each window its last snapshot counts */
	uint32_t *places, *names, *from; /* from: by place, the profile's number */
	uint32_t *met; /* the place, by the profile's number; INDEX_NONE: none yet */
	size_t places_capacity, names_capacity, from_capacity, met_capacity;
};

void batch_release(struct batch *batch);
/* Give back what only a large profile needs. */
void batch_trim(struct batch *batch);
/* Fill it from *at on, up to what a block holds; moves *at behind the last one. Returns 0, -ENOMEM
 * or -E2BIG. */
MUST_CHECK int batch_gather(struct batch *batch, struct dict_import *import,
			    const struct profile *profile, uint32_t series, size_t *at);

#endif
