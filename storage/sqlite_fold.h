/* SPDX-License-Identifier: Apache-2.0 */
/*
 * storage/sqlite_fold.h - what goes from one file into one of the next level: summed up by (series,
 * window) and stack as it is gathered, then written.  Private to the sqlite backend.  Writer
 * thread.
 *
 * Numbers are those of the file that it comes from.  A series with a gauge column also gets, for
 * each process instance, the last snapshot of each window; one with a sum column gets the sums.
 */
#ifndef STORAGE_SQLITE_FOLD_H
#define STORAGE_SQLITE_FOLD_H

#include "storage/sqlite_store.h"

struct fold_bucket {
	int64_t window_ns, time_ns; /* time: of the snapshot that counts; of sums, the window's */
	int64_t first_ns, last_ns;  /* of its records */
	uint64_t records;
	uint32_t series, instance;
	bool gauge;
	bool known;  /* the level above has it already */
	bool folded; /* some of it stands at [other] */
};

struct fold_entry {
	uint32_t bucket, node;
	uint64_t count;
	int64_t time_ns; /* of a gauge: of the snapshot that this is of */
	size_t values_at;
};

struct fold_loss {
	int64_t window_ns;
	uint32_t series, reason;
	uint64_t count;
	bool known;
};

struct fold_end {
	int64_t ended_ns;
	uint32_t instance;
};

/* What goes into one file: a day of L1, or a month of L2. */
struct fold {
	int64_t window_ns;       /* width */
	int64_t day_ns, derived; /* L1: batches up to `derived` are there already */
	struct l2_origin *origins;
	size_t origins_count;
	struct index index;
	struct fold_bucket *buckets;
	uint32_t last_bucket;
	struct fold_entry *entries;
	int64_t *values;
	struct fold_loss *losses;
	struct fold_end *ends;
	size_t buckets_count, buckets_capacity, entries_count, entries_capacity, values_count,
	    values_capacity, losses_count, losses_capacity, ends_count, ends_capacity;
	size_t added;        /* records, of which entries are the sums */
	struct slots places; /* of entries, by bucket and node */
	uint64_t secret[2];
};

void fold_release(struct fold *fold);

/* Up to which batch the level above has this series already. */
int64_t fold_origin(const struct fold *fold, struct hash128 series);

enum fold_part { FOLD_SUMS = 1, FOLD_GAUGES = 2 };

/* Each returns 0 or -ENOMEM. */
MUST_CHECK int fold_add(struct fold *fold, const struct dict_series *described, uint32_t series,
			uint32_t instance, bool known, unsigned parts,
			const struct codec_columns *columns, size_t i);
/* A window of a block of sums. */
MUST_CHECK int fold_add_sums(struct fold *fold, uint32_t series, bool known,
			     const struct recent_window *window, const uint8_t *sums, size_t width);
/* Each entry stands at another node: nodes[node].  What meets there is summed.  All entries are of
 * one series, whose records have `width` values. */
MUST_CHECK int fold_renumber(struct fold *fold, const uint32_t *nodes, size_t width);
/* sqlite_other.c: what is small goes to [other] below the first of its callers that is not.  The
 * series' stacks are those of `tables`; their number and a node's together name its [other].  */
MUST_CHECK int fold_small(struct fold *fold, const struct dict_tables *tables,
			  const struct dict_series *described);
MUST_CHECK int fold_add_loss(struct fold *fold, struct fold_loss loss);
MUST_CHECK int fold_add_end(struct fold *fold, struct fold_end end);

/* Write it all into a file, inside the caller's transaction, as coming from number `source` there.
 * `imports` is zeroed, or what the last call for these files left. */
MUST_CHECK int fold_write(struct fold *fold, struct open_file *to, struct codec *codec,
			  struct open_file *from, struct imports *imports, int64_t source,
			  int64_t step, struct extent *ret_extent, struct err *err);

#endif
