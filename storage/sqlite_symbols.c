/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The symbol store: one file, one row for each (scope, build id).  Opened by its first put.  What
 * is damaged or had to go is made anew: names are read from binaries when they are asked for.
 */
#include "storage/sqlite_read.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"

#define CHECK_MAX (16 << 20)           /* a larger one would hold up the start */
#define SHARE 8                        /* of the store's bytes: more than this part of them */
#define PRUNE_BYTES (INT64_C(8) << 20) /* at once */

static bool is_unclean(const struct sqlite_store *s)
{
	return files_has_wal(s, SYMBOLS_FILE);
}

/* ---- the writer ---- */

static struct period_file *entry_new(void)
{
	struct period_file *entry = calloc(1, sizeof(*entry));

	if (entry) {
		entry->level = DB_SYMBOLS;
		entry->refs = 1;
		memcpy(entry->name, SYMBOLS_FILE, sizeof(SYMBOLS_FILE));
	}
	return entry;
}

static void writer_close(struct sqlite_store *s)
{
	if (!s->symbols.handle)
		return;
	db_checkpoint(&s->symbols, true);
	db_close(&s->symbols);
	s->symbols_entry->opened++;
}

static int run(struct sqlite_store *s, const char *sql, int64_t value, struct err *err)
{
	sqlite3_stmt *stmt;
	int rc = db_prepare(&s->symbols, sql, &stmt, err);

	if (rc)
		return rc;
	db_bind_int(stmt, ":value", value);
	return db_run(&s->symbols, stmt, err);
}

static int writer_open(struct sqlite_store *s, struct err *err)
{
	char path[SQLITE_PATH_MAX];

	if (s->symbols.handle)
		return 0;
	files_path(s, SYMBOLS_FILE, "", path);
	s->symbols_entry->opened++;
	int rc = db_open_writer(&s->symbols, path, DB_SYMBOLS, true, err);

	/* One that is made anew gives no epoch that the last one gave. */
	if (!rc)
		rc = run(s, "UPDATE epoch SET last = :value WHERE last = 0",
			 clock_real_ns() / NS_PER_MS, err);
	if (rc) {
		db_close(&s->symbols);
		s->symbols_entry->opened++;
	}
	return rc;
}

static int put_aside(struct sqlite_store *s, const char *why, struct err *err)
{
	struct period_file *old = s->symbols_entry, *entry = entry_new();

	if (!entry)
		return err_set(err, -ENOMEM, "storage: out of memory");
	writer_close(s);
	pthread_mutex_lock(&s->lock);
	old->gone = true;
	s->symbols_entry = entry;
	pthread_mutex_unlock(&s->lock);
	files_unref(s, old);
	return retain_put_aside(s, SYMBOLS_FILE, why, err);
}

int symbols_load(struct sqlite_store *s, struct err *err)
{
	char path[SQLITE_PATH_MAX];
	struct err why = {0};
	struct stat st;
	struct db db;

	s->symbols_entry = entry_new();
	if (!s->symbols_entry)
		return err_set(err, -ENOMEM, "storage: out of memory");
	files_path(s, SYMBOLS_FILE, "", path);
	if (stat(path, &st) || !is_unclean(s) || st.st_size > CHECK_MAX)
		return 0;
	int rc = db_open_alone(&db, path, DB_SYMBOLS, &why);

	if (!rc) {
		rc = db_check(&db, &why);
		db_close_still(&db);
	}
	if (rc == -EBADMSG)
		return put_aside(s, why.message, err);
	if (rc)
		sqlite_note(s, "%s", why.message);
	return 0;
}

void symbols_release(struct sqlite_store *s)
{
	if (!s->symbols_entry)
		return;
	writer_close(s);
	files_unref(s, s->symbols_entry);
}

int symbols_retain(struct sqlite_store *s, struct err *err)
{
	pthread_mutex_lock(&s->lock);
	bool damaged = s->symbols_entry->damaged;

	pthread_mutex_unlock(&s->lock);
	return damaged ? put_aside(s, "a reader could not read it", err) : 0;
}

static int insert(struct sqlite_store *s, const char *sql, const struct symbols_row *row,
		  int64_t *ret_epoch, struct err *err)
{
	sqlite3_stmt *stmt;
	int rc =
	    db_prepare(&s->symbols, "UPDATE epoch SET last = last + 1 RETURNING last", &stmt, err);

	if (rc)
		return rc;
	rc = db_step(&s->symbols, stmt, err);
	if (rc <= 0)
		return rc ? rc : err_set(err, -EIO, "storage: symbols.db has no epoch");
	*ret_epoch = sqlite3_column_int64(stmt, 0);
	rc = db_run(&s->symbols, stmt, err);
	if (!rc)
		rc = db_prepare(&s->symbols, sql, &stmt, err);
	if (rc)
		return rc;
	db_bind_int(stmt, ":scope", row->scope);
	db_bind_blob(stmt, ":id", row->build_id.ptr, row->build_id.len);
	db_bind_int(stmt, ":epoch", *ret_epoch);
	db_bind_int(stmt, ":length", row->length);
	db_bind_blob(stmt, ":data", row->packed.ptr, row->packed.len);
	return db_run(&s->symbols, stmt, err);
}

static int put_row(struct sqlite_store *s, const struct symbols_row *row, int64_t *ret_epoch,
		   struct err *err)
{
	static const char sql[] = "INSERT INTO symbols(scope, build_id, epoch, length, data)"
				  " VALUES (:scope, :id, :epoch, :length, :data)"
				  " ON CONFLICT DO UPDATE SET epoch = excluded.epoch,"
				  " length = excluded.length, data = excluded.data";
	int rc = writer_open(s, err);

	if (!rc)
		rc = db_begin(&s->symbols, err);
	if (!rc)
		rc = insert(s, sql, row, ret_epoch, err);
	if (!rc)
		rc = db_commit(&s->symbols, err);
	if (rc)
		db_rollback(&s->symbols);
	return rc;
}

int sqlite_symbols_put(struct storage *store, uint64_t scope, const uint8_t *build_id,
		       size_t build_id_len, const void *table, size_t len, uint64_t *ret_epoch,
		       struct err *err)
{
	struct sqlite_store *s = sqlite_of(store);
	struct symbols_row row = {.scope = (int64_t)scope,
				  .build_id = {(const char *)build_id, build_id_len},
				  .length = (int64_t)len};
	struct err why = {0};
	int64_t epoch = 0;

	if (build_id_len > PROFILE_BUILD_ID_MAX)
		return err_set(err, -EINVAL, "storage: build id of %zu bytes", build_id_len);
	if (codec_pack(s->codec, table, len, CODEC_QUICK, &row.packed))
		return err_set(err, -ENOMEM, "storage: out of memory");
	int rc = symbols_retain(s, &why);

	if (!rc)
		rc = put_row(s, &row, &epoch, &why);
	/* The rest of a damaged file is put aside, and a new one takes its place. */
	if (rc == -EBADMSG && !put_aside(s, why.message, NULL))
		rc = put_row(s, &row, &epoch, &why);
	codec_forget(s->codec);
	s->weighed_ns = 0;
	if (rc)
		return err_set(err, rc == -EBADMSG ? -EIO : rc, "%s", why.message);
	*ret_epoch = (uint64_t)epoch;
	return 0;
}

/* ---- what goes ---- */

static int sum_tables(struct sqlite_store *s, int64_t *ret_bytes, struct err *err)
{
	sqlite3_stmt *stmt;
	int rc =
	    db_prepare(&s->symbols, "SELECT ifnull(sum(length(data)), 0) FROM symbols", &stmt, err);

	if (!rc)
		rc = db_step(&s->symbols, stmt, err);
	if (rc <= 0)
		return rc;
	*ret_bytes = sqlite3_column_int64(stmt, 0);
	(void)sqlite3_reset(stmt);
	return 0;
}

/* The last epoch of the oldest tables that hold so many bytes. */
static int find_oldest(struct sqlite_store *s, int64_t bytes, int64_t *ret_epoch, struct err *err)
{
	sqlite3_stmt *stmt;
	int rc = db_prepare(&s->symbols, "SELECT epoch, length(data) FROM symbols ORDER BY epoch",
			    &stmt, err);

	while (!rc && bytes > 0 && (rc = db_step(&s->symbols, stmt, err)) > 0) {
		*ret_epoch = sqlite3_column_int64(stmt, 0);
		bytes -= sqlite3_column_int64(stmt, 1);
		rc = 0;
	}
	(void)sqlite3_reset(stmt);
	return rc;
}

int symbols_prune(struct sqlite_store *s, struct err *err)
{
	int64_t share = (int64_t)(s->options.bytes_max / SHARE), bytes = 0, epoch = 0;

	if (files_bytes(s, SYMBOLS_FILE) <= (uint64_t)share)
		return 0;
	int rc = writer_open(s, err);

	/* Not what its WAL takes. */
	if (!rc)
		rc = sum_tables(s, &bytes, err);
	if (!rc && bytes <= share)
		return 0;
	if (!rc)
		rc = find_oldest(s, MIN(bytes - share, PRUNE_BYTES), &epoch, err);
	if (!rc)
		rc = run(s, "DELETE FROM symbols WHERE epoch <= :value", epoch, err);
	if (!rc) {
		sqlite_note(s,
			    "the oldest symbol tables went: symbols.db was above an eighth of "
			    "retention.bytes (%llu)",
			    (unsigned long long)s->options.bytes_max);
		db_shrink(&s->symbols);
		db_checkpoint(&s->symbols, true);
	}
	if (rc != -EBADMSG)
		return rc;
	return put_aside(s, "it could not be made smaller", err);
}

/* ---- what people ask ---- */

int symbols_compact(struct sqlite_store *s, struct err *err)
{
	int rc = writer_open(s, err);

	if (!rc) {
		db_shrink(&s->symbols);
		db_checkpoint(&s->symbols, true);
	}
	return rc == -EBADMSG ? -EIO : rc;
}

static int adopt_row(struct sqlite_store *s, sqlite3_stmt *from, struct err *err)
{
	static const char sql[] = "INSERT INTO symbols(scope, build_id, epoch, length, data)"
				  " VALUES (:scope, :id, :epoch, :length, :data)"
				  " ON CONFLICT DO NOTHING";
	struct symbols_row row = {.scope = sqlite3_column_int64(from, 0),
				  .build_id = db_column_blob(from, 1),
				  .length = sqlite3_column_int64(from, 2),
				  .packed = db_column_blob(from, 3)};
	int64_t epoch;

	if (row.build_id.len > PROFILE_BUILD_ID_MAX)
		return err_set(err, -EINVAL, "storage: build id of %zu bytes", row.build_id.len);
	return insert(s, sql, &row, &epoch, err);
}

#define ADOPT_BYTES (8 << 20) /* of tables in one transaction, which the WAL holds whole */

/* Rows of `stmt` in one transaction. Returns 1 when there are more. */
static int adopt_rows(struct sqlite_store *s, struct db *from, sqlite3_stmt *stmt, struct err *err)
{
	size_t bytes = 0;
	int rc = db_begin(&s->symbols, err), more = 1;

	while (!rc && more && bytes < ADOPT_BYTES) {
		more = db_step(from, stmt, err);
		if (more < 0)
			rc = more;
		else if (more)
			rc = adopt_row(s, stmt, err);
		bytes += more > 0 ? db_column_blob(stmt, 3).len : 0;
	}
	if (!rc)
		rc = db_commit(&s->symbols, err);
	if (rc)
		db_rollback(&s->symbols);
	return rc ? rc : more;
}

int symbols_adopt(struct sqlite_store *s, const char *path, struct err *err)
{
	sqlite3_stmt *stmt;
	struct db from;
	int rc = db_open_alone(&from, path, DB_SYMBOLS, err);

	if (rc)
		return rc == -EBADMSG ? -EINVAL : rc;
	rc = db_prepare(&from, "SELECT scope, build_id, length, data FROM symbols", &stmt, err);
	if (!rc)
		rc = writer_open(s, err);
	do
		rc = rc < 0 ? rc : adopt_rows(s, &from, stmt, err);
	while (rc > 0);
	db_close(&from);
	s->weighed_ns = 0;
	return rc == -EBADMSG ? -EINVAL : rc;
}

/* ---- readers ---- */

/* The reader's own connection, opened when there is none, or when it is to another file. */
static int get_file(struct sqlite_reader *r, struct open_file **ret_file, struct err *err)
{
	struct sqlite_store *s = r->s;
	struct open_file *file = r->symbols;

	pthread_mutex_lock(&s->lock);
	bool gone = file && file->entry->gone;

	pthread_mutex_unlock(&s->lock);
	if (file && (gone || open_file_is_torn(file)))
		open_file_free(s, TAKE(r->symbols));
	*ret_file = r->symbols;
	if (r->symbols)
		return 0;
	file = calloc(1, sizeof(*file));
	if (!file)
		return err_set(err, -ENOMEM, "storage: out of memory");
	pthread_mutex_lock(&s->lock);
	file->entry = files_ref(s, s->symbols_entry);
	pthread_mutex_unlock(&s->lock);
	int rc = open_file_read(s, file, err);

	if (rc == -EBADMSG)
		files_damaged(s, file->entry);
	if (rc)
		open_file_free(s, file);
	else
		*ret_file = r->symbols = file;
	return rc;
}

/* What does not unpack is as if it were not there, until it is put again. */
static int copy(struct sqlite_reader *r, struct str packed, void **ret_table, size_t *ret_len,
		struct err *err)
{
	struct str raw;

	pthread_mutex_lock(&r->symbols_lock);
	int rc = codec_unpack(r->symbols_codec, packed.ptr, packed.len, &raw);
	void *bytes = rc ? NULL : malloc(raw.len + 1);

	if (bytes)
		memcpy(bytes, raw.ptr, raw.len);
	codec_forget(r->symbols_codec);
	pthread_mutex_unlock(&r->symbols_lock);
	if (!bytes)
		return err_set(err, rc == -EBADMSG ? -ENOENT : -ENOMEM,
			       "storage: a symbol table cannot be read");
	*ret_table = bytes;
	*ret_len = raw.len;
	return 0;
}

int sqlite_symbols_get(struct storage_reader *reader, uint64_t scope, const uint8_t *build_id,
		       size_t build_id_len, void **ret_table, size_t *ret_len, uint64_t *ret_epoch,
		       struct err *err)
{
	struct sqlite_reader *r = reader_of(reader);
	struct open_file *file = NULL;
	sqlite3_stmt *stmt;
	int rc = get_file(r, &file, err);

	if (!rc)
		rc = db_prepare(&file->db,
				"SELECT data, epoch FROM symbols"
				" WHERE scope = :scope AND build_id = :id",
				&stmt, err);
	if (!rc) {
		db_bind_int(stmt, ":scope", (int64_t)scope);
		db_bind_blob(stmt, ":id", build_id, build_id_len);
		rc = db_step(&file->db, stmt, err);
		if (!rc)
			rc = err_set(err, -ENOENT, "storage: no symbols for this build id");
		*ret_epoch = rc > 0 ? (uint64_t)sqlite3_column_int64(stmt, 1) : 0;
		if (rc > 0)
			rc = copy(r, db_column_blob(stmt, 0), ret_table, ret_len, err);
		(void)sqlite3_reset(stmt);
	}
	int found = rc;

	if (file)
		rc = open_file_end(r->s, file, rc, err);
	if (!found && rc)
		free(*ret_table);
	return rc == -EBADMSG ? -EIO : rc;
}
