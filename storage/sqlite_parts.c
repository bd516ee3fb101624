/* SPDX-License-Identifier: Apache-2.0 */
/* What people ask of single files: list, check, compact.  sqlite_copies.c copies and takes in. */
#include <errno.h>
#include <string.h>

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

int parts_open(struct sqlite_reader *r, const char *part, struct open_file *file, struct err *err)
{
	struct sqlite_store *s = r->s;

	pthread_mutex_lock(&s->lock);
	struct period_file *entry =
	    strcmp(part, SYMBOLS_FILE) ? files_named(s, part) : s->symbols_entry;

	file->entry = entry ? files_ref(s, entry) : NULL;
	pthread_mutex_unlock(&s->lock);
	return entry ? open_file_read(s, file, err) : unknown(part, err);
}

int parts_close(struct sqlite_reader *r, struct open_file *file, int rc, struct err *err)
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
	rc = parts_open(r, part, file, err);
	if (!rc)
		rc = db_check(&file->db, err);
	if (!rc && file->entry->level < SQLITE_LEVELS)
		rc = check_contents(r, file, err);
	return parts_close(r, file, rc, err);
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
