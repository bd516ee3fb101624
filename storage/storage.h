/* SPDX-License-Identifier: Apache-2.0 */
/*
 * storage/storage.h - keeps profiles and finds them again.
 *
 * The only header other rooms include.  Hides the backend, its files and its schema.  The store
 * knows no dimension by name: kinds, types and labels are data.
 *
 * Threads: one writer thread owns the handle from storage_open and makes every call on it.  Any
 * other thread opens a reader of its own with storage_reader_open (safe from any thread while the
 * store is open) and keeps it to itself.  A reader never checkpoints.  It blocks the writer only
 * when a WAL has grown to 32 MB under it, for 1 s a put at most; it is then told to end (-EAGAIN).
 *
 * Levels (docs/formats/storage.md): L0 holds records with time and context in hourly files; L1
 * windows of STORAGE_L1_WINDOW_NS, without context, in daily files, derived from L0; L2 windows of
 * STORAGE_L2_WINDOW_NS in monthly files, derived from L1.  A scan uses for each part of its range
 * the coarsest level that answers it exactly.
 */
#ifndef STORAGE_STORAGE_H
#define STORAGE_STORAGE_H

#include "profile/profile.h"
#include "base/chains.h"

#define STORAGE_L0_FILE_NS (INT64_C(3600) * NS_PER_S)
#define STORAGE_L1_FILE_NS (INT64_C(86400) * NS_PER_S)
#define STORAGE_L1_WINDOW_NS (INT64_C(10) * NS_PER_S)
#define STORAGE_L2_WINDOW_NS (INT64_C(3600) * NS_PER_S)

struct storage;
struct storage_reader;

#define STORAGE_NO_FLOOR 1001
#define STORAGE_OTHER "[other]" /* a function's name */

struct storage_options {
	/* Retention; 0 means the default of each.  Files whose end is older go: 24 h, 7 d, 31 d. */
	int64_t l0_age_ns, l1_age_ns, l2_age_ns;
	uint64_t l0_bytes_max, bytes_max; /* budgets of L0 (512 MB) and of all (2 GiB) */
	/* While less of the file system is free the oldest goes: in thousandths, 50 unless told.
	 * What went counts as free while a reader still has it open.  STORAGE_NO_FLOOR: never. */
	unsigned free_permille;
	/* What was put is on disk when storage_put returns (0), or at most so much later: a crash
	 * of the agent alone loses nothing either way. */
	int64_t sync_within_ns;
};

/* "sqlite:DIR" or "memory:". Creates what is missing (0700). Returns 0; -EINVAL for a location that
 * no backend knows, -EBUSY when another process has the directory open for writing, -EIO.  With 0
 * `err` may still carry a warning (code 0, a message): what was damaged and put aside. */
MUST_CHECK int storage_open(const char *location, const struct storage_options *options,
			    struct storage **ret_store, struct err *err);

/* Commit what is pending and close; every reader must be closed before. NULL is fine. */
void storage_close(struct storage *store);

enum storage_put_result { STORAGE_STORED, STORAGE_DUPLICATE };

/*
 * Keep `profiles` (borrowed).  Returns after they are committed with fsync: group commit is the
 * caller's, who passes what has gathered.  All of one profile goes into one L0 file, in one
 * transaction with its cursors and upload id: the file of its from_ns..until_ns midpoint for an
 * upload, of arrived_ns for a profile with cursors.  A profile whose upload_id was stored within
 * 24 hours is STORAGE_DUPLICATE in `results` (may be NULL) and changes nothing.
 * Returns 0, -ENOSPC (nothing of the failed file's profiles was kept), -EINVAL (a profile with a
 * time outside 1970..2199 or a number that names nothing, which alone is refused), -ENOTSUP (the
 * file is a newer release's) or -EIO.  On failure
 * `results` of profiles that did get committed is STORAGE_STORED and of the rest is negative.
 */
MUST_CHECK int storage_put(struct storage *store, const struct profile *const *profiles,
			   size_t count, int *results, struct err *err);

/* Derive L1 and L2 from what arrived in windows that closed before `now_ns`, apply retention,
 * checkpoint.  Call every
 * few seconds from the writer thread; bounded work a call.  Returns 0 or -errno. */
MUST_CHECK int storage_maintain(struct storage *store, int64_t now_ns, struct err *err);

/* The committed cursor of a ring; *ret_position is 0 when there is none. Returns 0 or -errno. */
MUST_CHECK int storage_cursor(struct storage *store, const uint8_t runtime_id[16], uint32_t ring,
			      uint64_t *ret_position, struct err *err);

/*
 * The symbol store: tables made by symbol/, opaque here, one for each (scope, build id).  The scope
 * is 0 for files with a real build id and owner uid + 1 otherwise.  A later put replaces and gets a
 * higher epoch.  Blocks on disk; durable on return.  At most STORAGE_SYMBOLS_MAX bytes (-E2BIG).
 */
#define STORAGE_SYMBOLS_MAX ((size_t)256 << 20)

MUST_CHECK int storage_symbols_put(struct storage *store, uint64_t scope, const uint8_t *build_id,
				   size_t build_id_len, const void *table, size_t len,
				   uint64_t *ret_epoch, struct err *err);

/*
 * Maintenance by people.  A part is a file of the store, named as storage_parts says it.
 * A backend without files says -EOPNOTSUPP.
 */

/* Write a part anew without what it does not need. Blocks on disk. Returns 0, -ENOENT or an
 * error. */
MUST_CHECK int storage_compact(struct storage *store, const char *part, struct err *err);

/* Take in a part that has come and was checked (below), when this store has none of that name
 * (-EEXIST). Its series show from then on. */
struct storage_incoming;
MUST_CHECK int storage_adopt(struct storage *store, struct storage_incoming *incoming,
			     struct err *err);

struct storage_stats {
	uint64_t bytes, l0_bytes, l1_bytes, l2_bytes, symbols_bytes;
	uint64_t records, profiles, duplicates; /* since the store was opened */
	uint64_t files;
	int64_t oldest_ns, newest_ns; /* of any record; 0: none */
	char version[48];             /* of the backend's library: "SQLite 3.40.1" */
	char note[160];               /* something the operator should know, or "" */
};

/* ---- reading ---- */

MUST_CHECK int storage_reader_open(struct storage *store, struct storage_reader **ret_reader,
				   struct err *err);
void storage_reader_close(struct storage_reader *reader);

/* What its user keeps beside a reader, as long as the reader: closing releases it.  Embed it
 * first. */
struct storage_companion {
	void (*release)(struct storage_companion *companion);
};
/* or NULL */
struct storage_companion *storage_reader_companion(const struct storage_reader *reader);
void storage_reader_accompany(struct storage_reader *reader, struct storage_companion *companion);

MUST_CHECK int storage_stats(struct storage_reader *reader, struct storage_stats *ret_stats,
			     struct err *err);

struct storage_part {
	const char *name; /* "l1/20260101.db", borrowed for the callback */
	int level;        /* 0, 1, 2; -1: symbols */
	uint64_t bytes, records;
	int64_t first_ns, last_ns; /* of its records; 0: none */
};

typedef int (*storage_part_fn)(void *arg, const struct storage_part *part);
MUST_CHECK int storage_parts(struct storage_reader *reader, storage_part_fn fn, void *arg,
			     struct err *err);

/* Read all of a part and decode what is in it. Returns 0, -EBADMSG with the finding, -ENOENT or an
 * error.  The writer puts aside what is damaged at its next maintenance. */
MUST_CHECK int storage_check_part(struct storage_reader *reader, const char *part, struct err *err);

/* A part as it is at one moment, while the writer goes on: a file without a name, read from its
 * start, that is gone when *ret_fd is closed, which is the caller's.  Nothing of the store waits
 * for who reads it.  It takes the part's size of the store's disk and little memory.
 * Returns 0, -ENOENT, -ENOSPC (there is not so much room above the floor of free disk), -EAGAIN (a
 * WAL grew too long for it, several times) or an error. */
MUST_CHECK int storage_copy(struct storage_reader *reader, const char *part, int *ret_fd,
			    uint64_t *ret_bytes, struct err *err);

/*
 * A part that comes, from storage_copy here or on another host: opened, added to until all of it is
 * there, checked, adopted by the writer's thread, closed.  Until then it stands on the store's disk
 * beside the others and counts as none of them.  Any one thread after the other; closed before the
 * store is.
 */

/* `expected`: bytes that will come, as far as that is known; they may still be others.  Returns 0,
 * -EINVAL (no part is named so), -EEXIST, -E2BIG (above what all of the store may take), -ENOSPC
 * (no room above the floor) or an error. */
MUST_CHECK int storage_incoming_open(struct storage_reader *reader, const char *part,
				     uint64_t expected, struct storage_incoming **ret_incoming,
				     struct err *err);
/* Returns 0, -E2BIG, -ENOSPC or -EIO. */
MUST_CHECK int storage_incoming_add(struct storage_incoming *incoming, const void *bytes,
				    size_t len, struct err *err);
/* All of it is there: bring it to disk and look at all of it.  -EINVAL: it is not whole, or not
 * what its name says. */
MUST_CHECK int storage_incoming_check(struct storage_incoming *incoming, struct err *err);
/* Remove what was not adopted. NULL is fine. */
void storage_incoming_close(struct storage_incoming *incoming);

/* The newest table of (scope, build id), malloc'ed and the caller's; -ENOENT when there is none. */
MUST_CHECK int storage_symbols_get(struct storage_reader *reader, uint64_t scope,
				   const uint8_t *build_id, size_t build_id_len, void **ret_table,
				   size_t *ret_len, uint64_t *ret_epoch, struct err *err);

/* A label as text, borrowed for the callback. */
struct storage_label {
	struct str key, value;
};

struct storage_column {
	struct str type, unit;
	bool gauge;
};

/* A series, borrowed for the callback. `labels` are sorted by key. */
struct storage_series {
	struct hash128 identity;
	uint32_t owner;
	struct str name, period_type, period_unit;
	int64_t period;
	const struct storage_column *columns;
	size_t columns_count;
	const struct storage_label *labels;
	size_t labels_count;
	int64_t first_ns, last_ns; /* of its records, as far as the files in range know */
};

/* 0 goes on; anything else ends the walk and is returned. */
typedef int (*storage_series_fn)(void *arg, const struct storage_series *series);

/* Every series with records in [from_ns, until_ns), each once.  Opens a sample block only where one
 * spans the whole range. */
MUST_CHECK int storage_series(struct storage_reader *reader, int64_t from_ns, int64_t until_ns,
			      storage_series_fn fn, void *arg, struct err *err);

/* Which of a segment's stacks count: set passes[node], all false at the call, for those.  Called
 * once for each set of tables, within a transaction: it asks the store nothing. Returns 0 or what
 * ends the scan. */
struct storage_segment;
typedef int (*storage_passes_fn)(void *arg, const struct storage_segment *tables, bool *passes);

/* What to scan: one column of some series over a time range. */
struct storage_scan {
	const struct hash128 *series; /* identities; those that a file does not know are skipped */
	size_t series_count;
	size_t column;
	int64_t from_ns, until_ns; /* half open; exact to the record, whatever levels are used */
	int64_t deadline_ns;       /* CLOCK_MONOTONIC; past it the scan ends with -ETIME. 0: none */
	storage_passes_fn passes;  /* of a timeline alone. NULL: every stack counts */
	void *passes_arg;
	/* of records alone: nobody asks for their times, which are half of what is read */
	bool timeless;
};

/*
 * What a scan gives: sums by stack of one file.  Borrowed for the callback.  Node and frame numbers
 * are the segment's own; join segments by names, or by storage_node_hashes.  Parents are numbered
 * below children; node 0 is the root.  Strings, modules and frames are as in struct profile.
 */
struct storage_segment {
	/* Of this reader's copy of the tables that follow (strings to nodes): with the same id they
	 * have only grown since, and every number means what it did.  0: they are of this call
	 * alone. */
	uint64_t id;
	/* NULL: they are chains; see storage_parent() and storage_frame() */
	const struct profile_node *nodes;
	const struct chains *chains;
	size_t nodes_count;
	const struct profile_frame *frames;
	size_t frames_count;
	const struct profile_module *modules;
	size_t modules_count;
	const struct str *strings;
	size_t strings_count;
	uint32_t owner;         /* scope of modules without a build id */
	const uint32_t *leaves; /* nodes with samples, ascending */
	const int64_t *sums;    /* of the column, by leaf */
	const uint64_t *counts; /* samples behind each sum */
	size_t leaves_count;
	/* For want of room small stacks of some hours stand at STORAGE_OTHER, below the last of
	 * their callers that was not small. */
	bool folded;
	const struct hash128 *(*hashes)(void *tables);
	void *tables;
};

static inline uint32_t storage_parent(const struct storage_segment *segment, uint32_t node)
{
	return segment->nodes ? segment->nodes[node].parent : chains_parent(segment->chains, node);
}

/* The first of nodes that go on one behind the other to this one; where that is not known,
 * itself. */
static inline uint32_t storage_chain(const struct storage_segment *segment, uint32_t node)
{
	return segment->nodes ? node : chains_begin(segment->chains, node);
}

static inline uint32_t storage_frame(const struct storage_segment *segment, uint32_t node)
{
	return segment->nodes ? segment->nodes[node].frame : chains_key(segment->chains, node);
}

/* The identities of the segment's stacks, by node; found when asked. NULL without memory. */
static inline const struct hash128 *storage_node_hashes(const struct storage_segment *segment)
{
	return segment->hashes(segment->tables);
}

typedef int (*storage_segment_fn)(void *arg, const struct storage_segment *segment);

/* Sum by stack.  A gauge column gives, for each process instance, its last snapshot in the range:
 * the records of one time; nothing when the instance ended in the range.  A record of value 0 at
 * the root says that nothing is live. Returns 0, -ETIME, the callback's value, -EAGAIN (files were
 * written anew in the middle of a long question, or a WAL grew too long for it: ask again), or
 * -EIO. */
MUST_CHECK int storage_scan(struct storage_reader *reader, const struct storage_scan *scan,
			    storage_segment_fn fn, void *arg, struct err *err);

/* Totals by (series of the scan, step): step i covers from_ns + i x step_ns.  `series` is the index
 * in scan->series.  A gauge gives the sum of the snapshots last seen in each step, as a scan of
 * that step would.  Cheap when from_ns and step_ns are multiples of STORAGE_L1_WINDOW_NS; -E2BIG
 * for more than 4 M cells. */
typedef int (*storage_total_fn)(void *arg, size_t series, int64_t step_start_ns, int64_t sum,
				uint64_t count);
MUST_CHECK int storage_timeline(struct storage_reader *reader, const struct storage_scan *scan,
				int64_t step_ns, storage_total_fn fn, void *arg, struct err *err);

/* Records of one series and process with their context, from L0 alone: `segment` names the nodes,
 * `contexts` the labels. */
struct storage_records {
	struct storage_segment segment;        /* leaves, sums and counts are empty */
	const struct profile_labels *contexts; /* of the segment's tables: they are as old */
	size_t contexts_count;
	const struct profile_label *labels;
	const uint8_t *runtime_id; /* 16 bytes, of the process */
	int64_t pid;
	size_t series; /* index in scan->series */
	size_t count;
	const uint32_t *nodes, *context;
	const int64_t *times_ns; /* NULL when the scan is timeless */
	const int64_t *values;
	const uint64_t *counts;
};

typedef int (*storage_records_fn)(void *arg, const struct storage_records *records);
MUST_CHECK int storage_records(struct storage_reader *reader, const struct storage_scan *scan,
			       storage_records_fn fn, void *arg, struct err *err);

/* Losses in the range, by series identity and reason. */
typedef int (*storage_loss_fn)(void *arg, struct hash128 series, struct str reason, uint64_t count);
MUST_CHECK int storage_losses(struct storage_reader *reader, const struct storage_scan *scan,
			      storage_loss_fn fn, void *arg, struct err *err);

#endif
