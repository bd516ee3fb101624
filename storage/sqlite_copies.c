/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files that go out and come in as a whole: copy, and what adopt takes.
 *
 * A part may be larger than what the agent may have of memory, and who downloads or sends one may
 * be slow: either way it goes through a file of its own, which belongs to no reader's transaction.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/fd.h"
#include "storage/sqlite_read.h"

#define COPY_NAME "copying-"   /* in the store's directory */
#define ASIDE_NAME ".adopted-" /* behind a part's name */
#define COPY_PAGES 256         /* at once, up to a megabyte: then the writer may want the WAL */
#define COPY_TRIES 5           /* of a copy that had to end for the writer */
#define ROOM_STEP (16 << 20)   /* bytes of a file whose size is not known */
#define ROOM_LEFT (SQLITE_WAL_FULL) /* bytes that stay free for what comes in meanwhile */

/* ---- room ---- */

static int no_room(struct sqlite_store *s, const char *part, uint64_t bytes, struct err *err)
{
	unsigned floor =
	    s->options.free_permille == STORAGE_NO_FLOOR ? 0 : s->options.free_permille;
	struct statvfs fs;
	uint64_t left = statvfs(s->dir, &fs) ? 0 : (uint64_t)fs.f_bavail * fs.f_frsize;

	return err_set(
	    err, -ENOSPC,
	    "storage: for %s another %llu MB of disk are needed; of %llu MB that are "
	    "free in %.200s, %u MB and %u.%u %% of the disk (retention.free_percent) are "
	    "to stay free",
	    part, (unsigned long long)((bytes + (1 << 20) - 1) >> 20),
	    (unsigned long long)(left >> 20), s->dir, (unsigned)(ROOM_LEFT >> 20), floor / 10,
	    floor % 10);
}

/* How much a copy may take: above the floor, so that no file goes for it. */
static uint64_t room_for_copies(struct sqlite_store *s)
{
	int64_t room = retain_disk_room(s, 0);
	struct statvfs fs;

	if (!statvfs(s->dir, &fs) && fs.f_blocks)
		room = MIN(room, (int64_t)(fs.f_bavail * fs.f_frsize));
	return room > (int64_t)ROOM_LEFT ? (uint64_t)room - ROOM_LEFT : 0;
}

/* Have the disk keep `bytes` more behind `at`, so that who comes next sees how much is left. */
static int take_room(struct sqlite_store *s, int fd, const char *part, uint64_t at, uint64_t bytes,
		     struct err *err)
{
	int rc = 0;

	pthread_mutex_lock(&s->room_lock);
	if (bytes > room_for_copies(s))
		rc = -ENOSPC;
	else if (bytes && fallocate(fd, FALLOC_FL_KEEP_SIZE, (off_t)at, (off_t)bytes))
		rc = -errno;
	pthread_mutex_unlock(&s->room_lock);
	if (rc == -ENOSPC || rc == -EDQUOT || rc == -EFBIG)
		return no_room(s, part, bytes, err);
	/* Where it cannot be kept it is written for. */
	return rc == -EOPNOTSUPP || rc == -ENOSYS || rc == -EINTR ? 0
	       : rc ? err_set(err, -EIO, "storage: %s: %s", part, strerror(-rc))
		    : 0;
}

/* ---- out ---- */

/* A file that goes with its last descriptor: *ret_fd, and SQLite's.  Its pages are written once and
 * nobody reads them before they are all there, so there is no journal and nothing is synced. */
static int image_new(struct sqlite_store *s, int *ret_fd, struct db *image, struct err *err)
{
	char path[SQLITE_PATH_MAX];

	files_path(s, COPY_NAME "XXXXXX", "", path);
	int fd = mkostemp(path, O_CLOEXEC);

	if (fd < 0)
		return err_set(err, errno == ENOSPC ? -ENOSPC : -EIO, "storage: %s: %s", path,
			       strerror(errno));
	int rc = sqlite3_open_v2(path, &image->handle, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX,
				 NULL);

	(void)unlink(path);
	if (!rc)
		rc = sqlite3_exec(image->handle,
				  "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF;"
				  "PRAGMA locking_mode=EXCLUSIVE; PRAGMA mmap_size=0;"
				  "PRAGMA temp_store=MEMORY; PRAGMA cache_size=-256",
				  NULL, NULL, NULL);
	*ret_fd = fd;
	return rc ? db_fail(image, err) : 0;
}

/* Within one read transaction of `from`, so that every page is of the same moment.  It is not held
 * past the moment in which the writer asks for the WAL. */
static int copy_pages(struct open_file *from, struct db *image, struct err *err)
{
	sqlite3_backup *backup =
	    sqlite3_backup_init(image->handle, "main", from->db.handle, "main");
	int step = SQLITE_OK;
	bool hurried = false;

	while (backup && step == SQLITE_OK && !hurried) {
		step = sqlite3_backup_step(backup, COPY_PAGES);
		hurried = from->entry->hurries != from->hurries_seen;
	}
	(void)sqlite3_backup_finish(backup);
	if (backup && step == SQLITE_DONE)
		return 0;
	if (hurried || step == SQLITE_BUSY || step == SQLITE_LOCKED)
		return err_set(err, -EAGAIN, "storage: %s grows too fast; ask again",
			       from->entry->name);
	int rc = db_fail(image, err);

	return err_set(err, rc == -ENOENT ? -EIO : rc, "storage: %s cannot be copied: %s",
		       from->entry->name, sqlite3_errmsg(image->handle));
}

static int size_of(struct open_file *file, uint64_t *ret_bytes, struct err *err)
{
	sqlite3_stmt *stmt;
	int rc = db_prepare(
	    &file->db, "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size",
	    &stmt, err);

	if (!rc)
		rc = db_step(&file->db, stmt, err);
	if (rc <= 0)
		return rc ? rc : err_set(err, -EIO, "storage: %s has no size", file->entry->name);
	*ret_bytes = (uint64_t)sqlite3_column_int64(stmt, 0);
	(void)sqlite3_reset(stmt);
	return 0;
}

/* From an open part, whose transaction begins and ends here. */
static int copy_open(struct sqlite_store *s, struct open_file *from, int *ret_fd,
		     uint64_t *ret_bytes, struct err *err)
{
	struct db image = {0};

	from->hurries_seen = from->entry->hurries;
	int rc = db_exec(&from->db, "BEGIN", err);

	if (!rc)
		rc = size_of(from, ret_bytes, err);
	if (!rc)
		rc = image_new(s, ret_fd, &image, err);
	if (!rc)
		rc = take_room(s, *ret_fd, from->entry->name, 0, *ret_bytes, err);
	if (!rc)
		rc = copy_pages(from, &image, err);
	db_close(&image);
	db_rollback(&from->db);
	return rc;
}

static int copy_once(struct sqlite_reader *r, const char *part, int *ret_fd, uint64_t *ret_bytes,
		     struct err *err)
{
	struct open_file *from = calloc(1, sizeof(*from));
	int fd CLOSING = -1;

	if (!from)
		return err_set(err, -ENOMEM, "storage: out of memory");
	int rc = parts_open(r, part, from, err);

	if (!rc)
		rc = copy_open(r->s, from, &fd, ret_bytes, err);
	rc = parts_close(r, from, rc, err);
	if (!rc) {
		*ret_fd = fd;
		fd = -1;
	}
	return rc == -EBADMSG ? -EIO : rc;
}

int sqlite_copy(struct storage_reader *reader, const char *part, int *ret_fd, uint64_t *ret_bytes,
		struct err *err)
{
	int rc = -EAGAIN;

	for (int i = 0; rc == -EAGAIN && i < COPY_TRIES; i++)
		rc = copy_once(reader_of(reader), part, ret_fd, ret_bytes, err);
	return rc;
}

/* ---- in ---- */

struct sqlite_incoming {
	struct storage_incoming base;
	struct sqlite_store *s;
	char part[40], path[SQLITE_PATH_MAX];
	int level; /* DB_SYMBOLS: it has no period */
	int64_t start_ns;
	int fd;
	uint64_t bytes, room; /* that came; that the disk keeps for it */
	bool checked;
};

static struct sqlite_incoming *incoming_of(struct storage_incoming *incoming)
{
	return (struct sqlite_incoming *)incoming;
}

static int too_large(const struct sqlite_incoming *in, struct err *err)
{
	return err_set(err, -E2BIG,
		       "storage: %s is above the %llu bytes that all of the store may take "
		       "(retention.bytes)",
		       in->part, (unsigned long long)in->s->options.bytes_max);
}

static int already_there(const char *part, struct err *err)
{
	return err_set(err, -EEXIST, "storage: %s is there already", part);
}

/* Name it, and make the file that it comes into. */
static int incoming_begin(struct sqlite_incoming *in, const char *part, uint64_t expected,
			  struct err *err)
{
	struct sqlite_store *s = in->s;

	in->level = DB_SYMBOLS;
	if (strcmp(part, SYMBOLS_FILE) && !files_parse(part, &in->level, &in->start_ns))
		return err_set(err, -EINVAL, "storage: \"%.60s\" is not the name of a file here",
			       part);
	(void)snprintf(in->part, sizeof(in->part), "%s", part);
	pthread_mutex_lock(&s->lock);
	bool there = files_named(s, part);

	pthread_mutex_unlock(&s->lock);
	if (there)
		return already_there(part, err);
	if (expected > s->options.bytes_max)
		return too_large(in, err);
	files_path(s, part, ASIDE_NAME "XXXXXX", in->path);
	in->fd = mkostemp(in->path, O_CLOEXEC);
	if (in->fd < 0)
		return err_set(err, errno == ENOSPC ? -ENOSPC : -EIO, "storage: %s: %s", in->path,
			       strerror(errno));
	in->room = expected;
	return take_room(s, in->fd, part, 0, expected, err);
}

int sqlite_incoming_open(struct storage_reader *reader, const char *part, uint64_t expected,
			 struct storage_incoming **ret_incoming, struct err *err)
{
	struct sqlite_incoming *in = calloc(1, sizeof(*in));

	if (!in)
		return err_set(err, -ENOMEM, "storage: out of memory");
	in->s = reader_of(reader)->s;
	in->fd = -1;
	int rc = incoming_begin(in, part, expected, err);

	if (rc)
		sqlite_incoming_close(&in->base);
	else
		*ret_incoming = &in->base;
	return rc;
}

int sqlite_incoming_add(struct storage_incoming *incoming, const void *bytes, size_t len,
			struct err *err)
{
	struct sqlite_incoming *in = incoming_of(incoming);
	int rc = 0;

	if (len > in->s->options.bytes_max - in->bytes)
		return too_large(in, err);
	if (in->bytes + len > in->room) {
		uint64_t more = MAX(in->bytes + len - in->room, (uint64_t)ROOM_STEP);

		rc = take_room(in->s, in->fd, in->part, in->room, more, err);
		if (rc)
			return rc;
		in->room += more;
	}
	rc = fd_write_all(in->fd, bytes, len);
	if (rc == -ENOSPC || rc == -EDQUOT || rc == -EFBIG)
		return no_room(in->s, in->part, len, err);
	if (rc)
		return err_set(err, -EIO, "storage: %s: %s", in->path, strerror(-rc));
	in->bytes += len;
	return 0;
}

/* Of the period that its name says, and of its level. */
static int check_period(const struct sqlite_incoming *in, struct db *db, struct err *err)
{
	static const char *const own[SQLITE_LEVELS] = {"SELECT 1 FROM batch", "SELECT 1 FROM pack",
						       "SELECT 1 FROM window"};
	struct period_file *entry = files_new(in->level, in->start_ns);
	sqlite3_stmt *stmt;

	if (!entry)
		return err_set(err, -ENOMEM, "storage: out of memory");
	int rc = db_prepare(db, own[in->level], &stmt, err);

	if (!rc)
		rc = files_meta(db, entry, err);
	free(entry);
	return rc;
}

/* What was kept for it and did not come is given back; SQLite opens it by itself. */
static int incoming_sync(struct sqlite_incoming *in, struct err *err)
{
	int rc = ftruncate(in->fd, (off_t)in->bytes) || fsync(in->fd) ? -errno : 0;

	fd_close(&in->fd);
	return rc ? err_set(err, rc == -ENOSPC ? rc : -EIO, "storage: %s: %s", in->path,
			    strerror(-rc))
		  : 0;
}

int sqlite_incoming_check(struct storage_incoming *incoming, struct err *err)
{
	struct sqlite_incoming *in = incoming_of(incoming);
	struct db db = {0};

	/* SQLite takes nothing for a database that is still to be made. */
	if (!in->bytes)
		return err_set(err, -EINVAL, "storage: %s is empty", in->part);
	int rc = incoming_sync(in, err);

	if (!rc)
		rc = db_open_alone(&db, in->path, (enum db_kind)in->level, err);
	if (!rc)
		rc = db_check(&db, err);
	if (!rc && in->level != DB_SYMBOLS)
		rc = check_period(in, &db, err);
	db_close(&db);
	in->checked = !rc;
	return rc == -EBADMSG ? -EINVAL : rc;
}

void sqlite_incoming_close(struct storage_incoming *incoming)
{
	static const char *const suffixes[] = {"", "-wal", "-shm", "-journal"};
	struct sqlite_incoming *in = incoming_of(incoming);
	char path[SQLITE_PATH_MAX + 16];

	for (size_t i = 0; in->path[0] && i < ARRAY_LEN(suffixes); i++) {
		(void)snprintf(path, sizeof(path), "%s%s", in->path, suffixes[i]);
		(void)unlink(path);
	}
	fd_close(&in->fd);
	free(in);
}

/* It takes its name, which nobody has: also not a file that this release cannot read and that is in
 * no catalogue. */
static int take_name(struct sqlite_incoming *in, struct err *err)
{
	char path[SQLITE_PATH_MAX];

	files_path(in->s, in->part, "", path);
	if (files_named(in->s, in->part) || !access(path, F_OK))
		return already_there(in->part, err);
	if (rename(in->path, path))
		return err_set(err, -EIO, "storage: %s: %s", path, strerror(errno));
	in->path[0] = '\0';
	return files_sync_folder(in->s, in->level, err);
}

int sqlite_adopt(struct storage *store, struct storage_incoming *incoming, struct err *err)
{
	struct sqlite_store *s = sqlite_of(store);
	struct sqlite_incoming *in = incoming_of(incoming);

	if (!in->checked)
		return err_set(err, -EINVAL, "storage: %s was not checked", in->part);
	if (in->level == DB_SYMBOLS)
		return symbols_adopt(s, in->path, err);
	files_remove_leftovers(s, in->part);
	int rc = take_name(in, err);

	s->weighed_ns = 0;
	return rc ? rc : files_load_one(s, in->level, in->start_ns, err);
}

/* ---- what a crash left ---- */

static void sweep(const struct sqlite_store *s, const char *folder)
{
	char path[SQLITE_PATH_MAX];

	files_path(s, folder, "", path);
	DIR *dir = opendir(path);

	for (struct dirent *e; dir && (e = readdir(dir));)
		if (!strncmp(e->d_name, COPY_NAME, strlen(COPY_NAME)) ||
		    strstr(e->d_name, ASIDE_NAME))
			(void)unlinkat(dirfd(dir), e->d_name, 0);
	if (dir)
		(void)closedir(dir);
}

void copies_sweep(const struct sqlite_store *s)
{
	sweep(s, ".");
	for (int level = 0; level < SQLITE_LEVELS; level++)
		sweep(s, files_level(level));
}
