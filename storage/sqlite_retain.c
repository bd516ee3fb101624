/* SPDX-License-Identifier: Apache-2.0 */
/* What goes and what is put aside: retention by age and bytes, damaged files, and maintain. */
#include "storage/sqlite_store.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/clock.h"

/* What arrived in a window may still come in for so long before it is derived. */
#define GRACE_NS (INT64_C(5) * NS_PER_S)
#define DERIVE_CALLS_MAX 4 /* of one maintain: puts are waiting */
#define PACK_AFTER_NS (INT64_C(600) * NS_PER_S)
#define MAINTAIN_EVERY_NS (INT64_C(2) * NS_PER_S) /* as the agent calls it */
#define CHECK_TIME_NS (INT64_C(100) * NS_PER_MS)  /* of one maintain */
#define WEIGH_ROOM (INT64_C(256) << 20)           /* bytes: more than comes in so long */
#define WEIGH_EVERY_NS (INT64_C(10) * NS_PER_S)
#define IDLE_MAX 30 /* rounds of maintenance */
#define FORGET_EVERY_NS (INT64_C(3600) * NS_PER_S)
#define STAT_BLOCK 512 /* bytes of st_blocks, on Linux whatever the file system */

static void note(struct sqlite_store *s, bool mild, const char *fmt, va_list args)
{
	pthread_mutex_lock(&s->lock);
	if (!s->note[0] || (s->note_is_mild && !mild)) {
		(void)vsnprintf(s->note, sizeof(s->note), fmt, args);
		s->note_is_mild = mild;
	}
	pthread_mutex_unlock(&s->lock);
}

void sqlite_note(struct sqlite_store *s, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	note(s, false, fmt, args);
	va_end(args);
}

void sqlite_mention(struct sqlite_store *s, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	note(s, true, fmt, args);
	va_end(args);
}

/* ---- damage ---- */

int retain_put_aside(struct sqlite_store *s, const char *name, const char *why, struct err *err)
{
	char from[SQLITE_PATH_MAX], to[SQLITE_PATH_MAX], aside[80];

	for (unsigned n = 1; n < 10000; n++) {
		(void)snprintf(aside, sizeof(aside), "%s.damaged-%u", name, n);
		files_path(s, aside, "", to);
		if (access(to, F_OK))
			break;
	}
	files_path(s, name, "", from);
	if (rename(from, to))
		return err_set(err, -errno, "storage: %s cannot be put aside: %s", from,
			       strerror(errno));
	/* The WAL goes along under the name that belongs to the file's new one. */
	files_path(s, name, "-wal", from);
	files_path(s, aside, "-wal", to);
	(void)rename(from, to);
	files_path(s, name, "-shm", from);
	(void)unlink(from);
	sqlite_note(s, "%s was damaged and is kept as %s", name, aside);
	return err_set(err, 0, "storage: %s was damaged and is kept as %s (%s)", name, aside, why);
}

static struct period_file *damaged_file(struct sqlite_store *s)
{
	struct period_file *found = NULL;

	pthread_mutex_lock(&s->lock);
	for (size_t i = 0; !found && i < s->files_count; i++)
		if (s->files[i]->damaged)
			found = files_ref(s, s->files[i]);
	if (found)
		found->damaged = found->doubtful = false;
	pthread_mutex_unlock(&s->lock);
	return found;
}

int retain_damaged(struct sqlite_store *s, struct err *err)
{
	struct period_file *file;
	int rc = 0;

	while (!rc && (file = damaged_file(s))) {
		char path[SQLITE_PATH_MAX];
		struct err why = {0};
		struct db db;

		files_writer_drop(s, file);
		files_path(s, file->name, "", path);
		file->opened += 2;
		int found = db_open_writer(&db, path, (enum db_kind)file->level, false, &why);

		/* An upload that it tells of is still not to count twice. */
		if (!found && file->unknown)
			found = known_load(&s->known, &db, file, &why);
		if (!found)
			found = db_check(&db, &why);
		db_close(&db);
		/* SQLite finds nothing, but what is in the rows made no sense to us: as bad. */
		if (!found && !why.message[0])
			(void)err_set(&why, 0, "its contents do not decode");
		files_remove(s, file);
		rc = retain_put_aside(s, file->name, why.message, err);
		/* What a lost file held of those below that are still there can be derived
		 * again. */
		for (size_t i = 0; file->level && i < s->files_count; i++) {
			s->files[i]->derived = s->files[i]->rolled = -1;
			s->files[i]->rolling = 0;
		}
		files_unref(s, file);
	}
	return rc;
}

static struct period_file *doubtful_file(struct sqlite_store *s)
{
	for (size_t i = s->files_count; i-- > 0;)
		if (s->files[i]->doubtful)
			return s->files[i];
	return NULL;
}

static int check_one(struct sqlite_store *s, struct period_file *file, struct err *err)
{
	struct open_file *open;
	int rc = files_writer(s, file->level, file->start_ns, false, &open, err);

	if (!rc) {
		rc = db_check(&open->db, err);
		db_forget_pages(&open->db); /* all of the file, up to the limit of the cache */
	}
	pthread_mutex_lock(&s->lock);
	file->doubtful = rc && rc != -EBADMSG;
	file->damaged |= rc == -EBADMSG;
	pthread_mutex_unlock(&s->lock);
	return rc == -EBADMSG ? retain_damaged(s, err) : rc;
}

/* Check the files that were not checked at the start, as many as there is time for; 1 when there
 * are more.  Until then nothing is derived: what is wrong in one level would be carried into the
 * next. */
static int check_doubtful(struct sqlite_store *s, struct err *err)
{
	int64_t until_ns = clock_monotonic_ns() + CHECK_TIME_NS;
	struct period_file *file;
	int rc = 0;

	while (!rc && (file = doubtful_file(s))) {
		if (clock_monotonic_ns() > until_ns)
			return 1;
		rc = check_one(s, file, err);
	}
	return rc;
}

/* ---- retention ---- */

static void drop_file(struct sqlite_store *s, struct period_file *file, int64_t now_ns)
{
	static const char *const suffixes[] = {"", "-wal", "-shm"};
	char paths[ARRAY_LEN(suffixes)][SQLITE_PATH_MAX];
	uint64_t bytes = 0;
	struct stat st;

	files_writer_drop(s, file);
	for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
		files_path(s, file->name, suffixes[i], paths[i]);
		if (!stat(paths[i], &st))
			bytes += (uint64_t)st.st_blocks * STAT_BLOCK;
	}
	pthread_mutex_lock(&s->lock);
	file->gone_bytes = bytes;
	file->gone_ns = now_ns;
	pthread_mutex_unlock(&s->lock);
	files_remove(s, file);
	for (size_t i = 0; i < ARRAY_LEN(suffixes); i++)
		(void)unlink(paths[i]);
	readers_let_go(s);
}

/* Whether a file of the level below is there from which this one was derived: its watermark says
 * what of that one counts, so it goes after it. */
static bool is_needed(const struct sqlite_store *s, const struct period_file *file)
{
	for (size_t i = 0; i < s->files_count; i++) {
		const struct period_file *below = s->files[i];

		if (below->level == file->level - 1 && below->extent.min_ns < file->end_ns &&
		    below->extent.max_ns >= file->start_ns)
			return true;
	}
	return false;
}

/* The oldest file of a level that may go, unless it is the newest one. */
static struct period_file *oldest(struct sqlite_store *s, int level)
{
	for (size_t i = 0; i + 1 < s->files_count; i++) {
		struct period_file *file = s->files[i];

		if (file->level == level && !file->stuck && !is_needed(s, file))
			return s->files[i + 1]->level == level ? file : NULL;
	}
	return NULL;
}

static bool is_too_old(const struct period_file *file, int64_t age_ns, int64_t now_ns)
{
	return MAX(file->end_ns, file->extent.max_ns) < now_ns - age_ns;
}

static int derive_rest(struct sqlite_store *s, struct period_file *file, struct err *err)
{
	bool more = true;
	int rc = 0;

	while (!rc && more && file->level < 2)
		rc = file->level ? l2_derive(s, file, file->last, &more, err)
				 : l1_derive(s, file, INT64_MAX, &more, err);
	return rc || file->level ? rc : files_sync_derived(s, err);
}

/* The upload ids of a file that goes within their day move to the newest file. */
static int carry_uploads(struct sqlite_store *s, struct period_file *file, int64_t now_ns,
			 struct err *err)
{
	struct period_file *newest = file;
	struct open_file *from, *to;

	for (size_t i = 0; i < s->files_count && s->files[i]->level == 0; i++)
		newest = s->files[i];
	if (file->level || newest == file || file->uploads_ns + STORAGE_UPLOAD_ID_NS < now_ns)
		return 0;
	int rc = files_writer(s, 0, file->start_ns, false, &from, err);

	if (!rc)
		rc = files_writer(s, 0, newest->start_ns, false, &to, err);
	if (rc)
		return rc;
	rc = known_carry(from, to, now_ns - STORAGE_UPLOAD_ID_NS, err);
	if (rc)
		files_failed(s, to, rc);
	return rc;
}

/* With `sync_within_seconds` other levels' commits are put off, too. */
static int sync_all(struct sqlite_store *s, struct err *err)
{
	for (size_t i = 0; s->options.sync_within_ns && i < SQLITE_WRITERS_MAX; i++)
		if (s->writing[i]) {
			int rc = files_sync_all(s->writing[i], 0, err);

			if (rc)
				return rc;
		}
	return 0;
}

/* The next level gets what this one still has alone before it goes; a full disk is the one reason
 * not to wait.  What cannot be rolled up stays, and costs the others nothing. */
static int roll_up_and_drop(struct sqlite_store *s, struct period_file *file, int64_t now_ns,
			    struct err *err)
{
	int rc = known_read(s, file, KNOWN_ALL, err);

	if (!rc)
		rc = derive_rest(s, file, err);
	if (!rc)
		rc = carry_uploads(s, file, now_ns, err);
	if (!rc)
		rc = sync_all(s, err);
	if (rc == -ENOSPC) {
		sqlite_note(s, "disk full: %s went before it was rolled up", file->name);
		rc = 0;
	}
	if (!rc)
		drop_file(s, file, now_ns);
	else
		file->stuck = true;
	return rc;
}

/* Only what is open for writing grows, and a month is many files to ask for each second. */
static uint64_t bytes_of(struct sqlite_store *s, struct period_file *file)
{
	for (size_t i = 0; i < SQLITE_WRITERS_MAX; i++)
		if (s->writing[i] && s->writing[i]->entry == file)
			return files_bytes(s, file->name);
	if (!file->bytes)
		file->bytes = files_bytes(s, file->name);
	return file->bytes;
}

static uint64_t level_bytes(struct sqlite_store *s, int level)
{
	uint64_t bytes = level < 0 ? files_bytes(s, SYMBOLS_FILE) : 0;

	for (size_t i = 0; i < s->files_count; i++)
		if (s->files[i]->level == level)
			bytes += bytes_of(s, s->files[i]);
	return bytes;
}

/* How much may still be written; below 0: there is too much already. */
static int64_t below(uint64_t limit, uint64_t bytes)
{
	return bytes > limit ? -1 : (int64_t)MIN(limit - bytes, (uint64_t)INT64_MAX);
}

int64_t retain_disk_room(const struct sqlite_store *s, uint64_t pending)
{
	struct statvfs fs;

	if (s->options.free_permille == STORAGE_NO_FLOOR || statvfs(s->dir, &fs) || !fs.f_blocks)
		return INT64_MAX;
	uint64_t floor = ((uint64_t)fs.f_blocks * s->options.free_permille + 999) / 1000;

	return below((uint64_t)fs.f_bavail * fs.f_frsize + pending, floor * fs.f_frsize);
}

/* The same, within the budget of all files. */
static int64_t room(struct sqlite_store *s, int64_t now_ns)
{
	/* What was unlinked and is still read counts as free, for to drop more meanwhile would be
	 * in vain.  Asked before the file system is: a file that is closed in between counts twice,
	 * until the next maintenance; the other way round one more would go, for good. */
	uint64_t pending = files_pending_bytes(s, now_ns), bytes = level_bytes(s, -1);

	for (int level = 0; level < SQLITE_LEVELS; level++)
		bytes += level_bytes(s, level);
	return MIN(below(s->options.bytes_max, bytes), retain_disk_room(s, pending));
}

bool retain_is_short(struct sqlite_store *s)
{
	uint64_t share = s->options.bytes_max / 8 * 3;

	return level_bytes(s, 2) > share || retain_disk_room(s, 0) < 0;
}

static int64_t l0_room(struct sqlite_store *s)
{
	return below(s->options.l0_bytes_max, level_bytes(s, 0));
}

/* The first failure of several is what is told. */
static int first(int failed, int rc)
{
	return failed ? failed : rc;
}

static int drop_old(struct sqlite_store *s, int64_t now_ns, struct err *err)
{
	const int64_t ages_ns[SQLITE_LEVELS] = {s->options.l0_age_ns, s->options.l1_age_ns,
						s->options.l2_age_ns};
	struct period_file *file;
	int failed = 0;

	for (int level = 0; level < SQLITE_LEVELS; level++)
		while ((file = oldest(s, level)) && is_too_old(file, ages_ns[level], now_ns))
			failed = first(failed, roll_up_and_drop(s, file, now_ns, err));
	return failed;
}

/* *ret_left is what may still be written. */
static int apply_budgets(struct sqlite_store *s, int64_t now_ns, int64_t *ret_left, struct err *err)
{
	int64_t left = l0_room(s), all;
	struct period_file *file;
	int failed = 0;

	failed = symbols_prune(s, err);
	for (; left < 0 && (file = oldest(s, 0)); left = l0_room(s))
		failed = first(failed, roll_up_and_drop(s, file, now_ns, err));
	/* Over the whole budget the detail goes first, as long as the level above has the sums. */
	all = room(s, now_ns);
	for (int level = 0; level < SQLITE_LEVELS; level++)
		for (; all < 0 && (file = oldest(s, level)); all = room(s, now_ns))
			failed = first(failed, roll_up_and_drop(s, file, now_ns, err));
	*ret_left = MIN(left, all);
	return failed;
}

static int apply_retention(struct sqlite_store *s, int64_t now_ns, struct err *err)
{
	int64_t waited_ns = now_ns - s->weighed_ns, left;

	for (size_t i = 0; i < s->files_count; i++)
		s->files[i]->stuck = false;
	int failed = drop_old(s, now_ns, err);

	/* Each size is a look-up of a path, and there was room for longer than this. */
	if (s->weighed_ns && waited_ns >= 0 && waited_ns < WEIGH_EVERY_NS)
		return failed;
	s->weighed_ns = 0;
	failed = first(failed, apply_budgets(s, now_ns, &left, err));
	if (!failed && left > WEIGH_ROOM)
		s->weighed_ns = now_ns;
	return failed;
}

/* ---- maintain ---- */

/* What is wrong with one file costs the others nothing. */

static int derive_all(struct sqlite_store *s, int64_t now_ns, struct err *err)
{
	int64_t closed_ns = clock_window_ns(now_ns - GRACE_NS, STORAGE_L1_WINDOW_NS);
	int calls = 0, failed = 0;

	for (size_t i = 0; i < s->files_count && s->files[i]->level == 0; i++) {
		struct period_file *source = s->files[i];
		bool more = true;
		int rc = 0;

		/* Most files have nothing new, and are not even opened. */
		while (!rc && more && source->derived < source->last && calls < DERIVE_CALLS_MAX) {
			rc = l1_derive(s, source, closed_ns, &more, err);
			calls += more;
		}
		if (rc == -EBADMSG)
			rc = retain_damaged(s, err);
		failed = first(failed, rc);
		/* Deriving can add L1 files, which stand behind; damage can take this one away. */
		if (i < s->files_count && s->files[i] != source)
			i--;
	}
	return failed;
}

/* Hours that are complete go from L1 to L2. */
static int roll_all(struct sqlite_store *s, int64_t now_ns, struct err *err)
{
	bool more = false;
	int failed = 0;

	for (size_t i = 0; !more && i < s->files_count; i++) {
		struct period_file *file = s->files[i];

		if (file->level != 1)
			continue;
		/* When nothing has come for an hour, what there is, is complete. */
		bool rests = now_ns - file->hour_ns > 2 * STORAGE_L2_WINDOW_NS;
		int rc = l2_derive(s, file, rests ? file->last : file->hour_step, &more, err);

		if (rc == -EBADMSG)
			rc = retain_damaged(s, err);
		failed = first(failed, rc);
		if (i < s->files_count && s->files[i] != file)
			i--;
	}
	return failed;
}

/* Hours that are over and in L1.  A reader that has read L1's watermark before the last batches
 * were derived must be gone: its deadline is far shorter than this. */
static int pack_all(struct sqlite_store *s, int64_t now_ns, struct err *err)
{
	bool more = false, damaged = false;
	int failed = 0;

	for (size_t i = 0; !more && i < s->files_count && s->files[i]->level == 0; i++) {
		struct period_file *file = s->files[i];
		bool over = file->end_ns + PACK_AFTER_NS < now_ns && file->derived > file->packed;
		int rc = over ? pack_l0(s, file, &more, err) : 0;

		damaged |= rc == -EBADMSG;
		failed = first(failed, rc == -EBADMSG ? 0 : rc);
	}
	return first(failed, damaged ? retain_damaged(s, err) : 0);
}

/* While a file is written, SQLite moves its WAL every 4 MB; oftener would write the same pages
 * again and again.  It is here where commits wait for it to be synced, and when the file's time is
 * over. */
static void checkpoint_all(struct sqlite_store *s, int64_t now_ns)
{
	int64_t waited_ns = now_ns - s->synced_ns; /* below 0: the clock was set back */
	bool sync = s->options.sync_within_ns &&
		    (waited_ns < 0 || waited_ns >= s->options.sync_within_ns - MAINTAIN_EVERY_NS);
	struct err ignored = {0};
	bool synced = sync;

	for (size_t i = 0; i < SQLITE_WRITERS_MAX; i++) {
		bool over = s->writing[i] && s->writing[i]->entry->end_ns + GRACE_NS < now_ns;

		if (over)
			db_checkpoint(&s->writing[i]->db, true);
		if (sync && s->writing[i])
			synced &= !files_sync_all(s->writing[i], 0, &ignored);
		if (s->writing[i])
			files_bound_wal(s->writing[i]);
	}
	if (synced)
		s->synced_ns = now_ns;
}

/* A file whose time is over is rarely written again, and its dictionaries are most of what the
 * store has in memory. */
static void close_idle(struct sqlite_store *s, int64_t now_ns)
{
	for (size_t i = 0; i < SQLITE_WRITERS_MAX; i++) {
		struct open_file *file = s->writing[i];

		if (!file)
			continue;
		file->idle = file->used == file->used_before ? file->idle + 1 : 0;
		file->used_before = file->used;
		if (file->idle < IDLE_MAX || file->entry->end_ns + GRACE_NS >= now_ns)
			continue;
		db_checkpoint(&file->db, true);
		files_writer_drop(s, file->entry);
	}
}

static int forget_known(struct sqlite_store *s, int64_t now_ns, struct err *err)
{
	int64_t waited_ns = now_ns - s->forgotten_ns; /* below 0: the clock was set back */

	if (waited_ns >= 0 && waited_ns <= FORGET_EVERY_NS)
		return 0;
	s->forgotten_ns = now_ns;
	return known_forget(&s->known, now_ns - STORAGE_UPLOAD_ID_NS,
			    now_ns - s->options.l0_age_ns - STORAGE_L0_FILE_NS)
		   ? err_set(err, -ENOMEM, "storage: out of memory")
		   : 0;
}

int sqlite_maintain(struct storage *store, int64_t now_ns, struct err *err)
{
	/* Each does what it can, whatever another could not. */
	static int (*const steps[])(struct sqlite_store *, int64_t, struct err *) = {
	    derive_all, roll_all, pack_all, apply_retention, forget_known};
	struct sqlite_store *s = sqlite_of(store);
	struct err later = {0};

	/* Those that were asked when their files went. */
	readers_let_go(s);
	int rc = retain_damaged(s, err);

	if (!rc)
		rc = symbols_retain(s, err);
	if (!rc)
		rc = check_doubtful(s, err);
	if (rc > 0)
		return 0;
	for (size_t i = 0; i < ARRAY_LEN(steps); i++)
		rc = first(rc, steps[i](s, now_ns, rc ? &later : err));
	checkpoint_all(s, now_ns);
	close_idle(s, now_ns);
	return rc == -EBADMSG ? -EIO : rc;
}
