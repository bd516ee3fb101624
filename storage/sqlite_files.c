/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/sqlite_store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>

#include "base/clock.h"
#include "base/fd.h"

void extent_add_record(struct extent *e, int64_t time_ns)
{
	extent_add(e, time_ns);
	e->first_ns = MIN(e->first_ns, time_ns);
	e->last_ns = MAX(e->last_ns, time_ns);
	e->records++;
}

void extent_join(struct extent *e, const struct extent *other)
{
	e->min_ns = MIN(e->min_ns, other->min_ns);
	e->max_ns = MAX(e->max_ns, other->max_ns);
	e->first_ns = MIN(e->first_ns, other->first_ns);
	e->last_ns = MAX(e->last_ns, other->last_ns);
	e->records += other->records;
}

/* ---- names ---- */

static const struct {
	const char *folder, *format; /* of strptime, within the folder */
	int64_t period_ns;	     /* 0: a month */
	int64_t window_ns;
} levels[SQLITE_LEVELS] = {
    {"l0", "%Y%m%dT%H.db", STORAGE_L0_FILE_NS, 0},
    {"l1", "%Y%m%d.db", STORAGE_L1_FILE_NS, STORAGE_L1_WINDOW_NS},
    {"l2", "%Y%m.db", 0, STORAGE_L2_WINDOW_NS},
};

const char *files_level(int level)
{
	return levels[level].folder;
}

int64_t files_window_ns(int level)
{
	return levels[level].window_ns;
}

/* The first of the month that is `months` after that of `time_ns`. */
static int64_t month_start(int64_t time_ns, int months)
{
	time_t seconds = (time_t)(clock_window_ns(time_ns, NS_PER_S) / NS_PER_S);
	struct tm tm;

	(void)gmtime_r(&seconds, &tm);
	tm = (struct tm){.tm_year = tm.tm_year, .tm_mon = tm.tm_mon + months, .tm_mday = 1};
	return (int64_t)timegm(&tm) * NS_PER_S;
}

int64_t files_period_start(int level, int64_t time_ns)
{
	return levels[level].period_ns ? clock_window_ns(time_ns, levels[level].period_ns)
				       : month_start(time_ns, 0);
}

static int64_t period_end(int level, int64_t start_ns)
{
	return levels[level].period_ns ? start_ns + levels[level].period_ns
				       : month_start(start_ns, 1);
}

static void name_of(int level, int64_t start_ns, char *to, size_t size)
{
	time_t seconds = (time_t)(start_ns / NS_PER_S);
	struct tm tm;

	(void)gmtime_r(&seconds, &tm);
	(void)strftime(to, size,
		       level == 0   ? "l0/%Y%m%dT%H.db"
		       : level == 1 ? "l1/%Y%m%d.db"
				    : "l2/%Y%m.db",
		       &tm);
}

/* Whether `name` (within the level's folder) is a period file, and which. */
static bool name_parse(int level, const char *name, int64_t *ret_start_ns)
{
	struct tm tm = {.tm_mday = 1};
	char again[40];
	const char *end = strptime(name, levels[level].format, &tm);

	if (!end || *end)
		return false;
	*ret_start_ns = (int64_t)timegm(&tm) * NS_PER_S;
	name_of(level, *ret_start_ns, again, sizeof(again));
	return !strcmp(again + 3, name);
}

bool files_parse(const char *name, int *ret_level, int64_t *ret_start_ns)
{
	for (int level = 0; level < SQLITE_LEVELS; level++) {
		size_t len = strlen(levels[level].folder);

		*ret_level = level;
		if (!strncmp(name, levels[level].folder, len) && name[len] == '/')
			return name_parse(level, name + len + 1, ret_start_ns);
	}
	return false;
}

void files_path(const struct sqlite_store *s, const char *name, const char *suffix, char *to)
{
	(void)snprintf(to, SQLITE_PATH_MAX, "%s/%s%s", s->dir, name, suffix);
}

uint64_t files_bytes(const struct sqlite_store *s, const char *name)
{
	char path[SQLITE_PATH_MAX];
	uint64_t bytes = 0;
	struct stat st;

	/* stat alone: opening and closing a file of SQLite's would drop its locks. */
	files_path(s, name, "", path);
	if (!stat(path, &st))
		bytes += (uint64_t)st.st_size;
	files_path(s, name, "-wal", path);
	if (!stat(path, &st))
		bytes += (uint64_t)st.st_size;
	return bytes;
}

/* ---- the catalogue ---- */

static void file_free(struct period_file *file)
{
	free(file);
}

struct period_file *files_ref(struct sqlite_store *s, struct period_file *file)
{
	(void)s;
	file->refs++;
	return file;
}

static void unref_locked(struct period_file *file)
{
	if (--file->refs == 0)
		file_free(file);
}

void files_unref(struct sqlite_store *s, struct period_file *file)
{
	pthread_mutex_lock(&s->lock);
	unref_locked(file);
	pthread_mutex_unlock(&s->lock);
}

static int compare(const struct period_file *a, const struct period_file *b)
{
	if (a->level != b->level)
		return a->level - b->level;
	return (a->start_ns > b->start_ns) - (a->start_ns < b->start_ns);
}

/* The catalogue's reference is the one that `file` comes with. */
static int catalogue_add(struct sqlite_store *s, struct period_file *file)
{
	pthread_mutex_lock(&s->lock);
	int rc = array_grow(&s->files, sizeof(*s->files), &s->files_capacity, s->files_count + 1);
	size_t at = s->files_count;

	if (!rc) {
		for (; at && compare(s->files[at - 1], file) > 0; at--)
			s->files[at] = s->files[at - 1];
		s->files[at] = file;
		s->files_count++;
	}
	pthread_mutex_unlock(&s->lock);
	return rc;
}

void files_remove(struct sqlite_store *s, struct period_file *file)
{
	pthread_mutex_lock(&s->lock);
	for (size_t i = 0; i < s->files_count; i++) {
		if (s->files[i] != file)
			continue;
		memmove(s->files + i, s->files + i + 1, (--s->files_count - i) * sizeof(*s->files));
		file->gone = true;
		unref_locked(file);
		break;
	}
	pthread_mutex_unlock(&s->lock);
}

void files_widen(struct sqlite_store *s, struct period_file *file, const struct extent *extent)
{
	pthread_mutex_lock(&s->lock);
	extent_join(&file->extent, extent);
	pthread_mutex_unlock(&s->lock);
}

static struct period_file *file_find(struct sqlite_store *s, int level, int64_t start_ns)
{
	for (size_t i = 0; i < s->files_count; i++)
		if (s->files[i]->level == level && s->files[i]->start_ns == start_ns)
			return s->files[i];
	return NULL;
}

struct period_file *files_named(struct sqlite_store *s, const char *name)
{
	for (size_t i = 0; i < s->files_count; i++)
		if (!strcmp(s->files[i]->name, name))
			return s->files[i];
	return NULL;
}

static struct period_file *file_new(int level, int64_t start_ns)
{
	static const struct extent empty = EXTENT_EMPTY;
	struct period_file *file = calloc(1, sizeof(*file));

	if (!file)
		return NULL;
	file->level = level;
	file->start_ns = start_ns;
	file->end_ns = period_end(level, start_ns);
	file->extent = empty;
	file->refs = 1;
	file->derived = file->rolled = -1;
	name_of(level, start_ns, file->name, sizeof(file->name));
	return file;
}

/* ---- opening for writing ---- */

static int meta_create(struct db *db, struct period_file *file, struct err *err)
{
	sqlite3_stmt *stmt;
	int64_t id = 0;
	int rc = db_prepare(
	    db, "INSERT INTO meta VALUES (1, :id, :start, :max, :min, :max, :min, 0, 0)", &stmt, err);

	if (getrandom(&id, sizeof(id), 0) != sizeof(id))
		return err_set(err, -EIO, "storage: no random numbers");
	if (rc)
		return rc;
	db_bind_int(stmt, ":id", id);
	db_bind_int(stmt, ":start", file->start_ns);
	db_bind_int(stmt, ":max", INT64_MAX);
	db_bind_int(stmt, ":min", INT64_MIN);
	file->file_id = id;
	return db_run(db, stmt, err);
}

static int last_batch(struct db *db, struct period_file *file, struct err *err)
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

static int meta_read(struct db *db, struct period_file *file, struct err *err)
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

/* A new file's name must be as durable as what will be in it. */
static int sync_folder(const struct sqlite_store *s, int level, struct err *err)
{
	char path[SQLITE_PATH_MAX];

	files_path(s, files_level(level), "", path);
	int fd CLOSING = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || fsync(fd))
		return err_set(err, -EIO, "storage: %s: %s", path, strerror(errno));
	return 0;
}

/* What retention or damage left of a file of this name: its WAL would be taken for the new one's. */
static void remove_leftovers(const struct sqlite_store *s, const struct period_file *file)
{
	char path[SQLITE_PATH_MAX];

	files_path(s, file->name, "-wal", path);
	(void)unlink(path);
	files_path(s, file->name, "-shm", path);
	(void)unlink(path);
}

static int writer_open(struct sqlite_store *s, struct period_file *entry, bool create,
		       struct open_file **ret_file, struct err *err)
{
	char path[SQLITE_PATH_MAX];
	struct open_file *file = calloc(1, sizeof(*file));
	int rc = file ? dict_init(&file->catalogue.dict, true) : -ENOMEM;

	if (rc) {
		free(file);
		return err_set(err, rc, "storage: out of memory");
	}
	file->writing = true;
	if (create)
		remove_leftovers(s, entry);
	files_path(s, entry->name, "", path);
	rc = db_open_writer(&file->db, path, (enum db_kind)entry->level, create, err);
	if (!rc && create)
		rc = meta_read(&file->db, entry, err);
	pthread_mutex_lock(&s->lock);
	file->entry = files_ref(s, entry);
	pthread_mutex_unlock(&s->lock);
	if (!rc)
		rc = open_file_load(file, s->codec, err);
	/* After a failed commit the file knows better than we do what is in it. */
	if (!rc && entry->level == 0)
		rc = last_batch(&file->db, entry, err);
	if (!rc && entry->level == 0)
		rc = known_load(&s->known, &file->db, entry->start_ns, err);
	if (!rc && create)
		rc = sync_folder(s, entry->level, err);
	if (rc) {
		open_file_free(s, file);
		return rc;
	}
	if (s->options.sync_within_ns)
		db_sync_later(&file->db);
	*ret_file = file;
	return 0;
}

static struct open_file **writer_slot(struct sqlite_store *s)
{
	struct open_file **slot = &s->writing[0];

	for (size_t i = 0; i < SQLITE_WRITERS_MAX; i++) {
		if (!s->writing[i])
			return &s->writing[i];
		if (s->writing[i]->used < (*slot)->used)
			slot = &s->writing[i];
	}
	db_checkpoint(&(*slot)->db, true);
	open_file_free(s, *slot);
	*slot = NULL;
	return slot;
}

int files_writer(struct sqlite_store *s, int level, int64_t start_ns, bool create,
		 struct open_file **ret_file, struct err *err)
{
	struct period_file *entry = file_find(s, level, start_ns), *made = NULL;
	struct open_file *file;

	for (size_t i = 0; entry && i < SQLITE_WRITERS_MAX; i++)
		if (s->writing[i] && s->writing[i]->entry == entry) {
			s->writing[i]->used = ++s->used;
			*ret_file = s->writing[i];
			return 0;
		}
	if (!entry && !create)
		return -ENOENT;
	if (!entry)
		entry = made = file_new(level, start_ns);
	if (!entry)
		return err_set(err, -ENOMEM, "storage: out of memory");
	struct open_file **slot = writer_slot(s);
	int rc = writer_open(s, entry, made != NULL, &file, err);

	if (!rc && made && catalogue_add(s, made)) {
		open_file_free(s, file);
		rc = err_set(err, -ENOMEM, "storage: out of memory");
	}
	if (rc == -EBADMSG && !made) {
		pthread_mutex_lock(&s->lock);
		entry->damaged = true;
		pthread_mutex_unlock(&s->lock);
	}
	if (rc) {
		if (made)
			files_unref(s, made);
		return rc;
	}
	entry->bytes = 0;
	file->used = ++s->used;
	*slot = *ret_file = file;
	return 0;
}

void files_failed(struct sqlite_store *s, struct open_file *file, int rc)
{
	struct period_file *entry = file->entry;

	db_rollback(&file->db);
	if (rc == -EBADMSG) {
		pthread_mutex_lock(&s->lock);
		entry->damaged = true;
		pthread_mutex_unlock(&s->lock);
	}
	if (rc == -EBADMSG || open_file_reload(file, s->codec, NULL))
		files_writer_drop(s, entry);
}

void files_writer_drop(struct sqlite_store *s, const struct period_file *file)
{
	for (size_t i = 0; i < SQLITE_WRITERS_MAX; i++) {
		if (!s->writing[i] || s->writing[i]->entry != file)
			continue;
		db_rollback(&s->writing[i]->db);
		open_file_free(s, s->writing[i]);
		s->writing[i] = NULL;
	}
}

void files_bound_wal(struct sqlite_store *s, struct open_file *file)
{
	char path[SQLITE_PATH_MAX];
	struct stat st;

	files_path(s, file->entry->name, "-wal", path);
	if (stat(path, &st) || (uint64_t)st.st_size < SQLITE_WAL_FULL)
		return;
	if (db_checkpoint_within(&file->db, SQLITE_WAL_WAIT_MS / 20))
		return;
	file->entry->hurries++;
	(void)db_checkpoint_within(&file->db, SQLITE_WAL_WAIT_MS - SQLITE_WAL_WAIT_MS / 20);
}

/* ---- at the start ---- */

#define CHECK_AT_ONCE (16 << 20) /* bytes of a file: 10 to 20 ms */

/* A WAL that is left over says that the agent did not close the file; when it may be the newest one,
 * look closer. */
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
		rc = db_open_writer(db, path, (enum db_kind)level, false, why);
	return !rc && check_now ? db_check(db, why) : rc;
}

/* Read one file into the catalogue, or put it aside. */
static int load_file(struct sqlite_store *s, int level, int64_t start_ns, bool newest,
		     struct err *err)
{
	struct period_file *entry = file_new(level, start_ns);
	char path[SQLITE_PATH_MAX], wal[SQLITE_PATH_MAX];
	struct err why = {0};
	struct stat st;
	struct db db;

	if (!entry)
		return err_set(err, -ENOMEM, "storage: out of memory");
	files_path(s, entry->name, "", path);
	files_path(s, entry->name, "-wal", wal);
	bool unclean = !stat(wal, &st) && st.st_size > 0;
	bool is_file = !stat(path, &st) && S_ISREG(st.st_mode);
	bool check_now = unclean && newest && st.st_size <= CHECK_AT_ONCE;

	memset(&db, 0, sizeof(db));
	int rc = is_file ? load_open(&db, path, level, check_now, unclean, &why)
			 : err_set(&why, -EBADMSG, "it is not a file");

	/* The others would hold up the start; maintenance has time for one after the other.  What is
	 * in a WAL is synced when it opens the file for that. */
	entry->doubtful = !check_now || unclean;
	if (!rc)
		rc = meta_read(&db, entry, &why);
	if (!rc && level == 0)
		rc = last_batch(&db, entry, &why);
	if (!rc && level == 0)
		rc = known_load(&s->known, &db, start_ns, &why);
	db_close_still(&db);
	if (!rc)
		rc = catalogue_add(s, entry);
	if (!rc)
		return 0;
	if (rc == -EBADMSG)
		rc = retain_put_aside(s, entry->name, why.message, err);
	else if (rc == -ENOTSUP)
		sqlite_note(s, "%s", why.message), rc = 0;
	else
		rc = err_set(err, rc, "%s", why.message[0] ? why.message : "storage: no memory");
	file_free(entry);
	return rc;
}

int files_load_one(struct sqlite_store *s, int level, int64_t start_ns, struct err *err)
{
	return load_file(s, level, start_ns, true, err);
}

/* The start of the newest file of a level, INT64_MIN without one. */
static int64_t newest_start(DIR *dir, int level)
{
	int64_t start_ns, newest_ns = INT64_MIN;

	for (struct dirent *e; (e = readdir(dir));)
		if (name_parse(level, e->d_name, &start_ns))
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

	for (struct dirent *e; !rc && (e = readdir(dir));)
		if (name_parse(level, e->d_name, &start_ns))
			rc = load_file(s, level, start_ns, !level && start_ns == newest_ns, err);
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
