/* SPDX-License-Identifier: Apache-2.0 */
/* What a file says of itself, and the catalogue as it is found at the start. */
#include "storage/sqlite_store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"

static int meta_create(struct db *db, struct period_file *file, struct err *err)
{
	sqlite3_stmt *stmt;
	int64_t id = 0;
	int rc =
	    db_prepare(db, "INSERT INTO meta VALUES (1, :id, :start, :max, :min, :max, :min, 0, 0)",
		       &stmt, err);

	if (getrandom(&id, sizeof(id), 0) != sizeof(id))
		return err_set(err, -EIO, "storage: no random numbers");
	if (rc)
		return rc;
	db_bind_int(stmt, ":id", id);
	db_bind_int(stmt, ":start", file->start_ns);
	db_bind_int(stmt, ":max", INT64_MAX);
	db_bind_int(stmt, ":min", INT64_MIN);
	file->file_id = id;
	file->floor = 0;
	return db_run(db, stmt, err);
}

int files_last_batch(struct db *db, struct period_file *file, struct err *err)
{
	sqlite3_stmt *stmt;
	int rc = db_prepare(db, "SELECT ifnull(max(id), 0) FROM batch", &stmt, err);

	if (!rc)
		rc = db_step(db, stmt, err);
	if (rc > 0)
		file->last = sqlite3_column_int64(stmt, 0);
	if (rc >= 0)
		(void)sqlite3_reset(stmt);
	return rc < 0 ? rc : 0;
}

int files_meta(struct db *db, struct period_file *file, struct err *err)
{
	sqlite3_stmt *stmt;
	int rc = db_prepare(db,
			    "SELECT file_id, min_ns, max_ns, first_ns, last_ns, records, start_ns,"
			    " step FROM meta",
			    &stmt, err);

	if (!rc)
		rc = db_step(db, stmt, err);
	if (rc <= 0)
		return rc ? rc : meta_create(db, file, err);
	file->file_id = sqlite3_column_int64(stmt, 0);
	file->extent.min_ns = sqlite3_column_int64(stmt, 1);
	file->extent.max_ns = sqlite3_column_int64(stmt, 2);
	file->extent.first_ns = sqlite3_column_int64(stmt, 3);
	file->extent.last_ns = sqlite3_column_int64(stmt, 4);
	file->extent.records = (uint64_t)sqlite3_column_int64(stmt, 5);
	file->last = file->hour_step = file->packed = sqlite3_column_int64(stmt, 7);
	bool named_right = sqlite3_column_int64(stmt, 6) == file->start_ns;

	(void)sqlite3_reset(stmt);
	return named_right ? 0
			   : err_set(err, -EBADMSG, "storage: %s holds another period", file->name);
}

#define CHECK_AT_ONCE (16 << 20) /* bytes of a file: 10 to 20 ms */

/* The journal of its making, without which it may be no database yet. */
static bool has_journal(const struct sqlite_store *s, const struct period_file *entry)
{
	char path[SQLITE_PATH_MAX];
	struct stat st;

	files_path(s, entry->name, "-journal", path);
	return !stat(path, &st) && st.st_size > 0;
}

/* What is left over says that the agent did not close the file; when it may be the newest one, look
 * closer. */
static int load_open(struct db *db, const char *path, int level, bool check_now, bool unclean,
		     struct err *why)
{
	int rc = unclean ? -ENOTSUP : db_open_still(db, path, (enum db_kind)level, why);
	sqlite3_stmt *stmt;

	/* A file that was made and not finished gets its one row from the writer. */
	if (!rc)
		rc = db_prepare(db, "SELECT 1 FROM meta", &stmt, why);
	if (!rc)
		rc = db_step(db, stmt, why);
	if (!rc)
		db_close(db), rc = -ENOTSUP;
	else if (rc > 0)
		rc = sqlite3_reset(stmt) ? -EIO : 0;
	if (rc == -ENOTSUP)
		rc = db_open_alone(db, path, (enum db_kind)level, why);
	return !rc && check_now ? db_check(db, why) : rc;
}

#define WANTED_SOON (32 << 20) /* bytes of a file */

/* Have the kernel read a file while the rest of the agent starts: the first question asks the
 * newest ones, and would wait for each page.  Only before SQLite opens it, for to close a file
 * drops this process's locks on it. */
static void want_soon(const char *path)
{
	int fd CLOSING = open(path, O_RDONLY | O_CLOEXEC);

	if (fd >= 0)
		(void)posix_fadvise(fd, 0, WANTED_SOON, POSIX_FADV_WILLNEED);
}

/* Read one file into the catalogue, or put it aside.  `soon`: it is one of those that are asked
 * first. */
static int load_file(struct sqlite_store *s, int level, int64_t start_ns, bool newest, bool soon,
		     struct err *err)
{
	struct period_file *entry = files_new(level, start_ns);
	char path[SQLITE_PATH_MAX];
	struct err why = {0};
	struct stat st;
	struct db db;

	if (!entry)
		return err_set(err, -ENOMEM, "storage: out of memory");
	files_path(s, entry->name, "", path);
	bool unclean = files_has_wal(s, entry->name) || has_journal(s, entry);
	bool is_file = !stat(path, &st) && S_ISREG(st.st_mode);
	bool check_now = unclean && newest && st.st_size <= CHECK_AT_ONCE;

	memset(&db, 0, sizeof(db));
	if (is_file && soon)
		want_soon(path);
	int rc = is_file ? load_open(&db, path, level, check_now, unclean, &why)
			 : err_set(&why, -EBADMSG, "it is not a file");

	/* The others would hold up the start; maintenance has time for one after the other.  What
	 * is in a WAL is moved when something is to count on it. */
	entry->doubtful = !check_now || unclean;
	entry->unsynced = unclean && level == 1;
	if (!rc)
		rc = files_meta(&db, entry, &why);
	if (!rc && level == 0)
		rc = files_last_batch(&db, entry, &why);
	db_close_still(&db);
	if (!rc)
		rc = files_add(s, entry);
	if (!rc)
		return 0;
	if (rc == -EBADMSG)
		rc = retain_put_aside(s, entry->name, why.message, err);
	else if (rc == -ENOTSUP)
		sqlite_note(s, "%s", why.message), rc = 0;
	else
		rc = err_set(err, rc, "%s", why.message[0] ? why.message : "storage: no memory");
	free(entry);
	return rc;
}

int files_load_one(struct sqlite_store *s, int level, int64_t start_ns, struct err *err)
{
	return load_file(s, level, start_ns, true, false, err);
}

/* The start of the newest file of a level, INT64_MIN without one. */
static int64_t newest_start(DIR *dir, int level)
{
	int64_t start_ns, newest_ns = INT64_MIN;

	for (struct dirent *e; (e = readdir(dir));)
		if (files_parse_name(level, e->d_name, &start_ns))
			newest_ns = MAX(newest_ns, start_ns);
	rewinddir(dir);
	return newest_ns;
}

static int load_level(struct sqlite_store *s, int level, struct err *err)
{
	char path[SQLITE_PATH_MAX];
	int64_t start_ns;
	int rc = 0;

	files_path(s, files_level(level), "", path);
	DIR *dir = opendir(path);

	if (!dir)
		return err_set(err, -errno, "storage: %s: %s", path, strerror(errno));
	int64_t newest_ns = newest_start(dir, level);

	/* A day that ends now is in two of L1. */
	int64_t soon_ns =
	    newest_ns == INT64_MIN ? newest_ns : files_period_start(level, newest_ns - 1);

	for (struct dirent *e; !rc && (e = readdir(dir));)
		if (files_parse_name(level, e->d_name, &start_ns))
			rc = load_file(s, level, start_ns, !level && start_ns == newest_ns,
				       start_ns >= soon_ns, err);
	(void)closedir(dir);
	return rc;
}

int files_load(struct sqlite_store *s, struct err *err)
{
	int rc = 0;

	for (int level = 0; !rc && level < SQLITE_LEVELS; level++)
		rc = load_level(s, level, err);
	return rc;
}

void files_release(struct sqlite_store *s)
{
	for (size_t i = 0; i < SQLITE_WRITERS_MAX; i++) {
		if (s->writing[i])
			db_checkpoint(&s->writing[i]->db, true);
		open_file_free(s, s->writing[i]);
	}
	for (size_t i = 0; i < s->files_count; i++)
		files_unref(s, s->files[i]);
	free(s->files);
}
