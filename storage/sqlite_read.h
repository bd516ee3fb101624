/* SPDX-License-Identifier: Apache-2.0 */
/*
 * storage/sqlite_read.h - a reader's files, and which records of which level count.  Private to the
 * sqlite backend.  Thread: the reader's; between two questions the writer closes what it has open
 * of files that went.
 *
 * The plan.  A window is whole when it lies in one step of the question; it is cut otherwise.
 *	- Whole hours come from L2, as far as it has been derived.
 *	- Other whole windows of ten seconds, and what L2 does not have yet, come from L1.
 *	- Batches of L0 beyond L1's watermark, and records of cut windows, come from L0.
 *	- A cut window that is nowhere below, for that file is gone, counts as a whole at its start.
 * A level is read before the one below it, each file in one transaction, and its watermarks are
 * read in the same transaction as its windows: what the writer derives in between is then in
 * neither twice nor missing.
 */
#ifndef STORAGE_SQLITE_READ_H
#define STORAGE_SQLITE_READ_H

#include "storage/sqlite_store.h"
#include "storage/totals.h"

#define READER_FILES_MAX 64 /* connections that a reader keeps; more are opened for a call */

/* Sums by node of a dictionary.  Of many nodes few have some: those have places, which stand close
 * together. */
struct node_sums {
	/* by node: 1 and up, 0 where there is none; NULL: they are more, and in `wide` */
	uint16_t *places;
	uint32_t *wide;
	uint64_t *marks; /* by node, a bit: it has a place */
	size_t nodes;
	int64_t *sums; /* by place - 1 */
	uint64_t *counts;
	size_t count, capacity;
};

#define READER_SPARE_NODES ((size_t)1 << 20)

struct sqlite_reader {
	struct storage_reader base;
	struct sqlite_store *s;
	struct sqlite_reader *next; /* guarded by the store's lock */
	unsigned questions;         /* guarded: 0: nobody asks, and the writer may close files */
	struct codec *codec;
	/* who asks for a scan looks names up while its thread reads ahead */
	struct codec *symbols_codec;
	pthread_mutex_t symbols_lock; /* of symbols_codec, while a scan's thread has it */
	struct codec_columns columns;
	/* the reader's during a question, guarded otherwise */
	struct open_file **files;
	size_t files_count, files_capacity;
	struct open_file *symbols;
	uint64_t used;
	struct node_sums spare; /* from one scan to the next */
};

static inline struct sqlite_reader *reader_of(struct storage_reader *reader)
{
	return (struct sqlite_reader *)reader;
}

#define LEVEL_ORIGIN 3 /* what L2 holds of an L0 file through an L1 file that is lost */

/* How far a file holds one of the level below; in L2, one series of it. */
struct watermark {
	int level;        /* of the file that holds */
	int64_t start_ns; /* of the L1 day: the one that holds, or the one that is held */
	int64_t file_id, derived;
	size_t series; /* L2: in the scan */
};

struct plan {
	struct sqlite_reader *r;
	const struct storage_scan *scan;
	int64_t step_ns;
	bool l0_only;             /* records: everything in range, levels do not matter */
	struct open_file **files; /* borrowed from the reader; by level, the coarsest first */
	size_t files_count;
	int64_t *sources; /* ids of the files that are there, in range or not */
	size_t sources_count;
	struct watermark *marks;
	size_t marks_count, marks_capacity;
};

/* What a walk gives: records of one series, in the scan's column alone; an L1 row stands for its
 * records at one time.  Borrowed for the call, which is inside a transaction. */
struct visit {
	struct open_file *file;
	struct dict *stacks;
	size_t series; /* in the scan */
	uint32_t owner;
	bool gauge;
	const uint8_t *runtime_id;
	const struct codec_columns
	    *columns; /* times, nodes (0 without blocks), counts, values[column] */
};

typedef int (*visit_fn)(void *arg, const struct visit *visit);

/* Which files the scan needs, opened: those of L0 that L1 holds stay closed.  `plan` is zero but
 * for `l0_only`. Returns 0 or an error. Release it in every case. */
MUST_CHECK int plan_init(struct plan *plan, struct sqlite_reader *r,
			 const struct storage_scan *scan, int64_t step_ns, struct err *err);
void plan_release(struct plan *plan);

/* Files in the order in which they must be read: the coarsest level first. */
struct open_file *plan_file(const struct plan *plan, size_t i);

/* Whether what a file of L1 or L2 says of the window that holds `time_ns` counts, as far as the
 * window goes. `is_below`: what it holds can be had from the level below. */
bool plan_takes_window(const struct plan *plan, int level, int64_t time_ns, bool is_below);

/* A row of L1 or L2. */
struct plan_row {
	enum plan_of { PLAN_SUM, PLAN_GAUGE, PLAN_LOSS } of;
	struct hash128 series;
	int64_t source, time_ns;
	uint64_t count;
};
/* The same of a row, inside its file's transaction. Returns 0 or an error. */
MUST_CHECK int plan_takes_row(struct plan *plan, struct open_file *file, const struct plan_row *row,
			      bool *ret_takes, struct err *err);
/* sqlite_below.c: whether a row of L2, from an L1 file that is lost, can be had from the files
 * below; between transactions on these. */
MUST_CHECK int plan_is_below(struct plan *plan, const struct plan_row *row, bool *ret_yes,
			     struct err *err);
/* Up to which batch L1 holds an L0 file, of the day of `time_ns`. */
int64_t plan_derived(const struct plan *plan, int64_t file_id, int64_t time_ns);
/* Whether L2 has what an L1 file wrote in `step` for a series, in an hour that is taken from L2. */
bool plan_is_above(const struct plan *plan, const struct open_file *l1, size_t series, int64_t step,
		   int64_t time_ns);
/* Whether a record (or a loss) of L0 counts. */
bool plan_takes_record(const struct plan *plan, int64_t file_id, size_t series, int64_t batch,
		       int64_t time_ns);

/* Begin a read transaction on a file and load its catalogue and its watermarks. */
MUST_CHECK int plan_begin(struct plan *plan, struct open_file *file, struct err *err);
/* Whether the range begins or ends within an hour of this file of L1, which L2 then has not. */
bool plan_has_cut(const struct plan *plan, const struct open_file *file);
/* Load the stacks of a file that nobody reads yet. What fails fails again when it is read. */
void plan_load(struct plan *plan, struct open_file *file, struct codec *codec);
/* End it; a failure that says damage marks the file and becomes -EIO. */
int plan_end(struct plan *plan, struct open_file *file, int rc, struct err *err);

/* Whether the file behind a source number of L1 or L2 is there; inside a transaction. */
bool plan_source_is_there(const struct plan *plan, struct open_file *file, int64_t source);

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
void node_sums_release(struct node_sums *sums);
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

/* sqlite_parts.c */
int sqlite_parts(struct storage_reader *reader, storage_part_fn fn, void *arg, struct err *err);
int sqlite_check_part(struct storage_reader *reader, const char *part, struct err *err);
/* Open a part apart from the reader's own connections; `file` is zeroed.  And close it, whatever
 * `rc` says. */
MUST_CHECK int parts_open(struct sqlite_reader *r, const char *part, struct open_file *file,
			  struct err *err);
MUST_CHECK int parts_close(struct sqlite_reader *r, struct open_file *file, int rc,
			   struct err *err);

/* sqlite_copies.c */
int sqlite_copy(struct storage_reader *reader, const char *part, int *ret_fd, uint64_t *ret_bytes,
		struct err *err);
int sqlite_incoming_open(struct storage_reader *reader, const char *part, uint64_t expected,
			 struct storage_incoming **ret_incoming, struct err *err);
int sqlite_incoming_add(struct storage_incoming *incoming, const void *bytes, size_t len,
			struct err *err);
int sqlite_incoming_check(struct storage_incoming *incoming, struct err *err);
void sqlite_incoming_close(struct storage_incoming *incoming);

/* sqlite_readers.c */
int sqlite_reader_open(struct storage *store, struct storage_reader **ret_reader, struct err *err);
void sqlite_reader_close(struct storage_reader *reader);
/* A question begins: close what is gone or torn, and the least used beyond the limit.  Until it
 * ends, the writer leaves the reader's files alone. */
void reader_begin(struct sqlite_reader *r);
void reader_end(struct sqlite_reader *r);
/* The reader's own connection to a file, opened when there is none; it stays the reader's.
 * -ESTALE: the file went. */
MUST_CHECK int reader_file(struct sqlite_reader *r, struct period_file *entry,
			   struct open_file **ret_file, struct err *err);
/* Close one. */
void reader_drop(struct sqlite_reader *r, struct open_file *file);

/* sqlite_read.c */
int sqlite_stats(struct storage_reader *reader, struct storage_stats *ret_stats, struct err *err);
int sqlite_symbols_get(struct storage_reader *reader, uint64_t scope, const uint8_t *build_id,
		       size_t build_id_len, void **ret_table, size_t *ret_len, uint64_t *ret_epoch,
		       struct err *err);

struct storage_segment segment_of_dict(struct dict *dict, uint32_t owner);

#endif
