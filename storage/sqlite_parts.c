/* SPDX-License-Identifier: Apache-2.0 */
/* What people ask of single files: list, check, copy, compact, adopt. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "storage/sqlite_read.h"

static int unknown(const char *part, struct err *err)
{
	return err_set(err, -ENOENT, "storage: there is no file \"%.60s\" in the store", part);
}

/* ---- readers ---- */

static int tell(struct sqlite_store *s, const struct period_file *file, storage_part_fn fn,
		void *arg)
{
	pthread_mutex_lock(&s->lock);
	bool empty = file->extent.first_ns > file->extent.last_ns;
	struct storage_part part = {.name = file->name,
				    .level = file->level,
				    .records = file->extent.records,
				    .first_ns = empty ? 0 : file->extent.first_ns,
				    .last_ns = empty ? 0 : file->extent.last_ns};

	pthread_mutex_unlock(&s->lock);
	part.bytes = files_bytes(s, file->name);
	return fn(arg, &part);
}

int sqlite_parts(struct storage_reader *reader, storage_part_fn fn, void *arg, struct err *err)
{
	struct sqlite_store *s = reader_of(reader)->s;
	struct storage_part symbols = {.name = SYMBOLS_FILE, .level = -1};
	struct period_file **files;
	size_t count;
	int rc = 0;

	pthread_mutex_lock(&s->lock);
	count = s->files_count;
	files = malloc((count + 1) * sizeof(struct period_file *));
	for (size_t i = 0; files && i < count; i++)
		files[i] = files_ref(s, s->files[i]);
	pthread_mutex_unlock(&s->lock);
	if (!files)
		return err_set(err, -ENOMEM, "storage: out of memory");
	for (size_t i = 0; i < count; i++) {
		if (!rc)
			rc = tell(s, files[i], fn, arg);
		files_unref(s, files[i]);
	}
	free(files);
	symbols.bytes = files_bytes(s, SYMBOLS_FILE);
	return !rc && symbols.bytes ? fn(arg, &symbols) : rc;
}

/* Open a part apart from the reader's own connections; `file` is zeroed. */
static int open_part(struct sqlite_reader *r, const char *part, struct open_file *file,
		     struct err *err)
{
	struct sqlite_store *s = r->s;

	pthread_mutex_lock(&s->lock);
	struct period_file *entry =
	    strcmp(part, SYMBOLS_FILE) ? files_named(s, part) : s->symbols_entry;

	file->entry = entry ? files_ref(s, entry) : NULL;
	pthread_mutex_unlock(&s->lock);
	return entry ? open_file_read(s, file, err) : unknown(part, err);
}

static int close_part(struct sqlite_reader *r, struct open_file *file, int rc, struct err *err)
{
	if (file->entry)
		rc = open_file_end(r->s, file, rc, err);
	open_file_free(r->s, file);
	return rc;
}

/* Every blob of a statement's first column must decode. */
static int decode_all(struct sqlite_reader *r, struct open_file *file, const char *sql,
		      struct err *err)
{
	const struct dict_tables *t = &file->catalogue.dict.t;
	sqlite3_stmt *stmt;
	int rc = db_prepare(&file->db, sql, &stmt, err);

	while (!rc && (rc = db_step(&file->db, stmt, err)) > 0) {
		struct str data = db_column_blob(stmt, 0);
		int64_t series = sqlite3_column_int64(stmt, 1);
		struct dict *stacks;

		rc = series >= 0 && (size_t)series < t->series_count
			 ? open_file_part(file, r->codec, (uint32_t)series, &stacks, err)
			 : err_set(err, -EBADMSG, "a block has no series");
		if (!rc)
			rc = codec_decode(r->codec, data.ptr, data.len, -1, &r->columns);
		for (size_t i = 0; !rc && i < r->columns.count; i++)
			if (r->columns.nodes[i] >= stacks->t.nodes_count)
				rc = -EBADMSG;
		if (rc == -EBADMSG)
			(void)err_set(err, rc, "storage: %s: a block does not decode",
				      file->entry->name);
	}
	return rc;
}

static int check_contents(struct sqlite_reader *r, struct open_file *file, struct err *err)
{
	static const char *const blocks[SQLITE_LEVELS] = {
	    "SELECT data, series FROM block",
	    "SELECT b.data, w.series FROM window w LEFT JOIN block b USING (id)",
	    "SELECT b.data, w.series FROM window w LEFT JOIN block b USING (id) WHERE 1",
	};
	int rc = db_exec(&file->db, "BEGIN", err);

	if (!rc)
		rc = open_file_load(file, r->codec, err);
	if (!rc)
		rc = decode_all(r, file, blocks[file->entry->level], err);
	if (!rc && file->entry->level == 1)
		rc = decode_all(r, file, "SELECT data, series FROM pack", err);
	if (!rc && file->entry->level == 1)
		rc = decode_all(r, file, "SELECT totals, series FROM pack", err);
	db_rollback(&file->db);
	return rc;
}

int sqlite_check_part(struct storage_reader *reader, const char *part, struct err *err)
{
	struct sqlite_reader *r = reader_of(reader);
	struct open_file *file = calloc(1, sizeof(*file));
	int rc = file ? dict_init(&file->catalogue.dict, false) : -ENOMEM;

	if (rc) {
		free(file);
		return err_set(err, rc, "storage: out of memory");
	}
	rc = open_part(r, part, file, err);
	if (!rc)
		rc = db_check(&file->db, err);
	if (!rc && file->entry->level < SQLITE_LEVELS)
		rc = check_contents(r, file, err);
	return close_part(r, file, rc, err);
}

int sqlite_copy(struct storage_reader *reader, const char *part, void **ret_bytes, size_t *ret_len,
		struct err *err)
{
	struct sqlite_reader *r = reader_of(reader);
	struct open_file *file = calloc(1, sizeof(*file));
	unsigned char *bytes = NULL;
	sqlite3_int64 len = 0;
	void *copy = NULL;

	if (!file)
		return err_set(err, -ENOMEM, "storage: out of memory");
	int rc = open_part(r, part, file, err);

	/* One read transaction: as it is now, with what its WAL holds. */
	if (!rc)
		bytes = sqlite3_serialize(file->db.handle, "main", &len, 0);
	if (bytes)
		copy = malloc((size_t)len + 1);
	if (copy)
		memcpy(copy, bytes, (size_t)len);
	sqlite3_free(bytes);
	if (!rc && !copy)
		rc = err_set(err, -ENOMEM, "storage: %s cannot be copied", part);
	rc = close_part(r, file, rc, err);
	if (rc) {
		free(copy);
		return rc;
	}
	*ret_bytes = copy;
	*ret_len = (size_t)len;
	return 0;
}

/* ---- the writer ---- */

int sqlite_compact(struct storage *store, const char *part, struct err *err)
{
	struct sqlite_store *s = sqlite_of(store);
	struct period_file *entry = files_named(s, part);
	struct open_file *file;

	if (!strcmp(part, SYMBOLS_FILE))
		return symbols_compact(s, err);
	if (!entry)
		return unknown(part, err);
	int rc = files_writer(s, entry->level, entry->start_ns, false, &file, err);

	if (rc)
		return rc == -EBADMSG ? -EIO : rc;
	rc = open_file_merge(file, s->codec, 1, err);
	if (rc) {
		files_failed(s, file, rc);
		return rc == -EBADMSG ? -EIO : rc;
	}
	db_shrink(&file->db);
	db_checkpoint(&file->db, true);
	return 0;
}

/* Not under its own name before it is whole on disk. */
static int write_aside(const char *path, const void *bytes, size_t len, struct err *err)
{
	int fd CLOSING = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	int rc = fd < 0 ? -errno : fd_write_all(fd, bytes, len);

	if (!rc && fsync(fd))
		rc = -errno;
	return rc ? err_set(err, rc == -ENOSPC ? rc : -EIO, "storage: %s: %s", path, strerror(-rc))
		  : 0;
}

/* Whole, of this level, and of the period that its name says. */
static int check_aside(const char *path, int level, int64_t start_ns, struct err *err)
{
	static const char *const own[SQLITE_LEVELS] = {"SELECT 1 FROM batch", "SELECT 1 FROM pack",
						       "SELECT 1 FROM window"};
	struct period_file *entry = files_new(level, start_ns);
	sqlite3_stmt *stmt;
	struct db db;

	if (!entry)
		return err_set(err, -ENOMEM, "storage: out of memory");
	int rc = db_open_alone(&db, path, (enum db_kind)level, err);

	if (!rc)
		rc = db_check(&db, err);
	if (!rc)
		rc = db_prepare(&db, own[level], &stmt, err);
	if (!rc)
		rc = files_meta(&db, entry, err);
	db_close(&db);
	free(entry);
	return rc == -EBADMSG ? -EINVAL : rc;
}

int sqlite_adopt(struct storage *store, const char *part, const void *bytes, size_t len,
		 struct err *err)
{
	struct sqlite_store *s = sqlite_of(store);
	char aside[SQLITE_PATH_MAX], path[SQLITE_PATH_MAX];
	bool symbols = !strcmp(part, SYMBOLS_FILE);
	int64_t start_ns;
	int level;

	if (!symbols && !files_parse(part, &level, &start_ns))
		return err_set(err, -EINVAL, "storage: \"%.60s\" is not the name of a file here",
			       part);
	if (!symbols && files_named(s, part))
		return err_set(err, -EEXIST, "storage: %s is there already", part);
	files_path(s, part, ".adopted", aside);
	files_path(s, part, "", path);
	int rc = write_aside(aside, bytes, len, err);

	if (symbols) {
		rc = rc ? rc : symbols_adopt(s, aside, err);
		(void)unlink(aside);
		return rc;
	}
	if (!rc)
		rc = check_aside(aside, level, start_ns, err);
	if (!rc && rename(aside, path))
		rc = err_set(err, -EIO, "storage: %s: %s", path, strerror(errno));
	if (rc) {
		(void)unlink(aside);
		return rc;
	}
	s->weighed_ns = 0;
	return files_load_one(s, level, start_ns, err);
}
