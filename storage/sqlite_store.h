/* SPDX-License-Identifier: Apache-2.0 */
/*
 * storage/sqlite_store.h - the parts that the files of the sqlite backend share.  Private to them.
 *
 *	sqlite.c          opening and closing a store, the lock, the plug-in
 *	sqlite_db.c       one connection; sqlite_wal.c: how its WAL is written
 *	sqlite_files.c    the catalogue of period files; sqlite_load.c fills it at the start
 *	sqlite_writers.c  those that are open for writing
 *	sqlite_open.c     what is done with an open one by reader and writer alike
 *	sqlite_known.c    cursors and upload ids, in memory
 *	sqlite_l0.c       put; sqlite_batch.c makes columns of records
 *	sqlite_recent.c   their sums, until they are derived
 *	sqlite_l1.c       deriving windows from L0; sqlite_fold.c sums them up
 *	sqlite_l2.c       deriving hours from L1; sqlite_pack.c then packs L1's windows
 *	sqlite_readers.c  readers, and the files that each has open
 *	sqlite_read.c     what to take from which level; sqlite_walk.c takes it
 *	sqlite_below.c    hours of L2 whose L1 is lost
 *	sqlite_scan.c     scan and timeline
 *	sqlite_records.c  records and losses
 *	sqlite_series.c   series
 *	sqlite_symbols.c  the symbol store
 *	sqlite_retain.c   retention, damaged files
 *	sqlite_parts.c    what people ask of single files: list, check, compact
 *	sqlite_copies.c   files that go out and come in as a whole: copy, adopt
 *
 * The store belongs to the writer thread, but for what `lock` guards.
 */
#ifndef STORAGE_SQLITE_STORE_H
#define STORAGE_SQLITE_STORE_H

#include <pthread.h>

#include "storage/backend.h"
#include "storage/codec.h"
#include "storage/dict.h"
#include "storage/sqlite_batch.h"
#include "storage/sqlite_db.h"
#include "storage/sqlite_recent.h"

#define SQLITE_PATH_MAX 4096
#define SQLITE_DIR_MAX (SQLITE_PATH_MAX - 256) /* leaves room for a file's name */
#define SQLITE_WRITERS_MAX 6                   /* period files open for writing at once */
#define SQLITE_LEVELS 3

/* What a file's records, losses and ends span. Empty: min above max. */
struct extent {
	int64_t min_ns, max_ns;    /* of anything */
	int64_t first_ns, last_ns; /* of records */
	uint64_t records;
};

#define EXTENT_EMPTY                                                                               \
	{                                                                                          \
		INT64_MAX, INT64_MIN, INT64_MAX, INT64_MIN, 0                                      \
	}

static inline void extent_add(struct extent *e, int64_t time_ns)
{
	e->min_ns = MIN(e->min_ns, time_ns);
	e->max_ns = MAX(e->max_ns, time_ns);
}

void extent_add_record(struct extent *e, int64_t time_ns);
void extent_join(struct extent *e, const struct extent *other);

/* How far an L1 file held each L0 file when its last step was `step`; -1: not known. */
struct held {
	struct held_file {
		int64_t file_id, derived;
	} * files;
	size_t count, capacity;
	int64_t step;
};

/* A file of the catalogue.  Immutable but for what is marked. */
struct period_file {
	int level;
	char name[40]; /* "l0/20260101T00.db" */
	int64_t start_ns, end_ns;
	int64_t file_id;      /* drawn at its creation: a name may come again, this does not */
	struct extent extent; /* guarded by the store's lock */
	bool gone;            /* guarded: unlinked or put aside */
	uint64_t gone_bytes;  /* guarded: what its last descriptor gives back */
	int64_t gone_ns;      /* guarded: of the maintenance that unlinked it */
	struct period_file *also_gone; /* guarded: the next in the store's list */
	bool damaged;                  /* guarded: a reader or the writer met damage */
	bool doubtful;                 /* guarded: not checked since the start */
	unsigned refs;                 /* guarded */
	_Atomic unsigned opened;       /* odd: it is open for writing */
	_Atomic unsigned hurries; /* how often its WAL was full: who began to read before, ends */
	/* L0: its last batch, known before its extent is widened; L1: its last step */
	_Atomic int64_t last;
	/* Writer only. */
	uint64_t bytes;    /* on disk when it was closed; 0: to be asked for */
	int64_t derived;   /* L0: batches up to here are in L1; -1: not known */
	int64_t floor;     /* L0: the next batch has a number above it; -1: not known */
	bool unsynced;     /* L1: its last commits may go with the power */
	bool stuck;        /* it could not be rolled up in this pass, and stays */
	int64_t hour_ns;   /* L1: the hour in which its last step was written */
	int64_t hour_step; /* L1: up to which L2 may take: the last step of the hours before */
	struct held held;  /* L1: at hour_step */
	int64_t packed;    /* L0: batches up to here are packed */
	int64_t pack_seen; /* L0: what L2 had of the days when no more could be packed */
	int64_t rolled;    /* L1: L2 has every series up to this step; -1: not known */
	uint32_t rolling;  /* L1: the series to go on with, to this step: */
	int64_t rolling_to;
	int64_t waits; /* L0: the first batch that was not due; 0: to be looked for */
	int64_t waits_arrived_ns;
	unsigned unknown;     /* L0: what of it is not in the store's `known` yet */
	int64_t uploads_ns;   /* L0: when the last upload arrived of whose id that is; 0: none */
	struct recent recent; /* L0: sums of what is not derived */
};

/* A period file with a connection and its dictionary, on one thread. */
struct open_part {
	struct dict dict;
	int64_t last_id; /* the last segment that was loaded or written */
	int64_t version; /* of the file when they were loaded; 0: never */
};

struct open_file {
	struct period_file *entry; /* a reference */
	struct db db;
	bool writing;
	bool reading;           /* for questions: stacks' identities are seldom wanted */
	bool still;             /* read without shared memory, for there is no room for it */
	unsigned opened;        /* a still one is as it was while its entry's is the same */
	int64_t version;        /* of a reader's file: SQLite's count of what others committed */
	struct open_file *next; /* of those that were taken from readers, to be closed */
	struct open_part catalogue;
	struct open_part **parts; /* by number; those that were not asked for are NULL */
	size_t parts_count, parts_capacity;
	uint64_t used;        /* for the choice of what to close */
	uint64_t used_before; /* of a writer: at the last maintenance, and how many ago that was */
	unsigned idle;
	unsigned hurries_seen; /* of a reader: when its transaction began */
};

struct known_cursor {
	struct hash128 key;
	uint64_t position;
	int64_t file_ns; /* start of the file that holds it */
};

struct known_upload {
	struct hash128 key;
	int64_t arrived_ns;
};

/* What a file holds of it is read when it is asked for, or when the file is opened for writing,
 * which the check of each file after a start does: a day's ids would hold up the start. */
enum known_what { KNOWN_CURSORS = 1, KNOWN_UPLOADS = 2, KNOWN_ALL = 3 };

struct known {
	struct index cursor_index, upload_index;
	struct known_cursor *cursors;
	struct known_upload *uploads;
	size_t cursors_count, cursors_capacity, uploads_count, uploads_capacity;
};

/* What goes into the dictionaries of a file from those of another (sqlite_imports.c). */
struct import_part {
	uint32_t part; /* of `to` */
	struct dict_import import;
};

struct imports {
	struct open_file *to;
	struct codec *codec;
	struct dict_lately *lately; /* or NULL */
	struct dict_import catalogue;
	struct import_part **parts;
	size_t parts_count, parts_made, parts_capacity; /* made: there, in use or not */
	uint64_t from_id, to_id;                        /* catalogues, when it is kept */
};

struct sqlite_store {
	struct storage base;
	char dir[SQLITE_DIR_MAX];
	int lock_fd;
	struct storage_options options; /* with the defaults filled in */
	struct codec *codec;
	struct open_file *writing[SQLITE_WRITERS_MAX];
	uint64_t used;
	struct known known;
	struct batch batch;     /* what a put works in */
	struct imports putting; /* likewise */
	struct imports derived; /* from the L0 file to the day that were derived last */
	int64_t forgotten_ns;   /* when known was last pruned */
	int64_t synced_ns;      /* when the WALs were last synced */
	int64_t weighed_ns;     /* when sizes were last asked for; 0: they are to be */
	struct db symbols;
	pthread_mutex_t room_lock; /* who needs room for a copy looks and takes it under this */

	pthread_mutex_t lock; /* of everything below, and of the guarded parts of entries */
	struct period_file *symbols_entry; /* in no catalogue */
	struct period_file **files;        /* by level, then start */
	size_t files_count, files_capacity;
	struct period_file *gone; /* those that somebody still refers to */
	struct sqlite_reader *readers;
	uint64_t records, profiles, duplicates;
	char note[160];
	bool note_is_mild;
};

static inline struct sqlite_store *sqlite_of(struct storage *store)
{
	return (struct sqlite_store *)store;
}

/* Say something to the operator; the first thing said stays. */
void sqlite_note(struct sqlite_store *s, const char *fmt, ...) PRINTF(2, 3);
/* The same of what is no trouble: a note takes its place. */
void sqlite_mention(struct sqlite_store *s, const char *fmt, ...) PRINTF(2, 3);

/* ---- the catalogue (sqlite_files.c, sqlite_load.c, sqlite_writers.c) ---- */

/* One that is in no catalogue yet; free() it, or add it. NULL without memory. */
struct period_file *files_new(int level, int64_t start_ns);
/* The catalogue's reference is the one that `file` comes with. Returns 0 or -ENOMEM. */
MUST_CHECK int files_add(struct sqlite_store *s, struct period_file *file);
struct period_file *files_find(struct sqlite_store *s, int level, int64_t start_ns);
/* Whether `name`, within the level's folder, is that of a period file, and which. */
bool files_parse_name(int level, const char *name, int64_t *ret_start_ns);
/* Read what a file says of itself into its entry; a new one gets its row. */
MUST_CHECK int files_meta(struct db *db, struct period_file *file, struct err *err);
MUST_CHECK int files_last_batch(struct db *db, struct period_file *file, struct err *err);
/* Fill it from the directory; files that cannot serve are put aside. */
MUST_CHECK int files_load(struct sqlite_store *s, struct err *err);
void files_release(struct sqlite_store *s);
void files_path(const struct sqlite_store *s, const char *name, const char *suffix, char *to);
int64_t files_period_start(int level, int64_t time_ns);
/* The width of a level's windows; 0 for L0. */
int64_t files_window_ns(int level);
const char *files_level(int level); /* "l0" */

struct period_file *files_ref(struct sqlite_store *s, struct period_file *file);
void files_unref(struct sqlite_store *s, struct period_file *file);
/* Take a file out of the catalogue; readers that have it open go on. */
void files_remove(struct sqlite_store *s, struct period_file *file);
/* A reader or the writer met damage. */
void files_damaged(struct sqlite_store *s, struct period_file *file);
/* What files that were unlinked will give back: as long as a reader has one open, its blocks are
 * taken.  A file counts for FILES_PENDING_NS at most, which no question takes: whoever has it for
 * longer may never let go. */
#define FILES_PENDING_NS (INT64_C(120) * NS_PER_S)
uint64_t files_pending_bytes(struct sqlite_store *s, int64_t now_ns);
void files_widen(struct sqlite_store *s, struct period_file *file, const struct extent *extent);
/* Bytes on disk, with the WAL. */
uint64_t files_bytes(const struct sqlite_store *s, const char *name);

/* Whether `name` is that of a period file, as "l1/20260101.db", and which. */
bool files_parse(const char *name, int *ret_level, int64_t *ret_start_ns);
/* The file of the catalogue that is named so, or NULL.  The writer's; others hold the lock. */
struct period_file *files_named(struct sqlite_store *s, const char *name);
/* Read a file that was put into its place into the catalogue; puts it aside when it cannot
 * serve. */
MUST_CHECK int files_load_one(struct sqlite_store *s, int level, int64_t start_ns, struct err *err);

/* The file of `start_ns` open for writing, made when it is not there and `create`; it stays the
 * store's.  -ENOENT without `create`. */
MUST_CHECK int files_writer(struct sqlite_store *s, int level, int64_t start_ns, bool create,
			    struct open_file **ret_file, struct err *err);
/* After a transaction that failed with `rc`: undo it, and forget what the dictionary learned in it.
 * A damaged file is marked and closed.  Otherwise the connection stays, for in its eyes a commit
 * whose fsync failed has not happened, and its next one overwrites the frames; a new connection
 * would find them whole in the WAL. */
void files_failed(struct sqlite_store *s, struct open_file *file, int rc);
/* Close a file open for writing, when it is: when it is damaged, or before unlinking. */
void files_writer_drop(struct sqlite_store *s, const struct period_file *file);

/* All commits of a file are on disk from now on, whoever reads it; to move its WAL may wait for
 * readers. */
MUST_CHECK int files_sync_all(struct open_file *file, int wait_ms, struct err *err);
/* L1's commits wait for their sync, for L0 has it all, until something counts on them: that L2 has
 * taken their steps, that L0 forgets which batch was which, or goes.  One file; all of them. */
MUST_CHECK int files_sync(struct open_file *file, struct err *err);
MUST_CHECK int files_sync_derived(struct sqlite_store *s, struct err *err);

/* After a commit: bound the WAL.  Past SQLITE_WAL_FULL bytes it has to be moved and cut off, for
 * which every reader of the file must have ended once; who is still reading after a moment is told
 * to (-EAGAIN, at its next block).  Waits for SQLITE_WAL_WAIT_MS at most. */
#define SQLITE_WAL_FULL ((uint64_t)32 << 20)
#define SQLITE_WAL_WAIT_MS 1000
void files_bound_wal(struct open_file *file);

/* What retention or damage left of a file of this name, which is not there: its WAL would be taken
 * for the new one's. */
void files_remove_leftovers(const struct sqlite_store *s, const char *name);
/* A new name in a level's folder is on disk. */
MUST_CHECK int files_sync_folder(const struct sqlite_store *s, int level, struct err *err);

/* Whether there is a WAL with something in it. */
bool files_has_wal(const struct sqlite_store *s, const char *name);

/* Open the database of file->entry to read it; read once, so that unlinking does no harm. */
MUST_CHECK int open_file_read(struct sqlite_store *s, struct open_file *file, struct err *err);
/* Whether what was read of it may be torn, for the writer has opened it meanwhile. */
bool open_file_is_torn(const struct open_file *file);
/* What reading it said: `rc`, or -EAGAIN where that may be torn.  Damage marks the file. */
MUST_CHECK int open_file_end(struct sqlite_store *s, struct open_file *file, int rc,
			     struct err *err);
void open_file_free(struct sqlite_store *s, struct open_file *file);
/* Forget the dictionaries, and load the catalogue. Returns 0 or an error, and then it is empty. */
MUST_CHECK int open_file_reload(struct open_file *file, struct codec *codec, struct err *err);
/* Load the catalogue's segments that came since the last time; inside a transaction. */
MUST_CHECK int open_file_load(struct open_file *file, struct codec *codec, struct err *err);
/* See what others committed, for a reader; inside the transaction. Loading the catalogue does it.
 */
MUST_CHECK int open_file_version(struct open_file *file, struct err *err);
/* The stacks of a series of the catalogue, with all segments; inside a transaction. */
MUST_CHECK int open_file_part(struct open_file *file, struct codec *codec, uint32_t series,
			      struct dict **ret_dict, struct err *err);
/* Forget the stacks, which are read again when they are asked for; between transactions. */
void open_file_forget(struct open_file *file);
/* Write every dictionary that has more than `segments` as one; in a transaction of its own.  A
 * reader that has some of them reads the one anew. */
MUST_CHECK int open_file_merge(struct open_file *file, struct codec *codec, unsigned segments,
			       struct err *err);
/* Write what the dictionaries learned; inside a transaction. */
MUST_CHECK int open_file_store(struct open_file *file, struct codec *codec, struct err *err);
/* Write the file's extent and the span of one series; inside a transaction. */
MUST_CHECK int open_file_widen(struct open_file *file, const struct extent *extent,
			       struct err *err);
MUST_CHECK int open_file_series(struct open_file *file, uint32_t series, int64_t first_ns,
				int64_t last_ns, struct err *err);

/* Close what readers have open of files that are gone, but for those that are being asked. */
void readers_let_go(struct sqlite_store *s);

/* ---- importing into the dictionaries of a file (sqlite_imports.c) ---- */

/* Begin anew: zeroed, or in the memory of the last time.  `from` is borrowed. Returns 0 or an
 * error. Release it in every case. */
MUST_CHECK int imports_again(struct imports *imports, struct open_file *to, struct codec *codec,
			     const struct dict_tables *from, struct err *err);
void imports_release(struct imports *imports);
/* Give back what only a large profile needs. */
void imports_trim(struct imports *imports);
/* Zeroed or kept from the last time: what was found then is known when both files are still the
 * same, and it begins anew otherwise.  `from` is the catalogue of a file. */
MUST_CHECK int imports_keep(struct imports *imports, struct open_file *to, struct codec *codec,
			    const struct dict *from, struct err *err);
/* How the stacks of `series` (a number of `to`) are imported, which come from `from`. */
MUST_CHECK int imports_part(struct imports *imports, uint32_t series,
			    const struct dict_tables *from, struct dict_import **ret_import,
			    struct err *err);

/* ---- cursors and upload ids (sqlite_known.c) ---- */

void known_release(struct known *known);
/* Add those of an L0 file, all that it has. */
MUST_CHECK int known_load(struct known *known, struct db *db, struct period_file *file,
			  struct err *err);
/* Add what `file` holds of `what`, unless that is known; opens it. */
MUST_CHECK int known_read(struct sqlite_store *s, struct period_file *file, unsigned what,
			  struct err *err);
/* The same of every file: `known` is complete then.  What is damaged is put aside. */
MUST_CHECK int known_want(struct sqlite_store *s, unsigned what, struct err *err);
MUST_CHECK int known_add_cursor(struct known *known, const uint8_t runtime_id[16], uint32_t ring,
				uint64_t position, int64_t file_ns);
uint64_t known_cursor(const struct known *known, const uint8_t runtime_id[16], uint32_t ring);
MUST_CHECK int known_add_upload(struct known *known, struct hash128 key, int64_t arrived_ns);
bool known_has_upload(const struct known *known, struct hash128 key, int64_t arrived_ns);
/* Forget uploads that arrived before and cursors of files from before. */
MUST_CHECK int known_forget(struct known *known, int64_t arrived_before_ns, int64_t file_before_ns);
/* Before an L0 file goes: the ids of uploads that arrived since then live on in another. */
MUST_CHECK int known_carry(struct open_file *from, struct open_file *to, int64_t arrived_after_ns,
			   struct err *err);

/* ---- the rest ---- */

int sqlite_put(struct storage *store, const struct profile *const *profiles, size_t count,
	       int *results, struct err *err);

/* Derive what arrived before `arrived_before_ns` from one L0 file; *ret_more: there is more than
 * one call takes. */
MUST_CHECK int l1_derive(struct sqlite_store *s, struct period_file *source,
			 int64_t arrived_before_ns, bool *ret_more, struct err *err);

/* L2 may take all that an L1 file has: note how far that is of each L0 file. */
MUST_CHECK int l1_hold(struct open_file *l1, struct err *err);
/* L1 may hold batches that an L0 file has lost: what comes has numbers above those.  Noted in the
 * entry once. */
MUST_CHECK int l1_floor(struct sqlite_store *s, struct period_file *l0, struct err *err);
/* How far it holds one of them at this moment; 0: there is no such file, or nothing in it. */
MUST_CHECK int l1_watermark(struct sqlite_store *s, int64_t day_ns, const struct period_file *l0,
			    int64_t *ret_derived, struct err *err);

/* Derive L2 from an L1 file, and pack what it took, as far as `step`; *ret_more: there is more than
 * one call takes. */
MUST_CHECK int l2_derive(struct sqlite_store *s, struct period_file *source, int64_t step,
			 bool *ret_more, struct err *err);

/* How far L2 has what L0 file `file_id` brought into the day, through an L1 file that is lost. */
struct l2_origin {
	struct hash128 series;
	int64_t derived;
};
/* Few, mostly none; free the list. */
MUST_CHECK int l2_origins(struct sqlite_store *s, int64_t day_ns, int64_t file_id,
			  struct l2_origin **ret_list, size_t *ret_count, struct err *err);

/* Batches of an L0 file up to `upto` are to become one, all of which L2 has: say so in L2, on
 * disk. */
MUST_CHECK int l2_raise_origins(struct sqlite_store *s, const struct period_file *l0, int64_t upto,
				struct err *err);

/* Pack an L0 file whose hour is over, as far as L2 has it: few long blocks instead of many short
 * ones. *ret_more: there is more than one call takes. */
MUST_CHECK int pack_l0(struct sqlite_store *s, struct period_file *source, bool *ret_more,
		       struct err *err);

/* Pack the windows of one series that L2 has: those of steps up to `step`. */
MUST_CHECK int pack_series(struct sqlite_store *s, struct open_file *l1, uint32_t series,
			   int64_t step, struct err *err);

/* Put a file aside as <name>.damaged-<n>, with its WAL, and say so. */
MUST_CHECK int retain_put_aside(struct sqlite_store *s, const char *name, const char *why,
				struct err *err);
/* Look at the files that are marked as damaged, and put those aside that are. */
MUST_CHECK int retain_damaged(struct sqlite_store *s, struct err *err);
/* Whether L2 has its share of the budget, or the file system is too full. */
bool retain_is_short(struct sqlite_store *s);
/* How much of the disk may still be taken before too little is free; below 0: it is already.
 * `pending`: bytes that are on their way to be free. */
int64_t retain_disk_room(const struct sqlite_store *s, uint64_t pending);
int sqlite_maintain(struct storage *store, int64_t now_ns, struct err *err);

int sqlite_compact(struct storage *store, const char *part, struct err *err);

/* Remove what copies and incoming files left when the process ended (sqlite_copies.c). */
void copies_sweep(const struct sqlite_store *s);
int sqlite_adopt(struct storage *store, struct storage_incoming *incoming, struct err *err);

/* The symbol store (sqlite_symbols.c). */
#define SYMBOLS_FILE "symbols.db"
struct symbols_row {
	int64_t scope, length;
	struct str build_id, packed;
};
MUST_CHECK int symbols_load(struct sqlite_store *s, struct err *err);
void symbols_release(struct sqlite_store *s);
/* Put it aside when it is damaged. */
MUST_CHECK int symbols_retain(struct sqlite_store *s, struct err *err);
/* The oldest tables go, some megabytes at a time, while it takes more than its share. */
MUST_CHECK int symbols_prune(struct sqlite_store *s, struct err *err);
MUST_CHECK int symbols_compact(struct sqlite_store *s, struct err *err);
/* Take the tables of another store's file, which is whole, that are not there yet. */
MUST_CHECK int symbols_adopt(struct sqlite_store *s, const char *path, struct err *err);
int sqlite_symbols_put(struct storage *store, uint64_t scope, const uint8_t *build_id,
		       size_t build_id_len, const void *table, size_t len, uint64_t *ret_epoch,
		       struct err *err);

#endif
