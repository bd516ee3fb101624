/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/sqlite_db.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "storage/sqlite_wal.h"

#define APPLICATION_ID 0x68727468 /* "hrth" */
#define WAL_FRAME_HEAD 24         /* bytes before a page */
#define CHECKPOINT_FRAMES 1000    /* of the WAL: then they are moved */

static const struct {
	enum db_kind kind;
	int version;
	const char *sql;
} migrations[] = {
#define l0 DB_L0
#define l1 DB_L1
#define l2 DB_L2
#define symbols DB_SYMBOLS
#define SCHEMA(kind, version, sql) {kind, version, sql},
#include "schema.inc"
#undef SCHEMA
#undef l0
#undef l1
#undef l2
#undef symbols
};

bool db_library_is_affected(void)
{
	int v = sqlite3_libversion_number();

	if (v < 3007000 || v > 3051002 || v == 3044006)
		return false;
	return v < 3050007 || v >= 3051000;
}

static int last_errno(sqlite3_file *file)
{
	int cause = 0;

	if (file && file->pMethods)
		(void)file->pMethods->xFileControl(file, SQLITE_FCNTL_LAST_ERRNO, &cause);
	return cause;
}

/* A quota or a file size limit is a full disk too, but SQLite says "disk I/O error" and keeps the
 * errno with the file that had it, the database's or the WAL's. */
static bool disk_is_full(sqlite3 *handle)
{
	static const int pointers[] = {SQLITE_FCNTL_FILE_POINTER, SQLITE_FCNTL_JOURNAL_POINTER};
	int cause = sqlite3_system_errno(handle);

	for (size_t i = 0; i < ARRAY_LEN(pointers); i++) {
		sqlite3_file *file = NULL;

		if (cause == ENOSPC || cause == EDQUOT || cause == EFBIG)
			return true;
		(void)sqlite3_file_control(handle, "main", pointers[i], &file);
		cause = last_errno(file);
	}
	return cause == ENOSPC || cause == EDQUOT || cause == EFBIG;
}

static int fail_code(sqlite3 *handle)
{
	int code = handle ? sqlite3_extended_errcode(handle) : SQLITE_NOMEM;
	int cause = handle ? sqlite3_system_errno(handle) : 0;

	switch (code & 0xff) {
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
	case SQLITE_CONSTRAINT: /* what we write fits what we wrote */
		return -EBADMSG;
	case SQLITE_NOMEM:
		return -ENOMEM;
	case SQLITE_INTERRUPT: /* a reader that the writer waits for */
		return -EAGAIN;
	case SQLITE_CANTOPEN:
		if (cause == ENOENT)
			return -ENOENT;
		break;
	case SQLITE_IOERR:
		if (code == SQLITE_IOERR_SHMSIZE)
			return -ENOSPC;
		/* The file is shorter than its own header says. */
		if (code == SQLITE_IOERR_SHORT_READ)
			return -EBADMSG;
		break;
	default:
		return -EIO;
	}
	return disk_is_full(handle) ? -ENOSPC : -EIO;
}

int db_fail(struct db *db, struct err *err)
{
	const char *path = db->handle ? sqlite3_db_filename(db->handle, "main") : NULL;

	return err_set(err, fail_code(db->handle), "storage: %s: %s", path ? path : "sqlite",
		       db->handle ? sqlite3_errmsg(db->handle) : "out of memory");
}

/* Our statements are right: what they do not fit is not our schema. */
static int fail_schema(struct db *db, struct err *err)
{
	bool other = sqlite3_errcode(db->handle) == SQLITE_ERROR;
	int rc = db_fail(db, err);

	if (other && err)
		err->code = -EBADMSG;
	return other ? -EBADMSG : rc;
}

void db_close(struct db *db)
{
	for (size_t i = 0; i < db->statements_count; i++)
		(void)sqlite3_finalize(db->statements[i].stmt);
	(void)sqlite3_close(db->handle);
	memset(db, 0, sizeof(*db));
}

int db_exec(struct db *db, const char *sql, struct err *err)
{
	return sqlite3_exec(db->handle, sql, NULL, NULL, NULL) ? db_fail(db, err) : 0;
}

static int run_literal(struct db *db, const char *sql, struct err *err)
{
	sqlite3_stmt *stmt;
	int rc = db_prepare(db, sql, &stmt, err);

	return rc ? rc : db_run(db, stmt, err);
}

int db_begin(struct db *db, struct err *err)
{
	static const char sql[] = "BEGIN IMMEDIATE";

	return run_literal(db, sql, err);
}

int db_commit(struct db *db, struct err *err)
{
	static const char sql[] = "COMMIT";

	if (db->later)
		wal_put_off(db->handle, true);
	int rc = run_literal(db, sql, err);

	if (db->later)
		wal_put_off(db->handle, false);
	return rc;
}

int db_sync(struct db *db, struct err *err)
{
	if (wal_sync(db->handle) == SQLITE_OK)
		return 0;
	return err_set(err, -EIO, "storage: %s: its WAL cannot be synced",
		       sqlite3_db_filename(db->handle, "main"));
}

void db_rollback(struct db *db)
{
	for (size_t i = 0; i < db->statements_count; i++)
		(void)sqlite3_reset(db->statements[i].stmt);
	if (db->handle && !sqlite3_get_autocommit(db->handle))
		(void)sqlite3_exec(db->handle, "ROLLBACK", NULL, NULL, NULL);
}

bool db_checkpoint_within(struct db *db, int wait_ms)
{
	/* TRUNCATE waits for readers by the busy handler, and would hold up every put. */
	(void)sqlite3_busy_timeout(db->handle, wait_ms);
	int rc =
	    sqlite3_wal_checkpoint_v2(db->handle, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);

	(void)sqlite3_busy_timeout(db->handle, 5000);
	if (rc == SQLITE_OK)
		db->wal_bytes = 0;
	return rc == SQLITE_OK;
}

void db_checkpoint(struct db *db, bool shrink)
{
	if (shrink) {
		(void)db_checkpoint_within(db, 0);
		return;
	}
	(void)sqlite3_wal_checkpoint_v2(db->handle, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
}

static int pragma_int(struct db *db, const char *sql, int *ret_value, struct err *err)
{
	sqlite3_stmt *stmt = NULL;

	if (sqlite3_prepare_v2(db->handle, sql, -1, &stmt, NULL))
		return db_fail(db, err);
	int rc = db_step(db, stmt, err);

	if (rc > 0)
		*ret_value = sqlite3_column_int(stmt, 0);
	(void)sqlite3_finalize(stmt);
	return rc < 0 ? rc : 0;
}

/* Each migration is one transaction: a file is at a version or not. */
static int migrate(struct db *db, enum db_kind kind, struct err *err)
{
	int version = 0, id = 0, newest = 0;
	int rc = pragma_int(db, "PRAGMA user_version", &version, err);

	if (!rc)
		rc = pragma_int(db, "PRAGMA application_id", &id, err);
	if (!rc && version && id != APPLICATION_ID)
		return err_set(err, -EBADMSG, "storage: %s is not hearth's",
			       sqlite3_db_filename(db->handle, "main"));
	for (size_t i = 0; !rc && i < ARRAY_LEN(migrations); i++) {
		char *sql;

		if (migrations[i].kind != kind)
			continue;
		newest = migrations[i].version;
		if (newest <= version)
			continue;
		sql = sqlite3_mprintf(
		    "BEGIN IMMEDIATE; %s PRAGMA application_id=%d; PRAGMA user_version=%d; COMMIT",
		    migrations[i].sql, APPLICATION_ID, newest);
		rc = !sql ? err_set(err, -ENOMEM, "storage: out of memory")
		     : sqlite3_exec(db->handle, sql, NULL, NULL, NULL) ? fail_schema(db, err)
								       : 0;
		sqlite3_free(sql);
	}
	if (rc)
		db_rollback(db);
	if (!rc && version > newest)
		rc =
		    err_set(err, -ENOTSUP, "storage: %s was written by a newer release (schema %d)",
			    sqlite3_db_filename(db->handle, "main"), version);
	return rc;
}

static void config(struct db *db, int option, int on)
{
	(void)sqlite3_db_config(db->handle, option, on, NULL);
}

static int open_any(struct db *db, const char *path, int flags, const char *vfs, struct err *err)
{
	memset(db, 0, sizeof(*db));
	if (sqlite3_open_v2(path, &db->handle, flags | SQLITE_OPEN_NOMUTEX, vfs)) {
		int rc = db_fail(db, err);

		db_close(db);
		return rc;
	}
	(void)sqlite3_extended_result_codes(db->handle, 1);
	(void)sqlite3_busy_timeout(db->handle, 5000);
	config(db, SQLITE_DBCONFIG_DEFENSIVE, 1);
	config(db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0);
	return 0;
}

/* After a commit.  SQLite's own autocheckpoint, that also tells how long the WAL is: to ask the
 * file system costs a path's look-up. */
static int committed(void *arg, sqlite3 *handle, const char *name, int frames)
{
	struct db *db = arg;

	if (db->later)
		wal_put_off(handle, false);
	db->wal_bytes = (uint64_t)frames * db->frame_bytes;
	if (frames >= CHECKPOINT_FRAMES)
		(void)sqlite3_wal_checkpoint(handle, name);
	return SQLITE_OK;
}

static int open_writing(struct db *db, const char *path, enum db_kind kind, bool create, bool alone,
			struct err *err)
{
	int flags = SQLITE_OPEN_READWRITE | (create ? SQLITE_OPEN_CREATE : 0);
	int rc = open_any(db, path, flags, wal_vfs(), err), page = 0;

	if (rc)
		return rc;
	(void)sqlite3_wal_hook(db->handle, committed, db);
	/* Before the file is touched, or SQLite has its index of the WAL in shared memory. */
	if (alone)
		rc = db_exec(db, "PRAGMA locking_mode=EXCLUSIVE", err);
	/* Each table and index takes a page at least, and at a low rate these are a sixth of a day
	 * or a month. */
	if (!rc && create && (kind == DB_L1 || kind == DB_L2))
		rc = db_exec(db, "PRAGMA page_size=2048", err);
	if (rc) {
		db_close(db);
		return rc;
	}
	/* FULL: a commit is on disk before it is acknowledged; sqlite_wal.c counts on that sync.
	 * mmap would turn an I/O error into SIGBUS. */
	rc = db_exec(db,
		     "PRAGMA auto_vacuum=INCREMENTAL;"
		     "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA mmap_size=0;"
		     "PRAGMA journal_size_limit=8388608;"
		     "PRAGMA cell_size_check=ON; PRAGMA temp_store=MEMORY; PRAGMA cache_size=-2048",
		     err);
	if (!rc)
		rc = migrate(db, kind, err);
	if (!rc)
		rc = pragma_int(db, "PRAGMA page_size", &page, err);
	if (rc)
		db_close(db);
	else
		db->frame_bytes = (uint32_t)page + WAL_FRAME_HEAD;
	return rc;
}

int db_open_writer(struct db *db, const char *path, enum db_kind kind, bool create, struct err *err)
{
	return open_writing(db, path, kind, create, false, err);
}

int db_open_alone(struct db *db, const char *path, enum db_kind kind, struct err *err)
{
	return open_writing(db, path, kind, false, true, err);
}

static int newest_version(enum db_kind kind)
{
	int newest = 0;

	for (size_t i = 0; i < ARRAY_LEN(migrations); i++)
		if (migrations[i].kind == kind)
			newest = migrations[i].version;
	return newest;
}

int db_open_still(struct db *db, const char *path, enum db_kind kind, struct err *err)
{
	char *uri = sqlite3_malloc64(3 * strlen(path) + 32), *to = uri;
	int version = 0;

	if (!uri)
		return err_set(err, -ENOMEM, "storage: out of memory");
	to += sprintf(to, "file:");
	for (const char *p = path; *p; p++)
		if (*p == '%' || *p == '?' || *p == '#')
			to += sprintf(to, "%%%02x", (unsigned)*p);
		else
			*to++ = *p;
	(void)strcpy(to, "?immutable=1");
	int rc = open_any(db, uri, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, NULL, err);

	sqlite3_free(uri);
	if (rc)
		return rc;
	rc = pragma_int(db, "PRAGMA user_version", &version, err);
	if (!rc && version != newest_version(kind))
		rc = -ENOTSUP;
	if (rc)
		db_close(db);
	return rc;
}

void db_close_still(struct db *db)
{
	if (db->handle)
		config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1);
	db_close(db);
}

void db_sync_later(struct db *db)
{
	db->later = true;
}

int db_open_reader(struct db *db, const char *path, struct err *err)
{
	int rc = open_any(db, path, SQLITE_OPEN_READONLY, NULL, err);

	if (rc)
		return rc;
	config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1);
	rc = db_exec(db,
		     "PRAGMA query_only=ON; PRAGMA wal_autocheckpoint=0; PRAGMA mmap_size=0;"
		     "PRAGMA temp_store=MEMORY; PRAGMA cache_size=-256",
		     err);
	if (rc)
		db_close(db);
	return rc;
}

void db_shrink(struct db *db)
{
	(void)sqlite3_exec(db->handle, "PRAGMA incremental_vacuum", NULL, NULL, NULL);
	db_rollback(db);
}

void db_forget_pages(struct db *db)
{
	(void)sqlite3_db_release_memory(db->handle);
}

int db_check(struct db *db, struct err *err)
{
	sqlite3_stmt *stmt = NULL;

	if (sqlite3_prepare_v2(db->handle, "PRAGMA integrity_check(1)", -1, &stmt, NULL))
		return db_fail(db, err);
	int rc = db_step(db, stmt, err);
	const char *text = rc > 0 ? (const char *)sqlite3_column_text(stmt, 0) : NULL;

	if (rc >= 0)
		rc = text && !strcmp(text, "ok")
			 ? 0
			 : err_set(err, -EBADMSG, "storage: %s: %s",
				   sqlite3_db_filename(db->handle, "main"), text ? text : "?");
	(void)sqlite3_finalize(stmt);
	return rc;
}

int db_prepare(struct db *db, const char *sql, sqlite3_stmt **ret_stmt, struct err *err)
{
	sqlite3_stmt *stmt = NULL;

	for (size_t i = 0; i < db->statements_count; i++) {
		if (db->statements[i].sql != sql)
			continue;
		stmt = db->statements[i].stmt;
		(void)sqlite3_reset(stmt);
		(void)sqlite3_clear_bindings(stmt);
		*ret_stmt = stmt;
		return 0;
	}
	if (db->statements_count == DB_STATEMENTS_MAX)
		return err_set(err, -EIO, "storage: too many statements");
	if (sqlite3_prepare_v3(db->handle, sql, -1, SQLITE_PREPARE_PERSISTENT, &stmt, NULL))
		return fail_schema(db, err);
	db->statements[db->statements_count].sql = sql;
	db->statements[db->statements_count++].stmt = stmt;
	*ret_stmt = stmt;
	return 0;
}

void db_bind_int(sqlite3_stmt *stmt, const char *name, int64_t value)
{
	(void)sqlite3_bind_int64(stmt, sqlite3_bind_parameter_index(stmt, name), value);
}

void db_bind_blob(sqlite3_stmt *stmt, const char *name, const void *bytes, size_t len)
{
	int at = sqlite3_bind_parameter_index(stmt, name);

	if (bytes)
		(void)sqlite3_bind_blob64(stmt, at, bytes, len, SQLITE_STATIC);
	else
		(void)sqlite3_bind_null(stmt, at);
}

int db_step(struct db *db, sqlite3_stmt *stmt, struct err *err)
{
	int rc = sqlite3_step(stmt);

	if (rc == SQLITE_ROW)
		return 1;
	int failed = rc == SQLITE_DONE ? 0 : db_fail(db, err);

	(void)sqlite3_reset(stmt);
	return failed;
}

int db_run(struct db *db, sqlite3_stmt *stmt, struct err *err)
{
	int rc = db_step(db, stmt, err);

	(void)sqlite3_reset(stmt);
	return rc < 0 ? rc : 0;
}

struct str db_column_blob(sqlite3_stmt *stmt, int column)
{
	const void *bytes = sqlite3_column_blob(stmt, column);

	return (struct str){bytes ? bytes : "", (size_t)sqlite3_column_bytes(stmt, column)};
}
