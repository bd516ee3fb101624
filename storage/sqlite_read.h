/* SPDX-License-Identifier: Apache-2.0 */
/*
 * storage/sqlite_read.h - a reader's files, and which records of which level count.  Private to the
 * sqlite backend.  Thread: the reader's.
 *
 * The plan.  A window is whole when it lies in one step of the question; it is cut otherwise.
 *	- Whole windows come from L1, as far as it has been derived.
 *	- Batches of L0 beyond L1's watermark, and records of cut windows, come from L0.
 *	- A cut window whose L0 file is gone counts as a whole at its start.
 * L1 is read before L0, each in one transaction, and its watermark is read in the same transaction
 *as its windows: what the writer derives in between is then in neither twice nor missing.
 */
#ifndef STORAGE_SQLITE_READ_H
#define STORAGE_SQLITE_READ_H

#include "storage/sqlite_store.h"
#include "storage/totals.h"

#define READER_FILES_MAX 64 /* connections that a reader keeps; more are opened for a call */

struct sqlite_reader {
	struct storage_reader base;
	struct sqlite_store *s;
	struct codec *codec;
	struct codec_columns columns;
	struct open_file **files;
	size_t files_count, files_capacity;
	struct db symbols;
	uint64_t used;
};

static inline struct sqlite_reader *reader_of(struct storage_reader *reader)
{
	return (struct sqlite_reader *)reader;
}

/* How far one L1 file holds one L0 file. */
struct watermark {
	int64_t day_ns, file_id, derived;
};

struct plan {
	struct sqlite_reader *r;
	const struct storage_scan *scan;
	int64_t step_ns;
	bool l0_only;             /* records: everything in range, levels do not matter */
	struct open_file **files; /* borrowed from the reader; L0 first, then L1 */
	size_t files_count;
	int64_t *sources; /* ids of the L0 files that are there, in range or not */
	size_t sources_count;
	struct watermark *marks;
	size_t marks_count, marks_capacity;
};

/* What a walk gives: records of one series, in the scan's column alone; an L1 row stands for its
 * records at one time.  Borrowed for the call, which is inside a transaction. */
struct visit {
	struct open_file *file;
	size_t series; /* in the scan */
	uint32_t owner;
	bool gauge;
	const uint8_t *runtime_id;
	const struct codec_columns
	    *columns; /* times, nodes (0 without blocks), counts, values[column] */
};

typedef int (*visit_fn)(void *arg, const struct visit *visit);

/* Which files the scan needs, opened. Returns 0 or an error. Release it in every case. */
MUST_CHECK int plan_init(struct plan *plan, struct sqlite_reader *r,
			 const struct storage_scan *scan, int64_t step_ns, struct err *err);
void plan_release(struct plan *plan);

/* Files in the order in which they must be read: L1 before L0. */
struct open_file *plan_file(const struct plan *plan, size_t i);

bool plan_is_whole(const struct plan *plan, int64_t window_ns);
/* Whether a window of L1 whose records have no time of their own counts. */
bool plan_takes_window(const struct plan *plan, int64_t window_ns, bool source_is_there);
/* Whether a record (or a loss) of L0 counts. */
bool plan_takes_record(const struct plan *plan, int64_t file_id, int64_t batch, int64_t time_ns);

/* Begin a read transaction on a file and load its dictionary, and the watermarks of an L1 file. */
MUST_CHECK int plan_begin(struct plan *plan, struct open_file *file, struct err *err);
/* End it; a failure that says damage marks the file and becomes -EIO. */
int plan_end(struct plan *plan, struct open_file *file, int rc, struct err *err);

/* Whether the L0 file behind an L1 source number is there; inside a transaction. */
bool plan_source_is_there(const struct plan *plan, struct open_file *l1, int64_t source);

/* Visit what counts in one file; inside a transaction.  `with_blocks`: stacks are wanted, not only
 * totals.  `gauges`: visit gauge series. `sums`: visit the others. */
struct walk {
	bool with_blocks, gauges, sums;
	visit_fn fn;
	void *arg;
};
MUST_CHECK int plan_walk(struct plan *plan, struct open_file *file, const struct walk *walk,
			 struct err *err);

/* Tell `totals` of the processes that ended in the range; inside a transaction. */
MUST_CHECK int plan_ends(struct plan *plan, struct open_file *file, struct totals *totals,
			 struct err *err);

/* sqlite_scan.c, sqlite_records.c */
int sqlite_scan(struct storage_reader *reader, const struct storage_scan *scan,
		storage_segment_fn fn, void *arg, struct err *err);
int sqlite_timeline(struct storage_reader *reader, const struct storage_scan *scan, int64_t step_ns,
		    storage_total_fn fn, void *arg, struct err *err);
int sqlite_records(struct storage_reader *reader, const struct storage_scan *scan,
		   storage_records_fn fn, void *arg, struct err *err);
int sqlite_losses(struct storage_reader *reader, const struct storage_scan *scan,
		  storage_loss_fn fn, void *arg, struct err *err);
int sqlite_series(struct storage_reader *reader, int64_t from_ns, int64_t until_ns,
		  storage_series_fn fn, void *arg, struct err *err);

/* sqlite_read.c */
int sqlite_reader_open(struct storage *store, struct storage_reader **ret_reader, struct err *err);
void sqlite_reader_close(struct storage_reader *reader);
int sqlite_stats(struct storage_reader *reader, struct storage_stats *ret_stats, struct err *err);
int sqlite_symbols_get(struct storage_reader *reader, uint64_t scope, const uint8_t *build_id,
		       size_t build_id_len, void **ret_table, size_t *ret_len, uint64_t *ret_epoch,
		       struct err *err);

struct storage_segment segment_of_dict(const struct dict *dict, uint32_t owner);

#endif
